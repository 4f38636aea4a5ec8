"""Client of a Vlagwijzer node. Made from docs/api/openapi-node.json by `make client`; do not edit.

    node = Node("https://node.example", api_key, employee_token=fresh_token)
    visit = node.post_visits({"clients": [{"bsn": bsn}], "purpose": "huisbezoek", "caseReference": "Z-1"})

`employee_token` is called for each request that needs one. What the node
refuses is raised as `Problem`; it never holds what was sent.
"""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any, Literal, NotRequired, TypedDict


class Problem(Exception):
    """An answer that says no (RFC 9457)."""

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__(f"{body.get('title')} ({body.get('status')}): {body.get('detail')}")
        self.body = body


class FlagRequest(TypedDict):
    bsn: str
    kind: str
    localRef: str
    since: str
    until: NotRequired[str | None]


class Queued(TypedDict):
    state: Literal["published", "queued", "rejected", "retracted"]


class RetractionBody(TypedDict):
    localRef: str


class BatchRequest(TypedDict):
    publish: NotRequired[list[FlagRequest]]
    retract: NotRequired[list[RetractionBody]]


class ItemError(TypedDict):
    location: str
    code: str
    detail: str


class BatchItem(TypedDict):
    index: int
    state: Literal["published", "queued", "rejected", "retracted"]
    errors: NotRequired[list[ItemError]]


class BatchAnswer(TypedDict):
    publish: list[BatchItem]
    retract: list[BatchItem]


class FlagAnswer(TypedDict):
    state: Literal["published", "queued", "rejected", "retracted"]
    kind: str
    since: str
    until: str | None
    reason: str
    changedAt: str
    receipt: str | None


class DisputeItem(TypedDict):
    id: str
    localRefs: list[str]
    kind: str
    right: Literal["dispute", "objection", "restriction"]
    opened: str
    due: str
    clock: Literal["open", "overdue", "soon"]
    second: bool
    suspended: bool
    answers: list[Literal["confirmed", "corrected", "extended", "rejected", "retracted", "upheld"]]


class DisputesAnswer(TypedDict):
    disputes: list[DisputeItem]


class DisputeReply(TypedDict):
    answer: Literal["confirmed", "corrected", "extended", "rejected", "retracted", "upheld"]


class Empty(TypedDict):
    pass


class OutboxAnswer(TypedDict):
    waiting: int
    waitingForKeyHolders: int
    rejected: int
    oldestAt: str | None
    lastConfirmedAt: str | None
    hubReachable: bool
    keyHoldersReachable: bool


class MessageAnswer(TypedDict):
    publishes: int
    retracts: int


class NotificationBody(TypedDict):
    kanaal: str
    resource: str
    actie: str
    hoofdObject: str


class Client(TypedDict):
    bsn: str


class VisitRequest(TypedDict):
    clients: list[Client]
    purpose: str
    caseReference: str
    until: NotRequired[str | None]


class VisitAnswer(TypedDict):
    visit: str
    deskUrl: str
    until: str


class VisitState(TypedDict):
    visit: str
    until: str


class RenewalBody(TypedDict):
    until: str


class LookupBody(TypedDict):
    visit: str
    clients: NotRequired[list[Client] | None]
    detail: NotRequired[Literal["presence", "subjects"]]


class LookupFlag(TypedDict):
    kind: str
    label: str
    since: str
    until: str | None
    name: str
    desk: str
    selfDeclared: bool
    disputed: bool
    confirmedDate: NotRequired[str]


class LookupPerson(TypedDict):
    present: bool
    flags: list[LookupFlag]
    silent: list[str]
    more: bool
    refused: str
    at: str
    logIndex: int


class LookupResult(TypedDict):
    persons: list[LookupPerson]
    combinations: list[str]


class SubscriptionBody(TypedDict):
    wanted: NotRequired[bool]


class SubscriptionState(TypedDict):
    visit: str
    wanted: bool


class SignalItem(TypedDict):
    visit: str
    caseReference: str
    state: Literal["closed", "new", "seen", "taken"]
    mine: bool
    first: bool
    at: str


class SignalList(TypedDict):
    signals: list[SignalItem]


class SignalBody(TypedDict):
    state: Literal["closed", "taken"]


class CrisisRequest(TypedDict):
    clients: list[Client]
    reason: str
    atRisk: str
    incapable: bool


class CrisisAnswer(TypedDict):
    crisis: str
    visit: str
    deskUrl: str
    until: str
    confirmBy: str


class ColleagueBody(TypedDict):
    outcome: NotRequired[Literal["confirmed", "reported"]]


class CrisisState(TypedDict):
    crisis: str
    outcome: Literal["confirmed", "reported"]


class InquiryItem(TypedDict):
    id: str
    at: str
    due: str
    purpose: str
    why: Literal["patroon", "spoed", "steekproef"]
    caseReference: str


class InquiriesAnswer(TypedDict):
    inquiries: list[InquiryItem]


class InquiryBody(TypedDict):
    answer: Literal["consultation", "covered_for_colleague", "danger", "mistake", "own_client", "unknown"]


