"""The Merkle tree of RFC 6962: growing it, proving a place in it, checking both.

Growing needs only the *frontier*: the roots of the complete subtrees that the
size splits into, largest first (one per 1-bit of the size). Making a proof
needs single nodes, asked for through a `Node` function; whether these come
from a batch in memory or from stored tiles is the caller's matter.

A node is named by (level, number): the root of the complete subtree over the
leaves number·2^level up to (number + 1)·2^level.

Source: RFC 6962 §2.1; RFC 9162 §2.1.3.2 and §2.1.4.2 for the checks.
"""

import hashlib
import hmac
from collections.abc import Callable, Sequence

HASH_SIZE = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()
MAX_SIZE = 2**53
MAX_PROOF = 63
"""C2SP allows no longer proof; a tree of 2^53 leaves needs 53."""

Node = Callable[[int, int], bytes]
"""The hash of the node (level, number); called for complete subtrees only."""


class MerkleError(ValueError):
    """A proof, size or frontier that cannot be right."""


def leaf_hash(leaf: bytes) -> bytes:
    return hashlib.sha256(b"\0" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The right edge of a tree: enough to append and to name the root."""

    __slots__ = ("_roots", "size")

    def __init__(self, size: int = 0, roots: Sequence[bytes] = ()) -> None:
        """Take up a stored frontier.

        Args:
            size: Number of leaves.
            roots: 32 bytes per 1-bit of `size`, the largest subtree first.

        Raises:
            MerkleError: The roots do not belong to this size.
        """
        if not 0 <= size < MAX_SIZE or len(roots) != size.bit_count():
            raise MerkleError("a frontier has one root per 1-bit of its size")
        if any(len(root) != HASH_SIZE for root in roots):
            raise MerkleError("a root has 32 bytes")
        self.size = size
        self._roots = list(roots)

    @classmethod
    def decode(cls, size: int, raw: bytes) -> "Frontier":
        """The frontier behind `encode`.

        Raises:
            MerkleError: Not the bytes of a frontier of this size.
        """
        if len(raw) % HASH_SIZE:
            raise MerkleError("a root has 32 bytes")
        return cls(size, [raw[at : at + HASH_SIZE] for at in range(0, len(raw), HASH_SIZE)])

    def encode(self) -> bytes:
        return b"".join(self._roots)

    def copy(self) -> "Frontier":
        return Frontier(self.size, self._roots)

    def append(self, hash_: bytes) -> dict[tuple[int, int], bytes]:
        """Add a leaf hash; returns every node it completed, the leaf itself included."""
        level, number, made = 0, self.size, {(0, self.size): hash_}
        while number & 1:
            hash_ = node_hash(self._roots.pop(), hash_)
            level, number = level + 1, number >> 1
            made[level, number] = hash_
        self._roots.append(hash_)
        self.size += 1
        return made

    def extend(self, hashes: Sequence[bytes]) -> dict[tuple[int, int], bytes]:
        """`append` many leaf hashes at once, level by level; returns every node they completed."""
        pending, made = self.nodes(), {}
        row, start, level = list(hashes), self.size, 0
        while row:
            made.update({(level, number): hash_ for number, hash_ in enumerate(row, start)})
            if start & 1:
                start -= 1
                row.insert(0, pending[level, start])
            row = [node_hash(left, right) for left, right in zip(row[::2], row[1::2], strict=False)]
            start, level = start >> 1, level + 1
        self.size += len(hashes)
        last = [(level, (self.size >> level) - 1) for level in range(self.size.bit_length())[::-1]]
        self._roots = [
            made[place] if place in made else pending[place] for place in last if place[1] % 2 == 0
        ]
        return made

    def nodes(self) -> dict[tuple[int, int], bytes]:
        """The frontier's own subtrees by (level, number)."""
        found: dict[tuple[int, int], bytes] = {}
        start = 0
        levels = [level for level in range(self.size.bit_length() - 1, -1, -1) if self.size >> level & 1]
        for level, root in zip(levels, self._roots, strict=True):
            found[level, start >> level] = root
            start += 1 << level
        return found

    def root(self) -> bytes:
        """The tree's root; SHA-256 of nothing when it is empty."""
        if not self._roots:
            return EMPTY_ROOT
        result = self._roots[-1]
        for root in reversed(self._roots[:-1]):
            result = node_hash(root, result)
        return result


# --- making proofs -----------------------------------------------------------------


def range_hash(start: int, end: int, node: Node) -> bytes:
    """Root over the leaves `start` (inclusive) to `end`, where `start` is aligned as RFC 6962 splits."""
    count = end - start
    if count == 1 << (count.bit_length() - 1) and start % count == 0:
        level = count.bit_length() - 1
        return node(level, start >> level)
    split = _split(count)
    return node_hash(range_hash(start, start + split, node), range_hash(start + split, end, node))


def inclusion_proof(index: int, size: int, node: Node) -> list[bytes]:
    """PATH(index, D[size]) of RFC 6962 §2.1.1: siblings from the leaf upwards.

    Raises:
        MerkleError: `index` is not in a tree of this size.
    """
    if not 0 <= index < size:
        raise MerkleError("the index is outside the tree")
    start, end = 0, size
    path: list[bytes] = []
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(range_hash(middle, end, node))
            end = middle
        else:
            path.append(range_hash(start, middle, node))
            start = middle
    return path[::-1]


def consistency_proof(old: int, new: int, node: Node) -> list[bytes]:
    """PROOF(old, D[new]) of RFC 6962 §2.1.2; empty when old is 0 or equals new.

    Raises:
        MerkleError: `old` is larger than `new`.
    """
    if not 0 <= old <= new:
        raise MerkleError("the old tree is larger than the new one")
    if old in (0, new):
        return []
    start, end, whole = 0, new, True
    path: list[bytes] = []
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            path.append(range_hash(middle, end, node))
            end = middle
        else:
            path.append(range_hash(start, middle, node))
            start, whole = middle, False
    if not whole:
        path.append(range_hash(start, end, node))
    return path[::-1]


def _split(count: int) -> int:
    """The largest power of two below `count` (which is at least 2)."""
    return 1 << ((count - 1).bit_length() - 1)


# --- checking proofs ---------------------------------------------------------------


def root_from_inclusion(hash_: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The root that an inclusion proof leads to.

    Raises:
        MerkleError: Index outside the tree, or a proof of a wrong form or length.
    """
    if not 0 <= index < size < MAX_SIZE:
        raise MerkleError("the index is outside the tree")
    _well_formed([hash_, *proof])
    at, last, result = index, size - 1, hash_
    for sibling in proof:
        if last == 0:
            raise MerkleError("the proof is too long")
        if at & 1 or at == last:
            result = node_hash(sibling, result)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            result = node_hash(result, sibling)
        at, last = at >> 1, last >> 1
    if last:
        raise MerkleError("the proof is too short")
    return result


def verify_inclusion(hash_: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether the leaf with this hash stands at `index` in the tree (size, root). RFC 9162 §2.1.3.2."""
    try:
        _well_formed([root])
        return hmac.compare_digest(root_from_inclusion(hash_, index, size, proof), root)
    except MerkleError:
        return False


def verify_consistency(old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> bool:
    """Whether the tree (new, new_root) begins with the tree (old, old_root). RFC 9162 §2.1.4.2.

    An old size of 0 is refused: an empty tree is consistent with everything and proves nothing.
    """
    try:
        _well_formed([old_root, new_root, *proof])
    except MerkleError:
        return False
    if not 0 < old <= new < MAX_SIZE:
        return False
    if old == new:
        return not proof and hmac.compare_digest(old_root, new_root)
    if not proof:
        return False
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    before = after = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            before, after = node_hash(sibling, before), node_hash(sibling, after)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            after = node_hash(after, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and hmac.compare_digest(before, old_root) and hmac.compare_digest(after, new_root)


def _well_formed(hashes: Sequence[bytes]) -> None:
    if len(hashes) > MAX_PROOF + 2 or any(len(item) != HASH_SIZE for item in hashes):
        raise MerkleError("a proof is at most 63 hashes of 32 bytes")
