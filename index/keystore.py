"""The hub's secrets, outside the database and outside its backups.

A folder with two files, both mode 0600: `file.key`, the key that wraps, and
`keystore.json`, every other secret wrapped under it, each with its name as
associated data so that one cannot stand in for another. Made once, by
`init_keystore`; a missing, readable or wrong file stops the process and is
named. The only keys ever added later are the dated ones: the data keys of a
month and the log key of a year, by `keys_for`, which says so in the log.

The rotation key is here with its public half only. Its private half belongs
offline, with two people.

Source: docs/design/pseudonyms.md, "At the hub: rows, escrow, shredding".
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
import structlog
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
    crypto_scalarmult_base,
)
from nacl.exceptions import CryptoError
from nacl.signing import SigningKey

from index.protocol.codec import EncodingError, b64u, unb64u
from index.protocol.keyfile import KeyFileError, read_key_file, write_key_file

log = structlog.get_logger()

FILE_KEY = "file.key"
STORE = "keystore.json"
SEALS = frozenset(
    {
        "h_flag",
        "h_dir",
        "h_rel",
        "k_pub",
        "k_ticket",
        "points",
        "log_signing",
        "receipt_signing",
        "consent_signing",
    }
)
"""Secrets of 32 random bytes that a hub has from its first day."""

DataKeyClass = str
ROWS: DataKeyClass = "rows"
LOG: DataKeyClass = "log"


class KeystoreError(KeyFileError):
    """The key store is missing, open to others, damaged or under another file key. Names the file."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """`keystore.json`. `keys` maps a name to its wrapped secret; names hold no person and no secret."""

    version: int
    rotation_public: str
    keys: dict[str, str]


@dataclass(frozen=True, slots=True)
class DataKey:
    """A key that seals rows or entries. `number` stands in front of what it sealed."""

    number: int
    key: bytes = field(repr=False)


class DatedKey(NamedTuple):
    """Name, number, class and month (`2026-11`) of a data key."""

    name: str
    number: int
    kind: DataKeyClass
    month: str


@dataclass(slots=True)
class Keystore:
    """Unwrapped secrets, by name. Nothing of it is printed."""

    path: Path
    rotation_public: bytes
    _secrets: dict[str, bytes] = field(repr=False)
    log_classes: tuple[str, ...] = (LOG,)
    """Retention classes of the log for which a key is made each month (`index.retention`)."""
    _log_signing: SigningKey | None = field(default=None, repr=False)
    _numbers: dict[int, bytes] | None = field(default=None, repr=False)

    def secret(self, name: str) -> bytes:
        """A secret of `SEALS`."""
        return self._secrets[name]

    @property
    def points_private(self) -> bytes:
        """X25519 private key that opens sealed points."""
        return self._secrets["points"]

    @property
    def points_public(self) -> bytes:
        """Goes to the manifest, as `hub.x25519`."""
        public: bytes = crypto_scalarmult_base(self.points_private)
        return public

    @property
    def log_signing(self) -> SigningKey:
        # Made once: its public half costs as much as a signature, and every commit signs.
        if self._log_signing is None:
            self._log_signing = SigningKey(self._secrets["log_signing"])
        return self._log_signing

    @property
    def receipt_signing(self) -> SigningKey:
        return SigningKey(self._secrets["receipt_signing"])

    @property
    def consent_signing(self) -> SigningKey:
        """Signs citizens' consent receipts and nothing else: a key per type of token."""
        return SigningKey(self._secrets["consent_signing"])

    def log_key(self, year: int) -> bytes:
        """`K_log_year`; KeyError when `keys_for` was not called in that year."""
        return self._secrets[f"log_key.{year}"]

    def data_key(self, number: int) -> bytes:
        """A data key by its number; KeyError when it was destroyed or never was."""
        return self.data_keys()[number]

    def data_keys(self) -> Mapping[int, bytes]:
        """All data keys by number."""
        if self._numbers is None:
            self._numbers = {one.number: self._secrets[one.name] for one in self.dated()}
        return self._numbers

    def dated(self) -> list[DatedKey]:
        """Every data key by name, with its class and month, without the key itself."""
        found = []
        for name in self._secrets:
            if name.startswith("dek."):
                _, kind, month, number = name.split(".")
                found.append(DatedKey(name, int(number), kind, month))
        return found

    def refresh(self) -> None:
        """Take over what another process made or destroyed."""
        self._take(load_keystore(self.path))

    def destroy(self, numbers: Collection[int]) -> list[str]:
        """Destroy data keys, durably; what they sealed opens nowhere any more. Returns their names.

        The file is written anew. What a disk or a copy of this folder keeps of the old one is
        wrapped under the file key, which must never lie beside a backup of the database.
        """
        with _locked(self.path):
            fresh = load_keystore(self.path)
            gone = [one.name for one in fresh.dated() if one.number in numbers]
            for name in gone:
                del fresh._secrets[name]
            if gone:
                _write(fresh)
            self._take(fresh)
        if gone:
            log.info("data_keys_destroyed", names=gone)
        return gone

    def _take(self, fresh: Keystore) -> None:
        self._secrets, self._numbers = fresh._secrets, None

    def current(self, kind: DataKeyClass, at: datetime) -> DataKey:
        """The data key of a class for the month of `at`; KeyError before `keys_for`."""
        prefix = f"dek.{kind}.{at:%Y-%m}."
        for name, key in self._secrets.items():
            if name.startswith(prefix):
                return DataKey(int(name.rsplit(".", 1)[1]), key)
        raise KeyError(f"no data key of class {kind} for this month")

    def keys_for(self, at: datetime) -> list[str]:
        """Make the dated keys of this month and year that are not there yet, durably.

        Call at start and when a month turns. Returns the names of what was made.
        """
        classes = (ROWS, *self.log_classes)
        wanted = [*(f"dek.{kind}.{at:%Y-%m}." for kind in classes), f"log_key.{at.year}"]

        def missing(have: Mapping[str, bytes]) -> list[str]:
            return [name for name in wanted if not any(n == name or n.startswith(name) for n in have)]

        if not missing(self._secrets):
            return []
        with _locked(self.path):
            fresh = load_keystore(self.path)
            made = missing(fresh._secrets)
            for name in made:
                full = f"{name}{_unused_number(fresh)}" if name.endswith(".") else name
                fresh._secrets[full] = secrets.token_bytes(32)
                fresh._numbers = None
            if made:
                _write(fresh)
            self._take(fresh)
        if made:
            log.info("dated_keys_made", names=made)
        return made


