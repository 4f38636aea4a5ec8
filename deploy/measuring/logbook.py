"""A log of many entries, read back as an officer and as a citizen read it."""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from index.accesslog.log import AccessLog
from index.accesslog.verifying import verify_all
from index.app import open_hub, utc_now
from index.hub import Hub
from index.protocol.entry import EntryDraft
from index.protocol.messages import OwnLogAnswer
from index.protocol.note import ED25519, NoteKey
from index.store.engine import lock
from nodes.looks import check_lines

from .hub import HUB_ID, MeasuredHub

CITIZEN_LINES = 1000
_BATCH = 64


@dataclass(frozen=True, slots=True)
class Logbook:
    hub: Hub
    lid: bytes
    vkey: str


@contextmanager
def filled_log(folder: Path, database: str, entries: int) -> Iterator[Logbook]:
    """A log of `entries` entries; one citizen has 1,000 of them, strangers the others."""
    made = MeasuredHub(folder, database)
    hub = open_hub(made.settings)
    lid, now = secrets.token_bytes(16), utc_now()
    own = set(range(0, entries, max(entries // CITIZEN_LINES, 1)))
    try:
        with hub.engine.connect() as connection:
            for first in range(0, entries, _BATCH):
                with connection.begin():
                    lock(connection)
                    hub.access_log.begin(connection, now)
                    for number in range(first, min(first + _BATCH, entries)):
                        _append(hub.access_log, now, lid if number in own else secrets.token_bytes(16))
                    hub.access_log.flush(connection, now)
                hub.access_log.committed()
        vkey = NoteKey(f"{HUB_ID}/v1/log", ED25519, made.log_vkey).text()
        yield Logbook(hub, lid, vkey)
    finally:
        hub.engine.dispose()


def _append(log: AccessLog, now: datetime, lid: bytes) -> None:
    log.append(EntryDraft(t="lookup", ts=int(now.timestamp() * 1000), req="", lids=(lid,), dec=bytes(200)))


def officer_seconds(log: Logbook) -> float:
    """Every leaf, entry, chain and tile of the log, computed anew."""
    begun = time.perf_counter()
    with log.hub.reading() as connection:
        status = verify_all(connection, log.hub.log_reader)
    if status is None or not status.holds:
        raise RuntimeError("the measured log does not hold")
    return time.perf_counter() - begun


def citizen_ms(log: Logbook) -> float:
    """1,000 lines fetched with their proofs and checked as the portal does."""
    begun = time.perf_counter()
    with log.hub.reading() as connection:
        found = log.hub.log_reader.lines_of(connection, {"geld": [log.lid]})
    answer = OwnLogAnswer(found.lines, found.checkpoint, [])
    if not check_lines(answer, {"geld": log.lid}, log.vkey).entries:
        raise RuntimeError("no line held")
    return (time.perf_counter() - begun) * 1000
