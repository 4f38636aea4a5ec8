"""Postponed notice: lines that a citizen sees later, each until an officer releases it.

    recorded on the postponed chain -> row with its place and log ids -> term of 14 days
    -> an officer releases: entry `release` in the ordinary chain names the line, the row goes,
       and the flag that the line made known is shown in the citizen's own view
    -> or postpones once more, with a reason from a list: entry `admin`, another term

The log alone cannot find the ordinary chain of a postponed line, so the row
keeps its log ids, sealed. A line past its term is listed until somebody acts;
nothing is told by the clock alone.

Source: docs/design/policy-and-consent.md, "Postponed notice"; access-log.md §1.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import structlog
from sqlalchemy import Connection, delete, select

from index.accesslog.tables import entry as entries
from index.protocol.codec import b64u, unb64u
from index.protocol.entry import EntryDraft
from index.rows import RowError
from index.store.engine import lock
from index.store.tables import postponed as postponed_table
from index.transaction import Finish, Needs, PostponedRow, Tx

if TYPE_CHECKING:
    from index.accesslog.log import Recorded
    from index.hub import Hub
    from index.rows import Rows
    from policy.postpone import Reason

log = structlog.get_logger()

KIND = "postponed"
AT_ONCE = 500
"""Lines released or postponed in one transaction."""


class Postponed(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line. Times are Unix seconds; `until` is 0 in the first term, which counts from `since`."""

    year: int
    index: int
    lids: list[str]
    t: str
    node: str
    role: str
    team: str
    since: int
    until: int = 0
    reason: str = ""
    renewed: int = 0
    flag: str = ""
    """The key of the flag that the line made known."""

    def ends(self, step: timedelta) -> int:
        """Unix seconds at which its term is over."""
        return self.until or self.since + int(step.total_seconds())


def row_of(
    rows: Rows, year: int, recorded: Recorded, lids: Sequence[bytes], flag: bytes, *, now: datetime
) -> PostponedRow:
    """The row of a line that was just recorded on postponed handles; `flag` is the one it made known."""
    said = recorded.draft.statement
    line = Postponed(
        year=year,
        index=recorded.index,
        lids=[b64u(lid) for lid in lids],
        t=recorded.draft.t,
        node=said.node if said else "",
        role=said.role if said else "",
        team=said.team if said else "",
        since=int(now.timestamp()),
        flag=b64u(flag) if flag else "",
    )
    return _row(rows, secrets.token_bytes(16), line)


def _row(rows: Rows, key: bytes, line: Postponed) -> PostponedRow:
    return PostponedRow(key, rows.seal_note(KIND, key, msgspec.json.encode(line)))


def _opened(rows: Rows, row: PostponedRow) -> Postponed:
    return msgspec.json.decode(rows.open_note(KIND, row.key, row.sealed), type=Postponed)


def step_of(hub: Hub) -> timedelta:
    """The longest term at a time."""
    return timedelta(days=hub.vocabulary.limits.notice_postponement_step_days)


# --- what waits ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Waiting:
    """Lines of one node, role and activity that wait; nothing about a person.

    `due` of the `count` are past their term; `first` is when the first term is or was over.
    """

    id: str
    node: str
    role: str
    t: str
    count: int
    due: int
    first: datetime


def waiting(hub: Hub) -> list[Waiting]:
    """What is postponed, what is past its term first. Blocks."""
    groups: dict[str, list[Postponed]] = {}
    for _, line in _all(hub):
        groups.setdefault(_group(line), []).append(line)
    now, step = int(hub.clock().timestamp()), step_of(hub)
    found = []
    for name, lines in groups.items():
        ends = [line.ends(step) for line in lines]
        due = sum(end <= now for end in ends)
        one = lines[0]
        first = datetime.fromtimestamp(min(ends), UTC)
        found.append(Waiting(name, one.node, one.role, one.t, len(lines), due, first))
    return sorted(found, key=lambda group: (not group.due, group.first, group.id))


def places(hub: Hub) -> frozenset[tuple[int, int]]:
    """Year and index of every line that waits. Blocks."""
    return frozenset((line.year, line.index) for _, line in _all(hub))


def keys_of(hub: Hub, group: str, *, due_only: bool) -> list[bytes]:
    """The lines of a group, the oldest first, at most `AT_ONCE`. Blocks."""
    now, step = int(hub.clock().timestamp()), step_of(hub)
    mine = [
        (line.since, key)
        for key, line in _all(hub)
        if _group(line) == group and (not due_only or line.ends(step) <= now)
    ]
    return [key for _, key in sorted(mine)[:AT_ONCE]]


