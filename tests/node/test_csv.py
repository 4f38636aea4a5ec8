"""A full list as CSV: what is new, gone, changed or wrong, and what stops and asks."""

from pathlib import Path

import pytest

from nodes.connectors.csv import plan
from nodes.connectors.plan import Plan, apply
from nodes.connectors.rows import Mapped, load_mapping
from nodes.errors import BadInput, SettingsError, ShrinkStops

from .world import BSN_A, BSN_B, BSN_C, NodeWorld, Source, bsns

pytestmark = pytest.mark.anyio
HEAD = "bsn;kind;local_ref;since;until\n"


def rows(*lines: tuple[str, ...], head: str = HEAD) -> bytes:
    return (head + "".join(";".join(line) + "\n" for line in lines)).encode()


def row(
    bsn: str, ref: str, kind: str = "schuldhulp", since: str = "2025-03", until: str = ""
) -> tuple[str, ...]:
    return (bsn, kind, ref, since, until)


def planned(source: Source, content: bytes, **more: object) -> Plan:
    return plan(content, source.node.outbox, source.node.rules, **more)  # type: ignore[arg-type]


async def feed(source: Source, content: bytes, *, confirm: bool = False) -> Plan:
    made = planned(source, content)
    await apply(made, source.node.intake, confirm_shrink=confirm)
    await source.drain()
    return made


def many(count: int) -> list[tuple[str, ...]]:
    return [row(bsn, f"SH-{at:03d}") for at, bsn in enumerate(bsns(count))]


async def test_new_changed_missing_and_unchanged_rows_get_their_actions(world: NodeWorld) -> None:
    source = world.source()
    lines = many(10)
    await feed(source, rows(*lines))

    later = [*lines[2:], row(BSN_A, "SH-new")]
    later[0] = row(later[0][0], later[0][2], until="2027-01")
    made = planned(source, rows(*later))

    assert made.counts == {
        "publish": 1, "update": 1, "correct": 0, "retract": 2, "unchanged": 7, "ended": 0, "rejected": 0,
    }  # fmt: skip
    assert {step.local_ref for step in made.steps if step.action == "retract"} == {"SH-000", "SH-001"}


async def test_a_dry_run_touches_nothing(world: NodeWorld) -> None:
    source = world.source()
    planned(source, rows(*many(3)))
    assert source.node.outbox.is_drained()
    assert source.node.outbox.flags_of("csv") == {}


async def test_a_list_read_twice_sends_nothing_the_second_time(world: NodeWorld) -> None:
    source = world.source()
    content = rows(*many(5))
    await feed(source, content)
    sent = len(world.network.sent)

    made = planned(source, content)
    await apply(made, source.node.intake)

    assert made.counts["unchanged"] == 5
    assert source.node.outbox.is_drained()
    assert len(world.network.sent) == sent


async def test_a_corrected_bsn_retracts_the_old_person_before_it_publishes_the_new(world: NodeWorld) -> None:
    source = world.source()
    await feed(source, rows(row(BSN_A, "SH-1")))
    await world.allow(BSN_A)
    await world.allow(BSN_B)
    assert await world.sees(BSN_A) == {"schuldhulp"}
    before = len(world.network.sent)

    made = await feed(source, rows(row(BSN_B, "SH-1")))

    assert made.counts["correct"] == 1
    paths = [path for path, _, _ in world.network.sent[before:]]
    assert paths.index("/v1/retractions") < paths.index("/v1/publications")
    assert await world.sees(BSN_A) == set()
    assert await world.sees(BSN_B) == {"schuldhulp"}


async def test_a_list_that_shrinks_too_much_stops_until_confirmed(world: NodeWorld) -> None:
    source = world.source()
    lines = many(10)
    await feed(source, rows(*lines))

    made = planned(source, rows(*lines[3:]))
    with pytest.raises(ShrinkStops) as stopped:
        await apply(made, source.node.intake)

    assert (stopped.value.before, stopped.value.after) == (10, 7)
    assert source.node.outbox.is_drained()
    await apply(made, source.node.intake, confirm_shrink=True)
    await source.drain()
    assert source.state("SH-000") == "retracted"


async def test_a_list_that_loses_exactly_the_allowed_share_goes_on(world: NodeWorld) -> None:
    source = world.source()
    lines = many(10)
    await feed(source, rows(*lines))
    made = await feed(source, rows(*lines[2:]))
    assert not made.shrinks
    assert source.state("SH-001") == "retracted"


async def test_an_empty_list_stops_and_asks(world: NodeWorld) -> None:
    source = world.source()
    await feed(source, rows(*many(2)))
    with pytest.raises(ShrinkStops):
        await apply(planned(source, HEAD.encode()), source.node.intake)
    assert source.state("SH-000") == "published"


