"""What is read from the access log, by whom.

    everybody   checkpoint and tiles: hashes only
    citizen     the lines of the own chains, opened, each with its proof
    officer     entries of all, filtered; and whether all of it still holds

Only committed rows are read, so every proof leads to a checkpoint that was signed.

Source: docs/design/access-log.md, "Checkpoints, witnesses, quorum" (read API) and "Views and verification".
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta

from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt as _decrypt
from nacl.exceptions import CryptoError
from sqlalchemy import Connection, func, select

from index.protocol import entry as fmt
from index.protocol.codec import b64u, unb64u
from index.protocol.entry import Asker, EntryError, Opened
from index.protocol.merkle import inclusion_proof
from index.protocol.messages import LogLine
from index.protocol.note import Checkpoint, origin_of, sign_checkpoint
from index.protocol.tlogpolicy import LogPolicy
from policy.clock import AMSTERDAM

from . import tables
from .cosignatures import ConfirmedHead, newest_confirmed, with_cosignatures
from .errors import LogInconsistent
from .keys import LogKeys
from .tiles import Tree, tile_bytes

_CHUNK = 500
_CLOCK_SLACK = timedelta(minutes=10)
"""Entries are in order of recording; their clock may step back this far at most."""

_PUBLIC = re.compile(r"(?:(20[0-9][0-9])/)?(checkpoint|tile/(.{1,80}))\Z")


@dataclass(frozen=True, slots=True)
class SignedHead:
    """The last signed state of one year's log, with its note."""

    year: int
    size: int
    root: bytes
    note: str


@dataclass(frozen=True, slots=True)
class OwnLines:
    """Lines of a citizen's chains; a proof leads to the checkpoint of the line's year.

    `checkpoint` is of the newest log, `earlier` of the others, newest first. `erased` lines are no
    longer kept; the entries that erased them are among `lines`.
    """

    lines: list[LogLine]
    checkpoint: str
    erased: int
    earlier: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """What an officer asks for; empty means any.

    Attributes:
        organisation: OIN.
        day: Calendar day in the Netherlands, by the hub's clock; it may lie in two logs.
        before: Only entries before this year and index; `Page.next` of the page before.
        limit: Entries on a page.
        scan: Entries opened at most for one page; a page may then be short and yet have a next one.
    """

    organisation: str = ""
    role: str = ""
    purpose: str = ""
    t: str = ""
    day: date | None = None
    before: tuple[int, int] | None = None
    limit: int = 50
    scan: int = 20_000


@dataclass(frozen=True, slots=True)
class OfficerEntry:
    """An entry as an officer sees it: who asked what, how it was decided, and about how many chains."""

    year: int
    index: int
    asker: Asker
    dec: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """Newest first. `next` goes into `EntryFilter.before`; None at the end."""

    entries: list[OfficerEntry]
    next: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Found:
    """An opened entry and its place."""

    year: int
    index: int
    asker: Asker
    opened: Opened


