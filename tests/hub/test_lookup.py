"""The lookup: what is seen, what is recorded, and that both come from one transaction."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import update

from index.accesslog.reading import EntryFilter
from index.lookup import ANSWER_SIZE, FLOOR, MAX_FLAGS
from index.protocol.codec import b64u, unb64u
from index.protocol.entry import SOMETHING, decisions_of, kinds_shown
from index.protocol.messages import LookupAnswer
from index.rows import rtag_of
from index.store.tables import choice_state

from .world import GEMEENTE, VOCABULARY, Sent, World, point

pytestmark = pytest.mark.anyio


def newest(world: World, count: int = 1) -> list[Any]:
    """The last entries, oldest of them first."""
    with world.hub.reading() as connection:
        found = world.hub.log_reader.entries(connection, EntryFilter()).entries[:count]
    return list(reversed(found))


def persons(sent: Sent) -> list[bytes]:
    """The bytes of each person of an answer."""
    body = sent.response.content.removeprefix(b'{"persons":[').removesuffix(b"]}")
    return [body[at : at + ANSWER_SIZE] for at in range(0, len(body), ANSWER_SIZE + 1)]


async def test_a_choice_opens_and_its_end_closes_at_the_very_next_question(world: World) -> None:
    await world.bron.publishes("Fatima", "schuldhulp")
    visit = await world.wijkteam.opens("m-jan", ["Fatima"])
    session = await world.portaal.logs_in("Fatima")
    seen = [await world.wijkteam.sees(visit)]
    await world.portaal.chooses(session)
    seen.append(await world.wijkteam.sees(visit))
    await world.portaal.chooses(session, "deny", category=["geld", "schuldhulp"])
    seen.append(await world.wijkteam.sees(visit))
    assert seen == [[set()], [{"schuldhulp"}], [set()]]


async def test_a_retracted_flag_is_gone_at_the_next_question(world: World) -> None:
    await world.bron.publishes("Fatima", "schuldhulp")
    await world.portaal.chooses(await world.portaal.logs_in("Fatima"))
    visit = await world.wijkteam.opens("m-jan", ["Fatima"])
    assert await world.wijkteam.sees(visit) == [{"schuldhulp"}]
    await world.bron.retracts("Fatima", "schuldhulp")
    assert await world.wijkteam.sees(visit) == [set()]


async def test_a_role_sees_by_task_without_a_choice_and_not_against_its_purpose(world: World) -> None:
    await world.inkomen.publishes("Fatima", "bijstand")
    by_task = await world.wijkteam.opens("m-ann", ["Fatima"], role="inkomensconsulent")
    generalist = await world.wijkteam.opens("m-jan", ["Fatima"])
    assert await world.wijkteam.sees(by_task) == [{"bijstand"}]
    assert await world.wijkteam.sees(generalist) == [set()]


async def test_flags_of_a_silent_source_are_hidden_and_it_is_named_to_everybody(world: World) -> None:
    await world.bron.publishes("Fatima", "schuldhulp")
    await world.portaal.chooses(await world.portaal.logs_in("Fatima"))
    world.clock.shift(days=36)
    visit = await world.wijkteam.opens("m-jan", ["Fatima", "Piet"])
    answer = await world.wijkteam.looks(visit)
    assert [person.flags for person in answer.persons] == [[], []]
    assert [person.silent for person in answer.persons] == [[1], [1]]


async def test_presence_says_only_whether_there_is_something(world: World) -> None:
    await world.bron.publishes("Fatima", "schuldhulp")
    await world.portaal.chooses(await world.portaal.logs_in("Fatima"))
    visit = await world.wijkteam.opens("m-jan", ["Fatima", "Piet"])
    answer = await world.wijkteam.looks(visit, detail="presence")
    assert [(person.present, person.flags) for person in answer.persons] == [(True, []), (False, [])]
    assert [kinds_shown(unb64u(entry.asker.shown)) for entry in newest(world, 2)] == [(SOMETHING,), ()]


async def test_each_person_is_8192_bytes_whatever_the_answer(world: World) -> None:
    await world.bron.publishes("Fatima", "schuldhulp")
    await world.portaal.chooses(await world.portaal.logs_in("Fatima"))
    visit = await world.wijkteam.opens("m-jan", ["Fatima", "Piet", "Els"])
    first = await world.wijkteam.tries_to_look(visit)
    await world.wijkteam.closes(visit)
    refused = await world.wijkteam.tries_to_look(visit)
    for sent in (first, refused):
        assert [len(one) for one in persons(sent)] == [ANSWER_SIZE] * 3
        assert all(msgspec.json.decode(one)["pad"].strip(".") == "" for one in persons(sent))
        assert len(sent.response.content) == 3 * ANSWER_SIZE + 2 + 14


async def test_more_flags_than_fit_are_left_out_in_order_and_said_so(world: World) -> None:
    await world.portaal.chooses(await world.portaal.logs_in("Fatima"))
    for month in range(1, 12):
        flags = [("Fatima", kind) for kind in ("bijstand", "minima", "bbz", "ww", "leerplicht", "rmc_vsv")]
        for person, kind in flags:
            msg = f"01900000-0000-7000-8000-0000{month:02d}{VOCABULARY.kind(kind).number:06d}"
            world.inkomen.seq += 1
            item = {
                "seq": world.inkomen.seq,
                "rtag": b64u(rtag_of(f"{kind}{month}".encode().ljust(32))),
                "kind": kind,
                "since": f"2025-{month:02d}",
            }
            points = world.sealed("inkomen", msg, [point(person, VOCABULARY.kind(kind).domain)])
            body = {"version": 1, "points": points, "items": [item]}
            sent = await world.inkomen.send("/v1/publications", body, "publish", msg=msg, role="bron")
            assert sent.response.status_code == 200
    visit = await world.wijkteam.opens("m-jan", ["Fatima"])
    person = (await world.wijkteam.looks(visit)).persons[0]
    order = [(flag.kind, flag.source, flag.since) for flag in person.flags]
    assert order == sorted(order)
    assert person.more
    assert 20 < len(order) <= MAX_FLAGS


async def test_one_entry_per_person_tells_who_asked_what_was_shown_and_why(world: World) -> None:
    await world.bron.publishes("Fatima", "schuldhulp")
    await world.portaal.chooses(await world.portaal.logs_in("Fatima"))
    visit = await world.wijkteam.opens("m-jan", ["Fatima", "Piet"])
    sent = await world.wijkteam.tries_to_look(visit)
    answer = msgspec.json.decode(sent.response.content, type=LookupAnswer)
    entries = newest(world, 2)
    schuldhulp = VOCABULARY.kind("schuldhulp")
    assert sent.response.headers["vlagwijzer-log-index"] == f"{entries[0].index},{entries[1].index}"
    assert [person.log.index for person in answer.persons] == [entry.index for entry in entries]
    assert [kinds_shown(unb64u(e.asker.shown)) for e in entries] == [(schuldhulp.number,), ()]
    assert [e.asker.basis for e in entries] == ["toestemming", ""]
    assert {(e.asker.actor, e.asker.role, e.asker.team, e.asker.purpose) for e in entries} == {
        ("m-jan", "generalist", "noord", "huisbezoek")
    }
    kinds = [kind.number for kind in VOCABULARY.kinds if kind.domain in visit.scopes]
    policy, decisions = decisions_of(entries[0].dec)
    assert policy == world.hub.policy.hash
    assert len(decisions) == len(kinds)
    assert decisions[kinds.index(schuldhulp.number)][0] == 11
    assert all(row in range(2, 14) for row, _, _ in decisions)


async def test_a_question_after_the_visit_ended_is_an_entry_with_its_persons(world: World) -> None:
    visit = await world.wijkteam.opens("m-jan", ["Fatima"])
    await world.wijkteam.closes(visit)
    await world.wijkteam.looks(visit)
    last = newest(world)[0].asker
    assert (last.t, last.refused, len(last.handles)) == ("lookup", "no-relation", len(visit.scopes))


async def test_the_same_question_twice_is_two_lines(world: World) -> None:
    visit = await world.wijkteam.opens("m-jan", ["Fatima"])
    first = await world.wijkteam.tries_to_look(visit)
    msg = first.signed.statement.msg
    second = await world.wijkteam.send("/v1/lookups", first.body, "lookup", msg=msg, **visit.statement())
    indexes = [sent.response.headers["vlagwijzer-log-index"] for sent in (first, second)]
    assert len(set(indexes)) == 2


class Counted:
    """Counts opened rows of a hub."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened: list[str] = []
        original = world.hub.rows.open

        def counting(place: Any, escrow: bytes, sealed: bytes) -> bytes:
            self.opened.append(place.table)
            return original(place, escrow, sealed)

        monkeypatch.setattr(world.hub.rows, "open", counting)


