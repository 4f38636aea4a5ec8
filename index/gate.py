"""The one gate: every route has a rule, every call is proven, every refusal is recorded.

    statement and signature -> may this caller do this? -> budget -> body -> the route's own work

To register a route, list a `Rule` (signed calls of nodes) in the module that
answers it, and add that module's `RULES` to `index.app.RULES`:

    async def publications(hub: Hub, caller: Caller, body: PublicationRequest) -> Response:
        points = hub.open_points(caller, body.points, body.version, len(body.items))
        return await hub.sequencer.submit(Publication(hub, caller, body, points))

    RULES = (
        Rule(
            "/v1/publications",
            PublicationRequest,
            publications,
            who=Who.SOURCE,
            classes=frozenset({"publish"}),
            limit=1024 * 1024,
            answer=ChangeReceipt,
            summary="Publish flags",
        ),
    )

There is no other way in: the app makes its routes from the table and nothing
else, and a test walks them. Authentication that fails has one constant
answer whatever failed, is counted, and leaves no entry. Anything refused later
leaves an entry: a `HubError` raised by `handle` before it submits a work is
recorded here without subjects, one raised inside a work by the sequencer.
A batch's items are the work's to check, each against the caller.

Source: docs/design/access-log.md, "Security, in order of value" 2 and 5.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from index.errors import (
    HubError,
    LogUnavailable,
    NotAllowed,
    Overloaded,
    PolicyChanged,
    Unauthenticated,
    WorkFailed,
    counted_as,
    internal_problem,
    place_of,
    problem_of,
)
from index.protocol.codec import unb64u
from index.protocol.directory import NodeEntry, OrganisationEntry
from index.protocol.entry import EntryDraft
from index.protocol.http import (
    MAX_BODY,
    App,
    BadBody,
    Receive,
    SafeHeaders,
    Scope,
    Send,
    decode_body,
    problem_response,
    read_bounded,
)
from index.protocol.messages import OFFICER_ROLES, Message
from index.protocol.statement import (
    JTI_WINDOW_S,
    T_OF_PATH,
    Signed,
    Statement,
    StatementError,
    digest_of,
    is_fresh,
    parse_statement,
    verify_signature,
)
from index.transaction import Finish, Needs, Tx
from policy.vocabulary import UnknownCode

if TYPE_CHECKING:
    from index.hub import Hub

log = structlog.get_logger()

_ADDRESSES_COUNTED = 10_000


class Who(Enum):
    """Who speaks through the node, by the role in the statement."""

    SOURCE = "source"
    """The node itself, role `bron`."""
    CITIZEN = "citizen"
    """A portal for somebody logged in, role `burger`, no purpose."""
    EMPLOYEE = "employee"
    """A person with a role that may look, an actor, a team and a purpose."""
    OFFICER = "officer"
    """The organisation's own privacy officer: an actor, no team, purpose or case."""
    ASKER = "asker"
    """An employee or a citizen; the work tells them apart by the class it was asked for."""


_SPEAKS = {
    "bron": Who.SOURCE,
    "burger": Who.CITIZEN,
    **dict.fromkeys(OFFICER_ROLES, Who.OFFICER),
}


@dataclass(frozen=True, slots=True)
class Caller:
    """A proven caller: the node is in the directory and signed exactly this request.

    `number`s are permanent numbers of directory and vocabulary, 0 where the
    statement has none. `request_id` goes to the entry as `req`.
    """

    signed: Signed
    node: NodeEntry
    organisation: OrganisationEntry
    request_id: str
    at: datetime
    team_number: int = 0
    role_number: int = 0
    purpose_number: int = 0
    node_tag: bytes = b""
    policy_number: int = 0
    """The version it was let in under; a work is applied under no other."""
    closings: int = 0
    """How much was closed by then (`index.organisations`); nor is it applied after more was."""

    @property
    def statement(self) -> Statement:
        return self.signed.statement

    @property
    def body_digest(self) -> bytes:
        """SHA-256 of the body as sent."""
        return unb64u(self.statement.body, 32)

    @property
    def case_tag(self) -> bytes:
        """16 bytes; zeros where there is no case."""
        return unb64u(self.statement.case, 16) if self.statement.case else bytes(16)

    @property
    def message_key(self) -> tuple[bytes, str]:
        """Key of `Needs.messages` for this message."""
        return self.node_tag, self.statement.msg

    @property
    def jti_until(self) -> int:
        """Unix seconds after which the statement's own time refuses a replay."""
        return self.statement.nts + JTI_WINDOW_S

    def draft(self, now: datetime, **more: Any) -> EntryDraft:
        """An entry of this request; `more` are further fields of `EntryDraft`: lids, shown, refused, ..."""
        said = self.statement
        return EntryDraft(
            t=said.t,
            ts=int(now.timestamp() * 1000),
            req=self.request_id,
            statement=said,
            signature=self.signed.signature,
            **more,
        )


