"""Opening, prolonging and closing: case relations of visits and sessions of citizens.

    points + holder receipts -> relation rows, one per scope -> one ticket per person
    break-glass: the same for 4 hours, with what was declared inside, and a review besides

Evaluation and receipts are paid here, once; every later question carries the
ticket and costs neither. The ticket opens nothing by itself: `in_force` reads
the relation rows in the transaction of each question, so a closing holds at
the very next one. Every relation is an entry of its own that the citizen sees.

Source: docs/design/pseudonyms.md, "Receipts, points, tickets, quotas"; policy.md §3.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import msgspec
import structlog
from starlette.responses import Response

from consent.resolve import CaseEnds
from index.accesslog.log import SealedBatch
from index.accesslog.spent import tag_of
from index.errors import (
    HubError,
    NotAllowed,
    PurposeRefused,
    ReceiptsRefused,
    Rejected,
    ScopesRefused,
    TicketRefused,
    problem_of,
)
from index.gate import Caller, Rule, Who
from index.hub import Hub
from index.protocol.codec import SCOPES, EncodingError, b64u, unb64u
from index.protocol.directory import class_number
from index.protocol.entry import EntryDraft
from index.protocol.evaluate import HolderReceipt, TokenRefused, verify_receipts
from index.protocol.messages import (
    ClosingAnswer,
    ClosingRequest,
    LogReceipt,
    RelationAnswer,
    RelationRequest,
    RenewalRequest,
)
from index.protocol.statement import LOG_INDEX_HEADER
from index.reviews import check_may_declare, declared
from index.rows import INCAPABLE, NO_CODE, OTHERS_AT_RISK, Relation, RowError, SearchKeys
from index.tickets import Ticket
from index.transaction import Finish, Needs, RelationRow, ReviewRow, Tx
from policy.decide import scopes_for, scopes_of_role
from policy.vocabulary import UnknownCode

log = structlog.get_logger()

LOOKUP, CRISIS, CITIZEN = (class_number(name) for name in ("lookup", "crisis", "citizen"))
PORTAL_CLASS = "portaal"
RECEIPT_LIMIT = 256 * 1024
CASES_FLOOR = 1
"""Relation rows besides the ticket's own that a question opens in each scope, at least."""
_RECEIPT_LEEWAY_S = 10
_CLOCK_SLACK_S = 60
"""The node counted its days by its own clock."""


@dataclass(frozen=True, slots=True)
class Held:
    """A relation of a ticket as it stands now in one scope."""

    scope: str
    row: RelationRow
    relation: Relation


# --- what a ticket is worth now --------------------------------------------------------


def open_ticket(hub: Hub, caller: Caller, text: str) -> Ticket:
    """The ticket of this node.

    Raises:
        TicketRefused: Another node's, changed, of another key, or no ticket at all.
    """
    try:
        return hub.tickets.open(caller.node.id, unb64u(text))
    except EncodingError:
        raise TicketRefused from None


def fits(hub: Hub, caller: Caller, ticket: Ticket, *classes: int) -> bool:
    """Whether the ticket names exactly what the statement names, and keys that are active."""
    return (
        ticket.class_number in classes
        and ticket.node == caller.node.number
        and ticket.team == caller.team_number
        and ticket.role == caller.role_number
        and ticket.purpose == caller.purpose_number
        and ticket.case_tag == caller.case_tag
        and all(hub.kid_number(scope) == number for scope, (number, _) in ticket.scopes.items())
    )


def ticket_needs(tickets: Sequence[Ticket]) -> Needs:
    """The relation rows that `in_force` reads."""
    return Needs(relations=frozenset(keys.idx_rel for t in tickets for _, keys in t.scopes.values()))


