"""A full list as CSV: what is new is published, what is gone is retracted, what changed is updated.

    bytes -> text -> rows -> checked facts -> compared with the list before -> Plan -> apply

`plan` touches nothing and says for each row what would happen and why; `apply`
does it. A list that loses more than a set share of its references, or is
empty, stops and asks. The cursor and the last messages are one transaction,
and every batch before it leaves the node's memory right, so a run that broke
off is simply repeated.

Source: docs/design/node.md, "CSV"; docs/design/ecosystem.md, "From message to publish or retract".
"""

import csv
import hashlib
import io
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from ..errors import BadInput, SettingsError, ShrinkStops, Wrong
from ..intake import Intake
from ..outbox import Cursor, Flag, Outbox, Rejection
from ..publication import FIELDS, Publication, Rules, holds_bsn

MAX_BYTES = 64 * 1024 * 1024
_BATCH = 10_000
"""Rows whose publications are in memory as pseudonyms, and queued in one transaction, at a time."""
_DUTCH = re.compile(r"(0?[1-9]|[12]\d|3[01])[-/](0?[1-9]|1[0-2])[-/](20\d\d)", re.ASCII)
_COMPACT = re.compile(r"(20\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])", re.ASCII)

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


class Mapped(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which column holds what. `kinds` turns own codes into kinds; a code not listed is rejected."""

    columns: dict[str, list[str]] = msgspec.field(default_factory=dict)
    kinds: dict[str, str] = msgspec.field(default_factory=dict)
    kind: str = ""


_COLUMNS: dict[str, list[str]] = {
    "bsn": ["bsn"],
    "kind": ["kind", "soort"],
    "local_ref": ["local_ref", "eigen_kenmerk"],
    "since": ["since", "sinds"],
    "until": ["until", "tot"],
}
_FIELD_OF = {"bsn": "bsn", "kind": "kind", "local_ref": "localRef", "since": "since", "until": "until"}


@dataclass(frozen=True, slots=True)
class Step:
    """What happens with one row or reference. `line` counts from 1, the heading included."""

    action: Action
    local_ref: str
    reason: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What applying this list does. Made without touching anything."""

    connector: str
    steps: list[Step]
    before: int
    after: int
    lost: int
    shrinks: bool
    position: str
    publications: list[Publication] = field(repr=False)
    retractions: list[str] = field(repr=False)
    rejections: list[Rejection] = field(repr=False)

    @property
    def counts(self) -> dict[str, int]:
        """How many of each action, all actions named."""
        found = Counter(step.action for step in self.steps)
        return {action: found[action] for action in REASONS}


def load_mapping(path: Path | None) -> Mapped:
    """The mapping of one list.

    Raises:
        SettingsError: The file is missing or holds something else.
    """
    if path is None:
        return Mapped()
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        columns = {
            name: [value] if isinstance(value, str) else value
            for name, value in raw.get("columns", {}).items()
        }
        mapped = msgspec.convert({**raw, "columns": columns}, Mapped)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError, AttributeError):
        raise SettingsError(f"mapping {path} is missing or not a mapping") from None
    if unknown := set(mapped.columns) - set(_COLUMNS):
        raise SettingsError(f"mapping {path}: unknown column {sorted(unknown)[0]}")
    return mapped


