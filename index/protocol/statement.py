"""Who asks what, why and in which message: the signed statement of every node request.

One raw Ed25519 signature over one canonical object, for all calls of nodes to
the hub. The log entry keeps the statement's fields and the signature, so that
anyone who opens the entry can check it again: the question is undeniable.

Values are plain ASCII without quotes or escapes, and the fields below stand in
alphabetical order, so msgspec's encoding *is* the RFC 8785 form; a test
compares the two.

Source: docs/design/access-log.md, "Request statement".
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta
from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey

from .codec import EncodingError, Environment, b64u, place_of, unb64u

STATEMENT_HEADER = "Vlagwijzer-Statement"
SIGNATURE_HEADER = "Vlagwijzer-Signature"
LOG_INDEX_HEADER = "Vlagwijzer-Log-Index"
CLOCK_TOLERANCE_S = 60
JTI_WINDOW_S = 180
"""A `jti` is remembered this long; longer than a statement can stay fresh."""

MAX_STATEMENT = 2048
_SIGNATURE, _PUBLIC_KEY = 64, 32
_TAGS: Mapping[Environment, bytes] = {
    "production": b"vlagwijzer/request/v1\n",
    "test": b"vlagwijzer/request/v1/test\n",
}

Activity = Literal[
    "lookup",
    "publish",
    "retract",
    "confirm",
    "relation",
    "choice",
    "objection",
    "notice",
    "release",
    "log_view",
    "admin",
    "erase",
    "heads",
    "policy",
    "key",
    "subscription",
    "rotate",
    "open",
]

# Never all digits: no such value can be, or be taken for, a citizen's number.
NodeId = Annotated[str, Meta(pattern=r"^(?![0-9]+\Z)[A-Za-z0-9._-]{1,48}\Z")]
ActorId = Annotated[str, Meta(pattern=r"^\Z|^(?![0-9]+\Z)[A-Za-z0-9._-]{1,32}\Z")]
TeamId = Annotated[str, Meta(pattern=r"^\Z|^(?![0-9]+\Z)[A-Za-z0-9._-]{1,48}\Z")]
Code = Annotated[str, Meta(pattern=r"^\Z|^[a-z][a-z0-9_-]{0,39}\Z")]
Oin = Annotated[str, Meta(pattern=r"^[0-9]{20}\Z")]
Origin = Annotated[str, Meta(pattern=r"^[A-Za-z0-9.:_-]{1,100}/v1/log\Z")]
MessageId = Annotated[str, Meta(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")]
Bytes16 = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{22}\Z")]
Bytes32 = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{43}\Z")]
CaseId = Annotated[str, Meta(pattern=r"^\Z|^[A-Za-z0-9_-]{22}\Z")]
UnixSeconds = Annotated[int, Meta(ge=0, lt=2**33)]

T_OF_PATH: Mapping[str, Activity] = {
    "/v1/publications": "publish",
    "/v1/retractions": "retract",
    "/v1/confirmations": "confirm",
    "/v1/reconciliations": "confirm",
    "/v1/relations": "relation",
    "/v1/relations/closings": "relation",
    "/v1/relations/renewals": "relation",
    "/v1/relations/confirmations": "relation",
    "/v1/lookups": "lookup",
    "/v1/choices": "choice",
    "/v1/choices/assisted": "choice",
    "/v1/codes": "relation",
    "/v1/codes/state": "relation",
    "/v1/objections": "objection",
    "/v1/objections/open": "objection",
    "/v1/objections/answers": "objection",
    "/v1/citizen/flags": "log_view",
    "/v1/citizen/choices": "log_view",
    "/v1/citizen/receipts": "log_view",
    "/v1/citizen/log": "log_view",
    "/v1/citizen/code": "relation",
    "/v1/subscriptions": "subscription",
    "/v1/subscriptions/signals": "subscription",
    "/v1/contacts": "notice",
    "/v1/contacts/open": "notice",
    "/v1/inquiries": "admin",
    "/v1/inquiries/answers": "admin",
    "/v1/oversight/entries": "admin",
    "/v1/oversight/patterns": "admin",
    "/v1/oversight/work": "admin",
    "/v1/oversight/acts": "admin",
    "/v1/oversight/replays": "admin",
    "/v1/oversight/exports": "admin",
    "/v1/enrolments": "key",
}
"""The activity of each signed call; a statement that names another is refused."""


class StatementError(ValueError):
    """Headers that hold no well-formed statement. Says which part, never its content."""


class Statement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The fields under the signature, in the alphabetical order of their canonical form.

    `case` is 16 bytes or empty, `jti` 16 random bytes fresh for each send, `msg` the
    message id that retries keep, `nts` the node's clock in Unix seconds, `body` the
    SHA-256 of the request body as sent, `hub` the log's origin without its year.
    """

    actor: ActorId
    body: Bytes32
    case: CaseId
    hub: Origin
    jti: Bytes16
    msg: MessageId
    node: NodeId
    nts: UnixSeconds
    org: Oin
    purpose: Code
    role: Code
    t: Activity
    team: TeamId
    v: Literal[1]


