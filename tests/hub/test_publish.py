"""Publications and retractions: each item on its own, per flag the latest wins, a retraction stays."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
import pytest

from index.protocol.codec import b64u
from index.protocol.messages import ChangeReceipt, OwnLogAnswer
from index.protocol.receipt import verify_change_receipt
from index.publish import MARKER_LIFE, NO_END_WEEK, expires_week, retention_end
from index.rows import OPEN_END, digest_term, month_number, rtag_of
from tests.hub.acting import Acting, decoded, outcomes, problem, results
from tests.hub.world import HUB_ID, VOCABULARY, point


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, module_database: dict[str, str]) -> Iterator[Acting]:
    with Acting(tmp_path_factory.mktemp("hub"), **module_database) as acting:
        yield acting


# --- publishing ---------------------------------------------------------------------


def test_a_published_flag_is_seen_by_who_may_see_it(hub: Acting) -> None:
    person = hub.somebody()
    hub.allow_everything(person)

    assert outcomes(hub.publish(hub.bron, hub.flag(person, "schuldhulp"))) == ["stored"]

    assert hub.sees(hub.visit(person)) == [{"schuldhulp"}]


def test_every_item_of_a_batch_has_its_own_result_when_some_are_bad(hub: Acting) -> None:
    person = hub.somebody()
    flags = [
        hub.flag(person, "bijstand"),
        hub.flag(person, "geen_soort"),
        hub.flag(person, "schuldhulp"),
        hub.flag(person, "minima", since="2025-05", until="2025-04"),
        hub.flag(person, "vir"),
        hub.flag(person, "zelf_gemeld_werk"),
        hub.flag(person, "ww"),
    ]

    found = outcomes(hub.publish(hub.inkomen, *flags))

    assert found == [
        "stored",
        "refused:unknown-kind",
        "refused:kind-not-registered",
        "refused:until-before-since",
        "refused:kind-switched-off",
        "refused:kind-not-registered",
        "stored",
    ]


def test_a_flag_far_in_the_future_is_refused(hub: Acting) -> None:
    now = hub.world.clock()
    next_month = month_number(f"{now:%Y-%m}") + 1
    text = f"{2000 + next_month // 12}-{next_month % 12 + 1:02d}"
    later = next_month + 1
    too_late = f"{2000 + later // 12}-{later % 12 + 1:02d}"
    person = hub.somebody()

    found = hub.publish(
        hub.bron,
        hub.flag(person, "schuldhulp", since=text),
        hub.flag(person, "schuldhulp", since=too_late),
        hub.flag(person, "schuldhulp", until=f"{now.year + 30}-{now.month:02d}"),
        hub.flag(person, "schuldhulp", until=f"{now.year + 31}-01"),
    )

    assert outcomes(found) == ["stored", "refused:since-far-future", "stored", "refused:until-far-future"]


def test_the_latest_message_about_a_flag_wins_whatever_order_they_come_in(hub: Acting) -> None:
    flag = hub.flag(hub.somebody(), "schuldhulp")
    seqs = [hub.next_seq() for _ in range(3)]

    first = hub.publish(hub.bron, flag, seqs=[seqs[1]])
    late = hub.publish(hub.bron, flag, seqs=[seqs[0]])
    again = hub.publish(hub.bron, flag, seqs=[seqs[1]])
    newer = hub.publish(hub.bron, flag, seqs=[seqs[2]])

    assert [outcomes(one) for one in (first, late, again, newer)] == [
        ["stored"],
        ["stale"],
        ["stale"],
        ["stored"],
    ]


def test_two_versions_of_one_flag_in_one_message_leave_the_later_one(hub: Acting) -> None:
    person = hub.somebody()
    flag = hub.flag(person, "schuldhulp")
    before = hub.count("flag")

    found = hub.publish(hub.bron, flag, flag)

    assert outcomes(found) == ["stored", "stored"]
    assert hub.count("flag") == before + 1


def test_two_publishers_at_once_give_one_flag_each(hub: Acting) -> None:
    """A check and then an insert raced there, and ended as 500."""
    person = hub.somebody()
    flag = hub.flag(person, "ww")
    before = hub.count("flag")

    async def send(seq: int) -> str:
        msg = str(uuid.uuid4())
        body = hub.publication(hub.inkomen, [flag], [seq], msg)
        sent = await hub.inkomen.send("/v1/publications", body, "publish", msg=msg, role="bron")
        return outcomes(results(sent))[0]

    found = hub.together(*(send(hub.next_seq()) for _ in range(20)))

    assert set(found) <= {"stored", "stale"}
    assert "stored" in found
    assert hub.count("flag") == before + 1


def test_a_flag_does_not_walk_to_another_person(hub: Acting) -> None:
    flag = hub.flag(hub.somebody(), "schuldhulp")
    hub.publish(hub.bron, flag)
    other = type(flag)(hub.somebody(), flag.kind, flag.scope, flag.secret)

    assert outcomes(hub.publish(hub.bron, other)) == ["refused:other-person"]


def test_points_of_another_manifest_version_are_refused_as_stale(hub: Acting) -> None:
    flag = hub.flag(hub.somebody(), "schuldhulp")
    before = hub.everything_stored()

    sent = hub.try_to_publish(hub.bron, flag, version=2)

    assert problem(sent.response) == (409, "stale-points", [])
    assert hub.everything_stored() == before


@pytest.mark.parametrize("points", [0, 2])
def test_another_number_of_points_than_items_stores_nothing(hub: Acting, points: int) -> None:
    flag, msg = hub.flag(hub.somebody(), "schuldhulp"), str(uuid.uuid4())
    sealed = hub.world.sealed("bron", msg, [point(flag.person, "geld")] * points)
    before = hub.everything_stored()

    sent = hub.try_to_publish(hub.bron, flag, msg=msg, points=sealed)

    assert problem(sent.response) == (400, "points-refused", [])
    assert hub.everything_stored() == before


@pytest.mark.parametrize("bad", [bytes(32), b"\xff" * 32, b"\x01" + bytes(31)])
def test_a_point_that_is_no_element_writes_no_row(hub: Acting, bad: bytes) -> None:
    flag, msg = hub.flag(hub.somebody(), "schuldhulp"), str(uuid.uuid4())
    before = hub.everything_stored()

    sent = hub.try_to_publish(hub.bron, flag, msg=msg, points=hub.world.sealed("bron", msg, [bad]))

    assert problem(sent.response) == (400, "points-refused", [])
    assert hub.everything_stored() == before


def test_a_copied_box_of_another_message_stores_nothing(hub: Acting) -> None:
    flag = hub.flag(hub.somebody(), "schuldhulp")
    copied = hub.world.sealed("bron", str(uuid.uuid4()), [point(flag.person, "geld")])

    sent = hub.try_to_publish(hub.bron, flag, points=copied)

    assert problem(sent.response) == (400, "points-refused", [])


def test_two_items_with_one_number_are_refused_as_a_whole(hub: Acting) -> None:
    flags = [hub.flag(hub.somebody(), "schuldhulp") for _ in range(2)]
    seq = hub.next_seq()

    sent = hub.try_to_publish(hub.bron, *flags, seqs=[seq, seq])

    assert problem(sent.response) == (400, "rejected", ["seq-twice"])


def test_an_expired_flag_is_stored_and_not_shown(hub: Acting) -> None:
    person = hub.somebody()
    hub.allow_everything(person)

    found = hub.publish(hub.inkomen, hub.flag(person, "bijstand", since="2020-01", until="2020-02"))

    assert outcomes(found) == ["stored"]
    assert hub.sees(hub.visit(person)) == [set()]


def test_retention_counts_from_the_end_of_the_last_month() -> None:
    schuldhulp = VOCABULARY.kind("schuldhulp")
    until = month_number("2025-02")

    assert retention_end(schuldhulp, until) == datetime(2025, 5, 30, tzinfo=UTC)
    assert retention_end(schuldhulp, OPEN_END) is None
    assert expires_week(schuldhulp, OPEN_END) == NO_END_WEEK


# --- the same message again ---------------------------------------------------------


def test_the_same_message_gets_the_same_receipt_and_has_one_effect(hub: Acting) -> None:
    flag, msg = hub.flag(hub.somebody(), "schuldhulp"), str(uuid.uuid4())
    body = msgspec.json.encode(hub.publication(hub.bron, [flag], [hub.next_seq()], msg))

    def send() -> bytes:
        sent = hub.run(hub.bron.send("/v1/publications", body, "publish", msg=msg, role="bron"))
        assert sent.response.status_code == 200
        return sent.response.content

    first, stored = send(), hub.everything_stored()

    assert send() == first
    assert hub.everything_stored() == stored


def test_the_same_message_twice_at_once_has_one_effect(hub: Acting) -> None:
    flag, msg = hub.flag(hub.somebody(), "schuldhulp"), str(uuid.uuid4())
    body = msgspec.json.encode(hub.publication(hub.bron, [flag], [hub.next_seq()], msg))

    async def send() -> bytes:
        sent = await hub.bron.send("/v1/publications", body, "publish", msg=msg, role="bron")
        return sent.response.content

    answers = hub.together(*(send() for _ in range(8)))

    assert len(set(answers)) == 1
    assert msgspec.json.decode(answers[0], type=ChangeReceipt).results[0].outcome == "stored"


def test_the_same_message_with_another_body_is_refused(hub: Acting) -> None:
    msg = str(uuid.uuid4())
    hub.try_to_publish(hub.bron, hub.flag(hub.somebody(), "schuldhulp"), msg=msg)

    sent = hub.try_to_publish(hub.bron, hub.flag(hub.somebody(), "schuldhulp"), msg=msg)

    assert problem(sent.response) == (422, "message-conflict", [])


def test_a_receipt_verifies_and_its_entry_stands_in_the_persons_chain(hub: Acting) -> None:
    flag = hub.flag(hub.somebody(), "schuldhulp")

    sent = hub.try_to_publish(hub.bron, flag)
    answer = decoded(sent, ChangeReceipt)

    said = sent.signed.statement
    claims = verify_change_receipt(
        answer.receipt,
        hub_key=bytes(hub.world.keystore.receipt_signing.verify_key),
        hub_id=HUB_ID,
        node="bron",
        message_id=said.msg,
        t="publish",
        body_digest=said.body,
        results=answer.results,
        now=hub.world.clock(),
    )
    assert claims.counts["stored"] == 1
    hub.world.check(answer.log[0], sent, hub.lids(flag.person, ["geld"]))


def test_receipts_have_one_shape_whether_anything_existed_or_not(hub: Acting) -> None:
    """What a source learns may not depend on other sources, on choices, or on the person."""
    known, unknown = hub.somebody(), hub.somebody()
    hub.publish(hub.inkomen, hub.flag(known, "bijstand"), hub.flag(known, "minima"))
    hub.allow_everything(known)

    answers = [hub.try_to_publish(hub.bron, hub.flag(who, "schuldhulp")) for who in (known, unknown)]
    shapes = [
        (sent.response.status_code, outcomes(results(sent)), set(sent.response.headers)) for sent in answers
    ]

    assert shapes[0] == shapes[1]


# --- retracting ---------------------------------------------------------------------


def test_a_retracted_flag_is_gone_at_the_next_question(hub: Acting) -> None:
    person = hub.somebody()
    hub.allow_everything(person)
    flag = hub.flag(person, "schuldhulp")
    hub.publish(hub.bron, flag)
    visit = hub.visit(person)
    assert hub.sees(visit) == [{"schuldhulp"}]

    assert outcomes(hub.retract(hub.bron, flag.secret)) == ["removed"]

    assert hub.sees(visit) == [set()]


def test_retracting_twice_says_that_nothing_was_there(hub: Acting) -> None:
    flag = hub.flag(hub.somebody(), "schuldhulp")
    hub.publish(hub.bron, flag)

    assert outcomes(hub.retract(hub.bron, flag.secret)) == ["removed"]
    assert outcomes(hub.retract(hub.bron, flag.secret)) == ["absent"]


def test_a_retraction_of_something_unknown_leaves_a_marker_and_nothing_else(hub: Acting) -> None:
    before = hub.everything_stored()

    assert outcomes(hub.retract(hub.bron, bytes(range(32)))) == ["absent"]

    after = hub.everything_stored()
    assert len(after["marker"]) == len(before["marker"]) + 1
    assert {name: rows for name, rows in after.items() if name != "marker"} == {
        name: rows for name, rows in before.items() if name != "marker"
    }


def test_markers_outlive_every_message_on_its_way(hub: Acting) -> None:
    secret = b"m" * 32
    hub.retract(hub.bron, secret)
    row = next(row for row in hub.everything_stored()["marker"] if row[1] == rtag_of(secret))

    assert row[3] >= hub.world.clock().timestamp() + MARKER_LIFE.total_seconds() - 60
    assert MARKER_LIFE.days == 70


def test_markers_for_unknown_flags_are_limited_per_source_and_day(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with Acting(tmp_path_factory.mktemp("limited")) as limited:
        limited.world.hub.unknown_retractions.per_day = 2

        found = limited.retract(limited.bron, b"1" * 32, b"2" * 32, b"3" * 32)
        other = limited.retract(limited.inkomen, b"4" * 32)
        limited.world.clock.shift(days=1)
        next_day = limited.retract(limited.bron, b"5" * 32)

    assert outcomes(found) == ["absent", "absent", "refused:too-many-unknown"]
    assert outcomes(other) == ["absent"]
    assert outcomes(next_day) == ["absent"]


def test_publishing_and_retracting_stand_in_the_persons_own_log(hub: Acting) -> None:
    """Two spellings of one person kept these lines apart there."""
    person = hub.somebody()
    flag = hub.flag(person, "schuldhulp")
    hub.publish(hub.bron, flag)
    hub.retract(hub.bron, flag.secret)

    lines = hub.own(hub.login(person), "log", OwnLogAnswer).lines

    activities = [msgspec.json.decode(line.asker)["t"] for line in lines if line.scope == "geld"]
    assert activities == ["publish", "retract", "relation", "log_view"]


def test_lines_about_a_kind_with_postponed_notice_wait_for_their_release(hub: Acting) -> None:
    person = hub.somebody()
    flag = hub.flag(person, "veilig_thuis")
    assert outcomes(hub.publish(hub.inkomen, flag)) == ["stored"]
    assert outcomes(hub.retract(hub.inkomen, flag.secret)) == ["removed"]

    lines = hub.own(hub.login(person), "log", OwnLogAnswer).lines

    activities = [msgspec.json.decode(line.asker)["t"] for line in lines if line.scope == "veiligheid"]
    assert activities == ["relation", "log_view"]


# --- digests ------------------------------------------------------------------------


def test_the_digest_is_that_of_the_living_flags_after_every_kind_of_change(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with Acting(tmp_path_factory.mktemp("digest")) as hub:
        flags = [hub.flag(hub.somebody(), "schuldhulp") for _ in range(300)]
        seqs = [hub.next_seq() for _ in flags]
        hub.publish(hub.bron, *flags, seqs=seqs)
        updated = [hub.next_seq() for _ in range(50)]
        hub.publish(hub.bron, *flags[:50], seqs=updated)
        hub.retract(hub.bron, *(flag.secret for flag in flags[40:90]))
        living = {flag.rtag: seq for flag, seq in zip(flags[:40], updated[:40], strict=True)}
        living |= {flag.rtag: seq for flag, seq in zip(flags[90:], seqs[90:], strict=True)}
        rows = hub.everything_stored()["digest"]

    wanted: dict[int, tuple[int, int]] = {}
    for rtag, seq in living.items():
        count, total = wanted.get(rtag[0], (0, 0))
        wanted[rtag[0]] = (count + 1, (total + digest_term(rtag, seq)) % 2**256)
    found = {row[1]: (row[2], int.from_bytes(row[3], "big")) for row in rows}
    assert {bucket: pair for bucket, pair in found.items() if pair[0]} == wanted
    assert all(total == 0 for count, total in found.values() if count == 0)


def test_a_message_of_a_thousand_flags_is_stored_whole(hub: Acting) -> None:
    person, before = hub.somebody(), hub.count("flag")

    found = hub.publish(hub.bron, *(hub.flag(person, "schuldhulp") for _ in range(1000)))

    assert outcomes(found) == ["stored"] * 1000
    assert hub.count("flag") == before + 1000


def test_nothing_about_a_flag_stands_in_clear(hub: Acting) -> None:
    """Kind, source, months and person are inside sealed bytes."""
    person = hub.somebody()
    hub.publish(hub.bron, hub.flag(person, "schuldhulp"))
    stored = repr(hub.everything_stored()["flag"])

    assert "schuldhulp" not in stored
    assert point(person, "geld").hex() not in stored
    assert b64u(point(person, "geld")) not in stored
