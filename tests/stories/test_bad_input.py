"""What bad input gets over the surfaces that systems use: said where, by which rule, nothing done.

Most of it is told in `tests/node/test_api.py`, `test_visits.py` and `test_csv.py`; here is what
stands in none of them.
"""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from nodes.runtime import open_node
from tests.keyholder.liars import Liar
from tests.node.world import BSN_A, BSN_B, NodeWorld

pytestmark = pytest.mark.anyio

NOT_NUMBERS: list[Any] = [
    "123456789",
    "12345678",
    "abcdefghi",
    "000000000",
    "٩٩٩٩٩٠٠١٩",
    "".join(chr(0xFF10 + int(digit)) for digit in BSN_A),
    "",
    f"{BSN_A} ",
    f"{BSN_A}\n",
    f"{BSN_A}\u0000",
    999990019,
    None,
    [BSN_A],
]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[NodeWorld]:
    async with NodeWorld(tmp_path).running() as running:
        yield running
    running.keys.close()


def flag(**changes: Any) -> dict[str, Any]:
    return {"bsn": BSN_A, "kind": "schuldhulp", "localRef": "SH-1", "since": "2025-03", **changes}


def errors(answer: Any) -> set[tuple[str, str]]:
    return {(error["location"], error["code"]) for error in answer.json()["errors"]}


async def test_a_bad_number_of_a_visit_or_question_reaches_nobody(world: NodeWorld) -> None:
    desk = world.desk()
    async with world.system(desk, roles=["generalist"]) as system:
        token = {"Authorization": f"Bearer {world.token()}"}
        good = {"clients": [{"bsn": BSN_A}], "purpose": "huisbezoek", "caseReference": "Z-1"}
        visit = (await system.post("/v1/visits", json=good, headers=token)).json()["visit"]
        world.network.sent.clear()
        calls = sum(door.calls for door in world.keys.doors.values())
        for number in NOT_NUMBERS:
            asked = {**good, "clients": [{"bsn": BSN_B}, {"bsn": number}]}
            for path, body in (("visits", asked), ("lookups", {"visit": visit, "clients": asked["clients"]})):
                refused = await system.post(f"/v1/{path}", json=body, headers=token)
                assert refused.status_code == 400
                assert errors(refused) == {("clients[1].bsn", "elfproef")}
                assert BSN_B not in refused.text
                assert not number or str(number) not in refused.text
        assert world.network.sent == []
        assert sum(door.calls for door in world.keys.doors.values()) == calls


async def test_a_bad_number_in_a_batch_is_refused_alone_and_not_repeated(world: NodeWorld) -> None:
    source = world.source()
    items = [flag(bsn=number, localRef=f"SH-{at}") for at, number in enumerate(NOT_NUMBERS)]
    items.append(flag(localRef="SH-good"))
    async with world.system(source.node, kinds=["schuldhulp"]) as system:
        answer = await system.post("/v1/flags/batches", json={"publish": items})
    told = answer.json()["publish"]
    assert [item["state"] for item in told] == ["rejected"] * len(NOT_NUMBERS) + ["queued"]
    assert {error["code"] for item in told[:-1] for error in item["errors"]} == {"elfproef"}
    assert BSN_A not in answer.text
    await source.drain()
    assert [ref for _, _, ref in source.node.outbox.live()] == ["SH-good"]


@pytest.mark.parametrize("call", ["publish", "retract", "batch", "state"])
async def test_a_reference_that_holds_a_number_is_refused_everywhere(world: NodeWorld, call: str) -> None:
    source = world.source()
    reference = f"zaak-{BSN_B}"
    async with world.system(source.node, kinds=["schuldhulp"]) as system:
        if call == "publish":
            refused = await system.post("/v1/flags", json=flag(localRef=reference))
        elif call == "retract":
            refused = await system.post("/v1/flags/retractions", json={"localRef": reference})
        elif call == "state":
            refused = await system.get(f"/v1/flags/{reference}")
        else:
            items = {"publish": [flag(localRef=reference)], "retract": [{"localRef": reference}]}
            answer = await system.post("/v1/flags/batches", json=items)
            told = answer.json()["publish"] + answer.json()["retract"]
            assert [item["errors"][0]["code"] for item in told] == ["holds-bsn", "holds-bsn"]
            assert BSN_B not in answer.text
            assert source.node.outbox.is_drained()
            return
    assert refused.status_code == 400
    assert "holds-bsn" in {code for _, code in errors(refused)}
    assert BSN_B not in refused.text
    assert source.node.outbox.is_drained()


