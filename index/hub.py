"""What one hub process holds together: keys, documents, policy, log and the one writer.

Made by `app.open_hub`; routes and works get it as their first argument.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, Engine

from index.accesslog.log import AccessLog
from index.accesslog.reading import LogReader
from index.acts import Office
from index.errors import OverRate, PointsRefused, StalePoints
from index.gate import Caller
from index.keystore import Keystore
from index.metrics import HubMetrics
from index.policies import Policies
from index.protocol.codec import EncodingError, unb64u
from index.protocol.directory import Directory, Manifest
from index.protocol.points import PointsError, open_points
from index.ristretto import is_point
from index.rows import Rows
from index.sequencer import Sequencer
from index.settings import HubSettings
from index.store.engine import reading
from index.tickets import Tickets
from index.witnesses import Witnesses
from policy.engine import PolicyVersion
from policy.postpone import Postponement
from policy.vocabulary import BASES, Vocabulary


@dataclass(slots=True)
class Budgets:
    """How many persons a node, its organisation and an employee may ask about per minute.

    A refusal depends on the asker only.
    Counted in memory, per process: a restart forgives at most a minute.
    """

    node_per_minute: int
    employee_per_minute: int
    organisation_per_minute: int
    _minute: int = 0
    _used: dict[tuple[str, str], int] = field(default_factory=dict)

    def take(self, caller: Caller, persons: int) -> None:
        """Count `persons` for the node, its organisation and, where there is one, the employee.

        Raises:
            OverRate: One of them is spent for this minute; nothing is counted.
        """
        minute = int(time.monotonic() // 60)
        if minute != self._minute:
            self._minute, self._used = minute, {}
        said = caller.statement
        wanted = [((said.node, ""), self.node_per_minute), (("", said.org), self.organisation_per_minute)]
        if said.actor:
            wanted.append(((said.node, said.actor), self.employee_per_minute))
        if any(self._used.get(who, 0) + persons > limit for who, limit in wanted):
            raise OverRate
        for who, _ in wanted:
            self._used[who] = self._used.get(who, 0) + persons


@dataclass(slots=True)
class UnknownRetractions:
    """How many retractions of flags that are not here one node may send per day (UTC).

    Each leaves a marker for a flag that may never come, so a node could fill the
    table. Counted in memory, per process: a restart forgives at most a day.
    """

    per_day: int = 10_000
    _day: str = ""
    _used: dict[str, int] = field(default_factory=dict)

    def take(self, node: str, now: datetime) -> bool:
        """Count one; False when the node's day is full."""
        day = f"{now:%Y-%m-%d}"
        if day != self._day:
            self._day, self._used = day, {}
        if self._used.get(node, 0) >= self.per_day:
            return False
        self._used[node] = self._used.get(node, 0) + 1
        return True


@dataclass(slots=True)
class Hub:
    """Everything a route needs. One per process."""

    settings: HubSettings
    clock: Callable[[], datetime]
    policies: Policies
    office: Office
    directory: Directory
    manifest: Manifest
    versions: frozenset[int]
    """Manifest versions served here whose keys are those of now."""
    keystore: Keystore
    rows: Rows
    tickets: Tickets
    access_log: AccessLog
    log_reader: LogReader
    engine: Engine
    sequencer: Sequencer
    witnesses: Witnesses
    budgets: Budgets
    metrics: HubMetrics = field(default_factory=HubMetrics)
    unknown_retractions: UnknownRetractions = field(default_factory=UnknownRetractions)
    failed_authentications: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Per address and claimed node; such a call leaves no entry."""
    _sources: dict[tuple[bytes, int, str, frozenset[str]], list[tuple[int, bytes]]] = field(
        default_factory=dict
    )
    _postponement: dict[bytes, Postponement] = field(default_factory=dict)

    @property
    def policy(self) -> PolicyVersion:
        """The version in force; inside a work, as read in its transaction."""
        return self.policies.current

    @property
    def vocabulary(self) -> Vocabulary:
        """That of the version in force."""
        return self.policies.current.vocabulary

    def open_points(self, caller: Caller, sealed: str, version: int, count: int) -> Sequence[bytes]:
        """The `count` values that this node sealed for this message, each a valid element.

        Raises:
            StalePoints: Made under a manifest version with another key than now, or an unknown one.
            PointsRefused: Another sender, message or count, or not elements.
        """
        if version not in self.versions:
            raise StalePoints
        said = caller.statement
        try:
            points = open_points(self.keystore.points_private, unb64u(sealed), said.node, said.msg, count)
        except (PointsError, EncodingError):
            raise PointsRefused from None
        if not all(is_point(n) for n in points):
            raise PointsRefused
        return points

    def reading(self) -> Connection:
        """A connection that never waits for the writer and sees one committed state; close it."""
        return reading(self.engine)

    def sources_of(self, role: str, scopes: frozenset[str]) -> list[tuple[int, bytes]]:
        """Number and tag of the nodes that may publish a kind which this role sees in these scopes.

        Follows from directory and vocabulary alone, so it is worked out once.
        """
        key = (self.policy.hash, self.directory.version, role, scopes)
        found = self._sources.get(key)
        if found is None:
            kind = self.vocabulary.kind
            seen = self.vocabulary.role(role)
            kinds = {code for basis in BASES for code in seen.kinds_on(basis) if kind(code).domain in scopes}
            found = sorted(
                (node.number, self.rows.pub_tag(node.number))
                for node in self.directory.nodes
                if "publish" in node.classes
                and any(
                    entry.kind in kinds and kind(entry.kind).domain in node.scopes
                    for entry in self.directory.organisation_of(node).kinds
                )
            )
            self._sources[key] = found
        return found

    def take_directory(self, directory: Directory) -> None:
        """Go by a newer directory from the next call on."""
        self.directory = directory
        self._sources.clear()

    @property
    def postponement(self) -> Postponement:
        """Which lines are told later; follows from the vocabulary alone, so it is worked out once."""
        found = self._postponement.get(self.policy.hash)
        if found is None:
            found = self._postponement[self.policy.hash] = Postponement.of(self.vocabulary)
        return found

    @property
    def highest_kind(self) -> int:
        """Fixes the length of `shown` bitmaps."""
        return self.vocabulary.kinds[-1].number

    def kid_number(self, scope: str) -> int | None:
        """Number of the active key of a scope; None when there is none."""
        key = self.manifest.scope_key(scope)
        return key.number if key else None
