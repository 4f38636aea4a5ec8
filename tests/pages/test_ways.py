"""Two ways of working, one product: a team chooses when is looked and how it is shown, never what."""

import re

import pytest
from playwright.sync_api import Page, expect

from consent.pages.names import Names
from policy.vocabulary import Way, load_vocabulary
from tests.pages.checks import broken_rules
from tests.pages.client import Plain
from tests.pages.conftest import Enter
from tests.pages.test_screens import ask
from tests.pages.test_screens import page as scripted
from tests.pages.world import FLAGS, UNKNOWN, WITH_FLAGS, WITHOUT, Site

__all__ = ["scripted"]
WAYS = {
    "little first": Way("wijkteam-noord", "list"),
    "zrm": Way("wijkteam-noord", "zrm"),
    "at the table": Way("wijkteam-noord", "list", together=("huisbezoek",)),
    "zrm, at the table": Way("wijkteam-noord", "zrm", together=("huisbezoek",)),
}
VOCABULARY = load_vocabulary()


def looked(desk: Site, *numbers: str) -> list[str]:
    """Every page of one visit up to the subjects, random ids and form tokens left out."""
    jan = Plain(desk)
    jan.log_in("jan")
    path = "/kijken/wie?doel=huisbezoek"
    form = {"csrf": jan.token(path), "doel": "huisbezoek", "zaak": "Z-1"}
    form |= {f"nummer-{place}": number for place, number in enumerate(numbers, 1)}
    first = jan.post("/kijken/wie", form).headers["location"]
    pages = [jan.get(first).text]
    visit = first.removesuffix("/samen")
    answer = jan.post(f"{visit}/onderwerpen", {"csrf": jan.token(first)})
    pages.append(jan.get(answer.headers["location"]).text)
    return [re.sub(r'value="[^"]+"|/bezoeken/\w+|%2Fbezoeken%2F\w+', "", page) for page in pages]


@pytest.mark.parametrize("way", WAYS)
def test_hidden_and_absent_are_the_same_page_in_each_way(desk: Site, way: str) -> None:
    desk.visits.works = WAYS[way]
    desk.visits.flags = {WITH_FLAGS: []}  # all that is there is hidden: the node is given nothing
    pages = [looked(desk, number) for number in (WITH_FLAGS, WITHOUT, UNKNOWN)]
    assert pages[0] == pages[1] == pages[2]
    assert "Er is niets zichtbaar." in pages[0][1]


@pytest.mark.parametrize("way", WAYS)
def test_the_same_flags_stand_on_the_page_in_each_way(desk: Site, way: str) -> None:
    desk.visits.works = WAYS[way]
    page = looked(desk, WITH_FLAGS)[1]
    for flag in FLAGS:
        assert flag.label in page
    assert "14 000, keuze 4" in page
    assert "Dit overzicht hoeft niet compleet te zijn." in page


@pytest.mark.parametrize("way", WAYS)
def test_how_often_is_asked_and_recorded(desk: Site, way: str) -> None:
    """Little first asks whether and then what; at the table nothing is asked before the button."""
    desk.visits.works = WAYS[way]
    first = looked(desk, WITH_FLAGS)[0]
    asked = [detail for _, detail in desk.visits.questions]
    if desk.visits.works.together:
        assert "Kijk samen met de inwoner." in first
        assert "Er is nog niets bekeken." in first
        assert asked == ["subjects"]
    else:
        assert asked == [{"list": "presence", "zrm": "subjects"}[desk.visits.works.view], "subjects"]


def test_all_thirteen_life_domains_always_stand_there_in_one_order(desk: Site) -> None:
    desk.visits.works = WAYS["zrm"]
    headings = []
    for number in (WITH_FLAGS, WITHOUT):
        page = looked(desk, number)[0]
        headings.append(re.findall(r'<li class="vw-area"><h2>([^<]+)</h2>', page))
    names = Names(VOCABULARY, "nl")
    assert headings[0] == headings[1] == [names.area(one.code) for one in VOCABULARY.zrm]
    assert len(headings[0]) == 13


def test_no_score_is_asked_or_shown(desk: Site) -> None:
    desk.visits.works = WAYS["zrm"]
    page = looked(desk, WITH_FLAGS)[0]
    assert "Vul de scores in uw eigen systeem in." in page
    assert re.findall(r'<(?:input|select|textarea)\b(?![^>]*type="hidden")', page) == []
    assert page.lower().count("score") == 1


def test_a_household_has_the_domains_of_each_person(desk: Site) -> None:
    desk.visits.works = WAYS["zrm"]
    page = looked(desk, WITHOUT, WITH_FLAGS)[0]
    assert page.count('<li class="vw-area"><h3>') == 26
    assert page.index("Persoon 1") < page.index("Persoon 2") < page.index("Hulp bij schulden")


def test_looking_again_from_own_visits_goes_to_the_table_too(desk: Site) -> None:
    desk.visits.works = WAYS["at the table"]
    looked(desk, WITH_FLAGS)
    asked = len(desk.visits.questions)
    jan = Plain(desk)
    jan.log_in("jan")
    (visit,) = desk.visits.opened
    again = jan.post(f"/bezoeken/{visit}/bekijken", {"csrf": jan.token("/bezoeken")})
    assert again.headers["location"] == f"/bezoeken/{visit}/samen"
    assert len(desk.visits.questions) == asked


def test_across_a_table_the_letters_are_large(page: Page, desk: Site, enter: Enter) -> None:
    sizes = {}
    for way in ("little first", "at the table"):
        desk.visits.works = WAYS[way]
        if way == "little first":
            enter(page, desk, "jan")
        ask(page, desk, WITH_FLAGS)
        page.get_by_role("button", name="Toon de onderwerpen").click()
        expect(page.get_by_text("Hulp bij schulden, sinds maart 2025.")).to_be_visible()
        script = "parseFloat(getComputedStyle(document.querySelector('.vw-flag strong')).fontSize)"
        sizes[way] = page.evaluate(script)
    assert sizes["at the table"] >= 1.3 * sizes["little first"]
    assert sizes["at the table"] >= 24


def test_its_screens_hold_every_rule(scripted: Page, desk: Site, enter: Enter) -> None:
    page, wrong = scripted, {}
    enter(page, desk, "jan")
    desk.visits.works = WAYS["zrm, at the table"]
    ask(page, desk, WITH_FLAGS, WITHOUT)
    expect(page.get_by_text("Er is nog niets bekeken.")).to_be_visible()
    wrong["at the table"] = broken_rules(page)
    page.get_by_role("button", name="Toon de onderwerpen").click()
    expect(page.get_by_text("Vul de scores in uw eigen systeem in.")).to_be_visible()
    wrong["zrm"] = broken_rules(page)
    page.get_by_role("link", name="English").click()
    expect(page.get_by_text("Enter the scores in your own system.")).to_be_visible()
    wrong["zrm, in English"] = broken_rules(page)
    assert wrong == {"at the table": [], "zrm": [], "zrm, in English": []}


@pytest.mark.parametrize(
    ("role", "within"),
    [
        ("wmo_consulent", "Wmo-consulent"),
        ("generalist_wmo", "generalist met Wmo-mandaat"),
        ("jeugd_intake", "jeugd-intake (CORV)"),
        ("vt_liaison", "liaison Veilig Thuis"),
    ],
)
def test_an_abbreviation_keeps_its_capitals_inside_a_sentence(role: str, within: str) -> None:
    assert Names(VOCABULARY, "nl").role_within(role) == within
