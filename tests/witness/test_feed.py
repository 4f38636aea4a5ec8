"""The hub's feed: what it stores, what it says, and what makes it sign nothing more."""

import threading
import time
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select, text

from index.accesslog import tables
from index.accesslog.errors import LogInconsistent
from index.accesslog.lasthead import HeadFile
from index.protocol.addcheckpoint import SIZE_MEDIA, parse_request, request_bytes
from index.protocol.note import parse_checkpoint, parse_note
from index.protocol.tlogpolicy import Confirmed
from tests.log.world import NOW

from .test_witness import fork
from .world import LID, Ring

OTHER = b"\x0c" * 16


def published(ring: Ring) -> tuple[int, Confirmed]:
    """Size and confirmation of what `/v1/log/<year>/checkpoint` gives."""
    found = ring.read(lambda conn: ring.reader.public(conn, f"{NOW.year}/checkpoint"))
    assert found is not None
    note = parse_note(found[0])
    return parse_checkpoint(note.text).size, ring.policy.confirmed(note)


def stored(ring: Ring) -> int:
    return int(
        ring.read(lambda conn: conn.execute(select(func.count()).select_from(tables.cosignature)).scalar())
    )


def test_the_checkpoint_is_served_with_the_cosignatures_of_all(ring: Ring) -> None:
    head = ring.grows(5)
    ring.feed().once()
    size, confirmed = published(ring)
    assert (size, confirmed.quorum, len(confirmed.times)) == (head.size, True, 4)


def test_what_is_served_is_the_newest_confirmed_one_and_older_cosignatures_go(ring: Ring) -> None:
    feed = ring.feed()
    first = ring.grows(5)
    feed.once()
    ring.grows(5)
    assert published(ring)[0] == first.size
    feed.once()
    assert published(ring) == (ring.head().size, ring.policy.confirmed_by(published(ring)[1].times))
    assert stored(ring) == 4


