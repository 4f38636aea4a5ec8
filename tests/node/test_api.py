"""The node API as an organisation's own system meets it: good calls, and what bad input gets."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from nodes import apikeys
from nodes.api import PROBLEMS, ROUTES
from nodes.app import create_app
from nodes.bsn import passes_elfproef
from nodes.errors import NodeError
from nodes.runtime import NodeRuntime

from .world import BSN_A, BSN_B, VOCABULARY, NodeWorld, Source, bsns

pytestmark = pytest.mark.anyio


class Publishing:
    """A calling system at the source, and the source itself."""

    def __init__(self, source: Source, client: httpx.AsyncClient) -> None:
        self.source = source
        self.client = client

    async def post(self, path: str, body: Any) -> httpx.Response:
        return await self.client.post(f"/v1/{path}", content=json.dumps(body))


@pytest.fixture
async def system(world: NodeWorld) -> AsyncIterator[Publishing]:
    source = world.source()
    async with world.system(source.node, kinds=["schuldhulp"]) as client:
        yield Publishing(source, client)


def flag(bsn: str = BSN_A, ref: str = "SH-1", **changes: Any) -> dict[str, Any]:
    return {"bsn": bsn, "kind": "schuldhulp", "localRef": ref, "since": "2025-03", **changes}


def codes(response: httpx.Response) -> set[tuple[str, str]]:
    return {(error["location"], error["code"]) for error in response.json()["errors"]}


async def test_a_flag_is_queued_published_updated_and_retracted(system: Publishing) -> None:
    accepted = await system.post("flags", flag())
    assert (accepted.status_code, accepted.json()) == (202, {"state": "queued"})
    await system.source.drain()
    state = (await system.client.get("/v1/flags/SH-1")).json()
    assert state["state"] == "published"
    assert state["receipt"].count(".") == 2

    again = await system.post("flags", flag(until="2027-01"))
    assert again.json() == {"state": "queued"}
    await system.source.drain()
    assert (await system.client.get("/v1/flags/SH-1")).json()["until"] == "2027-01"

    gone = await system.post("flags/retractions", {"localRef": "SH-1"})
    assert (gone.status_code, gone.json()) == (202, {"state": "queued"})
    await system.source.drain()
    assert (await system.client.get("/v1/flags/SH-1")).json()["state"] == "retracted"


async def test_publishing_the_same_again_is_harmless(system: Publishing) -> None:
    await system.post("flags", flag())
    await system.source.drain()
    again = await system.post("flags", flag())
    assert again.json() == {"state": "published"}
    assert system.source.node.outbox.is_drained()


NOT_A_BSN = ["123456789", "12345678", "abcdefghi", "000000000", "٩٩٩٩٩٠٠١٩", "", " 999990019", "999.990.019"]


@pytest.mark.parametrize("bad", [*NOT_A_BSN, 999990019, None, ["999990019"]])
async def test_a_bad_bsn_never_leaves_the_node(system: Publishing, world: NodeWorld, bad: Any) -> None:
    refused = await system.post("flags", flag(bsn=bad))
    assert refused.status_code == 400
    assert refused.headers["content-type"] == "application/problem+json"
    assert codes(refused) == {("bsn", "elfproef")}
    if bad:
        assert str(bad) not in refused.text.replace("999990019" * 2, "")
    assert system.source.node.outbox.is_drained()
    assert world.network.sent == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"kind": "bestaat_niet"}, ("kind", "unknown-kind")),
        ({"kind": "jeugdhulp"}, ("kind", "kind-not-registered")),
        ({"kind": "zelf_gemeld_geldzorgen"}, ("kind", "self-declared")),
        ({"since": "2025-13"}, ("since", "month")),
        ({"since": "1999-01"}, ("since", "month")),
        ({"since": "2099-01"}, ("since", "too-far-ahead")),
        ({"until": "2025-01"}, ("until", "before-since")),
        ({"until": "2099-12"}, ("until", "too-far-ahead")),
        ({"since": "2014-01", "until": "2015-01"}, ("until", "already-ended")),
        ({"localRef": ""}, ("localRef", "length")),
        ({"localRef": "x" * 101}, ("localRef", "length")),
        ({"localRef": f"zaak-{BSN_B}"}, ("localRef", "holds-bsn")),
        ({"localRef": f"{BSN_B[:3]}.{BSN_B[3:6]}.{BSN_B[6:]}"}, ("localRef", "holds-bsn")),
        ({"localRef": f"20{BSN_B}"}, ("localRef", "holds-bsn")),
        ({"localRef": "a\u0000b"}, ("localRef", "control-character")),
        ({"localRef": "e\u0301"}, ("localRef", "not-nfc")),
        ({"naam": "Fatima"}, ("*", "unknown-field")),
    ],
)
async def test_bad_input_names_the_rule_and_queues_nothing(
    system: Publishing, changes: dict[str, Any], expected: tuple[str, str]
) -> None:
    refused = await system.post("flags", flag(**changes))
    assert refused.status_code == 400
    assert expected in codes(refused)
    assert system.source.node.outbox.is_drained()
    for value in changes.values():
        assert not value or str(value) not in refused.text


async def test_all_errors_are_told_at_once(system: Publishing) -> None:
    refused = await system.post("flags", {"bsn": "1", "kind": "x", "localRef": "", "since": "nu"})
    assert {place for place, _ in codes(refused)} == {"bsn", "kind", "localRef", "since"}


@pytest.mark.parametrize("raw", [b"", b"[]", b"nee", b'"tekst"', b"\xff\xfe", b"{" * 5000])
async def test_a_body_that_is_no_object_is_a_400_without_echo(system: Publishing, raw: bytes) -> None:
    refused = await system.client.post("/v1/flags", content=raw)
    assert refused.status_code == 400
    assert refused.json()["type"].endswith("/malformed-body")


async def test_a_body_that_is_too_large_is_refused(system: Publishing) -> None:
    refused = await system.client.post("/v1/flags", content=b" " * 70_000)
    assert refused.status_code == 413


@pytest.mark.parametrize(
    "body", [{}, {"localRef": ""}, {"localRef": None}, {"localRef": "*", "kind": "schuldhulp"}, {"all": True}]
)
async def test_a_malformed_retraction_touches_nothing(system: Publishing, body: Any) -> None:
    await system.post("flags", flag())
    await system.source.drain()
    refused = await system.post("flags/retractions", body)
    assert refused.status_code == 400
    assert system.source.state("SH-1") == "published"
    assert system.source.node.outbox.is_drained()


async def test_retracting_something_unknown_is_a_404(system: Publishing) -> None:
    refused = await system.post("flags/retractions", {"localRef": "onbekend"})
    assert refused.status_code == 404
    assert system.source.node.outbox.is_drained()
    assert (await system.client.get("/v1/flags/onbekend")).status_code == 404


async def test_batch_items_fail_alone_and_say_so(system: Publishing) -> None:
    await system.post("flags", flag(ref="oud"))
    body = {
        "publish": [flag(ref="SH-1"), flag(bsn="1", ref="SH-2"), flag(bsn=BSN_B, ref="SH-1"), "geen object"],
        "retract": [{"localRef": "oud"}, {"localRef": "onbekend"}, {"localRef": "SH-1"}],
    }
    answer = await system.post("flags/batches", body)
    assert answer.status_code == 202
    published, retracted = answer.json()["publish"], answer.json()["retract"]
    assert [item["state"] for item in published] == ["queued", "rejected", "rejected", "rejected"]
    assert published[1]["errors"][0]["location"] == "publish[1].bsn"
    assert published[2]["errors"][0]["code"] == "duplicate-reference"
    assert [item["state"] for item in retracted] == ["queued", "rejected", "rejected"]
    assert retracted[1]["errors"][0]["code"] == "unknown-reference"
    await system.source.drain()
    assert system.source.state("SH-1") == "published"
    assert system.source.state("oud") == "retracted"


async def test_a_batch_has_at_most_a_thousand_items(system: Publishing) -> None:
    body = {"retract": [{"localRef": "x"}] * 1001}
    assert (await system.post("flags/batches", body)).status_code == 400
    assert (await system.post("flags/batches", {})).status_code == 400


async def test_a_key_publishes_its_own_kinds_only(system: Publishing, world: NodeWorld) -> None:
    async with world.system(system.source.node, kinds=["wmo_voorziening"]) as other:
        refused = await other.post("/v1/flags", content=json.dumps(flag()))
        assert refused.status_code == 403
        await system.post("flags", flag())
        taken = await other.post("/v1/flags/retractions", content='{"localRef":"SH-1"}')
        unknown = await other.post("/v1/flags/retractions", content='{"localRef":"nooit"}')
        assert (taken.status_code, taken.content) == (404, unknown.content)
        batch = await other.post("/v1/flags/batches", content=json.dumps({"publish": [flag(ref="SH-9")]}))
        assert batch.json()["publish"][0]["errors"][0]["code"] == "kind-not-for-key"


async def test_every_route_refuses_a_caller_without_a_living_key(world: NodeWorld) -> None:
    walked = 0
    for runtime, part in ((world.source().node, "source"), (world.desk(), "desk")):
        async with world.system(runtime, kinds=["schuldhulp"], roles=["generalist"]) as client:
            for rule in (rule for rule in ROUTES if rule.part == part):
                path = rule.path.replace("{visit}", "v1").replace("{local_ref:path}", "x")
                for key in ("", "vwk-nothing", "x" * 500):
                    refused = await client.request(rule.method, path, headers={"X-API-Key": key})
                    assert refused.status_code == 401
                    walked += 1
                if rule.employee:
                    assert (await client.request(rule.method, path)).status_code == 403
    assert walked == 3 * len(ROUTES)


async def test_a_revoked_key_ends_at_once(system: Publishing) -> None:
    node = system.source.node
    (key,) = apikeys.listed(node.engine)
    assert apikeys.revoke(node.engine, key.id, node.now())
    assert not apikeys.revoke(node.engine, key.id, node.now())
    assert (await system.post("flags", flag())).status_code == 401


async def test_an_api_key_is_not_in_the_store(system: Publishing, world: NodeWorld) -> None:
    presented = system.client.headers["x-api-key"]
    stored = b"".join(path.read_bytes() for path in (world.folder / "nodes" / "bron").iterdir())
    assert presented.encode() not in stored
    assert apikeys.find(system.source.node.engine, presented, system.source.node.now()) is not None


async def test_the_outbox_says_what_waits_and_who_answers(system: Publishing, world: NodeWorld) -> None:
    world.keys.down("kh-a", "kh-b")
    world.network.down = True
    await system.post("flags", flag())
    seen = (await system.client.get("/v1/outbox")).json()
    assert (seen["waiting"], seen["waitingForKeyHolders"]) == (1, 1)
    assert (seen["hubReachable"], seen["keyHoldersReachable"]) == (False, False)
    assert seen["oldestAt"] is not None


async def test_a_node_has_only_the_calls_of_its_parts(world: NodeWorld) -> None:
    desk = world.desk()
    async with world.system(desk, kinds=["schuldhulp"]) as client:
        missing = await client.post("/v1/flags", content=json.dumps(flag()))
    assert missing.status_code == 404
    assert missing.headers["content-type"] == "application/problem+json"


async def test_health_metrics_and_document_need_no_key(world: NodeWorld) -> None:
    source = world.source().node
    transport = httpx.ASGITransport(create_app(source.settings, source))
    async with httpx.AsyncClient(transport=transport, base_url="https://node.test") as client:
        health = (await client.get("/health")).json()
        assert (health["trustSeparation"], health["keys"]) == ("none", "dealer")
        assert "node_outbox_waiting 0.0" in (await client.get("/metrics")).text
        document = await client.get("/v1/openapi.json")
        assert document.headers["access-control-allow-origin"] == "*"
        assert document.headers["cache-control"] == "no-store"
        assert (await client.get("/v1/flags/")).status_code in (401, 404)
        assert set(document.json()["paths"]) == {
            rule.path.removeprefix("/v1").replace("local_ref:path", "localRef") for rule in ROUTES
        }


def test_every_error_class_has_a_problem() -> None:
    import nodes.pseudonymise  # noqa: F401 - defines one more

    def below(kind: type[NodeError]) -> set[type[NodeError]]:
        return {kind, *(one for child in kind.__subclasses__() for one in below(child))}

    ours = {kind for kind in below(NodeError) if kind.__module__ in ("nodes.errors", "nodes.pseudonymise")}
    assert ours - {NodeError} == set(PROBLEMS)


async def test_an_unknown_error_gives_an_id_and_nothing_of_its_text(
    system: Publishing, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError(f"secret {BSN_A}")

    monkeypatch.setattr(type(system.source.node.intake), "submit", broken)
    failed = await system.post("flags", flag())
    assert failed.status_code == 500
    assert "secret" not in failed.text
    assert BSN_A not in failed.text


async def test_answers_leave_on_the_grid(world: NodeWorld) -> None:
    import time

    runtime: NodeRuntime = world.node("bron", "source", answer_grid_ms=200)
    async with world.system(runtime, kinds=["schuldhulp"]) as client:
        begun = time.monotonic()
        await client.get("/v1/flags/x")
        assert time.monotonic() - begun >= 0.2


def test_the_test_numbers_are_test_numbers() -> None:
    assert all(passes_elfproef(bsn) and bsn.startswith("99999") for bsn in bsns(50))
    assert VOCABULARY.has_kind("schuldhulp")
