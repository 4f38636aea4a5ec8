"""What a rule says is made from the rule."""

import pytest

from policy.engine import PublishError, publish
from policy.rules import packaged_rules, rule_of, rules_of
from policy.sentences import Unsayable, basis_sentence, cell_of, parse, said, say, what_role_sees


def test_every_permit_to_view_can_be_said_and_names_its_own_cell(version):
    vocabulary = version.vocabulary
    permits = [rule for rule in version.rules if rule.effect == "permit" and rule.kind]
    for rule in permits:
        words = said(vocabulary, rule)
        assert f"{words.role}.{words.basis}.{words.kind}" == rule.id
        assert vocabulary.kind(words.kind).label in words.sentence
        assert vocabulary.role(words.role).label in words.sentence

    assert len({said(vocabulary, rule).sentence for rule in permits}) == len(permits)


def test_a_rule_that_cannot_be_said_is_refused(version):
    with pytest.raises(Unsayable):
        said(version.vocabulary, version.rule(1))


def test_the_page_of_a_role_lists_what_the_role_may_see_for_a_purpose(version):
    lines = what_role_sees(version, "inkomensconsulent", "huisbezoek")

    assert {line.basis for line in lines} == {"wettelijke_taak", "toestemming"}
    assert "bijstand" in {line.kind for line in lines}
    assert not what_role_sees(version, "teamleider", "huisbezoek")
    assert not what_role_sees(version, "jeugdprofessional", "schuldregeling")


def test_the_citizen_reads_the_article_where_the_law_is_the_basis(vocabulary):
    kind = vocabulary.kind("bijstand")

    assert kind.act in basis_sentence(kind, "wettelijke_taak")
    assert "volgens de wet" not in basis_sentence(kind, "toestemming")


# --- every rule, and back ------------------------------------------------------------


def test_every_rule_of_every_profile_is_said_and_read_back_to_the_same_meaning(vocabulary):
    profiles = tuple(profile.code for profile in vocabulary.profiles)
    rules = rules_of(vocabulary, profiles)
    sentences = [say(vocabulary, rule) for rule in rules]

    assert len(set(sentences)) == len(rules) > 300
    for rule, sentence in zip(rules, sentences, strict=True):
        assert parse(vocabulary, sentence) == cell_of(rule)


@pytest.mark.parametrize(
    "condition",
    [
        'context.basis == "wettelijke_taak" || ["huisbezoek"].contains(context.purpose)',
        'context.basis != "wettelijke_taak" && ["huisbezoek"].contains(context.purpose)',
        'context.basis == "wettelijke_taak" && !(["huisbezoek"].contains(context.purpose))',
        'context.basis == "wettelijke_taak"',
        '["huisbezoek"].contains(context.purpose) && context.basis == "wettelijke_taak" && context.hasCase',
    ],
)
def test_a_permit_that_only_looks_like_one_with_a_sentence_is_refused(vocabulary, condition):
    scope = 'principal in Role::"generalist", action == Action::"view", resource == Kind::"bijstand"'
    rule = rule_of(1, "", f'@id("x")\npermit ({scope})\nwhen {{ {condition} }};')

    with pytest.raises(Unsayable):
        say(vocabulary, rule)


@pytest.mark.parametrize(
    ("condition", "sentence"),
    [
        ("context.restricted", "Niemand mag iets zien, als er een beperking geldt."),
        ("!context.hasCase", "Niemand mag iets zien, als er geen lopende zaak is."),
        (
            'context.purpose != "crisis" && (resource.art9 || !resource.enabled)',
            "Niemand mag iets zien, als het doel niet “Direct gevaar” is en (dit onderwerp extra gevoelig is "
            "of het onderwerp uit staat).",
        ),
        (
            '!(context.mandate && principal in Role::"fg")',
            "Niemand mag iets zien, als niet geldt dat (er een mandaat is en de functie “Functionaris "
            "gegevensbescherming” is).",
        ),
    ],
)
def test_a_forbid_is_said_in_dutch_and_read_back(vocabulary, condition, sentence):
    rule = rule_of(
        1, "", f'@id("x")\nforbid (principal, action == Action::"view", resource)\nwhen {{ {condition} }};'
    )

    assert say(vocabulary, rule) == sentence
    assert parse(vocabulary, sentence) == cell_of(rule)


def test_a_rule_without_a_sentence_is_not_published(vocabulary):
    wide = '@id("x")\npermit (principal, action == Action::"view", resource);'

    with pytest.raises(PublishError, match="no sentence"):
        publish(vocabulary, version=1, written=(*packaged_rules(), wide))


@pytest.mark.parametrize("text", ["", "Iedereen mag alles zien.", "Niemand mag iets zien, als het regent."])
def test_what_is_no_sentence_of_a_rule_is_not_read(vocabulary, text):
    with pytest.raises(Unsayable):
        parse(vocabulary, text)
