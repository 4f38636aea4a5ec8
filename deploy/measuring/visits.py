"""A visit seen from the node: its own API over HTTP, real key holders, hub and node on loopback.

    calling system -> node: bodies, employee token -> 2 of 3 key holders -> hub -> tickets -> node's store
    calling system -> node -> hub: one recorded question -> receipts checked -> names

All processes are those of `vlagwijzer demo`, its invented people included;
only the node's time grid is off and the limits per minute are high. The
split comes from the node's own `/metrics` and from the processor time of each
process, before and after.
"""

import os
import socket
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from deploy import processes
from deploy.demo import plan
from deploy.demo.accounts import applications
from deploy.demo.fleet import Fleet, bind_ports
from deploy.demo.identity import serve as serve_identity
from deploy.demo.papers import Papers, prepare
from deploy.demo.people import token_of
from deploy.node_tools import add_api_key
from deploy.toml_text import toml_text
from index.protocol.codec import unb64u
from nodes.oprf import threshold, voprf
from nodes.oprf.dealer import deal
from nodes.oprf.ristretto import Secret

from .figures import Figure, machine, percentile, versions
from .hub import CannotMeasure
from .lookups import cpu_seconds
from .ports import free_base

PURPOSE = "huisbezoek"
Serve = Callable[[Path, socket.socket | None], None]
_MANY = 1_000_000
_TOKEN_S = 200.0
_WARM = 5


@dataclass(slots=True)
class _Times:
    """Milliseconds of each call, and of what it was made of, per call on average."""

    millis: list[float] = field(default_factory=list)
    split: dict[str, float] = field(default_factory=dict)


