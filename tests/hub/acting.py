"""The world of `world.py` for tests that say one thing after another: every call waits for its answer.

    with Acting(tmp_path) as hub:
        flag = hub.flag(hub.somebody(), "schuldhulp")
        hub.publish(hub.bron, flag)
        hub.retract(hub.bron, flag.secret)

Here a test holds the pen: any `seq`, any secret, any field of an item.
"""

import asyncio
import secrets
import uuid
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
import msgspec
from sqlalchemy import text

from index.protocol.codec import SCOPES, b64u
from index.protocol.entry import log_id
from index.protocol.messages import ChangeReceipt, ItemResult
from index.rows import rtag_of
from tests.hub.world import VOCABULARY, Node, Sent, Visit, World, point

T = TypeVar("T")


@dataclass(frozen=True)
class Flag:
    """A flag as its source knows it, with the secret that retracts it."""

    person: str
    kind: str
    scope: str
    secret: bytes = field(repr=False)
    since: str = "2025-03"
    until: str | None = None

    @property
    def rtag(self) -> bytes:
        return rtag_of(self.secret)

    def item(self, seq: int) -> dict[str, Any]:
        return {
            "seq": seq,
            "rtag": b64u(self.rtag),
            "kind": self.kind,
            "since": self.since,
            "until": self.until,
        }


class Acting:
    """A running hub, and calls to it that return when they are answered."""

    def __init__(self, folder: Path, *, make: Callable[..., World] = World, **settings: Any) -> None:
        self.world = make(folder, **settings)
        self.folder = folder
        self.bron, self.inkomen = self.world.bron, self.world.inkomen
        self.wijkteam, self.portaal = self.world.wijkteam, self.world.portaal
        self._stack = ExitStack()
        self._seq = 1000

    def __enter__(self) -> Self:
        self._runner = self._stack.enter_context(asyncio.Runner())
        running = self.world.running()
        self.run(running.__aenter__())
        self._stack.callback(lambda: self.run(running.__aexit__(None, None, None)))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, what: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(what)

    def together(self, *what: Coroutine[Any, Any, T]) -> list[T]:
        """Send all at the same moment."""

        async def all_of_them() -> list[T]:
            return list(await asyncio.gather(*what))

        return self.run(all_of_them())

    # --- people and flags ------------------------------------------------------------

    def somebody(self) -> str:
        """A person that no other test knows."""
        return secrets.token_hex(8)

    def flag(self, person: str, kind: str, scope: str = "", **period: Any) -> Flag:
        known = VOCABULARY.kind(kind).domain if VOCABULARY.has_kind(kind) else "geld"
        return Flag(person, kind, scope or known, secrets.token_bytes(32), **period)

    def next_seq(self) -> int:
        self._seq += 1
        return self._seq

    def lids(self, person: str, scopes: Sequence[str] = SCOPES) -> list[bytes]:
        return [log_id(scope, point(person, scope)) for scope in scopes]

    # --- sources ---------------------------------------------------------------------

    def publication(self, node: Node, flags: Sequence[Flag], seqs: Sequence[int], msg: str) -> dict[str, Any]:
        """The body of a publication, in the order of the flags."""
        points = [point(flag.person, flag.scope) for flag in flags]
        return {
            "version": 1,
            "points": self.world.sealed(node.id, msg, points),
            "items": [flag.item(seq) for flag, seq in zip(flags, seqs, strict=True)],
        }

    def try_to_publish(
        self, node: Node, *flags: Flag, seqs: Sequence[int] = (), msg: str = "", **changes: Any
    ) -> Sent:
        """Publish; `changes` replace fields of the body."""
        msg = msg or str(uuid.uuid4())
        numbers = list(seqs) or [self.next_seq() for _ in flags]
        body = {**self.publication(node, flags, numbers, msg), **changes}
        return self.run(node.send("/v1/publications", body, "publish", msg=msg, role="bron"))

    def publish(self, node: Node, *flags: Flag, seqs: Sequence[int] = ()) -> list[ItemResult]:
        """Publish, and what became of each."""
        return results(self.try_to_publish(node, *flags, seqs=seqs))

    def try_to_retract(self, node: Node, *items: Any, msg: str = "") -> Sent:
        """Send items exactly as given."""
        return self.run(node.send("/v1/retractions", {"items": list(items)}, "retract", msg=msg, role="bron"))

    def retract(self, node: Node, *revealed: bytes, seqs: Sequence[int] = ()) -> list[ItemResult]:
        """Reveal secrets, and what became of each."""
        numbers = list(seqs) or [self.next_seq() for _ in revealed]
        pairs = zip(numbers, revealed, strict=True)
        return results(self.try_to_retract(node, *({"seq": n, "secret": b64u(s)} for n, s in pairs)))

    # --- what is stored --------------------------------------------------------------

    def count(self, table: str) -> int:
        """Rows of a table of the hub."""
        with self.world.hub.reading() as connection:
            return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar() or 0)  # noqa: S608

    def everything_stored(self) -> dict[str, list[Any]]:
        """All rows of the tables that a change may touch, but log, messages and spent values."""
        tables = ("flag", "marker", "digest", "heartbeat", "directive", "choice_state", "claim")
        with self.world.hub.reading() as connection:
            return {
                name: sorted(map(tuple, connection.execute(text(f"SELECT * FROM {name}"))))  # noqa: S608
                for name in tables
            }

    # --- askers ----------------------------------------------------------------------

    def visit(self, *persons: str, **changes: Any) -> Visit:
        return self.run(self.wijkteam.opens("m-17", persons, **changes))

    def sees(self, visit: Visit) -> list[set[str]]:
        """Kinds that are visible, per person of the visit."""
        return self.run(self.wijkteam.sees(visit))

    def login(self, person: str) -> Visit:
        return self.run(self.portaal.logs_in(person))

    def allow_everything(self, person: str) -> Visit:
        """Team noord may see everything for help; returns the session."""
        session = self.login(person)
        sent = self.run(self.portaal.chooses(session))
        assert sent.response.status_code == 200, sent.response.text
        return session

    def own(self, session: Visit, what: str, kind: type[T]) -> T:
        """`flags`, `choices` or `log` of who is logged in, its entry checked."""
        sent = self.run(self.portaal.asks(session, what))
        answer: Any = decoded(sent, kind)
        self.world.check(answer.log[0], sent, session.lids[0])
        return answer


def decoded(sent: Sent, kind: type[T]) -> T:
    """The body of a 200."""
    assert sent.response.status_code == 200, sent.response.text
    return msgspec.json.decode(sent.response.content, type=kind)


def results(sent: Sent) -> list[ItemResult]:
    """What became of each item of a change."""
    return decoded(sent, ChangeReceipt).results


def outcomes(items: Sequence[ItemResult]) -> list[str]:
    """`outcome` or `outcome:code` of each."""
    return [f"{item.outcome}:{item.code}" if item.code else item.outcome for item in items]


def problem(response: httpx.Response) -> tuple[int, str, list[str]]:
    """Status, kind of problem and the codes of its rules."""
    body = response.json()
    found = [error["code"] for error in body.get("errors", [])]
    return response.status_code, body["type"].rpartition("/")[2], found
