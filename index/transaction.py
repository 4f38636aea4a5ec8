"""One batch of the hub: what waits together is read, decided, recorded and committed together.

    open and check (no lock) -> BEGIN -> read everything needed -> apply each work in order
    -> flush the log -> write -> COMMIT -> answer each

A route makes a `Work` and hands it to `sequencer.submit`. Before the lock it
opens points and tickets, computes search keys and states in `needs()` which
rows it rests on. Inside the transaction `apply(tx)` sees those rows together
with what earlier works of the same batch wrote, and writes through `tx`. What
it returns is called after the commit and makes the answer: an answer that is
not in the log was never given.

How to write a `Work`:

* Check first, write after. A `HubError` raised before anything was written is
  an expected refusal: the sequencer records it as an entry without subjects
  and the caller gets its problem. To refuse with subjects, `record` the entry
  yourself and return a function that gives the problem.
* Any other exception, or a `HubError` after a write, rolls the whole batch
  back, and each work runs once more alone. So `apply` may be called twice; it
  keeps nothing on `self` that a second call would trip over.
* `apply` does no I/O of its own. Rows not named in `needs()` cannot be read:
  asking for one raises `NotPrefetched`.

Source: docs/design/access-log.md, "Storage and the order of things".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from starlette.responses import Response

    from index.accesslog.log import Recorded, SealedBatch
    from index.gate import Caller
    from index.protocol.entry import Alike, EntryDraft

K = TypeVar("K")
V = TypeVar("V")


class FlagRow(NamedTuple):
    """A flag at rest. Key `(pub_tag, rtag)`; from `expires_week` (`rows.week_of`) on it counts as gone."""

    pub_tag: bytes
    rtag: bytes
    idx: bytes
    sealed: bytes
    escrow: bytes
    seq: int
    expires_week: int


class MarkerRow(NamedTuple):
    """What remains of a retracted flag until `until` (Unix seconds)."""

    pub_tag: bytes
    rtag: bytes
    seq: int
    until: int


class DigestRow(NamedTuple):
    """One of a publisher's 256 buckets. `confirmed_at` in Unix seconds.

    `live` is how many flags stand in it, `sum` 32 bytes, big-endian. A new bucket starts
    with the time of its first publication: publishing is the first confirmation.
    """

    pub_tag: bytes
    bucket: int
    live: int
    sum: bytes
    confirmed_at: int


class HeartbeatRow(NamedTuple):
    """When a publisher last confirmed anything, Unix seconds. Set at its first publication too."""

    pub_tag: bytes
    confirmed_at: int


class DirectiveRow(NamedTuple):
    """One ledger entry of one person in one scope; never changed."""

    idx_dir: bytes
    number: int
    sealed: bytes
    escrow: bytes
    prev_hash: bytes
    hash: bytes


class ChoiceRow(NamedTuple):
    """The folded directives in force, rewritten in the transaction of each choice."""

    idx_dir: bytes
    sealed: bytes
    escrow: bytes


class RelationRow(NamedTuple):
    """A case relation or a citizen session in one scope. `key` is 16 random bytes."""

    key: bytes
    idx_rel: bytes
    sealed: bytes
    escrow: bytes


class ClaimRow(NamedTuple):
    """What one publisher is asked to answer about one of its flags. `tag` stands for the publisher."""

    key: bytes
    tag: bytes
    sealed: bytes
    escrow: bytes


class ReviewRow(NamedTuple):
    """A declared break-glass, sealed. `open` is 1 until the privacy officer is done with it."""

    key: bytes
    year: int
    open: int
    sealed: bytes


class PostponedRow(NamedTuple):
    """A line whose notice is postponed, sealed; gone once it is released."""

    key: bytes
    sealed: bytes


class InquiryRow(NamedTuple):
    """What an officer asks about one entry, sealed. `tag` stands for the node; `open` is 1 until closed."""

    key: bytes
    tag: bytes
    open: int
    sealed: bytes


class WatchRow(NamedTuple):
    """One person in one scope that a visit wants signals about, sealed. `due`: Unix seconds, at random."""

    key: bytes
    visit: bytes
    due: int
    sealed: bytes


class ErrandRow(NamedTuple):
    """What waits until a node fetches it, sealed. `tag` stands for the node and what sort it is."""

    key: bytes
    tag: bytes
    sealed: bytes


class MessageRow(NamedTuple):
    """A message that was carried out: the same message gives the same receipt."""

    node_tag: bytes
    message: str
    body: bytes
    sealed: bytes
    at: int


class NotPrefetched(RuntimeError):
    """A row was asked for that `needs()` did not name: a programming error, the batch rolls back."""


@dataclass(frozen=True, slots=True)
class Needs:
    """Which rows a work rests on, by key. All are read for the whole batch at once.

    Args:
        flags: `idx` values: all flags under each, with the digest of each flag's bucket.
        flag_keys: `(pub_tag, rtag)`: the flag and the marker under that key.
        digests: `(pub_tag, bucket)`.
        publishers: `pub_tag` values: all 256 buckets of each (confirmation).
        buckets: `(pub_tag, bucket)`: all flags of a publisher in one bucket (reconciliation).
        choices: `idx_dir` values: the folded state.
        ledgers: `idx_dir` values: all directives, by rising number.
        relations: `idx_rel` values: all relation rows under each.
        reviews: Keys of declared break-glass.
        watches: Tags of visits: all rows of each.
        errands: Keys of what waits for a node.
        postponed, inquiries: Keys of what officers work on.
        messages: `(node_tag, message id)`; see `Tx.earlier`.
    """

    flags: frozenset[bytes] = frozenset()
    flag_keys: frozenset[tuple[bytes, bytes]] = frozenset()
    digests: frozenset[tuple[bytes, int]] = frozenset()
    publishers: frozenset[bytes] = frozenset()
    buckets: frozenset[tuple[bytes, int]] = frozenset()
    choices: frozenset[bytes] = frozenset()
    ledgers: frozenset[bytes] = frozenset()
    relations: frozenset[bytes] = frozenset()
    reviews: frozenset[bytes] = frozenset()
    messages: frozenset[tuple[bytes, str]] = frozenset()
    postponed: frozenset[bytes] = frozenset()
    inquiries: frozenset[bytes] = frozenset()
    watches: frozenset[bytes] = frozenset()
    errands: frozenset[bytes] = frozenset()

    @classmethod
    def union(cls, parts: Iterable[Needs]) -> Needs:
        """Everything that any of several works needs."""
        listed = list(parts)
        # By name and not by `fields`: this runs for each batch under the lock.
        return cls(
            frozenset().union(*[part.flags for part in listed]),
            frozenset().union(*[part.flag_keys for part in listed]),
            frozenset().union(*[part.digests for part in listed]),
            frozenset().union(*[part.publishers for part in listed]),
            frozenset().union(*[part.buckets for part in listed]),
            frozenset().union(*[part.choices for part in listed]),
            frozenset().union(*[part.ledgers for part in listed]),
            frozenset().union(*[part.relations for part in listed]),
            frozenset().union(*[part.reviews for part in listed]),
            frozenset().union(*[part.messages for part in listed]),
            frozenset().union(*[part.postponed for part in listed]),
            frozenset().union(*[part.inquiries for part in listed]),
            frozenset().union(*[part.watches for part in listed]),
            frozenset().union(*[part.errands for part in listed]),
        )


Finish = Callable[["SealedBatch"], "bytes | Response"]
"""Called after the commit, outside the lock, with the proofs of the batch.

