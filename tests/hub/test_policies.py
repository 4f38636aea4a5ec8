"""Versions of the policy: who puts one in force, and when it answers."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from index import acts
from index.accesslog.reading import EntryFilter
from index.acts import HistoryBroken, Refused
from index.app import open_hub
from index.policies import NotProven, Policies, settle, stop
from index.protocol.codec import unb64u
from index.protocol.policy import PolicyNotSigned, check_policy, version_statement
from index.settings import HubSettings, SettingsError
from policy.texts import packaged

from .office import Bureau, People, candidate, without
from .world import Visit, World

pytestmark = pytest.mark.anyio

CLOSED = candidate(forbids=without("generalist", "schuldhulp"))


@pytest.fixture
def people(tmp_path: Path) -> People:
    return People(tmp_path / "people")


@pytest.fixture
async def world(tmp_path: Path, database: dict[str, str], people: People) -> AsyncIterator[World]:
    made = World(tmp_path, approvers=people.approvers(), **database)
    async with made.running() as running:
        await running.bron.publishes("Fatima", "schuldhulp")
        session = await running.portaal.logs_in("Fatima")
        await running.portaal.chooses(session, category=["geld", "schuldhulp"])
        yield running


@pytest.fixture
def bureau(world: World, people: People) -> Bureau:
    return Bureau(world, people)


async def seen(world: World, visit: Visit) -> list[str]:
    """What is shown, once the version in force is at hand."""
    end = time.monotonic() + 60
    while True:
        sent = await world.wijkteam.tries_to_look(visit)
        if sent.response.status_code != 503 or time.monotonic() > end:
            break
        await asyncio.sleep(0.05)
    assert sent.response.status_code == 200, sent.response.text
    return [flag["kind"] for flag in sent.response.json()["persons"][0]["flags"]]


async def test_a_version_answers_from_the_second_approval_on_and_not_before(
    world: World, bureau: Bureau
) -> None:
    visit = await world.wijkteam.opens("m-jan", ["Fatima"])
    number, differences = bureau.publishing.publish(bureau.who("anna"), CLOSED)
    assert {(cell.role, cell.kind) for cell in differences.closed} == {("generalist", "schuldhulp")}
    assert not differences.opened
    assert await seen(world, visit) == ["schuldhulp"]
    bureau.publishing.approve(bureau.who("bram"), bureau.publishing.differences(number))
    assert await seen(world, visit) == ["schuldhulp"]
    bureau.publishing.approve(bureau.who("carla"), bureau.publishing.differences(number))
    first = await world.wijkteam.tries_to_look(visit)
    assert first.response.status_code == 503 or not first.response.json()["persons"][0]["flags"]
    assert await seen(world, visit) == []
    assert world.hub.policy.number == number == 2


async def test_one_person_cannot_stand_for_two(world: World, bureau: Bureau) -> None:
    number, differences = bureau.publishing.publish(bureau.who("anna"), CLOSED)
    with pytest.raises(Refused, match="author"):
        bureau.publishing.approve(bureau.who("anna"), differences)
    bureau.publishing.approve(bureau.who("bram"), differences)
    with pytest.raises(Refused, match="approved it already"):
        bureau.publishing.approve(bureau.who("bram"), differences)
    assert bureau.publishing.running()[0] == 1
    with pytest.raises(Refused, match="not the key of"):
        acts.signer(world.settings, "carla", bureau.people.files["bram"])
    with pytest.raises(Refused, match="Nobody is registered"):
        acts.signer(world.settings, "dirk", bureau.people.files["bram"])
    assert number == 2


async def test_a_candidate_that_breaks_a_property_waits_for_nobody(world: World, bureau: Bureau) -> None:
    """Veilig Thuis for a generalist, on a visit: said by name, and no number is used up."""
    opened = (
        '\n@id("fout")\npermit (principal in Role::"generalist", action == Action::"view", '
        'resource == Kind::"veilig_thuis")\n'
        'when { context.basis == "wettelijke_taak" && ["huisbezoek"].contains(context.purpose) };\n'
    )
    with pytest.raises(NotProven, match=r"P7 \(basis\).*Generalist.*Veilig Thuis.*Huisbezoek"):
        bureau.publishing.publish(bureau.who("anna"), candidate(forbids=opened))
    closing = candidate(forbids=without("generalist", "bijstand"))
    good, _ = bureau.publishing.publish(bureau.who("anna"), closing)
    assert good == 2


def test_one_key_under_two_names_is_no_setting(tmp_path: Path, people: People) -> None:
    key = people.approvers()["anna"]
    with pytest.raises(ValueError, match="one key"):
        HubSettings(**{**World(tmp_path).settings.model_dump(), "approvers": {"anna": key, "bram": key}})


async def test_an_approval_of_other_differences_than_now_is_refused(world: World, bureau: Bureau) -> None:
    number, differences = bureau.publishing.publish(bureau.who("anna"), CLOSED)
    other = bureau.in_force(candidate(forbids=without("generalist", "bijstand")))
    with pytest.raises(Refused, match="publish again"):
        bureau.publishing.approve(bureau.who("bram"), differences)
    assert bureau.publishing.running()[0] == other == number + 1


async def test_going_back_is_a_new_number_with_the_old_content_and_the_same_approvals(
    world: World, bureau: Bureau
) -> None:
    before = world.hub.policy.hash
    assert bureau.in_force(CLOSED) == 2
    number, differences = bureau.publishing.rollback(bureau.who("carla"), 1)
    assert number == 3
    assert bureau.publishing.running()[0] == 2
    for name in ("anna", "bram"):
        bureau.publishing.approve(bureau.who(name), differences)
    assert await seen(world, await world.wijkteam.opens("m-jan", ["Fatima"])) == ["schuldhulp"]
    assert (world.hub.policy.number, world.hub.policy.hash) == (3, before)


async def test_a_candidate_that_gives_a_number_another_meaning_is_refused(
    world: World, bureau: Bureau
) -> None:
    changed = candidate(("extern_zorg", "extern_hulp"))
    changed = replace(changed, forbids=changed.forbids.replace("extern_zorg", "extern_hulp"))
    with pytest.raises(Refused, match="is given to another"):
        bureau.publishing.publish(bureau.who("anna"), changed)


async def test_each_decision_names_its_version_and_each_act_is_in_the_log(
    world: World, bureau: Bureau
) -> None:
    visit = await world.wijkteam.opens("m-jan", ["Fatima"])
    bureau.in_force(CLOSED)
    await seen(world, visit)
    answer = (await world.wijkteam.tries_to_look(visit)).response.json()["persons"][0]
    assert answer["policy"] == 2
    with world.hub.reading() as connection:
        page = world.hub.log_reader.entries(connection, EntryFilter(t="policy"))
        looked = world.hub.log_reader.entries(connection, EntryFilter(t="lookup")).entries[0]
    assert len(page.entries) == 4  # published, approved twice, in force
    assert looked.asker.pv == 2
    assert looked.dec[:32] == world.hub.policy.hash


async def test_the_policy_is_served_with_its_signature_and_content(world: World, bureau: Bureau) -> None:
    bureau.in_force(CLOSED)
    body = (await world.client.get("/v1/policy")).json()
    assert body["number"] == 2
    assert body["content"] == CLOSED.files()
    statement = version_statement(world.settings.hub_id, 2, bytes.fromhex(body["hash"]))
    world.keystore.log_signing.verify_key.verify(statement, unb64u(body["signature"], 64))


async def test_whoever_reads_the_policy_checks_it_and_asks_only_for_what_changed(
    world: World, bureau: Bureau
) -> None:
    bureau.in_force(CLOSED)
    answer = await world.client.get("/v1/policy")
    public = bytes(world.keystore.log_signing.verify_key)
    held = check_policy(answer.content, hub=world.settings.hub_id, public=public)
    assert held.number == 2
    seen = {"If-None-Match": answer.headers["etag"]}
    assert (await world.client.get("/v1/policy", headers=seen)).status_code == 304
    for change in (
        {"number": 3},
        {"hash": "00" * 32},
        {"acts": held.acts + 1},
        {"organisations": [{"organisation": "1", "profile": "kernteam"}]},
        {"signature": held.registers_signature},
        {"more": 1},
    ):
        raw = msgspec.json.encode({**answer.json(), **change})
        with pytest.raises(PolicyNotSigned):
            check_policy(raw, hub=world.settings.hub_id, public=public)
    with pytest.raises(PolicyNotSigned):
        check_policy(answer.content, hub="other.example", public=public)
    with pytest.raises(PolicyNotSigned):
        check_policy(answer.content, hub=world.settings.hub_id, public=public, not_before=held.acts + 1)
    bureau.in_force(packaged())
    assert (await world.client.get("/v1/policy", headers=seen)).status_code == 200


# --- emergency closing -------------------------------------------------------------------


async def test_a_closing_holds_at_once_and_is_reverted_without_a_second_person(
    world: World, bureau: Bureau
) -> None:
    visit = await world.wijkteam.opens("m-jan", ["Fatima"])
    number, _ = bureau.publishing.close(bureau.who("anna"), CLOSED)
    assert await seen(world, visit) == []
    with pytest.raises(Refused, match="another person"):
        bureau.publishing.approve(bureau.who("anna"), bureau.publishing.differences(number))
    world.clock.shift(hours=23)
    assert await seen(world, visit) == []
    world.clock.shift(hours=2)
    assert await seen(world, visit) == ["schuldhulp"]
    assert world.hub.policy.number == number + 1
    assert settle(bureau.office)
    assert not settle(bureau.office)
    with pytest.raises(Refused, match="does not wait"):
        bureau.publishing.approve(bureau.who("bram"), bureau.publishing.differences(number))


async def test_a_closing_that_a_second_person_confirms_stays(world: World, bureau: Bureau) -> None:
    visit = await world.wijkteam.opens("m-jan", ["Fatima"])
    number, _ = bureau.publishing.close(bureau.who("anna"), CLOSED)
    bureau.publishing.approve(bureau.who("bram"), bureau.publishing.differences(number))
    world.clock.shift(hours=25)
    assert await seen(world, visit) == []
    assert not settle(bureau.office)


@pytest.mark.parametrize(
    "opening",
    [
        candidate(("needs_convenant = true", "needs_convenant = false"), forbids=without("generalist", "ww")),
        candidate(("lease_days = 35", "lease_days = 36"), forbids=without("generalist", "ww")),
        packaged(),
    ],
)
async def test_emergency_opening_does_not_exist(world: World, bureau: Bureau, opening: object) -> None:
    with pytest.raises(Refused, match=r"more than close|closes nothing"):
        bureau.publishing.close(bureau.who("anna"), opening)  # type: ignore[arg-type]


async def test_what_a_closing_closed_is_not_opened_by_another_closing(world: World, bureau: Bureau) -> None:
    bureau.in_force(CLOSED)
    with pytest.raises(Refused, match="more than close"):
        bureau.publishing.close(bureau.who("anna"), candidate(forbids=without("generalist", "bijstand")))


# --- stopping, and what somebody changed in the database ----------------------------------


async def test_a_stopped_version_answers_nothing_after_a_restart_either(world: World, bureau: Bureau) -> None:
    visit = await world.wijkteam.opens("m-jan", ["Fatima"])
    stop(bureau.office, 1, 1)
    for _ in range(2):
        sent = await world.wijkteam.tries_to_look(visit)
        assert sent.response.status_code == 503
        assert sent.response.json()["type"].endswith("policy-stopped")
    again = open_hub(world.settings, world.clock)
    assert again.policies.stopped
    health = await world.client.get("/health")
    assert (health.status_code, health.json()["policy"]["state"]) == (503, "stopped")
    bureau.in_force(candidate(forbids=without("generalist", "bijstand")))
    assert await seen(world, visit) == ["schuldhulp"]


async def test_versions_and_acts_only_grow(world: World) -> None:
    for statement in ("DELETE FROM act", "UPDATE policy_version SET number = 9"):
        with pytest.raises(DBAPIError, match="only grows"), world.hub.engine.begin() as connection:
            connection.execute(text(statement))


async def test_an_act_that_the_hub_did_not_sign_stops_all_answers(world: World, bureau: Bureau) -> None:
    visit = await world.wijkteam.opens("m-jan", ["Fatima"])
    forged = msgspec.json.encode(acts.Act(t="policy-activate", at=1, about=1, hash="00"))
    with world.hub.engine.begin() as connection:
        connection.execute(
            text("INSERT INTO act VALUES (2, :body, :signature)"), {"body": forged, "signature": bytes(64)}
        )
        connection.execute(text("UPDATE standing SET acts = 2"))
    assert (await world.wijkteam.tries_to_look(visit)).response.status_code == 503
    with pytest.raises(HistoryBroken):
        open_hub(world.settings, world.clock)


async def test_texts_that_make_other_rules_than_were_approved_do_not_start(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    approved = Policies._approved
    monkeypatch.setattr(Policies, "_approved", lambda self, version, _: approved(self, version, bytes(32)))
    with pytest.raises(SettingsError, match="other rules"):
        open_hub(world.settings, world.clock)
