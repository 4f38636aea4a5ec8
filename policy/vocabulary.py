"""The words of the index: kinds, purposes, roles, legal bases, profiles, limits.

A vocabulary is loaded whole or not at all. Every field of a kind is required,
an unknown field is refused, and what one part says of another is checked, so
that a slip of the pen cannot open anything. Errors name the entry, the field
and the line.

Source: docs/design/policy.md, "Starting vocabulary"; R1.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar, get_args

import msgspec
import rfc8785

from .coherence import contradictions
from .entries import (
    AtRisk,
    Basis,
    CrisisReason,
    Document,
    Kind,
    MandateAct,
    OrganisationClass,
    Profile,
    Purpose,
    Role,
    UnknownCode,
    Way,
    Zrm,
)

__all__ = [
    "BASES",
    "SCOPES",
    "AtRisk",
    "Basis",
    "CrisisReason",
    "Kind",
    "MandateAct",
    "OrganisationClass",
    "Profile",
    "Purpose",
    "Role",
    "UnknownCode",
    "Vocabulary",
    "VocabularyError",
    "Way",
    "Zrm",
    "load_vocabulary",
    "parse_vocabulary",
]

PACKAGED = Path(__file__).parent / "data" / "vocabulary.toml"
SCOPES = ("geld", "werk", "zorg", "jeugd", "onderwijs", "veiligheid")
BASES = ("wettelijke_plicht", "wettelijke_taak", "vitaal_belang", "toestemming")
"""Legal bases in the order of the decision table; the codes of `Vocabulary.bases`."""

E = TypeVar("E")


class VocabularyError(Exception):
    """The vocabulary cannot be loaded. Says which entry, which field and which line."""

    def __init__(self, table: str, code: str, field: str, line: int, reason: str) -> None:
        self.table, self.code, self.field, self.line, self.reason = table, code, field, line, reason
        place = f"{table} {code}".strip()
        named = f"field {field}: " if field else ""
        super().__init__(f"line {line}: {place}: {named}{reason}")


class Vocabulary:
    """A checked vocabulary. Tuples keep the order of the file; kinds are sorted by number."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.name, self.version = document.vocabulary, document.version
        self.kinds = tuple(sorted(document.kind, key=lambda kind: kind.number))
        self.purposes, self.roles, self.bases = document.purpose, document.role, document.basis
        self.scopes, self.zrm, self.profiles = document.scope, document.zrm, document.profile
        self.organisation_classes = document.organisation.classes
        self.mandate_acts = document.mandate_act
        self.limits, self.crisis, self.switch = document.limits, document.crisis, document.switch
        self._kinds = {kind.code: kind for kind in self.kinds}
        self._by_number = {kind.number: kind for kind in self.kinds}
        self._by_scope = {
            scope.code: tuple(kind for kind in self.kinds if kind.domain == scope.code)
            for scope in self.scopes
        }
        self._purposes = {purpose.code: purpose for purpose in self.purposes}
        self._roles = {role.code: role for role in self.roles}
        self._bases: dict[str, Basis] = {basis.code: basis for basis in self.bases}
        self._profiles = {profile.code: profile for profile in self.profiles}
        self._classes = {item.code: item for item in self.organisation_classes}
        self._acts = {act.code: act for act in self.mandate_acts}
        self._zrm = {item.code: item for item in self.zrm}
        self._ways = {(way.organisation, way.team): way for way in document.way}
        self._reasons = {reason.code: reason for reason in self.crisis.reason}
        self._at_risk = {answer.code: answer for answer in self.crisis.at_risk}
        self.hash = sha256(rfc8785.dumps(msgspec.to_builtins(document))).digest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.hash == other.hash

    def __hash__(self) -> int:
        return int.from_bytes(self.hash[:8], "big")

    def kind(self, code: str) -> Kind:
        """Raises `UnknownCode`, as do all lookups by code here."""
        return _get(self._kinds, code, "kind")

    def kind_by_number(self, number: int) -> Kind:
        try:
            return self._by_number[number]
        except KeyError:
            raise UnknownCode("no kind with this number") from None

    def kinds_of(self, scope: str) -> tuple[Kind, ...]:
        """The kinds of one scope, by rising number."""
        return self._by_scope.get(scope, ())

    def has_kind(self, code: str) -> bool:
        return code in self._kinds

    def purpose(self, code: str) -> Purpose:
        return _get(self._purposes, code, "purpose")

    def has_purpose(self, code: str) -> bool:
        return code in self._purposes

    def role(self, code: str) -> Role:
        return _get(self._roles, code, "role")

    def has_role(self, code: str) -> bool:
        return code in self._roles

    def basis(self, code: str) -> Basis:
        return _get(self._bases, code, "basis")

    def profile(self, code: str) -> Profile:
        return _get(self._profiles, code, "profile")

    def organisation_class(self, code: str) -> OrganisationClass:
        return _get(self._classes, code, "organisation class")

    def mandate_act(self, code: str) -> MandateAct:
        return _get(self._acts, code, "mandate act")

    def life_domain(self, code: str) -> Zrm:
        return _get(self._zrm, code, "life domain")

    def way_of(self, organisation: str, team: str, profile: str) -> Way:
        """How a team's desk works: its own way, else what the organisation's profile shows by.

        Args:
            organisation: OIN.
            profile: Code; an unknown one shows a list.
        """
        own = self._ways.get((organisation, team)) or self._ways.get(("", team))
        zrm = profile in self._profiles and self._profiles[profile].view == "zrm"
        return own or Way(team, "zrm" if zrm else "list")

    def crisis_reason(self, code: str) -> CrisisReason:
        return _get(self._reasons, code, "crisis reason")

    def at_risk(self, code: str) -> AtRisk:
        return _get(self._at_risk, code, "answer to who is at risk")

    def kinds_under(self, acts: Iterable[str]) -> frozenset[str]:
        """Kinds of the acts registered for `generalist_mandaat`; an unknown act gives none."""
        return frozenset(kind for act in acts if act in self._acts for kind in self._acts[act].kinds)


