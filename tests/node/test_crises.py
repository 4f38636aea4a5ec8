"""Break-glass through the node API: declared, looked, confirmed by a colleague, and never half done."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from nodes.bsn import Bsn
from nodes.employees import Employee
from nodes.runtime import NodeRuntime

from .world import BORN, BSN_A, BSN_B, NodeWorld, bsns

pytestmark = pytest.mark.anyio
DANGER = {"reason": "direct_gevaar", "atRisk": "ander", "incapable": False}


class Team:
    """The wijkteam's own system, and its employees by the subject of their token."""

    def __init__(self, world: NodeWorld, runtime: NodeRuntime, client: httpx.AsyncClient) -> None:
        self.world, self.node, self.client = world, runtime, client

    async def post(self, path: str, body: Any, **claims: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.world.token(**claims)}"}
        content = b"" if body is None else json.dumps(body).encode()
        return await self.client.post(f"/v1/{path}", content=content, headers=headers)

    async def declare(self, *persons: str, roles: Any = None, **changes: Any) -> httpx.Response:
        body = {"clients": [{"bsn": bsn} for bsn in persons], **DANGER, **changes}
        return await self.post("crises", body, **({"roles": roles} if roles else {}))

    async def sees(self, visit: str) -> list[list[str]]:
        persons = (await self.post("lookups", {"visit": visit})).json()["persons"]
        return [[flag["kind"] for flag in person["flags"]] for person in persons]


@pytest.fixture
async def team(world: NodeWorld) -> AsyncIterator[Team]:
    runtime = world.desk()
    async with world.system(runtime, roles=["generalist", "crisisdienst", "inkomensconsulent"]) as client:
        yield Team(world, runtime, client)


async def known_for_care(world: NodeWorld, bsn: str) -> None:
    source = world.source()
    await source.publish(bsn, "WMO-1", kind="wmo_voorziening")
    await source.drain()


def kind_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rpartition("/")[2]


async def test_who_declares_sees_what_a_visit_hides(team: Team, world: NodeWorld) -> None:
    await known_for_care(world, BSN_A)
    declared = await team.declare(BSN_A, BSN_B)
    assert declared.status_code == 201
    body = declared.json()
    assert body["crisis"] == body["visit"]
    assert body["deskUrl"].startswith("https://wijkteam.test/koppeling/")
    assert BSN_A not in declared.text
    assert await team.sees(body["visit"]) == [["wmo_voorziening"], []]
    ordinary = {"clients": [{"bsn": BSN_A}], "purpose": "huisbezoek", "caseReference": "Z-1"}
    visit = (await team.post("visits", ordinary)).json()["visit"]
    assert await team.sees(visit) == [[]]


async def test_it_is_over_after_four_hours_and_is_never_prolonged(team: Team, world: NodeWorld) -> None:
    crisis = (await team.declare(BSN_A)).json()["crisis"]
    until = {"until": (world.clock() + timedelta(days=2)).isoformat()}
    assert kind_of(await team.post(f"visits/{crisis}/renewals", until)) == (403, "not-allowed")
    world.clock.offset += timedelta(hours=4, seconds=1)
    assert kind_of(await team.post("lookups", {"visit": crisis})) == (404, "unknown-visit")


async def test_nobody_is_added_to_it_later(team: Team, world: NodeWorld) -> None:
    crisis = (await team.declare(BSN_A)).json()["crisis"]
    sent = len(world.network.sent)
    added = await team.post("lookups", {"visit": crisis, "clients": [{"bsn": BSN_B}]})
    assert kind_of(added) == (403, "not-allowed")
    assert len(world.network.sent) == sent


async def test_a_household_of_eight_may_be_declared_and_nine_may_not(team: Team) -> None:
    assert (await team.declare(*bsns(8))).status_code == 201
    assert (await team.declare(*bsns(9))).status_code == 400


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"reason": "haast"}, "reason"),
        ({"atRisk": "niemand"}, "atRisk"),
        ({"incapable": "ja"}, "incapable"),
        ({"incapable": None}, "incapable"),
        ({"note": "free text"}, "*"),
        ({"clients": []}, "clients"),
        ({"clients": [{"bsn": "123456789"}]}, "clients[0].bsn"),
    ],
)
async def test_a_bad_declaration_reaches_nobody(
    team: Team, world: NodeWorld, changes: dict[str, Any], place: str
) -> None:
    refused = await team.declare(BSN_A, **changes)
    assert refused.status_code == 400
    assert place in {error["location"] for error in refused.json()["errors"]}
    assert not any(said in refused.text for said in (BSN_A, "123456789", "free text", "haast"))
    assert world.network.sent == []


