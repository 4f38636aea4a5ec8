"""What would change: exactly, and cell by cell."""

from policy.content import Content, packaged
from policy.difference import counted, difference, in_words
from policy.vocabulary import PACKAGED, parse_vocabulary

TEXT = PACKAGED.read_text(encoding="utf-8")
SEES = 'toestemming = ["ww", "duo_schuld", "wmo_voorziening", "zelf_gemeld_geldzorgen"]'
SEES_OTHER = 'toestemming = ["ww", "duo_schuld", "jeugdhulp", "zelf_gemeld_geldzorgen"]'
OLD = packaged()


def _content(vocabulary: str = TEXT, old: str = "", new: str = "") -> Content:
    written = tuple(text.replace(old, new) if old else text for text in OLD.written)
    return Content(parse_vocabulary(vocabulary), written)


def test_no_change_is_an_answer_also_when_the_rules_are_written_otherwise():
    same = _content(old="context.restricted", new="context.restricted == true")

    assert same.written != OLD.written
    assert difference(OLD, OLD).nothing
    assert difference(OLD, same).nothing


def test_a_kind_exchanged_for_another_opens_and_closes_exactly_those_cells():
    found = difference(OLD, _content(TEXT.replace(SEES, SEES_OTHER)), ["basis", "utrecht"])

    cells = {(one.sort, one.profile, one.kind, one.purpose) for one in found.changes}
    purposes = ("huisbezoek", "keukentafelgesprek")
    assert cells == {("opened", "basis", "jeugdhulp", purpose) for purpose in purposes} | {
        ("closed", "basis", "wmo_voorziening", purpose) for purpose in purposes
    }
    assert {(one.role, one.basis) for one in found.changes} == {("schuldhulpverlener", "toestemming")}
    assert (set(found.gained), set(found.lost)) == ({"basis"}, {"basis"})
    assert found.gained["basis"].kind == "jeugdhulp"
    assert found.gained["basis"].consent == "grant"
    assert found.lost["basis"].kind == "wmo_voorziening"


def test_a_weaker_forbid_widens_cells_that_were_open_already():
    weaker = _content(old='context.objection == "upheld" || ', new="")
    found = difference(OLD, weaker, ["transitieproof"])

    assert {one.sort for one in found.changes} == {"wider"}
    assert {one.basis for one in found.changes} == {"wettelijke_taak"}
    assert found.gained["transitieproof"].objection == "upheld"
    assert found.lost == {}
    assert {one.sort for one in difference(weaker, OLD, ["transitieproof"]).changes} == {"narrower"}


def test_a_switch_and_an_organisation_class_are_part_of_the_difference():
    on = TEXT.replace("enabled = false", "enabled = true")
    opened = difference(OLD, _content(on), ["basis"]).changes
    assert {(one.sort, one.role, one.kind) for one in opened} == {("opened", "jeugdprofessional", "vir")}

    line = '{ code = "zorgverzekeraar", label = "Zorgverzekeraar", may_view = true'
    shut = difference(OLD, _content(TEXT.replace(line, line.replace("true", "false"))), ["basis"])
    assert {(one.sort, one.role) for one in shut.changes} >= {("narrower", "extern_zorg")}
    assert shut.lost["basis"].organisation_class == "zorgverzekeraar"


def test_a_difference_is_told_in_dutch_and_counted_by_role_and_by_kind():
    new = _content(TEXT.replace(SEES, SEES_OTHER))
    found = difference(OLD, new, ["basis", "kernteam"])

    opened, closed = in_words(OLD.vocabulary, new.vocabulary, found.changes)

    assert opened.startswith("Schuldhulpverlener mag nu ook zien: Jeugdhulp. Waarvoor: huisbezoek en keuken")
    assert opened.endswith("[basis, kernteam]")
    assert closed.startswith("Schuldhulpverlener ziet niet meer: Hulp van de Wmo.")
    grouped = counted(found.changes)
    assert grouped["role"] == {"schuldhulpverlener": {"opened": 4, "closed": 4}}
    assert grouped["kind"] == {"jeugdhulp": {"opened": 4}, "wmo_voorziening": {"closed": 4}}


def test_profiles_that_come_and_go_are_named():
    fewer = TEXT[: TEXT.index('[[profile]]\ncode = "utrecht"')]

    assert difference(OLD, _content(fewer), ["basis"]).profiles_removed == ("utrecht",)
    assert difference(_content(fewer), OLD, ["basis"]).profiles_added == ("utrecht",)
