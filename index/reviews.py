"""Break-glass after it was declared: a colleague confirms, the privacy officer reviews.

    declared (`relations`) -> waiting -> confirmed | reported, by another employee of the same node
                                      -> unconfirmed, by the clock alone, at once
    all of them -> the officer: asks, or says that it fits, or that it does not

A row is about who declared it and why; no person, handle or search key is in
it. The declaration and the confirmation are entries of one case, so that the
log alone shows both.

Source: docs/design/policy-and-consent.md, "Break-glass".
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, get_args

import msgspec
from sqlalchemy import func, select
from starlette.responses import Response

from index import inquiries
from index.accesslog.log import Recorded, SealedBatch
from index.accesslog.reading import Found
from index.errors import NotAllowed, Rejected
from index.gate import Caller, Public, Rule, Who
from index.protocol.codec import b64u
from index.protocol.entry import Asker, EntryDraft
from index.protocol.messages import ColleagueAnswer, ColleagueRequest, Declaration, OfficerActAnswer
from index.publish import json_answer
from index.store.tables import review as review_table
from index.transaction import Finish, Needs, ReviewRow, Tx
from policy.clock import AMSTERDAM, add_working_days
from policy.decide import CRISIS, may_break_glass

if TYPE_CHECKING:
    from starlette.requests import Request

    from index.hub import Hub

Word = Literal["confirmed", "reported"]
Outcome = Literal["asked", "fits", "does_not_fit"]
State = Literal["waiting", "confirmed", "reported", "unconfirmed"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
MOST_SHOWN = 500
ROUNDED_TO = 5


class Review(msgspec.Struct, frozen=True, omit_defaults=True):
    """One declaration. Times are Unix seconds; `actor` and `colleague` are ids of the declaring node.

    `state` is what a colleague said; that nobody did in time follows from `confirm_by`.
    """

    node: str
    org: str
    actor: str
    role: str
    team: str
    reason: str
    at_risk: str
    incapable: bool
    persons: int
    declared: int
    confirm_by: int
    due: int
    state: Literal["waiting", "confirmed", "reported"] = "waiting"
    colleague: str = ""
    settled: int = 0
    outcome: Literal["", "asked", "fits", "does_not_fit"] = ""
    officer: str = ""
    reviewed: int = 0

    def state_at(self, seconds: int) -> State:
        """What the officer reads at this moment."""
        return "unconfirmed" if self.state == "waiting" and seconds >= self.confirm_by else self.state


def declared(hub: Hub, caller: Caller, declaration: Declaration, persons: int, now: datetime) -> ReviewRow:
    """The row of a new declaration. Its caller may declare, and the codes are the vocabulary's."""
    said, limits = caller.statement, hub.vocabulary.limits
    hours = limits.second_person_hours(said.team, said.role)
    due = add_working_days(now, limits.break_glass_review_working_days, hub.settings.equated_days)
    review = Review(
        node=said.node,
        org=said.org,
        actor=said.actor,
        role=said.role,
        team=said.team,
        reason=declaration.reason,
        at_risk=declaration.at_risk,
        incapable=declaration.incapable,
        persons=persons,
        declared=int(now.timestamp()),
        confirm_by=int((now + timedelta(hours=hours)).timestamp()),
        due=int(due.timestamp()),
    )
    key = hub.rows.review_key(caller.node.number, caller.case_tag)
    return _row(hub, ReviewRow(key, now.astimezone(AMSTERDAM).year, 1, b""), review)


def _row(hub: Hub, row: ReviewRow, review: Review) -> ReviewRow:
    closed = review.outcome in ("fits", "does_not_fit")
    sealed = hub.rows.seal_review(row.key, msgspec.json.encode(review))
    return row._replace(open=0 if closed else 1, sealed=sealed)


def _opened(hub: Hub, row: ReviewRow) -> Review:
    return msgspec.json.decode(hub.rows.open_review(row.key, row.sealed), type=Review)


