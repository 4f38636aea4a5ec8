"""A lock stops every yes, a later one too, until the citizen opens it; the law it does not stop."""

import pytest

from nodes.bsn import Bsn
from nodes.citizen import Change, Receiver

from .world import BORN, BSN_A, GEMEENTE, NodeWorld

pytestmark = pytest.mark.anyio
TEAM = Receiver(GEMEENTE, "wijkteam-noord")
YES = Change("grant", kind="schuldhulp", receiver=TEAM)


@pytest.mark.parametrize("domain", ["", "geld"])
async def test_a_lock_closes_a_later_yes_too_and_opening_it_brings_the_yes_back(
    world: NodeWorld, domain: str
) -> None:
    source = world.source()
    await source.publish(BSN_A, "SH-1")
    await source.drain()
    citizens = world.portal().citizens
    session = await citizens.open(Bsn.parse(BSN_A), world.grant(), BORN)
    await citizens.choose(session, YES, "Ja.")
    assert await world.sees(BSN_A) == {"schuldhulp"}

    promised = await citizens.preview(session, Change("slot", domain=domain))
    assert "schuldhulp" in {cell.kind for cell in promised.closed}
    lock = await citizens.choose(session, Change("slot", domain=domain), "Op slot.")
    assert await world.sees(BSN_A) == set()
    await citizens.choose(session, YES, "Toch ja.")
    assert await world.sees(BSN_A) == set()

    (held,) = [one for one in await citizens.choices(session) if one.effect == "slot"]
    assert (held.domain, held.in_force, held.mine) == (domain, True, True)
    opening = await citizens.preview_withdrawal(session, lock.group)
    assert "schuldhulp" in {cell.kind for cell in opening.opened}
    await citizens.withdraw(session, lock.group, "Open.")
    assert await world.sees(BSN_A) == {"schuldhulp"}


async def test_a_lock_elsewhere_closes_nothing_here(world: NodeWorld) -> None:
    source = world.source()
    await source.publish(BSN_A, "SH-1")
    await source.drain()
    citizens = world.portal().citizens
    session = await citizens.open(Bsn.parse(BSN_A), world.grant(), BORN)
    await citizens.choose(session, YES, "Ja.")
    await citizens.choose(session, Change("slot", domain="zorg"), "Op slot.")
    assert await world.sees(BSN_A) == {"schuldhulp"}
