"""Hard moments at the desk: a login that ended, two tabs, a double click, eight people, all at once."""

import re
from dataclasses import replace

import pytest
from playwright.sync_api import Page, expect

from index.protocol.policy import MandateInForce
from nodes.errors import HoldersUnreachable, HubUnreachable
from tests.pages.checks import broken_rules, numbers_in
from tests.pages.client import Plain
from tests.pages.conftest import Enter
from tests.pages.test_screens import ask
from tests.pages.test_screens import page as scripted
from tests.pages.world import AT, UNKNOWN, VOCABULARY, WITH_FLAGS, WITHOUT, Site, flag

__all__ = ["scripted"]
WHO = "/kijken/wie?doel=huisbezoek"
EIGHT = (
    WITH_FLAGS, WITHOUT, UNKNOWN, "999990019", "999990020", "999990032", "999990044", "999990056",
)  # fmt: skip
LONG = "Samenwerkingsverband Maatschappelijke Dienstverlening Noordoost-Waterrijk en Omstreken"


def logged_in(site: Site, user: str = "jan") -> Plain:
    visitor = Plain(site)
    visitor.log_in(user)
    return visitor


def asked(visitor: Plain, *numbers: str, case: str = "Z-1") -> str:
    """Ask about these people; the address of the answer."""
    form = {"csrf": visitor.token(WHO), "doel": "huisbezoek", "zaak": case}
    form |= {f"nummer-{place}": number for place, number in enumerate(numbers, 1)}
    answer = visitor.post(WHO, form)
    assert answer.status_code == 303, answer.text[:2000]
    return answer.headers["location"]


def ended(site: Site) -> None:
    """Twenty minutes later."""
    clock = site.pages.sessions._clock
    site.pages.sessions._clock = lambda: clock() + 1200


# --- a login that ended ------------------------------------------------------------------


def test_what_was_typed_waits_for_the_same_employee_but_no_number_does(desk: Site) -> None:
    jan = logged_in(desk)
    form = {"csrf": jan.token(WHO), "doel": "huisbezoek", "zaak": "Z-2026-17", "nummer-1": WITH_FLAGS}
    ended(desk)
    over = jan.post(WHO, form)
    assert over.status_code == 401
    assert "U bent uitgelogd. Dat is veiliger. Log opnieuw in." in over.text
    assert "Wij bewaren wat u typte" in over.text
    assert "Z-2026-17" not in over.text
    login = re.findall(r'href="(/login\?naar=[^"]+)"', over.text)[0]
    back = jan.get(jan.approve(jan.get(login).headers["location"], "jan"))
    assert back.headers["location"] == WHO
    page = jan.get(WHO).text
    assert 'value="Z-2026-17"' in page
    assert numbers_in(page) == 0
    assert 'value="Z-2026-17"' not in jan.get(WHO).text, "told once"
    assert desk.visits.opened == {}


def test_another_employee_on_the_same_device_finds_nothing(desk: Site) -> None:
    jan = logged_in(desk)
    form = {"csrf": jan.token(WHO), "doel": "huisbezoek", "zaak": "Z-2026-17"}
    ended(desk)
    login = re.findall(r'href="(/login\?naar=[^"]+)"', jan.post(WHO, form).text)[0]
    jan.get(jan.approve(jan.get(login).headers["location"], "sam"))
    assert "Z-2026-17" not in jan.get(WHO).text


def test_a_case_number_that_holds_a_person_is_not_kept(desk: Site) -> None:
    jan = logged_in(desk)
    form = {"csrf": jan.token(WHO), "doel": "huisbezoek", "zaak": f"z{WITH_FLAGS}"}
    ended(desk)
    login = re.findall(r'href="(/login\?naar=[^"]+)"', jan.post(WHO, form).text)[0]
    jan.get(jan.approve(jan.get(login).headers["location"], "jan"))
    assert numbers_in(jan.get(WHO).text) == 0
    assert f"z{WITH_FLAGS}" not in jan.get(WHO).text


def test_the_answers_of_urgent_looking_wait_too(desk: Site) -> None:
    jan = logged_in(desk)
    form = {"csrf": jan.token("/kijken/spoed"), "nummer-1": WITH_FLAGS, "reden": "kind_onveilig"}
    ended(desk)
    login = re.findall(r'href="(/login\?naar=[^"]+)"', jan.post("/kijken/spoed", form).text)[0]
    jan.get(jan.approve(jan.get(login).headers["location"], "jan"))
    page = jan.get("/kijken/spoed").text
    assert re.search(r'value="kind_onveilig" checked', page)
    assert desk.crises.declared == []


def test_from_elsewhere_or_without_a_login_before_nothing_is_kept(desk: Site) -> None:
    jan = logged_in(desk)
    form = {"csrf": jan.token(WHO), "doel": "huisbezoek", "zaak": "Z-2026-17"}
    ended(desk)
    assert "Wij bewaren" not in jan.post(WHO, form, Origin="http://localhost:1").text
    assert "Wij bewaren" not in Plain(desk).post(WHO, form).text


# --- two tabs, two clicks, back ----------------------------------------------------------


def test_two_tabs_keep_two_answers_apart(desk: Site) -> None:
    jan = logged_in(desk)
    first, second = asked(jan, WITH_FLAGS, case="Z-1"), asked(jan, WITHOUT, case="Z-2")
    assert "Er is iets bekend." in jan.get(first).text
    page = jan.get(second).text
    assert "Zaaknummer Z-2" in page
    assert "Er is iets bekend." not in page


