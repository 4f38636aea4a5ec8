"""The long run: every parser under atheris, contracts and stories with more examples (`make fuzz`).

    python -m tests.fuzz.campaign --minutes 10 --seed 1 [--only signed_note ...] [--json figures.json]

Half of the time goes to the parsers, the other half to schemathesis and the
rule machine. The first thing done is to plant a bug and see it found. Inputs
that were found are written to `tests/fuzz/regressions/<target>/` by whoever mends them.
"""

import argparse
import contextlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .targets import TARGETS

ROOT = Path(__file__).parents[2]
CORPUS = Path(__file__).parent / "corpus"
REGRESSIONS = Path(__file__).parent / "regressions"
_RUNS = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_COVERED = re.compile(r"cov: (\d+)")
PLANTED = "planted_bug"
SUITES = ("tests/contracts/test_openapi_fuzz.py", "tests/contracts/test_rule_machine.py")


def fuzz(names: list[str], seconds: int, seed: int, folder: Path) -> Iterator[dict[str, Any]]:
    """Each target for so many seconds; its figures as soon as it is done."""
    command = [sys.executable, "-m", "tests.fuzz.one", str(folder), str(seconds), str(seed), *names]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as running:
        for name, line in zip(names, running.stdout or (), strict=True):
            yield _figures(name, int(line.split()[1]), folder)


def _figures(name: str, code: int, folder: Path) -> dict[str, Any]:
    said = (folder / f"{name}.log").read_text(errors="replace")
    runs, covered = _RUNS.search(said), _COVERED.findall(said)
    findings = sorted(str(path) for path in (folder / name).glob("finding-*"))
    return {
        "target": name,
        "runs": int(runs[1]) if runs else 0,
        "coverage": int(covered[-1]) if covered else 0,
        "findings": findings or (["no input kept"] if code else []),
        "said": said[-3_000:] if code else "",
    }


def suites(minutes: float, seed: int) -> int:
    """The contract and story suites with as many examples as the time allows."""
    environment = {**os.environ, "FUZZ_MINUTES": f"{minutes:.2f}", "FUZZ_SEED": str(seed)}
    command = [sys.executable, "-m", "pytest", "-v", "-s", "-p", "no:cacheprovider", *SUITES]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--only", nargs="*", choices=sorted(set(TARGETS) - {PLANTED}))
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="vlagwijzer-fuzz-"))
    begun = time.monotonic()
    (planted,) = fuzz([PLANTED], 60, asked.seed, folder)
    if not planted["findings"]:
        print(
            f"the planted bug was not found in {planted['runs']} runs; the campaign proves nothing",
            planted["said"],
        )
        return 2
    print(f"planted bug found after {planted['runs']} runs")
    names = asked.only or [name for name in TARGETS if name != PLANTED]
    share = asked.minutes * 60 * (1 if asked.only else 0.5)
    seconds = max(1, round(share / len(names)))
    results = []
    for result in fuzz(names, seconds, asked.seed, folder):
        results.append(result)
        print(
            f"{result['target']:24} {result['runs']:>9} runs  cov {result['coverage']:>6}  "
            f"findings {len(result['findings'])}",
            flush=True,
        )
        if result["findings"]:
            print(result["said"], *result["findings"], sep="\n")
    failed = 0 if asked.only else suites(asked.minutes / 2, asked.seed)
    found = sum(bool(result["findings"]) for result in results)
    figures = {
        "seed": asked.seed,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "seconds": round(time.monotonic() - begun),
        "secondsPerTarget": seconds,
        "runs": sum(result["runs"] for result in results),
        "targets": results,
        "suites": "passed" if failed == 0 else "failed",
    }
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1))
    print(
        f"{figures['runs']} runs over {len(results)} parsers, {found} with findings; "
        f"suites {figures['suites']}"
    )
    if not found:
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)
    return 1 if found or failed else 0


if __name__ == "__main__":
    sys.exit(main())
