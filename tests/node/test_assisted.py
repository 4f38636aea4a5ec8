"""At the kitchen table, through the real hub: the employee gives no yes, and the citizen sees all of it."""

from datetime import timedelta

import pytest

from nodes.bsn import Bsn
from nodes.citizen import Change, CitizenSession, CodeView, Receiver
from nodes.codes import ALPHABET, digest_of_code, new_code, read_code, shown
from nodes.employees import Employee
from nodes.errors import BadInput, NotAllowed, Refused, UnknownVisit
from nodes.runtime import NodeRuntime
from nodes.visits import Visit

from .world import BORN, BSN_A, BSN_B, GEMEENTE, NodeWorld

pytestmark = pytest.mark.anyio
TEAM = Receiver(GEMEENTE, "wijkteam-noord")
JAN = Employee("jan-pseudoniem", "generalist", "wijkteam-noord")
EVA = Employee("eva-pseudoniem", "generalist", "wijkteam-noord")


async def at_table(world: NodeWorld, bsn: str = BSN_A, kind: str = "schuldhulp") -> tuple[NodeRuntime, Visit]:
    """A flag exists, and Jan has a visit open."""
    source = world.source()
    await source.publish(bsn, f"Z-{kind}", kind=kind)
    await source.drain()
    desk = world.desk()
    return desk, await desk.visits.open(JAN, [Bsn.parse(bsn)], "huisbezoek", "Z-1")


async def login(world: NodeWorld, bsn: str = BSN_A) -> tuple[NodeRuntime, CitizenSession]:
    portal = world.portal()
    return portal, await portal.citizens.open(Bsn.parse(bsn), world.grant(), BORN)


async def seen(desk: NodeRuntime, visit: Visit) -> set[str]:
    (person,) = await desk.visits.look(JAN, visit.id)
    return {flag.kind for flag in person.flags}


# --- the own phone ----------------------------------------------------------------------


def test_a_code_reads_well_and_is_found_whatever_way_it_is_typed() -> None:
    for _ in range(200):
        code = new_code()
        assert len(code) == 8
        assert set(code) <= set(ALPHABET)
        assert not code.isdigit()
        assert not set(code) & set("01ILOU")
        assert read_code(shown(code)) == read_code(f" {code.lower()[:3]}-{code.lower()[3:]}") == code
    assert [read_code(typed) for typed in ("", "ABCDEFG", "ABCDEFGHJ", "ABCDEFG0", "12345678", "É" * 8)] == [
        ""
    ] * 6
    assert digest_of_code("ABCDEFGH") != digest_of_code("ABCDEFGJ")


async def test_what_the_citizen_chooses_on_the_own_phone_holds_and_the_desk_only_hears_done(
    world: NodeWorld,
) -> None:
    desk, visit = await at_table(world)
    given = await desk.assisted.give_code(JAN, visit.id, 0)
    assert given.address == f"https://portaal.test/code/{given.code}"
    assert given.until - world.clock() <= timedelta(minutes=10)
    portal, session = await login(world)

    view = await portal.citizens.open_code(session, given.code)
    assert (view.receiver.receiver, view.role, view.purpose) == (TEAM, "generalist", "huisbezoek")
    yes = Change("grant", kind="schuldhulp", receiver=TEAM, months=12)
    preview = await portal.citizens.preview(session, yes, view)
    assert {(cell.kind, cell.team, cell.purpose) for cell in preview.opened} == {
        ("schuldhulp", "wijkteam-noord", "huisbezoek")
    }
    await portal.citizens.choose(session, yes, "Ja.", view)
    assert await seen(desk, visit) == {"schuldhulp"}
    assert not await desk.assisted.is_done(JAN, visit.id, 0)

    await portal.citizens.code_done(session, given.code)

    assert await desk.assisted.is_done(JAN, visit.id, 0)


async def test_a_yes_to_everything_by_code_stays_within_the_visit(world: NodeWorld) -> None:
    desk, visit = await at_table(world)
    given = await desk.assisted.give_code(JAN, visit.id, 0)
    portal, session = await login(world)
    view = await portal.citizens.open_code(session, given.code)

    await portal.citizens.choose(session, Change("grant", receiver=TEAM), "Ja, alles.", view)

    standing = await portal.citizens.standing(session)
    assert {(cell.team, cell.purpose) for cell in standing.by_consent} == {("wijkteam-noord", "huisbezoek")}
    assert await seen(desk, visit) == {"schuldhulp"}
    await portal.citizens.choose(session, Change("deny", receiver=TEAM), "Nee, niets.", view)
    assert await seen(desk, visit) == set()


