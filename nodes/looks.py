"""Checking the citizen's own lines of the access log, one by one, before they are shown as proven.

    1. The checkpoint is of the pinned log and signed by its key.
    2. Each line's leaf, recomputed from salts and parts, stands in the log under that checkpoint.
    3. Each line stands in the citizen's own chains only: all its handles are computed here from the log ids.
    4. Per chain the numbers run 1, 2, 3 ... and each line names the index of the one before.
    5. The look that asked for the lines is itself among them: the newest end is not cut off.

A line that fails is not shown, and the whole does not count as verified. Lines
whose notice is postponed stand in other chains and come when they are released.

Source: docs/design/access-log.md, "Entry" and "Views and verification".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from index.protocol.codec import EncodingError, unb64u
from index.protocol.entry import Asker, EntryError, handle, leaf_of, parse_asker, parse_chain, read_handles
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


def check_lines(answer: OwnLogAnswer, lids: Mapping[str, bytes], log_vkey: str) -> CheckedLines:
    """Check all lines of this year's chains.

    Args:
        answer: Its own log receipt was checked before.
        lids: The citizen's log id per scope.

    Raises:
        ReceiptInvalid: The checkpoint is not the pinned log's; nothing can be shown.
    """
    checkpoint, year = _checkpoint(answer.checkpoint, log_vkey)  # 1
    own = {handle(year, lid): scope for scope, lid in lids.items()}
    good: dict[int, Asker] = {}
    numbers: dict[str, list[tuple[int, int, int]]] = {scope: [] for scope in lids}
    for line in answer.lines:
        place = _held(line, year, checkpoint, own)
        if place is not None:
            asker, n, prev = place
            good[line.index] = asker
            numbers[line.scope].append((n, prev, line.index))
    gapless = all(_runs(sorted(chain)) for chain in numbers.values())  # 4
    newest = {receipt.index for receipt in answer.log}
    ends = all(newest & {index for _, _, index in chain} for chain in numbers.values())  # 5
    total = len({line.index for line in answer.lines})
    held_lines = sum(len(chain) for chain in numbers.values())
    entries = sorted(good.items(), reverse=True)
    return CheckedLines(entries, total, gapless and ends and held_lines == len(answer.lines))


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


def _held(
    line: LogLine, year: int, checkpoint: Checkpoint, own: Mapping[bytes, str]
) -> tuple[Asker, int, int] | None:
    """Asker part, number and previous index of a line that stands up to 2 and 3; None otherwise."""
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
    mine = all(found in own for found in handles)  # 3
    at = next((at for at, found in enumerate(handles) if own.get(found) == line.scope), None)
    if not standing or not mine or at is None or at >= len(chain.subj) or line.year != year:
        return None
    n, prev = chain.subj[at]
    return asker, n, prev


def leaf_of_line(line: LogLine) -> bytes:
    """The hash of a line's leaf, for lines that were checked."""
    salts = (unb64u(line.salt, 32), unb64u(line.salt_a, 32), unb64u(line.salt_b, 32))
    return leaf_hash(leaf_of(*salts, line.asker.encode(), line.chain.encode()))


def _runs(chain: Sequence[tuple[int, int, int]]) -> bool:
    before = -1
    for expected, (n, prev, index) in enumerate(chain, 1):
        if n != expected or prev != before:
            return False
        before = index
    return True
