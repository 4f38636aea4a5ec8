"""Looking through the node API: who may, what an outage says, and that nothing unproven is shown."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from nodes.runtime import NodeRuntime

from .world import BSN_A, BSN_B, BSN_C, NodeWorld, bsns

pytestmark = pytest.mark.anyio


class Desk:
    """Jan's regiesysteem at the wijkteam."""

    def __init__(self, world: NodeWorld, runtime: NodeRuntime, client: httpx.AsyncClient) -> None:
        self.world = world
        self.node = runtime
        self.client = client

    async def post(self, path: str, body: Any, token: str | None = None, **claims: Any) -> httpx.Response:
        bearer = self.world.token(**claims) if token is None else token
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        return await self.client.post(f"/v1/{path}", content=json.dumps(body), headers=headers)

    async def open(self, *persons: str, **changes: Any) -> httpx.Response:
        body = {
            "clients": [{"bsn": bsn} for bsn in persons],
            "purpose": "huisbezoek",
            "caseReference": "Z-1",
            **changes,
        }
        return await self.post("visits", body)


@pytest.fixture
async def desk(world: NodeWorld) -> AsyncIterator[Desk]:
    runtime = world.desk()
    async with world.system(runtime, roles=["generalist"]) as client:
        yield Desk(world, runtime, client)


async def publish(world: NodeWorld, bsn: str) -> None:
    source = world.source()
    await source.publish(bsn, f"SH-{bsn[-1]}{bsn[-2]}")
    await source.drain()


async def test_a_visit_of_a_household_gives_an_answer_per_person(desk: Desk, world: NodeWorld) -> None:
    await publish(world, BSN_A)
    await world.allow(BSN_A)
    opened = await desk.open(BSN_A, BSN_B)
    assert opened.status_code == 201
    visit = opened.json()["visit"]
    assert opened.json()["deskUrl"].startswith("https://wijkteam.test/koppeling/")
    assert BSN_A not in opened.text

    seen = (await desk.post("lookups", {"visit": visit})).json()["persons"]

    assert [[flag["kind"] for flag in person["flags"]] for person in seen] == [["schuldhulp"], []]
    assert (seen[0]["flags"][0]["name"], seen[0]["flags"][0]["desk"]) == ("Schuldhulp", "14 0123")
    assert seen[0]["logIndex"] != seen[1]["logIndex"]
    one = await desk.post("lookups", {"visit": visit, "clients": [{"bsn": BSN_B}], "detail": "presence"})
    assert [person["present"] for person in one.json()["persons"]] == [False]


async def test_a_person_added_later_is_a_new_evaluation(desk: Desk, world: NodeWorld) -> None:
    visit = (await desk.open(BSN_A)).json()["visit"]
    calls = sum(door.calls for door in world.keys.doors.values())
    await desk.post("lookups", {"visit": visit, "clients": [{"bsn": BSN_A}]})
    assert sum(door.calls for door in world.keys.doors.values()) == calls
    added = await desk.post("lookups", {"visit": visit, "clients": [{"bsn": BSN_C}]})
    assert added.status_code == 200
    assert sum(door.calls for door in world.keys.doors.values()) > calls


async def test_a_closed_visit_ends_at_once_and_a_renewed_one_goes_on(desk: Desk) -> None:
    visit = (await desk.open(BSN_A)).json()["visit"]
    until = (desk.world.clock().date().replace(day=1)).isoformat()
    assert (await desk.post(f"visits/{visit}/renewals", {"until": until})).status_code == 400
    later = "2027-01-15"
    renewed = await desk.post(f"visits/{visit}/renewals", {"until": later})
    assert renewed.json()["until"] == "2027-01-15T23:59:59Z"
    assert (await desk.post("lookups", {"visit": visit})).status_code == 200
    closed = await desk.post(f"visits/{visit}/closures", {})
    assert closed.status_code == 200
    assert (await desk.post("lookups", {"visit": visit})).status_code == 404


