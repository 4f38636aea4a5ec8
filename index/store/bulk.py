"""Many rows of one table in one statement on PostgreSQL: a thousand flags, their markers, their digests.

    read    keys as one array per column, joined with the table
    write   one sorted INSERT ... SELECT FROM unnest(...) ON CONFLICT DO UPDATE

One array per column goes in binary, so the text never changes with the number
of rows and is planned once. Measured for 1,000 flags: 2 µs of our processor
time a row and 13 until it is stored, where a statement per row takes 10 and 41,
and a COPY into a temporary table with an INSERT from it 2 and 15, with one more
round trip and a right that the hub's role does not need otherwise. From 16 rows
on the arrays are quicker. Sorted by primary key, which is random for every
table here: neighbours in the file are neighbours in the index and nothing else.

Source: docs/performance.md, "Bulk publishing: where the time goes".
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Dialect, Table

from . import driver

ROWS_FROM = 16
"""Rows from which on arrays are quicker to write than a parameter for each value."""
KEYS_FROM = 129
"""Keys from which on arrays are read by: the reading of a batch of lookups keeps its own statements."""


def fits(connection: Connection, count: int, least: int = ROWS_FROM) -> bool:
    """Whether this many rows or keys should go through this module."""
    return count >= least and connection.dialect.name == "postgresql"


def rows_by_keys(
    connection: Connection, table: Table, columns: tuple[str, ...], keys: Sequence[Sequence[Any]]
) -> list[Any]:
    """Whole rows under these keys, any order; keys without a row are left out. DBAPIError as in `driver`."""
    statement = _select(connection.dialect, table, columns)
    return driver.rows(connection, statement, [list(values) for values in zip(*keys, strict=True)])


def upsert(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows, in the order of the table's columns, or replace those under their keys.

    No key may occur twice. DBAPIError as in `driver`.
    """
    statement = _upsert(connection.dialect, table)
    driver.change(connection, statement, [list(values) for values in zip(*sorted(rows), strict=True)])


def last_lines(connection: Connection, line: Table, keys: Sequence[bytes]) -> list[Any]:
    """Key, highest `n` and its pointer of each chain that has a line; one step down the index per key."""
    table = connection.dialect.identifier_preparer.quote(line.name)
    last = f"SELECT n, pointer FROM {table} h WHERE h.key = k.key ORDER BY n DESC LIMIT 1"  # noqa: S608
    keyed = "unnest(%b::bytea[]) AS k(key)"
    statement = f"SELECT k.key, h.n, h.pointer FROM {keyed} CROSS JOIN LATERAL ({last}) h"  # noqa: S608
    return driver.rows(connection, statement, [list(keys)])


@lru_cache(maxsize=64)
def _select(dialect: Dialect, table: Table, columns: tuple[str, ...]) -> str:
    quote = dialect.identifier_preparer.quote
    wanted = ", ".join(f"t.{quote(column.name)}" for column in table.columns)
    same = " AND ".join(f"t.{quote(name)} = k.{quote(name)}" for name in columns)
    # Names come from our own tables; values are parameters.
    return f"SELECT {wanted} FROM {quote(table.name)} t JOIN {_arrays(dialect, table, columns)} ON {same}"  # noqa: S608


@lru_cache(maxsize=64)
def _upsert(dialect: Dialect, table: Table) -> str:
    quote = dialect.identifier_preparer.quote
    names = [column.name for column in table.columns]
    key = [column.name for column in table.primary_key]
    changed = ", ".join(f"{quote(name)} = excluded.{quote(name)}" for name in names if name not in key)
    listed = ", ".join(map(quote, names))
    return (
        f"INSERT INTO {quote(table.name)} ({listed}) SELECT {listed} "  # noqa: S608
        f"FROM {_arrays(dialect, table, tuple(names))} "
        f"ON CONFLICT ({', '.join(map(quote, key))}) DO UPDATE SET {changed}"
    )


def _arrays(dialect: Dialect, table: Table, columns: tuple[str, ...]) -> str:
    types = [table.c[name].type.compile(dialect=dialect) for name in columns]
    names = ", ".join(map(dialect.identifier_preparer.quote, columns))
    return f"unnest({', '.join(f'%b::{kind}[]' for kind in types)}) AS k({names})"