def load_vocabulary(path: Path | None = None) -> Vocabulary:
    """Read and check a vocabulary.

    Args:
        path: A TOML file; without it the one that is packaged with the product.

    Raises:
        VocabularyError: A field is missing, unknown, of the wrong type, or
            contradicts another. Nothing is loaded then.
    """
    text = (path or PACKAGED).read_text(encoding="utf-8")
    return parse_vocabulary(text)


def parse_vocabulary(text: str) -> Vocabulary:
    """As `load_vocabulary`, from text."""
    place = _Places(text)
    raw = _raw(text)
    try:
        document = msgspec.convert(raw, Document)
    except msgspec.ValidationError as error:
        raise place.of_type_error(str(error), raw) from None
    for contradiction in contradictions(document, place.error):
        raise contradiction
    return Vocabulary(document)


def errors_in(text: str) -> list[VocabularyError]:
    """Everything that keeps a vocabulary from being loaded; empty when it can be.

    What other entries say of an entry with a wrong field is judged as if that
    field were right, so that one slip is not reported twice.
    """
    try:
        raw = _raw(text)
    except VocabularyError as error:
        return [error]
    place = _Places(text)
    found = list(_type_errors(raw, place))
    spoilt = {(error.table, error.code) for error in found}
    try:
        document = msgspec.convert(raw, Document)
    except msgspec.ValidationError:
        return found
    for contradiction in contradictions(document, place.error):
        if isinstance(contradiction, VocabularyError) and _entry_of(contradiction) not in spoilt:
            found.append(contradiction)
    return found


def codes_in(text: str) -> dict[str, set[str]]:
    """The codes of each table of a file, also of one that cannot be loaded; empty when it is not TOML."""
    try:
        raw = _raw(text)
    except VocabularyError:
        return {}
    tables = {**raw, "organisation": raw.get("organisation", {}).get("class", [])}
    return {
        name: {str(entry.get("code")) for entry in entries if isinstance(entry, dict)}
        for name, entries in tables.items()
        if isinstance(entries, list)
    }


