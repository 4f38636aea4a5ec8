"""Cedar's answers, stored cell by cell.

A cell is one (organisation class, profile, role, purpose, kind, basis) in one
context. Filled are the contexts in which the decision table asks for a cell;
`decide` treats one that is missing as a failure, never as a no.

Whether a permit exists at all is Cedar's answer in the most open context: a
grant, no objection, a case, and for vitaal_belang others at risk. Pairs of role
and kind that no permit names are not asked: without a permit Cedar denies. Of
questions that differ only in a text which falls alike in every test of every
rule that can apply, one is asked: Cedar cannot tell them apart.

Source: docs/design/policy.md, "Cost".
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from .rules import Rule, fall
from .vocabulary import BASES, Kind, Role, Vocabulary

CONSENT = ("none", "deny", "grant", "grant!")
"""States of consent in a cell's number; `grant!` is an explicit grant."""
OBJECTION = ("none", "pending", "rejected", "upheld")

UNDECLARED = (False, False, False)


class Question(NamedTuple):
    """What Cedar is asked: a kind and the context as JSON text."""

    kind: str
    context: str


class Context(NamedTuple):
    """The part of a context that differs between the cells of one (purpose, kind, basis).

    `consent` and `objection` are places in `CONSENT` and `OBJECTION`. A cell is
    filled for restricted = false only: row 2 stands before every cell.
    """

    consent: int
    objection: int
    has_case: bool
    break_glass: bool
    others_at_risk: bool
    incapable: bool
    mandate: bool

    def cell(self) -> int:
        """The number of this context's cell."""
        return (
            self.consent
            | self.objection << 2
            | self.has_case << 4
            | self.break_glass << 5
            | self.others_at_risk << 6
            | self.incapable << 7
            | self.mandate << 8
        )


class KindCells(NamedTuple):
    """Per basis the answers by cell number; a basis without any permit is absent.

    `mandated`: bases whose permit needs a registered mandate.
    """

    answers: dict[str, dict[int, int]]
    mandated: frozenset[str]


Sheet = dict[int, KindCells]
"""Cells by kind number, for one (class, profile, role, purpose). Every kind is there."""


@dataclass(slots=True)
class Table:
    """Sheets by (organisation class, profile, role, purpose). Written while publishing only."""

    sheets: dict[tuple[str, str, str, str], Sheet] = field(default_factory=dict)

    def __len__(self) -> int:
        """How many answers of Cedar it holds."""
        return sum(
            len(cells)
            for sheet in self.sheets.values()
            for kind in sheet.values()
            for cells in kind.answers.values()
        )


_JSON = ("false", "true")


def context_text(purpose: str, basis: str, context: Context, *, convenant: bool) -> str:
    """The JSON that Cedar parses; built by hand because a publication makes thousands."""
    consent = CONSENT[context.consent]
    return (
        f'{{"purpose":"{purpose}","basis":"{basis}","consent":"{consent.rstrip("!")}",'
        f'"explicit":{_JSON[consent == "grant!"]},"objection":"{OBJECTION[context.objection]}",'
        f'"restricted":false,"hasCase":{_JSON[context.has_case]},"breakGlass":{_JSON[context.break_glass]},'
        f'"othersAtRisk":{_JSON[context.others_at_risk]},"incapable":{_JSON[context.incapable]},'
        f'"convenant":{_JSON[convenant]},"mandate":{_JSON[context.mandate]}}}'
    )


def most_open(basis: str, *, mandate: bool) -> Context:
    """The context in which a permit on this basis opens if it ever does."""
    if basis == "vitaal_belang":
        return Context(0, 0, True, True, True, False, mandate)
    return Context(CONSENT.index("grant!"), 0, True, False, False, False, mandate)


def consulted(kind: Kind, purpose: str, basis: str, *, mandate: bool) -> Iterator[Context]:
    """Every context in which a row of the decision table asks for this cell."""
    declarations = [UNDECLARED]
    if purpose == "crisis":
        declarations += [(True, others, incapable) for others in (False, True) for incapable in (False, True)]
    match basis:
        case "vitaal_belang":
            for consent in range(4):
                for declared in declarations:
                    _, others, incapable = declared
                    if not (others or (incapable and CONSENT[consent] != "deny")):
                        continue
                    for objection in range(4):
                        for has_case in (False, True):
                            yield Context(consent, objection, has_case, *declared, mandate)
        case "wettelijke_plicht":
            yield from _with_case(range(4), range(4), declarations, mandate)
        case "wettelijke_taak":
            objections = [OBJECTION.index("none"), OBJECTION.index("rejected")]
            if kind.compelling_child_safety:
                objections.append(OBJECTION.index("pending"))
            yield from _with_case(range(4), objections, declarations, mandate)
        case _:
            grants = [CONSENT.index("grant!")]
            if not kind.explicit_consent:
                grants.append(CONSENT.index("grant"))
            yield from _with_case(grants, range(4), declarations, mandate)


