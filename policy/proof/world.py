"""One request as Z3 sees it: every value that the engine can send, and no other.

A world has one asker with any set of roles, one kind, one purpose, one basis
and one state. `allows` translates rules of the house subset, from Cedar's JSON
form, to a formula over it. Attributes of a kind are tables; whether it is
switched on is free, unless the world is made with the switches as they stand.

Source: docs/design/policy-and-consent.md, "Proofs".
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import z3  # type: ignore[import-untyped]

from policy.rules import Rule
from policy.table import CONSENT, OBJECTION, Context
from policy.vocabulary import BASES, Vocabulary

Formula: TypeAlias = Any
"""A Z3 expression; the library has no types."""

CONTEXT_FLAGS = (
    "restricted",
    "hasCase",
    "breakGlass",
    "othersAtRisk",
    "incapable",
    "convenant",
    "mandate",
    "explicit",
)
CONSENT_EFFECTS = ("deny", "none", "grant")
"""From least to most, which P12 needs."""


class Untranslatable(ValueError):
    """A construct outside the house subset reached the proofs. Names the rule."""


class _Text(NamedTuple):
    """A text attribute: the codes that it can have, and the number that stands for the present one."""

    codes: tuple[str, ...]
    number: Formula


class _Entity(NamedTuple):
    kind: str
    id: str


@dataclass(frozen=True, slots=True)
class Request:
    """One concrete request: a counterexample, or what a judge is asked."""

    roles: tuple[str, ...]
    organisation_class: str
    profile: str
    own: bool
    kind: str
    purpose: str
    basis: str
    consent: str
    objection: str
    flags: Mapping[str, bool]
    enabled: bool


def request_of(
    asker: tuple[str, str, str],
    cell: tuple[str, str, str],
    context: Context,
    *,
    convenant: bool,
    enabled: bool,
) -> Request:
    """The request of a cell of the compiled table.

    Args:
        asker: (organisation class, profile, role).
        cell: (kind, purpose, basis).
    """
    consent = CONSENT[context.consent]
    flags = {
        "restricted": False,
        "hasCase": context.has_case,
        "breakGlass": context.break_glass,
        "othersAtRisk": context.others_at_risk,
        "incapable": context.incapable,
        "convenant": convenant,
        "mandate": context.mandate,
        "explicit": consent == "grant!",
    }
    organisation_class, profile, role = asker
    kind, purpose, basis = cell
    return Request(
        (role,),
        organisation_class,
        profile,
        False,
        kind,
        purpose,
        basis,
        consent.rstrip("!"),
        OBJECTION[context.objection],
        flags,
        enabled,
    )


class World:
    """The variables of one request. Two worlds with other names are independent of each other.

    Args:
        vocabularies: The words of all versions that are looked at together.
    """

    def __init__(self, *vocabularies: Vocabulary, name: str = "") -> None:
        def ordered(*codes: Iterable[str]) -> tuple[str, ...]:
            return tuple(dict.fromkeys(code for some in codes for code in some))

        self.kinds = ordered(*([kind.code for kind in one.kinds] for one in vocabularies))
        self.roles_known = ordered(*([role.code for role in one.roles] for one in vocabularies))
        self.role = {code: z3.Bool(f"{name}role.{code}") for code in self.roles_known}
        self.kind = _Text(self.kinds, z3.BitVec(f"{name}kind", _bits(len(self.kinds))))
        self.texts = {
            "purpose": ordered(*([item.code for item in one.purposes] for one in vocabularies)),
            "basis": BASES,
            "consent": CONSENT_EFFECTS,
            "objection": OBJECTION,
            "organisationClass": ordered(
                *([item.code for item in one.organisation_classes] for one in vocabularies)
            ),
            "profile": ordered(*([profile.code for profile in one.profiles] for one in vocabularies)),
        }
        self.text = {
            attribute: _Text(codes, z3.BitVec(f"{name}{attribute}", _bits(len(codes))))
            for attribute, codes in self.texts.items()
        }
        self.flag = {flag: z3.Bool(f"{name}{flag}") for flag in CONTEXT_FLAGS}
        self.own = z3.Bool(f"{name}own")
        self.enabled = z3.Bool(f"{name}enabled")

    def possible(self) -> Formula:
        """What holds of every request: known codes, and an explicit yes only beside a yes."""
        bounded = [
            z3.ULT(text.number, len(text.codes))
            for text in (self.kind, *self.text.values())
            if len(text.codes) < 2 ** text.number.size()
        ]
        return z3.And(*bounded, z3.Implies(self.flag["explicit"], self.is_("consent", "grant")))

    def is_(self, attribute: str, *codes: str) -> Formula:
        """A text attribute of the request is one of these."""
        return _among(self.text[attribute], codes)

    def kind_is(self, codes: Iterable[str]) -> Formula:
        return _among(self.kind, tuple(codes))

    def has_role(self, codes: Iterable[str]) -> Formula:
        return z3.Or([self.role[code] for code in codes if code in self.role])

    def one_role(self) -> Formula:
        """The asker has exactly one role, as in every answer to a person."""
        roles = [(role, 1) for role in self.role.values()]
        return z3.PbEq(roles, 1)

    def allows(self, vocabulary: Vocabulary, rules: Sequence[Rule]) -> Formula:
        """Cedar's answer to this request under these rules: a permit applies and no forbid does.

        Raises:
            Untranslatable: A rule is outside the house subset.
        """
        translation = _Translation(self, vocabulary)
        applying: dict[str, list[Formula]] = {"permit": [], "forbid": []}
        for rule in rules:
            applying[rule.effect].append(translation.applies(rule))
        return z3.And(z3.Or(applying["permit"]), z3.Not(z3.Or(applying["forbid"])))

    def exactly(self, request: Request) -> list[tuple[Formula, Formula]]:
        """Each variable with its value in one request, for substitution."""
        found = [(variable, z3.BoolVal(code in request.roles)) for code, variable in self.role.items()]
        found += [(variable, z3.BoolVal(request.flags[flag])) for flag, variable in self.flag.items()]
        found += [(self.own, z3.BoolVal(request.own)), (self.enabled, z3.BoolVal(request.enabled))]
        values = {
            "purpose": request.purpose,
            "basis": request.basis,
            "consent": request.consent,
            "objection": request.objection,
            "organisationClass": request.organisation_class,
            "profile": request.profile,
        }
        for text, code in [(self.kind, request.kind)] + [
            (self.text[name], at) for name, at in values.items()
        ]:
            found.append((text.number, z3.BitVecVal(text.codes.index(code), text.number.size())))
        return found

    def read(self, model: Formula) -> Request:
        """The request that a model of Z3 stands for."""

        def code(text: _Text) -> str:
            number: int = model.eval(text.number, model_completion=True).as_long()
            return text.codes[number]

        def holds(variable: Formula) -> bool:
            return bool(z3.is_true(model.eval(variable, model_completion=True)))

        return Request(
            tuple(role for role, variable in self.role.items() if holds(variable)),
            code(self.text["organisationClass"]),
            code(self.text["profile"]),
            holds(self.own),
            code(self.kind),
            code(self.text["purpose"]),
            code(self.text["basis"]),
            code(self.text["consent"]),
            code(self.text["objection"]),
            {flag: holds(variable) for flag, variable in self.flag.items()},
            holds(self.enabled),
        )


def _bits(count: int) -> int:
    return max(1, (count - 1).bit_length())


def _among(text: _Text, codes: Iterable[str]) -> Formula:
    return z3.Or([text.number == text.codes.index(code) for code in codes if code in text.codes])


class _Translation:
    """Cedar's JSON form to formulas, over one world and the kinds of one vocabulary."""

    def __init__(self, world: World, vocabulary: Vocabulary) -> None:
        self._world = world
        kinds = vocabulary.kinds
        self._kind_flags = {
            "enabled": world.enabled,
            "consentPossible": world.kind_is(kind.code for kind in kinds if kind.consent_possible),
            "explicitConsent": world.kind_is(kind.code for kind in kinds if kind.explicit_consent),
            "breakGlass": world.kind_is(kind.code for kind in kinds if kind.break_glass),
            "art9": world.kind_is(kind.code for kind in kinds if kind.art9_or_10),
            "compelling": world.kind_is(kind.code for kind in kinds if kind.compelling_child_safety),
        }
        self._domains: dict[str, list[str]] = {}
        for kind in kinds:
            self._domains.setdefault(kind.domain, []).append(kind.code)

    def applies(self, rule: Rule) -> Formula:
        """Scope and conditions of one rule hold."""
        policy = rule.syntax
        try:
            action = policy["action"]["entity"]["id"]
            parts = [self._world.own if action == "view_own" else z3.Not(self._world.own)]
            parts += [self._scope(policy[name], name) for name in ("principal", "resource")]
            for condition in policy["conditions"]:
                holds = self._formula(condition["body"])
                parts.append(holds if condition["kind"] == "when" else z3.Not(holds))
        except (KeyError, TypeError, ValueError):
            raise Untranslatable(f"rule {rule.id} is outside the house subset") from None
        return z3.And(parts)

    def _scope(self, scope: Mapping[str, Any], name: str) -> Formula:
        if scope["op"] == "All":
            return z3.BoolVal(True)
        entity = _Entity(scope["entity"]["type"], scope["entity"]["id"])
        return self._within(name, entity, equal=scope["op"] == "==")

    def _within(self, variable: str, entity: _Entity, *, equal: bool) -> Formula:
        """`principal in Role` or `resource in Kind`. A user is in its roles and is none of them."""
        match variable, entity.kind:
            case "principal", "Role":
                return z3.BoolVal(False) if equal else self._world.has_role([entity.id])
            case "resource", "Kind":
                return self._world.kind_is([entity.id])
            case _:
                raise ValueError(variable)

    def _formula(self, node: Mapping[str, Any]) -> Formula:
        ((operator, body),) = node.items()
        match operator:
            case "&&":
                return z3.And(self._formula(body["left"]), self._formula(body["right"]))
            case "||":
                return z3.Or(self._formula(body["left"]), self._formula(body["right"]))
            case "!":
                return z3.Not(self._formula(body["arg"]))
            case "==" | "!=":
                equal = self._equal(body["left"], body["right"])
                return equal if operator == "==" else z3.Not(equal)
            case "<" | "<=" | ">" | ">=":
                return _compared(operator, _long(body["left"]), _long(body["right"]))
            case "contains":
                subject = self._value(body["right"])
                codes = [item["Value"] for item in body["left"]["Set"]]
                return _among(subject, codes) if isinstance(subject, _Text) else self._domain(codes)
            case "in":
                items = body["right"].get("Set", [body["right"]])
                named = [_entity(item) for item in items]
                return z3.Or([self._within(body["left"]["Var"], entity, equal=False) for entity in named])
            case "." | "Value":
                value = self._value(node)
                if not isinstance(value, bool | z3.BoolRef):
                    raise ValueError("no Bool")
                return z3.BoolVal(value) if isinstance(value, bool) else value
            case _:
                raise ValueError(operator)

    def _equal(self, left: Mapping[str, Any], right: Mapping[str, Any]) -> Formula:
        for side, other in ((left, right), (right, left)):
            if "Var" in side:
                return self._within(side["Var"], _entity(other), equal=True)
            value = self._value(side)
            if isinstance(value, _Text):
                return _among(value, [_text(other)])
            if value is _DOMAIN:
                return self._domain([_text(other)])
        one, two = self._value(left), self._value(right)
        if isinstance(one, bool | z3.BoolRef) and isinstance(two, bool | z3.BoolRef):
            return z3.BoolVal(one == two) if isinstance(one, bool) and isinstance(two, bool) else one == two
        if type(one) is not type(two):
            raise ValueError("two types")
        return z3.BoolVal(one == two)

    def _domain(self, codes: Iterable[str]) -> Formula:
        return self._world.kind_is(kind for code in codes for kind in self._domains.get(code, ()))

    def _value(self, node: Mapping[str, Any]) -> Any:
        ((operator, body),) = node.items()
        if operator == "Value":
            return _Entity(**_renamed(body)) if isinstance(body, dict) else body
        if operator != ".":
            return self._formula(node)
        of, attribute = body["left"]["Var"], body["attr"]
        match of:
            case "resource":
                return _DOMAIN if attribute == "domain" else self._kind_flags[attribute]
            case "context" if attribute in CONTEXT_FLAGS:
                return self._world.flag[attribute]
            case "context" if attribute in ("purpose", "basis", "consent", "objection"):
                return self._world.text[attribute]
            case "principal" if attribute in ("organisationClass", "profile"):
                return self._world.text[attribute]
            case _:
                raise KeyError(attribute)


_DOMAIN = object()
"""`resource.domain`: it follows from the kind and has no variable of its own."""


def _entity(node: Mapping[str, Any]) -> _Entity:
    return _Entity(**_renamed(node["Value"]))


def _renamed(value: Mapping[str, Any]) -> dict[str, str]:
    return {"kind": value["__entity"]["type"], "id": value["__entity"]["id"]}


def _text(node: Mapping[str, Any]) -> str:
    if not isinstance(node["Value"], str):
        raise TypeError("no String")
    return node["Value"]


def _long(node: Mapping[str, Any]) -> int:
    value = node["Value"]
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("no Long")
    return value


def _compared(operator: str, left: int, right: int) -> Formula:
    outcomes = {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}
    return z3.BoolVal(outcomes[operator])
