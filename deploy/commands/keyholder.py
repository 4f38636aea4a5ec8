"""`vlagwijzer keyholder`: serve one key holder."""

from pathlib import Path
from typing import Annotated

import typer

from .output import FAILED, AsJson, emit, fail, plainly

app = typer.Typer(no_args_is_help=True, help="One of the organisations that keep a share of the keys.")
Config = Annotated[Path, typer.Option("--config", help="Settings of this key holder (TOML).")]


@app.command("serve")
def serve_holder(config: Config = Path("keyholder.toml")) -> None:
    """Serve evaluations until interrupted."""
    with plainly():
        from deploy.processes import serve_keyholder

        serve_keyholder(config)


@app.command("init")
def init(config: Config = Path("keyholder.toml"), as_json: AsJson = False) -> None:
    """Make the counter store of a new key holder; one that exists is never touched."""
    with plainly():
        from nodes.keyholder import store
        from nodes.keyholder.settings import KeyHolderSettings

        settings = KeyHolderSettings.load(config)
        store.create(settings.database)
        emit({"database": str(settings.database)}, as_json, f"{settings.database} is made, empty.")


directory = typer.Typer(no_args_is_help=True, help="Sign the next directory, and put a signed one in force.")
app.add_typer(directory, name="directory")


@directory.command("sign")
def sign_directory(
    *,
    draft: Annotated[Path, typer.Argument(help="Draft, as the hub gave it.", exists=True, dir_okay=False)],
    out: Annotated[Path, typer.Option("--out", help="Copy with this holder's signature.")],
    yes: Annotated[bool, typer.Option("--yes", help="The differences were read; do not ask again.")] = False,
    config: Config = Path("keyholder.toml"),
    as_json: AsJson = False,
) -> None:
    """Show what differs from the directory in force here, and sign the draft."""
    with plainly():
        from deploy.holder_tools import sign_draft

        version, lines, sign = sign_draft(config, draft)
        typer.echo("\n".join(lines), err=True)
        if not yes:
            typer.confirm("Sign this as key holder?", abort=True, err=True)
        if out.exists():
            raise fail(f"{out} is there already; it is not overwritten.", FAILED)
        out.write_bytes(sign())
        text = f"Version {version} is signed, in {out}."
        emit({"version": version, "differences": lines, "file": str(out)}, as_json, text)


@directory.command("install")
def install_directory(
    file: Annotated[Path, typer.Argument(help="Directory that t holders signed.", exists=True)],
    config: Config = Path("keyholder.toml"),
    as_json: AsJson = False,
) -> None:
    """Put a directory in force here that enough holders signed; restart the key holder after it."""
    with plainly():
        from deploy.holder_tools import install

        version = install(config, file)
        emit({"version": version}, as_json, f"Version {version} is in force at the next start.")
