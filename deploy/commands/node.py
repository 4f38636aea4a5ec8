"""`vlagwijzer node`: serve a node, and work with its outbox, flags and keys of calling systems."""

from pathlib import Path
from typing import Annotated

import typer

from .output import plainly

app = typer.Typer(no_args_is_help=True, help="The process at an organisation: source, desk or portal.")
Config = Annotated[Path, typer.Option("--config", help="Settings of this node (TOML).")]


@app.command("serve")
def serve_node(config: Config = Path("node.toml")) -> None:
    """Serve this node's API and pages, and send what waits, until interrupted."""
    with plainly():
        from deploy.processes import serve_node as serve

        serve(config)
