"""The engine of the hub: SQLite in WAL with `synchronous=FULL`, or PostgreSQL at READ COMMITTED.

Everything an answer rests on is read in one transaction, after `lock`. On
PostgreSQL the isolation must be READ COMMITTED: a snapshot from before the lock would give stale consent.

Source: docs/design/access-log.md, "Storage and the order of things".
"""

from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event

from . import driver

_WRITER_LOCK = 0x766C6167  # "vlag": the one advisory lock of the writers
_LIMITS = {
    # A writer that waits longer than this for another one answers 503 and tries its next batch.
    "lock_timeout": "5s",
    # A writer that stands still inside its transaction holds the lock of all others.
    "idle_in_transaction_session_timeout": "10s",
    "statement_timeout": "8s",
}
_CONNECT = {
    "connect_timeout": 3,
    # A server that vanished without a word is noticed within seconds, not after two hours.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    # Statements are few and fixed: prepared at their second use on a connection.
    "prepare_threshold": 2,
}


def open_engine(url: str) -> Engine:
    """An engine for a SQLite path or PostgreSQL address. Nothing is connected yet.

    Parameters never show up in its errors or logs.
    """
    if url.startswith("sqlite"):
        engine = create_engine(
            url, hide_parameters=True, connect_args={"timeout": 10, "check_same_thread": False}
        )
        event.listen(engine, "connect", _sqlite_settings)
        event.listen(engine, "begin", _begin_immediate)
        return engine
    return create_engine(
        url,
        hide_parameters=True,
        isolation_level="READ COMMITTED",
        paramstyle="format",
        pool_pre_ping=True,
        # Below the ten seconds that a node waits: who gave up must not be worked for.
        pool_timeout=5,
        connect_args={
            **_CONNECT,
            "options": " ".join(f"-c {name}={value}" for name, value in _LIMITS.items()),
        },
    )


def lock(connection: Connection) -> None:
    """Take the writers' lock, first thing after BEGIN; SQLite took it with BEGIN IMMEDIATE."""
    if connection.dialect.name == "postgresql":
        driver.rows(connection, "SELECT pg_advisory_xact_lock(%s)", (_WRITER_LOCK,))


def reading(engine: Engine) -> Connection:
    """A connection that never waits for the writer and sees one committed state; close it."""
    connection = engine.connect()
    if connection.dialect.name == "postgresql":
        # Reading a log while it grows must not look like rows beyond the signed size.
        return connection.execution_options(reading=True, isolation_level="REPEATABLE READ")
    return connection.execution_options(reading=True)


def _sqlite_settings(connection: Any, _: object) -> None:
    # Python's driver would begin a deferred transaction by itself, only at the first write.
    connection.isolation_level = None
    for pragma in (
        # Holds for a new file only: a choice state of 2 KiB lies in its page and not in a chain of others.
        "page_size=16384",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "busy_timeout=10000",
        # What is deleted is overwritten: a retracted flag leaves no bytes in free pages.
        "secure_delete=ON",
        # A message of a thousand flags touches hundreds of pages all over the file. In 2 MB of cache, the
        # default, they are written out and read back inside the transaction, and at each commit once more.
        "cache_size=-16384",
        "wal_autocheckpoint=2000",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: Connection) -> None:
    # Readers begin plainly, with `execution_options(reading=True)`, and never wait for the writer.
    reading = connection.get_execution_options().get("reading")
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
