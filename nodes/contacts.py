"""Asking a source for contact, and hearing who asks: no content either way.

    desk: a flag that stands in an answer -> the hub decides once more and records -> date
    source: what waits at the hub -> own local reference -> a list, done or not

The desk keeps a keyed digest of what it asked about and the date, until the
visit ends; so a second click sends nothing. The source keeps role, team, date
and its own reference.

Source: docs/design/node.md, "Contact"; screens.md D6, S9.
"""

import asyncio
import hmac
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog
from sqlalchemy import Engine, delete, select, update
from sqlalchemy.dialects.sqlite import insert

from index.protocol.codec import EncodingError, unb64u
from index.protocol.messages import Contact, ContactRequest

from .employees import Employee
from .errors import BadInput, HubUnreachable, Refused, UnknownReference
from .hub import Hub
from .outbox import Outbox
from .store.database import reading, writing
from .store.tables import contact, contact_sent
from .visits import FlagView, Visits

log = structlog.get_logger()

_MOST_ROUNDS = 20
_MOST_SHOWN = 500
_DONE_KEPT_S = 90 * 86_400


@dataclass(frozen=True, slots=True)
class RequestView:
    """Somebody wants contact. `team` and `role` as the directory and the vocabulary have them."""

    id: str
    local_ref: str = field(repr=False)
    team: str
    role: str
    at: datetime
    done_at: datetime | None


