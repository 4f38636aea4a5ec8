"""Who saw what of whom in a period: the first hours of a data breach.

    period and suspect (organisation, employee, key) -> entries, opened -> lines
    -> persons told apart by number only -> per node its own lines, with its own case tags

Nobody is named: a person is a number of this report, and a node finds its client
by the case tag that it made itself. Entries of one person are joined by the
handles they share, so looks of one year in different scopes count once, and a
person seen in two years, or also on a postponed chain, counts as two.

Source: docs/design/access-log.md, "Views and verification"; policy.md R12.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from index.accesslog.reading import Found
from index.notices import places
from index.protocol.codec import EncodingError, unb64u
from index.protocol.entry import SOMETHING, EntryError, kinds_shown, read_handles, statement_of
from index.protocol.statement import Signed, canonical, verify_signature
from policy.vocabulary import UnknownCode, Vocabulary

if TYPE_CHECKING:
    from index.hub import Hub
    from index.protocol.directory import Manifest

_SEEN = frozenset({"lookup", "log_view", "notice", "relation"})
"""Activities by which somebody learns something about a person."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """Whom the report is about; exactly one is given.

    Attributes:
        organisation: OIN.
        employee: Id that the organisation's node gave.
        key: A node's Ed25519 public key (base64url), or the id of a scope's key, as `geld.e1`.
    """

    organisation: str = ""
    employee: str = ""
    key: str = ""

    @property
    def text(self) -> str:
        """For the report's heading."""
        return self.organisation or self.employee or self.key


class Line(msgspec.Struct, frozen=True, rename="camel"):
    """One look. `person` is a number of this report; `case` the node's own tag of its case."""

    year: int
    index: int
    at: str
    t: str
    organisation: str
    node: str
    employee: str
    role: str
    team: str
    purpose: str
    case: str
    person: int
    kinds: list[str]
    something: bool
    refused: str
    urgent: bool
    notice: str
    """`postponed` where the citizen may not be told yet, else empty."""


class NodePart(msgspec.Struct, frozen=True, rename="camel"):
    """What concerns one node, for its letter."""

    node: str
    organisation: str
    lines: int
    persons: int
    with_kinds: int
    postponed: int


class Report(msgspec.Struct, frozen=True, rename="camel"):
    """The whole report. `kinds` counts persons per kind that was seen of them."""

    begin: str
    end: str
    suspect: str
    entries_read: int
    lines: list[Line]
    persons: int
    kinds: dict[str, int]
    nodes: list[NodePart]
    unreadable: int
    """Entries of the period's logs that are no longer kept; they cannot be in the report."""


class UnknownSuspect(ValueError):
    """A key that is neither a node's nor a scope's; says so."""


class Persons:
    """Tells persons apart by the handles their entries share; it numbers them, and knows nobody."""

    def __init__(self) -> None:
        self._parent: dict[bytes, bytes] = {}

    def join(self, handles: Sequence[bytes]) -> None:
        for handle in handles:
            self._parent.setdefault(handle, handle)
        for handle in handles[1:]:
            one, other = self._root(handles[0]), self._root(handle)
            self._parent[other] = one

    def _root(self, handle: bytes) -> bytes:
        while self._parent[handle] != handle:
            self._parent[handle] = self._parent[self._parent[handle]]
            handle = self._parent[handle]
        return handle

    def count(self, firsts: Iterable[bytes]) -> int:
        """How many persons these handles are of."""
        return len({self._root(handle) for handle in firsts})

    def numbers(self, firsts: Sequence[bytes]) -> list[int]:
        """The number of each handle's person, counted in the order given."""
        known: dict[bytes, int] = {}
        return [known.setdefault(self._root(handle), len(known) + 1) for handle in firsts]


def report(hub: Hub, begin: datetime, end: datetime, suspect: Suspect) -> Report:
    """Read every entry of the period and keep what the suspect saw. Blocks; about 0.1 ms an entry.

    Raises:
        UnknownSuspect: The key is nobody's.
        LogInconsistent: An entry does not open: the log was tampered with, and nothing is reported.
    """
    reader, postponed = hub.log_reader, places(hub)
    wanted = _Wanted(suspect, hub.vocabulary, hub.manifest, reader.prefix)
    codes = {kind.number: kind.code for kind in hub.vocabulary.kinds}
    persons, firsts = Persons(), []
    found: list[tuple[Found, list[str], bool]] = []
    read = 0
    with hub.reading() as connection:
        for one in reader.between(connection, begin, end):
            read += 1
            asker = one.asker
            if asker.t not in _SEEN or not asker.handles or not wanted.holds(one):
                continue
            handles = read_handles(asker)
            persons.join(handles)
            firsts.append(handles[0])
            numbers = kinds_shown(unb64u(asker.shown))
            kinds = [codes.get(number, str(number)) for number in numbers if number != SOMETHING]
            found.append((one, kinds, SOMETHING in numbers))
        unreadable = reader.unreadable_between(connection, begin, end)
    numbered = persons.numbers(firsts)
    lines = [
        _line(one, kinds, something, person, postponed)
        for (one, kinds, something), person in zip(found, numbered, strict=True)
    ]
    return Report(
        begin=_text(begin),
        end=_text(end),
        suspect=suspect.text,
        entries_read=read,
        lines=lines,
        persons=len(set(numbered)),
        kinds=_persons_per_kind(lines),
        nodes=list(_nodes(lines)),
        unreadable=unreadable,
    )


