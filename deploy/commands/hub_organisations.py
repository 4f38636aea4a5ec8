"""`vlagwijzer hub organisation|team|kind|node|directory|leave|merge`: who takes part.

A change is proposed by one person and approved by another; what only closes
holds with one. What is approved is a draft of the next directory: the key
holders sign it (`keyholder directory sign`), and `hub directory adopt` puts it
in force. Every act is signed with the person's own key file.

Source: docs/operating.md, "Who takes part".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .hub_registers import By, Id, _instant, organisation
from .output import FAILED, AsJson, emit, fail
from .policy_versions import KeyFile, Settings, office_of, refusals

if TYPE_CHECKING:
    from index.acts import Held, Office, Signer
    from index.organisations import Change, Roster
    from index.protocol.directory import Directory
    from index.registers import Registers
    from index.settings import HubSettings

Oin = Annotated[str, typer.Option("--organisation", help="OIN of the organisation.")]
Team = Annotated[str, typer.Option("--team", help="Id of the team.")]
Kind = Annotated[str, typer.Option("--kind", help="Code of the kind.")]
NodeId = Annotated[str, typer.Option("--node", help="Id of the node.")]
Yes = Annotated[bool, typer.Option("--yes", help="What it does was read; do not ask again.")]
Out = Annotated[Path, typer.Option("--out", help="File to write; an existing one is never overwritten.")]

team = typer.Typer(no_args_is_help=True, help="Teams of organisations.")
kind = typer.Typer(no_args_is_help=True, help="Kinds that an organisation publishes, with neutral names.")
node = typer.Typer(no_args_is_help=True, help="Nodes: a key request is let in, or a node is shut out.")
directory = typer.Typer(no_args_is_help=True, help="Changes that wait, the next directory, and its signing.")
leaving = typer.Typer(no_args_is_help=True, help="An organisation leaves: everything of it is purged.")


def add_to(app: typer.Typer) -> None:
    """Add these to `vlagwijzer hub`."""
    for name, part in (
        ("team", team), ("kind", kind), ("node", node), ("directory", directory), ("leave", leaving),
    ):  # fmt: skip
        app.add_typer(part, name=name)
    app.command("merge")(merge)


# --- proposals -------------------------------------------------------------------------


@organisation.command("add")
def add_organisation(
    *,
    oin: Oin,
    class_: Annotated[str, typer.Option("--class", help="Class of organisation, of the vocabulary.")],
    by: By,
    key_file: KeyFile,
    settings: Settings = Path("hub.toml"),
    as_json: AsJson = False,
) -> None:
    """Propose an organisation; another person approves it."""
    _propose((settings, by, key_file), lambda desk, who, _: desk.add_organisation(who, oin, class_), as_json)


@organisation.command("overview")
def overview(settings: Settings = Path("hub.toml"), as_json: AsJson = False) -> None:
    """Who takes part: nodes, teams, kinds with their neutral names, convenants, and what waits."""
    with refusals(), _read(settings) as (_, listed, registers):
        import msgspec

        from index.organisations import members

        found = members(listed, registers)
        rows = [
            {
                "organisation": one.oin, "class": one.class_, "profile": one.profile,
                "nodes": list(one.nodes), "teams": list(one.teams),
                "kinds": msgspec.to_builtins(one.kinds), "convenants": len(one.convenants),
                "mandates": len(one.mandates), "waiting": [change.id for change in one.waiting],
            }
            for one in found
        ]  # fmt: skip
    emit(rows, as_json, "\n\n".join("\n".join(_about(one)) for one in rows))


def _about(one: dict[str, Any]) -> Iterator[str]:
    yield f"{one['organisation']} ({one['class']}, profile {one['profile']})"
    yield f"  nodes: {', '.join(one['nodes']) or '-'}; teams: {', '.join(one['teams']) or '-'}"
    for entry in one["kinds"]:
        yield f"  {entry['kind']}: {entry['displayName']}, {entry['desk'] or '-'}"
    yield f"  convenants {one['convenants']}, mandates {one['mandates']}"
    if one["waiting"]:
        yield f"  not in the signed directory yet: changes {', '.join(map(str, one['waiting']))}"


@team.command("add")
def add_team(
    *, oin: Oin, name: Team, by: By, key_file: KeyFile, settings: Settings = Path("hub.toml"),
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Propose a team; another person approves it."""
    _propose((settings, by, key_file), lambda desk, who, _: desk.add_team(who, oin, name), as_json)


