"""Erasing by destroying keys: nothing past its term is left, proofs hold, and no old copy opens."""

import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from index import erasing
from index.accesslog import heads
from index.accesslog.reading import LogReader
from index.accesslog.verifying import LogStatus, verify_all
from index.acts import Refused
from index.erasing import Segment, segments_of
from index.keystore import load_keystore
from index.protocol.codec import b64u
from index.protocol.entry import Chain, erases, handle, parse_asker, parse_chain
from index.protocol.messages import OwnLogAnswer
from index.store.engine import open_engine
from index.upkeep import Upkeep
from nodes.looks import check_lines

from .acting import Acting
from .world import HUB_ID

TERMS = {"retention_months": {"casusoverleg": 1}, "retention_default_months": 12}


@pytest.fixture
def hub(tmp_path_factory: pytest.TempPathFactory, database: dict[str, str]) -> Iterator[Acting]:
    with Acting(tmp_path_factory.mktemp("hub"), **database, **TERMS) as acting:
        yield acting


def whole(hub: Acting, year: int | None = None) -> LogStatus:
    with hub.world.hub.reading() as connection:
        found = verify_all(connection, hub.world.hub.log_reader, year=year)
    assert found
    return found


def purposes(hub: Acting) -> list[str]:
    """Purpose of every line about a person that still opens, over all years."""
    found = []
    with hub.world.hub.reading() as connection:
        reader = hub.world.hub.log_reader
        for year in reader.years(connection)[::-1]:
            head = reader.head(connection, year)
            assert head
            for _, entry in reader.opened(connection, year, 0, head.size):
                asker = parse_asker(entry.asker)
                if asker.t == "lookup":
                    found.append(asker.purpose)
    return found


def look_for_both(hub: Acting, person: str) -> None:
    for purpose in ("huisbezoek", "casusoverleg", "huisbezoek"):
        hub.sees(hub.visit(person, purpose=purpose))


def test_after_a_purposes_term_its_lines_are_gone_and_the_others_are_not(hub: Acting) -> None:
    look_for_both(hub, hub.somebody())
    hub.world.clock.shift(days=70)
    over = erasing.past_term(hub.world.hub.office)
    assert [key.kind for key in over] == ["log-m1"]

    done = erasing.run(hub.world.hub.office)

    assert (done.lines, done.left, len(done.keys)) == (2, 0, 1)
    assert purposes(hub) == ["huisbezoek", "huisbezoek"]
    for year in {hub.world.clock().year, (hub.world.clock() - timedelta(days=70)).year}:
        assert whole(hub, year).holds, whole(hub, year).problems


def test_nothing_is_erased_before_its_term(hub: Acting) -> None:
    look_for_both(hub, hub.somebody())
    hub.world.clock.shift(days=28)
    done = erasing.run(hub.world.hub.office)
    assert (done.lines, list(done.keys), done.left) == (0, [], 0)
    assert len(purposes(hub)) == 3


