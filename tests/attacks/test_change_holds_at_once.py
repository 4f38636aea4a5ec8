"""Attack: ask the other hub process quickly, before it has heard that something was closed.

Defence: no process believes what it read before: choices, relations, registers
and the version in force are read in the transaction of each question, under
the one writers' lock. 10,000 pairs: `make at-once`. Caches are planted, and
each of them must be found out.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import bugs
from tests.faults.at_once import at_once
from tests.faults.processes import Postgres, Zygote, postgres

SEED = 20261122


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    with Zygote() as made:
        yield made


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as made:
        yield made


def test_what_was_changed_at_one_hub_holds_at_both(zygote: Zygote, server: Postgres, tmp_path: Path) -> None:
    held = asyncio.run(at_once(zygote, tmp_path, server.database(), seed=SEED, pairs=300))
    assert held.leaks.total() == 0, str(held)
    assert held.pairs.total() >= 250, str(held)
    assert all(count >= 2 for count in held.pairs.values()), str(held)


@pytest.mark.parametrize("bug", sorted(bugs.STALE))
def test_a_planted_cache_is_found_out(zygote: Zygote, server: Postgres, tmp_path: Path, bug: str) -> None:
    held = asyncio.run(at_once(zygote, tmp_path, server.database(), seed=SEED, pairs=28, bug=bug, versions=0))
    assert held.leaks.total(), f"{bug} survived: {held}"
