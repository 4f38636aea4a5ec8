"""The decision: one pure walk over rows 2 to 13 for each kind.

Cedar's stored answers say what a role may; the person's state says what holds;
the rows put both in order. The rows repeat what the rules forbid: where a row
would open what Cedar did not allow, or a cell is missing, the outcome is row
13, hidden, and an alarm for the caller to raise. Row 1, the join with what
exists, is the index's and comes after.

Source: docs/design/policy.md, "The decision".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple, get_args

from .engine import PolicyVersion
from .table import CONSENT, OBJECTION, Context, KindCells, Sheet
from .vocabulary import Kind, Profile, Role, UnknownCode, Vocabulary

CRISIS = "crisis"
"""The purpose of break-glass, by its code."""

Consent = Literal["grant", "deny", "none"]
Objection = Literal["none", "pending", "rejected", "upheld"]


class KindState(NamedTuple):
    """What holds for one person and kind: the resolved choice, and the rights in use.

    `explicit` counts only beside a grant. `restricted` is AVG 18, `objection` AVG 21.
    """

    consent: Consent
    explicit: bool = False
    restricted: bool = False
    objection: Objection = "none"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What holds for the whole question.

    `has_case`: an active case relation of this team with this person for this
    purpose, read in the transaction of the question; a crisis relation is none.
    `break_glass`: declared, and its 4 hours are not over.
    """

    has_case: bool
    break_glass: bool = False
    others_at_risk: bool = False
    incapable: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """`kind` is its number; `rule` the number of the permit in this version, 0 when hidden."""

    kind: int
    visible: bool
    row: int
    basis: str | None
    rule: int


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, by codes of the vocabulary.

    `convenant`: the kinds that a convenant in force names for this organisation
    and purpose, or True for all; it matters to roles that need one. `mandate`:
    the acts of the organisation's mandate register that are in force now.
    """

    role: str
    organisation_class: str
    profile: str
    purpose: str
    convenant: bool | frozenset[str] = False
    mandate: frozenset[str] = frozenset()


def decide(
    version: PolicyVersion,
    asker: Asker,
    kinds: Sequence[Kind],
    states: Mapping[int, KindState],
    circumstances: Circumstances,
) -> list[Outcome]:
    """The outcome for each kind, in the order given. Never raises; never asks what exists.

    Args:
        kinds: All kinds of the asked scopes, whatever the person has.
        states: By kind number. A kind without a state could not be read: row 13.

    Returns:
        One outcome per kind, rows 2 to 13.
    """
    outcomes = _outcomes(version, asker, circumstances)
    return [_outcome(outcomes, kind, states.get(kind.number)) for kind in kinds]


def decide_each(
    version: PolicyVersion,
    asker: Asker,
    states: Sequence[tuple[Kind, KindState | None]],
    circumstances: Circumstances,
) -> list[Outcome]:
    """`decide` where one kind may be in several states: a right about one publisher is none about others.

    Args:
        states: None stands for a state that could not be read: row 13.
    """
    outcomes = _outcomes(version, asker, circumstances)
    return [_outcome(outcomes, kind, state) for kind, state in states]


def _outcome(outcomes: Mapping[int, tuple[Outcome, ...]], kind: Kind, state: KindState | None) -> Outcome:
    place = _PLACES.get(state) if state is not None else None
    if place is None or kind.number not in outcomes:
        return Outcome(kind.number, False, 13, None, 0)
    return outcomes[kind.number][place]


_STATES = tuple(
    KindState(consent, explicit, restricted, objection)
    for consent in get_args(Consent)
    for explicit in (False, True)
    for restricted in (False, True)
    for objection in get_args(Objection)
)
_PLACES = {state: place for place, state in enumerate(_STATES)}


@lru_cache(maxsize=1024)
def _outcomes(
    version: PolicyVersion, asker: Asker, circumstances: Circumstances
) -> dict[int, tuple[Outcome, ...]]:
    """Per kind the outcome of every possible state, in the order of `_STATES`.

    Walked whole at the first question of an asker in these circumstances, so
    that the work of a question depends on the asker and never on the person.
    """
    walk = _Walk(version, asker, circumstances)
    return {
        kind.number: tuple(walk.outcome(kind, state) for state in _STATES)
        for kind in version.vocabulary.kinds
    }


class _Missing(Exception):
    """A cell that the table does not have, or that contradicts the row."""


class _Walk:
    """What is the same for all kinds of one question."""

    def __init__(self, version: PolicyVersion, asker: Asker, circumstances: Circumstances) -> None:
        key = (asker.organisation_class, asker.profile, asker.role, asker.purpose)
        self._sheet: Sheet | None = version.table.sheets.get(key)
        self._asker = asker
        vocabulary = version.vocabulary
        try:
            self._role: Role | None = vocabulary.role(asker.role)
            self._may_view = vocabulary.organisation_class(asker.organisation_class).may_view
        except UnknownCode:
            self._role, self._may_view = None, False
        self._mandated = vocabulary.kinds_under(asker.mandate)
        # A declaration counts for the purpose crisis only, and risk only with a declaration.
        self._declared = circumstances.break_glass and asker.purpose == CRISIS
        self._others = self._declared and circumstances.others_at_risk
        self._incapable = self._declared and circumstances.incapable
        self._has_case = circumstances.has_case

    def outcome(self, kind: Kind, state: KindState) -> Outcome:
        try:
            row, basis, rule = self._row(kind, state)
        except _Missing:
            row, basis, rule = 13, None, 0
        return Outcome(kind.number, basis is not None, row, basis, rule)

    def _row(self, kind: Kind, state: KindState) -> tuple[int, str | None, int]:
        """(row, basis when visible, rule). Raises `_Missing` for row 13."""
        if self._sheet is None or self._role is None or kind.number not in self._sheet:
            raise _Missing
        if state.restricted:
            return 2, None, 0
        cells = self._sheet[kind.number]
        permits = self._permits(self._role, kind, cells)
        if not permits:
            return 3, None, 0
        if self._declared and "vitaal_belang" in permits:
            if self._others:
                return 4, "vitaal_belang", self._ask(cells, "vitaal_belang", state)
            if self._incapable and state.consent != "deny":
                return 5, "vitaal_belang", self._ask(cells, "vitaal_belang", state)
            if permits == {"vitaal_belang"}:
                return 6, None, 0
        if not self._has_case:
            return 7, None, 0
        if "wettelijke_plicht" in permits:
            return 8, "wettelijke_plicht", self._ask(cells, "wettelijke_plicht", state)
        if "wettelijke_taak" in permits and _task_stands(kind, state):
            mandated = "wettelijke_taak" in cells.mandated
            return 9, "wettelijke_taak", self._ask(cells, "wettelijke_taak", state, mandate=mandated)
        # Row 10 is the way from 9 to here.
        granted = state.consent == "grant" and (state.explicit or not kind.explicit_consent)
        if "toestemming" in permits and granted:
            return 11, "toestemming", self._ask(cells, "toestemming", state)
        return 12, None, 0

    def _permits(self, role: Role, kind: Kind, cells: KindCells) -> set[str]:
        """The bases with a permit here; none when row 3's other conditions close the kind."""
        if not kind.enabled or not self._may_view or self._asker.purpose == "toezicht":
            return set()
        convenant = self._asker.convenant
        if role.needs_convenant and not (convenant is True or (convenant and kind.code in convenant)):
            return set()
        return {
            basis for basis in cells.answers if basis not in cells.mandated or kind.code in self._mandated
        }

    def _ask(self, cells: KindCells, basis: str, state: KindState, *, mandate: bool = False) -> int:
        """Cedar's stored answer to this very context; a no where the row says yes is a failure."""
        consent = "grant!" if state.consent == "grant" and state.explicit else state.consent
        context = Context(
            CONSENT.index(consent),
            OBJECTION.index(state.objection),
            self._has_case,
            self._declared,
            self._others,
            self._incapable,
            mandate,
        )
        number = cells.answers[basis].get(context.cell(), 0)
        if not number:
            raise _Missing
        return number