class Signed(NamedTuple):
    """A statement with the exact bytes it came in and its signature, not yet verified."""

    statement: Statement
    raw: bytes
    signature: bytes


def digest_of(body: bytes) -> str:
    """`body` of a statement about this request body."""
    return b64u(hashlib.sha256(body).digest())


def canonical(statement: Statement) -> bytes:
    """The RFC 8785 bytes of a statement."""
    return msgspec.json.encode(statement)


def make_statement(
    *,
    t: Activity,
    hub: str,
    org: str,
    node: str,
    msg: str,
    jti: bytes,
    nts: int,
    body: bytes,
    actor: str = "",
    role: str = "",
    team: str = "",
    purpose: str = "",
    case: str = "",
) -> Statement:
    """A checked statement about the request body `body` (the bytes as they will be sent).

    Raises:
        StatementError: A field has no allowed form.
    """
    fields: dict[str, object] = {
        "t": t,
        "hub": hub,
        "org": org,
        "node": node,
        "msg": msg,
        "jti": b64u(jti),
        "nts": nts,
        "body": digest_of(body),
        "actor": actor,
        "role": role,
        "team": team,
        "purpose": purpose,
        "case": case,
        "v": 1,
    }
    try:
        return msgspec.convert(fields, Statement)
    except msgspec.ValidationError as error:
        raise StatementError(f"a field of the statement has a wrong form: {place_of(error)}") from None


def sign_statement(
    statement: Statement, key: SigningKey, environment: Environment = "production"
) -> dict[str, str]:
    """The two request headers that carry a statement and its signature.

    What is signed in one environment never verifies in the other, whatever a node was set to call.
    """
    raw = canonical(statement)
    return {
        STATEMENT_HEADER: b64u(raw),
        SIGNATURE_HEADER: b64u(key.sign(_TAGS[environment] + raw).signature),
    }


def parse_statement(headers: Mapping[str, str]) -> Signed:
    """Read both headers; the signature is *not* verified here.

    Args:
        headers: Any mapping; looked up as written and in lower case.

    Raises:
        StatementError: A header is missing, too long, not base64url, or its
            bytes are not the canonical form of a statement.
    """
    try:
        raw = _header(headers, STATEMENT_HEADER, MAX_STATEMENT)
        signature = _header(headers, SIGNATURE_HEADER, 64)
        statement = msgspec.json.decode(raw, type=Statement)
        unb64u(statement.jti, 16)
        unb64u(statement.body, 32)
        if statement.case:
            unb64u(statement.case, 16)
    except EncodingError:
        raise StatementError("not base64url") from None
    except msgspec.ValidationError as error:
        raise StatementError(f"a field of the statement has a wrong form: {place_of(error)}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise StatementError("the statement is not JSON") from None
    if canonical(statement) != raw:
        raise StatementError("the statement is not in its canonical form")
    if len(signature) != 64:
        raise StatementError("the signature has a wrong length")
    return Signed(statement, raw, signature)


def verify_signature(
    signed: Signed, public_keys: Iterable[bytes], environment: Environment | None = None
) -> bool:
    """Whether one of the node's listed keys (32 bytes each) made the signature.

    Args:
        environment: Only a signature of this one counts. None where a log is read back: its
            statements name the hub, and so say themselves where they were meant for.
    """
    tags = list(_TAGS.values()) if environment is None else [_TAGS[environment]]
    return any(_verifies(tag + signed.raw, signed.signature, key) for tag in tags for key in public_keys)


def is_fresh(statement: Statement, now: datetime) -> bool:
    """Whether the node's clock agrees with `now` (UTC) within a minute."""
    return abs(now.timestamp() - statement.nts) <= CLOCK_TOLERANCE_S


def _verifies(message: bytes, signature: bytes, public_key: bytes) -> bool:
    if len(signature) != _SIGNATURE or len(public_key) != _PUBLIC_KEY:
        # The binding reads that many bytes, whatever it is given.
        return False
    try:
        crypto_sign_open(signature + message, public_key)
    except BadSignatureError:
        return False
    return True


def _header(headers: Mapping[str, str], name: str, limit: int) -> bytes:
    text = headers.get(name) or headers.get(name.lower())
    if not text:
        raise StatementError(f"header {name} is missing")
    if len(text) > limit * 4 // 3 + 4:
        raise StatementError(f"header {name} is too long")
    return unb64u(text)
