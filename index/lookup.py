"""One question about one to eight persons, answered after it was recorded.

    tickets -> relations, choices and flags, read in the transaction
            -> decide over all kinds of the asked scopes -> join with what exists
            -> one entry per person -> 8,192 bytes per person

What the asker may not see looks exactly like what is not there: the same
decisions are made, at least four flag rows per scope, one choice state and one
relation are opened, real or dummy, and the answer has one size. Refusals are
answers of the same size and speak of the asker only.

Source: docs/design/design.md, "Answers"; policy.md, "Indistinguishability".
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
import structlog
from starlette.responses import Response

from consent.claims import Claims
from consent.resolve import Former, Receiver, cases_named, states_of, with_standing
from consent.state import StateUnreadable, decode
from index.accesslog.log import Recorded, SealedBatch
from index.decisions import Reasoned, dec_of, reasoned
from index.errors import LogUnconfirmed, PolicyStopped, TicketRefused
from index.gate import Caller, Rule, Who
from index.hub import Hub
from index.protocol.directory import OrganisationEntry
from index.protocol.entry import SOMETHING, shown_bits
from index.protocol.messages import LogReceipt, LookupAnswer, LookupRequest, PersonAnswer, VisibleFlag
from index.protocol.statement import LOG_INDEX_HEADER
from index.publish import retention_end
from index.relations import CRISIS, LOOKUP, Held, case_ends, fits, in_force, open_ticket, record_refused
from index.rows import (
    INCAPABLE,
    NO_FLAG,
    OPEN_END,
    OTHERS_AT_RISK,
    Flag,
    RowError,
    SearchKeys,
    month_text,
    week_of,
)
from index.tickets import Ticket
from index.transaction import Finish, FlagRow, Needs, Tx
from policy.decide import Asker, Circumstances, KindState, Outcome, decide, decide_each
from policy.vocabulary import BASES, Kind, Purpose

log = structlog.get_logger()

ANSWER_SIZE = 8192
MAX_FLAGS = 64
FLOOR = 4
"""Flag rows that are opened in each asked scope, at least."""

NO_RELATION = "no-relation"
_NO_RECEIPT = LogReceipt(0, "", "", "", "", "")
_NEVER_CHOSE = KindState("none")
_NO_CLAIMS = Claims((), datetime.min.replace(tzinfo=UTC))
_DAY = 86_400
_NOTHING, _CASE = Circumstances(has_case=False), Circumstances(has_case=True)


@dataclass(frozen=True, slots=True)
class Seen:
    """A flag that exists and lives; `outcome`, `state` and `disputed` once it was decided about."""

    kind: Kind
    flag: Flag
    confirmed_at: int
    rtag: bytes
    outcome: Outcome | None = None
    state: KindState | None = None
    disputed: bool = False


@dataclass(frozen=True, slots=True)
class Ruling:
    """What was decided over the kinds of one scope, and what it rests on."""

    outcomes: list[Outcome]
    states: dict[int, KindState]
    claims: Claims
    circumstances: Circumstances


@dataclass(frozen=True, slots=True)
class Decided:
    """What one person's question came to, before it is recorded."""

    seen: Sequence[Seen]
    outcomes: Sequence[Reasoned]
    refused: str

    def fill(self, blank: PersonAnswer, receipt: LogReceipt, *, subjects: bool) -> PersonAnswer:
        """This person's answer; without `subjects` it says only whether there is anything."""
        flags = [_visible(one) for one in self.seen] if subjects else []
        return msgspec.structs.replace(
            blank,
            flags=flags[:MAX_FLAGS],
            present=bool(self.seen),
            more=len(flags) > MAX_FLAGS,
            refused=self.refused,
            log=receipt,
        )


