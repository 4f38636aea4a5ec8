"""Lookups at a hub in a process of its own, over loopback, by turns with the reference.

    warm up -> as often as asked: for each concurrency: reference, lookups, reference

The disk and the other users of a machine change from minute to minute, so each
round of lookups stands between two halves of the reference, its ratio is to
those two, and the figure is the median of many short rounds. The reference
waits for the disk and a lookup computes, so where the disk changes, the ratio
does too. `hubCpuChecks` does not: the hub's processor time per lookup, counted
in Ed25519 signature checks of the same moment.
"""

import os
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Protocol

from nacl.bindings import crypto_sign, crypto_sign_keypair, crypto_sign_open

from .figures import Figure, machine, percentile, spread, versions
from .hub import MeasuredHub
from .load import Asking, lookups
from .reference import PgBench, SqliteBench
from .server import place

_WARM_S = 1.0
_CHECKS = 300
_MB = 1024.0 * 1024


class Reference(Protocol):
    """Other work on the same machine, and on PostgreSQL on the same server."""

    def rate(self, concurrency: int, seconds: float) -> float:
        """Units of work a second of one round."""
        ...


class Beside(Protocol):
    """Something that is compared with in the same run: made for a database, measured while entered."""

    name: str

    def of(self, folder: Path, database: str, flags: int) -> AbstractContextManager[Reference]: ...


@dataclass(slots=True)
class _Rounds:
    """What the rounds of one concurrency came to."""

    rates: list[float] = field(default_factory=list)
    references: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    millis: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    checks: list[float] = field(default_factory=list)
    beside: dict[str, list[float]] = field(default_factory=dict)
    checked: int = 0


def bench_lookup(
    engine: str,
    flags: int,
    concurrencies: Sequence[int],
    seconds: float,
    rounds: int,
    *,
    keep: Path | None = None,
    beside: Sequence[Beside] = (),
) -> list[Figure]:
    """One figure for each concurrency.

    Args:
        engine: `sqlite` or `postgresql`.
        flags: Stored flags.
        concurrencies: Requests in flight; each asks about one person.
        seconds: Of each round of lookups; the reference takes a quarter of that before and after.
        keep: Folder in which the filled database stays for the next measurement.
        beside: Compared with too, after each round; its ratio stands in the detail.

    Raises:
        CannotMeasure, LoadFailed: There is no figure.
    """
    with place(engine, keep) as (folder, database), ExitStack() as stack:
        hub = MeasuredHub(folder, database)
        each = hub.fill(flags)
        reference: Reference = PgBench(database, folder) if engine == "postgresql" else SqliteBench(folder)
        others = {one.name: stack.enter_context(one.of(folder, database, flags)) for one in beside}
        asking = Asking.of(hub)
        process, address = stack.enter_context(hub.served())
        found = {concurrency: _Rounds() for concurrency in concurrencies}
        memory = [resident(process)]
        for concurrency in concurrencies:
            lookups(asking, address, concurrency, _WARM_S)
        for _ in range(rounds):
            for concurrency, into in found.items():
                before = reference.rate(concurrency, seconds / 4)
                used = cpu_seconds(process)
                done = lookups(asking, address, concurrency, seconds)
                into.cpu.append((cpu_seconds(process) - used) / max(len(done.millis), 1) * 1e6)
                into.checks.append(into.cpu[-1] / signature_check_us())
                middle = (before + reference.rate(concurrency, seconds / 4)) / 2
                into.rates.append(done.rate)
                into.references.append(middle)
                into.ratios.append(done.rate / middle)
                into.millis += done.millis
                into.checked += done.checked
                for name, other in others.items():
                    into.beside.setdefault(name, []).append(done.rate / other.rate(concurrency, seconds / 2))
            memory.append(resident(process))
        detail = {
            "rounds": rounds,
            "scopes": len(hub.scopes),
            "hubRssMb": f"{memory[0] / _MB:.0f} to {max(memory) / _MB:.0f}",
            "bytesPerFlag": each,
        }
        return [
            _figure(engine, flags, concurrency, seconds=seconds * rounds, found=of, detail=detail)
            for concurrency, of in found.items()
        ]


def _figure(
    engine: str, flags: int, concurrency: int, *, seconds: float, found: _Rounds, detail: dict[str, Any]
) -> Figure:
    found.millis.sort()
    return Figure(
        work="lookup",
        engine=engine,
        flags=flags,
        concurrency=concurrency,
        seconds=round(seconds, 1),
        rate=round(median(found.rates), 1),
        p50_ms=round(percentile(found.millis, 0.5), 2),
        p99_ms=round(percentile(found.millis, 0.99), 2),
        reference=round(median(found.references), 1),
        ratio=round(median(found.ratios), 4),
        machine=machine(),
        versions=versions("psycopg") if engine == "postgresql" else versions(),
        detail={
            "rate": spread(found.rates),
            "reference": spread(found.references),
            "ratio": spread(found.ratios, 3),
            "hubCpuUs": spread(found.cpu, 0),
            "hubCpuChecks": spread(found.checks),
            "answersChecked": found.checked,
            **{name: spread(ratios, 2) for name, ratios in found.beside.items()},
            **detail,
        },
    )


def signature_check_us() -> float:
    """Processor time of one Ed25519 verification now, as a measure of this machine at this moment."""
    public, private = crypto_sign_keypair()
    signed = crypto_sign(bytes(400), private)
    begun = time.thread_time()
    for _ in range(_CHECKS):
        crypto_sign_open(signed, public)
    return max((time.thread_time() - begun) / _CHECKS * 1e6, 1.0)


def cpu_seconds(process: int) -> float:
    """Processor time that a process used so far; 0 where the system does not tell."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(process: int) -> float:
    """Bytes of memory that a process has in use; 0 where the system does not tell."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * float(os.sysconf("SC_PAGE_SIZE"))
    except OSError:
        return 0.0
