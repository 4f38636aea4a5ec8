"""One measurement as it is printed: a line of JSON, or a row of a table.

Source: docs/design/design.md, "Interfaces", `bench`.
"""

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from statistics import median
from typing import Any

import msgspec


class Figure(msgspec.Struct, rename="camel", kw_only=True):
    """`rate` counts persons a second; times are milliseconds; `ratio` is `rate` to `reference`.

    `rate`, `reference` and `ratio` are medians over the rounds; the ranges stand in `rounds`.
    """

    work: str
    engine: str
    flags: int
    concurrency: int
    seconds: float
    rate: float
    p50_ms: float
    p99_ms: float
    reference: float
    ratio: float
    machine: str
    versions: dict[str, str]
    detail: dict[str, Any] = {}


def machine() -> str:
    """What a figure means little without, the load of others on it included."""
    load = " ".join(f"{one:.1f}" for one in os.getloadavg())
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, load {load}"
    )


def versions(*more: str) -> dict[str, str]:
    names = ("vlagwijzer", "pynacl", "sqlalchemy", *more)
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def spread(values: Sequence[float], digits: int = 1) -> str:
    """`median (min-max)`, for the table and the detail of a line."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` of a sorted series lies; 0 of nothing."""
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
