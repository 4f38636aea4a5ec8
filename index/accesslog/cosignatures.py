"""What witnesses confirmed of the log: stored verified, served with the checkpoint.

A checkpoint is *confirmed* when the cosignatures of one size reach the policy's
quorum. The newest confirmed one is what `/v1/log/<year>/checkpoint` gives;
receipts in answers carry the newest signed one, which no witness saw yet.

Source: docs/design/access-log.md, "Checkpoints, witnesses, quorum".
"""

from collections.abc import Iterable
from dataclasses import dataclass

from nacl.signing import SigningKey
from sqlalchemy import Connection, delete, func, insert, select

from index.protocol.codec import u64
from index.protocol.note import Checkpoint, NoteError, origin_of, parse_note, sign_checkpoint, signature_line
from index.protocol.tlogpolicy import Confirmed, LogPolicy

from . import tables

_SIZES_KEPT = 64
"""Sizes that still wait for a quorum; what is older will not get one."""


@dataclass(frozen=True, slots=True)
class Cosigned:
    """One verified cosignature: the policy's name of the witness, and what and when it signed."""

    year: int
    size: int
    root: bytes
    witness: str
    time: int
    signature: bytes


@dataclass(frozen=True, slots=True)
class ConfirmedHead:
    """A checkpoint with its cosignatures, and what they come to."""

    year: int
    size: int
    root: bytes
    note: str
    confirmed: Confirmed


def keep(conn: Connection, found: Iterable[Cosigned], policy: LogPolicy) -> None:
    """Store verified cosignatures, and remove those that a later confirmation covers."""
    c = tables.cosignature.c
    years = set()
    for one in found:
        years.add(one.year)
        place = (c.year == one.year, c.size == one.size, c.witness == one.witness)
        conn.execute(delete(tables.cosignature).where(*place))
        conn.execute(
            insert(tables.cosignature).values(
                year=one.year, size=one.size, witness=one.witness, root=one.root,
                time=one.time, signature=one.signature,
            )
        )  # fmt: skip
    for year in years:
        sizes = _sizes(conn, year)
        covered = next((size for size in sizes if _confirms(conn, year, size, policy)), 0)
        oldest = max([covered, *sizes[_SIZES_KEPT - 1 : _SIZES_KEPT]])
        conn.execute(delete(tables.cosignature).where(c.year == year, c.size < oldest))


def last_size(conn: Connection, year: int, witness: str) -> int:
    """The largest size of this year that the witness is known to have cosigned, 0 for none."""
    c = tables.cosignature.c
    found = conn.execute(select(func.max(c.size)).where(c.year == year, c.witness == witness)).scalar()
    return int(found or 0)


def newest_confirmed(
    conn: Connection, prefix: str, year: int, policy: LogPolicy, key: SigningKey
) -> ConfirmedHead | None:
    """The newest checkpoint of a year with a quorum; each cosignature is verified again.

    A row that somebody wrote into the table is worth nothing: what no witness signed is never
    signed by the log here.
    """
    for size in _sizes(conn, year):
        for root in _roots(conn, year, size):
            head = with_cosignatures(conn, Checkpoint(origin_of(prefix, year), size, root), year, policy, key)
            if head.confirmed.quorum:
                return head
    return None


def with_cosignatures(
    conn: Connection, checkpoint: Checkpoint, year: int, policy: LogPolicy, key: SigningKey
) -> ConfirmedHead:
    """A checkpoint as the log signs it, with every stored cosignature that holds over it."""
    c = tables.cosignature.c
    rows = conn.execute(
        select(c.witness, c.time, c.signature)
        .where(c.year == year, c.size == checkpoint.size, c.root == checkpoint.root)
        .order_by(c.witness)
    )
    note = sign_checkpoint(checkpoint, key)
    for name, time, signature in rows:
        witness = policy.witnesses.get(name)
        if witness is not None:
            line = signature_line(witness.key.name, witness.key.id, u64(time) + signature)
            if _holds(note + line, name, policy):
                note += line
    return ConfirmedHead(year, checkpoint.size, checkpoint.root, note, policy.confirmed(parse_note(note)))


def _holds(note: str, name: str, policy: LogPolicy) -> bool:
    try:
        return name in policy.confirmed(parse_note(note)).times
    except NoteError:
        return False


def _sizes(conn: Connection, year: int) -> list[int]:
    """Sizes of which there are cosignatures, newest first."""
    c = tables.cosignature.c
    query = select(c.size).where(c.year == year).distinct().order_by(c.size.desc())
    return [row.size for row in conn.execute(query)]


def _roots(conn: Connection, year: int, size: int) -> list[bytes]:
    c = tables.cosignature.c
    query = select(c.root).where(c.year == year, c.size == size).distinct()
    return [bytes(root) for root in conn.execute(query).scalars()]


def _confirms(conn: Connection, year: int, size: int, policy: LogPolicy) -> bool:
    c = tables.cosignature.c
    for root in _roots(conn, year, size):
        rows = conn.execute(select(c.witness, c.time).where(c.year == year, c.size == size, c.root == root))
        if policy.confirmed_by({row.witness: row.time for row in rows}).quorum:
            return True
    return False
