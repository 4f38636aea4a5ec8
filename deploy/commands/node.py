"""`vlagwijzer node`: serve a node, and work with its outbox, flags and keys of calling systems.

Numbers of people come from standard input or a file. A command that queues
leaves the sending to the running node, or to `sync`.
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from .node_sources import told, told_plainly
from .output import FAILED, AsJson, emit, fail, plainly
from .progress import Shown

app = typer.Typer(no_args_is_help=True, help="The process at an organisation: source, desk or portal.")
keys = typer.Typer(no_args_is_help=True, help="API keys of the organisation's own systems.")
app.add_typer(keys, name="apikey")

Config = Annotated[Path, typer.Option("--config", help="Settings of this node (TOML).")]
Days = Annotated[int | None, typer.Option(help="Days until it ends; absent: it has no end.", min=1)]
BsnFile = Annotated[
    Path | None, typer.Option("--bsn-file", help="File with the number, one a line; absent: standard input.")
]


def numbers_from(file: Path | None) -> list[str]:
    """Numbers from a file or standard input, one a line; never an argument."""
    text = file.read_text() if file else sys.stdin.read()
    return [line.strip() for line in text.splitlines() if line.strip()]


@app.command("serve")
def serve_node(config: Config = Path("node.toml")) -> None:
    """Serve this node's API and pages, and send what waits, until interrupted."""
    with plainly():
        from deploy.processes import serve_node as serve

        serve(config)


@app.command("join")
def join(
    *,
    oin: Annotated[str, typer.Option("--organisation", help="OIN of the organisation.")],
    request: Annotated[Path, typer.Option("--request", help="Request file to write, for the hub's people.")],
    scope: Annotated[
        list[str] | None, typer.Option(help="Domain that it works in; repeat for more. Absent: all six.")
    ] = None,
    config: Config = Path("node.toml"),
    as_json: AsJson = False,
) -> None:
    """Make the key files that are missing, and a request to be let in. It holds nothing secret."""
    with plainly():
        from deploy.joining import ask_to_join

        made = ask_to_join(config, oin, request, scope or [])
        text = (
            f"{request} is made; send it to the people of the hub.\n"
            f"Read them this fingerprint by telephone:\n{made['fingerprint']}"
        )
        emit(made, as_json, text)


@app.command("publish")
def publish(
    *,
    kind: Annotated[str, typer.Option(help="Code of the kind, such as schuldhulp.")],
    ref: Annotated[str, typer.Option(help="The source's own reference; never a number of a person.")],
    since: Annotated[str, typer.Option(help="Month since when: YYYY-MM.")],
    until: Annotated[str | None, typer.Option(help="Last month: YYYY-MM; absent: open.")] = None,
    bsn_file: BsnFile = None,
    config: Config = Path("node.toml"),
    as_json: AsJson = False,
) -> None:
    """Queue one publication. The same reference again is an update."""
    with plainly():
        from deploy.node_tools import publish as queue
        from nodes.errors import BadItems

        numbers = numbers_from(bsn_file)
        item = {
            "bsn": numbers[0] if len(numbers) == 1 else "",
            "kind": kind,
            "localRef": ref,
            "since": since,
            "until": until,
        }
        try:
            state = queue(config, item)
        except BadItems as error:
            raise fail("\n".join(f"{one.field}: {one.detail}" for one in error.errors), FAILED) from None
        emit({"state": state}, as_json, state)


@app.command("retract")
def retract(
    ref: Annotated[str, typer.Option(help="The source's own reference.")],
    config: Config = Path("node.toml"),
    as_json: AsJson = False,
) -> None:
    """Queue the retraction of one flag. Needs no number of a person."""
    with plainly():
        from deploy.node_tools import retract as queue

        state = queue(config, ref)
        emit({"state": state}, as_json, state)


