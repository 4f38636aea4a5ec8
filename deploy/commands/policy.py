"""`vlagwijzer policy`: what rules and vocabulary allow, before anybody is served by them.

A candidate is read from files, the packaged data is the default, and what comes
out is printed. Only `simulate --replay` touches a hub: it reads its log.
"""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from .output import FAILED, WRONG_USE, AsJson, emit, fail, plainly

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


@app.command("matrix")
def matrix(
    candidate: Candidate = None,
    profile: OneProfile = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="The page docs/policy-matrix.md.")] = False,
    as_json: AsJson = False,
) -> None:
    """Roles by kinds per profile, with the legal bases, and marks for mandate and convenant."""
    with plainly():
        from policy.matrix import as_page, as_rows, as_text, published
        from policy.matrix import matrix as matrix_of

        content = _content(candidate)
        profiles = _profiles(content, profile)
        version = published(content, profiles)
        found = [matrix_of(version, code) for code in profiles]
        text = "\n\n".join(as_text(version.vocabulary, one) for one in found)
        if markdown:
            text = as_page(version).rstrip("\n")
        emit([row for one in found for row in as_rows(version.vocabulary, one)], as_json, text)


@app.command("explain")
def explain(  # noqa: PLR0917
    role: Annotated[str, typer.Option(help="Code of the role.")],
    kind: Annotated[str, typer.Option(help="Code of the kind.")],
    purpose: Annotated[str, typer.Option(help="Code of the purpose.")],
    profile: Annotated[str, typer.Option(help="Code of the profile.")] = "basis",
    organisation_class: Annotated[
        str | None,
        typer.Option("--organisation-class", help="Absent: zorgverzekeraar for extern_zorg, else gemeente."),
    ] = None,
    consent: Annotated[str, typer.Option(help="grant, deny or none.")] = "none",
    explicit: Annotated[bool, typer.Option("--explicit", help="The yes is an explicit one.")] = False,
    objection: Annotated[str, typer.Option(help="none, pending, rejected or upheld.")] = "none",
    restricted: Annotated[bool, typer.Option("--restricted", help="A restriction is in force.")] = False,
    case: Annotated[bool, typer.Option("--case/--no-case", help="An active case relation.")] = True,
    break_glass: Annotated[bool, typer.Option("--break-glass", help="Danger was declared.")] = False,
    others_at_risk: Annotated[
        bool, typer.Option("--others-at-risk", help="Somebody else is at risk.")
    ] = False,
    incapable: Annotated[bool, typer.Option("--incapable", help="The citizen cannot decide.")] = False,
    convenant: Annotated[bool, typer.Option("--convenant", help="A convenant is in force.")] = False,
    mandate: Annotated[
        list[str] | None, typer.Option(help="An act in the mandate register; repeatable.")
    ] = None,
    rules: Rules = None,
    as_json: AsJson = False,
) -> None:
    """Which row and rule decide for a role and a kind, in Dutch, and why not. Never about a person."""
    with plainly():
        from typing import get_args

        from policy.decide import Asker, Circumstances, Consent, KindState, Objection
        from policy.explain import explain as explain_cell
        from policy.explain import in_words
        from policy.matrix import published
        from policy.vocabulary import UnknownCode

        if consent not in get_args(Consent) or objection not in get_args(Objection):
            raise fail(
                "consent is grant, deny or none; objection none, pending, rejected or upheld", WRONG_USE
            )
        content = _content(rules)
        words = content.vocabulary
        default = "zorgverzekeraar" if role == "extern_zorg" else "gemeente"
        asker = Asker(
            role, organisation_class or default, profile, purpose, convenant, frozenset(mandate or ())
        )
        state = KindState(consent, explicit, restricted, objection)  # type: ignore[arg-type]
        try:
            for act in asker.mandate:
                words.mandate_act(act)
            words.profile(profile)
            version = published(content, (profile,))
            found = explain_cell(
                version,
                asker,
                words.kind(kind),
                state,
                Circumstances(case, break_glass, others_at_risk, incapable),
            )
        except UnknownCode as error:
            raise fail(str(error), WRONG_USE) from None
        emit(found, as_json, in_words(version, asker, words.kind(kind), found))


@app.command("simulate")
def simulate(
    candidate: Annotated[list[Path], typer.Argument(help="Folders or files of the candidate.")],
    against: Annotated[
        list[Path] | None, typer.Option("--against", help="What it is compared with. Absent: packaged.")
    ] = None,
    profile: OneProfile = None,
    *,
    replay: Annotated[
        bool,
        typer.Option("--replay", help="Decide recorded questions again: how many differ."),
    ] = False,
    begin: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First day, Europe/Amsterdam.")
    ] = None,
    end: Annotated[
        datetime | None,
        typer.Option("--until", formats=["%Y-%m-%d"], help="Up to 00:00 of this day; absent: now."),
    ] = None,
    by: Annotated[str, typer.Option("--by", help="Name of who asks, as registered in [approvers].")] = "",
    key_file: Annotated[Path | None, typer.Option("--key", help="Own key file of this person.")] = None,
    settings: Annotated[Path, typer.Option(help="Settings of the hub (TOML).")] = Path("hub.toml"),
    as_json: AsJson = False,
) -> None:
    """What a candidate opens and closes: exactly, with an example, and cell by cell in Dutch.

    With --replay: at a hub, in how many recorded questions a view would appear or disappear.
    """
    if replay:
        from .policy_versions import replayed

        if begin is None or key_file is None or not by or against or profile or len(candidate) != 1:
            raise fail(
                "--replay needs one folder, --from, --by and --key, and neither --against nor --profile",
                WRONG_USE,
            )
        replayed(candidate[0], (begin, end), (settings, by, key_file), as_json=as_json)
        return
    with plainly():
        from policy.difference import counted, difference, in_words
        from policy.proof.properties import request_in_words

        new, old = _content(candidate), _content(against)
        found = difference(old, new, _profiles(new, profile) if profile else ())
        sentences = in_words(old.vocabulary, new.vocabulary, found.changes)
        examples = {
            "gained": {code: request_in_words(new.vocabulary, one) for code, one in found.gained.items()},
            "lost": {code: request_in_words(old.vocabulary, one) for code, one in found.lost.items()},
        }
        result = {
            "change": not found.nothing,
            "changes": found.changes,
            "sentences": sentences,
            "grouped": counted(found.changes),
            "examples": examples,
            "profilesAdded": found.profiles_added,
            "profilesRemoved": found.profiles_removed,
        }
        emit(result, as_json, "\n".join(_change_lines(result)))


