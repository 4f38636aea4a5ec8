"""What the log's tree costs: answers logged with it and without it by turns, and proofs in a tall tree.

Without it nothing is hashed into a tree, no tile is stored, no checkpoint signed and no proof made;
numbering, sealing, inserting and committing stay. Such a log proves nothing; it exists in this process only.
"""

import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import func, insert, select

from index.accesslog import log as log_module
from index.accesslog import tables
from index.accesslog.log import Recorded
from index.accesslog.tiles import Edge, Tree
from index.app import utc_now
from index.protocol.merkle import Frontier, inclusion_proof, leaf_hash, root_from_inclusion
from index.store.engine import lock

from .logbook import Logbook, append_one, filled_log

BATCH = 8
"""Answers of one commit, as under some load."""
_TALL_AT_ONCE = 65_536


@contextmanager
def without_tree() -> Iterator[None]:
    """Take the tree out of the log's module for as long as the block lasts."""
    kept: list[tuple[Any, str, Any]] = []

    def put(where: Any, name: str, instead: Any) -> None:
        kept.append((where, name, getattr(where, name)))
        setattr(where, name, instead)

    def grown(self: Frontier, hashes: list[bytes]) -> dict[tuple[int, int], bytes]:
        self.size += len(hashes)
        return {}

    def copied(self: Frontier) -> Frontier:
        made = Frontier()
        made.size = self.size
        return made

    put(Frontier, "copy", copied)
    put(log_module, "leaf_hash", lambda _: b"")
    put(log_module, "inclusion_proof", lambda *_: [])
    put(log_module, "make_proof", lambda *_: "")
    put(log_module, "sign_checkpoint", lambda *_: "")
    put(Frontier, "extend", grown)
    put(Frontier, "root", lambda _: bytes(32))
    put(Frontier, "nodes", lambda _: {})
    put(Edge, "grow", lambda *_: [])
    try:
        yield
    finally:
        for where, name, was in reversed(kept):
            setattr(where, name, was)


def logged_rate(log: Logbook, answers: int) -> float:
    """Answers a second that are numbered, sealed, committed and given their receipt; one thread."""
    hub, begun = log.hub, time.perf_counter()
    with hub.engine.connect() as connection:
        for _ in range(-(-answers // BATCH)):
            now = utc_now()
            with connection.begin():
                lock(connection)
                hub.access_log.begin(connection, now)
                made: list[Recorded] = [append_one(hub.access_log, log, now, own=False) for _ in range(BATCH)]
                sealed = hub.access_log.flush(connection, now)
            hub.access_log.committed()
            sealed.receipts(made)
    return -(-answers // BATCH) * BATCH / (time.perf_counter() - begun)


def both_rates(folder: Path, answers: int, rounds: int) -> tuple[list[float], list[float]]:
    """With and without the tree, by turns, each on a SQLite database of its own."""
    first, second = folder / "with", folder / "without"
    for one in (first, second):
        one.mkdir()
    rates: tuple[list[float], list[float]] = ([], [])
    with filled_log(first, str(first / "hub.db"), 512) as full:
        with without_tree(), filled_log(second, str(second / "hub.db"), 512) as bare:
            pass
        # A log that was grown without its tree cannot be read back; memory holds where it is.
        for _ in range(rounds):
            rates[0].append(logged_rate(full, answers))
            with without_tree():
                rates[1].append(logged_rate(bare, answers))
        bare.hub.engine.dispose()
    return rates


@dataclass(frozen=True, slots=True)
class Proofs:
    """Microseconds of one inclusion proof from stored tiles: the first of a reading, which computes the
    incomplete edge of the tree; a further one, as of a citizen's next line; and one checked."""

    entries: int
    made_us: float
    next_us: float
    checked_us: float
    hashes: int


def proofs_at(log: Logbook, entries: int, count: int = 50) -> Proofs:
    """Proofs at random places of a tree of so many leaves, whose tiles are stored and whose entries are not.

    Another year of the same database holds it, so the log itself stays as it was.
    """
    year = 2099
    frontier, edge = Frontier(), Edge(0, {})
    leaves: list[bytes] = []
    with log.hub.engine.connect() as connection, connection.begin():
        lock(connection)
        for start in range(0, entries, _TALL_AT_ONCE):
            leaves = [secrets.token_bytes(33) for _ in range(min(_TALL_AT_ONCE, entries - start))]
            tiles = edge.grow(frontier.extend([leaf_hash(leaf) for leaf in leaves]))
            if tiles:
                rows = [
                    {"year": year, "level": level, "number": number, "hashes": hashes}
                    for level, number, hashes in tiles
                ]
                connection.execute(insert(tables.tile), rows)
        rest = entries % 256
        last: list[dict[str, Any]] = [
            {"year": year, "index": entries - rest + at, "leaf": leaf, "sealed": None}
            for at, leaf in enumerate(leaves[len(leaves) - rest :])
        ]
        if last:
            connection.execute(insert(tables.entry), last)
    root = frontier.root()
    made = further = checked = 0.0
    hashes = 0
    with log.hub.reading() as connection:
        held = Tree(connection, year, entries)
        inclusion_proof(0, entries, held.node)
        for _ in range(count):
            index = secrets.randbelow(entries)
            begun = time.perf_counter()
            proof = inclusion_proof(index, entries, Tree(connection, year, entries).node)
            made += time.perf_counter() - begun
            begun = time.perf_counter()
            if inclusion_proof(index, entries, held.node) != proof:
                raise RuntimeError("two proofs of one place")
            further += time.perf_counter() - begun
            hash_ = held.node(0, index)
            begun = time.perf_counter()
            if root_from_inclusion(hash_, index, entries, proof) != root:
                raise RuntimeError("a proof of the measured tree does not hold")
            checked += time.perf_counter() - begun
            hashes = max(hashes, len(proof))
    return Proofs(entries, made / count * 1e6, further / count * 1e6, checked / count * 1e6, hashes)


def bytes_an_entry(log: Logbook) -> float:
    """Of the database file, with chain rows in every scope and the tiles; SQLite only."""
    with log.hub.reading() as connection:
        count = connection.execute(select(func.count()).select_from(tables.entry)).scalar() or 1
    log.hub.engine.dispose()
    path = Path(str(log.hub.engine.url.database))
    with closing(sqlite3.connect(path, isolation_level=None)) as plain:
        plain.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.stat().st_size / count
