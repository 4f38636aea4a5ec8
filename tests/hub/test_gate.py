"""The gate: who is not proven, who may not, and what each of them leaves behind."""

import secrets
import uuid
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from nacl.signing import SigningKey

from index.accesslog.reading import EntryFilter
from index.app import PUBLIC, RULES
from index.gate import Gate, Rule
from index.protocol.codec import b64u
from index.protocol.statement import SIGNATURE_HEADER, STATEMENT_HEADER, make_statement, sign_statement

from .world import HUB_ID, SCHULDHULP, Node, Sent, World

pytestmark = pytest.mark.anyio


def entries(world: World) -> list[Any]:
    with world.hub.reading() as connection:
        return world.hub.log_reader.entries(connection, EntryFilter()).entries


async def knock(by: Node, key: SigningKey | None = None, **changes: Any) -> Sent:
    """A confirmation with one thing wrong about who asks."""
    raw = changes.pop("body", b'{"buckets":[]}')
    fields: dict[str, Any] = {
        "t": "confirm",
        "hub": f"{HUB_ID}/v1/log",
        "org": by.oin,
        "node": by.id,
        "msg": str(uuid.uuid4()),
        "jti": secrets.token_bytes(16),
        "nts": int(by.world.clock().timestamp()),
        "role": "bron",
        "body": raw,
        **changes,
    }
    headers = sign_statement(make_statement(**fields), key or by.key)
    return await by.deliver("/v1/confirmations", raw, headers)


NOT_PROVEN: dict[str, dict[str, Any]] = {
    "another node's key": {"key": SigningKey.generate()},
    "an unknown node": {"node": "nobody"},
    "another organisation": {"org": "00000000000000000001"},
    "another hub": {"hub": "other.example/v1/log"},
    "another activity": {"t": "publish"},
    "a clock 61 seconds behind": {"late": 61},
    "a clock 63 seconds ahead": {"late": -63},
}


@pytest.mark.parametrize("what", NOT_PROVEN)
async def test_who_is_not_proven_gets_one_answer_and_leaves_no_entry(world: World, what: str) -> None:
    changes = dict(NOT_PROVEN[what])
    if "late" in changes:
        changes["nts"] = int(world.clock().timestamp()) - changes.pop("late")
    before = len(entries(world))

    refused = (await knock(world.bron, **changes)).response

    unsigned = await world.client.post("/v1/confirmations", content=b"{}")
    assert refused.status_code == unsigned.status_code == 401
    assert refused.content == unsigned.content
    assert len(entries(world)) == before
    assert world.hub.failed_authentications.total() == 2


async def test_a_statement_about_another_body_is_refused_like_any_other_forgery(world: World) -> None:
    sent = await world.bron.publishes("Fatima", "schuldhulp")
    forged = await world.bron.deliver(sent.path, sent.body + b" ", sent.headers)
    assert forged.response.status_code == 401


async def test_a_statement_with_other_bytes_than_its_canonical_form_is_refused(world: World) -> None:
    raw = b'{"buckets":[]}'
    sent = await knock(world.bron)
    loose = msgspec.json.format(sent.signed.raw, indent=1)
    headers = {
        STATEMENT_HEADER: b64u(loose),
        SIGNATURE_HEADER: b64u(world.bron.key.sign(b"vlagwijzer/request/v1\n" + loose).signature),
    }
    response = await world.client.post("/v1/confirmations", content=raw, headers=headers)
    assert response.status_code == 401


async def test_a_clock_that_differs_59_seconds_is_accepted(world: World) -> None:
    now = int(world.clock().timestamp())
    assert (await knock(world.bron, nts=now - 59)).response.status_code == 400
    assert (await knock(world.bron, nts=now + 59)).response.status_code == 400


NOT_ALLOWED: dict[str, tuple[str, dict[str, str]]] = {
    "a source that looks": ("bron", {"role": "generalist", "actor": "m-1", "purpose": "huisbezoek"}),
    "an employee without a team": (
        "wijkteam",
        {"role": "generalist", "actor": "m-1", "purpose": "huisbezoek"},
    ),
    "a team of nobody": (
        "wijkteam",
        {"role": "generalist", "actor": "m-1", "purpose": "huisbezoek", "team": "west"},
    ),
    "a role that may not look": (
        "wijkteam",
        {"role": "teamleider", "actor": "m-1", "purpose": "huisbezoek", "team": "noord"},
    ),
    "a role of nobody": (
        "wijkteam",
        {"role": "koning", "actor": "m-1", "purpose": "huisbezoek", "team": "noord"},
    ),
    "a purpose of nobody": (
        "wijkteam",
        {"role": "generalist", "actor": "m-1", "purpose": "nieuwsgierig", "team": "noord"},
    ),
    "nobody behind the desk": (
        "wijkteam",
        {"role": "generalist", "purpose": "huisbezoek", "team": "noord"},
    ),
    "a citizen at the desk's route": ("portaal", {"role": "burger"}),
}