def _raw(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        line = int(found.group(1)) if found else 0
        raise VocabularyError("file", "", "", line, "not TOML") from None


def _entry_of(error: VocabularyError) -> tuple[str, str]:
    return error.table, error.code


def _type_errors(raw: dict[str, Any], place: "_Places") -> Iterator[VocabularyError]:
    """Every missing, unknown or mistyped field. Mends `raw` so that the rest can be judged."""
    known = {field.name: field for field in msgspec.structs.fields(Document)}
    for name in [name for name in raw if name not in known]:
        yield place.error(name, 0, "", "", "no such table")
        del raw[name]
    for name, field in known.items():
        entry_type = next((one for one in get_args(field.type) if _is_struct(one)), None)
        value = raw.get(name)
        if entry_type is not None and isinstance(value, list):
            for index, entry in enumerate(value):
                yield from _entry_errors(entry, entry_type, (name, index, value), place)
            continue
        try:
            msgspec.convert({**raw, **_emptied(known, but=name)}, Document)
        except msgspec.ValidationError as error:
            yield place.of_type_error(str(error), raw)


def _is_struct(one: object) -> bool:
    return isinstance(one, type) and issubclass(one, msgspec.Struct)


def _emptied(known: Mapping[str, msgspec.structs.FieldInfo], *, but: str) -> dict[str, list[object]]:
    """The lists of the document as empty ones: what is left to judge is the table `but`."""
    lists = [name for name, field in known.items() if any(_is_struct(one) for one in get_args(field.type))]
    return {name: [] for name in lists if name != but}


def _entry_errors(
    entry: dict[str, Any],
    entry_type: type[msgspec.Struct],
    at: tuple[str, int, list[dict[str, Any]]],
    place: "_Places",
) -> Iterator[VocabularyError]:
    table, index, entries = at
    fields = {field.encode_name: field for field in msgspec.structs.fields(entry_type)}
    code = str(entry.get("code", ""))
    for name in [name for name in entry if name not in fields]:
        yield place.error(table, index, code, name, f"Object contains unknown field `{name}`")
        del entry[name]
    for name, field in fields.items():
        if name in entry:
            try:
                msgspec.convert(entry[name], field.type)
                continue
            except msgspec.ValidationError as error:
                yield place.error(table, index, code, name, str(error).partition(" - at ")[0])
        elif field.required:
            yield place.error(table, index, code, name, f"Object missing required field `{name}`")
        else:
            continue
        entry[name] = _borrowed(name, field.type, index, entries)


def _borrowed(name: str, kind: Any, index: int, entries: list[dict[str, Any]]) -> object:
    """A value of the right type, from another entry, so that the others can be judged."""
    if name == "code":
        return f"zonder_code_{index}"
    if name == "number":
        return 65_535 - index
    for other in entries:
        try:
            msgspec.convert(other.get(name), kind)
        except msgspec.ValidationError:
            continue
        return other[name]
    return None


def _get(table: Mapping[str, E], code: str, name: str) -> E:
    try:
        return table[code]
    except KeyError:
        raise UnknownCode(f"no such {name} in the vocabulary") from None


class _Places:
    """Where in the file an entry and its fields stand, for errors that can be acted on."""

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines()
        self._entries: dict[str, list[int]] = {}
        for number, line in enumerate(self._lines, start=1):
            header = re.match(r"^\[{1,2}([a-z_]+)\]{1,2}\s*(#.*)?$", line)
            if header:
                self._entries.setdefault(header.group(1), []).append(number)

    def error(self, table: str, index: int, code: str, field: str, reason: str) -> VocabularyError:
        """An error about entry `index` (from 0) of a table."""
        return VocabularyError(table, code, field, self._line(table, index, field), reason)

    def of_type_error(self, message: str, raw: dict[str, Any]) -> VocabularyError:
        """What msgspec found, with the entry's own code and line in place of an index."""
        reason, _, path = message.partition(" - at ")
        steps = re.findall(r"\.([A-Za-z0-9_]+)|\[(\d+|\.\.\.)\]", path)
        names = [name for name, _ in steps if name]
        positions = [int(at) for _, at in steps if at.isdigit()]
        table = names[0] if names else "file"
        index = positions[0] if positions else 0
        field = names[1] if len(names) > 1 else ""
        unnamed = re.search(r"field `([^`]+)`", reason)
        if unnamed:
            field = unnamed.group(1)
        entries = raw.get(table)
        entry = entries[index] if isinstance(entries, list) and index < len(entries) else {}
        code = entry.get("code", "") if isinstance(entry, dict) else ""
        return self.error(table, index, str(code), field, reason)

    def _line(self, table: str, index: int, field: str) -> int:
        starts = self._entries.get(table, [])
        if index >= len(starts):
            return 0
        start = starts[index]
        for number in range(start, len(self._lines)):
            line = self._lines[number]
            if line.startswith("["):
                break
            if field and re.match(rf"\s*{re.escape(field)}\s*=", line):
                return number + 1
        return start
