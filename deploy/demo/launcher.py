"""Start the whole demo, feed it, say where to click, and end everything again.

    ports free? -> papers -> import all parts once -> fork a process each -> all answer
    -> extracts through the real import, choices through the real portal -> ready

Only what was started here is ended here.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NoReturn, TextIO

from deploy.logging_setup import set_up_logging

from . import plan
from .fleet import DemoFailed, Fleet, bind_ports
from .papers import Papers, prepare

Say = Callable[[str], None]


@contextlib.contextmanager
def running(folder: Path | None, base: int, say: Say) -> Iterator[tuple[Papers, Fleet]]:
    """A whole federation, up and fed, for as long as the context lasts.

    Args:
        folder: Of an earlier or new demo; None for a folder that is removed at the end.
        base: First of the ports.
        say: Progress, for people.

    Raises:
        DemoFailed: A port is taken, the folder is in use, or a process does not start.
    """
    with _stoppable(), _folder(folder) as home, Fleet() as fleet:
        begun = time.monotonic()
        set_up_logging("demo", _log_file(home))
        fleet.hold(bind_ports(plan.ports(base)))
        papers = prepare(home, base)
        _import_parts()
        _start_all(fleet, papers)
        fleet.wait_until_up(_addresses(base))
        say(f"{len(plan.ports(base))} servers answer after {time.monotonic() - begun:.1f} s: {_desk(base)}")
        from .feed import feed

        feed(papers, fleet, say)
        yield papers, fleet


def _log_file(home: Path) -> TextIO:
    """The demo's own log. Standard output is for what it tells, and may be read by a program."""
    handle = os.open(home / "demo.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    return os.fdopen(handle, "w", buffering=1)


def _desk(base: int) -> str:
    return plan.url(base, plan.node(plan.DESK_NODE).offset)


@contextlib.contextmanager
def _folder(folder: Path | None) -> Iterator[Path]:
    """The demo's folder, held by this demo alone."""
    home = folder.resolve() if folder else Path(tempfile.mkdtemp(prefix="vlagwijzer-demo-"))
    _refuse_other_folders(home)
    try:
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o700)
        handle = os.open(home / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DemoFailed(f"Another demo runs with {home}. Stop it, or choose another --data.") from None
        try:
            yield home
        finally:
            os.close(handle)
    finally:
        if folder is None:
            shutil.rmtree(home, ignore_errors=True)


def _refuse_other_folders(home: Path) -> None:
    """A demo writes into a new or empty folder, or into its own, and never between somebody's files."""
    if home.exists() and not home.is_dir():
        raise DemoFailed(f"{home} is a file. Choose a folder with --data.")
    if not home.exists() or (home / "demo.json").exists():
        return
    if (home / ".lock").exists() and (home / "keyholders").exists():
        raise DemoFailed(f"An earlier first start in {home} broke off. Remove that folder and start again.")
    if {entry.name for entry in home.iterdir()} - {".lock", "demo.log"}:
        raise DemoFailed(f"{home} holds other files. Choose a new folder with --data.")


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM stops as Ctrl-C does, and a second one while stopping changes nothing."""

    def stop(_number: int, _frame: FrameType | None) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _import_parts() -> None:
    """Import every part once; forked children share the memory and start at once."""
    import gc

    import index.app
    import nodes.app
    import nodes.keyholder.app

    from . import identity

    _ = (identity, index.app, nodes.app, nodes.keyholder.app)
    gc.collect()
    # What is here now is never garbage: children then do not copy pages by looking at it.
    gc.freeze()


Serve = Callable[[Path, socket.socket | None], None]


def _start_all(fleet: Fleet, papers: Papers) -> None:
    from deploy import processes

    def start(name: str, home: Path, kind: str, serve: Serve) -> None:
        config = home / f"{kind}.toml"
        fleet.start(name, home / f"{kind}.log", lambda own: serve(config, own[0]), [name])

    for holder in plan.HOLDERS:
        start(f"keyholder {holder.id}", papers.holder(holder.id), "keyholder", processes.serve_keyholder)
    start("hub", papers.hub(), "hub", processes.serve_hub)
    fleet.start(
        "identity",
        papers.identity() / "identity.log",
        partial(_serve_identity, papers),
        [f"identity {issuer.id}" for issuer in plan.ISSUERS],
    )
    for node in plan.NODES:
        start(f"node {node.id}", papers.node(node.id), "node", processes.serve_node)


def _serve_identity(papers: Papers, own: list[socket.socket]) -> None:
    from .accounts import applications
    from .identity import serve

    set_up_logging("identity")
    serve(list(zip(applications(papers), own, strict=True)))


def _addresses(base: int) -> dict[str, str]:
    return {
        **{name: f"http://127.0.0.1:{port}/health" for name, port in plan.ports(base).items()},
        **{
            f"identity {issuer.id}": f"{plan.url(base, issuer.offset)}/.well-known/openid-configuration"
            for issuer in plan.ISSUERS
        },
    }


def keep_running(fleet: Fleet) -> None:
    """Wait until interrupted; a server that ends by itself is named once and the rest go on."""
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            name = fleet.watch()
            if name is not None:
                gone = fleet.processes.pop(name)
                print(f"{name} stopped (exit {gone.exit_code}); its log is {gone.log}", file=sys.stderr)
            time.sleep(0.3)
