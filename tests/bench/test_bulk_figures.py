"""The figures of bulk publishing measure what they say: a delay in the measured path shows in them."""

import dataclasses
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from deploy.cli import app
from nodes.keyholder.evaluation import Evaluations
from nodes.sender import Comparison, Sender

FIELDS = {
    "work", "engine", "flags", "concurrency", "seconds", "rate", "p50Ms", "p99Ms",
    "reference", "ratio", "machine", "versions", "detail",
}  # fmt: skip
DELAY_S = 5.0
PLANTED = f"""
import time
from index import publish

plain = publish.ready


def slow(*arguments):
    time.sleep({DELAY_S})
    return plain(*arguments)


publish.ready = slow
"""


def measured(*arguments: str) -> dict[str, Any]:
    """The one line that a bench command prints."""
    done = CliRunner().invoke(app, ["bench", *arguments, "--json"])
    assert done.exit_code == 0, done.output
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    found: dict[str, Any] = msgspec.json.decode(lines[-1])
    return found


def test_publishing_is_measured_with_its_reference_and_bytes() -> None:
    found = measured("publish", "--engine", "sqlite", "--flags", "2000")

    assert set(found) == FIELDS
    assert (found["work"], found["engine"], found["flags"]) == ("publish", "sqlite", 2000)
    assert found["rate"] == pytest.approx(2000 / found["seconds"], rel=0.05)
    assert found["ratio"] == pytest.approx(found["rate"] / found["reference"], rel=0.05, abs=1e-4)
    # 250 bytes are the columns alone.
    assert 250 < found["detail"]["bytesPerFlag"] < 2000


def test_a_delay_in_publishing_shows_in_its_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub runs in a process of its own: the delay is planted in a start-up file that it alone reads."""
    (tmp_path / "sitecustomize.py").write_text(PLANTED)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    found = measured("publish", "--engine", "sqlite", "--flags", "1000", "--concurrency", "1")

    assert found["p50Ms"] >= DELAY_S * 1000
    assert found["rate"] <= 1000 / DELAY_S


def test_pseudonymising_is_measured_over_http_with_its_reference() -> None:
    found = measured("pseudonymise", "--count", "20")

    assert set(found) == FIELDS
    assert (found["work"], found["engine"], found["flags"]) == ("pseudonymise", "http", 20)
    assert found["rate"] == pytest.approx(20 / found["seconds"], rel=0.1)
    assert found["reference"] > 0


def test_a_delay_at_the_key_holders_shows_in_the_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Evaluations._evaluate

    def slow(self: Evaluations, asked: Any) -> Any:
        time.sleep(DELAY_S)
        return plain(self, asked)

    monkeypatch.setattr(Evaluations, "_evaluate", slow)

    assert measured("pseudonymise", "--count", "10")["rate"] <= 10 / DELAY_S


def test_a_heartbeat_finds_what_was_made_different_and_counts_its_bytes() -> None:
    found = measured("reconcile", "--flags", "1000", "--differences", "10", "--rounds", "1")

    assert set(found) == FIELDS
    assert (found["work"], found["flags"], found["detail"]["differences"]) == ("reconcile", 1000, 10)
    # 256 pairs of count and sum go in any case; each differing bucket adds its own few flags.
    assert 256 * 50 < found["detail"]["bytesSent"] < 256 * 100 + 10 * 8 * 100
    assert 2 <= found["detail"]["calls"] <= 12


def test_a_comparison_that_misses_a_difference_has_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Sender._compare

    async def blind(self: Sender) -> Comparison:
        found = await plain(self)
        return dataclasses.replace(found, missing=found.missing[1:])

    monkeypatch.setattr(Sender, "_compare", blind)
    done = CliRunner().invoke(app, ["bench", "reconcile", "--flags", "1000", "--differences", "10", "--json"])
    assert done.exit_code == 3
    assert "did not find the differences" in done.output
