"""The commands of the sources: a table beforehand, an exit code, and no number of a person."""

import json
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey
from typer.testing import CliRunner

from deploy.cli import app
from index.protocol.codec import b64u
from index.protocol.keyfile import write_key_file
from tests.node.test_istandaarden import GOOD
from tests.node.test_settings import write
from tests.node.world import BSN_A, BSN_B, NodeWorld, bsns

HEAD = "bsn;kind;local_ref;since\n"


class Node:
    """A node that is set up and not running; nothing answers around it."""

    def __init__(self, folder: Path) -> None:
        self.world = NodeWorld(folder)
        self.folder = folder
        for name in ("lijst", "berichten"):
            (folder / name).mkdir()
        signers = {"anne": SigningKey(b"a" * 32), "bart": SigningKey(b"b" * 32)}
        for name, key in signers.items():
            write_key_file(folder / f"{name}.key", bytes(key))
        self.config = write(
            self.world,
            approvers={name: b64u(bytes(key.verify_key)) for name, key in signers.items()},
            sources=[
                {"name": "lijst", "type": "csv", "folder": str(folder / "lijst"), "settle_seconds": 0},
                {
                    "name": "berichten",
                    "type": "istandaarden",
                    "folder": str(folder / "berichten"),
                    "settle_seconds": 0,
                },
            ],
        )

    def run(self, *arguments: str) -> tuple[int, Any, str]:
        """Exit code, what was printed as JSON, and the text of the same command without `--json`."""
        found = CliRunner().invoke(app, ["node", *arguments, "--config", str(self.config), "--json"])
        said = json.loads(found.stdout) if found.stdout.strip() else None
        assert not any(number in found.output for number in (BSN_A, BSN_B))
        return found.exit_code, said, found.output

    def text(self, *arguments: str) -> str:
        output = CliRunner().invoke(app, ["node", *arguments, "--config", str(self.config)]).output
        assert not any(number in output for number in (BSN_A, BSN_B))
        return output


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def rows(count: int) -> str:
    return HEAD + "".join(f"{bsn};schuldhulp;L{n};2025-03\n" for n, bsn in enumerate(bsns(count)))


def test_a_dry_run_shows_a_table_with_place_and_reason_and_takes_nothing(node: Node) -> None:
    file = node.folder / "lijst" / "1.csv"
    file.write_text(rows(2) + "123456789;schuldhulp;L8;2025-03\n")
    (node.folder / "berichten" / "1.xml").write_bytes(GOOD.replace(b"2027-06-30", b"morgen"))
    code, said, _ = node.run("sync", "--dry-run")
    assert code == 0
    lijst, berichten = said["sources"]
    assert lijst["runs"][0]["counts"]["publish"] == 2
    assert {key: lijst["runs"][0]["steps"][2][key] for key in ("action", "localRef", "line")} == {
        "action": "rejected",
        "localRef": "L8",
        "line": 4,
    }
    assert berichten["refused"][0]["place"] == "ToegewezenProduct[1]/Einddatum"
    table = node.text("sync", "--dry-run", "--source", "lijst")
    assert "rejected  L8         line 4  bsn: Nine digits" in table
    assert file.exists()
    assert node.run("sync", "--dry-run", "--source", "niets")[0] == 1


def test_what_lies_aside_is_listed_replayed_and_erased(node: Node) -> None:
    (node.folder / "berichten" / "1.xml").write_bytes(GOOD.replace(b"2027-06-30", b"morgen"))
    assert node.run("sync", "--source", "berichten")[0] == 0
    code, said, _ = node.run("aside", "list")
    (one,) = said["aside"]
    assert (code, one["code"], one["source"]) == (0, "day", "berichten")
    assert node.run("aside", "replay")[:2] == (1, {"done": 0, "aside": 1})
    assert node.run("aside", "drop", str(one["id"]))[0] == 0
    assert node.run("aside", "drop", str(one["id"]))[0] == 1
    assert node.run("aside", "list")[1] == {"aside": []}


def test_an_import_of_a_named_source_uses_its_connector(node: Node) -> None:
    file = node.folder / "301.xml"
    file.write_bytes(b"<x/>")
    code, _, output = node.run("import", str(file), "--source", "berichten", "--dry-run")
    assert code == 1
    assert "Bericht" in output or "namespace" in output
    file.write_text(rows(3))
    code, said, _ = node.run("import", str(file), "--source", "lijst", "--dry-run")
    assert (code, said["counts"]["publish"]) == (0, 3)


def test_a_list_of_200_mb_is_refused_before_it_is_read(node: Node) -> None:
    file = node.folder / "groot.csv"
    with file.open("wb") as made:
        made.truncate(200 * 1024 * 1024)
    code, _, output = node.run("import", str(file))
    assert code == 1
    assert "At most 64 MB" in output


def test_a_first_load_goes_from_delivery_to_two_signatures(node: Node) -> None:
    file, rejected = node.folder / "1.csv", node.folder / "afgekeurd.csv"
    file.write_text(rows(3) + "123456789;schuldhulp;L8;2025-03\n")
    deliver = ("first-load", "deliver", "--source", "lijst", "--rejected", str(rejected))
    code, said, _ = node.run(*deliver, str(file))
    assert (code, said["kept"], len(said["rejected"])) == (0, 3, 1)
    sign = ("first-load", "sign", "--source", "lijst")
    anne = ("--by", "anne", "--key", str(node.folder / "anne.key"))
    bart = ("--by", "bart", "--key", str(node.folder / "bart.key"))
    assert node.run(*sign, *anne)[0] == 1
    corrected = rejected.read_text(encoding="utf-8-sig").replace("123456789", bsns(9)[-1])
    rejected.write_text(corrected)
    assert node.run(*deliver, str(rejected))[1]["kept"] == 4
    assert node.run(*sign, *anne)[1] == {"signed": "anne", "final": False}
    assert node.run("first-load", "status", "--source", "lijst")[1]["firstLoad"]["signedBy"] == "anne"
    assert node.run(*sign, *anne)[0] == 1
    code, said, _ = node.run(*sign, *bart)
    assert (code, said["final"], said["counts"]["publish"]) == (0, True, 4)
    assert node.run("first-load", "status", "--source", "lijst")[1] == {"firstLoad": None}
    assert node.run("status")[1]["waitingForKeyHolders"] == 4


def test_the_doctor_fails_and_says_how_to_repair_when_nothing_answers(node: Node) -> None:
    code, said, _ = node.run("doctor")
    failing = {one["check"]: one["fix"] for one in said["checks"] if not one["ok"]}
    assert code == 1
    assert set(failing) >= {"keys", "holder", "hub"}
    assert all(failing.values())


def test_conformance_wants_to_hear_that_it_is_a_sandbox(node: Node) -> None:
    code, _, output = node.run("conformance", "--kind", "schuldhulp")
    assert code == 1
    assert "--sandbox" in output
