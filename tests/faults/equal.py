"""Does time tell what bytes do not? Pairs of questions over HTTP to a real hub process, interleaved.

    visible   8 flags that may be seen          against the same 8 and 12 more that may not
    nothing   somebody nobody ever heard of     against somebody with 12 flags that may not be seen

The two-sample Kolmogorov-Smirnov distance must stay under the 1 % threshold.
No node stands between, so there is no grid that could hide a difference.

Source: docs/design/policy.md, "Indistinguishability" S5.
"""

import asyncio
import bisect
import math
import random
import secrets
import time
import uuid
from collections.abc import Sequence
from typing import Any

import msgspec

from tests.hub.acting import Flag
from tests.hub.world import VOCABULARY, Visit, point

from .hubs import Ground, Served
from .load import Load
from .processes import Zygote
from .scenarios import Outcome, end

SEEN = ("bijstand", "minima", "schuldhulp", "ww", "inburgering", "wmo_voorziening", "jeugdhulp", "leerplicht")
HIDDEN = (
    *("bbz", "beschut_werk", "wia_wajong", "wmo_opvang", "ggz", "ggz"),
    *["jeugdbescherming"] * 3,
    *["rmc_vsv"] * 3,
)
"""With `SEEN` at most four flags in each scope: the floor of rows that is opened for everybody."""

RANDOM = ("log", "at", "pad", "flags")
"""The fields of an answer that may differ: receipt, time, and the filling that makes up for the receipt.

Of `flags` the time of confirmation is left out too: it is that of a bucket of the source.
"""


def threshold(pairs: int) -> float:
    """KS distance that two samples of one distribution pass in one of a hundred runs."""
    return 1.63 * math.sqrt(2 / pairs)


def distance(one: Sequence[float], other: Sequence[float]) -> float:
    """Two-sample Kolmogorov-Smirnov distance."""
    a, b = sorted(one), sorted(other)
    return max(abs(bisect.bisect_right(a, x) / len(a) - bisect.bisect_right(b, x) / len(b)) for x in a + b)


async def publish(load: Load, person: str, kinds: Sequence[str]) -> None:
    """Flags of one person, each by the source that may."""
    world = load.world
    for kind in kinds:
        node = world.bron if kind == "schuldhulp" else world.inkomen
        flag = Flag(person, kind, VOCABULARY.kind(kind).domain, secrets.token_bytes(32))
        change = load.publication(node, flag)
        load.journal.changes[flag.rtag].append(change)
        assert await load.send(change)
        assert change.outcome == "stored", (kind, change.outcome)


async def allow(load: Load, person: str, kinds: Sequence[str]) -> None:
    """One yes per kind, for team noord."""
    session = await load.opened(load.world.portaal, "", person, class_="citizen")
    domains = {VOCABULARY.kind(kind).domain for kind in kinds}
    scopes = [scope for scope in load.world.scopes_of("citizen") if scope in domains]
    msg = str(uuid.uuid4())
    entries = [
        {
            "scope": scope, "effect": "grant", "category": [scope, kind], "purpose": ["hulp"],
            "receiver": [load.world.wijkteam.oin, "noord"], "explicit": True,
        }
        for scope in scopes
        for kind in kinds
        if VOCABULARY.kind(kind).domain == scope
    ]  # fmt: skip
    body = {
        "ticket": session.tickets[0], "version": 1, "regime": "zelf", "by": "zelf", "entries": entries,
        "points": load.world.sealed("portaal", msg, [point(person, scope) for scope in scopes]),
        "group": "A" * 22, "text": "A" * 43,
    }  # fmt: skip
    sent = await load.world.portaal.send("/v1/choices", body, "choice", msg=msg, role="burger")
    assert sent.response.status_code == 200, sent.response.text


async def people(load: Load) -> dict[str, tuple[Visit, Visit]]:
    """The two comparisons: a visit of each side."""
    await publish(load, "seen", SEEN)
    await publish(load, "seen-and-hidden", (*SEEN, *HIDDEN))
    await publish(load, "hidden", HIDDEN)
    for person in ("seen", "seen-and-hidden"):
        await allow(load, person, SEEN)
    visits = {
        person: await load.opened(load.world.wijkteam, "m-jan", person)
        for person in ("seen", "seen-and-hidden", "nobody", "hidden")
    }
    return {
        "visible": (visits["seen"], visits["seen-and-hidden"]),
        "nothing": (visits["nobody"], visits["hidden"]),
    }


async def compare(
    zygote: Zygote, ground: Ground, *, seed: int, pairs: int, bug: str = "", only: Sequence[str] = ()
) -> Outcome:
    """Ask both sides in turn, in an order that a coin decides, one question at a time."""
    begun, coin = time.monotonic(), random.Random(seed)
    served = Served(zygote, ground, bug=bug).start()
    load = Load(ground, [served.client], seed)
    sides = {n: v for n, v in (await people(load)).items() if not only or n in only}
    took: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in sides}
    for turn in range(pairs + 20):
        for name, visits in sides.items():
            bodies: list[Any] = [None, None]
            for side in coin.sample((0, 1), 2):
                seconds, bodies[side] = await _ask(load, visits[side])
                if turn >= 20:
                    took[name][side].append(seconds)
            if bodies[0] != bodies[1]:
                load.journal.violated(f"the answers of {name} differ")
    figures: dict[str, Any] = {"pairs": pairs, "threshold": round(threshold(pairs), 4)}
    for name, (one, other) in took.items():
        found = distance(one, other)
        figures[f"KS {name}"] = round(found, 4)
        figures[f"median {name} us"] = [round(sorted(x)[len(x) // 2] * 1e6) for x in (one, other)]
        if found >= threshold(pairs):
            load.journal.violated(f"time tells {name}")
    served.process.stop()
    return end(ground, load, begun, **figures)


async def _ask(load: Load, visit: Visit) -> tuple[float, Any]:
    """Seconds over HTTP, and the answer without what may differ."""
    await asyncio.sleep(0)
    world = load.world
    body = msgspec.json.encode({"tickets": visit.tickets, "detail": "subjects"})
    at = time.perf_counter()
    sent = await world.wijkteam.send("/v1/lookups", body, "lookup", **visit.statement())
    seconds = time.perf_counter() - at
    assert sent.response.status_code == 200, sent.response.text
    person = msgspec.json.decode(sent.response.content)["persons"][0]
    size = len(sent.response.content)
    headers = sorted(name for name in sent.response.headers)
    flags = [{**flag, "confirmedAt": ""} for flag in person["flags"]]
    return seconds, (size, headers, flags, {k: v for k, v in person.items() if k not in RANDOM})
