"""An organisation leaves: everything of it is purged, counted before and after, and the hub signs the count.

    two people said so (`index.organisations`) -> its calls are refused from then on
    -> table by table, in short transactions -> counted again -> act `directory-purged` -> signed report

`RULES` has a rule for every table of the hub; a test fails on a table without
one. The log keeps its entries, and with it what a citizen is still to be told.
A citizen's ledger is a chain of that citizen's own: one that speaks of this
organisation alone goes; of others the folded state forgets the organisation
and the chain stays whole.

Source: docs/operating.md, "An organisation leaves"; docs/design/design.md, "What is at rest at the hub".
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Protocol, get_args

import msgspec
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey
from sqlalchemy import Column, Connection, Table, and_, delete, func, or_, select, update

from consent.directive import Directive, parse_canonical
from consent.state import ChoiceState, decode, encode
from index import errands, openings, reviews, signals
from index.accesslog import tables as log_tables
from index.acts import Act, Office, Refused, Signer, signed
from index.organisations import Changes
from index.protocol.codec import SCOPES, EncodingError, b64u, jcs, unb64u
from index.protocol.directory import Directory
from index.rows import RowError, Rows
from index.store import tables as t
from index.store.engine import lock, reading
from index.transaction import ChoiceRow, DirectiveRow, RelationRow

_REPORT = b"vlagwijzer/leave-report/v1\n"
_AT_ONCE = 2000
"""Rows looked at or removed in one transaction: other calls wait no longer than that takes."""


@dataclass(frozen=True, slots=True)
class Target:
    """Who leaves: its OIN, and the permanent number of each of its nodes by id."""

    oin: str
    nodes: Mapping[str, int]
    rows: Rows

    @property
    def numbers(self) -> frozenset[int]:
        return frozenset(self.nodes.values())


class Rule(Protocol):
    """What leaving does to one table."""

    def count(self, connection: Connection, target: Target) -> int:
        """Rows that are of this organisation."""

    def purge(self, connection: Connection, target: Target, after: Key) -> Key | None:
        """Remove some, from a place on; the place to go on from, or None at the end."""


Key = tuple[Any, ...]
"""A place in a table, by its primary key; empty for the beginning."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A table of which nothing goes, and why."""

    why: str


@dataclass(frozen=True, slots=True)
class Tagged:
    """Rows under a tag that the hub can compute of a node's number."""

    column: Column[Any]
    tag: Callable[[Rows, int], bytes]

    def count(self, connection: Connection, target: Target) -> int:
        """Rows under the tags."""
        table = self.column.table
        return connection.scalar(select(func.count()).select_from(table).where(self._own(target))) or 0

    def purge(self, connection: Connection, target: Target, after: Key) -> Key | None:
        """Remove the first so many."""
        table = self.column.table
        keys = list(table.primary_key.columns)
        found = connection.execute(select(*keys).where(self._own(target)).limit(_AT_ONCE)).all()
        for row in found:
            connection.execute(delete(table).where(_is(keys, row)))
        return (len(found),) if len(found) == _AT_ONCE else None

    def _own(self, target: Target) -> Any:
        return self.column.in_([self.tag(target.rows, number) for number in target.numbers])


@dataclass(frozen=True, slots=True)
class Sealed:
    """Rows that must be opened to see whose they are."""

    table: Table
    own: Callable[[Target, Any], bool]

    def count(self, connection: Connection, target: Target) -> int:
        """Opens every row."""
        return sum(self.own(target, row) for row in _all(connection, self.table))

    def purge(self, connection: Connection, target: Target, after: Key) -> Key | None:
        """Open the next so many, and remove those that are of the organisation."""
        keys = list(self.table.primary_key.columns)
        found = _some(connection, self.table, after)
        for row in found:
            if self.own(target, row):
                connection.execute(delete(self.table).where(_is(keys, _key(self.table, row))))
        return _key(self.table, found[-1]) if len(found) == _AT_ONCE else None


