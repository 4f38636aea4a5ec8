"""The organisation's own privacy officer: questions, reviews, sample, replay and export of the own looks.

    log in with the officer's role -> entries of the own organisation -> ask, judge, replay, save

Who may look in this organisation is never its officer here: nobody reviews
their own looks. The templates are those of the hub's officers.

Source: screens.md §8, last line.
"""

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, get_args

from fastapi import APIRouter
from starlette.responses import Response

from consent.pages import Visitor
from consent.pages.names import Names
from consent.pages.pages import HEADERS, Door, NotForYou
from index.protocol.messages import OfficerActRequest, OwnEntriesRequest, OwnForm, OwnInquiry, OwnWorkAnswer
from nodes.oversight import OwnOfficer
from nodes.pages import Guest, NodePages
from nodes.runtime import NodeRuntime

BASE = "/toezicht"
FORMS: tuple[OwnForm, ...] = get_args(OwnForm)
_BACK = ("lijst", "patronen", "steekproef", "nakijken")
_WHY = {"steekproef": "steekproef", "patroon": "patroon"}
OfficerVisitor = Visitor[Guest]


def router(pages: NodePages, node: NodeRuntime) -> APIRouter:
    """The pages, for whoever logs in with the officer's role."""
    screens = Screens(node)
    routes = APIRouter()
    for path, key, show, act in (
        ("nakijken", "officer.nav_reviews", screens.reviews, screens.judge),
        ("patronen", "officer.nav_patterns", screens.patterns, None),
        ("steekproef", "officer.nav_sample", screens.sample, None),
        ("lijst", "officer.nav", screens.entries, None),
        ("naspelen", "officer.nav_replay", screens.replay, None),
        ("uitvoer", "officer.nav_export", screens.exports, screens.export),
    ):
        pages.doors.append(Door(f"{BASE}/{path}", key, is_officer))
        pages.add(routes, f"{BASE}/{path}", show, who=is_officer)
        if act is not None:
            pages.add(routes, f"{BASE}/{path}", act, who=is_officer, methods=("POST",))
    pages.add(routes, f"{BASE}/vraag", screens.question, who=is_officer, methods=("POST",))
    return routes


def is_officer(guest: Guest) -> bool:
    """Whether somebody is here as the privacy officer."""
    return guest.officer is not None


def officer_of(visitor: OfficerVisitor) -> OwnOfficer:
    """The officer who is logged in.

    Raises:
        NotForYou: Somebody else is.
    """
    if visitor.person.officer is None:
        raise NotForYou
    return visitor.person.officer


