"""What must hold for every ledger of choices, whatever was chosen in which order."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.resolve import (
    AFTER_CASE_MONTHS,
    FORM_HOURS,
    GRANT_MONTHS,
    Receiver,
    add_months,
    resolve,
    states_of,
)
from consent.state import ChoiceState
from policy import load_vocabulary

from .ledgers import CATEGORIES, NOW, PURPOSES, RECEIVERS, TEAM, axes, entry, folded, ledgers, stop

VOCABULARY = load_vocabulary()
KIND = VOCABULARY.kind("schuldhulp")
VISIT = VOCABULARY.purpose("huisbezoek")
ORDER = {"deny": 0, "none": 1, "grant": 2}


def _now(state, kind=KIND, receiver=TEAM, purpose=VISIT, at=NOW, **measures):
    return resolve(state, kind, receiver, purpose, at, **measures)


def _covers(directive) -> bool:
    request = ((KIND.domain, KIND.code), TEAM.path, VISIT.path)
    scope = (directive.category, directive.receiver, directive.purpose)
    return all(narrow[: len(broad)] == broad for narrow, broad in zip(request, scope, strict=True))


# --- for every ledger --------------------------------------------------------------


@given(ledgers(), st.randoms(use_true_random=False))
def test_the_order_of_reading_changes_nothing(entries, random):
    state = folded(*entries)
    shuffled = list(state.directives) if state else []
    random.shuffle(shuffled)
    reordered = ChoiceState(state.head, state.number, tuple(shuffled)) if state else None

    assert _now(state) == _now(reordered)


@given(
    ledgers(), st.sampled_from(CATEGORIES[:3]), st.sampled_from(RECEIVERS[:4]), st.sampled_from(PURPOSES[:3])
)
def test_a_later_no_of_a_scope_denies_it_exactly_there(entries, category, receiver, purpose):
    number = len(entries) + 1
    deny = entry(number, "deny", category=category, receiver=receiver, purpose=purpose)
    after = folded(*entries, deny)

    narrower = [
        other
        for other in entries
        if _covers(other)
        and (other.category, other.receiver, other.purpose) != (category, receiver, purpose)
        and len(other.category) >= len(category)
        and len(other.receiver) >= len(receiver)
        and len(other.purpose) >= len(purpose)
    ]

    if not narrower:
        assert _now(after).effect == "deny"
    assert ORDER[_now(after).effect] <= max(ORDER[_now(folded(*entries)).effect], 0)


@given(ledgers(), axes)
def test_a_slot_never_opens_and_closes_what_it_covers(entries, scope):
    category, receiver, purpose = scope
    slot = entry(len(entries) + 1, "slot", category=category, receiver=receiver, purpose=purpose)

    before, after = _now(folded(*entries)), _now(folded(*entries, slot))

    assert ORDER[after.effect] <= ORDER[before.effect]
    if _covers(slot):
        assert after.effect == "deny"
    else:
        assert after == before


@given(ledgers(), axes)
def test_a_no_never_opens(entries, scope):
    category, receiver, purpose = scope
    deny = entry(len(entries) + 1, "deny", category=category, receiver=receiver, purpose=purpose)

    assert ORDER[_now(folded(*entries, deny)).effect] <= ORDER[_now(folded(*entries)).effect]


@given(ledgers().filter(bool), st.data())
def test_stopping_a_yes_never_opens(entries, data):
    grants = [directive for directive in entries if directive.effect == "grant"]
    if not grants:
        return
    stopped = data.draw(st.sampled_from(grants))

    before = _now(folded(*entries))
    after = _now(folded(*entries, stop(len(entries) + 1, stopped.number)))

    assert ORDER[after.effect] <= max(ORDER[before.effect], ORDER["none"])


@given(ledgers(), st.integers(0, 7))
def test_folding_up_to_an_earlier_entry_gives_the_earlier_answer(entries, upto):
    earlier = entries[:upto]
    replayed = folded(*[directive for directive in entries if directive.number <= len(earlier)])

    assert _now(replayed) == _now(folded(*earlier))


@given(ledgers())
def test_a_grant_names_only_entries_that_say_yes_and_cover_the_request(entries):
    resolution = _now(folded(*entries))
    by_number = {directive.number: directive for directive in entries}
    effects = {by_number[number].effect for number in resolution.directive_numbers}

    assert all(_covers(by_number[number]) for number in resolution.directive_numbers)
    assert effects <= {"grant": {"grant"}, "deny": {"deny", "slot"}, "none": set()}[resolution.effect]


@given(ledgers(effects=("grant",)))
def test_another_receiver_gains_nothing_from_a_choice_for_this_one(entries):
    only_here = [
        directive for directive in entries if directive.receiver[:2] == (TEAM.organisation, TEAM.team)
    ]
    numbered = [replace(directive, number=place) for place, directive in enumerate(only_here, start=1)]
    other = Receiver(TEAM.organisation, "wijkteam-zuid", TEAM.role)

    assert _now(folded(*numbered), receiver=other).effect == "none"


@given(ledgers())
def test_every_kind_of_a_scope_gets_the_state_that_it_gets_alone(entries):
    state = folded(*entries)
    kinds = VOCABULARY.kinds_of("geld")

    states = states_of(state, kinds, TEAM, VISIT, NOW)

    assert set(states) == {kind.number for kind in kinds}
    for kind in kinds:
        alone = _now(state, kind=kind)
        assert (states[kind.number].consent, states[kind.number].explicit) == (alone.effect, alone.explicit)


# --- narrow, later, crossing -------------------------------------------------------


@pytest.mark.parametrize("broad_first", [True, False])
@pytest.mark.parametrize(("broad", "narrow"), [("grant", "deny"), ("deny", "grant")])
def test_narrower_beats_broader_in_both_orders(broad, narrow, broad_first):
    wide, close = ("geld",), ("geld", "schuldhulp")
    scopes = [(broad, wide), (narrow, close)] if broad_first else [(narrow, close), (broad, wide)]
    state = folded(*(entry(n, effect, category=scope) for n, (effect, scope) in enumerate(scopes, 1)))

    assert _now(state).effect == narrow


def test_a_stopped_no_uncovers_the_yes_under_it():
    state = folded(entry(1, "grant"), entry(2, "deny", category=("geld",)), stop(3, 2))

    assert _now(state).effect == "grant"


def test_nobody_can_stop_what_another_giver_decided():
    parent = {"by": "ouder", "giver": "ouder1", "evidence": "gezag", "regime": "samen"}
    own = entry(1, "deny", regime="samen")

    assert _now(folded(own, stop(2, 1, **parent))).effect == "deny"
    assert _now(folded(entry(1, "deny", **parent), stop(2, 1))).effect == "deny"


def test_the_person_can_stop_what_a_gemachtigde_decided():
    state = folded(entry(1, "grant", by="gemachtigde", evidence="machtiging"), stop(2, 1))

    assert _now(state).effect == "none"


def test_a_narrower_yes_that_was_not_explicit_stands_in_place_of_a_broader_explicit_one():
    """The letter of the design: explicit is judged among what is left."""
    broad, narrow = entry(1, "grant", explicit=True), entry(2, "grant", category=("geld",))

    assert not _now(folded(broad, narrow)).explicit
    assert _now(folded(broad, narrow, stop(3, 2))).explicit


# --- time --------------------------------------------------------------------------


def test_a_grant_holds_from_its_first_second_until_its_last():
    state = folded(entry(1, "grant", from_=NOW, until=NOW + timedelta(days=1)))

    assert _now(state, at=NOW - timedelta(seconds=1)).effect == "none"
    assert _now(state).effect == "grant"
    assert _now(state, at=NOW + timedelta(days=1, seconds=-1)).effect == "grant"
    assert _now(state, at=NOW + timedelta(days=1)).effect == "none"


def test_a_grant_ends_after_twelve_months_also_when_it_says_longer():
    state = folded(entry(1, "grant", from_=NOW, until=add_months(NOW, 30)))

    assert _now(state, at=add_months(NOW, 12) - timedelta(seconds=1)).effect == "grant"
    assert _now(state, at=add_months(NOW, 12)).effect == "none"


def test_a_no_does_not_end_by_itself():
    state = folded(entry(1, "deny", from_=NOW))

    assert _now(state, at=add_months(NOW, 600)).effect == "deny"


def test_a_yes_that_ends_lets_the_older_no_of_the_same_scope_come_back():
    state = folded(entry(1, "deny"), entry(2, "grant", until=NOW + timedelta(days=1)))

    assert _now(state).effect == "grant"
    assert _now(state, at=NOW + timedelta(days=2)).effect == "deny"


def test_a_month_later_is_the_last_day_where_the_month_is_short():
    assert add_months(NOW.replace(month=1, day=31), 1) == NOW.replace(month=2, day=28)
    assert add_months(NOW.replace(month=12), 12) == NOW.replace(year=2027, month=12)


def test_the_periods_are_those_of_the_vocabulary():
    assert VOCABULARY.limits.consent_default_months == GRANT_MONTHS
    assert VOCABULARY.limits.assisted_consent_hours == FORM_HOURS
    assert VOCABULARY.limits.consent_after_case_months == AFTER_CASE_MONTHS


# --- what cannot be consented to, and on whose word --------------------------------


def test_a_yes_counts_for_no_kind_and_no_purpose_that_consent_cannot_open():
    state = folded(entry(1, "grant", explicit=True))

    assert _now(state, kind=VOCABULARY.kind("vroegsignaal")).effect == "none"
    assert _now(state, purpose=VOCABULARY.purpose("toezicht")).effect == "none"
    assert _now(state, purpose=VOCABULARY.purpose("vroegsignalering")).effect == "none"


def test_under_samen_both_must_say_yes_explicitly():
    parent = entry(1, "grant", by="ouder", giver="ouder1", evidence="gezag", regime="samen", explicit=True)
    youth = entry(2, "grant", regime="samen", explicit=False)

    assert _now(folded(parent)).effect == "none"
    assert _now(folded(parent, youth)).effect == "grant"
    assert not _now(folded(parent, youth)).explicit
    assert _now(folded(parent, replace(youth, explicit=True))).explicit


def test_two_parents_who_disagree_are_a_no():
    yes = entry(1, "grant", by="ouder", giver="ouder1", evidence="gezag", regime="ouder")
    no = entry(2, "deny", by="ouder", giver="ouder2", evidence="gezag", regime="ouder", category=("zorg",))

    assert _now(folded(yes, no)).effect == "grant"
    assert _now(folded(yes, replace(no, category=()))).effect == "deny"


def test_a_yes_whose_authority_ended_counts_no_more():
    yes = entry(1, "grant", by="gemachtigde", evidence="machtiging", evidence_until=NOW + timedelta(days=1))

    assert _now(folded(yes)).effect == "grant"
    assert _now(folded(yes), at=NOW + timedelta(days=1)).effect == "none"
    assert _now(folded(replace(yes, evidence=""))).effect == "none"


def test_grants_under_two_age_regimes_need_the_most():
    parent = entry(1, "grant", by="ouder", giver="ouder1", evidence="gezag", regime="ouder")
    own = entry(2, "grant", regime="zelf")

    assert _now(folded(parent, own)).effect == "grant"
    assert _now(folded(replace(parent, category=("zorg",)), own)).effect == "grant"
    assert _now(folded(replace(parent, regime="samen"))).effect == "none"


def test_under_curatele_the_own_no_counts_and_the_own_yes_does_not_suffice():
    own, curator = entry(1, "grant"), entry(2, "grant", by="curator", evidence="beschikking")
    measures = frozenset({"curatele"})

    assert _now(folded(own), measures=measures).effect == "none"
    assert _now(folded(own, curator), measures=measures).effect == "grant"
    assert _now(folded(replace(own, effect="deny"), curator), measures=measures).effect == "deny"
