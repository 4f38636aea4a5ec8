"""Logging in at an OpenID Connect provider: code flow, PKCE, checked id token.

    begin -> the provider -> finish: state -> code for tokens -> id token checked -> Identity

State, nonce and verifier live in the visitor's own session, so an answer that
another browser asked for is worth nothing here. The id token is checked
whatever the provider: signature by its published keys, issuer, audience,
nonce, times, level of assurance.

Source: OpenID Connect Core 1.0 §3.1; RFC 7636; RFC 9207; NL GOV Assurance profile for OAuth 2.0.
"""

import hmac
import secrets
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt

from consent.pages.sessions import Attempt
from consent.pages.settings import LOOPBACK, LoginSettings, PageSettings

with warnings.catch_warnings():
    # It prefers another HTTP package and says so at each import; both work.
    warnings.simplefilter("ignore")
    from authlib.integrations.base_client import OAuthError  # type: ignore[import-untyped]
    from authlib.integrations.httpx_client import AsyncOAuth2Client  # type: ignore[import-untyped]
    from authlib.oauth2.rfc7523 import PrivateKeyJWT  # type: ignore[import-untyped]

TIMEOUT_S = 5.0
KEEP_METADATA_S = 600.0
LONGEST_ID_TOKEN_S = 3600 * 24


class LoginFailed(Exception):
    """Nobody was logged in. `code` says why, in a word for the log; never a value from outside."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Identity:
    """What the provider said about who logged in, checked. Never printed.

    `claims` holds the claims named in the settings; `id_token` is for a token
    exchange right after login and is not kept; only a counter keeps its own while it lives.
    """

    subject: str = field(repr=False)
    name: str = field(repr=False)
    roles: tuple[str, ...] = field(repr=False)
    team: str = field(repr=False)
    claims: Mapping[str, Any] = field(repr=False)
    id_token: str = field(repr=False)
    seconds: float = 0.0
    """How long the id token lives in all: for as long it can be exchanged."""


@dataclass(slots=True)
class _Provider:
    """The provider's published addresses and keys, and when they were fetched."""

    metadata: Mapping[str, Any]
    keys: dict[str, jwt.PyJWK]
    fetched: float


