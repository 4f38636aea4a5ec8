"""The one writer: everything that waits is decided, recorded and committed together, then answered.

    submit -> queue -> writer thread: BEGIN, read, apply in order, flush the log, write, COMMIT
                                      -> only then is anybody answered

One interpreter runs one thread at a time, so while the writer reckons the event
loop stands aside (`_Aside`) instead of fighting for each microsecond of it; while
the writer waits for the database or the commit, the loop reads and proves the next requests.

There is no timer: when one commit ends, the next batch takes what waits, at
most 64 persons. So the commit is the hub's time grid, and a busy hub commits
larger batches instead of more of them. What is done on failure:

* the commit fails, or the database cannot be reached: 503 for all, nobody is answered;
* the connection was lost before COMMIT was sent: the whole batch once more on a new one;
* no new connection: 503 at once, and the next try after a pause that doubles up to 5 s;
* a work fails unexpectedly: the batch is rolled back and each runs once more, alone;
* the disk reports an input/output error: nothing more is written, the process is to stop;
* more persons wait than `most_waiting`: 503 at once, so that neither memory nor waiting time
  grows with the load. What was taken is always finished.

Source: docs/design/access-log.md, "Storage and the order of things".
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from starlette.responses import Response

from index import notices
from index.accesslog.errors import LogInconsistent
from index.accesslog.log import AccessLog, Recorded, SealedBatch
from index.accesslog.spent import Full, tag_of
from index.acts import HistoryBroken
from index.errors import (
    HubError,
    LogUnavailable,
    Overloaded,
    PolicyAway,
    PolicyChanged,
    Unauthenticated,
    WorkFailed,
    place_of,
    problem_of,
)
from index.gate import Caller, Refusal
from index.metrics import HubMetrics
from index.policies import Policies
from index.protocol.entry import Alike, EntryDraft
from index.rows import Rows
from index.store import batch
from index.store.engine import lock
from index.transaction import Finish, MessageRow, Needs, Tx, Work

log = structlog.get_logger()

MAX_PERSONS = 64
MOST_WAITING = 1024
_SQLITE_IOERR = 10
_HOUSEKEEPING_S = 60.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
_LOOP_COMES_S, _LOOP_STANDS_S = 0.05, 1.0
"""How long the writer waits for an event loop to stand aside, and that one at most for the writer."""


class _CommitFailed(Exception):
    """The commit did not succeed: nobody knows what holds, so nobody is answered."""


class _NotConnected(Exception):
    """The database was away a moment ago; it is not asked again before the pause is over."""


@dataclass(slots=True)
class _Pause:
    """How long to leave a database alone that could not be reached."""

    length: float = 0.0
    until: float = 0.0

    def over(self) -> bool:
        return time.monotonic() >= self.until

    def longer(self) -> None:
        self.length = min(max(self.length * 2, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
        self.until = time.monotonic() + self.length

    def end(self) -> None:
        self.length = self.until = 0.0


@dataclass(slots=True)
class _Waiting:
    """A submitted work and the future of who waits for it."""

    work: Work
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[tuple[Finish, SealedBatch]]"

    def resolve(self, outcome: "tuple[Finish, SealedBatch] | BaseException") -> None:
        if self.future.done():
            return
        if isinstance(outcome, BaseException):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


@dataclass(slots=True)
class _Ports:
    """What `Tx` reaches through: the log of this very batch."""

    connection: Connection
    access_log: AccessLog
    rows: Rows

    def spend(self, tag: bytes, until: int) -> bool:
        try:
            return self.access_log.spend(tag, until)
        except Full:
            raise Overloaded from None

    def append(self, draft: EntryDraft) -> Recorded:
        return self.access_log.append(draft)

    def append_alike(self, alike: Alike, lids: Sequence[bytes]) -> Recorded:
        return self.access_log.append_alike(alike, lids)

    def open_message(self, row: MessageRow) -> bytes:
        return self.rows.open_message(row.node_tag, row.message, row.body, row.sealed)


class _Aside:
    """Event loops that stand still for a moment, so that the writer has the interpreter to itself.

    Only quickness rests on it: a loop that is busy, stopped or closed is not waited for.
    """

    def __init__(self, loops: set[asyncio.AbstractEventLoop]) -> None:
        self._over = threading.Event()
        for loop in loops:
            stands = threading.Event()
            try:
                loop.call_soon_threadsafe(self._stand, stands)
            except RuntimeError:
                continue
            stands.wait(_LOOP_COMES_S)

    def _stand(self, stands: threading.Event) -> None:
        """In the loop's own thread."""
        stands.set()
        self._over.wait(_LOOP_STANDS_S)

    def end(self) -> None:
        """Let the loops go on; again is harmless."""
        self._over.set()


