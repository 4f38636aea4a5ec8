"""Publications in bulk as a node sends them, and bare rows to compare with."""

import asyncio
import secrets
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from index.protocol.codec import b64u
from index.protocol.points import seal_points
from index.protocol.statement import make_statement, sign_statement
from index.store.engine import open_engine
from nodes.oprf import ristretto

from .hub import HUB_ID, OIN, SOURCE, MeasuredHub

PER_MESSAGE = 1000


@dataclass(slots=True)
class Published:
    """`millis` per message of 1,000 flags."""

    seconds: float = 0.0
    millis: list[float] = field(default_factory=list)


async def publications(hub: MeasuredHub, address: tuple[str, int], flags: int, concurrency: int) -> Published:
    """Publish `flags` flags in messages of 1,000, `concurrency` in flight; everything is made beforehand.

    Each person has two flags; the next message is about other persons, as in a first delivery.
    """
    pool = [
        ristretto.hash_to_element(secrets.token_bytes(16), b"vlagwijzer/bench") for _ in range(flags // 2 + 1)
    ]
    kinds = [kind.code for kind in hub.vocabulary.kinds if kind.enabled and not kind.self_declared]
    waiting = [
        _message(hub, pool, kinds, first, min(PER_MESSAGE, flags - first))
        for first in range(0, flags, PER_MESSAGE)
    ]
    out = Published()

    async def sends(client: httpx.AsyncClient) -> None:
        while waiting:
            msg, raw = waiting.pop()
            begun = time.perf_counter()
            answer = await client.post("/v1/publications", content=raw, headers=_signed(hub, msg, raw))
            out.millis.append((time.perf_counter() - begun) * 1000)
            results = msgspec.json.decode(answer.content).get("results", [])
            if answer.status_code != 200 or any(one["outcome"] != "stored" for one in results):
                raise RuntimeError(f"a publication was answered {answer.status_code}")

    begun = time.perf_counter()
    base = f"http://{address[0]}:{address[1]}"
    async with httpx.AsyncClient(base_url=base, timeout=120, trust_env=False) as client:
        await asyncio.gather(*(sends(client) for _ in range(concurrency)))
    out.seconds = time.perf_counter() - begun
    return out


def _message(
    hub: MeasuredHub, pool: list[bytes], kinds: list[str], first: int, count: int
) -> tuple[str, bytes]:
    msg = str(uuid.uuid4())
    items = [
        {
            "seq": first + at + 1,
            "rtag": b64u(secrets.token_bytes(32)),
            "kind": kinds[at % len(kinds)],
            "since": "2025-03",
        }
        for at in range(count)
    ]
    about = [pool[(first + at) // 2] for at in range(count)]
    points = seal_points(hub.keystore.points_public, f"node-{SOURCE}", msg, about)
    return msg, msgspec.json.encode({"version": 1, "points": b64u(points), "items": items})


def _signed(hub: MeasuredHub, msg: str, raw: bytes) -> dict[str, str]:
    statement = make_statement(
        t="publish", hub=f"{HUB_ID}/v1/log", org=OIN, node=f"node-{SOURCE}", msg=msg,
        jti=secrets.token_bytes(16), nts=int(time.time()), body=raw, role="bron",
    )  # fmt: skip
    return sign_statement(statement, hub.node_keys[SOURCE])


def bytes_per_flag(url: str) -> float | None:
    """What a flag takes at rest with its indexes; None where SQLite was built without `dbstat`."""
    engine = open_engine(url)
    try:
        with engine.connect().execution_options(reading=True) as connection:
            run = connection.exec_driver_sql
            if engine.dialect.name == "postgresql":
                size = run("SELECT pg_total_relation_size('flag')").scalar()
            else:
                size = run("SELECT sum(pgsize) FROM dbstat WHERE name IN ('flag', 'ix_flag_idx')").scalar()
            return round((size or 0) / (run("SELECT count(*) FROM flag").scalar() or 1), 1)
    except OperationalError:
        return None
    finally:
        engine.dispose()


def bare_rows(url: str, count: int) -> float:
    """Rows a second into a table like `flag`: staging and sorted insert, or one large transaction."""
    rows = sorted(
        (secrets.token_bytes(48), secrets.token_bytes(32), secrets.token_bytes(184), 1) for _ in range(count)
    )
    engine = open_engine(url)
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"CREATE TABLE bench_bare ({_columns(connection)})")
        begun = time.perf_counter()
        with engine.begin() as connection:
            _write_bare(connection, rows)
        return count / (time.perf_counter() - begun)
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE bench_bare")
        engine.dispose()


def _columns(connection: Connection) -> str:
    kind = "bytea" if connection.dialect.name == "postgresql" else "blob"
    return f"k {kind} PRIMARY KEY, i {kind}, v {kind}, seq bigint"


def _write_bare(connection: Connection, rows: list[Any]) -> None:
    if connection.dialect.name != "postgresql":
        connection.exec_driver_sql("INSERT INTO bench_bare VALUES (?, ?, ?, ?)", rows)
        return
    connection.exec_driver_sql("CREATE TEMP TABLE staging (LIKE bench_bare) ON COMMIT DROP")
    driver: Any = connection.connection.driver_connection
    with driver.cursor().copy("COPY staging FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(["bytea", "bytea", "bytea", "int8"])
        for row in rows:
            copy.write_row(row)
    connection.exec_driver_sql("INSERT INTO bench_bare SELECT * FROM staging ORDER BY k")
