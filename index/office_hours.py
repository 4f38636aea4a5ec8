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
from sqlalchemy import select

from index import (
    erasing,
    exports,
    indicators,
    inquiries,
    notices,
    openings,
    policies,
    replaying,
    sampling,
    steering,
)
from index.acts import Refused, SignedElsewhere, history, read_standing
from index.officer import OfficerLine, line_of
from index.protocol.codec import EncodingError, unb64u
from index.protocol.directory import OrganisationEntry
from index.registers import Entry, Registers
from index.replay import Replayed, what_if
from index.reviews import waiting_for_review
from index.store.tables import heartbeat
from policy.notices import Organisation, register, register_markdown
from policy.postpone import REASONS

if TYPE_CHECKING:
    from index.hub import Hub

Said = Literal["done", "refused", "gone"]
Document = Literal["register", "dpia"]
DOCUMENTS: dict[Document, str] = {
    "register": "Register van verwerkingen (AVG 30)",
    "dpia": "Bijlage bij de DPIA (AVG 35)",
}
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
class Silent:
    """A source that stopped confirming its flags; they are shown no more. `since`: its last word, if any."""

    node: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class BeginView:
    """What waits for an officer."""

    reviews: int
    late: int
    answered: int
    sample: sampling.Sample | None
    settled: int
    notices_due: int
    silent: Sequence[Silent]
    versions: int
    wishes: int


@dataclass(frozen=True, slots=True)
class RulesView:
    """The versions, the newest first; who may approve, by name."""

    versions: Sequence[policies.Candidate]
    active: int
    stopped: int
    approvers: Sequence[str]


@dataclass(frozen=True, slots=True)
class Change:
    """What a waiting version opens and closes: role, kind, purpose and basis. `digest` is what is signed."""

    candidate: policies.Candidate
    opened: Sequence[tuple[str, str, str, str]]
    closed: Sequence[tuple[str, str, str, str]]
    digest: str
    hub: str

    def command(self, key_file: str) -> str:
        """What an approver runs on the own machine, one option a line."""
        one = self.candidate
        return (
            f"vlagwijzer policy sign {one.number} \\\n  --hub {self.hub} \\\n  --hash {one.hash.hex()} \\\n"
            f"  --differences {self.digest} \\\n  --key {key_file}"
        )


