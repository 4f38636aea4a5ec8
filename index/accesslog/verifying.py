"""Does the whole log still hold? Read everything back and compute it anew.

    1. every leaf from 0 on is there, and the root over them is the one signed last
    2. every entry that is kept opens, and gives its leaf; one that does not open
       lies in the range of an `erase` entry
    3. the numbers of every chain run from 1, each naming the line before it
    4. the table of chains holds exactly those lines
    5. the stored tiles are those of the leaves
    6. where the nodes' keys are given: every statement bears its node's signature
    7. what each daily entry `heads` says of the ends of the chains is so

Left to others: whether the log was replaced as a whole. That shows in receipts,
in the officer's own last checkpoint and with witnesses.

Source: docs/design/access-log.md, "Views and verification".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from msgspec import UNSET
from sqlalchemy import Connection, func, select

from index.protocol import entry as fmt
from index.protocol.codec import b64u, unb64u
from index.protocol.entry import Asker, Chain, EntryError, Opened, erases
from index.protocol.merkle import Frontier, leaf_hash
from index.protocol.statement import Signed, canonical, verify_signature

from . import tables
from .errors import LogInconsistent
from .heads import digest_of, listed
from .reading import LogReader, SignedHead
from .tiles import Edge

_CHUNK = 1000
_MOST_PROBLEMS = 100
_KEYS_AT_ONCE = 500

NodeKeys = Callable[[str], Sequence[bytes]]
"""Ed25519 public keys that a node id ever had in the directory."""


@dataclass(frozen=True, slots=True)
class LogStatus:
    """Outcome of reading the whole log of one year.

    `last` is the hub's time in the newest entry that opens; `problems` is empty
    exactly when everything holds, and names indexes, never persons.
    """

    year: int
    size: int
    root: bytes
    opened: int
    erased: int
    last: datetime | None
    problems: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not self.problems


def verify_all(
    conn: Connection, reader: LogReader, *, year: int | None = None, node_keys: NodeKeys | None = None
) -> LogStatus | None:
    """Verify one year's log, the newest where `year` is None; None before the first entry.

    Reads in chunks and keeps one head per chain in memory. Run it on a reading
    connection of its own, outside the writer's transaction.
    """
    head = reader.head(conn, year)
    if head is None:
        return None
    check = _Pass(conn, reader, head, node_keys)
    for start in range(0, head.size, _CHUNK):
        check.chunk(start, min(start + _CHUNK, head.size))
    check.finish()
    return LogStatus(
        head.year,
        head.size,
        head.root,
        check.opened,
        len(check.unreadable),
        datetime.fromtimestamp(check.last / 1000, UTC) if check.last else None,
        tuple(check.problems),
    )


class _Pass:
    """One reading of a log from its first entry to its last."""

    def __init__(
        self, conn: Connection, reader: LogReader, head: SignedHead, node_keys: NodeKeys | None
    ) -> None:
        self.opened = 0
        self.last = 0
        self.unreadable: list[int] = []
        self.problems: list[str] = []
        self._conn = conn
        self._reader = reader
        self._head = head
        self._secret = reader.log_key(head.year)
        self._node_keys = node_keys
        self._frontier = Frontier()
        self._edge = Edge(0, {})
        self._chains: dict[bytes, tuple[int, int]] = {}
        self._erasures = _erasures_of_other_years(conn, reader, head.year)
        self._grown: list[tuple[int, bytes, int]] = []

    def chunk(self, start: int, end: int) -> None:
        """Read the entries `start` to `end` and what the other tables say of them."""
        column = tables.entry.c
        rows = self._conn.execute(
            select(column.index, column.leaf, column.sealed)
            .where(column.year == self._head.year, column.index >= start, column.index < end)
            .order_by(column.index)
        ).all()
        if [row[0] for row in rows] != list(range(start, end)):  # 1
            self._problem(f"entries between {start} and {end} are missing")
        lines: dict[tuple[bytes, int], tuple[int, bytes]] = {}
        complete: list[tuple[int, int, bytes]] = []
        for index, leaf, sealed in rows:
            complete += self._edge.grow(self._frontier.append(leaf_hash(leaf)))
            try:
                entry = self._reader.open_entry(self._head.year, index, leaf, sealed)
            except LogInconsistent as error:  # 2
                self._problem(str(error))
                continue
            if entry is None:
                self.unreadable.append(index)
            else:
                self._entry(index, entry, lines)
        self._compare_lines(lines)
        self._compare_tiles(complete)

    def finish(self) -> None:
        """What can be said only when everything was read."""
        if self._frontier.size != self._head.size or self._frontier.root() != self._head.root:  # 1
            self._problem("the root over the leaves is not the one that was signed")
        for index in self.unreadable:  # 2
            if not any(erases(chain, index) for chain in self._erasures):
                self._problem(f"entry {index} is gone without an erasure")
        highest = {fmt.handle_key(self._secret, handle): n for handle, (n, _) in self._chains.items()}
        by_key = {fmt.handle_key(self._secret, handle): handle for handle in self._chains}
        line, keys = tables.handle.c, sorted(highest)
        for at in range(0, len(keys), _KEYS_AT_ONCE):  # 4
            part = keys[at : at + _KEYS_AT_ONCE]
            rows = self._conn.execute(
                select(line.key, func.max(line.n)).where(line.key.in_(part)).group_by(line.key)
            )
            for key, n in rows:
                # The newest line of a chain may be the one that was erased: its term can be shorter.
                if n != highest[key] and not self._were_erased(key, highest[key], by_key[key]):
                    self._problem("the chain table has lines that no entry has")
        column = tables.entry.c
        beyond = select(func.count()).where(column.year == self._head.year, column.index >= self._head.size)
        if self._conn.execute(beyond).scalar():
            self._problem("entries stand beyond the signed size")

    def _entry(self, index: int, entry: Opened, lines: dict[tuple[bytes, int], tuple[int, bytes]]) -> None:
        try:
            asker, chain = fmt.parse_asker(entry.asker), fmt.parse_chain(entry.chain)
        except EntryError:
            self._problem(f"entry {index} has parts of a wrong form")
            return
        self.opened += 1
        self.last = asker.ts
        if asker.t == "erase" and chain.year in (UNSET, self._head.year):
            self._erasures.append(chain)
        if asker.t == "heads" and chain.year in (UNSET, self._head.year):
            self._heads(index, chain)
        handles = fmt.read_handles(asker)
        if len(handles) != len(chain.subj):
            self._problem(f"entry {index} has other subjects than handles")
            return
        for handle, (n, prev) in zip(handles, chain.subj, strict=True):  # 3
            before = self._chains.get(handle, (0, -1))
            follows = (n, prev) == (before[0] + 1, before[1])
            # Where lines were erased, only the order can be checked.
            if not follows and not (self.unreadable and n > before[0] and before[1] < prev < index):
                self._problem(f"entry {index} does not follow the line before it in a chain")
            self._chains[handle] = (n, index)
            self._grown.append((index, handle, n))
            masked = fmt.pointer(self._secret, handle, n, index)
            lines[fmt.handle_key(self._secret, handle), n] = (index, masked)
        if self._node_keys is not None and asker.nodeSig and not self._signed(asker):  # 6
            self._problem(f"entry {index} does not bear its node's signature")

    def _were_erased(self, key: bytes, after: int, handle: bytes) -> bool:
        """Whether every line of a chain beyond number `after` is one that no longer opens."""
        line = tables.handle.c
        rows = self._conn.execute(select(line.n, line.pointer).where(line.key == key, line.n > after)).all()
        gone = set(self.unreadable)
        return all(fmt.index_behind(self._secret, handle, n, masked) in gone for n, masked in rows)

    def _heads(self, index: int, chain: Chain) -> None:
        """7: an entry `heads` says what was read; lines erased since cannot be compared."""
        if not isinstance(chain.from_, int) or not isinstance(chain.to, int):
            self._problem(f"entry {index} does not say which lines it is about")
            return
        ends = {handle: (n, at) for at, handle, n in self._grown if chain.from_ <= at <= chain.to}
        whole = not any(chain.from_ <= gone <= chain.to for gone in self.unreadable)
        if whole and (chain.count, chain.digest) != (len(ends), b64u(digest_of(listed(ends)))):
            self._problem(f"entry {index} contradicts the ends of the chains it is about")
        self._grown = [one for one in self._grown if one[0] > chain.to]

    def _signed(self, asker: Asker) -> bool:
        try:
            statement = fmt.statement_of(asker, self._reader.prefix)
            signature = unb64u(asker.nodeSig, 64)
        except ValueError:
            return False
        keys = self._node_keys(asker.node) if self._node_keys else ()
        return verify_signature(Signed(statement, canonical(statement), signature), keys)

    def _compare_lines(self, lines: dict[tuple[bytes, int], tuple[int, bytes]]) -> None:
        """4: the chain table has each line, at its index."""
        line = tables.handle.c
        keys = sorted({key for key, _ in lines})
        stored: dict[tuple[bytes, int], bytes] = {}
        for at in range(0, len(keys), _KEYS_AT_ONCE):
            rows = self._conn.execute(
                select(line.key, line.n, line.pointer).where(line.key.in_(keys[at : at + _KEYS_AT_ONCE]))
            )
            stored.update({(key, n): masked for key, n, masked in rows})
        for place, (index, masked) in lines.items():
            if stored.get(place) != masked:
                self._problem(f"the chain table does not lead to entry {index}")

    def _compare_tiles(self, complete: list[tuple[int, int, bytes]]) -> None:
        """5: a tile that became complete is stored as the leaves give it."""
        column = tables.tile.c
        for level, number, hashes in complete:
            stored = self._conn.execute(
                select(column.hashes).where(
                    column.year == self._head.year, column.level == level, column.number == number
                )
            ).scalar()
            if stored != hashes:
                self._problem(f"tile {number} of level {level} is not that of the leaves")

    def _problem(self, text: str) -> None:
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(text)


def _erasures_of_other_years(conn: Connection, reader: LogReader, year: int) -> list[Chain]:
    """Chain parts of the `erase` entries about a year that stand in the logs of others."""
    column = tables.erasure.c
    rows = conn.execute(
        select(column.log_year, column.index).where(column.year == year, column.log_year != year)
    ).all()
    found = (reader.at(conn, log_year, index) for log_year, index in rows)
    return [fmt.parse_chain(one.opened.chain) for one in found if one and one.asker.t == "erase"]
