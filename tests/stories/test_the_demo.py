"""What an outsider can do with one command: the demo tells its story, starts twice, ends all it started."""

import contextlib
import io
import json
import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.federation import COMMAND, ROOT, Federation, eventually, free_port_base, start_federation


def test_the_story_holds_at_every_step(tmp_path: Path) -> None:
    ran = subprocess.run(
        [*COMMAND, "demo", "--once", "--json", "--port-base", str(free_port_base())],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        timeout=180,
    )
    steps = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [step for step in steps if not step["ok"]] == []
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert all(set(step) == {"step", "ok", "detail"} for step in steps)
    assert {"publish", "choose", "look", "refused", "retract", "look again", "verify the log"} <= {
        step["step"] for step in steps
    }
    assert list(tmp_path.iterdir()) == [], "a demo without --data leaves nothing behind"


def test_the_demo_says_what_it_is(federation: Federation) -> None:
    info = federation.info
    assert info["trustSeparation"] == "none"
    assert len(info["keyholders"]) == 3 == len({holder["organisation"] for holder in info["keyholders"]})
    assert len(info["citizens"]) >= 1000
    assert all(page for page in info["pages"].values())
    published = {kind for node in info["nodes"] for kind in node["kinds"]}
    assert {"schuldhulp", "bijstand", "minima", "wmo_voorziening", "jeugdhulp", "leerplicht"} <= published
    addresses = [info["hub"]["url"], *(entry["url"] for entry in [*info["keyholders"], *info["nodes"]])]
    for address in addresses:
        health = httpx.get(f"{address}/health", trust_env=False, timeout=10).json()
        assert (health["trustSeparation"], health["keys"]) == ("none", "dealer")


def test_a_taken_port_is_named_and_nothing_starts(tmp_path: Path) -> None:
    base = free_port_base()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", base + 2))
        taken.listen()
        ran = subprocess.run(
            [*COMMAND, "demo", "--json", "--port-base", str(base), "--data", str(tmp_path / "d")],
            check=False,
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=60,
        )
    assert ran.returncode == 1
    assert f"Port {base + 2} " in ran.stderr
    assert "--port-base" in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert ran.stdout == ""


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    before = tmp_path.stat().st_mode
    ran = subprocess.run(
        [*COMMAND, "demo", "--json", "--port-base", str(free_port_base()), "--data", str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )
    assert ran.returncode == 1
    assert "holds other files" in ran.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    assert tmp_path.stat().st_mode == before


def test_a_second_start_keeps_what_there_was_and_an_interrupt_ends_everything(tmp_path: Path) -> None:
    base = free_port_base()
    first = start_federation(tmp_path / "demo", base=base)
    fatima = first.citizen("fatima")["bsn"]
    seen = first.kinds_seen("Jan", fatima)
    first.stop()
    assert first.process.returncode == 0
    _nothing_listens(base)

    begun = time.monotonic()
    second = start_federation(tmp_path / "demo", base=base)
    try:
        assert second.kinds_seen("Jan", fatima) == seen == ["bijstand", "schuldhulp"]
        assert time.monotonic() - begun < 60
    finally:
        second.process.send_signal(signal.SIGTERM)
        second.process.wait(30)
    _nothing_listens(base)


def test_children_end_when_the_demo_is_killed(tmp_path: Path) -> None:
    base = free_port_base()
    running = start_federation(tmp_path / "demo", base=base)
    os.kill(running.process.pid, signal.SIGKILL)
    running.process.wait(10)
    eventually(lambda: _silent(base), 20)
    assert _silent(base)


def _silent(base: int) -> bool:
    from deploy.demo import plan

    for port in plan.ports(base).values():
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return False
    return True


def _nothing_listens(base: int) -> None:
    assert _silent(base)


WORD = "Kwastelbloem"


@contextlib.contextmanager
def listening() -> Iterator[io.StringIO]:
    """Everything that any logger says, however quietly."""
    heard, root = io.StringIO(), logging.getLogger()
    handler, before = logging.StreamHandler(heard), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield heard
    finally:
        root.removeHandler(handler)
        root.setLevel(before)


def test_nothing_that_was_typed_on_a_sheet_is_left(federation: Federation) -> None:
    """A word that exists nowhere is typed, refused and changed; then everything on disk is searched."""
    desk = federation.node("wijkteam")
    folder = Path(federation.folder)
    with listening() as heard, httpx.Client(trust_env=False, headers={"Origin": desk["url"]}) as http:
        sheet = http.post(f"{desk['url']}/blad", data={"naam-1": WORD, "wat-1": WORD, "eerst": WORD})
        assert sheet.text.count(WORD) >= 3
        assert sheet.headers["cache-control"] == "no-store"
        assert "set-cookie" not in sheet.headers
        again = http.post(f"{desk['url']}/blad", data={"naam-1": WORD, "terug": "ja"})
        assert WORD in again.text
        assert (
            http.post(
                f"{desk['url']}/blad",
                data={f"{name}-{place}": WORD * 6 for name in ("naam", "wat") for place in range(1, 7)},
            ).status_code
            == 400
        )
    assert WORD not in heard.getvalue()
    assert searched(folder, b"wijkteam") > 0, "the search finds what is there"
    assert searched(folder, WORD.encode()) == 0


def searched(folder: Path, word: bytes) -> int:
    """How many files under a folder hold a word in their bytes or name: databases, logs and all else."""
    return sum(
        word in path.read_bytes() or word in path.name.encode()
        for path in folder.rglob("*")
        if path.is_file()
    )
