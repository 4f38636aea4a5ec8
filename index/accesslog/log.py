"""Appending to the access log, inside the hub's one writing transaction.

    begin -> append ... spend ... -> flush -> COMMIT -> committed
                                       any failure  -> rolled_back

`append` gives each entry its place; `flush` reads the chains' heads once, numbers
in order, seals, grows the tree, signs the checkpoint and writes it all. Nothing
of a batch is remembered before the database says it holds: `begin` compares
the tree's row with memory and reads anew where they differ.

Source: docs/design/access-log.md, "Storage and the order of things".
"""

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, Dialect, bindparam, func, insert, select, update

from index.aead import seal_box
from index.protocol import entry as fmt
from index.protocol.codec import b64u, lp, u32, u64
from index.protocol.entry import Alike, EntryDraft, Opened
from index.protocol.merkle import Frontier, MerkleError, inclusion_proof, leaf_hash
from index.protocol.messages import LogReceipt
from index.protocol.note import Checkpoint, origin_of, sign_checkpoint
from index.protocol.proof import make_proof
from index.store import bulk, driver

from . import tables
from .errors import LogInconsistent, LogNotBegun
from .keys import LOG_KEYS, LogKeys, SealKey
from .lasthead import Head, HeadKeeper
from .reading import LogReader
from .spent import Spent
from .tiles import Edge, Tree

_EMPTY = "the log is empty, yet a head of it was signed before, as after a restored backup; nothing is signed"
_FORGET_EVERY_S = 60
_HEADS_AT_ONCE = 512
_SALTS = 3 * fmt.SALT_SIZE
_RANDOM = _SALTS + 24
"""Fresh bytes of an entry: three salts and the nonce."""


class Recorded:
    """An entry that has its place in the log; its receipt is made by the batch that holds it."""

    __slots__ = ("asker", "chain", "draft", "handles", "index", "salts")

    def __init__(self, draft: EntryDraft, index: int, handles: list[bytes], asker: bytes) -> None:
        self.draft = draft
        self.index = index
        self.handles = handles
        self.asker = asker
        self.chain = self.salts = b""

    @property
    def opened(self) -> Opened | None:
        """What is sealed in it; None before its batch is flushed."""
        if not self.salts:
            return None
        return Opened(self.salts[:32], self.salts[32:64], self.salts[64:], self.asker, self.chain)


@dataclass(frozen=True, slots=True)
class SealedBatch:
    """What a batch proves, once committed: a signed checkpoint and a receipt for each of its entries.

    `first` is the index of the batch's first entry; `note` the checkpoint as a signed note.
    """

    year: int
    first: int
    size: int
    root: bytes
    note: str
    nodes: Mapping[tuple[int, int], bytes] = field(repr=False)

    def receipt(self, recorded: Recorded) -> LogReceipt:
        """Proof that one entry of this batch is in the log."""
        opened = recorded.opened
        if opened is None or not self.first <= recorded.index < self.size:
            raise LogNotBegun("the entry is not of this batch")
        hashes = inclusion_proof(recorded.index, self.size, self._node)
        return LogReceipt(
            index=recorded.index,
            salt=b64u(opened.salt),
            salt_a=b64u(opened.salt_a),
            part_b=b64u(fmt.part_b(opened.salt_b, opened.chain)),
            asker=opened.asker.decode(),
            proof=make_proof(recorded.index, hashes, self.note),
        )

    def receipts(self, recorded: Iterable[Recorded]) -> list[LogReceipt]:
        return [self.receipt(item) for item in recorded]

    def index_header(self, recorded: Iterable[Recorded]) -> str:
        """Value of `Vlagwijzer-Log-Index`: indexes in the order of the persons, with commas."""
        return ",".join(str(item.index) for item in recorded)

    def _node(self, level: int, number: int) -> bytes:
        return self.nodes[level, number]


@dataclass(slots=True)
class _State:
    """The log as of one committed batch; `flush` makes the next one beside it."""

    year: int
    batch: int
    frontier: Frontier
    edge: Edge
    stored: bool = True


