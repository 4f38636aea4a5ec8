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


@app.command("cases")
def cases(
    file: Annotated[Path, typer.Argument(help="Worked cases (JSON).", exists=True, dir_okay=False)],
    as_json: AsJson = False,
) -> None:
    """Decide worked cases with the real engine; every difference is named with the row that decided."""
    with plainly():
        from consent.cases import run
        from policy.engine import publish
        from policy.vocabulary import load_vocabulary

        words = load_vocabulary()
        version = publish(words, version=1, profiles=tuple(profile.code for profile in words.profiles))
        results = run(file, version)
        wrong = [result for result in results if not result.holds]
        found = {
            "cases": len(results),
            "differences": [
                {"id": one.id, "story": one.story, "expected": one.expected, "got": one.got} for one in wrong
            ],
        }
        lines = [f"{one.id}: expected {one.expected}, got {one.got}. {one.story}" for one in wrong]
        emit(found, as_json, "\n".join([*lines, f"{len(results)} cases, {len(wrong)} differences."]))
        if wrong:
            raise typer.Exit(FAILED)
