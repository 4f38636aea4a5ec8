"""Measurements that `vlagwijzer bench` prints. Inputs are random bytes, never people.

Rates of a shared machine mean little; ratios to a reference taken in the same
run, in turns with it, mean something. So each measurement runs several rounds
of work and reference by turns, and gives medians with the range beside them.
"""

import asyncio
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING

from index.protocol.codec import unb64u
from index.protocol.directory import ScopeKey
from nodes.oprf import threshold, voprf
from nodes.oprf.dealer import deal
from nodes.oprf.ristretto import Secret

from .measuring.figures import Figure, machine, percentile, spread, versions
from .measuring.lookups import cpu_seconds

if TYPE_CHECKING:
    from .measuring.keyholders import MeasuredHolders


# --- publications -------------------------------------------------------------------


def bench_publish(engine: str, flags: int, concurrency: int) -> Figure:
    """Messages of 1,000 flags, already pseudonymised, through the same route as a single one.

    The reference writes the same number of bare rows, nothing sealed, checked or logged.
    """
    from .measuring.hub import MeasuredHub
    from .measuring.publishing import bare_rows, bytes_per_flag, publications
    from .measuring.server import place

    with place(engine) as (folder, database):
        hub = MeasuredHub(folder, database)
        hub.fill(0, asked=1)
        with hub.served() as (process, address):
            used = cpu_seconds(process)
            done = asyncio.run(publications(hub, address, flags, concurrency))
            cpu = (cpu_seconds(process) - used) / flags * 1e6
        stored = bytes_per_flag(hub.settings.database_url)
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
        detail={"perMessage": 1000, "hubCpuUs": round(cpu, 1), "bytesPerFlag": stored},
    )


# --- the log ------------------------------------------------------------------------


def bench_breach(engine: str, entries: int) -> Figure:
    """The report of a breach with every entry in it, once. The reference is that of `bench_verify`."""
    from .measuring.logbook import bare_seconds, breach_seconds, filled_log
    from .measuring.server import place

    sample = min(entries, 20_000)
    with place(engine) as (folder, database), filled_log(folder, database, entries) as log:
        reference = sample / bare_seconds(sample)
        seconds, lines = breach_seconds(log)
    return Figure(
        work="breach",
        engine=engine,
        flags=entries,
        concurrency=1,
        seconds=round(seconds, 2),
        rate=round(entries / seconds, 1),
        p50_ms=round(seconds * 1000, 1),
        p99_ms=round(seconds * 1000, 1),
        reference=round(reference, 1),
        ratio=round(entries / seconds / reference, 3),
        machine=machine(),
        versions=versions(),
        detail={"lines": lines},
    )


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


def bench_log(answers: int, rounds: int, tall: int) -> Figure:
    """Answers logged a second with the tree, and without it as the reference, by turns; SQLite, one thread.

    `p50Ms` and `p99Ms` are one inclusion proof made from the stored tiles of a tree of `tall` leaves, and its
    check. `bytesPerEntry` is the database file over the entries of a log of 4 times `answers`, chain rows
    included.
    """
    from .measuring.logbook import filled_log
    from .measuring.merkle import BATCH, both_rates, bytes_an_entry, proofs_at
    from .measuring.server import place

    begun = time.perf_counter()
    with place("sqlite") as (folder, _):
        with_tree, without = both_rates(folder, answers, rounds)
    with place("sqlite") as (folder, database), filled_log(folder, database, 4 * answers) as log:
        size = bytes_an_entry(log)
        proofs = proofs_at(log, tall)
    ratios = [one / other for one, other in zip(with_tree, without, strict=True)]
    return Figure(
        work="log",
        engine="sqlite",
        flags=answers,
        concurrency=BATCH,
        seconds=round(time.perf_counter() - begun, 1),
        rate=round(median(with_tree), 1),
        p50_ms=round(proofs.made_us / 1000, 3),
        p99_ms=round(proofs.checked_us / 1000, 3),
        reference=round(median(without), 1),
        ratio=round(median(ratios), 3),
        machine=machine(),
        versions=versions(),
        detail={
            "rounds": rounds,
            "rate": spread(with_tree),
            "withoutTree": spread(without),
            "ratio": spread(ratios, 3),
            "proofEntries": tall,
            "proofFirstUs": round(proofs.made_us, 1),
            "proofNextUs": round(proofs.next_us, 1),
            "proofCheckedUs": round(proofs.checked_us, 1),
            "proofHashes": proofs.hashes,
            "bytesPerEntry": round(size),
        },
    )


# --- pseudonyms ---------------------------------------------------------------------


def bench_pseudonymise(count: int, rounds: int) -> Figure:
    """Pseudonymise `count` persons over HTTP with three holder processes on loopback, two of them asked.

    The reference is all parties' cryptography of 1,000 inputs in one thread without network, by
    turns with it in the same run. A time of `p50Ms` is one whole round.
    """
    from .measuring.keyholders import MeasuredHolders
    from .measuring.server import place

    dealing = deal(("geld",), t=2, n=3)
    key = dealing.keys[0]
    held = {index: dealing.shares[index][key.kid] for index in (1, 3)}
    seconds, references, cpu = [], [], []
    size = min(count, 1000)
    with place("sqlite") as (folder, _), MeasuredHolders(folder) as holders:
        for _ in range(rounds):
            used = _cpu_of_all(holders.processes)
            seconds.append(asyncio.run(_pseudonymised(holders, count)))
            cpu.append(_cpu_of_all(holders.processes) - used)
            references.append(size / _round(key, held, size))
    dealing.erase()
    rates = [count / each for each in seconds]
    seconds.sort()
    return Figure(
        work="pseudonymise",
        engine="http",
        flags=count,
        concurrency=1,
        seconds=round(median(seconds), 3),
        rate=round(median(rates), 1),
        p50_ms=round(median(seconds) * 1000, 1),
        p99_ms=round(seconds[-1] * 1000, 1),
        reference=round(median(references), 1),
        ratio=round(median([a / b for a, b in zip(rates, references, strict=True)]), 2),
        machine=machine(),
        versions=versions("httpx"),
        detail={
            "rounds": rounds,
            "holders": "2 of 3, a process each",
            "rate": spread(rates),
            "reference": spread(references),
            "cpuUsPerItem": spread([each / count * 1e6 for each in cpu], 0),
        },
    )


async def _pseudonymised(holders: "MeasuredHolders", count: int) -> float:
    import httpx

    from .measuring.keyholders import SCOPE, persons

    requests = [(person, (SCOPE,)) for person in persons(count)]
    async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
        pseudonymiser = holders.pseudonymiser(client)
        await pseudonymiser.start()
        begun = time.perf_counter()
        found = await pseudonymiser.pseudonymise(requests, "publish")
        seconds = time.perf_counter() - begun
    if len({each.for_sealed_points() for (each,) in found.pseudonyms}) != count:
        raise RuntimeError("two persons have one pseudonym")
    return seconds


def _cpu_of_all(holders: Sequence[int]) -> float:
    own = os.times()
    return own.user + own.system + own.children_user + own.children_system + sum(map(cpu_seconds, holders))


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
