"""Settings of the pages of one process; part of that process's own settings."""

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def _web_origin(value: str) -> str:
    """An origin or issuer: https, or http on this machine only, without query or trailing slash."""
    parts = urlsplit(value)
    safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    if not safe or not parts.hostname or parts.query or parts.fragment or parts.username or parts.password:
        raise ValueError("must be an https address, or http on this machine")
    return value.rstrip("/")


class LoginSettings(BaseModel):
    """How people log in: OpenID Connect at the organisation's own provider (code flow with PKCE).

    Only addresses, names of claims and files: no password, no secret in clear.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str
    """The provider's address, exactly as its tokens state it; discovery lies below it."""
    client_id: str
    client_auth: Literal["none", "client_secret_basic", "private_key_jwt"] = "none"
    """`private_key_jwt` is what NL GOV asks of a confidential client; `none` is a public client with PKCE."""
    client_secret_file: Path | None = None
    client_key_file: Path | None = None
    """PEM or JWK with the client's private key, for `private_key_jwt`."""
    scope: str = "openid profile"
    algorithms: tuple[Literal["RS256", "PS256", "ES256"], ...] = ("PS256", "ES256", "RS256")
    """Signatures accepted on an id token; never a symmetric one."""
    required_acr: tuple[str, ...] = ()
    """Levels of assurance of which one must be in the id token; empty: the provider decides."""
    leeway_seconds: int = Field(default=5, ge=0, le=60)
    subject_claim: str = "sub"
    name_claim: str = "name"
    role_claim: str = "roles"
    team_claim: str = "team"
    claims: tuple[str, ...] = ()
    """Further claims that `welcome` needs; asked at userinfo when the id token lacks them."""

    _issuer = field_validator("issuer")(_web_origin)

    @model_validator(mode="after")
    def _has_its_file(self) -> "LoginSettings":
        wanted = {
            "client_secret_basic": self.client_secret_file,
            "private_key_jwt": self.client_key_file,
            "none": Path(),
        }
        if wanted[self.client_auth] is None:
            raise ValueError("client_auth needs its secret or key file")
        if "openid" not in self.scope.split():
            raise ValueError("scope must contain openid")
        return self


class PageSettings(BaseModel):
    """The pages of one process.

    Example of a node's file:

        [pages]
        process_id = "wijkteam"
        origin = "http://localhost:8441"
        demo = true
        trust_separation = "none"

        [pages.login]
        issuer = "http://localhost:8440"
        client_id = "wijkteam"
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    process_id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")
    """Part of the cookie's name: browsers share cookies between the ports of one host."""
    origin: str
    """Scheme, host and port as the browser shows them. Forms from elsewhere are refused by it, and the
    provider sends the browser back to `<origin>/login/terug`."""
    login: LoginSettings
    demo: bool = False
    """Shows "Oefenomgeving. Geen echte mensen." on every page; follows from the manifest's environment."""
    trust_separation: Literal["none", "organisations"] = "none"
    """`none` shows "Alles draait bij één partij." on every page."""
    tokens_file: Path | None = None
    """A municipality's own design tokens: one CSS file with custom properties, such as an NL Design System
    theme. Its contrast is checked at start. Absent: the look of Vlagwijzer."""
    idle_minutes: int = Field(default=15, ge=1, le=60)
    session_minutes: int = Field(default=60, ge=1, le=12 * 60)
    blank_minutes: int = Field(default=5, ge=1, le=15)
    """An answer about a person disappears from the page after this long."""

    _origin = field_validator("origin")(_web_origin)

    @property
    def cookie(self) -> str:
        """Name of the session cookie. `__Host-`: this host only, Secure, no path, no subdomain."""
        return f"__Host-vw-{self.process_id}"

    @property
    def redirect_uri(self) -> str:
        return f"{self.origin}/login/terug"
