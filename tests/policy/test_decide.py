"""The decision table over the filled table: what must hold for every asker."""

import itertools
from dataclasses import replace

import pytest

from policy import Asker, Circumstances, KindState, decide, scopes_for
from policy.decide import Outcome
from policy.table import KindCells, Table

CASE = Circumstances(has_case=True)
GRANT = KindState("grant", explicit=True)
ALL_STATES = [
    KindState(consent, explicit, restricted, objection)
    for consent in ("none", "deny", "grant")
    for explicit in (False, True)
    for restricted in (False, True)
    for objection in ("none", "pending", "rejected", "upheld")
]
ALL_CIRCUMSTANCES = [
    Circumstances(*flags)
    for flags in itertools.product((False, True), repeat=4)
    if flags[1] or not any(flags[2:])
]


def _all(version, asker, state, circumstances=CASE):
    kinds = version.vocabulary.kinds
    return decide(version, asker, kinds, {kind.number: state for kind in kinds}, circumstances)


def _askers(version):
    for role in version.vocabulary.roles:
        organisation_class = "zorgverzekeraar" if role.code == "extern_zorg" else "gemeente"
        acts = frozenset(act.code for act in version.vocabulary.mandate_acts)
        for purpose in version.vocabulary.purposes:
            yield Asker(role.code, organisation_class, "basis", purpose.code, convenant=True, mandate=acts)


@pytest.fixture(scope="module")
def everything(version):
    """Every decision of profile basis that a role can come to: (asker, circumstances, state, outcome)."""
    found = []
    for asker in _askers(version):
        if asker.purpose not in (*version.vocabulary.role(asker.role).purposes, "toezicht"):
            continue
        for circumstances in ALL_CIRCUMSTANCES:
            if asker.purpose != "crisis" and circumstances.break_glass:
                continue
            for state in ALL_STATES:
                outcomes = _all(version, asker, state, circumstances)
                found += [(asker, circumstances, state, outcome) for outcome in outcomes]
    return found


def test_no_reachable_decision_is_a_failure_and_no_cell_is_missing(everything):
    assert {outcome.row for *_, outcome in everything} == set(range(2, 13)) - {10}


def test_a_visible_outcome_names_its_basis_and_the_permit_that_cedar_gave(version, everything):
    for asker, _, _, outcome in everything:
        if outcome.visible:
            rule = version.rule(outcome.rule)
            kind = version.vocabulary.kind_by_number(outcome.kind)
            assert (rule.effect, rule.role, rule.kind) == ("permit", asker.role, kind.code)
            assert outcome.basis in kind.bases
            assert asker.purpose in kind.purposes
        else:
            assert (outcome.basis, outcome.rule) == (None, 0)


def test_veilig_thuis_is_visible_to_the_liaison_only(version, everything):
    number = version.vocabulary.kind("veilig_thuis").number
    seen = {asker.role for asker, _, _, outcome in everything if outcome.visible and outcome.kind == number}

    assert seen == {"vt_liaison"}


def test_without_case_and_without_break_glass_nothing_is_visible(everything):
    for _, circumstances, _, outcome in everything:
        if not circumstances.has_case and not circumstances.break_glass:
            assert not outcome.visible


def test_a_restricted_kind_is_hidden_also_with_break_glass(everything):
    for _, _, state, outcome in everything:
        if state.restricted:
            assert (outcome.visible, outcome.row) == (False, 2)


def test_consent_as_basis_means_a_grant_and_an_explicit_one_where_asked(version, everything):
    for _, _, state, outcome in everything:
        if outcome.basis == "toestemming":
            kind = version.vocabulary.kind_by_number(outcome.kind)
            assert state.consent == "grant"
            assert state.explicit or not kind.explicit_consent


def test_roles_that_need_no_flags_see_none_and_supervision_sees_nothing(version, everything):
    allowed = {role.code for role in version.vocabulary.roles if role.bsn_allowed}
    for asker, _, _, outcome in everything:
        if outcome.visible:
            assert asker.role in allowed - {"burger", "bron"}
            assert asker.purpose != "toezicht"


