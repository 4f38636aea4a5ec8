"""The matrix is what Cedar answered, and the page says the same; explain names what decided."""

from pathlib import Path

import pytest

from policy import Asker, Circumstances, KindState, UnknownCode
from policy.content import packaged
from policy.explain import explain, in_words
from policy.matrix import as_page, as_rows, as_text, matrix, published

PAGE = Path(__file__).parents[2] / "docs" / "policy-matrix.md"
CASE = Circumstances(has_case=True)
NOTHING = KindState("none")


@pytest.fixture(scope="module")
def whole():
    return published(packaged())


def test_the_page_in_the_documentation_is_up_to_date(whole):
    assert PAGE.read_text(encoding="utf-8") == as_page(whole), (
        "run: vlagwijzer policy matrix --markdown > docs/policy-matrix.md"
    )


def test_the_matrix_shows_the_lists_of_the_vocabulary_with_marks(whole):
    found = matrix(whole, "basis")

    assert found.cells["schuldhulpverlener", "vroegsignaal"] == ("P",)
    assert found.cells["generalist_mandaat", "bijstand"] == ("Tm", "C")
    assert found.cells["generalist", "bijstand"] == ("C",)
    assert found.cells["wmo_consulent", "wmo_voorziening"] == ("T", "N")
    assert found.cells["ketenpartner", "leerplicht"] == ("Cv",)
    assert found.cells["extern_zorg", "wmo_voorziening"] == ("Cv",)
    assert "teamleider" not in found.roles
    assert found.switched_off == ("vir",)
    assert not [key for key in found.cells if key[1] == "vir"]


def test_a_profile_shows_fewer_marks_than_the_base_and_never_others(whole):
    base = matrix(whole, "basis").cells
    for profile in whole.profiles:
        cells = matrix(whole, profile).cells
        assert cells
        for key, marks in cells.items():
            assert set(marks) <= set(base[key])
    assert len(matrix(whole, "utrecht").cells) < len(base)


def test_the_matrix_comes_as_text_and_as_rows(whole):
    found = matrix(whole, "kernteam")
    text, rows = as_text(whole.vocabulary, found), as_rows(whole.vocabulary, found)

    assert "Tm/C" in text
    assert "Uitgezet" in text
    assert {"role": "ketenpartner", "kind": "schuldhulp"}.items() <= next(
        row for row in rows if row["convenant"]
    ).items()
    assert next(row for row in rows if row["mandate"])["mandate"] == ["wettelijke_taak"]
    assert len(rows) == len(found.cells)


# --- explain -------------------------------------------------------------------------------


def _explained(version, role, kind, purpose, state=NOTHING, circumstances=CASE, **asker):  # noqa: PLR0917
    who = Asker(
        role, asker.pop("organisation_class", "gemeente"), asker.pop("profile", "basis"), purpose, **asker
    )
    return explain(version, who, version.vocabulary.kind(kind), state, circumstances)


def test_explain_names_the_rule_that_decides_with_its_sentence(whole):
    found = _explained(whole, "schuldhulpverlener", "schuldhulp", "schuldregeling")

    assert (found.visible, found.row, found.rule) == (
        True,
        9,
        "schuldhulpverlener.wettelijke_taak.schuldhulp",
    )
    (permit,) = [one for one in found.bases if one.permit == found.rule]
    assert permit.sentence.startswith("Schuldhulpverlener mag zien: Hulp bij schulden.")
    assert permit.stopped_by == ()


@pytest.mark.parametrize(
    ("asked", "row", "words"),
    [
        (("generalist", "corv", "huisbezoek"), 3, "Geen regel"),
        (("jeugdprofessional", "vir", "toeleiding_jeugd"), 3, "staat uit"),
        (("ketenpartner", "schuldhulp", "casusoverleg"), 3, "convenant"),
        (("generalist_mandaat", "ww", "huisbezoek"), 12, "koos nog niet"),
        (("generalist", "bijstand", "huisbezoek", KindState("deny")), 12, "zegt nee"),
        (("generalist", "ggz", "huisbezoek", KindState("grant")), 12, "niet uitdrukkelijk"),
        (("inkomensconsulent", "ww", "huisbezoek", KindState("none", objection="upheld")), 12, "bezwaar"),
        (("inkomensconsulent", "ww", "huisbezoek", KindState("none", restricted=True)), 2, "beperking"),
        (
            ("inkomensconsulent", "ww", "huisbezoek", KindState("none"), Circumstances(False)),
            7,
            "lopende zaak",
        ),
        (("crisisdienst", "ggz", "crisis", KindState("none"), Circumstances(False, True)), 6, "spoed"),
    ],
)
def test_explain_says_why_not(whole, asked, row, words):
    found = _explained(whole, *asked)

    assert (found.visible, found.row, found.rule) == (False, row, None)
    assert words in found.reason


def test_explain_names_the_forbids_that_cedar_itself_gives(whole):
    profile = _explained(whole, "generalist", "ggz", "huisbezoek", profile="wijkteam_informatief")
    objecting = _explained(
        whole, "inkomensconsulent", "ww", "huisbezoek", KindState("none", objection="pending")
    )

    assert profile.row == 3
    assert "Informerend wijkteam" in profile.reason
    assert [stop.rule for one in objecting.bases for stop in one.stopped_by] == ["bezwaar"]


def test_explain_without_mandate_says_so(whole):
    found = _explained(whole, "generalist_mandaat", "jeugdhulp", "toeleiding_jeugd")
    mandated = _explained(
        whole, "generalist_mandaat", "jeugdhulp", "toeleiding_jeugd", mandate=frozenset({"jeugdwet"})
    )

    assert not found.visible
    assert "geen_mandaat" in [stop.rule for one in found.bases for stop in one.stopped_by]
    assert (mandated.visible, mandated.row) == (True, 9)


def test_explain_refuses_codes_that_do_not_exist(whole):
    for change in ({"profile": "weg"}, {"organisation_class": "weg"}):
        with pytest.raises(UnknownCode):
            _explained(whole, "generalist", "ww", "huisbezoek", **change)
    with pytest.raises(UnknownCode):
        _explained(whole, "koning", "ww", "huisbezoek")


def test_the_explanation_in_words_speaks_of_role_and_kind(whole):
    asker = Asker("generalist", "gemeente", "basis", "huisbezoek")
    kind = whole.vocabulary.kind("bijstand")
    words = in_words(whole, asker, kind, explain(whole, asker, kind, KindState("grant"), CASE))

    assert "Bijstand is te zien voor: Generalist wijkteam" in words
    assert "generalist.toestemming.bijstand (beslist)" in words
