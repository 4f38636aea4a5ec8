"""P1 to P13: they hold as packaged, and a planted rule that breaks one is found by name."""

import json

import pytest

from policy.engine import bundle
from policy.proof.properties import PROPERTIES, REQUIRED, holds, in_words, prove
from policy.proof.world import Untranslatable, World
from policy.rules import RuleError, rule_of, rules_of
from policy.table import Question


def _permit(role: str, kind: str, basis: str, purpose: str) -> str:
    who = f'principal in Role::"{role}"' if role else "principal"
    return (
        f'@id("geplant")\npermit ({who}, action == Action::"view", resource == Kind::"{kind}")\n'
        f'when {{ context.basis == "{basis}" && ["{purpose}"].contains(context.purpose) }};'
    )


_YES_CLOSES = (
    '@id("geplant")\nforbid (principal, action == Action::"view", resource)\n'
    'when { context.basis == "wettelijke_taak" && context.consent == "grant" };'
)

PLANTED: dict[str, tuple[str, tuple[str, ...]]] = {
    "P1": (_permit("generalist", "veilig_thuis", "wettelijke_taak", "crisis"), ("alleen_liaison",)),
    "P2": ("", ("geen_zaak",)),
    "P3": ("", ("beperking",)),
    "P4": ("", ("niet_uitdrukkelijk",)),
    "P5": (_permit("fg", "bijstand", "wettelijke_taak", "huisbezoek"), ()),
    "P6": (_permit("", "bijstand", "wettelijke_taak", "huisbezoek"), ()),
    "P7": (_permit("generalist", "bijstand", "wettelijke_taak", "crisis"), ()),
    "P8": (_permit("generalist", "bijstand", "wettelijke_taak", "toezicht"), ("toezicht",)),
    "P9": (_permit("schuldhulpverlener", "duo_schuld", "wettelijke_taak", "schuldregeling"), ()),
    "P10": (_permit("generalist", "ggz", "vitaal_belang", "huisbezoek"), ("spoed_ander_doel",)),
    "P11": (_permit("teamleider", "bijstand", "wettelijke_taak", "huisbezoek"), ()),
    "P12": (_YES_CLOSES, ()),
    "P13": ("", ("organisatie_mag_niet_kijken",)),
}
"""Per property a rule to add, and rules of the base set to leave out."""


def _planted(vocabulary, code, profiles):
    text, left_out = PLANTED[code]
    rules = [rule for rule in rules_of(vocabulary, profiles) if rule.id not in left_out]
    return [*rules, rule_of(9999, "", text)] if text else rules


def test_p1_to_p12_hold_for_every_profile_and_p13_where_no_insurer_may_look(vocabulary):
    profiles = tuple(profile.code for profile in vocabulary.profiles)
    proofs = prove(vocabulary, rules_of(vocabulary, profiles), profiles)

    assert len(proofs) == 13 * len(profiles) == 143
    assert holds(proofs)
    broken = {(proof.code, proof.profile) for proof in proofs if not proof.holds}
    assert broken == {("P13", "basis"), ("P13", "geclusterd_elders")}


@pytest.mark.parametrize("code", PROPERTIES)
def test_a_planted_rule_that_breaks_a_property_is_found_with_an_example_that_cedar_confirms(vocabulary, code):
    # An insurer may look in the base set, so P13 is tried where it holds.
    profile = "utrecht" if code == "P13" else "basis"
    rules = _planted(vocabulary, code, (profile,))
    (before,) = prove(vocabulary, rules_of(vocabulary, (profile,)), (profile,), only=[code])
    (proof,) = prove(vocabulary, rules, (profile,), only=[code])

    assert before.holds
    assert not proof.holds
    example = proof.counterexample
    assert _cedar_allows(vocabulary, rules, example.request) is not (code == "P12")
    if example.instead is not None:
        assert _cedar_allows(vocabulary, rules, example.instead)


def _cedar_allows(vocabulary, rules, request):
    """Cedar's own answer; a request without any role is asked with one that no rule names."""
    role = request.roles[0] if request.roles else "niemand"
    context = {
        "purpose": request.purpose,
        "basis": request.basis,
        "consent": request.consent,
        "objection": request.objection,
        **request.flags,
    }
    asker = (request.organisation_class, request.profile, role)
    whole = bundle(vocabulary, rules, asker, sliced=False)
    (answer,) = whole.ask([Question(request.kind, json.dumps(context))])
    return bool(answer)


def test_a_counterexample_names_role_kind_purpose_basis_and_state_in_dutch(vocabulary):
    (proof,) = prove(vocabulary, _planted(vocabulary, "P7", ("basis",)), ("basis",), only=["P7"])

    words = in_words(vocabulary, proof.counterexample)

    for part in ("Generalist wijkteam", "Bijstand", "Direct gevaar", "Taak uit de wet", "lopende zaak"):
        assert part in words, words


def test_a_counterexample_to_monotony_names_both_choices(vocabulary):
    (proof,) = prove(vocabulary, _planted(vocabulary, "P12", ("basis",)), ("basis",), only=["P12"])

    words = in_words(vocabulary, proof.counterexample)

    assert "Niet te zien" in words
    assert "zegt ja" in words
    assert "alleen dit anders is" in words


def test_one_broken_required_property_in_one_profile_is_enough_to_refuse(vocabulary):
    rules = _planted(vocabulary, "P3", ("basis", "utrecht"))

    assert not holds(prove(vocabulary, rules, ("utrecht",), only=["P2", "P3"]))
    assert holds(prove(vocabulary, rules, ("utrecht",), only=["P2"]))
    assert set(REQUIRED) == set(PROPERTIES) - {"P13"}


def test_switches_and_mandates_cannot_leave_the_proven_space(vocabulary):
    """`vir` is switched off as packaged: a permit that only shows once it is on is found now."""
    rules = [
        *rules_of(vocabulary, ("basis",)),
        rule_of(9999, "", _permit("fg", "vir", "wettelijke_taak", "crisis")),
    ]

    (proof,) = prove(vocabulary, rules, ("basis",), only=["P5"])

    assert not proof.holds
    assert proof.counterexample.request.kind == "vir"


def test_a_rule_outside_the_subset_never_reaches_a_proof(vocabulary):
    rule = rules_of(vocabulary, ("basis",))[0]
    strange = {**rule.syntax, "conditions": [{"kind": "when", "body": {"like": {}}}]}
    smuggled = type(rule)(*[getattr(rule, name) for name in rule.__slots__[:-1]], strange)

    with pytest.raises(Untranslatable):
        World(vocabulary).allows(vocabulary, [smuggled])
    with pytest.raises(RuleError):
        rule_of(
            1, "", '@id("x")\npermit (principal, action == Action::"view", resource) when { resource has x };'
        )
