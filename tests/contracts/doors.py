"""The ways in to the three processes, each with what a caller needs to get past its gate.

`doors(world)` opens hub, source node, desk node and key holder of one
federation in this process; `Door.headers` proves the caller for exactly this body.
"""

import secrets
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from index.app import RULES
from index.protocol.codec import b64u
from index.protocol.http import JSON
from index.protocol.statement import T_OF_PATH, make_statement, sign_statement
from nodes.api import ROUTES
from tests.node.world import GEMEENTE, HUB_ID, PORTAAL, SCHULDHULP, NodeWorld

VISIT = "v" + "x" * 20


@dataclass(frozen=True)
class Door:
    """One process as a caller meets it."""

    name: str
    client: httpx.AsyncClient
    posts: tuple[str, ...]
    prove: Callable[[bytes, str], Mapping[str, str]]

    def headers(self, raw: bytes, path: str) -> dict[str, str]:
        """Fresh credentials for one call; content type is the caller's."""
        return dict(self.prove(raw, path))

    async def post(self, path: str, raw: bytes, headers: Mapping[str, str] | None = None) -> httpx.Response:
        return await self.client.post(
            path, content=raw, headers={**self.headers(raw, path), **(headers or {})}
        )


def statement_headers(world: NodeWorld, raw: bytes, path: str) -> dict[str, str]:
    """A signed statement of a node of the world that the route's rule lets in."""
    rule = next(rule for rule in RULES if rule.path == path)
    said: dict[str, str] = {"role": "bron"}
    node, oin = "bron", SCHULDHULP
    if path.startswith(("/v1/inquiries", "/v1/subscriptions")):
        node, oin = "wijkteam", GEMEENTE
    if rule.who.value in ("employee", "asker"):
        node, oin = "wijkteam", GEMEENTE
        said = {"role": "generalist", "actor": "m-jan", "team": "wijkteam-noord", "purpose": "huisbezoek"}
        said["case"] = b64u(bytes(16))
    elif rule.who.value == "officer":
        node, oin, said = "wijkteam", GEMEENTE, {"role": "privacy_officer", "actor": "o-ria"}
    elif rule.who.value == "citizen":
        node, oin, said = "portaal", PORTAAL, {"role": "burger"}
    statement = make_statement(
        t=T_OF_PATH[path],
        hub=f"{HUB_ID}/v1/log",
        org=oin,
        node=node,
        msg=str(uuid.uuid4()),
        jti=secrets.token_bytes(16),
        nts=int(world.clock().timestamp()),
        body=raw,
        **said,
    )
    key = world.keys.node_keys["wijkteam-noord" if node == "wijkteam" else node]
    return sign_statement(statement, key)


@asynccontextmanager
async def doors(world: NodeWorld) -> AsyncIterator[dict[str, Door]]:
    """Hub, source, desk and key holder of `world`, by name."""
    source, desk = world.source().node, world.desk()
    hub_transport = httpx.ASGITransport(world.network.app, raise_app_exceptions=False)
    holder_transport = httpx.ASGITransport(world.keys.apps["kh-a"], raise_app_exceptions=False)
    async with (
        httpx.AsyncClient(transport=hub_transport, base_url="https://hub.test") as hub,
        httpx.AsyncClient(transport=holder_transport, base_url="https://kh-a.test") as holder,
        world.system(source, kinds=["schuldhulp"]) as at_source,
        world.system(desk, roles=["generalist"]) as at_desk,
    ):
        source_key = {"X-API-Key": at_source.headers.pop("X-API-Key")}
        desk_key = {"X-API-Key": at_desk.headers.pop("X-API-Key")}
        posts = {
            part: tuple(
                rule.path.replace("{visit}", VISIT)
                for rule in ROUTES
                if rule.part == part and rule.method == "POST" and rule.media == JSON
            )
            for part in ("source", "desk")
        }
        yield {
            "hub": Door(
                "hub",
                hub,
                tuple(rule.path for rule in RULES),
                lambda raw, path: statement_headers(world, raw, path),
            ),
            "source": Door("source", at_source, posts["source"], lambda raw, path: source_key),
            "desk": Door(
                "desk",
                at_desk,
                posts["desk"],
                lambda raw, path: {**desk_key, "Authorization": f"Bearer {world.token()}"},
            ),
            "keyholder": Door("keyholder", holder, ("/v1/evaluate",), lambda raw, path: {}),
        }
