"""The command: quick help, one clear line for what an operator repairs, no person's number as argument."""

import json
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from typer.main import get_command

from deploy.cli import app
from deploy.commands import output
from deploy.demo import papers, plan

ROOT = Path(__file__).parents[2]


def run(*arguments: str, text: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", "from deploy.cli import app; app()", *arguments],
        check=False,
        input=text,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )


def commands(command: Any = None, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """Every command that does something, with its path."""
    command = command or get_command(app)
    below = [
        found
        for name, sub in getattr(command, "commands", {}).items()
        for found in commands(sub, (*path, name))
    ]
    return below or [(path, command)]


def test_help_is_quick_and_imports_no_process() -> None:
    probe = (
        "import sys; from deploy.cli import app\n"
        "heavy = {'fastapi', 'sqlalchemy', 'cedarpy', 'httpx', 'nacl'} & set(sys.modules)\n"
        "print(sorted(heavy))"
    )
    found = subprocess.run(
        [sys.executable, "-c", probe], check=True, capture_output=True, text=True, cwd=ROOT
    )
    assert found.stdout.strip() == "[]"
    begun = time.perf_counter()
    assert run("--help").returncode == 0
    assert time.perf_counter() - begun < 5


def test_every_command_of_the_table_is_there() -> None:
    there = {" ".join(path) for path, _ in commands()}
    assert {
        "hub serve", "hub migrate", "hub init", "hub checkpoint", "keyholder serve", "policy check",
        "receipt verify", "demo token", "bench pseudonymise",
        "node serve", "node publish", "node retract", "node import", "node sync", "node lookup",
        "node doctor", "node conformance", "node aside list", "node aside replay", "node aside drop",
        "node first-load deliver", "node first-load sign", "node first-load status",
        "node first-load give-up",
        "node status", "node apikey add", "node apikey list", "node apikey revoke",
    } <= there  # fmt: skip


def test_everything_that_prints_has_json_and_nothing_takes_a_number_as_argument() -> None:
    for path, command in commands():
        names = {option for parameter in command.params for option in parameter.opts}
        if path[-1] != "serve":
            assert "--json" in names, path
        assert not {"--bsn", "bsn", "--number"} & names, path


def test_the_exit_codes_of_the_docstring_are_those_of_the_code() -> None:
    listed = {
        int(line.split("|")[1])
        for line in (output.__doc__ or "").splitlines()
        if line[:3].strip("| ").isdigit()
    }
    codes = (output.FAILED, output.CANNOT_START, output.UNREACHABLE, output.CONFIRM, output.DEFECT)
    assert listed == {0, 2, *codes}
    assert all(str(code) in output.EXIT_CODES for code in listed)


def test_a_missing_key_file_is_one_line_that_names_it(tmp_path: Path) -> None:
    made = papers.prepare(tmp_path / "demo", 21000, count=20)
    key = made.node("wmo") / "signing.key"
    key.unlink()
    for command in (["node", "serve"], ["node", "status"]):
        answer = run(*command, "--config", str(made.node("wmo") / "node.toml"))
        assert answer.returncode == output.CANNOT_START
        assert answer.stdout == ""
        (line,) = answer.stderr.splitlines()
        assert str(key) in line
    (made.holder("ombudsman") / "shares" / "geld.e1.key").unlink()
    answer = run("keyholder", "serve", "--config", str(made.holder("ombudsman") / "keyholder.toml"))
    assert answer.returncode == output.CANNOT_START
    assert "geld.e1.key" in answer.stderr
    (made.hub() / "keys" / "file.key").unlink()
    answer = run("hub", "serve", "--config", str(made.hub() / "hub.toml"))
    assert answer.returncode == output.CANNOT_START
    assert "file.key" in answer.stderr


def test_every_secret_of_a_demo_is_for_its_owner_only_and_a_second_start_makes_none_anew(
    tmp_path: Path,
) -> None:
    made = papers.prepare(tmp_path / "demo", 21000, count=20)
    keys = {path: path.read_bytes() for path in made.folder.rglob("*.key")}
    assert len(keys) == 3 * 7 + 7 * 4 + 1 + 1 + len(plan.WITNESSES) + len(plan.APPROVERS)
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in keys)
    again = papers.prepare(tmp_path / "demo", 22000)
    assert {path: path.read_bytes() for path in made.folder.rglob("*.key")} == keys
    assert again.world == made.world
    assert (again.manifest.version, again.directory.version) == (2, 2)
    third = papers.prepare(tmp_path / "demo", 22000)
    assert (third.manifest, third.directory) == (again.manifest, again.directory)


def test_an_error_line_masks_a_number(tmp_path: Path) -> None:
    answer = run("node", "status", "--config", str(tmp_path / "999993653.toml"))
    assert answer.returncode == output.CANNOT_START
    assert "999993653" not in answer.stderr


def test_policy_check_says_what_it_checked() -> None:
    answer = run("policy", "check", "--json")
    assert answer.returncode == 0
    found = json.loads(answer.stdout)
    assert found["kinds"] == 29
    assert len(found["hash"]) == 64


def test_a_receipt_that_is_none_is_not_valid() -> None:
    answer = run("receipt", "verify", "--key", "A" * 43, "--issuer", "hub", text="no.receipt.at-all")
    assert answer.returncode == output.FAILED
    assert "Not valid" in answer.stdout


def test_bench_prints_the_fields_of_a_measurement() -> None:
    answer = run("bench", "pseudonymise", "--count", "20", "--rounds", "1", "--json")
    # `detail` holds spreads and what one measurement has of its own; the rest is the same for all.
    assert set(json.loads(answer.stdout)) - {"detail"} == {
        "work", "engine", "flags", "concurrency", "seconds", "rate", "p50Ms", "p99Ms",
        "reference", "ratio", "machine", "versions",
    }  # fmt: skip
