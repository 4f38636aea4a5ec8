"""A key holder as a process: what stops it, what it says about itself."""

import asyncio
import json

import pytest

from index.protocol.codec import b64u
from index.protocol.directory import encode, parse_manifest
from index.protocol.keyfile import read_key_file
from nodes.keyholder import store
from nodes.keyholder.app import PROBLEMS, create_app, openapi_document
from nodes.keyholder.errors import CannotStart, Refusal, StoreUnavailable
from nodes.keyholder.installation import initialise
from nodes.keyholder.settings import KeyHolderSettings
from nodes.oprf.ristretto import Secret

HOLDER = "kh-a"


def get(keys, path, method="GET"):
    async def send():
        async with keys.new_client() as client:
            return await client.request(method, f"http://{HOLDER}{path}")

    return asyncio.run(send())


def settings_file(keys, folder, **changes):
    settings = keys.settings[HOLDER]
    lines = {
        name: str(getattr(settings, name))
        for name in (
            "holder_id",
            "manifest_file",
            "directory_file",
            "signing_key_file",
            "shares_dir",
            "database",
        )
    }
    text = "\n".join(f"{name} = {json.dumps(value)}" for name, value in {**lines, **changes}.items())
    pins = "\n".join(f"{name} = {json.dumps(key)}" for name, key in settings.holders.items())
    path = folder / "keyholder.toml"
    path.write_text(f"{text}\n[holders]\n{pins}\n")
    return path


def test_a_missing_share_stops_the_process_and_is_not_made_anew(keys):
    """A new key made silently when the last expired was a weakness of peers."""
    path = keys.settings[HOLDER].shares_dir / "geld.e1.key"
    path.unlink()
    with pytest.raises(CannotStart, match=r"geld\.e1\.key"):
        create_app(keys.settings[HOLDER])
    assert not path.exists()


def test_a_missing_counter_store_stops_the_process_and_is_not_made_anew(keys):
    settings = keys.settings[HOLDER]
    keys.close()
    settings.database.unlink()
    with pytest.raises(CannotStart, match=r"counters\.db.*keyholder init"):
        create_app(settings)
    assert not settings.database.exists()


def test_a_counter_store_that_is_none_stops_the_process(keys):
    settings = keys.settings[HOLDER]
    keys.close()
    for leftover in settings.database.parent.glob("counters.db-*"):
        leftover.unlink()
    settings.database.write_bytes(b"no database at all, only text" * 100)
    with pytest.raises(CannotStart, match=r"counters\.db"):
        create_app(settings)
    settings.database.write_bytes(b"")
    with pytest.raises(CannotStart, match="has schema None"):
        create_app(settings)


def test_a_share_of_another_holder_or_kid_stops_the_process(keys):
    settings = keys.settings[HOLDER]
    geld, zorg = settings.shares_dir / "geld.e1.key", settings.shares_dir / "zorg.e1.key"
    geld.write_text(zorg.read_text())
    with pytest.raises(CannotStart, match=r"share of geld\.e1"):
        create_app(settings)
    geld.write_text(b64u(bytes(32)) + "\n")
    with pytest.raises(CannotStart, match=r"geld\.e1\.key does not hold a share"):
        create_app(settings)


def test_a_share_that_others_can_read_stops_the_process(keys):
    path = keys.settings[HOLDER].shares_dir / "geld.e1.key"
    path.chmod(0o640)
    with pytest.raises(CannotStart, match="chmod 600"):
        create_app(keys.settings[HOLDER])


def test_a_signing_key_that_is_not_the_pinned_one_stops_the_process(keys):
    path = keys.settings[HOLDER].signing_key_file
    path.unlink()
    with pytest.raises(CannotStart, match=r"signing\.key is missing"):
        create_app(keys.settings[HOLDER])
    path.write_text(keys.settings["kh-b"].signing_key_file.read_text())
    path.chmod(0o600)
    with pytest.raises(CannotStart, match="not the signing key that is pinned"):
        create_app(keys.settings[HOLDER])


def test_a_forged_manifest_or_directory_stops_the_process(keys):
    settings = keys.settings[HOLDER]
    text = settings.manifest_file.read_text()
    settings.manifest_file.write_text(text.replace('"version":1', '"version":2'))
    with pytest.raises(CannotStart, match="every listed holder"):
        create_app(settings)
    settings.manifest_file.write_text(text)
    settings.directory_file.write_bytes(encode(keys.directory).replace(b"lookup", b"crisis"))
    with pytest.raises(CannotStart, match="2 key holders"):
        create_app(settings)
    settings.directory_file.unlink()
    with pytest.raises(CannotStart, match=r"directory\.json is missing"):
        create_app(settings)


