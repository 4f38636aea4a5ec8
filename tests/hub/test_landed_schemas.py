"""An upgrade from every schema that ever landed, with data: what was promised then is kept after it.

Each schema has a frozen state (`landed.py`). A new migration needs one too:
land its state with it by `python -m tests.hub.landed`.
"""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from alembic import command, op
from sqlalchemy import Engine, select

from index.accesslog.verifying import verify_all
from index.protocol.messages import LookupAnswer
from index.store import migrate
from index.store.engine import open_engine
from tests.postgresql import fresh_database

from .landed import STATES, Landed, read_state, rows_of, tables_of, write_rows

pytestmark = pytest.mark.anyio

LANDED = sorted(path.stem for path in STATES.glob("*.json"))


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database without any schema."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'hub.db'}"
        return
    with fresh_database(request.getfixturevalue("postgresql"), migrated=False) as uri:
        yield uri


def as_it_was(address: str, revision: str) -> tuple[Engine, dict[str, Any]]:
    """A database of that schema, with the rows of its state."""
    state = read_state(revision)
    engine = open_engine(address)
    migrate.upgrade(engine, revision)
    write_rows(engine, state["rows"])
    return engine, state


def test_every_schema_that_landed_has_a_frozen_state() -> None:
    assert migrate.revisions() == LANDED, "land its state with a migration: python -m tests.hub.landed"
    for revision in LANDED:
        state = read_state(revision)
        assert state["revision"] == revision
        filled = {name for name, rows in state["rows"].items() if rows}
        assert {"flag", "marker", "directive", "choice_state", "relation", "entry", "message"} <= filled


@pytest.mark.parametrize("revision", LANDED)
def test_a_state_fills_exactly_the_tables_of_its_schema(revision: str, tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'hub.db'}")
    migrate.upgrade(engine, revision)
    with engine.connect() as connection:
        assert set(tables_of(connection).tables) - {"alembic_version"} == set(read_state(revision)["rows"])


@pytest.mark.parametrize("revision", LANDED)
async def test_what_was_stored_under_an_older_schema_holds_after_the_upgrade(
    revision: str, address: str, tmp_path: Path
) -> None:
    engine, state = as_it_was(address, revision)
    migrate.upgrade(engine)
    with engine.connect() as connection:
        after = rows_of(connection)
    assert {name: len(after[name]) for name in state["rows"]} == {n: len(r) for n, r in state["rows"].items()}

    promised = state["promised"]
    world = Landed(tmp_path, state, address)
    async with world.running():
        for person, kinds in promised["seen"].items():
            seen = await world.wijkteam.sees(world.visit(person))
            assert seen == [set(kinds)], person
        await _messages_are_known(world, promised)
        await _nothing_spent_is_fresh(world, promised)
        await _choices_go_on(world)
        with world.hub.reading() as connection:
            found = verify_all(connection, world.hub.log_reader)
        assert found.holds
        assert found.size > len(state["rows"]["entry"])
    engine.dispose()


async def _messages_are_known(world: Landed, promised: dict[str, Any]) -> None:
    """The receipt of then for the message of then; a retracted flag cannot be brought back by it."""
    message = promised["message"]
    body = base64.b64decode(message["body"])
    again = await world.inkomen.send("/v1/publications", body, "publish", msg=message["id"], role="bron")
    assert again.response.json()["receipt"] == message["receipt"]
    other = await world.inkomen.send(
        "/v1/publications", body + b" ", "publish", msg=message["id"], role="bron"
    )
    assert other.response.status_code == 422
    world.bron.seq = 0
    late = await world.bron.publishes("Els", "schuldhulp")
    assert late.response.json()["results"][0]["outcome"] != "stored"
    assert await world.wijkteam.sees(world.visit("Els")) == [set(promised["seen"]["Els"])]


async def _nothing_spent_is_fresh(world: Landed, promised: dict[str, Any]) -> None:
    asked = promised["asked"]
    sent = await world.wijkteam.deliver("/v1/lookups", base64.b64decode(asked["body"]), asked["headers"])
    assert sent.response.status_code == 401


async def _choices_go_on(world: Landed) -> None:
    """A no after the upgrade follows upon the yes before it, in the same chain."""
    session = await world.portaal.logs_in("Fatima")
    assert (await world.portaal.chooses(session, "deny", scopes=("geld", "werk"))).response.status_code == 200
    sent = await world.wijkteam.tries_to_look(world.visit("Fatima"))
    (person,) = msgspec.json.decode(sent.response.content, type=LookupAnswer).persons
    assert person.flags == []


@pytest.mark.parametrize("revision", LANDED)
def test_no_schema_is_taken_back_and_trying_changes_nothing(revision: str, address: str) -> None:
    engine, _ = as_it_was(address, revision)
    config = migrate._config()
    config.attributes["engine"] = engine
    with engine.connect() as connection:
        before = rows_of(connection)
    with pytest.raises(NotImplementedError, match="not taken back"):
        command.downgrade(config, "-1")
    with engine.connect() as connection:
        assert rows_of(connection) == before
        version = tables_of(connection).tables["alembic_version"]
        assert connection.execute(select(version.c.version_num)).scalar_one() == revision
    engine.dispose()


def test_an_upgrade_that_fails_half_way_leaves_the_schema_of_before(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, state = as_it_was(address, LANDED[0])

    create = op.create_table

    def fails_after(*args: Any, **kwargs: Any) -> None:
        create(*args, **kwargs)
        raise RuntimeError("the power of this upgrade ends here")

    monkeypatch.setattr(op, "create_table", fails_after)
    with pytest.raises(RuntimeError, match="ends here"):
        migrate.upgrade(engine)
    monkeypatch.undo()
    with engine.connect() as connection:
        assert set(rows_of(connection)) == set(state["rows"])
    with pytest.raises(migrate.SchemaNotCurrent):
        migrate.check(engine)
    migrate.upgrade(engine)
    migrate.check(engine)
    engine.dispose()
