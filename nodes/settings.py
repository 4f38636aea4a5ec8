"""Settings of one node, from its TOML file and `VLAGWIJZER_NODE_...`; secrets stand in files of their own."""

from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from index.protocol.codec import EncodingError, unb64u
from index.protocol.keyfile import KeyFileError, read_key_file
from index.protocol.settings_file import ProcessSettings, reads

from .errors import SettingsError

PREFIX = "VLAGWIJZER_NODE_"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class OidcSettings(_Part):
    """Login of people at an OpenID Connect provider: code flow with PKCE."""

    issuer: str
    client_id: str
    client_secret_file: Path | None = None
    """Absent for a public client; PKCE is used in both cases."""
    scope: str = "openid"
    subject_claim: str = "sub"
    role_claim: str = "roles"
    team_claim: str = "team"
    name_claim: str = "name"
    bsn_claim: str = "bsn"
    """Portal only: the claim in which the broker gives the citizen service number."""
    birthdate_claim: str = "birthdate"
    """Portal without `[brp]` only: without a year in it the strictest age regime holds."""
    represents_claim: str = "represents"
    """Portal only: whom a login speaks for, as the login broker proved it. `{"sub": <number>, "as":
    "gemachtigde" | "bewindvoerder" | "mentor" | "curator", "evidence": <reference>, "until": <RFC 3339>}`."""
    acr: str = ""
    """The level of assurance to ask and to require; empty asks none."""


class TokenSettings(_Part):
    """Employee tokens that the organisation's own systems send along (`Authorization: Bearer`)."""

    issuer: str
    jwks_url: str = ""
    """Empty: found through the issuer's `/.well-known/openid-configuration`."""
    algorithms: tuple[Literal["PS256", "ES256", "EdDSA", "RS256"], ...] = ("PS256", "ES256", "EdDSA")
    types: tuple[str, ...] = ("at+jwt",)
    """Accepted `typ` headers (RFC 9068): an id token is not an access token."""
    role_claim: str = "roles"
    team_claim: str = "team"
    max_seconds: int = Field(default=300, ge=30, le=300)
    jwks_cache_seconds: int = Field(default=600, ge=1)


class BrpSettings(_Part):
    """Where a portal or source asks the BRP: the web service, or a file in its format for a demo.

    Exactly one of `url` and `file`. Certificates of the connection belong to the gateway before it.
    """

    url: str = ""
    """Haal Centraal BRP Personen bevragen 2, without `/personen`; https, or http on this machine."""
    api_key_file: Path | None = None
    api_key_header: str = "X-API-Key"
    token_url: str = ""
    """OAuth 2.0 client credentials, where the service asks a token instead of a key."""
    client_id: str = ""
    client_secret_file: Path | None = None
    scope: str = ""
    timeout_seconds: float = Field(default=5.0, gt=0, le=30)
    """The whole question; a citizen waits for it at login."""
    file: Path | None = None
    """JSON as the service answers: `{"personen": [...]}`."""
    check_deceased: bool = False
    """A source asks it, for the number alone, whether the persons died that lists and messages publish.

    Only where the organisation's authorisation for the BRP covers this.
    """

    @model_validator(mode="after")
    def _one_way(self) -> "BrpSettings":
        if bool(self.url) == (self.file is not None):
            raise ValueError("[brp] needs url or file, and not both")
        for address in (self.url, self.token_url):
            parts = urlsplit(address)
            if address and parts.scheme != "https" and parts.hostname not in LOOPBACK:
                raise ValueError("[brp] must be asked over https, or on this machine")
        return self


class CounterSettings(_Part):
    """A counter for citizens without DigiD, at a portal. Its employees log in where citizens do."""

    name: str = Field(min_length=1, max_length=80)
    """Which counter it was, as the citizen reads it: `Balie, Stadhuis Waterrijk`."""
    role: str = Field(default="balie", min_length=1)
    """Role in the login that works at the counter. It is of these pages only and opens no visit."""


class CsvSettings(_Part):
    """How the organisation's own extract is read. The mapping is data, for columns differ everywhere."""

    mapping_file: Path | None = None
    """TOML with `[columns]` and `[kinds]`; absent: bsn, kind, local_ref, since, until as they are."""
    shrink_share: float = Field(default=0.2, ge=0.0, le=1.0)
    """A snapshot that loses a larger share of its rows than this stops and asks."""


