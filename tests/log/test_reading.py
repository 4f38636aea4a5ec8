"""What citizens, officers and mirrors read, and that tampering is found."""

from datetime import UTC, date, datetime, timedelta

import pytest

from index.accesslog.errors import LogInconsistent
from index.accesslog.log import _seal
from index.accesslog.reading import EntryFilter, OwnLines, Page
from index.accesslog.tiles import Tree, number_path, parse_path
from index.accesslog.verifying import verify_all
from index.protocol import entry as fmt
from index.protocol.codec import unb64u
from index.protocol.entry import handle, leaf_of, parse_asker, parse_chain, read_handles
from index.protocol.merkle import consistency_proof, leaf_hash, verify_consistency, verify_inclusion
from index.protocol.messages import LogLine
from index.protocol.note import (
    Checkpoint,
    key_for_origin,
    origin_of,
    parse_checkpoint,
    parse_note,
    verified_checkpoint,
)
from index.protocol.receipt import pinned_log_key

from .test_merkle import Kept
from .world import LOG_VKEY, NOW, World

FATIMA, FATIMA_WERK, JAN = b"\x0f" * 16, b"\x1f" * 16, b"\x0a" * 16


def checked(note: str) -> Checkpoint:
    key = pinned_log_key(LOG_VKEY)[1]
    return verified_checkpoint(note, key_for_origin(key, parse_checkpoint(parse_note(note).text).origin))


def leaf_in(line: LogLine) -> bytes:
    salts = [unb64u(text, 32) for text in (line.salt, line.salt_a, line.salt_b)]
    return leaf_of(*salts, line.asker.encode(), line.chain.encode())


def own(world: World, **lids: bytes) -> OwnLines:
    found = world.read(lambda conn: world.log.lines_of(conn, {s: [lid] for s, lid in lids.items()}))
    assert isinstance(found, OwnLines)
    return found


# --- the citizen ---------------------------------------------------------------------


def test_a_citizen_gets_every_own_line_gapless_and_proven(world: World) -> None:
    for _ in range(3):
        world.look(FATIMA, FATIMA_WERK)
        world.record([world.draft([JAN]) for _ in range(40)])
    world.record([world.draft([FATIMA_WERK], refused="no-relation")])
    found = own(world, geld=FATIMA, werk=FATIMA_WERK)
    head = checked(found.checkpoint)
    assert [line.scope for line in found.lines] == ["geld"] * 3 + ["werk"] * 4
    for scope, lid in (("geld", FATIMA), ("werk", FATIMA_WERK)):
        before = -1
        for n, line in enumerate([x for x in found.lines if x.scope == scope], 1):
            proof = [unb64u(item, 32) for item in line.proof]
            assert verify_inclusion(leaf_hash(leaf_in(line)), line.index, head.size, proof, head.root)
            handles = read_handles(parse_asker(line.asker.encode()))
            place = handles.index(handle(line.year, lid))
            assert parse_chain(line.chain.encode()).subj[place] == (n, before)
            before = line.index
    assert parse_asker(found.lines[-1].asker.encode()).refused == "no-relation"


def test_a_citizen_gets_no_line_of_another_and_no_postponed_one(world: World) -> None:
    world.look(JAN)
    world.record([world.draft([FATIMA], later=True)])
    assert own(world, geld=FATIMA).lines == []
    assert len(own(world, geld=JAN).lines) == 1


def test_before_the_first_entry_there_is_nothing(world: World) -> None:
    assert own(world, geld=FATIMA) == OwnLines([], "", 0)
    assert world.read(lambda conn: world.log.public(conn, "checkpoint")) is None
    assert world.read(lambda conn: world.log.entries(conn, EntryFilter())) == Page([], None)
    assert world.read(lambda conn: verify_all(conn, world.log)) is None


def test_lines_read_inside_a_batch_lead_to_the_checkpoint_before_it(world: World) -> None:
    world.look(FATIMA)
    with world.engine.begin() as conn:
        world.log.begin(conn, NOW)
        world.log.append(world.draft([FATIMA], world.statement(t="log_view", role="burger")))
        found = world.log.lines_of(conn, {"geld": [FATIMA]})
        world.log.flush(conn, NOW)
    world.log.committed()
    assert checked(found.checkpoint).size == 2
    assert [line.index for line in found.lines] == [1]


def test_erased_lines_are_counted_and_not_shown(world: World) -> None:
    world.look(FATIMA)
    world.look(FATIMA)
    with world.engine.begin() as conn:
        conn.exec_driver_sql('UPDATE entry SET sealed = NULL WHERE "index" = 1')
    found = own(world, geld=FATIMA)
    assert (len(found.lines), found.erased) == (1, 1)


