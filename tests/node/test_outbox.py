"""The outbox: nothing lost, nothing twice, nothing out of order, no BSN at rest."""

import sqlite3
from typing import Any

import pytest

from nodes import sender
from nodes.outbox import Cursor, Outbox
from nodes.store import database

from .world import BSN_A, BSN_B, NodeWorld, Source, bsns

pytestmark = pytest.mark.anyio


class PowerCut(Exception):
    """The process ended here."""


async def test_cursor_and_messages_are_stored_together_or_not_at_all(
    world: NodeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = world.source()

    def cut(*_: object, **__: object) -> None:
        raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr("nodes.outbox._advance", cut)
        with pytest.raises(PowerCut):
            await source.node.intake.submit(
                "csv", publications=[source.checked(BSN_A, "SH-1")], cursor=Cursor("csv", 1, "x")
            )
    again = world.source()
    assert again.node.outbox.is_drained()
    assert again.node.outbox.flags(["SH-1"]) == {}
    assert again.node.outbox.cursor("csv") is None


async def test_later_messages_about_a_flag_never_overtake_a_postponed_one(world: NodeWorld) -> None:
    source = world.source()
    outbox = source.node.outbox
    await source.publish(BSN_A, "SH-1")
    await source.publish(BSN_A, "SH-1", until="2027-01")
    await source.publish(BSN_B, "SH-2")
    first = outbox.next_message()
    assert first is not None
    outbox.postpone(first.number, "test", 60)

    following = outbox.next_message()

    assert following is not None
    assert [item.local_ref for item in following.items] == ["SH-2"]
    outbox.hurry()
    await source.drain()
    assert source.state("SH-1") == "published"


async def test_an_update_keeps_its_rtag_and_raises_seq(world: NodeWorld) -> None:
    source = world.source()
    await source.publish(BSN_A, "SH-1")
    await source.drain()
    ((rtag, seq, _),) = source.node.outbox.live()
    await source.publish(BSN_A, "SH-1", until="2027-01")
    await source.drain()
    ((again, later, _),) = source.node.outbox.live()
    assert again == rtag
    assert later > seq


async def test_a_revealed_rtag_is_not_published_again(world: NodeWorld) -> None:
    source = world.source()
    await source.publish(BSN_A, "SH-1")
    await source.drain()
    ((before, _, _),) = source.node.outbox.live()
    await source.retract("SH-1")
    await source.publish(BSN_A, "SH-1")
    await source.drain()
    ((after, _, _),) = source.node.outbox.live()
    assert after != before


async def test_retracting_what_still_waits_for_key_holders_keeps_it_away(world: NodeWorld) -> None:
    source = world.source()
    world.keys.down("kh-a", "kh-b", "kh-c")
    await source.publish(BSN_A, "SH-1")
    await source.retract("SH-1")
    world.keys.down()
    await source.drain()
    await world.allow(BSN_A)
    assert await world.sees(BSN_A) == set()
    assert source.state("SH-1") == "retracted"


async def test_retracting_something_unknown_queues_nothing(world: NodeWorld) -> None:
    source = world.source()
    await source.retract("never-published")
    assert source.node.outbox.is_drained()


async def test_no_bsn_and_no_pseudonym_is_in_the_store(world: NodeWorld) -> None:
    source = world.source()
    numbers = bsns(5)
    for at, bsn in enumerate(numbers[:3]):
        await source.publish(bsn, f"SH-{at}")
    world.keys.down("kh-a", "kh-b", "kh-c")
    for at, bsn in enumerate(numbers[3:], 3):
        await source.publish(bsn, f"SH-{at}")
    files = [path.read_bytes() for path in (world.folder / "nodes" / "bron").iterdir()]
    scanned = b"".join(files)
    assert len(scanned) > 10_000
    assert [bsn for bsn in numbers if bsn.encode() in scanned] == []
    # The same search finds what is there.
    assert b"SH-4" in scanned


async def test_a_waiting_bsn_does_not_open_under_another_row_or_key(world: NodeWorld) -> None:
    source = world.source()
    world.keys.down("kh-a", "kh-b", "kh-c")
    await source.publish(BSN_A, "SH-1")
    path = world.folder / "nodes" / "bron" / "node.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE waiting SET seq = seq + 1")
    with pytest.raises(Exception, match="waiting"):
        source.node.outbox.take_waiting(10)


async def test_confirmation_at_start_agrees_with_the_hub(world: NodeWorld) -> None:
    source = world.source()
    for at, bsn in enumerate(bsns(8)):
        await source.publish(bsn, f"SH-{at}")
    await source.retract("SH-0")
    await source.drain()
    assert await source.node.sender.confirm() == []
    assert (await source.node.source.overview()).last_confirmed is not None


