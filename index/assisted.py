"""At the kitchen table: a code for the citizen's own phone, and what an employee may enter.

    desk: ticket -> code in the open relation -> portal: own relations -> the visit -> choices -> done -> desk
    desk: ticket -> a no, a slot, or a yes from a signed form -> rules -> ledger and entry in one transaction

The employee never gives a yes. A code stands inside the relation of one visit
of one person, so it opens nothing for anybody else, and no table of codes
exists. What a desk enters can only narrow, or waits 72 hours for the citizen's
own act. The desk learns that the citizen is done, never what was chosen.

Source: docs/design/policy-and-consent.md, "Assisted consent"; policy.md §2.6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
from starlette.responses import Response

from consent.claims import objection_with
from consent.directive import Directive, DirectiveInvalid, Entry, parse_canonical
from consent.resolve import FORM_AGAIN_DAYS, scope_of
from consent.state import ChoiceState, StateFull, fold
from index.accesslog.log import Recorded, SealedBatch
from index.choices import (
    CODE_REFUSED,
    Drafted,
    cases_of,
    category_refusal,
    place_of_relation,
    purpose_refusal,
    receiver_refusal,
)
from index.claims import Where, ask_publishers, ledger_row, state_of, state_row
from index.errors import ChoicesFull, HubError, Rejected, TicketRefused
from index.gate import Caller, Rule, Who
from index.protocol.codec import SCOPES, EncodingError, unb64u
from index.protocol.messages import (
    AssistedAnswer,
    AssistedRequest,
    ChoiceEntry,
    CodeAnswer,
    CodeRequest,
    CodeStateAnswer,
    CodeStateRequest,
    Message,
    OwnCodeAnswer,
    OwnCodeRequest,
)
from index.publish import json_answer
from index.relations import (
    LOOKUP,
    PORTAL_CLASS,
    Held,
    end_of_relation,
    fits,
    in_force,
    open_ticket,
    put,
    record_refused,
    ticket_needs,
    use_session,
)
from index.rows import Code
from index.sessions import bytes16, open_session
from index.tickets import Ticket
from index.transaction import DirectiveRow, Finish, Needs, Tx

if TYPE_CHECKING:
    from index.hub import Hub

CODE_LIFE = timedelta(minutes=10)
_DENIES = ("deny", "slot")


# --- what these works share -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AtTable:
    """A call about the one person of a ticket."""

    hub: Hub
    caller: Caller
    ticket: Ticket
    persons: int = field(default=1, kw_only=True)

    def needs(self) -> Needs:
        own = Needs(messages=frozenset({self.caller.message_key}))
        return Needs.union((own, ticket_needs([self.ticket])))

    def visit(self, tx: Tx) -> dict[str, Held] | None:
        """The open relation of the visit in each of its scopes; None when it does not hold."""
        if not fits(self.hub, self.caller, self.ticket, LOOKUP):
            return None
        open_now = in_force(tx, self.hub, self.ticket)
        return open_now if len(open_now) == len(self.ticket.scopes) else None

    def refuse(self, tx: Tx, error: HubError) -> Finish:
        return record_refused(tx, self.hub, self.caller, [self.ticket], error)

    def record(self, tx: Tx, lids: tuple[bytes, ...] | None = None) -> Recorded:
        lids = self.ticket.lids if lids is None else lids
        later = self.hub.postponement.postpones(self.caller.statement.role)
        return tx.record(self.caller.draft(tx.now, lids=lids, later=later, pv=self.hub.policy.number))


def _kept(tx: Tx, caller: Caller, recorded: Recorded, answer: Message) -> Finish:
    """Answer, and give the same message the same answer again; `answer` has no log proof yet."""
    made: list[bytes] = []

    def body(batch: SealedBatch) -> bytes:
        made.append(msgspec.json.encode(msgspec.structs.replace(answer, log=batch.receipts([recorded]))))
        return made[-1]

    tx.remember(caller, body)
    return lambda batch: json_answer(made[-1], batch.index_header([recorded]))


# --- a code from the desk ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GiveCode(AtTable):
    """Put a code into the visit's relations; one that was there before is worth nothing from now on."""

    tag: bytes = field(repr=False)
    portal: int

    def apply(self, tx: Tx) -> Finish:
        if (earlier := tx.earlier(self.caller)) is not None:
            return lambda _: earlier
        visit = self.visit(tx)
        if visit is None:
            return self.refuse(tx, TicketRefused())
        until = tx.seconds + int(CODE_LIFE.total_seconds())
        for one in visit.values():
            put(tx, self.hub, one, replace(one.relation, code=Code(self.tag, until, self.portal, 0, 0)))
        answer = CodeAnswer(_instant(datetime.fromtimestamp(until, UTC)), [])
        return _kept(tx, self.caller, self.record(tx), answer)


