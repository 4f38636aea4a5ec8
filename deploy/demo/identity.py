"""The identity providers of the demo: one per organisation, one for citizens with its login broker.

    browser -> oidc-provider-mock (code flow with PKCE, one click) -> id token, at most 5 minutes
    portal  -> token exchange (RFC 8693): id token in, grant out -> key holders check the grant
    system  -> employee token (RFC 9068) of somebody it names, as an organisation's own provider gives

This stands in for what organisations and DigiD bring; nobody proves anything
here. The grant is real: signed with the broker's key of the directory, for the
node that the id token was made for, with counts and without any person.

Source: docs/design/pseudonyms.md, "Evaluate" (grants) and "Citizen portal".
"""

import os
import secrets
import socket
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import flask
import jwt
import structlog
import werkzeug.serving
from cryptography.hazmat.primitives.asymmetric import ec
from nacl.signing import SigningKey

from index.protocol.codec import SCOPES
from index.protocol.evaluate import GRANT_LIFE_S, issue_grant

with warnings.catch_warnings():
    # It uses a part of its JOSE library that says at each import that it will move; that library
    # turns its own warnings on when it is first imported, so it comes before the filter.
    import authlib.deprecate  # type: ignore[import-untyped]

    warnings.simplefilter("ignore", authlib.deprecate.AuthlibDeprecationWarning)
    from oidc_provider_mock import User, init_app  # type: ignore[import-untyped]

TOKEN_LIFE_S = 300
EVALUATIONS_PER_SCOPE = 2
"""What one login may evaluate: once to open the session, once more for an older key."""

CHECKS_PER_LOGIN = 8
"""Grants that one login of the counter gets: one for each citizen whose identity was checked."""

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105
JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"
_ES256_KEY_ID = "employee-tokens"

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who can log in at one issuer. `listed` accounts get a button on its page."""

    user: str
    claims: Mapping[str, object]
    listed: bool = True


@dataclass(frozen=True, slots=True)
class Broker:
    """The login broker's own part: its id and key in the directory, and who may ask."""

    id: str
    key: SigningKey
    portal: str
    kids: Sequence[str]
    counter_role: str = ""
    """Role in a login that may have a grant without being a citizen: the portal's counter."""


class _Tokens:
    """Employee tokens with a key of their own: an id token is not an access token."""

    def __init__(self, accounts: Sequence[Account]) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._accounts = {account.user: account for account in accounts}

    def keys(self) -> dict[str, Any]:
        public = jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {"keys": [{**public, "kid": _ES256_KEY_ID, "alg": "ES256", "use": "sig"}]}

    def issue(self, issuer: str, user: str, audience: str) -> str | None:
        """A token of `TOKEN_LIFE_S` for one account; None for an account that is not here."""
        account = self._accounts.get(user)
        if account is None:
            return None
        now = int(time.time())
        claims = {
            "iss": issuer,
            "sub": user,
            "aud": audience,
            "iat": now,
            "exp": now + TOKEN_LIFE_S,
            "jti": secrets.token_hex(16),
            **account.claims,
        }
        return jwt.encode(
            claims, self._key, algorithm="ES256", headers={"typ": "at+jwt", "kid": _ES256_KEY_ID}
        )


def create_issuer(accounts: Sequence[Account], broker: Broker | None = None) -> flask.Flask:
    """One provider as a WSGI application.

    Args:
        accounts: Who can log in. Anyone else who is typed at its page gets no claims.
        broker: Only for the provider of citizens: adds the token exchange.
    """
    # Its own pages load a style sheet from elsewhere; ours stay on this machine and speak Dutch.
    app = flask.Flask("identity", template_folder=str(Path(__file__).parent / "templates"))
    plain = app.wsgi_app
    users = [User(sub=account.user, claims=dict(account.claims)) for account in accounts]
    listed = {account.user for account in accounts if account.listed}
    init_app(
        app,
        issue_refresh_token=False,
        access_token_max_age=timedelta(seconds=TOKEN_LIFE_S),
        user_claims=[user for user in users if user.sub in listed],
    )
    # It comes with a debugger that shows variables of a failing request: not here.
    app.debug = False
    app.wsgi_app = plain  # type: ignore[method-assign]
    app.secret_key = secrets.token_bytes(16)
    rest = [user for user in users if user.sub not in listed]

    @app.before_request
    def know_everybody() -> None:
        storage = flask.g.oidc_provider_mock_storage
        while rest:
            storage.store_user(rest.pop())

    _add_employee_tokens(app, _Tokens(accounts))
    if broker is not None:
        _add_exchange(app, broker)
    return app


