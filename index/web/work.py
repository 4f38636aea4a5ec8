"""The officer's work at the hub: sample and notices, patterns, opening with two, replay, export, retention.

Every screen is about who asked, never about whom. What changes something is a
button whose act is in the log before the page says that it was done.

Source: screens.md §8 (O2, O4, O5, O6, O8, O9).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from fastapi import APIRouter
from starlette.responses import Response

from consent.pages import Pages, Visitor
from consent.pages.names import Names
from consent.pages.pages import HEADERS, Door
from index import exports, indicators, inquiries, notices, openings, replaying
from index.office_hours import RetentionView, Said, SampleView, last_month
from index.officer import OfficerLine
from policy.postpone import REASONS
from policy.vocabulary import Vocabulary


class Work(Protocol):
    """What these pages need; `index.office_hours.OfficersWork` is one, and says what each call does."""

    async def sample(self) -> SampleView: ...
    async def asked(self) -> Sequence[inquiries.View]: ...
    async def ask(self, place: str, why: inquiries.Why, officer: str) -> Said: ...
    async def close(self, id_: str, outcome: inquiries.Outcome) -> Said: ...
    async def postponed(self) -> Sequence[notices.Waiting]: ...
    async def release(self, group: str) -> Said: ...
    async def postpone(self, group: str, reason: str) -> Said: ...
    async def questions(self, organisation: str) -> Sequence[indicators.QuestionToAsk]: ...
    async def replay(self, place: str) -> replaying.Replayed | None: ...
    async def wishes(self) -> Sequence[openings.WishView]: ...
    async def request(self, place: str, reason: openings.OpenReason, officer: str, org: str) -> Said: ...
    async def approve(self, id_: str, officer: str, org: str) -> Said: ...
    async def opened(self, id_: str, officer: str) -> Sequence[OfficerLine] | None: ...
    async def export(
        self, form: exports.Form, begin: datetime, end: datetime, organisation: str
    ) -> bytes: ...
    async def retention(self) -> RetentionView: ...


@dataclass(frozen=True, slots=True)
class Officer:
    """A privacy officer who is logged in; `id` is what a review keeps of them.

    `organisation` is the OIN that the identity provider states (claim `oin`), empty where it states none.
    """

    id: str = field(default="", repr=False)
    name: str = field(default="", repr=False)
    organisation: str = field(default="", repr=False)


def add_to(
    pages: Pages[Officer], routes: APIRouter, work: Work, vocabulary: Vocabulary, named: Mapping[str, str]
) -> None:
    """Add these screens to the officer's pages."""
    screens = Screens(work, vocabulary, named)
    for path, key, show, act in (
        ("/steekproef", "officer.nav_sample", screens.sample, screens.sample_act),
        ("/patronen", "officer.nav_patterns", screens.patterns, None),
        ("/openen", "officer.nav_open", screens.opening, screens.opening_act),
        ("/naspelen", "officer.nav_replay", screens.replay, None),
        ("/bewaartermijn", "officer.nav_retention", screens.retention, None),
        ("/uitvoer", "officer.nav_export", screens.exports, screens.export_act),
    ):
        pages.doors.append(Door(path, key, _officer))
        pages.add(routes, path, show, who=_officer)
        if act is not None:
            pages.add(routes, path, act, who=_officer, methods=("POST",))
    pages.add(routes, "/openen/{wens}", screens.opened, who=_officer)


def _officer(person: Officer) -> bool:
    return isinstance(person, Officer)


OfficerVisitor = Visitor[Officer]