def test_a_library_that_computes_wrongly_stops_the_process(keys, monkeypatch):
    monkeypatch.setattr("nodes.oprf.voprf.finalize", lambda message, unblinded: bytes(64))
    with pytest.raises(CannotStart, match="known answer"):
        create_app(keys.settings[HOLDER])


def test_a_new_installation_never_overwrites(keys, tmp_path):
    settings = keys.settings[HOLDER]
    before = read_key_file(settings.signing_key_file)
    with pytest.raises(CannotStart, match="exists already"):
        initialise(
            database=settings.database,
            signing_key_file=settings.signing_key_file,
            shares_dir=settings.shares_dir,
            signing_key=keys.holder_keys["kh-b"],
            shares={"geld.e1": Secret.random()},
        )
    with pytest.raises(CannotStart, match="exists already"):
        store.create(settings.database)
    assert read_key_file(settings.signing_key_file) == before
    assert settings.database.stat().st_mode & 0o077 == 0
    assert (settings.shares_dir / "geld.e1.key").stat().st_mode & 0o777 == 0o600


def test_settings_come_from_the_file_and_the_environment(keys, tmp_path, monkeypatch):
    path = settings_file(keys, tmp_path)
    assert KeyHolderSettings.load(path).daily.crisis > 0
    monkeypatch.setenv("VLAGWIJZER_KEYHOLDER_PORT", "9001")
    monkeypatch.setenv("VLAGWIJZER_KEYHOLDER_DAILY__LOOKUP", "7")
    with pytest.raises(CannotStart, match="daily"):
        KeyHolderSettings.load(path)
    for name in ("PUBLISH", "CRISIS", "CITIZEN", "INZAGE"):
        monkeypatch.setenv(f"VLAGWIJZER_KEYHOLDER_DAILY__{name}", "5")
    loaded = KeyHolderSettings.load(path)
    assert (loaded.port, loaded.daily.lookup, loaded.daily.crisis) == (9001, 7, 5)
    with pytest.raises(ValueError, match="frozen"):
        loaded.port = 1


def test_an_unknown_setting_stops_the_process(keys, tmp_path, monkeypatch):
    with pytest.raises(CannotStart, match="mock"):
        KeyHolderSettings.load(settings_file(keys, tmp_path, mock="yes"))
    monkeypatch.setenv("VLAGWIJZER_KEYHOLDER_MOCK", "yes")
    with pytest.raises(CannotStart, match="VLAGWIJZER_KEYHOLDER_MOCK"):
        KeyHolderSettings.load(settings_file(keys, tmp_path))
    with pytest.raises(CannotStart, match="missing"):
        KeyHolderSettings.load(tmp_path / "none.toml")


def test_health_says_that_a_dealer_made_the_keys_and_that_trust_is_not_separated(keys):
    assert get(keys, "/health").json() == {
        "status": "ok",
        "trustSeparation": "none",
        "keys": "dealer",
        "environment": "production",
    }


def test_the_manifest_is_served_as_it_was_signed(keys):
    assert parse_manifest(get(keys, "/v1/manifest").content, keys.pins) == keys.manifest


def test_metrics_carry_no_name(keys):
    text = get(keys, "/metrics").text
    for figure in ("requests", "request_elements_bucket", "evaluate_seconds_bucket", "requests_at_work"):
        assert f"keyholder_{figure}" in text
    assert "wijkteam" not in text


def test_the_openapi_document_names_each_call(keys):
    response = get(keys, "/v1/openapi.json")
    assert response.headers["access-control-allow-origin"] == "*"
    assert response.json() == json.loads(json.dumps(openapi_document()))
    assert set(response.json()["paths"]) == {"/evaluate", "/manifest"}


@pytest.mark.parametrize(
    ("path", "method"), [("/docs", "GET"), ("/v1/evaluate", "GET"), ("/v1/evaluate/", "POST")]
)
def test_other_paths_and_methods_are_problems(keys, path, method):
    response = get(keys, path, method)
    assert response.status_code in (404, 405)
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"


def test_an_unknown_error_says_nothing_of_itself(keys, monkeypatch):
    async def broken(raw):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(keys.apps[HOLDER].state.evaluations, "answer", broken)
    response = get(keys, "/v1/evaluate", "POST")
    assert response.status_code == 500
    assert "secret detail" not in response.text
    assert response.json()["instance"].startswith("urn:error:")


def subclasses(kind):
    return {kind, *(c for child in kind.__subclasses__() for c in subclasses(child))}


def test_every_error_class_has_a_problem():
    """Handlers that existed but were not registered were a weakness of peers."""
    assert (subclasses(Refusal) | subclasses(StoreUnavailable)) - {Refusal} == set(PROBLEMS)
