"""Terms: the calendar is that of the Algemene termijnenwet, and a term ends when the law says."""

from datetime import UTC, date, datetime, timedelta

import pytest

from policy.clock import AMSTERDAM, add_working_days, holidays_of, is_working_day, month_later


def easter(year: int) -> date:
    """Easter Sunday, by the anonymous Gregorian rule: an own computation beside the library's."""
    golden, (century, rest) = year % 19, divmod(year, 100)
    skipped, correction = century // 4, (century - (century + 8) // 25 + 1) // 3
    moon = (19 * golden + century - skipped - correction + 15) % 30
    sunday = (32 + 2 * (century % 4) + 2 * (rest // 4) - moon - rest % 4) % 7
    late = (golden + 11 * moon + 22 * sunday) // 451
    month, day = divmod(moon + sunday - 7 * late + 114, 31)
    return date(year, month, day + 1)


def by_law(year: int) -> set[date]:
    """The days of art. 3 paragraphs 1 and 2, besides the two that are Sundays every year."""
    sunday = easter(year)
    kings = date(year, 4, 27)
    kings -= timedelta(days=kings.weekday() == 6)
    around_easter = {sunday + timedelta(days=days) for days in (-2, 1, 39, 50)}
    fixed = {date(year, 1, 1), kings, date(year, 5, 5), date(year, 12, 25), date(year, 12, 26)}
    return around_easter | fixed


@pytest.mark.parametrize("year", range(2020, 2061))
def test_the_calendar_is_exactly_that_of_the_law(year: int) -> None:
    assert {day for day in holidays_of(year) if day not in (easter(year), easter(year) + timedelta(49))} == (
        by_law(year)
    )


def test_good_friday_and_the_fifth_of_may_are_no_working_days_in_any_year() -> None:
    assert not is_working_day(date(2026, 4, 3))
    assert [is_working_day(date(year, 5, 5)) for year in (2025, 2026, 2027, 2028)] == [False] * 4
    assert is_working_day(date(2026, 5, 4))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=AMSTERDAM)


@pytest.mark.parametrize(
    ("start", "days", "end"),
    [
        ("2026-11-23T10:00", 5, "2026-12-01T00:00"),
        ("2026-11-27T23:59", 1, "2026-12-01T00:00"),
        ("2026-11-28T12:00", 1, "2026-12-01T00:00"),
        ("2026-04-02T09:00", 5, "2026-04-14T00:00"),
        ("2026-12-24T09:00", 5, "2027-01-05T00:00"),
        ("2026-05-04T09:00", 1, "2026-05-07T00:00"),
    ],
)
def test_a_term_of_working_days_ends_with_its_last_day(start: str, days: int, end: str) -> None:
    assert add_working_days(at(start), days) == at(end)


def test_a_term_counts_days_of_amsterdam_and_not_of_the_argument() -> None:
    late = datetime(2026, 11, 23, 23, 30, tzinfo=UTC)
    assert add_working_days(late, 1) == at("2026-11-26T00:00")


def test_a_day_that_a_decree_equates_is_passed_over() -> None:
    friday = date(2026, 5, 15)
    assert add_working_days(at("2026-05-13T09:00"), 1) == at("2026-05-16T00:00")
    assert add_working_days(at("2026-05-13T09:00"), 1, {friday}) == at("2026-05-19T00:00")


@pytest.mark.parametrize(
    ("start", "months", "end"),
    [
        ("2026-11-23T10:00", 1, "2026-12-24T00:00"),
        ("2026-01-31T10:00", 1, "2026-03-03T00:00"),
        ("2026-11-30T10:00", 3, "2027-03-02T00:00"),
        ("2026-11-25T10:00", 1, "2026-12-29T00:00"),
    ],
)
def test_a_term_of_months_ends_on_the_same_number_or_the_next_working_day(
    start: str, months: int, end: str
) -> None:
    assert month_later(at(start), months) == at(end)


@pytest.mark.parametrize("wrong", [0, -1])
def test_a_term_without_days_is_none(wrong: int) -> None:
    with pytest.raises(ValueError, match="at least"):
        add_working_days(at("2026-11-23T10:00"), wrong)
    with pytest.raises(ValueError, match="at least"):
        month_later(at("2026-11-23T10:00"), wrong)
