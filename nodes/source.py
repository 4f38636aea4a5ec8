"""What the source's pages and `node status` show: the outbox as counts, without persons."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class RejectedView:
    """Something that could not be passed on, by local reference or line number, with the reason."""

    id: int
    local_ref: str
    line: int | None
    field: str
    code: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Overview:
    """The state of the source now. `waiting` counts messages' items not yet acknowledged."""

    waiting: int
    waiting_for_holders: int
    oldest_waiting: datetime | None
    live: int
    published_today: int
    retracted_today: int
    expiring_soon: int
    rejected: int
    last_sent: datetime | None
    last_confirmed: datetime | None
    hub_reachable: bool
    holders_reachable: bool
    alarm: str
    """Empty, or the id of a key holder whose proof was wrong."""


@dataclass(frozen=True, slots=True)
class OwnKind:
    """A kind this source may publish, with its neutral name and law."""

    kind: str
    label: str
    act: str
    name: str
    desk: str


class SourceDesk:
    """Read side of the outbox for people."""

    async def overview(self) -> Overview:
        """Counts and reachability as of now."""
        raise NotImplementedError

    async def rejected(self, limit: int = 100) -> list[RejectedView]:
        """What was rejected, newest first."""
        raise NotImplementedError

    async def dismiss(self, rejected_id: int) -> None:
        """Take a line off the rejected list, after it was repaired at the source."""
        raise NotImplementedError

    def kinds(self) -> list[OwnKind]:
        """Kinds registered for this organisation."""
        raise NotImplementedError
