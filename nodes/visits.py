"""Visits of an employee: open for a case, look, close, renew.

    BSN -> pseudonyms (the BSN ends here) -> points sealed to the hub -> tickets
    tickets -> one recorded question -> every receipt checked -> names and labels -> page

A visit costs the key holders once. What is kept of it is sealed: tickets, log
ids with which later receipts are recomputed, the case reference, and a keyed
digest of each BSN, never the pseudonym.

Source: docs/design/node.md, "Visits"; docs/design/pseudonyms.md, "Ticket".
"""

import asyncio
import hmac
import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Literal

import msgspec
from sqlalchemy import Engine, Row, delete, insert, select, update

from index.protocol.codec import b64u, unb64u
from index.protocol.entry import log_id
from index.protocol.messages import (
    ClosingRequest,
    Declaration,
    LookupRequest,
    PersonAnswer,
    RelationRequest,
    RenewalRequest,
    SubscriptionRequest,
    VisibleFlag,
)
from index.protocol.points import seal_points
from index.protocol.policy import MandateInForce
from policy.decide import CRISIS
from policy.vocabulary import BASES, Vocabulary, Way

from .bsn import Bsn
from .employees import Employee
from .errors import BadInput, NotAllowed, Refused, UnknownVisit
from .hub import Asking, Hub, new_message_id
from .persons import person_tag
from .policy import HubPolicy
from .pseudonymise import Pseudonymiser
from .publication import check_local_ref
from .settings import NodeKeys
from .store.database import reading, writing
from .store.seal import seal, unseal
from .store.tables import visit as visit_table
from .trust import Trust

MOST_PERSONS = 8


@dataclass(frozen=True, slots=True)
class Visit:
    """An open visit. Names no person: `persons` counts them, in the order typed."""

    id: str
    persons: int
    purpose: str
    case_reference: str = field(repr=False)
    opened_at: datetime
    until: datetime

    @property
    def urgent(self) -> bool:
        """Whether it is break-glass: no case of the employee's, some hours, never prolonged."""
        return self.purpose == CRISIS


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
    source: int = 0
    """Number of the publisher, for asking contact; never shown."""


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


class _Person(msgspec.Struct, frozen=True):
    """What is kept, sealed, of one person of a visit."""

    ticket: str
    lids: list[str]
    tag: str

    def __repr__(self) -> str:
        return "<_Person>"


class _Kept(msgspec.Struct, frozen=True):
    """The sealed part of a visit."""

    case: str
    persons: list[_Person]


@dataclass(frozen=True, slots=True)
class _Open:
    """A visit with what is sealed in it."""

    visit: Visit
    kept: _Kept = field(repr=False)

    def lids(self, places: Sequence[int]) -> list[list[bytes]]:
        return [[unb64u(lid, 16) for lid in self.kept.persons[place].lids] for place in places]

    def tickets(self, places: Sequence[int]) -> list[str]:
        return [self.kept.persons[place].ticket for place in places]

    @property
    def everybody(self) -> list[int]:
        return list(range(len(self.kept.persons)))


@dataclass(frozen=True, slots=True)
class AtTable:
    """One person of an open visit, for a call about that person: never shown, never kept."""

    asking: Asking
    ticket: str = field(repr=False)
    lids: list[bytes] = field(repr=False)
    scopes: tuple[str, ...]


OnLook = Callable[[str, list[PersonView], str], Awaitable[None]]
OnAdded = Callable[[Employee, str], Awaitable[None]]


