"""What a rule says, in Dutch (B1), made from its syntax tree and from nothing else.

A sentence is never written beside a rule, so the two cannot drift. It is in a
controlled form: `parse` reads it back to the same meaning, and `say` refuses a
rule whose sentence does not come back as it went in.

    permit   Schuldhulpverlener mag zien: Hulp bij schulden. Waarvoor: ... Waarom: ...
    forbid   Niemand mag iets zien, als <conditie>, tenzij <conditie>.

Source: docs/design/policy-and-consent.md, "The sentence of a rule"; screens D12 and P2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from .rules import Rule
from .subset import text_tested
from .vocabulary import BASES, Kind, Vocabulary

if TYPE_CHECKING:
    from .engine import PolicyVersion

_WHY = {
    "wettelijke_plicht": "omdat de wet dat verplicht",
    "wettelijke_taak": "omdat de wet die taak geeft",
    "vitaal_belang": "omdat er direct gevaar is",
    "toestemming": "als de inwoner dat goed vindt",
}


class Unsayable(ValueError):
    """A rule that has no sentence, or a sentence that is not of the controlled form. Names the rule."""


# --- the meaning of a rule, apart from how Cedar spells it ---------------------------


class Flag(NamedTuple):
    """A Bool attribute: ("context", "hasCase")."""

    of: str
    attribute: str


class Among(NamedTuple):
    """A text attribute, the role or the kind is one of these codes."""

    what: str
    codes: frozenset[str]


class Not(NamedTuple):
    condition: Condition


class Both(NamedTuple):
    """All of them hold; never fewer than two, never one inside another."""

    conditions: tuple[Condition, ...]


class Either(NamedTuple):
    """As `Both`, with one that holds."""

    conditions: tuple[Condition, ...]


Condition = Flag | Among | Not | Both | Either


class Cell(NamedTuple):
    """What a rule says: `role` and `kind` of its scope, or empty; `own` is the citizen's own view."""

    effect: str
    own: bool
    role: str
    kind: str
    when: Condition | None
    unless: Condition | None


def cell_of(rule: Rule) -> Cell:
    """The meaning of a rule, from its syntax tree.

    Raises:
        Unsayable: A comparison of other things than attributes with literals.
    """
    policy = rule.syntax
    bodies = {
        word: [_condition(item["body"], rule.id) for item in policy["conditions"] if item["kind"] == word]
        for word in ("when", "unless")
    }
    own = policy["action"]["entity"]["id"] == "view_own"
    when, unless = _joined(Both, bodies["when"]), _joined(Either, bodies["unless"])
    return Cell(rule.effect, own, rule.role, rule.kind, when, unless)


def _joined(joining: type[Both] | type[Either], parts: list[Condition]) -> Condition | None:
    flat: list[Condition] = []
    for part in parts:
        flat += part.conditions if isinstance(part, joining) else [part]
    return (flat[0] if len(flat) == 1 else joining(tuple(flat))) if flat else None


def _condition(node: Mapping[str, Any], name: str) -> Condition:
    ((operator, body),) = node.items()
    match operator:
        case "&&" | "||":
            parts = [_condition(body["left"], name), _condition(body["right"], name)]
            joined = _joined(Both if operator == "&&" else Either, parts)
            assert joined is not None  # noqa: S101 - two parts
            return joined
        case "!":
            return _negated(_condition(body["arg"], name))
        case "." if body["left"].get("Var") in ("context", "resource"):
            return Flag(body["left"]["Var"], body["attr"])
        case "==" | "contains" | "!=" if tested := text_tested(body):
            attribute, literals = tested
            among = Among(attribute, literals or frozenset())
            return Not(among) if operator == "!=" else among
        case "in" | "==" | "!=" if body["left"].get("Var") in _NAMED_BY:
            items = body["right"].get("Set", [body["right"]])
            codes = frozenset(item["Value"]["__entity"]["id"] for item in items)
            among = Among(_NAMED_BY[body["left"]["Var"]], codes)
            return Not(among) if operator == "!=" else among
        case _:
            raise Unsayable(f"rule {name} has no sentence: it compares something that has no words")


def _negated(condition: Condition) -> Condition:
    return condition.condition if isinstance(condition, Not) else Not(condition)