def held(tx: Tx, hub: Hub, ticket: Ticket) -> list[Held]:
    """The ticket's own relation in each scope, whether it is still open or not.

    One row is opened in each scope, real or dummy, however many relations the person has.
    """
    found = []
    for scope, (_, keys) in ticket.scopes.items():
        key = hub.rows.relation_key(keys.idx_rel, ticket)
        row = next((row for row in tx.relations(keys.idx_rel) if row.key == key), None)
        if row is None:
            hub.rows.open_dummy("relation")
            continue
        try:
            relation = hub.rows.open_relation(row, scope)
        except RowError:
            log.error("relation_unreadable")
            continue
        if _same(relation, ticket):
            found.append(Held(scope, row, relation))
    return found


def in_force(tx: Tx, hub: Hub, ticket: Ticket) -> dict[str, Held]:
    """The scopes in which the ticket's relation is open now; empty when it ended or was closed.

    Counts the relation's own `until`, not the ticket's, and a citizen session's idle time.
    """
    idle = hub.vocabulary.limits.citizen_idle_minutes * 60
    return {
        one.scope: one
        for one in held(tx, hub, ticket)
        if not one.relation.closed
        and tx.seconds < min(one.relation.until, ticket.until)
        and (ticket.class_number != CITIZEN or tx.seconds - one.relation.used < idle)
    }


def use_session(tx: Tx, hub: Hub, ticket: Ticket) -> None:
    """Let a citizen's session live on from now; call it for each use, after every check.

    Raises:
        TicketRefused: The session ended, was closed, or was idle for too long.
    """
    open_now = in_force(tx, hub, ticket)
    if len(open_now) != len(ticket.scopes):
        raise TicketRefused
    for one in open_now.values():
        put(tx, hub, one, replace(one.relation, used=tx.seconds))


def _same(relation: Relation, ticket: Ticket) -> bool:
    return (
        relation.class_number == ticket.class_number
        and relation.node == ticket.node
        and relation.team == ticket.team
        and relation.role == ticket.role
        and relation.purpose == ticket.purpose
        and relation.case_tag == ticket.case_tag
        and relation.opened == ticket.opened
        and relation.mark == ticket.mark
    )


def end_of_relation(relation: Relation) -> datetime:
    """When a relation ended or will end, UTC: its closing, or its `until`."""
    return datetime.fromtimestamp(min(relation.closed or relation.until, relation.until), UTC)


def case_ends(tx: Tx, hub: Hub, scope: str, idx_rel: bytes, named: Sequence[bytes]) -> CaseEnds:
    """The ends of the relations that grants name in one scope; one that is gone or unreadable is left out.

    One row is opened at least, real or dummy, as in `held`.
    """
    rows = {row.key: row for row in tx.relations(idx_rel)}
    ends: dict[bytes, datetime] = {}
    for key in named:
        row = rows.get(key)
        try:
            if row is not None:
                ends[key] = end_of_relation(hub.rows.open_relation(row, scope))
        except RowError:
            log.error("relation_unreadable")
    for _ in range(CASES_FLOOR - len(ends)):
        hub.rows.open_dummy("relation")
    return ends


def put(tx: Tx, hub: Hub, one: Held, relation: Relation) -> None:
    """Write a relation of a ticket as it is from now on."""
    tx.put_relation(hub.rows.changed_relation(one.row, one.scope, relation))


def record_refused(tx: Tx, hub: Hub, caller: Caller, tickets: Sequence[Ticket], error: HubError) -> Finish:
    """An entry with its subjects for each person of a question that is refused, and the problem."""
    later = hub.postponement.postpones(caller.statement.role)
    for ticket in tickets:
        tx.record(
            caller.draft(tx.now, lids=ticket.lids, later=later, refused=error.code, pv=hub.policy.number)
        )
    problem = problem_of(error)
    return lambda _: problem


# --- opening ---------------------------------------------------------------------------


