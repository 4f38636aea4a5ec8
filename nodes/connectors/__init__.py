"""Connectors: an organisation's own data in, publish and retract out.

Everything except BSN, reference, kind and months is dropped inside the
connector. What cannot be read is rejected with a reason, never guessed.
"""
