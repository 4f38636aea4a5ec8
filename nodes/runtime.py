"""The services of one running node, made once at start and handed to routes, pages and commands.

    settings -> keys -> manifest and directory -> store -> outbox, hub, key holders -> services

`open_node` is the only place that puts them together; `node serve` and
`node import` use the same.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx
from nacl.signing import SigningKey
from sqlalchemy import Engine

from index.protocol.keyfile import KeyFileError, read_key_file
from policy.postpone import Postponement
from policy.vocabulary import Vocabulary, load_vocabulary

from .alerts import Alerts
from .assisted import Assisted
from .brp import Brp, HaalCentraal, RegisterFile
from .citizen import Citizens
from .connectors.rows import Mapped, load_mapping
from .connectors.runs import Sources
from .contacts import Contacts
from .crises import Crises
from .deceased import AskedAtBrp
from .declarations import Declarations
from .desk_links import DeskLinks
from .disputes import Disputes
from .employees import EmployeeTokens
from .errors import SettingsError
from .figures import NodeFigures
from .follow_up import FollowUp
from .hub import Hub
from .inquiries import Inquiries
from .intake import Intake
from .outbox import Outbox
from .oversight import Oversight
from .policy import HubPolicy
from .proofs import ConfirmedLog, pinned_policy
from .pseudonymise import Pseudonymiser
from .publication import Rules
from .sender import Sender
from .settings import NodeKeys, NodeSettings
from .signals import Signals
from .source import SourceDesk
from .store.database import open_engine
from .switching_off import SwitchingOff
from .trust import Trust, establish
from .visits import Visits
from .webhooks import Webhooks
from .witness.witness import Witness


@dataclass(slots=True)
class NodeRuntime:
    """What a page, route or command may use. Also at `request.app.state.node`."""

    settings: NodeSettings
    keys: NodeKeys
    vocabulary: Vocabulary
    visits: Visits
    crises: Crises
    inquiries: Inquiries
    signals: Signals
    contacts: Contacts
    oversight: Oversight
    assisted: Assisted
    citizens: Citizens
    declarations: Declarations
    source: SourceDesk
    disputes: Disputes
    switching_off: SwitchingOff
    trust: Trust
    engine: Engine
    outbox: Outbox
    rules: Rules
    intake: Intake
    pseudonymiser: Pseudonymiser
    hub: Hub
    sender: Sender
    tokens: EmployeeTokens | None
    links: DeskLinks
    csv_mapping: Mapped
    sources: Sources
    alerts: Alerts
    brp: Brp | None
    figures: NodeFigures
    now: Callable[[], datetime]
    clients: tuple[httpx.AsyncClient, ...]
    confirmed: ConfirmedLog
    witness: Witness | None = None

    async def close(self) -> None:
        """Let go of connections and the store."""
        await self.citizens.settle()
        self.sources.close()
        for client in (*self.clients, self.signals.webhooks.client):
            await client.aclose()
        self.engine.dispose()


def utc_now() -> datetime:
    """The process's clock."""
    return datetime.now(UTC)


