"""D11: the citizen chooses on the own phone, signed a form, or wants to stop. The employee gives no yes.

    own phone  -> QR code and eight characters -> done or not, never what was chosen
    form       -> subject, number of the form, age established -> a letter with a code, shown once
    stop       -> one subject or all, this team or everybody -> holds at once

The person is a number in the visit, as on the answer's page. A code or letter
waits in the login session for its page and is kept nowhere.

Source: screens.md D11 and §5, "Assisted consent at the kitchen table".
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

import segno
from fastapi import APIRouter
from starlette.responses import Response

from consent.pages import State, Visitor
from consent.pages.names import Names
from nodes.assisted import GivenCode, Letter
from nodes.citizen import readable
from nodes.codes import shown
from nodes.employees import Employee
from nodes.errors import BadInput, HubUnreachable, Refused, UnknownVisit
from nodes.pages import Guest, NodePages
from nodes.runtime import NodeRuntime
from nodes.visits import MOST_PERSONS, Visit

from .pages import FieldProblem, employee_of, may_look

DeskVisitor = Visitor[Guest]
_FORM_FIELDS = {"form": "nummer", "adult": "leeftijd", "kind": "onderwerp"}
_ABOUT_THE_FORM = {"form-again", "form-art9", "no-consent-for-kind"}


@dataclass(frozen=True, slots=True)
class Place:
    """One person of one open visit; `number` counts from 1, as on the page."""

    visit: Visit
    number: int

    @property
    def path(self) -> str:
        return f"/bezoeken/{self.visit.id}/keuze/{self.number}"


def router(pages: NodePages, node: NodeRuntime) -> APIRouter:
    """The pages of the citizen's choice, for employees who may look."""
    desk = _Choice(node)
    routes = APIRouter()
    one = "/bezoeken/{visit}/keuze/{person}"
    pages.add(routes, "/bezoeken/{visit}/keuze", desk.persons, who=may_look)
    pages.add(routes, one, desk.begin, who=may_look)
    pages.add(routes, f"{one}/code", desk.make_code, who=may_look, methods=("POST",))
    pages.add(routes, f"{one}/code", desk.code, who=may_look)
    pages.add(routes, f"{one}/klaar", desk.ask_done, who=may_look, methods=("POST",))
    pages.add(routes, f"{one}/formulier", desk.form, who=may_look)
    pages.add(routes, f"{one}/formulier", desk.enter_form, who=may_look, methods=("POST",))
    pages.add(routes, f"{one}/brief", desk.letter, who=may_look)
    pages.add(routes, f"{one}/stoppen", desk.stop, who=may_look)
    pages.add(routes, f"{one}/stoppen", desk.enter_stop, who=may_look, methods=("POST",))
    return routes


_QUIET_ZONE = 4
"""Light modules around a QR code, ISO/IEC 18004."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A QR code as the page draws it: modules in a row, and the path of the dark ones."""

    size: int
    path: str = field(repr=False)


def qr(address: str) -> Drawing:
    """The QR code of an address, for an SVG in the page itself: nothing is fetched."""
    rows = segno.make(address, error="m", micro=False).matrix_iter(border=_QUIET_ZONE)
    dark = [[bool(module) for module in row] for row in rows]
    parts = []
    for y, row in enumerate(dark):
        x = 0
        for is_dark, run in groupby(row):
            width = len(list(run))
            if is_dark:
                parts.append(f"M{x} {y}h{width}v1h-{width}z")
            x += width
    return Drawing(len(dark), "".join(parts))


