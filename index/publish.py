"""What a source tells the hub: this flag holds, this flag is gone.

    points opened -> each item checked -> one transaction: flag, marker, digest, entry -> signed receipt

Each item stands alone: a bad one is refused with a code and the others go
through. Per flag the highest `seq` wins and a marker beats everything, so no
order of arrival brings a retracted flag back. A retraction is looked up under
the caller's own tag only; another node's flag cannot even be named here. The
answer speaks of the sender's own flags and has one shape whatever else exists.

Source: docs/design/hub.md, "Retractions stay".
"""

from __future__ import annotations

import asyncio
import binascii
import calendar
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec
from starlette.responses import Response

from index.accesslog.log import Recorded, SealedBatch
from index.errors import Rejected
from index.gate import Caller, Rule, Who
from index.protocol.codec import EncodingError, unb64u
from index.protocol.entry import Alike, log_id, shown_bits
from index.protocol.messages import (
    ChangeReceipt,
    ItemResult,
    PublicationItem,
    PublicationRequest,
    RetractionItem,
    RetractionRequest,
)
from index.protocol.receipt import issue_change_receipt
from index.protocol.statement import LOG_INDEX_HEADER
from index.rows import OPEN_END, TOLD, Flag, NewFlag, RowError, digest_term, month_number, rtag_of, week_of
from index.transaction import DigestRow, Finish, FlagRow, HeartbeatRow, MarkerRow, Needs, Tx
from policy.vocabulary import Kind, UnknownCode, Vocabulary

if TYPE_CHECKING:
    from index.hub import Hub

Outcome = Literal["stored", "removed", "absent", "stale", "refused"]

OUTBOX_MAX_AGE = timedelta(days=35)
MARKER_LIFE = OUTBOX_MAX_AGE + timedelta(days=35)
"""How long a retraction is remembered: longer than any message about the flag can still be on its way."""

NO_END_WEEK = 0x7FFFFFFF
"""`expires_week` of a flag without an end; its source's silence ends it."""

_FAR_START_MONTHS = 1
_FAR_END_MONTHS = 30 * 12
_SUM = 1 << 256
_BODY_LIMIT = 512 * 1024
_THREAD_FROM = 32
_B64_OF_32 = 43
_STANDARD = str.maketrans("-_", "+/")


# --- rules of one item --------------------------------------------------------------


def has_postponed_notice(kind: Kind) -> bool:
    """Whether lines about this kind stand on the postponed handle until an officer releases them."""
    return kind.compelling_child_safety


def refusal_of(item: PublicationItem, caller: Caller, vocabulary: Vocabulary, now: datetime) -> str:
    """Which rule kind and months of an item break, as a code from this function only; empty for none.

    1. The tag is 32 bytes: `ready` looks, for all items at once, and says `malformed-rtag`.
    2. The kind exists, and is switched on.
    3. The caller's organisation is registered for it, the caller's node has its
       scope, and only a citizen's portal reports what citizens say of themselves.
    4. `until` is not before `since`, and neither lies absurdly far ahead.
    5. What citizens say of themselves ends, within a year.
    """
    try:  # 2
        kind = vocabulary.kind(item.kind)
    except UnknownCode:
        return "unknown-kind"
    if not kind.enabled:
        return "kind-switched-off"
    if not may_publish(caller, kind):  # 3
        return "kind-not-registered"
    since = month_number(item.since)  # 4
    until = OPEN_END if item.until is None else month_number(item.until)
    if until < since:
        return "until-before-since"
    this_month = month_number(f"{now:%Y-%m}")
    if since > this_month + _FAR_START_MONTHS:
        return "since-far-future"
    if until != OPEN_END and until > this_month + _FAR_END_MONTHS:
        return "until-far-future"
    if kind.self_declared:  # 5
        if until == OPEN_END:
            return "until-missing"
        if until > this_month + vocabulary.limits.self_declared_max_months:
            return "until-far-future"
    return ""


