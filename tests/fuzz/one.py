"""One target under atheris: `python -m tests.fuzz.one TARGET [libFuzzer options] CORPUS...`.

Prints libFuzzer's own lines. A finding ends the process with the input written to a file.
"""

import logging
import sys

import atheris
import structlog

with atheris.instrument_imports(include=["index", "nodes", "consent", "policy", "deploy", "tests.fuzz", "jwt"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Fuzz until libFuzzer's options say stop."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, lambda data: (target(data), None)[1])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
