"""What must hold for every ledger in which several people have a say: parents, youth, representatives."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.cases import _decided, ledger_of
from consent.directive import FIRST_PREVIOUS, Directive, DirectiveInvalid, canonical, parse_canonical
from consent.resolve import measures_of, resolve
from consent.state import ChoiceState, decode, encode, fold, regimes_in_force
from policy import load_vocabulary
from policy.engine import publish

from .ledgers import NOW, TEAM, axes, entry, folded, group, stop

VOCABULARY = load_vocabulary()
KIND = VOCABULARY.kind("schuldhulp")
VISIT = VOCABULARY.purpose("huisbezoek")
CARE = VOCABULARY.kind("wmo_voorziening")
ORDER = {"deny": 0, "none": 1, "grant": 2}
GIVERS = {
    "ouder": [("ouder", "ma"), ("ouder", "pa")],
    "samen": [("ouder", "ma"), ("ouder", "pa"), ("zelf", "")],
    "zelf": [
        ("zelf", ""), ("gemachtigde", "g"), ("curator", "c"), ("mentor", "m"), ("bewindvoerder", "b"),
    ],
}  # fmt: skip
AUTHORITY = NOW + timedelta(days=300)


@st.composite
def ledgers(draw, *, most=8):
    """Entries of everybody who has a say under one age regime, regime entries among them."""
    regime = draw(st.sampled_from(["ouder", "samen", "zelf"]))
    entries: list[Directive] = []
    for number in range(1, draw(st.integers(0, most)) + 1):
        by, giver = draw(st.sampled_from(GIVERS[regime]))
        effects = ["grant", "grant", "deny", "slot"]
        if by in ("curator", "mentor", "bewindvoerder", "gemachtigde"):
            effects.append("regime")
        if entries:
            effects.append("withdraw")
        effect = draw(st.sampled_from(effects))
        category, receiver, purpose = draw(axes) if effect not in ("withdraw", "regime") else ((), (), ())
        days = draw(st.sampled_from([None, -1, 1, 90]))
        until = None if days is None else NOW + timedelta(days=days)
        fields = {"by": by, "giver": giver, "regime": regime}
        if effect == "withdraw":
            fields["withdraws"] = group(draw(st.integers(1, number - 1)))
        else:
            fields |= {"category": category, "receiver": receiver, "purpose": purpose, "until": until}
            fields["evidence"] = draw(st.sampled_from(["r1", ""])) if by != "zelf" else ""
            fields["explicit"] = draw(st.booleans())
        if effect == "regime":
            fields |= {"evidence": "CCBR/1", "until": until or AUTHORITY}
        entries.append(entry(number, effect, **fields))
    return entries


def _now(state, kind=KIND, receiver=TEAM, purpose=VISIT, at=NOW):
    return resolve(state, kind, receiver, purpose, at)


@given(ledgers(), st.randoms(use_true_random=False))
def test_the_order_of_reading_changes_nothing_whoever_decided(entries, random):
    state = folded(*entries)
    if state is None:
        return
    shuffled = list(state.directives)
    random.shuffle(shuffled)
    assert _now(state) == _now(ChoiceState(state.head, state.number, tuple(shuffled)))


@given(ledgers(), st.data())
def test_a_no_or_slot_of_anybody_never_opens(entries, data):
    by, giver, regime = data.draw(
        st.sampled_from([(by, giver, regime) for regime, givers in GIVERS.items() for by, giver in givers])
    )
    category, receiver, purpose = data.draw(axes)
    no = entry(
        len(entries) + 1,
        data.draw(st.sampled_from(["deny", "slot"])),
        category=category, receiver=receiver, purpose=purpose, by=by, giver=giver, regime=regime,
    )  # fmt: skip
    assert ORDER[_now(folded(*entries, no)).effect] <= ORDER[_now(folded(*entries)).effect]


@given(ledgers(), st.data())
def test_stopping_a_yes_never_opens_whoever_said_it(entries, data):
    grants = [one for one in entries if one.effect == "grant"]
    if not grants:
        return
    stopped = data.draw(st.sampled_from(grants))
    after = folded(*entries, stop(len(entries) + 1, stopped.number, by=stopped.by, giver=stopped.giver))
    assert ORDER[_now(after).effect] <= max(ORDER[_now(folded(*entries)).effect], ORDER["none"])


@given(ledgers(), st.data())
def test_a_yes_for_less_never_opens_more(entries, data):
    """A purpose, role, team or kind taken away from a yes: whoever sees after it saw before."""
    places = [at for at, one in enumerate(entries) if one.effect == "grant"]
    if not places:
        return
    at = data.draw(st.sampled_from(places))
    narrower = {"category": ("geld", "schuldhulp"), "receiver": TEAM.path, "purpose": ("hulp", "huisbezoek")}
    axis = data.draw(st.sampled_from(sorted(narrower)))
    had = getattr(entries[at], axis)
    if narrower[axis][: len(had)] != had:
        return
    lesser = [*entries[:at], replace(entries[at], **{axis: narrower[axis]}), *entries[at + 1 :]]
    before, after = folded(*entries), folded(*lesser)
    for kind in (KIND, VOCABULARY.kind("bijstand")):
        for purpose in ("huisbezoek", "casusoverleg"):
            for role in ("generalist", "casusregisseur"):
                asked = {"kind": kind, "purpose": VOCABULARY.purpose(purpose)}
                asked["receiver"] = replace(TEAM, role=role)
                # The narrower one may overrule a no of the same giver: that is what narrowing means (§2.2).
                overruled = any(
                    one.effect in ("deny", "slot")
                    and (one.by, one.giver) == (entries[at].by, entries[at].giver)
                    for one in entries
                )
                if not overruled:
                    assert ORDER[_now(after, **asked).effect] <= ORDER[_now(before, **asked).effect]


@given(ledgers(), st.integers(0, 8), st.integers(-20, 20))
def test_an_answer_of_the_past_stays_what_it_was(entries, upto, days):
    at = NOW + timedelta(days=days)
    earlier = [one for one in entries if one.number <= upto]
    then = _now(folded(*earlier), at=at)
    state = folded(*earlier)
    for later in entries[len(earlier) :]:
        state = fold(state, later)
    replayed = None
    for one in entries[: len(earlier)]:
        replayed = fold(replayed, one)
    assert _now(replayed, at=at) == then


@given(ledgers())
def test_a_ledger_with_regimes_survives_state_and_chain(entries):
    state = folded(*entries)
    prev = FIRST_PREVIOUS
    for one in entries:
        assert parse_canonical(canonical(one, prev)) == (one, prev)
    if state is not None:
        again = decode(encode(state))
        assert _now(again) == _now(state)
        assert measures_of(again, NOW) == measures_of(state, NOW)


# --- regime entries ------------------------------------------------------------------


def regime(number: int, by: str, giver: str = "x", **fields) -> Directive:
    until = fields.pop("until", AUTHORITY)
    return entry(number, "regime", by=by, giver=giver, evidence="CCBR/1", until=until, **fields)


def says(number: int, effect: str, by: str, giver: str = "x", **fields) -> Directive:
    return entry(number, effect, by=by, giver=giver, evidence="r1", **fields)


@pytest.mark.parametrize(
    ("by", "kind", "effect"),
    [
        ("curator", KIND, "grant"),
        ("curator", CARE, "grant"),
        ("mentor", CARE, "grant"),
        ("mentor", KIND, "none"),
        ("bewindvoerder", KIND, "grant"),
        ("bewindvoerder", CARE, "none"),
        ("gemachtigde", KIND, "grant"),
    ],
)
def test_a_regime_entry_gives_its_representative_a_say_about_its_own_subjects(by, kind, effect):
    without, held = folded(says(1, "grant", by)), folded(regime(1, by), says(2, "grant", by))
    if by != "gemachtigde":
        assert _now(without, kind).effect == "none"
    assert _now(held, kind).effect == effect


def test_curatele_goes_before_the_others_which_hold_beside_each_other():
    both = folded(regime(1, "mentor"), regime(2, "bewindvoerder"), says(3, "grant", "bewindvoerder"))
    assert measures_of(both, NOW) == {"mentorschap", "bewind"}
    assert _now(both).effect == "grant"
    assert _now(fold(both, regime(4, "curator"))).effect == "none"


def test_under_curatele_the_own_yes_alone_opens_nothing_and_the_own_no_counts():
    held = folded(entry(1, "grant"), regime(2, "curator"))
    assert _now(held).effect == "none"
    opened = fold(held, says(3, "grant", "curator"))
    assert _now(opened).effect == "grant"
    assert _now(fold(opened, entry(4, "deny"))).effect == "deny"


def test_a_regime_entry_holds_from_its_moment_until_its_end_and_not_at_it():
    held = folded(regime(1, "curator", from_=NOW, until=NOW + timedelta(days=1)))
    moments = (NOW - timedelta(seconds=1), NOW, NOW + timedelta(days=1))
    assert [bool(measures_of(held, at)) for at in moments] == [False, True, False]


def test_when_the_last_entry_of_a_representative_ends_what_they_decided_is_gone():
    held = folded(regime(1, "gemachtigde"), says(2, "grant", "gemachtigde"), regime(3, "gemachtigde"))
    one_left = fold(held, stop(4, 1, by="zelf"))
    assert _now(one_left).effect == "grant"
    none_left = fold(one_left, stop(5, 3, by="zelf"))
    assert _now(none_left).effect == "none"
    assert none_left.directives == ()


def test_nobody_else_ends_a_measure():
    held = folded(regime(1, "bewindvoerder", "b"))
    for by, giver in (("zelf", ""), ("ouder", "ma"), ("bewindvoerder", "c"), ("curator", "b")):
        assert regimes_in_force(fold(held, stop(2, 1, by=by, giver=giver)), NOW), by


@pytest.mark.parametrize("fields", [{"evidence": ""}, {"until": None}, {"by": "ouder"}, {"by": "zelf"}])
def test_a_regime_without_proof_end_or_representative_cannot_be_an_entry(fields):
    with pytest.raises(DirectiveInvalid):
        replace(regime(1, "curator"), **fields)


def test_a_state_of_before_regime_entries_is_still_read():
    state = folded(
        entry(1, "slot", category=("geld",)),
        entry(2, "grant", by="gemachtigde", giver="g", evidence="b", regime="zelf"),
    )
    new = encode(state)
    old = bytearray(new)
    old[0] = 1
    at = new.index(state.directives[0].group)
    for directive in state.directives:
        place = at + 32
        effect, by = new[place] & 15, new[place] >> 4
        old[place] = effect | by << 2
        at += 36 + sum(map(len, (directive.category, directive.receiver, directive.purpose)))
    assert bytes(old) != new
    assert decode(bytes(old)) == decode(new)


# --- the worked cases ----------------------------------------------------------------

CASES = Path(__file__).parents[3] / "shared" / "decision-cases.json"
HOLDER = {"curatele": "curator", "mentorschap": "mentor", "bewind": "bewindvoerder"}


@pytest.mark.skipif(not CASES.exists(), reason="the worked cases of ../shared are not here")
def test_every_worked_case_holds_with_its_measures_read_from_the_ledger(monkeypatch):
    document = json.loads(CASES.read_text(encoding="utf-8"))
    now = datetime.fromisoformat(document["now"]).replace(tzinfo=UTC)
    version = publish(VOCABULARY, version=1, profiles=tuple({case["profile"] for case in document["cases"]}))
    measures = {case["id"]: case["subject"]["measures"] for case in document["cases"]}
    assert sum(map(bool, measures.values())) > 5

    def with_regimes(case, now):
        state = ledger_of(case, now)
        for measure in measures[case["id"]]:
            number = state.number + 1 if state else 1
            state = fold(state, regime(number, HOLDER[measure], "", from_=now, until=now + timedelta(days=9)))
        return decode(encode(state)) if state else None

    monkeypatch.setattr("consent.cases.ledger_of", with_regimes)
    for case in document["cases"]:
        outcome = _decided({**case, "subject": {**case["subject"], "measures": []}}, version, now)
        if case["exists"] and case.get("flagState", "live") == "live":
            expected = (case["expected"] == "visible", case["basis"], case["row"])
            assert (outcome.visible, outcome.basis, outcome.row) == expected, case["id"]
