"""Cedar asked again: would it give the outcomes that were recorded?

The table answers; Cedar filled it once. A recorded outcome names its row,
basis and rule, and each row says in which context Cedar must have allowed or
refused. What it says now is compared with that: by Cedar alone, without the
table and without `decide`.

Source: docs/design/policy.md, "Cost" (the background check).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from .decide import Asker
from .engine import Bundle, PolicyVersion, bundle
from .table import CONSENT, Context, Question, context_text, most_open
from .vocabulary import BASES, Kind

_VISIBLE = {
    4: "vitaal_belang",
    5: "vitaal_belang",
    8: "wettelijke_plicht",
    9: "wettelijke_taak",
    11: "toestemming",
}
_NEVER = -1


@dataclass(frozen=True, slots=True)
class Recorded:
    """What one kind came to, as the log keeps it: row 2 to 13, basis or empty, rule or 0."""

    kind: int
    row: int
    basis: str
    rule: int


class Difference(NamedTuple):
    """A recorded outcome that Cedar does not give. Names no person: role, kind and rows only."""

    role: str
    purpose: str
    kind: str
    row: int
    said: int


class _Asked(NamedTuple):
    """A question with what Cedar must say: a rule's number, 0 for no, or what it never says."""

    recorded: Recorded
    question: Question
    wanted: int


def differences(version: PolicyVersion, asker: Asker, recorded: Sequence[Recorded]) -> list[Difference]:
    """Outcomes that Cedar does not confirm. Row 13 says that something could not be read: no judgement.

    Raises:
        PublishError: Cedar gave no decision.
        UnknownCode: A number or code that this version does not have.
    """
    asked = [one for item in recorded for one in _questions(version, asker, item)]
    said = _bundle(version, asker.organisation_class, asker.profile, asker.role).ask(
        [one.question for one in asked]
    )
    return [
        Difference(asker.role, asker.purpose, one.question.kind, one.recorded.row, number)
        for one, number in zip(asked, said, strict=True)
        if number != one.wanted
    ]


@lru_cache(maxsize=64)
def _bundle(version: PolicyVersion, organisation_class: str, profile: str, role: str) -> Bundle:
    return bundle(
        version.vocabulary, version.rules, (organisation_class, profile, role), schema=version.schema
    )


def _questions(version: PolicyVersion, asker: Asker, item: Recorded) -> Iterator[_Asked]:
    kind = version.vocabulary.kind_by_number(item.kind)
    registered = _Registered(version, asker, kind)
    if item.row in _VISIBLE:
        context = _context_of(item.row, kind, mandate=registered.mandate(item.basis))
        if item.basis == _VISIBLE[item.row]:
            yield _Asked(item, registered.question(item.basis, context), item.rule)
        else:
            yield _Asked(item, registered.question(_VISIBLE[item.row], context), _NEVER)
    elif item.row == 3:
        for basis in (basis for basis in BASES if basis in kind.bases):
            context = most_open(basis, mandate=registered.mandate(basis))
            yield _Asked(item, registered.question(basis, context), 0)
    elif item.row == 7:
        # Without a case only danger opens, and that was not declared or not there.
        for basis in (basis for basis in kind.bases if basis != "vitaal_belang"):
            context = most_open(basis, mandate=registered.mandate(basis))._replace(has_case=False)
            yield _Asked(item, registered.question(basis, context), 0)


def _context_of(row: int, kind: Kind, *, mandate: bool) -> Context:
    """The barest context in which this row is visible."""
    if row in (4, 5):
        return Context(0, 0, False, True, row == 4, row == 5, mandate)
    consent = "none" if row != 11 else "grant!" if kind.explicit_consent else "grant"
    return Context(CONSENT.index(consent), 0, True, False, False, False, mandate)


class _Registered(NamedTuple):
    """What convenant and mandate give this asker for one kind."""

    version: PolicyVersion
    asker: Asker
    kind: Kind

    def mandate(self, basis: str) -> bool:
        role = self.version.vocabulary.role(self.asker.role)
        by_mandate = (
            role.mandate and basis == "wettelijke_taak" and self.kind.code not in role.wettelijke_taak
        )
        return by_mandate and self.kind.code in self.version.vocabulary.kinds_under(self.asker.mandate)

    def question(self, basis: str, context: Context) -> Question:
        convenant = self.asker.convenant
        covered = convenant is True or (convenant is not False and self.kind.code in convenant)
        return Question(
            self.kind.code, context_text(self.asker.purpose, basis, context, convenant=bool(covered))
        )
