"""`vlagwijzer hub`: make, migrate and serve the hub; show the log's signed state."""

from pathlib import Path
from typing import Annotated

import typer

from .output import FAILED, AsJson, emit, plainly

app = typer.Typer(no_args_is_help=True, help="The hub: flags under pseudonyms, and the access log.")
Config = Annotated[Path, typer.Option("--config", help="Settings of the hub (TOML).")]


@app.command("serve")
def serve_hub(config: Config = Path("hub.toml")) -> None:
    """Serve the hub until interrupted."""
    with plainly():
        from deploy.processes import serve_hub as serve

        serve(config)


@app.command("init")
def init(
    rotation_public: Annotated[
        str, typer.Option(help="Public half of the offline rotation key: X25519, 32 bytes, base64url.")
    ],
    config: Config = Path("hub.toml"),
    as_json: AsJson = False,
) -> None:
    """Make the key store of a new hub. An existing one is never touched."""
    with plainly():
        from deploy.processes import init_hub

        made = init_hub(config, rotation_public)
        emit(made, as_json, "\n".join(f"{name}: {value}" for name, value in made.items()))


@app.command("migrate")
def migrate(config: Config = Path("hub.toml"), as_json: AsJson = False) -> None:
    """Bring the hub's database to the newest schema."""
    with plainly():
        from deploy.processes import migrate_hub

        at = migrate_hub(config)
        emit({"schema": at}, as_json, f"Schema is at {at}.")


@app.command("checkpoint")
def checkpoint(
    url: Annotated[str, typer.Option(help="Address of the hub.")] = "http://127.0.0.1:8444",
    as_json: AsJson = False,
) -> None:
    """Fetch the log's signed checkpoint as everybody may."""
    with plainly():
        from deploy.processes import fetch_checkpoint

        found = fetch_checkpoint(url)
        emit(found, as_json, str(found["note"]).rstrip())


@app.command("retention")
def retention(
    *,
    plan: Annotated[bool, typer.Option("--plan", help="Only show what is erased when.")] = False,
    pause: Annotated[str, typer.Option("--pause", help="Stop erasing, for a reason of the list.")] = "",
    resume: Annotated[bool, typer.Option("--resume", help="Erase again.")] = False,
    config: Config = Path("hub.toml"),
    as_json: AsJson = False,
) -> None:
    """Erase lines of the log past their term and destroy their keys. Exit code 1: some are left."""
    with plainly():
        from deploy.commands.policy_versions import refusals
        from deploy.officer_tools import retention as carry_out

        with refusals():
            found, text = carry_out(config, plan=plan, pause=pause, resume=resume)
        emit(found, as_json, text)
        if found.get("left"):
            raise typer.Exit(FAILED)
