"""Break-glass at a node: an employee declares it, another employee confirms or reports it.

    declared here and at the hub -> a visit of some hours -> looked, as in any visit
                                 -> waits for a colleague, without any person in it

The hub decides who may, for how long, and whether a colleague was in time; this
module says the same before anything is sent, in words for people. A declaration
that the hub took and this node never heard of cannot be confirmed here: the
officer then reads it as unconfirmed.

Source: docs/design/policy-and-consent.md, "Break-glass"; docs/design/node.md, "Visits".
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from sqlalchemy import Engine, Row, delete, insert, select, update

from index.protocol.messages import ColleagueRequest, Declaration
from policy.decide import CRISIS
from policy.vocabulary import Vocabulary

from .bsn import Bsn
from .employees import Employee
from .errors import BadItems, CrisisSettled, NotAllowed, Refused, UnknownCrisis, Wrong
from .hub import Hub
from .policy import HubPolicy
from .settings import NodeKeys
from .store.database import reading, writing
from .store.seal import seal, unseal
from .store.tables import crisis as crisis_table
from .trust import Trust
from .visits import Visit, Visits

Word = Literal["confirmed", "reported"]
_KEPT = timedelta(days=30)
"""How long a declaration stays in the node's store; the hub has it for good."""


@dataclass(frozen=True, slots=True)
class Crisis:
    """A declared break-glass, without any person it is about.

    `who` is the declarer's name where one is known, else the id. `word` is what a
    colleague said, empty while nobody did.
    """

    id: str
    who: str = field(repr=False)
    role: str
    team: str
    reason: str
    declared_at: datetime
    confirm_by: datetime
    word: str


@dataclass(frozen=True, slots=True)
class Declared:
    """What became of a declaration: the visit to look in, and until when a colleague is to confirm it."""

    visit: Visit
    confirm_by: datetime