@dataclass(frozen=True, slots=True)
class AskCode(AtTable):
    """Whether the citizen is done: nothing else about the code is told, not even that it was used."""

    def apply(self, tx: Tx) -> Finish:
        visit = self.visit(tx)
        if visit is None:
            return self.refuse(tx, TicketRefused())
        done = all(one.relation.code.done for one in visit.values())
        recorded = self.record(tx)

        def finish(batch: SealedBatch) -> Response:
            body = CodeStateAnswer(done=done, log=batch.receipts([recorded]))
            return json_answer(msgspec.json.encode(body), batch.index_header([recorded]))

        return finish


async def give_code(hub: Hub, caller: Caller, body: CodeRequest) -> Response:
    """POST /v1/codes."""
    ticket = open_ticket(hub, caller, body.ticket)
    portal = hub.directory.node(body.portal)
    if portal is None or hub.directory.organisation_of(portal).class_ != PORTAL_CLASS:
        raise Rejected("unknown-portal")
    tag = bytes16(body.code)
    if not tag:
        raise Rejected("malformed-code")
    return await hub.sequencer.submit(GiveCode(hub, caller, ticket, tag, portal.number))


async def ask_code(hub: Hub, caller: Caller, body: CodeStateRequest) -> Response:
    """POST /v1/codes/state."""
    return await hub.sequencer.submit(AskCode(hub, caller, open_ticket(hub, caller, body.ticket)))


# --- the citizen with a code ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OwnCode(AtTable):
    """Open a code once, within its minutes, in this session; or be done with it.

    A code of another person, portal or team, and one that is used, over or
    unknown, get the same answer.
    """

    tag: bytes = field(repr=False)
    done: bool

    def apply(self, tx: Tx) -> Finish:
        if (earlier := tx.earlier(self.caller)) is not None:
            return lambda _: earlier
        if len(in_force(tx, self.hub, self.ticket)) != len(self.ticket.scopes):
            return self.refuse(tx, TicketRefused())
        cases = cases_of(tx, self.hub, self.caller, self.ticket, self.tag) if self.tag else {}
        answer = self._answer(cases) if cases and all(self._fits(one, tx) for one in cases.values()) else None
        use_session(tx, self.hub, self.ticket)
        if answer is None:
            return self.refuse(tx, Rejected(CODE_REFUSED))
        for one in cases.values():
            code = one.relation.code._replace(session=self.ticket.opened, done=int(self.done))
            put(tx, self.hub, one, replace(one.relation, code=code))
        return _kept(tx, self.caller, self.record(tx), answer)

    def _fits(self, one: Held, tx: Tx) -> bool:
        code = one.relation.code
        if self.done:
            return code.session == self.ticket.opened
        return code.session == 0 and tx.seconds < code.until

    def _answer(self, cases: dict[str, Held]) -> OwnCodeAnswer | None:
        relation = next(iter(cases.values())).relation
        place = place_of_relation(self.hub, relation)
        if place is None:
            return None
        organisation, team, role, purpose = place
        return OwnCodeAnswer(
            organisation=organisation,
            team=team,
            role=role,
            purpose=purpose,
            scopes=[scope for scope in SCOPES if scope in cases],  # type: ignore[misc]  # literals
            until=_instant(end_of_relation(relation)),
            log=[],
        )


async def own_code(hub: Hub, caller: Caller, body: OwnCodeRequest) -> Response:
    """POST /v1/citizen/code."""
    ticket = open_session(hub, caller, body.ticket)
    return await hub.sequencer.submit(OwnCode(hub, caller, ticket, bytes16(body.code), body.done))


# --- what an employee enters ------------------------------------------------------------


def assisted_refusal(entry: ChoiceEntry, body: AssistedRequest, caller: Caller, hub: Hub) -> str:
    """Which rule an entry breaks, as a code from this function only; empty when it breaks none.

    1. A desk enters a no, a slot, or a yes; it ends nothing and lets nobody speak for another.
    2. No end is given: a no has none, and a form's is fixed.
    3. Subject, receiver and purpose exist, as for any choice.
    4. A yes has a form with a reference, and a no has none.
    5. A yes names one kind outside art. 9 that consent is possible for.
    6. A yes is for the own team and the purpose of this visit.
    """
    if entry.effect not in (*_DENIES, "grant"):  # 1
        return "desk-narrows-only"
    if entry.until is not None or entry.withdraws:  # 2
        return "until-set"
    wrong = category_refusal(entry, hub) or receiver_refusal(entry, hub)  # 3
    wrong = wrong or purpose_refusal(entry.purpose, hub)
    if wrong:
        return wrong
    if (entry.effect == "grant") != bool(body.form):  # 4
        return "no-form" if entry.effect == "grant" else "form-without-yes"
    return _form_refusal(entry, caller, hub) if body.form else ""