@pytest.mark.parametrize("what", NOT_ALLOWED)
async def test_who_may_not_is_refused_and_recorded_without_a_person(world: World, what: str) -> None:
    node, statement = NOT_ALLOWED[what]

    sent = await world.nodes[node].send("/v1/lookups", {"tickets": [b64u(bytes(813))]}, "lookup", **statement)

    last = entries(world)[0].asker
    assert sent.response.status_code == 403
    assert (last.refused, last.node, last.handles) == ("not-allowed", node, [])


async def test_a_body_that_cannot_be_read_is_recorded_without_a_person_and_not_echoed(world: World) -> None:
    sent = await world.bron.send("/v1/retractions", {"items": "geheim-999"}, "retract", role="bron")
    last = entries(world)[0].asker
    assert sent.response.status_code == 400
    assert "geheim" not in sent.response.text
    assert (last.refused, last.handles) == ("body", [])


async def test_an_unknown_field_in_a_body_is_refused(world: World) -> None:
    sent = await world.bron.send("/v1/retractions", {"items": [], "extra": 1}, "retract", role="bron")
    assert sent.response.status_code == 400


async def test_a_body_over_the_limit_is_not_read(world: World) -> None:
    sent = await world.bron.send("/v1/confirmations", b"[" + b" " * 3_000_000, "confirm", role="bron")
    assert sent.response.status_code == 413


async def test_over_its_budget_an_employee_waits_whoever_is_asked_about(tmp_path: Any) -> None:
    async with World(tmp_path, employee_per_minute=4).running() as world:
        visit = await world.wijkteam.opens("m-jan", ["Fatima", "Piet"])
        await world.wijkteam.looks(visit)

        refused = (await world.wijkteam.tries_to_look(visit)).response

        colleague = await world.wijkteam.opens("m-els", ["Fatima"])
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "60"
        assert entries(world)[1].asker.refused == "over-rate"
        assert entries(world)[1].asker.handles == []
        assert (await world.wijkteam.looks(colleague)).persons[0].refused == ""


async def test_every_route_of_the_application_has_a_rule(world: World) -> None:
    ruled = {rule.path for rule in RULES} | {rule.path for rule in PUBLIC}
    assert {route.path for route in world.app.router.routes} == ruled


async def test_a_path_without_a_rule_is_not_there(world: World) -> None:
    sent = await world.bron.send("/v1/admin", {}, "publish", role="bron")
    assert sent.response.status_code == 404
    assert (await world.client.get("/v1/lookups")).status_code == 405
    assert (await world.client.get("/docs")).status_code == 404


async def test_a_rule_that_would_let_everybody_in_cannot_be_made(world: World) -> None:
    rule = RULES[0]
    with pytest.raises(ValueError, match="no node"):
        Rule(rule.path, rule.body, rule.handle, rule.who, frozenset(), rule.summary, rule.answer)
    with pytest.raises(ValueError, match="no activity"):
        Rule("/v1/admin", rule.body, rule.handle, rule.who, rule.classes, rule.summary, rule.answer)
    with pytest.raises(ValueError, match="two rules"):
        Gate(world.hub, [rule, rule], ()).routes()


async def test_every_answer_forbids_storing_and_no_answer_is_compressed(world: World) -> None:
    visit = await world.wijkteam.opens("m-jan", ["Fatima"])
    response = (await world.wijkteam.tries_to_look(visit)).response
    assert response.headers["cache-control"] == "no-store"
    assert "content-encoding" not in response.headers
    assert (await knock(world.bron, node="nobody")).response.headers["cache-control"] == "no-store"


async def test_a_statement_of_a_node_under_another_nodes_organisation_is_refused(world: World) -> None:
    assert (await knock(world.wijkteam, org=SCHULDHULP)).response.status_code == 401


async def test_a_slow_message_keeps_its_id_and_gets_the_same_receipt(world: World) -> None:
    msg = str(uuid.uuid4())
    first = await world.bron.publishes("Fatima", "schuldhulp", msg=msg)
    second = await world.bron.send("/v1/publications", first.body, "publish", msg=msg, role="bron")
    assert first.response.json()["receipt"] == second.response.json()["receipt"]


async def test_a_known_message_with_another_body_is_a_conflict(world: World) -> None:
    visit, first = await world.wijkteam.tries_to_open("m-jan", ["Fatima"])
    msg = first.signed.statement.msg
    _, second = await world.wijkteam.tries_to_open("m-jan", ["Fatima"], msg=msg, until=timedelta(days=3))
    assert first.response.status_code == 200
    assert second.response.status_code == 422
    assert visit.persons == ["Fatima"]
