"""The hub as one ASGI application: opened whole, or not at all.

    settings -> keys -> manifest and directory -> vocabulary and policy -> log and writer -> routes

Anything missing or wrong stops the start and is named. Routes come from the
rules in `RULES` and `PUBLIC` and from nowhere else.
"""

import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import structlog
from fastapi import FastAPI
from sqlalchemy import Connection, Engine, func, insert, select
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from index import (
    assisted,
    choices,
    citizen,
    confirm,
    contacts,
    inquiries,
    lookup,
    objections,
    oversight,
    public,
    publish,
    relations,
    reviews,
    signals,
)
from index.accesslog.lasthead import HeadFile
from index.accesslog.log import AccessLog
from index.accesslog.reading import LogReader
from index.acts import Office
from index.errors import NOT_FOUND, WRONG_METHOD, internal_problem
from index.gate import Direct, Gate, Public, Rule
from index.hub import Budgets, Hub
from index.keystore import Keystore, load_keystore
from index.metrics import HubMetrics
from index.policies import Policies, check_sizes, first_version
from index.protocol.codec import b64u
from index.protocol.directory import (
    Directory,
    Manifest,
    NotTrusted,
    check_environment,
    parse_directory,
    parse_manifest,
)
from index.protocol.http import App, Bounds, Receive, SafeHeaders, Scope, Send, problem_response
from index.protocol.signedpolicy import parse_signers, signed_policy
from index.protocol.tlogpolicy import LogPolicy, PolicyFileError, parse_policy
from index.recheck import Recheck
from index.retention import Terms
from index.rows import EscrowSession, Rows
from index.sequencer import Sequencer
from index.settings import HubSettings, SettingsError
from index.store import migrate
from index.store import tables as t
from index.store.engine import open_engine
from index.store.scopekeys import ManifestOlder, versions_of_equal_keys
from index.tickets import Tickets
from index.upkeep import Upkeep
from index.witnesses import Witnesses, check_addresses

log = structlog.get_logger()

RULES: tuple[Rule, ...] = (
    *publish.RULES,
    *confirm.RULES,
    *relations.RULES,
    *reviews.RULES,
    *lookup.RULES,
    *choices.RULES,
    *objections.RULES,
    *assisted.RULES,
    *citizen.RULES,
    *inquiries.RULES,
    *signals.RULES,
    *contacts.RULES,
    *oversight.RULES,
)
PUBLIC: tuple[Public, ...] = (*public.RULES, *choices.PUBLIC, *reviews.PUBLIC)

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


class Escrows:
    """The escrow session in force: a new one at start and every 24 hours, its public half stored first."""

    def __init__(self, rotation_public: bytes) -> None:
        self._rotation_public = rotation_public
        self._session: EscrowSession | None = None

    def current(self) -> EscrowSession:
        if self._session is None:
            raise RuntimeError("no escrow session was opened")
        return self._session

    def renew(self, connection: Connection, now: datetime) -> None:
        """Begin a session where none lives, in a transaction of its own."""
        if self._session is not None and not self._session.over(now):
            return
        with connection.begin():
            last = connection.execute(select(func.max(t.escrow_session.c.sid))).scalar() or 0
            session = EscrowSession(self._rotation_public, last + 1, now)
            connection.execute(insert(t.escrow_session), [{"sid": session.sid, "epk": session.epk}])
        self._session = session
        log.info("escrow_session_began", number=session.sid)


def open_hub(settings: HubSettings, clock: Clock = utc_now, *, engine: Engine | None = None) -> Hub:
    """Everything a hub needs, checked. The writer is not started yet.

    Raises:
        KeyFileError: A key file is missing, readable by others, or wrong; names it.
        SettingsError: Manifest or directory is missing, not trusted, or not about this hub.
        VocabularyError, PublishError, EntryTooLarge: What is to be served does not hold together.
        LogError: The log is not the one that was signed last.
    """
    keystore = load_keystore(settings.keystore)
    terms = Terms.of(settings)
    keystore.log_classes = terms.classes
    keystore.keys_for(clock())
    manifest, directory = _documents(settings, keystore)
    engine = engine or open_engine(settings.database_url)
    migrate.check(engine)
    try:
        versions = versions_of_equal_keys(engine, manifest)
    except ManifestOlder as error:
        raise SettingsError(f"manifest: {error}") from None
    office = Office(settings, keystore, engine, clock)
    policies = _policies(office, directory)
    escrows = Escrows(keystore.rotation_public)
    with engine.connect() as connection:
        escrows.renew(connection, clock())
    rows = Rows(keystore, escrows.current, clock)
    head = settings.keystore / "last-head"
    access_log = AccessLog(settings.statement_hub, keystore, keeper=HeadFile(head), class_of=terms.class_of)

    with engine.connect().execution_options(reading=True) as connection:
        access_log.check_stored(connection)
    policy = _log_policy(settings, keystore)
    log_reader = LogReader(settings.statement_hub, keystore, policy)
    metrics = HubMetrics()
    hours = settings.refuse_unconfirmed_hours
    witnesses = Witnesses(
        policy,
        engine=engine,
        reader=log_reader,
        access_log=access_log,
        signing=keystore.log_signing,
        clock=clock,
        metrics=metrics,
        first_s=settings.witness_first_seconds,
        refuse_after=None if hours is None else timedelta(hours=hours),
    )

    def before(connection: Connection, now: datetime) -> None:
        witnesses.before_signing()
        keystore.keys_for(now)
        escrows.renew(connection, now)

    sequencer = Sequencer(
        engine,
        access_log,
        rows,
        clock,
        max_persons=settings.batch_persons,
        most_waiting=settings.waiting_persons,
        metrics=metrics,
        before=before,
        policies=policies,
        fatal=lambda: os.kill(os.getpid(), signal.SIGTERM),
    )
    return Hub(
        settings=settings,
        clock=clock,
        policies=policies,
        office=office,
        directory=directory,
        manifest=manifest,
        versions=versions,
        keystore=keystore,
        rows=rows,
        tickets=Tickets(keystore.secret("k_ticket")),
        engine=engine,
        access_log=access_log,
        log_reader=log_reader,
        sequencer=sequencer,
        witnesses=witnesses,
        budgets=Budgets(
            settings.node_per_minute,
            settings.employee_per_minute,
            settings.organisation_per_minute or 4 * settings.node_per_minute,
        ),
        metrics=metrics,
    )


