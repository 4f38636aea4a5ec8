"""What the organisation's own privacy officer sees and does, asked of the hub through this node.

    officer of this organisation -> signed call -> hub: only this organisation's -> proven -> page

Nothing is kept here, and no citizen is in any of it: employees are the ids that
this node gave them, and their names are known at their own login only.

Source: docs/design/officers.md, "The own officer"; screens.md §8, last line.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from index.protocol.codec import b64u
from index.protocol.messages import (
    OfficerActAnswer,
    OfficerActRequest,
    OwnEntriesAnswer,
    OwnEntriesRequest,
    OwnExportAnswer,
    OwnExportRequest,
    OwnForm,
    OwnPattern,
    OwnPatternsAnswer,
    OwnPatternsRequest,
    OwnReplayAnswer,
    OwnReplayRequest,
    OwnWorkAnswer,
    OwnWorkRequest,
)

from .errors import Refused
from .hub import Hub

GONE = frozenset({"unknown-inquiry", "unknown-entry", "no-open-review", "already-settled"})
_MONTHS = 12


@dataclass(frozen=True, slots=True)
class OwnOfficer:
    """A privacy officer of this organisation for the length of a login; `name` is for the page only."""

    id: str
    name: str = field(default="", repr=False)


def officer_id(node_secret: bytes, subject: str) -> str:
    """The officer's id for the log; another one than the same person would have as an employee."""
    return b64u(hmac.digest(node_secret, b"officer/v1" + subject.encode(), "sha256"))[:22]


class Oversight:
    """Asks the hub; every call is an entry of the log."""

    def __init__(self, hub: Hub, *, now: Callable[[], datetime]) -> None:
        self._hub, self.now = hub, now

    async def entries(self, officer: OwnOfficer, wanted: OwnEntriesRequest) -> OwnEntriesAnswer:
        """The organisation's own entries, newest first."""
        return await self._hub.oversee("entries", wanted, OwnEntriesAnswer, officer.id)

    async def patterns(self, officer: OwnOfficer) -> list[OwnPattern]:
        """Questions to ask about the own teams."""
        answer = await self._hub.oversee("patterns", OwnPatternsRequest(), OwnPatternsAnswer, officer.id)
        return answer.patterns

    async def work(self, officer: OwnOfficer) -> OwnWorkAnswer:
        """The sample, the questions and the reviews."""
        return await self._hub.oversee("work", OwnWorkRequest(), OwnWorkAnswer, officer.id)

    async def act(self, officer: OwnOfficer, act: OfficerActRequest) -> bool:
        """Ask, close or judge; False where the hub has no such thing of this organisation.

        Raises:
            HubUnreachable: Nothing was recorded, and nothing changed.
        """
        try:
            await self._hub.oversee("acts", act, OfficerActAnswer, officer.id)
        except Refused as error:
            if error.reason in GONE:
                return False
            raise
        return True

    async def replay(self, officer: OwnOfficer, year: int, index: int) -> OwnReplayAnswer | None:
        """One own look, decided again; None where there is none."""
        try:
            return await self._hub.oversee(
                "replays", OwnReplayRequest(year, index), OwnReplayAnswer, officer.id
            )
        except Refused as error:
            if error.reason in GONE:
                return None
            raise

    async def export(self, officer: OwnOfficer, form: OwnForm, month: str) -> str:
        """One month as a file."""
        answer = await self._hub.oversee(
            "exports", OwnExportRequest(form, month), OwnExportAnswer, officer.id
        )
        return answer.text

    def months(self) -> list[str]:
        """The twelve calendar months before this one, the newest first."""
        found, at = [], self.now()
        for _ in range(_MONTHS):
            at = at.replace(day=1) - timedelta(days=1)
            found.append(f"{at:%Y-%m}")
        return found