def test_vital_interest_means_crisis_and_a_declared_danger(everything):
    for asker, circumstances, state, outcome in everything:
        if outcome.basis == "vitaal_belang":
            assert asker.purpose == "crisis"
            assert circumstances.break_glass
            unable = circumstances.incapable and state.consent != "deny"
            assert circumstances.others_at_risk or unable


def test_declaring_break_glass_never_closes_a_kind(everything):
    calm = {
        (asker, circumstances.has_case, state, outcome.kind)
        for asker, circumstances, state, outcome in everything
        if outcome.visible and not circumstances.break_glass
    }
    declared = {
        (asker, circumstances, state, outcome.kind): outcome.visible
        for asker, circumstances, state, outcome in everything
        if circumstances.break_glass
    }
    for (asker, circumstances, state, kind), visible in declared.items():
        if (asker, circumstances.has_case, state, kind) in calm:
            assert visible


def test_less_consent_never_opens(everything):
    order = {"deny": 0, "none": 1, "grant": 2}
    visible = {
        (asker, circumstances, state, outcome.kind): outcome.visible
        for asker, circumstances, state, outcome in everything
    }
    for (asker, circumstances, state, kind), seen in visible.items():
        if not seen:
            continue
        for consent, rank in order.items():
            if rank > order[state.consent]:
                more = state._replace(consent=consent)
                assert visible[(asker, circumstances, more, kind)]


def test_a_task_by_law_stands_whatever_was_chosen(version):
    asker = Asker("inkomensconsulent", "gemeente", "basis", "keukentafelgesprek")
    number = version.vocabulary.kind("bijstand").number
    for consent in ("none", "deny", "grant"):
        (outcome,) = [o for o in _all(version, asker, KindState(consent)) if o.kind == number]
        assert (outcome.row, outcome.basis) == (9, "wettelijke_taak")


# --- failing closed ----------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"role": "koning"},
        {"organisation_class": "kasteel"},
        {"profile": "onbekend"},
        {"profile": "utrecht"},  # not published with this version
        {"purpose": "nieuwsgierig"},
    ],
)
def test_what_the_version_does_not_know_is_hidden_as_a_failure(version, changes):
    asker = replace(Asker("inkomensconsulent", "gemeente", "basis", "huisbezoek"), **changes)

    assert {(o.visible, o.row) for o in _all(version, asker, GRANT)} == {(False, 13)}


def test_a_kind_whose_choices_could_not_be_read_is_hidden_as_a_failure(version):
    asker = Asker("inkomensconsulent", "gemeente", "basis", "huisbezoek")
    kinds = version.vocabulary.kinds_of("geld")
    states = {kind.number: GRANT for kind in kinds[1:]}

    first, *others = decide(version, asker, kinds, states, CASE)

    assert (first.visible, first.row) == (False, 13)
    assert any(outcome.visible for outcome in others)


def test_a_cell_that_is_missing_or_says_no_hides_what_a_row_would_open(version):
    asker = Asker("inkomensconsulent", "gemeente", "basis", "huisbezoek")
    key, number = ("gemeente", "basis", "inkomensconsulent", "huisbezoek"), 1
    sheet = version.table.sheets[key]
    task = sheet[number].answers["wettelijke_taak"]
    for broken in ({}, dict.fromkeys(task, 0)):
        cells = KindCells({**sheet[number].answers, "wettelijke_taak": broken}, frozenset())
        slipped = replace(version, table=Table({key: {**sheet, number: cells}}))
        outcomes = {o.kind: o for o in _all(slipped, asker, GRANT)}
        assert outcomes[number] == Outcome(number, False, 13, None, 0)
        assert (outcomes[2].visible, outcomes[2].row) == (True, 9)


def test_an_impossible_state_is_hidden_as_a_failure(version):
    asker = Asker("inkomensconsulent", "gemeente", "basis", "huisbezoek")

    assert {o.row for o in _all(version, asker, KindState("maybe"))} == {13}


