"""Attack: learn from an answer's bytes that something is there which may not be seen.

Defence: decide over all kinds always, open a floor of rows, one size for every
answer, errors about the asker only.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from index import lookup
from index.protocol.messages import LookupAnswer
from index.store import driver
from tests.hub.world import Visit, World

pytestmark = pytest.mark.anyio

WORLDS = ("nobody ever heard of", "flags and no choice", "flags and a no to all", "a choice and no flags")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def world(tmp_path: Path, database: dict[str, str]) -> AsyncIterator[World]:
    async with World(tmp_path, **database).running() as running:
        kinds = ("bijstand", "minima", "ww", "wmo_voorziening", "jeugdhulp", "leerplicht", "veilig_thuis")
        for person in WORLDS[1:3]:
            await running.inkomen.publishes_all([(person, kind) for kind in kinds])
        await running.portaal.chooses(await running.portaal.logs_in(WORLDS[2]), "deny", receiver=[])
        await running.portaal.chooses(await running.portaal.logs_in(WORLDS[3]))
        yield running


def without_random(raw: bytes) -> dict[str, Any]:
    """An answer without what is random or counts time: log receipt, time, and the rest of the padding."""
    person: dict[str, Any] = msgspec.json.decode(raw)["persons"][0]
    receipt = person.pop("log")
    person["at"] = ""
    person["log"] = {name: type(value).__name__ for name, value in receipt.items()}
    person["pad"] = len(person["pad"]) + len(msgspec.json.encode(receipt))
    return person


async def answers(world: World, visits: dict[str, Visit]) -> dict[str, Any]:
    found = {}
    for person, visit in visits.items():
        sent = await world.wijkteam.tries_to_look(visit)
        headers = {
            name: value for name, value in sent.response.headers.items() if name != "vlagwijzer-log-index"
        }
        found[person] = (
            sent.response.status_code,
            headers,
            len(sent.response.content),
            without_random(sent.response.content),
        )
    return found


async def visits(world: World) -> dict[str, Visit]:
    return {person: await world.wijkteam.opens("m-jan", [person]) for person in WORLDS}


async def test_unknown_hidden_denied_and_absent_give_the_same_bytes(world: World) -> None:
    found = await answers(world, await visits(world))
    assert len({repr(answer) for answer in found.values()}) == 1
    assert next(iter(found.values()))[3]["flags"] == []


async def test_they_give_the_same_bytes_after_the_visit_ended_too(world: World) -> None:
    opened = await visits(world)
    for visit in opened.values():
        await world.wijkteam.closes(visit)
    found = await answers(world, opened)
    assert len({repr(answer) for answer in found.values()}) == 1
    assert next(iter(found.values()))[3]["refused"] == "no-relation"


async def test_they_take_the_same_statements_of_the_database(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = await visits(world)
    texts: list[str] = []

    def heard(name: str) -> Any:
        run = getattr(driver, name)

        def hears(connection: Any, statement: str, *rest: Any) -> Any:
            texts.append(statement)
            return run(connection, statement, *rest)

        return hears

    for name in ("rows", "change", "many"):
        monkeypatch.setattr(driver, name, heard(name))
    seen = []
    await world.wijkteam.looks(opened[WORLDS[0]])
    for visit in opened.values():
        texts.clear()
        await world.wijkteam.looks(visit)
        seen.append(list(texts))
    assert len(seen[0]) > 10
    assert all(listed == seen[0] for listed in seen)


async def test_they_make_entries_of_one_size(world: World) -> None:
    for visit in (await visits(world)).values():
        await world.wijkteam.looks(visit)
    with world.hub.reading() as connection:
        rows = connection.exec_driver_sql(
            'SELECT length(sealed) FROM entry ORDER BY "index" DESC LIMIT 4'
        ).fetchall()
    assert {row[0] for row in rows} == {2048}


async def test_the_comparison_notices_a_total_of_hidden_flags(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = lookup.Sight.about

    def leaking(self: lookup.Sight, ticket: Any) -> lookup.Decided:
        decided = original(self, ticket)
        exists = any(self.tx.flags(keys.idx) for _, keys in ticket.scopes.values())
        return lookup.Decided(decided.seen, decided.outcomes, "hidden" if exists else "")

    opened = await visits(world)
    monkeypatch.setattr(lookup.Sight, "about", leaking)
    found = await answers(world, opened)
    assert len({repr(answer) for answer in found.values()}) == 2


async def test_a_mixed_household_answers_each_by_itself(world: World) -> None:
    visit = await world.wijkteam.opens("m-jan", [WORLDS[0], WORLDS[1], WORLDS[3]])
    sent = await world.wijkteam.tries_to_look(visit)
    answer = msgspec.json.decode(sent.response.content, type=LookupAnswer)
    assert [person.flags for person in answer.persons] == [[], [], []]
    assert [person.present for person in answer.persons] == [False, False, False]
