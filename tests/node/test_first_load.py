"""The first load of a source: nothing goes before everything is right and two people said so."""

import stat
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey

from deploy import source_tools
from index.protocol.codec import b64u
from nodes.connectors import csv
from nodes.connectors.first_load import FirstLoad
from nodes.connectors.rows import Mapped, names_of
from nodes.errors import BadInput, NotAllowed
from nodes.settings import SourceSettings

from .world import BSN_A, BSN_B, BSN_C, NodeWorld, Source

pytestmark = pytest.mark.anyio
HEAD = "bsn;kind;local_ref;since;until;naam\n"
ANNE, BART = SigningKey(b"a" * 32), SigningKey(b"b" * 32)


def row(bsn: str, ref: str, since: str = "2025-03") -> str:
    return f"{bsn};schuldhulp;{ref};{since};;=cmd\n"


@pytest.fixture
def source(world: NodeWorld) -> Source:
    approvers = {"anne": b64u(bytes(ANNE.verify_key)), "bart": b64u(bytes(BART.verify_key))}
    return world.source(approvers=approvers, sources=(SourceSettings(name="lijst", type="csv"),))


def load(source: Source) -> FirstLoad:
    node = source.node
    return FirstLoad(
        "lijst",
        engine=node.engine,
        storage_key=node.keys.storage,
        outbox=node.outbox,
        rules=node.rules,
        approvers=node.settings.approvers,
        now=node.now,
    )


def deliver(source: Source, *rows: str) -> Any:
    return load(source).deliver(list(csv.read((HEAD + "".join(rows)).encode(), Mapped())), names_of(Mapped()))


async def test_deliver_correct_deliver_again_and_two_people_sign(source: Source) -> None:
    first = deliver(source, row(BSN_A, "L1"), row("123456789", "L2"), row(BSN_C, "L3"))
    assert (first.new, first.kept, [one.line for one in first.rejections]) == (2, 2, [3])
    assert "123456789" not in repr(first)
    with pytest.raises(BadInput, match="still-rejected"):
        load(source).sign("anne", bytes(ANNE))

    second = deliver(source, row(BSN_B, "L2"))
    assert (second.new, second.changed, second.same, second.kept) == (1, 0, 0, 3)
    assert source.node.outbox.flags_of("lijst") == {}

    assert load(source).sign("anne", bytes(ANNE)) is None
    with pytest.raises(NotAllowed, match="second-person"):
        load(source).sign("anne", bytes(ANNE))
    planned = load(source).sign("bart", bytes(BART))
    assert planned is not None
    await source.node.sources.do(planned, confirm_shrink=True)
    await source.drain()
    assert len(source.node.outbox.live()) == 3
    assert load(source).standing() is None


async def test_a_delivery_after_a_signature_makes_it_void(source: Source) -> None:
    deliver(source, row(BSN_A, "L1"))
    assert load(source).sign("anne", bytes(ANNE)) is None
    again = deliver(source, row(BSN_A, "L1", since="2025-04"))
    assert (again.changed, again.same) == (1, 0)
    assert load(source).sign("bart", bytes(BART)) is None
    assert load(source).sign("anne", bytes(ANNE)) is not None


@pytest.mark.parametrize(("name", "key"), [("carla", ANNE), ("anne", BART), ("", ANNE)])
async def test_only_a_registered_person_with_the_own_key_signs(
    source: Source, name: str, key: SigningKey
) -> None:
    deliver(source, row(BSN_A, "L1"))
    with pytest.raises(NotAllowed):
        load(source).sign(name, bytes(key))
    standing = load(source).standing()
    assert standing is not None
    assert standing.signed_by == ""


async def test_what_is_kept_is_sealed_and_giving_up_erases_it(source: Source) -> None:
    deliver(source, row(BSN_A, "L1"))
    database = source.node.settings.database
    raw = b"".join(path.read_bytes() for path in database.parent.glob("node.sqlite*"))
    assert BSN_A.encode() not in raw
    load(source).drop()
    assert load(source).standing() is None
    with pytest.raises(BadInput, match="nothing-delivered"):
        load(source).sign("anne", bytes(ANNE))


async def test_rejected_rows_come_back_as_a_file_for_its_owner_without_formulas(
    tmp_path: Path, source: Source
) -> None:
    content = (HEAD + row(BSN_A, "L1") + row("123456789", "L2")).encode()
    made = load(source).deliver(list(csv.read(content, Mapped())), {})
    target = tmp_path / "afgekeurd.csv"
    source_tools._write(target, list(csv.lines(content)), made.rejections)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    heading, line = target.read_text(encoding="utf-8-sig").splitlines()
    assert heading == "regel;reden;bsn;kind;local_ref;since;until;naam"
    assert (
        line == "3;bsn: Nine digits that pass the elfproef, as text.;123456789;schuldhulp;L2;2025-03;;'=cmd"
    )
    corrected = target.read_bytes().replace(b"123456789", BSN_B.encode())
    again = load(source).deliver(list(csv.read(corrected, Mapped())), {})
    assert (again.new, again.kept, again.rejections) == (1, 2, [])
