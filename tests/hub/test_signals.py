"""Signals: told when a publication lets a visit see something new, and for nothing else."""

import secrets
from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select

from index.protocol.codec import b64u, unb64u
from index.protocol.entry import SOMETHING, kinds_shown
from index.protocol.messages import SignalsAnswer
from index.signals import KNOWN_MOST, Signals, Watched, _knows, known_of
from index.store.tables import errand, watch

from .test_lookup import newest
from .world import Node, Sent, Visit, World

pytestmark = pytest.mark.anyio


async def watches(node: Node, visit: Visit, *, wanted: bool = True, name: bytes = b"v" * 16) -> Sent:
    body = {"tickets": visit.tickets, "visit": b64u(name), "wanted": wanted}
    return await node.send("/v1/subscriptions", body, "subscription", **visit.statement())


async def waiting(node: Node, done: list[str] | None = None) -> SignalsAnswer:
    sent = await node.send("/v1/subscriptions/signals", {"done": done or []}, "subscription", role="bron")
    assert sent.response.status_code == 200, sent.response.text
    return msgspec.json.decode(sent.response.content, type=SignalsAnswer)


async def an_hour_later(world: World) -> int:
    world.clock.shift(hours=1)
    return await Signals(world.hub).round()


def notices(world: World) -> list[Any]:
    return [entry for entry in newest(world, 40) if entry.asker.t == "notice"]


async def watched(world: World, persons: tuple[str, ...] = ("Fatima",)) -> Visit:
    """A visit that may see everything of Fatima and is watched for."""
    await world.portaal.chooses(await world.portaal.logs_in("Fatima"))
    visit = await world.wijkteam.opens("m-jan", list(persons))
    sent = await watches(world.wijkteam, visit)
    assert sent.response.status_code == 200, sent.response.text
    return visit


async def test_a_new_visible_flag_is_recorded_and_told_within_the_hour_once(world: World) -> None:
    await watched(world, ("Fatima", "Piet"))
    await world.bron.publishes("Fatima", "schuldhulp")
    assert (await waiting(world.wijkteam)).signals == []
    assert await an_hour_later(world) == 1
    (told,) = (await waiting(world.wijkteam)).signals
    assert told.visit == b64u(b"v" * 16)
    (notice,) = notices(world)
    assert kinds_shown(unb64u(notice.asker.shown)) == (SOMETHING,)
    assert (notice.asker.role, notice.asker.purpose, len(notice.asker.handles)) == (
        "generalist",
        "huisbezoek",
        1,
    )
    # Told until the node says that it has it, and then no more.
    assert [one.id for one in (await waiting(world.wijkteam)).signals] == [told.id]
    assert (await waiting(world.wijkteam, [told.id])).signals == []
    assert await an_hour_later(world) == 1
    assert (await waiting(world.wijkteam)).signals == []
    assert len(notices(world)) == 1


async def test_every_line_about_watching_has_one_handle_for_it_must_fit_a_small_entry(world: World) -> None:
    visit = await watched(world, ("Fatima", "Piet"))
    scopes = len(visit.scopes)
    lines = newest(world, 2 * scopes)
    assert [(one.asker.t, len(one.asker.handles)) for one in lines] == [("subscription", 1)] * 2 * scopes
    await world.wijkteam.closes(visit)
    refused = await watches(world.wijkteam, visit)
    assert refused.response.status_code == 403
    assert {(one.asker.refused, len(one.asker.handles)) for one in newest(world, 2 * scopes)} == {
        ("ticket", 1)
    }


def test_a_row_with_the_longest_names_fits() -> None:
    longest = Watched(
        "veiligheid", 2**16 - 1, [bytes(32)] * 3 + [bytes(16)], 2**32 - 1, "9" * 20, "t" * 48, "r" * 40,
        "p" * 40, [2**32 - 1] * 3, bytes(16), 2**34, 2**32 - 1, bytes(16), bytes(3 * KNOWN_MOST),
    )  # fmt: skip
    assert len(msgspec.msgpack.encode(longest)) <= 766


async def test_flags_in_several_scopes_of_several_persons_are_one_signal(world: World) -> None:
    session = await world.portaal.logs_in("Piet")
    await world.portaal.chooses(session)
    await watched(world, ("Fatima", "Piet"))
    await world.inkomen.publishes_all([("Fatima", "bijstand"), ("Fatima", "leerplicht"), ("Piet", "ww")])
    await an_hour_later(world)
    assert len((await waiting(world.wijkteam)).signals) == 1
    assert len(notices(world)) == 3


