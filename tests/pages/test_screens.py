"""Every screen in every state: accessible, narrow, by keyboard, without a person in address or page."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from nodes.errors import CrisisSettled, HoldersUnreachable, HubUnreachable, ReceiptInvalid, Refused, Wrong
from nodes.sender import Comparison
from tests.pages.checks import broken_rules
from tests.pages.conftest import USERS, Enter, own_machine_only
from tests.pages.world import (
    DISPUTES,
    ENTRIES,
    INQUIRIES,
    LINES,
    REJECTIONS,
    REQUESTS,
    REVIEWS,
    WAITING,
    WITH_FLAGS,
    WITHOUT,
    LookLine,
    Site,
    a_right,
    look_line,
    own_flag,
    real_import,
    signal_view,
)

Check = Callable[[str], None]


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A phone with script, which axe needs; the stories run without."""
    context = browser.new_context(viewport={"width": 390, "height": 844}, locale="nl-NL")
    own_machine_only(context)
    yield context.new_page()
    context.close()


@pytest.fixture
def check(page: Page) -> Iterator[Check]:
    """Collects what is wrong on each named screen; the test fails at its end with all of it."""
    wrong: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            wrong.append(f"console: {message.text}")

    page.on("console", note)

    def check_screen(name: str) -> None:
        wrong.extend(f"{name}: {problem}" for problem in broken_rules(page))

    yield check_screen
    assert wrong == []


def ask(page: Page, site: Site, *numbers: str) -> None:
    """From the start to the first answer, for a home visit."""
    page.goto(f"{site.url}/kijken")
    page.get_by_role("link", name="Huisbezoek").click()
    page.get_by_label("Burgerservicenummer", exact=True).fill(numbers[0])
    page.get_by_label("Zaaknummer").fill("Z-2026-17")
    if len(numbers) > 1:
        page.get_by_text("Bezoekt u meer mensen?").click()
    for place, number in enumerate(numbers[1:], 2):
        page.locator(f"#nummer-{place}").fill(number)
    page.get_by_role("button", name="Bekijk").click()


def declare(page: Page, number: str) -> None:
    """Fill in the urgent form, with somebody else at risk, and look."""
    page.get_by_label("Burgerservicenummer", exact=True).fill(number)
    page.get_by_label("Kind niet veilig").check()
    page.get_by_label("Iemand anders").check()
    page.get_by_role("group", name="Kan deze persoon").get_by_label("Nee").check()
    page.get_by_role("button", name="Ik kijk nu").click()


def test_the_desk_holds_every_rule_on_every_screen(
    page: Page, desk: Site, enter: Enter, check: Check
) -> None:
    page.goto(desk.url)
    check("door")
    enter(page, desk, "jan")
    check("why")
    page.get_by_role("link", name="Huisbezoek").click()
    check("who")
    page.get_by_role("button", name="Bekijk").click()
    check("who, nothing filled in")
    ask(page, desk, "123456789")
    check("who, wrong number")
    ask(page, desk, WITH_FLAGS, WITHOUT)
    check("something is known")
    page.get_by_role("button", name="Toon de onderwerpen").click()
    check("subjects")
    page.goto(f"{desk.url}/bezoeken")
    check("own visits")
    page.get_by_role("button", name="Verleng").first.click()
    check("own visits, prolonged")
    page.goto(f"{desk.url}/mijn-functie")
    check("own role")
    desk.visits.silent = ["Jeugdhulp Rivierenland"]
    ask(page, desk, WITHOUT)
    check("nothing, a source silent")
    page.get_by_role("button", name="Klaar").click()
    check("done")
    page.goto(f"{desk.url}/leeg")
    check("blanked")
    page.get_by_role("button", name="Uitloggen").click()
    check("logged out")
    page.goto(f"{desk.url}/kijken")
    check("expired")
    page.goto(f"{desk.url}/nergens")
    check("missing")


