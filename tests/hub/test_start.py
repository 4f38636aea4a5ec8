"""Starting the hub: whole, or not at all and saying why. And what anybody may read of it."""

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nacl.signing import SigningKey

from index.accesslog.errors import LogInconsistent
from index.api_document import openapi
from index.app import open_hub
from index.gate import Gate
from index.keystore import STORE
from index.protocol.codec import b64u
from index.protocol.directory import encode, parse_directory, parse_manifest, sign
from index.protocol.entry import EntryTooLarge
from index.protocol.keyfile import KeyFileError
from index.protocol.note import parse_vkey, verified_checkpoint
from index.protocol.statement import T_OF_PATH
from index.settings import HubSettings, SettingsError
from tests.postgresql import execute

from .world import World

pytestmark = pytest.mark.anyio


@pytest.fixture
def stopped(tmp_path: Path, database: dict[str, str]) -> World:
    """A world whose hub was not started."""
    return World(tmp_path, **database)


async def test_a_missing_key_file_stops_the_start_and_is_named(stopped: World) -> None:
    (stopped.folder / "keys" / STORE).unlink()
    with pytest.raises(KeyFileError, match=STORE):
        open_hub(stopped.settings, stopped.clock)


async def test_a_manifest_that_one_holder_did_not_sign_stops_the_start(stopped: World) -> None:
    manifest = stopped.manifest()
    partial = {holder: key for holder, key in stopped.holder_keys.items() if holder != "kh-c"}
    (stopped.folder / "manifest.json").write_bytes(encode(sign(manifest, partial)))
    with pytest.raises(SettingsError, match="every listed holder"):
        open_hub(stopped.settings, stopped.clock)


async def test_a_directory_that_holders_did_not_sign_stops_the_start(stopped: World) -> None:
    forged = sign(stopped.directory(), {"kh-a": SigningKey.generate(), "kh-b": SigningKey.generate()})
    (stopped.folder / "directory.json").write_bytes(encode(forged))
    with pytest.raises(SettingsError, match="signatures of 2"):
        open_hub(stopped.settings, stopped.clock)


async def test_a_manifest_about_another_hub_or_key_stops_the_start(stopped: World) -> None:
    other = stopped.settings.model_copy(update={"hub_id": "other.example"})
    with pytest.raises(SettingsError, match="another hub"):
        open_hub(other, stopped.clock)
    hub = msgspec.structs.replace(stopped.manifest().hub, x25519=[b64u(bytes(31) + b"\1")])
    changed = sign(msgspec.structs.replace(stopped.manifest(), hub=hub), stopped.holder_keys)
    (stopped.folder / "manifest.json").write_bytes(encode(changed))
    with pytest.raises(SettingsError, match="another key for points"):
        open_hub(stopped.settings, stopped.clock)


