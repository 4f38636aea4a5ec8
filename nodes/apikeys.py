"""API keys of the organisation's own systems: what they may publish and which roles they may state.

A key is shown once, when it is made. It may have an end; `rotate` gives a system a
new one while the last one still works for some days. The store keeps its SHA-256 only; a key
has 256 random bits, so nothing slower is needed.
"""

import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row, insert, or_, select, update

from policy.vocabulary import Vocabulary

from .errors import BadInput, NotAllowed
from .store.database import reading, writing
from .store.tables import apikey

_PREFIX = "vwk-"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as listed: never the key itself."""

    id: str
    name: str
    kinds: frozenset[str]
    roles: frozenset[str]
    created_at: datetime
    revoked_at: datetime | None
    expires_at: datetime | None = None

    def lives(self, now: datetime) -> bool:
        """Whether it opens anything at this moment (UTC)."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def add(
    engine: Engine,
    vocabulary: Vocabulary,
    name: str,
    *,
    kinds: Sequence[str] = (),
    roles: Sequence[str] = (),
    now: datetime,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Make a key; the second of the pair is shown once and kept nowhere.

    Args:
        kinds: Kinds that the system may publish and retract; none: it may not publish.
        roles: Roles that its employee tokens may state; none: it may not look.
        expires_at: UTC; from then on it opens nothing. None: until it is revoked.

    Raises:
        BadInput: A kind or role that the vocabulary does not have, no name, or an end that is past.
    """
    if not name.strip() or len(name) > 100:
        raise BadInput("name", "length", "A name has 1 to 100 characters.")
    if not all(vocabulary.has_kind(code) for code in kinds):
        raise BadInput("kinds", "unknown-kind", "A kind is not in the vocabulary.")
    if not all(vocabulary.has_role(code) for code in roles):
        raise BadInput("roles", "unknown-role", "A role is not in the vocabulary.")
    if expires_at is not None and expires_at <= now:
        raise BadInput("expires", "past", "The end of a key lies ahead.")
    presented = _PREFIX + secrets.token_urlsafe(32)
    made = ApiKey(_new_id(), name, frozenset(kinds), frozenset(roles), now, None, expires_at)
    with writing(engine) as connection:
        _insert(connection, made, presented)
    return made, presented


def rotate(
    engine: Engine, key_id: str, *, overlap: timedelta, now: datetime, expires_at: datetime | None = None
) -> tuple[ApiKey, str]:
    """A new key for the same system; the last one works for so long, and never longer than it would.

    Args:
        overlap: From now; zero ends the last key at once.
        expires_at: End of the new key, as in `add`.

    Raises:
        NotAllowed: There is no such living key.
        BadInput: A negative overlap, or an end that is past.
    """
    if overlap < timedelta():
        raise BadInput("overlap", "negative", "The overlap is not negative.")
    if expires_at is not None and expires_at <= now:
        raise BadInput("expires", "past", "The end of a key lies ahead.")
    presented = _PREFIX + secrets.token_urlsafe(32)
    with writing(engine) as connection:
        row = connection.execute(select(apikey).where(apikey.c.id == key_id)).one_or_none()
        last = None if row is None else _key(row)
        if last is None or not last.lives(now):
            raise NotAllowed("no-living-key")
        made = ApiKey(_new_id(), last.name, last.kinds, last.roles, now, None, expires_at)
        _insert(connection, made, presented)
        end = min(now + overlap, last.expires_at or now + overlap)
        connection.execute(update(apikey).where(apikey.c.id == key_id).values(expires_at=_ms(end)))
    return made, presented


def _new_id() -> str:
    return "key-" + secrets.token_hex(4)


def _insert(connection: Connection, made: ApiKey, presented: str) -> None:
    connection.execute(
        insert(apikey).values(
            id=made.id,
            name=made.name,
            digest=_digest(presented),
            kinds=json.dumps(sorted(made.kinds)),
            roles=json.dumps(sorted(made.roles)),
            created_at=_ms(made.created_at),
            expires_at=None if made.expires_at is None else _ms(made.expires_at),
        )
    )


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def listed(engine: Engine) -> list[ApiKey]:
    """All keys, revoked ones included, oldest first."""
    with reading(engine) as connection:
        rows = connection.execute(select(apikey).order_by(apikey.c.created_at, apikey.c.id)).all()
    return [_key(row) for row in rows]


def revoke(engine: Engine, key_id: str, now: datetime) -> bool:
    """End a key at once; False when there is no such living key."""
    with writing(engine) as connection:
        result = connection.execute(
            update(apikey)
            .where(apikey.c.id == key_id, apikey.c.revoked_at.is_(None))
            .values(revoked_at=int(now.timestamp() * 1000))
        )
    return result.rowcount == 1


def find(engine: Engine, presented: str, now: datetime) -> ApiKey | None:
    """The key behind what a caller presents. Read each time: a revocation or an end holds at once."""
    if not presented.startswith(_PREFIX) or len(presented) > 100:
        return None
    with reading(engine) as connection:
        row = connection.execute(
            select(apikey).where(
                apikey.c.digest == _digest(presented),
                apikey.c.revoked_at.is_(None),
                or_(apikey.c.expires_at.is_(None), apikey.c.expires_at > _ms(now)),
            )
        ).one_or_none()
    return None if row is None else _key(row)


def _digest(presented: str) -> bytes:
    return hashlib.sha256(presented.encode()).digest()


def _key(row: Row[Any]) -> ApiKey:
    return ApiKey(
        row.id,
        row.name,
        frozenset(json.loads(row.kinds)),
        frozenset(json.loads(row.roles)),
        datetime.fromtimestamp(row.created_at / 1000, UTC),
        _moment(row.revoked_at),
        _moment(row.expires_at),
    )


def _moment(ms: int | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)
