"""What a citizen decides, written in all named scopes or in none.

    ticket and points of one person -> rules -> ledgers, folded states and entry in one transaction -> receipt

The very next question reads the state written here. Before anything is
written everything is computed: each directive, each hash, each folded state;
if one does not fit, nothing is written and the refusal is recorded in the
citizen's own log.

Source: docs/design/policy-and-consent.md, "Choices".
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from consent.claims import objection_with
from consent.directive import Directive, DirectiveInvalid, Entry
from consent.receipt import issue
from consent.resolve import add_months, measures_of
from consent.state import (
    ChoiceState,
    StateFull,
    fold,
    regimes_in_force,
)
from index.accesslog.log import SealedBatch
from index.claims import Where, ask_publishers, ledger_row, state_of, state_row
from index.errors import ChoicesFull, HubError, Rejected, TicketRefused, problem_of
from index.gate import Caller, Public, Rule, Who
from index.protocol.codec import SCOPES, EncodingError, b64u, unb64u
from index.protocol.messages import ChoiceAnswer, ChoiceEntry, ChoiceRequest
from index.publish import json_answer
from index.relations import LOOKUP, Held, in_force, record_refused, ticket_needs, use_session
from index.rows import Relation, RowError
from index.sessions import SAY, bytes16, instant_of, open_session, same_person
from index.tickets import Ticket
from index.transaction import ChoiceRow, DirectiveRow, Finish, Needs, Tx
from policy.vocabulary import UnknownCode

if TYPE_CHECKING:
    from index.hub import Hub

_BODY_LIMIT = 128 * 1024
_CLOCKS_DIFFER = timedelta(days=1)
"""A portal may end a year at the end of the citizen's day; resolution never counts more than the year."""
_REGIME_MONTHS = 60
"""A regime entry is proven anew after five years at the latest."""
CODE_REFUSED = "code-refused"
"""A code that opens nothing for this citizen at this portal now; why is told to nobody."""
_OWN_YES_IS_NOT_ENOUGH = frozenset({"curatele", "mentorschap"})


# --- rules --------------------------------------------------------------------------


def refusal_of(entry: ChoiceEntry, body: ChoiceRequest, hub: Hub, now: datetime) -> str:
    """Which rule an entry breaks, as a code from this function only; empty when it breaks none.

    1. A withdrawal names a group and nothing else; any other names none.
    2. The kind is of the entry's scope, and consent for it is possible where it is a grant.
    3. The receiver is in the directory: organisation, team, role; never an employee.
    4. The purpose is one that a citizen can decide about.
    5. A grant ends within a year; a no has no end, unless a parent gave it.
    6. Who decides has a say at this age and about this subject, and shows proof of it.
    """
    if (entry.effect == "withdraw") != bool(entry.withdraws):  # 1
        return "withdraw-form"
    if entry.effect == "withdraw":
        empty = not (entry.category or entry.receiver or entry.purpose or entry.until)
        return "" if empty and bytes16(entry.withdraws) else "withdraw-form"
    return (
        category_refusal(entry, hub)  # 2
        or receiver_refusal(entry, hub)  # 3
        or purpose_refusal(entry.purpose, hub)  # 4
        or _period_refusal(entry, body, hub, now)  # 5
        or _giver_refusal(entry, body)  # 6
    )


def category_refusal(entry: ChoiceEntry, hub: Hub) -> str:
    if not entry.category:
        return ""
    if entry.category[0] != entry.scope or len(entry.category) > 2:
        return "other-scope"
    if len(entry.category) == 1:
        return ""
    try:
        kind = hub.vocabulary.kind(entry.category[1])
    except UnknownCode:
        return "unknown-kind"
    if kind.domain != entry.scope:
        return "other-scope"
    return "no-consent-for-kind" if entry.effect == "grant" and not kind.consent_possible else ""


