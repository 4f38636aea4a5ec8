"""Targets under atheris: `python -m tests.fuzz.one FOLDER SECONDS SEED TARGET...`.

Everything is imported and instrumented once; each target then runs in a fork of
its own, which writes libFuzzer's lines to `FOLDER/<target>.log` and what it
finds below `FOLDER/<target>/`. A line `<target> <exit code>` follows each.
"""

import logging
import os
import sys
from pathlib import Path

import atheris
import structlog

with atheris.instrument_imports(
    include=["index", "nodes", "consent", "policy", "deploy", "tests.fuzz", "jwt"]
):
    from tests.fuzz.targets import TARGETS

HERE = Path(__file__).parent


def fuzz(name: str, folder: Path, seconds: int, seed: int) -> None:
    """Fuzz one target in this process until the time is over or something is found."""
    output = os.open(folder / f"{name}.log", os.O_WRONLY | os.O_CREAT, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    found = folder / name
    found.mkdir()
    known = [str(path / name) for path in (HERE / "corpus", HERE / "regressions") if (path / name).is_dir()]
    options = [
        f"-max_total_time={seconds}", f"-seed={seed}", "-max_len=8192", "-timeout=20", "-rss_limit_mb=1024",
        "-print_final_stats=1", f"-artifact_prefix={found}/finding-",
    ]  # fmt: skip
    target = TARGETS[name]
    atheris.Setup(["fuzz", *options, str(found), *known], lambda data: (target(data), None)[1])
    atheris.Fuzz()


def main() -> None:
    """All targets named, one after the other."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    folder, seconds, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    for name in sys.argv[4:]:
        child = os.fork()
        if child == 0:
            fuzz(name, folder, seconds, seed)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(name, os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
