"""What a log sends to a witness, and what the witness answers.

    old 20852014
    PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
    ...

    <the signed checkpoint>

Source: C2SP tlog-witness; docs/design/access-log.md, "Checkpoints, witnesses, quorum".
"""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass

from .merkle import HASH_SIZE, MAX_PROOF
from .note import MAX_NOTE, Checkpoint, Note, NoteError, NoteKey, cosigned_at, parse_checkpoint, parse_note

PATH = "/add-checkpoint"
SIZE_MEDIA = "text/x.tlog.size"
MAX_REQUEST = MAX_NOTE + (MAX_PROOF + 1) * 64
MAX_ANSWER = 8 * 1024
_OLD = re.compile(r"old (0|[1-9][0-9]{0,15})\Z")
_SIZE = re.compile(rb"(0|[1-9][0-9]{0,15})\n\Z")


class RequestError(ValueError):
    """Not an `add-checkpoint` request."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A parsed request; nothing in it is verified."""

    old: int
    proof: tuple[bytes, ...]
    note: Note
    checkpoint: Checkpoint


def request_bytes(old: int, proof: Sequence[bytes], note: str) -> bytes:
    """The body of `add-checkpoint`; `note` is the checkpoint with the log's signature."""
    lines = "".join(base64.b64encode(item).decode() + "\n" for item in proof)
    return f"old {old}\n{lines}\n{note}".encode()


def parse_request(raw: bytes) -> Submission:
    """Read a request strictly.

    Raises:
        RequestError: Another form, a proof of more than 63 hashes, or no checkpoint.
    """
    if len(raw) > MAX_REQUEST:
        raise RequestError("the request is too long")
    try:
        head, blank, tail = raw.decode().partition("\n\n")
    except UnicodeDecodeError:
        raise RequestError("the request is UTF-8") from None
    lines = head.split("\n")
    old = _OLD.match(lines[0])
    if not blank or not old or len(lines) - 1 > MAX_PROOF:
        raise RequestError("a request is an old size, at most 63 hashes, an empty line and a checkpoint")
    try:
        note = parse_note(tail)
        checkpoint = parse_checkpoint(note.text)
    except NoteError as error:
        raise RequestError(str(error)) from None
    return Submission(int(old[1]), tuple(_hash(line) for line in lines[1:]), note, checkpoint)


def parse_size(raw: bytes) -> int | None:
    """The size in the body of a 409; None where it is something else."""
    found = _SIZE.match(raw)
    return int(found[1]) if found else None


def cosignature_in(raw: bytes, note: str, witness: NoteKey) -> tuple[int, bytes] | None:
    """Time (Unix seconds) and signature of this witness over the note, from the body of a 200.

    Cosignatures of other keys are ignored. None where none of this witness holds.
    """
    try:
        signed = parse_note(note)
        answered = parse_note(f"{signed.text}\n{raw.decode()}")
    except (NoteError, UnicodeDecodeError):
        return None
    if answered.text != signed.text:
        return None
    at = cosigned_at(answered, witness)
    if at is None:
        return None
    blob = next(s.blob for s in answered.signatures if (s.name, s.key_id) == (witness.name, witness.id))
    return at, blob[8:]


def _hash(line: str) -> bytes:
    try:
        raw = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        raise RequestError("not base64") from None
    if len(raw) != HASH_SIZE or base64.b64encode(raw).decode() != line:
        raise RequestError("a hash has 32 bytes")
    return raw
