"""The `vlagwijzer` command: one program with a part per process.

Each part imports its process only when a command of it runs, so `--help` is
quick. A burgerservicenummer is read from standard input or a file and never
taken as an argument: arguments are seen by every user of the machine.

Source: docs/design/design.md, "Interfaces"; exit codes in `commands.output`.
"""

import typer

from .commands import (
    bench,
    demo,
    hub,
    hub_organisations,
    hub_registers,
    keyholder,
    log,
    node,
    node_sources,
    policy,
    policy_versions,
    receipt,
)
from .commands.output import EXIT_CODES

app = typer.Typer(
    name="vlagwijzer",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="That somebody is known, never what is in the dossier.",
    epilog=EXIT_CODES,
)
policy_versions.add_to(policy.app)
hub_registers.add_to(hub.app)
hub_organisations.add_to(hub.app)
node_sources.add_to(node.app)
app.add_typer(demo.app, name="demo")
app.add_typer(hub.app, name="hub")
app.add_typer(node.app, name="node")
app.add_typer(keyholder.app, name="keyholder")
app.add_typer(policy.app, name="policy")
app.add_typer(receipt.app, name="receipt")
app.add_typer(log.app, name="log")
app.add_typer(bench.app, name="bench")

if __name__ == "__main__":
    app()
