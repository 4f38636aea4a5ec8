"""The citizen service number. It exists in this package only, and only as `Bsn`.

Nothing prints, formats, pickles, serialises, hashes or iterates a `Bsn`; the
one way out is `reveal`, which a lint allows in few places. Python cannot wipe
memory and a debugger sees all: this prevents accidents and claims no more.

Source: docs/design/pseudonyms.md, "Values and encodings" (`bsn9`).
"""

import hmac
import re
from typing import Any, NoReturn

_NINE_DIGITS = re.compile(r"[0-9]{9}")
_WEIGHTS = (9, 8, 7, 6, 5, 4, 3, 2, -1)


class BadBsn(Exception):
    """Not a citizen service number. Says so and never shows what was given."""

    def __init__(self) -> None:
        super().__init__("not a citizen service number: nine digits that pass the elfproef")


class Bsn:
    """Nine ASCII digits that passed the elfproef, and that nothing shows.

    Comparing takes constant time. There is no hash, so no set or dict of
    numbers comes into being by accident.
    """

    __slots__ = ("_digits",)
    _digits: str

    def __init__(self) -> None:
        raise TypeError("use Bsn.parse")

    def __init_subclass__(cls, **_: Any) -> NoReturn:
        raise TypeError("a Bsn has no subclass")

    @classmethod
    def parse(cls, text: object) -> "Bsn":
        """Exactly nine ASCII digits, leading zeros included, elfproef passed, not 000000000.

        Eight digits, spaces, dots and digits of other scripts are refused:
        one citizen has one spelling.

        Raises:
            BadBsn: Anything else; without the text and without a cause that holds it.
        """
        number = _checked(text)
        text = None
        if number is None:
            raise BadBsn
        bsn = object.__new__(cls)
        object.__setattr__(bsn, "_digits", number)
        return bsn

    def reveal(self) -> str:
        """The nine digits, for the blinded input of the key holders or a source's own screen."""
        return self._digits

    def __setattr__(self, _name: str, _value: object) -> NoReturn:
        raise TypeError("a Bsn does not change")

    def __delattr__(self, _name: str) -> NoReturn:
        raise TypeError("a Bsn does not change")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Bsn):
            return NotImplemented
        return hmac.compare_digest(self._digits, other._digits)

    def __repr__(self) -> str:
        return "<Bsn>"

    def _withhold(self, *_: object) -> NoReturn:
        raise TypeError("a Bsn is not shown, stored or sent")

    __hash__ = None  # type: ignore[assignment]
    __str__ = __format__ = __bytes__ = _withhold
    __iter__ = __len__ = __getitem__ = __contains__ = __int__ = __index__ = _withhold
    __lt__ = __le__ = __gt__ = __ge__ = _withhold
    __reduce__ = __reduce_ex__ = __getstate__ = __copy__ = __deepcopy__ = _withhold


def passes_elfproef(digits: str) -> bool:
    """Whether nine ASCII digits satisfy the eleven test of citizen service numbers."""
    return sum(w * int(d) for w, d in zip(_WEIGHTS, digits, strict=True)) % 11 == 0


def _checked(text: object) -> str | None:
    if type(text) is not str or not _NINE_DIGITS.fullmatch(text) or text == "000000000":
        return None
    return text if passes_elfproef(text) else None
