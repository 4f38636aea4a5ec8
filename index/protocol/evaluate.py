"""What a node asks of a key holder, and the two tokens that go with it.

    node --EvaluateRequest (signed, grant of a broker)--> key holder
    node <--EvaluateAnswer (proof per group, receipt)---- key holder
    node --receipts of t holders--> hub

A receipt tells the hub how many evaluations a holder counted for a node, per
scope; a grant tells a holder that somebody logged in. Neither knows a person.

PyJWT checks no `typ`, no long lifetimes and no other clock than its own, so
the steps of `_verified` do.

Source: docs/design/pseudonyms.md, "Evaluate" and "Receipts, points, tickets,
quotas"; docs/design/access-log.md, "Security", tokens.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Meta
from nacl.signing import SigningKey

from .codec import SCOPES, EncodingError, Environment, lp, u16, u32, unb64u
from .directory import CLASSES, Directory, EvaluationClass, Identifier, Kid, Manifest, Number
from .messages import B64, Message

MAX_ELEMENTS = 1000
MAX_GROUPS = 64
MAX_REQUEST_BYTES = 64 * 1024
RECEIPT_LIFE_S = 120
GRANT_LIFE_S = 900
LEEWAY_S = 5
GRANT_AUDIENCE = "keyholders"

_RECEIPT_TYP = "vlagwijzer-receipt+jwt"
_GRANT_TYP = "vlagwijzer-grant+jwt"

Element = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{43}$")]
"""Thirty-two bytes in base64url."""


class Group(Message, frozen=True):
    """Blinded elements for one key."""

    kid: Kid
    blinded: Annotated[list[Element], Meta(min_length=1, max_length=MAX_ELEMENTS)]


class EvaluateRequest(Message, frozen=True):
    """Body of `POST /v1/evaluate`. `sig` covers `request_bytes` for one holder only."""

    node: Identifier
    version: Number
    class_: EvaluationClass = msgspec.field(name="class")
    ts: Annotated[str, Meta(pattern=r"^[1-9]\d{9,11}$")]
    nonce: Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$")]
    grant: Annotated[str, Meta(max_length=4096)]
    groups: Annotated[list[Group], Meta(min_length=1, max_length=MAX_GROUPS)]
    sig: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{86}$")]


class EvaluatedGroup(Message, frozen=True):
    """Evaluations in the order of the blinded elements, and one batch proof (64 bytes)."""

    kid: Kid
    evaluated: Annotated[list[Element], Meta(min_length=1, max_length=MAX_ELEMENTS)]
    proof: B64


class EvaluateAnswer(Message, frozen=True):
    """Answer of one holder: groups in the order asked."""

    holder: Identifier
    version: Number
    groups: Annotated[list[EvaluatedGroup], Meta(max_length=MAX_GROUPS)]
    receipt: Annotated[str, Meta(max_length=4096)]


def request_bytes(
    holder: str,
    *,
    node: str,
    version: int,
    class_: str,
    ts: str,
    nonce: str,
    grant: str,
    groups: Iterable[tuple[str, Sequence[bytes]]],
    environment: Environment = "production",
) -> bytes:
    """The bytes that a node signs for one holder: another holder cannot use them.

    Args:
        holder: Id of the holder that is asked.
        ts: Unix seconds as decimal text.
        groups: Kid and blinded elements (32 bytes each), in the order sent.
        environment: What is signed in one does not verify in the other.
    """
    listed = list(groups)
    tag = b"vlagwijzer/evaluate/v1" if environment == "production" else b"vlagwijzer/evaluate/v1/test"
    message = tag + lp(holder) + lp(node) + u32(version) + lp(class_)
    message += lp(ts) + lp(nonce) + lp(grant) + u16(len(listed))
    for kid, blinded in listed:
        message += lp(kid) + u16(len(blinded)) + hashlib.sha256(b"".join(blinded)).digest()
    return message


class TokenRefused(Exception):
    """A receipt or grant that does not count. `code` is stable; the token is never shown."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class HolderReceipt:
    """A holder's word on how many elements it evaluated: `n` per scope. Spend it once, as (iss, jti)."""

    iss: str
    sub: str
    cls: EvaluationClass
    n: Mapping[str, int]
    jti: str
    exp: int


@dataclass(frozen=True, slots=True)
class Grant:
    """A broker's word that somebody logged in: `n` evaluations per kid, spent in units under (iss, jti)."""

    iss: str
    sub: str
    n: Mapping[str, int]
    jti: str
    exp: int


def issue_holder_receipt(
    holder: str,
    key: SigningKey,
    *,
    node: str,
    hub: str,
    class_: str,
    counts: Mapping[str, int],
    nonce: str,
    now: datetime,
) -> str:
    """A receipt of one evaluation.

    Args:
        hub: Hub id, the only audience.
        counts: Elements evaluated per scope.
        nonce: That of the request; becomes `jti`.
        now: UTC.
    """
    issued = int(now.timestamp())
    claims = {"iss": holder, "sub": node, "aud": hub, "cls": class_, "n": dict(counts), "jti": nonce}
    return _token(_RECEIPT_TYP, holder, key, {**claims, "iat": issued, "exp": issued + RECEIPT_LIFE_S})


def issue_grant(
    broker: str, key: SigningKey, *, node: str, counts: Mapping[str, int], jti: str, now: datetime
) -> str:
    """A grant of a login broker for one session: no person in it.

    Args:
        counts: Evaluations per kid.
        jti: 16 random bytes in lower-case hex.
        now: UTC.
    """
    issued = int(now.timestamp())
    claims = {"iss": broker, "sub": node, "aud": GRANT_AUDIENCE, "n": dict(counts), "jti": jti}
    return _token(_GRANT_TYP, broker, key, {**claims, "iat": issued, "exp": issued + GRANT_LIFE_S})


