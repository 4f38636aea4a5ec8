"""`vlagwijzer log`: copy the log, and check a citizen's file, an officer's period or a copy, offline."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from .output import FAILED, WRONG_USE, AsJson, emit, fail, plainly

app = typer.Typer(no_args_is_help=True, help="The access log, checked without trusting who keeps it.")
verify = typer.Typer(no_args_is_help=True, help="Check a file: 0 holds, 1 does not, 2 holds but is old.")
app.add_typer(verify, name="verify")

STALE = 2
Policy = Annotated[
    Path | None,
    typer.Option(help="The log's published policy; without it the one in the file, which proves less."),
]
MaxAge = Annotated[
    float, typer.Option(min=0, help="Older than this is exit code 2: later entries are not in it.")
]
Last = Annotated[
    Path | None, typer.Option(help="Your own last checkpoint: this log must begin with that one.")
]


@app.command("mirror")
def mirror(  # noqa: PLR0917  # each is an option of the command; typer passes them by name
    folder: Annotated[Path, typer.Argument(help="Folder of the copy; run again to bring it up to date.")],
    url: Annotated[str, typer.Option(help="Address of the hub.")] = "http://127.0.0.1:8444",
    year: Annotated[int | None, typer.Option(help="Another year than this one.")] = None,
    policy: Annotated[Path | None, typer.Option(help="The published policy, to lie in the copy.")] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="Settings of the hub: open the entries too. Only where the hub's keys are."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Copy checkpoint and tiles of a hub; nothing is checked here."""
    with plainly():
        from deploy.mirroring import MirrorFailed, fetch_mirror, write_entries
        from index.protocol.mirror import POLICY

        try:
            folder.mkdir(parents=True, exist_ok=True)
            size = fetch_mirror(url, folder, year=year)
            opened = write_entries(config, folder) if config else None
            if policy is not None:
                (folder / POLICY).write_bytes(policy.read_bytes())
        except (MirrorFailed, OSError) as error:
            raise fail(str(error), FAILED) from None
        data = {"size": size, "opened": opened}
        emit(data, as_json, f"{size} entries copied" + ("" if opened is None else f", {opened} opened") + ".")


@verify.callback()
def verifying() -> None:
    """Check a file: 0 holds, 1 does not, 2 holds but is old."""


@verify.command("citizen")
def citizen(
    file: Annotated[Path, typer.Argument(help="inzage.zip, as the portal gives it.")],
    policy: Policy = None,
    max_age_hours: MaxAge = 24.0,
    as_json: AsJson = False,
) -> None:
    """Check that no line was changed or left out. Needs no network and no hub."""
    with plainly():
        from index.protocol.export import ExportInvalid, Verified, verify_export

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
        _say(state, data, as_json, told, list(found.problems))


@verify.command("mirror")
def verify_copy(
    folder: Annotated[Path, typer.Argument(help="A copy as `log mirror` makes it.")],
    policy: Policy = None,
    last: Last = None,
    max_age_hours: MaxAge = 24.0,
    as_json: AsJson = False,
) -> None:
    """Check every tile of a copy against its checkpoint, and against earlier checkpoints."""
    with plainly():
        from index.protocol.mirror import Mirror

        found = _mirror(folder, policy, last, {})
        report = found.report if isinstance(found, Mirror) else found
        _report(report, max_age_hours, as_json, f"{report.size} entries; every tile follows from them.")


@verify.command("officer")
def officer(  # noqa: PLR0917  # each is an option of the command; typer passes them by name
    folder: Annotated[Path, typer.Option("--mirror", help="A copy with entries.jsonl.")],
    since: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="UTC.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option("--to", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="UTC.")
    ] = None,
    policy: Policy = None,
    last: Last = None,
    directory: Annotated[
        Path | None, typer.Option(help="The signed directory: then every node's signature is checked.")
    ] = None,
    holders: Annotated[
        Path | None, typer.Option(help="With --directory: JSON of the key holders' public keys by id.")
    ] = None,
    proofs: Annotated[
        Path | None, typer.Option(help="Folder of *.tlog-proof that nodes kept of their own questions.")
    ] = None,
    max_age_hours: MaxAge = 24.0,
    as_json: AsJson = False,
) -> None:
    """Open every leaf of a period: chains, signatures, erasures, heads, and what is worth a look."""
    with plainly():
        from deploy.mirroring import MirrorFailed, node_keys_of, rows_in
        from index.protocol.mirror import Mirror, verify_officer

        kept = {path.name: path.read_text() for path in proofs.glob("*.tlog-proof")} if proofs else {}
        found = _mirror(folder, policy, last, kept)
        if not isinstance(found, Mirror):
            _report(found, max_age_hours, as_json, "")
            return
        try:
            keys = node_keys_of(directory, holders) if directory and holders else None
            report = verify_officer(
                found, rows_in(folder), since=_utc(since), until=_utc(until), node_keys=keys, proofs=kept
            )
        except MirrorFailed as error:
            report = found.report
            report.problem(str(error))
        told = (
            f"{report.opened} entries opened, {report.erased} erased, {report.chains} chains without a gap, "
        )
        told += f"{report.signatures} signatures of nodes." if keys else "signatures of nodes not checked."
        _report(report, max_age_hours, as_json, told)


