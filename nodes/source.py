"""What the source's pages and `node status` show: the outbox as counts, without persons."""

import asyncio
import time
from calendar import monthrange
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import httpx
from sqlalchemy import Engine, delete, func, select

from policy.vocabulary import Vocabulary

from .hub import Hub
from .intake import Intake
from .outbox import CONFIRMED, waiting_counts
from .store.database import reading, writing
from .store.tables import cursor, flag, rejected
from .trust import Trust

_PROBE_S = 5.0
_SOON = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class RejectedView:
    """Something that could not be passed on, by local reference or line number, with the reason."""

    id: int
    local_ref: str
    line: int | None
    field: str
    code: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Overview:
    """The state of the source now. `waiting` counts messages' items not yet acknowledged."""

    waiting: int
    waiting_for_holders: int
    oldest_waiting: datetime | None
    live: int
    published_today: int
    retracted_today: int
    expiring_soon: int
    rejected: int
    last_sent: datetime | None
    last_confirmed: datetime | None
    hub_reachable: bool
    holders_reachable: bool
    alarm: str
    """Empty, or the id of a key holder whose proof was wrong."""


@dataclass(frozen=True, slots=True)
class OwnKind:
    """A kind this source may publish, with its neutral name and law."""

    kind: str
    label: str
    act: str
    name: str
    desk: str


class Probe:
    """A question about reachability whose answer is kept for a few seconds."""

    def __init__(self, ask: Callable[[], Awaitable[bool]]) -> None:
        self._ask = ask
        self._known: tuple[float, bool] | None = None

    async def __call__(self) -> bool:
        """Whether the other side answers now."""
        if self._known is None or time.monotonic() - self._known[0] > _PROBE_S:
            self._known = (time.monotonic(), await self._ask())
        return self._known[1]


class SourceDesk:
    """Read side of the outbox for people.

    Args:
        http: Reaches the key holders' health.
        now: Clock, UTC.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        hub: Hub,
        intake: Intake,
        trust: Trust,
        vocabulary: Vocabulary,
        http: httpx.AsyncClient,
        now: Callable[[], datetime],
    ) -> None:
        self._engine = engine
        self._intake = intake
        self._trust = trust
        self._vocabulary = vocabulary
        self._http = http
        self._now = now
        self.hub_reachable = Probe(hub.reachable)
        self.holders_reachable = Probe(self._enough_holders)

    async def _enough_holders(self) -> bool:
        manifest = self._trust.manifest.current
        needed = max(key.t for key in manifest.keys)
        answers = await asyncio.gather(*(self._alive(holder.url) for holder in manifest.holders))
        return sum(answers) >= needed

    async def _alive(self, url: str) -> bool:
        try:
            return (await self._http.get(f"{url}/health", timeout=2.0)).status_code == 200
        except httpx.HTTPError:
            return False

    async def overview(self) -> Overview:
        """Counts and reachability as of now."""
        hub, holders = await asyncio.gather(self.hub_reachable(), self.holders_reachable())
        return await asyncio.to_thread(self.counts, hub, holders)

    def counts(self, hub_reachable: bool, holders_reachable: bool) -> Overview:
        """The overview with reachability given."""
        now = self._now()
        midnight = int(now.replace(hour=0, minute=0, second=0, microsecond=0).timestamp() * 1000)
        acknowledged = flag.c.acknowledged_at
        with reading(self._engine) as connection:
            waiting, held, oldest = waiting_counts(connection)
            today = {
                state: connection.scalar(
                    select(func.count()).where(flag.c.state == state, acknowledged >= midnight)
                )
                or 0
                for state in ("published", "retracted")
            }
            live = connection.scalar(select(func.count()).where(flag.c.live_seq.is_not(None))) or 0
            ends = connection.scalars(
                select(flag.c.until).where(flag.c.live_seq.is_not(None), flag.c.until.is_not(None))
            ).all()
            refused = connection.scalar(select(func.count()).select_from(rejected)) or 0
            last = connection.scalar(select(func.max(acknowledged)))
            confirmed = connection.scalar(select(cursor.c.at).where(cursor.c.connector == CONFIRMED))
        return Overview(
            waiting=waiting,
            waiting_for_holders=held,
            oldest_waiting=_moment(oldest),
            live=live,
            published_today=today["published"],
            retracted_today=today["retracted"],
            expiring_soon=sum(_last_day(until) <= now.date() + _SOON for until in ends if until),
            rejected=refused,
            last_sent=_moment(last),
            last_confirmed=_moment(confirmed),
            hub_reachable=hub_reachable,
            holders_reachable=holders_reachable,
            alarm=self._intake.alarm,
        )

    async def rejected(self, limit: int = 100) -> list[RejectedView]:
        """What was rejected, newest first."""
        return await asyncio.to_thread(self._rejected, limit)

    def _rejected(self, limit: int) -> list[RejectedView]:
        with reading(self._engine) as connection:
            rows = connection.execute(select(rejected).order_by(rejected.c.id.desc()).limit(limit)).all()
        return [
            RejectedView(
                row.id,
                row.local_ref,
                row.line,
                row.field,
                row.code,
                row.detail,
                datetime.fromtimestamp(row.at / 1000, UTC),
            )
            for row in rows
        ]

    async def dismiss(self, rejected_id: int) -> None:
        """Take a line off the rejected list, after it was repaired at the source."""
        await asyncio.to_thread(self._dismiss, rejected_id)

    def _dismiss(self, rejected_id: int) -> None:
        with writing(self._engine) as connection:
            connection.execute(delete(rejected).where(rejected.c.id == rejected_id))

    def kinds(self) -> list[OwnKind]:
        """Kinds registered for this organisation."""
        found = []
        for entry in self._trust.organisation.kinds:
            if self._vocabulary.has_kind(entry.kind):
                kind = self._vocabulary.kind(entry.kind)
                found.append(OwnKind(kind.code, kind.label, kind.act, entry.display_name, entry.desk))
        return found


def _moment(ms: int | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)


def _last_day(month: str) -> date:
    year, number = int(month[:4]), int(month[5:])
    return date(year, number, monthrange(year, number)[1])
