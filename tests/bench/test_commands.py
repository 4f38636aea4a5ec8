"""Each command of `vlagwijzer bench` gives a figure of its own work, and slower work gives a worse one."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.measuring.filling import FLAGS_EACH
from deploy.measuring.hub import KEPT, CannotMeasure, MeasuredHub

ROOT = Path(__file__).parents[2]
FIELDS = {
    "work", "engine", "flags", "concurrency", "seconds", "rate", "p50Ms", "p99Ms",
    "reference", "ratio", "machine", "versions",
}  # fmt: skip
LOOKUP = ("lookup", "--flags", "300", "--seconds", "0.3", "--rounds", "2")


def bench(*arguments: str, code: Path = ROOT) -> list[dict[str, Any]]:
    """The lines that one command prints, run from the code in a folder."""
    done = subprocess.run(
        [sys.executable, "-c", "from deploy.cli import app; app()", "bench", *arguments, "--json"],
        capture_output=True,
        text=True,
        check=False,
        cwd=code,
        env={**os.environ, "PYTHONPATH": str(code)},
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(set(one) - {"detail"} == FIELDS for one in found)
    assert all(one["rate"] > 0 and one["reference"] > 0 and one["ratio"] > 0 for one in found)
    return found


def test_lookups_of_several_concurrencies_come_from_one_run_and_every_answer_is_of_the_hub() -> None:
    found = bench(*LOOKUP, "--concurrency", "1,4")
    assert [(one["work"], one["engine"], one["flags"], one["concurrency"]) for one in found] == [
        ("lookup", "sqlite", 300, 1),
        ("lookup", "sqlite", 300, 4),
    ]
    assert all(one["detail"]["answersChecked"] > 0 and one["p50Ms"] <= one["p99Ms"] for one in found)


def test_a_delay_planted_in_the_hub_shows_in_the_figure(tmp_path: Path) -> None:
    for package in ("policy", "consent", "index", "nodes", "deploy"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    lookup = tmp_path / "index" / "lookup.py"
    delay = r"\1        __import__('time').sleep(0.05)\n"
    planted, places = re.subn(r"(    def apply\(self, tx[^\n]*\n)", delay, lookup.read_text())
    assert places == 1
    lookup.write_text(planted)
    (slow,) = bench(*LOOKUP, "--concurrency", "1", code=tmp_path)
    # Asleep, not busy: the delay is a floor on any machine.
    assert slow["p50Ms"] >= 50
    assert slow["rate"] <= 20


def test_a_kept_database_grows_and_is_asked_again(tmp_path: Path) -> None:
    hub = MeasuredHub(tmp_path, str(tmp_path / "hub.db"))
    assert hub.fill(200) > 0
    asked = hub.asked
    again = MeasuredHub(tmp_path, str(tmp_path / "hub.db"))
    again.fill(400)
    assert again.asked == asked
    assert again.log_vkey == hub.log_vkey
    assert len(asked) == 200 // FLAGS_EACH
    with pytest.raises(CannotMeasure, match="another folder"):
        again.fill(300)


def test_a_kept_database_whose_visits_ended_is_refused(tmp_path: Path) -> None:
    MeasuredHub(tmp_path, str(tmp_path / "hub.db"))
    kept = json.loads((tmp_path / KEPT).read_text())
    (tmp_path / KEPT).write_text(json.dumps({**kept, "made": kept["made"] - 31 * 86_400}))
    with pytest.raises(CannotMeasure, match="30 days"):
        MeasuredHub(tmp_path, str(tmp_path / "hub.db"))


def test_verification_reads_signed_entries_and_has_a_reference() -> None:
    (found,) = bench("verify", "--entries", "300", "--rounds", "1")
    assert found["flags"] == 300
    assert found["detail"]["citizenLines"] == 300


def test_the_log_is_measured_with_its_tree_and_without_and_proofs_in_a_tall_tree() -> None:
    (found,) = bench("log", "--answers", "64", "--rounds", "1", "--tall", "70000")
    assert found["rate"] > 0
    assert found["reference"] > 0
    assert found["detail"]["proofHashes"] in (16, 17)
    assert 2048 < found["detail"]["bytesPerEntry"] < 20_000


def test_a_visit_is_measured_through_node_holders_and_hub() -> None:
    visit, look = bench("visit", "--count", "3", "--persons", "2")
    assert (visit["work"], look["work"]) == ("visit", "look")
    assert visit["detail"]["scopes"] == 5
    assert visit["detail"]["holdersWaitMs"] > 0
    assert look["detail"]["holdersWaitMs"] == 0
    assert look["detail"]["hubWaitMs"] > 0


def test_the_start_of_a_hub_is_measured_with_its_memory() -> None:
    (found,) = bench("start", "--rounds", "1", "--no-demo")
    assert found["work"] == "start-hub"
    assert float(found["detail"]["rssMb"].split()[0]) > 10


def test_a_decision_is_measured_from_the_table_and_from_cedar() -> None:
    found, *others = [
        one for rules in ("0", "10,400") for one in bench("decide", "--rounds", "2", "--rules", rules)
    ]
    assert [one["detail"]["rules"] for one in others] == [10, 400]
    for one in (found, *others):
        steps = [one["detail"][f"{name}Ms"] for name in ("parse", "validate", "prove", "table")]
        assert min(steps) > 0
        assert one["detail"]["publishMs"] == pytest.approx(sum(steps), abs=0.1)
    assert found["detail"]["visible"] > 0
    assert found["detail"]["cedarQuestions"] >= found["detail"]["kinds"]
