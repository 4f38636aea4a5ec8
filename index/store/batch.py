"""Reads and writes of a whole batch, in a fixed list of statements.

Each statement is built once with SQLAlchemy Core and compiled once per engine
and size; what runs is its text with plain parameters. Key lists are filled up
to a power of two with keys that nothing has, so that few texts exist and the
number of statements depends on nothing a person has.

Source: docs/design/performance.md, "What was found" 3; access-log.md §2.
"""

import secrets
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Dialect,
    Select,
    Table,
    and_,
    bindparam,
    column,
    delete,
    select,
    values,
)
from sqlalchemy.dialects import postgresql, sqlite

from index.rows import shuffled
from index.store import bulk, driver
from index.transaction import (
    ChoiceRow,
    ClaimRow,
    DigestRow,
    DirectiveRow,
    ErrandRow,
    FlagRow,
    InquiryRow,
    MarkerRow,
    MessageRow,
    Needs,
    PostponedRow,
    Read,
    RelationRow,
    ReviewRow,
    WatchRow,
    Written,
)

from . import tables as t

_LARGEST = 512
"""Keys in one statement; more keys run the same text again."""

FLAGS_EXPECTED = 4
"""Flags per search key for which the digests' statement has room, whether they exist or not."""

_NO_DIGEST = DigestRow(bytes(16), 0, 0, bytes(32), 2**40)
"""Of the flag that stands for nothing (`Rows.no_flag`): never late, so that it is worked on to the end."""

Key = Sequence[Any]


def read(connection: Connection, needs: Needs) -> Read:
    """All rows that a batch rests on, always in this order.

    Which statements run, and for how many keys, follows from what was asked, never from what
    is there: the digests of flags are asked for with room for `FLAGS_EXPECTED`, found or not.
    """
    out = Read(publishers=needs.publishers)
    out.flags = {idx: {} for idx in needs.flags}
    found: set[tuple[bytes, int]] = set()
    for row in map(FlagRow._make, _by_keys(connection, t.flag, ("idx",), [(k,) for k in needs.flags])):
        out.flags[row.idx][(row.pub_tag, row.rtag)] = row
        found.add((row.pub_tag, row.rtag[0]))
    if needs.flags:
        others = _others(connection, FLAGS_EXPECTED * len(needs.flags) - sum(map(len, out.flags.values())))
        found |= others
    out.by_key = dict.fromkeys(needs.flag_keys)
    for row in map(FlagRow._make, _by_keys(connection, t.flag, ("pub_tag", "rtag"), needs.flag_keys)):
        out.by_key[(row.pub_tag, row.rtag)] = row
    out.markers = dict.fromkeys(needs.flag_keys)
    for mark in map(MarkerRow._make, _by_keys(connection, t.marker, ("pub_tag", "rtag"), needs.flag_keys)):
        out.markers[(mark.pub_tag, mark.rtag)] = mark
    wanted = needs.digests | found
    out.digests = dict.fromkeys(wanted)
    out.digests[_NO_DIGEST.pub_tag, _NO_DIGEST.bucket] = _NO_DIGEST
    room = len(needs.digests) + FLAGS_EXPECTED * len(needs.flags)
    digests = _by_keys(connection, t.digest, ("pub_tag", "bucket"), wanted, at_least=room)
    whole = _by_keys(connection, t.digest, ("pub_tag",), [(k,) for k in needs.publishers])
    for bucket in map(DigestRow._make, [*digests, *whole]):
        out.digests[(bucket.pub_tag, bucket.bucket)] = bucket
    out.choices = dict.fromkeys(needs.choices)
    for row_ in _by_keys(connection, t.choice_state, ("idx_dir",), [(k,) for k in needs.choices]):
        out.choices[row_[0]] = ChoiceRow._make(row_)
    out.ledgers = {idx: [] for idx in needs.ledgers}
    for entry in sorted(
        map(
            DirectiveRow._make, _by_keys(connection, t.directive, ("idx_dir",), [(k,) for k in needs.ledgers])
        ),
        key=lambda entry: entry.number,
    ):
        out.ledgers[entry.idx_dir].append(entry)
    out.relations = {idx: {} for idx in needs.relations}
    for rel in map(
        RelationRow._make, _by_keys(connection, t.relation, ("idx_rel",), [(k,) for k in needs.relations])
    ):
        out.relations[rel.idx_rel][rel.key] = rel
    out.reviews = dict.fromkeys(needs.reviews)
    for one in map(ReviewRow._make, _by_keys(connection, t.review, ("key",), [(k,) for k in needs.reviews])):
        out.reviews[one.key] = one
    _read_officers(connection, needs, out)
    _read_told(connection, needs, out)
    out.messages = dict.fromkeys(needs.messages)
    for msg in map(
        MessageRow._make, _by_keys(connection, t.message, ("node_tag", "message"), needs.messages)
    ):
        out.messages[(msg.node_tag, msg.message)] = msg
    beats = driver.rows(connection, _all_heartbeats(connection.dialect))
    out.heartbeats = {row[0]: row[1] for row in beats}
    for pub_tag, number in needs.buckets:
        out.buckets[(pub_tag, number)] = _bucket(connection, pub_tag, number)
    return out


