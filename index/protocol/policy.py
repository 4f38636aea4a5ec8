"""What the hub decides under, for who wants to compute the same: version in force and registers.

    GET /v1/policy -> number, hash, texts, registers -> two signatures -> build it, compare the hash

Nothing of it is about a person. The texts make the version, and only the
version whose hash was signed counts; the registers (profile, convenants and
mandates per organisation) are signed with the number of the last act, which
only rises, so an older answer is noticed.

Source: docs/design/policy-and-consent.md, "Versions" and "Effect preview".
"""

from collections.abc import Sequence

import msgspec
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from .codec import EncodingError, jcs, unb64u
from .messages import Message

_VERSION = b"vlagwijzer/policy-version/v1\n"
_REGISTERS = b"vlagwijzer/policy-registers/v1\n"
FOREVER = 253_402_300_799
"""The end of what has none: the last second of the year 9999."""


class PolicyNotSigned(ValueError):
    """An answer that does not carry the hub's signatures, or is older than one seen before."""


class ConvenantInForce(Message, frozen=True):
    """Kinds that partners may see for these purposes. Unix seconds; `end` itself no longer counts."""

    kinds: list[str]
    purposes: list[str]
    begin: int
    end: int


class MandateInForce(Message, frozen=True):
    """An act that an organisation carries out by decision; times as in a convenant."""

    act: str
    decision: str
    begin: int
    end: int


class FormerTeam(Message, frozen=True):
    """A team whose people asked under another name before a merger: nothing opens by the new one alone.

    `since` (Unix seconds): from when on they ask as `team`; 0 as long as the key holders have not signed it.
    """

    team: str
    former_organisation: str
    former_team: str
    since: int


class OrganisationRules(Message, frozen=True):
    """What is registered for one organisation. One that is not listed has the profile `basis` and no more."""

    organisation: str
    profile: str
    convenants: tuple[ConvenantInForce, ...] = ()
    mandates: tuple[MandateInForce, ...] = ()
    formers: tuple[FormerTeam, ...] = ()


class PolicyAnswer(Message, frozen=True):
    """Answer of GET /v1/policy. `content`: the texts by file name; `acts`: number of the last act.

    `rules` holds the permits that are made from the vocabulary, when the answering process has them.
    """

    number: int
    hash: str
    signature: str
    content: dict[str, str]
    rules: list[str]
    acts: int
    organisations: list[OrganisationRules]
    registers_signature: str


def version_statement(hub: str, number: int, digest: bytes) -> bytes:
    """What the hub's signature of a version is over."""
    return _VERSION + jcs({"hub": hub, "number": number, "hash": digest.hex()})


def registers_statement(
    hub: str, number: int, acts: int, organisations: Sequence[OrganisationRules]
) -> bytes:
    """What the hub's signature of the registers is over."""
    listed = msgspec.to_builtins(list(organisations))
    return _REGISTERS + jcs({"hub": hub, "number": number, "acts": acts, "organisations": listed})


def check_policy(raw: bytes, *, hub: str, public: bytes, not_before: int = 0) -> PolicyAnswer:
    """The answer when both signatures hold. The caller compares `hash` with what the texts make.

    Args:
        public: The hub's pinned Ed25519 key, 32 bytes; the key of its log.
        not_before: The highest `acts` seen so far.

    Raises:
        PolicyNotSigned: Another form, a signature that does not hold, or older than `not_before`.
    """
    try:
        answer = msgspec.json.decode(raw, type=PolicyAnswer)
        key = VerifyKey(public)
        said = version_statement(hub, answer.number, bytes.fromhex(answer.hash))
        key.verify(said, unb64u(answer.signature, 64))
        said = registers_statement(hub, answer.number, answer.acts, answer.organisations)
        key.verify(said, unb64u(answer.registers_signature, 64))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise PolicyNotSigned("the policy has another form") from None
    except (BadSignatureError, EncodingError, ValueError):
        raise PolicyNotSigned("the policy is not what the hub signed") from None
    if answer.acts < not_before:
        raise PolicyNotSigned("the policy is older than the one in use")
    return answer