class Crises:
    """Declares and confirms break-glass for this node's employees.

    Args:
        policy: What the hub decides by.
        now: Clock, UTC.
    """

    def __init__(
        self,
        engine: Engine,
        keys: NodeKeys,
        *,
        hub: Hub,
        visits: Visits,
        trust: Trust,
        vocabulary: Vocabulary,
        policy: HubPolicy,
        now: Callable[[], datetime],
    ) -> None:
        self._engine = engine
        self._keys = keys
        self._hub = hub
        self._visits = visits
        self._trust = trust
        self._vocabulary = vocabulary
        self._policy = policy
        self._now = now

    def may_declare(self, role: str) -> bool:
        """Whether this role may use break-glass at this node; follows from the rules, never from a person."""
        allowed = self._policy.may_break_glass(self._trust.oin, role, self._vocabulary)
        return allowed and "crisis" in self._trust.node.classes

    def second_person_hours(self, employee: Employee) -> int:
        """Within how many hours a colleague is to confirm what this employee declares."""
        return self._vocabulary.limits.second_person_hours(employee.team, employee.role)

    async def declare(
        self, employee: Employee, bsns: Sequence[Bsn], reason: str, at_risk: str, incapable: bool
    ) -> Declared:
        """Declare break-glass for 1 to 8 persons; the BSNs end here.

        Args:
            reason, at_risk: Codes of `[crisis]` in the vocabulary.
            incapable: The persons cannot decide for themselves now.

        Raises:
            NotAllowed: The role may not.
            BadItems: A code that the vocabulary does not have.
            As `Visits.open`: nothing was declared and nothing is kept.
        """
        self._check_role(employee)
        self._check_codes(reason, at_risk)
        visit = await self._visits.open_urgent(employee, bsns, Declaration(reason, at_risk, incapable))
        hours = self.second_person_hours(employee)
        confirm_by = visit.opened_at + timedelta(hours=hours)
        await asyncio.to_thread(self._put, employee, visit, reason, confirm_by)
        return Declared(visit, confirm_by)

    def _check_role(self, employee: Employee) -> None:
        if not self.may_declare(employee.role):
            raise NotAllowed("role-not-allowed")

    def _check_codes(self, reason: str, at_risk: str) -> None:
        wrong = []
        if reason not in {one.code for one in self._vocabulary.crisis.reason}:
            wrong.append(Wrong("reason", "unknown-code", "A code of the list of reasons."))
        if at_risk not in {one.code for one in self._vocabulary.crisis.at_risk}:
            wrong.append(Wrong("atRisk", "unknown-code", "A code of the list of who is at risk."))
        if wrong:
            raise BadItems(wrong)

    async def confirm(self, employee: Employee, crisis_id: str, word: Word) -> Crisis:
        """Say that a colleague's break-glass is right, or report it.

        Raises:
            NotAllowed: The role may not, or it is the employee's own.
            UnknownCrisis: Nothing with this id was declared at this node.
            CrisisSettled: Somebody was earlier, or the time is over.
            HubUnreachable: Nothing was recorded; try again.
        """
        self._check_role(employee)
        row = await asyncio.to_thread(self._get, crisis_id)
        if row.employee == employee.id:
            raise NotAllowed("same-employee")
        if row.word:
            raise CrisisSettled("already-settled")
        if row.confirm_by <= _ms(self._now()):
            raise CrisisSettled("too-late")
        try:
            asking = self._visits.asking(employee, CRISIS, crisis_id)
            await self._hub.second_person(ColleagueRequest(word), asking)
        except Refused as error:
            if error.reason in ("already-settled", "too-late"):
                raise CrisisSettled(error.reason) from None
            raise
        return await asyncio.to_thread(self._settle, crisis_id, word)

    async def to_confirm(self, employee: Employee) -> list[Crisis]:
        """What colleagues declared and nobody confirmed yet, soonest end first; never one's own.

        Raises:
            NotAllowed: The role may not.
        """
        self._check_role(employee)
        rows = await asyncio.to_thread(self._waiting)
        return [self._crisis(row) for row in rows if row.employee != employee.id]

    # --- keeping -----------------------------------------------------------------------

    def _put(self, employee: Employee, visit: Visit, reason: str, confirm_by: datetime) -> None:
        with writing(self._engine) as connection:
            old = _ms(self._now() - _KEPT)
            connection.execute(delete(crisis_table).where(crisis_table.c.confirm_by <= old))
            connection.execute(
                insert(crisis_table).values(
                    id=visit.id,
                    employee=employee.id,
                    role=employee.role,
                    team=employee.team,
                    reason=reason,
                    sealed=seal(self._keys.storage, "crisis", visit.id, employee.name.encode()),
                    declared_at=_ms(visit.opened_at),
                    confirm_by=_ms(confirm_by),
                    word="",
                )
            )

    def _get(self, crisis_id: str) -> Row[tuple[object, ...]]:
        with reading(self._engine) as connection:
            row = connection.execute(select(crisis_table).where(crisis_table.c.id == crisis_id)).one_or_none()
        if row is None:
            raise UnknownCrisis
        return row

    def _waiting(self) -> Sequence[Row[tuple[object, ...]]]:
        table = crisis_table
        with reading(self._engine) as connection:
            return connection.execute(
                select(table)
                .where(table.c.word == "", table.c.confirm_by > _ms(self._now()))
                .order_by(table.c.confirm_by)
            ).all()

    def _settle(self, crisis_id: str, word: Word) -> Crisis:
        with writing(self._engine) as connection:
            connection.execute(update(crisis_table).where(crisis_table.c.id == crisis_id).values(word=word))
        return self._crisis(self._get(crisis_id))

    def _crisis(self, row: Row[tuple[object, ...]]) -> Crisis:
        name = unseal(self._keys.storage, "crisis", row.id, row.sealed).decode()
        return Crisis(
            id=row.id,
            who=name or row.employee[:8],
            role=row.role,
            team=row.team,
            reason=row.reason,
            declared_at=_moment(row.declared_at),
            confirm_by=_moment(row.confirm_by),
            word=row.word,
        )


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
