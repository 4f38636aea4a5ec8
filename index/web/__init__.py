"""Pages for the privacy officer at the hub: the log, without any person."""
