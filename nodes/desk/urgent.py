"""Looking in danger, and the colleague who says whether that was right.

    is there danger now (D9) -> declared -> the subjects at once, in a visit of some hours
    to confirm (D13): who, when and why, and no person -> yes, or report

No answer is filled in beforehand, and nothing typed is shown again.

Source: screens.md §2, D9 and D13, and §6.
"""

import secrets
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from starlette.datastructures import FormData
from starlette.responses import Response

from nodes.bsn import Bsn
from nodes.runtime import NodeRuntime

from .pages import Desk, DeskVisitor, Draft, FieldProblem, employee_of

_QUESTIONS = ("reden", "gevaar", "zelf")


class Urgent:
    """The handlers; each is one screen or one button."""

    def __init__(self, desk: Desk, node: NodeRuntime) -> None:
        self._desk = desk
        self._node = node

    async def form(self, visitor: DeskVisitor) -> Response:
        """D9, empty but for answers that were given before a login ended."""
        return self._form(visitor, kept=visitor.kept())

    def keep(self, form: FormData) -> dict[str, str]:
        """The answers that were chosen; never the number."""
        return {question: str(form.get(question, "")) for question in _QUESTIONS}

    def _form(
        self,
        visitor: DeskVisitor,
        problems: Sequence[FieldProblem] = (),
        *,
        draft: str = "",
        known: Bsn | None = None,
        kept: Mapping[str, str] = MappingProxyType({}),
    ) -> Response:
        vocabulary, names = self._node.vocabulary, self._desk.names(visitor)
        return visitor.show(
            "desk/urgent.html",
            400 if problems else 200,
            problems=list(problems),
            wrong={problem.id: problem.text for problem in problems},
            draft=draft,
            filled=[known is not None],
            chosen={question: kept.get(question, "") or visitor.field(question) for question in _QUESTIONS},
            reasons=[(one.code, names.crisis_reason(one.code)) for one in vocabulary.crisis.reason],
            at_risk=[(one.code, names.at_risk(one.code)) for one in vocabulary.crisis.at_risk],
            hours=self._node.crises.second_person_hours(employee_of(visitor)),
            days=vocabulary.limits.break_glass_review_working_days,
            lasts=vocabulary.limits.break_glass_relation_hours,
        )

    async def declare(self, visitor: DeskVisitor) -> Response:
        """The button of D9: declare, and look at the subjects at once."""
        numbers, problems = self._desk.numbers(visitor)
        problems += self._unanswered(visitor)
        person = numbers[0]
        if problems or person is None:
            token = secrets.token_urlsafe(12)
            visitor.drawer["draft"] = (token, Draft((person, *numbers[1:])))
            return self._form(visitor, problems, draft=token, known=person)
        made = await self._node.crises.declare(
            employee_of(visitor),
            [person],
            visitor.field("reden"),
            visitor.field("gevaar"),
            visitor.field("zelf") == "nee",
        )
        visitor.drawer.pop("draft", None)
        return await self._desk.asked(visitor, made.visit, "subjects")

    def _unanswered(self, visitor: DeskVisitor) -> list[FieldProblem]:
        crisis = self._node.vocabulary.crisis
        answers = {
            "reden": {one.code for one in crisis.reason},
            "gevaar": {one.code for one in crisis.at_risk},
            "zelf": {"ja", "nee"},
        }
        return [
            FieldProblem(question, visitor.words(f"desk.urgent.choose_{question}"))
            for question in _QUESTIONS
            if visitor.field(question) not in answers[question]
        ]

    async def waiting(self, visitor: DeskVisitor) -> Response:
        """D13."""
        return visitor.show(
            "desk/confirm.html",
            names=self._desk.names(visitor),
            crises=await self._node.crises.to_confirm(employee_of(visitor)),
            said=str(visitor.drawer.pop("said", "")),
        )

    async def confirm(self, visitor: DeskVisitor) -> Response:
        """A button of D13; anything but the two words goes back to the list."""
        word, id_ = visitor.field("woord"), str(visitor.request.path_params["crisis"])
        if word == "confirmed":
            await self._node.crises.confirm(employee_of(visitor), id_, "confirmed")
        elif word == "reported":
            await self._node.crises.confirm(employee_of(visitor), id_, "reported")
        else:
            return visitor.go("/spoed")
        visitor.drawer["said"] = visitor.words(f"desk.confirm.{word}")
        return visitor.go("/spoed")
