"""Plots of steering figures as places in an SVG; the template draws them, and a table says the same in text.

A count that is hidden has no bar: a bar of any length would tell something.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from index.steering import Count, Figures

WIDTH = 400
_LABEL, _BAR, _GAP = 22, 16, 14
_HEIGHT, _FOOT, _TOP = 200, 44, 22
_MONTHS = 12


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
    """Lying bars, the largest first, each under its label; a hidden count has none. `y` is of the bar."""
    told = sorted((one for one in counts if one.count is not None), key=lambda one: -(one.count or 0))
    most = max((one.count or 0 for one in told), default=1)
    room, step = WIDTH - 50, _LABEL + _BAR + _GAP
    drawn = [
        Bar(one.code, one.count, 0, row * step + _LABEL, max(2, room * (one.count or 0) // most), _BAR)
        for row, one in enumerate(told)
    ]
    return Plot(WIDTH, step * max(1, len(drawn)), drawn)


def columns(months: Sequence[Figures], kind: str) -> Plot:
    """Standing bars of what was seen of one subject in the newest twelve months, from old to new."""
    newest = months[:_MONTHS][::-1]
    found = [(one.month, next((c.count for c in one.seen if c.code == kind), None)) for one in newest]
    most = max((count or 0 for _, count in found), default=0) or 1
    step = min(60, WIDTH // max(1, len(found)))
    room = _HEIGHT - _FOOT - _TOP
    drawn = []
    for place, (month, count) in enumerate(found):
        tall = 0 if count is None else max(2, room * count // most)
        drawn.append(Bar(month, count, place * step + step // 6, _TOP + room - tall, 2 * step // 3, tall))
    return Plot(WIDTH, _HEIGHT, drawn)