def may_publish(caller: Caller, kind: Kind) -> bool:
    """Whether the signed directory registers this kind for the caller."""
    portal = caller.organisation.class_ == "portaal"
    return (
        caller.organisation.kind(kind.code) is not None
        and kind.domain in caller.node.scopes
        and kind.self_declared == portal
    )


def retention_end(kind: Kind, until: int) -> datetime | None:
    """The instant from which a flag is no longer shown: end of its month `until`, then the kind's retention.

    None for a flag without an end: its source's silence ends it.
    """
    if until == OPEN_END:
        return None
    year, month = 2000 + until // 12, until % 12 + 1
    last_day = datetime(year, month, calendar.monthrange(year, month)[1], tzinfo=UTC)
    return last_day + timedelta(days=1 + kind.retention_days_after_end)


def expires_week(kind: Kind, until: int) -> int:
    """The first whole week after the end of retention, in which the row may go."""
    end = retention_end(kind, until)
    return NO_END_WEEK if end is None else week_of(int(end.timestamp())) + 1


def _bytes32(text: str) -> bytes | None:
    try:
        return unb64u(text, 32)
    except EncodingError:
        return None


def _all_bytes32(texts: Sequence[str]) -> list[bytes | None]:
    """`_bytes32` of each. With a filler each text is 44 characters, so one call decodes well-formed ones."""
    if all(len(text) == _B64_OF_32 for text in texts):
        joined = "A".join([*texts, ""]).translate(_STANDARD)
        try:
            raw = binascii.a2b_base64(joined)
        except binascii.Error:
            raw = b""
        # Every 33rd byte holds the bits beyond 32 bytes: anything there is no canonical text.
        if len(raw) == 33 * len(texts) and not any(raw[32::33]):
            return [raw[at : at + 32] for at in range(0, len(raw), 33)]
    return [_bytes32(text) for text in texts]


# --- what both changes share --------------------------------------------------------


class Line(NamedTuple):
    """What became of one item, and how the access log tells it."""

    result: ItemResult
    kind: Kind | None = None
    lids: tuple[bytes, ...] = ()
    flag: bytes = b""
    """`pub_tag ‖ rtag` of a flag that was stored."""

    def __repr__(self) -> str:
        return f"<Line {self.result.outcome}>"


def result(seq: int, outcome: Outcome, code: str = "") -> ItemResult:
    return ItemResult(seq=seq, outcome=outcome, code=code)


@dataclass(frozen=True, slots=True)
class Change:
    """A message about own flags: what is done for the first of its kind, and repeated for its copies."""

    hub: Hub
    caller: Caller

    @property
    def pub_tag(self) -> bytes:
        return self.hub.rows.pub_tag(self.caller.node.number)

    def record(self, tx: Tx, lines: Sequence[Line]) -> list[Recorded]:
        """One entry per item; a refused one too, in the person's chain where the item names a person."""
        alike: dict[tuple[bool, int, str], Alike] = {}
        recorded: list[Recorded] = []
        for line in lines:
            said, kind = line.result, line.kind
            shown = kind.number if kind is not None and said.outcome in ("stored", "removed") else 0
            refused = said.code or ("stale" if said.outcome == "stale" else "")
            later = kind is not None and has_postponed_notice(kind)
            like = alike.get((later, shown, refused))
            if like is None:
                like = alike[later, shown, refused] = self._alike(tx, later, shown, refused)
            recorded.append(tx.record_alike(like, line.lids, line.flag))
        return recorded

    def _alike(self, tx: Tx, later: bool, shown: int, refused: str) -> Alike:
        bits = shown_bits([shown], self.hub.highest_kind) if shown else b""
        return Alike(self.caller.draft(tx.now, later=later, shown=bits, refused=refused))

    def answer(self, tx: Tx, lines: Sequence[Line], recorded: Sequence[Recorded]) -> Finish:
        """Remember and give the signed receipt; its log proof is that of the message's last entry.

        The entries of a message stand next to each other and the receipt names
        size and root of the log, so one proof is enough and the answer stays small.
        """
        results = [line.result for line in lines]
        made: list[bytes] = []
        now = tx.now

        def receipt(batch: SealedBatch) -> bytes:
            token = issue_change_receipt(
                self.hub.keystore.receipt_signing,
                hub_id=self.hub.settings.hub_id,
                sent=self.caller.signed,
                results=results,
                jti=secrets.token_bytes(16),
                size=batch.size,
                root=batch.root,
                now=now,
            )
            log = batch.receipts(recorded[-1:])
            made.append(msgspec.json.encode(ChangeReceipt(results=results, receipt=token, log=log)))
            return made[-1]

        tx.remember(self.caller, receipt)
        return lambda batch: json_answer(made[-1], batch.index_header(recorded[-1:]))


