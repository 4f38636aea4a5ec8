"""Attack: send an old publication again, or late, so that a retracted flag comes back.

Defence: per flag the highest `seq` wins and a marker beats everything, whatever
the order of arrival, in one batch or in many. Beside each test of the defence
stands one in which it is taken out and the attack succeeds.
"""

import random
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from index.protocol.codec import b64u
from index.protocol.messages import OwnFlagsAnswer
from index.transaction import FlagRow, MarkerRow, Tx
from tests.hub.acting import Acting, Flag, outcomes
from tests.hub.world import Sent

FLAGS = 40


@pytest.fixture
def hub(tmp_path: Path, database: dict[str, str]) -> Iterator[Acting]:
    with Acting(tmp_path, **database) as acting:
        yield acting


def shuffled_life(hub: Acting, seed: int) -> list[Flag]:
    """Publish, update and retract many flags: each message twice, in any order, many at the same moment."""
    order = random.Random(seed)
    flags = [hub.flag(hub.somebody(), "schuldhulp") for _ in range(FLAGS)]
    messages = [
        message for flag in flags for message in ((flag, "publish"), (flag, "publish"), (flag, "retract"))
    ]
    numbered = [(hub.next_seq(), flag, what) for flag, what in messages]
    sends = [*numbered, *numbered]
    order.shuffle(sends)

    async def send(seq: int, flag: Flag, what: str) -> Sent:
        msg = str(uuid.uuid4())
        if what == "publish":
            body = hub.publication(hub.bron, [flag], [seq], msg)
            return await hub.bron.send("/v1/publications", body, what, msg=msg, role="bron")
        retraction = {"items": [{"seq": seq, "secret": b64u(flag.secret)}]}
        return await hub.bron.send("/v1/retractions", retraction, what, msg=msg, role="bron")

    for at in range(0, len(sends), 16):
        sent = hub.together(*(send(*one) for one in sends[at : at + 16]))
        assert {one.response.status_code for one in sent} == {200}
    return flags


@pytest.mark.parametrize("seed", range(5))
def test_a_late_publication_never_revives_a_retracted_flag(hub: Acting, seed: int) -> None:
    flags = shuffled_life(hub, seed)

    assert hub.count("flag") == 0
    assert hub.count("marker") == len(flags)
    assert {(row[2], row[3]) for row in hub.everything_stored()["digest"]} <= {(0, bytes(32))}


def test_without_markers_retracted_flags_come_back(hub: Acting, monkeypatch: pytest.MonkeyPatch) -> None:
    def forgotten(_tx: Tx, _pub_tag: bytes, _rtag: bytes) -> MarkerRow | None:
        return None

    monkeypatch.setattr(Tx, "marker", forgotten)
    shuffled_life(hub, 0)

    assert hub.count("flag") > 0


def test_a_retraction_that_overtakes_its_publication_still_holds(hub: Acting) -> None:
    flag = hub.flag(hub.somebody(), "schuldhulp")
    published, retracted = hub.next_seq(), hub.next_seq()

    assert outcomes(hub.retract(hub.bron, flag.secret, seqs=[retracted])) == ["absent"]
    assert outcomes(hub.publish(hub.bron, flag, seqs=[published])) == ["stale"]
    assert hub.count("flag") == 0


def test_a_revealed_tag_does_not_live_again_under_a_higher_number(hub: Acting) -> None:
    """Whoever saw the secret pass could otherwise retract the new flag."""
    flag = hub.flag(hub.somebody(), "schuldhulp")
    hub.publish(hub.bron, flag)
    hub.retract(hub.bron, flag.secret)

    assert outcomes(hub.publish(hub.bron, flag, seqs=[10**6])) == ["stale"]


@pytest.mark.parametrize("seed", range(3))
def test_the_latest_version_of_a_flag_stays_whatever_arrives_last(hub: Acting, seed: int) -> None:
    assert stored_months(hub, seed) == {"2025-09"}


def test_without_the_guard_on_numbers_an_older_version_wins(
    hub: Acting, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Tx.flag

    def never_newer(tx: Tx, pub_tag: bytes, rtag: bytes) -> FlagRow | None:
        held = plain(tx, pub_tag, rtag)
        return held._replace(seq=0) if held else None

    monkeypatch.setattr(Tx, "flag", never_newer)

    assert stored_months(hub, 0) != {"2025-09"}


def stored_months(hub: Acting, seed: int) -> set[str]:
    """Nine versions of ten flags, shuffled; the `since` that the hub holds in the end."""
    person, order = hub.somebody(), random.Random(seed)
    versions: list[tuple[int, Flag]] = []
    for _ in range(10):
        first = hub.flag(person, "bijstand")
        for month in range(1, 10):
            since = f"2025-{month:02d}"
            versions.append((hub.next_seq(), Flag(person, "bijstand", "geld", first.secret, since)))
    order.shuffle(versions)
    for at in range(0, len(versions), 13):
        part = versions[at : at + 13]
        hub.publish(hub.inkomen, *(flag for _, flag in part), seqs=[seq for seq, _ in part])
    return months_told(hub, person)


def months_told(hub: Acting, person: str) -> set[str]:
    return {flag.since for flag in hub.own(hub.login(person), "flags", OwnFlagsAnswer).flags}
