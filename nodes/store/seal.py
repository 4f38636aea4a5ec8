"""Sealing of what a node keeps for a while: XChaCha20-Poly1305 under the node's storage key.

    sealed = 0x01 ‖ nonce(24) ‖ XChaCha20-Poly1305(key, nonce, plain, AAD = lp(table) ‖ lp(row))

The row is in the AAD, so a value moved to another row does not open.
"""

import nacl.bindings
import nacl.utils
from nacl.exceptions import CryptoError

from index.protocol.codec import lp

_NONCE = 24
_VERSION = b"\x01"


class SealBroken(Exception):
    """A stored value does not open: another key, another row, or damage."""


def seal(key: bytes, table: str, row: str, plain: bytes) -> bytes:
    """Seal a value for one row of one table."""
    nonce = nacl.utils.random(_NONCE)
    box = nacl.bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plain, lp(table) + lp(row), nonce, key)
    return _VERSION + nonce + box


def unseal(key: bytes, table: str, row: str, sealed: bytes) -> bytes:
    """The value sealed for this row.

    Raises:
        SealBroken: It was sealed for another row or under another key, or is damaged.
    """
    nonce, box = sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :]
    try:
        if sealed[:1] != _VERSION:
            raise SealBroken(table)
        return nacl.bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(box, lp(table) + lp(row), nonce, key)
    except (CryptoError, ValueError):
        raise SealBroken(table) from None
