"""The offline verifier as one file: `python vlagwijzer-verify.pyz citizen inzage.zip --policy policy.txt`.

The same checks as `vlagwijzer log verify`, for somebody who installs nothing. `deploy.verifier_file`
makes the file.

Exit codes: 0 holds; 1 does not hold; 2 holds but is old; 3 wrong use, or this Python cannot run it.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from deploy import verifying

WRONG_USE = 3


class _Words(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(WRONG_USE, f"{message}\n")


def main(words: Sequence[str] | None = None) -> int:
    """Check what the words name, print the outcome; the exit code."""
    said = _parser().parse_args(words)
    trust = verifying.Trust(said.policy, said.signers, getattr(said, "last", None))
    if said.what == "citizen":
        found = verifying.citizen(said.file, trust, said.max_age_hours)
    elif said.what == "mirror":
        found = verifying.mirror(said.folder, trust, said.max_age_hours)
    else:
        period = verifying.Period(
            said.begin, said.end, said.directory, said.holders, said.proofs, said.vocabulary
        )
        found = verifying.officer(said.folder, trust, period, said.max_age_hours)
    print(json.dumps(found.data, ensure_ascii=False) if said.json else found.text)
    return found.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = _Words(prog="vlagwijzer-verify", description=(__doc__ or "").partition("\n")[0])
    parts = parser.add_subparsers(dest="what", required=True, parser_class=_Words)
    citizen = parts.add_parser("citizen", help="check inzage.zip, as the portal gives it")
    citizen.add_argument("file", type=Path)
    mirror = parts.add_parser("mirror", help="check every tile of a copy of the log")
    mirror.add_argument("folder", type=Path)
    officer = parts.add_parser("officer", help="open every leaf of a period of a copy")
    officer.add_argument("--mirror", dest="folder", type=Path, required=True)
    officer.add_argument("--from", dest="begin", type=_utc, help="UTC, 2026-11-22 or with a time")
    officer.add_argument("--to", dest="end", type=_utc)
    for name in ("directory", "holders", "proofs", "vocabulary"):
        officer.add_argument(f"--{name}", type=Path)
    for part in (mirror, officer):
        part.add_argument("--last", type=Path, help="your own last checkpoint")
    for part in (citizen, mirror, officer):
        part.add_argument("--policy", type=Path, help="the published policy; without it less is proven")
        part.add_argument("--signers", type=Path, help="officers who must have signed the policy")
        part.add_argument("--max-age-hours", type=float, default=24.0)
        part.add_argument("--json", action="store_true")
    return parser


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


if __name__ == "__main__":
    sys.exit(main())
