"""The daily entry `heads`: the newest line of every chain that grew since the last one.

    count, digest, from, to     SHA-256 over the sorted handle ‖ u32(n) ‖ u64(index)
    table `heads`               that list, sealed, for officers

A line that is taken off the end of a chain later contradicts it. The entry says
which range it covers, so it is computed without holding up the writer; the last
day of a year is covered by the first `heads` of the next, which names the year.

Source: docs/design/access-log.md, "Log id and handle".
"""

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt as _decrypt
from nacl.exceptions import CryptoError
from sqlalchemy import Connection, select

from index.aead import seal_box
from index.protocol import entry as fmt
from index.protocol.codec import lp, u32, u64
from index.protocol.entry import Opened

from . import tables
from .errors import LogInconsistent
from .keys import LOG_KEYS, LogKeys
from .reading import LogReader

_ROW = 16 + 4 + 8
_LOOK_BACK = 8
"""Entries `heads` that are opened to see how far they reach."""


class Range(NamedTuple):
    """Entries of one year, both ends included."""

    year: int
    first: int
    last: int


def uncovered(conn: Connection, reader: LogReader) -> list[Range]:
    """What no `heads` entry covers yet, of the newest year and the one before."""
    reach: dict[int, int] = {}
    rows = conn.execute(
        select(tables.heads.c.year, tables.heads.c.index)
        .order_by(tables.heads.c.year.desc(), tables.heads.c.index.desc())
        .limit(_LOOK_BACK)
    ).all()
    for year, index in rows:
        for _, entry in reader.opened(conn, year, index, index + 1):
            chain = fmt.parse_chain(entry.chain)
            about = chain.year if isinstance(chain.year, int) else year
            if isinstance(chain.to, int):
                reach[about] = max(reach.get(about, -1), chain.to)
    found = []
    for year in reader.years(conn)[:2]:
        head = reader.head(conn, year)
        if head and reach.get(year, -1) + 1 < head.size:
            found.append(Range(year, reach.get(year, -1) + 1, head.size - 1))
    return found[::-1]


def newest_at(conn: Connection, reader: LogReader) -> int | None:
    """Milliseconds UTC of the last `heads` entry, None before the first."""
    row = conn.execute(
        select(tables.heads.c.year, tables.heads.c.index)
        .order_by(tables.heads.c.year.desc(), tables.heads.c.index.desc())
        .limit(1)
    ).first()
    if row is None:
        return None
    year, index = row
    found = reader.at(conn, year, index)
    return found.asker.ts if found else None


def ends_of(entries: Iterable[tuple[int, Opened]]) -> dict[bytes, tuple[int, int]]:
    """Handle -> number and index of its last line among these entries, given by rising index."""
    ends: dict[bytes, tuple[int, int]] = {}
    for index, entry in entries:
        handles = fmt.read_handles(fmt.parse_asker(entry.asker))
        for handle, (n, _) in zip(handles, fmt.parse_chain(entry.chain).subj, strict=True):
            ends[handle] = (n, index)
    return ends


def listed(ends: Mapping[bytes, tuple[int, int]]) -> bytes:
    """The sorted list, 28 bytes a handle."""
    return b"".join(sorted(handle + u32(n) + u64(index) for handle, (n, index) in ends.items()))


def digest_of(raw: bytes) -> bytes:
    """The digest of a list, as the entry has it."""
    return hashlib.sha256(raw).digest()


def seal(keys: LogKeys, origin: str, index: int, raw: bytes, now: datetime) -> bytes:
    """The list as it lies in the table, bound to its entry."""
    key, nonce = keys.current(LOG_KEYS, now), secrets.token_bytes(24)
    return b"\x01" + u32(key.number) + nonce + seal_box(raw, _aad(origin, index), nonce, key.key)


def open_list(keys: LogKeys, origin: str, index: int, sealed: bytes) -> dict[bytes, tuple[int, int]] | None:
    """The list again; None where its key was destroyed.

    Raises:
        LogInconsistent: It does not open.
    """
    try:
        key = keys.data_key(int.from_bytes(sealed[1:5], "big"))
    except KeyError:
        return None
    try:
        raw = _decrypt(sealed[29:], _aad(origin, index), sealed[5:29], key)
    except (CryptoError, ValueError):
        raise LogInconsistent(f"the list of entry {index} does not open") from None
    rows = [raw[at : at + _ROW] for at in range(0, len(raw), _ROW)]
    return {row[:16]: (int.from_bytes(row[16:20], "big"), int.from_bytes(row[20:], "big")) for row in rows}


def _aad(origin: str, index: int) -> bytes:
    return lp("heads") + lp(origin) + u64(index)
