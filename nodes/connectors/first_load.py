"""The first load of a source: nothing is passed on before everything is right and two people said so.

    deliver -> valid rows are kept, sealed; rejected rows come back as a file
    deliver the corrected rows -> they join what is kept, only differences count
    sign, sign by another person -> passed on as one whole list, and what was kept is erased

A signature is of exactly the rows that are kept: whatever is delivered after it
makes it void. The file itself is read once and not kept.

Source: docs/scope.md, "Eenmalige gegevensverstrekking Jeugd".
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey
from sqlalchemy import Connection, Engine, delete, func, select
from sqlalchemy.dialects.sqlite import insert as upsert

from index.protocol.codec import EncodingError, unb64u

from ..errors import BadInput, NotAllowed, SettingsError
from ..outbox import Outbox, Rejection
from ..publication import FIELDS, Publication, Rules
from ..store.database import reading, writing
from ..store.seal import seal, unseal
from ..store.tables import first_load, first_load_state
from .facts import Fact, Read, Refused
from .plan import Plan, plan, showable


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a delivery did, and what is kept after it. `rejections` is empty when nothing was rejected."""

    new: int
    changed: int
    same: int
    kept: int
    rejections: list[Rejection]


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the first load of a source is."""

    kept: int
    rejected: int
    signed_by: str


class FirstLoad:
    """The first load of one source.

    Args:
        storage_key: Seals the rows while they are kept.
        approvers: Public keys of those who may sign, by name.
        now: Clock, UTC.
    """

    def __init__(
        self,
        connector: str,
        *,
        engine: Engine,
        storage_key: bytes,
        outbox: Outbox,
        rules: Rules,
        approvers: Mapping[str, str],
        now: Callable[[], datetime],
    ) -> None:
        self._connector = connector
        self._engine = engine
        self._key = storage_key
        self._outbox = outbox
        self._rules = rules
        self._approvers = approvers
        self._now = now

    def deliver(self, reads: list[Read], names: Mapping[str, str]) -> Delivered:
        """Keep the rows that are right, in one transaction; anything signed before is void.

        Args:
            names: What the source calls the fields, for the reasons.
        """
        good: dict[str, bytes] = {}
        rejections: list[Rejection] = []
        for read in reads:
            if isinstance(read, Refused):
                rejections += [Rejection(_shown(read.local_ref), one, read.line) for one in read.wrong]
            if not isinstance(read, Fact):
                continue
            checked = self._rules.check(read.item, names=names)
            if isinstance(checked, Publication):
                fields = {name: read.item.get(name) for name in FIELDS}
                good[checked.local_ref] = msgspec.json.encode(fields)
            else:
                shown = _shown(str(read.item.get("localRef") or ""))
                rejections += [Rejection(shown, one, read.line) for one in checked]
        rejected = len({one.line for one in rejections})
        with writing(self._engine) as connection:
            kept = self._kept(connection)
            new = sum(ref not in kept for ref in good)
            changed = sum(ref in kept and kept[ref] != content for ref, content in good.items())
            for ref, content in good.items():
                row = {
                    "connector": self._connector,
                    "local_ref": ref,
                    "sealed": seal(self._key, "first_load", f"{self._connector}/{ref}", content),
                }
                connection.execute(
                    upsert(first_load)
                    .values(row)
                    .on_conflict_do_update(index_elements=["connector", "local_ref"], set_=row)
                )
            self._put_state(connection, rejected, "", b"")
        return Delivered(new, changed, len(good) - new - changed, len({*kept, *good}), rejections)

    def standing(self) -> Standing | None:
        """How far it is; None when nothing was delivered."""
        with reading(self._engine) as connection:
            state = connection.execute(
                select(first_load_state).where(first_load_state.c.connector == self._connector)
            ).one_or_none()
            kept = connection.scalar(select(func.count()).where(first_load.c.connector == self._connector))
        return None if state is None else Standing(kept or 0, state.rejected, state.signed_by)

    def sign(self, name: str, key: bytes, *, leave_rejected: bool = False) -> Plan | None:
        """Sign for what is kept. The second person gets the plan that passes all of it on.

        Args:
            key: Ed25519 seed of this person.
            leave_rejected: The rows that are still rejected are left out on purpose.

        Raises:
            NotAllowed: Not registered, another key, or the same person twice.
            BadInput: Nothing was delivered, or rows are still rejected.
        """
        with writing(self._engine) as connection:
            state = connection.execute(
                select(first_load_state).where(first_load_state.c.connector == self._connector)
            ).one_or_none()
            if state is None:
                raise BadInput("first-load", "nothing-delivered", "Deliver the list first.")
            if state.rejected and not leave_rejected:
                rule = f"{state.rejected} rows are still rejected: deliver them corrected, or leave them out."
                raise BadInput("first-load", "still-rejected", rule)
            kept = self._kept(connection)
            digest = self._digest(kept)
            self._prove(name, key, digest)
            if state.signed_by == name:
                raise NotAllowed("second-person-needed")
            if not state.signed_by or not hmac.compare_digest(state.digest, digest):
                self._put_state(connection, state.rejected, name, digest)
                return None
        facts: list[Read] = [Fact(msgspec.json.decode(content)) for content in kept.values()]
        return plan(
            facts,
            self._outbox,
            self._rules,
            connector=self._connector,
            whole=True,
            position=digest.hex()[:32],
            memory=self.forget,
        )

    def forget(self, connection: Connection) -> None:
        """Erase what is kept."""
        for table in (first_load, first_load_state):
            connection.execute(delete(table).where(table.c.connector == self._connector))

    def drop(self) -> None:
        """Give the first load up."""
        with writing(self._engine) as connection:
            self.forget(connection)

    def _prove(self, name: str, key: bytes, digest: bytes) -> None:
        statement = b"vlagwijzer/first-load/v1" + digest
        try:
            public = VerifyKey(unb64u(self._approvers[name], 32))
            public.verify(SigningKey(key).sign(statement))
        except KeyError:
            raise NotAllowed("not-an-approver") from None
        except EncodingError:
            raise SettingsError("approvers: a key is not 32 bytes of base64url") from None
        except BadSignatureError:
            raise NotAllowed("another-key") from None

    def _kept(self, connection: Connection) -> dict[str, bytes]:
        rows = connection.execute(
            select(first_load.c.local_ref, first_load.c.sealed)
            .where(first_load.c.connector == self._connector)
            .order_by(first_load.c.local_ref)
        )
        return {
            row.local_ref: unseal(self._key, "first_load", f"{self._connector}/{row.local_ref}", row.sealed)
            for row in rows
        }

    def _digest(self, kept: Mapping[str, bytes]) -> bytes:
        made = hmac.new(self._key, b"vlagwijzer/first-load/v1", hashlib.sha256)
        for content in kept.values():
            made.update(len(content).to_bytes(4, "big") + content)
        return made.digest()

    def _put_state(self, connection: Connection, rejected: int, signed_by: str, digest: bytes) -> None:
        row = {
            "connector": self._connector,
            "rejected": rejected,
            "signed_by": signed_by,
            "digest": digest,
            "at": int(self._now().timestamp() * 1000),
        }
        connection.execute(
            upsert(first_load_state).values(row).on_conflict_do_update(index_elements=["connector"], set_=row)
        )


def _shown(local_ref: str) -> str:
    return local_ref if showable(local_ref) else ""
