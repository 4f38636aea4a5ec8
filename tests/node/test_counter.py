"""The counter against real hub and key holders: a grant per check, who did it in the log, and no yes."""

import json
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from consent.pages import Identity
from nodes.bsn import Bsn
from nodes.citizen import Change, CitizenSession, Receiver
from nodes.employees import employee_id
from nodes.errors import GrantRefused, HolderRefused, LoginExpired, NotAllowed, Refused
from nodes.portal import counter as counters
from nodes.portal.counter import Check, Counter
from nodes.portal.export import checked_text, document, gather, lock_text, text_of
from nodes.runtime import NodeRuntime
from nodes.settings import BrpSettings, CounterSettings, OidcSettings

from .brp_server import both_parents, full_date, record
from .world import BORN, GEMEENTE, NodeWorld, bsns

pytestmark = pytest.mark.anyio
PERSON, OTHER, CHILD, PARENT = bsns(4)
TEAM = Receiver(GEMEENTE, "wijkteam-noord")
YES = Change("grant", kind="schuldhulp", receiver=TEAM)
PLACE = "Balie, Stadhuis Waterrijk"


@dataclass
class Desk:
    """A counter with one employee behind it, and what the broker would give."""

    world: NodeWorld
    portal: NodeRuntime
    counter: Counter
    grants: list[str]

    async def check(self, bsn: str = PERSON, who: Any = "zelf") -> Check:
        return await self.counter.begin(Bsn.parse(bsn), "paspoort", who)

    async def at_home(self, bsn: str = PERSON) -> CitizenSession:
        return await self.portal.citizens.open(Bsn.parse(bsn), self.world.grant(), BORN)

    async def says_yes(self) -> str:
        return (await self.portal.citizens.choose(await self.at_home(), YES, "Ja.")).group

    async def sees(self) -> bool:
        return "schuldhulp" in await self.world.sees(PERSON)


def identity(seconds: int = 300) -> Identity:
    return Identity("loes", "Loes", ("balie",), "", {}, "token", seconds)