class Visits:
    """Opens and uses visits of this node's employees.

    Args:
        policy: What the hub decides by; with role and purpose it gives the scopes asked.
        now: Clock, UTC.
    """

    def __init__(
        self,
        engine: Engine,
        keys: NodeKeys,
        *,
        hub: Hub,
        pseudonymiser: Pseudonymiser,
        trust: Trust,
        vocabulary: Vocabulary,
        node: str,
        policy: HubPolicy,
        now: Callable[[], datetime],
    ) -> None:
        self._engine = engine
        self._keys = keys
        self._hub = hub
        self._pseudonymiser = pseudonymiser
        self._trust = trust
        self._vocabulary = vocabulary
        self._node = node
        self._policy = policy
        self._now = now
        self._looked: OnLook | None = None
        self._added: OnAdded | None = None

    def on_look(self, call: "OnLook") -> None:
        """Who hears that a visit was asked again: its id, the answer, its detail."""
        self._looked = call

    def on_added(self, call: "OnAdded") -> None:
        """Who hears that a person came into a visit."""
        self._added = call

    # --- opening -----------------------------------------------------------------------

    async def open(
        self,
        employee: Employee,
        bsns: Sequence[Bsn],
        purpose: str,
        case_reference: str,
        until: datetime | None = None,
    ) -> Visit:
        """Evaluate 1 to 8 persons, open their case relations and keep the tickets; the BSNs end here.

        Args:
            until: UTC; 14 days from now by default, 90 at most.

        Raises:
            BadInput: Number of persons, purpose, case reference or end.
            NotAllowed: The role may not look at all.
            Refused: By the hub, which recorded it; so for a purpose that the role does not have.
            HoldersUnreachable, HolderLied, HolderRefused, HubUnreachable, Refused,
            ReceiptInvalid: Nothing was opened and nothing is kept.
        """
        if not 1 <= len(bsns) <= MOST_PERSONS:
            raise BadInput("clients", "count", f"A visit has 1 to {MOST_PERSONS} persons.")
        if wrong := check_local_ref(case_reference, "caseReference"):
            raise BadInput("caseReference", wrong[0].code, wrong[0].detail.replace("local", "case"))
        if purpose == CRISIS:
            # Urgent looking has its own declaration with a reason and a review.
            raise NotAllowed("purpose-not-allowed")
        end = self._end(until, self._now())
        return await self._opened_for(
            employee, "v" + secrets.token_urlsafe(15), bsns, purpose=purpose, case=case_reference, end=end
        )

    async def open_urgent(self, employee: Employee, bsns: Sequence[Bsn], declaration: Declaration) -> Visit:
        """Break-glass: the same for some hours, for these persons only; its id is its case.

        Who may declare is for the caller to check (`crises`), and for the hub.

        Raises:
            BadInput: Number of persons.
            As `open`; nothing was opened and nothing is kept.
        """
        if not 1 <= len(bsns) <= MOST_PERSONS:
            raise BadInput("clients", "count", f"Break-glass has 1 to {MOST_PERSONS} persons.")
        hours = self._vocabulary.limits.break_glass_relation_hours
        end = (self._now() + timedelta(hours=hours)).replace(microsecond=0)
        id_ = "c" + secrets.token_urlsafe(15)
        return await self._opened_for(
            employee, id_, bsns, purpose=CRISIS, case=id_, end=end, declaration=declaration
        )

    async def _opened_for(
        self,
        employee: Employee,
        visit_id: str,
        bsns: Sequence[Bsn],
        *,
        purpose: str,
        case: str,
        end: datetime,
        declaration: Declaration | None = None,
    ) -> Visit:
        asking = self.asking(employee, purpose, case, may_be_refused=declaration is None)
        persons, end = await self._relations(asking, visit_id, bsns, end, declaration)
        visit = Visit(visit_id, len(bsns), purpose, case, self._now(), end)
        await asyncio.to_thread(self._put, employee, visit, _Kept(case, persons))
        return visit

    def _end(self, until: datetime | None, opened: datetime) -> datetime:
        limits = self._vocabulary.limits
        end = until or self._now() + timedelta(days=limits.relation_default_days)
        if end.tzinfo is None or end <= self._now():
            raise BadInput("until", "past", "The end is a moment in the future, with its time zone.")
        if end > opened + timedelta(days=limits.relation_max_days):
            rule = f"A visit ends at most {limits.relation_max_days} days after its opening."
            raise BadInput("until", "too-far-ahead", rule)
        return end.astimezone(UTC).replace(microsecond=0)

    def asking(
        self, employee: Employee, purpose: str, case_reference: str, *, may_be_refused: bool = False
    ) -> Asking:
        """What the statement of this employee's question says.

        Args:
            may_be_refused: Let a purpose pass that the role does not have: the hub refuses it, and
                records the refusal for the persons it was about.

        Raises:
            NotAllowed: The role may not look, or not for this purpose.
        """
        if not self._vocabulary.has_role(employee.role):
            raise NotAllowed("role-not-allowed")
        if not self._vocabulary.has_purpose(purpose):
            raise BadInput("purpose", "unknown-purpose", "This purpose is not in the vocabulary.")
        role = self._vocabulary.role(employee.role)
        if not role.bsn_allowed:
            raise NotAllowed("role-not-allowed")
        if purpose not in role.purposes and not may_be_refused:
            raise NotAllowed("purpose-not-allowed")
        case = hmac.digest(self._keys.case, case_reference.encode(), "sha256")[:16]
        return Asking(employee.id, employee.role, employee.team, purpose, b64u(case))

    async def _scopes(self, asking: Asking, *, anew: bool = False) -> tuple[str, ...]:
        scopes = await self._policy.scopes(self._trust.oin, asking.role, asking.purpose, anew=anew)
        if not scopes and asking.purpose != CRISIS:
            scopes = await self._policy.scopes_of_role(self._trust.oin, asking.role)
        if not scopes:
            raise NotAllowed("purpose-not-allowed")
        return scopes

    async def _relations(
        self,
        asking: Asking,
        visit_id: str,
        bsns: Sequence[Bsn],
        until: datetime,
        declaration: Declaration | None = None,
    ) -> tuple[list[_Person], datetime]:
        """Relations of these persons, and their end as the hub sets it."""
        scopes = await self._scopes(asking)
        try:
            return await self._opened_in(scopes, asking, visit_id, bsns, until=until, declared=declaration)
        except Refused as error:
            # The hub's rules changed since they were read: once more, under those of now.
            if error.reason != "scopes-refused" or (now := await self._scopes(asking, anew=True)) == scopes:
                raise
        return await self._opened_in(now, asking, visit_id, bsns, until=until, declared=declaration)

    async def _opened_in(
        self,
        scopes: tuple[str, ...],
        asking: Asking,
        visit_id: str,
        bsns: Sequence[Bsn],
        *,
        until: datetime,
        declared: Declaration | None,
    ) -> tuple[list[_Person], datetime]:
        class_: Literal["lookup", "crisis"] = "lookup" if declared is None else "crisis"
        found = await self._pseudonymiser.pseudonymise([(bsn, scopes) for bsn in bsns], class_)
        message_id = new_message_id()
        points = [value.for_sealed_points() for person in found.pseudonyms for value in person]
        lids = [[log_id(value.scope, value.for_search_key()) for value in own] for own in found.pseudonyms]
        request = RelationRequest(
            class_=class_,
            persons=len(bsns),
            scopes=list(scopes),  # type: ignore[arg-type]  # the vocabulary's scopes are the protocol's
            until=instant(until),
            version=found.version,
            points=b64u(seal_points(self._trust.hub_key, self._node, message_id, points)),
            receipts=found.receipts,
            declaration=declared,
        )
        answer = await self._hub.open_relation(request, asking, message_id, lids)
        persons = [
            _Person(ticket, [b64u(lid) for lid in own], b64u(self._tag(visit_id, bsn)))
            for ticket, own, bsn in zip(answer.tickets, lids, bsns, strict=True)
        ]
        return persons, datetime.fromisoformat(answer.until)

    def _tag(self, visit_id: str, bsn: Bsn) -> bytes:
        return person_tag(self._keys.secret, bsn, visit_id)

    async def places(self, employee: Employee, visit_id: str, bsns: Sequence[Bsn]) -> list[int]:
        """Places of these persons in the visit; one who is new is evaluated and added.

        Raises:
            UnknownVisit: Not an open visit of this employee.
            BadInput: More than 8 persons in all.
            NotAllowed: Break-glass is for the persons it was declared for.
        """
        found = await asyncio.to_thread(self._get, employee, visit_id)
        tags = [person.tag for person in found.kept.persons]
        wanted = [b64u(self._tag(visit_id, bsn)) for bsn in bsns]
        new = [bsn for bsn, tag in zip(bsns, wanted, strict=True) if tag not in tags]
        if len(tags) + len(new) > MOST_PERSONS:
            raise BadInput("clients", "count", f"A visit has 1 to {MOST_PERSONS} persons.")
        if new and found.visit.purpose == CRISIS:
            raise NotAllowed("declare-again")
        if new:
            asking = self.asking(employee, found.visit.purpose, found.visit.case_reference)
            added, _ = await self._relations(asking, visit_id, new, found.visit.until)
            tags = await asyncio.to_thread(self._add, visit_id, added)
            if self._added is not None:
                await self._added(employee, visit_id)
        return [tags.index(tag) for tag in wanted]

    async def way(self, employee: Employee, *, anew: bool = False) -> Way:
        """How the desk of the employee's team works, under the policy in force.

        Args:
            anew: Ask the hub, so that a new version holds from the next visit on.

        Raises:
            HubUnreachable, ReceiptInvalid: The policy cannot be had, or does not hold.
        """
        return await self._policy.way(self._trust.oin, employee.team, anew=anew)

    async def mandates(self) -> tuple[MandateInForce, ...]:
        """What this organisation carries out by decision now.

        Raises:
            HubUnreachable, ReceiptInvalid: As `way`.
        """
        return await self._policy.mandates(self._trust.oin, int(self._now().timestamp()))

    # --- using -------------------------------------------------------------------------

    async def look(
        self,
        employee: Employee,
        visit_id: str,
        persons: Sequence[int] | None = None,
        detail: Literal["presence", "subjects"] = "subjects",
    ) -> list[PersonView]:
        """One recorded question about the persons (0-based places) of a visit, all by default.

        Raises:
            UnknownVisit: Not an open visit of this employee.
            HubUnreachable: Nothing was viewed.
            Refused: The hub refuses, and recorded that.
            ReceiptInvalid: The answer is not proven to be recorded; nothing of it is shown.
        """
        found = await asyncio.to_thread(self._get, employee, visit_id)
        places = found.everybody if persons is None else list(persons)
        if not places or any(place not in found.everybody for place in places):
            raise BadInput("clients", "unknown-person", "This person is not in the visit.")
        asking = self.asking(employee, found.visit.purpose, found.visit.case_reference)
        answers = await self._hub.look(
            LookupRequest(found.tickets(places), detail), asking, found.lids(places), self._number
        )
        views = [self._view(employee, answer) for answer in answers]
        if self._looked is not None and len(places) == len(found.everybody):
            await self._looked(visit_id, views, detail)
        return views

    async def subscribe(self, employee: Employee, visit_id: str, tag: str, *, wanted: bool) -> None:
        """Let the hub watch for all persons of a visit, or no longer.

        Args:
            tag: How the hub is to name the visit, 16 bytes in base64url.

        Raises:
            UnknownVisit: Not an open visit of this employee.
            HubUnreachable, Refused, ReceiptInvalid: Nothing was changed.
        """
        found = await asyncio.to_thread(self._get, employee, visit_id)
        asking = self.asking(employee, found.visit.purpose, found.visit.case_reference)
        everybody = found.everybody
        request = SubscriptionRequest(found.tickets(everybody), tag, wanted)
        await self._hub.subscribe(request, asking, found.lids(everybody))

    async def person(self, employee: Employee, visit_id: str, place: int) -> AtTable:
        """One person (0-based place) of an open visit, with what a call about them needs.

        Raises:
            UnknownVisit: Not an open visit of this employee, or no such person in it.
        """
        found = await asyncio.to_thread(self._get, employee, visit_id)
        if place not in found.everybody:
            raise UnknownVisit
        asking = self.asking(employee, found.visit.purpose, found.visit.case_reference)
        scopes = await self._scopes(asking)
        return AtTable(asking, found.tickets([place])[0], found.lids([place])[0], scopes)

    def _number(self, code: str) -> int:
        return self._vocabulary.kind(code).number if self._vocabulary.has_kind(code) else -1

    def _view(self, employee: Employee, answer: PersonAnswer) -> PersonView:
        return PersonView(
            present=answer.present,
            flags=[self._flag(seen) for seen in answer.flags],
            silent=self._silent(employee, answer.silent),
            more=answer.more,
            refused=answer.refused,
            at=datetime.fromisoformat(answer.at),
            log_index=answer.log.index,
        )

    def _flag(self, seen: VisibleFlag) -> FlagView:
        kind = self._vocabulary.kind(seen.kind)
        name, desk = source_name(self._trust, seen.source, seen.kind)
        confirmed = None if seen.confirmed_at is None else datetime.fromisoformat(seen.confirmed_at).date()
        return FlagView(
            kind=kind.code,
            label=kind.label,
            domain=kind.domain,
            zrm=kind.zrm,
            since=seen.since,
            until=seen.until,
            name=name,
            desk=desk,
            confirmed_on=confirmed,
            self_declared=kind.self_declared,
            disputed=seen.disputed,
            source=seen.source,
        )

    def _silent(self, employee: Employee, numbers: Sequence[int]) -> list[str]:
        """Neutral names, under the kinds of this role, of sources that stopped confirming."""
        role = self._vocabulary.role(employee.role)
        kinds = {code for basis in BASES for code in role.kinds_on(basis)}
        names = set()
        for number in numbers:
            node = self._trust.directory.node_by_number(number)
            if node is not None:
                registered = self._trust.directory.organisation_of(node).kinds
                names |= {entry.display_name for entry in registered if entry.kind in kinds}
        return sorted(names)

    async def close(self, employee: Employee, visit_id: str) -> None:
        """End the visit and forget its tickets.

        Raises:
            UnknownVisit: Not an open visit of this employee.
            HubUnreachable: The visit is still open; try again.
        """
        found = await asyncio.to_thread(self._get, employee, visit_id)
        asking = self.asking(employee, found.visit.purpose, found.visit.case_reference)
        everybody = found.everybody
        await self._hub.close(ClosingRequest(found.tickets(everybody)), asking, found.lids(everybody))
        await asyncio.to_thread(self._forget, visit_id)

    async def renew(self, employee: Employee, visit_id: str, until: datetime | None = None) -> Visit:
        """Prolong the visit: 14 days from now by default, 90 at most after its opening.

        Raises:
            NotAllowed: Break-glass is not prolonged: after its hours it is declared again.
        """
        found = await asyncio.to_thread(self._get, employee, visit_id)
        if found.visit.purpose == CRISIS:
            raise NotAllowed("declare-again")
        if until is None:
            limits = self._vocabulary.limits
            until = min(
                self._now() + timedelta(days=limits.relation_default_days),
                found.visit.opened_at + timedelta(days=limits.relation_max_days),
            )
        end = self._end(until, found.visit.opened_at)
        asking = self.asking(employee, found.visit.purpose, found.visit.case_reference)
        everybody = found.everybody
        request = RenewalRequest(found.tickets(everybody), instant(end))
        answer = await self._hub.renew(request, asking, found.lids(everybody))
        tags = (person.tag for person in found.kept.persons)
        tickets = dict(zip(tags, answer.tickets, strict=True))
        return await asyncio.to_thread(self._prolong, visit_id, end, tickets)

    async def of(self, employee: Employee) -> list[Visit]:
        """The employee's own open visits, soonest end first."""
        return await asyncio.to_thread(self._all, employee)

    async def named(self, employee: Employee, visit_ids: Collection[str]) -> dict[str, Visit]:
        """Open visits of the employee's role and team, by id: for a list of the team, not for looking."""

        def read() -> dict[str, Visit]:
            with reading(self._engine) as connection:
                rows = connection.execute(
                    select(visit_table).where(
                        visit_table.c.id.in_(visit_ids),
                        visit_table.c.role == employee.role,
                        visit_table.c.team == employee.team,
                        visit_table.c.until > _ms(self._now()),
                    )
                ).all()
            return {row.id: self._opened(row).visit for row in rows}

        return await asyncio.to_thread(read)

    # --- keeping -----------------------------------------------------------------------

    def _all(self, employee: Employee) -> list[Visit]:
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(visit_table)
                .where(visit_table.c.employee == employee.id, visit_table.c.until > _ms(self._now()))
                .order_by(visit_table.c.until)
            ).all()
        mine = [row for row in rows if (row.role, row.team) == (employee.role, employee.team)]
        return [self._opened(row).visit for row in mine]

    def _get(self, employee: Employee, visit_id: str) -> _Open:
        with reading(self._engine) as connection:
            row = connection.execute(
                select(visit_table).where(
                    visit_table.c.id == visit_id,
                    visit_table.c.employee == employee.id,
                    visit_table.c.role == employee.role,
                    visit_table.c.team == employee.team,
                    visit_table.c.until > _ms(self._now()),
                )
            ).one_or_none()
        if row is None:
            raise UnknownVisit
        return self._opened(row)

    def _opened(self, row: Row[tuple[object, ...]]) -> _Open:
        kept = msgspec.json.decode(unseal(self._keys.storage, "visit", row.id, row.sealed), type=_Kept)
        opened, until = _moment(row.opened_at), _moment(row.until)
        return _Open(Visit(row.id, row.persons, row.purpose, kept.case, opened, until), kept)

    def _put(self, employee: Employee, visit: Visit, kept: _Kept) -> None:
        with writing(self._engine) as connection:
            connection.execute(delete(visit_table).where(visit_table.c.until <= _ms(self._now())))
            connection.execute(
                insert(visit_table).values(
                    id=visit.id,
                    employee=employee.id,
                    role=employee.role,
                    team=employee.team,
                    purpose=visit.purpose,
                    persons=visit.persons,
                    sealed=self._seal(visit.id, kept),
                    opened_at=_ms(visit.opened_at),
                    until=_ms(visit.until),
                )
            )

    def _add(self, visit_id: str, added: Sequence[_Person]) -> list[str]:
        """Put persons behind those who are there by now; the tags of all, by place.

        A place that was given stays that person's: others may be added at the same moment.
        """

        def grown(now: _Open) -> tuple[Visit, _Kept]:
            tags = {person.tag for person in now.kept.persons}
            persons = [*now.kept.persons, *(person for person in added if person.tag not in tags)]
            if len(persons) > MOST_PERSONS:
                raise BadInput("clients", "count", f"A visit has 1 to {MOST_PERSONS} persons.")
            return replace(now.visit, persons=len(persons)), _Kept(now.kept.case, persons)

        return [person.tag for person in self._change(visit_id, grown).kept.persons]

    def _prolong(self, visit_id: str, until: datetime, tickets: Mapping[str, str]) -> Visit:
        """Another end, and new tickets by tag; who was added meanwhile keeps the own one."""

        def renewed(now: _Open) -> tuple[Visit, _Kept]:
            persons = [
                msgspec.structs.replace(person, ticket=tickets.get(person.tag, person.ticket))
                for person in now.kept.persons
            ]
            return replace(now.visit, until=until), _Kept(now.kept.case, persons)

        return self._change(visit_id, renewed).visit

    def _change(self, visit_id: str, change: Callable[[_Open], tuple[Visit, _Kept]]) -> _Open:
        """Read a visit, change it and write it in one transaction."""
        with writing(self._engine) as connection:
            row = connection.execute(select(visit_table).where(visit_table.c.id == visit_id)).one_or_none()
            if row is None:
                raise UnknownVisit
            visit, kept = change(self._opened(row))
            connection.execute(
                update(visit_table)
                .where(visit_table.c.id == visit.id)
                .values(persons=visit.persons, until=_ms(visit.until), sealed=self._seal(visit.id, kept))
            )
        return _Open(visit, kept)

    def _forget(self, visit_id: str) -> None:
        with writing(self._engine) as connection:
            connection.execute(delete(visit_table).where(visit_table.c.id == visit_id))

    def _seal(self, visit_id: str, kept: _Kept) -> bytes:
        return seal(self._keys.storage, "visit", visit_id, msgspec.json.encode(kept))


def source_name(trust: Trust, number: int, kind: str) -> tuple[str, str]:
    """Neutral display name and desk number under which a source is known for one kind."""
    node = trust.directory.node_by_number(number)
    entry = trust.directory.organisation_of(node).kind(kind) if node is not None else None
    return (entry.display_name, entry.desk) if entry is not None else ("", "")


def instant(at: datetime) -> str:
    """UTC as it travels, in whole seconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
