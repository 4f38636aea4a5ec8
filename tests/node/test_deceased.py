"""The BRP says that somebody died: every flag of this node about them goes, and none comes back."""

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from nodes.brp import BrpPerson
from nodes.brp.person import FIELDS
from nodes.bsn import Bsn
from nodes.connectors import csv
from nodes.connectors.plan import apply
from nodes.deceased import AskedAtBrp, burial, died_of
from nodes.errors import BrpUnavailable
from nodes.settings import BrpSettings

from .test_istandaarden import REF, at, begun, granted, message, standard, take
from .world import BSN_A, BSN_B, BSN_C, NodeWorld, Source, bsns

pytestmark = pytest.mark.anyio


class Register:
    """A BRP in which some died; remembers what it was asked."""

    def __init__(self, *dead: str) -> None:
        self.dead = set(dead)
        self.away = False
        self.asked: list[tuple[list[str], tuple[str, ...]]] = []

    async def persons(self, bsns: Sequence[Bsn], fields: Sequence[str] = FIELDS) -> list[BrpPerson | None]:
        if self.away:
            raise BrpUnavailable
        self.asked.append(([bsn.reveal() for bsn in bsns], tuple(fields)))
        return [BrpPerson(bsn, None, deceased=bsn.reveal() in self.dead) for bsn in bsns]


async def imported(source: Source, *numbers: str) -> Any:
    rows = "".join(f"{bsn};schuldhulp;L-{bsn[-3:]};2025-03\n" for bsn in numbers)
    made = csv.plan(
        ("bsn;kind;local_ref;since\n" + rows).encode(),
        source.node.outbox,
        source.node.rules,
        shrink_share=1.0,
    )
    await apply(made, source.node.intake, confirm_shrink=True)
    await source.drain()
    return made


async def bury(source: Source, brp: Register, *numbers: str) -> list[str]:
    asked = [Bsn.parse(number) for number in numbers]
    died = await died_of(brp, asked)
    dead = [bsn for bsn, gone in zip(asked, died, strict=True) if gone]
    refs, remember = burial(source.node.outbox, source.node.engine, dead, source.node.now())
    await source.node.intake.submit("brp", retractions=refs, memory=remember)
    await source.drain()
    return refs


async def test_who_died_loses_every_flag_and_a_late_message_brings_none_back(world: NodeWorld) -> None:
    at(world, "2026-04-10")
    source = standard(world)
    await take(source, message("301", granted()))
    await source.publish(BSN_A, "SH-1")
    await source.publish(BSN_B, "SH-2")
    await source.drain()
    assert await bury(source, Register(BSN_A), BSN_A, BSN_B, BSN_C) == ["SH-1", REF]
    assert (source.state("SH-1"), source.state(REF), source.state("SH-2")) == (
        "retracted", "retracted", "published",
    )  # fmt: skip
    made = await take(source, message("305", begun(), identification="id-9", day="2026-04-09"))
    assert made.counts["publish"] == 0
    assert source.state(REF) == "retracted"


async def test_what_is_gone_keeps_no_digest_of_its_person(world: NodeWorld) -> None:
    source = world.source()
    await source.publish(BSN_A, "SH-1")
    await source.drain()
    await bury(source, Register(BSN_A), BSN_A)
    with sqlite3.connect(source.node.settings.database) as db:
        assert db.execute("SELECT person FROM flag").fetchall() == [(bytes(16),)]


async def test_a_list_publishes_nobody_who_died_and_says_so(world: NodeWorld) -> None:
    source, brp = world.source(), Register(BSN_B)
    source.node.intake.alive = AskedAtBrp(brp)
    await imported(source, *bsns(25))
    assert source.node.outbox.flags([f"L-{BSN_B[-3:]}"]) == {}
    assert len(source.node.outbox.live()) == 24
    assert [(one.code, one.local_ref) for one in await source.node.source.rejected()] == [
        ("deceased", f"L-{BSN_B[-3:]}")
    ]
    assert [len(numbers) for numbers, _ in brp.asked] == [20, 5]
    assert {fields for _, fields in brp.asked} == {("burgerservicenummer",)}


async def test_a_number_is_asked_once_in_a_question_and_answered_at_each_place() -> None:
    brp = Register(BSN_B)
    asked = [Bsn.parse(number) for number in (BSN_A, BSN_B, BSN_A, BSN_B, BSN_C)]
    assert await died_of(brp, asked) == [False, True, False, True, False]
    assert [numbers for numbers, _ in brp.asked] == [[BSN_A, BSN_B, BSN_C]]


async def test_a_brp_that_is_away_says_of_nobody_that_they_died(world: NodeWorld) -> None:
    source, brp = world.source(), Register(BSN_A)
    brp.away = True
    source.node.intake.alive = AskedAtBrp(brp)
    await imported(source, BSN_A)
    assert len(source.node.outbox.live()) == 1
    with pytest.raises(BrpUnavailable):
        await bury(source, brp, BSN_A)
    assert len(source.node.outbox.live()) == 1


async def test_the_setting_switches_the_question_on(world: NodeWorld, tmp_path: Path) -> None:
    record = {"burgerservicenummer": BSN_A, "opschortingBijhouding": {"reden": {"code": "O"}}}
    (tmp_path / "brp.json").write_text(json.dumps({"personen": [record]}))
    for asks, live in ((True, 0), (False, 1)):
        brp = BrpSettings(file=tmp_path / "brp.json", check_deceased=asks)
        source = world.source(brp=brp)
        await imported(source, BSN_A)
        assert len(source.node.outbox.live()) == live
