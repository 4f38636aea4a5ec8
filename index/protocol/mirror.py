"""A copy of the log, checked offline: by anybody (hashes only) and by an officer (every entry opened).

    checkpoint          as the hub served it, with the witnesses' cosignatures
    tile/...            as served: every tile of a log of that size
    checkpoints/*       earlier ones that this copy was brought up from
    entries.jsonl       for officers: the entries, opened, in the line format of `inzage.zip`
    policy.txt          which log, and who must have confirmed it

A mirror, in this order:

    1. the checkpoint is signed by the log of the policy and confirmed by its quorum
    2. every tile is there, of the right length, and follows from the one below; the leaves give the root
    3. every earlier checkpoint is signed by the log, and the leaves give its root at its size

An officer, besides:

    4. every entry gives the leaf at its index
    5. a leaf of the period that does not open lies in the range of an `erase` entry
    6. the numbers of every chain run from 1, each naming the line before it
    7. where nodes' keys are given: every statement bears its node's signature
    8. every `heads` entry names the chains that grew in its range, and where they end
    9. where nodes' proofs are given: each stands in this very history

What is right and yet worth a look is a finding: lookups without a purpose or without a relation
before them; a line whose notice is postponed past its term, neither released nor postponed anew; a
hub clock more than 5 minutes ahead of or behind the witnesses', or away from that of the node
that asked. Which lines are postponed follows from role and kinds shown, or from what a release
names; a refused publication on a postponed chain shows neither before its release.

Source: docs/design/access-log.md, "Views and verification".
"""

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import cast

import msgspec
from msgspec import UNSET

from .codec import EncodingError, b64u, u32, u64, unb64u
from .entry import (
    Asker,
    Chain,
    EntryError,
    erases,
    kinds_shown,
    leaf_of,
    parse_asker,
    parse_chain,
    read_handles,
    statement_of,
)
from .export import Line
from .merkle import EMPTY_ROOT, Frontier, MerkleError, leaf_hash, root_from_inclusion
from .note import Checkpoint, NoteError, parse_checkpoint, parse_note, verified_checkpoint, year_of
from .proof import ProofError, parse_proof
from .statement import Signed, canonical, verify_signature
from .tilereading import TILE_BITS, WIDTH, TileError, leaves_in, tile_path
from .tlogpolicy import Confirmed, LogPolicy, PolicyFileError, parse_policy

CHECKPOINT, POLICY, ENTRIES, EARLIER, TILES = (
    "checkpoint",
    "policy.txt",
    "entries.jsonl",
    "checkpoints",
    "tile",
)
_MOST_PROBLEMS = 100
_CLOCK_S = 300
POSTPONED_AGAIN = "postponed-"
"""Begin of the cause of an `admin` entry that postpones a line once more."""

Get = Callable[[str], bytes | None]
"""A file of the copy by its name, None where it is not there."""
NodeKeys = Callable[[str], Sequence[bytes]]
"""Ed25519 public keys that a node id has in the directory."""


@dataclass(slots=True)
class MirrorReport:
    """What was read and what does not hold; `problems` is empty exactly when everything does.

    `confirmed` is the time for which a quorum of witnesses vouches, `last` the hub's time in the
    newest opened entry. Problems and findings name places in the log, never persons.
    """

    origin: str = ""
    size: int = 0
    confirmed: datetime | None = None
    witnesses: tuple[str, ...] = ()
    earlier: int = 0
    opened: int = 0
    erased: int = 0
    chains: int = 0
    signatures: int = 0
    proofs: int = 0
    last: datetime | None = None
    problems: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not self.problems

    def problem(self, text: str) -> None:
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(text)

    def finding(self, text: str) -> None:
        if len(self.findings) < _MOST_PROBLEMS:
            self.findings.append(text)


@dataclass(frozen=True, slots=True)
class NoticeRule:
    """Which lines a citizen gets later, and how long one postponement lasts; `policy.postpone` has it."""

    postpones: Callable[[str, Iterable[int]], bool]
    """By the asker's role and the numbers of the kinds shown."""
    step: timedelta


