"""Attack: renew a visit for ever, and so look at a person for years for one evaluation.

Defence: a relation ends at most 90 days after its opening, whatever is renewed;
after that only fresh units of the key holders open it.
"""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from index.accesslog.reading import EntryFilter
from index.protocol.messages import RelationAnswer
from tests.hub.world import World

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path).running() as running:
        yield running


async def test_a_visit_ends_ninety_days_after_its_opening_however_often_it_is_renewed(world: World) -> None:
    visit = await world.wijkteam.opens("m-jan", ["Fatima"], until=timedelta(days=80))
    world.clock.shift(days=79)

    over = await world.wijkteam.renews(visit, timedelta(days=80))
    just = await world.wijkteam.renews(visit, timedelta(days=10))

    assert (over.response.status_code, just.response.status_code) == (400, 200)
    assert "until-out-of-range" in over.response.text
    visit.tickets = list(msgspec.json.decode(just.response.content, type=RelationAnswer).tickets)
    assert (await world.wijkteam.looks(visit)).persons[0].refused == ""
    world.clock.shift(days=12)
    assert (await world.wijkteam.looks(visit)).persons[0].refused == "no-relation"


async def test_a_renewal_that_goes_too_far_stands_in_the_persons_log(world: World) -> None:
    visit = await world.wijkteam.opens("m-jan", ["Fatima"], until=timedelta(days=80))
    world.clock.shift(days=79)
    await world.wijkteam.renews(visit, timedelta(days=80))
    with world.hub.reading() as connection:
        last = world.hub.log_reader.entries(connection, EntryFilter()).entries[0].asker
    assert (last.t, last.refused, len(last.handles)) == ("relation", "until-out-of-range", len(visit.scopes))


async def test_an_opening_sent_again_later_gives_tickets_that_work(world: World) -> None:
    """The answer was lost on its way: without this the visit would be paid for and worth nothing."""
    visit, sent = await world.wijkteam.tries_to_open("m-jan", ["Fatima"])
    world.clock.shift(seconds=7)

    again = await world.wijkteam.send(
        sent.path, sent.body, "relation", msg=sent.signed.statement.msg, **visit.statement()
    )

    assert again.response.status_code == 200
    visit.tickets = list(msgspec.json.decode(again.response.content, type=RelationAnswer).tickets)
    assert (await world.wijkteam.looks(visit)).persons[0].refused == ""


@pytest.mark.parametrize("wrong", [{"role": "wmo_consulent"}, {"team": "zuid"}])
async def test_an_opening_sent_again_for_another_role_or_team_gives_nothing(
    world: World, wrong: dict[str, str]
) -> None:
    visit, sent = await world.wijkteam.tries_to_open("m-jan", ["Fatima"])
    said = {**visit.statement(), **wrong}
    again = await world.wijkteam.send(sent.path, sent.body, "relation", msg=sent.signed.statement.msg, **said)
    if again.response.status_code != 200:
        assert again.response.status_code in (400, 403, 422)
        return
    visit.tickets = list(msgspec.json.decode(again.response.content, type=RelationAnswer).tickets)
    visit.role, visit.team = said["role"], said["team"]
    assert (await world.wijkteam.looks(visit)).persons[0].refused == "no-relation"
