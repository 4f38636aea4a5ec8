"""Looking in danger and what follows, without script: declared with reasons, confirmed, reviewed."""

import re

import pytest
from playwright.sync_api import Page, expect

from nodes.errors import CrisisSettled, HubUnreachable
from tests.pages.client import Plain
from tests.pages.conftest import Enter
from tests.pages.world import REVIEWS, WAITING, WITH_FLAGS, Site

SCREEN = (
    "Is er nu gevaar?",
    "Waarom kunt u niet wachten?",
    "Direct gevaar voor iemand",
    "Kind niet veilig",
    "Andere reden",
    "Wie loopt gevaar?",
    "Iemand anders",
    "Een kind",
    "Alleen deze persoon",
    "Kan deze persoon nu zelf beslissen?",
    "De inwoner ziet dit later. Een collega bevestigt dit binnen 1 uur. "
    "De privacy-medewerker kijkt dit na binnen 5 werkdagen.",
    "Ik kijk nu",
)
IN_ENGLISH = (
    "Is there danger now?",
    "Why can it not wait?",
    "Who is in danger?",
    "Can this person decide now?",
    "The resident will see this. A colleague confirms within 1 hours. "
    "The privacy officer reviews this within 5 working days.",
    "I look now",
)


def test_the_screen_has_its_texts_and_no_answer_beforehand(page: Page, desk: Site, enter: Enter) -> None:
    enter(page, desk, "jan")
    page.get_by_role("link", name="Direct gevaar").click()
    text = page.locator("main").inner_text()
    assert [sentence for sentence in SCREEN if sentence not in text] == []
    expect(page.locator("input[type=radio]")).to_have_count(8)
    expect(page.locator("input:checked")).to_have_count(0)
    page.get_by_role("link", name="English").click()
    english = page.locator("main").inner_text()
    assert [sentence for sentence in IN_ENGLISH if sentence not in english] == []
    assert "A child is not safe" in english


@pytest.mark.parametrize(("able", "incapable"), [("Ja", False), ("Nee", True)])
def test_who_declares_sees_the_subjects_at_once_and_until_when(
    page: Page, desk: Site, enter: Enter, able: str, incapable: bool
) -> None:
    enter(page, desk, "jan")
    page.goto(f"{desk.url}/kijken/spoed")
    page.get_by_label("Burgerservicenummer").fill(WITH_FLAGS)
    page.get_by_label("Andere reden").check()
    page.get_by_label("Alleen deze persoon").check()
    page.get_by_role("group", name="Kan deze persoon").get_by_label(able).check()
    page.get_by_role("button", name="Ik kijk nu").click()
    assert desk.crises.declared == [("andere_reden", "zelf", incapable)]
    assert [detail for _, detail in desk.visits.questions] == ["subjects"]
    text = page.locator("main").inner_text()
    assert "U kunt kijken tot 18.05 uur." in text
    assert "Hulp bij schulden" in text
    assert "Zaaknummer" not in text
    page.goto(f"{desk.url}/bezoeken")
    expect(page.get_by_role("button", name=re.compile("Verleng"))).to_have_count(0)


def test_each_question_must_be_answered_and_nothing_typed_is_shown_again(
    page: Page, desk: Site, enter: Enter
) -> None:
    enter(page, desk, "jan")
    page.goto(f"{desk.url}/kijken/spoed")
    page.get_by_label("Burgerservicenummer").fill(WITH_FLAGS)
    page.get_by_label("Kind niet veilig").check()
    page.get_by_role("button", name="Ik kijk nu").click()
    errors = page.get_by_role("alert").inner_text()
    assert "Kies wie gevaar loopt." in errors
    assert "Kies ja of nee: kan deze persoon zelf beslissen?" in errors
    assert WITH_FLAGS not in page.content()
    assert desk.crises.declared == []
    page.get_by_label("Een kind").check()
    page.get_by_role("group", name="Kan deze persoon").get_by_label("Ja").check()
    page.get_by_role("button", name="Ik kijk nu").click()
    assert desk.crises.declared == [("kind_onveilig", "kind", False)]


def test_with_the_hub_away_nothing_is_looked(page: Page, desk: Site, enter: Enter) -> None:
    enter(page, desk, "jan")
    desk.visits.fails = HubUnreachable()
    page.goto(f"{desk.url}/kijken/spoed")
    page.get_by_label("Burgerservicenummer").fill(WITH_FLAGS)
    page.get_by_label("Kind niet veilig").check()
    page.get_by_label("Een kind").check()
    page.get_by_role("group", name="Kan deze persoon").get_by_label("Ja").check()
    page.get_by_role("button", name="Ik kijk nu").click()
    assert "Er is niets bekeken." in page.get_by_role("status").inner_text()
    assert desk.visits.questions == []


