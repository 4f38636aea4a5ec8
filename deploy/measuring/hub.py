"""A hub to measure: real keys, documents and formats, and as many flags as asked.

    hub = MeasuredHub(folder, database)
    hub.fill(flags=100_000)
    with hub.served() as (process, address): ...

A folder that was used before is taken as it is and filled up to the number
asked, so growth is measured on one and the same database.
"""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx
import msgspec
from nacl.bindings import crypto_scalarmult_base
from nacl.signing import SigningKey

from deploy.toml_text import toml_text
from index.app import open_hub, utc_now
from index.keystore import init_keystore, load_keystore
from index.protocol import directory as d
from index.protocol.codec import SCOPES, b64u, unb64u
from index.settings import HubSettings
from index.store import migrate
from index.store.engine import open_engine
from nodes.oprf import ristretto
from policy.decide import scopes_for
from policy.vocabulary import load_vocabulary

from . import filling
from .filling import DESK, OIN, PURPOSE, ROLE, SOURCE, TEAM, Asked

__all__ = ["HUB_ID", "OIN", "SOURCE", "CannotMeasure", "MeasuredHub", "started", "until_up"]

HUB_ID = "hub.bench.vlagwijzer.example"
ASKED = 5000
"""Persons that are asked about, round and round."""
KEPT = "bench.json"
_EVERYBODY = 1_000_000_000
_KEPT_S = 30 * 86_400
_UP_S = 30.0


class CannotMeasure(Exception):
    """The measurement cannot begin; says what to do."""


class _Kept(msgspec.Struct):
    """What a folder remembers between two measurements. Invented keys of an invented federation."""

    made: int
    nodes: dict[int, str]
    holders: dict[str, str]
    asked: list[tuple[str, list[str]]] = []


