"""An officer asks an organisation about one look: what was the reason? A code answers, never text.

    officer asks about an entry (sample, break-glass, a pattern) -> entry `admin`, row for the node
    -> the node fetches what is asked of it -> the employee who looked answers there, with a code
    -> the officer reads it: it fits, or it does not

The question names the entry by what the node knows itself: its employee, its
case tag, the time. No person is in it.

Source: docs/design/officers.md; screens.md O3, O4, D14.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, get_args

import msgspec
from sqlalchemy import insert, select, update
from starlette.responses import Response

from index.accesslog.log import SealedBatch
from index.accesslog.reading import Found
from index.acts import Refused
from index.errors import Rejected
from index.gate import Caller, Rule, Who
from index.protocol.codec import b64u, u16, u64, unb64u
from index.protocol.entry import Asker, EntryDraft
from index.protocol.messages import (
    INQUIRY_ANSWERS,
    Inquiry,
    InquiryAnswer,
    InquiryList,
    InquiryReply,
    InquiryRequest,
)
from index.publish import json_answer
from index.store.tables import inquiry as inquiry_table
from index.transaction import Finish, InquiryRow, Needs, Tx
from policy.clock import add_working_days

if TYPE_CHECKING:
    from index.hub import Hub

Why = Literal["steekproef", "spoed", "patroon"]
WHYS: tuple[Why, ...] = get_args(Why)
Outcome = Literal["fits", "does_not_fit"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
_KIND = "inquiry"
_DAYS = 5
"""Working days in which an answer is asked for."""
_MOST = 200


class Asked(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is kept of a question. Times are Unix seconds, `officer` the id of who asked."""

    year: int
    index: int
    node: str
    actor: str
    role: str
    team: str
    purpose: str
    case: str
    at: int
    why: str
    asked: int
    due: int
    officer: str
    answer: str = ""
    answered: int = 0
    outcome: str = ""
    closed: int = 0


@dataclass(frozen=True, slots=True)
class View:
    """A question as an officer's page shows it; `id` is text for a form."""

    id: str
    asked: Asked
    open: bool

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(self.asked.at, UTC)

    @property
    def due(self) -> datetime:
        """A moment of the last day."""
        return datetime.fromtimestamp(self.asked.due - 1, UTC)


# --- the officer -----------------------------------------------------------------------


def ask(hub: Hub, year: int, index: int, why: Why, officer: str) -> str:
    """Ask about one entry; the id of the question, the same one where it was asked before. Blocks.

    Raises:
        Refused: The entry is not a look by an employee, or is no longer kept.
    """
    found = look_at(hub, year, index)
    earlier = asked_before(hub, year, index)
    if earlier is not None:
        return earlier.id
    key = secrets.token_bytes(16)
    with hub.office.sitting() as sitting:
        asked = question(hub, found, why, officer, sitting.now)
        row = row_of(hub, key, asked, open_=True)
        sitting.connection.execute(insert(inquiry_table), [row._asdict()])
        more: dict[str, str | int] = {"cause": f"asked-{why}", "index": index, "year": year}
        sitting.append(EntryDraft(t="admin", ts=0, req="", more=more))
    return b64u(key)


def look_at(hub: Hub, year: int, index: int) -> Found:
    """The entry that can be asked about. Blocks.

    Raises:
        Refused: It is not a look by an employee, is no longer kept, or its node takes part no more.
    """
    with hub.reading() as connection:
        found = hub.log_reader.at(connection, year, index)
    if found is None or not _by_employee(found.asker):
        raise Refused("This entry is not a look by an employee, or is no longer kept. Nothing was asked.")
    if hub.directory.node(found.asker.node) is None:
        raise Refused("The node of this entry takes part no more. Nothing was asked.")
    return found


def _by_employee(asker: Asker) -> bool:
    """A citizen's actor is a capacity, such as a parent's: nobody to ask."""
    speaks = asker.role not in ("burger", "bron")
    return asker.t in ("lookup", "relation") and bool(asker.actor) and speaks


