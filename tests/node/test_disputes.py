"""From a citizen's dispute to the publisher's answer, through portal, hub, source and desk."""

from datetime import UTC, datetime, timedelta

import pytest

from nodes.bsn import Bsn
from nodes.citizen import CitizenSession
from nodes.employees import Employee
from nodes.errors import BadInput, Refused, UnknownReference
from nodes.runtime import NodeRuntime
from policy.clock import add_working_days

from .world import BORN, BSN_A, BSN_B, NodeWorld, Source

pytestmark = pytest.mark.anyio
HELPER = Employee("jan-pseudoniem", "schuldhulpverlener", "wijkteam-noord")


async def login(world: NodeWorld, bsn: str = BSN_A) -> tuple[NodeRuntime, CitizenSession]:
    portal = world.portal()
    return portal, await portal.citizens.open(Bsn.parse(bsn), world.grant(), BORN)


async def published(world: NodeWorld) -> tuple[Source, int]:
    """A source with a flag about A and one about B; and its number."""
    source = world.source()
    await source.publish(BSN_A, "SH-1")
    await source.publish(BSN_B, "SH-2")
    await source.drain()
    return source, source.node.trust.node.number


async def seen(world: NodeWorld) -> dict[str, bool]:
    """What a debt counsellor sees of A by task, and whether it is marked as disputed."""
    desk = world.desk()
    visit = await desk.visits.open(HELPER, [Bsn.parse(BSN_A)], "schuldregeling", "Z-1")
    (person,) = await desk.visits.look(HELPER, visit.id)
    return {flag.kind: flag.disputed for flag in person.flags}


async def test_the_story_of_a_dispute_that_nobody_answers_in_time(world: NodeWorld) -> None:
    source, number = await published(world)
    portal, session = await login(world)
    await portal.citizens.use_right(session, "dispute", "schuldhulp", number, "Dit klopt niet")
    (view,) = await source.node.disputes.open()
    assert (view.local_refs, view.right, view.clock) == (("SH-1",), "dispute", "open")
    assert view.due == add_working_days(view.opened, 10)
    assert await seen(world) == {"schuldhulp": True}

    world.clock.offset += view.due - timedelta(minutes=5) - datetime.now(UTC) - world.clock.offset
    assert await seen(world) == {"schuldhulp": True}
    world.clock.offset += timedelta(minutes=10)  # the eleventh working day has begun

    assert await seen(world) == {}
    (late,) = await source.node.disputes.open()
    assert (late.id, late.clock, late.suspended) == (view.id, "overdue", True)
    portal, session = await login(world)
    (flag,), _ = await portal.citizens.what_is_known(session)
    assert [right.suspended for right in flag.rights] == [True]

    await source.node.disputes.answer(view.id, "confirmed")

    assert await seen(world) == {"schuldhulp": False}
    assert await source.node.disputes.open() == []
    (flag,), _ = await portal.citizens.what_is_known(session)
    assert [(right.answer, right.due) for right in flag.rights] == [("confirmed", None)]


async def test_a_flag_that_is_taken_back_answers_its_dispute(world: NodeWorld) -> None:
    source, number = await published(world)
    portal, session = await login(world)
    await portal.citizens.use_right(session, "dispute", "schuldhulp", number, "Dit klopt niet")
    (view,) = await source.node.disputes.open()

    await source.node.disputes.answer(view.id, "retracted")
    await source.drain()

    assert source.state("SH-1") == "retracted"
    assert source.state("SH-2") == "published"
    assert await source.node.disputes.open() == []
    flags, others = await portal.citizens.what_is_known(session)
    assert flags == []
    assert [(right.kind, right.answer) for right in others] == [("schuldhulp", "retracted")]


async def test_a_restriction_and_an_objection_hide_until_they_are_taken_back(world: NodeWorld) -> None:
    source, number = await published(world)
    portal, session = await login(world)
    for right in ("restriction", "objection"):
        saved = await portal.citizens.use_right(session, right, "schuldhulp", number, "Zo is het.")
        assert await seen(world) == {}
        await portal.citizens.end_right(session, saved.group, right, "Ik neem dit terug")
        assert await seen(world) == {"schuldhulp": False}
    assert await source.node.disputes.open() == []
    with pytest.raises(BadInput):
        await portal.citizens.end_right(session, saved.group, "objection", "Nog eens")


async def test_who_may_see_by_law_counts_an_objection(world: NodeWorld) -> None:
    await published(world)
    portal, session = await login(world)
    assert "schuldhulp" in {cell.kind for cell in (await portal.citizens.standing(session)).by_law}

    await portal.citizens.use_right(session, "objection", "schuldhulp", 0, "Ik maak bezwaar")

    assert "schuldhulp" not in {cell.kind for cell in (await portal.citizens.standing(session)).by_law}


async def test_a_domain_system_reads_and_answers_by_key(world: NodeWorld) -> None:
    source, number = await published(world)
    portal, session = await login(world)
    await portal.citizens.use_right(session, "objection", "schuldhulp", number, "Ik maak bezwaar")
    async with world.system(source.node, kinds=["wmo_voorziening"]) as other:
        assert (await other.get("/v1/disputes")).json() == {"disputes": []}
    async with world.system(source.node, kinds=["schuldhulp"]) as client:
        (item,) = (await client.get("/v1/disputes")).json()["disputes"]
        assert (item["localRefs"], item["right"], item["answers"]) == (
            ["SH-1"],
            "objection",
            ["rejected", "upheld", "extended"],
        )
        address = f"/v1/disputes/{item['id']}/answers"
        wrong = await client.post(address, json={"answer": "confirmed"})
        chatty = await client.post(address, json={"answer": "rejected", "reason": "omdat"})
        good = await client.post(address, json={"answer": "rejected"})
        again = await client.post(address, json={"answer": "rejected"})
    assert [one.status_code for one in (wrong, chatty, good, again)] == [400, 400, 200, 404]
    assert await seen(world) == {"schuldhulp": False}
    with pytest.raises(UnknownReference):
        await source.node.disputes.answer("nooit-gevraagd", "confirmed")
    with pytest.raises(Refused, match="rejected-before"):
        await portal.citizens.use_right(session, "objection", "schuldhulp", number, "Nog eens")
