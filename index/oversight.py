"""What an organisation's own privacy officer sees and does, asked by the organisation's node.

    signed call, role of an officer -> only what is of the calling organisation -> recorded -> answered

Nothing of another organisation is read into an answer: entries, questions and
reviews are kept by the organisation in them, and a look of another one is as
absent as one that never was. What an officer does is a work of the writer, so
that it happens once, and in the log with the node's statement.

Source: docs/design/officers.md, "The own officer"; screens.md §8, last line.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
from starlette.responses import Response

from index import exports, indicators, inquiries, replaying, reviews, sampling
from index.accesslog.log import SealedBatch
from index.accesslog.reading import Found
from index.acts import Refused
from index.errors import Rejected
from index.gate import Caller, Rule, Who
from index.officer import OfficerLine, OfficerQuery, Officers, line_of
from index.protocol.codec import b64u, unb64u
from index.protocol.messages import (
    LogReceipt,
    Message,
    OfficerActAnswer,
    OfficerActRequest,
    OwnEntriesAnswer,
    OwnEntriesRequest,
    OwnEntry,
    OwnExample,
    OwnExportAnswer,
    OwnExportRequest,
    OwnInquiry,
    OwnKindThen,
    OwnPattern,
    OwnPatternsAnswer,
    OwnPatternsRequest,
    OwnReplayAnswer,
    OwnReplayRequest,
    OwnReview,
    OwnSample,
    OwnWorkAnswer,
    OwnWorkRequest,
)
from index.publish import json_answer
from index.transaction import Finish, InquiryRow, Needs, Tx

if TYPE_CHECKING:
    from index.hub import Hub

_WINDOW = timedelta(days=30)
_CLASSES = frozenset({"publish", "lookup", "crisis", "citizen"})
_UNKNOWN = "unknown-entry"


@dataclass(frozen=True, slots=True)
class Telling:
    """The entry of an officer's view; what is told was read just before, and leaves after it."""

    hub: Hub
    caller: Caller
    body: Callable[[list[LogReceipt]], Message]
    more: Mapping[str, str | int] = field(default_factory=dict)
    persons: int = 1

    def needs(self) -> Needs:
        return Needs()

    def apply(self, tx: Tx) -> Finish:
        more = dict(self.more)
        recorded = tx.record(self.caller.draft(tx.now, pv=self.hub.policy.number, more=more))

        def answer(batch: SealedBatch) -> Response:
            raw = msgspec.json.encode(self.body(batch.receipts([recorded])))
            return json_answer(raw, batch.index_header([recorded]))

        return answer


async def _told(
    hub: Hub, caller: Caller, cause: str, body: Callable[[list[LogReceipt]], Message], **more: str | int
) -> Response:
    return await hub.sequencer.submit(Telling(hub, caller, body, {"cause": cause, **more}))


# --- what is seen ----------------------------------------------------------------------


async def entries(hub: Hub, caller: Caller, body: OwnEntriesRequest) -> Response:
    """`/v1/oversight/entries`: the organisation's own entries, filtered."""
    try:
        day = date.fromisoformat(body.day) if body.day else None
    except ValueError:
        raise Rejected("no-such-day") from None
    query = OfficerQuery(caller.statement.org, body.role, body.purpose, day=day, page=body.page)
    found = await Officers(hub).find(query)
    lines = [entry_told(line) for line in found.lines]
    return await _told(
        hub,
        caller,
        "own-entries",
        lambda log: OwnEntriesAnswer(lines, found.total, found.page_size, found.complete, log),
    )


async def patterns(hub: Hub, caller: Caller, body: OwnPatternsRequest) -> Response:
    """`/v1/oversight/patterns`: questions to ask about the own teams, compared with all."""
    now = hub.clock()
    found = await asyncio.to_thread(indicators.questions, hub, now - _WINDOW, now, caller.statement.org)
    told = [pattern_told(one) for one in found]
    return await _told(hub, caller, "own-patterns", lambda log: OwnPatternsAnswer(told, log))


async def work(hub: Hub, caller: Caller, body: OwnWorkRequest) -> Response:
    """`/v1/oversight/work`: the sample, the questions and the reviews of the organisation."""
    oin = caller.statement.org
    sample, asked, waiting = await asyncio.to_thread(_work, hub, oin)
    return await _told(hub, caller, "own-work", lambda log: OwnWorkAnswer(sample, asked, waiting, log))


