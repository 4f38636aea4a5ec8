"""A source's work in bulk: a whole list through three key holders, and a comparison with the hub.

    import     `vlagwijzer node import` (CSV) or `node sync` (SQL), as an operator runs them
    reconcile  node and hub filled alike but for some flags; one heartbeat and its repair, counted on the wire

Key holders and hub are processes of their own on loopback, from the demo's
documents with high limits. The persons are numbers that pass the elfproef, one after the other.

Source: docs/design/hub.md, "Retractions stay"; docs/sources.md.
"""

import asyncio
import json
import os
import secrets
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from itertools import count, islice
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from sqlalchemy import insert

from deploy import processes
from deploy.demo import plan
from deploy.demo.fleet import Fleet, bind_ports
from deploy.demo.papers import Papers
from index.app import open_hub
from index.settings import HubSettings
from index.store import tables as hub_tables
from nodes.bsn import passes_elfproef
from nodes.outbox import Flag
from nodes.retraction import rtag_of, secret_of
from nodes.runtime import open_node
from nodes.sender import Comparison, buckets_of
from nodes.settings import NodeSettings
from nodes.store.database import writing
from nodes.store.tables import flag as node_flag

from .figures import Figure, machine, percentile, versions
from .hub import CannotMeasure
from .visits import bench_papers, served

NODE = plan.node("schuldhulp")
KIND = NODE.kinds[0]
ROWS_AT_ONCE = 20_000
_FIRST = 100_000_000
_HEAD = "bsn,kind,local_ref,since,until"


# --- import ---------------------------------------------------------------------------


