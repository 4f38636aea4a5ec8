"""A citizen's own lines as a file that anybody can check: how it is written, and checked offline.

    lines.jsonl      one line of the log a row: year, index, salt, saltA, saltB, asker, chain
    lids.json        scope -> log ids, newest first: only these chains are the person's
    proofs/YEAR-INDEX.tlog-proof
    policy.txt       which log, and who must have signed with it (C2SP tlog-policy)

Checked, for every line and in this order:

    1. the files are there, of a sane size, and each proof belongs to a line
    2. the checkpoint of its proof is signed by the log of the policy, and its leaf stands in it
    3. the witnesses of the policy's quorum cosigned that checkpoint
    4. the line concerns the person: one of its handles is computed from the log ids; on a postponed
       chain a line counts when a `release` among the others names it; an `erase` entry is about nobody
    5. per chain the numbers run 1, 2, 3 ... and each line names the index of the one before; where
       numbers lack, an `erase` entry names the line before
    6. the last line of every chain of the newest year is one and the same own look over all
       scopes, the one that read them: nothing was left out at an end either

Left to the caller: whether the policy is the one that was published, for a thief could put another into the
file; and the age: lines cut off back to an earlier own look leave what could be saved then, and `last` and
`confirmed` tell.

Source: docs/design/access-log.md, "Views and verification".
"""

import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from .codec import EncodingError, b64u, unb64u
from .entry import Asker, Chain, EntryError, erases, handle, leaf_of, parse_asker, parse_chain, read_handles
from .messages import LogLine
from .note import Note, NoteError, parse_checkpoint, parse_note, year_of
from .proof import ProofError, make_proof, parse_proof, verify_proof
from .tlogpolicy import Confirmed, LogPolicy, PolicyFileError, parse_policy, policy_without_witnesses

LINES, LIDS, POLICY = "lines.jsonl", "lids.json", "policy.txt"
_PROOF = re.compile(r"proofs/(20[0-9]{2})-(0|[1-9][0-9]{0,15})\.tlog-proof\Z")
_MOST_FILES = 200_000
_MOST_BYTES = 512 * 1024 * 1024
_MOST_PROBLEMS = 20


