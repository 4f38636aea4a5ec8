"""The flow on the public table of test persons: a source's own list goes in, an employee sees what they may.

The table has households, persons who died and persons under secrecy. None of
that reaches the hub, which treats everybody alike. Skipped where the table is absent.
"""

import csv
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from nodes.bsn import Bsn
from nodes.connectors.csv import plan
from nodes.connectors.plan import apply
from nodes.employees import Employee
from nodes.visits import PersonView
from tests.attacks.traces import search
from tests.node.world import NodeWorld

pytestmark = pytest.mark.anyio

JAN = Employee("jan-pseudoniem", "generalist", "wijkteam-noord")
PUBLISHED = 300


@dataclass(frozen=True)
class Row:
    """One person of the table, without the birth date."""

    bsn: str
    deceased: bool
    secrecy: bool
    address: str
    relatives: tuple[str, ...]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def persons(shared: Path) -> list[Row]:
    path = shared / "persons.csv"
    if not path.exists():
        pytest.skip("the table ../shared/persons.csv is not here")
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Row(
                row["bsn"],
                row["deceased"] == "1",
                row["secrecy"] == "1",
                row["address_key"],
                tuple(number for number in (row["partner_bsn"], *row["child_bsns"].split()) if number),
            )
            for row in csv.DictReader(file)
        ]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[NodeWorld]:
    async with NodeWorld(tmp_path).running() as running:
        yield running
    running.keys.close()


def everybody(persons: list[Row]) -> set[str]:
    """All numbers of the table, those that stand only as somebody's partner or child too."""
    return {number for row in persons for number in (row.bsn, *row.relatives)}


def extract(persons: list[Row]) -> bytes:
    """What a source would deliver: a list with columns and dates of its own making."""
    lines = ["bsn;soort;eigen_kenmerk;sinds;tot"]
    for at, row in enumerate(persons[:PUBLISHED]):
        kind = "schuldhulp" if at % 3 else "wmo_voorziening"
        lines.append(f"{row.bsn};{kind};K-{at:04d};0{1 + at % 9}-0{1 + at % 9}-2025;")
    return "\n".join(lines).encode("cp1252")


def household(persons: list[Row]) -> list[Row]:
    """The largest household in the first part of the table that fits one visit."""
    addresses = Counter(row.address for row in persons[:PUBLISHED])
    address = max((a for a, count in addresses.items() if a and count <= 8), key=lambda a: addresses[a])
    return [row for row in persons[:PUBLISHED] if row.address == address]


def test_every_number_of_the_table_is_taken(persons: list[Row]) -> None:
    assert len(persons) == len({row.bsn for row in persons}) == 336
    numbers = everybody(persons)
    assert len(numbers) == 406
    assert sum(number.startswith("0") for number in numbers) > 0
    assert all(Bsn.parse(number).reveal() == number for number in numbers)


async def test_a_list_of_hundreds_goes_in_and_households_come_out(
    world: NodeWorld, persons: list[Row], tmp_path: Path
) -> None:
    source = world.source()
    planned = plan(extract(persons), source.node.outbox, source.node.rules)
    assert planned.counts["publish"] == PUBLISHED
    assert planned.counts["rejected"] == 0
    await apply(planned, source.node.intake)
    await source.drain()
    assert len(source.node.outbox.live()) == PUBLISHED
    assert await source.node.sender.confirm() == []

    family = household(persons)
    assert len(family) >= 3
    desk = world.desk()
    visit = await desk.visits.open(JAN, [Bsn.parse(row.bsn) for row in family], "huisbezoek", "Z-1")
    before = await desk.visits.look(JAN, visit.id)
    assert [view.flags for view in before] == [[] for _ in family]

    told = [row for row in family if persons.index(row) % 3][:2]
    for row in told:
        await world.allow(row.bsn)
    after = await desk.visits.look(JAN, visit.id)
    seen = {row.bsn for row, view in zip(family, after, strict=True) if view.flags}
    assert seen == {row.bsn for row in told}

    numbers = everybody(persons)
    found = search(tmp_path / "hub", numbers)
    assert found.bytes_scanned > 500_000
    assert found.hits == []
    sent = b"".join(body + repr(headers).encode() for _, headers, body in world.network.sent)
    assert [number for number in numbers if number.encode() in sent] == []
    (tmp_path / "planted").mkdir()
    (tmp_path / "planted" / "file.txt").write_text(f"x{persons[7].bsn}x")
    assert search(tmp_path / "planted", numbers).hits == ["file.txt: digits"]


async def test_the_dead_and_those_under_secrecy_are_treated_as_everybody_else(
    world: NodeWorld, persons: list[Row]
) -> None:
    source = world.source()
    dead = next(row for row in persons if row.deceased)
    secret = next(row for row in persons if row.secrecy and not row.deceased)
    usual = next(row for row in persons if not row.secrecy and not row.deceased)
    for at, row in enumerate((dead, secret, usual)):
        await source.publish(row.bsn, f"K-{at}")
    await source.drain()
    published = [body for path, _, body in world.network.sent if path == "/v1/publications"]
    assert len(published) == 3
    assert len({len(body) for body in published}) == 1

    desk = world.desk()
    numbers = [Bsn.parse(row.bsn) for row in (dead, secret, usual)]
    visit = await desk.visits.open(JAN, numbers, "huisbezoek", "Z-1")
    assert len({_told(view) for view in await desk.visits.look(JAN, visit.id)}) == 1

    for row in (dead, secret, usual):
        await world.allow(row.bsn)
    views = await desk.visits.look(JAN, visit.id)
    assert len({_told(view) for view in views}) == 1
    assert [flag.kind for flag in views[0].flags] == ["schuldhulp"]


def _told(view: PersonView) -> str:
    """Everything of an answer but its place in the log."""
    return repr((view.present, view.flags, view.silent, view.more, view.refused))
