"""From a BSN to its pseudonyms. The BSN ends here.

    blind -> ask t key holders at once -> verify every proof -> combine -> unblind

Verifying each proof against one pinned version of the manifest is a privacy
requirement: an unverified result that reached the hub would let the hub and
one dishonest key holder find the BSN. So a failure drops the *whole* result,
names the holder, raises an alarm, and starts again with fresh blinds and
another holder. A blind is used once, never leaves the call, and is erased.

Nothing here logs, stores or returns a BSN, an element or a blind.

Source: docs/design/pseudonyms.md, "Why proofs and version pinning are privacy
requirements".
"""

import asyncio
import random
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, ParamSpec, TypeVar

import httpx
import msgspec
import structlog
from nacl.signing import SigningKey

from consent.pseudonym import Pseudonym
from index.protocol.codec import EncodingError, b64u, lp, unb64u
from index.protocol.directory import (
    CLASSES,
    GRANT_CLASSES,
    Adopted,
    HolderEntry,
    Manifest,
    NotTrusted,
    ScopeKey,
    parse_manifest,
)
from index.protocol.evaluate import (
    MAX_ELEMENTS,
    EvaluateAnswer,
    EvaluateRequest,
    Group,
    TokenRefused,
    request_bytes,
    verify_holder_receipt,
)
from nodes.bsn import Bsn
from nodes.errors import HolderLied, HolderRefused, HoldersUnreachable, NodeError
from nodes.oprf import threshold, voprf
from nodes.oprf.ristretto import BadElement, Secret
from nodes.oprf.workers import Chunk, Workers, WorkersGone

log = structlog.get_logger()
P = ParamSpec("P")
R = TypeVar("R")
Verify = Callable[[bytes, Sequence[bytes], Sequence[bytes], bytes], Awaitable[None]]
"""`voprf.verify`, wherever it runs."""

MAX_ANSWER_BYTES = 128 * 1024
_LATER_S = {"lied": 600.0, "refused": 30.0, "unreachable": 10.0}
_SMALL = 12
"""Elements that are computed with at once: about 2 ms, less than a thread costs on a busy machine."""
_AT_ONCE = 2
"""Chunks of one large call in flight together, per worker: one is computed with while the other travels."""
_WORKERS_FROM = 4000
"""Elements of one call from which on processes of its own are quicker than threads: a second to start two."""


class KeysWrong(NodeError):
    """A known answer or canary does not come out: keys or library are not what they should be. Stop."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Per request its pseudonyms in the order of its scopes; receipts of t holders per chunk asked."""

    pseudonyms: list[list[Pseudonym]]
    receipts: list[str] = field(repr=False)
    version: int


@dataclass(frozen=True, slots=True)
class _Fault:
    """Why one holder's answer cannot be used. `kind` is a key of `_LATER_S`."""

    holder: str
    kind: str
    code: str


@dataclass(frozen=True, slots=True)
class _Answer:
    """One holder's verified evaluations per kid, and its receipt."""

    holder: HolderEntry
    evaluated: dict[str, list[bytes]] = field(repr=False)
    receipt: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Question:
    """Persons per key, under one version of the manifest, for one class.

    Persons stay `Bsn` until they are blinded: a traceback that prints local
    values must not find an x. A canary is no person and comes as bytes.
    """

    manifest: Manifest = field(repr=False)
    class_: str
    grant: str = field(repr=False)
    inputs: Mapping[str, Sequence[Bsn | bytes]] = field(repr=False)

    @property
    def size(self) -> int:
        return sum(len(persons) for persons in self.inputs.values())

    def scope_keys(self) -> list[ScopeKey]:
        return [key for kid in self.inputs if (key := self.manifest.key(kid))]


def person_input(scope: str, bsn: Bsn) -> bytes:
    """x: what is hashed to the group for one person in one scope. Lives for one call."""
    return b"vlagwijzer/x/v1" + lp(scope) + lp(bsn.reveal())


