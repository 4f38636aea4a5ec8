"""Children of the demo end with it, and a taken port stops it before anything starts."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.demo.fleet import DemoFailed, Fleet, bind_ports


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _sleep(_: list[socket.socket]) -> None:
    print("started", flush=True)
    time.sleep(60)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat")
        return not (state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z")
    except (ProcessLookupError, FileNotFoundError):
        return False


def _wait(condition: object, within: float = 8.0) -> bool:
    end = time.monotonic() + within
    while time.monotonic() < end:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.05)
    return False


def test_leaving_the_fleet_ends_every_child_and_output_went_to_its_log(tmp_path: Path) -> None:
    with Fleet() as fleet:
        first = fleet.start("a", tmp_path / "a.log", _sleep)
        second = fleet.start("b", tmp_path / "b.log", _sleep)
        assert _wait(lambda: (tmp_path / "b.log").exists() and "started" in (tmp_path / "b.log").read_text())
        assert fleet.watch() is None
    assert not _alive(first.pid)
    assert not _alive(second.pid)


def test_a_child_that_fails_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    def broken(_: list[socket.socket]) -> None:
        raise ValueError("no key file 999993653")

    with Fleet() as fleet:
        fleet.start("hub", tmp_path / "hub.log", broken)
        with pytest.raises(DemoFailed, match="hub failed") as failed:
            fleet.finish("hub")
    assert "no key file" in str(failed.value)
    assert "999993653" not in str(failed.value)


def test_a_taken_port_is_named_with_its_process_and_the_option(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(DemoFailed, match=rf"Port {port} \(hub\) is taken.*--port-base"):
            bind_ports({"free": _free_port(), "hub": port})


def test_children_end_when_the_parent_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from deploy.demo.fleet import Fleet\n"
        "fleet = Fleet()\n"
        f"p = fleet.start('x', Path({str(tmp_path)!r}) / 'x.log', lambda s: time.sleep(60))\n"
        "print(p.pid, flush=True); time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert _alive(child)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    assert _wait(lambda: not _alive(child))
