"""Attack: use break-glass to look without reason, without a colleague, for longer or for something else.

Defence: the hub takes no crisis relation without a declaration of a role that may declare it; the
declaration is one case with one review; and who confirms is another employee of the same node, in time.
"""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from index.accesslog.reading import EntryFilter
from index.officer import Officers
from index.protocol.codec import unb64u
from tests.hub.acting import problem
from tests.hub.office import Bureau, People
from tests.hub.world import GEMEENTE, Sent, Visit, World

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def world(tmp_path: Path, database: dict[str, str]) -> AsyncIterator[World]:
    async with World(tmp_path, **database).running() as running:
        await running.inkomen.publishes("Fatima", "ggz")
        yield running


def newest(world: World) -> Any:
    with world.hub.reading() as connection:
        return world.hub.log_reader.entries(connection, EntryFilter()).entries[0].asker


async def states(world: World) -> list[str]:
    return [line.state for line in (await Officers(world.hub).reviews()).lines]


def refused(world: World, sent: Sent, *codes: str) -> bool:
    """Whether it was refused with these rules, and that is recorded without a person."""
    status, kind, found = problem(sent.response)
    recorded = newest(world)
    return (
        status in (400, 403)
        and kind in ("rejected", "not-allowed")
        and tuple(found) == codes
        and recorded.refused == (codes[0] if codes else "not-allowed")
        and recorded.handles == []
    )


async def test_the_honest_way_works(world: World) -> None:
    visit = await world.wijkteam.declares("m-jan", ["Fatima"])
    assert await world.wijkteam.sees(visit) == [{"ggz"}]
    assert (await world.wijkteam.says(visit, "m-ann")).response.status_code == 200
    assert await states(world) == ["confirmed"]


# --- declaring ------------------------------------------------------------------------------

UNDECLARED: dict[str, Any] = {
    "nothing": None,
    "an unknown reason": {"reason": "haast", "atRisk": "ander", "incapable": False},
    "an unknown answer": {"reason": "direct_gevaar", "atRisk": "niemand", "incapable": False},
}


@pytest.mark.parametrize("what", UNDECLARED)
async def test_break_glass_without_its_declaration_opens_nothing(world: World, what: str) -> None:
    _, sent = await world.wijkteam.tries_to_declare("m-jan", ["Fatima"], declaration=UNDECLARED[what])
    assert refused(world, sent, "declaration")
    assert await states(world) == []


@pytest.mark.parametrize(
    "declaration",
    [
        {"reason": "direct_gevaar", "atRisk": "ander"},
        {"reason": "direct_gevaar", "atRisk": "ander", "incapable": "ja"},
        {"reason": "direct_gevaar", "atRisk": "ander", "incapable": False, "note": "free text"},
    ],
)
async def test_a_declaration_with_less_or_more_than_its_fields_is_refused(
    world: World, declaration: dict[str, Any]
) -> None:
    _, sent = await world.wijkteam.tries_to_declare("m-jan", ["Fatima"], declaration=declaration)
    assert sent.response.status_code == 400
    assert "free text" not in sent.response.text
    assert newest(world).refused == "body"


async def test_a_visit_or_a_citizen_declares_nothing(world: World) -> None:
    declaration = {"reason": "direct_gevaar", "atRisk": "ander", "incapable": False}
    _, sent = await world.wijkteam.tries_to_open("m-jan", ["Fatima"], declaration=declaration)
    assert refused(world, sent, "declaration")
    _, sent = await world.portaal.tries_to_open(
        "", ["Fatima"], class_="citizen", until=timedelta(minutes=59), declaration=declaration
    )
    assert refused(world, sent, "declaration")


@pytest.mark.parametrize(
    "role", ["inkomensconsulent", "schuldhulpverlener", "casusregisseur", "ketenpartner"]
)
async def test_a_role_without_break_glass_declares_nothing(world: World, role: str) -> None:
    scopes = ["geld", "werk", "zorg", "jeugd", "onderwijs"]
    _, sent = await world.wijkteam.tries_to_declare("m-jan", ["Fatima"], role=role, scopes=scopes)
    assert refused(world, sent)


async def test_break_glass_is_for_the_purpose_crisis_only(world: World) -> None:
    _, sent = await world.wijkteam.tries_to_declare("m-jan", ["Fatima"], purpose="huisbezoek")
    assert refused(world, sent)


async def test_a_node_that_the_directory_does_not_let_declares_nothing(world: World) -> None:
    _, sent = await world.nodes["wijkteam-twee"].tries_to_declare("m-jan", ["Fatima"])
    assert refused(world, sent)


async def test_receipts_of_visits_do_not_pay_for_it(world: World) -> None:
    paid = world.receipts("wijkteam", "lookup", {"zorg": 1, "jeugd": 1})
    _, sent = await world.wijkteam.tries_to_declare("m-jan", ["Fatima"], receipts=paid)
    assert sent.response.status_code == 403
    assert newest(world).refused == "holder-receipts"