def check_known_answers() -> None:
    """At start: one vector of the RFC, and one known answer of x with a test number.

    Raises:
        KeysWrong: One does not come out; the process must stop.
    """
    known = "04510e34f9c05faf482334581d2d2c4d7bc39d4e462623db6700b4abeb8a7f26"
    try:
        voprf.check_known_answer()
    except voprf.BadProof:
        raise KeysWrong("libsodium does not give the known answer of RFC 9497") from None
    if voprf.hash_to_group(person_input("geld", Bsn.parse("999990019"))).hex() != known:
        raise KeysWrong("the input of the key holders is not built as agreed")


class Pseudonymiser:
    """The node's client of the key holders.

    Args:
        node: Own id in the directory.
        signing_key: Signs each request, for one holder at a time.
        manifest: The version in use; read once per call.
        pinned: Ed25519 public key per holder id, from settings.
        client: Reaches all holders; its time-outs count.
        classes: The classes the directory gives this node; a class without grant serves for canaries.
        clock: UTC.
        observe: Told the id of a holder and the seconds that it took.
    """

    def __init__(
        self,
        *,
        node: str,
        signing_key: SigningKey,
        manifest: Adopted[Manifest],
        pinned: Mapping[str, bytes],
        client: httpx.AsyncClient,
        classes: Iterable[str] = ("lookup",),
        scopes: Iterable[str] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        observe: Callable[[str, float], None] = lambda _holder, _seconds: None,
    ) -> None:
        self._node = node
        self._observe = observe
        self._signing_key = signing_key
        self._manifest = manifest
        self._pinned = dict(pinned)
        self._client = client
        self._canary_class = next((c for c in CLASSES if c in set(classes) - GRANT_CLASSES), None)
        self._scopes = None if scopes is None else frozenset(scopes)
        self._clock = clock
        self._canaries_of: int | None = None
        self._canary_lock = asyncio.Lock()
        self._later: dict[str, float] = {}
        check_known_answers()

    @property
    def manifest(self) -> Manifest:
        """The manifest in use."""
        return self._manifest.current

    async def start(self) -> None:
        """Evaluate one canary per active key of this node.

        Without it the first call does so: an outage of the key holders does
        not keep a node from starting, and no person is evaluated before the
        canaries came out.

        Raises:
            KeysWrong: A canary has another answer; the process must stop.
            HoldersUnreachable, HolderLied, HolderRefused: See `pseudonymise`.
        """
        await self._check_canaries(self._manifest.current)

    async def pseudonymise(
        self,
        requests: Sequence[tuple[Bsn, Sequence[str]]],
        class_: str,
        grant: str = "",
        *,
        done: Callable[[int], None] = lambda _count: None,
    ) -> Evaluated:
        """The pseudonyms of persons in scopes.

        Args:
            requests: Person and scopes; several scopes of one person stay together.
            class_: publish, lookup, crisis, citizen or inzage.
            grant: Of the login broker, for citizen and inzage.
            done: Told how many more elements are ready, chunk by chunk; again from the start after
                a new manifest.

        Returns:
            In the order asked. More than 1,000 elements are asked in chunks.

        Raises:
            HoldersUnreachable: Fewer than t answered.
            HolderLied: A proof was wrong and no other set of holders is left; nothing may be used.
            HolderRefused: Holders refuse this node, and no other set is left.
            KeysWrong: A canary has another answer.
        """
        manifest = self._manifest.current
        try:
            return await self._under(manifest, requests, class_, grant, done)
        except HolderRefused as refused:
            if refused.code != "manifest-version" or not await self.refresh():
                raise
        return await self._under(self._manifest.current, requests, class_, grant, done)

    async def refresh(self) -> bool:
        """Fetch the manifest from the holders; True when a newer one was adopted.

        One that is signed by all is adopted once t holders serve it: before
        that nobody could be asked under it.
        """
        holders = self._manifest.current.holders
        served = [m for m in await asyncio.gather(*(self._served(h) for h in holders)) if m]
        for manifest in sorted(served, key=lambda each: each.version, reverse=True):
            serving = sum(each.version == manifest.version for each in served)
            if manifest.version <= self._manifest.current.version:
                return False
            if serving >= max(key.t for key in manifest.keys):
                try:
                    return self._manifest.adopt(manifest, self._clock())
                except NotTrusted as error:
                    log.error("manifest_refused", rule=str(error))
        return False

    async def _served(self, holder: HolderEntry) -> Manifest | None:
        try:
            response = await self._client.get(f"{holder.url}/v1/manifest")
            return parse_manifest(response.content, self._pinned)
        except httpx.HTTPError:
            return None
        except NotTrusted as error:
            log.error("manifest_refused", holder=holder.id, rule=str(error))
            return None

    async def _under(
        self,
        manifest: Manifest,
        requests: Sequence[tuple[Bsn, Sequence[str]]],
        class_: str,
        grant: str,
        done: Callable[[int], None],
    ) -> Evaluated:
        await self._check_canaries(manifest)
        size = sum(len(scopes) for _, scopes in requests)
        workers = _workers() if size >= _WORKERS_FROM else None
        try:
            return await self._in_chunks(manifest, requests, class_, grant, done=done, workers=workers)
        finally:
            if workers is not None:
                await workers.close()

    async def _in_chunks(
        self,
        manifest: Manifest,
        requests: Sequence[tuple[Bsn, Sequence[str]]],
        class_: str,
        grant: str,
        *,
        done: Callable[[int], None],
        workers: Workers | None,
    ) -> Evaluated:
        keys = {scope: _active(manifest, scope) for _, scopes in requests for scope in scopes}
        wanted = [(place, scope) for place, (_, scopes) in enumerate(requests) for scope in scopes]
        chunks = [wanted[i : i + MAX_ELEMENTS] for i in range(0, len(wanted), MAX_ELEMENTS)]
        limit = asyncio.Semaphore(_AT_ONCE * (workers.count if workers else 1))

        async def one(chunk: list[tuple[int, str]]) -> tuple[dict[str, list[Pseudonym]], list[str]]:
            async with limit:
                inputs: dict[str, list[Bsn]] = {}
                for place, scope in chunk:
                    inputs.setdefault(keys[scope].kid, []).append(requests[place][0])
                found = await self._ask_somewhere(_Question(manifest, class_, grant, inputs), workers)
                done(len(chunk))
                return found

        answers = await _all_or_none([one(chunk) for chunk in chunks])
        pseudonyms: list[list[Pseudonym]] = [[] for _ in requests]
        for chunk, (found, _) in zip(chunks, answers, strict=True):
            following = {kid: iter(each) for kid, each in found.items()}
            for place, scope in chunk:
                pseudonyms[place].append(next(following[keys[scope].kid]))
        receipts = [receipt for _, held in answers for receipt in held]
        return Evaluated(pseudonyms, receipts, manifest.version)

    async def _ask_somewhere(
        self, question: _Question, workers: Workers | None
    ) -> tuple[dict[str, list[Pseudonym]], list[str]]:
        """`_ask`, in threads where there are no workers or one of them died."""
        if workers is not None:
            try:
                return await self._ask(question, workers)
            except WorkersGone:
                log.warning("workers_gone", count=question.size)
        return await self._ask(question)

    async def _check_canaries(self, manifest: Manifest) -> None:
        async with self._canary_lock:
            if self._canaries_of == manifest.version:
                return
            if self._canary_class is None:
                # Only a login gives this node evaluations; the first of them is checked by its proofs.
                log.warning("canaries_skipped", version=manifest.version)
                self._canaries_of = manifest.version
                return
            keys = [
                key
                for key in manifest.keys
                if key.state == "active" and (self._scopes is None or key.scope in self._scopes)
            ]
            inputs = {key.kid: [unb64u(key.canary.x)] for key in keys}
            if inputs:
                found, _ = await self._ask(_Question(manifest, self._canary_class, "", inputs))
                for key in keys:
                    if [n.for_sealed_points() for n in found[key.kid]] != [unb64u(key.canary.n, 32)]:
                        log.critical("canary_missed", kid=key.kid, version=manifest.version)
                        raise KeysWrong(f"the canary of {key.kid} has another answer")
            self._canaries_of = manifest.version

    async def _ask(
        self, question: _Question, workers: Workers | None = None
    ) -> tuple[dict[str, list[Pseudonym]], list[str]]:
        """Verified pseudonyms per kid, and the receipts; other holders are tried while there are enough."""
        left = self._preferred(question.manifest)
        faults: list[_Fault] = []
        needed = max(key.t for key in question.scope_keys())
        while len(left) >= needed:
            chosen = left[:needed]
            if workers is None:
                outcome = await self._attempt(question, chosen)
            else:
                outcome = await self._attempt_in(workers.chunk(), question, chosen)
            if not isinstance(outcome, list):
                return outcome
            faults += outcome
            self._raise_alarm(outcome, question)
            # One that was asked and did well is asked again, beside another and with fresh blinds.
            failed = {fault.holder for fault in outcome}
            left = [holder for holder in left if holder.id not in failed]
        raise _verdict(faults)

    async def _attempt(
        self, question: _Question, chosen: Sequence[HolderEntry]
    ) -> tuple[dict[str, list[Pseudonym]], list[str]] | list[_Fault]:
        """One try with fresh blinds: everything, or the faults and nothing else."""
        blinds = {kid: Secret.random(len(inputs)) for kid, inputs in question.inputs.items()}
        try:
            blinded = await _computed(question.size, _blind, question, blinds)
            answers = await self._evaluations(chosen, question, blinded, _verify_here)
            if isinstance(answers, list):
                return answers
            found = await _computed(question.size, _combine, question, answers, blinds)
            return found, [answer.receipt for answer in answers]
        finally:
            for secret in blinds.values():
                secret.erase()

    async def _attempt_in(
        self, chunk: Chunk, question: _Question, chosen: Sequence[HolderEntry]
    ) -> tuple[dict[str, list[Pseudonym]], list[str]] | list[_Fault]:
        """`_attempt` in a worker process, where the blinds are drawn, kept and erased.

        Raises:
            WorkersGone: The process ended; nothing of this try may be used.
        """
        keys = question.scope_keys()
        try:
            groups = await chunk.blind([_inputs(question, key) for key in keys])
            blinded = {key.kid: group for key, group in zip(keys, groups, strict=True)}
            answers = await self._evaluations(chosen, question, blinded, chunk.verify)
            if isinstance(answers, list):
                return answers
            combined = await chunk.combine(_per_group(question, answers))
            found = {
                key.kid: [Pseudonym(key.scope, n) for n in each]
                for key, each in zip(keys, combined, strict=True)
            }
            return found, [answer.receipt for answer in answers]
        finally:
            await chunk.forget()

    async def _evaluations(
        self,
        chosen: Sequence[HolderEntry],
        question: _Question,
        blinded: Mapping[str, list[bytes]],
        verify: Verify,
    ) -> tuple[_Answer, ...] | list[_Fault]:
        """The verified answers of all who were asked, or the faults and nothing else."""
        outcomes = await asyncio.gather(*(self._evaluate(h, question, blinded, verify) for h in chosen))
        faults = [outcome for outcome in outcomes if isinstance(outcome, _Fault)]
        return faults or tuple(outcome for outcome in outcomes if isinstance(outcome, _Answer))

    async def _evaluate(
        self, holder: HolderEntry, question: _Question, blinded: Mapping[str, list[bytes]], verify: Verify
    ) -> _Answer | _Fault:
        """Ask one holder and verify all it says, before anybody uses any of it."""
        body = msgspec.json.encode(self._request(holder, question, blinded))
        begun = time.perf_counter()
        try:
            status, raw = await self._post(f"{holder.url}/v1/evaluate", body)
        except (httpx.HTTPError, httpx.InvalidURL):
            return _Fault(holder.id, "unreachable", "unreachable")
        finally:
            self._observe(holder.id, time.perf_counter() - begun)
        if status >= 500:
            return _Fault(holder.id, "unreachable", str(status))
        if status != 200:
            return _Fault(holder.id, "refused", _problem_code(raw))
        return await self._verified(holder, question, blinded, raw, verify)

    def _request(
        self, holder: HolderEntry, question: _Question, blinded: Mapping[str, list[bytes]]
    ) -> EvaluateRequest:
        ts, nonce = str(int(self._clock().timestamp())), secrets.token_hex(16)
        message = request_bytes(
            holder.id,
            node=self._node,
            version=question.manifest.version,
            class_=question.class_,
            ts=ts,
            nonce=nonce,
            grant=question.grant,
            groups=blinded.items(),
            environment=question.manifest.environment,
        )
        return EvaluateRequest(
            node=self._node,
            version=question.manifest.version,
            class_=question.class_,  # type: ignore[arg-type]
            ts=ts,
            nonce=nonce,
            grant=question.grant,
            groups=[Group(kid, [b64u(element) for element in elements]) for kid, elements in blinded.items()],
            sig=b64u(self._signing_key.sign(message).signature),
        )

    async def _post(self, url: str, body: bytes) -> tuple[int, bytes]:
        headers = {"content-type": "application/json"}
        async with self._client.stream("POST", url, content=body, headers=headers) as response:
            raw = bytearray()
            async for part in response.aiter_bytes():
                raw += part
                if len(raw) > MAX_ANSWER_BYTES:
                    raise httpx.DecodingError("an answer that is too long")
            return response.status_code, bytes(raw)

    async def _verified(
        self,
        holder: HolderEntry,
        question: _Question,
        blinded: Mapping[str, list[bytes]],
        raw: bytes,
        verify: Verify,
    ) -> _Answer | _Fault:
        """Check one answer.

        1. It is of this holder, for the version asked, with the same groups in the same order.
        2. Each group has as many elements as were asked, and a proof under Y_i, which is computed.
        3. The receipt is one that the hub will take.
        """
        try:
            answer = msgspec.json.decode(raw, type=EvaluateAnswer)
            if (answer.holder, answer.version) != (holder.id, question.manifest.version):  # 1
                return _Fault(holder.id, "lied", "holder-or-version")
            if [group.kid for group in answer.groups] != list(blinded):
                return _Fault(holder.id, "lied", "groups")
            evaluated = {}
            for group, key in zip(answer.groups, question.scope_keys(), strict=True):  # 2
                public = _public_key(tuple(key.commits), holder.index)
                found = [unb64u(element, 32) for element in group.evaluated]
                await verify(public, blinded[group.kid], found, unb64u(group.proof))
                evaluated[group.kid] = found
        except (msgspec.DecodeError, UnicodeDecodeError, EncodingError, RecursionError):
            return _Fault(holder.id, "lied", "form")
        except voprf.BadProof as error:
            return _Fault(holder.id, "lied", f"proof-{error}")
        except BadElement:
            return _Fault(holder.id, "lied", "commitments")
        if not self._receipt_counts(answer.receipt, holder, question):  # 3
            return _Fault(holder.id, "refused", "receipt")
        return _Answer(holder, evaluated, answer.receipt)

    def _receipt_counts(self, token: str, holder: HolderEntry, question: _Question) -> bool:
        needed: dict[str, int] = {}
        for key in question.scope_keys():
            needed[key.scope] = needed.get(key.scope, 0) + len(question.inputs[key.kid])
        try:
            receipt = verify_holder_receipt(
                token, question.manifest, aud=question.manifest.hub.id, sub=self._node, now=self._clock()
            )
        except TokenRefused:
            return False
        return (receipt.iss, receipt.cls, receipt.n) == (holder.id, question.class_, needed)

    def _preferred(self, manifest: Manifest) -> list[HolderEntry]:
        """All holders: in random order, those that failed lately last. Random, so that quotas wear evenly."""
        now = time.monotonic()
        holders = random.SystemRandom().sample(manifest.holders, len(manifest.holders))
        return sorted(holders, key=lambda holder: max(self._later.get(holder.id, 0.0) - now, 0.0))

    def _raise_alarm(self, faults: Iterable[_Fault], question: _Question) -> None:
        for fault in faults:
            self._later[fault.holder] = time.monotonic() + _LATER_S[fault.kind]
            event = {"holder": fault.holder, "code": fault.code, "version": question.manifest.version}
            if fault.kind == "lied":
                log.critical("holder_lied", **event)
            else:
                log.warning(f"holder_{fault.kind}", **event)