async def test_rejected_rows_have_line_and_reason_and_never_the_number(world: NodeWorld) -> None:
    source = world.source()
    content = rows(
        row("123456789", "SH-1"),
        row(BSN_A, "SH-2", kind="onbekend"),
        row(BSN_A, "SH-3", since="2025-03", until="2024-01"),
        row(BSN_A, BSN_B),
        row(BSN_A, "SH-5", kind="jeugdhulp"),
        row(BSN_A, "SH-6"),
        row(BSN_B, "SH-6"),
        row(BSN_C[1:], "SH-8"),
    )
    made = await feed(source, content)

    assert made.counts["rejected"] == 7
    assert made.counts["publish"] == 1
    listed = await source.node.source.rejected()
    assert {(line.line, line.code) for line in listed} == {
        (2, "elfproef"),
        (3, "unknown-kind"),
        (4, "before-since"),
        (5, "holds-bsn"),
        (6, "kind-not-registered"),
        (8, "duplicate-reference"),
        (9, "elfproef"),
    }
    shown = repr(listed) + repr(made)
    assert not any(number in shown for number in (BSN_A, BSN_B, BSN_C, "123456789"))


async def test_a_row_that_became_unreadable_does_not_retract_its_flag(world: NodeWorld) -> None:
    source = world.source()
    await feed(source, rows(row(BSN_A, "SH-1"), row(BSN_B, "SH-2")))
    made = await feed(source, rows(row("999999999", "SH-1"), row(BSN_B, "SH-2")))
    assert made.counts["retract"] == 0
    assert source.state("SH-1") == "published"


async def test_a_flag_whose_period_is_over_is_retracted(world: NodeWorld) -> None:
    source = world.source()
    await feed(source, rows(row(BSN_A, "SH-1"), row(BSN_B, "SH-2")))
    made = await feed(source, rows(row(BSN_A, "SH-1", since="2015-01", until="2016-01"), row(BSN_B, "SH-2")))
    assert made.counts["ended"] == 1
    assert source.state("SH-1") == "retracted"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
@pytest.mark.parametrize("separator", [";", ","])
async def test_encodings_and_separators_of_office_programs_are_read(
    world: NodeWorld, encoding: str, separator: str
) -> None:
    source = world.source()
    text = (
        f"BSN;soort;eigen_kenmerk;sinds;tot;naam\r\n{BSN_A};schuldhulp;Dossier é1;01-03-2025;;Coördinator\r\n"
    )
    content = text.replace(";", separator).encode(encoding)
    made = planned(source, content)
    assert made.counts["publish"] == 1
    assert made.publications[0].local_ref == "Dossier é1"
    assert made.publications[0].since == "2025-03"


async def test_a_mapping_names_columns_and_turns_codes_into_kinds(world: NodeWorld, tmp_path: Path) -> None:
    path = tmp_path / "mapping.toml"
    path.write_text('[columns]\nlocal_ref = "zaaknummer"\n[kinds]\n"SHV" = "schuldhulp"\n')
    content = f"bsn,kind,zaaknummer,since\n{BSN_A},SHV,Z1,2025-03\n{BSN_B},XYZ,Z2,2025-03\n".encode()
    made = planned(world.source(), content, mapping=load_mapping(path))
    assert made.counts["publish"] == 1
    assert made.counts["rejected"] == 1


def test_a_mapping_with_an_unknown_column_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mapping.toml"
    path.write_text('[columns]\nnaam = "naam"\n')
    with pytest.raises(SettingsError, match="unknown column naam"):
        load_mapping(path)
    assert load_mapping(None) == Mapped()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty"),
        (b" \r\n", "empty"),
        (f"{BSN_A};schuldhulp;L1;2025-03\n".encode(), "missing-column"),
        (HEAD.encode("utf-16"), "encoding"),
        (b"PK\x03\x04\x00\x00", "encoding"),
        (b"naam;datum\nx;y\n", "missing-column"),
        (b"\x00\x81\x8d", "encoding"),
        (HEAD.encode() + b'"open;quote\n', "csv"),
    ],
)
async def test_a_file_that_is_no_list_is_refused_whole(world: NodeWorld, content: bytes, code: str) -> None:
    with pytest.raises(BadInput) as refused:
        planned(world.source(), content)
    assert refused.value.code == code
    assert BSN_A not in refused.value.detail


async def test_an_import_that_broke_off_is_simply_repeated(
    world: NodeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = world.source()
    monkeypatch.setattr("nodes.connectors.plan.BATCH", 2)
    made = planned(source, rows(*many(6)))
    seen: list[int] = []

    def power_cut(done: int, _total: int) -> None:
        seen.append(done)
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await apply(made, source.node.intake, progress=power_cut)
    assert source.node.outbox.cursor("csv") is None

    again = world.source()
    rest = planned(again, rows(*many(6)))
    assert rest.counts["unchanged"] == 4
    await apply(rest, again.node.intake)
    await again.drain()
    assert len(again.node.outbox.live()) == 6
    assert await again.node.sender.confirm() == []
    cursor = again.node.outbox.cursor("csv")
    assert cursor is not None
    assert cursor.rows == 6