async def replay(hub: Hub, caller: Caller, body: OwnReplayRequest) -> Response:
    """`/v1/oversight/replays`: one own look, decided again."""
    await asyncio.to_thread(_own, hub, caller, body.year, body.index)
    try:
        found = await asyncio.to_thread(replaying.replay, hub, body.year, body.index)
    except Refused:
        raise Rejected(_UNKNOWN) from None
    kinds = [OwnKindThen(one.kind, one.row, one.basis, one.rule, one.shown, one.same) for one in found.kinds]
    return await _told(
        hub,
        caller,
        "own-replay",
        lambda log: OwnReplayAnswer(
            _instant(found.at), found.version, found.role, found.purpose, found.outcome, kinds, log
        ),
        index=body.index,
        year=body.year,
    )


async def export(hub: Hub, caller: Caller, body: OwnExportRequest) -> Response:
    """`/v1/oversight/exports`: one month of the own entries, in a form of `index.exports`."""
    raw = await asyncio.to_thread(_export, hub, caller.statement.org, body)
    count = raw.count(b"\n") - (body.form != "ldv")
    digest = b64u(hashlib.sha256(raw).digest())
    return await _told(
        hub,
        caller,
        f"export-{body.form}",
        lambda log: OwnExportAnswer(raw.decode(), log),
        count=count,
        digest=digest,
    )


def _own(hub: Hub, caller: Caller, year: int, index: int) -> Found:
    """An entry of the calling organisation; another's is as unknown as none. Blocks."""
    with hub.reading() as connection:
        found = hub.log_reader.at(connection, year, index)
    if found is None or found.asker.org != caller.statement.org:
        raise Rejected(_UNKNOWN)
    return found


def _work(hub: Hub, oin: str) -> tuple[OwnSample | None, list[OwnInquiry], list[OwnReview]]:
    every = inquiries.views(hub)
    asked = [inquiry_told(view) for view in every if _of_organisation(hub, view.asked.node, oin)]
    waiting = [review_told(line) for line in reviews.waiting_for_review(hub, oin).lines]
    month = next((one for one in sampling.months(hub) if one.drawn), None)
    if month is None:
        return None, asked, waiting
    drawn, population = sampling.of_organisation(hub, month, oin)
    lines = [entry_told(line_of(one.year, one.index, one.asker)) for one in drawn]
    return OwnSample(month.month, month.late, population, lines), asked, waiting


def _of_organisation(hub: Hub, node: str, oin: str) -> bool:
    entry = hub.directory.node(node)
    return entry is not None and entry.oin == oin


def _export(hub: Hub, oin: str, body: OwnExportRequest) -> bytes:
    begin, end = sampling.period_of(body.month)
    with hub.reading() as connection:
        found: Iterable[Found] = (
            one for one in hub.log_reader.between(connection, begin, end) if one.asker.org == oin
        )
        return "".join(exports.written(body.form, found, hub.vocabulary)).encode()


# --- what is done ----------------------------------------------------------------------


async def act(hub: Hub, caller: Caller, body: OfficerActRequest) -> Response:
    """`/v1/oversight/acts`: ask about an own entry, close an own question, judge an own review."""
    if body.act == "ask":
        if not body.why:
            raise Rejected("why-missing")
        await asyncio.to_thread(_own, hub, caller, body.year, body.index)
        try:
            found = await asyncio.to_thread(inquiries.look_at, hub, body.year, body.index)
        except Refused:
            raise Rejected(_UNKNOWN) from None
        earlier = await asyncio.to_thread(inquiries.asked_before, hub, body.year, body.index)
        return await hub.sequencer.submit(Ask(hub, caller, found, body.why, earlier is not None))
    outcome = body.outcome
    try:
        key = unb64u(body.id, 16)
    except ValueError:
        raise Rejected("id-missing") from None
    if body.act == "review":
        if not outcome:
            raise Rejected("outcome-missing")
        return await reviews.verdict(hub, key, outcome, caller.statement.actor, caller)
    if outcome not in ("fits", "does_not_fit"):
        raise Rejected("outcome-missing")
    return await hub.sequencer.submit(Close(hub, caller, key, outcome))


@dataclass(frozen=True, slots=True)
class Ask:
    """A question about one own look. Its key follows from the look: two officers at once ask once."""

    hub: Hub
    caller: Caller
    found: Found
    why: inquiries.Why
    asked: bool
    persons: int = 1

    def needs(self) -> Needs:
        return Needs(inquiries=frozenset({inquiries.key_of(self.found)}))

    def apply(self, tx: Tx) -> Finish:
        key = inquiries.key_of(self.found)
        if not self.asked and tx.inquiry(key) is None:
            officer = self.caller.statement.actor
            asked = inquiries.question(self.hub, self.found, self.why, officer, tx.now)
            tx.put_inquiry(inquiries.row_of(self.hub, key, asked, open_=True))
        more: dict[str, str | int] = {
            "cause": f"asked-{self.why}",
            "index": self.found.index,
            "year": self.found.year,
        }
        draft = self.caller.draft(tx.now, pv=self.hub.policy.number, more=more)
        return reviews.acted([tx.record(draft)])


