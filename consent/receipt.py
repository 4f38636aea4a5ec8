"""The citizen's proof of a choice, or of a right that was used: a signed receipt that verifies offline.

A JWS (EdDSA) with the terms of ISO/IEC TS 27560. It links the ledgers of the
scopes by their heads, for the citizen alone; the subject in it is a fresh
identifier per receipt. It gives access to nothing and does not expire: what it
proves is that this was written then.

Checked in this order, and all of it before a field is believed:

    1. three parts in the one base64url form they can have, and no name twice in their JSON;
       a header with exactly alg, kid and typ
    2. alg EdDSA and typ consent-receipt+jwt, exactly
    3. the key that `kid` names among the published ones
    4. the signature
    5. the issuer, and that every term is there

Left to the caller: comparing the heads with the ledger, and `privacy_notice` with a text.

The names are those of the standard (clauses 6.3.3 to 6.3.7): `jti` is its receipt
id, `sub` and `pii_principal_id` the fresh identifier. What it has no name for
(`scope`, `seq`, `head`, `effect`, `policy_version`) is ours.

Source: docs/design/consent.md, "Ledger and receipts"; access-log.md, "Tokens".
"""

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from .directive import Directive, Entry, Right, RightEntry
from .resolve import end_of

TYPE = "consent-receipt+jwt"
SCHEMA = "iso-27560/vlagwijzer/2"


class ReceiptInvalid(Exception):
    """Not a receipt that the holder of a published key signed. Says which step failed."""


Effect = Literal["grant", "deny", "slot", "withdraw", "regime", "dispute", "objection", "restriction"]
State = Literal["given", "refused", "withdrawn", "authorised", "asked"]
_STATES: dict[str, State] = {
    "grant": "given",
    "deny": "refused",
    "slot": "refused",
    "withdraw": "withdrawn",
    "regime": "authorised",
}


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One step of a choice. `validity_duration` is an ISO 8601 interval, `..` where it has no end.

    `entity_id` is the capacity of who decided (`zelf`, `ouder`, ...), never an identity;
    `event_type` the sort of consent.
    """

    event_time: str
    event_type: Literal["explicit", "regular"]
    event_state: State
    entity_id: str
    validity_duration: str


class Term(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry: what was decided or asked in one scope, with the head that it made there.

    `events`: what became of it until now, the oldest first; a withdrawal ends with itself.
    """

    scope: str
    seq: int
    head: str
    effect: Effect
    pii_type: list[str]
    recipient_third_parties: list[str]
    purpose: list[str]
    lawful_basis: str
    events: list[Event]
    until: str
    withdraws: str


class Receipt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`iat` is Unix seconds. `record_id` is the group that joins the entries of one choice.

    `privacy_notice` is the SHA-256 (base64url) of the text that was confirmed.
    """

    iss: str
    iat: int
    jti: str
    sub: str
    schema_version: str
    record_id: str
    pii_principal_id: str
    privacy_notice: str
    pii_controllers: list[str]
    withdrawal_method: str
    jurisdiction: str
    policy_version: int
    entries: list[Term]


def issue(
    seed: bytes,
    *,
    kid: str,
    issuer: str,
    controller: str,
    record: bytes,
    subject: bytes,
    at: datetime,
    entries: Sequence[tuple[str, Entry, bytes]],
    earlier: Mapping[tuple[str, bytes], Sequence[Directive]] | None = None,
    withdrawal: str = "portaal",
) -> str:
    """Sign a receipt for the entries of one choice.

    Args:
        seed: The Ed25519 private key of receipts, 32 bytes; used for nothing else.
        record, subject: 16 fresh random bytes each. `subject` is no pseudonym.
        at: UTC; when it was written.
        entries: (scope, choice or right, head of that scope's ledger after it), one or
            more, all of one group.
        earlier: By scope and group what a withdrawal among the entries ends, for its history.
        withdrawal: How the choice can be ended.

    Raises:
        ValueError: No entry, or entries of different groups.
    """
    if not entries or len({entry.group for _, entry, _ in entries}) != 1:
        raise ValueError("a receipt is for the entries of one choice")
    _, first, _ = entries[0]
    receipt = Receipt(
        iss=issuer,
        iat=int(at.timestamp()),
        jti=_text(record),
        sub=_text(subject),
        schema_version=SCHEMA,
        record_id=_text(first.group),
        pii_principal_id=_text(subject),
        privacy_notice=_text(first.text),
        pii_controllers=[controller],
        withdrawal_method=withdrawal,
        jurisdiction="NL",
        policy_version=first.policy,
        entries=[
            _term(scope, entry, head, (earlier or {}).get((scope, _ended_by(entry)), ()))
            for scope, entry, head in entries
        ],
    )
    return jwt.encode(
        msgspec.to_builtins(receipt),
        Ed25519PrivateKey.from_private_bytes(seed),
        algorithm="EdDSA",
        headers={"typ": TYPE, "kid": kid},
    )


def verify(token: str, *, keys: Mapping[str, bytes], issuer: str) -> Receipt:
    """The receipt, when it was signed with a published key of this issuer.

    Args:
        keys: Ed25519 public keys (32 bytes) of receipts by `kid`, from the
            verified directory or the hub's pinned settings.

    Raises:
        ReceiptInvalid: Any step of the module's list failed.
    """
    # 1, 2
    header, payload, _ = _parts(token)
    kid = _kid_of(header)
    # 3
    public = keys.get(kid)
    if public is None:
        raise ReceiptInvalid("signed with a key that is not published")
    # 4, 5
    _strict(payload, "the signature does not fit")
    try:
        claims = jwt.decode(
            token,
            Ed25519PublicKey.from_public_bytes(public),
            algorithms=["EdDSA"],
            issuer=issuer,
            options={"require": ["iss", "iat", "jti", "sub"], "verify_aud": False, "verify_iat": False},
        )
        receipt = msgspec.convert(claims, Receipt)
    except jwt.InvalidIssuerError:
        raise ReceiptInvalid("issued by another hub") from None
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        raise ReceiptInvalid("the signature does not fit") from None
    except msgspec.ValidationError:
        raise ReceiptInvalid("a term is missing or unknown") from None
    if receipt.schema_version != SCHEMA or not receipt.entries:
        raise ReceiptInvalid("a term is missing or unknown")
    return receipt


def verify_any(token: str, keys: Mapping[str, bytes]) -> Receipt:
    """As `verify`, for keys by the hub that signs with them: a hub's key is good for its own receipts only.

    Raises:
        ReceiptInvalid: No hub among these signed it.
    """
    return verify(token, keys=keys, issuer=_kid_of(_parts(token)[0]))


def _parts(token: str) -> list[bytes]:
    """The three parts, each in the only encoding of its bytes: another text for the same is no receipt."""
    try:
        texts = token.split(".")
        parts = [base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) for text in texts]
    except ValueError:
        raise ReceiptInvalid("not a signed receipt") from None
    if len(parts) != 3 or [_text(part) for part in parts] != texts:
        raise ReceiptInvalid("not a signed receipt")
    return parts


def _strict(raw: bytes, otherwise: str) -> Any:
    """JSON in which no name stands twice: of two values each reader may take another."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a name twice")
        return found

    try:
        return json.loads(raw, object_pairs_hook=once)
    except (ValueError, RecursionError):
        raise ReceiptInvalid(otherwise) from None


