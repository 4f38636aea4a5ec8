"""Any SQL database, by a SQLAlchemy URL and one query.

    without cursor:  all rows -> compared with the list before   (a whole list)
    with a cursor:   rows from `:cursor` on, in batches          (changes)

With a cursor each batch and the place it reached are one transaction, so a run
that broke off goes on where it was. A connection that is lost half-way is a
fault: of a whole list nothing is done, for what did not arrive is not gone.
The names of the columns go through the same mapping as those of a file.

Source: docs/sources.md; docs/design/node.md, "Sources".
"""

import asyncio
from collections.abc import Callable, Generator
from contextlib import closing
from datetime import date, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from ..errors import BadInput, SettingsError, SourceUnreachable
from ..intake import Intake
from ..outbox import Outbox
from ..publication import Rules
from ..settings import SourceSettings
from .facts import Read
from .plan import Plan, apply, plan
from .rows import Mapped, names_of, read_rows

BATCH = 5_000
"""Rows of a run with a cursor that are in memory, and queued in one transaction, at a time."""


class Database:
    """One query on one database.

    Raises:
        SettingsError: The URL or the query cannot be read, or they do not fit each other.
    """

    def __init__(
        self, settings: SourceSettings, mapping: Mapped, outbox: Outbox, rules: Rules, intake: Intake
    ) -> None:
        if settings.url_file is None or settings.query_file is None:
            raise SettingsError(f"source {settings.name}: url_file and query_file are needed")
        self.name = settings.name
        self._settings = settings
        self._mapping = mapping
        self._outbox = outbox
        self._rules = rules
        self._intake = intake
        self._query = _content(settings.query_file, settings.name)
        if bool(settings.cursor_column) != (":cursor" in self._query):
            rule = "cursor_column and :cursor in the query belong together"
            raise SettingsError(f"source {settings.name}: {rule}")
        self._engine = _engine(_content(settings.url_file, settings.name), settings.name)

    def close(self) -> None:
        """Let go of the connections."""
        self._engine.dispose()

    async def plan(self) -> Plan:
        """What a run would do now; touches nothing.

        Raises:
            SourceUnreachable: The database gave a fault; nothing follows from it.
            BadInput: The query gives other columns than the mapping names.
        """
        return await asyncio.to_thread(self._plan)

    def _plan(self) -> Plan:
        if not self._settings.cursor_column:
            return self._compare([read for batch, _ in self._batches() for read in batch], "")
        batches = list(self._batches())
        return self._compare([read for batch, _ in batches for read in batch], batches[-1][1])

    async def run(
        self,
        *,
        confirm_shrink: bool = False,
        progress: Callable[[int, int], None] | None = None,
        pseudonymised: Callable[[int], None] = lambda _count: None,
    ) -> list[Plan]:
        """Read and do. With a cursor there is a plan for each batch, done before the next is read.

        Raises:
            SourceUnreachable: The database gave a fault; batches before it are kept, nothing else is done.
            ShrinkStops: The list lost too much and nobody confirmed it; nothing was done.
        """
        done: list[Plan] = []
        if not self._settings.cursor_column:
            done.append(await self.plan())
            await apply(
                done[0],
                self._intake,
                confirm_shrink=confirm_shrink,
                progress=progress,
                pseudonymised=pseudonymised,
            )
            return done
        with closing(self._batches()) as batches:
            while (batch := await asyncio.to_thread(next, batches, None)) is not None:
                made = await asyncio.to_thread(self._compare, *batch)
                await apply(made, self._intake, progress=progress, pseudonymised=pseudonymised)
                done.append(made)
        return done

    def _compare(self, reads: list[Read], position: str) -> Plan:
        return plan(
            reads,
            self._outbox,
            self._rules,
            connector=self.name,
            whole=not self._settings.cursor_column,
            names=names_of(self._mapping),
            shrink_share=self._settings.shrink_share,
            position=position,
        )

    def _batches(self) -> Generator[tuple[list[Read], str], None, None]:
        """Batches of rows as read, each with the cursor after it; at least one, which may be empty."""
        column = self._settings.cursor_column
        values = {"cursor": self._from()} if column else {}
        known = self._outbox.cursor(self.name)
        position = known.position if known is not None else ""
        line = 1
        try:
            with self._engine.connect() as connection:
                streamed = connection.execution_options(stream_results=True, yield_per=BATCH)
                rows = streamed.execute(text(self._query), values)
                heading = list(map(str, rows.keys()))
                at = _place(heading, column)
                empty = True
                for part in rows.partitions(BATCH):
                    numbered = [(line + n, tuple(row)) for n, row in enumerate(part, 1)]
                    line += len(numbered)
                    if column:
                        position = written(numbered[-1][1][at])
                    yield list(read_rows(numbered, heading, self._mapping, changes=bool(column))), position
                    empty = False
                if empty:
                    yield list(read_rows([], heading, self._mapping, changes=bool(column))), position
        except SQLAlchemyError as error:
            raise SourceUnreachable(self.name, type(error).__name__) from None

    def _from(self) -> object:
        known = self._outbox.cursor(self.name)
        return self._settings.cursor_start if known is None or not known.position else read(known.position)


def written(value: object) -> str:
    """A cursor value as text that `read` turns back into the same value.

    Raises:
        BadInput: A value that orders nothing.
    """
    match value:
        case bool() | None:
            pass
        case int():
            return f"i:{value}"
        case datetime():
            return f"t:{value.isoformat()}"
        case date():
            return f"d:{value.isoformat()}"
        case str() if len(value) <= 90:
            return f"s:{value}"
    raise BadInput("cursor", "form", "The cursor column holds a number, a moment, a day or a short text.")


def read(position: str) -> object:
    """The cursor value of `written`."""
    kind, _, value = position.partition(":")
    made: dict[str, Callable[[str], Any]] = {
        "i": int,
        "t": datetime.fromisoformat,
        "d": date.fromisoformat,
        "s": str,
    }
    return made[kind](value)


def _place(heading: list[str], column: str) -> int:
    if not column:
        return -1
    if column not in heading:
        raise BadInput("cursor", "missing-column", "The query does not give the cursor column.")
    return heading.index(column)


def _content(file: Path, name: str) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise SettingsError(f"source {name}: {file} is missing or not text") from None


def _engine(url: str, name: str) -> Engine:
    try:
        # `hide_parameters`: a query that fails must not show its values.
        return create_engine(url, hide_parameters=True, pool_pre_ping=True)
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError):
        raise SettingsError(
            f"source {name}: its URL is no SQLAlchemy URL, or its driver is missing"
        ) from None