@dataclass(slots=True)
class Opening:
    """Opens relations for one to eight persons; the rows are sealed before the lock is taken."""

    hub: Hub
    caller: Caller
    persons: int
    receipts: Sequence[HolderReceipt]
    tickets: Sequence[Ticket]
    rows: Sequence[RelationRow]
    until: int
    review: ReviewRow | None = None
    cause: str = ""

    def needs(self) -> Needs:
        return Needs(
            messages=frozenset((self.caller.message_key,)),
            reviews=frozenset((self.review.key,) if self.review else ()),
        )

    def apply(self, tx: Tx) -> Finish:
        earlier = tx.earlier(self.caller)
        if earlier is not None:
            stored = msgspec.json.decode(earlier, type=_Stored)
            return lambda _: _answer(self.hub, self.caller, self.tickets, stored)
        if self.review is not None and tx.review(self.review.key) is not None:
            # A case is one declaration: a second one must not hide behind the first one's review.
            raise Rejected("case-used")
        for receipt in self.receipts:
            if not tx.spend(tag_of(receipt.iss, receipt.jti), receipt.exp + _RECEIPT_LEEWAY_S):
                raise ReceiptsRefused
        for row in self.rows:
            tx.put_relation(row)
        if self.review is not None:
            tx.put_review(self.review)
        return _recorded(tx, self.hub, self.caller, self.tickets, self.until, cause=self.cause)


@dataclass(frozen=True, slots=True)
class RefusedOpening:
    """Opens nothing, and records for each person that it was asked and refused. The receipts are spent."""

    hub: Hub
    caller: Caller
    receipts: Sequence[HolderReceipt]
    tickets: Sequence[Ticket]
    error: HubError

    @property
    def persons(self) -> int:
        return len(self.tickets)

    def needs(self) -> Needs:
        return Needs()

    def apply(self, tx: Tx) -> Finish:
        for receipt in self.receipts:
            if not tx.spend(tag_of(receipt.iss, receipt.jti), receipt.exp + _RECEIPT_LEEWAY_S):
                raise ReceiptsRefused
        return record_refused(tx, self.hub, self.caller, self.tickets, self.error)


class _Stored(msgspec.Struct, frozen=True):
    """What the same message gets again. `opened`, per person, finds the rows of the first time."""

    opened: list[int]
    until: str
    log: list[LogReceipt]


def _recorded(
    tx: Tx, hub: Hub, caller: Caller, tickets: Sequence[Ticket], until: int, *, cause: str = ""
) -> Finish:
    """One entry per person, the answer kept for the same message, and the answer itself."""
    recorded = [tx.record(_draft(tx, hub, caller, ticket, cause)) for ticket in tickets]

    def stored(sealed: SealedBatch) -> _Stored:
        opened = [ticket.opened for ticket in tickets]
        return _Stored(opened, _instant(until), sealed.receipts(recorded))

    tx.remember(caller, lambda sealed: msgspec.json.encode(stored(sealed)))
    return lambda sealed: _answer(hub, caller, tickets, stored(sealed))


def _draft(tx: Tx, hub: Hub, caller: Caller, ticket: Ticket, cause: str) -> EntryDraft:
    return caller.draft(
        tx.now,
        lids=ticket.lids,
        later=hub.postponement.postpones(caller.statement.role),
        pv=hub.policy.number,
        break_glass=ticket.class_number == CRISIS,
        more={"cause": cause} if cause else {},
    )


def _answer(hub: Hub, caller: Caller, tickets: Sequence[Ticket], stored: _Stored) -> Response:
    """Tickets are not stored: the same message gets them sealed again."""
    until = _unix(stored.until)
    held = (
        replace(ticket, opened=opened, until=until)
        for ticket, opened in zip(tickets, stored.opened, strict=True)
    )
    sealed = [b64u(hub.tickets.seal(caller.node.id, ticket)) for ticket in held]
    body = RelationAnswer(tickets=sealed, until=stored.until, log=stored.log)
    return _json(body, ",".join(str(receipt.index) for receipt in stored.log))


