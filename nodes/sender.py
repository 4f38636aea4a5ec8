"""Empties the outbox: first what waits for the key holders, then the messages, then confirms.

    waiting -> evaluate -> message -> hub -> receipt checked -> acknowledged
    everything acknowledged -> digest of live flags -> buckets that differ are reconciled

Only changes are sent again, under the same message id, so repeating is
harmless. While the hub or the key holders are silent the pause doubles up to
a setting, with jitter; the outbox loses nothing meanwhile.

Source: docs/design/node.md, "Sender"; docs/design/pseudonyms.md, "Digest".
"""

import asyncio
import hashlib
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from index.protocol.codec import b64u, u64, unb64u
from index.protocol.messages import (
    PARTS,
    Bucket,
    ConfirmationRequest,
    Held,
    ReconciliationRequest,
    part_of,
)
from policy.vocabulary import Vocabulary

from .errors import HubUnreachable, ReceiptInvalid, Refused
from .hub import Hub
from .intake import Intake
from .outbox import PUBLICATIONS, Outbox, Outgoing
from .publication import has_ended
from .settings import NodeSettings

log = structlog.get_logger()

Row = tuple[bytes, int, str]
"""Tag, sequence number and local reference of one live flag."""
_SMALL = 128
"""So many flags of a bucket are sent at once: the sums of its parts would be as long."""
_LASTING = {"stale-points", "malformed-body", "body-too-large"}
"""Refusals of a publication that no later attempt can change; every other one is tried again."""