def json_answer(body: bytes, log_index: str) -> Response:
    """A 200 with the place of its entry in the log."""
    return Response(body, media_type="application/json", headers={LOG_INDEX_HEADER: log_index})


class _Growth:
    """What the flags of one message add to their buckets, written once per bucket.

    A bucket that was empty is confirmed by its first flag. One that was not
    keeps its time: a publication says nothing about its other flags.
    """

    __slots__ = ("_added", "_sums")

    def __init__(self) -> None:
        self._sums: dict[int, int] = {}
        self._added: dict[int, int] = {}

    def count(self, rtag: bytes, seq: int, replaced: int | None) -> None:
        """A flag in its bucket; `replaced` is the seq that it had there before."""
        bucket, term = rtag[0], digest_term(rtag, seq)
        if replaced is None:
            self._added[bucket] = self._added.get(bucket, 0) + 1
        else:
            term -= digest_term(rtag, replaced)
        self._sums[bucket] = self._sums.get(bucket, 0) + term

    def write(self, tx: Tx, pub_tag: bytes) -> None:
        for bucket, growth in self._sums.items():
            row = tx.digest(pub_tag, bucket)
            held, total = (row.live, int.from_bytes(row.sum, "big")) if row else (0, 0)
            confirmed = row.confirmed_at if row and held else tx.seconds
            summed = ((total + growth) % _SUM).to_bytes(32, "big")
            tx.put_digest(DigestRow(pub_tag, bucket, held + self._added.get(bucket, 0), summed, confirmed))


def shrink_digest(tx: Tx, pub_tag: bytes, rtag: bytes, seq: int) -> None:
    """Take a flag out of its bucket."""
    row = tx.digest(pub_tag, rtag[0])
    if row is None:
        return
    total = (int.from_bytes(row.sum, "big") - digest_term(rtag, seq)) % _SUM
    tx.put_digest(row._replace(live=max(row.live - 1, 0), sum=total.to_bytes(32, "big")))


# --- publications -------------------------------------------------------------------


class Ready(NamedTuple):
    """One item, checked and sealed before the lock. `row` is None when it is refused."""

    seq: int
    code: str
    kind: Kind | None
    lids: tuple[bytes, ...]
    row: FlagRow | None

    def __repr__(self) -> str:
        return f"<Ready {self.seq}>"


class _Terms(NamedTuple):
    """What one kind and period comes to: judged once for all items of a message that have it."""

    code: str
    kind: Kind | None
    flag: tuple[int, int, int, int, int]
    """The fields of a `Flag` before its log id."""
    week: int