async def test_a_profile_without_break_glass_has_none(tmp_path: Path) -> None:
    people = People(tmp_path / "people")
    hub = World(tmp_path, approvers=people.approvers())
    async with hub.running() as world:
        assert (await world.wijkteam.tries_to_declare("m-jan", ["Fatima"]))[1].response.status_code == 200
        bureau = Bureau(world, people)
        bureau.register(lambda desk: desk.set_profile(bureau.who("anna"), GEMEENTE, "utrecht"), "utrecht")
    async with hub.running() as world:
        _, sent = await world.wijkteam.tries_to_declare("m-jan", ["Fatima"])
        assert refused(world, sent)


async def test_a_second_declaration_cannot_hide_behind_the_review_of_a_first(world: World) -> None:
    first = await world.wijkteam.declares("m-jan", ["Fatima"])
    await world.wijkteam.says(first, "m-ann")
    _, sent = await world.wijkteam.tries_to_declare("m-jan", ["Piet"], case=first.case)
    assert refused(world, sent, "case-used")
    assert await states(world) == ["confirmed"]


# --- another use of the ticket ----------------------------------------------------------------


@pytest.mark.parametrize("purpose", ["huisbezoek", "keukentafelgesprek"])
async def test_a_ticket_of_break_glass_is_no_visit(world: World, purpose: str) -> None:
    visit = await world.wijkteam.declares("m-jan", ["Fatima"])
    sent = await world.wijkteam.tries_to_look(visit, purpose=purpose)
    assert sent.response.status_code == 403
    assert newest(world).refused == "ticket"
    assert len(newest(world).handles) == len(visit.scopes)


async def test_a_ticket_of_a_visit_for_danger_has_nothing_declared(world: World) -> None:
    visit = await world.wijkteam.opens("m-jan", ["Fatima"], purpose="crisis")
    assert await world.wijkteam.sees(visit) == [set()]
    assert newest(world).bg == 0


# --- confirming -------------------------------------------------------------------------------


async def a_declaration(world: World) -> Visit:
    return await world.wijkteam.declares("m-jan", ["Fatima"])


async def test_nobody_confirms_the_own_declaration(world: World) -> None:
    sent = await world.wijkteam.says(await a_declaration(world), "m-jan")
    assert refused(world, sent, "same-employee")
    sent = await world.wijkteam.says(await a_declaration(world), "m-jan", role="wmo_consulent", team="zuid")
    assert refused(world, sent, "same-employee")
    assert await states(world) == ["waiting", "waiting"]


async def test_another_organisation_finds_no_such_declaration(world: World) -> None:
    visit = await a_declaration(world)
    sent = await world.crisis.says(visit, "m-cas")
    assert refused(world, sent, "unknown-declaration")
    assert await states(world) == ["waiting"]


async def test_after_the_time_it_stays_unconfirmed(world: World) -> None:
    visit = await a_declaration(world)
    world.clock.shift(hours=1, seconds=1)
    for outcome in ("confirmed", "reported"):
        sent = await world.wijkteam.says(visit, "m-ann", outcome)
        assert refused(world, sent, "too-late")
    assert await states(world) == ["unconfirmed"]


async def test_an_unknown_declaration_is_not_confirmed(world: World) -> None:
    visit = await a_declaration(world)
    sent = await world.wijkteam.says(visit, "m-ann", case="A" * 22)
    assert refused(world, sent, "unknown-declaration")
    sent = await world.wijkteam.says(visit, "m-ann", case="")
    assert refused(world, sent, "case-missing")
    assert await states(world) == ["waiting"]


async def test_a_confirmation_is_not_replayed_nor_taken_back(world: World) -> None:
    visit = await a_declaration(world)
    first = await world.wijkteam.says(visit, "m-ann")
    replayed = await world.wijkteam.deliver(first.path, first.body, first.headers)
    assert replayed.response.status_code == 401
    later = await world.wijkteam.says(visit, "m-bo", "reported")
    assert refused(world, later, "already-settled")
    conflict = await world.wijkteam.says(visit, "m-ann", "reported", msg=first.signed.statement.msg)
    assert conflict.response.status_code == 422
    assert await states(world) == ["confirmed"]


@pytest.mark.parametrize(
    "wrong", [{"purpose": "huisbezoek"}, {"role": "inkomensconsulent"}, {"role": "schuldhulpverlener"}]
)
async def test_only_a_role_that_may_declare_confirms(world: World, wrong: dict[str, str]) -> None:
    sent = await world.wijkteam.says(await a_declaration(world), "m-ann", **wrong)
    assert refused(world, sent)
    assert await states(world) == ["waiting"]


async def test_the_stolen_rows_of_reviews_name_nobody(world: World) -> None:
    visit = await a_declaration(world)
    with world.hub.reading() as connection:
        (row,) = connection.exec_driver_sql("SELECT key, year, open, sealed FROM review").all()
    raw = bytes(row.key) + bytes(row.sealed)
    words = [b"m-jan", b"noord", b"direct_gevaar", b"wijkteam", visit.case.encode(), unb64u(visit.case)]
    assert [word for word in (*words, *visit.lids[0]) if word in raw] == []
