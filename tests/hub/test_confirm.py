"""Heartbeats: only what both sides agree on is confirmed; the rest is found flag by flag."""

import uuid
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest

from index.confirm import parts_of
from index.protocol.codec import b64u, unb64u
from index.protocol.messages import ConfirmationAnswer, ReconciliationAnswer, part_of
from index.rows import digest_term
from tests.hub.acting import Acting, Flag, decoded, problem
from tests.hub.world import Node


@pytest.fixture
def hub(tmp_path_factory: pytest.TempPathFactory, database: dict[str, str]) -> Iterator[Acting]:
    with Acting(tmp_path_factory.mktemp("hub"), **database) as acting:
        yield acting


def buckets(living: Mapping[bytes, int]) -> list[dict[str, Any]]:
    """The 256 pairs of a source that holds these (rtag, seq)."""
    totals = [[0, 0] for _ in range(256)]
    for rtag, seq in living.items():
        totals[rtag[0]][0] += 1
        totals[rtag[0]][1] = (totals[rtag[0]][1] + digest_term(rtag, seq)) % 2**256
    return [{"count": count, "sum": b64u(total.to_bytes(32, "big"))} for count, total in totals]


def confirm(hub: Acting, node: Node, living: Mapping[bytes, int], msg: str = "") -> ConfirmationAnswer:
    body = {"buckets": buckets(living)}
    sent = hub.run(node.send("/v1/confirmations", body, "confirm", msg=msg, role="bron"))
    return decoded(sent, ConfirmationAnswer)


def published(hub: Acting, node: Node, person: str, kind: str, count: int = 1) -> dict[bytes, int]:
    """Flags that both sides hold, with their seq."""
    flags = [hub.flag(person, kind) for _ in range(count)]
    seqs = [hub.next_seq() for _ in flags]
    hub.publish(node, *flags, seqs=seqs)
    return {flag.rtag: seq for flag, seq in zip(flags, seqs, strict=True)}


def test_a_flag_disappears_when_its_source_falls_silent_and_returns_when_it_confirms(hub: Acting) -> None:
    person = hub.somebody()
    hub.allow_everything(person)
    living = published(hub, hub.bron, person, "schuldhulp")
    visit = hub.visit(person, until=timedelta(days=80))
    assert hub.sees(visit) == [{"schuldhulp"}]

    hub.world.clock.shift(days=36)
    assert hub.sees(visit) == [set()]

    assert confirm(hub, hub.bron, living).differing == []
    assert hub.sees(visit) == [{"schuldhulp"}]


def test_only_the_buckets_that_agree_are_confirmed(hub: Acting) -> None:
    person = hub.somebody()
    hub.allow_everything(person)
    kept = published(hub, hub.inkomen, person, "bijstand")
    forgotten = published(hub, hub.inkomen, person, "ww")
    while next(iter(kept))[0] == next(iter(forgotten))[0]:
        forgotten = published(hub, hub.inkomen, person, "ww")
    hub.world.clock.shift(days=36)

    answer = confirm(hub, hub.inkomen, kept)

    assert answer.differing == [next(iter(forgotten))[0]]
    assert hub.sees(hub.visit(person)) == [{"bijstand"}]


def test_a_confirmation_touches_no_other_source(hub: Acting) -> None:
    person = hub.somebody()
    published(hub, hub.inkomen, person, "bijstand")
    before = hub.everything_stored()["digest"]
    hub.world.clock.shift(days=1)

    answer = confirm(hub, hub.bron, {})

    assert answer.differing == []
    assert hub.everything_stored()["digest"] == before


def test_a_publication_does_not_confirm_the_other_flags_of_its_bucket(hub: Acting) -> None:
    person = hub.somebody()
    first = hub.flag(person, "schuldhulp")
    hub.publish(hub.bron, first)
    before = hub.everything_stored()["digest"]
    hub.world.clock.shift(days=10)
    neighbour = next(
        flag for _ in range(10_000) if (flag := hub.flag(person, "schuldhulp")).rtag[0] == first.rtag[0]
    )

    hub.publish(hub.bron, neighbour)

    after = hub.everything_stored()["digest"]
    assert [row[2] for row in after] == [2]
    assert [row[4] for row in after] == [row[4] for row in before]


def test_an_empty_bucket_is_confirmed_by_its_first_flag(hub: Acting) -> None:
    person = hub.somebody()
    hub.allow_everything(person)
    flag = hub.flag(person, "schuldhulp")
    hub.publish(hub.bron, flag)
    hub.retract(hub.bron, flag.secret)
    hub.world.clock.shift(days=40)
    again = next(
        new for _ in range(10_000) if (new := hub.flag(person, "schuldhulp")).rtag[0] == flag.rtag[0]
    )

    hub.publish(hub.bron, again)

    assert hub.sees(hub.visit(person)) == [{"schuldhulp"}]


def test_a_confirmation_sent_again_gets_the_same_answer(hub: Acting) -> None:
    msg = str(uuid.uuid4())
    first = confirm(hub, hub.bron, {}, msg)
    hub.world.clock.shift(seconds=30)

    assert confirm(hub, hub.bron, {}, msg) == first


