"""X1, the counter desk: an employee helps who cannot log in to see and to stop, and never to say yes."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from consent.pages.pages import HEADERS
from nodes.employees import employee_id
from nodes.errors import HubUnreachable, NotAllowed
from nodes.portal.counter import Counter
from nodes.settings import CounterSettings, NodeSettings
from tests.pages.checks import broken_rules, numbers_in
from tests.pages.client import Plain
from tests.pages.conftest import Enter, own_machine_only
from tests.pages.world import (
    UNKNOWN,
    WITH_FLAGS,
    WITHOUT,
    Site,
    look_line,
    node_settings,
    node_site,
    own_flag,
    served,
)

Check = Callable[[str], None]
FORM = {"nummer": WITH_FLAGS, "wie": "zelf", "document": "paspoort", "gecontroleerd": "ja"}


@pytest.fixture
def scripted(browser: Browser) -> Iterator[Page]:
    """A desk with script, which axe needs."""
    context = browser.new_context(viewport={"width": 1024, "height": 768}, locale="nl-NL")
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


def identify(page: Page, number: str = WITH_FLAGS, who: str = "Voor zichzelf") -> None:
    """From the start of the counter through the check."""
    page.get_by_role("link", name="Begin een controle").click()
    page.get_by_label(who).check()
    page.get_by_label("Identiteitskaart").check()
    page.get_by_label("Burgerservicenummer van de inwoner").fill(number)
    page.get_by_label("Ik heb het document en het gezicht vergeleken.").check()
    page.get_by_role("button", name="Ga verder").click()


def show_evidence(page: Page, capacity: str = "Een gemachtigde", number: str = WITHOUT) -> None:
    page.get_by_label(capacity).check()
    page.get_by_label("Burgerservicenummer van wie mag kiezen").fill(number)
    page.get_by_label("Kenmerk van het besluit").fill("M-2026/17")
    page.get_by_label("Geldig tot en met").fill("31-12-2027")
    page.get_by_label("Ik heb het bewijs gezien.").check()
    page.get_by_role("button", name="Leg dit vast").click()


class AtCounter(Plain):
    """A visitor who works at the counter, without a browser."""

    def begins(self, **changes: str) -> str:
        """Do the check; its id."""
        answer = self.post("/balie/controle", {**FORM, "csrf": self.token("/balie/controle"), **changes})
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"]).rpartition("=")[2]

    def csrf(self) -> str:
        """The token of the form session as it is now."""
        session = self.site.pages.sessions._by_id[self.session]
        return str(session.csrf)


@pytest.fixture
def loes(counter: Site) -> AtCounter:
    visitor = AtCounter(counter)
    assert visitor.log_in("loes").status_code == 303
    return visitor


# --- every rule on every screen ---------------------------------------------------------


def test_the_counters_screens_hold_every_rule(
    scripted: Page, counter: Site, enter: Enter, check: Check
) -> None:
    page, citizens = scripted, counter.citizens
    citizens.granted = {"een": ("schuldhulp",), "twee": ("bijstand",)}
    citizens.known, citizens.lines = [own_flag("schuldhulp")], [look_line(3, counter=True, role="burger")]
    enter(page, counter, "loes")
    check("start")
    page.get_by_role("link", name="Begin een controle").click()
    check("who")
    page.get_by_role("button", name="Ga verder").click()
    check("who, nothing filled in")
    page.goto(f"{counter.url}/balie")
    identify(page)
    check("see or stop")
    page.get_by_role("link", name="Inzien").click()
    check("see")
    page.get_by_role("link", name="Terug").click()
    page.get_by_role("link", name="Stoppen").click()
    check("stop")
    page.get_by_role("button", name="Stop alle toestemmingen").click()
    check("stopped")
    page.get_by_role("link", name="Terug naar deze inwoner").click()
    page.get_by_role("link", name="Stoppen").click()
    check("nothing to stop")
    page.get_by_role("link", name="Terug").click()
    page.get_by_role("link", name="Op slot").click()
    check("lock")
    page.get_by_role("button", name="Bekijk wat er verandert").click()
    check("lock, nothing chosen")
    page.get_by_label("Alles over geld").check()
    page.get_by_role("button", name="Bekijk wat er verandert").click()
    check("what the lock changes")
    page.goto(page.url.replace("slot/gevolg", "bewijs"))
    check("evidence")
    page.get_by_role("button", name="Leg dit vast").click()
    check("evidence, nothing filled in")
    show_evidence(page)
    check("evidence saved")
    page.goto(f"{counter.url}/balie")
    check("a check that runs")
    page.get_by_role("button", name="Klaar").click()
    check("done")
    page.get_by_role("link", name="Naar het begin").click()
    identify(page, who="Voor een ander")
    check("evidence first")


def test_the_citizen_reads_that_it_was_a_counter(
    scripted: Page, portal: Site, enter: Enter, check: Check
) -> None:
    page = scripted
    place = "Balie, Stadhuis Waterrijk"
    portal.citizens.lines = [
        look_line(1, what, role="burger", purpose="", organisation=place, counter=True)
        for what in ("relation", "log_view", "choice")
    ]
    enter(page, portal, "fatima")
    page.goto(f"{portal.url}/mijn/gekeken")
    check("who looked, with a counter")
    expect(page.get_by_role("main")).to_contain_text(
        f"Aan de balie: {place}. Een medewerker legde vast wat u koos."
    )
    expect(page.get_by_role("main")).to_contain_text("Een medewerker controleerde wie u bent")
    expect(page.get_by_role("main")).to_contain_text("Een medewerker keek met u mee.")


# --- without JavaScript ------------------------------------------------------------------


def test_a_citizen_without_login_sees_stops_and_locks(page: Page, counter: Site, enter: Enter) -> None:
    citizens = counter.citizens
    citizens.granted = {"een": ("schuldhulp",), "twee": ("bijstand",)}
    citizens.known = [own_flag("schuldhulp")]
    enter(page, counter, "loes")
    expect(page.get_by_text("Aan de balie geven wij geen ja.")).to_be_visible()
    page.get_by_role("link", name="Begin een controle").click()
    expect(page.get_by_text("Wij controleren wie u bent. Dit schrijven wij op.")).to_be_visible()
    page.goto(f"{counter.url}/balie")
    identify(page)
    assert citizens.counters == [employee_id(counter.node.keys.secret, "loes")]
    expect(page.get_by_role("heading", level=1)).to_have_text("Wilt u inzien of stoppen?")
    page.get_by_role("link", name="Inzien").click()
    expect(page.get_by_role("main")).to_contain_text("Hulp bij schulden")
    page.get_by_role("link", name="Terug").click()
    page.get_by_role("link", name="Stoppen").click()
    page.get_by_role("button", name="Stop deze toestemming").first.click()
    expect(page.get_by_text("Deze toestemming is gestopt. Dit geldt nu.")).to_be_visible()
    assert list(citizens.granted) == ["twee"]
    page.get_by_role("link", name="Terug naar deze inwoner").click()
    page.get_by_role("link", name="Op slot").click()
    page.get_by_label("Alles", exact=True).check()
    page.get_by_role("button", name="Bekijk wat er verandert").click()
    expect(page.get_by_role("heading", name="Dit blijft zichtbaar volgens de wet")).to_be_visible()
    expect(page.get_by_role("main")).to_contain_text("Bijstand")
    assert citizens.changes == [], "nothing is saved before the effect was shown"
    page.get_by_role("button", name="Zet op slot").click()
    expect(page.get_by_text("Dit staat op slot. Dit geldt nu.")).to_be_visible()
    assert [(one.effect, one.kind, one.domain) for one in citizens.changes] == [("slot", "", "")]
    assert citizens.texts[-1].startswith("Aan de balie. Gecontroleerd: identiteitskaart.")
    for text in (page.content(), page.url, page.title()):
        assert numbers_in(text) == 0


def test_after_klaar_back_shows_the_start_and_nothing_is_left(
    page: Page, counter: Site, enter: Enter
) -> None:
    counter.citizens.known = [own_flag("schuldhulp")]
    enter(page, counter, "loes")
    identify(page)
    page.get_by_role("link", name="Inzien").click()
    (session,) = [one for one in counter.pages.sessions._by_id.values() if one.person]
    page.get_by_role("button", name="Klaar").click()
    expect(page.get_by_text("Klaar. Er is niets bewaard op dit apparaat.")).to_be_visible()
    assert len(counter.citizens.closed) == 1
    assert session.person.counter.check is None
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Balie")
    assert "Hulp bij schulden" not in page.content()


def test_with_the_keyboard_alone(page: Page, counter: Site, enter: Enter) -> None:
    enter(page, counter, "loes")

    def to(name: str) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            focused = page.locator(":focus")
            if focused.count() and name in (focused.get_attribute("id") or "", focused.inner_text().strip()):
                return
        raise AssertionError(f"Tab never reaches {name}")

    to("Begin een controle")
    page.keyboard.press("Enter")
    to("wie-zelf")
    page.keyboard.press("Space")
    to("document-paspoort")
    page.keyboard.press("Space")
    to("nummer")
    page.keyboard.type(WITH_FLAGS)
    to("gecontroleerd")
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Wilt u inzien of stoppen?")
    to("Klaar")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Klaar. Er is niets bewaard op dit apparaat.")).to_be_visible()


def test_in_english_no_dutch_is_left(page: Page, counter: Site, enter: Enter) -> None:
    enter(page, counter, "loes")
    page.get_by_role("link", name="English").click()
    expect(page.get_by_text("At the counter we give no yes.")).to_be_visible()
    page.get_by_role("link", name="Begin a check").click()
    expect(page.get_by_text("We check who you are. We record this.")).to_be_visible()


def test_a_representative_shows_evidence_before_anything_else(
    page: Page, counter: Site, enter: Enter
) -> None:
    enter(page, counter, "loes")
    identify(page, who="Voor een ander")
    expect(page.get_by_text("Eerst het bewijs. Daarna kunt u verder.")).to_be_visible()
    check_id = page.url.rpartition("=")[2]
    for path in ("inwoner", "inzien", "stoppen", "slot"):
        page.goto(f"{counter.url}/balie/{path}?controle={check_id}")
        expect(page.get_by_text("Eerst het bewijs.")).to_be_visible()
    show_evidence(page)
    expect(page.get_by_text("Deze persoon mag nu voor de inwoner kiezen.")).to_be_visible()
    expect(page.get_by_text("Aan de balie staat een ander: een gemachtigde.")).to_be_visible()
    ((speaker, until),) = counter.citizens.said_for
    assert (speaker.by, speaker.evidence) == ("gemachtigde", "M-2026/17")
    assert until.isoformat() == "2028-01-01T00:00:00+01:00"


def test_evidence_that_does_not_hold_is_said_in_words_and_no_number_comes_back(
    page: Page, counter: Site, enter: Enter
) -> None:
    enter(page, counter, "loes")
    identify(page, who="Voor een ander")
    show_evidence(page, number=WITH_FLAGS)
    expect(page.get_by_role("alert")).to_contain_text("Dit bewijs klopt niet. Er is niets opgeslagen.")
    counter.citizens.fails = NotAllowed("measure-too-young")
    show_evidence(page)
    expect(page.get_by_role("alert")).to_contain_text("Deze inwoner is daar nog te jong voor.")
    page.get_by_label("Kenmerk van het besluit").fill(UNKNOWN)
    page.get_by_role("button", name="Leg dit vast").click()
    assert UNKNOWN not in page.content()
    assert counter.citizens.said_for == []


@pytest.mark.parametrize("typed", ["", "morgen", "31-02-2027", "2027", "31-12-9999", "1-1-1-1", "²-1-2027"])
def test_a_day_that_is_no_day_is_asked_again(counter: Site, loes: AtCounter, typed: str) -> None:
    id_ = loes.begins(wie="ander")
    form = {"nummer": WITHOUT, "als": "mentor", "kenmerk": "A-1", "tot": typed, "gecontroleerd": "ja"}
    answer = loes.post("/balie/bewijs", {**form, "csrf": loes.csrf(), "controle": id_})
    assert answer.status_code == 400
    assert "Deze datum klopt niet." in answer.text
    assert counter.citizens.said_for == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"nummer": "123456789"}, "Dit burgerservicenummer klopt niet. Kijk het na."),
        ({"nummer": ""}, "Zonder burgerservicenummer kan opzoeken niet."),
        ({"document": "bibliotheekpas"}, "Kies het document dat u heeft gezien."),
        ({"gecontroleerd": ""}, "Vergelijk eerst het document met de persoon."),
        ({"wie": ""}, "Kies voor wie deze persoon komt."),
    ],
)
def test_without_a_whole_check_nobody_is_opened(
    counter: Site, loes: AtCounter, changes: dict[str, str], said: str
) -> None:
    form = {**FORM, **changes, "csrf": loes.token("/balie/controle")}
    answer = loes.post("/balie/controle", form)
    assert answer.status_code == 400
    assert said in answer.text
    assert numbers_in(answer.text) == 0
    assert counter.citizens.opened_with == []


def test_every_page_of_a_check_is_stored_nowhere_and_empties_itself(counter: Site, loes: AtCounter) -> None:
    id_ = loes.begins()
    for path in ("inwoner", "inzien", "stoppen", "slot", "bewijs"):
        answer = loes.get(f"/balie/{path}?controle={id_}")
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == HEADERS["Cache-Control"] == "no-store"
        assert answer.headers["refresh"] == "300; url=/leeg"
        assert numbers_in(answer.text) == 0


def test_the_export_is_one_file_whose_name_names_nobody(counter: Site, loes: AtCounter) -> None:
    id_ = loes.begins()
    answer = loes.post("/balie/inzien/bestand", {"csrf": loes.csrf(), "controle": id_})
    assert answer.headers["content-type"] == "application/zip"
    assert "inzage.zip" in answer.headers["content-disposition"]


def test_an_old_login_begins_no_check_and_says_so(
    counter: Site, loes: AtCounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Counter, "fresh", property(lambda _: False))
    assert "Voor een nieuwe controle logt u eerst opnieuw in." in loes.get("/balie").text
    assert loes.get("/balie/controle").headers["location"] == "/balie"


def test_when_the_hub_is_away_nothing_is_saved_and_the_page_says_so(counter: Site, loes: AtCounter) -> None:
    id_ = loes.begins()
    counter.citizens.granted = {"een": ("schuldhulp",)}
    loes.post("/balie/slot", {"csrf": loes.csrf(), "controle": id_, "wat": "zorg"})
    counter.citizens.fails = HubUnreachable()
    answer = loes.post("/balie/slot/opslaan", {"csrf": loes.csrf(), "controle": id_, "gebied": "zorg"})
    assert answer.status_code == 503
    assert "Er is niets veranderd." in answer.text
    assert counter.citizens.changes == []


# --- attacks -----------------------------------------------------------------------------


def balie_routes(site: Site) -> list[tuple[str, str]]:
    from tests.attacks.test_node_and_holder_routes import flattened

    return [
        (method, str(getattr(route, "path", "")))
        for route in flattened(site.app.router.routes)
        for method in getattr(route, "methods", set()) - {"HEAD"}
        if str(getattr(route, "path", "")).startswith("/balie")
    ]


def test_two_tabs_with_two_persons_never_mix(counter: Site, loes: AtCounter) -> None:
    counter.citizens.granted = {"een": ("schuldhulp",)}
    first = loes.begins()
    second = loes.begins(nummer=WITHOUT)
    assert len(counter.citizens.closed) == 1
    for method, path in balie_routes(counter):
        if method == "GET" and path not in ("/balie", "/balie/controle", "/balie/klaar"):
            assert loes.get(f"{path}?controle={first}").headers["location"] == "/balie", path
        if method == "POST" and path != "/balie/controle":
            form = {"csrf": loes.csrf(), "controle": first, "wat": "alles", "gebied": ""}
            answer = loes.post(path, form)
            assert answer.status_code == 409, path
            assert "Er is niets gedaan." in answer.text
    assert counter.citizens.granted == {"een": ("schuldhulp",)}
    assert loes.get(f"/balie/inwoner?controle={second}").status_code == 200


def test_a_citizen_reaches_no_page_of_the_counter(counter: Site) -> None:
    fatima = AtCounter(counter)
    fatima.log_in("fatima")
    walked = 0
    for method, path in balie_routes(counter):
        form = {**FORM, "csrf": fatima.csrf(), "controle": ""}
        answer = fatima.get(path) if method == "GET" else fatima.post(path, form)
        assert answer.status_code == 403, (method, path)
        walked += 1
    assert walked >= 15
    assert counter.citizens.counters == [""]


def test_the_counter_reaches_no_page_of_a_citizen_and_no_way_to_a_yes(counter: Site, loes: AtCounter) -> None:
    from tests.attacks.test_node_and_holder_routes import flattened

    walked = 0
    yes = {"keuze": "grant", "effect": "grant", "onderwerp": "schuldhulp", "ontvanger": "0", "maanden": "12"}
    for route in flattened(counter.app.router.routes):
        path, who = str(getattr(route, "path", "")), getattr(getattr(route, "endpoint", None), "who", None)
        for method in getattr(route, "methods", set()) - {"HEAD"}:
            if who is None or (path.startswith("/balie") and method == "GET"):
                continue
            id_ = loes.begins()
            form = {**yes, "csrf": loes.csrf(), "controle": id_, "wat": "een"}
            answer = loes.get(path) if method == "GET" else loes.post(path, form)
            assert path.startswith("/balie") or answer.status_code == 403, (method, path)
            walked += 1
    assert walked >= 30
    assert [change.effect for change in counter.citizens.changes if change.effect == "grant"] == []
    assert counter.citizens.granted == {}


@pytest.mark.parametrize("parts", [{"desk"}, {"source"}, {"desk", "source"}])
def test_the_role_of_the_counter_is_worth_nothing_elsewhere(issuer: str, parts: set[str]) -> None:
    with served(node_site(parts, issuer)) as site:
        loes = Plain(site)
        assert loes.log_in("loes").status_code == 403
        assert [loes.get(path).status_code for path in ("/", "/balie")] == [200, 404]


def test_without_settings_there_is_no_counter(portal: Site) -> None:
    loes = Plain(portal)
    assert "Zonder burgerservicenummer kan opzoeken niet." in loes.log_in("loes").text
    assert loes.get("/balie").status_code == 404


def test_a_login_that_is_a_citizen_as_well_gets_in_as_neither(counter: Site) -> None:
    lotte = Plain(counter)
    assert lotte.log_in("lotte").status_code == 403
    assert lotte.get("/balie").status_code == lotte.get("/mijn").status_code == 401
    assert counter.citizens.opened_with == []


def test_a_form_from_elsewhere_or_without_its_token_does_nothing(counter: Site, loes: AtCounter) -> None:
    id_ = loes.begins()
    counter.citizens.granted = {"een": ("schuldhulp",)}
    form = {"controle": id_, "wat": "alles"}
    answers: list[httpx.Response] = [
        loes.post("/balie/stoppen", {**form, "csrf": "x"}),
        loes.post("/balie/stoppen", {**form, "csrf": loes.csrf()}, Origin="http://evil.example"),
    ]
    assert [answer.status_code for answer in answers] == [403, 403]
    assert counter.citizens.granted


@pytest.mark.parametrize("changes", [{"parts": {"desk"}}, {"login": None}])
def test_a_counter_elsewhere_than_at_a_portal_with_login_stops_the_process(changes: dict[str, Any]) -> None:
    place = CounterSettings(name="Balie")
    parts = changes.pop("parts", {"portal"})
    with pytest.raises(Exception, match=re.escape("[counter] belongs to a portal with [login]")):
        node_settings(parts, 1, "http://localhost:1", counter=place, **changes)
    assert NodeSettings.model_fields["counter"].default is None