# --- the second person -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SecondPerson:
    """What a colleague says of a declaration.

    1. It was declared by this very node under this case: another node's looks like none. Ids of
       employees differ from node to node, so only here do two ids mean two people.
    2. By another employee.
    3. Nobody said anything yet.
    4. In time. After it the officer has it as unconfirmed, and that stays so.
    """

    hub: Hub
    caller: Caller
    word: Word
    persons: int = 1

    @property
    def key(self) -> bytes:
        return self.hub.rows.review_key(self.caller.node.number, self.caller.case_tag)

    def needs(self) -> Needs:
        return Needs(reviews=frozenset({self.key}), messages=frozenset({self.caller.message_key}))

    def apply(self, tx: Tx) -> Finish:
        if (earlier := tx.earlier(self.caller)) is not None:
            return lambda _: earlier
        row = tx.review(self.key)
        if row is None:  # 1
            raise Rejected("unknown-declaration")
        review = _opened(self.hub, row)
        if review.actor == self.caller.statement.actor:  # 2
            raise Rejected("same-employee")
        if review.state != "waiting":  # 3
            raise Rejected("already-settled")
        if tx.seconds >= review.confirm_by:  # 4
            raise Rejected("too-late")
        said = self.caller.statement
        review = msgspec.structs.replace(review, state=self.word, colleague=said.actor, settled=tx.seconds)
        tx.put_review(_row(self.hub, row, review))
        recorded = tx.record(
            self.caller.draft(tx.now, break_glass=True, pv=self.hub.policy.number, more={"cause": self.word})
        )
        made: list[bytes] = []

        def answer(sealed: SealedBatch) -> bytes:
            made.append(msgspec.json.encode(ColleagueAnswer(self.word, sealed.receipts([recorded]))))
            return made[-1]

        tx.remember(self.caller, answer)
        return lambda sealed: json_answer(made[-1], sealed.index_header([recorded]))


async def confirm(hub: Hub, caller: Caller, body: ColleagueRequest) -> Response:
    """`/v1/relations/confirmations`."""
    check_may_declare(hub, caller)
    return await hub.sequencer.submit(SecondPerson(hub, caller, body.outcome))


def check_may_declare(hub: Hub, caller: Caller) -> None:
    """The caller's role may use break-glass here, and says that it does.

    Raises:
        NotAllowed: Another purpose, or a role for which break-glass never opens anything.
        Rejected: No case: a declaration is found back by it.
    """
    said = caller.statement
    profile = hub.policies.registers.profile_of(said.org)
    if said.purpose != CRISIS or not may_break_glass(hub.policy, said.role, profile):
        raise NotAllowed
    if not said.case:
        raise Rejected("case-missing")


# --- the officer -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReviewLine:
    """A declaration as the officer's page shows it. `id` is text for a form; `overdue`: past its term."""

    id: str
    review: Review
    state: State
    overdue: bool

    @property
    def declared(self) -> datetime:
        return datetime.fromtimestamp(self.review.declared, UTC)

    @property
    def confirm_by(self) -> datetime:
        return datetime.fromtimestamp(self.review.confirm_by, UTC)

    @property
    def last_day(self) -> datetime:
        """A moment of the last day of the term, which ends at the midnight after it."""
        return datetime.fromtimestamp(self.review.due - 1, UTC)


@dataclass(frozen=True, slots=True)
class ReviewList:
    """What waits, the soonest due first; `more` where not all are shown."""

    lines: Sequence[ReviewLine]
    more: bool


def waiting_for_review(hub: Hub, organisation: str = "") -> ReviewList:
    """Every declaration that the officer is not done with, or of one organisation (OIN). Blocks."""
    table = review_table
    with hub.reading() as connection:
        found = connection.execute(select(table).where(table.c.open == 1)).all()
    now = int(hub.clock().timestamp())
    lines = []
    for row in map(ReviewRow._make, found):
        review = _opened(hub, row)
        if organisation not in ("", review.org):
            continue
        lines.append(ReviewLine(b64u(row.key), review, review.state_at(now), now >= review.due))
    # Unconfirmed and reported ones come first: the officer has to know of them at once.
    lines.sort(key=lambda line: (line.state in ("waiting", "confirmed"), line.review.due, line.id))
    return ReviewList(lines[:MOST_SHOWN], len(lines) > MOST_SHOWN)