def test_lines_under_a_destroyed_key_cannot_be_read_and_all_proofs_still_hold(world: World) -> None:
    world.look(FATIMA)
    receipt, _ = world.look(JAN)
    world.keys.destroy(7)
    assert own(world, geld=FATIMA).erased == 1
    assert "index 2\n" in receipt.proof
    assert world.read(world.log.head).size == 3


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM handle WHERE n = 1",
        "UPDATE handle SET pointer = zeroblob(8) WHERE n = 2",
        'DELETE FROM entry WHERE "index" = 2',
        'UPDATE entry SET sealed = (SELECT sealed FROM entry WHERE "index" = 1) WHERE "index" = 2',
    ],
)
def test_a_chain_that_was_tampered_with_is_not_shown_as_whole(world: World, statement: str) -> None:
    world.look(FATIMA)
    world.look(FATIMA)
    world.tamper(statement)
    with pytest.raises(LogInconsistent):
        own(world, geld=FATIMA)


@pytest.mark.parametrize("leads_to", [2, 3])
def test_a_pointer_to_another_line_is_noticed(world: World, leads_to: int) -> None:
    """With the year's key one can make a pointer that leads to a real line; the line does not say so."""
    for lid in (FATIMA, FATIMA, JAN):
        world.look(lid)
    secret, chain = world.keys.log_key(2026), handle(2026, FATIMA)
    masked, key = fmt.pointer(secret, chain, 1, leads_to), fmt.handle_key(secret, chain)
    where = f"WHERE n = 1 AND key = x'{key.hex()}'"
    world.tamper(" ".join(("UPDATE handle SET", f"pointer = x'{masked.hex()}'", where)))
    with pytest.raises(LogInconsistent):
        own(world, geld=FATIMA)
    assert not world.verify().holds


# --- the officer ---------------------------------------------------------------------


def officer(world: World, **wanted: object) -> Page:
    page = world.read(lambda conn: world.log.entries(conn, EntryFilter(**wanted)))  # type: ignore[arg-type]
    assert isinstance(page, Page)
    return page


def test_an_officer_filters_by_organisation_role_purpose_and_activity(world: World) -> None:
    world.record(
        [
            world.draft([FATIMA], world.statement(org="0" * 20, purpose="crisis")),
            world.draft([FATIMA], world.statement(role="schuldhulpverlener")),
            world.draft([JAN], world.statement(t="publish", role="bron", purpose=""), dec=b""),
            world.draft([JAN]),
        ]
    )
    assert [e.index for e in officer(world).entries] == [4, 3, 2, 1, 0]
    assert [e.index for e in officer(world, organisation="0" * 20).entries] == [1]
    assert [e.index for e in officer(world, role="schuldhulpverlener").entries] == [2]
    assert [e.index for e in officer(world, purpose="huisbezoek").entries] == [4, 2]
    assert [e.index for e in officer(world, t="publish").entries] == [3]
    assert officer(world, t="publish", purpose="crisis").entries == []
    [entry] = officer(world, t="publish").entries
    assert entry.dec == b""
    assert officer(world, t="lookup").entries[0].dec[:32] == b"\x05" * 32


def test_an_officer_gets_the_entries_of_one_day(world: World) -> None:
    for day in range(4):
        at = NOW + timedelta(days=day)
        world.record([world.draft([FATIMA], now=at) for _ in range(day + 1)], now=at)
    assert [e.index for e in officer(world, day=date(2026, 11, 24)).entries] == [6, 5, 4]
    assert len(officer(world, day=date(2026, 11, 22)).entries) == 2
    assert officer(world, day=date(2026, 11, 21)).entries == []
    assert officer(world, day=date(2026, 12, 1)).entries == []
    assert officer(world, day=date(2025, 11, 22)).entries == []


def test_the_days_edges_are_midnight_in_the_netherlands(world: World) -> None:
    for text in ("2026-11-22T22:59:59", "2026-11-22T23:00:00", "2026-11-23T22:59:59", "2026-11-23T23:00:00"):
        at = datetime.fromisoformat(text + "+00:00")
        world.record([world.draft([FATIMA], now=at)], now=at)
    times = [entry.asker.ts / 1000 for entry in officer(world, day=date(2026, 11, 23)).entries[:2]]
    assert [datetime.fromtimestamp(ts, UTC).strftime("%d %H") for ts in times] == ["23 22", "22 23"]
    assert len(officer(world, day=date(2026, 11, 24)).entries) == 1


