"""The node's client of the hub: signs each request, and believes no answer before its proof holds.

    body -> statement -> signature -> hub -> log receipts checked -> answer

A change (publication, retraction, choice) may be sent again under the same
message id. A lookup never is: a second one is a new question and a new line.

Source: docs/design/access-log.md, "Request statement" and "Receipt in each answer".
"""

import asyncio
import re
import secrets
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import httpx
import msgspec
from nacl.signing import SigningKey

from index.protocol.codec import EncodingError, Environment, unb64u
from index.protocol.entry import EntryError, kinds_shown, parse_asker, statement_of
from index.protocol.messages import (
    AssistedAnswer,
    AssistedRequest,
    ChangeReceipt,
    ChoiceAnswer,
    ChoiceRequest,
    CitizenRequest,
    ClosingAnswer,
    ClosingRequest,
    CodeAnswer,
    CodeRequest,
    CodeStateAnswer,
    CodeStateRequest,
    ColleagueAnswer,
    ColleagueRequest,
    ConfirmationAnswer,
    ConfirmationRequest,
    ContactAnswer,
    ContactRequest,
    ContactsAnswer,
    ContactsRequest,
    Inquiry,
    InquiryAnswer,
    InquiryList,
    InquiryReply,
    InquiryRequest,
    LogReceipt,
    LookupAnswer,
    LookupRequest,
    ObjectionAnswer,
    ObjectionRequest,
    OfficerActAnswer,
    OpenAnswer,
    OpenRequest,
    OwnChoicesAnswer,
    OwnCodeAnswer,
    OwnCodeRequest,
    OwnEntriesAnswer,
    OwnExportAnswer,
    OwnFlagsAnswer,
    OwnLogAnswer,
    OwnPatternsAnswer,
    OwnReceiptsAnswer,
    OwnReplayAnswer,
    OwnWorkAnswer,
    PersonAnswer,
    ReconciliationAnswer,
    ReconciliationRequest,
    RelationAnswer,
    RelationRequest,
    RenewalRequest,
    ReplyAnswer,
    ReplyRequest,
    SignalsAnswer,
    SignalsRequest,
    SubscriptionAnswer,
    SubscriptionRequest,
)
from index.protocol.receipt import CheckedEntry, ReceiptError, verify_change_receipt, verify_log_receipt
from index.protocol.statement import (
    T_OF_PATH,
    Signed,
    canonical,
    make_statement,
    sign_statement,
    verify_signature,
)

from .errors import HubUnreachable, ReceiptInvalid, Refused

