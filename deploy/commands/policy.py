"""`vlagwijzer policy`: what rules and vocabulary allow, before anybody is served by them.

Nothing here touches a hub: a candidate is read from files, the packaged data is
the default, and what comes out is printed.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from .output import FAILED, AsJson, emit, fail, plainly

app = typer.Typer(no_args_is_help=True, help="Who may see what, and why.")

Candidate = Annotated[
    list[Path] | None,
    typer.Argument(help="Folders or files: vocabulary.toml, forbids.cedar, other *.cedar. Absent: packaged."),
]
Rules = Annotated[
    list[Path] | None,
    typer.Option("--rules", help="Folder or file of a candidate; repeatable. Absent: packaged."),
]
OneProfile = Annotated[str | None, typer.Option("--profile", help="Absent: every profile.")]


@app.command("check")
def check(
    candidate: Candidate = None,
    vocabulary: Annotated[Path | None, typer.Option(help="A vocabulary file; the same as naming it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Refuse a candidate with file, line and reason of everything that is wrong with it."""
    with plainly():
        from policy.check import check, summary

        checked = check([*(candidate or []), *([vocabulary] if vocabulary else [])])
        found = summary(checked)
        lines = [str(fault) for fault in checked.faults]
        if checked.version is None:
            lines.append(f"{len(lines)} found. This candidate cannot be published.")
        else:
            lines = [
                f"{found['kinds']} kinds, {found['roles']} roles, {found['rules']} rules: all fit.",
                found["hash"],
            ]
        emit(found, as_json, "\n".join(lines))
        if checked.version is None:
            raise typer.Exit(FAILED)


@app.command("prove")
def prove(candidate: Candidate = None, profile: OneProfile = None, as_json: AsJson = False) -> None:
    """Prove P1 to P12 for every profile, or give a counterexample; P13 is reported only."""
    with plainly():
        from policy.proof.properties import PROPERTIES, holds, in_words
        from policy.proof.properties import prove as prove_rules

        content = _content(candidate)
        profiles = _profiles(content, profile)
        proofs = prove_rules(content.vocabulary, content.rules(profiles), profiles)
        found = {
            "holds": holds(proofs),
            "properties": PROPERTIES,
            "proofs": [
                {
                    "property": one.code,
                    "profile": one.profile,
                    "required": one.required,
                    "holds": one.holds,
                    "milliseconds": round(one.seconds * 1000, 1),
                    "counterexample": in_words(content.vocabulary, one.counterexample)
                    if one.counterexample
                    else None,
                    "request": one.counterexample.request if one.counterexample else None,
                }
                for one in proofs
            ],
        }
        emit(found, as_json, "\n".join(_proof_lines(content.vocabulary, proofs)))
        if not found["holds"]:
            raise typer.Exit(FAILED)


def _proof_lines(vocabulary: Any, proofs: list[Any]) -> list[str]:
    from policy.proof.properties import PROPERTIES, in_words

    lines = []
    for code, sentence in PROPERTIES.items():
        of_code = [proof for proof in proofs if proof.code == code]
        broken = [proof for proof in of_code if not proof.holds]
        verdict = f"bewezen voor {len(of_code)} profielen" if not broken else "GELDT NIET"
        if broken and not broken[0].required:
            verdict = f"bewezen voor {len(of_code) - len(broken)} van {len(of_code)} profielen (hoeft niet)"
        lines.append(f"{code:<4} {verdict}: {sentence}")
        lines += [
            f"       profiel {one.profile}: {in_words(vocabulary, one.counterexample)}" for one in broken
        ]
    return lines


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


def _content(paths: list[Path] | None) -> Any:
    """A candidate that loads, or one line per reason and exit code 1."""
    from policy.content import ContentError, load_content

    try:
        return load_content(paths or [])
    except ContentError as error:
        raise fail(str(error), FAILED) from None


def _profiles(content: Any, chosen: str | None) -> tuple[str, ...]:
    if chosen is None:
        return tuple(content.profiles)
    if chosen not in content.profiles:
        raise typer.BadParameter(f"no such profile; there are {', '.join(content.profiles)}")
    return (chosen,)
