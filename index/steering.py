"""Steering figures: residents per subject and per team area in a month that is over, never a person.

    month over -> its entries -> residents told apart by shared chains -> counted, hidden, rounded
    -> stored once, its digest in the log -> shown and saved; never counted again

Nobody can learn of one resident by comparing two figures:

1. A month is counted once, after it is over, for all; no period and no
   organisation can be chosen. What is erased later changes nothing.
2. Every subject and every team of the directory is a row; fewer than the
   vocabulary's threshold of residents is one and the same mark, none included.
3. Other counts are rounded down to 5: each figure stands for five counts.
4. No totals, and no subject by area: nothing can be subtracted from anything.
5. Looks and flags of which the resident may not be told yet are in no figure.

Combinations of subjects are counted nowhere: the desk computes them over
answers it was given. An area is the area of the team that looked.

Source: design.md, "Flags" (steering figures); docs/design/officers.md, "Steering figures".
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import insert, select

from index.accesslog.reading import Found
from index.breach import Persons
from index.protocol.codec import b64u, unb64u
from index.protocol.entry import SOMETHING, EntryDraft, kinds_shown, read_handles
from index.sampling import period_of
from index.store.tables import figure as figure_table
from policy.postpone import Postponement

if TYPE_CHECKING:
    from index.hub import Hub

ROUNDED_TO = 5
_SETTLED = timedelta(minutes=15)
_MONTHS = 24


class Count(msgspec.Struct, frozen=True):
    """Residents of one row; `count` is None where they are fewer than the threshold."""

    code: str
    count: int | None


class Figures(msgspec.Struct, frozen=True, rename="camel"):
    """One month. `seen`: of whom a subject was seen; `known`: about whom one was passed on, new or changed.

    `areas`: who was asked about by a team, by `<OIN>/<team>`.
    """

    month: str
    fewer_than: int
    rounded_to: int
    seen: list[Count]
    known: list[Count]
    areas: list[Count]


def counted(
    month: str,
    entries: Iterable[Found],
    *,
    kinds: Mapping[int, str],
    areas: Sequence[str],
    k: int,
    later: Postponement,
) -> Figures:
    """The figures of a month out of its entries.

    Args:
        kinds: Code by number, of every subject that has a row.
        areas: Every `<OIN>/<team>` that has a row.
        k: Fewer residents than this are hidden.
        later: Whose looks, and looks at which kinds, are in no figure.
    """
    persons = Persons()
    seen: dict[str, set[bytes]] = defaultdict(set)
    known: dict[str, set[bytes]] = defaultdict(set)
    looked: dict[str, set[bytes]] = defaultdict(set)
    for one in entries:
        asker = one.asker
        if asker.t not in ("lookup", "publish") or asker.refused or not asker.handles:
            continue
        shown = kinds_shown(unb64u(asker.shown))
        if later.postpones(asker.role, shown):
            continue
        handles = read_handles(asker)
        persons.join(handles)
        if asker.t == "lookup":
            looked[f"{asker.org}/{asker.team}"].add(handles[0])
        per_kind = seen if asker.t == "lookup" else known
        for number in shown:
            if number != SOMETHING and number in kinds:
                per_kind[kinds[number]].add(handles[0])

    def told(codes: Iterable[str], found: Mapping[str, set[bytes]]) -> list[Count]:
        return [Count(code, hidden(persons.count(found.get(code, ())), k)) for code in codes]

    codes = [kinds[number] for number in sorted(kinds)]
    return Figures(month, k, ROUNDED_TO, told(codes, seen), told(codes, known), told(areas, looked))


def hidden(count: int, k: int) -> int | None:
    """What may be told of a count."""
    return None if count < k else count - count % ROUNDED_TO


# --- at the hub ------------------------------------------------------------------------


def due(hub: Hub) -> None:
    """Count the months that are over and have no figures yet, from the first that was logged. Blocks."""
    now = hub.clock()
    with hub.reading() as connection:
        have = set(connection.execute(select(figure_table.c.month)).scalars())
        years = hub.log_reader.years(connection)
    begin = now.astimezone(UTC).replace(day=1)
    for _ in range(_MONTHS):
        begin = (begin - timedelta(days=1)).replace(day=1)
        month = f"{begin:%Y-%m}"
        over = period_of(month)[1] + _SETTLED <= now
        if month not in have and over and begin.year in years:
            _count(hub, month)


def _count(hub: Hub, month: str) -> None:
    vocabulary, later = hub.vocabulary, hub.postponement
    kinds = {one.number: one.code for one in vocabulary.kinds if not later.postpones("", [one.number])}
    areas = sorted(f"{one.oin}/{team.id}" for one in hub.directory.organisations for team in one.teams)
    with hub.reading() as connection:
        entries = hub.log_reader.between(connection, *period_of(month))
        k = vocabulary.limits.count_threshold
        made = counted(month, entries, kinds=kinds, areas=areas, k=k, later=later)
    raw = msgspec.json.encode(made)
    with hub.office.sitting() as sitting:
        known = select(figure_table.c.month).where(figure_table.c.month == month)
        if sitting.connection.execute(known).first() is not None:
            return
        sitting.connection.execute(insert(figure_table), [{"month": month, "figures": raw}])
        more: dict[str, str | int] = {
            "cause": f"steering-{month}",
            "digest": b64u(hashlib.sha256(raw).digest()),
        }
        sitting.append(EntryDraft(t="admin", ts=0, req="", more=more))


def months(hub: Hub) -> list[Figures]:
    """Every month that was counted, the newest first. Blocks."""
    with hub.reading() as connection:
        rows = connection.execute(
            select(figure_table.c.figures).order_by(figure_table.c.month.desc())
        ).scalars()
        return [msgspec.json.decode(bytes(raw), type=Figures) for raw in rows.all()]


def as_json(found: Sequence[Figures]) -> str:
    """All months as one JSON document."""
    return msgspec.json.format(msgspec.json.encode({"months": list(found)})).decode() + "\n"


def as_csv(found: Sequence[Figures]) -> str:
    """A row per month, table and code; a hidden count is `<k`."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\r\n")
    rows.writerow(("maand", "telling", "wat", "inwoners"))
    for one in found:
        for name, counts in (("gezien", one.seen), ("gemeld", one.known), ("gebied", one.areas)):
            for cell in counts:
                shown = f"<{one.fewer_than}" if cell.count is None else str(cell.count)
                rows.writerow((one.month, name, cell.code, shown))
    return out.getvalue()
