"""How long until a process answers, and what it weighs then: started anew each time, as an operator does.

    spawn `vlagwijzer hub serve` -> first answer of /health -> memory in use -> end it
    spawn `vlagwijzer demo`      -> first answer of the desk's first page -> end it

The reference is a bare interpreter that ends at once, in turns with it.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from deploy.demo import plan

from .figures import Figure, machine, percentile, spread, versions
from .hub import MeasuredHub, started, until_up
from .lookups import resident
from .ports import free_base

_MB = 1024.0 * 1024
_UP_S = 120.0


def bench_start(rounds: int, demo: bool) -> list[Figure]:
    """Start of a hub of 1,000 flags on SQLite, and where asked of the whole demo in a new folder.

    Raises:
        CannotMeasure: A process did not come up.
    """
    with tempfile.TemporaryDirectory(prefix="vlagwijzer-bench-") as folder:
        hub = MeasuredHub(Path(folder), str(Path(folder) / "hub.db"))
        hub.fill(1000)
        figures = [_figure("start-hub", rounds, lambda _: _hub(hub))]
    if demo:
        with tempfile.TemporaryDirectory(prefix="vlagwijzer-bench-") as folder:
            figures.append(_figure("start-demo", rounds, lambda turn: _demo(Path(folder) / str(turn))))
    return figures


def _hub(hub: MeasuredHub) -> tuple[float, float]:
    """Seconds until it answers, and bytes in use then."""
    begun = time.perf_counter()
    with hub.served() as (process, _):
        return time.perf_counter() - begun, resident(process)


def _demo(folder: Path) -> tuple[float, float]:
    """Seconds until the desk's page answers, everything in it made anew."""
    base = free_base()
    desk = plan.url(base, plan.node(plan.DESK_NODE).offset)
    begun = time.perf_counter()
    with started("demo", "--port-base", str(base), "--data", str(folder)) as process:
        until_up(process, f"{desk}/", within=_UP_S)
        return time.perf_counter() - begun, 0.0


def _bare() -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return time.perf_counter() - begun


def _figure(work: str, rounds: int, once: Callable[[int], tuple[float, float]]) -> Figure:
    bare, seconds, memory = [], [], []
    for turn in range(rounds):
        bare.append(_bare())
        took, weight = once(turn)
        seconds.append(took)
        memory.append(weight / _MB)
    seconds.sort()
    rate, reference = 1 / median(seconds), 1 / median(bare)
    return Figure(
        work=work,
        engine="sqlite",
        flags=1000 if work == "start-hub" else 0,
        concurrency=1,
        seconds=round(sum(seconds), 2),
        rate=round(rate, 3),
        p50_ms=round(median(seconds) * 1000, 1),
        p99_ms=round(percentile(seconds, 0.99) * 1000, 1),
        reference=round(reference, 1),
        ratio=round(rate / reference, 4),
        machine=machine(),
        versions=versions(),
        detail={
            "rounds": rounds,
            "seconds": spread(seconds, 2),
            **({"rssMb": spread(memory, 0)} if any(memory) else {}),
        },
    )
