"""Cedar asked again about what was recorded: quiet when all is well, and heard when it is not."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from index.app import open_hub
from index.recheck import Recheck

from .office import Bureau, People, candidate, without
from .test_policies import seen
from .world import World

pytestmark = pytest.mark.anyio


@pytest.fixture
def people(tmp_path: Path) -> People:
    return People(tmp_path / "people")


@pytest.fixture
async def world(tmp_path: Path, people: People) -> AsyncIterator[World]:
    async with World(tmp_path, approvers=people.approvers()).running() as running:
        await running.inkomen.publishes("Fatima", "bijstand")
        yield running


async def test_what_was_decided_by_cedar_s_own_answers_raises_nothing(world: World) -> None:
    session = await world.portaal.logs_in("Fatima")
    visit = await world.wijkteam.opens("m-jan", ["Fatima"])
    await world.wijkteam.looks(visit)
    await world.portaal.chooses(session)
    assert await world.wijkteam.sees(visit) == [{"bijstand"}]
    await world.wijkteam.closes(visit)
    await world.wijkteam.tries_to_look(visit)
    for role, purpose in (("schuldhulpverlener", "schuldregeling"), ("inkomensconsulent", "huisbezoek")):
        other = await world.wijkteam.opens("m-piet", ["Fatima"], role=role, purpose=purpose)
        await world.wijkteam.looks(other)
    check = Recheck(world.hub)
    assert check.once() == []
    assert world.hub.metrics.rechecked._value.get() == 5
    assert not world.hub.policies.stopped


async def test_a_table_that_says_otherwise_than_cedar_is_found_and_stops_all_answers(
    world: World, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = world.hub.vocabulary.kind("bijstand")
    sheet = world.hub.policy.table.sheets["gemeente", "basis", "generalist", "huisbezoek"]
    # Planted: one cell in which a generalist sees by task what Cedar allows with consent only.
    monkeypatch.setitem(sheet[kind.number].answers, "wettelijke_taak", dict.fromkeys(range(512), 1))
    visit = await world.wijkteam.opens("m-jan", ["Fatima"])
    assert await world.wijkteam.sees(visit) == [{"bijstand"}]

    found = Recheck(world.hub).once()

    assert {(one.role, one.kind, one.row, one.said) for one in found} == {("generalist", "bijstand", 9, 0)}
    monkeypatch.undo()
    assert (await world.wijkteam.tries_to_look(visit)).response.status_code == 503
    assert open_hub(world.settings, world.clock).policies.stopped
    metrics = (await world.client.get("/metrics")).text
    assert "vlagwijzer_hub_policy_stopped 1.0" in metrics
    assert (await world.client.get("/health")).status_code == 503
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("index.policies.prove", lambda _: None)
        Bureau(world, people).in_force(candidate(forbids=without("generalist", "ww")))
    assert await seen(world, visit) == []
    assert (await world.client.get("/health")).status_code == 200
