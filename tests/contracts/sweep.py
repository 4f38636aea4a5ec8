"""Calls made from the OpenAPI documents, and what every answer is held against.

Schemathesis makes bodies and paths that fit a document and that do not; `Sweep`
puts real values in some places (numbers of citizens, kinds, tickets, references),
plants a canary, proves the caller or not, sends, and checks answer and log.
"""

import asyncio
import base64
import binascii
import json
import logging
import re
import secrets
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import schemathesis
import structlog
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from index.protocol.codec import b64u, unb64u
from index.protocol.evaluate import request_bytes
from nodes.bsn import passes_elfproef
from nodes.oprf import ristretto
from tests.node.world import BSN_A, BSN_B, BSN_C, NodeWorld, bsns

from .doors import Door

CANARY = "kanarie-7Zq4"
WORLD = {BSN_A, BSN_B, BSN_C}
INVENTED = bsns(40)[5:]
CACHEABLE = re.compile(r"/v1/log/.*tile/")
"""Complete tiles of the log never change and name nobody (access-log design, read API)."""
_NINE = re.compile(r"(?<!\d)\d{9}(?!\d)")
_TOKENS = re.compile(rb"[A-Za-z0-9+/_-]{12,}={0,2}")
Check = Callable[["Exchange"], bool]


# --- numbers in any form ----------------------------------------------------------------


def readings(raw: bytes) -> Iterator[str]:
    """The text itself and what it becomes when percent-signs, escapes, base64 or hex are undone."""
    text = raw.decode("utf-8", "replace")
    yield text
    yield urllib.parse.unquote(text)
    if "\\u" in text or "\\x" in text:
        yield re.sub(r"\\u00(3\d)|\\x(3\d)", lambda m: chr(int(m[1] or m[2], 16)), text)
    for token in _TOKENS.findall(raw):
        plain = token.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
        for cut in range(4):
            part = plain[cut:]
            try:
                yield base64.b64decode(part + b"=" * (-len(part) % 4)).decode("latin-1")
            except (binascii.Error, ValueError):
                continue
        if re.fullmatch(rb"(3[0-9])+", token):
            yield bytes.fromhex(token.decode()).decode("latin-1")


def holds_number(raw: bytes, numbers: set[str]) -> bool:
    """Whether one of these numbers stands in it: whole, in groups, or encoded."""
    if not numbers:
        return False
    wanted = re.compile("|".join(r"[ .\-/_,:]{0,3}".join(number) for number in sorted(numbers)))
    return any(wanted.search(reading) for reading in readings(raw))


def numbers_in(raw: bytes) -> set[str]:
    """Numbers that may be a citizen's in what was sent."""
    return {
        nine
        for reading in readings(raw)
        for nine in _NINE.findall(reading)
        if nine.strip("0") and passes_elfproef(nine)
    }


# --- one exchange and its checks ------------------------------------------------------------


@dataclass
class Exchange:
    """One call as it was sent, what came back, and what was logged meanwhile."""

    door: str
    path: str
    template: str
    protected: bool
    proven: bool
    body: bytes
    sent: set[str]
    answer: httpx.Response
    logged: bytes

    @property
    def failed(self) -> bool:
        return self.answer.status_code >= 400

    @property
    def headers(self) -> bytes:
        return b"\n".join(name + b": " + value for name, value in self.answer.headers.raw)


def _unproven_is_refused(seen: Exchange) -> bool:
    if seen.proven or not seen.protected:
        return True
    # A key holder is asked in the body: without its shape there is nobody to prove anything.
    return seen.answer.status_code in ((400, 401) if seen.door == "keyholder" else (401,))


CHECKS: dict[str, Check] = {
    "number in answer": lambda seen: (
        not holds_number(seen.headers + b"\n" + seen.answer.content, WORLD | seen.sent)
    ),
    "number in log": lambda seen: not holds_number(seen.logged, WORLD | seen.sent),
    "no 401": _unproven_is_refused,
    "stored by caches": lambda seen: (
        seen.answer.headers.get("cache-control") == "no-store" or bool(CACHEABLE.match(seen.path))
    ),
    "echo": lambda seen: not seen.failed or CANARY.encode() not in seen.answer.content + seen.headers,
    "server error": lambda seen: seen.answer.status_code != 500,
    "not a problem": lambda seen: (
        not seen.failed
        or (
            seen.answer.headers.get("content-type") == "application/problem+json"
            and seen.answer.json().keys() >= {"type", "title", "status", "detail"}
            and seen.answer.json()["status"] == seen.answer.status_code
        )
    ),
}


