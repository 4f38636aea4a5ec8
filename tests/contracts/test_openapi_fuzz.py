"""The three documents against the three running processes: calls that fit and calls that do not.

With `FUZZ_MINUTES` set (`make fuzz`) there are more examples and another seed each round.
"""

import asyncio
import base64
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from index.protocol.codec import b64u
from nodes import apikeys
from tests.house.openapi_documents import made
from tests.node.world import BSN_A, BSN_B, NodeWorld

from .doors import Door, doors
from .sweep import CANARY, CHECKS, Sweep, holds_number, logged

DOORS = {"hub": "hub", "source": "node", "desk": "node", "keyholder": "keyholder"}
MINUTES = float(os.environ.get("FUZZ_MINUTES", "0"))
SEED = int(os.environ.get("FUZZ_SEED", "20261122"))


class Site:
    """A federation with something in it, and its four doors, on a loop of its own."""

    def __init__(self, folder: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self._world_context = NodeWorld(folder).running()
        self.world = self.loop.run_until_complete(self._world_context.__aenter__())
        self._doors_context = doors(self.world)
        self.doors = self.loop.run_until_complete(self._doors_context.__aenter__())
        self.real = self.loop.run_until_complete(self._fill())

    async def _fill(self) -> dict[str, list[Any]]:
        item = {"bsn": BSN_A, "kind": "schuldhulp", "localRef": "SH-1", "since": "2025-03"}
        published = await self.doors["source"].post("/v1/flags", json.dumps(item).encode())
        assert published.status_code == 202, published.text
        visit = {"clients": [{"bsn": BSN_A}], "purpose": "huisbezoek", "caseReference": "Z-1"}
        opened = await self.doors["desk"].post("/v1/visits", json.dumps(visit).encode())
        assert opened.status_code == 201, opened.text
        sent = json.loads(next(body for path, _, body in self.world.network.sent if path == "/v1/relations"))
        return {
            "bsn": [BSN_A, BSN_B],
            "kind": ["schuldhulp"],
            "localRef": ["SH-1", "SH-2"],
            "since": ["2025-03"],
            "until": ["2026-12", "2026-12-24T10:00:00Z", None],
            "visit": [opened.json()["visit"]],
            "purpose": ["huisbezoek"],
            "clients": [[{"bsn": BSN_A}]],
            "caseReference": ["Z-1"],
            "version": [1],
            "points": [sent["points"]],
            "receipts": [sent["receipts"]],
            "class": [sent["class"]],
            "persons": [1],
        }

    def close(self) -> None:
        self.loop.run_until_complete(self._doors_context.__aexit__(None, None, None))
        self.loop.run_until_complete(self._world_context.__aexit__(None, None, None))
        self.world.keys.close()
        self.loop.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    found = Site(tmp_path_factory.mktemp("sweep"))
    yield found
    found.close()


def swept(
    site: Site, name: str, *, proven: bool, examples: int = 5, seed: int = SEED, door: Door | None = None
) -> Sweep:
    with logged() as lines:
        sweep = Sweep(site.world, door or site.doors[name], made()[DOORS[name]], site.loop, site.real, lines)
        sweep.run(proven=proven, examples=examples, seed_=seed)
    return sweep


def rounds(seconds: float) -> Iterator[int]:
    """One seed in `make test`; as many as fit in the time of a campaign."""
    end = time.monotonic() + seconds
    yield SEED
    extra = SEED
    while time.monotonic() < end:
        extra += 1
        yield extra


@pytest.mark.parametrize("proven", [True, False], ids=["proven", "unproven"])
@pytest.mark.parametrize("name", DOORS)
def test_every_answer_keeps_to_the_rules(site: Site, name: str, proven: bool) -> None:
    calls = past = failures = 0
    for seed in rounds(MINUTES * 60 * 0.6 / 8):
        sweep = swept(site, name, proven=proven, seed=seed)
        assert not sweep.violations, dict(sweep.violations)
        calls += sweep.calls
        past += sum(count for (_, status), count in sweep.statuses.items() if status != 401)
        failures += sum(count for (_, status), count in sweep.statuses.items() if status < 300)
    if MINUTES:
        print(
            f"\n{name} {'proven' if proven else 'unproven'}: {calls} calls, "
            f"{past} past the gate, {failures} accepted"
        )
    assert calls >= 15
    if proven:
        assert past > calls * 0.6


@pytest.mark.parametrize("name", DOORS)
def test_with_and_without_credentials_some_calls_are_accepted_and_all_are_refused(
    site: Site, name: str
) -> None:
    good = {status for _, status in swept(site, name, proven=True, examples=15).statuses}
    assert good & {200, 201, 202}


# --- planted bugs -------------------------------------------------------------------------


def planted(door: Door, change: Callable[[bytes, httpx.Response], httpx.Response]) -> Door:
    """The same door, with a fault in what it answers."""

    class Faulty(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            answer = await door.client._transport.handle_async_request(request)
            body = await answer.aread()
            return change(
                request.content + str(request.url).encode(),
                httpx.Response(answer.status_code, headers=answer.headers, content=body),
            )

    client = httpx.AsyncClient(transport=Faulty(), base_url="https://faulty.test")
    return Door(door.name, client, door.posts, door.prove)


def _with(
    answer: httpx.Response, content: bytes | None = None, status: int | None = None, **headers: str
) -> httpx.Response:
    kept = {k: v for k, v in answer.headers.items() if k != "content-length"} | {
        k.replace("_", "-"): v for k, v in headers.items()
    }
    return httpx.Response(
        status or answer.status_code, headers=kept, content=answer.content if content is None else content
    )


def _logging(request: bytes, answer: httpx.Response) -> httpx.Response:
    structlog.get_logger().info("planted", body=request.decode("utf-8", "replace"))
    return answer


def _with_detail(answer: httpx.Response, text: str) -> bytes:
    try:
        return json.dumps({**answer.json(), "detail": text}).encode()
    except (ValueError, TypeError):
        return text.encode()


FAULTS: dict[str, Callable[[bytes, httpx.Response], httpx.Response]] = {
    "number in answer": lambda request, answer: _with(
        answer, _with_detail(answer, request.decode("utf-8", "replace"))
    ),
    "number in log": _logging,
    "no 401": lambda request, answer: _with(answer, status=403) if answer.status_code == 401 else answer,
    "stored by caches": lambda request, answer: _with(answer, cache_control="private"),
    "echo": lambda request, answer: _with(answer, _with_detail(answer, request.decode("utf-8", "replace"))),
    "server error": lambda request, answer: (
        _with(answer, status=500) if answer.status_code == 400 else answer
    ),
    "not a problem": lambda request, answer: _with(answer, content_type="application/json"),
}


def test_every_check_has_its_planted_bug() -> None:
    assert set(FAULTS) == set(CHECKS)


@pytest.mark.parametrize("check", FAULTS)
def test_a_planted_bug_is_caught_by_its_own_check(site: Site, check: str) -> None:
    door = planted(site.doors["source"], FAULTS[check])
    sweep = swept(site, "source", proven=check != "no 401", door=door)
    assert check in {name for name, _ in sweep.violations}


def test_a_gate_that_lets_everybody_in_is_caught(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    key = apikeys.find(
        site.world.runtimes[0].engine,
        site.doors["source"].headers(b"", "")["X-API-Key"],
        site.world.runtimes[0].now(),
    )
    monkeypatch.setattr(apikeys, "find", lambda *_: key)
    sweep = swept(site, "source", proven=False, examples=4)
    assert "no 401" in {name for name, _ in sweep.violations}


@pytest.mark.parametrize(
    "form",
    [
        BSN_A,
        f"{BSN_A[:4]}.{BSN_A[4:6]}.{BSN_A[6:]}",
        " ".join(BSN_A),
        "".join(f"%3{digit}" for digit in BSN_A),
        "".join(f"\\u003{digit}" for digit in BSN_A),
        base64.b64encode(BSN_A.encode()).decode(),
        b64u(json.dumps({"bsn": BSN_A}).encode()),
        BSN_A.encode().hex(),
    ],
)
def test_a_number_is_found_in_any_form(form: str) -> None:
    assert holds_number(f'{{"detail":"x {form} y"}}'.encode(), {BSN_A})
    assert not holds_number(f'{{"detail":"x {form} y"}}'.encode(), {BSN_B})


def test_the_canary_is_no_word_of_ours() -> None:
    assert CANARY not in Path(__file__).parent.joinpath("doors.py").read_text()
