"""Worked cases through the real engine: ledger, folding, resolution, and the decision.

A case says what was chosen, who asks and what must come out, with basis and
row. Nothing of the engine is replaced here; the flag's own state, which is row
1 and the index's, is joined after the decision as the index does.

Source: docs/design/policy.md, "Publishing a version": `cases FILE`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from policy.decide import Asker, Circumstances, KindState, Outcome, decide
from policy.engine import PolicyVersion
from policy.table import Table

from .directive import Directive, Regime
from .resolve import Receiver, resolve
from .state import ChoiceState, decode, encode, fold


@dataclass(frozen=True, slots=True)
class CaseResult:
    """`expected` and `got` are (visible, basis, row)."""

    id: str
    story: str
    expected: tuple[bool, str | None, int]
    got: tuple[bool, str | None, int]

    @property
    def holds(self) -> bool:
        return self.expected == self.got


def run(path: Path, version: PolicyVersion) -> list[CaseResult]:
    """Decide every case of a file.

    Args:
        version: Published with every profile that the cases name.
    """
    document = json.loads(path.read_text(encoding="utf-8"))
    now = _moment(document["now"])
    return [_result(case, version, now) for case in document["cases"]]


def _result(case: Mapping[str, Any], version: PolicyVersion, now: datetime) -> CaseResult:
    expected = (case["expected"] == "visible", case["basis"], case["row"])
    outcome = _decided(case, version, now)
    got = (outcome.visible, outcome.basis, outcome.row)
    live = case["exists"] and case.get("flagState", "live") == "live"
    if not live and outcome.row != 13:
        got = (False, None, 1)
    return CaseResult(case["id"], case["story"], expected, got)


def _decided(case: Mapping[str, Any], version: PolicyVersion, now: datetime) -> Outcome:
    vocabulary = version.vocabulary
    kind, purpose = vocabulary.kind(case["kind"]), vocabulary.purpose(case["purpose"])
    state = ledger_of(case, now)
    measures = frozenset(case["subject"]["measures"])
    resolution = resolve(state, kind, Receiver(*case["receiver"]), purpose, now, measures=measures)
    states = {
        kind.number: KindState(
            resolution.effect,
            resolution.explicit,
            restricted=case["restriction"] == "active",
            objection=case["objection"],
        )
    }
    if case.get("engine") == "missingConsent":
        states = {}
    if case.get("engine") in ("error", "noDecision"):
        version = replace(version, table=Table())
    (outcome,) = decide(version, _asker(case, now), [kind], states, _circumstances(case))
    return outcome


def _asker(case: Mapping[str, Any], now: datetime) -> Asker:
    return Asker(
        role=case["role"],
        organisation_class="zorgverzekeraar" if case["role"] == "extern_zorg" else "gemeente",
        profile=case["profile"],
        purpose=case["purpose"],
        convenant=bool(case.get("convenant", False)),
        mandate=frozenset(item["act"] for item in case.get("mandate", []) if _moment(item["until"]) > now),
    )


def _circumstances(case: Mapping[str, Any]) -> Circumstances:
    declared = case["breakGlass"]
    return Circumstances(
        has_case=case["relation"] == "active",
        break_glass=declared["declared"] and case["relation"] != "crisisEnded",
        others_at_risk=declared["othersAtRisk"],
        incapable=declared["incapable"],
    )


def ledger_of(case: Mapping[str, Any], now: datetime) -> ChoiceState | None:
    """The state after all entries of a case, as a lookup would open it: encoded and decoded once."""
    state: ChoiceState | None = None
    for directive in _entries(case, now):
        state = fold(state, directive)
    return decode(encode(state)) if state else None


def _entries(case: Mapping[str, Any], now: datetime) -> Iterator[Directive]:
    age = case["subject"]["age"]
    regime: Regime = "ouder" if age < 12 else "samen" if age < 16 else "zelf"
    listed = sorted(case["directives"], key=lambda entry: int(entry["seq"]))
    number = 0
    for number, entry in enumerate(listed, start=1):
        yield _directive(entry, number, regime)
    for entry in listed:
        if entry.get("withdrawn"):
            number += 1
            yield Directive(
                number=number,
                group=_group(entry["id"] + " withdrawn"),
                effect="withdraw",
                from_=now,
                by=entry["by"],
                giver=entry.get("giver", ""),
                withdraws=_group(entry["id"]),
            )


def _directive(entry: Mapping[str, Any], number: int, regime: Regime) -> Directive:
    mandate_until = entry.get("mandateUntil")
    return Directive(
        number=number,
        group=_group(entry["id"]),
        effect=entry["effect"],
        category=tuple(entry["category"]),
        receiver=tuple(entry["receiver"]),
        purpose=tuple(entry["purpose"]),
        from_=_moment(entry["from"]),
        until=_moment(entry["until"]) if entry["until"] else None,
        explicit=entry["explicit"],
        by=entry["by"],
        regime=regime,
        giver=entry.get("giver", ""),
        evidence="" if entry.get("evidence") == "none" else "bewijs",
        evidence_until=_moment(mandate_until) if mandate_until else None,
        channel="formulier" if entry.get("provisional") else "portaal",
    )


def _group(name: str) -> bytes:
    return sha256(name.encode()).digest()[:16]


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
