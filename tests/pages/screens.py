"""Screenshots of the pages of a running demo, into docs/screens: `make screens`.

Each walk is one person's way through the pages, without scripts, as the
stories test it. Look at every picture after a change of the style sheet.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, FloatRect, Page, sync_playwright

from tests.federation import Federation, start_federation
from tests.pages.conftest import ARGUMENTS, CHROMIUM, own_machine_only, provider
from tests.pages.world import REVIEWS, node_site, officer_site, served

FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "docs" / "screens"
"""Or the folder that is named: `python -m tests.pages.screens DIR`."""
WIDTHS = (1280, 1024, 810, 390, 320)
TALLEST = 2000
"""Pixels of a long list that a picture shows."""

Shoot = Callable[[Page, str], None]


def _log_in(page: Page, address: str, user: str) -> None:
    page.goto(address)
    page.get_by_role("link", name="Inloggen").first.click()
    page.get_by_role("button", name=user, exact=True).click()
    page.wait_for_load_state()


def _ask(page: Page, federation: Federation) -> None:
    page.goto(f"{federation.info['pages']['desk'].rstrip('/')}/kijken/wie?doel=huisbezoek")
    page.locator("#nummer-1").fill(federation.citizen("fatima")["bsn"])
    page.get_by_label("Zaaknummer").fill("Z-1")
    page.get_by_role("button", name="Bekijk").click()


def _sheet(page: Page, shoot: Shoot) -> None:
    """From *Klaar* to the sheet for the fridge."""
    page.get_by_role("link", name="Maak een blad voor op de koelkast").click()
    shoot(page, "desk-sheet-form")
    for id_, text in (("naam-1", "Tante Ria"), ("waarmee-1", "post openen"), ("telefoon-1", "06 1234 5678")):
        page.locator(f"#{id_}").fill(text)
    for id_, text in (("wat-1", "De gemeente bellen"), ("door-1", "Fatima"), ("klaar-1", "vrijdag")):
        page.locator(f"#{id_}").fill(text)
    page.locator("#eerst").fill("Ria")
    page.get_by_role("button", name="Maak het blad").click()
    shoot(page, "desk-sheet")


def desk(page: Page, federation: Federation, shoot: Shoot) -> None:
    """A generalist looks, first whether there is something, then what."""
    _log_in(page, federation.info["pages"]["desk"], "jan")
    shoot(page, "desk-purpose")
    page.get_by_role("button", name="Huisbezoek").or_(page.get_by_role("link", name="Huisbezoek")).click()
    shoot(page, "desk-who")
    page.locator("#nummer-1").fill("123456789")
    page.get_by_label("Zaaknummer").fill("Z-1")
    page.get_by_role("button", name="Bekijk").click()
    shoot(page, "desk-wrong-number")
    _ask(page, federation)
    shoot(page, "desk-presence")
    page.get_by_role("button", name="Toon de onderwerpen").click()
    shoot(page, "desk-subjects")
    page.get_by_role("button", name="Vraag contact aan Hulp bij schulden").click()
    shoot(page, "desk-contact")
    page.get_by_role("link", name="Keuze van de inwoner").click()
    shoot(page, "desk-choice")
    page.get_by_role("button", name="Maak een code").click()
    shoot(page, "desk-code")
    page.get_by_role("link", name="Terug", exact=True).click()
    page.get_by_role("link", name="Vul het formulier in").click()
    shoot(page, "desk-form")
    page.get_by_label("Nummer van het formulier").fill("F-17")
    page.get_by_label("Hulp bij schulden").check()
    page.get_by_label("16 jaar of ouder").check()
    page.get_by_role("button", name="Vul in").click()
    shoot(page, "desk-letter")
    page.get_by_role("link", name="Terug", exact=True).click()
    page.get_by_role("link", name="De inwoner stopt").click()
    shoot(page, "desk-stop")
    _ask(page, federation)
    page.get_by_role("button", name="Klaar").click()
    shoot(page, "desk-done")
    _sheet(page, shoot)
    page.get_by_role("link", name="Mijn bezoeken").click()
    shoot(page, "desk-visits")
    page.get_by_role("button", name="Vertel mij wat nieuw is").first.click()
    shoot(page, "desk-followed")
    page.get_by_role("link", name="Wijzigingen").click()
    shoot(page, "desk-changes")
    page.get_by_role("link", name="Mijn functie").click()
    shoot(page, "desk-my-role")
    _urgent(page, federation, shoot)


def _urgent(page: Page, federation: Federation, shoot: Shoot) -> None:
    page.get_by_role("link", name="Kijken").first.click()
    page.get_by_role("link", name="Direct gevaar").click()
    shoot(page, "desk-urgent")
    page.get_by_label("Burgerservicenummer").fill(federation.citizen("fatima")["bsn"])
    page.get_by_label("Direct gevaar voor iemand").check()
    page.get_by_label("Iemand anders").check()
    page.get_by_role("group", name="Kan deze persoon").get_by_label("Ja").check()
    page.get_by_role("button", name="Ik kijk nu").click()
    shoot(page, "desk-urgent-answer")


def portal(page: Page, federation: Federation, shoot: Shoot) -> None:
    """A citizen sees who may see what, what a no would change, what is known and who looked."""
    home = federation.info["pages"]["portal"].rstrip("/")
    _log_in(page, home, "fatima")
    shoot(page, "portal-begin")
    page.goto(f"{home}/mijn/keuzes")
    shoot(page, "portal-choices")
    team = page.locator("section").filter(has=page.get_by_role("heading", name="Wijkteam Noord"))
    team.locator("button[value=deny]").first.click()
    shoot(page, "portal-effect")
    for path, name in (
        ("bekend", "known"), ("gekeken", "looks"), ("stoppen", "stop-all"), ("melden", "declare"),
        ("berichten", "inbox"), ("slot", "lock"), ("nakijken", "check"), ("code", "code"),
    ):  # fmt: skip
        page.goto(f"{home}/mijn/{path}")
        shoot(page, f"portal-{name}")


def counter(page: Page, federation: Federation, shoot: Shoot) -> None:
    """An employee of the counter checks who somebody is, and helps to see, to stop and to lock."""
    _log_in(page, federation.info["pages"]["portal"], "loes")
    shoot(page, "counter-start")
    page.get_by_role("link", name="Begin een controle").click()
    shoot(page, "counter-check")
    page.get_by_label("Voor zichzelf").check()
    page.get_by_label("Paspoort").check()
    page.locator("#nummer").fill(federation.citizen("fatima")["bsn"])
    page.locator("#gecontroleerd").check()
    page.get_by_role("button", name="Ga verder").click()
    shoot(page, "counter-see-or-stop")
    here = page.url
    for path, name in (("inzien", "see"), ("stoppen", "stop"), ("slot", "lock"), ("bewijs", "evidence")):
        page.goto(here.replace("/inwoner", f"/{path}"))
        shoot(page, f"counter-{name}")
    page.get_by_role("button", name="Klaar").click()
    shoot(page, "counter-done")


def source(page: Page, federation: Federation, shoot: Shoot) -> None:
    """A source manager sees what was passed on and what was refused."""
    _log_in(page, federation.info["pages"]["source"], "bea")
    shoot(page, "source-overview")
    for name in ("Geweigerd", "Soorten", "Invoeren", "Betwist", "Verzoeken"):
        page.get_by_role("link", name=name).first.click()
        shoot(page, f"source-{name.lower()}")


def officer(page: Page, federation: Federation, shoot: Shoot) -> None:
    """A privacy officer reads the log, without any person; the own officer of an organisation does too."""
    home = federation.info["pages"]["officer"].rstrip("/")
    _log_in(page, home, "olga")
    shoot(page, "officer-begin")
    page.goto(f"{home}/lijst")
    shoot(page, "officer-entries")
    page.goto(f"{home}/lijst?functie=generalist")
    page.get_by_role("button", name="Vraag om uitleg").first.click()
    page.goto(f"{home}/organisaties")
    shoot(page, "officer-organisations")
    page.get_by_role("button", name="Uitloggen").click()
    desk = federation.info["pages"]["desk"].rstrip("/")
    _log_in(page, desk, "ria")
    shoot(page, "own-officer-reviews")
    page.goto(f"{desk}/toezicht/lijst")
    shoot(page, "own-officer-entries")


def officer_states(page: Page, shoot: Shoot) -> None:
    """What a demo of a day does not have: a month that is over, rules that wait, patterns."""
    with (
        provider() as issuer,
        served(officer_site(issuer)) as site,
        served(node_site({"desk"}, issuer)) as own,
    ):
        site.work.full = own.oversight.full = True
        site.log.waiting = list(REVIEWS)
        _log_in(page, site.url, "olga")
        for path, name in (
            ("begin", "begin-full"), ("spoed", "reviews"), ("patronen", "patterns"),
            ("steekproef", "sample"), ("naspelen?regel=2026-40", "replay"), ("openen", "opening"),
            ("openen/een", "opened"), ("regels", "rules"), ("regels/2", "version"),
            ("organisaties", "organisations-full"), ("cijfers?onderwerp=schuldhulp", "figures"),
            ("uitvoer", "exports"), ("bewaartermijn", "retention"),
        ):  # fmt: skip
            page.goto(f"{site.url}/{path}")
            shoot(page, f"officer-{name}")
        page.goto(f"{site.url}/regels/2")
        page.get_by_role("button", name="Speel na").click()
        shoot(page, "officer-what-if")
        page.get_by_role("button", name="Uitloggen").click()
        _log_in(page, own.url, "olga")
        for path, name in (
            ("nakijken", "reviews-full"), ("patronen", "patterns"), ("steekproef", "sample"),
            ("naspelen?regel=2026-40", "replay"), ("uitvoer", "exports"),
        ):  # fmt: skip
            page.goto(f"{own.url}/toezicht/{path}")
            shoot(page, f"own-officer-{name}")


def _walk(browser: Browser, federation: Federation) -> None:
    def shoot(page: Page, name: str) -> None:
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 768})
            body = page.locator("body").bounding_box()
            height = min(TALLEST, int(body["height"]) if body else TALLEST)
            clip: FloatRect = {"x": 0.0, "y": 0.0, "width": float(width), "height": float(max(height, 768))}
            path = FOLDER / f"{name}-{width}.jpg"
            page.screenshot(path=path, full_page=True, clip=clip, type="jpeg", quality=60)
        print(name, flush=True)

    for walk in (desk, portal, counter, source, officer):
        context = browser.new_context(java_script_enabled=False, locale="nl-NL")
        own_machine_only(context)
        walk(context.new_page(), federation, shoot)
        context.close()
    context = browser.new_context(java_script_enabled=False, locale="nl-NL")
    own_machine_only(context)
    officer_states(context.new_page(), shoot)
    context.close()


def main() -> int:
    if not CHROMIUM.exists():
        print("no chromium: apt-get install chromium", file=sys.stderr)
        return 1
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        federation = start_federation(Path(folder) / "demo")
        try:
            browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
            _walk(browser, federation)
            browser.close()
        finally:
            federation.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
