"""The rules of a version as Cedar text: permits from the vocabulary, forbids as written.

One permit says that one role may see one kind on one legal basis for named
purposes. A profile adds forbids and nothing else, so it can only remove. Each
rule has a number, its place in the version; the sealed log entry keeps it.

Source: docs/design/policy.md, "Cedar" and "House subset".
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cedarpy

from .cedar_text import statements
from .subset import outside, tests_of
from .vocabulary import BASES, Profile, Role, Vocabulary

_DATA = Path(__file__).parent / "data"
_VIEW = 'action == Action::"view"'


class RuleError(Exception):
    """A rule is outside the house subset or does not fit the schema. Names the rule and its line."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One Cedar policy. `role` is the role that its scope names, or empty; likewise `kind`.

    `profile` is empty for a rule of the base set. `tests` are the texts that the
    rule compares an attribute with: two values that fall alike in all of them
    are one to Cedar.
    """

    number: int
    id: str
    effect: str
    role: str
    kind: str
    profile: str
    text: str
    tests: tuple[tuple[str, frozenset[str]], ...]
    syntax: Mapping[str, Any] = field(compare=False, repr=False)
    """Cedar's JSON form, which sentences and proofs are made from."""


def schema_text() -> str:
    return (_DATA / "schema.cedarschema").read_text(encoding="utf-8")


def written_in(text: str) -> tuple[str, ...]:
    """The rules of a file that people wrote, one text each."""
    return tuple(part.text for part in statements(text))


def packaged_rules() -> tuple[str, ...]:
    """The rules that people wrote, as packaged: one text each."""
    return written_in((_DATA / "forbids.cedar").read_text(encoding="utf-8"))


def rules_of(
    vocabulary: Vocabulary, profiles: tuple[str, ...], written: Sequence[str] | None = None
) -> tuple[Rule, ...]:
    """All rules of a version in the order of their numbers.

    Args:
        written: The rules that people wrote, one text each; without it the packaged ones.

    Raises:
        RuleError: A construct outside the house subset.
    """
    sources = [("", text) for text in (packaged_rules() if written is None else written)]
    sources += [("", text) for text in _permits(vocabulary)]
    for code in profiles:
        profile = vocabulary.profile(code)
        sources += [(code, text) for text in _narrowing(vocabulary, profile)]
    return tuple(rule_of(number, profile, text) for number, (profile, text) in enumerate(sources, start=1))


def _permits(vocabulary: Vocabulary) -> Iterator[str]:
    yield (
        '@id("burger.eigen_meldingen")\n'
        'permit (principal in Role::"burger", action == Action::"view_own", resource);'
    )
    for role in vocabulary.roles:
        for basis in BASES:
            for code in _kinds_listed(vocabulary, role, basis):
                kind = vocabulary.kind(code)
                shared = [purpose for purpose in kind.purposes if purpose in role.purposes]
                purposes = _literals(["crisis"] if basis == "vitaal_belang" else shared)
                yield (
                    f'@id("{role.code}.{basis}.{code}")\n'
                    f'permit (principal in Role::"{role.code}", {_VIEW}, resource == Kind::"{code}")\n'
                    f'when {{ context.basis == "{basis}" && {purposes}.contains(context.purpose) }};'
                )


def _kinds_listed(vocabulary: Vocabulary, role: Role, basis: str) -> list[str]:
    """The kinds of a role on a basis; for a mandate role those of every act that can be mandated.

    Which acts are registered is a matter of the request (`context.mandate`).
    """
    listed = list(role.kinds_on(basis))
    if role.mandate and basis == "wettelijke_taak":
        possible = vocabulary.kinds_under(act.code for act in vocabulary.mandate_acts)
        listed += [
            kind.code
            for kind in vocabulary.kinds
            if kind.code in possible and kind.code not in listed and set(kind.purposes) & set(role.purposes)
        ]
    return listed


def _narrowing(vocabulary: Vocabulary, profile: Profile) -> Iterator[str]:
    """What a profile takes away, each as a forbid."""
    here = f'principal.profile == "{profile.code}"'

    def forbid(name: str, role: str, condition: str) -> str:
        scope = f'principal in Role::"{role}"' if role else "principal"
        when = f"{here} && {condition}" if condition else here
        return f'@id("{profile.code}.{name}")\nforbid ({scope}, {_VIEW}, resource)\nwhen {{ {when} }};'

    for role in vocabulary.roles:
        if role.code not in profile.roles:
            yield forbid(f"zonder_{role.code}", role.code, "")
    if profile.without_bases:
        yield forbid("zonder_grondslag", "", f"{_literals(profile.without_bases)}.contains(context.basis)")
    for code in profile.without_kinds:
        yield (
            f'@id("{profile.code}.zonder_{code}")\n'
            f'forbid (principal, {_VIEW}, resource == Kind::"{code}")\nwhen {{ {here} }};'
        )
    for code, domains in profile.only_domains.items():
        yield forbid(f"gebied_{code}", code, f"!({_literals(domains)}.contains(resource.domain))")
    for code, purposes in profile.only_purposes.items():
        yield forbid(f"doel_{code}", code, f"!({_literals(purposes)}.contains(context.purpose))")


def _literals(codes: tuple[str, ...] | list[str]) -> str:
    return "[" + ", ".join(f'"{code}"' for code in codes) + "]"


def rule_of(number: int, profile: str, text: str) -> Rule:
    """One policy as a rule of the version. Raises `RuleError` outside the house subset."""
    policy = syntax_of(text, f"rule {number}")
    name = policy.get("annotations", {}).get("id", "")
    if not name:
        raise RuleError(f"rule {number} has no @id")
    for found in outside(policy):
        raise RuleError(f"rule {name}: {found.reason}")
    role, kind = _named(policy["principal"]), _named(policy["resource"])
    return Rule(number, name, policy["effect"], role, kind, profile, text, tests_of(policy), policy)


def syntax_of(text: str, name: str) -> dict[str, Any]:
    """One policy in Cedar's JSON form. `name` is for the error.

    Raises:
        RuleError: Not Cedar, a template, or more than one policy.
    """
    try:
        policies = json.loads(cedarpy.policies_to_json_str(text))
    except ValueError as error:
        raise RuleError(f"{name} is not Cedar: {error}") from None
    if policies["templates"] or len(policies["staticPolicies"]) != 1:
        raise RuleError(f"{name}: one policy per @id, and no template")
    (policy,) = policies["staticPolicies"].values()
    return dict(policy)


def _named(scope: Mapping[str, Any]) -> str:
    return str(scope["entity"]["id"]) if scope["op"] != "All" else ""


def fall(rules: Iterable[Rule], attribute: str, value: str) -> tuple[bool, ...]:
    """How a value falls in every test that these rules put it to.

    Values that fall alike get the same answer from these rules: text is only
    ever compared with literals in the house subset.
    """
    return tuple(
        value in literals for rule in rules for tested, literals in rule.tests if tested == attribute
    )
