"""Witnesses, their quorum, and what shows when somebody rewrites the log."""