Endpoint = Callable[[Request], Awaitable[Response]]
Handle = Callable[["Hub", Caller, Any], Awaitable[Response]]


def _one(_: Any) -> int:
    return 1


@dataclass(frozen=True, slots=True)
class Rule:
    """One signed call: what it needs to be let in, and what answers it.

    Args:
        path: In `statement.T_OF_PATH`, which gives the activity.
        body: Struct of the body; unknown fields are refused.
        classes: The node must have one of these in the directory.
        limit: Bytes of body that are read.
        persons: How many persons the body counts for in the budgets.
        answer, summary: For the OpenAPI document.
    """

    path: str
    body: type[Message]
    handle: Handle
    who: Who
    classes: frozenset[str]
    summary: str
    answer: type[Message]
    limit: int = MAX_BODY
    persons: Callable[[Any], int] = _one

    def __post_init__(self) -> None:
        if self.path not in T_OF_PATH:
            raise ValueError(f"{self.path} has no activity in the statement's table")
        if not self.classes:
            raise ValueError(f"{self.path} would let no node in")


@dataclass(frozen=True, slots=True)
class Public:
    """A read without a statement: nothing about a person can be asked here.

    `kind` is the media type of the answer; `cors` allows any origin to read it.
    """

    path: str
    handle: Callable[[Hub, Request], Awaitable[Response]]
    summary: str
    media: str = "application/json"
    cors: bool = False


