"""The log as it serves its tiles, against `pymerkle`: the same roots, and each accepts what the other proves.

Any order of growing, restarting and putting an older database back.
"""

import secrets
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from pymerkle import InmemoryTree, verify_consistency, verify_inclusion

from index.accesslog.reading import LogReader, SignedHead
from index.accesslog.tiles import Tree
from index.protocol import merkle
from index.protocol.merkle import consistency_proof, inclusion_proof, leaf_hash
from index.protocol.tilereading import TileMissing, TileTree, leaves_in, root_of, tile_path

from .world import NOW, PREFIX, World

JAN = b"\x0c" * 16
SIZES = [1, 2, 7, 100, 255, 256, 257]


class Served:
    """What a mirror can read of a log: its newest head, leaves, and nodes made from served tiles."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._reader = LogReader(PREFIX, world.keys)
        found = world.read(self._reader.head)
        assert isinstance(found, SignedHead)
        self.head = found
        self.tree = TileTree(found.size)

    def tile(self, path: str) -> bytes:
        found = self._world.read(lambda conn: self._reader.public(conn, f"{NOW.year}/tile/{path}"))
        assert found is not None, path
        return bytes(found[0])

    def leaves(self) -> list[bytes]:
        found: list[bytes] = []
        for number in range(-(-self.head.size // 256)):
            found += leaves_in(self.tile(tile_path(None, number, self.head.size)))
        return found

    def node(self, level: int, number: int) -> bytes:
        while True:
            try:
                return self.tree.node(level, number)
            except TileMissing as missing:
                self.tree.give(missing.path, self.tile(missing.path))


def oracle(leaves: list[bytes]) -> Any:
    tree = InmemoryTree(algorithm="sha256")
    for leaf in leaves:
        tree.append_entry(leaf)
    return tree


class Growing(RuleBasedStateMachine):
    """One log on a file, and every head that it ever signed."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="vlagwijzer-oracle-"))
        self.world = World(self.folder)
        self.world.record([self.world.draft([JAN])])
        self.signed: list[SignedHead] = []
        self.lost: list[SignedHead] = []
        self.backups: list[tuple[Path, int]] = []

    def teardown(self) -> None:
        self.world.engine.dispose()
        shutil.rmtree(self.folder, ignore_errors=True)

    @rule(by=st.sampled_from(SIZES))
    def grows(self, by: int) -> None:
        self.world.record([self.world.draft([JAN]) for _ in range(by)])

    @rule()
    def restarts(self) -> None:
        self.world.log = self.world.process()

    @rule()
    def is_backed_up(self) -> None:
        target = self.folder / f"{secrets.token_hex(4)}.backup"
        with sqlite3.connect(self.folder / "hub.db") as conn:
            conn.execute(f"VACUUM INTO '{target}'")
        self.backups.append((target, len(self.signed)))

    @rule()
    def is_put_back(self) -> None:
        if not self.backups:
            return
        backup, count = self.backups[-1]
        self.world.engine.dispose()
        for file in self.folder.glob("hub.db*"):
            file.unlink()
        shutil.copy(backup, self.folder / "hub.db")
        self.world.engine = self.world._engine()
        self.world.log = self.world.process()
        self.lost += self.signed[count:]
        del self.signed[count:]

    @invariant()
    def both_agree(self) -> None:
        served = Served(self.world)
        head, leaves = served.head, served.leaves()
        theirs = oracle(leaves)
        assert len(leaves) == head.size == theirs.get_size()
        assert head.root == theirs.get_root(head.size) == merkle.range_hash(0, head.size, served.node)
        assert root_of(served.tree) == head.root
        if not self.signed or self.signed[-1].size != head.size:
            self.signed.append(head)
        for index in {0, head.size // 2, head.size - 1}:
            self.inclusion(served, theirs, leaves, index)
        for old in self.signed:
            self.consistency(served, theirs, old)
        for gone in self.lost:
            self.never_again(served, leaves, gone)

    def inclusion(self, served: Served, theirs: Any, leaves: list[bytes], index: int) -> None:
        head = served.head
        proof = inclusion_proof(index, head.size, served.node)
        at_hub = self.world.read(
            lambda conn: inclusion_proof(index, head.size, Tree(conn, head.year, head.size).node)
        )
        assert proof == at_hub
        leaf = leaf_hash(leaves[index])
        assert merkle.verify_inclusion(leaf, index, head.size, proof, theirs.get_root(head.size))
        made = theirs.prove_inclusion(index + 1, head.size)
        assert sorted(made.path) == sorted([leaf, *proof])
        verify_inclusion(leaf, head.root, made)

    def consistency(self, served: Served, theirs: Any, old: SignedHead) -> None:
        head = served.head
        assert theirs.get_root(old.size) == old.root
        proof = consistency_proof(old.size, head.size, served.node)
        ours = merkle.verify_consistency(old.size, head.size, proof, old.root, theirs.get_root(head.size))
        assert ours
        verify_consistency(old.root, head.root, theirs.prove_consistency(old.size, head.size))

    def never_again(self, served: Served, leaves: list[bytes], gone: SignedHead) -> None:
        """A head that was lost with a restored backup is not of this history, unless it is its beginning."""
        head = served.head
        if gone.size > head.size:
            return
        same = oracle(leaves[: gone.size]).get_root(gone.size) == gone.root
        proof = consistency_proof(gone.size, head.size, served.node)
        assert merkle.verify_consistency(gone.size, head.size, proof, gone.root, head.root) is same


STEPS = settings(
    max_examples=8, stateful_step_count=7, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_any_growing_and_restoring_agrees_with_a_second_implementation() -> None:
    run_state_machine_as_test(Growing, settings=STEPS)  # type: ignore[no-untyped-call]


def test_the_same_harness_catches_a_tile_that_is_one_hash_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug: the tile of complete subtrees is served shifted by one."""
    honest = Served.tile

    def shifted(self: Served, path: str) -> bytes:
        raw = honest(self, path)
        return raw[32:] + raw[:32] if path.startswith("0/") and len(raw) > 32 else raw

    monkeypatch.setattr(Served, "tile", shifted)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Growing, settings=STEPS)  # type: ignore[no-untyped-call]