class Ledgers:
    """The ledger and the folded state of each person and scope; both in one transaction, or neither.

    The rule of `choice_state` does the work for both tables; that of `directive`
    counts what is left of ledgers that speak of the organisation alone.
    """

    def count(self, connection: Connection, target: Target) -> int:
        """States that still hold a choice or a right about the organisation."""
        return sum(_mentions(target, _state(target, row)[1]) for row in _all(connection, t.choice_state))

    def purge(self, connection: Connection, target: Target, after: Key) -> Key | None:
        """Forget it in the next so many states; a ledger about it alone goes with its state."""
        found = _some(connection, t.choice_state, after)
        for row in found:
            scope, state, lid = _opened(target, row)
            here = t.choice_state.c.idx_dir == row.idx_dir
            if _alone(connection, target, row.idx_dir):
                connection.execute(delete(t.directive).where(t.directive.c.idx_dir == row.idx_dir))
                connection.execute(delete(t.choice_state).where(here))
                continue
            if not _mentions(target, state):
                continue
            held = ChoiceRow(row.idx_dir, bytes(row.sealed), bytes(row.escrow))
            kept = encode(_without(target, state), answer=True)
            new = target.rows.changed_choice(held, scope, lid, kept)
            connection.execute(update(t.choice_state).where(here).values(sealed=new.sealed))
        return _key(t.choice_state, found[-1]) if len(found) == _AT_ONCE else None


class AloneLedgers:
    """Entries of ledgers that speak of the organisation alone; `Ledgers` removes them."""

    def count(self, connection: Connection, target: Target) -> int:
        """Entries, not ledgers."""
        by_person = groupby(_all(connection, t.directive), key=lambda row: bytes(row.idx_dir))
        return sum(len(rows) for _, found in by_person if _all_about(target, rows := list(found)))

    def purge(self, connection: Connection, target: Target, after: Key) -> Key | None:
        """Nothing: see `Ledgers`."""
        return None


def _own_relation(target: Target, row: Any) -> bool:
    held = RelationRow(bytes(row.key), bytes(row.idx_rel), bytes(row.sealed), bytes(row.escrow))
    for scope in SCOPES:
        try:
            return target.rows.open_relation(held, scope).node in target.numbers
        except RowError:
            continue
    raise Refused("A relation cannot be opened; its data key is gone. Erase it first. Nothing more was done.")


def _own_review(target: Target, row: Any) -> bool:
    raw = target.rows.open_review(bytes(row.key), bytes(row.sealed))
    return msgspec.json.decode(raw, type=reviews.Review).org == target.oin


def _own_opening(target: Target, row: Any) -> bool:
    raw = target.rows.open_note("opening", bytes(row.key), bytes(row.sealed))
    wish = msgspec.json.decode(raw, type=openings.Wish)
    return target.oin in (wish.org, wish.approved_org)


def _own_watch(target: Target, row: Any) -> bool:
    raw = target.rows.open_note(signals.NOTE, bytes(row.key), bytes(row.sealed))
    return msgspec.msgpack.decode(raw, type=signals.Watched).org == target.oin


def _own_errand(target: Target, row: Any) -> bool:
    """What waits for one of its nodes, and what it asked of others."""
    sorts: tuple[errands.Sort, ...] = get_args(errands.Sort)
    tags = {errands.tag_of(target.rows, sort, number) for sort in sorts for number in target.numbers}
    if bytes(row.tag) in tags:
        return True
    raw = target.rows.open_note(errands.NOTE, bytes(row.key), bytes(row.sealed))
    return bool(msgspec.json.decode(raw).get("org") == target.oin)


def _opened(target: Target, row: Any) -> tuple[str, ChoiceState, bytes]:
    held = ChoiceRow(bytes(row.idx_dir), bytes(row.sealed), bytes(row.escrow))
    for scope in SCOPES:
        try:
            lid, raw = target.rows.open_choice(held, scope)
        except RowError:
            continue
        return scope, decode(raw), lid
    raise Refused("A choice cannot be opened; its data key is gone. Nothing more was done.")


def _state(target: Target, row: Any) -> tuple[str, ChoiceState]:
    return _opened(target, row)[:2]


def _about(target: Target, directive: Directive) -> bool:
    return directive.receiver[:1] == (target.oin,)


def _mentions(target: Target, state: ChoiceState) -> bool:
    return any(_about(target, one) for one in state.directives) or any(
        claim.publisher in target.numbers for claim in state.claims
    )


