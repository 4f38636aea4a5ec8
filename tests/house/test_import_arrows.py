"""The import arrows of the house, and proof that the check catches a planted arrow."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("policy", "consent", "index", "nodes", "deploy")


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = "from importlinter.cli import lint_imports_command as run; run()"
    return subprocess.run(
        [sys.executable, "-c", command, "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_arrows_hold_in_the_tree_as_it_is(copy: Path) -> None:
    result = lint(copy)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("index/planted.py", "nodes.bsn"),
        ("nodes/planted.py", "index.planted_target"),
        ("index/protocol/planted.py", "index.planted_target"),
        ("consent/planted.py", "index.protocol.codec"),
        ("policy/planted.py", "consent.planted_target"),
        ("nodes/planted.py", "deploy"),
    ],
)
def test_a_planted_arrow_is_caught(copy: Path, importer: str, imported: str) -> None:
    target = copy / (imported.replace(".", "/") + ".py")
    if not target.exists() and not (copy / imported.replace(".", "/")).is_dir():
        target.write_text('"""Planted."""\n')
    (copy / importer).write_text(f'"""Planted."""\n\nimport {imported}  # noqa: F401\n')
    result = lint(copy)
    assert result.returncode != 0, f"{importer} importing {imported} went unnoticed"
    assert "BROKEN" in result.stdout