async def open_relations(hub: Hub, caller: Caller, body: RelationRequest) -> Response:
    """`/v1/relations`: a visit, break-glass, or a citizen's session.

    1. The class is one this caller may open, and break-glass is declared.
    2. The scopes are exactly those of role and purpose. For a purpose that the role does not have they are
       all of the role's: then the rest is checked too, and the refusal is recorded for these persons.
    3. `until` lies within the limits.
    4. The points open, as many as persons times scopes, each an element.
    5. Receipts of t distinct holders pay for it; they are spent in the transaction.
    """
    _check_class(hub, caller, body)  # 1
    risk = _check_declaration(hub, body)
    scopes, refused = _check_scopes(hub, caller, body)  # 2
    until = _check_until(hub, body)  # 3
    points = hub.open_points(caller, body.points, body.version, body.persons * len(scopes))  # 4
    try:
        receipts = verify_receipts(  # 5
            body.receipts,
            hub.manifest,
            aud=hub.settings.hub_id,
            sub=caller.node.id,
            class_=body.class_,
            needed=dict.fromkeys(scopes, body.persons),
            now=hub.clock(),
        )
    except TokenRefused as error:
        log.info("holder_receipts_refused", node=caller.node.id, reason=error.code)
        raise ReceiptsRefused from None
    blank = Ticket(
        caller.node.number, caller.team_number, caller.role_number, caller.purpose_number,
        class_number(body.class_), caller.case_tag, int(hub.clock().timestamp()), until, {}, _mark(caller),
    )  # fmt: skip
    declaration, review = body.declaration, None
    if declaration is not None:
        review = declared(hub, caller, declaration, body.persons, hub.clock())
    tickets, rows = [], []
    for person in range(body.persons):
        own = points[person * len(scopes) : (person + 1) * len(scopes)]
        ticket, made = _prepare(hub, blank, scopes, own, risk)
        tickets.append(ticket)
        rows += made
    if refused is not None:
        return await hub.sequencer.submit(RefusedOpening(hub, caller, receipts, tickets, refused))
    cause = declaration.reason if declaration else ""
    return await hub.sequencer.submit(
        Opening(hub, caller, body.persons, receipts, tickets, rows, until, review, cause)
    )


def _mark(caller: Caller) -> int:
    """Never 0, and the same for the same message: its tickets are sealed again when it comes again."""
    return int.from_bytes(hashlib.sha256(caller.statement.msg.encode()).digest()[:4], "big") or 1


def _prepare(
    hub: Hub, blank: Ticket, scopes: Sequence[str], points: Sequence[bytes], risk: int
) -> tuple[Ticket, list[RelationRow]]:
    """Ticket and relation rows of one person; `blank` is the ticket without its scopes."""
    opened_scopes: dict[str, tuple[int, SearchKeys]] = {}
    rows = []
    for scope, n in zip(scopes, points, strict=True):
        kid = hub.kid_number(scope)
        if kid is None:
            raise ScopesRefused
        keys = hub.rows.keys_of(scope, n)
        opened_scopes[scope] = (kid, keys)
        visit = blank.class_number == LOOKUP
        escrows = [hub.rows.escrow(scope, keys.idx_dir, n) for _ in range(2)] if visit else []
        relation = Relation(
            blank.class_number, blank.node, blank.team, blank.role, blank.purpose, blank.case_tag,
            blank.opened, blank.until, 0, blank.opened, keys.lid, risk, blank.mark, NO_CODE, *escrows,
        )  # fmt: skip
        rows.append(hub.rows.new_relation(scope, keys.idx_rel, n, relation))
    return replace(blank, scopes=opened_scopes), rows


def _check_class(hub: Hub, caller: Caller, body: RelationRequest) -> None:
    citizen = caller.statement.role == "burger"
    if body.class_ not in caller.node.classes or citizen != (body.class_ == "citizen"):
        raise NotAllowed
    if body.class_ == "crisis":
        check_may_declare(hub, caller)
    if citizen and (caller.organisation.class_ != PORTAL_CLASS or body.persons != 1):
        raise NotAllowed
    if not citizen and not caller.statement.case:
        raise Rejected("case-missing")