class LogReader:
    """Reads on any connection, inside or outside the writer's transaction."""

    def __init__(self, prefix: str, keys: LogKeys, policy: LogPolicy | None = None) -> None:
        """
        Args:
            prefix: The origin without its year, `<hub id>/v1/log`.
            keys: The hub's key store.
            policy: Who confirms the log; None where nobody does.
        """
        self.prefix = prefix
        self.policy = policy
        self._keys = keys

    def log_key(self, year: int) -> bytes:
        """K_log_year."""
        return self._keys.log_key(year)

    # --- everybody -------------------------------------------------------------------

    def head(self, conn: Connection, year: int | None = None) -> SignedHead | None:
        """The last signed head of a year (of the newest where None), None before the first entry."""
        tree = tables.tree.c
        query = select(tree.year, tree.signed_size, tree.signed_root).order_by(tree.year.desc()).limit(1)
        row = conn.execute(query if year is None else query.where(tree.year == year)).first()
        if row is None:
            return None
        # Ed25519 is deterministic: these are the very bytes that were handed out at that commit.
        head = Checkpoint(origin_of(self.prefix, row.year), row.signed_size, row.signed_root)
        return SignedHead(row.year, head.size, head.root, sign_checkpoint(head, self._keys.log_signing))

    def public(self, conn: Connection, path: str) -> tuple[bytes, bool] | None:
        """The body under `/v1/log/<path>` and whether it can never change; None where there is none.

        `path` is `checkpoint`, `tile/...`, or one of them after `<year>/`.
        """
        found = _PUBLIC.match(path)
        if not found:
            return None
        head = self.head(conn, int(found[1]) if found[1] else None)
        if head is None:
            return None
        if found[2] == "checkpoint":
            return self._published(conn, head).encode(), False
        # Without the year the same path means another log next January: not for ever.
        body = tile_bytes(conn, head.year, head.size, found[3])
        return (body[0], bool(found[1])) if body else None

    def confirmed(self, conn: Connection, year: int) -> ConfirmedHead | None:
        """The newest checkpoint of a year that a quorum of witnesses cosigned."""
        if self.policy is None:
            return None
        return newest_confirmed(conn, self.prefix, year, self.policy, self._keys.log_signing)

    def _published(self, conn: Connection, head: SignedHead) -> str:
        """The newest confirmed checkpoint; before the first one, the newest with what is there."""
        if self.policy is None or not self.policy.asks_quorum:
            return head.note
        confirmed = self.confirmed(conn, head.year)
        if confirmed is not None:
            return confirmed.note
        newest = Checkpoint(origin_of(self.prefix, head.year), head.size, head.root)
        return with_cosignatures(conn, newest, head.year, self.policy, self._keys.log_signing).note

    # --- the citizen -----------------------------------------------------------------

    def lines_of(
        self, conn: Connection, lids: Mapping[str, Sequence[bytes]], year: int | None = None
    ) -> OwnLines:
        """All lines of the chains of `lids`, the newest year first, by scope and rising number.

        Of postponed chains only the lines that a `release` names. A line stands once for each
        scope it concerns.

        Args:
            lids: Scope to log ids, newest first (older ones after a rotation).
            year: Every year that is kept where None.

        Raises:
            LogInconsistent: A row does not lead to the line it should.
        """
        heads = [self.head(conn, one) for one in self.years(conn) if year in (None, one)]
        own = [self._lines_of_year(conn, lids, head) for head in heads if head]
        if not own:
            return OwnLines([], "", 0)
        lines = [line for found in own for line in found.lines]
        lines += self._released(conn, lids, lines, year)
        return OwnLines(
            lines, own[0].checkpoint, sum(one.erased for one in own), [one.checkpoint for one in own[1:]]
        )

    def years(self, conn: Connection) -> list[int]:
        """The years that have a log, the newest first."""
        return list(conn.execute(select(tables.tree.c.year).order_by(tables.tree.c.year.desc())).scalars())

    def _released(
        self,
        conn: Connection,
        lids: Mapping[str, Sequence[bytes]],
        lines: Sequence[LogLine],
        year: int | None,
    ) -> list[LogLine]:
        """The postponed lines that these lines release, of the same chains."""
        named: dict[int, set[int]] = {}
        for line in lines:
            place = released_by(line)
            if place and year in (None, place[0]):
                named.setdefault(place[0], set()).add(place[1])
        found: list[LogLine] = []
        for when, indexes in named.items():
            head = self.head(conn, when)
            if head is None:
                raise LogInconsistent("a release names a line of a log that is not here")
            own = {fmt.handle(when, lid, True): scope for scope in lids for lid in lids[scope]}
            tree = Tree(conn, when, head.size)
            for index, entry in sorted(self._opened_at(conn, when, indexes).items()):
                scopes = [own.get(one) for one in fmt.read_handles(fmt.parse_asker(entry.asker))]
                found += [_line(scope, head, index, entry, tree) for scope in scopes if scope]
        return found

    def _erasures(
        self, conn: Connection, year: int, gone: Sequence[int], size_of: Mapping[int, SignedHead]
    ) -> list[tuple[SignedHead, int, Opened]]:
        """The entries that erased these lines of a year."""
        c = tables.erasure.c
        places: dict[int, set[int]] = {}
        for at in range(0, len(gone), _CHUNK):
            part = gone[at : at + _CHUNK]
            near = conn.execute(
                select(c.log_year, c.index, c.first, c.last).where(
                    c.year == year, c.first <= part[-1], c.last >= part[0]
                )
            )
            for log_year, index, first, last in near:
                if any(first <= one <= last for one in part):
                    places.setdefault(log_year, set()).add(index)
        return [
            (size_of[when], index, entry)
            for when, indexes in places.items()
            if when in size_of
            for index, entry in sorted(self._opened_at(conn, when, indexes).items())
        ]

    def _lines_of_year(
        self, conn: Connection, lids: Mapping[str, Sequence[bytes]], head: SignedHead
    ) -> OwnLines:
        secret = self.log_key(head.year)
        chains = [(scope, fmt.handle(head.year, lid)) for scope in lids for lid in lids[scope]]
        places = _places(conn, secret, head.size, [handle for _, handle in chains])
        opened = self._opened_at(conn, head.year, {index for listed in places.values() for index in listed})
        tree = Tree(conn, head.year, head.size)
        lines: list[LogLine] = []
        gone: dict[int, str] = {}
        for scope, handle in chains:
            for n, index in enumerate(places.get(handle, ()), 1):
                entry = opened.get(index)
                if entry is None:
                    gone.setdefault(index, scope)
                    continue
                _concerns(entry, handle, n)
                lines.append(_line(scope, head, index, entry, tree))
        if gone:
            heads = {one: found for one in self.years(conn) if (found := self.head(conn, one))}
            scope = next(iter(gone.values()))
            lines += [
                _line(scope, at, index, entry, Tree(conn, at.year, at.size))
                for at, index, entry in self._erasures(conn, head.year, sorted(gone), heads)
            ]
        return OwnLines(lines, head.note, len(gone))

    # --- the officer -----------------------------------------------------------------

    def entries(self, conn: Connection, wanted: EntryFilter, year: int | None = None) -> Page:
        """Entries that match, newest first, over all years. Handles and numbers of persons are not given."""
        day = _bounds(wanted.day) if wanted.day is not None else None
        years = self.years(conn) if year is None else [year]
        found: list[OfficerEntry] = []
        left = wanted.scan
        for one in years:
            head = self.head(conn, one)
            if head is None or (wanted.before and one > wanted.before[0]):
                continue
            start = head.size
            if wanted.before and one == wanted.before[0]:
                start = min(start, wanted.before[1])
            if day:
                start = min(start, self._first_after(conn, head, day[1] + _CLOCK_SLACK))
            lowest = max(0, start - left)
            left -= start - lowest
            for index, entry in self._descending(conn, one, lowest, start):
                asker = fmt.parse_asker(entry.asker)
                if day and asker.ts < _ms(day[0] - _CLOCK_SLACK):
                    return Page(found, None)
                if _matches(asker, wanted, day):
                    chain = fmt.parse_chain(entry.chain)
                    dec = unb64u(chain.dec) if isinstance(chain.dec, str) else b""
                    found.append(OfficerEntry(one, index, asker, dec))
                    if len(found) == wanted.limit:
                        return Page(found, (one, index) if index or one != years[-1] else None)
            if lowest:
                return Page(found, (one, lowest))
        return Page(found, None)

    def between(self, conn: Connection, begin: datetime, end: datetime) -> Iterator[Found]:
        """Every entry that is kept with `begin <= time < end` by the hub's clock, by rising place."""
        first, last = _ms(begin), _ms(end)
        for year in self.years(conn)[::-1]:
            if not begin.year - 1 <= year <= end.year:
                continue
            head = self.head(conn, year)
            if head is None:
                continue
            start = self._first_after(conn, head, begin - _CLOCK_SLACK)
            stop = _ms(end + _CLOCK_SLACK)
            for index, entry in self.opened(conn, year, start, head.size):
                asker = fmt.parse_asker(entry.asker)
                if asker.ts > stop:
                    break
                if first <= asker.ts < last:
                    yield Found(year, index, asker, entry)

    def unreadable_between(self, conn: Connection, begin: datetime, end: datetime) -> int:
        """How many entries near this period are no longer kept; of the erased ones nobody knows the time."""
        count = 0
        for year in self.years(conn):
            head = self.head(conn, year)
            if head is None or not begin.year <= year <= end.year:
                continue
            first = self._first_after(conn, head, begin - _CLOCK_SLACK)
            last = self._first_after(conn, head, end + _CLOCK_SLACK)
            column = tables.entry.c
            gone = select(func.count()).where(
                column.year == year, column.index >= first, column.index < last, column.sealed.is_(None)
            )
            count += conn.execute(gone).scalar() or 0
        return count

    def at(self, conn: Connection, year: int, index: int) -> Found | None:
        """One entry; None where it is not there or no longer kept."""
        found = next(self.opened(conn, year, index, index + 1), None)
        return None if found is None else Found(year, index, fmt.parse_asker(found[1].asker), found[1])

    def on_handles(self, conn: Connection, year: int, handles: Sequence[bytes]) -> list[Found]:
        """The kept lines of these chains of one year, by rising place.

        Raises:
            LogInconsistent: A chain has a gap, or leads to a line of another one.
        """
        head = self.head(conn, year)
        if head is None:
            return []
        places = _places(conn, self.log_key(year), head.size, handles)
        indexes = {index for listed in places.values() for index in listed}
        opened = self._opened_at(conn, year, indexes)
        for handle, listed in places.items():
            for n, index in enumerate(listed, 1):
                if index in opened:
                    _concerns(opened[index], handle, n)
        return [
            Found(year, index, fmt.parse_asker(entry.asker), entry) for index, entry in sorted(opened.items())
        ]

    def _first_after(self, conn: Connection, head: SignedHead, instant: datetime) -> int:
        """An index from which all entries are later than `instant`, by bisection over readable entries."""
        low, high, limit = 0, head.size, _ms(instant)
        while low < high:
            middle = (low + high) // 2
            probe = next(self.opened(conn, head.year, middle, high), None)
            if probe is None or fmt.parse_asker(probe[1].asker).ts > limit:
                high = middle
            else:
                low = probe[0] + 1
        return low

    def _descending(
        self, conn: Connection, year: int, lowest: int, start: int
    ) -> Iterator[tuple[int, Opened]]:
        for end in range(start, lowest, -_CHUNK):
            yield from reversed(list(self.opened(conn, year, max(lowest, end - _CHUNK), end)))

    # --- opening ---------------------------------------------------------------------

    def opened(self, conn: Connection, year: int, start: int, end: int) -> Iterator[tuple[int, Opened]]:
        """Entries from `start` to `end` that are still kept, opened, by rising index.

        Raises:
            LogInconsistent: One does not open under the key it names.
        """
        column = tables.entry.c
        for at in range(start, end, _CHUNK):
            rows = conn.execute(
                select(column.index, column.leaf, column.sealed)
                .where(column.year == year, column.index >= at, column.index < min(at + _CHUNK, end))
                .order_by(column.index)
            )
            for index, leaf, sealed in rows.all():
                entry = self.open_entry(year, index, leaf, sealed)
                if entry is not None:
                    yield index, entry

    def open_entry(self, year: int, index: int, leaf: bytes, sealed: bytes | None) -> Opened | None:
        """An entry behind its row; None where it was erased or its key destroyed.

        Raises:
            LogInconsistent: It does not open, or is not what its leaf says.
        """
        if sealed is None:
            return None
        try:
            key = self._keys.data_key(int.from_bytes(sealed[1:5], "big"))
        except KeyError:
            return None
        aad = fmt.seal_aad(origin_of(self.prefix, year), index)
        try:
            entry = fmt.opened_from(_decrypt(sealed[29:], aad, sealed[5:29], key))
        except (CryptoError, EntryError, ValueError):
            raise LogInconsistent(f"entry {index} of {year} does not open") from None
        if sealed[0] != 1 or entry.leaf() != leaf:
            raise LogInconsistent(f"entry {index} of {year} is not what its leaf says")
        return entry

    def _opened_at(self, conn: Connection, year: int, indexes: set[int]) -> dict[int, Opened]:
        column, listed = tables.entry.c, sorted(indexes)
        found: dict[int, Opened] = {}
        for at in range(0, len(listed), _CHUNK):
            rows = conn.execute(
                select(column.index, column.leaf, column.sealed).where(
                    column.year == year, column.index.in_(listed[at : at + _CHUNK])
                )
            ).all()
            if len(rows) != len(listed[at : at + _CHUNK]):
                raise LogInconsistent("rows of the log are missing")
            for index, leaf, sealed in rows:
                entry = self.open_entry(year, index, leaf, sealed)
                if entry is not None:
                    found[index] = entry
        return found


