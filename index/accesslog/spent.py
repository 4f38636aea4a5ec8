"""One-time values, spent in the transaction that records their use.

A set in memory until each value's own end, and one row per batch, so that a
restarted or second process knows them too. Memory is a set for each minute in
which values end, dropped whole: about 110 bytes a value, so that a hub with 500 requests
a second levels off at 13 MB after four minutes. `MOST` is the bound whatever the load.

Source: docs/design/access-log.md, "Storage and the order of things".
"""

import hashlib
from collections.abc import Mapping

from sqlalchemy import Connection, delete, select

from index.protocol.codec import lp, u32

from . import tables

TAG_SIZE = 16
MOST = 2_000_000
"""Values held at one time, some 220 MB: four minutes of 8,000 requests a second."""
_ITEM = TAG_SIZE + 4
_MINUTE = 60


def tag_of(issuer: str, jti: str | bytes) -> bytes:
    """The tag of a value that `issuer` made unique, 16 bytes."""
    return hashlib.sha256(lp(issuer) + lp(jti)).digest()[:TAG_SIZE]


class Full(Exception):
    """As many values as fit are held already; nothing was spent."""


class Spent:
    """Tags seen, by the minute in which they end. Not safe for two threads: one writer uses it."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._known: dict[int, set[bytes]] = {}
        self._new: dict[bytes, int] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size + len(self._new)

    def spend(self, tag: bytes, until: int) -> bool:
        """Whether the tag was fresh; then it is spent from now on in this batch.

        Raises:
            Full: Nobody can say that later uses would be noticed, so this one is refused.
        """
        # In every minute: who signs may give the same value another end.
        if tag in self._new or any(tag in tags for tags in self._known.values()):
            return False
        if len(self) >= self._most:
            raise Full
        self._new[tag] = until
        return True

    def pending(self) -> Mapping[bytes, int]:
        return self._new

    def keep(self) -> None:
        """The batch was committed."""
        for tag, until in self._new.items():
            self._add(tag, until)
        self._new = {}

    def drop(self) -> None:
        """The batch was rolled back."""
        self._new = {}

    def load(self, conn: Connection, now: int) -> None:
        """Read what other processes, or an earlier life of this one, spent and did not yet end."""
        self._new, self._known, self._size = {}, {}, 0
        for (tags,) in conn.execute(select(tables.spent.c.tags).where(tables.spent.c.until >= now)):
            for at in range(0, len(tags), _ITEM):
                until = int.from_bytes(tags[at + TAG_SIZE : at + _ITEM], "big")
                self._add(bytes(tags[at : at + TAG_SIZE]), until)

    def write(self, conn: Connection, batch: int) -> None:
        """Store this batch's tags as one row."""
        if self._new:
            tags = b"".join(tag + u32(until) for tag, until in self._new.items())
            tables.insert_rows(conn, tables.spent, [(batch, tags, max(self._new.values()))])

    def forget_ended(self, conn: Connection, now: int) -> None:
        """Drop what its own time refuses anyway, in memory and in the table."""
        for minute in [minute for minute in self._known if (minute + 1) * _MINUTE <= now]:
            self._size -= len(self._known.pop(minute))
        conn.execute(delete(tables.spent).where(tables.spent.c.until < now))

    def _add(self, tag: bytes, until: int) -> None:
        tags = self._known.setdefault(until // _MINUTE, set())
        self._size += tag not in tags
        tags.add(tag)
