"""The node API: an organisation's own systems publish, retract and look, without any cryptography.

    API key -> employee token where people look -> body, all errors at once -> service -> answer

Each call stands in `ROUTES` with the part it belongs to and what it needs;
there is no way in beside the table. Answers and errors never repeat input.

Source: docs/design/design.md, "Interfaces".
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from typing import Any, Literal

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from index.protocol.http import (
    JSON,
    BadBody,
    FieldError,
    Problem,
    decode_body,
    problem_code,
    problem_response,
    read_bounded,
)

from . import apikeys
from .api_document import (
    BatchAnswer,
    BatchItem,
    CrisisAnswer,
    CrisisState,
    DisputeItem,
    DisputesAnswer,
    Empty,
    FlagAnswer,
    InquiriesAnswer,
    InquiryItem,
    ItemError,
    LookupFlag,
    LookupPerson,
    LookupResult,
    MessageAnswer,
    OutboxAnswer,
    Queued,
    SignalItem,
    SignalList,
    SubscriptionState,
    VisitAnswer,
    VisitState,
)
from .bsn import BadBsn, Bsn
from .connectors.plan import Plan
from .connectors.zgw import notification
from .employees import Employee, role_for
from .errors import (
    BadInput,
    BadItems,
    BrpUnavailable,
    CrisisSettled,
    GrantRefused,
    HolderLied,
    HolderRefused,
    HoldersUnreachable,
    HubUnreachable,
    LoginExpired,
    LoginUnreachable,
    NodeError,
    NotAllowed,
    ReceiptInvalid,
    Refused,
    SettingsError,
    ShrinkStops,
    SourceOff,
    SourceUnreachable,
    UnknownCrisis,
    UnknownInquiry,
    UnknownReference,
    UnknownSource,
    UnknownVisit,
    Wrong,
)
from .follow_up import CHOSEN
from .outbox import Flag
from .pseudonymise import KeysWrong
from .publication import Publication, check_local_ref
from .runtime import NodeRuntime
from .visits import MOST_PERSONS, FlagView, PersonView, instant

log = structlog.get_logger()

API = "api"
BATCH_LIMIT = 1000
_BATCH_BYTES = 1024 * 1024
_BODY_BYTES = 64 * 1024
_MESSAGE_BYTES = 2 * 1024 * 1024
_MESSAGES = ("istandaarden", "suwinet")
_WITHOUT_BODY = ("/closures", "/confirmations", "/subscriptions")
_XML = frozenset({"application/xml", "text/xml"})

PROBLEMS: dict[type[NodeError], Problem] = {
    BadInput: Problem("bad-input", 400, "The request is wrong"),
    SourceOff: Problem("source-off", 409, "This source was switched off; nothing was done"),
    BadItems: Problem("bad-input", 400, "The request is wrong"),
    ShrinkStops: Problem("shrinks-too-much", 409, "The list lost too much; nothing was done"),
    SourceUnreachable: Problem(
        "source-unreachable", 503, "The source cannot be read now; nothing was changed"
    ),
    UnknownReference: Problem("unknown-reference", 404, "This flag was never published here"),
    UnknownSource: Problem("unknown-source", 404, "There is no source of this name that takes this"),
    UnknownVisit: Problem("unknown-visit", 404, "There is no such open visit of this employee"),
    UnknownCrisis: Problem("unknown-crisis", 404, "No such break-glass was declared at this node"),
    UnknownInquiry: Problem("unknown-inquiry", 404, "Nothing of this id is asked of this employee"),
    CrisisSettled: Problem("crisis-settled", 409, "Nothing can be said of this break-glass any more"),
    NotAllowed: Problem("not-allowed", 403, "The caller may not do this"),
    LoginExpired: Problem("login-expired", 401, "The login has ended"),
    LoginUnreachable: Problem("login-unreachable", 503, "Tokens cannot be checked now; nothing was viewed"),
    BrpUnavailable: Problem("brp-unavailable", 503, "The BRP cannot be asked; nothing was done"),
    HubUnreachable: Problem("hub-unreachable", 503, "The hub cannot be reached; nothing was viewed"),
    HoldersUnreachable: Problem(
        "key-holders-unreachable", 503, "Not enough key holders can be reached; nothing was viewed"
    ),
    GrantRefused: Problem("grant-refused", 503, "The login broker gives no grant; nothing was viewed"),
    HolderLied: Problem("key-holder-wrong", 503, "A key holder gave a wrong answer; nothing was sent"),
    HolderRefused: Problem("key-holders-refuse", 503, "The key holders refuse this node; nothing was viewed"),
    Refused: Problem("refused", 403, "The hub refused; this was recorded"),
    ReceiptInvalid: Problem("not-proven", 502, "The answer is not proven to be recorded; nothing is shown"),
    KeysWrong: Problem("keys-wrong", 503, "The keys are not what they should be; nothing was viewed"),
    SettingsError: Problem("not-configured", 503, "This node is not set up for this"),
}
UNKNOWN = Problem("internal-error", 500, "Something went wrong")
NO_KEY = Problem("no-api-key", 401, "A valid API key is needed")


@dataclass(frozen=True, slots=True)
class Call:
    """One call, its caller proven as far as its route asks."""

    node: NodeRuntime
    request: Request
    key: apikeys.ApiKey
    employee: Employee | None = None
    body: object = field(default=None, repr=False)

    @property
    def person(self) -> Employee:
        """The employee of a call that needs one."""
        if self.employee is None:
            raise NotAllowed("employee-token")
        return self.employee

    def may_handle(self, kind: str) -> None:
        """Refuse a flag of a kind that the key is not for."""
        if kind not in self.key.kinds:
            raise NotAllowed("kind-not-for-key")


@dataclass(frozen=True, slots=True)
class ApiRoute:
    """A call and its rule. `employee`: it needs a token of a person besides the key."""

    method: Literal["GET", "POST"]
    path: str
    part: Literal["source", "desk"]
    handler: Callable[[Call], Awaitable[Response]]
    employee: bool = False
    limit: int = _BODY_BYTES
    media: frozenset[str] = JSON
    """Another media type than JSON is handed over as bytes."""
    callback: bool = False
    """A system that can send its key in `Authorization` only."""


# --- publishing --------------------------------------------------------------------


async def publish(call: Call) -> Response:
    """POST /v1/flags."""
    if not call.key.kinds:
        raise NotAllowed("kind-not-for-key")
    checked = call.node.rules.check(call.body)
    if isinstance(checked, list):
        raise BadItems(checked)
    call.may_handle(checked.kind)
    known = (await _flags(call, [checked.local_ref])).get(checked.local_ref)
    if known is not None:
        # An update may take the place of a flag of another kind: that one must be the key's too.
        call.may_handle(known.kind)
    await call.node.intake.submit(API, publications=[checked])
    call.node.sender.wake()
    state = (await _flags(call, [checked.local_ref]))[checked.local_ref]
    return _json(Queued(_state(state)), 202)


async def retract(call: Call) -> Response:
    """POST /v1/flags/retractions. Exactly one reference; anything else touches nothing."""
    local_ref = _reference(call.body, "")
    if isinstance(local_ref, list):
        raise BadItems(local_ref)
    known = (await _flags(call, [local_ref])).get(local_ref)
    if known is None or known.kind not in call.key.kinds:
        # Another system's flag looks like none: its reference is not this caller's to learn.
        raise UnknownReference
    await call.node.intake.submit(API, retractions=[local_ref])
    call.node.sender.wake()
    return _json(Queued(_state((await _flags(call, [local_ref]))[local_ref])), 202)


async def batch(call: Call) -> Response:
    """POST /v1/flags/batches. Good items go; each bad one has its reason and touches nothing."""
    publications, retractions = _batch_lists(call.body)
    known = await _flags(call, _references(publications, retractions))
    named: set[str] = set()
    good: list[tuple[int, Publication]] = []
    wrong: list[BatchItem] = []
    for at, item in enumerate(publications):
        place = f"publish[{at}]."
        checked = call.node.rules.check(item, place=place, kinds=call.key.kinds)
        if isinstance(checked, Publication) and checked.local_ref in named:
            checked = [_duplicate(place)]
        if isinstance(checked, Publication) and not _may_replace(call, known.get(checked.local_ref)):
            checked = [_not_for_key(place)]
        if isinstance(checked, Publication):
            named.add(checked.local_ref)
            good.append((at, checked))
        else:
            wrong.append(_rejected(at, checked))
    back: list[tuple[int, str]] = []
    refused: list[BatchItem] = []
    for at, item in enumerate(retractions):
        place = f"retract[{at}]."
        local_ref = _reference(item, place)
        if isinstance(local_ref, str):
            local_ref = _retractable(call, known.get(local_ref), local_ref, named, place)
        if isinstance(local_ref, str):
            named.add(local_ref)
            back.append((at, local_ref))
        else:
            refused.append(_rejected(at, local_ref))
    await call.node.intake.submit(
        API, publications=[checked for _, checked in good], retractions=[ref for _, ref in back]
    )
    call.node.sender.wake()
    now = await _flags(call, list(named))
    published = [BatchItem(at, _state(now[checked.local_ref])) for at, checked in good]
    taken = [BatchItem(at, _state(now[ref])) for at, ref in back]
    return _json(BatchAnswer(_in_order(published + wrong), _in_order(taken + refused)), 202)


async def take_message(call: Call) -> Response:
    """POST /v1/sources/{source}/messages: one message in XML, taken whole or not at all."""
    name = call.request.path_params["source"]
    sources = call.node.sources
    if not sources.kinds_of(name) & call.key.kinds or sources.settings_of(name).type not in _MESSAGES:
        raise UnknownSource

    async def allowed(planned: Plan) -> None:
        known = await _flags(call, [*planned.retractions, *(p.local_ref for p in planned.publications)])
        for kind in {*(p.kind for p in planned.publications), *(flag.kind for flag in known.values())}:
            call.may_handle(kind)

    content = call.body if isinstance(call.body, bytes) else b""
    made = await sources.take(name, content, allowed=allowed)
    call.node.sender.wake()
    return _json(MessageAnswer(len(made.publications), len(made.retractions)), 202)


async def take_notification(call: Call) -> Response:
    """POST /v1/sources/{source}/notifications, as the Notificaties API calls its subscribers."""
    name = call.request.path_params["source"]
    sources = call.node.sources
    if not sources.kinds_of(name) & call.key.kinds or sources.settings_of(name).type != "zgw":
        raise UnknownSource
    # Checked now, so that the sender hears of a wrong form; worked off later, for the case has to be asked.
    content = msgspec.json.encode(call.body)
    notification(content)
    await asyncio.to_thread(sources.inbox.put, name, content)
    return _json(Empty(), 202)


async def flag_state(call: Call) -> Response:
    """GET /v1/flags/{localRef}."""
    local_ref = call.request.path_params["local_ref"]
    if wrong := check_local_ref(local_ref):
        raise BadItems(wrong)
    known = (await _flags(call, [local_ref])).get(local_ref)
    if known is None or known.kind not in call.key.kinds:
        # Another system's flag looks like none: its reference is not this caller's to learn.
        raise UnknownReference
    receipt = None
    state = _state(known)
    if known.message_id is not None and state in ("published", "retracted"):
        receipt = await asyncio.to_thread(call.node.outbox.receipt_of, known.message_id)
    changed = datetime.fromtimestamp((known.acknowledged_at or known.changed_at) / 1000, UTC)
    return _json(
        FlagAnswer(state, known.kind, known.since, known.until, known.reason, instant(changed), receipt)
    )


async def outbox(call: Call) -> Response:
    """GET /v1/outbox."""
    seen = await call.node.source.overview()
    return _json(
        OutboxAnswer(
            seen.waiting,
            seen.waiting_for_holders,
            seen.rejected,
            instant(seen.oldest_waiting) if seen.oldest_waiting else None,
            instant(seen.last_confirmed) if seen.last_confirmed else None,
            seen.hub_reachable,
            seen.holders_reachable,
        )
    )


async def disputes(call: Call) -> Response:
    """GET /v1/disputes: of the kinds that the key is for."""
    views = await call.node.disputes.open(tuple(call.key.kinds))
    items = [
        DisputeItem(
            id=view.id,
            local_refs=list(view.local_refs),
            kind=view.kind,
            right=view.right,
            opened=instant(view.opened),
            due=instant(view.due),
            clock=view.clock,
            second=view.second,
            suspended=view.suspended,
            answers=list(view.answers),
        )
        for view in views
    ]
    return _json(DisputesAnswer(items))


async def answer_dispute(call: Call) -> Response:
    """POST /v1/disputes/{dispute}/answers."""
    body, wrong = _object(call.body, {"answer"})
    answer = _text(body, "answer", wrong)
    if wrong:
        raise BadItems(wrong)
    await call.node.disputes.answer(call.request.path_params["dispute"], answer, tuple(call.key.kinds))
    call.node.sender.wake()
    return _json(Empty())


async def _flags(call: Call, local_refs: Sequence[str]) -> dict[str, Flag]:
    return await asyncio.to_thread(call.node.outbox.flags, local_refs)


def _state(known: Flag) -> Literal["queued", "published", "retracted", "rejected"]:
    return "queued" if known.state == "retracting" else known.state


def _reference(item: object, place: str) -> str | list[Wrong]:
    if not isinstance(item, Mapping) or set(item) != {"localRef"}:
        return [Wrong(place + "localRef", "form", "Exactly one field: localRef.")]
    return check_local_ref(item["localRef"], place + "localRef") or str(item["localRef"])


def _retractable(
    call: Call, known: Flag | None, local_ref: str, named: set[str], place: str
) -> str | list[Wrong]:
    if local_ref in named:
        return [_duplicate(place)]
    if known is None or known.kind not in call.key.kinds:
        return [Wrong(place + "localRef", "unknown-reference", "This flag was never published here.")]
    return local_ref


def _references(publications: list[object], retractions: list[object]) -> list[str]:
    """The references of a batch that have their form, whatever else is wrong with the items."""
    named = [item.get("localRef") for item in (*publications, *retractions) if isinstance(item, Mapping)]
    return [ref for ref in named if isinstance(ref, str) and not check_local_ref(ref)]


def _may_replace(call: Call, known: Flag | None) -> bool:
    return known is None or known.kind in call.key.kinds


def _not_for_key(place: str) -> Wrong:
    return Wrong(place + "localRef", "kind-not-for-key", "This API key is not for this flag's kind.")


def _batch_lists(body: object) -> tuple[list[object], list[object]]:
    if not isinstance(body, Mapping) or set(body) - {"publish", "retract"}:
        raise BadInput("$", "form", "An object with publish and retract.")
    publications, retractions = body.get("publish", []), body.get("retract", [])
    if not isinstance(publications, list) or not isinstance(retractions, list):
        raise BadInput("$", "form", "publish and retract are lists.")
    if not 1 <= len(publications) + len(retractions) <= BATCH_LIMIT:
        raise BadInput("$", "count", f"A batch has 1 to {BATCH_LIMIT} items.")
    return publications, retractions


def _duplicate(place: str) -> Wrong:
    return Wrong(place + "localRef", "duplicate-reference", "This reference stands in the batch twice.")


def _in_order(items: list[BatchItem]) -> list[BatchItem]:
    return sorted(items, key=lambda item: item.index)


def _rejected(at: int, wrong: Sequence[Wrong]) -> BatchItem:
    return BatchItem(at, "rejected", [ItemError(one.field, one.code, one.detail) for one in wrong])


# --- looking -----------------------------------------------------------------------


async def open_visit(call: Call) -> Response:
    """POST /v1/visits."""
    body, wrong = _object(call.body, {"clients", "purpose", "caseReference", "until"})
    bsns = _clients(body.get("clients"), wrong)
    purpose = _text(body, "purpose", wrong)
    case = _text(body, "caseReference", wrong)
    wrong += check_local_ref(case, "caseReference") if case else []
    until = _moment(body.get("until"), wrong) if body.get("until") is not None else None
    if wrong:
        raise BadItems(wrong)
    visit = await call.node.visits.open(call.person, bsns, purpose, case, until)
    address = f"{call.node.settings.url.rstrip('/')}/koppeling/{call.node.links.issue(call.person, visit.id)}"
    return _json(VisitAnswer(visit.id, address, instant(visit.until)), 201)


async def close_visit(call: Call) -> Response:
    """POST /v1/visits/{id}/closures."""
    visit = call.request.path_params["visit"]
    await call.node.visits.close(call.person, visit)
    return _json(VisitState(visit, instant(call.node.now())))


async def renew_visit(call: Call) -> Response:
    """POST /v1/visits/{id}/renewals."""
    body, wrong = _object(call.body, {"until"})
    until = _moment(body.get("until"), wrong)
    if wrong:
        raise BadItems(wrong)
    visit = await call.node.visits.renew(call.person, call.request.path_params["visit"], until)
    return _json(VisitState(visit.id, instant(visit.until)))


async def look(call: Call) -> Response:
    """POST /v1/lookups. A repeated call is a new, recorded question."""
    body, wrong = _object(call.body, {"visit", "clients", "detail"})
    visit = _text(body, "visit", wrong)
    detail = body.get("detail", "subjects")
    if detail not in ("presence", "subjects"):
        wrong.append(Wrong("detail", "form", "presence or subjects."))
    bsns = _clients(body["clients"], wrong) if body.get("clients") is not None else None
    if wrong:
        raise BadItems(wrong)
    places = None if bsns is None else await call.node.visits.places(call.person, visit, bsns)
    found = await call.node.visits.look(
        call.person, visit, places, "presence" if detail == "presence" else "subjects"
    )
    return _json(LookupResult([_person(view) for view in found], call.node.signals.combined(found)))


async def subscribe(call: Call) -> Response:
    """POST /v1/visits/{id}/subscriptions."""
    body, wrong = _object(call.body, {"wanted"})
    wanted = body.get("wanted", True)
    if not isinstance(wanted, bool):
        wrong.append(Wrong("wanted", "form", "true or false."))
    if wrong:
        raise BadItems(wrong)
    visit = call.request.path_params["visit"]
    await call.node.signals.follow(call.person, visit, wanted=wanted is True)
    return _json(SubscriptionState(visit, wanted is True))


async def signals(call: Call) -> Response:
    """GET /v1/signals, of this employee."""
    views = await call.node.signals.items(call.person)
    items = [
        SignalItem(
            visit=view.item.visit,
            case_reference=view.case_reference,
            state=view.item.state,
            mine=view.item.mine,
            first=view.item.first,
            at=instant(view.item.at),
        )
        for view in views
    ]
    return _json(SignalList(items))


async def choose_signal(call: Call) -> Response:
    """POST /v1/signals/{visit}/states."""
    body, wrong = _object(call.body, {"state"})
    state = next((one for one in CHOSEN if one == body.get("state")), None)
    if state is None:
        wrong.append(Wrong("state", "form", "taken or closed."))
    if wrong or state is None:
        raise BadItems(wrong)
    await call.node.signals.choose(call.person, call.request.path_params["visit"], state)
    return _json(Empty())


async def declare(call: Call) -> Response:
    """POST /v1/crises. Break-glass: looking in it is `/v1/lookups` with its id as the visit."""
    body, wrong = _object(call.body, {"clients", "reason", "atRisk", "incapable"})
    bsns = _clients(body.get("clients"), wrong)
    reason, at_risk = _text(body, "reason", wrong), _text(body, "atRisk", wrong)
    incapable = body.get("incapable")
    if not isinstance(incapable, bool):
        wrong.append(Wrong("incapable", "form", "true or false."))
    if wrong:
        raise BadItems(wrong)
    made = await call.node.crises.declare(call.person, bsns, reason, at_risk, incapable is True)
    visit = made.visit
    address = f"{call.node.settings.url.rstrip('/')}/koppeling/{call.node.links.issue(call.person, visit.id)}"
    answer = CrisisAnswer(visit.id, visit.id, address, instant(visit.until), instant(made.confirm_by))
    return _json(answer, 201)


async def confirm_crisis(call: Call) -> Response:
    """POST /v1/crises/{id}/confirmations, by a colleague of who declared it."""
    body, wrong = _object(call.body, {"outcome"})
    outcome = body.get("outcome", "confirmed")
    if outcome not in ("confirmed", "reported"):
        wrong.append(Wrong("outcome", "form", "confirmed or reported."))
    if wrong:
        raise BadItems(wrong)
    crisis = call.request.path_params["crisis"]
    settled = await call.node.crises.confirm(
        call.person, crisis, "reported" if outcome == "reported" else "confirmed"
    )
    return _json(CrisisState(settled.id, "reported" if outcome == "reported" else "confirmed"))


async def inquiries(call: Call) -> Response:
    """GET /v1/inquiries, of this employee."""
    views = await call.node.inquiries.of(call.person)
    items = [
        InquiryItem(
            id=view.id,
            at=instant(view.at),
            due=instant(view.due),
            purpose=view.purpose,
            why=view.why,  # type: ignore[arg-type]  # one of the protocol's codes
            case_reference=view.case,
        )
        for view in views
    ]
    return _json(InquiriesAnswer(items))


async def answer_inquiry(call: Call) -> Response:
    """POST /v1/inquiries/{id}/answers."""
    body, wrong = _object(call.body, {"answer"})
    answer = _text(body, "answer", wrong)
    if wrong:
        raise BadItems(wrong)
    await call.node.inquiries.answer(call.person, call.request.path_params["inquiry"], answer)
    return _json(Empty())


def _person(view: PersonView) -> LookupPerson:
    flags = [_flag(seen) for seen in view.flags]
    return LookupPerson(
        view.present, flags, view.silent, view.more, view.refused, instant(view.at), view.log_index
    )


def _flag(seen: FlagView) -> LookupFlag:
    return LookupFlag(
        kind=seen.kind,
        label=seen.label,
        since=seen.since,
        until=seen.until,
        name=seen.name,
        desk=seen.desk,
        confirmed_date=seen.confirmed_on or msgspec.UNSET,
        self_declared=seen.self_declared,
        disputed=seen.disputed,
    )


def _object(body: object, known: set[str]) -> tuple[Mapping[str, Any], list[Wrong]]:
    if not isinstance(body, Mapping):
        raise BadInput("$", "form", "The body is a JSON object.")
    wrong = [Wrong("*", "unknown-field", "A field is not known.")] if set(body) - known else []
    return body, wrong


def _text(body: Mapping[str, Any], name: str, wrong: list[Wrong]) -> str:
    value = body.get(name)
    if isinstance(value, str) and 0 < len(value) <= 100:
        return value
    wrong.append(Wrong(name, "form", "Text of 1 to 100 characters."))
    return ""


def _clients(value: object, wrong: list[Wrong]) -> list[Bsn]:
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_PERSONS:
        wrong.append(Wrong("clients", "count", f"A list of 1 to {MOST_PERSONS} persons."))
        return []
    found: list[Bsn] = []
    for at, client in enumerate(value):
        try:
            if not isinstance(client, Mapping) or set(client) != {"bsn"}:
                raise BadBsn
            bsn = Bsn.parse(client["bsn"])
        except BadBsn:
            rule = "Nine digits that pass the elfproef, as text."
            wrong.append(Wrong(f"clients[{at}].bsn", "elfproef", rule))
            continue
        if bsn in found:
            wrong.append(Wrong(f"clients[{at}].bsn", "duplicate", "This person stands in the list twice."))
        found.append(bsn)
    return found


def _moment(value: object, wrong: list[Wrong]) -> datetime | None:
    """A moment with its time zone, or a day, which lasts until its end in UTC."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is not None and isinstance(value, str) and len(value) == 10:
        return datetime.combine(moment.date(), time(23, 59, 59), UTC)
    if moment is None or moment.tzinfo is None:
        wrong.append(Wrong("until", "form", "A moment with time zone (RFC 3339), or a day."))
        return None
    return moment


