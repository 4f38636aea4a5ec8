"""Disputes, objections and restrictions: written by the citizen, answered by who published.

    ticket and points of one person -> rules -> ledgers, folded states, what publishers are asked
                                    -> entry -> COMMIT -> receipt
    a publisher asks what is open about its own flags -> tokens -> its answers -> ledger -> entry

Who answers is the node that published: it is the controller of its kind. It is
asked about a flag that it has, by the flag's own tag, and about nothing else;
a right about a flag that does not exist is kept and nobody is told. The token
of a question is sealed to the hub and holds the way to the ledger, so that a
node can answer for exactly what it was asked.

Of a kind whose notice is postponed the answer stays out of the numbered ledger,
in the folded state and the log alone: a number more would tell the person that
there is a flag.

Source: docs/design/policy-and-consent.md, "Dispute, objection, restriction".
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
import structlog
from starlette.responses import Response

from consent.claims import (
    REPLIES,
    Claim,
    after,
    may_end,
    may_object,
    standing_already,
)
from consent.directive import DirectiveInvalid, Entry, RightEntry, canonical
from consent.directive import Reply as ReplyCode
from consent.receipt import issue
from consent.state import ChoiceState, StateFull, StateUnreadable, decode, encode, fold, regimes_in_force
from index.accesslog.log import Recorded, SealedBatch
from index.claims import (
    RIGHTS,
    Where,
    ask_publishers,
    flags_asked,
    ledger_row,
    publishers_of,
    state_of,
    state_row,
    waiting_claim,
)
from index.errors import ChoicesFull, HubError, Rejected, TicketRefused, problem_of
from index.gate import Caller, Rule, Who
from index.protocol.codec import SCOPES, EncodingError, b64u, unb64u
from index.protocol.messages import (
    ObjectionAnswer,
    ObjectionRequest,
    OpenAnswer,
    OpenClaim,
    OpenRequest,
    Reply,
    ReplyAnswer,
    ReplyRequest,
    ReplyResult,
    RightItem,
)
from index.publish import SOURCE_CLASS, has_postponed_notice, json_answer
from index.relations import in_force as relations_in_force
from index.relations import record_refused, ticket_needs, use_session
from index.rows import Asked, RowError, asked_bytes, asked_from
from index.sessions import SAY, bytes16, instant_of, open_session, same_person
from index.store import batch
from index.store.batch import claims_of
from index.tickets import Ticket
from index.transaction import ChoiceRow, ClaimRow, DirectiveRow, Finish, Needs, Tx
from policy.vocabulary import UnknownCode

if TYPE_CHECKING:
    from index.hub import Hub

log = structlog.get_logger()

MOST_OPEN = 500


# --- rules of what a citizen asks -------------------------------------------------------


def refusal_of(item: RightItem, body: ObjectionRequest, hub: Hub, now: datetime) -> str:
    """Which rule an item breaks, as a code from this function only; empty when it breaks none.

    1. To end a right names its group and nothing else.
    2. The kind is of the item's scope, and no citizen's own report: that is taken back instead.
    3. Objection is against a task only; a duty by law has none.
    4. The publisher is in the directory and registered for the kind.
    5. Who asks has a say at this age and about this subject, and shows proof of it.
    """
    if item.ends:  # 1
        if item.kind or item.publisher or item.until or not bytes16(item.ends):
            return "end-form"
        return "no-say" if body.by == "zelf" and body.regime == "ouder" else ""
    try:
        kind = hub.vocabulary.kind(item.kind)
    except UnknownCode:
        return "unknown-kind"
    if kind.domain != item.scope:  # 2
        return "other-scope"
    if kind.self_declared:
        return "self-declared"
    if item.right == "objection" and not may_object(kind):  # 3
        return "no-task-for-kind"
    if item.publisher and item.publisher not in publishers_of(hub, kind):  # 4
        return "unknown-publisher"
    return _giver_refusal(item, body, now)  # 5


def _giver_refusal(item: RightItem, body: ObjectionRequest, now: datetime) -> str:
    if body.by == "zelf":
        return "no-say" if body.regime == "ouder" or body.giver or item.until else ""
    if not body.evidence:
        return "no-evidence"
    if body.by != "ouder":
        return "no-say" if body.regime != "zelf" or item.scope not in SAY.get(body.by, SCOPES) else ""
    if body.regime == "zelf" or not body.giver:
        return "no-say"
    # What a parent asks for ends at the age boundary, as a parent's no does.
    until = instant_of(item.until) if item.until else None
    return "no-end" if until is None else "until-past" if until <= now else ""


# --- a citizen uses or ends rights --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class InScope:
    """What is asked in one scope."""

    where: Where
    items: tuple[RightItem, ...]


@dataclass(frozen=True, slots=True)
class Drafted:
    """One scope, computed and not written yet; entries with their new heads."""

    rows: tuple[DirectiveRow, ...]
    state: ChoiceRow
    entries: tuple[tuple[str, Entry, bytes], ...]
    before: ChoiceState
    after: ChoiceState


@dataclass(frozen=True, slots=True)
class UseRights:
    """Write what is asked in every scope that it names, or refuse all of it.

    `code` is set when the rules refuse it already; it is still recorded under the citizen's own handles.
    """

    hub: Hub
    caller: Caller
    ticket: Ticket
    group: bytes
    text: bytes
    body: ObjectionRequest
    parts: tuple[InScope, ...]
    code: str
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
        if len(relations_in_force(tx, self.hub, self.ticket)) != len(self.ticket.scopes):
            return record_refused(tx, self.hub, self.caller, [self.ticket], TicketRefused())
        if self.code:
            return self._refuse(tx, Rejected(self.code))
        try:
            drafted = [self._draft(tx, part) for part in self.parts]
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
        return self._answer(tx, [entry for scope in drafted for entry in scope.entries])

    def _draft(self, tx: Tx, part: InScope) -> Drafted:
        """Fold the items of one scope; nothing is written here.

        Raises:
            StateFull: They would not fit.
            Rejected: The right is in use already, was rejected before, or is not the giver's to end.
        """
        where, before = part.where, state_of(tx, self.hub, part.where)
        if self.group in {held.group for held in before.directives} | {held.group for held in before.claims}:
            raise Rejected("group-used")
        self._authority(before, tx.now)
        state = before
        rows: list[DirectiveRow] = []
        written: list[tuple[str, Entry, bytes]] = []
        for item in part.items:
            entry = self._entry(item, state, tx.now)
            prev, state = state.head, fold(state, entry)
            rows.append(ledger_row(self.hub, where, entry, prev, state.head))
            written.append((where.scope, entry, state.head))
        return Drafted(
            tuple(rows), state_row(self.hub, where, state), tuple(written), before=before, after=state
        )

    def _authority(self, state: ChoiceState, now: datetime) -> None:
        """A representative needs a regime entry in force here; its paths do not count: rights only narrow."""
        if self.body.by in ("zelf", "ouder"):
            return
        giver = (self.body.by, self.body.giver)
        if giver not in {(held.by, held.giver) for held in regimes_in_force(state, now)}:
            raise Rejected("no-authority")

    def _entry(self, item: RightItem, state: ChoiceState, now: datetime) -> RightEntry:
        ends = bytes16(item.ends) if item.ends else b""
        ended = next((held for held in state.claims if held.group == ends and held.right == item.right), None)
        if ends and ended is None:
            raise Rejected("unknown-group")
        entry = RightEntry(
            number=state.number + 1,
            group=self.group,
            right=item.right,
            step="ended" if ends else "used",
            kind=ended.kind if ended else item.kind,
            publisher=ended.publisher if ended else item.publisher,
            from_=now,
            until=instant_of(item.until) if item.until else None,
            by=self.body.by,
            giver=self.body.giver,
            evidence=self.body.evidence,
            channel=self.body.channel,
            text=self.text,
            policy=self.hub.policy.number,
            ends=ends,
        )
        if ended is not None:
            if not all(may_end(held, entry) for held in state.claims if held.group == ends):
                raise Rejected("not-yours")
            return entry
        if code := standing_already(state.claims, entry):
            raise Rejected(code)
        return entry

    def _refuse(self, tx: Tx, refusal: HubError) -> Finish:
        lids = tuple(part.where.keys.lid for part in self.parts)
        tx.record(self.caller.draft(tx.now, lids=lids, refused=refusal.code, pv=self.hub.policy.number))
        problem = problem_of(refusal)
        return lambda _: problem

    def _answer(self, tx: Tx, entries: Sequence[tuple[str, Entry, bytes]]) -> Finish:
        lids = tuple(part.where.keys.lid for part in self.parts)
        recorded = tx.record(self.caller.draft(tx.now, lids=lids, pv=self.hub.policy.number))
        token = issue(
            bytes(self.hub.keystore.consent_signing),
            kid=self.hub.settings.hub_id,
            issuer=self.hub.settings.hub_id,
            controller=self.caller.organisation.oin,
            record=secrets.token_bytes(16),
            subject=secrets.token_bytes(16),
            at=tx.now,
            entries=entries,
        )
        made: list[bytes] = []

        def answer(batch: SealedBatch) -> bytes:
            made.append(msgspec.json.encode(ObjectionAnswer(token, batch.receipts([recorded]))))
            return made[-1]

        tx.remember(self.caller, answer)
        return lambda batch: json_answer(made[-1], batch.index_header([recorded]))


async def objections(hub: Hub, caller: Caller, body: ObjectionRequest) -> Response:
    """POST /v1/objections.

    1. The ticket is of a citizen session of this portal.
    2. The points are of the same person, one for each scope named.
    3. Every item keeps the rules; one that does not refuses all.
    """
    ticket = open_session(hub, caller, body.ticket)  # 1
    scopes = [scope for scope in SCOPES if any(item.scope == scope for item in body.items)]
    points = hub.open_points(caller, body.points, body.version, len(scopes))  # 2
    same_person(hub, ticket, scopes, points)
    group = bytes16(body.group)
    try:
        text = unb64u(body.text, 32)
    except EncodingError:
        text = b""
    code = "malformed-group" if not group else "malformed-text" if not text else ""
    refused = (refusal_of(item, body, hub, caller.at) for item in body.items)  # 3
    parts = tuple(
        InScope(
            Where(scope, ticket.scopes[scope][1], n),
            tuple(item for item in body.items if item.scope == scope),
        )
        for scope, n in zip(scopes, points, strict=True)
    )
    code = code or next((found for found in refused if found), "")
    return await hub.sequencer.submit(UseRights(hub, caller, ticket, group, text, body, parts, code))


# --- a publisher asks what is open ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AskOpen:
    """What waits for this publisher's answer, about flags that it has now.

    A disputed flag that is gone since its publisher heard of it was taken back: that is its answer.
    """

    hub: Hub
    caller: Caller
    asked: Sequence[tuple[ClaimRow, Asked]]
    """Read before the lock and checked again inside it."""
    more: bool
    persons: int = 1

    def needs(self) -> Needs:
        return Needs(
            flags=frozenset(asked.idx for _, asked in self.asked),
            choices=frozenset(asked.idx_dir for _, asked in self.asked),
        )

    def apply(self, tx: Tx) -> Finish:
        found: list[OpenClaim] = []
        gone: list[Asked] = []
        for row, asked in self.asked:
            kind = self.hub.vocabulary.kind_by_number(asked.kind)
            try:
                claim = waiting_claim(tx, self.hub, asked, kind)
            except (RowError, StateUnreadable):
                # Its flags are not shown either; the others are asked all the same.
                log.error("choices_unreadable", scope=SCOPES[asked.scope])
                continue
            rtags = flags_asked(self.hub, asked, tx.flags(asked.idx))
            if claim is None:
                tx.delete_claim(row.key)
            elif rtags:
                found.append(self._open(claim, asked, rtags))
                if not asked.told:
                    tx.put_claim(self.hub.rows.changed_claim(row, asked._replace(told=1)))
            elif asked.told and claim.right == "dispute":
                with suppress(StateFull):
                    write_reply(tx, self.hub, asked, "retracted")
                    tx.delete_claim(row.key)
                    gone.append(asked)
        recorded = [record_reply(tx, self.hub, self.caller, asked) for asked in gone]
        recorded.append(tx.record(self.caller.draft(tx.now, pv=self.hub.policy.number)))

        def answer(batch: SealedBatch) -> Response:
            body = OpenAnswer(found, self.more, batch.receipts(recorded[-1:]))
            return json_answer(msgspec.json.encode(body), batch.index_header(recorded[-1:]))

        return answer

    def _open(self, claim: Claim, asked: Asked, rtags: Sequence[bytes]) -> OpenClaim:
        token = self.hub.tickets.seal_claim(self.caller.node.id, asked_bytes(asked))
        return OpenClaim(
            id=b64u(self.hub.rows.claim_key(asked)),
            token=b64u(token),
            rtags=[b64u(rtag) for rtag in rtags],
            kind=claim.kind,
            right=claim.right,
            opened=claim.opened.strftime("%Y-%m-%dT%H:%M:%SZ"),
            extended=claim.extended,
        )


async def open_claims(hub: Hub, caller: Caller, body: OpenRequest) -> Response:
    """POST /v1/objections/open: about the caller's own flags, and nothing about anybody else's."""
    asked, more = await asyncio.to_thread(_about_flags, hub, caller.node.number)
    return await hub.sequencer.submit(AskOpen(hub, caller, asked, more))


def _about_flags(hub: Hub, publisher: int) -> tuple[list[tuple[ClaimRow, Asked]], bool]:
    """The rows of a publisher about flags that it has or had, at most `MOST_OPEN`; checked again later."""
    found: list[tuple[ClaimRow, Asked]] = []
    last = b""
    with hub.reading() as connection:
        while rows := claims_of(connection, hub.rows.claim_tag(publisher), last, MOST_OPEN):
            last = rows[-1].key
            asked = [(row, one) for row in rows if (one := _opened(hub, row))]
            flags = batch.read(connection, Needs(flags=frozenset(one.idx for _, one in asked))).flags
            found += [
                (row, one) for row, one in asked if one.told or flags_asked(hub, one, flags[one.idx].values())
            ]
            if len(found) > MOST_OPEN:
                break
    return found[:MOST_OPEN], len(found) > MOST_OPEN


def _opened(hub: Hub, row: ClaimRow) -> Asked | None:
    try:
        return hub.rows.open_claim(row)
    except RowError:
        log.error("claim_unreadable")
        return None


# --- a publisher answers --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answers:
    """Write each answer in its ledger; one that does not fit is refused and the others go through."""

    hub: Hub
    caller: Caller
    replies: Sequence[tuple[Reply, Asked]]

    @property
    def persons(self) -> int:
        return len(self.replies)

    def needs(self) -> Needs:
        return Needs(
            flags=frozenset(asked.idx for _, asked in self.replies),
            choices=frozenset(asked.idx_dir for _, asked in self.replies),
            messages=frozenset({self.caller.message_key}),
        )

    def apply(self, tx: Tx) -> Finish:
        if (earlier := tx.earlier(self.caller)) is not None:
            return lambda _: earlier
        results: list[ReplyResult] = []
        recorded: list[Recorded] = []
        for reply, asked in self.replies:
            code = self._store(tx, reply, asked)
            recorded.append(record_reply(tx, self.hub, self.caller, asked, code))
            results.append(ReplyResult("refused", code) if code else ReplyResult("stored"))
        made: list[bytes] = []

        def answer(batch: SealedBatch) -> bytes:
            made.append(msgspec.json.encode(ReplyAnswer(results, batch.receipts(recorded))))
            return made[-1]

        tx.remember(self.caller, answer)
        return lambda batch: json_answer(made[-1], batch.index_header(recorded))

    def _store(self, tx: Tx, reply: Reply, asked: Asked) -> str:
        """Why an answer is not taken; empty when it was written.

        1. It is an answer to this right.
        2. It is still waited for; an objection is prolonged once.
        3. `retracted` says that the flag is gone, and it is.
        """
        right, kind = RIGHTS[asked.right], self.hub.vocabulary.kind_by_number(asked.kind)
        if reply.answer not in REPLIES[right]:  # 1
            return "answer-does-not-fit"
        try:
            claim = waiting_claim(tx, self.hub, asked, kind)
        except (RowError, StateUnreadable):
            log.error("choices_unreadable", scope=SCOPES[asked.scope])
            return "choices-unreadable"
        if claim is None:  # 2
            return "nothing-asked"
        if reply.answer == "extended" and claim.extended:
            return "extended-before"
        if reply.answer == "retracted" and flags_asked(self.hub, asked, tx.flags(asked.idx)):  # 3
            return "flag-still-there"
        try:
            write_reply(tx, self.hub, asked, reply.answer)
        except StateFull:
            return "choices-full"
        if reply.answer != "extended":
            tx.delete_claim(self.hub.rows.claim_key(asked))
        return ""


def record_reply(tx: Tx, hub: Hub, caller: Caller, asked: Asked, refused: str = "") -> Recorded:
    """The line of an answer, in the person's chain; postponed where it would tell of a hidden flag."""
    kind = hub.vocabulary.kind_by_number(asked.kind)
    draft = caller.draft(
        tx.now,
        lids=(asked.lid,),
        later=has_postponed_notice(kind),
        refused=refused,
        pv=hub.policy.number,
    )
    return tx.record(draft)


