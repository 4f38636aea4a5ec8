"""`vlagwijzer bench`: figures of this machine, one JSON object a line."""

from typing import Annotated

import typer

from .output import AsJson, emit, plainly

app = typer.Typer(no_args_is_help=True, help="Measure on this machine; one line per measurement.")


@app.callback()
def bench() -> None:
    """Measure on this machine; one line per measurement."""


@app.command("pseudonymise")
def pseudonymise(
    count: Annotated[
        int, typer.Option(min=10, max=100_000, help="Inputs in one batch at most 1,000.")
    ] = 1000,
    rounds: Annotated[int, typer.Option(min=1, max=50)] = 3,
    as_json: AsJson = False,
) -> None:
    """All parties' cryptography of pseudonymisation, 2 of 3 holders, in one thread and without network."""
    with plainly():
        from deploy.benchmarks import bench_pseudonymise

        found = bench_pseudonymise(count, rounds)
        emit(found, as_json, f"{found['rate']:.0f} inputs a second; {1e6 / found['rate']:.0f} µs each")
