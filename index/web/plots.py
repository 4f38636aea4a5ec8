"""Plots of steering figures as places in an SVG; the template draws them, and a table says the same in text.

A count that is hidden has no bar: a bar of any length would tell something.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from index.steering import Count, Figures

WIDTH = 640
_LABEL, _ROW, _BAR = 250, 30, 18
_HEIGHT, _FOOT, _TOP = 220, 34, 16


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar and its label; `count` is None where it is hidden, and there is no bar."""

    code: str
    count: int | None
    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawing in its own units."""

    width: int
    height: int
    bars: Sequence[Bar]


def bars(counts: Sequence[Count]) -> Plot:
    """Lying bars, the largest first; hidden ones last, in their own order."""
    told = sorted((one for one in counts if one.count is not None), key=lambda one: -(one.count or 0))
    most = max((one.count or 0 for one in told), default=1)
    room = WIDTH - _LABEL - 60
    drawn = [
        Bar(one.code, one.count, _LABEL, row * _ROW, max(2, room * (one.count or 0) // most), _BAR)
        for row, one in enumerate(told)
    ]
    return Plot(WIDTH, _ROW * max(1, len(drawn)), drawn)


def columns(months: Sequence[Figures], kind: str) -> Plot:
    """Standing bars of what was seen of one subject, by month from old to new."""
    found = [(one.month, next((c.count for c in one.seen if c.code == kind), None)) for one in months][::-1]
    most = max((count or 0 for _, count in found), default=0) or 1
    step = min(90, WIDTH // max(1, len(found)))
    room = _HEIGHT - _FOOT - _TOP
    drawn = []
    for place, (month, count) in enumerate(found):
        tall = 0 if count is None else max(2, room * count // most)
        drawn.append(Bar(month, count, place * step + step // 4, _TOP + room - tall, step // 2, tall))
    return Plot(WIDTH, _HEIGHT, drawn)
