"""Who sees what after this click: the same decision, once as it is and once as it would be.

There is no second implementation: `resolve` and `policy.decide` compute both
sides. It covers all kinds of the vocabulary, never only those a citizen has,
so a bystander reads nothing from it.

Source: docs/design/consent.md, "Effect preview".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from policy.decide import Asker, Circumstances, decide
from policy.engine import PolicyVersion

from .resolve import Former, Receiver, states_of
from .state import ChoiceState

BY_LAW = ("wettelijke_plicht", "wettelijke_taak")


@dataclass(frozen=True, slots=True)
class PossibleAsker:
    """Who could ask: role, class, profile and purpose, and where the role works."""

    asker: Asker
    receiver: Receiver
    formers: tuple[Former, ...] = ()
    """Under which names its people asked before a merger."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One thing that one receiver may see for one purpose."""

    receiver: Receiver
    purpose: str
    kind: str
    basis: str


@dataclass(frozen=True, slots=True)
class Effects:
    """`by_law` stays visible whatever is chosen; the page names its article and offers no choice."""

    opened: tuple[Cell, ...]
    closed: tuple[Cell, ...]
    by_law: tuple[Cell, ...]


States = Mapping[str, ChoiceState | None]
"""Per scope the folded choices; a scope that is absent has none."""


def effects(
    version: PolicyVersion,
    before: States,
    after: States,
    askers: Sequence[PossibleAsker],
    at: datetime,
    *,
    measures: frozenset[str] = frozenset(),
) -> Effects:
    """What opens and closes between two states of the choices, as if each asker has a case now.

    Args:
        before, after: Per scope; give only the scopes that change to see those.
        at: UTC; the instant for which both sides are resolved.
    """
    sides = _Sides(version, {*before, *after}, at, measures)
    opened: list[Cell] = []
    closed: list[Cell] = []
    by_law: list[Cell] = []
    for possible in askers:
        was = sides.cells(before, possible)
        will = sides.cells(after, possible)
        opened += [cell for number, cell in will.items() if number not in was]
        closed += [cell for number, cell in was.items() if number not in will]
        by_law += [cell for cell in will.values() if cell.basis in BY_LAW]
    return Effects(tuple(opened), tuple(closed), tuple(by_law))


def visible_now(
    version: PolicyVersion,
    states: States,
    askers: Sequence[PossibleAsker],
    at: datetime,
    *,
    measures: frozenset[str] = frozenset(),
) -> tuple[Cell, ...]:
    """Everything these askers could see now, over all kinds of the scopes given."""
    sides = _Sides(version, set(states), at, measures)
    return tuple(cell for possible in askers for cell in sides.cells(states, possible).values())


class _Sides:
    """What both sides of a comparison share."""

    def __init__(
        self, version: PolicyVersion, scopes: set[str], at: datetime, measures: frozenset[str]
    ) -> None:
        self._version, self._at, self._measures = version, at, measures
        self._kinds = {
            scope.code: version.vocabulary.kinds_of(scope.code)
            for scope in version.vocabulary.scopes
            if scope.code in scopes
        }

    def cells(self, states: States, possible: PossibleAsker) -> dict[int, Cell]:
        """What one asker sees, by kind number."""
        asker = possible.asker
        purpose = self._version.vocabulary.purpose(asker.purpose)
        found: dict[int, Cell] = {}
        for scope, kinds in self._kinds.items():
            resolved = states_of(
                states.get(scope),
                kinds,
                possible.receiver,
                purpose,
                self._at,
                measures=self._measures,
                formers=possible.formers,
            )
            outcomes = decide(self._version, asker, kinds, resolved, Circumstances(has_case=True))
            for kind, outcome in zip(kinds, outcomes, strict=True):
                if outcome.visible and outcome.basis is not None:
                    found[kind.number] = Cell(possible.receiver, asker.purpose, kind.code, outcome.basis)
        return found
