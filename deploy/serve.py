"""Serving one process: its ASGI application behind uvicorn, with our logging and nothing of uvicorn's.

Used by `hub serve`, `node serve`, `keyholder serve` and by the demo alike.
"""

import asyncio
import errno
import gc
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from index.protocol.http import App

from .logging_setup import AccessLines

GRACE_S = 3
_YOUNG, _MIDDLE, _OLD = 20_000, 50, 100
"""Collections of the garbage collector; a full one then comes at every hundred millionth object or so."""
MOST_CONNECTIONS = 2048
"""Open at one time; each costs some 10 KB of memory, idle or not."""


class _Bounded(HttpToolsProtocol):
    """Closes a connection at once where enough are open, so that memory has a bound whoever connects."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()


class PortTaken(Exception):
    """Another process listens there already."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(f"port {port} on {host} is taken; choose another with --port or in the settings")


def serve(
    app: App | Any,
    host: str,
    port: int,
    sock: socket.socket | None = None,
    *,
    around: Callable[[App], App] = lambda app: app,
) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        app: ASGI application of the process.
        host: Address to listen on.
        port: TCP port.
        sock: A socket that is bound already; host and port are then for the log only.
        around: What answers before the application is asked and before a line is written.

    Raises:
        PortTaken: Someone else listens there.
    """
    if sock is None:
        sock = _bound(host, port)
    config = uvicorn.Config(
        around(AccessLines(app)),
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=30,
        lifespan="auto",
        http=_Bounded,
    )
    _leave_what_stays_alone()
    server = uvicorn.Server(config)
    server.run(sockets=[sock])
    if not server.started:
        raise SystemExit(3)


def _leave_what_stays_alone() -> None:
    """Take what was loaded at the start out of the garbage collector's sight.

    Libraries, policy table and routes live as long as the process; walking over
    them took 50 to 150 ms each time, in which nobody was answered.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        # Listen now: two processes may bind the same port while neither listens.
        sock.listen(2048)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(host, port) from None
        raise
    return sock