def test_new_years_day_lies_in_two_logs_and_is_one_list(world: World) -> None:
    """The log's year is UTC: the first hour of the Dutch year stands in the log of the year before."""
    for text in (
        "2026-12-31T22:30",  # still the old year for everybody
        "2026-12-31T23:30",  # half past midnight in Amsterdam, and the log of 2026
        "2027-01-01T09:00",
        "2027-01-01T23:30",  # the second of January
    ):
        at = datetime.fromisoformat(text + ":00+00:00")
        world.record([world.draft([FATIMA], now=at)], now=at)

    first = officer(world, day=date(2027, 1, 1), t="lookup")

    assert [e.year for e in first.entries] == [2027, 2026]
    assert [e.year for e in officer(world, day=date(2026, 12, 31), t="lookup").entries] == [2026]
    assert [e.year for e in officer(world, day=date(2027, 1, 2), t="lookup").entries] == [2027]
    every = officer(world, t="lookup")
    assert [e.year for e in every.entries] == [2027, 2027, 2026, 2026]
    paged: list[tuple[int, int]] = []
    page = officer(world, t="lookup", limit=1)
    while page.entries:
        paged += [(e.year, e.index) for e in page.entries]
        page = officer(world, t="lookup", limit=1, before=page.next) if page.next else Page([], None)
    assert paged == [(e.year, e.index) for e in every.entries]


def test_pages_follow_each_other_without_gap_or_repeat(world: World) -> None:
    world.record([world.draft([FATIMA], world.statement(role="generalist")) for _ in range(23)])
    seen: list[int] = []
    before = None
    while True:
        page = officer(world, role="generalist", before=before, limit=5, scan=7)
        seen += [entry.index for entry in page.entries]
        before = page.next
        if before is None:
            break
    assert seen == list(range(23, 0, -1))


def test_an_officers_entry_names_no_number_of_anybodys_chain(world: World) -> None:
    world.look(FATIMA)
    [entry, _] = officer(world).entries
    assert not hasattr(entry, "chain")
    assert not hasattr(entry, "subj")


# --- mirrors -------------------------------------------------------------------------


def test_a_mirror_rebuilds_the_root_from_entry_tiles(world: World) -> None:
    for _ in range(5):
        world.record([world.draft([FATIMA]) for _ in range(64)])
    body, fixed = world.read(lambda conn: world.log.public(conn, "checkpoint"))
    head = checked(body.decode())
    assert not fixed
    leaves: list[bytes] = []
    for path in ("2026/tile/entries/000", "2026/tile/entries/001.p/65"):
        raw, fixed = world.read(lambda conn, path=path: world.log.public(conn, path))
        assert fixed
        assert len(raw) % 35 == 0
        for at in range(0, len(raw), 35):
            assert raw[at : at + 2] == b"\0\x21"
            leaves.append(raw[at + 2 : at + 35])
    mirror = Kept(leaves)
    assert (len(leaves), mirror.roots[-1]) == (head.size, head.root)
    hashes, _ = world.read(lambda conn: world.log.public(conn, "tile/0/000"))
    assert hashes == b"".join(leaf_hash(leaf) for leaf in leaves[:256])
    partial, _ = world.read(lambda conn: world.log.public(conn, "tile/0/001.p/65"))
    assert partial == b"".join(leaf_hash(leaf) for leaf in leaves[256:])
    above, _ = world.read(lambda conn: world.log.public(conn, "tile/1/000.p/1"))
    assert above == mirror.nodes[8, 0]


def test_checkpoints_of_one_log_are_consistent(world: World) -> None:
    heads = []
    for size in (3, 64, 64, 64, 64, 30):
        _, sealed = world.record([world.draft([FATIMA]) for _ in range(size)])
        heads.append(checked(sealed.note))
    newest = heads[-1]
    for head in heads:
        proof = world.read(
            lambda conn, size=head.size: consistency_proof(
                size, newest.size, Tree(conn, 2026, newest.size).node
            )
        )
        assert verify_consistency(head.size, newest.size, proof, head.root, newest.root)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "checkpoint/",
        "tile",
        "tile/0/0",
        "tile/0/0000",
        "tile/0/x000/000",
        "tile/0/000",
        "tile/0/000.p/4",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/03",
        "tile/64/000.p/1",
        "tile/-1/000.p/1",
        "tile/1/000.p/1",
        "tile/entries/001.p/1",
        "tile/0/000.p/1/",
        "2025/checkpoint",
        "1999/checkpoint",
        "../checkpoint",
        "tile/0/000.p/1\n",
        "tile/0/\u0660\u0660\u0660.p/1",
    ],
)
def test_a_tile_that_is_not_there_or_a_path_of_another_form_gives_nothing(world: World, path: str) -> None:
    world.look(FATIMA)
    world.look(FATIMA)
    assert world.read(lambda conn: world.log.public(conn, "tile/0/000.p/3")) is not None
    assert world.read(lambda conn: world.log.public(conn, path)) is None


