"""A vocabulary is loaded whole or not at all, and the error says where to look."""

import re
import tomllib

import pytest

from policy.entries import Kind
from policy.vocabulary import PACKAGED, VocabularyError, parse_vocabulary

TEXT = PACKAGED.read_text(encoding="utf-8")
KIND_FIELDS = list(Kind.__struct_fields__)


def _without(code: str, field: str) -> str:
    """The packaged file without one field of one kind."""
    start = TEXT.index(f'[[kind]]\ncode = "{code}"')
    end = TEXT.index("\n\n", start)
    entry = re.sub(rf"(?m)^{field} = .*\n?", "", TEXT[start:end] + "\n")
    return TEXT[:start] + entry + TEXT[end:]


def _with(code: str, field: str, value: str, table: str = "kind") -> str:
    """The packaged file with another value for one field of one entry."""
    start = TEXT.index(f'[[{table}]]\ncode = "{code}"')
    end = (TEXT + "\n\n").index("\n\n", start)
    entry, changed = re.subn(rf"(?m)^{field} = .*$", f"{field} = {value}", TEXT[start:end])
    assert changed == 1, "the test must change something"
    return TEXT[:start] + entry + TEXT[end:]


@pytest.mark.parametrize("field", KIND_FIELDS)
def test_a_kind_is_refused_by_field_and_line_when_a_field_is_missing(field):
    broken = _without("schuldhulp", field)

    with pytest.raises(VocabularyError) as caught:
        parse_vocabulary(broken)

    assert caught.value.field == field
    assert caught.value.table == "kind"
    assert caught.value.code == ("" if field == "code" else "schuldhulp")
    assert broken.splitlines()[caught.value.line - 1] == "[[kind]]"


def test_an_unknown_field_is_refused_at_its_own_line():
    broken = TEXT.replace('label = "WW-uitkering"', 'label = "WW-uitkering"\nbedrag = "hoog"')

    with pytest.raises(VocabularyError) as caught:
        parse_vocabulary(broken)

    assert (caught.value.code, caught.value.field) == ("ww", "bedrag")
    assert broken.splitlines()[caught.value.line - 1] == 'bedrag = "hoog"'


@pytest.mark.parametrize(
    ("table", "code", "field", "value"),
    [
        ("kind", "ww", "number", "0"),
        ("kind", "ww", "number", '"10"'),
        ("kind", "ww", "domain", '"belasting"'),
        ("kind", "ww", "purposes", '["huisbezoek", "toezicht"]'),
        ("kind", "ww", "purposes", "[]"),
        ("kind", "ww", "bases", '["wettelijke_taak"]'),
        ("kind", "ww", "bases", '["wettelijke_taak", "toestemming", "vitaal_belang"]'),
        ("kind", "ww", "zrm", '["werk_opleiding", "financien", "bestaat_niet"]'),
        ("zrm", "huisvesting", "kinds", '["wmo_opvang", "ww"]'),
        ("kind", "ww", "act", '""'),
        ("kind", "ww", "enabled", '"ja"'),
        ("kind", "ggz", "explicit_consent", "false"),
        ("kind", "wvggz_melding", "explicit_consent", "true"),
        ("kind", "zelf_gemeld_werk", "self_declared", '"x"'),
        ("kind", "bijstand", "self_declared", "true"),
        ("role", "ketenpartner", "toestemming", '["bestaat_niet"]'),
        ("role", "ketenpartner", "toestemming", '["vroegsignaal"]'),
        ("role", "ketenpartner", "toestemming", '["duo_schuld"]'),
        ("role", "ketenpartner", "vitaal_belang", '["ggz"]'),
        ("role", "teamleider", "bsn_allowed", '"nee"'),
        ("role", "schuldhulpverlener", "bsn_allowed", "false"),
        ("role", "schuldhulpverlener", "purposes", '["toezicht"]'),
        ("purpose", "toezicht", "consent_possible", "true"),
        ("purpose", "crisis", "path", '["hulp", "huisbezoek"]'),
        ("profile", "utrecht", "roles", '["koning"]'),
        ("profile", "utrecht", "without_kinds", '["koning"]'),
        ("mandate_act", "wgs", "kinds", '["vroegsignaal"]'),
    ],
)
def test_a_contradiction_is_refused_by_entry_and_field(table, code, field, value):
    with pytest.raises(VocabularyError) as caught:
        parse_vocabulary(_with(code, field, value, table))

    assert (caught.value.table, caught.value.code, caught.value.line > 0) == (table, code, True)


@pytest.mark.parametrize(("table", "code"), [("role", "bron"), ("kind", "ww"), ("purpose", "crisis")])
def test_a_number_that_stands_twice_is_refused(table, code):
    with pytest.raises(VocabularyError, match="twice"):
        parse_vocabulary(_with(code, "number", "1", table))


def test_text_that_is_not_toml_is_refused_with_its_line():
    with pytest.raises(VocabularyError) as caught:
        parse_vocabulary("version = 2\nlabel = = 3\n")

    assert caught.value.line == 2


def test_the_packaged_vocabulary_says_what_the_design_says(shared):
    designed = tomllib.loads((shared / "vocabulary.toml").read_text(encoding="utf-8"))

    assert tomllib.loads(TEXT) == designed


def test_two_vocabularies_have_one_hash_exactly_when_they_say_the_same():
    as_packaged = parse_vocabulary(TEXT)

    assert parse_vocabulary("# a comment\n" + TEXT).hash == as_packaged.hash
    assert parse_vocabulary(_with("ww", "label", '"WW"')).hash != as_packaged.hash


def test_kinds_are_found_by_code_by_number_and_by_scope(vocabulary):
    assert vocabulary.kind("schuldhulp") is vocabulary.kind_by_number(5)
    assert {kind.domain for kind in vocabulary.kinds_of("zorg")} == {"zorg"}
    assert sum(len(vocabulary.kinds_of(scope.code)) for scope in vocabulary.scopes) == len(vocabulary.kinds)
    assert not vocabulary.has_kind("bestaat_niet")
