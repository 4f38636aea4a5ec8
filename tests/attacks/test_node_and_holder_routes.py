"""Attack: use a route of a node or key holder that has no rule, or another system's or colleague's things.

Defence: a node's calls come from `ROUTES`, its pages say who may, and what is
another's looks exactly like what does not exist.
"""

import json
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from nacl.signing import SigningKey
from starlette.routing import BaseRoute

from index.protocol.addcheckpoint import request_bytes
from index.protocol.keyfile import write_key_file
from index.protocol.note import Checkpoint, sign_checkpoint
from nodes.api import ROUTES
from nodes.app import create_app
from nodes.keyholder.app import create_app as create_holder
from nodes.settings import CounterSettings, WitnessSettings
from tests.federation_keys import HUB_ID, KeyFederation
from tests.node.world import BSN_A, BSN_B, NodeWorld
from tests.pages.world import node_site

pytestmark = pytest.mark.anyio

OPEN = {("GET", "/health"), ("GET", "/metrics"), ("GET", "/v1/openapi.json")}
HOLDER = {("POST", "/v1/evaluate"), ("GET", "/v1/manifest")} | OPEN
OPEN_PAGES = {
    "/",
    "/login",
    "/login/terug",
    "/uitloggen",
    "/uitgelogd",
    "/leeg",
    "/taal/{language}",
    "/code/{code}",
}
"""What somebody without a login may reach; everything else must ask who it is."""
PURE = {("POST", "/blad")}
"""The sheet follows from its form alone: nothing is read for it, and what is typed outlives a login."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[NodeWorld]:
    async with NodeWorld(tmp_path).running() as running:
        yield running


def flattened(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    """Every route, also of routers that were included."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is None:
            yield route
        else:
            yield from flattened(inner.routes)


def without_rule(app: FastAPI, ruled: set[tuple[str, str]]) -> list[BaseRoute]:
    """Routes with a method that no rule names."""
    return [
        route
        for route in flattened(app.router.routes)
        if {(method, getattr(route, "path", "")) for method in getattr(route, "methods", None) or {"*"}}
        - {("HEAD", path) for _, path in ruled}
        - ruled
    ]


async def test_a_node_has_no_route_without_a_rule_and_the_walk_finds_one(world: NodeWorld) -> None:
    for runtime, part in ((world.source().node, "source"), (world.desk(), "desk")):
        app = create_app(runtime.settings, runtime)
        ruled = {(rule.method, rule.path) for rule in ROUTES if rule.part == part} | OPEN
        assert without_rule(app, ruled) == []
        app.add_api_route("/v1/everything", lambda: {})
        assert [getattr(route, "path", "") for route in without_rule(app, ruled)] == ["/v1/everything"]


async def test_a_node_that_is_a_witness_has_one_route_more_and_it_needs_the_logs_signature(
    world: NodeWorld, tmp_path: Path
) -> None:
    key = tmp_path / "witness.key"
    write_key_file(key, bytes(range(32)))
    runtime = world.desk(witness=WitnessSettings(name="wijkteam.test/witness", key_file=key))
    app = create_app(runtime.settings, runtime)
    ruled = {(rule.method, rule.path) for rule in ROUTES if rule.part == "desk"} | OPEN
    more = [getattr(route, "path", "") for route in without_rule(app, ruled)]
    assert more == ["/v1/witness/add-checkpoint"]
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="https://node.test") as client:
        note = sign_checkpoint(Checkpoint(f"{HUB_ID}/v1/log/2026", 1, bytes(32)), SigningKey.generate())
        for body, status in (
            (b"", 400),
            (b"old 0\n\nx", 400),
            (b"a" * 70_000, 400),
            (request_bytes(0, [], note), 403),
            (request_bytes(0, [], note.replace(HUB_ID, "hub.elsewhere.nl")), 404),
        ):
            assert (await client.post(more[0], content=body)).status_code == status
        right = sign_checkpoint(Checkpoint(f"{HUB_ID}/v1/log/2026", 1, bytes(32)), world.keystore.log_signing)
        done = await client.post(more[0], content=request_bytes(0, [], right))
        assert done.status_code == 200
        again = await client.post(more[0], content=request_bytes(0, [], right))
    assert (again.status_code, again.text) == (409, "1\n")
    assert again.headers["content-type"] == "text/x.tlog.size"


def test_a_key_holder_has_no_route_without_a_rule(tmp_path: Path) -> None:
    keys = KeyFederation(tmp_path, scopes=["geld"])
    keys.close()
    app = create_holder(keys.settings["kh-a"])
    assert without_rule(app, HOLDER) == []
    app.state.evaluations.close()