def forget_erased(hub: Hub) -> int:
    """Remove the rows of lines that are erased by now: there is nothing left to tell. How many. Blocks."""
    waits = _all(hub)
    if not waits:
        return 0
    with hub.reading() as connection:
        erased = _erased(connection, waits)
    gone = [key for key, line in waits if (line.year, line.index) in erased]
    with hub.engine.connect() as connection, connection.begin():
        lock(connection)
        for key in gone:
            connection.execute(delete(postponed_table).where(postponed_table.c.key == key))
    return len(gone)


def _erased(connection: Connection, waits: Sequence[tuple[bytes, Postponed]]) -> set[tuple[int, int]]:
    column, found = entries.c, set()
    for _, line in waits:
        place = column.year == line.year, column.index == line.index
        if connection.execute(select(column.sealed.is_(None)).where(*place)).scalar():
            found.add((line.year, line.index))
    return found


def _all(hub: Hub) -> list[tuple[bytes, Postponed]]:
    with hub.reading() as connection:
        rows = connection.execute(select(postponed_table)).all()
    return [(row.key, _opened(hub.rows, row)) for row in map(PostponedRow._make, rows)]


def _group(line: Postponed) -> str:
    return f"{line.node}.{line.role}.{line.t}"


# --- an officer acts -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Release:
    """Tell now: an ordinary line in each person's chain names the postponed one."""

    hub: Hub
    keys: Sequence[bytes]
    caller: None = None

    @property
    def persons(self) -> int:
        return len(self.keys)

    def needs(self) -> Needs:
        c = postponed_table.c
        with self.hub.reading() as connection:
            rows = connection.execute(select(postponed_table).where(c.key.in_(self.keys))).all()
        lines = [_opened(self.hub.rows, PostponedRow._make(row)) for row in rows]
        flags = frozenset(_flag_key(line) for line in lines if line.flag)
        return Needs(postponed=frozenset(self.keys), flag_keys=flags)

    def apply(self, tx: Tx) -> Finish:
        done = 0
        for key in self.keys:
            row = tx.postponed(key)
            if row is None:
                continue
            line = _opened(self.hub.rows, row)
            tx.record(
                EntryDraft(
                    t="release",
                    ts=int(tx.now.timestamp() * 1000),
                    req="",
                    lids=tuple(unb64u(lid, 16) for lid in line.lids),
                    pv=self.hub.policy.number,
                    more={"index": line.index, "year": line.year},
                )
            )
            tx.put_postponed(key, None)
            self._tell(tx, line)
            done += 1
        return lambda _: msgspec.json.encode(done)

    def _tell(self, tx: Tx, line: Postponed) -> None:
        """Mark the flag that the line made known; one that was taken back meanwhile is not there."""
        row = tx.flag(*_flag_key(line)) if line.flag else None
        if row is None:
            return
        try:
            tx.put_flag(self.hub.rows.told(row))
        except RowError:
            log.error("flag_unreadable", scope="")


def _flag_key(line: Postponed) -> tuple[bytes, bytes]:
    raw = unb64u(line.flag, 48)
    return raw[:16], raw[16:]


@dataclass(frozen=True, slots=True)
class Renewal:
    """Postpone once more, from now on, for one term; the reason is in the log, for officers."""

    hub: Hub
    keys: Sequence[bytes]
    reason: Reason
    caller: None = None

    @property
    def persons(self) -> int:
        return len(self.keys)

    def needs(self) -> Needs:
        return Needs(postponed=frozenset(self.keys))

    def apply(self, tx: Tx) -> Finish:
        until, done = int((tx.now + step_of(self.hub)).timestamp()), 0
        for key in self.keys:
            row = tx.postponed(key)
            if row is None:
                continue
            line = _opened(self.hub.rows, row)
            # Nobody's chain: a line in it would tell what is postponed.
            tx.record(
                EntryDraft(
                    t="admin",
                    ts=int(tx.now.timestamp() * 1000),
                    req="",
                    pv=self.hub.policy.number,
                    more={"cause": f"postponed-{self.reason}", "index": line.index, "year": line.year},
                )
            )
            changed = msgspec.structs.replace(line, until=until, reason=self.reason, renewed=line.renewed + 1)
            tx.put_postponed(key, _row(self.hub.rows, key, changed))
            done += 1
        return lambda _: msgspec.json.encode(done)
