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
from pathlib import Path
from typing import Any

from .seeds import CORPUS
from .targets import TARGETS

ROOT = Path(__file__).parents[2]
REGRESSIONS = Path(__file__).parent / "regressions"
_RUNS = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_COVERED = re.compile(r"cov: (\d+)")
PLANTED = "planted_bug"
SUITES = ("tests/contracts/test_openapi_fuzz.py", "tests/contracts/test_rule_machine.py")


def fuzz(name: str, seconds: int, seed: int, folder: Path) -> dict[str, Any]:
    """One target for so many seconds, in a process of its own."""
    found = folder / name
    found.mkdir()
    known = [str(path / name) for path in (CORPUS, REGRESSIONS) if (path / name).is_dir()]
    command = [
        sys.executable, "-m", "tests.fuzz.one", name, f"-max_total_time={seconds}", f"-seed={seed}",
        "-max_len=8192", "-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1",
        f"-artifact_prefix={found}/finding-", str(found), *known,
    ]  # fmt: skip
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False)
    runs, covered = _RUNS.search(ran.stderr), _COVERED.findall(ran.stderr)
    findings = sorted(str(path) for path in found.glob("finding-*"))
    crashed = ran.returncode != 0
    return {
        "target": name,
        "runs": int(runs[1]) if runs else 0,
        "coverage": int(covered[-1]) if covered else 0,
        "findings": findings or (["no input kept"] if crashed else []),
        "said": (ran.stdout + ran.stderr)[-3_000:] if crashed else "",
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
    planted = fuzz(PLANTED, 60, asked.seed, folder)
    if not planted["findings"]:
        print(f"the planted bug was not found in {planted['runs']} runs; the campaign proves nothing\n{planted['said']}")
        return 2
    print(f"planted bug found after {planted['runs']} runs")
    names = asked.only or [name for name in TARGETS if name != PLANTED]
    share = asked.minutes * 60 * (1 if asked.only else 0.5)
    seconds = max(1, round(share / len(names)))
    results = []
    for name in names:
        result = fuzz(name, seconds, asked.seed, folder)
        results.append(result)
        print(f"{name:24} {result['runs']:>9} runs  cov {result['coverage']:>6}  findings {len(result['findings'])}", flush=True)
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
    print(f"{figures['runs']} runs over {len(results)} parsers, {found} with findings; suites {figures['suites']}")
    if not found:
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)
    return 1 if found or failed else 0


if __name__ == "__main__":
    sys.exit(main())
