"""The two forms in which a node's store may keep a trace of a person.

`person_tag` tells whether a corrected BSN is another person; `seal_bsn` keeps
a BSN while the key holders cannot be reached. Both need a key file that is not
in the store.
"""

import hmac

from .bsn import Bsn
from .store.seal import seal, unseal


def person_tag(node_secret: bytes, bsn: Bsn, context: str = "flag") -> bytes:
    """Keyed digest of a BSN, 16 bytes; equal for one person within one context and node only."""
    message = b"vlagwijzer/person/v1" + context.encode() + b"\0" + bsn.reveal().encode()
    return hmac.digest(node_secret, message, "sha256")[:16]


def seal_bsn(storage_key: bytes, seq: int, bsn: Bsn) -> bytes:
    """A BSN for row `seq` of table `waiting`."""
    return seal(storage_key, "waiting", str(seq), bsn.reveal().encode())


def open_bsn(storage_key: bytes, seq: int, sealed: bytes) -> Bsn:
    """The BSN of row `seq` of table `waiting`.

    Raises:
        SealBroken: Sealed for another row, or under another storage key.
    """
    return Bsn.parse(unseal(storage_key, "waiting", str(seq), sealed).decode())