def _active(manifest: Manifest, scope: str) -> ScopeKey:
    key = manifest.scope_key(scope)
    if key is None:
        raise HolderRefused("scope-without-key")
    return key


@lru_cache(maxsize=1024)
def _public_key(commits: tuple[str, ...], index: int) -> bytes:
    """Y_i, computed from the commitments of a manifest; public, so it may be kept."""
    return threshold.public_key([unb64u(commit, 32) for commit in commits], index)


async def _computed(size: int, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a computation: a small one at once, a large one in a thread so that others are not kept waiting."""
    if size <= _SMALL:
        return function(*args, **kwargs)
    return await asyncio.to_thread(function, *args, **kwargs)


def _blind(question: _Question, blinds: Mapping[str, Secret]) -> dict[str, list[bytes]]:
    return {key.kid: voprf.blind(_inputs(question, key), blinds[key.kid]) for key in question.scope_keys()}


def _inputs(question: _Question, key: ScopeKey) -> list[bytes]:
    """The x of each element under one key; handed on at once, never kept."""
    return [x if isinstance(x, bytes) else person_input(key.scope, x) for x in question.inputs[key.kid]]


async def _verify_here(public: bytes, blinded: Sequence[bytes], found: Sequence[bytes], proof: bytes) -> None:
    await _computed(len(found), voprf.verify, public, blinded, found, proof)


async def _all_or_none(chunks: Sequence[Coroutine[Any, Any, R]]) -> list[R]:
    """The results in order; after the first failure the others stop and spend no more units."""
    tasks = [asyncio.create_task(chunk) for chunk in chunks]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _workers() -> Workers | None:
    """Processes for a large call; without them threads do it, slower."""
    try:
        return Workers()
    except WorkersGone:
        log.warning("no_workers")
        return None


def _per_group(question: _Question, answers: Sequence[_Answer]) -> list[dict[int, list[bytes]]]:
    """Per key the evaluations of each holder, by its index."""
    kids = [key.kid for key in question.scope_keys()]
    return [{answer.holder.index: answer.evaluated[kid] for answer in answers} for kid in kids]


def _combine(
    question: _Question, answers: Sequence[_Answer], blinds: Mapping[str, Secret]
) -> dict[str, list[Pseudonym]]:
    return {
        key.kid: [Pseudonym(key.scope, n) for n in threshold.combine(evaluations, blinds[key.kid])]
        for key, evaluations in zip(question.scope_keys(), _per_group(question, answers), strict=True)
    }


def _problem_code(raw: bytes) -> str:
    """The last part of a problem's type, when it looks like one of ours."""
    try:
        problem = msgspec.json.decode(raw, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "refused"
    code = str(problem.get("type", "")).rpartition("/")[2]
    return code if re.fullmatch(r"[a-z-]{1,40}", code) else "refused"


def _verdict(faults: Sequence[_Fault]) -> NodeError:
    """What to say when no set of holders is left: a lie first, then a refusal, then silence."""
    for fault in faults:
        if fault.kind == "lied":
            return HolderLied(fault.holder)
    refusals = [fault.code for fault in faults if fault.kind == "refused"]
    if refusals:
        return HolderRefused("manifest-version" if "manifest-version" in refusals else refusals[0])
    return HoldersUnreachable("fewer key holders answered than are needed")