async def test_a_flag_the_hub_lost_is_asked_from_the_source_again(world: NodeWorld) -> None:
    source = world.source()
    await source.publish(BSN_A, "SH-1")
    await source.drain()
    with sqlite3.connect(world.folder / "hub" / "hub.db") as connection:
        connection.execute("DELETE FROM flag")
        connection.execute("DELETE FROM digest")

    assert len(await source.node.sender.confirm()) == 1

    flag = source.node.outbox.flags(["SH-1"])["SH-1"]
    assert (flag.state, flag.reason) == ("rejected", "missing-at-hub")
    await source.publish(BSN_A, "SH-1")
    await source.drain()
    assert await source.node.sender.confirm() == []


async def test_a_flag_the_node_forgot_is_retracted_by_reconciliation(world: NodeWorld) -> None:
    source = world.source()
    await source.publish(BSN_A, "SH-1")
    await source.drain()
    with sqlite3.connect(world.folder / "nodes" / "bron" / "node.sqlite") as connection:
        connection.execute("UPDATE flag SET live_seq = NULL, live_revision = NULL")

    again = world.source()
    assert len(await again.node.sender.confirm()) == 1
    await again.drain()

    assert await again.node.sender.confirm() == []


@pytest.mark.parametrize("small", [128, -1], ids=["whole buckets", "parts"])
async def test_a_comparison_names_both_sorts_of_differences_and_repairs_neither(
    world: NodeWorld, monkeypatch: pytest.MonkeyPatch, small: int
) -> None:
    monkeypatch.setattr(sender, "_SMALL", small)
    source = world.source()
    for at, bsn in enumerate(bsns(5)):
        await source.publish(bsn, f"L{at}")
    assert await source.node.sender.compare() is None
    await source.drain()
    same = await source.node.sender.compare()
    assert same is not None
    assert (same.live, same.equal, same.same) == (5, 5, True)

    with sqlite3.connect(source.node.settings.database) as db:
        db.execute("UPDATE flag SET live_seq = NULL, live_revision = NULL WHERE local_ref = 'L0'")
        db.execute("UPDATE flag SET live_seq = live_seq + 1000 WHERE local_ref = 'L1'")
    found = await source.node.sender.compare()
    assert found is not None
    assert (found.missing, len(found.extra), found.equal) == (["L1"], 1, 3)
    assert (source.state("L0"), source.state("L1")) == ("published", "published")
    assert source.node.outbox.is_drained()

    await source.node.sender.repair()
    await source.drain()
    assert source.state("L1") == "rejected"
    after = await source.node.sender.repair()
    await source.drain()
    assert after is not None
    last = await source.node.sender.compare()
    assert last is not None
    assert (last.live, last.same) == (3, True)


async def test_what_another_process_sends_meanwhile_is_no_difference(
    world: NodeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, other = world.source(), world.source()
    await source.publish(BSN_A, "L1")
    await source.drain()
    plain = source.node.hub.confirm

    async def meanwhile(request: Any) -> Any:
        """After the sums were made: an update that is acknowledged, a new flag that is stored only."""
        await other.publish(BSN_A, "L1", since="2025-04")
        await other.drain()
        await other.publish(BSN_B, "L2")
        world.network.cut_after_send = 1
        await other.node.sender.step()
        return await plain(request)

    monkeypatch.setattr(source.node.hub, "confirm", meanwhile)
    found = await source.node.sender.repair()
    monkeypatch.undo()
    assert found is not None
    assert (found.missing, len(found.extra)) == (["L1"], 1)
    await other.drain()
    assert (source.state("L1"), source.state("L2")) == ("published", "published")
    assert len(source.node.outbox.live()) == 2
    assert await source.node.sender.confirm() == []


async def test_flags_whose_period_is_over_are_retracted_by_the_timer(world: NodeWorld) -> None:
    source = world.source()
    month = world.clock().date().strftime("%Y-%m")
    await source.publish(BSN_A, "SH-1", until=month)
    await source.drain()
    world.clock.shift(3 * 366 * 86_400)
    assert await source.node.sender.retract_ended() == 1
    assert source.state("SH-1") == "retracting"


async def test_an_answer_with_a_forged_receipt_counts_as_not_sent(world: NodeWorld) -> None:
    source = world.source()
    await source.publish(BSN_A, "SH-1")
    world.network.alter = lambda path, raw: raw.replace(b'"stored"', b'"absent"')
    await source.try_to_send()
    assert source.state("SH-1") == "queued"
    world.network.alter = None
    await source.drain()
    assert source.state("SH-1") == "published"


async def test_migrations_end_where_the_tables_are(world: NodeWorld) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from nodes.store.tables import metadata

    source: Source = world.source()
    with database.reading(source.node.engine) as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    assert isinstance(source.node.outbox, Outbox)
