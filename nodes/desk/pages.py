"""Looking before or during a visit: why, who, whether something is known, and only then what.

    why (D1) -> number and case (D2) -> something or nothing (D3) -> subjects (D4), a question of its own
                                                     one block for each person (D5) -> done (D7)

The policy in force says how a team works: a list after D3, or the life domains of the ZRM at once; and for
which purposes nothing is asked before employee and citizen sit at one table. Each look is recorded alike.

A form asks and answers with a redirect; the answer waits in the login session,
never longer than it may stand on the screen. So Back, reload and the language
switch ask nothing, and each new question is a button that says it is recorded.

Source: screens.md §2; design.md §7.
"""

import contextlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from fastapi import APIRouter
from starlette.datastructures import FormData
from starlette.responses import Response

from consent.pages import State, Visitor
from consent.pages.names import Names
from consent.pages.pages import Door, NotForYou
from nodes.bsn import BadBsn, Bsn
from nodes.employees import Employee
from nodes.errors import BadInput, BadItems, HubUnreachable, UnknownVisit
from nodes.pages import REASONS, Guest, NodePages
from nodes.runtime import NodeRuntime
from nodes.visits import PersonView, Visit
from policy.decide import CRISIS
from policy.vocabulary import Way

MOST_PERSONS = 8
MOST_ANSWERS = 20
Detail = Literal["presence", "subjects"]
DeskVisitor = Visitor[Guest]


@dataclass(frozen=True, slots=True)
class Answer:
    """What stands on the screen for one visit, and since when (monotonic seconds)."""

    visit: Visit
    detail: Detail
    persons: list[PersonView] = field(repr=False)
    shown_since: float
    way: Way

    @property
    def together(self) -> bool:
        """Read across a table, by the citizen too."""
        return self.visit.purpose in self.way.together


