"""Three real key holders, each in a process of its own on loopback, and a node that asks two of them.

    with MeasuredHolders(folder) as holders:
        found = await holders.pseudonymiser(client).pseudonymise(...)

The persons are numbers that pass the elfproef, one after the other: nobody's,
or by chance somebody's, and nothing about them is stored or printed.
"""

import logging
import os
import signal
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import httpx
from nacl.public import PrivateKey
from nacl.signing import SigningKey

from index.protocol import directory as d
from index.protocol.codec import b64u
from nodes.bsn import BadBsn, Bsn
from nodes.keyholder.app import create_app
from nodes.keyholder.installation import initialise
from nodes.keyholder.settings import ClassLimits, KeyHolderSettings
from nodes.oprf.dealer import deal
from nodes.pseudonymise import Pseudonymiser

NODE = "node-bench"
SCOPE = "geld"
_OIN = "00000001234567890000"
_HOLDERS = ("kh-a", "kh-b", "kh-c")
_EVERYTHING = 1_000_000_000
_FIRST = 100_000_000


class MeasuredHolders:
    """2-of-3 holders of one key; served from `__enter__` to `__exit__`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._keys = {holder: SigningKey.generate() for holder in _HOLDERS}
        self._node_key = SigningKey.generate()
        self._sockets = {holder: _bound() for holder in _HOLDERS}
        self._dealing = deal((SCOPE,), t=2, n=3)
        self._manifest = self._signed_manifest()
        self._settings = [self._installed(index, holder) for index, holder in enumerate(_HOLDERS, 1)]
        self._dealing.erase()
        self.processes: list[int] = []

    @property
    def _pins(self) -> dict[str, bytes]:
        return {holder: bytes(key.verify_key) for holder, key in self._keys.items()}

    def _signed_manifest(self) -> d.Manifest:
        holders = [
            d.HolderEntry(
                holder,
                index,
                f"http://127.0.0.1:{self._sockets[holder].getsockname()[1]}",
                b64u(self._pins[holder]),
            )
            for index, holder in enumerate(_HOLDERS, 1)
        ]
        hub = d.HubEntry("hub.bench.vlagwijzer.example", [b64u(bytes(PrivateKey.generate().public_key))])
        blank = d.Manifest(
            1, "ristretto255-SHA512", "2026-01-01T00:00:00Z", holders, hub, self._dealing.keys, {}
        )
        return d.sign(blank, self._keys)

    def _directory(self) -> d.Directory:
        node = d.NodeEntry(
            id=NODE, number=1, oin=_OIN, url="https://node.example",
            ed25519=[b64u(bytes(self._node_key.verify_key))], classes=["publish"], scopes=[SCOPE],  # type: ignore[list-item]
        )  # fmt: skip
        organisation = d.OrganisationEntry(1, _OIN, "gemeente", [], [])
        broker = d.BrokerEntry("broker", b64u(bytes(SigningKey.generate().verify_key)))
        return d.sign(d.Directory(1, [organisation], [node], [broker], {}), self._keys)

    def _installed(self, index: int, holder: str) -> KeyHolderSettings:
        home = self._folder / holder
        home.mkdir()
        (home / "manifest.json").write_bytes(d.encode(self._manifest))
        (home / "directory.json").write_bytes(d.encode(self._directory()))
        everything = ClassLimits(publish=_EVERYTHING, lookup=0, crisis=0, citizen=0, inzage=0)
        settings = KeyHolderSettings(
            holder_id=holder,
            manifest_file=home / "manifest.json",
            directory_file=home / "directory.json",
            signing_key_file=home / "signing.key",
            shares_dir=home,
            database=home / "counters.db",
            holders={name: b64u(pin) for name, pin in self._pins.items()},
            daily=everything,
            per_minute=everything,
        )
        initialise(
            database=settings.database,
            signing_key_file=settings.signing_key_file,
            shares_dir=home,
            signing_key=self._keys[holder],
            shares=self._dealing.shares[index],
        )
        return settings

    def pseudonymiser(self, client: httpx.AsyncClient) -> Pseudonymiser:
        """A node's own client of these holders."""
        return Pseudonymiser(
            node=NODE,
            signing_key=self._node_key,
            manifest=d.Adopted(self._manifest, datetime.now(UTC)),
            pinned=self._pins,
            client=client,
            classes=("publish",),
            scopes=(SCOPE,),
        )

    def __enter__(self) -> Self:
        for settings in self._settings:
            process = os.fork()
            if process == 0:
                _serve(settings, self._sockets[settings.holder_id])
            self.processes.append(process)
        for sock in self._sockets.values():
            sock.close()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            os.kill(process, signal.SIGTERM)
        for process in self.processes:
            os.waitpid(process, 0)


def persons(count: int) -> Iterator[Bsn]:
    """`count` numbers that pass the elfproef."""
    number, found = _FIRST, 0
    while found < count:
        try:
            yield Bsn.parse(f"{number:09d}")
            found += 1
        except BadBsn:
            pass
        number += 1


def _bound() -> socket.socket:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(128)
    return sock


def _serve(settings: KeyHolderSettings, sock: socket.socket) -> None:
    """The child: serve until told to stop, then end without the parent's clean-up."""
    from deploy.logging_setup import set_up_logging
    from deploy.serve import serve

    set_up_logging("bench keyholder", level=logging.WARNING)
    try:
        serve(create_app(settings), "127.0.0.1", 0, sock)
    finally:
        os._exit(0)
