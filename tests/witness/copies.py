"""Copies of a ring's log, made from its tables as the hub serves them, and ways to tamper with one."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import msgspec

from index.protocol.codec import b64u, unb64u
from index.protocol.export import Line
from index.protocol.merkle import Frontier, leaf_hash
from index.protocol.mirror import (
    CHECKPOINT,
    ENTRIES,
    POLICY,
    Mirror,
    MirrorReport,
    verify_mirror,
    verify_officer,
)
from index.protocol.note import Checkpoint, sign_checkpoint
from index.protocol.tilereading import leaves_in, tile_path, tile_paths
from tests.log.world import NODE_KEY, NOW

from .world import ORIGIN, Ring


@dataclass
class Copy:
    """Files of a mirror by name; `earlier` are checkpoints that the reader kept."""

    files: dict[str, bytes]
    policy: str
    earlier: dict[str, bytes] = field(default_factory=dict)

    def verify(self) -> MirrorReport:
        """As an officer who has the published policy."""
        found = verify_mirror(self.files.get, self.earlier, self.policy)
        if not isinstance(found, Mirror):
            return found
        rows = self.files.get(ENTRIES, b"").splitlines()
        return verify_officer(found, rows, node_keys=lambda _: [bytes(NODE_KEY.verify_key)])

    def copied(self) -> "Copy":
        return replace(self, files=dict(self.files), earlier=dict(self.earlier))


def copy_of(ring: Ring) -> Copy:
    """The newest confirmed state, with every entry opened."""

    def served(path: str) -> bytes:
        found = ring.read(lambda conn: ring.reader.public(conn, f"{NOW.year}/{path}"))
        assert found is not None, path
        return bytes(found[0])

    checkpoint = served("checkpoint")
    size = int(checkpoint.split(b"\n")[1])
    files = {f"tile/{path}": served(f"tile/{path}") for path in tile_paths(size)}
    rows = []
    for index, entry in ring.read(lambda conn: list(ring.reader.opened(conn, NOW.year, 0, size))):
        salts = (b64u(entry.salt), b64u(entry.salt_a), b64u(entry.salt_b))
        line = Line(NOW.year, index, *salts, entry.asker.decode(), entry.chain.decode())
        rows.append(msgspec.json.encode(line) + b"\n")
    files |= {CHECKPOINT: checkpoint, POLICY: ring.policy.text.encode(), ENTRIES: b"".join(rows)}
    return Copy(files, ring.policy.text)


# --- tampering ---------------------------------------------------------------------------

Tamper = Callable[[Copy, random.Random, Ring], None]


def flip(copy: Copy, rng: random.Random, _: Ring) -> None:
    """One bit of anything that was served."""
    name = rng.choice(sorted(name for name in copy.files if name not in (POLICY,)))
    raw = bytearray(copy.files[name])
    raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
    copy.files[name] = bytes(raw)


def delete_row(copy: Copy, rng: random.Random, _: Ring) -> None:
    """One entry is not handed over."""
    rows = copy.files[ENTRIES].splitlines(keepends=True)
    del rows[rng.randrange(len(rows))]
    copy.files[ENTRIES] = b"".join(rows)


def insert_row(copy: Copy, rng: random.Random, _: Ring) -> None:
    """One entry stands twice."""
    rows = copy.files[ENTRIES].splitlines(keepends=True)
    rows.insert(rng.randrange(len(rows) + 1), rng.choice(rows))
    copy.files[ENTRIES] = b"".join(rows)


def reorder(copy: Copy, rng: random.Random, _: Ring) -> None:
    """Two entries change places, in the rows and in the leaves."""
    rows = copy.files[ENTRIES].splitlines(keepends=True)
    one, other = rng.sample(range(len(rows)), 2)
    rows[one], rows[other] = rows[other], rows[one]
    copy.files[ENTRIES] = b"".join(rows)


def truncate(copy: Copy, rng: random.Random, _: Ring) -> None:
    """A file is cut off."""
    name = rng.choice(sorted(copy.files))
    raw = copy.files[name]
    if name == POLICY:
        name, raw = CHECKPOINT, copy.files[CHECKPOINT]
    copy.files[name] = raw[: rng.randrange(len(raw))]


def rewrite(copy: Copy, rng: random.Random, ring: Ring) -> None:
    """The operator changes one entry, rebuilds every tile and signs: only witnesses stand against it."""
    rows = [msgspec.json.decode(row, type=Line) for row in copy.files[ENTRIES].splitlines()]
    at = rng.randrange(len(rows))
    size = int(copy.files[CHECKPOINT].split(b"\n")[1])
    leaves: list[bytes] = []
    for number in range(-(-size // 256)):
        leaves += leaves_in(copy.files[f"tile/{tile_path(None, number, size)}"])
    salt = bytearray(unb64u(rows[at].salt, 32))
    salt[0] ^= 1
    changed = msgspec.structs.replace(rows[at], salt=b64u(bytes(salt)))
    leaves[changed.index] = _leaf(changed)
    rows[at] = changed
    resigned(copy, ring, leaves)
    copy.files[ENTRIES] = b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


def cut_end(copy: Copy, rng: random.Random, ring: Ring) -> None:
    """The operator drops the newest entries and signs the shorter log."""
    size = int(copy.files[CHECKPOINT].split(b"\n")[1])
    leaves: list[bytes] = []
    for number in range(-(-size // 256)):
        leaves += leaves_in(copy.files[f"tile/{tile_path(None, number, size)}"])
    left = rng.randrange(1, size)
    rows = copy.files[ENTRIES].splitlines(keepends=True)
    resigned(copy, ring, leaves[:left])
    copy.files[ENTRIES] = b"".join(rows[:left])


def split_view(copy: Copy, rng: random.Random, ring: Ring) -> None:
    """The officer's own last checkpoint is of another history, signed by the log."""
    size = int(copy.files[CHECKPOINT].split(b"\n")[1])
    fork = Checkpoint(ORIGIN, rng.randrange(1, size + 1), rng.randbytes(32))
    copy.earlier["own"] = sign_checkpoint(fork, ring.keys.log_signing).encode()


