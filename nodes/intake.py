"""The way in: checked facts are pseudonymised and queued, or queued sealed when key holders are down."""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from .deceased import Alive, Everybody
from .errors import HolderLied, HolderRefused, HoldersUnreachable
from .outbox import Cursor, Evaluated, Memory, Outbox, Rejection, no_memory
from .pseudonymise import Pseudonymiser
from .publication import Publication
from .trust import Trust

log = structlog.get_logger()


class Intake:
    """Front of the outbox for API and connectors.

    `holders_silent` is what the last evaluation said: key holders that cannot be
    reached, refuse or lie make publications wait, and retractions go on.
    """

    def __init__(
        self, outbox: Outbox, pseudonymiser: Pseudonymiser, trust: Trust, alive: Alive | None = None
    ) -> None:
        self.alive: Alive = alive or Everybody()
        """Asked by connectors about what they publish."""
        self._outbox = outbox
        self._pseudonymiser = pseudonymiser
        self._trust = trust
        self.holders_silent = False
        self.alarm = ""

    async def evaluate(
        self, publications: Sequence[Publication], done: Callable[[int], None] = lambda _count: None
    ) -> Evaluated | None:
        """Pseudonyms in the order of the publications; None when the key holders do not give them now.

        The scope of each follows from its kind. An unverified result never gets here.
        """
        requests = [(one.bsn, (one.scope,)) for one in publications if one.bsn is not None]
        try:
            found = await self._pseudonymiser.pseudonymise(requests, "publish", done=done)
        except (HoldersUnreachable, HolderRefused) as error:
            self.holders_silent = True
            log.warning("publications_wait", reason=type(error).__name__, count=len(publications))
            return None
        except HolderLied as error:
            self.holders_silent, self.alarm = True, error.holder
            return None
        self.holders_silent, self.alarm = False, ""
        return Evaluated([values[0] for values in found.pseudonyms], found.version, self._trust.hub_key)

    async def submit(
        self,
        origin: str,
        *,
        publications: Sequence[Publication] = (),
        retractions: Sequence[str] = (),
        rejections: Sequence[Rejection] = (),
        cursor: Cursor | None = None,
        memory: Memory = no_memory,
        done: Callable[[int], None] = lambda _count: None,
    ) -> None:
        """Queue; returns once it survives a crash. What the hub has already is not evaluated again.

        Args:
            publications: Each local reference at most once.
            cursor: Advances in the same transaction.
            memory: What a connector remembers, in the same transaction.
            done: Told how many more publications are pseudonymised, before they are queued.
        """
        known = await asyncio.to_thread(self._outbox.flags, [p.local_ref for p in publications])
        fresh = [p for p in publications if not self._outbox.is_same(known.get(p.local_ref), p)]
        evaluated = await self.evaluate(fresh, done) if fresh else None
        await asyncio.to_thread(
            self._outbox.queue,
            origin,
            publications=fresh,
            evaluated=evaluated,
            retractions=retractions,
            rejections=rejections,
            cursor=cursor,
            memory=memory,
        )
