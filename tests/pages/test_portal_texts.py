"""What the portal says at each line: for whom, whether there is news, where to ask help."""

from datetime import UTC, datetime, timedelta

import pytest

from nodes.portal.family import Family
from nodes.representation import Speaker, read_mandate
from tests.pages.client import Plain
from tests.pages.world import AT, LINES, WITHOUT, Site, a_right, look_line, own_flag


def fatima_at(portal: Site) -> Plain:
    fatima = Plain(portal)
    fatima.log_in("fatima")
    return fatima


def test_an_inbox_without_news_says_so(portal: Site) -> None:
    page = fatima_at(portal).get("/mijn/berichten").text
    assert "U heeft geen berichten." in page
    assert "Code uit de brief" in page


def test_the_inbox_tells_of_answers_and_of_looks(portal: Site) -> None:
    portal.citizens.known = [own_flag("schuldhulp")]
    portal.citizens.rights = [
        a_right("dispute", "schuldhulp", answer="corrected"),
        a_right("objection", "bijstand", suspended=True),
        a_right("restriction", "ggz"),
    ]
    portal.citizens.lines = [*LINES, look_line(60 * 24 * 40)]
    page = fatima_at(portal).get("/mijn/berichten").text
    assert "De organisatie heeft dit op 24 november 2026 verbeterd." in page
    assert "Er kwam geen antwoord. Nu ziet niemand deze melding." in page
    assert "Hulp van de ggz" not in page, "nothing was answered about it"
    looks = [line for line in LINES if line.activity == "lookup" and not line.own and not line.counter]
    assert f"In 30 dagen is {len(looks)} keer gekeken, laatst op 24 november 2026." in page
    assert "U heeft geen berichten." not in page


def test_help_stands_at_each_line_in_the_agreed_order(portal: Site) -> None:
    portal.citizens.lines = LINES
    portal.citizens.known = [own_flag("schuldhulp")]
    fatima = fatima_at(portal)
    for path, organisation in (
        ("/mijn/gekeken", "Gemeente Waterrijk"),
        ("/mijn/bekend", "Schuldhulp Waterrijk"),
    ):
        page = fatima.get(path).text
        places = [
            page.index(said)
            for said in (
                "Ik snap dit niet",
                f"Bel {organisation}.",
                "Dien een klacht in.",
                "Vraag hulp aan de Autoriteit Persoonsgegevens.",
            )
        ]
        assert places == sorted(places), path


def test_when_nobody_looked_the_page_says_since_when_and_that_the_law_may_postpone(portal: Site) -> None:
    page = fatima_at(portal).get("/mijn/gekeken").text
    assert "Niemand heeft gekeken sinds 25 november 2021." in page
    assert "Soms ziet u dit later. De wet zegt wanneer." in page


def test_for_whom_is_said_by_name_only_where_the_login_gave_it(portal: Site) -> None:
    fatima = fatima_at(portal)
    (session,) = portal.pages.sessions._by_id.values()
    family = session.person.family
    assert family is not None
    for by, name, says in (
        ("gemachtigde", "Noor", "U doet dit voor Noor."),
        ("gemachtigde", "", "U doet dit voor een ander, als gemachtigde."),
        ("ouder", "Noor", "U doet dit voor een ander: uw kind."),
    ):
        own = family.own
        own.speaker = Speaker(by)  # type: ignore[arg-type]
        session.person = type(session.person)(citizen=own, family=Family(own, name=name))
        assert says in fatima.get("/mijn").text


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("Noor", "Noor"),
        ("Anne-Fleur  d'Arc", "Anne-Fleur d'Arc"),
        (WITHOUT, ""),
        ("<b>", ""),
        (7, ""),
        (None, ""),
    ],
)
def test_a_first_name_is_letters_or_nothing(said: object, name: str) -> None:
    until = (AT + timedelta(days=30)).isoformat()
    claim = {"sub": WITHOUT, "as": "gemachtigde", "evidence": "M-1", "until": until, "givenName": said}
    mandate = read_mandate(claim, datetime(2026, 11, 24, tzinfo=UTC))
    assert mandate is not None
    assert mandate.name == name
