"""`vlagwijzer log verify citizen`: check the lines that a citizen was given, offline."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from .output import FAILED, WRONG_USE, AsJson, emit, fail, plainly

app = typer.Typer(no_args_is_help=True, help="The access log, checked without trusting who keeps it.")
verify = typer.Typer(no_args_is_help=True, help="Check a file: 0 holds, 1 does not, 2 holds but is old.")
app.add_typer(verify, name="verify")

STALE = 2


@verify.callback()
def verifying() -> None:
    """Check a file: 0 holds, 1 does not, 2 holds but is old."""


@verify.command("citizen")
def citizen(
    file: Annotated[Path, typer.Argument(help="inzage.zip, as the portal gives it.")],
    policy: Annotated[
        Path | None,
        typer.Option(help="The log's published policy; without it the one in the file, which proves less."),
    ] = None,
    max_age_hours: Annotated[
        float, typer.Option(min=0, help="Older than this is exit code 2: later lines are not in it.")
    ] = 24.0,
    as_json: AsJson = False,
) -> None:
    """Check that no line was changed or left out. Needs no network and no hub."""
    with plainly():
        from index.protocol.export import ExportInvalid, verify_export

        try:
            pinned = None if policy is None else policy.read_text(encoding="utf-8")
            found = verify_export(file.read_bytes(), pinned)
            problems, lines, chains, last = found.problems, found.lines, found.chains, found.last
        except (ExportInvalid, OSError, UnicodeDecodeError) as error:
            told = str(error) if isinstance(error, ExportInvalid) else "the file or policy cannot be read"
            problems, lines, chains, last = (told,), 0, 0, None
        # A clock that is behind the hub's is not a file from the future.
        stale = last is not None and datetime.now(UTC) - last > timedelta(hours=max_age_hours)
        state = "bad" if problems else "stale" if stale else "good"
        when = last.strftime("%Y-%m-%dT%H:%M:%SZ") if last else ""
        data = {
            "state": state, "lines": lines, "chains": chains, "last": when, "problems": list(problems),
            "policy": "given" if policy else "of the file",
        }  # fmt: skip
        emit(data, as_json, "\n".join([_told(state, lines, when), *problems]))
        if state != "good":
            raise typer.Exit(FAILED if problems else STALE)


def _told(state: str, lines: int, when: str) -> str:
    if state == "bad":
        return "Does not hold:"
    until = f"Holds: {lines} lines, none changed or left out until {when}."
    return f"{until} What came later is not in it." if state == "stale" else until


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
    form: Annotated[str, typer.Option("--as", help="ldv, nen7513, counts or steering.")],
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
