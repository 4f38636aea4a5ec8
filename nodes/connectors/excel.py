"""A list as Excel (.xlsx): the first sheet, values only.

The workbook is a zip file: what it would unpack to is measured before anything
is unpacked. Formulas are never computed; of a cell with one the value counts
that was saved last. A BSN must stand as text, for a number loses leading zeros.

Source: docs/design/node.md, "Sources".
"""

import importlib
import io
import zipfile
from collections.abc import Iterator
from typing import Any

from ..errors import BadInput, SettingsError
from .facts import Reading
from .rows import Mapped, read_rows

MAX_BYTES = 32 * 1024 * 1024
MAX_UNPACKED = 256 * 1024 * 1024
MAX_MEMBERS = 2_000


def read(content: bytes, mapping: Mapped) -> Reading:
    """The items of a workbook.

    Raises:
        BadInput: It is no workbook, or too large.
        SettingsError: The library for it is not installed (`vlagwijzer[excel]`).
    """
    found = lines(content)
    _, heading = next(found, (1, []))
    yield from read_rows(found, [str(cell or "") for cell in heading], mapping)


def check_size(content: bytes) -> None:
    """Refuse what is no zip file, or would unpack to more than a list can be.

    Raises:
        BadInput: Says which bound.
    """
    if len(content) > MAX_BYTES:
        raise BadInput("file", "too-large", f"At most {MAX_BYTES // 1024 // 1024} MB.")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            members = packed.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        raise BadInput("file", "not-excel", "The file is no Excel workbook (.xlsx).") from None
    if len(members) > MAX_MEMBERS or sum(one.file_size for one in members) > MAX_UNPACKED:
        raise BadInput("file", "too-large", "The workbook unpacks to more than a list can be.")
    if not any(one.filename == "[Content_Types].xml" for one in members):
        raise BadInput("file", "not-excel", "The file is no Excel workbook (.xlsx).")


def lines(content: bytes) -> Iterator[tuple[int, list[Any]]]:
    """Line number and cells of each row that is not empty, the heading first.

    Raises:
        BadInput: It is no workbook, or too large.
        SettingsError: The library for it is not installed.
    """
    check_size(content)
    try:
        library: Any = importlib.import_module("openpyxl")
    except ImportError:
        raise SettingsError("Excel needs openpyxl: install vlagwijzer[excel], or save as CSV") from None
    try:
        book = library.load_workbook(io.BytesIO(content), read_only=True, data_only=True, keep_links=False)
        for line, row in enumerate(book.worksheets[0].iter_rows(values_only=True), 1):
            if line == 1 or any(cell is not None and str(cell).strip() for cell in row):
                yield line, list(row)
    except (BadInput, SettingsError):
        raise
    except Exception:
        # The library raises whatever the damaged part makes it stumble over.
        raise BadInput("file", "not-excel", "The workbook is damaged.") from None
