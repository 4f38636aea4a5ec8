"""Responses in the shape of Suwinet. Experimental until seen on a customer's file.

    response -> person -> records with code, begin and end -> one reference per person and kind

Request and answer only: the source's own party asks for its own clients, on its
own legal basis, and hands the answer over here; never on a generalist's look.
A fault in it means unreachable and changes nothing. Amounts and employers are
dropped.

Source: docs/design/ecosystem.md, "From message to publish or retract".
"""

import tomllib
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import msgspec

from policy.vocabulary import Vocabulary

from ..bsn import BadBsn, Bsn
from ..errors import BadInput, SettingsError, SourceUnreachable
from .facts import Fact, Gone, Nothing, Read
from .markup import Element, all_of, day_of, leaves, line_of, name_of, parse
from .references import References
from .rows import PACKAGED, check_kinds


class Records(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One sort of record: its response, its elements, and its codes."""

    response: str
    element: str
    code: str
    begin: str
    end: str
    kinds: dict[str, str]
    """Code = kind; "" is a code that is known and is no flag."""


class Shapes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The mapping of `mappings/suwinet.toml`."""

    person: str
    faults: list[str]
    records: list[Records]
    experimental: bool = True


def load_shapes(path: Path | None, vocabulary: Vocabulary) -> Shapes:
    """The mapping of responses.

    Raises:
        SettingsError: It is missing, holds something else, or names an unknown kind.
    """
    file = path or PACKAGED / "suwinet.toml"
    try:
        found = msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), Shapes)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        raise SettingsError(f"mapping {file} is missing or not TOML") from None
    except msgspec.ValidationError as error:
        raise SettingsError(f"mapping {file}: {error}") from None
    check_kinds(file, [kind for one in found.records for kind in one.kinds.values() if kind], vocabulary)
    return found


def read(name: str, content: bytes, shapes: Shapes, references: References, today: date) -> list[Read]:
    """What a response says of its person.

    Args:
        name: Name of the source.

    Raises:
        BadInput: It cannot be relied on; nothing of it was taken.
        SourceUnreachable: It is a fault.
    """
    root = parse(content)
    if any(name_of(one) in shapes.faults for one in root.iter()):
        raise SourceUnreachable(name, "fault")
    sorts = [one for one in shapes.records if next(all_of(root, one.response), None) is not None]
    if not sorts:
        raise BadInput("response", "unknown-message", "This response is not in the mapping.")
    bsn = _person(root, shapes)
    reads: list[Read] = []
    for sort in sorts:
        open_since: dict[str, tuple[str, int | None]] = {}
        for record, place in _records(root, sort):
            kind = _kind(record, sort, place)
            begin, end = _day(record, sort.begin, place), _day(record, sort.end, place, needed=False)
            if end and end < begin:
                raise BadInput(f"{place}/{sort.end}", "before-since", "The end lies before the start.")
            if kind and not (end and end < today.isoformat()):
                earlier = open_since.get(kind, (begin, line_of(record)))
                open_since[kind] = min(earlier, (begin, line_of(record)), key=lambda one: one[0])
        for kind in sorted({kind for kind in sort.kinds.values() if kind}):
            ref = references.hidden("suwi", kind, bsn)
            if kind not in open_since:
                reads.append(Gone(ref, "no record of it is open"))
                continue
            since, line = open_since[kind]
            item = {"bsn": bsn, "kind": kind, "localRef": ref, "since": since[:7], "until": None}
            reads.append(Fact(item, line, "a record of it is open"))
    return reads or [Nothing("nothing in it is a flag")]


def dropped(content: bytes, shapes: Shapes) -> list[str]:
    """Names of the elements with text of which nothing is read, each with the element around it.

    Raises:
        BadInput: It is no response.
    """
    kept = {shapes.person} | {name for one in shapes.records for name in (one.code, one.begin, one.end)}
    return [f"{above}/{name}" for above, name in leaves(parse(content)) if name not in kept]


def _person(root: Element, shapes: Shapes) -> str:
    found = {(one.text or "").strip() for one in all_of(root, shapes.person)}
    if len(found) != 1:
        raise BadInput(shapes.person, "clients", "A response is about one person.")
    number = found.pop()
    try:
        Bsn.parse(number)
    except BadBsn:
        raise BadInput(shapes.person, "elfproef", "Nine digits that pass the elfproef.") from None
    return number


def _records(root: Element, sort: Records) -> Iterator[tuple[Element, str]]:
    for at, record in enumerate(all_of(root, sort.element), 1):
        yield record, f"{sort.element}[{at}]"


def _first(record: Element, name: str) -> str:
    found = next(all_of(record, name), None)
    return "" if found is None else (found.text or "").strip()


def _kind(record: Element, sort: Records, place: str) -> str:
    kind = sort.kinds.get(_first(record, sort.code))
    if kind is None:
        raise BadInput(f"{place}/{sort.code}", "unknown-code", "This code is not in the mapping.")
    return kind


def _day(record: Element, name: str, place: str, *, needed: bool = True) -> str:
    text = _first(record, name)
    if not text and not needed:
        return ""
    day = day_of(text)
    if day is None:
        raise BadInput(f"{place}/{name}", "day", "A day as YYYYMMDD or YYYY-MM-DD is needed.")
    return day.isoformat()
