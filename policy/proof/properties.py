"""P1 to P13, each proven by the absence of a request that breaks it.

Every property is looked at for every profile, with every kind switched on or
off and every convenant and mandate registered or not, so that no setting leaves
the proven space. P1 to P12 must hold to publish; P13 is reported per profile.

Source: docs/design/policy-and-consent.md, "Proofs"; the table in policy.md 1.3.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import z3  # type: ignore[import-untyped]

from policy.rules import Rule
from policy.vocabulary import Vocabulary

from .world import CONSENT_EFFECTS, Formula, Request, World

WITHOUT_FLAGS = ("privacy_officer", "fg", "teamleider", "applicatiebeheerder")
LIAISON, GUARDED = "vt_liaison", "veilig_thuis"


@dataclass(frozen=True, slots=True)
class Counterexample:
    """A request that breaks the property. For P12 `instead` is the lesser choice that opened."""

    request: Request
    instead: Request | None = None


@dataclass(frozen=True, slots=True)
class Proof:
    """One property for one profile. `required`: it must hold to publish. `seconds` is a figure only."""

    code: str
    profile: str
    required: bool
    counterexample: Counterexample | None
    seconds: float

    @property
    def holds(self) -> bool:
        return self.counterexample is None


PROPERTIES = {
    "P1": "Veilig Thuis is alleen te zien voor de liaison Veilig Thuis.",
    "P2": "Zonder zaak en zonder spoed is niets te zien.",
    "P3": "Bij een beperking is niets te zien, ook niet bij spoed.",
    "P4": "Op toestemming is alleen iets te zien na een ja, en na een uitdrukkelijk ja waar dat moet.",
    "P5": "Privacy officer, FG, teamleider en applicatiebeheerder zien nooit een melding over een persoon.",
    "P6": "Zonder functie is niets te zien.",
    "P7": "Iets is alleen te zien voor een doel van het onderwerp.",
    "P8": "Voor controle en handhaving is niets te zien.",
    "P9": "Iets is alleen te zien op een grondslag van het onderwerp.",
    "P10": "Bij direct gevaar is alleen iets te zien als het onderwerp dat toelaat, bij crisis, en gemeld.",
    "P11": "Alleen functies die een burgerservicenummer mogen gebruiken zien iets.",
    "P12": "Minder toestemming opent nooit iets.",
    "P13": "Een organisatie die niet mag kijken, of schuldeiser is, ziet niets.",
}
"""Code and Dutch sentence of each property."""

REQUIRED = tuple(code for code in PROPERTIES if code != "P13")


def prove(
    vocabulary: Vocabulary, rules: Sequence[Rule], profiles: Sequence[str], *, only: Sequence[str] = ()
) -> list[Proof]:
    """Look for a request that breaks a property, for each profile.

    Args:
        rules: All rules of the version, as `policy.rules.rules_of` gives them.
        only: Codes of properties; without it all.

    Raises:
        Untranslatable: A rule is outside the house subset.
    """
    found = []
    for profile in profiles:
        proving = _Proving(vocabulary, slice_of_profile(rules, profile), profile)
        found += [proving.prove(code) for code in (only or PROPERTIES)]
    return found


def holds(proofs: Sequence[Proof]) -> bool:
    """P1 to P12 hold in every profile that was looked at."""
    return all(proof.holds for proof in proofs if proof.required)


def slice_of_profile(rules: Sequence[Rule], profile: str) -> tuple[Rule, ...]:
    """The rules of the base set and of one profile."""
    return tuple(rule for rule in rules if rule.profile in ("", profile))


class _Proving:
    """The rules of one profile, translated once for all properties."""

    def __init__(self, vocabulary: Vocabulary, rules: Sequence[Rule], profile: str) -> None:
        self._vocabulary, self._profile, self._rules = vocabulary, profile, rules
        self._world = World(vocabulary)
        self._allowed = self._world.allows(vocabulary, rules)
        self._base = [self._world.possible(), self._world.is_("profile", profile)]

    def prove(self, code: str) -> Proof:
        begun = time.perf_counter()
        example = self._less_opens() if code == "P12" else self._broken(_BROKEN[code])
        return Proof(code, self._profile, code in REQUIRED, example, time.perf_counter() - begun)

    def _broken(self, broken: Callable[[World, Vocabulary], Formula]) -> Counterexample | None:
        model = self._solve(self._allowed, broken(self._world, self._vocabulary))
        return Counterexample(self._world.read(model)) if model is not None else None

    def _solve(self, *claims: Formula) -> Formula | None:
        """A model, as plain as it can be; None when there is none."""
        solver = z3.Solver()
        solver.add(*self._base, *claims)
        if solver.check() == z3.unsat:
            return None
        for plain in plainly(self._world):
            solver.push()
            solver.add(plain)
            if solver.check() != z3.sat:
                solver.pop()
        solver.check()
        return solver.model()

    def _less_opens(self) -> Counterexample | None:
        """P12: two requests that differ in consent only; the lesser is allowed and the greater not."""
        less = self._world
        more = World(self._vocabulary, name="more.")
        same = [less.role[code] == more.role[code] for code in less.role]
        same += [less.flag[flag] == more.flag[flag] for flag in less.flag if flag != "explicit"]
        same += [less.text[name].number == more.text[name].number for name in less.text if name != "consent"]
        same += [
            less.kind.number == more.kind.number,
            less.own == more.own,
            less.enabled == more.enabled,
            more.possible(),
        ]
        rises = z3.Or(
            z3.ULT(less.text["consent"].number, more.text["consent"].number),
            z3.And(
                less.text["consent"].number == more.text["consent"].number,
                z3.Not(less.flag["explicit"]),
                more.flag["explicit"],
            ),
        )
        forbidden = z3.Not(more.allows(self._vocabulary, self._rules))
        model = self._solve(self._allowed, forbidden, rises, *same)
        return Counterexample(more.read(model), instead=less.read(model)) if model is not None else None


def plainly(world: World) -> list[Formula]:
    """What makes an example easy to read, where it can be had: one role, and nothing out of the ordinary."""
    calm = [z3.Not(world.flag[flag]) for flag in ("restricted", "incapable", "mandate", "convenant")]
    return [
        z3.AtMost(*world.role.values(), 1),
        world.enabled,
        world.is_("objection", "none"),
        *calm,
        z3.Not(world.flag["othersAtRisk"]),
        z3.Not(world.flag["breakGlass"]),
        world.flag["hasCase"],
        world.is_("organisationClass", "gemeente"),
        world.is_("consent", "none"),
        z3.Not(world.flag["explicit"]),
    ]


# --- what breaks each property, beside that Cedar allows it ----------------------------


def _viewing(world: World) -> Formula:
    return z3.Not(world.own)


def _p1(world: World, vocabulary: Vocabulary) -> Formula:
    return z3.And(_viewing(world), world.kind_is([GUARDED]), z3.Not(world.has_role([LIAISON])))


def _p2(world: World, vocabulary: Vocabulary) -> Formula:
    return z3.And(_viewing(world), z3.Not(world.flag["hasCase"]), z3.Not(world.flag["breakGlass"]))


def _p3(world: World, vocabulary: Vocabulary) -> Formula:
    return z3.And(_viewing(world), world.flag["restricted"])


def _p4(world: World, vocabulary: Vocabulary) -> Formula:
    asks = world.kind_is(kind.code for kind in vocabulary.kinds if kind.explicit_consent)
    given = z3.And(world.is_("consent", "grant"), z3.Implies(asks, world.flag["explicit"]))
    return z3.And(_viewing(world), world.is_("basis", "toestemming"), z3.Not(given))


def _p5(world: World, vocabulary: Vocabulary) -> Formula:
    others = [role for code, role in world.role.items() if code not in WITHOUT_FLAGS]
    return z3.And(world.has_role(WITHOUT_FLAGS), z3.Not(z3.Or(others)))


def _p6(world: World, vocabulary: Vocabulary) -> Formula:
    return z3.Not(z3.Or(list(world.role.values())))


def _p7(world: World, vocabulary: Vocabulary) -> Formula:
    return z3.And(
        _viewing(world),
        *[
            z3.Not(z3.And(world.kind_is([kind.code]), world.is_("purpose", *kind.purposes)))
            for kind in vocabulary.kinds
        ],
    )


def _p8(world: World, vocabulary: Vocabulary) -> Formula:
    return z3.And(_viewing(world), world.is_("purpose", "toezicht"))


def _p9(world: World, vocabulary: Vocabulary) -> Formula:
    return z3.And(
        _viewing(world),
        *[
            z3.Not(z3.And(world.kind_is([kind.code]), world.is_("basis", *kind.bases)))
            for kind in vocabulary.kinds
        ],
    )


def _p10(world: World, vocabulary: Vocabulary) -> Formula:
    may = world.kind_is(kind.code for kind in vocabulary.kinds if kind.break_glass)
    declared = z3.And(may, world.is_("purpose", "crisis"), world.flag["breakGlass"])
    return z3.And(_viewing(world), world.is_("basis", "vitaal_belang"), z3.Not(declared))


def _p11(world: World, vocabulary: Vocabulary) -> Formula:
    return z3.Not(world.has_role(role.code for role in vocabulary.roles if role.bsn_allowed))


def _p13(world: World, vocabulary: Vocabulary) -> Formula:
    classes = [item.code for item in vocabulary.organisation_classes if item.creditor or not item.may_view]
    return z3.And(_viewing(world), world.is_("organisationClass", *classes))


_BROKEN: dict[str, Callable[[World, Vocabulary], Formula]] = {
    "P1": _p1,
    "P2": _p2,
    "P3": _p3,
    "P4": _p4,
    "P5": _p5,
    "P6": _p6,
    "P7": _p7,
    "P8": _p8,
    "P9": _p9,
    "P10": _p10,
    "P11": _p11,
    "P13": _p13,
}


# --- in words ---------------------------------------------------------------------------

_STATES = {
    "restricted": "er geldt een beperking",
    "breakGlass": "er is spoed gemeld",
    "othersAtRisk": "een ander loopt gevaar",
    "incapable": "de inwoner kan niet zelf kiezen",
    "convenant": "er is een convenant",
    "mandate": "er is een mandaat",
}


def in_words(vocabulary: Vocabulary, example: Counterexample) -> str:
    """A counterexample in Dutch, by name: role, kind, purpose, basis and state."""
    sentence = request_in_words(vocabulary, example.request)
    if example.instead is None:
        return f"Toch te zien: {sentence}"
    lesser = _choice(example.instead)
    return f"Niet te zien: {sentence} Wel te zien als alleen dit anders is: {lesser}."


def request_in_words(vocabulary: Vocabulary, request: Request) -> str:
    """One request in Dutch. A code that this vocabulary lacks stays a code."""
    roles = [_label({role.code: role.label for role in vocabulary.roles}, code) for code in request.roles]
    parts = [
        f"functie {' en '.join(roles) or 'geen'}",
        f"onderwerp {_label({kind.code: kind.label for kind in vocabulary.kinds}, request.kind)}",
    ]
    if request.own:
        return ", ".join([*parts, "als eigen melding"]) + "."
    classes = {item.code: item.label for item in vocabulary.organisation_classes}
    parts += [
        f"doel {_label({item.code: item.label for item in vocabulary.purposes}, request.purpose)}",
        f"grondslag {_label({item.code: item.label for item in vocabulary.bases}, request.basis)}",
        f"soort organisatie {_label(classes, request.organisation_class)}",
    ]
    state = ["er is een lopende zaak" if request.flags["hasCase"] else "er is geen lopende zaak"]
    state += [words for flag, words in _STATES.items() if request.flags[flag]]
    state.append(_choice(request))
    if request.objection != "none":
        known = {"pending": "loopt nog", "rejected": "is afgewezen", "upheld": "is toegekend"}
        state.append(f"een bezwaar {known[request.objection]}")
    return f"{', '.join(parts)}. Toestand: {', '.join(state)}."


def _choice(request: Request) -> str:
    words = dict(zip(CONSENT_EFFECTS, ("zegt nee", "heeft niets gekozen", "zegt ja"), strict=True))
    explicit = " (uitdrukkelijk)" if request.flags["explicit"] else ""
    return f"de inwoner {words[request.consent]}{explicit}"


def _label(labels: dict[str, str], code: str) -> str:
    return labels.get(code, code)
