"""The ledger of one person in one scope, and what publishers are asked about their flags.

    a right is used  -> each publisher that has a flag here is asked
    a flag is stored -> its publisher is asked what waits already

A publisher is asked about a flag that it has, by that flag's own tag. The row
of a question lies under a tag of its own and a fresh escrow: nothing at rest
joins it with the flag or with the ledger.

Source: docs/design/policy-and-consent.md, "Dispute, objection, restriction".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, get_args

import structlog

from consent.claims import ANY, Claim, asked_of, in_force, waits
from consent.directive import Entry, Right, canonical
from consent.state import NOTHING_CHOSEN, ChoiceState, StateUnreadable, decode, encode
from index.protocol.codec import SCOPES
from index.rows import Asked, RowError, SearchKeys
from index.transaction import ChoiceRow, DirectiveRow, Tx
from policy.vocabulary import Kind, UnknownCode

if TYPE_CHECKING:
    from index.hub import Hub

log = structlog.get_logger()

RIGHTS: tuple[Right, ...] = get_args(Right)
"""A right's place here is its number in sealed rows."""


@dataclass(frozen=True, slots=True)
class Where:
    """The ledger of one person in one scope, and `N`, which only the escrow of new rows needs."""

    scope: str
    keys: SearchKeys = field(repr=False)
    n: bytes = field(repr=False)


def ask_publishers(tx: Tx, hub: Hub, where: Where, before: ChoiceState, now: ChoiceState) -> None:
    """Ask each publisher that has a flag here what it must answer, and take back what ended.

    Needs `flags` of the scope. A claim about a flag that does not exist asks nobody.
    """
    for row in tx.flags(where.keys.idx):
        try:
            flag = hub.rows.open_flag(row, where.scope)
            kind = hub.vocabulary.kind_by_number(flag.kind)
        except (RowError, UnknownCode):
            log.error("flag_unreadable", scope=where.scope)
            continue
        ask_publisher(tx, hub, where, kind=kind, publisher=flag.publisher, rtag=row.rtag, state=now)
        still = {(claim.right, claim.group) for claim in now.claims}
        for claim in _about(before.claims, kind, flag.publisher):
            if (claim.right, claim.group) not in still:
                asked = _asked(where, claim, kind, publisher=flag.publisher, rtag=row.rtag)
                tx.delete_claim(hub.rows.claim_key(asked))


def ask_publisher(
    tx: Tx, hub: Hub, where: Where, *, kind: Kind, publisher: int, rtag: bytes, state: ChoiceState
) -> None:
    """Ask one publisher, about one flag that it has, everything that waits for its answer."""
    for claim in _about(state.claims, kind, publisher):
        mine = asked_of(state.claims, claim.group, claim.right, claim.kind, publisher)
        if mine is claim and waits(claim, kind.compelling_child_safety) and in_force(claim, tx.now):
            asked = _asked(where, claim, kind, publisher=publisher, rtag=rtag)
            tx.put_claim(hub.rows.new_claim(asked, where.n))


def _about(claims: Iterable[Claim], kind: Kind, publisher: int) -> list[Claim]:
    return [claim for claim in claims if claim.kind == kind.code and claim.publisher in (ANY, publisher)]


def _asked(where: Where, claim: Claim, kind: Kind, *, publisher: int, rtag: bytes) -> Asked:
    return Asked(
        right=RIGHTS.index(claim.right),
        scope=SCOPES.index(where.scope),
        kind=kind.number,
        publisher=publisher,
        group=claim.group,
        rtag=rtag,
        idx_dir=where.keys.idx_dir,
        lid=where.keys.lid,
    )


def tell_publisher(tx: Tx, hub: Hub, where: Where, *, kind: Kind, publisher: int, rtag: bytes) -> None:
    """Ask about a flag that was just stored what waited for it (needs `choices`).

    A dummy is opened for who never chose, so that storing a flag costs the same for everybody.
    """
    row = tx.choice(where.keys.idx_dir)
    rows = hub.rows
    try:
        state = decode(rows.open_no_choice() if row is None else rows.open_choice(row, where.scope)[1])
    except (RowError, StateUnreadable):
        # The flag is stored all the same: a lookup shows nothing of a scope whose choices do not open.
        log.error("choices_unreadable", scope=where.scope)
        return
    ask_publisher(tx, hub, where, kind=kind, publisher=publisher, rtag=rtag, state=state)


def waiting_claim(tx: Tx, hub: Hub, asked: Asked, kind: Kind) -> Claim | None:
    """The claim as it stands now, when this publisher's answer is still waited for (needs `choices`)."""
    row = tx.choice(asked.idx_dir)
    if row is None:
        return None
    state = decode(hub.rows.open_choice(row, SCOPES[asked.scope])[1])
    claim = asked_of(state.claims, asked.group, RIGHTS[asked.right], kind.code, asked.publisher)
    if claim is None or not waits(claim, kind.compelling_child_safety) or not in_force(claim, tx.now):
        return None
    return claim


# --- the ledger ---------------------------------------------------------------------------


def state_of(tx: Tx, hub: Hub, where: Where) -> ChoiceState:
    """The folded state of one scope (needs `choices`); what does not open stops whoever asks."""
    row = tx.choice(where.keys.idx_dir)
    return NOTHING_CHOSEN if row is None else decode(hub.rows.open_choice(row, where.scope)[1])


def ledger_row(hub: Hub, where: Where, entry: Entry, prev: bytes, head: bytes) -> DirectiveRow:
    """The sealed row of one entry.

    Raises:
        DirectiveInvalid: It is too long for its row.
    """
    keys, raw = where.keys, canonical(entry, prev)
    sealed = hub.rows.seal_directive(
        where.scope, keys.idx_dir, entry.number, n=where.n, lid=keys.lid, entry=raw
    )
    return DirectiveRow(keys.idx_dir, entry.number, sealed.sealed, sealed.escrow, prev, head)


def state_row(hub: Hub, where: Where, state: ChoiceState) -> ChoiceRow:
    """The sealed row of a folded state.

    Raises:
        StateFull: It does not fit.
    """
    keys = where.keys
    sealed = hub.rows.seal_choice(where.scope, keys.idx_dir, n=where.n, lid=keys.lid, state=encode(state))
    return ChoiceRow(keys.idx_dir, sealed.sealed, sealed.escrow)
