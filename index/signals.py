"""Signals: "ask again for visit V", and no more than that.

    a visit asks to be watched for -> a row per person and scope: what is known now, and a random moment
    the moment comes -> decided again, by the same engine -> is a flag visible that was not there before?
    yes: entry `notice` in the person's chain, and a signal that waits for the node, in one transaction
    no, or closed, or hidden: the same work, another random moment, nothing else

The hub looks at the visits, not at the publications. So storing a flag costs
the same and takes the same time whether or not anybody watches, the delay is
random by itself, and nothing is lost when a process dies in between. A choice,
an answer or an end that changes what may be seen gives no signal: only a flag
that was not there when the visit was last looked at does. Something that goes
never gives one.

A visit gives one signal at a time, however many persons or scopes it has.

Source: docs/design/hub.md, "Signals"; docs/design/policy-and-consent.md §4 S7.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from starlette.responses import Response

from index import errands
from index.accesslog.log import Recorded, SealedBatch
from index.errors import HubError, Rejected, TicketRefused, problem_of
from index.gate import Caller, Rule, Who
from index.lookup import Looker, Sight
from index.protocol.codec import EncodingError, b64u, unb64u
from index.protocol.entry import SOMETHING, EntryDraft, Told, shown_bits
from index.protocol.messages import (
    Signal,
    SignalsAnswer,
    SignalsRequest,
    SubscriptionAnswer,
    SubscriptionRequest,
)
from index.publish import json_answer
from index.relations import LOOKUP, fits, in_force, open_ticket
from index.rows import RowError, SearchKeys
from index.store.tables import watch as watch_table
from index.tickets import Ticket
from index.transaction import Finish, Needs, Tx, WatchRow
from policy.vocabulary import UnknownCode

if TYPE_CHECKING:
    from index.hub import Hub

log = structlog.get_logger()

KNOWN_MOST = 90
"""Flags in one scope that a row remembers; of who has more, nothing is told."""

_KNOWN = 3
NOTE = "watch"
"""Sort of note as which a row is sealed (`Rows.seal_note`)."""
_AT_ONCE = 200
_SOONEST_S = 60
_LATEST_MARGIN_S = 120
"""So much before the promised hour the last random moment lies: the round comes a little after it."""


class Watched(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of one person in one scope. `known`: three bytes for each flag that was there."""

    scope: str
    kid: int
    keys: list[bytes]
    node: int
    org: str
    team: str
    role: str
    purpose: str
    numbers: list[int]
    case: bytes
    opened: int
    mark: int
    visit: bytes
    known: bytes

    def __repr__(self) -> str:
        return f"<Watched {self.scope}>"

    def ticket(self, until: int) -> Ticket:
        """The ticket of the visit, in this scope alone."""
        team, role, purpose = self.numbers
        idx, idx_dir, idx_rel, lid = self.keys
        scopes = {self.scope: (self.kid, SearchKeys(idx, idx_dir, idx_rel, lid))}
        return Ticket(
            self.node, team, role, purpose, LOOKUP, self.case, self.opened, until, scopes, self.mark
        )


class _Waits(msgspec.Struct, frozen=True):
    visit: str


def _key(hub: Hub, ticket: Ticket, scope: str) -> bytes:
    """One row per relation; nothing at rest joins it with the relation's own row."""
    relation = hub.rows.relation_key(ticket.scopes[scope][1].idx_rel, ticket)
    return hmac.digest(hub.rows.node_tag(ticket.node), b"watch/v1" + relation, "sha256")[:16]


def _visit_tag(hub: Hub, node_number: int, visit: bytes) -> bytes:
    """What joins the rows of a visit: no node can name that of another."""
    return hmac.digest(hub.rows.node_tag(node_number), b"watch-visit/v1" + visit, "sha256")[:16]


def _short(rtag: bytes) -> bytes:
    return hashlib.sha256(b"watch/v1" + rtag).digest()[:_KNOWN]


def known_of(rtags: Iterable[bytes]) -> bytes:
    """What is remembered of the flags that are there."""
    return b"".join(sorted(_short(rtag) for rtag in rtags)[:KNOWN_MOST])


def _knows(known: bytes, rtag: bytes) -> bool:
    if len(known) >= KNOWN_MOST * _KNOWN:
        return True
    return _short(rtag) in {known[at : at + _KNOWN] for at in range(0, len(known), _KNOWN)}


def _moment(hub: Hub, seconds: int) -> int:
    longest = hub.vocabulary.limits.signal_jitter_minutes * 60 - _LATEST_MARGIN_S
    return seconds + _SOONEST_S + secrets.randbelow(max(longest - _SOONEST_S, 1))


