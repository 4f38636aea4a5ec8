"""The bodies of the node API and its OpenAPI document.

Answers are these structs. Requests are read field by field in `nodes.api`, so
that all errors are found at once and no value is repeated; their structs here
say what is accepted.
"""

from datetime import date
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from index.protocol import openapi as documents
from index.protocol.messages import InquiryAnswerCode, Instant, Message, Month

LocalRef = Annotated[str, Meta(min_length=1, max_length=100)]
FlagState = Literal["queued", "published", "retracted", "rejected"]


class Client(Message, frozen=True):
    """A person, by citizen service number as nine digits of text."""

    bsn: str


class FlagRequest(Message, frozen=True):
    """A flag to publish; the same `localRef` again is an update."""

    bsn: str
    kind: str
    local_ref: LocalRef
    since: Month
    until: Month | None = None


class RetractionBody(Message, frozen=True):
    """A flag to take back."""

    local_ref: LocalRef


class BatchRequest(Message, frozen=True):
    """Up to 1,000 of both together."""

    publish: list[FlagRequest] = msgspec.field(default_factory=list)
    retract: list[RetractionBody] = msgspec.field(default_factory=list)


class Queued(Message, frozen=True):
    """What became of a request; the state that the flag has now."""

    state: FlagState


class ItemError(Message, frozen=True):
    """Which rule an item breaks, and where; never the value."""

    location: str
    code: str
    detail: str


class BatchItem(Message, frozen=True):
    """Result of one item, by its place in the request."""

    index: int
    state: FlagState
    errors: list[ItemError] = msgspec.field(default_factory=list)


class BatchAnswer(Message, frozen=True):
    publish: list[BatchItem]
    retract: list[BatchItem]


class FlagAnswer(Message, frozen=True):
    """State of one flag. `receipt` is the hub's signed receipt of the message that settled it."""

    state: FlagState
    kind: str
    since: Month
    until: Month | None
    reason: str
    changed_at: Instant
    receipt: str | None


RightCode = Literal["dispute", "objection", "restriction"]
AnswerCode = Literal["confirmed", "corrected", "retracted", "rejected", "upheld", "extended"]


class DisputeItem(Message, frozen=True):
    """What a citizen asks about own flags. `answers`: the codes that fit; there is no free text.

    `suspended`: nobody sees the flag until it is answered. `second`: a second term runs, of which
    the data protection officer has to know.
    """

    id: str
    local_refs: list[LocalRef]
    kind: str
    right: RightCode
    opened: Instant
    due: Instant
    clock: Literal["open", "soon", "overdue"]
    second: bool
    suspended: bool
    answers: list[AnswerCode]


class DisputesAnswer(Message, frozen=True):
    """Soonest term first."""

    disputes: list[DisputeItem]


class MessageAnswer(Message, frozen=True):
    """How many flags a message publishes or changes, and how many it retracts; none is usual too."""

    publishes: int
    retracts: int


class NotificationBody(Message, frozen=True):
    """A message of the Notificaties API (ZGW); fields that are not named here are not read."""

    kanaal: str
    resource: str
    actie: str
    hoofd_object: str


class DisputeReply(Message, frozen=True):
    """`retracted` takes the flags back, too."""

    answer: AnswerCode


class OutboxAnswer(Message, frozen=True):
    waiting: int
    waiting_for_key_holders: int
    rejected: int
    oldest_at: Instant | None
    last_confirmed_at: Instant | None
    hub_reachable: bool
    key_holders_reachable: bool


class VisitRequest(Message, frozen=True):
    """A visit for one person or a household of at most 8."""

    clients: Annotated[list[Client], Meta(min_length=1, max_length=8)]
    purpose: str
    case_reference: str
    until: Instant | None = None


class VisitAnswer(Message, frozen=True):
    """`deskUrl` opens the visit at the desk: once, within 60 seconds, for this employee."""

    visit: str
    desk_url: str
    until: Instant


class VisitState(Message, frozen=True):
    visit: str
    until: Instant


class RenewalBody(Message, frozen=True):
    until: Instant


class CrisisRequest(Message, frozen=True):
    """Break-glass for one person or a household of at most 8.

    `reason` and `atRisk` are codes of `[crisis]` in the vocabulary; `incapable`: cannot decide now.
    """

    clients: Annotated[list[Client], Meta(min_length=1, max_length=8)]
    reason: str
    at_risk: str
    incapable: bool


class CrisisAnswer(Message, frozen=True):
    """Look with `/v1/lookups` and this `visit`, until `until`. A colleague confirms before `confirmBy`."""

    crisis: str
    visit: str
    desk_url: str
    until: Instant
    confirm_by: Instant