_NAMED_BY = {"principal": "role", "resource": "kind"}

# --- words ---------------------------------------------------------------------------

_FLAGS: dict[Flag, tuple[str, str]] = {
    Flag("context", "restricted"): ("er een beperking geldt", "er geen beperking geldt"),
    Flag("context", "hasCase"): ("er een lopende zaak is", "er geen lopende zaak is"),
    Flag("context", "breakGlass"): ("er spoed is gemeld", "er geen spoed is gemeld"),
    Flag("context", "othersAtRisk"): ("een ander gevaar loopt", "geen ander gevaar loopt"),
    Flag("context", "incapable"): ("de inwoner niet zelf kan kiezen", "de inwoner zelf kan kiezen"),
    Flag("context", "convenant"): ("er een convenant is", "er geen convenant is"),
    Flag("context", "mandate"): ("er een mandaat is", "er geen mandaat is"),
    Flag("context", "explicit"): ("het ja uitdrukkelijk is", "het ja niet uitdrukkelijk is"),
    Flag("resource", "enabled"): ("het onderwerp aan staat", "het onderwerp uit staat"),
    Flag("resource", "consentPossible"): (
        "toestemming bij dit onderwerp kan",
        "toestemming bij dit onderwerp niet kan",
    ),
    Flag("resource", "explicitConsent"): (
        "dit onderwerp een uitdrukkelijk ja vraagt",
        "dit onderwerp geen uitdrukkelijk ja vraagt",
    ),
    Flag("resource", "breakGlass"): (
        "dit onderwerp bij spoed te zien mag zijn",
        "dit onderwerp bij spoed niet te zien mag zijn",
    ),
    Flag("resource", "art9"): ("dit onderwerp extra gevoelig is", "dit onderwerp niet extra gevoelig is"),
    Flag("resource", "compelling"): (
        "dit onderwerp over de veiligheid van een kind gaat",
        "dit onderwerp niet over de veiligheid van een kind gaat",
    ),
}
_SUBJECTS = {
    "role": "de functie",
    "kind": "het onderwerp",
    "organisationClass": "de soort organisatie",
    "profile": "het profiel",
    "domain": "het gebied",
    "purpose": "het doel",
    "basis": "de grondslag",
    "consent": "de keuze van de inwoner",
    "objection": "het bezwaar",
}
CONSENT_WORDS = {"grant": "ja", "deny": "nee", "none": "nog niet gemaakt"}
OBJECTION_WORDS = {
    "none": "er niet",
    "pending": "nog niet beantwoord",
    "rejected": "afgewezen",
    "upheld": "toegekend",
}


def labels_of(vocabulary: Vocabulary, what: str) -> dict[str, str]:
    """The Dutch words of each code of what a rule can compare."""
    tables: dict[str, Mapping[str, str]] = {
        "role": {role.code: role.label for role in vocabulary.roles},
        "kind": {kind.code: kind.label for kind in vocabulary.kinds},
        "organisationClass": {item.code: item.label for item in vocabulary.organisation_classes},
        "profile": {profile.code: profile.label for profile in vocabulary.profiles},
        "domain": {scope.code: scope.label for scope in vocabulary.scopes},
        "purpose": {purpose.code: purpose.label for purpose in vocabulary.purposes},
        "basis": {basis.code: basis.label for basis in vocabulary.bases},
        "consent": CONSENT_WORDS,
        "objection": OBJECTION_WORDS,
    }
    return dict(tables[what])


# --- saying --------------------------------------------------------------------------


def say(vocabulary: Vocabulary, rule: Rule) -> str:
    """The sentence of a rule.

    Raises:
        Unsayable: It has none, or the sentence would not be read back as this rule.
    """
    cell = cell_of(rule)
    try:
        sentence = _sentence(vocabulary, cell)
    except KeyError:
        raise Unsayable(f"rule {rule.id} has no sentence: it names something the vocabulary lacks") from None
    if parse(vocabulary, sentence) != cell:
        raise Unsayable(f"rule {rule.id} has no sentence that says exactly what it does")
    return sentence