def test_looking_in_danger_holds_every_rule_on_every_screen(
    page: Page, desk: Site, enter: Enter, check: Check
) -> None:
    enter(page, desk, "jan")
    page.goto(f"{desk.url}/kijken/spoed")
    check("urgent")
    page.get_by_role("button", name="Ik kijk nu").click()
    check("urgent, nothing filled in")
    declare(page, WITH_FLAGS)
    check("urgent, looked")
    page.goto(f"{desk.url}/bezoeken")
    check("own visits, an urgent one")
    page.goto(f"{desk.url}/spoed")
    check("nothing to confirm")
    desk.crises.waiting = list(WAITING)
    page.goto(f"{desk.url}/spoed")
    check("to confirm")
    page.get_by_role("button", name=re.compile("Ja, dit klopt.*Aisha")).click()
    check("confirmed")
    desk.crises.fails = CrisisSettled("too-late")
    page.get_by_role("button", name=re.compile("Nee, meld dit")).click()
    check("too late to confirm")
    page.goto(f"{desk.url}/taal/en?naar=/kijken/spoed")
    check("urgent, in English")


def test_the_portal_holds_every_rule_on_every_screen(
    page: Page, portal: Site, enter: Enter, check: Check
) -> None:
    page.goto(portal.url)
    check("door")
    enter(page, portal, "fatima")
    check("begin")
    page.goto(f"{portal.url}/mijn/keuzes")
    check("choices")
    page.get_by_role("button", name=re.compile("Ja.*Wijkteam Noord alle")).click()
    check("effect of a yes")
    page.get_by_label("6 maanden").check()
    page.get_by_role("button", name="Ja, dit mag").click()
    check("saved")
    page.goto(f"{portal.url}/mijn/keuzes")
    check("choices after a yes")
    page.get_by_role("button", name=re.compile("Nee.*Wijkteam Noord alle")).click()
    check("effect of a no")
    page.goto(f"{portal.url}/mijn/stoppen")
    check("stop everything")
    page.get_by_role("button", name="Ik stop al mijn").click()
    check("stopped")
    page.goto(f"{portal.url}/mijn/nakijken")
    check("check the proof")
    page.goto(f"{portal.url}/mijn/bekend")
    check("nothing known")
    portal.citizens.known = [own_flag("schuldhulp"), own_flag("ggz")]
    page.goto(f"{portal.url}/mijn/bekend")
    check("known")
    page.get_by_role("button", name=re.compile("Dit klopt niet ?, Hulp bij schulden")).click()
    check("a dispute was saved")
    page.goto(f"{portal.url}/mijn/bekend")
    check("known, disputed")
    portal.citizens.rights = [
        a_right("dispute", "schuldhulp", suspended=True),
        a_right("objection", "schuldhulp", answer="rejected", mine=False),
        a_right("restriction", "ggz"),
        a_right("objection", "bijstand", extended=True),
        a_right("dispute", "leerplicht", answer="confirmed"),
    ]
    page.goto(f"{portal.url}/mijn/bekend")
    check("known, every state of a right")
    page.goto(f"{portal.url}/mijn/gekeken")
    check("nobody looked")
    portal.citizens.lines = LINES
    page.goto(f"{portal.url}/mijn/gekeken")
    check("who looked")
    portal.citizens.verified = False
    page.goto(f"{portal.url}/mijn/gekeken")
    check("who looked, list broken")


def test_the_source_holds_every_rule_on_every_screen(
    page: Page, source: Site, enter: Enter, check: Check, tmp_path: Path
) -> None:
    enter(page, source, "bea")
    check("overview")
    source.source.rejections = list(REJECTIONS)
    source.source.waiting = 2
    source.source.reachable = False
    page.goto(f"{source.url}/bron")
    check("overview, nothing reachable")
    page.goto(f"{source.url}/bron/geweigerd")
    check("rejected")
    page.get_by_role("button", name=re.compile("opgelost.*zaak-17")).click()
    check("rejected, one repaired")
    source.source.rejections = []
    page.goto(f"{source.url}/bron/geweigerd")
    check("nothing rejected")
    page.goto(f"{source.url}/bron/betwist")
    check("nothing disputed")
    source.disputes.waiting = list(DISPUTES)
    page.goto(f"{source.url}/bron/betwist")
    check("disputes in every state")
    page.get_by_role("button", name=re.compile("Dit klopt ?, kenmerk zaak-a")).click()
    check("a dispute answered")
    source.disputes.fails = HubUnreachable()
    page.goto(f"{source.url}/bron/betwist")
    check("disputes, hub away")
    page.goto(f"{source.url}/bron/soorten")
    check("kinds")
    for name, part in real_import(tmp_path).items():
        setattr(source.node, name, part)
    page.goto(f"{source.url}/bron/invoeren")
    check("import")
    page.get_by_role("button", name="Doe een proef").click()
    check("import, no file")
    rows = f"bsn;kind;local_ref;since;until\n{WITH_FLAGS};schuldhulp;zaak-1;2025-03;\n1;x;zaak-2;x;\n"
    page.get_by_label("Bestand (CSV)").set_input_files(
        {"name": "lijst.csv", "mimeType": "text/csv", "buffer": rows.encode()}
    )
    page.get_by_role("button", name="Doe een proef").click()
    check("trial")


