"""Who chooses for whom, against the real hub: families by age, measures, and what is refused in between."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from consent.pages import Identity
from nodes.ages import next_boundary
from nodes.citizen import Change, CitizenSession, Receiver
from nodes.errors import BrpUnavailable, LoginExpired, NotAllowed, Refused
from nodes.portal import family as families
from nodes.portal.family import Family, session_for
from nodes.representation import is_reference, read_mandate
from nodes.runtime import NodeRuntime
from nodes.settings import BrpSettings, OidcSettings

from .brp_server import both_parents, full_date, record
from .world import GEMEENTE, NodeWorld, bsns

pytestmark = pytest.mark.anyio
CHILD, MOTHER, FATHER, NEIGHBOUR = bsns(4)
TEAM = Receiver(GEMEENTE, "wijkteam-noord")
YES = Change("grant", kind="schuldhulp", receiver=TEAM)
NO = Change("deny", kind="schuldhulp", receiver=TEAM)


@dataclass
class Household:
    """A federation, a portal and a BRP in a file that a test may rewrite."""

    world: NodeWorld
    path: Path
    portal: NodeRuntime

    def write(self, *records: dict[str, Any]) -> None:
        self.path.write_text(json.dumps({"personen": list(records)}))

    def born(self, years: int, days: int = 0) -> str:
        """A birth date so that somebody is `years` old since `days` days (before today when negative)."""
        today = self.world.clock().date() - timedelta(days=days)
        return today.replace(year=today.year - years).isoformat()

    def a_family(self, born: str, **more: Any) -> None:
        authority = [both_parents(CHILD, MOTHER, FATHER)]
        self.write(
            record(CHILD, full_date(born), gezag=authority, **more),
            record(MOTHER, full_date("1985-01-30"), gezag=authority),
            record(FATHER, full_date("1984-07-01"), gezag=authority),
            record(NEIGHBOUR, full_date("1970-07-01")),
        )

    async def login(self, bsn: str, **claims: Any) -> Family:
        """As after a login at the broker, whose grant is the real one."""
        identity = Identity("x", "", (), "", {"bsn": bsn, **claims}, "token")
        return await families.welcome(self.portal, identity)

    async def for_child(self, bsn: str) -> CitizenSession:
        return await session_for(self.portal, await self.login(bsn), 0)

    async def choose(self, session: CitizenSession, change: Change) -> str:
        return (await self.portal.citizens.choose(session, change, "tekst")).group

    async def sees(self) -> bool:
        return "schuldhulp" in await self.world.sees(CHILD)


@pytest.fixture
async def household(world: NodeWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Household:
    async def grant(*_: object) -> str:
        return world.grant()

    monkeypatch.setattr(families, "fetch_grant", grant)
    source = world.source()
    await source.publish(CHILD, "SH-1")
    await source.drain()
    path = tmp_path / "brp.json"
    portal = world.portal(
        brp=BrpSettings(file=path), login=OidcSettings(issuer="https://login.test", client_id="portaal")
    )
    return Household(world, path, portal)


# --- by age --------------------------------------------------------------------------


async def test_below_twelve_one_parent_opens_and_the_other_closes(household: Household) -> None:
    household.a_family(household.born(8))
    mother, father = await household.for_child(MOTHER), await household.for_child(FATHER)
    await household.choose(mother, YES)
    assert await household.sees()
    (choice,) = await household.portal.citizens.choices(mother)
    assert choice.until is not None
    assert choice.mine
    (seen_by_father,) = await household.portal.citizens.choices(father)
    assert not seen_by_father.mine

    await household.choose(father, NO)
    assert not await household.sees()
    no = next(c for c in await household.portal.citizens.choices(father) if c.effect == "deny")
    assert no.until == next_boundary(date.fromisoformat(household.born(8)), household.world.clock(), (12,))


async def test_a_parent_cannot_end_what_the_other_parent_chose(household: Household) -> None:
    household.a_family(household.born(8))
    father, mother = await household.for_child(FATHER), await household.for_child(MOTHER)
    group = await household.choose(father, NO)
    await household.choose(mother, YES)
    with pytest.raises(Exception, match="unknown-group"):
        await household.portal.citizens.withdraw(mother, group, "Weg.")
    assert not await household.sees()


async def test_from_twelve_to_fifteen_both_are_needed_whoever_comes_first(household: Household) -> None:
    household.a_family(household.born(14))
    youth, mother = (await household.login(CHILD)).own, await household.for_child(MOTHER)
    await household.choose(mother, YES)
    assert not await household.sees()
    promised = await household.portal.citizens.preview(youth, YES)
    assert {cell.kind for cell in promised.opened} == {"schuldhulp"}
    await household.choose(youth, YES)
    assert await household.sees()
    await household.choose(await household.for_child(FATHER), NO)
    assert not await household.sees()


async def test_on_the_sixteenth_birthday_a_yes_of_both_ends_and_an_own_no_stays(household: Household) -> None:
    born = household.born(16, days=-10)
    household.a_family(born)
    youth, mother = (await household.login(CHILD)).own, await household.for_child(MOTHER)
    await household.choose(mother, YES)
    await household.choose(youth, YES)
    assert await household.sees()
    no = await household.choose(youth, Change("deny", kind="bijstand", receiver=TEAM))

    household.world.clock.offset += timedelta(days=11)

    assert not await household.sees()
    youth = (await household.login(CHILD)).own
    found = {c.group: c for c in await household.portal.citizens.choices(youth)}
    assert found[no].in_force
    assert [c.effect for c in found.values() if c.in_force] == ["deny"]
    parents = await household.login(MOTHER)
    assert [child.stage for child in parents.children] == ["zelf"]
    with pytest.raises(NotAllowed, match="parent-of-adult"):
        await session_for(household.portal, parents, 0)


async def test_a_parent_who_is_logged_in_at_midnight_of_the_birthday_sees_nothing_more(
    household: Household,
) -> None:
    midnight = next_boundary(date.fromisoformat(household.born(16, days=-3)), household.world.clock(), (16,))
    assert midnight is not None
    household.a_family(household.born(16, days=-3))
    household.world.clock.offset += midnight - household.world.clock() - timedelta(minutes=5)
    mother = await household.for_child(MOTHER)
    await household.portal.citizens.choices(mother)
    household.world.clock.offset += timedelta(minutes=6)
    for look in (household.portal.citizens.choices, household.portal.citizens.looks):
        with pytest.raises((NotAllowed, LoginExpired)):
            await look(mother)


async def test_who_is_no_holder_of_authority_gets_no_child(household: Household) -> None:
    household.a_family(household.born(8))
    assert (await household.login(NEIGHBOUR)).children == []
    # The parent's own record says so, and the child's does not: both must.
    household.write(
        record(CHILD, full_date(household.born(8)), gezag=[both_parents(CHILD, FATHER)]),
        record(MOTHER, full_date("1985-01-30"), gezag=[both_parents(CHILD, MOTHER, FATHER)]),
    )
    assert (await household.login(MOTHER)).children == []


async def test_a_parent_who_lost_authority_no_longer_counts_after_the_next_login(
    household: Household,
) -> None:
    household.a_family(household.born(8))
    await household.choose(await household.for_child(MOTHER), YES)
    assert await household.sees()
    household.write(
        record(CHILD, full_date(household.born(8)), gezag=[both_parents(CHILD, FATHER)]),
        record(FATHER, full_date("1984-07-01"), gezag=[both_parents(CHILD, FATHER)]),
    )
    await household.for_child(FATHER)
    assert not await household.sees()


# --- what is not known ---------------------------------------------------------------


async def test_while_the_brp_is_away_the_strictest_regime_holds_for_three_months(
    household: Household,
) -> None:
    household.path.unlink(missing_ok=True)
    family = await household.login(CHILD, birthdate="1980-01-01")
    assert family.brp_away
    await household.choose(family.own, YES)
    assert not await household.sees()
    (choice,) = await household.portal.citizens.choices(family.own)
    assert choice.until is not None
    assert choice.until - household.world.clock() < timedelta(days=93)


async def test_once_the_age_is_known_what_was_chosen_before_ends_except_an_own_no(
    household: Household,
) -> None:
    household.path.unlink(missing_ok=True)
    before = (await household.login(CHILD)).own
    await household.choose(before, YES)
    no = await household.choose(before, Change("deny", kind="bijstand", receiver=TEAM))
    household.a_family("1980-01-01")
    after = (await household.login(CHILD)).own
    in_force = [c.group for c in await household.portal.citizens.choices(after) if c.in_force]
    assert in_force == [no]
    await household.choose(after, YES)
    assert await household.sees()


@pytest.mark.parametrize(("code", "reason"), [("O", "deceased"), ("F", "number-changed")])
async def test_nobody_logs_in_as_somebody_who_died_or_with_a_number_that_was_changed(
    household: Household, code: str, reason: str
) -> None:
    household.write(record(CHILD, full_date("1980-01-01"), opschortingBijhouding={"reden": {"code": code}}))
    with pytest.raises(NotAllowed, match=reason):
        await household.login(CHILD)


# --- measures ------------------------------------------------------------------------


def speaks(household: Household, as_: str, **more: Any) -> dict[str, Any]:
    until = (household.world.clock() + timedelta(days=200)).isoformat()
    return {"represents": {"sub": CHILD, "as": as_, "evidence": "CCBR/2026/17", "until": until, **more}}


async def test_a_bewindvoerder_opens_money_and_the_persons_own_no_closes_it(household: Household) -> None:
    household.a_family("1980-01-01")
    speaker = (await household.login(NEIGHBOUR, **speaks(household, "bewindvoerder"))).own
    await household.choose(speaker, YES)
    assert await household.sees()
    with pytest.raises(NotAllowed, match="not-your-subject"):
        await household.choose(speaker, Change("grant", kind="wmo_voorziening", receiver=TEAM))
    await household.choose((await household.login(CHILD)).own, NO)
    assert not await household.sees()


async def test_under_curatele_by_the_brp_the_own_yes_is_refused_and_does_not_count(
    household: Household,
) -> None:
    household.a_family("1980-01-01")
    await household.choose((await household.login(CHILD)).own, YES)
    assert await household.sees()
    household.a_family("1980-01-01", indicatieCurateleRegister=True)
    person = (await household.login(CHILD)).own
    assert not await household.sees()
    with pytest.raises(NotAllowed, match="curatele"):
        await household.choose(person, YES)
    curator = (await household.login(NEIGHBOUR, **speaks(household, "curator"))).own
    await household.choose(curator, YES)
    assert await household.sees()
    await household.choose(person, NO)
    assert not await household.sees()


async def test_a_curatele_that_the_brp_no_longer_shows_ends(household: Household) -> None:
    household.a_family("1980-01-01", indicatieCurateleRegister=True)
    await household.login(CHILD)
    household.a_family("1980-01-01")
    person = (await household.login(CHILD)).own
    await household.choose(person, YES)
    assert await household.sees()


async def test_a_gemachtigde_counts_until_the_person_ends_the_machtiging(household: Household) -> None:
    household.a_family("1980-01-01")
    speaker = (await household.login(NEIGHBOUR, **speaks(household, "gemachtigde"))).own
    await household.choose(speaker, YES)
    assert await household.sees()
    person = (await household.login(CHILD)).own
    mandate = next(c for c in await household.portal.citizens.choices(person) if c.effect == "regime")
    assert mandate.mine
    await household.portal.citizens.withdraw(person, mandate.group, "Ik stop dit.")
    assert not await household.sees()
    with pytest.raises(Refused, match="no-authority"):
        await household.choose(speaker, YES)


async def test_what_a_gemachtigde_opened_ends_with_the_machtiging(household: Household) -> None:
    household.a_family("1980-01-01")
    until = household.world.clock() + timedelta(days=20)
    claims = speaks(household, "gemachtigde", until=until.isoformat())
    await household.choose((await household.login(NEIGHBOUR, **claims)).own, YES)
    assert await household.sees()
    household.world.clock.offset += timedelta(days=20, minutes=1)
    assert not await household.sees()
    with pytest.raises(NotAllowed, match="mandate-over"):
        await household.login(NEIGHBOUR, **claims)


@pytest.mark.parametrize(
    ("born", "as_", "more", "reason"),
    [
        ("1980-01-01", "gemachtigde", {"evidence": ""}, "wrong-evidence"),
        ("1980-01-01", "gemachtigde", {"evidence": "zie brief van de rechter"}, "wrong-evidence"),
        ("1980-01-01", "gemachtigde", {"evidence": CHILD}, "wrong-evidence"),
        ("1980-01-01", "buurman", {}, "wrong-evidence"),
        ("1980-01-01", "ouder", {}, "wrong-evidence"),
        ("1980-01-01", "gemachtigde", {"until": ""}, "wrong-evidence"),
        ("1980-01-01", "gemachtigde", {"until": "2030-01-01T00:00:00"}, "wrong-evidence"),
        ("1980-01-01", "gemachtigde", {"until": "2020-01-01T00:00:00Z"}, "mandate-over"),
        ("1980-01-01", "curator", {}, "wrong-evidence"),
        ("1980-01-01", "gemachtigde", {"sub": "123"}, "wrong-evidence"),
        ("1980-01-01", "gemachtigde", {"sub": NEIGHBOUR}, "wrong-evidence"),
        ("2012-01-01", "gemachtigde", {}, "measure-too-young"),
        ("2009-06-01", "bewindvoerder", {}, "measure-too-young"),
        ("0000-00-00", "mentor", {}, "age-unknown"),
    ],
)
async def test_evidence_that_does_not_hold_lets_nobody_in_and_writes_nothing(
    household: Household, born: str, as_: str, more: dict[str, Any], reason: str
) -> None:
    if born.startswith("0000"):
        household.write(record(CHILD), record(NEIGHBOUR, full_date("1970-07-01")))
    else:
        household.a_family(born)
    before = len(household.world.network.sent)
    with pytest.raises(NotAllowed, match=reason):
        await household.login(NEIGHBOUR, **speaks(household, as_, **more))
    assert household.world.network.sent[before:] == []


async def test_a_choice_that_no_yes_can_open_is_refused_and_recorded(household: Household) -> None:
    household.a_family("1980-01-01")
    person = (await household.login(CHILD)).own
    for change, code in (
        (replace(YES, purpose="toezicht"), "no-consent-for-purpose"),
        (replace(YES, purpose="vroegsignalering"), "no-consent-for-purpose"),
        (replace(YES, receiver=Receiver(GEMEENTE, "jan-de-vries")), "unknown-receiver"),
        (replace(YES, receiver=Receiver(GEMEENTE, "wijkteam-noord", "jan-de-vries")), "unknown-receiver"),
    ):
        with pytest.raises(Refused, match=code):
            await household.choose(person, change)
    assert await household.portal.citizens.choices(person) == []
    looks = await household.portal.citizens.looks(person)
    assert sum(line.activity == "choice" and bool(line.refused) for line in looks.lines) >= 4


async def test_the_person_sees_who_acted_for_them_and_the_log_names_nobody(household: Household) -> None:
    household.a_family("1980-01-01")
    speaker = (await household.login(NEIGHBOUR, **speaks(household, "bewindvoerder"))).own
    await household.choose(speaker, YES)
    person = (await household.login(CHILD)).own
    looks = await household.portal.citizens.looks(person)
    assert looks.verified
    assert {line.by for line in looks.lines if line.activity == "choice"} == {"bewindvoerder"}
    assert {line.by for line in looks.lines if line.activity == "log_view"} <= {"", "bewindvoerder"}


async def test_a_number_of_anybody_is_in_no_message_and_no_store(household: Household) -> None:
    household.a_family(household.born(8))
    await household.choose(await household.for_child(MOTHER), YES)
    sent = b"".join(body + str(headers).encode() for _, headers, body in household.world.network.sent)
    stored = b"".join(path.read_bytes() for path in (household.world.folder / "nodes" / "portaal").iterdir())
    for number in (CHILD, MOTHER, FATHER):
        assert number.encode() not in sent
        assert number.encode() not in stored


# --- the inbox -----------------------------------------------------------------------


async def test_thirty_days_before_an_end_the_inbox_asks_and_nothing_is_renewed(household: Household) -> None:
    household.a_family("1980-01-01")
    person = (await household.login(CHILD)).own
    await household.choose(person, replace(YES, months=3))
    assert await household.portal.citizens.notices(person) == []
    household.world.clock.offset += timedelta(days=70)
    person = (await household.login(CHILD)).own
    (notice,) = await household.portal.citizens.notices(person)
    assert notice.what == "ends"
    assert notice.choice is not None
    assert notice.choice.kind == "schuldhulp"
    household.world.clock.offset += timedelta(days=30)
    assert not await household.sees()
    assert await household.portal.citizens.notices((await household.login(CHILD)).own) == []


async def test_before_an_age_boundary_the_inbox_of_child_and_parent_says_so(household: Household) -> None:
    household.a_family(household.born(12, days=-20))
    for session in ((await household.login(CHILD)).own, await household.for_child(MOTHER)):
        (notice,) = await household.portal.citizens.notices(session)
        assert notice.what == "older"


# --- small parts ---------------------------------------------------------------------


def test_a_reference_is_short_and_plain_and_holds_no_number_of_a_person() -> None:
    assert is_reference("CCBR/2026/17")
    assert is_reference("brp:gezag")
    for wrong in ("", "x" * 33, "met spatie", CHILD, f"A-{CHILD[:5]}/{CHILD[5:]}", f"1{CHILD}"):
        assert not is_reference(wrong), wrong


def test_a_login_without_a_claim_speaks_for_nobody() -> None:
    assert read_mandate(None, datetime(2026, 1, 1, tzinfo=UTC)) is None
    with pytest.raises(NotAllowed):
        read_mandate("ja", datetime(2026, 1, 1, tzinfo=UTC))


async def test_the_brp_is_not_asked_to_keep_a_login_from_opening(household: Household) -> None:
    class Away:
        async def persons(self, bsns: Any, fields: Any = ()) -> Any:
            raise BrpUnavailable

    household.portal.brp = Away()
    assert (await household.login(CHILD)).brp_away
