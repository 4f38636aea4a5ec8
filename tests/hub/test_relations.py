"""Visits and sessions: what it takes to open one, and how they end."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from index.accesslog.reading import EntryFilter
from index.protocol.messages import ClosingAnswer, RelationAnswer

from .world import SCOPES, World, point

pytestmark = pytest.mark.anyio
GENERALIST = ("geld", "werk", "zorg", "jeugd", "onderwijs")


def newest(world: World) -> Any:
    with world.hub.reading() as connection:
        return world.hub.log_reader.entries(connection, EntryFilter()).entries[0]


async def test_opening_a_visit_gives_a_ticket_and_a_checked_receipt_per_person(world: World) -> None:
    visit, sent = await world.wijkteam.tries_to_open("m-jan", ["Fatima", "Piet", "Els"])
    answer = msgspec.json.decode(sent.response.content, type=RelationAnswer)
    assert len(set(answer.tickets)) == 3
    for receipt, lids in zip(answer.log, visit.lids, strict=True):
        assert world.check(receipt, sent, lids).asker.t == "relation"


async def test_a_household_of_nine_is_refused(world: World) -> None:
    _, sent = await world.wijkteam.tries_to_open("m-jan", [f"person {i}" for i in range(9)])
    assert sent.response.status_code == 400


WRONG_SCOPES = [("geld",), SCOPES, tuple(reversed(GENERALIST)), (*GENERALIST, "geld")]


@pytest.mark.parametrize("scopes", WRONG_SCOPES)
async def test_only_exactly_the_scopes_of_role_and_purpose_can_be_opened(
    world: World, scopes: Sequence[str]
) -> None:
    _, sent = await world.wijkteam.tries_to_open("m-jan", ["Fatima"], scopes=scopes)
    assert sent.response.status_code in (400, 403)
    assert newest(world).asker.refused in ("scopes", "body")
    assert newest(world).asker.handles == []


async def test_a_purpose_that_the_role_does_not_have_opens_nothing(world: World) -> None:
    _, sent = await world.wijkteam.tries_to_open("m-jan", ["Fatima"], purpose="toezicht", scopes=GENERALIST)
    assert sent.response.status_code == 403
    assert "purpose-not-allowed" in sent.response.text
    assert newest(world).asker.refused == "purpose"
    assert len(newest(world).asker.handles) == len(GENERALIST)


async def test_a_refused_purpose_costs_receipts_like_any_other(world: World) -> None:
    wrong = {"purpose": "toezicht", "scopes": GENERALIST}
    for bad in (receipts(world, "none"), receipts(world, "one holder")):
        _, sent = await world.wijkteam.tries_to_open("m-jan", ["Fatima"], receipts=bad, **wrong)
        assert "holder-receipts" in sent.response.text
        assert newest(world).asker.handles == []
    _, narrower = await world.wijkteam.tries_to_open(
        "m-jan", ["Fatima"], purpose="toezicht", scopes=GENERALIST[:2]
    )
    assert "scopes-refused" in narrower.response.text


@pytest.mark.parametrize("until", [timedelta(days=91), timedelta(seconds=-1)])
async def test_a_visit_ends_within_ninety_days_and_not_in_the_past(world: World, until: timedelta) -> None:
    _, sent = await world.wijkteam.tries_to_open("m-jan", ["Fatima"], until=until)
    assert sent.response.status_code == 400
    assert "until-out-of-range" in sent.response.text


async def test_a_visit_without_a_case_is_refused(world: World) -> None:
    body = {
        "class": "lookup", "persons": 1, "scopes": ["geld"], "until": "2027-01-01T00:00:00Z",
        "version": 1, "points": "", "receipts": [],
    }  # fmt: skip
    statement = {"actor": "m-jan", "role": "generalist", "team": "noord", "purpose": "huisbezoek"}
    sent = await world.wijkteam.send("/v1/relations", body, "relation", **statement)
    assert "case-missing" in sent.response.text


def receipts(world: World, what: str) -> list[str]:
    """Holder receipts with one thing wrong."""
    counts = dict.fromkeys(GENERALIST, 1)
    match what:
        case "none":
            return []
        case "one holder":
            return world.receipts("wijkteam", "lookup", counts, holders=["kh-a"])
        case "one holder twice":
            return world.receipts("wijkteam", "lookup", counts, holders=["kh-a", "kh-a"])
        case "another node":
            return world.receipts("bron", "lookup", counts)
        case "another hub":
            return world.receipts("wijkteam", "lookup", counts, hub="other.example")
        case "another class":
            return world.receipts("wijkteam", "publish", counts)
        case "too few units":
            return world.receipts("wijkteam", "lookup", {"geld": 1, "werk": 1})
        case "too old":
            return world.receipts("wijkteam", "lookup", counts, age=130)
    raise AssertionError(what)


@pytest.mark.parametrize(
    "what",
    [
        "none", "one holder", "one holder twice", "another node",
        "another hub", "another class", "too few units", "too old",
    ],
)  # fmt: skip
async def test_holder_receipts_that_do_not_pay_for_it_open_nothing(world: World, what: str) -> None:
    _, sent = await world.wijkteam.tries_to_open("m-jan", ["Fatima"], receipts=receipts(world, what))
    assert sent.response.status_code == 403
    assert (newest(world).asker.refused, newest(world).asker.handles) == ("holder-receipts", [])


async def test_a_holder_receipt_opens_one_visit_only(world: World) -> None:
    paid = world.receipts("wijkteam", "lookup", dict.fromkeys(GENERALIST, 1))
    _, first = await world.wijkteam.tries_to_open("m-jan", ["Fatima"], receipts=paid)
    _, second = await world.wijkteam.tries_to_open("m-jan", ["Fatima"], receipts=paid)
    fresh = world.receipts("wijkteam", "lookup", dict.fromkeys(GENERALIST, 1), holders=["kh-c"])
    _, third = await world.wijkteam.tries_to_open("m-jan", ["Fatima"], receipts=[paid[0], *fresh])
    assert [s.response.status_code for s in (first, second, third)] == [200, 403, 403]
    assert newest(world).asker.refused == "holder-receipts"


async def test_a_refused_visit_spends_no_receipt_that_was_not_spent(world: World) -> None:
    paid = world.receipts("wijkteam", "lookup", dict.fromkeys(GENERALIST, 1))
    other = world.receipts("wijkteam", "lookup", dict.fromkeys(GENERALIST, 1))
    await world.wijkteam.tries_to_open("m-jan", ["Fatima"], receipts=paid)
    _, mixed = await world.wijkteam.tries_to_open("m-jan", ["Fatima"], receipts=[other[0], paid[1]])
    _, after = await world.wijkteam.tries_to_open("m-jan", ["Fatima"], receipts=other)
    assert [mixed.response.status_code, after.response.status_code] == [403, 200]


async def test_the_same_message_again_opens_nothing_new_and_gives_working_tickets(world: World) -> None:
    await world.bron.publishes("Fatima", "schuldhulp")
    visit, first = await world.wijkteam.tries_to_open("m-jan", ["Fatima"])
    again = await world.wijkteam.send(
        first.path, first.body, "relation", msg=first.signed.statement.msg, **visit.statement()
    )
    one, two = (msgspec.json.decode(s.response.content, type=RelationAnswer) for s in (first, again))
    visit.tickets = list(two.tickets)
    assert one.log == two.log
    assert one.tickets != two.tickets
    assert (await world.wijkteam.looks(visit)).persons[0].refused == ""


async def test_points_of_another_message_or_node_open_nothing(world: World) -> None:
    _, sent = await world.wijkteam.tries_to_open("m-jan", ["Fatima"])
    visit, moved = await world.wijkteam.tries_to_open("m-jan", ["Fatima"])
    body = msgspec.json.decode(moved.body)
    body["points"] = msgspec.json.decode(sent.body)["points"]
    body["receipts"] = world.receipts("wijkteam", "lookup", dict.fromkeys(GENERALIST, 1))
    refused = await world.wijkteam.send("/v1/relations", body, "relation", **visit.statement())
    assert refused.response.status_code == 400
    assert newest(world).asker.refused == "points"


@pytest.mark.parametrize("bad", [bytes(32), b"\xff" * 32])
async def test_a_point_that_is_no_element_writes_no_row(world: World, bad: bytes) -> None:
    good = [point("Fatima", scope) for scope in GENERALIST[:-1]]
    visit, sent = await world.wijkteam.tries_to_open("m-jan", ["Fatima"])
    body = msgspec.json.decode(sent.body)
    msg = "01900000-0000-7000-8000-00000000000a"
    body["points"] = world.sealed("wijkteam", msg, [*good, bad])
    body["receipts"] = world.receipts("wijkteam", "lookup", dict.fromkeys(GENERALIST, 1))
    refused = await world.wijkteam.send("/v1/relations", body, "relation", msg=msg, **visit.statement())
    assert refused.response.status_code == 400


async def test_points_under_another_manifest_are_stale(world: World) -> None:
    visit, sent = await world.wijkteam.tries_to_open("m-jan", ["Fatima"])
    body = msgspec.json.decode(sent.body) | {"version": 2}
    refused = await world.wijkteam.send("/v1/relations", body, "relation", **visit.statement())
    assert refused.response.status_code == 409
    assert "stale-points" in refused.response.text


async def test_a_closed_visit_shows_nothing_at_the_very_next_question(world: World) -> None:
    await world.bron.publishes("Fatima", "schuldhulp")
    await world.portaal.chooses(await world.portaal.logs_in("Fatima"))
    visit = await world.wijkteam.opens("m-jan", ["Fatima", "Piet"])
    assert await world.wijkteam.sees(visit) == [{"schuldhulp"}, set()]

    closed = await world.wijkteam.closes(visit)

    after = await world.wijkteam.looks(visit)
    assert msgspec.json.decode(closed.response.content, type=ClosingAnswer).closed == 2
    assert [person.refused for person in after.persons] == ["no-relation", "no-relation"]
    assert [person.flags for person in after.persons] == [[], []]


async def test_closing_twice_ends_nothing_more(world: World) -> None:
    visit = await world.wijkteam.opens("m-jan", ["Fatima"])
    first, second = await world.wijkteam.closes(visit), await world.wijkteam.closes(visit)
    closed = [msgspec.json.decode(s.response.content, type=ClosingAnswer).closed for s in (first, second)]
    assert closed == [1, 0]


async def test_closing_one_visit_leaves_another_about_the_same_person_open(world: World) -> None:
    one = await world.wijkteam.opens("m-jan", ["Fatima"])
    other = await world.wijkteam.opens("m-els", ["Fatima"], purpose="casusoverleg")
    await world.wijkteam.closes(one)
    assert (await world.wijkteam.looks(other)).persons[0].refused == ""


async def test_two_visits_of_one_case_that_begin_in_one_second_close_each_by_itself(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = world.clock()
    monkeypatch.setattr(type(world.clock), "__call__", lambda _: now)
    visit = await world.wijkteam.opens("m-jan", ["Fatima"])
    other = await world.wijkteam.opens("m-jan", ["Fatima"])

    await world.wijkteam.closes(visit)

    assert (await world.wijkteam.looks(visit)).persons[0].refused == "no-relation"
    assert (await world.wijkteam.looks(other)).persons[0].refused == ""


async def test_a_visit_ends_at_its_own_end(world: World) -> None:
    visit = await world.wijkteam.opens("m-jan", ["Fatima"], until=timedelta(days=2))
    world.clock.shift(days=1, hours=23)
    assert (await world.wijkteam.looks(visit)).persons[0].refused == ""
    world.clock.shift(hours=2)
    assert (await world.wijkteam.looks(visit)).persons[0].refused == "no-relation"


async def test_a_renewed_visit_lives_on_with_new_tickets(world: World) -> None:
    visit = await world.wijkteam.opens("m-jan", ["Fatima"], until=timedelta(days=2))
    sent = await world.wijkteam.renews(visit, timedelta(days=30))
    visit.tickets = list(msgspec.json.decode(sent.response.content, type=RelationAnswer).tickets)
    world.clock.shift(days=20)
    assert (await world.wijkteam.looks(visit)).persons[0].refused == ""


@pytest.mark.parametrize("how", ["closed", "ended"])
async def test_a_visit_that_is_over_cannot_be_renewed(world: World, how: str) -> None:
    visit = await world.wijkteam.opens("m-jan", ["Fatima"], until=timedelta(days=2))
    if how == "closed":
        await world.wijkteam.closes(visit)
    else:
        world.clock.shift(days=3)
    sent = await world.wijkteam.renews(visit, timedelta(days=30))
    assert sent.response.status_code == 403
    assert len(newest(world).asker.handles) == len(visit.scopes)


async def test_a_citizens_session_needs_a_portal(world: World) -> None:
    _, desk = await world.wijkteam.tries_to_open("", ["Fatima"], class_="citizen")
    _, two = await world.portaal.tries_to_open(
        "", ["Fatima", "Piet"], class_="citizen", until=timedelta(minutes=50)
    )
    assert desk.response.status_code == 403
    assert two.response.status_code == 403


async def test_a_citizens_session_ends_after_fifteen_idle_minutes(world: World) -> None:
    session = await world.portaal.logs_in("Fatima")
    world.clock.shift(minutes=14)
    assert (await world.portaal.asks(session, "flags")).response.status_code == 200
    world.clock.shift(minutes=14)
    assert (await world.portaal.asks(session, "flags")).response.status_code == 200
    world.clock.shift(minutes=16)
    assert (await world.portaal.asks(session, "flags")).response.status_code == 403


async def test_a_citizens_session_ends_after_an_hour_however_busy(world: World) -> None:
    session = await world.portaal.logs_in("Fatima")
    answers = []
    for _ in range(6):
        world.clock.shift(minutes=12)
        answers.append((await world.portaal.asks(session, "flags")).response.status_code)
    assert answers == [200, 200, 200, 200, 403, 403]