@pytest.mark.parametrize(
    ("number", "path"),
    [(0, "000"), (67, "067"), (1234067, "x001/x234/067"), (1000, "x001/000"), (999, "999")],
)
def test_tile_numbers_are_written_in_groups_of_three(number: int, path: str) -> None:
    assert number_path(number) == path
    assert parse_path(f"entries/{path}") == (None, number, None)
    assert parse_path(f"2/{path}.p/7") == (2, number, 7)


# --- does it hold? -------------------------------------------------------------------


def grown(world: World) -> None:
    for _ in range(5):
        world.record([world.draft([FATIMA, JAN]) for _ in range(60)])


def test_an_honest_log_holds_and_tells_up_to_when(world: World) -> None:
    grown(world)
    status = world.verify()
    assert status.holds
    assert (status.size, status.opened, status.erased, status.last) == (301, 301, 0, NOW)


TAMPERING = {
    "leaf": 'UPDATE entry SET leaf = zeroblob(33) WHERE "index" = 17',
    "sealed": 'UPDATE entry SET sealed = zeroblob(2048) WHERE "index" = 17',
    "swapped": 'UPDATE entry SET sealed = (SELECT sealed FROM entry WHERE "index" = 18) WHERE "index" = 17',
    "gone": 'DELETE FROM entry WHERE "index" = 17',
    "last gone": 'DELETE FROM entry WHERE "index" = 300',
    "nulled": 'UPDATE entry SET sealed = NULL WHERE "index" = 17',
    "added": 'INSERT INTO entry SELECT year, 301, leaf, sealed FROM entry WHERE "index" = 17',
    "line gone": "DELETE FROM handle WHERE n = 17",
    "line added": "INSERT INTO handle SELECT key, 301, pointer FROM handle WHERE n = 17",
    "line moved": "UPDATE handle SET pointer = zeroblob(8) WHERE n = 17",
    "tile": "UPDATE tile SET hashes = zeroblob(8192)",
    "tile gone": "DELETE FROM tile",
    "root": "UPDATE tree SET signed_root = zeroblob(32)",
    "size": "UPDATE tree SET signed_size = 300",
}


@pytest.mark.parametrize("what", TAMPERING)
def test_tampering_with_a_row_is_found(world: World, what: str) -> None:
    grown(world)
    world.tamper(TAMPERING[what])
    status = world.verify()
    assert not status.holds
    assert all(part not in text for text in status.problems for part in ("huisbezoek", FATIMA.hex()))


def test_a_statement_that_its_node_did_not_sign_is_found(world: World) -> None:
    signed = world.statement()
    world.record([world.draft([FATIMA], signed, signature=bytes(64))])
    assert world.verify().problems == ("entry 1 does not bear its node's signature",)


def test_a_line_that_was_suppressed_and_its_number_given_again_is_found(world: World) -> None:
    world.look(FATIMA)
    world.look(FATIMA)
    world.tamper("DELETE FROM handle WHERE n = 2")
    world.look(FATIMA, log=world.process())
    assert "entry 3 does not follow the line before it in a chain" in world.verify().problems


def test_without_the_nodes_keys_signatures_are_left_to_others(world: World) -> None:
    world.record([world.draft([FATIMA], signature=bytes(64))])
    status = world.read(lambda conn: verify_all(conn, world.log))
    assert status.holds


def test_a_changed_line_that_was_resealed_with_the_hubs_own_keys_is_found(world: World) -> None:
    """An operator with every key rewrites an entry: leaf and root no longer meet."""
    world.look(FATIMA)
    world.look(JAN)
    [(_, entry)] = world.read(lambda conn: list(world.log.opened(conn, 2026, 1, 2)))
    asker = entry.asker.replace(b"huisbezoek", b"crisis")
    changed = fmt.Opened(entry.salt, entry.salt_a, entry.salt_b, asker, entry.chain)
    aad = fmt.seal_aad(origin_of(world.log.prefix, 2026), 1)
    sealed = _seal(world.keys.current("log", NOW), aad, bytes(24), fmt.plain_of(changed, "lookup"))
    row = f"sealed = x'{sealed.hex()}', leaf = x'{changed.leaf().hex()}'"
    world.tamper(" ".join(("UPDATE entry SET", row, 'WHERE "index" = 1')))
    problems = world.verify().problems
    assert any("root" in text for text in problems)