def open_node(
    settings: NodeSettings,
    *,
    now: Callable[[], datetime] = utc_now,
    hub_transport: httpx.AsyncBaseTransport | None = None,
    holder_transport: httpx.AsyncBaseTransport | None = None,
    source_transport: httpx.AsyncBaseTransport | None = None,
    webhook_transport: httpx.AsyncBaseTransport | None = None,
    trust: Trust | None = None,
) -> NodeRuntime:
    """Put a node together. Blocks while it fetches manifest and directory.

    Args:
        hub_transport, holder_transport, source_transport, webhook_transport, trust: A test world's
            own; absent in a process.

    Raises:
        SettingsError: A setting, key file or document is missing or wrong; names it.
        KeysWrong: The cryptographic library does not give its known answers.
    """
    keys = settings.keys()
    if "portal" in settings.parts:
        settings.consent_key()
    settings.receipt_key()
    vocabulary = load_vocabulary(settings.vocabulary_file)
    mapping = load_mapping(settings.csv.mapping_file, vocabulary)
    trust = trust or establish(settings, now)
    if "source" in settings.parts and "publish" not in trust.node.classes:
        raise SettingsError("parts: the directory does not let this node publish")
    engine = open_engine(settings.database)
    hub_http = _client(settings, hub_transport, base_url=settings.hub_url)
    holder_http = _client(settings, holder_transport)
    source_http = _client(settings, source_transport)
    figures = NodeFigures()
    confirmed = ConfirmedLog(
        hub_http,
        engine,
        policy=pinned_policy(settings.log_policy, settings.hub_log_vkey, settings.log_policy_signers),
        keep=settings.proofs_kept,
        figures=figures,
        now=now,
    )
    hub = Hub(
        hub_http,
        hub_id=settings.hub_id,
        node=settings.node_id,
        oin=trust.oin,
        signing_key=keys.signing,
        log_vkey=settings.hub_log_vkey,
        receipt_key=settings.receipt_key(),
        now=now,
        environment=settings.environment,
        observe=figures.hub,
        proven=confirmed.remember,
        postpones=Postponement.of(vocabulary).postpones,
    )
    pseudonymiser = Pseudonymiser(
        node=settings.node_id,
        signing_key=SigningKey(keys.signing),
        manifest=trust.manifest,
        pinned=settings.pins(),
        client=holder_http,
        classes=trust.node.classes,
        scopes=trust.node.scopes,
        clock=now,
        observe=figures.holder,
    )
    outbox = Outbox(engine, keys, settings.node_id, batch=settings.publication_batch, now=now)
    brp = _brp(settings, holder_http)
    asks = brp is not None and settings.brp is not None and settings.brp.check_deceased
    intake = Intake(outbox, pseudonymiser, trust, AskedAtBrp(brp) if asks and brp else None)
    rules = Rules(
        vocabulary, lambda: trust.directory, trust.oin, max_until_years=settings.max_until_years, now=now
    )
    policy = HubPolicy(
        hub_http,
        hub_id=settings.hub_id,
        log_vkey=settings.hub_log_vkey,
        directory=lambda: trust.directory,
    )
    visits = Visits(
        engine,
        keys,
        hub=hub,
        pseudonymiser=pseudonymiser,
        trust=trust,
        vocabulary=vocabulary,
        node=settings.node_id,
        policy=policy,
        now=now,
    )
    source = SourceDesk(
        engine, hub=hub, intake=intake, trust=trust, vocabulary=vocabulary, http=holder_http, now=now
    )
    sources = Sources(
        settings,
        keys,
        vocabulary,
        engine=engine,
        outbox=outbox,
        intake=intake,
        rules=rules,
        http=source_http,
        now=now,
    )
    alerts = Alerts(
        settings.alerts,
        engine=engine,
        node=settings.node_id,
        source=source,
        sources=sources,
        http=source_http,
        now=now,
    )
    citizens = Citizens(
        hub,
        pseudonymiser,
        trust,
        vocabulary,
        policy=policy,
        confirmed=confirmed,
        settings=settings,
        now=now,
    )
    sender = Sender(outbox, intake, hub, vocabulary, settings, now=now)
    follow_up = FollowUp(engine, keys.storage, timedelta(hours=settings.signals.team_after_hours))
    webhooks = Webhooks(
        settings.signals,
        engine,
        source=f"urn:nld:oin:{trust.oin}:systeem:{settings.node_id}",
        now=now,
        transport=webhook_transport,
    )
    signals = Signals(
        settings.signals,
        vocabulary,
        hub=hub,
        visits=visits,
        follow_up=follow_up,
        webhooks=webhooks,
        secret=keys.secret,
        now=now,
    )
    tokens = None
    if settings.tokens is not None:
        tokens = EmployeeTokens(
            settings.tokens, holder_http, audience=settings.node_id, node_secret=keys.secret, now=now
        )
    return NodeRuntime(
        settings=settings,
        keys=keys,
        vocabulary=vocabulary,
        visits=visits,
        crises=Crises(
            engine,
            keys,
            hub=hub,
            visits=visits,
            trust=trust,
            vocabulary=vocabulary,
            policy=policy,
            now=now,
        ),
        inquiries=Inquiries(hub, visits),
        signals=signals,
        contacts=Contacts(
            engine,
            hub=hub,
            visits=visits,
            outbox=outbox,
            secret=keys.secret,
            seconds=settings.contacts_seconds,
            now=now,
        ),
        oversight=Oversight(hub, now=now),
        assisted=Assisted(visits, hub, trust, vocabulary, settings, now=now),
        citizens=citizens,
        declarations=Declarations(citizens, outbox, sender, trust, vocabulary, secret=keys.secret, now=now),
        source=source,
        disputes=Disputes(hub, outbox, intake, vocabulary, now=now),
        switching_off=SwitchingOff(engine, outbox, name=settings.organisation_name, now=now),
        trust=trust,
        engine=engine,
        outbox=outbox,
        rules=rules,
        intake=intake,
        pseudonymiser=pseudonymiser,
        hub=hub,
        sender=sender,
        tokens=tokens,
        links=DeskLinks(vocabulary.limits.desk_link_seconds),
        csv_mapping=mapping,
        sources=sources,
        alerts=alerts,
        brp=brp,
        figures=figures,
        now=now,
        clients=(hub_http, source_http, holder_http),
        confirmed=confirmed,
        witness=_witness(settings, engine, now),
    )


def _witness(settings: NodeSettings, engine: Engine, now: Callable[[], datetime]) -> Witness | None:
    own = settings.witness
    if own is None:
        return None
    try:
        seed = read_key_file(own.key_file)
    except KeyFileError as error:
        raise SettingsError(str(error)) from None
    return Witness(
        engine,
        name=own.name,
        seed=seed,
        marker=own.key_file.with_name(own.key_file.name + ".used"),
        log_vkeys=own.logs or (settings.hub_log_vkey,),
        now=now,
    )


def _brp(settings: NodeSettings, client: httpx.AsyncClient) -> Brp | None:
    if settings.brp is None or settings.brp.file is not None:
        return RegisterFile(settings.brp.file) if settings.brp and settings.brp.file else None
    return HaalCentraal(settings.brp, client)


def _client(
    settings: NodeSettings, transport: httpx.AsyncBaseTransport | None, base_url: str = ""
) -> httpx.AsyncClient:
    # No proxy from the environment and no redirects: requests go where the settings say.
    return httpx.AsyncClient(
        base_url=base_url,
        timeout=settings.timeout_seconds,
        transport=transport,
        trust_env=False,
        follow_redirects=False,
    )