def test_a_role_without_break_glass_has_no_button_and_no_page(page: Page, desk: Site, enter: Enter) -> None:
    enter(page, desk, "sam")
    expect(page.get_by_role("link", name="Direct gevaar")).to_have_count(0)
    expect(page.get_by_role("link", name="Te bevestigen")).to_have_count(0)
    for path in ("/kijken/spoed", "/spoed"):
        assert page.goto(f"{desk.url}{path}").status == 403  # type: ignore[union-attr]
    plain = Plain(desk)
    plain.log_in("sam")
    token = plain.token("/kijken")
    form = {"csrf": token, "nummer-1": WITH_FLAGS, "reden": "andere_reden", "gevaar": "ander", "zelf": "ja"}
    assert plain.post("/kijken/spoed", form).status_code == 403
    assert plain.post("/spoed/ca", {"csrf": token, "woord": "confirmed"}).status_code == 403
    assert (desk.crises.declared, desk.crises.words) == ([], [])


def test_the_urgent_purpose_is_no_visit(desk: Site) -> None:
    plain = Plain(desk)
    plain.log_in("jan")
    assert plain.get("/kijken/wie?doel=crisis").headers["location"] == "/kijken"
    form = {"csrf": plain.token("/kijken/spoed"), "doel": "crisis", "nummer-1": WITH_FLAGS, "zaak": "Z-1"}
    assert plain.post("/kijken/wie", form).headers["location"] == "/kijken"
    assert desk.visits.opened == {}


@pytest.mark.parametrize(
    "answer",
    [
        ("Ja, dit klopt.", "confirmed", "U heeft dit bevestigd."),
        ("Nee, meld dit.", "reported", "U heeft dit gemeld."),
    ],
)
def test_a_colleague_reads_who_when_and_why_and_says_yes_or_no(
    page: Page, desk: Site, enter: Enter, answer: tuple[str, str, str]
) -> None:
    button, word, said = answer
    desk.crises.waiting = list(WAITING)
    enter(page, desk, "jan")
    page.get_by_role("link", name="Te bevestigen").click()
    text = page.locator("main").inner_text()
    for expected in (
        "Een collega keek met spoed. Klopt dat?",
        "Aisha",
        "Kind niet veilig",
        "24 november 2026",
    ):
        assert expected in text
    page.get_by_role("button", name=re.compile(f"{button}.*Aisha")).click()
    assert desk.crises.words == [("ca", word)]
    assert said in page.get_by_role("status").inner_text()
    assert "Aisha" not in page.locator("main").inner_text()


def test_too_late_is_said_in_plain_words(page: Page, desk: Site, enter: Enter) -> None:
    desk.crises.waiting, desk.crises.fails = list(WAITING), CrisisSettled("too-late")
    enter(page, desk, "jan")
    page.goto(f"{desk.url}/spoed")
    page.get_by_role("button", name=re.compile("Ja, dit klopt")).first.click()
    assert "de tijd is voorbij" in page.get_by_role("status").inner_text()


def test_another_word_than_the_two_does_nothing(desk: Site) -> None:
    desk.crises.waiting = list(WAITING)
    plain = Plain(desk)
    plain.log_in("jan")
    form = {"csrf": plain.token("/spoed"), "woord": "prima"}
    assert plain.post("/spoed/ca", form).headers["location"] == "/spoed"
    assert desk.crises.words == []


def test_the_officer_asks_and_ends_a_review_without_a_person(page: Page, officer: Site, enter: Enter) -> None:
    officer.log.waiting = list(REVIEWS)
    enter(page, officer, "olga")
    page.get_by_role("link", name="Nakijken").click()
    text = page.locator("main").inner_text()
    for expected in ("Niet bevestigd", "Gemeld door een collega", "Te laat", "Direct gevaar voor iemand"):
        assert expected in text
    assert "2025: 12" in text
    assert "2026: minder dan 10" in text
    page.get_by_role("button", name=re.compile("Vraag om uitleg")).first.click()
    page.get_by_role("button", name=re.compile("Uitleg past niet, melden")).first.click()
    assert [(id_, outcome) for id_, outcome, _ in officer.log.judged] == [
        ("een", "asked"),
        ("een", "does_not_fit"),
    ]
    assert {len(who) for _, _, who in officer.log.judged} == {22}


def test_an_outcome_that_is_not_on_the_page_changes_nothing(officer: Site) -> None:
    officer.log.waiting = list(REVIEWS)
    plain = Plain(officer)
    plain.log_in("olga")
    token = plain.token("/spoed")
    plain.post("/spoed", {"csrf": token, "regel": "een", "uitkomst": "prima"})
    plain.post("/spoed", {"csrf": token, "regel": "vier", "uitkomst": "fits"})
    assert officer.log.judged == []
    assert "Dit is al nagekeken." in plain.get("/spoed").text
