"""What the portal does for a citizen, against the real hub: own flags, choices, preview, and who looked."""

from datetime import date, timedelta
from typing import Any

import msgspec
import pytest

from nodes.bsn import Bsn
from nodes.citizen import Change, CitizenSession, Receiver
from nodes.employees import Employee
from nodes.errors import BadInput, HolderRefused, LoginExpired, ReceiptInvalid, Refused
from nodes.runtime import NodeRuntime

from .world import BORN, BSN_A, BSN_B, GEMEENTE, NodeWorld

pytestmark = pytest.mark.anyio
TEAM = Receiver(GEMEENTE, "wijkteam-noord")
JAN = Employee("jan-pseudoniem", "generalist", "wijkteam-noord")
YES = Change("grant", kind="schuldhulp", receiver=TEAM)


async def login(
    world: NodeWorld, bsn: str = BSN_A, born: date | None = BORN
) -> tuple[NodeRuntime, CitizenSession]:
    portal = world.portal()
    return portal, await portal.citizens.open(Bsn.parse(bsn), world.grant(), born)


async def published(world: NodeWorld, bsn: str = BSN_A) -> None:
    source = world.source()
    await source.publish(bsn, "SH-1")
    await source.drain()


async def test_a_citizen_sees_own_flags_that_nobody_else_may_see(world: NodeWorld) -> None:
    await published(world)
    portal, session = await login(world)
    (flag,) = await portal.citizens.flags(session)
    assert (flag.kind, flag.name, flag.desk, flag.since) == ("schuldhulp", "Schuldhulp", "14 0123", "2025-03")
    other, session_b = await login(world, BSN_B)
    assert await other.citizens.flags(session_b) == []


async def test_a_stopped_choice_hides_the_flag_at_the_next_lookup(world: NodeWorld) -> None:
    await published(world)
    portal, session = await login(world)
    saved = await portal.citizens.choose(session, YES, "Ja.")
    assert await world.sees(BSN_A) == {"schuldhulp"}

    stopped = await portal.citizens.withdraw(session, saved.group, "Ik stop dit.")

    assert await world.sees(BSN_A) == set()
    assert saved.receipt.count(".") == stopped.receipt.count(".") == 2
    with pytest.raises(BadInput):
        await portal.citizens.withdraw(session, saved.group, "Nog eens.")


async def test_a_no_about_everything_is_one_choice_over_all_scopes(world: NodeWorld) -> None:
    await published(world)
    portal, session = await login(world)
    await portal.citizens.choose(session, Change("grant", receiver=TEAM), "Ja, alles.")
    assert await world.sees(BSN_A) == {"schuldhulp"}
    await portal.citizens.choose(session, Change("deny", receiver=TEAM), "Nee, niets.")
    assert await world.sees(BSN_A) == set()
    newest, oldest = await portal.citizens.choices(session)
    assert (newest.effect, newest.kind, newest.domain, newest.in_force) == ("deny", "", "", True)
    assert oldest.effect == "grant"
    assert newest.receiver == TEAM


async def test_the_preview_says_what_the_next_lookup_shows(world: NodeWorld) -> None:
    await published(world)
    portal, session = await login(world)
    before = await portal.citizens.preview(session, YES)
    opened = {(cell.kind, cell.team, cell.role, cell.purpose) for cell in before.opened}
    assert ("schuldhulp", "wijkteam-noord", "generalist", "huisbezoek") in opened
    assert {cell.kind for cell in before.opened} == {"schuldhulp"}
    assert before.closed == []

    await portal.citizens.choose(session, YES, "Ja.")

    after = await portal.citizens.preview(session, Change("deny", kind="schuldhulp", receiver=TEAM))
    assert {(c.kind, c.team, c.role, c.purpose) for c in after.closed} == opened
    standing = await portal.citizens.standing(session)
    assert {(c.kind, c.team, c.role, c.purpose) for c in standing.by_consent} == opened
    assert opened <= {(c.kind, c.team, c.role, c.purpose) for c in standing.possible}


async def test_who_looked_shows_empty_and_own_looks_each_line_verified(world: NodeWorld) -> None:
    await published(world)
    assert await world.sees(BSN_A) == set()
    await world.allow(BSN_A)
    assert await world.sees(BSN_A) == {"schuldhulp"}

    portal, session = await login(world)
    view = await portal.citizens.looks(session)

    assert view.verified
    assert view.checked == view.total == len(view.lines)
    looks = [line for line in view.lines if line.activity == "lookup"]
    assert [line.seen for line in looks] == [["Schuldhulp"], []] or len(looks[0].seen) == 1
    assert looks[0].organisation == "Wijkteam Noord"
    assert looks[0].purpose_label == "Huisbezoek"
    assert looks[0].role_label == "Generalist wijkteam"
    assert {"publish", "relation", "lookup", "choice", "log_view"} <= {line.activity for line in view.lines}
    assert view.lines[0].own


async def test_a_refused_look_reaches_the_citizen(world: NodeWorld) -> None:
    desk = world.desk()
    visit = await desk.visits.open(JAN, [Bsn.parse(BSN_A)], "huisbezoek", "Z-1")
    found = desk.visits._get(JAN, visit.id)
    await desk.visits.close(JAN, visit.id)
    desk.visits._put(JAN, visit, found.kept)
    # The node kept a ticket of a visit that was closed, and uses it.
    try:
        (person,) = await desk.visits.look(JAN, visit.id)
        assert person.refused
    except Refused:
        pass
    portal, session = await login(world)
    view = await portal.citizens.looks(session)
    assert view.verified
    assert any(line.activity == "lookup" and line.refused for line in view.lines)


