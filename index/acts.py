"""What people decide about the hub: each act signed, recorded in the access log, then in force.

    key file -> a person signs -> BEGIN, lock -> act + entry `policy` + standing -> COMMIT -> said

A name proves nothing: a person is who holds the private half of a key that the
hub's settings register under that name (`approvers`). An act keeps each
person's signature, and the hub's own over the whole, so a row that somebody
put into the database is not believed. The history only grows; the row
`standing` says what holds, and every batch reads it under the lock.

Source: docs/design/policy-and-consent.md, "Publishing a version"; access-log.md §1 (`policy`).
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey
from sqlalchemy import Connection, Dialect, Engine, insert, select, update

from index.accesslog.lasthead import HeadFile
from index.accesslog.log import AccessLog, Recorded
from index.keystore import Keystore
from index.protocol.codec import EncodingError, b64u, jcs, u64, unb64u
from index.protocol.entry import EntryDraft
from index.protocol.keyfile import read_key_file
from index.retention import Terms
from index.settings import HubSettings
from index.store import driver
from index.store import tables as t
from index.store.engine import lock

_PERSON = b"vlagwijzer/person-act/v1\n"
_HUB = b"vlagwijzer/hub-act/v1\n"


class Refused(Exception):
    """What was asked is not done, and nothing changed; the text says why."""


class HistoryBroken(Exception):
    """An act does not carry the hub's signature, or one is missing: nothing is answered on it."""