def _token(typ: str, kid: str, key: SigningKey, claims: Mapping[str, Any]) -> str:
    private = Ed25519PrivateKey.from_private_bytes(bytes(key))
    return jwt.encode(dict(claims), private, algorithm="EdDSA", headers={"typ": typ, "kid": kid})


def verify_holder_receipt(
    token: str, manifest: Manifest, *, aud: str, sub: str, now: datetime
) -> HolderReceipt:
    """A receipt of one of the manifest's holders for this hub and this node.

    Args:
        manifest: The version in use at the hub.
        aud: The hub's own id.
        sub: The node that signed the request.
        now: UTC.

    Raises:
        TokenRefused: With the code of the first thing that does not hold.
    """
    keys = {holder.id: holder.ed25519 for holder in manifest.holders}
    claims = _verified(token, _RECEIPT_TYP, keys, aud=aud, sub=sub, life=RECEIPT_LIFE_S, now=now)
    if claims.get("cls") not in CLASSES or set(claims) != {*_CLAIMS, "cls"}:
        raise TokenRefused("class")
    counts = _counts(claims["n"])
    if not set(counts) <= set(SCOPES):
        raise TokenRefused("count")
    return HolderReceipt(claims["iss"], sub, claims["cls"], counts, claims["jti"], claims["exp"])


def verify_receipts(
    tokens: Sequence[str],
    manifest: Manifest,
    *,
    aud: str,
    sub: str,
    class_: str,
    needed: Mapping[str, int],
    now: datetime,
) -> list[HolderReceipt]:
    """Receipts that together pay for one request at the hub.

    What is left to the caller: spending each (iss, jti) in the transaction
    that records the request.

    Args:
        needed: Elements asked per scope; each receipt must cover them all.

    Raises:
        TokenRefused: One does not hold, is of another class, covers too
            little, comes from a holder twice, or there are fewer than t.
    """
    receipts = [verify_holder_receipt(token, manifest, aud=aud, sub=sub, now=now) for token in tokens]
    holders = {receipt.iss for receipt in receipts}
    if len(holders) != len(receipts):
        raise TokenRefused("holder-twice")
    if any(receipt.cls != class_ for receipt in receipts):
        raise TokenRefused("class")
    for scope, count in needed.items():
        key = manifest.scope_key(scope)
        if key is None:
            raise TokenRefused("scope")
        if len(receipts) < key.t:
            raise TokenRefused("too-few-holders")
        if any(receipt.n.get(scope, 0) < count for receipt in receipts):
            raise TokenRefused("count")
    return receipts


def verify_grant(token: str, directory: Directory, *, sub: str, now: datetime) -> Grant:
    """A grant of one of the directory's brokers for this node; its units are the caller's to spend.

    Raises:
        TokenRefused: With the code of the first thing that does not hold.
    """
    keys = {broker.id: broker.ed25519 for broker in directory.brokers}
    claims = _verified(token, _GRANT_TYP, keys, aud=GRANT_AUDIENCE, sub=sub, life=GRANT_LIFE_S, now=now)
    if set(claims) != _CLAIMS:
        raise TokenRefused("claims")
    return Grant(claims["iss"], sub, _counts(claims["n"]), claims["jti"], claims["exp"])


_CLAIMS = {"iss", "sub", "aud", "n", "jti", "iat", "exp"}


def _verified(
    token: str, typ: str, keys: Mapping[str, str], *, aud: str, sub: str, life: int, now: datetime
) -> dict[str, Any]:
    """Check a token of ours.

    1. The header says this algorithm, exactly this `typ`, a known signer, and brings no key along.
    2. The signature holds under that signer's pinned key, and `iss` is that signer.
    3. All claims are there; audience and subject are exactly ours.
    4. It lives now, and no longer than its kind may.
    5. `jti` has 128 bits.
    """
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise TokenRefused("form") from None
    signer = header.get("kid")  # 1
    if (
        not isinstance(signer, str)
        or header != {"alg": "EdDSA", "typ": typ, "kid": signer}
        or signer not in keys
    ):
        raise TokenRefused("header")
    try:  # 2, 3
        claims: dict[str, Any] = jwt.decode(
            token,
            Ed25519PublicKey.from_public_bytes(unb64u(keys[signer], 32)),
            algorithms=["EdDSA"],
            audience=aud,
            issuer=signer,
            subject=sub,
            options={
                "require": sorted(_CLAIMS),
                "strict_aud": True,
                "verify_exp": False,
                "verify_iat": False,
            },
        )
    except (jwt.PyJWTError, EncodingError, ValueError, RecursionError):
        raise TokenRefused("signature-or-claims") from None
    issued, expires, instant = claims["iat"], claims["exp"], now.timestamp()
    if type(issued) is not int or type(expires) is not int or not 0 < expires - issued <= life:  # 4
        raise TokenRefused("lifetime")
    if issued > instant + LEEWAY_S or expires <= instant - LEEWAY_S:
        raise TokenRefused("expired")
    if not isinstance(claims["jti"], str) or not re.fullmatch(r"[0-9a-f]{32}", claims["jti"]):  # 5
        raise TokenRefused("jti")
    return claims


def _counts(value: object) -> dict[str, int]:
    if not isinstance(value, dict) or not value:
        raise TokenRefused("count")
    if any(type(count) is not int or not 1 <= count <= 1_000_000 for count in value.values()):
        raise TokenRefused("count")
    return value