def test_trying_and_comparing_hold_every_rule_on_every_screen(
    page: Page, source: Site, enter: Enter, check: Check, tmp_path: Path
) -> None:
    enter(page, source, "bea")
    for name, part in real_import(tmp_path).items():
        setattr(source.node, name, part)
    rows = f"bsn;naam;kind;local_ref;since\n{WITH_FLAGS};x;schuldhulp;zaak-1;2025-03\n1;x;x;zaak-2;x\n"
    page.goto(f"{source.url}/bron/proefbericht")
    check("try a message")
    page.get_by_label("Bericht of regels").fill(rows)
    page.get_by_role("button", name="Probeer dit bericht").click()
    check("a message tried")
    page.goto(f"{source.url}/bron/vergelijken")
    page.get_by_role("button", name="Vergelijk nu").click()
    check("compare, messages wait")
    source.node.sender.found = Comparison(12, ["zaak-1"], frozenset({b"x" * 32}), [7])
    page.get_by_role("button", name="Vergelijk nu").click()
    check("compare, differences")
    inbox = source.node.sources.inbox
    for content, wrong in (
        (b"1", Wrong("file", "csv", "Line 2 is not CSV: check the quotation marks.")),
        (b"2", Wrong("snapshot", "shrinks-too-much", "The list had 10 rows and now has 5.")),
    ):
        inbox.put("lijsten", content)
        inbox.set_aside(inbox.next(["lijsten"]), wrong)
    page.goto(f"{source.url}/bron/geweigerd")
    check("aside")


def test_a_source_is_switched_off_in_two_steps_by_two_people(
    page: Page, source: Site, enter: Enter, check: Check, tmp_path: Path
) -> None:
    real = real_import(tmp_path)
    for name, part in real.items():
        setattr(source.node, name, part)
    enter(page, source, "bea")
    page.goto(f"{source.url}/bron/uitzetten")
    expect(page.get_by_text("Een collega moet dit bevestigen")).to_be_visible()
    check("switching off")
    page.get_by_role("button", name="Vraag dit aan").click()
    expect(page.locator("#naam-fout")).to_have_text(
        "Dit is niet de naam van uw organisatie. Er is niets gedaan."
    )
    check("switching off, no name")
    page.get_by_label("Naam van uw organisatie").fill("Schuldhulp Waterrijk")
    page.get_by_role("button", name="Vraag dit aan").click()
    expect(page.get_by_role("button", name="Doe dit niet")).to_be_visible()
    expect(page.get_by_role("button", name="Ja, trek alles in")).to_have_count(0)
    check("switching off, asked by oneself")
    page.get_by_role("button", name="Doe dit niet").click()
    expect(page.get_by_text("De aanvraag is weg.")).to_be_visible()
    real["switching_off"].ask("een-collega", "Schuldhulp Waterrijk")
    page.goto(f"{source.url}/bron/uitzetten")
    expect(page.get_by_role("button", name="Ja, trek alles in")).to_be_visible()
    check("switching off, a colleague asked")
    page.get_by_role("button", name="Ja, trek alles in").click()
    expect(page.get_by_text("Uw bron staat uit sinds")).to_be_visible()
    check("switched off")


