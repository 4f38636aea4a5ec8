"""Attack by accident: somebody types a citizen's number into the address bar, or a system into a URL.

Defence: no answer repeats it, no log line holds it. Over the running demo, at
each of its processes.
"""

import secrets
from pathlib import Path

import httpx
import pytest

from consent.pages.pages import Visitor
from tests.attacks.traces import search
from tests.federation import Federation

PATHS = ("/{}", "/v1/{}", "/v1/flags/{}", "/nergens?naar={}", "/v1/log/{}", "/koppeling/{}x/{}")


def answers(federation: Federation, number: str) -> dict[str, str]:
    """What each process says to each address with the number in it."""
    bases = [entry["url"] for entry in (federation.info["hub"], *federation.info["keyholders"])]
    bases += [node["url"] for node in federation.info["nodes"]]
    found = {}
    with httpx.Client(trust_env=False, timeout=10) as client:
        for base in bases:
            for path in PATHS:
                answer = client.get(base + path.format(number, number))
                assert answer.status_code in (401, 404), (base, path, answer.status_code)
                found[base + path] = answer.text + repr(answer.headers)
    return found


def test_no_answer_and_no_log_repeats_a_number_from_an_address(federation: Federation) -> None:
    number = federation.info["citizens"][-1]["bsn"]

    said = answers(federation, number)

    assert [path for path, text in said.items() if number in text] == []
    logs = Path(federation.folder)
    hits = [hit for hit in search(logs, [number]).hits if hit.split(":")[0].endswith(".log")]
    assert hits == []


def test_an_address_that_were_repeated_would_be_seen(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page of a missing address, in this process, with its defence taken out."""
    from tests.pages.world import node_site

    site = node_site({"desk"}, "http://localhost:1")
    number = secrets.token_hex(4)

    async def asked() -> str:
        transport = httpx.ASGITransport(site.app)
        async with httpx.AsyncClient(transport=transport, base_url=site.url) as client:
            return (await client.get(f"/{number}")).text

    import asyncio

    assert number not in asyncio.run(asked())
    monkeypatch.setattr(Visitor, "lost", property(lambda _: False, lambda _, __: None), raising=False)
    assert number in asyncio.run(asked())
