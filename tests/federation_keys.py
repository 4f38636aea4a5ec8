"""Three real key holders in this process, with knobs: for every test that needs pseudonyms.

    keys = KeyFederation(tmp_path)
    pseudonymiser = keys.pseudonymiser("wijkteam-noord")
    result = await pseudonymiser.pseudonymise([(Bsn.parse(text), ["geld"])], "lookup")

The holders are the product's own, each with its own files, reached over
`httpx.ASGITransport`. `down`, `replace` and `clock` are the knobs.
"""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from nacl.public import PrivateKey
from nacl.signing import SigningKey

from index.protocol.codec import SCOPES, b64u
from index.protocol.directory import (
    SUITE,
    Adopted,
    BrokerEntry,
    Directory,
    HolderEntry,
    HubEntry,
    KindEntry,
    Manifest,
    NodeEntry,
    OrganisationEntry,
    TeamEntry,
    encode,
    sign,
)
from index.protocol.evaluate import issue_grant
from nodes.keyholder.app import create_app
from nodes.keyholder.installation import initialise
from nodes.keyholder.settings import ClassLimits, KeyHolderSettings
from nodes.oprf.dealer import Dealing, deal
from nodes.pseudonymise import Pseudonymiser

HUB_ID = "hub.test.vlagwijzer.example"
HOLDERS = ("kh-a", "kh-b", "kh-c")
OIN = "00000001234567890000"
OTHER_OIN = "00000009876543210000"
App = Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]


class Clock:
    """A clock that tests set; starts at the real time."""

    def __init__(self) -> None:
        self.offset = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def shift(self, seconds: float) -> None:
        self.offset += timedelta(seconds=seconds)


