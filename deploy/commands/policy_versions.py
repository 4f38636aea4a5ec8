"""`vlagwijzer policy publish|approve|sign|rollback|close|versions|key`: versions of the rules at a hub.

Each act is done by a person who proves it with an own key file; the hub's
settings register its public half under the person's name (`[approvers]`).
Running hubs take a version that came into force at their next batch.

Source: docs/design/policy-and-consent.md, "Publishing a version".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .output import FAILED, AsJson, emit, fail, plainly

if TYPE_CHECKING:
    from index.acts import Office
    from index.policies import Candidate, Differences, Publishing
    from index.protocol.directory import Directory
    from index.replay import Replayed
    from index.settings import HubSettings
    from policy.texts import Texts

Settings = Annotated[Path, typer.Option("--settings", help="Settings of the hub (TOML).")]
KeyFile = Annotated[Path, typer.Option("--key", help="Own key file of this person, made by `policy key`.")]
Folder = Annotated[
    Path,
    typer.Argument(help="Folder with vocabulary.toml and forbids.cedar.", exists=True, file_okay=False),
]
Number = Annotated[int, typer.Argument(help="Number of the version.", min=1)]
Yes = Annotated[bool, typer.Option("--yes", help="The differences were read; do not ask again.")]

_SHOWN = 200


def add_to(app: typer.Typer) -> None:
    """Add these commands to `vlagwijzer policy`."""
    for name, command in (
        ("key", key),
        ("publish", publish),
        ("approve", approve),
        ("sign", sign),
        ("rollback", rollback),
        ("close", close),
        ("versions", versions),
    ):
        app.command(name)(command)


@contextmanager
def refusals() -> Iterator[None]:
    """What is refused, as one sentence and exit code 1."""
    from index.acts import HistoryBroken, Refused
    from policy.engine import PublishError
    from policy.texts import TextsMissing
    from policy.vocabulary import VocabularyError

    with plainly():
        try:
            yield
        except (Refused, HistoryBroken, PublishError, VocabularyError, TextsMissing) as error:
            raise fail(str(error), FAILED) from None


@contextmanager
def office_of(path: Path) -> Iterator[tuple[HubSettings, Office, Directory]]:
    """The hub's settings, and where acts are taken."""
    from index.app import open_office
    from index.settings import HubSettings

    settings = HubSettings.load(path)
    office, directory = open_office(settings)
    try:
        yield settings, office, directory
    finally:
        office.engine.dispose()


def key(
    file: Annotated[Path, typer.Argument(help="New key file; an existing one is never overwritten.")],
    as_json: AsJson = False,
) -> None:
    """Make the key file of one person. Its public half goes into `[approvers]` of the hub's settings."""
    with plainly():
        from nacl.signing import SigningKey

        from index.protocol.codec import b64u
        from index.protocol.keyfile import write_key_file

        if file.exists():
            raise fail(f"{file} is there already; it is not overwritten.", FAILED)
        made = SigningKey.generate()
        write_key_file(file, bytes(made))
        public = b64u(bytes(made.verify_key))
        emit({"public": public}, as_json, f"Public half, for [approvers] in the hub's settings:\n{public}")


def publish(
    folder: Folder,
    author: Annotated[str, typer.Option("--author", help="Name of the author, as registered.")],
    key_file: KeyFile,
    settings: Settings = Path("hub.toml"),
    as_json: AsJson = False,
) -> None:
    """Check and prove a candidate; it then waits for two other people to approve it."""
    with refusals():
        from index.acts import signer

        with office_of(settings) as (read, office, directory):
            who, candidate = signer(read, author, key_file), _checked(folder)
            number, differences = _publishing(office, directory).publish(who, candidate)
        _say_waiting(number, differences, as_json)


def rollback(
    number: Number,
    author: Annotated[str, typer.Option("--author", help="Name of who asks for it, as registered.")],
    key_file: KeyFile,
    settings: Settings = Path("hub.toml"),
    as_json: AsJson = False,
) -> None:
    """Publish the content of an earlier version under a new number; it waits for two other people."""
    with refusals():
        from index.acts import signer

        with office_of(settings) as (read, office, directory):
            who = signer(read, author, key_file)
            made, differences = _publishing(office, directory).rollback(who, number)
        _say_waiting(made, differences, as_json)


