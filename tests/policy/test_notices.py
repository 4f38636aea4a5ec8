"""Letters, register and annex say what the vocabulary says, in both languages."""

import re

import pytest

from policy.content import packaged
from policy.matrix import matrix, published
from policy.notices import (
    BLANKS,
    Organisation,
    as_html,
    as_markdown,
    as_text,
    blanks,
    notices,
    register,
    register_markdown,
)

WHO = Organisation("Gemeente Voorbeeld", "Plein 1", "Mevrouw <De Vries>", "voorbeeld.nl")


@pytest.fixture(scope="module")
def base():
    return published(packaged(), ("basis", "utrecht"))


def test_every_kind_that_is_on_has_a_letter_with_all_that_the_law_asks(base):
    letters = {one.kind: as_text(one) for one in notices(base, WHO)}
    vocabulary = base.vocabulary

    assert set(letters) == {kind.code for kind in vocabulary.kinds if kind.enabled}
    for kind in vocabulary.kinds:
        if not kind.enabled:
            continue
        text = letters[kind.code]
        for part in (kind.label, kind.sentence, kind.act, kind.source, WHO.controller, WHO.dpo, WHO.website):
            assert part in text
        assert text.count("Autoriteit Persoonsgegevens") == 2
        for purpose in kind.purposes:
            assert f"{vocabulary.purpose(purpose).label}." in text
        if kind.retention_days_after_end:
            assert f"{kind.retention_days_after_end} dagen" in text
            assert f"{kind.retention_days_after_end} days" in text
        assert ("bezwaar maken" in text) == ("wettelijke_taak" in kind.bases)
        assert ("uitdrukkelijk ja" in text) == kind.explicit_consent
        assert ("om een kind te beschermen" in text) == kind.compelling_child_safety


def test_the_receivers_are_the_roles_of_the_matrix(base):
    found = matrix(base, "utrecht")
    for letter in notices(base, WHO, "utrecht"):
        (lines,) = [lines for heading, lines in letter.dutch if heading == "Wie kan dit zien?"]
        roles = [role for role in found.roles if (role, letter.kind) in found.cells]
        assert list(lines) == [f"{base.vocabulary.role(role).label}." for role in roles] or lines == (
            "Op dit moment niemand.",
        )
        assert bool(roles) == (lines != ("Op dit moment niemand.",))


def test_both_languages_have_the_same_blocks(base):
    for letter in notices(base, WHO):
        assert len(letter.dutch) == len(letter.english) == 7
        assert [len(lines) for _, lines in letter.dutch] == [len(lines) for _, lines in letter.english]
        assert not {heading for heading, _ in letter.dutch} & {heading for heading, _ in letter.english}


def test_what_the_organisation_did_not_give_is_a_named_blank(base):
    letter = as_text(notices(base, Organisation())[0])

    assert blanks(Organisation()) == tuple(BLANKS)
    assert blanks(WHO) == ()
    for dutch, english in BLANKS.values():
        assert dutch in letter
        assert english in letter


def test_html_is_escaped_and_markdown_has_headings(base):
    letter = notices(base, WHO)[0]
    html, markdown = as_html(letter), as_markdown(letter)

    assert "<De Vries>" not in html
    assert "&lt;De Vries&gt;" in html
    assert '<article lang="nl">' in html
    assert '<article lang="en">' in html
    assert len(re.findall(r"(?m)^## ", markdown)) == 12


def test_the_register_has_a_row_for_every_kind_with_every_field(base):
    rows = register(base, WHO)

    assert [row.kind for row in rows] == [kind.code for kind in base.vocabulary.kinds]
    for row, kind in zip(rows, base.vocabulary.kinds, strict=True):
        assert row.act == kind.act
        assert row.special == kind.art9_or_10
        assert len(row.bases) == len(kind.bases)
        assert len(row.purposes) == len(kind.purposes)
        assert str(kind.retention_days_after_end) in row.retention
        assert row.controller == WHO.controller
    page = register_markdown(rows, title="Register")
    assert page.count("\n## ") == len(rows)
