"""The privacy officer's page at the hub: the log, checked, filtered, without any person.

    log in -> verified up to when (O1) -> entries by organisation, role, purpose, day

The list is about who asked; no pseudonym, handle or seen subject stands in it.

Source: screens.md §8; access-log.md §5.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Protocol
from urllib.parse import urlencode

from fastapi import APIRouter, FastAPI
from starlette.responses import Response

from consent.pages import Identity, Pages, PageSettings, Visitor
from consent.pages.names import Names
from consent.pages.pages import Door, NotForYou, Warned
from index.hub import Hub
from index.office_hours import OfficersWork
from index.officer import LogCheck, OfficerPage, OfficerQuery, Officers, Unconfirmed
from index.oversight import entry_told, inquiry_told, review_told
from index.protocol.codec import b64u
from index.protocol.messages import OFFICER_ROLES
from index.reviews import OUTCOMES, Outcome, ReviewList, YearFigure
from index.web.work import Officer, Work
from index.web.work import add_to as work_pages
from policy.vocabulary import Vocabulary


class OfficerLog(Protocol):
    """The log as these pages need it; `index.officer.Officers` is one."""

    async def status(self) -> LogCheck:
        """Read the log back and say how far it holds."""
        ...

    async def find(self, query: OfficerQuery) -> OfficerPage:
        """Entries that match, newest first."""
        ...

    async def reviews(self) -> ReviewList:
        """Declared break-glass that waits."""
        ...

    async def judge(self, id_: str, outcome: Outcome, officer: str) -> bool:
        """Record an outcome; False when no such review is open."""
        ...

    async def figures(self) -> Sequence[YearFigure]:
        """How often break-glass was declared, as the public reads it."""
        ...

    def organisations(self) -> Mapping[str, str]:
        """Who takes part: OIN and the name an officer reads."""
        ...

    def unconfirmed(self) -> Unconfirmed | None:
        """That nobody confirmed the log for 4 hours, or that nothing is signed any more; else None."""
        ...


OfficerPages = Pages[Officer]
OfficerVisitor = Visitor[Officer]


def mount(app: FastAPI, hub: Hub) -> None:
    """Add the officer's pages to the hub's application, when its settings have them."""
    if hub.settings.pages is not None:
        demo = hub.manifest.environment == "test"
        settings = with_organisation(hub.settings.pages).model_copy(update={"demo": demo})
        _, routes = officer_pages(settings, Officers(hub), hub.vocabulary, OfficersWork(hub))
        app.include_router(routes)


def with_organisation(settings: PageSettings) -> PageSettings:
    """These settings with a login that asks of which organisation an officer is, for opening with two."""
    claims = tuple(dict.fromkeys((*settings.login.claims, "oin")))
    return settings.model_copy(update={"login": settings.login.model_copy(update={"claims": claims})})


def officer_pages(
    settings: PageSettings, log: OfficerLog, vocabulary: Vocabulary, work: Work
) -> tuple[OfficerPages, APIRouter]:
    """The officer's pages, ready to be included.

    The first of the pair has `missing`, for the process's 404 handler.
    """
    pages: OfficerPages = Pages(
        settings,
        welcome=_welcome,
        templates=("index.web",),
        site="site.officer",
        door="officer/door.html",
        languages=("nl",),
        warned=lambda: _warned(log.unconfirmed()),
    )
    routes = pages.router()
    handlers = _Log(log, work, vocabulary)
    pages.doors.append(Door("/begin", "officer.nav_begin", _is_officer))
    pages.add(routes, "/begin", handlers.begin, who=_is_officer)
    reviews = _Reviews(log, work, vocabulary)
    pages.doors.append(Door("/spoed", "officer.nav_reviews", _is_officer))
    pages.add(routes, "/spoed", reviews.waiting, who=_is_officer)
    pages.add(routes, "/spoed", reviews.judge, who=_is_officer, methods=("POST",))
    pages.doors.append(Door("/lijst", "officer.nav", _is_officer))
    pages.add(routes, "/lijst", handlers.entries, who=_is_officer)
    work_pages(pages, routes, work, vocabulary, log.organisations())
    return pages, routes


async def _welcome(identity: Identity) -> Officer:
    """Only officers.

    Raises:
        NotForYou: Anybody else.
    """
    if not OFFICER_ROLES & set(identity.roles):
        raise NotForYou
    known = hashlib.sha256(b"officer/v1" + identity.subject.encode()).digest()
    return Officer(b64u(known)[:22], identity.name, str(identity.claims.get("oin", "")))


def _warned(found: Unconfirmed | None) -> Warned | None:
    if found is None:
        return None
    return Warned(
        text="officer.log.refused_log" if found.refusal else "officer.log.unconfirmed",
        do="officer.log.unconfirmed_do",
        since=found.confirmed_at,
        since_text="officer.log.unconfirmed_since",
        detail=found.refusal,
    )


def _is_officer(person: Officer) -> bool:
    return isinstance(person, Officer)


class _Log:
    def __init__(self, log: OfficerLog, work: Work, vocabulary: Vocabulary) -> None:
        self._log, self._work, self._vocabulary = log, work, vocabulary

    async def begin(self, visitor: OfficerVisitor) -> Response:
        """O1: how far the log holds, and what waits."""
        return visitor.show(
            "officer/begin.html", checked=await self._log.status(), view=await self._work.begin()
        )

    async def entries(self, visitor: OfficerVisitor) -> Response:
        """The entries that match the form."""
        query = visitor.request.query_params
        day, wrong_day = _day(query.get("dag", ""))
        page = query.get("bladzijde", "1")
        wanted = OfficerQuery(
            organisation=query.get("organisatie", ""),
            role=query.get("functie", ""),
            purpose=query.get("doel", ""),
            day=day,
            page=max(1, int(page)) if page.isascii() and page.isdigit() and len(page) < 7 else 1,
        )
        found = await self._log.find(wanted)
        return visitor.show(
            "officer/entries.html",
            400 if wrong_day else 200,
            base="",
            said=str(visitor.drawer.pop("said", "")),
            found=found,
            lines=[entry_told(line) for line in found.lines],
            wanted=wanted,
            wrong_day=wrong_day,
            names=Names(self._vocabulary, visitor.words.language),
            organisations=self._log.organisations(),
            role_options=[(role.code, role.label) for role in self._vocabulary.roles],
            purpose_options=[(purpose.code, purpose.label) for purpose in self._vocabulary.purposes],
            address=lambda number: _address(wanted, number),
        )


class _Reviews:
    """O3, for break-glass: what waits, and the officer's outcome."""

    def __init__(self, log: OfficerLog, work: Work, vocabulary: Vocabulary) -> None:
        self._log, self._work, self._vocabulary = log, work, vocabulary

    async def waiting(self, visitor: OfficerVisitor) -> Response:
        """Unconfirmed and reported ones first, then by the end of the term; and the questions that run."""
        found = await self._log.reviews()
        return visitor.show(
            "officer/reviews.html",
            base="",
            here_reviews="spoed",
            now=datetime.now(UTC),
            reviews=[review_told(line) for line in found.lines],
            more=found.more,
            asked=[inquiry_told(one) for one in await self._work.asked()],
            figures=await self._log.figures(),
            names=Names(self._vocabulary, visitor.words.language),
            said=str(visitor.drawer.pop("said", "")),
        )

    async def judge(self, visitor: OfficerVisitor) -> Response:
        """One of the three buttons."""
        outcome = next((one for one in OUTCOMES if one == visitor.field("uitkomst")), None)
        if outcome is not None:
            done = await self._log.judge(visitor.field("regel"), outcome, visitor.person.id)
            visitor.drawer["said"] = visitor.words("officer.reviews.said" if done else "officer.reviews.gone")
        return visitor.go("/spoed")


def _day(written: str) -> tuple[date | None, bool]:
    """The day of the filter, and whether what was typed is none."""
    if not written:
        return None, False
    try:
        return date.fromisoformat(written), False
    except ValueError:
        return None, True


def _address(wanted: OfficerQuery, page: int) -> str:
    """This list with the same filter at another page."""
    pairs = {
        "organisatie": wanted.organisation,
        "functie": wanted.role,
        "doel": wanted.purpose,
        "dag": wanted.day.isoformat() if wanted.day else "",
        "bladzijde": str(page),
    }
    return "/lijst?" + urlencode({name: value for name, value in pairs.items() if value})
