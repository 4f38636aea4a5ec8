"""Measurements that `vlagwijzer bench` prints. Inputs are random bytes, never people."""

import os
import platform
import secrets
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from index.protocol.codec import unb64u
from index.protocol.directory import ScopeKey
from nodes.oprf import threshold, voprf
from nodes.oprf.dealer import deal
from nodes.oprf.ristretto import Secret

REFERENCE_RATE = 1e6 / 655
"""Inputs a second of docs/design/performance.md: 655 µs of all parties' cryptography each, on one core."""


def machine() -> str:
    """What a figure means little without."""
    return f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"


def versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in ("vlagwijzer", "pynacl", "sqlalchemy")},
    }


def bench_pseudonymise(count: int, rounds: int) -> dict[str, Any]:
    """Blind, evaluate and prove at two holders, verify both, combine; the median of several rounds."""
    dealing = deal(("geld",), t=2, n=3)
    key = dealing.keys[0]
    size = min(count, 1000)
    seconds = sorted(
        _round(key, {index: dealing.shares[index][key.kid] for index in (1, 3)}, size) for _ in range(rounds)
    )
    dealing.erase()
    median = seconds[len(seconds) // 2]
    return {
        "work": "pseudonymise",
        "engine": "libsodium",
        "flags": size,
        "concurrency": 1,
        "seconds": round(sum(seconds), 3),
        "rate": round(size / median, 1),
        "p50Ms": round(median * 1000, 2),
        "p99Ms": round(seconds[-1] * 1000, 2),
        "reference": round(REFERENCE_RATE, 1),
        "ratio": round(size / median / REFERENCE_RATE, 2),
        "machine": machine(),
        "versions": versions(),
    }


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