async def test_the_same_rows_are_opened_for_somebody_known_and_somebody_unknown(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.bron.publishes("Fatima", "schuldhulp")
    await world.portaal.chooses(await world.portaal.logs_in("Fatima"), "deny")
    known = await world.wijkteam.opens("m-jan", ["Fatima"])
    unknown = await world.wijkteam.opens("m-jan", ["Nobody"])
    world.hub.rows.no_flag()
    world.hub.rows.open_dummy("choice_state")
    counted = Counted(world, monkeypatch)
    await world.wijkteam.looks(known)
    first, counted.opened = sorted(counted.opened), []
    await world.wijkteam.looks(unknown)
    scopes = len(known.scopes)
    assert first.count("flag") == FLOOR * scopes
    assert first.count("choice_state") == scopes
    # A citizen's own session lies beside the visit's relation; the visit's own row is opened, and one
    # for the case that a grant may name.
    assert first.count("relation") == 2 * scopes
    assert first == sorted(counted.opened)


async def test_unreadable_choices_close_the_scope_and_nothing_else(world: World) -> None:
    await world.bron.publishes("Fatima", "schuldhulp")
    await world.inkomen.publishes("Fatima", "leerplicht")
    await world.portaal.chooses(await world.portaal.logs_in("Fatima"))
    visit = await world.wijkteam.opens("m-jan", ["Fatima"])
    assert await world.wijkteam.sees(visit) == [{"schuldhulp", "leerplicht"}]
    number = next(iter(world.hub.rows._deks))
    ticket = world.hub.tickets.open("wijkteam", unb64u(visit.tickets[0]))
    idx_dir = ticket.scopes["geld"][1].idx_dir
    with world.hub.engine.begin() as connection:
        connection.execute(
            update(choice_state)
            .where(choice_state.c.idx_dir == idx_dir)
            .values(sealed=number.to_bytes(4, "big") + bytes(2088))
        )
    assert await world.wijkteam.sees(visit) == [{"leerplicht"}]
    kinds = [kind.number for kind in VOCABULARY.kinds if kind.domain in visit.scopes]
    _, decisions = decisions_of(newest(world)[0].dec)
    geld = {kind.number for kind in VOCABULARY.kinds_of("geld")}
    assert {decisions[at][0] for at, number in enumerate(kinds) if number in geld} == {13}


async def test_a_choice_for_another_team_or_purpose_opens_nothing_here(world: World) -> None:
    await world.bron.publishes("Fatima", "schuldhulp")
    session = await world.portaal.logs_in("Fatima")
    visit = await world.wijkteam.opens("m-jan", ["Fatima"])
    await world.portaal.chooses(session, receiver=[GEMEENTE, "zuid"])
    assert await world.wijkteam.sees(visit) == [set()]
    await world.portaal.chooses(session, purpose=["hulp", "casusoverleg"])
    assert await world.wijkteam.sees(visit) == [set()]
    zuid = await world.wijkteam.opens("m-jan", ["Fatima"], team="zuid")
    assert await world.wijkteam.sees(zuid) == [{"schuldhulp"}]


async def test_a_grant_ends_by_itself(world: World) -> None:
    await world.inkomen.publishes("Fatima", "bijstand")
    session = await world.portaal.logs_in("Fatima")
    until = (world.clock() + timedelta(days=20)).strftime("%Y-%m-%dT%H:%M:%SZ")
    await world.portaal.chooses(session, until=until)
    visit = await world.wijkteam.opens("m-jan", ["Fatima"], until=timedelta(days=60))
    assert await world.wijkteam.sees(visit) == [{"bijstand"}]
    world.clock.shift(days=21)
    assert await world.wijkteam.sees(visit) == [set()]