# --- a visit asks ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Subscribing:
    """Watch for the persons of a visit, or stop it; asking again keeps what is known."""

    hub: Hub
    caller: Caller
    tickets: Sequence[Ticket]
    visit: bytes
    wanted: bool

    @property
    def persons(self) -> int:
        return len(self.tickets)

    @property
    def tag(self) -> bytes:
        return _visit_tag(self.hub, self.caller.node.number, self.visit)

    def needs(self) -> Needs:
        keys = [keys for ticket in self.tickets for _, keys in ticket.scopes.values()]
        return Needs(
            flags=frozenset(k.idx for k in keys),
            relations=frozenset(k.idx_rel for k in keys),
            watches=frozenset({self.tag}),
        )

    def apply(self, tx: Tx) -> Finish:
        named = all(fits(self.hub, self.caller, ticket, LOOKUP) for ticket in self.tickets)
        if not named or any(len(in_force(tx, self.hub, t)) != len(t.scopes) for t in self.tickets):
            refused = TicketRefused()
            self._record(tx, refused=refused.code)
            return lambda _: problem_of(refused)
        held = {row.key: row for row in tx.watches(self.tag)}
        due = next((row.due for row in held.values()), _moment(self.hub, tx.seconds))
        for ticket in self.tickets:
            for scope in ticket.scopes:
                row = held.get(_key(self.hub, ticket, scope))
                if row is not None and not self.wanted:
                    tx.delete_watch(row)
                if row is None and self.wanted:
                    tx.put_watch(self._row(tx, ticket, scope, due))
        recorded = self._record(tx, more={} if self.wanted else {"cause": "no-more"})

        def answer(batch: SealedBatch) -> Response:
            body = SubscriptionAnswer(batch.receipts(recorded))
            return json_answer(msgspec.json.encode(body), batch.index_header(recorded))

        return answer

    def _record(self, tx: Tx, **more: Any) -> list[Recorded]:
        """One line per person and scope: a small entry has room for one handle."""
        later = self.hub.postponement.postpones(self.caller.statement.role)
        pv = self.hub.policy.number
        lids = [lid for ticket in self.tickets for lid in ticket.lids]
        return [tx.record(self.caller.draft(tx.now, lids=(lid,), later=later, pv=pv, **more)) for lid in lids]

    def _row(self, tx: Tx, ticket: Ticket, scope: str, due: int) -> WatchRow:
        kid, keys = ticket.scopes[scope]
        said = self.caller.statement
        watched = Watched(
            scope=scope,
            kid=kid,
            keys=list(keys),
            node=ticket.node,
            org=said.org,
            team=said.team,
            role=said.role,
            purpose=said.purpose,
            numbers=[ticket.team, ticket.role, ticket.purpose],
            case=ticket.case_tag,
            opened=ticket.opened,
            mark=ticket.mark,
            visit=self.visit,
            known=known_of(row.rtag for row in tx.flags(keys.idx)),
        )
        return _sealed(self.hub, _key(self.hub, ticket, scope), self.tag, due, watched)


def _sealed(hub: Hub, key: bytes, tag: bytes, due: int, watched: Watched) -> WatchRow:
    return WatchRow(key, tag, due, hub.rows.seal_note(NOTE, key, msgspec.msgpack.encode(watched)))


async def subscribe(hub: Hub, caller: Caller, body: SubscriptionRequest) -> Response:
    """`/v1/subscriptions`."""
    try:
        visit = unb64u(body.visit, 16)
    except EncodingError:
        raise Rejected("visit") from None
    tickets = [open_ticket(hub, caller, text) for text in body.tickets]
    return await hub.sequencer.submit(Subscribing(hub, caller, tickets, visit, body.wanted))


