"""The log on a real database: order, numbers, restarts, roll-backs, years, and refusing to sign."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from index.accesslog import tables
from index.accesslog.errors import LogInconsistent, LogNotBegun
from index.accesslog.lasthead import HeadFile
from index.accesslog.spent import tag_of
from index.protocol.entry import EntryError, EntryTooLarge, handle, parse_asker, parse_chain, read_handles
from index.protocol.note import NoteKey, key_for_origin, parse_checkpoint, parse_note, verified_checkpoint
from index.protocol.receipt import pinned_log_key, verify_log_receipt

from .world import LOG_VKEY, NOW, PREFIX, World

FATIMA, JAN = b"\x0f" * 16, b"\x0a" * 16


def subjects(world: World, index: int, year: int = 2026) -> list[tuple[int, int]]:
    [(_, entry)] = world.read(lambda conn: list(world.log.opened(conn, year, index, index + 1)))
    return [tuple(pair) for pair in parse_chain(entry.chain).subj]


def test_the_first_entry_of_a_log_is_an_admin_entry_about_nobody(world: World) -> None:
    world.look(FATIMA)
    [(index, entry)] = world.read(lambda conn: list(world.log.opened(conn, 2026, 0, 1)))
    assert index == 0
    assert parse_asker(entry.asker).t == "admin"
    assert parse_asker(entry.asker).handles == []
    assert parse_chain(entry.chain).subj == []


def test_sixty_four_questions_about_one_person_in_one_batch_are_numbered_one_to_sixty_four(
    world: World,
) -> None:
    recorded, sealed = world.record([world.draft([FATIMA]) for _ in range(64)])
    assert [item.index for item in recorded] == list(range(1, 65))
    found = [subjects(world, item.index) for item in recorded]
    assert found == [[(n, n - 1 if n > 1 else -1)] for n in range(1, 65)]
    assert sealed.index_header(recorded[:3]) == "1,2,3"
    receipts = sealed.receipts(recorded)
    assert [r.index for r in receipts] == list(range(1, 65))
    assert len({r.salt for r in receipts}) == 64


def test_numbers_run_on_over_batches_and_restarts(world: World) -> None:
    world.look(FATIMA, JAN)
    world.look(JAN)
    world.log = world.process()
    world.look(FATIMA, JAN)
    assert subjects(world, 3) == [(2, 1), (3, 2)]
    assert world.verify().holds


def test_postponed_lines_are_numbered_apart(world: World) -> None:
    world.look(FATIMA)
    recorded, _ = world.record([world.draft([FATIMA], later=True)])
    assert subjects(world, recorded[0].index) == [(1, -1)]
    [(_, entry)] = world.read(lambda conn: list(world.log.opened(conn, 2026, 2, 3)))
    assert read_handles(parse_asker(entry.asker)) == [handle(2026, FATIMA, later=True)]


def test_every_receipt_of_many_batches_holds(world: World) -> None:
    for size in (1, 3, 64, 64, 64, 64, 2):
        sent = [world.statement() for _ in range(size)]
        recorded, sealed = world.record([world.draft([FATIMA, JAN], signed) for signed in sent])
        for item, signed in zip(recorded, sent, strict=True):
            verify_log_receipt(sealed.receipt(item), log_vkey=LOG_VKEY, sent=signed, lids=[FATIMA, JAN])
    assert world.verify().holds
    assert world.read(lambda conn: conn.execute(select(func.count()).select_from(tables.tile)).scalar()) == 1


def test_a_rolled_back_batch_leaves_no_number_and_no_entry(world: World) -> None:
    world.look(FATIMA)
    with world.engine.connect() as conn:
        world.log.begin(conn, NOW)
        world.log.append(world.draft([FATIMA]))
        world.log.flush(conn, NOW)
        conn.rollback()
    world.log.rolled_back()
    receipt, signed = world.look(FATIMA)
    assert receipt.index == 2
    assert subjects(world, 2) == [(2, 1)]
    assert verify_log_receipt(receipt, log_vkey=LOG_VKEY, sent=signed, lids=[FATIMA]).index == 2
    assert world.verify().size == 3


def test_a_commit_that_failed_without_notice_is_found_out_at_the_next_batch(world: World) -> None:
    world.look(FATIMA)
    tag = tag_of("node", "jti")
    with world.engine.connect() as conn:
        world.log.begin(conn, NOW)
        world.log.append(world.draft([FATIMA]))
        assert world.log.spend(tag, int(NOW.timestamp()) + 60)
        world.log.flush(conn, NOW)
        conn.rollback()
    world.look(FATIMA)
    assert subjects(world, 2) == [(2, 1)]
    with world.engine.begin() as conn:
        world.log.begin(conn, NOW)
        assert world.log.spend(tag, int(NOW.timestamp()) + 60)
        world.log.flush(conn, NOW)
    assert world.verify().holds


def test_a_commit_that_held_without_notice_is_taken_up_at_the_next_batch(world: World) -> None:
    tag = tag_of("node", "jti")
    with world.engine.begin() as conn:
        world.log.begin(conn, NOW)
        world.log.append(world.draft([FATIMA]))
        world.log.spend(tag, int(NOW.timestamp()) + 60)
        world.log.flush(conn, NOW)
    with world.engine.begin() as conn:
        world.log.begin(conn, NOW)
        assert not world.log.spend(tag, int(NOW.timestamp()) + 60)
        world.log.append(world.draft([FATIMA]))
        world.log.flush(conn, NOW)
    world.log.committed()
    assert subjects(world, 2) == [(2, 1)]
    assert world.verify().size == 3


def test_two_processes_in_turn_make_one_log(world: World) -> None:
    other = world.process()
    for turn in range(6):
        world.look(FATIMA, log=other if turn % 2 else world.log)
    assert [subjects(world, index)[0][0] for index in range(1, 7)] == [1, 2, 3, 4, 5, 6]
    assert world.verify().holds


def test_an_entry_that_does_not_fit_is_not_recorded(world: World) -> None:
    world.look(FATIMA)
    with world.engine.connect() as conn:
        world.log.begin(conn, NOW)
        world.log.append(world.draft([bytes([n]) * 16 for n in range(60)]))
        with pytest.raises(EntryTooLarge):
            world.log.flush(conn, NOW)
        conn.rollback()
    world.log.rolled_back()
    assert world.verify().size == 2


def test_a_draft_of_another_form_is_refused_before_it_has_a_place(world: World) -> None:
    with world.engine.begin() as conn:
        world.log.begin(conn, NOW)
        with pytest.raises(EntryError):
            world.log.append(world.draft([FATIMA], basis="Vrije Tekst"))
        recorded = world.log.append(world.draft([FATIMA]))
        world.log.flush(conn, NOW)
    assert recorded.index == 1


def test_nothing_is_appended_or_spent_outside_a_batch(world: World) -> None:
    with pytest.raises(LogNotBegun):
        world.log.append(world.draft([FATIMA]))
    with pytest.raises(LogNotBegun):
        world.log.spend(bytes(16), 0)
    recorded, _ = world.record([world.draft([FATIMA])])
    _, later = world.record([world.draft([FATIMA])])
    with pytest.raises(LogNotBegun):
        later.receipt(recorded[0])


def test_the_size_at_rest_does_not_tell_hit_from_refusal(world: World) -> None:
    world.record(
        [
            world.draft([FATIMA]),
            world.draft([FATIMA], shown=b"", dec=b"", refused="no-relation"),
            world.draft([FATIMA], basis="toestemming", shown=b"\xff" * 4),
            world.draft([FATIMA], world.statement(t="publish", role="bron"), dec=b""),
        ]
    )
    lengths = world.read(
        lambda conn: conn.execute(select(func.length(tables.entry.c.sealed))).scalars().all()
    )
    assert lengths == [1024, 2048, 2048, 2048, 1024]


def test_neither_handle_nor_log_id_nor_node_stands_in_the_database_file(world: World) -> None:
    world.look(FATIMA)
    world.engine.dispose()
    raw = b"".join(path.read_bytes() for path in sorted(world.folder.glob("hub.db*")))
    assert len(raw) > 10_000
    for secret in (FATIMA, handle(2026, FATIMA), b"wijkteam-noord", b"huisbezoek"):
        assert secret not in raw
    assert b"entry_only_grows" in raw, "the search finds what is there"


# --- one-time values -----------------------------------------------------------------


def test_a_value_is_spent_once_over_batches_and_restarts(world: World) -> None:
    tag, until = tag_of("kh-a", "0f" * 16), int(NOW.timestamp()) + 60
    with world.engine.begin() as conn:
        world.log.begin(conn, NOW)
        assert world.log.spend(tag, until)
        assert not world.log.spend(tag, until)
        assert world.log.spend(tag_of("kh-b", "0f" * 16), until)
        world.log.flush(conn, NOW)
    world.log.committed()
    for log in (world.log, world.process()):
        with world.engine.begin() as conn:
            log.begin(conn, NOW)
            assert not log.spend(tag, until)


def test_a_spent_value_survives_until_its_own_end_and_is_then_forgotten(world: World) -> None:
    tag, until = tag_of("kh-a", "jti"), int(NOW.timestamp()) + 60
    with world.engine.begin() as conn:
        world.log.begin(conn, NOW)
        world.log.spend(tag, until)
        world.log.flush(conn, NOW)
    world.log.committed()
    world.record([world.draft([FATIMA])], now=NOW + timedelta(seconds=120))
    assert len(world.log.spent) == 0
    assert world.read(lambda conn: conn.execute(select(tables.spent)).all()) == []


def test_issuer_and_value_cannot_be_shifted_into_each_other() -> None:
    assert tag_of("ab", "c") != tag_of("a", "bc")


# --- guards and refusing to sign -----------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        'UPDATE entry SET leaf = zeroblob(33) WHERE "index" = 1',
        'UPDATE entry SET sealed = zeroblob(2048) WHERE "index" = 1',
        'UPDATE entry SET "index" = 99 WHERE "index" = 1',
        "DELETE FROM entry",
        "UPDATE handle SET n = 9",
        "DELETE FROM handle",
        "UPDATE tree SET size = 1, batch = batch + 1",
        "UPDATE tree SET batch = batch",
        "DELETE FROM tree",
    ],
)
def test_a_stray_statement_cannot_change_the_log(world: World, statement: str) -> None:
    world.look(FATIMA)
    with pytest.raises(IntegrityError, match="only grows"), world.engine.begin() as conn:
        conn.exec_driver_sql(statement)
    assert world.verify().holds


def test_a_sealed_entry_may_be_erased_and_nothing_else_of_it(world: World) -> None:
    world.look(FATIMA)
    with world.engine.begin() as conn:
        conn.exec_driver_sql('UPDATE entry SET sealed = NULL WHERE "index" = 1')
    assert not world.verify().holds
    own = {"t": "erase", "statement": None, "signature": b"", "dec": b""}
    world.record([world.draft([], **own, more={"from": 1, "to": 1, "cause": "term"})])
    assert world.verify().holds
    assert world.verify().erased == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tree SET signed_root = zeroblob(32)",
        "UPDATE tree SET size = size - 1",
        "UPDATE tree SET frontier = zeroblob(32)",
        'UPDATE entry SET leaf = zeroblob(33) WHERE "index" = 2',
        'DELETE FROM entry WHERE "index" = 2',
    ],
)
def test_a_restarted_hub_refuses_to_sign_on_a_log_that_was_tampered_with(
    world: World, statement: str
) -> None:
    world.look(FATIMA)
    world.look(JAN)
    world.tamper(statement)
    with pytest.raises(LogInconsistent):
        world.look(FATIMA, log=world.process())


def test_a_restored_backup_is_not_signed_on(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.log = world.process(HeadFile(tmp_path / "signed-head"))
    world.look(FATIMA)
    world.engine.dispose()
    shutil.copy(tmp_path / "hub.db", tmp_path / "backup.db")
    world.look(FATIMA)
    world.engine.dispose()
    shutil.copy(tmp_path / "backup.db", tmp_path / "hub.db")
    for rest in ("hub.db-wal", "hub.db-shm"):
        (tmp_path / rest).unlink(missing_ok=True)
    with pytest.raises(LogInconsistent, match="restored"):
        world.look(JAN, log=world.process(HeadFile(tmp_path / "signed-head")))
    assert world.verify().size == 2


def test_an_emptied_database_is_not_signed_on(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.log = world.process(HeadFile(tmp_path / "signed-head"))
    world.look(FATIMA)
    (tmp_path / "other").mkdir()
    empty = World(tmp_path / "other")
    with pytest.raises(LogInconsistent, match="empty"):
        empty.look(FATIMA, log=empty.process(HeadFile(tmp_path / "signed-head")))


def test_the_kept_head_lets_an_honest_restart_go_on_and_a_damaged_file_stops_it(tmp_path: Path) -> None:
    world, path = World(tmp_path), tmp_path / "signed-head"
    for _ in range(3):
        world.look(FATIMA, log=world.process(HeadFile(path)))
    head = HeadFile(path).last()
    assert head is not None
    assert (head.year, head.size) == (2026, 4)
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(LogInconsistent, match="damaged"):
        world.look(FATIMA, log=world.process(HeadFile(path)))


# --- years ---------------------------------------------------------------------------


def test_a_new_year_begins_with_the_last_checkpoint_of_the_old_one(world: World) -> None:
    world.look(FATIMA)
    last = world.read(lambda conn: world.log.head(conn).note)
    new_year = datetime(2027, 1, 1, 0, 0, 1, tzinfo=UTC)
    signed = world.statement()
    recorded, sealed = world.record([world.draft([FATIMA], signed, now=new_year)], now=new_year)
    assert (sealed.year, recorded[0].index) == (2027, 1)
    entry = verify_log_receipt(sealed.receipt(recorded[0]), log_vkey=LOG_VKEY, sent=signed, lids=[FATIMA])
    assert entry.year == 2027
    assert subjects(world, 1, 2027) == [(1, -1)]
    [(_, first)] = world.read(lambda conn: list(world.log.opened(conn, 2027, 0, 1)))
    assert parse_chain(first.chain).checkpoint == last
    assert parse_checkpoint(parse_note(last).text).origin == f"{PREFIX}/2026"
    assert world.verify().holds
    assert world.read(lambda conn: world.log.head(conn, 2026).note) == last


def test_a_clock_that_falls_back_over_new_year_stays_in_the_newer_log(world: World) -> None:
    new_year = datetime(2027, 1, 1, tzinfo=UTC)
    world.record([world.draft([FATIMA], now=new_year)], now=new_year)
    _, sealed = world.record([world.draft([FATIMA])], now=NOW)
    assert sealed.year == 2027


# --- any order of growing, failing and restarting ------------------------------------


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(["commit", "roll back", "restart"]), st.integers(0, 40)),
        min_size=1,
        max_size=8,
    )
)
def test_any_order_of_batches_roll_backs_and_restarts_keeps_one_gapless_log(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    world = World(tmp_path_factory.mktemp("log"))
    written, heads = 0, []
    for what, count in steps:
        if what == "restart":
            world.log = world.process()
        drafts = [world.draft([FATIMA] if n % 2 else [FATIMA, JAN]) for n in range(count)]
        if what == "roll back":
            with world.engine.connect() as conn:
                world.log.begin(conn, NOW)
                for draft in drafts:
                    world.log.append(draft)
                world.log.flush(conn, NOW)
                conn.rollback()
            world.log.rolled_back()
        else:
            _, sealed = world.record(drafts)
            written += count
            heads.append(verified_checkpoint(sealed.note, _key(sealed.note)))
    if heads:
        status = world.verify()
        assert status.holds
        assert status.size == heads[-1].size == written + 1
        assert status.root == heads[-1].root


def _key(note: str) -> NoteKey:
    return key_for_origin(pinned_log_key(LOG_VKEY)[1], parse_checkpoint(parse_note(note).text).origin)
