"""`vlagwijzer keyholder`: serve one key holder."""

from pathlib import Path
from typing import Annotated

import typer

from .output import plainly

app = typer.Typer(no_args_is_help=True, help="One of the organisations that keep a share of the keys.")
Config = Annotated[Path, typer.Option("--config", help="Settings of this key holder (TOML).")]


@app.command("serve")
def serve_holder(config: Config = Path("keyholder.toml")) -> None:
    """Serve evaluations until interrupted."""
    with plainly():
        from deploy.processes import serve_keyholder

        serve_keyholder(config)
