"""`log breach`, `log export`, `hub retention`: what they write and refuse, and that each is in the log."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.cli import app
from index.accesslog.verifying import verify_all
from index.protocol.entry import parse_chain
from tests.hub.acting import Acting


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Acting]:
    with Acting(tmp_path / "hub") as acting:
        for _ in range(3):
            acting.sees(acting.visit(acting.somebody()))
        yield acting


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()


def config(hub: Acting) -> Path:
    said = hub.world.settings
    lines = [
        f"{name} = {json.dumps(str(getattr(said, name)))}"
        for name in ("hub_id", "database", "keystore", "manifest", "directory")
    ]
    holders = "\n".join(f"{name} = {json.dumps(key)}" for name, key in said.holders.items())
    path = hub.folder / "hub.toml"
    path.write_text("\n".join([*lines, "[holders]", holders]) + "\n")
    path.chmod(0o600)
    return path


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [*map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.output


def period(hub: Acting) -> tuple[str, str, str, str]:
    now, day = hub.world.clock(), timedelta(days=1)
    return "--from", f"{now - day:%Y-%m-%d}", "--to", f"{now + day:%Y-%m-%d}"


def causes(hub: Acting) -> list[str]:
    with hub.world.hub.reading() as connection:
        reader = hub.world.hub.log_reader
        status = verify_all(connection, reader)
        assert status
        assert status.holds, status.problems
        entries = reader.opened(connection, status.year, 0, status.size)
        return [str(parse_chain(entry.chain).cause) for _, entry in entries]


def test_a_breach_report_has_letter_and_lines_per_node_and_is_an_entry(hub: Acting, tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = ("log", "breach", *period(hub), "--employee", "m-17", "--config", config(hub), "--out", out)

    found = json.loads(run(*asked, "--json"))

    assert (found["persons"], found["lines"]) == (3, 6)
    assert {path.name for path in out.iterdir()} == {
        "breach.json",
        "brief-wijkteam.txt",
        "regels-wijkteam.json",
    }
    assert all(path.stat().st_mode & 0o077 == 0 for path in out.iterdir())
    assert len(json.loads((out / "breach.json").read_text())["lines"]) == 6
    assert "breach" in causes(hub)
    assert "is not empty" in run(*asked, code=1)


def test_an_export_is_an_entry_and_never_overwrites(hub: Acting, tmp_path: Path) -> None:
    out = tmp_path / "ldv.jsonl"
    asked = ("log", "export", *period(hub), "--as", "ldv", "--config", config(hub), "--out", out)
    assert json.loads(run(*asked, "--json"))["rows"] == len(out.read_text().splitlines())
    assert "export-ldv" in causes(hub)
    assert "is there already" in run(*asked, code=1)
    assert "Choose one of" in run(*asked[:-1], tmp_path / "other", "--as", "xml", code=1)


def test_a_breach_of_nobody_or_of_two_is_a_wrong_use(hub: Acting) -> None:
    run("log", "breach", *period(hub), "--config", config(hub), code=2)
    run("log", "breach", *period(hub), "--employee", "a", "--organisation", "b", code=2)
    assert "neither" in run(
        "log", "breach", *period(hub), "--kid", "unknown", "--config", config(hub), code=1
    )


def test_retention_says_what_is_left_and_can_be_paused_with_a_reason(hub: Acting) -> None:
    path = config(hub)
    done = json.loads(run("hub", "retention", "--config", path, "--json"))
    assert (done["left"], done["linesErased"]) == (0, 0)
    terms = json.loads(run("hub", "retention", "--plan", "--config", path, "--json"))["terms"]
    assert {one["class"] for one in terms} == {"log", "log-own"}
    run("hub", "retention", "--pause", "rechtszaak", "--config", path)
    assert json.loads(run("hub", "retention", "--config", path, "--json"))["paused"] == "rechtszaak"
    assert "Choose one of" in run("hub", "retention", "--pause", "zomaar", "--config", path, code=1)
    run("hub", "retention", "--resume", "--config", path)
    assert {"erasure-paused-rechtszaak", "erasure-resumed"} <= set(causes(hub))
