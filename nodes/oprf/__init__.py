"""The oblivious function behind every pseudonym. Start with `voprf`, then `threshold`."""
