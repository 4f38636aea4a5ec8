"""`vlagwijzer policy`: check the vocabulary and the rules made from it."""

from pathlib import Path
from typing import Annotated

import typer

from .output import FAILED, AsJson, emit, fail, plainly

app = typer.Typer(no_args_is_help=True, help="Who may see what, and why.")


@app.command("check")
def check(
    vocabulary: Annotated[Path | None, typer.Option(help="Absent: the packaged one.")] = None,
    as_json: AsJson = False,
) -> None:
    """Load the vocabulary, validate the rules strictly and fill the decision table, as publication does."""
    with plainly():
        from policy.engine import PublishError, publish
        from policy.vocabulary import load_vocabulary

        words = load_vocabulary(vocabulary)
        try:
            version = publish(words, version=1)
        except PublishError as error:
            raise fail(str(error), FAILED) from None
        found = {
            "kinds": len(words.kinds),
            "roles": len(words.roles),
            "rules": len(version.rules),
            "hash": version.hash.hex(),
        }
        summary = f"{found['kinds']} kinds, {found['roles']} roles, {found['rules']} rules: all fit."
        emit(found, as_json, f"{summary}\n{found['hash']}")