# --- the gate ----------------------------------------------------------------------

ROUTES: tuple[ApiRoute, ...] = (
    ApiRoute("POST", "/v1/flags", "source", publish),
    ApiRoute("POST", "/v1/flags/retractions", "source", retract),
    ApiRoute("POST", "/v1/flags/batches", "source", batch, limit=_BATCH_BYTES),
    ApiRoute("GET", "/v1/flags/{local_ref:path}", "source", flag_state),
    ApiRoute("GET", "/v1/outbox", "source", outbox),
    ApiRoute(
        "POST", "/v1/sources/{source}/messages", "source", take_message, limit=_MESSAGE_BYTES, media=_XML
    ),
    ApiRoute("POST", "/v1/sources/{source}/notifications", "source", take_notification, callback=True),
    ApiRoute("GET", "/v1/disputes", "source", disputes),
    ApiRoute("POST", "/v1/disputes/{dispute}/answers", "source", answer_dispute),
    ApiRoute("POST", "/v1/visits", "desk", open_visit, employee=True),
    ApiRoute("POST", "/v1/visits/{visit}/closures", "desk", close_visit, employee=True),
    ApiRoute("POST", "/v1/visits/{visit}/renewals", "desk", renew_visit, employee=True),
    ApiRoute("POST", "/v1/visits/{visit}/subscriptions", "desk", subscribe, employee=True),
    ApiRoute("GET", "/v1/signals", "desk", signals, employee=True),
    ApiRoute("POST", "/v1/signals/{visit}/states", "desk", choose_signal, employee=True),
    ApiRoute("POST", "/v1/lookups", "desk", look, employee=True),
    ApiRoute("POST", "/v1/crises", "desk", declare, employee=True),
    ApiRoute("POST", "/v1/crises/{crisis}/confirmations", "desk", confirm_crisis, employee=True),
    ApiRoute("GET", "/v1/inquiries", "desk", inquiries, employee=True),
    ApiRoute("POST", "/v1/inquiries/{inquiry}/answers", "desk", answer_inquiry, employee=True),
)