def test_klaar_in_one_tab_leaves_the_other_and_its_own_form_dies(desk: Site) -> None:
    jan = logged_in(desk)
    first, second = asked(jan, WITH_FLAGS, case="Z-1"), asked(jan, WITHOUT, case="Z-2")
    old = jan.token(first)
    assert jan.post(f"{first}/klaar", {"csrf": old}).headers["location"] == "/kijken/klaar"
    again = jan.post(f"{first}/onderwerpen", {"csrf": old})
    assert again.status_code == 403
    assert "Wij hebben niets gedaan." in again.text
    assert jan.get(first).headers["location"] == "/kijken"
    assert "Zaaknummer Z-2" in jan.get(second).text


def test_a_second_click_on_klaar_ends_the_same_visit_once(desk: Site) -> None:
    jan = logged_in(desk)
    first = asked(jan, WITH_FLAGS)
    assert jan.post(f"{first}/klaar", {"csrf": jan.token(first)}).status_code == 303
    assert jan.post(f"{first}/klaar", {"csrf": jan.token("/kijken/klaar")}).headers["location"] == (
        "/kijken/klaar"
    )
    assert desk.visits.opened == {}


# --- full and long -----------------------------------------------------------------------


def test_a_household_of_eight_has_eight_blocks_and_no_total(desk: Site) -> None:
    jan = logged_in(desk)
    page = jan.get(asked(jan, *EIGHT)).text
    assert re.findall(r"<h2>Persoon (\d)</h2>", page) == [str(place) for place in range(1, 9)]
    assert page.count("Er is iets bekend.") == 1
    assert page.count("Er is niets zichtbaar.") == 7
    assert numbers_in(page) == 0


def test_a_ninth_person_is_not_asked_about(desk: Site) -> None:
    jan = logged_in(desk)
    asked(jan, *EIGHT, "999990068")
    ((visit, _),) = desk.visits.opened.values()
    assert visit.persons == 8


@pytest.mark.parametrize("language", ["nl", "en"])
def test_everything_at_once_with_long_names_breaks_no_rule(
    scripted: Page, desk: Site, enter: Enter, language: str
) -> None:
    page = scripted
    every = [flag(kind.code, name=LONG, disputed=True) for kind in VOCABULARY.kinds]
    desk.visits.flags = {WITH_FLAGS: every}
    desk.visits.silent = [f"{LONG} {letter}" for letter in "ABC"]
    enter(page, desk, "jan")
    ask(page, desk, *EIGHT)
    page.get_by_role("button", name="Toon de onderwerpen").click()
    expect(page.locator(".vw-flag")).to_have_count(len(every))
    page.goto(f"{desk.url}/taal/{language}?naar=" + page.url.removeprefix(desk.url))
    expect(page.locator("html")).to_have_attribute("lang", language)
    assert broken_rules(page) == []


def test_more_than_fits_is_said(desk: Site) -> None:
    look = desk.visits.look

    async def more(*args: object, **named: object) -> object:
        return [replace(view, more=True) for view in await look(*args, **named)]  # type: ignore[arg-type]

    desk.visits.look = more  # type: ignore[method-assign, assignment]
    jan = logged_in(desk)
    first = asked(jan, WITH_FLAGS)
    jan.post(f"{first}/onderwerpen", {"csrf": jan.token(first)})
    assert "Er is meer bekend dan op deze pagina past." in jan.get(first).text


# --- away --------------------------------------------------------------------------------


@pytest.mark.parametrize("away", [HubUnreachable(), HoldersUnreachable()], ids=["hub", "key holders"])
@pytest.mark.parametrize("step", ["open", "subjects", "again"])
def test_when_the_hub_or_the_key_holders_are_away_nothing_was_viewed(
    desk: Site, away: Exception, step: str
) -> None:
    jan = logged_in(desk)
    if step == "open":
        form = {"csrf": jan.token(WHO), "doel": "huisbezoek", "zaak": "Z-1", "nummer-1": WITH_FLAGS}
        desk.visits.fails = away
        answer = jan.post(WHO, form)
    else:
        first = asked(jan, WITH_FLAGS)
        token = jan.token(first)
        desk.visits.fails = away
        answer = jan.post(f"{first}/{'onderwerpen' if step == 'subjects' else 'bekijken'}", {"csrf": token})
    assert answer.status_code == 503
    assert "Er is niets bekeken." in answer.text
    assert "Hulp bij schulden" not in answer.text
    assert numbers_in(answer.text) == 0


# --- what a role may see -----------------------------------------------------------------


def test_a_mandate_is_shown_with_its_decision_and_only_to_who_works_by_it(desk: Site) -> None:
    begin = int(AT.timestamp())
    act = VOCABULARY.mandate_acts[0]
    desk.visits.decided = (MandateInForce(act.code, "B-2026-9", begin, begin + 86_400),)
    page = logged_in(desk, "mandy").get("/mijn-functie").text
    block = page[page.index("Volgens besluit B-2026-9 van 24 november 2026.") :]
    assert VOCABULARY.kind(act.kinds[0]).label in block
    assert "B-2026-9" not in logged_in(desk).get("/mijn-functie").text
