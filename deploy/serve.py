"""Serving one process: its ASGI application behind uvicorn, with our logging and our bounds on what comes in.

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
HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 15.0
MESSAGE_BYTES = 32 * 1024 * 1024
"""Six times the largest body, a list of 5 MB: what it takes when sent in chunks of one byte."""


class _TooLarge(Exception):
    """A request passed a bound; the parser turns it into a 400 and closes the connection."""


class BoundedHttp(HttpToolsProtocol):
    """uvicorn's HTTP, which reads headers of any size and number for as long as they come, with an end.

    A head has `HEAD_BYTES` and `HEAD_SECONDS` (counted from the connection or from its first
    part), a request with its chunk frames and trailers `MESSAGE_BYTES`. `Bounds` refuses
    smaller heads with a problem; this one only keeps memory and connections. One more
    than `MOST_CONNECTIONS` is closed at once.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._in_head = True
        self._head = self._received = 0
        self._deadline: asyncio.TimerHandle | None = None
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_wait()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._received > MESSAGE_BYTES or (self._in_head and self._received > HEAD_BYTES + len(data)):
            self._refuse()
            return
        super().data_received(data)
        if self._in_head and self._deadline is None:
            self._await_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._head = self._received = 0

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._end_wait()
        super().on_headers_complete()

    def _count(self, size: int) -> None:
        self._head += size
        if self._head > HEAD_BYTES:
            raise _TooLarge

    def _await_head(self) -> None:
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._refuse)

    def _end_wait(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self) -> None:
        self._end_wait()
        if not self.transport.is_closing():
            self.send_400_response("Invalid HTTP request received.")


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
        http=BoundedHttp,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=30,
        lifespan="auto",
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
