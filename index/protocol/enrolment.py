"""What a new node sends to be let in: who it is, what it asks for, and its public key. Nothing secret.

    key file at the node -> request, signed with that key -> two people at the hub -> the key holders sign

The signature proves that who sends it has the key; that it is the right
organisation, people say who compare the fingerprint by telephone.

Source: docs/operating.md, "A node joins".
"""

import hashlib
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from nacl.signing import SigningKey

from .codec import EncodingError, Environment, b64u, jcs, unb64u
from .directory import EvaluationClass, Identifier, NotTrusted, Oin, Url, signed_by
from .messages import B64, Message, ScopeCode

_TAG = b"vlagwijzer/join/v1\n"
MAX_REQUEST = 16 * 1024


class JoinRequest(Message, frozen=True):
    """A node as it asks to stand in the directory."""

    v: Literal[1]
    environment: Environment
    node: Identifier
    oin: Oin
    url: Url
    ed25519: B64
    classes: Annotated[list[EvaluationClass], Meta(min_length=1, max_length=5)]
    scopes: Annotated[list[ScopeCode], Meta(min_length=1, max_length=6)]
    sig: B64


def make_request(
    key: SigningKey,
    *,
    environment: Environment,
    node: str,
    oin: str,
    url: str,
    classes: list[str],
    scopes: list[str],
) -> bytes:
    """The request file of a node.

    Raises:
        NotTrusted: A value has no allowed form.
    """
    fields: dict[str, Any] = {
        "v": 1, "environment": environment, "node": node, "oin": oin, "url": url,
        "ed25519": b64u(bytes(key.verify_key)), "classes": sorted(set(classes)),
        "scopes": sorted(set(scopes)),
    }  # fmt: skip
    raw = jcs({**fields, "sig": b64u(key.sign(_TAG + jcs(fields)).signature)})
    parse_request(raw)
    return raw


def parse_request(raw: bytes) -> JoinRequest:
    """A request whose sender has the key that it names.

    Raises:
        NotTrusted: A shape or the signature does not hold.
    """
    if len(raw) > MAX_REQUEST:
        raise NotTrusted("not a join request")
    try:
        request = msgspec.json.decode(raw, type=JoinRequest)
        public, signature = unb64u(request.ed25519, 32), unb64u(request.sig, 64)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, EncodingError):
        raise NotTrusted("not a join request") from None
    fields: dict[str, Any] = msgspec.to_builtins(request)
    del fields["sig"]
    if not signed_by(public, _TAG + jcs(fields), signature):
        raise NotTrusted("the request is not signed with the key that it names")
    return request


def fingerprint(ed25519: str) -> str:
    """A public key for two people at a telephone: 8 groups of 4 hexadecimal digits, 128 bits."""
    digest = hashlib.sha256(b"vlagwijzer/fingerprint/v1" + unb64u(ed25519, 32)).hexdigest()[:32]
    return " ".join(digest[at : at + 4] for at in range(0, 32, 4))
