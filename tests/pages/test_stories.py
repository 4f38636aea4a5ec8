"""Stories per person, without a script: what each does, sees, and leaves behind."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Request, expect

from nodes.citizen import Change
from nodes.desk_links import DeskLinks
from nodes.employees import Employee, employee_id
from tests.pages.checks import numbers_in
from tests.pages.client import Plain
from tests.pages.conftest import Enter
from tests.pages.test_screens import ask
from tests.pages.world import (
    ALL_KINDS,
    DISPUTES,
    ENTRIES,
    GEMEENTE,
    LINES,
    NOORD,
    REJECTIONS,
    UNKNOWN,
    WITH_FLAGS,
    WITHOUT,
    Site,
    own_flag,
)

EMPTY = "Er is niets zichtbaar. Dit overzicht hoeft niet compleet te zijn."


def test_jan_asks_whether_before_he_asks_what_and_each_is_a_question(
    page: Page, desk: Site, enter: Enter
) -> None:
    enter(page, desk, "jan")
    assert page.get_by_role("heading", level=1).inner_text() == "Waarom kijkt u?"
    ask(page, desk, WITH_FLAGS)
    expect(page.get_by_text("Er is iets bekend.")).to_be_visible()
    expect(page.get_by_text("Bekeken om 14.05 uur")).to_be_visible()
    assert "Hulp bij schulden" not in page.content()
    page.get_by_role("button", name="Toon de onderwerpen").click()
    expect(page.get_by_text("Hulp bij schulden, sinds maart 2025.")).to_be_visible()
    expect(page.get_by_text("Schuldhulp Waterrijk, bel 14 000, keuze 4.")).to_be_visible()
    expect(page.get_by_text("Bevestigd op 20 november 2026.").first).to_be_visible()
    expect(page.get_by_text("Door de inwoner zelf gemeld.")).to_be_visible()
    expect(page.get_by_text("De inwoner zegt dat dit niet klopt.")).to_be_visible()
    assert [detail for _, detail in desk.visits.questions] == ["presence", "subjects"]


def test_reload_back_and_language_ask_nothing(page: Page, desk: Site, enter: Enter) -> None:
    enter(page, desk, "jan")
    ask(page, desk, WITH_FLAGS)
    page.get_by_role("button", name="Toon de onderwerpen").click()
    page.get_by_text("sinds maart 2025").first.wait_for()
    page.reload()
    page.get_by_role("link", name="English").click()
    expect(page.get_by_text("Debt help, since March 2025.")).to_be_visible()
    page.go_back()
    page.go_forward()
    assert len(desk.visits.questions) == 2


def test_looking_again_is_a_new_question(page: Page, desk: Site, enter: Enter) -> None:
    enter(page, desk, "jan")
    ask(page, desk, WITH_FLAGS)
    page.get_by_role("button", name="Bekijk opnieuw").click()
    assert [detail for _, detail in desk.visits.questions] == ["presence", "presence"]


def test_after_klaar_the_back_button_shows_no_answer(page: Page, desk: Site, enter: Enter) -> None:
    enter(page, desk, "jan")
    ask(page, desk, WITH_FLAGS)
    page.get_by_role("button", name="Klaar").click()
    expect(page.get_by_text("Klaar. Er is niets bewaard op dit apparaat.")).to_be_visible()
    page.go_back()
    assert page.get_by_role("heading", level=1).inner_text() == "Waarom kijkt u?"
    assert desk.visits.opened == {}


def test_an_answer_disappears_after_five_minutes(page: Page, desk: Site, enter: Enter) -> None:
    enter(page, desk, "jan")
    ask(page, desk, WITH_FLAGS)
    answer = page.reload()
    assert answer is not None
    assert answer.headers["refresh"] == "300; url=/leeg"
    clock: Callable[[], float] = desk.pages.clock
    desk.pages.clock = lambda: clock() + 301
    page.reload()
    assert page.get_by_role("heading", level=1).inner_text() == "Deze pagina is leeg"
    desk.pages.clock = clock
    page.go_back()
    assert "Er is iets bekend." not in page.content()


def test_a_household_has_a_block_for_each_person_in_the_order_typed(
    page: Page, desk: Site, enter: Enter
) -> None:
    enter(page, desk, "jan")
    ask(page, desk, WITHOUT, WITH_FLAGS)
    blocks = page.locator("section")
    expect(blocks).to_have_count(2)
    assert "Persoon 1" in blocks.nth(0).inner_text()
    assert EMPTY in blocks.nth(0).inner_text()
    assert "Er is iets bekend." in blocks.nth(1).inner_text()


def test_a_typing_error_in_a_household_costs_only_that_number(page: Page, desk: Site, enter: Enter) -> None:
    enter(page, desk, "jan")
    ask(page, desk, WITH_FLAGS, "123456789", WITHOUT)
    alert = page.get_by_role("alert")
    assert "Dit burgerservicenummer klopt niet. Kijk het na." in alert.inner_text()
    assert "123456789" not in page.content()
    assert numbers_in(page.content()) == 0
    assert page.get_by_label("Zaaknummer").input_value() == "Z-2026-17"
    page.locator("#nummer-2").fill(UNKNOWN)
    page.get_by_role("button", name="Bekijk").click()
    expect(page.locator("section")).to_have_count(3)
    ((_, numbers),) = desk.visits.opened.values()
    assert numbers == [WITH_FLAGS, UNKNOWN, WITHOUT]


@pytest.mark.parametrize(
    ("number", "case", "says"),
    [
        ("", "Z-1", "Zonder burgerservicenummer kan opzoeken niet."),
        ("12345678", "Z-1", "Dit burgerservicenummer klopt niet. Kijk het na."),
        ("000000000", "Z-1", "Dit burgerservicenummer klopt niet. Kijk het na."),
        ("٩٩٩٩٩٣٦٥٣", "Z-1", "Dit burgerservicenummer klopt niet. Kijk het na."),
        ("abc", "Z-1", "Dit burgerservicenummer klopt niet. Kijk het na."),
        (WITH_FLAGS, "", "Vul het zaaknummer in."),
        (WITH_FLAGS, f"zaak {WITHOUT}", "Gebruik geen burgerservicenummer."),
    ],
)
def test_what_is_typed_wrong_opens_no_visit_and_is_not_repeated(
    desk: Site, number: str, case: str, says: str
) -> None:
    jan = Plain(desk)
    jan.log_in("jan")
    path = "/kijken/wie?doel=huisbezoek"
    form = {"csrf": jan.token(path), "doel": "huisbezoek", "nummer-1": number, "zaak": case}
    answer = jan.post("/kijken/wie", form)
    assert answer.status_code == 400
    assert says in answer.text
    assert desk.visits.opened == {}
    assert number == "" or number not in answer.text
    assert numbers_in(answer.text) == 0


def test_a_purpose_that_the_role_does_not_have_asks_nothing(desk: Site) -> None:
    jan = Plain(desk)
    jan.log_in("jan")
    form = {
        "csrf": jan.token("/kijken/wie?doel=huisbezoek"),
        "doel": "vroegsignalering",
        "nummer-1": WITH_FLAGS,
        "zaak": "Z-1",
    }
    assert jan.post("/kijken/wie", form).headers["location"] == "/kijken"
    assert jan.get("/kijken/wie?doel=toezicht").headers["location"] == "/kijken"
    assert desk.visits.opened == {}


def normalised(page: str) -> str:
    """A page without what is random or the time: visit ids and form token."""
    page = re.sub(r"/bezoeken/\w+", "/bezoeken/ID", page)
    page = re.sub(r"%2Fbezoeken%2F\w+|naar=/bezoeken/\w+", "ID", page)
    return re.sub(r'name="csrf" value="[^"]+"', "TOKEN", page)


def test_hidden_absent_and_unknown_persons_give_the_same_page(desk: Site) -> None:
    desk.visits.flags = {WITH_FLAGS: []}  # all that is there is hidden: the node is given nothing
    pages = []
    for number in (WITH_FLAGS, WITHOUT, UNKNOWN):
        jan = Plain(desk)
        jan.log_in("jan")
        path = "/kijken/wie?doel=huisbezoek"
        form = {"csrf": jan.token(path), "doel": "huisbezoek", "nummer-1": number, "zaak": "Z-1"}
        first = jan.post("/kijken/wie", form).headers["location"]
        presence = jan.get(first).text
        jan.post(f"{first}/onderwerpen", {"csrf": jan.token(first)})
        pages.append(normalised(presence) + normalised(jan.get(first).text))
    assert EMPTY in pages[0]
    assert "Toon de onderwerpen" not in pages[0]
    assert pages[0] == pages[1] == pages[2]


def test_a_refusal_of_one_person_speaks_of_the_asker_only(page: Page, desk: Site, enter: Enter) -> None:
    enter(page, desk, "jan")
    desk.visits.refused = "no-relation"
    ask(page, desk, WITH_FLAGS)
    said = "U mag dit niet bekijken. Reden: er is geen lopende zaak. Dit is opgeschreven."
    expect(page.get_by_text(said)).to_be_visible()


def test_a_silent_source_is_named(page: Page, desk: Site, enter: Enter) -> None:
    enter(page, desk, "jan")
    desk.visits.silent = ["Jeugdhulp Rivierenland"]
    ask(page, desk, WITHOUT)
    said = "Deze organisatie is nu niet bereikbaar: Jeugdhulp Rivierenland. Er kan iets ontbreken."
    expect(page.get_by_text(said)).to_be_visible()


def test_own_visits_can_be_looked_at_prolonged_and_closed(page: Page, desk: Site, enter: Enter) -> None:
    enter(page, desk, "jan")
    page.goto(f"{desk.url}/bezoeken")
    expect(page.get_by_text("U heeft geen open bezoeken.")).to_be_visible()
    ask(page, desk, WITH_FLAGS)
    page.get_by_role("link", name="Mijn bezoeken").click()
    expect(page.get_by_text("8 december 2026")).to_be_visible()
    page.get_by_role("button", name="Verleng 14 dagen").click()
    assert "22 december 2026" in page.get_by_role("status").inner_text()
    page.get_by_role("button", name="Sluit dit bezoek").click()
    expect(page.get_by_text("Het bezoek is gesloten.")).to_be_visible()
    expect(page.get_by_text("U heeft geen open bezoeken.")).to_be_visible()


def test_a_link_from_an_own_system_opens_the_visit_once_and_for_its_employee(
    page: Page, desk: Site, enter: Enter
) -> None:
    jan = Employee(employee_id(b"2" * 32, "jan"), "generalist", "wijkteam-noord")
    desk.node.links = DeskLinks(60)
    enter(page, desk, "jan")
    ask(page, desk, WITH_FLAGS)
    (visit,) = desk.visits.opened
    asked = len(desk.visits.questions)
    link = desk.node.links.issue(jan, visit)
    page.goto(f"{desk.url}/koppeling/{link}")
    expect(page.get_by_text("Zaaknummer Z-2026-17")).to_be_visible()
    assert len(desk.visits.questions) == asked
    page.goto(f"{desk.url}/koppeling/{link}")
    expect(page.get_by_text("Dit bezoek is gesloten").first).to_be_visible()
    other = Employee("another", "generalist", "wijkteam-noord")
    page.goto(f"{desk.url}/koppeling/{desk.node.links.issue(other, visit)}")
    expect(page.get_by_text("Dit bezoek is gesloten").first).to_be_visible()


def test_the_role_page_says_what_needs_consent(page: Page, desk: Site, enter: Enter) -> None:
    enter(page, desk, "jan")
    page.get_by_role("link", name="Mijn functie").click()
    block = page.locator("section", has_text="Alleen met toestemming.")
    assert "Hulp bij schulden" in block.inner_text()


def test_the_desk_story_works_with_the_keyboard_alone(page: Page, desk: Site, enter: Enter) -> None:
    enter(page, desk, "jan")

    def tab_to(name: str) -> None:
        for _ in range(30):
            page.keyboard.press("Tab")
            focused = page.locator(":focus")
            if focused.count() and (
                focused.get_attribute("id") == name or name in (focused.text_content() or "")
            ):
                return
        raise AssertionError(f"no Tab reaches {name}")

    tab_to("Huisbezoek")
    page.keyboard.press("Enter")
    page.wait_for_url("**/kijken/wie**")
    tab_to("nummer-1")
    page.keyboard.type(WITH_FLAGS)
    tab_to("zaak")
    page.keyboard.type("Z-1")
    page.keyboard.press("Enter")
    page.wait_for_url("**/bezoeken/**")
    tab_to("Toon de onderwerpen")
    page.keyboard.press("Enter")
    page.get_by_text("Hulp bij schulden").wait_for()
    tab_to("Klaar")
    page.keyboard.press("Enter")
    page.wait_for_url("**/kijken/klaar")
    expect(page.get_by_role("heading", level=1, name="Klaar")).to_be_visible()
    assert WITH_FLAGS not in page.content()


def test_fatima_says_yes_sees_the_effect_first_and_undoes_it(page: Page, portal: Site, enter: Enter) -> None:
    enter(page, portal, "fatima")
    page.get_by_role("main").get_by_role("link", name="Wie mag wat zien?").click()
    expect(page.get_by_text("Wijkteam Noord ziet nu niets op uw toestemming.")).to_be_visible()
    page.locator("summary", has_text="Wijkteam Noord").click()
    page.get_by_role("button", name=re.compile("Ja.*Noord: Hulp bij schulden")).click()
    expect(page.get_by_text("Als u ja zegt, ziet Wijkteam Noord dit vanaf nu:")).to_be_visible()
    assert portal.citizens.changes == []
    page.get_by_role("button", name="Ja, dit mag").click()
    expect(page.get_by_role("alert").get_by_text("Kies tot wanneer.")).to_be_visible()
    page.get_by_label("6 maanden").check()
    page.get_by_role("button", name="Ja, dit mag").click()
    expect(page.get_by_text("Opgeslagen. Vanaf nu ziet Wijkteam Noord dit.")).to_be_visible()
    assert portal.citizens.changes == [Change("grant", kind="schuldhulp", receiver=NOORD, months=6)]
    assert "Hulp bij schulden" in portal.citizens.texts[0]
    assert "6 maanden" in portal.citizens.texts[0]
    page.get_by_role("button", name="Ongedaan maken").click()
    expect(page.get_by_text("Opgeslagen. Uw keuze is ongedaan gemaakt.")).to_be_visible()
    assert portal.citizens.granted == {}


def test_a_no_takes_as_many_clicks_as_a_yes(page: Page, portal: Site, enter: Enter) -> None:
    enter(page, portal, "fatima")
    clicks = {}
    for answer, button in (("Ja", "Ja, dit mag"), ("Nee", "Nee, stop dit")):
        page.goto(f"{portal.url}/mijn/keuzes")
        sent: list[str] = []

        def count(request: Request, sent: list[str] = sent) -> None:
            if request.method == "POST":
                sent.append(request.url)

        page.on("request", count)
        page.get_by_role("button", name=re.compile(f"{answer}.*Noord alle")).click()
        if answer == "Ja":
            page.get_by_label("1 jaar").check()
        page.get_by_role("button", name=button).click()
        page.remove_listener("request", count)
        clicks[answer] = len(sent)
        assert page.get_by_role("heading", level=1).inner_text() == "Opgeslagen"
    assert clicks["Ja"] == clicks["Nee"] == 2
    assert [change.effect for change in portal.citizens.changes] == ["grant", "deny"]


def test_nothing_is_chosen_beforehand(page: Page, portal: Site, enter: Enter) -> None:
    enter(page, portal, "fatima")
    page.goto(f"{portal.url}/mijn/keuzes")
    page.get_by_role("button", name=re.compile("Ja.*Noord alle")).click()
    expect(page.locator("input:checked")).to_have_count(0)


def test_by_law_there_is_no_switch_but_a_reason(page: Page, portal: Site, enter: Enter) -> None:
    enter(page, portal, "fatima")
    page.goto(f"{portal.url}/mijn/keuzes")
    block = page.locator("section", has_text="Dit mag volgens de wet").last
    expect(block.get_by_role("button")).to_have_count(0)
    block.locator("summary").first.click()
    expect(block.get_by_text("Participatiewet").first).to_be_visible()


def test_the_receipt_is_a_file_whose_name_names_nobody(portal: Site) -> None:
    fatima = Plain(portal)
    fatima.log_in("fatima")
    choice = {"ontvanger": "0", "onderwerp": "", "keuze": "deny"}
    path = fatima.post("/mijn/keuze", {"csrf": fatima.token("/mijn/keuzes"), **choice}).headers["location"]
    draft = {"csrf": fatima.token(path), "concept": path.partition("keuze=")[2]}
    assert fatima.post("/mijn/keuze/opslaan", draft).headers["location"] == "/mijn/opgeslagen"
    receipt = fatima.get("/mijn/bewijs")
    assert receipt.text == "eyJ.bewijs.abc\n"
    assert receipt.headers["content-disposition"] == 'attachment; filename="bewijs-van-uw-keuze.txt"'
    assert fatima.post("/mijn/keuze/opslaan", draft).headers["location"] == "/mijn/keuzes"
    assert len(portal.citizens.changes) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"ontvanger": "9", "onderwerp": "", "keuze": "grant"},
        {"ontvanger": "x", "onderwerp": "", "keuze": "grant"},
        {"ontvanger": "0", "onderwerp": "belasting", "keuze": "grant"},
        {"ontvanger": "0", "onderwerp": "", "keuze": "slot"},
    ],
)
def test_a_choice_that_is_not_on_the_page_is_refused(portal: Site, wrong: dict[str, str]) -> None:
    fatima = Plain(portal)
    fatima.log_in("fatima")
    answer = fatima.post("/mijn/keuze", {"csrf": fatima.token("/mijn/keuzes"), **wrong})
    assert answer.status_code == 400
    assert portal.citizens.changes == []


def test_stopping_everything_says_what_closes_and_what_the_law_still_shows(
    page: Page, portal: Site, enter: Enter
) -> None:
    portal.citizens.granted = {"a": ("schuldhulp",), "b": ALL_KINDS[:3]}
    enter(page, portal, "fatima")
    page.get_by_role("main").get_by_role("link", name="Ik stop al mijn").click()
    expect(page.get_by_role("heading", name="Wijkteam Noord")).to_be_visible()
    expect(page.get_by_role("heading", name="Dit blijft zichtbaar volgens de wet")).to_be_visible()
    page.get_by_role("button", name="Ik stop al mijn toestemmingen.").click()
    expect(page.get_by_text("Al uw toestemmingen zijn gestopt.")).to_be_visible()
    assert portal.citizens.granted == {}


def test_fatima_sees_every_look_the_empty_and_refused_ones_too(
    page: Page, portal: Site, enter: Enter
) -> None:
    portal.citizens.lines = LINES
    enter(page, portal, "fatima")
    page.get_by_role("main").get_by_role("link", name="Wie heeft gekeken?").click()
    said = page.get_by_role("main").inner_text()
    assert "Er is niets weggehaald van de regels die u nu mag zien." in said
    assert "24 november 2026, 14.02 uur" in said
    assert "Gemeente Waterrijk, generalist wijkteam. Waarom: Huisbezoek." in said
    assert "Gezien: Hulp bij schulden, Bijstand." in said
    assert "Gezien: niets." in said
    assert "Geweigerd." in said
    assert "Spoed" in said
    assert "Die dag 2 keer." in said
    page.get_by_text("Wat u zelf deed").click()
    expect(page.get_by_text("U maakte een keuze.")).to_be_visible()
    assert "Jan" not in said


def test_a_broken_list_is_never_called_right(page: Page, portal: Site, enter: Enter) -> None:
    portal.citizens.lines = LINES
    portal.citizens.verified = False
    enter(page, portal, "fatima")
    page.goto(f"{portal.url}/mijn/gekeken")
    assert "de lijst klopt niet" in page.get_by_role("status").inner_text()
    assert "niets weggehaald" not in page.content()


def test_the_source_manager_repairs_by_local_reference_only(page: Page, source: Site, enter: Enter) -> None:
    source.source.rejections = list(REJECTIONS)
    enter(page, source, "bea")
    page.get_by_role("link", name="Bekijk wat is geweigerd").click()
    expect(
        page.get_by_text("Het burgerservicenummer klopt niet. Kijk het na en stuur opnieuw.")
    ).to_be_visible()
    expect(page.get_by_text("Het veld since ontbreekt.")).to_be_visible()
    page.get_by_role("button", name=re.compile("opgelost.*zaak-17")).click()
    assert [item.local_ref for item in source.source.rejections] == ["zaak-18", ""]


def test_the_officer_filters_and_pages_through_entries_without_a_person(
    page: Page, officer: Site, enter: Enter
) -> None:
    officer.log.lines = ENTRIES
    enter(page, officer, "olga")
    expect(page.get_by_text("De lijst is gecontroleerd tot 24 november 2026, 14.05 uur.")).to_be_visible()
    page.get_by_role("link", name="De lijst").click()
    expect(page.get_by_text("40 regels gevonden.")).to_be_visible()
    page.get_by_label("Organisatie").select_option(label="Gemeente Waterrijk")
    page.get_by_label("Functie").select_option("generalist")
    page.get_by_role("button", name="Zoek").click()
    expect(page.get_by_text("10 regels gevonden.")).to_be_visible()
    assert f"organisatie={GEMEENTE}" in page.url
    page.goto(f"{officer.url}/lijst")
    page.get_by_role("link", name="Volgende bladzijde").click()
    expect(page.get_by_text("Bladzijde 2 / 4")).to_be_visible()
    page.get_by_label("Dag").fill("2026-11-22")
    page.get_by_role("button", name="Zoek").click()
    expect(page.get_by_text("8 regels gevonden.")).to_be_visible()


def test_an_english_page_says_so_and_holds_no_dutch_sentence(page: Page, portal: Site, enter: Enter) -> None:
    enter(page, portal, "fatima")
    page.get_by_role("link", name="English").click()
    assert page.url == f"{portal.url}/mijn"
    assert page.locator("html").get_attribute("lang") == "en"
    for path in ("/mijn", "/mijn/keuzes", "/mijn/gekeken", "/mijn/bekend", "/mijn/stoppen"):
        page.goto(portal.url + path)
        said = page.get_by_role("main").inner_text()
        assert not re.search(r"\b(het|een|niet|wie|wat|voor|onderwerp)\b", said), path
    page.get_by_role("link", name="Nederlands").click()
    assert page.locator("html").get_attribute("lang") == "nl"


def test_the_footer_is_honest_about_practice_and_about_who_runs_it(page: Page, desk: Site) -> None:
    page.goto(desk.url)
    footer = page.get_by_role("contentinfo").inner_text()
    assert "Oefenomgeving. Geen echte mensen." in footer
    assert "Alles draait bij één partij." in footer


def test_an_error_has_an_id_that_is_no_number(desk: Site) -> None:
    jan = Plain(desk)
    jan.log_in("jan")
    desk.visits.fails = RuntimeError(f"broke on {WITH_FLAGS}")
    form = {
        "csrf": jan.token("/kijken/wie?doel=huisbezoek"),
        "doel": "huisbezoek",
        "nummer-1": WITH_FLAGS,
        "zaak": "Z-1",
    }
    answer = jan.post("/kijken/wie", form)
    assert answer.status_code == 500
    assert re.search(r"Noem nummer [A-Z]{4}-[A-Z]{4} als u belt", answer.text)
    assert numbers_in(answer.text) == 0


def test_a_citizen_says_that_a_flag_is_not_correct_and_takes_it_back(
    page: Page, portal: Site, enter: Enter
) -> None:
    portal.citizens.known = [own_flag("schuldhulp"), own_flag("ggz"), own_flag("zelf_gemeld_geldzorgen")]
    enter(page, portal, "fatima")
    page.goto(f"{portal.url}/mijn/bekend")
    assert (
        page.get_by_role("button", name="Ik maak bezwaar").count() == 1
    )  # no task for ggz, and no own report
    expect(page.get_by_role("button", name="Dit klopt niet")).to_have_count(2)

    page.get_by_role("button", name=re.compile("Dit klopt niet ?, Hulp bij schulden")).click()

    assert "Wie dit ziet, leest dat het niet klopt." in page.content()
    assert portal.citizens.texts[-1] == "Dit klopt niet\nHulp bij schulden"
    page.goto(f"{portal.url}/mijn/bekend")
    assert "U zei op 23 november 2026 dat dit niet klopt." in page.content()
    assert "Wij vragen om antwoord voor 4 december 2026." in page.content()
    page.get_by_role("button", name="Ik neem dit terug").click()
    page.goto(f"{portal.url}/mijn/bekend")
    expect(page.get_by_role("button", name="Ik neem dit terug")).to_have_count(0)


def test_a_source_manager_answers_what_is_disputed_with_one_click(
    page: Page, source: Site, enter: Enter
) -> None:
    source.disputes.waiting = list(DISPUTES)
    enter(page, source, "bea")
    page.get_by_role("link", name="Betwist").first.click()
    text = page.get_by_role("main").inner_text()
    assert "Antwoord voor 28 november 2026. Anders ziet niemand deze melding meer." in text
    assert "Vertel dit aan uw FG." in text
    assert "Niemand ziet deze melding meer." in text

    page.get_by_role("button", name=re.compile("Nee, de melding blijft ?, kenmerk zaak-b")).click()

    assert source.disputes.answered == [("b", "rejected")]
    assert "Uw antwoord is opgeslagen." in page.content()
