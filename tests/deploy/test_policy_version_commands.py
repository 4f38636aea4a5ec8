"""`policy publish` to `versions`, and a hub's registers: good input, bad input, exit codes."""

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from typer.testing import CliRunner

from deploy.cli import app
from index.settings import HubSettings
from policy.texts import Texts
from tests.hub.office import People, candidate, folder_of, without
from tests.hub.world import GEMEENTE, World

CLOSED = candidate(forbids=without("generalist", "schuldhulp"))
SEES = 'toestemming = ["ww", "duo_schuld", "wmo_voorziening", "zelf_gemeld_geldzorgen"]'
LESS = candidate((SEES, SEES.replace('"wmo_voorziening", ', "")))


class Desk:
    """A hub that was started once, three people, and their commands."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.people = folder, People(folder / "people")
        self.world = World(folder / "hub", approvers=self.people.approvers())

        async def start() -> None:
            async with self.world.running():
                pass

        anyio.run(start)

    def run(self, *words: object, code: int = 0) -> str:
        result = CliRunner().invoke(app, [*map(str, words)])
        assert result.exit_code == code, result.output
        return result.output

    def told(self, *words: object, by: str = "", code: int = 0) -> Any:
        """One command with `--json`, by a person where one is named."""
        proof: tuple[object, ...] = ()
        if by:
            acts = {
                "publish": "--author",
                "rollback": "--author",
                "approve": "--approver",
                "close": "--approver",
            }
            name = acts.get(str(words[1]), "--by") if words[0] == "policy" else "--by"
            proof = (name, by, "--key", self.people.files[by])
        output = self.run(*words, *proof, "--json", code=code)
        return json.loads(output) if code == 0 else output

    def candidate(self, content: Texts) -> Path:
        return folder_of(content, self.folder / "candidate")

    def states(self) -> dict[int, str]:
        return {one["number"]: one["state"] for one in self.told("policy", "versions")["versions"]}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    made = Desk(tmp_path)
    monkeypatch.setattr(HubSettings, "load", lambda _: made.world.settings)
    return made


def test_two_other_people_put_a_version_in_force_and_nobody_counts_twice(desk: Desk) -> None:
    assert "never be reached" in desk.told("policy", "publish", desk.candidate(CLOSED), by="anna", code=1)
    folder = desk.candidate(LESS)
    published = desk.told("policy", "publish", folder, by="anna")
    assert published["number"] == 2
    assert {(one["role"], one["kind"]) for one in published["differences"]["closed"]} == {
        ("schuldhulpverlener", "wmo_voorziening")
    }

    assert "author" in desk.told("policy", "approve", 2, "--yes", by="anna", code=1)
    desk.told("policy", "approve", 2, "--yes", by="bram")
    assert "already" in desk.told("policy", "approve", 2, "--yes", by="bram", code=1)
    assert desk.states() == {1: "active", 2: "waiting"}
    assert desk.told("policy", "approve", 2, "--yes", by="carla")["state"] == "active"

    assert desk.told("policy", "rollback", 1, by="carla")["number"] == 3
    assert "never in force" in desk.told("policy", "rollback", 9, by="carla", code=1)
    assert desk.states() == {1: "past", 2: "active", 3: "waiting"}


@pytest.mark.parametrize(
    ("file", "old", "new", "reason"),
    [
        ("forbids.cedar", "context.restricted }", "context.restrictde }", "restrictde"),
        ("forbids.cedar", "context.restricted }", "context has restricted }", "has"),
        ("forbids.cedar", 'action == Action::"view"', 'action == Action::"bekijk"', "bekijk"),
        ("vocabulary.toml", 'toestemming = ["ww", ', 'toestemming = ["wwx", ', "wwx"),
        ("vocabulary.toml", "retention_days_after_end", "retention_dagen", "retention"),
    ],
)
def test_a_candidate_with_a_fault_is_refused_with_file_line_and_reason(
    desk: Desk, file: str, old: str, new: str, reason: str
) -> None:
    folder = desk.candidate(LESS)
    text = (folder / file).read_text(encoding="utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1), encoding="utf-8")

    told = desk.told("policy", "publish", folder, by="anna", code=1)

    line = next(one for one in told.splitlines() if reason in one)
    assert line.startswith(f"{folder / file}:")
    assert int(line.removeprefix(f"{folder / file}:").partition(":")[0]) > 0
    assert desk.states() == {1: "active"}


def test_one_person_may_only_close(desk: Desk) -> None:
    opens = candidate(("enabled = false", "enabled = true"))
    assert "more than close" in desk.told("policy", "close", desk.candidate(opens), by="bram", code=1)
    (desk.folder / "candidate" / "forbids.cedar").unlink()
    assert "is missing" in desk.told("policy", "close", desk.folder / "candidate", by="bram", code=1)

    assert desk.told("policy", "close", desk.candidate(CLOSED), by="bram")["number"] == 2
    assert desk.states()[2] == "active"


def test_a_replay_is_asked_by_a_person_about_one_folder_and_a_period(desk: Desk) -> None:
    folder, period = desk.candidate(CLOSED), ("--replay", "--from", "2026-01-01")

    found = desk.told("policy", "simulate", folder, *period, by="anna")

    assert (found["base"], found["decided"], found["moved"]) == (1, "minder dan 10", [])
    desk.told("policy", "simulate", folder, *period, code=2)
    desk.told("policy", "simulate", folder, "--replay", by="anna", code=2)
    desk.told("policy", "simulate", folder, *period, "--until", "2025-01-01", by="anna", code=1)


def test_registers_name_only_what_there_is_and_take_two_people_to_open(desk: Desk) -> None:
    period = ("--organisation", GEMEENTE, "--begin", "2026-01-01", "--end", "2036-01-01")
    named = ("--kind", "schuldhulp", "--purpose", "casusoverleg")
    assert "no kind" in desk.told(
        "hub",
        "convenant",
        "add",
        *period,
        "--kind",
        "schulden",
        "--purpose",
        "casusoverleg",
        by="anna",
        code=1,
    )
    made = desk.told("hub", "convenant", "add", *period, *named, by="anna")
    assert made["state"] == "waiting"
    assert "another person" in desk.told("hub", "convenant", "approve", made["number"], by="anna", code=1)
    assert desk.told("hub", "convenant", "approve", made["number"], by="bram")["state"] == "in force"
    assert desk.told("hub", "convenant", "end", made["number"], by="carla")["state"] == "ended"

    decided = ("--decision", "2026-17")
    add = ("hub", "mandate", "add", *period, *decided)
    assert "no act" in desk.told(*add, "--act", "weg", by="anna", code=1)
    mandate = desk.told(*add, "--act", "participatiewet", by="anna")
    assert mandate["state"] == "waiting"

    whose = ("hub", "organisation", "profile", "--organisation", GEMEENTE)
    assert "no profile" in desk.told(*whose, "--profile", "weg", by="anna", code=1)
    assert desk.told(*whose, "--profile", "utrecht", by="anna")["profile"] == "utrecht"
