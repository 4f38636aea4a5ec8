"""Feeding a demo that is up: extracts through the real import, choices through the real portal.

    keys for calling systems -> each source imports its own extract -> outboxes drained
    -> listed citizens log in and choose

A second start imports again, which changes nothing, and does not choose again:
what a citizen changed since then stays.
"""