class Screens:
    """One method a screen or its buttons."""

    def __init__(self, node: NodeRuntime) -> None:
        self._node = node

    def _show(self, visitor: OfficerVisitor, template: str, status: int = 200, **context: Any) -> Response:
        said = str(visitor.drawer.pop("said", ""))
        names = Names(self._node.vocabulary, visitor.words.language)
        return visitor.show(
            f"officer/{template}.html",
            status,
            base=BASE,
            here_reviews="nakijken",
            names=names,
            said=said,
            now=self._node.now(),
            **context,
        )

    async def _work(self, visitor: OfficerVisitor) -> OwnWorkAnswer:
        return await self._node.oversight.work(officer_of(visitor))

    async def entries(self, visitor: OfficerVisitor) -> Response:
        """The own entries, filtered."""
        query = visitor.request.query_params
        day, wrong_day = day_of(query.get("dag", ""))
        page = query.get("bladzijde", "1")
        vocabulary = self._node.vocabulary
        role, purpose = query.get("functie", ""), query.get("doel", "")
        wanted = OwnEntriesRequest(
            role=role if vocabulary.has_role(role) else "",
            purpose=purpose if vocabulary.has_purpose(purpose) else "",
            day=day.isoformat() if day else None,
            page=max(1, int(page)) if page.isascii() and page.isdigit() and len(page) < 6 else 1,
        )
        found = await self._node.oversight.entries(officer_of(visitor), wanted)
        return self._show(
            visitor,
            "entries",
            400 if wrong_day else 200,
            found=found,
            lines=found.entries,
            wanted=wanted,
            wrong_day=wrong_day,
            organisations={},
            role_options=[(one.code, one.label) for one in vocabulary.roles],
            purpose_options=[(one.code, one.label) for one in vocabulary.purposes],
            address=_address(wanted),
        )

    async def patterns(self, visitor: OfficerVisitor) -> Response:
        """O2: questions to ask about the own teams."""
        found = await self._node.oversight.patterns(officer_of(visitor))
        work = await self._work(visitor)
        return self._show(
            visitor, "patterns", found=found, asked=by_place(work.inquiries), organisations={}, wanted=""
        )

    async def reviews(self, visitor: OfficerVisitor) -> Response:
        """O3: break-glass and questions."""
        work = await self._work(visitor)
        return self._show(
            visitor, "reviews", reviews=work.reviews, asked=work.inquiries, more=False, figures=()
        )

    async def judge(self, visitor: OfficerVisitor) -> Response:
        """A button under a break-glass."""
        outcome = visitor.field("uitkomst")
        if outcome not in ("asked", "fits", "does_not_fit"):
            return self._said(visitor, False, "nakijken")
        act = OfficerActRequest("review", id=visitor.field("regel"), outcome=outcome)  # type: ignore[arg-type]
        return await self._act(visitor, act, "nakijken")

    async def sample(self, visitor: OfficerVisitor) -> Response:
        """O4: the own looks of the month's draw."""
        work = await self._work(visitor)
        asked = by_place(work.inquiries)
        drawn = work.sample.drawn if work.sample else []
        settled = sum((one := asked.get((d.year, d.index))) is not None and not one.open for d in drawn)
        return self._show(visitor, "sample", sample=work.sample, asked=asked, settled=settled, repeats=None)

    async def question(self, visitor: OfficerVisitor) -> Response:
        """Ask about a look, or close a question; then back to the page with the button."""
        back = visitor.field("terug") if visitor.field("terug") in _BACK else "nakijken"
        outcome = visitor.field("uitkomst")
        if outcome:
            if outcome not in ("fits", "does_not_fit"):
                return self._said(visitor, False, back)
            return await self._act(
                visitor,
                OfficerActRequest("close", id=visitor.field("vraag"), outcome=outcome),  # type: ignore[arg-type]
                back,
            )
        place, why = place_of(visitor.field("regel")), _WHY.get(visitor.field("waarom"), "")
        if place is None or not why:
            return self._said(visitor, False, back)
        act = OfficerActRequest("ask", year=place[0], index=place[1], why=why)  # type: ignore[arg-type]
        return await self._act(visitor, act, back)

    async def replay(self, visitor: OfficerVisitor) -> Response:
        """O5: one own look again."""
        written = visitor.request.query_params.get("regel", "")
        place = place_of(written)
        found = await self._node.oversight.replay(officer_of(visitor), *place) if place else None
        return self._show(
            visitor, "replay", found=found, place=f"{place[0]}-{place[1]}" if place else written and "?"
        )

    async def exports(self, visitor: OfficerVisitor) -> Response:
        """O8: what can be saved."""
        return self._show(visitor, "exports", forms=FORMS, months=self._node.oversight.months(), documents=())

    async def export(self, visitor: OfficerVisitor) -> Response:
        """Save a month; the file name says the form and the month."""
        form = next((one for one in FORMS if one == visitor.field("vorm")), None)
        month = next((one for one in self._node.oversight.months() if one == visitor.field("maand")), None)
        if form is None or month is None:
            return self._said(visitor, False, "uitvoer")
        text = await self._node.oversight.export(officer_of(visitor), form, month)
        return saved(text, form, month)

    async def _act(self, visitor: OfficerVisitor, act: OfficerActRequest, back: str) -> Response:
        done = await self._node.oversight.act(officer_of(visitor), act)
        return self._said(visitor, done, back)

    def _said(self, visitor: OfficerVisitor, done: bool, back: str) -> Response:
        visitor.drawer["said"] = visitor.words("officer.work.done" if done else "officer.work.gone")
        return visitor.go(f"{BASE}/{back}")


def saved(text: str, form: str, month: str) -> Response:
    """A file to keep."""
    ending, media = ("jsonl", "application/x-ndjson") if form == "ldv" else ("csv", "text/csv")
    name = f"vlagwijzer-{form}-{month}.{ending}"
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text.encode(), media_type=media, headers=headers)


def by_place(asked: Sequence[OwnInquiry]) -> dict[tuple[int, int], OwnInquiry]:
    """Questions by the look they are about."""
    return {(one.year, one.index): one for one in asked}


def place_of(written: str) -> tuple[int, int] | None:
    """Year and index out of `2026-12345`; None for any other form."""
    year, _, index = written.partition("-")
    good = all(part.isascii() and part.isdigit() for part in (year, index))
    if not good or len(index) > 15 or not 2020 <= int(year) <= 2199:
        return None
    return int(year), int(index)


def day_of(written: str) -> tuple[date | None, bool]:
    """The day of the filter, and whether what was typed is none."""
    try:
        return (date.fromisoformat(written) if written else None), False
    except ValueError:
        return None, True


def _address(wanted: OwnEntriesRequest) -> Callable[[int], str]:
    from urllib.parse import urlencode

    pairs = {"functie": wanted.role, "doel": wanted.purpose, "dag": wanted.day or ""}
    kept = {name: value for name, value in pairs.items() if value}
    return lambda page: f"{BASE}/lijst?" + urlencode({**kept, "bladzijde": page})
