"""A hub's database as each landed schema left it, frozen, and a world that goes on with it.

    python -m tests.hub.landed     # freezes the newest schema as tests/hub/states/<revision>.json

A state holds the rows of every table, the keys and documents of the hub that
wrote them, and what was promised to the outside: a visit's tickets, a message
with its receipt, a retracted flag. All of it is invented and made for this;
the keys serve nothing else. A state is made once, by the program of its
schema, and never again: it is what an upgrade will find.
"""

import asyncio
import base64
import json
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nacl.signing import SigningKey
from sqlalchemy import Connection, Engine, LargeBinary, MetaData, insert, select

from index.keystore import load_keystore
from index.protocol.codec import b64u
from index.settings import HubSettings
from index.store import migrate
from index.store.engine import open_engine

from .test_confirm import buckets
from .world import HUB_ID, Clock, Node, Visit, World

STATES = Path(__file__).parent / "states"
DOCUMENTS = ("manifest.json", "directory.json", "keys/file.key", "keys/keystore.json", "keys/last-head")
SCHEMA_OWN = "alembic_version"


def b64(raw: bytes) -> str:
    return base64.b64encode(bytes(raw)).decode()


class Landed(World):
    """The hub of a frozen state: its keys, its nodes, its day."""

    def __init__(self, folder: Path, state: dict[str, Any], database: str) -> None:
        self.folder, self.state = folder, state
        self.clock = Clock()
        self.clock.offset = datetime.fromisoformat(state["at"]) - datetime.now(UTC)
        self.holder_keys = {holder: SigningKey(base64.b64decode(k)) for holder, k in state["holders"].items()}
        self.nodes = {
            name: Node(self, name, node["oin"], SigningKey(base64.b64decode(node["key"])), seq=10_000)
            for name, node in state["nodes"].items()
        }
        self.bron, self.inkomen = self.nodes["bron"], self.nodes["inkomen"]
        self.wijkteam, self.portaal = self.nodes["wijkteam"], self.nodes["portaal"]
        (folder / "keys").mkdir(mode=0o700)
        for name, content in state["documents"].items():
            (folder / name).touch(mode=0o600)
            (folder / name).write_bytes(base64.b64decode(content))
        self.keystore = load_keystore(folder / "keys")
        self.settings = HubSettings(
            hub_id=HUB_ID,
            database=database,
            keystore=folder / "keys",
            manifest=folder / "manifest.json",
            directory=folder / "directory.json",
            holders={h: b64u(bytes(key.verify_key)) for h, key in self.holder_keys.items()},
        )

    def visit(self, person: str) -> Visit:
        """A visit that was opened before the state was frozen."""
        kept = self.state["promised"]["visits"][person]
        lids = [[base64.b64decode(lid) for lid in lids] for lids in kept["lids"]]
        return Visit(**{**kept, "lids": lids, "scopes": tuple(kept["scopes"])})


def read_state(revision: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((STATES / f"{revision}.json").read_text())
    return found


def tables_of(connection: Connection) -> MetaData:
    """The tables as this very database has them."""
    metadata = MetaData()
    metadata.reflect(connection)
    return metadata


def rows_of(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    """All rows but the schema's own, in a form for JSON: bytes are base64 and marked."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name, table in sorted(tables_of(connection).tables.items()):
        if name != SCHEMA_OWN:
            rows = connection.execute(select(table)).mappings()
            found[name] = [
                {k: {"b": b64(v)} if isinstance(v, bytes | memoryview) else v for k, v in row.items()}
                for row in rows
            ]
    return found


def write_rows(engine: Engine, rows: dict[str, list[dict[str, Any]]]) -> None:
    """Put a state's rows into a database of exactly its schema."""
    with engine.begin() as connection:
        tables = tables_of(connection).tables
        for name, kept in rows.items():
            binary = {c.name for c in tables[name].columns if isinstance(c.type, LargeBinary)}
            for row in kept:
                values = {
                    k: base64.b64decode(v["b"]) if k in binary and v is not None else v
                    for k, v in row.items()
                }
                connection.execute(insert(tables[name]).values(values))


async def _live(world: World) -> dict[str, Any]:
    """A little of everything that is stored, and what the outside was promised of it."""
    inkomen, bron = world.inkomen, world.bron
    await inkomen.publishes_all(
        [("Fatima", "bijstand"), ("Fatima", "ww"), ("Piet", "bijstand"), ("Els", "minima")]
    )
    await bron.publishes_all([("Fatima", "schuldhulp"), ("Els", "schuldhulp")])
    await bron.retracts("Els", "schuldhulp")
    for person, effect in (("Fatima", "grant"), ("Piet", "grant"), ("Els", "grant"), ("Piet", "deny")):
        sent = await world.portaal.chooses(
            await world.portaal.logs_in(person), effect, scopes=("geld", "werk")
        )
        assert sent.response.status_code == 200, sent.response.text
    confirmed = await inkomen.send("/v1/confirmations", {"buckets": buckets({})}, "confirm", role="bron")
    assert confirmed.response.status_code == 200, confirmed.response.text
    message = await inkomen.publishes("Fatima", "minima")
    visits = {person: await world.wijkteam.opens("m-jan", [person]) for person in ("Fatima", "Piet", "Els")}
    watched = visits["Fatima"]
    body = {"tickets": watched.tickets, "visit": b64u(b"v" * 16)}
    follows = await world.wijkteam.send("/v1/subscriptions", body, "subscription", **watched.statement())
    assert follows.response.status_code == 200, follows.response.text
    wish = {"ticket": watched.tickets[0], "kind": "bijstand", "source": 2}
    asks = await world.wijkteam.send("/v1/contacts", wish, "notice", **watched.statement())
    assert asks.response.status_code == 200, asks.response.text
    seen = {person: sorted((await world.wijkteam.sees(visit))[0]) for person, visit in visits.items()}
    last = world.wijkteam.sent[-1]
    return {
        "visits": {
            person: {**asdict(visit), "lids": [[b64(lid) for lid in lids] for lids in visit.lids]}
            for person, visit in visits.items()
        },
        "seen": seen,
        "message": {
            "id": message.signed.statement.msg,
            "body": b64(message.body),
            "receipt": message.response.json()["receipt"],
        },
        "asked": {"headers": dict(last.headers), "body": b64(last.body)},
    }


async def freeze() -> Path:
    """Make the state of the newest schema."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        async with world.running():
            promised = await _live(world)
        engine = open_engine(world.settings.database_url)
        with engine.connect().execution_options(reading=True) as connection:
            rows = rows_of(connection)
        engine.dispose()
        state = {
            "revision": migrate.newest(),
            "at": world.clock().isoformat(),
            "holders": {holder: b64(bytes(key)) for holder, key in world.holder_keys.items()},
            "nodes": {n.id: {"oin": n.oin, "key": b64(bytes(n.key))} for n in world.nodes.values()},
            "documents": {name: b64((Path(folder) / name).read_bytes()) for name in DOCUMENTS},
            "promised": promised,
            "rows": rows,
        }
    path = STATES / f"{migrate.newest()}.json"
    path.write_text(json.dumps(state, indent=0, sort_keys=True) + "\n")
    return path


if __name__ == "__main__":
    print(asyncio.run(freeze()))