async def test_a_look_for_a_purpose_that_is_not_of_the_role_reaches_the_citizen(world: NodeWorld) -> None:
    desk = world.desk()
    with pytest.raises(Refused) as refused:
        await desk.visits.open(JAN, [Bsn.parse(BSN_A)], "vroegsignalering", "Z-1")
    assert refused.value.reason == "purpose-not-allowed"
    portal, session = await login(world)
    view = await portal.citizens.looks(session)
    assert view.verified
    (line,) = [line for line in view.lines if line.refused]
    assert (line.activity, line.purpose_label, line.seen) == ("relation", "Contact over een achterstand", [])


def _without(lines: list[Any], index: int) -> list[Any]:
    return [line for line in lines if line["index"] != index]


async def _looks_after(world: NodeWorld, change: Any) -> Any:
    await world.sees(BSN_A)
    await world.sees(BSN_A)
    portal, session = await login(world)

    def alter(path: str, raw: bytes) -> bytes:
        if path != "/v1/citizen/log":
            return raw
        body = msgspec.json.decode(raw)
        body["lines"] = change(body["lines"])
        return msgspec.json.encode(body)

    world.network.alter = alter
    return await portal.citizens.looks(session)


async def test_a_line_left_out_is_noticed(world: NodeWorld) -> None:
    def change(lines: list[Any]) -> list[Any]:
        looked = sorted({line["index"] for line in lines if '"t":"lookup"' in line["asker"]})
        return _without(lines, looked[0])

    assert not (await _looks_after(world, change)).verified


async def test_the_newest_line_left_out_is_noticed(world: NodeWorld) -> None:
    view = await _looks_after(world, lambda lines: _without(lines, max(line["index"] for line in lines)))
    assert not view.verified


async def test_a_changed_line_is_not_shown(world: NodeWorld) -> None:
    def change(lines: list[Any]) -> list[Any]:
        return [
            {**line, "asker": line["asker"].replace('"purpose":"huisbezoek"', '"purpose":"casusoverleg"')}
            for line in lines
        ]

    view = await _looks_after(world, change)
    assert not view.verified
    assert view.checked < view.total
    assert all(line.purpose != "casusoverleg" for line in view.lines)


async def test_a_line_of_another_persons_chain_is_not_shown(world: NodeWorld) -> None:
    await world.sees(BSN_B)
    other, session_b = await login(world, BSN_B)
    kept: list[Any] = []

    def keep(path: str, raw: bytes) -> bytes:
        if path == "/v1/citizen/log":
            kept.extend(msgspec.json.decode(raw)["lines"])
        return raw

    world.network.alter = keep
    await other.citizens.looks(session_b)
    foreign = next(line for line in kept if '"t":"lookup"' in line["asker"])

    view = await _looks_after(world, lambda lines: [*lines, foreign])
    assert not view.verified
    assert view.checked == view.total - 1


async def test_a_session_ends_after_fifteen_idle_minutes_and_one_hour(world: NodeWorld) -> None:
    portal, session = await login(world)
    world.clock.offset += timedelta(minutes=14)
    await portal.citizens.flags(session)
    world.clock.offset += timedelta(minutes=16)
    with pytest.raises(LoginExpired):
        await portal.citizens.flags(session)
    with pytest.raises(LoginExpired):
        await portal.citizens.choose(session, YES, "Ja.")


async def test_a_closed_session_gives_nothing_more(world: NodeWorld) -> None:
    portal, session = await login(world)
    portal.citizens.close(session)
    with pytest.raises(LoginExpired):
        await portal.citizens.choices(session)
    assert repr(session) == "<CitizenSession>"


async def test_without_a_good_grant_no_session_opens(world: NodeWorld) -> None:
    portal = world.portal()
    for grant in ("", "abc", world.keys.grant("wijkteam", jti="f" * 32)):
        with pytest.raises(HolderRefused):
            await portal.citizens.open(Bsn.parse(BSN_A), grant, BORN)
    assert world.network.sent == []


async def test_a_receipt_about_another_choice_is_not_given(world: NodeWorld) -> None:
    portal, session = await login(world)
    first = await portal.citizens.choose(session, YES, "Ja.")

    def alter(path: str, raw: bytes) -> bytes:
        if path != "/v1/choices":
            return raw
        return msgspec.json.encode({**msgspec.json.decode(raw), "receipt": first.receipt})

    world.network.alter = alter
    with pytest.raises(ReceiptInvalid):
        await portal.citizens.choose(session, Change("deny", kind="schuldhulp", receiver=TEAM), "Nee.")


async def test_receivers_are_the_teams_that_may_look(world: NodeWorld) -> None:
    assert [view.name for view in world.portal().citizens.receivers()] == ["Wijkteam Noord"]


async def test_the_portals_store_keeps_nothing_of_a_citizen(world: NodeWorld) -> None:
    portal, session = await login(world)
    await portal.citizens.choose(session, YES, "Ja.")
    stored = b"".join(path.read_bytes() for path in (world.folder / "nodes" / "portaal").iterdir())
    assert BSN_A.encode() not in stored
