"""What a rule says, in Dutch (B1), made from the rule itself.

A sentence is never written beside a rule, so the two cannot drift. A rule that
cannot be said this way is refused by `said`.

Source: docs/design/policy.md, "The sentence of a rule"; screens D12 and P2.
"""

from dataclasses import dataclass

from .engine import PolicyVersion
from .rules import Rule
from .vocabulary import BASES, Kind, Vocabulary

_WHY = {
    "wettelijke_plicht": "omdat de wet dat verplicht",
    "wettelijke_taak": "omdat de wet die taak geeft",
    "vitaal_belang": "omdat er direct gevaar is",
    "toestemming": "als de inwoner dat goed vindt",
}


class Unsayable(ValueError):
    """A rule that has no sentence. Names the rule."""


@dataclass(frozen=True, slots=True)
class Said:
    """One permit in words, with its cell: role, kind, basis and purposes."""

    role: str
    kind: str
    basis: str
    purposes: tuple[str, ...]
    sentence: str


def said(vocabulary: Vocabulary, rule: Rule) -> Said:
    """The sentence of one permit, from its scope and conditions.

    Raises:
        Unsayable: Not a permit of one role on one kind, for one basis and named purposes.
    """
    tests = dict(rule.tests)
    bases, purposes = tests.get("basis", frozenset()), tests.get("purpose", frozenset())
    if rule.effect != "permit" or not rule.role or not rule.kind or len(bases) != 1 or not purposes:
        raise Unsayable(f"rule {rule.id} has no sentence")
    (basis,) = bases
    named = [purpose for purpose in vocabulary.purposes if purpose.code in purposes]
    role, kind = vocabulary.role(rule.role), vocabulary.kind(rule.kind)
    aims = _enumerated([f"{purpose.label}" for purpose in named])
    sentence = f"{role.label} mag zien: {kind.label}. Waarvoor: {aims}. Waarom: {_WHY[basis]}."
    return Said(role.code, kind.code, basis, tuple(purpose.code for purpose in named), sentence)


def what_role_sees(version: PolicyVersion, role: str, purpose: str, profile: str = "basis") -> list[Said]:
    """Every permit of a role for one purpose in one profile: about the role, never about a person."""
    vocabulary = version.vocabulary
    sheets = version.table.sheets
    open_cells = {
        (kind.code, basis)
        for organisation_class in vocabulary.organisation_classes
        for kind in vocabulary.kinds
        for basis in BASES
        if (sheet := sheets.get((organisation_class.code, profile, role, purpose))) is not None
        and basis in sheet[kind.number].answers
    }
    permits = [
        said(vocabulary, rule)
        for rule in version.rules
        if rule.effect == "permit" and rule.role == role and rule.kind
    ]
    return [
        permit
        for permit in permits
        if purpose in permit.purposes and (permit.kind, permit.basis) in open_cells
    ]


def basis_sentence(kind: Kind, basis: str) -> str:
    """The answer to the citizen's "Dit mag volgens de wet. Waarom?", and to its like for other bases."""
    match basis:
        case "wettelijke_plicht":
            return f"Dit moet volgens de wet ({kind.act}). U kunt dit niet uitzetten."
        case "wettelijke_taak":
            return f"Dit mag volgens de wet ({kind.act}). U kunt wel bezwaar maken."
        case "vitaal_belang":
            return "Dit mag bij direct gevaar. U ziet later wie er keek."
        case _:
            return "Dit mag alleen als u het goed vindt. U kunt altijd stoppen."


def _enumerated(labels: list[str]) -> str:
    lowered = [label[0].lower() + label[1:] for label in labels]
    return lowered[0] if len(lowered) == 1 else ", ".join(lowered[:-1]) + " en " + lowered[-1]
