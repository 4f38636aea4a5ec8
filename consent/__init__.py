"""What a citizen decided, and proof of it.

    Directive -> ledger of one scope -> ChoiceState -> resolve -> KindState -> policy.decide

A directive is one entry in the append-only ledger of one pseudonym in one
scope (`directive`). The ledger is the proof; beside it lies one folded state,
rewritten with each entry, which is what a lookup opens (`state`). `resolve`
turns it into grant, deny or none for each kind; `receipt` proves an entry to
the citizen; `preview` says beforehand what a choice opens and closes; `cases`
runs worked cases through all of it. `pseudonym` is what stands for the citizen.

Nothing here but the pages knows a clock or a network, and nothing a BSN: time
comes in. This file imports nothing, so that who needs a `Pseudonym` only does
not load the rule engine.

Source: docs/design/consent.md.
"""