def test_a_backup_of_yesterday_no_longer_opens_once_the_key_is_destroyed(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with Acting(tmp_path_factory.mktemp("hub"), **TERMS) as hub:
        look_for_both(hub, hub.somebody())
        backup = tmp_path / "backup.db"
        with (
            sqlite3.connect(hub.world.settings.database) as source,
            sqlite3.connect(backup) as copy,
        ):
            source.backup(copy)
        hub.world.clock.shift(days=70)
        erasing.run(hub.world.hub.office)

        keys = load_keystore(hub.world.settings.keystore)
        reader = LogReader(f"{HUB_ID}/v1/log", keys)
        old = open_engine(f"sqlite:///{backup}")
        with old.connect().execution_options(reading=True) as connection:
            head = reader.head(connection)
            assert head
            sealed = connection.execute(text("SELECT count(*) FROM entry WHERE sealed IS NOT NULL")).scalar()
            opens = len(list(reader.opened(connection, head.year, 0, head.size)))
        old.dispose()
    assert sealed == head.size
    assert opens == head.size - 2


def test_a_citizen_is_told_what_was_erased_and_the_rest_still_verifies(hub: Acting) -> None:
    person = hub.somebody()
    look_for_both(hub, person)
    hub.world.clock.shift(days=70)
    erasing.run(hub.world.hub.office)

    session = hub.login(person)
    answer = hub.own(session, "log", OwnLogAnswer)
    own = dict(zip(session.scopes, session.lids[0], strict=True))

    checked = check_lines(answer, own, hub.world.log_vkey)
    assert checked.verified
    assert not any(asker.purpose == "casusoverleg" for _, asker in checked.entries)
    assert sum(asker.purpose == "huisbezoek" for _, asker in checked.entries) == 4
    # The planted bug: a hub that drops lines without an entry `erase`.
    silent = [line for line in answer.lines if '"t":"erase"' not in line.asker]
    answer = type(answer)(silent, answer.checkpoint, answer.log, answer.earlier)
    assert not check_lines(answer, own, hub.world.log_vkey).verified


def test_lines_that_vanish_without_an_entry_are_found(hub: Acting) -> None:
    look_for_both(hub, hub.somebody())
    with hub.world.hub.engine.begin() as connection:
        connection.execute(text('UPDATE entry SET sealed = NULL WHERE "index" = 3'))
    assert whole(hub).problems == ("entry 3 is gone without an erasure",)


def test_an_erasure_names_its_lines_exactly_so_a_neighbour_cannot_hide_behind_it(hub: Acting) -> None:
    look_for_both(hub, hub.somebody())
    hub.world.clock.shift(days=70)
    erasing.run(hub.world.hub.office)
    year = (hub.world.clock() - timedelta(days=70)).year
    with hub.world.hub.reading() as connection:
        gone = (
            connection.execute(
                text(f'SELECT "index" FROM entry WHERE year = {year} AND sealed IS NULL ORDER BY 1')  # noqa: S608
            )
            .scalars()
            .all()
        )
    between = next(i for i in range(1, 20) if i not in gone)
    with hub.world.hub.engine.begin() as connection:
        connection.execute(
            text(f'UPDATE entry SET sealed = NULL WHERE year = {year} AND "index" = {between}')  # noqa: S608
        )
    assert f"entry {between} is gone without an erasure" in whole(hub, year).problems


def test_a_crash_after_the_entry_is_made_good_by_the_next_run(
    hub: Acting, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_for_both(hub, hub.somebody())
    hub.world.clock.shift(days=70)
    with monkeypatch.context() as broken:
        broken.setattr(erasing, "_null", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            erasing.run(hub.world.hub.office)
    assert len(purposes(hub)) == 3
    done = erasing.run(hub.world.hub.office)
    assert (done.lines, done.left) == (2, 0)
    assert whole(hub).holds


def test_while_it_is_paused_nothing_is_erased_and_the_figure_says_so(hub: Acting) -> None:
    look_for_both(hub, hub.somebody())
    office = hub.world.hub.office
    erasing.pause(office, "rechtszaak")
    with pytest.raises(Refused):
        erasing.pause(office, "onderzoek")
    hub.world.clock.shift(days=70)

    done = erasing.run(office)

    assert (done.paused, done.lines, done.left) == ("rechtszaak", 0, 2)
    assert len(purposes(hub)) == 3
    erasing.resume(office)
    assert erasing.run(office).left == 0
    causes = []
    with hub.world.hub.reading() as connection:
        reader = hub.world.hub.log_reader
        for year in reader.years(connection):
            head = reader.head(connection, year)
            assert head
            causes += [parse_chain(e.chain).cause for _, e in reader.opened(connection, year, 0, head.size)]
    assert {"erasure-paused-rechtszaak", "erasure-resumed", "retention"} <= set(map(str, causes))


def test_the_plan_tells_when_each_month_goes(hub: Acting) -> None:
    look_for_both(hub, hub.somebody())
    at = hub.world.clock()
    terms = {one.kind: one for one in erasing.plan(hub.world.hub.office)}
    assert terms["log-m1"].lines == 2
    assert terms["log-own"].ends is None
    ends = terms["log"].ends
    assert ends
    assert (ends.year * 12 + ends.month) - (at.year * 12 + at.month) == 13


def test_segments_cover_exactly_what_is_erased() -> None:
    for indexes in ([5], [1, 2, 3], [1, 3, 4, 900], list(range(0, 9000, 7)), [*range(10_000), 20_000]):
        parts = list(segments_of(2026, indexes))
        named = {i for part in parts for i in range(part.first, part.last + 1) if erases(_chain(part), i)}
        assert named == set(indexes)
    assert len(list(segments_of(2026, list(range(100_000))))) == 1


def _chain(part: Segment) -> Chain:
    lines = {"lines": b64u(part.bits)} if part.bits else {}
    return Chain(subj=[], from_=part.first, to=part.last, year=part.year, **lines)


# --- the daily heads --------------------------------------------------------------------


def test_the_daily_entry_holds_the_end_of_every_chain_and_is_checked(hub: Acting) -> None:
    person = hub.somebody()
    look_for_both(hub, person)
    upkeep = Upkeep(hub.world.hub)
    assert upkeep.heads() == 1
    assert upkeep.heads() == 0
    hub.world.clock.shift(days=1)
    hub.sees(hub.visit(person))
    assert upkeep.heads() == 1
    assert whole(hub).holds


def test_an_entry_heads_that_leaves_out_a_chain_is_found(
    hub: Acting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted bug: the hub hides the newest line of one chain."""
    look_for_both(hub, hub.somebody())
    honest = heads.ends_of
    monkeypatch.setattr(heads, "ends_of", lambda entries: dict(list(honest(entries).items())[1:]))
    Upkeep(hub.world.hub).heads()
    assert [p for p in whole(hub).problems if "contradicts the ends" in p]


def test_the_list_behind_the_entry_is_sealed_and_opens_for_officers(hub: Acting) -> None:
    person = hub.somebody()
    look_for_both(hub, person)
    Upkeep(hub.world.hub).heads()
    with hub.world.hub.reading() as connection:
        row = connection.execute(text('SELECT year, "index", sealed FROM heads')).one()
    listed = heads.open_list(
        hub.world.hub.keystore, f"{HUB_ID}/v1/log/{row.year}", row.index, bytes(row.sealed)
    )
    assert listed is not None
    mine = handle(row.year, hub.lids(person)[0])
    assert mine in listed
    assert mine not in bytes(row.sealed)


# --- years -----------------------------------------------------------------------------


def test_last_years_log_is_frozen_named_by_the_new_one_and_still_read(hub: Acting) -> None:
    person = hub.somebody()
    look_for_both(hub, person)
    old = hub.world.clock().year
    Upkeep(hub.world.hub).heads()
    hub.world.clock.shift(days=60)
    hub.sees(hub.visit(person))
    assert hub.world.clock().year == old + 1
    Upkeep(hub.world.hub).heads()

    with hub.world.hub.reading() as connection:
        reader = hub.world.hub.log_reader
        first = reader.at(connection, old + 1, 0)
        frozen = reader.head(connection, old)
    assert first
    assert frozen
    assert parse_chain(first.opened.chain).checkpoint == frozen.note
    assert whole(hub, old).holds
    assert whole(hub, old + 1).holds
    session = hub.login(person)
    answer = hub.own(session, "log", OwnLogAnswer)
    own = dict(zip(session.scopes, session.lids[0], strict=True))
    checked = check_lines(answer, own, hub.world.log_vkey)
    assert checked.verified
    assert {line.year for line in answer.lines} == {old, old + 1}
    assert sum(asker.t == "lookup" for _, asker in checked.entries) == 4


@pytest.mark.parametrize("minutes", [5, -5])
def test_order_and_numbers_never_follow_a_clock_that_steps(hub: Acting, minutes: int) -> None:
    """P13: every look stands after the one before, whatever the clock says, and all of it verifies."""
    person = hub.somebody()
    for _ in range(3):
        hub.sees(hub.visit(person))
        hub.world.clock.shift(minutes=minutes)
    session = hub.login(person)
    answer = hub.own(session, "log", OwnLogAnswer)
    places = [line.index for line in answer.lines if line.scope == "geld"]
    numbers = [parse_chain(line.chain.encode()).subj[0][0] for line in answer.lines if line.scope == "geld"]
    times = [line.asker.split('"ts":')[1] for line in answer.lines if line.scope == "geld"]
    assert places == sorted(places)
    assert numbers == sorted(numbers)
    assert (times == sorted(times)) is (minutes > 0)
    own = dict(zip(session.scopes, session.lids[0], strict=True))
    assert check_lines(answer, own, hub.world.log_vkey).verified
    assert whole(hub).holds


def test_a_clock_that_steps_back_over_new_year_stays_in_the_new_log(hub: Acting) -> None:
    person = hub.somebody()
    hub.sees(hub.visit(person))
    now = hub.world.clock()
    midnight = now.replace(year=now.year + 1, month=1, day=1, hour=0, minute=2, second=0, microsecond=0)
    hub.world.clock.shift(seconds=(midnight - now).total_seconds())
    visit = hub.visit(person)
    hub.sees(visit)
    hub.world.clock.shift(minutes=-5)
    assert hub.world.clock().year == now.year

    hub.sees(visit)

    assert whole(hub).year == now.year + 1
    assert whole(hub).holds
    session = hub.login(person)
    answer = hub.own(session, "log", OwnLogAnswer)
    own = dict(zip(session.scopes, session.lids[0], strict=True))
    assert check_lines(answer, own, hub.world.log_vkey).verified