def _with_case(
    consents: Sequence[int],
    objections: Sequence[int],
    declarations: Sequence[tuple[bool, bool, bool]],
    mandate: bool,
) -> Iterator[Context]:
    for consent in consents:
        for objection in objections:
            for declared in declarations:
                yield Context(consent, objection, True, *declared, mandate)


def fill(
    role_code: str,
    vocabulary: Vocabulary,
    rules: Sequence[Rule],
    ask: Callable[[Sequence[Question]], list[int]],
) -> dict[str, Sheet]:
    """Ask Cedar for all cells of one asker; a sheet per purpose.

    Args:
        rules: The asker's role slice.
        ask: Puts questions to Cedar as that asker, who has this role.
    """
    role = vocabulary.role(role_code)
    asking = _Asking(rules, ask, convenant=role.needs_convenant)
    named = {rule.kind for rule in rules if rule.effect == "permit" and rule.kind}
    pairs = [
        _Pair(purpose.code, kind, basis, _by_mandate(role, kind, basis))
        for purpose in vocabulary.purposes
        for kind in vocabulary.kinds
        if kind.code in named
        for basis in BASES
        if basis in kind.bases
    ]
    probes = asking.answers([(pair, most_open(pair.basis, mandate=pair.mandated)) for pair in pairs])
    cells = [
        (pair, context)
        for pair, number in zip(pairs, probes, strict=True)
        if number
        for context in consulted(pair.kind, pair.purpose, pair.basis, mandate=pair.mandated)
    ]
    mandated = {
        kind.number: frozenset(basis for basis in BASES if _by_mandate(role, kind, basis))
        for kind in vocabulary.kinds
    }
    sheets: dict[str, Sheet] = {
        purpose.code: {number: KindCells({}, bases) for number, bases in mandated.items()}
        for purpose in vocabulary.purposes
    }
    for (pair, context), number in zip(cells, asking.answers(cells), strict=True):
        of_kind = sheets[pair.purpose][pair.kind.number]
        of_kind.answers.setdefault(pair.basis, {})[context.cell()] = number
    return sheets


class _Pair(NamedTuple):
    purpose: str
    kind: Kind
    basis: str
    mandated: bool


class _Asking:
    """Puts each question to Cedar once, however many cells it answers."""

    def __init__(
        self, rules: Sequence[Rule], ask: Callable[[Sequence[Question]], list[int]], *, convenant: bool
    ) -> None:
        self._rules, self._ask, self._convenant = rules, ask, convenant
        self._fallen: dict[tuple[str, str, str], tuple[bool, ...]] = {}

    def answers(self, cells: Sequence[tuple[_Pair, Context]]) -> list[int]:
        keys = [self._key(pair, context) for pair, context in cells]
        first: dict[Hashable, Question] = {}
        for key, (pair, context) in zip(keys, cells, strict=True):
            if key not in first:
                text = context_text(pair.purpose, pair.basis, context, convenant=self._convenant)
                first[key] = Question(pair.kind.code, text)
        answered = dict(zip(first, self._ask(list(first.values())), strict=True))
        return [answered[key] for key in keys]

    def _key(self, pair: _Pair, context: Context) -> Hashable:
        kind = pair.kind.code
        return (
            kind,
            pair.basis,
            self._falls("purpose", pair.purpose, kind),
            self._falls("consent", CONSENT[context.consent].rstrip("!"), kind),
            CONSENT[context.consent] == "grant!",
            self._falls("objection", OBJECTION[context.objection], kind),
            context[2:],
        )

    def _falls(self, attribute: str, value: str, kind: str) -> tuple[bool, ...]:
        key = (attribute, value, kind)
        if key not in self._fallen:
            applying = [rule for rule in self._rules if rule.kind in ("", kind)]
            self._fallen[key] = fall(applying, attribute, value)
        return self._fallen[key]


def _by_mandate(role: Role, kind: Kind, basis: str) -> bool:
    return role.mandate and basis == "wettelijke_taak" and kind.code not in role.wettelijke_taak