def receiver_refusal(entry: ChoiceEntry, hub: Hub) -> str:
    if not entry.receiver:
        return ""
    organisation = hub.directory.organisation(entry.receiver[0])
    if organisation is None:
        return "unknown-receiver"
    if len(entry.receiver) > 1 and organisation.team(entry.receiver[1]) is None:
        return "unknown-receiver"
    if len(entry.receiver) > 2:
        try:
            role = hub.vocabulary.role(entry.receiver[2])
        except UnknownCode:
            return "unknown-receiver"
        if not role.bsn_allowed:
            return "unknown-receiver"
    return ""


def purpose_refusal(path: Sequence[str], hub: Hub) -> str:
    wanted = tuple(path)
    below = [purpose for purpose in hub.vocabulary.purposes if purpose.path[: len(wanted)] == wanted]
    if not below:
        return "unknown-purpose"
    return "" if any(purpose.consent_possible for purpose in below) else "no-consent-for-purpose"


def _period_refusal(entry: ChoiceEntry, body: ChoiceRequest, hub: Hub, now: datetime) -> str:
    no = entry.effect in ("deny", "slot")
    if entry.until is None:
        return "no-end" if body.by == "ouder" or entry.effect == "regime" else ""
    if no and body.by != "ouder":
        return "deny-has-no-end"
    until = instant_of(entry.until)
    if until is None or until <= now:
        return "until-past"
    if no:
        return ""
    months = _REGIME_MONTHS if entry.effect == "regime" else hub.vocabulary.limits.consent_default_months
    return "until-too-far" if until > add_months(now, months) + _CLOCKS_DIFFER else ""


def _giver_refusal(entry: ChoiceEntry, body: ChoiceRequest) -> str:
    """What can be said of the giver without the ledger; `_authority` has the rest.

    Younger than 12 only a parent decides, from 12 to 15 both, from 16 no parent; machtiging begins
    at 16, and the other measures at 18, which the portal and not the hub can see.
    """
    if body.by == "zelf":
        return "no-say" if body.regime == "ouder" or body.giver or entry.effect == "regime" else ""
    if not body.evidence:
        return "no-evidence"
    if body.by == "ouder":
        return "no-say" if body.regime == "zelf" or not body.giver or entry.effect == "regime" else ""
    if body.regime != "zelf" or entry.scope not in SAY.get(body.by, SCOPES):
        return "no-say"
    mandate = body.by == "gemachtigde"
    paths = entry.category or entry.receiver or entry.purpose
    return "no-say" if entry.effect == "regime" and paths and not mandate else ""


def _inside(entry: ChoiceEntry, mandate: Directive) -> bool:
    axes = (
        (entry.category, mandate.category),
        (entry.receiver, mandate.receiver),
        (entry.purpose, mandate.purpose),
    )
    return all(tuple(narrow[: len(broad)]) == broad for narrow, broad in axes)


@dataclass(frozen=True, slots=True)
class InScope:
    """What is asked in one scope: its entries in order, and where they are to be written."""

    where: Where
    entries: tuple[ChoiceEntry, ...]


# --- a choice by a visit's code -------------------------------------------------------


def opened_cases(tx: Tx, hub: Hub, caller: Caller, ticket: Ticket, code: bytes) -> dict[str, Held]:
    """By scope, the person's own visits whose code this very session opened; none for no code.

    Raises:
        Rejected: There is none: another's code, or one that is used, over or unknown, all alike.
    """
    if not code:
        return {}
    found = cases_of(tx, hub, caller, ticket, code)
    codes = [one.relation.code for one in found.values()]
    if not codes or any(given.session != ticket.opened or given.done for given in codes):
        raise Rejected(CODE_REFUSED)
    return found


def cases_of(tx: Tx, hub: Hub, caller: Caller, ticket: Ticket, code: bytes) -> dict[str, Held]:
    """By scope, the open visits of the session's person that gave this code for this portal.

    Only the person's own relations are read: a code of somebody else's visit is not found here.
    """
    found: dict[str, Held] = {}
    for scope, (_, keys) in ticket.scopes.items():
        for row in tx.relations(keys.idx_rel):
            try:
                relation = hub.rows.open_relation(row, scope)
            except RowError:
                continue
            given = relation.code
            if (
                relation.class_number == LOOKUP
                and not relation.closed
                and tx.seconds < relation.until
                and given.portal == caller.node.number
                and hmac.compare_digest(given.tag, code)
            ):
                found[scope] = Held(scope, row, relation)
    return found


