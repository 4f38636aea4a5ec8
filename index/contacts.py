"""A desk wants contact about a flag that it sees; the source learns who, when, and which own reference.

    desk: ticket, kind, source -> is that flag visible to this visit now? (the same engine)
    -> entry `notice` in the person's chain -> a request under the source's own handle, once
    source: what waits -> own local reference -> done

Whoever may not see the flag cannot reach its source: hidden, gone and never
there are refused alike. No content passes; the source sees role, organisation
and date, and finds the person by the reference it gave itself.

Source: docs/design/hub.md, "Contact requests"; screens.md D6, S9.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
from starlette.responses import Response

from index import errands
from index.accesslog.log import SealedBatch
from index.errors import PolicyStopped, Rejected, TicketRefused
from index.gate import Caller, Rule, Who
from index.lookup import Looker, Sight
from index.protocol.codec import b64u
from index.protocol.entry import shown_bits
from index.protocol.messages import (
    Contact,
    ContactAnswer,
    ContactRequest,
    ContactsAnswer,
    ContactsRequest,
)
from index.publish import json_answer
from index.relations import CRISIS, LOOKUP, fits, open_ticket, record_refused
from index.tickets import Ticket
from index.transaction import ErrandRow, Finish, Needs, Tx
from policy.vocabulary import Kind, UnknownCode

if TYPE_CHECKING:
    from index.hub import Hub

NOT_VISIBLE = "flag-not-visible"


class Asked(msgspec.Struct, frozen=True):
    """What waits for a source. `at`: Unix seconds."""

    rtag: str
    org: str
    team: str
    role: str
    at: int


@dataclass(frozen=True, slots=True)
class Asking:
    """One request for contact. `ticket` is of the kind's scope alone; `source` the publisher's number.

    1. The ticket is of this visit, and the rules answer now.
    2. A flag of this kind and source is visible to it.
    3. Asked before by this visit about this flag: the same answer, and nothing new waits.
    """

    hub: Hub
    caller: Caller
    ticket: Ticket
    kind: Kind
    source: int
    persons: int = 1

    def needs(self) -> Needs:
        keys = [keys for _, keys in self.ticket.scopes.values()]
        return Needs(
            flags=frozenset(k.idx for k in keys),
            choices=frozenset(k.idx_dir for k in keys),
            relations=frozenset(k.idx_rel for k in keys),
            # One request per visit, kind and source: known before the flag is.
            errands=frozenset({self._key()}),
        )

    def apply(self, tx: Tx) -> Finish:
        hub, caller, ticket = self.hub, self.caller, self.ticket
        if not fits(hub, caller, ticket, LOOKUP, CRISIS):  # 1
            return record_refused(tx, hub, caller, [ticket], TicketRefused())
        if hub.policies.stopped:
            return record_refused(tx, hub, caller, [ticket], PolicyStopped())
        said = caller.statement
        sight = Sight.of(hub, tx, Looker(caller.organisation, said.team, said.role, said.purpose))
        seen = sight.about(ticket).seen
        wanted = [
            one for one in seen if one.kind.number == self.kind.number and one.flag.publisher == self.source
        ]
        if not wanted:  # 2
            return record_refused(tx, hub, caller, [ticket], Rejected(NOT_VISIBLE))
        at = self._ask(tx, max(wanted, key=lambda one: (one.flag.since, one.rtag)).rtag)
        shown = [self.kind.number]
        recorded = tx.record(
            caller.draft(
                tx.now,
                lids=ticket.lids,
                later=hub.postponement.postpones(said.role, shown),
                pv=hub.policy.number,
                shown=shown_bits(shown, hub.highest_kind),
                break_glass=ticket.class_number == CRISIS,
                more={"cause": "contact"},
            )
        )

        def answer(batch: SealedBatch) -> Response:
            body = ContactAnswer(_instant(at), batch.receipts([recorded]))
            return json_answer(msgspec.json.encode(body), batch.index_header([recorded]))

        return answer

    def _ask(self, tx: Tx, rtag: bytes) -> int:
        """Unix seconds of the request: this one, or the earlier one that still waits."""
        key = self._key()
        earlier: ErrandRow | None = tx.errand(key)
        if earlier is not None:  # 3
            return errands.content_of(self.hub, earlier, Asked).at
        said = self.caller.statement
        asked = Asked(b64u(rtag), said.org, said.team, said.role, tx.seconds)
        tx.put_errand(key, errands.row_of(self.hub, "contact", self.source, key, asked))
        return tx.seconds

    def _key(self) -> bytes:
        rows, ticket = self.hub.rows, self.ticket
        ((_, keys),) = ticket.scopes.values()
        about = f"contact/v1/{self.kind.code}/{self.source}/".encode() + rows.relation_key(
            keys.idx_rel, ticket
        )
        return hmac.digest(rows.node_tag(ticket.node), about, "sha256")[:16]


async def ask(hub: Hub, caller: Caller, body: ContactRequest) -> Response:
    """`/v1/contacts`.

    Raises:
        Rejected: No such kind, none of the ticket's scopes, or no such source: it cannot be visible.
    """
    ticket = open_ticket(hub, caller, body.ticket)
    try:
        kind = hub.vocabulary.kind(body.kind)
    except UnknownCode:
        raise Rejected(NOT_VISIBLE) from None
    held = ticket.scopes.get(kind.domain)
    if kind.self_declared:
        # A citizen said so through a portal: there is nobody there to ask.
        raise Rejected("no-source")
    if held is None or hub.directory.node_by_number(body.source) is None:
        raise Rejected(NOT_VISIBLE)
    # The kind alone says which scope, so what is opened and recorded says nothing about the person.
    narrow = replace(ticket, scopes={kind.domain: held})
    return await hub.sequencer.submit(Asking(hub, caller, narrow, kind, body.source))


async def waiting(hub: Hub, caller: Caller, body: ContactsRequest) -> Response:
    """`/v1/contacts/open`: who wants contact about the caller's own flags."""
    return await errands.fetched(
        hub,
        caller,
        "contact",
        body.done,
        content=Asked,
        told=lambda found, more, proofs: ContactsAnswer(
            [
                Contact(b64u(key), one.rtag, one.org, one.team, one.role, _instant(one.at))
                for key, one in found
            ],
            more,
            proofs,
        ),
    )


def _instant(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


RULES = (
    Rule(
        "/v1/contacts",
        ContactRequest,
        ask,
        who=Who.EMPLOYEE,
        classes=frozenset({"lookup", "crisis"}),
        answer=ContactAnswer,
        summary="Ask the source of a visible flag for contact, without content",
    ),
    Rule(
        "/v1/contacts/open",
        ContactsRequest,
        waiting,
        who=Who.SOURCE,
        classes=frozenset({"publish"}),
        answer=ContactsAnswer,
        summary="Who wants contact about the calling source's own flags",
    ),
)