async def test_a_visit_of_a_colleague_is_unknown(desk: Desk) -> None:
    visit = (await desk.open(BSN_A)).json()["visit"]
    other = await desk.post("lookups", {"visit": visit}, sub="piet")
    assert other.status_code == 404


def _with(token: str, **header: Any) -> dict[str, Any]:
    return {**jwt.get_unverified_header(token), **header}


async def test_a_lookup_without_a_good_employee_token_is_refused_alike(desk: Desk, world: NodeWorld) -> None:
    visit = (await desk.open(BSN_A)).json()["visit"]
    now = int(world.clock().timestamp())
    stranger = ec.generate_private_key(ec.SECP256R1())
    bad = {
        "none": "",
        "not a token": "abc",
        "other audience": world.token(aud="wijkteam-zuid"),
        "audience in a list": world.token(aud=["wijkteam", "other"]),
        "other issuer": world.token(iss="https://elsewhere.test"),
        "expired": world.token(iat=now - 600, exp=now - 301),
        "from the future": world.token(iat=now + 60, exp=now + 300),
        "lives too long": world.token(exp=now + 301),
        "never ends": world.token(exp=None),
        "without jti": world.token(jti=None),
        "without team": world.token(team=None),
        "without roles": world.token(roles=None),
        "another typ": world.token(typ="JWT"),
        "id token typ": world.token(typ="id+jwt"),
        "another key": world.token(key=stranger),
        "unknown kid": world.token(kid="k9"),
        "signature cut": world.token()[:-4],
        "no algorithm": jwt.encode(
            {"sub": "jan"}, "", algorithm="none", headers={"kid": "k1", "typ": "at+jwt"}
        ),
    }
    answers = {name: await desk.post("lookups", {"visit": visit}, token) for name, token in bad.items()}
    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(bad, 403)
    assert len({answer.text for answer in answers.values()}) == 1
    assert (await desk.post("lookups", {"visit": visit})).status_code == 200


async def test_a_role_the_key_may_not_state_is_refused(desk: Desk) -> None:
    refused = await desk.post("visits", {}, roles=["wmo_consulent"])
    assert refused.status_code == 403


async def test_without_the_providers_keys_nobody_looks(desk: Desk, world: NodeWorld) -> None:
    world.login_down = True
    answer = await desk.open(BSN_A)
    assert answer.status_code == 503
    assert answer.json()["type"].endswith("/login-unreachable")


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"clients": []}, "clients"),
        ({"clients": [{"bsn": "123456789"}]}, "clients[0].bsn"),
        ({"clients": [{"bsn": BSN_A}, {"bsn": BSN_A}]}, "clients[1].bsn"),
        ({"clients": [{"bsn": bsn} for bsn in bsns(9)]}, "clients"),
        ({"purpose": "nieuwsgierig"}, "purpose"),
        ({"caseReference": f"zaak {BSN_B}"}, "caseReference"),
        ({"until": "2020-01-01"}, "until"),
        ({"until": "morgen"}, "until"),
        ({"naam": "x"}, "*"),
    ],
)
async def test_a_bad_visit_is_refused_by_place_and_reaches_nobody(
    desk: Desk, world: NodeWorld, changes: dict[str, Any], place: str
) -> None:
    refused = await desk.open(BSN_A, **changes)
    assert refused.status_code == 400
    assert place in {error["location"] for error in refused.json()["errors"]}
    assert not any(bsn in refused.text for bsn in (BSN_A, BSN_B, "123456789"))
    assert world.network.sent == []


async def test_a_purpose_outside_the_role_is_refused(desk: Desk) -> None:
    assert (await desk.open(BSN_A, purpose="vroegsignalering")).status_code == 403
    assert (await desk.open(BSN_A, purpose="crisis")).status_code == 403


