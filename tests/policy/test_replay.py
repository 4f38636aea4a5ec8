"""Recorded decisions under a candidate: what is counted, what is not told, and what cannot be known."""

import pytest

from policy import Asker, Circumstances, KindState, publish
from policy.replay import FEW, Input, Moved, RecordedDecision, replay
from policy.vocabulary import PACKAGED, parse_vocabulary

TEXT = PACKAGED.read_text(encoding="utf-8")
SEES = 'toestemming = ["ww", "duo_schuld", "wmo_voorziening", "zelf_gemeld_geldzorgen"]'
SEES_OTHER = 'toestemming = ["ww", "duo_schuld", "jeugdhulp", "zelf_gemeld_geldzorgen"]'
ASKER = Asker("schuldhulpverlener", "gemeente", "basis", "huisbezoek")
CASE = Circumstances(has_case=True)


@pytest.fixture(scope="module")
def changed():
    words = parse_vocabulary(TEXT.replace(SEES, SEES_OTHER))
    return publish(words, version=2, organisation_classes=("gemeente",))


def _decision(vocabulary, *, consent="grant", held=CASE, without=(), only=()):
    made = Input(KindState(consent, True), held)
    return RecordedDecision(
        ASKER,
        {
            kind.number: None if kind.code in without else made
            for kind in vocabulary.kinds
            if not only or kind.code in only
        },
    )


@pytest.mark.parametrize(("count", "told"), [(10, 10), (12, 10), (13, 15), (47, 45), (48, 50)])
def test_views_that_appear_and_disappear_are_counted_and_rounded_to_five(version, changed, count, told):
    moved = replay([_decision(version.vocabulary)] * count, version, changed)

    assert moved == (
        Moved("schuldhulpverlener", "jeugdhulp", told, FEW, FEW),
        Moved("schuldhulpverlener", "wmo_voorziening", FEW, told, FEW),
    )


@pytest.mark.parametrize(
    "nothing",
    [
        {"consent": "deny"},
        {"consent": "none"},
        {"held": Circumstances(has_case=False)},
        {"held": Circumstances(False, True, True, True)},
    ],
)
def test_only_questions_whose_inputs_open_the_kind_are_counted(version, changed, nothing):
    assert replay([_decision(version.vocabulary, **nothing)] * 500, version, changed) == ()


def test_a_count_below_ten_is_not_told_and_not_whether_there_was_any(version, changed):
    few = replay([_decision(version.vocabulary)] * 9, version, changed)
    none = replay([_decision(version.vocabulary, consent="deny")] * 500, version, changed)

    assert few == none == ()
    assert replay([], version, changed) == ()


def test_the_same_version_moves_nothing_also_where_no_inputs_are_recorded(version):
    codes = [kind.code for kind in version.vocabulary.kinds]
    recorded = [_decision(version.vocabulary), _decision(version.vocabulary, without=codes)] * 30

    assert replay(recorded, version, version) == ()


def test_without_inputs_only_what_both_versions_do_alike_in_every_state_is_known(version, changed):
    codes = [kind.code for kind in version.vocabulary.kinds]

    moved = replay([_decision(version.vocabulary, without=codes)] * 20, version, changed)

    assert moved == (
        Moved("schuldhulpverlener", "jeugdhulp", FEW, FEW, 20),
        Moved("schuldhulpverlener", "wmo_voorziening", FEW, FEW, 20),
    )


def test_a_scope_that_was_not_asked_then_and_is_asked_by_the_candidate_cannot_be_told(version, changed):
    geld = [kind.code for kind in version.vocabulary.kinds_of("geld")]

    (one,) = replay([_decision(version.vocabulary, only=geld)] * 20, version, changed)

    assert one == Moved("schuldhulpverlener", "jeugdhulp", FEW, FEW, 20)