@pytest.mark.parametrize("case", ["hidden", "withdrawn", "closed", "stopped", "known", "granted", "gone"])
async def test_nothing_is_told_of_what_is_hidden_known_or_over(world: World, case: str) -> None:
    """Nor of a choice alone: only a publication gives a signal."""
    session = await world.portaal.logs_in("Fatima")
    if case not in ("hidden", "granted"):
        await world.portaal.chooses(session)
    if case in ("known", "granted", "gone"):
        await world.bron.publishes("Fatima", "schuldhulp")
    visit = await world.wijkteam.opens("m-jan", ["Fatima"])
    await watches(world.wijkteam, visit)
    if case not in ("known", "granted", "gone"):
        await world.bron.publishes("Fatima", "schuldhulp")
    if case == "gone":
        await world.bron.retracts("Fatima", "schuldhulp")
    if case == "granted":
        await world.portaal.chooses(session)
    if case == "withdrawn":
        await world.portaal.chooses(session, "deny")
    if case == "closed":
        await world.wijkteam.closes(visit)
    if case == "stopped":
        await watches(world.wijkteam, visit, wanted=False)
    await an_hour_later(world)
    assert (await waiting(world.wijkteam)).signals == []
    assert notices(world) == []


async def test_a_hidden_flag_costs_the_same_rows_as_none(world: World) -> None:
    """The row of who has a hidden flag and of who has nothing: same size, both looked at, both go on."""
    visit = await world.wijkteam.opens("m-jan", ["Fatima", "Piet"])
    await watches(world.wijkteam, visit)
    await world.bron.publishes("Fatima", "schuldhulp")
    before = world.hub.sequencer.batches
    await an_hour_later(world)
    assert world.hub.sequencer.batches == before + 1
    with world.hub.reading() as connection:
        rows = connection.execute(select(watch)).all()
        assert len(rows) == 2 * len(visit.scopes)
        assert {len(row.sealed) for row in rows} == {812}
        assert len({row.due for row in rows}) == 1
        assert connection.execute(select(func.count()).select_from(errand)).scalar() == 0


async def test_a_visit_that_ended_leaves_no_row(world: World) -> None:
    visit = await watched(world)
    await world.wijkteam.closes(visit)
    await an_hour_later(world)
    with world.hub.reading() as connection:
        assert connection.execute(select(func.count()).select_from(watch)).scalar() == 0


async def test_asking_again_for_signals_forgets_nothing(world: World) -> None:
    visit = await watched(world)
    await world.bron.publishes("Fatima", "schuldhulp")
    await watches(world.wijkteam, visit)
    await an_hour_later(world)
    assert len((await waiting(world.wijkteam)).signals) == 1


async def test_no_node_can_watch_fetch_or_drop_for_another(world: World) -> None:
    visit = await watched(world)
    other = world.nodes["wijkteam-twee"]
    stolen = await watches(other, visit)
    assert stolen.response.status_code == 403
    await world.bron.publishes("Fatima", "schuldhulp")
    await an_hour_later(world)
    (told,) = (await waiting(world.wijkteam)).signals
    assert (await waiting(other, [told.id])).signals == []
    assert [one.id for one in (await waiting(world.wijkteam)).signals] == [told.id]


@pytest.mark.parametrize(
    "body", [{"done": ["x"]}, {"done": [b64u(bytes(15))]}, {"done": 1}, {"more": True}, b"", b"[]"]
)
async def test_a_malformed_question_is_refused(world: World, body: Any) -> None:
    sent = await world.wijkteam.send("/v1/subscriptions/signals", body, "subscription", role="bron")
    assert sent.response.status_code in (400, 422)


async def test_a_bad_name_of_a_visit_is_refused_and_nothing_is_watched(world: World) -> None:
    visit = await world.wijkteam.opens("m-jan", ["Fatima"])
    sent = await watches(world.wijkteam, visit, name=b"short")
    assert sent.response.status_code == 400
    with world.hub.reading() as connection:
        assert connection.execute(select(func.count()).select_from(watch)).scalar() == 0


async def test_who_has_more_flags_than_a_row_remembers_is_not_told(world: World) -> None:
    known = known_of(secrets.token_bytes(32) for _ in range(KNOWN_MOST))
    assert _knows(known, secrets.token_bytes(32))
    one = secrets.token_bytes(32)
    assert _knows(known_of([one]), one)
    assert not _knows(known_of([one]), secrets.token_bytes(32))
