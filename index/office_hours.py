"""What an officer does at the hub, as the pages ask for it: each call reads or records, and then returns.

Blocking work runs in threads; what is refused comes back as a code of `SAID`
for a sentence on the page, never as the exception's text.

Source: screens.md §8.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec

from index import erasing, exports, indicators, inquiries, notices, openings, replaying, sampling
from index.acts import Refused
from index.officer import OfficerLine, line_of
from index.protocol.codec import EncodingError, unb64u
from policy.postpone import REASONS

if TYPE_CHECKING:
    from index.hub import Hub

Said = Literal["done", "refused", "gone"]
T = TypeVar("T")
_WINDOW = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Drawn:
    """One look of the sample and the question about it, if there is one."""

    year: int
    line: OfficerLine
    inquiry: inquiries.View | None


@dataclass(frozen=True, slots=True)
class SampleView:
    """The newest month that was drawn, and how far its questions are."""

    sample: sampling.Sample | None
    drawn: Sequence[Drawn]
    repeats: bool
    next_month: str

    @property
    def settled(self) -> int:
        """Questions that an officer closed."""
        return sum(one.inquiry is not None and not one.inquiry.open for one in self.drawn)


@dataclass(frozen=True, slots=True)
class RetentionView:
    """What is erased when, whether it is paused, and the figure that must be 0."""

    terms: Sequence[erasing.Term]
    paused: str
    overdue: int


class OfficersWork:
    """The work of officers at one hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    # --- O4 ---------------------------------------------------------------------------

    async def sample(self) -> SampleView:
        """The sample that is worked on."""
        return await asyncio.to_thread(self._sample)

    async def asked(self) -> Sequence[inquiries.View]:
        """Every question to an organisation, the open ones first."""
        return await asyncio.to_thread(inquiries.views, self._hub)

    async def ask(self, place: str, why: inquiries.Why, officer: str) -> Said:
        """Ask for an explanation of one entry, given as `year-index`."""
        return await self._do(lambda: inquiries.ask(self._hub, *place_of(place), why, officer))

    async def close(self, id_: str, outcome: inquiries.Outcome) -> Said:
        """End a question."""
        done: list[bool] = []
        said = await self._do(lambda: done.append(inquiries.close(self._hub, unb64u(id_, 16), outcome)))
        return "gone" if said == "done" and not done[0] else said

    async def postponed(self) -> Sequence[notices.Waiting]:
        """What is postponed, by node, role and activity."""
        return await asyncio.to_thread(notices.waiting, self._hub)

    async def release(self, group: str) -> Said:
        """Tell the citizens of a group's lines whose term is over."""
        keys = await asyncio.to_thread(notices.keys_of, self._hub, group, due_only=True)
        return await self._submit(notices.Release(self._hub, keys)) if keys else "gone"

    async def postpone(self, group: str, reason: str) -> Said:
        """Postpone a group's lines whose term is over once more."""
        known = next((one for one in REASONS if one == reason), None)
        if known is None:
            return "refused"
        keys = await asyncio.to_thread(notices.keys_of, self._hub, group, due_only=True)
        return await self._submit(notices.Renewal(self._hub, keys, known)) if keys else "gone"

    # --- O2, O5 -----------------------------------------------------------------------

    async def questions(self, organisation: str) -> Sequence[indicators.QuestionToAsk]:
        """What stands out in the last thirty days."""
        now = self._hub.clock()
        return await asyncio.to_thread(indicators.questions, self._hub, now - _WINDOW, now, organisation)

    async def replay(self, place: str) -> replaying.Replayed | None:
        """One look replayed; None where that entry is no look."""
        try:
            return await asyncio.to_thread(replaying.replay, self._hub, *place_of(place))
        except (Refused, ValueError):
            return None

    # --- O6 ---------------------------------------------------------------------------

    async def wishes(self) -> Sequence[openings.WishView]:
        """Every wish to open a person's entries."""
        return await asyncio.to_thread(openings.views, self._hub)

    async def request(self, place: str, reason: openings.OpenReason, officer: str, org: str) -> Said:
        """Ask a second officer to open the person of an entry, given as `year-index`."""
        return await self._do(lambda: openings.request(self._hub, place_of(place), reason, officer, org))

    async def approve(self, id_: str, officer: str, org: str) -> Said:
        """Approve as the second officer."""
        return await self._do(lambda: openings.approve(self._hub, id_, officer, org))

    async def opened(self, id_: str, officer: str) -> Sequence[OfficerLine] | None:
        """The person's entries; None where it is not open for this officer."""
        try:
            found = await asyncio.to_thread(openings.lines, self._hub, id_, officer)
        except (Refused, EncodingError):
            return None
        return [line_of(one.year, one.index, one.asker) for one in reversed(found)]

    # --- O8, O9 -----------------------------------------------------------------------

    async def export(self, form: exports.Form, begin: datetime, end: datetime, organisation: str) -> bytes:
        """An export of a period; it is in the log when this returns.

        Raises:
            Anything that keeps it from being recorded; then nothing is given.
        """
        return await asyncio.to_thread(self._export, form, begin, end, organisation)

    async def retention(self) -> RetentionView:
        """What is erased when."""
        return await asyncio.to_thread(self._retention)

    # --- blocking ---------------------------------------------------------------------

    def _sample(self) -> SampleView:
        hub = self._hub
        months = sampling.months(hub)
        drawn = next((one for one in months if one.drawn), None)
        upcoming = next((one.month for one in months if not one.drawn), "")
        if drawn is None:
            return SampleView(None, (), True, upcoming)
        asked = {(view.asked.year, view.asked.index): view for view in inquiries.views(hub)}
        with hub.reading() as connection:
            found = [hub.log_reader.at(connection, *place) for place in drawn.places]
        lines = [
            Drawn(one.year, line_of(one.year, one.index, one.asker), asked.get((one.year, one.index)))
            for one in found
            if one is not None
        ]
        return SampleView(drawn, lines, sampling.repeats(hub, drawn), upcoming)

    def _retention(self) -> RetentionView:
        office = self._hub.office
        hold = erasing.paused(office)
        terms = erasing.plan(office)
        now = office.clock()
        overdue = sum(one.lines for one in terms if one.ends and one.ends <= now)
        return RetentionView(terms, hold.reason if hold else "", overdue)

    def _export(self, form: exports.Form, begin: datetime, end: datetime, organisation: str) -> bytes:
        hub = self._hub
        with hub.reading() as connection:
            entries = (
                one
                for one in hub.log_reader.between(connection, begin, end)
                if not organisation or one.asker.org == organisation
            )
            raw = "".join(exports.written(form, entries, hub.vocabulary)).encode()
        exports.record(hub.office, f"export-{form}", raw.count(b"\n") - (form != "ldv"), raw)
        return raw

    async def _do(self, work: Callable[[], T]) -> Said:
        try:
            await asyncio.to_thread(work)
        except (Refused, ValueError):
            return "refused"
        return "done"

    async def _submit(self, work: notices.Release | notices.Renewal) -> Said:
        answer = await self._hub.sequencer.submit(work)
        return "done" if answer.status_code == 200 and msgspec.json.decode(answer.body) else "gone"


def place_of(text: str) -> tuple[int, int]:
    """Year and index out of `2026-12345`.

    Raises:
        ValueError: Another form.
    """
    year, _, index = text.partition("-")
    if not (year.isascii() and year.isdigit() and index.isascii() and index.isdigit() and len(index) < 16):
        raise ValueError("not the place of an entry")
    return int(year), int(index)


def last_month(now: datetime) -> tuple[datetime, datetime]:
    """Begin and end of the calendar month before, UTC: what an export is for as a rule."""
    end = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (end - timedelta(days=1)).replace(day=1), end
