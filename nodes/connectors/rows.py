"""A mapping says which column of a table holds what; the same for CSV, Excel and SQL.

    [columns]  bsn = "BSN"              own names of the five fields; a list gives alternatives
    [kinds]    "SHV" = "schuldhulp"     own codes of kinds; a code that is not listed is rejected
    [actions]  "verwijderen" = "retract"   own codes of the column `action`: publish, retract or nothing
    kind = "schuldhulp"                 where all rows are of one kind
    whole = false                       the rows are changes and not the whole list

The mapping is data, for columns and codes differ everywhere and change with
each release of a domain system. It is checked when the process starts.

Source: docs/design/ecosystem.md, "From message to publish or retract"; docs/sources.md.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from sys import intern
from typing import Any, Literal

import msgspec

from policy.vocabulary import Vocabulary

from ..errors import BadInput, SettingsError, Wrong
from ..publication import FIELDS
from .facts import Fact, Gone, Nothing, Read, Reading, Refused

PACKAGED = Path(__file__).parent / "mappings"
"""Mappings that come with the product; a customer copies one and changes it."""
_DUTCH = re.compile(r"(0?[1-9]|[12]\d|3[01])[-/](0?[1-9]|1[0-2])[-/](20\d\d)", re.ASCII)
_COMPACT = re.compile(r"(20\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])", re.ASCII)

RowAction = Literal["publish", "retract", "nothing"]


class Mapped(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which column holds what, and what codes mean. `experimental`: not yet seen on a customer's file."""

    columns: dict[str, list[str]] = msgspec.field(default_factory=dict)
    kinds: dict[str, str] = msgspec.field(default_factory=dict)
    actions: dict[str, RowAction] = msgspec.field(default_factory=dict)
    kind: str = ""
    whole: bool = True
    experimental: bool = False

    @property
    def has_action(self) -> bool:
        """Whether each row says itself what to do."""
        return bool(self.actions) or not self.whole


COLUMNS: dict[str, list[str]] = {
    "bsn": ["bsn"],
    "kind": ["kind", "soort"],
    "local_ref": ["local_ref", "eigen_kenmerk"],
    "since": ["since", "sinds"],
    "until": ["until", "tot"],
    "action": ["mutatie", "action"],
}
ACTIONS: dict[str, RowAction] = {"toevoegen": "publish", "wijzigen": "publish", "verwijderen": "retract"}
"""Codes of the column `mutatie` where the mapping gives no others."""
_FIELD_OF = {
    "bsn": "bsn",
    "kind": "kind",
    "local_ref": "localRef",
    "since": "since",
    "until": "until",
    "action": "action",
}


def load_mapping(path: Path | None, vocabulary: Vocabulary | None = None) -> Mapped:
    """The mapping of one list. Its kinds are checked where the vocabulary is given.

    Raises:
        SettingsError: The file is missing or holds something else; names the key that is wrong.
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
    if unknown := set(mapped.columns) - set(COLUMNS):
        raise SettingsError(f"mapping {path}: unknown column {sorted(unknown)[0]}")
    check_kinds(path, [*mapped.kinds.values(), *([mapped.kind] if mapped.kind else [])], vocabulary)
    return mapped


def check_kinds(path: Path, kinds: Iterable[str], vocabulary: Vocabulary | None) -> None:
    """Refuse a mapping that names a kind which does not exist: its rows would all be rejected.

    Raises:
        SettingsError: Names the kind.
    """
    if vocabulary is None:
        return
    for kind in kinds:
        if not vocabulary.has_kind(kind):
            raise SettingsError(f"mapping {path}: kind {kind} is not in the vocabulary")


def names_of(mapping: Mapped) -> Mapping[str, str]:
    """What this source calls the fields, for errors."""
    return {_FIELD_OF[name]: columns[0] for name, columns in mapping.columns.items() if columns}


def places_of(heading: Sequence[str], mapping: Mapped, *, action: bool) -> dict[str, int]:
    """The position of each field in a row.

    Args:
        action: Whether a column must say what to do with each row.

    Raises:
        BadInput: The heading lacks a column that is needed.
    """
    found = [name.strip().casefold() for name in heading]
    places: dict[str, int] = {}
    optional = {"until"} | ({"kind"} if mapping.kind else set()) | (set() if action else {"action"})
    for name, usual in COLUMNS.items():
        wanted = [column.casefold() for column in mapping.columns.get(name, usual)]
        place = next((found.index(column) for column in wanted if column in found), None)
        if place is not None:
            places[name] = place
        elif name not in optional:
            raise BadInput("file", "missing-column", f"The heading has no column {wanted[-1]}.")
    return places


def dropped(heading: Sequence[str], mapping: Mapped) -> list[str]:
    """The columns of which nothing is read.

    Raises:
        BadInput: The heading lacks a column that is needed.
    """
    places = places_of(heading, mapping, action=mapping.has_action)
    if not mapping.has_action:
        places.pop("action", None)
    return [name.strip() for at, name in enumerate(heading) if at not in places.values() and name.strip()]


def read_rows(
    rows: Iterable[tuple[int, Sequence[object]]],
    heading: Sequence[str],
    mapping: Mapped,
    *,
    changes: bool = False,
) -> Reading:
    """Each row as a fact, or as what its action says. Everything but the fields is dropped here.

    Args:
        rows: Line number and cells.
        changes: The rows come by a cursor: a column with actions is read where there is one.
    """
    places = places_of(heading, mapping, action=mapping.has_action and not changes)
    acts = "action" in places and (mapping.has_action or changes)
    for line, cells in rows:
        yield _read(line, cells, places, mapping, acts=acts)


def _read(
    line: int, cells: Sequence[object], places: Mapping[str, int], mapping: Mapped, *, acts: bool
) -> Read:
    texts = {name: _text(cells[at]) if at < len(cells) else "" for name, at in places.items()}
    item: dict[str, Any] = dict.fromkeys(FIELDS, "")
    item.update({_FIELD_OF[name]: text for name, text in texts.items() if name != "action"})
    item["since"], item["until"] = month_text(item["since"]), month_text(item["until"]) or None
    if mapping.kind and "kind" not in places:
        item["kind"] = mapping.kind
    elif mapping.kinds:
        item["kind"] = mapping.kinds.get(item["kind"], "")
    # The same few months and kinds stand in every row of a large list.
    item["since"], item["kind"] = intern(item["since"]), intern(item["kind"])
    if not acts:
        return Fact(item, line)
    match (mapping.actions or ACTIONS).get(texts["action"]):
        case "publish":
            return Fact(item, line)
        case "retract":
            return Gone(item["localRef"], "the source takes it back", line)
        case "nothing":
            return Nothing("the source's state says nothing yet", line)
        case _:
            rule = "This code is not in the mapping."
            return Refused([Wrong("action", "unknown-code", rule)], item["localRef"], line)


def _text(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, datetime):
        return cell.date().isoformat()
    if isinstance(cell, date):
        return cell.isoformat()
    return str(cell).strip()


def month_text(text: str) -> str:
    """A date in one of the Dutch forms as year and month; anything else stays as it is, to be refused."""
    if found := _DUTCH.fullmatch(text):
        return f"{found[3]}-{int(found[2]):02d}"
    if found := _COMPACT.fullmatch(text):
        return f"{found[1]}-{found[2]}"
    return text
