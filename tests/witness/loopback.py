"""A hub and its witnesses on loopback addresses, over real HTTP, and a line between that can be cut.

    with LiveHub(folder) as hub:
        hub.grows(300)
        hub.line.cut_after = 2
        fetch_mirror(hub.url, copy)

The hub is the application itself on a database and keys of its own; its own feed asks three witnesses,
each with a store and key, on another address.
"""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import uvicorn
from nacl.signing import SigningKey
from starlette.applications import Starlette
from starlette.routing import Mount

from index.protocol.note import COSIGNATURE_V1, NoteKey
from index.protocol.tlogpolicy import Witness as Entry
from index.protocol.tlogpolicy import policy_of
from index.settings import HubSettings
from nodes.store.database import open_engine
from nodes.witness.routes import witness_routes
from nodes.witness.witness import Witness
from tests.federation import eventually
from tests.hub.acting import Acting
from tests.hub.world import World

NAMES = ("w1", "w2", "w3")


@dataclass
class Line:
    """What stands between the hub and who copies it: counts tiles, and cuts where it is told to."""

    app: Any
    cut_after: int | None = None
    """The tile after so many breaks off in the middle."""
    instead: dict[str, bytes] = field(default_factory=dict)
    """Bodies given in the place of the hub's, by path."""
    asked: list[str] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = str(scope.get("path", ""))
        if scope["type"] != "http" or "/log/" not in path:
            await self.app(scope, receive, send)
            return
        if "/tile/" in path:
            self.asked.append(path)
        if path in self.instead:
            body = self.instead[path]
            length = str(len(body)).encode()
            await send(
                {"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]}
            )
            await send({"type": "http.response.body", "body": body})
            return
        cut = self.cut_after is not None and len(self.asked) > self.cut_after

        async def cutting(message: Any) -> None:
            if cut and message["type"] == "http.response.body":
                half = message["body"][: len(message["body"]) // 2]
                await send({"type": "http.response.body", "body": half, "more_body": True})
                raise ConnectionError("the line was cut")
            await send(message)

        await self.app(scope, receive, cutting)


@contextlib.contextmanager
def served(app: Any) -> Iterator[str]:
    """Serve an application at a free loopback port until the block ends; its address."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(app, lifespan="off", ws="none", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
        assert thread.is_alive(), "it did not start"
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(5)


class Witnessed(World):
    """A hub whose policy names three witnesses at one address, two of them a quorum."""

    address = ""
    seeds: Mapping[str, bytes] = {name: bytes([at]) * 32 for at, name in enumerate(NAMES, 1)}

    def _write(self, changes: Mapping[str, Any]) -> HubSettings:
        path = self.folder / "log-policy.txt"
        entries = [Entry(name, self.witness_key(name), f"{self.address}/{name}/v1/witness") for name in NAMES]
        path.write_text(policy_of(self.log_vkey, entries, 2))
        return super()._write({"log_policy": path, **changes})

    def witness_key(self, name: str) -> NoteKey:
        public = bytes(SigningKey(self.seeds[name]).verify_key)
        return NoteKey(f"{name}.test/witness", COSIGNATURE_V1, public)


class LiveHub:
    """A hub, three witnesses and the line to both; a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = contextlib.ExitStack()
        self._witnesses = Starlette()
        self.url = ""
        self.line: Line
        self.acting: Acting

    def __enter__(self) -> Self:
        Witnessed.address = self._stack.enter_context(served(self._witnesses))
        app: Callable[..., World] = Witnessed
        self.acting = Acting(self.folder, make=app)
        self._witnesses.router.routes.extend(self._witness(name) for name in NAMES)
        self._stack.enter_context(self.acting)
        self.line = Line(self.acting.world.app)
        self.url = self._stack.enter_context(served(self.line))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _witness(self, name: str) -> Mount:
        world = self.acting.world
        assert isinstance(world, Witnessed)
        engine = open_engine(self.folder / name / "node.sqlite")
        self._stack.callback(engine.dispose)
        witness = Witness(
            engine,
            name=world.witness_key(name).name,
            seed=world.seeds[name],
            marker=self.folder / name / "used",
            log_vkeys=[world.log_vkey],
            now=lambda: datetime.now(UTC),
        )
        return Mount(f"/{name}", routes=witness_routes(witness))

    def grows(self, by: int) -> int:
        """So many entries more, confirmed by all; the size of the log."""
        people = [self.acting.somebody() for _ in range(by)]
        flags = [self.acting.flag(person, "schuldhulp") for person in people]
        self.acting.publish(self.acting.bron, *flags)
        return eventually(self._confirmed_whole, 30, 0.05)

    def _confirmed_whole(self) -> int:
        hub = self.acting.world.hub
        with hub.reading() as connection:
            head = hub.log_reader.head(connection)
            assert head is not None
            found = hub.log_reader.confirmed(connection, head.year)
        return head.size if found is not None and found.size == head.size else 0

    @property
    def policy(self) -> Path:
        return self.folder / "log-policy.txt"