class _Choice:
    """The handlers; each is one screen or one button."""

    def __init__(self, node: NodeRuntime) -> None:
        self._node = node

    async def _visit(self, visitor: DeskVisitor) -> tuple[Employee, Visit]:
        """The employee's own open visit that the address names.

        Raises:
            UnknownVisit: Closed, ended, or somebody else's.
        """
        employee = employee_of(visitor)
        for visit in await self._node.visits.of(employee):
            if visit.id == visitor.request.path_params["visit"]:
                return employee, visit
        raise UnknownVisit

    async def _place(self, visitor: DeskVisitor) -> tuple[Employee, Place]:
        employee, visit = await self._visit(visitor)
        number = str(visitor.request.path_params["person"])
        if not (number.isascii() and number.isdigit() and len(number) == 1):
            raise UnknownVisit
        if not 1 <= int(number) <= min(visit.persons, MOST_PERSONS):
            raise UnknownVisit
        return employee, Place(visit, int(number))

    def _show(
        self, visitor: DeskVisitor, template: str, place: Place, status: int = 200, **more: object
    ) -> Response:
        return visitor.show(
            f"desk/{template}",
            status,
            blank=True,
            names=Names(self._node.vocabulary, visitor.words.language),
            place=place,
            **more,
        )

    async def persons(self, visitor: DeskVisitor) -> Response:
        """Whose choice it is, where a visit has more than one person."""
        _, visit = await self._visit(visitor)
        if visit.persons == 1:
            return visitor.go(Place(visit, 1).path)
        return visitor.show("desk/choice_persons.html", visit=visit)

    async def begin(self, visitor: DeskVisitor) -> Response:
        """D11: the three ways."""
        _, place = await self._place(visitor)
        return self._show(visitor, "choice.html", place, said=str(visitor.drawer.pop("said", "")))

    # --- the own phone -------------------------------------------------------------------

    async def make_code(self, visitor: DeskVisitor) -> Response:
        employee, place = await self._place(visitor)
        given = await self._node.assisted.give_code(employee, place.visit.id, place.number - 1)
        visitor.drawer["code"] = (place.path, given)
        visitor.drawer.pop("code-done", None)
        return visitor.go(f"{place.path}/code")

    async def code(self, visitor: DeskVisitor) -> Response:
        """The code, as long as it opens; and whether the citizen is done, where that was asked."""
        _, place = await self._place(visitor)
        given = self._waiting(visitor, "code", place)
        if not isinstance(given, GivenCode):
            return visitor.go(place.path)
        done = visitor.drawer.get("code-done")
        over = self._node.now() >= given.until
        return self._show(
            visitor,
            "code.html",
            place,
            given=given,
            typed=shown(given.code),
            qr=qr(given.address),
            over=over,
            done=done if isinstance(done, bool) else None,
        )

    async def ask_done(self, visitor: DeskVisitor) -> Response:
        employee, place = await self._place(visitor)
        visitor.drawer["code-done"] = await self._node.assisted.is_done(
            employee, place.visit.id, place.number - 1
        )
        return visitor.go(f"{place.path}/code")

    def _waiting(self, visitor: DeskVisitor, name: str, place: Place) -> object:
        """What waits in the login session for a page of this very person; None when there is nothing."""
        kept = visitor.drawer.get(name)
        return kept[1] if isinstance(kept, tuple) and kept[0] == place.path else None

    # --- a form --------------------------------------------------------------------------

    async def form(self, visitor: DeskVisitor) -> Response:
        employee, place = await self._place(visitor)
        return await self._form(visitor, employee, place)

    async def _form(
        self,
        visitor: DeskVisitor,
        employee: Employee,
        place: Place,
        problems: Sequence[FieldProblem] = (),
    ) -> Response:
        return self._show(
            visitor,
            "form.html",
            place,
            400 if problems else 200,
            kinds=[kind.code for kind in await self._node.assisted.form_subjects(employee, place.visit.id)],
            problems=list(problems),
            wrong={problem.id: problem.text for problem in problems},
            chosen=visitor.field("onderwerp"),
            number=visitor.field("nummer"),
            adult=visitor.field("leeftijd") == "ja",
        )

    async def enter_form(self, visitor: DeskVisitor) -> Response:
        employee, place = await self._place(visitor)
        t, kind = visitor.words, visitor.field("onderwerp")
        problems = []
        if not kind:
            problems.append(FieldProblem("onderwerp", t("desk.form.no_kind")))
        if not visitor.field("nummer"):
            problems.append(FieldProblem("nummer", t("desk.form.no_form")))
        if visitor.field("leeftijd") != "ja":
            problems.append(FieldProblem("leeftijd", t("desk.form.not_adult")))
        if problems:
            return await self._form(visitor, employee, place, problems)
        text = "\n".join(
            [t("desk.form.title"), kind, place.visit.purpose, employee.team, t("desk.form.enter")]
        )
        try:
            letter = await self._node.assisted.enter_form(
                employee,
                place.visit.id,
                place.number - 1,
                kind=kind,
                reference=visitor.field("nummer"),
                text=text,
                adult=True,
            )
        except BadInput as error:
            id_ = _FORM_FIELDS.get(error.field, "onderwerp")
            wrong = FieldProblem(id_, t("desk.form.bad_form" if id_ == "nummer" else "desk.form.no_kind"))
            return await self._form(visitor, employee, place, [wrong])
        except Refused as error:
            if error.reason not in _ABOUT_THE_FORM:
                raise
            key = "again" if error.reason == "form-again" else "not_this_kind"
            return await self._form(
                visitor, employee, place, [FieldProblem("onderwerp", t(f"desk.form.{key}"))]
            )
        except HubUnreachable:
            return visitor.say(State("not_saved", 503))
        visitor.drawer["letter"] = (place.path, letter)
        return visitor.go(f"{place.path}/brief")

    async def letter(self, visitor: DeskVisitor) -> Response:
        """What was entered, and the letter to print: once, for it is kept nowhere."""
        _, place = await self._place(visitor)
        letter = self._waiting(visitor, "letter", place)
        if not isinstance(letter, Letter):
            return visitor.go(place.path)
        return self._show(
            visitor, "letter.html", place, letter=letter, typed=shown(letter.code), team=readable(letter.team)
        )

    # --- stopping ------------------------------------------------------------------------

    async def stop(self, visitor: DeskVisitor) -> Response:
        employee, place = await self._place(visitor)
        return await self._stop(visitor, employee, place)

    async def _stop(
        self, visitor: DeskVisitor, employee: Employee, place: Place, problems: Sequence[FieldProblem] = ()
    ) -> Response:
        return self._show(
            visitor,
            "stop.html",
            place,
            400 if problems else 200,
            kinds=[kind.code for kind in await self._node.assisted.subjects(employee, place.visit.id)],
            problems=list(problems),
            wrong={problem.id: problem.text for problem in problems},
            team=readable(employee.team),
        )

    async def enter_stop(self, visitor: DeskVisitor) -> Response:
        employee, place = await self._place(visitor)
        t, who, what = visitor.words, visitor.field("wie"), visitor.field("onderwerp")
        if who not in ("team", "iedereen") or not what:
            problem = FieldProblem("wie-team", t("desk.stop.choose"))
            return await self._stop(visitor, employee, place, [problem])
        effect: Literal["deny", "slot"] = "deny" if who == "team" else "slot"
        kind = "" if what == "alles" else what
        text = "\n".join([t("desk.stop.title"), t(f"desk.stop.{effect}", team=employee.team), kind])
        try:
            await self._node.assisted.stop(
                employee, place.visit.id, place.number - 1, effect=effect, kind=kind, text=text
            )
        except BadInput:
            problem = FieldProblem("wie-team", t("desk.stop.choose"))
            return await self._stop(visitor, employee, place, [problem])
        except HubUnreachable:
            return visitor.say(State("not_saved", 503))
        visitor.drawer["said"] = t("desk.stop.done")
        return visitor.go(place.path)
