"""What a citizen sees of oneself: own flags, own choices, and who looked.

    ticket -> session still open -> read -> entry `log_view` -> COMMIT -> answer

No policy decides here: a citizen sees every own flag, those that nobody may
see included. Only kinds whose notice is postponed wait for their release.
Looking at oneself is recorded like any other look.

Source: docs/design/access-log.md, "Reading along".
"""

from __future__ import annotations

import asyncio
import hmac
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import msgspec
import structlog
from starlette.responses import Response

from consent.claims import Claim, due, suspends, waits
from consent.directive import (
    FIRST_PREVIOUS,
    Directive,
    Entry,
    RightEntry,
    directive_hash,
    parse_canonical,
)
from consent.resolve import AFTER_CASE_MONTHS, add_months, end_of
from consent.state import ChoiceState, decode
from index.accesslog.errors import LogInconsistent
from index.accesslog.log import SealedBatch
from index.accesslog.reading import OwnLines
from index.choices import receipt_of
from index.errors import LogUnavailable, TicketRefused
from index.gate import Caller, Handle, Rule, Who
from index.protocol.codec import b64u
from index.protocol.entry import shown_bits
from index.protocol.messages import (
    CitizenRequest,
    LogReceipt,
    Message,
    OwnChoicesAnswer,
    OwnClaim,
    OwnDirective,
    OwnFlag,
    OwnFlagsAnswer,
    OwnLogAnswer,
    OwnReceiptsAnswer,
)
from index.publish import has_postponed_notice, json_answer, retention_end
from index.relations import case_ends, in_force, record_refused, ticket_needs, use_session
from index.rows import OPEN_END, TOLD, RowError, SearchKeys, month_text
from index.sessions import open_session
from index.tickets import Ticket
from index.transaction import Finish, FlagRow, Needs, Tx
from policy.vocabulary import UnknownCode

if TYPE_CHECKING:
    from index.hub import Hub

log = structlog.get_logger()

Answer = Callable[[list[LogReceipt]], Message]
"""Makes the body once the proof of its entry is there."""


class LedgerBroken(Exception):
    """A ledger whose hashes do not follow each other: nothing of it is shown."""


@dataclass(frozen=True, slots=True)
class OwnView(ABC):
    """A look of a citizen at oneself. Subclasses say what is read; this checks, records and answers."""

    hub: Hub
    caller: Caller
    ticket: Ticket
    persons: int = 1

    def reads(self) -> Needs:
        """The rows that `read` rests on."""
        return Needs()

    @abstractmethod
    def read(self, tx: Tx) -> tuple[Answer, bytes]:
        """The body to be, and the bitmap of kinds that it shows."""

    def needs(self) -> Needs:
        return Needs.union((self.reads(), ticket_needs([self.ticket])))

    def apply(self, tx: Tx) -> Finish:
        if len(in_force(tx, self.hub, self.ticket)) != len(self.ticket.scopes):
            return record_refused(tx, self.hub, self.caller, [self.ticket], TicketRefused())
        answer, shown = self.read(tx)
        use_session(tx, self.hub, self.ticket)
        draft = self.caller.draft(tx.now, lids=self.ticket.lids, shown=shown, pv=self.hub.policy.number)
        recorded = tx.record(draft)

        def finish(batch: SealedBatch) -> Response:
            body = answer(batch.receipts([recorded]))
            return json_answer(msgspec.json.encode(body), batch.index_header([recorded]))

        return finish

    def scopes(self) -> list[tuple[str, SearchKeys]]:
        """Scope and search keys, in scope order."""
        return [(scope, keys) for scope, (_, keys) in self.ticket.scopes.items()]


# --- flags --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OwnFlags(OwnView):
    """Every living flag about the citizen, whoever may see it."""

    def reads(self) -> Needs:
        return Needs(flags=frozenset(keys.idx for _, keys in self.scopes()))

    def read(self, tx: Tx) -> tuple[Answer, bytes]:
        rows = [(scope, row) for scope, keys in self.scopes() for row in tx.flags(keys.idx)]
        flags = [flag for scope, row in rows if (flag := self._own(tx, scope, row))]
        flags.sort(key=lambda flag: (flag.kind, flag.source, flag.since))
        vocabulary = self.hub.vocabulary
        kinds = {vocabulary.kind(flag.kind).number for flag in flags}
        return lambda proof: OwnFlagsAnswer(flags, proof), shown_bits(kinds, self.hub.highest_kind)

    def _own(self, tx: Tx, scope: str, row: FlagRow) -> OwnFlag | None:
        try:
            flag = self.hub.rows.open_flag(row, scope)
            kind = self.hub.vocabulary.kind_by_number(flag.kind)
        except (RowError, UnknownCode):
            log.error("flag_unreadable", scope=scope)
            return None
        end = retention_end(kind, flag.until)
        told = not has_postponed_notice(kind) or flag.marks & TOLD
        if not told or (end is not None and tx.now >= end):
            return None
        bucket = tx.digest(row.pub_tag, row.rtag[0])
        return OwnFlag(
            kind=kind.code,
            source=flag.publisher,
            since=month_text(flag.since),
            until=None if flag.until == OPEN_END else month_text(flag.until),
            confirmed_at=_instant(datetime.fromtimestamp(bucket.confirmed_at, UTC)) if bucket else None,
        )