class _TreeRow(NamedTuple):
    """A row of table `tree`, in the order of its columns."""

    year: int
    size: int
    frontier: bytes
    signed_size: int
    signed_root: bytes
    batch: int
    writer: bytes


class _Place(NamedTuple):
    """One line of one chain, as the table has it, and the index of the line before."""

    key: bytes
    n: int
    pointer: bytes
    prev: int


class AccessLog(LogReader):
    """The log with its one writer: what `LogReader` reads, and appending, for one thread per process."""

    def __init__(
        self,
        prefix: str,
        keys: LogKeys,
        *,
        keeper: HeadKeeper | None = None,
        class_of: Callable[[EntryDraft], str] = lambda _: LOG_KEYS,
    ) -> None:
        """
        Args:
            prefix: The origin without its year, `<hub id>/v1/log`.
            keys: The hub's key store.
            keeper: Keeps the last signed head outside the database, so that a
                restored backup is noticed before anything is signed on it.
            class_of: The retention class of an entry: which data key seals it.
        """
        super().__init__(prefix, keys)
        self.spent = Spent()
        self._keeper = keeper
        self._class_of = class_of
        self._writer = secrets.token_bytes(16)
        self._held: _State | None = None
        self._next: _State | None = None
        self._open: _State | None = None
        self._pending: list[Recorded] = []
        self._forgotten_at = 0.0
        self._refusal = ""

    def refuse(self, reason: str) -> None:
        """Sign nothing more in this process. `reason` is for operators and names no person."""
        self._refusal = reason

    @property
    def refusal(self) -> str:
        """Why nothing is signed; empty while it is."""
        return self._refusal

    def check_stored(self, conn: Connection) -> None:
        """Refuse a database that is not the one whose head was signed last; writes nothing.

        Raises:
            LogInconsistent: It is behind or beside it, as after a restored backup.
        """
        newest = driver.rows(conn, _newest_tree(conn.dialect))
        if newest:
            row = _TreeRow(*newest[0])
            frontier = _frontier_of(row)
            edge = Edge.load(conn, row.year, row.size)
            self._check_last_head(conn, _State(row.year, row.batch, frontier, edge))
        elif self._keeper and self._keeper.last() is not None:
            raise LogInconsistent(_EMPTY)

    # --- one batch -------------------------------------------------------------------

    def begin(self, conn: Connection, now: datetime) -> None:
        """Start a batch in the transaction of `conn`, which holds the lock already.

        Raises:
            LogInconsistent: What is stored is not what was signed last.
        """
        if self._refusal:
            raise LogInconsistent(self._refusal)
        newest = driver.rows(conn, _newest_tree(conn.dialect))
        row = _TreeRow(*newest[0]) if newest else None
        self._pending = []
        if row is None:
            self.rolled_back()
        self._open = self._take_up(conn, row, now) if row is not None else None
        if self._open is None or self._open.year < now.year:
            self._open = self._new_year(conn, row, now)

    def append(self, draft: EntryDraft, on: Sequence[bytes] | None = None) -> Recorded:
        """Give an entry its place. It is durable only when the transaction is committed.

        Args:
            on: Handles of this very year to stand on, instead of those of the draft's log ids.

        Raises:
            EntryError: A field has no allowed form; nothing was appended.
        """
        state = self._begun()
        handles = [fmt.handle(state.year, lid, draft.later) for lid in draft.lids]
        handles = list(on) if on is not None else handles
        asker = fmt.asker_part(draft, handles)
        recorded = Recorded(draft, state.frontier.size + len(self._pending), handles, asker)
        self._pending.append(recorded)
        return recorded

    @property
    def year(self) -> int:
        """Year of the log that this batch writes to."""
        return self._begun().year

    def append_alike(self, alike: Alike, lids: Sequence[bytes]) -> Recorded:
        """`append` for one of the many entries of a message; `lids` take the place of the draft's."""
        state = self._begun()
        handles = [fmt.handle(state.year, lid, alike.draft.later) for lid in lids]
        index = state.frontier.size + len(self._pending)
        recorded = Recorded(alike.draft, index, handles, alike.asker(handles))
        self._pending.append(recorded)
        return recorded

    def spend(self, tag: bytes, until: int) -> bool:
        """Spend a one-time value in this transaction; False when it was spent before.

        Args:
            tag: `spent.tag_of(issuer, jti)`.
            until: Unix seconds from which its own time refuses it anyway.

        Raises:
            Full: As many as fit are held; nothing was spent.
        """
        self._begun()
        return self.spent.spend(tag, until)

    def flush(self, conn: Connection, now: datetime) -> SealedBatch:
        """Number, seal, grow, sign and write; the caller commits and only then answers.

        Raises:
            EntryTooLarge: An entry does not fit its fixed size.
            LogInconsistent: The tree's row is not the one this batch began with.
        """
        state = self._begun()
        first = state.frontier.size
        nodes = state.frontier.nodes()
        after = _State(state.year, state.batch + 1, state.frontier.copy(), state.edge.copy())
        if self._pending or self.spent.pending():
            chains = self._number(conn, state.year)
            self._write_entries(conn, now, after, chains, nodes)
            self.spent.write(conn, after.batch)
            self._write_tree(conn, state, after)
            if now.timestamp() - self._forgotten_at > _FORGET_EVERY_S:
                self.spent.forget_ended(conn, int(now.timestamp()))
                self._forgotten_at = now.timestamp()
            self._next = after
        else:
            after.batch = state.batch
        root = after.frontier.root()
        head = Checkpoint(origin_of(self.prefix, state.year), after.frontier.size, root)
        note = sign_checkpoint(head, self._keys.log_signing)
        self._open, self._pending = None, []
        return SealedBatch(state.year, first, head.size, root, note, nodes)

    def committed(self) -> None:
        """The transaction holds. Call before any answer leaves: it keeps the head outside the database."""
        if self._next is None:
            return
        self._held, self._next = self._next, None
        self.spent.keep()
        self._keep_head(self._held)

    def rolled_back(self) -> None:
        """The transaction does not hold, or nobody knows: forget the batch; `begin` reads anew."""
        self._open, self._next, self._held, self._pending = None, None, None, []
        self.spent.drop()

    # --- taking up what is stored ----------------------------------------------------

    def _begun(self) -> _State:
        if self._open is None:
            raise LogNotBegun("the log was not begun")
        return self._open

    def _take_up(self, conn: Connection, row: _TreeRow, now: datetime) -> _State:
        """The stored state, from memory where this process wrote it last, else read and checked."""
        if self._next is not None:
            # `committed` was not called: the row tells whether the last batch holds.
            if row.writer == self._writer and row.batch == self._next.batch:
                self.committed()
            else:
                self.rolled_back()
        held = self._held
        if held and row.writer == self._writer and (row.year, row.batch) == (held.year, held.batch):
            return held
        self._held = None
        frontier = _frontier_of(row)
        state = _State(row.year, row.batch, frontier, Edge.load(conn, row.year, row.size))
        self._check_last_head(conn, state)
        self.spent.load(conn, int(now.timestamp()))
        self._held = state
        self._keep_head(state)
        return state

    def _check_last_head(self, conn: Connection, state: _State) -> None:
        """Refuse to go on where the database is behind, or beside, what was signed last."""
        if Tree(conn, state.year, state.frontier.size).root() != state.frontier.root():
            raise LogInconsistent("the log's rows do not give the root that was signed")
        last = self._keeper.last() if self._keeper else None
        if last is None:
            return
        row = conn.execute(select(tables.tree).where(tables.tree.c.year == last.year)).first()
        if row is None or row.size < last.size or Tree(conn, last.year, last.size).root() != last.root:
            raise LogInconsistent(
                "the database is behind the last signed head, as after a restored backup; "
                "nothing is signed on it"
            )

    def _keep_head(self, state: _State) -> None:
        if self._keeper:
            self._keeper.keep(Head(state.year, state.frontier.size, state.frontier.root()))

    def _new_year(self, conn: Connection, row: _TreeRow | None, now: datetime) -> _State:
        """Open the log of this year; its entry 0 holds the last checkpoint of the year before."""
        if row is None and self._keeper and self._keeper.last() is not None:
            raise LogInconsistent(_EMPTY)
        state = _State(now.year, row.batch if row else 0, Frontier(), Edge(0, {}), stored=False)
        more: dict[str, str | int] = {}
        if row is not None:
            last = Checkpoint(origin_of(self.prefix, row.year), row.signed_size, row.signed_root)
            more["checkpoint"] = sign_checkpoint(last, self._keys.log_signing)
        else:
            self.spent.load(conn, int(now.timestamp()))
        self._open = state
        ts = int(now.timestamp() * 1000)
        self.append(EntryDraft(t="admin", ts=ts, req="", more=more))
        return state

    # --- numbering, sealing, writing --------------------------------------------------

    def _number(self, conn: Connection, year: int) -> list[list[_Place]]:
        """The place of each pending entry in each of its chains, numbered in order of appending."""
        secret = self._keys.log_key(year)
        handles = {handle for recorded in self._pending for handle in recorded.handles}
        keys = {handle: fmt.handle_key(secret, handle) for handle in handles}
        at = _heads_of(conn, secret, keys)
        if any(index >= self._begun().frontier.size for _, index in at.values()):
            raise LogInconsistent("a chain leads outside the log")
        chains: list[list[_Place]] = []
        for recorded in self._pending:
            chain: list[_Place] = []
            for handle in recorded.handles:
                before, prev = at.get(handle, (0, -1))
                n = before + 1
                at[handle] = (n, recorded.index)
                masked = fmt.pointer(secret, handle, n, recorded.index)
                chain.append(_Place(keys[handle], n, masked, prev))
            chains.append(chain)
        return chains

    def _write_entries(
        self,
        conn: Connection,
        now: datetime,
        after: _State,
        chains: Sequence[Sequence[_Place]],
        nodes: dict[tuple[int, int], bytes],
    ) -> None:
        """Seal and store pending entries, chain rows and completed tiles; grow `after` and `nodes`."""
        if not self._pending:
            return
        origin = origin_of(self.prefix, after.year)
        seals: dict[str, SealKey] = {}
        place = lp(origin)
        entries: list[tuple[int | bytes, ...]] = []
        hashes: list[bytes] = []
        random = secrets.token_bytes(_RANDOM * len(self._pending))
        for at, (recorded, chain) in enumerate(zip(self._pending, chains, strict=True)):
            draft, start = recorded.draft, at * _RANDOM
            salts, nonce = random[start : start + _SALTS], random[start + _SALTS : start + _RANDOM]
            part = fmt.chain_part([(line.n, line.prev) for line in chain], draft.dec, **draft.more)
            recorded.salts, recorded.chain = salts, part
            plain = fmt.padded(salts, recorded.asker, part, draft.t)
            class_ = self._class_of(draft)
            seal = seals.get(class_) or seals.setdefault(class_, self._keys.current(class_, now))
            sealed = _seal(seal, place + u64(recorded.index), nonce, plain)
            leaf = fmt.leaf_of(salts[:32], salts[32:64], salts[64:], recorded.asker, part)
            entries.append((after.year, recorded.index, leaf, sealed))
            hashes.append(leaf_hash(leaf))
        made = after.frontier.extend(hashes)
        nodes.update(made)
        tiles = [(after.year, *tile) for tile in after.edge.grow(made)]
        lines = [(line.key, line.n, line.pointer) for chain in chains for line in chain]
        # By key, which is random: the order of rows must not tell which scopes belong to one person.
        lines.sort()
        tables.insert_rows(conn, tables.entry, entries)
        tables.insert_rows(conn, tables.handle, lines)
        tables.insert_rows(conn, tables.tile, tiles)

    def _write_tree(self, conn: Connection, before: _State, after: _State) -> None:
        root, size = after.frontier.root(), after.frontier.size
        values = {
            "size": size,
            "frontier": after.frontier.encode(),
            "signed_size": size,
            "signed_root": root,
            "batch": after.batch,
            "writer": self._writer,
        }
        if not before.stored:
            conn.execute(insert(tables.tree), [{"year": after.year, **values}])
            return
        stands = (before.year, before.batch, before.frontier.size)
        if driver.change(conn, _grow_tree(conn.dialect), (*values.values(), *stands)) != 1:
            raise LogInconsistent("another writer was here inside the lock")


