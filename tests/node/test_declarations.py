"""What citizens declare about themselves: seen on a yes only, taken back from a session, nobody listed."""

from datetime import date, timedelta

import pytest
from sqlalchemy import select

from nodes.bsn import Bsn
from nodes.citizen import Change, CitizenSession, Receiver
from nodes.declarations import Declarations, reference_of
from nodes.errors import BadInput, NotAllowed
from nodes.persons import person_tag
from nodes.representation import Known, Speaker
from nodes.runtime import NodeRuntime
from nodes.store.tables import flag as flag_table
from nodes.store.tables import waiting

from .world import BORN, BSN_A, BSN_B, GEMEENTE, NodeWorld

pytestmark = pytest.mark.anyio
MONEY, CARE = "zelf_gemeld_geldzorgen", "zelf_gemeld_mantelzorg"
TEAM = Receiver(GEMEENTE, "wijkteam-noord")


async def login(world: NodeWorld, bsn: str = BSN_A, **known: object) -> tuple[NodeRuntime, CitizenSession]:
    portal = world.portal()
    born = known.pop("born", BORN)
    assert isinstance(born, date)
    return portal, await portal.citizens.open(Bsn.parse(bsn), world.grant(), born, **known)  # type: ignore[arg-type]


async def drain(portal: NodeRuntime) -> None:
    while await portal.sender.step():
        pass
    assert portal.outbox.is_drained()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests step the sender themselves, so there is nothing to wait for."""
    monkeypatch.setattr("nodes.declarations._WAIT_S", 0.0)


def state(declared: list, kind: str = MONEY) -> str:
    return next(one.state for one in declared if one.kind == kind)


async def test_declaring_is_not_consent_and_is_seen_after_a_yes_as_self_declared(world: NodeWorld) -> None:
    portal, session = await login(world)
    assert [one.state for one in await portal.declarations.of(session)] == ["none"] * 2

    await portal.declarations.declare(session, MONEY, 6)
    await drain(portal)

    assert state(await portal.declarations.of(session)) == "declared"
    assert await world.sees(BSN_A) == set()
    await portal.citizens.choose(session, Change("grant", kind=MONEY, receiver=TEAM), "Ja.")
    desk = world.desk()
    from nodes.employees import Employee

    jan = Employee("jan-pseudoniem", "generalist", "wijkteam-noord")
    visit = await desk.visits.open(jan, [Bsn.parse(BSN_A)], "huisbezoek", "Z-1")
    (person,) = await desk.visits.look(jan, visit.id)
    assert [(flag.kind, flag.self_declared) for flag in person.flags] == [(MONEY, True)]


async def test_taking_back_works_from_a_new_session_after_a_restart(world: NodeWorld) -> None:
    portal, session = await login(world)
    await portal.declarations.declare(session, MONEY, 12)
    await drain(portal)
    await portal.citizens.choose(session, Change("grant", kind=MONEY, receiver=TEAM), "Ja.")
    assert await world.sees(BSN_A) == {MONEY}

    again, session = await login(world)  # opened anew from its files
    await again.declarations.take_back(session, MONEY)
    await drain(again)

    assert await world.sees(BSN_A) == set()
    assert state(await again.declarations.of(session)) == "none"


async def test_what_was_taken_back_can_be_declared_again_under_another_secret(world: NodeWorld) -> None:
    portal, session = await login(world)
    for _ in range(2):
        await portal.declarations.declare(session, MONEY, 3)
        await drain(portal)
        assert state(await portal.declarations.of(session)) == "declared"
        await portal.declarations.take_back(session, MONEY)
        await drain(portal)
    with portal.engine.connect() as connection:
        (row,) = connection.execute(select(flag_table)).all()
    assert (row.revision, row.state) == (2, "retracted")


async def test_somebody_elses_session_takes_nothing_back(world: NodeWorld) -> None:
    portal, session = await login(world)
    await portal.declarations.declare(session, MONEY, 12)
    await drain(portal)
    _, other = await login(world, BSN_B)
    await portal.declarations.take_back(other, MONEY)
    await drain(portal)
    assert state(await portal.declarations.of(session)) == "declared"
    assert state(await portal.declarations.of(other)) == "none"


async def test_the_portal_keeps_no_trace_that_a_number_can_be_tried_against(world: NodeWorld) -> None:
    portal, session = await login(world)
    for kind in (MONEY, CARE):
        await portal.declarations.declare(session, kind, 12)
    await drain(portal)
    with portal.engine.connect() as connection:
        rows = connection.execute(select(flag_table)).all()
        assert connection.execute(select(waiting)).all() == []
    secret, bsn = portal.keys.secret, Bsn.parse(BSN_A)
    tried = {person_tag(secret, bsn, context) for context in ("flag", "declared", MONEY, CARE)}
    assert len({row.person for row in rows}) == len({row.local_ref for row in rows}) == 2
    assert not {row.person for row in rows} & tried
    stored = b"".join(path.read_bytes() for path in (world.folder / "nodes" / "portaal").glob("node.sqlite*"))
    assert BSN_A.encode() not in stored
    # With the node secret and everything stored, a number alone does not give the reference: N is needed.
    for kind in (MONEY, CARE):
        scope = portal.vocabulary.kind(kind).domain
        value = portal.citizens.pseudonym(session, scope)
        assert reference_of(secret, kind, value) in {row.local_ref for row in rows}
        assert reference_of(bytes(32), kind, value) not in {row.local_ref for row in rows}


async def test_a_declaration_ends_within_twelve_months(world: NodeWorld) -> None:
    portal, session = await login(world)
    now = world.clock()
    for months in (3, 6, 12):
        last = portal.declarations.last_month(session, months)
        year, month = int(last[:4]), int(last[5:])
        ends = date(year + month // 12, month % 12 + 1, 1)
        assert ends <= date(now.year + 1, now.month, now.day if now.day < 29 else 28)
    await portal.declarations.declare(session, MONEY, 3)
    await drain(portal)
    await portal.citizens.choose(session, Change("grant", kind=MONEY, receiver=TEAM), "Ja.")
    world.clock.offset += timedelta(days=95)
    _, session = await login(world)
    assert state(await portal.declarations.of(session)) == "none"
    assert await world.sees(BSN_A) == set()


async def test_the_lease_of_a_portals_flags_is_confirmed_as_any_source_does(world: NodeWorld) -> None:
    portal, session = await login(world)
    await portal.declarations.declare(session, MONEY, 12)
    await drain(portal)
    await portal.citizens.choose(session, Change("grant", kind=MONEY, receiver=TEAM), "Ja.")
    world.clock.offset += timedelta(days=30)
    assert await portal.sender.confirm() == []
    world.clock.offset += timedelta(days=10)
    assert await world.sees(BSN_A) == {MONEY}


async def test_only_the_closed_list_can_be_declared(world: NodeWorld) -> None:
    portal, session = await login(world)
    for kind in ("schuldhulp", "zelf_gemeld_werk", "geld", ""):
        with pytest.raises(BadInput):
            await portal.declarations.declare(session, kind, 3)
        with pytest.raises(BadInput):
            await portal.declarations.take_back(session, kind)


async def test_who_may_not_choose_may_not_declare(world: NodeWorld) -> None:
    today = world.clock().date()
    child, teen, adult = (date(today.year - age, 1, 1) for age in (8, 14, 40))
    parent, mentor = Speaker("ouder", "abcdefgh", "brp:gezag"), Speaker("mentor", "abcdefgh", "M-1")
    portal, session = await login(world, born=child)
    with pytest.raises(NotAllowed, match="age"):
        await portal.declarations.declare(session, MONEY, 3)
    portal, session = await login(world, born=adult, known=Known(adult), speaker=mentor)
    with pytest.raises(NotAllowed, match="not-your-subject"):
        await portal.declarations.declare(session, MONEY, 3)
    portal, session = await login(world, born=teen, known=Known(teen), speaker=parent)
    await portal.declarations.declare(session, MONEY, 12)
    await drain(portal)
    assert state(await portal.declarations.of(session)) == "declared"


async def test_a_desk_and_a_source_declare_nothing(world: NodeWorld) -> None:
    assert world.desk().declarations.kinds == []
    assert world.source().node.declarations.kinds == []
    assert isinstance(world.portal().declarations, Declarations)