def resigned(copy: Copy, ring: Ring, leaves: list[bytes]) -> None:
    """All tiles and the checkpoint over these leaves, by the log's own key, with the old cosignatures."""
    frontier = Frontier()
    frontier.extend([leaf_hash(leaf) for leaf in leaves])
    cosignatures = copy.files[CHECKPOINT].decode().rpartition("\n\n")[2].splitlines(keepends=True)[1:]
    note = sign_checkpoint(Checkpoint(ORIGIN, len(leaves), frontier.root()), ring.keys.log_signing)
    for name in [name for name in copy.files if name.startswith("tile/")]:
        del copy.files[name]
    copy.files |= tiles_over(leaves)
    copy.files[CHECKPOINT] = (note + "".join(cosignatures)).encode()


def tiles_over(leaves: list[bytes]) -> dict[str, bytes]:
    frontier = Frontier()
    made = frontier.extend([leaf_hash(leaf) for leaf in leaves])
    files = {}
    for path in tile_paths(len(leaves)):
        level, number = (
            path.partition("/")[0],
            int(path.partition("/")[2].partition(".p/")[0].replace("x", "").replace("/", "")),
        )
        start, width = number * 256, int(path.partition(".p/")[2] or 256)
        if level == "entries":
            body = b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in leaves[start : start + width])
        else:
            body = b"".join(made[8 * int(level), start + at] for at in range(width))
        files[f"tile/{path}"] = body
    return files


def _leaf(line: Line) -> bytes:
    from index.protocol.entry import leaf_of

    salts = (unb64u(line.salt, 32), unb64u(line.salt_a, 32), unb64u(line.salt_b, 32))
    return leaf_of(*salts, line.asker.encode(), line.chain.encode())


TAMPERINGS: tuple[Tamper, ...] = (
    flip, delete_row, insert_row, reorder, truncate, rewrite, cut_end, split_view,
)  # fmt: skip
