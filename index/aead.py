"""XChaCha20-Poly1305 for rows of at most a few KiB, without the price of a wrapper per call.

A lookup opens some thirty small boxes under the writers' lock. PyNaCl's
binding costs three times the cipher on 64 bytes and gives up the interpreter
lock around each call, so that every other thread queues in between. Here the
very same library is called through `ctypes.PyDLL`, which keeps the interpreter
lock for those 1 to 4 µs, into a buffer that each thread has once. Where
PyNaCl's library does not show its symbols, its binding is used.

Source: docs/performance.md, "Where the time goes".
"""

import ctypes
import threading
from collections.abc import Callable
from typing import Any

from nacl import _sodium
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError

_TAG, _NONCE, _KEY = 16, 24, 32
_ROOM = 8192


class _Buffer(threading.local):
    """Where one thread's plain texts and boxes arrive before they become bytes."""

    def __init__(self) -> None:
        self.out = ctypes.create_string_buffer(_ROOM + _TAG)
        self.view = memoryview(self.out).cast("B")


_BUFFER = _Buffer()


def _function(name: str, *arguments: Any) -> Callable[..., Any] | None:
    try:
        function = getattr(ctypes.PyDLL(_sodium.__file__), f"crypto_aead_xchacha20poly1305_ietf_{name}")
    except (OSError, AttributeError, TypeError):
        return None
    function.argtypes = arguments
    function.restype = ctypes.c_int
    found: Callable[..., Any] = function
    return found


_OUT, _TEXT, _SIZE = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_ulonglong
# Arguments that we leave out are null pointers: the length written, and a secret nonce that no cipher uses.
_decrypt = _function("decrypt", _OUT, _OUT, _OUT, _TEXT, _SIZE, _TEXT, _SIZE, _TEXT, _TEXT)
_encrypt = _function("encrypt", _OUT, _OUT, _TEXT, _SIZE, _TEXT, _SIZE, _OUT, _TEXT, _TEXT)


def open_box(box: bytes, aad: bytes, nonce: bytes, key: bytes) -> bytes:
    """The plain text of a box.

    Raises:
        CryptoError: Not sealed under this key with this nonce and associated data.
    """
    size = len(box) - _TAG
    if len(nonce) != _NONCE or len(key) != _KEY or size < 0:
        raise CryptoError("a nonce, key or box of a wrong size")
    if _decrypt is None or size > _ROOM:
        plain: bytes = crypto_aead_xchacha20poly1305_ietf_decrypt(box, aad, nonce, key)
        return plain
    if _decrypt(_BUFFER.out, None, None, box, len(box), aad, len(aad), nonce, key):
        raise CryptoError("does not open")
    return _BUFFER.view[:size].tobytes()


def seal_box(plain: bytes, aad: bytes, nonce: bytes, key: bytes) -> bytes:
    """Seal `plain`; 16 bytes longer. A nonce must never seal twice under one key."""
    size = len(plain)
    if len(nonce) != _NONCE or len(key) != _KEY:
        raise CryptoError("a nonce or key of a wrong size")
    if _encrypt is None or size > _ROOM:
        box: bytes = crypto_aead_xchacha20poly1305_ietf_encrypt(plain, aad, nonce, key)
        return box
    if _encrypt(_BUFFER.out, None, plain, size, aad, len(aad), None, nonce, key):
        raise CryptoError("could not seal")
    return _BUFFER.view[: size + _TAG].tobytes()
