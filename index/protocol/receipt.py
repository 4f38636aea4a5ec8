"""What the hub hands out as proof, and how a node checks it before it shows or forgets anything.

    log receipt      in every answer: this question stands in the log, at this index
    change receipt   after a publication, retraction or confirmation: what became of each item

Source: docs/design/access-log.md, "Receipt in each answer"; docs/design/pseudonyms.md,
"Retraction, lease, reconciliation".
"""

import functools
import hashlib
import hmac
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from nacl.signing import SigningKey

from .codec import EncodingError, b64u, jcs, unb64u
from .entry import Asker, EntryError, handle, leaf_from_parts, parse_asker, part_a, read_handles, statement_of
from .merkle import leaf_hash, verify_inclusion
from .messages import ItemResult, LogReceipt
from .note import (
    Checkpoint,
    Note,
    NoteError,
    NoteKey,
    key_for_origin,
    parse_vkey,
    verified_checkpoint,
    year_of,
)
from .proof import ProofError, parse_proof
from .statement import Signed

CHANGE_TYP = "vlagwijzer-change-receipt+jwt"
LEEWAY_S = 5
_CLAIMS = {"iss", "aud", "iat", "jti", "msg", "body", "t", "results", "counts", "size", "root"}
_PLAIN = re.compile(r"[a-z-]*\Z").match
_SAFE = 2**53 - 1
_CLOCK_STEP_S = (-600, 600)
_OUTCOMES = ("stored", "removed", "absent", "stale", "refused")


class ReceiptError(ValueError):
    """A receipt that does not prove what it should. Says which check failed, never content."""


# --- log receipts ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CheckedEntry:
    """A log receipt after every check: the entry stands in the log as described."""

    year: int
    index: int
    asker: Asker
    checkpoint: Checkpoint
    leaf_hash: bytes
    note: str
    """The signed checkpoint of the proof, as text."""


def pinned_log_key(vkey: str) -> tuple[str, NoteKey]:
    """Origin prefix and key from a node's pin; the pin may name a year, or the log without its year.

    Raises:
        NoteError: Not a vkey.
    """
    key = parse_vkey(vkey)
    try:
        prefix, _ = year_of(key.name)
    except NoteError:
        prefix = key.name
    return prefix, key


def verify_log_receipt(
    receipt: LogReceipt,
    *,
    log_vkey: str,
    sent: Signed | None,
    lids: Sequence[bytes] | None,
    later: bool = False,
) -> CheckedEntry:
    """Check one log receipt against what the node sent and knows.

    1. The proof's checkpoint is of the pinned log, and the log's own key signed it.
    2. The leaf, recomputed from salts and parts, stands at the index.
    3. The asker part is canonical and its time lies in the log's year, give or take ten minutes.
    4. It holds the very statement and signature that were sent.
    5. Its handles are those of the persons' log ids, in order: nobody else's chain got the line.

    Left to the caller: that the answer has one receipt per person, in order.

    Args:
        log_vkey: The pin. Its name may bear any year; the key is the same for each.
        sent: What the node signed for this request; None for a reader who sent nothing.
        lids: Log ids of the scopes asked for this person, in scope order; None only
            where the node no longer knows them (a publication from the outbox).
        later: The line is expected on postponed handles.

    Raises:
        ReceiptError: One check failed: nothing of the answer may be shown.
    """
    try:
        prefix, pin = pinned_log_key(log_vkey)
        proof = parse_proof(receipt.proof)
        origin = proof.checkpoint.origin
        found, year = year_of(origin)
        if found != prefix or proof.index != receipt.index:
            raise ReceiptError("the proof is of another log or index")
        checkpoint = _checked(proof.note, key_for_origin(pin, origin))  # 1
        asker_raw = receipt.asker.encode()
        a = part_a(unb64u(receipt.salt_a, 32), asker_raw)
        leaf = leaf_from_parts(unb64u(receipt.salt, 32), a, unb64u(receipt.part_b, 32))
        if not verify_inclusion(
            leaf_hash(leaf), proof.index, checkpoint.size, proof.hashes, checkpoint.root
        ):  # 2
            raise ReceiptError("the entry does not stand in the log")
        asker = parse_asker(asker_raw)  # 3
        # At the turn of the year a clock may step back behind an entry that began the new log.
        if year not in {datetime.fromtimestamp(asker.ts / 1000 + slack, UTC).year for slack in _CLOCK_STEP_S}:
            raise ReceiptError("the entry stands in the log of another year")
        if sent is not None:
            _same_statement(asker, prefix, sent)  # 4
        if lids is not None:
            check_handles(asker, year, lids, later=later)  # 5
    except (NoteError, ProofError, EntryError, EncodingError, UnicodeError) as error:
        raise ReceiptError(str(error)) from None
    note = receipt.proof.partition("\n\n")[2]
    return CheckedEntry(year, receipt.index, asker, checkpoint, leaf_hash(leaf), note)


def check_handles(asker: Asker, year: int, lids: Sequence[bytes], *, later: bool = False) -> None:
    """Refuse an entry whose handles are not exactly those of `lids`, in order.

    Raises:
        ReceiptError: Another number of handles, or one that was not computed from our log ids.
    """
    found = b"".join(read_handles(asker))
    if not hmac.compare_digest(found, b"".join(handle(year, lid, later) for lid in lids)):
        raise ReceiptError("the entry stands in chains other than the persons asked about")


