"""Attack by accident: a route that somebody adds beside the gate of a node or a key holder.

Defence: a node's calls come from one table, its pages say who may open them, and
whoever asks a key holder for anything but published documents has signed. The
hub's routes are walked in `test_route_without_a_rule`.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from nodes.api import ROUTES
from nodes.app import create_app
from nodes.settings import OidcSettings
from tests.federation_keys import HOLDERS, KeyFederation
from tests.node.world import NodeWorld

OPEN = {"/health", "/metrics", "/v1/openapi.json"}
"""Free for all at each process: nothing about a person can be asked there."""
FREE_PAGES = {"/", "/login", "/login/terug", "/uitloggen", "/uitgelogd", "/leeg", "/taal/{language}"}
FREE_PAGES |= {"/code/{code}"}  # the address in a QR code: it tells nothing and uses nothing up
PURE = {("POST", "/blad")}
"""The sheet follows from its form alone, so a login that ended loses nothing; the empty form asks for one."""
OF_HOLDER = {("POST", "/v1/evaluate"), ("GET", "/v1/manifest"), *(("GET", path) for path in OPEN)}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[NodeWorld]:
    async with NodeWorld(tmp_path).running() as running:
        yield running
    running.keys.close()


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[KeyFederation]:
    made = KeyFederation(tmp_path, scopes=["geld"])
    yield made
    made.close()


def leaves(router: Any) -> Iterator[Any]:
    """All routes, those of routers inside routers too."""
    for route in router.routes:
        inner = getattr(route, "original_router", None)
        yield from leaves(inner) if inner is not None else [route]


def calls(app: FastAPI) -> list[tuple[str, str, Any]]:
    return [
        (method, route.path, route.endpoint)
        for route in leaves(app.router)
        for method in sorted(getattr(route, "methods", None) or {"*"})
        if method != "HEAD"
    ]


def unruled(app: FastAPI, parts: frozenset[str]) -> list[str]:
    """Calls of a node that are in no table, and pages that do not say who may open them."""
    ruled = {(rule.method, rule.path) for rule in ROUTES if rule.part in parts}
    ruled |= {("GET", path) for path in OPEN}
    return [
        path
        for method, path, endpoint in calls(app)
        if (method, path) not in ruled
        and path not in FREE_PAGES
        and (method, path) not in PURE
        and not path.startswith("/stijl-")
        and getattr(endpoint, "who", None) is None
    ]


def node_app(world: NodeWorld, node: str, part: str) -> FastAPI:
    login = OidcSettings(issuer="http://localhost:1", client_id=node)
    changes = {"login": login, "url": f"https://{node}.test", "grant_url": "http://localhost:1/grant"}
    runtime = world.node(node, part, **changes)
    return create_app(runtime.settings, runtime)


@pytest.mark.anyio
@pytest.mark.parametrize(("node", "part"), [("bron", "source"), ("wijkteam", "desk"), ("portaal", "portal")])
async def test_no_route_of_a_node_stands_beside_its_tables(world: NodeWorld, node: str, part: str) -> None:
    app = node_app(world, node, part)
    assert len(calls(app)) > 10
    assert unruled(app, frozenset({part})) == []


@pytest.mark.anyio
async def test_the_walk_finds_a_route_that_was_added_at_a_node(world: NodeWorld) -> None:
    app = node_app(world, "bron", "source")

    async def leak() -> dict[str, Any]:
        return {}

    app.add_api_route("/v1/everything", leak)
    app.add_api_route("/bron/alles", leak)
    assert unruled(app, frozenset({"source"})) == ["/v1/everything", "/bron/alles"]


@pytest.mark.anyio
@pytest.mark.parametrize(("node", "part"), [("bron", "source"), ("wijkteam", "desk"), ("portaal", "portal")])
async def test_every_page_and_call_refuses_a_stranger(world: NodeWorld, node: str, part: str) -> None:
    app = node_app(world, node, part)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    refused = 0
    async with httpx.AsyncClient(transport=transport, base_url=f"https://{node}.test") as client:
        for method, path, _ in calls(app):
            if path in FREE_PAGES | OPEN or path.startswith("/stijl-") or (method, path) in PURE:
                continue
            address = path.replace("{local_ref:path}", "x").replace("{visit}", "x").replace("{link}", "x")
            answer = await client.request(method, address, headers={"Origin": f"https://{node}.test"})
            assert answer.status_code in (401, 403), (method, path)
            refused += 1
    assert refused > 5


def test_no_route_of_a_key_holder_is_unknown(keys: KeyFederation) -> None:
    for holder in HOLDERS:
        assert {(method, path) for method, path, _ in calls(keys.apps[holder])} == OF_HOLDER


def test_the_walk_finds_a_route_that_was_added_at_a_key_holder(keys: KeyFederation) -> None:
    async def leak() -> dict[str, Any]:
        return {}

    keys.apps["kh-a"].add_api_route("/v1/share", leak)
    assert {(method, path) for method, path, _ in calls(keys.apps["kh-a"])} - OF_HOLDER == {
        ("GET", "/v1/share")
    }


def test_a_key_holder_evaluates_nothing_unsigned(keys: KeyFederation) -> None:
    async def knock() -> set[int]:
        async with keys.new_client() as client:
            tried = [
                await client.post("http://kh-a/v1/evaluate", content=body, headers=headers)
                for body in (b"", b"{}", b"[]")
                for headers in ({}, {"Authorization": "Bearer x"}, {"X-API-Key": "vwk-x"})
            ]
        return {answer.status_code for answer in tried}

    assert asyncio.run(knock()) == {400}