def check_within(hub: Hub, part: InScope, cases: Mapping[str, Held]) -> None:
    """A choice by code is about the visit's own team, and a yes about its purpose.

    Raises:
        Rejected: Another scope, team or purpose.
    """
    case = cases.get(part.where.scope)
    if case is None:
        raise Rejected("code-other-scope")
    place = place_of_relation(hub, case.relation)
    for entry in part.entries:
        if entry.effect == "withdraw":
            continue
        if place is None or entry.effect not in ("grant", "deny") or entry.receiver[:2] != place[:2]:
            raise Rejected("code-other-team")
        purpose = hub.vocabulary.purpose(place[3])
        if entry.effect == "grant" and tuple(entry.purpose) != purpose.path:
            raise Rejected("code-other-purpose")


def place_of_relation(hub: Hub, relation: Relation) -> list[str] | None:
    """OIN, team, role and purpose of a visit; None when directory or vocabulary has lost one."""
    node = hub.directory.node_by_number(relation.node)
    if node is None:
        return None
    team = hub.directory.organisation_of(node).team_by_number(relation.team)
    words = hub.vocabulary
    role = next((role.code for role in words.roles if role.number == relation.role), "")
    purpose = next((one.code for one in words.purposes if one.number == relation.purpose), "")
    return [node.oin, team.id, role, purpose] if team and role and purpose else None


# --- one choice ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Drafted:
    """One scope, computed and not written yet. `entries` are those of the ledger, each with its new head.

    `earlier`: what its withdrawals end, by scope and group.
    """

    rows: tuple[DirectiveRow, ...]
    state: ChoiceRow
    entries: tuple[tuple[str, Entry, bytes], ...]
    earlier: dict[tuple[str, bytes], tuple[Directive, ...]]
    before: ChoiceState
    after: ChoiceState


