"""`vlagwijzer bench`: figures of this machine, one JSON object a line."""

from typing import TYPE_CHECKING, Annotated

import typer

from .output import AsJson, emit, plainly

if TYPE_CHECKING:
    from deploy.measuring.figures import Figure

app = typer.Typer(no_args_is_help=True, help="Measure on this machine; one line per measurement.")

Engine = Annotated[str, typer.Option(help="sqlite or postgresql.", metavar="ENGINE")]
Flags = Annotated[int, typer.Option(min=0, max=20_000_000, help="Flags that the hub holds.")]
Concurrency = Annotated[int, typer.Option(min=1, max=256, help="Requests in flight.")]


@app.callback()
def bench() -> None:
    """Measure on this machine; one line per measurement."""


@app.command("lookup")
def lookup(  # noqa: PLR0917
    engine: Engine = "sqlite",
    flags: Flags = 100_000,
    concurrency: Concurrency = 8,
    seconds: Annotated[int, typer.Option(min=1, max=600, help="Of each round.")] = 5,
    rounds: Annotated[int, typer.Option(min=1, max=50)] = 3,
    as_json: AsJson = False,
) -> None:
    """Lookups at the hub with everything on, by turns with the reference of the same engine."""
    with plainly():
        from deploy.benchmarks import bench_lookup

        _print(bench_lookup(_known(engine), flags, concurrency, seconds, rounds), as_json, "lookups")


@app.command("publish")
def publish(
    engine: Engine = "sqlite",
    flags: Annotated[int, typer.Option(min=1000, max=10_000_000, help="Flags to publish.")] = 20_000,
    concurrency: Concurrency = 2,
    as_json: AsJson = False,
) -> None:
    """Publications in messages of 1,000 flags, already pseudonymised."""
    with plainly():
        from deploy.benchmarks import bench_publish

        _print(bench_publish(_known(engine), flags, concurrency), as_json, "flags")


@app.command("verify")
def verify(
    engine: Engine = "sqlite",
    entries: Annotated[int, typer.Option(min=1000, max=5_000_000, help="Entries in the log.")] = 20_000,
    as_json: AsJson = False,
) -> None:
    """An officer's check of the whole log, and a citizen's of 1,000 lines."""
    with plainly():
        from deploy.benchmarks import bench_verify

        _print(bench_verify(_known(engine), entries), as_json, "entries")


@app.command("pseudonymise")
def pseudonymise(
    count: Annotated[int, typer.Option(min=10, max=1_000_000, help="Persons.")] = 1000,
    rounds: Annotated[int, typer.Option(min=1, max=50)] = 1,
    as_json: AsJson = False,
) -> None:
    """Persons made into pseudonyms over HTTP, two of three key holder processes on loopback."""
    with plainly():
        from deploy.benchmarks import bench_pseudonymise

        _print(bench_pseudonymise(count, rounds), as_json, "persons")


def _known(engine: str) -> str:
    if engine not in ("sqlite", "postgresql"):
        raise typer.BadParameter("sqlite or postgresql", param_hint="--engine")
    return engine


def _print(figure: "Figure", as_json: bool, what: str) -> None:
    import msgspec

    text = (
        f"{figure.work} on {figure.engine}: {figure.rate:.0f} {what} a second "
        f"(p50 {figure.p50_ms} ms, p99 {figure.p99_ms} ms); "
        f"{figure.ratio} of the reference's {figure.reference:.0f} a second"
    )
    for name, value in figure.detail.items():
        text += f"\n  {name}: {value}"
    emit(msgspec.to_builtins(figure), as_json, text)