class Contacts:
    """Both ends of a contact request at one node.

    Args:
        secret: Of the node.
        now: Clock, UTC.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        hub: Hub,
        visits: Visits,
        outbox: Outbox,
        secret: bytes,
        seconds: float,
        now: Callable[[], datetime],
    ) -> None:
        self._engine = engine
        self._hub = hub
        self._visits = visits
        self._outbox = outbox
        self._secret = secret
        self._seconds = seconds
        self._now = now

    # --- the desk ----------------------------------------------------------------------

    async def ask(self, employee: Employee, visit_id: str, place: int, flag: FlagView) -> datetime:
        """Ask the source of a flag for contact; when it was asked first.

        Args:
            place: 0-based place of the person in the visit.
            flag: As it stood in an answer of this visit.

        Raises:
            UnknownVisit: Not an open visit of this employee, or no such person in it.
            BadInput: The flag may not be seen (any more), or a citizen declared it.
            HubUnreachable, Refused, ReceiptInvalid: Nothing was asked.
        """
        if flag.self_declared:
            raise BadInput("flag", "no-source", "The resident said this: there is no source to ask.")
        table = await self._visits.person(employee, visit_id, place)
        tag = self._tag(visit_id, place, flag)
        earlier = await asyncio.to_thread(self._sent, visit_id, tag)
        if earlier is not None:
            return earlier
        own = table.lids[table.scopes.index(flag.domain)] if flag.domain in table.scopes else b""
        request = ContactRequest(table.ticket, flag.kind, flag.source)
        try:
            answer = await self._hub.ask_contact(request, table.asking, [own])
        except Refused as error:
            if error.reason in ("flag-not-visible", "no-source"):
                raise BadInput(
                    "flag", error.reason, "This is not visible (any more). Nothing was sent."
                ) from None
            raise
        at = datetime.fromisoformat(answer.at)
        await asyncio.to_thread(self._keep_sent, visit_id, tag, at)
        return at

    async def sent(
        self, visit_id: str, flags: Collection[tuple[int, FlagView]]
    ) -> dict[tuple[int, FlagView], datetime]:
        """When contact was asked about these flags, by place and flag; those that were not are left out."""

        def read() -> dict[bytes, datetime]:
            with reading(self._engine) as connection:
                rows = connection.execute(select(contact_sent).where(contact_sent.c.visit == visit_id)).all()
            return {row.tag: _moment(row.at) for row in rows}

        found = await asyncio.to_thread(read)
        tags = {one: self._tag(visit_id, *one) for one in flags}
        return {one: found[tag] for one, tag in tags.items() if tag in found}

    def _tag(self, visit_id: str, place: int, flag: FlagView) -> bytes:
        about = f"vlagwijzer/contact/v1/{visit_id}/{place}/{flag.kind}/{flag.source}".encode()
        return hmac.digest(self._secret, about, "sha256")[:16]

    def _sent(self, visit_id: str, tag: bytes) -> datetime | None:
        c = contact_sent.c
        with reading(self._engine) as connection:
            at = connection.execute(select(c.at).where(c.visit == visit_id, c.tag == tag)).scalar()
        return None if at is None else _moment(at)

    def _keep_sent(self, visit_id: str, tag: bytes, at: datetime) -> None:
        row = {"visit": visit_id, "tag": tag, "at": int(at.timestamp())}
        with writing(self._engine) as connection:
            connection.execute(insert(contact_sent).values(row).on_conflict_do_nothing())

    # --- the source --------------------------------------------------------------------

    async def fetch(self) -> int:
        """Fetch what waits at the hub and keep it under the own references; how many are new.

        Raises:
            HubUnreachable, Refused, ReceiptInvalid: What waits is fetched at the next look.
        """
        done: list[str] = []
        new = 0
        for _ in range(_MOST_ROUNDS):
            answer = await self._hub.contacts(done)
            if not answer.contacts:
                break
            new += await asyncio.to_thread(self._keep, answer.contacts)
            done = [one.id for one in answer.contacts]
        return new

    async def run(self) -> None:
        """Fetch until cancelled. What fails waits for the next look."""
        while True:
            try:
                await self.fetch()
            except HubUnreachable:
                log.warning("contacts_postponed")
            except Exception as error:
                log.error("contacts_failed", error=type(error).__name__)
            await asyncio.sleep(self._seconds)

    def _keep(self, requests: Collection[Contact]) -> int:
        """A request about a flag that was taken back since is let go: nobody is known here by it."""
        names = {rtag: local_ref for rtag, _, local_ref in self._outbox.live()}
        kept = 0
        with writing(self._engine) as connection:
            old = int(self._now().timestamp()) - _DONE_KEPT_S
            connection.execute(delete(contact).where(contact.c.done_at < old))
            for one in requests:
                try:
                    local_ref = names.get(unb64u(one.rtag, 32))
                except EncodingError:
                    local_ref = None
                if local_ref is None:
                    continue
                at = int(datetime.fromisoformat(one.at).timestamp())
                row = {"id": one.id, "local_ref": local_ref, "team": one.team, "role": one.role, "at": at}
                done = connection.execute(insert(contact).values(row).on_conflict_do_nothing())
                kept += done.rowcount
        return kept

    async def requests(self) -> list[RequestView]:
        """Who wants contact: what is not done first, the oldest on top."""

        def read() -> list[RequestView]:
            c = contact.c
            order = (c.done_at.is_not(None), c.at, c.id)
            with reading(self._engine) as connection:
                rows = connection.execute(select(contact).order_by(*order).limit(_MOST_SHOWN)).all()
            return [
                RequestView(
                    row.id,
                    row.local_ref,
                    row.team,
                    row.role,
                    _moment(row.at),
                    None if row.done_at is None else _moment(row.done_at),
                )
                for row in rows
            ]

        return await asyncio.to_thread(read)

    async def done(self, id_: str) -> None:
        """There was contact; again is harmless.

        Raises:
            UnknownReference: No request of this id.
        """

        def write() -> bool:
            with writing(self._engine) as connection:
                known = connection.execute(select(contact.c.id).where(contact.c.id == id_)).one_or_none()
                connection.execute(
                    update(contact)
                    .where(contact.c.id == id_, contact.c.done_at.is_(None))
                    .values(done_at=int(self._now().timestamp()))
                )
            return known is not None

        if not await asyncio.to_thread(write):
            raise UnknownReference


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