def asked_before(hub: Hub, year: int, index: int) -> View | None:
    """The question about an entry, if there is one. Blocks."""
    found = (view for view in views(hub) if (view.asked.year, view.asked.index) == (year, index))
    return next(found, None)


def key_of(found: Found) -> bytes:
    """The key of a question that a work asks: it follows from the look, so that two at once ask once."""
    return hashlib.sha256(b"vlagwijzer/inquiry/v1" + u16(found.year) + u64(found.index)).digest()[:16]


def question(hub: Hub, found: Found, why: Why, officer: str, now: datetime) -> Asked:
    """What is kept of a new question about an entry."""
    asker = found.asker
    end = add_working_days(now, _DAYS, hub.settings.equated_days)
    return Asked(
        year=found.year, index=found.index, node=asker.node, actor=asker.actor, role=asker.role,
        team=asker.team, purpose=asker.purpose, case=asker.case, at=asker.ts // 1000, why=why,
        asked=int(now.timestamp()), due=int(end.timestamp()), officer=officer,
    )  # fmt: skip


def close(hub: Hub, id_: bytes, outcome: Outcome) -> bool:
    """An officer's outcome ends a question; False where no such one is open. Blocks."""
    with hub.office.sitting() as sitting:
        row = sitting.connection.execute(
            select(inquiry_table).where(inquiry_table.c.key == id_, inquiry_table.c.open == 1)
        ).first()
        if row is None:
            return False
        held = InquiryRow(*row)
        asked = msgspec.structs.replace(opened(hub, held), outcome=outcome, closed=sitting.seconds)
        sealed = _sealed(hub, id_, held.tag, asked, open_=False)
        sitting.connection.execute(
            update(inquiry_table).where(inquiry_table.c.key == id_).values(open=0, sealed=sealed.sealed)
        )
        cause = f"inquiry-{outcome.replace('_', '-')}"
        more: dict[str, str | int] = {"cause": cause, "index": asked.index, "year": asked.year}
        sitting.append(EntryDraft(t="admin", ts=0, req="", more=more))
    return True


def views(hub: Hub) -> list[View]:
    """Every question, the open ones first, then by term. Blocks."""
    with hub.reading() as connection:
        rows = connection.execute(select(inquiry_table)).all()
    found = [View(b64u(row.key), opened(hub, row), bool(row.open)) for row in map(InquiryRow._make, rows)]
    return sorted(found, key=lambda view: (not view.open, view.asked.due, view.id))


def row_of(hub: Hub, key: bytes, asked: Asked, *, open_: bool) -> InquiryRow:
    """The sealed row of a question, under the tag of the node that looked."""
    node = hub.directory.node(asked.node)
    if node is None:
        raise Refused("The node of this entry takes part no more. Nothing was done.")
    return _sealed(hub, key, hub.rows.node_tag(node.number), asked, open_=open_)


def _sealed(hub: Hub, key: bytes, tag: bytes, asked: Asked, *, open_: bool) -> InquiryRow:
    return InquiryRow(key, tag, int(open_), hub.rows.seal_note(_KIND, key, msgspec.json.encode(asked)))


def opened(hub: Hub, row: InquiryRow) -> Asked:
    """What a row holds."""
    return msgspec.json.decode(hub.rows.open_note(_KIND, row.key, row.sealed), type=Asked)


# --- the node --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Listing:
    """The entry of a node's look at what is asked of it; the questions were read just before."""

    hub: Hub
    caller: Caller
    found: Sequence[Inquiry]
    persons: int = 1

    def needs(self) -> Needs:
        return Needs()

    def apply(self, tx: Tx) -> Finish:
        recorded = tx.record(self.caller.draft(tx.now, pv=self.hub.policy.number))

        def answer(batch: SealedBatch) -> Response:
            body = InquiryList(list(self.found), batch.receipts([recorded]))
            return json_answer(msgspec.json.encode(body), batch.index_header([recorded]))

        return answer


