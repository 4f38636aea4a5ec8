"""HMAC-SHA256 under a key that is used again and again.

A message of a thousand flags takes four short HMACs each. The standard
library begins every one anew from the key; here the two blocks that depend on
the key alone are hashed once, and each call starts from copies of them: a
third of the time for messages of some 50 bytes.

Source: RFC 2104 §2, and §4 for the blocks kept.
"""

import hashlib
from collections.abc import Callable
from functools import lru_cache

_BLOCK = 64
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


@lru_cache(maxsize=16)
def mac_under(key: bytes) -> Callable[[bytes], bytes]:
    """A function that gives the HMAC-SHA256 of a message under `key`, 32 bytes.

    Raises:
        ValueError: A key longer than a block; ours have 32 bytes.
    """
    if len(key) > _BLOCK:
        raise ValueError("a key of at most 64 bytes")
    block = key.ljust(_BLOCK, b"\0")
    begin_inner = hashlib.sha256(block.translate(_INNER)).copy
    begin_outer = hashlib.sha256(block.translate(_OUTER)).copy

    def mac(message: bytes) -> bytes:
        inner = begin_inner()
        inner.update(message)
        outer = begin_outer()
        outer.update(inner.digest())
        return outer.digest()

    return mac