def plan(
    content: bytes,
    outbox: Outbox,
    rules: Rules,
    *,
    mapping: Mapped | None = None,
    shrink_share: float = 0.2,
    connector: str = "csv",
) -> Plan:
    """Compare a full list with what this node passed on before.

    Args:
        content: The file; UTF-8 or Windows-1252, `;` or `,`, with a heading.
        connector: Name of the list; lists with other names are not compared.

    Raises:
        BadInput: The file as a whole cannot be read; nothing is decided.
    """
    known = outbox.flags_of(connector)
    live = {name for name, old in known.items() if old.meant_live}
    steps: list[Step] = []
    publications: list[Publication] = []
    rejections: list[Rejection] = []
    seen: set[str] = set()
    ended: set[str] = set()
    rows = 0
    for line, row in _rows(content, mapping or Mapped()):
        rows += 1
        local_ref = row.get("localRef") or ""
        checked = rules.check(row, names=_names(mapping or Mapped()))
        if local_ref in seen:
            checked = [Wrong("localRef", "duplicate-reference", "This reference stands in the list twice.")]
        seen.add(local_ref)
        if isinstance(checked, Publication):
            steps.append(_step(known.get(local_ref), checked, outbox, line))
            publications.append(checked)
        elif [wrong.code for wrong in checked] == ["already-ended"]:
            ended.add(local_ref)
            steps.append(Step("ended", local_ref, REASONS["ended"], line))
        else:
            named = local_ref if _showable(local_ref) else ""
            rejections += [Rejection(named, wrong, line) for wrong in checked]
            reason = "; ".join(f"{wrong.field}: {wrong.detail}" for wrong in checked)
            steps.append(Step("rejected", named, reason, line))
    gone = sorted(live - seen)
    steps += [Step("retract", name, REASONS["retract"]) for name in gone]
    lost = len(gone)
    return Plan(
        connector=connector,
        steps=steps,
        before=len(live),
        after=rows,
        lost=lost,
        shrinks=rows == 0 or lost > shrink_share * len(live),
        position=hashlib.sha256(content).hexdigest()[:32],
        publications=[p for p in publications if not outbox.is_same(known.get(p.local_ref), p)],
        retractions=[*gone, *sorted(ended & live)],
        rejections=rejections,
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
    total = len(planned.publications) + len(planned.retractions)
    if planned.retractions:
        # First, so that nothing is shown longer than needed.
        await intake.submit(planned.connector, retractions=planned.retractions)
    batches = [planned.publications[at : at + _BATCH] for at in range(0, len(planned.publications), _BATCH)]
    done = len(planned.retractions)
    cursor = Cursor(planned.connector, planned.after, planned.position)

    for batch in batches[:-1]:
        await intake.submit(planned.connector, publications=batch, done=pseudonymised)
        done += len(batch)
        if progress is not None:
            progress(done, total)
    # Cursor and the last messages commit together: it never stands past a row that is not stored.
    await intake.submit(
        planned.connector,
        publications=batches[-1] if batches else [],
        rejections=planned.rejections,
        cursor=cursor,
        done=pseudonymised,
    )
    if progress is not None:
        progress(total, total)


def _step(old: Flag | None, new: Publication, outbox: Outbox, line: int) -> Step:
    action: Action
    if old is None or old.state in ("retracted", "retracting"):
        action = "publish"
    elif outbox.is_same(old, new):
        action = "unchanged"
    elif old.person != outbox.person_of(new):
        action = "correct"
    else:
        action = "update"
    return Step(action, new.local_ref, REASONS[action], line)


def _showable(local_ref: str) -> bool:
    # A BSN typed into the wrong column must not come back on a screen or in a list.
    return 0 < len(local_ref) <= 100 and local_ref.isprintable() and not holds_bsn(local_ref)


def _names(mapping: Mapped) -> Mapping[str, str]:
    return {_FIELD_OF[name]: columns[0] for name, columns in mapping.columns.items() if columns}


# --- reading -----------------------------------------------------------------------


def _text(content: bytes) -> str:
    if len(content) > MAX_BYTES:
        raise BadInput("file", "too-large", f"At most {MAX_BYTES // 1024 // 1024} MB.")
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise BadInput("file", "encoding", "The file is neither UTF-8 nor Windows-1252 text.")


def _rows(content: bytes, mapping: Mapped) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and item of each row; everything but the five fields is dropped here."""
    text = _text(content)
    heading = text.partition("\n")[0]
    delimiter = ";" if heading.count(";") >= heading.count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        places = _places(next(reader, []), mapping)
        for row in reader:
            if any(cell.strip() for cell in row):
                yield reader.line_num, _item(row, places, mapping)
    except csv.Error:
        rule = f"Line {reader.line_num} is not CSV: check the quotation marks."
        raise BadInput("file", "csv", rule) from None


def _places(heading: list[str], mapping: Mapped) -> dict[str, int]:
    found = [name.strip().casefold() for name in heading]
    places: dict[str, int] = {}
    for name, usual in _COLUMNS.items():
        wanted = [column.casefold() for column in mapping.columns.get(name, usual)]
        place = next((found.index(column) for column in wanted if column in found), None)
        if place is not None:
            places[name] = place
        elif not (name == "until" or (name == "kind" and mapping.kind)):
            raise BadInput("file", "missing-column", f"The heading has no column {wanted[-1]}.")
    return places


def _item(row: list[str], places: Mapping[str, int], mapping: Mapped) -> dict[str, Any]:
    cells = {_FIELD_OF[name]: row[at].strip() if at < len(row) else "" for name, at in places.items()}
    item: dict[str, Any] = {name: cells.get(name, "") for name in FIELDS}
    item["since"], item["until"] = _month(item["since"]), _month(item["until"]) or None
    if mapping.kind and "kind" not in places:
        item["kind"] = mapping.kind
    elif mapping.kinds:
        item["kind"] = mapping.kinds.get(item["kind"], "")
    return item


def _month(text: str) -> str:
    """A date in one of the Dutch forms as year and month; anything else stays as it is, to be refused."""
    if found := _DUTCH.fullmatch(text):
        return f"{found[3]}-{int(found[2]):02d}"
    if found := _COMPACT.fullmatch(text):
        return f"{found[1]}-{found[2]}"
    return text
