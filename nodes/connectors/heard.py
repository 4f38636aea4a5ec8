"""What messages said of each reference, so that their order does not matter.

    allocation (301)  since, until, withdrawn     each part keeps the latest that was said of it,
    start (305)       since, taken back           and remembers what stood before, for a message
    end (307)         on, died, taken back        that is rejected afterwards

`wanted` reads off whether the flag holds: the same for every order in which
the same messages came. A late message never revives what a later one ended.
Dates and codes only: no person stands here.

Source: docs/design/ecosystem.md, "From message to publish or retract".
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

import msgspec
from sqlalchemy import Connection, Engine, delete, select
from sqlalchemy.dialects.sqlite import insert as upsert

from ..publication import month_after
from ..store.database import reading
from ..store.tables import heard, heard_in

_CHUNK = 500


class Part(msgspec.Struct, omit_defaults=True):
    """One thing that was said. `at` orders it among its like: a moment or day as ISO text.

    `day` is the first day of an allocation or start, or the last day of an end.
    """

    at: str
    message: str
    day: str
    until: str = ""
    off: bool = False
    died: bool = False
    before: "Part | None" = None


class State(msgspec.Struct, omit_defaults=True):
    """All that was said of one reference."""

    allocation: Part | None = None
    start: Part | None = None
    end: Part | None = None

    def hear(self, name: str, said: Part) -> bool:
        """Take a part in; False when something later, or the same, was heard before."""
        old: Part | None = getattr(self, name)
        if old is not None and (said.at < old.at or (said.at == old.at and not _stronger(said, old))):
            return False
        if old is not None:
            said.before = msgspec.structs.replace(old, before=None)
        setattr(self, name, said)
        return True

    def undo(self, message: str) -> bool:
        """Forget what one message said; False when it is not the last that spoke here."""
        undone = False
        for name in ("allocation", "start", "end"):
            part: Part | None = getattr(self, name)
            if part is not None and part.message == message:
                setattr(self, name, part.before)
                undone = True
        return undone

    def wanted(self, today: date, open_end_months: int) -> "Wanted":
        """Whether the flag holds today, and its period.

        Args:
            open_end_months: How long something without an end holds after its message.
        """
        day = today.isoformat()
        end = self.end if self.end is not None and not self.end.off else None
        start = self.start if self.start is not None and not self.start.off else None
        if end is not None and end.died:
            return Wanted(reason="the person died")
        if self.allocation is not None and self.allocation.off:
            return Wanted(reason="the allocation was withdrawn")
        if self.start is not None and self.start.off:
            return Wanted(reason="the start was taken back")
        if end is not None and start is not None and start.day > end.day:
            end = None
        if end is not None and end.day <= day:
            return Wanted(reason="the support ended")
        begun = start or self.allocation
        if begun is None:
            return Wanted(reason="nothing was granted or begun")
        until = min(text for text in (self._until(open_end_months), end.day if end else "") if text)
        if until < day and len(until) == 10:
            return Wanted(reason="the end date is past")
        ends_on = until if len(until) == 10 else None
        return Wanted(since=begun.day, until=until[:7], ends_on=ends_on, reason="it is granted or begun")

    def _until(self, open_end_months: int) -> str:
        if self.allocation is not None and self.allocation.until:
            return self.allocation.until
        begun = self.start or self.allocation
        last = max(begun.day, begun.at[:10]) if begun is not None else ""
        return month_after(date.fromisoformat(last), open_end_months) if last else ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whether a flag holds: with `since` it does. `ends_on`: the last day, where one was said."""

    reason: str
    since: str = ""
    until: str = ""
    ends_on: str | None = None


def _stronger(said: Part, old: Part) -> bool:
    """Of two things said at the same moment the one that takes away counts, then the one with more in it."""
    return (said.off, said.died, said.day, said.until) > (old.off, old.died, old.day, old.until)


@dataclass(slots=True)
class Hearing:
    """The states of the references that one message speaks of, and what is new in them."""

    connector: str
    states: dict[str, State]
    spoken: list[tuple[str, str]] = field(default_factory=list)
    ends: dict[str, str | None] = field(default_factory=dict)

    def save(self, connection: Connection) -> None:
        """Write what is new, in the transaction of the messages that follow from it."""
        for local_ref, ends_on in self.ends.items():
            row = {
                "connector": self.connector,
                "local_ref": local_ref,
                "state": msgspec.json.encode(self.states[local_ref]).decode(),
                "ends_on": ends_on,
            }
            connection.execute(
                upsert(heard)
                .values(row)
                .on_conflict_do_update(index_elements=["connector", "local_ref"], set_=row)
            )
        for message, local_ref in self.spoken:
            key = {"connector": self.connector, "message": message, "local_ref": local_ref}
            connection.execute(upsert(heard_in).values(key).on_conflict_do_nothing())


def recall(engine: Engine, connector: str, local_refs: Iterable[str]) -> Hearing:
    """What was heard of these references; a new one has an empty state."""
    wanted = list(dict.fromkeys(local_refs))
    found: dict[str, State] = {ref: State() for ref in wanted}
    with reading(engine) as connection:
        for at in range(0, len(wanted), _CHUNK):
            rows = connection.execute(
                select(heard.c.local_ref, heard.c.state).where(
                    heard.c.connector == connector, heard.c.local_ref.in_(wanted[at : at + _CHUNK])
                )
            )
            found.update({row.local_ref: msgspec.json.decode(row.state, type=State) for row in rows})
    return Hearing(connector, found)


def bury(engine: Engine, connector: str, local_refs: Iterable[str], at: str) -> Hearing:
    """That the person of these references died, heard at `at`; of references that messages spoke of only."""
    hearing = recall(engine, connector, local_refs)
    for ref, state in hearing.states.items():
        if state.allocation is not None or state.start is not None:
            state.hear("end", Part(at, "", at[:10], died=True))
            hearing.ends[ref] = None
    return hearing


def spoken_in(engine: Engine, connector: str, message: str) -> list[str]:
    """The references that a message spoke of."""
    with reading(engine) as connection:
        return list(
            connection.scalars(
                select(heard_in.c.local_ref)
                .where(heard_in.c.connector == connector, heard_in.c.message == message)
                .order_by(heard_in.c.local_ref)
            )
        )


def past(engine: Engine, connector: str, today: date) -> list[str]:
    """References whose last day is over: no message will come for them."""
    with reading(engine) as connection:
        return list(
            connection.scalars(
                select(heard.c.local_ref)
                .where(heard.c.connector == connector, heard.c.ends_on < today.isoformat())
                .order_by(heard.c.local_ref)
            )
        )


def erase(connection: Connection, connector: str, local_refs: Iterable[str]) -> None:
    """Forget everything of these references."""
    for ref in local_refs:
        for table in (heard, heard_in):
            connection.execute(delete(table).where(table.c.connector == connector, table.c.local_ref == ref))
