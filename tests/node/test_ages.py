"""Who may choose alone: by age, on the birthday itself, and when nobody knows the birthday."""

from datetime import UTC, date, datetime, timedelta

import pytest

from nodes.ages import birth_date, next_boundary, regime_of
from nodes.citizen import Change, Receiver
from nodes.errors import NotAllowed

from .test_citizens import login, published
from .world import BSN_A, GEMEENTE, NodeWorld

pytestmark = pytest.mark.anyio
TEAM = Receiver(GEMEENTE, "wijkteam-noord")
YES = Change("grant", kind="schuldhulp", receiver=TEAM)
NO = Change("deny", kind="schuldhulp", receiver=TEAM)


@pytest.mark.parametrize(
    ("claim", "latest"),
    [
        ("1985-12-01", date(1985, 12, 1)),
        ("1985", date(1985, 12, 31)),
        ("1985-00-00", date(1985, 12, 31)),
        ("1985-02-00", date(1985, 2, 28)),
        ("1984-02-00", date(1984, 2, 29)),
        ("0000-00-00", None),
        ("0000-05-01", None),
        ("1985-13-01", None),
        ("1985-02-30", None),
        ("19851201", None),
        ("yesterday", None),
        ("", None),
        (None, None),
        (1985, None),
    ],
)
def test_an_unknown_part_of_a_birth_date_counts_as_the_last_possible_one(
    claim: object, latest: date | None
) -> None:
    assert birth_date(claim) == latest


def test_a_regime_ends_at_midnight_of_the_birthday_in_the_netherlands() -> None:
    born = date(2010, 7, 1)
    before = datetime(2026, 6, 30, 21, 59, tzinfo=UTC)
    after = datetime(2026, 6, 30, 22, 0, tzinfo=UTC)
    assert (regime_of(born, before), regime_of(born, after)) == ("samen", "zelf")
    assert regime_of(date(2015, 1, 1), before) == "ouder"
    assert regime_of(None, after) == "samen"
    assert next_boundary(born, after, (12, 16, 18)) == datetime(2028, 6, 30, 22, 0, tzinfo=UTC)
    assert next_boundary(date(1980, 1, 1), after, (12, 16, 18)) is None


def test_who_was_born_on_a_leap_day_gets_older_on_the_first_of_march() -> None:
    born = date(2012, 2, 29)
    assert regime_of(born, datetime(2028, 2, 29, 12, tzinfo=UTC)) == "zelf"
    assert next_boundary(date(2008, 2, 29), datetime(2024, 3, 1, tzinfo=UTC), (17,)) == datetime(
        2025, 2, 28, 23, 0, tzinfo=UTC
    )


async def test_a_youth_of_unknown_age_or_below_sixteen_opens_nothing_alone_and_a_no_holds(
    world: NodeWorld,
) -> None:
    await published(world)
    today = world.clock().date()
    for born in (None, date(today.year - 13, 1, 1)):
        portal, session = await login(world, born=born)
        promised = await portal.citizens.preview(session, YES)
        assert promised.opened == []
        await portal.citizens.choose(session, YES, "Ja.")
        assert await world.sees(BSN_A) == set()
        await portal.citizens.choose(session, NO, "Nee.")
        newest = next(iter(await portal.citizens.choices(session)))
        assert (newest.effect, newest.until) == ("deny", None)


async def test_below_twelve_nothing_is_chosen_by_the_child(world: NodeWorld) -> None:
    portal, session = await login(world, born=date(world.clock().year - 5, 1, 1))
    for change in (YES, NO):
        with pytest.raises(NotAllowed):
            await portal.citizens.choose(session, change, "")
    with pytest.raises(NotAllowed):
        await portal.citizens.withdraw(session, "x", "")
    assert await portal.citizens.choices(session) == []


async def test_a_yes_of_a_seventeen_year_old_ends_on_the_eighteenth_birthday(world: NodeWorld) -> None:
    soon = world.clock().date() + timedelta(days=60)
    born = soon.replace(year=soon.year - 18, day=min(soon.day, 28))
    portal, session = await login(world, born=born)
    await portal.citizens.choose(session, YES, "Ja.")
    (choice,) = await portal.citizens.choices(session)
    assert choice.until == next_boundary(born, world.clock(), (12, 16, 18))
    assert choice.until is not None
    assert timedelta(days=20) < choice.until - world.clock() < timedelta(days=62)
