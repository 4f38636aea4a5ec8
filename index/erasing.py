"""Erasing what was kept long enough, and showing that nothing of it is left.

    1. a pause is on: nothing is done, and the figure says so
    2. keys of the log past their term, and the lines that they seal
    3. entries `erase`, durable, name those lines exactly
    4. the lines lose their sealed part
    5. the keys are destroyed: no copy of the database opens those lines any more
    6. the figure: sealed lines whose key is gone or past its term, which must be 0

A crash between two steps is made good by the next run. The leaves stay, so every
proof keeps verifying.

Source: docs/design/access-log.md, "Erasure and retention".
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, NamedTuple, get_args

import structlog
from sqlalchemy import ColumnElement, Connection, func, insert, literal_column, select, update

from index.accesslog import tables
from index.acts import Office, Refused
from index.keystore import DatedKey
from index.protocol.codec import b64u
from index.protocol.entry import EntryDraft
from index.retention import KEPT, Terms
from index.store import tables as t
from index.store.engine import open_engine

log = structlog.get_logger()

PauseReason = Literal["onderzoek", "rechtszaak", "verzoek_toezichthouder"]
PAUSE_REASONS: tuple[PauseReason, ...] = get_args(PauseReason)
_BITS = 360 * 8
"""Lines that one `erase` entry can tell apart; it has room for 560 characters."""
_ENTRIES_AT_ONCE = 200
_LINES_AT_ONCE = 500


class Segment(NamedTuple):
    """Lines of one year that an entry names; `bits` is empty where it is all of them."""

    year: int
    first: int
    last: int
    bits: bytes


class Hold(NamedTuple):
    """A pause; times in Unix seconds, `until` 0 while it lasts."""

    number: int
    reason: str
    since: int
    until: int


@dataclass(frozen=True, slots=True)
class Erased:
    """What a run did. `left` counts sealed lines whose term is over or whose key is gone: 0 when all is well.

    `paused` is the reason of a pause, empty for none.
    """

    paused: str
    keys: Sequence[str]
    lines: int
    entries: int
    left: int


class Term(NamedTuple):
    """A key of the log, when it is destroyed (None: never) and how many lines it still seals."""

    kind: str
    month: str
    ends: datetime | None
    lines: int


def run(office: Office) -> Erased:
    """Erase what is past its term now. Blocks; safe to run beside a hub and again.

    Raises:
        DBAPIError: Nothing more was done; the next run goes on.
    """
    hold = paused(office)
    office.keystore.refresh()
    over = past_term(office)
    if hold is not None:  # 1
        return Erased(hold.reason, (), 0, 0, _left(office, over))
    numbers = {key.number for key in over}
    doomed = {year: indexes for year in _years(office) if (indexes := _sealed_by(office, year, numbers))}
    segments = [part for year, indexes in doomed.items() for part in segments_of(year, indexes)]  # 2
    for at in range(0, len(segments), _ENTRIES_AT_ONCE):
        _record(office, segments[at : at + _ENTRIES_AT_ONCE])  # 3
    for year, indexes in doomed.items():
        _null(office, year, indexes)  # 4
    gone = office.keystore.destroy(numbers) if numbers else []  # 5
    lines = sum(map(len, doomed.values()))
    done = Erased("", gone, lines, len(segments), _left(office, ()))  # 6
    if gone:
        log.info("log_lines_erased", keys=len(gone), lines=lines, left=done.left)
    return done


def past_term(office: Office) -> list[DatedKey]:
    """Keys of the log whose term is over now."""
    terms, now = Terms.of(office.settings), office.clock()
    return [key for key in office.keystore.dated() if (ends := terms.ends(key)) and ends <= now]


def plan(office: Office) -> list[Term]:
    """What is erased when, the soonest first; what is kept for good last. Blocks: it counts lines."""
    terms, counts = Terms.of(office.settings), _counts(office)
    found = [
        Term(key.kind, key.month, terms.ends(key), counts.get(key.number, 0))
        for key in office.keystore.dated()
        if key.kind == KEPT or terms.ends(key)
    ]
    never = datetime.max.replace(tzinfo=UTC)
    return sorted(found, key=lambda one: (one.ends or never, one.kind, one.month))


# --- pauses ----------------------------------------------------------------------------


def paused(office: Office) -> Hold | None:
    """The pause that is on, None for none."""
    with office.engine.connect().execution_options(reading=True) as connection:
        return _hold(connection)


def pause(office: Office, reason: PauseReason) -> None:
    """Stop erasing until `resume`, for a reason of the list; in the access log.

    Raises:
        Refused: It is paused already.
    """
    with office.sitting() as sitting:
        if _hold(sitting.connection):
            raise Refused("Erasing is paused already. Nothing was done.")
        last = sitting.connection.execute(select(func.max(t.hold.c.number))).scalar() or 0
        row = {"number": last + 1, "reason": reason, "since": sitting.seconds, "until": 0}
        sitting.connection.execute(insert(t.hold), [row])
        sitting.append(EntryDraft(t="admin", ts=0, req="", more={"cause": f"erasure-paused-{reason}"}))


def resume(office: Office) -> None:
    """Erase again, in the access log.

    Raises:
        Refused: It is not paused.
    """
    with office.sitting() as sitting:
        if _hold(sitting.connection) is None:
            raise Refused("Erasing is not paused. Nothing was done.")
        sitting.connection.execute(update(t.hold).where(t.hold.c.until == 0).values(until=sitting.seconds))
        sitting.append(EntryDraft(t="admin", ts=0, req="", more={"cause": "erasure-resumed"}))


def _hold(connection: Connection) -> Hold | None:
    row = connection.execute(select(t.hold).where(t.hold.c.until == 0)).first()
    return Hold(*row) if row else None


# --- the steps -------------------------------------------------------------------------


def segments_of(year: int, indexes: Sequence[int]) -> Iterator[Segment]:
    """Rising indexes as few entries: a whole stretch is one, what lies scattered has a bit per line."""
    at = 0
    while at < len(indexes):
        end = at + 1
        while end < len(indexes) and indexes[end] == indexes[end - 1] + 1:
            end += 1
        if end == len(indexes) or end - at >= _BITS:
            yield Segment(year, indexes[at], indexes[end - 1], b"")
            at = end
            continue
        first, end = indexes[at], at
        while end < len(indexes) and indexes[end] - first < _BITS:
            end += 1
        bits = bytearray((indexes[end - 1] - first) // 8 + 1)
        for index in indexes[at:end]:
            bits[(index - first) // 8] |= 1 << (index - first) % 8
        yield Segment(year, first, indexes[end - 1], bytes(bits))
        at = end


def _record(office: Office, segments: Sequence[Segment]) -> None:
    with office.sitting() as sitting:
        for part in segments:
            more: dict[str, str | int] = {
                "cause": "retention",
                "from": part.first,
                "to": part.last,
                "year": part.year,
            }
            if part.bits:
                more["lines"] = b64u(part.bits)
            recorded = sitting.append(EntryDraft(t="erase", ts=0, req="", more=more))
            row = {
                "log_year": sitting.year,
                "index": recorded.index,
                "year": part.year,
                "first": part.first,
                "last": part.last,
            }
            sitting.connection.execute(insert(tables.erasure), [row])


def _null(office: Office, year: int, indexes: Sequence[int]) -> None:
    """Null the sealed parts, as the role that may."""
    address = office.settings.shredder_database
    engine = open_engine(address) if address else office.engine
    column = tables.entry.c
    for at in range(0, len(indexes), _LINES_AT_ONCE):
        part = indexes[at : at + _LINES_AT_ONCE]
        with engine.begin() as connection:
            connection.execute(
                update(tables.entry).where(column.year == year, column.index.in_(part)).values(sealed=None)
            )
    if address:
        engine.dispose()


def _sealed_by(office: Office, year: int, numbers: Collection[int]) -> list[int]:
    """Indexes of a year's lines that these keys seal, rising."""
    if not numbers:
        return []
    column = tables.entry.c
    wanted = [number.to_bytes(4, "big") for number in numbers]
    with office.engine.connect().execution_options(reading=True) as connection:
        rows = connection.execute(
            select(column.index)
            .where(column.year == year, column.sealed.is_not(None), _key_number(column.sealed).in_(wanted))
            .order_by(column.index)
        )
        return list(rows.scalars())


def _key_number(sealed: ColumnElement[bytes]) -> ColumnElement[bytes]:
    """The bytes of a sealed line that name its key. Not as parameters: PostgreSQL would group by others."""
    return func.substr(sealed, literal_column("2"), literal_column("4"))


def _counts(office: Office) -> dict[int, int]:
    """How many lines each key seals."""
    number = _key_number(tables.entry.c.sealed)
    with office.engine.connect().execution_options(reading=True) as connection:
        rows = connection.execute(
            select(number, func.count()).where(tables.entry.c.sealed.is_not(None)).group_by(number)
        ).all()
    return {int.from_bytes(bytes(raw), "big"): count for raw, count in rows}


def _left(office: Office, over: Sequence[DatedKey]) -> int:
    """Sealed lines whose key is gone, or among `over`."""
    dead = {key.number for key in over}
    known = {key.number for key in office.keystore.dated()} - dead
    return sum(count for number, count in _counts(office).items() if number not in known)


def _years(office: Office) -> list[int]:
    with office.engine.connect().execution_options(reading=True) as connection:
        return list(connection.execute(select(tables.tree.c.year)).scalars())