async def test_every_rule_of_a_flag_is_named_in_a_batch_too(world: NodeWorld) -> None:
    source = world.source()
    wrong = [
        (flag(kind="bestaat_niet"), "unknown-kind"),
        (flag(kind="jeugdhulp"), "kind-not-registered"),
        (flag(kind="wmo_voorziening"), "kind-not-for-key"),
        (flag(until="2025-01"), "before-since"),
        (flag(since="2099-01"), "too-far-ahead"),
        (flag(localRef=""), "length"),
        ({}, "length"),
        ([], "form"),
        (None, "form"),
    ]
    async with world.system(source.node, kinds=["schuldhulp"]) as system:
        answer = await system.post("/v1/flags/batches", json={"publish": [item for item, _ in wrong]})
    told = answer.json()["publish"]
    assert [item["state"] for item in told] == ["rejected"] * len(wrong)
    for item, (_, code) in zip(told, wrong, strict=True):
        assert code in {error["code"] for error in item["errors"]}
    assert source.node.outbox.is_drained()


@pytest.mark.parametrize(
    "body",
    [
        {"retract": [{}]},
        {"retract": [None]},
        {"retract": ["*"]},
        {"retract": [{"localRef": "*"}]},
        {"retract": [{"localRef": "%"}]},
        {"retract": [{"localRef": None}]},
        {"retract": [{"kind": "schuldhulp"}]},
        {"retract": [{"localRef": "SH-1", "all": True}]},
        {"retract": "*"},
        {"retract": {}},
        {"retract": []},
    ],
)
async def test_a_malformed_retraction_in_a_batch_never_widens(world: NodeWorld, body: Any) -> None:
    source = world.source()
    await source.publish(BSN_A, "SH-1")
    await source.publish(BSN_B, "SH-2")
    await source.drain()
    async with world.system(source.node, kinds=["schuldhulp"]) as system:
        answer = await system.post("/v1/flags/batches", json=body)
    assert answer.status_code in (202, 400)
    if answer.status_code == 202:
        assert {item["state"] for item in answer.json()["retract"]} == {"rejected"}
    assert source.node.outbox.is_drained()
    assert {source.state("SH-1"), source.state("SH-2")} == {"published"}


async def test_a_holder_that_lies_is_named_to_who_looks_and_the_hub_hears_nothing(world: NodeWorld) -> None:
    desk = world.desk()
    world.keys.down("kh-c")
    Liar(world.keys, "kh-b", spoil=lambda answer, _: _with_an_old_proof(answer))
    async with world.system(desk, roles=["generalist"]) as system:
        body = {"clients": [{"bsn": BSN_A}], "purpose": "huisbezoek", "caseReference": "Z-1"}
        answer = await system.post(
            "/v1/visits", json=body, headers={"Authorization": f"Bearer {world.token()}"}
        )
    assert answer.status_code == 503
    assert answer.json()["type"].endswith("/key-holder-wrong")
    assert "kh-b" in answer.json()["detail"]
    assert "nothing was sent" in answer.json()["title"]
    # The rules were read, and they are about nobody.
    assert {path for path, _, _ in world.network.sent} <= {"/v1/policy"}


def _with_an_old_proof(answer: Any) -> Any:
    import msgspec

    groups = [msgspec.structs.replace(group, proof="A" * 86) for group in answer.groups]
    return msgspec.structs.replace(answer, groups=groups)


@pytest.mark.parametrize("content", ["", "kort", "A" * 42, "A" * 44, "===", "A" * 43 + "\nA"])
async def test_a_wrong_key_file_stops_the_process_and_is_named(world: NodeWorld, content: str) -> None:
    from nodes.errors import SettingsError

    settings = world.settings("bron", "source")
    settings.storage_key_file.write_text(content)
    with pytest.raises(SettingsError, match=r"storage\.key"):
        open_node(settings)
    assert settings.storage_key_file.read_text() == content


async def test_bodies_that_are_no_json_or_too_deep_are_refused_at_every_call(world: NodeWorld) -> None:
    source, desk = world.source().node, world.desk()
    token = {"Authorization": f"Bearer {world.token()}"}
    bodies = [b"", b"{", b"[]", b"null", b"\xff", b'{"a":' * 3000, b'{"bsn":"\\ud800"}', b'{"n":1e999}']
    async with (
        world.system(source, kinds=["schuldhulp"]) as publishing,
        world.system(desk, roles=["generalist"]) as looking,
    ):
        for body in bodies:
            for path in ("/v1/flags", "/v1/flags/retractions", "/v1/flags/batches"):
                assert (await publishing.post(path, content=body)).status_code == 400
            for path in ("/v1/visits", "/v1/lookups", "/v1/visits/x/renewals"):
                answer = await looking.post(path, content=body, headers=token)
                assert answer.status_code == 400
                assert answer.headers["content-type"] == "application/problem+json"
                assert json.loads(answer.content)["status"] == 400
