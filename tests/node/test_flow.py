"""From a source's fact to the employee's page and back out again, through real key holders and a real hub."""

import asyncio
from typing import Any

import pytest

from nodes.bsn import Bsn
from nodes.employees import Employee

from .world import BSN_A, BSN_B, NodeWorld

pytestmark = pytest.mark.anyio


async def test_a_published_flag_is_seen_after_the_citizen_allowed_it(world: NodeWorld) -> None:
    source = world.source()
    await source.publish(BSN_A, "SH-1")
    await source.drain()
    assert source.state("SH-1") == "published"
    assert await world.sees(BSN_A) == set()

    await world.allow(BSN_A)

    assert await world.sees(BSN_A) == {"schuldhulp"}
    assert await world.sees(BSN_B) == set()


async def test_a_retracted_flag_is_gone_at_the_next_question(world: NodeWorld) -> None:
    source = world.source()
    await source.publish(BSN_A, "SH-1")
    await world.allow(BSN_A)
    await source.drain()
    assert await world.sees(BSN_A) == {"schuldhulp"}

    await source.retract("SH-1")
    await source.drain()

    assert await world.sees(BSN_A) == set()
    assert source.state("SH-1") == "retracted"


async def test_a_corrected_bsn_moves_the_flag_to_the_right_person_only(world: NodeWorld) -> None:
    source = world.source()
    await source.publish(BSN_A, "SH-1")
    await world.allow(BSN_A)
    await world.allow(BSN_B)
    await source.drain()

    await source.publish(BSN_B, "SH-1")
    await source.drain()

    assert await world.sees(BSN_A) == set()
    assert await world.sees(BSN_B) == {"schuldhulp"}


async def test_a_flag_published_again_after_its_retraction_lives(world: NodeWorld) -> None:
    source = world.source()
    await world.allow(BSN_A)
    for _ in range(2):
        await source.publish(BSN_A, "SH-1")
        await source.drain()
        assert await world.sees(BSN_A) == {"schuldhulp"}
        await source.retract("SH-1")
        await source.drain()
        assert await world.sees(BSN_A) == set()


async def test_publications_wait_while_two_holders_are_down_and_go_after_a_restart(world: NodeWorld) -> None:
    source = world.source()
    world.keys.down("kh-a", "kh-b")
    await source.publish(BSN_A, "SH-1")
    await source.try_to_send()
    assert source.state("SH-1") == "queued"
    stored = b"".join(path.read_bytes() for path in (world.folder / "nodes" / "bron").iterdir())
    assert BSN_A.encode() not in stored

    world.keys.down("kh-b")
    again = world.source()
    await again.drain()
    await world.allow(BSN_A)

    assert again.state("SH-1") == "published"
    assert await world.sees(BSN_A) == {"schuldhulp"}


async def test_the_outbox_keeps_everything_over_a_restart_while_the_hub_is_down(world: NodeWorld) -> None:
    source = world.source()
    world.network.down = True
    await source.publish(BSN_A, "SH-1")
    await source.try_to_send()
    assert source.state("SH-1") == "queued"

    again = world.source()
    world.network.down = False
    await again.drain()

    assert again.state("SH-1") == "published"


async def test_a_repeated_send_keeps_its_message_id_and_counts_once(world: NodeWorld) -> None:
    source = world.source()
    await source.publish(BSN_A, "SH-1")
    world.network.cut_after_send = 1
    await source.drain()

    sent = [headers for path, headers, _ in world.network.sent if path == "/v1/publications"]
    bodies = {body for path, _, body in world.network.sent if path == "/v1/publications"}
    assert len(sent) == 2
    assert len(bodies) == 1
    assert sent[0]["vlagwijzer-signature"] != sent[1]["vlagwijzer-signature"]
    assert source.state("SH-1") == "published"
    assert await source.node.sender.confirm() == []


async def test_a_lying_holder_is_named_and_nothing_reaches_the_hub(world: NodeWorld) -> None:
    source = world.source()

    async def liar(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    for holder in ("kh-a", "kh-b"):
        world.keys.replace(holder, liar)
    await source.publish(BSN_A, "SH-1")
    await source.try_to_send()
    assert source.state("SH-1") == "queued"
    assert (await source.node.source.overview()).alarm in ("kh-a", "kh-b")
    assert [path for path, _, _ in world.network.sent if path != "/health"] == []

    for holder in ("kh-a", "kh-b"):
        world.keys.restart(holder)
    again = world.source()
    await again.drain()
    assert again.state("SH-1") == "published"


async def test_two_desks_and_two_sources_at_once_give_one_flag(world: NodeWorld) -> None:
    first, second = world.source(), world.source()
    await asyncio.gather(first.publish(BSN_A, "SH-1"), second.publish(BSN_A, "SH-1"))
    await first.drain()
    assert len(first.node.outbox.live()) == 1
    assert await first.node.sender.confirm() == []


async def test_a_lookup_sent_twice_is_two_lines(world: NodeWorld) -> None:
    desk = world.desk()
    jan = Employee("jan-pseudoniem", "generalist", "wijkteam-noord")
    visit = await desk.visits.open(jan, [Bsn.parse(BSN_A)], "huisbezoek", "Z-1")
    (one,) = await desk.visits.look(jan, visit.id)
    (two,) = await desk.visits.look(jan, visit.id)
    assert two.log_index > one.log_index


async def test_logs_of_a_node_hold_no_bsn_and_no_local_reference(
    world: NodeWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    source = world.source()
    world.keys.down("kh-a", "kh-b")
    await source.publish(BSN_A, "geheim-kenmerk")
    world.keys.down()
    world.network.cut_after_send = 1
    await source.drain()
    await world.sees(BSN_A)
    said = capsys.readouterr()
    lines = said.out + said.err
    assert "message_acknowledged" in lines
    assert BSN_A not in lines
    assert "geheim-kenmerk" not in lines
