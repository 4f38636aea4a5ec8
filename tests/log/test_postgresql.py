"""The same log on PostgreSQL: every statement, number, proof and guard."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from index.accesslog.reading import EntryFilter
from index.protocol.receipt import verify_log_receipt
from index.store.engine import open_engine
from tests.postgresql import fresh_database

from .world import LOG_VKEY, NOW, World

FATIMA, JAN = b"\x0f" * 16, b"\x0a" * 16


class OnPostgres(World):
    def __init__(self, folder: Path, uri: str) -> None:
        self._uri = uri
        super().__init__(folder)

    def _engine(self) -> Engine:
        return open_engine(self._uri)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, postgresql: str) -> Iterator[World]:
    with fresh_database(postgresql, migrated=False) as uri:
        made = OnPostgres(tmp_path_factory.mktemp("log"), uri)
        for _ in range(5):
            made.record([made.draft([FATIMA, JAN]) for _ in range(60)])
        yield made
        made.engine.dispose()


def test_numbers_proofs_and_reading_hold_over_a_restart(world: World) -> None:
    world.log = world.process()
    receipt, sent = world.look(FATIMA)
    assert verify_log_receipt(receipt, log_vkey=LOG_VKEY, sent=sent, lids=[FATIMA]).index == 301
    lines = world.read(lambda conn: world.log.lines_of(conn, {"geld": [FATIMA]})).lines
    assert [line.index for line in lines] == list(range(1, 302))
    page = world.read(lambda conn: world.log.entries(conn, EntryFilter(day=NOW.date(), limit=3)))
    assert [entry.index for entry in page.entries] == [301, 300, 299]
    assert len(world.read(lambda conn: world.log.public(conn, "tile/0/000"))[0]) == 8192
    assert world.verify().holds


def test_a_value_is_spent_once(world: World) -> None:
    for fresh in (True, False):
        with world.engine.begin() as conn:
            world.log = world.process()
            world.log.begin(conn, NOW)
            assert world.log.spend(b"t" * 16, int(NOW.timestamp()) + 60) is fresh
            world.log.flush(conn, NOW)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM entry",
        "UPDATE entry SET leaf = sealed",
        "UPDATE handle SET n = 3",
        "DELETE FROM tile",
        "UPDATE tree SET size = 1, batch = batch + 1",
    ],
)
def test_a_stray_statement_cannot_change_the_log(world: World, statement: str) -> None:
    with pytest.raises(DBAPIError, match="only grows"), world.engine.begin() as conn:
        conn.exec_driver_sql(statement)
    assert world.verify().holds
