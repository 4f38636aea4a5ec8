"""What this node has to tell the hub, kept until the hub has signed for it.

    checked facts -> queue -> message -> acknowledged
                       └─> waiting (sealed) -> message, once key holders answer

Promises:
- `queue` returns once everything it was given survives a crash: the messages,
  the state of each flag and the connector's cursor are one transaction.
- A message never changes: its id and bytes are the same at every attempt.
- A later message about a flag never overtakes an earlier one.
- A message holds points sealed to the hub. A BSN is kept only while the key
  holders cannot be reached, sealed under the node's storage key.

Source: docs/design/node.md, "Outbox".
"""

import secrets
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, Engine, delete, exists, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from consent.pseudonym import Pseudonym
from index.protocol.codec import b64u
from index.protocol.entry import log_id
from index.protocol.messages import (
    ItemResult,
    PublicationItem,
    PublicationRequest,
    RetractionItem,
    RetractionRequest,
)
from index.protocol.points import seal_points

from .bsn import Bsn
from .errors import SourceOff, Wrong
from .persons import open_bsn, person_tag, seal_bsn
from .publication import Publication
from .retraction import rtag_of, secret_of
from .settings import NodeKeys
from .store.database import reading, writing
from .store.seal import seal, unseal
from .store.tables import counter, flag, item, message, receipt, rejected, switch_off, waiting
from .store.tables import cursor as cursor_table

PUBLICATIONS = "/v1/publications"
RETRACTIONS = "/v1/retractions"
CONFIRMED = "confirmation"
"""Name of the cursor that remembers when the hub last confirmed the live flags."""
Memory = Callable[[Connection], None]
"""What a connector writes into the store, in the transaction of the messages it belongs to."""
_CHUNK = 500
_AGAIN_MS = 60_000
_LID = 16

State = Literal["queued", "published", "retracting", "retracted", "rejected"]


def no_memory(_connection: Connection) -> None:
    """For a connector that remembers nothing besides its flags."""


