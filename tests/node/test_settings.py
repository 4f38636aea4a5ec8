"""A node that is not set up right does not start, and says what is wrong."""

from pathlib import Path

import pytest

from deploy.toml_text import toml_text
from nodes.errors import SettingsError
from nodes.runtime import open_node
from nodes.settings import NodeSettings

from .world import NodeWorld


@pytest.fixture
def world(tmp_path: Path) -> NodeWorld:
    return NodeWorld(tmp_path)


def write(world: NodeWorld, **changes: object) -> Path:
    made = world.settings("bron", "source").model_dump(mode="json", exclude_none=True)
    path = world.folder / "node.toml"
    path.write_text(toml_text({**made, "parts": ["source"], **changes}, "test"))
    return path


def test_settings_come_from_the_file_and_the_environment_wins(
    world: NodeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(world, port=9000)
    assert NodeSettings.load(path).port == 9000
    monkeypatch.setenv("VLAGWIJZER_NODE_PORT", "9001")
    monkeypatch.setenv("VLAGWIJZER_NODE_CSV__SHRINK_SHARE", "0.5")
    loaded = NodeSettings.load(path)
    assert (loaded.port, loaded.csv.shrink_share) == (9001, 0.5)


def test_relative_paths_count_from_the_file(world: NodeWorld) -> None:
    path = write(world, database="data/node.sqlite", signing_key_file="keys/signing.key")
    loaded = NodeSettings.load(path)
    assert loaded.database == world.folder / "data" / "node.sqlite"
    assert loaded.signing_key_file == world.folder / "keys" / "signing.key"


@pytest.mark.parametrize("change", [{"colour": "red"}, {"port": "many"}, {"csv": {"shrink": 1}}])
def test_an_unknown_or_wrong_setting_stops_the_process(world: NodeWorld, change: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match=next(iter(change))):
        NodeSettings.load(write(world, **change))


def test_an_unknown_environment_variable_stops_the_process(
    world: NodeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLAGWIJZER_NODE_PROT", "9001")
    with pytest.raises(SettingsError, match="VLAGWIJZER_NODE_PROT"):
        NodeSettings.load(write(world))


def test_a_wrong_setting_is_named_without_its_value(world: NodeWorld) -> None:
    with pytest.raises(SettingsError) as refused:
        NodeSettings.load(write(world, hub_url=["secret-value"]))
    assert "hub_url" in str(refused.value)
    assert "secret-value" not in str(refused.value)


@pytest.mark.parametrize("name", ["signing", "secret", "case", "storage"])
def test_a_missing_key_stops_the_process_and_is_named(world: NodeWorld, name: str) -> None:
    settings = world.settings("bron", "source")
    file = world.folder / "nodes" / "bron" / f"{name}.key"
    file.unlink()
    with pytest.raises(SettingsError, match=f"{name}.key is missing"):
        open_node(settings)
    assert not file.exists()


def test_a_key_file_that_others_can_read_stops_the_process(world: NodeWorld) -> None:
    settings = world.settings("bron", "source")
    (world.folder / "nodes" / "bron" / "case.key").chmod(0o640)
    with pytest.raises(SettingsError, match="chmod 600"):
        open_node(settings)


def test_a_manifest_that_lacks_a_signature_stops_the_process(world: NodeWorld) -> None:
    settings = world.settings("bron", "source")
    path = world.folder / "hub" / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"kh-c":"', b'"kh-d":"'))
    with pytest.raises(SettingsError, match="manifest"):
        open_node(settings)


def test_an_unpinned_holder_key_stops_the_process(world: NodeWorld) -> None:
    pins = {**world.settings("bron", "source").holders, "kh-a": "A" * 43}
    with pytest.raises(SettingsError, match="manifest"):
        open_node(world.settings("bron", "source", holders=pins))


def test_a_node_starts_from_its_kept_copies_while_every_mirror_is_down(world: NodeWorld) -> None:
    open_node(world.settings("bron", "source"))
    for name in ("manifest", "directory"):
        (world.folder / "hub" / f"{name}.json").unlink()
    assert open_node(world.settings("bron", "source")).trust.directory.version == 1


def test_a_node_that_the_directory_does_not_know_does_not_start(world: NodeWorld) -> None:
    with pytest.raises(SettingsError, match="not in the directory"):
        open_node(world.settings("bron", "source", node_id="vreemd"))


def test_a_desk_cannot_be_switched_into_a_source(world: NodeWorld) -> None:
    with pytest.raises(SettingsError, match="does not let this node publish"):
        open_node(world.settings("wijkteam", "source"))


def test_a_portal_needs_the_key_of_consent_receipts(world: NodeWorld) -> None:
    with pytest.raises(SettingsError, match="hub_consent_key"):
        open_node(world.settings("portaal", "portal", hub_consent_key=""))


def test_the_keys_show_nothing(world: NodeWorld) -> None:
    keys = world.settings("bron", "source").keys()
    assert repr(keys) == "<NodeKeys>"
