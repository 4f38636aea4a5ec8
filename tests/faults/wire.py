"""A small HTTP client over plain sockets, and the proxy that cuts between request and answer.

The client is lean so that the load comes from many requests and not from a
library's own work, and so that a broken connection is seen as what it is.
"""

import asyncio
import contextlib
import random
from collections.abc import Mapping
from typing import Any

import httpx


class Lost(Exception):
    """No answer came: whether the request was carried out is not known."""


class Wire:
    """Keep-alive connections to one address; `post` and `get` as `httpx.AsyncClient` has them."""

    def __init__(self, host: str, port: int, *, timeout: float = 15) -> None:
        self.host, self.port, self.timeout = host, port, timeout
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, path: str, *, content: bytes, headers: Mapping[str, str]) -> httpx.Response:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"POST {path} HTTP/1.1\r\nhost: hub\r\ncontent-length: {len(content)}\r\n{lines}\r\n"
        return await self._send(head.encode() + content)

    async def get(self, path: str) -> httpx.Response:
        return await self._send(f"GET {path} HTTP/1.1\r\nhost: hub\r\n\r\n".encode())

    async def _send(self, raw: bytes) -> httpx.Response:
        connection = None
        try:
            async with asyncio.timeout(self.timeout):
                connection = self._idle.pop() if self._idle else await self._open()
                connection[1].write(raw)
                response = await self._read(connection[0])
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            if connection:
                connection[1].close()
            raise Lost(type(error).__name__) from None
        except asyncio.CancelledError:
            if connection:
                connection[1].close()
            raise
        self._idle.append(connection)
        return response

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self.host, self.port, limit=1 << 20)

    async def _read(self, reader: asyncio.StreamReader) -> httpx.Response:
        head = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        headers = [tuple(line.split(b": ", 1)) for line in head[1:] if line]
        length = next((int(value) for name, value in headers if name.lower() == b"content-length"), 0)
        body = await reader.readexactly(length)
        return httpx.Response(int(head[0].split(b" ")[1]), headers=headers, content=body)  # type: ignore[arg-type]

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()


class CuttingProxy:
    """Passes requests on whole; for some it cuts the line before a byte of the answer goes back."""

    def __init__(self, to: tuple[str, int], rate: float, seed: int) -> None:
        self.to, self.rate, self.random = to, rate, random.Random(seed)
        self.cuts = 0
        self._server: Any = None

    async def __aenter__(self) -> "CuttingProxy":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    @property
    def port(self) -> int:
        return int(self._server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError):
            up_reader, up_writer = await asyncio.open_connection(*self.to, limit=1 << 20)
            try:
                while True:
                    up_writer.write(await self._message(reader))
                    await up_writer.drain()
                    if self.random.random() < self.rate:
                        # Sent whole: wait until the hub begins to answer, then say nothing of it.
                        await up_reader.read(1)
                        self.cuts += 1
                        return
                    writer.write(await self._message(up_reader))
                    await writer.drain()
            finally:
                up_writer.close()
                writer.close()

    async def _message(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        return head + await reader.readexactly(int(lengths[0].split(b":")[1]) if lengths else 0)
