"""A hub to measure: real keys, documents and formats, and as many flags as asked.

    with MeasuredHub(folder, database) as hub:
        hub.fill(flags=100_000)
        with hub.served() as address: ...

Rows that will be opened are sealed by the hub's own code: every asked person's
flags, choices and relation. All other flags are random bytes of the right size
under random keys: nobody opens them, and sealing a million would measure nothing.
"""

import os
import secrets
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from nacl.bindings import crypto_scalarmult_base
from nacl.signing import SigningKey
from sqlalchemy import Connection, Engine

from consent.directive import Directive
from consent.state import encode as encode_state
from consent.state import fold
from index.app import create_app, open_hub, utc_now
from index.hub import Hub
from index.keystore import init_keystore
from index.protocol import directory as d
from index.protocol.codec import SCOPES, b64u
from index.protocol.directory import class_number
from index.rows import OPEN_END, Flag, Relation
from index.settings import HubSettings
from index.store import batch, migrate
from index.store.engine import open_engine
from index.tickets import Ticket
from index.transaction import ChoiceRow, DigestRow, FlagRow, HeartbeatRow, Written
from nodes.oprf import ristretto
from policy.decide import scopes_for
from policy.vocabulary import load_vocabulary

HUB_ID = "hub.bench.vlagwijzer.example"
OIN = "00000001234567890000"
SOURCE, DESK = 1, 2
ROLE, PURPOSE, TEAM = "generalist", "huisbezoek", "noord"
CASE = bytes(range(16))
NO_END_WEEK = 0x7FFFFFFF
ASKED = 1000
"""Persons that are asked about, round and round."""
FLAGS_EACH = 3
_AT_ONCE = 50_000
_EVERYBODY = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Asked:
    """One person of the load: the node's ticket and log ids."""

    ticket: str
    lids: tuple[bytes, ...]


class MeasuredHub:
    """A hub in `folder` on `database` (a URL, or a path for SQLite). Everything is made anew."""

    def __init__(self, folder: Path, database: str) -> None:
        self.folder = folder
        self.node_keys = {number: SigningKey.generate() for number in (SOURCE, DESK)}
        self._holders = {name: SigningKey.generate() for name in ("kh-a", "kh-b", "kh-c")}
        self.vocabulary = load_vocabulary()
        self.keystore = init_keystore(
            folder / "keys", rotation_public=crypto_scalarmult_base(secrets.token_bytes(32)), at=utc_now()
        )
        self.settings = self._written(database)
        engine = open_engine(self.settings.database_url)
        migrate.upgrade(engine)
        engine.dispose()
        self.scopes = scopes_for(self.vocabulary, ROLE, PURPOSE)
        self.asked: list[Asked] = []

    @property
    def log_vkey(self) -> bytes:
        return bytes(self.keystore.log_signing.verify_key)

    # --- documents -------------------------------------------------------------------

    def _written(self, database: str) -> HubSettings:
        (self.folder / "manifest.json").write_bytes(d.encode(self._manifest()))
        (self.folder / "directory.json").write_bytes(d.encode(self._directory()))
        return HubSettings(
            hub_id=HUB_ID,
            database=database,
            keystore=self.folder / "keys",
            manifest=self.folder / "manifest.json",
            directory=self.folder / "directory.json",
            holders={name: b64u(bytes(key.verify_key)) for name, key in self._holders.items()},
            node_per_minute=_EVERYBODY,
            employee_per_minute=_EVERYBODY,
            policy_number=1,
            batch_persons=64,
        )

    def _manifest(self) -> d.Manifest:
        point = b64u(ristretto.hash_to_element(b"bench", b"vlagwijzer/bench"))
        keys = [
            d.ScopeKey(
                kid=f"{scope}.e1", scope=scope, state="active", carry=False, t=2, n=3,  # type: ignore[arg-type]
                commits=[point, point], canary=d.Canary(b64u(d.canary_input(f"{scope}.e1")), point),
                origin="dealer",
            )
            for scope in SCOPES
        ]  # fmt: skip
        holders = [
            d.HolderEntry(name, at, f"https://{name}.example", b64u(bytes(key.verify_key)))
            for at, (name, key) in enumerate(self._holders.items(), 1)
        ]
        hub = d.HubEntry(HUB_ID, [b64u(self.keystore.points_public)])
        blank = d.Manifest(1, "ristretto255-SHA512", "2026-01-01T00:00:00Z", holders, hub, keys, {})
        return d.sign(blank, self._holders)

    def _directory(self) -> d.Directory:
        kinds = [
            d.KindEntry(kind.code, "Gemeente Voorbeeld", "14 012")
            for kind in self.vocabulary.kinds
            if not kind.self_declared
        ]
        organisation = d.OrganisationEntry(1, OIN, "gemeente", kinds, [d.TeamEntry(1, TEAM)])
        classes = {SOURCE: ["publish"], DESK: ["lookup"]}
        nodes = [
            d.NodeEntry(
                id=f"node-{number}", number=number, oin=OIN, url=f"https://node-{number}.example",
                ed25519=[b64u(bytes(key.verify_key))], classes=classes[number],  # type: ignore[arg-type]
                scopes=list(SCOPES),  # type: ignore[arg-type]
            )
            for number, key in self.node_keys.items()
        ]  # fmt: skip
        broker = d.BrokerEntry("broker", b64u(bytes(SigningKey.generate().verify_key)))
        return d.sign(d.Directory(1, [organisation], nodes, [broker], {}), self._holders)

    # --- rows ------------------------------------------------------------------------

    def fill(self, flags: int, asked: int = ASKED) -> None:
        """Store `flags` flags, of which those of the `asked` persons can be opened."""
        hub = open_hub(self.settings)
        try:
            out, self.asked = _persons(hub, self.scopes, asked)
            now = int(utc_now().timestamp())
            tag = hub.rows.pub_tag(SOURCE)
            out.heartbeats[tag] = HeartbeatRow(tag, now)
            for bucket in range(256):
                out.digests[tag, bucket] = DigestRow(tag, bucket, 1, bytes(32), now)
            with hub.engine.begin() as connection:
                batch.write(connection, out, [])
            for _ in range(0, max(flags - len(out.flags), 0), _AT_ONCE):
                with hub.engine.begin() as connection:
                    _random_flags(connection, tag, min(_AT_ONCE, flags))
            _settle(hub.engine)
        finally:
            hub.engine.dispose()

    # --- serving ---------------------------------------------------------------------

    @contextmanager
    def served(self, *, profile: Path | None = None) -> Iterator[tuple[int, tuple[str, int]]]:
        """The hub in a process of its own on loopback; gives its process id and address.

        Args:
            profile: Where that process writes a `cProfile` of its writer thread.
        """
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        sock.listen(512)
        process = os.fork()
        if process == 0:
            _serve(self.settings, sock, profile)
        address: tuple[str, int] = sock.getsockname()
        sock.close()
        try:
            yield process, address
        finally:
            os.kill(process, signal.SIGTERM)
            os.waitpid(process, 0)


