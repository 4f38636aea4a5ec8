"""One-time links from an organisation's own system to an open visit at the desk.

A link holds for 60 seconds, once, and for the employee it was made for; it
names no person. Links live in memory only: a restart ends them.
"""

import hashlib
import secrets
import time

from .employees import Employee

_MOST = 10_000


class DeskLinks:
    """Links that were given and not yet used."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._open: dict[bytes, tuple[float, str, str]] = {}

    def issue(self, employee: Employee, visit_id: str) -> str:
        """The secret part of a link."""
        now = time.monotonic()
        self._open = {key: kept for key, kept in self._open.items() if kept[0] > now}
        while len(self._open) >= _MOST:
            self._open.pop(next(iter(self._open)))
        token = "l" + secrets.token_urlsafe(24)
        self._open[_digest(token)] = (now + self._seconds, employee.id, visit_id)
        return token

    def redeem(self, employee: Employee, token: str) -> str | None:
        """The visit behind a link, once; None when it is used, over, or another's."""
        kept = self._open.get(_digest(token))
        if kept is None or kept[1] != employee.id:
            return None
        del self._open[_digest(token)]
        return kept[2] if kept[0] > time.monotonic() else None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