@team.command("remove")
def remove_team(
    *, oin: Oin, name: Team, by: By, key_file: KeyFile, settings: Settings = Path("hub.toml"),
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Close a team, at once; one person is enough."""
    _propose((settings, by, key_file), lambda desk, who, _: desk.remove_team(who, oin, name), as_json)


@kind.command("set")
def set_kind(
    *,
    oin: Oin,
    code: Kind,
    display_name: Annotated[str, typer.Option("--name", help="Neutral name that citizens and askers read.")],
    desk_number: Annotated[str, typer.Option("--desk", help="Telephone number of the desk.")] = "",
    by: By,
    key_file: KeyFile,
    settings: Settings = Path("hub.toml"),
    as_json: AsJson = False,
) -> None:
    """Propose a kind for an organisation, or another name or desk number; another person approves it."""
    _propose(
        (settings, by, key_file),
        lambda desk, who, _: desk.set_kind(who, oin, code, display_name, desk_number),
        as_json,
    )


@kind.command("remove")
def remove_kind(
    *, oin: Oin, code: Kind, by: By, key_file: KeyFile, settings: Settings = Path("hub.toml"),
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Take a kind away; one person is enough."""
    _propose((settings, by, key_file), lambda desk, who, _: desk.remove_kind(who, oin, code), as_json)


@node.command("let-in")
def let_in(
    *,
    request: Annotated[Path, typer.Argument(help="Request file of the node.", exists=True, dir_okay=False)],
    by: By,
    key_file: KeyFile,
    yes: Annotated[bool, typer.Option("--yes", help="The fingerprint was compared by telephone.")] = False,
    settings: Settings = Path("hub.toml"),
    as_json: AsJson = False,
) -> None:
    """Propose a node by its request, or another key of one. Compare the fingerprint by telephone first."""
    with refusals():
        from index.acts import Refused
        from index.protocol.directory import NotTrusted
        from index.protocol.enrolment import fingerprint, parse_request

        raw = request.read_bytes()
        try:
            asked = parse_request(raw)
        except NotTrusted as error:
            raise Refused(f"The request is refused: {error}. Nothing was done.") from None
        typer.echo(f"Node {asked.node} of {asked.oin}, fingerprint:\n{fingerprint(asked.ed25519)}", err=True)
        if not yes:
            typer.confirm("Did somebody of that organisation read you the same?", abort=True, err=True)
    _propose((settings, by, key_file), lambda desk, who, _: desk.let_in(who, raw), as_json)


@node.command("shut-out")
def shut_out(
    *, name: NodeId, by: By, key_file: KeyFile, settings: Settings = Path("hub.toml"), as_json: AsJson = False
) -> None:
    """Refuse a node's calls, at once; one person is enough. Its flags stay until they expire."""
    _propose((settings, by, key_file), lambda desk, who, _: desk.remove_node(who, name), as_json)


def merge(
    *,
    oin: Annotated[str, typer.Option("--organisation", help="OIN of the organisation that goes over.")],
    into: Annotated[str, typer.Option("--into", help="OIN of the organisation that it goes over into.")],
    teams: Annotated[
        list[str], typer.Option("--team", help="FORMER=NEW for each of its teams; may be repeated.")
    ],
    by: By,
    key_file: KeyFile,
    settings: Settings = Path("hub.toml"),
    as_json: AsJson = False,
) -> None:
    """Propose a merger or renaming: nodes and flags go over, and no choice of a citizen becomes wider."""
    with refusals():
        from index.acts import Refused

        moves = dict(one.split("=", 1) for one in teams if "=" in one)
        if len(moves) != len(teams) or not all(moves.values()):
            raise Refused("Each --team is FORMER=NEW, once. Nothing was done.")
    _propose(
        (settings, by, key_file),
        lambda desk, who, registers: desk.merge(who, oin, into, moves, registers),
        as_json,
    )


# --- the second person, and the key holders ----------------------------------------------


@directory.command("list")
def listed(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Also what was adopted or withdrawn.")] = False,
    settings: Settings = Path("hub.toml"),
    as_json: AsJson = False,
) -> None:
    """What waits for a second person, and what waits for the key holders."""
    with refusals(), _read(settings) as (_, _directory, registers):
        rows = [
            _row(one)
            for _, one in sorted(registers.changes.known.items())
            if everything or one.state in ("waiting", "approved")
        ]
    emit(rows, as_json, "\n".join(map(_line, rows)) or "Nothing waits.")


@directory.command("approve")
def approve(
    *, number: Id, by: By, key_file: KeyFile, yes: Yes = False, settings: Settings = Path("hub.toml"),
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """The second person: show what it does, then approve it."""
    _shown(settings, number, yes=yes or as_json)
    _propose(
        (settings, by, key_file), lambda desk, who, registers: desk.approve(who, number, registers), as_json
    )


@directory.command("withdraw")
def withdraw(
    *, number: Id, by: By, key_file: KeyFile, settings: Settings = Path("hub.toml"), as_json: AsJson = False
) -> None:
    """Drop a change that waits."""
    _propose((settings, by, key_file), lambda desk, who, _: desk.withdraw(who, number), as_json)


@directory.command("draft")
def draft(out: Out, settings: Settings = Path("hub.toml"), as_json: AsJson = False) -> None:
    """Write the next directory, with all that was approved, for the key holders to sign."""
    with refusals():
        from index.organisations import differences, following
        from index.protocol.directory import encode

        with _read(settings) as (_, current, registers):
            made = following(current, registers.changes)
        _new_file(out, encode(made))
        lines = differences(current, made)
    emit(
        {"version": made.version, "file": str(out), "differences": lines},
        as_json,
        "\n".join([*lines, f"Version {made.version} is in {out}. The key holders sign it."]),
    )


@directory.command("adopt")
def adopt(
    *,
    files: Annotated[list[Path], typer.Argument(help="Signed copies.", exists=True, dir_okay=False)],
    by: By,
    key_file: KeyFile,
    settings: Settings = Path("hub.toml"),
    as_json: AsJson = False,
) -> None:
    """Put a directory in force that enough key holders signed. A running hub takes it within ten minutes."""
    with refusals():
        from index.acts import signer
        from index.organisations import Roster

        raws = [file.read_bytes() for file in files]
        with office_of(settings) as (read, office, current):
            who, version = signer(read, by, key_file), _version(office, current)
            with office.sitting() as sitting:
                held, raw = Roster(read, current, version, sitting).adopt(who, raws, _threshold(read))
            _replace(read.directory, raw)
        changes = held.act.detail["changes"]
    text = f"Version {held.act.about} is in force, with changes {', '.join(map(str, changes))}."
    emit({"version": held.act.about, "changes": changes}, as_json, text)


# --- leaving ---------------------------------------------------------------------------


@leaving.command("propose")
def propose_leave(
    *, oin: Oin, by: By, key_file: KeyFile, settings: Settings = Path("hub.toml"), as_json: AsJson = False
) -> None:
    """Propose that an organisation leaves. Nothing happens before another person carries it out."""
    _propose((settings, by, key_file), lambda desk, who, _: desk.leave(who, oin), as_json)


@leaving.command("carry-out")
def carry_out(
    *,
    number: Id,
    by: By,
    key_file: KeyFile,
    report: Annotated[Path, typer.Option("--report", help="Where the signed report is written.")],
    yes: Yes = False,
    settings: Settings = Path("hub.toml"),
    as_json: AsJson = False,
) -> None:
    """The second person: refuse its calls from now on, purge everything of it, and write the signed report.

    After an interruption: once more, by anybody registered. What is gone stays gone.
    """
    with refusals():
        from index.acts import Refused

        if report.exists():
            raise Refused(f"{report} is there already. Nothing was done.")
    with refusals(), _read(settings) as (_, _directory, registers):
        change = registers.changes.known.get(number)
        waits = change is not None and change.state == "waiting"
    if waits:
        _shown(settings, number, yes=yes)
        _propose(
            (settings, by, key_file),
            lambda desk, who, registers: desk.approve(who, number, registers),
            as_json,
            silent=True,
        )
    with refusals():
        import msgspec

        from index.acts import signer
        from index.leaving import purge

        with office_of(settings) as (read, office, current):
            raw = purge(office, current, signer(read, by, key_file), number)
        _new_file(report, raw)
        said = msgspec.json.decode(raw)["report"]
        lines = [f"{name}: {one['before']} -> {one['after']}" for name, one in said["tables"].items()]
    emit(said, as_json, "\n".join([*lines, f"Purged. The signed report is in {report}."]))


@leaving.command("verify")
def verify_report(
    report: Annotated[Path, typer.Argument(help="Signed report.", exists=True, dir_okay=False)],
    vkey: Annotated[str, typer.Option("--vkey", help="Verifier key of the hub's log (C2SP signed note).")],
    as_json: AsJson = False,
) -> None:
    """Check a report offline: the hub signed it, and it says that nothing is left."""
    with refusals():
        from index.leaving import check_report
        from index.protocol.note import NoteError, parse_vkey

        try:
            public = parse_vkey(vkey).public
        except NoteError:
            raise fail("--vkey is no verifier key.", FAILED) from None
        said = check_report(report.read_bytes(), public)
    emit(said, as_json, f"Signed. Nothing of {said['organisation']} is left since {said['at']}.")


# --- parts -----------------------------------------------------------------------------


def _propose(
    asked: tuple[Path, str, Path],
    do: Callable[[Roster, Signer, Registers], Held],
    as_json: bool,
    *,
    silent: bool = False,
) -> None:
    """One act of one person: `asked` is settings, name and key file."""
    settings, by, key_file = asked
    with refusals():
        from index.acts import signer
        from index.organisations import Roster
        from index.registers import Registers

        with office_of(settings) as (read, office, current):
            who, version = signer(read, by, key_file), _version(office, current)
            with office.sitting() as sitting:
                registers = Registers().after(sitting.history)
                held = do(Roster(read, current, version, sitting), who, registers)
                changes = Registers().after(sitting.history).changes
        row = _row(changes.known[held.act.about or held.seq])
        if not silent:
            emit(row, as_json, _line(row))


def _shown(settings: Path, number: int, *, yes: bool) -> None:
    """What a change does to the directory, before somebody approves it."""
    with refusals(), _read(settings) as (_, current, registers):
        from index.acts import Refused
        from index.organisations import differences, draft

        change = registers.changes.known.get(number)
        if change is None or change.state != "waiting":
            raise Refused(f"No change with number {number} waits for a second person. Nothing was done.")
        approved = registers.changes.approved()
        before = draft(current, approved)
        lines = differences(before, draft(current, [*approved, change]))
        typer.echo("\n".join(lines), err=True)
        if change.op == "leave":
            typer.echo(
                "Everything of this organisation is purged at the hub. Nothing brings it back.", err=True
            )
    if not yes:
        typer.confirm("Approve this?", abort=True, err=True)


@contextmanager
def _read(path: Path) -> Iterator[tuple[HubSettings, Directory, Registers]]:
    from index.acts import history
    from index.registers import Registers

    with office_of(path) as (read, office, current):
        with office.engine.connect().execution_options(reading=True) as connection:
            acts = history(connection, office.keystore)
        yield read, current, Registers().after(acts)


def _version(office: Office, current: Directory) -> Any:
    from index.app import organisation_classes
    from index.policies import Publishing

    return Publishing(office, organisation_classes(current)).running(())[1]


def _threshold(read: HubSettings) -> int:
    from index.protocol.directory import parse_manifest

    manifest = parse_manifest(read.manifest.read_bytes(), read.pins())
    return max(key.t for key in manifest.keys)


def _row(change: Change) -> dict[str, Any]:
    return {
        "number": change.id, "change": change.op, **change.told, "state": change.state,
        "at": _instant(change.at), "by": list(change.by),
    }  # fmt: skip


def _line(row: dict[str, Any]) -> str:
    texts = {name: " ".join(map(str, v)) if isinstance(v, list) else str(v) for name, v in row.items()}
    return ", ".join(f"{name} {text or '-'}" for name, text in texts.items())


def _new_file(path: Path, raw: bytes) -> None:
    try:
        with path.open("xb") as file:
            file.write(raw)
    except FileExistsError:
        raise fail(f"{path} is there already; it is not overwritten.", FAILED) from None


def _replace(path: Path, raw: bytes) -> None:
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(raw)
    beside.replace(path)
