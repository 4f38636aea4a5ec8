"""Settings of the hub: a TOML file, overruled by environment variables `VLAGWIJZER_HUB_...`.

Secrets stand in the key store, never in a setting. Relative paths count from
the folder of the TOML file. A setting that does not exist stops the process,
in the file and in the environment alike.
"""

import os
import tomllib
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from consent.pages.settings import PageSettings
from index.protocol.codec import EncodingError, unb64u

PREFIX = "VLAGWIJZER_HUB_"


class SettingsError(Exception):
    """A setting is missing, unknown or wrong. Names it, never its value."""


class RegisterSettings(BaseModel):
    """What the hub's administrator registered for one organisation, by OIN."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    profile: str = "basis"
    """A narrowing of `basis` from the vocabulary; a profile only removes."""
    mandate_acts: tuple[str, ...] = ()
    """Acts of the mandate register for the role `generalist_mandaat`; none at the start."""


class HubSettings(BaseSettings):
    """Everything that differs between two hubs."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        env_ignore_empty=True,
    )

    hub_id: str = Field(pattern=r"^[a-z0-9][a-z0-9.\-]{0,62}$")
    """Host name of the hub: in the log's origin, in statements, and the `aud` of holder receipts."""
    host: str = "127.0.0.1"
    port: int = 8444

    database: str
    """A path to a SQLite file, or a `postgresql+psycopg://` address without a password in it."""
    keystore: Path
    """Folder made once by `hub init`. Not in the database's backup."""
    manifest: Path
    """The key holders' manifest, signed by all of them; mirrored at `/v1/manifest`."""
    directory: Path
    """The key holders' directory; mirrored at `/v1/directory`."""
    holders: dict[str, str]
    """Pinned Ed25519 public keys of the key holders by id, delivered out of band."""
    vocabulary: Path | None = None
    """Absent: the packaged starting vocabulary."""
    policy_number: int = Field(1, ge=1)
    """Number under which the vocabulary and rules in use were published; it only rises."""
    organisations: dict[str, RegisterSettings] = {}
    """By OIN; an organisation that is not here has profile `basis` and no mandate."""

    node_per_minute: int = Field(6000, ge=1)
    """Persons that one node may ask about per minute, all its calls together."""
    employee_per_minute: int = Field(60, ge=1)
    """Persons that one employee may ask about per minute."""
    organisation_per_minute: int | None = Field(None, ge=1)
    """Persons that all nodes of one organisation may ask about per minute; absent: four times a node's."""
    waiting_persons: int = Field(1024, ge=64)
    """Persons in works that wait for the writer; past it 503 at once, for memory must not grow with load."""
    requests_at_once: int = Field(512, ge=1)
    """Signed requests that are read or waited for at one time; past it 503 before the body is read."""
    body_seconds: float = Field(10.0, gt=0)
    """How long a body may take to arrive; a slow sender must not hold a place for ever."""
    batch_persons: int = Field(64, ge=1, le=64)
    """Persons in one transaction; the log's tests and figures hold up to 64."""

    trust_separation: Literal["none", "organisations"] = "none"
    """`none` as long as hub, key holders and nodes are run by one party; `/health` and all screens say so."""
    pages: PageSettings | None = None
    """Pages for privacy officers; absent: no pages."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment before file; nothing else."""
        return (env_settings, init_settings)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the file, then the environment.

        Raises:
            SettingsError: Names each setting that is missing, unknown or wrong; never its value.
        """
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise SettingsError(f"settings file {path} is missing") from None
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
            raise SettingsError(f"settings file {path} is not TOML") from None
        _refuse_unknown_environment(set(cls.model_fields))
        try:
            settings = cls(**content)
        except ValidationError as error:
            places = ", ".join(
                f"{'.'.join(str(step) for step in item['loc'])} ({item['type']})"
                for item in error.errors(include_input=False, include_context=False, include_url=False)
            )
            raise SettingsError(f"settings file {path}: {places}") from None
        return settings.model_copy(update=_absolute(settings, path.parent.resolve()))

    @property
    def statement_hub(self) -> str:
        """The `hub` that statements must name: the log's origin without its year."""
        return f"{self.hub_id}/v1/log"

    @property
    def database_url(self) -> str:
        """SQLAlchemy address."""
        return self.database if "://" in self.database else f"sqlite:///{self.database}"

    def pins(self) -> dict[str, bytes]:
        """Pinned public keys of the key holders."""
        try:
            return {holder: unb64u(key, 32) for holder, key in self.holders.items()}
        except EncodingError:
            raise SettingsError("holders: a pinned key is not 32 bytes of base64url") from None

    def register_of(self, oin: str) -> RegisterSettings:
        """What is registered for an organisation."""
        return self.organisations.get(oin) or RegisterSettings()


def _refuse_unknown_environment(known: set[str]) -> None:
    for name in os.environ:
        if name.startswith(PREFIX) and name[len(PREFIX) :].lower().split("__")[0] not in known:
            raise SettingsError(f"environment variable {name} is not a setting of the hub")


def _absolute(settings: HubSettings, folder: Path) -> dict[str, object]:
    update: dict[str, object] = {
        name: folder / value
        for name in HubSettings.model_fields
        if isinstance(value := getattr(settings, name), Path)
    }
    if "://" not in settings.database:
        update["database"] = str(folder / settings.database)
    return update
