"""At the table, on the pages: a code, a form with its letter, a no; and the citizen's side of each."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import Browser, Page, expect

from nodes.desk.choice_pages import qr
from nodes.errors import Refused
from tests.pages.checks import broken_rules
from tests.pages.conftest import Enter, own_machine_only
from tests.pages.test_screens import ask
from tests.pages.world import CODE, LETTER, WITH_FLAGS, WITHOUT, Site, entered_view

Check = Callable[[str], None]
TYPED = f"{CODE[:4]} {CODE[4:]}"


@pytest.fixture
def scripted(browser: Browser) -> Iterator[Page]:
    """A phone with script, which axe needs."""
    context = browser.new_context(viewport={"width": 390, "height": 844}, locale="nl-NL")
    own_machine_only(context)
    yield context.new_page()
    context.close()


@pytest.fixture
def check(scripted: Page) -> Iterator[Check]:
    wrong: list[str] = []

    def check_screen(name: str) -> None:
        wrong.extend(f"{name}: {problem}" for problem in broken_rules(scripted))

    yield check_screen
    assert wrong == []


def to_choice(page: Page, desk: Site) -> None:
    ask(page, desk, WITH_FLAGS)
    page.get_by_role("link", name="Keuze van de inwoner").click()


# --- every rule on every screen ---------------------------------------------------------


def test_the_desks_screens_hold_every_rule(scripted: Page, desk: Site, enter: Enter, check: Check) -> None:
    page = scripted
    enter(page, desk, "jan")
    to_choice(page, desk)
    check("choice")
    page.get_by_role("button", name="Maak een code").click()
    check("code")
    page.get_by_role("button", name="Is de inwoner klaar?").click()
    check("not done")
    desk.assisted.done = True
    page.get_by_role("button", name="Is de inwoner klaar?").click()
    check("done")
    page.get_by_role("link", name="Terug").click()
    page.get_by_role("link", name="Vul het formulier in").click()
    check("form")
    page.get_by_role("button", name="Vul in").click()
    check("form, nothing filled in")
    page.get_by_label("Nummer van het formulier").fill("F-17")
    page.get_by_label("Hulp bij schulden").check()
    page.get_by_label("16 jaar of ouder").check()
    page.get_by_role("button", name="Vul in").click()
    check("letter")
    page.get_by_role("link", name="Terug").click()
    page.get_by_role("link", name="De inwoner stopt").click()
    check("stop")
    page.get_by_role("button", name="De inwoner stopt").click()
    check("stop, nothing chosen")
    page.get_by_label("Wijkteam Noord ziet dit niet meer").check()
    page.get_by_label("Alles wat bij dit bezoek kan").check()
    page.get_by_role("button", name="De inwoner stopt").click()
    check("stopped")
    desk.assisted.done, desk.assisted.lasts = False, timedelta(minutes=-1)
    page.get_by_role("button", name="Maak een code").click()
    check("code that is over")
    ask(page, desk, WITH_FLAGS, WITHOUT)
    page.get_by_role("link", name="Keuze van de inwoner").click()
    check("whose choice")


def test_the_portals_screens_hold_every_rule(
    scripted: Page, portal: Site, enter: Enter, check: Check
) -> None:
    page = scripted
    page.goto(f"{portal.url}/code/{CODE}")
    check("arrived by the code")
    page.get_by_role("link", name="Inloggen").click()
    page.get_by_role("button", name="fatima", exact=True).click()
    check("code filled in")
    page.get_by_role("button", name="Ga verder").click()
    check("one team")
    page.get_by_role("button", name=re.compile("Ja.*Hulp bij schulden")).click()
    check("effect")
    page.get_by_label("3 maanden").check()
    page.get_by_role("button", name="Ja, dit mag").click()
    check("saved")
    page.goto(f"{portal.url}/mijn/team")
    page.get_by_role("button", name="Ik ben klaar").click()
    check("ready")
    page.goto(f"{portal.url}/mijn/code")
    page.get_by_role("button", name="Ga verder").click()
    check("no code")
    portal.citizens.by_employees = [
        entered_view(),
        entered_view("nee", "deny"),
        entered_view("slot", "slot", kind="", receiver=""),
        entered_view("oud", in_force=False),
    ]
    page.goto(f"{portal.url}/mijn/berichten")
    check("messages with what employees entered")
    page.get_by_role("button", name="Bekijk het formulier").click()
    check("messages, no letter code")
    page.get_by_label("Code uit de brief").fill(LETTER.lower())
    page.get_by_role("button", name="Bekijk het formulier").click()
    check("confirm")
    page.get_by_role("button", name="Ja, dit klopt").click()
    check("confirm, no period")
    page.goto(f"{portal.url}/mijn/melden")
    check("declare")
    page.get_by_role("button", name="Ik meld dit").click()
    check("declare, nothing chosen")
    portal.declarations.states = {"zelf_gemeld_werk": "declared", "zelf_gemeld_opvoeden": "waiting"}
    page.goto(f"{portal.url}/mijn/melden")
    check("declared")


# --- without JavaScript ------------------------------------------------------------------


def test_the_qr_code_is_of_the_address_and_in_the_page_itself(page: Page, desk: Site, enter: Enter) -> None:
    enter(page, desk, "jan")
    to_choice(page, desk)
    page.get_by_role("button", name="Maak een code").click()

    expect(page.get_by_text("Scan deze code met uw eigen telefoon.")).to_be_visible()
    expect(page.get_by_text(TYPED)).to_be_visible()
    drawn = page.locator("svg.vw-qr path").nth(1).get_attribute("d")
    assert drawn == qr(f"http://localhost:8626/code/{CODE}").path
    expect(page.locator("img")).to_have_count(0)
    for number in (WITH_FLAGS, WITHOUT):
        assert number not in page.content() + page.url


def test_the_drawing_is_what_segno_draws() -> None:
    import segno

    address = f"https://portaal.example/code/{CODE}"
    drawing, cells = qr(address), set()
    for x, y, width in re.findall(r"M(\d+) (\d+)h(\d+)v1h-\d+z", drawing.path):
        cells |= {(int(x) + step, int(y)) for step in range(int(width))}
    rows = list(segno.make(address, error="m", micro=False).matrix_iter(border=4))
    assert len(rows) == drawing.size
    assert cells == {(x, y) for y, row in enumerate(rows) for x, dark in enumerate(row) if dark}


def test_the_desk_sees_done_and_never_what(page: Page, desk: Site, enter: Enter) -> None:
    enter(page, desk, "jan")
    to_choice(page, desk)
    page.get_by_role("button", name="Maak een code").click()
    page.get_by_role("button", name="Is de inwoner klaar?").click()
    expect(page.get_by_text("De inwoner is nog niet klaar.")).to_be_visible()
    desk.assisted.done = True
    page.get_by_role("button", name="Is de inwoner klaar?").click()
    expect(page.get_by_text("De inwoner is klaar.", exact=True)).to_be_visible()
    assert CODE not in page.content().replace(" ", "")


def test_without_a_number_the_form_is_refused_in_words(page: Page, desk: Site, enter: Enter) -> None:
    enter(page, desk, "jan")
    to_choice(page, desk)
    page.get_by_role("link", name="Vul het formulier in").click()
    page.get_by_label("Hulp bij schulden").check()
    page.get_by_label("16 jaar of ouder").check()
    page.get_by_role("button", name="Vul in").click()
    expect(page.get_by_role("alert")).to_contain_text("Zonder nummer van het formulier is er geen ja.")
    assert desk.assisted.forms == []
    page.get_by_label("Nummer van het formulier").fill("F-17")
    desk.assisted.refuses = Refused("form-again")
    page.get_by_role("button", name="Vul in").click()
    expect(page.get_by_role("alert")).to_contain_text("Er was al een formulier, korter dan 30 dagen terug.")


def test_the_letter_fits_one_sheet_and_holds_no_number(page: Page, desk: Site, enter: Enter) -> None:
    enter(page, desk, "jan")
    to_choice(page, desk)
    page.get_by_role("link", name="Vul het formulier in").click()
    page.get_by_label("Nummer van het formulier").fill("F-17")
    page.get_by_label("Hulp bij schulden").check()
    page.get_by_label("16 jaar of ouder").check()
    page.get_by_role("button", name="Vul in").click()
    assert desk.assisted.forms == [("schuldhulp", "F-17")]
    expect(page.get_by_text(f"{LETTER[:4]} {LETTER[4:]}")).to_be_visible()
    expect(page.get_by_text("Nog niet bevestigd.")).to_be_visible()
    printed = page.pdf(format="A4")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 1
    assert WITH_FLAGS not in page.content()


def test_a_no_holds_now_and_says_so(page: Page, desk: Site, enter: Enter) -> None:
    enter(page, desk, "jan")
    to_choice(page, desk)
    page.get_by_role("link", name="De inwoner stopt").click()
    page.get_by_label("Niemand ziet dit meer op toestemming").check()
    page.get_by_label("Hulp bij schulden").check()
    page.get_by_role("button", name="De inwoner stopt").click()
    expect(page.get_by_text("De inwoner stopt. Dit geldt nu.")).to_be_visible()
    assert desk.assisted.stopped == [("slot", "schuldhulp")]


def test_an_employee_who_opens_the_link_is_not_let_in_and_uses_nothing(
    page: Page, portal: Site, enter: Enter
) -> None:
    for _ in range(3):
        page.goto(f"{portal.url}/code/{CODE}")
        expect(page.get_by_text("Log eerst in met uw eigen DigiD.")).to_be_visible()
    page.get_by_role("link", name="Inloggen").click()
    page.get_by_role("button", name="jan", exact=True).click()
    expect(page.get_by_text("Zonder burgerservicenummer kan opzoeken niet.")).to_be_visible()
    assert portal.citizens.opened_with == []


def test_the_citizen_chooses_for_one_team_and_is_done(page: Page, portal: Site, enter: Enter) -> None:
    page.goto(f"{portal.url}/code/{CODE}")
    page.get_by_role("link", name="Inloggen").click()
    page.get_by_role("button", name="fatima", exact=True).click()
    page.get_by_role("button", name="Ga verder").click()
    expect(page.get_by_text("Alleen u ziet wat u kiest.")).to_be_visible()
    expect(page.get_by_role("heading", name="Schuldhulp", exact=True)).to_have_count(0)
    page.get_by_role("button", name=re.compile("Ja.*Hulp bij schulden")).click()
    page.get_by_label("3 maanden").check()
    page.get_by_role("button", name="Ja, dit mag").click()
    assert portal.citizens.by_code == [True]
    page.get_by_role("link", name="Terug naar uw keuzes").click()
    page.get_by_role("button", name="Ik ben klaar").click()
    expect(page.get_by_text("De medewerker ziet alleen dat u klaar bent.")).to_be_visible()
    assert portal.citizens.done == [CODE]


def test_a_wrong_code_gets_one_sentence(page: Page, portal: Site, enter: Enter) -> None:
    enter(page, portal, "fatima")
    for typed in ("", "ABCD EFGH", "qq", WITH_FLAGS):
        page.goto(f"{portal.url}/mijn/code")
        page.get_by_label("Code", exact=True).fill(typed)
        page.get_by_role("button", name="Ga verder").click()
        expect(page.get_by_role("alert")).to_contain_text("Deze code werkt niet. Vraag een nieuwe code.")
        assert typed == "" or typed not in page.content()


def test_the_letters_code_confirms_the_form(page: Page, portal: Site, enter: Enter) -> None:
    portal.citizens.by_employees = [entered_view()]
    enter(page, portal, "fatima")
    page.get_by_role("link", name="Berichten").click()
    expect(page.get_by_text("Nog niet bevestigd.")).to_be_visible()
    expect(page.get_by_text("Door Wijkteam Noord, generalist wijkteam")).to_be_visible()
    page.get_by_label("Code uit de brief").fill(LETTER)
    page.get_by_role("button", name="Bekijk het formulier").click()
    page.get_by_label("6 maanden").check()
    page.get_by_role("button", name="Ja, dit klopt").click()
    expect(page.get_by_text("Vanaf nu ziet Wijkteam Noord dit.")).to_be_visible()
    assert portal.citizens.confirmed == [("form", 6)]


def test_something_is_declared_and_taken_back(page: Page, portal: Site, enter: Enter) -> None:
    enter(page, portal, "fatima")
    page.goto(f"{portal.url}/mijn/bekend")
    page.get_by_role("link", name="Iets zelf melden").click()
    page.locator("input[name=onderwerp]").first.check()
    page.locator("input[name=maanden]").first.check()
    page.get_by_role("button", name="Ik meld dit").click()
    expect(page.get_by_text("Gemeld. Niemand ziet dit, tot u ja zegt.")).to_be_visible()
    page.get_by_role("button", name=re.compile("Ik haal dit weg")).click()
    expect(page.get_by_text("Weggehaald.")).to_be_visible()
    assert portal.declarations.states == {}
