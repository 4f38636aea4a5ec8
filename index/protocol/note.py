"""Signed notes: a few lines of text that several parties sign. Ours are checkpoints.

    hub.example.nl/v1/log/2026          origin, also the name of the log's key
    300                                 number of leaves
    6+LS8/g0/rpN0W+pyIYFR0Q9I6w1...=    root

    — hub.example.nl/v1/log/2026 v+P4...   the log's signature, key type 0x01
    — ombudsman.example.nl/w1 p6ZX...      a witness's cosignature, key type 0x04

Parsing is strict: what has a second form, or a line too many, is refused. A
parsed note is not yet a verified one; only `verified_checkpoint` and
`cosigned_at` say that a signature holds.

Source: C2SP signed-note, tlog-checkpoint, tlog-cosignature; docs/design/access-log.md,
"Checkpoints, witnesses, quorum".
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from .merkle import HASH_SIZE, MAX_SIZE

ED25519 = 0x01
COSIGNATURE_V1 = 0x04
"""Key types. ML-DSA-44 (0x06) can be added here when a maintained implementation exists."""

MAX_NOTE = 16 * 1024
MAX_SIGNATURES = 16

_NAME = re.compile(r"[!-*,-~]{1,200}\Z")
_SIGNATURE_LINE = re.compile(r"— (\S+) ([A-Za-z0-9+/]+={0,2})\Z")
_DECIMAL = re.compile(r"(0|[1-9][0-9]{0,15})\Z")
_YEAR = re.compile(r"(.*)/(20[0-9][0-9])\Z")


class NoteError(ValueError):
    """Not a signed note, checkpoint or key, or a signature that does not hold."""


@dataclass(frozen=True, slots=True)
class NoteKey:
    """A public key with the name it signs under. `type` is `ED25519` or `COSIGNATURE_V1`."""

    name: str
    type: int
    public: bytes

    @property
    def id(self) -> bytes:
        """Four bytes that a signature line repeats; a hint, not an identity."""
        return key_id(self.name, self.type, self.public)

    def text(self) -> str:
        """The vkey: `name+hex(id)+base64(type ‖ public)`."""
        return f"{self.name}+{self.id.hex()}+{_b64(bytes((self.type,)) + self.public)}"


@dataclass(frozen=True, slots=True)
class NoteSignature:
    name: str
    key_id: bytes
    blob: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A parsed note. `text` ends in a line feed and is what was signed."""

    text: str
    signatures: tuple[NoteSignature, ...]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a log: its name, its number of leaves and its root."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{_b64(self.root)}\n"


def origin_of(prefix: str, year: int) -> str:
    """The origin, and key name, of a year's log; `prefix` is `<hub host>/v1/log`."""
    return f"{prefix}/{year}"


def year_of(origin: str) -> tuple[str, int]:
    """Prefix and year of an origin.

    Raises:
        NoteError: It names no year.
    """
    found = _YEAR.match(origin)
    if not found:
        raise NoteError("the origin names no year")
    return found[1], int(found[2])


# --- keys --------------------------------------------------------------------------


def key_id(name: str, type_: int, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + bytes((type_,)) + public).digest()[:4]


def parse_vkey(text: str) -> NoteKey:
    """The key in a vkey text.

    Raises:
        NoteError: Another form, an unknown key type, or an id that is not this key's.
    """
    parts = text.split("+", 2)
    if len(parts) != 3:
        raise NoteError("a vkey is name+id+key")
    name, id_text, key_text = parts
    material = _unb64(key_text)
    if not _NAME.match(name) or len(material) != 33 or material[0] not in (ED25519, COSIGNATURE_V1):
        raise NoteError("a vkey with a wrong name, key type or length")
    key = NoteKey(name, material[0], material[1:])
    if id_text != key.id.hex():
        raise NoteError("the id of the vkey is not that of its key")
    return key


def key_for_origin(log_key: NoteKey, origin: str) -> NoteKey:
    """The log's key under the name of another year: one key signs under a name per year."""
    return NoteKey(origin, log_key.type, log_key.public)


# --- signing -----------------------------------------------------------------------


def sign_checkpoint(checkpoint: Checkpoint, key: SigningKey) -> str:
    """The checkpoint as a note signed by the log, whose key bears the origin as its name."""
    text = checkpoint.text()
    signature = key.sign(text.encode()).signature
    id_ = key_id(checkpoint.origin, ED25519, bytes(key.verify_key))
    return f"{text}\n{signature_line(checkpoint.origin, id_, signature)}"


def signature_line(name: str, id_: bytes, blob: bytes) -> str:
    return f"— {name} {_b64(id_ + blob)}\n"