def _mirror(folder: Path, policy: Path | None, last: Path | None, proofs: Mapping[str, str]) -> Any:
    from deploy.mirroring import MirrorFailed, earlier_in, get_from
    from index.protocol.mirror import MirrorReport, sizes_in, verify_mirror

    try:
        pinned = None if policy is None else policy.read_text(encoding="utf-8")
        return verify_mirror(get_from(folder), earlier_in(folder, last), pinned, sizes_in(proofs))
    except (MirrorFailed, OSError, UnicodeDecodeError) as error:
        report = MirrorReport()
        report.problem(str(error) if isinstance(error, MirrorFailed) else "a file cannot be read")
        return report


def _report(report: Any, max_age_hours: float, as_json: bool, told: str) -> None:
    state = _state(report.problems, [report.confirmed], max_age_hours)
    data = {
        "state": state, "origin": report.origin, "size": report.size, "confirmed": _when(report.confirmed),
        "witnesses": list(report.witnesses), "earlier": report.earlier, "opened": report.opened,
        "erased": report.erased, "chains": report.chains, "signatures": report.signatures,
        "proofs": report.proofs, "last": _when(report.last), "problems": report.problems,
        "findings": report.findings,
    }  # fmt: skip
    by = f" Confirmed by {len(report.witnesses)}, {_when(report.confirmed)}." if report.confirmed else ""
    _say(state, data, as_json, told + by, [*report.problems, *report.findings])


def _say(state: str, data: dict[str, Any], as_json: bool, told: str, listed: list[str]) -> None:
    head = "Does not hold:" if state == "bad" else f"Holds: {told}"
    if state == "stale":
        head += " What came later is not in it."
    emit(data, as_json, "\n".join([head, *listed]))
    if state != "good":
        raise typer.Exit(FAILED if state == "bad" else STALE)


def _state(problems: Any, times: list[datetime | None], max_age_hours: float) -> str:
    # A clock that is behind the hub's is not a file from the future.
    limit = datetime.now(UTC) - timedelta(hours=max_age_hours)
    old = any(at is not None and at < limit for at in times)
    return "bad" if problems else "stale" if old else "good"


def _utc(at: datetime | None) -> datetime | None:
    return None if at is None else at.replace(tzinfo=UTC)


def _when(at: datetime | None) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ") if at else ""


_FORMS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M"]


@app.command("breach")
def breach(
    *,
    begin: Annotated[datetime, typer.Option("--from", formats=_FORMS, help="Begin, in UTC.")],
    end: Annotated[datetime, typer.Option("--to", formats=_FORMS, help="End, in UTC; not included.")],
    organisation: Annotated[str, typer.Option("--organisation", help="OIN of an organisation.")] = "",
    employee: Annotated[str, typer.Option("--employee", help="Id of an employee, as in the log.")] = "",
    kid: Annotated[
        str, typer.Option("--kid", help="A node's public key (base64url), or a scope's key as geld.e1.")
    ] = "",
    out: Annotated[Path | None, typer.Option("--out", help="Empty folder for report and letters.")] = None,
    config: Annotated[Path, typer.Option("--config", help="Settings of the hub (TOML).")] = Path("hub.toml"),
    as_json: AsJson = False,
) -> None:
    """Who saw what of whom in a period, without names; with a letter per node. Is itself in the log."""
    from .policy_versions import refusals

    if sum(map(bool, (organisation, employee, kid))) != 1:
        raise fail("Give exactly one of --organisation, --employee and --kid.", WRONG_USE)
    if not begin < end:
        raise fail("--from must be before --to.", WRONG_USE)
    with refusals():
        from deploy.officer_tools import breach as find
        from index.breach import Suspect

        suspect = Suspect(organisation, employee, kid)
        found, text = find(config, begin.replace(tzinfo=UTC), end.replace(tzinfo=UTC), suspect, out)
        emit(found, as_json, text)


@app.command("export")
def export(
    *,
    form: Annotated[str, typer.Option("--as", help="ldv, nen7513 or counts.")],
    begin: Annotated[datetime, typer.Option("--from", formats=_FORMS, help="Begin, in UTC.")],
    end: Annotated[datetime, typer.Option("--to", formats=_FORMS, help="End, in UTC; not included.")],
    out: Annotated[Path, typer.Option("--out", help="File to write; it must not be there.")],
    organisation: Annotated[str, typer.Option("--organisation", help="OIN; absent: all.")] = "",
    config: Annotated[Path, typer.Option("--config", help="Settings of the hub (TOML).")] = Path("hub.toml"),
    as_json: AsJson = False,
) -> None:
    """Export a period of the log without names. Is itself in the log. Register and DPIA: policy notices."""
    from .policy_versions import refusals

    with refusals():
        from deploy.officer_tools import export as write

        period = (begin.replace(tzinfo=UTC), end.replace(tzinfo=UTC))
        found, text = write(config, form, period, organisation, out)
        emit(found, as_json, text)
