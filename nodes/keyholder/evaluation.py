"""Answer one evaluation request: check in a fixed order, count, evaluate, prove.

    1 size and shape   2 node and signature   3 time   4 nonce   5 version
    6 key, class, scope, grant   7 elements   8 count, durably   9 evaluate and prove

It stops at the first failure. Counting comes before evaluating: an element
that was not counted is not evaluated. Elements are never logged or stored.

Source: docs/design/pseudonyms.md, "Evaluate".
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from nacl.signing import SigningKey

from index.protocol.codec import EncodingError, b64u, unb64u
from index.protocol.directory import GRANT_CLASSES, Directory, Manifest, NodeEntry, ScopeKey
from index.protocol.evaluate import (
    MAX_ELEMENTS,
    EvaluateAnswer,
    EvaluatedGroup,
    EvaluateRequest,
    Grant,
    TokenRefused,
    issue_holder_receipt,
    request_bytes,
    verify_grant,
)
from index.protocol.http import MALFORMED, BadBody, decode_body
from nodes.oprf import ristretto, threshold, voprf
from nodes.oprf.ristretto import Secret

from .errors import (
    BadElements,
    CannotStart,
    ClockApart,
    GrantRefused,
    NotAllowed,
    NotSigned,
    VersionNotServed,
)
from .store import CounterStore

MAX_CLOCK_DIFFERENCE_S = 60
_SMALL = 12
"""Elements that are computed with at once: about 2 ms, less than a thread costs on a busy machine."""
_OPENING_CLASSES = frozenset({"lookup", "crisis", "citizen"})


@dataclass(frozen=True, slots=True)
class Share:
    """One share and its public key. The share shows nothing of itself."""

    secret: Secret
    public: bytes


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of the right shape, with its bytes decoded: kid and elements per group."""

    request: EvaluateRequest
    groups: list[tuple[str, list[bytes]]]

    @property
    def counts(self) -> dict[str, int]:
        return {kid: len(blinded) for kid, blinded in self.groups}