@pytest.mark.parametrize("code", ["portaal", "politie_justitie", "schuldeiser", "verhuurder"])
def test_an_organisation_that_may_not_look_sees_nothing(version, code):
    danger = Circumstances(has_case=True, break_glass=True, others_at_risk=True)
    for asker in _askers(version):
        for state in (GRANT, KindState("none")):
            for circumstances in (CASE, danger) if asker.purpose == "crisis" else (CASE,):
                outcomes = _all(version, replace(asker, organisation_class=code), state, circumstances)
                assert {(o.visible, o.row) for o in outcomes} == {(False, 3)}


def test_a_partner_sees_only_the_kinds_of_its_convenant(version):
    named = frozenset({"schuldhulp"})
    asker = Asker("ketenpartner", "gemeente", "basis", "casusoverleg", convenant=named)

    seen = {version.vocabulary.kind_by_number(o.kind).code for o in _all(version, asker, GRANT) if o.visible}

    assert seen == named


def test_a_partner_of_whom_no_convenant_is_said_sees_nothing(version):
    asker = Asker("ketenpartner", "gemeente", "basis", "casusoverleg")

    assert {(o.visible, o.row) for o in _all(version, asker, GRANT)} == {(False, 3)}


def test_a_mandate_opens_the_kinds_of_its_act_and_no_other(version):
    asker = Asker("generalist_mandaat", "gemeente", "basis", "keukentafelgesprek")
    by_act = replace(asker, mandate=frozenset({"participatiewet", "bestaat_niet"}))
    none = KindState("none")

    seen = {
        version.vocabulary.kind_by_number(o.kind).code: o.row
        for o in _all(version, by_act, none)
        if o.visible
    }

    assert not [o for o in _all(version, asker, none) if o.visible]
    assert seen == dict.fromkeys(("bijstand", "bijz_bijstand", "minima", "bbz"), 9)


def test_break_glass_counts_for_the_purpose_crisis_only(version):
    asker = Asker("generalist", "gemeente", "basis", "huisbezoek")
    for has_case in (False, True):
        danger = Circumstances(has_case, break_glass=True, others_at_risk=True, incapable=True)
        assert _all(version, asker, GRANT, danger) == _all(version, asker, GRANT, Circumstances(has_case))


# --- scopes ------------------------------------------------------------------------


def test_a_question_asks_exactly_the_scopes_in_which_its_role_may_see_anything(every_profile):
    version = every_profile
    acts = frozenset(act.code for act in version.vocabulary.mandate_acts)
    danger = Circumstances(has_case=True, break_glass=True, others_at_risk=True)
    for profile in version.profiles:
        for role in version.vocabulary.roles:
            organisation_class = "zorgverzekeraar" if role.code == "extern_zorg" else "gemeente"
            for purpose in version.vocabulary.purposes:
                asker = Asker(role.code, organisation_class, profile, purpose.code, True, acts)
                reached = {
                    version.vocabulary.kind_by_number(outcome.kind).domain
                    for circumstances in ((CASE, danger) if purpose.code == "crisis" else (CASE,))
                    for outcome in _all(version, asker, GRANT, circumstances)
                    if outcome.visible
                }
                asked = scopes_for(version, role.code, purpose.code, profile)
                assert set(asked) == reached, (profile, role.code, purpose.code)
                assert asked == scopes_for(version.vocabulary, role.code, purpose.code, profile)


# --- the words of a question ---------------------------------------------------------


def test_what_is_not_said_of_a_state_does_not_hold():
    assert KindState("grant") == ("grant", False, False, "none")
    assert Circumstances(has_case=True) == Circumstances(True, False, False, False)


def test_a_failure_names_no_rule_and_no_basis(version):
    asker = Asker("inkomensconsulent", "gemeente", "basis", "huisbezoek")

    (outcome,) = decide(version, asker, [version.vocabulary.kind("ww")], {}, CASE)

    assert outcome == Outcome(version.vocabulary.kind("ww").number, False, 13, None, 0)