def _check_declaration(hub: Hub, body: RelationRequest) -> int:
    """What a crisis relation keeps of its declaration; 0 for any other class, which has none."""
    declaration = body.declaration
    if (declaration is None) != (body.class_ != "crisis"):
        raise Rejected("declaration")
    if declaration is None:
        return 0
    try:
        hub.vocabulary.crisis_reason(declaration.reason)
        others = hub.vocabulary.at_risk(declaration.at_risk).others
    except UnknownCode:
        raise Rejected("declaration") from None
    return OTHERS_AT_RISK * others + INCAPABLE * declaration.incapable


def _check_scopes(
    hub: Hub, caller: Caller, body: RelationRequest
) -> tuple[tuple[str, ...], PurposeRefused | None]:
    """Exactly the scopes in which this role may see anything for this purpose; a citizen has all.

    With them, why the question is to be refused once it is known whom it is about.
    """
    refused = None
    if body.class_ == "citizen":
        wanted = tuple(scope for scope in SCOPES if hub.manifest.scope_key(scope))
    else:
        profile = hub.policies.registers.profile_of(caller.organisation.oin)
        try:
            wanted = scopes_for(hub.policy, caller.statement.role, caller.statement.purpose, profile)
            if not wanted and body.class_ == "lookup":
                wanted = scopes_of_role(hub.policy, caller.statement.role, profile)
                refused = PurposeRefused()
        except UnknownCode:
            raise ScopesRefused from None
    if not wanted or tuple(body.scopes) != wanted:
        raise ScopesRefused
    return wanted, refused


def _check_until(hub: Hub, body: RelationRequest | RenewalRequest) -> int:
    """Unix seconds of the end: in the future, at most 90 days; less for a citizen and for break-glass.

    Break-glass ends after its hours by this clock, whatever the node's says.
    """
    now, limits = hub.clock(), hub.vocabulary.limits
    longest = timedelta(days=limits.relation_max_days)
    class_ = body.class_ if isinstance(body, RelationRequest) else "lookup"
    if class_ == "citizen":
        longest = timedelta(minutes=limits.citizen_session_minutes)
    elif class_ == "crisis":
        longest = timedelta(hours=limits.break_glass_relation_hours)
    until, latest = _unix(body.until), int((now + longest).timestamp())
    if not now.timestamp() < until <= latest + _CLOCK_SLACK_S:
        raise Rejected("until-out-of-range")
    return min(until, latest) if class_ == "crisis" else until


# --- closing and renewing --------------------------------------------------------------


@dataclass(slots=True)
class Closing:
    """Ends relations. One that ended before stays as it was; closing again is harmless."""

    hub: Hub
    caller: Caller
    tickets: Sequence[Ticket]

    @property
    def persons(self) -> int:
        return len(self.tickets)

    def needs(self) -> Needs:
        own = Needs(messages=frozenset((self.caller.message_key,)))
        return Needs.union((own, ticket_needs(self.tickets)))

    def apply(self, tx: Tx) -> Finish:
        earlier = tx.earlier(self.caller)
        if earlier is not None:
            stored = msgspec.json.decode(earlier, type=ClosingAnswer)
            return lambda _: _json(stored, ",".join(str(r.index) for r in stored.log))
        if not all(fits(self.hub, self.caller, t, LOOKUP, CRISIS, CITIZEN) for t in self.tickets):
            return record_refused(tx, self.hub, self.caller, self.tickets, TicketRefused())
        closed = 0
        recorded = []
        for ticket in self.tickets:
            still = [one for one in held(tx, self.hub, ticket) if not one.relation.closed]
            for one in still:
                put(tx, self.hub, one, replace(one.relation, closed=tx.seconds))
            closed += bool(still)
            recorded.append(tx.record(_draft(tx, self.hub, self.caller, ticket, "closed")))

        def answer(sealed: SealedBatch) -> ClosingAnswer:
            return ClosingAnswer(closed=closed, log=sealed.receipts(recorded))

        tx.remember(self.caller, lambda sealed: msgspec.json.encode(answer(sealed)))
        return lambda sealed: _json(answer(sealed), sealed.index_header(recorded))


