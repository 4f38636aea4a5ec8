"""From a source's fact to the employee's page and back out again, through real key holders and a real hub."""

import pytest

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