@dataclass(slots=True)
class Gate:
    """Makes the routes of a hub out of its rules."""

    hub: Hub
    rules: Sequence[Rule]
    public: Sequence[Public]
    in_hand: int = 0
    """Signed requests let in and not answered yet; only the event loop touches it."""

    def routes(self) -> list[Route]:
        """One route per rule; nothing else is ever routed under `/v1`."""
        paths = [rule.path for rule in self.rules] + [rule.path for rule in self.public]
        if len(set(paths)) != len(paths):
            raise ValueError("two rules for one path")
        return [
            *(Route(rule.path, self._endpoint(rule), methods=["POST"]) for rule in self.rules),
            *(Route(rule.path, self._read(rule), methods=["GET"]) for rule in self.public),
        ]

    def direct(self) -> dict[str, tuple[Route, Endpoint]]:
        """The signed calls by path, for `Direct`: the very endpoints that the routes have."""
        signed = {rule.path for rule in self.rules}
        return {route.path: (route, route.endpoint) for route in self.routes() if route.path in signed}

    def _endpoint(self, rule: Rule) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            try:
                response = await self._within_bounds(rule, request)
            except Exception as error:
                response = _failed(rule.path, error)
            self.hub.metrics.answers.labels(rule.path, str(response.status_code)).inc()
            if response.status_code >= 400:
                self.hub.metrics.refusals.labels(counted_as(response)).inc()
            return response

        return endpoint

    @property
    def full(self) -> bool:
        """Whether no signed call is let in now: enough are in hand, or enough waits for the writer."""
        return self.in_hand >= self.hub.settings.requests_at_once or self.hub.sequencer.full

    async def _within_bounds(self, rule: Rule, request: Request) -> Response:
        """Let a call in only while there is room: before its body is read, whoever sends it."""
        if self.full:
            self.hub.metrics.overloaded.inc()
            return problem_of(Overloaded())
        self.in_hand += 1
        try:
            return await self.admit(rule, request)
        finally:
            self.in_hand -= 1

    def _read(self, rule: Public) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            try:
                response = await rule.handle(self.hub, request)
            except Exception as error:
                return _failed(rule.path, error)
            if rule.cors:
                response.headers["Access-Control-Allow-Origin"] = "*"
            return response

        return endpoint

    async def admit(self, rule: Rule, request: Request) -> Response:
        """Let one call through, or refuse it and record that.

        1. The body is read up to the rule's limit, as JSON.
        2. The statement is proven (`authenticate`); failing is counted and not recorded.
        3. The caller may use this route, and its budget holds.
        4. The body has its form.
        5. The route's work; its refusals are recorded by the sequencer.
        """
        try:
            raw = await read_bounded(request, rule.limit, self.hub.settings.body_seconds)  # 1
        except BadBody as error:
            return problem_response(error.problem, error.detail)
        try:
            caller = self.authenticate(rule, request, raw)  # 2
        except Unauthenticated as error:
            self._count(rule, request)
            return problem_of(error)
        try:
            caller = self.permit(rule, caller)  # 3
            body = decode_body(raw, rule.body)  # 4
            self.hub.budgets.take(caller, rule.persons(body))
            try:
                return await rule.handle(self.hub, caller, body)  # 5
            except PolicyChanged:
                # Let in under a version that is in force no more; nothing was done: once more.
                return await rule.handle(self.hub, self.permit(rule, caller), body)
        except Unauthenticated as error:
            # A replay, seen in the transaction.
            self._count(rule, request)
            return problem_of(error)
        except LogUnavailable as error:
            if isinstance(error, Overloaded):
                self.hub.metrics.overloaded.inc()
            return problem_of(error)
        except WorkFailed:
            return internal_problem()
        except BadBody as error:
            return await self._refuse(
                caller, "body", problem_response(error.problem, error.detail, errors=error.errors)
            )
        except HubError as error:
            return await self._refuse(caller, error.code, problem_of(error))

    def authenticate(self, rule: Rule, request: Request, raw: bytes) -> Caller:
        """Prove who calls.

        1. Both headers hold a statement in its canonical form.
        2. The node is in the directory, under this organisation.
        3. One of its keys signed the statement.
        4. It is meant for this hub, this route and this body, now.

        Whether its `jti` was seen is checked inside the transaction.

        Raises:
            Unauthenticated: One of these does not hold; which one is not told.
        """
        now = self.hub.clock()
        try:
            signed = parse_statement(request.headers)  # 1
        except StatementError:
            raise Unauthenticated from None
        said = signed.statement
        node = self.hub.directory.node(said.node)  # 2
        if node is None or node.oin != said.org:
            raise Unauthenticated
        keys = [_public_key(key) for key in node.ed25519]
        if not verify_signature(signed, keys, self.hub.manifest.environment):  # 3
            raise Unauthenticated
        if (  # 4
            said.hub != self.hub.settings.statement_hub
            or said.t != T_OF_PATH[rule.path]
            or not is_fresh(said, now)
            or not hmac.compare_digest(said.body, digest_of(raw))
        ):
            raise Unauthenticated
        return Caller(
            signed,
            node,
            self.hub.directory.organisation_of(node),
            _uuid7(now),
            now,
            node_tag=self.hub.rows.node_tag(node.number),
        )

    def permit(self, rule: Rule, caller: Caller) -> Caller:
        """The caller with its numbers, when the rule lets it in.

        Raises:
            NotAllowed: The node has none of the rule's classes, or the
                statement names a role, team or purpose that does not fit.
        """
        said = caller.statement
        if not rule.classes.intersection(caller.node.classes):
            raise NotAllowed
        changes = self.hub.policies.registers.changes
        if changes.shuts(self.hub.directory, caller.node, said.team):
            # Closed by a person; the directory that the key holders signed does not say so yet.
            raise NotAllowed
        speaks = _SPEAKS.get(said.role, Who.EMPLOYEE)
        wanted = (Who.CITIZEN, Who.EMPLOYEE) if rule.who is Who.ASKER else (rule.who,)
        if speaks not in wanted:
            raise NotAllowed
        policy = self.hub.policy
        vocabulary = policy.vocabulary
        try:
            role = vocabulary.role(said.role)
            purpose = vocabulary.purpose(said.purpose) if said.purpose else None
        except UnknownCode:
            raise NotAllowed from None
        team = caller.organisation.team(said.team) if said.team else None
        if speaks is Who.EMPLOYEE:
            if not (role.bsn_allowed and said.actor and team and purpose):
                raise NotAllowed
        elif said.purpose or said.team or said.case:
            raise NotAllowed
        if speaks is Who.OFFICER and not said.actor:
            raise NotAllowed
        return Caller(
            caller.signed,
            caller.node,
            caller.organisation,
            caller.request_id,
            caller.at,
            team_number=team.number if team else 0,
            role_number=role.number,
            purpose_number=purpose.number if purpose else 0,
            node_tag=caller.node_tag,
            policy_number=policy.number,
            closings=changes.closings,
        )

    async def _refuse(self, caller: Caller, code: str, problem: Response) -> Response:
        try:
            return await self.hub.sequencer.submit(Refusal(caller, code, problem))
        except LogUnavailable as error:
            # No entry, no answer: not even that this was refused.
            return problem_of(error)

    def _count(self, rule: Rule, request: Request) -> None:
        address = request.client.host if request.client else ""
        failed = self.hub.failed_authentications
        who = (address, _claimed_node(request, self.hub))
        if who in failed or len(failed) < _ADDRESSES_COUNTED:
            failed[who] += 1
        log.info("authentication_failed", route=rule.path, total=failed.total())