def _kid_of(raw: bytes) -> str:
    header = _strict(raw, "not a signed receipt")
    if not isinstance(header, dict) or set(header) != {"alg", "kid", "typ"}:
        raise ReceiptInvalid("the header has other fields")
    if header["alg"] != "EdDSA" or header["typ"] != TYPE or not isinstance(header["kid"], str):
        raise ReceiptInvalid("not a consent receipt")
    return header["kid"]


_ARTICLES: dict[Right, str] = {
    "dispute": "avg-art-16",
    "objection": "avg-art-21",
    "restriction": "avg-art-18",
}


def _ended_by(entry: Entry) -> bytes:
    return entry.ends if isinstance(entry, RightEntry) else entry.withdraws


def _term(scope: str, entry: Entry, head: bytes, earlier: Sequence[Directive]) -> Term:
    if isinstance(entry, RightEntry):
        return _right_term(scope, entry, head)
    return _choice_term(scope, entry, head, earlier)


def _right_term(scope: str, entry: RightEntry, head: bytes) -> Term:
    """A right has no consent behind it: its basis is the article, its recipient who must answer."""
    ended = entry.step == "ended"
    start, end = _moment(entry.from_), _moment(entry.until) if entry.until else ""
    event = Event(start, "regular", "withdrawn" if ended else "asked", entry.by, f"{start}/{end or '..'}")
    return Term(
        scope=scope,
        seq=entry.number,
        head=_text(head),
        effect="withdraw" if ended else entry.right,
        pii_type=[scope, entry.kind],
        recipient_third_parties=[f"node-{entry.publisher}"] if entry.publisher else [],
        purpose=[],
        lawful_basis=_ARTICLES[entry.right],
        events=[event],
        until=end,
        withdraws=_text(entry.ends),
    )


def _choice_term(scope: str, directive: Directive, head: bytes, earlier: Sequence[Directive]) -> Term:
    end = end_of(directive)
    # A withdrawal is about what it ends: that says category, recipient and purpose.
    about = earlier[0] if directive.effect == "withdraw" and earlier else directive
    return Term(
        scope=scope,
        seq=directive.number,
        head=_text(head),
        effect=directive.effect,
        pii_type=list(about.category),
        recipient_third_parties=list(about.receiver),
        purpose=list(about.purpose),
        lawful_basis="toestemming",
        events=[_event(step) for step in (*earlier, directive)],
        until=_moment(end) if end else "",
        withdraws=_text(directive.withdraws),
    )


def _event(directive: Directive) -> Event:
    end = end_of(directive)
    start = _moment(directive.from_)
    return Event(
        event_time=start,
        event_type="explicit" if directive.explicit else "regular",
        event_state=_STATES[directive.effect],
        entity_id=directive.by,
        validity_duration=f"{start}/{_moment(end) if end else '..'}",
    )


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def claims_of(receipt: Receipt) -> dict[str, Any]:
    """The receipt as plain JSON values, for showing and for export."""
    plain: dict[str, Any] = msgspec.to_builtins(receipt)
    return plain


def shows(receipt: Receipt, text: str) -> bool:
    """Whether this is the text that was confirmed."""
    return receipt.privacy_notice == _text(sha256(text.encode()).digest())
