"""A no stops what it says it stops, also where a narrower yes of the citizen's own was in force."""

import pytest

from nodes.bsn import Bsn
from nodes.citizen import Change, Receiver

from .world import BORN, BSN_A, GEMEENTE, NodeWorld

pytestmark = pytest.mark.anyio
TEAM = Receiver(GEMEENTE, "wijkteam-noord")
NARROW = Change("grant", kind="schuldhulp", receiver=TEAM, purpose="huisbezoek")


@pytest.mark.parametrize(
    "no",
    [
        Change("deny", kind="schuldhulp", receiver=TEAM),
        Change("deny", receiver=TEAM),
        Change("deny", kind="schuldhulp"),
        Change("deny"),
    ],
    ids=["the kind", "all kinds", "all receivers", "everything"],
)
async def test_a_broader_no_ends_a_narrower_yes_and_undoing_it_brings_that_back(
    world: NodeWorld, no: Change
) -> None:
    source = world.source()
    await source.publish(BSN_A, "SH-1")
    await source.drain()
    portal = world.portal()
    session = await portal.citizens.open(Bsn.parse(BSN_A), world.grant(), BORN)
    await portal.citizens.choose(session, NARROW, "Ja.")
    assert await world.sees(BSN_A) == {"schuldhulp"}

    promised = await portal.citizens.preview(session, no)
    # What other roles see by task closes too where the no is an objection; this is what the yes had opened.
    opened_by_the_yes = {(cell.kind, cell.purpose) for cell in promised.closed if cell.role == "generalist"}
    assert opened_by_the_yes == {("schuldhulp", "huisbezoek")}
    saved = await portal.citizens.choose(session, no, "Nee.")
    assert await world.sees(BSN_A) == set()
    newest = (await portal.citizens.choices(session))[0]
    assert (newest.effect, newest.kind, newest.in_force) == ("deny", no.kind, True)

    await portal.citizens.withdraw(session, saved.group, "Ongedaan maken.")
    assert await world.sees(BSN_A) == {"schuldhulp"}


async def test_a_yes_after_the_no_opens_again(world: NodeWorld) -> None:
    source = world.source()
    await source.publish(BSN_A, "SH-1")
    await source.drain()
    portal = world.portal()
    session = await portal.citizens.open(Bsn.parse(BSN_A), world.grant(), BORN)
    await portal.citizens.choose(session, NARROW, "Ja.")
    await portal.citizens.choose(session, Change("deny", kind="schuldhulp", receiver=TEAM), "Nee.")
    await portal.citizens.choose(session, Change("grant", kind="schuldhulp", receiver=TEAM), "Ja.")
    assert await world.sees(BSN_A) == {"schuldhulp"}