def _add_employee_tokens(app: flask.Flask, tokens: _Tokens) -> None:
    @app.get("/employee-tokens/keys")
    def employee_token_keys() -> flask.Response:
        return flask.jsonify(tokens.keys())

    @app.post("/employee-tokens")
    def employee_token() -> flask.Response:
        form = flask.request.form
        token = tokens.issue(_issuer(), form.get("user", ""), form.get("audience", ""))
        if token is None:
            return _refused("invalid_request")
        return flask.jsonify(access_token=token, token_type="Bearer", expires_in=TOKEN_LIFE_S)  # noqa: S106


class _Counted:
    """How many grants each login of the counter had, for as long as its id token lives."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._had: dict[tuple[str, str], tuple[int, int]] = {}

    def take(self, claims: Mapping[str, Any]) -> bool:
        """Count one; False when this login has had all it may have."""
        login = (str(claims["sub"]), str(claims.get("nonce") or claims["iat"]))
        with self._lock:
            now = int(time.time())
            self._had = {key: kept for key, kept in self._had.items() if kept[1] > now}
            had = self._had.get(login, (0, 0))[0]
            if had >= CHECKS_PER_LOGIN:
                return False
            self._had[login] = (had + 1, int(claims["exp"]))
            return True


def _add_exchange(app: flask.Flask, broker: Broker) -> None:
    counted = _Counted()

    @app.post("/token-exchange")
    def exchange() -> flask.Response:
        form = flask.request.form
        if form.get("grant_type") != EXCHANGE or form.get("subject_token_type") != ID_TOKEN:
            return _refused("unsupported_grant_type")
        key = flask.g.oidc_provider_mock_storage.jwk.get_public_key()
        try:
            claims = jwt.decode(
                form.get("subject_token", ""),
                key,
                algorithms=["RS256"],
                audience=broker.portal,
                issuer=_issuer(),
                options={"require": ["iss", "sub", "aud", "exp", "iat"]},
            )
        except jwt.PyJWTError:
            return _refused("invalid_grant")
        counter = bool(broker.counter_role) and broker.counter_role in claims.get("roles", [])
        if counter == ("bsn" in claims) or (counter and not counted.take(claims)):
            return _refused("invalid_grant")
        grant = issue_grant(
            broker.id,
            broker.key,
            node=broker.portal,
            # At the counter one grant is one person: nothing of it is left for a second.
            counts=dict.fromkeys(broker.kids, 1 if counter else EVALUATIONS_PER_SCOPE),
            jti=secrets.token_hex(16),
            now=datetime.now(UTC),
        )
        log.info("grant_issued", node=broker.portal)
        return flask.jsonify(
            access_token=grant,
            issued_token_type=JWT_TYPE,
            token_type="N_A",  # noqa: S106
            expires_in=GRANT_LIFE_S,
        )


def _issuer() -> str:
    return flask.request.host_url.rstrip("/")


def _refused(code: str) -> flask.Response:
    answer = flask.jsonify(error=code)
    answer.status_code = 400
    return answer


def kids_of(manifest_kids: Sequence[str]) -> list[str]:
    """The kids a grant counts: one for each scope, in order."""
    return sorted(manifest_kids, key=lambda kid: SCOPES.index(kid.split(".")[0]))


def serve(apps: Sequence[tuple[flask.Flask, socket.socket]]) -> None:
    """Serve each provider on its bound socket until the process is stopped."""
    # The library refuses plain HTTP unless told; these listen on this machine only.
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
    threads = []
    for app, sock in apps:
        host, port = sock.getsockname()
        server = werkzeug.serving.make_server(host, port, app, threaded=True, fd=sock.detach())
        threads.append(threading.Thread(target=server.serve_forever, daemon=True))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