# --- the moment comes ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Looking:
    """Look at one visit again, as a lookup would, and tell its node when a new flag may be seen."""

    hub: Hub
    tag: bytes
    opened: Sequence[tuple[WatchRow, Watched]]
    caller: None = None

    @property
    def persons(self) -> int:
        return len(self.opened)

    def needs(self) -> Needs:
        keys = [SearchKeys(*watched.keys) for _, watched in self.opened]
        return Needs(
            flags=frozenset(k.idx for k in keys),
            choices=frozenset(k.idx_dir for k in keys),
            relations=frozenset(k.idx_rel for k in keys),
            watches=frozenset({self.tag}),
        )

    def apply(self, tx: Tx) -> Finish:
        if self.hub.policies.stopped or self.hub.witnesses.refuses():
            return lambda _: b"{}"
        held = {row.key: row for row in tx.watches(self.tag)}
        due, told = _moment(self.hub, tx.seconds), False
        for before, watched in self.opened:
            row = held.get(before.key)
            # Stopped, or looked at by another process, since it was read.
            if row is None or row.due != before.due:
                continue
            told |= self._look(tx, row, watched, due)
        if told:
            first = self.opened[0][1]
            key = secrets.token_bytes(16)
            tx.put_errand(key, errands.row_of(self.hub, "signal", first.node, key, _Waits(b64u(first.visit))))
        return lambda _: b"{}"

    def _look(self, tx: Tx, row: WatchRow, watched: Watched, due: int) -> bool:
        """Whether something new may be seen; recorded when so. A visit that ended is watched no more."""
        hub = self.hub
        ticket = watched.ticket(until=1 << 40)
        if hub.kid_number(watched.scope) != watched.kid or not in_force(tx, hub, ticket):
            tx.delete_watch(row)
            return False
        node = hub.directory.node_by_number(watched.node)
        if node is None or node.oin != watched.org:
            tx.delete_watch(row)
            return False
        organisation = hub.directory.organisation_of(node)
        try:
            sight = Sight.of(hub, tx, Looker(organisation, watched.team, watched.role, watched.purpose))
        except UnknownCode:
            tx.delete_watch(row)
            return False
        seen = sight.about(ticket).seen
        new = [one for one in seen if not _knows(watched.known, one.rtag)]
        rows = tx.flags(watched.keys[0])
        fresh = msgspec.structs.replace(watched, known=known_of(one.rtag for one in rows))
        tx.put_watch(_sealed(hub, row.key, row.visit, due, fresh))
        if not new:
            return False
        kinds = [one.kind.number for one in new]
        tx.record(
            EntryDraft(
                t="notice",
                ts=int(tx.now.timestamp() * 1000),
                req="",
                lids=ticket.lids,
                later=hub.postponement.postpones(watched.role, kinds),
                pv=hub.policy.number,
                # The node learns that there is something, and the line says no more.
                shown=shown_bits([SOMETHING], hub.highest_kind),
                more={"cause": "ask-again"},
                told=Told(watched.org, watched.role, watched.team, watched.purpose, b64u(watched.case)),
            )
        )
        return True


class Signals:
    """The background work: look at the visits whose moment has come. One task per hub process."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Needs a running event loop."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Begin no other round; what is in a transaction is finished by the writer."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._hub.settings.signals_seconds)
            try:
                await self.round()
            except (HubError, DBAPIError) as error:
                # Nothing is lost: what is due stays due.
                log.error("signals_failed", error=type(error).__name__)

    async def round(self) -> int:
        """Look at what is due; how many visits that were."""
        due = await asyncio.to_thread(self._due)
        for tag, opened in due:
            await self._hub.sequencer.submit(Looking(self._hub, tag, opened))
        return len(due)

    def _due(self) -> list[tuple[bytes, list[tuple[WatchRow, Watched]]]]:
        hub, c = self._hub, watch_table.c
        now = int(hub.clock().timestamp())
        with hub.reading() as connection:
            first = select(c.visit).where(c.due <= now).order_by(c.due).limit(_AT_ONCE)
            tags = list(dict.fromkeys(connection.execute(first).scalars()))
            rows = connection.execute(select(watch_table).where(c.visit.in_(tags))).all() if tags else []
        found: dict[bytes, list[tuple[WatchRow, Watched]]] = {tag: [] for tag in tags}
        for row in map(WatchRow._make, rows):
            try:
                raw = hub.rows.open_note(NOTE, row.key, row.sealed)
            except RowError:
                log.error("watch_unreadable")
                continue
            found[row.visit].append((row, msgspec.msgpack.decode(raw, type=Watched)))
        return [(tag, opened) for tag, opened in found.items() if opened]


# --- the node fetches ------------------------------------------------------------------


async def fetch(hub: Hub, caller: Caller, body: SignalsRequest) -> Response:
    """`/v1/subscriptions/signals`: for which visits the calling node is to ask again."""
    return await errands.fetched(
        hub,
        caller,
        "signal",
        body.done,
        content=_Waits,
        told=lambda found, more, proofs: SignalsAnswer(
            [Signal(b64u(key), waits.visit) for key, waits in found], more, proofs
        ),
    )


RULES = (
    Rule(
        "/v1/subscriptions",
        SubscriptionRequest,
        subscribe,
        who=Who.EMPLOYEE,
        classes=frozenset({"lookup"}),
        answer=SubscriptionAnswer,
        summary="Tell a visit when something new can be seen, or no longer",
        persons=lambda body: len(body.tickets),
    ),
    Rule(
        "/v1/subscriptions/signals",
        SignalsRequest,
        fetch,
        who=Who.SOURCE,
        classes=frozenset({"lookup"}),
        answer=SignalsAnswer,
        summary="The visits of the calling node that are to ask again",
    ),
)
