"""Terms in working days and months, in the Netherlands.

A term of days begins on the day after the event and lasts until the end of its
last day; the end that is returned is that midnight, so a moment before it is in
time. Days are those of Europe/Amsterdam, whatever the zone of the argument.

Working days are Monday to Friday without the holidays of the Algemene
termijnenwet, art. 3: New Year, Good Friday (paragraph 2), Easter Monday, the
day on which the King's birthday is celebrated, 5 May of every year, Ascension
Day, Whit Monday and both days of Christmas. Days that a royal decree equates
with these (paragraph 3) are in no calendar: the caller brings them.

Source: docs/design/policy-and-consent.md, "Terms".
"""

from calendar import monthrange
from collections.abc import Collection
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

AMSTERDAM = ZoneInfo("Europe/Amsterdam")


def is_working_day(day: date, equated: Collection[date] = ()) -> bool:
    """Whether offices count this day. `equated`: days that a royal decree makes like holidays."""
    return day.weekday() < 5 and day not in holidays_of(day.year) and day not in equated


@cache
def holidays_of(year: int) -> frozenset[date]:
    """The holidays of one year, art. 3 paragraphs 1 and 2; Sundays among them included.

    The calendar's public days leave out Good Friday, and 5 May in most years; both are
    optional there and holidays under this law.
    """
    # Imported at the first use: a process that starts needs no calendar.
    from holidays import OPTIONAL, PUBLIC, country_holidays

    return frozenset(country_holidays("NL", years=year, categories=(PUBLIC, OPTIONAL)))


def add_working_days(start: datetime, days: int, equated: Collection[date] = ()) -> datetime:
    """The end of the `days`th working day after the day of `start`, as UTC.

    Args:
        start: Aware.
        days: At least 1.
    """
    if days < 1:
        raise ValueError("a term has at least one day")
    day = start.astimezone(AMSTERDAM).date()
    for _ in range(days):
        day = _next_working_day(day + timedelta(days=1), equated)
    return _end_of(day)


def month_later(start: datetime, months: int = 1, equated: Collection[date] = ()) -> datetime:
    """The end of a term of months, as UTC.

    It ends on the day with the same number, or the last day of a shorter month; on a
    Saturday, Sunday or holiday it ends on the next working day (art. 1 paragraph 1).

    Args:
        start: Aware.
        months: At least 1.
    """
    if months < 1:
        raise ValueError("a term has at least one month")
    day = start.astimezone(AMSTERDAM).date()
    years, month = divmod(day.month - 1 + months, 12)
    year, month = day.year + years, month + 1
    last = date(year, month, min(day.day, monthrange(year, month)[1]))
    return _end_of(_next_working_day(last, equated))


def _next_working_day(day: date, equated: Collection[date]) -> date:
    """This day or the first working day after it."""
    while not is_working_day(day, equated):
        day += timedelta(days=1)
    return day


def _end_of(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(), AMSTERDAM).astimezone(UTC)