class SourceSettings(_Part):
    """One connector: where it reads and by which mapping. `docs/sources.md` has an example of each."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")
    type: Literal["csv", "excel", "sql", "istandaarden", "zgw", "suwinet"]
    mapping_file: Path | None = None
    """TOML; absent: the mapping that comes with the product for this type."""
    mapping: str = Field(default="", pattern=r"^[a-z0-9-]*$")
    """Name of another mapping that comes with the product, such as `duo-verzuim`."""
    folder: Path | None = None
    """Watched: each file in it is taken in and removed. csv, excel, istandaarden and suwinet."""
    settle_seconds: float = Field(default=2.0, ge=0)
    """A file in the folder must be this old before it is read, for it may still be being written."""
    shrink_share: float = Field(default=0.2, ge=0.0, le=1.0)
    """A whole list that loses a larger share of its rows than this stops and asks."""
    every_minutes: float = Field(default=60.0, gt=0)
    """sql: how often it is read."""
    url_file: Path | None = None
    """sql: file with the SQLAlchemy URL; it holds a password. The account needs to read only."""
    query_file: Path | None = None
    """sql: one SELECT; with a cursor it has `WHERE column >= :cursor ORDER BY column`."""
    cursor_column: str = ""
    """sql: the rows are changes since the last run, by this column. Empty: a whole list each time."""
    cursor_start: int | str = 0
    """sql: the value of `:cursor` at the first run."""
    zaken_url: str = ""
    """zgw: address of the Zaken API, up to and with its version. Nothing outside it is fetched."""
    catalogi_url: str = ""
    """zgw: address of the Catalogi API, where final states and names of case types are looked up."""
    client_id: str = ""
    client_secret_file: Path | None = None
    """zgw: with `client_id`, for the token that the API asks (HS256, as the ZGW standard has it)."""
    timeout_seconds: float = Field(default=10.0, gt=0, le=60)

    @model_validator(mode="after")
    def _complete(self) -> "SourceSettings":
        if self.type == "sql" and (self.url_file is None or self.query_file is None):
            raise ValueError("a sql source needs url_file and query_file")
        if self.type == "zgw" and not (self.zaken_url and self.client_id and self.client_secret_file):
            raise ValueError("a zgw source needs zaken_url, client_id and client_secret_file")
        for address in (self.zaken_url, self.catalogi_url):
            parts = urlsplit(address)
            if address and parts.scheme != "https" and parts.hostname not in LOOPBACK:
                raise ValueError("a zgw source is asked over https, or on this machine")
        return self


class AlertSettings(_Part):
    """Where and when this node raises the alarm. Counts and names of sources only, never a person."""

    webhook_url: str = ""
    """A POST with JSON; https, or http on this machine."""
    smtp_host: str = ""
    smtp_port: int = 25
    smtp_starttls: bool = True
    mail_from: str = ""
    mail_to: tuple[str, ...] = ()
    outbox_minutes: float = Field(default=60.0, gt=0)
    """Something waits longer than this to reach the hub."""
    rejected_share: float = Field(default=0.05, ge=0.0, le=1.0)
    """A run of a source rejects a larger share of its items than this."""
    lease_days: float = Field(default=7.0, gt=0)
    """So many days, or fewer, until the hub stops showing the flags for want of confirmation."""
    lease_total_days: float = Field(default=35.0, gt=0)
    """How long the hub shows flags after the last confirmation."""
    repeat_hours: float = Field(default=24.0, gt=0)

    @model_validator(mode="after")
    def _reachable(self) -> "AlertSettings":
        parts = urlsplit(self.webhook_url)
        if self.webhook_url and parts.scheme != "https" and parts.hostname not in LOOPBACK:
            raise ValueError("[alerts] webhook_url must be https, or on this machine")
        if self.smtp_host and not (self.mail_from and self.mail_to):
            raise ValueError("[alerts] mail needs mail_from and mail_to")
        return self


class WebhookSettings(_Part):
    """A system of this organisation that hears when to ask again: CloudEvents, signed, without a person."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")
    url: str
    """https; or http on this machine, which `private` then has to allow."""
    key_file: Path
    """Ed25519 seed of the signature (RFC 9421), for this alone. `vlagwijzer policy key` makes one."""
    key_id: str = Field(pattern=r"^[A-Za-z0-9._-]{1,60}$")
    """How the receiver names the key."""
    teams: tuple[str, ...] = ()
    """Only visits of these teams; empty: of all."""
    private: bool = False
    """Whether the address may be one of the organisation's own network or of this machine."""

    @model_validator(mode="after")
    def _address(self) -> "WebhookSettings":
        parts = urlsplit(self.url)
        local = parts.scheme == "http" and parts.hostname in LOOPBACK and self.private
        if not parts.hostname or not (parts.scheme == "https" or local):
            raise ValueError("a webhook must be https, or http on this machine with private = true")
        if parts.username or parts.password or parts.fragment:
            raise ValueError("a webhook's address has no name, password or fragment in it")
        return self


class CombinationSettings(_Part):
    """Subjects that together deserve attention: computed here, from an answer, and kept nowhere."""

    name: str = Field(min_length=1, max_length=60)
    """As the employee reads it."""
    kinds: frozenset[str] = Field(min_length=2)
    over: Literal["person", "visit"] = "person"
    """Whether one person must have them all, or the persons of a visit together."""


