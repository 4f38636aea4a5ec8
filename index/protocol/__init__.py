"""What travels between nodes, hub and key holders: messages, signatures, proofs.

Pure: no database, no socket, no clock. A node may import this package and
nothing else of `index`. Start with `messages` (the bodies), `statement` (who
asks) and `entry` (what the access log keeps of it).
"""
