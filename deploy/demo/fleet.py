"""Processes of the demo: everything is imported once, then each is forked, serves, and ends with its parent.

    bind every port (a taken one stops before anything starts) -> fork -> wait until all answer
    -> ... -> SIGTERM each, wait, SIGKILL what is left

A child watches a pipe whose other end only the parent holds: when the parent
is gone, however it went, the child ends too. Children have a session of their
own, so Ctrl-C reaches the parent alone and it ends them in order. Only
processes started here are ever signalled.
"""

import contextlib
import errno
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import httpx

START_S = 30.0
STOP_S = 6.0
HOST = "127.0.0.1"

Target = Callable[[list[socket.socket]], None]
"""What a child runs: it gets its bound sockets and serves until SIGTERM."""


class DemoFailed(Exception):
    """The demo cannot start or go on; the text says what to do, in one line or with a log's end."""


@dataclass(slots=True)
class Process:
    """A child of the demo."""

    name: str
    pid: int
    log: Path
    exit_code: int | None = None


def bind_ports(ports: Mapping[str, int], option: str = "--port-base") -> dict[str, socket.socket]:
    """A bound socket for each process, so that a taken port is known before anything starts.

    Raises:
        DemoFailed: Names the port, the process it was for and the option to choose others.
    """
    sockets: dict[str, socket.socket] = {}
    for name, port in ports.items():
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((HOST, port))
            # Bound alone does not keep others out on every system; listening does.
            sock.listen(128)
        except (OSError, OverflowError) as error:
            for bound in sockets.values():
                bound.close()
            sock.close()
            if getattr(error, "errno", None) == errno.EADDRINUSE:
                raise DemoFailed(
                    f"Port {port} ({name}) is taken. Choose other ports, for instance: {option} {port + 1000}"
                ) from None
            raise DemoFailed(f"Port {port} ({name}) cannot be used. Choose others with {option} N") from None
        sockets[name] = sock
    return sockets


class Fleet:
    """The processes of one demo. Use it as a context: leaving it ends them all."""

    def __init__(self) -> None:
        self.processes: dict[str, Process] = {}
        self._alive_read, self._alive_write = os.pipe()
        self._sockets: dict[str, socket.socket] = {}
        self._serves: dict[str, str] = {}

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        os.close(self._alive_write)
        os.close(self._alive_read)

    def hold(self, sockets: Mapping[str, socket.socket]) -> None:
        """Keep these sockets open for children until `start` gives each its own."""
        self._sockets.update(sockets)

    def start(self, name: str, log: Path, target: Target, ports: Sequence[str] = ()) -> Process:
        """Fork a child that runs `target`, its output in `log`.

        Args:
            name: Of the process.
            log: File that everything it prints goes to.
            target: What it runs.
            ports: Names of the held sockets that it gets, in this order.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        sys.stdout.flush()
        sys.stderr.flush()
        own = [self._sockets.pop(port) for port in ports]
        pid = os.fork()
        if pid == 0:
            self._child(name, log, target, own)
        for sock in own:
            # A socket kept open here would swallow connections after the child died.
            sock.close()
        process = Process(name, pid, log)
        self.processes[name] = process
        # For whoever wants to stop one of them by hand: kill $(cat .../keyholder.pid)
        log.with_suffix(".pid").write_text(f"{pid}\n")
        self._serves.update(dict.fromkeys(ports, name))
        return process

    def _child(self, name: str, log: Path, target: Target, own: list[socket.socket]) -> NoReturn:
        code = 1
        try:
            os.setsid()
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            # The write end must live in the parent alone, or its end would never be noticed.
            os.close(self._alive_write)
            for held in self._sockets.values():
                held.close()
            _redirect(log)
            threading.Thread(target=_end_with_parent, args=(self._alive_read,), daemon=True).start()
            target(own)
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        except BaseException:
            _log_failure(name)
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def wait_until_up(self, names: Mapping[str, str], within: float = START_S) -> None:
        """Wait until each process answers at its address.

        Args:
            names: Address that must give any HTTP answer below 500, by name of its port.

        Raises:
            DemoFailed: One ended or did not answer in time; with the end of its log.
        """
        deadline = time.monotonic() + within
        waiting = dict(names)
        with httpx.Client(timeout=2.0, trust_env=False) as client:
            while waiting:
                for name, address in list(waiting.items()):
                    self._fail_if_ended(self._serves[name])
                    with contextlib.suppress(httpx.HTTPError):
                        if client.get(address).status_code < 500:
                            del waiting[name]
                if waiting and time.monotonic() > deadline:
                    name = next(iter(waiting))
                    raise DemoFailed(
                        f"{name} did not answer within {within:.0f} s.\n{self._tail(self._serves[name])}"
                    )
                time.sleep(0.02)

    def finish(self, name: str, within: float = 120.0) -> None:
        """Wait for a child that works and ends by itself.

        Raises:
            DemoFailed: It failed or took too long; with the end of its log.
        """
        deadline = time.monotonic() + within
        while not self.ended(name):
            if time.monotonic() > deadline:
                raise DemoFailed(f"{name} took longer than {within:.0f} s.\n{self._tail(name)}")
            time.sleep(0.02)
        if self.processes[name].exit_code != 0:
            raise DemoFailed(f"{name} failed.\n{self._tail(name)}")
        del self.processes[name]

    def ended(self, name: str) -> bool:
        """Whether a child has ended; its exit code is kept."""
        process = self.processes[name]
        if process.exit_code is None:
            pid, status = os.waitpid(process.pid, os.WNOHANG)
            if pid:
                process.exit_code = os.waitstatus_to_exitcode(status)
        return process.exit_code is not None

    def watch(self) -> str | None:
        """The name of a server that ended although nobody stopped it; None while all live."""
        return next((name for name in self.processes if self.ended(name)), None)

    def _fail_if_ended(self, name: str) -> None:
        if name in self.processes and self.ended(name):
            raise DemoFailed(f"{name} stopped while starting.\n{self._tail(name)}")

    def _tail(self, name: str, lines: int = 5) -> str:
        log = self.processes[name].log
        with contextlib.suppress(OSError):
            last = log.read_text(errors="replace").splitlines()[-lines:]
            return "\n".join([f"The end of {log}:", *(line[:400] for line in last)])
        return f"See {log}"

    def stop(self) -> None:
        """End all children: ask first, insist after `STOP_S` seconds."""
        living = [name for name in self.processes if not self.ended(name)]
        for name in living:
            self._signal(name, signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        while living and time.monotonic() < deadline:
            living = [name for name in living if not self.ended(name)]
            time.sleep(0.02)
        for name in living:
            self._signal(name, signal.SIGKILL)
            os.waitpid(self.processes[name].pid, 0)
        for process in self.processes.values():
            with contextlib.suppress(OSError):
                process.log.with_suffix(".pid").unlink()
        self.processes.clear()
        for sock in self._sockets.values():
            sock.close()
        self._sockets.clear()

    def _signal(self, name: str, number: signal.Signals) -> None:
        # Not reaped yet, so the number cannot belong to another process.
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.processes[name].pid, number)


def _redirect(log: Path) -> None:
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)
    os.close(null)
    sys.stdout = os.fdopen(1, "w", buffering=1, errors="replace", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="replace", closefd=False)


def _end_with_parent(alive: int) -> None:
    os.read(alive, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_S)
    os._exit(1)


def _log_failure(name: str) -> None:
    from deploy.redaction import mask_text

    sys.stderr.write(mask_text(f"{name} failed\n{traceback.format_exc()}"))
