"""What the privacy officer asks this node's employees about their own looks, and their answer: a code.

    hub: what is asked of this node -> those of this employee, with the own case number where known
    -> a code as answer, signed with this employee's id

Nothing is kept here: what is open is asked each time.

Source: docs/design/officers.md; screens.md D14.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from index.protocol.messages import INQUIRY_ANSWERS, Inquiry, InquiryReply

from .employees import Employee
from .errors import BadInput, NotAllowed, Refused, UnknownInquiry
from .hub import Hub
from .visits import Visits

GONE = frozenset({"unknown-inquiry", "already-settled"})


@dataclass(frozen=True, slots=True)
class InquiryView:
    """One question to the employee who looked. `case`: the own case number, empty once the visit is over."""

    id: str
    at: datetime
    due: datetime
    purpose: str
    why: str
    case: str = field(repr=False)


class Inquiries:
    """Asks the hub for what is open, and brings an answer."""

    def __init__(self, hub: Hub, visits: Visits) -> None:
        self._hub, self._visits = hub, visits

    async def of(self, employee: Employee) -> list[InquiryView]:
        """What is asked of this employee, the soonest due first.

        Raises:
            HubUnreachable, Refused, ReceiptInvalid: Nothing can be said now.
        """
        asked = await self._hub.inquiries()
        mine = [one for one in asked if one.actor == employee.id]
        cases = await self._cases(employee, mine)
        return [
            InquiryView(
                one.id,
                datetime.fromisoformat(one.at),
                datetime.fromisoformat(one.due),
                one.purpose,
                one.why,
                cases.get(one.case, ""),
            )
            for one in mine
        ]

    async def answer(self, employee: Employee, id_: str, answer: str) -> None:
        """Answer one question.

        Raises:
            BadInput: Not a code of the list.
            UnknownInquiry: It is not asked (any more).
            NotAllowed: Another employee looked.
            HubUnreachable: Nothing was recorded; try again.
        """
        code = next((one for one in INQUIRY_ANSWERS if one == answer), None)
        if code is None:
            raise BadInput("answer", "answer", "Choose one of the answers of the list.")
        try:
            await self._hub.answer_inquiry(InquiryReply(id_, code), employee.id)
        except Refused as error:
            if error.reason in GONE:
                raise UnknownInquiry from None
            if error.reason == "other-employee":
                raise NotAllowed("other-employee") from None
            raise

    async def _cases(self, employee: Employee, asked: Sequence[Inquiry]) -> dict[str, str]:
        """The tag of each open visit's case, with its number."""
        found = {}
        for visit in await self._visits.of(employee) if asked else ():
            tag = self._visits.asking(employee, visit.purpose, visit.case_reference).case
            found[tag] = visit.case_reference
        return found
