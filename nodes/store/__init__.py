"""The node's own SQLite file: flags it published, messages to the hub, open visits.

No BSN in clear, no pseudonym: what waits for the key holders and the tickets
of visits are sealed under the node's storage key (`seal`). Start with `tables`.
"""
