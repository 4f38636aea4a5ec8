"""The connectors of one node, worked off one message, file or query at a time.

    folder  ─┐
    call    ─┼─> inbox ─> connector ─> Plan ─> outbox, in one transaction with what is remembered
    clock   ─┘                └─> aside with its reason, or later when the source gave a fault

A message is taken whole or not at all; of a list the good rows go and the bad
ones are listed. What a fault left undone is tried again by itself; what is
wrong waits aside until somebody repaired it, and does not stop the others.

Source: docs/design/node.md, "Sources".
"""

import asyncio
import fcntl
import hashlib
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import httpx
import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from index.protocol.keyfile import KeyFileError
from policy.vocabulary import Vocabulary

from ..errors import BadInput, BadItems, SettingsError, SourceUnreachable, UnknownSource, Wrong
from ..intake import Intake
from ..outbox import Memory, Outbox
from ..publication import Rules
from ..settings import NodeKeys, NodeSettings, SourceSettings
from . import csv, excel, suwinet, zgw
from .facts import Read
from .inbox import Arrived, Inbox
from .istandaarden import Messages, load_codes
from .plan import Plan, apply, plan, showable
from .references import References
from .rows import PACKAGED, Mapped, load_mapping, names_of
from .rows import dropped as dropped_columns
from .sql import Database
from .zgw import Cases, load_case_types

log = structlog.get_logger()

_TRIES_S = (1.0, 5.0, 30.0, 120.0, 600.0)
_TIMER_EVERY = timedelta(hours=1)
_LARGEST = {"csv": csv.MAX_BYTES, "excel": excel.MAX_BYTES}
_LARGEST_MESSAGE = 2 * 1024 * 1024
_MESSAGES_COUNTED = 100
_MOST_NAMES = 60
TYPE = "type:"
"""Begins what `triable` names that is a type of message and no source of the settings."""
_TRIED_TYPES = ("csv", "istandaarden", "suwinet")
_UNFINISHED = (".part", ".tmp", ".filepart")


class Connector(Protocol):
    """One source of messages or files. `plan` reads, fetches where it must, and touches nothing."""

    kinds: frozenset[str]

    async def plan(self, content: bytes) -> Plan:
        """What a message or file does.

        Raises:
            BadInput, BadItems: It cannot be relied on; nothing of it is done.
            SourceUnreachable: A fault; nothing follows from it.
        """

    async def trial(self, content: bytes) -> Plan:
        """As `plan`, of an example: what it does not hold is not gone."""

    def dropped(self, content: bytes) -> list[str]:
        """Names of what is in it and not read.

        Raises:
            BadInput: It cannot be read.
        """


@dataclass(frozen=True, slots=True)
class Tried:
    """What an example would do, and the names of what is dropped of it, as far as they can be shown."""

    plan: Plan
    dropped: list[str]


@dataclass(slots=True)
class _Shared:
    """What all connectors of a node use."""

    outbox: Outbox
    rules: Rules
    now: Callable[[], datetime]

    def whole_or_nothing(self, name: str, reads: list[Read], memory: Memory) -> Plan:
        """The plan of a message: one item that is wrong refuses all of it."""
        made = plan(reads, self.outbox, self.rules, connector=name, whole=False, memory=memory)
        if made.rejections:
            raise BadItems([one.wrong for one in made.rejections])
        return made


