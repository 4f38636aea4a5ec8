"""The one writer: many at once, in order, all or none of a batch, and nobody forgotten."""

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from index.accesslog.reading import EntryFilter
from index.accesslog.verifying import verify_all
from index.errors import LogUnavailable, Rejected, WorkFailed
from index.protocol.entry import parse_chain
from index.protocol.messages import LookupAnswer
from index.transaction import Finish, HeartbeatRow, Needs, NotPrefetched, Tx

from .world import World, b64u, point

pytestmark = pytest.mark.anyio


@dataclass
class Own:
    """A work of the hub itself, for tests: `do` is its apply."""

    do: Any
    persons: int = 1
    caller: None = None
    wanted: Needs = field(default_factory=Needs)

    def needs(self) -> Needs:
        return self.wanted

    def apply(self, tx: Tx) -> Finish:
        self.do(tx)
        return lambda _: b"done"


def beat(tag: bytes, at: int) -> Any:
    return lambda tx: tx.put_heartbeat(HeartbeatRow(tag, at))


def heartbeats(world: World) -> dict[bytes, int]:
    with world.hub.reading() as connection:
        return {row[0]: row[1] for row in connection.exec_driver_sql("SELECT * FROM heartbeat")}


async def outcomes(world: World, works: list[Own]) -> list[Any]:
    """Submit all at the same moment, so that they meet in one batch."""
    return await asyncio.gather(*(world.hub.sequencer.submit(w) for w in works), return_exceptions=True)


async def test_sixty_four_questions_about_one_person_number_her_lines_without_a_gap(world: World) -> None:
    visit = await world.wijkteam.opens("m-jan", ["Fatima"])
    before = world.hub.sequencer.batches

    asked = await asyncio.gather(*(world.wijkteam.tries_to_look(visit) for _ in range(64)))

    for sent in asked:
        answer = msgspec.json.decode(sent.response.content, type=LookupAnswer)
        world.check(answer.persons[0].log, sent, visit.lids[0])
    assert world.hub.sequencer.batches - before < 64
    with world.hub.reading() as connection:
        lines = world.hub.log_reader.lines_of(connection, {"geld": [visit.lids[0][0]]}).lines
        assert verify_all(connection, world.hub.log_reader).holds
    numbers = [parse_chain(line.chain.encode()).subj[0] for line in lines]
    assert [n for n, _ in numbers] == list(range(1, 66))
    assert [prev for _, prev in numbers[1:]] == [line.index for line in lines[:-1]]


async def test_a_later_work_of_a_batch_sees_what_an_earlier_one_wrote(world: World) -> None:
    seen: list[Any] = []
    works = [
        Own(beat(b"a" * 16, 1)),
        Own(lambda tx: seen.append(dict(tx.heartbeats()))),
        Own(beat(b"a" * 16, 2)),
    ]
    await outcomes(world, works)
    assert seen == [{b"a" * 16: 1}]
    assert heartbeats(world) == {b"a" * 16: 2}


async def test_a_work_that_fails_unexpectedly_undoes_itself_and_no_other(world: World) -> None:
    def breaks(tx: Tx) -> None:
        tx.put_heartbeat(HeartbeatRow(b"b" * 16, 9))
        raise ZeroDivisionError

    found = await outcomes(world, [Own(beat(b"a" * 16, 1)), Own(breaks), Own(beat(b"c" * 16, 3))])

    assert [type(one) for one in found][1] is WorkFailed
    assert [one.body for one in (found[0], found[2])] == [b"done", b"done"]
    assert heartbeats(world) == {b"a" * 16: 1, b"c" * 16: 3}


async def test_a_row_that_was_not_named_cannot_be_read(world: World) -> None:
    caught: list[Exception] = []

    def reads(tx: Tx) -> None:
        try:
            tx.choice(b"x" * 32)
        except NotPrefetched as error:
            caught.append(error)
            raise

    found = await outcomes(world, [Own(reads)])
    assert isinstance(found[0], WorkFailed)
    assert len(caught) == 1


async def test_a_refusal_before_any_write_disturbs_nobody(world: World) -> None:
    def refuses(_: Tx) -> None:
        raise Rejected("no-such-time")

    found = await outcomes(world, [Own(beat(b"a" * 16, 1)), Own(refuses)])
    assert found[0].body == b"done"
    assert found[1].status_code == 400
    assert heartbeats(world) == {b"a" * 16: 1}


async def test_a_batch_holds_at_most_sixty_four_persons_and_a_larger_work_goes_alone(world: World) -> None:
    works = [Own(lambda _: None, persons=30) for _ in range(4)] + [Own(lambda _: None, persons=1000)]
    before = world.hub.sequencer.batches
    await outcomes(world, works)
    assert 3 <= world.hub.sequencer.batches - before <= 5


async def test_what_waits_is_finished_before_the_hub_stops_and_nothing_more_is_taken(world: World) -> None:
    waiting = asyncio.gather(*(world.hub.sequencer.submit(Own(beat(bytes([i]) * 16, i))) for i in range(5)))
    await asyncio.sleep(0)
    await asyncio.to_thread(world.hub.sequencer.stop)
    assert [one.body for one in await waiting] == [b"done"] * 5
    with pytest.raises(LogUnavailable):
        await world.hub.sequencer.submit(Own(beat(b"z" * 16, 1)))
    assert (await world.client.get("/health")).status_code == 503


async def test_copies_of_a_change_in_one_batch_have_one_effect_and_one_receipt(world: World) -> None:
    msg = "01900000-0000-7000-8000-00000000000b"
    item = {"seq": 1, "rtag": b64u(world.bron.rtag("Piet", "schuldhulp")), "kind": "schuldhulp"}
    body = {
        "version": 1,
        "points": world.sealed("bron", msg, [point("Piet", "geld")]),
        "items": [{**item, "since": "2025-03"}],
    }
    raw = msgspec.json.encode(body)
    with capture_logs() as lines:
        # While the writer is busy all four wait, and the next batch may take them.
        busy = asyncio.create_task(world.hub.sequencer.submit(Own(lambda _: time.sleep(0.3))))
        await asyncio.sleep(0.05)
        copies = await asyncio.gather(
            *(world.bron.send("/v1/publications", raw, "publish", msg=msg, role="bron") for _ in range(4))
        )
    await busy
    assert "batch_rolled_back" not in {line["event"] for line in lines}
    assert {copy.response.status_code for copy in copies} == {200}
    assert len({copy.response.json()["receipt"] for copy in copies}) == 1
    with world.hub.reading() as connection:
        page = world.hub.log_reader.entries(connection, EntryFilter(t="publish"))
    assert len(page.entries) == 1


async def test_two_hubs_on_one_database_keep_one_log(tmp_path: Path, database: dict[str, str]) -> None:
    world = World(tmp_path, **database)
    async with world.running():
        first_client, first_hub = world.client, world.hub
        visit = await world.wijkteam.opens("m-jan", ["Fatima"])
        async with world.running():
            for client in (first_client, world.client) * 3:
                world.client = client
                sent = await asyncio.gather(*(world.wijkteam.tries_to_look(visit) for _ in range(5)))
                assert {one.response.status_code for one in sent} == {200}
            replayed = sent[0]
            world.client = first_client
            again = await world.wijkteam.deliver(replayed.path, replayed.body, replayed.headers)
            assert again.response.status_code == 401
        with first_hub.reading() as connection:
            page = first_hub.log_reader.entries(connection, EntryFilter(t="lookup"))
            assert len(page.entries) == 30
            assert verify_all(connection, first_hub.log_reader).holds
