"""The HTTP manners of every process: problems (RFC 9457), bounded requests, safe headers.

Errors never repeat input: a body may hold a BSN or points. One table per
process maps its exceptions to `Problem`; this module only renders them.
Bounds hold before anything is parsed: `Bounds` looks at the headers,
`read_bounded` at size, time and media type of a body, `decode_body` at its depth.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from .codec import place_of

API_VERSION = "1.0.0"
MAX_BODY = 64 * 1024
MAX_DEPTH = 32
"""Objects and lists inside each other. Our deepest body has 4; the decoder would follow to Python's
recursion limit (about 1,000), which does not know how much C stack is left, so that a thread with
a small stack dies instead of raising (msgspec issue 1033)."""
MAX_HEADERS = 100
MAX_HEADER_BYTES = 32 * 1024
"""Names and values together, and the address. A statement, a token and a cookie stay below 12 KiB."""
BODY_SECONDS = 30.0
JSON = frozenset({"application/json"})
PROBLEM_BASE = "https://vlagwijzer.example/problems/"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Body = TypeVar("Body")


@dataclass(frozen=True, slots=True)
class Problem:
    """One kind of error as callers see it: a stable code, a status and a fixed title."""

    code: str
    status: int
    title: str


class FieldError(msgspec.Struct, frozen=True, rename={"in_": "in"}):
    """Where one input is wrong, and by which rule; never the value itself."""

    in_: str
    location: str
    code: str
    detail: str


class ProblemBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """RFC 9457 problem with our `errors` extension."""

    type: str
    title: str
    status: int
    detail: str
    instance: str = ""
    errors: list[FieldError] = []


class BadBody(Exception):
    """The request body is too large, too slow, too deep, not JSON, or not of the wanted shape."""

    def __init__(self, problem: Problem, detail: str, errors: list[FieldError] | None = None) -> None:
        super().__init__(problem.code)
        self.problem = problem
        self.detail = detail
        self.errors = errors or []


TOO_LARGE = Problem("body-too-large", 413, "The body is too large")
TOO_SLOW = Problem("body-too-slow", 408, "The body came too slowly")
WRONG_MEDIA = Problem("media-type", 415, "The media type is not supported")
MALFORMED = Problem("malformed-body", 400, "The body could not be read")
HEADERS_TOO_LARGE = Problem("headers-too-large", 431, "The headers are too large")
HEADER_TWICE = Problem("header-twice", 400, "A header that may stand once stands twice")


def problem_response(
    problem: Problem,
    detail: str,
    *,
    instance: str = "",
    errors: list[FieldError] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """Render a problem; `detail` and `errors` must not hold input."""
    body = ProblemBody(
        PROBLEM_BASE + problem.code, problem.title, problem.status, detail, instance, errors or []
    )
    return Response(msgspec.json.encode(body), problem.status, headers, media_type="application/problem+json")


def problem_code(response: Response) -> str:
    """The code of a problem that `problem_response` made; from the program's tables, never from input."""
    return msgspec.json.decode(response.body, type=ProblemBody).type.removeprefix(PROBLEM_BASE)


async def read_bounded(
    request: Request,
    limit: int = MAX_BODY,
    seconds: float = BODY_SECONDS,
    media: frozenset[str] = JSON,
) -> bytes:
    """The whole body as sent, refused as soon as it passes a bound.

    A body without a media type is taken for the usual one; it is never unpacked, whatever
    `Content-Encoding` says, so a packed one is refused.

    Args:
        limit: Bytes.
        seconds: Within which all of it must have come.
        media: The media types that are read; a body without one is the first by alphabet.

    Raises:
        BadBody: Larger than `limit`, slower than `seconds`, or named as something else than `media` in UTF-8.
    """
    _require(request, media)
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise BadBody(TOO_LARGE, f"At most {limit} bytes are read.")
                chunks.append(chunk)
    except TimeoutError:
        raise BadBody(TOO_SLOW, "The body did not arrive in time. Nothing was done.") from None
    return b"".join(chunks)