async def test_the_portal_shows_a_yes_by_code_as_over_a_month_after_the_visit(world: NodeWorld) -> None:
    desk, visit = await at_table(world)
    given = await desk.assisted.give_code(JAN, visit.id, 0)
    portal, session = await login(world)
    view = await portal.citizens.open_code(session, given.code)
    await portal.citizens.choose(session, Change("grant", kind="schuldhulp", receiver=TEAM), "Ja.", view)
    await desk.visits.close(JAN, visit.id)
    world.clock.offset += timedelta(days=32)

    portal, session = await login(world)

    assert [choice.in_force for choice in await portal.citizens.choices(session)] == [False]
    assert (await portal.citizens.standing(session)).by_consent == []


async def test_every_code_that_does_not_work_gives_the_same_error(world: NodeWorld) -> None:
    desk, visit = await at_table(world)
    portal, session = await login(world)
    _, other = await login(world, BSN_B)
    used = (await desk.assisted.give_code(JAN, visit.id, 0)).code
    await portal.citizens.open_code(session, used)
    fresh = (await desk.assisted.give_code(JAN, visit.id, 0)).code
    errors = []
    for who, code in ((session, used), (other, fresh), (session, new_code())):
        with pytest.raises(BadInput) as refused:
            await portal.citizens.open_code(who, code)
        errors.append((refused.value.field, refused.value.code, str(refused.value)))
    world.clock.offset += timedelta(minutes=11)
    with pytest.raises(BadInput) as refused:
        await portal.citizens.open_code(session, fresh)
    errors.append((refused.value.field, refused.value.code, str(refused.value)))
    assert len(set(errors)) == 1


async def test_nothing_of_a_code_is_kept_at_the_desk_and_no_number_is_in_its_address(
    world: NodeWorld,
) -> None:
    desk, visit = await at_table(world)
    given = await desk.assisted.give_code(JAN, visit.id, 0)
    stored = b"".join(
        path.read_bytes() for path in (world.folder / "nodes" / "wijkteam").glob("node.sqlite*")
    )
    assert given.code.encode() not in stored
    assert BSN_A not in given.address
    over_the_wire = b"".join(body for path, _, body in world.network.sent if path == "/v1/codes")
    assert over_the_wire
    assert given.code.encode() not in over_the_wire


async def test_only_the_employee_of_the_visit_gives_a_code(world: NodeWorld) -> None:
    desk, visit = await at_table(world)
    for who, place in ((EVA, 0), (JAN, 1), (JAN, 7)):
        with pytest.raises(UnknownVisit):
            await desk.assisted.give_code(who, visit.id, place)


async def test_a_portal_that_the_directory_does_not_have_gives_no_code(world: NodeWorld) -> None:
    desk = world.desk(portal_node="elders")
    visit = await desk.visits.open(JAN, [Bsn.parse(BSN_A)], "huisbezoek", "Z-1")
    with pytest.raises(NotAllowed, match="no-portal"):
        await desk.assisted.give_code(JAN, visit.id, 0)


# --- a form and its letter ----------------------------------------------------------------


async def form(desk: NodeRuntime, visit: Visit, reference: str = "F-17", kind: str = "schuldhulp") -> str:
    letter = await desk.assisted.enter_form(
        JAN, visit.id, 0, kind=kind, reference=reference, text="Formulier.", adult=True
    )
    return letter.code


async def test_a_form_holds_and_the_letters_code_turns_it_into_an_own_yes(world: NodeWorld) -> None:
    desk, visit = await at_table(world)
    code = await form(desk, visit)
    assert await seen(desk, visit) == {"schuldhulp"}
    portal, session = await login(world)
    (entered,) = await portal.citizens.entered(session)
    assert (entered.kind, entered.by, entered.role, entered.waits) == (
        "schuldhulp",
        "Wijkteam Noord",
        "generalist",
        True,
    )

    view = await portal.citizens.form_of(session, code)
    await portal.citizens.confirm(session, view.group, 6, "Ja, dit klopt.")

    world.clock.offset += timedelta(hours=73)
    assert await seen(desk, visit) == {"schuldhulp"}
    portal, session = await login(world)
    own = [choice for choice in await portal.citizens.choices(session) if choice.in_force]
    assert [(choice.effect, choice.provisional) for choice in own] == [("grant", False)]
    with pytest.raises(BadInput):
        await portal.citizens.form_of(session, code)  # once


