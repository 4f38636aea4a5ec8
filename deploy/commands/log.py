"""`vlagwijzer log`: copy the log, and check a citizen's file, an officer's period or a copy, offline."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .output import FAILED, WRONG_USE, AsJson, emit, fail, plainly

if TYPE_CHECKING:
    from deploy.verifying import Checked

app = typer.Typer(no_args_is_help=True, help="The access log, checked without trusting who keeps it.")
verify = typer.Typer(no_args_is_help=True, help="Check a file: 0 holds, 1 does not, 2 holds but is old.")
app.add_typer(verify, name="verify")
policies = typer.Typer(no_args_is_help=True, help="Who must confirm the log: the policy that officers sign.")
app.add_typer(policies, name="policy")

Policy = Annotated[
    Path | None,
    typer.Option(help="The log's published policy; without it the one in the file, which proves less."),
]
Signers = Annotated[
    Path | None,
    typer.Option(help="Officers who must have signed the policy, and how many: threshold and signer lines."),
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
        from deploy.mirroring import fetch_mirror, write_entries
        from deploy.verifying import MirrorFailed
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
def citizen(  # each is an option of the command; typer passes them by name
    file: Annotated[Path, typer.Argument(help="inzage.zip, as the portal gives it.")],
    policy: Policy = None,
    signers: Signers = None,
    max_age_hours: MaxAge = 24.0,
    as_json: AsJson = False,
) -> None:
    """Check that no line was changed or left out. Needs no network and no hub."""
    with plainly():
        from deploy import verifying as checks

        _say(checks.citizen(file, checks.Trust(policy, signers), max_age_hours), as_json)


@verify.command("mirror")
def verify_copy(  # noqa: PLR0917  # each is an option of the command; typer passes them by name
    folder: Annotated[Path, typer.Argument(help="A copy as `log mirror` makes it.")],
    policy: Policy = None,
    signers: Signers = None,
    last: Last = None,
    max_age_hours: MaxAge = 24.0,
    as_json: AsJson = False,
) -> None:
    """Check every tile of a copy against its checkpoint, and against earlier checkpoints."""
    with plainly():
        from deploy import verifying as checks

        _say(checks.mirror(folder, checks.Trust(policy, signers, last), max_age_hours), as_json)


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
    signers: Signers = None,
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
    vocabulary: Annotated[
        Path | None,
        typer.Option(help="The vocabulary in force, for postponed notices; else the packaged one."),
    ] = None,
    max_age_hours: MaxAge = 24.0,
    as_json: AsJson = False,
) -> None:
    """Open every leaf of a period: chains, signatures, erasures, heads, and what is worth a look."""
    with plainly():
        from deploy import verifying as checks

        period = checks.Period(_utc(since), _utc(until), directory, holders, proofs, vocabulary)
        _say(checks.officer(folder, checks.Trust(policy, signers, last), period, max_age_hours), as_json)


def _say(found: Checked, as_json: bool) -> None:
    emit(found.data, as_json, found.text)
    if found.exit_code:
        raise typer.Exit(found.exit_code)


def _utc(at: datetime | None) -> datetime | None:
    return None if at is None else at.replace(tzinfo=UTC)


@policies.command("sign")
def sign(
    file: Annotated[Path, typer.Argument(help="The policy (C2SP tlog-policy), signed by others or not yet.")],
    name: Annotated[str, typer.Option(help="Your name as the signers' file has it, as fg.gemeente.example.")],
    key: Annotated[Path, typer.Option(help="Your key file: 32 bytes, readable by you only.")],
    as_json: AsJson = False,
) -> None:
    """Add your signature to the log's policy, offline. Read the policy first."""
    with plainly():
        from nacl.signing import SigningKey

        from index.protocol.keyfile import read_key_file
        from index.protocol.note import ED25519, NoteKey
        from index.protocol.signedpolicy import sign_policy
        from index.protocol.tlogpolicy import PolicyFileError

        signing = SigningKey(read_key_file(key))
        try:
            made = sign_policy(file.read_text(encoding="utf-8"), name, signing)
        except (PolicyFileError, OSError, UnicodeDecodeError) as error:
            raise fail(f"{error} Nothing was signed.", FAILED) from None
        file.write_text(made, encoding="utf-8")
        signer = NoteKey(name, ED25519, bytes(signing.verify_key)).text()
        emit({"signer": signer}, as_json, f"Signed. In the signers' file: signer {signer}")


@policies.command("check")
def check(
    file: Annotated[Path, typer.Argument(help="The signed policy.")],
    signers: Annotated[Path, typer.Option(help="Officers who must have signed, and how many.")],
    as_json: AsJson = False,
) -> None:
    """Say who signed the log's policy; 1 when too few did."""
    with plainly():
        from index.protocol.signedpolicy import parse_signers, signed_policy
        from index.protocol.tlogpolicy import PolicyFileError

        try:
            policy, names = signed_policy(file.read_bytes(), parse_signers(signers.read_bytes()))
        except (PolicyFileError, OSError) as error:
            raise fail(str(error), FAILED) from None
        data = {"signed": list(names), "witnesses": sorted(policy.witnesses), "quorum": policy.quorum}
        emit(data, as_json, f"Signed by {', '.join(names)}. Witnesses: {', '.join(data['witnesses'])}.")


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
