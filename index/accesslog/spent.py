"""One-time values, spent in the transaction that records their use.

A set in memory until each value's own end, and one row per batch, so that a
restarted or second process knows them too.

Source: docs/design/access-log.md, "Storage and the order of things".
"""

import hashlib
from collections.abc import Mapping

from sqlalchemy import Connection, delete, select

from index.protocol.codec import lp, u32

from . import tables

TAG_SIZE = 16
_ITEM = TAG_SIZE + 4


def tag_of(issuer: str, jti: str | bytes) -> bytes:
    """The tag of a value that `issuer` made unique, 16 bytes."""
    return hashlib.sha256(lp(issuer) + lp(jti)).digest()[:TAG_SIZE]


class Spent:
    """Tags seen, with the end of each in Unix seconds. Not safe for two threads: one writer uses it."""

    def __init__(self) -> None:
        self._known: dict[bytes, int] = {}
        self._new: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._known) + len(self._new)

    def spend(self, tag: bytes, until: int) -> bool:
        """Whether the tag was fresh; then it is spent from now on in this batch."""
        if tag in self._known or tag in self._new:
            return False
        self._new[tag] = until
        return True

    def pending(self) -> Mapping[bytes, int]:
        return self._new

    def keep(self) -> None:
        """The batch was committed."""
        self._known.update(self._new)
        self._new = {}

    def drop(self) -> None:
        """The batch was rolled back."""
        self._new = {}

    def load(self, conn: Connection, now: int) -> None:
        """Read what other processes, or an earlier life of this one, spent and did not yet end."""
        self._new, self._known = {}, {}
        for (tags,) in conn.execute(select(tables.spent.c.tags).where(tables.spent.c.until >= now)):
            for at in range(0, len(tags), _ITEM):
                until = int.from_bytes(tags[at + TAG_SIZE : at + _ITEM], "big")
                self._known[tags[at : at + TAG_SIZE]] = until

    def write(self, conn: Connection, batch: int) -> None:
        """Store this batch's tags as one row."""
        if self._new:
            tags = b"".join(tag + u32(until) for tag, until in self._new.items())
            tables.insert_rows(conn, tables.spent, [(batch, tags, max(self._new.values()))])

    def forget_ended(self, conn: Connection, now: int) -> None:
        """Drop what its own time refuses anyway, in memory and in the table."""
        self._known = {tag: until for tag, until in self._known.items() if until >= now}
        conn.execute(delete(tables.spent).where(tables.spent.c.until < now))