@dataclass(slots=True)
class Flag:
    """The node's memory of one local reference. `person` is a keyed digest of the BSN."""

    local_ref: str
    origin: str
    kind: str
    since: str
    until: str | None
    person: bytes
    revision: int
    seq: int
    state: State
    reason: str
    live_seq: int | None
    live_revision: int | None
    message_id: str | None
    changed_at: int
    acknowledged_at: int | None

    @property
    def meant_live(self) -> bool:
        """Whether the source last said that this holds."""
        return self.state in ("queued", "published")


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Pseudonyms of publications, in their order, made under one manifest version."""

    pseudonyms: Sequence[Pseudonym]
    version: int
    hub_key: bytes


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a connector has read: rows of its last run and a position of its own.

    `whole`: the run was a whole list, so the rejections of the list before are out of date.
    """

    connector: str
    rows: int
    position: str
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Rejection:
    """An item that cannot be passed on. `line` is the row in a file, where there is one."""

    local_ref: str
    wrong: Wrong
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One part of a message, as the answer must account for it."""

    seq: int
    local_ref: str
    revision: int
    action: Literal["publish", "retract"]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message that may be sent now. `lids` are those of its items, where they are known."""

    number: int
    message_id: str
    path: str
    body: bytes
    lids: list[bytes]
    items: list[Item]
    attempts: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A publication that waits for the key holders; its BSN was opened for this attempt."""

    seq: int
    revision: int
    publication: Publication = field(repr=False)


@dataclass(slots=True)
class _Plan:
    """What one transaction adds."""

    origin: str
    seqs: "_Counter"
    known: dict[str, Flag]
    publish: list[tuple[Item, Publication, Pseudonym | None]] = field(default_factory=list)
    retract: list[Item] = field(default_factory=list)
    changed: dict[str, Flag] = field(default_factory=dict)
    unqueued: list[str] = field(default_factory=list)


class Outbox:
    """The outbox of one node, shared by its processes through the store.

    Args:
        batch: Most items in one message.
        now: Clock, UTC; orders nothing.
    """

    def __init__(
        self, engine: Engine, keys: NodeKeys, node: str, *, batch: int, now: Callable[[], datetime]
    ) -> None:
        self._engine = engine
        self._keys = keys
        self._node = node
        self._batch = batch
        self._now = now

    # --- taking in ---------------------------------------------------------------------

    def person(self, bsn: Bsn) -> bytes:
        """Keyed digest that stands for a person in the node's own memory."""
        return person_tag(self._keys.secret, bsn)

    def person_of(self, publication: Publication) -> bytes:
        """What stands for its person: a keyed digest of the BSN, or what the portal has in its place."""
        return publication.person if publication.bsn is None else self.person(publication.bsn)

    def flags(self, local_refs: Iterable[str]) -> dict[str, Flag]:
        """What is known of these references."""
        with reading(self._engine) as connection:
            return _flags(connection, list(local_refs))

    def flags_of(self, origin: str) -> dict[str, Flag]:
        """All references that a connector brought in."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(flag).where(flag.c.origin == origin)).mappings()
            return {row["local_ref"]: Flag(**row) for row in rows}

    def references_of(self, bsn: Bsn, origin: str | None = None) -> list[str]:
        """Own references about one person that are meant to be live, of one connector or of all."""
        person = self.person(bsn)
        with reading(self._engine) as connection:
            query = select(flag.c.local_ref, flag.c.origin).where(
                flag.c.person == person, flag.c.state.in_(("queued", "published"))
            )
            rows = connection.execute(query).all()
        return sorted(row.local_ref for row in rows if origin is None or row.origin == origin)

    def is_same(self, known: Flag | None, publication: Publication) -> bool:
        """Whether the hub has, or will get, exactly this already."""
        return known is not None and known.meant_live and self._equal(known, publication)

    def _equal(self, known: Flag, publication: Publication) -> bool:
        return (
            known.kind == publication.kind
            and known.since == publication.since
            and known.until == publication.until
            and secrets.compare_digest(known.person, self.person_of(publication))
        )

    def queue(
        self,
        origin: str,
        *,
        publications: Sequence[Publication] = (),
        evaluated: Evaluated | None = None,
        retractions: Sequence[str] = (),
        rejections: Sequence[Rejection] = (),
        cursor: Cursor | None = None,
        memory: Memory = no_memory,
    ) -> None:
        """Store everything in one transaction: survives a crash, or nothing of it happened.

        Args:
            origin: Which connector speaks; `api` for calls of systems.
            publications: Each local reference at most once. Unchanged ones cost nothing.
            evaluated: Their pseudonyms in the same order; None makes them wait, sealed.
            retractions: Unknown or retracted references are left as they are.
            cursor: Advances together with the messages it stands for. Advancing it
                first would lose a change if the process died in between.
            memory: What the connector remembers, in this transaction too.

        Raises:
            SourceOff: Something is published, and the source was switched off.
        """
        names = [*(p.local_ref for p in publications), *retractions]
        with writing(self._engine) as connection:
            if publications and is_off(connection):
                raise SourceOff("The source is switched off. Nothing was done.")
            plan = _Plan(origin, _Counter(connection), _flags(connection, names))
            for local_ref in retractions:
                if (old := plan.known.get(local_ref)) is not None:
                    self._plan_retraction(plan, old)
            points = evaluated.pseudonyms if evaluated else [None] * len(publications)
            for publication, point in zip(publications, points, strict=True):
                self._plan_publication(plan, publication, point)
            plan.seqs.save()
            _drop_waiting(connection, plan.unqueued)
            self._store(connection, plan, evaluated)
            memory(connection)
            if cursor is not None and cursor.whole:
                # A new snapshot makes the rejections of the one before out of date.
                connection.execute(delete(rejected).where(rejected.c.origin == origin))
            self._reject(connection, origin, rejections)
            if cursor is not None:
                _advance(connection, cursor, self._ms())

    def _plan_retraction(self, plan: _Plan, old: Flag) -> None:
        if old.state in ("retracted", "retracting"):
            return
        part = Item(plan.seqs.next(), old.local_ref, old.revision, "retract")
        plan.retract.append(part)
        plan.unqueued.append(old.local_ref)
        old.seq, old.revision, old.state, old.reason = part.seq, old.revision + 1, "retracting", ""
        old.changed_at = self._ms()
        plan.changed[old.local_ref] = old

    def _plan_publication(self, plan: _Plan, publication: Publication, point: Pseudonym | None) -> None:
        old = plan.known.get(publication.local_ref)
        if old is not None and old.meant_live and self._equal(old, publication):
            return
        person = self.person_of(publication)
        if old is not None and (old.person != person or old.kind != publication.kind):
            # Another person, or another scope: the old flag goes first, then the new one comes.
            self._plan_retraction(plan, old)
        part = Item(plan.seqs.next(), publication.local_ref, old.revision if old else 0, "publish")
        fresh = Flag(
            local_ref=publication.local_ref,
            origin=plan.origin,
            kind=publication.kind,
            since=publication.since,
            until=publication.until,
            person=person,
            revision=part.revision,
            seq=part.seq,
            state="queued",
            reason="",
            live_seq=old.live_seq if old else None,
            live_revision=old.live_revision if old else None,
            message_id=old.message_id if old else None,
            changed_at=self._ms(),
            acknowledged_at=old.acknowledged_at if old else None,
        )
        plan.known[fresh.local_ref] = plan.changed[fresh.local_ref] = fresh
        plan.unqueued.append(fresh.local_ref)
        plan.publish.append((part, publication, point))

    def _store(self, connection: Connection, plan: _Plan, evaluated: Evaluated | None) -> None:
        _save_flags(connection, plan.changed.values())
        # Retractions first: a corrected BSN must be gone before it is somewhere else.
        for retractions in _batches(plan.retract, self._batch):
            self._put_retractions(connection, retractions)
        if evaluated is not None:
            for publications in _batches(plan.publish, self._batch):
                self._put_publications(connection, publications, evaluated)
        elif plan.publish:
            connection.execute(insert(waiting), [self._waiting(part, p) for part, p, _ in plan.publish])

    def _waiting(self, part: Item, publication: Publication) -> dict[str, Any]:
        if publication.bsn is None:
            raise ValueError("without a number nothing can be evaluated later")
        return {
            "seq": part.seq,
            "local_ref": part.local_ref,
            "revision": part.revision,
            "kind": publication.kind,
            "since": publication.since,
            "until": publication.until,
            "sealed": seal_bsn(self._keys.storage, part.seq, publication.bsn),
            "created_at": self._ms(),
        }

    def _put_retractions(self, connection: Connection, items: list[Item], delay_ms: int = 0) -> None:
        _shuffle(items)
        body = RetractionRequest(
            [
                RetractionItem(part.seq, b64u(secret_of(self._keys.secret, part.local_ref, part.revision)))
                for part in items
            ]
        )
        raw = msgspec.json.encode(body)
        self._put(
            connection,
            items,
            message_id=str(uuid.uuid4()),
            path=RETRACTIONS,
            body=raw,
            lids=None,
            next_at=self._ms() + delay_ms if delay_ms else 0,
        )

    def _put_publications(
        self,
        connection: Connection,
        batch: list[tuple[Item, Publication, Pseudonym | None]],
        evaluated: Evaluated,
    ) -> None:
        # Shuffled: neighbours in the source must not be neighbours at the hub.
        _shuffle(batch)
        message_id = str(uuid.uuid4())
        points = [point.for_sealed_points() for _, _, point in batch if point is not None]
        body = PublicationRequest(
            version=evaluated.version,
            points=b64u(seal_points(evaluated.hub_key, self._node, message_id, points)),
            items=[
                PublicationItem(
                    seq=part.seq,
                    rtag=b64u(rtag_of(secret_of(self._keys.secret, part.local_ref, part.revision))),
                    kind=publication.kind,
                    since=publication.since,
                    until=publication.until,
                )
                for part, publication, _ in batch
            ],
        )
        lids = [log_id(point.scope, point.for_search_key()) for _, _, point in batch if point is not None]
        sealed = seal(self._keys.storage, "message", message_id, b"".join(lids))
        items = [part for part, _, _ in batch]
        raw = msgspec.json.encode(body)
        self._put(connection, items, message_id=message_id, path=PUBLICATIONS, body=raw, lids=sealed)

    def _put(self, connection: Connection, items: list[Item], **content: str | bytes | int | None) -> None:
        row = {**content, "created_at": self._ms()}
        number = connection.execute(insert(message), row).inserted_primary_key
        assert number is not None  # noqa: S101 - an autoincrement key is always there
        connection.execute(
            insert(item),
            [{"message": number[0], "position": at, **asdict(part)} for at, part in enumerate(items)],
        )

    # --- what waits for the key holders ------------------------------------------------

    def take_waiting(self, limit: int) -> list[Waiting]:
        """The oldest publications that wait for the key holders, their BSNs opened."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(waiting).order_by(waiting.c.seq).limit(limit)).all()
        return [
            Waiting(
                row.seq,
                row.revision,
                Publication(
                    row.local_ref,
                    row.kind,
                    "",
                    row.since,
                    row.until,
                    open_bsn(self._keys.storage, row.seq, row.sealed),
                ),
            )
            for row in rows
        ]

    def waiting_evaluated(self, entries: Sequence[Waiting], evaluated: Evaluated) -> int:
        """Turn waiting publications into messages and forget their BSNs; returns how many still counted."""
        with writing(self._engine) as connection:
            seqs = [entry.seq for entry in entries]
            # One that was retracted or replaced meanwhile is gone, and must not come back.
            alive = set(connection.scalars(select(waiting.c.seq).where(waiting.c.seq.in_(seqs))))
            batch = [
                (
                    Item(entry.seq, entry.publication.local_ref, entry.revision, "publish"),
                    entry.publication,
                    point,
                )
                for entry, point in zip(entries, evaluated.pseudonyms, strict=True)
                if entry.seq in alive
            ]
            connection.execute(delete(waiting).where(waiting.c.seq.in_(alive)))
            for part in _batches(batch, self._batch):
                self._put_publications(connection, list(part), evaluated)
            return len(batch)

    # --- sending -----------------------------------------------------------------------

    def next_message(self) -> Outgoing | None:
        """The first message that may go now.

        One that was postponed holds back only later messages about the same flags.
        """
        earlier, same = item.alias("earlier"), item.alias("same")
        overtakes = exists().where(
            same.c.message == message.c.number,
            earlier.c.local_ref == same.c.local_ref,
            earlier.c.message < message.c.number,
        )
        with reading(self._engine) as connection:
            row = connection.execute(
                select(message)
                .where(message.c.next_at <= self._ms(), ~overtakes)
                .order_by(message.c.number)
                .limit(1)
            ).one_or_none()
            if row is None:
                return None
            parts = connection.execute(
                select(item.c.seq, item.c.local_ref, item.c.revision, item.c.action)
                .where(item.c.message == row.number)
                .order_by(item.c.position)
            ).all()
        lids = b"" if row.lids is None else unseal(self._keys.storage, "message", row.message_id, row.lids)
        return Outgoing(
            row.number,
            row.message_id,
            row.path,
            row.body,
            [lids[at : at + _LID] for at in range(0, len(lids), _LID)],
            [Item(*part) for part in parts],
            row.attempts,
        )

    def acknowledge(self, sent: Outgoing, results: Sequence[ItemResult], jws: str) -> None:
        """Take a signed answer in: states, receipt and rejections, and the message is done."""
        outcome = {result.seq: result for result in results}
        with writing(self._engine) as connection:
            known = _flags(connection, [part.local_ref for part in sent.items])
            refusals, again = [], []
            for part in sent.items:
                result = outcome.get(part.seq, ItemResult(part.seq, "refused", "no-result"))
                current = known.get(part.local_ref)
                if part.action == "retract" and result.outcome == "refused":
                    again.append(part)
                elif current is not None:
                    refusals += self._settle(current, part, result, sent.message_id)
            _save_flags(connection, known.values())
            self._reject(connection, "hub", refusals)
            row = {"message_id": sent.message_id, "jws": jws, "at": self._ms()}
            connection.execute(upsert(receipt).values(row).on_conflict_do_nothing())
            _remove(connection, sent.number)
            if again:
                # A retraction is never given up.
                self._put_retractions(connection, again, delay_ms=_AGAIN_MS)

    def _settle(self, current: Flag, part: Item, result: ItemResult, message_id: str) -> list[Rejection]:
        latest = current.seq == part.seq
        if part.action == "retract":
            if current.live_revision == part.revision:
                current.live_seq = current.live_revision = None
            if latest:
                # What is gone needs no person any more, and none is kept.
                current.state, current.person = "retracted", bytes(len(current.person))
        elif result.outcome == "stored":
            current.live_seq, current.live_revision = part.seq, part.revision
            if latest:
                current.state = "published"
        elif latest:
            current.state, current.reason = "rejected", result.code or result.outcome
            wrong = Wrong("flag", current.reason, "The hub did not accept this flag.")
            return [Rejection(part.local_ref, wrong)]
        if latest:
            current.message_id, current.acknowledged_at = message_id, self._ms()
        return []

    def postpone(self, number: int, problem: str, seconds: float) -> None:
        """Keep a message for a later attempt; nothing about it changes."""
        next_at = self._ms() + int(seconds * 1000)
        with writing(self._engine) as connection:
            connection.execute(
                update(message)
                .where(message.c.number == number)
                .values(attempts=message.c.attempts + 1, next_at=next_at, problem=problem[:60])
            )

    def refuse(self, sent: Outgoing, code: str) -> None:
        """The hub refuses a publication message as a whole: its flags must come from the source again."""
        with writing(self._engine) as connection:
            known = _flags(connection, [part.local_ref for part in sent.items])
            refused = [part for part in sent.items if (f := known.get(part.local_ref)) and f.seq == part.seq]
            for part in refused:
                known[part.local_ref].state, known[part.local_ref].reason = "rejected", code[:60]
            _save_flags(connection, known.values())
            wrong = Wrong("message", code[:60], "The hub refused the message; send this flag again.")
            self._reject(connection, "hub", [Rejection(part.local_ref, wrong) for part in refused])
            _remove(connection, sent.number)

    def hurry(self) -> None:
        """Let everything that was postponed go now: the hub answers again."""
        with writing(self._engine) as connection:
            connection.execute(update(message).where(message.c.next_at > 0).values(next_at=0))

    # --- what holds now ----------------------------------------------------------------

    def live(self) -> list[tuple[bytes, int, str]]:
        """`(rtag, seq, local reference)` of every flag the hub has signed for."""
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(flag.c.local_ref, flag.c.live_revision, flag.c.live_seq).where(
                    flag.c.live_seq.is_not(None)
                )
            ).all()
        return [
            (
                rtag_of(secret_of(self._keys.secret, row.local_ref, row.live_revision)),
                row.live_seq,
                row.local_ref,
            )
            for row in rows
        ]

    def is_drained(self) -> bool:
        """Whether the hub has signed for everything."""
        with reading(self._engine) as connection:
            busy = select(exists().where(message.c.number > 0) | exists().where(waiting.c.seq > 0))
            return not connection.scalar(busy)

    def ended(self, has_ended: Callable[[str, str | None], bool]) -> list[str]:
        """Live flags whose period is over, by kind and until."""
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(flag.c.local_ref, flag.c.kind, flag.c.until).where(
                    flag.c.until.is_not(None), flag.c.state.in_(("queued", "published"))
                )
            ).all()
        return [row.local_ref for row in rows if has_ended(row.kind, row.until)]

    def lost(self, local_refs: Sequence[str], compared: Mapping[str, int] | None = None) -> None:
        """The hub turns out not to have these flags: their source must send them again.

        Args:
            compared: The sequence number with which each was compared; one that has
                another by now changed meanwhile, and is left as it is.
        """
        with writing(self._engine) as connection:
            known = {
                ref: current
                for ref, current in _flags(connection, list(local_refs)).items()
                if compared is None or compared.get(ref) == current.live_seq
            }
            for current in known.values():
                current.live_seq = current.live_revision = None
                if current.state == "published":
                    current.state, current.reason = "rejected", "missing-at-hub"
            _save_flags(connection, known.values())
            wrong = Wrong("flag", "missing-at-hub", "The hub does not have this flag; send it again.")
            self._reject(connection, "hub", [Rejection(ref, wrong) for ref in known])

    def take_back(self, rtags: set[bytes]) -> int:
        """Retract what the hub has and this node does not; returns how many of them were known here."""
        with writing(self._engine) as connection:
            seqs = _Counter(connection)
            items = []
            # Another process may be sending: what the hub has stored and not yet signed for here is no extra.
            sent = set(connection.scalars(select(item.c.local_ref)))
            for row in connection.execute(select(flag.c.local_ref, flag.c.revision, flag.c.live_revision)):
                # A live revision is meant to be there, and computing a million of them takes long.
                for revision in set(range(row.revision + 1)) - {row.live_revision}:
                    own = rtag_of(secret_of(self._keys.secret, row.local_ref, revision))
                    if own in rtags and row.local_ref not in sent:
                        items.append(Item(seqs.next(), row.local_ref, revision, "retract"))
            seqs.save()
            for batch in _batches(items, self._batch):
                self._put_retractions(connection, batch)
            return len(items)

    def cursor(self, connector: str) -> Cursor | None:
        """How far a connector has read."""
        with reading(self._engine) as connection:
            row = connection.execute(
                select(cursor_table).where(cursor_table.c.connector == connector)
            ).one_or_none()
        return None if row is None else Cursor(row.connector, row.rows, row.position)

    def confirmed(self, live: int) -> None:
        """Remember that the hub confirmed the live flags now."""
        with writing(self._engine) as connection:
            _advance(connection, Cursor(CONFIRMED, live, ""), self._ms())

    def receipt_of(self, message_id: str) -> str | None:
        """The hub's signed receipt of a message."""
        with reading(self._engine) as connection:
            return connection.scalar(select(receipt.c.jws).where(receipt.c.message_id == message_id))

    def reject(self, origin: str, rejections: Sequence[Rejection]) -> None:
        """Put items on the list of what could not be passed on."""
        with writing(self._engine) as connection:
            self._reject(connection, origin, rejections)

    def _reject(self, connection: Connection, origin: str, rejections: Sequence[Rejection]) -> None:
        rows = [
            {
                "origin": origin,
                "local_ref": rejection.local_ref,
                "line": rejection.line,
                "field": rejection.wrong.field[:60],
                "code": rejection.wrong.code,
                "detail": rejection.wrong.detail,
                "at": self._ms(),
            }
            for rejection in rejections
        ]
        if rows:
            connection.execute(insert(rejected), rows)

    def _ms(self) -> int:
        return int(self._now().timestamp() * 1000)

    def today(self) -> date:
        """The day of the clock, UTC."""
        return self._now().date()


