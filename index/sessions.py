"""Who a citizen's session speaks for, and what its choices and rights have in common.

A ticket names the person, and points prove that what is to be written is about
the same one: a ledger of somebody else cannot be reached with it.

Source: docs/design/policy-and-consent.md, "Choices".
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from index.errors import PointsRefused, TicketRefused
from index.gate import Caller
from index.protocol.codec import EncodingError, unb64u
from index.relations import CITIZEN, fits, open_ticket
from index.tickets import Ticket

if TYPE_CHECKING:
    from index.hub import Hub

SAY = {"mentor": ("zorg", "jeugd"), "bewindvoerder": ("geld",)}
"""The scopes that a measure is about; curatele and machtiging may concern all."""


# --- whose choice -------------------------------------------------------------------


def open_session(hub: Hub, caller: Caller, text: str) -> Ticket:
    """The ticket of a citizen's session of this portal; whether it still holds is asked in the transaction.

    Raises:
        TicketRefused: Of another node, role or class, of a key that is not active, or no ticket.
    """
    ticket = open_ticket(hub, caller, text)
    if not ticket.scopes or not fits(hub, caller, ticket, CITIZEN):
        raise TicketRefused
    return ticket


def same_person(hub: Hub, ticket: Ticket, scopes: Sequence[str], points: Sequence[bytes]) -> None:
    """Refuse points that are not of the ticket's person: they would be written under somebody else.

    Raises:
        PointsRefused: A point gives other keys than the ticket has.
    """
    for scope, n in zip(scopes, points, strict=True):
        if scope not in ticket.scopes:
            raise PointsRefused
        _, keys = ticket.scopes[scope]
        if not hmac.compare_digest(b"".join(keys), b"".join(hub.rows.keys_of(scope, n))):
            raise PointsRefused


def instant_of(text: str) -> datetime | None:
    """A moment of a body; None for one that no calendar has."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return None


def bytes16(text: str) -> bytes:
    """A group's 16 bytes; empty for anything else."""
    try:
        return unb64u(text, 16)
    except EncodingError:
        return b""