def test_the_officer_holds_every_rule_on_every_screen(
    page: Page, officer: Site, enter: Enter, check: Check
) -> None:
    page.goto(officer.url)
    check("door")
    enter(page, officer, "olga")
    check("begin")
    page.goto(f"{officer.url}/lijst")
    check("empty log")
    officer.log.lines = ENTRIES
    page.goto(f"{officer.url}/lijst")
    check("entries")
    page.goto(f"{officer.url}/lijst?dag=gisteren")
    check("wrong day")
    page.goto(f"{officer.url}/spoed")
    check("no reviews")
    officer.log.waiting = list(REVIEWS)
    page.goto(f"{officer.url}/spoed")
    check("reviews")
    page.get_by_role("button", name=re.compile("^Uitleg past(?! niet)")).first.click()
    check("one reviewed")
    officer.log.holds = False
    page.goto(f"{officer.url}/lijst?functie=fg")
    check("nothing found")
    page.goto(f"{officer.url}/begin")
    check("broken log")


def test_the_officers_work_holds_every_rule_on_every_screen(
    page: Page, officer: Site, enter: Enter, check: Check
) -> None:
    enter(page, officer, "olga")
    paths = (
        "begin", "steekproef", "patronen", "openen", "naspelen?regel=2026-1", "bewaartermijn", "uitvoer",
        "regels", "regels/2", "organisaties", "cijfers", "cijfers?onderwerp=schuldhulp", "spoed",
    )  # fmt: skip
    for state in ("empty", "full"):
        officer.work.full = state == "full"
        for path in paths:
            page.goto(f"{officer.url}/{path}")
            check(f"{path}, {state}")
    page.goto(f"{officer.url}/openen/een")
    check("opened lines")
    page.goto(f"{officer.url}/patronen")
    page.get_by_role("button", name=re.compile("^Vraag om uitleg ?, regel 38")).first.click()
    check("asked")
    page.goto(f"{officer.url}/steekproef")
    page.get_by_role("button", name=re.compile("^Vertel het nu")).first.click()
    page.get_by_role("button", name=re.compile("^Vertel het later")).first.click()
    page.goto(f"{officer.url}/spoed")
    page.get_by_role("button", name=re.compile("^Uitleg past(?! niet)")).first.click()
    page.goto(f"{officer.url}/openen")
    page.get_by_role("button", name=re.compile("^Keur goed")).click()
    page.goto(f"{officer.url}/regels/2")
    page.get_by_role("button", name="Speel na").click()
    check("what if")
    expect(page.get_by_role("option")).to_have_text(["carla"])
    page.get_by_label("Handtekening").fill("wrong")
    page.get_by_role("button", name="Keur versie 2 goed").click()
    check("not approved")
    page.get_by_label("Handtekening").fill("good")
    page.get_by_role("button", name="Keur versie 2 goed").click()
    expect(page).to_have_url(f"{officer.url}/regels")
    assert officer.work.done == [
        ("ask", "2026-38"),
        ("release", "wijkteam.vt_liaison.lookup"),
        ("postpone", "wijkteam.vt_liaison.lookup", "onderzoek_loopt"),
        ("fits", "twee"),
        ("approve", "een", USERS["olga"]["oin"]),
        ("approve_version", "2", "carla", "wrong"),
        ("approve_version", "2", "carla", "good"),
    ]


def test_an_own_officer_holds_every_rule_on_every_screen(
    page: Page, desk: Site, enter: Enter, check: Check
) -> None:
    enter(page, desk, "olga")
    paths = ("nakijken", "patronen", "steekproef", "lijst", "naspelen?regel=2026-40", "uitvoer")
    for state in ("empty", "full"):
        desk.oversight.full = state == "full"
        for path in paths:
            page.goto(f"{desk.url}/toezicht/{path}")
            check(f"{path}, {state}")
    page.goto(f"{desk.url}/toezicht/lijst?dag=gisteren&functie=verzonnen")
    check("wrong day")
    page.goto(f"{desk.url}/toezicht/lijst")
    page.get_by_role("button", name=re.compile("^Vraag om uitleg ?, regel 40")).click()
    check("asked")
    page.goto(f"{desk.url}/toezicht/nakijken")
    page.get_by_role("button", name=re.compile("^Uitleg past niet")).last.click()
    page.get_by_role("button", name=re.compile("^Vraag om uitleg")).first.click()
    check("nakijken, acted")
    told = [(one.act, one.id[:1] or one.index, one.outcome or one.why) for one in desk.oversight.done]
    assert told[0] == ("ask", 40, "patroon")
    assert told[1] == ("close", "B", "does_not_fit")
    assert told[2][0::2] == ("review", "asked")
    assert desk.oversight.asked[-1].role == ""
    hub = HubUnreachable()

    async def away(*_: object) -> None:
        raise hub

    desk.oversight.work = away  # type: ignore[method-assign, assignment]
    page.goto(f"{desk.url}/toezicht/nakijken")
    check("hub down")
    page.goto(f"{desk.url}/kijken")
    check("an officer does not look")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert "Wij kunnen" not in page.get_by_role("main").inner_text()


