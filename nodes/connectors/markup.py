"""XML from outside, read without following anything it points at.

No DOCTYPE, so no entity; nothing is fetched; 1 MB at most; UTF-8 only. A
fault names a line and a rule, never a word of the message.

Source: docs/design/ecosystem.md, "Parser safety".
"""

from collections.abc import Iterator
from datetime import date
from typing import Any, TypeAlias

from lxml import etree  # type: ignore[import-untyped]

from ..errors import BadInput

MAX_BYTES = 1024 * 1024
# The library has no types of its own.
Element: TypeAlias = Any


def parse(content: bytes) -> Element:
    """The root element of a message.

    Raises:
        BadInput: Empty, too large, not UTF-8, with a DOCTYPE, or not well-formed.
    """
    if not content.strip():
        raise BadInput("message", "empty", "The message is empty. Send it again.")
    if len(content) > MAX_BYTES:
        raise BadInput("message", "too-large", f"A message has at most {MAX_BYTES // 1024} KB.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput("message", "encoding", "The message is not UTF-8 text.") from None
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise BadInput("message", "doctype", "A message has no DOCTYPE and no entities.")
    parser = etree.XMLParser(
        resolve_entities=False, load_dtd=False, no_network=True, huge_tree=False, encoding="utf-8"
    )
    try:
        root = etree.fromstring(text.encode(), parser)
    except etree.XMLSyntaxError as error:
        line = error.lineno or 1
    else:
        return root
    raise BadInput("message", "not-xml", f"The message is not complete XML; see line {line}.")


def name_of(element: Element) -> str:
    """The local name."""
    return str(etree.QName(element).localname) if isinstance(element.tag, str) else ""


def space_of(element: Element) -> str:
    """The namespace."""
    return str(etree.QName(element).namespace or "") if isinstance(element.tag, str) else ""


def child(element: Element | None, *names: str) -> Element | None:
    """The first direct child with one of these local names."""
    if element is None:
        return None
    return next((one for one in element if name_of(one) in names), None)


def text_of(element: Element | None, *names: str) -> str:
    """Text of the first direct child with one of these local names; empty when there is none."""
    found = child(element, *names)
    return "" if found is None else (found.text or "").strip()


def all_of(element: Element, name: str) -> Iterator[Element]:
    """Descendants with this local name, in document order."""
    return (one for one in element.iter() if name_of(one) == name)


def day_of(text: str) -> date | None:
    """A day as `YYYY-MM-DD` or `YYYYMMDD`; None for anything else."""
    try:
        return date.fromisoformat(text) if len(text) in (8, 10) and text.isascii() else None
    except ValueError:
        return None


def line_of(element: Element) -> int | None:
    """The line of the message in which an element starts, from 1."""
    return int(element.sourceline) if element.sourceline else None


def leaves(root: Element) -> Iterator[tuple[str, str]]:
    """Local names of each element that holds text and of the element around it, each pair once."""
    seen: set[tuple[str, str]] = set()
    for one in root.iter():
        if len(one) or not name_of(one) or not (one.text or "").strip():
            continue
        above = one.getparent()
        pair = ("" if above is None else name_of(above), name_of(one))
        if pair not in seen:
            seen.add(pair)
            yield pair
