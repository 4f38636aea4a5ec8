"""Pages for the manager of a source: what was sent, what waits, what was rejected and why."""