def cosigned_bytes(text: str, time: int) -> bytes:
    """What a witness signs at `time` (Unix seconds) about a checkpoint's text."""
    return f"cosignature/v1\ntime {time}\n{text}".encode()


# --- parsing -----------------------------------------------------------------------


def parse_note(raw: bytes | str) -> Note:
    """Split a note into its text and signatures.

    Raises:
        NoteError: Too long, not UTF-8, control characters, no signature, or a
            signature line of another form.
    """
    try:
        whole = raw.decode() if isinstance(raw, bytes) else raw
    except UnicodeDecodeError:
        raise NoteError("a note is UTF-8") from None
    if len(whole) > MAX_NOTE or any((ord(c) < 0x20 and c != "\n") or c == "\x7f" for c in whole):
        raise NoteError("a note is short and has no control characters")
    text, blank, tail = whole.rpartition("\n\n")
    if not blank or not text or not tail.endswith("\n"):
        raise NoteError("a note is a text, an empty line and signature lines")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteError("too many signatures")
    return Note(text + "\n", tuple(_signature(line) for line in lines))


def _signature(line: str) -> NoteSignature:
    found = _SIGNATURE_LINE.match(line)
    if not found or not _NAME.match(found[1]):
        raise NoteError("not a signature line")
    blob = _unb64(found[2])
    if len(blob) < 5:
        raise NoteError("a signature without content")
    return NoteSignature(found[1], blob[:4], blob[4:])


def parse_checkpoint(text: str) -> Checkpoint:
    """The checkpoint in a note's text; extension lines are refused.

    Raises:
        NoteError: Another form, a size with leading zeros, a root that is not 32 bytes.
    """
    lines = text.split("\n")
    if len(lines) != 4 or lines[3]:
        raise NoteError("a checkpoint has three lines")
    origin, size, root = lines[0], lines[1], _unb64(lines[2])
    if not _NAME.match(origin) or not _DECIMAL.match(size) or len(root) != HASH_SIZE:
        raise NoteError("a line of the checkpoint has a wrong form")
    if int(size) >= MAX_SIZE:
        raise NoteError("no log is that large")
    return Checkpoint(origin, int(size), root)


# --- verifying ---------------------------------------------------------------------


def signed_by(note: Note, key: NoteKey) -> bool:
    """Whether the note bears exactly one signature line of this key, and it holds (type 0x01)."""
    blob = _only(note, key)
    if key.type != ED25519 or blob is None or len(blob) != 64:
        return False
    return _holds(key.public, note.text.encode(), blob)


def cosigned_at(note: Note, witness: NoteKey) -> int | None:
    """When this witness cosigned the note (Unix seconds), or None where no cosignature of it holds."""
    blob = _only(note, witness)
    if witness.type != COSIGNATURE_V1 or blob is None or len(blob) != 72:
        return None
    time = int.from_bytes(blob[:8], "big")
    if time >= 2**53:
        return None
    return time if _holds(witness.public, cosigned_bytes(note.text, time), blob[8:]) else None


def cosigners(note: Note, witnesses: Iterable[NoteKey]) -> Mapping[str, int]:
    """Name and time of each witness whose cosignature holds; one public key counts once."""
    found: dict[str, int] = {}
    seen: set[bytes] = set()
    for witness in witnesses:
        time = cosigned_at(note, witness)
        if time is not None and witness.public not in seen:
            seen.add(witness.public)
            found[witness.name] = time
    return found


def has_quorum(note: Note, witnesses: Iterable[NoteKey], k: int) -> bool:
    """Whether at least `k` of the witnesses cosigned. `k` below 1 is no quorum and never holds."""
    return 0 < k <= len(cosigners(note, witnesses))


def verified_checkpoint(raw: bytes | str | Note, key: NoteKey) -> Checkpoint:
    """The checkpoint of a note that the log itself signed.

    Raises:
        NoteError: Not a checkpoint, of another origin than the key's name, or not signed by it.
    """
    note = raw if isinstance(raw, Note) else parse_note(raw)
    checkpoint = parse_checkpoint(note.text)
    if checkpoint.origin != key.name:
        raise NoteError("the checkpoint is of another log")
    if not signed_by(note, key):
        raise NoteError("the log's signature does not hold")
    return checkpoint


def _only(note: Note, key: NoteKey) -> bytes | None:
    """The one signature under this name and id; two of them are as good as none."""
    found = [s.blob for s in note.signatures if s.name == key.name and hmac.compare_digest(s.key_id, key.id)]
    return found[0] if len(found) == 1 else None


def _holds(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        VerifyKey(public).verify(message, signature)
    except (BadSignatureError, ValueError):
        return False
    return True


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _unb64(text: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise NoteError("not base64") from None
    if _b64(raw) != text:
        raise NoteError("not canonical base64")
    return raw
