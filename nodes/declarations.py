"""What citizens declare about themselves: published and taken back by the portal, without a list of people.

    session -> pseudonym of the kind's scope -> local reference -> outbox -> hub
    local reference = HMAC-SHA256(node secret, "vlagwijzer/declared/v1" || lp(kind) || N)[:16]

The portal is the source of these flags, with the outbox that every source has:
seq, revision, lease and retraction are the same. Its rows hold a reference
that only a session of that very citizen can make again: to find out whose it is
takes the node secret and an evaluation by the key holders under a login's grant.
No number of anybody, nor a digest of one, is kept.

Source: docs/design/pseudonyms.md, "Self-declared flags"; design.md §6.
"""

import asyncio
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from consent.pseudonym import Pseudonym
from index.protocol.codec import lp
from policy.vocabulary import Kind, Vocabulary

from .ages import next_boundary, regime_of
from .citizen import Citizens, CitizenSession
from .errors import BadInput, NotAllowed
from .outbox import Evaluated, Outbox
from .publication import Publication, month_after
from .representation import SAY
from .sender import Sender
from .trust import Trust

ORIGIN = "declared"
PERIODS: tuple[Literal[3, 6, 12], ...] = (3, 6, 12)
_LETTERS = "abcdefghijklmnop"
_WAIT_S, _POLL_S = 2.0, 0.05


@dataclass(frozen=True, slots=True)
class Declared:
    """One kind of the list, as it stands for who is logged in. `until` is its last month, `YYYY-MM`."""

    kind: str
    state: Literal["none", "waiting", "declared"]
    until: str | None = None


def reference_of(secret: bytes, kind: str, pseudonym: Pseudonym) -> str:
    """The local reference of one citizen's declaration of one kind; letters only, so never a number."""
    message = b"vlagwijzer/declared/v1" + lp(kind) + pseudonym.for_search_key()
    digest = hmac.digest(secret, message, "sha256")[:16]
    return "".join(_LETTERS[half] for byte in digest for half in (byte >> 4, byte & 15))


class Declarations:
    """Declares and takes back, for who is logged in or may choose for them.

    Args:
        secret: The node secret.
        now: Clock, UTC.
    """

    def __init__(
        self,
        citizens: Citizens,
        outbox: Outbox,
        sender: Sender,
        trust: Trust,
        vocabulary: Vocabulary,
        *,
        secret: bytes,
        now: Callable[[], datetime],
    ) -> None:
        self._citizens = citizens
        self._outbox = outbox
        self._sender = sender
        self._trust = trust
        self._vocabulary = vocabulary
        self._secret = secret
        self._now = now

    @property
    def kinds(self) -> list[Kind]:
        """The closed list, as far as the directory registers it for this portal."""
        here = self._trust.organisation
        return [
            kind
            for kind in self._vocabulary.kinds
            if kind.self_declared
            and kind.enabled
            and here.kind(kind.code) is not None
            and kind.domain in self._trust.node.scopes
            and "publish" in self._trust.node.classes
        ]

    async def of(self, session: CitizenSession) -> list[Declared]:
        """How each kind of the list stands, by the portal's own outbox."""
        found = await asyncio.to_thread(self._outbox.flags, [self._reference(session, k) for k in self.kinds])
        views = []
        for kind in self.kinds:
            flag = found.get(self._reference(session, kind))
            over = flag is None or (flag.until or "") < month_after(self._today(), 0)
            if flag is None or over or flag.state in ("retracted", "rejected"):
                views.append(Declared(kind.code, "none"))
            elif flag.state == "published":
                views.append(Declared(kind.code, "declared", flag.until))
            else:
                views.append(Declared(kind.code, "waiting", flag.until if flag.state == "queued" else None))
        return views

    def last_month(self, session: CitizenSession, months: int) -> str:
        """The last month of a declaration made now: so many months, a parent's up to the age boundary."""
        last = month_after(self._today(), months - 1)
        boundary = next_boundary(session.known.born, self._now(), self._vocabulary.limits.age_boundaries)
        if session.speaker.by == "ouder" and boundary is not None:
            last = min(last, month_after(boundary.date(), -1))
        return max(last, month_after(self._today(), 0))

    async def declare(self, session: CitizenSession, kind: str, months: Literal[3, 6, 12]) -> Declared:
        """Publish one kind about the person of the session; nobody sees it without a yes.

        Raises:
            BadInput: The kind is not on the list.
            NotAllowed: Who speaks here may not; as for a choice.
        """
        entry = self._entry(kind)
        self._check(session, entry)
        pseudonym = self._citizens.pseudonym(session, entry.domain)
        publication = Publication(
            self._reference(session, entry),
            entry.code,
            entry.domain,
            month_after(self._today(), 0),
            self.last_month(session, months),
            None,
            _person(self._secret, pseudonym),
        )
        evaluated = Evaluated([pseudonym], self._trust.manifest.current.version, self._trust.hub_key)
        await asyncio.to_thread(self._outbox.queue, ORIGIN, publications=[publication], evaluated=evaluated)
        return await self._settled(session, kind)

    async def take_back(self, session: CitizenSession, kind: str) -> Declared:
        """Retract; the secret follows from the session's own reference, so no list is needed.

        Raises:
            BadInput: The kind is not on the list.
            NotAllowed: Who speaks here may not.
        """
        entry = self._entry(kind)
        self._check(session, entry)
        reference = self._reference(session, entry)
        await asyncio.to_thread(self._outbox.queue, ORIGIN, retractions=[reference])
        return await self._settled(session, kind)

    async def _settled(self, session: CitizenSession, kind: str) -> Declared:
        """How it stands after the sender had a moment; what is not acknowledged yet waits in the outbox."""
        self._sender.wake()
        waited = 0.0
        while True:
            (found,) = [one for one in await self.of(session) if one.kind == kind]
            if found.state != "waiting" or waited >= _WAIT_S:
                return found
            await asyncio.sleep(_POLL_S)
            waited += _POLL_S

    def _entry(self, kind: str) -> Kind:
        entry = next((one for one in self.kinds if one.code == kind), None)
        if entry is None:
            raise BadInput("kind", "unknown-kind", "This cannot be declared.")
        return entry

    def _check(self, session: CitizenSession, kind: Kind) -> None:
        """Younger than 12 a parent declares, from 16 no parent; a mentor inside the measure."""
        by, regime = session.speaker.by, regime_of(session.known.born, self._now())
        if by == "zelf" and regime == "ouder":
            raise NotAllowed("age")
        if by == "ouder" and regime == "zelf":
            raise NotAllowed("parent-of-adult")
        if by in SAY and kind.domain not in SAY[by]:
            raise NotAllowed("not-your-subject")

    def _reference(self, session: CitizenSession, kind: Kind) -> str:
        return reference_of(self._secret, kind.code, self._citizens.pseudonym(session, kind.domain))

    def _today(self) -> date:
        return self._now().date()


def _person(secret: bytes, pseudonym: Pseudonym) -> bytes:
    """What the outbox keeps in place of a digest of a number: under the scope's pseudonym, 16 bytes."""
    return hmac.digest(secret, b"vlagwijzer/declared-person/v1" + pseudonym.for_search_key(), "sha256")[:16]
