"""What the README says can be done, can be done."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.cli import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
DOCUMENTS = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md")]
)


def test_every_make_target_named_in_a_document_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.M))
    named = {t for d in DOCUMENTS for t in re.findall(r"^ *(?:`|\$ )?make ([a-z-]+)", d.read_text(), re.M)}
    named |= {t for d in DOCUMENTS for t in re.findall(r"`make ([a-z-]+)", d.read_text())}
    assert {"demo", "test"} <= named
    assert named <= targets


def test_make_help_lists_every_target_that_a_newcomer_needs() -> None:
    result = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    for target in ("setup", "demo", "test", "check", "bench", "lock", "clean"):
        assert f"make {target}" in result.stdout


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_link_to_a_file_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert missing == []


def test_every_folder_of_the_map_is_there() -> None:
    folders = re.findall(r"^\| `([a-z]+)/` \|", README, re.M)
    assert folders == ["policy", "consent", "index", "nodes", "deploy", "tests", "docs"]
    assert all((ROOT / folder).is_dir() for folder in folders)


def _named_commands() -> list[str]:
    found = set()
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        found |= set(re.findall(r"`vlagwijzer ((?:[a-z]+(?:-[a-z]+)* ?){1,2})", text))
    return sorted(command.strip() for command in found)


@pytest.mark.parametrize("command", _named_commands())
def test_every_command_named_in_a_document_has_help(command: str) -> None:
    words = command.split()
    result = CliRunner().invoke(app, [*words, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage" in result.output


def test_the_installed_command_answers_quickly_and_names_its_parts() -> None:
    program = Path(sys.executable).parent / "vlagwijzer"
    result = subprocess.run([program, "--help"], capture_output=True, text=True, check=True)
    for part in ("demo", "hub", "node", "keyholder", "policy", "receipt", "bench"):
        assert part in result.stdout


def test_a_missing_link_would_be_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("[gone](nowhere.md)")
    with pytest.raises(AssertionError):
        test_every_link_to_a_file_leads_somewhere(page)