@dataclass(slots=True)
class Lookup:
    """The question of one visit about its persons."""

    hub: Hub
    caller: Caller
    tickets: Sequence[Ticket]
    detail: str

    @property
    def persons(self) -> int:
        return len(self.tickets)

    def needs(self) -> Needs:
        keys = [keys for ticket in self.tickets for _, keys in ticket.scopes.values()]
        return Needs(
            flags=frozenset([k.idx for k in keys]),
            choices=frozenset([k.idx_dir for k in keys]),
            relations=frozenset([k.idx_rel for k in keys]),
        )

    def apply(self, tx: Tx) -> Finish:
        if not all(fits(self.hub, self.caller, ticket, LOOKUP, CRISIS) for ticket in self.tickets):
            return record_refused(tx, self.hub, self.caller, self.tickets, TicketRefused())
        if self.hub.policies.stopped:
            return record_refused(tx, self.hub, self.caller, self.tickets, PolicyStopped())
        if self.hub.witnesses.refuses():
            return record_refused(tx, self.hub, self.caller, self.tickets, LogUnconfirmed())
        question = Question.of(self.hub, self.caller, tx)
        decided = [question.sight.about(ticket) for ticket in self.tickets]
        recorded = [
            question.record(ticket, one, self.detail)
            for ticket, one in zip(self.tickets, decided, strict=True)
        ]
        blank = PersonAnswer(
            flags=[],
            present=False,
            more=False,
            refused="",
            silent=question.silent(self.tickets),
            at=_instant(tx.now),
            policy=self.hub.policy.number,
            log=_NO_RECEIPT,
            pad="",
        )
        return lambda sealed: self._answer(decided, recorded, blank, sealed)

    def _answer(
        self,
        decided: Sequence[Decided],
        recorded: Sequence[Recorded],
        blank: PersonAnswer,
        sealed: SealedBatch,
    ) -> Response:
        """Each person's bytes, in the order of the tickets."""
        subjects = self.detail == "subjects"
        persons = [
            person_bytes(one.fill(blank, sealed.receipt(entry), subjects=subjects))
            for one, entry in zip(decided, recorded, strict=True)
        ]
        body = b'{"persons":[' + b",".join(persons) + b"]}"
        headers = {LOG_INDEX_HEADER: sealed.index_header(recorded)}
        return Response(body, headers=headers, media_type="application/json")


class Looker(NamedTuple):
    """Who may see: codes as in a statement."""

    organisation: OrganisationEntry
    team: str
    role: str
    purpose: str


