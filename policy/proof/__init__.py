"""What no rule may ever do, proven by Z3 over every request that the engine can send.

    Cedar's JSON form -> world.World -> one formula per set of rules -> properties.prove

Start at `properties.prove`. This is machine checking of a finite model, not
formal verification of the product: Cedar's error semantics and overflow are
left out; strict validation and the house subset close that gap.

Source: docs/design/policy-and-consent.md, "Proofs".
"""