async def test_a_role_without_break_glass_is_refused_and_reaches_nobody(team: Team, world: NodeWorld) -> None:
    refused = await team.declare(BSN_A, roles=["inkomensconsulent"])
    assert kind_of(refused) == (403, "not-allowed")
    assert world.network.sent == []


async def test_with_the_hub_away_nothing_is_declared_nor_looked(team: Team, world: NodeWorld) -> None:
    world.network.down = True
    refused = await team.declare(BSN_A)
    assert kind_of(refused) == (503, "hub-unreachable")
    assert "nothing was viewed" in refused.json()["title"]
    world.network.down = False
    ann = await team.post("crises/cAAAAAAAAAAAAAAAAAAAA/confirmations", None, sub="ann")
    assert kind_of(ann) == (404, "unknown-crisis")


async def test_an_answer_that_got_lost_leaves_nothing_to_look_with(team: Team, world: NodeWorld) -> None:
    world.network.cut_after_send = 1
    assert kind_of(await team.declare(BSN_A)) == (503, "hub-unreachable")
    ann = Employee("ann", "generalist", "wijkteam-noord")
    assert await team.node.crises.to_confirm(ann) == []


@pytest.mark.parametrize(
    ("body", "outcome"),
    [(None, "confirmed"), ({"outcome": "confirmed"}, "confirmed"), ({"outcome": "reported"}, "reported")],
)
async def test_a_colleague_confirms_or_reports_once(team: Team, body: Any, outcome: str) -> None:
    crisis = (await team.declare(BSN_A)).json()["crisis"]
    said = await team.post(f"crises/{crisis}/confirmations", body, sub="ann")
    assert (said.status_code, said.json()) == (200, {"crisis": crisis, "outcome": outcome})
    again = await team.post(f"crises/{crisis}/confirmations", body, sub="bo")
    assert kind_of(again) == (409, "crisis-settled")


async def test_nobody_confirms_the_own_declaration_nor_without_a_role_for_it(
    team: Team, world: NodeWorld
) -> None:
    crisis = (await team.declare(BSN_A)).json()["crisis"]
    sent = len(world.network.sent)
    own = await team.post(f"crises/{crisis}/confirmations", None)
    assert kind_of(own) == (403, "not-allowed")
    assert "same-employee" in own.text
    other = await team.post(f"crises/{crisis}/confirmations", None, sub="ann", roles=["inkomensconsulent"])
    assert kind_of(other) == (403, "not-allowed")
    wrong = await team.post(f"crises/{crisis}/confirmations", {"outcome": "prima"}, sub="ann")
    assert wrong.status_code == 400
    assert len(world.network.sent) == sent


async def test_after_the_time_nothing_is_confirmed(team: Team, world: NodeWorld) -> None:
    crisis = (await team.declare(BSN_A)).json()["crisis"]
    world.clock.offset += timedelta(hours=1, seconds=1)
    late = await team.post(f"crises/{crisis}/confirmations", None, sub="ann")
    assert kind_of(late) == (409, "crisis-settled")
    assert "too-late" in late.text


async def test_a_crisis_service_has_a_day_to_confirm(team: Team, world: NodeWorld) -> None:
    body = (await team.declare(BSN_A, roles=["crisisdienst"])).json()
    world.clock.offset += timedelta(hours=23)
    said = await team.post(f"crises/{body['crisis']}/confirmations", None, sub="ann")
    assert said.status_code == 200


async def test_with_the_hub_away_a_confirmation_may_be_given_later(team: Team, world: NodeWorld) -> None:
    crisis = (await team.declare(BSN_A)).json()["crisis"]
    world.network.down = True
    assert (await team.post(f"crises/{crisis}/confirmations", None, sub="ann")).status_code == 503
    world.network.down = False
    assert (await team.post(f"crises/{crisis}/confirmations", None, sub="ann")).status_code == 200


async def test_the_store_keeps_no_name_and_no_person_of_it(team: Team) -> None:
    await team.declare(BSN_A)
    raw = team.node.settings.database.read_bytes()
    wal = team.node.settings.database.with_name("node.sqlite-wal")
    raw += wal.read_bytes() if wal.exists() else b""
    assert BSN_A.encode() not in raw
    assert b"direct_gevaar" in raw


async def test_the_citizen_sees_it_marked_as_urgent_at_once(team: Team, world: NodeWorld) -> None:
    await known_for_care(world, BSN_A)
    crisis = (await team.declare(BSN_A)).json()["crisis"]
    await team.sees(crisis)
    portal = world.portal()
    session = await portal.citizens.open(Bsn.parse(BSN_A), world.grant(), BORN)
    looks = await portal.citizens.looks(session)
    assert looks.verified
    urgent = [(line.activity, line.purpose, len(line.seen)) for line in looks.lines if line.urgent]
    assert urgent == [("lookup", "crisis", 1), ("relation", "crisis", 0)]
