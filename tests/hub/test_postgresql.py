"""What only PostgreSQL can show: its isolation, its limits, a server that goes away and comes back."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from index.accesslog.verifying import verify_all
from index.store.engine import lock, open_engine

from .world import World

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(tmp_path: Path, postgresql_database: str) -> World:
    return World(tmp_path, database=postgresql_database)


def cut_all(engine: Engine, besides: str = "") -> int:
    """End every other session of this database, as a restarted server does."""
    with engine.connect() as connection:
        found = connection.execute(
            text(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
        return int(found.scalar_one())


def test_the_isolation_shows_what_was_committed_while_waiting_for_the_lock(postgresql_database: str) -> None:
    engine = open_engine(postgresql_database)
    with engine.connect() as first, engine.connect() as second:
        assert second.exec_driver_sql("SHOW transaction_isolation").scalar() == "read committed"
        second.commit()
        with first.begin():
            lock(first)
            second.begin()
            first.exec_driver_sql("INSERT INTO heartbeat VALUES ('tag', 7)")
        lock(second)
        assert second.exec_driver_sql("SELECT confirmed_at FROM heartbeat").scalar() == 7
    engine.dispose()


def test_a_writer_waits_for_the_lock_only_so_long(postgresql_database: str) -> None:
    engine = open_engine(postgresql_database)
    with engine.connect() as first, engine.connect() as second, first.begin(), second.begin():
        lock(first)
        second.exec_driver_sql("SET LOCAL lock_timeout = '50ms'")
        with pytest.raises(OperationalError, match="lock timeout"):
            lock(second)
    engine.dispose()


def test_every_limit_is_set_on_every_connection(postgresql_database: str) -> None:
    engine = open_engine(postgresql_database)
    names = ("lock_timeout", "idle_in_transaction_session_timeout", "statement_timeout")
    with engine.connect() as connection:
        found = {name: connection.exec_driver_sql(f"SHOW {name}").scalar() for name in names}
    engine.dispose()
    assert found == {
        "lock_timeout": "5s",
        "idle_in_transaction_session_timeout": "10s",
        "statement_timeout": "8s",
    }


async def test_after_a_cut_connection_the_next_question_is_answered(
    world: World, postgresql_database: str
) -> None:
    outside = open_engine(postgresql_database)
    async with world.running():
        visit = await world.wijkteam.opens("m-jan", ["Fatima"])
        assert cut_all(outside) > 0
        asked = await asyncio.gather(*(world.wijkteam.tries_to_look(visit) for _ in range(8)))
        assert {sent.response.status_code for sent in asked} == {200}
        with world.hub.reading() as connection:
            assert verify_all(connection, world.hub.log_reader).holds
    outside.dispose()


async def test_while_the_database_is_away_all_get_503_and_then_answers_again(
    world: World, postgresql: str, postgresql_database: str
) -> None:
    name = postgresql_database.partition("?")[0].rpartition("/")[2]
    server = open_engine(postgresql).execution_options(isolation_level="AUTOCOMMIT")
    outside = open_engine(postgresql_database)
    async with world.running():
        visit = await world.wijkteam.opens("m-jan", ["Fatima"])
        with server.connect() as connection:
            connection.exec_driver_sql(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
            connection.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :n"), {"n": name}
            )
            away = [await world.wijkteam.tries_to_look(visit) for _ in range(3)]
            assert {sent.response.status_code for sent in away} == {503}
            connection.exec_driver_sql(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        for _ in range(100):
            back = await world.wijkteam.tries_to_look(visit)
            if back.response.status_code == 200:
                break
            await asyncio.sleep(0.05)
        assert back.response.status_code == 200
    outside.dispose()
    server.dispose()


async def test_three_hubs_on_one_database_keep_one_log_without_a_fork(world: World) -> None:
    async with world.running():
        first, client = world.hub, world.client
        visit = await world.wijkteam.opens("m-jan", ["Fatima"])
        clients = [client]
        async with world.running():
            clients.append(world.client)
            async with world.running():
                clients.append(world.client)
                for turn in range(12):
                    world.client = clients[turn % 3]
                    sent = await asyncio.gather(*(world.wijkteam.tries_to_look(visit) for _ in range(4)))
                    assert {one.response.status_code for one in sent} == {200}
        with first.reading() as connection:
            found = verify_all(connection, first.log_reader)
    assert found.holds
