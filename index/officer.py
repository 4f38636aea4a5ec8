"""What a privacy officer reads of the log: who asked, how often, what was refused; about nobody.

    filter -> entries opened on a reading connection -> lines about the asker only
    status -> every leaf, chain, tile and signature read back and computed anew

No handle, search key, case or chain number leaves this module: an officer's
page can be printed or photographed without a citizen on it.

Source: docs/design/access-log.md, "Reading along".
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import structlog

from index.accesslog.errors import LogInconsistent
from index.accesslog.reading import EntryFilter
from index.accesslog.verifying import LogStatus, verify_all
from index.protocol.codec import EncodingError, unb64u
from index.protocol.entry import SOMETHING, Asker, kinds_shown
from index.reviews import Outcome, ReviewList, YearFigure, figures, verdict, waiting_for_review

if TYPE_CHECKING:
    from index.hub import Hub

log = structlog.get_logger()

PAGE_SIZE = 50
_SCAN = 100_000
"""Entries opened at most for one filter; older ones are reached by choosing a day."""


@dataclass(frozen=True, slots=True)
class OfficerQuery:
    """What an officer filters by; empty means any. `day` is one in the Netherlands; `page` counts from 1."""

    organisation: str = ""
    role: str = ""
    purpose: str = ""
    t: str = ""
    day: date | None = None
    page: int = 1


@dataclass(frozen=True, slots=True)
class OfficerLine:
    """One entry of the log of `year`. `shown` counts kinds, `something` is the look that told no kind.

    `actor` is the pseudonymous employee of that organisation.
    """

    year: int
    index: int
    at: datetime
    t: str
    organisation: str
    node: str
    role: str
    team: str
    purpose: str
    actor: str
    basis: str
    refused: str
    shown: int
    something: bool
    break_glass: bool


@dataclass(frozen=True, slots=True)
class OfficerPage:
    """One page, newest first, and how many match; `complete` is false where older ones were not read."""

    lines: Sequence[OfficerLine]
    total: int
    page_size: int
    complete: bool


@dataclass(frozen=True, slots=True)
class LogCheck:
    """How far the log was read back. `problems` names places in the log, never persons."""

    size: int
    until: datetime | None
    holds: bool
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """No quorum of witnesses for 4 hours; or nothing is signed any more, because of `refusal`."""

    confirmed_at: datetime | None
    refusal: str


NOTHING_YET = LogCheck(0, None, True, ())


class Officers:
    """The log as an officer's page asks for it. Reads committed rows only and never waits for the writer."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._checking = asyncio.Lock()

    async def find(self, query: OfficerQuery) -> OfficerPage:
        """Entries that match, newest first."""
        return await asyncio.to_thread(self._find, query)

    async def status(self) -> LogCheck:
        """Read the whole log back and say whether it holds. One at a time: a page reloaded often waits."""
        async with self._checking:
            return await asyncio.to_thread(self._status)

    async def reviews(self) -> ReviewList:
        """Declared break-glass that the officer is not done with."""
        return await asyncio.to_thread(waiting_for_review, self._hub)

    async def judge(self, id_: str, outcome: Outcome, officer: str) -> bool:
        """Record an outcome of a review, by an officer's id; False when no such review is open.

        Raises:
            LogUnavailable: Nothing could be recorded, so nothing was changed.
        """
        try:
            key = unb64u(id_, 16)
        except EncodingError:
            return False
        return (await verdict(self._hub, key, outcome, officer)).status_code == 200

    async def figures(self) -> Sequence[YearFigure]:
        """How often break-glass was declared, as the public reads it."""
        return await asyncio.to_thread(figures, self._hub)

    def organisations(self) -> dict[str, str]:
        """Who takes part, by OIN, named by the ids of their nodes: no other name is known here."""
        named: dict[str, list[str]] = {}
        for node in self._hub.directory.nodes:
            named.setdefault(node.oin, []).append(node.id)
        return {oin: ", ".join(sorted(ids)) for oin, ids in sorted(named.items())}

    def unconfirmed(self) -> Unconfirmed | None:
        """That nobody confirmed the log for 4 hours, or that nothing is signed any more; else None."""
        standing, refusal = self._hub.witnesses.standing(), self._hub.access_log.refusal
        if not refusal and not (standing and standing.banner):
            return None
        return Unconfirmed(standing.confirmed_at if standing else None, refusal)

    def _find(self, query: OfficerQuery) -> OfficerPage:
        wanted = EntryFilter(
            organisation=query.organisation,
            role=query.role,
            purpose=query.purpose,
            t=query.t,
            day=query.day,
            limit=_SCAN,
            scan=_SCAN,
        )
        try:
            with self._hub.reading() as connection:
                found = self._hub.log_reader.entries(connection, wanted)
        except LogInconsistent as error:
            # `status` names every such place; a list with a changed line in it would look whole.
            log.error("log_inconsistent", reason=str(error))
            return OfficerPage([], 0, PAGE_SIZE, False)
        start = (max(query.page, 1) - 1) * PAGE_SIZE
        lines = [
            line_of(entry.year, entry.index, entry.asker)
            for entry in found.entries[start : start + PAGE_SIZE]
        ]
        return OfficerPage(lines, len(found.entries), PAGE_SIZE, found.next is None)

    def _status(self) -> LogCheck:
        with self._hub.reading() as connection:
            status = verify_all(connection, self._hub.log_reader, node_keys=self._node_keys)
        return NOTHING_YET if status is None else _check(status)

    def _node_keys(self, node: str) -> Sequence[bytes]:
        entry = self._hub.directory.node(node)
        return [unb64u(key, 32) for key in entry.ed25519] if entry else []


def line_of(year: int, index: int, asker: Asker) -> OfficerLine:
    """An entry as an officer's page may show it."""
    shown = set(kinds_shown(unb64u(asker.shown)))
    return OfficerLine(
        year=year,
        index=index,
        at=datetime.fromtimestamp(asker.ts / 1000, UTC),
        t=asker.t,
        organisation=asker.org,
        node=asker.node,
        role=asker.role,
        team=asker.team,
        purpose=asker.purpose,
        actor=asker.actor,
        basis=asker.basis,
        refused=asker.refused,
        shown=len(shown - {SOMETHING}),
        something=SOMETHING in shown,
        break_glass=bool(asker.bg),
    )


def _check(status: LogStatus) -> LogCheck:
    return LogCheck(status.size, status.last, status.holds, status.problems)
