"""What recorded decisions would come to under a candidate: counts per role and kind, and nobody in them.

    recorded inputs -> running version | candidate -> appears, disappears, cannot be told -> counts

Decided again is what was recorded: choice, rights and circumstances of a
question. Flags are never looked at: a view that appears is a kind that would be
open to a question that was asked. Where the inputs are not recorded, every
input that there can be is tried: if all agree that is the answer, else it
cannot be told. Counts below 10 are not told, others are rounded to 5.

Source: docs/design/policy-and-consent.md, "What would change"; policy.md 1.5; docs/adr/0014.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from .decide import Asker, Circumstances, Consent, KindState, Objection, decide, scopes_for
from .engine import PolicyVersion
from .vocabulary import UnknownCode

THRESHOLD, ROUNDING = 10, 5
FEW = "minder dan 10"

Effect = Literal["appears", "disappears", "unknown", ""]


class Input(NamedTuple):
    """What one kind was decided from."""

    state: KindState
    circumstances: Circumstances


@dataclass(frozen=True, slots=True)
class RecordedDecision:
    """What one recorded question was decided from. No person, and nothing of what existed.

    `inputs` is by kind number: the kinds that were decided; None where it is not recorded from what.
    """

    asker: Asker
    inputs: Mapping[int, Input | None]


@dataclass(frozen=True, slots=True)
class Moved:
    """Views of a role on a kind; a count below 10 is `FEW`, others are rounded to 5.

    `unknown` are those of which the record does not tell: their inputs were
    not recorded, or the candidate asks a scope that was not asked.
    """

    role: str
    kind: str
    appear: int | str
    disappear: int | str
    unknown: int | str


def replay(recorded: Iterable[RecordedDecision], old: PolicyVersion, new: PolicyVersion) -> tuple[Moved, ...]:
    """Decide recorded inputs under both versions and count what would appear or disappear.

    A (role, kind) is listed when one of its counts is 10 or more; of all that
    are not listed every count is `FEW`, none among them. The caller records
    that this was asked.

    Args:
        recorded: Of a chosen period. Both versions must be filled for the profiles of its askers.
    """
    comparing = _Comparing(old, new)
    counts: dict[Effect, Counter[tuple[str, str]]] = {effect: Counter() for effect in get_args(Effect)}
    for one in recorded:
        role = one.asker.role
        for number in comparing.kinds(one):
            effect = comparing.effect(one.asker, number, one.inputs.get(number))
            if effect:
                counts[effect][role, comparing.code(number)] += 1
    told = counts["appears"], counts["disappears"], counts["unknown"]
    return tuple(
        Moved(*cell, *(rounded(counter[cell]) for counter in told))
        for cell in sorted(set().union(*told))
        if max(counter[cell] for counter in told) >= THRESHOLD
    )


class _Comparing:
    """Both versions, with what was worked out already: many questions are alike."""

    def __init__(self, old: PolicyVersion, new: PolicyVersion) -> None:
        self._old, self._new = old, new
        self._effects: dict[tuple[Asker, int, Input | None], Effect] = {}
        self._asked: dict[Asker, frozenset[int]] = {}

    def code(self, number: int) -> str:
        """A kind's code, of the version that has it."""
        known = {kind.number: kind.code for kind in self._new.vocabulary.kinds}
        return known.get(number) or self._old.vocabulary.kind_by_number(number).code

    def kinds(self, one: RecordedDecision) -> Iterable[int]:
        """What was decided then, and what the candidate would decide beside it."""
        if one.asker not in self._asked:
            asker, words = one.asker, self._new.vocabulary
            try:
                scopes = scopes_for(words, asker.role, asker.purpose, asker.profile)
            except UnknownCode:
                scopes = ()
            self._asked[asker] = frozenset(kind.number for scope in scopes for kind in words.kinds_of(scope))
        return self._asked[one.asker].union(one.inputs)

    def effect(self, asker: Asker, number: int, given: Input | None) -> Effect:
        """What the candidate does to a view that was decided from `given`."""
        key = asker, number, given
        if key not in self._effects:
            possible = _EVERY if given is None else (given,)
            found = {self._of(asker, number, one) for one in possible}
            self._effects[key] = found.pop() if len(found) == 1 else "unknown"
        return self._effects[key]

    def _of(self, asker: Asker, number: int, given: Input) -> Effect:
        before, after = _seen(self._old, asker, number, given), _seen(self._new, asker, number, given)
        if before == after:
            return ""
        return "appears" if after else "disappears"


_EITHER = (False, True)
_EVERY = tuple(
    Input(KindState(*state), held)
    for state in itertools.product(get_args(Consent), _EITHER, _EITHER, get_args(Objection))
    for held in (
        Circumstances(has_case=False),
        Circumstances(has_case=True),
        *(Circumstances(False, True, *risk) for risk in itertools.product(_EITHER, repeat=2)),
    )
)


def _seen(version: PolicyVersion, asker: Asker, number: int, given: Input) -> bool:
    try:
        kind = version.vocabulary.kind_by_number(number)
    except UnknownCode:
        return False
    (outcome,) = decide(version, asker, [kind], {number: given.state}, given.circumstances)
    return outcome.visible


def rounded(count: int) -> int | str:
    """A count that may be told."""
    if count < THRESHOLD:
        return FEW
    return ROUNDING * ((count + ROUNDING // 2) // ROUNDING)