@dataclass(frozen=True, slots=True)
class Sight:
    """What one team, in one role and for one purpose, may see now; the one place where that is decided."""

    hub: Hub
    tx: Tx
    asker: Asker
    receiver: Receiver
    purpose: Purpose
    lease_s: int
    formers: Sequence[Former] = ()

    @classmethod
    def of(cls, hub: Hub, tx: Tx, who: Looker) -> "Sight":
        registers = hub.policies.registers
        oin = who.organisation.oin
        asker = registers.asker(who.organisation, who.role, who.purpose, tx.seconds)
        receiver = Receiver(oin, who.team, who.role)
        purpose = hub.vocabulary.purpose(who.purpose)
        lease_s = hub.vocabulary.limits.lease_days * _DAY
        formers = registers.changes.formers.get((oin, who.team), ())
        return cls(hub, tx, asker, receiver, purpose, lease_s, formers)

    def about(self, ticket: Ticket) -> Decided:
        """Decide over all kinds of the ticket's scopes, then join with what exists."""
        relations = in_force(self.tx, self.hub, ticket)
        outcomes: list[Reasoned] = []
        seen: list[Seen] = []
        for scope, (_, keys) in ticket.scopes.items():
            ruling = self._decide(scope, keys, relations.get(scope))
            shown = self._join(ruling, self._live(scope, keys))
            # The entry tells why a flag was shown: an answer of its publisher may differ from the kind's.
            weighed = {one.outcome.kind: (one.outcome, one.state) for one in shown if one.outcome}
            made = [
                weighed.get(outcome.kind, (outcome, ruling.states.get(outcome.kind)))
                for outcome in ruling.outcomes
            ]
            outcomes += reasoned(made, ruling.circumstances)
            seen += shown
        refused = "" if relations else NO_RELATION
        seen.sort(key=lambda one: (one.kind.code, one.flag.publisher, one.flag.since))
        return Decided([] if refused else seen, outcomes, refused)

    def _decide(self, scope: str, keys: SearchKeys, relation: Held | None) -> Ruling:
        """One outcome per kind of the scope, whatever exists."""
        kinds = self.hub.vocabulary.kinds_of(scope)
        try:
            states, claims = self._states(scope, keys, kinds)
        except (RowError, StateUnreadable):
            # Row 13: without the choices nothing of this scope is shown.
            log.error("choices_unreadable", scope=scope)
            states, claims = {}, _NO_CLAIMS
        circumstances = _circumstances(relation)
        outcomes = decide(self.hub.policy, self.asker, kinds, states, circumstances)
        return Ruling(outcomes, states, claims, circumstances)

    def _states(
        self, scope: str, keys: SearchKeys, kinds: Sequence[Kind]
    ) -> tuple[dict[int, KindState], Claims]:
        """What the person's choices and rights say. Of who never chose, a dummy's are resolved too."""
        row = self.tx.choice(keys.idx_dir)
        rows = self.hub.rows
        state = decode(rows.open_no_choice() if row is None else rows.open_choice(row, scope)[1])
        named = () if row is None else cases_named(state, self.receiver, self.purpose)
        ends = case_ends(self.tx, self.hub, scope, keys.idx_rel, named)
        states = states_of(
            state, kinds, self.receiver, self.purpose, self.tx.now, case_ends=ends, formers=self.formers
        )
        claims = Claims(state.claims, self.tx.now)
        return (dict.fromkeys(states, _NEVER_CHOSE), _NO_CLAIMS) if row is None else (states, claims)

    def _join(self, ruling: Ruling, live: Sequence[Seen]) -> list[Seen]:
        """Row 1, and what a right about one publisher changes for its flag alone.

        As many are decided about as there are rows to open at least, so that few flags cost as much as none.
        """
        dummy = self.hub.vocabulary.kind_by_number(NO_FLAG.kind)
        pairs = [(one.kind, one.flag.publisher) for one in live]
        pairs += [(dummy, NO_FLAG.publisher)] * (FLOOR - len(live))
        standings = [ruling.claims.of(kind, publisher) for kind, publisher in pairs]
        states: list[tuple[Kind, KindState | None]] = []
        for (kind, _), standing in zip(pairs, standings, strict=True):
            said = ruling.states.get(kind.number)
            states.append((kind, None if said is None else with_standing(said, standing)))
        outcomes = decide_each(self.hub.policy, self.asker, states, ruling.circumstances)
        return [
            replace(one, outcome=outcome, state=state, disputed=standing.disputed)
            for one, standing, (_, state), outcome in zip(live, standings, states, outcomes, strict=False)
            if outcome.visible and not standing.suspended
        ]

    def _live(self, scope: str, keys: SearchKeys) -> list[Seen]:
        """The flags that exist now: not expired, their source not silent. Opens `FLOOR` rows at least."""
        rows = self.tx.flags(keys.idx)
        found = [one for row in rows if (one := self._open(scope, row)) is not None]
        for _ in range(FLOOR - len(rows)):
            # The same steps to the end: the time of twenty rows must be that of none.
            row, sealed_in = self.hub.rows.no_flag()
            self._open(sealed_in, row)
        return found

    def _open(self, scope: str, row: FlagRow) -> Seen | None:
        try:
            flag = self.hub.rows.open_flag(row, scope)
            kind = self.hub.vocabulary.kind_by_number(flag.kind)
        except (RowError, ValueError):
            log.error("flag_unreadable", scope=scope)
            return None
        digest = self.tx.digest(row.pub_tag, row.rtag[0])
        return self._alive(kind, flag, row, digest.confirmed_at if digest else 0)

    def _alive(self, kind: Kind, flag: Flag, row: FlagRow, confirmed: int) -> Seen | None:
        """The flag when it is not expired and its source not silent."""
        end = retention_end(kind, flag.until)
        past = row.expires_week <= week_of(self.tx.seconds) or (end is not None and self.tx.now >= end)
        if past or confirmed + self.lease_s < self.tx.seconds:
            return None
        return Seen(kind, flag, confirmed, row.rtag)