class Node:
    """One node, for one calling system."""

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        employee_token: Callable[[], str] | None = None,
        timeout: float = 30.0,
    ) -> None:
        self._url, self._key = url.rstrip("/"), api_key
        self._token, self._timeout = employee_token, timeout

    def _call(
        self, method: str, path: str, body: Any, *, person: bool, media: str = "application/json"
    ) -> Any:
        headers = {"X-API-Key": self._key, "Content-Type": media}
        if person:
            if self._token is None:
                raise ValueError("this call needs employee_token")
            headers["Authorization"] = f"Bearer {self._token()}"
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + "/v1" + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise Problem(json.load(error)) from None

    def post_flags(self, body: FlagRequest) -> Queued:
        """Publish a flag. Queues a publication. It is sent when key holders and hub answer, and survives a restart."""
        found: Queued = self._call("POST", "/flags", body, person=False)
        return found

    def post_flags_retractions(self, body: RetractionBody) -> Queued:
        """Retract a flag. Queues a retraction. A reference that was never published here touches nothing."""
        found: Queued = self._call("POST", "/flags/retractions", body, person=False)
        return found

    def post_flags_batches(self, body: BatchRequest) -> BatchAnswer:
        """Publish and retract many flags. Up to 1,000 items; each has a result of its own and fails alone."""
        found: BatchAnswer = self._call("POST", "/flags/batches", body, person=False)
        return found

    def get_flags_local_ref(self, local_ref: str) -> FlagAnswer:
        """State of one flag. Queued, published or retracted with the hub's receipt, or rejected with the reason."""
        found: FlagAnswer = self._call("GET", f"/flags/{urllib.parse.quote(local_ref, safe='')}", None, person=False)
        return found

    def get_disputes(self) -> DisputesAnswer:
        """What waits for an answer. Disputes, objections and restrictions about own flags, with their terms; asked of the hub now."""
        found: DisputesAnswer = self._call("GET", "/disputes", None, person=False)
        return found

    def post_disputes_dispute_answers(self, dispute: str, body: DisputeReply) -> Empty:
        """Answer one. A code that fits the question. Holds at the very next lookup."""
        found: Empty = self._call("POST", f"/disputes/{urllib.parse.quote(dispute, safe='')}/answers", body, person=False)
        return found

    def get_outbox(self) -> OutboxAnswer:
        """State of the outbox. What waits, what was rejected, and whether hub and key holders answer."""
        found: OutboxAnswer = self._call("GET", "/outbox", None, person=False)
        return found

    def post_sources_source_messages(self, source: str, body: bytes) -> MessageAnswer:
        """Hand over a chain message. One iWmo or iJw message, in a GGK envelope or bare, or a Suwinet response; whole or not at all."""
        found: MessageAnswer = self._call("POST", f"/sources/{urllib.parse.quote(source, safe='')}/messages", body, person=False, media="application/xml")
        return found

    def post_sources_source_notifications(self, source: str, body: NotificationBody) -> Empty:
        """Take a notification of a case system. For a subscription at a Notificaties API (ZGW), with the API key as `auth`. It is worked off later."""
        found: Empty = self._call("POST", f"/sources/{urllib.parse.quote(source, safe='')}/notifications", body, person=False)
        return found

    def post_visits(self, body: VisitRequest) -> VisitAnswer:
        """Open a visit. Makes looking possible for this employee, purpose and case, until its end."""
        found: VisitAnswer = self._call("POST", "/visits", body, person=True)
        return found

    def post_visits_visit_closures(self, visit: str, body: Empty) -> VisitState:
        """End a visit. Holds at the very next question."""
        found: VisitState = self._call("POST", f"/visits/{urllib.parse.quote(visit, safe='')}/closures", body, person=True)
        return found

    def post_visits_visit_renewals(self, visit: str, body: RenewalBody) -> VisitState:
        """Prolong a visit. At most 90 days after its opening."""
        found: VisitState = self._call("POST", f"/visits/{urllib.parse.quote(visit, safe='')}/renewals", body, person=True)
        return found

    def post_lookups(self, body: LookupBody) -> LookupResult:
        """Look. One recorded question about the persons of a visit; a repeated call is a new question."""
        found: LookupResult = self._call("POST", "/lookups", body, person=True)
        return found

    def post_visits_visit_subscriptions(self, visit: str, body: SubscriptionBody) -> SubscriptionState:
        """Hear of what is new for a visit, or no longer. Up to an hour after something new can be seen, without its subject. The hub records it."""
        found: SubscriptionState = self._call("POST", f"/visits/{urllib.parse.quote(visit, safe='')}/subscriptions", body, person=True)
        return found

    def get_signals(self) -> SignalList:
        """Visits with something new. Of this employee; of the team where a colleague has not looked for long."""
        found: SignalList = self._call("GET", "/signals", None, person=True)
        return found

    def post_signals_visit_states(self, visit: str, body: SignalBody) -> Empty:
        """Take up or close. One employee works on it; a colleague's visit is taken over with it."""
        found: Empty = self._call("POST", f"/signals/{urllib.parse.quote(visit, safe='')}/states", body, person=True)
        return found

    def post_crises(self, body: CrisisRequest) -> CrisisAnswer:
        """Declare break-glass. Looking in danger, for 4 hours. It is recorded as such, confirmed by a colleague and reviewed."""
        found: CrisisAnswer = self._call("POST", "/crises", body, person=True)
        return found

    def post_crises_crisis_confirmations(self, crisis: str, body: ColleagueBody) -> CrisisState:
        """Confirm or report a colleague's break-glass. By another employee than who declared it, in time; once."""
        found: CrisisState = self._call("POST", f"/crises/{urllib.parse.quote(crisis, safe='')}/confirmations", body, person=True)
        return found

    def get_inquiries(self) -> InquiriesAnswer:
        """What the privacy officer asks this employee. About own looks; asked of the hub now."""
        found: InquiriesAnswer = self._call("GET", "/inquiries", None, person=True)
        return found

    def post_inquiries_inquiry_answers(self, inquiry: str, body: InquiryBody) -> Empty:
        """Answer one with a code. By the employee who looked, once."""
        found: Empty = self._call("POST", f"/inquiries/{urllib.parse.quote(inquiry, safe='')}/answers", body, person=True)
        return found
