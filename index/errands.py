"""What waits at the hub until a node fetches it: signals, and contact requests.

    row under a tag of the node -> the node asks what waits -> keeps it -> says so -> the row is gone

A row goes only when the node that it is for names it, so nothing is lost
between the two; what was fetched twice has one id. Each fetching is an entry
of the log about nobody.

Source: docs/design/hub.md, "Signals" and "Contact requests".
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec
import structlog
from sqlalchemy import select
from starlette.responses import Response

from index.accesslog.log import SealedBatch
from index.errors import Rejected
from index.gate import Caller
from index.protocol.codec import EncodingError, u32, unb64u
from index.protocol.messages import LogReceipt, Message
from index.publish import json_answer
from index.rows import RowError, Rows
from index.store.tables import errand as errand_table
from index.transaction import ErrandRow, Finish, Needs, Tx

if TYPE_CHECKING:
    from index.hub import Hub

log = structlog.get_logger()

Sort = Literal["signal", "contact"]
MOST = 200
T = TypeVar("T", bound=msgspec.Struct)
NOTE = "errand"
"""Sort of note as which a row is sealed (`Rows.seal_note`)."""


def tag_of(rows: Rows, sort: Sort, node_number: int) -> bytes:
    """What stands for a node in table `errand`, 16 bytes; not its tag in any other table."""
    key = rows.node_tag(node_number)
    return hmac.digest(key, f"errand/v1/{sort}".encode() + u32(node_number), "sha256")[:16]


def row_of(hub: Hub, sort: Sort, node_number: int, key: bytes, content: msgspec.Struct) -> ErrandRow:
    """A row that the node finds when it asks."""
    sealed = hub.rows.seal_note(NOTE, key, msgspec.json.encode(content))
    return ErrandRow(key, tag_of(hub.rows, sort, node_number), sealed)


def content_of(hub: Hub, row: ErrandRow, kind: type[T]) -> T:
    """What a row holds; RowError when its data key is gone."""
    return msgspec.json.decode(hub.rows.open_note(NOTE, row.key, row.sealed), type=kind)


@dataclass(frozen=True, slots=True)
class Fetching:
    """Record that a node asked, drop what it says it has, and tell what was read just before."""

    hub: Hub
    caller: Caller
    tag: bytes
    done: frozenset[bytes]
    told: Callable[[list[LogReceipt]], Message]
    persons: int = 1

    def needs(self) -> Needs:
        return Needs(errands=self.done)

    def apply(self, tx: Tx) -> Finish:
        for key in self.done:
            row = tx.errand(key)
            # Another node's key looks like one that is gone.
            if row is not None and row.tag == self.tag:
                tx.put_errand(key, None)
        recorded = tx.record(self.caller.draft(tx.now, pv=self.hub.policy.number))

        def answer(batch: SealedBatch) -> Response:
            body = msgspec.json.encode(self.told(batch.receipts([recorded])))
            return json_answer(body, batch.index_header([recorded]))

        return answer


async def fetched(
    hub: Hub,
    caller: Caller,
    sort: Sort,
    done: Sequence[str],
    *,
    content: type[T],
    told: Callable[[list[tuple[bytes, T]], bool, list[LogReceipt]], Message],
) -> Response:
    """Answer a node that asks what waits for it.

    Args:
        done: Ids that it has kept, 16 bytes each in base64url.
        told: Makes the answer of what was found, whether there is more, and the proof.

    Raises:
        Rejected: An id that is none.
    """
    try:
        gone = frozenset(unb64u(text, 16) for text in done)
    except EncodingError:
        raise Rejected("unknown-errand") from None
    tag = tag_of(hub.rows, sort, caller.node.number)
    found, more, lost = await asyncio.to_thread(_waiting, hub, tag, gone, content)
    work = Fetching(hub, caller, tag, gone | lost, lambda proofs: told(found, more, proofs))
    return await hub.sequencer.submit(work)


def _waiting(
    hub: Hub, tag: bytes, gone: frozenset[bytes], content: type[T]
) -> tuple[list[tuple[bytes, T]], bool, frozenset[bytes]]:
    """What waits, whether there is more, and the keys of rows that nobody can open any more."""
    c = errand_table.c
    with hub.reading() as connection:
        query = select(errand_table).where(c.tag == tag).order_by(c.key).limit(MOST + len(gone) + 1)
        rows = connection.execute(query).all()
    waiting = [row for row in map(ErrandRow._make, rows) if row.key not in gone]
    found: list[tuple[bytes, T]] = []
    lost: set[bytes] = set()
    for row in waiting[:MOST]:
        try:
            found.append((row.key, content_of(hub, row, content)))
        except RowError:
            log.error("errand_unreadable")
            lost.add(row.key)
    return found, len(waiting) > MOST, frozenset(lost)
