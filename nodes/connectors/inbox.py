"""Messages that came in and are not worked off yet, sealed; and those that nobody can work off.

    folder or call -> `put` -> waiting -> worked off, gone in the transaction of what followed from it
                                 ├─> later: the source gave a fault
                                 └─> aside: place, reason, and `replay` once it is repaired

The content is sealed under the node's storage key, for it may hold numbers and
names of people; the list of what is aside shows none of it.

Source: docs/design/node.md, "Sources".
"""

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from ..errors import Wrong
from ..store.database import reading, writing
from ..store.seal import seal, unseal
from ..store.tables import inbox

KEPT_DAYS = 30
"""What lies aside longer than this is erased: it holds persons, and nobody repaired it."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message to work off."""

    id: int
    connector: str
    attempts: int
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Aside:
    """A message that could not be worked off, without its content."""

    id: int
    connector: str
    received_at: datetime
    field: str
    line: int | None
    code: str
    detail: str


class Inbox:
    """The messages of all connectors of one node.

    Args:
        storage_key: Seals the content.
        now: Clock, UTC.
    """

    def __init__(self, engine: Engine, storage_key: bytes, now: Callable[[], datetime]) -> None:
        self._engine = engine
        self._key = storage_key
        self._now = now

    def put(self, connector: str, content: bytes) -> None:
        """Keep a message; returns once it survives a crash. One that is already here is kept once."""
        digest = hmac.digest(self._key, b"vlagwijzer/inbox/v1" + content, hashlib.sha256)
        row = {
            "connector": connector,
            "digest": digest,
            "sealed": seal(self._key, "inbox", digest.hex(), content),
            "received_at": self._ms(),
            "attempts": 0,
            "next_at": 0,
            "aside": 0,
        }
        again = {"aside": 0, "next_at": 0}
        with writing(self._engine) as connection:
            connection.execute(
                upsert(inbox)
                .values(row)
                .on_conflict_do_update(index_elements=["connector", "digest"], set_=again)
            )

    def next(self, connectors: Sequence[str]) -> Arrived | None:
        """The oldest message that may be worked off now."""
        with reading(self._engine) as connection:
            row = connection.execute(
                select(inbox)
                .where(inbox.c.connector.in_(connectors), inbox.c.aside == 0, inbox.c.next_at <= self._ms())
                .order_by(inbox.c.id)
                .limit(1)
            ).one_or_none()
        if row is None:
            return None
        content = unseal(self._key, "inbox", row.digest.hex(), row.sealed)
        return Arrived(row.id, row.connector, row.attempts, content)

    def done(self, connection: Connection, arrived: Arrived) -> None:
        """Forget a message, in the transaction of what followed from it."""
        connection.execute(delete(inbox).where(inbox.c.id == arrived.id))

    def later(self, arrived: Arrived, code: str, seconds: float) -> None:
        """The source gave a fault: try again."""
        self._change(
            arrived.id,
            attempts=arrived.attempts + 1,
            next_at=self._ms() + int(seconds * 1000),
            code=code[:60],
            detail="The source gave a fault; it is tried again.",
        )

    def set_aside(self, arrived: Arrived, wrong: Wrong, line: int | None = None) -> None:
        """Nobody can work this off until something is repaired; the others go on."""
        self._change(
            arrived.id,
            attempts=arrived.attempts + 1,
            aside=1,
            field=wrong.field[:60],
            line=line,
            code=wrong.code[:60],
            detail=wrong.detail[:300],
        )

    def aside(self) -> list[Aside]:
        """What could not be worked off, oldest first."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(inbox).where(inbox.c.aside == 1).order_by(inbox.c.id)).all()
        return [
            Aside(
                row.id,
                row.connector,
                datetime.fromtimestamp(row.received_at / 1000, UTC),
                row.field,
                row.line,
                row.code,
                row.detail,
            )
            for row in rows
        ]

    def aside_content(self, id_: int) -> Arrived | None:
        """One that lies aside, for a replay."""
        with reading(self._engine) as connection:
            row = connection.execute(select(inbox).where(inbox.c.id == id_, inbox.c.aside == 1)).one_or_none()
        if row is None:
            return None
        content = unseal(self._key, "inbox", row.digest.hex(), row.sealed)
        return Arrived(row.id, row.connector, row.attempts, content)

    def drop(self, id_: int) -> bool:
        """Erase one that lies aside; False when there is none."""
        with writing(self._engine) as connection:
            gone = connection.execute(delete(inbox).where(inbox.c.id == id_, inbox.c.aside == 1))
        return gone.rowcount == 1

    def erase_old(self) -> int:
        """Erase what lies aside for longer than `KEPT_DAYS`."""
        before = self._ms() - KEPT_DAYS * 86_400_000
        with writing(self._engine) as connection:
            gone = connection.execute(delete(inbox).where(inbox.c.aside == 1, inbox.c.received_at < before))
        return gone.rowcount

    def counts(self) -> tuple[int, int]:
        """How many wait, and how many lie aside."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(inbox.c.aside, func.count()).group_by(inbox.c.aside)).all()
        found: dict[int, int] = {row.aside: row[1] for row in rows}
        return found.get(0, 0), found.get(1, 0)

    def _change(self, id_: int, **values: object) -> None:
        with writing(self._engine) as connection:
            connection.execute(update(inbox).where(inbox.c.id == id_).values(**values))

    def _ms(self) -> int:
        return int(self._now().timestamp() * 1000)
