"""The citizen's proof of a choice, or of a right that was used: a signed receipt that verifies offline.

A JWS (EdDSA) with the terms of ISO/IEC TS 27560. It links the ledgers of the
scopes by their heads, for the citizen alone; the subject in it is a fresh
identifier per receipt. It gives access to nothing and does not expire: what it
proves is that this was written then.

Checked in this order, and all of it before a field is believed:

    1. three parts; a header with exactly alg, kid and typ
    2. alg EdDSA and typ consent-receipt+jwt, exactly
    3. the key that `kid` names among the published ones
    4. the signature
    5. the issuer, and that every term is there

Left to the caller: comparing the heads with the ledger.

Source: docs/design/consent.md, "Ledger and receipts"; access-log.md, "Tokens".
"""

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from .directive import Directive, Entry, Right, RightEntry
from .resolve import end_of

TYPE = "consent-receipt+jwt"
SCHEMA = "iso-27560/vlagwijzer/1"


class ReceiptInvalid(Exception):
    """Not a receipt that the holder of a published key signed. Says which step failed."""


class Term(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """One entry: what was decided or asked in one scope, with the head that it made there."""

    scope: str
    seq: int
    head: str
    event: Literal["grant", "deny", "slot", "withdraw", "regime", "dispute", "objection", "restriction"]
    category: list[str]
    recipients: list[str]
    purpose: list[str]
    legal_basis: str
    from_: str = msgspec.field(name="from")
    until: str
    explicit: bool
    withdraws: str


class Receipt(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """`iat` is Unix seconds; `jti` the record id; `group` joins the entries of one choice."""

    iss: str
    iat: int
    jti: str
    sub: str
    schema_version: str
    controller: str
    group: str
    text_hash: str
    policy_version: int
    withdrawal_method: str
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
    withdrawal: str = "portaal",
) -> str:
    """Sign a receipt for the entries of one choice.

    Args:
        seed: The Ed25519 private key of receipts, 32 bytes; used for nothing else.
        record, subject: 16 fresh random bytes each. `subject` is no pseudonym.
        at: UTC; when it was written.
        entries: (scope, choice or right, head of that scope's ledger after it), one or
            more, all of one group.
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
        controller=controller,
        group=_text(first.group),
        text_hash=_text(first.text),
        policy_version=first.policy,
        withdrawal_method=withdrawal,
        entries=[_term(scope, entry, head) for scope, entry, head in entries],
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
    kid = _kid_of(token)
    # 3
    public = keys.get(kid)
    if public is None:
        raise ReceiptInvalid("signed with a key that is not published")
    # 4, 5
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


def _kid_of(token: str) -> str:
    parts = token.split(".")
    if len(parts) != 3:
        raise ReceiptInvalid("not a signed receipt")
    try:
        header = json.loads(base64.urlsafe_b64decode(parts[0] + "=" * (-len(parts[0]) % 4)))
    except (ValueError, RecursionError):
        raise ReceiptInvalid("not a signed receipt") from None
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


def _term(scope: str, entry: Entry, head: bytes) -> Term:
    if isinstance(entry, RightEntry):
        return _right_term(scope, entry, head)
    return _choice_term(scope, entry, head)


def _right_term(scope: str, entry: RightEntry, head: bytes) -> Term:
    """A right has no consent behind it: its basis is the article, its recipient who must answer."""
    return Term(
        scope=scope,
        seq=entry.number,
        head=_text(head),
        event="withdraw" if entry.step == "ended" else entry.right,
        category=[scope, entry.kind],
        recipients=[f"node-{entry.publisher}"] if entry.publisher else [],
        purpose=[],
        legal_basis=_ARTICLES[entry.right],
        from_=_moment(entry.from_),
        until=_moment(entry.until) if entry.until else "",
        explicit=False,
        withdraws=_text(entry.ends),
    )


def _choice_term(scope: str, directive: Directive, head: bytes) -> Term:
    end = end_of(directive)
    return Term(
        scope=scope,
        seq=directive.number,
        head=_text(head),
        event=directive.effect,
        category=list(directive.category),
        recipients=list(directive.receiver),
        purpose=list(directive.purpose),
        legal_basis="toestemming",
        from_=_moment(directive.from_),
        until=_moment(end) if end else "",
        explicit=directive.explicit,
        withdraws=_text(directive.withdraws),
    )


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def claims_of(receipt: Receipt) -> dict[str, Any]:
    """The receipt as plain JSON values, for showing and for export."""
    plain: dict[str, Any] = msgspec.to_builtins(receipt)
    return plain
