"""Break-glass: what it opens and what not, how long, and what follows for who declared it."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from index.accesslog.reading import EntryFilter
from index.officer import Officers
from index.protocol.entry import decisions_of
from index.protocol.messages import ColleagueAnswer, RelationAnswer
from index.reviews import year_figures

from .acting import problem
from .world import VOCABULARY, Visit, World, instant

pytestmark = pytest.mark.anyio

CARE = ("ggz", "wmo_opvang", "jeugdbescherming")
NOBODY_BUT_ME = {"at_risk": "zelf", "incapable": False}
UNABLE = {"at_risk": "zelf", "incapable": True}


@pytest.fixture
async def known(world: World) -> World:
    """Fatima is known for care and never chose anything."""
    sent = await world.inkomen.publishes_all([("Fatima", kind) for kind in (*CARE, "veilig_thuis")])
    assert sent.response.status_code == 200
    return world


def newest(world: World) -> Any:
    with world.hub.reading() as connection:
        return world.hub.log_reader.entries(connection, EntryFilter()).entries[0]


def rows(world: World, visit: Visit) -> dict[str, int]:
    """Decision row of each kind of the asked scopes in the newest entry."""
    kinds = [kind.code for kind in VOCABULARY.kinds if kind.domain in visit.scopes]
    decisions = decisions_of(newest(world).dec)[1]
    return {kind: row for kind, (row, _, _) in zip(kinds, decisions, strict=True)}


async def shut(world: World, person: str) -> None:
    """The person says no to everybody for everything."""
    session = await world.portaal.logs_in(person)
    sent = await world.portaal.chooses(session, "deny", receiver=[], purpose=[])
    assert sent.response.status_code == 200


# --- rows 4, 5, 6 and 7 -----------------------------------------------------------------


@pytest.mark.parametrize("at_risk", ["ander", "kind"])
async def test_with_somebody_else_at_risk_it_opens_whatever_the_person_chose(
    known: World, at_risk: str
) -> None:
    await shut(known, "Fatima")
    visit = await known.wijkteam.declares("m-jan", ["Fatima"], at_risk=at_risk)
    assert await known.wijkteam.sees(visit) == [{"ggz", "wmo_opvang"}]
    assert rows(known, visit)["ggz"] == 4
    assert newest(known).asker.basis == "vitaal_belang"


async def test_a_person_alone_at_risk_who_cannot_decide_is_seen_unless_it_said_no(known: World) -> None:
    visit = await known.wijkteam.declares("m-jan", ["Fatima"], **UNABLE)
    seen = [await known.wijkteam.sees(visit)]
    assert rows(known, visit)["ggz"] == 5
    await shut(known, "Fatima")
    seen.append(await known.wijkteam.sees(visit))
    assert seen == [[{"ggz", "wmo_opvang"}], [set()]]


async def test_a_person_alone_at_risk_who_can_decide_is_to_be_asked(known: World) -> None:
    visit = await known.wijkteam.declares("m-cas", ["Fatima"], role="crisisdienst", **NOBODY_BUT_ME)
    assert await known.wijkteam.sees(visit) == [set()]
    assert {rows(known, visit)[kind] for kind in CARE} == {6}


async def test_a_crisis_relation_is_no_case_for_a_task_by_law(known: World) -> None:
    """`veilig_thuis` is the liaison's by task: a case opens it, and break-glass on its own ground only."""
    liaison: dict[str, Any] = {"role": "vt_liaison"}
    case = await known.wijkteam.opens("m-vera", ["Fatima"], purpose="crisis", **liaison)
    assert await known.wijkteam.sees(case) == [{"veilig_thuis"}]
    assert rows(known, case)["veilig_thuis"] == 9
    alone = await known.wijkteam.declares("m-vera", ["Fatima"], **liaison, **NOBODY_BUT_ME)
    assert await known.wijkteam.sees(alone) == [set()]
    assert rows(known, alone)["veilig_thuis"] == 7
    danger = await known.wijkteam.declares("m-vera", ["Fatima"], **liaison)
    assert await known.wijkteam.sees(danger) == [{"veilig_thuis", "jeugdbescherming"}]


async def test_a_crisis_relation_is_no_case_for_a_yes(known: World) -> None:
    await known.portaal.chooses(await known.portaal.logs_in("Fatima"), purpose=[])
    visit = await known.wijkteam.declares("m-jan", ["Fatima"], **NOBODY_BUT_ME)
    assert await known.wijkteam.sees(visit) == [set()]
    assert rows(known, visit)["ggz"] == 7