class _Counter:
    """`seq` of this node: rises with every item, in one transaction with what it numbers."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._value = connection.scalar(select(counter.c.value).where(counter.c.name == "seq")) or 0

    def next(self) -> int:
        self._value += 1
        return self._value

    def save(self) -> None:
        row = {"name": "seq", "value": self._value}
        self._connection.execute(
            upsert(counter)
            .values(row)
            .on_conflict_do_update(index_elements=["name"], set_={"value": self._value})
        )


def _flags(connection: Connection, local_refs: list[str]) -> dict[str, Flag]:
    found: dict[str, Flag] = {}
    for part in _batches(local_refs, _CHUNK):
        rows = connection.execute(select(flag).where(flag.c.local_ref.in_(part))).mappings()
        found.update({row["local_ref"]: Flag(**row) for row in rows})
    return found


def _save_flags(connection: Connection, flags: Iterable[Flag]) -> None:
    rows = [asdict(current) for current in flags]
    if not rows:
        return
    statement = upsert(flag)
    changed = {column.name: statement.excluded[column.name] for column in flag.c if not column.primary_key}
    connection.execute(statement.on_conflict_do_update(index_elements=["local_ref"], set_=changed), rows)


def _drop_waiting(connection: Connection, local_refs: list[str]) -> None:
    for part in _batches(local_refs, _CHUNK):
        connection.execute(delete(waiting).where(waiting.c.local_ref.in_(part)))


def _advance(connection: Connection, to: Cursor, at: int) -> None:
    values = {"connector": to.connector, "rows": to.rows, "position": to.position, "at": at}
    connection.execute(
        upsert(cursor_table).values(values).on_conflict_do_update(index_elements=["connector"], set_=values)
    )


def _remove(connection: Connection, number: int) -> None:
    connection.execute(delete(item).where(item.c.message == number))
    connection.execute(delete(message).where(message.c.number == number))


def _batches(items: Sequence[Any], size: int) -> Iterable[list[Any]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def _shuffle(items: list[Any]) -> None:
    secrets.SystemRandom().shuffle(items)


def waiting_counts(connection: Connection) -> tuple[int, int, int | None]:
    """Items not acknowledged, those that wait for key holders, and the time of the oldest."""
    items = connection.scalar(select(func.count()).select_from(item)) or 0
    held = connection.scalar(select(func.count()).select_from(waiting)) or 0
    oldest = [
        at
        for at in (
            connection.scalar(select(func.min(message.c.created_at))),
            connection.scalar(select(func.min(waiting.c.created_at))),
        )
        if at is not None
    ]
    return items + held, held, min(oldest, default=None)


def is_off(connection: Connection) -> bool:
    """Whether the source was switched off (`nodes.switching_off`), in the caller's own transaction."""
    return connection.scalar(select(switch_off.c.id).where(switch_off.c.off_at.is_not(None))) is not None
