"""Cosign a checkpoint only when it continues the last one that was cosigned.

    request -> log known -> log's signature -> [ one transaction: old size -> consistency -> persist ]
            -> marker beside the key -> cosignature

Check and persist are one step under the store's write lock, and the commit is
durable before anything is answered: a witness that forgets may confirm two
histories. What the log signed and was refused is kept, for it is proof of
misbehaviour. A marker beside the key says how far the key has signed: with
an empty or older store under it the witness does not start.

Source: C2SP tlog-witness; docs/design/access-log.md, "Checkpoints, witnesses, quorum".
"""

import hashlib
import hmac
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec
import structlog
from nacl.signing import SigningKey
from sqlalchemy import Connection, Engine, func, insert, select, update

from index.protocol.addcheckpoint import SIZE_MEDIA, RequestError, Submission, parse_request
from index.protocol.codec import u64
from index.protocol.merkle import EMPTY_ROOT, verify_consistency
from index.protocol.note import (
    COSIGNATURE_V1,
    NoteError,
    NoteKey,
    cosigned_bytes,
    key_for_origin,
    signature_line,
    signed_by,
    year_of,
)
from index.protocol.receipt import pinned_log_key
from nodes.errors import SettingsError
from nodes.store.database import reading, writing
from nodes.store.tables import witness_head as heads
from nodes.store.tables import witness_refusal as refusals

log = structlog.get_logger()

