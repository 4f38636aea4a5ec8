"""What the portal says before the click, held against real lookups at the hub after it: cell by cell.

Two organisations with profiles of their own, one with a convenant, one with a mandate; every role and
purpose asks; every kind is published. The hub's registers decide, whatever the portal's settings say.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consent import preview as consent_preview
from consent.state import ChoiceState
from index.protocol.directory import KindEntry, NodeEntry, OrganisationEntry, TeamEntry
from nodes.bsn import Bsn
from nodes.citizen import Cell, Change, CitizenSession, Effects, Receiver
from nodes.employees import Employee
from nodes.errors import NotAllowed, ReceiptInvalid
from nodes.policy import InForce
from nodes.publication import Publication
from nodes.runtime import NodeRuntime
from policy.decide import CRISIS
from tests.federation_keys import node_entry
from tests.hub.office import Bureau, People

from .world import BORN, BSN_A, GEMEENTE, PORTAAL, SCHULDHULP, VOCABULARY, NodeWorld

KETEN = "00000007777777770000"
NOORD, ZUID = Receiver(GEMEENTE, "wijkteam-noord"), Receiver(KETEN, "wijkteam-zuid")
KINDS = [kind.code for kind in VOCABULARY.kinds if kind.enabled and not kind.self_declared]
ROLES = [role for role in VOCABULARY.roles if role.bsn_allowed]
Square = tuple[str, str, str, str, str]


class TwoTeams(NodeWorld):
    """A municipality under `wijkteam_regie` with a mandate, a partner in `kernteam` with a convenant."""

    def __init__(self, folder: Path) -> None:
        self.people = People(folder)
        super().__init__(folder)

    def nodes_of(self, keys: Any) -> list[NodeEntry]:
        return [
            *super().nodes_of(keys),
            node_entry("wijkteam-zuid", 4, keys["wijkteam-zuid"], classes=["lookup"], oin=KETEN),
        ]

    def organisations(self) -> list[OrganisationEntry]:
        known = [KindEntry(code, "Een bron", "14 0123") for code in KINDS]
        return [
            OrganisationEntry(1, GEMEENTE, "gemeente", [], [TeamEntry(1, "wijkteam-noord")]),
            OrganisationEntry(2, SCHULDHULP, "hulpverlening", known, []),
            OrganisationEntry(3, PORTAAL, "portaal", [], []),
            OrganisationEntry(4, KETEN, "hulpverlening", [], [TeamEntry(2, "wijkteam-zuid")]),
        ]

    def hub_changes(self) -> dict[str, Any]:
        return {
            "approvers": self.people.approvers(),
            "organisations": {
                GEMEENTE: {"profile": "wijkteam_regie", "mandate_acts": ["participatiewet"]},
                KETEN: {"profile": "kernteam"},
            },
        }

    def convenant(self) -> None:
        """Two people register one for the partner: debt help, in case meetings."""
        bureau = Bureau(SimpleNamespace(settings=self.hub_settings, clock=self.clock), self.people)  # type: ignore[arg-type]
        added = bureau.register(
            lambda desk: desk.add_convenant(
                bureau.who("anna"), organisation=KETEN, kinds=["schuldhulp"], purposes=["casusoverleg"],
                begin=date(2026, 1, 1), end=date(2099, 1, 1),
            )
        )  # fmt: skip
        bureau.register(lambda desk: desk.approve("convenant", bureau.who("bram"), added))


class Table:
    """One citizen, and everybody who can ask about her, each with an open visit."""

    def __init__(self, world: TwoTeams) -> None:
        self.world = world
        self.portal: NodeRuntime
        self.session: CitizenSession
        self.visits: dict[tuple[str, str, str, str], tuple[NodeRuntime, Employee, str]] = {}

    async def laid(self) -> "Table":
        source = self.world.source()
        for code in KINDS:
            item = {"bsn": BSN_A, "kind": code, "localRef": code, "since": "2025-03"}
            checked = source.node.rules.check(item)
            assert isinstance(checked, Publication), code
            await source.node.intake.submit("api", publications=[checked])
        await source.drain()
        self.portal = self.world.portal()
        desks = [(self.world.desk(), NOORD), (self.world.node("wijkteam-zuid", "desk"), ZUID)]
        for desk, team in desks:
            for role in ROLES:
                for purpose in set(role.purposes) - {CRISIS}:
                    who = Employee("jan-pseudoniem", role.code, team.team)
                    try:
                        visit = await desk.visits.open(who, [Bsn.parse(BSN_A)], purpose, "Z-1")
                    except NotAllowed:
                        continue  # nobody can ask: there is nothing to see
                    self.visits[team.oin, team.team, role.code, purpose] = (desk, who, visit.id)
        return self

    async def fresh(self) -> None:
        """Log in again, and stand as somebody who never chose."""
        self.session = await self.portal.citizens.open(Bsn.parse(BSN_A), self.world.grant(), BORN)
        while mine := [one for one in await self.portal.citizens.choices(self.session) if one.in_force]:
            await self.portal.citizens.withdraw(self.session, mine[0].group, "")

    async def real(self) -> set[Square]:
        """What the hub shows now, to each who can ask."""
        found: set[Square] = set()
        for place, (desk, who, visit) in self.visits.items():
            (person,) = await desk.visits.look(who, visit)
            assert person.refused == ""
            found |= {(*place, flag.kind) for flag in person.flags}
        return found

    async def differences(self, said: Effects, before: set[Square]) -> list[str]:
        """Every cell in which what was said is not what came."""
        after = await self.real()
        opened, closed = _squares(said.opened), _squares(said.closed)
        return [
            *(f"opened, not said: {cell}" for cell in sorted(after - before - opened)),
            *(f"said to open, did not: {cell}" for cell in sorted(opened - (after - before))),
            *(f"closed, not said: {cell}" for cell in sorted(before - after - closed)),
            *(f"said to close, did not: {cell}" for cell in sorted(closed - (before - after))),
            *(f"said to stay by law, not there: {cell}" for cell in sorted(_squares(said.by_law) - after)),
        ]

    async def click(self, change: Change) -> list[str]:
        """Differences after the click and after undoing it."""
        citizens = self.portal.citizens
        before = await self.real()
        saved_says = await citizens.preview(self.session, change)
        saved = await citizens.choose(self.session, change, "ja")
        found = await self.differences(saved_says, before)
        between = await self.real()
        undo_says = await citizens.preview_withdrawal(self.session, saved.group)
        await citizens.withdraw(self.session, saved.group, "terug")
        return found + await self.differences(undo_says, between)


def _squares(cells: list[Cell]) -> set[Square]:
    return {
        (cell.organisation, cell.team, cell.role, cell.purpose, cell.kind)
        for cell in cells
        # Break-glass is declared per person and is no case relation, so it has no square here.
        if cell.kind in KINDS and cell.purpose != CRISIS
    }


class Loop:
    """One world for all examples of this file; each begins as somebody who never chose."""

    def __init__(self, folder: Path) -> None:
        self.runner = asyncio.Runner()
        self._world = self._running(folder)
        self.table: Table = self.runner.run(self._world.__anext__())

    async def _running(self, folder: Path) -> AsyncIterator[Table]:
        world = TwoTeams(folder)
        async with world.running():
            world.convenant()
            yield await Table(world).laid()

    async def _end(self) -> None:
        async for _ in self._world:
            pass

    def close(self) -> None:
        self.runner.run(self._end())
        self.runner.close()

    def after(self, start: list[Change], change: Change) -> list[str]:
        async def run() -> list[str]:
            await self.table.fresh()
            for one in start:
                await self.table.portal.citizens.choose(self.table.session, one, "begin")
            return await self.table.click(change)

        return self.runner.run(run())


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    made = Loop(tmp_path_factory.mktemp("preview"))
    yield made
    made.close()


RECEIVERS = st.sampled_from(
    [Receiver(), Receiver(GEMEENTE), NOORD, ZUID, Receiver(GEMEENTE, "wijkteam-noord", "generalist"),
     Receiver(KETEN, "wijkteam-zuid", "ketenpartner")]
)  # fmt: skip
PURPOSES = st.sampled_from(["", "huisbezoek", "casusoverleg", "crisis"])
YES_KINDS = [kind.code for kind in VOCABULARY.kinds if kind.consent_possible and not kind.self_declared]
SUBJECTS = st.one_of(
    st.sampled_from([{}, {"domain": "geld"}, {"domain": "zorg"}]),
    st.sampled_from(YES_KINDS).map(lambda code: {"kind": code}),
)


@st.composite
def changes(draw: st.DrawFn) -> Change:
    return Change(
        draw(st.sampled_from(["grant", "grant", "deny", "slot"])),  # type: ignore[arg-type]
        receiver=draw(RECEIVERS),
        purpose=draw(PURPOSES),
        **draw(SUBJECTS),
    )


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(start=st.lists(changes(), max_size=4), change=changes())
def test_what_is_said_before_the_click_is_what_the_hub_shows_after_it_and_after_undo(
    loop: Loop, start: list[Change], change: Change
) -> None:
    assert loop.after(start, change) == []


YES_TO_ALL = Change("grant", receiver=NOORD)
NARROWER_NO = Change("deny", kind="schuldhulp", receiver=NOORD, purpose="huisbezoek")


def test_ending_a_no_may_open_and_that_is_said_first(loop: Loop) -> None:
    async def run() -> tuple[Effects, list[str]]:
        await loop.table.fresh()
        citizens, session = loop.table.portal.citizens, loop.table.session
        await citizens.choose(session, YES_TO_ALL, "ja")
        no = await citizens.choose(session, NARROWER_NO, "nee")
        before = await loop.table.real()
        said = await citizens.preview_withdrawal(session, no.group)
        await citizens.withdraw(session, no.group, "terug")
        return said, await loop.table.differences(said, before)

    said, differences = loop.runner.run(run())
    assert {cell.kind for cell in said.opened} == {"schuldhulp"}
    assert differences == []


@contextmanager
def planted(place: Any, name: str, value: Any) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, name, value)
        yield


def test_a_preview_that_ignores_a_narrower_no_is_found_out(loop: Loop) -> None:
    honest = consent_preview.states_of

    def lying(state: ChoiceState | None, *more: Any, **named: Any) -> Any:
        if state is not None:
            kept = tuple(d for d in state.directives if d.effect != "deny" or len(d.category) < 2)
            state = ChoiceState(state.head, state.number, kept)
        return honest(state, *more, **named)

    with planted(consent_preview, "states_of", lying):
        assert loop.after([NARROWER_NO], YES_TO_ALL) != []
    assert loop.after([NARROWER_NO], YES_TO_ALL) == []


def test_a_preview_that_ignores_the_profile_or_the_convenant_is_found_out(loop: Loop) -> None:
    honest = InForce.asker
    yes = Change("grant", kind="schuldhulp", receiver=ZUID)

    def without_convenant(*args: Any) -> Any:
        from dataclasses import replace

        return replace(honest(*args), convenant=frozenset())

    def other_profile(*args: Any) -> Any:
        from dataclasses import replace

        return replace(honest(*args), profile="basis")

    with planted(InForce, "asker", without_convenant):
        assert loop.after([], yes) != []
    with planted(InForce, "asker", other_profile):
        assert loop.after([], Change("grant", receiver=NOORD)) != []
    assert loop.after([], yes) == []


def test_a_change_at_the_hub_is_in_the_next_preview(loop: Loop) -> None:
    """The partner's convenant ends: the next preview says no, and so does the hub."""
    yes = Change("grant", kind="schuldhulp", receiver=Receiver(KETEN, "wijkteam-zuid", "ketenpartner"))

    async def opened() -> list[Cell]:
        await loop.table.fresh()
        return (await loop.table.portal.citizens.preview(loop.table.session, yes)).opened

    assert {cell.purpose for cell in loop.runner.run(opened())} == {"casusoverleg"}
    world = loop.table.world
    bureau = Bureau(SimpleNamespace(settings=world.hub_settings, clock=world.clock), world.people)  # type: ignore[arg-type]
    (entry,) = [one for one in _registered(bureau) if one.what == "convenant"]
    bureau.register(lambda desk: desk.end("convenant", bureau.who("anna"), entry.id))
    assert loop.runner.run(opened()) == []
    assert loop.after([], yes) == []


def _registered(bureau: Bureau) -> list[Any]:
    with bureau.office.sitting() as sitting:
        from index.registers import Registers

        return list(Registers().after(sitting.history).entries.values())


def test_a_policy_that_the_hub_did_not_sign_is_not_used(loop: Loop) -> None:
    world = loop.table.world

    async def run() -> None:
        portal = world.portal()
        session = await portal.citizens.open(Bsn.parse(BSN_A), world.grant(), BORN)
        world.network.alter = lambda path, raw: (
            raw.replace(b'"kernteam"', b'"basis"') if path == "/v1/policy" else raw
        )
        try:
            with pytest.raises(ReceiptInvalid):
                await portal.citizens.preview(session, YES_TO_ALL)
        finally:
            world.network.alter = None

    loop.runner.run(run())
