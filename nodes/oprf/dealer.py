"""A dealer: one process that makes the keys of all scopes and hands out the shares.

For the demo and for tests. The dealer knows every key while it runs, so its
keys carry `origin` `dealer`, and every screen that speaks of trust says so.
In production the holders make the keys together and nobody knows one.

Source: docs/design/pseudonyms.md, "Ceremony, refresh, reshare, recovery".
"""

from collections.abc import Sequence
from dataclasses import dataclass

from index.protocol.codec import SCOPES, b64u
from index.protocol.directory import Canary, ScopeKey, canary_input

from . import ristretto, threshold, voprf
from .ristretto import Secret


@dataclass(frozen=True, slots=True)
class Dealing:
    """`keys` go into the manifest; `shares[index][kid]` to that holder, and then out of memory."""

    keys: list[ScopeKey]
    shares: dict[int, dict[str, Secret]]

    def erase(self) -> None:
        """Wipe all shares; call it once they lie in the holders' key files."""
        for held in self.shares.values():
            for share in held.values():
                share.erase()


def deal(scopes: Sequence[str] = SCOPES, *, t: int = 2, n: int = 3, number: int = 1) -> Dealing:
    """New keys, one per scope.

    Args:
        t: Holders needed.
        n: Holders in all, with indices 1..n.
        number: Decimal of the kid: 1 makes `geld.e1`.
    """
    if not 1 <= t <= n <= 255:
        raise ValueError("1 ≤ t ≤ n ≤ 255")
    keys: list[ScopeKey] = []
    shares: dict[int, dict[str, Secret]] = {index: {} for index in range(1, n + 1)}
    for scope in scopes:
        kid = f"{scope}.e{number}"
        coefficients = [Secret.random() for _ in range(t)]
        commits = [ristretto.multiply_base(coefficient) for coefficient in coefficients]
        for index, held in shares.items():
            held[kid] = share_of(coefficients, index)
            if ristretto.multiply_base(held[kid]) != threshold.public_key(commits, index):
                raise RuntimeError("a share does not match its commitments")
        canary = canary_input(kid)
        answer = ristretto.multiply(coefficients[0], voprf.hash_to_group(canary))
        keys.append(
            ScopeKey(
                kid=kid,
                scope=scope,  # type: ignore[arg-type]
                state="active",
                carry=False,
                t=t,
                n=n,
                commits=[b64u(commit) for commit in commits],
                canary=Canary(b64u(canary), b64u(answer)),
                origin="dealer",
            )
        )
        for coefficient in coefficients:
            coefficient.erase()
    return Dealing(keys, shares)


def share_of(coefficients: Sequence[Secret], index: int) -> Secret:
    """f(index) for the polynomial with these coefficients; in libsodium throughout (Horner)."""
    if index < 1:
        raise threshold.BadIndex("indices are 1 or more")
    factor = ristretto.public_scalar(index)
    with Secret() as zero:
        total = ristretto.secret_sum(zero, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        with total, ristretto.secret_products(total, factor) as product:
            following = ristretto.secret_sum(product, coefficient)
        total = following
    return total
