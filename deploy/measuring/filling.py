"""A hub's tables filled for a measurement: what is opened is real, what nobody opens is real in form.

    persons asked about  flags, choices and relations sealed by the hub's own code, and their tickets
    everybody else       random bytes of the right sizes under random keys: sealing them measures nothing

A table that grew row by row has pages about 70 % full. One that is loaded at
once would be smaller and quicker than any that is in use, so on PostgreSQL the
indexes are built with that fill, and on SQLite the last 40 % of the rows are
put between those that are there.
"""

import os
import secrets
import sqlite3
import struct
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, func, insert, select
from sqlalchemy.exc import OperationalError

from consent.directive import Directive
from consent.state import encode as encode_state
from consent.state import fold
from index.hub import Hub
from index.protocol.codec import b64u
from index.protocol.directory import class_number
from index.rows import OPEN_END, Flag, Relation
from index.store import batch
from index.store import tables as t
from index.tickets import Ticket
from index.transaction import ChoiceRow, DigestRow, FlagRow, HeartbeatRow, Written

OIN = "00000001234567890000"
SOURCE, DESK = 1, 2
ROLE, PURPOSE, TEAM = "generalist", "huisbezoek", "noord"
CASE = bytes(range(16))
FLAGS_EACH = 3
LIFE_S = 60 * 86_400
"""How long relations and tickets of a filled database count; a kept one is good for as long."""
_NO_END_WEEK = 0x7FFFFFFF
_AT_ONCE = 100_000
_STRANGERS = 100
"""One stranger with choices and a relation to this many flags."""
_SMALL = 200_000
"""Fewer new rows than this are simply inserted."""
_RANDOM = 32 + 32 + 108 + 76
_FILL = 70


@dataclass(frozen=True, slots=True)
class Asked:
    """One person of the load: the node's ticket and log ids."""

    ticket: str = field(repr=False)
    lids: tuple[bytes, ...] = field(repr=False)


def persons(hub: Hub, scopes: tuple[str, ...], count: int) -> tuple[Written, list[Asked]]:
    """Rows of the asked persons, and what a node would keep of their visit.

    Every second person has a choice in every scope; all have three flags over the scopes.
    """
    out, asked = Written(), []
    role, purpose = hub.vocabulary.role(ROLE).number, hub.vocabulary.purpose(PURPOSE).number
    now = hub.clock()
    begins = int(now.timestamp())
    kinds = {
        scope: next(k for k in hub.vocabulary.kinds_of(scope) if not k.self_declared) for scope in scopes
    }
    tag = hub.rows.pub_tag(SOURCE)
    for number in range(count):
        opened = {}
        for place, scope in enumerate(scopes):
            n = secrets.token_bytes(32)
            keys = hub.rows.keys_of(scope, n)
            opened[scope] = (hub.kid_number(scope) or 0, keys)
            relation = Relation(
                class_number("lookup"), DESK, 1, role, purpose, CASE, begins, begins + LIFE_S, 0, begins,
                keys.lid,
            )  # fmt: skip
            row = hub.rows.new_relation(scope, keys.idx_rel, n, relation)
            out.relations[row.key] = row
            if number % 2:
                state = encode_state(fold(None, _choice(now)))
                sealed = hub.rows.seal_choice(scope, keys.idx_dir, n=n, lid=keys.lid, state=state)
                out.choices[keys.idx_dir] = ChoiceRow(keys.idx_dir, *sealed)
            if place < FLAGS_EACH:
                flag = Flag(kinds[scope].number, SOURCE, 300, OPEN_END, 0, keys.lid)
                rtag = secrets.token_bytes(32)
                box = hub.rows.seal_flag(scope, rtag, keys.idx, n, flag)
                out.flags[tag, rtag] = FlagRow(tag, rtag, keys.idx, *box, number + 1, _NO_END_WEEK)
        ticket = Ticket(DESK, 1, role, purpose, class_number("lookup"), CASE, begins, begins + LIFE_S, opened)
        asked.append(Asked(b64u(hub.tickets.seal(f"node-{DESK}", ticket)), ticket.lids))
    return out, asked


def _choice(now: datetime) -> Directive:
    return Directive(1, secrets.token_bytes(16), "grant", receiver=(OIN, TEAM), from_=now, until=None)


def put_persons(hub: Hub, out: Written) -> None:
    """Store the asked persons, and a source that confirmed just now."""
    now, tag = int(hub.clock().timestamp()), hub.rows.pub_tag(SOURCE)
    out.heartbeats[tag] = HeartbeatRow(tag, now)
    for bucket in range(256):
        out.digests[tag, bucket] = DigestRow(tag, bucket, 1, bytes(32), now)
    with hub.engine.begin() as connection:
        batch.write(connection, out, [])


def stored(engine: Engine) -> int:
    """How many flags there are."""
    with engine.connect().execution_options(reading=True) as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SET statement_timeout = 0")
        return int(connection.scalar(select(func.count()).select_from(t.flag)) or 0)


