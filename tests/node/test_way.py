"""How a team's desk works comes from the policy that the hub signed, and from nowhere else."""

from pathlib import Path
from typing import Any

import pytest

from nodes.employees import Employee
from nodes.errors import HubUnreachable
from policy.versions import more_than_permits
from policy.vocabulary import Way, parse_vocabulary
from tests.policy.test_ways import NOORD, TEXT

from .world import GEMEENTE, NodeWorld

pytestmark = pytest.mark.anyio
JAN = Employee("jan", "generalist", "wijkteam-noord")


class Eindhoven(NodeWorld):
    """A municipality whose registered profile shows the life domains."""

    def hub_changes(self) -> dict[str, Any]:
        return {"organisations": {GEMEENTE: {"profile": "eindhoven"}}}


async def test_the_registered_profile_decides_where_a_team_chose_nothing(tmp_path: Path) -> None:
    async with Eindhoven(tmp_path).running() as world:
        assert await world.desk().visits.way(JAN) == Way("wijkteam-noord", "zrm")
        world.keys.close()


async def test_without_the_hub_no_way_is_made_up(world: NodeWorld) -> None:
    visits = world.desk().visits
    world.network.down = True
    with pytest.raises(HubUnreachable):
        await visits.way(JAN)
    world.network.down = False
    assert await visits.way(JAN) == Way("wijkteam-noord", "list")
    world.network.down = True
    assert (await visits.way(JAN)).view == "list", "what was signed and read before still holds"
    with pytest.raises(HubUnreachable):
        await visits.way(JAN, anew=True)


def test_a_way_is_never_an_emergency_closing_so_two_people_approve_it() -> None:
    assert more_than_permits(parse_vocabulary(TEXT), parse_vocabulary(TEXT + NOORD))
    assert not more_than_permits(parse_vocabulary(TEXT), parse_vocabulary(TEXT))
