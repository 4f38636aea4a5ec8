"""Attack: be answered without being recorded, by a crash or a full disk at the right moment.

Defence: the sequencer answers nobody before COMMIT returned. Each scenario is
run against a sequencer that answers early too, and must notice it.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.exc import OperationalError

from index import sequencer
from index.accesslog.reading import EntryFilter
from index.store.engine import open_engine
from tests.hub.world import Sent, Visit, World

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def lines(world: World) -> int:
    with world.hub.reading() as connection:
        return len(world.hub.log_reader.entries(connection, EntryFilter()).entries)


class Commits:
    """The commits of an engine: let through, failing, or held until released."""

    def __init__(self, engine: Engine) -> None:
        self.fail = False
        self.held = threading.Event()
        self.held.set()
        self.begun = threading.Event()
        event.listen(engine, "commit", self._commit)

    def _commit(self, _: Any) -> None:
        self.begun.set()
        self.held.wait(timeout=5)
        if self.fail:
            raise OperationalError("COMMIT", {}, Exception("disk full"))


@pytest.fixture
def made(tmp_path: Path, database: dict[str, str]) -> World:
    """A world on each engine, with its hub not yet running."""
    return World(tmp_path, **database)


@pytest.fixture
def engine(made: World) -> Engine:
    return open_engine(made.settings.database_url)


async def answers_while_the_commit_fails(world: World, commits: Commits, visit: Visit) -> list[Sent]:
    """Eight questions in flight while no commit succeeds; returns those that were answered."""
    commits.fail = True
    asked = await asyncio.gather(*(world.wijkteam.tries_to_look(visit) for _ in range(8)))
    commits.fail = False
    return [sent for sent in asked if sent.response.status_code == 200]


async def is_answered_before_the_commit(world: World, commits: Commits, visit: Visit) -> bool:
    """Whether an answer arrives while its commit is still going on."""
    commits.begun.clear()
    commits.held.clear()
    question = asyncio.create_task(world.wijkteam.tries_to_look(visit))
    await asyncio.to_thread(commits.begun.wait, 5)
    await asyncio.wait({question}, timeout=0.3)
    early = question.done()
    commits.held.set()
    await question
    return early


@contextmanager
def answering_early(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The planted bug: works are answered right after they were applied, the commit comes later."""
    original = sequencer.Sequencer._transaction

    def early(self: sequencer.Sequencer, works: Any) -> Any:
        waiting = self.taken  # type: ignore[attr-defined]
        flush = self._log.flush

        def flushed(connection: Any, now: Any) -> Any:
            sealed = flush(connection, now)
            finish = [lambda _: b'{"persons":[]}'] * len(waiting)
            sequencer._deliver([(w, (f, sealed)) for w, f in zip(waiting, finish, strict=True)])
            return sealed

        with monkeypatch.context() as patch:
            patch.setattr(self._log, "flush", flushed)
            return original(self, works)

    batch = sequencer.Sequencer._batch

    def remembering(self: sequencer.Sequencer, taken: Any) -> None:
        self.taken = taken  # type: ignore[attr-defined]
        batch(self, taken)

    with monkeypatch.context() as patch:
        patch.setattr(sequencer.Sequencer, "_transaction", early)
        patch.setattr(sequencer.Sequencer, "_batch", remembering)
        yield


async def test_nobody_is_answered_when_the_commit_fails(made: World, engine: Engine) -> None:
    commits = Commits(engine)
    async with made.running(engine) as world:
        visit = await world.wijkteam.opens("m-jan", ["Fatima"])
        before = lines(world)

        answered = await answers_while_the_commit_fails(world, commits, visit)

        assert answered == []
        assert {sent.response.status_code for sent in world.wijkteam.sent[-8:]} == {503}
        assert len({sent.response.content for sent in world.wijkteam.sent[-8:]}) == 1
        assert lines(world) == before


async def test_the_hub_answers_again_once_commits_succeed(made: World, engine: Engine) -> None:
    commits = Commits(engine)
    async with made.running(engine) as world:
        visit = await world.wijkteam.opens("m-jan", ["Fatima"])
        await answers_while_the_commit_fails(world, commits, visit)
        before = lines(world)

        assert (await world.wijkteam.looks(visit)).persons[0].refused == ""
        assert lines(world) == before + 1


async def test_no_answer_leaves_while_its_commit_goes_on(made: World, engine: Engine) -> None:
    commits = Commits(engine)
    async with made.running(engine) as world:
        visit = await world.wijkteam.opens("m-jan", ["Fatima"])
        assert not await is_answered_before_the_commit(world, commits, visit)


async def test_a_change_whose_commit_failed_did_not_happen(made: World, engine: Engine) -> None:
    commits = Commits(engine)
    async with made.running(engine) as world:
        await world.inkomen.publishes("Fatima", "bijstand")
        visit = await world.wijkteam.opens("m-ann", ["Fatima"], role="inkomensconsulent")
        commits.fail = True
        retracted = await world.inkomen.retracts("Fatima", "bijstand")
        closed = await world.wijkteam.closes(visit)
        commits.fail = False
        assert (retracted.response.status_code, closed.response.status_code) == (503, 503)
        assert await world.wijkteam.sees(visit) == [{"bijstand"}]


async def test_both_scenarios_notice_a_hub_that_answers_early(
    made: World, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = Commits(engine)
    async with made.running(engine) as world:
        visit = await world.wijkteam.opens("m-jan", ["Fatima"])
        with answering_early(monkeypatch):
            assert await is_answered_before_the_commit(world, commits, visit)
            assert await answers_while_the_commit_fails(world, commits, visit) != []
