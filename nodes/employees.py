"""Who is at the desk, and the tokens by which the organisation's own systems say so.

A token is a JWT of the organisation's OpenID provider for this node, five
minutes old at most. PyJWT checks neither `typ` nor a long lifetime; the
numbered steps of `EmployeeTokens.check` do. All refusals are alike: what was
wrong is for the node's own log, not for who tried.

Source: docs/design/design.md, "Interfaces"; docs/design/access-log.md, "Security", tokens.
"""

import asyncio
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import structlog

from index.protocol.codec import b64u
from policy.vocabulary import Vocabulary

from .errors import LoginUnreachable, NotAllowed
from .settings import TokenSettings

log = structlog.get_logger()
_LEEWAY_S = 5
_REFETCH_S = 10.0
_MAX_TOKEN = 8192
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
_REQUIRED = ["exp", "iat", "iss", "aud", "sub", "jti"]


@dataclass(frozen=True, slots=True)
class Employee:
    """An employee for the length of one login or one token.

    `id` is the pseudonymous id of this organisation that stands in the log;
    `name` is for the page only and goes nowhere.
    """

    id: str
    role: str
    team: str
    name: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Bearer:
    """What a valid token says: roles in its own order."""

    id: str
    roles: tuple[str, ...]
    team: str


def employee_id(node_secret: bytes, subject: str) -> str:
    """The employee's id for the log: this organisation's own, stable, and no name."""
    return b64u(hmac.digest(node_secret, b"actor/v1" + subject.encode(), "sha256"))[:22]


class EmployeeTokens:
    """Checks employee tokens against the provider's published keys, kept for a while.

    Args:
        audience: This node's id.
        now: Clock, UTC.
    """

    def __init__(
        self,
        settings: TokenSettings,
        http: httpx.AsyncClient,
        *,
        audience: str,
        node_secret: bytes,
        now: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._http = http
        self._audience = audience
        self._node_secret = node_secret
        self._now = now
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched = -1e9
        self._lock = asyncio.Lock()

    async def check(self, token: str) -> Bearer:
        """Who the token is about.

        1. A JWT with an allowed algorithm and type, a key id, and no key brought along.
        2. The key is one that the issuer publishes.
        3. Signature, issuer, exactly this audience, and all required claims.
        4. Not yet expired, not from the future, and not made to live longer than five minutes.
        5. A subject, at least one role, and a team.

        Raises:
            NotAllowed: One step failed; the same for each.
            LoginUnreachable: The issuer's keys cannot be fetched.
        """
        try:
            key = await self._key_of(token)  # 1, 2
            claims = self._claims(token, key)  # 3, 4
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            log.warning("employee_token_refused", reason=type(error).__name__)
            raise NotAllowed("employee-token") from None
        roles, team = claims.get(self._settings.role_claim), claims.get(self._settings.team_claim)  # 5
        listed = [roles] if isinstance(roles, str) else roles if isinstance(roles, list) else []
        named = bool(listed) and all(isinstance(role, str) for role in listed)
        if not named or not isinstance(team, str) or not team or not claims["sub"]:
            log.warning("employee_token_refused", reason="claims")
            raise NotAllowed("employee-token")
        return Bearer(employee_id(self._node_secret, claims["sub"]), tuple(listed), team)

    async def _key_of(self, token: str) -> jwt.PyJWK:
        if len(token) > _MAX_TOKEN:
            raise jwt.InvalidTokenError
        header = jwt.get_unverified_header(token)
        if (
            header.get("alg") not in self._settings.algorithms
            or header.get("typ") not in self._settings.types
        ):
            raise jwt.InvalidTokenError
        kid = header.get("kid")
        if not isinstance(kid, str) or header.keys() & {"jwk", "jku", "x5u", "x5c", "crit"}:
            raise jwt.InvalidTokenError
        async with self._lock:
            age = time.monotonic() - self._fetched
            if age > self._settings.jwks_cache_seconds or (kid not in self._keys and age > _REFETCH_S):
                await self._fetch()
        found = self._keys.get(kid)
        if found is None or found.algorithm_name != header["alg"]:
            raise jwt.InvalidTokenError
        return found

    def _claims(self, token: str, key: jwt.PyJWK) -> dict[str, Any]:
        now = self._now().timestamp()
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=list(self._settings.algorithms),
            audience=self._audience,
            issuer=self._settings.issuer,
            # The clock is ours, so that one clock rules the process; both times are checked below.
            options={"require": _REQUIRED, "strict_aud": True, "verify_exp": False, "verify_iat": False},
        )
        issued, expires = claims["iat"], claims["exp"]
        if type(issued) is not int or type(expires) is not int or not isinstance(claims["jti"], str):
            raise jwt.InvalidTokenError
        if not issued - _LEEWAY_S <= now < expires + _LEEWAY_S or not claims["jti"]:
            raise jwt.ExpiredSignatureError
        if not 0 < expires - issued <= self._settings.max_seconds:
            raise jwt.InvalidTokenError
        return claims

    async def _fetch(self) -> None:
        try:
            url = self._settings.jwks_url or await self._discover()
            answer = await self._http.get(url)
            answer.raise_for_status()
            found = answer.json()["keys"]
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            raise LoginUnreachable from None
        keys: dict[str, jwt.PyJWK] = {}
        for entry in found:
            try:
                key = jwt.PyJWK(entry)
            except (jwt.PyJWTError, AttributeError):
                continue
            # A shared secret is nobody's signature.
            if key.key_id and key.key_type != "oct" and entry.get("use", "sig") == "sig":
                keys[key.key_id] = key
        self._keys, self._fetched = keys, time.monotonic()

    async def _discover(self) -> str:
        answer = await self._http.get(f"{self._settings.issuer.rstrip('/')}/.well-known/openid-configuration")
        answer.raise_for_status()
        said = answer.json()
        address = str(said["jwks_uri"])
        parts = urlsplit(address)
        # What a document names is fetched over https, or on this machine; never an inner network in clear.
        safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _THIS_MACHINE)
        if said["issuer"] != self._settings.issuer or not safe:
            raise ValueError
        return address


def role_for(bearer: Bearer, allowed: frozenset[str], vocabulary: Vocabulary) -> Employee:
    """The employee in the first role of the token that the API key may state and that may look.

    Raises:
        NotAllowed: None of the roles.
    """
    for role in bearer.roles:
        if role in allowed and vocabulary.has_role(role) and vocabulary.role(role).purposes:
            return Employee(bearer.id, role, bearer.team)
    raise NotAllowed("role-not-allowed")