async def listed(hub: Hub, caller: Caller, body: InquiryRequest) -> Response:
    """`/v1/inquiries`: what is asked of the calling node and not answered yet."""
    import asyncio

    found = await asyncio.to_thread(_of_node, hub, caller)
    return await hub.sequencer.submit(Listing(hub, caller, found))


def _of_node(hub: Hub, caller: Caller) -> list[Inquiry]:
    tag = hub.rows.node_tag(caller.node.number)
    with hub.reading() as connection:
        rows = connection.execute(
            select(inquiry_table).where(inquiry_table.c.tag == tag, inquiry_table.c.open == 1)
        ).all()
    found = [(row.key, opened(hub, row)) for row in map(InquiryRow._make, rows)]
    waiting = sorted((asked.due, key, asked) for key, asked in found if not asked.answer)
    return [_told(key, asked) for _, key, asked in waiting[:_MOST]]


def _told(key: bytes, asked: Asked) -> Inquiry:
    return Inquiry(
        id=b64u(key),
        actor=asked.actor,
        role=asked.role,
        team=asked.team,
        purpose=asked.purpose,
        case=asked.case,
        why=asked.why,  # type: ignore[arg-type]  # one of WHYS: only `ask` writes it
        at=_instant(asked.at),
        due=_instant(asked.due),
    )


@dataclass(frozen=True, slots=True)
class Answering:
    """A code from the employee who looked, through the own node.

    1. The question is this node's, and open.
    2. The employee who looked answers, and nobody else.
    3. It was not answered before; the same answer again is harmless.
    """

    hub: Hub
    caller: Caller
    reply: InquiryReply
    key: bytes
    persons: int = 1

    def needs(self) -> Needs:
        return Needs(inquiries=frozenset({self.key}))

    def apply(self, tx: Tx) -> Finish:
        row = tx.inquiry(self.key)
        if row is None or row.tag != self.caller.node_tag or not row.open:  # 1
            raise Rejected("unknown-inquiry")
        asked = opened(self.hub, row)
        if asked.actor != self.caller.statement.actor:  # 2
            raise Rejected("other-employee")
        if asked.answer not in ("", self.reply.answer):  # 3
            raise Rejected("already-settled")
        if not asked.answer:
            changed = msgspec.structs.replace(asked, answer=self.reply.answer, answered=tx.seconds)
            tx.put_inquiry(_sealed(self.hub, row.key, row.tag, changed, open_=True))
        more: dict[str, str | int] = {"cause": f"answer-{self.reply.answer}"}
        recorded = tx.record(self.caller.draft(tx.now, pv=self.hub.policy.number, more=more))

        def answer(batch: SealedBatch) -> Response:
            body = InquiryAnswer(self.reply.answer, batch.receipts([recorded]))
            return json_answer(msgspec.json.encode(body), batch.index_header([recorded]))

        return answer


async def answered(hub: Hub, caller: Caller, body: InquiryReply) -> Response:
    """`/v1/inquiries/answers`."""
    try:
        key = unb64u(body.id, 16)
    except ValueError:
        raise Rejected("unknown-inquiry") from None
    return await hub.sequencer.submit(Answering(hub, caller, body, key))


def _instant(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


ANSWERS = INQUIRY_ANSWERS
_CLASSES = frozenset({"lookup", "crisis"})
RULES = (
    Rule(
        "/v1/inquiries",
        InquiryRequest,
        listed,
        who=Who.SOURCE,
        classes=_CLASSES,
        answer=InquiryList,
        summary="What the privacy officer asks the calling node about its own looks",
    ),
    Rule(
        "/v1/inquiries/answers",
        InquiryReply,
        answered,
        who=Who.SOURCE,
        classes=_CLASSES,
        answer=InquiryAnswer,
        summary="The employee who looked says with a code why",
    ),
)
