"""What the portal does for a citizen who is logged in: own flags, choices and log."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from .bsn import Bsn


@dataclass(frozen=True, slots=True)
class OwnFlagView:
    """A flag about the citizen, also when nobody may see it."""

    kind: str
    label: str
    sentence: str
    domain: str
    since: str
    until: str | None
    name: str
    desk: str
    confirmed_on: date | None


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who may look: everybody (all empty), an organisation, a team of it, a role in that team."""

    oin: str = ""
    team: str = ""
    role: str = ""


@dataclass(frozen=True, slots=True)
class ReceiverView:
    """A receiver the portal offers a choice for, such as a team, with the name a citizen reads."""

    receiver: Receiver
    name: str


@dataclass(frozen=True, slots=True)
class Change:
    """One choice before it is made. Empty `kind` and `domain`: all subjects; empty purpose: all.

    `months` is how long a yes holds (3, 6 or 12); a no has no end.
    """

    effect: Literal["grant", "deny"]
    kind: str = ""
    domain: str = ""
    receiver: Receiver = Receiver()
    purpose: str = ""
    months: Literal[3, 6, 12] = 12


@dataclass(frozen=True, slots=True)
class ChoiceView:
    """A choice as the citizen made it, over all its scopes (`group`)."""

    group: str
    effect: Literal["grant", "deny", "withdraw", "slot"]
    kind: str
    domain: str
    receiver: Receiver
    purpose: str
    made_at: datetime
    until: datetime | None
    in_force: bool


@dataclass(frozen=True, slots=True)
class Cell:
    """One square of who sees what. Codes, as in `Receiver`; `label` is the kind's."""

    kind: str
    label: str
    organisation: str
    team: str
    role: str
    purpose: str


@dataclass(frozen=True, slots=True)
class Effects:
    """What a change would open and close, and what stays visible by law, by the deciding engine."""

    opened: list[Cell]
    closed: list[Cell]
    by_law: list[Cell]


@dataclass(frozen=True, slots=True)
class Saved:
    """A choice that holds from now on. `receipt` is the signed proof, a file for the citizen."""

    receipt: str
    group: str
    at: datetime


@dataclass(frozen=True, slots=True)
class LookLine:
    """One line of "wie heeft gekeken", its place in the log checked.

    `seen` holds labels of kinds; `activity` is the entry's `t` (`lookup`, `log_view`, `relation`, ...).
    """

    at: datetime
    activity: str
    organisation: str
    role: str
    role_label: str
    purpose: str
    purpose_label: str
    seen: list[str]
    refused: str
    own: bool
    urgent: bool


@dataclass(frozen=True, slots=True)
class LooksView:
    """All lines the citizen may see now, newest first.

    `verified` is true when every line was recomputed (handle, leaf, inclusion) and the
    numbers of each chain run from 1 without a gap; `checked` of `total` lines held.
    """

    lines: list[LookLine]
    verified: bool
    checked: int
    total: int
    at: datetime


class CitizenSession:
    """A citizen's session: pseudonyms and ticket in memory only, 15 minutes idle and 1 hour in all."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Who may see what now. `possible`: what each receiver would see if the citizen said yes to all.

    With `consent.preview.effects`: by consent is `opened` from no choices to the folded ones,
    possible is `opened` from no choices to a yes for everything and everybody.
    """

    by_consent: list[Cell]
    by_law: list[Cell]
    possible: list[Cell]


class Citizens:
    """Opens and serves citizen sessions."""

    async def open(self, bsn: Bsn, grant: str) -> CitizenSession:
        """Evaluate all scopes under the broker's grant and open a session at the hub."""
        raise NotImplementedError

    async def flags(self, session: CitizenSession) -> list[OwnFlagView]:
        """Own flags, those nobody may see included. Recorded as an own view."""
        raise NotImplementedError

    async def choices(self, session: CitizenSession) -> list[ChoiceView]:
        """All choices ever made, newest first."""
        raise NotImplementedError

    async def looks(self, session: CitizenSession) -> LooksView:
        """Who looked, every line verified."""
        raise NotImplementedError

    def receivers(self) -> list[ReceiverView]:
        """Every team of the directory whose organisation may look, in a fixed order; the same for everybody.

        A name is the team's id in readable form (`wijkteam-noord`: Wijkteam Noord); no organisation's
        other name is shown.
        """
        raise NotImplementedError

    async def standing(self, session: CitizenSession) -> Standing:
        """Who may see what as of now, by the deciding engine, over all kinds and receivers."""
        raise NotImplementedError

    async def preview(self, session: CitizenSession, change: Change) -> Effects:
        """What the change would open and close; nothing is written."""
        raise NotImplementedError

    async def choose(self, session: CitizenSession, change: Change, text_shown: str) -> Saved:
        """Write the choice in all its scopes or in none. `text_shown` is what the citizen confirmed."""
        raise NotImplementedError

    async def withdraw(self, session: CitizenSession, group: str, text_shown: str) -> Saved:
        """End an earlier choice of one's own; also how a choice is undone."""
        raise NotImplementedError

    def close(self, session: CitizenSession) -> None:
        """Forget everything of the session."""
        raise NotImplementedError