@app.command("import")
def import_list(
    *,
    file: Annotated[Path, typer.Argument(help="The list or message.", exists=True, dir_okay=False)],
    source: Annotated[
        str, typer.Option("--source", help="Name of the source in the settings; absent: the list of [csv].")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would happen, and why.")] = False,
    confirm_shrink: Annotated[
        bool,
        typer.Option("--confirm-shrink", help="The list lost much, and somebody checked that it is right."),
    ] = False,
    config: Config = Path("node.toml"),
    as_json: AsJson = False,
) -> None:
    """Compare a list with what was passed on before: new is published, gone is retracted."""
    with plainly():
        from deploy.node_tools import import_list as run

        with Shown("queued", silent=as_json) as shown:
            planned = run(
                config, file, source=source, dry_run=dry_run, confirm_shrink=confirm_shrink, progress=shown
            )
        emit(told(planned, dry_run=dry_run), as_json, told_plainly(planned, dry_run=dry_run))


@app.command("lookup")
def lookup(
    *,
    purpose: Annotated[str, typer.Option(help="Code of the purpose, such as huisbezoek.")],
    case: Annotated[str, typer.Option(help="Case reference of this organisation.")],
    token_file: Annotated[Path, typer.Option(help="File with an employee token for this node.")],
    bsn_file: BsnFile = None,
    config: Config = Path("node.toml"),
    as_json: AsJson = False,
) -> None:
    """Open a visit for one to eight persons, look once as this employee, and close it."""
    with plainly():
        from deploy.node_tools import lookup as run

        views = run(config, numbers_from(bsn_file), token_file.read_text().strip(), purpose, case)
        lines = [
            f"Persoon {at}: "
            + (
                "; ".join(f"{flag['kind']} sinds {flag['since']}" for flag in view["flags"])
                or "niets zichtbaar"
            )
            for at, view in enumerate(views, 1)
        ]
        emit({"persons": views}, as_json, "\n".join([*lines, "Dit overzicht hoeft niet compleet te zijn."]))


@app.command("deceased")
def deceased(
    *,
    bsn_file: BsnFile = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many flags it would be.")] = False,
    config: Config = Path("node.toml"),
    as_json: AsJson = False,
) -> None:
    """Ask the BRP who of these people died; all own flags about them are retracted and stay away."""
    with plainly():
        from deploy.node_tools import deceased as run

        made = run(config, numbers_from(bsn_file), dry_run=dry_run)
        emit(made, as_json, "{asked} asked, {deceased} died, {retracted} flags retracted".format(**made))


@app.command("status")
def status(config: Config = Path("node.toml"), as_json: AsJson = False) -> None:
    """What waits, what was rejected, and what can be reached."""
    with plainly():
        from deploy.node_tools import status as run

        seen = run(config)
        emit(seen, as_json, "\n".join(f"{name}: {value}" for name, value in seen.items()))


@keys.command("add")
def add_key(
    *,
    name: Annotated[str, typer.Argument(help="Name of the calling system.")],
    kind: Annotated[list[str] | None, typer.Option(help="Kind it may publish; repeat for more.")] = None,
    role: Annotated[list[str] | None, typer.Option(help="Role it may state; repeat for more.")] = None,
    days: Days = None,
    config: Config = Path("node.toml"),
    as_json: AsJson = False,
) -> None:
    """Make a key. It is shown once."""
    with plainly():
        from deploy.node_tools import add_api_key

        made = add_api_key(config, name, kind or [], role or [], days)
        emit(made, as_json, f"{made['key']}\nThis key is not shown again. Its id is {made['id']}.")


@keys.command("list")
def list_keys(config: Config = Path("node.toml"), as_json: AsJson = False) -> None:
    """All keys, without the keys themselves."""
    with plainly():
        from deploy.node_tools import list_api_keys

        found = list_api_keys(config)
        lines = [
            f"{key['id']}  {key['name']}  {', '.join(key['kinds'] + key['roles'])}" + _state_of_key(key)
            for key in found
        ]
        emit({"keys": found}, as_json, "\n".join(lines) or "No keys.")


def _state_of_key(key: dict[str, Any]) -> str:
    if key["revokedAt"]:
        return "  (revoked)"
    if key["expiresAt"]:
        return f"  ({'until' if key['lives'] else 'ended'} {key['expiresAt'][:16]})"
    return ""


@keys.command("rotate")
def rotate_key(
    *,
    key_id: Annotated[str, typer.Argument(help="Id from `apikey list`.")],
    overlap: Annotated[int, typer.Option(help="Days for which the last key still works.", min=0)] = 7,
    days: Days = None,
    config: Config = Path("node.toml"),
    as_json: AsJson = False,
) -> None:
    """A new key for the same system; the last one ends after the overlap. The new one is shown once."""
    with plainly():
        from deploy.node_tools import rotate_api_key

        made = rotate_api_key(config, key_id, overlap, days)
        text = (
            f"{made['key']}\nThis key is not shown again. Its id is {made['id']}. "
            f"{key_id} works for {overlap} days more."
        )
        emit(made, as_json, text)


@app.command("switch-on")
def switch_on(config: Config = Path("node.toml"), as_json: AsJson = False) -> None:
    """Let a source that was switched off publish again. What was taken back stays so."""
    with plainly():
        from deploy.node_tools import switch_source_on

        if not switch_source_on(config):
            raise fail("The source is not switched off.", FAILED)
        emit({"state": "on"}, as_json, "On. Nothing is published before a source or system says so.")


@keys.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="Id from `apikey list`.")],
    config: Config = Path("node.toml"),
    as_json: AsJson = False,
) -> None:
    """End a key at once."""
    with plainly():
        from deploy.node_tools import revoke_api_key

        if not revoke_api_key(config, key_id):
            raise fail("There is no such living key.", FAILED)
        emit({"revoked": key_id}, as_json, "Revoked.")