@dataclass(frozen=True, slots=True)
class Close:
    """An outcome ends a question of the own organisation; another's is as unknown as none."""

    hub: Hub
    caller: Caller
    key: bytes
    outcome: inquiries.Outcome
    persons: int = 1

    def needs(self) -> Needs:
        return Needs(inquiries=frozenset({self.key}))

    def apply(self, tx: Tx) -> Finish:
        row: InquiryRow | None = tx.inquiry(self.key)
        asked = inquiries.opened(self.hub, row) if row is not None and row.open else None
        if asked is None or not _of_organisation(self.hub, asked.node, self.caller.statement.org):
            raise Rejected("unknown-inquiry")
        done = msgspec.structs.replace(asked, outcome=self.outcome, closed=tx.seconds)
        tx.put_inquiry(inquiries.row_of(self.hub, self.key, done, open_=False))
        cause = f"inquiry-{self.outcome.replace('_', '-')}"
        more: dict[str, str | int] = {"cause": cause, "index": asked.index, "year": asked.year}
        draft = self.caller.draft(tx.now, pv=self.hub.policy.number, more=more)
        return reviews.acted([tx.record(draft)])


# --- as messages -----------------------------------------------------------------------


def entry_told(line: OfficerLine) -> OwnEntry:
    """An entry as an officer reads it, here or at the own node."""
    return OwnEntry(
        year=line.year,
        index=line.index,
        at=_instant(line.at),
        t=line.t,
        node=line.node,
        role=line.role,
        team=line.team,
        purpose=line.purpose,
        actor=line.actor,
        refused=line.refused,
        shown=line.shown,
        something=line.something,
        urgent=line.break_glass,
    )


def pattern_told(one: indicators.QuestionToAsk) -> OwnPattern:
    """A pattern as an officer reads it."""
    return OwnPattern(
        sign=one.sign,
        team=one.group.team,
        role=one.group.role,
        unusual=one.unusual,
        looks=one.looks,
        compared=one.compared,
        others=one.others,
        examples=[OwnExample(e.year, e.index, _instant(e.when), e.actor) for e in one.examples],
    )


def inquiry_told(view: inquiries.View) -> OwnInquiry:
    """A question as an officer reads it."""
    asked = view.asked
    return OwnInquiry(
        id=view.id,
        year=asked.year,
        index=asked.index,
        node=asked.node,
        actor=asked.actor,
        role=asked.role,
        team=asked.team,
        purpose=asked.purpose,
        why=asked.why,  # type: ignore[arg-type]  # one of WHYS
        at=_instant(view.at),
        due=_instant(view.due),
        answer=asked.answer,
        outcome=asked.outcome,
        open=view.open,
    )


def review_told(line: reviews.ReviewLine) -> OwnReview:
    """A break-glass as an officer reads it."""
    review = line.review
    return OwnReview(
        id=line.id,
        node=review.node,
        actor=review.actor,
        role=review.role,
        team=review.team,
        reason=review.reason,
        at_risk=review.at_risk,
        incapable=review.incapable,
        persons=review.persons,
        declared=_instant(line.declared),
        confirm_by=_instant(line.confirm_by),
        last_day=_instant(line.last_day),
        state=line.state,
        outcome=review.outcome,
        overdue=line.overdue,
    )


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


RULES = tuple(
    Rule(path, body, handle, who=Who.OFFICER, classes=_CLASSES, answer=answer, summary=summary)
    for path, body, handle, answer, summary in (
        (
            "/v1/oversight/entries",
            OwnEntriesRequest,
            entries,
            OwnEntriesAnswer,
            "The organisation's own entries of the access log, for its privacy officer",
        ),
        (
            "/v1/oversight/patterns",
            OwnPatternsRequest,
            patterns,
            OwnPatternsAnswer,
            "Questions to ask about the organisation's own teams",
        ),
        (
            "/v1/oversight/work",
            OwnWorkRequest,
            work,
            OwnWorkAnswer,
            "The sample, questions and reviews of the organisation",
        ),
        (
            "/v1/oversight/acts",
            OfficerActRequest,
            act,
            OfficerActAnswer,
            "The organisation's officer asks, closes a question or judges a review",
        ),
        (
            "/v1/oversight/replays",
            OwnReplayRequest,
            replay,
            OwnReplayAnswer,
            "One look of the organisation, decided again",
        ),
        (
            "/v1/oversight/exports",
            OwnExportRequest,
            export,
            OwnExportAnswer,
            "One month of the organisation's own entries as a file",
        ),
    )
)
