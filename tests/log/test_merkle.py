"""The tree of RFC 6962 against public vectors, reference roots, a second implementation and random growth."""

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from index.protocol.merkle import (
    EMPTY_ROOT,
    Frontier,
    MerkleError,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_from_inclusion,
    verify_consistency,
    verify_inclusion,
)

REFERENCE_LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
REFERENCE_ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}
TOO_SHORT_ROOTS = "sizes-are-equal-one-and-proof-is-empty.json"
"""This vector accepts 12-byte roots; ours insists on 32 bytes and refuses it."""


class Kept:
    """A tree that keeps every node, to prove from."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.frontier = Frontier()
        self.nodes: dict[tuple[int, int], bytes] = {}
        self.roots = [EMPTY_ROOT]
        for leaf in leaves:
            self.nodes.update(self.frontier.append(leaf_hash(leaf)))
            self.roots.append(self.frontier.root())

    def node(self, level: int, number: int) -> bytes:
        return self.nodes[level, number]


def by_definition(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962 §2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return node_hash(by_definition(leaves[:k]), by_definition(leaves[k:]))


def vectors(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    found = [(path.name, json.loads(path.read_text())) for path in sorted(folder.rglob("*.json"))]
    assert len(found) == 98, "every vector file is there and none is empty"
    return found


def unb64(text: str | None) -> bytes:
    return base64.b64decode(text or "")


def test_inclusion_vectors_fail_exactly_where_they_should(shared: Path) -> None:
    for name, v in vectors(shared / "vectors/merkle/inclusion"):
        proof = [unb64(item) for item in v["proof"] or []]
        held = verify_inclusion(unb64(v["leafHash"]), v["leafIdx"], v["treeSize"], proof, unb64(v["root"]))
        assert held is not v["wantErr"], name


def test_consistency_vectors_fail_exactly_where_they_should_but_for_one_with_short_roots(
    shared: Path,
) -> None:
    exceptions = 0
    for name, v in vectors(shared / "vectors/merkle/consistency"):
        proof = [unb64(item) for item in v["proof"] or []]
        held = verify_consistency(v["size1"], v["size2"], proof, unb64(v["root1"]), unb64(v["root2"]))
        if name == TOO_SHORT_ROOTS:
            exceptions += 1
            assert not v["wantErr"]
            assert not held
        else:
            assert held is not v["wantErr"], name
    assert exceptions == 1


def test_reference_leaves_give_the_roots_of_rfc_6962() -> None:
    tree = Kept(REFERENCE_LEAVES)
    for size, root in REFERENCE_ROOTS.items():
        assert tree.roots[size].hex() == root
    for size in range(9):
        assert tree.roots[size] == by_definition(REFERENCE_LEAVES[:size])


def test_every_proof_among_sizes_one_to_eight_holds_and_every_other_place_is_refused() -> None:
    tree = Kept(REFERENCE_LEAVES)
    for size in range(1, 9):
        for index in range(size):
            proof = inclusion_proof(index, size, tree.node)
            for place in range(size):
                held = verify_inclusion(
                    leaf_hash(REFERENCE_LEAVES[index]), place, size, proof, tree.roots[size]
                )
                assert held is (place == index)
        for old in range(1, size + 1):
            between = consistency_proof(old, size, tree.node)
            assert verify_consistency(old, size, between, tree.roots[old], tree.roots[size])
            for other in set(range(1, 9)) - {old}:
                assert not verify_consistency(other, size, between, tree.roots[old], tree.roots[size])


@settings(deadline=None, max_examples=60)
@given(st.lists(st.binary(max_size=40), min_size=1, max_size=70))
def test_any_growth_agrees_with_a_second_implementation(leaves: list[bytes]) -> None:
    ours, theirs = Kept(leaves), InmemoryTree(algorithm="sha256")
    for leaf in leaves:
        theirs.append_entry(leaf)
    size = len(leaves)
    assert ours.roots[size] == theirs.get_root(size) == by_definition(leaves)
    for index in {0, size // 2, size - 1}:
        proof = inclusion_proof(index, size, ours.node)
        path = theirs.prove_inclusion(index + 1, size).path
        assert sorted([leaf_hash(leaves[index]), *proof]) == sorted(path)
        assert root_from_inclusion(leaf_hash(leaves[index]), index, size, proof) == ours.roots[size]
    old = size // 2 or 1
    assert theirs.get_root(old) == ours.roots[old]
    between = consistency_proof(old, size, ours.node)
    assert verify_consistency(old, size, between, ours.roots[old], ours.roots[size])


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 600), st.integers(1, 70))
def test_a_batch_is_proven_from_the_frontier_and_its_own_nodes_alone(before: int, batch: int) -> None:
    leaves = [index.to_bytes(2, "big") for index in range(before + batch)]
    frontier = Frontier()
    for leaf in leaves[:before]:
        frontier.append(leaf_hash(leaf))
    frontier = Frontier.decode(frontier.size, frontier.encode())
    nodes = frontier.nodes()
    for leaf in leaves[before:]:
        nodes.update(frontier.append(leaf_hash(leaf)))
    for index in range(before, before + batch):
        proof = inclusion_proof(index, frontier.size, lambda level, number: nodes[level, number])
        assert verify_inclusion(leaf_hash(leaves[index]), index, frontier.size, proof, frontier.root())


@settings(deadline=None, max_examples=100)
@given(st.integers(2, 40), st.data())
def test_a_proof_with_one_bit_changed_never_holds(size: int, data: st.DataObject) -> None:
    tree = Kept([bytes([index]) for index in range(size)])
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(index, size, tree.node)
    place, bit = data.draw(st.integers(0, len(proof) - 1)), data.draw(st.integers(0, 255))
    changed = bytearray(proof[place])
    changed[bit // 8] ^= 1 << bit % 8
    proof[place] = bytes(changed)
    assert not verify_inclusion(leaf_hash(bytes([index])), index, size, proof, tree.roots[size])


@pytest.mark.parametrize(
    ("size", "roots"), [(1, []), (0, [bytes(32)]), (3, [bytes(32)]), (1, [bytes(31)]), (-1, []), (2**53, [])]
)
def test_a_frontier_that_does_not_belong_to_its_size_is_refused(size: int, roots: list[bytes]) -> None:
    with pytest.raises(MerkleError):
        Frontier(size, roots)


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0), (0, 2**53)])
def test_an_index_outside_the_tree_is_refused(index: int, size: int) -> None:
    assert not verify_inclusion(bytes(32), index, size, [], bytes(32))
    if size < 2**53:
        with pytest.raises(MerkleError):
            inclusion_proof(index, size, lambda _level, _number: bytes(32))


def test_a_proof_longer_than_any_tree_is_refused() -> None:
    assert not verify_inclusion(bytes(32), 0, 2**52, [bytes(32)] * 70, bytes(32))
    assert not verify_consistency(1, 2**52, [bytes(32)] * 70, bytes(32), bytes(32))


def test_a_proof_that_goes_on_above_the_root_is_refused() -> None:
    leaf, beside = leaf_hash(b"a"), leaf_hash(b"b")
    assert not verify_inclusion(leaf, 0, 1, [beside], node_hash(beside, leaf))
    assert not verify_inclusion(leaf, 0, 1, [beside], node_hash(leaf, beside))


def test_a_tree_never_shrinks_and_an_empty_one_proves_nothing() -> None:
    tree = Kept(REFERENCE_LEAVES)
    with pytest.raises(MerkleError):
        consistency_proof(5, 3, tree.node)
    assert consistency_proof(0, 8, tree.node) == []
    assert not verify_consistency(0, 8, [], EMPTY_ROOT, tree.roots[8])
    assert not verify_consistency(8, 3, [], tree.roots[8], tree.roots[3])
