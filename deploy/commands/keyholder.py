"""`vlagwijzer keyholder`: serve one key holder."""

from pathlib import Path
from typing import Annotated

import typer

from .output import AsJson, emit, plainly

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
