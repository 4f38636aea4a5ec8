"""Tickets: one size, for one node, and not a bit can be changed."""

import secrets

import pytest

from index.errors import TicketRefused
from index.protocol.codec import SCOPES
from index.rows import SearchKeys
from index.tickets import TICKET_SIZE, Ticket, Tickets


def a_ticket(scopes: tuple[str, ...] = ("geld", "jeugd")) -> Ticket:
    keys = {
        scope: (1, SearchKeys(*(secrets.token_bytes(32) for _ in range(3)), secrets.token_bytes(16)))
        for scope in scopes
    }
    return Ticket(2, 1, 1, 1, 2, b"c" * 16, 1_790_000_000, 1_791_000_000, keys)


@pytest.mark.parametrize("scopes", [(), ("geld",), SCOPES])
def test_a_ticket_has_one_size_and_gives_back_what_went_in(scopes: tuple[str, ...]) -> None:
    tickets, ticket = Tickets(b"k" * 32), a_ticket(scopes)
    sealed = tickets.seal("wijkteam", ticket)
    assert len(sealed) == TICKET_SIZE == 813
    assert tickets.open("wijkteam", sealed) == ticket


def test_a_ticket_of_another_node_does_not_open() -> None:
    tickets = Tickets(b"k" * 32)
    with pytest.raises(TicketRefused):
        tickets.open("wijkteam-twee", tickets.seal("wijkteam", a_ticket()))


def test_no_ticket_opens_after_its_key_was_replaced() -> None:
    with pytest.raises(TicketRefused):
        Tickets(b"l" * 32).open("wijkteam", Tickets(b"k" * 32).seal("wijkteam", a_ticket()))


def test_a_ticket_with_any_one_byte_changed_does_not_open() -> None:
    tickets = Tickets(b"k" * 32)
    sealed = tickets.seal("wijkteam", a_ticket())
    for at in range(TICKET_SIZE):
        changed = bytearray(sealed)
        changed[at] ^= 1
        with pytest.raises(TicketRefused):
            tickets.open("wijkteam", bytes(changed))


def test_a_ticket_shows_no_search_key() -> None:
    ticket = a_ticket()
    assert not any(repr(key) in repr(ticket) for _, keys in ticket.scopes.values() for key in keys)
