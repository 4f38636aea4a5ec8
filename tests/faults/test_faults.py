"""The short part of the fault campaign: the same functions as `make faults`, with small numbers.

Promises P1 to P7 and P12 of docs/design/access-log.md §6. A harness counts
only if it catches its planted bugs, so each of them runs here too.
"""

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import bugs, scenarios
from .hubs import Ground
from .partition import partition, reason_to_skip
from .processes import Postgres, Zygote, postgres

SEED = 20261122

NO_ROOT = os.geteuid() != 0 or not shutil.which("mount")


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    with Zygote() as made:
        yield made


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Ground:
    """A hub's files and empty database on each engine."""
    if request.param == "sqlite":
        return Ground(tmp_path)
    server: Postgres = request.getfixturevalue("server")
    return Ground(tmp_path, server.database())


def test_what_was_acknowledged_survives_kills_at_random_moments(zygote: Zygote, ground: Ground) -> None:
    outcome = asyncio.run(scenarios.kills(zygote, ground, seed=SEED, count=3))
    assert str(outcome.verdict.others) == "{}"
    assert outcome.violations == 0, str(outcome.verdict)
    assert outcome.verdict.acks > 15


def test_a_hub_that_dies_between_commit_and_answer_has_carried_out_everything_once(
    zygote: Zygote, ground: Ground
) -> None:
    outcome = asyncio.run(scenarios.deaths_before_the_answer(zygote, ground, seed=SEED, count=1))
    assert outcome.violations == 0, str(outcome.verdict)
    assert outcome.figures["lost answers"] > 0
    assert outcome.verdict.acks > 20


def test_a_line_cut_before_the_answer_changes_nothing_twice(zygote: Zygote, tmp_path: Path) -> None:
    outcome = asyncio.run(scenarios.cuts(zygote, Ground(tmp_path), seed=SEED, seconds=1))
    assert outcome.violations == 0, str(outcome.verdict)
    assert outcome.figures["cuts"] > 5


def test_a_database_that_crashes_gives_refusals_and_no_false_answers(
    zygote: Zygote, server: Postgres, tmp_path: Path
) -> None:
    ground = Ground(tmp_path, server.database())
    outcome = asyncio.run(scenarios.database_crashes(zygote, ground, server, seed=SEED, count=1))
    assert outcome.violations == 0, str(outcome.verdict)
    assert outcome.figures["refused 503"] > 0


@pytest.mark.skipif(NO_ROOT, reason="a small disk is mounted as root only")
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_full_disk_gives_refusals_and_the_hub_goes_on_when_there_is_room(
    zygote: Zygote, tmp_path: Path, database: str
) -> None:
    full = scenarios.disk_full_sqlite if database == "sqlite" else scenarios.disk_full_postgresql
    outcome = asyncio.run(full(zygote, tmp_path / "disk", seed=SEED, rounds=1))
    assert outcome.violations == 0, str(outcome.verdict)
    assert outcome.figures["refused"] > 0
    assert outcome.figures["acknowledged_after_room"] > 0


def test_a_writer_that_is_paused_forks_nothing_when_it_wakes_up(zygote: Zygote, ground: Ground) -> None:
    outcome = asyncio.run(scenarios.pauses(zygote, ground, seed=SEED, count=3))
    assert outcome.violations == 0, str(outcome.verdict)
    assert outcome.verdict.acks > 20


@pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip() or "can run")
def test_an_outbox_keeps_all_while_the_hub_is_away_and_each_change_happens_once(
    zygote: Zygote, tmp_path: Path
) -> None:
    outcome = asyncio.run(partition(zygote, tmp_path, seed=SEED, cuts=1, changes=12))
    assert outcome.violations == 0, str(outcome.verdict)
    assert outcome.figures["differences"] == 0


@pytest.mark.parametrize("bug", bugs.names())
def test_a_planted_bug_is_caught(zygote: Zygote, tmp_path: Path, bug: str) -> None:
    outcome = asyncio.run(scenarios.hunt(zygote, tmp_path, bug, seed=SEED))
    assert outcome.violations > 0, f"{bug} survived"