@pytest.fixture
async def desk(world: NodeWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    given: list[str] = []

    async def grant(*_: object) -> str:
        given.append(world.keys.grant("portaal", count=1, jti=f"{len(given):032x}"))
        return given[-1]

    monkeypatch.setattr(counters, "fetch_grant", grant)
    source = world.source()
    await source.publish(PERSON, "SH-1")
    await source.drain()
    authority = [both_parents(CHILD, PARENT, OTHER)]
    brp = tmp_path / "brp.json"
    records = [
        record(PERSON, full_date("1980-05-17")),
        record(OTHER, full_date("1970-07-01"), gezag=authority),
        record(CHILD, full_date("2020-02-01"), gezag=authority),
        record(PARENT, full_date("1985-01-30"), gezag=authority),
    ]
    brp.write_text(json.dumps({"personen": records}))
    portal = world.portal(
        brp=BrpSettings(file=brp),
        login=OidcSettings(issuer="https://login.test", client_id="portaal"),
        counter=CounterSettings(name=PLACE),
    )
    return Desk(world, portal, Counter(portal, identity()), given)


# --- what it can do --------------------------------------------------------------------


async def test_a_citizen_without_login_sees_everything_at_the_counter(desk: Desk) -> None:
    group = await desk.says_yes()
    check = await desk.check()
    found = await gather(desk.portal, check.session)
    assert [flag.kind for flag in found.flags] == ["schuldhulp"]
    assert [choice.group for choice in found.choices] == [group]
    assert found.looks.verified


async def test_a_stop_at_the_counter_holds_at_the_next_lookup_and_says_where_it_was_made(desk: Desk) -> None:
    group = await desk.says_yes()
    assert await desk.sees()
    check = await desk.check()
    await desk.portal.citizens.withdraw(check.session, group, "Stop.")
    assert not await desk.sees()
    made = {own.group: own.channel for own in await desk.portal.citizens._ledger(check.session)}
    assert sorted(made.values()) == ["balie", "portaal"]
    assert made[group] == "portaal"


async def test_stopping_all_and_a_lock_close_and_the_lock_stays_shut_for_a_later_yes(desk: Desk) -> None:
    await desk.says_yes()
    check = await desk.check()
    await desk.portal.citizens.stop_all(check.session, "Alles.")
    assert not await desk.sees()
    await desk.portal.citizens.choose(check.session, Change("slot", domain="geld"), "Slot.")
    await desk.says_yes()
    assert not await desk.sees()


async def test_the_text_confirmed_at_the_counter_is_found_again_in_the_export(desk: Desk) -> None:
    from consent.pages.names import Names
    from consent.pages.words import words

    check = await desk.check()
    text = checked_text(words("nl"), "paspoort", lock_text(words("nl"), "zorg"))
    saved = await desk.portal.citizens.choose(check.session, Change("slot", domain="zorg"), text)
    found = await gather(desk.portal, check.session)
    names = Names(desk.portal.vocabulary, "nl")
    (choice,) = found.choices
    assert text_of(names, choice, "", found.receipts[saved.group][1]) == text
    assert "Paspoort".lower() in text
    assert {line["counter"] for line in document(found, names)["looks"]} >= {True}


# --- who did it --------------------------------------------------------------------------


async def test_every_line_of_the_check_says_that_it_was_a_counter_and_names_nobody(desk: Desk) -> None:
    group = await desk.says_yes()
    before = len(desk.world.network.sent)
    check = await desk.check()
    await gather(desk.portal, check.session)
    await desk.portal.citizens.withdraw(check.session, group, "Stop.")
    desk.counter.finish()
    await desk.portal.citizens.settle()
    said = [
        jwt_free(headers) for path, headers, _ in desk.world.network.sent[before:] if "/policy" not in path
    ]
    actor = employee_id(desk.portal.keys.secret, "loes")
    assert {(one["actor"], one["role"]) for one in said} == {(actor, "burger")}
    assert "loes" not in actor

    at_home = await desk.at_home()
    view = await desk.portal.citizens.looks(at_home)
    assert view.verified
    of_counter = [line for line in view.lines if line.counter]
    assert {line.organisation for line in of_counter} == {PLACE}
    assert {line.activity for line in of_counter} == {"relation", "log_view", "choice"}
    assert not any(line.own or line.by for line in of_counter)
    assert any(line.own for line in view.lines)


def jwt_free(headers: dict[str, str]) -> dict[str, str]:
    """The statement of a request to the hub."""
    from index.protocol.codec import unb64u

    found = next(value for name, value in headers.items() if name.lower().endswith("statement"))
    said: dict[str, str] = json.loads(unb64u(found))
    return said


# --- no yes ------------------------------------------------------------------------------


async def test_the_session_of_a_counter_refuses_a_yes_and_the_end_of_a_no(desk: Desk) -> None:
    check, citizens = await desk.check(), desk.portal.citizens
    before = len(await citizens.choices(check.session))
    with pytest.raises(NotAllowed, match="counter-gives-no-yes"):
        await citizens.choose(check.session, YES, "Ja.")
    slot = await citizens.choose(check.session, Change("slot"), "Slot.")
    with pytest.raises(NotAllowed, match="counter-gives-no-yes"):
        await citizens.withdraw(check.session, slot.group, "Toch niet.")
    assert len(await citizens.choices(check.session)) == before + 1
    assert not await desk.sees()


async def test_a_portal_that_forgets_its_own_rule_is_refused_by_the_hub(desk: Desk) -> None:
    check, citizens = await desk.check(), desk.portal.citizens
    entries = citizens._entries(check.session, YES)
    sends = citizens._hub.choose
    channels: list[str] = ["portaal", "balie"]

    async def forgetful(request: Any, *more: Any) -> Any:
        # As a node would send it whose pages had a hole, with and without owning up to the counter.
        changed = msgspec.structs.replace(request, channel=channels.pop(), entries=entries)
        return await sends(changed, *more)

    citizens._hub.choose = forgetful  # type: ignore[assignment,method-assign]
    while channels:
        with pytest.raises(Refused, match="counter-gives-no-yes"):
            await citizens.choose(check.session, Change("deny", kind="schuldhulp", receiver=TEAM), "Nee.")
    assert not await desk.sees()


# --- one grant, one person, one check ------------------------------------------------------


async def test_each_check_takes_a_grant_of_its_own_and_ends_the_one_before(desk: Desk) -> None:
    first = await desk.check()
    second = await desk.check(OTHER)
    assert len(set(desk.grants)) == 2
    assert desk.counter.check is second
    with pytest.raises(LoginExpired):
        await desk.portal.citizens.flags(first.session)
    assert await desk.portal.citizens.flags(second.session) == []


async def test_a_spent_grant_opens_nobody_else(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await desk.check()

    async def again(*_: object) -> str:
        return desk.grants[-1]

    monkeypatch.setattr(counters, "fetch_grant", again)
    with pytest.raises(HolderRefused):
        await desk.check(OTHER)
    assert desk.counter.check is None


async def test_a_grant_for_another_node_opens_nobody(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def foreign(*_: object) -> str:
        return desk.world.keys.grant("wijkteam-noord", jti="f" * 32)

    monkeypatch.setattr(counters, "fetch_grant", foreign)
    with pytest.raises(HolderRefused):
        await desk.check()


async def test_a_login_that_gets_no_more_grants_asks_for_a_new_login(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: object) -> str:
        raise GrantRefused

    monkeypatch.setattr(counters, "fetch_grant", refused)
    sent = len(desk.world.network.sent)
    with pytest.raises(LoginExpired):
        await desk.check()
    assert len(desk.world.network.sent) == sent


async def test_a_login_is_fresh_for_as_long_as_its_token_less_a_form(desk: Desk) -> None:
    now = 50.0
    counter = Counter(desk.portal, identity(300), lambda: now)
    assert counter.fresh
    now += 300
    assert not counter.fresh
    assert not Counter(desk.portal, identity(0), lambda: now).fresh


async def test_a_check_ends_after_fifteen_minutes_without_use(desk: Desk) -> None:
    check = await desk.check()
    desk.world.clock.offset += timedelta(minutes=16)
    with pytest.raises(LoginExpired):
        await desk.portal.citizens.flags(check.session)


async def test_nothing_of_the_person_stands_in_what_is_kept(desk: Desk) -> None:
    check = await desk.check()
    kept = repr(desk.counter) + repr(check) + repr(check.session) + str(check.about)
    assert PERSON not in kept
    assert "loes" not in kept
    desk.counter.finish()
    assert desk.counter.check is None
    assert check.session._pseudonyms == {}


# --- who represents ------------------------------------------------------------------------


async def show(
    desk: Desk, check: Check, by: Any, speaker: str, *, reference: str = "CCBR/2026/17", days: int = 200
) -> None:
    until = (desk.world.clock() + timedelta(days=days)).date()
    await desk.counter.show_evidence(check, by, Bsn.parse(speaker), reference, until)


async def test_a_bewindvoerder_shown_at_the_counter_may_choose_about_money_later(desk: Desk) -> None:
    check = await desk.check()
    await show(desk, check, "bewindvoerder", OTHER)
    entries = [own for own in await desk.portal.citizens._ledger(check.session) if own.effect == "regime"]
    assert [(own.scope, own.channel, own.by, own.proven) for own in entries] == [
        ("geld", "balie", "bewindvoerder", True)
    ]
    assert check.session.speaker.by == "zelf"
    assert PERSON not in repr(check) + str(check.about)


async def test_a_representative_alone_shows_evidence_first_and_stops_in_that_capacity(desk: Desk) -> None:
    check = await desk.check(who="ander")
    assert check.waits
    with pytest.raises(NotAllowed, match="wrong-evidence"):
        await show(desk, check, "curator", OTHER)  # the BRP knows of no curatele
    assert check.waits
    await show(desk, check, "gemachtigde", OTHER)
    assert not check.waits
    await desk.portal.citizens.choose(check.session, Change("slot", domain="geld"), "Slot.")
    (lock,) = [own for own in await desk.portal.citizens.choices(check.session) if own.effect == "slot"]
    assert (lock.by, lock.mine) == ("gemachtigde", True)


async def test_a_parent_needs_authority_in_the_brp(desk: Desk) -> None:
    check = await desk.check(CHILD, "ander")
    with pytest.raises(NotAllowed, match="wrong-evidence"):
        await show(desk, check, "ouder", PERSON)
    await desk.counter.show_evidence(check, "ouder", Bsn.parse(PARENT), "", None)
    assert check.session.speaker.by == "ouder"
    await desk.portal.citizens.choose(check.session, Change("slot"), "Slot.")


async def test_a_child_of_six_locks_nothing_alone(desk: Desk) -> None:
    check = await desk.check(CHILD)
    with pytest.raises(NotAllowed, match="age"):
        await desk.portal.citizens.choose(check.session, Change("slot"), "Slot.")


@pytest.mark.parametrize(
    ("by", "speaker", "shown", "reason"),
    [
        ("mentor", PERSON, {}, "wrong-evidence"),
        ("mentor", OTHER, {"reference": ""}, "wrong-evidence"),
        ("mentor", OTHER, {"reference": f"A-{PERSON}"}, "wrong-evidence"),
        ("mentor", OTHER, {"reference": "brief van de rechter"}, "wrong-evidence"),
        ("mentor", OTHER, {"days": -2}, "mandate-over"),
        ("ouder", PARENT, {}, "parent-of-adult"),
    ],
)
async def test_evidence_that_does_not_hold_writes_nothing(
    desk: Desk, by: str, speaker: str, shown: dict[str, Any], reason: str
) -> None:
    check = await desk.check()
    with pytest.raises(NotAllowed, match=reason):
        await show(desk, check, by, speaker, **shown)
    assert await desk.portal.citizens.choices(check.session) == []


async def test_an_age_that_nobody_knows_takes_no_measure(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "brp.json").write_text(json.dumps({"personen": [record(PERSON)]}))
    check = await desk.check()
    assert check.session.known.born is None
    with pytest.raises(NotAllowed, match="age-unknown"):
        await show(desk, check, "mentor", OTHER)


def test_the_last_day_of_a_decision_counts_wholly() -> None:
    ends = counters._end_of(date(2026, 12, 31))
    assert ends.isoformat() == "2027-01-01T00:00:00+01:00"