async def own_flags(hub: Hub, caller: Caller, body: CitizenRequest) -> Response:
    """POST /v1/citizen/flags."""
    ticket = open_session(hub, caller, body.ticket)
    return await hub.sequencer.submit(OwnFlags(hub, caller, ticket))


# --- choices ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OwnChoices(OwnView):
    """The whole ledger of each scope, its hash chain checked against the folded state."""

    def reads(self) -> Needs:
        keys = frozenset(keys.idx_dir for _, keys in self.scopes())
        return Needs(ledgers=keys, choices=keys)

    def read(self, tx: Tx) -> tuple[Answer, bytes]:
        directives: list[OwnDirective] = []
        claims: list[OwnClaim] = []
        for scope, keys in self.scopes():
            state, found = self._ledger(tx, scope, keys)
            directives += found
            claims += [self._claim(scope, claim, tx.now) for claim in state.claims]
        return lambda proof: OwnChoicesAnswer(directives, claims, proof), b""

    def _claim(self, scope: str, claim: Claim, now: datetime) -> OwnClaim:
        kind = self.hub.vocabulary.kind(claim.kind)
        # An answer tells that there is a flag: of these kinds that is told at its release.
        told = not has_postponed_notice(kind)
        compelling = kind.compelling_child_safety
        waiting = told and waits(claim, compelling)
        end = due(claim, compelling) if waiting else None
        return OwnClaim(
            scope=scope,  # type: ignore[arg-type]  # one of SCOPES: it comes from a ticket
            group=b64u(claim.group),
            right=claim.right,
            kind=claim.kind,
            publisher=claim.publisher,
            opened=_instant(claim.opened),
            due=_instant(end) if end else None,
            answer=cast("Any", claim.answer) if told else "",
            answered=_instant(claim.answered) if told and claim.answered else None,
            extended=told and claim.extended,
            suspended=waiting and claim.right == "dispute" and now >= suspends(claim, compelling),
            until=_instant(claim.until) if claim.until else None,
            by=claim.by,
            giver=claim.giver,
        )

    def _ledger(self, tx: Tx, scope: str, keys: SearchKeys) -> tuple[ChoiceState, list[OwnDirective]]:
        state, entries = self._checked(tx, scope, keys)
        counted = {held.number for held in state.directives}
        return state, [
            _own_directive(scope, self._capped(tx, scope, keys, entry), entry.number in counted, tx.now)
            for entry, _ in entries
            if isinstance(entry, Directive)
        ]

    def _checked(self, tx: Tx, scope: str, keys: SearchKeys) -> tuple[ChoiceState, list[tuple[Entry, bytes]]]:
        """The folded state, and every entry with the head it made.

        Raises:
            LedgerBroken: The chain does not hold, or does not end where the folded state does.
        """
        row = tx.choice(keys.idx_dir)
        state = (
            decode(self.hub.rows.open_choice(row, scope)[1]) if row else ChoiceState(FIRST_PREVIOUS, 0, ())
        )
        head = FIRST_PREVIOUS
        found: list[tuple[Entry, bytes]] = []
        for number, entry in enumerate(tx.ledger(keys.idx_dir), 1):
            directive, prev = parse_canonical(self.hub.rows.open_directive(entry, scope)[1])
            after = directive_hash(head, directive)
            if directive.number != number or prev != head or not hmac.compare_digest(after, entry.hash):
                raise LedgerBroken("an entry does not follow the one before it")
            head = after
            found.append((directive, head))
        if (head, len(found)) != (state.head, state.number):
            raise LedgerBroken("the folded state has another head than the ledger")
        return state, found

    def _capped(self, tx: Tx, scope: str, keys: SearchKeys, directive: Directive) -> Directive:
        """The directive with the end that its case gives it now; one whose case is gone is over."""
        if not directive.relation:
            return directive
        ends = case_ends(tx, self.hub, scope, keys.idx_rel, [directive.relation])
        case = ends.get(directive.relation)
        end = add_months(case, AFTER_CASE_MONTHS) if case else directive.from_
        return replace(directive, until=min(directive.until or end, end))


