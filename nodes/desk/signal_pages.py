"""D10: what is new for open visits; the button of D8 that follows one; and D6, asking for contact.

    follow -> told, without a subject -> look again (recorded) -> taken up -> closed

Source: screens.md §2.
"""

from datetime import datetime

from fastapi import APIRouter
from starlette.responses import Response

from nodes.desk.pages import Answer, Desk, DeskVisitor, employee_of, may_look
from nodes.errors import BadInput, UnknownVisit
from nodes.follow_up import CHOSEN
from nodes.pages import NodePages
from nodes.runtime import NodeRuntime
from nodes.visits import FlagView

Asked = dict[tuple[int, FlagView], datetime]


def add_routes(pages: NodePages, routes: APIRouter, desk: Desk, node: NodeRuntime) -> None:
    """These pages beside those of the desk."""
    own = SignalPages(desk, node)
    pages.add(routes, "/wijzigingen", own.changes, who=may_look)
    pages.add(routes, "/wijzigingen/{visit}", own.choose, who=may_look, methods=("POST",))
    pages.add(routes, "/bezoeken/{visit}/volgen", own.follow, who=may_look, methods=("POST",))
    pages.add(routes, "/bezoeken/{visit}/contact", own.contact, who=may_look, methods=("POST",))


async def asked_about(node: NodeRuntime, answer: Answer) -> Asked:
    """When contact was asked about the flags of an answer."""
    flags = [(place, flag) for place, person in enumerate(answer.persons) for flag in person.flags]
    return await node.contacts.sent(answer.visit.id, flags) if flags else {}


class SignalPages:
    """The handlers; each is one screen or one button."""

    def __init__(self, desk: Desk, node: NodeRuntime) -> None:
        self._desk, self._node = desk, node

    async def changes(self, visitor: DeskVisitor) -> Response:
        """D10."""
        views = await self._node.signals.items(employee_of(visitor))
        return visitor.show(
            "desk/changes.html",
            mine=[view for view in views if view.item.mine],
            team=[view for view in views if not view.item.mine],
            said=str(visitor.drawer.pop("said", "")),
        )

    async def choose(self, visitor: DeskVisitor) -> Response:
        """Take up, take over or close; what a colleague did first is said so."""
        visit, wanted = str(visitor.request.path_params["visit"]), visitor.field("stand")
        said = "gone"
        state = next((one for one in CHOSEN if one == wanted), None)
        if state is not None:
            try:
                await self._node.signals.choose(employee_of(visitor), visit, state)
                said = f"said_{state}"
            except UnknownVisit:
                said = "gone"
        visitor.drawer["said"] = visitor.words(f"desk.signals.{said}")
        return visitor.go("/wijzigingen")

    async def follow(self, visitor: DeskVisitor) -> Response:
        """Follow a visit, or no longer."""
        wanted = visitor.field("volgen") == "ja"
        visit = str(visitor.request.path_params["visit"])
        await self._node.signals.follow(employee_of(visitor), visit, wanted=wanted)
        said = "said_follow" if wanted else "said_unfollow"
        visitor.drawer["said"] = visitor.words(f"desk.signals.{said}")
        return visitor.go("/bezoeken")

    async def contact(self, visitor: DeskVisitor) -> Response:
        """D6: ask the source of a flag that stands on the screen."""
        visit = str(visitor.request.path_params["visit"])
        answer = self._desk.standing(visitor, visit)
        if answer is None:
            return visitor.go("/leeg")
        found = _flag_of(answer, visitor.field("melding"))
        if found is None:
            return visitor.go(f"/bezoeken/{visit}")
        try:
            await self._node.contacts.ask(employee_of(visitor), visit, *found)
        except BadInput:
            visitor.drawer["said"] = visitor.words("desk.contact.gone")
        return visitor.go(f"/bezoeken/{visit}")


def _flag_of(answer: Answer, named: str) -> tuple[int, FlagView] | None:
    """Place and flag that a button names as `person-flag`, both counted from 0."""
    place, _, number = named.partition("-")
    if not all(part.isascii() and part.isdigit() and len(part) < 4 for part in (place, number)):
        return None
    if int(place) >= len(answer.persons) or int(number) >= len(answer.persons[int(place)].flags):
        return None
    return int(place), answer.persons[int(place)].flags[int(number)]
