"""What a rule says is made from the rule."""

import pytest

from policy.sentences import Unsayable, basis_sentence, said, what_role_sees


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