def test_a_question_of_the_officer_is_answered_from_a_list(
    page: Page, desk: Site, enter: Enter, check: Check
) -> None:
    enter(page, desk, "jan")
    page.goto(f"{desk.url}/vragen")
    check("no questions")
    desk.inquiries.asked = list(INQUIRIES)
    page.goto(f"{desk.url}/vragen")
    check("questions")
    page.get_by_role("combobox").first.select_option("consultation")
    page.get_by_role("button", name=re.compile("^Verstuur")).first.click()
    check("answered")
    assert desk.inquiries.answers == [("een", "consultation")]
    assert "Uw antwoord is verstuurd." in page.get_by_role("status").inner_text()


def test_what_is_new_is_followed_worked_on_and_closed(
    page: Page, desk: Site, enter: Enter, check: Check
) -> None:
    enter(page, desk, "jan")
    page.goto(f"{desk.url}/wijzigingen")
    check("nothing new")
    ask(page, desk, WITH_FLAGS)
    page.goto(f"{desk.url}/bezoeken")
    page.get_by_role("button", name=re.compile("^Vertel mij wat nieuw is")).first.click()
    expect(page.get_by_role("status")).to_contain_text("U hoort het als er iets nieuws is.")
    check("followed")
    (visit,) = desk.signals.following
    desk.signals.views = [
        signal_view(visit), signal_view("b", "seen", first=True), signal_view("c", "taken"),
        signal_view("d", mine=False),
    ]  # fmt: skip
    page.goto(f"{desk.url}/bezoeken")
    check("own visits, something new")
    page.get_by_role("link", name="Wijzigingen").click()
    expect(page.get_by_text(f"Er is iets nieuws bij zaak Z-2026-{visit}. Kijk opnieuw.")).to_be_visible()
    check("changes in every state")
    page.get_by_role("button", name=re.compile("^Ik neem dit bezoek over")).click()
    expect(page.get_by_role("status")).to_contain_text("Dit staat nu op uw naam.")
    page.get_by_role("button", name=re.compile(f"^Afgesloten.*Z-2026-{visit}")).click()
    expect(page.get_by_role("status")).to_contain_text("Dit is afgesloten.")
    check("one closed")
    page.goto(f"{desk.url}/taal/en?naar=/wijzigingen")
    check("changes, in English")


def test_contact_is_asked_without_content_and_shown_as_sent(
    page: Page, desk: Site, enter: Enter, check: Check
) -> None:
    enter(page, desk, "jan")
    desk.signals.names = ["Schulden en zorg"]
    ask(page, desk, WITH_FLAGS)
    page.get_by_role("button", name="Toon de onderwerpen").click()
    check("subjects with contact")
    page.get_by_role("button", name=re.compile("^Vraag contact aan")).first.click()
    expect(page.get_by_text("Verstuurd op 24 november 2026.")).to_be_visible()
    check("contact asked")
    assert len(desk.contacts.asked) == 1
    desk.contacts.gone = True
    page.get_by_role("button", name=re.compile("^Vraag contact aan")).first.click()
    expect(page.get_by_text("Deze melding is er niet meer. Er is niets verstuurd.")).to_be_visible()
    check("contact not possible")


