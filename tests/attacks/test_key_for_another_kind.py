"""Attack: with a key for one kind, touch a flag of another kind of the same organisation.

Defence: a key is for its kinds, of the flag that comes and of the flag that
goes: an update that would replace another kind's flag is refused.
"""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from nodes import api
from tests.node.world import BSN_A, BSN_B, NodeWorld, Source

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def source(tmp_path: Path) -> AsyncIterator[Source]:
    async with NodeWorld(tmp_path).running() as world:
        made = world.source()
        await made.publish(BSN_A, "SH-1")
        await made.drain()
        yield made
    world.keys.close()


def other(**changes: Any) -> dict[str, Any]:
    """A flag of the key's own kind, under the reference of a flag that is not."""
    return {"bsn": BSN_B, "kind": "wmo_voorziening", "localRef": "SH-1", "since": "2025-03", **changes}


async def send(source: Source, path: str, body: Any) -> httpx.Response:
    async with source.world.system(source.node, kinds=["wmo_voorziening"]) as client:
        return await client.post(path, content=json.dumps(body))


async def test_a_flag_of_another_kind_is_not_replaced(source: Source) -> None:
    refused = await send(source, "/v1/flags", other())
    await source.drain()
    assert refused.status_code == 403
    assert source.state("SH-1") == "published"
    assert source.node.outbox.flags(["SH-1"])["SH-1"].kind == "schuldhulp"


async def test_nor_by_an_item_between_good_ones(source: Source) -> None:
    body = {"publish": [other(localRef="W-1"), other(), other(localRef="W-2")]}
    answer = await send(source, "/v1/flags/batches", body)
    await source.drain()
    assert [item["state"] for item in answer.json()["publish"]] == ["queued", "rejected", "queued"]
    assert answer.json()["publish"][1]["errors"][0]["code"] == "kind-not-for-key"
    assert (source.state("SH-1"), source.state("W-2")) == ("published", "published")
    assert source.node.outbox.flags(["SH-1"])["SH-1"].kind == "schuldhulp"


async def test_a_key_for_both_kinds_may(source: Source) -> None:
    async with source.world.system(source.node, kinds=["wmo_voorziening", "schuldhulp"]) as client:
        taken = await client.post("/v1/flags", content=json.dumps(other()))
    await source.drain()
    assert taken.status_code == 202
    assert source.node.outbox.flags(["SH-1"])["SH-1"].kind == "wmo_voorziening"


async def test_without_the_check_the_attack_succeeds(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.Call, "may_handle", lambda *_: None)
    taken = await send(source, "/v1/flags", other())
    await source.drain()
    assert taken.status_code == 202
    assert source.node.outbox.flags(["SH-1"])["SH-1"].kind == "wmo_voorziening"