@dataclass(slots=True)
class Renewal:
    """Gives open relations of visits a later end, and new tickets; never beyond the limit since opening.

    Without that limit one evaluation would pay for looking at a person for ever.
    """

    hub: Hub
    caller: Caller
    tickets: Sequence[Ticket]
    until: int

    @property
    def persons(self) -> int:
        return len(self.tickets)

    def needs(self) -> Needs:
        own = Needs(messages=frozenset((self.caller.message_key,)))
        return Needs.union((own, ticket_needs(self.tickets)))

    def apply(self, tx: Tx) -> Finish:
        earlier = tx.earlier(self.caller)
        if earlier is not None:
            stored = msgspec.json.decode(earlier, type=_Stored)
            return lambda _: _answer(self.hub, self.caller, self.tickets, stored)
        if not all(fits(self.hub, self.caller, ticket, LOOKUP) for ticket in self.tickets):
            return record_refused(tx, self.hub, self.caller, self.tickets, TicketRefused())
        longest = self.hub.vocabulary.limits.relation_max_days * 86_400 + _CLOCK_SLACK_S
        if any(self.until > ticket.opened + longest for ticket in self.tickets):
            return record_refused(tx, self.hub, self.caller, self.tickets, Rejected("until-out-of-range"))
        open_now = [in_force(tx, self.hub, ticket) for ticket in self.tickets]
        if any(len(found) != len(t.scopes) for found, t in zip(open_now, self.tickets, strict=True)):
            return record_refused(tx, self.hub, self.caller, self.tickets, TicketRefused())
        for found in open_now:
            for one in found.values():
                put(tx, self.hub, one, replace(one.relation, until=self.until))
        return _recorded(tx, self.hub, self.caller, self.tickets, self.until, cause="renewed")


async def close_relations(hub: Hub, caller: Caller, body: ClosingRequest) -> Response:
    """`/v1/relations/closings`."""
    tickets = [open_ticket(hub, caller, text) for text in body.tickets]
    return await hub.sequencer.submit(Closing(hub, caller, tickets))


async def renew_relations(hub: Hub, caller: Caller, body: RenewalRequest) -> Response:
    """`/v1/relations/renewals`."""
    until = _check_until(hub, body)
    tickets = [open_ticket(hub, caller, text) for text in body.tickets]
    return await hub.sequencer.submit(Renewal(hub, caller, tickets, until))


def _json(body: msgspec.Struct, indexes: str) -> Response:
    headers: Mapping[str, str] = {LOG_INDEX_HEADER: indexes}
    return Response(msgspec.json.encode(body), headers=dict(headers), media_type="application/json")


def _unix(instant: str) -> int:
    try:
        return int(datetime.fromisoformat(instant).timestamp())
    except ValueError:
        raise Rejected("no-such-time") from None


def _instant(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


RULES = (
    Rule(
        "/v1/relations",
        RelationRequest,
        open_relations,
        who=Who.ASKER,
        classes=frozenset({"lookup", "crisis", "citizen"}),
        limit=RECEIPT_LIMIT,
        answer=RelationAnswer,
        summary="Open a visit or break-glass for one to eight persons, or a citizen's session",
        persons=lambda body: body.persons,
    ),
    Rule(
        "/v1/relations/closings",
        ClosingRequest,
        close_relations,
        who=Who.ASKER,
        classes=frozenset({"lookup", "crisis", "citizen"}),
        answer=ClosingAnswer,
        summary="End a visit or session; its tickets are void at once",
        persons=lambda body: len(body.tickets),
    ),
    Rule(
        "/v1/relations/renewals",
        RenewalRequest,
        renew_relations,
        who=Who.EMPLOYEE,
        classes=frozenset({"lookup"}),
        answer=RelationAnswer,
        summary="Give a visit a later end",
        persons=lambda body: len(body.tickets),
    ),
)
