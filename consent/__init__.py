"""What a citizen decided, and proof of it.

    Directive -> ledger of one scope -> ChoiceState -> resolve -> KindState -> policy.decide

A directive is one entry in the append-only ledger of one pseudonym in one
scope (`directive`). The ledger is the proof; beside it lies one folded state,
rewritten with each entry, which is what a lookup opens (`state`). `resolve`
turns it into grant, deny or none for each kind; `receipt` proves an entry to
the citizen; `preview` says beforehand what a choice opens and closes.

Nothing here knows a BSN, a clock, a store or a network: time comes in.

Source: docs/design/consent.md.
"""

from .directive import Directive, directive_hash
from .preview import effects
from .pseudonym import Pseudonym
from .resolve import Receiver, Resolution, resolve, states_of
from .state import ChoiceState, StateFull, fold

__all__ = [
    "ChoiceState",
    "Directive",
    "Pseudonym",
    "Receiver",
    "Resolution",
    "StateFull",
    "directive_hash",
    "effects",
    "fold",
    "resolve",
    "states_of",
]
