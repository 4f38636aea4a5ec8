"""A whole federation in one process: three key holders, a hub and nodes, all of them the product's own.

    async with NodeWorld(tmp_path).running() as world:
        await world.source.publish(BSN_A, "SH-1")
        await world.source.drain()

Only the network is replaced, and it has knobs: `hub_down`, `cut_after_send`,
`keys.down(...)`. Logins are left out: nodes have no pages here.
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from nacl.bindings import crypto_scalarmult_base
from nacl.public import PrivateKey

from index.app import create_app as create_hub
from index.keystore import init_keystore
from index.protocol.codec import b64u
from index.protocol.directory import KindEntry, NodeEntry, OrganisationEntry, TeamEntry, encode
from index.protocol.keyfile import write_key_file
from index.protocol.note import ED25519, NoteKey
from index.settings import HubSettings
from index.store import migrate
from index.store.engine import open_engine as open_hub_engine
from nodes import apikeys
from nodes.app import create_app
from nodes.bsn import Bsn, passes_elfproef
from nodes.publication import Publication
from nodes.runtime import NodeRuntime, open_node
from nodes.settings import NodeSettings, TokenSettings
from policy.vocabulary import load_vocabulary
from tests.federation_keys import HOLDERS, HUB_ID, KeyFederation, node_entry

VOCABULARY = load_vocabulary()
GEMEENTE, SCHULDHULP, PORTAAL = "00000001234567890000", "00000009876543210000", "00000005555555550000"
ISSUER = "https://login.test"


def bsns(count: int) -> list[str]:
    """Numbers from the range for tests that pass the elfproef."""
    found = []
    for number in range(999_990_000, 999_999_999):
        if passes_elfproef(str(number)):
            found.append(str(number))
            if len(found) == count:
                return found
    raise AssertionError("not enough numbers")


BSN_A, BSN_B, BSN_C = bsns(3)
BORN = date(1980, 5, 17)


class Network(httpx.AsyncBaseTransport):
    """The way to the hub, with knobs. `sent` keeps what went over it: path, headers and body."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.down = False
        self.cut_after_send = 0
        self.alter: Any = None
        self.sent: list[tuple[str, dict[str, str], bytes]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.down:
            raise httpx.ConnectError("down", request=request)
        body = request.content
        self.sent.append((request.url.path, dict(request.headers), body))
        response = await httpx.ASGITransport(self.app, raise_app_exceptions=False).handle_async_request(
            request
        )
        if self.cut_after_send:
            self.cut_after_send -= 1
            raise httpx.ReadError("cut", request=request)
        if self.alter is not None:
            raw = await response.aread()
            return httpx.Response(response.status_code, content=self.alter(request.url.path, raw))
        return response


class Others(httpx.AsyncBaseTransport):
    """The way to the key holders, and to the login provider's keys."""

    def __init__(self, world: "NodeWorld") -> None:
        self.world = world

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == "login.test":
            if self.world.login_down:
                raise httpx.ConnectError("down", request=request)
            return httpx.Response(200, json=self.world.jwks())
        return await self.world.keys.doors[request.url.host].handle_async_request(request)


class NodeWorld:
    """Holders, hub and the nodes `bron` (schuldhulp), `wijkteam` and `portaal`."""

    def __init__(self, folder: Path, **node_settings: Any) -> None:
        self.folder = folder
        self.node_settings = node_settings
        self.login_down = False
        self.login_key = ec.generate_private_key(ec.SECP256R1())
        rotation = crypto_scalarmult_base(secrets.token_bytes(32))
        (folder / "hub").mkdir(parents=True)
        from tests.federation_keys import Clock

        self.keystore = init_keystore(folder / "hub" / "keys", rotation_public=rotation, at=Clock()())
        self.keys = KeyFederation(
            folder,
            hub_key=PrivateKey(self.keystore.points_private),
            nodes=self.nodes_of,
            organisations=self.organisations(),
        )
        self.clock = self.keys.clock
        self.hub_settings = self._hub_settings()
        migrate.upgrade(open_hub_engine(self.hub_settings.database_url))
        self.network: Network
        self.runtimes: list[NodeRuntime] = []

    def nodes_of(self, keys: Any) -> list[NodeEntry]:
        """The nodes of the directory; another world has others."""
        return [
            node_entry("bron", 1, keys["bron"], classes=["publish"], oin=SCHULDHULP),
            node_entry("wijkteam", 2, keys["wijkteam-noord"], classes=["lookup", "crisis"], oin=GEMEENTE),
            node_entry("portaal", 3, keys["portaal"], classes=["publish", "citizen", "inzage"], oin=PORTAAL),
        ]

    def organisations(self) -> list[OrganisationEntry]:
        """The organisations of the directory."""
        known = [
            KindEntry("schuldhulp", "Schuldhulp", "14 0123"),
            KindEntry("wmo_voorziening", "Wmo", "14 0124"),
        ]
        return [
            OrganisationEntry(1, GEMEENTE, "gemeente", [], [TeamEntry(1, "wijkteam-noord")]),
            OrganisationEntry(2, SCHULDHULP, "hulpverlening", known, []),
            OrganisationEntry(
                3,
                PORTAAL,
                "portaal",
                [
                    KindEntry("zelf_gemeld_geldzorgen", "Zelf gemeld", ""),
                    KindEntry("zelf_gemeld_mantelzorg", "Zelf gemeld", ""),
                ],
                [],
            ),
        ]

    def hub_changes(self) -> dict[str, Any]:
        """What differs in the hub's settings."""
        return {}

    def _hub_settings(self) -> HubSettings:
        home = self.folder / "hub"
        (home / "manifest.json").write_bytes(encode(self.keys.manifest))
        (home / "directory.json").write_bytes(encode(self.keys.directory))
        return HubSettings(
            hub_id=HUB_ID,
            database=str(home / "hub.db"),
            keystore=home / "keys",
            manifest=home / "manifest.json",
            directory=home / "directory.json",
            holders={holder: b64u(key) for holder, key in self.keys.pins.items()},
            employee_per_minute=100_000,
            node_per_minute=1_000_000,
            **self.hub_changes(),
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator["NodeWorld"]:
        """The hub is up; nodes are opened by `node`."""
        app = create_hub(self.hub_settings, self.clock)
        self.network = Network(app)
        async with app.router.lifespan_context(app):
            yield self
        for runtime in self.runtimes:
            await runtime.close()

    # --- nodes -------------------------------------------------------------------------

    def settings(self, node: str, part: str, **changes: Any) -> NodeSettings:
        """Settings of a node, its key files written at the first call."""
        home = self.folder / "nodes" / node
        key_of = {"wijkteam": "wijkteam-noord"}.get(node, node)
        if not home.exists():
            write_key_file(home / "signing.key", bytes(self.keys.node_keys[key_of]))
            for name in ("secret", "case", "storage"):
                write_key_file(home / f"{name}.key", secrets.token_bytes(32))
        public = bytes(self.keystore.log_signing.verify_key)
        made: dict[str, Any] = {
            "node_id": node,
            "parts": frozenset({part}),  # type: ignore[arg-type]
            "url": f"https://{node}.test",
            "database": home / "node.sqlite",
            "signing_key_file": home / "signing.key",
            "node_secret_file": home / "secret.key",
            "case_key_file": home / "case.key",
            "storage_key_file": home / "storage.key",
            "hub_url": "http://hub.test",
            "hub_id": HUB_ID,
            "hub_log_vkey": NoteKey(f"{HUB_ID}/v1/log", ED25519, public).text(),
            "hub_receipt_key": b64u(bytes(self.keystore.receipt_signing.verify_key)),
            "hub_consent_key": b64u(bytes(self.keystore.consent_signing.verify_key)),
            "holders": {holder: b64u(key) for holder, key in self.keys.pins.items()},
            "manifest_url": (self.folder / "hub" / "manifest.json").as_uri(),
            "directory_url": (self.folder / "hub" / "directory.json").as_uri(),
            "tokens": TokenSettings(issuer=ISSUER, jwks_url=f"{ISSUER}/keys"),
            "answer_grid_ms": 0,
            "retry_first_seconds": 0.001,
            "retry_max_seconds": 0.001,
        }
        return NodeSettings(**{**made, **self.node_settings, **changes})

    def node(self, node_id: str, part: str, **changes: Any) -> NodeRuntime:
        """Open a node, or open it again from its files as after a restart."""
        runtime = open_node(
            self.settings(node_id, part, **changes),
            now=self.clock,
            hub_transport=self.network,
            holder_transport=Others(self),
        )
        self.runtimes.append(runtime)
        return runtime

    def source(self, **changes: Any) -> "Source":
        return Source(self, self.node("bron", "source", **changes))

    def desk(self, **changes: Any) -> NodeRuntime:
        return self.node("wijkteam", "desk", **changes)

    def portal(self, **changes: Any) -> NodeRuntime:
        return self.node("portaal", "portal", **changes)

    def system(self, runtime: NodeRuntime, *, kinds: Any = (), roles: Any = ()) -> httpx.AsyncClient:
        """A calling system at a node, with an API key of its own."""
        _, key = apikeys.add(
            runtime.engine, VOCABULARY, "systeem", kinds=kinds, roles=roles, now=self.clock()
        )
        app = create_app(runtime.settings, runtime)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        return httpx.AsyncClient(
            transport=transport, base_url="https://node.test", headers={"X-API-Key": key}
        )

    # --- employee tokens ---------------------------------------------------------------

    def jwks(self) -> dict[str, Any]:
        public = jwt.algorithms.ECAlgorithm.to_jwk(self.login_key.public_key(), as_dict=True)
        return {"keys": [{**public, "kid": "k1", "use": "sig", "alg": "ES256"}]}

    def token(self, *, typ: str = "at+jwt", kid: str = "k1", key: Any = None, **changes: Any) -> str:
        """An employee token of Jan, with knobs for everything that can be wrong."""
        now = int(self.clock().timestamp())
        claims = {
            "iss": ISSUER,
            "aud": "wijkteam",
            "sub": "jan",
            "iat": now,
            "exp": now + 300,
            "jti": secrets.token_hex(16),
            "roles": ["generalist"],
            "team": "wijkteam-noord",
            **changes,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(claims, key or self.login_key, algorithm="ES256", headers={"typ": typ, "kid": kid})

    # --- stories -----------------------------------------------------------------------

    async def allow(self, bsn: str, kind: str = "schuldhulp") -> None:
        """The citizen lets the wijkteam see one kind, through the portal."""
        from nodes.citizen import Change, Receiver

        portal = self.portal()
        session = await portal.citizens.open(Bsn.parse(bsn), self.grant(), BORN)
        change = Change("grant", kind=kind, receiver=Receiver(GEMEENTE, "wijkteam-noord"))
        await portal.citizens.choose(session, change, "Ja, dit mag.")

    def grant(self) -> str:
        return self.keys.grant("portaal", jti=secrets.token_hex(16))

    async def sees(self, bsn: str) -> set[str]:
        """Kinds that Jan of the wijkteam sees of a person now."""
        from nodes.employees import Employee

        desk = self.desk()
        jan = Employee("jan-pseudoniem", "generalist", "wijkteam-noord")
        visit = await desk.visits.open(jan, [Bsn.parse(bsn)], "huisbezoek", "Z-1")
        (person,) = await desk.visits.look(jan, visit.id)
        assert person.refused == ""
        return {flag.kind for flag in person.flags}


class Source:
    """A source node and short names for what tests do with it."""

    def __init__(self, world: NodeWorld, runtime: NodeRuntime) -> None:
        self.world = world
        self.node = runtime

    def checked(
        self, bsn: str, local_ref: str, kind: str = "schuldhulp", since: str = "2025-03", until: Any = None
    ) -> Publication:
        item = {"bsn": bsn, "kind": kind, "localRef": local_ref, "since": since, "until": until}
        found = self.node.rules.check(item)
        assert isinstance(found, Publication), found
        return found

    async def publish(self, bsn: str, local_ref: str, **changes: Any) -> None:
        await self.node.intake.submit("api", publications=[self.checked(bsn, local_ref, **changes)])

    async def retract(self, *local_refs: str) -> None:
        await self.node.intake.submit("api", retractions=local_refs)

    async def drain(self, most: int = 200) -> None:
        """Let the sender work until it has nothing to do, past its pauses."""
        for _ in range(most):
            if not await self.node.sender.step():
                if self.node.outbox.is_drained():
                    return
                self.world.clock.offset += timedelta(milliseconds=5)
        raise AssertionError("the outbox does not drain")

    async def try_to_send(self, times: int = 5) -> None:
        """Some steps of the sender, whatever comes of it."""
        for _ in range(times):
            await self.node.sender.step()
            self.world.clock.offset += timedelta(milliseconds=5)

    def state(self, local_ref: str) -> str:
        return self.node.outbox.flags([local_ref])[local_ref].state


__all__ = ["HOLDERS"]
