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
from index.protocol.export import ExportInvalid, Verified, policy_in, verify_export
from index.protocol.mirror import (
    EARLIER,
    ENTRIES,
    POLICY,
    Mirror,
    MirrorReport,
    NodeKeys,
    NoticeRule,
    sizes_in,
    verify_mirror,
    verify_officer,
)
from index.protocol.signedpolicy import parse_signers, signed_policy
from index.protocol.tlogpolicy import PolicyFileError
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


@dataclass(frozen=True, slots=True)
class Trust:
    """What the reader brings along.

    Attributes:
        policy: The published policy; without it the one in the file counts, which proves less.
        signers: Officers who must have signed the policy, whichever of the two it is.
        last: The reader's own last checkpoint, for copies.
    """

    policy: Path | None = None
    signers: Path | None = None
    last: Path | None = None

    @property
    def said(self) -> str:
        """Where the policy came from."""
        return ("given" if self.policy else "of the file") + (", signed" if self.signers else "")

    def pinned(self, own: Callable[[], bytes | None]) -> str | None:
        """The policy to check with, None for the one in the file.

        Raises:
            PolicyFileError: It is not signed by those who must.
            OSError, UnicodeDecodeError: It cannot be read.
        """
        if self.signers is None:
            return self.policy.read_text(encoding="utf-8") if self.policy else None
        raw = self.policy.read_bytes() if self.policy else own()
        if raw is None:
            raise PolicyFileError("there is no policy")
        return signed_policy(raw, parse_signers(self.signers.read_bytes()))[0].text


def citizen(file: Path, trust: Trust, max_age_hours: float) -> Checked:
    """Check an `inzage.zip`."""
    try:
        raw = file.read_bytes()
        found = verify_export(raw, trust.pinned(lambda: policy_in(raw)))
    except (ExportInvalid, PolicyFileError, OSError, UnicodeDecodeError) as error:
        told = "the file or policy cannot be read"
        told = str(error) if isinstance(error, ExportInvalid | PolicyFileError) else told
        found = Verified(0, 0, None, (told,))
    state = _state(found.problems, [found.last, found.confirmed], max_age_hours)
    data = {
        "state": state, "lines": found.lines, "chains": found.chains, "last": _when(found.last),
        "confirmed": _when(found.confirmed), "witnesses": found.witnesses,
        "problems": list(found.problems), "policy": trust.said,
    }  # fmt: skip
    confirmed = f" Confirmed by {found.witnesses}, {_when(found.confirmed)}." if found.confirmed else ""
    told = f"{found.lines} lines, none changed or left out until {_when(found.last)}.{confirmed}"
    return _checked(state, data, told, list(found.problems))


def mirror(folder: Path, trust: Trust, max_age_hours: float) -> Checked:
    """Check every tile of a copy."""
    found = _mirror(folder, trust, {})
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


def officer(folder: Path, trust: Trust, period: Period, max_age_hours: float) -> Checked:
    """Open every leaf of a period of a copy with entries."""
    kept = (
        {path.name: path.read_text() for path in period.proofs.glob("*.tlog-proof")} if period.proofs else {}
    )
    found = _mirror(folder, trust, kept)
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


def _mirror(folder: Path, trust: Trust, proofs: Mapping[str, str]) -> Mirror | MirrorReport:
    try:
        get = get_from(folder)
        pinned = trust.pinned(lambda: get(POLICY))
        return verify_mirror(get, earlier_in(folder, trust.last), pinned, sizes_in(proofs))
    except (MirrorFailed, PolicyFileError, OSError, UnicodeDecodeError) as error:
        report, named = MirrorReport(), isinstance(error, MirrorFailed | PolicyFileError)
        report.problem(str(error) if named else "a file cannot be read")
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
