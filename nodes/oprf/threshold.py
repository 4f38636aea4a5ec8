"""t of n: public keys out of commitments, and the combination of evaluations.

    Y_i = Σ_j i^j · A_j            computed, never downloaded
    N   = r^-1 · Σ_i λ_i · Z_i     over exactly the holders that answered

The result is byte for byte that of the RFC under the unshared key. Indices
and λ are public and may be Python integers; secret scalars never are.

Source: docs/design/pseudonyms.md, "Values and encodings".
"""

from collections.abc import Iterable, Mapping, Sequence

from . import ristretto
from .ristretto import ORDER, BadElement, Secret, public_scalar


class BadIndex(Exception):
    """Holder index 0, or the same holder twice: such a set would combine to a wrong key."""


def lagrange(indices: Iterable[int]) -> dict[int, bytes]:
    """λ_i = Π_{j≠i} j / (j - i) over the set that is used.

    Raises:
        BadIndex: An index of 0 or below, a duplicate, or no index at all.
    """
    used = list(indices)
    if not used or min(used) < 1 or len(set(used)) != len(used):
        raise BadIndex("indices are 1 or more, each once")
    result = {}
    for i in used:
        numerator = denominator = 1
        for j in used:
            if j != i:
                numerator = numerator * j % ORDER
                denominator = denominator * (j - i) % ORDER
        result[i] = public_scalar(numerator * pow(denominator, -1, ORDER))
    return result


def public_key(commits: Sequence[bytes], index: int) -> bytes:
    """Y_i out of the commitments A_0..A_{t-1} of the manifest.

    Raises:
        BadIndex: Index 0 or below: that would be the whole key.
        BadElement: A commitment is not canonical, or is the identity.
    """
    if index < 1:
        raise BadIndex("indices are 1 or more")
    ristretto.require_elements(commits)
    total = commits[-1]
    for commit in reversed(commits[:-1]):  # Horner
        total = ristretto.add(ristretto.multiply(public_scalar(index), total), commit)
    ristretto.require_elements([total])
    return total


def combine(evaluations: Mapping[int, Sequence[bytes]], blinds: Secret) -> list[bytes]:
    """N of each element, out of **verified** evaluations of t holders.

    Args:
        evaluations: Per holder index its Z, all in the order of the blinds.
        blinds: The r of each element; the caller erases them.

    Raises:
        BadIndex: See `lagrange`.
        BadElement: A sum is the identity.
        ValueError: A holder gave another number of answers.
    """
    if any(len(answers) != blinds.count for answers in evaluations.values()):
        raise ValueError("one answer per blind")
    totals: list[bytes] = []
    with ristretto.secret_inverses(blinds) as inverses:
        for index, weight in lagrange(evaluations).items():
            # λ_i and r^-1 in one scalar: one multiplication per answer in place of two.
            with ristretto.secret_products(inverses, weight) as factors:
                terms = [
                    ristretto.multiply(factors, element, place)
                    for place, element in enumerate(evaluations[index])
                ]
            totals = [ristretto.add(a, b) for a, b in zip(totals, terms, strict=True)] if totals else terms
    if ristretto.IDENTITY in totals:  # sums are canonical, and only one of them can be refused
        raise BadElement("the identity")
    return totals
