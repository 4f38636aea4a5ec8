"""Settings of the hub, from its TOML file and `VLAGWIJZER_HUB_...`; secrets stand in its key store."""

from datetime import date
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from consent.pages.settings import PageSettings
from index.protocol.codec import unb64u
from index.protocol.settings_file import ProcessSettings, reads

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


class HubSettings(ProcessSettings):
    """Everything that differs between two hubs."""

    model_config = reads(PREFIX)
    wrong = SettingsError

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
    vocabulary: Path | None = None
    """Of the first version of a new hub; absent: the packaged one. Later ones come by `policy publish`."""
    policy_number: int = Field(default=1, ge=1)
    """Number of the first version of a new hub, made of `vocabulary` and the packaged rules."""
    organisations: dict[str, RegisterSettings] = Field(default_factory=dict)
    """By OIN, for the first start of a new hub only; then `vlagwijzer hub organisation` and `mandate`."""
    approvers: dict[str, str] = Field(default_factory=dict)
    """Public Ed25519 keys (base64url) by name of who may publish and approve; made by `policy key`."""
    recheck_seconds: float = Field(default=300.0, gt=0)
    """How often Cedar is asked again about a sample of recorded decisions."""
    recheck_sample: int = Field(default=50, ge=1, le=1000)
    """Recorded decisions that are asked again each time."""

    retention_months: dict[str, Annotated[int, Field(ge=1, le=1200)]] = Field(default_factory=dict)
    """How long lines of the log are kept, per purpose; the controller decides, with a DPIA."""
    retention_default_months: int = Field(default=60, ge=1, le=1200)
    """For lines of any other purpose or none. NEN 7513 names 5 years as the minimum in care."""
    shredder_database: str | None = None
    """Address for the role that may null erased lines; absent: `database`, whose role then may."""
    upkeep_seconds: float = Field(default=600.0, gt=0)
    """How often it is looked whether a day, a month or a term is over."""

    signals_seconds: float = Field(default=30.0, gt=0)
    """How often it is looked for which visits the random moment of a signal has come."""

    equated_days: frozenset[date] = frozenset()
    """Days that a royal decree makes like holidays (Algemene termijnenwet, art. 3 paragraph 3)."""

    log_policy: Path | None = None
    """The log's published policy (C2SP tlog-policy): its witnesses, with their addresses, and the quorum.
    Absent: nobody confirms the log."""
    log_policy_signers: Path | None = None
    """Officers who must have signed that policy, and how many. Absent: it is believed as it lies there."""
    witness_first_seconds: float = Field(default=5.0, ge=0)
    """How long the first change after a start waits for the witnesses to say how far they are."""
    refuse_unconfirmed_hours: float | None = Field(default=None, gt=0)
    """Lookups are refused once no quorum confirmed the log for so long; 24 is meant. Absent: never, for
    an outage of witnesses must not stop care."""

    node_per_minute: int = Field(default=6000, ge=1)
    """Persons that one node may ask about per minute, all its calls together."""
    employee_per_minute: int = Field(default=60, ge=1)
    """Persons that one employee may ask about per minute."""
    organisation_per_minute: int | None = Field(default=None, ge=1)
    """Persons that all nodes of one organisation may ask about per minute; absent: four times a node's."""
    waiting_persons: int = Field(default=1024, ge=64)
    """Persons in works that wait for the writer; past it 503 at once, for memory must not grow with load."""
    requests_at_once: int = Field(default=512, ge=1)
    """Signed requests that are read or waited for at one time; past it 503 before the body is read."""
    body_seconds: float = Field(default=10.0, gt=0)
    """How long a body may take to arrive; a slow sender must not hold a place for ever."""
    batch_persons: int = Field(default=64, ge=1, le=64)
    """Persons in one transaction; the log's tests and figures hold up to 64."""

    @field_validator("approvers")
    @classmethod
    def _one_key_each(cls, approvers: dict[str, str]) -> dict[str, str]:
        # One key under two names would let one person approve twice.
        if len(set(approvers.values())) != len(approvers):
            raise ValueError("two approvers have one key")
        for key in approvers.values():
            unb64u(key, 32)
        return approvers

    pages: PageSettings | None = None
    """Pages for privacy officers; absent: no pages."""

    def absolute(self, folder: Path) -> dict[str, Any]:
        """The database too, where it is a file."""
        found = super().absolute(folder)
        if "://" not in self.database:
            found["database"] = str(folder / self.database)
        return found

    @property
    def statement_hub(self) -> str:
        """The `hub` that statements must name: the log's origin without its year."""
        return f"{self.hub_id}/v1/log"

    @property
    def database_url(self) -> str:
        """SQLAlchemy address."""
        return self.database if "://" in self.database else f"sqlite:///{self.database}"
