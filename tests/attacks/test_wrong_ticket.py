"""Attack: use a ticket for what it was not given for.

Defence: it is sealed to one node, names team, role, purpose and case, and the
relation behind it is read in the transaction of each question.
"""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from index import lookup
from index.accesslog.reading import EntryFilter
from index.protocol.codec import b64u
from index.protocol.messages import LookupAnswer
from index.tickets import TICKET_SIZE
from tests.hub.world import Visit, World, flip

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def world(tmp_path: Path, database: dict[str, str]) -> AsyncIterator[World]:
    async with World(tmp_path, **database).running() as running:
        await running.inkomen.publishes("Fatima", "bijstand")
        yield running


async def a_visit(world: World) -> Visit:
    return await world.wijkteam.opens("m-ann", ["Fatima"], role="inkomensconsulent")


def newest(world: World) -> Any:
    with world.hub.reading() as connection:
        return world.hub.log_reader.entries(connection, EntryFilter()).entries[0].asker


async def test_the_right_ticket_works(world: World) -> None:
    assert await world.wijkteam.sees(await a_visit(world)) == [{"bijstand"}]


WRONG: dict[str, dict[str, str]] = {
    "team": {"team": "zuid"},
    "role": {"role": "generalist"},
    "purpose": {"purpose": "keukentafelgesprek"},
    "case": {"case": b64u(b"another case 123")},
}


@pytest.mark.parametrize("what", WRONG)
async def test_a_ticket_is_refused_for_another_team_role_purpose_or_case_and_the_person_sees_it(
    world: World, what: str
) -> None:
    visit = await a_visit(world)
    sent = await world.wijkteam.tries_to_look(visit, **WRONG[what])
    last = newest(world)
    assert sent.response.status_code == 403
    assert "ticket-refused" in sent.response.text
    assert (last.t, last.refused, len(last.handles)) == ("lookup", "ticket", len(visit.scopes))


@pytest.mark.parametrize("what", WRONG)
async def test_without_the_comparison_such_a_ticket_would_be_answered(
    world: World, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit = await a_visit(world)
    monkeypatch.setattr(lookup, "fits", lambda *_: True)
    sent = await world.wijkteam.tries_to_look(visit, **WRONG[what])
    assert sent.response.status_code == 200


async def test_a_ticket_of_another_node_does_not_open(world: World) -> None:
    visit = await a_visit(world)
    other = world.nodes["wijkteam-twee"]
    sent = await other.tries_to_look(visit)
    assert sent.response.status_code == 403
    assert (newest(world).refused, newest(world).handles, newest(world).node) == (
        "ticket",
        [],
        "wijkteam-twee",
    )


@pytest.mark.parametrize("at", [0, 1, 5, 29, 100, 400, TICKET_SIZE - 1])
async def test_a_ticket_with_one_bit_changed_does_not_open(world: World, at: int) -> None:
    visit = await a_visit(world)
    visit.tickets = [flip(visit.tickets[0], at)]
    assert (await world.wijkteam.tries_to_look(visit)).response.status_code == 403


async def test_a_citizens_ticket_cannot_look_and_a_visits_ticket_opens_no_session(world: World) -> None:
    visit, session = await a_visit(world), await world.portaal.logs_in("Fatima")
    session_at_desk = Visit(**{**visit.__dict__, "tickets": session.tickets})
    visit_at_portal = Visit(**{**session.__dict__, "tickets": visit.tickets})
    assert (await world.wijkteam.tries_to_look(session_at_desk)).response.status_code == 403
    assert (await world.portaal.asks(visit_at_portal, "flags")).response.status_code == 403


@pytest.mark.parametrize("how", ["after its end", "after closing"])
async def test_a_ticket_shows_nothing_when_its_visit_is_over(world: World, how: str) -> None:
    visit = await a_visit(world)
    if how == "after its end":
        world.clock.shift(days=14, seconds=1)
    else:
        await world.wijkteam.closes(visit)
    sent = await world.wijkteam.tries_to_look(visit)
    person = msgspec.json.decode(sent.response.content, type=LookupAnswer).persons[0]
    assert (person.flags, person.present, person.refused) == ([], False, "no-relation")


async def test_a_ticket_is_void_after_its_key_was_rotated(tmp_path: Path, world: World) -> None:
    visit = await a_visit(world)
    world.keystore._secrets["k_ticket"] = b"n" * 32
    world.hub.tickets = type(world.hub.tickets)(b"n" * 32)
    assert (await world.wijkteam.tries_to_look(visit)).response.status_code == 403


async def test_one_good_ticket_does_not_carry_a_wrong_one(world: World) -> None:
    visit = await a_visit(world)
    other = await world.wijkteam.opens(
        "m-ann", ["Piet"], role="inkomensconsulent", purpose="casusoverleg", until=timedelta(days=3)
    )
    visit.tickets = [*visit.tickets, *other.tickets]
    sent = await world.wijkteam.tries_to_look(visit)
    assert sent.response.status_code == 403
    assert b"bijstand" not in sent.response.content