@dataclass(frozen=True, slots=True)
class Question:
    """What is the same for all persons of one question of a caller."""

    hub: Hub
    caller: Caller
    tx: Tx
    sight: Sight

    @classmethod
    def of(cls, hub: Hub, caller: Caller, tx: Tx) -> "Question":
        said = caller.statement
        who = Looker(caller.organisation, said.team, said.role, said.purpose)
        return cls(hub, caller, tx, Sight.of(hub, tx, who))

    def silent(self, tickets: Sequence[Ticket]) -> list[int]:
        """Numbers of the sources that stopped confirming, among those of the role's kinds.

        Chosen by role and scopes, never by person.
        """
        scopes = frozenset(scope for ticket in tickets for scope in ticket.scopes)
        beats, now = self.tx.heartbeats(), self.tx.seconds
        late = now - self.sight.lease_s
        sources = self.hub.sources_of(self.caller.statement.role, scopes)
        return [number for number, tag in sources if beats.get(tag, now) < late]

    def record(self, ticket: Ticket, decided: Decided, detail: str) -> Recorded:
        """One entry per person: what was shown, and why each kind was open or closed."""
        shown = [one.kind.number for one in decided.seen]
        bases = {one.outcome.basis for one in decided.seen if one.outcome}
        if detail == "presence" and shown:
            shown = [SOMETHING]
        draft = self.caller.draft(
            self.tx.now,
            lids=ticket.lids,
            # By what is recorded as shown, never by what stayed hidden: the asker can see whose chain it is.
            later=self.hub.postponement.postpones(self.caller.statement.role, shown),
            pv=self.hub.policy.number,
            basis=next((basis for basis in BASES if basis in bases), ""),
            shown=shown_bits(shown, self.hub.highest_kind),
            refused=decided.refused,
            break_glass=ticket.class_number == CRISIS,
            dec=dec_of(self.hub.policy.hash, decided.outcomes),
        )
        return self.tx.record(draft)


def _circumstances(held: Held | None) -> Circumstances:
    """What an open relation stands for. A crisis relation is no case: it serves rows 4 and 5 only."""
    if held is None:
        return _NOTHING
    relation = held.relation
    if relation.class_number != CRISIS:
        return _CASE
    return Circumstances(
        has_case=False,
        break_glass=True,
        others_at_risk=bool(relation.risk & OTHERS_AT_RISK),
        incapable=bool(relation.risk & INCAPABLE),
    )


def person_bytes(answer: PersonAnswer) -> bytes:
    """Exactly 8,192 bytes: filled up by `pad`; flags that do not fit are left out, and `more` says so.

    Raises:
        ValueError: It does not fit without a single flag: too many silent sources.
    """
    raw = msgspec.json.encode(answer)
    while len(raw) > ANSWER_SIZE:
        if not answer.flags:
            raise ValueError("an answer without flags does not fit its size")
        answer = msgspec.structs.replace(answer, flags=answer.flags[:-1], more=True)
        raw = msgspec.json.encode(answer)
    # `pad` is the last field: its closing quote and the brace come after it.
    return raw[:-2] + b"." * (ANSWER_SIZE - len(raw)) + raw[-2:]


def _visible(one: Seen) -> VisibleFlag:
    return VisibleFlag(
        kind=one.kind.code,
        source=one.flag.publisher,
        since=month_text(one.flag.since),
        until=None if one.flag.until == OPEN_END else month_text(one.flag.until),
        confirmed_at=_instant(datetime.fromtimestamp(one.confirmed_at, UTC)),
        disputed=one.disputed,
    )


def _instant(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


async def look(hub: Hub, caller: Caller, body: LookupRequest) -> Response:
    """`/v1/lookups`. Never replayed: a retry is a new question and a new line."""
    tickets = [open_ticket(hub, caller, text) for text in body.tickets]
    return await hub.sequencer.submit(Lookup(hub, caller, tickets, body.detail))


RULES = (
    Rule(
        "/v1/lookups",
        LookupRequest,
        look,
        who=Who.EMPLOYEE,
        classes=frozenset({"lookup", "crisis"}),
        answer=LookupAnswer,
        summary="What may be seen about the persons of a visit",
        persons=lambda body: len(body.tickets),
    ),
)
