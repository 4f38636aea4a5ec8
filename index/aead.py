"""XChaCha20-Poly1305 for rows of at most a few KiB, without the price of a wrapper per call.

A lookup opens some thirty small boxes under the writers' lock. PyNaCl's
functions check types, allocate twice and copy twice around each call, which
costs three times the cipher on 64 bytes. Here PyNaCl's own compiled binding is
called without them, into a buffer that each thread has once.

Source: docs/adr/0009-boxes-through-the-compiled-binding.md.
"""

import threading
from typing import Any

from nacl import _sodium
from nacl.exceptions import CryptoError

_TAG, _NONCE, _KEY = 16, 24, 32
_ROOM = 8192

_lib: Any = _sodium.lib
_ffi: Any = _sodium.ffi
_NULL = _ffi.NULL
# Null pointers stand for what we leave out: the length written, and a secret nonce that no cipher uses.
_decrypt = _lib.crypto_aead_xchacha20poly1305_ietf_decrypt
_encrypt = _lib.crypto_aead_xchacha20poly1305_ietf_encrypt


class _Buffer(threading.local):
    """Where one thread's plain texts and boxes arrive before they become bytes."""

    def __init__(self) -> None:
        self.out = _ffi.new("unsigned char[]", _ROOM + _TAG)
        self.bytes = _ffi.buffer(self.out)


_BUFFER = _Buffer()


def _room(size: int) -> tuple[Any, Any]:
    """A place for `size` bytes, and the view to take them from."""
    if size <= _ROOM + _TAG:
        return _BUFFER.out, _BUFFER.bytes
    out = _ffi.new("unsigned char[]", size)
    return out, _ffi.buffer(out)


def open_box(box: bytes, aad: bytes, nonce: bytes, key: bytes) -> bytes:
    """The plain text of a box.

    Raises:
        CryptoError: Not sealed under this key with this nonce and associated data.
    """
    size = len(box) - _TAG
    if len(nonce) != _NONCE or len(key) != _KEY or size < 0:
        raise CryptoError("a nonce, key or box of a wrong size")
    out, view = _room(size)
    if _decrypt(out, _NULL, _NULL, box, size + _TAG, aad, len(aad), nonce, key):
        raise CryptoError("does not open")
    plain: bytes = view[:size]
    return plain


def seal_box(plain: bytes, aad: bytes, nonce: bytes, key: bytes) -> bytes:
    """Seal `plain`; 16 bytes longer. A nonce must never seal twice under one key."""
    size = len(plain)
    if len(nonce) != _NONCE or len(key) != _KEY:
        raise CryptoError("a nonce or key of a wrong size")
    out, view = _room(size + _TAG)
    if _encrypt(out, _NULL, plain, size, aad, len(aad), _NULL, nonce, key):
        raise CryptoError("could not seal")
    box: bytes = view[: size + _TAG]
    return box
