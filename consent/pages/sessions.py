"""Login sessions, in this process's memory only.

The cookie holds a random id and nothing else. A session ends after 15 minutes
without a page and one hour in all, or when the process stops. At each login,
and when somebody says to be done, the id changes.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Person = TypeVar("Person")
MOST_SESSIONS = 20_000
MOST_ENDED = 2_000


@dataclass(frozen=True, slots=True)
class Attempt:
    """One login under way; bound to the browser by the session that holds it."""

    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    then: str


@dataclass(frozen=True, slots=True)
class Kept:
    """What somebody typed when their session turned out to be over; for them alone, after the next login."""

    subject: str = field(repr=False)
    path: str
    fields: Mapping[str, str] = field(repr=False)


class Session(Generic[Person]):
    """What the process remembers of one browser. Its id is never shown.

    `drawer` is for what a part must carry from one page to the next, such as an
    answer that is still on the screen; it is emptied by `clear`.
    """

    __slots__ = ("attempt", "began", "csrf", "drawer", "id", "kept", "person", "seen", "subject")

    def __init__(self, now: float) -> None:
        self.id = secrets.token_urlsafe(32)
        self.csrf = secrets.token_urlsafe(24)
        self.began = self.seen = now
        self.attempt: Attempt | None = None
        self.person: Person | None = None
        self.drawer: dict[str, object] = {}
        self.subject = ""
        """Who logged in, as the provider calls them: what was typed is given back to nobody else."""
        self.kept: Kept | None = None

    def __repr__(self) -> str:
        return "<Session>"

    def clear(self) -> None:
        self.person = None
        self.attempt = None
        self.kept = None
        self.drawer.clear()


class Sessions(Generic[Person]):
    """All sessions of one process, with their two clocks.

    Args:
        idle: Seconds without a page after which a session is over.
        longest: Seconds after login after which it is over whatever happens.
        clock: Seconds, monotonic.
    """

    def __init__(self, idle: float, longest: float, clock: Callable[[], float]) -> None:
        self._idle = idle
        self._longest = longest
        self._clock = clock
        self._by_id: dict[str, Session[Person]] = {}
        self._over: dict[str, str] = {}

    def find(self, id_: str, *, touch: bool = True) -> Session[Person] | None:
        """The session of this id if it still runs. `touch=False` does not count as activity."""
        session = self._by_id.get(id_)
        if session is None:
            return None
        now = self._clock()
        if now - session.seen > self._idle or now - session.began > self._longest:
            self._remember(session)
            self.end(session)
            return None
        if touch:
            session.seen = now
        return session

    def _remember(self, session: Session[Person]) -> None:
        if session.subject:
            self._over[session.id] = session.subject
            while len(self._over) > MOST_ENDED:
                self._over.pop(next(iter(self._over)))

    def whose(self, id_: str) -> str:
        """Whose session ended by itself under this id, told once; empty when that is not known."""
        return self._over.pop(id_, "")

    def begin(self) -> Session[Person]:
        """A new session without a person."""
        now = self._clock()
        if len(self._by_id) >= MOST_SESSIONS:
            self._sweep(now)
        session: Session[Person] = Session(now)
        self._by_id[session.id] = session
        return session

    def renew(self, session: Session[Person], *, restart: bool = False) -> None:
        """Give the session another id and form token, so that the old ones are worth nothing.

        `restart` also starts its clocks again: at login, never later.
        """
        self._by_id.pop(session.id, None)
        session.id = secrets.token_urlsafe(32)
        session.csrf = secrets.token_urlsafe(24)
        if restart:
            session.began = session.seen = self._clock()
        self._by_id[session.id] = session

    def end(self, session: Session[Person]) -> None:
        session.clear()
        self._by_id.pop(session.id, None)

    def _sweep(self, now: float) -> None:
        """Drop what is over, then the oldest visitors who never logged in."""
        for session in list(self._by_id.values()):
            if now - session.seen > self._idle or now - session.began > self._longest:
                self.end(session)
        strangers = sorted((s for s in self._by_id.values() if s.person is None), key=lambda s: s.seen)
        for session in strangers[: max(0, len(self._by_id) - MOST_SESSIONS // 2)]:
            self.end(session)
