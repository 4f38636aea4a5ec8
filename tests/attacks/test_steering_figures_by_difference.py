"""Attack: learn of one resident by comparing two steering figures.

Defence: a month is counted once, for all, after it is over; hidden counts are
one mark; other counts stand for five counts each; there is no sum of parts.
The attacker here knows everything but one resident, and may ask twice.
"""

import csv
import io
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from index import steering
from index.protocol.codec import b64u
from index.protocol.entry import Asker, shown_bits
from index.steering import Count, Figures, counted
from index.store.tables import figure
from policy.postpone import Postponement
from policy.vocabulary import load_vocabulary
from tests.hub.acting import Acting
from tests.hub.world import GEMEENTE

VOCABULARY = load_vocabulary()
LATER = Postponement.of(VOCABULARY)
KINDS = {one.number: one.code for one in VOCABULARY.kinds if not LATER.postpones("", [one.number])}
AREAS = [f"{GEMEENTE}/noord", f"{GEMEENTE}/zuid"]
K = 10


def look(
    person: int, *kinds: str, team: str = "noord", t: str = "lookup", scope: int = 0, role: str = "generalist"
) -> Any:
    """An entry about a person; each person has one chain in each scope."""
    handles = [b64u(bytes([place]) * 8 + person.to_bytes(8, "big")) for place in {0, scope}]
    asker = Asker(
        actor="m-1", basis="", bg=0, body="", case="", handles=sorted(handles), jti="", msg="",
        node="wijkteam", nodeSig="", nts=0, org=GEMEENTE, purpose="huisbezoek", pv=1, refused="", req="",
        role=role, shown=b64u(shown_bits([VOCABULARY.kind(code).number for code in kinds], 60)),
        t=t, team=team, ts=0, v=1,  # type: ignore[arg-type]
    )  # fmt: skip
    return SimpleNamespace(year=2026, index=0, asker=asker)


def figures(*entries: Any) -> Figures:
    return counted("2026-11", entries, kinds=KINDS, areas=AREAS, k=K, later=LATER)


def raw(found: Figures) -> bytes:
    return msgspec.json.encode(found)


def cell(counts: list[Count], code: str) -> int | None:
    return next(one.count for one in counts if one.code == code)


def test_none_and_nine_are_the_same_bytes() -> None:
    nobody = raw(figures())
    assert {raw(figures(*(look(p, "schuldhulp") for p in range(n)))) for n in range(10)} == {nobody}


def test_every_figure_that_is_told_stands_for_five_counts() -> None:
    told = [cell(figures(*(look(p, "schuldhulp") for p in range(n))).seen, "schuldhulp") for n in range(60)]
    assert told[10] == 10
    for value in {one for one in told if one is not None}:
        assert told.count(value) == 5


def test_looks_at_few_residents_are_few_however_often() -> None:
    """Residents are counted: thirty looks at three people are three, whatever scopes were asked."""
    often = [look(number % 3, "schuldhulp", scope=number % 4) for number in range(30)]
    assert raw(figures(*often)) == raw(figures())


def test_one_team_more_or_less_tells_nothing_of_a_hidden_cell() -> None:
    """A table of parts has no sum, and no table is the sum of another."""
    shown = [look(p, "schuldhulp") for p in range(20)]
    answers = {raw(figures(*shown, *(look(100 + p, team="zuid") for p in range(n)))) for n in range(10)}
    assert len(answers) == 1
    names = set(msgspec.json.decode(answers.pop()))
    assert names == {"month", "fewerThan", "roundedTo", "seen", "known", "areas"}


def test_nothing_that_a_resident_may_not_know_yet_is_counted() -> None:
    hidden = next(one.code for one in VOCABULARY.kinds if LATER.postpones("", [one.number]))
    role = next(iter(LATER.roles))
    plain = [look(p, "schuldhulp") for p in range(20)]
    extra = [look(100 + p, hidden) for p in range(20)] + [
        look(200 + p, "schuldhulp", role=role) for p in range(20)
    ]
    assert raw(figures(*plain, *extra)) == raw(figures(*plain))
    assert hidden not in raw(figures(*plain, *extra)).decode()


def test_a_spreadsheet_and_json_say_the_same() -> None:
    found = [figures(*(look(p, "schuldhulp") for p in range(23)))]
    rows = list(csv.DictReader(io.StringIO(steering.as_csv(found))))
    assert {r["inwoners"] for r in rows if (r["telling"], r["wat"]) == ("gezien", "schuldhulp")} == {"20"}
    assert {r["inwoners"] for r in rows if r["wat"] == "bijstand"} == {"<10"}
    (month,) = msgspec.json.decode(steering.as_json(found))["months"]
    assert {"code": "schuldhulp", "count": 20} in month["seen"]


PLANTED: dict[str, Callable[[int, int], int | None]] = {
    "counts are exact": lambda count, k: None if count < k else count,
    "nothing is hidden": lambda count, _: count,
    "rounding is to the nearest": lambda count, k: None if count < k else 5 * round(count / 5),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_figures_that_tell_more_are_caught(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steering, "hidden", PLANTED[bug])
    with pytest.raises(AssertionError):
        _both()


def _both() -> None:
    test_none_and_nine_are_the_same_bytes()
    test_every_figure_that_is_told_stands_for_five_counts()


# --- at a hub --------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path_factory: pytest.TempPathFactory, database: dict[str, str]) -> Iterator[Acting]:
    with Acting(tmp_path_factory.mktemp("hub"), **database) as acting:
        yield acting


def to(hub: Acting, day: str) -> None:
    at = datetime.fromisoformat(day).replace(tzinfo=UTC)
    hub.world.clock.shift(seconds=(at - hub.world.clock()).total_seconds())


def told(hub: Acting) -> str:
    steering.due(hub.world.hub)
    return steering.as_json(steering.months(hub.world.hub))


def test_asking_before_and_after_a_look_gives_the_same(hub: Acting) -> None:
    to(hub, "2027-03-10T10:00")
    for _ in range(11):
        hub.sees(hub.visit(hub.somebody()))
    before = told(hub)
    hub.sees(hub.visit(hub.somebody()))
    assert told(hub) == before
    assert "2027-03" not in before
    to(hub, "2027-04-01T00:05")
    assert "2027-03" not in told(hub)  # clocks may step back: counted once all of it is there

    to(hub, "2027-04-01T00:20")
    march = told(hub)

    found = next(one for one in steering.months(hub.world.hub) if one.month == "2027-03")
    assert cell(found.areas, f"{GEMEENTE}/noord") == 10
    # Lines that go, by the end of their term or by a request, take nothing from what was told.
    with hub.world.hub.engine.begin() as connection:
        connection.execute(text("UPDATE entry SET sealed = NULL WHERE year = 2027"))
    assert told(hub) == march


def test_counting_again_after_a_line_is_gone_would_be_seen(hub: Acting) -> None:
    """The planted bug of the test above: figures that are made anew at each question."""
    to(hub, "2027-03-10T10:00")
    for _ in range(10):
        hub.sees(hub.visit(hub.somebody()))
    to(hub, "2027-04-01T01:00")
    once = told(hub)
    with hub.world.hub.engine.begin() as connection:
        newest = connection.execute(text('SELECT max("index") FROM entry WHERE year = 2027')).scalar()
        connection.execute(
            text('UPDATE entry SET sealed = NULL WHERE year = 2027 AND "index" > :few'), {"few": newest - 8}
        )
        connection.execute(figure.delete().where(figure.c.month == "2027-03"))
    assert told(hub) != once