class ColleagueBody(Message, frozen=True):
    """What a colleague says; without a body it is confirmed."""

    outcome: Literal["confirmed", "reported"] = "confirmed"


class CrisisState(Message, frozen=True):
    crisis: str
    outcome: Literal["confirmed", "reported"]


class InquiryItem(Message, frozen=True):
    """A question to the employee of the token. `caseReference` is empty once the visit is over."""

    id: str
    at: Instant
    due: Instant
    purpose: str
    why: Literal["steekproef", "spoed", "patroon"]
    case_reference: str


class InquiriesAnswer(Message, frozen=True):
    """Soonest due first."""

    inquiries: list[InquiryItem]


class InquiryBody(Message, frozen=True):
    """A code; there is no free text."""

    answer: InquiryAnswerCode


class LookupBody(Message, frozen=True):
    """All persons of the visit, or those named; one who is new is added to the visit."""

    visit: str
    clients: list[Client] | None = None
    detail: Literal["presence", "subjects"] = "subjects"


class LookupFlag(Message, frozen=True):
    kind: str
    label: str
    since: Month
    until: Month | None
    name: str
    desk: str
    self_declared: bool
    disputed: bool
    confirmed_date: date | msgspec.UnsetType = msgspec.UNSET


class LookupPerson(Message, frozen=True):
    """`refused` is empty or a code about the asker. An empty answer proves no absence."""

    present: bool
    flags: list[LookupFlag]
    silent: list[str]
    more: bool
    refused: str
    at: Instant
    log_index: int


class LookupResult(Message, frozen=True):
    """`combinations`: names of the organisation's own combinations in this answer; none are kept."""

    persons: list[LookupPerson]
    combinations: list[str]


class SubscriptionBody(Message, frozen=True):
    """`wanted` false: not told any more."""

    wanted: bool = True


class SubscriptionState(Message, frozen=True):
    visit: str
    wanted: bool


class SignalItem(Message, frozen=True):
    """There is something new for a visit: ask again. `mine` false: a colleague has not yet looked.

    `first`: what was seen then comes first, by the organisation's own list.
    """

    visit: str
    case_reference: str
    state: Literal["new", "seen", "taken", "closed"]
    mine: bool
    first: bool
    at: Instant


class SignalList(Message, frozen=True):
    """New ones first, then by what comes first."""

    signals: list[SignalItem]


class SignalBody(Message, frozen=True):
    """`taken`: this employee works on it; a colleague's visit is taken over with it. `closed`: done."""

    state: Literal["taken", "closed"]


class Empty(Message, frozen=True):
    """Nothing needs to be said."""


KEY = "apiKey"
TOKEN = "employeeToken"  # noqa: S105 - the name of a security scheme
SCHEMES = (
    documents.SecurityScheme(KEY, {"type": "apiKey", "in": "header", "name": "X-API-Key"}),
    documents.SecurityScheme(TOKEN, {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}),
)

_READING = (401, 403, 431)
_WRITING = (*_READING, 408, 413, 415)
_LOOKING = (*_WRITING, 404, 503)