def _form_refusal(entry: ChoiceEntry, caller: Caller, hub: Hub) -> str:
    if len(entry.category) != 2:  # 5
        return "form-one-subject"
    if hub.vocabulary.kind(entry.category[1]).art9_or_10:
        return "form-art9"
    said = caller.statement  # 6
    if list(entry.receiver) != [said.org, said.team]:
        return "form-other-team"
    if tuple(entry.purpose) != hub.vocabulary.purpose(said.purpose).path:
        return "form-other-purpose"
    return ""


@dataclass(frozen=True, slots=True)
class Assist(AtTable):
    """Write what an employee enters in every scope that it names, or refuse all of it."""

    body: AssistedRequest
    group: bytes
    text: bytes
    code: str

    def _scopes(self) -> list[str]:
        named = {entry.scope for entry in self.body.entries}
        return [scope for scope in self.ticket.scopes if scope in named]

    def needs(self) -> Needs:
        keys = frozenset(self.ticket.scopes[scope][1].idx_dir for scope in self._scopes())
        here = Needs(choices=keys, ledgers=keys if self.body.form else frozenset())
        return Needs.union((here, AtTable.needs(self)))

    def apply(self, tx: Tx) -> Finish:
        if (earlier := tx.earlier(self.caller)) is not None:
            return lambda _: earlier
        visit = self.visit(tx)
        if visit is None:
            return self.refuse(tx, TicketRefused())
        if self.code:
            return self.refuse(tx, Rejected(self.code))
        try:
            drafted = [self._draft(tx, visit[scope]) for scope in self._scopes()]
        except StateFull:
            return self.refuse(tx, ChoicesFull())
        except DirectiveInvalid:
            return self.refuse(tx, Rejected("entry-too-long"))
        except Rejected as refusal:
            return self.refuse(tx, refusal)
        for where, scope in drafted:
            for row in scope.rows:
                tx.append_directive(row)
            tx.put_choice(scope.state)
            ask_publishers(tx, self.hub, where, scope.before, scope.after)
        lids = tuple(self.ticket.scopes[scope][1].lid for scope in self._scopes())
        return _kept(tx, self.caller, self.record(tx, lids), AssistedAnswer([]))

    def _draft(self, tx: Tx, one: Held) -> tuple[Where, Drafted]:
        """Fold the entries of one scope; nothing is written here.

        Raises:
            StateFull: The choices in force would not fit their row.
            Rejected: A form of this scope too soon after another, or a visit of an earlier version.
        """
        entries = tuple(entry for entry in self.body.entries if entry.scope == one.scope)
        keys = self.ticket.scopes[one.scope][1]
        relation = one.relation
        if not relation.ledger_escrow:
            raise Rejected("visit-too-old")
        where = Where(one.scope, keys, b"", relation.ledger_escrow, relation.claim_escrow)
        state = before = state_of(tx, self.hub, where)
        if self.group in {held.group for held in state.directives} | {held.group for held in state.claims}:
            raise Rejected("group-used")
        rows: list[DirectiveRow] = []
        written: list[tuple[str, Entry, bytes]] = []

        def add(step: Entry) -> None:
            nonlocal state
            prev, state = state, fold(state, step)
            rows.append(ledger_row(self.hub, where, step, prev.head, state.head))
            written.append((one.scope, step, state.head))

        for entry in entries:
            directives = self._directives(entry, state, tx)
            for directive in directives:
                add(directive)
            if (objection := objection_with(directives[0], state, self.hub.vocabulary)) is not None:
                add(objection)
        sealed = state_row(self.hub, where, state)
        return where, Drafted(tuple(rows), sealed, tuple(written), {}, before, state)

    def _directives(self, entry: ChoiceEntry, state: ChoiceState, tx: Tx) -> list[Directive]:
        """The entry, and after a no the ends of every own yes inside it: narrower would beat broader."""
        first = self._directive(entry, state.number + 1, tx.now)
        if first.effect == "grant":
            self._refuse_again(first, self.ticket.scopes[entry.scope][1].idx_dir, entry.scope, tx)
            return [first]
        if first.effect == "slot":
            return [first]
        groups = dict.fromkeys(held.group for held in state.directives if _own_yes_inside(held, first))
        ends = ChoiceEntry(entry.scope, "withdraw")
        return [
            first,
            *(
                self._directive(ends, first.number + at, tx.now, withdraws=group)
                for at, group in enumerate(groups, 1)
            ),
        ]

    def _directive(
        self, entry: ChoiceEntry, number: int, now: datetime, *, withdraws: bytes = b""
    ) -> Directive:
        yes = entry.effect == "grant"
        hours = timedelta(hours=self.hub.vocabulary.limits.assisted_consent_hours)
        return Directive(
            number=number,
            group=self.group,
            effect=entry.effect,
            category=tuple(entry.category),
            receiver=tuple(entry.receiver),
            purpose=tuple(entry.purpose),
            from_=now,
            until=now + hours if yes else None,
            regime=self.body.regime if yes else "zelf",
            evidence=self.body.form if yes else "",
            channel="formulier" if yes else "balie",
            text=self.text,
            policy=self.hub.policy.number,
            withdraws=withdraws,
            entered=(self.caller.node.number, self.ticket.team, self.ticket.role),
        )

    def _refuse_again(self, form: Directive, idx_dir: bytes, scope: str, tx: Tx) -> None:
        """Refuse a second form for the same within 30 days, unless the citizen confirmed the first.

        Asked of the ledger, not of the folded state: a form that was taken back counts too.

        Raises:
            Rejected: `form-again`.
        """
        waits = False
        for row in tx.ledger(idx_dir):
            earlier, _ = parse_canonical(self.hub.rows.open_directive(row, scope)[1])
            if not isinstance(earlier, Directive) or earlier.effect != "grant":
                continue
            if scope_of(earlier) != scope_of(form):
                continue
            if not earlier.provisional:
                waits = False
            elif earlier.from_ + timedelta(days=FORM_AGAIN_DAYS) > tx.now:
                waits = True
        if waits:
            raise Rejected("form-again")


