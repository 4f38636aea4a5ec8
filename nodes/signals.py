"""Signals at a desk: follow a visit, hear that there is something new, ask again.

    follow (recorded) -> the hub says "ask again for visit V", up to an hour later
    -> the list of the employee, later that of the team, and the organisation's own system
    -> asking again is a lookup like any other -> seen, taken up, closed

Source: docs/design/node.md, "Signals"; screens.md D8, D10.
"""

import asyncio
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from index.protocol.codec import b64u
from policy.vocabulary import Vocabulary

from .combinations import combined
from .employees import Employee
from .errors import HubUnreachable, NodeError, NotAllowed, UnknownVisit
from .follow_up import FollowUp, Item, State
from .hub import Hub
from .settings import SignalSettings
from .visits import PersonView, Visits
from .webhooks import Webhooks

log = structlog.get_logger()

MOST_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class SignalView:
    """A visit with something new, for the employee who may see its case number."""

    item: Item
    case_reference: str = field(repr=False)
    until: datetime


class Signals:
    """Follows visits, fetches signals and tells of them.

    Args:
        now: Clock, UTC.
    """

    def __init__(
        self,
        settings: SignalSettings,
        vocabulary: Vocabulary,
        *,
        hub: Hub,
        visits: Visits,
        follow_up: FollowUp,
        webhooks: Webhooks,
        secret: bytes,
        now: Callable[[], datetime],
    ) -> None:
        self._hub = hub
        self._visits = visits
        self._follow_up = follow_up
        self.webhooks = webhooks
        self._settings = settings
        self._secret = secret
        self._now = now
        danger = frozenset(
            kind.code for kind in vocabulary.kinds if kind.compelling_child_safety or kind.break_glass
        )
        self._first = danger if settings.first is None else settings.first
        visits.on_look(self._looked)
        visits.on_added(self._added)

    # --- following ---------------------------------------------------------------------

    async def follow(self, employee: Employee, visit_id: str, *, wanted: bool = True) -> None:
        """Hear of what is new for an own visit, or no longer; the hub records it.

        Raises:
            UnknownVisit: Not an open visit of this employee.
            NotAllowed: Break-glass is over in hours and is not followed.
            HubUnreachable, Refused, ReceiptInvalid: Nothing was changed.
        """
        if visit_id.startswith("c"):
            raise NotAllowed("declare-again")
        tag = self._tag(visit_id)
        if wanted:
            # Before the hub knows of it: a signal must find its visit.
            mine = {visit.id for visit in await self._visits.of(employee)}
            if visit_id not in mine:
                raise UnknownVisit
            fresh = visit_id not in await asyncio.to_thread(self._follow_up.followed, [visit_id])
            await asyncio.to_thread(self._follow_up.follow, visit_id, tag, self._now())
            try:
                await self._visits.subscribe(employee, visit_id, tag, wanted=True)
            except NodeError:
                if fresh:
                    await asyncio.to_thread(self._follow_up.unfollow, visit_id)
                raise
            return
        await self._visits.subscribe(employee, visit_id, tag, wanted=False)
        await asyncio.to_thread(self._follow_up.unfollow, visit_id)

    async def followed(self, visit_ids: list[str]) -> frozenset[str]:
        """Which of these visits are followed."""
        return await asyncio.to_thread(self._follow_up.followed, visit_ids)

    def _tag(self, visit_id: str) -> str:
        """How the hub is to name a visit: it says nothing to anybody else."""
        return b64u(hmac.digest(self._secret, b"vlagwijzer/visit/v1" + visit_id.encode(), "sha256")[:16])

    async def _added(self, employee: Employee, visit_id: str) -> None:
        """A person came into a visit: followed too, where the visit is."""
        if visit_id in await asyncio.to_thread(self._follow_up.followed, [visit_id]):
            await self._visits.subscribe(employee, visit_id, self._tag(visit_id), wanted=True)

    # --- hearing -----------------------------------------------------------------------

    async def poll(self) -> int:
        """Fetch what waits at the hub and keep it, with what is to be told; how many signals came.

        Raises:
            HubUnreachable, Refused, ReceiptInvalid: What waits is fetched at the next look.
        """
        if not await asyncio.to_thread(self._follow_up.any, self._now()):
            # Each question is a line of the log: none is asked that nobody waits for.
            return 0
        done: list[str] = []
        came = 0
        for _ in range(MOST_ROUNDS):
            answer = await self._hub.signals(done)
            if not answer.signals:
                break
            pairs = [(one.id, one.visit) for one in answer.signals]
            came += await asyncio.to_thread(self._follow_up.keep, pairs, self._now(), self.webhooks.teams)
            # Kept, so the hub may forget them: said at the next turn of the loop.
            done = [one.id for one in answer.signals]
        return came

    async def run(self) -> None:
        """Ask the hub and deliver, until cancelled. What fails waits for the next look."""
        while True:
            for part in (self.poll, self.webhooks.deliver):
                try:
                    await part()
                except HubUnreachable:
                    log.warning("signals_postponed")
                except Exception as error:
                    log.error("signals_failed", error=type(error).__name__)
            await asyncio.sleep(self._settings.every_seconds)

    async def news(self, employee: Employee) -> frozenset[str]:
        """Own visits with something new that was not looked at."""
        items = await asyncio.to_thread(self._follow_up.items, employee, self._now())
        return frozenset(item.visit for item in items if item.mine and item.state == "new")

    # --- the list ----------------------------------------------------------------------

    async def items(self, employee: Employee) -> list[SignalView]:
        """What is new for this employee, what needs attention on top."""
        items = await asyncio.to_thread(self._follow_up.items, employee, self._now())
        visits = await self._visits.named(employee, [item.visit for item in items])
        return [
            SignalView(item, visits[item.visit].case_reference, visits[item.visit].until)
            for item in items
            if item.visit in visits
        ]

    async def choose(self, employee: Employee, visit_id: str, state: State) -> None:
        """Take up or close; taking up a colleague's that waited long makes the visit one's own.

        Raises:
            UnknownVisit: Nothing that this employee may do this with.
        """
        await asyncio.to_thread(self._follow_up.choose, employee, visit_id, state, self._now())

    def combined(self, persons: list[PersonView]) -> list[str]:
        """Names of the organisation's combinations in an answer; nothing is kept."""
        return combined(self._settings.combinations, persons)

    async def _looked(self, visit_id: str, persons: list[PersonView], detail: str) -> None:
        first = None
        if detail == "subjects":
            kinds = {flag.kind for person in persons for flag in person.flags}
            first = bool(kinds & self._first or self.combined(persons))
        await asyncio.to_thread(self._follow_up.looked, visit_id, first)
