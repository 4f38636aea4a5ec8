"""What each kind came to, and from what, in the six bytes that the log has for it.

    outcome + state + circumstances -> dec -> outcomes, for the background check
                                           -> inputs, for a replay against a candidate

The inputs are those of `policy.decide`: the resolved choice and the rights in
use, and what held for the question. They are in the part that the asker never
sees. Nine bits that rows and bases leave free hold them, so no entry grows.
The numbers of both tables below are in the log: new ones go at the end.

Source: docs/adr/0015-inputs-in-the-sealed-decision.md.
"""

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import NamedTuple

from index.protocol.entry import decision_bytes, decisions_of, inputs_of
from policy.decide import Circumstances, KindState, Outcome
from policy.recheck import Recorded
from policy.replay import Input
from policy.vocabulary import BASES

_STATES = (
    None,  # not recorded, or not readable
    *(
        KindState(consent, explicit, restricted, objection)
        for consent in ("none", "deny", "grant")
        for explicit in (False, True)
        for restricted in (False, True)
        for objection in ("none", "pending", "rejected", "upheld")
    ),
)
_CIRCUMSTANCES = (
    Circumstances(has_case=False),
    Circumstances(has_case=True),
    *(
        Circumstances(has_case=False, break_glass=True, others_at_risk=others, incapable=incapable)
        for others in (False, True)
        for incapable in (False, True)
    ),
)
_STATE_NUMBERS: dict[KindState | None, int] = {state: number for number, state in enumerate(_STATES)}
_CIRCUMSTANCES_NUMBERS = {held: number << 6 for number, held in enumerate(_CIRCUMSTANCES)}
_BASIS_NUMBERS: dict[str | None, int] = {None: 0, **{basis: at for at, basis in enumerate(BASES, 1)}}


class Reasoned(NamedTuple):
    """An outcome with the nine bits of what it was made from."""

    outcome: Outcome
    inputs: int


def reasoned(
    outcomes: Iterable[tuple[Outcome, KindState | None]], circumstances: Circumstances
) -> list[Reasoned]:
    """The outcomes of one scope, each with the state it was made from; None where that could not be read."""
    held = _CIRCUMSTANCES_NUMBERS[circumstances]
    return [Reasoned(outcome, _STATE_NUMBERS[state] | held) for outcome, state in outcomes]


def dec_of(policy_hash: bytes, decided: Sequence[Reasoned]) -> bytes:
    """`dec` of an entry: every kind of the asked scopes, by rising number."""
    ordered = sorted(decided, key=attrgetter("outcome.kind"))
    rows = [(one.row, _BASIS_NUMBERS[one.basis], one.rule) for one, _ in ordered]
    return decision_bytes(policy_hash, rows, [inputs for _, inputs in ordered])


class Read(NamedTuple):
    """What `dec` says. `inputs` is None for a kind of which none are recorded."""

    hash: bytes
    outcomes: tuple[Recorded, ...]
    inputs: dict[int, Input | None]


def read_dec(dec: bytes, kinds: Sequence[int]) -> Read | None:
    """`dec` of an entry about these kinds, by rising number; None where it is about others.

    Raises:
        EntryError: Not a decision field.
    """
    digest, rows = decisions_of(dec)
    if len(rows) != len(kinds) or any(basis > len(BASES) for _, basis, _ in rows):
        return None
    outcomes = tuple(
        Recorded(number, row, BASES[basis - 1] if basis else "", rule)
        for number, (row, basis, rule) in zip(kinds, rows, strict=True)
    )
    inputs = {number: _input(word) for number, word in zip(kinds, inputs_of(dec), strict=True)}
    return Read(digest, outcomes, inputs)


def _input(word: int) -> Input | None:
    state, held = word & 0x3F, word >> 6
    if not state or state >= len(_STATES) or held >= len(_CIRCUMSTANCES):
        return None
    said = _STATES[state]
    return None if said is None else Input(said, _CIRCUMSTANCES[held])