class SignalSettings(_Part):
    """What happens when there is something new for a visit."""

    every_seconds: float = Field(default=300.0, gt=0)
    """How often the hub is asked while a visit is followed. Its own delay is up to an hour, at random."""
    first: frozenset[str] | None = None
    """Kinds that come first on the list once they were seen. Absent: those of immediate danger."""
    team_after_hours: float = Field(default=24.0, gt=0)
    """From then on colleagues with the same role and team see it too, and may take the visit over."""
    webhooks: tuple[WebhookSettings, ...] = ()
    retry_first_seconds: float = Field(default=30.0, gt=0)
    retry_max_seconds: float = Field(default=3600.0, gt=0)
    give_up_hours: float = Field(default=72.0, gt=0)
    """A webhook that cannot be reached for so long is not told of this one any more."""
    combinations: tuple[CombinationSettings, ...] = ()

    @model_validator(mode="after")
    def _named_once(self) -> "SignalSettings":
        names = [webhook.name for webhook in self.webhooks]
        if len(set(names)) != len(names):
            raise ValueError("every webhook has a name of its own")
        return self


class WitnessSettings(_Part):
    """This node cosigns checkpoints of the log, at `/v1/witness/add-checkpoint`."""

    name: str = Field(pattern=r"^[!-*,-~]{1,200}$")
    """Name of the witness's key, as the policy repeats it: a host name and a path, without spaces or `+`."""
    key_file: Path
    """Ed25519 seed for cosigning alone. `<key_file>.used`, which comes to lie beside it, belongs to it."""
    logs: tuple[str, ...] = ()
    """Verifier keys of the logs that are cosigned; empty: the hub's."""