class _Lists:
    """CSV and Excel."""

    def __init__(self, settings: SourceSettings, mapping: Mapped, shared: _Shared) -> None:
        self._settings = settings
        self._mapping = mapping
        self._shared = shared
        self.kinds = frozenset([*mapping.kinds.values(), mapping.kind]) - {""}

    async def plan(self, content: bytes) -> Plan:
        return await asyncio.to_thread(self._plan, content, whole=self._mapping.whole)

    async def trial(self, content: bytes) -> Plan:
        return await asyncio.to_thread(self._plan, content, whole=False)

    def dropped(self, content: bytes) -> list[str]:
        lines = excel.lines if self._settings.type == "excel" else csv.lines
        _, heading = next(iter(lines(content)), (1, []))
        return dropped_columns([str(cell or "") for cell in heading], self._mapping)

    def _plan(self, content: bytes, *, whole: bool) -> Plan:
        reader = excel.read if self._settings.type == "excel" else csv.read
        return plan(
            reader(content, self._mapping),
            self._shared.outbox,
            self._shared.rules,
            connector=self._settings.name,
            whole=whole,
            names=names_of(self._mapping),
            shrink_share=self._settings.shrink_share,
            position=hashlib.sha256(content).hexdigest()[:32],
        )


class _Standard:
    """iWmo and iJw."""

    def __init__(self, name: str, messages: Messages, kinds: Iterable[str], shared: _Shared) -> None:
        self._name = name
        self._messages = messages
        self._shared = shared
        self.kinds = frozenset(kinds)

    async def plan(self, content: bytes) -> Plan:
        return await asyncio.to_thread(self._plan, content)

    def _plan(self, content: bytes) -> Plan:
        reads, hearing = self._messages.read(content, self._shared.now().date())
        return self._shared.whole_or_nothing(self._name, reads, hearing.save)

    async def trial(self, content: bytes) -> Plan:
        return await self.plan(content)

    def dropped(self, content: bytes) -> list[str]:
        return self._messages.dropped(content)

    def over(self) -> Plan:
        """What the calendar takes back."""
        reads, hearing = self._messages.over(self._shared.now().date())
        return self._shared.whole_or_nothing(self._name, reads, hearing.save)


class _Answers:
    """Suwinet responses."""

    def __init__(self, name: str, shapes: suwinet.Shapes, references: References, shared: _Shared) -> None:
        self._name = name
        self._shapes = shapes
        self._references = references
        self._shared = shared
        self.kinds = frozenset(kind for one in shapes.records for kind in one.kinds.values()) - {""}

    async def plan(self, content: bytes) -> Plan:
        return await asyncio.to_thread(self._plan, content)

    def _plan(self, content: bytes) -> Plan:
        today = self._shared.now().date()
        reads = suwinet.read(self._name, content, self._shapes, self._references, today)
        return self._shared.whole_or_nothing(self._name, reads, lambda _connection: None)

    async def trial(self, content: bytes) -> Plan:
        return await self.plan(content)

    def dropped(self, content: bytes) -> list[str]:
        return suwinet.dropped(content, self._shapes)


class _Cases:
    """ZGW notifications."""

    def __init__(self, name: str, cases: Cases, kinds: Iterable[str], shared: _Shared) -> None:
        self._name = name
        self._cases = cases
        self._shared = shared
        self.kinds = frozenset(kinds) - {""}

    async def plan(self, content: bytes) -> Plan:
        found = await self._cases.read(content)
        return await asyncio.to_thread(self._shared.whole_or_nothing, self._name, found.reads, found.save)

    async def trial(self, content: bytes) -> Plan:
        return await self.plan(content)

    def dropped(self, content: bytes) -> list[str]:
        return zgw.dropped(content)


