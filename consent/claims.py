"""Rights in use by one person in one scope: dispute, objection, restriction, and their clocks.

    used -> answered by each publisher it is about -> ended by the person

A claim is about one kind and one publisher, or any; it stands whether or not a
flag exists. An answer of one publisher to a claim about any leaves the claim
for the others and stands beside it. What holds now is computed from the stored
dates and the moment that is asked about: no job can forget a term.

Terms are those of the Algemene termijnenwet: a dispute is answered within 10
working days (a kind of child safety has 5 more), an objection within a month,
two more with notice, a restriction of a kind of child safety within 2 working
days. An answer before `due` is in time; from `due` on the term has passed.

Source: docs/design/policy-and-consent.md, "Dispute, objection, restriction".
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Literal, NamedTuple, Protocol, cast

from policy.clock import add_working_days, month_later
from policy.decide import Objection
from policy.vocabulary import Kind, Role, Vocabulary

from .directive import Directive, Giver, Reply, Right, RightEntry

ANY = 0
"""The publisher of a claim about all that publish the kind."""
DISPUTE_DAYS = 10
"""Working days to answer a dispute; `limits.dispute_answer_working_days`."""
SECOND_DAYS = 5
"""Working days more for a kind of child safety; `limits.dispute_second_deadline_working_days`."""
RESTRICTION_DAYS = 2
"""Working days to decide about a restriction of a kind of child safety."""
OBJECTION_MONTHS, EXTENDED_MONTHS = 1, 3
"""AVG art. 12(3): one month, and two more with notice."""
AGAIN_MONTHS = 12
"""A rejected objection is not made again sooner, for a pending one hides [J]."""

REPLIES: dict[Right, tuple[Reply, ...]] = {
    "dispute": ("confirmed", "corrected", "retracted"),
    "objection": ("rejected", "upheld", "extended"),
    "restriction": ("rejected", "upheld"),
}
"""What a publisher may answer to each right: codes, never text."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One right in use, as it stands in a folded state. Times are whole seconds UTC.

    `answer` is empty while the publisher has not answered; `extended` says that
    it took two more months for an objection. `number` is that of the entry
    that began it. `until` ends what a parent asked for at the age boundary.
    """

    number: int
    group: bytes
    right: Right
    kind: str
    publisher: int
    opened: datetime
    until: datetime | None = None
    answer: Reply | Literal[""] = ""
    answered: datetime | None = None
    extended: bool = False
    by: Giver = "zelf"
    giver: str = ""

    @property
    def about(self) -> tuple[Right, str, int]:
        """What a later claim of the same replaces."""
        return self.right, self.kind, self.publisher


class Folded(Protocol):
    """What is needed of a folded state (`consent.state.ChoiceState`)."""

    @property
    def number(self) -> int: ...
    @property
    def claims(self) -> tuple[Claim, ...]: ...


# --- folding ------------------------------------------------------------------------


def after(claims: Sequence[Claim], entry: RightEntry | Directive) -> tuple[Claim, ...]:
    """The claims after one more entry of the ledger.

    A withdrawal of a choice ends the objection that came with it, too.
    """
    if isinstance(entry, Directive):
        return _ended(claims, entry.withdraws, entry) if entry.effect == "withdraw" else tuple(claims)
    if entry.step == "ended":
        return _ended(claims, entry.ends, entry)
    if entry.step == "used":
        new = Claim(
            number=entry.number,
            group=entry.group,
            right=entry.right,
            kind=entry.kind,
            publisher=entry.publisher,
            opened=entry.from_,
            until=entry.until,
            by=entry.by,
            giver=entry.giver,
        )
        return (*(claim for claim in claims if claim.about != new.about), new)
    return _answered(claims, entry)


def _ended(claims: Sequence[Claim], group: bytes, entry: RightEntry | Directive) -> tuple[Claim, ...]:
    return tuple(claim for claim in claims if claim.group != group or not may_end(claim, entry))


def may_end(claim: Claim, entry: RightEntry | Directive) -> bool:
    """Givers end their own claims, and the person those of a representative; nobody a rejected objection."""
    if claim.right == "objection" and claim.answer == "rejected":
        return False  # what was rejected is remembered: else objecting again would hide for ever
    own = (entry.by, entry.giver) == (claim.by, claim.giver)
    return own or (entry.by == "zelf" and claim.by != "ouder")


def _answered(claims: Sequence[Claim], entry: RightEntry) -> tuple[Claim, ...]:
    asked = asked_of(claims, entry.group, entry.right, entry.kind, entry.publisher)
    if asked is None:
        return tuple(claims)
    extends = entry.step == "extended"
    answered = replace(
        asked,
        publisher=entry.publisher,
        answer="" if extends else cast("Reply", entry.step),
        answered=asked.answered if extends else entry.from_,
        extended=asked.extended or extends,
    )
    # The claim about any stays: other publishers have not answered by this.
    kept = [claim for claim in claims if claim is not asked or claim.publisher == ANY]
    return (*kept, answered)


def asked_of(claims: Iterable[Claim], group: bytes, right: Right, kind: str, publisher: int) -> Claim | None:
    """A claim as this publisher has it: its own, else the one about any."""
    wanted = {(right, kind, ANY), (right, kind, publisher)}
    found = [claim for claim in claims if claim.group == group and claim.about in wanted]
    return max(found, key=lambda claim: claim.publisher, default=None)


# --- clocks -------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def due(claim: Claim, compelling: bool) -> datetime | None:
    """When the term to answer ends; None where no answer is asked.

    Args:
        compelling: The kind is one of child safety (`compelling_child_safety`).
    """
    match claim.right:
        case "dispute":
            return add_working_days(claim.opened, DISPUTE_DAYS)
        case "objection":
            return month_later(claim.opened, EXTENDED_MONTHS if claim.extended else OBJECTION_MONTHS)
        case "restriction":
            return add_working_days(claim.opened, RESTRICTION_DAYS) if compelling else None


@lru_cache(maxsize=4096)
def suspends(claim: Claim, compelling: bool) -> datetime:
    """From when an unanswered dispute suspends the flag: the term, and for child safety a second one."""
    return add_working_days(claim.opened, DISPUTE_DAYS + (SECOND_DAYS if compelling else 0))


def waits(claim: Claim, compelling: bool) -> bool:
    """Whether an answer of the publisher is asked and has not come."""
    return not claim.answer and (claim.right != "restriction" or compelling)


def in_force(claim: Claim, at: datetime) -> bool:
    """Whether it has not ended by itself; only a parent's does, at the age boundary."""
    return claim.until is None or at < claim.until