def ticket_key_id(key: bytes) -> bytes:
    """The four bytes that name a ticket key in front of its tickets."""
    return hashlib.sha256(b"vlagwijzer/ticket-key/v1" + key).digest()[:4]


def init_keystore(path: Path, *, rotation_public: bytes, at: datetime) -> Keystore:
    """Make the key store of a new hub: the only moment at which its keys come into being.

    Args:
        path: Folder that holds no key store yet.
        rotation_public: X25519 public half of the offline rotation key.
        at: Aware UTC; the dated keys of this month and year are made too.

    Raises:
        KeystoreError: One is there already; it is not touched.
    """
    if (path / STORE).exists() or (path / FILE_KEY).exists():
        raise KeystoreError(f"{path} already holds a key store; it is not overwritten")
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(stat.S_IRWXU)
    write_key_file(path / FILE_KEY, secrets.token_bytes(32))
    keystore = Keystore(path, rotation_public, {name: secrets.token_bytes(32) for name in sorted(SEALS)})
    _write(keystore)
    keystore.keys_for(at)
    return keystore


def load_keystore(path: Path) -> Keystore:
    """Read and unwrap the key store.

    Raises:
        KeyFileError: The file key is missing, readable by others or not a key.
        KeystoreError: The store is missing, readable by others, damaged, not
            wrapped under this file key, or lacks a key. Each names its file.
    """
    wrapping = read_key_file(path / FILE_KEY)
    store = path / STORE
    try:
        status = store.stat()
        content = msgspec.json.decode(store.read_bytes(), type=_File)
        rotation_public = unb64u(content.rotation_public, 32)
    except FileNotFoundError:
        raise KeystoreError(f"key file {store} is missing; put it back, it is never made anew") from None
    except (OSError, msgspec.MsgspecError, EncodingError):
        raise KeystoreError(f"key file {store} cannot be read as a key store") from None
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeystoreError(f"key file {store} can be read by others; run: chmod 600 {store}")
    try:
        unwrapped = {name: _unwrap(wrapping, name, text) for name, text in content.keys.items()}
    except (CryptoError, EncodingError, ValueError):
        raise KeystoreError(
            f"key file {store} does not open with {path / FILE_KEY}; they do not belong together"
        ) from None
    if lacking := sorted(SEALS - unwrapped.keys()):
        raise KeystoreError(f"key file {store} lacks {', '.join(lacking)}; put the right one back")
    return Keystore(path, rotation_public, unwrapped)


def _unused_number(keystore: Keystore) -> int:
    # Random, so that the number of a destroyed key does not come back on another one.
    used = keystore.data_keys()
    return next(
        number for number in iter(lambda: secrets.randbits(32), None) if number and number not in used
    )


def _wrap(wrapping: bytes, name: str, secret: bytes) -> str:
    nonce = secrets.token_bytes(24)
    return b64u(nonce + crypto_aead_xchacha20poly1305_ietf_encrypt(secret, _aad(name), nonce, wrapping))


def _unwrap(wrapping: bytes, name: str, text: str) -> bytes:
    raw = unb64u(text, 72)
    secret: bytes = crypto_aead_xchacha20poly1305_ietf_decrypt(raw[24:], _aad(name), raw[:24], wrapping)
    return secret


def _aad(name: str) -> bytes:
    return b"vlagwijzer/keystore/v1\n" + name.encode()


def _write(keystore: Keystore) -> None:
    # Whole file, then rename: a crash leaves either the old store or the new one, never half of one.
    wrapping = read_key_file(keystore.path / FILE_KEY)
    keys = {name: _wrap(wrapping, name, key) for name, key in sorted(keystore._secrets.items())}
    raw = msgspec.json.format(msgspec.json.encode(_File(1, b64u(keystore.rotation_public), keys)))
    store = keystore.path / STORE
    temporary = store.with_suffix(".new")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(store)
    folder = os.open(keystore.path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time adds keys; two would overwrite each other's."""
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