def api_routes(node: NodeRuntime) -> list[Route]:
    """The calls of the parts that this node has, each behind its rule."""
    return [
        Route(rule.path, _endpoint(rule, node), methods=[rule.method])
        for rule in ROUTES
        if rule.part in node.settings.parts
    ]


def _endpoint(rule: ApiRoute, node: NodeRuntime) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            response = await _answer(rule, node, request)
        except Exception as error:
            response = problem_of(error)
        if response.status_code >= 400:
            node.figures.refused(problem_code(response))
        return response

    return endpoint


async def _answer(rule: ApiRoute, node: NodeRuntime, request: Request) -> Response:
    """1. API key. 2. Where people look, an employee token with a role of the key. 3. Body. 4. The call."""
    presented = request.headers.get("x-api-key", "")
    if rule.callback and not presented:
        presented = request.headers.get("authorization", "").removeprefix("Bearer ")
    key = await asyncio.to_thread(apikeys.find, node.engine, presented, node.now())  # 1
    if key is None:
        return problem_response(NO_KEY, "Send a key of this node in X-API-Key.")
    employee = await _employee(node, request, key) if rule.employee else None  # 2
    body: object = None
    if rule.method == "POST":  # 3
        raw = await read_bounded(request, rule.limit, media=rule.media)
        if rule.media is not JSON:
            body = raw
        else:
            body = decode_body(raw, dict) if raw or not rule.path.endswith(_WITHOUT_BODY) else {}
    return await rule.handler(Call(node, request, key, employee, body))  # 4