@dataclass(frozen=True, slots=True)
class OwnReceipts(OwnChoices):
    """A fresh receipt of every choice in the ledger, the oldest first: for who lost the first one."""

    def read(self, tx: Tx) -> tuple[Answer, bytes]:
        groups: dict[bytes, list[tuple[str, Entry, bytes]]] = {}
        held: dict[tuple[str, bytes], tuple[Directive, ...]] = {}
        for scope, keys in self.scopes():
            for entry, head in self._checked(tx, scope, keys)[1]:
                if isinstance(entry, RightEntry) and entry.step not in ("used", "ended"):
                    continue  # what a publisher answered is not the citizen's own
                groups.setdefault(entry.group, []).append((scope, entry, head))
                if isinstance(entry, Directive) and entry.effect != "withdraw":
                    place = (scope, entry.group)
                    held[place] = (*held.get(place, ()), entry)
        receipts = [
            receipt_of(self.hub, self.caller, entries, held, tx.now)
            for entries in sorted(groups.values(), key=lambda listed: min(d.from_ for _, d, _ in listed))
        ]
        return lambda proof: OwnReceiptsAnswer(receipts, proof), b""


def _own_directive(scope: str, directive: Directive, counted: bool, now: datetime) -> OwnDirective:
    end, proven_until = end_of(directive), directive.evidence_until
    return OwnDirective(
        scope=scope,  # type: ignore[arg-type]  # one of SCOPES: it comes from a ticket
        number=directive.number,
        group=b64u(directive.group),
        effect=directive.effect,
        category=list(directive.category),
        receiver=list(directive.receiver),
        purpose=list(directive.purpose),
        from_=_instant(directive.from_),
        until=_instant(end) if end else None,
        explicit=directive.explicit,
        in_force=counted and not any(over is not None and now >= over for over in (end, proven_until)),
        withdraws=b64u(directive.withdraws) if directive.withdraws else "",
        by=directive.by,
        giver=directive.giver,
        regime=directive.regime,
        proven=bool(directive.evidence),
        proven_until=_instant(proven_until) if proven_until else None,
        channel=directive.channel,
        entered=list(directive.entered),
    )


async def own_choices(hub: Hub, caller: Caller, body: CitizenRequest) -> Response:
    """POST /v1/citizen/choices."""
    ticket = open_session(hub, caller, body.ticket)
    return await hub.sequencer.submit(OwnChoices(hub, caller, ticket))


async def own_receipts(hub: Hub, caller: Caller, body: CitizenRequest) -> Response:
    """POST /v1/citizen/receipts."""
    ticket = open_session(hub, caller, body.ticket)
    return await hub.sequencer.submit(OwnReceipts(hub, caller, ticket))


# --- log ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OwnLog(OwnView):
    """Only the entry of this look; the lines are read after its commit, outside the lock.

    `proof` is filled by the answer, so that lines are given only when the look is durable.
    """

    proof: list[LogReceipt] = field(default_factory=list)

    def read(self, tx: Tx) -> tuple[Answer, bytes]:
        def keep(proof: list[LogReceipt]) -> Message:
            self.proof[:] = proof
            return OwnLogAnswer([], "", proof)

        return keep, b""


async def own_log(hub: Hub, caller: Caller, body: CitizenRequest) -> Response:
    """POST /v1/citizen/log: the lines of all scopes and years, each with its proof; this look is among them.

    Lines on postponed handles come with their release.
    """
    view = OwnLog(hub, caller, open_session(hub, caller, body.ticket))
    response = await hub.sequencer.submit(view)
    if not view.proof:
        return response
    try:
        own = await asyncio.to_thread(_lines, hub, view.scopes())
    except LogInconsistent as error:
        log.error("own_log_inconsistent", reason=str(error))
        raise LogUnavailable from None
    answer = OwnLogAnswer(own.lines, own.checkpoint, view.proof, own.earlier)
    return json_answer(msgspec.json.encode(answer), str(view.proof[0].index))


def _lines(hub: Hub, scopes: Sequence[tuple[str, SearchKeys]]) -> OwnLines:
    with hub.reading() as connection:
        return hub.log_reader.lines_of(connection, {scope: [keys.lid] for scope, keys in scopes})


def _instant(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _rule(path: str, handle: Handle, answer: type[Message], summary: str) -> Rule:
    return Rule(
        path,
        CitizenRequest,
        handle,
        who=Who.CITIZEN,
        classes=frozenset({"citizen"}),
        answer=answer,
        summary=summary,
    )


RULES = (
    _rule("/v1/citizen/flags", own_flags, OwnFlagsAnswer, "Flags about the citizen who is logged in"),
    _rule("/v1/citizen/choices", own_choices, OwnChoicesAnswer, "The citizen's ledger of choices"),
    _rule("/v1/citizen/receipts", own_receipts, OwnReceiptsAnswer, "A fresh receipt of each own choice"),
    _rule("/v1/citizen/log", own_log, OwnLogAnswer, "The citizen's lines of the access log"),
)
