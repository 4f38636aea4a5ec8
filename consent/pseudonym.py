"""What stands for a citizen in one scope.

Source: docs/design/pseudonyms.md, "Values and encodings".
"""

from hmac import compare_digest
from typing import NoReturn


class Pseudonym:
    """Thirty-two bytes that stand for one citizen in one scope.

    Shows its scope, never its value: logs and tracebacks print reprs. It cannot
    be pickled, formatted, hashed or iterated over. Python cannot wipe memory;
    this prevents accidents and claims no more.
    """

    __slots__ = ("_value", "scope")

    scope: str

    def __init__(self, scope: str, value: bytes) -> None:
        """
        Args:
            scope: One of the six flag domains.
            value: N, the canonical ristretto255 element; its owner checked it.
        """
        if len(value) != 32:
            raise ValueError("a pseudonym has 32 bytes")
        self.scope = scope
        self._value = value

    def for_sealed_points(self) -> bytes:
        """For the sealed box to the hub, and nothing else."""
        return self._value

    def for_search_key(self) -> bytes:
        """For the hub's keyed hashes (search keys, log id, escrow), and nothing else."""
        return self._value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Pseudonym):
            return NotImplemented
        return self.scope == other.scope and compare_digest(self._value, other._value)

    __hash__ = None  # type: ignore[assignment]  # a pseudonym must not become a key of a cache or a set

    def __repr__(self) -> str:
        return f"<Pseudonym {self.scope}>"

    def _withhold(self, *_: object) -> NoReturn:
        raise TypeError("a pseudonym leaves only in a sealed box")

    __str__ = __format__ = __reduce_ex__ = __reduce__ = __getstate__ = __bytes__ = _withhold
