"""The monthly sample: 25 lookups that an officer asks about, drawn so that the draw can be repeated.

    before the month   a random seed is kept; its digest is an entry of the log
    after the month    every lookup of the month by HMAC(seed, place), the smallest 25;
                       how many there were and a digest of the draw are an entry of the log
    at any time        the same seed over the same log gives the same draw

The seed is fixed before anybody looked, and the digest shows that it was not
chosen afterwards.

Source: docs/design/officers.md; screens.md O4.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import Connection, insert, select, update

from index.accesslog.reading import Found
from index.protocol.codec import b64u, u16, u64, unb64u
from index.protocol.entry import EntryDraft
from index.store.tables import sample as sample_table

if TYPE_CHECKING:
    from index.hub import Hub

SIZE = 25
_KIND = "sample"
_SETTLED = timedelta(minutes=15)
"""A month is drawn this long after its end: clocks may step back, and the log is in order of recording."""


class Sample(msgspec.Struct, frozen=True, omit_defaults=True):
    """One month. `late`: its seed was fixed when the month had begun already, as at a hub's first start.

    `places` are (year, index) of the drawn lookups, `population` how many there were; `drawn` Unix seconds.
    """

    month: str
    seed: str
    late: bool = False
    drawn: int = 0
    population: int = 0
    places: list[tuple[int, int]] = []


def draw(seed: bytes, places: Iterable[tuple[int, int]], count: int = SIZE) -> list[tuple[int, int]]:
    """`count` of the places (year, index), the same for the same seed whatever their order."""

    def rank(place: tuple[int, int]) -> bytes:
        return hmac.digest(seed, u16(place[0]) + u64(place[1]), "sha256")

    return sorted(sorted(places, key=rank)[:count])


def commitment(month: str, seed: bytes) -> bytes:
    """What the log has of a seed before its month."""
    return hashlib.sha256(b"vlagwijzer/sample/v1\n" + month.encode() + seed).digest()


def due(hub: Hub) -> None:
    """Fix the seeds that lack, of this month and the next; draw the month before when it is over. Blocks."""
    now = hub.clock()
    this, after = _month(now), _month(_next(now))
    before = _month(now.replace(day=1) - timedelta(days=1))
    with hub.reading() as connection:
        have = {month: one for month in (before, this, after) if (one := _of(hub, connection, month))}
    for month in (this, after):
        if month not in have:
            _fix(hub, month, late=month == this)
    last = have.get(before)
    if last and not last.drawn and now >= _begins(this) + _SETTLED:
        _draw(hub, last)


def of_month(hub: Hub, month: str) -> Sample | None:
    """The sample of a month, None where no seed was fixed. Blocks."""
    with hub.reading() as connection:
        return _of(hub, connection, month)


def months(hub: Hub) -> list[Sample]:
    """All samples, the newest month first. Blocks."""
    with hub.reading() as connection:
        names = connection.execute(
            select(sample_table.c.month).order_by(sample_table.c.month.desc())
        ).scalars()
        return [one for month in names.all() if (one := _of(hub, connection, month))]


def repeats(hub: Hub, sample: Sample) -> bool:
    """Whether the draw, done again now, is the one that was recorded. Blocks.

    Lines that were erased since cannot be drawn again; then it is False.
    """
    places = _population(hub, sample.month)
    return draw(unb64u(sample.seed, 32), places) == [tuple(p) for p in sample.places]


def of_organisation(hub: Hub, sample: Sample, oin: str) -> tuple[list[Found], int]:
    """The draw of the same seed over the looks of one organisation, and how many those are. Blocks."""
    with hub.reading() as connection:
        found = hub.log_reader.between(connection, *period_of(sample.month))
        own = {
            (one.year, one.index): one for one in found if one.asker.t == "lookup" and one.asker.org == oin
        }
    return [own[place] for place in draw(unb64u(sample.seed, 32), own)], len(own)


def period_of(month: str) -> tuple[datetime, datetime]:
    """A calendar month, UTC: from, and up to but without."""
    begin = _begins(month)
    return begin, _next(begin)


def _population(hub: Hub, month: str) -> list[tuple[int, int]]:
    with hub.reading() as connection:
        found = hub.log_reader.between(connection, *period_of(month))
        return [(one.year, one.index) for one in found if one.asker.t == "lookup"]


def _fix(hub: Hub, month: str, *, late: bool) -> None:
    with hub.office.sitting() as sitting:
        if _of(hub, sitting.connection, month) is not None:
            return
        seed = secrets.token_bytes(32)
        row = _row(hub, Sample(month, b64u(seed), late))
        sitting.connection.execute(insert(sample_table), [row])
        cause = f"sample-seed-{month}"
        sitting.append(
            EntryDraft(
                t="admin", ts=0, req="", more={"cause": cause, "digest": b64u(commitment(month, seed))}
            )
        )


def _draw(hub: Hub, sample: Sample) -> None:
    population = _population(hub, sample.month)
    places = draw(unb64u(sample.seed, 32), population)
    with hub.office.sitting() as sitting:
        now = _of(hub, sitting.connection, sample.month)
        if now is None or now.drawn:
            return
        done = msgspec.structs.replace(
            sample, drawn=sitting.seconds, population=len(population), places=places
        )
        row = _row(hub, done)
        sitting.connection.execute(
            update(sample_table).where(sample_table.c.month == sample.month).values(sealed=row["sealed"])
        )
        more: dict[str, str | int] = {
            "cause": f"sample-drawn-{sample.month}",
            "count": len(population),
            "digest": b64u(_digest(places)),
        }
        sitting.append(EntryDraft(t="admin", ts=0, req="", more=more))


def _digest(places: Sequence[tuple[int, int]]) -> bytes:
    return hashlib.sha256(b"".join(u16(year) + u64(index) for year, index in places)).digest()


def _row(hub: Hub, sample: Sample) -> dict[str, object]:
    sealed = hub.rows.seal_note(_KIND, sample.month.encode(), msgspec.json.encode(sample))
    return {"month": sample.month, "sealed": sealed}


def _of(hub: Hub, connection: Connection, month: str) -> Sample | None:
    sealed = connection.execute(select(sample_table.c.sealed).where(sample_table.c.month == month)).scalar()
    if sealed is None:
        return None
    return msgspec.json.decode(hub.rows.open_note(_KIND, month.encode(), sealed), type=Sample)


def _month(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m}"


def _begins(month: str) -> datetime:
    return datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)


def _next(at: datetime) -> datetime:
    return (at.replace(day=1) + timedelta(days=32)).replace(day=1)
