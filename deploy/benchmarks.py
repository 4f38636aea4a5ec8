"""Measurements that `vlagwijzer bench` prints. Inputs are random bytes, never people.

Rates of a shared machine mean little; ratios to a reference taken in the same
run, in turns with it, mean something. So each measurement runs several rounds
of work and reference by turns, and gives medians with the range beside them.
"""

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence
from statistics import median

from index.protocol.codec import unb64u
from index.protocol.directory import ScopeKey
from nodes.oprf import threshold, voprf
from nodes.oprf.dealer import deal
from nodes.oprf.ristretto import Secret

from .measuring.figures import Figure, machine, percentile, spread, versions
from .measuring.lookups import cpu_seconds

REFERENCE_RATE = 1e6 / 655
"""Inputs a second of docs/design/performance.md: 655 µs of all parties' cryptography each, on one core."""


# --- publications -------------------------------------------------------------------


def bench_publish(engine: str, flags: int, concurrency: int) -> Figure:
    """Messages of 1,000 flags, already pseudonymised, through the same route as a single one.

    The reference writes the same number of bare rows, nothing sealed, checked or logged.
    """
    from .measuring.hub import MeasuredHub
    from .measuring.publishing import bare_rows, publications
    from .measuring.server import place

    with place(engine) as (folder, database):
        hub = MeasuredHub(folder, database)
        hub.fill(0, asked=1)
        with hub.served() as (process, address):
            used = cpu_seconds(process)
            done = asyncio.run(publications(hub, address, flags, concurrency))
            cpu = (cpu_seconds(process) - used) / flags * 1e6
        reference = bare_rows(hub.settings.database_url, flags)
    return Figure(
        work="publish",
        engine=engine,
        flags=flags,
        concurrency=concurrency,
        seconds=round(done.seconds, 2),
        rate=round(flags / done.seconds, 1),
        p50_ms=round(percentile(sorted(done.millis), 0.5), 1),
        p99_ms=round(percentile(sorted(done.millis), 0.99), 1),
        reference=round(reference, 1),
        ratio=round(flags / done.seconds / reference, 4),
        machine=machine(),
        versions=versions("psycopg") if engine == "postgresql" else versions(),
        detail={"perMessage": 1000, "hubCpuUs": round(cpu, 1)},
    )


# --- the log ------------------------------------------------------------------------


def bench_verify(engine: str, entries: int, rounds: int) -> Figure:
    """An officer's verification of a whole log, and a citizen's of 1,000 lines of it.

    The rate counts entries of the officer's pass; the citizen's times are p50 and
    p99. The reference is one SHA-256 and one Ed25519 check for each entry, by turns.
    """
    from .measuring.logbook import bare_seconds, citizen_ms, filled_log, officer_seconds
    from .measuring.server import place

    sample = min(entries, 20_000)
    with place(engine) as (folder, database), filled_log(folder, database, entries) as log:
        rates, references = [], []
        for _ in range(rounds):
            references.append(sample / bare_seconds(sample))
            rates.append(entries / officer_seconds(log))
        citizen = sorted(citizen_ms(log) for _ in range(max(rounds, 3)))
    ratios = [rate / reference for rate, reference in zip(rates, references, strict=True)]
    return Figure(
        work="verify",
        engine=engine,
        flags=entries,
        concurrency=1,
        seconds=round(sum(entries / rate for rate in rates), 2),
        rate=round(median(rates), 1),
        p50_ms=round(median(citizen), 1),
        p99_ms=round(citizen[-1], 1),
        reference=round(median(references), 1),
        ratio=round(median(ratios), 3),
        machine=machine(),
        versions=versions(),
        detail={
            "rounds": rounds,
            "rate": spread(rates),
            "reference": spread(references),
            "ratio": spread(ratios, 3),
            "citizenLines": min(1000, entries),
            "citizenMs": spread(citizen),
        },
    )


# --- pseudonyms ---------------------------------------------------------------------


def bench_pseudonymise(count: int, rounds: int) -> Figure:
    """Blind, evaluate and prove at two holders, verify both, combine; the median of several rounds."""
    dealing = deal(("geld",), t=2, n=3)
    key = dealing.keys[0]
    size = min(count, 1000)
    seconds = sorted(
        _round(key, {index: dealing.shares[index][key.kid] for index in (1, 3)}, size) for _ in range(rounds)
    )
    dealing.erase()
    middle = median(seconds)
    return Figure(
        work="pseudonymise",
        engine="libsodium",
        flags=size,
        concurrency=1,
        seconds=round(sum(seconds), 3),
        rate=round(size / middle, 1),
        p50_ms=round(middle * 1000, 2),
        p99_ms=round(seconds[-1] * 1000, 2),
        reference=round(REFERENCE_RATE, 1),
        ratio=round(size / middle / REFERENCE_RATE, 2),
        machine=machine(),
        versions=versions(),
    )


def _round(key: ScopeKey, shares: Mapping[int, Secret], size: int) -> float:
    inputs: Sequence[bytes] = [secrets.token_bytes(32) for _ in range(size)]
    commits = [unb64u(commit, 32) for commit in key.commits]
    begun = time.perf_counter()
    with Secret.random(size) as blinds:
        blinded = voprf.blind(inputs, blinds)
        evaluations = {}
        for index, share in shares.items():
            public = threshold.public_key(commits, index)
            evaluations[index] = voprf.evaluate(share, blinded)
            proof = voprf.prove(share, public, blinded, evaluations[index])
            voprf.verify(public, blinded, evaluations[index], proof)
        threshold.combine(evaluations, blinds)
    return time.perf_counter() - begun
