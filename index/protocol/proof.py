"""A proof that travels alone: index, sibling hashes and a signed checkpoint in one text.

    c2sp.org/tlog-proof@v1
    index 7
    p53kJ+xqEQttN4whA4GM4JN4aRExwFUMe4ZYGKElcVg=
    ...

    <the checkpoint, as in `note`>

Source: C2SP tlog-proof; docs/design/access-log.md, "Receipt in each answer".
"""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass

from .merkle import HASH_SIZE, MAX_PROOF, MAX_SIZE, leaf_hash, verify_inclusion
from .note import Checkpoint, Note, NoteError, NoteKey, parse_checkpoint, parse_note, verified_checkpoint

HEADER = "c2sp.org/tlog-proof@v1"
MAX_TEXT = 24 * 1024
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,15})\Z")


class ProofError(ValueError):
    """Not a proof, or one that does not prove what it is used for."""


@dataclass(frozen=True, slots=True)
class LogProof:
    """A parsed proof; nothing in it is verified before `verify_proof`."""

    index: int
    hashes: tuple[bytes, ...]
    note: Note
    checkpoint: Checkpoint


def make_proof(index: int, hashes: Sequence[bytes], note: str) -> str:
    """The text of a proof; `note` is the signed checkpoint, ending in a line feed."""
    lines = "".join(base64.b64encode(item).decode() + "\n" for item in hashes)
    return f"{HEADER}\nindex {index}\n{lines}\n{note}"


def parse_proof(text: str) -> LogProof:
    """Read a proof strictly; the optional `extra` line of the format is not ours and refused.

    Raises:
        ProofError: Another form.
    """
    if len(text) > MAX_TEXT:
        raise ProofError("a proof is short")
    head, blank, tail = text.partition("\n\n")
    lines = head.split("\n")
    found = _INDEX.match(lines[1]) if len(lines) > 1 else None
    if not blank or lines[0] != HEADER or not found:
        raise ProofError("not a tlog-proof")
    if len(lines) - 2 > MAX_PROOF or int(found[1]) >= MAX_SIZE:
        raise ProofError("the proof is too long or its index too large")
    try:
        note = parse_note(tail)
        checkpoint = parse_checkpoint(note.text)
    except NoteError as error:
        raise ProofError(str(error)) from None
    return LogProof(int(found[1]), tuple(_hash(line) for line in lines[2:]), note, checkpoint)


def verify_proof(proof: LogProof, leaf: bytes, log_key: NoteKey) -> Checkpoint:
    """The checkpoint under which `leaf` stands at the proof's index.

    Raises:
        ProofError: The log did not sign it, or the leaf does not stand there.
    """
    try:
        checkpoint = verified_checkpoint(proof.note, log_key)
    except NoteError as error:
        raise ProofError(str(error)) from None
    if not verify_inclusion(leaf_hash(leaf), proof.index, checkpoint.size, proof.hashes, checkpoint.root):
        raise ProofError("the leaf does not stand in the log at this index")
    return checkpoint


def _hash(line: str) -> bytes:
    try:
        raw = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        raise ProofError("not base64") from None
    if len(raw) != HASH_SIZE or base64.b64encode(raw).decode() != line:
        raise ProofError("a hash has 32 bytes")
    return raw