def bench_visit(count: int, persons: int = 1) -> list[Figure]:
    """Opening a visit, and one lookup with its ticket; one after the other, nothing beside them.

    The reference of both is the cryptography of all parties for one visit, in
    one thread and without network.

    Raises:
        CannotMeasure, DemoFailed: There is no figure.
    """
    import tempfile

    with tempfile.TemporaryDirectory(prefix="vlagwijzer-bench-") as folder, Fleet() as fleet:
        papers = bench_papers(Path(folder))
        _start(papers, fleet)
        system = _System(papers, fleet, persons)
        with system.connected():
            system.run(_WARM)
            opened, looked, scopes = system.run(count)
    bare = _cryptography(scopes, persons, max(count // 4, 3))
    return [
        _figure("visit", opened, bare, persons=persons, scopes=scopes),
        _figure("look", looked, bare, persons=persons, scopes=scopes),
    ]


def _figure(work: str, found: _Times, bare: Sequence[float], *, persons: int, scopes: int) -> Figure:
    ordered = sorted(found.millis)
    middle = percentile(ordered, 0.5)
    reference = 1000 / median(bare)
    return Figure(
        work=work,
        engine="sqlite",
        flags=0,
        concurrency=1,
        seconds=round(sum(ordered) / 1000, 2),
        rate=round(1000 / middle, 1),
        p50_ms=round(middle, 2),
        p99_ms=round(percentile(ordered, 0.99), 2),
        reference=round(reference, 1),
        ratio=round(1000 / middle / reference, 3),
        machine=machine(),
        versions=versions("httpx"),
        detail={
            "calls": len(ordered),
            "persons": persons,
            "scopes": scopes,
            "cryptographyMs": round(median(bare), 2),
            **{name: round(value, 2) for name, value in found.split.items()},
        },
    )


# --- the federation -------------------------------------------------------------------


def bench_papers(folder: Path) -> Papers:
    papers = prepare(folder / "demo", free_base(), count=20)
    every = {"publish": _MANY, "lookup": _MANY, "crisis": _MANY, "citizen": _MANY, "inzage": _MANY}
    for holder in plan.HOLDERS:
        change(papers.holder(holder.id) / "keyholder.toml", daily=every, per_minute=every)
    change(papers.hub() / "hub.toml", node_per_minute=_MANY, employee_per_minute=_MANY)
    change(papers.node(plan.DESK_NODE) / "node.toml", answer_grid_ms=0)
    return papers


def change(path: Path, **settings: object) -> None:
    path.write_text(toml_text({**tomllib.loads(path.read_text()), **settings}))


def _start(papers: Papers, fleet: Fleet) -> None:
    """Three key holders, the hub, the employees' identity provider and the desk's node."""
    identities = [f"identity {issuer.id}" for issuer in plan.ISSUERS]
    holders = [f"keyholder {holder.id}" for holder in plan.HOLDERS]
    desk = f"node {plan.DESK_NODE}"
    names = [*holders, "hub", *identities, desk]
    ports = {name: port for name, port in plan.ports(papers.base).items() if name in names}
    fleet.hold(bind_ports(ports))
    for holder, name in zip(plan.HOLDERS, holders, strict=True):
        home = papers.holder(holder.id)
        serve = partial(served, processes.serve_keyholder, home / "keyholder.toml")
        fleet.start(name, home / "keyholder.log", serve, [name])
    serve = partial(served, processes.serve_hub, papers.hub() / "hub.toml")
    fleet.start("hub", papers.hub() / "hub.log", serve, ["hub"])
    fleet.start("identity", papers.identity() / "identity.log", partial(_identities, papers), identities)
    fleet.wait_until_up({name: f"http://127.0.0.1:{ports[name]}/health" for name in (*holders, "hub")})
    home = papers.node(plan.DESK_NODE)
    fleet.start(desk, home / "node.log", partial(served, processes.serve_node, home / "node.toml"), [desk])
    fleet.wait_until_up({desk: f"http://127.0.0.1:{ports[desk]}/health"})


def served(serve: Serve, config: Path, own: list[socket.socket]) -> None:
    serve(config, own[0])


def _identities(papers: Papers, own: list[socket.socket]) -> None:
    serve_identity(list(zip(applications(papers), own, strict=True)))


# --- the calling system ---------------------------------------------------------------


class _System:
    """An organisation's own system: its key, an employee's token, and one connection to its node."""

    def __init__(self, papers: Papers, fleet: Fleet, persons: int) -> None:
        self._papers = papers
        self._persons = persons
        self._bsns = [citizen.bsn for citizen in papers.world.citizens]
        self._employee = next(
            one for one in plan.EMPLOYEES if one.node == plan.DESK_NODE and one.role == "generalist"
        )
        self._pids: dict[str, list[int]] = {name.split()[0]: [] for name in fleet.processes}
        for name, process in fleet.processes.items():
            self._pids[name.split()[0]].append(process.pid)
        self._http: httpx.Client
        self._token_at = 0.0

    @contextmanager
    def connected(self) -> Iterator[None]:
        node = plan.node(plan.DESK_NODE)
        settings = self._papers.node(node.id) / "node.toml"
        with httpx.Client(
            base_url=plan.url(self._papers.base, node.offset),
            headers={"X-API-Key": add_api_key(settings, "bench", [], [self._employee.role])["key"]},
            timeout=30,
            trust_env=False,
        ) as self._http:
            yield

    def run(self, count: int) -> tuple[_Times, _Times, int]:
        """Open `count` visits, then look once in each; the scopes of one person with it."""
        visits: list[str] = []
        opened, looked = _Times(), _Times()
        before = self._counted()
        for number in range(count):
            body = {
                "clients": [
                    {"bsn": self._bsns[(number + at) % len(self._bsns)]} for at in range(self._persons)
                ],
                "purpose": PURPOSE,
                "caseReference": f"Z-{number}",
            }
            visits.append(self._call(opened, "/v1/visits", body)["visit"])
        between = self._counted()
        for visit in visits:
            answer = self._call(looked, "/v1/lookups", {"visit": visit})
            if len(answer["persons"]) != self._persons or any(one["refused"] for one in answer["persons"]):
                raise CannotMeasure("a lookup was refused: the figure would measure something else")
        after = self._counted()
        opened.split, looked.split = _split(before, between, count), _split(between, after, count)
        return opened, looked, self._scopes()

    def _call(self, into: _Times, path: str, body: object) -> dict[str, Any]:
        self._fresh_token()
        begun = time.perf_counter()
        answer = self._http.post(path, json=body)
        into.millis.append((time.perf_counter() - begun) * 1000)
        if answer.status_code >= 300:
            raise CannotMeasure(f"the node answered {answer.status_code} to {path}")
        found: dict[str, Any] = answer.json()
        return found

    def _fresh_token(self) -> None:
        if time.monotonic() - self._token_at > _TOKEN_S:
            token = token_of(self._employee, self._papers.base)
            self._http.headers["Authorization"] = f"Bearer {token}"
            self._token_at = time.monotonic()

    def _scopes(self) -> int:
        from policy.decide import scopes_for
        from policy.vocabulary import load_vocabulary

        return len(scopes_for(load_vocabulary(), self._employee.role, PURPOSE))

    def _counted(self) -> dict[str, float]:
        """Sums so far: seconds the node waited for others, and processor seconds of each kind of process."""
        found = {
            f"{kind}CpuMs": sum(cpu_seconds(pid) for pid in pids)
            for kind, pids in self._pids.items()
            if kind != "identity"
        }
        for family in text_string_to_metric_families(self._http.get("/metrics").text):
            for sample in family.samples:
                name = sample.name.removeprefix("node_").removesuffix("_seconds_sum")
                if sample.name in ("node_key_holder_seconds_sum", "node_hub_seconds_sum"):
                    key = {"key_holder": "holdersWaitMs", "hub": "hubWaitMs"}[name]
                    found[key] = found.get(key, 0.0) + sample.value
        return found


def _split(before: dict[str, float], after: dict[str, float], count: int) -> dict[str, float]:
    """Milliseconds per call; two key holders are asked at once, so their wait counts half of its sum."""
    found = {name: (after[name] - before.get(name, 0.0)) / count * 1000 for name in after}
    if "holdersWaitMs" in found:
        found["holdersWaitMs"] /= plan.THRESHOLD
    return found


def _cryptography(scopes: int, persons: int, rounds: int) -> list[float]:
    """Milliseconds of one visit's evaluations at t holders, blinded, proven, verified and combined."""
    names = plan.ALL_SCOPES[:scopes]
    dealing = deal(names, t=plan.THRESHOLD, n=len(plan.HOLDERS))
    found = []
    for _ in range(rounds):
        begun = time.perf_counter()
        for key in dealing.keys:
            with Secret.random(persons) as blinds:
                blinded = voprf.blind([os.urandom(32) for _ in range(persons)], blinds)
                answers = {}
                for index in range(1, plan.THRESHOLD + 1):
                    share = dealing.shares[index][key.kid]
                    public = threshold.public_key([unb64u(commit, 32) for commit in key.commits], index)
                    answers[index] = voprf.evaluate(share, blinded)
                    proof = voprf.prove(share, public, blinded, answers[index])
                    voprf.verify(public, blinded, answers[index], proof)
                threshold.combine(answers, blinds)
        found.append((time.perf_counter() - begun) * 1000)
    dealing.erase()
    return found