class Backoff:
    """Pauses that double up to the longest, each shortened at random: nodes must not march in step."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._failures = 0

    def next(self) -> float:
        """Seconds to wait after one more failure."""
        pause = min(self._longest, self._first * 2.0**self._failures)
        self._failures = min(self._failures + 1, 30)
        return pause * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret

    def reset(self) -> None:
        """It worked: the next failure starts small again."""
        self._failures = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """What this node and the hub both have, and where they differ.

    Attributes:
        live: Flags that this node has a receipt for.
        missing: Own references that the hub lacks, or has in an older state.
        extra: Tags of flags that the hub has for this node and the node does not.
        buckets: Those of the 256 that differed; the others were confirmed by the asking.
        compared: The sequence number with which each that is missing was compared.
    """

    live: int
    missing: list[str]
    extra: frozenset[bytes]
    buckets: list[int]
    compared: Mapping[str, int] = field(default_factory=dict)

    @property
    def equal(self) -> int:
        """Flags that both sides have."""
        return self.live - len(self.missing)

    @property
    def same(self) -> bool:
        return not self.buckets


class Sender:
    """One worker per node process. `step` does one piece of work and is what tests call.

    Args:
        now: Clock, UTC.
    """

    def __init__(
        self,
        outbox: Outbox,
        intake: Intake,
        hub: Hub,
        vocabulary: Vocabulary,
        settings: NodeSettings,
        *,
        now: Callable[[], datetime],
    ) -> None:
        self._outbox = outbox
        self._intake = intake
        self._hub = hub
        self._vocabulary = vocabulary
        self._settings = settings
        self._now = now
        self._hub_pause = Backoff(settings.retry_first_seconds, settings.retry_max_seconds)
        self._holder_pause = Backoff(settings.retry_first_seconds, settings.retry_max_seconds)
        self._hub_not_before = self._holders_not_before = datetime.min.replace(tzinfo=now().tzinfo)
        self._confirm_at = now()
        self._news = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()

    def wake(self) -> None:
        """Something was queued: do not wait for the next poll."""
        self._news.set()

    async def run(self) -> None:
        """Work until cancelled. An unexpected error is reported and the work goes on."""
        while True:
            worked = False
            try:
                worked = await self.step()
            except Exception as error:
                # The outbox keeps everything; a worker that died would keep it for ever.
                log.error("sender_failed", error=type(error).__name__)
                await asyncio.sleep(self._settings.retry_first_seconds)
            if not worked:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), self._settings.poll_seconds)
                self._news.clear()

    async def step(self) -> bool:
        """One piece of work; False when there is nothing to do now."""
        async with self._one_at_a_time:
            return await self._evaluate_waiting() or await self._send() or await self._confirm_when_due()

    async def _evaluate_waiting(self) -> bool:
        if self._now() < self._holders_not_before:
            return False
        entries = await asyncio.to_thread(self._outbox.take_waiting, self._settings.publication_batch)
        if not entries:
            return False
        scoped = [
            replace(entry.publication, scope=self._vocabulary.kind(entry.publication.kind).domain)
            for entry in entries
        ]
        evaluated = await self._intake.evaluate(scoped)
        if evaluated is None:
            self._holders_not_before = self._now() + timedelta(seconds=self._holder_pause.next())
            return False
        self._holder_pause.reset()
        count = await asyncio.to_thread(self._outbox.waiting_evaluated, entries, evaluated)
        log.info("waiting_publications_evaluated", count=count)
        return True

    async def _send(self) -> bool:
        if self._now() < self._hub_not_before:
            return False
        message = await asyncio.to_thread(self._outbox.next_message)
        if message is None:
            return False
        try:
            answer = await self._hub.change(
                message.path, message.body, message.message_id, message.lids or None
            )
        except (HubUnreachable, ReceiptInvalid) as error:
            # Without a valid receipt it counts as not sent: the same message goes again.
            await self._later(message, type(error).__name__, all_messages=True)
            return False
        except Refused as error:
            await self._refused(message, error.reason)
            return True
        await asyncio.to_thread(self._outbox.acknowledge, message, answer.results, answer.receipt)
        self._hub_pause.reset()
        log.info("message_acknowledged", path=message.path, items=len(message.items))
        return True

    async def _refused(self, message: Outgoing, reason: str) -> None:
        log.error("message_refused", path=message.path, reason=reason, items=len(message.items))
        if message.path == PUBLICATIONS and reason in _LASTING:
            await asyncio.to_thread(self._outbox.refuse, message, reason)
        else:
            # A retraction is never given up, and holds back only the same flags.
            await self._later(message, reason, all_messages=False)

    async def _later(self, message: Outgoing, problem: str, *, all_messages: bool) -> None:
        pause = self._hub_pause.next()
        if all_messages:
            self._hub_not_before = self._now() + timedelta(seconds=pause)
            pause = 0.0
        await asyncio.to_thread(self._outbox.postpone, message.number, problem, pause)

    # --- lease -------------------------------------------------------------------------

    async def _confirm_when_due(self) -> bool:
        if self._now() < max(self._confirm_at, self._hub_not_before):
            return False
        if not await asyncio.to_thread(self._outbox.is_drained):
            return False
        await self.retract_ended()
        if not await asyncio.to_thread(self._outbox.is_drained):
            return True
        try:
            await self._confirm()
            # Asking is also how the hub learns that a disputed flag was taken back.
            await self._hub.open_claims()
        except (HubUnreachable, ReceiptInvalid, Refused) as error:
            self._hub_not_before = self._now() + timedelta(seconds=self._hub_pause.next())
            log.warning("confirmation_failed", reason=type(error).__name__)
            return False
        self._confirm_at = self._now() + timedelta(hours=self._settings.confirm_hours)
        return True

    async def retract_ended(self) -> int:
        """Take back flags whose period and retention are over: no message will come for them."""

        def over(kind: str, until: str | None) -> bool:
            return has_ended(self._vocabulary.kind(kind), until, self._now().date())

        ended = await asyncio.to_thread(self._outbox.ended, over)
        if ended:
            await asyncio.to_thread(self._outbox.queue, "timer", retractions=ended)
        return len(ended)

    async def confirm(self) -> list[int]:
        """Confirm all live flags; returns the buckets that differed, after repairing them.

        Raises:
            HubUnreachable, Refused, ReceiptInvalid: Nothing is confirmed.
        """
        async with self._one_at_a_time:
            return (await self._confirm()).buckets

    async def compare(self) -> Comparison | None:
        """Confirm what both sides agree on and say where they differ; repairs nothing.

        Returns:
            None while messages wait: what is under way would count as a difference.

        Raises:
            HubUnreachable, Refused, ReceiptInvalid: Nothing can be said.
        """
        async with self._one_at_a_time:
            if not await asyncio.to_thread(self._outbox.is_drained):
                return None
            return await self._compare()

    async def repair(self) -> Comparison | None:
        """Compare anew and repair: too many is taken back, missing is asked from its source again.

        Returns:
            What was found; None while messages wait, and nothing is repaired.

        Raises:
            HubUnreachable, Refused, ReceiptInvalid: Nothing more is repaired.
        """
        async with self._one_at_a_time:
            if not await asyncio.to_thread(self._outbox.is_drained):
                return None
            return await self._confirm()

    async def _confirm(self) -> Comparison:
        found = await self._compare()
        if found.missing:
            await asyncio.to_thread(self._outbox.lost, found.missing, found.compared)
        if found.extra:
            await asyncio.to_thread(self._outbox.take_back, set(found.extra))
            self.wake()
        return found

    async def _compare(self) -> Comparison:
        live = await asyncio.to_thread(self._outbox.live)
        # A million flags take seconds: pages and calls must be answered meanwhile.
        buckets = await asyncio.to_thread(buckets_of, live)
        answer = await self._hub.confirm(ConfirmationRequest(buckets))
        await asyncio.to_thread(self._outbox.confirmed, len(live))
        self._hub_pause.reset()
        if answer.differing:
            log.warning("buckets_differ", count=len(answer.differing))
        own = await asyncio.to_thread(_in_buckets, live, frozenset(answer.differing))
        missing: dict[str, int] = {}
        extra: set[bytes] = set()
        for bucket, rows in own.items():
            for part, some in (await self._parts(bucket, rows)).items():
                held = [Held(b64u(rtag), seq) for rtag, seq, _ in some]
                said = await self._hub.reconcile(ReconciliationRequest(bucket, held, part=part))
                lacking = {unb64u(rtag, 32) for rtag in said.missing}
                missing |= {local_ref: seq for rtag, seq, local_ref in some if rtag in lacking}
                extra |= {unb64u(rtag, 32) for rtag in said.extra}
        return Comparison(len(live), list(missing), frozenset(extra), answer.differing, missing)

    async def _parts(self, bucket: int, rows: list[Row]) -> dict[int | None, list[Row]]:
        """The parts of a bucket that differ, with own flags; all of it where it is small."""
        if len(rows) <= _SMALL:
            return {None: rows}
        parts: list[list[Row]] = [[] for _ in range(PARTS)]
        for row in rows:
            parts[part_of(row[0])].append(row)
        sums = [_sum_of(part) for part in parts]
        said = await self._hub.reconcile(ReconciliationRequest(bucket, [], parts=sums))
        return {at: parts[at] for at in said.differing if 0 <= at < PARTS}


def _in_buckets(live: list[Row], wanted: frozenset[int]) -> dict[int, list[Row]]:
    """The flags of these buckets; each bucket is named, an empty one too."""
    found: dict[int, list[Row]] = {bucket: [] for bucket in sorted(wanted)}
    for row in live:
        if row[0][0] in wanted:
            found[row[0][0]].append(row)
    return found


def buckets_of(live: list[Row]) -> list[Bucket]:
    """256 pairs of count and Σ SHA-256(rtag ‖ u64(seq)) mod 2^256, by the first byte of rtag."""
    counts, sums = [0] * 256, [0] * 256
    for rtag, seq, _ in live:
        counts[rtag[0]] += 1
        sums[rtag[0]] += _term(rtag, seq)
    return [_bucket(count, total) for count, total in zip(counts, sums, strict=True)]


def _sum_of(rows: list[Row]) -> Bucket:
    return _bucket(len(rows), sum(_term(rtag, seq) for rtag, seq, _ in rows))


def _term(rtag: bytes, seq: int) -> int:
    return int.from_bytes(hashlib.sha256(rtag + u64(seq)).digest(), "big")


def _bucket(count: int, total: int) -> Bucket:
    return Bucket(count, b64u((total % 2**256).to_bytes(32, "big")))