@dataclass(frozen=True, slots=True)
class Choose:
    """Write a choice in every scope that it names, or refuse all of it.

    `code` is set when the rules refuse it already; it is still recorded under
    the citizen's own handles.
    """

    hub: Hub
    caller: Caller
    ticket: Ticket
    group: bytes
    text: bytes
    body: ChoiceRequest
    parts: tuple[InScope, ...]
    code: str
    visit_code: bytes = field(default=b"", repr=False)
    persons: int = 1

    def needs(self) -> Needs:
        here = Needs(
            choices=frozenset(part.where.keys.idx_dir for part in self.parts),
            messages=frozenset({self.caller.message_key}),
        )
        return Needs.union((here, ticket_needs([self.ticket])))

    def apply(self, tx: Tx) -> Finish:
        if (earlier := tx.earlier(self.caller)) is not None:
            return lambda _: earlier
        if len(in_force(tx, self.hub, self.ticket)) != len(self.ticket.scopes):
            return record_refused(tx, self.hub, self.caller, [self.ticket], TicketRefused())
        if self.code:
            return self._refuse(tx, Rejected(self.code))
        try:
            cases = opened_cases(tx, self.hub, self.caller, self.ticket, self.visit_code)
            for part in self.parts if self.visit_code else ():
                check_within(self.hub, part, cases)
            drafted = [self._draft(tx, part, cases.get(part.where.scope)) for part in self.parts]
        except StateFull:
            return self._refuse(tx, ChoicesFull())
        except DirectiveInvalid:
            return self._refuse(tx, Rejected("entry-too-long"))
        except Rejected as refusal:
            return self._refuse(tx, refusal)
        use_session(tx, self.hub, self.ticket)
        for part, scope in zip(self.parts, drafted, strict=True):
            for row in scope.rows:
                tx.append_directive(row)
            tx.put_choice(scope.state)
            ask_publishers(tx, self.hub, part.where, scope.before, scope.after)
        return self._answer(tx, drafted)

    def _draft(self, tx: Tx, part: InScope, case: Held | None) -> Drafted:
        """Fold the entries of one scope; nothing is written here.

        Args:
            case: The visit by whose code this is chosen.

        Raises:
            StateFull: The choices in force would not fit their row.
            Rejected: A withdrawal of a group that is not in force here or is another giver's, a
                group used before, or a giver without authority in this scope now.
        """
        where = part.where
        state = before = state_of(tx, self.hub, where)
        used = {held.group for held in state.directives} | {held.group for held in state.claims}
        if self.group in used:
            raise Rejected("group-used")
        rows: list[DirectiveRow] = []
        written: list[tuple[str, Entry, bytes]] = []
        ended: dict[tuple[str, bytes], tuple[Directive, ...]] = {}
        for entry in part.entries:
            directive = self._directive(entry, state, tx.now, case)
            groups = {held.group for held in state.directives}
            if directive.withdraws and directive.withdraws not in groups:
                raise Rejected("unknown-group")
            prev, state = state, fold(state, directive)
            if directive.withdraws in {held.group for held in state.directives}:
                raise Rejected("not-yours")
            if directive.withdraws:
                ended[where.scope, directive.withdraws] = tuple(
                    held for held in prev.directives if held.group == directive.withdraws
                )
            rows.append(ledger_row(self.hub, where, directive, prev.head, state.head))
            written.append((where.scope, directive, state.head))
            objection = objection_with(directive, state, self.hub.vocabulary)
            if objection is not None:
                prev, state = state, fold(state, objection)
                rows.append(ledger_row(self.hub, where, objection, prev.head, state.head))
                written.append((where.scope, objection, state.head))
        sealed = state_row(self.hub, where, state)
        return Drafted(tuple(rows), sealed, tuple(written), ended, before, state)

    def _authority(self, entry: ChoiceEntry, state: ChoiceState, now: datetime) -> Directive | None:
        """The regime entry by which the giver may speak in this scope; None where none is needed.

        Raises:
            Rejected: No regime entry of this giver is in force here, its mandate does not cover the
                entry, or a measure asks another's yes.
        """
        if entry.effect in ("withdraw", "regime") or self.body.by == "ouder":
            return None
        if self.body.by == "zelf":
            if entry.effect == "grant" and _OWN_YES_IS_NOT_ENOUGH & measures_of(state, now):
                raise Rejected("no-say")
            return None
        giver = (self.body.by, self.body.giver)
        own = [held for held in regimes_in_force(state, now) if (held.by, held.giver) == giver]
        if not own:
            raise Rejected("no-authority")
        covering = [held for held in own if _inside(entry, held)]
        if not covering or (self.body.by != "curator" and "curatele" in measures_of(state, now)):
            raise Rejected("no-say")
        return max(covering, key=lambda held: held.until or now)

    def _directive(
        self, entry: ChoiceEntry, state: ChoiceState, now: datetime, case: Held | None
    ) -> Directive:
        until = instant_of(entry.until) if entry.until else None
        if entry.effect == "grant" and until is None:
            until = add_months(now, self.hub.vocabulary.limits.consent_default_months)
        authority = self._authority(entry, state, now)
        evidence = "" if entry.effect == "withdraw" else self.body.evidence
        lasts = None
        if authority is not None and authority.until is not None:
            # The regime entry holds the reference; here is little room, so this names it by its number.
            evidence = f"r{authority.number}"
            until = min(until, authority.until) if until else None
            lasts = None if until else authority.until
        return Directive(
            number=state.number + 1,
            group=self.group,
            effect=entry.effect,
            category=tuple(entry.category),
            receiver=tuple(entry.receiver),
            purpose=tuple(entry.purpose),
            from_=now,
            until=until,
            explicit=entry.explicit and entry.effect == "grant",
            by=self.body.by,
            regime=self.body.regime,
            giver=self.body.giver,
            evidence=evidence,
            evidence_until=lasts,
            channel=self.body.channel if case is None else "code",
            text=self.text,
            policy=self.hub.policy.number,
            withdraws=bytes16(entry.withdraws),
            relation=case.row.key if case is not None and entry.effect == "grant" else b"",
        )

    def _refuse(self, tx: Tx, refusal: HubError) -> Finish:
        lids = tuple(part.where.keys.lid for part in self.parts)
        tx.record(self.caller.draft(tx.now, lids=lids, refused=refusal.code, pv=self.hub.policy.number))
        problem = problem_of(refusal)
        return lambda _: problem

    def _answer(self, tx: Tx, drafted: Sequence[Drafted]) -> Finish:
        lids = tuple(part.where.keys.lid for part in self.parts)
        recorded = tx.record(self.caller.draft(tx.now, lids=lids, pv=self.hub.policy.number))
        token = receipt_of(
            self.hub,
            self.caller,
            [entry for scope in drafted for entry in scope.entries],
            {place: held for scope in drafted for place, held in scope.earlier.items()},
            tx.now,
        )
        made: list[bytes] = []

        def answer(batch: SealedBatch) -> bytes:
            made.append(msgspec.json.encode(ChoiceAnswer(receipt=token, log=batch.receipts([recorded]))))
            return made[-1]

        tx.remember(self.caller, answer)
        return lambda batch: json_answer(made[-1], batch.index_header([recorded]))


