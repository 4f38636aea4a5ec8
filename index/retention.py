"""How long lines of the log are kept: which key seals them, and when that key dies.

    class `log-own`      the hub's own entries about nobody: kept, they prove the rest
    class `log-mN`       lines of a purpose with a term of its own, N months
    class `log`          all others

A key per class and month, so its number says nothing about a person, and
destroying it shreds every copy of the month's lines, in any backup. A line
keeps the term that held when it was recorded.

Source: docs/design/access-log.md, "Erasure and retention".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from index.accesslog.keys import LOG_KEYS

if TYPE_CHECKING:
    from index.keystore import DatedKey
    from index.protocol.entry import EntryDraft
    from index.settings import HubSettings

KEPT = "log-own"
_WITH_TERM = "log-m"
_OWN = frozenset({"admin", "erase", "heads", "policy", "key", "rotate"})


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms in force, in months; `by_purpose` where one differs from `default`."""

    default: int
    by_purpose: Mapping[str, int]

    @classmethod
    def of(cls, settings: HubSettings) -> Self:
        default = settings.retention_default_months
        return cls(default, {p: m for p, m in settings.retention_months.items() if m != default})

    @property
    def classes(self) -> tuple[str, ...]:
        """Every class that may seal an entry now."""
        own = sorted({f"{_WITH_TERM}{months}" for months in self.by_purpose.values()})
        return (LOG_KEYS, KEPT, *own)

    def class_of(self, draft: EntryDraft) -> str:
        """The class that seals an entry. Nothing about a person is kept for good."""
        said = draft.statement or draft.told
        if said is None:
            return KEPT if draft.t in _OWN and not draft.lids else LOG_KEYS
        months = self.by_purpose.get(said.purpose)
        return LOG_KEYS if months is None else f"{_WITH_TERM}{months}"

    def ends(self, key: DatedKey) -> datetime | None:
        """When a key of the log is to be destroyed: its months after the end of its month; None for never."""
        if key.kind == LOG_KEYS:
            months = self.default
        elif key.kind.startswith(_WITH_TERM):
            months = int(key.kind.removeprefix(_WITH_TERM))
        else:
            return None
        year, month = map(int, key.month.split("-"))
        at = year * 12 + month - 1 + 1 + months
        return datetime(at // 12, at % 12 + 1, 1, tzinfo=UTC)
