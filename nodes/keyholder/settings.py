"""Settings of one key holder: a TOML file, overruled by `VLAGWIJZER_KEYHOLDER_...`.

Secrets stand in files of their own. Relative paths count from the folder of
the TOML file. An unknown setting stops the process, in the file and in the
environment alike.
"""

import os
import tomllib
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from index.protocol.codec import EncodingError, unb64u

from .errors import CannotStart

PREFIX = "VLAGWIJZER_KEYHOLDER_"


class ClassLimits(BaseModel):
    """Elements per class for one node. A spent class never blocks another: crisis has its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    publish: int = Field(ge=0)
    lookup: int = Field(ge=0)
    crisis: int = Field(ge=0)
    citizen: int = Field(ge=0)
    inzage: int = Field(ge=0)


class KeyHolderSettings(BaseSettings):
    """Everything that differs between two key holders."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        env_ignore_empty=True,
    )

    holder_id: str
    """Id of this holder in the manifest; requests are signed for it and no other."""
    host: str = "127.0.0.1"
    port: int = 8441
    manifest_file: Path
    """The manifest in force, signed by every holder."""
    directory_file: Path
    """Who may ask, signed by at least t holders. The hub has no say in it."""
    signing_key_file: Path
    """Ed25519 seed: signs receipts, manifests and directories."""
    shares_dir: Path
    """One key file per kid, `<kid>.key`, mode 0600. A missing one stops the process."""
    database: Path
    """Counters, nonces, grant units and events. Made by `keyholder init` only, never silently."""
    holders: dict[str, str]
    """Pinned Ed25519 public keys of all holders by id, delivered out of band."""
    trust_separation: Literal["none", "organisations"] = "none"
    """`none` as long as hub, key holders and nodes are run by one party; `/health` says so."""

    daily: ClassLimits = ClassLimits(publish=35_000, lookup=3_400, crisis=700, citizen=3_400, inzage=3_400)
    """Elements a node may have evaluated here per day and class: q = Q·t/n, where Q is what it needs,
    because the pairs of a 2-of-3 together give 1.5 q. At Q = 5,000 a day a municipality of 200,000
    people can be enumerated in 40 days: a quota slows, it does not prevent."""
    per_minute: ClassLimits = ClassLimits(publish=20_000, lookup=600, crisis=200, citizen=600, inzage=600)
    """Burst cap beside it."""

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
            CannotStart: Names each setting that is missing, unknown or wrong; never its value.
        """
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise CannotStart(f"settings file {path} is missing") from None
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
            raise CannotStart(f"settings file {path} is not TOML") from None
        for name in os.environ:
            if name.startswith(PREFIX) and name[len(PREFIX) :].lower().split("__")[0] not in cls.model_fields:
                raise CannotStart(f"environment variable {name} is not a setting of a key holder")
        try:
            settings = cls(**content)
        except ValidationError as error:
            places = ", ".join(
                f"{'.'.join(str(step) for step in item['loc'])} ({item['type']})"
                for item in error.errors(include_input=False, include_context=False, include_url=False)
            )
            raise CannotStart(f"settings file {path}: {places}") from None
        folder = path.parent.resolve()
        absolute = {
            name: folder / value
            for name in cls.model_fields
            if isinstance(value := getattr(settings, name), Path)
        }
        return settings.model_copy(update=absolute)

    def pins(self) -> dict[str, bytes]:
        """Pinned public keys of the key holders."""
        try:
            return {holder: unb64u(key, 32) for holder, key in self.holders.items()}
        except EncodingError:
            raise CannotStart("holders: a pinned key is not 32 bytes of base64url") from None
