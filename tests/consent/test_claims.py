"""Claims: folding, clocks at their edges, and what they come to."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.claims import (
    ANY,
    REPLIES,
    UNTOUCHED,
    Claim,
    Claims,
    due,
    objects,
    standing_already,
    suspends,
)
from consent.directive import (
    FIRST_PREVIOUS,
    Directive,
    DirectiveInvalid,
    RightEntry,
    canonical,
    parse_canonical,
)
from consent.resolve import states_of
from consent.state import ChoiceState, decode, encode, fold
from policy.decide import KindState
from policy.vocabulary import load_vocabulary

from .ledgers import NOW, TEAM, entry, group

VOCABULARY = load_vocabulary()
TASK, DUTY, SAFETY = (VOCABULARY.kind(code) for code in ("schuldhulp", "vroegsignaal", "jeugdbescherming"))
KINDS = ("schuldhulp", "bijstand", "jeugdbescherming")
AMSTERDAM = ZoneInfo("Europe/Amsterdam")


def used(number: int, right: str, kind: str = "schuldhulp", publisher: int = ANY, **more) -> RightEntry:
    more.setdefault("from_", NOW)
    return RightEntry(number, group(number), right, "used", kind, publisher, **more)


def replied(number: int, to: RightEntry, step: str, publisher: int = 7, **more) -> RightEntry:
    more.setdefault("from_", NOW)
    return RightEntry(number, to.group, to.right, step, to.kind, publisher, **more)


def ended(number: int, what: RightEntry, **more) -> RightEntry:
    return RightEntry(
        number, group(number), what.right, "ended", what.kind, what.publisher, ends=what.group, **more
    )


def folded(*entries) -> ChoiceState:
    state = None
    for one in entries:
        state = fold(state, one)
    assert state is not None
    return state


def opened(right: str, at: datetime, **more) -> Claim:
    return Claim(1, group(1), right, more.pop("kind", "schuldhulp"), ANY, at, **more)


@st.composite
def histories(draw):
    """Rights used, answered and ended, in any order that the hub would take or not."""
    entries: list = []
    for number in range(1, draw(st.integers(1, 8)) + 1):
        uses = [one for one in entries if isinstance(one, RightEntry) and one.step == "used"]
        what = draw(st.sampled_from(["used", "used", "reply", "ended"])) if uses else "used"
        at = NOW + timedelta(days=number)
        if what == "used":
            right = draw(st.sampled_from(sorted(REPLIES)))
            kind, publisher = draw(st.sampled_from(KINDS)), draw(st.sampled_from([0, 7, 9]))
            entries.append(used(number, right, kind, publisher, from_=at))
        elif what == "reply":
            to = draw(st.sampled_from(uses))
            step = draw(st.sampled_from(REPLIES[to.right]))
            entries.append(replied(number, to, step, to.publisher or draw(st.sampled_from([7, 9])), from_=at))
        else:
            entries.append(ended(number, draw(st.sampled_from(uses)), from_=at))
    return entries


@given(histories())
def test_a_state_with_claims_survives_its_encoding_and_entries_their_canonical_form(entries):
    state = folded(*entries)
    assert decode(encode(state).ljust(2048, b"\0")) == state
    for one in entries:
        assert parse_canonical(canonical(one, FIRST_PREVIOUS)) == (one, FIRST_PREVIOUS)


@given(histories())
def test_an_answer_of_one_publisher_changes_nothing_for_another(entries):
    state = folded(*entries)
    waiting = [one for one in entries if one.step == "used"]
    at = NOW + timedelta(days=9)
    kinds = [VOCABULARY.kind(code) for code in KINDS]
    before = {kind.code: Claims(state.claims, at).of(kind, 9) for kind in kinds}
    for to in waiting:
        for step in REPLIES[to.right]:
            after = fold(state, replied(state.number + 1, to, step, 7, from_=at))
            if to.publisher != 9:
                assert {kind.code: Claims(after.claims, at).of(kind, 9) for kind in kinds} == before


@given(histories())
def test_using_a_right_never_opens(entries):
    """A right more hides as much or more, at the same moment."""
    state, at = folded(*entries), NOW + timedelta(days=9)
    for right in REPLIES:
        for kind in (TASK, SAFETY):
            more = used(state.number + 1, right, kind.code, 9, from_=at)
            if standing_already(state.claims, more):
                continue
            was = Claims(state.claims, at).of(kind, 9)
            now = Claims(fold(state, more).claims, at).of(kind, 9)
            closed = ("upheld", "pending")
            if right == "restriction" and kind is TASK:
                assert now.restricted
            if right == "objection":
                assert now.objection in closed
            if right == "dispute":
                assert now.disputed
            assert not was.restricted or now.restricted or (right == "restriction" and kind is SAFETY)


def test_a_state_without_claims_of_an_earlier_layout_is_still_read():
    state = folded(entry(1, "deny"))
    raw = encode(state)
    assert decode(b"\x02" + raw[1:-1]).claims == ()


@pytest.mark.parametrize(
    ("day", "end"),
    [
        ("2026-06-01T10:00", "2026-06-16T00:00"),  # no holiday: Monday to the Monday two weeks later
        (
            "2026-03-23T10:00",
            "2026-04-09T00:00",
        ),  # Good Friday, Easter Monday; summer time begins
        ("2026-10-19T10:00", "2026-11-03T00:00"),  # summer time ends on 25 October
        ("2026-12-18T10:00", "2027-01-06T00:00"),  # Christmas on a Friday, New Year's Day
        ("2026-04-20T10:00", "2026-05-07T00:00"),  # King's day on 27 April, 5 May
    ],
)
def test_the_term_of_a_dispute_ends_at_the_midnight_after_its_tenth_working_day(day: str, end: str) -> None:
    at = datetime.fromisoformat(day).replace(tzinfo=AMSTERDAM).astimezone(UTC)
    boundary = datetime.fromisoformat(end).replace(tzinfo=AMSTERDAM).astimezone(UTC)
    claim = opened("dispute", at)

    assert due(claim, compelling=False) == boundary
    just_before = Claims([claim], boundary - timedelta(seconds=1)).of(TASK)
    assert (just_before.disputed, just_before.suspended) == (True, False)
    assert Claims([claim], boundary).of(TASK).suspended


def test_child_safety_has_five_working_days_more():
    claim = opened("dispute", NOW, kind="jeugdbescherming")
    first, last = due(claim, compelling=True), suspends(claim, compelling=True)
    assert not Claims([claim], first).of(SAFETY).suspended
    assert not Claims([claim], last - timedelta(seconds=1)).of(SAFETY).suspended
    assert Claims([claim], last).of(SAFETY).suspended


def test_terms_of_an_objection_and_of_a_restriction():
    at = datetime(2026, 1, 31, 12, tzinfo=UTC)
    objection = opened("objection", at)
    assert due(objection, compelling=False) == datetime(2026, 3, 2, 23, tzinfo=UTC)  # 28 February: a Saturday
    assert due(replace(objection, extended=True), compelling=False) == datetime(2026, 4, 30, 22, tzinfo=UTC)
    assert due(opened("restriction", at), compelling=False) is None
    assert due(opened("restriction", at), compelling=True) == datetime(2026, 2, 3, 23, tzinfo=UTC)


def test_who_may_end_what():
    parents = used(1, "restriction", by="ouder", giver="o1", until=NOW + timedelta(days=400))
    curators = used(2, "dispute", by="curator", giver="c1")
    state = folded(parents, curators)
    assert len(fold(state, ended(3, parents)).claims) == 2
    assert len(fold(state, ended(3, parents, by="ouder", giver="o1")).claims) == 1
    assert len(fold(state, ended(3, curators)).claims) == 1
    assert Claims(state.claims, NOW + timedelta(days=401)).of(TASK).restricted is False


def test_the_end_of_a_no_ends_its_objection_but_not_a_rejected_one():
    no = entry(1, "deny", category=("geld", "schuldhulp"))
    objection = RightEntry(2, no.group, "objection", "used", "schuldhulp", from_=NOW)
    back = Directive(3, group(3), "withdraw", withdraws=no.group, from_=NOW)
    assert folded(no, objection, back).claims == ()
    rejected = replied(3, objection, "rejected")
    left = folded(no, objection, rejected, replace(back, number=4)).claims
    assert [claim.answer for claim in left] == ["rejected"]
    again = used(5, "objection", from_=NOW + timedelta(days=300))
    assert standing_already(left, again) == "rejected-before"
    assert standing_already(left, replace(again, from_=NOW + timedelta(days=380))) == ""


@pytest.mark.parametrize(
    ("kind", "receiver", "objection"),
    [
        (TASK, (), True),
        (TASK, (TEAM.organisation, TEAM.team, "schuldhulpverlener"), True),
        (TASK, (TEAM.organisation, TEAM.team, "generalist"), False),
        (TASK, (TEAM.organisation, TEAM.team), False),
        (DUTY, (), False),
    ],
)
def test_a_no_is_an_objection_where_its_receiver_sees_the_kind_by_task(kind, receiver, objection):
    no = entry(1, "deny", category=(kind.domain, kind.code), receiver=receiver)
    assert objects(no, kind, VOCABULARY.roles) is objection
    assert not objects(replace(no, effect="slot"), kind, VOCABULARY.roles)


@pytest.mark.parametrize(
    "wrong",
    [
        {"step": "confirmed", "publisher": 0},
        {"step": "ended"},
        {"ends": bytes(16)},
        {"kind": ""},
        {"publisher": -1},
        {"number": 0},
        {"group": b"short"},
    ],
)
def test_an_entry_that_says_nothing_sensible_cannot_be_made(wrong):
    good = {"number": 1, "group": bytes(16), "right": "dispute", "step": "used", "kind": "ggz"}
    with pytest.raises(DirectiveInvalid):
        RightEntry(**{**good, **wrong})


def test_nothing_asked_is_untouched():
    assert Claims((), NOW).of(TASK, 7) is UNTOUCHED


# --- as `decide` is given them -----------------------------------------------------------


def test_a_restriction_and_an_objection_reach_the_decision_beside_what_was_chosen():
    restricted, objected = used(1, "restriction"), used(2, "objection", "bijstand")
    state = fold(folded(restricted, objected), entry(3, "grant"))
    kinds = [VOCABULARY.kind(code) for code in ("schuldhulp", "bijstand", "ww")]

    states = states_of(state, kinds, TEAM, VOCABULARY.purpose("huisbezoek"), NOW)

    assert [states[kind.number] for kind in kinds] == [
        KindState("grant", False, True, "none"),
        KindState("grant", False, False, "pending"),
        KindState("grant", False, False, "none"),
    ]
