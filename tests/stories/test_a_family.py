"""A family in a running federation: parents choose for a child of 8, a youth of 14 has a say beside them."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.federation import Federation
from tests.pages.checks import broken_rules
from tests.pages.conftest import own_machine_only

from .clicking import log_in, look


@pytest.fixture
def jan(chromium: Browser, federation: Federation) -> Page:
    return log_in(chromium, federation.info["pages"]["desk"], "jan")


@pytest.fixture
def with_script(chromium: Browser) -> Iterator[Page]:
    """A narrow window with script, which axe needs; everything else here is without."""
    context = chromium.new_context(viewport={"width": 390, "height": 844}, locale="nl-NL")
    own_machine_only(context)
    yield context.new_page()
    context.close()


def typed(page: Page, address: str, user: str) -> None:
    """Log in as somebody whose name is not on a button of the provider."""
    page.goto(address)
    page.get_by_role("link", name="Inloggen").first.click()
    page.get_by_label("Of typ een naam").fill(user)
    page.get_by_role("button", name="Inloggen", exact=True).click()


def for_child(page: Page, born: str) -> None:
    page.get_by_role("link", name="Voor wie kiest u?").first.click()
    page.locator("li").filter(has_text=f"geboren op {born}").get_by_role("button").click()


def answer(page: Page, answer: str) -> None:
    """Ja or Nee for all subjects of Wijkteam Noord, up to and with the button that saves."""
    page.get_by_role("link", name="Wie mag wat zien?").first.click()
    team = page.locator("section").filter(has=page.get_by_role("heading", name="Wijkteam Noord"))
    team.locator(f"button[value={answer}]").first.click()
    if answer == "grant":
        page.get_by_label("3 maanden").check()
    page.get_by_role("button", name="Ja, dit mag" if answer == "grant" else "Nee, stop dit").click()


def test_one_parent_opens_for_a_child_of_eight_and_the_other_closes(
    chromium: Browser, federation: Federation, jan: Page
) -> None:
    noor = federation.citizen("noor")["bsn"]
    assert "Jeugdhulp" in look(jan, noor, "Z-71"), "lotte said yes when the demo began"

    karim = log_in(chromium, federation.info["pages"]["portal"], "karim")
    for_child(karim, "14 mei 2018")
    expect(karim.get_by_role("main")).to_contain_text("U doet dit voor een ander: uw kind.")
    answer(karim, "deny")
    expect(karim.get_by_role("main")).to_contain_text("Opgeslagen")

    assert "Jeugdhulp" not in look(jan, noor, "Z-72")


def test_a_youth_of_fourteen_says_yes_beside_a_parent(
    chromium: Browser, federation: Federation, jan: Page
) -> None:
    daan = federation.citizen("daan")["bsn"]
    assert "Leerplicht" not in look(jan, daan, "Z-73"), "only karim said yes"
    page = log_in(chromium, federation.info["pages"]["portal"], "daan")
    answer(page, "grant")
    assert "Leerplicht" in look(jan, daan, "Z-74")


def test_a_bewindvoerder_is_told_that_care_is_not_theirs(
    chromium: Browser, federation: Federation, jan: Page
) -> None:
    assert "Hulp bij schulden" in look(jan, federation.citizen("bram")["bsn"], "Z-75")
    page = chromium.new_context(java_script_enabled=False, locale="nl-NL").new_page()
    typed(page, federation.info["pages"]["portal"], "ineke-voor-bram")
    expect(page.get_by_role("main")).to_contain_text("U doet dit voor een ander, als bewindvoerder.")
    page.get_by_role("link", name="Wie mag wat zien?").first.click()
    team = page.locator("section").filter(has=page.get_by_role("heading", name="Wijkteam Noord"))
    team.locator("summary").first.click()
    care = team.locator("li").filter(has_text="Hulp van de Wmo")
    care.locator("button[value=grant]").click()
    page.get_by_label("3 maanden").check()
    page.get_by_role("button", name="Ja, dit mag").click()
    expect(page.get_by_role("main")).to_contain_text("Een bewindvoerder kiest alleen over geld.")
    expect(page.get_by_role("main")).to_contain_text("Er is niets opgeslagen.")


def test_the_pages_for_somebody_else_hold_every_rule(with_script: Page, federation: Federation) -> None:
    page, wrong = with_script, []
    page.goto(federation.info["pages"]["portal"])
    page.get_by_role("link", name="Inloggen").first.click()
    page.get_by_role("button", name="lotte", exact=True).click()
    home = federation.info["pages"]["portal"].rstrip("/")
    for path in ("/mijn", "/mijn/voor-wie", "/mijn/berichten"):
        page.goto(home + path)
        wrong += [f"{path}: {problem}" for problem in broken_rules(page)]
    page.goto(home + "/mijn")
    for_child(page, "20 maart 2012")
    for path in ("/mijn", "/mijn/voor-wie", "/mijn/keuzes"):
        page.goto(home + path)
        wrong += [f"{path} for a child: {problem}" for problem in broken_rules(page)]
    page.locator("button[value=deny]").first.click()
    wrong += [f"effect for a child: {problem}" for problem in broken_rules(page)]
    assert "Uw nee geldt tot 20 maart 2028" in page.get_by_role("main").inner_text()
    assert wrong == []