Bytes are the JSON of a 200; a `Response` is sent as it is.
"""


class Work(Protocol):
    """One request, opened and checked as far as that goes without the lock.

    `caller` is None for the hub's own work; otherwise the sequencer spends its
    `jti` before `apply` and refuses a seen one as unauthenticated. `persons`
    counts against the batch's 64; a work larger than that runs alone.
    """

    @property
    def caller(self) -> Caller | None: ...

    @property
    def persons(self) -> int: ...

    def needs(self) -> Needs: ...

    def apply(self, tx: Tx) -> Finish: ...


@dataclass(slots=True)
class Read:
    """The rows of a batch as read from the store, grouped the way `Tx` hands them out."""

    flags: dict[bytes, dict[tuple[bytes, bytes], FlagRow]] = field(default_factory=dict)
    by_key: dict[tuple[bytes, bytes], FlagRow | None] = field(default_factory=dict)
    markers: dict[tuple[bytes, bytes], MarkerRow | None] = field(default_factory=dict)
    digests: dict[tuple[bytes, int], DigestRow | None] = field(default_factory=dict)
    publishers: frozenset[bytes] = frozenset()
    buckets: dict[tuple[bytes, int], dict[bytes, FlagRow]] = field(default_factory=dict)
    choices: dict[bytes, ChoiceRow | None] = field(default_factory=dict)
    ledgers: dict[bytes, list[DirectiveRow]] = field(default_factory=dict)
    relations: dict[bytes, dict[bytes, RelationRow]] = field(default_factory=dict)
    reviews: dict[bytes, ReviewRow | None] = field(default_factory=dict)
    messages: dict[tuple[bytes, str], MessageRow | None] = field(default_factory=dict)
    postponed: dict[bytes, PostponedRow | None] = field(default_factory=dict)
    inquiries: dict[bytes, InquiryRow | None] = field(default_factory=dict)
    heartbeats: dict[bytes, int] = field(default_factory=dict)
    watches: dict[bytes, dict[bytes, WatchRow]] = field(default_factory=dict)
    errands: dict[bytes, ErrandRow | None] = field(default_factory=dict)


@dataclass(slots=True)
class Written:
    """What a batch will write; None stands for a deleted row. Rows are written in shuffled order."""

    flags: dict[tuple[bytes, bytes], FlagRow | None] = field(default_factory=dict)
    markers: dict[tuple[bytes, bytes], MarkerRow] = field(default_factory=dict)
    digests: dict[tuple[bytes, int], DigestRow] = field(default_factory=dict)
    heartbeats: dict[bytes, HeartbeatRow] = field(default_factory=dict)
    directives: list[DirectiveRow] = field(default_factory=list)
    choices: dict[bytes, ChoiceRow] = field(default_factory=dict)
    relations: dict[bytes, RelationRow] = field(default_factory=dict)
    claims: dict[bytes, ClaimRow | None] = field(default_factory=dict)
    reviews: dict[bytes, ReviewRow] = field(default_factory=dict)
    messages: list[tuple[Caller, Callable[[SealedBatch], bytes]]] = field(default_factory=list)
    later: list[tuple[Recorded, tuple[bytes, ...], bytes]] = field(default_factory=list)
    """Lines on postponed handles with their log ids and the key of the flag that they made known, empty
    for none: the sequencer makes rows of them."""
    postponed: dict[bytes, PostponedRow | None] = field(default_factory=dict)
    inquiries: dict[bytes, InquiryRow] = field(default_factory=dict)
    watches: dict[bytes, WatchRow | None] = field(default_factory=dict)
    errands: dict[bytes, ErrandRow | None] = field(default_factory=dict)


class Ports(Protocol):
    """What `Tx` needs of its surroundings; the sequencer provides it."""

    connection: Connection

    def spend(self, tag: bytes, until: int) -> bool: ...

    def append(self, draft: EntryDraft) -> Recorded: ...

    def append_alike(self, alike: Alike, lids: Sequence[bytes]) -> Recorded: ...

    def open_message(self, row: MessageRow) -> bytes: ...


class Tx:
    """The rows of one batch, with the writes of the works that came earlier in it.

    `now` is the hub's clock when the batch began, aware UTC; `seconds` the
    same as Unix seconds. It dates rows and entries; order never rests on it.
    """

    def __init__(self, now: datetime, read: Read, ports: Ports) -> None:
        self.now = now
        self.seconds = int(now.timestamp())
        self.written = Written()
        self.touched = 0
        self._read = read
        self._ports = ports

    @property
    def connection(self) -> Connection:
        """For reads of the access log only (`AccessLog.lines_of`); never for writes, never for our tables."""
        return self._ports.connection

    # --- flags -----------------------------------------------------------------------

    def flags(self, idx: bytes) -> list[FlagRow]:
        """All flags under a search key, any order (needs `flags`)."""
        return list(_have(self._read.flags, idx).values())

    def flag(self, pub_tag: bytes, rtag: bytes) -> FlagRow | None:
        """The flag under a key (needs `flag_keys`)."""
        return _have(self._read.by_key, (pub_tag, rtag))

    def marker(self, pub_tag: bytes, rtag: bytes) -> MarkerRow | None:
        """The marker under a key (needs `flag_keys`)."""
        return _have(self._read.markers, (pub_tag, rtag))

    def bucket_flags(self, pub_tag: bytes, bucket: int) -> list[FlagRow]:
        """All flags of a publisher in one bucket (needs `buckets`)."""
        return list(_have(self._read.buckets, (pub_tag, bucket)).values())

    def digest(self, pub_tag: bytes, bucket: int) -> DigestRow | None:
        """One bucket (needs `digests`, `publishers`, or `flags` for the buckets of found flags)."""
        if pub_tag in self._read.publishers:
            return self._read.digests.get((pub_tag, bucket))
        return _have(self._read.digests, (pub_tag, bucket))

    def heartbeats(self) -> Mapping[bytes, int]:
        """`pub_tag` -> Unix seconds of the last confirmation, of every publisher. Always read."""
        return self._read.heartbeats

    def put_flag(self, row: FlagRow) -> None:
        """Insert a flag or replace the one under its key."""
        self.delete_flag(row.pub_tag, row.rtag)
        key = (row.pub_tag, row.rtag)
        self.written.flags[key] = row
        self._read.by_key[key] = row
        if row.idx in self._read.flags:
            self._read.flags[row.idx][key] = row
        bucket = self._read.buckets.get((row.pub_tag, row.rtag[0]))
        if bucket is not None:
            bucket[row.rtag] = row

    def put_flags(self, rows: Iterable[FlagRow]) -> None:
        """`put_flag` for many, none of which walks to another search key."""
        if self._read.flags or self._read.buckets:
            for row in rows:
                self.put_flag(row)
            return
        found = {(row.pub_tag, row.rtag): row for row in rows}
        self.touched += len(found)
        self.written.flags.update(found)
        self._read.by_key.update(found)

    def delete_flag(self, pub_tag: bytes, rtag: bytes) -> None:
        """Delete a flag; none there is harmless."""
        self.touched += 1
        key = (pub_tag, rtag)
        self.written.flags[key] = None
        self._read.by_key[key] = None
        for group in self._read.flags.values():
            group.pop(key, None)
        bucket = self._read.buckets.get((pub_tag, rtag[0]))
        if bucket is not None:
            bucket.pop(rtag, None)

    def put_marker(self, row: MarkerRow) -> None:
        self.touched += 1
        self.written.markers[(row.pub_tag, row.rtag)] = row
        self._read.markers[(row.pub_tag, row.rtag)] = row

    def put_digest(self, row: DigestRow) -> None:
        self.touched += 1
        self.written.digests[(row.pub_tag, row.bucket)] = row
        self._read.digests[(row.pub_tag, row.bucket)] = row

    def put_heartbeat(self, row: HeartbeatRow) -> None:
        self.touched += 1
        self.written.heartbeats[row.pub_tag] = row
        self._read.heartbeats[row.pub_tag] = row.confirmed_at

    # --- choices ---------------------------------------------------------------------

    def choice(self, idx_dir: bytes) -> ChoiceRow | None:
        """The folded state of one person in one scope (needs `choices`)."""
        return _have(self._read.choices, idx_dir)

    def ledger(self, idx_dir: bytes) -> list[DirectiveRow]:
        """All directives, by rising number (needs `ledgers`)."""
        entries: list[DirectiveRow] = _have(self._read.ledgers, idx_dir)
        return list(entries)

    def append_directive(self, row: DirectiveRow) -> None:
        """Add to the ledger; an existing number makes the database refuse the batch."""
        self.touched += 1
        self.written.directives.append(row)
        if row.idx_dir in self._read.ledgers:
            self._read.ledgers[row.idx_dir].append(row)

    def put_choice(self, row: ChoiceRow) -> None:
        self.touched += 1
        self.written.choices[row.idx_dir] = row
        self._read.choices[row.idx_dir] = row

    # --- claims ----------------------------------------------------------------------

    def put_claim(self, row: ClaimRow) -> None:
        self.touched += 1
        self.written.claims[row.key] = row

    def delete_claim(self, key: bytes) -> None:
        """Nothing is asked any more; none there is harmless."""
        self.touched += 1
        self.written.claims[key] = None

    # --- relations -------------------------------------------------------------------

    def relations(self, idx_rel: bytes) -> list[RelationRow]:
        """All relation rows under a search key (needs `relations`)."""
        return list(_have(self._read.relations, idx_rel).values())

    def put_relation(self, row: RelationRow) -> None:
        self.touched += 1
        self.written.relations[row.key] = row
        if row.idx_rel in self._read.relations:
            self._read.relations[row.idx_rel][row.key] = row

    # --- reviews of break-glass --------------------------------------------------------

    def review(self, key: bytes) -> ReviewRow | None:
        """A declared break-glass (needs `reviews`)."""
        return _have(self._read.reviews, key)

    def put_review(self, row: ReviewRow) -> None:
        self.touched += 1
        self.written.reviews[row.key] = row
        self._read.reviews[row.key] = row

    # --- what officers work on ---------------------------------------------------------

    def postponed(self, key: bytes) -> PostponedRow | None:
        """A line whose notice is postponed (needs `postponed`)."""
        return _have(self._read.postponed, key)

    def put_postponed(self, key: bytes, row: PostponedRow | None) -> None:
        """Another term for a line; None once it is released."""
        self.touched += 1
        self.written.postponed[key] = row
        self._read.postponed[key] = row

    def inquiry(self, key: bytes) -> InquiryRow | None:
        """A question of an officer (needs `inquiries`)."""
        return _have(self._read.inquiries, key)

    def put_inquiry(self, row: InquiryRow) -> None:
        self.touched += 1
        self.written.inquiries[row.key] = row
        self._read.inquiries[row.key] = row

    # --- what nodes are told -----------------------------------------------------------

    def watches(self, visit: bytes) -> list[WatchRow]:
        """Everything watched for a visit (needs `watches`)."""
        return list(_have(self._read.watches, visit).values())

    def put_watch(self, row: WatchRow) -> None:
        self.touched += 1
        self.written.watches[row.key] = row
        if row.visit in self._read.watches:
            self._read.watches[row.visit][row.key] = row

    def delete_watch(self, row: WatchRow) -> None:
        """Watch no more; none there is harmless."""
        self.touched += 1
        self.written.watches[row.key] = None
        self._read.watches.get(row.visit, {}).pop(row.key, None)

    def errand(self, key: bytes) -> ErrandRow | None:
        """What waits for a node under a key (needs `errands`)."""
        return _have(self._read.errands, key)

    def put_errand(self, key: bytes, row: ErrandRow | None) -> None:
        """Something that waits for a node; None once it has it."""
        self.touched += 1
        self.written.errands[key] = row
        self._read.errands[key] = row

    # --- spending, recording, remembering --------------------------------------------

    def spend(self, tag: bytes, until: int) -> bool:
        """Spend a one-time value in this transaction.

        Args:
            tag: 16 bytes, `spent.tag_of(issuer, jti)`.
            until: Unix seconds after which the value is refused by its own time anyway.

        Returns:
            False when it was spent before: then nothing changes.
        """
        fresh = self._ports.spend(tag, until)
        self.touched += fresh
        return fresh

    def record(self, draft: EntryDraft) -> Recorded:
        """Add an entry to the access log; its proof is in the `SealedBatch` given to `Finish`."""
        self.touched += 1
        recorded = self._ports.append(draft)
        if draft.later and draft.lids:
            self.written.later.append((recorded, draft.lids, b""))
        return recorded

    def record_alike(self, alike: Alike, lids: Sequence[bytes], flag: bytes = b"") -> Recorded:
        """`record` one of the many entries of a message; `lids` take the place of the draft's.

        Args:
            flag: `pub_tag ‖ rtag` of the flag that the entry makes known.
        """
        self.touched += 1
        recorded = self._ports.append_alike(alike, lids)
        if alike.draft.later and lids:
            self.written.later.append((recorded, tuple(lids), flag))
        return recorded

    def earlier(self, caller: Caller) -> bytes | None:
        """What `remember` stored when this very message came before, else None (needs `messages`).

        The message is `caller.message_key`. Nothing may be spent or written
        again for a message that is here.

        Raises:
            MessageConflict: The same message id came with another body.
        """
        from index.errors import MessageConflict

        row = _have(self._read.messages, caller.message_key)
        if row is None:
            return None
        if row.body != caller.body_digest:
            raise MessageConflict
        return self._ports.open_message(row)

    def remember(self, caller: Caller, receipt: Callable[[SealedBatch], bytes]) -> None:
        """Store what the same message gets when it comes again, sealed, in this transaction.

        `receipt` is called once after the log is flushed and before the commit,
        so it may hold proofs; what it returns is not limited in size, but keep it small.
        """
        self.touched += 1
        self.written.messages.append((caller, receipt))
        key = caller.message_key
        if key in self._read.messages:
            # A copy never shares a batch with the first (`Sequencer._take`), for there is no receipt yet.
            self._read.messages[key] = MessageRow(key[0], key[1], caller.body_digest, b"", self.seconds)


def _have(rows: dict[K, V], key: K) -> V:
    try:
        return rows[key]
    except KeyError:
        raise NotPrefetched("a row was read that needs() did not name") from None
