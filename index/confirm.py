"""A source's heartbeat: which of its flags still hold, without sending the caseload.

    256 pairs (count, sum) -> equal buckets are confirmed now, the others are named
    one differing bucket -> 64 pairs (count, sum) of its parts -> those that differ are named
    one differing part -> its (rtag, seq) compared -> what misses, what is too many

Only buckets that agree are confirmed, so a flag that the source has forgotten
stops being shown when its lease ends. All of it is the caller's own.

Source: docs/design/hub.md, "Retractions stay".
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
from starlette.responses import Response

from index.accesslog.log import SealedBatch
from index.errors import Rejected
from index.gate import Caller, Rule, Who
from index.protocol.codec import EncodingError, b64u, unb64u
from index.protocol.messages import (
    PARTS,
    ConfirmationAnswer,
    ConfirmationRequest,
    ReconciliationAnswer,
    ReconciliationRequest,
    part_of,
)
from index.publish import SOURCE_CLASS, json_answer
from index.rows import digest_term
from index.transaction import Finish, HeartbeatRow, Needs, Tx

if TYPE_CHECKING:
    from index.hub import Hub

_CONFIRMATION_LIMIT = 64 * 1024
_RECONCILIATION_LIMIT = 2 * 1024 * 1024
_EMPTY = bytes(32)


@dataclass(frozen=True, slots=True)
class Confirm:
    """Set the time of the buckets in which source and hub agree, and of no other."""

    hub: Hub
    caller: Caller
    buckets: Sequence[tuple[int, bytes]]
    """Count and sum of each of the 256, by number."""
    persons: int = 1

    @property
    def pub_tag(self) -> bytes:
        return self.hub.rows.pub_tag(self.caller.node.number)

    def needs(self) -> Needs:
        return Needs(publishers=frozenset({self.pub_tag}), messages=frozenset({self.caller.message_key}))

    def apply(self, tx: Tx) -> Finish:
        if (earlier := tx.earlier(self.caller)) is not None:
            return lambda _: earlier
        differing: list[int] = []
        for number, (count, total) in enumerate(self.buckets):
            row = tx.digest(self.pub_tag, number)
            held = (row.live, row.sum) if row else (0, _EMPTY)
            if count != held[0] or not hmac.compare_digest(total, held[1]):
                differing.append(number)
            elif row is not None:
                tx.put_digest(row._replace(confirmed_at=tx.seconds))
        if len(differing) < len(self.buckets):
            tx.put_heartbeat(HeartbeatRow(self.pub_tag, tx.seconds))
        recorded = tx.record(self.caller.draft(tx.now))
        at = f"{tx.now:%Y-%m-%dT%H:%M:%SZ}"
        made: list[bytes] = []

        def answer(batch: SealedBatch) -> bytes:
            log = batch.receipts([recorded])
            made.append(
                msgspec.json.encode(ConfirmationAnswer(differing=differing, confirmed_at=at, log=log))
            )
            return made[-1]

        tx.remember(self.caller, answer)
        return lambda batch: json_answer(made[-1], batch.index_header([recorded]))


@dataclass(frozen=True, slots=True)
class Reconcile:
    """Compare one bucket: by the sums of its parts, or flag by flag. A read: each asking is a new one."""

    hub: Hub
    caller: Caller
    bucket: int
    held: Mapping[bytes, int]
    parts: Sequence[tuple[int, bytes]] = ()
    """Count and sum of each of the 64; empty compares flag by flag."""
    part: int | None = None
    persons: int = 1

    @property
    def pub_tag(self) -> bytes:
        return self.hub.rows.pub_tag(self.caller.node.number)

    def needs(self) -> Needs:
        return Needs(buckets=frozenset({(self.pub_tag, self.bucket)}))

    def apply(self, tx: Tx) -> Finish:
        stored = {
            row.rtag: row.seq
            for row in tx.bucket_flags(self.pub_tag, self.bucket)
            if self.part is None or part_of(row.rtag) == self.part
        }
        missing: list[bytes] = []
        extra: list[bytes] = []
        differing: list[int] = []
        if self.parts:
            own = parts_of(stored)
            differing = [at for at, said in enumerate(self.parts) if said != own[at]]
        else:
            missing = sorted(rtag for rtag, seq in self.held.items() if stored.get(rtag) != seq)
            extra = sorted(rtag for rtag in stored if rtag not in self.held)
        recorded = tx.record(self.caller.draft(tx.now))

        def finish(batch: SealedBatch) -> Response:
            body = ReconciliationAnswer(
                missing=[b64u(rtag) for rtag in missing],
                extra=[b64u(rtag) for rtag in extra],
                differing=differing,
                log=batch.receipts([recorded]),
            )
            return json_answer(msgspec.json.encode(body), batch.index_header([recorded]))

        return finish


def parts_of(stored: Mapping[bytes, int]) -> list[tuple[int, bytes]]:
    """Count and sum of each of the 64 parts of a bucket's flags, as those of a bucket are made."""
    counts, sums = [0] * PARTS, [0] * PARTS
    for rtag, seq in stored.items():
        at = part_of(rtag)
        counts[at] += 1
        sums[at] += digest_term(rtag, seq)
    return [(count, (total % 2**256).to_bytes(32, "big")) for count, total in zip(counts, sums, strict=True)]


async def confirmations(hub: Hub, caller: Caller, body: ConfirmationRequest) -> Response:
    """POST /v1/confirmations."""
    try:
        buckets = [(bucket.count, unb64u(bucket.sum, 32)) for bucket in body.buckets]
    except EncodingError:
        raise Rejected("malformed-sum") from None
    return await hub.sequencer.submit(Confirm(hub, caller, buckets))


async def reconciliations(hub: Hub, caller: Caller, body: ReconciliationRequest) -> Response:
    """POST /v1/reconciliations."""
    try:
        held = {unb64u(item.rtag, 32): item.seq for item in body.held}
    except EncodingError:
        raise Rejected("malformed-rtag") from None
    try:
        parts = [(part.count, unb64u(part.sum, 32)) for part in body.parts or ()]
    except EncodingError:
        raise Rejected("malformed-sum") from None
    if any(rtag[0] != body.bucket or body.part not in (None, part_of(rtag)) for rtag in held):
        raise Rejected("other-bucket")
    if parts and (held or body.part is not None):
        raise Rejected("parts-and-flags")
    return await hub.sequencer.submit(Reconcile(hub, caller, body.bucket, held, parts, body.part))


RULES = (
    Rule(
        "/v1/confirmations",
        ConfirmationRequest,
        confirmations,
        who=Who.SOURCE,
        classes=SOURCE_CLASS,
        limit=_CONFIRMATION_LIMIT,
        answer=ConfirmationAnswer,
        summary="Confirm live flags by their digest",
    ),
    Rule(
        "/v1/reconciliations",
        ReconciliationRequest,
        reconciliations,
        who=Who.SOURCE,
        classes=SOURCE_CLASS,
        limit=_RECONCILIATION_LIMIT,
        answer=ReconciliationAnswer,
        summary="Compare one bucket flag by flag",
    ),
)
