"""The secret that takes one flag back, and its hash that the flag carries at the hub.

    s    = HMAC-SHA256(node secret, "vlagwijzer/retract/v1" ‖ lp(local reference) ‖ u32(revision))
    rtag = BLAKE2b-256(s)

Only the node that published can retract, it needs no list of persons to do so,
and a revision whose secret was revealed is never used again.

Source: docs/design/pseudonyms.md, "Retraction, lease, reconciliation".
"""

import hashlib
import hmac

from index.protocol.codec import lp, u32


def secret_of(node_secret: bytes, local_ref: str, revision: int) -> bytes:
    """`s`, 32 bytes."""
    message = b"vlagwijzer/retract/v1" + lp(local_ref) + u32(revision)
    return hmac.digest(node_secret, message, "sha256")


def rtag_of(secret: bytes) -> bytes:
    """`rtag`, 32 bytes."""
    return hashlib.blake2b(secret, digest_size=32).digest()
