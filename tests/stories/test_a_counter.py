"""The counter in a running federation: the broker's grant, real key holders, the citizen's own log."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from deploy.demo.plan import COUNTER_NAME
from tests.federation import Federation
from tests.pages.checks import broken_rules
from tests.pages.conftest import own_machine_only
from tests.pages.test_counter import identify

from .clicking import log_in, look


@pytest.fixture
def with_script(chromium: Browser) -> Iterator[Page]:
    """A window with script, which axe needs; everything else here is without."""
    context = chromium.new_context(viewport={"width": 1024, "height": 768}, locale="nl-NL")
    own_machine_only(context)
    yield context.new_page()
    context.close()


def test_who_cannot_log_in_stops_at_the_counter_and_reads_later_that_it_was_there(
    chromium: Browser, federation: Federation, with_script: Page
) -> None:
    jan = log_in(chromium, federation.info["pages"]["desk"], "jan")
    portal, bsn = federation.info["pages"]["portal"], federation.citizen("kofi")["bsn"]
    assert "Hulp bij een laag inkomen" in look(jan, bsn, "Z-91")

    page = with_script
    page.goto(portal)
    page.get_by_role("link", name="Inloggen").first.click()
    page.get_by_role("button", name="loes", exact=True).click()
    identify(page, bsn)
    page.get_by_role("link", name="Inzien").click()
    expect(page.get_by_role("main")).to_contain_text("Hulp bij een laag inkomen")
    assert broken_rules(page) == []
    page.get_by_role("link", name="Terug").click()
    page.get_by_role("link", name="Stoppen").click()
    page.get_by_role("button", name="Stop alle toestemmingen").click()
    expect(page.get_by_role("main")).to_contain_text("Opgeslagen.")
    assert "Hulp bij een laag inkomen" not in look(jan, bsn, "Z-92")
    page.get_by_role("link", name="Terug naar deze inwoner").click()
    page.get_by_role("link", name="Op slot").click()
    page.get_by_label("Alles over geld").check()
    page.get_by_role("button", name="Bekijk wat er verandert").click()
    expect(page.get_by_role("heading", name="Dit blijft zichtbaar volgens de wet")).to_be_visible()
    page.get_by_role("button", name="Zet op slot").click()
    expect(page.get_by_role("main")).to_contain_text("Dit staat op slot.")
    page.get_by_role("button", name="Klaar").click()
    expect(page.get_by_role("main")).to_contain_text("Klaar.")

    kofi = log_in(chromium, portal, "kofi")
    kofi.get_by_role("link", name="Wie heeft gekeken?").first.click()
    expect(kofi.get_by_role("main")).to_contain_text(f"Aan de balie: {COUNTER_NAME}.")
    expect(kofi.get_by_role("main")).to_contain_text("Een medewerker legde vast wat u koos.")


def test_a_second_person_is_a_second_grant_and_the_first_is_over(
    chromium: Browser, federation: Federation
) -> None:
    page = log_in(chromium, federation.info["pages"]["portal"], "loes")
    identify(page, federation.citizen("nel")["bsn"])
    first = page.url
    page.goto(federation.info["pages"]["portal"])
    page.get_by_role("link", name="Ga verder met deze inwoner").click()
    assert page.url == first
    page.get_by_role("button", name="Klaar").click()
    page.get_by_role("link", name="Naar het begin").click()
    identify(page, federation.citizen("rosa")["bsn"])
    expect(page.get_by_role("heading", level=1)).to_have_text("Wilt u inzien of stoppen?")
    page.goto(first)
    expect(page.get_by_role("heading", level=1)).to_have_text("Balie")
