"""The hub's side of its witnesses: ask them before the first signature, then keep them up to date.

    every second: newest signed checkpoint -> each witness in a thread of its own
                  -> cosignature verified -> stored -> quorum?

No answer waits for a witness, but for the first batch after a start: that waits
until every witness said how far it is, some seconds at most. One that has seen
more than the database holds, or something else, proves a restored backup or a
second history: then nothing is signed any more, and the reason stands in the
log and in `/health`. A witness that is away at the start is asked as soon as it
is there, with the same consequence. Later differences of one that agreed before
are alarms.

Without a quorum for 10 minutes: an alarm. For 4 hours: a banner for officers.
Refusing lookups after some hours is a setting, off by default.

Source: docs/design/access-log.md, "Checkpoints, witnesses, quorum".
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal
from urllib.parse import urlsplit

import httpx
import structlog
from nacl.signing import SigningKey
from sqlalchemy import Connection, Engine

from index.accesslog import cosignatures
from index.accesslog.cosignatures import Cosigned
from index.accesslog.log import AccessLog
from index.accesslog.reading import LogReader, SignedHead
from index.accesslog.tiles import Tree
from index.metrics import HubMetrics
from index.protocol.addcheckpoint import MAX_ANSWER, PATH, cosignature_in, parse_size, request_bytes
from index.protocol.merkle import EMPTY_ROOT, consistency_proof
from index.protocol.note import Checkpoint, origin_of, sign_checkpoint
from index.protocol.tlogpolicy import LogPolicy, Witness
from index.store.engine import lock, reading

log = structlog.get_logger()

EVERY_S = 1.0
AT_LEAST_S = 60.0
ALERT = timedelta(minutes=10)
BANNER = timedelta(hours=4)
_TIMEOUT = httpx.Timeout(3.0, connect=2.0)
_WHOLE_S = 10.0
_RETRY_S = 0.25
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

Said = Literal["cosigned", "behind", "differs", "again", "refused", "garbage", "away"]
"""What came of one offer. `behind`: the hub is; `differs`: another history was cosigned."""
State = Literal["good", "alert", "banner"]


@dataclass(frozen=True, slots=True)
class Standing:
    """How long ago a quorum confirmed the log. `refusal` says why nothing is signed, else empty."""

    state: State
    confirmed_at: datetime | None
    witnesses: Mapping[str, str]
    refusal: str

    @property
    def banner(self) -> bool:
        return self.state == "banner" or bool(self.refusal)


@dataclass(slots=True)
class _Courier:
    """What is known of one witness."""

    witness: Witness
    sizes: dict[int, int] = field(default_factory=dict)
    """Size it last cosigned, by year, as far as known."""
    offered: dict[int, tuple[int, float]] = field(default_factory=dict)
    """Size and monotonic time of the last one it cosigned in this process, by year."""
    agreed: bool = False
    asked: bool = False
    said: str = "away"
    wake: threading.Event = field(default_factory=threading.Event)


class Witnesses:
    """The feed of one hub process; `start` and `stop` with the application.

    Args:
        policy: Witnesses without an address are not offered anything.
        signing: The log's key; only the empty tree of a new log is signed with it here.
        first_s: How long the first batch waits for the witnesses' sizes.
        client: Replaces the network in tests.
    """

    def __init__(
        self,
        policy: LogPolicy | None,
        *,
        engine: Engine,
        reader: LogReader,
        access_log: AccessLog,
        signing: SigningKey,
        clock: Callable[[], datetime],
        metrics: HubMetrics,
        first_s: float = 5.0,
        refuse_after: timedelta | None = None,
        client: Callable[[], httpx.Client] | None = None,
    ) -> None:
        self.policy = policy
        self._engine = engine
        self._reader = reader
        self._log = access_log
        self._signing = signing
        self._clock = clock
        self._metrics = metrics
        self._first_s = first_s
        self._refuse_after = refuse_after
        self._client = client or _client
        listed = policy.witnesses.values() if policy else ()
        self._couriers = [_Courier(one) for one in listed if one.url]
        self._heads: tuple[SignedHead, ...] = ()
        self._fresh: list[Cosigned] = []
        self._guard = threading.Lock()
        self._over = threading.Event()
        self._all_asked = threading.Event()
        self._threads: list[threading.Thread] = []
        self._begun = clock()
        self._until = 0.0
        self._confirmed_at: datetime | None = None
        self._state: State = "good"

    # --- for the process ---------------------------------------------------------------

    def start(self) -> None:
        """Begin to offer checkpoints. Before the writer starts."""
        self._begun = self._clock()
        if not self._couriers:
            return
        self._until = time.monotonic() + self._first_s
        self._over.clear()
        self._threads = [
            threading.Thread(target=self._run, name="witnesses", daemon=True),
            *(
                threading.Thread(target=self._carry, args=(one,), name="witness", daemon=True)
                for one in self._couriers
            ),
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Offer nothing more; one that is being asked is not waited for."""
        self._over.set()
        for courier in self._couriers:
            courier.wake.set()
        if self._threads:
            self._threads[0].join(timeout=5)
        self._threads = []

    def before_signing(self) -> None:
        """Wait, after a start only, until every witness said how far it is, `first_s` at most."""
        if self._threads and not self._all_asked.is_set():
            in_time = self._all_asked.wait(max(0.0, self._until - time.monotonic()))
            if not in_time:
                away = sorted(one.witness.name for one in self._couriers if not one.asked)
                log.warning("witnesses_not_asked", away=away)
            self._all_asked.set()

    def standing(self) -> Standing | None:
        """How the log is confirmed; None where no witness is asked to."""
        if self.policy is None or not self.policy.asks_quorum:
            return None
        said = {one.witness.name: one.said for one in self._couriers}
        return Standing(self._state_at(self._clock()), self._confirmed_at, said, self._log.refusal)

    def refuses(self) -> bool:
        """Whether lookups are to be refused: nobody confirmed the log for as long as the setting says."""
        if self._refuse_after is None or self.policy is None or not self.policy.asks_quorum:
            return False
        return self._age(self._clock()) >= self._refuse_after

    def once(self) -> None:
        """Offer to every witness in this thread and store what came; the threads do this all the time."""
        self.tick()
        with self._client() as client:
            for courier in self._couriers:
                self._carry_all(courier, client)
        self.tick()

    # --- the clockwork -----------------------------------------------------------------

    def _run(self) -> None:
        while True:
            try:
                self.tick()
            except Exception as error:
                # Whatever it was, the next second may be better; the age of the confirmation tells.
                log.error("witness_feed_failed", error=type(error).__name__)
            if self._over.wait(EVERY_S):
                return

    def tick(self) -> None:
        """Store what came in, look how the log stands, and offer its newest heads."""
        with self._guard:
            fresh, self._fresh = self._fresh, []
        if fresh and self.policy is not None:
            with self._engine.connect() as connection, connection.begin():
                lock(connection)
                cosignatures.keep(connection, fresh, self.policy)
        with reading(self._engine) as connection:
            self._heads = self._newest_heads(connection)
            for head in self._heads:
                self._note_confirmed(connection, head.year)
        self._tell()
        for courier in self._couriers:
            courier.wake.set()

    def _newest_heads(self, connection: Connection) -> tuple[SignedHead, ...]:
        """This year's head, and last year's for as long as its end is not confirmed."""
        newest = self._reader.head(connection)
        if newest is None:
            # An empty log too can be behind a witness: the empty tree is offered, to hear its size.
            empty = Checkpoint(origin_of(self._reader.prefix, self._clock().year), 0, EMPTY_ROOT)
            return (SignedHead(self._clock().year, 0, EMPTY_ROOT, sign_checkpoint(empty, self._signing)),)
        before = self._reader.head(connection, newest.year - 1)
        if before is not None:
            confirmed = self._reader.confirmed(connection, before.year)
            if confirmed is None or confirmed.size < before.size:
                return (before, newest)
        return (newest,)

    def _note_confirmed(self, connection: Connection, year: int) -> None:
        found = self._reader.confirmed(connection, year)
        if found is None or found.confirmed.since is None:
            return
        at = datetime.fromtimestamp(found.confirmed.since, UTC)
        if self._confirmed_at is None or at > self._confirmed_at:
            self._confirmed_at = at

    def _age(self, now: datetime) -> timedelta:
        return now - (self._confirmed_at or self._begun)

    def _state_at(self, now: datetime) -> State:
        age = self._age(now)
        return "banner" if age >= BANNER else "alert" if age >= ALERT else "good"

    def _tell(self) -> None:
        """Figures, and one line in the log at each change of state."""
        now = self._clock()
        self._metrics.log_confirmed_age.set(max(0.0, self._age(now).total_seconds()))
        self._metrics.log_refused.set(bool(self._log.refusal))
        state = self._state_at(now)
        if state != self._state:
            said = {one.witness.name: one.said for one in self._couriers}
            tell = log.info if state == "good" else log.error
            tell("log_confirmation", state=state, seconds=int(self._age(now).total_seconds()), witnesses=said)
            self._state = state

    # --- one witness -------------------------------------------------------------------

    def _carry(self, courier: _Courier) -> None:
        """The thread of one witness: it may be slow, silent or lie, and holds up nobody."""
        with self._client() as client:
            while not self._over.is_set():
                hurry = not courier.asked and time.monotonic() < self._until
                courier.wake.wait(_RETRY_S if hurry else None)
                courier.wake.clear()
                try:
                    self._carry_all(courier, client)
                except Exception as error:
                    log.error("witness_not_offered", witness=courier.witness.name, error=type(error).__name__)

    def _carry_all(self, courier: _Courier, client: httpx.Client) -> None:
        for head in self._heads:
            if not self._over.is_set() and self._due(courier, head):
                self._hear(courier, self.offer(courier, head, client))

    def _due(self, courier: _Courier, head: SignedHead) -> bool:
        size, at = courier.offered.get(head.year, (-1, 0.0))
        return head.size > size or time.monotonic() - at >= AT_LEAST_S

    def offer(self, courier: _Courier, head: SignedHead, client: httpx.Client) -> tuple[Said, str]:
        """Offer one checkpoint; a second time where the witness names another size.

        Returns:
            What came of it, and the reason where that is `behind` or `differs`.
        """
        name = courier.witness.name
        old = courier.sizes.get(head.year)
        if old is None:
            with reading(self._engine) as connection:
                old = min(cosignatures.last_size(connection, head.year, name), head.size)
        for _ in range(2):
            try:
                body = request_bytes(old, self._proof(head, old), head.note)
                status, answer = _post(client, courier.witness.url + PATH, body)
            except httpx.HTTPError:
                return "away", ""
            if status == 200:
                return self._cosigned(courier, head, answer)
            if status == 422:
                return "differs", f"the witness {name} has cosigned another history of {old} entries"
            size = parse_size(answer) if status == 409 else None
            if size is None:
                return ("garbage" if status in (200, 409) else "refused"), ""
            if size > head.size:
                return self._ahead(courier, head, size)
            if size == old:
                return "differs", f"the witness {name} has cosigned another history of {old} entries"
            old = courier.sizes[head.year] = size
        return "garbage", ""

    def _proof(self, head: SignedHead, old: int) -> list[bytes]:
        with reading(self._engine) as connection:
            return consistency_proof(old, head.size, Tree(connection, head.year, head.size).node)

    def _cosigned(self, courier: _Courier, head: SignedHead, answer: bytes) -> tuple[Said, str]:
        found = cosignature_in(answer, head.note, courier.witness.key)
        # Its size is not known where its word cannot be believed.
        courier.sizes.pop(head.year, None)
        if found is None:
            return "garbage", ""
        courier.sizes[head.year] = head.size
        courier.offered[head.year] = (head.size, time.monotonic())
        at, signature = found
        if abs(at - self._clock().timestamp()) > 300:
            log.warning("witness_clock_differs", witness=courier.witness.name)
        if head.size:
            cosigned = Cosigned(head.year, head.size, head.root, courier.witness.name, at, signature)
            with self._guard:
                self._fresh.append(cosigned)
        return "cosigned", ""

    def _ahead(self, courier: _Courier, head: SignedHead, size: int) -> tuple[Said, str]:
        """The witness saw more than was offered; another process of this hub may have shown it."""
        with reading(self._engine) as connection:
            now = self._reader.head(connection, head.year)
        have = now.size if now else 0
        if size <= have:
            courier.sizes[head.year] = size
            return "again", ""
        return "behind", (
            f"the witness {courier.witness.name} has cosigned {size} entries of {head.year}, this database "
            f"has {have}: it is behind, as after a restored backup"
        )

    def _hear(self, courier: _Courier, heard: tuple[Said, str]) -> None:
        said, reason = heard
        self._metrics.witness_answers.labels(courier.witness.name, said).inc()
        if said != courier.said:
            (log.info if said == "cosigned" else log.warning)(
                "witness_said", witness=courier.witness.name, said=said, reason=reason
            )
        courier.said = said
        if said in ("behind", "differs") and not courier.agreed:
            if not self._log.refusal:
                self._log.refuse(f"{reason}; nothing is signed on it")
                log.critical("log_not_signed", reason=self._log.refusal)
        elif said in ("behind", "differs"):
            log.critical("witness_disagrees", reason=reason)
        if said == "cosigned":
            courier.agreed = True
        if said != "away":
            courier.asked = True
            if all(one.asked for one in self._couriers):
                self._all_asked.set()


