"""Everything that is wrong with a candidate, with file, line and reason.

    1. the vocabulary loads: every field, and what entries say of each other
    2. the schema is the one that the engine asks with
    3. each rule is Cedar, has one @id, and stays within the house subset
    4. each rule fits the schema strictly, so that no forbid can err
    5. each role, kind and word that a rule names exists
    6. each rule can be said in Dutch
    7. a permit is for a role, kind and purpose that a node asks for
    8. every kind that a role lists can be reached, switches and mandates aside
    9. Cedar answers every cell

Steps 6 to 9 need what comes before them and are left out until that is mended.
Whether P1 to P13 hold is `proof.properties.prove`.

Source: docs/design/policy-and-consent.md, "Publishing a version".
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cedarpy
import z3  # type: ignore[import-untyped]

from .cedar_text import Statement, tokens
from .content import Content, ContentError, Fault, Sources, Written, read_sources, vocabulary_faults
from .decide import scopes_for
from .engine import PolicyVersion, PublishError, publish
from .proof.world import World
from .rules import Rule, RuleError, rules_of, schema_text, syntax_of
from .sentences import CONSENT_WORDS, OBJECTION_WORDS, Unsayable, said, say
from .subset import TEXTS, outside, tests_of
from .vocabulary import Vocabulary, codes_in, parse_vocabulary

Codes = Mapping[str, set[str]]
"""The codes of each table of a vocabulary file, also of one that does not load."""

_TABLES = {
    "organisationClass": "organisation",
    "profile": "profile",
    "domain": "scope",
    "purpose": "purpose",
    "basis": "basis",
}
_SKIPPED = "Cedar skips a forbid that errs, and the answer would be a yes"


@dataclass(frozen=True, slots=True)
class Checked:
    """`version` is there exactly when nothing is wrong."""

    faults: tuple[Fault, ...]
    content: Content | None = None
    version: PolicyVersion | None = None


def check(paths: Sequence[Path], *, reachable: bool = True) -> Checked:
    """Look at a candidate, or at what is packaged when no path is given.

    Args:
        reachable: Step 8. An emergency closing does without: it closes what roles still list.
    """
    try:
        sources = read_sources(paths)
    except ContentError as error:
        return Checked(error.faults)
    faults = vocabulary_faults(sources.vocabulary)
    vocabulary = None if faults else parse_vocabulary(sources.vocabulary.text)
    faults += _schema_faults(sources)
    written = sources.written()
    faults += _rule_faults(written, codes_in(sources.vocabulary.text))
    if faults or vocabulary is None:
        return Checked(tuple(sorted(faults, key=lambda fault: (fault.file, fault.line))))
    content = Content(vocabulary, tuple(one.statement.text for one in written))
    faults += _whole_faults(sources, content, written, reachable=reachable)
    if faults:
        return Checked(tuple(faults), content)
    try:
        version = publish(vocabulary, version=1, written=content.written)
    except PublishError as error:
        return Checked((Fault(sources.vocabulary.name, 0, str(error)),), content)
    return Checked((), content, version)


# --- 2 to 5. text ------------------------------------------------------------------------


def _schema_faults(sources: Sources) -> Iterator[Fault]:
    """Users, kinds and contexts are made by the engine: another schema would fit none of them."""
    if sources.schema is None:
        return
    given, packaged = list(tokens(sources.schema.text)), list(tokens(schema_text()))
    for ours, theirs in zip(packaged, given, strict=False):
        if ours.text != theirs.text:
            reason = f"`{theirs.text}` is not what the engine asks with (`{ours.text}`)"
            yield Fault(sources.schema.name, theirs.line, reason)
            return
    if len(given) != len(packaged):
        line = given[-1].line if given else 0
        yield Fault(sources.schema.name, line, "more or less than the schema that the engine asks with")


def _rule_faults(written: Sequence[Written], codes: Codes) -> Iterator[Fault]:
    schema = cedarpy.Schema.from_str(schema_text())
    seen: dict[str, Written] = {}
    for one in written:
        if one.id and one.id in seen:
            other = seen[one.id]
            reason = f"rule {one.id} stands at {other.file}:{other.statement.line} too"
            yield Fault(one.file, one.statement.line, reason)
        seen.setdefault(one.id, one)
        yield from _faults_of(one, codes, schema)


def _faults_of(one: Written, codes: Codes, schema: cedarpy.Schema) -> Iterator[Fault]:
    name = f"rule {one.id}" if one.id else "a rule"

    def fault(reason: str, *near: str) -> Fault:
        return Fault(one.file, one.statement.line_of(*near), f"{name}: {reason}")

    if not one.id:
        yield fault("it must begin with an @id")
    try:
        policy = syntax_of(one.statement.text, name)
    except RuleError as error:
        yield fault(str(error).partition(name + " ")[2] or str(error), *_named_in(str(error), one.statement))
        return
    found = outside(policy)
    for item in found:
        yield fault(item.reason, item.token)
    if not found:
        result = cedarpy.validate_policies(one.statement.text, schema)
        for message in dict.fromkeys(str(error.error) for error in result.errors):
            told = re.sub(r"^for policy `[^`]*`, ", "", message)
            note = f" ({_SKIPPED})" if policy["effect"] == "forbid" else ""
            yield fault(told + note, *_named_in(told, one.statement))
    if codes:
        yield from (fault(reason, *near) for reason, *near in _unknown(policy, codes))


def _named_in(message: str, statement: Statement) -> tuple[str, ...]:
    """The last word between marks in Cedar's message that the rule has; else a comparison of two types."""
    words = re.findall(r"[`'\"]([^`'\"]+)[`'\"]", message)
    texts = [token.text for token in statement.tokens]
    named = next(((word,) for word in reversed(words) if word in texts), ())
    return named or next(
        (
            (attribute, operator, literal)
            for attribute, operator, literal in zip(texts, texts[1:], texts[2:], strict=False)
            if operator in ("==", "!=") and (attribute in TEXTS) != literal.startswith('"')
        ),
        (),
    )


