"""A log on a real file, and four real witnesses on stores of their own, reached without a network.

ring.grows(3)            three committed entries
ring.feed().once()       the hub offers its checkpoint to all
ring.crash("w2")         the witness's process is gone; the next request finds it started anew
"""

import secrets
import shutil
import sqlite3
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import httpx
from nacl.signing import SigningKey
from sqlalchemy import Engine

from index.accesslog.lasthead import HeadFile
from index.accesslog.log import AccessLog
from index.accesslog.reading import LogReader, SignedHead
from index.accesslog.tiles import Tree
from index.metrics import HubMetrics
from index.protocol.addcheckpoint import request_bytes
from index.protocol.merkle import consistency_proof
from index.protocol.note import COSIGNATURE_V1, NoteKey
from index.protocol.tlogpolicy import LogPolicy, parse_policy, policy_of
from index.protocol.tlogpolicy import Witness as Entry
from index.witnesses import Witnesses
from nodes.store.database import open_engine
from nodes.witness.witness import Witness
from tests.log.world import LOG_VKEY, NOW, PREFIX, World

ORIGIN = f"{PREFIX}/{NOW.year}"
LID = b"\x0b" * 16
Answers = Callable[[httpx.Request], httpx.Response]


class Ring(World):
    """The log of `World`, its witnesses w1 to w4, and quorum 3."""

    make: type[Witness] = Witness
    """A test may put a witness with a planted bug here."""

    def __init__(self, folder: Path, count: int = 4, quorum: int = 3) -> None:
        super().__init__(folder)
        self.now = NOW
        self.seeds = {f"w{n}": secrets.token_bytes(32) for n in range(1, count + 1)}
        self.instead: dict[str, Answers] = {}
        self._starting = threading.Lock()
        self._open: dict[str, tuple[Witness, Engine]] = {}
        entries = [
            Entry(name, self.witness_key(name), f"https://{name}.test/v1/witness") for name in self.seeds
        ]
        self.policy: LogPolicy = parse_policy(policy_of(LOG_VKEY, entries, quorum))
        self.reader = LogReader(PREFIX, self.keys, self.policy)

    # --- witnesses -----------------------------------------------------------------------

    def witness_key(self, name: str) -> NoteKey:
        public = bytes(SigningKey(self.seeds[name]).verify_key)
        return NoteKey(f"{name}.test/witness", COSIGNATURE_V1, public)

    def home(self, name: str) -> Path:
        return self.folder / "witness" / name

    def witness(self, name: str) -> Witness:
        """The running witness, started where it is not."""
        with self._starting:
            return self._started(name)

    def _started(self, name: str) -> Witness:
        if name not in self._open:
            engine = open_engine(self.home(name) / "node.sqlite")
            made = self.make(
                engine,
                name=self.witness_key(name).name,
                seed=self.seeds[name],
                marker=self.home(name) / "witness.key.used",
                log_vkeys=[LOG_VKEY],
                now=lambda: self.now,
            )
            self._open[name] = (made, engine)
        return self._open[name][0]

    def crash(self, name: str) -> None:
        """Its process is gone; what it had in memory is lost."""
        _, engine = self._open.pop(name)
        engine.dispose()

    def lose_store(self, name: str) -> None:
        self.crash(name)
        for file in self.home(name).glob("node.sqlite*"):
            file.unlink()

    def answer(self, request: httpx.Request) -> httpx.Response:
        """The network: a witness, or what stands in its place."""
        name = request.url.host.removesuffix(".test")
        if name in self.instead:
            return self.instead[name](request)
        said = self.witness(name).add_checkpoint(request.content)
        return httpx.Response(said.status, text=said.body, headers={"content-type": said.media})

    # --- the hub -------------------------------------------------------------------------

    def grows(self, by: int = 1, log: AccessLog | None = None) -> SignedHead:
        """So many entries in one batch."""
        self.record([self.draft([LID]) for _ in range(by)], log)
        return self.head()

    def head(self, reader: LogReader | None = None) -> SignedHead:
        found = self.read((reader or self.reader).head)
        assert isinstance(found, SignedHead)
        return found

    def clock(self) -> datetime:
        return self.now

    def later(self, **by: float) -> None:
        self.now += timedelta(**by)

    def feed(self, log: AccessLog | None = None, **changes: object) -> Witnesses:
        """The feed of a hub process that started just now."""
        transport = httpx.MockTransport(self.answer)
        made: dict[str, object] = {
            "engine": self.engine,
            "reader": self.reader,
            "access_log": log or self.log,
            "signing": self.keys.log_signing,
            "clock": self.clock,
            "metrics": HubMetrics(),
            "client": lambda: httpx.Client(transport=transport, timeout=2.0),
        }
        return Witnesses(self.policy, **{**made, **changes})  # type: ignore[arg-type]

    def restart(self, keeper: HeadFile | None = None) -> AccessLog:
        """A new hub process on the same database."""
        self.log = self.process(keeper)
        return self.log

    def backup(self) -> Path:
        """A copy of the database, as of now."""
        target = self.folder / f"backup-{secrets.token_hex(4)}.db"
        with sqlite3.connect(self.folder / "hub.db") as conn:
            conn.execute(f"VACUUM INTO '{target}'")
        return target

    def restore(self, backup: Path) -> None:
        """Put an earlier database back, and start the hub on it."""
        self.engine.dispose()
        for file in self.folder.glob("hub.db*"):
            file.unlink()
        shutil.copy(backup, self.folder / "hub.db")
        self.engine = self._engine()
        self.restart()

    def submission(self, old: int, head: SignedHead | None = None) -> bytes:
        """A right request for the newest head, or a given one."""
        head = head or self.head()
        proof = self.read(
            lambda conn: consistency_proof(old, head.size, Tree(conn, head.year, head.size).node)
        )
        return request_bytes(old, proof, head.note)
