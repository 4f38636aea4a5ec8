"""The privacy officer's page at the hub: the log, checked, filtered, without any person.

    log in -> verified up to when (O1) -> entries by organisation, role, purpose, day

The list is about who asked; no pseudonym, handle or seen subject stands in it.

Source: screens.md §8; access-log.md §5.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol
from urllib.parse import urlencode

from fastapi import APIRouter, FastAPI
from starlette.responses import Response

from consent.pages import Identity, Pages, PageSettings, Visitor
from consent.pages.names import Names
from consent.pages.pages import Door, NotForYou
from index.hub import Hub
from index.officer import LogCheck, OfficerPage, OfficerQuery, Officers
from policy.vocabulary import Vocabulary

OFFICER_ROLES = frozenset({"privacy_officer", "fg"})


class OfficerLog(Protocol):
    """The log as these pages need it; `index.officer.Officers` is one."""

    async def status(self) -> LogCheck:
        """Read the log back and say how far it holds."""
        ...

    async def find(self, query: OfficerQuery) -> OfficerPage:
        """Entries that match, newest first."""
        ...

    def organisations(self) -> Mapping[str, str]:
        """Who takes part: OIN and the name an officer reads."""
        ...


@dataclass(frozen=True, slots=True)
class Officer:
    """A privacy officer who is logged in."""

    name: str = field(default="", repr=False)


OfficerPages = Pages[Officer]
OfficerVisitor = Visitor[Officer]


def mount(app: FastAPI, hub: Hub) -> None:
    """Add the officer's pages to the hub's application, when its settings have them."""
    if hub.settings.pages is not None:
        _, routes = officer_pages(hub.settings.pages, Officers(hub), hub.vocabulary)
        app.include_router(routes)


def officer_pages(
    settings: PageSettings, log: OfficerLog, vocabulary: Vocabulary
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
    )
    routes = pages.router()
    handlers = _Log(log, vocabulary)
    pages.doors.append(Door("/lijst", "officer.nav", _is_officer))
    pages.add(routes, "/lijst", handlers.entries, who=_is_officer)
    return pages, routes


async def _welcome(identity: Identity) -> Officer:
    """Only officers.

    Raises:
        NotForYou: Anybody else.
    """
    if not OFFICER_ROLES & set(identity.roles):
        raise NotForYou
    return Officer(identity.name)


def _is_officer(person: Officer) -> bool:
    return isinstance(person, Officer)


class _Log:
    def __init__(self, log: OfficerLog, vocabulary: Vocabulary) -> None:
        self._log = log
        self._vocabulary = vocabulary

    async def entries(self, visitor: OfficerVisitor) -> Response:
        """O1: how far the log holds, and the entries that match the form."""
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
        return visitor.show(
            "officer/entries.html",
            400 if wrong_day else 200,
            checked=await self._log.status(),
            found=await self._log.find(wanted),
            wanted=wanted,
            wrong_day=wrong_day,
            names=Names(self._vocabulary, visitor.words.language),
            organisations=self._log.organisations(),
            role_options=[(role.code, role.label) for role in self._vocabulary.roles],
            purpose_options=[(purpose.code, purpose.label) for purpose in self._vocabulary.purposes],
            address=lambda number: _address(wanted, number),
        )


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
