"""Convenants, mandates and profiles: who opens, who closes, and the day on which it ends."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from index.acts import Refused
from index.registers import Registers, midnight

from .office import Bureau, People
from .world import GEMEENTE, World

pytestmark = pytest.mark.anyio
PERIOD = {"begin": date(2026, 1, 1), "end": date(2027, 1, 1)}


@pytest.fixture
async def bureau(tmp_path: Path) -> AsyncIterator[Bureau]:
    people = People(tmp_path / "people")
    async with World(tmp_path, approvers=people.approvers()).running() as world:
        yield Bureau(world, people)


def convenant(bureau: Bureau, name: str = "anna", **changes: object) -> int:
    said = {"organisation": GEMEENTE, "kinds": ["ww"], "purposes": ["casusoverleg"], **PERIOD, **changes}
    return bureau.register(lambda desk: desk.add_convenant(bureau.who(name), **said))


def test_a_day_begins_at_midnight_in_amsterdam() -> None:
    assert midnight(date(2026, 7, 1)) == datetime(2026, 6, 30, 22, tzinfo=UTC).timestamp()
    assert midnight(date(2026, 12, 1)) == datetime(2026, 11, 30, 23, tzinfo=UTC).timestamp()


async def test_a_convenant_holds_from_its_approval_until_midnight_of_its_last_day(bureau: Bureau) -> None:
    number = convenant(bureau)
    bureau.register(lambda desk: desk.approve("convenant", bureau.who("bram"), number))
    with bureau.office.sitting() as sitting:
        entry = Registers().after(sitting.history).entries[number]
    assert not entry.in_force(entry.approved_at - 1)
    assert entry.in_force(midnight(PERIOD["end"]) - 1)
    assert not entry.in_force(midnight(PERIOD["end"]))


async def test_one_person_opens_nothing_and_closes_at_once(bureau: Bureau) -> None:
    number = convenant(bureau)
    with pytest.raises(Refused, match="another person"):
        bureau.register(lambda desk: desk.approve("convenant", bureau.who("anna"), number))
    bureau.register(lambda desk: desk.approve("convenant", bureau.who("bram"), number))
    bureau.register(lambda desk: desk.end("convenant", bureau.who("carla"), number))
    with bureau.office.sitting() as sitting:
        entry = Registers().after(sitting.history).entries[number]
    # Also for a process whose clock is behind.
    assert not entry.in_force(sitting.seconds - 60)
    assert not entry.in_force(sitting.seconds + 60)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kinds": ["bitcoin"]},
        {"kinds": []},
        {"purposes": ["toezicht"]},
        {"organisation": "00000001234567890009"},
        {"end": PERIOD["begin"]},
        {"end": date(2026, 1, 2) - timedelta(days=300)},
    ],
)
async def test_a_name_that_directory_or_vocabulary_lack_is_refused(
    bureau: Bureau, wrong: dict[str, object]
) -> None:
    with pytest.raises(Refused):
        convenant(bureau, **wrong)
    with bureau.office.sitting() as sitting:
        assert not Registers().after(sitting.history).entries


async def test_a_profile_that_closes_holds_with_one_person_and_one_that_opens_needs_two(
    bureau: Bureau,
) -> None:
    def now() -> str:
        with bureau.office.sitting() as sitting:
            return Registers().after(sitting.history).profile_of(GEMEENTE)

    bureau.register(lambda desk: desk.set_profile(bureau.who("anna"), GEMEENTE, "utrecht"), "utrecht")
    assert now() == "utrecht"
    number = bureau.register(lambda desk: desk.set_profile(bureau.who("anna"), GEMEENTE, "basis"))
    assert now() == "utrecht"
    bureau.register(lambda desk: desk.approve("profile", bureau.who("bram"), number))
    assert now() == "basis"