class Login:
    """The way in for one process.

    Args:
        settings: Of this process.
        clock: Seconds, monotonic; for how long the provider's documents are kept.
    """

    def __init__(self, settings: PageSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings.login
        self._redirect_uri = settings.redirect_uri
        self._clock = clock
        self._provider: _Provider | None = None

    async def begin(self, then: str) -> tuple[Attempt, str]:
        """What to remember, and the provider's address to send the browser to.

        Raises:
            LoginFailed: The provider cannot be reached or is not the one in the settings.
        """
        provider = await self._known()
        attempt = Attempt(
            state=secrets.token_urlsafe(24),
            nonce=secrets.token_urlsafe(24),
            verifier=secrets.token_urlsafe(48),
            then=then,
        )
        extra = {"acr_values": " ".join(self._settings.required_acr)} if self._settings.required_acr else {}
        async with self._client() as client:
            address, _ = client.create_authorization_url(
                _endpoint(provider.metadata, "authorization_endpoint"),
                state=attempt.state,
                nonce=attempt.nonce,
                code_verifier=attempt.verifier,
                **extra,
            )
        return attempt, str(address)

    async def finish(self, attempt: Attempt, query: Mapping[str, str]) -> Identity:
        """Check the provider's answer and fetch who it is.

        Steps: 1 state, 2 issuer of the answer, 3 refusal, 4 code for tokens, 5 id token, 6 claims.

        Raises:
            LoginFailed: At any step.
        """
        if not hmac.compare_digest(query.get("state", "").encode(), attempt.state.encode()):
            raise LoginFailed("state")  # 1
        if "iss" in query and query["iss"].rstrip("/") != self._settings.issuer:
            raise LoginFailed("issuer")  # 2
        if "error" in query or not query.get("code"):
            raise LoginFailed("refused_by_provider")  # 3
        provider = await self._known()
        tokens = await self._tokens(provider, query["code"], attempt.verifier)  # 4
        id_token = tokens.get("id_token")
        if not isinstance(id_token, str):
            raise LoginFailed("no_id_token")
        claims = await self._checked(id_token, attempt.nonce)  # 5
        claims = await self._completed(provider, claims, tokens.get("access_token"))  # 6
        return self._identity(claims, id_token)

    async def _tokens(self, provider: _Provider, code: str, verifier: str) -> Mapping[str, Any]:
        async with self._client() as client:
            try:
                tokens = await client.fetch_token(
                    _endpoint(provider.metadata, "token_endpoint"), code=code, code_verifier=verifier
                )
            except OAuthError:
                raise LoginFailed("code_refused") from None
            except Exception as error:  # its HTTP package is not ours to name
                raise LoginFailed("provider_unreachable") from error
        return dict(tokens)

    async def _checked(self, id_token: str, nonce: str) -> dict[str, Any]:
        """The claims of an id token that is for us, now, and from this attempt."""
        key = await self._key(id_token)
        try:
            claims: dict[str, Any] = jwt.decode(
                id_token,
                key,
                algorithms=list(self._settings.algorithms),
                audience=self._settings.client_id,
                issuer=self._metadata_issuer(),
                leeway=self._settings.leeway_seconds,
                options={"require": ["iss", "sub", "aud", "exp", "iat", "nonce"]},
            )
        except jwt.PyJWTError:
            raise LoginFailed("id_token") from None
        if not hmac.compare_digest(str(claims["nonce"]).encode(), nonce.encode()):
            raise LoginFailed("nonce")
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        # With more audiences the token must say it was made for us (OIDC Core 3.1.3.7).
        if several and claims.get("azp") != self._settings.client_id:
            raise LoginFailed("audience")
        if claims["exp"] - claims["iat"] > LONGEST_ID_TOKEN_S:
            raise LoginFailed("lifetime")
        if self._settings.required_acr and claims.get("acr") not in self._settings.required_acr:
            raise LoginFailed("assurance")
        return claims

    async def _key(self, id_token: str) -> jwt.PyJWK:
        """The provider's key for this token; its keys are fetched anew once when it is unknown."""
        try:
            header = jwt.get_unverified_header(id_token)
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise LoginFailed("id_token") from None
        if header.get("alg") not in self._settings.algorithms:
            raise LoginFailed("algorithm")
        kid = str(header.get("kid", ""))
        for fresh in (False, True):
            keys = (await self._known(fresh=fresh)).keys
            if kid in keys:
                return keys[kid]
            if not kid and len(keys) == 1:
                return next(iter(keys.values()))
        raise LoginFailed("unknown_key")

    async def _completed(self, provider: _Provider, claims: dict[str, Any], access: object) -> dict[str, Any]:
        """Claims that the id token lacks are asked at userinfo; it must speak of the same subject."""
        wanted = self._wanted()
        if all(name in claims for name in wanted) or "userinfo_endpoint" not in provider.metadata:
            return claims
        more = await self._fetch(
            _endpoint(provider.metadata, "userinfo_endpoint"), {"Authorization": f"Bearer {access}"}
        )
        if more.get("sub") != claims["sub"]:
            raise LoginFailed("userinfo")
        return {**{name: more[name] for name in wanted if name in more}, **claims}

    def _wanted(self) -> tuple[str, ...]:
        ours = self._settings
        return (ours.subject_claim, ours.name_claim, ours.role_claim, ours.team_claim, *ours.claims)

    def _identity(self, claims: Mapping[str, Any], id_token: str) -> Identity:
        ours = self._settings
        roles = claims.get(ours.role_claim, [])
        subject = claims.get(ours.subject_claim)
        if not isinstance(subject, str) or not subject:
            raise LoginFailed("subject")
        return Identity(
            subject=subject,
            name=str(claims.get(ours.name_claim, "")),
            roles=tuple(str(role) for role in roles) if isinstance(roles, list) else (str(roles),),
            team=str(claims.get(ours.team_claim, "")),
            claims={name: claims[name] for name in self._wanted() if name in claims},
            id_token=id_token,
            seconds=float(claims["exp"] - claims["iat"]),
        )

    async def _known(self, *, fresh: bool = False) -> _Provider:
        now = self._clock()
        if self._provider is not None and not fresh and now - self._provider.fetched < KEEP_METADATA_S:
            return self._provider
        metadata = await self._fetch(f"{self._settings.issuer}/.well-known/openid-configuration", {})
        if str(metadata.get("issuer", "")).rstrip("/") != self._settings.issuer:
            raise LoginFailed("issuer")
        published = await self._fetch(_endpoint(metadata, "jwks_uri"), {})
        try:
            keys = {key.key_id or "": key for key in jwt.PyJWKSet.from_dict(published).keys}
        except jwt.PyJWTError:
            raise LoginFailed("provider_keys") from None
        self._provider = _Provider(metadata, keys, now)
        return self._provider

    def _metadata_issuer(self) -> str:
        """The issuer as the provider writes it, a last slash included."""
        return str(self._provider.metadata["issuer"]) if self._provider else self._settings.issuer

    async def _fetch(self, address: str, headers: dict[str, str]) -> dict[str, Any]:
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client:
                answer = await client.get(address, headers={"Accept": "application/json", **headers})
            answer.raise_for_status()
            body = answer.json()
        except (httpx.HTTPError, ValueError):
            raise LoginFailed("provider_unreachable") from None
        if not isinstance(body, dict):
            raise LoginFailed("provider_unreachable")
        return body

    def _client(self) -> Any:
        """A client of the code flow that sends S256 challenges and our way of proving who we are."""
        ours = self._settings
        client = AsyncOAuth2Client(
            client_id=ours.client_id,
            client_secret=_secret(ours),
            scope=ours.scope,
            redirect_uri=self._redirect_uri,
            code_challenge_method="S256",
            token_endpoint_auth_method=ours.client_auth,
            timeout=TIMEOUT_S,
            trust_env=False,
        )
        if ours.client_auth == "private_key_jwt":
            client.register_client_auth_method(PrivateKeyJWT(alg="PS256"))
        return client


def _secret(settings: LoginSettings) -> str | None:
    """The client's secret or private key, read at use so that a replaced file counts at once."""
    files: dict[str, Path | None] = {
        "client_secret_basic": settings.client_secret_file,
        "private_key_jwt": settings.client_key_file,
    }
    file = files.get(settings.client_auth)
    return file.read_text().strip() if file else None


def _endpoint(metadata: Mapping[str, Any], name: str) -> str:
    """An address from the provider's metadata: https, or http on this machine."""
    address = metadata.get(name)
    parts = urlsplit(address) if isinstance(address, str) else None
    if parts and (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)):
        return str(address)
    raise LoginFailed("provider_metadata")
