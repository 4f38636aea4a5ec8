"""RFC 9497, mode VOPRF (0x01), suite ristretto255-SHA512: blind, evaluate, prove, verify.

    node: blind --B--> holder: evaluate, prove --Z, proof--> node: verify, unblind

Each key holder is an unmodified server of this RFC whose key is its share;
`threshold` combines. `Finalize` is here for conformance only: the product
keeps the group element, because it can be moved to a new key.

Source: RFC 9497, sections 2.2, 3.3.2 and 4.1.
"""

import hashlib
import hmac
from collections.abc import Sequence

from . import ristretto
from .ristretto import BadElement, Secret

PROOF_SIZE = 64

_CONTEXT = b"OPRFV1-\x01-ristretto255-SHA512"
_GROUP_DST = b"HashToGroup-" + _CONTEXT
_SCALAR_DST = b"HashToScalar-" + _CONTEXT
_SEED_DST = b"Seed-" + _CONTEXT


class BadProof(Exception):
    """A proof does not show that these evaluations were made under this public key."""


def _lp(value: bytes) -> bytes:
    return len(value).to_bytes(2, "big") + value


def hash_to_group(message: bytes) -> bytes:
    """H(x): the element of an input, before any blind."""
    return ristretto.hash_to_element(message, _GROUP_DST)


def blind(inputs: Sequence[bytes], blinds: Secret) -> list[bytes]:
    """B_i = r_i · H(x_i).

    Args:
        inputs: The x of each element.
        blinds: One fresh scalar per input, used once and erased by the caller.
    """
    if blinds.count != len(inputs):
        raise ValueError("one blind per input")
    return [ristretto.multiply(blinds, hash_to_group(x), place) for place, x in enumerate(inputs)]


def evaluate(share: Secret, blinded: Sequence[bytes]) -> list[bytes]:
    """Z_i = s · B_i.

    Raises:
        BadElement: An element is not canonical, or is the identity.
    """
    # Each multiplication refuses what is not canonical, and the identity: no check is needed before it.
    return [ristretto.multiply(share, element) for element in blinded]


def prove(share: Secret, public: bytes, blinded: Sequence[bytes], evaluated: Sequence[bytes]) -> bytes:
    """One proof (c ‖ s, 64 bytes) for a whole batch, with a fresh nonce."""
    with Secret.random() as nonce:
        return prove_with(nonce, share, public, blinded, evaluated)


def prove_with(
    nonce: Secret, share: Secret, public: bytes, blinded: Sequence[bytes], evaluated: Sequence[bytes]
) -> bytes:
    """`prove` with a given nonce: for known answers. A nonce used twice gives the share away."""
    composite = _composite(public, blinded, evaluated)
    image = ristretto.multiply(share, composite)
    t2 = ristretto.multiply_base(nonce)
    t3 = ristretto.multiply(nonce, composite)
    challenge = _challenge(public, composite, image, t2, t3)
    return challenge + ristretto.response(nonce, challenge, share)


def verify(public: bytes, blinded: Sequence[bytes], evaluated: Sequence[bytes], proof: bytes) -> None:
    """Check a batch proof before anything else is done with the evaluations.

    1. Shapes: as many answers as questions, a proof of 64 bytes, canonical scalars.
    2. Every point is canonical and not the identity.
    3. The challenge comes out again.

    Args:
        public: Y_i, computed from the manifest and never downloaded.

    Raises:
        BadProof: One of these does not hold.
    """
    if not blinded or len(blinded) != len(evaluated) or len(proof) != PROOF_SIZE:  # 1
        raise BadProof("shape")
    challenge, answer = proof[:32], proof[32:]
    if not (ristretto.is_scalar(challenge) and ristretto.is_scalar(answer)):
        raise BadProof("scalar")
    try:
        ristretto.require_elements(
            [public]
        )  # 2: all others are refused by the multiplication they go through
        composite, image = _composites(public, blinded, evaluated)
        t2 = ristretto.add(ristretto.multiply_base(answer), ristretto.multiply(challenge, public))
        t3 = ristretto.add(ristretto.multiply(answer, composite), ristretto.multiply(challenge, image))
    except (BadElement, ristretto.BadScalar):
        raise BadProof("element") from None
    expected = _challenge(public, composite, image, t2, t3)  # 3
    if not hmac.compare_digest(expected, challenge):
        raise BadProof("challenge")