class Shedding:
    """Pure ASGI, around everything else: while the gate is full a signed call is refused for next to nothing.

    The bytes are those that its route would give, but no route is looked for, no
    body read and no line written per request: at twice what a hub can do, those took half of
    its time. Reads, pages and `/health` pass. The log gets one line a second with the number.
    """

    def __init__(self, app: App, gate: Gate) -> None:
        self._app, self._gate = app, gate
        self._paths = frozenset(rule.path for rule in gate.rules)
        refusal = problem_of(Overloaded())
        headers = [*refusal.raw_headers, *SafeHeaders(app).extra]
        self._head = {"type": "http.response.start", "status": refusal.status_code, "headers": headers}
        self._body = {"type": "http.response.body", "body": bytes(refusal.body)}
        self._refused, self._told = 0, 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not (
            scope["type"] == "http"
            and scope["method"] == "POST"
            and scope["path"] in self._paths
            and self._gate.full
        ):
            await self._app(scope, receive, send)
            return
        self._count(scope["path"])
        await send(self._head)
        await send(self._body)

    def _count(self, path: str) -> None:
        metrics = self._gate.hub.metrics
        metrics.overloaded.inc()
        metrics.answers.labels(path, str(self._head["status"])).inc()
        metrics.refusals.labels(Overloaded.code).inc()
        self._refused += 1
        now = time.monotonic()
        if now - self._told >= 1:
            log.warning("overloaded", refused=self._refused)
            self._refused, self._told = 0, now


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that was proven and not let through: an entry without subjects, for the officer."""

    caller: Caller
    code: str
    problem: Response
    persons: int = 1

    def needs(self) -> Needs:
        return Needs()

    def apply(self, tx: Tx) -> Finish:
        tx.record(self.caller.draft(tx.now, refused=self.code))
        return lambda _: self.problem


class Direct:
    """Signed calls past the framework's layers, which cost as much as proving who asks.

    Those layers turn exceptions into problems and match paths; an endpoint of the
    gate lets no exception out and has one path. Everything else goes to `app`,
    which has the same routes: another method or a path that is not exact.
    """

    def __init__(self, app: App, gate: Gate) -> None:
        self.app = app
        self._endpoints = gate.direct()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._endpoints.get(scope["path"]) if scope["type"] == "http" else None
        if found is None or scope["method"] != "POST" or scope.get("root_path"):
            await self.app(scope, receive, send)
            return
        scope["route"], endpoint = found
        response = await endpoint(Request(scope, receive))
        await response(scope, receive, send)


def refusal_codes(rules: Iterable[type[HubError]]) -> frozenset[str]:
    """Codes that entries may hold, for the check that the largest entry fits."""
    return frozenset(rule.code for rule in rules)


def _failed(route: str, error: Exception) -> Response:
    if isinstance(error, OperationalError | InterfaceError):
        # A read outside the writer met a database that is away; nothing was decided or answered.
        log.error("database_away", route=route, error=type(error).__name__)
        return problem_of(LogUnavailable())
    log.error("request_failed", route=route, error=type(error).__name__, place=place_of(error))
    return internal_problem()


def _claimed_node(request: Request, hub: Hub) -> str:
    try:
        claimed = parse_statement(request.headers).statement.node
    except StatementError:
        return ""
    return claimed if hub.directory.node(claimed) else ""


def _uuid7(now: datetime) -> str:
    """RFC 9562 §5.7: 48 bits of milliseconds, version 7, the rest random."""
    raw = bytearray(int(now.timestamp() * 1000).to_bytes(6, "big") + secrets.token_bytes(10))
    raw[6] = raw[6] & 0x0F | 0x70
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


# A key of the directory is decoded once, not at each request of its node.
_public_key = lru_cache(maxsize=4096)(partial(unb64u, size=32))
