"""Lock files pin by hash and name no address."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
NPM_LOCKS = sorted(
    p for p in ROOT.rglob("package-lock.json") if "node_modules" not in p.parts and ".venv" not in p.parts
)


def test_there_is_a_lock_file_for_every_process_kind() -> None:
    assert {p.stem for p in LOCKS} == {"hub", "node", "keyholder", "demo", "dev", "build", "campaigns"}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda p: p.stem)
def test_every_requirement_is_exact_and_hashed_and_no_address_is_named(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    assert "index-url" not in text
    assert "find-links" not in text
    names = re.findall(r"^([A-Za-z0-9._-]+)(\[[^\]]*\])?==([^ ;\\]+)", text, re.M)
    starts = [line for line in text.splitlines() if line and not line[0].isspace() and line[0] != "#"]
    assert len(names) == len(starts), "a requirement is not pinned exactly"
    blocks = re.split(r"\n(?=[A-Za-z0-9])", text)
    assert all("--hash=sha256:" in block for block in blocks)


@pytest.mark.parametrize("lock", NPM_LOCKS, ids=lambda p: p.parent.name)
def test_npm_locks_carry_integrity_and_no_resolved_address(lock: Path) -> None:
    text = lock.read_text()
    assert '"resolved"' not in text
    assert '"integrity"' in text


def test_no_other_lock_format_is_committed() -> None:
    assert not (ROOT / "uv.lock").exists()
    assert not (ROOT / "poetry.lock").exists()
