"""Contact: a desk asks a source about a flag it sees; the source finds it under its own reference."""

import asyncio
import json

import pytest

from nodes.bsn import Bsn
from nodes.employees import Employee
from nodes.errors import BadInput, HubUnreachable, UnknownReference, UnknownVisit
from nodes.runtime import NodeRuntime
from nodes.visits import FlagView

from .world import BSN_A, NodeWorld, Source

pytestmark = pytest.mark.anyio
JAN = Employee("jan-pseudoniem", "generalist", "wijkteam-noord")
PIET = Employee("piet-pseudoniem", "generalist", "wijkteam-noord")


async def looked(world: NodeWorld) -> tuple[Source, NodeRuntime, str, FlagView]:
    source, desk = world.source(), world.desk()
    await source.publish(BSN_A, "SH-1")
    await source.drain()
    await world.allow(BSN_A)
    visit = await desk.visits.open(JAN, [Bsn.parse(BSN_A)], "huisbezoek", "Z-7")
    (person,) = await desk.visits.look(JAN, visit.id)
    return source, desk, visit.id, person.flags[0]


async def test_a_request_arrives_under_the_own_reference_once_and_can_be_done(world: NodeWorld) -> None:
    source, desk, visit, flag = await looked(world)
    first, second = await asyncio.gather(*(desk.contacts.ask(JAN, visit, 0, flag) for _ in range(2)))
    assert first == second == await desk.contacts.ask(JAN, visit, 0, flag)
    assert await desk.contacts.sent(visit, [(0, flag), (1, flag)]) == {(0, flag): first}
    assert await source.node.contacts.fetch() == 1
    assert await source.node.contacts.fetch() == 0
    (request,) = await source.node.contacts.requests()
    assert (request.local_ref, request.team, request.role) == ("SH-1", "wijkteam-noord", "generalist")
    assert (request.at, request.done_at) == (first, None)
    await source.node.contacts.done(request.id)
    assert [one.done_at is not None for one in await source.node.contacts.requests()] == [True]
    with pytest.raises(UnknownReference):
        await source.node.contacts.done("x" * 22)
    bodies = [body for path, _, body in world.network.sent if path == "/v1/contacts"]
    # The second click of one moment may go out; the third does not.
    assert 1 <= len(bodies) <= 2
    assert set(json.loads(bodies[0])) == {"ticket", "kind", "source"}


async def test_a_flag_that_was_taken_back_is_asked_about_by_nobody(world: NodeWorld) -> None:
    source, desk, visit, flag = await looked(world)
    await source.retract("SH-1")
    await source.drain()
    with pytest.raises(BadInput) as refused:
        await desk.contacts.ask(JAN, visit, 0, flag)
    assert refused.value.code == "flag-not-visible"
    assert await source.node.contacts.fetch() == 0
    assert await desk.contacts.sent(visit, [(0, flag)]) == {}


async def test_a_request_about_a_flag_that_went_meanwhile_is_let_go(world: NodeWorld) -> None:
    source, desk, visit, flag = await looked(world)
    await desk.contacts.ask(JAN, visit, 0, flag)
    await source.retract("SH-1")
    await source.drain()
    assert await source.node.contacts.fetch() == 0
    assert await source.node.contacts.requests() == []
    assert (await source.node.hub.contacts([])).contacts == []


async def test_a_colleague_a_wrong_place_and_an_outage_send_nothing(world: NodeWorld) -> None:
    source, desk, visit, flag = await looked(world)
    with pytest.raises(UnknownVisit):
        await desk.contacts.ask(PIET, visit, 0, flag)
    with pytest.raises(UnknownVisit):
        await desk.contacts.ask(JAN, visit, 1, flag)
    world.network.down = True
    with pytest.raises(HubUnreachable):
        await desk.contacts.ask(JAN, visit, 0, flag)
    world.network.down = False
    assert await desk.contacts.sent(visit, [(0, flag)]) == {}
    assert await source.node.contacts.fetch() == 0