def bench_import(rows: int, source: str) -> Figure:
    """A first delivery of `rows` persons from `csv` or `sql`, and of a tenth of them for the memory.

    The reference reads the same persons and hashes them, nothing more.

    Raises:
        CannotMeasure, DemoFailed: There is no figure.
    """
    small = _imported(max(rows // 10, 10), source)
    large = _imported(rows, source)
    reference = _bare(rows)
    return Figure(
        work=f"import-{source}",
        engine="sqlite",
        flags=rows,
        concurrency=1,
        seconds=round(large["import"], 2),
        rate=round(rows / large["import"], 1),
        p50_ms=round(large["import"] * 1000, 1),
        p99_ms=round(large["import"] * 1000, 1),
        reference=round(reference, 1),
        ratio=round(rows / large["import"] / reference, 5),
        machine=machine(),
        versions=versions("httpx"),
        detail={
            "holders": "2 of 3, a process each",
            "sendSeconds": round(large["send"], 2),
            "memoryMb": round(large["rss"], 1),
            "memoryMbOfATenth": round(small["rss"], 1),
            "cpuUsPerRow": round(large["cpu"] / rows * 1e6),
        },
    )


def _imported(rows: int, source: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="vlagwijzer-bench-") as folder, Fleet() as fleet:
        papers = bench_papers(Path(folder))
        _start(papers, fleet)
        home = papers.node(NODE.id)
        first = _csv(home, rows) if source == "csv" else _sql(home, rows)
        config = ["--config", str(home / "node.toml"), "--json"]
        seconds, cpu, rss = _run([*first, *config])
        # A database is read and sent by one command; a list is sent by the next.
        send = _run(["sync", *config])[0] if source == "csv" else 0.0
        _check(home, rows)
        return {"import": seconds, "send": send, "cpu": cpu, "rss": rss}


def _start(papers: Papers, fleet: Fleet) -> None:
    holders = [f"keyholder {holder.id}" for holder in plan.HOLDERS]
    names = [*holders, "hub"]
    ports = {name: port for name, port in plan.ports(papers.base).items() if name in names}
    fleet.hold(bind_ports(ports))
    for holder, name in zip(plan.HOLDERS, holders, strict=True):
        home = papers.holder(holder.id)
        serve = partial(served, processes.serve_keyholder, home / "keyholder.toml")
        fleet.start(name, home / "keyholder.log", serve, [name])
    hub = papers.hub()
    fleet.start("hub", hub / "hub.log", partial(served, processes.serve_hub, hub / "hub.toml"), ["hub"])
    fleet.wait_until_up({name: f"http://127.0.0.1:{ports[name]}/health" for name in names})


def _rows(rows: int) -> Iterator[tuple[str, str, str, str, None]]:
    numbers = (str(number) for number in count(_FIRST) if passes_elfproef(str(number)))
    return ((one, KIND, f"B-{at}", "2025-03", None) for at, one in enumerate(islice(numbers, rows)))


def _csv(home: Path, rows: int) -> list[str]:
    lines = (",".join((*row[:4], "")) for row in _rows(rows))
    (home / "list.csv").write_text("\n".join((_HEAD, *lines)) + "\n")
    return ["import", str(home / "list.csv")]


def _sql(home: Path, rows: int) -> list[str]:
    with sqlite3.connect(home / "register.sqlite") as register:
        register.execute("CREATE TABLE dossier (bsn TEXT, kind TEXT, local_ref TEXT, since TEXT, until TEXT)")
        register.executemany("INSERT INTO dossier VALUES (?, ?, ?, ?, ?)", _rows(rows))
    (home / "url").write_text(f"sqlite:///{home / 'register.sqlite'}")
    (home / "query.sql").write_text("SELECT bsn, kind, local_ref, since, until FROM dossier")
    with (home / "node.toml").open("a") as settings:
        settings.write(
            f'\n[[sources]]\nname = "register"\ntype = "sql"\nurl_file = "{home / "url"}"\n'
            f'query_file = "{home / "query.sql"}"\n'
        )
    return ["sync", "--source", "register"]


def _run(arguments: list[str]) -> tuple[float, float, float]:
    """A command of the node in a process of its own: seconds, processor seconds, and most memory in MB."""
    command = [sys.executable, "-m", "deploy.cli", "node", *arguments]
    begun = time.perf_counter()
    process = os.posix_spawn(
        sys.executable,
        command,
        {**os.environ},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0o600),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0o600),
        ],
    )
    _, status, used = os.wait4(process, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise CannotMeasure(f"node {arguments[0]} ended with {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def _check(home: Path, rows: int) -> None:
    with sqlite3.connect(home / "node.sqlite") as store:
        (stored,) = store.execute("SELECT count(*) FROM flag WHERE state = 'published'").fetchone()
    if stored != rows:
        raise CannotMeasure(f"{stored} of {rows} rows were published")


def _bare(rows: int) -> float:
    from hashlib import sha512

    lines = [",".join(row[:4]) for row in _rows(rows)]
    begun = time.perf_counter()
    for line in lines:
        sha512(line.split(",")[0].encode()).digest()
    return rows / (time.perf_counter() - begun)


# --- reconciliation -------------------------------------------------------------------


class _Counted(httpx.AsyncBaseTransport):
    """The way to the hub, with the bytes of bodies that went each way."""

    def __init__(self) -> None:
        self._plain = httpx.AsyncHTTPTransport()
        self.sent = self.received = self.calls = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.calls += 1
        self.sent += len(await request.aread())
        answer = await self._plain.handle_async_request(request)
        self.received += len(await answer.aread())
        return answer

    async def aclose(self) -> None:
        await self._plain.aclose()


def bench_reconcile(flags: int, differences: int, rounds: int = 3) -> Figure:
    """One heartbeat over `flags` flags of which `differences` differ: found, then repaired.

    Half of the differences the hub lacks, half the node. The reference is sending the whole list of tags.

    Raises:
        CannotMeasure, DemoFailed: There is no figure, or the differences were not found.
    """
    with tempfile.TemporaryDirectory(prefix="vlagwijzer-bench-") as folder, Fleet() as fleet:
        papers = bench_papers(Path(folder))
        _start(papers, fleet)
        settings = NodeSettings.load(papers.node(NODE.id) / "node.toml")
        wire = _Counted()
        node = open_node(settings, hub_transport=wire)
        try:
            whole = _fill(papers, node.keys.secret, node.engine, flags, differences)
            seconds, repair = asyncio.run(_compared(node, wire, flags, differences, rounds))
        finally:
            node.engine.dispose()
        per_round = wire.sent // (rounds + 1)
    ordered = sorted(seconds)
    return Figure(
        work="reconcile",
        engine="sqlite",
        flags=flags,
        concurrency=1,
        seconds=round(median(seconds), 2),
        rate=round(flags / median(seconds), 1),
        p50_ms=round(median(seconds) * 1000, 1),
        p99_ms=round(percentile(ordered, 0.99) * 1000, 1),
        reference=float(whole),
        ratio=round(per_round / whole, 5),
        machine=machine(),
        versions=versions("httpx"),
        detail={
            "differences": differences,
            "bytesSent": per_round,
            "bytesReceived": wire.received // (rounds + 1),
            "bytesOfTheWholeList": whole,
            "calls": wire.calls // (rounds + 1),
            "repairSeconds": round(repair, 2),
        },
    )


async def _compared(
    node: Any, wire: _Counted, flags: int, differences: int, rounds: int
) -> tuple[list[float], float]:
    seconds = []
    try:
        for _ in range(rounds):
            begun = time.perf_counter()
            _right(await node.sender.compare(), differences)
            seconds.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        _right(await node.sender.repair(), differences)
        return seconds, time.perf_counter() - begun
    finally:
        for client in node.clients:
            await client.aclose()


def _right(found: Comparison | None, differences: int) -> None:
    half = differences // 2
    if found is None or (len(found.missing), len(found.extra)) != (differences - half, half):
        raise CannotMeasure("the comparison did not find the differences that were made")


def _fill(papers: Papers, secret: bytes, engine: Any, flags: int, differences: int) -> int:
    """The same flags on both sides, but for the differences; returns the bytes of all tags as JSON."""
    hub = open_hub(HubSettings.load(papers.hub() / "hub.toml"))
    tag = hub.rows.pub_tag(NODE.number)
    half = differences // 2
    tags: list[tuple[bytes, int, str]] = []
    for first in range(0, flags, ROWS_AT_ONCE):
        names = [f"B-{at}" for at in range(first, min(first + ROWS_AT_ONCE, flags))]
        made = [(rtag_of(secret_of(secret, name, 0)), first + at + 1, name) for at, name in enumerate(names)]
        # Of the first half the node forgot that they are live; the rest of the differences the hub lacks.
        own = [row for row in made if row[1] > half]
        held = [row for row in made if not half < row[1] <= differences]
        with writing(engine) as connection:
            connection.execute(insert(node_flag), [_own(row, live=row in own) for row in made[:differences]])
            connection.execute(insert(node_flag), [_own(row, live=True) for row in made[differences:]])
        with hub.engine.begin() as connection:
            connection.execute(insert(hub_tables.flag), [_held(tag, row) for row in held])
        tags += held
    rows = [
        {"pub_tag": tag, "bucket": number, "count": one.count, "sum": _sum(one.sum), "confirmed_at": 0}
        for number, one in enumerate(buckets_of(tags))
    ]
    with hub.engine.begin() as connection:
        connection.execute(insert(hub_tables.digest), rows)
    hub.engine.dispose()
    return flags * len(json.dumps({"rtag": "x" * 43, "seq": flags}, separators=(",", ":")))


def _sum(text: str) -> bytes:
    from index.protocol.codec import unb64u

    return unb64u(text, 32)


def _own(row: tuple[bytes, int, str], *, live: bool) -> dict[str, Any]:
    _, seq, name = row
    made = Flag(
        local_ref=name, origin="csv", kind=KIND, since="2025-03", until=None, person=secrets.token_bytes(16),
        revision=0, seq=seq, state="published", reason="", live_seq=seq if live else None,
        live_revision=0 if live else None, message_id=None, changed_at=0, acknowledged_at=0,
    )  # fmt: skip
    return {name: getattr(made, name) for name in Flag.__dataclass_fields__}


def _held(tag: bytes, row: tuple[bytes, int, str]) -> dict[str, Any]:
    raw = os.urandom(216)
    return {
        "pub_tag": tag, "rtag": row[0], "idx": raw[:32], "sealed": raw[32:140], "escrow": raw[140:],
        "seq": row[1], "expires_week": 0x7FFFFFFF,
    }  # fmt: skip
