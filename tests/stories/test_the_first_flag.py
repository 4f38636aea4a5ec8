"""The first flag, end to end, as an outsider clicks through it: desk, portal, desk again, the citizen's list.

Over the running demo, in a browser without scripts and the size of a phone.

Source: the story of the first flag, "Done means", 1.
"""

import re

from playwright.sync_api import Browser, Page, expect

from tests.federation import Federation
from tests.stories.clicking import log_in, look

EMPTY = "Er is niets zichtbaar. Dit overzicht hoeft niet compleet te zijn."


def test_a_stop_at_the_portal_empties_the_desk_at_the_next_look_and_both_looks_are_in_the_list(
    federation: Federation, chromium: Browser
) -> None:
    fatima = federation.citizen("fatima")["bsn"]
    desk = log_in(chromium, federation.info["pages"]["desk"], "jan")
    before = look(desk, fatima, "Z-STORY-1")
    assert "Hulp bij schulden, sinds maart 2025." in before
    assert "Bevestigd op" in before

    portal = log_in(chromium, federation.info["pages"]["portal"], "fatima")
    _say(portal, "Wijkteam Noord: Hulp bij schulden", "Nee")
    _say(portal, "Wijkteam Noord: Bijstand", "Nee")
    with portal.expect_download() as receipt:
        portal.get_by_role("link", name="Bewaar uw bewijs").click()
    assert fatima not in receipt.value.path().read_text()

    after = look(desk, fatima, "Z-STORY-2")
    assert EMPTY in " ".join(after.split())

    portal.get_by_role("link", name="Wie heeft gekeken?").first.click()
    list_of_looks = portal.get_by_role("main").inner_text()
    assert "Er is niets weggehaald van de regels die u nu mag zien." in list_of_looks
    assert "Wijkteam Noord" in list_of_looks
    assert "Gezien: Bijstand, Hulp bij schulden." in list_of_looks
    assert "Gezien: niets." in list_of_looks
    assert "Oefenomgeving. Geen echte mensen." in portal.inner_text("footer")
    assert "Alles draait bij één partij." in portal.inner_text("footer")


def _say(portal: Page, about: str, answer: str) -> None:
    """Make one choice of the list: choose, see what changes, save."""
    portal.get_by_role("link", name="Wie mag wat zien?").first.click()
    expect(portal.get_by_role("heading", level=1)).to_have_text("Wie mag wat zien?")
    portal.locator("details > summary", has_text="Wijkteam Noord").click()
    portal.get_by_role("button", name=re.compile(rf"^{answer} ?, {re.escape(about)}$")).click()
    expect(portal.get_by_role("heading", level=1)).to_have_text("Wat verandert er?")
    portal.locator("form[action^='/mijn/keuze/opslaan'] button").click()
    expect(portal.get_by_role("status")).to_contain_text("Opgeslagen.")


def test_the_source_sees_what_it_passed_on_and_nobody_by_name(
    federation: Federation, chromium: Browser
) -> None:
    source = log_in(chromium, federation.info["pages"]["source"], "bea")
    said = source.get_by_role("main").inner_text()
    expect(source.get_by_role("heading", level=1)).to_have_count(1)
    assert not any(citizen["bsn"] in said for citizen in federation.info["citizens"])


def test_the_officer_reads_the_log_and_sees_that_it_was_verified(
    federation: Federation, chromium: Browser
) -> None:
    officer = log_in(chromium, federation.info["pages"]["officer"], "olga")
    said = officer.get_by_role("main").inner_text()
    assert "De lijst is gecontroleerd tot" in said
    assert "Er is niets gewijzigd." in said
    assert not any(citizen["bsn"] in officer.content() for citizen in federation.info["citizens"])


def test_two_officers_of_two_organisations_open_a_person_through_the_pages(
    federation: Federation, chromium: Browser
) -> None:
    home = federation.info["pages"]["officer"].rstrip("/")
    olga = log_in(chromium, home, "olga")
    olga.goto(f"{home}/lijst?functie=generalist")
    place = str(olga.get_by_role("link", name=re.compile("^Speel na")).first.get_attribute("href"))
    olga.goto(f"{home}/openen")
    olga.get_by_label("Regel uit de lijst").fill(place.partition("regel=")[2])
    olga.get_by_label("Waarom?").select_option("datalek")
    olga.get_by_role("button", name="Vraag goedkeuring").click()
    expect(olga.get_by_text("Wacht op een tweede")).to_be_visible()
    expect(olga.get_by_role("button", name=re.compile("^Keur goed"))).to_have_count(0)

    otto = log_in(chromium, home, "otto")
    otto.goto(f"{home}/openen")
    otto.get_by_role("button", name=re.compile("^Keur goed")).click()
    otto.get_by_role("link", name=re.compile("^Bekijk de regels")).click()

    expect(otto.get_by_role("heading", name="Regels van een persoon")).to_be_visible()
    expect(otto.get_by_text("Regels van een persoon geopend").first).to_be_visible()
    assert not any(citizen["bsn"] in otto.content() for citizen in federation.info["citizens"])


def test_an_own_officer_sees_only_the_own_organisation_and_asks_an_employee(
    federation: Federation, chromium: Browser
) -> None:
    desk = federation.info["pages"]["desk"].rstrip("/")
    ria = log_in(chromium, desk, "ria")
    expect(ria.get_by_role("heading", level=1)).to_have_text("Nakijken")
    ria.goto(f"{desk}/toezicht/lijst?functie=generalist")
    ria.get_by_role("button", name=re.compile("^Vraag om uitleg")).first.click()
    expect(ria.get_by_text("Opgeslagen. Dit staat nu in de lijst.")).to_be_visible()
    ria.goto(f"{desk}/toezicht/lijst")
    expect(ria.get_by_text("regels gevonden")).to_be_visible()
    nodes = {node["id"] for node in federation.info["nodes"] if node["organisation"] == "Gemeente Waterrijk"}
    others = {node["id"] for node in federation.info["nodes"]} - nodes
    said = ria.get_by_role("main").inner_text()
    assert "wijkteam" in said
    assert not any(f"{other}," in said for other in others)
    assert not any(citizen["bsn"] in ria.content() for citizen in federation.info["citizens"])
    jan = log_in(chromium, desk, "jan")
    jan.goto(f"{desk}/vragen")
    expect(jan.get_by_text("Dit valt op bij uw team.").first).to_be_visible()
