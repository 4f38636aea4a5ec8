"""What a source has to answer about its own flags: disputes, objections and restrictions.

    hub: what is open -> rtag -> own local reference -> clock -> a code as answer

The hub names flags by their tags, so the source learns which of its own cases
is meant and nothing else. Nothing is kept here: what is open is asked each
time, and terms are computed from its date. Taking a flag back is an answer by
itself, once the hub has it.

Source: docs/design/policy-and-consent.md, "Dispute, objection, restriction".
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from consent.claims import REPLIES, Claim, due, suspends
from consent.directive import Reply, Right
from index.protocol.codec import unb64u
from index.protocol.messages import OpenClaim, ReplyRequest
from index.protocol.messages import Reply as ReplyItem
from policy.vocabulary import Vocabulary

from .errors import BadInput, Refused, UnknownReference
from .hub import Hub
from .intake import Intake
from .outbox import Outbox

Clock = Literal["open", "soon", "overdue"]
_SOON = timedelta(days=3)
_ORIGIN = "betwist"


@dataclass(frozen=True, slots=True)
class DisputeView:
    """One question about own cases. `suspended`: nobody sees the flag until it is answered.

    `second`: the term has passed and a second one runs; the organisation's FG has to know.
    """

    id: str
    local_refs: tuple[str, ...]
    kind: str
    right: Right
    opened: datetime
    due: datetime
    clock: Clock
    second: bool
    suspended: bool
    extended: bool

    @property
    def answers(self) -> tuple[Reply, ...]:
        """What may be answered now."""
        return tuple(reply for reply in REPLIES[self.right] if not (reply == "extended" and self.extended))


class Disputes:
    """What is open at the hub, with this node's own references.

    Args:
        now: Clock, UTC.
    """

    def __init__(
        self,
        hub: Hub,
        outbox: Outbox,
        intake: Intake,
        vocabulary: Vocabulary,
        *,
        now: Callable[[], datetime],
    ) -> None:
        self._hub = hub
        self._outbox = outbox
        self._intake = intake
        self._vocabulary = vocabulary
        self._now = now

    async def open(self, kinds: Sequence[str] | None = None) -> list[DisputeView]:
        """What waits for an answer, soonest first; of these kinds only where they are given.

        Raises:
            HubUnreachable, Refused, ReceiptInvalid: Nothing can be said now.
        """
        return [view for _, view in await self._open(kinds)]

    async def _open(self, kinds: Sequence[str] | None) -> list[tuple[OpenClaim, DisputeView]]:
        answer = await self._hub.open_claims()
        live = await asyncio.to_thread(self._outbox.live)
        names = {rtag: local_ref for rtag, _, local_ref in live}
        found = [
            (claim, self._view(claim, names))
            for claim in answer.claims
            if kinds is None or claim.kind in kinds
        ]
        return sorted(found, key=lambda one: (one[1].due, one[1].id))

    def _view(self, asked: OpenClaim, names: dict[bytes, str]) -> DisputeView:
        kind = self._vocabulary.kind(asked.kind)
        claim = Claim(
            number=1,
            group=bytes(16),
            right=asked.right,
            kind=asked.kind,
            publisher=1,
            opened=datetime.fromisoformat(asked.opened),
            extended=asked.extended,
        )
        now, compelling = self._now(), kind.compelling_child_safety
        first = due(claim, compelling)
        if first is None:
            raise ValueError("the hub asks what needs no answer")
        disputed = claim.right == "dispute"
        last = suspends(claim, compelling) if disputed else first
        second = disputed and first <= now < last
        end = last if second else first
        refs = (names[rtag] for rtag in map(_rtag, asked.rtags) if rtag in names)
        return DisputeView(
            id=asked.id,
            local_refs=tuple(sorted(refs)),
            kind=asked.kind,
            right=asked.right,
            opened=claim.opened,
            due=end,
            clock="overdue" if now >= end else "soon" if now >= end - _SOON else "open",
            second=second,
            suspended=disputed and now >= last,
            extended=asked.extended,
        )

    async def answer(self, id_: str, answer: str, kinds: Sequence[str] | None = None) -> None:
        """Answer one question. `retracted` takes the flags back, which answers it at the hub.

        Raises:
            UnknownReference: Nothing of this id is open (any more), or not for these kinds.
            BadInput: This answer does not belong to this right.
            Refused: The hub does not take it; nothing was changed.
        """
        found = [one for one in await self._open(kinds) if one[0].id == id_]
        if not found:
            raise UnknownReference
        claim, view = found[0]
        fitting = [reply for reply in view.answers if reply == answer]
        if not fitting:
            raise BadInput("answer", "answer", "This answer does not belong to this question.")
        if answer == "retracted":
            await self._intake.submit(_ORIGIN, retractions=list(view.local_refs))
            return
        sent = await self._hub.reply(ReplyRequest([ReplyItem(claim.token, fitting[0])]))
        if sent.results[0].outcome != "stored":
            raise Refused(sent.results[0].code)


def _rtag(text: str) -> bytes:
    return unb64u(text, 32)