def _read_officers(connection: Connection, needs: Needs, out: Read) -> None:
    """What officers work on; no statement for a batch without them, for they are asked by key only."""
    out.postponed = dict.fromkeys(needs.postponed)
    for row in _by_keys(connection, t.postponed, ("key",), [(k,) for k in needs.postponed]):
        out.postponed[row[0]] = PostponedRow._make(row)
    out.inquiries = dict.fromkeys(needs.inquiries)
    for row in _by_keys(connection, t.inquiry, ("key",), [(k,) for k in needs.inquiries]):
        out.inquiries[row[0]] = InquiryRow._make(row)


def _read_told(connection: Connection, needs: Needs, out: Read) -> None:
    """What is watched and what waits for nodes; no statement for a batch without them."""
    out.watches = {visit: {} for visit in needs.watches}
    for row in _by_keys(connection, t.watch, ("visit",), [(k,) for k in needs.watches]):
        watch = WatchRow._make(row)
        out.watches[watch.visit][watch.key] = watch
    out.errands = dict.fromkeys(needs.errands)
    for row in _by_keys(connection, t.errand, ("key",), [(k,) for k in needs.errands]):
        out.errands[row[0]] = ErrandRow._make(row)


def _others(connection: Connection, count: int) -> set[tuple[bytes, int]]:
    """Read flags of anybody, so that as many are read for who has none as for who has some.

    They lie behind a random key, are looked at no further than their bucket, and
    stand for the rows that `FLAGS_EXPECTED` leaves room for. No row is marked as one to fill up with.
    """
    begin = secrets.token_bytes(32)
    read: dict[bytes, dict[tuple[bytes, bytes], FlagRow]] = {}
    buckets: set[tuple[bytes, int]] = set()
    for row in map(
        FlagRow._make, driver.rows(connection, _some_flags(connection.dialect), (begin, max(count, 0)))
    ):
        read.setdefault(row.idx, {})[(row.pub_tag, row.rtag)] = row
        buckets.add((row.pub_tag, row.rtag[0]))
    return buckets


@lru_cache(maxsize=8)
def _some_flags(dialect: Dialect) -> str:
    idx = t.flag.c.idx
    text = str(select(t.flag).where(idx >= bindparam("begin")).order_by(idx).compile(dialect=dialect))
    # Core gives a limit another place among the parameters on each engine.
    return f"{text} LIMIT {'?' if dialect.paramstyle == 'qmark' else '%s'}"


def claims_of(connection: Connection, tag: bytes, last: bytes, most: int) -> list[ClaimRow]:
    """What one publisher is asked, by key from after `last`. For reading outside a batch."""
    c = t.claim.c
    rows = connection.execute(select(t.claim).where(c.tag == tag, c.key > last).order_by(c.key).limit(most))
    return [ClaimRow._make(row) for row in rows]


def write(connection: Connection, written: Written, messages: Iterable[MessageRow]) -> None:
    """All changes of a batch. Rows of one table go in shuffled."""
    gone = [key for key, row in written.flags.items() if row is None]
    _run(connection, _delete(connection.dialect, t.flag), gone)
    _upsert(connection, t.flag, [row for row in written.flags.values() if row is not None])
    _upsert(connection, t.marker, list(written.markers.values()))
    _upsert(connection, t.digest, list(written.digests.values()))
    _upsert(connection, t.heartbeat, list(written.heartbeats.values()))
    _run(connection, _insert(connection.dialect, t.directive, False), written.directives)
    _upsert(connection, t.choice_state, list(written.choices.values()))
    _upsert(connection, t.relation, list(written.relations.values()))
    ended = [(key,) for key, row in written.claims.items() if row is None]
    _run(connection, _delete(connection.dialect, t.claim), ended)
    _upsert(connection, t.claim, [row for row in written.claims.values() if row is not None])
    _upsert(connection, t.review, list(written.reviews.values()))
    told = [(key,) for key, row in written.postponed.items() if row is None]
    _run(connection, _delete(connection.dialect, t.postponed), told)
    _upsert(connection, t.postponed, [row for row in written.postponed.values() if row is not None])
    _upsert(connection, t.inquiry, list(written.inquiries.values()))
    for table, rows in ((t.watch, written.watches), (t.errand, written.errands)):
        _run(
            connection,
            _delete(connection.dialect, table),
            [(key,) for key, one in rows.items() if one is None],
        )
        _upsert(connection, table, [one for one in rows.values() if one is not None])
    _run(connection, _insert(connection.dialect, t.message, False), list(messages))