def _sentence(vocabulary: Vocabulary, cell: Cell) -> str:
    if cell.effect == "permit":
        return _permit_sentence(vocabulary, cell)
    who = _quoted(vocabulary, "role", cell.role) if cell.role else ""
    what = _quoted(vocabulary, "kind", cell.kind) if cell.kind else ""
    if cell.own:
        raise KeyError
    opening = f"Niemand mag {what or 'iets'} zien"
    if who:
        opening = f"{who} mag {what} niet zien" if what else f"{who} mag niets zien"
    when = f", als {_words(vocabulary, cell.when)}" if cell.when else ""
    unless = f", tenzij {_words(vocabulary, cell.unless)}" if cell.unless else ""
    return f"{opening}{when}{unless}."


def _permit_sentence(vocabulary: Vocabulary, cell: Cell) -> str:
    if cell == Cell("permit", True, cell.role, "", None, None) and cell.role:
        return f"{vocabulary.role(cell.role).label} mag de eigen meldingen zien."
    match cell:
        case Cell(
            effect="permit",
            own=False,
            when=Both(conditions=(Among("basis", bases), Among("purpose", purposes))),
            unless=None,
        ) if cell.role and cell.kind and len(bases) == 1 and purposes:
            (basis,) = bases
            named = [purpose.label for purpose in vocabulary.purposes if purpose.code in purposes]
            if len(named) != len(purposes):
                raise KeyError
            return permit_words(vocabulary, (cell.role, cell.kind, basis), purposes)
    raise KeyError


def permit_words(
    vocabulary: Vocabulary, cell: tuple[str, str, str], purposes: Iterable[str], *, verb: str = "mag zien"
) -> str:
    """What a role may do with a kind on a basis, in the words of a permit. `cell`: role, kind, basis."""
    role, kind, basis = cell
    asked = set(purposes)
    named = [purpose.label for purpose in vocabulary.purposes if purpose.code in asked]
    return (
        f"{vocabulary.role(role).label} {verb}: {vocabulary.kind(kind).label}. "
        f"Waarvoor: {_enumerated(named)}. Waarom: {_WHY[basis]}."
    )


def _quoted(vocabulary: Vocabulary, what: str, code: str) -> str:
    return f"“{labels_of(vocabulary, what)[code]}”"


def _words(vocabulary: Vocabulary, condition: Condition, *, inside: bool = False) -> str:
    match condition:
        case Flag():
            return _FLAGS[condition][0]
        case Not(Flag() as flag):
            return _FLAGS[flag][1]
        case Among(what, codes) | Not(Among(what, codes)):
            labels = [label for code, label in labels_of(vocabulary, what).items() if code in codes]
            if len(labels) != len(codes) or not codes:
                raise KeyError
            listed = _listed([f"“{label}”" for label in labels], "of")
            denied = "niet " if isinstance(condition, Not) else ""
            return f"{_SUBJECTS[what]} {denied}{listed} is"
        case Not(inner):
            return f"niet geldt dat ({_words(vocabulary, inner)})"
        case Both(parts) | Either(parts):
            word = " en " if isinstance(condition, Both) else " of "
            joined = word.join(_words(vocabulary, part, inside=True) for part in parts)
            return f"({joined})" if inside else joined
    raise KeyError


# --- reading back --------------------------------------------------------------------


def parse(vocabulary: Vocabulary, sentence: str) -> Cell:
    """The meaning of a sentence of the controlled form.

    Raises:
        Unsayable: Not such a sentence.
    """
    return _Reader(vocabulary, sentence).rule()


