"""Bounds: what is too large, too deep, too slow, too often or too much gets a constant answer."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, event, text

from index.accesslog.reading import EntryFilter
from index.app import RULES
from index.gate import Shedding
from index.protocol.statement import T_OF_PATH
from index.store.engine import open_engine
from tests.faults.processes import postgres

from .world import World

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def size(world: World) -> int:
    with world.hub.reading() as connection:
        return len(world.hub.log_reader.entries(connection, EntryFilter(limit=10_000)).entries)


class Held:
    """Commits of an engine that wait until they are released."""

    def __init__(self, engine: Engine) -> None:
        self.released = threading.Event()
        self.released.set()
        event.listen(engine, "commit", lambda _: self.released.wait(timeout=10))


async def test_when_enough_waits_the_next_is_refused_at_once_and_what_was_taken_is_answered(
    tmp_path: Path,
) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'hub.db'}")
    held = Held(engine)
    async with World(tmp_path, waiting_persons=64).running(engine) as world:
        visit = await world.wijkteam.opens("m-jan", ["Fatima"])
        before = size(world)
        held.released.clear()
        asking = [asyncio.create_task(world.wijkteam.tries_to_look(visit)) for _ in range(160)]
        done, waiting = await asyncio.wait(asking, timeout=1.5)
        refused = [task.result().response for task in done]
        held.released.set()
        answered = [task.result().response for task in (await asyncio.wait(waiting))[0]]

        assert {r.status_code for r in refused} == {503}
        assert len({r.content for r in refused}) == 1
        assert refused[0].headers["retry-after"] == "2"
        assert {r.status_code for r in answered} == {200}
        assert 64 <= len(answered) <= 140
        assert size(world) - before == len(answered)
        assert world.hub.sequencer.persons_waiting == 0


async def test_requests_at_once_are_bounded_before_a_body_is_read(tmp_path: Path) -> None:
    async with World(tmp_path, requests_at_once=3).running() as world:
        stuck = asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield b"{"
            await stuck.wait()

        slow_ones = [asyncio.create_task(world.client.post("/v1/lookups", content=slow())) for _ in range(3)]
        await asyncio.sleep(0.05)
        refused = await world.client.post("/v1/lookups", content=b"{}")
        stuck.set()
        await asyncio.gather(*slow_ones)
        after = await world.client.post("/v1/lookups", content=b"{}")
        assert (refused.status_code, after.status_code) == (503, 401)
        assert refused.json()["type"].endswith("/overloaded")


async def test_shed_at_the_door_or_at_the_gate_a_refusal_is_the_same_and_only_signed_calls_get_it(
    tmp_path: Path,
) -> None:
    async with World(tmp_path).running() as world:
        gate = world.app.state.gate
        door = httpx.ASGITransport(Shedding(world.app, gate))
        async with httpx.AsyncClient(transport=door, base_url="https://hub.test") as client:
            assert (await client.post("/v1/lookups", content=b"{}")).status_code == 401
            gate.in_hand = world.settings.requests_at_once
            at_gate = await world.client.post("/v1/lookups", content=b"{}")
            at_door = [await client.post(rule.path, content=b"{}") for rule in RULES]
            for path in ("/health", "/metrics", "/v1/log/checkpoint", "/v1/manifest"):
                assert (await client.get(path)).status_code in (200, 404)
            gate.in_hand = 0
            assert (await client.post("/v1/lookups", content=b"{}")).status_code == 401
        assert at_gate.status_code == 503
        assert {response.content for response in at_door} == {at_gate.content}
        assert {tuple(sorted(r.headers.items())) for r in at_door} == {tuple(sorted(at_gate.headers.items()))}
        shown = (await world.client.get("/metrics")).text
        assert f'refusals_total{{code="overloaded"}} {len(RULES) + 1}.0' in shown
        assert f"vlagwijzer_hub_overloaded_total {len(RULES) + 1}.0" in shown


async def test_one_time_values_are_forgotten_when_their_own_end_has_passed(world: World) -> None:
    visit = await world.wijkteam.opens("m-jan", ["Fatima"])
    for _ in range(6):
        await world.wijkteam.looks(visit)
    held = len(world.hub.access_log.spent)
    assert held >= 7
    for _ in range(2):
        world.clock.shift(seconds=55)
        await world.wijkteam.looks(visit)
    assert len(world.hub.access_log.spent) == held + 2
    world.clock.shift(minutes=30)
    await world.wijkteam.looks(visit)
    assert len(world.hub.access_log.spent) == 1
    with world.hub.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM spent")).scalar() == 1


async def test_a_value_is_spent_whatever_end_is_given_with_it_the_second_time(world: World) -> None:
    await world.wijkteam.opens("m-jan", ["Fatima"])
    spent = world.hub.access_log.spent
    assert spent.spend(b"t" * 16, 2_000_000_000)
    spent.keep()
    assert not spent.spend(b"t" * 16, 2_000_000_090)


async def test_when_as_many_one_time_values_as_fit_are_held_the_next_call_is_refused(world: World) -> None:
    visit = await world.wijkteam.opens("m-jan", ["Fatima"])
    before = size(world)
    world.hub.access_log.spent._most = len(world.hub.access_log.spent)
    refused = (await world.wijkteam.tries_to_look(visit)).response
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
    assert refused.json()["type"].endswith("/overloaded")
    assert size(world) == before
    world.clock.shift(minutes=30)
    world.hub.access_log.spent._most += 1
    await world.wijkteam.looks(visit)


async def test_a_body_that_trickles_in_gives_its_place_up(tmp_path: Path) -> None:
    async with World(tmp_path, body_seconds=0.1).running() as world:

        async def never() -> AsyncIterator[bytes]:
            yield b"{"
            await asyncio.sleep(1)
            yield b"}"

        response = await world.client.post("/v1/lookups", content=never())
        assert response.status_code == 408
        assert response.json()["type"].endswith("/body-too-slow")


async def test_over_the_budget_of_its_organisation_every_node_of_it_waits_and_no_other(
    tmp_path: Path,
) -> None:
    async with World(tmp_path, organisation_per_minute=6, node_per_minute=5).running() as world:
        second = world.nodes["wijkteam-twee"]
        visit = await world.wijkteam.opens("m-jan", ["Fatima"])
        other = await second.opens("m-els", ["Nobody"])
        for _ in range(4):
            await world.wijkteam.looks(visit)
        of_node = (await world.wijkteam.tries_to_look(visit)).response
        of_organisation = (await second.tries_to_look(other)).response
        assert (of_node.status_code, of_organisation.status_code) == (429, 429)
        assert of_node.content == of_organisation.content
        assert (await world.bron.publishes("Fatima", "schuldhulp")).response.status_code == 200


@pytest.mark.parametrize("person", ["nobody ever heard of", "Fatima"])
async def test_a_429_says_nothing_of_who_was_asked_about(tmp_path: Path, person: str) -> None:
    async with World(tmp_path, employee_per_minute=2).running() as world:
        await world.bron.publishes("Fatima", "schuldhulp")
        visit = await world.wijkteam.opens("m-jan", [person])
        await world.wijkteam.looks(visit)
        sent = await world.wijkteam.tries_to_look(visit)
        assert sent.response.status_code == 429
        assert person.encode() not in sent.response.content
        assert sent.response.headers["retry-after"] == "60"
        assert sent.response.json()["type"].endswith("/over-rate")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.path)
async def test_bodies_too_large_or_too_deep_are_refused_on_every_route(world: World, rule: Any) -> None:
    t = T_OF_PATH[rule.path]
    node = next(n for n in world.nodes.values() if rule.classes & set(_classes(world, n.id)))
    of_source = "publish" in rule.classes or rule.who.value == "source"
    said = {"role": "bron"} if of_source else {"role": "burger"}
    if rule.who.value in ("employee", "asker") and "publish" not in rule.classes:
        node = world.wijkteam
        said = {"role": "generalist", "actor": "m", "team": "noord", "purpose": "huisbezoek"}
    if rule.who.value == "officer":
        node, said = world.wijkteam, {"role": "privacy_officer", "actor": "o"}
    large = await node.send(rule.path, b" " * (rule.limit + 1), t, **said)
    deep = await node.send(rule.path, b'{"a":' * 5_000 + b"1" + b"}" * 5_000, t, **said)
    flat = await node.send(rule.path, b"[" * 10_000, t, **said)
    assert large.response.status_code == 413
    assert {deep.response.status_code, flat.response.status_code} == {400}
    assert world.hub.sequencer.running


def _classes(world: World, node: str) -> list[str]:
    entry = world.hub.directory.node(node)
    assert entry is not None
    return list(entry.classes)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with postgres() as server:
        yield server.database()


def test_no_statement_and_no_lock_outlives_who_waits_for_it(address: str) -> None:
    engine = open_engine(address)
    with engine.connect() as connection:
        shown = {
            name: connection.execute(text(f"SHOW {name}")).scalar()
            for name in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
        }
    engine.dispose()
    assert shown["lock_timeout"] == "5s"
    assert shown["statement_timeout"] == "8s"
    assert shown["idle_in_transaction_session_timeout"] == "10s"
    assert engine.pool._timeout == 5  # type: ignore[attr-defined]
