"""API keys of the organisation's own systems: what they may publish and which roles they may state.

A key is shown once, when it is made. The store keeps its SHA-256 only; a key
has 256 random bits, so nothing slower is needed.
"""

import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, Row, insert, select, update

from policy.vocabulary import Vocabulary

from .errors import BadInput
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


def add(
    engine: Engine,
    vocabulary: Vocabulary,
    name: str,
    *,
    kinds: Sequence[str] = (),
    roles: Sequence[str] = (),
    now: datetime,
) -> tuple[ApiKey, str]:
    """Make a key; the second of the pair is shown once and kept nowhere.

    Args:
        kinds: Kinds that the system may publish and retract; none: it may not publish.
        roles: Roles that its employee tokens may state; none: it may not look.

    Raises:
        BadInput: A kind or role that the vocabulary does not have, or no name.
    """
    if not name.strip() or len(name) > 100:
        raise BadInput("name", "length", "A name has 1 to 100 characters.")
    if not all(vocabulary.has_kind(code) for code in kinds):
        raise BadInput("kinds", "unknown-kind", "A kind is not in the vocabulary.")
    if not all(vocabulary.has_role(code) for code in roles):
        raise BadInput("roles", "unknown-role", "A role is not in the vocabulary.")
    presented = _PREFIX + secrets.token_urlsafe(32)
    made = ApiKey("key-" + secrets.token_hex(4), name, frozenset(kinds), frozenset(roles), now, None)
    with writing(engine) as connection:
        connection.execute(
            insert(apikey).values(
                id=made.id,
                name=name,
                digest=_digest(presented),
                kinds=json.dumps(sorted(made.kinds)),
                roles=json.dumps(sorted(made.roles)),
                created_at=int(now.timestamp() * 1000),
            )
        )
    return made, presented


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


def find(engine: Engine, presented: str) -> ApiKey | None:
    """The living key behind what a caller presents. Read each time, so a revocation holds at once."""
    if not presented.startswith(_PREFIX) or len(presented) > 100:
        return None
    with reading(engine) as connection:
        row = connection.execute(
            select(apikey).where(apikey.c.digest == _digest(presented), apikey.c.revoked_at.is_(None))
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
        None if row.revoked_at is None else datetime.fromtimestamp(row.revoked_at / 1000, UTC),
    )
