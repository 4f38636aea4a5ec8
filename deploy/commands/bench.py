"""`vlagwijzer bench`: figures of this machine, one JSON object a line."""

from pathlib import Path
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
    concurrency: Annotated[
        str, typer.Option(help="Requests in flight; several with commas take turns: 1,8,32.")
    ] = "8",
    seconds: Annotated[float, typer.Option(min=0.2, max=600, help="Of each round.")] = 3,
    rounds: Annotated[int, typer.Option(min=1, max=200)] = 7,
    keep: Annotated[
        Path | None, typer.Option(help="Folder where the filled database stays; with more flags it grows.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Lookups at the hub with everything on, by turns with the reference of the same engine."""
    with plainly():
        from deploy.measuring.lookups import bench_lookup

        for figure in bench_lookup(_known(engine), flags, _numbers(concurrency), seconds, rounds, keep=keep):
            _print(figure, as_json, "lookups")


@app.command("visit")
def visit(
    count: Annotated[int, typer.Option(min=1, max=100_000, help="Visits to open, then to look in.")] = 200,
    persons: Annotated[int, typer.Option(min=1, max=8, help="Persons of each visit.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Opening a visit and one lookup in it, seen from the node: real node, key holders and hub, grid off."""
    with plainly():
        from deploy.measuring.visits import bench_visit

        for figure in bench_visit(count, persons):
            _print(figure, as_json, "calls")


@app.command("start")
def start(
    rounds: Annotated[int, typer.Option(min=1, max=50)] = 3,
    demo: Annotated[bool, typer.Option(help="The whole demo too, until its first page.")] = True,
    as_json: AsJson = False,
) -> None:
    """How long until `hub serve`, and `demo`, answer; and the hub's memory then."""
    with plainly():
        from deploy.measuring.starting import bench_start

        for figure in bench_start(rounds, demo):
            _print(figure, as_json, "starts")


@app.command("decide")
def decide(
    rounds: Annotated[int, typer.Option(min=1, max=10_000)] = 30,
    rules: Annotated[
        str, typer.Option(help="So many rules; several with commas: 10,100,1000. 0: the packaged ones.")
    ] = "0",
    as_json: AsJson = False,
) -> None:
    """Each step of publishing rules; then one decision over all kinds, from the table and Cedar by turns."""
    with plainly():
        from deploy.measuring.deciding import bench_decide

        counts = [0] if rules == "0" else _numbers(rules, least=4, most=5000, option="--rules")
        for count in counts:
            _print(bench_decide(rounds, count), as_json, "decisions")


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
    entries: Annotated[int, typer.Option(min=100, max=5_000_000, help="Entries in the log.")] = 20_000,
    rounds: Annotated[int, typer.Option(min=1, max=50)] = 3,
    as_json: AsJson = False,
) -> None:
    """An officer's check of the whole log, and a citizen's of 1,000 lines."""
    with plainly():
        from deploy.benchmarks import bench_verify

        _print(bench_verify(_known(engine), entries, rounds), as_json, "entries")


@app.command("log")
def log(
    answers: Annotated[int, typer.Option(min=64, max=1_000_000, help="Answers per round.")] = 1024,
    rounds: Annotated[int, typer.Option(min=1, max=50)] = 5,
    tall: Annotated[int, typer.Option(min=1000, max=20_000_000, help="Leaves of the tall tree.")] = 1_000_000,
    as_json: AsJson = False,
) -> None:
    """Answers logged with and without the tree, proofs in a tall tree, bytes per entry."""
    with plainly():
        from deploy.benchmarks import bench_log

        _print(bench_log(answers, rounds, tall), as_json, "answers")


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


@app.command("import")
def import_(
    rows: Annotated[int, typer.Option(min=100, max=1_000_000, help="Persons in the list.")] = 100_000,
    source: Annotated[str, typer.Option(help="csv or sql.")] = "csv",
    as_json: AsJson = False,
) -> None:
    """A first delivery of a whole list, through three key holders on loopback, with the memory it took."""
    if source not in ("csv", "sql"):
        raise typer.BadParameter("csv or sql", param_hint="--source")
    with plainly():
        from deploy.measuring.importing import bench_import

        _print(bench_import(rows, source), as_json, "rows")


@app.command("reconcile")
def reconcile(
    flags: Annotated[int, typer.Option(min=1000, max=5_000_000, help="Flags of one source.")] = 1_000_000,
    differences: Annotated[int, typer.Option(min=2, max=10_000)] = 100,
    rounds: Annotated[int, typer.Option(min=1, max=20)] = 3,
    as_json: AsJson = False,
) -> None:
    """A heartbeat over all flags of a source that finds and repairs differences; bytes on the wire."""
    with plainly():
        from deploy.measuring.importing import bench_reconcile

        _print(bench_reconcile(flags, differences, rounds), as_json, "flags compared")


def _known(engine: str) -> str:
    if engine not in ("sqlite", "postgresql"):
        raise typer.BadParameter("sqlite or postgresql", param_hint="--engine")
    return engine


def _numbers(text: str, *, least: int = 1, most: int = 256, option: str = "--concurrency") -> list[int]:
    found = [int(part) if part.isdecimal() else 0 for part in text.split(",")]
    if not all(least <= number <= most for number in found):
        raise typer.BadParameter(f"numbers from {least} to {most} with commas between", param_hint=option)
    return list(dict.fromkeys(found))


def _print(figure: "Figure", as_json: bool, what: str) -> None:
    import msgspec

    text = (
        f"{figure.work} on {figure.engine}, {figure.flags} stored, {figure.concurrency} in flight: "
        f"{figure.rate:.0f} {what} a second "
        f"(p50 {figure.p50_ms} ms, p99 {figure.p99_ms} ms); "
        f"{figure.ratio} of the reference's {figure.reference:.0f} a second"
    )
    for name, value in figure.detail.items():
        text += f"\n  {name}: {value}"
    emit(msgspec.to_builtins(figure), as_json, text)


@app.command("breach")
def breach(
    engine: Engine = "sqlite",
    entries: Annotated[int, typer.Option(min=100, max=5_000_000, help="Entries in the log.")] = 20_000,
    as_json: AsJson = False,
) -> None:
    """Who saw what of whom, over a log that is all one employee's: the worst case of a breach."""
    with plainly():
        from deploy.benchmarks import bench_breach

        _print(bench_breach(_known(engine), entries), as_json, "entries")