def released_by(line: LogLine) -> tuple[int, int] | None:
    """Year and index of the postponed line that this line releases; None for any other line."""
    if fmt.parse_asker(line.asker.encode()).t != "release":
        return None
    chain = fmt.parse_chain(line.chain.encode())
    if not isinstance(chain.index, int):
        return None
    return chain.year if isinstance(chain.year, int) else line.year, chain.index


def _places(conn: Connection, secret: bytes, size: int, handles: Sequence[bytes]) -> dict[bytes, list[int]]:
    """The indexes of each handle's lines, from line 1 on; a gap, or a place outside the log, is refused."""
    by_key = {fmt.handle_key(secret, handle): handle for handle in handles}
    line, keys = tables.handle.c, sorted(by_key)
    found: dict[bytes, list[int]] = {}
    for at in range(0, len(keys), _CHUNK):
        rows = conn.execute(
            select(line.key, line.n, line.pointer)
            .where(line.key.in_(keys[at : at + _CHUNK]))
            .order_by(line.key, line.n)
        )
        for key, n, masked in rows:
            handle = by_key[key]
            listed = found.setdefault(handle, [])
            index = fmt.index_behind(secret, handle, n, masked)
            if n != len(listed) + 1 or index >= size:
                raise LogInconsistent("a chain has a gap or leads outside the log")
            listed.append(index)
    return found