async def test_after_72_hours_a_form_is_over_and_its_code_works_no_more(world: NodeWorld) -> None:
    desk, visit = await at_table(world)
    code = await form(desk, visit)
    _, session = await login(world)
    portal = world.portal()
    view = await portal.citizens.form_of(session, code)
    world.clock.offset += timedelta(hours=72, seconds=1)

    assert await seen(desk, visit) == set()
    portal, session = await login(world)
    for attempt in (
        portal.citizens.form_of(session, code),
        portal.citizens.confirm(session, view.group, 3, "Ja."),
    ):
        with pytest.raises(BadInput):
            await attempt


async def test_a_letter_of_somebody_else_confirms_nothing(world: NodeWorld) -> None:
    desk, visit = await at_table(world)
    code = await form(desk, visit)
    portal, other = await login(world, BSN_B)
    for typed in (code, new_code(), ""):
        with pytest.raises(BadInput) as refused:
            await portal.citizens.form_of(other, typed)
        assert (refused.value.field, refused.value.code) == ("code", "code")


async def test_without_a_form_an_age_or_a_plain_reference_nothing_is_sent(world: NodeWorld) -> None:
    desk, visit = await at_table(world)
    before = len(world.network.sent)
    wrong = [
        ({"reference": "", "adult": True}, "no-form"),
        ({"reference": BSN_A, "adult": True}, "bad-form"),
        ({"reference": "twee woorden", "adult": True}, "bad-form"),
        ({"reference": "F-1", "adult": False}, "not-adult"),
    ]
    for fields, code in wrong:
        with pytest.raises(BadInput) as refused:
            await desk.assisted.enter_form(JAN, visit.id, 0, kind="schuldhulp", text="", **fields)  # type: ignore[arg-type]
        assert refused.value.code == code
        assert BSN_A not in str(refused.value)
    assert len(world.network.sent) == before
    assert await seen(desk, visit) == set()


async def test_a_form_about_health_and_a_second_one_are_refused(world: NodeWorld) -> None:
    desk, visit = await at_table(world)
    with pytest.raises(Refused, match="form-art9"):
        await form(desk, visit, kind="wmo_voorziening")
    await form(desk, visit)
    with pytest.raises(Refused, match="form-again"):
        await form(desk, visit, "F-18")


async def test_the_page_offers_a_form_for_no_subject_that_would_be_refused(world: NodeWorld) -> None:
    desk, visit = await at_table(world)
    offered = await desk.assisted.form_subjects(JAN, visit.id)
    assert {kind.code for kind in offered} >= {"schuldhulp", "bijstand"}
    assert not [kind.code for kind in offered if kind.art9_or_10 or not kind.consent_possible]
    for number, kind in enumerate(offered):
        await form(desk, visit, f"F-{number}", kind.code)


# --- a no -----------------------------------------------------------------------------------


async def test_a_no_at_the_table_holds_at_once_and_the_citizen_sees_who_entered_it(world: NodeWorld) -> None:
    desk, visit = await at_table(world)
    await world.allow(BSN_A)
    assert await seen(desk, visit) == {"schuldhulp"}

    await desk.assisted.stop(JAN, visit.id, 0, effect="deny", kind="schuldhulp", text="Nee.")

    assert await seen(desk, visit) == set()
    portal, session = await login(world)
    (entered,) = await portal.citizens.entered(session)
    assert (entered.effect, entered.by, entered.role, entered.until) == (
        "deny",
        "Wijkteam Noord",
        "generalist",
        None,
    )
    looks = await portal.citizens.looks(session)
    assert looks.verified
    assert ("choice", "generalist") in {(line.activity, line.role) for line in looks.lines}


async def test_a_slot_at_the_table_closes_the_subjects_of_the_visit_for_everybody(world: NodeWorld) -> None:
    desk, visit = await at_table(world)
    await desk.assisted.stop(JAN, visit.id, 0, effect="slot", kind="", text="Alles dicht.")
    await world.allow(BSN_A)
    assert await seen(desk, visit) == set()


async def test_a_code_view_shows_no_code_when_it_is_printed(world: NodeWorld) -> None:
    desk, visit = await at_table(world)
    given = await desk.assisted.give_code(JAN, visit.id, 0)
    portal, session = await login(world)
    view: CodeView = await portal.citizens.open_code(session, given.code)
    code = await form(desk, visit)
    assert given.code not in repr(given) + repr(view)
    assert code not in repr(await portal.citizens.entered(session))
