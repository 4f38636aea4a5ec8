"""Attack: read from public figures, or from being refused, who was asked about or what there is.

Defence: labels are routes, statuses, holders and fixed words; two worlds that
differ only in what may not be seen give the same figures and the same refusals.
"""

import re
from pathlib import Path

import httpx
import pytest

from tests.hub.world import PORTAAL, World

pytestmark = pytest.mark.anyio

PERSON, ACTOR, CASE = "canary-person", "canary-actor", "Y2FuYXJ5LWNhc2UtMTIzNA"
WORLDS = {
    "nothing": ("somebody else", "another"),
    "hidden": (PERSON, "another"),
    "slot": (PERSON, PERSON),
}
"""Who has a flag that may not be seen, and who said no to everything."""

TIMES = re.compile(r"_seconds|_created")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def figures_of(folder: Path, flagged: str, denying: str) -> tuple[str, list[str]]:
    """`/metrics` after the same calls in each world, and what must not stand in it."""
    async with World(folder, employee_per_minute=4).running() as world:
        await world.inkomen.publishes(flagged, "ggz")
        sessions = {person: await world.portaal.logs_in(person) for person in (PERSON, "another")}
        await world.portaal.chooses(sessions[denying], "deny", receiver=[])
        visit = await world.wijkteam.opens(ACTOR, [PERSON], case=CASE)
        answers = [await world.wijkteam.tries_to_look(visit) for _ in range(4)]
        assert [sent.response.status_code for sent in answers] == [200, 200, 200, 429]
        canaries = [
            PERSON, ACTOR, CASE, PORTAAL, visit.tickets[0], "noord", "ggz", "wijkteam", "portaal",
            *(lid.hex() for lid in visit.lids[0]),
        ]  # fmt: skip
        return (await world.client.get("/metrics")).text, canaries


async def test_no_figure_names_anybody_or_depends_on_what_may_not_be_seen(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    found: dict[str, list[str]] = {}
    for name, (flagged, denying) in WORLDS.items():
        folder = tmp_path_factory.mktemp(name)
        text, canaries = await figures_of(folder, flagged, denying)
        assert [canary for canary in canaries if canary in text] == []
        assert 'vlagwijzer_hub_refusals_total{code="over-rate"} 1.0' in text
        found[name] = [
            line for line in text.splitlines() if not line.startswith("#") and not TIMES.search(line)
        ]
    assert len(found["nothing"]) > 20
    assert found["nothing"] == found["hidden"] == found["slot"]


async def test_a_429_is_the_same_bytes_and_work_whoever_is_asked_about(tmp_path: Path) -> None:
    async with World(tmp_path, employee_per_minute=2).running() as world:
        await world.bron.publishes("Fatima", "schuldhulp")
        refused: list[httpx.Response] = []
        for actor, person in (("m-jan", "nobody ever heard of"), ("m-els", "Fatima")):
            visit = await world.wijkteam.opens(actor, [person])
            await world.wijkteam.looks(visit)
            batches, answered = world.hub.sequencer.batches, world.hub.sequencer.answered
            refused += [(await world.wijkteam.tries_to_look(visit)).response for _ in range(3)]
            # One entry without a person for each: no flag, choice or relation was read.
            assert world.hub.sequencer.batches == batches + 3
            assert world.hub.sequencer.answered == answered + 3
    assert {response.status_code for response in refused} == {429}
    assert len({response.content for response in refused}) == 1
    assert len({tuple(sorted(response.headers.items())) for response in refused}) == 1
    assert refused[0].headers["retry-after"] == "60"
