"""The access log: who looked at whom, in a tree that nobody can rewrite unseen.

Start with `log` (append within the hub's transaction), then `reading` (what
citizens, officers and mirrors get) and `tables`. Formats and proofs are pure
and live in `index.protocol`: `entry`, `merkle`, `note`, `proof`.
"""