def _seal(key: SealKey, aad: bytes, nonce: bytes, plain: bytes) -> bytes:
    return b"\x01" + u32(key.number) + nonce + seal_box(plain, aad, nonce, key.key)


def _frontier_of(row: _TreeRow) -> Frontier:
    """The frontier of a tree row, refused unless it gives exactly what was signed."""
    try:
        frontier = Frontier.decode(row.size, row.frontier)
    except MerkleError:
        raise LogInconsistent("the tree's frontier does not belong to its size") from None
    if row.size != row.signed_size or frontier.root() != row.signed_root:
        raise LogInconsistent("the tree is not the one that was signed last")
    return frontier


@lru_cache(maxsize=4)
def _newest_tree(dialect: Dialect) -> str:
    # One row a year: too few for a limit, which would be a parameter on one engine and none on the other.
    return str(select(tables.tree).order_by(tables.tree.c.year.desc()).compile(dialect=dialect))


@lru_cache(maxsize=4)
def _grow_tree(dialect: Dialect) -> str:
    """Growth from exactly the state this batch began with; parameters in the order of `_write_tree`."""
    tree = tables.tree.c
    names = ("size", "frontier", "signed_size", "signed_root", "batch", "writer")
    grown = (
        update(tables.tree)
        .where(
            tree.year == bindparam("at_year"),
            tree.batch == bindparam("at_batch"),
            tree.size == bindparam("at_size"),
        )
        .values({name: bindparam(name) for name in names})
    )
    return str(grown.compile(dialect=dialect))


