"""The one shape in which every connector hands over what it read: accepted or refused, with its place.

    bytes, rows, messages -> Fact | Gone | Nothing | Refused -> `plan` -> `apply`

A connector yields these and touches nothing. A line number counts from 1; the
names of fields are those of the source, so that its manager finds them. No
part of this shows a value: a `Fact` holds a BSN until it was checked.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import Wrong


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that holds: `item` has the names of `publication.FIELDS` and is checked by `Rules`."""

    item: Mapping[str, Any] = field(repr=False)
    line: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Gone:
    """Something that no longer holds, by local reference."""

    local_ref: str = field(repr=False)
    reason: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Nothing:
    """Something that was read and changes nothing, and why."""

    reason: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Something that cannot be read: every broken rule, none with the value."""

    wrong: list[Wrong]
    local_ref: str = field(default="", repr=False)
    line: int | None = None


Read = Fact | Gone | Nothing | Refused
Reading = Iterator[Read]
