"""The database roles on a real server: what each may do, and everything else it may not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError

from index.notices import Release, keys_of, waiting
from index.store import migrate
from tests.hub.acting import Acting, outcomes
from tests.hub.world import World

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


READ, GROWS, CHANGES = {"SELECT"}, {"SELECT", "INSERT"}, {"SELECT", "INSERT", "UPDATE"}
ALL = CHANGES | {"DELETE"}
APP = {
    **dict.fromkeys(("alembic_version",), READ),
    **dict.fromkeys(("entry", "handle", "tile", "heads", "erasure"), GROWS),
    **dict.fromkeys(("directive", "policy_version", "act", "scope_key", "figure"), GROWS),
    **dict.fromkeys(("marker", "digest", "heartbeat", "choice_state", "relation", "message"), CHANGES),
    **dict.fromkeys(("escrow_session", "standing", "inquiry", "sample", "opening", "hold"), CHANGES),
    **dict.fromkeys(("review", "tree"), CHANGES),
    "spent": GROWS | {"DELETE"},
    **dict.fromkeys(("flag", "postponed", "claim", "cosignature", "watch", "errand"), ALL),
}
"""What the hub may do with each table. A new table needs a line here and in `roles.sql`."""
OFFICER = {"entry", "handle", "tile", "tree", "heads", "cosignature", "erasure"}
TABLES = text("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
RIGHTS = text(
    "SELECT table_name, privilege_type FROM information_schema.role_table_grants WHERE grantee = :role"
)


def rights(connection: Connection, role: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for table, right in connection.execute(RIGHTS, {"role": f"vlagwijzer_{role}"}):
        found.setdefault(table, set()).add(right)
    return found


def test_every_table_has_its_rule_and_the_script_grants_exactly_that(engine: Engine) -> None:
    with engine.connect() as connection:
        tables = set(connection.execute(TABLES).scalars())
        app, officer, shredder = (rights(connection, role) for role in ("app", "officer", "shredder"))
        migrator = rights(connection, "migrator")
    assert tables - APP.keys() == set(), "tables without a rule"
    assert APP.keys() - tables == set(), "rules without a table"
    assert app == APP
    assert officer == dict.fromkeys(OFFICER, READ)
    assert shredder == {}, "its rights are on columns of `entry` only"
    assert {table: found & ALL for table, found in migrator.items()} == dict.fromkeys(tables, ALL)


def test_a_hub_does_its_work_with_the_rights_of_its_role(engine: Engine, tmp_path: Path) -> None:
    name = engine.url.database
    with engine.begin() as connection:
        connection.execute(text(f"ALTER DATABASE \"{name}\" SET role = 'vlagwijzer_app'"))
        for table in ("entry", "tree"):
            connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
            connection.execute(text(f"TRUNCATE {table}"))
            connection.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER USER"))
    address = engine.url.render_as_string(hide_password=False)
    with Acting(tmp_path, make=Prepared, database=address) as hub:
        with hub.world.hub.reading() as connection:
            assert connection.execute(text("SELECT current_user")).scalar() == "vlagwijzer_app"
        person = hub.somebody()
        flag = hub.flag(person, "schuldhulp")
        assert outcomes(hub.publish(hub.bron, flag)) == ["stored"]
        session = hub.allow_everything(person)
        assert hub.sees(hub.visit(person)) == [{"schuldhulp"}]
        disputed = hub.run(hub.portaal.uses_right(session, "dispute", ["schuldhulp"]))
        assert disputed.response.status_code == 200, disputed.response.text
        assert hub.count("claim") > 0
        liaison = hub.visit(person, role="vt_liaison", purpose="crisis")
        assert hub.run(hub.wijkteam.tries_to_look(liaison)).response.status_code == 200
        keys = [
            key for one in waiting(hub.world.hub) for key in keys_of(hub.world.hub, one.id, due_only=False)
        ]
        hub.run(hub.world.hub.sequencer.submit(Release(hub.world.hub, keys)))
        assert hub.count("postponed") == 0
        hub.run(hub.wijkteam.declares("m-17", [person]))
        assert hub.count("review") > 0
        assert outcomes(hub.retract(hub.bron, flag.secret)) == ["removed"]


class Prepared(World):
    """A hub on a database whose owner made the schema: it migrates nothing itself."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(migrate, "upgrade", lambda _: None)
            super().__init__(folder, **settings)


def test_running_the_script_again_changes_nothing(engine: Engine) -> None:
    rights = text("SELECT grantee, table_name, privilege_type FROM information_schema.role_table_grants")
    with engine.begin() as connection:
        before = set(connection.execute(rights))
        connection.connection.cursor().execute(ROLES.read_text(encoding="utf-8"))
        assert set(connection.execute(rights)) == before
