"""Which age regime a citizen chooses under, and when it ends.

Younger than 12 the parents decide, from 12 to 15 both, from 16 the person
alone. Nobody acts on the birthday: what a regime allowed ends at 00:00 of that
day in the Netherlands. A birth date that is not known means the regime in
which least can be opened alone: `samen`.

Source: docs/design/policy-and-consent.md, "Representation and ages".
"""

from datetime import date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

Regime = Literal["zelf", "samen", "ouder"]

_HERE = ZoneInfo("Europe/Amsterdam")
_WITH, _ALONE = 12, 16


def birth_date(claim: object) -> date | None:
    """The latest day a birth date can be, from an OpenID Connect `birthdate` claim.

    Args:
        claim: `YYYY-MM-DD` or `YYYY` (OpenID Connect Core §5.1); BRP marks unknown
            parts as `00`, and the year as `0000`.

    Returns:
        An unknown day or month counts as the last possible one. None when the
        year is unknown, or the claim is no date.
    """
    parts = claim.split("-") if isinstance(claim, str) else []
    if len(parts) not in (1, 3) or not all(part.isascii() and part.isdigit() for part in parts):
        return None
    year, month, day = (int(part) for part in (*parts, "0", "0")[:3])
    try:
        if year == 0:
            return None
        if month and day:
            return date(year, month, day)
        after = date(year + 1, 1, 1) if month in (0, 12) else date(year, month + 1, 1)
        return after - timedelta(days=1)
    except ValueError:
        return None


def regime_of(born: date | None, at: datetime) -> Regime:
    """The regime at a moment (aware)."""
    if born is None:
        return "samen"
    if at < birthday(born, _WITH):
        return "ouder"
    return "samen" if at < birthday(born, _ALONE) else "zelf"


def next_boundary(born: date | None, at: datetime, boundaries: tuple[int, ...]) -> datetime | None:
    """The next birthday that ends a yes, at 00:00 in the Netherlands; None without one."""
    if born is None:
        return None
    return next((day for day in (birthday(born, age) for age in boundaries) if day > at), None)


def birthday(born: date, age: int) -> datetime:
    """The moment at which somebody reaches an age: 00:00 of that day in the Netherlands."""
    # Who was born on 29 February becomes a year older on 1 March.
    try:
        day = born.replace(year=born.year + age)
    except ValueError:
        day = date(born.year + age, 3, 1)
    return datetime(day.year, day.month, day.day, tzinfo=_HERE)
