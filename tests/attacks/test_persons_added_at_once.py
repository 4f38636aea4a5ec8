"""Attack by accident: two systems add another person to one visit at the same moment.

Defence: a place in a visit, once given, stays that person's; otherwise the
answer about one would be shown as the answer about the other.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from nodes.bsn import Bsn
from nodes.employees import Employee
from nodes.visits import PersonView
from tests.node.world import BSN_A, BSN_B, BSN_C, NodeWorld

pytestmark = pytest.mark.anyio

JAN = Employee("jan-pseudoniem", "generalist", "wijkteam-noord")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[NodeWorld]:
    async with NodeWorld(tmp_path).running() as running:
        source = running.source()
        await source.publish(BSN_B, "SH-1")
        await source.drain()
        await running.allow(BSN_B)
        yield running
    running.keys.close()


async def test_two_persons_added_at_once_keep_places_of_their_own(world: NodeWorld) -> None:
    visits = world.desk().visits
    visit = await visits.open(JAN, [Bsn.parse(BSN_A)], "huisbezoek", "Z-1")

    async def asks(bsn: str) -> PersonView:
        (place,) = await visits.places(JAN, visit.id, [Bsn.parse(bsn)])
        await asyncio.sleep(0.2)
        (view,) = await visits.look(JAN, visit.id, [place])
        return view

    about_b, about_c = await asyncio.gather(asks(BSN_B), asks(BSN_C))

    assert [flag.kind for flag in about_b.flags] == ["schuldhulp"]
    assert about_c.flags == []
    assert [seen.persons for seen in await visits.of(JAN)] == [3]


async def test_a_person_added_while_a_visit_is_renewed_stays_in_it(world: NodeWorld) -> None:
    visits = world.desk().visits
    visit = await visits.open(JAN, [Bsn.parse(BSN_A)], "huisbezoek", "Z-1")
    until = visit.until + timedelta(days=7)

    places, _ = await asyncio.gather(
        visits.places(JAN, visit.id, [Bsn.parse(BSN_B)]), visits.renew(JAN, visit.id, until)
    )

    (view,) = await visits.look(JAN, visit.id, places)
    assert [flag.kind for flag in view.flags] == ["schuldhulp"]


async def test_the_ninth_person_is_refused_also_when_two_come_at_once(world: NodeWorld) -> None:
    from nodes.errors import BadInput
    from tests.node.world import bsns

    numbers = bsns(9)
    visits = world.desk().visits
    visit = await visits.open(JAN, [Bsn.parse(bsn) for bsn in numbers[:7]], "huisbezoek", "Z-1")

    added = await asyncio.gather(
        *(visits.places(JAN, visit.id, [Bsn.parse(bsn)]) for bsn in numbers[7:]), return_exceptions=True
    )

    assert sorted(type(one).__name__ for one in added) == ["BadInput", "list"]
    assert any(isinstance(one, BadInput) and one.code == "count" for one in added)
    assert [seen.persons for seen in await visits.of(JAN)] == [8]
