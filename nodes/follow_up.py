"""What became of a signal: new, seen, taken up, closed. So nobody drowns and nothing is forgotten.

    followed -> new (a signal came) -> seen (asked again) -> taken (somebody works on it) -> closed
    a later signal makes it new once more, except while somebody works on it

A signal has no subject, so its place on the list cannot follow from one before
the visit was asked again. After that, visits with a subject that comes first,
or with a combination, stand on top; which one it was is not kept.

Source: docs/design/node.md, "Signals"; screens.md D10.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple, get_args

from sqlalchemy import Engine, delete, select, update
from sqlalchemy.dialects.sqlite import insert

from .employees import Employee
from .errors import UnknownVisit
from .store.database import reading, writing
from .store.seal import seal, unseal
from .store.tables import delivery, followed, visit

State = Literal["new", "seen", "taken", "closed"]
STATES: tuple[State, ...] = get_args(State)
CHOSEN: tuple[State, ...] = ("taken", "closed")
"""What an employee says; the others follow from what happens."""

_WAITS = ("new", "seen", "taken")


class Told(NamedTuple):
    """A signal that was kept: its id and the visit."""

    event: str
    visit: str
    team: str


@dataclass(frozen=True, slots=True)
class Item:
    """A visit with something new. `mine`: of this employee; otherwise of the team."""

    visit: str
    state: State
    at: datetime
    first: bool
    mine: bool


class FollowUp:
    """The state of followed visits at this node.

    Args:
        storage_key: Seals what was seen.
    """

    def __init__(self, engine: Engine, storage_key: bytes, team_after: timedelta) -> None:
        self._engine = engine
        self._key = storage_key
        self._team_after = team_after

    def follow(self, visit_id: str, tag: str, at: datetime) -> None:
        """A visit is followed from now on; again is harmless."""
        row = {
            "visit": visit_id,
            "tag": tag,
            "state": "",
            "at": _ms(at),
            "sealed": self._seal(visit_id, False),
        }
        with writing(self._engine) as connection:
            connection.execute(insert(followed).values(row).on_conflict_do_nothing())

    def unfollow(self, visit_id: str) -> None:
        """Not followed any more; what was new is forgotten, and nobody is told."""
        with writing(self._engine) as connection:
            connection.execute(delete(followed).where(followed.c.visit == visit_id))
            connection.execute(delete(delivery).where(delivery.c.visit == visit_id))

    def followed(self, visit_ids: Collection[str]) -> frozenset[str]:
        """Which of these visits are followed."""
        with reading(self._engine) as connection:
            found = connection.execute(select(followed.c.visit).where(followed.c.visit.in_(visit_ids)))
            return frozenset(found.scalars())

    def any(self, now: datetime) -> bool:
        """Whether any open visit is followed: otherwise there is nothing to ask the hub."""
        with reading(self._engine) as connection:
            query = (
                select(followed.c.visit)
                .join(visit, visit.c.id == followed.c.visit)
                .where(visit.c.until > _ms(now))
                .limit(1)
            )
            return connection.execute(query).first() is not None

    def keep(
        self, signals: Iterable[tuple[str, str]], now: datetime, webhooks: dict[str, frozenset[str]]
    ) -> int:
        """Keep signals `(id, tag)` and what is to be told, in one transaction; how many were for open visits.

        Args:
            webhooks: By name, the teams whose visits it hears of; empty for all.
        """
        kept = 0
        with writing(self._engine) as connection:
            for event, tag in signals:
                row = connection.execute(
                    select(followed.c.visit, followed.c.state, visit.c.team)
                    .join(visit, visit.c.id == followed.c.visit)
                    .where(followed.c.tag == tag, visit.c.until > _ms(now))
                ).one_or_none()
                if row is None:
                    continue
                kept += 1
                state = "taken" if row.state == "taken" else "new"
                connection.execute(
                    update(followed).where(followed.c.visit == row.visit).values(state=state, at=_ms(now))
                )
                for name, teams in webhooks.items():
                    if teams and row.team not in teams:
                        continue
                    told = {
                        "event": event, "webhook": name, "visit": row.visit,
                        "at": _ms(now), "attempts": 0, "next_at": _ms(now),
                    }  # fmt: skip
                    connection.execute(insert(delivery).values(told).on_conflict_do_nothing())
        return kept

    def looked(self, visit_id: str, first: bool | None) -> None:
        """The visit was asked again. `first`: whether its subjects come first; None when none were asked."""
        with writing(self._engine) as connection:
            row = connection.execute(select(followed).where(followed.c.visit == visit_id)).one_or_none()
            if row is None:
                return
            changed: dict[str, object] = {}
            if row.state == "new":
                changed["state"] = "seen"
            if first is not None:
                changed["sealed"] = self._seal(visit_id, first)
            if changed:
                connection.execute(update(followed).where(followed.c.visit == visit_id).values(changed))

    def items(self, employee: Employee, now: datetime) -> list[Item]:
        """Own visits with something new, and those of colleagues in the same role and team that waited long.

        New ones first, the oldest on top; then what was seen, what comes first on top.
        """
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(followed, visit.c.employee)
                .join(visit, visit.c.id == followed.c.visit)
                .where(
                    visit.c.role == employee.role,
                    visit.c.team == employee.team,
                    visit.c.until > _ms(now),
                    followed.c.state.in_(_WAITS),
                )
            ).all()
        late = _ms(now - self._team_after)
        found = []
        for row in rows:
            mine = row.employee == employee.id
            if not mine and (row.state != "new" or row.at > late):
                continue
            first = self._open(row.visit, row.sealed)
            found.append(Item(row.visit, row.state, _moment(row.at, now), first, mine))
        order = {"new": 0, "seen": 1, "taken": 1}
        return sorted(found, key=lambda one: (order[one.state], not one.first, one.at, one.visit))

    def choose(self, employee: Employee, visit_id: str, state: State, now: datetime) -> None:
        """An own visit is taken up or closed; taking up a colleague's that waited long makes it one's own.

        Raises:
            UnknownVisit: Nothing that this employee may do this with.
        """
        found = next((one for one in self.items(employee, now) if one.visit == visit_id), None)
        if found is None or state not in CHOSEN or (not found.mine and state != "taken"):
            raise UnknownVisit
        with writing(self._engine) as connection:
            owner = [visit.c.id == visit_id, visit.c.role == employee.role, visit.c.team == employee.team]
            if found.mine:
                owner.append(visit.c.employee == employee.id)
            if connection.execute(select(visit.c.id).where(*owner)).one_or_none() is None:
                raise UnknownVisit
            done = connection.execute(
                update(followed)
                .where(followed.c.visit == visit_id, followed.c.state == found.state)
                .values(state=state)
            )
            # A colleague was earlier.
            if done.rowcount != 1:
                raise UnknownVisit
            if not found.mine:
                connection.execute(update(visit).where(*owner).values(employee=employee.id))

    def _seal(self, visit_id: str, first: bool) -> bytes:
        return seal(self._key, "followed", visit_id, b"1" if first else b"0")

    def _open(self, visit_id: str, sealed: bytes) -> bool:
        return unseal(self._key, "followed", visit_id, sealed) == b"1"


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _moment(ms: int, like: datetime) -> datetime:
    return datetime.fromtimestamp(ms / 1000, like.tzinfo)