_CODE = re.compile(r"[a-z][a-z0-9-]{0,59}")
_MAX_ANSWER = 64 * 1024 * 1024
Answer = TypeVar("Answer", bound=msgspec.Struct)
Told = TypeVar(
    "Told",
    OwnEntriesAnswer,
    OwnPatternsAnswer,
    OwnWorkAnswer,
    OfficerActAnswer,
    OwnReplayAnswer,
    OwnExportAnswer,
)


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks and why, as it will stand in the log. Empty where it does not apply."""

    actor: str = ""
    role: str = ""
    team: str = ""
    purpose: str = ""
    case: str = ""


OFFICER = "privacy_officer"
SOURCE = Asking(role="bron")
CITIZEN = Asking(role="burger")


def new_message_id() -> str:
    """A fresh message id; it stays the same when the message is sent again."""
    return str(uuid.uuid4())


class Hub:
    """Signed calls to one hub.

    Args:
        http: Its base address is the hub's.
        hub_id: Names the log and is the issuer of receipts.
        log_vkey, receipt_key: Pinned; what the hub signs counts under these only.
        now: Clock, UTC.
        environment: What is signed counts in this one only.
        proven: Told of each line that an answer proved, so that its confirmation can be fetched later.
        postpones: Whether notice of a line is postponed, by the asker's role and the kinds it names.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        *,
        hub_id: str,
        node: str,
        oin: str,
        signing_key: bytes,
        log_vkey: str,
        receipt_key: bytes,
        now: Callable[[], datetime],
        environment: Environment = "production",
        observe: Callable[[str, float], None] = lambda _route, _seconds: None,
        proven: Callable[[CheckedEntry], None] = lambda _entry: None,
        postpones: Callable[[str, Sequence[int]], bool] = lambda _role, _shown: False,
    ) -> None:
        self._http = http
        self._observe = observe
        self._proven = proven
        self._postpones = postpones
        self._hub_id = hub_id
        self._node = node
        self._oin = oin
        self._key = SigningKey(signing_key)
        self._environment = environment
        self._log_vkey = log_vkey
        self._receipt_key = receipt_key
        self._now = now

    # --- the source --------------------------------------------------------------------

    async def change(
        self, path: str, body: bytes, message_id: str, lids: Sequence[bytes] | None
    ) -> ChangeReceipt:
        """Send publications or retractions; harmless to repeat under the same message id.

        Args:
            lids: Log id of each item, in order; None where they are not known (retractions).

        Raises:
            ReceiptInvalid: Receipt or log proof does not hold: the message counts as not sent.
        """
        answer, sent = await self._call(path, body, ChangeReceipt, SOURCE, message_id)
        await asyncio.to_thread(self._check_change, answer, sent, lids)
        return answer

    def _check_change(self, answer: ChangeReceipt, sent: Signed, lids: Sequence[bytes] | None) -> None:
        said = sent.statement
        try:
            verify_change_receipt(
                answer.receipt,
                hub_key=self._receipt_key,
                hub_id=self._hub_id,
                node=self._node,
                message_id=said.msg,
                t=said.t,
                body_digest=said.body,
                results=answer.results,
                now=self._now(),
            )
        except ReceiptError as error:
            raise ReceiptInvalid(str(error)) from None
        for receipt in answer.log:
            self._check_own(receipt, sent)

    def _check_own(self, receipt: LogReceipt, sent: Signed) -> CheckedEntry:
        """A repeated message is answered with the entry of its first attempt: same message, other `jti`."""
        entry = self._checked(receipt, None, None)
        try:
            said = statement_of(entry.asker, sent.statement.hub)
            signature = unb64u(entry.asker.nodeSig, 64)
        except (EntryError, EncodingError):
            raise ReceiptInvalid("the entry holds no statement of this node") from None
        now, then = sent.statement, said
        same = (now.t, now.msg, now.body, now.node, now.org) == (
            then.t,
            then.msg,
            then.body,
            then.node,
            then.org,
        )
        own = verify_signature(
            Signed(said, canonical(said), signature), [bytes(self._key.verify_key)], self._environment
        )
        if not same or not own:
            raise ReceiptInvalid("the entry does not hold the statement that was sent")
        return entry

    async def confirm(self, request: ConfirmationRequest) -> ConfirmationAnswer:
        """Confirm all live flags by their digest."""
        answer, sent = await self._ask("/v1/confirmations", request, ConfirmationAnswer, SOURCE)
        self._check_all(answer.log, sent, None)
        return answer

    async def reconcile(self, request: ReconciliationRequest) -> ReconciliationAnswer:
        """Compare one bucket of flags with what the hub has."""
        answer, sent = await self._ask("/v1/reconciliations", request, ReconciliationAnswer, SOURCE)
        self._check_all(answer.log, sent, None)
        return answer

    async def open_claims(self) -> OpenAnswer:
        """What waits for this node's answer, about its own flags."""
        answer, sent = await self._ask("/v1/objections/open", OpenRequest(), OpenAnswer, SOURCE)
        self._check_all(answer.log, sent, None)
        return answer

    async def reply(self, request: ReplyRequest) -> ReplyAnswer:
        """Answer what was asked; one result per reply."""
        answer, sent = await self._ask("/v1/objections/answers", request, ReplyAnswer, SOURCE)
        self._check_all(answer.log, sent, None)
        if len(answer.results) != len(request.replies):
            raise ReceiptInvalid("not one result per reply")
        return answer

    # --- visits ------------------------------------------------------------------------

    async def open_relation(
        self, request: RelationRequest, asking: Asking, message_id: str, lids: Sequence[Sequence[bytes]]
    ) -> RelationAnswer:
        """Open a visit or a citizen session; `lids` per person, in scope order."""
        body = msgspec.json.encode(request)
        answer, sent = await self._call("/v1/relations", body, RelationAnswer, asking, message_id)
        self._check_all(answer.log, sent, lids)
        if len(answer.tickets) != len(lids):
            raise ReceiptInvalid("not one ticket per person")
        return answer

    async def renew(
        self, request: RenewalRequest, asking: Asking, lids: Sequence[Sequence[bytes]]
    ) -> RelationAnswer:
        """Prolong a visit; new tickets replace the old."""
        answer, sent = await self._ask("/v1/relations/renewals", request, RelationAnswer, asking)
        self._check_all(answer.log, sent, lids)
        if len(answer.tickets) != len(lids):
            raise ReceiptInvalid("not one ticket per person")
        return answer

    async def close(
        self, request: ClosingRequest, asking: Asking, lids: Sequence[Sequence[bytes]]
    ) -> ClosingAnswer:
        """End a visit or session."""
        answer, sent = await self._ask("/v1/relations/closings", request, ClosingAnswer, asking)
        self._check_all(answer.log, sent, lids)
        return answer

    async def second_person(self, request: ColleagueRequest, asking: Asking) -> ColleagueAnswer:
        """Say what a colleague says of the break-glass that was declared under the case of `asking`."""
        answer, sent = await self._ask("/v1/relations/confirmations", request, ColleagueAnswer, asking)
        self._check_all(answer.log, sent, [[]])
        return answer

    async def inquiries(self) -> list[Inquiry]:
        """What the privacy officer asks this node about its own looks."""
        answer, sent = await self._ask("/v1/inquiries", InquiryRequest(), InquiryList, SOURCE)
        self._check_all(answer.log, sent, None)
        return answer.inquiries

    async def answer_inquiry(self, reply: InquiryReply, actor: str) -> None:
        """The answer of the employee `actor`, who must be the one who looked."""
        asking = Asking(actor=actor, role=SOURCE.role)
        answer, sent = await self._ask("/v1/inquiries/answers", reply, InquiryAnswer, asking)
        self._check_all(answer.log, sent, None)

    # --- signals and contact -----------------------------------------------------------

    async def subscribe(
        self, request: SubscriptionRequest, asking: Asking, lids: Sequence[Sequence[bytes]]
    ) -> None:
        """Watch for the persons of a visit, or no longer; `lids` per person, in scope order."""
        answer, sent = await self._ask("/v1/subscriptions", request, SubscriptionAnswer, asking)
        self._check_all(answer.log, sent, [[lid] for own in lids for lid in own])

    async def signals(self, done: Sequence[str]) -> SignalsAnswer:
        """For which visits of this node to ask again; `done` are ids that it has kept."""
        request = SignalsRequest(list(done))
        answer, sent = await self._ask("/v1/subscriptions/signals", request, SignalsAnswer, SOURCE)
        self._check_all(answer.log, sent, [[]])
        return answer

    async def ask_contact(
        self, request: ContactRequest, asking: Asking, lids: Sequence[bytes]
    ) -> ContactAnswer:
        """Ask the source of a visible flag for contact; `lids` of the kind's scope alone."""
        answer, sent = await self._ask("/v1/contacts", request, ContactAnswer, asking)
        self._check_all(answer.log, sent, [lids])
        return answer

    async def contacts(self, done: Sequence[str]) -> ContactsAnswer:
        """Who wants contact about this source's own flags; `done` are ids that it has kept."""
        request = ContactsRequest(list(done))
        answer, sent = await self._ask("/v1/contacts/open", request, ContactsAnswer, SOURCE)
        self._check_all(answer.log, sent, [[]])
        return answer

    async def look(
        self,
        request: LookupRequest,
        asking: Asking,
        lids: Sequence[Sequence[bytes]],
        number_of: Callable[[str], int],
    ) -> list[PersonAnswer]:
        """One recorded question. Nothing is returned unless every line of it is proven.

        Args:
            lids: Per person asked, in scope order.
            number_of: The permanent number of a kind.
        """
        answer, sent = await self._ask("/v1/lookups", request, LookupAnswer, asking)
        entries = self._check_all([person.log for person in answer.persons], sent, lids)
        for person, entry in zip(answer.persons, entries, strict=True):
            logged = set(kinds_shown(unb64u(entry.asker.shown)))
            # What is on the page must be what the log says was shown.
            if not {number_of(seen.kind) for seen in person.flags} <= logged:
                raise ReceiptInvalid("the entry does not name every kind that was answered")
            if person.present and not logged:
                raise ReceiptInvalid("the entry does not say that something was seen")
            if person.refused != entry.asker.refused:
                raise ReceiptInvalid("the entry does not say that this was refused")
        return answer.persons

    # --- at the table ------------------------------------------------------------------

    async def give_code(self, request: CodeRequest, asking: Asking, lids: Sequence[bytes]) -> CodeAnswer:
        """Put the digest of a code into a visit of one person."""
        answer, sent = await self._ask("/v1/codes", request, CodeAnswer, asking)
        self._check_all(answer.log, sent, [lids])
        return answer

    async def code_state(
        self, request: CodeStateRequest, asking: Asking, lids: Sequence[bytes]
    ) -> CodeStateAnswer:
        """Whether the citizen is done."""
        answer, sent = await self._ask("/v1/codes/state", request, CodeStateAnswer, asking)
        self._check_all(answer.log, sent, [lids])
        return answer

    async def assist(
        self, request: AssistedRequest, asking: Asking, message_id: str, lids: Sequence[bytes]
    ) -> None:
        """Enter a no, a slot or a form; `lids` of the scopes written, in scope order."""
        body = msgspec.json.encode(request)
        answer, sent = await self._call("/v1/choices/assisted", body, AssistedAnswer, asking, message_id)
        self._check_all(answer.log, sent, [lids])

    async def own_code(
        self, request: OwnCodeRequest, lids: Sequence[bytes], asking: Asking = CITIZEN
    ) -> OwnCodeAnswer:
        """Open a code that a desk gave, or be done with it."""
        answer, sent = await self._ask("/v1/citizen/code", request, OwnCodeAnswer, asking)
        self._check_all(answer.log, sent, [lids])
        return answer

    # --- the citizen -------------------------------------------------------------------

    async def choose(
        self, request: ChoiceRequest, message_id: str, lids: Sequence[bytes], asking: Asking = CITIZEN
    ) -> ChoiceAnswer:
        """Write a choice in all its scopes or none; `lids` of the scopes written, in scope order."""
        body = msgspec.json.encode(request)
        answer, sent = await self._call("/v1/choices", body, ChoiceAnswer, asking, message_id)
        self._check_all(answer.log, sent, [lids])
        return answer

    async def use_right(
        self, request: ObjectionRequest, message_id: str, lids: Sequence[bytes], asking: Asking = CITIZEN
    ) -> ObjectionAnswer:
        """Dispute, object or restrict in all scopes or none; `lids` of the scopes written, in scope order."""
        body = msgspec.json.encode(request)
        answer, sent = await self._call("/v1/objections", body, ObjectionAnswer, asking, message_id)
        self._check_all(answer.log, sent, [lids])
        return answer

    async def own_flags(self, ticket: str, lids: Sequence[bytes], asking: Asking = CITIZEN) -> OwnFlagsAnswer:
        """Flags about the citizen, whoever may see them."""
        answer, sent = await self._ask("/v1/citizen/flags", CitizenRequest(ticket), OwnFlagsAnswer, asking)
        self._check_all(answer.log, sent, [lids])
        return answer

    async def own_choices(
        self, ticket: str, lids: Sequence[bytes], asking: Asking = CITIZEN
    ) -> OwnChoicesAnswer:
        """The citizen's ledger in all scopes."""
        request = CitizenRequest(ticket)
        answer, sent = await self._ask("/v1/citizen/choices", request, OwnChoicesAnswer, asking)
        self._check_all(answer.log, sent, [lids])
        return answer

    async def own_receipts(
        self, ticket: str, lids: Sequence[bytes], asking: Asking = CITIZEN
    ) -> OwnReceiptsAnswer:
        """A fresh receipt of each of the citizen's choices."""
        request = CitizenRequest(ticket)
        answer, sent = await self._ask("/v1/citizen/receipts", request, OwnReceiptsAnswer, asking)
        self._check_all(answer.log, sent, [lids])
        return answer

    async def own_log(self, ticket: str, lids: Sequence[bytes], asking: Asking = CITIZEN) -> OwnLogAnswer:
        """The citizen's lines; `nodes.looks` verifies them one by one."""
        answer, sent = await self._ask("/v1/citizen/log", CitizenRequest(ticket), OwnLogAnswer, asking)
        self._check_all(answer.log, sent, [lids])
        return answer

    # --- the organisation's own officer ------------------------------------------------

    async def oversee(self, path: str, request: msgspec.Struct, kind: type[Told], officer: str) -> Told:
        """One call under `/v1/oversight`, for the officer with this id; it stands in the log as such."""
        asking = Asking(actor=officer, role=OFFICER)
        answer, sent = await self._ask(f"/v1/oversight/{path}", request, kind, asking)
        self._check_all(answer.log, sent, None)
        return answer

    # --- one request -------------------------------------------------------------------

    async def reachable(self) -> bool:
        """Whether the hub answers at all."""
        try:
            return (await self._http.get("/health", timeout=2.0)).status_code == 200
        except httpx.HTTPError:
            return False

    def _check_all(
        self, receipts: Sequence[LogReceipt], sent: Signed, lids: Sequence[Sequence[bytes]] | None
    ) -> list[CheckedEntry]:
        if lids is not None and len(receipts) != len(lids):
            raise ReceiptInvalid("not one log receipt per person")
        if not receipts:
            raise ReceiptInvalid("the answer has no log receipt")
        persons = lids if lids is not None else [None] * len(receipts)
        found = [self._checked(receipt, sent, own) for receipt, own in zip(receipts, persons, strict=True)]
        for entry in found:
            self._proven(entry)
        return found

    def _checked(
        self, receipt: LogReceipt, sent: Signed | None, lids: Sequence[bytes] | None
    ) -> CheckedEntry:
        try:
            # Computed here: a line on a postponed chain that the rule does not postpone would hide a look.
            asker = parse_asker(receipt.asker.encode())
            later = self._postpones(asker.role, kinds_shown(unb64u(asker.shown)))
            return verify_log_receipt(receipt, log_vkey=self._log_vkey, sent=sent, lids=lids, later=later)
        except (ReceiptError, EntryError, EncodingError, UnicodeError) as error:
            raise ReceiptInvalid(str(error)) from None

    async def _ask(
        self, path: str, request: msgspec.Struct, kind: type[Answer], asking: Asking
    ) -> tuple[Answer, Signed]:
        return await self._call(path, msgspec.json.encode(request), kind, asking, new_message_id())

    async def _call(
        self, path: str, body: bytes, kind: type[Answer], asking: Asking, message_id: str
    ) -> tuple[Answer, Signed]:
        statement = make_statement(
            t=T_OF_PATH[path],
            hub=f"{self._hub_id}/v1/log",
            org=self._oin,
            node=self._node,
            msg=message_id,
            jti=secrets.token_bytes(16),
            nts=int(self._now().timestamp()),
            body=body,
            actor=asking.actor,
            role=asking.role,
            team=asking.team,
            purpose=asking.purpose,
            case=asking.case,
        )
        headers = sign_statement(statement, self._key, self._environment)
        sent = Signed(statement, canonical(statement), unb64u(headers["Vlagwijzer-Signature"], 64))
        begun = time.perf_counter()
        try:
            response = await self._http.post(
                path, content=body, headers={**headers, "Content-Type": "application/json"}
            )
        except httpx.HTTPError:
            raise HubUnreachable from None
        finally:
            self._observe(path, time.perf_counter() - begun)
        if response.status_code != 200:
            raise _failure(response, asking)
        if len(response.content) > _MAX_ANSWER:
            raise ReceiptInvalid("the answer is too large")
        try:
            return msgspec.json.decode(response.content, type=kind), sent
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise ReceiptInvalid("the answer has a wrong form") from None


def _failure(response: httpx.Response, asking: Asking) -> HubUnreachable | Refused:
    """5xx passes, and so does 429 for a message that can wait; anything else is the hub's word.

    An employee over the budget is told so: "cannot be reached" would be untrue and invites another try.
    """
    if response.status_code >= 500 or (response.status_code == 429 and not asking.actor):
        return HubUnreachable()
    try:
        body = msgspec.json.decode(response.content)
        kind = str(body["type"]).rpartition("/")[2]
        if kind == "rejected":
            kind = str(body["errors"][0]["code"])  # the rule, which is what a person needs to hear
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, IndexError, RecursionError):
        kind = ""
    return Refused(kind if _CODE.fullmatch(kind) else f"http-{response.status_code}")