def test_three_of_four_are_a_quorum_and_two_are_not(ring: Ring) -> None:
    def away(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("away")

    head = ring.grows(5)
    ring.instead = {"w1": away, "w2": away}
    feed = ring.feed()
    feed.once()
    size, confirmed = published(ring)
    assert (size, confirmed.quorum, len(confirmed.times)) == (head.size, False, 2)
    del ring.instead["w2"]
    feed.once()
    assert published(ring)[1].quorum


BAD = {
    "garbage": lambda _: httpx.Response(200, text="no signature\n"),
    "of another key": lambda _: httpx.Response(200, text="— w9.test/witness AAAAAAAAAAA=\n"),
    "binary": lambda _: httpx.Response(200, content=b"\xff\xfe"),
    "endless": lambda _: httpx.Response(200, content=b"a" * 1_000_000),
    "409 without a size": lambda _: httpx.Response(409, text="yes\n"),
    "409 with the size that was offered": lambda request: httpx.Response(
        409, text=f"{parse_request(request.content).old}\n", headers={"content-type": SIZE_MEDIA}
    ),
    "500": lambda _: httpx.Response(500),
    "404": lambda _: httpx.Response(404),
    "redirect": lambda _: httpx.Response(302, headers={"location": "https://w2.test/v1/witness/add-checkpoint"}),
    "never": lambda request: (_ for _ in ()).throw(httpx.ReadTimeout("never", request=request)),
}  # fmt: skip


@pytest.mark.parametrize("how", [name for name in BAD if not name.startswith("409 with the")])
def test_a_bad_witness_is_not_counted_and_stops_nothing(ring: Ring, how: str) -> None:
    ring.grows(5)
    ring.instead = {"w1": BAD[how]}
    feed = ring.feed()
    feed.once()
    _, confirmed = published(ring)
    assert confirmed.quorum
    assert sorted(confirmed.times) == ["w2", "w3", "w4"]
    assert ring.log.refusal == ""
    ring.grows(1)


def test_a_cosignature_over_another_checkpoint_is_not_stored(ring: Ring) -> None:
    ring.grows(5)
    kept: list[httpx.Response] = []

    def replays(request: httpx.Request) -> httpx.Response:
        if not kept:
            said = ring.witness("w1").add_checkpoint(request.content)
            kept.append(httpx.Response(said.status, text=said.body))
        return httpx.Response(200, content=kept[0].content)

    ring.instead = {"w1": replays}
    feed = ring.feed()
    feed.once()
    assert len(published(ring)[1].times) == 4
    ring.grows(5)
    feed.once()
    assert sorted(published(ring)[1].times) == ["w2", "w3", "w4"]


def test_rows_somebody_wrote_into_the_table_confirm_nothing_and_are_never_signed(ring: Ring) -> None:
    ring.grows(5)
    ring.feed().once()
    with ring.engine.begin() as conn:
        conn.execute(text("UPDATE cosignature SET size = 400, root = zeroblob(32)"))
    size, confirmed = published(ring)
    assert (size, confirmed.times) == (ring.head().size, {})


def test_a_slow_witness_holds_up_neither_answers_nor_the_others(ring: Ring) -> None:
    hang = threading.Event()

    def slow(request: httpx.Request) -> httpx.Response:
        hang.wait(30)
        return httpx.Response(500)

    ring.instead = {"w1": slow}
    feed = ring.feed(first_s=0.2)
    ring.grows(5)
    feed.start()
    try:
        feed.before_signing()
        ring.grows(5)
        for _ in range(100):
            if published(ring)[1].quorum:
                break
            time.sleep(0.1)
        assert sorted(published(ring)[1].times) == ["w2", "w3", "w4"]
        assert ring.log.refusal == ""
    finally:
        hang.set()
        feed.stop()


# --- a database that was put back -----------------------------------------------------------


def test_yesterdays_database_is_not_signed_on_and_the_reason_is_said(ring: Ring) -> None:
    ring.grows(5)
    yesterday = ring.backup()
    ring.grows(5)
    ring.feed().once()
    ring.restore(yesterday)
    ring.feed().once()
    assert "has cosigned 11 entries of 2026, this database has 6" in ring.log.refusal
    with pytest.raises(LogInconsistent, match="restored backup"):
        ring.grows(1)


def test_an_emptied_database_is_not_signed_on(ring: Ring) -> None:
    empty = ring.backup()
    ring.grows(5)
    ring.feed().once()
    ring.restore(empty)
    ring.feed().once()
    with pytest.raises(LogInconsistent, match="this database has 0"):
        ring.grows(1)


def test_a_database_put_back_and_grown_past_the_witnesses_is_found_by_them(ring: Ring) -> None:
    ring.grows(5)
    yesterday = ring.backup()
    ring.grows(5)
    ring.feed().once()
    ring.restore(yesterday)
    ring.grows(20)
    ring.feed().once()
    with pytest.raises(LogInconsistent, match="another history of 11 entries"):
        ring.grows(1)
    assert all(ring.witness(name).refused() for name in ring.seeds)


def test_a_witness_away_at_the_start_is_believed_when_it_comes(ring: Ring) -> None:
    ring.grows(5)
    yesterday = ring.backup()
    ring.grows(5)
    ring.feed().once()
    ring.restore(yesterday)
    away = dict.fromkeys(ring.seeds, BAD["never"])
    ring.instead = dict(away)
    feed = ring.feed()
    feed.once()
    ring.grows(1)
    del ring.instead["w3"]
    feed.once()
    with pytest.raises(LogInconsistent, match="w3"):
        ring.grows(1)


def test_the_first_batch_waits_for_the_witnesses_and_not_for_ever(ring: Ring) -> None:
    ring.grows(5)
    yesterday = ring.backup()
    ring.grows(5)
    ring.feed().once()
    ring.restore(yesterday)
    feed = ring.feed(first_s=30.0)
    feed.start()
    try:
        feed.before_signing()
        with pytest.raises(LogInconsistent, match="restored backup"):
            ring.grows(1)
    finally:
        feed.stop()


def test_the_head_kept_outside_the_database_refuses_without_any_witness(ring: Ring, tmp_path: Path) -> None:
    keeper = HeadFile(tmp_path / "last-head")
    ring.restart(keeper)
    ring.grows(5)
    yesterday = ring.backup()
    ring.grows(5)
    ring.restore(yesterday)
    log = ring.restart(keeper)
    with pytest.raises(LogInconsistent, match="restored backup"):
        ring.read(log.check_stored)
    with pytest.raises(LogInconsistent, match="restored backup"):
        ring.grows(1)


def test_a_later_difference_of_a_witness_that_agreed_is_an_alarm_and_stops_nothing(ring: Ring) -> None:
    ring.grows(5)
    feed = ring.feed()
    feed.once()
    ring.grows(1)
    ring.instead = {"w1": lambda _: httpx.Response(409, text="99999\n", headers={"content-type": SIZE_MEDIA})}
    feed.once()
    assert ring.log.refusal == ""
    standing = feed.standing()
    assert standing is not None
    assert standing.witnesses["w1"] == "behind"


def test_a_second_hub_process_that_showed_more_is_no_restored_backup(ring: Ring) -> None:
    ring.grows(5)
    feed = ring.feed()
    feed.tick()
    head = feed._heads[0]
    ring.grows(5)
    ring.feed().once()
    with feed._client() as client:
        said = [feed.offer(courier, head, client)[0] for courier in feed._couriers]
    assert said == ["again"] * 4


def test_a_split_view_is_found_whichever_half_of_the_witnesses_saw_it(ring: Ring) -> None:
    """The hub shows one history to two witnesses and another to the other two."""
    head = ring.grows(5)
    other = fork(ring, head.size)
    for name in ("w1", "w2"):
        assert ring.witness(name).add_checkpoint(request_bytes(0, [], other)).status == 200
    ring.feed().once()
    assert "another history" in ring.log.refusal
    assert not published(ring)[1].quorum


# --- time -----------------------------------------------------------------------------------


def test_without_a_quorum_come_alarm_and_banner_and_refusal_only_where_it_is_set(ring: Ring) -> None:
    ring.grows(5)
    feed = ring.feed()
    strict = ring.feed(refuse_after=timedelta(hours=24))
    feed.once()
    strict.once()
    states = []
    for hours in (0.1, 0.1, 4, 21):
        ring.later(hours=hours)
        standing = feed.standing()
        assert standing is not None
        states.append((standing.state, standing.banner, feed.refuses(), strict.refuses()))
    assert states == [
        ("good", False, False, False),
        ("alert", False, False, False),
        ("banner", True, False, False),
        ("banner", True, False, True),
    ]
    feed.once()
    strict.once()
    standing = feed.standing()
    assert standing is not None
    assert (standing.state, strict.refuses()) == ("banner", True)


def test_last_years_log_is_offered_until_its_end_is_confirmed(ring: Ring) -> None:
    ring.grows(5)
    ring.feed().once()
    ring.record([ring.draft([LID])])
    ring.now = NOW.replace(year=2027, month=1, day=1)
    ring.record([ring.draft([OTHER], now=ring.now)], now=ring.now)
    feed = ring.feed()
    feed.once()
    for year, size in ((2026, 7), (2027, 2)):
        found = ring.read(lambda conn, year=year: ring.reader.confirmed(conn, year))
        assert found is not None
        assert (found.size, len(found.confirmed.times)) == (size, 4)
    feed.tick()
    assert [head.year for head in feed._heads] == [2027]
