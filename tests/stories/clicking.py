"""What people do in a browser: log in, look at the desk."""

import re

from playwright.sync_api import Browser, Page

from tests.pages.conftest import own_machine_only


def log_in(chromium: Browser, address: str, user: str) -> Page:
    """A window of its own, without scripts, logged in through the provider's page."""
    context = chromium.new_context(
        viewport={"width": 390, "height": 844}, java_script_enabled=False, locale="nl-NL"
    )
    own_machine_only(context)
    page = context.new_page()
    page.goto(address)
    page.get_by_role("link", name="Inloggen").or_(page.get_by_role("button", name="Inloggen")).first.click()
    page.get_by_role("button", name=user, exact=True).click()
    return page


def look(page: Page, number: str, case: str) -> str:
    """What the desk shows of one person: purpose, number, case, and the subjects where there are any."""
    page.goto(re.match(r"https?://[^/]+", page.url)[0] + "/kijken")  # type: ignore[index]
    page.get_by_role("button", name="Huisbezoek").or_(page.get_by_role("link", name="Huisbezoek")).click()
    page.locator("#nummer-1").fill(number)
    page.get_by_label("Zaaknummer").fill(case)
    page.get_by_role("button", name="Bekijk").click()
    subjects = page.get_by_role("button", name="Toon de onderwerpen")
    if subjects.count():
        subjects.click()
    said = page.get_by_role("main").inner_text()
    assert number not in page.url + page.title()
    page.get_by_role("button", name="Klaar").click()
    return said