# --- what holds now -----------------------------------------------------------------


class Standing(NamedTuple):
    """What the claims come to for one kind and publisher.

    `suspended` is row 1 of the decision, `restricted` row 2, `objection` rows 9 and 10.
    """

    restricted: bool = False
    objection: Objection = "none"
    disputed: bool = False
    suspended: bool = False


UNTOUCHED = Standing()
_STRONGEST: tuple[Objection, ...] = ("none", "rejected", "pending", "upheld")


class Claims:
    """The claims of one person in one scope at one moment, by kind."""

    def __init__(self, claims: Iterable[Claim], at: datetime) -> None:
        self._at = at
        self._by_kind: dict[str, list[Claim]] = {}
        for claim in claims:
            if in_force(claim, at):
                self._by_kind.setdefault(claim.kind, []).append(claim)

    def of(self, kind: Kind, publisher: int = ANY) -> Standing:
        """What holds for one publisher's flag of a kind; for `ANY` what holds for the kind itself."""
        claims = self._by_kind.get(kind.code)
        if claims is None:
            return UNTOUCHED
        own = [claim for claim in claims if claim.publisher == publisher]
        answered = {claim.group for claim in own}
        own += [
            claim
            for claim in claims
            if claim.publisher == ANY and publisher != ANY and claim.group not in answered
        ]
        compelling = kind.compelling_child_safety
        open_disputes = [claim for claim in own if claim.right == "dispute" and not claim.answer]
        overdue = any(self._at >= suspends(claim, compelling) for claim in open_disputes)
        return Standing(
            restricted=any(_restricts(claim, compelling) for claim in own if claim.right == "restriction"),
            objection=max(
                (objection_of(claim) for claim in own if claim.right == "objection"),
                key=_STRONGEST.index,
                default="none",
            ),
            disputed=bool(open_disputes),
            suspended=overdue,
        )


def objection_of(claim: Claim) -> Objection:
    """The state of one objection as the decision takes it."""
    if claim.answer == "rejected":
        return "rejected"
    return "upheld" if claim.answer == "upheld" else "pending"


def _restricts(claim: Claim, compelling: bool) -> bool:
    return claim.answer == "upheld" if compelling else claim.answer != "rejected"


# --- objection ----------------------------------------------------------------------


def may_object(kind: Kind) -> bool:
    """Objection is against processing for a task only; a duty by law has none (AVG art. 21(1))."""
    return "wettelijke_taak" in kind.bases


def rejected_before(claims: Iterable[Claim], entry: RightEntry) -> bool:
    """Whether this objection was rejected less than a year ago by a publisher that it is about."""
    return any(
        entry.right == claim.right == "objection"
        and entry.kind == claim.kind
        and entry.publisher in (ANY, claim.publisher)
        and claim.answer == "rejected"
        and claim.answered is not None
        and entry.from_ < month_later(claim.answered, AGAIN_MONTHS)
        for claim in claims
    )


def objects(directive: Directive, kind: Kind, roles: Iterable[Role]) -> bool:
    """Whether a no is an objection as well: it names a kind that its receiver sees by task.

    A receiver that is everybody, or one role. A no to a team says nothing about
    the tasks of others, and an objection closes the kind for all of them.
    """
    if directive.effect != "deny" or len(directive.category) < 2 or len(directive.receiver) in (1, 2):
        return False
    named = directive.receiver[2] if directive.receiver else ""
    return may_object(kind) and any(
        role.code == named or not named for role in roles if kind.code in role.kinds_on("wettelijke_taak")
    )


def objection_with(directive: Directive, state: Folded, vocabulary: Vocabulary) -> RightEntry | None:
    """The objection that a no is as well, to be written after it; None where it is none, or stands already.

    Args:
        state: After the no.
    """
    if len(directive.category) < 2:
        return None
    kind = vocabulary.kind(directive.category[1])
    if not objects(directive, kind, vocabulary.roles):
        return None
    entry = RightEntry(
        number=state.number + 1,
        group=directive.group,
        right="objection",
        step="used",
        kind=kind.code,
        from_=directive.from_,
        until=directive.until,
        by=directive.by,
        giver=directive.giver,
        evidence=directive.evidence,
        channel=directive.channel,
        text=directive.text,
        policy=directive.policy,
    )
    return None if standing_already(state.claims, entry) else entry


def standing_already(claims: Iterable[Claim], entry: RightEntry) -> str:
    """Why a right cannot be used now, as a code; empty when it can."""
    about = (entry.right, entry.kind, entry.publisher)
    if any(claim.about == about and not claim.answer and in_force(claim, entry.from_) for claim in claims):
        return "right-in-use"
    return "rejected-before" if rejected_before(claims, entry) else ""
