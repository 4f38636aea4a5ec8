"""HTTP/1.1 to the hub and the key holders with as little as possible between: an httpx transport.

    httpx request -> one write of head and body -> httptools parses the answer -> httpx response

httpx's own transport writes head and body apart, which wakes the other side
twice, and costs more processor time than the answer does. This one keeps the
whole of httpx above it: addresses, headers, errors, tests' own transports.

It never sends a request a second time: a lookup that may have arrived must not
be asked again by a machine. A connection that the other side closed while it
was idle is not used.

Source: docs/performance.md, "A visit seen from the node".
"""

import asyncio
import ssl
from collections import defaultdict
from typing import Any, NoReturn

import httptools
import httpx

_IDLE = 16
"""Connections kept open to one address."""
_MOST_HEADERS = 200


class LeanTransport(httpx.AsyncBaseTransport):
    """Keeps connections open and reads whole answers.

    Args:
        most: Bytes of an answer's body; a longer one is an error.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._ssl: ssl.SSLContext | None = None
        self._idle: dict[tuple[str, str, int], list[_Connection]] = defaultdict(list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request.

        Raises:
            httpx.ConnectError, httpx.ConnectTimeout: Nothing was sent.
            httpx.ReadTimeout, httpx.RemoteProtocolError: It may have arrived.
        """
        limits = request.extensions.get("timeout", {})
        url = request.url
        place = (url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80))
        raw = _head(request) + await request.aread()
        connection = self._idle_one(place) or await self._connect(place, limits.get("connect"))
        try:
            async with asyncio.timeout(limits.get("read")):
                answer = await connection.exchange(raw)
        except TimeoutError:
            raise httpx.ReadTimeout("no answer in time", request=request) from None
        finally:
            if not connection.reusable:
                connection.close()
        if connection.reusable and len(self._idle[place]) < _IDLE:
            self._idle[place].append(connection)
        else:
            connection.close()
        return answer

    async def aclose(self) -> None:
        """Close what is idle."""
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()

    def _idle_one(self, place: tuple[str, str, int]) -> "_Connection | None":
        waiting = self._idle[place]
        while waiting:
            if (connection := waiting.pop()).reusable:
                return connection
            connection.close()
        return None

    async def _connect(self, place: tuple[str, str, int], seconds: float | None) -> "_Connection":
        scheme, host, port = place
        if scheme == "https" and self._ssl is None:
            self._ssl = httpx.create_ssl_context(trust_env=False)
        try:
            async with asyncio.timeout(seconds):
                _, made = await asyncio.get_running_loop().create_connection(
                    lambda: _Connection(self._most), host, port, ssl=self._ssl if scheme == "https" else None
                )
        except TimeoutError:
            raise httpx.ConnectTimeout("no connection in time") from None
        except OSError:
            raise httpx.ConnectError("no connection") from None
        return made


def _head(request: httpx.Request) -> bytes:
    """The request line and headers. httpx refused line ends in both before."""
    lines = [request.method.encode() + b" " + request.url.raw_path + b" HTTP/1.1"]
    lines += [name + b": " + value for name, value in request.headers.raw]
    return b"\r\n".join(lines) + b"\r\n\r\n"


class _Connection(asyncio.Protocol):
    """One connection: a request, its answer, and the next. Callbacks `on_...` are the parser's."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._transport: asyncio.Transport | None = None
        self._closed = False
        self._waits: asyncio.Future[httpx.Response] | None = None
        self._begin()

    def _begin(self) -> None:
        self._parser: Any = httptools.HttpResponseParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = bytearray()

    @property
    def reusable(self) -> bool:
        return not self._closed and self._waits is None

    async def exchange(self, raw: bytes) -> httpx.Response:
        if self._transport is None or not self.reusable:
            raise httpx.RemoteProtocolError("the connection is not free")
        self._begin()
        self._waits = asyncio.get_running_loop().create_future()
        self._transport.write(raw)
        answer = await self._waits
        self._waits = None
        return answer

    def close(self) -> None:
        self._closed = True
        if self._transport is not None:
            self._transport.close()

    # --- asyncio ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self._waits is None or self._waits.done():
            # Nobody asked for this: what follows could be taken for the answer to the next question.
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._fail("the answer is no HTTP")

    def eof_received(self) -> None:
        self._closed = True
        self._fail("the connection was closed before the answer was whole")

    def connection_lost(self, error: Exception | None) -> None:
        self._closed = True
        self._fail("the connection was lost before the answer was whole")

    def _fail(self, reason: str) -> None:
        self._closed = True
        if self._waits is not None and not self._waits.done():
            self._waits.set_exception(httpx.RemoteProtocolError(reason))

    # --- httptools -------------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))
        if len(self._headers) > _MOST_HEADERS:
            self._refuse("too many headers")

    def on_body(self, part: bytes) -> None:
        self._body += part
        if len(self._body) > self._most:
            self._refuse("the answer is too large")

    def on_message_complete(self) -> None:
        if self._waits is None or self._waits.done():
            self.close()
            return
        if not self._parser.should_keep_alive():
            self._closed = True
        status = self._parser.get_status_code()
        self._waits.set_result(
            httpx.Response(status, headers=self._headers, stream=httpx.ByteStream(bytes(self._body)))
        )

    def _refuse(self, reason: str) -> NoReturn:
        raise httptools.HttpParserError(reason)