@dataclass(frozen=True, slots=True)
class OrganisationView:
    """Who takes part, and what is registered of them."""

    entry: OrganisationEntry
    nodes: Sequence[str]
    profile: str
    convenants: Sequence[Entry]
    mandates: Sequence[Entry]


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
        self._differences: dict[tuple[int, int], policies.Differences] = {}

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

    # --- O1, O7, O10, O11 ---------------------------------------------------------------

    async def begin(self) -> BeginView:
        """What waits."""
        return await asyncio.to_thread(self._begin)

    async def rules(self) -> RulesView:
        """All versions."""
        return await asyncio.to_thread(self._rules)

    async def change(self, number: int) -> Change | None:
        """What a waiting version changes; None where none waits under this number. Takes seconds once."""
        return await asyncio.to_thread(self._change, number)

    async def what_if(self, number: int) -> Replayed | None:
        """The looks of the last thirty days under a waiting version; it is in the log when this returns."""
        now = self._hub.clock()
        try:
            return await asyncio.to_thread(
                what_if, self._publishing(), self._hub.directory, number, (now - _WINDOW, now)
            )
        except (Refused, ValueError):
            return None

    async def approve_version(self, number: int, name: str, signature: str) -> Said:
        """Approve a version with a signature that was made on the approver's own machine."""

        def work() -> None:
            publishing = self._publishing()
            publishing.approve(SignedElsewhere(name, signature), publishing.differences(number))

        return await self._do(work)

    async def organisations(self) -> Sequence[OrganisationView]:
        """Who takes part, by name of their nodes."""
        return await asyncio.to_thread(self._organisations)

    async def figures(self) -> Sequence[steering.Figures]:
        """Steering figures of every month that was counted."""
        return await asyncio.to_thread(steering.months, self._hub)

    async def save_figures(self, form: Literal["csv", "json"]) -> bytes:
        """The same as a file; it is in the log when this returns."""

        def work() -> bytes:
            found = steering.months(self._hub)
            raw = (steering.as_csv(found) if form == "csv" else steering.as_json(found)).encode()
            exports.record(self._hub.office, "export-steering", len(found), raw)
            return raw

        return await asyncio.to_thread(work)

    # --- O8, O9 -----------------------------------------------------------------------

    async def export(self, form: exports.Form, begin: datetime, end: datetime, organisation: str) -> bytes:
        """An export of a period; it is in the log when this returns.

        Raises:
            Anything that keeps it from being recorded; then nothing is given.
        """
        return await asyncio.to_thread(self._export, form, begin, end, organisation)

    async def document(self, what: Document) -> bytes:
        """The register of processing or the DPIA annex, of the rules in force; recorded first."""

        def work() -> bytes:
            rows = register(self._hub.policy, Organisation())
            raw = register_markdown(rows, title=DOCUMENTS[what]).encode()
            exports.record(self._hub.office, f"export-{what}", len(rows), raw)
            return raw

        return await asyncio.to_thread(work)

    async def retention(self) -> RetentionView:
        """What is erased when."""
        return await asyncio.to_thread(self._retention)

    def _publishing(self) -> policies.Publishing:
        classes = tuple(sorted({one.class_ for one in self._hub.directory.organisations}))
        return policies.Publishing(self._hub.office, classes)

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

    def _begin(self) -> BeginView:
        waiting = waiting_for_review(self._hub).lines
        asked = inquiries.views(self._hub)
        sample = next((one for one in sampling.months(self._hub) if one.drawn), None)
        closed = {(one.asked.year, one.asked.index) for one in asked if not one.open}
        known = self._rules()
        return BeginView(
            reviews=len(waiting),
            late=sum(line.overdue for line in waiting),
            answered=sum(one.open and bool(one.asked.answer) for one in asked),
            sample=sample,
            settled=sum(tuple(place) in closed for place in sample.places) if sample else 0,
            notices_due=sum(group.due for group in notices.waiting(self._hub)),
            silent=silent_sources(self._hub),
            versions=sum(one.state == "waiting" and one.cause != "reverted" for one in known.versions),
            wishes=sum(one.state == "waiting" for one in openings.views(self._hub)),
        )

    def _rules(self) -> RulesView:
        office = self._hub.office
        with self._hub.reading() as connection:
            standing = read_standing(connection)
            acts = history(connection, office.keystore)
        seconds = int(office.clock().timestamp())
        known = policies.candidates(acts, standing, seconds)
        found = [one for _, one in sorted(known.items(), reverse=True)]
        names = sorted(office.settings.approvers)
        return RulesView(found, standing.number_at(seconds), standing.stopped, names)

    def _change(self, number: int) -> Change | None:
        waiting = (one for one in self._rules().versions if one.number == number and one.state == "waiting")
        candidate = next(waiting, None)
        if candidate is None or candidate.cause == "reverted":
            return None
        active = self._rules().active
        if (number, active) not in self._differences:
            self._differences = {(number, active): self._publishing().differences(number)}
        found = self._differences[number, active]
        opened, closed = (
            sorted({(one.role, one.kind, one.purpose, one.basis) for one in cells})
            for cells in (found.opened, found.closed)
        )
        return Change(candidate, opened, closed, found.digest(), self._hub.settings.hub_id)

    def _organisations(self) -> Sequence[OrganisationView]:
        hub = self._hub
        with hub.reading() as connection:
            registers = Registers().after(history(connection, hub.office.keystore))
        seconds = int(hub.clock().timestamp())
        return [
            OrganisationView(
                one,
                sorted(node.id for node in hub.directory.nodes if node.oin == one.oin),
                registers.profile_of(one.oin),
                registers.in_force("convenant", one.oin, seconds),
                registers.in_force("mandate", one.oin, seconds),
            )
            for one in hub.directory.organisations
        ]

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


def silent_sources(hub: Hub) -> list[Silent]:
    """Sources whose flags are shown no more: they confirmed nothing for longer than the lease. Blocks."""
    lease = timedelta(days=hub.vocabulary.limits.lease_days)
    with hub.reading() as connection:
        beats = {bytes(tag): int(at) for tag, at in connection.execute(select(heartbeat)).all()}
    found = []
    for node in hub.directory.nodes:
        at = beats.get(hub.rows.pub_tag(node.number))
        since = None if at is None else datetime.fromtimestamp(at, UTC)
        if "publish" in node.classes and since is not None and since < hub.clock() - lease:
            found.append(Silent(node.id, since))
    return found


def months_before(now: datetime, count: int = 12) -> list[str]:
    """The calendar months that are over, the newest first: what an export is for."""
    found, at = [], now.astimezone(UTC)
    for _ in range(count):
        at = at.replace(day=1) - timedelta(days=1)
        found.append(f"{at:%Y-%m}")
    return found