def _bucket(connection: Connection, pub_tag: bytes, bucket: int) -> dict[bytes, FlagRow]:
    c = t.flag.c
    where = [c.pub_tag == pub_tag, c.rtag >= bytes((bucket,))]
    if bucket < 255:
        where.append(c.rtag < bytes((bucket + 1,)))
    rows = connection.execute(select(t.flag).where(*where))
    return {row.rtag: FlagRow._make(row) for row in rows}


def _by_keys(
    connection: Connection, table: Table, columns: tuple[str, ...], keys: Iterable[Key], at_least: int = 0
) -> list[Any]:
    listed = list(keys)
    # Filled up: neither number nor size of statements tells what was found.
    listed += [_nothing(columns)] * (at_least - len(listed))
    if bulk.fits(connection, len(listed), bulk.KEYS_FROM):
        return bulk.rows_by_keys(connection, table, columns, listed)
    rows: list[Any] = []
    for at in range(0, len(listed), _LARGEST):
        part = listed[at : at + _LARGEST]
        size = 1 << (len(part) - 1).bit_length()
        part += [_nothing(columns)] * (size - len(part))
        text = _select(connection.dialect, table, columns, size)
        rows += driver.rows(connection, text, tuple(value for key in part for value in key))
    return rows


def _nothing(columns: tuple[str, ...]) -> Key:
    return tuple(-1 if name == "bucket" else "" if name == "message" else b"" for name in columns)


@lru_cache(maxsize=256)
def _select(dialect: Dialect, table: Table, columns: tuple[str, ...], size: int) -> str:
    statement: Select[Any]
    if len(columns) == 1:
        only: ColumnElement[Any] = table.c[columns[0]]
        statement = select(table).where(only.in_([bindparam(f"k{i}") for i in range(size)]))
    else:
        # A join with the keys, for SQLite answers `(a, b) IN (VALUES ...)` by reading the whole table.
        rows: list[tuple[Any, ...]] = [
            tuple(bindparam(f"k{i}_{name}") for name in columns) for i in range(size)
        ]
        kinds = [column(name, table.c[name].type) for name in columns]
        keys = values(*kinds, name="wanted").data(rows).cte()
        statement = select(table).join(keys, and_(*(table.c[name] == keys.c[name] for name in columns)))
    return str(statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True}))


@lru_cache(maxsize=8)
def _all_heartbeats(dialect: Dialect) -> str:
    return str(select(t.heartbeat).compile(dialect=dialect))


@lru_cache(maxsize=64)
def _insert(dialect: Dialect, table: Table, replace: bool) -> str:
    insert = postgresql.insert if dialect.name == "postgresql" else sqlite.insert
    statement = insert(table).values({c.name: bindparam(c.name) for c in table.c})
    if replace:
        keys = [c.name for c in table.primary_key]
        changed = {c.name: statement.excluded[c.name] for c in table.c if c.name not in keys}
        statement = statement.on_conflict_do_update(index_elements=keys, set_=changed)
    return str(statement.compile(dialect=dialect))


@lru_cache(maxsize=8)
def _delete(dialect: Dialect, table: Table) -> str:
    keys = list(table.primary_key)
    return str(delete(table).where(*(c == bindparam(f"k_{c.name}") for c in keys)).compile(dialect=dialect))


def _upsert(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    if bulk.fits(connection, len(rows)):
        bulk.upsert(connection, table, rows)
    else:
        _run(connection, _insert(connection.dialect, table, True), rows)


def _run(connection: Connection, text: str, rows: Sequence[tuple[Any, ...]]) -> None:
    if rows:
        # Many go in sorted by their random keys: that says as little as shuffling, and keeps to fewer pages.
        mixed = shuffled(rows) if len(rows) < bulk.ROWS_FROM else sorted(rows)
        driver.many(connection, text, [tuple(row) for row in mixed])
