"""Finding people in what a process keeps: the forms in which a number or value could have been written.

Digits are found with anything that looks like a separator between them; other
forms as bytes: packed decimals, 64-bit integers, UTF-16, base64, and the plain
hashes that whoever has the list of all numbers would try. Integers in SQLite
files are read from their tables, for they have no bytes of their own.
"""

import base64
import hashlib
import re
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

_DIGITS = re.compile(rb"\d(?:[ .\-_/]{0,2}\d){8,}")
_NOT_DIGITS = re.compile(rb"\D")

LARGE = 10_000_000
"""A smaller number has so many zero bytes that empty pages hold it by chance, and counters reach it."""


@dataclass
class Found:
    """What a search read and what it found. `hits` names file and form, never the number."""

    bytes_scanned: int = 0
    files: int = 0
    hits: list[str] = field(default_factory=list)


def forms_of_number(bsn: str) -> Iterator[tuple[str, bytes]]:
    """How else nine digits could stand in a file."""
    number = int(bsn)
    if number >= LARGE:
        yield "packed decimals", bytes.fromhex("0" + bsn)
        yield "packed decimals, left", bytes.fromhex(bsn + "0")
        yield "packed decimals, signed", bytes.fromhex(bsn + "c")
        yield "64-bit integer", number.to_bytes(8, "big")
        yield "64-bit integer, little-endian", number.to_bytes(8, "little")
    yield "UTF-16", bsn.encode("utf-16-le")
    yield "base64", base64.b64encode(bsn.encode())
    for name in ("md5", "sha1", "sha256", "sha512", "blake2b"):
        digest = hashlib.new(name, bsn.encode()).digest()
        yield from forms_of_value(digest[:32], name)


def forms_of_value(value: bytes, name: str = "value") -> Iterator[tuple[str, bytes]]:
    """How a binary value could stand in a file."""
    yield name, value
    yield f"{name}, hexadecimal", value.hex().encode()
    # All but the last character: that one depends on what follows.
    yield f"{name}, base64", base64.urlsafe_b64encode(value).rstrip(b"=")[:-1]
    yield f"{name}, base64", base64.b64encode(value).rstrip(b"=")[:-1]


def search(folder: Path, numbers: Iterable[str], values: Iterable[bytes] = ()) -> Found:
    """Search every file under a folder for these numbers and values in all their forms."""
    wanted = set(numbers)
    digits = {number.encode() for number in wanted}
    by_length: dict[int, dict[bytes, str]] = {}
    for number in wanted:
        for form, raw in forms_of_number(number):
            by_length.setdefault(len(raw), {})[raw] = form
    for value in values:
        for form, raw in forms_of_value(value):
            by_length.setdefault(len(raw), {})[raw] = form
    found = Found()
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        content = path.read_bytes()
        found.files += 1
        found.bytes_scanned += len(content)
        found.hits += [f"{path.name}: digits" for _ in range(_digit_hits(content, digits))]
        for length, forms in by_length.items():
            found.hits += [f"{path.name}: {form}" for form in _raw_hits(content, length, forms)]
        if content.startswith(b"SQLite format 3\0"):
            found.hits += [
                f"{path.name}: {place}"
                for place in _integers(path, {int(n) for n in wanted if int(n) >= LARGE})
            ]
    return found


def _digit_hits(content: bytes, digits: set[bytes]) -> int:
    hits = 0
    for run in _DIGITS.finditer(content):
        text = _NOT_DIGITS.sub(b"", run[0])
        hits += sum(text[at : at + 9] in digits for at in range(len(text) - 8))
    return hits


def _raw_hits(content: bytes, length: int, forms: dict[bytes, str]) -> Iterator[str]:
    starts = {raw[:2] for raw in forms}
    for at in range(len(content) - length + 1):
        if content[at : at + 2] in starts and content[at : at + length] in forms:
            yield forms[content[at : at + length]]


def _integers(path: Path, numbers: set[int]) -> Iterator[str]:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        for table in tables:
            # Names come from the database's own schema.
            for row in connection.execute(f'SELECT * FROM "{table}"'):  # noqa: S608
                if any(isinstance(cell, int) and cell in numbers for cell in row):
                    yield f"integer in {table}"
