"""Tickets: what the hub computed from `N`, sealed to itself for one node.

A ticket is 813 bytes whatever is in it. It is worthless without the signing
key of its node, and each use reads the relation again, so it grants nothing
by itself; it saves the node from keeping `N` and the hub from being given it.

Source: docs/design/pseudonyms.md, "Receipts, points, tickets, quotas".
"""

import secrets
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from nacl.exceptions import CryptoError

from index.aead import open_box, seal_box
from index.errors import TicketRefused
from index.keystore import ticket_key_id
from index.protocol.codec import SCOPES, lp, scope_mask, u32
from index.rows import SearchKeys

TICKET_SIZE = 813
_VERSION = b"\x01"
_HEAD = struct.Struct(">IIHHB16sQQB")
_SCOPE = struct.Struct(">H32s32s32s16s")
_MARK = struct.Struct(">I")
"""In what was filling before: 0 in tickets of earlier versions."""
_PLAIN = 768


@dataclass(frozen=True, slots=True)
class Ticket:
    """One person in one visit. Numbers are those of directory and vocabulary, times Unix seconds.

    `scopes` has, per opened scope, the number of the key's `kid` and what was
    computed under it. `mark` tells visits apart that one case opened in one second.
    """

    node: int
    team: int
    role: int
    purpose: int
    class_number: int
    case_tag: bytes
    opened: int
    until: int
    scopes: Mapping[str, tuple[int, SearchKeys]] = field(repr=False)
    mark: int = 0

    @property
    def lids(self) -> tuple[bytes, ...]:
        """Log ids of the opened scopes, in scope order."""
        return tuple(keys.lid for _, keys in self.scopes.values())


class Tickets:
    """Seals and opens tickets under `K_ticket`; replacing that key voids all of them."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._id = ticket_key_id(key)

    def seal(self, node_id: str, ticket: Ticket) -> bytes:
        """The 813 bytes for one node. Sealing twice gives different bytes."""
        plain = _HEAD.pack(
            ticket.node, ticket.team, ticket.role, ticket.purpose, ticket.class_number,
            ticket.case_tag, ticket.opened, ticket.until, scope_mask(tuple(ticket.scopes)),
        )  # fmt: skip
        for scope in SCOPES:
            number, keys = ticket.scopes.get(scope, (0, None))
            plain += _SCOPE.pack(number, *keys) if keys else bytes(_SCOPE.size)
        plain += u32(ticket.mark)
        nonce = secrets.token_bytes(24)
        box = seal_box(plain.ljust(_PLAIN, b"\0"), _aad(node_id), nonce, self._key)
        return _VERSION + self._id + nonce + box

    def open(self, node_id: str, raw: bytes) -> Ticket:
        """What is inside, for the node it was sealed to. Whether it still holds is the caller's to check.

        Raises:
            TicketRefused: Another node's, changed, of another key, or no ticket.
        """
        if len(raw) != TICKET_SIZE or raw[:5] != _VERSION + self._id:
            raise TicketRefused
        try:
            plain = open_box(raw[29:], _aad(node_id), raw[5:29], self._key)
        except CryptoError:
            raise TicketRefused from None
        node, team, role, purpose, class_number, case_tag, opened, until, mask = _HEAD.unpack_from(plain)
        scopes = {}
        for bit, scope in enumerate(SCOPES):
            if mask >> bit & 1:
                number, *keys = _SCOPE.unpack_from(plain, _HEAD.size + bit * _SCOPE.size)
                scopes[scope] = (number, SearchKeys(*keys))
        (mark,) = _MARK.unpack_from(plain, _HEAD.size + len(SCOPES) * _SCOPE.size)
        return Ticket(node, team, role, purpose, class_number, case_tag, opened, until, scopes, mark)

    def seal_claim(self, node_id: str, plain: bytes) -> bytes:
        """What a publisher is asked, for its answer to bring back. It tells the publisher nothing."""
        nonce = secrets.token_bytes(24)
        return _VERSION + self._id + nonce + seal_box(plain, _claim_aad(node_id), nonce, self._key)

    def open_claim(self, node_id: str, raw: bytes) -> bytes:
        """The bytes of `seal_claim`, for the node they were sealed to.

        Raises:
            TicketRefused: As for `open`.
        """
        if raw[:5] != _VERSION + self._id or len(raw) < 45:
            raise TicketRefused
        try:
            return open_box(raw[29:], _claim_aad(node_id), raw[5:29], self._key)
        except CryptoError:
            raise TicketRefused from None


def _aad(node_id: str) -> bytes:
    return lp(node_id) + b"ticket/v1"


def _claim_aad(node_id: str) -> bytes:
    return lp(node_id) + b"claim/v1"
