"""Two versions side by side: what opens, what closes, and what a later version may not change.

Cells are Cedar's stored answers: (organisation class, profile, role, purpose,
kind, basis, context). A cell that is open in the one and not in the other is a
difference; there is no other way in which rules can differ for an asker.

Source: docs/design/policy.md, "Publishing a version" and "What would change if".
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from .engine import PolicyVersion
from .vocabulary import Vocabulary


class Cell(NamedTuple):
    """One thing that a role may see, or may no longer."""

    organisation_class: str
    profile: str
    role: str
    purpose: str
    kind: str
    basis: str


def opened(
    old: PolicyVersion,
    new: PolicyVersion,
    *,
    profiles: tuple[str, str] | None = None,
    classes: tuple[str, ...] = (),
) -> list[Cell]:
    """Cells with a context that `new` opens and `old` does not; swapped, those that it closes.

    Args:
        profiles: Compare this profile of `old` with that one of `new`; both must be filled.
        classes: Only these organisation classes.

    Raises:
        ValueError: A profile to compare is not filled: nothing can be said of it.
    """
    if profiles and (profiles[0] not in old.filled or profiles[1] not in new.filled):
        raise ValueError("a profile that is not filled cannot be compared")
    found: dict[Cell, None] = {}
    for organisation_class, profile, role, purpose in new.table.sheets:
        if (classes and organisation_class not in classes) or (profiles and profile != profiles[1]):
            continue
        before = _answers(old, (organisation_class, profiles[0] if profiles else profile, role, purpose))
        for (kind, basis, cell), number in _answers(
            new, (organisation_class, profile, role, purpose)
        ).items():
            if number and not before.get((kind, basis, cell)):
                found[Cell(organisation_class, profile, role, purpose, kind, basis)] = None
    return list(found)


def _answers(version: PolicyVersion, asker: tuple[str, str, str, str]) -> dict[tuple[str, str, int], int]:
    sheet = version.table.sheets.get(asker)
    if sheet is None:
        return {}
    return {
        (version.vocabulary.kind_by_number(kind).code, basis, cell): number
        for kind, cells in sheet.items()
        for basis, answers in cells.answers.items()
        for cell, number in answers.items()
    }


def broken_promises(old: Vocabulary, new: Vocabulary) -> Iterator[str]:
    """What a later version may not change, for rows and log entries name it by number. A sentence each."""
    for name, before, after in (
        ("kind", old.kinds, new.kinds),
        ("role", old.roles, new.roles),
        ("purpose", old.purposes, new.purposes),
    ):
        now: dict[int, Any] = {item.number: item for item in after}
        for item in before:
            later = now.get(item.number)
            if later is None:
                yield f"{name} {item.code} is gone; switch it off instead"
            elif later.code != item.code:
                yield f"number {item.number} of {name} {item.code} is given to another"
    for kind in old.kinds:
        if new.has_kind(kind.code) and new.kind(kind.code).domain != kind.domain:
            yield f"kind {kind.code} moves to another scope; what is stored lies under the old one"


def more_than_permits(old: Vocabulary, new: Vocabulary) -> bool:
    """Whether two vocabularies differ in anything but what permits are made from."""
    return bool(_without_permits(old) != _without_permits(new))


def _without_permits(vocabulary: Vocabulary) -> Any:
    document = msgspec.to_builtins(vocabulary.document)
    document["version"] = 0
    for kind in document["kind"]:
        kind["enabled"] = False
    for role in document["role"]:
        for basis in ("purposes", "wettelijke_plicht", "wettelijke_taak", "toestemming", "vitaal_belang"):
            role[basis] = ()
    return document