def put_strangers(hub: Hub, count: int) -> None:
    """Add `count` flags that nobody opens, and choices and relations of one stranger in a hundred."""
    tag = hub.rows.pub_tag(SOURCE)
    if hub.engine.dialect.name == "postgresql":
        _postgresql(hub.engine, tag, count)
    else:
        _sqlite(hub.settings.database, tag, count)
    for first in range(0, count // _STRANGERS, 5000):
        size = min(5000, count // _STRANGERS - first)
        with hub.engine.begin() as connection:
            connection.execute(insert(t.choice_state), [_choice_row() for _ in range(size)])
            connection.execute(insert(t.relation), [_relation_row() for _ in range(size)])


def _choice_row() -> Mapping[str, bytes]:
    raw = os.urandom(2200)
    return {"idx_dir": raw[:32], "sealed": raw[32:2124], "escrow": raw[2124:]}


def _relation_row() -> Mapping[str, bytes]:
    raw = os.urandom(424)
    return {"key": raw[:16], "idx_rel": raw[16:48], "sealed": raw[48:348], "escrow": raw[348:]}


# --- PostgreSQL -----------------------------------------------------------------------


def _postgresql(engine: Engine, tag: bytes, count: int) -> None:
    """COPY in binary form; many rows go in before their indexes are made anew."""
    anew = count > _SMALL
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        if anew:
            connection.exec_driver_sql("DROP INDEX IF EXISTS ix_flag_idx")
            connection.exec_driver_sql("ALTER TABLE flag DROP CONSTRAINT pk_flag")
        driver: Any = connection.connection.driver_connection
        with driver.cursor().copy("COPY flag FROM STDIN (FORMAT BINARY)") as copy:
            copy.write(b"PGCOPY\n\xff\r\n\x00" + bytes(8))
            for size in _parts(count):
                copy.write(_copied(tag, size))
            copy.write(b"\xff\xff")
        if anew:
            connection.exec_driver_sql("SET LOCAL maintenance_work_mem = '512MB'")
            connection.exec_driver_sql(
                "ALTER TABLE flag ADD CONSTRAINT pk_flag PRIMARY KEY (pub_tag, rtag) "
                f"WITH (fillfactor={_FILL})"
            )
            connection.exec_driver_sql(f"CREATE INDEX ix_flag_idx ON flag (idx) WITH (fillfactor={_FILL})")


def _copied(tag: bytes, count: int) -> bytes:
    """Rows of `flag` as COPY reads them: number of columns, then each with its length before it."""
    size = struct.Struct(">i").pack
    raw = os.urandom(count * _RANDOM)
    head = struct.pack(">h", 7) + size(16) + tag + size(32)
    tail = size(8) + struct.pack(">q", 1) + size(4) + size(_NO_END_WEEK)
    idx, sealed, escrow = size(32), size(108), size(76)
    return b"".join(
        b"".join(
            (
                head, raw[at : at + 32], idx, raw[at + 32 : at + 64], sealed, raw[at + 64 : at + 172],
                escrow, raw[at + 172 : at + 248], tail,
            )
        )
        for at in range(0, len(raw), _RANDOM)
    )  # fmt: skip


# --- SQLite ---------------------------------------------------------------------------


def _sqlite(path: str, tag: bytes, count: int) -> None:
    """Large transactions in the order of the key; nothing is durable until the end of a part."""
    anew = count > _SMALL
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        run = connection.execute
        run("PRAGMA synchronous=OFF")
        run("PRAGMA cache_size=-1000000")
        if anew:
            run("DROP INDEX IF EXISTS ix_flag_idx")
        later = count * 2 // 5
        _sorted_rows(connection, tag, count - later)
        # Also where an earlier filling broke off before it came to this.
        run("CREATE INDEX IF NOT EXISTS ix_flag_idx ON flag (idx)")
        _sorted_rows(connection, tag, later)
        run("PRAGMA wal_checkpoint(TRUNCATE)")


def _sorted_rows(connection: sqlite3.Connection, tag: bytes, count: int) -> None:
    """Each part takes the next stretch of the keys, so that the whole goes in by order of key."""
    parts = list(_parts(count))
    for number, size in enumerate(parts):
        low, high = (edge * 2**32 // len(parts) for edge in (number, number + 1))
        raw = os.urandom(size * _RANDOM)
        rows = sorted(
            (
                tag, _within(raw[at : at + 32], low, high), raw[at + 32 : at + 64],
                raw[at + 64 : at + 172], raw[at + 172 : at + 248], 1, _NO_END_WEEK,
            )
            for at in range(0, len(raw), _RANDOM)
        )  # fmt: skip
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO flag VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        connection.execute("COMMIT")


def _within(key: bytes, low: int, high: int) -> bytes:
    """The same random key with its first four bytes brought between two bounds."""
    first = low + int.from_bytes(key[:4], "big") * (high - low) // 2**32
    return first.to_bytes(4, "big") + key[4:]


def _parts(count: int) -> Iterator[int]:
    for first in range(0, count, _AT_ONCE):
        yield min(_AT_ONCE, count - first)


# --- Afterwards -----------------------------------------------------------------------


def settle(engine: Engine) -> None:
    """Bring the database to the state of one that runs for long: statistics, nothing left to copy."""
    with engine.connect().execution_options(reading=True, isolation_level="AUTOCOMMIT") as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SET statement_timeout = 0")
            connection.exec_driver_sql("VACUUM ANALYZE")
            connection.exec_driver_sql("CHECKPOINT")
        else:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def bytes_per_flag(engine: Engine, flags: int) -> float:
    """Bytes on disk of table `flag` with its indexes, by the number of flags; 0 where it cannot be told."""
    with engine.connect().execution_options(reading=True) as connection:
        if engine.dialect.name == "postgresql":
            found = connection.exec_driver_sql("SELECT pg_total_relation_size('flag')").scalar()
        else:
            # Python's SQLite has this table on most systems, not on all.
            try:
                found = connection.exec_driver_sql(
                    "SELECT sum(pgsize) FROM dbstat WHERE name IN ('flag', 'ix_flag_idx')"
                ).scalar()
            except OperationalError:
                return 0.0
    return round(float(found or 0) / max(flags, 1), 1)