@dataclass(frozen=True, slots=True)
class Mirror:
    """A copy whose hashes were checked: the leaves, and what was found."""

    policy: LogPolicy
    checkpoint: Checkpoint
    leaves: list[bytes]
    report: MirrorReport
    roots: Mapping[int, bytes]
    """Root at the size of each earlier checkpoint and proof that was asked about."""
    clocks: list[tuple[int, int]]
    """Size of each confirmed checkpoint of this log, and the Unix time for which a quorum vouches."""


def verify_mirror(
    get: Get, earlier: Mapping[str, bytes], policy: str | None = None, sizes: Iterable[int] = ()
) -> Mirror | MirrorReport:
    """Check 1 to 3.

    Args:
        earlier: Earlier checkpoints by name, the reader's own last one among them.
        policy: The published policy; without it the one in the copy, which proves less.
        sizes: Sizes whose roots are wanted besides.

    Returns:
        Only the report where nothing can be read at all.
    """
    report = MirrorReport()
    try:
        raw = policy if policy is not None else _there(get(POLICY), POLICY)
        pinned = parse_policy(raw)
        note = parse_note(_there(get(CHECKPOINT), CHECKPOINT))
        checkpoint = verified_checkpoint(note, pinned.key_of(parse_checkpoint(note.text).origin))
    except (PolicyFileError, NoteError) as error:
        report.problem(f"checkpoint or policy: {error}")  # 1
        return report
    report.origin, report.size = checkpoint.origin, checkpoint.size
    said = pinned.confirmed(note)
    _confirmed(report, said)
    older = _earlier(report, earlier, pinned, checkpoint)
    asked = {one.size for one in older.values()} | {size for size in sizes if size <= checkpoint.size}
    leaves, roots = _tiles(report, get, checkpoint, asked)
    for name, one in older.items():  # 3
        if roots.get(one.size, one.root) != one.root:
            report.problem(
                f"{name}: the log signed another history of {one.size} entries than this one; keep both"
            )
    clocks = [(checkpoint.size, said.since)] if said.quorum and said.since is not None else []
    clocks += [(one.size, at) for name, one in older.items() if (at := _vouched(earlier[name], pinned))]
    return Mirror(pinned, checkpoint, leaves, report, roots, clocks)


def _vouched(raw: bytes, policy: LogPolicy) -> int | None:
    """The time for which a quorum vouches, None without one. The note was parsed before."""
    said = policy.confirmed(parse_note(raw))
    return said.since if said.quorum else None


def _confirmed(report: MirrorReport, said: Confirmed) -> None:
    report.witnesses = tuple(sorted(said.times))
    report.confirmed = datetime.fromtimestamp(said.since, UTC) if said.since is not None else None
    if not said.quorum:
        report.problem("the checkpoint is not confirmed by the witnesses of the policy")


def _earlier(
    report: MirrorReport, earlier: Mapping[str, bytes], policy: LogPolicy, newest: Checkpoint
) -> dict[str, Checkpoint]:
    """The earlier checkpoints that the log signed; two roots of one size are named."""
    found: dict[str, Checkpoint] = {}
    roots = {newest.size: newest.root}
    for name, raw in sorted(earlier.items()):
        try:
            note = parse_note(raw)
            one = verified_checkpoint(note, policy.key_of(parse_checkpoint(note.text).origin))
        except (NoteError, PolicyFileError) as error:
            report.problem(f"{name}: {error}")
            continue
        report.earlier += 1
        if one.origin != newest.origin:
            continue
        if one.size > newest.size:
            report.problem(f"{name}: the log signed {one.size} entries before, this copy has {newest.size}")
        elif roots.setdefault(one.size, one.root) != one.root:
            report.problem(f"{name}: two roots for {one.size} entries, both signed by the log; keep both")
        else:
            found[name] = one
    return found