class _Reader:
    def __init__(self, vocabulary: Vocabulary, sentence: str) -> None:
        self._vocabulary, self._left = vocabulary, sentence

    def rule(self) -> Cell:
        for role, label in self._by_length("role"):
            if self._take(f"{label} mag de eigen meldingen zien."):
                return self._end(Cell("permit", True, role, "", None, None))
            if self._take(f"{label} mag zien: "):
                return self._end(self._permit(role))
        return self._end(self._forbid())

    def _end(self, cell: Cell) -> Cell:
        if self._left:
            raise Unsayable("this is no sentence of a rule")
        return cell

    def _permit(self, role: str) -> Cell:
        kind = self._one_of(self._by_length("kind"), after=". Waarvoor: ")
        purposes = [self._one_of(self._lowered("purpose"))]
        while self._take(", ") or self._take(" en "):
            purposes.append(self._one_of(self._lowered("purpose")))
        self._need(". Waarom: ")
        basis = self._one_of(list(_WHY.items()), after=".")
        when = Both((Among("basis", frozenset({basis})), Among("purpose", frozenset(purposes))))
        return Cell("permit", False, role, kind, when, None)

    def _forbid(self) -> Cell:
        if self._take("Niemand mag "):
            role, kind = "", "" if self._take("iets") else self._quoted("kind")
            self._need(" zien")
        else:
            role, kind = self._quoted("role"), ""
            if not self._take(" mag niets zien"):
                self._need(" mag ")
                kind = self._quoted("kind")
                self._need(" niet zien")
        when = self._expression() if self._take(", als ") else None
        unless = self._expression() if self._take(", tenzij ") else None
        self._need(".")
        return Cell("forbid", False, role, kind, when, unless)

    def _expression(self) -> Condition:
        first = self._term()
        for word, joining in ((" en ", Both), (" of ", Either)):
            parts = [first]
            while self._take(word):
                parts.append(self._term())
            if len(parts) > 1:
                return joining(tuple(parts))
        return first

    def _term(self) -> Condition:
        if self._take("niet geldt dat ("):
            inner = self._expression()
            self._need(")")
            return Not(inner)
        if self._take("("):
            inner = self._expression()
            self._need(")")
            return inner
        for flag, (yes, no) in _FLAGS.items():
            if self._take(yes):
                return flag
            if self._take(no):
                return Not(flag)
        return self._among()

    def _among(self) -> Condition:
        for what, subject in _SUBJECTS.items():
            if re.match(rf"{subject} (niet )?“", self._left):
                self._need(f"{subject} ")
                denied = self._take("niet ")
                codes = {self._quoted(what)}
                while self._take(", ") or self._take(" of "):
                    codes.add(self._quoted(what))
                self._need(" is")
                among = Among(what, frozenset(codes))
                return Not(among) if denied else among
        raise Unsayable("this is no condition of a rule")

    def _quoted(self, what: str) -> str:
        return self._one_of([(code, f"“{label}”") for code, label in self._by_length(what)])

    def _one_of(self, words: list[tuple[str, str]], *, after: str = "") -> str:
        for code, word in words:
            if self._take(word + after):
                return code
        raise Unsayable("a word that the vocabulary does not have")

    def _by_length(self, what: str) -> list[tuple[str, str]]:
        """Longest first, so that a label that begins another does not hide it."""
        return sorted(labels_of(self._vocabulary, what).items(), key=lambda item: -len(item[1]))

    def _lowered(self, what: str) -> list[tuple[str, str]]:
        return [(code, _low(label)) for code, label in self._by_length(what)]

    def _take(self, text: str) -> bool:
        if not self._left.startswith(text):
            return False
        self._left = self._left[len(text) :]
        return True

    def _need(self, text: str) -> None:
        if not self._take(text):
            raise Unsayable("this is no sentence of a rule")


# --- permits of a role ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Said:
    """One permit in words, with its cell: role, kind, basis and purposes."""

    role: str
    kind: str
    basis: str
    purposes: tuple[str, ...]
    sentence: str


def said(vocabulary: Vocabulary, rule: Rule) -> Said:
    """The sentence of one permit, with the cell that it speaks of.

    Raises:
        Unsayable: Not a permit of one role on one kind, for one basis and named purposes.
    """
    sentence = say(vocabulary, rule)
    match cell_of(rule):
        case Cell("permit", False, role, kind, Both((Among("basis", bases), Among("purpose", purposes)))):
            (basis,) = bases
            ordered = tuple(purpose.code for purpose in vocabulary.purposes if purpose.code in purposes)
            return Said(role, kind, basis, ordered, sentence)
    raise Unsayable(f"rule {rule.id} is no permit on a kind")


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


def sentences(vocabulary: Vocabulary, rules: tuple[Rule, ...]) -> Iterator[tuple[str, str]]:
    """(rule id, sentence) of each rule."""
    for rule in rules:
        yield rule.id, say(vocabulary, rule)


def _low(label: str) -> str:
    return label[0].lower() + label[1:]


def _enumerated(labels: list[str]) -> str:
    return _listed([_low(label) for label in labels], "en")


def _listed(parts: list[str], word: str) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + f" {word} " + parts[-1]
