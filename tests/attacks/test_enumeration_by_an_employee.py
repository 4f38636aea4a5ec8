"""Attack: a lawful employee goes through a list of people, one visit after the other.

Slowed, never impossible: a budget per employee at the hub, counted in persons. Who
is over it is told so, in words about the asker only, and it stands in the log.
"""

import asyncio
from pathlib import Path

import pytest

from index.accesslog.reading import EntryFilter
from index.hub import Budgets
from nodes.bsn import Bsn
from nodes.employees import Employee
from nodes.errors import NodeError, Refused
from tests.node.world import NodeWorld, bsns

BUDGET = 6


async def go_through(folder: Path, actor: str) -> tuple[list[NodeError | None], list[str]]:
    """Ten visits of one person each; what each came to, and the refusals in the log."""
    world = NodeWorld(folder)
    world.hub_settings = world.hub_settings.model_copy(update={"employee_per_minute": BUDGET})
    async with world.running():
        visits, curious = world.desk().visits, Employee(actor, "generalist", "wijkteam-noord")
        found: list[NodeError | None] = []
        for number in bsns(10):
            try:
                visit = await visits.open(curious, [Bsn.parse(number)], "huisbezoek", "Z-1")
                await visits.look(curious, visit.id)
                found.append(None)
            except NodeError as error:
                found.append(error)
        colleague = Employee("colleague", "generalist", "wijkteam-noord")
        await visits.open(colleague, [Bsn.parse(bsns(1)[0])], "huisbezoek", "Z-2")
        hub = world.network.app.state.hub
        with hub.reading() as connection:
            listed = hub.log_reader.entries(connection, EntryFilter()).entries
    world.keys.close()
    return found, [entry.asker.refused for entry in listed if entry.asker.refused]


def test_who_goes_through_a_list_is_stopped_told_so_and_recorded(tmp_path: Path) -> None:
    found, logged = asyncio.run(go_through(tmp_path, "curious"))
    answered = [error for error in found if error is None]
    refused = [error for error in found if error is not None]
    assert len(answered) <= BUDGET
    assert refused
    assert {(type(error), getattr(error, "reason", "")) for error in refused} == {(Refused, "over-rate")}
    assert set(logged) == {"over-rate"}


def test_without_the_budget_the_whole_list_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Budgets, "take", lambda *_: None)
    found, logged = asyncio.run(go_through(tmp_path, "curious"))
    assert found == [None] * 10
    assert logged == []