def test_a_request_for_contact_is_done_by_the_source(
    page: Page, source: Site, enter: Enter, check: Check
) -> None:
    enter(page, source, "bea")
    page.goto(f"{source.url}/bron/verzoeken")
    check("no requests")
    source.contacts.waiting = list(REQUESTS)
    page.goto(f"{source.url}/bron/verzoeken")
    expect(page.get_by_text("Wijkteam Noord vraagt contact over zaak-17.")).to_be_visible()
    check("requests")
    page.get_by_role("button", name=re.compile("^Gedaan")).click()
    expect(page.get_by_role("status")).to_contain_text("Opgeslagen.")
    expect(page.get_by_role("button", name=re.compile("^Gedaan"))).to_have_count(0)
    check("requests done")


FAILURES = [
    (HoldersUnreachable(), "Opzoeken kan nu niet. Er is niets bekeken. Probeer het over 5 minuten."),
    (HubUnreachable(), "Wij kunnen nu niets laten zien. Er is niets bekeken. Probeer het later."),
    (Refused("not-allowed"), "U mag dit niet bekijken. Reden: uw functie mag dit niet."),
    (ReceiptInvalid(), "Daarom laten wij niets zien."),
    (ValueError("secret of the house"), "Er ging iets mis. Uw gegevens zijn veilig. Noem nummer"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure[0]).__name__)
def test_a_failure_reads_as_one_plain_sentence(
    page: Page, desk: Site, enter: Enter, check: Check, failure: tuple[Exception, str]
) -> None:
    enter(page, desk, "jan")
    desk.visits.fails, says = failure
    ask(page, desk, WITH_FLAGS)
    assert says in page.get_by_role("status").inner_text()
    assert "secret of the house" not in page.content()
    check("failure")


def test_the_button_of_a_choice_is_in_sight_on_a_phone(page: Page, portal: Site, enter: Enter) -> None:
    enter(page, portal, "fatima")
    page.goto(f"{portal.url}/mijn/keuzes")
    page.get_by_role("button", name=re.compile("Ja.*Wijkteam Noord alle")).click()
    box = page.get_by_role("button", name="Ja, dit mag").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= 844


def test_the_subjects_fit_a_small_laptop_without_scrolling(page: Page, desk: Site, enter: Enter) -> None:
    enter(page, desk, "jan")
    page.set_viewport_size({"width": 1024, "height": 768})
    ask(page, desk, WITH_FLAGS)
    page.get_by_role("button", name="Toon de onderwerpen").click()
    box = page.get_by_role("button", name="Klaar").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= 768


def test_text_of_twice_the_size_stays_on_the_page(page: Page, desk: Site, enter: Enter) -> None:
    enter(page, desk, "jan")
    ask(page, desk, WITH_FLAGS)
    page.get_by_role("button", name="Toon de onderwerpen").click()
    page.evaluate("document.documentElement.style.fontSize = '225%'")
    wide, room = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide <= room


def test_a_printed_answer_has_no_buttons(page: Page, desk: Site, enter: Enter) -> None:
    enter(page, desk, "jan")
    ask(page, desk, WITH_FLAGS)
    page.emulate_media(media="print")
    expect(page.get_by_role("button", name="Klaar")).to_be_hidden()
    expect(page.get_by_text("Er is iets bekend.")).to_be_visible()


def test_a_long_list_of_looks_is_shown_in_parts(page: Page, portal: Site, enter: Enter) -> None:
    enter(page, portal, "fatima")
    lines: list[LookLine] = [look_line(60 * 24 * day) for day in range(70)]
    portal.citizens.lines = lines
    page.goto(f"{portal.url}/mijn/gekeken")
    expect(page.locator("main .vw-list > li")).to_have_count(50)
    page.get_by_role("link", name="Toon oudere regels").click()
    expect(page.locator("main .vw-list > li")).to_have_count(70)


def test_the_checks_see_what_is_wrong_when_something_is(page: Page) -> None:
    page.set_content(
        "<!doctype html><html><title>x</title><h1>a</h1><h1>b</h1><img src='data:,'>"
        f"<div style='width:900px'>wide</div><p>{WITH_FLAGS}</p><button>x</button></html>"
    )
    wrong = " ".join(broken_rules(page))
    for sign in ("axe image-alt", "axe html-has-lang", "sideways", "2 first", "Tab", "number", "too small"):
        assert sign in wrong
