"""Which lines of the access log a citizen gets later: those that would tell of child safety too early.

    whose legal task here is only such kinds     every line of that role
    a line that names such a kind                that line

The kinds are those marked `compelling_child_safety`: jeugdbescherming, corv,
veilig_thuis. It follows from the asker and from what the asker is shown, and
from nothing that stays hidden, so it tells the asker nothing. It changes no
decision. Hub and node compute it alike: a hub cannot postpone more than this.

Source: docs/design/policy-and-consent.md, "Postponed notice"; policy.md R9.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Self, get_args

from .vocabulary import Vocabulary

Reason = Literal["onderzoek_loopt", "veiligheid_kind", "veiligheid_ander"]
"""Why an officer may postpone once more, for at most `notice_postponement_step_days`."""
CITIZEN = "burger"
REASONS: tuple[Reason, ...] = get_args(Reason)


@dataclass(frozen=True, slots=True)
class Postponement:
    """The rule for one vocabulary: kind numbers, and codes of roles."""

    kinds: frozenset[int]
    roles: frozenset[str]

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> Self:
        compelling = {kind.code: kind.number for kind in vocabulary.kinds if kind.compelling_child_safety}
        tasks = {role.code: set(role.kinds_on("wettelijke_taak")) for role in vocabulary.roles}
        roles = {code for code, task in tasks.items() if task and task <= compelling.keys()}
        return cls(frozenset(compelling.values()), frozenset(roles))

    def postpones(self, role: str, shown: Iterable[int] = ()) -> bool:
        """Whether notice of a line is postponed: by who asks, or by the kind numbers that it names.

        What citizens look at themselves is not news to them.
        """
        if role == CITIZEN:
            return False
        return role in self.roles or not self.kinds.isdisjoint(shown)
