"""A node as a witness: it cosigns what the hub's log says of itself, and never two stories.

Start with `witness.Witness`; `routes` gives it an address. It needs nothing
of the node but a store and a key of its own, and knows no person.
"""