def _require(request: Request, wanted: frozenset[str]) -> None:
    usual = min(wanted)
    media, *parameters = request.headers.get("content-type", usual).lower().split(";")
    charset = [
        value.strip().strip('"') for name, _, value in map(_parameter, parameters) if name == "charset"
    ]
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if media.strip() not in wanted or charset not in ([], ["utf-8"]) or encoding != "identity":
        raise BadBody(WRONG_MEDIA, f"Send {usual} in UTF-8, not compressed.")


def _parameter(text: str) -> tuple[str, str, str]:
    name, equals, value = text.partition("=")
    return name.strip(), equals, value


_BRACKETS = bytes.maketrans(b"{}", b"[]")
_BETWEEN = bytes(set(range(256)) - set(b'"[]{}'))


def is_too_deep(raw: bytes, limit: int = MAX_DEPTH) -> bool:
    """Whether JSON nests beyond `limit`, or its brackets do not close; found without parsing it.

    Takes a time in proportion to the length, whatever is in it.
    """
    if raw.count(b"[") + raw.count(b"{") <= limit:
        return False
    # A backslash escapes the one behind it, so pairs go first; what then stands before a quote escapes it.
    unescaped = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    outside = unescaped.translate(_BRACKETS, _BETWEEN).split(b'"')[::2]
    brackets = b"".join(outside)
    for _ in range(limit):
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


def decode_body(raw: bytes, kind: type[Body]) -> Body:
    """Decode JSON into a msgspec struct; unknown fields are refused, values never echoed.

    Raises:
        BadBody: Names the place of the first error in JSON-path form.
    """
    if is_too_deep(raw):
        raise BadBody(MALFORMED, f"The body is not JSON, or nests deeper than {MAX_DEPTH}.")
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        place = FieldError("body", place_of(error), "form", "Wrong form, or a field that is not known.")
        raise BadBody(MALFORMED, "A field has a wrong form.", [place]) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadBody(MALFORMED, "The body is not JSON.") from None


class Bounds:
    """Pure ASGI middleware: headers are few, small, and say one thing.

    Two values for one of `ONCE` are refused: a proxy in front might believe the
    one and this process the other.
    """

    ONCE = frozenset(
        (
            b"host",
            b"content-length",
            b"content-type",
            b"content-encoding",
            b"transfer-encoding",
            b"authorization",
            b"origin",
            b"x-api-key",
            b"vlagwijzer-statement",
            b"vlagwijzer-signature",
        )
    )

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (self.app if refusal is None else refusal)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        size = sum(len(name) + len(value) for name, value in headers)
        size += len(scope.get("raw_path") or b"") + len(scope["query_string"])
        if len(headers) > MAX_HEADERS or size > MAX_HEADER_BYTES:
            return problem_response(
                HEADERS_TOO_LARGE, f"At most {MAX_HEADERS} headers and {MAX_HEADER_BYTES} bytes are read."
            )
        names = [name.lower() for name, _ in headers]
        if len(set(names)) != len(names):
            seen = Counter(names)
            if any(seen[name] > 1 for name in self.ONCE):
                return problem_response(HEADER_TWICE, "Nothing was done. Send each such header once.")
        return None


class SafeHeaders:
    """Pure ASGI middleware: headers that every answer of every process carries."""

    HEADERS = (
        (b"api-version", API_VERSION.encode()),
        (b"cache-control", b"no-store"),
        (b"strict-transport-security", b"max-age=31536000"),
        (b"x-content-type-options", b"nosniff"),
        (b"x-frame-options", b"DENY"),
        (b"referrer-policy", b"no-referrer"),
    )

    def __init__(self, app: App, csp: str = "default-src 'none'; frame-ancestors 'none'") -> None:
        self.app = app
        self.extra = (*self.HEADERS, (b"content-security-policy", csp.encode()))
        self.names = frozenset(name for name, _ in self.extra)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = self._with_extra(message["headers"])
            await send(message)

        await self.app(scope, receive, with_headers)

    def _with_extra(self, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        given = list(headers)
        present = {name.lower() for name, _ in given}
        if present.isdisjoint(self.names):
            return [*given, *self.extra]
        return [*given, *((name, value) for name, value in self.extra if name not in present)]