def _without(target: Target, state: ChoiceState) -> ChoiceState:
    return replace(
        state,
        directives=tuple(one for one in state.directives if not _about(target, one)),
        claims=tuple(claim for claim in state.claims if claim.publisher not in target.numbers),
    )


def _alone(connection: Connection, target: Target, idx_dir: bytes) -> bool:
    """Whether every entry of a ledger is about the organisation: then it is no proof of anything else."""
    query = select(t.directive).where(t.directive.c.idx_dir == idx_dir).order_by(t.directive.c.number)
    return _all_about(target, connection.execute(query).all())


def _all_about(target: Target, rows: Sequence[Any]) -> bool:
    entries = [_entry(target, row) for row in rows]
    groups = {one.group for one in entries if isinstance(one, Directive) and _about(target, one)}
    return bool(entries) and all(
        (one.group in groups or one.withdraws in groups)
        if isinstance(one, Directive)
        else one.publisher in target.numbers
        for one in entries
    )


def _entry(target: Target, row: Any) -> Any:
    held = DirectiveRow(
        bytes(row.idx_dir), row.number, bytes(row.sealed), bytes(row.escrow),
        bytes(row.prev_hash), bytes(row.hash),
    )  # fmt: skip
    for scope in SCOPES:
        try:
            return parse_canonical(target.rows.open_directive(held, scope)[1])[0]
        except RowError:
            continue
    raise Refused("An entry of a ledger cannot be opened; its data key is gone. Nothing more was done.")


_LOG = "the access log keeps its entries: they are proof, and each citizen's own trail"
_NOBODY = "holds nothing of any organisation"
RULES: Mapping[str, Rule | Kept] = {
    t.flag.name: Tagged(t.flag.c.pub_tag, Rows.pub_tag),
    t.marker.name: Tagged(t.marker.c.pub_tag, Rows.pub_tag),
    t.digest.name: Tagged(t.digest.c.pub_tag, Rows.pub_tag),
    t.heartbeat.name: Tagged(t.heartbeat.c.pub_tag, Rows.pub_tag),
    t.claim.name: Tagged(t.claim.c.tag, Rows.claim_tag),
    t.message.name: Tagged(t.message.c.node_tag, Rows.node_tag),
    t.inquiry.name: Tagged(t.inquiry.c.tag, Rows.node_tag),
    t.relation.name: Sealed(t.relation, _own_relation),
    t.choice_state.name: Ledgers(),
    t.directive.name: AloneLedgers(),
    t.review.name: Sealed(t.review, _own_review),
    t.opening.name: Sealed(t.opening, _own_opening),
    t.watch.name: Sealed(t.watch, _own_watch),
    t.errand.name: Sealed(t.errand, _own_errand),
    t.postponed.name: Kept("lines of which a citizen is still to be told; an officer releases them"),
    t.sample.name: Kept("places in the access log, drawn by the month"),
    t.figure.name: Kept("rounded counts of months that are over, told before"),
    t.hold.name: Kept(_NOBODY),
    t.escrow_session.name: Kept(_NOBODY),
    t.scope_key.name: Kept(_NOBODY),
    t.policy_version.name: Kept(_NOBODY),
    t.act.name: Kept("what people decided, signed: it only grows. Convenants, mandates and profile ended"),
    t.standing.name: Kept(_NOBODY),
    log_tables.entry.name: Kept(_LOG),
    log_tables.handle.name: Kept(_LOG),
    log_tables.tile.name: Kept(_LOG),
    log_tables.tree.name: Kept(_LOG),
    log_tables.heads.name: Kept(_LOG),
    log_tables.cosignature.name: Kept(_LOG),
    log_tables.erasure.name: Kept(_LOG),
    log_tables.spent.name: Kept("tags of signed calls, which end within minutes"),
}
"""By table. Order: what others still read from goes last."""


# --- carrying it out --------------------------------------------------------------------


