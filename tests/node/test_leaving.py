"""A source switched off by two people, API keys that end, a node that asks to join, and environments."""

import asyncio
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from deploy.joining import ask_to_join
from index.app import open_hub
from index.protocol.directory import NotTrusted, encode, sign
from index.protocol.enrolment import fingerprint, parse_request
from index.settings import SettingsError as HubSettingsError
from nodes import apikeys
from nodes.errors import (
    BadInput,
    HolderRefused,
    HoldersUnreachable,
    NotAllowed,
    Refused,
    SettingsError,
    SourceOff,
)
from nodes.keyholder.app import create_app as create_holder
from nodes.keyholder.errors import CannotStart
from nodes.store.database import writing
from nodes.store.tables import switch_off
from tests.federation_keys import OIN

from .world import BSN_A, BSN_B, BSN_C, VOCABULARY, NodeWorld, Source

pytestmark = pytest.mark.anyio
NAME = "Schuldhulp Voorbeeld"


async def filled(world: NodeWorld) -> Source:
    source = world.source(organisation_name=NAME)
    await source.publish(BSN_A, "SH-1")
    await source.publish(BSN_B, "SH-2")
    await source.drain()
    return source


# --- zet mijn bron uit -------------------------------------------------------------------


async def test_two_people_switch_a_source_off_and_everything_is_gone_at_the_hub(world: NodeWorld) -> None:
    source = await filled(world)
    off = source.node.switching_off
    assert (off.state().state, off.state().count) == ("on", 2)
    off.ask("p-anna", NAME)
    assert (off.state().state, off.state().count) == ("asked", 2)
    assert off.confirm("p-bram", 2) == 2
    await source.drain()
    assert source.node.outbox.live() == []
    assert await source.node.sender.confirm() == []
    assert (off.state().state, off.state().count) == ("off", 2)


@pytest.mark.parametrize("typed", ["", "   ", NAME.lower(), NAME[:-1], NAME + "!"])
async def test_another_name_than_the_organisations_asks_for_nothing(world: NodeWorld, typed: str) -> None:
    source = await filled(world)
    with pytest.raises(BadInput):
        source.node.switching_off.ask("p-anna", typed)
    assert source.node.switching_off.state().state == "on"


async def test_without_a_name_in_the_settings_an_empty_field_does_not_reach_it(world: NodeWorld) -> None:
    source = world.source()
    await source.publish(BSN_A, "SH-1")
    with pytest.raises(BadInput):
        source.node.switching_off.ask("p-anna", "")


async def test_one_person_or_nobody_confirms_nothing(world: NodeWorld) -> None:
    source = await filled(world)
    off = source.node.switching_off
    with pytest.raises(BadInput):
        off.confirm("p-bram", 2)
    off.ask("p-anna", NAME)
    for who in ("p-anna", ""):
        with pytest.raises(NotAllowed):
            off.confirm(who, 2)
    # Not even by the database's own hand.
    with pytest.raises(IntegrityError), writing(source.node.engine) as connection:
        connection.execute(switch_off.update().values(confirmed_by="p-anna", off_at=1))
    assert len(source.node.outbox.live()) == 2


async def test_a_count_that_is_another_by_now_is_shown_first(world: NodeWorld) -> None:
    source = await filled(world)
    off = source.node.switching_off
    off.ask("p-anna", NAME)
    await source.publish(BSN_C, "SH-3")
    with pytest.raises(BadInput, match="changed"):
        off.confirm("p-bram", 2)
    assert off.confirm("p-bram", 3) == 3


async def test_a_source_that_is_off_publishes_nothing_until_it_is_switched_on(world: NodeWorld) -> None:
    source = await filled(world)
    off = source.node.switching_off
    off.ask("p-anna", NAME)
    off.confirm("p-bram", 2)
    await source.drain()
    system = world.system(source.node, kinds=["schuldhulp"])
    said = {"bsn": BSN_A, "kind": "schuldhulp", "localRef": "SH-9", "since": "2025-03"}
    answer = await system.post("/v1/flags", json=said)
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (409, "source-off")
    with pytest.raises(SourceOff):
        await source.publish(BSN_A, "SH-1")
    assert off.switch_on()
    assert not off.switch_on()
    await source.publish(BSN_A, "SH-1")
    await source.drain()
    assert len(source.node.outbox.live()) == 1


async def test_what_was_asked_can_be_dropped_and_asked_anew(world: NodeWorld) -> None:
    source = await filled(world)
    off = source.node.switching_off
    off.ask("p-anna", NAME)
    with pytest.raises(BadInput):
        off.ask("p-carla", NAME)
    off.withdraw()
    assert off.state().state == "on"
    off.ask("p-carla", NAME)


# --- keys of calling systems -------------------------------------------------------------


