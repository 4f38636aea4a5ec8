"""What a run of a connector does, told beforehand and then done.

    Fact | Gone | Nothing | Refused -> checked, compared with what was passed on -> Plan -> apply

`plan` touches nothing and says for each item what would happen and why; `apply`
does it. A whole list that loses more than a set share of its references, or is
empty, stops and asks. The cursor and the last messages are one transaction,
and every batch before it leaves the node's memory right, so a run that broke
off is simply repeated.

Source: docs/design/node.md, "Sources".
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from ..errors import ShrinkStops, Wrong
from ..intake import Intake
from ..outbox import Cursor, Flag, Memory, Outbox, Rejection, no_memory
from ..publication import Publication, Rules, holds_bsn
from .facts import Fact, Gone, Nothing, Read, Refused

BATCH = 10_000
"""Rows whose publications are in memory as pseudonyms, and queued in one transaction, at a time."""

Action = Literal["publish", "update", "correct", "retract", "unchanged", "ended", "rejected"]
REASONS: dict[Action, str] = {
    "publish": "new in the list",
    "update": "kind or period changed",
    "correct": "another BSN: the old flag is retracted first, then the new one published",
    "retract": "no longer in the list",
    "unchanged": "as before",
    "ended": "period and retention are over",
    "rejected": "",
}


@dataclass(frozen=True, slots=True)
class Step:
    """What happens with one row or reference. `line` counts from 1, the heading included."""

    action: Action
    local_ref: str
    reason: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What applying this does. Made without touching anything.

    Attributes:
        memory: What the connector remembers, written in the transaction of the last messages.
    """

    connector: str
    steps: list[Step]
    before: int
    after: int
    lost: int
    shrinks: bool
    cursor: Cursor | None
    publications: list[Publication] = field(repr=False)
    retractions: list[str] = field(repr=False)
    rejections: list[Rejection] = field(repr=False)
    memory: Memory = field(default=no_memory, repr=False)

    @property
    def counts(self) -> dict[str, int]:
        """How many of each action, all actions named."""
        found = Counter(step.action for step in self.steps)
        return {action: found[action] for action in REASONS}


class _Planner:
    """Collects the steps of one run; the last word about a reference counts."""

    def __init__(self, outbox: Outbox, rules: Rules, connector: str, names: Mapping[str, str]) -> None:
        self._outbox = outbox
        self._rules = rules
        self._names = names
        self._connector = connector
        self.steps: list[Step] = []
        self.rejections: list[Rejection] = []
        self.publications: dict[str, Publication] = {}
        self.retractions: dict[str, None] = {}
        self.seen: set[str] = set()

    def take(self, read: Read, known: Mapping[str, Flag], *, once: bool) -> None:
        """One item. `once`: a reference that comes twice is an error."""
        match read:
            case Fact(item=item, line=line):
                self._fact(read, str(item.get("localRef") or ""), known, line, once=once)
            case Gone(local_ref=local_ref, reason=reason, line=line):
                self._gone(local_ref, reason, known, line)
            case Nothing(reason=reason, line=line):
                self.steps.append(Step("unchanged", "", reason, line))
            case Refused(wrong=wrong, local_ref=local_ref, line=line):
                self.seen.add(local_ref)
                self._refuse(local_ref, wrong, line)

    def _fact(
        self, read: Fact, local_ref: str, known: Mapping[str, Flag], line: int | None, *, once: bool
    ) -> None:
        checked = self._rules.check(read.item, names=self._names)
        old = known.get(local_ref)
        if once and local_ref in self.seen:
            checked = [Wrong("localRef", "duplicate-reference", "This reference stands in the list twice.")]
        elif old is not None and old.meant_live and old.origin not in (self._connector, "api"):
            rule = "Another connector of this node passed this reference on."
            checked = [Wrong("localRef", "reference-of-another-source", rule)]
        self.seen.add(local_ref)
        if isinstance(checked, Publication):
            self.retractions.pop(local_ref, None)
            self.publications[local_ref] = checked
            action = self._action(old, checked)
            self.steps.append(Step(action, local_ref, read.reason or REASONS[action], line))
        elif [wrong.code for wrong in checked] == ["already-ended"]:
            self._drop(local_ref, old)
            self.steps.append(Step("ended", local_ref, REASONS["ended"], line))
        else:
            self._refuse(local_ref, checked, line)

    def _gone(self, local_ref: str, reason: str, known: Mapping[str, Flag], line: int | None) -> None:
        self.seen.add(local_ref)
        self._drop(local_ref, known.get(local_ref))
        if local_ref in self.retractions:
            self.steps.append(Step("retract", _shown(local_ref), reason, line))
        else:
            self.steps.append(Step("unchanged", _shown(local_ref), f"{reason}; nothing stood here", line))

    def _drop(self, local_ref: str, old: Flag | None) -> None:
        self.publications.pop(local_ref, None)
        if old is not None and old.meant_live:
            self.retractions[local_ref] = None

    def _refuse(self, local_ref: str, wrong: list[Wrong], line: int | None) -> None:
        named = _shown(local_ref)
        self.rejections += [Rejection(named, one, line) for one in wrong]
        reason = "; ".join(f"{one.field}: {one.detail}" for one in wrong)
        self.steps.append(Step("rejected", named, reason, line))

    def _action(self, old: Flag | None, new: Publication) -> Action:
        if old is None or old.state in ("retracted", "retracting"):
            return "publish"
        if self._outbox.is_same(old, new):
            return "unchanged"
        return "correct" if old.person != self._outbox.person_of(new) else "update"


