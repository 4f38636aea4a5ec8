"""Attack: send a captured request once more, whole or with a part exchanged.

Defence: each statement's `jti` is spent in the transaction that answers it,
and body, route, hub and time are under the signature.
"""

import asyncio
from pathlib import Path

import pytest

from index.accesslog.log import AccessLog
from index.accesslog.reading import EntryFilter
from tests.hub.world import World

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def lines(world: World) -> int:
    with world.hub.reading() as connection:
        return len(world.hub.log_reader.entries(connection, EntryFilter()).entries)


async def test_a_replayed_question_is_refused_like_a_forged_one_and_leaves_no_line(
    tmp_path: Path, database: dict[str, str]
) -> None:
    async with World(tmp_path, **database).running() as world:
        visit = await world.wijkteam.opens("m-jan", ["Fatima"])
        first = await world.wijkteam.tries_to_look(visit)
        before = lines(world)

        replayed = await world.wijkteam.deliver(first.path, first.body, first.headers)

        forged = await world.wijkteam.deliver(first.path, first.body + b" ", first.headers)
        assert first.response.status_code == 200
        assert replayed.response.status_code == forged.response.status_code == 401
        assert replayed.response.content == forged.response.content
        assert lines(world) == before
        assert world.hub.failed_authentications.total() == 2


async def test_of_eight_copies_at_once_one_is_answered(tmp_path: Path, database: dict[str, str]) -> None:
    async with World(tmp_path, **database).running() as world:
        visit = await world.wijkteam.opens("m-jan", ["Fatima"])
        sent = await world.wijkteam.tries_to_look(visit)
        world.clock.shift(seconds=1)
        fresh = await world.wijkteam.tries_to_look(visit)
        before = lines(world)
        copies = await asyncio.gather(
            *(world.wijkteam.deliver(s.path, s.body, s.headers) for s in (sent, fresh) for _ in range(4))
        )
        assert {copy.response.status_code for copy in copies} == {401}
        assert lines(world) == before


async def test_a_replay_is_refused_after_a_restart_too(tmp_path: Path, database: dict[str, str]) -> None:
    world = World(tmp_path, **database)
    async with world.running():
        visit = await world.wijkteam.opens("m-jan", ["Fatima"])
        first = await world.wijkteam.tries_to_look(visit)
    async with world.running():
        replayed = await world.wijkteam.deliver(first.path, first.body, first.headers)
        assert replayed.response.status_code == 401
        assert (await world.wijkteam.tries_to_look(visit)).response.status_code == 200


async def test_a_replay_to_another_route_is_refused(tmp_path: Path, database: dict[str, str]) -> None:
    async with World(tmp_path, **database).running() as world:
        visit = await world.wijkteam.opens("m-jan", ["Fatima"])
        sent = await world.wijkteam.tries_to_look(visit)
        moved = await world.wijkteam.deliver("/v1/relations/closings", sent.body, sent.headers)
        assert moved.response.status_code == 401
        assert (await world.wijkteam.looks(visit)).persons[0].refused == ""


async def test_a_replay_after_a_minute_is_refused_by_its_time(
    tmp_path: Path, database: dict[str, str]
) -> None:
    async with World(tmp_path, **database).running() as world:
        visit = await world.wijkteam.opens("m-jan", ["Fatima"])
        sent = await world.wijkteam.tries_to_look(visit)
        world.clock.shift(seconds=61)
        late = await world.wijkteam.deliver(sent.path, sent.body, sent.headers)
        assert late.response.status_code == 401


async def test_without_spending_the_replay_would_be_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: dict[str, str]
) -> None:
    async with World(tmp_path, **database).running() as world:
        visit = await world.wijkteam.opens("m-jan", ["Fatima"])
        sent = await world.wijkteam.tries_to_look(visit)
        monkeypatch.setattr(AccessLog, "spend", lambda *_: True)
        replayed = await world.wijkteam.deliver(sent.path, sent.body, sent.headers)
        assert replayed.response.status_code == 200
