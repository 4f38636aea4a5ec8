"""The kitchen-table sheet: one A4, and stored nowhere."""

import re
from importlib.resources import files

import pytest
from playwright.sync_api import Browser, Page, expect

from nodes.desk.sheet import AGREEMENTS, LONGEST, PEOPLE, lines_of
from tests.pages.checks import broken_rules, numbers_in
from tests.pages.client import Plain
from tests.pages.conftest import Enter, own_machine_only
from tests.pages.world import WITH_FLAGS, Site, node_site, served

WORD = "Kwastelbloem"
A4_PAGES = re.compile(rb"/Type\s*/Page\b")


def full(text: str, rows: int = 6) -> dict[str, str]:
    """Every field of so many rows filled in with a text."""
    names = (*PEOPLE, *AGREEMENTS)
    return {f"{name}-{place}": text for name in names for place in range(1, rows + 1)}


def filled(page: Page, site: Site, values: dict[str, str], *options: str) -> None:
    page.goto(f"{site.url}/blad")
    for summary in page.locator("summary").all():
        summary.click()
    for id_, value in values.items():
        page.locator(f"#{id_}").fill(value)
    for option in options:
        page.get_by_label(option).check()
    page.get_by_role("button", name="Maak het blad").click()


def test_six_people_and_six_agreements_print_on_one_sheet(page: Page, desk: Site, enter: Enter) -> None:
    enter(page, desk, "jan")
    filled(page, desk, {**full("Tante Ria"), "eerst": "Ria, 06-12345678", "weer": "dinsdag 1 december"})
    expect(page.get_by_role("heading", name="Ons plan")).to_be_visible()
    expect(page.get_by_text("Bij gevaar: bel 112")).to_be_visible()
    expect(page.get_by_text("Dit blad is van u. Wij bewaren het niet.")).to_be_visible()
    expect(page.get_by_text("Wij zien elkaar weer op dinsdag 1 december")).to_be_visible()
    assert page.locator(".vw-sheet td").count() == 36
    assert len(A4_PAGES.findall(page.pdf(prefer_css_page_size=True))) == 1
    letters = page.evaluate("parseFloat(getComputedStyle(document.querySelector('.vw-sheet td')).fontSize)")
    assert letters >= 14 * 96 / 72 - 0.01


@pytest.mark.parametrize("option", [{}, {"groot": "ja"}], ids=["14 points", "18 points"])
@pytest.mark.parametrize("unit", ["WM ", "verantwoordelijkheid ", "ik "])
def test_what_is_taken_prints_on_one_sheet_and_the_rest_is_refused(
    page: Page, desk: Site, unit: str, option: dict[str, str]
) -> None:
    """The longest text that is taken, of wide letters, long words and many words, is printed as it is."""
    jan, most = Plain(desk), 0
    for length in range(3, LONGEST + 1):
        text = (unit * LONGEST)[:length].strip()
        answer = jan.post("/blad", {**full(text), "eerst": text, "weer": text, **option})
        if answer.status_code == 400:
            assert "Dit past niet op 1 blad." in answer.text
            assert answer.text.count(f'value="{text}"') == 38
            break
        most, taken = length, answer.text
    assert most >= 6
    page.set_content(styled(taken))
    assert len(A4_PAGES.findall(page.pdf(prefer_css_page_size=True))) == 1, most


def styled(html: str) -> str:
    """A page with its style sheet inside, to be shown without its site."""
    style = (files("consent.pages") / "static" / "style.css").read_text()
    return html.replace("</head>", f"<style>{style}</style></head>")


def test_lines_are_reckoned_rather_too_many_than_too_few() -> None:
    assert lines_of("", 100, 14) == 1
    assert lines_of("i", 100, 14) == 1
    assert lines_of("W" * 20, 100, 14) >= 3
    assert lines_of("aan het werk gaan", 100, 14) == 2


def test_easy_language_and_no_municipality_can_be_chosen(issuer: str) -> None:
    with served(node_site({"desk"}, issuer, organisation_name="Gemeente Waterrijk")) as site:
        jan = Plain(site)
        plain = jan.post("/blad", {"naam-1": "Ria"}).text
        assert "Met Gemeente Waterrijk." in plain
        easy = jan.post("/blad", {"naam-1": "Ria", "makkelijk": "ja", "zonder": "ja"}).text
    sheet = easy[easy.index("<article") : easy.index("</article>")]
    assert "Wie helpt mij?" in sheet
    assert "gemeente" not in sheet.lower()


def test_a_number_of_a_person_comes_on_no_sheet_and_a_telephone_number_does(desk: Site) -> None:
    jan = Plain(desk)
    for written in (WITH_FLAGS, f"{WITH_FLAGS[:4]}.{WITH_FLAGS[4:6]}.{WITH_FLAGS[6:]}", f"bsn {WITH_FLAGS}"):
        refused = jan.post("/blad", {"naam-1": "Ria", "telefoon-1": written})
        assert refused.status_code == 400
        assert "Zet geen burgerservicenummer op het blad." in refused.text
        assert numbers_in(refused.text) == 0
        assert 'value="Ria"' in refused.text
    assert jan.post("/blad", {"telefoon-1": "06 1234 56 78"}).status_code == 200


def test_a_login_that_ended_loses_nothing_and_another_site_gets_nothing(desk: Site) -> None:
    stranger = Plain(desk)
    assert WORD in stranger.post("/blad", {"naam-1": WORD}).text
    assert stranger.cookies == {}
    assert stranger.get("/blad").status_code == 401
    elsewhere = stranger.post("/blad", {"naam-1": WORD}, Origin="http://localhost:1")
    assert elsewhere.status_code == 403
    assert WORD not in elsewhere.text


def test_what_was_typed_can_be_changed(page: Page, desk: Site, enter: Enter) -> None:
    enter(page, desk, "jan")
    filled(page, desk, {"naam-1": WORD, "wat-3": "post openen"}, "Makkelijke taal")
    expect(page.get_by_text("post openen")).to_be_visible()
    page.get_by_role("button", name="Wijzig het blad").click()
    expect(page.locator("#naam-1")).to_have_value(WORD)
    expect(page.locator("#wat-3")).to_have_value("post openen")
    expect(page.get_by_label("Makkelijke taal")).to_be_checked()


def test_after_klaar_the_sheet_is_offered(page: Page, desk: Site, enter: Enter) -> None:
    enter(page, desk, "jan")
    page.goto(f"{desk.url}/kijken/klaar")
    page.get_by_role("link", name="Maak een blad voor op de koelkast").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Op de koelkast")


def test_its_screens_hold_every_rule(browser: Browser, desk: Site, enter: Enter) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    own_machine_only(context)
    page = context.new_page()
    enter(page, desk, "jan")
    page.goto(f"{desk.url}/blad")
    wrong = {"form": broken_rules(page)}
    page.locator("#naam-1").fill("Ria")
    page.locator("#telefoon-1").fill(WITH_FLAGS)
    page.locator("form button.vw-button").click()
    expect(page.get_by_role("alert")).to_be_visible()
    wrong["a number"] = broken_rules(page)
    page.locator("#telefoon-1").fill("06 1234 5678")
    page.locator("form button.vw-button").click()
    expect(page.locator(".vw-sheet")).to_be_visible()
    wrong["sheet"] = broken_rules(page)
    context.close()
    assert wrong == {"form": [], "a number": [], "sheet": []}
