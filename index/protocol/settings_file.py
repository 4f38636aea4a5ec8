"""How every process reads its settings: a TOML file, overruled by environment variables.

Secrets stand in key files of their own, never in a setting. Relative paths
count from the folder of the TOML file. A setting that does not exist stops the
process, in the file and in the environment alike. Beside `keyfile`, this is
the only module here that touches the disk.
"""

import os
import tomllib
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from .codec import EncodingError, Environment, unb64u


def reads(prefix: str) -> SettingsConfigDict:
    """The `model_config` of a process whose environment variables begin with `prefix`."""
    return SettingsConfigDict(
        env_prefix=prefix,
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        env_ignore_empty=True,
    )


class ProcessSettings(BaseSettings):
    """What the settings of all processes share. `wrong` is the error a subclass raises."""

    wrong: ClassVar[type[Exception]] = ValueError

    holders: dict[str, str]
    """Pinned Ed25519 public keys of the key holders by id, delivered out of band."""
    trust_separation: Literal["none", "organisations"] = "none"
    """`none` as long as hub, key holders and nodes are run by one party; `/health` and all screens say so."""
    environment: Environment = "production"
    """Must be that of the manifest, else the process does not start. With `test` every page says that no real
    people are in it, and nothing that it signs counts in production, nor the other way round."""

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
            Exception: `wrong`; names each setting that is missing, unknown or wrong, never its value.
        """
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise cls.wrong(f"settings file {path} is missing") from None
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
            raise cls.wrong(f"settings file {path} is not TOML") from None
        cls._refuse_unknown_environment()
        try:
            settings = cls(**content)
        except ValidationError as error:
            places = ", ".join(
                f"{'.'.join(str(step) for step in item['loc'])} ({item['type']})"
                for item in error.errors(include_input=False, include_context=False, include_url=False)
            )
            raise cls.wrong(f"settings file {path}: {places}") from None
        return settings.model_copy(update=settings.absolute(path.parent.resolve()))

    @classmethod
    def _refuse_unknown_environment(cls) -> None:
        prefix = cls.model_config.get("env_prefix", "")
        for name in os.environ:
            if name.startswith(prefix) and name[len(prefix) :].lower().split("__")[0] not in cls.model_fields:
                raise cls.wrong(f"environment variable {name} is not a setting of this process")

    def absolute(self, folder: Path) -> dict[str, Any]:
        """Path settings counted from a folder; a subclass adds those that it nests."""
        return {
            name: folder / value
            for name in type(self).model_fields
            if isinstance(value := getattr(self, name), Path)
        }

    def pins(self) -> dict[str, bytes]:
        """Pinned public keys of the key holders."""
        try:
            return {holder: unb64u(key, 32) for holder, key in self.holders.items()}
        except EncodingError:
            raise self.wrong("holders: a pinned key is not 32 bytes of base64url") from None