@dataclass(frozen=True, slots=True)
class Verdict:
    """An officer's outcome. Asking leaves a review open; the others end it, and stay.

    `caller`: the node of the organisation's own officer, whose review it must be; None at the hub.
    """

    hub: Hub
    key: bytes
    outcome: Outcome
    officer: str
    caller: Caller | None = None
    declared: Found | None = None
    """The entry of the declaration, where its employee is to be asked and was not yet."""
    persons: int = 1

    def needs(self) -> Needs:
        asked = {inquiries.key_of(self.declared)} if self.declared else set()
        return Needs(reviews=frozenset({self.key}), inquiries=frozenset(asked))

    def apply(self, tx: Tx) -> Finish:
        row = tx.review(self.key)
        if row is None or not row.open:
            raise Rejected("no-open-review")
        held = _opened(self.hub, row)
        if self.caller is not None and held.org != self.caller.statement.org:
            raise Rejected("no-open-review")
        review = msgspec.structs.replace(
            held, outcome=self.outcome, officer=self.officer, reviewed=tx.seconds
        )
        tx.put_review(_row(self.hub, row, review))
        if self.declared and tx.inquiry(key := inquiries.key_of(self.declared)) is None:
            asked = inquiries.question(self.hub, self.declared, "spoed", self.officer, tx.now)
            tx.put_inquiry(inquiries.row_of(self.hub, key, asked, open_=True))
        cause = f"review-{self.outcome.replace('_', '-')}"
        more: dict[str, str | int] = {"cause": cause, "digest": b64u(self.key)}
        if self.caller is not None:
            draft = self.caller.draft(tx.now, pv=self.hub.policy.number, break_glass=True, more=more)
            return acted([tx.record(draft)])
        ts, pv = int(tx.now.timestamp() * 1000), self.hub.policy.number
        tx.record(EntryDraft(t="admin", ts=ts, req="", pv=pv, break_glass=True, more=more))
        return lambda _: b"{}"


async def verdict(
    hub: Hub, key: bytes, outcome: Outcome, officer: str, caller: Caller | None = None
) -> Response:
    """Record an outcome; asking also asks the employee who declared, with the term of a question.

    Raises:
        LogUnavailable: Nothing could be recorded, so nothing was changed.
    """
    declared = await asyncio.to_thread(_to_ask, hub, key) if outcome == "asked" else None
    return await hub.sequencer.submit(Verdict(hub, key, outcome, officer, caller, declared))


def _to_ask(hub: Hub, key: bytes) -> Found | None:
    """The entry that declared this review; None where it is no longer kept, or was asked about. Blocks."""
    with hub.reading() as connection:
        row = connection.execute(select(review_table).where(review_table.c.key == key)).first()
        if row is None:
            return None
        review = _opened(hub, ReviewRow._make(row))
        begin = datetime.fromtimestamp(review.declared, UTC)
        near = hub.log_reader.between(connection, begin, begin + timedelta(seconds=1))
        found = next((one for one in near if _declares(one.asker, review)), None)
    if found is None or inquiries.asked_before(hub, found.year, found.index):
        return None
    return found if hub.directory.node(found.asker.node) else None


def _declares(asker: Asker, review: Review) -> bool:
    same = (asker.node, asker.actor) == (review.node, review.actor)
    return same and asker.t == "relation" and bool(asker.bg) and not asker.refused


def acted(recorded: Sequence[Recorded]) -> Finish:
    """The answer to what an organisation's own officer did."""

    def answer(batch: SealedBatch) -> Response:
        body = OfficerActAnswer(batch.receipts(recorded))
        return json_answer(msgspec.json.encode(body), batch.index_header(recorded))

    return answer


# --- the public figures ----------------------------------------------------------------


class YearFigure(msgspec.Struct, frozen=True, rename="camel"):
    """Declared break-glass in one year (Europe/Amsterdam). `declared` is None below `fewer_than`."""

    year: int
    declared: int | None
    fewer_than: int | None


def year_figures(counts: dict[int, int], year: int, threshold: int) -> list[YearFigure]:
    """What may be published of the counts: a past year exactly, the running one rounded down.

    Args:
        counts: Declarations per year.
        year: The running year. A figure that moves with each declaration would tell its moment.
        threshold: Below it only that it is fewer.
    """
    figures = []
    for one in sorted({*counts, year}):
        count = counts.get(one, 0)
        shown = count - count % ROUNDED_TO if one >= year else count
        few = shown < threshold
        figures.append(YearFigure(one, None if few else shown, threshold if few else None))
    return figures


def figures(hub: Hub) -> list[YearFigure]:
    """The figures of this hub. Blocks."""
    table = review_table
    with hub.reading() as connection:
        found = connection.execute(select(table.c.year, func.count()).group_by(table.c.year)).all()
    counts = {int(year): int(count) for year, count in found}
    return year_figures(counts, hub.clock().astimezone(AMSTERDAM).year, hub.vocabulary.limits.count_threshold)


async def _published(hub: Hub, _: Request) -> Response:
    """How often break-glass was declared, per year."""
    body = {"breakGlass": figures(hub)}
    return Response(msgspec.json.encode(body), media_type="application/json")


RULES = (
    Rule(
        "/v1/relations/confirmations",
        ColleagueRequest,
        confirm,
        who=Who.EMPLOYEE,
        classes=frozenset({"crisis"}),
        answer=ColleagueAnswer,
        summary="A second person confirms or reports a colleague's break-glass",
    ),
)
PUBLIC = (Public("/v1/figures", _published, "How often break-glass was declared, per year"),)
