"""Pseudonyms on their way to the hub: a sealed box bound to sender and message.

A sealed box is anonymous, so the plain text repeats who sends it and in which
message; a copied box works for no other sender and no other message.

Source: docs/design/pseudonyms.md, "Points".
"""

import hmac
from collections.abc import Iterable, Sequence

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox

from .codec import lp, u16

_TAG = b"vlagwijzer/points/v1"
POINT_SIZE = 32
MAX_POINTS = 1000


class PointsError(ValueError):
    """A sealed box that does not open, or was made for another sender, message or count."""


def plain_points(node: str, message_id: str, values: Sequence[bytes]) -> bytes:
    """The bytes inside the box: tag, sender, message, count and the 32-byte values."""
    if len(values) > MAX_POINTS or any(len(value) != POINT_SIZE for value in values):
        raise PointsError("too many points, or one of a wrong size")
    return _TAG + lp(node) + lp(message_id) + u16(len(values)) + b"".join(values)


def seal_points(hub_x25519_public: bytes, node: str, message_id: str, values: Sequence[bytes]) -> bytes:
    """Seal `values` to the hub's X25519 key for one message of one node."""
    box = SealedBox(PublicKey(hub_x25519_public))
    return box.encrypt(plain_points(node, message_id, values))


def open_points(
    private_keys: Iterable[bytes] | bytes, sealed: bytes, node: str, message_id: str, count: int
) -> list[bytes]:
    """The `count` values of a box that this node sealed for this message.

    Args:
        private_keys: The hub's X25519 private keys, newest first (two are listed at a rotation).

    Raises:
        PointsError: No key opens it, or it names another sender, message or count.
    """
    keys = [private_keys] if isinstance(private_keys, bytes) else private_keys
    plain = next((opened for key in keys if (opened := _open(key, sealed)) is not None), None)
    if plain is None:
        raise PointsError("the box does not open")
    head = _TAG + lp(node) + lp(message_id) + u16(count)
    if not hmac.compare_digest(plain[: len(head)], head) or len(plain) != len(head) + count * POINT_SIZE:
        raise PointsError("the box was made for another sender, message or count")
    return [plain[at : at + POINT_SIZE] for at in range(len(head), len(plain), POINT_SIZE)]


def _open(private_key: bytes, sealed: bytes) -> bytes | None:
    try:
        return SealedBox(PrivateKey(private_key)).decrypt(sealed)
    except (CryptoError, ValueError, TypeError):
        return None