def _task_stands(kind: Kind, state: KindState) -> bool:
    """Row 9: no objection, a rejected one, or a pending one on a kind whose ground was assessed before."""
    return state.objection in ("none", "rejected") or (
        state.objection == "pending" and kind.compelling_child_safety
    )


def may_break_glass(source: Vocabulary | PolicyVersion, role: str, profile: str = "basis") -> bool:
    """Whether a role may declare break-glass at all: it can reach a kind on vitaal_belang.

    Depends on the role, never on the person: declaring it may give nothing.

    Raises:
        UnknownCode: No such role or profile.
    """
    vocabulary = source if isinstance(source, Vocabulary) else source.vocabulary
    entry, narrowing = vocabulary.role(role), vocabulary.profile(profile)
    return any(
        _reaches(vocabulary, entry, narrowing, kind=kind, purpose=CRISIS, basis="vitaal_belang")
        for kind in vocabulary.kinds
        if "vitaal_belang" in kind.bases
    )


def scopes_for(
    source: Vocabulary | PolicyVersion, role: str, purpose: str, profile: str = "basis"
) -> tuple[str, ...]:
    """The scopes in which a role may see anything at all for a purpose, in their fixed order.

    Depends on the role, never on the person, nor on what convenant or mandate
    is registered. The node asks for these scopes and the hub checks it; both
    must come to the same from the same vocabulary.

    Raises:
        UnknownCode: No such role, purpose or profile.
    """
    vocabulary = source if isinstance(source, Vocabulary) else source.vocabulary
    entry, narrowing = vocabulary.role(role), vocabulary.profile(profile)
    vocabulary.purpose(purpose)
    reached = {
        kind.domain
        for kind in vocabulary.kinds
        if any(
            _reaches(vocabulary, entry, narrowing, kind=kind, purpose=purpose, basis=basis)
            for basis in kind.bases
        )
    }
    return tuple(scope.code for scope in vocabulary.scopes if scope.code in reached)


def scopes_of_role(source: Vocabulary | PolicyVersion, role: str, profile: str = "basis") -> tuple[str, ...]:
    """The scopes in which a role may see anything for any of its purposes, in their fixed order.

    In these a question is recorded that names a purpose which the role does not have.

    Raises:
        UnknownCode: No such role or profile.
    """
    vocabulary = source if isinstance(source, Vocabulary) else source.vocabulary
    purposes = vocabulary.role(role).purposes
    reached = {scope for purpose in purposes for scope in scopes_for(vocabulary, role, purpose, profile)}
    return tuple(scope.code for scope in vocabulary.scopes if scope.code in reached)


def _reaches(
    vocabulary: Vocabulary, role: Role, profile: Profile, *, kind: Kind, purpose: str, basis: str
) -> bool:
    listed = kind.code in role.kinds_on(basis)
    if role.mandate and basis == "wettelijke_taak":
        listed = listed or kind.code in vocabulary.kinds_under(act.code for act in vocabulary.mandate_acts)
    return (
        listed
        and kind.enabled
        and purpose in role.purposes
        and purpose in kind.purposes
        and (basis != "vitaal_belang" or purpose == CRISIS)
        and role.code in profile.roles
        and basis not in profile.without_bases
        and kind.code not in profile.without_kinds
        and kind.domain in profile.only_domains.get(role.code, (kind.domain,))
        and purpose in profile.only_purposes.get(role.code, (purpose,))
    )
