"""The HTTP manners of every process: problems (RFC 9457), bounded bodies, safe headers.

Errors never repeat input: a body may hold a BSN or points. One table per
process maps its exceptions to `Problem`; this module only renders them.
"""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

API_VERSION = "1.0.0"
MAX_BODY = 64 * 1024
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
    """The request body is too large, not JSON, or not of the wanted shape."""

    def __init__(self, problem: Problem, detail: str, errors: list[FieldError] | None = None) -> None:
        super().__init__(problem.code)
        self.problem = problem
        self.detail = detail
        self.errors = errors or []


TOO_LARGE = Problem("body-too-large", 413, "The body is too large")
MALFORMED = Problem("malformed-body", 400, "The body could not be read")


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


async def read_bounded(request: Request, limit: int = MAX_BODY) -> bytes:
    """The whole body, refused as soon as it passes `limit` bytes.

    Raises:
        BadBody: Larger than `limit`.
    """
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise BadBody(TOO_LARGE, f"At most {limit} bytes are read.")
        chunks.append(chunk)
    return b"".join(chunks)


def decode_body(raw: bytes, kind: type[Body]) -> Body:
    """Decode JSON into a msgspec struct; unknown fields are refused, values never echoed.

    Raises:
        BadBody: Names the place of the first error in JSON-path form.
    """
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        # msgspec ends its message with " - at `$.path`"; the part before it may quote a value.
        _, _, place = str(error).rpartition(" - at `")
        location = place.rstrip("`") or "$"
        raise BadBody(
            MALFORMED, "A field has a wrong form.", [FieldError("body", location, "form", "Wrong form.")]
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadBody(MALFORMED, "The body is not JSON.") from None


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
