"""What a privacy officer reads: who asked, filtered and paged, without a person; and whether it holds."""

import re
from collections.abc import Iterator
from dataclasses import asdict, fields

import pytest
from sqlalchemy import Connection, text

from index.officer import PAGE_SIZE, OfficerLine, OfficerPage, OfficerQuery, Officers
from index.protocol.codec import b64u
from index.protocol.entry import handle
from tests.hub.acting import Acting
from tests.hub.world import GEMEENTE, PORTAAL, SCHULDHULP


@pytest.fixture
def hub(tmp_path_factory: pytest.TempPathFactory, database: dict[str, str]) -> Iterator[Acting]:
    with Acting(tmp_path_factory.mktemp("hub"), **database) as acting:
        yield acting


@pytest.fixture
def officers(hub: Acting) -> Officers:
    return Officers(hub.world.hub)


def find(hub: Acting, officers: Officers, **query: object) -> OfficerPage:
    return hub.run(officers.find(OfficerQuery(**query)))  # type: ignore[arg-type]


def activities(page: OfficerPage) -> list[str]:
    return [line.t for line in page.lines]


def test_entries_are_listed_newest_first_with_refused_ones(hub: Acting, officers: Officers) -> None:
    person = hub.somebody()
    visit = hub.visit(person)
    hub.sees(visit)
    hub.run(hub.wijkteam.closes(visit))
    hub.sees(visit)

    page = find(hub, officers)

    assert activities(page) == ["lookup", "relation", "lookup", "relation", "admin"]
    assert [line.refused for line in page.lines] == ["no-relation", "", "", "", ""]
    assert page.lines[0].actor == "m-17"
    assert page.total == 5
    assert page.complete


def test_each_filter_keeps_what_matches_and_nothing_else(hub: Acting, officers: Officers) -> None:
    person = hub.somebody()
    hub.publish(hub.bron, hub.flag(person, "schuldhulp"))
    hub.sees(hub.visit(person))
    hub.sees(hub.visit(person, purpose="casusoverleg"))
    hub.login(person)
    today = hub.world.clock().date()

    assert activities(find(hub, officers, organisation=SCHULDHULP)) == ["publish"]
    assert activities(find(hub, officers, organisation=PORTAAL)) == ["relation"]
    assert activities(find(hub, officers, role="generalist")) == ["lookup", "relation"] * 2
    assert activities(find(hub, officers, purpose="casusoverleg")) == ["lookup", "relation"]
    assert activities(find(hub, officers, t="lookup")) == ["lookup", "lookup"]
    assert activities(find(hub, officers, organisation=GEMEENTE, t="lookup", purpose="huisbezoek")) == [
        "lookup"
    ]
    assert find(hub, officers, day=today).total == find(hub, officers).total
    hub.world.clock.shift(days=1)
    hub.publish(hub.bron, hub.flag(person, "schuldhulp"))
    assert activities(find(hub, officers, day=hub.world.clock().date())) == ["publish"]
    assert find(hub, officers, organisation="00000000000000000001").total == 0


def test_pages_together_hold_every_entry_once(hub: Acting, officers: Officers) -> None:
    person = hub.somebody()
    hub.publish(hub.bron, *(hub.flag(person, "schuldhulp") for _ in range(2 * PAGE_SIZE)))

    pages = [find(hub, officers, page=number) for number in (1, 2, 3, 4)]

    assert [len(page.lines) for page in pages] == [PAGE_SIZE, PAGE_SIZE, 1, 0]
    indexes = [line.index for page in pages for line in page.lines]
    assert indexes == sorted(indexes, reverse=True) == list(range(2 * PAGE_SIZE, -1, -1))


def test_nothing_of_a_person_leaves_to_the_officers_page(hub: Acting, officers: Officers) -> None:
    person = hub.somebody()
    hub.publish(hub.bron, hub.flag(person, "schuldhulp"))
    visit = hub.visit(person)
    hub.sees(visit)
    hub.allow_everything(person)

    told = " ".join(str(asdict(line)) for line in find(hub, officers).lines)

    year = hub.world.clock().year
    marks = [b64u(handle(year, lid)) for lid in hub.lids(person)]
    assert not any(mark in told for mark in [*marks, visit.case, *(b64u(lid) for lid in hub.lids(person))])
    assert not re.search(r"[A-Za-z0-9_-]{22,}", told)
    names = {field.name for field in fields(OfficerLine)}
    assert not names & {"handles", "case", "jti", "msg", "body", "subj", "dec", "asker"}


def test_an_untouched_log_is_verified_to_its_last_entry(hub: Acting, officers: Officers) -> None:
    person = hub.somebody()
    hub.publish(hub.bron, *(hub.flag(person, "schuldhulp") for _ in range(300)))
    hub.sees(hub.visit(person))

    checked = hub.run(officers.status())

    assert checked.holds, checked.problems
    assert checked.size == 303
    assert checked.until is not None
    assert abs((hub.world.clock() - checked.until).total_seconds()) < 60


def _without_guards(connection: Connection) -> None:
    """Take away what lets the log only grow, as whoever owns the schema can."""
    if connection.dialect.name == "postgresql":
        for table in ("entry", "handle"):
            connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        return
    for (name,) in connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
        connection.execute(text(f"DROP TRIGGER {name}"))


@pytest.mark.parametrize(
    "change",
    [
        'UPDATE entry SET leaf = (SELECT leaf FROM entry WHERE "index" = 3) WHERE "index" = 2',
        'UPDATE entry SET sealed = (SELECT sealed FROM entry WHERE "index" = 3) WHERE "index" = 2',
        'UPDATE entry SET sealed = NULL WHERE "index" = 2',
        'DELETE FROM entry WHERE "index" = 2',
        "DELETE FROM handle WHERE n = 1",
        "UPDATE handle SET pointer = (SELECT pointer FROM handle WHERE n = 3) WHERE n = 2",
    ],
)
def test_a_log_that_was_changed_is_told_to_the_officer(hub: Acting, officers: Officers, change: str) -> None:
    person = hub.somebody()
    hub.publish(hub.bron, *(hub.flag(person, "schuldhulp") for _ in range(5)))
    assert hub.run(officers.status()).holds
    with hub.world.hub.engine.begin() as connection:
        _without_guards(connection)
        connection.execute(text(change))

    checked = hub.run(officers.status())

    assert not checked.holds
    assert checked.problems
    find(hub, officers)


def test_organisations_are_named_by_their_nodes(officers: Officers) -> None:
    assert officers.organisations()[SCHULDHULP] == "bron, crisis"
    assert officers.organisations()[GEMEENTE] == "inkomen, wijkteam, wijkteam-twee"
