"""A log on a real SQLite file, with fixed keys, for the tests of this folder."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nacl.signing import SigningKey
from sqlalchemy import Connection, Engine, create_engine, event

import index.accesslog.tables
from index.accesslog.lasthead import HeadFile
from index.accesslog.log import AccessLog, Recorded, SealedBatch
from index.accesslog.verifying import LogStatus, verify_all
from index.protocol.codec import b64u
from index.protocol.entry import EntryDraft, decision_bytes, shown_bits
from index.protocol.messages import LogReceipt
from index.protocol.note import ED25519, NoteKey
from index.protocol.statement import Signed, make_statement, parse_statement, sign_statement
from index.store.metadata import metadata

PREFIX = "hub.example.nl/v1/log"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
NODE_KEY = SigningKey(b"\x04" * 32)
LOG_TABLES = [
    getattr(index.accesslog.tables, name)
    for name in ("entry", "handle", "tile", "tree", "spent", "heads", "cosignature", "erasure")
]


@dataclass(frozen=True)
class DataKey:
    number: int
    key: bytes


class Keys:
    """Keys of one hub; `destroy` forgets a data key, as shredding does."""

    def __init__(self) -> None:
        self.log_signing = SigningKey(b"\x01" * 32)
        self._data = {7: b"\x03" * 32}

    def log_key(self, year: int) -> bytes:
        return b"\x02" * 30 + year.to_bytes(2, "big")

    def data_key(self, number: int) -> bytes:
        return self._data[number]

    def current(self, kind: str, at: datetime) -> DataKey:
        assert kind == "log"
        return DataKey(7, self._data[7])

    def destroy(self, number: int) -> None:
        del self._data[number]


LOG_VKEY = NoteKey(PREFIX, ED25519, bytes(Keys().log_signing.verify_key)).text()


class World:
    """One database file; `process()` starts another hub process on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.engine = self._engine()
        metadata.create_all(self.engine, tables=LOG_TABLES)
        self.keys = Keys()
        self.log = self.process()
        self.asked = 0

    def _engine(self) -> Engine:
        engine = create_engine(f"sqlite:///{self.folder / 'hub.db'}")

        @event.listens_for(engine, "connect")
        def _(connection: Any, _record: object) -> None:
            connection.execute("PRAGMA journal_mode=WAL")

        return engine

    def process(self, keeper: HeadFile | None = None) -> AccessLog:
        return AccessLog(PREFIX, self.keys, keeper=keeper)

    def statement(self, **changes: Any) -> Signed:
        self.asked += 1
        fields: dict[str, Any] = {
            "t": "lookup",
            "hub": PREFIX,
            "org": "00000001234567890000",
            "node": "wijkteam-noord",
            "msg": f"01900000-0000-7000-8000-{self.asked:012d}",
            "jti": secrets.token_bytes(16),
            "nts": int(NOW.timestamp()),
            "body": b"{}",
            "actor": "m-17",
            "role": "generalist",
            "team": "noord",
            "purpose": "huisbezoek",
            "case": b64u(bytes(16)),
        }
        return parse_statement(sign_statement(make_statement(**{**fields, **changes}), NODE_KEY))

    def draft(
        self, lids: Sequence[bytes], signed: Signed | None = None, *, now: datetime = NOW, **more: Any
    ) -> EntryDraft:
        signed = signed or self.statement()
        fields: dict[str, Any] = {
            "t": signed.statement.t,
            "ts": int(now.timestamp() * 1000),
            "req": signed.statement.msg,
            "statement": signed.statement,
            "signature": signed.signature,
            "lids": tuple(lids),
            "pv": 3,
            "shown": shown_bits([5], 29),
            "dec": decision_bytes(b"\x05" * 32, [(12, 1, 4)]),
        }
        return EntryDraft(**{**fields, **more})

    def record(
        self, drafts: Sequence[EntryDraft], log: AccessLog | None = None, now: datetime = NOW
    ) -> tuple[list[Recorded], SealedBatch]:
        """One committed batch."""
        log = log or self.log
        with self.engine.begin() as conn:
            log.begin(conn, now)
            recorded = [log.append(draft) for draft in drafts]
            sealed = log.flush(conn, now)
        log.committed()
        return recorded, sealed

    def look(self, *lids: bytes, log: AccessLog | None = None) -> tuple[LogReceipt, Signed]:
        """One lookup about one person, committed."""
        signed = self.statement()
        recorded, sealed = self.record([self.draft(lids, signed)], log)
        return sealed.receipt(recorded[0]), signed

    def read(self, question: Callable[[Connection], Any]) -> Any:
        with self.engine.connect() as conn:
            return question(conn)

    def verify(self) -> LogStatus:
        status = self.read(
            lambda conn: verify_all(conn, self.log, node_keys=lambda _: [bytes(NODE_KEY.verify_key)])
        )
        assert isinstance(status, LogStatus)
        return status

    def tamper(self, *statements: str) -> None:
        """As somebody who owns the database: the guards are dropped first."""
        with self.engine.begin() as conn:
            names = conn.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").scalars()
            for name in list(names):
                conn.exec_driver_sql(f"DROP TRIGGER {name}")
            for statement in statements:
                conn.exec_driver_sql(statement)