MOST_REFUSALS = 10_000
"""Refused notes that are kept: each was signed by the log, so nobody else can fill the store."""
PLAIN = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered to `add-checkpoint`."""

    status: int
    body: str = ""
    media: str = PLAIN


class _Marker(msgspec.Struct, forbid_unknown_fields=True):
    """The file beside the key: which key, and how far it has signed in each log."""

    key: str
    sizes: dict[str, int]


class Witness:
    """One witness of one or more logs. Its methods block; several threads may call them."""

    def __init__(
        self,
        engine: Engine,
        *,
        name: str,
        seed: bytes,
        marker: Path,
        log_vkeys: Sequence[str],
        now: Callable[[], datetime],
    ) -> None:
        """
        Args:
            engine: The node's store.
            name: Name of the witness's key; every policy repeats it.
            seed: Ed25519 seed, used for nothing else.
            marker: File beside the key; made at the first cosignature.
            log_vkeys: Logs that are cosigned; the key of one counts under the origin of each year.

        Raises:
            SettingsError: A vkey is none, or the store is behind what this key has signed.
        """
        self._engine = engine
        self._signing = SigningKey(seed)
        self.key = NoteKey(name, COSIGNATURE_V1, bytes(self._signing.verify_key))
        self._marker_file = marker
        self._now = now
        self._one = threading.Lock()
        try:
            self._logs = dict(pinned_log_key(vkey) for vkey in log_vkeys)
        except NoteError as error:
            raise SettingsError(f"witness: a log's key cannot be read: {error}") from None
        self._marker = self._checked_marker()

    def add_checkpoint(self, raw: bytes) -> Answer:
        """Answer one request, in the order of C2SP tlog-witness."""
        try:
            sent = parse_request(raw)
        except RequestError as error:
            return Answer(400, f"{error}\n")
        key = self._log_key(sent.checkpoint.origin)
        if key is None:
            return Answer(404, "this log is not known here\n")
        if not signed_by(sent.note, key):
            return Answer(403, "the log's signature does not hold\n")
        if sent.old > sent.checkpoint.size:
            return Answer(400, "the old size is larger than the checkpoint's\n")
        with self._one:
            return self._decide(sent)

    def sizes(self) -> dict[str, int]:
        """Size of the last cosigned checkpoint by origin."""
        with reading(self._engine) as connection:
            return {row.origin: row.size for row in connection.execute(select(heads))}

    def refused(self) -> int:
        """How many refused notes are kept as evidence."""
        with reading(self._engine) as connection:
            return int(connection.execute(select(func.count()).select_from(refusals)).scalar() or 0)

    def _decide(self, sent: Submission) -> Answer:
        """Check against the last checkpoint and persist the new one; durable when this returns."""
        new, at = sent.checkpoint, int(self._now().timestamp())
        with writing(self._engine) as connection:
            row = connection.execute(select(heads).where(heads.c.origin == new.origin)).first()
            size, root = (row.size, row.root) if row else (0, EMPTY_ROOT)
            if sent.old != size:
                return Answer(409, f"{size}\n", SIZE_MEDIA)
            if not _continues(sent, size, root):
                self._keep_evidence(connection, sent, row.note if row else "", at)
                return Answer(422, "the checkpoint does not continue the last one that was cosigned\n")
            values = {"size": new.size, "root": new.root, "note": _whole(sent), "cosigned_at": at}
            if row:
                connection.execute(update(heads).where(heads.c.origin == new.origin).values(values))
            else:
                connection.execute(insert(heads).values(origin=new.origin, **values))
        self._mark(new.origin, new.size)
        blob = u64(at) + self._signing.sign(cosigned_bytes(sent.note.text, at)).signature
        return Answer(200, signature_line(self.key.name, self.key.id, blob))

    def _log_key(self, origin: str) -> NoteKey | None:
        try:
            prefix, _ = year_of(origin)
        except NoteError:
            prefix = origin
        known = self._logs.get(prefix)
        return key_for_origin(known, origin) if known else None

    def _keep_evidence(self, connection: Connection, sent: Submission, ours: str, at: int) -> None:
        """Both notes bear the log's signature: together they prove two histories."""
        note = _whole(sent)
        digest = hashlib.sha256(note.encode()).digest()
        log.critical("checkpoint_refused", origin=sent.checkpoint.origin, size=sent.checkpoint.size)
        known = connection.execute(select(refusals.c.id).where(refusals.c.digest == digest)).first()
        count = connection.execute(select(func.count()).select_from(refusals)).scalar() or 0
        if known is None and count < MOST_REFUSALS:
            connection.execute(
                insert(refusals).values(
                    at=at, origin=sent.checkpoint.origin, old=sent.old, digest=digest, note=note, ours=ours
                )
            )

    # --- the marker beside the key -----------------------------------------------------

    def _checked_marker(self) -> _Marker:
        fresh = _Marker(self.key.id.hex(), {})
        try:
            marker = msgspec.json.decode(self._marker_file.read_bytes(), type=_Marker)
        except FileNotFoundError:
            return fresh
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            raise SettingsError(f"witness: {self._marker_file} cannot be read") from None
        if marker.key != fresh.key:
            return fresh
        stored = self.sizes()
        if any(stored.get(origin, -1) < size for origin, size in marker.sizes.items()):
            raise SettingsError(
                f"witness: the store is behind what this key has signed ({self._marker_file}). Put the store "
                "back, or retire this key: make a new one and have the policy name it"
            )
        return marker

    def _mark(self, origin: str, size: int) -> None:
        """Say beside the key how far it has signed; durable before the cosignature leaves."""
        if self._marker.sizes.get(origin) == size:
            return
        self._marker.sizes[origin] = size
        fresh = self._marker_file.with_name(f".{self._marker_file.name}.new")
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode(self._marker))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._marker_file)


def _continues(sent: Submission, size: int, root: bytes) -> bool:
    """Whether the checkpoint is the same tree or a longer one that begins with it."""
    new = sent.checkpoint
    if size == 0:
        # Everything begins with the empty tree; an empty one has one root only.
        return not sent.proof and (new.size > 0 or hmac.compare_digest(new.root, EMPTY_ROOT))
    return verify_consistency(size, new.size, sent.proof, root, new.root)


def _whole(sent: Submission) -> str:
    """The note as it was sent, with all its signature lines."""
    lines = "".join(signature_line(s.name, s.key_id, s.blob) for s in sent.note.signatures)
    return f"{sent.note.text}\n{lines}"