async def test_a_vocabulary_whose_largest_entry_does_not_fit_stops_the_start(
    stopped: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.protocol.entry.room", lambda _: 100)
    with pytest.raises(EntryTooLarge):
        open_hub(stopped.settings, stopped.clock)


async def test_a_restored_database_is_not_written_on(stopped: World, request: pytest.FixtureRequest) -> None:
    async with stopped.running():
        await stopped.bron.publishes("Fatima", "schuldhulp")
    if stopped.settings.database_url.startswith("sqlite"):
        restore = backup_of_file(stopped.folder)
    else:
        restore = backup_of_database(request.getfixturevalue("postgresql"), stopped.settings.database)
    async with stopped.running():
        assert (await stopped.bron.publishes("Piet", "schuldhulp")).response.status_code == 200
    restore()
    with pytest.raises(LogInconsistent, match="behind the last signed head, as after a restored backup"):
        async with stopped.running():
            pass


def backup_of_file(folder: Path) -> Callable[[], None]:
    """A copy of the hub's file, and what puts it back."""
    with closing(sqlite3.connect(folder / "hub.db")) as connection:
        connection.execute("VACUUM INTO ?", (str(folder / "backup.db"),))

    def restore() -> None:
        for name in ("hub.db", "hub.db-wal", "hub.db-shm"):
            (folder / name).unlink(missing_ok=True)
        (folder / "backup.db").rename(folder / "hub.db")

    return restore


def backup_of_database(server: str, address: str) -> Callable[[], None]:
    """The same for a database of a server."""
    name = address.partition("?")[0].rpartition("/")[2]
    execute(server, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")  # noqa: S608
    execute(server, f'CREATE DATABASE "{name}_backup" TEMPLATE "{name}"')

    def restore() -> None:
        execute(server, f'DROP DATABASE "{name}" WITH (FORCE)')
        execute(server, f'ALTER DATABASE "{name}_backup" RENAME TO "{name}"')

    return restore


def test_an_unknown_setting_stops_the_start_and_is_named(tmp_path: Path) -> None:
    path = tmp_path / "hub.toml"
    path.write_text('hub_id = "hub.example"\nspeed = "high"\n')
    with pytest.raises(SettingsError, match=r"speed \(extra_forbidden\)"):
        HubSettings.load(path)


def test_an_unknown_variable_of_the_environment_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "hub.toml"
    path.write_text('hub_id = "hub.example"\n')
    monkeypatch.setenv("VLAGWIJZER_HUB_SPEED", "high")
    with pytest.raises(SettingsError, match="VLAGWIJZER_HUB_SPEED"):
        HubSettings.load(path)


def test_relative_paths_count_from_the_settings_file(tmp_path: Path) -> None:
    path = tmp_path / "hub.toml"
    path.write_text(
        'hub_id = "hub.example"\ndatabase = "hub.db"\nkeystore = "keys"\n'
        'manifest = "manifest.json"\ndirectory = "/elsewhere/directory.json"\n[holders]\n'
    )
    settings = HubSettings.load(path)
    assert settings.database_url == f"sqlite:///{tmp_path / 'hub.db'}"
    assert settings.keystore == tmp_path / "keys"
    assert str(settings.directory) == "/elsewhere/directory.json"


# --- what anybody may read -------------------------------------------------------------


@pytest.fixture
async def quiet(world: World) -> World:
    await world.bron.publishes("Fatima", "schuldhulp")
    return world


async def test_health_says_that_trust_is_not_separated_and_who_made_the_keys(quiet: World) -> None:
    body = (await quiet.client.get("/health")).json()
    policy = {"number": 1, "state": "serving"}
    assert body == {
        "environment": "production",
        "status": "up",
        "trustSeparation": "none",
        "keys": "dealer",
        "policy": policy,
        "log": {"state": "without-witnesses"},
    }


async def test_the_checkpoint_is_signed_by_the_log(quiet: World) -> None:
    response = await quiet.client.get("/v1/log/checkpoint")
    year = quiet.clock().year
    key = parse_vkey(quiet.log_vkey)
    checkpoint = verified_checkpoint(response.text, type(key)(f"{key.name}/{year}", key.type, key.public))
    assert checkpoint.size == 2
    assert response.headers["content-type"].startswith("text/plain")


async def test_tiles_of_a_year_are_there_for_ever_and_unknown_ones_are_not_there(quiet: World) -> None:
    year = quiet.clock().year
    entries = await quiet.client.get(f"/v1/log/{year}/tile/entries/000.p/2")
    assert (entries.status_code, len(entries.content)) == (200, 2 * 35)
    assert "immutable" in entries.headers["cache-control"]
    assert (await quiet.client.get("/v1/log/tile/0/000.p/2")).status_code == 200
    for path in ("tile/0/001", "tile/0/000.p/200", "tile/9/000", f"{year + 1}/checkpoint", "x"):
        assert (await quiet.client.get(f"/v1/log/{path}")).status_code == 404


async def test_manifest_and_directory_are_mirrored_as_the_holders_signed_them(quiet: World) -> None:
    pins = quiet.settings.pins()
    manifest = parse_manifest((await quiet.client.get("/v1/manifest")).content, pins)
    directory = parse_directory((await quiet.client.get("/v1/directory")).content, pins, 2)
    assert (manifest.version, directory.version) == (1, 1)


async def test_the_figures_tell_routes_and_statuses_and_nothing_of_anybody(quiet: World) -> None:
    visit = await quiet.wijkteam.opens("m-jan", ["Fatima"])
    await quiet.wijkteam.looks(visit)
    refused = await quiet.wijkteam.tries_to_look(visit, role="bron")
    assert refused.response.status_code == 403
    text = (await quiet.client.get("/metrics")).text
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    labels = {name for line in lines for name in re.findall(r'[{,](\w+)="', line)}
    values = {value for line in lines for value in re.findall(r'(?:route|status)="([^"]*)"', line)}
    for figure in (
        "works_total",
        "batch_persons_bucket",
        "commit_seconds_sum",
        "commit_seconds_bucket",
        "waiting_persons",
        "overloaded",
        "spent_values",
        'refusals_total{code="not-allowed"} 1.0',
    ):
        assert f"vlagwijzer_hub_{figure}" in text
    assert labels == {"route", "status", "le", "code"}
    assert {"/v1/relations", "/v1/lookups", "200"} <= values <= {*T_OF_PATH, "200", "403"}
    assert "m-jan" not in text
    assert "wijkteam" not in text


async def test_the_api_document_can_be_read_from_anywhere_and_names_every_call(quiet: World) -> None:
    response = await quiet.client.get("/v1/openapi.json")
    gate: Gate = quiet.app.state.gate
    paths = {f"/v1{path}" for path in openapi()["paths"]}
    assert response.headers["access-control-allow-origin"] == "*"
    assert response.json() == openapi()
    assert {rule.path for rule in gate.rules} <= paths


async def test_something_unexpected_gives_one_constant_answer(
    quiet: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit = await quiet.wijkteam.opens("m-jan", ["Fatima"])

    def breaks(*_: Any) -> None:
        raise RuntimeError("secret-of-somebody")

    monkeypatch.setattr("index.lookup.open_ticket", breaks)
    before = (await quiet.wijkteam.tries_to_look(visit)).response
    monkeypatch.undo()
    monkeypatch.setattr("index.lookup.Lookup.apply", breaks)
    inside = (await quiet.wijkteam.tries_to_look(visit)).response
    assert before.status_code == inside.status_code == 500
    assert before.content == inside.content
    assert before.headers["cache-control"] == "no-store"
    assert "secret" not in before.text
