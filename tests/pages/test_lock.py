"""Everything locked, or one domain, in the portal: the effect first, and the way back too."""

from playwright.sync_api import Browser, Page, expect

from nodes.citizen import Effects
from tests.pages.checks import broken_rules
from tests.pages.conftest import Enter, own_machine_only
from tests.pages.world import ALL_KINDS, NOORD, VISITING, Site, cells


def test_a_citizen_locks_money_and_opens_it_again(page: Page, portal: Site, enter: Enter) -> None:
    citizens = portal.citizens
    citizens.granted = {"een": ("schuldhulp",)}
    enter(page, portal, "fatima")
    page.goto(f"{portal.url}/mijn")
    page.get_by_role("link", name="Alles op slot").click()
    page.get_by_role("button", name="Bekijk wat er verandert").click()
    expect(page.get_by_role("alert")).to_contain_text("Kies wat op slot gaat.")
    page.get_by_label("Alles over geld").check()
    page.get_by_role("button", name="Bekijk wat er verandert").click()
    assert citizens.changes == []
    expect(page.get_by_role("main")).to_contain_text("Dit ziet niemand meer op toestemming:")
    expect(page.get_by_role("main")).to_contain_text("Dit mag volgens de wet")
    page.get_by_role("button", name="Zet op slot").click()
    assert [(one.effect, one.kind, one.domain) for one in citizens.changes] == [("slot", "", "geld")]
    assert citizens.texts[-1].endswith("Alles over geld")

    citizens.undoing = Effects(cells(["schuldhulp"], NOORD, "generalist", VISITING), [], [])
    page.goto(f"{portal.url}/mijn/slot")
    expect(page.get_by_role("main")).to_contain_text("Dit staat nu op slot")
    page.get_by_role("button", name="Ik open dit slot").click()
    expect(page.get_by_role("main")).to_contain_text("Dit wordt weer zichtbaar:")
    assert citizens.locks
    page.get_by_role("button", name="Ik open dit slot").click()
    expect(page.get_by_role("main")).to_contain_text("Dit slot is open.")
    assert citizens.locks == {}


def test_a_second_tab_or_click_saves_nothing_twice(page: Page, portal: Site, enter: Enter) -> None:
    enter(page, portal, "fatima")
    page.goto(f"{portal.url}/mijn/slot")
    page.get_by_label("Alles over zorg").check()
    page.get_by_role("button", name="Bekijk wat er verandert").click()
    other = page.context.new_page()
    other.goto(f"{portal.url}/mijn/slot")
    other.get_by_label("Alles over werk").check()
    other.get_by_role("button", name="Bekijk wat er verandert").click()
    page.get_by_role("button", name="Zet op slot").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Op slot")
    assert portal.citizens.changes == []


def test_its_screens_hold_every_rule(browser: Browser, portal: Site, enter: Enter) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, locale="nl-NL")
    own_machine_only(context)
    page, wrong = context.new_page(), []
    portal.citizens.granted = {"een": ALL_KINDS}
    enter(page, portal, "fatima")
    for address in ("/mijn/slot", "/mijn/slot/gevolg", "/mijn/slot", "/mijn/slot/open"):
        page.goto(f"{portal.url}{address}")
        wrong += broken_rules(page)
        page.goto(f"{portal.url}/mijn/slot")
        page.get_by_label("Alles", exact=True).check()
        page.get_by_role("button", name="Bekijk wat er verandert").click()
        portal.citizens.locks = {"slot-een": ""}
    page.goto(f"{portal.url}/mijn/slot")
    page.get_by_role("button", name="Ik open dit slot").click()
    wrong += broken_rules(page)
    context.close()
    assert wrong == []
