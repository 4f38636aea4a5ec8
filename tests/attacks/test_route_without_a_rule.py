"""Attack by accident: a route that somebody adds beside the gate.

Defence: routes are made from the table of rules only, and this walk fails on any other.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.routing import BaseRoute

from index.app import PUBLIC, RULES
from index.protocol.statement import T_OF_PATH
from tests.attacks.test_node_and_holder_routes import flattened
from tests.hub.world import World

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def world(tmp_path: Path, database: dict[str, str]) -> AsyncIterator[World]:
    async with World(tmp_path, **database).running() as running:
        yield running


def unruled(app: FastAPI) -> list[BaseRoute]:
    """Routes whose path and methods no rule names."""
    ruled = {(rule.path, "POST") for rule in RULES} | {(rule.path, "GET") for rule in PUBLIC}
    return [
        route
        for route in flattened(app.router.routes)
        if not {(getattr(route, "path", None), method) for method in getattr(route, "methods", None) or {"*"}}
        - {(rule.path, "HEAD") for rule in PUBLIC}
        <= ruled
    ]


async def test_no_route_stands_beside_the_gate(world: World) -> None:
    assert unruled(world.app) == []


async def test_the_walk_finds_a_route_that_was_added_beside_the_gate(world: World) -> None:
    async def leak() -> dict[str, Any]:
        return {}

    world.app.add_api_route("/v1/everything", leak)
    assert [getattr(route, "path", "") for route in unruled(world.app)] == ["/v1/everything"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.path)
async def test_no_signed_route_answers_without_a_statement(world: World, rule: Any) -> None:
    response = await world.client.post(rule.path, content=b"{}")
    assert response.status_code == 401


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.path)
async def test_every_signed_route_refuses_the_statement_of_another_activity(world: World, rule: Any) -> None:
    other = next(t for t in sorted(set(T_OF_PATH.values())) if t != T_OF_PATH[rule.path])
    sent = await world.wijkteam.send(rule.path, {}, other)
    assert sent.response.status_code == 401


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.path)
async def test_every_signed_route_refuses_nodes_without_its_classes(world: World, rule: Any) -> None:
    t = T_OF_PATH[rule.path]
    statements = (
        {"role": "bron"},
        {"role": "burger"},
        {"role": "generalist", "actor": "m-jan", "team": "noord", "purpose": "huisbezoek"},
    )
    for node in world.nodes.values():
        entry = world.hub.directory.node(node.id)
        assert entry is not None
        if rule.classes & set(entry.classes):
            continue
        for statement in statements:
            assert (await node.send(rule.path, {}, t, **statement)).response.status_code == 403