async def test_kinds_without_break_glass_stay_closed(known: World) -> None:
    await known.inkomen.publishes("Fatima", "corv")
    visit = await known.wijkteam.declares("m-in", ["Fatima"], role="jeugd_intake")
    assert await known.wijkteam.sees(visit) == [{"corv", "jeugdbescherming"}]
    visit = await known.wijkteam.declares("m-jan", ["Fatima"])
    assert "jeugdbescherming" not in (await known.wijkteam.sees(visit))[0]


async def test_a_household_of_eight_is_decided_one_by_one_and_nine_is_refused(known: World) -> None:
    household = ["Fatima", *(f"person {i}" for i in range(7))]
    visit = await known.wijkteam.declares("m-jan", household)
    assert await known.wijkteam.sees(visit) == [{"ggz", "wmo_opvang"}, *[set()] * 7]
    (line,) = (await Officers(known.hub).reviews()).lines
    assert line.review.persons == 8
    _, sent = await known.wijkteam.tries_to_declare("m-jan", [*household, "one more"])
    assert sent.response.status_code == 400


# --- how long, and what the log says -------------------------------------------------------


async def test_it_ends_after_four_hours_by_the_hubs_clock(known: World) -> None:
    visit, sent = await known.wijkteam.tries_to_declare(
        "m-jan", ["Fatima"], until=timedelta(hours=4, seconds=50)
    )
    answer = msgspec.json.decode(sent.response.content, type=RelationAnswer)
    assert answer.until <= instant(known.clock() + timedelta(hours=4))
    visit.tickets = list(answer.tickets)
    known.clock.shift(hours=3, minutes=59)
    assert await known.wijkteam.sees(visit) == [{"ggz", "wmo_opvang"}]
    known.clock.shift(minutes=1, seconds=1)
    person = (await known.wijkteam.looks(visit)).persons[0]
    assert (person.refused, person.flags) == ("no-relation", [])


async def test_it_cannot_be_asked_for_longer_nor_prolonged(known: World) -> None:
    _, long = await known.wijkteam.tries_to_declare("m-jan", ["Fatima"], until=timedelta(hours=5))
    assert problem(long.response) == (400, "rejected", ["until-out-of-range"])
    visit = await known.wijkteam.declares("m-jan", ["Fatima"])
    assert (await known.wijkteam.renews(visit, timedelta(hours=6))).response.status_code == 403


async def test_every_line_of_it_bears_the_mark_and_the_person_sees_it_at_once(known: World) -> None:
    visit = await known.wijkteam.declares("m-jan", ["Fatima"])
    assert (newest(known).asker.t, newest(known).asker.bg) == ("relation", 1)
    await known.wijkteam.sees(visit)
    assert (newest(known).asker.t, newest(known).asker.bg) == ("lookup", 1)
    await known.wijkteam.closes(visit)
    assert (newest(known).asker.t, newest(known).asker.bg) == ("relation", 1)
    session = await known.portaal.logs_in("Fatima")
    lines = (await known.portaal.asks(session, "log")).response.json()["lines"]
    marked = {line["index"] for line in lines if msgspec.json.decode(line["asker"])["bg"] == 1}
    assert len(marked) == 3
    ordinary = await known.wijkteam.opens("m-jan", ["Fatima"])
    await known.wijkteam.sees(ordinary)
    assert newest(known).asker.bg == 0


async def test_the_declared_reason_stands_in_the_log(known: World) -> None:
    await known.wijkteam.declares("m-jan", ["Fatima"], reason="kind_onveilig")
    session = await known.portaal.logs_in("Fatima")
    lines = (await known.portaal.asks(session, "log")).response.json()["lines"]
    causes = {msgspec.json.decode(line["chain"]).get("cause") for line in lines}
    assert "kind_onveilig" in causes


async def test_the_same_declaration_sent_again_counts_once(known: World) -> None:
    visit, first = await known.wijkteam.tries_to_declare("m-jan", ["Fatima"])
    again = await known.wijkteam.send(
        first.path, first.body, "relation", msg=first.signed.statement.msg, **visit.statement()
    )
    one, two = (msgspec.json.decode(s.response.content, type=RelationAnswer) for s in (first, again))
    assert one.log == two.log
    visit.tickets = list(two.tickets)
    assert await known.wijkteam.sees(visit) == [{"ggz", "wmo_opvang"}]
    assert len((await Officers(known.hub).reviews()).lines) == 1


# --- the second person ----------------------------------------------------------------------


async def state(world: World) -> list[str]:
    """States in the officer's queue, in its order."""
    return [line.state for line in (await Officers(world.hub).reviews()).lines]


