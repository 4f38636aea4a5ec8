"""`vlagwijzer demo`: the whole federation on this machine, with invented people."""

from pathlib import Path
from typing import Annotated

import typer

from .output import FAILED, AsJson, emit, fail, plainly

app = typer.Typer(help="The whole federation on this machine, with invented people.")
Data = Annotated[
    Path | None, typer.Option("--data", help="Keep everything in this folder, for a next start.")
]
PORT_BASE = 8600


@app.callback(invoke_without_command=True)
def demo(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Run one complete story, and stop.")] = False,
    as_json: AsJson = False,
    port_base: Annotated[
        int, typer.Option("--port-base", help="First of the 30 ports used.", min=1024, max=65000)
    ] = PORT_BASE,
    data: Data = None,
) -> None:
    """Start hub, key holders, nodes and pages; feed them; say where to click. Ctrl-C ends everything."""
    if context.invoked_subcommand is not None:
        return
    import sys

    with plainly():
        from deploy.demo import describe
        from deploy.demo.launcher import keep_running, running

        def say(line: str) -> None:
            print(line, file=sys.stderr if as_json or once else sys.stdout, flush=True)

        try:
            with running(data, port_base, say) as (papers, fleet):
                if once:
                    from deploy.demo.story import tell

                    if not tell(papers, fleet, as_json):
                        raise typer.Exit(FAILED)
                else:
                    emit(describe.description(papers) if as_json else None, as_json, describe.text(papers))
                    keep_running(fleet)
        except KeyboardInterrupt:
            say("Gestopt.")


@app.command("token")
def token(
    person: Annotated[str, typer.Argument(help="A name from `people` of `demo --json`.")],
    data: Annotated[Path, typer.Option("--data", help="Folder of the running demo.")],
    as_json: AsJson = False,
) -> None:
    """Print a fresh employee token of a person of the running demo, for `Authorization: Bearer`."""
    with plainly():
        from deploy.demo.people import PersonUnknown, employee_token

        try:
            fresh = employee_token(person, data)
        except PersonUnknown as error:
            raise fail(str(error), FAILED) from None
        emit({"token": fresh}, as_json, fresh)
