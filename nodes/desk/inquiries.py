"""D14: the privacy officer asks the employee who looked; the answer is one of a list.

Source: screens.md §2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from index.protocol.messages import INQUIRY_ANSWERS
from nodes.errors import BadInput, NotAllowed, UnknownInquiry
from nodes.runtime import NodeRuntime

if TYPE_CHECKING:
    from nodes.desk.pages import Desk, DeskVisitor


class Questions:
    """The list of questions, and the button under each."""

    def __init__(self, desk: Desk, node: NodeRuntime) -> None:
        self._desk, self._node = desk, node

    async def waiting(self, visitor: DeskVisitor) -> Response:
        """What is asked of this employee."""
        from nodes.desk.pages import employee_of

        return visitor.show(
            "desk/inquiries.html",
            names=self._desk.names(visitor),
            asked=await self._node.inquiries.of(employee_of(visitor)),
            answers=INQUIRY_ANSWERS,
            said=str(visitor.drawer.pop("said", "")),
        )

    async def answer(self, visitor: DeskVisitor) -> Response:
        """Send one answer; what is not asked any more is said so."""
        from nodes.desk.pages import employee_of

        id_ = str(visitor.request.path_params["vraag"])
        try:
            await self._node.inquiries.answer(employee_of(visitor), id_, visitor.field("antwoord"))
        except (UnknownInquiry, NotAllowed, BadInput):
            visitor.drawer["said"] = visitor.words("desk.inquiries.gone")
        else:
            visitor.drawer["said"] = visitor.words("desk.inquiries.sent")
        return visitor.go("/vragen")
