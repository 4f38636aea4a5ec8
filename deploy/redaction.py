"""No burgerservicenummer in any log line, however it got there.

A number of nine digits that passes the elfproef is masked wherever it stands:
whole, in groups with spaces, dots or dashes, in a URL, percent-encoded, or as
an integer. Masking is the last step before a line is rendered, so that text of
exceptions and the `repr` of unknown objects pass through it too.

One in eleven numbers of nine digits passes the elfproef by chance; such a
number is masked too. Identifiers in our logs are therefore never numeric.

Source: docs/design/access-log.md, "Security, in order of value", point 6.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any

MASK = "[number withheld]"

# A digit as text, percent-encoded or escaped; or one separator; tried in this order, so that
# the 20 of %20 is never taken for two digits of the number behind it.
_TOKEN = re.compile(
    r"(?P<digit>%3[0-9]|\\u003[0-9]|\\x3[0-9]|\d)"
    r"|(?P<gap>%[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}|[\s.\-_+/,:\u00ad\u200b\u2010-\u2015])"
)
_DIGITS = re.compile(r"\d")
_WEIGHTS = (9, 8, 7, 6, 5, 4, 3, 2, -1)
_MAX_GAP = 3
_MAX_DEPTH = 8


def passes_elfproef(digits: Sequence[int]) -> bool:
    """Whether nine digits form a burgerservicenummer; all zeros do not."""
    return (
        len(digits) == 9
        and any(digits)
        and sum(w * d for w, d in zip(_WEIGHTS, digits, strict=True)) % 11 == 0
    )


class _Group:
    """Digits that stand side by side, and where they stand in the text."""

    __slots__ = ("digits", "end", "start")

    def __init__(self, start: int, end: int, digit: int) -> None:
        self.start, self.end, self.digits = start, end, [digit]


def _runs(text: str) -> Iterator[list[_Group]]:
    """Groups of digits with nothing but a few separators between them."""
    run: list[_Group] = []
    gap = 0
    last = -1
    for token in _TOKEN.finditer(text):
        start, end = token.span()
        if start != last:
            if run:
                yield run
            run, gap = [], 0
        last = end
        if token["gap"] is not None:
            gap += 1
            continue
        digit = unicodedata.digit(token["digit"][-1])
        if run and gap == 0:
            run[-1].digits.append(digit)
            run[-1].end = end
        elif run and gap <= _MAX_GAP:
            run.append(_Group(start, end, digit))
        else:
            if run:
                yield run
            run = [_Group(start, end, digit)]
        gap = 0
    if run:
        yield run


def _spans(run: list[_Group]) -> Iterator[tuple[int, int]]:
    """Where a number of nine digits begins and ends on the edges of groups."""
    for first in range(len(run)):
        digits: list[int] = []
        for group in run[first:]:
            digits += group.digits
            if len(digits) >= 9:
                if passes_elfproef(digits):
                    yield run[first].start, group.end
                break


def mask_text(text: str) -> str:
    """The text with every burgerservicenummer replaced by `MASK`."""
    if len(_DIGITS.findall(text)) < 9:
        return text
    spans = sorted(span for run in _runs(text) for span in _spans(run))
    parts: list[str] = []
    done = 0
    for start, end in spans:
        if end <= done:
            continue
        parts += [text[done : max(start, done)], MASK]
        done = end
    return "".join(parts) + text[done:]


def mask(value: Any, depth: int = 0) -> Any:
    """The value with every text in it masked; what JSON does not know becomes its masked `repr`."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, int | float):
        # A leading zero is lost in an integer: 8 digits may be a number of nine.
        text = str(value).zfill(9) if isinstance(value, int) else str(value)
        return value if mask_text(text) == text else MASK
    if depth < _MAX_DEPTH and isinstance(value, Mapping):
        return {mask_text(str(key)): mask(item, depth + 1) for key, item in value.items()}
    if depth < _MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
        return [mask(item, depth + 1) for item in value]
    return mask_text(repr(value))


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Processor of structlog. It must stand after `format_exc_info` and before the renderer."""
    return {mask_text(str(key)): mask(value) for key, value in event.items()}
