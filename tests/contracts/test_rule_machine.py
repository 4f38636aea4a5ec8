"""The rule machine on SQLite in `make test`, on both engines in `make fuzz`, and the bugs it must catch."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy.engine import RootTransaction

from consent import resolve
from index import relations
from index.transaction import Tx
from tests.postgresql import fresh_database

from .rule_machine import HubMachine

MINUTES = float(os.environ.get("FUZZ_MINUTES", "0"))
SEED = int(os.environ.get("FUZZ_SEED", "20261122"))


def run(machine: type[HubMachine], seed_: int, examples: int, steps: int = 30) -> None:
    """So many stories of so many steps, the same ones for the same seed."""
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(seed(seed_)(machine), settings=chosen)


def counted(minutes: float, machine: type[HubMachine]) -> tuple[int, int]:
    """Rounds until the time is over; stories and steps."""
    end, rounds = time.monotonic() + 60 * minutes, 0
    steps: list[int] = []

    class Counting(machine):  # type: ignore[misc,valid-type]
        def teardown(self) -> None:
            steps.append(self.steps)
            super().teardown()

    while rounds == 0 or time.monotonic() < end:
        run(Counting, SEED + rounds, 10 if MINUTES else 8, 50 if MINUTES else 20)
        rounds += 1
    return len(steps), sum(steps)


def test_every_look_shows_what_was_told_on_sqlite() -> None:
    stories, steps = counted(MINUTES * 0.2, HubMachine)
    if MINUTES:
        print(f"\nrule machine, SQLite: {stories} stories, {steps} calls, seed {SEED}")
    assert steps > 100


@pytest.mark.skipif(not MINUTES, reason="the rule machine runs on PostgreSQL in make fuzz")
def test_every_look_shows_what_was_told_on_postgresql(postgresql: str) -> None:
    with ExitStack() as databases:

        class OnPostgres(HubMachine):
            prepare = staticmethod(lambda: {"database": databases.enter_context(fresh_database(postgresql))})

        stories, steps = counted(MINUTES * 0.2, OnPostgres)
        print(f"\nrule machine, PostgreSQL: {stories} stories, {steps} calls, seed {SEED}")
        assert steps > 100


# --- planted bugs ---------------------------------------------------------------------------


def no_sequence_guard(patch: pytest.MonkeyPatch) -> None:
    """Neither a later `seq` nor a marker stops a publication."""
    flag = Tx.flag

    def never_newer(self: Tx, pub_tag: bytes, rtag: bytes) -> Any:
        held = flag(self, pub_tag, rtag)
        return held._replace(seq=0) if held else None

    patch.setattr(Tx, "flag", never_newer)
    patch.setattr(Tx, "marker", lambda *_: None)


def marker_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Tx, "marker", lambda *_: None)


def withdrawn_choice_still_in_force(patch: pytest.MonkeyPatch) -> None:
    from consent import state

    patch.setattr(state, "_withdraws", lambda *_: False)


def a_no_is_not_heard(patch: pytest.MonkeyPatch) -> None:
    in_force = resolve._in_force
    patch.setattr(resolve, "_in_force", lambda said, *about: said.effect != "deny" and in_force(said, *about))


def closed_relation_still_opens(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(relations.Closing, "apply", _closes_nothing(relations.Closing.apply))


def _closes_nothing(apply: Callable[..., Any]) -> Callable[..., Any]:
    put = Tx.put_relation

    def forgetful(self: Any, tx: Tx) -> Any:
        Tx.put_relation = lambda *_: None  # type: ignore[method-assign]
        try:
            return apply(self, tx)
        finally:
            Tx.put_relation = put  # type: ignore[method-assign]

    return forgetful


def acknowledged_and_rolled_back(patch: pytest.MonkeyPatch) -> None:
    """A commit that fails is taken for one that succeeded."""
    commit = RootTransaction.commit

    def hopeful(self: Any) -> None:
        try:
            commit(self)
        except Exception:
            self.rollback()

    patch.setattr(RootTransaction, "commit", hopeful)


BUGS = (
    no_sequence_guard,
    marker_ignored,
    withdrawn_choice_still_in_force,
    a_no_is_not_heard,
    closed_relation_still_opens,
    acknowledged_and_rolled_back,
)


@pytest.fixture
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as made:
        yield made


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_planted_bug_makes_the_machine_fail(
    bug: Callable[[pytest.MonkeyPatch], None], patch: pytest.MonkeyPatch
) -> None:
    bug(patch)
    with pytest.raises((AssertionError, BaseExceptionGroup, RuntimeError)):
        run(HubMachine, SEED, 30, 30)