COUNTER = {"counter": CounterSettings(name="Balie")}


@pytest.mark.parametrize(
    ("part", "more"), [("source", {}), ("desk", {}), ("portal", {}), ("portal", COUNTER)]
)
async def test_no_page_of_a_node_shows_anything_to_who_is_not_logged_in(
    part: str, more: dict[str, Any]
) -> None:
    site: Any = node_site({part}, "http://localhost:9", **more)
    transport = httpx.ASGITransport(site.app, raise_app_exceptions=False)
    walked = 0
    async with httpx.AsyncClient(transport=transport, base_url=site.url) as client:
        for route in flattened(site.app.router.routes):
            path = str(getattr(route, "path", ""))
            if path in OPEN_PAGES or path.endswith(".css"):
                continue
            for method in getattr(route, "methods", set()) - {"HEAD"}:
                if (method, path) in PURE:
                    continue
                place = path.replace("{", "").replace("}", "").replace(":path", "")
                answer = await client.request(method, place, headers={"origin": site.url})
                assert answer.status_code in (302, 303, 401, 403), (method, path, answer.status_code)
                walked += 1
    assert walked >= 1


# --- what is another's -------------------------------------------------------------------


async def test_another_systems_flag_looks_like_none(world: NodeWorld) -> None:
    source = world.source()
    async with (
        world.system(source.node, kinds=["schuldhulp"]) as own,
        world.system(source.node, kinds=["wmo_voorziening"]) as other,
    ):
        flag = {"bsn": BSN_A, "kind": "schuldhulp", "localRef": "SH-1", "since": "2025-03"}
        assert (await own.post("/v1/flags", content=json.dumps(flag))).status_code == 202
        pairs = [
            (await other.get(f"/v1/flags/{ref}"), await other.post(
                "/v1/flags/retractions", content=json.dumps({"localRef": ref})
            ), await other.post(
                "/v1/flags/batches", content=json.dumps({"retract": [{"localRef": ref}]})
            ))
            for ref in ("SH-1", "none")
        ]  # fmt: skip
        for theirs, invented in zip(*pairs, strict=True):
            assert (theirs.status_code, theirs.content) == (invented.status_code, invented.content)
        assert pairs[0][0].status_code == pairs[0][1].status_code == 404
        assert source.state("SH-1") != "retracting"


async def test_a_colleagues_visit_looks_like_none_on_every_route(world: NodeWorld) -> None:
    desk = world.desk()
    async with world.system(desk, roles=["generalist"]) as system:

        async def ask(person: str, path: str, body: Any) -> httpx.Response:
            headers = {"Authorization": f"Bearer {world.token(sub=person)}"}
            return await system.post(path, content=json.dumps(body), headers=headers)

        body = {"clients": [{"bsn": BSN_A}], "purpose": "huisbezoek", "caseReference": "Z-1"}
        opened = await ask("jan", "/v1/visits", body)
        assert opened.status_code == 201, opened.text
        mine = opened.json()["visit"]
        tried = 0
        # Break-glass takes no visit; whose declaration it is, is tried in its own tests.
        others = (
            "/v1/visits",
            "/v1/crises",
            "/v1/crises/{crisis}/confirmations",
            "/v1/inquiries",
            "/v1/signals",
            "/v1/inquiries/{inquiry}/answers",
        )
        for rule in (rule for rule in ROUTES if rule.part == "desk" and rule.path not in others):
            answers = []
            for visit in (mine, "v" + "x" * 20):
                bodies = [{"visit": visit}, {"visit": visit, "clients": [{"bsn": BSN_B}]}]
                if "{visit}" in rule.path:
                    bodies = [{"until": "2026-12-24"}] if rule.path.endswith("renewals") else [{}]
                if rule.path.endswith("states"):
                    bodies = [{"state": "taken"}, {"state": "closed"}]
                answers.append([await ask("els", rule.path.format(visit=visit), b) for b in bodies])
            for theirs, invented in zip(*answers, strict=True):
                tried += 1
                assert theirs.status_code == invented.status_code == 404
                assert theirs.content == invented.content
        assert tried >= 4
        assert (await ask("jan", "/v1/lookups", {"visit": mine})).status_code == 200
        figures = (await system.get("/metrics")).text
        assert 'node_key_holder_seconds_count{holder="kh-' in figures
        assert 'node_hub_seconds_count{route="/v1/lookups"} 1.0' in figures
        assert 'node_refusals_total{code="unknown-visit"}' in figures
        assert "jan" not in figures
        assert "wijkteam" not in figures