def purge(office: Office, directory: Directory, who: Signer, about: int) -> bytes:
    """Carry out that an organisation leaves, and report it. May be done again: what is gone stays gone.

    Args:
        directory: In force, or adopted after it: nodes that came after the proposal are in it.
        about: Number of the change `leave`, which two people approved.

    Returns:
        The signed report, as `check_report` reads it.

    Raises:
        Refused: Nobody approved it; or a row cannot be opened, and what came before it is purged.
    """
    with office.sitting() as sitting:
        changes = Changes().after(sitting.history)
        change = changes.known.get(about)
        if change is None or change.op != "leave" or not change.approved_at:
            raise Refused(f"No leaving with number {about} was approved by two people. Nothing was done.")
    target = Target(
        change.said["oin"],
        changes.nodes_of(change, directory),
        Rows(office.keystore, _no_escrow, office.clock),
    )
    before = counts(office, target)
    for rule in RULES.values():
        if not isinstance(rule, Kept):
            _carry_out(office, target, rule)
    after = counts(office, target)
    if any(after.values()):
        left = ", ".join(name for name, count in after.items() if count)
        raise Refused(f"Something of the organisation is left in {left}: carry it out once more.")
    with office.sitting() as sitting:
        fields = {
            "v": 1,
            "hub": office.settings.hub_id,
            "organisation": target.oin,
            "nodes": sorted(target.nodes),
            "change": about,
            "at": f"{sitting.now:%Y-%m-%dT%H:%M:%SZ}",
            "tables": {name: {"before": before[name], "after": after[name]} for name in sorted(before)},
            "kept": {name: rule.why for name, rule in sorted(RULES.items()) if isinstance(rule, Kept)},
        }
        raw = jcs(fields)
        act = Act(t="directory-purged", at=sitting.seconds, about=about, hash=hashlib.sha256(raw).hexdigest())
        sitting.add(signed(office.settings, who, act))
    signature = office.keystore.log_signing.sign(_REPORT + raw).signature
    return jcs({"report": fields, "signature": b64u(signature)})


def counts(office: Office, target: Target) -> dict[str, int]:
    """Rows of the organisation per table, of the tables that something goes from."""
    with reading(office.engine) as connection:
        return {
            name: rule.count(connection, target) for name, rule in RULES.items() if not isinstance(rule, Kept)
        }


def _carry_out(office: Office, target: Target, rule: Rule) -> None:
    at: Key | None = ()
    while at is not None:
        with office.engine.connect() as connection, connection.begin():
            lock(connection)
            at = rule.purge(connection, target, at)


def check_report(raw: bytes, log_key: bytes) -> dict[str, Any]:
    """What a report says, when the hub signed it and nothing was left.

    Args:
        log_key: Ed25519 public key of the hub's log, 32 bytes.

    Raises:
        Refused: Another form, another signature, or a count that is not zero.
    """
    try:
        said = msgspec.json.decode(raw)
        report = said["report"]
        VerifyKey(log_key).verify(_REPORT + jcs(report), unb64u(said["signature"], 64))
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError, EncodingError,
            BadSignatureError):  # fmt: skip
        raise Refused("This is no report that the hub signed.") from None
    if any(count["after"] for count in report["tables"].values()):
        raise Refused("The report says that something is left.")
    return dict(report)


def _no_escrow() -> Any:
    raise RuntimeError("nothing new is sealed while an organisation is purged")


def _some(connection: Connection, table: Table, after: Key) -> Sequence[Any]:
    keys = list(table.primary_key.columns)
    query = select(table).order_by(*keys).limit(_AT_ONCE)
    if after:
        query = query.where(_beyond(keys, after))
    return connection.execute(query).all()


def _all(connection: Connection, table: Table) -> Iterator[Any]:
    at: Key | None = ()
    while at is not None:
        found = _some(connection, table, at)
        yield from found
        at = _key(table, found[-1]) if len(found) == _AT_ONCE else None


def _beyond(keys: Sequence[Column[Any]], after: Key) -> Any:
    """Behind a key in its order; a comparison of tuples that both engines can use an index for."""
    parts = [and_(*(keys[i] == after[i] for i in range(at)), keys[at] > after[at]) for at in range(len(keys))]
    return or_(*parts)


def _key(table: Table, row: Any) -> Key:
    return tuple(row._mapping[column.name] for column in table.primary_key.columns)


def _is(keys: Sequence[Column[Any]], values: Sequence[Any]) -> Any:
    return and_(*(column == value for column, value in zip(keys, values, strict=True)))
