"""The officer's work at the hub: sample and notices, patterns, opening with two, replay, export, retention.

Every screen is about who asked, never about whom. What changes something is a
button whose act is in the log before the page says that it was done.

Source: screens.md §8 (O2, O4, O5, O6, O8, O9).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from fastapi import APIRouter
from starlette.responses import Response

from consent.pages import Pages, Visitor
from consent.pages.names import Names
from consent.pages.pages import HEADERS, Door
from index import exports, indicators, inquiries, notices, openings, replaying, steering
from index.office_hours import (
    DOCUMENTS,
    BeginView,
    Change,
    Document,
    OrganisationView,
    RetentionView,
    RulesView,
    Said,
    SampleView,
    months_before,
)
from index.officer import OfficerLine
from index.oversight import entry_told, inquiry_told, pattern_told
from index.protocol.messages import OwnInquiry, OwnSample
from index.replay import Replayed
from index.sampling import period_of
from index.web import plots
from policy.postpone import REASONS
from policy.replay import FEW
from policy.vocabulary import Vocabulary

_BACK = ("lijst", "patronen", "steekproef", "spoed")
_REPLAYED = ("version", "role", "purpose", "outcome", "kinds")
_FOREVER = 2**33


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
    async def document(self, what: Document) -> bytes: ...
    async def retention(self) -> RetentionView: ...
    async def begin(self) -> BeginView: ...
    async def rules(self) -> RulesView: ...
    async def change(self, number: int) -> Change | None: ...
    async def what_if(self, number: int) -> Replayed | None: ...
    async def approve_version(self, number: int, name: str, signature: str) -> Said: ...
    async def organisations(self) -> Sequence[OrganisationView]: ...
    async def figures(self) -> Sequence[steering.Figures]: ...
    async def save_figures(self, form: Literal["csv", "json"]) -> bytes: ...


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
        ("/patronen", "officer.nav_patterns", screens.patterns, None),
        ("/steekproef", "officer.nav_sample", screens.sample, screens.sample_act),
        ("/naspelen", "officer.nav_replay", screens.replay, None),
        ("/openen", "officer.nav_open", screens.opening, screens.opening_act),
        ("/regels", "officer.nav_rules", screens.rules, None),
        ("/organisaties", "officer.nav_organisations", screens.organisations, None),
        ("/cijfers", "officer.nav_figures", screens.figures, screens.figures_act),
        ("/uitvoer", "officer.nav_export", screens.exports, screens.export_act),
        ("/bewaartermijn", "officer.nav_retention", screens.retention, None),
    ):
        pages.doors.append(Door(path, key, _officer))
        pages.add(routes, path, show, who=_officer)
        if act is not None:
            pages.add(routes, path, act, who=_officer, methods=("POST",))
    pages.add(routes, "/openen/{wens}", screens.opened, who=_officer)
    pages.add(routes, "/vraag", screens.question, who=_officer, methods=("POST",))
    pages.add(routes, "/regels/{versie}", screens.version, who=_officer)
    pages.add(routes, "/regels/{versie}", screens.version_act, who=_officer, methods=("POST",))


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
        return visitor.show(
            f"officer/{template}.html", base="", here_reviews="spoed", names=names, said=said, **context
        )

    def _said(self, visitor: OfficerVisitor, said: Said, path: str) -> Response:
        visitor.drawer["said"] = visitor.words(f"officer.work.{said}")
        return visitor.go(path)

    # --- O4 ---------------------------------------------------------------------------

    async def _asked(self) -> dict[tuple[int, int], OwnInquiry]:
        """Questions by the look they are about."""
        told = map(inquiry_told, await self._work.asked())
        return {(one.year, one.index): one for one in told}

    async def sample(self, visitor: OfficerVisitor) -> Response:
        """The month's sample, and what is postponed."""
        view = await self._work.sample()
        drawn = view.sample
        lines = [entry_told(one.line) for one in view.drawn]
        return self._show(
            visitor,
            "sample_here",
            sample=OwnSample(drawn.month, drawn.late, drawn.population, lines) if drawn else None,
            asked=await self._asked(),
            settled=view.settled,
            repeats=view.repeats,
            waiting=await self._work.postponed(),
            reasons=REASONS,
        )

    async def sample_act(self, visitor: OfficerVisitor) -> Response:
        """Release or postpone."""
        act, id_ = visitor.field("doe"), visitor.field("regel")
        if act == "release":
            said = await self._work.release(id_)
        elif act == "postpone":
            said = await self._work.postpone(id_, visitor.field("reden"))
        else:
            said = "refused"
        return self._said(visitor, said, "/steekproef")

    async def question(self, visitor: OfficerVisitor) -> Response:
        """Ask about a look, or close a question; then back to the page with the button."""
        back = visitor.field("terug") if visitor.field("terug") in _BACK else "spoed"
        if visitor.field("vraag"):
            outcome = next((one for one in inquiries.OUTCOMES if one == visitor.field("uitkomst")), None)
            said = await self._work.close(visitor.field("vraag"), outcome) if outcome else "refused"
        else:
            why = next((one for one in inquiries.WHYS if one == visitor.field("waarom")), None)
            said = await self._work.ask(visitor.field("regel"), why, visitor.person.id) if why else "refused"
        return self._said(visitor, said, f"/{back}")

    # --- O2 ---------------------------------------------------------------------------

    async def patterns(self, visitor: OfficerVisitor) -> Response:
        """Questions to ask about teams, never verdicts."""
        wanted = visitor.request.query_params.get("organisatie", "")
        known = wanted if wanted in self._named else ""
        found = [pattern_told(one) for one in await self._work.questions(known)]
        return self._show(
            visitor,
            "patterns",
            found=found,
            asked=await self._asked(),
            wanted=known,
            organisations=self._named,
        )

    # --- O6 ---------------------------------------------------------------------------

    async def opening(self, visitor: OfficerVisitor) -> Response:
        """Wishes, and the form for a new one."""
        return self._show(
            visitor,
            "opening",
            wishes=await self._work.wishes(),
            reasons=openings.OPEN_REASONS,
            me=visitor.person,
            place=visitor.request.query_params.get("regel", ""),
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
        return self._show(visitor, "opened", lines=[entry_told(line) for line in lines])

    # --- O5 ---------------------------------------------------------------------------

    async def replay(self, visitor: OfficerVisitor) -> Response:
        """One decision again."""
        place = visitor.request.query_params.get("regel", "")
        found = await self._work.replay(place) if place else None
        told = found and {"at": found.at.isoformat(), **{n: getattr(found, n) for n in _REPLAYED}}
        return self._show(visitor, "replay", found=told, place=place)

    # --- O8, O9 -----------------------------------------------------------------------

    async def exports(self, visitor: OfficerVisitor) -> Response:
        """What can be saved."""
        months = months_before(datetime.now(UTC))
        return self._show(visitor, "exports", forms=exports.FORMS, months=months, documents=tuple(DOCUMENTS))

    async def export_act(self, visitor: OfficerVisitor) -> Response:
        """Save one month in one form; the file name says the form and the month."""
        what: Document | None = next((one for one in DOCUMENTS if one == visitor.field("vorm")), None)
        if what is not None:
            return _file(await self._work.document(what), f"vlagwijzer-{what}.md", "text/markdown")
        form = next((one for one in exports.FORMS if one == visitor.field("vorm")), None)
        known = months_before(datetime.now(UTC))
        month = next((one for one in known if one == visitor.field("maand")), None)
        if form is None or month is None:
            return self._said(visitor, "refused", "/uitvoer")
        raw = await self._work.export(form, *period_of(month), "")
        name = f"vlagwijzer-{form}-{month}.{'jsonl' if form == 'ldv' else 'csv'}"
        return _file(raw, name, exports.MEDIA[form])

    async def figures(self, visitor: OfficerVisitor) -> Response:
        """Steering figures: a month as bars, a subject through the months."""
        found = await self._work.figures()
        query = visitor.request.query_params
        wanted = [one for one in found if one.month == query.get("maand", "")] or list(found)
        month = wanted[0] if wanted else None
        codes = [cell.code for cell in month.seen] if month else []
        kind = next((code for code in codes if code == query.get("onderwerp", "")), "")
        return self._show(
            visitor,
            "figures",
            months=found,
            month=month,
            kind=kind,
            codes=codes,
            named=self._named,
            bars=plots.bars,
            columns=plots.columns,
        )

    async def figures_act(self, visitor: OfficerVisitor) -> Response:
        """Save all figures."""
        form: Literal["csv", "json"] = "json" if visitor.field("vorm") == "json" else "csv"
        raw = await self._work.save_figures(form)
        media = "application/json" if form == "json" else "text/csv"
        return _file(raw, f"vlagwijzer-cijfers.{form}", media)

    # --- O7, O10, O11 -------------------------------------------------------------------

    async def rules(self, visitor: OfficerVisitor) -> Response:
        """The versions of the rules."""
        return self._show(visitor, "rules", view=await self._work.rules())

    async def version(self, visitor: OfficerVisitor) -> Response:
        """What a waiting version changes, and how to approve it."""
        return await self._version(visitor)

    async def _version(self, visitor: OfficerVisitor, found: Replayed | None = None) -> Response:
        change = await self._work.change(_number(visitor))
        if change is None:
            return self._said(visitor, "gone", "/regels")
        view = await self._work.rules()
        return self._show(visitor, "version", change=change, view=view, found=found, moved=_moved)

    async def version_act(self, visitor: OfficerVisitor) -> Response:
        """Play past looks under it, or approve it with a signature made elsewhere."""
        number = _number(visitor)
        if visitor.field("doe") == "proef":
            found = await self._work.what_if(number)
            return await self._version(visitor, found) if found else self._said(visitor, "gone", "/regels")
        name, signature = visitor.field("naam"), visitor.field("handtekening")
        said = await self._work.approve_version(number, name, signature)
        return self._said(visitor, said, "/regels" if said == "done" else f"/regels/{number}")

    async def organisations(self, visitor: OfficerVisitor) -> Response:
        """Who takes part, and which convenants hold. Changed by command, with two people."""
        return self._show(
            visitor,
            "organisations",
            found=await self._work.organisations(),
            at_day=_day,
            profiles={one.code: one.label for one in self._vocabulary.profiles},
        )

    async def retention(self, visitor: OfficerVisitor) -> Response:
        """What is erased when."""
        return self._show(visitor, "retention", view=await self._work.retention())


def _moved(found: Replayed, effect: str) -> int | str:
    """All of one effect that is told; the small counts are not, so it is at least this."""
    told = [count for one in found.moved if isinstance(count := getattr(one, effect), int)]
    return sum(told) if told else FEW


def _number(visitor: OfficerVisitor) -> int:
    written = str(visitor.request.path_params["versie"])
    return int(written) if written.isascii() and written.isdigit() and len(written) < 9 else 0


def _day(seconds: int) -> datetime | None:
    """A moment in a register; None for "without end" and "from the start"."""
    return datetime.fromtimestamp(seconds, UTC) if 0 < seconds < _FOREVER else None


def _file(raw: bytes, name: str, media: str) -> Response:
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(raw, media_type=media, headers=headers)