class Evaluations:
    """The work of one key holder.

    Args:
        shares: Secret share per kid of the manifest in force.
        clock: UTC.
    """

    def __init__(
        self,
        *,
        holder_id: str,
        signing_key: SigningKey,
        manifest: Manifest,
        directory: Directory,
        shares: Mapping[str, Secret],
        store: CounterStore,
        clock: Callable[[], datetime],
    ) -> None:
        self._id = holder_id
        self._signing_key = signing_key
        self._manifest = manifest
        self._directory = directory
        self._store = store
        self._clock = clock
        self._shares = _matched(manifest, holder_id, shares)
        # One writer: replicas wait for each other in the database, threads of one process need not.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="counters")

    def close(self) -> None:
        self._writer.shutdown()
        self._store.close()

    async def answer(self, raw: bytes) -> tuple[EvaluateRequest, EvaluateAnswer]:
        """Check, count, evaluate.

        Args:
            raw: The body, already bounded in size.

        Raises:
            BadBody: Check 1.
            Refusal: The first of checks 2 to 8 that fails.
            StoreUnavailable: Nothing was counted and nothing evaluated.
        """
        loop = asyncio.get_running_loop()
        now = self._clock()
        instant = int(now.timestamp())
        asked = parse(raw)  # 1
        request = asked.request
        node = self._signer(asked)  # 2
        if abs(now.timestamp() - int(request.ts)) > MAX_CLOCK_DIFFERENCE_S:  # 3
            raise ClockApart
        nonce = bytes.fromhex(request.nonce)
        small = sum(asked.counts.values()) <= _SMALL
        if small and self._sound(asked, node):
            # Nothing between 4 and 8 needs the store, and nothing of it refuses: one commit for both.
            claim = partial(self._claim_and_reserve, asked, node.id, nonce, instant)
            await loop.run_in_executor(self._writer, claim)  # 4, 8
            keys = [self._key(kid, node, request.class_) for kid, _ in asked.groups]
        else:
            await loop.run_in_executor(self._writer, self._store.claim_nonce, node.id, nonce, instant)  # 4
            if request.version != self._manifest.version:  # 5
                raise VersionNotServed
            keys = [self._key(kid, node, request.class_) for kid, _ in asked.groups]  # 6
            grant = await self._grant(asked, now)
            if not await asyncio.to_thread(_all_elements, asked):  # 7
                raise BadElements
            await loop.run_in_executor(self._writer, self._reserve, asked, grant, instant)  # 8
        groups = self._evaluate(asked) if small else await asyncio.to_thread(self._evaluate, asked)  # 9
        receipt = issue_holder_receipt(
            self._id,
            self._signing_key,
            node=node.id,
            hub=self._manifest.hub.id,
            class_=request.class_,
            counts=_per_scope(keys, asked),
            nonce=request.nonce,
            now=now,
        )
        return request, EvaluateAnswer(self._id, request.version, groups, receipt)

    def _signer(self, asked: Asked) -> NodeEntry:
        request = asked.request
        node = self._directory.node(request.node)
        message = request_bytes(
            self._id,
            node=request.node,
            version=request.version,
            class_=request.class_,
            ts=request.ts,
            nonce=request.nonce,
            grant=request.grant,
            groups=asked.groups,
            environment=self._manifest.environment,
        )
        try:
            signature = unb64u(request.sig, 64)
        except EncodingError:
            raise NotSigned from None
        if node is None or not node.signed(message, signature):
            raise NotSigned
        return node

    def _key(self, kid: str, node: NodeEntry, class_: str) -> ScopeKey:
        key = self._manifest.key(kid)
        if key is None or kid not in self._shares:
            raise NotAllowed
        # An old key still opens the old log, and persons while closings are carried over.
        old = class_ == "inzage" or (key.carry and class_ in _OPENING_CLASSES)
        if key.state != "active" and not (key.state == "readable" and old):
            raise NotAllowed
        if class_ not in node.classes or key.scope not in node.scopes:
            raise NotAllowed
        return key

    async def _grant(self, asked: Asked, now: datetime) -> Grant | None:
        request = asked.request
        if request.class_ not in GRANT_CLASSES:
            if request.grant:
                raise GrantRefused
            return None
        try:
            grant = verify_grant(request.grant, self._directory, sub=request.node, now=now)
        except TokenRefused:
            raise GrantRefused from None
        loop = asyncio.get_running_loop()
        spent = await loop.run_in_executor(self._writer, self._store.spent, grant)
        if any(spent.get(kid, 0) + count > grant.n.get(kid, 0) for kid, count in asked.counts.items()):
            raise GrantRefused
        return grant

    def _sound(self, asked: Asked, node: NodeEntry) -> bool:
        """Whether checks 5, 6 and 7 pass and no grant is to be counted."""
        request = asked.request
        if request.version != self._manifest.version or request.class_ in GRANT_CLASSES or request.grant:
            return False
        try:
            for kid, _ in asked.groups:
                self._key(kid, node, request.class_)
        except NotAllowed:
            return False
        return _all_elements(asked)

    def _claim_and_reserve(self, asked: Asked, node: str, nonce: bytes, instant: int) -> None:
        request = asked.request
        self._store.claim_and_reserve(
            node=node,
            nonce=nonce,
            class_=request.class_,
            version=request.version,
            counts=asked.counts,
            now=instant,
        )

    def _reserve(self, asked: Asked, grant: Grant | None, instant: int) -> None:
        self._store.reserve(
            node=asked.request.node,
            class_=asked.request.class_,
            version=asked.request.version,
            counts=asked.counts,
            grant=grant,
            now=instant,
        )

    def _evaluate(self, asked: Asked) -> list[EvaluatedGroup]:
        answers = []
        for kid, blinded in asked.groups:
            share = self._shares[kid]
            evaluated = voprf.evaluate(share.secret, blinded)
            proof = voprf.prove(share.secret, share.public, blinded, evaluated)
            answers.append(EvaluatedGroup(kid, [b64u(element) for element in evaluated], b64u(proof)))
        return answers


def parse(raw: bytes) -> Asked:
    """Check 1: shape, canonical base64url, each kid once, at most 1,000 elements in all.

    Raises:
        BadBody: Without any of the input.
    """
    request = decode_body(raw, EvaluateRequest)
    kids = [group.kid for group in request.groups]
    if len(set(kids)) != len(kids):
        raise BadBody(MALFORMED, "A key is named twice.")
    if sum(len(group.blinded) for group in request.groups) > MAX_ELEMENTS:
        raise BadBody(MALFORMED, f"At most {MAX_ELEMENTS} elements in all.")
    try:
        groups = [(group.kid, [unb64u(text, 32) for text in group.blinded]) for group in request.groups]
    except EncodingError:
        raise BadBody(MALFORMED, "An element is not 32 bytes of base64url.") from None
    return Asked(request, groups)


def _all_elements(asked: Asked) -> bool:
    return all(ristretto.is_element(element) for _, blinded in asked.groups for element in blinded)


def _per_scope(keys: list[ScopeKey], asked: Asked) -> dict[str, int]:
    counts: dict[str, int] = {}
    for key, (_, blinded) in zip(keys, asked.groups, strict=True):
        counts[key.scope] = counts.get(key.scope, 0) + len(blinded)
    return counts


def _matched(manifest: Manifest, holder_id: str, shares: Mapping[str, Secret]) -> dict[str, Share]:
    """Each share beside its public key, after checking that they belong together."""
    holder = manifest.holder(holder_id)
    if holder is None:
        raise CannotStart(f"key holder {holder_id} is not in the manifest")
    matched = {}
    for kid, secret in shares.items():
        key = manifest.key(kid)
        if key is None:
            continue
        public = threshold.public_key([unb64u(commit, 32) for commit in key.commits], holder.index)
        if ristretto.multiply_base(secret) != public:
            raise CannotStart(f"the share of {kid} does not belong to this manifest and holder")
        matched[kid] = Share(secret, public)
    return matched
