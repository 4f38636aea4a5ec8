"""Who takes part, through the commands: from a node's request to a signed directory, and leaving."""

import json
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey

from deploy.toml_text import toml_text
from index.protocol.codec import b64u
from index.protocol.directory import parse_directory
from index.protocol.enrolment import make_request
from index.protocol.keyfile import write_key_file
from index.settings import HubSettings
from tests.deploy.test_policy_version_commands import Desk
from tests.hub.world import GEMEENTE, HOLDERS, SCHULDHULP


class Hall(Desk):
    """What people read first goes to standard error, mixed in here: the answer is the last line."""

    def told(self, *words: object, by: str = "", code: int = 0) -> Any:
        proof = ("--by", by, "--key", self.people.files[by]) if by else ()
        output = self.run(*words, *proof, "--json", code=code)
        return json.loads(output.strip().splitlines()[-1]) if code == 0 else output


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Hall(tmp_path_factory.mktemp("hub"))


@pytest.fixture(autouse=True)
def _settings(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HubSettings, "load", lambda _: desk.world.settings)


def holder(desk: Desk, name: str) -> Path:
    """The settings file of a key holder, with its own copies of both documents."""
    home, settings = desk.folder / name, desk.world.settings
    if not home.exists():
        home.mkdir()
        (home / "manifest.json").write_bytes(settings.manifest.read_bytes())
        (home / "directory.json").write_bytes(settings.directory.read_bytes())
        write_key_file(home / "signing.key", bytes(desk.world.holder_keys[name]))
        fields = {
            "holder_id": name, "manifest_file": "manifest.json", "directory_file": "directory.json",
            "signing_key_file": "signing.key", "shares_dir": "shares", "database": "counters.sqlite",
            "holders": {one: b64u(bytes(key.verify_key)) for one, key in desk.world.holder_keys.items()},
        }  # fmt: skip
        (home / "keyholder.toml").write_text(toml_text(fields, "test"))
    return home / "keyholder.toml"


def signed_and_adopted(desk: Desk, folder: Path) -> int:
    """Draft, two holders, adopted, installed at each holder; the version."""
    folder.mkdir()
    made = desk.told("hub", "directory", "draft", "--out", folder / "next.json")
    copies = []
    for name in HOLDERS[:2]:
        copies.append(folder / f"{name}.json")
        words = ("keyholder", "directory", "sign", folder / "next.json", "--out", copies[-1], "--yes")
        desk.run(*words, "--config", holder(desk, name))
    assert "signatures of 2" in desk.told("hub", "directory", "adopt", copies[0], by="anna", code=1)
    adopted = desk.told("hub", "directory", "adopt", *copies, by="anna")
    assert adopted["version"] == made["version"]
    for name in HOLDERS:
        words = ("keyholder", "directory", "install", desk.world.settings.directory)
        desk.run(*words, "--config", holder(desk, name))
    return int(made["version"])


def test_a_node_comes_in_and_an_organisation_leaves_by_commands(desk: Desk, tmp_path: Path) -> None:
    for name in HOLDERS:
        holder(desk, name)
    raw = make_request(
        SigningKey.generate(), environment="production", node="wmo", oin=GEMEENTE, url="https://wmo.test",
        classes=["publish"], scopes=["zorg"],
    )  # fmt: skip
    (tmp_path / "request.json").write_bytes(raw)
    proposed = desk.told("hub", "node", "let-in", tmp_path / "request.json", "--yes", by="anna")
    assert (proposed["state"], proposed["change"]) == ("waiting", "node-set")
    number = proposed["number"]
    assert "another person" in desk.told("hub", "directory", "approve", number, "--yes", by="anna", code=1)
    assert desk.told("hub", "directory", "approve", number, "--yes", by="bram")["state"] == "approved"
    assert signed_and_adopted(desk, tmp_path / "two") == 2
    settings = desk.world.settings
    held = parse_directory(settings.directory.read_bytes(), settings.pins(), 2)
    assert held.node("wmo") is not None
    rows = desk.told("hub", "organisation", "overview")
    assert next("wmo" in row["nodes"] for row in rows if row["organisation"] == GEMEENTE)

    leave = desk.told("hub", "leave", "propose", "--organisation", SCHULDHULP, by="anna")["number"]
    out = tmp_path / "leave.json"
    words = ("hub", "leave", "carry-out", leave, "--report", out, "--yes")
    assert "another person" in desk.told(*words, by="anna", code=1)
    assert not out.exists()
    desk.told(*words, by="carla")
    told = desk.told("hub", "leave", "verify", out, "--vkey", desk.world.log_vkey)
    assert told["organisation"] == SCHULDHULP
    assert signed_and_adopted(desk, tmp_path / "three") == 3
    held = parse_directory(settings.directory.read_bytes(), settings.pins(), 2)
    assert held.organisation(SCHULDHULP) is None
    out.write_bytes(out.read_bytes().replace(b'"after":0', b'"after":2', 1))
    assert "no report" in desk.told("hub", "leave", "verify", out, "--vkey", desk.world.log_vkey, code=1)


def test_a_merger_names_each_team_once(desk: Desk) -> None:
    said = ("hub", "merge", "--organisation", SCHULDHULP, "--into", GEMEENTE)
    assert "FORMER=NEW" in desk.told(*said, "--team", "noord", by="anna", code=1)
    output = desk.run("hub", "directory", "list", "--json")
    assert "merge" not in {one["change"] for one in json.loads(output)}