class Sources:
    """All connectors of one node, from its settings.

    Args:
        http: Reaches case systems; follows no redirects.
        now: Clock, UTC.

    Raises:
        SettingsError: A mapping, folder or file is missing or wrong; names it.
    """

    def __init__(
        self,
        settings: NodeSettings,
        keys: NodeKeys,
        vocabulary: Vocabulary,
        *,
        engine: Engine,
        outbox: Outbox,
        intake: Intake,
        rules: Rules,
        http: httpx.AsyncClient,
        now: Callable[[], datetime],
    ) -> None:
        self._settings = {source.name: source for source in settings.sources}
        self._list_file = settings.csv.mapping_file
        self._poll = settings.poll_seconds
        self._one_at_a_time = asyncio.Lock()
        self._lock_file = settings.database.with_name(settings.database.name + ".sources")
        self._engine = engine
        self._outbox = outbox
        self._rules = rules
        self._intake = intake
        self._http = http
        self._vocabulary = vocabulary
        self._references = References(keys.secret)
        self._shared = _Shared(outbox, rules, now)
        self._now = now
        self._due: dict[str, datetime] = {}
        self._timer_at = now()
        self._told: dict[str, str] = {}
        self._tallies: dict[str, deque[tuple[int, int]]] = {}
        self.ran: set[str] = set()
        """Sources that did or tried something since the start."""
        self.faults: dict[str, str] = {}
        """Sources that gave a fault at their last run, with its code."""
        self.inbox = Inbox(engine, keys.storage, now)
        self._connectors: dict[str, Connector] = {}
        self._tried: dict[str, Connector] = {}
        self._databases: dict[str, Database] = {}
        for source in settings.sources:
            self._make(source)

    def _make(self, source: SourceSettings) -> None:
        if source.folder is not None and not source.folder.is_dir():
            raise SettingsError(f"source {source.name}: folder {source.folder} is missing")
        if source.folder is not None and not os.access(source.folder, os.R_OK | os.W_OK | os.X_OK):
            raise SettingsError(f"source {source.name}: files in {source.folder} cannot be read and removed")
        path = self.mapping_path(source.name)
        if source.type == "sql":
            mapping = load_mapping(path, self._vocabulary)
            made = Database(source, mapping, self._outbox, self._rules, self._intake)
            self._databases[source.name] = made
        else:
            self._connectors[source.name] = self._connector(source, path)

    def _connector(self, source: SourceSettings, path: Path | None) -> Connector:
        match source.type:
            case "istandaarden":
                codes = load_codes(path, self._vocabulary)
                messages = Messages(source.name, codes, self._references, self._outbox, self._engine)
                kinds = [family.kind for family in codes.families.values()]
                return _Standard(source.name, messages, kinds, self._shared)
            case "suwinet":
                shapes = suwinet.load_shapes(path, self._vocabulary)
                return _Answers(source.name, shapes, self._references, self._shared)
            case "zgw":
                types = load_case_types(path, self._vocabulary)
                cases = Cases(
                    source,
                    types,
                    secret=_secret(source),
                    references=self._references,
                    engine=self._engine,
                    http=self._http,
                    now=self._now,
                )
                return _Cases(source.name, cases, types.zaaktypen.values(), self._shared)
            case _:
                return _Lists(source, load_mapping(path, self._vocabulary), self._shared)

    # --- what there is -----------------------------------------------------------------

    @property
    def names(self) -> list[str]:
        """Names of all sources, in the order of the settings."""
        return list(self._settings)

    def settings_of(self, name: str) -> SourceSettings:
        """The settings of one source.

        Raises:
            UnknownSource: There is no source of this name.
        """
        if name not in self._settings:
            raise UnknownSource(f"There is no source {name} in the settings of this node.")
        return self._settings[name]

    def mapping_path(self, name: str) -> Path | None:
        """The mapping that a source names; None for the one of its type."""
        source = self.settings_of(name)
        if source.mapping_file is None and source.mapping:
            return PACKAGED / f"{source.mapping}.toml"
        return source.mapping_file

    def kinds_of(self, name: str) -> frozenset[str]:
        """The kinds that the mapping of a source names."""
        found = self._connectors.get(name)
        return found.kinds if found is not None else frozenset()

    def close(self) -> None:
        """Let go of databases."""
        for database in self._databases.values():
            database.close()

    # --- one message or file -----------------------------------------------------------

    async def plan(self, name: str, content: bytes) -> Plan:
        """What a message or file of a source would do; touches nothing.

        Raises:
            BadInput, BadItems, SourceUnreachable: As `Connector.plan`.
            UnknownSource: There is no such source, or it takes no files.
        """
        connector = self._connectors.get(self.settings_of(name).name)
        if connector is None:
            raise UnknownSource(f"The source {name} takes no messages or files.")
        return await connector.plan(content)

    @property
    def triable(self) -> list[str]:
        """What `try_out` takes: the sources that take messages or files, then types without a source."""
        own = [name for name in self._settings if name in self._connectors]
        types = {self._settings[name].type for name in own}
        return own + [f"{TYPE}{type_}" for type_ in _TRIED_TYPES if type_ not in types]

    async def try_out(self, what: str, content: bytes) -> Tried:
        """What an example would do; touches nothing and sends nothing to the hub.

        A case system is asked for the case that a notification names.

        Args:
            what: One of `triable`.

        Raises:
            BadInput, BadItems, SourceUnreachable: As `Connector.plan`.
            UnknownSource: It is none of `triable`.
        """
        if what not in self.triable:
            raise UnknownSource("There is no such source.")
        connector = self._connectors.get(what) or self._type(what.removeprefix(TYPE))
        made = await connector.trial(content)
        names = await asyncio.to_thread(connector.dropped, content)
        shown = [name for name in dict.fromkeys(names) if showable(name)]
        return Tried(made, shown[:_MOST_NAMES])

    def _type(self, type_: str) -> Connector:
        """A connector of this type with the mapping that comes along, for a trial only."""
        if type_ not in self._tried:
            # The list of `[csv]` is known under this name too; see `csv.plan`.
            source = SourceSettings.model_validate({"name": type_, "type": type_})
            self._tried[type_] = self._connector(source, self._list_file if type_ == "csv" else None)
        return self._tried[type_]

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """From reading to doing nobody else works: not this process, not a command beside it.

        What was read first must be done first. Else an older message that waits
        for the key holders would overwrite what a newer one has said meanwhile.
        """
        async with self._one_at_a_time:
            file = await asyncio.to_thread(_locked, self._lock_file)
            try:
                yield
            finally:
                os.close(file)

    async def take(
        self,
        name: str,
        content: bytes,
        *,
        confirm_shrink: bool = False,
        gone: Memory | None = None,
        allowed: Callable[[Plan], Awaitable[None]] | None = None,
    ) -> Plan:
        """Do what a message or file says.

        Args:
            allowed: Raises when this caller may not do what is planned.
            gone: Written in the same transaction, such as that the message is worked off.

        Raises:
            BadInput, BadItems, SourceUnreachable, ShrinkStops: Nothing was done.
        """
        async with self.alone():
            made = await self.plan(name, content)
            if allowed is not None:
                await allowed(made)
            await self.do(made, confirm_shrink=confirm_shrink, gone=gone)
        return made

    async def do(
        self,
        made: Plan,
        *,
        confirm_shrink: bool = False,
        gone: Memory | None = None,
        progress: Callable[[int, int], None] | None = None,
        pseudonymised: Callable[[int], None] = lambda _count: None,
    ) -> None:
        """Do what was planned, and remember how much of it was rejected; inside `alone`."""
        if gone is not None:
            made = replace(made, memory=_both(made.memory, gone))
        await apply(
            made,
            self._intake,
            confirm_shrink=confirm_shrink,
            progress=progress,
            pseudonymised=pseudonymised,
        )
        self._ran(made.connector, [made])

    @property
    def shares(self) -> dict[str, float]:
        """Rejected share of the last list of each source, or of its last messages; for alerts."""
        return {
            name: sum(bad for bad, _ in tally) / max(1, sum(all_ for _, all_ in tally))
            for name, tally in self._tallies.items()
        }

    def _count(self, name: str, rejected: int, items: int) -> None:
        self.ran.add(name)
        source = self._settings.get(name)
        kept = 1 if source is None or source.type in ("csv", "excel", "sql") else _MESSAGES_COUNTED
        self._tallies.setdefault(name, deque(maxlen=kept)).append((rejected, items))

    def _ran(self, name: str, plans: Sequence[Plan]) -> None:
        rejected = sum(made.counts["rejected"] for made in plans)
        self._count(name, rejected, max(1, sum(len(made.steps) for made in plans)))
        self.faults.pop(name, None)
        counts = {
            action: sum(made.counts[action] for made in plans)
            for action in (plans[0].counts if plans else {})
        }
        log.info("source_ran", source=name, **{key: value for key, value in counts.items() if value})

    # --- databases ---------------------------------------------------------------------

    def database(self, name: str) -> Database | None:
        """The database of a source of type sql."""
        return self._databases.get(self.settings_of(name).name)

    async def pull(
        self,
        name: str,
        *,
        confirm_shrink: bool = False,
        progress: Callable[[int, int], None] | None = None,
        pseudonymised: Callable[[int], None] = lambda _count: None,
    ) -> list[Plan]:
        """Read a database and do what it says.

        Raises:
            SourceUnreachable, BadInput, ShrinkStops: As `Database.run`.
            UnknownSource: The source is no database.
        """
        database = self.database(name)
        if database is None:
            raise UnknownSource(f"The source {name} is no database.")
        async with self.alone():
            done = await database.run(
                confirm_shrink=confirm_shrink, progress=progress, pseudonymised=pseudonymised
            )
        self._ran(name, done)
        return done

    # --- by itself ---------------------------------------------------------------------

    async def run(self, wake: Callable[[], None]) -> None:
        """Work until cancelled. An unexpected error is reported and the work goes on.

        Args:
            wake: Tells the sender that something was queued.
        """
        while True:
            worked = False
            try:
                worked = await self.step()
            except Exception as error:
                log.error("source_failed", error=type(error).__name__)
            if worked:
                wake()
            else:
                await asyncio.sleep(self._poll)

    async def step(self) -> bool:
        """One piece of work; False when there is nothing to do now."""
        taken = await asyncio.to_thread(self.collect)
        return await self._work_off() or await self._pull_when_due() or await self._timer() or bool(taken)

    def collect(self, name: str | None = None) -> int:
        """Take the files out of the watched folders into the inbox; returns how many.

        A file is removed once it is kept, sealed. One that is too large stays,
        and is reported once.
        """
        count = 0
        for source in self._settings.values():
            if source.folder is not None and name in (None, source.name):
                for file in self.files(source.name):
                    if (content := self._content(source, file)) is not None:
                        self.inbox.put(source.name, content)
                        file.unlink(missing_ok=True)
                        count += 1
        return count

    def files(self, name: str) -> list[Path]:
        """The files in a source's folder that are complete, oldest first."""
        source = self.settings_of(name)
        if source.folder is None:
            return []
        found: list[tuple[float, Path]] = []
        for file in source.folder.iterdir():
            with suppress(FileNotFoundError):
                if file.is_symlink() or not file.is_file():
                    continue
                if file.name.startswith(".") or file.name.endswith(_UNFINISHED):
                    continue
                written = file.stat().st_mtime
                if time.time() - written >= source.settle_seconds:
                    found.append((written, file))
        return [file for _, file in sorted(found)]

    def _content(self, source: SourceSettings, file: Path) -> bytes | None:
        most = _LARGEST.get(source.type, _LARGEST_MESSAGE)
        try:
            size = file.stat().st_size
            content = None if size > most else file.read_bytes()
        except OSError as error:
            self._tell(source.name, type(error).__name__)
            return None
        if content is None:
            self._tell(source.name, "file-too-large")
        return content

    def _fault(self, name: str, code: str) -> None:
        self.ran.add(name)
        self.faults[name] = code

    def _tell(self, name: str, code: str) -> None:
        self._fault(name, code)
        if self._told.get(name) != code:
            self._told[name] = code
            log.error("source_file_not_taken", source=name, reason=code)

    async def _work_off(self) -> bool:
        arrived = await asyncio.to_thread(self.inbox.next, list(self._connectors))
        if arrived is None:
            return False
        await self.handle(arrived)
        return True

    async def handle(
        self,
        arrived: Arrived,
        *,
        confirm_shrink: bool = False,
        done: Callable[[Plan], None] = lambda _plan: None,
    ) -> bool:
        """Work one message off; True when it was, else it lies aside or waits for another try.

        Args:
            done: Told what was done.
        """

        def gone(connection: Connection) -> None:
            self.inbox.done(connection, arrived)

        name = arrived.connector
        try:
            done(await self.take(name, arrived.content, confirm_shrink=confirm_shrink, gone=gone))
        except SourceUnreachable as error:
            pause = _TRIES_S[min(arrived.attempts, len(_TRIES_S) - 1)]
            self._fault(name, error.reason)
            log.warning("source_unreachable", source=name, reason=error.reason)
            await asyncio.to_thread(self.inbox.later, arrived, error.reason, pause)
            return False
        except BadItems as error:
            await self._aside(arrived, error.errors[0])
            return False
        except BadInput as error:
            await self._aside(arrived, Wrong(error.field, error.code, error.detail))
            return False
        except SQLAlchemyError:
            # The node's own store, not the message.
            raise
        except Exception as error:
            # It would meet the same defect for ever, and hold up all that come after it.
            log.error("message_met_a_defect", source=name, error=type(error).__name__)
            rule = "This message meets a defect of this program. Report it; the others go on."
            await self._aside(arrived, Wrong("message", "defect", rule))
            return False
        return True

    async def _aside(self, arrived: Arrived, wrong: Wrong) -> None:
        self._count(arrived.connector, 1, 1)
        log.warning("message_set_aside", source=arrived.connector, code=wrong.code)
        await asyncio.to_thread(self.inbox.set_aside, arrived, wrong)

    async def _pull_when_due(self) -> bool:
        now = self._now()
        for name in self._databases:
            if now < self._due.get(name, now):
                continue
            pause = timedelta(minutes=self._settings[name].every_minutes)
            try:
                done = await self.pull(name)
            except SourceUnreachable as error:
                self._fault(name, error.reason)
                log.warning("source_unreachable", source=name, reason=error.reason)
                self._due[name] = self._now() + min(pause, timedelta(minutes=1))
            except BadInput as error:
                # A list that stops and asks is told by the alert; `node sync --confirm-shrink` does it.
                self._fault(name, error.code)
                log.warning("source_stopped", source=name, reason=error.code)
                self._due[name] = self._now() + pause
            else:
                self._due[name] = self._now() + pause
                return any(made.publications or made.retractions for made in done)
        return False

    async def _timer(self) -> bool:
        if self._now() < self._timer_at:
            return False
        self._timer_at = self._now() + _TIMER_EVERY
        await asyncio.to_thread(self.inbox.erase_old)
        return await self.retract_past() > 0

    async def retract_past(self) -> int:
        """Take back what ended by the calendar: no message comes for it."""
        count = 0
        for connector in self._connectors.values():
            if isinstance(connector, _Standard):
                async with self.alone():
                    made = await asyncio.to_thread(connector.over)
                    if made.steps:
                        await apply(made, self._intake)
                        count += len(made.retractions)
        return count


def _both(first: Memory, second: Memory) -> Memory:
    def written(connection: Connection) -> None:
        first(connection)
        second(connection)

    return written


def _locked(path: Path) -> int:
    """A file that nobody else has locked; closing it lets go, and so does the end of the process."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def _secret(source: SourceSettings) -> str:
    file = source.client_secret_file
    try:
        if file is None:
            raise KeyFileError("client_secret_file is missing")
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError, KeyFileError):
        raise SettingsError(f"source {source.name}: client_secret_file is missing or not text") from None