def test_a_sum_that_is_no_number_confirms_nothing(hub: Acting) -> None:
    body = {"buckets": [{"count": 0, "sum": "AAAA"}] * 256}

    sent = hub.run(hub.bron.send("/v1/confirmations", body, "confirm", role="bron"))

    assert problem(sent.response) == (400, "rejected", ["malformed-sum"])
    assert hub.count("heartbeat") == 0


def test_fewer_than_all_buckets_are_refused(hub: Acting) -> None:
    body = {"buckets": buckets({})[:255]}

    sent = hub.run(hub.bron.send("/v1/confirmations", body, "confirm", role="bron"))

    assert sent.response.status_code == 400


# --- reconciliation -----------------------------------------------------------------


def reconcile(hub: Acting, node: Node, bucket: int, held: Mapping[bytes, int]) -> ReconciliationAnswer:
    body = {"bucket": bucket, "held": [{"rtag": b64u(rtag), "seq": seq} for rtag, seq in held.items()]}
    sent = hub.run(node.send("/v1/reconciliations", body, "confirm", role="bron"))
    return decoded(sent, ReconciliationAnswer)


def in_bucket(hub: Acting, bucket: int, count: int) -> list[Flag]:
    """Flags of one person whose tags fall in one bucket."""
    person, found = hub.somebody(), []
    while len(found) < count:
        flag = hub.flag(person, "schuldhulp")
        if flag.rtag[0] == bucket:
            found.append(flag)
    return found


def test_what_misses_and_what_is_too_many_is_named(hub: Acting) -> None:
    both, older, only_hub, only_source = in_bucket(hub, 7, 4)
    hub.publish(hub.bron, both, older, only_hub, seqs=[11, 12, 13])

    answer = reconcile(hub, hub.bron, 7, {both.rtag: 11, older.rtag: 14, only_source.rtag: 15})

    assert answer.missing == sorted(map(b64u, (older.rtag, only_source.rtag)), key=unb64u)
    assert answer.extra == [b64u(only_hub.rtag)]


def test_the_sums_of_the_parts_find_the_part_and_only_its_flags_are_compared(hub: Acting) -> None:
    both, only_hub, only_source = in_bucket(hub, 7, 3)
    hub.publish(hub.bron, both, only_hub, seqs=[11, 12])
    held = {both.rtag: 11, only_source.rtag: 15}
    sums = [{"count": count, "sum": b64u(total)} for count, total in parts_of(held)]

    body = {"bucket": 7, "held": [], "parts": sums}
    sent = hub.run(hub.bron.send("/v1/reconciliations", body, "confirm", role="bron"))
    differing = decoded(sent, ReconciliationAnswer).differing

    assert differing == sorted({part_of(only_hub.rtag), part_of(only_source.rtag)})
    missing, extra = set(), set()
    for part in differing:
        mine = [{"rtag": b64u(rtag), "seq": seq} for rtag, seq in held.items() if part_of(rtag) == part]
        body = {"bucket": 7, "held": mine, "part": part}
        sent = hub.run(hub.bron.send("/v1/reconciliations", body, "confirm", role="bron"))
        answer = decoded(sent, ReconciliationAnswer)
        missing |= set(answer.missing)
        extra |= set(answer.extra)
    assert (missing, extra) == ({b64u(only_source.rtag)}, {b64u(only_hub.rtag)})


def test_parts_go_without_flags_and_a_flag_of_another_part_is_refused(hub: Acting) -> None:
    (flag,) = in_bucket(hub, 7, 1)
    held = [{"rtag": b64u(flag.rtag), "seq": 1}]
    sums = [{"count": 0, "sum": b64u(bytes(32))}] * 64
    for body, code in (
        ({"bucket": 7, "held": held, "parts": sums}, "parts-and-flags"),
        ({"bucket": 7, "held": [], "parts": sums, "part": 3}, "parts-and-flags"),
        ({"bucket": 7, "held": held, "part": (part_of(flag.rtag) + 1) % 64}, "other-bucket"),
        ({"bucket": 7, "held": [], "parts": [{**sums[0], "sum": "x"}] * 64}, "malformed-sum"),
    ):
        sent = hub.run(hub.bron.send("/v1/reconciliations", body, "confirm", role="bron"))
        assert problem(sent.response) == (400, "rejected", [code])


def test_a_source_is_told_nothing_of_another_sources_flags(hub: Acting) -> None:
    (flag,) = in_bucket(hub, 7, 1)
    hub.publish(hub.bron, flag)

    answer = reconcile(hub, hub.inkomen, 7, {flag.rtag: 1})

    assert answer.missing == [b64u(flag.rtag)]
    assert answer.extra == []


def test_a_tag_of_another_bucket_is_refused(hub: Acting) -> None:
    (flag,) = in_bucket(hub, 7, 1)
    body = {"bucket": 8, "held": [{"rtag": b64u(flag.rtag), "seq": 1}]}

    sent = hub.run(hub.bron.send("/v1/reconciliations", body, "confirm", role="bron"))

    assert problem(sent.response) == (400, "rejected", ["other-bucket"])