def check_addresses(policy: LogPolicy) -> str:
    """The name of a witness whose address is neither https nor on this machine; empty where all are fine."""
    for one in policy.witnesses.values():
        parts = urlsplit(one.url)
        if one.url and parts.scheme != "https" and parts.hostname not in _LOOPBACK:
            return one.name
    return ""


def _client() -> httpx.Client:
    # No proxy from the environment and no redirects: checkpoints go where the policy says.
    return httpx.Client(timeout=_TIMEOUT, trust_env=False, follow_redirects=False)


def _post(client: httpx.Client, url: str, body: bytes) -> tuple[int, bytes]:
    """Status and body, bounded in length and in the whole time.

    Raises:
        HTTPError: Not reachable, too slow or too long.
    """
    until = time.monotonic() + _WHOLE_S
    raw = b""
    headers = {"Content-Type": "text/plain", "Accept-Encoding": "identity"}
    with client.stream("POST", url, content=body, headers=headers) as answer:
        if "content-encoding" in answer.headers:
            raise httpx.ReadError("the answer is compressed, and may be of any length")
        for chunk in answer.iter_bytes():
            raw += chunk
            if len(raw) > MAX_ANSWER or time.monotonic() > until:
                raise httpx.ReadError("the answer is too long or too slow")
    return answer.status_code, raw