@pytest.mark.parametrize("outcome", ["confirmed", "reported"])
async def test_a_colleague_confirms_or_reports_and_it_is_recorded_without_a_person(
    known: World, outcome: str
) -> None:
    visit = await known.wijkteam.declares("m-jan", ["Fatima"])
    assert await state(known) == ["waiting"]
    sent = await known.wijkteam.says(visit, "m-ann", outcome, team="zuid")
    answer = msgspec.json.decode(sent.response.content, type=ColleagueAnswer)
    entry = known.check(answer.log[0], sent, [])
    assert (entry.asker.t, entry.asker.bg, entry.asker.handles) == ("relation", 1, [])
    assert (entry.asker.actor, entry.asker.case) == ("m-ann", visit.case)
    assert await state(known) == [outcome]


async def test_the_same_confirmation_sent_again_gets_the_same_answer(known: World) -> None:
    visit = await known.wijkteam.declares("m-jan", ["Fatima"])
    first = await known.wijkteam.says(visit, "m-ann")
    again = await known.wijkteam.says(visit, "m-ann", msg=first.signed.statement.msg)
    assert again.response.content == first.response.content


async def test_unconfirmed_in_time_the_officer_has_it_at_once_and_first(known: World) -> None:
    await known.wijkteam.declares("m-jan", ["Fatima"])
    known.clock.shift(minutes=59)
    assert await state(known) == ["waiting"]
    await known.wijkteam.declares("m-jan", ["Piet"])
    known.clock.shift(minutes=1, seconds=1)
    assert await state(known) == ["unconfirmed", "waiting"]


@pytest.mark.parametrize(
    ("role", "team", "hours"),
    [("generalist", "noord", 1), ("crisisdienst", "noord", 24), ("generalist", "crisisdienst", 24)],
)
async def test_a_crisis_service_has_a_day_for_it(known: World, role: str, team: str, hours: int) -> None:
    await known.crisis.declares("m-cas", ["Fatima"], role=role, team=team)
    known.clock.shift(hours=hours, seconds=-30)
    assert await state(known) == ["waiting"]
    known.clock.shift(seconds=31)
    assert await state(known) == ["unconfirmed"]


# --- the officer ----------------------------------------------------------------------------


async def test_the_officer_asks_and_then_ends_a_review(known: World) -> None:
    await known.wijkteam.declares("m-jan", ["Fatima"], reason="kind_onveilig", at_risk="kind")
    officers = Officers(known.hub)
    (line,) = (await officers.reviews()).lines
    assert (line.review.reason, line.review.at_risk, line.review.persons) == ("kind_onveilig", "kind", 1)
    assert timedelta(days=4) < line.last_day - known.clock() < timedelta(days=14)
    assert await officers.judge(line.id, "asked", "o-olga")
    assert [one.review.outcome for one in (await officers.reviews()).lines] == ["asked"]
    assert await officers.judge(line.id, "fits", "o-olga")
    assert (newest(known).asker.t, newest(known).asker.bg) == ("admin", 1)
    assert (await officers.reviews()).lines == []
    assert not await officers.judge(line.id, "does_not_fit", "o-olga")


@pytest.mark.parametrize("wrong", ["", "AAAA", "not base64url!", "AAAAAAAAAAAAAAAAAAAAAA"])
async def test_an_outcome_for_nothing_is_refused_and_changes_nothing(known: World, wrong: str) -> None:
    await known.wijkteam.declares("m-jan", ["Fatima"])
    assert not await Officers(known.hub).judge(wrong, "fits", "o-olga")
    assert await state(known) == ["waiting"]


async def test_a_review_past_its_working_days_is_marked(known: World) -> None:
    await known.wijkteam.declares("m-jan", ["Fatima"])
    (line,) = (await Officers(known.hub).reviews()).lines
    known.clock.offset += line.last_day - known.clock() - timedelta(minutes=1)
    assert [one.overdue for one in (await Officers(known.hub).reviews()).lines] == [False]
    known.clock.shift(minutes=2)
    assert [one.overdue for one in (await Officers(known.hub).reviews()).lines] == [True]


# --- the public figures ---------------------------------------------------------------------


async def test_fewer_than_ten_declarations_are_published_as_that(known: World) -> None:
    for _ in range(9):
        await known.wijkteam.declares("m-jan", ["Fatima"])
    figure = (await known.client.get("/v1/figures")).json()["breakGlass"][-1]
    assert (figure["declared"], figure["fewerThan"]) == (None, 10)
    await known.wijkteam.declares("m-jan", ["Fatima"])
    figure = (await known.client.get("/v1/figures")).json()["breakGlass"][-1]
    assert (figure["declared"], figure["fewerThan"]) == (10, None)


def test_a_past_year_is_exact_and_the_running_one_does_not_tell_a_moment() -> None:
    counts = {2025: 13, 2026: 13, 2024: 9}
    shown = [(one.year, one.declared, one.fewer_than) for one in year_figures(counts, 2026, 10)]
    assert shown == [(2024, None, 10), (2025, 13, None), (2026, 10, None)]
    assert [one.year for one in year_figures({}, 2026, 10)] == [2026]