def create_app(settings: HubSettings, clock: Clock = utc_now, *, engine: Engine | None = None) -> FastAPI:
    """The application. Its writer starts and stops with its lifespan."""
    hub = open_hub(settings, clock, engine=engine)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        hub.witnesses.start()
        hub.sequencer.start()
        recheck = Recheck(hub)
        recheck.start()
        upkeep = Upkeep(hub)
        upkeep.start()
        told = signals.Signals(hub)
        told.start()
        try:
            yield
        finally:
            await told.stop()
            upkeep.stop()
            recheck.stop()
            hub.sequencer.stop()
            hub.witnesses.stop()
            hub.engine.dispose()

    app = _HubApp(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False, lifespan=lifespan)
    app.state.hub = hub
    app.state.gate = Gate(hub, RULES, PUBLIC)
    app.router.routes.extend(app.state.gate.routes())
    _mount_pages(app, hub)
    app.add_exception_handler(HTTPException, _http_problem)
    app.add_exception_handler(Exception, _unexpected)
    app.front = SafeHeaders(Bounds(Direct(super(_HubApp, app).__call__, app.state.gate)))
    return app


class _HubApp(FastAPI):
    """FastAPI behind a front that answers the signed calls itself."""

    front: App

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.front(scope, receive, send)


def _mount_pages(app: FastAPI, hub: Hub) -> None:
    """The officers' pages, where settings ask for them."""
    if hub.settings.pages is None or find_spec("index.web.pages") is None:
        return
    import_module("index.web.pages").mount(app, hub)


def _documents(settings: HubSettings, keystore: Keystore) -> tuple[Manifest, Directory]:
    pins = settings.pins()
    try:
        manifest = parse_manifest(_read(settings.manifest), pins)
        check_environment(manifest, settings.environment)
        threshold = max(key.t for key in manifest.keys)
        directory = parse_directory(_read(settings.directory), pins, threshold)
    except NotTrusted as error:
        raise SettingsError(f"manifest or directory: {error}") from None
    if manifest.hub.id != settings.hub_id:
        raise SettingsError("the manifest is about another hub")
    if b64u(keystore.points_public) not in manifest.hub.x25519:
        raise SettingsError(f"the manifest names another key for points than {keystore.path} holds")
    return manifest, directory


def _log_policy(settings: HubSettings, keystore: Keystore) -> LogPolicy | None:
    if settings.log_policy is None:
        return None
    try:
        raw, signers = _read(settings.log_policy), settings.log_policy_signers
        policy = signed_policy(raw, parse_signers(_read(signers)))[0] if signers else parse_policy(raw)
        own = policy.prefix == settings.statement_hub and policy.log.public == bytes(
            keystore.log_signing.verify_key
        )
    except PolicyFileError as error:
        raise SettingsError(f"log_policy: {error}") from None
    if not own:
        raise SettingsError("log_policy: the policy is about another log, or another key of it")
    if unfit := check_addresses(policy):
        raise SettingsError(f"log_policy: witness {unfit} is neither at https nor on this machine")
    return policy


def organisation_classes(directory: Directory) -> tuple[str, ...]:
    """The classes that Cedar is asked for: those of the organisations in the directory."""
    return tuple(sorted({organisation.class_ for organisation in directory.organisations}))


def open_office(settings: HubSettings, clock: Clock = utc_now) -> tuple[Office, Directory]:
    """What a command needs to take an act of a person beside running hubs: keys, database, directory.

    Raises:
        KeyFileError, SettingsError, SchemaNotCurrent: As `open_hub`.
    """
    keystore = load_keystore(settings.keystore)
    keystore.log_classes = Terms.of(settings).classes
    _, directory = _documents(settings, keystore)
    engine = open_engine(settings.database_url)
    migrate.check(engine)
    return Office(settings, keystore, engine, clock), directory


def _policies(office: Office, directory: Directory) -> Policies:
    """The versions of the database; a new hub gets its first one from the settings."""
    classes = organisation_classes(directory)
    first_version(office, classes)
    policies = Policies(office.keystore, office.settings.hub_id, classes)
    with office.engine.connect() as connection, connection.begin():
        policies.open(connection, office.clock())
    check_sizes(policies.current.vocabulary)
    return policies


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise SettingsError(f"{path} is missing or cannot be read") from None


async def _http_problem(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    problem = WRONG_METHOD if status == 405 else NOT_FOUND
    return problem_response(problem, "This address has no such call.")


async def _unexpected(_: Request, error: Exception) -> Response:
    log.error("request_failed", error=type(error).__name__)
    return internal_problem()