async def test_an_unreachable_key_holder_is_a_503_not_a_400(desk: Desk, world: NodeWorld) -> None:
    world.keys.down("kh-a")
    assert (await desk.open(BSN_A)).status_code == 201
    world.keys.down("kh-a", "kh-b")
    answer = await desk.open(BSN_A)
    assert answer.status_code == 503
    assert answer.json()["type"].endswith("/key-holders-unreachable")
    assert "nothing was viewed" in answer.json()["title"]


async def test_an_unreachable_hub_is_a_503_that_says_nothing_was_viewed(desk: Desk, world: NodeWorld) -> None:
    visit = (await desk.open(BSN_A)).json()["visit"]
    world.network.down = True
    answer = await desk.post("lookups", {"visit": visit})
    assert answer.status_code == 503
    assert "nothing was viewed" in answer.json()["title"]


def _forged(change: Any) -> Any:
    def alter(path: str, raw: bytes) -> bytes:
        if path != "/v1/lookups":
            return raw
        body = msgspec.json.decode(raw)
        change(body["persons"])
        return msgspec.json.encode(body)

    return alter


def _swap(persons: list[Any]) -> None:
    persons[0]["log"], persons[1]["log"] = persons[1]["log"], persons[0]["log"]


def _hide_the_line(persons: list[Any]) -> None:
    persons[0]["log"]["asker"] = persons[0]["log"]["asker"].replace('"refused":""', '"refused":"x"')


def _show_more(persons: list[Any]) -> None:
    persons[1]["flags"] = persons[0]["flags"]


def _drop_one(persons: list[Any]) -> None:
    persons.pop()


def _claim_something(persons: list[Any]) -> None:
    persons[1]["present"] = True


@pytest.mark.parametrize("change", [_swap, _hide_the_line, _show_more, _drop_one, _claim_something])
async def test_an_answer_that_is_not_proven_is_not_shown(desk: Desk, world: NodeWorld, change: Any) -> None:
    await publish(world, BSN_A)
    await world.allow(BSN_A)
    visit = (await desk.open(BSN_A, BSN_B)).json()["visit"]
    world.network.alter = _forged(change)
    answer = await desk.post("lookups", {"visit": visit})
    assert answer.status_code == 502
    assert "schuldhulp" not in answer.text


async def test_an_old_answer_is_not_accepted_for_a_new_question(desk: Desk, world: NodeWorld) -> None:
    visit = (await desk.open(BSN_A)).json()["visit"]
    kept: list[bytes] = []

    def keep(path: str, raw: bytes) -> bytes:
        kept.append(raw) if path == "/v1/lookups" else None
        return kept[0] if path == "/v1/lookups" else raw

    world.network.alter = keep
    assert (await desk.post("lookups", {"visit": visit})).status_code == 200
    assert (await desk.post("lookups", {"visit": visit})).status_code == 502


async def test_the_store_keeps_no_bsn_and_no_pseudonym_of_a_visit(desk: Desk, world: NodeWorld) -> None:
    await desk.open(BSN_A, caseReference="Zaak Fatima")
    stored = b"".join(path.read_bytes() for path in (world.folder / "nodes" / "wijkteam").iterdir())
    assert BSN_A.encode() not in stored
    assert b"Zaak Fatima" not in stored
    assert b"huisbezoek" in stored


async def test_a_desk_link_works_once_and_for_its_employee(desk: Desk, world: NodeWorld) -> None:
    from nodes.employees import Employee

    opened = (await desk.open(BSN_A)).json()
    token = opened["deskUrl"].rpartition("/")[2]
    links = desk.node.links
    with_jan = await desk.node.tokens.check(world.token()) if desk.node.tokens else None
    assert with_jan is not None
    jan = Employee(with_jan.id, "generalist", "wijkteam-noord")
    assert links.redeem(Employee("piet", "generalist", "wijkteam-noord"), token) is None
    assert links.redeem(jan, token) == opened["visit"]
    assert links.redeem(jan, token) is None