def receipt_of(
    hub: Hub,
    caller: Caller,
    entries: Sequence[tuple[str, Entry, bytes]],
    earlier: Mapping[tuple[str, bytes], Sequence[Directive]],
    now: datetime,
) -> str:
    """A signed receipt of one choice, with an id and a subject of its own; `earlier` as in `issue`."""
    return issue(
        bytes(hub.keystore.consent_signing),
        kid=hub.settings.hub_id,
        issuer=hub.settings.hub_id,
        controller=caller.organisation.oin,
        record=secrets.token_bytes(16),
        subject=secrets.token_bytes(16),
        at=now,
        entries=entries,
        earlier=earlier,
    )


async def choices(hub: Hub, caller: Caller, body: ChoiceRequest) -> Response:
    """POST /v1/choices.

    1. The ticket is of a citizen session of this portal.
    2. The points are of the same person, one for each scope named.
    3. Every entry keeps the rules; one that does not refuses all.
    """
    ticket = open_session(hub, caller, body.ticket)  # 1
    scopes = [scope for scope in SCOPES if any(entry.scope == scope for entry in body.entries)]
    points = hub.open_points(caller, body.points, body.version, len(scopes))  # 2
    same_person(hub, ticket, scopes, points)
    group = bytes16(body.group)
    try:
        text = unb64u(body.text, 32)
    except EncodingError:
        text = b""
    code = "malformed-group" if not group else "malformed-text" if not text else ""
    refused = (refusal_of(entry, body, hub, caller.at) for entry in body.entries)  # 3
    visit_code = bytes16(body.code) if body.code else b""
    if body.code and not visit_code:
        code = code or "malformed-code"
    parts = tuple(
        InScope(Where(scope, ticket.scopes[scope][1], n), tuple(e for e in body.entries if e.scope == scope))
        for scope, n in zip(scopes, points, strict=True)
    )
    code = code or next((found for found in refused if found), "")
    return await hub.sequencer.submit(Choose(hub, caller, ticket, group, text, body, parts, code, visit_code))


RULES = (
    Rule(
        "/v1/choices",
        ChoiceRequest,
        choices,
        who=Who.CITIZEN,
        classes=frozenset({"citizen"}),
        limit=_BODY_LIMIT,
        answer=ChoiceAnswer,
        summary="Write or withdraw choices in all named scopes, or in none",
    ),
)


async def receipt_keys(hub: Hub, _: Request) -> Response:
    """GET /v1/receipt-keys: with these anyone checks a receipt offline. To pin, not to fetch and believe."""
    keys = {
        "kid": hub.settings.hub_id,
        "change": b64u(bytes(hub.keystore.receipt_signing.verify_key)),
        "consent": b64u(bytes(hub.keystore.consent_signing.verify_key)),
    }
    return Response(msgspec.json.encode(keys), media_type="application/json")


PUBLIC = (Public("/v1/receipt-keys", receipt_keys, "Public keys of change and consent receipts", cors=True),)
