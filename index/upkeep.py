"""What is due by the calendar: the daily heads, the month's sample, the end of what is kept.

Looked at every few minutes in a thread of its own; each part finds out from the
database whether it is due, so two hub processes, a restart or a clock that
steps back cost at most an entry more.

Source: docs/design/access-log.md, "Log id and handle" (heads), "Erasure and retention".
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import insert
from sqlalchemy.exc import DBAPIError

from index import erasing, notices, sampling, steering
from index.accesslog import heads, tables
from index.accesslog.errors import LogError
from index.acts import HistoryBroken
from index.keystore import KeystoreError
from index.protocol.codec import b64u
from index.protocol.directory import Adopted, NotTrusted, parse_directory
from index.protocol.entry import EntryDraft
from index.protocol.note import origin_of

if TYPE_CHECKING:
    from index.hub import Hub

log = structlog.get_logger()


class Upkeep:
    """The background work of one hub process; `start` and `stop` with the application."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Do not begin another round; one that runs is not waited for."""
        self._over.set()

    def _run(self) -> None:
        while not self._over.wait(self._hub.settings.upkeep_seconds):
            for part in (self.directory, self.heads, self.sample, self.figures, self.erase):
                try:
                    part()
                except (LogError, HistoryBroken, DBAPIError, KeystoreError, OSError) as error:
                    # One part must not keep the others from their term; the next round tries again.
                    log.error("upkeep_failed", part=part.__name__, error=type(error).__name__)

    def directory(self) -> bool:
        """Take a newer directory that the key holders signed; True when there was one.

        A class of organisation that no organisation had needs a new start: Cedar was not asked for it.
        """
        hub = self._hub
        pins, threshold = hub.settings.pins(), max(key.t for key in hub.manifest.keys)
        try:
            found = parse_directory(hub.settings.directory.read_bytes(), pins, threshold)
            adopted = Adopted(hub.directory, hub.clock())
            if not adopted.adopt(found, hub.clock()):
                return False
        except NotTrusted as error:
            log.error("directory_refused", rule=str(error))
            return False
        if {one.class_ for one in found.organisations} - {one.class_ for one in hub.directory.organisations}:
            log.error("directory_needs_restart", version=found.version)
            return False
        hub.take_directory(found)
        log.info("directory_adopted", version=found.version)
        return True

    def heads(self) -> int:
        """Record the newest line of each chain, once a day (UTC); how many entries were written."""
        hub, office = self._hub, self._hub.office
        reader = hub.log_reader
        with hub.reading() as connection:
            last = heads.newest_at(connection, reader)
            today = hub.clock().date()
            if last is not None and datetime.fromtimestamp(last / 1000, UTC).date() >= today:
                return 0
            found = [
                (part, heads.ends_of(reader.opened(connection, part.year, part.first, part.last + 1)))
                for part in heads.uncovered(connection, reader)
            ]
        if not found:
            return 0
        with office.sitting() as sitting:
            for part, ends in found:
                raw = heads.listed(ends)
                more: dict[str, str | int] = {
                    "count": len(ends),
                    "digest": b64u(heads.digest_of(raw)),
                    "from": part.first,
                    "to": part.last,
                    "year": part.year,
                }
                entry = sitting.append(EntryDraft(t="heads", ts=0, req="", more=more))
                origin = origin_of(hub.settings.statement_hub, sitting.year)
                sealed = heads.seal(office.keystore, origin, entry.index, raw, sitting.now)
                row = {"year": sitting.year, "index": entry.index, "sealed": sealed}
                sitting.connection.execute(insert(tables.heads), [row])
        return len(found)

    def sample(self) -> None:
        """Fix next month's seed before that month begins, and draw last month's sample."""
        sampling.due(self._hub)

    def figures(self) -> None:
        """Count last month's steering figures, once."""
        steering.due(self._hub)

    def erase(self) -> erasing.Erased:
        """Erase what is past its term, and forget the postponed notices of what is erased."""
        done = erasing.run(self._hub.office)
        notices.forget_erased(self._hub)
        return done
