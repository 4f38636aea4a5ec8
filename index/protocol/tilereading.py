"""Reading a log through its tiles: a tree of some size, and the proofs in it, from what is served to all.

    tree = TileTree(size)
    proof = read(tree, lambda: inclusion_proof(7, size, tree.node), fetch)

A tile is asked for when a proof needs it. Nothing read is believed: the proof
made of it either leads to a signed root or does not.

Source: C2SP tlog-tiles; docs/design/access-log.md, "Read API".
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from .merkle import HASH_SIZE, Frontier, MerkleError, range_hash

WIDTH = 256
TILE_BITS = 8
_LEAF = 33
Made = TypeVar("Made")


class TileMissing(Exception):
    """A tile that was not read yet; `path` is the one below `tile/`."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class TileError(ValueError):
    """A tile of another length than the log's size gives it."""


def number_path(number: int) -> str:
    """A tile number in groups of three digits, all but the last marked `x`."""
    digits = str(number)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    return "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])


def tile_path(level: int | None, number: int, size: int) -> str:
    """The path below `tile/` of a tile in a log of `size` leaves; `level` None is the entries.

    Raises:
        MerkleError: There is no such tile at this size.
    """
    width = min((size >> (TILE_BITS * (level or 0))) - number * WIDTH, WIDTH)
    if width <= 0:
        raise MerkleError("there is no such tile in a log of this size")
    name = "entries" if level is None else str(level)
    return f"{name}/{number_path(number)}" + ("" if width == WIDTH else f".p/{width}")


def tile_paths(size: int) -> list[str]:
    """Every tile of a log of `size` leaves: the entries, then each level."""
    paths = [tile_path(None, number, size) for number in range(-(-size // WIDTH))]
    level = 0
    while size >> (TILE_BITS * level):
        have = size >> (TILE_BITS * level)
        paths += [tile_path(level, number, size) for number in range(-(-have // WIDTH))]
        level += 1
    return paths


def tile_length(path: str) -> int:
    """Bytes of a tile by the path that `tile_path` made; no other length is that tile."""
    width = int(path.rpartition(".p/")[2]) if ".p/" in path else WIDTH
    return width * (2 + _LEAF if path.startswith("entries/") else HASH_SIZE)


def leaves_in(raw: bytes) -> list[bytes]:
    """The leaves in an entries tile.

    Raises:
        TileError: Another form.
    """
    step = 2 + _LEAF
    if len(raw) % step:
        raise TileError("an entries tile that is cut off or too long")
    found = []
    for at in range(0, len(raw), step):
        if raw[at : at + 2] != _LEAF.to_bytes(2, "big"):
            raise TileError("an entry of another length")
        found.append(raw[at + 2 : at + step])
    return found


class TileTree:
    """A tree of `size` leaves; `give` it tiles, and `node` is what `merkle` asks for."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._tiles: dict[str, list[bytes]] = {}

    def give(self, path: str, raw: bytes) -> None:
        """Take in the body of a tile.

        Raises:
            TileError: It has not the length that its path says.
        """
        if len(raw) != tile_length(path):
            raise TileError("a tile that is cut off or too long")
        self._tiles[path] = [raw[at : at + HASH_SIZE] for at in range(0, len(raw), HASH_SIZE)]

    def node(self, level: int, number: int) -> bytes:
        """Hash of a complete subtree.

        Raises:
            TileMissing: Its tile was not given yet.
            MerkleError: It is not in a tree of this size.
        """
        below = level % TILE_BITS
        start = number << below
        path = tile_path(level // TILE_BITS, start // WIDTH, self.size)
        hashes = self._tiles.get(path)
        if hashes is None:
            raise TileMissing(path)
        part = hashes[start % WIDTH : start % WIDTH + (1 << below)]
        if len(part) != 1 << below:
            raise MerkleError("the node is not complete in a tree of this size")
        frontier = Frontier()
        for item in part:
            frontier.append(item)
        return frontier.root()


async def read(tree: TileTree, make: Callable[[], Made], fetch: Callable[[str], Awaitable[bytes]]) -> Made:
    """Make something of the tree's nodes, fetching each tile that is missing once."""
    while True:
        try:
            return make()
        except TileMissing as missing:
            tree.give(missing.path, await fetch(missing.path))


def root_of(tree: TileTree) -> bytes:
    """Root over all leaves, from the tiles."""
    return Frontier().root() if not tree.size else range_hash(0, tree.size, tree.node)
