"""The counter store: quota, nonces, grant units and events, durable and exact.

`claim_nonce` and `reserve` return once what they wrote survives a crash, and
hold the write lock from their first statement, so a limit is exact for any
number of replicas on one store. The store is made by `create` for a new
installation and never silently: an empty store would forget what was spent.

Source: docs/design/pseudonyms.md, "Evaluate", checks 4 and 8.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    Connection,
    Engine,
    Integer,
    Table,
    bindparam,
    create_engine,
    delete,
    event,
    func,
    insert,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from index.protocol.evaluate import Grant

from . import tables
from .errors import CannotStart, ClockWentBack, GrantRefused, NonceSeen, QuotaSpent, StoreUnavailable
from .settings import ClassLimits

MIGRATIONS = Path(__file__).parent / "migrations"
NONCE_LIFE_S = 180
MAX_CLOCK_STEP_S = 60
DAY_S = 86_400
MINUTE_S = 60
_KEEP_COUNTERS_S = 3 * DAY_S
_KEEP_GRANTS_S = 3_600
_LATEST = select(func.max(tables.nonce.c.seen_at))
_NONCE = insert(tables.nonce)
_EVENT = insert(tables.event)


def create(path: Path) -> None:
    """Make a new, empty store; an existing file is never touched.

    Raises:
        CannotStart: There is a file already.
    """
    if path.exists():
        raise CannotStart(f"counter store {path} exists already; it is never made anew")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    engine = _engine(path)
    with _writing(engine) as connection:
        command.upgrade(_config(connection), "head")
    engine.dispose()


class CounterStore:
    """An opened store of one key holder."""

    def __init__(self, path: Path, *, daily: ClassLimits, per_minute: ClassLimits) -> None:
        """Open what `create` made.

        Raises:
            CannotStart: The file is missing, is no store, or has another schema.
        """
        if not path.is_file():
            raise CannotStart(
                f"counter store {path} is missing; put it back. It is never made silently, for an empty "
                "store would forget what was spent. A new installation: vlagwijzer keyholder init"
            )
        self._engine = _engine(path)
        self._limits = ((DAY_S, daily), (MINUTE_S, per_minute))
        self._forgot_at = 0
        try:
            with _writing(self._engine) as connection:
                found = MigrationContext.configure(connection).get_current_revision()
                newest = ScriptDirectory.from_config(_config(connection)).get_current_head()
        except SQLAlchemyError:
            raise CannotStart(f"counter store {path} cannot be opened") from None
        if found != newest:
            raise CannotStart(f"counter store {path} has schema {found}, this program needs {newest}")

    def close(self) -> None:
        self._engine.dispose()

    def claim_nonce(self, node: str, nonce: bytes, now: int) -> None:
        """Store a nonce, or find that it was here before.

        Args:
            now: Unix seconds of this holder's clock.

        Raises:
            NonceSeen: Used before.
            ClockWentBack: Later nonces are stored already. Nonces are dropped by age, so after a
                jump forward and back an old request could no longer be told from a new one.
            StoreUnavailable: Nothing was stored.
        """
        with self._transaction() as connection:
            self._claim(connection, node, nonce, now)

    def _claim(self, connection: Connection, node: str, nonce: bytes, now: int) -> None:
        latest = connection.execute(_LATEST).scalar()
        if latest is not None and now < latest - MAX_CLOCK_STEP_S:
            raise ClockWentBack("the clock stands before times that are already stored")
        self._forget_old(connection, now)
        try:
            connection.execute(_NONCE, {"node": node, "nonce": nonce, "seen_at": now})
        except IntegrityError:
            raise NonceSeen from None

    def _forget_old(self, connection: Connection, now: int) -> None:
        """Rows that no check reads any more; once a minute is often enough."""
        if now - self._forgot_at < MINUTE_S and now >= self._forgot_at:
            return
        connection.execute(delete(tables.nonce).where(tables.nonce.c.seen_at < now - NONCE_LIFE_S))
        connection.execute(delete(tables.quota).where(tables.quota.c.begins_at < now - _KEEP_COUNTERS_S))
        units = tables.grant_units
        connection.execute(delete(units).where(units.c.expires_at < now - _KEEP_GRANTS_S))
        self._forgot_at = now

    def spent(self, grant: Grant) -> dict[str, int]:
        """Units of a grant that are gone, per kid."""
        rows = tables.grant_units
        with self._transaction() as connection:
            found = connection.execute(
                select(rows.c.kid, rows.c.spent).where(
                    rows.c.iss == grant.iss, rows.c.jti == bytes.fromhex(grant.jti)
                )
            )
            return {row.kid: row.spent for row in found}

    def reserve(
        self,
        *,
        node: str,
        class_: str,
        version: int,
        counts: Mapping[str, int],
        grant: Grant | None,
        now: int,
    ) -> None:
        """Count before evaluating: quota, grant units and the event, all or nothing.

        Args:
            counts: Elements per kid.
            grant: Verified; its units are spent here.
            now: Unix seconds.

        Raises:
            QuotaSpent: A day's or minute's counter would pass its limit; nothing was counted.
            GrantRefused: The grant has fewer units left; nothing was counted.
            StoreUnavailable: Nothing was counted.
        """
        with self._transaction() as connection:
            self._count_all(connection, node, class_, version=version, counts=counts, grant=grant, now=now)

    def claim_and_reserve(
        self, *, node: str, nonce: bytes, class_: str, version: int, counts: Mapping[str, int], now: int
    ) -> None:
        """`claim_nonce` and then `reserve` without a grant, in one durable transaction.

        Where the quota is spent the nonce stays claimed, as it does when they are called apart.

        Raises:
            NonceSeen, ClockWentBack, QuotaSpent, StoreUnavailable: Nothing was counted.
        """
        spent: QuotaSpent | None = None
        with self._transaction() as connection:
            self._claim(connection, node, nonce, now)
            try:
                with connection.begin_nested():
                    self._count_all(
                        connection, node, class_, version=version, counts=counts, grant=None, now=now
                    )
            except QuotaSpent as error:
                spent = error
        if spent is not None:
            raise spent

    def _count_all(
        self,
        connection: Connection,
        node: str,
        class_: str,
        *,
        version: int,
        counts: Mapping[str, int],
        grant: Grant | None,
        now: int,
    ) -> None:
        total = sum(counts.values())
        for seconds, limits in self._limits:
            limit: int = getattr(limits, class_)
            begins = now - now % seconds
            key = {"node": node, "class_": class_, "seconds": seconds, "begins_at": begins}
            if not _count(connection, tables.quota, key, column="used", add=total, limit=limit):
                raise QuotaSpent(begins + seconds - now)
        for kid, count in counts.items():
            if grant is None:
                break
            key = {"iss": grant.iss, "jti": bytes.fromhex(grant.jti), "kid": kid}
            extra = {"expires_at": grant.exp}
            left = grant.n.get(kid, 0)
            if not _count(
                connection, tables.grant_units, key, column="spent", add=count, limit=left, extra=extra
            ):
                raise GrantRefused
        happened = {"at": now, "node": node, "class_": class_, "version": version}
        connection.execute(_EVENT, {**happened, "counts": json.dumps(counts)})

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with _writing(self._engine) as connection:
                yield connection
        except SQLAlchemyError:
            raise StoreUnavailable("the counter store cannot be written") from None


def _count(
    connection: Connection,
    table: Table,
    key: Mapping[str, Any],
    *,
    column: str,
    add: int,
    limit: int,
    extra: Mapping[str, Any] | None = None,
) -> bool:
    """Raise a counter by `add` if it then is not above `limit`; False when it would be."""
    if add > limit:
        return False
    values = {**key, **(extra or {})}
    raised = connection.execute(
        _counting(connection.dialect.name, table, tuple(key), column=column, extra=tuple(extra or ())),
        {**{f"its_{name}": value for name, value in values.items()}, "raised_by": add, "most": limit},
    )
    return raised.rowcount == 1


@lru_cache(maxsize=16)
def _counting(
    dialect: str, table: Table, key: tuple[str, ...], *, column: str, extra: tuple[str, ...]
) -> Any:
    """The statement of `_count`, built once: building it cost more than running it."""
    makers: dict[str, Callable[[Table], Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
    add, used = bindparam("raised_by", type_=Integer), table.c[column]
    fresh = makers[dialect](table).values(
        {**{name: bindparam(f"its_{name}") for name in (*key, *extra)}, column: add}
    )
    return fresh.on_conflict_do_update(
        index_elements=[table.c[name] for name in key],
        set_={used.name: used + add},
        where=used + add <= bindparam("most", type_=Integer),
    )


def _engine(path: Path) -> Engine:
    # `hide_parameters`: a statement that fails must not show its values in a log.
    engine = create_engine(
        f"sqlite:///{path}", hide_parameters=True, connect_args={"check_same_thread": False, "timeout": 30}
    )
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: Any, _: ConnectionPoolEntry) -> None:
    # The driver must not open transactions by itself: `_begin` decides the kind.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def _writing(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as connection, connection.begin():
        yield connection


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config