class ExportInvalid(ValueError):
    """The file is no export, or what is in it does not hold. Says what, never content."""


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """One line; `asker` and `chain` exactly as hashed."""

    year: int
    index: int
    salt: str
    salt_a: str
    salt_b: str
    asker: str
    chain: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What held; `problems` is empty when everything did.

    `last` is the hub's time in the newest line, `confirmed` the oldest time for which a quorum
    vouches under one of the proofs, `witnesses` the fewest that cosigned one.
    """

    lines: int
    chains: int
    last: datetime | None
    problems: tuple[str, ...]
    confirmed: datetime | None = None
    witnesses: int = 0

    @property
    def holds(self) -> bool:
        return not self.problems


def policy_text(log_vkey: str) -> str:
    """The policy of a log without witnesses."""
    return policy_without_witnesses(log_vkey)


def files_of(
    lines: Sequence[LogLine],
    checkpoints: Sequence[str],
    lids: Mapping[str, Sequence[bytes]],
    log_vkey: str,
    *,
    proofs: Mapping[tuple[int, int], str] | None = None,
    policy: str | None = None,
) -> dict[str, bytes]:
    """The checkable files of an export by name. A line that concerns several scopes is written once.

    Args:
        checkpoints: The signed note of each year that has a line: the lines' own proofs lead to them.
        proofs: By year and index, proofs under a confirmed checkpoint; they take the place of the lines' own.
        policy: The published policy; absent: that of a log without witnesses.
    """
    once = {(line.year, line.index): line for line in lines}
    rows = [
        Line(line.year, line.index, line.salt, line.salt_a, line.salt_b, line.asker, line.chain)
        for _, line in sorted(once.items())
    ]
    listed = {scope: [b64u(lid) for lid in values] for scope, values in lids.items()}
    notes = {year_of(parse_checkpoint(parse_note(note).text).origin)[1]: note for note in checkpoints if note}
    found = {
        LINES: b"".join(msgspec.json.encode(row) + b"\n" for row in rows),
        LIDS: msgspec.json.encode(listed),
        POLICY: (policy or policy_text(log_vkey)).encode(),
    }
    for (year, index), line in sorted(once.items()):
        proof = (proofs or {}).get((year, index))
        if proof is None:
            proof = make_proof(index, [unb64u(step, 32) for step in line.proof], notes[year])
        found[f"proofs/{year}-{index}.tlog-proof"] = proof.encode()
    return found


def verify_export(raw: bytes, policy: str | None = None) -> Verified:
    """Check the lines of an export without a network.

    Args:
        raw: The zip file.
        policy: The published policy; without it the one in the file, which proves less.

    Raises:
        ExportInvalid: Not an export at all: 1 of the module's list fails.
    """
    files = _files(raw)  # 1
    pinned = _policy_of(policy if policy is not None else _text(files, POLICY))
    try:
        lids = {
            scope: [unb64u(lid, 16) for lid in listed]
            for scope, listed in msgspec.json.decode(files[LIDS], type=dict[str, list[str]]).items()
        }
        lines = [msgspec.json.decode(row, type=Line) for row in files[LINES].splitlines()]
    except (msgspec.MsgspecError, EncodingError, UnicodeDecodeError, RecursionError):
        raise ExportInvalid("lines or log ids have another form") from None
    check = _Check(pinned, files, lids)
    places = [(line.year, line.index) for line in lines]
    if len(set(places)) != len(places):
        check.problem("a line stands twice")
    for name in sorted(
        {name for name in files if _PROOF.match(name)} - {_proof_name(line) for line in lines}
    ):
        check.problem(f"line {name.removeprefix('proofs/').removesuffix('.tlog-proof')} is missing")
    for line in lines:
        check.line(line)
    check.chains()
    return Verified(
        check.held, len(check.numbers), check.last, tuple(check.problems), check.confirmed, check.witnesses
    )


def policy_in(raw: bytes) -> bytes:
    """The policy that lies in an export, not believed yet.

    Raises:
        ExportInvalid: Not an export.
    """
    return _files(raw)[POLICY]


class _Check:
    """One pass over the lines of a file."""

    def __init__(
        self, policy: LogPolicy, files: Mapping[str, bytes], lids: Mapping[str, Sequence[bytes]]
    ) -> None:
        self.held = 0
        self.last: datetime | None = None
        self.problems: list[str] = []
        self.numbers: dict[tuple[int, bytes], list[tuple[int, int, int]]] = {}
        self._released: set[tuple[int, int]] = set()
        self._postponed: set[tuple[int, int]] = set()
        self._erasures: list[tuple[int, Chain]] = []
        self._looks: set[int] = set()
        self._newest = 0
        self.confirmed: datetime | None = None
        self.witnesses = 0
        self._policy, self._files = policy, files
        self._confirmations: dict[str, Confirmed] = {}
        self._lids = [lid for listed in lids.values() for lid in listed]
        self._present = [listed[0] for listed in lids.values() if listed]

    def problem(self, text: str) -> None:
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(text)

    def line(self, line: Line) -> None:
        """2 to 4."""
        try:
            asker_raw, chain_raw = line.asker.encode(), line.chain.encode()
            salts = (unb64u(line.salt, 32), unb64u(line.salt_a, 32), unb64u(line.salt_b, 32))
            proof = parse_proof(_text(self._files, _proof_name(line)))
            origin = proof.checkpoint.origin
            prefix, year = year_of(origin)
            if (prefix, year, proof.index) != (self._policy.prefix, line.year, line.index):
                raise ProofError("of another log, year or index")
            verify_proof(proof, leaf_of(*salts, asker_raw, chain_raw), self._policy.key_of(origin))
            asker, chain = parse_asker(asker_raw), parse_chain(chain_raw)
            handles = read_handles(asker)
        except (
            ProofError, NoteError, PolicyFileError, EntryError, EncodingError, ExportInvalid, UnicodeError
        ):  # fmt: skip
            self.problem(f"line {line.year}-{line.index} does not stand in the log as it is written here")
            return
        if not self._confirmed(proof.note):
            self.problem(f"line {line.year}-{line.index} is not confirmed by the witnesses of the policy")
            return
        year = chain.year if isinstance(chain.year, int) else line.year
        if asker.t == "erase" and not handles:
            self._erasures.append((year, chain))
            return
        own = {handle(line.year, lid) for lid in self._lids}
        later = {handle(line.year, lid, True) for lid in self._lids}
        if len(handles) != len(chain.subj) or not (own | later) & set(handles):
            self.problem(f"line {line.year}-{line.index} is about somebody else")
            return
        self.held += 1
        if not own & set(handles):
            self._postponed.add((line.year, line.index))
            return
        self._seen(line, asker)
        if asker.t == "release" and isinstance(chain.index, int):
            self._released.add((year, chain.index))
        for found, (n, prev) in zip(handles, chain.subj, strict=True):
            if found in own:
                self.numbers.setdefault((line.year, found), []).append((n, prev, line.index))

    def _confirmed(self, note: Note) -> bool:
        """3: the quorum; all lines of a file bear the same few checkpoints."""
        text = note.text + "".join(f"{one.name} {one.blob.hex()}\n" for one in note.signatures)
        said = self._confirmations.get(text)
        if said is None:
            said = self._confirmations[text] = self._policy.confirmed(note)
            if said.since is not None:
                at = datetime.fromtimestamp(said.since, UTC)
                self.confirmed = at if self.confirmed is None else min(self.confirmed, at)
                self.witnesses = min(self.witnesses or len(said.times), len(said.times))
        return said.quorum

    def _seen(self, line: Line, asker: Asker) -> None:
        if line.year > self._newest:
            self._newest = line.year
            self._looks = set()
        if line.year == self._newest and asker.t == "log_view":
            self._looks.add(line.index)
        at = datetime.fromtimestamp(asker.ts / 1000, UTC)
        self.last = at if self.last is None else max(self.last, at)

    def _gone(self, year: int, index: int) -> bool:
        return any(when == year and erases(chain, index) for when, chain in self._erasures)

    def chains(self) -> None:
        """5 and 6."""
        if not self.held:
            self.problem("there is no line")
        for (year, _), numbers in self.numbers.items():
            last, before = 0, -1
            for n, prev, index in sorted(numbers):
                follows = (n, prev) == (last + 1, before)
                if not follows and not (n > last + 1 and before < prev < index and self._gone(year, prev)):
                    self.problem(f"a chain has a gap before line {year}-{index}")
                    break
                last, before = n, index
        for year, index in sorted(self._postponed - self._released):
            self.problem(f"line {year}-{index} is about somebody else")
        for year, index in sorted(self._released - self._postponed):
            if not self._gone(year, index):
                self.problem(f"line {year}-{index} was released and is missing")
        ends = {
            max(
                index
                for _, _, index in self.numbers.get((self._newest, handle(self._newest, lid)), [(0, 0, -1)])
            )
            for lid in self._present
        }
        if len(ends) != 1 or not ends <= self._looks:
            self.problem("the end of a chain is missing: the look that read the lines does not end it")


def _proof_name(line: Line) -> str:
    return f"proofs/{line.year}-{line.index}.tlog-proof"


def _policy_of(text: str) -> LogPolicy:
    """The policy, which must name one log.

    Raises:
        ExportInvalid: It is none.
    """
    try:
        policy = parse_policy(text)
        _ = policy.log
    except PolicyFileError as error:
        raise ExportInvalid(f"the policy cannot be used: {error}") from None
    return policy


def _files(raw: bytes) -> dict[str, bytes]:
    """What is checked of the zip, by name; nothing is written anywhere."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            entries = archive.infolist()
            names = [entry.filename for entry in entries]
            whole = sum(entry.file_size for entry in entries)
            if len(entries) > _MOST_FILES or whole > _MOST_BYTES or len(set(names)) != len(names):
                raise ExportInvalid("the file is too large, or has a name twice")
            wanted = {LINES, LIDS, POLICY}
            found = {name: archive.read(name) for name in names if name in wanted or _PROOF.match(name)}
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError, OSError):
        raise ExportInvalid("this is not an export") from None
    except Exception as error:
        # The decompressor has errors of its own kind for broken data.
        if isinstance(error, ExportInvalid):
            raise
        raise ExportInvalid("this is not an export") from None
    if not wanted <= set(found):
        raise ExportInvalid("this is not an export")
    return found


def _text(files: Mapping[str, bytes], name: str) -> str:
    try:
        return files[name].decode()
    except (KeyError, UnicodeDecodeError):
        raise ExportInvalid(f"{name} is missing or is not text") from None
