"""Worked cases through the real engine: ledger, folding, resolution, and the decision.

A case says what was chosen, who asks and what must come out, with basis and
row. Nothing of the engine is replaced here; the flag's own state, which is row
1 and the index's, is joined after the decision as the index does.

Source: docs/design/policy.md, "Publishing a version": `cases FILE`.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from policy.decide import Asker, Circumstances, KindState, Objection, Outcome, decide
from policy.engine import PolicyVersion
from policy.table import Table
from policy.vocabulary import BASES

from .directive import Directive, Giver, Regime
from .resolve import Receiver, resolve
from .state import ChoiceState, decode, encode, fold


class CasesError(ValueError):
    """A file of cases that cannot be run. Says where: a line, or the case and the field."""


@dataclass(frozen=True, slots=True)
class CaseResult:
    """`expected` and `got` are (visible, basis, row); `rule` is the permit that decided, or empty."""

    id: str
    story: str
    expected: tuple[bool, str | None, int]
    got: tuple[bool, str | None, int]
    rule: str = ""

    @property
    def holds(self) -> bool:
        return self.expected == self.got


class _Entry(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    id: str
    effect: Literal["grant", "deny", "slot"]
    category: list[str]
    receiver: list[str]
    purpose: list[str]
    seq: int
    by: Giver
    explicit: bool
    from_: datetime = msgspec.field(name="from")
    until: datetime | None
    withdrawn: bool = False
    giver: str = ""
    provisional: bool = False
    confirms: str = ""
    mandate_until: datetime | None = None
    evidence: Literal["none", "present"] = "present"


class _Declared(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    declared: bool
    others_at_risk: bool
    incapable: bool


class _Subject(msgspec.Struct, forbid_unknown_fields=True):
    age: Annotated[int, msgspec.Meta(ge=0, le=150)]
    measures: list[Literal["curatele", "mentorschap", "bewind"]]


class _Act(msgspec.Struct, forbid_unknown_fields=True):
    act: str
    until: datetime


class _Case(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """The form of one case; what is read from it stays the plain JSON."""

    id: str
    story: str
    profile: str
    role: str
    receiver: Annotated[list[str], msgspec.Meta(min_length=3, max_length=3)]
    relation: Literal["active", "none", "ended", "otherPurpose", "crisis", "crisisEnded"]
    purpose: str
    kind: str
    exists: bool
    directives: list[_Entry]
    restriction: Literal["none", "active", "lifted"]
    objection: Objection
    break_glass: _Declared
    subject: _Subject
    expected: Literal["visible", "hidden"]
    basis: str | None
    row: Annotated[int, msgspec.Meta(ge=1, le=13)]
    flag_state: Literal["live", "retracted", "expired", "pastRetention", "suspended"] = "live"
    convenant: bool = False
    via: list[int] = []
    engine: Literal["ok", "error", "noDecision", "missingConsent"] = "ok"
    mandate: list[_Act] = []
    notice: Literal["postponed", "direct"] = "direct"


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    now: datetime
    cases: list[_Case]
    note: str = ""


def run(path: Path, version: PolicyVersion) -> list[CaseResult]:
    """Decide every case of a file, at the moment that the file names.

    Args:
        version: Published with every profile that the cases name.

    Raises:
        CasesError: The file is no file of cases, or names what this version does not have.
    """
    document = _read(path, version)
    now = _moment(document["now"])
    return [_result(case, version, now) for case in document["cases"]]


def _read(path: Path, version: PolicyVersion) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise CasesError(f"line {error.lineno}, column {error.colno}: not JSON: {error.msg}") from None
    except UnicodeDecodeError:
        raise CasesError("not UTF-8 text") from None
    try:
        checked = msgspec.convert(document, _Document)
    except msgspec.ValidationError as error:
        raise CasesError(_placed(str(error), document)) from None
    faults = [fault for case in checked.cases for fault in _unknown(case, version)]
    faults += [f"case {name}: stands twice" for name, times in _counted(checked).items() if times > 1]
    if faults:
        raise CasesError("\n".join(faults))
    return dict(document)


def _placed(message: str, document: Any) -> str:
    """A message of the decoder with the case's own id in place of its index."""
    reason, _, place = message.partition(" - at `$")
    found = re.match(r"\.cases\[(\d+)\]\.?(.*?)`?$", place)
    if found is None:
        return f"{place.rstrip('`').lstrip('.') or 'file'}: {reason}"
    case = document["cases"][int(found.group(1))]
    name = case.get("id") if isinstance(case, dict) else None
    told = f"case {name}" if isinstance(name, str) else f"case number {int(found.group(1)) + 1}"
    return f"{told}: {found.group(2) + ': ' if found.group(2) else ''}{reason}"


def _counted(document: _Document) -> Counter[str]:
    return Counter(case.id for case in document.cases)


def _unknown(case: _Case, version: PolicyVersion) -> Iterator[str]:
    """Codes that the version does not have, each with its place."""
    vocabulary = version.vocabulary
    if case.profile not in version.profiles:
        yield f"case {case.id}: profile: no such profile in this version"
    for field, code, known in (
        ("role", case.role, vocabulary.has_role),
        ("kind", case.kind, vocabulary.has_kind),
        ("purpose", case.purpose, vocabulary.has_purpose),
        ("basis", case.basis or "", lambda basis: basis in ("", *BASES)),
    ):
        if not known(code):
            yield f"case {case.id}: {field}: no such {field} in the vocabulary"
    domains = {scope.code for scope in vocabulary.scopes}
    paths = {purpose.path for purpose in vocabulary.purposes}
    broader = {path[:length] for path in paths for length in range(3)}
    for entry in case.directives:
        place = f"case {case.id}: directive {entry.id}"
        category, domain = tuple(entry.category), entry.category[0] if entry.category else None
        kind = category[1] if len(category) == 2 else None
        if len(category) > 2 or (domain is not None and domain not in domains):
            yield f"{place}: category: no such domain in the vocabulary"
        elif kind is not None and not (vocabulary.has_kind(kind) and vocabulary.kind(kind).domain == domain):
            yield f"{place}: category: no such kind in this domain"
        if tuple(entry.purpose) not in broader:
            yield f"{place}: purpose: no such purpose in the vocabulary"
    for item in case.mandate:
        if item.act not in {act.code for act in vocabulary.mandate_acts}:
            yield f"case {case.id}: mandate: no such act in the vocabulary"


def _result(case: Mapping[str, Any], version: PolicyVersion, now: datetime) -> CaseResult:
    expected = (case["expected"] == "visible", case["basis"], case["row"])
    outcome = _decided(case, version, now)
    got = (outcome.visible, outcome.basis, outcome.row)
    live = case["exists"] and case.get("flagState", "live") == "live"
    if not live and outcome.row != 13:
        got = (False, None, 1)
    rule = version.rule(outcome.rule).id if outcome.rule else ""
    return CaseResult(case["id"], case["story"], expected, got, rule)


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