def _change_lines(result: dict[str, Any]) -> list[str]:
    from policy.difference import SORTS

    if not result["change"]:
        return ["Geen verandering: niemand ziet meer of minder."]
    lines = [f"Nieuw profiel: {code}." for code in result["profilesAdded"]]
    lines += [f"Vervallen profiel: {code}." for code in result["profilesRemoved"]]
    lines += [f"Voorbeeld, nu wel [{code}]: {one}" for code, one in result["examples"]["gained"].items()]
    lines += [f"Voorbeeld, niet meer [{code}]: {one}" for code, one in result["examples"]["lost"].items()]
    lines += result["sentences"]
    for axis, title in (("role", "Per functie"), ("kind", "Per onderwerp")):
        for code, counts in result["grouped"][axis].items():
            told = ", ".join(f"{SORTS[sort]} {count}" for sort, count in counts.items())
            lines.append(f"{title}: {code}: {told}")
    return lines


@app.command("cases")
def cases(
    file: Annotated[Path, typer.Argument(help="Worked cases (JSON).", exists=True, dir_okay=False)],
    rules: Rules = None,
    as_json: AsJson = False,
) -> None:
    """Decide worked cases with the real engine; every difference is named with the row that decided."""
    with plainly():
        from consent.cases import CasesError, run
        from policy.engine import publish

        content = _content(rules)
        version = publish(
            content.vocabulary,
            version=1,
            profiles=content.profiles,
            written=content.written,
            organisation_classes=("gemeente", "zorgverzekeraar"),
        )
        try:
            results = run(file, version)
        except CasesError as error:
            raise fail(f"{file}: {error}", WRONG_USE) from None
        wrong = [result for result in results if not result.holds]
        found = {
            "cases": len(results),
            "differences": [
                {"id": one.id, "story": one.story, "expected": one.expected, "got": one.got, "rule": one.rule}
                for one in wrong
            ],
        }
        lines = [
            f"{one.id}: expected {_told(one.expected)}, got {_told(one.got)}"
            f"{f' by rule {one.rule}' if one.rule else ''}. {one.story}"
            for one in wrong
        ]
        emit(found, as_json, "\n".join([*lines, f"{len(results)} cases, {len(wrong)} differences."]))
        if wrong:
            raise typer.Exit(FAILED)


def _told(outcome: tuple[bool, str | None, int]) -> str:
    visible, basis, row = outcome
    return f"{'visible' if visible else 'hidden'} on row {row}{f' ({basis})' if basis else ''}"


@app.command("notices")
def notices(  # noqa: PLR0917
    what: Annotated[
        str, typer.Option("--what", help="letters, register (AVG 30) or dpia (the annex).")
    ] = "letters",
    form: Annotated[str, typer.Option("--as", help="text, markdown or html (letters only).")] = "text",
    kind: Annotated[str | None, typer.Option(help="One kind. Absent: every one.")] = None,
    profile: Annotated[str, typer.Option(help="Whose roles are the receivers.")] = "basis",
    controller: Annotated[str, typer.Option(help="Name of the organisation that is responsible.")] = "",
    contact: Annotated[str, typer.Option(help="Its address, telephone or e-mail.")] = "",
    dpo: Annotated[str, typer.Option(help="Data protection officer (FG), with contact.")] = "",
    website: Annotated[str, typer.Option(help="Where citizens see their own page.")] = "",
    rules: Rules = None,
    as_json: AsJson = False,
) -> None:
    """Letters to citizens (AVG 13/14), the register (AVG 30) and the DPIA annex, from the vocabulary."""
    with plainly():
        from policy import notices as made
        from policy.matrix import published

        if what not in ("letters", "register", "dpia") or form not in ("text", "markdown", "html"):
            raise fail("--what is letters, register or dpia; --as is text, markdown or html", WRONG_USE)
        content = _content(rules)
        (chosen,) = _profiles(content, profile)
        if kind is not None and not content.vocabulary.has_kind(kind):
            raise fail("no such kind in the vocabulary", WRONG_USE)
        version = published(content, (chosen,))
        organisation = made.Organisation(controller, contact, dpo, website)
        if what == "letters":
            letters = [one for one in made.notices(version, organisation, chosen) if kind in (None, one.kind)]
            printed = {"text": made.as_text, "markdown": made.as_markdown, "html": made.as_html}[form]
            emit(
                {"blanks": made.blanks(organisation), "notices": letters},
                as_json,
                "\n\n".join(printed(one) for one in letters),
            )
            return
        rows = [row for row in made.register(version, organisation, chosen) if kind in (None, row.kind)]
        title = "Register van verwerkingen (AVG 30)" if what == "register" else "Bijlage bij de DPIA (AVG 35)"
        emit(
            {"blanks": made.blanks(organisation), "rows": rows},
            as_json,
            made.register_markdown(rows, title=title),
        )


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
        raise fail(f"no such profile; there are {', '.join(content.profiles)}", WRONG_USE)
    return (chosen,)