def plan(
    items: Iterable[Read],
    outbox: Outbox,
    rules: Rules,
    *,
    connector: str,
    whole: bool,
    names: Mapping[str, str] | None = None,
    shrink_share: float = 0.2,
    position: str | None = None,
    memory: Memory = no_memory,
) -> Plan:
    """Compare what was read with what this node passed on before.

    Args:
        connector: Name of the source; flags under other names are not compared.
        whole: The items are everything that holds: what is missing is retracted.
        names: What the source calls the fields of `publication.FIELDS`.
        position: Where the cursor stands after this run; None keeps none.

    Raises:
        BadInput: The input as a whole cannot be read; nothing is decided.
    """
    found = deque(items)
    rows = sum(not isinstance(read, Nothing) for read in found)
    known = outbox.flags(_references(found)) | (outbox.flags_of(connector) if whole else {})
    own = {name: old for name, old in known.items() if old.origin == connector}
    live = {name for name, old in own.items() if old.meant_live}
    made = _Planner(outbox, rules, connector, names or {})
    while found:
        # Let go of at once: of a large list the rows and what becomes of them need not be there together.
        made.take(found.popleft(), known, once=whole)
    gone = sorted(live - made.seen) if whole else []
    made.steps += [Step("retract", name, REASONS["retract"]) for name in gone]
    cursor = None if position is None else Cursor(connector, rows, position, whole)
    return Plan(
        connector=connector,
        steps=made.steps,
        before=len(live),
        after=rows,
        lost=len(gone),
        shrinks=whole and (rows == 0 or len(gone) > shrink_share * len(live)),
        cursor=cursor,
        publications=[p for p in made.publications.values() if not outbox.is_same(known.get(p.local_ref), p)],
        retractions=[*gone, *made.retractions],
        rejections=made.rejections,
        memory=memory,
    )


async def apply(
    planned: Plan,
    intake: Intake,
    *,
    confirm_shrink: bool = False,
    progress: Callable[[int, int], None] | None = None,
    pseudonymised: Callable[[int], None] = lambda _count: None,
) -> None:
    """Do what was planned. Repeating it, or running it again after a crash, is harmless.

    Args:
        confirm_shrink: Somebody looked at the numbers and said that they are right.
        progress: Called with rows stored and rows in all.
        pseudonymised: Called with how many more rows are ready to be stored.

    Raises:
        ShrinkStops: The list lost too much and nobody confirmed it; nothing was done.
    """
    if planned.shrinks and not confirm_shrink:
        raise ShrinkStops(planned.before, planned.after)
    alive, died = await intake.alive.split(planned.publications)
    total = len(alive) + len(planned.retractions)
    batches = [alive[at : at + BATCH] for at in range(0, len(alive), BATCH)]
    early = planned.retractions if len(batches) > 1 else []
    if early:
        # First, so that nothing is shown longer than needed.
        await intake.submit(planned.connector, retractions=early)
    done = len(early)
    for batch in batches[:-1]:
        await intake.submit(planned.connector, publications=batch, done=pseudonymised)
        done += len(batch)
        if progress is not None:
            progress(done, total)
    # Cursor and the last messages commit together: it never stands past a row that is not stored.
    await intake.submit(
        planned.connector,
        publications=batches[-1] if batches else [],
        retractions=[] if early else planned.retractions,
        rejections=[*planned.rejections, *died],
        cursor=planned.cursor,
        memory=planned.memory,
        done=pseudonymised,
    )
    if progress is not None:
        progress(total, total)


def _references(items: Iterable[Read]) -> list[str]:
    named = [read.item.get("localRef") for read in items if isinstance(read, Fact)]
    named += [read.local_ref for read in items if isinstance(read, Gone)]
    return [ref for ref in dict.fromkeys(named) if isinstance(ref, str) and ref]


def _shown(local_ref: str) -> str:
    # A BSN typed into the wrong column must not come back on a screen or in a list.
    return local_ref if showable(local_ref) else ""


def showable(text: str) -> bool:
    """Whether a text of the source may stand on a screen: short, printable, no number of a person in it."""
    return 0 < len(text) <= 100 and text.isprintable() and not holds_bsn(text)