def _heads_of(
    conn: Connection, secret: bytes, keys_of: Mapping[bytes, bytes]
) -> dict[bytes, tuple[int, int]]:
    """Highest n and its index, of each handle that has a line; `keys_of` maps handles to their keys."""
    by_key = {key: handle for handle, key in keys_of.items()}
    found = {}
    for key, n, masked in _last_lines(conn, sorted(by_key)):
        handle = by_key[key]
        found[handle] = (n, fmt.index_behind(secret, handle, n, masked))
    return found


def _last_lines(conn: Connection, keys: Sequence[bytes]) -> list[Any]:
    if bulk.fits(conn, len(keys), bulk.KEYS_FROM):
        return bulk.last_lines(conn, tables.handle, keys)
    rows: list[Any] = []
    for at in range(0, len(keys), _HEADS_AT_ONCE):
        part = keys[at : at + _HEADS_AT_ONCE]
        size = 1 << (len(part) - 1).bit_length()
        rows += driver.rows(conn, _heads_text(conn.dialect, size), (*part, *[b""] * (size - len(part))))
    return rows


@lru_cache(maxsize=32)
def _heads_text(dialect: Dialect, size: int) -> str:
    """The last line of each of `size` keys; compiled once, for a batch asks this under the lock."""
    line = tables.handle
    highest = (
        select(line.c.key, func.max(line.c.n).label("n"))
        .where(line.c.key.in_([bindparam(f"k{number}") for number in range(size)]))
        .group_by(line.c.key)
        .subquery()
    )
    joined = line.join(highest, (line.c.key == highest.c.key) & (line.c.n == highest.c.n))
    statement = select(line.c.key, line.c.n, line.c.pointer).select_from(joined)
    return str(statement.compile(dialect=dialect))