class NodeSettings(ProcessSettings):
    """Everything that differs between two nodes."""

    model_config = reads(PREFIX)
    wrong = SettingsError

    node_id: str
    """Id of this node in the signed directory; the `aud` of employee tokens."""
    parts: frozenset[Literal["source", "desk", "portal"]]
    organisation_name: str = ""
    """Shown at the top of the pages of this node; never sent anywhere."""
    url: str
    """Where people and systems reach this node; used for links and for the login's return address."""
    host: str = "127.0.0.1"
    port: int = 8443

    database: Path
    """SQLite file of this node: outbox, flags, visits. Holds no BSN in clear."""
    signing_key_file: Path
    """Ed25519 seed with which every request is signed."""
    node_secret_file: Path
    """Retraction secrets and employee ids come from it. Without it no own flag can be retracted singly."""
    case_key_file: Path
    """Turns case references into case tags for the log."""
    storage_key_file: Path
    """Seals what waits for the key holders, and the tickets of open visits."""

    hub_url: str
    hub_id: str
    hub_log_vkey: str
    """Verifier key of the hub's log (C2SP signed note)."""
    hub_receipt_key: str
    """Ed25519 public key of the hub's change receipts, base64url."""
    hub_consent_key: str = ""
    """Ed25519 public key of the hub's consent receipts, base64url; a portal needs it."""
    threshold: int = Field(default=2, ge=1)
    manifest_url: str
    """Where the manifest is fetched; any mirror will do, for all key holders signed it."""
    directory_url: str
    vocabulary_file: Path | None = None
    """Absent: the packaged starting vocabulary."""

    portal_node: str = ""
    """Desk: id of the portal whose address stands in a code for the citizen's phone.
    Empty: the only portal of the directory."""

    tokens_file: Path | None = None
    """Design tokens of the municipality for all pages: one CSS file, such as the theme.css of its NL Design
    System theme. Text with too little contrast stops the process. Absent: the look of Vlagwijzer."""
    login: OidcSettings | None = None
    """Login of the desk's employees and the source's managers, or of citizens at a portal."""
    tokens: TokenSettings | None = None
    """Absent: calls that need an employee token are refused."""
    grant_url: str = ""
    """Portal: where the broker exchanges the login for a grant to the key holders (RFC 8693)."""
    grant_client_secret_file: Path | None = None
    officer_role: str = "privacy_officer"
    """Role in the login of the organisation's own privacy officer."""
    source_role: str = "bronbeheerder"
    """Role in the login that may see the source's pages."""

    publication_batch: int = Field(default=200, ge=1, le=1000)
    """Flags in one message. 50 or more hide which flags belong together (batches are shuffled)."""
    retry_first_seconds: float = Field(default=1.0, gt=0)
    retry_max_seconds: float = Field(default=30.0, gt=0)
    """Longest pause between two attempts: what waited goes within a minute after an outage."""
    poll_seconds: float = Field(default=0.5, gt=0)
    confirm_hours: float = Field(default=24.0, gt=0)
    """Every so often the live flags are confirmed; the hub wants it at least every 35 days."""
    max_until_years: int = Field(default=10, ge=1, le=60)
    """A flag that would end later than this is refused as a typing error."""
    timeout_seconds: float = Field(default=10.0, gt=0)
    answer_grid_ms: int = Field(default=50, ge=0)
    """Answers leave on this time grid; 0 only for timing tests."""
    csv: CsvSettings = CsvSettings()
    sources: tuple[SourceSettings, ...] = ()
    """Connectors by name, beside the list that `node import` reads."""
    alerts: AlertSettings = AlertSettings()
    signals: SignalSettings = SignalSettings()
    contacts_seconds: float = Field(default=900.0, gt=0)
    """Source: how often it is asked who wants contact."""
    approvers: dict[str, str] = Field(default_factory=dict)
    """Who may sign off a first load: name = Ed25519 public key (`vlagwijzer policy key`). Two are needed."""
    witness: WitnessSettings | None = None
    """Absent: this node cosigns nothing."""
    log_policy: Path | None = None
    """The log's published policy (C2SP tlog-policy): who must have confirmed it. Absent: nobody need have."""
    log_policy_signers: Path | None = None
    """Officers who must have signed that policy, and how many. Absent: it is believed as it lies there."""
    proofs_kept: int = Field(default=100_000, ge=100)
    """Confirmed proofs of this node's own questions that are kept; then the oldest goes."""
    proofs_seconds: float = Field(default=20.0, gt=0)
    """How often confirmed proofs are fetched."""
    brp: BrpSettings | None = None
    """Portal: absent, the birth date comes from the login and nobody can choose for a child."""
    counter: CounterSettings | None = None
    """Portal: absent, there is no counter."""

    @model_validator(mode="after")
    def _counter_at_a_portal(self) -> "NodeSettings":
        if self.counter is not None and ("portal" not in self.parts or self.login is None):
            raise ValueError("[counter] belongs to a portal with [login]")
        return self

    def absolute(self, folder: Path) -> dict[str, Any]:
        """The files named in parts too."""
        found = super().absolute(folder)
        for name, field in _PART_FILES:
            part = found.get(name, getattr(self, name))
            if part is not None and getattr(part, field) is not None:
                found[name] = part.model_copy(update={field: folder / getattr(part, field)})
        found["sources"] = tuple(_absolute(source, folder) for source in self.sources)
        hooks = tuple(
            hook.model_copy(update={"key_file": folder / hook.key_file}) for hook in self.signals.webhooks
        )
        found["signals"] = self.signals.model_copy(update={"webhooks": hooks})
        return found

    @model_validator(mode="after")
    def _named_once(self) -> "NodeSettings":
        names = [source.name for source in self.sources]
        if len(set(names)) != len(names) or set(names) & {"csv", "api", "hub", "timer"}:
            raise ValueError("sources: every source has a name of its own")
        return self

    def keys(self) -> "NodeKeys":
        """The node's secrets.

        Raises:
            SettingsError: A key file is missing or wrong; names the file.
        """
        try:
            return NodeKeys(
                signing=read_key_file(self.signing_key_file),
                secret=read_key_file(self.node_secret_file),
                case=read_key_file(self.case_key_file),
                storage=read_key_file(self.storage_key_file),
            )
        except KeyFileError as error:
            raise SettingsError(str(error)) from None

    def receipt_key(self) -> bytes:
        """Public key that verifies the hub's receipts."""
        try:
            return unb64u(self.hub_receipt_key, 32)
        except EncodingError:
            raise SettingsError("hub_receipt_key is not 32 bytes of base64url") from None

    def consent_key(self) -> bytes:
        """Public key that verifies the receipts of choices."""
        try:
            return unb64u(self.hub_consent_key, 32)
        except EncodingError:
            raise SettingsError("hub_consent_key is not 32 bytes of base64url") from None


def _absolute(source: SourceSettings, folder: Path) -> SourceSettings:
    paths = {
        name: folder / value
        for name in type(source).model_fields
        if isinstance(value := getattr(source, name), Path)
    }
    return source.model_copy(update=paths)


_PART_FILES = (
    ("login", "client_secret_file"),
    ("csv", "mapping_file"),
    ("witness", "key_file"),
    ("brp", "api_key_file"),
    ("brp", "client_secret_file"),
    ("brp", "file"),
)


class NodeKeys:
    """The four secrets of a node. Shows nothing of them."""

    __slots__ = ("case", "secret", "signing", "storage")

    def __init__(self, *, signing: bytes, secret: bytes, case: bytes, storage: bytes) -> None:
        self.signing = signing
        self.secret = secret
        self.case = case
        self.storage = storage

    def __repr__(self) -> str:
        return "<NodeKeys>"