@dataclass(frozen=True, slots=True)
class Draft:
    """Numbers that were typed rightly beside one that was not, so that nobody types them twice."""

    numbers: tuple[Bsn | None, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """A field that is wrong, by its id on the page, and the sentence about it."""

    id: str
    text: str


def router(pages: NodePages, node: NodeRuntime) -> APIRouter:
    """The pages of the desk, for employees whose role has a purpose to look for."""
    from nodes.desk.inquiries import Questions
    from nodes.desk.sheet import add_sheet
    from nodes.desk.signal_pages import add_routes
    from nodes.desk.urgent import Urgent

    desk = Desk(node, pages.settings.blank_minutes * 60)
    routes = APIRouter()
    may = may_look
    pages.doors.append(Door("/kijken", "desk.nav", may))
    pages.doors.append(Door("/bezoeken", "desk.nav_visits", may))
    pages.doors.append(Door("/wijzigingen", "desk.nav_signals", may))
    may_declare = _may_declare(node)
    urgent = Urgent(desk, node)
    pages.doors.append(Door("/spoed", "desk.nav_confirm", may_declare))
    questions = Questions(desk, node)
    pages.doors.append(Door("/vragen", "desk.nav_inquiries", may))
    pages.doors.append(Door("/mijn-functie", "desk.nav_role", may))
    pages.add(routes, "/kijken", desk.why, who=may)
    pages.add(routes, "/kijken/wie", desk.who, who=may)
    pages.add(routes, "/kijken/wie", desk.ask, who=may, methods=("POST",), keep=desk.keep)
    pages.add(routes, "/kijken/spoed", urgent.form, who=may_declare)
    pages.add(routes, "/kijken/spoed", urgent.declare, who=may_declare, methods=("POST",), keep=urgent.keep)
    pages.add(routes, "/spoed", urgent.waiting, who=may_declare)
    pages.add(routes, "/spoed/{crisis}", urgent.confirm, who=may_declare, methods=("POST",))
    pages.add(routes, "/vragen", questions.waiting, who=may)
    pages.add(routes, "/vragen/{vraag}", questions.answer, who=may, methods=("POST",))
    pages.add(routes, "/kijken/klaar", desk.done, who=may)
    pages.add(routes, "/koppeling/{link}", desk.linked, who=may)
    pages.add(routes, "/bezoeken", desk.visits, who=may)
    pages.add(routes, "/bezoeken/{visit}", desk.answer, who=may)
    pages.add(routes, "/bezoeken/{visit}/samen", desk.together, who=may)
    pages.add(routes, "/bezoeken/{visit}/bekijken", desk.look, who=may, methods=("POST",))
    pages.add(routes, "/bezoeken/{visit}/onderwerpen", desk.subjects, who=may, methods=("POST",))
    pages.add(routes, "/bezoeken/{visit}/klaar", desk.finish, who=may, methods=("POST",))
    pages.add(routes, "/bezoeken/{visit}/sluiten", desk.close, who=may, methods=("POST",))
    pages.add(routes, "/bezoeken/{visit}/verlengen", desk.renew, who=may, methods=("POST",))
    pages.add(routes, "/mijn-functie", desk.role, who=may)
    add_routes(pages, routes, desk, node)
    add_sheet(pages, routes, node)
    return routes


def may_look(guest: Guest) -> bool:
    """Whether somebody is here as an employee."""
    return guest.employee is not None


def _may_declare(node: NodeRuntime) -> Callable[[Guest], bool]:
    return lambda guest: guest.employee is not None and node.crises.may_declare(guest.employee.role)


def employee_of(visitor: DeskVisitor) -> Employee:
    """The employee who is logged in.

    Raises:
        NotForYou: Somebody else is.
    """
    if visitor.person.employee is None:
        raise NotForYou
    return visitor.person.employee


class Desk:
    """The handlers; each is one screen or one button."""

    def __init__(self, node: NodeRuntime, blank_after: float) -> None:
        self._node = node
        self._blank_after = blank_after

    def names(self, visitor: DeskVisitor) -> Names:
        return Names(self._node.vocabulary, visitor.words.language)

    def _purposes(self, visitor: DeskVisitor) -> tuple[str, ...]:
        """Those of a visit: urgent looking is none."""
        role = self._node.vocabulary.role(employee_of(visitor).role)
        return tuple(code for code in role.purposes if code != CRISIS)

    async def why(self, visitor: DeskVisitor) -> Response:
        """D1. The purposes of this role, no default."""
        return visitor.show(
            "desk/why.html",
            names=self.names(visitor),
            purposes=self._purposes(visitor),
            # A screen of its own; the button follows from the role, and looking may give nothing.
            urgent=self._node.crises.may_declare(employee_of(visitor).role),
        )

    async def who(self, visitor: DeskVisitor) -> Response:
        """D2, empty."""
        purpose = visitor.request.query_params.get("doel", "")
        if purpose not in self._purposes(visitor):
            return visitor.go("/kijken")
        return self._who(visitor, purpose, case=visitor.kept().get("zaak", ""))

    def keep(self, form: FormData) -> dict[str, str]:
        """The case number, if no person's number stands in it: all that is kept when a login is over."""
        case = form.get("zaak")
        return {"zaak": case.strip()} if isinstance(case, str) and not _holds_number(case) else {}

    def _who(
        self,
        visitor: DeskVisitor,
        purpose: str,
        problems: Sequence[FieldProblem] = (),
        *,
        draft: str = "",
        known: Sequence[Bsn | None] = (None,) * MOST_PERSONS,
        case: str = "",
    ) -> Response:
        return visitor.show(
            "desk/who.html",
            400 if problems else 200,
            names=self.names(visitor),
            purpose=purpose,
            problems=list(problems),
            wrong={problem.id: problem.text for problem in problems},
            draft=draft,
            filled=[number is not None for number in known],
            case=case,
            most=MOST_PERSONS,
        )

    async def ask(self, visitor: DeskVisitor) -> Response:
        """The form of D2: open the visit, ask whether something is known."""
        employee, purpose = employee_of(visitor), visitor.field("doel")
        if purpose not in self._purposes(visitor):
            return visitor.go("/kijken")
        case = visitor.field("zaak")
        numbers, problems = self.numbers(visitor)
        if not case:
            problems.append(FieldProblem("zaak", visitor.words("desk.who.wrong_case")))
        elif _holds_number(case):
            problems.append(FieldProblem("zaak", visitor.words("desk.who.bad_case")))
            case = ""
        if not problems:
            try:
                persons = [number for number in numbers if number is not None]
                visit = await self._node.visits.open(employee, persons, purpose, case)
            except (BadInput, BadItems) as error:
                if _fields(error) - {"case", "caseReference", "case_reference"}:
                    raise
                problems.append(FieldProblem("zaak", visitor.words("desk.who.bad_case")))
            else:
                visitor.drawer.pop("draft", None)
                return await self._first(visitor, visit, anew=True)
        token = secrets.token_urlsafe(12)
        visitor.drawer["draft"] = (token, Draft(tuple(numbers)))
        return self._who(visitor, purpose, problems, draft=token, known=numbers, case=case)

    def numbers(self, visitor: DeskVisitor) -> tuple[list[Bsn | None], list[FieldProblem]]:
        """The typed numbers by place, those of the draft included, and what is wrong with the others."""
        kept = visitor.drawer.get("draft")
        same = isinstance(kept, tuple) and kept[0] == visitor.field("concept") and bool(kept[0])
        known = kept[1].numbers if isinstance(kept, tuple) and same else (None,) * MOST_PERSONS
        numbers: list[Bsn | None] = []
        problems: list[FieldProblem] = []
        for place in range(MOST_PERSONS):
            id_ = f"nummer-{place + 1}"
            number = known[place]
            if visitor.field(id_):
                try:
                    number = Bsn.parse(visitor.field(id_))
                except BadBsn:
                    number = None
                    problems.append(FieldProblem(id_, visitor.words("desk.who.wrong_number")))
                if number is not None and number in numbers:
                    number = None
                    problems.append(FieldProblem(id_, visitor.words("desk.who.double")))
            numbers.append(number)
        if not problems and not any(number is not None for number in numbers):
            problems.append(FieldProblem("nummer-1", visitor.words("desk.who.no_number")))
        return numbers, problems

    async def _first(self, visitor: DeskVisitor, visit: Visit, *, anew: bool = False) -> Response:
        """What the team's way of working begins a look with."""
        way = await self._node.visits.way(employee_of(visitor), anew=anew)
        if visit.purpose in way.together:
            return visitor.go(f"/bezoeken/{visit.id}/samen")
        return await self.asked(visitor, visit, "subjects" if way.view == "zrm" else "presence")

    async def together(self, visitor: DeskVisitor) -> Response:
        """Before a look at the table: nothing was asked yet."""
        visit = await self._visit(visitor)
        return visitor.show("desk/together.html", names=self.names(visitor), visit=visit)

    async def asked(self, visitor: DeskVisitor, visit: Visit, detail: Detail) -> Response:
        """Ask one recorded question and go to its answer."""
        way = await self._node.visits.way(employee_of(visitor))
        persons = await self._node.visits.look(employee_of(visitor), visit.id, None, detail)
        answers = _answers(visitor)
        answers[visit.id] = Answer(visit, detail, persons, visitor.pages.clock(), way)
        while len(answers) > MOST_ANSWERS:
            answers.pop(next(iter(answers)))
        return visitor.go(f"/bezoeken/{visit.id}")

    async def answer(self, visitor: DeskVisitor) -> Response:
        """D3, D4 and D5: the answer that was given, as long as it may stand on the screen."""
        from nodes.desk.signal_pages import asked_about

        id_ = str(visitor.request.path_params["visit"])
        if id_ not in _answers(visitor):
            return visitor.go("/kijken")
        answer = self.standing(visitor, id_)
        if answer is None:
            return visitor.go("/leeg")
        return visitor.show(
            "desk/answer.html",
            blank=True,
            names=self.names(visitor),
            answer=answer,
            at=max(person.at for person in answer.persons),
            silent=sorted({name for person in answer.persons for name in person.silent}),
            reason=_reason,
            asked=await asked_about(self._node, answer),
            combined=self._node.signals.combined(answer.persons),
            said=str(visitor.drawer.pop("said", "")),
        )

    def standing(self, visitor: DeskVisitor, visit_id: str) -> Answer | None:
        """The answer of a visit, while it may stand on the screen."""
        answers = _answers(visitor)
        answer = answers.get(visit_id)
        if answer is not None and visitor.pages.clock() - answer.shown_since > self._blank_after:
            answers.pop(visit_id)
            return None
        return answer

    async def look(self, visitor: DeskVisitor) -> Response:
        """Look again, as the team's way of working begins."""
        return await self._first(visitor, await self._visit(visitor))

    async def subjects(self, visitor: DeskVisitor) -> Response:
        """D4: the subjects, a recorded question of its own."""
        return await self.asked(visitor, await self._visit(visitor), "subjects")

    async def _visit(self, visitor: DeskVisitor) -> Visit:
        """The employee's own open visit that the address names.

        Raises:
            UnknownVisit: Closed, ended, or somebody else's.
        """
        id_ = visitor.request.path_params["visit"]
        for visit in await self._node.visits.of(employee_of(visitor)):
            if visit.id == id_:
                return visit
        raise UnknownVisit

    async def finish(self, visitor: DeskVisitor) -> Response:
        """The button of D7: end the visit and leave nothing for the Back button."""
        id_ = str(visitor.request.path_params["visit"])
        _answers(visitor).pop(id_, None)
        try:
            # Closed in another window, or over: what was asked for holds.
            with contextlib.suppress(UnknownVisit):
                await self._node.visits.close(employee_of(visitor), id_)
        except HubUnreachable:
            return visitor.pages.new_id(visitor, visitor.say(State("not_closed", 503)))
        return visitor.pages.new_id(visitor, visitor.go("/kijken/klaar"))

    async def done(self, visitor: DeskVisitor) -> Response:
        """D7."""
        return visitor.show("desk/done.html")

    async def visits(self, visitor: DeskVisitor) -> Response:
        """D8: own open visits."""
        visits = await self._node.visits.of(employee_of(visitor))
        return visitor.show(
            "desk/visits.html",
            names=self.names(visitor),
            visits=visits,
            followed=await self._node.signals.followed([visit.id for visit in visits]),
            news=await self._node.signals.news(employee_of(visitor)),
            said=str(visitor.drawer.pop("said", "")),
        )

    async def linked(self, visitor: DeskVisitor) -> Response:
        """The visit behind a one-time link of the organisation's own system; looking is a button.

        Raises:
            UnknownVisit: The link is used, over, or for somebody else.
        """
        employee, link = employee_of(visitor), str(visitor.request.path_params["link"])
        id_ = self._node.links.redeem(employee, link)
        visits = [visit for visit in await self._node.visits.of(employee) if visit.id == id_]
        if not visits:
            raise UnknownVisit
        followed = await self._node.signals.followed([visit.id for visit in visits])
        news = await self._node.signals.news(employee)
        return visitor.show(
            "desk/visits.html",
            names=self.names(visitor),
            visits=visits,
            followed=followed,
            news=news,
            said="",
        )

    async def close(self, visitor: DeskVisitor) -> Response:
        id_ = str(visitor.request.path_params["visit"])
        _answers(visitor).pop(id_, None)
        await self._node.visits.close(employee_of(visitor), id_)
        visitor.drawer["said"] = visitor.words("desk.visits.closed")
        return visitor.go("/bezoeken")

    async def renew(self, visitor: DeskVisitor) -> Response:
        id_ = str(visitor.request.path_params["visit"])
        visit = await self._node.visits.renew(employee_of(visitor), id_)
        visitor.drawer["said"] = visitor.words("desk.visits.renewed", date=visitor.words.day(visit.until))
        return visitor.go("/bezoeken")

    async def role(self, visitor: DeskVisitor) -> Response:
        """D12: what this role may see, and on which ground, from the active rules and mandates."""
        vocabulary = self._node.vocabulary
        role = vocabulary.role(employee_of(visitor).role)
        kinds = [kind for kind in vocabulary.kinds if kind.enabled]
        by_law = set(role.wettelijke_taak) | set(role.wettelijke_plicht)
        mandates = await self._node.visits.mandates() if role.mandate else ()
        serves = {kind.code: [p for p in kind.purposes if p in role.purposes] for kind in kinds}
        return visitor.show(
            "desk/role.html",
            names=self.names(visitor),
            role=role,
            by_law=[kind for kind in kinds if kind.code in by_law and serves[kind.code]],
            by_consent=[
                kind
                for kind in kinds
                if kind.code in role.toestemming and kind.code not in by_law and serves[kind.code]
            ],
            serves=serves,
            decided=[
                (one.decision, datetime.fromtimestamp(one.begin, UTC), under)
                for one in mandates
                if (under := [kind for kind in kinds if kind.code in vocabulary.kinds_under([one.act])])
            ],
        )


def _answers(visitor: DeskVisitor) -> dict[str, Answer]:
    answers = visitor.drawer.setdefault("answers", {})
    if not isinstance(answers, dict):
        raise TypeError("answers")
    return answers


def _reason(code: str) -> str:
    return f"reason.{REASONS.get(code, 'other')}"


def _fields(error: BadInput | BadItems) -> set[str]:
    return {error.field} if isinstance(error, BadInput) else {wrong.field for wrong in error.errors}


def _holds_number(case: str) -> bool:
    """Whether nine digits in a case number could be a person: such a number would reach the log."""
    digits = "".join(character for character in case if character.isdigit())
    for start in range(max(0, len(digits) - 8)):
        try:
            Bsn.parse(digits[start : start + 9])
        except BadBsn:
            continue
        return True
    return False
