"""Checking the citizen's own lines of the access log, one by one, before they are shown as proven.

    1. The checkpoint is of the pinned log and signed by its key.
    2. Each line's leaf, recomputed from salts and parts, stands in the log under that checkpoint.
    3. Each line stands in the citizen's own chains only: all its handles are computed here from the log ids.
    4. Per chain the numbers run 1, 2, 3 ... and each line names the index of the one before.
    5. The look that asked for the lines is itself among them: the newest end is not cut off.

A line that fails is not shown, and the whole does not count as verified. Lines
whose notice is postponed stand in other chains and count once a line of the own
chain releases them. Where numbers lack, an `erase` entry must name the line before.

Source: docs/design/access-log.md, "Entry" and "Views and verification".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from index.protocol.codec import EncodingError, unb64u
from index.protocol.entry import (
    Asker,
    Chain,
    EntryError,
    erases,
    handle,
    leaf_of,
    parse_asker,
    parse_chain,
    read_handles,
)
from index.protocol.merkle import leaf_hash, verify_inclusion
from index.protocol.messages import LogLine, OwnLogAnswer
from index.protocol.note import (
    Checkpoint,
    NoteError,
    key_for_origin,
    parse_checkpoint,
    parse_note,
    verified_checkpoint,
    year_of,
)
from index.protocol.receipt import pinned_log_key

from .errors import ReceiptInvalid


@dataclass(frozen=True, slots=True)
class CheckedLines:
    """Lines that held, each entry once, newest first; `total` counts entries given, `gapless` the chains."""

    entries: list[tuple[int, Asker]]
    total: int
    gapless: bool

    @property
    def verified(self) -> bool:
        """Whether every line held and none is missing."""
        return self.gapless and len(self.entries) == self.total


class _Held(NamedTuple):
    """A line that stands in the log, opened; `at` is the place of its scope's handle, None for nobody's."""

    line: LogLine
    asker: Asker
    chain: Chain
    later: bool
    at: int | None

    @property
    def place(self) -> tuple[int, int]:
        return self.line.year, self.line.index


def check_lines(answer: OwnLogAnswer, lids: Mapping[str, bytes], log_vkey: str) -> CheckedLines:
    """Check all lines of the citizen's chains, of every year.

    Args:
        answer: Its own log receipt was checked before.
        lids: The citizen's log id per scope.

    Raises:
        ReceiptInvalid: A checkpoint is not the pinned log's; nothing can be shown.
    """
    checkpoints = {}
    for note in (answer.checkpoint, *answer.earlier):
        checkpoint, year = _checkpoint(note, log_vkey)  # 1
        checkpoints[year] = checkpoint
    newest_year = _checkpoint(answer.checkpoint, log_vkey)[1]
    held = [one for line in answer.lines if (one := _held(line, checkpoints, lids)) is not None]
    erasures = [one for one in held if one.at is None]
    released = {place for one in held if not one.later and (place := _releases(one))}
    own = [one for one in held if one.at is not None and (not one.later or one.place in released)]
    good = {one.place: one.asker for one in own}
    numbers: dict[tuple[int, str], list[tuple[int, int, int]]] = {}
    for one in own:
        if not one.later and one.at is not None:
            n, prev = one.chain.subj[one.at]
            numbers.setdefault((one.line.year, one.line.scope), []).append((n, prev, one.line.index))
    gapless = all(_runs(sorted(chain), year, erasures) for (year, _), chain in numbers.items())  # 4
    gapless = gapless and all(place in good or _erased(erasures, *place) for place in released)
    newest = {receipt.index for receipt in answer.log}
    ends = all(  # 5
        newest & {index for _, _, index in numbers.get((newest_year, scope), ())} for scope in lids
    )
    nobodys = {one.place for one in erasures}
    total = len({(line.year, line.index) for line in answer.lines} - nobodys)
    entries = [(index, asker) for (_, index), asker in sorted(good.items(), reverse=True)]
    return CheckedLines(entries, total, gapless and ends and len(own) + len(erasures) == len(answer.lines))


def _checkpoint(note: str, log_vkey: str) -> tuple[Checkpoint, int]:
    try:
        prefix, pin = pinned_log_key(log_vkey)
        origin = parse_checkpoint(parse_note(note).text).origin
        found, year = year_of(origin)
        if found != prefix:
            raise ReceiptInvalid("the checkpoint is of another log")
        return verified_checkpoint(note, key_for_origin(pin, origin)), year
    except NoteError as error:
        raise ReceiptInvalid(str(error)) from None


def _held(line: LogLine, checkpoints: Mapping[int, Checkpoint], lids: Mapping[str, bytes]) -> _Held | None:
    """A line that stands up to 2 and 3; None otherwise."""
    checkpoint = checkpoints.get(line.year)
    if checkpoint is None:
        return None
    try:
        salts = (unb64u(line.salt, 32), unb64u(line.salt_a, 32), unb64u(line.salt_b, 32))
        raw, chain_raw = line.asker.encode(), line.chain.encode()
        leaf = leaf_of(*salts, raw, chain_raw)
        proof = [unb64u(step, 32) for step in line.proof]
        standing = verify_inclusion(leaf_hash(leaf), line.index, checkpoint.size, proof, checkpoint.root)  # 2
        asker, chain = parse_asker(raw), parse_chain(chain_raw)
        handles = read_handles(asker)
    except (EncodingError, EntryError, UnicodeError):
        return None
    if not standing or len(handles) != len(chain.subj):
        return None
    if asker.t == "erase" and not handles:
        return _Held(line, asker, chain, False, None)
    for later in (False, True):
        own = {handle(line.year, lid, later): scope for scope, lid in lids.items()}
        at = next((at for at, found in enumerate(handles) if own.get(found) == line.scope), None)
        if at is not None and all(found in own for found in handles):  # 3
            return _Held(line, asker, chain, later, at)
    return None


def leaf_of_line(line: LogLine) -> bytes:
    """The hash of a line's leaf, for lines that were checked."""
    salts = (unb64u(line.salt, 32), unb64u(line.salt_a, 32), unb64u(line.salt_b, 32))
    return leaf_hash(leaf_of(*salts, line.asker.encode(), line.chain.encode()))


def _releases(one: _Held) -> tuple[int, int] | None:
    """Year and index of the postponed line that a line releases."""
    if one.asker.t != "release" or not isinstance(one.chain.index, int):
        return None
    return one.chain.year if isinstance(one.chain.year, int) else one.line.year, one.chain.index


def _erased(erasures: Sequence[_Held], year: int, index: int) -> bool:
    return any(
        (one.chain.year if isinstance(one.chain.year, int) else one.line.year) == year
        and erases(one.chain, index)
        for one in erasures
    )


def _runs(chain: Sequence[tuple[int, int, int]], year: int, erasures: Sequence[_Held]) -> bool:
    """Whether the numbers run on; where some lack, the line before must be one that was erased."""
    last, before = 0, -1
    for n, prev, index in chain:
        follows = (n, prev) == (last + 1, before)
        if not follows and not (n > last + 1 and before < prev < index and _erased(erasures, year, prev)):
            return False
        last, before = n, index
    return True