class Person(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who did it, and the signature that proves it (base64url)."""

    name: str
    signature: str


class Act(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One act. `at` is Unix seconds by the hub's clock; `about` the number or act that it concerns.

    What each person signs is `t`, `about`, `hash` and `detail`, with the hub's name.
    """

    t: str
    at: int
    about: int = 0
    hash: str = ""
    detail: dict[str, Any] = {}
    by: tuple[Person, ...] = ()


class Held(NamedTuple):
    """An act and its place in the history, from 1."""

    seq: int
    act: Act


class Standing(NamedTuple):
    """What is in force. From `until` (Unix seconds, 0 for never) on it is `fallback` instead of `policy`.

    `stopped` is the number of a version that answers no more; `acts` the last act.
    """

    policy: int = 0
    fallback: int = 0
    until: int = 0
    stopped: int = 0
    acts: int = 0

    def number_at(self, seconds: int) -> int:
        """The version in force at an instant."""
        return self.fallback if self.until and seconds >= self.until else self.policy


# --- people ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Signer:
    """A person with the key file that proves it."""

    name: str
    key: SigningKey = field(repr=False)


def signer(settings: HubSettings, name: str, key_file: Path) -> Signer:
    """The person behind a name, proven by the key file.

    Raises:
        Refused: Nobody is registered under this name, or the key is not that person's.
        KeyFileError: The key file is missing, readable by others or no key.
    """
    registered = settings.approvers.get(name)
    if registered is None:
        raise Refused(f"Nobody is registered under the name {name} in the hub's settings. Nothing was done.")
    key = SigningKey(read_key_file(key_file))
    if b64u(bytes(key.verify_key)) != registered:
        raise Refused(f"This key file is not the key of {name}. Nothing was done.")
    return Signer(name, key)


@dataclass(frozen=True, slots=True)
class SignedElsewhere:
    """A person who signed with the own key file on the own machine; `signature` is base64url."""

    name: str
    signature: str


def signed(settings: HubSettings, who: Signer | SignedElsewhere, act: Act) -> Act:
    """The act with one more person's signature.

    Raises:
        Refused: A signature that was made elsewhere is not that person's, or not over this act.
    """
    if isinstance(who, Signer):
        signature = b64u(who.key.sign(spoken(settings.hub_id, act)).signature)
        return msgspec.structs.replace(act, by=(*act.by, Person(who.name, signature)))
    made = msgspec.structs.replace(act, by=(*act.by, Person(who.name, who.signature)))
    if not proven(settings, made):
        raise Refused("This signature is not of this person over what is asked. Nothing was done.")
    return made


def proven(settings: HubSettings, act: Act) -> bool:
    """Whether every person of an act signed it with the registered key."""
    for person in act.by:
        try:
            key = VerifyKey(unb64u(settings.approvers[person.name], 32))
            key.verify(spoken(settings.hub_id, act), unb64u(person.signature, 64))
        except (KeyError, EncodingError, BadSignatureError, ValueError):
            return False
    return True


def spoken(hub: str, act: Act) -> bytes:
    """What a person signs of an act; its time is not in it."""
    said = {"hub": hub, "t": act.t, "about": act.about, "hash": act.hash, "detail": act.detail}
    return _PERSON + jcs(said)


# --- the history -----------------------------------------------------------------------


def read_standing(connection: Connection) -> Standing:
    """What is in force, in one statement; all zero before the first load."""
    found = driver.rows(connection, _standing_text(connection.dialect))
    return Standing(*found[0]) if found else Standing()


@lru_cache(maxsize=4)
def _standing_text(dialect: Dialect) -> str:
    c = t.standing.c
    query = select(c.policy, c.fallback, c.until, c.stopped, c.acts)
    return str(query.compile(dialect=dialect))


def history(connection: Connection, keystore: Keystore, after: int = 0) -> list[Held]:
    """The acts after a place, in order, each checked.

    Raises:
        HistoryBroken: One is missing, or is not what the hub signed.
    """
    rows = connection.execute(select(t.act).where(t.act.c.seq > after).order_by(t.act.c.seq)).all()
    found = []
    public = keystore.log_signing.verify_key
    for expected, (seq, body, signature) in enumerate(rows, after + 1):
        try:
            public.verify(_HUB + u64(seq) + bytes(body), bytes(signature))
            act = msgspec.json.decode(bytes(body), type=Act)
        except (BadSignatureError, ValueError, msgspec.MsgspecError):
            raise HistoryBroken(f"act {seq} is not what this hub signed") from None
        if seq != expected:
            raise HistoryBroken(f"act {expected} is missing")
        found.append(Held(seq, act))
    return found


# --- one sitting -----------------------------------------------------------------------


class Sitting:
    """One transaction in which acts are taken, under the writers' lock."""

    def __init__(
        self, connection: Connection, now: datetime, keystore: Keystore, log: AccessLog | None
    ) -> None:
        self.connection, self.now = connection, now
        self.seconds = int(now.timestamp())
        self.standing = read_standing(connection)
        self.history = history(connection, keystore)
        if (self.history[-1].seq if self.history else 0) != self.standing.acts:
            raise HistoryBroken("the history and what stands do not end at the same act")
        self._keystore, self._log = keystore, log
        self._began = self.standing

    def add(self, act: Act) -> Held:
        """Add an act to the history and to the access log."""
        seq = self.standing.acts + 1
        body = msgspec.json.encode(act)
        signature = self._keystore.log_signing.sign(_HUB + u64(seq) + body).signature
        self.connection.execute(insert(t.act), [{"seq": seq, "body": body, "signature": signature}])
        self.record(act.t, hashlib.sha256(body).digest())
        self.standing = self.standing._replace(acts=seq)
        self.history.append(Held(seq, act))
        return self.history[-1]

    def append(self, draft: EntryDraft, on: Sequence[bytes] | None = None) -> Recorded:
        """An entry of another activity than `policy`, in this transaction.

        Args:
            draft: Without its time: `ts` is that of this sitting.
            on: As in `AccessLog.append`.
        """
        if self._log is None:
            raise RuntimeError("this sitting is not recorded")
        return self._log.append(replace(draft, ts=int(self.now.timestamp() * 1000)), on)

    @property
    def year(self) -> int:
        """Year of the log that this sitting writes to."""
        if self._log is None:
            raise RuntimeError("this sitting is not recorded")
        return self._log.year

    def record(self, cause: str, digest: bytes, **more: int) -> None:
        """An entry `policy` in the access log; it concerns nobody."""
        if self._log is None:
            return
        self._log.append(
            EntryDraft(
                t="policy",
                ts=int(self.now.timestamp() * 1000),
                req="",
                pv=self.standing.number_at(self.seconds),
                more={"cause": cause, "digest": b64u(digest), **more},
            )
        )

    def write_standing(self) -> None:
        """Write what stands, where it changed."""
        if self.standing == self._began:
            return
        values = {"id": 1, **self.standing._asdict()}
        if self._began == Standing():
            self.connection.execute(insert(t.standing), [values])
        else:
            self.connection.execute(update(t.standing).values(values))
        self._began = self.standing


@dataclass(slots=True)
class Office:
    """Where acts are taken: by commands, and by the hub's own background check."""

    settings: HubSettings
    keystore: Keystore
    engine: Engine
    clock: Callable[[], datetime]

    @contextmanager
    def sitting(self, *, recorded: bool = True) -> Iterator[Sitting]:
        """A transaction under the writers' lock; what was added holds when the block ends without an error.

        Args:
            recorded: False for the first load only, which nobody decided.

        Raises:
            HistoryBroken: The history is not what this hub signed; nothing is added to it.
            DBAPIError, LogInconsistent: Nothing was changed.
        """
        keeper = HeadFile(self.settings.keystore / "last-head")
        log = None
        if recorded:
            terms = Terms.of(self.settings)
            self.keystore.log_classes = terms.classes
            log = AccessLog(
                self.settings.statement_hub, self.keystore, keeper=keeper, class_of=terms.class_of
            )
        try:
            with self.engine.connect() as connection:
                with connection.begin():
                    lock(connection)
                    now = self.clock()
                    self.keystore.keys_for(now)
                    sitting = Sitting(connection, now, self.keystore, log)
                    if log:
                        log.begin(connection, now)
                    yield sitting
                    if log:
                        log.flush(connection, now)
                    sitting.write_standing()
                if log:
                    log.committed()
        finally:
            keeper.close()
