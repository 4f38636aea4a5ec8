"""`vlagwijzer log mirror` against a running hub: copied, broken off, resumed, cut off, and two histories."""

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from deploy.cli import app
from deploy.mirroring import fetch_mirror, write_entries
from deploy.toml_text import toml_text
from deploy.verifying import MirrorFailed
from index.accesslog.errors import LogInconsistent
from index.protocol.mirror import CHECKPOINT, EARLIER, ENTRIES, TILES
from index.protocol.note import Checkpoint, parse_checkpoint, parse_note, sign_checkpoint

from .loopback import LiveHub


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveHub]:
    with LiveHub(tmp_path_factory.mktemp("live")) as running:
        running.grows(300)
        yield running
        running.line.cut_after, running.line.instead = None, {}


@pytest.fixture(autouse=True)
def whole_line(hub: LiveHub) -> Iterator[None]:
    yield
    hub.line.cut_after = None
    hub.line.instead.clear()
    hub.line.asked.clear()


def log(*words: str | Path) -> tuple[int, dict[str, Any]]:
    """`vlagwijzer log ... --json`, as its exit code and what it printed."""
    done = CliRunner().invoke(app, ["log", *map(str, words), "--json"])
    return done.exit_code, json.loads(done.stdout) if done.stdout.startswith("{") else {}


def verified(hub: LiveHub, folder: Path, *more: str | Path) -> tuple[int, dict[str, Any]]:
    return log("verify", "mirror", folder, "--policy", hub.policy, *more)


def settings_file(hub: LiveHub, folder: Path) -> Path:
    path = folder / "hub.toml"
    dumped = hub.acting.world.settings.model_dump(mode="json", exclude_defaults=True)
    path.write_text(toml_text(dumped))
    assert tomllib.loads(path.read_text())["hub_id"] == dumped["hub_id"]
    return path


