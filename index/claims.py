"""The ledger of one person in one scope, and what publishers are asked about it.

    a right is used  -> a row for each publisher that may have a flag of this kind
    a publisher asks -> its rows -> those about a flag that it has now

There is a row whether or not there is a flag, so a flag that comes later is
asked about too, and storing a flag costs nothing for it. Rows lie under a tag
of their own and a fresh escrow: nothing at rest joins them with flags or ledger.

Source: docs/design/policy-and-consent.md, "Dispute, objection, restriction".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, get_args

import structlog

from consent.claims import Claim, asked_of, in_force, waits
from consent.directive import Entry, Right, canonical
from consent.state import NOTHING_CHOSEN, ChoiceState, decode, encode
from index.protocol.codec import SCOPES
from index.rows import Asked, RowError, SearchKeys
from index.transaction import ChoiceRow, DirectiveRow, FlagRow, Tx
from policy.vocabulary import Kind

if TYPE_CHECKING:
    from index.hub import Hub

log = structlog.get_logger()

RIGHTS: tuple[Right, ...] = get_args(Right)
"""A right's place here is its number in sealed rows."""


@dataclass(frozen=True, slots=True)
class Where:
    """The ledger of one person in one scope, and `N`, which only the escrow of new rows needs.

    `escrow` and `claim_escrow`: made at an earlier call in place of `n`, for the ledger and for claims.
    """

    scope: str
    keys: SearchKeys = field(repr=False)
    n: bytes = field(repr=False)
    escrow: bytes = field(default=b"", repr=False)
    claim_escrow: bytes = field(default=b"", repr=False)


def ask_publishers(tx: Tx, hub: Hub, where: Where, before: ChoiceState, now: ChoiceState) -> None:
    """Ask what must be answered from now on, and take back what ended with the citizen's own entry."""
    asked_before = _all_asked(hub, where, before)
    asked_now = _all_asked(hub, where, now)
    for key in asked_before.keys() - asked_now.keys():
        tx.delete_claim(key)
    for key in asked_now.keys() - asked_before.keys():
        tx.put_claim(hub.rows.new_claim(asked_now[key], where.n, where.claim_escrow))


def _all_asked(hub: Hub, where: Where, state: ChoiceState) -> dict[bytes, Asked]:
    """By the key of its row, everything that waits for the answer of some publisher."""
    found: dict[bytes, Asked] = {}
    for claim in state.claims:
        kind = hub.vocabulary.kind(claim.kind)
        if not waits(claim, kind.compelling_child_safety):
            continue
        for publisher in [claim.publisher] if claim.publisher else publishers_of(hub, kind):
            if asked_of(state.claims, claim.group, claim.right, claim.kind, publisher) is claim:
                asked = _asked(where, claim, kind, publisher)
                found[hub.rows.claim_key(asked)] = asked
    return found


def publishers_of(hub: Hub, kind: Kind) -> list[int]:
    """Numbers of the nodes that the directory registers for a kind."""
    return [
        node.number
        for node in hub.directory.nodes
        if "publish" in node.classes
        and kind.domain in node.scopes
        and hub.directory.organisation_of(node).kind(kind.code) is not None
    ]


def _asked(where: Where, claim: Claim, kind: Kind, publisher: int) -> Asked:
    return Asked(
        right=RIGHTS.index(claim.right),
        scope=SCOPES.index(where.scope),
        kind=kind.number,
        publisher=publisher,
        group=claim.group,
        idx=where.keys.idx,
        idx_dir=where.keys.idx_dir,
        lid=where.keys.lid,
    )


def flags_asked(hub: Hub, asked: Asked, rows: Iterable[FlagRow]) -> list[bytes]:
    """The tags of this publisher's flags of this kind, among the rows under `asked.idx`."""
    tag, scope = hub.rows.pub_tag(asked.publisher), SCOPES[asked.scope]
    found = []
    for row in rows:
        if row.pub_tag != tag:
            continue
        try:
            flag = hub.rows.open_flag(row, scope)
        except RowError:
            log.error("flag_unreadable", scope=scope)
            continue
        if flag.kind == asked.kind:
            found.append(row.rtag)
    return sorted(found)


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
        where.scope, keys.idx_dir, entry.number, n=where.n, lid=keys.lid, entry=raw, escrow=where.escrow
    )
    return DirectiveRow(keys.idx_dir, entry.number, sealed.sealed, sealed.escrow, prev, head)


def state_row(hub: Hub, where: Where, state: ChoiceState) -> ChoiceRow:
    """The sealed row of a folded state.

    Raises:
        StateFull: It does not fit.
    """
    keys = where.keys
    sealed = hub.rows.seal_choice(
        where.scope, keys.idx_dir, n=where.n, lid=keys.lid, state=encode(state), escrow=where.escrow
    )
    return ChoiceRow(keys.idx_dir, sealed.sealed, sealed.escrow)
