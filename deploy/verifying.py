"""Checking a citizen's file, a copy of the log or an officer's period offline: good, bad or stale, and why.

Used by `vlagwijzer log verify` and by the one-file verifier (`deploy.verifier`), so it imports nothing of
a hub, a node, a database or a network.

Source: docs/design/access-log.md, "Views and verification".
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import msgspec

from index.protocol.codec import EncodingError, unb64u
from index.protocol.directory import NotTrusted, parse_directory
from index.protocol.export import ExportInvalid, Verified, verify_export
from index.protocol.mirror import (
    EARLIER,
    ENTRIES,
    Mirror,
    MirrorReport,
    NodeKeys,
    NoticeRule,
    sizes_in,
    verify_mirror,
    verify_officer,
)
from policy.postpone import Postponement
from policy.vocabulary import VocabularyError, load_vocabulary

State = Literal["good", "bad", "stale"]
GOOD, BAD, STALE = 0, 1, 2


class MirrorFailed(Exception):
    """The copy could not be brought up to date; says why, and leaves what was there."""


@dataclass(frozen=True, slots=True)
class Checked:
    """The outcome of a check: as data, and as text for people."""

    state: State
    data: dict[str, Any]
    text: str

    @property
    def exit_code(self) -> int:
        return {"good": GOOD, "bad": BAD, "stale": STALE}[self.state]


def citizen(file: Path, policy: Path | None, max_age_hours: float) -> Checked:
    """Check an `inzage.zip`."""
    try:
        pinned = None if policy is None else policy.read_text(encoding="utf-8")
        found = verify_export(file.read_bytes(), pinned)
    except (ExportInvalid, OSError, UnicodeDecodeError) as error:
        told = str(error) if isinstance(error, ExportInvalid) else "the file or policy cannot be read"
        found = Verified(0, 0, None, (told,))
    state = _state(found.problems, [found.last, found.confirmed], max_age_hours)
    data = {
        "state": state, "lines": found.lines, "chains": found.chains, "last": _when(found.last),
        "confirmed": _when(found.confirmed), "witnesses": found.witnesses,
        "problems": list(found.problems), "policy": "given" if policy else "of the file",
    }  # fmt: skip
    confirmed = f" Confirmed by {found.witnesses}, {_when(found.confirmed)}." if found.confirmed else ""
    told = f"{found.lines} lines, none changed or left out until {_when(found.last)}.{confirmed}"
    return _checked(state, data, told, list(found.problems))


def mirror(folder: Path, policy: Path | None, last: Path | None, max_age_hours: float) -> Checked:
    """Check every tile of a copy."""
    found = _mirror(folder, policy, last, {})
    report = found.report if isinstance(found, Mirror) else found
    return _reported(report, max_age_hours, f"{report.size} entries; every tile follows from them.")


@dataclass(frozen=True, slots=True)
class Period:
    """What an officer checks; `begin` and `end` are aware UTC."""

    begin: datetime | None = None
    end: datetime | None = None
    directory: Path | None = None
    holders: Path | None = None
    proofs: Path | None = None
    vocabulary: Path | None = None


def officer(
    folder: Path, policy: Path | None, last: Path | None, period: Period, max_age_hours: float
) -> Checked:
    """Open every leaf of a period of a copy with entries."""
    kept = (
        {path.name: path.read_text() for path in period.proofs.glob("*.tlog-proof")} if period.proofs else {}
    )
    found = _mirror(folder, policy, last, kept)
    if not isinstance(found, Mirror):
        return _reported(found, max_age_hours, "")
    keys = None
    try:
        if period.directory and period.holders:
            keys = node_keys_of(period.directory, period.holders)
        report = verify_officer(
            found,
            rows_in(folder),
            since=period.begin,
            until=period.end,
            node_keys=keys,
            proofs=kept,
            notice=_notice(period.vocabulary),
        )
    except MirrorFailed as error:
        report = found.report
        report.problem(str(error))
    told = f"{report.opened} entries opened, {report.erased} erased, {report.chains} chains without a gap, "
    told += f"{report.signatures} signatures of nodes." if keys else "signatures of nodes not checked."
    return _reported(report, max_age_hours, told)


def _notice(vocabulary: Path | None) -> NoticeRule:
    try:
        words = load_vocabulary(vocabulary) if vocabulary else load_vocabulary()
    except (VocabularyError, OSError):
        raise MirrorFailed("the vocabulary cannot be read") from None
    step = timedelta(days=words.limits.notice_postponement_step_days)
    return NoticeRule(Postponement.of(words).postpones, step)


def _mirror(
    folder: Path, policy: Path | None, last: Path | None, proofs: Mapping[str, str]
) -> Mirror | MirrorReport:
    try:
        pinned = None if policy is None else policy.read_text(encoding="utf-8")
        return verify_mirror(get_from(folder), earlier_in(folder, last), pinned, sizes_in(proofs))
    except (MirrorFailed, OSError, UnicodeDecodeError) as error:
        report = MirrorReport()
        report.problem(str(error) if isinstance(error, MirrorFailed) else "a file cannot be read")
        return report


# --- the files of a copy -------------------------------------------------------------------


def get_from(folder: Path) -> Callable[[str], bytes | None]:
    """Files of a copy, for `verify_mirror`."""

    def get(name: str) -> bytes | None:
        try:
            return (folder / name).read_bytes()
        except OSError:
            return None

    return get


def earlier_in(folder: Path, own: Path | None) -> dict[str, bytes]:
    """The earlier checkpoints of a copy, and the reader's own last one.

    Raises:
        MirrorFailed: The own one cannot be read.
    """
    found = {f"{EARLIER}/{path.name}": path.read_bytes() for path in sorted((folder / EARLIER).glob("*"))}
    if own is not None:
        try:
            found[own.name] = own.read_bytes()
        except OSError:
            raise MirrorFailed(f"{own} cannot be read") from None
    return found


def rows_in(folder: Path) -> Iterator[bytes]:
    """Rows of `entries.jsonl`.

    Raises:
        MirrorFailed: There is none.
    """
    try:
        file = (folder / ENTRIES).open("rb")
    except OSError:
        raise MirrorFailed(f"{folder / ENTRIES} is missing") from None
    with file:
        yield from file


def node_keys_of(directory: Path, holders: Path) -> NodeKeys:
    """Keys of nodes from a directory file that enough key holders signed.

    Args:
        holders: JSON: public Ed25519 key (base64url) by id of the key holder, as delivered out of band.

    Raises:
        MirrorFailed: A file is missing or not trusted.
    """
    try:
        listed = msgspec.json.decode(holders.read_bytes(), type=dict[str, str])
        pinned = {holder: unb64u(key, 32) for holder, key in listed.items()}
        found = parse_directory(directory.read_bytes(), pinned, 2)
    except (OSError, msgspec.MsgspecError, EncodingError, NotTrusted) as error:
        raise MirrorFailed(f"directory or key holders: {type(error).__name__}") from None
    keys = {node.id: [unb64u(key, 32) for key in node.ed25519] for node in found.nodes}
    return lambda node: keys.get(node, [])


# --- what is told ---------------------------------------------------------------------------


def _reported(report: MirrorReport, max_age_hours: float, told: str) -> Checked:
    state = _state(report.problems, [report.confirmed], max_age_hours)
    data = {
        "state": state, "origin": report.origin, "size": report.size, "confirmed": _when(report.confirmed),
        "witnesses": list(report.witnesses), "earlier": report.earlier, "opened": report.opened,
        "erased": report.erased, "chains": report.chains, "signatures": report.signatures,
        "proofs": report.proofs, "last": _when(report.last), "problems": report.problems,
        "findings": report.findings,
    }  # fmt: skip
    by = f" Confirmed by {len(report.witnesses)}, {_when(report.confirmed)}." if report.confirmed else ""
    return _checked(state, data, told + by, [*report.problems, *report.findings])


def _checked(state: State, data: dict[str, Any], told: str, listed: list[str]) -> Checked:
    head = "Does not hold:" if state == "bad" else f"Holds: {told}"
    if state == "stale":
        head += " What came later is not in it."
    return Checked(state, data, "\n".join([head, *listed]))


def _state(problems: Any, times: list[datetime | None], max_age_hours: float) -> State:
    # A clock that is behind the hub's is not a file from the future.
    limit = datetime.now(UTC) - timedelta(hours=max_age_hours)
    old = any(at is not None and at < limit for at in times)
    return "bad" if problems else "stale" if old else "good"


def _when(at: datetime | None) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ") if at else ""
