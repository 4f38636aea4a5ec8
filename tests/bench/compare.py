"""Lookups beside the stand-in of `tests.bench.registry`, by turns in one run, on one PostgreSQL server.

    python -m tests.bench.compare [--flags N] [--concurrency 8,32] [--seconds S] [--rounds N] [--keep DIR]

One JSON object a line: the figure of `bench lookup`, in its detail the ratio to
the stand-in, and the stand-in's own p50 and p99.
"""

import argparse
import logging
from pathlib import Path

import msgspec

from deploy.logging_setup import set_up_logging
from deploy.measuring.figures import percentile
from deploy.measuring.lookups import bench_lookup

from .registry import PERSONS, Registry


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Lookups beside a stand-in for the NVI.")
    parser.add_argument("--flags", type=int, default=100_000)
    parser.add_argument("--concurrency", default="8,32")
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--persons", type=int, default=PERSONS, help="in the stand-in, three rows each")
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args(arguments)
    set_up_logging("bench", level=logging.WARNING)
    registry = Registry(asked.persons)
    numbers = [int(number) for number in asked.concurrency.split(",")]
    figures = bench_lookup(
        "postgresql",
        asked.flags,
        numbers,
        asked.seconds,
        asked.rounds,
        keep=asked.keep,
        beside=[registry],
    )
    for figure in figures:
        millis = sorted(registry.millis[figure.concurrency])
        figure.detail["standInP50Ms"] = round(percentile(millis, 0.5), 2)
        figure.detail["standInP99Ms"] = round(percentile(millis, 0.99), 2)
        print(msgspec.json.encode(figure).decode(), flush=True)


if __name__ == "__main__":
    main()