class Sequencer:
    """Takes works from any event loop and runs them in one thread.

    Args:
        engine: From `store.engine.open_engine`; one connection of it is kept.
        before: Called in the writer thread before each batch, outside the
            transaction: dated keys and escrow sessions.
        policies: Finds in each transaction which version of the policy is in force;
            without it (tests of the writer alone) none is asked for.
        fatal: Called once when the disk fails; the process is to stop.
    """

    def __init__(
        self,
        engine: Engine,
        access_log: AccessLog,
        rows: Rows,
        clock: Callable[[], datetime],
        *,
        max_persons: int = MAX_PERSONS,
        most_waiting: int = MOST_WAITING,
        metrics: HubMetrics | None = None,
        before: Callable[[Connection, datetime], None] = lambda _connection, _now: None,
        policies: Policies | None = None,
        fatal: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine = engine
        self._log = access_log
        self._rows = rows
        self._clock = clock
        self._max_persons = max_persons
        self._most_waiting = most_waiting
        self._metrics = metrics or HubMetrics()
        self._persons_waiting = 0
        self._before = before
        self._policies = policies
        self._fatal = fatal
        self._queue: deque[_Waiting] = deque()
        self._wake = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._connection: Connection | None = None
        self._pause = _Pause()
        self._loops: set[asyncio.AbstractEventLoop] = set()
        self._database_waits = engine.dialect.name != "sqlite"
        """A database of its own process: a statement is a wait, in which the loop has better things to do."""
        self.batches = 0
        self.answered = 0

    # --- for routes ------------------------------------------------------------------

    async def submit(self, work: Work) -> Response:
        """Wait until the work is committed, then make its answer.

        Raises:
            LogUnavailable: Nothing could be made durable; nothing is answered.
            Overloaded: Enough waits already; nothing was done.
            Unauthenticated: The statement's `jti` was spent before.
            WorkFailed: Something unexpected; nothing was changed.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(work, loop, loop.create_future())
        with self._wake:
            if self._stopping or self._thread is None:
                raise LogUnavailable
            if self.full:
                raise Overloaded
            self._queue.append(waiting)
            self._persons_waiting += work.persons
            self._wake.notify()
        finish, sealed = await waiting.future
        answer = finish(sealed)
        if isinstance(answer, Response):
            return answer
        return Response(answer, media_type="application/json")

    @property
    def waiting(self) -> int:
        """Works in the queue."""
        return len(self._queue)

    @property
    def persons_waiting(self) -> int:
        """Persons in the works in the queue."""
        return self._persons_waiting

    @property
    def full(self) -> bool:
        """Whether nothing more is taken now."""
        return self._persons_waiting >= self._most_waiting

    @property
    def running(self) -> bool:
        """Whether works are taken."""
        return self._thread is not None and self._thread.is_alive() and not self._stopping

    def start(self) -> None:
        """Start the writer thread."""
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="sequencer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish what waits, then end the thread."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread:
            self._thread.join(timeout=10)
        self._disconnect()

    # --- the writer thread -----------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._wake:
                idle = not self._queue and not self._stopping and not self._wake.wait(_HOUSEKEEPING_S)
                taken = self._take() if self._queue else []
                if self._stopping and not taken:
                    return
            if taken:
                self._batch(taken)
            elif idle:
                self._keep_house()

    def _keep_house(self) -> None:
        """Nothing was asked for a while: dated keys and the day's escrow session come all the same."""
        try:
            self._before(self._connect(), self._clock())
        except Exception as error:
            log.error("housekeeping_failed", error=type(error).__name__)
            self._disconnect()

    def _take(self) -> list[_Waiting]:
        """What waits, in order, up to the batch's persons; one that is larger goes alone.

        A copy of a message begins the next batch: only once the first is
        stored has it a receipt to give.
        """
        taken = [self._queue.popleft()]
        persons = taken[0].work.persons
        messages = {_message_of(taken[0])} - {None}
        while self._queue and persons + self._queue[0].work.persons <= self._max_persons:
            message = _message_of(self._queue[0])
            if message in messages:
                break
            if message is not None:
                messages.add(message)
            taken.append(self._queue.popleft())
            persons += taken[-1].work.persons
        self._persons_waiting -= persons
        return taken

    def _batch(self, taken: Sequence[_Waiting]) -> None:
        works = [waiting.work for waiting in taken]
        self._loops = {waiting.loop for waiting in taken}
        begun = time.perf_counter()
        try:
            try:
                finishes, sealed = self._transaction(works)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
                # Nothing was committed: the server was restarted between two batches, as a rule.
                self._disconnect()
                finishes, sealed = self._transaction(works)
        except Exception as error:
            self._failed(taken, error)
            return
        self.batches += 1
        self.answered += len(taken)
        persons = sum(waiting.work.persons for waiting in taken)
        self._metrics.batch(persons, len(taken), time.perf_counter() - begun)
        self._metrics.spent.set(len(self._log.spent))
        pairs = zip(taken, finishes, strict=True)
        _deliver([(w, made if isinstance(made, HubError) else (made, sealed)) for w, made in pairs])

    def _transaction(self, works: Sequence[Work]) -> tuple[list[Finish | HubError], SealedBatch]:
        """All works in one transaction. Returns only after the commit."""
        connection = self._connect()
        now = self._clock()
        self._before(connection, now)
        transaction = connection.begin()
        aside: _Aside | None = None
        try:
            lock(connection)
            if self._policies:
                self._policies.take(connection, now)
            if not self._database_waits:
                aside = self._stand_aside()
            read = batch.read(connection, Needs.union(work.needs() for work in works))
            self._log.begin(connection, now)
            tx = Tx(now, read, _Ports(connection, self._log, self._rows))
            aside = aside or self._stand_aside()
            finishes = [self._apply(tx, work) for work in works]
            if self._database_waits:
                aside.end()
            sealed = self._log.flush(connection, now)
            postponed = [notices.row_of(self._rows, sealed.year, *one, now=now) for one in tx.written.later]
            tx.written.postponed.update({row.key: row for row in postponed})
            messages = [self._message(tx, caller, make(sealed)) for caller, make in tx.written.messages]
            batch.write(connection, tx.written, messages)
        except BaseException:
            self._log.rolled_back()
            if transaction.is_active:
                transaction.rollback()
            raise
        finally:
            if aside is not None:
                aside.end()
        try:
            with self._metrics.commit_seconds.time():
                transaction.commit()
        except Exception as error:
            self._log.rolled_back()
            raise _CommitFailed from error
        self._log.committed()
        return finishes, sealed

    def _stand_aside(self) -> _Aside:
        """Ask the loops of this batch to stand still; nobody is asked while the hub stops."""
        return _Aside(set() if self._stopping else self._loops)

    def _apply(self, tx: Tx, work: Work) -> Finish | HubError:
        """One work. A refusal before its first write is an answer like any other, and recorded."""
        caller = work.caller
        if caller is not None:
            if self._policies and not isinstance(work, Refusal) and _late(caller, self._policies):
                # Let in under another version, or before somebody closed something: not half under each.
                return PolicyChanged()
            tag = tag_of(caller.statement.node, caller.statement.jti)
            try:
                if not tx.spend(tag, caller.jti_until):
                    return Unauthenticated()
            except Overloaded as error:
                return error
        touched = tx.touched
        try:
            return work.apply(tx)
        except HubError as error:
            if tx.touched != touched:
                raise
            if caller is not None:
                tx.record(caller.draft(tx.now, refused=error.code))
            problem = problem_of(error)
            return lambda _: problem

    def _message(self, tx: Tx, caller: Any, receipt: bytes) -> MessageRow:
        tag, message = caller.message_key
        sealed = self._rows.seal_message(tag, message, caller.body_digest, receipt)
        return MessageRow(tag, message, caller.body_digest, sealed, tx.seconds)

    # --- failure ---------------------------------------------------------------------

    def _failed(self, taken: Sequence[_Waiting], error: Exception) -> None:
        """Nothing of the batch holds. Decide who is tried again and who is told so."""
        if isinstance(error, PolicyAway):
            self._metrics.not_recorded.inc(len(taken))
            _deliver([(waiting, PolicyAway()) for waiting in taken])
            return
        if isinstance(
            error,
            (_CommitFailed, _NotConnected, OperationalError, InterfaceError, LogInconsistent, HistoryBroken),
        ) or (isinstance(error, DBAPIError) and error.connection_invalidated):
            # What the log says of itself names places and heads only; other texts may hold anything.
            reason = str(error) if isinstance(error, LogInconsistent) else ""
            log.error("batch_not_recorded", error=type(error).__name__, works=len(taken), reason=reason)
            self._disconnect()
            self._metrics.not_recorded.inc(len(taken))
            _deliver([(waiting, LogUnavailable()) for waiting in taken])
            if _is_disk_error(error):
                log.critical("disk_failed")
                with self._wake:
                    self._stopping = True
                self._fatal()
            return
        if len(taken) > 1:
            log.warning(
                "batch_rolled_back", error=type(error).__name__, place=place_of(error), works=len(taken)
            )
            for waiting in taken:
                self._batch([waiting])
            return
        work = taken[0].work
        if isinstance(error, HubError) and work.caller is not None:
            # Refused after its first write: those are undone, and the refusal is recorded by itself.
            taken[0].work = Refusal(work.caller, error.code, problem_of(error))
            self._batch(taken)
            return
        log.error("work_failed", error=type(error).__name__, place=place_of(error), work=type(work).__name__)
        _deliver([(taken[0], WorkFailed())])

    def _connect(self) -> Connection:
        if self._connection is None:
            if not self._pause.over():
                raise _NotConnected
            try:
                self._connection = self._engine.connect()
            except DBAPIError:
                self._pause.longer()
                log.error("database_not_reached", pause_s=self._pause.length)
                raise
            self._pause.end()
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            try:
                self._connection.invalidate()
                self._connection.close()
            except DBAPIError:
                log.warning("connection_not_closed")
            self._connection = None


def _message_of(waiting: _Waiting) -> tuple[bytes, str] | None:
    caller = waiting.work.caller
    return caller.message_key if caller is not None else None


def _deliver(outcomes: "Sequence[tuple[_Waiting, tuple[Finish, SealedBatch] | BaseException]]") -> None:
    """Wake everybody of a batch at once: one call into each event loop."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[_Waiting, Any]]] = {}
    for waiting, outcome in outcomes:
        loops.setdefault(waiting.loop, []).append((waiting, outcome))
    for loop, listed in loops.items():
        try:
            loop.call_soon_threadsafe(_resolve_all, listed)
        except RuntimeError:
            log.warning("answer_had_no_listener", works=len(listed))


def _resolve_all(listed: "Sequence[tuple[_Waiting, Any]]") -> None:
    for waiting, outcome in listed:
        waiting.resolve(outcome)


def _is_disk_error(error: BaseException) -> bool:
    cause = error.__cause__ if isinstance(error, _CommitFailed) else error
    code = getattr(getattr(cause, "orig", None), "sqlite_errorcode", 0)
    return code & 0xFF == _SQLITE_IOERR


def _late(caller: Caller, policies: Policies) -> bool:
    """Whether it was let in under something else than is in force in this transaction."""
    if not caller.policy_number:
        return False
    now = policies.current.number, policies.registers.changes.closings
    return (caller.policy_number, caller.closings) != now