class _Wanted:
    """Whether an entry is the suspect's."""

    def __init__(self, suspect: Suspect, vocabulary: Vocabulary, manifest: Manifest, prefix: str) -> None:
        self._suspect, self._prefix = suspect, prefix
        self._key = b""
        self._numbers: frozenset[int] = frozenset()
        if not suspect.key:
            return
        scope = next((key.scope for key in manifest.keys if key.kid == suspect.key), None)
        try:
            if scope is not None:
                self._numbers = frozenset(kind.number for kind in vocabulary.kinds_of(scope))
            else:
                self._key = unb64u(suspect.key, 32)
        except (EncodingError, UnknownCode):
            raise UnknownSuspect(
                "The key is neither a node's nor that of a scope. Nothing was done."
            ) from None

    def holds(self, one: Found) -> bool:
        said, asker = self._suspect, one.asker
        if said.organisation:
            return asker.org == said.organisation
        if said.employee:
            return asker.actor == said.employee
        if self._numbers:
            return not self._numbers.isdisjoint(kinds_shown(unb64u(asker.shown)))
        return self._signed(one)

    def _signed(self, one: Found) -> bool:
        """Whether the suspected key, and no other key of that node, made the entry's statement."""
        if not one.asker.nodeSig:
            return False
        try:
            statement = statement_of(one.asker, self._prefix)
            signature = unb64u(one.asker.nodeSig, 64)
        except (EntryError, EncodingError):
            return False
        return verify_signature(Signed(statement, canonical(statement), signature), [self._key])


def _line(
    one: Found, kinds: list[str], something: bool, person: int, postponed: frozenset[tuple[int, int]]
) -> Line:
    asker = one.asker
    return Line(
        year=one.year,
        index=one.index,
        at=moment(asker.ts // 1000),
        t=asker.t,
        organisation=asker.org,
        node=asker.node,
        employee=asker.actor,
        role=asker.role,
        team=asker.team,
        purpose=asker.purpose,
        case=asker.case,
        person=person,
        kinds=kinds,
        something=something,
        refused=asker.refused,
        urgent=bool(asker.bg),
        notice="postponed" if (one.year, one.index) in postponed else "",
    )


def _persons_per_kind(lines: Sequence[Line]) -> dict[str, int]:
    pairs = {(kind, line.person) for line in lines for kind in line.kinds}
    return dict(sorted(Counter(kind for kind, _ in pairs).items()))


def _nodes(lines: Sequence[Line]) -> Iterator[NodePart]:
    by_node: dict[str, list[Line]] = {}
    for line in lines:
        by_node.setdefault(line.node, []).append(line)
    for node, own in sorted(by_node.items()):
        yield NodePart(
            node=node,
            organisation=own[0].organisation,
            lines=len(own),
            persons=len({line.person for line in own}),
            with_kinds=len({line.person for line in own if line.kinds or line.something}),
            postponed=sum(bool(line.notice) for line in own),
        )


def letter(found: Report, part: NodePart, labels: Mapping[str, str]) -> str:
    """The letter to one node, in Dutch: what was seen, how it finds its clients, what it does now."""
    kinds = Counter(
        kind
        for kind, _ in {
            (kind, line.person) for line in found.lines if line.node == part.node for kind in line.kinds
        }
    )
    rows = [f"- {labels.get(kind, kind)}: {count} personen" for kind, count in sorted(kinds.items())]
    later = (
        [f"Let op: {part.postponed} regels mag de inwoner nu nog niet weten. Overleg eerst met ons.", ""]
        if part.postponed
        else []
    )
    return "\n".join(
        [
            f"Aan: {part.node} (OIN {part.organisation})",
            "Onderwerp: mogelijk datalek in de verwijsindex",
            "",
            f"Periode: {found.begin} tot {found.end}.",
            f"Er zijn {part.lines} regels over {part.persons} personen.",
            f"Van {part.with_kinds} personen is iets gezien.",
            "",
            *(["Gezien:", *rows, ""] if rows else []),
            *later,
            "Wij weten niet wie deze personen zijn. Uw systeem weet dat wel.",
            "Zoek in het bijgevoegde bestand op uw eigen zaakkenmerk.",
            "Meld een datalek binnen 72 uur bij de Autoriteit Persoonsgegevens.",
            "Vertel het de inwoner als het risico hoog is.",
            "",
        ]
    )


def _text(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@lru_cache(maxsize=4096)
def moment(seconds: int) -> str:
    return _text(datetime.fromtimestamp(seconds, UTC))
