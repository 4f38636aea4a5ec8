"""A list as CSV, whole or as changes.

    bytes -> text -> rows -> facts (`rows`) -> compared with the list before (`plan`)

UTF-8 or Windows-1252, `;` or `,`, with a heading. Quotation marks follow
RFC 4180; a file that does not is refused as a whole.

Source: docs/design/node.md, "Sources".
"""

import csv
import hashlib
import io
from collections.abc import Iterator

from ..errors import BadInput
from ..outbox import Outbox
from ..publication import Rules
from .facts import Reading
from .plan import Plan
from .plan import plan as compare
from .rows import Mapped, names_of, read_rows

MAX_BYTES = 64 * 1024 * 1024


def plan(
    content: bytes,
    outbox: Outbox,
    rules: Rules,
    *,
    mapping: Mapped | None = None,
    shrink_share: float = 0.2,
    connector: str = "csv",
) -> Plan:
    """Compare a file with what this node passed on before.

    Args:
        connector: Name of the list; lists with other names are not compared.

    Raises:
        BadInput: The file as a whole cannot be read; nothing is decided.
    """
    mapped = mapping or Mapped()
    return compare(
        read(content, mapped),
        outbox,
        rules,
        connector=connector,
        whole=mapped.whole,
        names=names_of(mapped),
        shrink_share=shrink_share,
        position=hashlib.sha256(content).hexdigest()[:32],
    )


def read(content: bytes, mapping: Mapped) -> Reading:
    """The items of a file.

    Raises:
        BadInput: The file as a whole cannot be read.
    """
    found = lines(content)
    _, heading = next(found, (1, []))
    yield from read_rows(found, heading, mapping)


def lines(content: bytes) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of each row that is not empty, the heading first.

    Raises:
        BadInput: The file as a whole cannot be read.
    """
    text = _text(content)
    heading = text.partition("\n")[0]
    delimiter = ";" if heading.count(";") >= heading.count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            if reader.line_num == 1 or any(cell.strip() for cell in row):
                yield reader.line_num, row
    except csv.Error:
        rule = f"Line {reader.line_num} is not CSV: check the quotation marks."
        raise BadInput("file", "csv", rule) from None


def _text(content: bytes) -> str:
    if len(content) > MAX_BYTES:
        raise BadInput("file", "too-large", f"At most {MAX_BYTES // 1024 // 1024} MB.")
    if not content.strip():
        raise BadInput("file", "empty", "The file is empty. Make it again and send it again.")
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise BadInput("file", "encoding", "The file is neither UTF-8 nor Windows-1252 text.")
