"""The counter desk: an employee checks who a citizen without DigiD is, and helps to see or to stop.

    identity check -> number and document -> a grant for this one person -> a session that says who
                   -> see, stop, lock, evidence of who represents -> Klaar: nothing is left

Each check asks the login broker for a grant of its own on the employee's login; the
broker counts them, and the key holders check each as they check a citizen's.
The number ends where the session begins. Every entry of the session carries the
employee's pseudonymous id, so that the citizen reads that it was a counter. No
yes can be given: neither here, nor at the hub.

Source: screens.md, X1; docs/adr/0014-a-counter-gives-no-yes.md.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import structlog

from consent.directive import Giver
from consent.pages import Identity
from nodes.ages import regime_of
from nodes.bsn import Bsn
from nodes.citizen import CitizenSession, Saved
from nodes.employees import employee_id
from nodes.errors import GrantRefused, LoginExpired, NotAllowed
from nodes.representation import BY_BRP, Speaker, giver_for, is_reference, represented
from nodes.runtime import NodeRuntime

from .family import known_now
from .grant import fetch_grant

DOCUMENTS = ("paspoort", "identiteitskaart", "rijbewijs", "verblijfsdocument")
"""By which an employee sees who somebody is; no number of a document is ever asked."""
CAPACITIES: tuple[Giver, ...] = ("ouder", "curator", "mentor", "bewindvoerder", "gemachtigde")
_HERE = ZoneInfo("Europe/Amsterdam")
_MARGIN_S = 30.0
"""A login that is nearly over gets no new check: the form takes a while."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Check:
    """One identity check, until `Klaar`. `about` is what `giver_for` needs of the person.

    `waits`: a representative stands at the counter, who has shown no evidence yet.
    """

    id: str
    document: str
    session: CitizenSession = field(repr=False)
    about: bytes = field(repr=False)
    waits: bool
    brp_away: bool
    drawer: dict[str, object] = field(default_factory=dict, repr=False)
    """What is under way, such as a lock that is to be confirmed."""


class Counter:
    """The counter as one login has it: one employee, one check at a time.

    Args:
        identity: Of the employee; its id token stays in memory for this login, for the grants.
        clock: Seconds, monotonic.
    """

    __slots__ = ("_clock", "_node", "_token", "_until", "check", "employee")

    def __init__(
        self, node: NodeRuntime, identity: Identity, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._node = node
        self._clock = clock
        self._token = identity.id_token
        self._until = clock() + identity.seconds - _MARGIN_S
        self.employee = employee_id(node.keys.secret, identity.subject)
        self.check: Check | None = None

    def __repr__(self) -> str:
        return "<Counter>"

    @property
    def fresh(self) -> bool:
        """Whether the login is young enough for the broker to give another grant."""
        return self._clock() < self._until

    async def begin(self, bsn: Bsn, document: str, who: Literal["zelf", "ander"]) -> Check:
        """Open the session of the person whose number was typed; an earlier check ends first.

        Args:
            bsn: Of the person whose choices these are.
            document: By which the one who stands here was known.
            who: Stands at the counter: the person, or somebody who represents them.

        Raises:
            LoginExpired: The broker gives no more grants on this login.
            HoldersUnreachable, HolderRefused, HubUnreachable, Refused, NotAllowed: No session was opened.
        """
        self.finish()
        node = self._node
        try:
            grant = await fetch_grant(node.settings, self._token)
        except GrantRefused:
            raise LoginExpired from None
        _, known, away = await known_now(node, bsn, bsn)
        session = await node.citizens.open(bsn, grant, known.born, known=known, counter=self.employee)
        log.info("identity_checked", document=document, by=who)
        self.check = Check(
            id=secrets.token_urlsafe(12),
            document=document,
            session=session,
            about=represented(node.keys.secret, bsn),
            waits=who == "ander",
            brp_away=away,
        )
        return self.check

    def finish(self) -> None:
        """End the check that runs, here and at the hub."""
        if self.check is not None:
            self._node.citizens.close(self.check.session)
            self.check = None

    async def show_evidence(
        self, check: Check, by: Giver, speaker: Bsn, reference: str, until: date | None
    ) -> Saved | None:
        """Enter who may speak for the person, as the evidence on the table says, or hold it against the BRP.

        Where the representative stands here, the rest of the check is in their capacity.

        Args:
            speaker: Of the representative.
            reference: Of the decision or mandate; not for a parent, whom the BRP knows.
            until: Last day of the decision or mandate; not for a parent.

        Returns:
            None when nothing had to be written.

        Raises:
            NotAllowed: `wrong-evidence`, `mandate-over`, `parent-of-adult`, or what `establish` refuses.
        """
        node, known = self._node, check.session.known
        giver = giver_for(node.keys.secret, speaker, check.about)
        if represented(node.keys.secret, speaker) == check.about:
            raise NotAllowed("wrong-evidence")
        saved = None
        if by == "ouder":
            if regime_of(known.born, node.now()) == "zelf":
                raise NotAllowed("parent-of-adult")
            if known.holders is None or giver not in known.holders:
                raise NotAllowed("wrong-evidence")
            proven = Speaker("ouder", giver, BY_BRP)
        else:
            if until is None or not is_reference(reference):
                raise NotAllowed("wrong-evidence")
            ends = _end_of(until)
            if ends <= node.now():
                raise NotAllowed("mandate-over")
            proven = Speaker(by, giver, reference)
            saved = await node.citizens.establish(check.session, proven, ends)
        if check.waits:
            check.session.speaker, check.waits = proven, False
        return saved


def _end_of(day: date) -> datetime:
    """The moment at which a day is over in the Netherlands."""
    after = day + timedelta(days=1)
    return datetime(after.year, after.month, after.day, tzinfo=_HERE)
