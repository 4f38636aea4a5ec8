"""A file of worked cases: what is wrong with it is said with its place; a swapped outcome is named."""

import json
from pathlib import Path

import pytest

from consent.cases import CasesError, run
from policy import load_vocabulary, publish

PROFILE_CASES = Path(__file__).parents[2] / "docs" / "design" / "profile-cases.json"


@pytest.fixture(scope="module")
def every_profile():
    vocabulary = load_vocabulary()
    return publish(
        vocabulary,
        version=1,
        profiles=tuple(profile.code for profile in vocabulary.profiles),
        organisation_classes=("gemeente", "zorgverzekeraar"),
    )


CASES = json.loads(PROFILE_CASES.read_text(encoding="utf-8"))["cases"]


def _written(folder: Path, change=None, **document) -> Path:
    whole = json.loads(PROFILE_CASES.read_text(encoding="utf-8")) | document
    if change is not None:
        change(whole["cases"])
    path = folder / "cases.json"
    path.write_text(json.dumps(whole), encoding="utf-8")
    return path


def test_the_five_cases_of_each_profile_come_out_as_written(every_profile):
    results = run(PROFILE_CASES, every_profile)

    assert [result.id for result in results] == [f"P{number:03d}" for number in range(1, 51)]
    assert [result for result in results if not result.holds] == []
    assert {case["profile"] for case in CASES} == set(every_profile.profiles) - {"basis"}


def test_the_profile_cases_are_those_of_the_shared_set_where_it_has_them(shared):
    of_shared = {
        case["id"]: case
        for case in json.loads((shared / "decision-cases.json").read_text(encoding="utf-8"))["cases"]
        if case["id"].startswith("P")
    }

    assert of_shared == {case["id"]: case for case in CASES if case["id"] in of_shared}


@pytest.mark.parametrize("number", [0, 9, 23, 35, 49])
def test_a_swapped_outcome_fails_with_the_case_and_what_decided(every_profile, tmp_path, number):
    def swap(cases):
        cases[number]["expected"] = {"visible": "hidden", "hidden": "visible"}[cases[number]["expected"]]

    (wrong,) = [result for result in run(_written(tmp_path, swap), every_profile) if not result.holds]

    assert wrong.id == CASES[number]["id"]
    assert wrong.got[2] == CASES[number]["row"]
    assert bool(wrong.rule) == wrong.got[0]


def test_the_clock_is_that_of_the_file(every_profile, tmp_path):
    later = run(_written(tmp_path, now="2027-05-01T09:00:00"), every_profile)

    assert {result.got[2] for result in later if not result.holds} == {12}
    assert "P002" in {result.id for result in later if not result.holds}


def _set(field, value):
    def change(cases):
        cases[3][field] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_set("role", "generalst"), ["case P004: role: no such role"]),
        (_set("kind", "wv"), ["case P004: kind: no such kind"]),
        (_set("purpose", "kijken"), ["case P004: purpose"]),
        (_set("profile", "wijkteam"), ["case P004: profile"]),
        (_set("basis", "zomaar"), ["case P004: basis"]),
        (_set("row", 14), ["case P004: row"]),
        (_set("row", "9"), ["case P004: row"]),
        (_set("expected", "seen"), ["case P004: expected"]),
        (_set("convenent", True), ["case P004", "convenent"]),
        (_set("mandate", [{"act": "weg", "until": "2027-01-01T00:00:00"}]), ["case P004: mandate"]),
        (_set("id", "P003"), ["case P003: stands twice"]),
        (lambda cases: cases[3].pop("relation"), ["case P004", "relation"]),
        (lambda cases: cases[3]["directives"][0].update(effect="maybe"), ["case P004: directives[0].effect"]),
        (lambda cases: cases[3]["directives"][0].update(category=["gelt"]), ["P004: directive g1: category"]),
        (lambda cases: cases[3]["directives"][0].update(category=["zorg", "ww"]), ["g1: category"]),
        (lambda cases: cases[3]["directives"][0].update(purpose=["hulp", "x"]), ["g1: purpose"]),
        (lambda cases: cases.__setitem__(3, "P004"), ["case number 4"]),
        (
            lambda cases: (cases[3].update(role="x"), cases[5].update(kind="y")),
            ["case P004: role", "case P006: kind"],
        ),
    ],
)
def test_a_file_that_cannot_be_run_says_where(every_profile, tmp_path, change, words):
    with pytest.raises(CasesError) as caught:
        run(_written(tmp_path, change), every_profile)

    for part in words:
        assert part in str(caught.value)


def test_text_that_is_not_json_is_refused_with_its_line(every_profile, tmp_path):
    path = tmp_path / "cases.json"
    path.write_text('{\n "now": "2026-06-15T10:00:00",\n "cases": [}\n}')

    with pytest.raises(CasesError, match="line 3"):
        run(path, every_profile)
