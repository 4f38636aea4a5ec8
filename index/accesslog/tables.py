"""Tables of the access log, and the guards that let it only grow.

No column names a person: handles are stored under a keyed hash, indexes are
masked, entries sealed. `year` tells the yearly logs apart.

Source: docs/design/access-log.md, "Storage and the order of things".
"""

import functools
from collections.abc import Sequence

from sqlalchemy import BigInteger, Column, Connection, Index, LargeBinary, SmallInteger, String, Table, event

from index.store import driver
from index.store.metadata import metadata

entry = Table(
    "entry",
    metadata,
    Column("year", SmallInteger, primary_key=True),
    Column("index", BigInteger, primary_key=True, autoincrement=False),
    Column("leaf", LargeBinary(33), nullable=False),
    Column("sealed", LargeBinary(2048)),
)
"""`sealed` is null once the line was erased; the leaf stays."""

handle = Table(
    "handle",
    metadata,
    Column("key", LargeBinary(16), primary_key=True),
    Column("n", BigInteger, primary_key=True, autoincrement=False),
    Column("pointer", LargeBinary(8), nullable=False),
    sqlite_with_rowid=False,
)
"""One row per line of a chain; the key holds the year already, through K_log_year."""

tile = Table(
    "tile",
    metadata,
    Column("year", SmallInteger, primary_key=True),
    Column("level", SmallInteger, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("hashes", LargeBinary(8192), nullable=False),
)
"""Complete tiles only, 256 hashes each; the right edge follows from the rows below it."""

tree = Table(
    "tree",
    metadata,
    Column("year", SmallInteger, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("frontier", LargeBinary(2048), nullable=False),
    Column("signed_size", BigInteger, nullable=False),
    Column("signed_root", LargeBinary(32), nullable=False),
    Column("batch", BigInteger, nullable=False),
    Column("writer", LargeBinary(16), nullable=False),
)
"""One row per year; by `writer` and `batch` a process knows whether its memory still holds."""

spent = Table(
    "spent",
    metadata,
    Column("batch", BigInteger, primary_key=True, autoincrement=False),
    Column("tags", LargeBinary, nullable=False),
    Column("until", BigInteger, nullable=False),
)
"""One row per batch: 16 bytes of tag and 4 of end (Unix seconds) each; `until` is the latest end."""
Index("ix_spent_until", spent.c.until)

heads = Table(
    "heads",
    metadata,
    Column("year", SmallInteger, primary_key=True),
    Column("index", BigInteger, primary_key=True, autoincrement=False),
    Column("sealed", LargeBinary, nullable=False),
)
"""The list behind each `heads` entry, sealed, for officers."""

cosignature = Table(
    "cosignature",
    metadata,
    Column("year", SmallInteger, primary_key=True, autoincrement=False),
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("witness", String(200), primary_key=True),
    Column("root", LargeBinary(32), nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("signature", LargeBinary(64), nullable=False),
)
"""Verified cosignatures only, by the name of the witness's key; `time` is the witness's, Unix seconds.

Those of sizes below the newest confirmed one are removed: a later confirmation covers them.
"""

erasure = Table(
    "erasure",
    metadata,
    Column("log_year", SmallInteger, primary_key=True, autoincrement=False),
    Column("index", BigInteger, primary_key=True, autoincrement=False),
    Column("year", SmallInteger, nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
)
"""Where each `erase` entry stands, and which lines of which year it is about: to find it back by them."""

_TREE_SHRINKS = (
    "NEW.year <> OLD.year OR NEW.size < OLD.size "
    "OR NEW.signed_size < OLD.signed_size OR NEW.batch <= OLD.batch"
)
_ENTRY_REWRITTEN = (
    'NEW.year <> OLD.year OR NEW."index" <> OLD."index" OR NEW.leaf <> OLD.leaf OR NEW.sealed IS NOT NULL'
)
_GUARDS: tuple[tuple[Table, str, str], ...] = (
    (tree, "UPDATE", _TREE_SHRINKS),
    (tree, "DELETE", ""),
    (entry, "UPDATE", _ENTRY_REWRITTEN),
    (entry, "DELETE", ""),
    (handle, "UPDATE", ""),
    (handle, "DELETE", ""),
    (tile, "UPDATE", ""),
    (tile, "DELETE", ""),
)
_REFUSES = (
    "CREATE OR REPLACE FUNCTION access_log_only_grows() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION 'the access log only grows'; END $$"
)


def _guard(table: Table, action: str, forbidden: str) -> None:
    """A trigger that refuses `action` where `forbidden` holds, or always.

    Against slips and stray statements; who owns the schema can drop it, and
    is found out by the witnesses and by `verify_all`.
    """
    name = f"{table.name}_only_grows_{action.lower()}"
    when = f"WHEN ({forbidden}) " if forbidden else ""
    head = f"CREATE TRIGGER {name} BEFORE {action} ON {table.name}"

    def create(target: Table, connection: Connection, **_: object) -> None:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql(
                f"{head} {when}BEGIN SELECT RAISE(ABORT, 'the access log only grows'); END"
            )
        elif connection.dialect.name == "postgresql":
            connection.exec_driver_sql(_REFUSES)
            connection.exec_driver_sql(f"{head} FOR EACH ROW {when}EXECUTE FUNCTION access_log_only_grows()")

    event.listen(table, "after_create", create)


for _table, _action, _forbidden in _GUARDS:
    _guard(_table, _action, _forbidden)


_COPY_FROM = 40
"""Rows from which on PostgreSQL takes them faster as a COPY."""


def insert_rows(conn: Connection, table: Table, rows: Sequence[tuple[int | bytes, ...]]) -> None:
    """Insert many rows given as tuples in the order of the table's columns.

    Past SQLAlchemy's parameter dictionaries: a batch of 64 lookups writes about
    450 rows under the hub's lock, and those cost three times the insert itself.
    """
    if len(rows) >= _COPY_FROM and conn.dialect.name == "postgresql":
        driver.copy(conn, table, rows)
    elif rows:
        mark = "?" if conn.dialect.paramstyle == "qmark" else "%s"
        driver.many(conn, _insert_text(table, mark), rows)


@functools.cache
def _insert_text(table: Table, mark: str) -> str:
    # Names come from this module; the quotes are for the column "index".
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    marks = ", ".join(mark for _ in table.columns)
    return f"INSERT INTO {table.name} ({names}) VALUES ({marks})"  # noqa: S608