OPERATIONS = (
    documents.Operation(
        "post",
        "/flags",
        "Publish a flag",
        "Queues a publication. It is sent when key holders and hub answer, and survives a restart.",
        "flags",
        FlagRequest,
        Queued,
        status=202,
        problems=(*_WRITING, 503),
        security=(KEY,),
    ),
    documents.Operation(
        "post",
        "/flags/retractions",
        "Retract a flag",
        "Queues a retraction. A reference that was never published here touches nothing.",
        "flags",
        RetractionBody,
        Queued,
        status=202,
        problems=(*_WRITING, 404),
        security=(KEY,),
    ),
    documents.Operation(
        "post",
        "/flags/batches",
        "Publish and retract many flags",
        "Up to 1,000 items; each has a result of its own and fails alone.",
        "flags",
        BatchRequest,
        BatchAnswer,
        status=202,
        problems=_WRITING,
        security=(KEY,),
    ),
    documents.Operation(
        "get",
        "/flags/{localRef}",
        "State of one flag",
        "Queued, published or retracted with the hub's receipt, or rejected with the reason.",
        "flags",
        None,
        FlagAnswer,
        problems=(*_READING, 404),
        security=(KEY,),
    ),
    documents.Operation(
        "get",
        "/disputes",
        "What waits for an answer",
        "Disputes, objections and restrictions about own flags, with their terms; asked of the hub now.",
        "disputes",
        None,
        DisputesAnswer,
        problems=_READING,
        security=(KEY,),
    ),
    documents.Operation(
        "post",
        "/disputes/{dispute}/answers",
        "Answer one",
        "A code that fits the question. Holds at the very next lookup.",
        "disputes",
        DisputeReply,
        Empty,
        problems=_WRITING,
        security=(KEY,),
    ),
    documents.Operation(
        "get",
        "/outbox",
        "State of the outbox",
        "What waits, what was rejected, and whether hub and key holders answer.",
        "flags",
        None,
        OutboxAnswer,
        problems=_READING,
        security=(KEY,),
    ),
    documents.Operation(
        "post",
        "/sources/{source}/messages",
        "Hand over a chain message",
        "One iWmo or iJw message, in a GGK envelope or bare, or a Suwinet response; whole or not at all.",
        "sources",
        None,
        MessageAnswer,
        status=202,
        problems=(*_WRITING, 404, 503),
        security=(KEY,),
        accepts="application/xml",
    ),
    documents.Operation(
        "post",
        "/sources/{source}/notifications",
        "Take a notification of a case system",
        "For a subscription at a Notificaties API (ZGW), with the API key as `auth`. It is worked off later.",
        "sources",
        NotificationBody,
        Empty,
        status=202,
        problems=(*_WRITING, 404),
        security=(KEY,),
    ),
    documents.Operation(
        "post",
        "/visits",
        "Open a visit",
        "Makes looking possible for this employee, purpose and case, until its end.",
        "visits",
        VisitRequest,
        VisitAnswer,
        status=201,
        problems=_LOOKING,
        security=(KEY, TOKEN),
    ),
    documents.Operation(
        "post",
        "/visits/{visit}/closures",
        "End a visit",
        "Holds at the very next question.",
        "visits",
        Empty,
        VisitState,
        problems=_LOOKING,
        security=(KEY, TOKEN),
    ),
    documents.Operation(
        "post",
        "/visits/{visit}/renewals",
        "Prolong a visit",
        "At most 90 days after its opening.",
        "visits",
        RenewalBody,
        VisitState,
        problems=_LOOKING,
        security=(KEY, TOKEN),
    ),
    documents.Operation(
        "post",
        "/lookups",
        "Look",
        "One recorded question about the persons of a visit; a repeated call is a new question.",
        "visits",
        LookupBody,
        LookupResult,
        problems=_LOOKING,
        security=(KEY, TOKEN),
    ),
    documents.Operation(
        "post",
        "/visits/{visit}/subscriptions",
        "Hear of what is new for a visit, or no longer",
        "Up to an hour after something new can be seen, without its subject. The hub records it.",
        "signals",
        SubscriptionBody,
        SubscriptionState,
        problems=_LOOKING,
        security=(KEY, TOKEN),
    ),
    documents.Operation(
        "get",
        "/signals",
        "Visits with something new",
        "Of this employee; of the team where a colleague has not looked for long.",
        "signals",
        None,
        SignalList,
        problems=_LOOKING,
        security=(KEY, TOKEN),
    ),
    documents.Operation(
        "post",
        "/signals/{visit}/states",
        "Take up or close",
        "One employee works on it; a colleague's visit is taken over with it.",
        "signals",
        SignalBody,
        Empty,
        problems=_LOOKING,
        security=(KEY, TOKEN),
    ),
    documents.Operation(
        "post",
        "/crises",
        "Declare break-glass",
        "Looking in danger, for 4 hours. It is recorded as such, confirmed by a colleague and reviewed.",
        "crises",
        CrisisRequest,
        CrisisAnswer,
        status=201,
        problems=_LOOKING,
        security=(KEY, TOKEN),
    ),
    documents.Operation(
        "post",
        "/crises/{crisis}/confirmations",
        "Confirm or report a colleague's break-glass",
        "By another employee than who declared it, in time; once.",
        "crises",
        ColleagueBody,
        CrisisState,
        problems=(*_LOOKING, 409),
        security=(KEY, TOKEN),
    ),
    documents.Operation(
        "get",
        "/inquiries",
        "What the privacy officer asks this employee",
        "About own looks; asked of the hub now.",
        "inquiries",
        None,
        InquiriesAnswer,
        problems=_LOOKING,
        security=(KEY, TOKEN),
    ),
    documents.Operation(
        "post",
        "/inquiries/{inquiry}/answers",
        "Answer one with a code",
        "By the employee who looked, once.",
        "inquiries",
        InquiryBody,
        Empty,
        problems=_LOOKING,
        security=(KEY, TOKEN),
    ),
)


def openapi() -> dict[str, Any]:
    """The OpenAPI document of this process."""
    return documents.document(
        "Vlagwijzer node",
        "For an organisation's own systems, on its own network: publish, retract, and look during a visit.",
        "https://node.vlagwijzer.example/v1",
        OPERATIONS,
        SCHEMES,
    )
