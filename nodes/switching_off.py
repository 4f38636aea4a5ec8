"""Switching a source off: everything it published is taken back, and it publishes nothing any more.

    a manager types the organisation's name -> another manager sees the count and confirms
    -> retraction of every flag and the mark "off", in one transaction -> sent like any retraction

An empty or mistyped name does nothing, and neither does one person alone. While
the source is off the outbox refuses publications, whoever brings them: a list that
is read the next night must not bring everything back.

Source: screens.md S6; docs/design/design.md, "Flags" (retraction).
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import Connection, Engine, delete, func, insert, select

from .errors import BadInput, NotAllowed
from .outbox import Outbox
from .store.database import reading, writing
from .store.tables import flag, switch_off

ORIGIN = "switch-off"
_LIVE = ("queued", "published")


@dataclass(frozen=True, slots=True)
class Switch:
    """Whether the source is on; `count` flags would be, or were, taken back.

    `asked_by` is the employee id of who asked; empty while nobody did.
    """

    state: Literal["on", "asked", "off"]
    count: int
    asked_by: str = ""
    at: datetime | None = None


class SwitchingOff:
    """The two steps.

    Args:
        name: The organisation's name as it must be typed. Without one nothing can be switched off here.
        now: Clock, UTC.
    """

    def __init__(self, engine: Engine, outbox: Outbox, *, name: str, now: Callable[[], datetime]) -> None:
        self._engine, self._outbox, self._now = engine, outbox, now
        self._name = name.strip()

    @property
    def name(self) -> str:
        """What must be typed."""
        return self._name

    def state(self) -> Switch:
        """How it stands, with the number of flags that are live or on their way."""
        with reading(self._engine) as connection:
            return _state(connection)

    def ask(self, who: str, typed: str) -> None:
        """The first step. Nothing is taken back by it.

        Args:
            who: Employee id of the manager.
            typed: Must be the organisation's name, letter for letter.

        Raises:
            BadInput: It is not, or it was asked already.
            NotAllowed: Nobody stands behind the request.
        """
        self._someone(who)
        if not self._name or not hmac.compare_digest(typed.strip().encode(), self._name.encode()):
            raise BadInput("naam", "name", "This is not the name of the organisation. Nothing was done.")
        with writing(self._engine) as connection:
            if _state(connection).state != "on":
                raise BadInput("naam", "asked", "It was asked already. Nothing was done.")
            at = int(self._now().timestamp() * 1000)
            connection.execute(insert(switch_off).values(id=1, asked_by=who, asked_at=at, taken_back=0))

    def withdraw(self) -> None:
        """Drop what was asked and not confirmed."""
        with writing(self._engine) as connection:
            connection.execute(delete(switch_off).where(switch_off.c.off_at.is_(None)))

    def confirm(self, who: str, seen: int) -> int:
        """The second step, by a colleague: everything is queued for retraction; how many.

        Args:
            seen: The count that this person saw.

        Raises:
            NotAllowed: This is the person who asked.
            BadInput: Nobody asked, or the count is another by now; nothing was done.
        """
        self._someone(who)
        with reading(self._engine) as connection:
            standing = _state(connection)
            references = list(connection.scalars(select(flag.c.local_ref).where(flag.c.state.in_(_LIVE))))
        self._check(standing, who, seen)

        def mark(connection: Connection) -> None:
            # In the transaction of the retractions: both, or neither.
            now = _state(connection)
            left = connection.scalar(select(func.count()).where(flag.c.state.in_(_LIVE))) or 0
            if now.state != "asked" or now.asked_by != standing.asked_by or left:
                raise BadInput("aantal", "changed", "Something changed meanwhile. Nothing was done.")
            at = int(self._now().timestamp() * 1000)
            connection.execute(
                switch_off.update().values(confirmed_by=who, off_at=at, taken_back=len(references))
            )

        self._outbox.queue(ORIGIN, retractions=references, memory=mark)
        return len(references)

    def switch_on(self) -> bool:
        """Let the source publish again; False where it was on. What was taken back stays so."""
        with writing(self._engine) as connection:
            return connection.execute(delete(switch_off)).rowcount == 1

    @staticmethod
    def _check(standing: Switch, who: str, seen: int) -> None:
        if standing.state != "asked":
            raise BadInput("stap", "not-asked", "Nobody asked for it. Nothing was done.")
        if standing.asked_by == who:
            raise NotAllowed("same-person")
        if standing.count != seen:
            raise BadInput("aantal", "changed", "The number is another by now. Nothing was done.")

    @staticmethod
    def _someone(who: str) -> None:
        if not who:
            raise NotAllowed("nobody")


def _state(connection: Connection) -> Switch:
    row = connection.execute(select(switch_off)).one_or_none()
    live = connection.scalar(select(func.count()).where(flag.c.state.in_(_LIVE))) or 0
    if row is None:
        return Switch("on", live)
    if row.off_at is None:
        return Switch("asked", live, row.asked_by, datetime.fromtimestamp(row.asked_at / 1000, UTC))
    return Switch("off", row.taken_back, row.asked_by, datetime.fromtimestamp(row.off_at / 1000, UTC))
