"""A bulk is nothing but many publications: it leaves the same rows, and an interrupted one leaves none."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from index.accesslog.verifying import verify_all
from index.protocol.entry import log_id
from index.protocol.messages import ItemResult
from index.rows import digest_term
from index.store import driver, tables
from index.transaction import FlagRow
from tests.hub.acting import Acting, Flag, outcomes
from tests.hub.world import VOCABULARY, point

KINDS = ("bijstand", "ww", "minima")
COUNT = 150


@pytest.fixture
def hub(tmp_path: Path, database: dict[str, str]) -> Iterator[Acting]:
    with Acting(tmp_path, **database) as acting:
        yield acting


def rows_of(hub: Acting) -> dict[bytes, FlagRow]:
    with hub.world.hub.reading() as connection:
        return {row.rtag: FlagRow._make(row) for row in connection.execute(select(tables.flag))}


def opened(hub: Acting, flag: Flag, row: FlagRow, base: int) -> tuple[Any, ...]:
    """Everything a row says, with what differs between two persons taken out after it was checked."""
    rows = hub.world.hub.rows
    scope, inside = rows.open_flag_anywhere(row)
    n = point(flag.person, scope)
    assert inside.lid == log_id(scope, n)
    assert row.idx == rows.keys_of(scope, n).idx
    assert rows._escrow().open(scope, row.idx, row.escrow) == n
    assert row.pub_tag == rows.pub_tag(inside.publisher)
    return scope, inside[:5], row.seq - base, row.expires_week


def story(hub: Acting, *, at_once: bool) -> tuple[list[str], list[Any], dict[int, tuple[int, int]]]:
    """The same messages about fresh persons, as a few large ones or one per item.

    Returns:
        What became of each item, the opened row of each flag (None where there is none), and
        count and sum of the digests that these flags must have.
    """
    kinds = [KINDS[at % 3] for at in range(COUNT)]
    flags = [hub.flag(hub.somebody(), kind, since=f"2025-{at % 9 + 1:02d}") for at, kind in enumerate(kinds)]
    base = hub._seq
    found: list[ItemResult] = []

    def send(items: Sequence[Flag], seqs: Sequence[int]) -> None:
        if at_once:
            found.extend(hub.publish(hub.inkomen, *items, seqs=seqs))
        else:
            for item, seq in zip(items, seqs, strict=True):
                found.extend(hub.publish(hub.inkomen, item, seqs=[seq]))

    def numbers(count: int) -> list[int]:
        return [hub.next_seq() for _ in range(count)]

    early, first = numbers(5), numbers(COUNT)
    send(flags, first)
    gone = flags[20:50]
    retracted = numbers(len(gone))
    if at_once:
        found.extend(hub.retract(hub.inkomen, *(flag.secret for flag in gone), seqs=retracted))
    else:
        for flag, seq in zip(gone, retracted, strict=True):
            found.extend(hub.retract(hub.inkomen, flag.secret, seqs=[seq]))
    walked = Flag(hub.somebody(), flags[60].kind, flags[60].scope, flags[60].secret)
    unknown = hub.flag(hub.somebody(), "geen_soort")
    foreign = hub.flag(hub.somebody(), "schuldhulp", until="2024-01")
    later = Flag(flags[70].person, flags[70].kind, flags[70].scope, flags[70].secret, since="2026-01")
    mixed = [flags[0], flags[21], flags[60], unknown, walked, later, flags[70], later, foreign, flags[5]]
    fresh = [hub.flag(hub.somebody(), "bijstand") for _ in range(30)]
    send([*mixed, *fresh], [early[0], *numbers(len(mixed) - 1 + len(fresh))])
    replayed = flags[100:140]
    send(replayed, [first[at] + 0 for at in range(100, 140)])

    stored = rows_of(hub)
    everybody = [*flags, unknown, foreign, *fresh]
    told = [opened(hub, f, stored[f.rtag], base) if f.rtag in stored else None for f in everybody]
    digest: dict[int, tuple[int, int]] = {}
    for flag in everybody:
        if row := stored.get(flag.rtag):
            count, total = digest.get(flag.rtag[0], (0, 0))
            digest[flag.rtag[0]] = count + 1, (total + digest_term(flag.rtag, row.seq)) % 2**256
    return outcomes(found), told, digest


def test_a_bulk_leaves_what_as_many_single_publications_leave(hub: Acting) -> None:
    bulk, told_bulk, digest_bulk = story(hub, at_once=True)
    between = hub.world.hub.access_log._held
    assert between is not None
    size = between.frontier.size

    single, told_single, digest_single = story(hub, at_once=False)

    assert bulk == single
    assert {"stored", "removed", "stale", "refused:unknown-kind", "refused:other-person"} <= set(bulk)
    assert told_bulk == told_single
    assert None in told_bulk
    held = hub.world.hub.access_log._held
    assert held is not None
    assert held.frontier.size - size == size - 1  # entry 0 opens the year
    wanted = dict(digest_bulk)
    for bucket, (count, total) in digest_single.items():
        before = wanted.get(bucket, (0, 0))
        wanted[bucket] = before[0] + count, (before[1] + total) % 2**256
    found = {row[1]: (row[2], int.from_bytes(row[3], "big")) for row in hub.everything_stored()["digest"]}
    assert {bucket: pair for bucket, pair in found.items() if pair[0]} == wanted
    with hub.world.hub.reading() as connection:
        status = verify_all(connection, hub.world.hub.log_reader)
    assert status is not None
    assert status.holds


def test_each_flag_of_a_bulk_stands_in_its_persons_own_log(hub: Acting) -> None:
    persons = [hub.somebody() for _ in range(40)]

    hub.publish(hub.inkomen, *(hub.flag(person, "bijstand") for person in persons for _ in range(2)))

    scope = VOCABULARY.kind("bijstand").domain
    lids = {person: log_id(scope, point(person, scope)) for person in persons}
    with hub.world.hub.reading() as connection:
        reader = hub.world.hub.log_reader
        lines = {person: reader.lines_of(connection, {scope: [lid]}).lines for person, lid in lids.items()}
    assert {len(each) for each in lines.values()} == {2}


@pytest.mark.parametrize("at", [1, 2, 3], ids=["entries", "handles", "flags"])
def test_a_bulk_that_breaks_off_leaves_nothing(hub: Acting, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """The error comes in the middle of a COPY or of many rows, after some of them went out."""
    hub.publish(hub.bron, hub.flag(hub.somebody(), "schuldhulp"))
    flags = [hub.flag(hub.somebody(), "schuldhulp") for _ in range(400)]
    before, lines = hub.everything_stored(), [hub.count(name) for name in ("entry", "handle", "tile")]
    broken = Broken(monkeypatch, at)

    sent = hub.try_to_publish(hub.bron, *flags)

    assert broken.broke
    assert sent.response.status_code == 500
    monkeypatch.undo()
    assert hub.everything_stored() == before
    assert [hub.count(name) for name in ("entry", "handle", "tile")] == lines
    assert outcomes(hub.publish(hub.bron, *flags)) == ["stored"] * 400
    with hub.world.hub.reading() as connection:
        status = verify_all(connection, hub.world.hub.log_reader)
    assert status is not None
    assert status.holds


class Broken:
    """The driver, with a fault in the n-th large writing; rows before the middle of it do go out."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
        self._left = at
        self.broke = False
        for name in ("copy", "many", "change"):
            self._wrap(monkeypatch, name)

    def _wrap(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        plain = getattr(driver, name)

        def run(connection: Any, what: Any, rows: Any) -> Any:
            # `change` carries arrays: as many values as one column has rows.
            size = len(rows[0]) if name == "change" and rows and isinstance(rows[0], list) else len(rows)
            if size >= 300:
                self._left -= 1
                if not self._left:
                    self.broke = True
                    if name == "change":
                        plain(connection, what, rows)
                        raise RuntimeError("planted")
                    rows = self._half(rows)
            return plain(connection, what, rows)

        monkeypatch.setattr(driver, name, run)

    def _half(self, rows: Sequence[Any]) -> Iterator[Any]:
        yield from rows[: len(rows) // 2]
        raise RuntimeError("planted")