def finalize(message: bytes, unblinded: bytes) -> bytes:
    """The 64-byte output of the RFC, for conformance tests and the start-up check only."""
    return hashlib.sha512(_lp(message) + _lp(unblinded) + b"Finalize").digest()


def _weights(public: bytes, blinded: Sequence[bytes], evaluated: Sequence[bytes]) -> list[bytes]:
    seed = hashlib.sha512(_lp(public) + _lp(_SEED_DST)).digest()
    return [
        ristretto.hash_to_scalar(
            _lp(seed) + place.to_bytes(2, "big") + _lp(c) + _lp(d) + b"Composite", _SCALAR_DST
        )
        for place, (c, d) in enumerate(zip(blinded, evaluated, strict=True))
    ]


def _weighted_sum(weights: Sequence[bytes], elements: Sequence[bytes]) -> bytes:
    total = ristretto.multiply(weights[0], elements[0])
    for weight, element in zip(weights[1:], elements[1:], strict=True):
        total = ristretto.add(total, ristretto.multiply(weight, element))
    return total


def _composite(public: bytes, blinded: Sequence[bytes], evaluated: Sequence[bytes]) -> bytes:
    return _weighted_sum(_weights(public, blinded, evaluated), blinded)


def _composites(public: bytes, blinded: Sequence[bytes], evaluated: Sequence[bytes]) -> tuple[bytes, bytes]:
    weights = _weights(public, blinded, evaluated)
    return _weighted_sum(weights, blinded), _weighted_sum(weights, evaluated)


def _challenge(public: bytes, composite: bytes, image: bytes, t2: bytes, t3: bytes) -> bytes:
    points = b"".join(_lp(point) for point in (public, composite, image, t2, t3))
    return ristretto.hash_to_scalar(points + b"Challenge", _SCALAR_DST)


def check_known_answer() -> None:
    """One vector of the RFC, run at every start: a library that computes wrongly stops the process.

    Raises:
        BadProof: The library gives another answer than RFC 9497, appendix A.1.2.1.
    """
    key, r, nonce = (
        Secret.from_bytes(bytes.fromhex(text))
        for text in (
            "e6f73f344b79b379f1a0dd37e07ff62e38d9f71345ce62ae3a9bc60b04ccd909",
            "64d37aed22a27f5191de1c1d69fadb899d8862b58eb4220029e036ec4c1f6706",
            "222a5e897cf59db8145db8d16e597e8facb80ae7d4e26d9881aa6f61d645fc0e",
        )
    )
    public = ristretto.multiply_base(key)
    blinded = blind([b"\x00"], r)
    evaluated = evaluate(key, blinded)
    proof = prove_with(nonce, key, public, blinded, evaluated)
    with ristretto.secret_inverses(r) as inverse:
        output = finalize(b"\x00", ristretto.multiply(inverse, evaluated[0]))
    expected = (
        "863f330cc1a1259ed5a5998a23acfd37fb4351a793a5b3c090b642ddc439b945"
        "aa8fa048764d5623868679402ff6108d2521884fa138cd7f9c7669a9a014267e"
        "ddef93772692e535d1a53903db24367355cc2cc78de93b3be5a8ffcc6985dd06"
        "6d4346421d17bf5117a2a1ff0fcb2a759f58a539dfbe857a40bce4cf49ec600d"
        "b58cfbe118e0cb94d79b5fd6a6dafb98764dff49c14e1770b566e42402da1a7d"
        "a4d8527693914139caee5bd03903af43a491351d23b430948dd50cde10d32b3c"
    )
    if (blinded[0] + evaluated[0] + proof + output).hex() != expected:
        raise BadProof("known answer")
    verify(public, blinded, evaluated, proof)
