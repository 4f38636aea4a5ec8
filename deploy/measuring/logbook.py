"""A log of many entries, read back as an officer and as a citizen read it.

Each entry is like that of a lookup: a signed statement of a node, a person's
chain in every scope a generalist asks, and the bytes of a decision.
"""

import hashlib
import secrets
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from nacl.bindings import crypto_sign, crypto_sign_keypair, crypto_sign_open

from index import breach
from index.accesslog.log import AccessLog, Recorded
from index.accesslog.verifying import verify_all
from index.app import open_hub, utc_now
from index.hub import Hub
from index.protocol.codec import b64u, unb64u
from index.protocol.entry import EntryDraft
from index.protocol.messages import OwnLogAnswer
from index.protocol.note import ED25519, NoteKey
from index.protocol.statement import SIGNATURE_HEADER, make_statement, sign_statement
from index.store.engine import lock
from nodes.looks import check_lines

from .filling import CASE, DESK, OIN, PURPOSE, ROLE, TEAM
from .hub import HUB_ID, MeasuredHub

CITIZEN_LINES = 1000
_BATCH = 64
_ENTRY = 900
"""Bytes of both parts of such an entry, for the reference."""


@dataclass(frozen=True, slots=True)
class Logbook:
    """`lids` are the log ids of the citizen whose lines are read, by scope."""

    made: MeasuredHub
    hub: Hub
    lids: Mapping[str, bytes]
    vkey: str
    entries: int

    def node_keys(self, node: str) -> list[bytes]:
        key = self.made.node_keys.get(int(node.rpartition("-")[2]))
        return [bytes(key.verify_key)] if key is not None else []


@contextmanager
def filled_log(folder: Path, database: str, entries: int) -> Iterator[Logbook]:
    """A log of `entries` entries; one citizen has 1,000 of them (or all), strangers the others."""
    made = MeasuredHub(folder, database)
    hub = open_hub(made.settings)
    vkey = NoteKey(f"{HUB_ID}/v1/log", ED25519, made.log_vkey).text()
    log = Logbook(made, hub, {scope: secrets.token_bytes(16) for scope in made.scopes}, vkey, entries)
    own, now = set(range(0, entries, max(entries // CITIZEN_LINES, 1))), utc_now()
    try:
        with hub.engine.connect() as connection:
            for first in range(0, entries, _BATCH):
                with connection.begin():
                    lock(connection)
                    hub.access_log.begin(connection, now)
                    for number in range(first, min(first + _BATCH, entries)):
                        append_one(hub.access_log, log, now, own=number in own)
                    hub.access_log.flush(connection, now)
                hub.access_log.committed()
        yield log
    finally:
        hub.engine.dispose()


def append_one(to: AccessLog, log: Logbook, now: datetime, *, own: bool) -> Recorded:
    """One entry of a lookup, about the citizen whose lines are read or about a stranger."""
    statement = make_statement(
        t="lookup", hub=f"{HUB_ID}/v1/log", org=OIN, node=f"node-{DESK}", msg=str(uuid.uuid4()),
        jti=secrets.token_bytes(16), nts=int(now.timestamp()), body=b"{}", actor="m-bench", role=ROLE,
        team=TEAM, purpose=PURPOSE, case=b64u(CASE),
    )  # fmt: skip
    signature = unb64u(sign_statement(statement, log.made.node_keys[DESK])[SIGNATURE_HEADER], 64)
    lids = tuple(log.lids.values()) if own else tuple(secrets.token_bytes(16) for _ in log.lids)
    return to.append(
        EntryDraft(
            t="lookup", ts=int(now.timestamp() * 1000), req=str(uuid.uuid4()), statement=statement,
            signature=signature, lids=lids, dec=bytes(200),
        )
    )  # fmt: skip


def officer_seconds(log: Logbook) -> float:
    """Every leaf, entry, signature, chain and tile of the log, computed anew."""
    begun = time.perf_counter()
    with log.hub.reading() as connection:
        status = verify_all(connection, log.hub.log_reader, node_keys=log.node_keys)
    if status is None or not status.holds or status.opened < log.entries:
        raise RuntimeError("the measured log does not hold")
    return time.perf_counter() - begun


def citizen_ms(log: Logbook) -> float:
    """1,000 entries, each a line in every scope, fetched with their proofs and checked as the portal does."""
    begun = time.perf_counter()
    with log.hub.reading() as connection:
        found = log.hub.log_reader.lines_of(connection, {scope: [lid] for scope, lid in log.lids.items()})
    answer = OwnLogAnswer(found.lines, found.checkpoint, [])
    checked = check_lines(answer, log.lids, log.vkey)
    # Nobody looked here, so there is no newest line to be among them: `verified` cannot be true.
    if not checked.entries or len(checked.entries) != checked.total:
        raise RuntimeError("not every line held")
    return (time.perf_counter() - begun) * 1000


def bare_seconds(entries: int) -> float:
    """For each entry what no verification can do without: SHA-256 of its bytes and one Ed25519 check."""
    public, private = crypto_sign_keypair()
    signed = crypto_sign(secrets.token_bytes(400), private)
    content = secrets.token_bytes(_ENTRY)
    begun = time.perf_counter()
    for _ in range(entries):
        hashlib.sha256(content).digest()
        crypto_sign_open(signed, public)
    return time.perf_counter() - begun


def breach_seconds(log: Logbook) -> tuple[float, int]:
    """What one employee saw in the whole log, and how many lines that is: here all of them are his."""
    begun = time.perf_counter()
    now = utc_now()
    day = timedelta(days=1)
    found = breach.report(log.hub, now - day, now + day, breach.Suspect(employee="m-bench"))
    if found.entries_read < log.entries or len(found.lines) != log.entries:
        raise RuntimeError("the report lacks lines")
    return time.perf_counter() - begun, len(found.lines)
