"""P6: declare something about oneself, and take it back. Nobody sees it without a yes.

Source: screens.md P6; design.md §6.
"""

from fastapi import APIRouter
from starlette.responses import Response

from consent.pages import State
from nodes.declarations import PERIODS
from nodes.errors import BadInput
from nodes.pages import NodePages
from nodes.runtime import NodeRuntime

from .pages import Portal, PortalVisitor, is_citizen, session_of


def router(pages: NodePages, node: NodeRuntime) -> APIRouter:
    """The page of the closed list, and its two buttons."""
    declare = _Declare(node)
    routes = APIRouter()
    pages.add(routes, "/mijn/melden", declare.overview, who=is_citizen)
    pages.add(routes, "/mijn/melden", declare.declare, who=is_citizen, methods=("POST",))
    pages.add(routes, "/mijn/melden/weg", declare.take_back, who=is_citizen, methods=("POST",))
    return routes


class _Declare(Portal):
    """The handlers; each is one screen or one button."""

    async def overview(self, visitor: PortalVisitor) -> Response:
        """The list, as it stands for who is logged in."""
        return await self._overview(visitor)

    async def _overview(self, visitor: PortalVisitor, *, wrong: bool = False) -> Response:
        session, here = session_of(visitor), self.node.declarations
        return self.show(
            visitor,
            "declare.html",
            400 if wrong else 200,
            declared=await here.of(session),
            periods=[(months, here.last_month(session, months)) for months in PERIODS],
            wrong=wrong,
            said=str(visitor.drawer.pop("said", "")),
        )

    async def declare(self, visitor: PortalVisitor) -> Response:
        kind, months = visitor.field("onderwerp"), visitor.field("maanden")
        period = next((period for period in PERIODS if str(period) == months), None)
        if not kind or period is None:
            return await self._overview(visitor, wrong=True)
        try:
            found = await self.node.declarations.declare(session_of(visitor), kind, period)
        except BadInput:
            return await self._overview(visitor, wrong=True)
        waits = found.state != "declared"
        visitor.drawer["said"] = visitor.words(f"portal.declare.{'waits' if waits else 'saved'}")
        return visitor.go("/mijn/melden")

    async def take_back(self, visitor: PortalVisitor) -> Response:
        try:
            found = await self.node.declarations.take_back(session_of(visitor), visitor.field("onderwerp"))
        except BadInput:
            return visitor.say(State("form", 400))
        waits = found.state != "none"
        visitor.drawer["said"] = visitor.words(f"portal.declare.{'waits' if waits else 'gone'}")
        return visitor.go("/mijn/melden")