@functools.lru_cache(maxsize=32)
def _checked(note: Note, key: NoteKey) -> Checkpoint:
    # The receipts of one batch carry one checkpoint: verify its signature once.
    return verified_checkpoint(note, key)


def _same_statement(asker: Asker, hub: str, sent: Signed) -> None:
    same = statement_of(asker, hub) == sent.statement
    if not same or not hmac.compare_digest(unb64u(asker.nodeSig), sent.signature):
        raise ReceiptError("the entry does not hold the statement that was sent")


# --- change receipts ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChangeClaims:
    """A verified change receipt. `counts` per outcome; `size` and `root` of the log that holds it."""

    hub: str
    node: str
    message_id: str
    t: str
    counts: Mapping[str, int]
    issued: datetime
    size: int
    root: bytes


def results_digest(results: Sequence[ItemResult]) -> str:
    """Digest of what became of each item, in the order of the request."""
    if all(0 <= item.seq <= _SAFE and _PLAIN(item.code) for item in results):
        # Plain words and safe integers have one form in JSON, which is the canonical one.
        raw = msgspec.json.encode([(item.seq, item.outcome, item.code) for item in results])
    else:
        raw = jcs([[item.seq, item.outcome, item.code] for item in results])
    return b64u(hashlib.sha256(b"vlagwijzer/results/v1\n" + raw).digest())


def _counts(results: Sequence[ItemResult]) -> dict[str, int]:
    found: Counter[str] = Counter(item.outcome for item in results)
    return {name: found[name] for name in _OUTCOMES}


def issue_change_receipt(
    key: SigningKey,
    *,
    hub_id: str,
    sent: Signed,
    results: Sequence[ItemResult],
    jti: bytes,
    size: int,
    root: bytes,
    now: datetime,
) -> str:
    """A signed receipt of one message; it does not expire, for it is proof and gives no access.

    Args:
        key: The hub's receipt key, used for nothing else.
        jti: 16 random bytes.
        size, root: Of the checkpoint signed with this message's commit.
        now: UTC.
    """
    said = sent.statement
    claims = {
        "iss": hub_id,
        "aud": said.node,
        "iat": int(now.timestamp()),
        "jti": b64u(jti),
        "msg": said.msg,
        "body": said.body,
        "t": said.t,
        "results": results_digest(results),
        "counts": _counts(results),
        "size": size,
        "root": b64u(root),
    }
    private = Ed25519PrivateKey.from_private_bytes(bytes(key))
    return jwt.encode(claims, private, algorithm="EdDSA", headers={"typ": CHANGE_TYP, "kid": hub_id})


def verify_change_receipt(
    token: str,
    *,
    hub_key: bytes,
    hub_id: str,
    node: str,
    message_id: str,
    t: str,
    body_digest: str | None,
    results: Sequence[ItemResult],
    now: datetime,
) -> ChangeClaims:
    """Check a change receipt against the message it should be about.

    1. The header says this algorithm, exactly this `typ`, this hub, and brings no key along.
    2. The signature holds under the pinned key; issuer and audience are exactly right.
    3. Exactly the claims of this kind of receipt, issued not in the future.
    4. The same message, activity, body, and outcome of each item.

    Args:
        hub_key: The hub's pinned receipt key, Ed25519, 32 bytes.
        body_digest: `digest_of` the body that was sent; None where it was not kept.
        results: The results in the answer beside the receipt.

    Raises:
        ReceiptError: One check failed.
    """
    claims = _verified_claims(token, hub_key, hub_id, node)
    issued, root = claims["iat"], claims["root"]
    if set(claims) != _CLAIMS or type(issued) is not int or type(claims["size"]) is not int:  # 3
        raise ReceiptError("a claim is missing, unknown or of a wrong form")
    if issued > now.timestamp() + LEEWAY_S:
        raise ReceiptError("the receipt is from the future")
    if claims["msg"] != message_id or claims["t"] != t:  # 4
        raise ReceiptError("the receipt is about another message")
    if body_digest is not None and claims["body"] != body_digest:
        raise ReceiptError("the receipt is about another body")
    counts = _counts(results)
    if claims["results"] != results_digest(results) or claims["counts"] != counts:
        raise ReceiptError("the receipt speaks of other results")
    try:
        root_bytes = unb64u(root, 32)
        at = datetime.fromtimestamp(issued, UTC)
    except (EncodingError, TypeError, ValueError, OverflowError, OSError):
        raise ReceiptError("a claim is missing, unknown or of a wrong form") from None
    return ChangeClaims(hub_id, node, message_id, t, counts, at, claims["size"], root_bytes)


def _verified_claims(token: str, hub_key: bytes, hub_id: str, node: str) -> dict[str, Any]:
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise ReceiptError("not a receipt") from None
    if header != {"alg": "EdDSA", "typ": CHANGE_TYP, "kid": hub_id}:  # 1
        raise ReceiptError("not a change receipt of this hub")
    try:  # 2
        claims: dict[str, Any] = jwt.decode(
            token,
            Ed25519PublicKey.from_public_bytes(hub_key),
            algorithms=["EdDSA"],
            audience=node,
            issuer=hub_id,
            options={
                "require": sorted(_CLAIMS),
                "strict_aud": True,
                "verify_exp": False,
                "verify_iat": False,
            },
        )
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise ReceiptError("the receipt's signature or claims do not hold") from None
    return claims
