"""The worked cases of the design, through the real engine."""

from pathlib import Path

import pytest

from consent.cases import run
from policy import load_vocabulary, publish

OUT_OF_SCOPE: dict[str, str] = {}
"""Cases by id that this version does not decide as written, with the reason. Exactly these may fail."""


@pytest.fixture(scope="module")
def results(shared: Path):
    vocabulary = load_vocabulary()
    profiles = tuple(profile.code for profile in vocabulary.profiles)
    return run(
        shared / "decision-cases.json",
        publish(
            vocabulary,
            version=1,
            profiles=profiles,
            organisation_classes=("gemeente", "zorgverzekeraar"),
        ),
    )


def test_every_worked_case_gives_its_outcome_basis_and_row(results):
    failing = {result.id: (result.expected, result.got) for result in results if not result.holds}

    assert len(results) == 136
    assert set(failing) == set(OUT_OF_SCOPE), failing


def test_the_worked_cases_reach_every_row_of_the_table(results):
    # Row 10 never ends a decision: it passes on to 11.
    assert {result.got[2] for result in results} == set(range(1, 14)) - {10}
