"""Visits of an employee: open for a case, look, close, renew."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from .bsn import Bsn
from .employees import Employee


@dataclass(frozen=True, slots=True)
class Visit:
    """An open visit. Names no person: `persons` counts them, in the order typed."""

    id: str
    persons: int
    purpose: str
    case_reference: str
    opened_at: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class FlagView:
    """One visible flag with the neutral name and desk number of the signed directory."""

    kind: str
    label: str
    domain: str
    zrm: tuple[str, ...]
    since: str
    until: str | None
    name: str
    desk: str
    confirmed_on: date | None
    self_declared: bool
    disputed: bool


@dataclass(frozen=True, slots=True)
class PersonView:
    """The answer about one person, its receipt checked. `refused` is "" or a code about the asker.

    `silent` holds the neutral names of all silent sources of the role's kinds, never
    chosen by person. With `detail="presence"` there are no flags, only `present`.
    """

    present: bool
    flags: list[FlagView]
    silent: list[str]
    more: bool
    refused: str
    at: datetime
    log_index: int


class Visits:
    """Opens and uses visits of this node's employees."""

    async def open(
        self,
        employee: Employee,
        bsns: Sequence[Bsn],
        purpose: str,
        case_reference: str,
        until: datetime | None = None,
    ) -> Visit:
        """Evaluate 1 to 8 persons, open their case relations and keep the tickets; the BSNs end here."""
        raise NotImplementedError

    async def look(
        self,
        employee: Employee,
        visit_id: str,
        persons: Sequence[int] | None = None,
        detail: Literal["presence", "subjects"] = "subjects",
    ) -> list[PersonView]:
        """One recorded question about the persons (0-based places) of a visit, all by default."""
        raise NotImplementedError

    async def close(self, employee: Employee, visit_id: str) -> None:
        """End the visit and forget its tickets."""
        raise NotImplementedError

    async def renew(self, employee: Employee, visit_id: str, until: datetime | None = None) -> Visit:
        """Prolong the visit: 14 days from now by default, 90 at most after its opening."""
        raise NotImplementedError

    async def of(self, employee: Employee) -> list[Visit]:
        """The employee's own open visits, soonest end first."""
        raise NotImplementedError
