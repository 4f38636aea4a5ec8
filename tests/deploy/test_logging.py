"""No burgerservicenummer reaches a log line, whatever way it came."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import structlog
from fastapi import APIRouter, FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response

from deploy.logging_setup import AccessLines, set_up_logging
from deploy.redaction import MASK, mask, mask_text, passes_elfproef

BSN = "999993653"


def _bsn(first_eight: int) -> str | None:
    digits = [int(d) for d in f"{first_eight:08d}"]
    total = sum(w * d for w, d in zip(range(9, 1, -1), digits, strict=True)) % 11
    return None if total == 10 else f"{first_eight:08d}{total}"


bsns = (
    st.integers(1, 99_999_999)
    .map(_bsn)
    .filter(lambda text: text is not None and passes_elfproef([int(d) for d in text]))
)
separators = st.sampled_from(
    [" ", ".", "-", "\u00a0", "%20", "+", "_", "/", " - ", "%2E", "\\x20", "\\u00a0"]
)
words = st.text(st.characters(exclude_categories=("Nd", "Cs"), exclude_characters="%\\"), max_size=20)


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    before = logging.root.handlers[:], logging.root.level
    set_up_logging("test", stream)
    yield stream
    logging.root.handlers[:], level = before
    logging.root.setLevel(level)
    structlog.reset_defaults()


@given(bsns, words, words)
def test_a_number_between_any_words_is_masked(bsn: str, before: str, after: str) -> None:
    assert bsn not in mask_text(before + bsn + after)


@given(bsns, st.lists(st.integers(1, 8), max_size=8, unique=True), separators, words)
def test_a_number_in_groups_is_masked(bsn: str, cuts: list[int], separator: str, word: str) -> None:
    edges = [0, *sorted(cuts), 9]
    spaced = separator.join(bsn[a:b] for a, b in pairwise(edges))
    assert mask_text(f"{word}={spaced};") == f"{word}={MASK};"


@given(bsns)
def test_a_number_is_masked_as_integer_in_urls_and_inside_structures(bsn: str) -> None:
    shown = json.dumps(mask({"n": int(bsn), "u": f"https://x/y/{bsn}?a={bsn}%20{bsn}", bsn: [(bsn, {bsn})]}))
    assert bsn not in shown
    assert shown.count(MASK) >= 5
    encoded = "".join(f"%3{digit}" for digit in bsn)
    assert mask_text("q=" + encoded) == "q=" + MASK


def test_other_numbers_stay_readable() -> None:
    text = "port 8443, 123456789, 1234567890, 2 of 3, sinds 2025-03"
    assert mask_text(text) == text
    assert mask(8443) == 8443
    assert mask(None) is None
    assert mask(True) is True


class _Leaky:
    def __repr__(self) -> str:
        return f"<Leaky {BSN}>"


def test_an_exception_text_and_an_unknown_object_are_masked(lines: io.StringIO) -> None:
    log = structlog.stdlib.get_logger("x")
    try:
        raise ValueError(f"bad value {BSN}")
    except ValueError:
        log.exception("import_failed", what=_Leaky(), **{f"k{BSN}": 1})
    logging.getLogger("library").warning("row %s of %s", BSN, "list")
    text = lines.getvalue()
    assert BSN not in text
    assert text.count(MASK) >= 4
    assert {json.loads(line)["process"] for line in text.splitlines()} == {"test"}


def test_the_access_line_names_the_route_and_not_the_path(lines: io.StringIO) -> None:
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)

    @app.get("/v1/flags/{local_ref}")
    def flag(local_ref: str) -> dict[str, int]:
        return {"length": len(local_ref)}

    async def plain(_: Request) -> Response:
        return Response("ok")

    inner = APIRouter()
    inner.add_route("/log/{path:path}", plain)
    app.include_router(inner)
    sent: list[Any] = []

    async def call(path: str) -> None:
        scope = {
            "type": "http", "method": "GET", "path": path, "raw_path": path.encode(),
            "headers": [], "root_path": "",
            "query_string": b"q=secret", "scheme": "http", "server": ("x", 80), "http_version": "1.1",
        }  # fmt: skip

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await AccessLines(app)(scope, receive, send)

    asyncio.run(call("/v1/flags/reference-of-a-person"))
    asyncio.run(call("/nothing/here"))
    asyncio.run(call("/log/of-somebody"))
    text = lines.getvalue()
    first, second, third = (json.loads(line) for line in text.splitlines())
    assert first["route"] == "/v1/flags/{local_ref}"
    assert first["status"] == 200
    assert (second["route"], second["status"]) == ("(no route)", 404)
    assert third["route"] == "/log/{path:path}"
    assert "of-somebody" not in text
    assert "reference-of" not in text
    assert "secret" not in text
    assert "/nothing" not in text
