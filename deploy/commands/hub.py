"""`vlagwijzer hub`: make, migrate and serve the hub; show the log's signed state."""

from pathlib import Path
from typing import Annotated

import typer

from .output import AsJson, emit, plainly

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