class MeasuredHub:
    """A hub in `folder` on `database` (a URL, or a path for SQLite), made anew unless the folder holds one.

    Raises:
        CannotMeasure: What the folder holds is too old to be asked.
    """

    def __init__(self, folder: Path, database: str) -> None:
        self.folder = folder
        self.vocabulary = load_vocabulary()
        self.scopes = scopes_for(self.vocabulary, ROLE, PURPOSE)
        self._kept = _kept(folder)
        self.node_keys = {number: SigningKey(unb64u(seed)) for number, seed in self._kept.nodes.items()}
        self._holders = {name: SigningKey(unb64u(seed)) for name, seed in self._kept.holders.items()}
        keys = folder / "keys"
        self.keystore = (
            load_keystore(keys)
            if keys.exists()
            else init_keystore(
                keys, rotation_public=crypto_scalarmult_base(secrets.token_bytes(32)), at=utc_now()
            )
        )
        self.settings = self._written(database)
        engine = open_engine(self.settings.database_url)
        migrate.upgrade(engine)
        engine.dispose()

    @property
    def log_vkey(self) -> bytes:
        return bytes(self.keystore.log_signing.verify_key)

    @property
    def asked(self) -> list[Asked]:
        """The persons of the load."""
        return [Asked(ticket, tuple(unb64u(lid) for lid in lids)) for ticket, lids in self._kept.asked]

    # --- documents -------------------------------------------------------------------

    def _written(self, database: str) -> HubSettings:
        (self.folder / "manifest.json").write_bytes(d.encode(self._manifest()))
        (self.folder / "directory.json").write_bytes(d.encode(self._directory()))
        target = self.folder / "hub.toml"
        target.write_text(
            toml_text(
                {
                    "hub_id": HUB_ID,
                    "port": _free_port(),
                    "database": database,
                    "keystore": "keys",
                    "manifest": "manifest.json",
                    "directory": "directory.json",
                    "node_per_minute": _EVERYBODY,
                    "employee_per_minute": _EVERYBODY,
                    "batch_persons": 64,
                    "holders": {name: b64u(bytes(key.verify_key)) for name, key in self._holders.items()},
                }
            )
        )
        return HubSettings.load(target)

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
        broker = d.BrokerEntry("broker", b64u(bytes(self._holders["kh-a"].verify_key)))
        return d.sign(d.Directory(1, [organisation], nodes, [broker], {}), self._holders)

    # --- rows ------------------------------------------------------------------------

    def fill(self, flags: int, asked: int = ASKED) -> float:
        """Store flags until there are `flags`, of which those of the `asked` persons can be opened.

        Returns:
            Bytes on disk per flag, indexes included; 0 where the database cannot tell.

        Raises:
            CannotMeasure: The folder holds more flags than asked.
        """
        hub = open_hub(self.settings)
        try:
            if not self._kept.asked:
                number = max(1, min(asked, flags // filling.FLAGS_EACH)) if flags else asked
                rows, persons = filling.persons(hub, self.scopes, number)
                filling.put_persons(hub, rows)
                self._kept.asked = [(one.ticket, [b64u(lid) for lid in one.lids]) for one in persons]
                _write(self.folder / KEPT, msgspec.json.encode(self._kept))
            there = filling.stored(hub.engine)
            if there > max(flags, len(self._kept.asked) * filling.FLAGS_EACH):
                raise CannotMeasure(f"{self.folder} holds {there} flags already; take another folder")
            if flags > there:
                filling.put_strangers(hub, flags - there)
            filling.settle(hub.engine)
            return filling.bytes_per_flag(hub.engine, max(flags, there))
        finally:
            hub.engine.dispose()

    # --- serving ---------------------------------------------------------------------

    @contextmanager
    def served(self) -> Iterator[tuple[int, tuple[str, int]]]:
        """`vlagwijzer hub serve` on loopback, as an operator starts it; gives its process id and address.

        Raises:
            CannotMeasure: It does not answer; with the end of what it printed.
        """
        address = (self.settings.host, self.settings.port)
        with (
            (self.folder / "hub.log").open("wb") as log,
            started("hub", "serve", "--config", str(self.folder / "hub.toml"), output=log) as process,
        ):
            until_up(process, f"http://{address[0]}:{address[1]}/health", self.folder / "hub.log")
            yield process.pid, address


@contextmanager
def started(
    *arguments: str, output: int | IO[bytes] = subprocess.DEVNULL
) -> Iterator["subprocess.Popen[bytes]"]:
    """The `vlagwijzer` command of this very code as a process of its own; ended at the end."""
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH", ""))))
    process = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-c", "from deploy.cli import app; app()", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env={**os.environ, "PYTHONPATH": path},
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def until_up(
    process: "subprocess.Popen[bytes]", url: str, log: Path | None = None, within: float = _UP_S
) -> None:
    """Wait until an address answers below 500.

    Raises:
        CannotMeasure: The process ended, or did not answer in time.
    """
    deadline = time.monotonic() + within
    with httpx.Client(timeout=2.0, trust_env=False) as client:
        while True:
            try:
                if client.get(url).status_code < 500:
                    return
            except httpx.HTTPError:
                pass
            if process.poll() is not None or time.monotonic() > deadline:
                said = log.read_text(errors="replace")[-600:] if log else ""
                raise CannotMeasure(f"the process to measure does not answer. {said}")
            time.sleep(0.005)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _kept(folder: Path) -> _Kept:
    path = folder / KEPT
    now = int(utc_now().timestamp())
    if not path.exists():
        seeds = [b64u(secrets.token_bytes(32)) for _ in range(5)]
        kept = _Kept(
            now,
            dict(zip((SOURCE, DESK), seeds[:2], strict=True)),
            dict(zip(("kh-a", "kh-b", "kh-c"), seeds[2:], strict=True)),
        )
        _write(path, msgspec.json.encode(kept))
        return kept
    found = msgspec.json.decode(path.read_bytes(), type=_Kept)
    if now - found.made > _KEPT_S:
        raise CannotMeasure(f"{folder} is older than 30 days and its visits end; remove it and fill anew")
    return found


def _write(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
