"""Tiles: the tree's hashes in rows of 256, as C2SP tlog-tiles has them.

Tile (level, number) holds 256 nodes of tree level 8·level. Only complete tiles
are stored. The *edge* is what the incomplete ones hold; it lives in memory and
is rebuilt from the rows after a restart.

Source: C2SP tlog-tiles; docs/design/access-log.md, "Checkpoints, witnesses, quorum", read API.
"""

import re
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, select

from index.protocol.codec import u16
from index.protocol.merkle import HASH_SIZE, Frontier, MerkleError, leaf_hash
from index.protocol.tilereading import WIDTH, number_path

from . import tables
from .errors import LogInconsistent

_TILE_BITS = 8
_PATH = re.compile(r"(entries|[0-9]|[1-5][0-9])/((?:x[0-9]{3}/){0,5})([0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?\Z")


def root_of(hashes: Sequence[bytes]) -> bytes:
    """Root over 2^k node hashes of one level."""
    frontier = Frontier()
    for item in hashes:
        frontier.append(item)
    return frontier.root()


def split(raw: bytes) -> list[bytes]:
    """The hashes in a tile."""
    return [raw[at : at + HASH_SIZE] for at in range(0, len(raw), HASH_SIZE)]


def parse_path(path: str) -> tuple[int | None, int, int | None] | None:
    """Level (None for entries), number and width (None for a full tile) of a tile path.

    `0/x001/x234/067.p/5` is tile 1234067 of level 0 with 5 hashes. None where
    the path has another form.
    """
    found = _PATH.match(path)
    if not found:
        return None
    level, groups, last, width = found.groups()
    number = int(groups.replace("x", "").replace("/", "") + last)
    if number_path(number) != groups + last or (width is not None and int(width) >= WIDTH):
        return None
    return (None if level == "entries" else int(level)), number, (int(width) if width else None)


class Edge:
    """Hashes of the incomplete tile of each level, for one size of the tree."""

    def __init__(self, size: int, levels: dict[int, list[bytes]]) -> None:
        self.size = size
        self.levels = levels

    @classmethod
    def load(cls, conn: Connection, year: int, size: int) -> "Edge":
        """Rebuild the edge of a tree of `size` leaves from entries and complete tiles.

        Raises:
            LogInconsistent: Rows that must be there are missing.
        """
        levels: dict[int, list[bytes]] = {}
        level = 0
        while size >> (_TILE_BITS * level):
            have = size >> (_TILE_BITS * level)
            start = have - have % WIDTH
            levels[level] = _nodes(conn, year, level, start, have)
            level += 1
        return cls(size, levels)

    def copy(self) -> "Edge":
        return Edge(self.size, {level: list(hashes) for level, hashes in self.levels.items()})

    def grow(self, made: Mapping[tuple[int, int], bytes]) -> list[tuple[int, int, bytes]]:
        """Take in the nodes of appended leaves; returns tiles (level, number, hashes) they completed."""
        complete: list[tuple[int, int, bytes]] = []
        for (level, number), hash_ in made.items():
            self.size += not level
            if level % _TILE_BITS:
                continue
            hashes = self.levels.setdefault(level // _TILE_BITS, [])
            hashes.append(hash_)
            if len(hashes) == WIDTH:
                complete.append((level // _TILE_BITS, number // WIDTH, b"".join(hashes)))
                hashes.clear()
        return complete


def _nodes(conn: Connection, year: int, level: int, start: int, end: int) -> list[bytes]:
    """Nodes `start` to `end` of tree level 8·level, from the rows one level down."""
    if level == 0:
        found = [leaf_hash(leaf) for leaf in leaves(conn, year, start, end)]
    else:
        rows = conn.execute(
            select(tables.tile.c.hashes)
            .where(tables.tile.c.year == year, tables.tile.c.level == level - 1)
            .where(tables.tile.c.number >= start, tables.tile.c.number < end)
            .order_by(tables.tile.c.number)
        )
        found = [root_of(split(raw)) for (raw,) in rows]
    if len(found) != end - start:
        raise LogInconsistent("rows of the log are missing")
    return found


def leaves(conn: Connection, year: int, start: int, end: int) -> list[bytes]:
    """The leaves `start` to `end` of a year, fewer where rows are missing."""
    index = tables.entry.c.index
    rows = conn.execute(
        select(tables.entry.c.leaf)
        .where(tables.entry.c.year == year, index >= start, index < end)
        .order_by(index)
    )
    return [leaf for (leaf,) in rows]


class Tree:
    """A committed tree of one year, read node by node; tiles are fetched once per reading."""

    def __init__(self, conn: Connection, year: int, size: int) -> None:
        self.year = year
        self.size = size
        self._conn = conn
        self._tiles: dict[tuple[int, int], list[bytes]] = {}
        self._nodes: dict[tuple[int, int], bytes] = {}

    def node(self, level: int, number: int) -> bytes:
        """Hash of a complete subtree; what `merkle` asks for.

        Raises:
            LogInconsistent: The rows below it are not there.
        """
        found = self._nodes.get((level, number))
        if found is None:
            below = level % _TILE_BITS
            start = number << below
            hashes = self.tile(level // _TILE_BITS, start // WIDTH)
            found = root_of(hashes[start % WIDTH : start % WIDTH + (1 << below)])
            self._nodes[level, number] = found
        return found

    def tile(self, level: int, number: int) -> list[bytes]:
        """The hashes of a tile, as many as there are in a tree of this size."""
        found = self._tiles.get((level, number))
        if found is None:
            found = self._read(level, number)
            self._tiles[level, number] = found
        return found

    def _read(self, level: int, number: int) -> list[bytes]:
        have = self.size >> (_TILE_BITS * level)
        start, end = number * WIDTH, min((number + 1) * WIDTH, have)
        if start >= end:
            return []
        if end - start < WIDTH:
            return _nodes(self._conn, self.year, level, start, end)
        table = tables.tile.c
        raw = self._conn.execute(
            select(table.hashes).where(table.year == self.year, table.level == level, table.number == number)
        ).scalar()
        if raw is None or len(raw) != WIDTH * HASH_SIZE:
            raise LogInconsistent("a complete tile is missing")
        return split(raw)

    def root(self) -> bytes:
        """Root of this tree from its tiles.

        Raises:
            LogInconsistent: Rows are missing.
        """
        return self.frontier().root()

    def frontier(self) -> Frontier:
        """Frontier of this tree from its tiles."""
        levels = [level for level in range(self.size.bit_length()) if self.size >> level & 1][::-1]
        try:
            return Frontier(self.size, [self.node(level, (self.size >> level) - 1) for level in levels])
        except MerkleError:
            raise LogInconsistent("the tree cannot be read") from None


def tile_bytes(conn: Connection, year: int, size: int, path: str) -> tuple[bytes, bool] | None:
    """The body of `tile/<path>` in a log of `size` leaves, and whether it can never change.

    Returns:
        None where the tile is not (yet) there or the path has another form.
    """
    parsed = parse_path(path)
    if parsed is None:
        return None
    level, number, width = parsed
    have = (size >> (_TILE_BITS * (level or 0))) - number * WIDTH
    wanted = width or WIDTH
    if have < wanted:
        return None
    if level is None:
        start = number * WIDTH
        found = leaves(conn, year, start, start + wanted)
        if len(found) != wanted:
            raise LogInconsistent("rows of the log are missing")
        return b"".join(u16(len(leaf)) + leaf for leaf in found), True
    return b"".join(Tree(conn, year, size).tile(level, number)[:wanted]), True