def _own_yes_inside(held: Directive, no: Directive) -> bool:
    """Whether a yes of the person's own lies strictly inside a no."""
    inner, outer = scope_of(held), scope_of(no)
    return (
        held.effect == "grant"
        and (held.by, held.giver) == ("zelf", "")
        and inner != outer
        and all(narrow[: len(broad)] == broad for narrow, broad in zip(inner, outer, strict=True))
    )


async def assisted(hub: Hub, caller: Caller, body: AssistedRequest) -> Response:
    """POST /v1/choices/assisted.

    1. The ticket is of a visit of this desk, for one person.
    2. Group and text have their form.
    3. Every entry keeps the rules, in a scope of the visit; one that does not refuses all.
    """
    ticket = open_ticket(hub, caller, body.ticket)  # 1
    group = bytes16(body.group)  # 2
    try:
        text = unb64u(body.text, 32)
    except EncodingError:
        text = b""
    code = "malformed-group" if not group else "malformed-text" if not text else ""
    code = code or _scope_refusal(body.entries, ticket)  # 3
    refused = (assisted_refusal(entry, body, caller, hub) for entry in body.entries)
    code = code or next((found for found in refused if found), "")
    return await hub.sequencer.submit(Assist(hub, caller, ticket, body, group, text, code))


def _scope_refusal(entries: Sequence[ChoiceEntry], ticket: Ticket) -> str:
    return "" if all(entry.scope in ticket.scopes for entry in entries) else "scope-not-in-visit"


def _instant(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


_DESK, _PORTAL = frozenset({"lookup"}), frozenset({"citizen"})
RULES = (
    Rule(
        "/v1/codes",
        CodeRequest,
        give_code,
        who=Who.EMPLOYEE,
        classes=_DESK,
        answer=CodeAnswer,
        summary="Give the citizen of a visit a code for the own phone",
    ),
    Rule(
        "/v1/codes/state",
        CodeStateRequest,
        ask_code,
        who=Who.EMPLOYEE,
        classes=_DESK,
        answer=CodeStateAnswer,
        summary="Whether the citizen is done",
    ),
    Rule(
        "/v1/choices/assisted",
        AssistedRequest,
        assisted,
        who=Who.EMPLOYEE,
        classes=_DESK,
        answer=AssistedAnswer,
        summary="Enter a no or slot, or a yes from a signed form",
    ),
    Rule(
        "/v1/citizen/code",
        OwnCodeRequest,
        own_code,
        who=Who.CITIZEN,
        classes=_PORTAL,
        answer=OwnCodeAnswer,
        summary="Open a code that a desk gave, or be done with it",
    ),
)
