"""Settings of one key holder, from its TOML file and `VLAGWIJZER_KEYHOLDER_...`; no secret among them."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from index.protocol.settings_file import ProcessSettings, reads

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


class KeyHolderSettings(ProcessSettings):
    """Everything that differs between two key holders."""

    model_config = reads(PREFIX)
    wrong = CannotStart

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

    daily: ClassLimits = ClassLimits(publish=35_000, lookup=3_400, crisis=700, citizen=3_400, inzage=3_400)
    """Elements a node may have evaluated here per day and class: q = Q·t/n, where Q is what it needs,
    because the pairs of a 2-of-3 together give 1.5 q. At Q = 5,000 a day a municipality of 200,000
    people can be enumerated in 40 days: a quota slows, it does not prevent."""
    per_minute: ClassLimits = ClassLimits(publish=20_000, lookup=600, crisis=200, citizen=600, inzage=600)
    """Burst cap beside it."""
