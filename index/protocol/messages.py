"""Every body between a node and the hub, as msgspec structs. Unknown fields are refused.

Bytes are base64url text without padding (`codec.unb64u` opens them). Who
asks, why and under which message id stands in the signed statement beside the
body (`statement`), never in it. Months are `YYYY-MM`. Times are UTC ISO 8601.

Source: docs/design/protocol.md.
"""

from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

Month = Annotated[str, Meta(pattern=r"^20\d\d-(0[1-9]|1[0-2])$")]
B64 = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]*$", max_length=262_144)]
Kind = Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,40}$")]
ScopeCode = Literal["geld", "werk", "zorg", "jeugd", "onderwijs", "veiligheid"]
Instant = Annotated[str, Meta(pattern=r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$")]
Path = Annotated[list[Annotated[str, Meta(max_length=60)]], Meta(max_length=3)]


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A body or a part of one."""


class LogReceipt(Message, frozen=True):
    """Proof that one entry is in the log: the node checks it before it shows anything.

    `proof` is a `c2sp.org/tlog-proof@v1` text; `asker` the canonical JSON of
    the entry's first part; `salt`, `saltA` and `partB` let the leaf be recomputed.
    """

    index: int
    salt: B64
    salt_a: B64
    part_b: B64
    asker: str
    proof: str


# --- POST /v1/publications ---------------------------------------------------------


class PublicationItem(Message, frozen=True):
    """One flag. `seq` rises per node; `rtag` is BLAKE2b-256 of the retraction secret."""

    seq: Annotated[int, Meta(ge=1)]
    rtag: B64
    kind: Kind
    since: Month
    until: Month | None = None


class PublicationRequest(Message, frozen=True):
    """`points` holds one N per item, in order, sealed to the hub; `version` is the manifest's."""

    version: int
    points: B64
    items: Annotated[list[PublicationItem], Meta(min_length=1, max_length=1000)]


class ItemResult(Message, frozen=True):
    """`stored`, `removed`, `absent`, `stale` (a later seq or a marker is there) or `refused` with a code.

    `stale` and `absent` speak of the sender's own flags only.
    """

    seq: int
    outcome: Literal["stored", "removed", "absent", "stale", "refused"]
    code: str = ""


class ChangeReceipt(Message, frozen=True):
    """Answer to a publication, retraction or confirmation. `receipt` is a JWS (`receipt` module)."""

    results: list[ItemResult]
    receipt: str
    log: list[LogReceipt]


# --- POST /v1/retractions ----------------------------------------------------------


class RetractionItem(Message, frozen=True):
    """`secret` is s, exactly 32 bytes; anything else is refused and touches nothing."""

    seq: Annotated[int, Meta(ge=1)]
    secret: B64


class RetractionRequest(Message, frozen=True):
    items: Annotated[list[RetractionItem], Meta(min_length=1, max_length=1000)]


# --- POST /v1/confirmations --------------------------------------------------------


class Bucket(Message, frozen=True):
    """Count and sum (32 bytes, big-endian) of one of the 256 buckets of a node's live flags."""

    count: Annotated[int, Meta(ge=0)]
    sum: B64


class ConfirmationRequest(Message, frozen=True):
    buckets: Annotated[list[Bucket], Meta(min_length=256, max_length=256)]


class ConfirmationAnswer(Message, frozen=True):
    """Buckets that differ were not confirmed; reconcile them."""

    differing: list[int]
    confirmed_at: Instant
    log: list[LogReceipt]


# --- POST /v1/reconciliations ------------------------------------------------------


class Held(Message, frozen=True):
    rtag: B64
    seq: int


PARTS = 64


def part_of(rtag: bytes) -> int:
    """Which of the 64 parts of its bucket an rtag is in: the highest 6 bits of its second byte."""
    return rtag[1] >> 2


class ReconciliationRequest(Message, frozen=True, omit_defaults=True):
    """What the node holds in one bucket: the sums of its 64 parts first, then the flags of one part.

    `parts`: asks which of them differ; `held` is empty then. `part`: `held` is all of this part.
    Without both, `held` is all of the bucket.
    """

    bucket: Annotated[int, Meta(ge=0, le=255)]
    held: Annotated[list[Held], Meta(max_length=20_000)]
    parts: Annotated[list[Bucket], Meta(min_length=PARTS, max_length=PARTS)] | None = None
    part: Annotated[int, Meta(ge=0, lt=PARTS)] | None = None


class ReconciliationAnswer(Message, frozen=True):
    """`missing`: the hub lacks these rtags; `extra`: the hub has them and the node does not.

    `differing`: numbers of the parts that differ, where parts were asked.
    """

    missing: list[B64]
    extra: list[B64]
    differing: list[int]
    log: list[LogReceipt]


# --- POST /v1/relations, and below it /closings, /renewals, /confirmations ---------


class Declaration(Message, frozen=True):
    """Why break-glass: codes of `[crisis]` in the vocabulary. `incapable`: cannot decide now."""

    reason: Kind
    at_risk: Kind
    incapable: bool


class RelationRequest(Message, frozen=True, omit_defaults=True):
    """Open a visit (`lookup`), break-glass (`crisis`) or a citizen session (`citizen`) for 1 to 8 persons.

    `points`: per person the N of each asked scope in scope order, sealed.
    `receipts`: holder receipts of at least t distinct holders.
    `declaration`: with break-glass, and with nothing else.
    """

    class_: Literal["lookup", "crisis", "citizen"] = msgspec.field(name="class")
    persons: Annotated[int, Meta(ge=1, le=8)]
    scopes: Annotated[list[ScopeCode], Meta(min_length=1, max_length=6)]
    until: Instant
    version: int
    points: B64
    receipts: Annotated[list[Annotated[str, Meta(max_length=2000)]], Meta(max_length=16)]
    declaration: Declaration | None = None


class RelationAnswer(Message, frozen=True):
    """One ticket and one log receipt per person, in the order asked."""

    tickets: list[B64]
    until: Instant
    log: list[LogReceipt]


class ClosingRequest(Message, frozen=True):
    tickets: Annotated[list[B64], Meta(min_length=1, max_length=8)]


class ClosingAnswer(Message, frozen=True):
    """`closed` counts relations ended by this call; repeating it is harmless."""

    closed: int
    log: list[LogReceipt]


class RenewalRequest(Message, frozen=True):
    tickets: Annotated[list[B64], Meta(min_length=1, max_length=8)]
    until: Instant


class ColleagueRequest(Message, frozen=True):
    """What a second person says of the break-glass declared under the statement's case."""

    outcome: Literal["confirmed", "reported"]


class ColleagueAnswer(Message, frozen=True):
    outcome: Literal["confirmed", "reported"]
    log: list[LogReceipt]


# --- POST /v1/lookups --------------------------------------------------------------


class LookupRequest(Message, frozen=True):
    """`detail` is `presence` for the first look of "know little beforehand", else `subjects`."""

    tickets: Annotated[list[B64], Meta(min_length=1, max_length=8)]
    detail: Literal["presence", "subjects"] = "subjects"


class VisibleFlag(Message, frozen=True):
    """A flag the asker may see. `source` is the publishing node's permanent number."""

    kind: Kind
    source: int
    since: Month
    until: Month | None
    confirmed_at: Instant | None
    disputed: bool = False


class PersonAnswer(Message, frozen=True):
    """Exactly 8,192 bytes of JSON, filled by `pad`. `silent`: node numbers that stopped confirming.

    `refused` is empty or a code about the asker (`no-relation`, ...), with the same size.
    """

    flags: Annotated[list[VisibleFlag], Meta(max_length=64)]
    present: bool
    more: bool
    refused: str
    silent: list[int]
    at: Instant
    policy: int
    log: LogReceipt
    pad: str


class LookupAnswer(Message, frozen=True):
    """The bytes are `{"persons":[...]}`, each person 8,192 bytes, in the order of the tickets."""

    persons: list[PersonAnswer]


# --- POST /v1/choices --------------------------------------------------------------


GiverCode = Literal["zelf", "ouder", "curator", "mentor", "bewindvoerder", "gemachtigde"]


class ChoiceEntry(Message, frozen=True):
    """One directive to be written in one scope. Paths go from broad to narrow; `[]` is "any".

    category: `[]`, `[domain]` or `[domain, kind]`. receiver: `[]`, `[organisation]`,
    `[organisation, team]` or `[organisation, team, role]` (organisation = OIN).
    purpose: `[]`, `["hulp"]`, `["hulp", "huisbezoek"]`, ... For `withdraw`, `group` names
    what is withdrawn and the paths are empty. `regime` lets the request's `by` speak for
    this person until `until`, a gemachtigde inside these paths only.
    """

    scope: ScopeCode
    effect: Literal["grant", "deny", "slot", "withdraw", "regime"]
    category: Path = []
    receiver: Path = []
    purpose: Path = []
    until: Instant | None = None
    explicit: bool = False
    withdraws: B64 = ""


class ChoiceRequest(Message, frozen=True):
    """Written in all named scopes in one transaction, or in none. `group` is 16 random bytes.

    `points`: the N of each scope of `entries`, in scope order, each scope once, sealed.
    `text` is the SHA-256 of the text that was confirmed. `by` is who decides, `giver` tells
    two of one sort apart (an id of the portal's own, no name or number), `evidence` refers to
    the proof that they may; both are empty for `zelf`. `regime` is the person's age regime now.
    `code` is the digest of a visit's code that this session opened: then all is about that visit.
    """

    ticket: B64
    version: int
    points: B64
    group: B64
    text: B64
    regime: Literal["zelf", "samen", "ouder"]
    by: GiverCode
    entries: Annotated[list[ChoiceEntry], Meta(min_length=1, max_length=400)]
    giver: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{0,22}\Z")] = ""
    evidence: Annotated[str, Meta(pattern=r"^[A-Za-z0-9.:/-]{0,32}\Z")] = ""
    channel: Literal["portaal", "balie"] = "portaal"
    code: B64 = ""


class ChoiceAnswer(Message, frozen=True):
    """`receipt` is a consent receipt (JWS, `typ` `consent-receipt+jwt`)."""

    receipt: str
    log: list[LogReceipt]


# --- POST /v1/objections -----------------------------------------------------------

RightCode = Literal["dispute", "objection", "restriction"]


class RightItem(Message, frozen=True):
    """One right that is used in one scope, or with `ends` the group of one that is ended.

    `kind` and `publisher` (number of a node, 0 for any) say what it is about; both are
    empty with `ends`. `until` ends what a parent asks at the next age boundary.
    """

    scope: ScopeCode
    right: RightCode
    kind: Annotated[str, Meta(pattern=r"^[a-z0-9_]{0,40}$")] = ""
    publisher: Annotated[int, Meta(ge=0, lt=2**32)] = 0
    until: Instant | None = None
    ends: B64 = ""


class ObjectionRequest(Message, frozen=True):
    """Written in all named scopes in one transaction, or in none; fields as in `ChoiceRequest`.

    `text` is the SHA-256 of what the citizen confirmed; no reason is asked and none can be sent.
    """

    ticket: B64
    version: int
    points: B64
    group: B64
    text: B64
    regime: Literal["zelf", "samen", "ouder"]
    by: GiverCode
    items: Annotated[list[RightItem], Meta(min_length=1, max_length=60)]
    giver: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{0,22}\Z")] = ""
    evidence: Annotated[str, Meta(pattern=r"^[A-Za-z0-9.:/-]{0,32}\Z")] = ""
    channel: Literal["portaal", "balie"] = "portaal"


class ObjectionAnswer(Message, frozen=True):
    """`receipt` is a consent receipt (JWS) with a term per entry."""

    receipt: str
    log: list[LogReceipt]


# --- POST /v1/objections/open, /v1/objections/answers -------------------------------


class OpenRequest(Message, frozen=True):
    """A source asks what it has to answer about its own flags."""


class OpenClaim(Message, frozen=True):
    """What is asked about the caller's flags `rtags`. `token` is brought back with the answer.

    `id` stays the same while it is asked. Terms follow from `opened` and `extended`
    (`consent.claims`). Nothing here tells the person, other sources, or other flags.
    """

    id: B64
    token: B64
    rtags: list[B64]
    kind: Kind
    right: RightCode
    opened: Instant
    extended: bool


class OpenAnswer(Message, frozen=True):
    """At most 500; `more` says that there are others to be asked for once these are answered."""

    claims: list[OpenClaim]
    more: bool
    log: list[LogReceipt]


class Reply(Message, frozen=True):
    """A code, never text; which ones fit follows from the right (`consent.claims.REPLIES`)."""

    token: B64
    answer: Literal["confirmed", "corrected", "retracted", "rejected", "upheld", "extended"]


class ReplyRequest(Message, frozen=True):
    replies: Annotated[list[Reply], Meta(min_length=1, max_length=100)]


class ReplyResult(Message, frozen=True):
    """`stored`, or `refused` with a code: nothing is asked (any more), or this answer does not fit."""

    outcome: Literal["stored", "refused"]
    code: str = ""


class ReplyAnswer(Message, frozen=True):
    """One result per reply, in order."""

    results: list[ReplyResult]
    log: list[LogReceipt]


# --- POST /v1/inquiries and answers --------------------------------------------------

InquiryAnswerCode = Literal[
    "own_client", "covered_for_colleague", "consultation", "danger", "mistake", "unknown"
]
INQUIRY_ANSWERS: tuple[InquiryAnswerCode, ...] = get_args(InquiryAnswerCode)


class InquiryRequest(Message, frozen=True):
    """A node asks what the privacy officer wants to know about its own looks."""


class Inquiry(Message, frozen=True):
    """One look that is asked about: by whom, when, why, under which of the node's own case tags.

    `why` is what made the officer ask: the sample, break-glass, or a pattern.
    """

    id: B64
    actor: str
    role: str
    team: str
    purpose: str
    case: str
    why: Literal["steekproef", "spoed", "patroon"]
    at: Instant
    due: Instant


class InquiryList(Message, frozen=True):
    """At most 200, the soonest due first."""

    inquiries: list[Inquiry]
    log: list[LogReceipt]


class InquiryReply(Message, frozen=True):
    """A code, never text; the statement names the employee, who must be the one who looked."""

    id: B64
    answer: InquiryAnswerCode


class InquiryAnswer(Message, frozen=True):
    answer: InquiryAnswerCode
    log: list[LogReceipt]


# --- POST /v1/subscriptions, /v1/subscriptions/signals -------------------------------


class SubscriptionRequest(Message, frozen=True):
    """Whether the persons of `tickets` are watched for a visit. `visit` is 16 bytes that the node chose."""

    tickets: Annotated[list[B64], Meta(min_length=1, max_length=8)]
    visit: B64
    wanted: bool = True


class SubscriptionAnswer(Message, frozen=True):
    """A log receipt per person and scope, in that order. The answer is the same whatever exists."""

    log: list[LogReceipt]


class Signal(Message, frozen=True):
    """Ask again for this visit; no more than that. `visit` is as the node chose it."""

    id: B64
    visit: B64


class SignalsRequest(Message, frozen=True):
    """What waits for the calling node. `done` are ids that it has kept; they are not told again."""

    done: Annotated[list[B64], Meta(max_length=200)] = []


class SignalsAnswer(Message, frozen=True):
    """At most 200; `more` where there are others."""

    signals: list[Signal]
    more: bool
    log: list[LogReceipt]


# --- POST /v1/contacts, /v1/contacts/open ----------------------------------------------


class ContactRequest(Message, frozen=True):
    """An employee wants contact about one flag that the ticket's visit can see; no content."""

    ticket: B64
    kind: Kind
    source: int


class ContactAnswer(Message, frozen=True):
    """When it was asked first, by this visit about this flag."""

    at: Instant
    log: list[LogReceipt]


class Contact(Message, frozen=True):
    """Who wants contact about one of the caller's own flags: organisation, team, role and time, no more."""

    id: B64
    rtag: B64
    organisation: str
    team: str
    role: str
    at: Instant


class ContactsRequest(Message, frozen=True):
    """What waits for the calling source. `done` are ids that it has kept; they are not told again."""

    done: Annotated[list[B64], Meta(max_length=200)] = []


class ContactsAnswer(Message, frozen=True):
    """At most 200; `more` where there are others."""

    contacts: list[Contact]
    more: bool
    log: list[LogReceipt]


# --- POST /v1/oversight/...: the organisation's own officer, over the own entries --------

OFFICER_ROLES = frozenset({"privacy_officer", "fg"})
"""Roles of a privacy officer, in a login and in the statement of a call under `/v1/oversight`."""

Day = Annotated[str, Meta(pattern=r"^20\d\d-\d\d-\d\d$")]
FilterCode = Annotated[str, Meta(pattern=r"^$|^[a-z][a-z0-9_-]{0,39}$")]
Year = Annotated[int, Meta(ge=2020, le=2199)]
LineIndex = Annotated[int, Meta(ge=0, lt=2**50)]
OfficerAct = Literal["ask", "close", "review"]
OfficerOutcome = Literal["", "asked", "fits", "does_not_fit"]
OwnForm = Literal["ldv", "nen7513", "counts"]


class OwnEntriesRequest(Message, frozen=True):
    """Which of the organisation's own entries; empty means any. `page` counts from 1, `day` is UTC."""

    role: FilterCode = ""
    purpose: FilterCode = ""
    day: Day | None = None
    page: Annotated[int, Meta(ge=1, le=1_000_000)] = 1


class OwnEntry(Message, frozen=True):
    """One entry about the asker. `shown` counts kinds; `something`: a look that told no kind."""

    year: int
    index: int
    at: Instant
    t: str
    node: str
    role: str
    team: str
    purpose: str
    actor: str
    refused: str
    shown: int
    something: bool
    urgent: bool


class OwnEntriesAnswer(Message, frozen=True):
    """One page, newest first; `complete` is false where older ones were not read."""

    entries: list[OwnEntry]
    total: int
    page_size: int
    complete: bool
    log: list[LogReceipt]


class OwnPatternsRequest(Message, frozen=True):
    """What stands out about the organisation's own teams in the last thirty days."""


class OwnExample(Message, frozen=True):
    """An unusual look of a pattern, to ask about."""

    year: int
    index: int
    at: Instant
    actor: str


class OwnPattern(Message, frozen=True):
    """`unusual` of `looks` of a team; `compared` others per hundred, of `others` teams."""

    sign: str
    team: str
    role: str
    unusual: int
    looks: int
    compared: float | None
    others: int
    examples: list[OwnExample]


class OwnPatternsAnswer(Message, frozen=True):
    patterns: list[OwnPattern]
    log: list[LogReceipt]


class OwnWorkRequest(Message, frozen=True):
    """The sample of the organisation's own looks, its questions, and its break-glass to review."""


class OwnInquiry(Message, frozen=True):
    """A question about one of the organisation's own looks, with its answer and outcome if there are any."""

    id: B64
    year: int
    index: int
    node: str
    actor: str
    role: str
    team: str
    purpose: str
    why: Literal["steekproef", "spoed", "patroon"]
    at: Instant
    due: Instant
    answer: str
    outcome: str
    open: bool


class OwnReview(Message, frozen=True):
    """A declared break-glass of the organisation that an officer is not done with."""

    id: B64
    node: str
    actor: str
    role: str
    team: str
    reason: str
    at_risk: str
    incapable: bool
    persons: int
    declared: Instant
    confirm_by: Instant
    last_day: Instant
    state: str
    outcome: str
    overdue: bool


class OwnSample(Message, frozen=True):
    """The newest month that was drawn: the looks of this organisation by the same seed, 25 at most."""

    month: Month
    late: bool
    population: int
    drawn: list[OwnEntry]


class OwnWorkAnswer(Message, frozen=True):
    sample: OwnSample | None
    inquiries: list[OwnInquiry]
    reviews: list[OwnReview]
    log: list[LogReceipt]


class OfficerActRequest(Message, frozen=True):
    """An officer asks about an entry (`year`, `index`, `why`), or closes a question or a review (`id`)."""

    act: OfficerAct
    id: Annotated[str, Meta(pattern=r"^$|^[A-Za-z0-9_-]{22}$")] = ""
    year: Annotated[int, Meta(ge=0, le=2199)] = 0
    index: LineIndex = 0
    why: Literal["", "steekproef", "spoed", "patroon"] = ""
    outcome: OfficerOutcome = ""


class OfficerActAnswer(Message, frozen=True):
    log: list[LogReceipt]


class OwnReplayRequest(Message, frozen=True):
    year: Year
    index: LineIndex


class OwnKindThen(Message, frozen=True):
    """What one kind came to then, and whether it would now come to the same."""

    kind: str
    row: int
    basis: str
    rule: int
    shown: bool
    same: bool


class OwnReplayAnswer(Message, frozen=True):
    """One look again. `unknown` where it cannot be told which kinds were decided about."""

    at: Instant
    version: int
    role: str
    purpose: str
    outcome: Literal["same", "different", "unknown"]
    kinds: list[OwnKindThen]
    log: list[LogReceipt]


class OwnExportRequest(Message, frozen=True):
    """One calendar month (UTC) of the organisation's own entries, in one form."""

    form: OwnForm
    month: Month


class OwnExportAnswer(Message, frozen=True):
    """`text` is the file; its digest and number of rows are in the entry of this call."""

    text: str
    log: list[LogReceipt]


# --- POST /v1/codes, /v1/codes/state, /v1/citizen/code -------------------------------


class CodeRequest(Message, frozen=True):
    """A desk gives the one person of `ticket` a code for their own phone. The code itself is not sent.

    `code` is its digest, 16 bytes; `portal` the id of the only node where it may be used.
    A later code of the same visit ends the earlier one.
    """

    ticket: B64
    code: B64
    portal: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9.\-]{0,62}\Z")]


class CodeAnswer(Message, frozen=True):
    until: Instant
    log: list[LogReceipt]


class CodeStateRequest(Message, frozen=True):
    ticket: B64


class CodeStateAnswer(Message, frozen=True):
    """`done`: the citizen said to be ready. Never what was chosen, nor whether anything was."""

    done: bool
    log: list[LogReceipt]


class OwnCodeRequest(Message, frozen=True):
    """A citizen opens a code, or is done with it. Found among the citizen's own relations only."""

    ticket: B64
    code: B64
    done: bool = False


class OwnCodeAnswer(Message, frozen=True):
    """Whose visit it is, and until when that runs. `scopes`: where a choice under the code counts."""

    organisation: str
    team: str
    role: str
    purpose: str
    scopes: list[ScopeCode]
    until: Instant
    log: list[LogReceipt]


# --- POST /v1/choices/assisted -------------------------------------------------------


class AssistedRequest(Message, frozen=True):
    """What an employee enters for the one person of `ticket`: a no or slot, or a yes from a signed form.

    A yes names one kind, the own team and the visit's purpose, and `form` is the form's
    reference. `group` is 16 bytes; with a form it is the digest of the code in the letter.
    `regime` is the age regime that the employee established.
    """

    ticket: B64
    group: B64
    text: B64
    entries: Annotated[list[ChoiceEntry], Meta(min_length=1, max_length=40)]
    regime: Literal["zelf", "samen", "ouder"]
    form: Annotated[str, Meta(pattern=r"^[A-Za-z0-9.:/-]{0,32}\Z")] = ""


class AssistedAnswer(Message, frozen=True):
    """Nothing but the proof of its entry: the receipt of a choice is the citizen's."""

    log: list[LogReceipt]


# --- POST /v1/citizen/flags, /v1/citizen/choices, /v1/citizen/log -------------------


class CitizenRequest(Message, frozen=True):
    ticket: B64


class OwnFlag(Message, frozen=True):
    kind: Kind
    source: int
    since: Month
    until: Month | None
    confirmed_at: Instant | None


class OwnFlagsAnswer(Message, frozen=True):
    flags: list[OwnFlag]
    log: list[LogReceipt]


class OwnDirective(Message, frozen=True):
    """A directive as it stands in one scope's ledger; `number` is its seq there.

    `proven`: it carries evidence of the giver's authority, which counts before `proven_until`.
    `entered`: numbers of node, team and role of the employee who entered it for the giver.
    `until` is as of now: of a grant given through a visit's code it follows that visit's end.
    """

    scope: ScopeCode
    number: int
    group: B64
    effect: Literal["grant", "deny", "withdraw", "slot", "regime"]
    category: Path
    receiver: Path
    purpose: Path
    from_: Instant = msgspec.field(name="from")
    until: Instant | None
    explicit: bool
    in_force: bool
    withdraws: B64 = ""
    by: GiverCode = "zelf"
    giver: str = ""
    regime: Literal["zelf", "samen", "ouder"] = "zelf"
    proven: bool = False
    proven_until: Instant | None = None
    channel: Literal["portaal", "code", "formulier", "balie"] = "portaal"
    entered: Annotated[list[int], Meta(max_length=3)] = []


class OwnReceiptsAnswer(Message, frozen=True):
    """Consent receipts (`ChoiceAnswer`), one per group, each with an id of its own."""

    receipts: list[str]
    log: list[LogReceipt]


class OwnClaim(Message, frozen=True):
    """A right in use. `due`: until when the publisher answers, None where it need not, or no more.

    `answer` is empty while there is none. Of a kind whose notice is postponed neither is told.
    `suspended`: the term of a dispute has passed, so nobody sees the flag until it is answered.
    """

    scope: ScopeCode
    group: B64
    right: RightCode
    kind: Kind
    publisher: int
    opened: Instant
    due: Instant | None
    answer: Literal["", "confirmed", "corrected", "retracted", "rejected", "upheld"]
    answered: Instant | None
    extended: bool
    suspended: bool
    until: Instant | None = None
    by: GiverCode = "zelf"
    giver: str = ""


class OwnChoicesAnswer(Message, frozen=True):
    """`directives` are the choices of the ledger; between their numbers stand those of rights in use."""

    directives: list[OwnDirective]
    claims: list[OwnClaim]
    log: list[LogReceipt]


class LogLine(Message, frozen=True):
    """One line of the citizen's own chain in one scope, opened, with its inclusion proof.

    `asker` and `chain` are the two parts exactly as hashed; the portal recomputes
    leaf, handle and proof, and that the numbers run 1..n without a gap.
    """

    scope: ScopeCode
    year: int
    index: int
    salt: B64
    salt_a: B64
    salt_b: B64
    asker: str
    chain: str
    proof: list[B64]


class OwnLogAnswer(Message, frozen=True):
    """`checkpoint` is the signed note that the proofs of the newest year's lines lead to.

    `earlier` has those of the years before, newest first. A line that a `release` among the
    others names stands on a postponed chain; an `erase` entry is about nobody and says
    which lines are no longer kept.
    """

    lines: list[LogLine]
    checkpoint: str
    log: list[LogReceipt]
    earlier: list[str] = []