def test_a_copy_of_a_running_hub_verifies_and_so_does_what_an_officer_opens(
    hub: LiveHub, tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    config = settings_file(hub, tmp_path)
    code, said = log("mirror", folder, "--url", hub.url, "--config", config)
    assert (code, said["size"]) == (0, said["opened"])
    assert said["size"] >= 300
    code, report = verified(hub, folder)
    assert (code, report["state"], report["size"], len(report["witnesses"])) == (0, "good", said["size"], 3)
    code, report = log("verify", "officer", "--mirror", folder)
    assert (code, report["opened"], report["problems"]) == (0, said["size"], [])
    assert (folder / ENTRIES).stat().st_mode & 0o077 == 0


def test_a_copy_brought_up_to_date_fetches_what_is_new_and_keeps_the_checkpoint_before(
    hub: LiveHub, tmp_path: Path
) -> None:
    first = fetch_mirror(hub.url, tmp_path)
    hub.line.asked.clear()
    hub.grows(5)
    assert fetch_mirror(hub.url, tmp_path) == first + 5
    assert not any(path.endswith("tile/entries/000") for path in hub.line.asked), (
        "a complete tile is never read again"
    )
    code, report = verified(hub, tmp_path)
    assert (code, report["earlier"]) == (0, 1)


def test_a_hub_that_breaks_off_half_way_leaves_the_copy_before_and_the_next_run_ends_it(
    hub: LiveHub, tmp_path: Path
) -> None:
    before = fetch_mirror(hub.url, tmp_path)
    hub.grows(260)
    hub.line.asked.clear()
    hub.line.cut_after = 1
    with pytest.raises(MirrorFailed, match="broke off"):
        fetch_mirror(hub.url, tmp_path)
    assert len(hub.line.asked) == 2
    code, report = verified(hub, tmp_path)
    assert (code, report["size"]) == (0, before)
    assert not list(tmp_path.rglob(".*.new"))

    hub.line.cut_after = None
    hub.line.asked.clear()
    assert fetch_mirror(hub.url, tmp_path) == before + 260
    assert len(hub.line.asked) < 5, "the tile that had come was not read again"
    assert verified(hub, tmp_path)[0] == 0


def test_a_hub_that_is_away_changes_nothing_and_the_command_says_so(hub: LiveHub, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["log", "mirror", str(tmp_path), "--url", "http://127.0.0.1:9"])
    assert (done.exit_code, "cannot be reached" in done.stderr) == (1, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cut", [0, 1, 32 * 255, 35 * 255, 32 * 257 + 1])
def test_a_tile_of_another_length_is_not_taken_from_the_hub(hub: LiveHub, tmp_path: Path, cut: int) -> None:
    year = hub.acting.world.clock().year
    for name in ("entries/000", "0/000"):
        hub.line.instead[f"/v1/log/{year}/tile/{name}"] = bytes(cut)
    with pytest.raises(MirrorFailed, match=r"cut off|more than"):
        fetch_mirror(hub.url, tmp_path)
    assert not (tmp_path / CHECKPOINT).exists()


def test_a_tile_cut_off_on_disk_is_named_and_the_next_run_repairs_it(hub: LiveHub, tmp_path: Path) -> None:
    fetch_mirror(hub.url, tmp_path)
    tile = tmp_path / TILES / "entries" / "000"
    tile.write_bytes(tile.read_bytes()[:-35])
    code, report = verified(hub, tmp_path)
    assert (code, report["problems"]) == (1, ["tile/entries/000 is missing or cut off"])
    fetch_mirror(hub.url, tmp_path)
    assert verified(hub, tmp_path)[0] == 0


def test_a_changed_tile_is_named(hub: LiveHub, tmp_path: Path) -> None:
    year = hub.acting.world.clock().year
    hub.line.instead[f"/v1/log/{year}/tile/0/000"] = bytes(256 * 32)
    fetch_mirror(hub.url, tmp_path)
    code, report = verified(hub, tmp_path)
    assert (code, report["problems"]) == (1, ["tile/0/000 is missing or does not follow from the leaves"])


def test_two_roots_for_one_size_are_both_kept_and_named(hub: LiveHub, tmp_path: Path) -> None:
    size = fetch_mirror(hub.url, tmp_path)
    honest = (tmp_path / CHECKPOINT).read_bytes()
    origin = parse_checkpoint(parse_note(honest).text).origin
    other = sign_checkpoint(Checkpoint(origin, size, b"\x07" * 32), hub.acting.world.keystore.log_signing)
    hub.line.instead["/v1/log/checkpoint"] = other.encode()
    assert fetch_mirror(hub.url, tmp_path) == size
    kept = [path.read_bytes() for path in (tmp_path / EARLIER).iterdir()]
    assert (tmp_path / CHECKPOINT).read_bytes() == other.encode()
    assert kept == [honest]
    code, report = verified(hub, tmp_path)
    assert code == 1
    assert any("two roots for" in problem and "keep both" in problem for problem in report["problems"])
    assert "the leaves do not give the root of the checkpoint" in report["problems"]

    hub.line.instead.clear()
    fetch_mirror(hub.url, tmp_path)
    code, report = verified(hub, tmp_path)
    assert code == 1, "back to the honest one, the evidence still stands"
    assert any("two roots for" in problem for problem in report["problems"])


def test_ones_own_last_checkpoint_of_another_history_is_named(hub: LiveHub, tmp_path: Path) -> None:
    size = fetch_mirror(hub.url, tmp_path / "copy")
    origin = parse_checkpoint(parse_note((tmp_path / "copy" / CHECKPOINT).read_bytes()).text).origin
    own = tmp_path / "own"
    key = hub.acting.world.keystore.log_signing
    own.write_text(sign_checkpoint(Checkpoint(origin, size - 1, b"\x07" * 32), key))
    code, report = verified(hub, tmp_path / "copy", "--last", own)
    assert (code, "another history" in report["problems"][0]) == (1, True)


@pytest.mark.parametrize("body", [b"", b"<html>", b"a\n1\n\xff", b"x" * 70_000])
def test_what_is_no_checkpoint_is_refused(hub: LiveHub, tmp_path: Path, body: bytes) -> None:
    hub.line.instead["/v1/log/checkpoint"] = body
    with pytest.raises(MirrorFailed, match=r"no checkpoint|more than"):
        fetch_mirror(hub.url, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_log_of_another_year_is_not_written_over_a_copy(hub: LiveHub, tmp_path: Path) -> None:
    fetch_mirror(hub.url, tmp_path)
    before = (tmp_path / CHECKPOINT).read_bytes()
    found = parse_checkpoint(parse_note(before).text)
    year = hub.acting.world.clock().year
    other = Checkpoint(found.origin.replace(str(year), str(year + 1)), 1, b"\x07" * 32)
    hub.line.instead["/v1/log/checkpoint"] = sign_checkpoint(
        other, hub.acting.world.keystore.log_signing
    ).encode()
    with pytest.raises(MirrorFailed, match="a folder for each log and year"):
        fetch_mirror(hub.url, tmp_path)
    assert (tmp_path / CHECKPOINT).read_bytes() == before
    assert verified(hub, tmp_path)[0] == 0


def test_a_year_that_has_no_log_is_said(hub: LiveHub, tmp_path: Path) -> None:
    code, _ = log("mirror", tmp_path, "--url", hub.url, "--year", "2020")
    assert code == 1


def test_entries_of_a_database_that_was_tampered_with_are_not_written(tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()
    with LiveHub(tmp_path / "hub") as own:
        own.grows(3)
        folder = tmp_path / "copy"
        fetch_mirror(own.url, folder)
        config = settings_file(own, tmp_path)
        assert write_entries(config, folder) == 4
        honest = (folder / ENTRIES).read_bytes()
        engine = own.acting.world.hub.engine
        with engine.begin() as connection:
            for trigger in (
                connection.execute(
                    text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'entry'")
                )
                .scalars()
                .all()
            ):
                connection.execute(text(f'DROP TRIGGER "{trigger}"'))
            connection.execute(text('UPDATE entry SET leaf = zeroblob(33) WHERE "index" = 2'))
        with pytest.raises(LogInconsistent):
            write_entries(config, folder)
        assert (folder / ENTRIES).read_bytes() == honest
        assert not list(folder.glob(".*"))


def test_entries_without_a_copy_or_of_another_hub_are_refused(hub: LiveHub, tmp_path: Path) -> None:
    config = settings_file(hub, tmp_path)
    with pytest.raises(MirrorFailed, match="copy the log first"):
        write_entries(config, tmp_path)
    key = hub.acting.world.keystore.log_signing
    other = sign_checkpoint(Checkpoint("elders.example/v1/log/2026", 1, b"\x07" * 32), key)
    (tmp_path / CHECKPOINT).write_text(other)
    with pytest.raises(MirrorFailed, match="another hub"):
        write_entries(config, tmp_path)
