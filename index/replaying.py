"""One recorded decision again: under the version of then, would the same come out?

    entry -> version that it names, rebuilt from its stored texts and checked by hash
    -> who asked, with profile, convenants and mandates as registered then
    -> each recorded outcome asked of Cedar again

The entry holds per kind what came out and by which row, basis and rule. The row
says which kind of choice was in force then (row 11 a yes, row 12 none, row 2 a
restriction); the choice itself lies under the person's key, and only a node that
knows the person can lay it beside.

Source: docs/design/officers.md; screens.md O5.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from index.accesslog.reading import Found
from index.acts import Refused
from index.policies import apart
from index.protocol.codec import unb64u
from index.protocol.entry import SOMETHING, kinds_shown
from index.recheck import ask_again, decision_of, without_table

if TYPE_CHECKING:
    from index.hub import Hub

Outcome = Literal["same", "different", "unknown"]


@dataclass(frozen=True, slots=True)
class KindThen:
    """What one kind came to: its row (2 to 13), basis or empty, and whether the flag was shown."""

    kind: str
    row: int
    basis: str
    rule: int
    shown: bool
    same: bool


@dataclass(frozen=True, slots=True)
class Replayed:
    """The comparison. `unknown` where it cannot be told which kinds were decided about."""

    year: int
    index: int
    at: datetime
    version: int
    role: str
    purpose: str
    organisation: str
    outcome: Outcome
    kinds: tuple[KindThen, ...]


def replay(hub: Hub, year: int, index: int) -> Replayed:
    """Replay one look. Blocks: an old version is built anew, which takes seconds.

    Raises:
        Refused: The entry is no look, or no longer kept.
    """
    with hub.reading() as connection:
        found = hub.log_reader.at(connection, year, index)
        if found is None or found.asker.t != "lookup":
            raise Refused("This entry is not a look, or is no longer kept.")
        version = hub.policies.then(connection, found.asker.pv)
    decision = decision_of(
        found.opened, {version.number: version.vocabulary}, hub.policies.registers, hub.directory
    )
    if decision is None:
        return _replayed(found, "unknown", ())
    wrong = {(one.kind, one.row) for one in apart(ask_again, without_table(version), [decision])}
    shown = set(kinds_shown(unb64u(found.asker.shown)))
    kinds = []
    for one in decision.outcomes:
        code = version.vocabulary.kind_by_number(one.kind).code
        told = one.kind in shown or (SOMETHING in shown and bool(one.basis))
        kinds.append(KindThen(code, one.row, one.basis, one.rule, told, (code, one.row) not in wrong))
    same = not wrong and decision.hash == version.hash
    return _replayed(found, "same" if same else "different", tuple(kinds))


def _replayed(found: Found, outcome: Outcome, kinds: tuple[KindThen, ...]) -> Replayed:
    asker = found.asker
    at = datetime.fromtimestamp(asker.ts / 1000, UTC)
    return Replayed(
        found.year, found.index, at, asker.pv, asker.role, asker.purpose, asker.org, outcome, kinds
    )
