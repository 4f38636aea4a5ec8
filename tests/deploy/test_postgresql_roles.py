"""The database roles on a real server: what each may do, and everything else it may not."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError

from index.accesslog import tables as log_tables
from index.store import tables as hub_tables
from index.store.metadata import metadata

KNOWN = (log_tables, hub_tables)
"""Imported for what they add to `metadata`."""
ROLES = Path(__file__).parents[2] / "deploy" / "postgresql" / "roles.sql"


@pytest.fixture
def engine(postgresql_database: str) -> Iterator[Engine]:
    made = create_engine(postgresql_database)
    with made.begin() as connection:
        # As the driver's own text: a doubled colon or a percent sign is no parameter here.
        connection.connection.cursor().execute(ROLES.read_text(encoding="utf-8"))
        connection.execute(text("INSERT INTO entry VALUES (2026, 0, 'leaf', 'sealed')"))
        connection.execute(text("INSERT INTO tree VALUES (2026, 1, 'f', 1, 'r', 1, 'w')"))
    yield made
    made.dispose()


def as_role(connection: Connection, role: str) -> None:
    connection.execute(text(f"SET ROLE vlagwijzer_{role}"))


ALLOWED = [
    ("app", "INSERT INTO entry VALUES (2026, 1, 'leaf', 'sealed')"),
    ("app", "UPDATE tree SET size = 2, signed_size = 2, batch = 2"),
    ("app", "DELETE FROM flag"),
    ("app", "INSERT INTO directive VALUES ('d', 1, 's', 'e', 'p', 'h')"),
    ("shredder", 'UPDATE entry SET sealed = NULL WHERE "index" = 0'),
    ("officer", "SELECT * FROM entry"),
    ("migrator", "CREATE TABLE another (n int)"),
]
REFUSED = [
    ("app", "UPDATE entry SET sealed = NULL"),
    ("app", "DELETE FROM entry"),
    ("app", "UPDATE handle SET n = 3"),
    ("app", "DELETE FROM tile"),
    ("app", "DELETE FROM tree"),
    ("app", "UPDATE directive SET sealed = 'x'"),
    ("app", "DELETE FROM directive"),
    ("app", "CREATE TABLE another (n int)"),
    ("app", "UPDATE tree SET size = 0, batch = 2"),
    ("app", "ALTER TABLE entry DISABLE TRIGGER USER"),
    ("shredder", "UPDATE entry SET sealed = 'other'"),
    ("shredder", "UPDATE entry SET leaf = 'other'"),
    ("shredder", "SELECT sealed FROM entry"),
    ("shredder", "SELECT * FROM flag"),
    ("officer", "SELECT * FROM flag"),
    ("officer", "SELECT * FROM choice_state"),
    ("officer", "SELECT * FROM relation"),
    ("officer", "INSERT INTO entry VALUES (2026, 1, 'leaf', 'sealed')"),
]


@pytest.mark.parametrize(("role", "statement"), ALLOWED)
def test_a_role_may_do_its_own_work(engine: Engine, role: str, statement: str) -> None:
    with engine.begin() as connection:
        as_role(connection, role)
        done = connection.execute(text(statement))
        assert done.rowcount <= 1


@pytest.mark.parametrize(("role", "statement"), REFUSED)
def test_a_role_may_not_do_what_is_not_its_work(engine: Engine, role: str, statement: str) -> None:
    with engine.connect() as connection:
        as_role(connection, role)
        with pytest.raises(DBAPIError, match=r"permission denied|only grows|must be owner"):
            connection.execute(text(statement))


def test_the_hub_may_read_and_write_every_table_that_it_has(engine: Engine) -> None:
    rights = text(
        "SELECT table_name, privilege_type FROM information_schema.role_table_grants "
        "WHERE grantee = 'vlagwijzer_app'"
    )
    with engine.begin() as connection:
        given = {(name, right) for name, right in connection.execute(rights)}
    wanted = {(table.name, right) for table in metadata.sorted_tables for right in ("SELECT", "INSERT")}
    assert wanted - given == set()


def test_running_the_script_again_changes_nothing(engine: Engine) -> None:
    rights = text("SELECT grantee, table_name, privilege_type FROM information_schema.role_table_grants")
    with engine.begin() as connection:
        before = set(connection.execute(rights))
        connection.connection.cursor().execute(ROLES.read_text(encoding="utf-8"))
        assert set(connection.execute(rights)) == before
