"""Attack: learn from the work behind an answer that something is there which may not be seen.

Defence: the same opens, decisions, statements and writes for everybody. Here
they are counted; how long they take over HTTP is measured by `tests/faults/equal.py`,
of which a short run stands below.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from index import lookup, signals
from index.accesslog.log import AccessLog
from index.protocol.codec import b64u
from index.rows import Rows
from index.store import driver
from tests.faults import bugs
from tests.faults.equal import HIDDEN, SEEN, compare, distance, threshold
from tests.faults.hubs import Ground
from tests.faults.processes import Zygote
from tests.hub.world import VOCABULARY, Visit, World

pytestmark = pytest.mark.anyio

PERSONS = ("nobody", "hidden", "denied", "seen", "seen-and-hidden", "restricted", "disputed", "no-flag")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path).running() as running:
        hidden = sorted(set(HIDDEN))
        for person, kinds in (
            ("hidden", hidden),
            ("denied", [*SEEN[:2], *hidden]),
            ("seen", SEEN),
            ("seen-and-hidden", [*SEEN, *hidden]),
            ("restricted", SEEN),
            ("disputed", SEEN),
        ):
            own = [(person, kind) for kind in kinds if kind != "schuldhulp"]
            assert (await running.inkomen.publishes_all(own)).response.status_code == 200
            if "schuldhulp" in kinds:
                await running.bron.publishes(person, "schuldhulp")
        await running.portaal.chooses(await running.portaal.logs_in("denied"), "deny", receiver=[])
        # Rights about flags that are there, and about flags that are not.
        for person, right in (("restricted", "restriction"), ("disputed", "dispute"), ("no-flag", "dispute")):
            session = await running.portaal.logs_in(person)
            sent = await running.portaal.uses_right(session, right, sorted(set(SEEN)))
            assert sent.response.status_code == 200, sent.response.text
        for person in ("seen", "seen-and-hidden", "restricted", "disputed"):
            session = await running.portaal.logs_in(person)
            for kind in SEEN:
                domain = VOCABULARY.kind(kind).domain
                sent = await running.portaal.chooses(session, category=[domain, kind])
                assert sent.response.status_code == 200
        yield running


@contextmanager
def counted(world: World, patch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """Every open, decision, statement with its size, and row of the log, while inside."""
    work: Counter[str] = Counter()

    def count(owner: Any, name: str, label: str) -> None:
        original = getattr(owner, name)

        def counting(*args: Any, **kwargs: Any) -> Any:
            work[label] += 1
            return original(*args, **kwargs)

        patch.setattr(owner, name, counting)

    def statements(name: str, many: bool) -> None:
        original = getattr(driver, name)

        def counting(connection: Any, text: str, parameters: Any = ()) -> Any:
            size = len(parameters) if many else 1
            work[f"{text[:60]} x {size} with {len(parameters[0] if many else parameters)}"] += 1
            return original(connection, text, parameters)

        patch.setattr(driver, name, counting)

    with patch.context():
        count(Rows, "open", "row opened")
        count(lookup, "decide", "decision")
        count(lookup, "decide_each", "decision per flag")
        count(AccessLog, "append", "entry")
        # At the driver: SQLAlchemy's events do not see the statements of a batch.
        statements("rows", many=False)
        statements("change", many=False)
        statements("many", many=True)
        yield work


async def work_of(world: World, visit: Visit, patch: pytest.MonkeyPatch) -> Counter[str]:
    with counted(world, patch) as work:
        sent = await world.wijkteam.tries_to_look(visit)
    assert sent.response.status_code == 200
    return work


async def works(world: World, patch: pytest.MonkeyPatch, *, urgent: bool = False) -> dict[str, Counter[str]]:
    opens = world.wijkteam.declares if urgent else world.wijkteam.opens
    visits = {person: await opens("m-jan", [person]) for person in PERSONS}
    for visit in visits.values():
        await world.wijkteam.looks(visit)
    found = {}
    for person, visit in visits.items():
        with pytest.MonkeyPatch.context() as fresh:
            found[person] = await work_of(world, visit, fresh)
    return found


async def test_hidden_absent_denied_and_visible_cost_the_same_work(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await works(world, monkeypatch)
    first = found["nobody"]
    assert first["row opened"] >= 25
    assert first["decision"] == 5
    assert sum(number for what, number in first.items() if what.startswith(("SELECT", "WITH"))) >= 6
    assert {person: work - first for person, work in found.items()} == {p: Counter() for p in PERSONS}
    assert {person: first - work for person, work in found.items()} == {p: Counter() for p in PERSONS}


async def test_break_glass_costs_the_same_work_whoever_it_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.inkomen.publishes_all([(who, "ggz") for who in ("hidden", "denied", "seen-and-hidden")])
    found = await works(world, monkeypatch, urgent=True)
    assert found["nobody"]["row opened"] >= 10
    assert len({tuple(sorted(work.items())) for work in found.values()}) == 1


async def works_of_signals(world: World) -> dict[str, Counter[str]]:
    """Looking at followed visits, of whom nothing, something hidden or something denied came since."""
    persons = ("late-nobody", "late-hidden", "late-denied", "late-gone")
    await world.portaal.chooses(await world.portaal.logs_in("late-denied"), "deny", receiver=[])
    named = {}
    for person in persons:
        visit = await world.wijkteam.opens("m-jan", [person])
        name = person.encode().ljust(16)
        body = {"tickets": visit.tickets, "visit": b64u(name)}
        sent = await world.wijkteam.send("/v1/subscriptions", body, "subscription", **visit.statement())
        assert sent.response.status_code == 200
        named[name] = person
    hidden = [("late-hidden", kind) for kind in sorted(set(HIDDEN))]
    await world.inkomen.publishes_all([*hidden, ("late-denied", "bijstand"), ("late-gone", "bijstand")])
    await world.inkomen.retracts("late-gone", "bijstand")
    world.clock.shift(hours=1)
    found = {}
    for tag, opened in signals.Signals(world.hub)._due():
        with pytest.MonkeyPatch.context() as fresh, counted(world, fresh) as work:
            await world.hub.sequencer.submit(signals.Looking(world.hub, tag, opened))
        found[named[opened[0][1].visit]] = work
    assert set(found) == set(persons)
    return found


async def test_looking_for_signals_costs_the_same_whatever_is_hidden(world: World) -> None:
    found = await works_of_signals(world)
    assert found["late-nobody"]["row opened"] >= 25
    assert len({tuple(sorted(work.items())) for work in found.values()}) == 1


async def test_the_count_finds_signals_that_look_at_what_exists_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = signals.Looking._look

    def shortcut(self: Any, tx: Any, row: Any, watched: Any, due: int) -> bool:
        return bool(tx.flags(watched.keys[0])) and whole(self, tx, row, watched, due)

    monkeypatch.setattr(signals.Looking, "_look", shortcut)
    found = await works_of_signals(world)
    assert len({tuple(sorted(work.items())) for work in found.values()}) > 1


@pytest.mark.parametrize("bug", bugs.TELLING)
async def test_the_count_finds_a_planted(world: World, monkeypatch: pytest.MonkeyPatch, bug: str) -> None:
    monkeypatch.setattr(lookup.Sight, "_live", lookup.Sight._live)
    bugs.TELLING[bug]()
    found = await works(world, monkeypatch)
    assert len({tuple(sorted(work.items())) for work in found.values()}) > 1


def test_a_short_run_over_http_gives_equal_bytes_and_no_gross_difference_in_time(tmp_path: Path) -> None:
    with Zygote() as zygote:
        outcome = asyncio.run(compare(zygote, Ground(tmp_path), seed=1, pairs=60))
    assert not any("differ" in what for what in outcome.verdict.others)
    # Sixty pairs on a busy machine prove little; `make faults` asks 3,000.
    assert max(v for name, v in outcome.figures.items() if name.startswith("KS")) < 0.5


def test_the_distance_is_that_of_kolmogorov_and_smirnov() -> None:
    assert distance([1, 2, 3, 4], [1, 2, 3, 4]) == 0
    assert distance([1, 2], [3, 4]) == 1
    assert distance([1, 2, 3, 4], [3, 4, 5, 6]) == 0.5
    assert round(threshold(3000), 3) == 0.042