class Screens:
    """One method a screen or its buttons."""

    def __init__(self, work: Work, vocabulary: Vocabulary, named: Mapping[str, str]) -> None:
        self._work, self._vocabulary, self._named = work, vocabulary, named

    def _show(self, visitor: OfficerVisitor, template: str, **context: Any) -> Response:
        said = str(visitor.drawer.pop("said", ""))
        names = Names(self._vocabulary, visitor.words.language)
        return visitor.show(f"officer/{template}.html", names=names, said=said, **context)

    def _said(self, visitor: OfficerVisitor, said: Said, path: str) -> Response:
        visitor.drawer["said"] = visitor.words(f"officer.work.{said}")
        return visitor.go(path)

    # --- O4 ---------------------------------------------------------------------------

    async def sample(self, visitor: OfficerVisitor) -> Response:
        """The month's sample, the questions that run, and what is postponed."""
        return self._show(
            visitor,
            "sample",
            view=await self._work.sample(),
            asked=await self._work.asked(),
            waiting=await self._work.postponed(),
            outcomes=inquiries.OUTCOMES,
            reasons=REASONS,
        )

    async def sample_act(self, visitor: OfficerVisitor) -> Response:
        """Ask, close, release or postpone."""
        act, id_ = visitor.field("doe"), visitor.field("regel")
        outcome = next((one for one in inquiries.OUTCOMES if one == act), None)
        if outcome is not None:
            said = await self._work.close(id_, outcome)
        elif act == "ask":
            said = await self._work.ask(id_, "steekproef", visitor.person.id)
        elif act == "release":
            said = await self._work.release(id_)
        elif act == "postpone":
            said = await self._work.postpone(id_, visitor.field("reden"))
        else:
            said = "refused"
        return self._said(visitor, said, "/steekproef")

    # --- O2 ---------------------------------------------------------------------------

    async def patterns(self, visitor: OfficerVisitor) -> Response:
        """Questions to ask about teams, never verdicts."""
        wanted = visitor.request.query_params.get("organisatie", "")
        known = wanted if wanted in self._named else ""
        found = await self._work.questions(known)
        return self._show(visitor, "patterns", found=found, wanted=known, organisations=self._named)

    # --- O6 ---------------------------------------------------------------------------

    async def opening(self, visitor: OfficerVisitor) -> Response:
        """Wishes, and the form for a new one."""
        return self._show(
            visitor,
            "opening",
            wishes=await self._work.wishes(),
            reasons=openings.OPEN_REASONS,
            me=visitor.person,
        )

    async def opening_act(self, visitor: OfficerVisitor) -> Response:
        """Ask, or approve as the second."""
        me, id_ = visitor.person, visitor.field("wens")
        if id_:
            said = await self._work.approve(id_, me.id, me.organisation)
            return self._said(visitor, said, "/openen")
        reason = next((one for one in openings.OPEN_REASONS if one == visitor.field("reden")), None)
        if reason is None:
            return self._said(visitor, "refused", "/openen")
        said = await self._work.request(visitor.field("regel"), reason, me.id, me.organisation)
        return self._said(visitor, said, "/openen")

    async def opened(self, visitor: OfficerVisitor) -> Response:
        """The entries of the person, for the two officers, for a day."""
        id_ = str(visitor.request.path_params["wens"])
        lines = await self._work.opened(id_, visitor.person.id)
        if lines is None:
            return self._said(visitor, "gone", "/openen")
        return self._show(visitor, "opened", lines=lines)

    # --- O5 ---------------------------------------------------------------------------

    async def replay(self, visitor: OfficerVisitor) -> Response:
        """One decision again."""
        place = visitor.request.query_params.get("regel", "")
        found = await self._work.replay(place) if place else None
        return self._show(visitor, "replay", found=found, place=place)

    # --- O8, O9 -----------------------------------------------------------------------

    async def exports(self, visitor: OfficerVisitor) -> Response:
        """What can be saved."""
        begin, _ = last_month(datetime.now(UTC))
        return self._show(visitor, "exports", forms=exports.FORMS, month=begin)

    async def export_act(self, visitor: OfficerVisitor) -> Response:
        """Save last month in one form; the file name says the form and the month."""
        form = next((one for one in exports.FORMS if one == visitor.field("vorm")), None)
        if form is None:
            return self._said(visitor, "refused", "/uitvoer")
        begin, end = last_month(datetime.now(UTC))
        raw = await self._work.export(form, begin, end, "")
        name = f"vlagwijzer-{form}-{begin:%Y-%m}.{'jsonl' if form == 'ldv' else 'csv'}"
        headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
        return Response(raw, media_type=exports.MEDIA[form], headers=headers)

    async def retention(self, visitor: OfficerVisitor) -> Response:
        """What is erased when."""
        return self._show(visitor, "retention", view=await self._work.retention())