def _serve(settings: HubSettings, sock: socket.socket, profile: Path | None) -> None:
    """The child: serve until told to stop, then end without the parent's clean-up."""
    import logging

    from deploy.logging_setup import set_up_logging
    from deploy.serve import serve

    set_up_logging("bench hub", level=logging.WARNING)
    try:
        app = create_app(settings)
        if profile is not None:
            _profile_writer(app.state.hub, profile)
        serve(app, "127.0.0.1", 0, sock)
    finally:
        os._exit(0)


def _profile_writer(hub: Hub, target: Path) -> None:
    import cProfile

    run = hub.sequencer._run

    def profiled() -> None:
        profiler = cProfile.Profile()
        try:
            profiler.runcall(run)
        finally:
            profiler.dump_stats(target)

    hub.sequencer._run = profiled  # type: ignore[method-assign]


def _persons(hub: Hub, scopes: tuple[str, ...], count: int) -> tuple[Written, list[Asked]]:
    """Rows of the asked persons, and what a node would keep of their visit.

    Every second person has a choice in every scope; all have three flags over the scopes.
    """
    out, asked = Written(), []
    now = utc_now()
    seconds = int(now.timestamp())
    for number in range(count):
        opened = {}
        for place, scope in enumerate(scopes):
            n = secrets.token_bytes(32)
            keys = hub.rows.keys_of(scope, n)
            opened[scope] = (hub.kid_number(scope) or 0, keys)
            relation = Relation(
                class_number("lookup"), DESK, 1, hub.vocabulary.role(ROLE).number,
                hub.vocabulary.purpose(PURPOSE).number, CASE, seconds, seconds + 86_400, 0, seconds, keys.lid,
            )  # fmt: skip
            row = hub.rows.new_relation(scope, keys.idx_rel, n, relation)
            out.relations[row.key] = row
            if number % 2:
                state = encode_state(fold(None, _choice(now)))
                sealed = hub.rows.seal_choice(scope, keys.idx_dir, n=n, lid=keys.lid, state=state)
                out.choices[keys.idx_dir] = ChoiceRow(keys.idx_dir, *sealed)
            if place < FLAGS_EACH:
                kind = next(k for k in hub.vocabulary.kinds_of(scope) if not k.self_declared)
                flag = Flag(kind.number, SOURCE, 300, OPEN_END, 0, keys.lid)
                rtag = secrets.token_bytes(32)
                box = hub.rows.seal_flag(scope, rtag, keys.idx, n, flag)
                tag = hub.rows.pub_tag(SOURCE)
                out.flags[tag, rtag] = FlagRow(tag, rtag, keys.idx, *box, number + 1, NO_END_WEEK)
        ticket = Ticket(
            DESK, 1, hub.vocabulary.role(ROLE).number, hub.vocabulary.purpose(PURPOSE).number,
            class_number("lookup"), CASE, seconds, seconds + 86_400, opened,
        )  # fmt: skip
        asked.append(Asked(b64u(hub.tickets.seal(f"node-{DESK}", ticket)), ticket.lids))
    return out, asked


def _choice(now: datetime) -> Directive:
    return Directive(1, secrets.token_bytes(16), "grant", receiver=(OIN, TEAM), from_=now, until=None)


def _random_flags(connection: Connection, tag: bytes, count: int) -> None:
    """Flags that nobody opens: random tags, keys and contents."""
    rows = sorted(
        (tag, secrets.token_bytes(32), secrets.token_bytes(32), secrets.token_bytes(108),
         secrets.token_bytes(76), 1, NO_END_WEEK)
        for _ in range(count)
    )  # fmt: skip
    if connection.dialect.name == "postgresql":
        driver: Any = connection.connection.driver_connection
        with driver.cursor().copy("COPY flag FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["bytea", "bytea", "bytea", "bytea", "bytea", "int8", "int4"])
            for row in rows:
                copy.write_row(row)
        return
    connection.exec_driver_sql("INSERT INTO flag VALUES (?, ?, ?, ?, ?, ?, ?)", rows)


def _settle(engine: Engine) -> None:
    """Bring the database to the state of one that runs for long: statistics, nothing left to copy."""
    with engine.connect().execution_options(reading=True, isolation_level="AUTOCOMMIT") as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("VACUUM ANALYZE")
            connection.exec_driver_sql("CHECKPOINT")
        else:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
