"""Bounds on size, number, depth, time and form of what comes in, the same at hub, node and key holder."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
import msgspec
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.server import ServerState

from deploy import serve
from index.protocol import http
from index.protocol.evaluate import TokenRefused, verify_grant
from index.protocol.http import MAX_DEPTH, BadBody, decode_body, is_too_deep
from index.protocol.receipt import ReceiptError, verify_change_receipt
from index.protocol.statement import StatementError, parse_statement
from tests.node.world import NodeWorld

from .doors import Door, doors

pytestmark = pytest.mark.anyio
DEEP = [
    b"[" * 100_000,
    b"[" * 50_000 + b"]" * 50_000,
    b'{"a":' * 100_000,
    b'{"a":[' * 30_000 + b"]}" * 30_000,
]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def world_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bounds")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[NodeWorld]:
    async with NodeWorld(tmp_path).running() as running:
        yield running
    running.keys.close()


# --- depth --------------------------------------------------------------------------


def depth_of(value: Any) -> int:
    match value:
        case list():
            return 1 + max((depth_of(item) for item in value), default=0)
        case dict():
            return 1 + max((depth_of(item) for item in value.values()), default=0)
        case _:
            return 0


TEXTS = st.text(alphabet='"\\[]{}a\u00e9', max_size=12)
VALUES = st.recursive(
    st.one_of(TEXTS, st.integers(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=30,
)


@given(VALUES, st.integers(0, 6), st.booleans())
def test_depth_found_without_parsing_is_the_depth(value: Any, limit: int, spaced: bool) -> None:
    raw = json.dumps(value, indent=1 if spaced else None).encode()
    assert is_too_deep(raw, limit) == (depth_of(value) > limit)


@given(st.binary(max_size=200), st.integers(0, 4))
def test_what_is_not_too_deep_never_meets_the_recursion_limit_of_the_decoder(raw: bytes, limit: int) -> None:
    if is_too_deep(raw, limit):
        with pytest.raises((msgspec.DecodeError, AssertionError)):
            assert depth_of(msgspec.json.decode(raw)) <= limit


def test_brackets_inside_text_are_text() -> None:
    assert decode_body(json.dumps({"a": "[" * 60_000}).encode(), dict) == {"a": "[" * 60_000}
    assert decode_body(json.dumps({"a": '\\"[{' * 1_000}).encode(), dict) == {"a": '\\"[{' * 1_000}


def test_the_decoder_alone_would_follow_thirty_times_further() -> None:
    assert msgspec.json.decode(b"[" * 900 + b"]" * 900)


def test_a_thread_with_a_small_stack_survives_the_deepest_body(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def decode() -> None:
        for raw in DEEP:
            try:
                decode_body(raw, dict)
            except BadBody as error:
                seen.append(error.problem.code)

    before = threading.stack_size(64 * 1024)
    try:
        thread = threading.Thread(target=decode)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert seen == ["malformed-body"] * len(DEEP)


@pytest.mark.parametrize("kind", ["hub", "source", "desk", "keyholder"])
async def test_deep_bodies_are_malformed_bodies_at_every_process(world: NodeWorld, kind: str) -> None:
    async with doors(world) as all_doors:
        door = all_doors[kind]
        for path in door.posts:
            for raw in [*DEEP, b'{"x":' + b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1) + b"}"]:
                answer = await door.post(path, raw[: 60 * 1024])
                assert answer.status_code == 400, (path, answer.text)
                assert answer.json()["type"].endswith("/malformed-body")
                assert b"[[" not in answer.content


# --- tokens and headers --------------------------------------------------------------


def deep_tokens() -> list[str]:
    from index.protocol.codec import b64u

    deep = [b64u(b"[" * n) for n in (1_400, 100_000)] + [b64u(b'{"alg":' + b"[" * 1_400)]
    return [f"{head}.{body}.x" for head in deep for body in (deep[0], b64u(b"{}"))]


def test_a_deep_token_is_a_refused_token(world_folder: Path) -> None:
    from datetime import UTC, datetime

    from consent.receipt import ReceiptInvalid, verify
    from index.protocol.directory import Directory

    for token in deep_tokens():
        with pytest.raises(TokenRefused):
            verify_grant(token, Directory(1, [], [], [], {}), sub="portaal", now=datetime.now(UTC))
        with pytest.raises(ReceiptError):
            verify_change_receipt(
                token,
                hub_key=bytes(32),
                hub_id="hub",
                node="bron",
                message_id="",
                t="publish",
                body_digest=None,
                results=[],
                now=datetime.now(UTC),
            )
        with pytest.raises(ReceiptInvalid):
            verify(token, keys={}, issuer="hub")
        with pytest.raises((RecursionError, jwt.PyJWTError)):
            jwt.get_unverified_header(token)


async def test_a_deep_token_in_a_header_is_no_login(world: NodeWorld) -> None:
    async with doors(world) as all_doors:
        desk = all_doors["desk"]
        for token in deep_tokens():
            answer = await desk.client.post(
                "/v1/lookups",
                content=b"{}",
                headers={**desk.headers(b"{}", "/v1/lookups"), "Authorization": f"Bearer {token}"},
            )
            assert answer.status_code in (403, 431)


def test_a_deep_statement_is_no_statement() -> None:
    from index.protocol.codec import b64u

    for raw in (b"[" * 1_900, b'{"v":' + b"[" * 1_900, b'{"zzz":' + b"[" * 1_900 + b"]" * 1_900 + b"}"):
        with pytest.raises(StatementError):
            parse_statement(
                {"Vlagwijzer-Statement": b64u(raw[:2048]), "Vlagwijzer-Signature": b64u(bytes(64))}
            )


@pytest.mark.parametrize("kind", ["hub", "source", "desk", "keyholder"])
async def test_headers_are_few_small_and_say_one_thing(world: NodeWorld, kind: str) -> None:
    async with doors(world) as all_doors:
        door = all_doors[kind]
        path = door.posts[0]
        good = list(door.headers(b"{}", path).items())
        plain = await door.client.post(path, content=b"{}", headers=good)
        assert plain.status_code not in (401, 431)

        many = await door.client.post(
            path, content=b"{}", headers=[*good, *((f"x-{n}", "1") for n in range(101))]
        )
        large = await door.client.post(path, content=b"{}", headers=[*good, ("x-a", "a" * 33_000)])
        address = await door.client.post(f"{path}?{'q' * 33_000}", content=b"{}", headers=good)
        assert [r.status_code for r in (many, large, address)] == [431, 431, 431]
        assert large.json()["type"].endswith("/headers-too-large")

        twice = [*good, ("Content-Type", "application/json"), ("Content-Type", "application/json")]
        for extra in (*good, ("Content-Length", "2"), ("Authorization", "Bearer x"), ("X-API-Key", "x")):
            repeated = [*good, extra, extra] if extra not in good else [*good, extra]
            answer = await door.client.post(path, content=b"{}", headers=repeated)
            assert answer.status_code == 400, extra[0]
            assert answer.json()["type"].endswith("/header-twice")
        assert (await door.client.post(path, content=b"{}", headers=twice)).status_code == 400


# --- media types and encodings -------------------------------------------------------

WRONG = [
    {"Content-Type": "text/plain"},
    {"Content-Type": "application/x-www-form-urlencoded"},
    {"Content-Type": "multipart/form-data; boundary=x"},
    {"Content-Type": "application/json; charset=utf-16"},
    {"Content-Type": "application/json; charset=utf-8; charset=latin-1"},
    {"Content-Type": ""},
    {"Content-Encoding": "gzip"},
    {"Content-Encoding": "identity, gzip"},
]
RIGHT = [{"Content-Type": "application/json"}, {"Content-Type": 'Application/JSON; Charset="UTF-8"'}, {}]


@pytest.mark.parametrize("kind", ["hub", "source", "desk", "keyholder"])
async def test_a_body_is_json_in_utf8_and_not_packed(world: NodeWorld, kind: str) -> None:
    async with doors(world) as all_doors:
        door = all_doors[kind]
        for path in door.posts:
            for headers in WRONG:
                answer = await door.post(path, b"{}", headers)
                assert answer.status_code == 415, (path, headers)
                assert answer.json()["type"].endswith("/media-type")
            for headers in RIGHT:
                assert (await door.post(path, b"{}", headers)).status_code != 415
            for raw in ('{"a":"\u20ac"}'.encode("utf-16"), b"\xff\xfe{}", b'{"a":"\xff"}'):
                assert (await door.post(path, raw)).status_code == 400


@pytest.mark.parametrize("kind", ["hub", "source", "desk", "keyholder"])
async def test_a_chunked_body_is_bounded_as_it_comes(world: NodeWorld, kind: str) -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while taken < 64 * 1024 * 1024:
            taken += 16_384
            yield b" " * 16_384

    async with doors(world) as all_doors:
        door = all_doors[kind]
        taken = 0
        answer = await door.client.post(
            door.posts[0], content=endless(), headers=door.headers(b"", door.posts[0])
        )
        assert answer.status_code == 413
        assert taken < 4 * 1024 * 1024


@pytest.mark.parametrize("kind", ["source", "desk", "keyholder"])
async def test_a_body_that_trickles_in_is_given_up(
    world: NodeWorld, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http.read_bounded, "__defaults__", (http.MAX_BODY, 0.05, http.JSON))

    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(1)
        yield b"}"

    async with doors(world) as all_doors:
        door = all_doors[kind]
        answer = await door.client.post(
            door.posts[0], content=slow(), headers=door.headers(b"", door.posts[0])
        )
        assert answer.status_code == 408
        assert answer.json()["type"].endswith("/body-too-slow")


# --- before HTTP is understood --------------------------------------------------------


@asynccontextmanager
async def served() -> AsyncIterator[int]:
    """An application behind the product's own HTTP on a free port of this machine."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = 0
        while True:
            message = await receive()
            body += len(message.get("body", b""))
            if not message.get("more_body"):
                break
        said = str(body).encode()
        length = (b"content-length", str(len(said)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": said})

    config = uvicorn.Config(app, http=serve.BoundedHttp, ws="none", log_config=None, access_log=False)
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: serve.BoundedHttp(config, state, {}), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()


async def exchange(port: int, parts: Any) -> tuple[bytes, int]:
    """What came back, and how many bytes could be sent before the other side closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sent = 0
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            sent += len(part)
            await asyncio.sleep(0)
        return await asyncio.wait_for(reader.read(4096), 10), sent
    except (ConnectionError, TimeoutError):
        return b"", sent
    finally:
        writer.close()


def forever(first: bytes, part: bytes) -> Iterator[bytes]:
    yield first
    for _ in range(64 * 1024 * 1024 // len(part)):
        yield part


HEAD = b"POST / HTTP/1.1\r\nHost: a\r\n"


async def test_a_request_within_bounds_is_served_twice_on_one_connection() -> None:
    async with served() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(
                HEAD + b"x-a: " + b"a" * 60_000 + b"\r\nContent-Length: 5000000\r\n\r\n" + b"b" * 5_000_000
            )
            await writer.drain()
            answer = await reader.readuntil(b"\r\n\r\n5000000")
            assert answer.startswith(b"HTTP/1.1 200")
        writer.close()


@pytest.mark.parametrize(
    "parts",
    [
        lambda: forever(HEAD + b"x-a: ", b"a" * 65_536),
        lambda: forever(HEAD, b"x-a: b\r\n" * 8_000),
        lambda: forever(b"GET /", b"a" * 65_536),
        lambda: iter([HEAD + b"x-a: " + b"a" * 66_000 + b"\r\n\r\n"]),
        lambda: forever(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nx-trailer: ", b"a" * 65_536),
        lambda: forever(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5;x=", b"a" * 65_536),
    ],
    ids=["one-header", "many-headers", "address", "at-once", "trailer", "chunk-extension"],
)
async def test_what_never_ends_is_cut_off(parts: Any) -> None:
    async with served() as port:
        answer, sent = await exchange(port, parts())
        assert answer[:12] in (b"HTTP/1.1 400", b"")
        assert sent < 60 * 1024 * 1024


@pytest.mark.parametrize("begun", [b"", b"POST / HT", HEAD + b"x-a: "])
async def test_a_head_that_does_not_come_gives_its_connection_up(
    begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "HEAD_SECONDS", 0.05)
    async with served() as port:
        answer, _ = await exchange(port, [begun])
        assert answer.startswith(b"HTTP/1.1 400")


async def test_without_our_bounds_a_header_without_end_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug: uvicorn's own protocol takes it all."""
    monkeypatch.setattr(
        serve.BoundedHttp,
        "data_received",
        uvicorn.protocols.http.httptools_impl.HttpToolsProtocol.data_received,
    )
    async with served() as port:
        _, sent = await exchange(port, forever(HEAD + b"x-a: ", b"a" * 1024 * 1024))
        assert sent > 60 * 1024 * 1024


_ = (httpx, Door)


@pytest.mark.parametrize(
    "name", ["kanarie", "999990019", "x - at `$.kanarie", "x - at `$[999990019]", "`$.kanarie`"]
)
async def test_the_name_of_an_unknown_field_is_not_repeated(world: NodeWorld, name: str) -> None:
    """It was: the decoder's message has no path where the body itself is wrong, and names the field."""
    async with doors(world) as all_doors:
        for kind in ("hub", "keyholder", "desk"):
            for path in all_doors[kind].posts:
                answer = await all_doors[kind].post(path, json.dumps({name: 1}).encode())
                assert "kanarie" not in answer.text
                assert "999990019" not in answer.text
