"""Compiled statements handed straight to the driver, inside a transaction that SQLAlchemy began.

The statement is built with SQLAlchemy Core and compiled once per dialect by its
caller, so the schema keeps one owner; here only text and plain parameters go
through. SQLAlchemy's own execution costs some 40 µs a statement, and a batch
runs twenty under the writers' lock. What the driver raises comes out as
SQLAlchemy's error of the same kind, for who decides what a failure means.

Source: docs/adr/0010-hot-statements-straight-to-the-driver.md
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Dialect, Table
from sqlalchemy.exc import DBAPIError


def rows(connection: Connection, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
    """All rows of a statement, as the driver's own tuples.

    Raises:
        DBAPIError: As SQLAlchemy would raise it, without parameters.
    """
    with _cursor(connection, statement) as cursor:
        cursor.execute(statement, parameters)
        found: list[Any] = cursor.fetchall()
    return found


def change(connection: Connection, statement: str, parameters: Sequence[Any]) -> int:
    """Run one changing statement; how many rows it changed. DBAPIError as in `rows`."""
    with _cursor(connection, statement) as cursor:
        cursor.execute(statement, parameters)
        changed: int = cursor.rowcount
    return changed


def many(connection: Connection, statement: str, parameters: Sequence[Sequence[Any]]) -> None:
    """Run a statement for each row of parameters. DBAPIError as in `rows`."""
    with _cursor(connection, statement) as cursor:
        cursor.executemany(statement, parameters)


def copy(connection: Connection, table: Table, parameters: Sequence[Sequence[Any]]) -> None:
    """Add rows, in the order of the table's columns, by PostgreSQL's COPY. DBAPIError as in `rows`."""
    statement, types = _copy_text(connection.dialect, table)
    with _cursor(connection, statement) as cursor, cursor.copy(statement) as copying:
        copying.set_types(types)
        for row in parameters:
            copying.write_row(row)


@lru_cache(maxsize=16)
def _copy_text(dialect: Dialect, table: Table) -> tuple[str, list[str]]:
    quote = dialect.identifier_preparer.quote
    names = ", ".join(quote(column.name) for column in table.columns)
    types = [column.type.compile(dialect=dialect).lower() for column in table.columns]
    return f"COPY {quote(table.name)} ({names}) FROM STDIN (FORMAT BINARY)", types


@contextmanager
def _cursor(connection: Connection, statement: str) -> Iterator[Any]:
    dialect = connection.dialect
    driver: Any = connection.connection
    cursor: Any = None
    try:
        cursor = driver.cursor()
        yield cursor
    except dialect.loaded_dbapi.Error as error:
        gone = dialect.is_disconnect(error, driver.dbapi_connection, cursor)
        raise DBAPIError.instance(
            statement,
            None,
            error,
            dialect.loaded_dbapi.Error,
            hide_parameters=True,
            connection_invalidated=gone,
            dialect=dialect,
        ) from error
    finally:
        if cursor is not None:
            cursor.close()
