"""`make faults`: the long part of the fault campaign, and its figures for docs/reliability.md.

    python -m tests.faults.campaign --minutes 10 --seed 20261122 [--json figures.json]

Ends with exit code 1 when a promise was broken or a planted bug survived.
"""

import argparse
import asyncio
import json
import logging
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog

from . import bugs, scenarios
from .equal import compare
from .hubs import Ground
from .overload import ground_for, overload
from .partition import partition, reason_to_skip
from .processes import Postgres, Zygote, postgres
from .scenarios import Outcome

Run = Callable[[Path], Coroutine[Any, Any, Outcome]]


def plan(zygote: Zygote, server: Postgres, seed: int, scale: float) -> dict[str, Run]:
    """Every part by its name; `scale` 1 is about ten minutes on two cores that nobody else uses."""

    def many(count: float) -> int:
        return max(1, round(count * scale))

    def on_pg(folder: Path) -> Ground:
        return Ground(folder, server.database())

    runs: dict[str, Run] = {
        "P1 P2 P7 P12 kill -9, SQLite": lambda f: scenarios.kills(
            zygote, Ground(f), seed=seed, count=many(60), long=True
        ),
        "P1 P2 P7 P12 kill -9, PostgreSQL": lambda f: scenarios.kills(
            zygote, on_pg(f), seed=seed + 1, count=many(30), long=True
        ),
        "P3 pg_ctl -m immediate": lambda f: scenarios.database_crashes(
            zygote, on_pg(f), server, seed=seed, count=many(8)
        ),
        "P5 SIGSTOP of one of two writers, SQLite": lambda f: scenarios.pauses(
            zygote, Ground(f), seed=seed, count=many(25)
        ),
        "P5 SIGSTOP of one of two writers, PostgreSQL": lambda f: scenarios.pauses(
            zygote, on_pg(f), seed=seed, count=many(25)
        ),
        "P12 cut before the answer, SQLite": lambda f: scenarios.cuts(
            zygote, Ground(f), seed=seed, seconds=20 * scale
        ),
        "P12 cut before the answer, PostgreSQL": lambda f: scenarios.cuts(
            zygote, on_pg(f), seed=seed, seconds=20 * scale
        ),
        "P1 P12 death between commit and answer, SQLite": lambda f: scenarios.deaths_before_the_answer(
            zygote, Ground(f), seed=seed, count=many(20)
        ),
        "P1 P12 death between commit and answer, PostgreSQL": lambda f: scenarios.deaths_before_the_answer(
            zygote, on_pg(f), seed=seed, count=many(20)
        ),
        "overload, SQLite": lambda f: overload(zygote, ground_for(f), seed=seed, seconds=60 * scale),
        "overload, PostgreSQL": lambda f: overload(
            zygote, ground_for(f, server.database()), seed=seed, seconds=60 * scale
        ),
    }
    runs |= {
        "equal time, SQLite": lambda f: compare(zygote, Ground(f), seed=seed, pairs=many(3000)),
        "equal time, PostgreSQL": lambda f: compare(zygote, on_pg(f), seed=seed, pairs=many(3000)),
    }
    if os.geteuid() == 0:
        runs["P4 disk full, SQLite"] = lambda f: scenarios.disk_full_sqlite(
            zygote, f / "disk", seed=seed, rounds=many(8)
        )
        runs["P4 disk full, PostgreSQL"] = lambda f: scenarios.disk_full_postgresql(
            zygote, f, seed=seed, rounds=many(8)
        )
    if not reason_to_skip():
        runs["P6 partition of an outbox"] = lambda f: partition(
            zygote, f, seed=seed, cuts=many(7), changes=many(122)
        )
    return runs


def machine() -> str:
    """What a figure means little without."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, commit {commit.stdout.strip()}"
    )


def run(seed: int, scale: float, only: str) -> dict[str, Any]:
    """All parts, then all planted bugs."""
    figures: dict[str, Any] = {"seed": seed, "machine": machine(), "parts": {}, "bugs": {}}
    with (
        tempfile.TemporaryDirectory(prefix="vlagwijzer-faults-") as root,
        Zygote() as zygote,
        postgres() as server,
    ):
        parts = plan(zygote, server, seed, scale)
        for number, (name, part) in enumerate(parts.items()):
            if only and only not in name:
                continue
            outcome = asyncio.run(part(Path(root) / str(number)))
            figures["parts"][name] = {
                "violations": outcome.violations,
                "seconds": round(outcome.seconds),
                **asdict(outcome.verdict),
                **outcome.figures,
            }
            print(
                f"{name}: {outcome.violations} violations; {outcome.verdict}; {outcome.figures}", flush=True
            )
        for bug in bugs.names():
            if only and only not in "bugs":
                continue
            outcome = asyncio.run(scenarios.hunt(zygote, Path(root), bug, seed=seed))
            figures["bugs"][bug] = outcome.violations
            print(f"planted {bug}: {'caught' if outcome.violations else 'SURVIVED'}", flush=True)
        for bug, side in bugs.SIDES.items():
            for engine, database in (("SQLite", ""), ("PostgreSQL", server.database())):
                name = f"{bug}, {engine}, equal time"
                if only and only not in f"bugs {name}":
                    continue
                ground = Ground(Path(root) / f"{bug}-{engine}", database)
                # Half of the pairs, at the threshold of that number; a busy machine hides them all the same.
                outcome = asyncio.run(compare(zygote, ground, seed=seed, pairs=1500, bug=bug, only=(side,)))
                figures["bugs"][name] = outcome.figures[f"KS {side}"] if outcome.violations else 0
                print(
                    f"planted {name}: {'caught' if outcome.violations else 'SURVIVED'}; {outcome.figures}",
                    flush=True,
                )
    return figures


def main() -> None:
    """Run, print a table, say by the exit code whether everything held."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", default="", help="a part of a part's name, or bugs")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    figures = run(given.seed, given.minutes / 10, given.only)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")
    broken = [name for name, part in figures["parts"].items() if part["violations"]]
    survived = [name for name, caught in figures["bugs"].items() if not caught]
    print(
        f"seed {given.seed}; {figures['machine']}; broken: {broken or 'none'}; survived: {survived or 'none'}"
    )
    sys.exit(1 if broken or survived else 0)


if __name__ == "__main__":
    main()