def _concerns(entry: Opened, handle: bytes, n: int) -> None:
    handles = fmt.read_handles(fmt.parse_asker(entry.asker))
    subjects = fmt.parse_chain(entry.chain).subj
    if handle not in handles or subjects[handles.index(handle)][0] != n:
        raise LogInconsistent("a pointer leads to a line of another chain")


def _line(scope: str, head: SignedHead, index: int, entry: Opened, tree: Tree) -> LogLine:
    return LogLine(
        scope=scope,  # type: ignore[arg-type]
        year=head.year,
        index=index,
        salt=b64u(entry.salt),
        salt_a=b64u(entry.salt_a),
        salt_b=b64u(entry.salt_b),
        asker=entry.asker.decode(),
        chain=entry.chain.decode(),
        proof=[b64u(item) for item in inclusion_proof(index, head.size, tree.node)],
    )


def _bounds(day: date) -> tuple[datetime, datetime]:
    """From, and up to but without."""
    after = day + timedelta(days=1)
    return datetime.combine(day, time(), AMSTERDAM), datetime.combine(after, time(), AMSTERDAM)


def _matches(asker: Asker, wanted: EntryFilter, day: tuple[datetime, datetime] | None) -> bool:
    if day and not _ms(day[0]) <= asker.ts < _ms(day[1]):
        return False
    pairs = (
        (wanted.organisation, asker.org),
        (wanted.role, asker.role),
        (wanted.purpose, asker.purpose),
        (wanted.t, asker.t),
    )
    return all(not want or want == have for want, have in pairs)


def _ms(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)