def ready(hub: Hub, caller: Caller, body: PublicationRequest) -> list[Ready]:
    """Open the points, check each item and seal what may be stored.

    Raises:
        StalePoints, PointsRefused: The points as a whole; nothing is stored.
        Rejected: Two items with one `seq`: no answer could tell them apart.
    """
    if len({item.seq for item in body.items}) != len(body.items):
        raise Rejected("seq-twice")
    points = hub.open_points(caller, body.points, body.version, len(body.items))
    judged: dict[tuple[str, str, str | None], _Terms] = {}
    checked: list[tuple[int, str, Kind | None, tuple[bytes, ...]]] = []
    fresh: list[NewFlag] = []
    for item, n, rtag in zip(body.items, points, _all_bytes32([i.rtag for i in body.items]), strict=True):
        period = item.kind, item.since, item.until
        terms = judged.get(period)
        if terms is None:
            terms = judged[period] = _terms(hub, caller, item)
        code, kind, flag, week = terms
        code = "malformed-rtag" if rtag is None else code
        if kind is None:
            checked.append((item.seq, code, None, ()))
            continue
        lid = log_id(kind.domain, n)
        if rtag is not None and not code:
            fresh.append(NewFlag(kind.domain, n, rtag, item.seq, week, Flag(*flag, lid)))
        checked.append((item.seq, code, kind, (lid,)))
    rows = iter(hub.rows.seal_flags(fresh))
    return [Ready(*item, None if item[1] else next(rows)) for item in checked]


def _terms(hub: Hub, caller: Caller, item: PublicationItem) -> _Terms:
    code = refusal_of(item, caller, hub.vocabulary, caller.at)
    if not hub.vocabulary.has_kind(item.kind):
        return _Terms(code, None, (0, 0, 0, 0, 0), 0)
    kind = hub.vocabulary.kind(item.kind)
    until = OPEN_END if item.until is None else month_number(item.until)
    flag = (kind.number, caller.node.number, month_number(item.since), until, 0)
    return _Terms(code, kind, flag, 0 if code else expires_week(kind, until))


@dataclass(frozen=True, slots=True)
class Publish(Change):
    """Store each item that holds, newest `seq` per flag, unless a marker says that it was retracted."""

    items: Sequence[Ready]

    @property
    def persons(self) -> int:
        return len(self.items)

    def needs(self) -> Needs:
        keys = frozenset([(item.row.pub_tag, item.row.rtag) for item in self.items if item.row])
        return Needs(
            flag_keys=keys,
            digests=frozenset([(tag, rtag[0]) for tag, rtag in keys]),
            messages=frozenset({self.caller.message_key}),
        )

    def apply(self, tx: Tx) -> Finish:
        if (earlier := tx.earlier(self.caller)) is not None:
            return lambda _: earlier
        new: dict[bytes, FlagRow] = {}
        growth = _Growth()
        lines = [self._judge(tx, item, new, growth) for item in self.items]
        tx.put_flags(new.values())
        growth.write(tx, self.pub_tag)
        if new and self.pub_tag not in tx.heartbeats():
            tx.put_heartbeat(HeartbeatRow(self.pub_tag, tx.seconds))
        return self.answer(tx, lines, self.record(tx, lines))

    def _judge(self, tx: Tx, item: Ready, new: dict[bytes, FlagRow], growth: _Growth) -> Line:
        """What becomes of one item, after those before it in the message."""
        seq, code, kind, lids, row = item
        if row is None:
            return Line(result(seq, "refused", code), kind, lids)
        held = new.get(row.rtag) or tx.flag(row.pub_tag, row.rtag)
        if tx.marker(row.pub_tag, row.rtag) or (held and held.seq >= seq):
            return Line(result(seq, "stale"), kind, lids)
        if held and held.idx != row.idx:
            # A flag does not walk to another person: the first one's chain would never tell that it went.
            return Line(result(seq, "refused", "other-person"), kind, lids)
        growth.count(row.rtag, seq, held.seq if held else None)
        new[row.rtag] = self._told_again(row, held) if kind and has_postponed_notice(kind) else row
        return Line(result(seq, "stored"), kind, lids, row.pub_tag + row.rtag)

    def _told_again(self, row: FlagRow, held: FlagRow | None) -> FlagRow:
        """What the citizen was told of a flag stays told when its source changes it."""
        try:
            told = held is not None and self.hub.rows.open_flag_anywhere(held)[1].marks & TOLD
        except RowError:
            return row
        return self.hub.rows.told(row) if told else row


