"""A hub with real keys, a real SQLite file and real formats, and nodes that sign what they send.

    async with World(tmp_path).running() as world:
        await world.bron.publishes("Fatima", "schuldhulp")
        visit = await world.wijkteam.opens("Jan", ["Fatima"])
        answer = await world.wijkteam.looks(visit)

Key holders are left out: a person's `N` per scope is an element made from a
name, and holder receipts are signed by test holders. What stands between a
node and the hub is the product's own.
"""

import hashlib
import secrets
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
from nacl.bindings import crypto_scalarmult_base
from nacl.signing import SigningKey
from sqlalchemy import Engine

from index.app import create_app
from index.hub import Hub
from index.keystore import init_keystore
from index.protocol.codec import SCOPES, b64u, unb64u
from index.protocol.directory import (
    SUITE,
    BrokerEntry,
    Canary,
    Directory,
    HolderEntry,
    HubEntry,
    KindEntry,
    Manifest,
    NodeEntry,
    OrganisationEntry,
    ScopeKey,
    TeamEntry,
    canary_input,
    encode,
    sign,
)
from index.protocol.entry import kinds_shown, log_id, parse_asker
from index.protocol.evaluate import issue_holder_receipt
from index.protocol.messages import LookupAnswer, RelationAnswer
from index.protocol.note import ED25519, NoteKey
from index.protocol.points import seal_points
from index.protocol.receipt import CheckedEntry, verify_log_receipt
from index.protocol.statement import Signed, canonical, make_statement, parse_statement, sign_statement
from index.rows import rtag_of
from index.settings import HubSettings
from index.store import migrate
from index.store.engine import open_engine
from nodes.oprf import ristretto
from policy.decide import scopes_for
from policy.postpone import Postponement
from policy.vocabulary import load_vocabulary

HUB_ID = "hub.test.vlagwijzer.example"
GEMEENTE, SCHULDHULP, PORTAAL = "00000001234567890000", "00000009876543210000", "00000005555555550000"
HOLDERS = ("kh-a", "kh-b", "kh-c")
VOCABULARY = load_vocabulary()
POSTPONEMENT = Postponement.of(VOCABULARY)


class Clock:
    """A clock that tests set; starts at the real time."""

    def __init__(self) -> None:
        self.offset = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def shift(self, **by: float) -> None:
        self.offset += timedelta(**by)


def point(person: str, scope: str) -> bytes:
    """`N` of an invented person in one scope: always the same element."""
    return ristretto.hash_to_element(f"{scope}/{person}".encode(), b"vlagwijzer/test")


