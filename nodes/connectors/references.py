"""Local references of facts that come without one: readable where that is safe, else a keyed digest.

A number of a decision has nine digits as a BSN has, and one in eleven passes
the elfproef. Such a reference would be refused, so it is replaced by a digest
under the node secret: always the same one, and nobody can turn it back.
"""

import hashlib
import hmac

from ..publication import check_local_ref


class References:
    """Makes references; holds the node secret and shows nothing of it."""

    __slots__ = ("_secret",)

    def __init__(self, node_secret: bytes) -> None:
        self._secret = node_secret

    def of(self, prefix: str, *parts: str) -> str:
        """`prefix:part:part`, or `prefix:` and 24 hexadecimal letters."""
        readable = ":".join((prefix, *parts))
        if not check_local_ref(readable):
            return readable
        return f"{prefix}:{self.tag(prefix, *parts)[:24]}"

    def hidden(self, prefix: str, *parts: str) -> str:
        """A reference whose parts must not be read, such as those made from a person."""
        return f"{prefix}:{self.tag(prefix, *parts)[:24]}"

    def tag(self, *parts: str) -> str:
        """A keyed digest of parts as 32 letters; letters only, for digits could look like a BSN."""
        message = b"vlagwijzer/reference/v1" + b"".join(
            len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts
        )
        digest = hmac.digest(self._secret, message, hashlib.sha256)[:16]
        return digest.hex().translate(_LETTERS)

    def __repr__(self) -> str:
        return "<References>"


_LETTERS = str.maketrans("0123456789", "ghijklmnop")