async def publications(hub: Hub, caller: Caller, body: PublicationRequest) -> Response:
    """POST /v1/publications."""
    if len(body.items) < _THREAD_FROM:
        items = ready(hub, caller, body)
    else:
        items = await asyncio.to_thread(ready, hub, caller, body)
    return await hub.sequencer.submit(Publish(hub, caller, items))


# --- retractions --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Retract(Change):
    """Delete own flags by their revealed secrets and leave markers; never anybody else's."""

    items: Sequence[tuple[int, bytes | None]]
    """`seq` and tag; None for a secret that is not exactly 32 bytes."""

    @property
    def persons(self) -> int:
        return len(self.items)

    def needs(self) -> Needs:
        tag = self.pub_tag
        rtags = {rtag for _, rtag in self.items if rtag is not None}
        return Needs(
            flag_keys=frozenset((tag, rtag) for rtag in rtags),
            digests=frozenset((tag, rtag[0]) for rtag in rtags),
            messages=frozenset({self.caller.message_key}),
        )

    def apply(self, tx: Tx) -> Finish:
        if (earlier := tx.earlier(self.caller)) is not None:
            return lambda _: earlier
        lines = [self._remove(tx, seq, rtag) for seq, rtag in self.items]
        return self.answer(tx, lines, self.record(tx, lines))

    def _remove(self, tx: Tx, seq: int, rtag: bytes | None) -> Line:
        if rtag is None:
            return Line(result(seq, "refused", "malformed-secret"))
        tag = self.pub_tag
        held, marker = tx.flag(tag, rtag), tx.marker(tag, rtag)
        until = tx.seconds + int(MARKER_LIFE.total_seconds())
        if held is None:
            if marker is None and not self.hub.unknown_retractions.take(self.caller.node.id, tx.now):
                return Line(result(seq, "refused", "too-many-unknown"))
            tx.put_marker(MarkerRow(tag, rtag, max(seq, marker.seq if marker else 0), until))
            return Line(result(seq, "absent"))
        kind, lids = self._whose(held)
        shrink_digest(tx, tag, rtag, held.seq)
        tx.delete_flag(tag, rtag)
        tx.put_marker(MarkerRow(tag, rtag, max(seq, held.seq), until))
        return Line(result(seq, "removed"), kind, lids)

    def _whose(self, row: FlagRow) -> tuple[Kind | None, tuple[bytes, ...]]:
        """Kind and chain of a row. One that no longer opens is deleted all the same."""
        try:
            _, flag = self.hub.rows.open_flag_anywhere(row)
            return self.hub.vocabulary.kind_by_number(flag.kind), (flag.lid,)
        except (RowError, UnknownCode):
            return None, ()


def tag_of(item: RetractionItem) -> bytes | None:
    """The tag behind a revealed secret; None unless the secret is exactly 32 bytes."""
    secret = _bytes32(item.secret)
    return rtag_of(secret) if secret is not None else None


async def retractions(hub: Hub, caller: Caller, body: RetractionRequest) -> Response:
    """POST /v1/retractions."""
    if len({item.seq for item in body.items}) != len(body.items):
        raise Rejected("seq-twice")
    items = [(item.seq, tag_of(item)) for item in body.items]
    return await hub.sequencer.submit(Retract(hub, caller, items))


SOURCE_CLASS = frozenset({"publish"})


RULES = (
    Rule(
        "/v1/publications",
        PublicationRequest,
        publications,
        who=Who.SOURCE,
        classes=SOURCE_CLASS,
        limit=_BODY_LIMIT,
        answer=ChangeReceipt,
        summary="Publish flags",
    ),
    Rule(
        "/v1/retractions",
        RetractionRequest,
        retractions,
        who=Who.SOURCE,
        classes=SOURCE_CLASS,
        limit=_BODY_LIMIT,
        answer=ChangeReceipt,
        summary="Retract own flags",
    ),
)