def instant(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Visit:
    """What a node keeps of a visit: tickets and log ids, no `N`."""

    actor: str
    role: str
    team: str
    purpose: str
    case: str
    persons: list[str]
    scopes: tuple[str, ...]
    tickets: list[str]
    lids: list[list[bytes]]

    def statement(self) -> dict[str, str]:
        """The fields of the signed statement that belong to this visit."""
        return {
            "actor": self.actor,
            "role": self.role,
            "team": self.team,
            "purpose": self.purpose,
            "case": self.case,
        }


@dataclass
class Sent:
    """A request as it went out, and what came back."""

    response: httpx.Response
    signed: Signed
    path: str
    body: bytes
    headers: Mapping[str, str]


@dataclass
class Node:
    """One node of the directory, with its key."""

    world: "World"
    id: str
    oin: str
    key: SigningKey
    seq: int = 0
    sent: list[Sent] = field(default_factory=list)

    async def send(
        self, path: str, body: Any, t: str, *, msg: str = "", hub: str = "", **statement: str
    ) -> Sent:
        """Sign a body and send it; `statement` has actor, role, team, purpose, case."""
        raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
        made = make_statement(
            t=t,  # type: ignore[arg-type]
            hub=hub or f"{HUB_ID}/v1/log",
            org=self.oin,
            node=self.id,
            msg=msg or str(uuid.uuid4()),
            jti=secrets.token_bytes(16),
            nts=int(self.world.clock().timestamp()),
            body=raw,
            **statement,
        )
        return await self.deliver(path, raw, sign_statement(made, self.key))

    async def deliver(self, path: str, raw: bytes, headers: Mapping[str, str]) -> Sent:
        """Send bytes under these headers as they are."""
        response = await self.world.client.post(path, content=raw, headers=dict(headers))
        sent = Sent(response, parse_statement(headers), path, raw, headers)
        self.sent.append(sent)
        return sent

    # --- source ----------------------------------------------------------------------

    async def publishes(self, person: str, kind: str, *, since: str = "2025-03", msg: str = "") -> Sent:
        """Publish one flag; returns what came back."""
        return await self.publishes_all([(person, kind)], since=since, msg=msg)

    async def publishes_all(
        self, flags: Sequence[tuple[str, str]], *, since: str = "2025-03", msg: str = ""
    ) -> Sent:
        """One message with a flag per (person, kind)."""
        msg = msg or str(uuid.uuid4())
        items, points = [], []
        for person, kind in flags:
            self.seq += 1
            items.append(
                {"seq": self.seq, "rtag": b64u(self.rtag(person, kind)), "kind": kind, "since": since}
            )
            points.append(point(person, VOCABULARY.kind(kind).domain))
        body = {"version": 1, "points": self.world.sealed(self.id, msg, points), "items": items}
        return await self.send("/v1/publications", body, "publish", msg=msg, role="bron")

    async def retracts(self, person: str, kind: str) -> Sent:
        self.seq += 1
        body = {"items": [{"seq": self.seq, "secret": b64u(self.secret(person, kind))}]}
        return await self.send("/v1/retractions", body, "retract", role="bron")

    def secret(self, person: str, kind: str) -> bytes:
        return hashlib.sha256(f"{self.id}/{person}/{kind}".encode()).digest()

    def rtag(self, person: str, kind: str) -> bytes:
        return rtag_of(self.secret(person, kind))

    # --- desk ------------------------------------------------------------------------

    async def opens(self, actor: str, persons: Sequence[str], **changes: Any) -> Visit:
        """Open a visit; fails the test when the hub refuses."""
        visit, sent = await self.tries_to_open(actor, persons, **changes)
        assert sent.response.status_code == 200, sent.response.text
        answer = msgspec.json.decode(sent.response.content, type=RelationAnswer)
        visit.tickets = list(answer.tickets)
        return visit

    async def tries_to_open(
        self,
        actor: str,
        persons: Sequence[str],
        *,
        role: str = "generalist",
        team: str = "noord",
        purpose: str = "huisbezoek",
        case: str = "",
        class_: str = "lookup",
        scopes: Sequence[str] | None = None,
        until: timedelta = timedelta(days=14),
        receipts: Sequence[str] | None = None,
        msg: str = "",
        declaration: Mapping[str, Any] | None = None,
    ) -> tuple[Visit, Sent]:
        """Ask for a visit or session, with knobs for everything that can be wrong."""
        citizen = class_ == "citizen"
        wanted = tuple(
            scopes if scopes is not None else SCOPES if citizen else scopes_for(VOCABULARY, role, purpose)
        )
        case = "" if citizen else case or b64u(hashlib.sha256(b"case").digest()[:16])
        msg = msg or str(uuid.uuid4())
        points = [point(person, scope) for person in persons for scope in wanted]
        body = {
            "class": class_,
            "persons": len(persons),
            "scopes": list(wanted),
            "until": instant(self.world.clock() + until),
            "version": 1,
            "points": self.world.sealed(self.id, msg, points),
            "receipts": self.world.receipts(self.id, class_, dict.fromkeys(wanted, len(persons)))
            if receipts is None
            else list(receipts),
            **({"declaration": declaration} if declaration is not None else {}),
        }
        lids = [[log_id(scope, point(person, scope)) for scope in wanted] for person in persons]
        visit = Visit(actor, role, team, purpose, case, list(persons), wanted, [], lids)
        if citizen:
            visit.actor = visit.team = visit.purpose = ""
            visit.role = "burger"
        return visit, await self.send("/v1/relations", body, "relation", msg=msg, **visit.statement())

    async def declares(self, actor: str, persons: Sequence[str], **changes: Any) -> Visit:
        """Declare break-glass; fails the test when the hub refuses."""
        visit, sent = await self.tries_to_declare(actor, persons, **changes)
        visit.tickets = list(msgspec.json.decode(sent.response.content, type=RelationAnswer).tickets)
        return visit

    async def tries_to_declare(
        self,
        actor: str,
        persons: Sequence[str],
        *,
        reason: str = "direct_gevaar",
        at_risk: str = "ander",
        incapable: bool = False,
        **changes: Any,
    ) -> tuple[Visit, Sent]:
        """Ask for break-glass under a case of its own; by default somebody else is at risk."""
        declaration = {"reason": reason, "atRisk": at_risk, "incapable": incapable}
        wanted = {
            "class_": "crisis",
            "purpose": "crisis",
            "case": b64u(secrets.token_bytes(16)),
            "until": timedelta(hours=4),
            "declaration": declaration,
        }
        return await self.tries_to_open(actor, persons, **{**wanted, **changes})

    async def says(
        self, visit: Visit, actor: str, outcome: str = "confirmed", *, msg: str = "", **statement: str
    ) -> Sent:
        """A second person confirms or reports the break-glass of a visit."""
        said = {**visit.statement(), "actor": actor, **statement}
        return await self.send(
            "/v1/relations/confirmations", {"outcome": outcome}, "relation", msg=msg, **said
        )

    async def looks(self, visit: Visit, *, detail: str = "subjects") -> LookupAnswer:
        """Ask about all persons of a visit; every log receipt is checked as a node checks it."""
        sent = await self.tries_to_look(visit, detail=detail)
        assert sent.response.status_code == 200, sent.response.text
        answer = msgspec.json.decode(sent.response.content, type=LookupAnswer)
        for person, lids in zip(answer.persons, visit.lids, strict=True):
            self.world.check(person.log, sent, lids)
        return answer

    async def tries_to_look(self, visit: Visit, *, detail: str = "subjects", **statement: str) -> Sent:
        body = {"tickets": visit.tickets, "detail": detail}
        return await self.send("/v1/lookups", body, "lookup", **{**visit.statement(), **statement})

    async def sees(self, visit: Visit) -> list[set[str]]:
        """Kinds visible per person."""
        answer = await self.looks(visit)
        return [{flag.kind for flag in person.flags} for person in answer.persons]

    async def closes(self, visit: Visit) -> Sent:
        return await self.send(
            "/v1/relations/closings", {"tickets": visit.tickets}, "relation", **visit.statement()
        )

    async def renews(self, visit: Visit, until: timedelta) -> Sent:
        body = {"tickets": visit.tickets, "until": instant(self.world.clock() + until)}
        return await self.send("/v1/relations/renewals", body, "relation", **visit.statement())

    # --- portal ----------------------------------------------------------------------

    async def logs_in(self, person: str) -> Visit:
        """A citizen's session."""
        return await self.opens("", [person], class_="citizen", until=timedelta(minutes=59))

    async def chooses(
        self,
        session: Visit,
        effect: str = "grant",
        *,
        category: Sequence[str] = (),
        receiver: Sequence[str] = (GEMEENTE, "noord"),
        purpose: Sequence[str] = ("hulp",),
        explicit: bool = True,
        scopes: Sequence[str] = SCOPES,
        **entry: Any,
    ) -> Sent:
        """Write one choice in some scopes; the default lets team noord see everything for help."""
        msg = str(uuid.uuid4())
        person = session.persons[0]
        entries = []
        for scope in scopes:
            path = list(category) if not category or category[0] == scope else None
            if path is None:
                continue
            entries.append(
                {
                    "scope": scope,
                    "effect": effect,
                    "category": path,
                    "receiver": list(receiver),
                    "purpose": list(purpose),
                    "explicit": explicit,
                    **entry,
                }
            )
        body = {
            "ticket": session.tickets[0],
            "version": 1,
            "points": self.world.sealed(self.id, msg, [point(person, e["scope"]) for e in entries]),
            "group": b64u(secrets.token_bytes(16)),
            "text": b64u(bytes(32)),
            "regime": "zelf",
            "by": "zelf",
            "entries": entries,
        }
        return await self.send("/v1/choices", body, "choice", msg=msg, role="burger")

    async def uses_right(self, session: Visit, right: str, kinds: Sequence[str], *, ends: str = "") -> Sent:
        """Dispute, object to or restrict these kinds, of whichever publisher; or end what a group began."""
        msg, person = str(uuid.uuid4()), session.persons[0]
        what = [{"ends": ends} if ends else {"kind": kind} for kind in kinds]
        items = [
            {"scope": VOCABULARY.kind(kind).domain, "right": right, **said}
            for kind, said in zip(kinds, what, strict=True)
        ]
        named = [scope for scope in SCOPES if any(item["scope"] == scope for item in items)]
        body = {
            "ticket": session.tickets[0],
            "version": 1,
            "points": self.world.sealed(self.id, msg, [point(person, scope) for scope in named]),
            "group": b64u(secrets.token_bytes(16)),
            "text": b64u(bytes(32)),
            "regime": "zelf",
            "by": "zelf",
            "items": items,
        }
        return await self.send("/v1/objections", body, "objection", msg=msg, role="burger")

    async def asks(self, session: Visit, what: str) -> Sent:
        """`flags`, `choices` or `log` of the citizen who is logged in."""
        return await self.send(
            f"/v1/citizen/{what}", {"ticket": session.tickets[0]}, "log_view", role="burger"
        )


class World:
    """A hub below `folder`, its directory, and nodes `bron`, `inkomen`, `wijkteam`, `portaal`, `crisis`."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.clock = Clock()
        self.holder_keys = {holder: SigningKey.generate() for holder in HOLDERS}
        self.nodes = {
            "bron": Node(self, "bron", SCHULDHULP, SigningKey.generate()),
            "inkomen": Node(self, "inkomen", GEMEENTE, SigningKey.generate()),
            "wijkteam": Node(self, "wijkteam", GEMEENTE, SigningKey.generate()),
            "wijkteam-twee": Node(self, "wijkteam-twee", GEMEENTE, SigningKey.generate()),
            "portaal": Node(self, "portaal", PORTAAL, SigningKey.generate()),
            "crisis": Node(self, "crisis", SCHULDHULP, SigningKey.generate()),
            "portaal-twee": Node(self, "portaal-twee", PORTAAL, SigningKey.generate()),
        }
        self.bron, self.inkomen = self.nodes["bron"], self.nodes["inkomen"]
        self.wijkteam, self.portaal = self.nodes["wijkteam"], self.nodes["portaal"]
        self.crisis = self.nodes["crisis"]
        self.keystore = init_keystore(
            folder / "keys",
            rotation_public=crypto_scalarmult_base(secrets.token_bytes(32)),
            at=self.clock(),
        )
        self.settings = self._write(settings)
        migrate.upgrade(open_engine(self.settings.database_url))
        self.client: httpx.AsyncClient
        self.hub: Hub
        self.app: Any

    # --- documents -------------------------------------------------------------------

    def _write(self, changes: Mapping[str, Any]) -> HubSettings:
        (self.folder / "manifest.json").write_bytes(encode(self.manifest()))
        (self.folder / "directory.json").write_bytes(encode(self.directory()))
        return HubSettings(
            **{
                "hub_id": HUB_ID,
                "database": str(self.folder / "hub.db"),
                "keystore": self.folder / "keys",
                "manifest": self.folder / "manifest.json",
                "directory": self.folder / "directory.json",
                "holders": {h: b64u(bytes(key.verify_key)) for h, key in self.holder_keys.items()},
                "employee_per_minute": 100_000,
                "node_per_minute": 1_000_000,
                **changes,
            }
        )

    def manifest(self) -> Manifest:
        any_point = b64u(point("nobody", "geld"))
        keys = [
            ScopeKey(
                kid=f"{scope}.e1",
                scope=scope,  # type: ignore[arg-type]
                state="active",
                carry=False,
                t=2,
                n=3,
                commits=[any_point, any_point],
                canary=Canary(b64u(canary_input(f"{scope}.e1")), any_point),
                origin="dealer",
            )
            for scope in SCOPES
        ]
        holders = [
            HolderEntry(holder, at, f"https://{holder}.test", b64u(bytes(key.verify_key)))
            for at, (holder, key) in enumerate(self.holder_keys.items(), 1)
        ]
        hub = HubEntry(HUB_ID, [b64u(self.keystore.points_public)])
        blank = Manifest(1, SUITE, "2026-01-01T00:00:00Z", holders, hub, keys, {})
        return sign(blank, self.holder_keys)

    def signed_again(self, version: int) -> bytes:
        """The same manifest under another version, as its file."""
        return encode(
            sign(msgspec.structs.replace(self.manifest(), version=version, sigs={}), self.holder_keys)
        )

    def directory(self) -> Directory:
        domestic = [k.code for k in VOCABULARY.kinds if not k.self_declared and k.code != "schuldhulp"]
        own = [k.code for k in VOCABULARY.kinds if k.self_declared]
        organisations = [
            OrganisationEntry(
                1,
                GEMEENTE,
                "gemeente",
                [KindEntry(code, "Gemeente Voorbeeld", "14 012") for code in domestic],
                [TeamEntry(1, "noord"), TeamEntry(2, "zuid")],
            ),
            OrganisationEntry(
                2,
                SCHULDHULP,
                "hulpverlening",
                [KindEntry("schuldhulp", "Schuldhulp", "14 0123")],
                [TeamEntry(1, "crisisdienst"), TeamEntry(2, "noord")],
            ),
            OrganisationEntry(3, PORTAAL, "portaal", [KindEntry(c, "Zelf gemeld", "-") for c in own], []),
        ]
        classes: dict[str, list[str]] = {
            "bron": ["publish"],
            "inkomen": ["publish"],
            "wijkteam": ["lookup", "crisis"],
            "wijkteam-twee": ["lookup"],
            "portaal": ["publish", "citizen", "inzage"],
            "crisis": ["lookup", "crisis"],
            "portaal-twee": ["citizen"],
        }
        nodes = [
            NodeEntry(
                id=node.id,
                number=number,
                oin=node.oin,
                url=f"https://{node.id}.test",
                ed25519=[b64u(bytes(node.key.verify_key))],
                classes=classes[node.id],  # type: ignore[arg-type]
                scopes=list(SCOPES),
            )
            for number, node in enumerate(self.nodes.values(), 1)
        ]
        broker = BrokerEntry("broker", b64u(bytes(SigningKey.generate().verify_key)))
        return sign(Directory(1, organisations, nodes, [broker], {}), self.holder_keys)

    # --- what nodes send -------------------------------------------------------------

    def sealed(self, node: str, msg: str, points: Sequence[bytes]) -> str:
        return b64u(seal_points(self.keystore.points_public, node, msg, points))

    def receipts(
        self,
        node: str,
        class_: str,
        counts: Mapping[str, int],
        *,
        holders: Sequence[str] = HOLDERS[:2],
        hub: str = HUB_ID,
        age: float = 0,
    ) -> list[str]:
        """Holder receipts as t holders give them for one evaluation."""
        return [
            issue_holder_receipt(
                holder,
                self.holder_keys[holder],
                node=node,
                hub=hub,
                class_=class_,
                counts=counts,
                nonce=secrets.token_hex(16),
                now=self.clock() - timedelta(seconds=age),
            )
            for holder in holders
        ]

    def check(self, receipt: Any, sent: Sent, lids: Sequence[bytes] | None) -> CheckedEntry:
        """A log receipt, checked as a node checks it."""
        asker = parse_asker(receipt.asker.encode())
        later = POSTPONEMENT.postpones(asker.role, kinds_shown(unb64u(asker.shown)))
        return verify_log_receipt(receipt, log_vkey=self.log_vkey, sent=sent.signed, lids=lids, later=later)

    @property
    def log_vkey(self) -> str:
        public = bytes(self.keystore.log_signing.verify_key)
        return NoteKey(f"{HUB_ID}/v1/log", ED25519, public).text()

    # --- running ---------------------------------------------------------------------

    @asynccontextmanager
    async def running(self, engine: Engine | None = None) -> AsyncIterator["World"]:
        """The hub, with its writer started and a client that reaches it."""
        self.app = create_app(self.settings, self.clock, engine=engine)
        self.hub = self.app.state.hub
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with (
            self.app.router.lifespan_context(self.app),
            httpx.AsyncClient(transport=transport, base_url="https://hub.test") as client,
        ):
            self.client = client
            yield self


def statement_bytes(sent: Sent) -> bytes:
    """The canonical statement of a request."""
    return canonical(sent.signed.statement)


def flip(text: str, at: int) -> str:
    """Base64url with one bit changed."""
    raw = bytearray(unb64u(text))
    raw[at] ^= 1
    return b64u(bytes(raw))
