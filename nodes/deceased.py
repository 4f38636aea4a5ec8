"""Somebody died: the BRP says so, and every flag of this node about them goes and stays gone.

    a list or message -> BRP port -> what it publishes about who died is rejected, with a reason
    `node deceased`   -> BRP port -> own references about who died -> retracted, remembered as died

The BRP is asked for the number alone; that somebody died comes with every
answer. A BRP that gives no answer says of nobody that they died: publishing
goes on, and the command changes nothing.

Source: docs/design/ecosystem.md, "From message to publish or retract"; BRP API Personen 2,
`opschortingBijhouding`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import structlog
from sqlalchemy import Connection, Engine

from .brp import Brp
from .bsn import Bsn
from .connectors import heard
from .errors import BrpUnavailable, Wrong
from .outbox import Memory, Outbox, Rejection, no_memory
from .publication import Publication

log = structlog.get_logger()

AT_ONCE = 20
NUMBER_ONLY = ("burgerservicenummer",)
ORIGIN = "brp"
"""Under this name the retractions stand; flags keep the name of the connector that brought them."""


class Alive(Protocol):
    """Keeps publications about people who died away."""

    async def split(self, publications: Sequence[Publication]) -> tuple[list[Publication], list[Rejection]]:
        """Those to go on with, and those about somebody who died, as rejections."""


class Everybody:
    """Where nobody asks the BRP: all publications go on."""

    async def split(self, publications: Sequence[Publication]) -> tuple[list[Publication], list[Rejection]]:
        """See `Alive.split`."""
        return list(publications), []


class AskedAtBrp:
    """Asks the BRP about each person that is published."""

    def __init__(self, brp: Brp) -> None:
        self._brp = brp

    async def split(self, publications: Sequence[Publication]) -> tuple[list[Publication], list[Rejection]]:
        """See `Alive.split`. Without an answer all go on: a fault is no death."""
        known = [(one, one.bsn) for one in publications if one.bsn is not None]
        try:
            died = await died_of(self._brp, [bsn for _, bsn in known])
        except BrpUnavailable:
            log.warning("deaths_not_asked", count=len(known))
            return list(publications), []
        gone = {one.local_ref for (one, _), dead in zip(known, died, strict=True) if dead}
        wrong = Wrong("bsn", "deceased", "The BRP says that this person died; nothing is passed on.")
        return (
            [one for one in publications if one.local_ref not in gone],
            [Rejection(one.local_ref, wrong) for one in publications if one.local_ref in gone],
        )


async def died_of(brp: Brp, bsns: Sequence[Bsn]) -> list[bool]:
    """Of each, in the order given, whether the BRP says that they died.

    Raises:
        BrpUnavailable: Nothing is known of any.
    """
    died: list[bool] = []
    for first in range(0, len(bsns), AT_ONCE):
        some = bsns[first : first + AT_ONCE]
        # Each once in a question, as the service wants it.
        asked: list[Bsn] = []
        for bsn in some:
            if bsn not in asked:
                asked.append(bsn)
        records = await brp.persons(asked, fields=NUMBER_ONLY)
        gone = [record is not None and record.deceased for record in records]
        died += [gone[asked.index(bsn)] for bsn in some]
    return died


def burial(outbox: Outbox, engine: Engine, bsns: Sequence[Bsn], now: datetime) -> tuple[list[str], Memory]:
    """Own references about these people, and what is remembered so that no late message revives one."""
    refs = sorted({ref for bsn in bsns for ref in outbox.references_of(bsn)})
    if not refs:
        return [], no_memory
    origins: dict[str, list[str]] = {}
    for ref, known in outbox.flags(refs).items():
        origins.setdefault(known.origin, []).append(ref)
    at = now.strftime("%Y-%m-%dT%H:%M:%S")
    hearings = [heard.bury(engine, origin, own, at) for origin, own in origins.items()]

    def remember(connection: Connection) -> None:
        for hearing in hearings:
            hearing.save(connection)

    return refs, remember