def _unknown(policy: Mapping[str, Any], codes: Codes) -> Iterator[tuple[str, ...]]:
    """(reason, tokens to find its line by) of each name that does not exist."""
    entities = {"Role": codes["role"], "Kind": codes["kind"], "Action": {"view", "view_own"}}
    for entity in _entities_in(policy):
        known = entities.get(entity["type"])
        if known is not None and entity["id"] not in known:
            code = entity["id"]
            yield f"there is no {entity['type']} {code}", entity["type"], "::", f'"{code}"'
    words = {attribute: codes[table] for attribute, table in _TABLES.items()}
    words |= {"consent": set(CONSENT_WORDS), "objection": set(OBJECTION_WORDS)}
    for attribute, literals in tests_of(policy):
        for literal in sorted(literals - words[attribute]):
            yield f"{attribute} is never {literal!r}", f'"{literal}"'


def _entities_in(node: Any) -> Iterator[dict[str, str]]:
    if isinstance(node, Mapping):
        if set(node) == {"type", "id"}:
            yield {"type": str(node["type"]), "id": str(node["id"])}
        for value in node.values():
            yield from _entities_in(value)
    elif isinstance(node, list):
        for value in node:
            yield from _entities_in(value)


# --- 6 to 8. the whole ---------------------------------------------------------------------


def _whole_faults(
    sources: Sources, content: Content, written: Sequence[Written], *, reachable: bool
) -> Iterator[Fault]:
    vocabulary = content.vocabulary
    rules = rules_of(vocabulary, ("basis",), content.written)
    for one, rule in zip(written, rules, strict=False):
        try:
            say(vocabulary, rule)
        except Unsayable as error:
            yield Fault(one.file, one.statement.line, str(error))
            continue
        if rule.effect == "permit" and rule.kind:
            yield from _never_asked(one, rule, vocabulary)
    for role, basis, kind in unreachable(vocabulary, rules) if reachable else ():
        line = _line_of_role(sources.vocabulary.text, role, basis)
        reason = f"role {role}: field {basis}: {kind} can never be reached: the rules close it in every state"
        yield Fault(sources.vocabulary.name, line, reason)


def _never_asked(one: Written, rule: Rule, vocabulary: Vocabulary) -> Iterator[Fault]:
    permit = said(vocabulary, rule)
    domain = vocabulary.kind(permit.kind).domain
    for purpose in permit.purposes:
        if domain not in scopes_for(vocabulary, permit.role, purpose):
            reason = (
                f"rule {rule.id}: no node asks {domain} for {permit.role} and {purpose}: list the kind there"
            )
            yield Fault(one.file, one.statement.line_of(f'"{purpose}"'), reason)


def unreachable(vocabulary: Vocabulary, rules: Sequence[Rule]) -> Iterator[tuple[str, str, str]]:
    """(role, basis, kind) that a role lists and that no state opens, with every switch and mandate free."""
    world = World(vocabulary)
    solver = z3.Solver()
    solver.add(world.possible(), world.one_role(), z3.Not(world.own), world.allows(vocabulary, rules))
    for role in vocabulary.roles:
        for basis in ("wettelijke_plicht", "wettelijke_taak", "vitaal_belang", "toestemming"):
            for kind in role.kinds_on(basis):
                cell = (world.role[role.code], world.is_("basis", basis), world.kind_is([kind]))
                if solver.check(*cell) == z3.unsat:
                    yield role.code, basis, kind


def _line_of_role(text: str, role: str, basis: str) -> int:
    lines = text.splitlines()
    at = next(
        (
            n
            for n, line in enumerate(lines)
            if re.match(rf'code\s*=\s*"{re.escape(role)}"', line)
            and n
            and lines[n - 1].startswith("[[role]]")
        ),
        None,
    )
    if at is None:
        return 0
    return next((n + 1 for n in range(at, len(lines)) if re.match(rf"{basis}\s*=", lines[n])), at + 1)


def summary(checked: Checked) -> dict[str, Any]:
    """For `--json` and the last line of the text."""
    version = checked.version
    if version is None:
        return {
            "holds": False,
            "faults": [{"file": one.file, "line": one.line, "reason": one.reason} for one in checked.faults],
        }
    words = version.vocabulary
    return {
        "holds": True,
        "faults": [],
        "kinds": len(words.kinds),
        "roles": len(words.roles),
        "rules": len(version.rules),
        "hash": version.hash.hex(),
    }
