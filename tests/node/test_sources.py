"""Sources that run by themselves, and what a fault or a broken file leaves: nothing half done."""

import logging
import os
import sqlite3
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodes.connectors import csv, excel, runs, sql
from nodes.connectors.rows import PACKAGED, Mapped, load_mapping
from nodes.errors import BadInput, BadItems, SettingsError, ShrinkStops, SourceUnreachable
from nodes.settings import SourceSettings

from .test_istandaarden import GOOD, REF, at, granted, message
from .world import BSN_A, BSN_B, BSN_C, VOCABULARY, NodeWorld, Source, bsns

pytestmark = pytest.mark.anyio


# --- databases ---------------------------------------------------------------------


class Register:
    """A domain system's own table."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "register.db"
        self.folder = folder
        with sqlite3.connect(self.path) as db:
            db.execute(
                "CREATE TABLE dossier (burger TEXT, nr TEXT PRIMARY KEY, van TEXT, tot TEXT, naam TEXT,"
                " mutatie TEXT DEFAULT 'toevoegen', gewijzigd INTEGER)"
            )
        (folder / "mapping.toml").write_text(
            'kind = "schuldhulp"\n[columns]\nbsn = "burger"\nlocal_ref = "nr"\nsince = "van"\nuntil = "tot"\n'
        )
        (folder / "url").write_text(f"sqlite:///{self.path}")

    def put(
        self, bsn: str, nr: str, *, mutatie: str = "toevoegen", at: int = 0, tot: str | None = None
    ) -> None:
        with sqlite3.connect(self.path) as db:
            db.execute(
                "INSERT OR REPLACE INTO dossier VALUES (?, ?, '2025-03-01', ?, 'Jansen', ?, ?)",
                (bsn, nr, tot, mutatie, at),
            )

    def drop(self, *numbers: str) -> None:
        with sqlite3.connect(self.path) as db:
            db.executemany("DELETE FROM dossier WHERE nr = ?", [(nr,) for nr in numbers])

    def settings(self, query: str, **changes: Any) -> SourceSettings:
        (self.folder / "query.sql").write_text(query)
        return SourceSettings(
            name="register",
            type="sql",
            url_file=self.folder / "url",
            query_file=self.folder / "query.sql",
            mapping_file=self.folder / "mapping.toml",
            **changes,
        )

    def whole(self, world: NodeWorld) -> Source:
        return world.source(sources=(self.settings("SELECT burger, nr, van, tot, naam FROM dossier"),))

    def changes(self, world: NodeWorld, **more: Any) -> Source:
        query = "SELECT * FROM dossier WHERE gewijzigd >= :cursor ORDER BY gewijzigd"
        return world.source(sources=(self.settings(query, cursor_column="gewijzigd", **more),))


@pytest.fixture
def register(tmp_path: Path) -> Register:
    return Register(tmp_path)


async def test_a_query_is_a_whole_list_and_a_second_run_changes_nothing(
    world: NodeWorld, register: Register
) -> None:
    for at_, bsn in enumerate(bsns(10)):
        register.put(bsn, f"D{at_}")
    source = register.whole(world)
    (first,) = await source.node.sources.pull("register")
    await source.drain()
    assert first.counts["publish"] == 10
    register.drop("D0")
    register.put(BSN_C, "D1", tot="2027-01-01")
    (second,) = await source.node.sources.pull("register")
    await source.drain()
    assert (second.counts["retract"], second.counts["correct"], second.counts["unchanged"]) == (1, 1, 8)
    (third,) = await source.node.sources.pull("register")
    assert third.counts["unchanged"] == 9
    assert source.state("D0") == "retracted"


async def test_a_table_that_is_suddenly_short_stops_and_asks(world: NodeWorld, register: Register) -> None:
    for at_, bsn in enumerate(bsns(10)):
        register.put(bsn, f"D{at_}")
    source = register.whole(world)
    await source.node.sources.pull("register")
    register.drop("D0", "D1", "D2", "D3")
    with pytest.raises(ShrinkStops):
        await source.node.sources.pull("register")
    assert source.state("D0") == "queued"
    await source.node.sources.pull("register", confirm_shrink=True)
    assert source.state("D0") == "retracting"


async def test_changes_come_by_a_cursor_that_moves_with_them(world: NodeWorld, register: Register) -> None:
    register.put(BSN_A, "D1", at=10)
    register.put(BSN_B, "D2", at=20)
    source = register.changes(world)
    await source.node.sources.pull("register")
    cursor = source.node.outbox.cursor("register")
    assert cursor is not None
    assert cursor.position == "i:20"
    register.put(BSN_A, "D1", at=30, mutatie="verwijderen")
    register.put(BSN_C, "D3", at=30)
    (made,) = await source.node.sources.pull("register")
    await source.drain()
    assert (made.counts["retract"], made.counts["publish"], made.counts["unchanged"]) == (1, 1, 1)
    assert source.state("D1") == "retracted"
    assert source.state("D2") == "published"


async def test_a_run_of_changes_that_breaks_off_goes_on_where_it_was(
    world: NodeWorld, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "BATCH", 2)
    for at_, bsn in enumerate(bsns(6)):
        register.put(bsn, f"D{at_}", at=at_ + 1)
    source = register.changes(world)
    with broken_after(3), pytest.raises(SourceUnreachable):
        await source.node.sources.pull("register")
    assert len(source.node.outbox.flags_of("register")) == 2
    assert [one.counts["publish"] for one in await source.node.sources.pull("register")] == [1, 2, 1]
    await source.drain()
    assert len(source.node.outbox.live()) == 6


async def test_a_list_that_breaks_off_half_way_retracts_and_publishes_nothing(
    world: NodeWorld, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "BATCH", 2)
    for at_, bsn in enumerate(bsns(6)):
        register.put(bsn, f"D{at_}")
    source = register.whole(world)
    await source.node.sources.pull("register")
    await source.drain()
    register.drop("D5")
    with broken_after(3), pytest.raises(SourceUnreachable):
        await source.node.sources.pull("register")
    assert len(source.node.outbox.live()) == 6
    assert source.state("D5") == "published"


class broken_after:
    """The connection is lost after so many rows were fetched."""

    def __init__(self, rows: int) -> None:
        self._left = rows

    def __enter__(self) -> None:
        self._real = sqlalchemy.engine.Result.partitions

        def partitions(result: Any, size: int | None = None) -> Iterator[Any]:
            for part in self._real(result, size):
                self._left -= len(part)
                if self._left < 0:
                    raise sqlalchemy.exc.OperationalError("x", {}, Exception("server closed the connection"))
                yield part

        sqlalchemy.engine.Result.partitions = partitions  # type: ignore[assignment]

    def __exit__(self, *_: object) -> None:
        sqlalchemy.engine.Result.partitions = self._real  # type: ignore[method-assign]


async def test_a_database_that_is_away_or_answers_something_else_changes_nothing(
    world: NodeWorld, register: Register
) -> None:
    register.put(BSN_A, "D1")
    source = register.whole(world)
    await source.node.sources.pull("register")
    await source.drain()
    with sqlite3.connect(register.path) as db:
        db.execute("ALTER TABLE dossier RENAME COLUMN nr TO nummer")
    with pytest.raises(SourceUnreachable) as fault:
        await source.node.sources.pull("register")
    assert fault.value.reason == "OperationalError"
    assert not await source.node.sources.step()
    assert source.node.sources.faults == {"register": "OperationalError"}
    assert source.state("D1") == "published"


async def test_a_column_that_is_missing_is_named(world: NodeWorld, register: Register) -> None:
    query = register.settings("SELECT burger, van, tot FROM dossier")
    source = world.source(sources=(query,))
    with pytest.raises(BadInput) as refused:
        await source.node.sources.pull("register")
    assert refused.value.detail == "The heading has no column nr."


@pytest.mark.parametrize(
    ("query", "cursor", "url"),
    [
        ("SELECT 1", "gewijzigd", ""),
        ("SELECT 1 WHERE :cursor = 1", "", ""),
        ("SELECT 1", "", "nonsense"),
        ("SELECT 1", "", "oracle9+nothere://x"),
    ],
)
async def test_a_database_that_is_not_set_up_right_stops_the_start(
    world: NodeWorld, register: Register, query: str, cursor: str, url: str
) -> None:
    made = register.settings(query, cursor_column=cursor)
    if url:
        (register.folder / "url").write_text(url)
    with pytest.raises(SettingsError, match="source register"):
        world.source(sources=(made,))


@pytest.mark.parametrize("value", [1, "2026-01-01", "", -5])
def test_a_cursor_comes_back_as_it_was(value: object) -> None:
    assert sql.read(sql.written(value)) == value
    for wrong in (None, True, b"x", "x" * 100, 1.5):
        with pytest.raises(BadInput):
            sql.written(wrong)


# --- watched folders and calls -----------------------------------------------------


def watched(world: NodeWorld, tmp_path: Path, **changes: Any) -> tuple[Source, Path]:
    folder = tmp_path / "in"
    folder.mkdir(exist_ok=True)
    made = {"name": "berichten", "type": "istandaarden", "folder": folder, "settle_seconds": 0, **changes}
    return world.source(sources=(SourceSettings(**made),)), folder


async def work(source: Source) -> None:
    for _ in range(50):
        if not await source.node.sources.step():
            break
    await source.drain()


async def test_files_in_a_folder_are_worked_off_and_removed(world: NodeWorld, tmp_path: Path) -> None:
    at(world, "2026-04-10")
    source, folder = watched(world, tmp_path)
    (folder / "301.xml").write_bytes(GOOD)
    (folder / "half.xml.part").write_bytes(GOOD[:50])
    (folder / ".hidden").write_bytes(b"")
    os.symlink("/etc/passwd", folder / "link.xml")
    await work(source)
    assert source.state(REF) == "published"
    assert sorted(one.name for one in folder.iterdir()) == [".hidden", "half.xml.part", "link.xml"]
    assert source.node.sources.inbox.counts() == (0, 0)


async def test_a_file_that_is_still_being_written_is_left(world: NodeWorld, tmp_path: Path) -> None:
    source, folder = watched(world, tmp_path, settle_seconds=60)
    (folder / "301.xml").write_bytes(GOOD)
    await work(source)
    assert (folder / "301.xml").exists()


async def test_a_broken_file_lies_aside_sealed_and_the_next_goes_on(
    world: NodeWorld, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    at(world, "2026-04-10")
    source, folder = watched(world, tmp_path)
    broken = GOOD.replace(b"2027-06-30", b"morgen")
    (folder / "1.xml").write_bytes(broken)
    (folder / "2.xml").write_bytes(message("301", granted().replace(">77<", ">78<"), identification="id-2"))
    await work(source)
    assert source.state("wmo:0384:78") == "published"
    (one,) = source.node.sources.inbox.aside()
    assert (one.field, one.code) == ("ToegewezenProduct[1]/Einddatum", "day")
    assert "Line 7" in one.detail
    assert not any(folder.iterdir())
    raw = source.node.settings.database.read_bytes() + b"".join(
        path.read_bytes() for path in source.node.settings.database.parent.glob("*.sqlite-wal")
    )
    assert BSN_A.encode() not in raw
    assert b"ToegewezenProduct>" not in raw
    assert BSN_A not in caplog.text
    assert source.node.sources.shares["berichten"] == 0.5

    assert source.node.sources.inbox.drop(one.id)
    assert not source.node.sources.inbox.drop(one.id)
    assert source.node.sources.inbox.counts() == (0, 0)


async def test_what_lies_aside_is_erased_after_a_month(world: NodeWorld, tmp_path: Path) -> None:
    source, folder = watched(world, tmp_path)
    (folder / "1.xml").write_bytes(b"<x/>")
    await work(source)
    assert source.node.sources.inbox.counts() == (0, 1)
    world.clock.offset += timedelta(days=31)
    await source.node.sources.step()
    assert source.node.sources.inbox.counts() == (0, 0)


async def test_a_crash_between_file_and_outbox_loses_and_doubles_nothing(
    world: NodeWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(world, "2026-04-10")
    source, folder = watched(world, tmp_path)
    (folder / "301.xml").write_bytes(GOOD)
    monkeypatch.setattr(Path, "unlink", lambda *_a, **_k: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        source.node.sources.collect()
    monkeypatch.undo()
    again, _ = watched(world, tmp_path)
    await work(again)
    assert again.state(REF) == "published"
    assert again.node.sources.inbox.counts() == (0, 0)
    assert len(again.node.outbox.live()) == 1


async def test_a_list_in_a_folder_that_shrinks_lies_aside_until_somebody_confirms(
    world: NodeWorld, tmp_path: Path
) -> None:
    source, folder = watched(world, tmp_path, name="lijst", type="csv")
    rows = [f"{bsn};schuldhulp;L{n};2025-03;" for n, bsn in enumerate(bsns(10))]
    head = "bsn;kind;local_ref;since;until\n"
    (folder / "1.csv").write_text(head + "\n".join(rows))
    await work(source)
    (folder / "2.csv").write_text(head + "\n".join(rows[:5]))
    await work(source)
    (one,) = source.node.sources.inbox.aside()
    assert one.code == "shrinks-too-much"
    assert len(source.node.outbox.live()) == 10
    arrived = source.node.sources.inbox.aside_content(one.id)
    assert arrived is not None
    assert await source.node.sources.handle(arrived, confirm_shrink=True)
    await source.drain()
    assert len(source.node.outbox.live()) == 5


async def test_a_file_of_200_mb_is_not_read_and_is_told_once(world: NodeWorld, tmp_path: Path) -> None:
    source, folder = watched(world, tmp_path, name="lijst", type="csv")
    with (folder / "groot.csv").open("wb") as file:
        file.truncate(200 * 1024 * 1024)
    await work(source)
    assert source.node.sources.faults == {"lijst": "file-too-large"}
    assert (folder / "groot.csv").exists()
    assert source.node.sources.inbox.counts() == (0, 0)


async def test_a_message_by_http_is_taken_whole_or_refused_with_its_reasons(
    world: NodeWorld, tmp_path: Path
) -> None:
    at(world, "2026-04-10")
    source, _ = watched(world, tmp_path)
    path = "/v1/sources/berichten/messages"
    headers = {"Content-Type": "application/xml"}
    async with (
        world.system(source.node, kinds=["wmo_voorziening"]) as client,
        world.system(source.node, kinds=["schuldhulp"]) as other,
    ):
        taken = await client.post(path, content=GOOD, headers=headers)
        assert (taken.status_code, taken.json()) == (202, {"publishes": 1, "retracts": 0})
        refused = await client.post(path, content=GOOD.replace(b"2027-06-30", b"morgen"), headers=headers)
        assert refused.status_code == 400
        assert refused.json()["errors"][0]["location"] == "ToegewezenProduct[1]/Einddatum"
        assert "morgen" not in refused.text
        assert BSN_A not in refused.text
        assert (await client.post(path, content=GOOD)).status_code in (202, 415)
        assert (await client.post(path, json={})).status_code == 415
        assert (await other.post(path, content=GOOD, headers=headers)).status_code == 404
        nowhere = "/v1/sources/niets/messages"
        assert (await client.post(nowhere, content=GOOD, headers=headers)).status_code == 404
        large = GOOD + b" " * 3_000_000
        assert (await client.post(path, content=large, headers=headers)).status_code == 413
    await source.drain()
    assert source.state(REF) == "published"


# --- lists as changes, and the mappings that come along ----------------------------


async def test_a_list_of_changes_publishes_updates_and_retracts(world: NodeWorld, tmp_path: Path) -> None:
    mapping = Mapped(kind="schuldhulp", whole=False)
    source = world.source()
    head = "mutatie,bsn,local_ref,since\n"

    async def feed(*lines: str) -> dict[str, int]:
        made = csv.plan(
            (head + "\n".join(lines)).encode(), source.node.outbox, source.node.rules, mapping=mapping
        )
        await runs.apply(made, source.node.intake)
        await source.drain()
        return {action: count for action, count in made.counts.items() if count}

    assert await feed(f"toevoegen,{BSN_A},L1,2025-03", f"toevoegen,{BSN_B},L2,2025-03") == {"publish": 2}
    changes = await feed(
        f"wijzigen,{BSN_A},L1,2025-04",
        f"verwijderen,{BSN_B},L2,2025-03",
        f"weg,{BSN_C},L3,2025-03",
        "verwijderen,,L9,",
    )
    assert changes == {"update": 1, "retract": 1, "rejected": 1, "unchanged": 1}
    assert (source.state("L1"), source.state("L2")) == ("published", "retracted")
    twice = await feed(f"toevoegen,{BSN_C},L4,2025-03", f"verwijderen,{BSN_C},L4,2025-03")
    assert twice == {"publish": 1, "unchanged": 1}
    assert "L4" not in source.node.outbox.flags(["L4"])


@pytest.mark.parametrize("name", ["duo-verzuim", "rmc", "leerplicht"])
def test_the_mappings_that_come_along_are_valid_and_say_that_they_are_experimental(name: str) -> None:
    assert load_mapping(PACKAGED / f"{name}.toml", VOCABULARY).experimental


def test_a_state_of_duo_decides_what_happens_to_a_report() -> None:
    mapping = load_mapping(PACKAGED / "duo-verzuim.toml", VOCABULARY)
    states = [
        "In behandeling",
        "Afgesloten",
        "Ingetrokken",
        "Ter kennisgeving aangenomen",
        "Geregistreerd",
        "Anders",
    ]
    lines = [f"{BSN_A};M{n};01-09-2026;;{state}" for n, state in enumerate(states)]
    text = "BSN;Meldingnummer;Begindatum verzuim;Einddatum verzuim;Status\n" + "\n".join(lines)
    found = [type(read).__name__ for read in csv.read(text.encode(), mapping)]
    assert found == ["Fact", "Gone", "Gone", "Gone", "Nothing", "Refused"]


async def test_a_reference_of_another_source_is_not_taken_over(world: NodeWorld) -> None:
    source = world.source()
    content = f"bsn;kind;local_ref;since\n{BSN_A};schuldhulp;L1;2025-03\n".encode()
    await runs.apply(csv.plan(content, source.node.outbox, source.node.rules), source.node.intake)
    made = csv.plan(
        content.replace(BSN_A.encode(), BSN_B.encode()),
        source.node.outbox,
        source.node.rules,
        connector="ander",
    )
    assert [one.wrong.code for one in made.rejections] == ["reference-of-another-source"]


# --- Suwinet -----------------------------------------------------------------------


def response(*periods: str, root: str = "InkomstenverhoudingInfoResponse", bsn: str = BSN_A) -> bytes:
    return (
        f"<e:Envelope xmlns:e='http://schemas.xmlsoap.org/soap/envelope/'><e:Body><s:{root} xmlns:s='urn:s'>"
        f"<s:ClientSuwi><s:Burgerservicenr>{bsn}</s:Burgerservicenr>{''.join(periods)}</s:ClientSuwi>"
        f"</s:{root}></e:Body></e:Envelope>"
    ).encode()


def period(code: str, begin: str, end: str = "") -> str:
    until = f"<s:DatEIkp>{end}</s:DatEIkp>" if end else ""
    return (
        f"<s:Inkomstenperiode><s:CdSrtIkv>{code}</s:CdSrtIkv><s:Bedrag>1200</s:Bedrag>"
        f"<s:DatBIkp>{begin}</s:DatBIkp>{until}</s:Inkomstenperiode>"
    )


async def test_an_open_benefit_is_a_flag_and_an_ended_or_other_one_is_not(
    world: NodeWorld, tmp_path: Path
) -> None:
    source = world.source(sources=(SourceSettings(name="suwi", type="suwinet"),))
    plan = source.node.sources.plan
    with pytest.raises(BadItems) as refused:
        await plan("suwi", response(period("33", "20260101")))
    assert [one.code for one in refused.value.errors] == ["kind-not-registered"]
    for quiet in (
        response(period("31", "20260101")),
        response(period("35", "20250101", "20250601")),
        response(),
    ):
        made = await plan("suwi", quiet)
        assert not made.publications
        assert made.counts["unchanged"] >= 1


async def test_a_benefit_that_ended_goes_with_the_next_answer(world: NodeWorld, tmp_path: Path) -> None:
    shapes = (PACKAGED / "suwinet.toml").read_text().replace('"ww"', '"schuldhulp"')
    (tmp_path / "shapes.toml").write_text(shapes)
    settings = SourceSettings(name="suwi", type="suwinet", mapping_file=tmp_path / "shapes.toml")
    source = world.source(sources=(settings,))
    two = response(period("33", "20260101"), period("35", "2025-06-01"))
    (found,) = (await source.node.sources.take("suwi", two)).publications
    assert (found.kind, found.since, found.until) == ("schuldhulp", "2025-06", None)
    assert BSN_A not in found.local_ref
    assert not (await source.node.sources.take("suwi", response(bsn=BSN_B))).retractions
    assert (await source.node.sources.take("suwi", response())).retractions == [found.local_ref]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (response(period("99", "20260101")), "unknown-code"),
        (response(period("33", "2026")), "day"),
        (response(period("33", "20260201", "20260101")), "before-since"),
        (response(root="AndereResponse"), "unknown-message"),
        (response(bsn="123456789"), "elfproef"),
        (response(f"<s:Burgerservicenr>{BSN_B}</s:Burgerservicenr>"), "clients"),
    ],
)
async def test_a_response_that_cannot_be_relied_on_is_refused(
    world: NodeWorld, content: bytes, code: str
) -> None:
    source = world.source(sources=(SourceSettings(name="suwi", type="suwinet"),))
    with pytest.raises(BadInput) as refused:
        await source.node.sources.plan("suwi", content)
    assert refused.value.code == code
    assert BSN_A not in refused.value.detail


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty"),
        (response(period("33", "20260101"))[:-30], "not-xml"),
        (response(period("33", "20260101")).decode().encode("utf-16"), "encoding"),
        (b"<!DOCTYPE a [<!ENTITY a 'aaa'>]>" + response(), "doctype"),
        (response() + b" " * 1_200_000, "too-large"),
        (b"PK\x03\x04" + bytes(50), "not-xml"),
    ],
    ids=["0 bytes", "truncated", "utf-16", "xml bomb", "too large", "a zip"],
)
async def test_a_broken_response_is_refused_with_its_reason(
    world: NodeWorld, content: bytes, code: str
) -> None:
    source = world.source(sources=(SourceSettings(name="suwi", type="suwinet"),))
    with pytest.raises(BadInput) as refused:
        await source.node.sources.take("suwi", content)
    assert (refused.value.code, bool(refused.value.detail)) == (code, True)
    assert BSN_A not in refused.value.detail
    assert source.node.outbox.flags_of("suwi") == {}


async def test_a_fault_means_unreachable_and_never_nothing_known(world: NodeWorld) -> None:
    source = world.source(sources=(SourceSettings(name="suwi", type="suwinet"),))
    with pytest.raises(SourceUnreachable):
        await source.node.sources.plan("suwi", response("<s:FWI>Geen gegevens</s:FWI>"))
    with pytest.raises(SourceUnreachable):
        await source.node.sources.plan("suwi", response().replace(b"s:ClientSuwi", b"s:Fault"))


# --- bad files ---------------------------------------------------------------------


def packed(**members: bytes) -> bytes:
    made = BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name.replace("__", "/"), content)
    return made.getvalue()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "not-excel"),
        (b"bsn;kind\n", "not-excel"),
        (packed(a=b"x"), "not-excel"),
        (packed(**{"[Content_Types].xml": b"x", "xl__sheet.xml": bytes(300 * 1024 * 1024)}), "too-large"),
        (packed(**{"[Content_Types].xml": b"x"})[:-30], "not-excel"),
    ],
    ids=["nothing", "text", "other zip", "zip bomb", "cut off"],
)
def test_a_file_that_is_no_workbook_is_refused_before_it_is_unpacked(content: bytes, code: str) -> None:
    with pytest.raises(BadInput) as refused:
        list(excel.read(content, Mapped()))
    assert refused.value.code == code


def test_a_workbook_is_read_like_a_list() -> None:
    book = openpyxl.Workbook()
    book.active.append(["BSN", "Soort", "Eigen_kenmerk", "Sinds", "Naam"])
    book.active.append([BSN_A, "schuldhulp", "X1", sql.date(2025, 3, 1), "Jansen"])
    book.active.append([None, None, None, None, None])
    made = BytesIO()
    book.save(made)
    (fact,) = excel.read(made.getvalue(), Mapped())
    assert fact.item == {  # type: ignore[union-attr]
        "bsn": BSN_A, "kind": "schuldhulp", "localRef": "X1", "since": "2025-03-01", "until": None,
    }  # fmt: skip
    with pytest.raises(BadInput):
        list(excel.read(packed(**{"[Content_Types].xml": b"<x/>"}), Mapped()))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.one_of(
        st.binary(max_size=300),
        st.text(max_size=300).map(str.encode),
        st.text(max_size=100).map(
            lambda text: f"bsn;kind;local_ref;since\n{BSN_A};{text};x;2025-03".encode()
        ),
    ),
    whole=st.booleans(),
)
def test_any_bytes_give_items_or_a_clean_rejection(content: bytes, whole: bool) -> None:
    for read in (csv.read, excel.read):
        try:
            list(read(content, Mapped(whole=whole)))
        except BadInput as error:
            told = error.detail
        else:
            told = ""
        assert BSN_A not in told