async def _employee(node: NodeRuntime, request: Request, key: apikeys.ApiKey) -> Employee:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if node.tokens is None or scheme.lower() != "bearer" or not token:
        raise NotAllowed("employee-token")
    return role_for(await node.tokens.check(token), key.roles, node.vocabulary)


def problem_of(error: Exception) -> Response:
    """The problem of an error; one that is not ours gives an id and nothing of its text."""
    match error:
        case BadBody():
            return problem_response(error.problem, error.detail, errors=error.errors)
        case BadItems(errors=wrong):
            return problem_response(
                PROBLEMS[BadItems],
                "Nothing was done. See errors.",
                errors=[_field_error(one) for one in wrong],
            )
        case BadInput(field=place, code=code, detail=detail):
            one = _field_error(Wrong(place, code, detail))
            return problem_response(PROBLEMS[type(error)], "Nothing was done. See errors.", errors=[one])
        case Refused(reason=reason) | NotAllowed(reason=reason) | CrisisSettled(reason=reason):
            return problem_response(PROBLEMS[type(error)], f"Reason: {reason}.")
        case HolderLied(holder=holder):
            return problem_response(PROBLEMS[HolderLied], f"Key holder {holder}. The operator was alarmed.")
        case NodeError():
            problem = PROBLEMS.get(type(error), UNKNOWN)
            return problem_response(
                problem, "Try again later." if problem.status == 503 else problem.title + "."
            )
        case _:
            incident = "id-" + secrets.token_hex(4)
            log.error("request_failed", incident=incident, error=type(error).__name__)
            return problem_response(UNKNOWN, f"Mention {incident} when you report this.")


def _field_error(one: Wrong) -> FieldError:
    return FieldError("body", one.field, one.code, one.detail)


def _json(body: msgspec.Struct, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
