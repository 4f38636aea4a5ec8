"""Lookups as a node sends them: signed, over loopback, a fixed number in flight.

One asyncio protocol per connection, and no HTTP client: what the client costs
is not the hub's. One answer in a hundred is checked as a node checks it.
"""

import asyncio
import secrets
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
from nacl.signing import SigningKey

from index.protocol.codec import b64u
from index.protocol.messages import LookupAnswer
from index.protocol.note import ED25519, NoteKey
from index.protocol.receipt import verify_log_receipt
from index.protocol.statement import (
    SIGNATURE_HEADER,
    STATEMENT_HEADER,
    Signed,
    make_statement,
    parse_statement,
    sign_statement,
)

from .filling import CASE, DESK, OIN, PURPOSE, ROLE, TEAM, Asked
from .hub import HUB_ID, MeasuredHub

CHECKED_EVERY = 100


class LoadFailed(Exception):
    """The hub did not answer as it should; the figure would mean nothing."""


@dataclass(slots=True)
class Round:
    """What one round came to. `millis` are the times of the answers, in no order."""

    seconds: float = 0.0
    millis: list[float] = field(default_factory=list)
    checked: int = 0

    @property
    def rate(self) -> float:
        return len(self.millis) / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Asking:
    """Makes the requests of one desk node."""

    key: SigningKey
    asked: Sequence[Asked]
    log_vkey: str

    @classmethod
    def of(cls, hub: MeasuredHub) -> "Asking":
        vkey = NoteKey(f"{HUB_ID}/v1/log", ED25519, hub.log_vkey).text()
        return cls(hub.node_keys[DESK], hub.asked, vkey)

    def request(self, number: int) -> tuple[bytes, dict[str, str]]:
        """The bytes of one lookup about person `number`, and its two headers."""
        body = b'{"tickets":["' + self.asked[number].ticket.encode() + b'"],"detail":"subjects"}'
        statement = make_statement(
            t="lookup", hub=f"{HUB_ID}/v1/log", org=OIN, node=f"node-{DESK}", msg=str(uuid.uuid4()),
            jti=secrets.token_bytes(16), nts=int(time.time()), body=body, actor="m-bench", role=ROLE,
            team=TEAM, purpose=PURPOSE, case=b64u(CASE),
        )  # fmt: skip
        headers = sign_statement(statement, self.key)
        head = (
            "POST /v1/lookups HTTP/1.1\r\nHost: hub\r\nContent-Type: application/json\r\n"
            f"{STATEMENT_HEADER}: {headers[STATEMENT_HEADER]}\r\n"
            f"{SIGNATURE_HEADER}: {headers[SIGNATURE_HEADER]}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body, headers

    def check(self, number: int, headers: dict[str, str], body: bytes) -> None:
        """The answer's receipt proves this very question, and something is shown."""
        signed: Signed = parse_statement(headers)
        person = msgspec.json.decode(body, type=LookupAnswer).persons[0]
        verify_log_receipt(person.log, log_vkey=self.log_vkey, sent=signed, lids=self.asked[number].lids)
        if person.refused or (number % 2 and not person.flags):
            # Every second person made a choice that opens something.
            raise LoadFailed("a lookup showed nothing: the round measures something else")


class _Connection(asyncio.Protocol):
    """Sends the next question when the answer to the last one is complete."""

    def __init__(self, asking: Asking, into: Round, until: float, done: "asyncio.Future[None]") -> None:
        self._asking, self._into, self._until, self._done = asking, into, until, done
        self._buffer = bytearray()
        self._whole = 0
        self._number = secrets.randbelow(len(asking.asked))
        self._headers: dict[str, str] = {}
        self._sent_at = 0.0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._next()

    def _next(self) -> None:
        if time.perf_counter() >= self._until:
            self._transport.close()
            if not self._done.done():
                self._done.set_result(None)
            return
        self._number = (self._number + 7) % len(self._asking.asked)
        raw, self._headers = self._asking.request(self._number)
        self._sent_at = time.perf_counter()
        self._transport.write(raw)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._whole:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._buffer[:end]).lower()
            if not head.startswith(b"http/1.1 200"):
                self._fail(bytes(self._buffer[:300]).decode(errors="replace"))
                return
            length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            self._whole = end + 4 + length
        if len(self._buffer) < self._whole:
            return
        into = self._into
        into.millis.append((time.perf_counter() - self._sent_at) * 1000)
        if len(into.millis) % CHECKED_EVERY == 1:
            body = bytes(self._buffer[self._buffer.find(b"\r\n\r\n") + 4 : self._whole])
            try:
                self._asking.check(self._number, self._headers, body)
            except Exception as error:
                self._fail(f"{type(error).__name__}: {error}")
                return
            into.checked += 1
        self._buffer.clear()
        self._whole = 0
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._fail("the hub closed the connection")

    def _fail(self, reason: str) -> None:
        if not self._done.done():
            self._done.set_exception(LoadFailed(reason))
        self._transport.close()


async def _round(asking: Asking, address: tuple[str, int], concurrency: int, seconds: float) -> Round:
    loop = asyncio.get_running_loop()
    into, waits = Round(), []
    begun = time.perf_counter()
    for _ in range(concurrency):
        done: asyncio.Future[None] = loop.create_future()
        waits.append(done)
        await loop.create_connection(
            lambda done=done: _Connection(asking, into, begun + seconds, done),  # type: ignore[misc]
            *address,
        )
    await asyncio.gather(*waits)
    into.seconds = time.perf_counter() - begun
    return into


def lookups(asking: Asking, address: tuple[str, int], concurrency: int, seconds: float) -> Round:
    """One round of lookups with `concurrency` in flight.

    Raises:
        LoadFailed: An answer was no 200, did not verify, or showed nothing.
    """
    import uvloop

    return uvloop.run(_round(asking, address, concurrency, seconds))