def approve(
    *,
    number: Number,
    approver: Annotated[str, typer.Option("--approver", help="Name of the approver, as registered.")],
    key_file: KeyFile,
    settings: Settings = Path("hub.toml"),
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Show the differences, then approve. The second approval puts the version in force."""
    with refusals():
        from index.acts import signer

        with office_of(settings) as (read, office, directory):
            who = signer(read, approver, key_file)
            publishing = _publishing(office, directory)
            shown = publishing.differences(number)
            if not as_json:
                typer.echo(differences_text(shown))
            if not yes:
                typer.confirm("Approve this?", abort=True, err=True)
            known = publishing.approve(who, shown)
        text = f"Version {number} is in force." if known.state == "active" else "One more person is needed."
        emit({**_told(known), "differences": _cells(shown)}, as_json, text)


def sign(
    *,
    number: Number,
    hub: Annotated[str, typer.Option("--hub", help="Id of the hub, as its officer's page shows it.")],
    hash_: Annotated[str, typer.Option("--hash", help="Hash of the version, as the page shows it.")],
    differences: Annotated[str, typer.Option("--differences", help="Digest of what the page showed.")],
    key_file: KeyFile,
    as_json: AsJson = False,
) -> None:
    """Sign the approval of a version that the officer's page shows. Offline: the key stays here."""
    with plainly():
        from nacl.signing import SigningKey

        from index.acts import spoken
        from index.policies import approval
        from index.protocol.codec import b64u
        from index.protocol.keyfile import read_key_file

        if not all(re.fullmatch(r"[0-9a-f]{64}", one) for one in (hash_, differences)):
            raise fail(
                "--hash and --differences are 64 hexadecimal digits each, copied from the page.", FAILED
            )
        key_of_person = SigningKey(read_key_file(key_file))
        signature = b64u(key_of_person.sign(spoken(hub, approval(number, hash_, differences))).signature)
        emit({"signature": signature}, as_json, signature)


def close(
    folder: Folder,
    approver: Annotated[str, typer.Option("--approver", help="Name of who closes, as registered.")],
    key_file: KeyFile,
    settings: Settings = Path("hub.toml"),
    as_json: AsJson = False,
) -> None:
    """Put a candidate that only closes in force at once. A second person approves within 24 hours."""
    with refusals():
        from index.acts import signer

        with office_of(settings) as (read, office, directory):
            who, candidate = signer(read, approver, key_file), _checked(folder, reachable=False)
            number, differences = _publishing(office, directory).close(who, candidate)
        text = (
            f"{differences_text(differences)}\nVersion {number} is in force. Unless another person approves "
            "it within 24 hours, it is reverted."
        )
        emit({"number": number, "differences": _cells(differences)}, as_json, text)


def versions(settings: Settings = Path("hub.toml"), as_json: AsJson = False) -> None:
    """Every version with its state, author and approvers."""
    with refusals():
        from index.acts import history, read_standing
        from index.policies import candidates

        with office_of(settings) as (_, office, _directory):
            with office.engine.connect().execution_options(reading=True) as connection:
                standing = read_standing(connection)
                acts = history(connection, office.keystore)
            known = candidates(acts, standing, int(datetime.now(UTC).timestamp()))
        found = [_told(one) for _, one in sorted(known.items())]
        stopped = standing.stopped if standing.stopped in known else 0
        lines = [
            f"{one['number']}: {one['state']}, {one['cause']}, author {one['author'] or '-'}, approved by "
            f"{', '.join(one['approvers']) or '-'}"
            for one in found
        ]
        if stopped:
            lines.append(f"Answers of version {stopped} are stopped: Cedar says otherwise than its table.")
        emit({"versions": found, "stopped": stopped}, as_json, "\n".join(lines))


def replayed(
    folder: Path,
    period: tuple[datetime, datetime | None],
    asked: tuple[Path, str, Path],
    *,
    as_json: bool,
) -> None:
    """`policy simulate --replay`: `asked` is settings, name and key file."""
    settings, name, key_file = asked
    with refusals():
        from index.acts import signer
        from index.registers import AMSTERDAM
        from index.replay import replay_at

        with office_of(settings) as (read, office, directory):
            who, candidate = signer(read, name, key_file), _checked(folder, reachable=False)
            begin, end = period
            instants = (
                begin.replace(tzinfo=AMSTERDAM),
                end.replace(tzinfo=AMSTERDAM) if end else office.clock(),
            )
            publishing = _publishing(office, directory)
            found = replay_at(publishing, directory, who, candidate, instants)
        emit(found, as_json, "\n".join(_replay_lines(found)))


def _replay_lines(found: Replayed) -> Iterator[str]:
    yield f"Opnieuw beslist: {_counted(found.decided)}. Niet na te gaan: {_counted(found.left_out)}."
    if not found.moved:
        yield "Nergens verandert er 10 keer of vaker iets."
    for one in found.moved:
        yield (
            f"{one.role}, {one.kind}: wel te zien en nu niet: {one.appear}; niet meer te zien: "
            f"{one.disappear}; niet na te gaan: {one.unknown}"
        )


def _counted(count: int | str) -> str:
    return f"{count} vragen"


def _checked(folder: Path, *, reachable: bool = True) -> Texts:
    """The candidate in a folder, or every reason against it with file and line, and exit code 1."""
    from policy.check import check
    from policy.content import ContentError, to_publish

    try:
        sources = to_publish(folder)
    except ContentError as error:
        raise fail(str(error), FAILED) from None
    found = check([folder], reachable=reachable).faults
    if found:
        raise fail("\n".join(map(str, found)), FAILED)
    return sources.texts()


def _publishing(office: Office, directory: Directory) -> Publishing:
    from index.app import organisation_classes
    from index.policies import Publishing

    return Publishing(office, organisation_classes(directory))


def _say_waiting(number: int, differences: Differences, as_json: bool) -> None:
    text = f"{differences_text(differences)}\nVersion {number} waits for two other people."
    emit({"number": number, "differences": _cells(differences)}, as_json, text)


def differences_text(differences: Differences) -> str:
    """What opens and closes, a line per role, kind, purpose and basis."""
    lines = []
    for word, cells in (("opens", differences.opened), ("closes", differences.closed)):
        named = sorted({(one.role, one.kind, one.purpose, one.basis) for one in cells})
        lines += [f"{word}: {', '.join(cell)}" for cell in named[:_SHOWN]]
        if len(named) > _SHOWN:
            lines.append(f"{word}: {len(named) - _SHOWN} more")
    return "\n".join(lines or ["No differences."])


def _cells(differences: Differences) -> dict[str, Any]:
    return {
        "base": differences.base,
        "opened": [one._asdict() for one in differences.opened],
        "closed": [one._asdict() for one in differences.closed],
    }


def _told(known: Candidate) -> dict[str, Any]:
    return {
        "number": known.number,
        "hash": known.hash.hex(),
        "state": known.state,
        "cause": known.cause,
        "base": known.base,
        "author": known.author,
        "approvers": list(known.approvers),
        "at": known.at,
    }
