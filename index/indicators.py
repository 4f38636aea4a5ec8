"""Questions to ask about how teams look: counts against similar teams, never a verdict, never a person.

    entries of a period -> per team of a role: how many looks, how many of them unusual in one way
    -> the middle of the other teams of that role -> a question where the difference is large enough

A question needs enough looks and enough unusual ones; with fewer it would be
about single people. Same person by many employees is counted over chains that
are compared here and shown nowhere.

Source: docs/design/officers.md; screens.md O2.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from index.accesslog.reading import Found
from index.protocol.codec import unb64u
from policy.clock import AMSTERDAM, is_working_day

if TYPE_CHECKING:
    from index.hub import Hub

Sign = Literal[
    "outside_hours",
    "many_per_hour",
    "many_employees",
    "urgent",
    "empty",
    "refused",
    "opened_afterwards",
    "without_contact",
]
SIGNS: tuple[Sign, ...] = get_args(Sign)
_OPEN, _CLOSED = 7, 19
"""Office hours, Europe/Amsterdam, on working days."""
_PER_HOUR = 20
_EMPLOYEES = 4
_EXAMPLES = 3
_AFTERWARDS = timedelta(hours=24)
_CONTACT_MS = 14 * 86_400 * 1000
"""Within this time after a look contact may be asked; a look that is newer is not judged on it."""
_LEAST_LOOKS = 10
_LEAST_UNUSUAL = 5
_TIMES = 2.0
_MORE = 0.1
"""A share counts as unusual from twice the middle of the others and a tenth above it."""


class Group(NamedTuple):
    """A team of one organisation in one role."""

    organisation: str
    team: str
    role: str


@dataclass(frozen=True, slots=True)
class Example:
    """One unusual look, by its place in the log; `at` is Unix seconds."""

    year: int
    index: int
    at: int
    actor: str

    @property
    def when(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)


@dataclass(frozen=True, slots=True)
class QuestionToAsk:
    """`unusual` of `looks` of a team; other teams of the role have `compared` per hundred (None: no others).

    `others` is how many teams it was compared with, `examples` the newest of the unusual looks.
    """

    sign: Sign
    group: Group
    unusual: int
    looks: int
    compared: float | None
    others: int
    examples: tuple[Example, ...] = ()

    @property
    def share(self) -> float:
        """Unusual looks per hundred."""
        return 100 * self.unusual / self.looks


@dataclass(slots=True)
class _Counted:
    looks: int = 0
    unusual: Counter[Sign] = field(default_factory=Counter)
    examples: dict[Sign, deque[Example]] = field(default_factory=dict)

    def add(self, sign: Sign, example: Example) -> None:
        """One more unusual look."""
        self.unusual[sign] += 1
        self.examples.setdefault(sign, deque(maxlen=_EXAMPLES)).append(example)


def questions(hub: Hub, begin: datetime, end: datetime, organisation: str = "") -> list[QuestionToAsk]:
    """What stands out in a period, the largest difference first. Blocks.

    Args:
        organisation: OIN, to see its own teams only; they are compared with all.
    """
    with hub.reading() as connection:
        counted = _count(hub.log_reader.between(connection, begin, end), int(end.timestamp() * 1000))
    found = [one for sign in SIGNS for one in _compared(sign, counted)]
    mine = [one for one in found if not organisation or one.group.organisation == organisation]
    return sorted(mine, key=lambda one: (-(one.share - (one.compared or 0)), one.group, one.sign))


def _compared(sign: Sign, counted: dict[Group, _Counted]) -> Iterable[QuestionToAsk]:
    for group, own in counted.items():
        unusual = own.unusual[sign]
        if own.looks < _LEAST_LOOKS or unusual < _LEAST_UNUSUAL:
            continue
        others = [
            100 * other.unusual[sign] / other.looks
            for name, other in counted.items()
            if name != group and name.role == group.role and other.looks >= _LEAST_LOOKS
        ]
        middle = median(others) if others else None
        share = 100 * unusual / own.looks
        if middle is None and sign == "without_contact":
            # Most contact goes by telephone: only the difference with other teams says something.
            continue
        if middle is None or (share >= _TIMES * middle and share >= middle + 100 * _MORE):
            examples = tuple(reversed(own.examples[sign]))
            yield QuestionToAsk(sign, group, unusual, own.looks, middle, len(others), examples)


def _count(entries: Iterable[Found], end_ms: int) -> dict[Group, _Counted]:
    """Looks and unusual looks of each team. One pass; keeps chains of the period in memory only.

    An opening that was refused for its purpose counts as a look that was refused: it was about a person.
    """
    counted: dict[Group, _Counted] = defaultdict(_Counted)
    hours: Counter[tuple[str, str, int]] = Counter()
    lookers: dict[tuple[str, str], set[str]] = defaultdict(set)
    crowd: dict[tuple[str, str], list[tuple[Group, Example]]] = defaultdict(list)
    refused: dict[tuple[str, str], int] = {}
    showed: list[tuple[Group, Example, int, list[str]]] = []
    contact: dict[tuple[str, str], int] = {}
    for one in entries:
        asker = one.asker
        if not asker.actor or not asker.handles:
            continue
        group = Group(asker.org, asker.team, asker.role)
        place = Example(one.year, one.index, asker.ts // 1000, asker.actor)
        who = (asker.actor, asker.handles[0])
        if asker.t == "relation" and not asker.refused and not asker.bg:
            then = refused.pop(who, None)
            if then is not None and asker.ts - then <= _AFTERWARDS.total_seconds() * 1000:
                counted[group].add("opened_afterwards", place)
        if asker.t == "notice":
            # With an employee as its actor it is a request for contact.
            contact |= {(asker.org, handle): asker.ts for handle in asker.handles}
        if asker.t != "lookup" and not (asker.t == "relation" and asker.refused):
            continue
        own = counted[group]
        own.looks += 1
        hour = (asker.org, asker.actor, asker.ts // 3_600_000)
        hours[hour] += 1
        seen: dict[Sign, bool] = {
            "outside_hours": _outside(asker.ts),
            "urgent": bool(asker.bg),
            "refused": bool(asker.refused),
            "empty": not asker.refused and not any(unb64u(asker.shown)),
            "many_per_hour": hours[hour] > _PER_HOUR,
        }
        for sign in (sign for sign, unusual in seen.items() if unusual):
            own.add(sign, place)
        if asker.refused:
            refused[who] = asker.ts
        elif not seen["empty"]:
            showed.append((group, place, asker.ts, asker.handles))
        # One chain of a look stands for its person: each scope of a role's looks is the same set.
        chain = (asker.role, asker.handles[0])
        lookers[chain].add(f"{asker.org}/{asker.actor}")
        crowd[chain].append((group, place))
    for chain, people in lookers.items():
        if len(people) >= _EMPLOYEES:
            for group, place in crowd[chain]:
                counted[group].add("many_employees", place)
    for group, place, ts, handles in showed:
        asked = max(contact.get((group.organisation, handle), 0) for handle in handles)
        if ts + _CONTACT_MS <= end_ms and not ts <= asked <= ts + _CONTACT_MS:
            counted[group].add("without_contact", place)
    return dict(counted)


def _outside(ts: int) -> bool:
    at = datetime.fromtimestamp(ts / 1000, AMSTERDAM)
    return not is_working_day(at.date()) or not _OPEN <= at.hour < _CLOSED