def _tiles(
    report: MirrorReport, get: Get, checkpoint: Checkpoint, sizes: set[int]
) -> tuple[list[bytes], dict[int, bytes]]:
    """2: leaves from the entries tiles, every hash tile compared; roots at the wanted sizes."""
    leaves: list[bytes] = []
    frontier, roots = Frontier(), {0: EMPTY_ROOT}
    rows: dict[int, list[bytes]] = {}
    wanted = sorted(size for size in sizes if size)
    for number in range(-(-checkpoint.size // WIDTH)):
        found = _entries_tile(report, get, number, checkpoint.size)
        if found is None:
            return [], {}
        leaves += found
        hashes = [leaf_hash(leaf) for leaf in found]
        start = frontier.size
        for cut in [size for size in wanted if start < size < start + len(hashes)]:
            part = frontier.copy()
            part.extend(hashes[: cut - start])
            roots[cut] = part.root()
        made = frontier.extend(hashes)
        roots[frontier.size] = frontier.root()
        for (level, _), hash_ in sorted(made.items()):
            if level % TILE_BITS == 0:
                rows.setdefault(level // TILE_BITS, []).append(hash_)
    if frontier.root() != checkpoint.root or frontier.size != checkpoint.size:
        report.problem("the leaves do not give the root of the checkpoint")
    for level, hashes in rows.items():
        for number in range(-(-len(hashes) // WIDTH)):
            path = tile_path(level, number, checkpoint.size)
            if get(f"{TILES}/{path}") != b"".join(hashes[number * WIDTH : (number + 1) * WIDTH]):
                report.problem(f"tile/{path} is missing or does not follow from the leaves")
    return leaves, {size: roots[size] for size in (*wanted, 0, checkpoint.size) if size in roots}


def _entries_tile(report: MirrorReport, get: Get, number: int, size: int) -> list[bytes] | None:
    path = tile_path(None, number, size)
    raw = get(f"{TILES}/{path}")
    try:
        found = leaves_in(raw) if raw is not None else None
    except TileError as error:
        report.problem(f"tile/{path}: {error}")
        return None
    if found is None or len(found) != min(WIDTH, size - number * WIDTH):
        report.problem(f"tile/{path} is missing or cut off")
        return None
    return found


# --- the officer -----------------------------------------------------------------------


def verify_officer(
    mirror: Mirror,
    entries: Iterable[bytes],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    node_keys: NodeKeys | None = None,
    proofs: Mapping[str, str] | None = None,
    notice: NoticeRule | None = None,
) -> MirrorReport:
    """Check 4 to 9 over a mirror that was checked.

    Args:
        entries: Rows of `entries.jsonl`, by rising index.
        since, until: The officer's period by the hub's clock. Leaves outside it need not open, but for
            the entry on either side: without it nobody can tell where the period begins and ends.
        proofs: Proofs that nodes kept of their own questions, by name.
        notice: Without it postponed lines past their term are not listed.
    """
    reading = _Officer(mirror, node_keys, notice)
    for number, row in enumerate(entries, 1):
        if row.strip():
            reading.entry(number, row)
    reading.finish(since, until)
    for name, text in sorted((proofs or {}).items()):
        _proof(mirror, name, text)
    reading.clocks(mirror.clocks)
    return mirror.report


class _Officer:
    """One pass over the opened entries."""

    def __init__(self, mirror: Mirror, node_keys: NodeKeys | None, notice: NoticeRule | None = None) -> None:
        self._leaves, self._report = mirror.leaves, mirror.report
        self._prefix, self._year = year_of(mirror.checkpoint.origin)
        self._node_keys = node_keys
        self._notice = notice
        self._waiting: dict[int, int] = {}
        self._times: dict[int, int] = {}
        self._chains: dict[bytes, tuple[int, int]] = {}
        self._grown: list[tuple[int, bytes, int]] = []
        self._related: set[tuple[bytes, str]] = set()
        self._erasures: list[Chain] = []
        self._before = -1
        self._gaps: list[tuple[int, int]] = []

    def entry(self, number: int, row: bytes) -> None:
        """4: one row; then what it says."""
        try:
            line = msgspec.json.decode(row, type=Line)
            salts = (unb64u(line.salt, 32), unb64u(line.salt_a, 32), unb64u(line.salt_b, 32))
            asker_raw, chain_raw = line.asker.encode(), line.chain.encode()
            leaf = leaf_of(*salts, asker_raw, chain_raw)
            asker, chain = parse_asker(asker_raw), parse_chain(chain_raw)
        except (msgspec.MsgspecError, EncodingError, EntryError, UnicodeError, RecursionError):
            self._report.problem(f"row {number} of {ENTRIES} is no entry")
            return
        place = f"entry {self._year}-{line.index}"
        if line.year != self._year or not self._before < line.index < len(self._leaves):
            self._report.problem(
                f"row {number} of {ENTRIES}: {place} stands twice, out of order or outside the log"
            )
            return
        if self._leaves[line.index] != leaf:
            self._report.problem(f"{place} is not what its leaf says")
            return
        if line.index > self._before + 1:
            self._gaps.append((self._before + 1, line.index))
        self._before = line.index
        self._times[line.index] = asker.ts
        self._report.opened += 1
        self._says(place, line.index, asker, chain)

    def _says(self, place: str, index: int, asker: Asker, chain: Chain) -> None:
        if asker.t == "erase" and chain.year in (UNSET, self._year):
            self._erasures.append(chain)
        if asker.t == "heads" and chain.year in (UNSET, self._year):
            self._heads(place, chain)
        handles = read_handles(asker)
        if len(handles) != len(chain.subj):
            self._report.problem(f"{place} has other subjects than handles")
            return
        for handle, (n, prev) in zip(handles, chain.subj, strict=True):  # 6
            last = self._chains.get(handle, (0, -1))
            follows = (n, prev) == (last[0] + 1, last[1])
            # Over lines that no longer open only the order can be checked.
            if not follows and not (
                self._gap_after(last[1], index) and n > last[0] and last[1] < prev < index
            ):
                self._report.problem(f"{place} does not follow the line before it in a chain")
            self._chains[handle] = (n, index)
            self._grown.append((index, handle, n))
        self._signed(place, asker)
        self._worth_a_look(place, asker, handles)
        self._postponed(index, asker, chain, handles)

    def _gap_after(self, first: int, last: int) -> bool:
        return any(start < last and end > first for start, end in self._gaps)

    def _signed(self, place: str, asker: Asker) -> None:
        """7."""
        if self._node_keys is None or not asker.nodeSig:
            return
        try:
            statement = statement_of(asker, self._prefix)
            signature = unb64u(asker.nodeSig, 64)
        except ValueError:
            self._report.problem(f"{place} holds no statement of a node")
            return
        signed = Signed(statement, canonical(statement), signature)
        if verify_signature(signed, self._node_keys(asker.node)):
            self._report.signatures += 1
        else:
            self._report.problem(f"{place} does not bear its node's signature")

    def _heads(self, place: str, chain: Chain) -> None:
        """8: SHA-256 over the sorted list of handle, number and index; not over lines erased since."""
        if not isinstance(chain.from_, int) or not isinstance(chain.to, int):
            self._report.problem(f"{place} does not say which lines it is about")
            return
        first, last = chain.from_, chain.to
        ends = {handle: (n, at) for at, handle, n in self._grown if first <= at <= last}
        rows = b"".join(sorted(handle + u32(n) + u64(at) for handle, (n, at) in ends.items()))
        digest = b64u(hashlib.sha256(rows).digest())
        if not self._gap_after(first - 1, last + 1) and (chain.count, chain.digest) != (len(ends), digest):
            self._report.problem(f"{place} contradicts the ends of the chains it is about")
        self._grown = [one for one in self._grown if one[0] > last]

    def _worth_a_look(self, place: str, asker: Asker, handles: Sequence[bytes]) -> None:
        if asker.t == "relation" and not asker.refused:
            self._related |= {(handle, asker.node) for handle in handles}
        elif asker.t == "lookup" and not asker.refused:
            if not asker.purpose:
                self._report.finding(f"{place} is a lookup without a purpose")
            if any((handle, asker.node) not in self._related for handle in handles):
                self._report.finding(f"{place} is a lookup without a relation before it")
        if asker.nodeSig and abs(asker.ts - asker.nts * 1000) > _CLOCK_S * 1000:
            self._report.finding(f"{place}: the hub's clock and that of the node that asked differ")

    def _postponed(self, index: int, asker: Asker, chain: Chain, handles: Sequence[bytes]) -> None:
        """Lines whose notice waits, with the end of their term in milliseconds."""
        if self._notice is None:
            return
        step = int(self._notice.step.total_seconds() * 1000)
        here = chain.year in (UNSET, self._year) and isinstance(chain.index, int)
        if asker.t == "release" and here:
            self._waiting.pop(cast("int", chain.index), None)
        elif asker.t == "admin" and here and str(chain.cause).startswith(POSTPONED_AGAIN):
            self._waiting[cast("int", chain.index)] = asker.ts + step
        elif handles and self._notice.postpones(asker.role, kinds_shown(unb64u(asker.shown))):
            self._waiting[index] = asker.ts + step

    def clocks(self, vouched: Iterable[tuple[int, int]]) -> None:
        """The hub's clock against the witnesses': no entry under a checkpoint may be younger than it, none
        after it older."""
        places = sorted(self._times)
        times = [self._times[place] for place in places]
        newest = list(accumulate(times, max))
        oldest = list(accumulate(reversed(times), min))[::-1]
        slack = _CLOCK_S * 1000
        for size, at in sorted(set(vouched)):
            cut = bisect_left(places, size)
            when = f"of its witnesses at {size} entries"
            if cut and newest[cut - 1] > at * 1000 + slack:
                self._report.finding(
                    f"the hub's clock was ahead {when}: {(newest[cut - 1] - at * 1000) // 1000} s"
                )
            if cut < len(places) and oldest[cut] < at * 1000 - slack:
                self._report.finding(f"the hub's clock was behind that {when}: {at - oldest[cut] // 1000} s")

    def finish(self, since: datetime | None, until: datetime | None) -> None:
        """5, and what can be said only at the end."""
        report, size = self._report, len(self._leaves)
        if self._before + 1 < size:
            self._gaps.append((self._before + 1, size))
        first, last = self._period(since, until, size)
        for start, end in self._gaps:
            for index in range(start, end):
                if any(erases(chain, index) for chain in self._erasures):
                    report.erased += 1
                elif first <= index < last:
                    report.problem(f"entry {self._year}-{index} does not open, and no erasure says why")
        report.chains = len(self._chains)
        if self._times:
            newest = max(self._times)
            report.last = datetime.fromtimestamp(self._times[newest] / 1000, UTC)
            for index, end in sorted(self._waiting.items()):
                if end <= max(self._times.values()):
                    day = datetime.fromtimestamp(end / 1000, UTC).date().isoformat()
                    report.finding(
                        f"entry {self._year}-{index}: its notice was postponed until {day}, and it was "
                        "neither released nor postponed anew"
                    )

    def _period(self, since: datetime | None, until: datetime | None, size: int) -> tuple[int, int]:
        """Indexes of the period; a leaf that does not open belongs to it unless its neighbours do not."""
        first, last = 0, size
        if since is not None:
            before = [index for index, ts in self._times.items() if ts < since.timestamp() * 1000]
            first = max(before, default=-1) + 1
        if until is not None:
            after = [index for index, ts in self._times.items() if ts > until.timestamp() * 1000]
            last = min((index for index in after if index >= first), default=size)
        return first, last


def _proof(mirror: Mirror, name: str, text: str) -> None:
    """9: a proof that a node kept leads to a checkpoint of this history."""
    report = mirror.report
    try:
        proof = parse_proof(text)
        one = verified_checkpoint(proof.note, mirror.policy.key_of(proof.checkpoint.origin))
        if one.origin != mirror.checkpoint.origin or proof.index >= len(mirror.leaves):
            report.finding(f"{name} is about another year or a later entry")
            return
        hash_ = leaf_hash(mirror.leaves[proof.index])
        root = root_from_inclusion(hash_, proof.index, one.size, proof.hashes)
    except (ProofError, NoteError, PolicyFileError, MerkleError) as error:
        report.problem(f"{name}: {error}")
        return
    stands = mirror.roots.get(one.size, one.root)
    if root != one.root or stands != one.root:
        report.problem(f"{name}: entry {proof.index} was proven to a node in another history than this one")
        return
    report.proofs += 1
    said = mirror.policy.confirmed(proof.note)
    if said.quorum and said.since is not None:
        mirror.clocks.append((one.size, said.since))


def sizes_in(proofs: Mapping[str, str]) -> set[int]:
    """The sizes that proofs speak of, whose roots `verify_mirror` must be asked for."""
    found = set()
    for text in proofs.values():
        try:
            found.add(parse_proof(text).checkpoint.size)
        except ProofError:
            continue
    return found


def _there(raw: bytes | None, name: str) -> bytes:
    if raw is None:
        raise NoteError(f"{name} is missing")
    return raw
