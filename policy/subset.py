"""The house subset of Cedar: what the proofs can translate and the sentences can say.

Allowed: == != < <= > >= && || !, `in` on role and kind, `contains` on a literal
set of text; values Bool, Long, String, entity. Text is only ever compared with
literals, so two texts that fall alike in every test are one to Cedar.

Source: docs/design/policy.md, "House subset, and proofs".
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

TEXTS = {"organisationClass", "profile", "domain", "purpose", "basis", "consent", "objection"}
"""Attributes of type String in the schema."""

_JOINING = {"==", "!=", "&&", "||", "<", "<=", ">", ">="}
_ENTITY_OF = {"principal": "Role", "resource": "Kind"}
_SPOKEN = {"if-then-else": "if", "Set": "a set outside contains", "Record": "a record", "neg": "-"}


class Outside(NamedTuple):
    """What is outside, why, and a token of the text by which its line can be found."""

    token: str
    reason: str


def outside(policy: Mapping[str, Any]) -> list[Outside]:
    """Everything in one policy (Cedar's JSON form) that the subset does not allow."""
    found = list(_scope(policy))
    for condition in policy["conditions"]:
        found += _condition(condition["body"])
    return found


def _scope(policy: Mapping[str, Any]) -> Iterator[Outside]:
    for variable, kind in _ENTITY_OF.items():
        scope = policy[variable]
        entity = scope.get("entity")
        if scope["op"] == "All":
            continue
        if scope["op"] not in ("==", "in") or not isinstance(entity, dict) or entity["type"] != kind:
            yield Outside(variable, f"the scope of {variable} names one {kind}, or nothing")
    if policy["action"].get("op") != "==":
        yield Outside("action", "the scope must name one action")


def _condition(node: Mapping[str, Any]) -> Iterator[Outside]:
    ((operator, body),) = node.items()
    match operator:
        case "Value":
            if isinstance(body, dict) and "__entity" not in body:
                yield Outside("", "values are Bool, Long, String or entity")
        case "Var":
            return
        case ".":
            if body["attr"] in TEXTS:
                yield Outside(body["attr"], f"{body['attr']} may only be compared with literal text")
            if body["left"].get("Var") not in ("principal", "resource", "context"):
                yield Outside(body["attr"], "an attribute of principal, resource or context only")
        case "!":
            yield from _condition(body["arg"])
        case "==" | "!=" | "contains" if tested := text_tested(body):
            attribute, literals = tested
            if literals is None:
                yield Outside(attribute, f"{attribute} may only be compared with literal text")
        case "contains":
            yield Outside("contains", "contains only on a literal set of text")
        case "in":
            yield from _membership(body)
        case _ if operator in _JOINING:
            yield from _condition(body["left"])
            yield from _condition(body["right"])
        case _:
            spoken = _SPOKEN.get(operator, operator)
            yield Outside(spoken.partition(" ")[0], f"{spoken} is outside the house subset")


def _membership(body: Mapping[str, Any]) -> Iterator[Outside]:
    kind = _ENTITY_OF.get(body["left"].get("Var", ""))
    named = body["right"].get("Set", [body["right"]])
    entities = [item.get("Value") for item in named]
    if kind is None or not all(
        isinstance(entity, dict) and entity.get("__entity", {}).get("type") == kind for entity in entities
    ):
        yield Outside("in", "in only on a literal Role of principal or Kind of resource")


def text_tested(body: Mapping[str, Any]) -> tuple[str, frozenset[str] | None] | None:
    """(text attribute, literals) of a comparison; literals None when it is compared with something else."""
    for side, other in (("left", "right"), ("right", "left")):
        attribute = body[side].get(".", {}).get("attr", "")
        if attribute in TEXTS:
            items = body[other].get("Set", [body[other]])
            values = [item.get("Value") for item in items]
            if all(isinstance(value, str) for value in values):
                return str(attribute), frozenset(values)
            return str(attribute), None
    return None


def tests_of(policy: Mapping[str, Any]) -> tuple[tuple[str, frozenset[str]], ...]:
    """Each (text attribute, literals) that a policy within the subset compares, in order."""
    found: list[tuple[str, frozenset[str]]] = []
    for condition in policy["conditions"]:
        _collect(condition["body"], found)
    return tuple(found)


def _collect(node: Any, found: list[tuple[str, frozenset[str]]]) -> None:
    if isinstance(node, Mapping):
        for operator, body in node.items():
            tested = text_tested(body) if operator in ("==", "!=", "contains") else None
            if tested and tested[1] is not None:
                found.append((tested[0], tested[1]))
            elif isinstance(body, Mapping):
                for part in body.values():
                    _collect(part, found)