def write_reply(tx: Tx, hub: Hub, asked: Asked, answer: ReplyCode) -> None:
    """Fold an answer into the state, and add it to the ledger unless its notice is postponed.

    Raises:
        StateFull: There is no room; nothing was written.
    """
    scope, row = SCOPES[asked.scope], tx.choice(asked.idx_dir)
    if row is None:
        raise RuntimeError("a claim without a state")
    kind = hub.vocabulary.kind_by_number(asked.kind)
    state = decode(hub.rows.open_choice(row, scope)[1])
    entry = RightEntry(
        number=state.number + 1,
        group=asked.group,
        right=RIGHTS[asked.right],
        step=answer,
        kind=kind.code,
        publisher=asked.publisher,
        from_=tx.now,
        policy=hub.policy.number,
    )
    quiet = has_postponed_notice(kind)
    new = replace(state, claims=after(state.claims, entry)) if quiet else fold(state, entry)
    # Encoded before anything is written: what does not fit changes nothing.
    changed = hub.rows.changed_choice(row, scope, asked.lid, encode(new, answer=True))
    if not quiet:
        raw = canonical(entry, state.head)
        sealed = hub.rows.seal_directive_beside(scope, row, entry.number, lid=asked.lid, entry=raw)
        tx.append_directive(
            DirectiveRow(row.idx_dir, entry.number, sealed.sealed, sealed.escrow, state.head, new.head)
        )
    tx.put_choice(changed)