class _Lines(logging.Handler):
    """What the product and its libraries log, before anything is masked."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def event(self, _logger: Any, _method: str, event: Mapping[str, Any]) -> Any:
        self.lines.append(repr(event))
        raise structlog.DropEvent


@contextmanager
def logged() -> Iterator[_Lines]:
    """All log lines of this process."""
    before = structlog.get_config()
    lines = _Lines()
    root = logging.getLogger()
    # The test's own client logs the addresses it calls.
    quiet = [logging.getLogger(name) for name in ("httpx", "httpcore", "asyncio", "hypothesis")]
    levels = [logger.level for logger in quiet]
    for logger in quiet:
        logger.setLevel(logging.WARNING)
    structlog.configure(processors=[lines.event], wrapper_class=structlog.BoundLogger)
    root.addHandler(lines)
    try:
        yield lines
    finally:
        root.removeHandler(lines)
        structlog.configure(**before)
        for logger, level in zip(quiet, levels, strict=True):
            logger.setLevel(level)


# --- making calls -----------------------------------------------------------------------------


@dataclass
class Sweep:
    """All operations of one document against one process.

    Args:
        real: Values that exist in the world, by the name of the field they belong in.
    """

    world: NodeWorld
    door: Door
    document: dict[str, Any]
    loop: asyncio.AbstractEventLoop
    real: Mapping[str, list[Any]]
    lines: _Lines
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    violations: Counter[tuple[str, str]] = field(default_factory=Counter)
    calls: int = 0

    def run(self, *, proven: bool, examples: int, seed_: int) -> None:
        """Each operation with so many calls that fit the document, and as many that do not."""
        schema = schemathesis.openapi.from_dict(self.document)
        for result in schema.get_all_operations():
            operation = result.ok()
            of_source = any(word in operation.path for word in ("flags", "outbox", "disputes", "sources"))
            of_desk = any(
                word in operation.path for word in ("visits", "lookups", "crises", "inquiries", "signals")
            )
            if of_source and self.door.name == "desk":
                continue
            if of_desk and self.door.name == "source":
                continue
            for mode in GenerationMode:
                self._operation(operation, mode, proven, examples, seed_)

    def _operation(
        self, operation: Any, mode: GenerationMode, proven: bool, examples: int, seed_: int
    ) -> None:
        if mode is GenerationMode.NEGATIVE and operation.method == "get":
            return

        @seed(seed_)
        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode), random=st.randoms(use_true_random=False))
        def call(case: Any, random: Any) -> None:
            self._call(operation, case, random, proven)

        call()

    def _call(self, operation: Any, case: Any, random: Any, proven: bool) -> None:
        template = operation.path
        body = None if operation.method == "get" else self._filled(case.body, random, "")
        place = {name: str(self._filled(value, random, name)) for name, value in case.path_parameters.items()}
        path = "/v1" + template.format_map(
            {name: urllib.parse.quote(value, safe="") for name, value in place.items()}
        )
        if random.random() < 0.2:
            path += "?" + urllib.parse.urlencode({CANARY: random.choice(INVENTED)})
        if self.door.name == "keyholder" and isinstance(body, dict) and proven and random.random() < 0.7:
            body = self._signed_evaluation(body, random)
        try:
            raw = b"" if body is None else json.dumps(body).encode()
        except (TypeError, ValueError, RecursionError):
            raw = CANARY.encode()
        self.send(
            operation.method.upper(),
            path,
            template,
            raw,
            proven=proven,
            protected=bool(operation.definition.raw.get("security")),
        )

    def send(
        self, method: str, path: str, template: str, raw: bytes, *, proven: bool, protected: bool
    ) -> None:
        """One call, checked."""
        clean = path.partition("?")[0]
        headers = self.door.headers(raw, clean) if proven and protected and self.door.name != "hub" else {}
        if proven and protected and self.door.name == "hub":
            headers = self.door.headers(raw, clean)
        headers["X-Note"] = CANARY
        del self.lines.lines[:]
        answer = self.loop.run_until_complete(
            self.door.client.request(method, path, content=raw or None, headers=headers)
        )
        seen = Exchange(
            self.door.name,
            clean,
            template,
            protected or (self.door.name == "keyholder" and method == "POST"),
            proven,
            raw,
            numbers_in(raw) | numbers_in(path.encode()),
            answer,
            "\n".join(self.lines.lines).encode(),
        )
        self.calls += 1
        self.statuses[(template, answer.status_code)] += 1
        for name, holds in CHECKS.items():
            if not holds(seen):
                self.violations[(name, template)] += 1

    def _filled(self, value: Any, random: Any, name: str) -> Any:
        """The value with what exists in some places, a citizen's number in others, and the canary."""
        dice = random.random()
        if name in self.real and dice < 0.8:
            return random.choice(self.real[name])
        if isinstance(value, dict):
            filled = {key: self._filled(item, random, key) for key, item in value.items()}
            if random.random() < 0.05:
                filled[CANARY] = CANARY
            return filled
        if isinstance(value, list):
            return [self._filled(item, random, name) for item in value]
        if isinstance(value, str) and dice < 0.85:
            return random.choice(
                [CANARY, random.choice(INVENTED), f"{CANARY} {random.choice(INVENTED)}", value]
            )
        # A `seq` is the node's own and comes back in the result of its item: no citizen's number there.
        if isinstance(value, int) and not isinstance(value, bool) and name != "seq" and dice < 0.8:
            return int(random.choice(INVENTED))
        return value if isinstance(value, str | int | float | bool | None) else CANARY

    def _signed_evaluation(self, body: dict[str, Any], random: Any) -> dict[str, Any]:
        """The same request as a node of the directory would sign it."""
        element = b64u(ristretto.hash_to_element(secrets.token_bytes(8), b"vlagwijzer/test"))
        made = {
            "node": "bron", "version": 1, "class": "publish", "ts": str(int(self.world.clock().timestamp())),
            "nonce": secrets.token_hex(16), "grant": "", "groups": [{"kid": "geld.e1", "blinded": [element]}],
        }  # fmt: skip
        for name in made:
            if name in body and random.random() < 0.12:
                made[name] = body[name]
        try:
            groups = [(group["kid"], [unb64u(text) for text in group["blinded"]]) for group in made["groups"]]  # type: ignore[index,union-attr]
            message = request_bytes(
                "kh-a", node=made["node"], version=made["version"], class_=made["class"], ts=made["ts"],
                nonce=made["nonce"], grant=made["grant"], groups=groups,
            )  # fmt: skip
        except Exception:
            return {**made, "sig": CANARY}
        return {**made, "sig": b64u(self.world.keys.node_keys["bron"].sign(message).signature)}