async def test_a_key_ends_and_a_rotated_one_overlaps(world: NodeWorld) -> None:
    engine, now = world.source().node.engine, world.clock()
    day = timedelta(days=1)
    first, old = apikeys.add(engine, VOCABULARY, "zaak", kinds=["ww"], now=now, expires_at=now + 30 * day)
    second, new = apikeys.rotate(engine, first.id, overlap=7 * day, now=now)
    assert (second.name, second.kinds) == (first.name, first.kinds)

    def opens(key: str, after: timedelta) -> bool:
        return apikeys.find(engine, key, now + after) is not None

    assert opens(old, 6 * day)
    assert not opens(old, 8 * day)
    assert opens(new, 365 * day)
    with pytest.raises(NotAllowed):
        apikeys.rotate(engine, first.id, overlap=day, now=now + 8 * day)
    third, last = apikeys.rotate(engine, second.id, overlap=timedelta(), now=now, expires_at=now + day)
    assert not opens(new, timedelta(milliseconds=1))
    # An overlap never lets a key live longer than it would have.
    apikeys.rotate(engine, third.id, overlap=100 * day, now=now)
    assert not opens(last, 2 * day)


@pytest.mark.parametrize("wrong", [{"expires_at": timedelta(days=-1)}, {"expires_at": timedelta()}])
async def test_a_key_is_not_made_with_an_end_that_is_past(
    world: NodeWorld, wrong: dict[str, timedelta]
) -> None:
    engine, now = world.source().node.engine, world.clock()
    with pytest.raises(BadInput):
        apikeys.add(engine, VOCABULARY, "zaak", now=now, expires_at=now + wrong["expires_at"])
    assert apikeys.listed(engine) == []


# --- joining -----------------------------------------------------------------------------


async def test_a_node_makes_its_keys_and_a_request_with_nothing_secret(tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    pins = '[holders]\nkh-a = "' + "A" * 43 + '"\n'
    fields = {
        "node_id": "wmo", "url": "https://wmo.test", "database": "node.sqlite",
        "signing_key_file": "signing.key", "node_secret_file": "secret.key", "case_key_file": "case.key",
        "storage_key_file": "storage.key", "hub_url": "https://hub.test", "hub_id": "hub.test",
        "hub_log_vkey": "-", "hub_receipt_key": "-", "manifest_url": "https://hub.test/v1/manifest",
        "directory_url": "https://hub.test/v1/directory", "environment": "test",
    }  # fmt: skip
    lines = [f'{name} = "{value}"' for name, value in fields.items()]
    config.write_text("\n".join([*lines, 'parts = ["source", "desk"]', pins]))
    made = ask_to_join(config, OIN, tmp_path / "verzoek.json", ["zorg"])
    raw = (tmp_path / "verzoek.json").read_bytes()
    asked = parse_request(raw)
    assert (asked.environment, asked.node, asked.classes) == ("test", "wmo", ["crisis", "lookup", "publish"])
    assert made["fingerprint"] == fingerprint(asked.ed25519)
    secrets = [tmp_path / name for name in ("signing.key", "secret.key", "case.key", "storage.key")]
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in secrets)
    assert not any(file.read_bytes().strip() in raw for file in secrets)
    before = [file.read_bytes() for file in secrets]
    with pytest.raises(SettingsError, match="already"):
        ask_to_join(config, OIN, tmp_path / "verzoek.json", [])
    again = ask_to_join(config, OIN, tmp_path / "nog-een.json", [])
    assert (again["made"], again["fingerprint"]) == ([], made["fingerprint"])
    assert [file.read_bytes() for file in secrets] == before
    with pytest.raises(SettingsError, match="20 digits"):
        ask_to_join(config, "123", tmp_path / "fout.json", [])
    for spoilt in (raw.replace(b"wmo.test", b"dief.tst"), raw[:-2], b"{}", b""):
        with pytest.raises(NotTrusted):
            parse_request(spoilt)


# --- test and production -----------------------------------------------------------------


@pytest.mark.parametrize("own", ["test", "production"])
async def test_a_node_of_one_environment_does_not_start_in_the_other(world: NodeWorld, own: str) -> None:
    other = "production" if own == "test" else "test"
    manifest = world.keys.signed_manifest(world.keys.manifest.version, environment=other)
    (world.folder / "hub" / "manifest.json").write_bytes(encode(sign(manifest, world.keys.holder_keys)))
    with pytest.raises(SettingsError, match=f"environment {other}"):
        world.source(environment=own)


async def test_what_a_test_node_signs_counts_nowhere_in_production(world: NodeWorld) -> None:
    source = await filled(world)
    source.node.hub._environment = "test"
    with pytest.raises(Refused, match="unauthenticated"):
        await source.node.sender.confirm()
    source.node.hub._environment = "production"
    assert await asyncio.wait_for(source.node.sender.confirm(), 10) == []


async def test_neither_hub_nor_key_holder_starts_with_a_manifest_of_the_other_environment(
    world: NodeWorld,
) -> None:
    holder = next(iter(world.keys.settings.values()))
    with pytest.raises(CannotStart, match="environment production"):
        create_holder(holder.model_copy(update={"environment": "test"}))
    with pytest.raises(HubSettingsError, match="environment production"):
        open_hub(world.hub_settings.model_copy(update={"environment": "test"}))


async def test_a_key_holder_evaluates_nothing_for_a_node_of_the_other_environment(
    world: NodeWorld,
) -> None:
    source = world.source()
    honest = source.node.pseudonymiser._manifest.current
    other = world.keys.signed_manifest(honest.version, environment="test")
    source.node.pseudonymiser._manifest._current = other
    with pytest.raises((HolderRefused, HoldersUnreachable)):
        await source.node.pseudonymiser.start()