async def answers(hub: Hub, caller: Caller, body: ReplyRequest) -> Response:
    """POST /v1/objections/answers: codes of the publisher that was asked, and of nobody else.

    Raises:
        TicketRefused: A token of another node or none: nothing of the message is done.
        Rejected: Two answers to one question.
    """
    replies = []
    for reply in body.replies:
        try:
            asked = asked_from(hub.tickets.open_claim(caller.node.id, unb64u(reply.token)))
        except EncodingError:
            raise TicketRefused from None
        if asked.publisher != caller.node.number:
            raise TicketRefused
        replies.append((reply, asked))
    if len({hub.rows.claim_key(asked) for _, asked in replies}) != len(replies):
        raise Rejected("token-twice")
    return await hub.sequencer.submit(Answers(hub, caller, replies))


RULES = (
    Rule(
        "/v1/objections",
        ObjectionRequest,
        objections,
        who=Who.CITIZEN,
        classes=frozenset({"citizen"}),
        limit=128 * 1024,
        answer=ObjectionAnswer,
        summary="Dispute, object or restrict in all named scopes, or in none",
    ),
    Rule(
        "/v1/objections/open",
        OpenRequest,
        open_claims,
        who=Who.SOURCE,
        classes=SOURCE_CLASS,
        answer=OpenAnswer,
        summary="What waits for the caller's answer, about its own flags",
    ),
    Rule(
        "/v1/objections/answers",
        ReplyRequest,
        answers,
        who=Who.SOURCE,
        classes=SOURCE_CLASS,
        answer=ReplyAnswer,
        summary="Answer what was asked about own flags",
        persons=lambda body: len(body.replies),
    ),
)