class _Door(httpx.AsyncBaseTransport):
    """The network to one holder: open, closed, or leading to another application."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.down = False
        self.calls = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.calls += 1
        if self.down:
            raise httpx.ConnectError("refused", request=request)
        return await httpx.ASGITransport(self.app).handle_async_request(request)


def limits(count: int = 1_000_000) -> ClassLimits:
    """The same limit for every class."""
    return ClassLimits(publish=count, lookup=count, crisis=count, citizen=count, inzage=count)


def node_entry(
    node_id: str,
    number: int,
    key: SigningKey,
    *,
    oin: str = OIN,
    classes: Sequence[str] = (),
    scopes: Sequence[str] = SCOPES,
) -> NodeEntry:
    """A line of the directory."""
    return NodeEntry(
        id=node_id,
        number=number,
        oin=oin,
        url=f"https://{node_id}.test",
        ed25519=[b64u(bytes(key.verify_key))],
        classes=list(classes) or ["publish", "lookup", "crisis"],  # type: ignore[arg-type]
        scopes=list(scopes),  # type: ignore[arg-type]
    )


class KeyFederation:
    """Holders, manifest, directory and the keys of everybody, written below one folder.

    Args:
        folder: Empty; each holder gets a folder of its own in it.
        nodes: Extra or other directory lines; default `bron`, `wijkteam-noord` and `portaal`.
        daily: Elements per node, class and day at each holder.
        organisations: Default two organisations with a team each.
        hub_key: X25519 private key of the hub; made when absent.
    """

    def __init__(
        self,
        folder: Path,
        *,
        scopes: Sequence[str] = SCOPES,
        t: int = 2,
        n: int = 3,
        daily: ClassLimits | None = None,
        per_minute: ClassLimits | None = None,
        hub_id: str = HUB_ID,
        hub_key: PrivateKey | None = None,
        nodes: Callable[[Mapping[str, SigningKey]], list[NodeEntry]] | None = None,
        organisations: Sequence[OrganisationEntry] = (),
    ) -> None:
        self.folder = folder
        self.clock = Clock()
        self.hub_id = hub_id
        self.hub_key = hub_key or PrivateKey.generate()
        self.broker_key = SigningKey.generate()
        self.holder_ids = HOLDERS[:n]
        self.holder_keys = {holder: SigningKey.generate() for holder in self.holder_ids}
        self.pins = {holder: bytes(key.verify_key) for holder, key in self.holder_keys.items()}
        self.node_keys = {
            node: SigningKey.generate() for node in ("bron", "wijkteam-noord", "wijkteam-zuid", "portaal")
        }
        self.dealing: Dealing = deal(scopes, t=t, n=n)
        self.manifest = self.signed_manifest(1)
        self.directory = self._directory(nodes, organisations)
        self.daily, self.per_minute = daily or limits(), per_minute or limits()
        self.settings = {holder: self._install(holder) for holder in self.holder_ids}
        self.apps: dict[str, Any] = {}
        self.doors: dict[str, _Door] = {}
        for holder in self.holder_ids:
            self.restart(holder)
        self.client = self.new_client()

    def signed_manifest(self, version: int, **changes: Any) -> Manifest:
        """A manifest of all holders with this version."""
        fields: dict[str, Any] = {
            "version": version,
            "suite": SUITE,
            "not_before": "2026-01-01T00:00:00Z",
            "holders": [
                HolderEntry(holder, index, f"http://{holder}", b64u(self.pins[holder]))
                for index, holder in enumerate(self.holder_ids, start=1)
            ],
            "hub": HubEntry(self.hub_id, [b64u(bytes(self.hub_key.public_key))]),
            "keys": self.dealing.keys,
            "sigs": {},
            **changes,
        }
        return sign(Manifest(**fields), self.holder_keys)

    def _directory(
        self,
        nodes: Callable[[Mapping[str, SigningKey]], list[NodeEntry]] | None,
        organisations: Sequence[OrganisationEntry],
    ) -> Directory:
        keys = self.node_keys
        lines = (
            nodes(keys)
            if nodes
            else [
                node_entry("bron", 1, keys["bron"], classes=["publish"], oin=OTHER_OIN),
                node_entry("wijkteam-noord", 2, keys["wijkteam-noord"]),
                node_entry("wijkteam-zuid", 3, keys["wijkteam-zuid"], scopes=["zorg"]),
                node_entry("portaal", 4, keys["portaal"], classes=["publish", "citizen", "inzage"]),
            ]
        )
        parties = list(organisations) or [
            OrganisationEntry(
                1, OIN, "gemeente", [], [TeamEntry(1, "team-noord"), TeamEntry(2, "team-zuid")]
            ),
            OrganisationEntry(
                2, OTHER_OIN, "schuldhulp", [KindEntry("schuldhulp", "Schuldhulp", "14 0123")], []
            ),
        ]
        brokers = [BrokerEntry("broker", b64u(bytes(self.broker_key.verify_key)))]
        return sign(Directory(1, parties, lines, brokers, {}), self.holder_keys)

    def _install(self, holder: str) -> KeyHolderSettings:
        home = self.folder / "keyholders" / holder
        home.mkdir(parents=True)
        (home / "manifest.json").write_bytes(encode(self.manifest))
        (home / "directory.json").write_bytes(encode(self.directory))
        index = self.holder_ids.index(holder) + 1
        settings = KeyHolderSettings(
            holder_id=holder,
            manifest_file=home / "manifest.json",
            directory_file=home / "directory.json",
            signing_key_file=home / "signing.key",
            shares_dir=home / "shares",
            database=home / "counters.db",
            holders={name: b64u(key) for name, key in self.pins.items()},
            daily=self.daily,
            per_minute=self.per_minute,
        )
        initialise(
            database=settings.database,
            signing_key_file=settings.signing_key_file,
            shares_dir=settings.shares_dir,
            signing_key=self.holder_keys[holder],
            shares=self.dealing.shares[index],
        )
        return settings

    def restart(self, holder: str) -> None:
        """Start a holder, or stop it and start it again from its files."""
        if holder in self.apps:
            self.apps[holder].state.evaluations.close()
        self.apps[holder] = create_app(self.settings[holder], clock=self.clock)
        if holder in self.doors:
            self.doors[holder].app = self.apps[holder]
        else:
            self.doors[holder] = _Door(self.apps[holder])

    def close(self) -> None:
        for app in self.apps.values():
            app.state.evaluations.close()

    def new_client(self) -> httpx.AsyncClient:
        """A client whose network has the holders in it and nothing else."""
        mounts: dict[str, httpx.AsyncBaseTransport] = {f"http://{h}": self.doors[h] for h in self.holder_ids}
        return httpx.AsyncClient(mounts=mounts)

    def down(self, *holders: str) -> None:
        """These holders do not answer; all others do."""
        for holder, door in self.doors.items():
            door.down = holder in holders

    def replace(self, holder: str, app: App) -> None:
        """Another application answers under this holder's name."""
        self.doors[holder].app = app

    def grant(self, node: str = "portaal", count: int = 2, **changes: Any) -> str:
        """A grant of the broker: `count` evaluations in each scope."""
        fields: dict[str, Any] = {
            "node": node,
            "counts": {key.kid: count for key in self.dealing.keys},
            "jti": changes.pop("jti", "0123456789abcdef" * 2),
            "now": self.clock(),
            **changes,
        }
        return issue_grant("broker", self.broker_key, **fields)

    def pseudonymiser(
        self, node: str = "wijkteam-noord", client: httpx.AsyncClient | None = None
    ) -> Pseudonymiser:
        """The product's client, for one of the nodes."""
        entry = self.directory.node(node)
        assert entry is not None
        return Pseudonymiser(
            node=node,
            signing_key=self.node_keys[node],
            manifest=Adopted(self.manifest, self.clock()),
            pinned=self.pins,
            client=client or self.client,
            classes=entry.classes,
            scopes=entry.scopes,
            clock=self.clock,
        )
