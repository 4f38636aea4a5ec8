"""Tables, migrations and batched statements, on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from index.accesslog import tables as log
from index.store import batch, driver, migrate
from index.store.engine import lock, open_engine
from index.store.metadata import metadata
from index.transaction import (
    ChoiceRow,
    DigestRow,
    DirectiveRow,
    FlagRow,
    HeartbeatRow,
    MarkerRow,
    MessageRow,
    Needs,
    RelationRow,
    Written,
)

P, R, I = b"p" * 16, b"\5" * 32, b"i" * 32  # noqa: E741


@pytest.fixture
def engine(database: dict[str, str], tmp_path: Path) -> Iterator[Engine]:
    """A migrated, empty database."""
    made = open_engine(database.get("database", f"sqlite:///{tmp_path / 'hub.db'}"))
    migrate.upgrade(made)
    yield made
    made.dispose()


def a_flag(rtag: bytes = R, idx: bytes = I, seq: int = 3) -> FlagRow:
    return FlagRow(P, rtag, idx, b"s" * 108, b"e" * 76, seq, 9)


def test_the_migrations_make_exactly_the_tables_of_the_program(engine: Engine) -> None:
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    assert differences == []
    assert set(metadata.tables) <= set(inspect(engine).get_table_names())


def test_a_database_of_another_schema_is_not_served(engine: Engine) -> None:
    migrate.check(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    with pytest.raises(migrate.SchemaNotCurrent, match="hub migrate"):
        migrate.check(engine)


def test_an_empty_database_is_not_served(tmp_path: Path) -> None:
    with pytest.raises(migrate.SchemaNotCurrent):
        migrate.check(open_engine(f"sqlite:///{tmp_path / 'empty.db'}"))


def test_the_migrated_log_only_grows(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            log.entry.insert(), [{"year": 2026, "index": 0, "leaf": b"l" * 33, "sealed": b"s"}]
        )
    for statement in ("DELETE FROM entry", "UPDATE entry SET leaf = sealed"):
        with pytest.raises(DBAPIError, match="only grows"), engine.begin() as connection:
            connection.execute(text(statement))


def written() -> Written:
    out = Written()
    for row in (a_flag(), a_flag(b"\6" * 32), a_flag(b"\5" + b"z" * 31, b"j" * 32)):
        out.flags[row.pub_tag, row.rtag] = row
    out.flags[P, b"gone".ljust(32)] = None
    out.markers[P, R] = MarkerRow(P, R, 3, 99)
    out.digests[P, 5] = DigestRow(P, 5, 2, b"x" * 32, 77)
    out.heartbeats[P] = HeartbeatRow(P, 88)
    out.directives = [DirectiveRow(b"d" * 32, n, b"s", b"e", b"p" * 32, b"h" * 32) for n in (2, 1)]
    out.choices[b"d" * 32] = ChoiceRow(b"d" * 32, b"s" * 2092, b"e" * 76)
    out.relations[b"k" * 16] = RelationRow(b"k" * 16, b"r" * 32, b"s" * 300, b"e" * 76)
    return out


EVERYTHING = Needs(
    flags=frozenset((I, b"unknown".ljust(32))),
    flag_keys=frozenset(((P, R), (P, b"unknown".ljust(32)))),
    digests=frozenset(((P, 5), (P, 6))),
    buckets=frozenset(((P, 5), (P, 255))),
    choices=frozenset((b"d" * 32, b"u" * 32)),
    ledgers=frozenset((b"d" * 32,)),
    relations=frozenset((b"r" * 32,)),
    messages=frozenset(((b"n" * 16, "m"), (b"n" * 16, "other"))),
)


def test_what_a_batch_writes_the_next_one_reads(engine: Engine) -> None:
    out, message = written(), MessageRow(b"n" * 16, "m", b"b" * 32, b"sealed", 1)
    with engine.connect() as connection:
        with connection.begin():
            lock(connection)
            batch.write(connection, out, [message])
        with connection.begin():
            lock(connection)
            read = batch.read(connection, EVERYTHING)
    assert {key for rows in read.flags.values() for key in rows} == {(P, R), (P, b"\6" * 32)}
    assert read.by_key == {(P, R): a_flag(), (P, b"unknown".ljust(32)): None}
    assert read.markers[P, R] == MarkerRow(P, R, 3, 99)
    assert (read.digests[P, 5], read.digests[P, 6]) == (DigestRow(P, 5, 2, b"x" * 32, 77), None)
    assert read.heartbeats == {P: 88}
    assert sorted(read.buckets[P, 5]) == sorted([R, b"\5" + b"z" * 31])
    assert read.buckets[P, 255] == {}
    assert [entry.number for entry in read.ledgers[b"d" * 32]] == [1, 2]
    assert read.choices[b"u" * 32] is None
    assert list(read.relations[b"r" * 32]) == [b"k" * 16]
    assert read.messages == {(b"n" * 16, "m"): message, (b"n" * 16, "other"): None}


def test_a_row_under_a_known_key_is_replaced_and_a_directive_never(engine: Engine) -> None:
    newer = Written()
    newer.flags[P, R] = a_flag(seq=8)
    again = Written(directives=[DirectiveRow(b"d" * 32, 1, b"other", b"e", b"p" * 32, b"h" * 32)])
    with engine.connect() as connection:
        for out in (written(), newer):
            with connection.begin():
                batch.write(connection, out, [])
        with pytest.raises(DBAPIError), connection.begin():
            batch.write(connection, again, [])
        with connection.begin():
            read = batch.read(connection, EVERYTHING)
    found = read.by_key[P, R]
    assert found is not None
    assert found.seq == 8
    assert {entry.sealed for entry in read.ledgers[b"d" * 32]} == {b"s"}


def test_more_keys_than_one_statement_takes_are_all_found(engine: Engine) -> None:
    out = Written()
    for number in range(1200):
        row = a_flag(number.to_bytes(2, "big") + bytes(30), number.to_bytes(32, "big"))
        out.flags[row.pub_tag, row.rtag] = row
    wanted = Needs(
        flags=frozenset(row.idx for row in out.flags.values() if row), flag_keys=frozenset(out.flags)
    )
    with engine.connect() as connection, connection.begin():
        batch.write(connection, out, [])
        read = batch.read(connection, wanted)
    assert sum(len(rows) for rows in read.flags.values()) == 1200
    assert all(read.by_key.values())


def test_sqlite_syncs_every_commit_and_overwrites_what_is_deleted(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'hub.db'}")
    with engine.connect() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "secure_delete")
        }
    assert found == {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1}


def test_no_parameter_shows_in_an_error_of_the_database(engine: Engine) -> None:
    with engine.connect() as connection, pytest.raises(DBAPIError) as caught:
        connection.execute(text("SELECT * FROM nothing WHERE x = :secret"), {"secret": "pseudonym-x"})
    assert "pseudonym-x" not in str(caught.value)


def test_as_many_flags_and_digests_are_read_for_nobody_as_for_somebody(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag, known = bytes([7]) * 16, bytes([9]) * 32
    written = Written()
    for number in range(40):
        rtag, idx = bytes([number]) * 32, known if number < 3 else bytes([number + 100]) * 32
        written.flags[tag, rtag] = FlagRow(tag, rtag, idx, b"s" * 108, b"e" * 76, 1, 9)
        written.digests[tag, number] = DigestRow(tag, number, 1, bytes(32), 5)
    with engine.begin() as connection:
        batch.write(connection, written, [])
    read: list[list[int]] = []
    rows = driver.rows

    def counting(*args: Any) -> Any:
        found = rows(*args)
        read[-1].append(len(found))
        return found

    monkeypatch.setattr(driver, "rows", counting)
    monkeypatch.setattr(batch.secrets, "token_bytes", lambda size: bytes([100]) * size)
    for idx in (known, bytes(32)):
        read.append([])
        with engine.begin() as connection:
            found = batch.read(connection, Needs(flags=frozenset((idx,)))).flags[idx]
        assert len(found) == (3 if idx == known else 0)

    somebody, nobody = read
    assert sum(somebody[:2]) == sum(nobody[:2]) == batch.FLAGS_EXPECTED
    assert somebody[2:] == nobody[2:]
