"""Encodings that every signature and hash of the federation rests on.

Source: docs/design/pseudonyms.md, "Values and encodings"; RFC 8785 (JCS).
"""

import binascii
import struct
import unicodedata
from typing import Any, Literal

import msgspec
import rfc8785

Environment = Literal["production", "test"]
"""What a federation is for: `test` has no real people, and its nodes are refused in production."""

SCOPES = ("geld", "werk", "zorg", "jeugd", "onderwijs", "veiligheid")
"""Flag domains in the order of their bits: `geld` is bit 0."""

_MAX_SAFE_INTEGER = 2**53 - 1
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_STANDARD = bytes.maketrans(b"-_+/=", b"+/!!!")
"""Back, where the characters of the other alphabet become one that none has."""


class EncodingError(ValueError):
    """Bytes or text that are not in the one form allowed. Never shows the value."""


def lp(value: bytes | str) -> bytes:
    """Length-prefixed bytes: big-endian u16 length, then the bytes; text as UTF-8."""
    raw = value.encode() if isinstance(value, str) else value
    if len(raw) > 0xFFFF:
        raise EncodingError("too long for a length prefix")
    return struct.pack(">H", len(raw)) + raw


def u16(value: int) -> bytes:
    return struct.pack(">H", value)


def u32(value: int) -> bytes:
    return struct.pack(">I", value)


def u64(value: int) -> bytes:
    return struct.pack(">Q", value)


def b64u(value: bytes) -> str:
    """Base64url without padding (RFC 4648 §5), the form of bytes in all JSON."""
    return binascii.b2a_base64(value, newline=False).translate(_URL_SAFE).rstrip(b"=").decode()


def unb64u(text: str, size: int | None = None) -> bytes:
    """The bytes behind `b64u`, refusing padding, other alphabets and non-canonical last characters.

    Args:
        text: Base64url without padding.
        size: The exact number of bytes wanted, when it is known.

    Raises:
        EncodingError: Not the canonical encoding, or another length.
    """
    over = len(text) % 4
    try:
        standard = text.encode("ascii").translate(_STANDARD) + b"=" * (-over % 4)
        raw = binascii.a2b_base64(standard, strict_mode=True)
    except ValueError:
        raise EncodingError("not base64url") from None
    # Only the last group can be written in a second way: with bits that stand for nothing.
    if over and b64u(raw[1 - over :]) != text[-over:]:
        raise EncodingError("not canonical base64url")
    if size is not None and len(raw) != size:
        raise EncodingError(f"expected {size} bytes")
    return raw


def _check(value: Any) -> None:
    match value:
        case bool():
            return
        case str():
            if not unicodedata.is_normalized("NFC", value):
                raise EncodingError("text is not NFC")
        case int():
            if abs(value) > _MAX_SAFE_INTEGER:
                raise EncodingError("integer beyond 2^53")
        case list() | tuple():
            for item in value:
                _check(item)
        case dict():
            for key, item in value.items():
                _check(key)
                _check(item)
        case _:
            raise EncodingError("only text, integers, booleans, lists and objects")


def jcs(value: Any) -> bytes:
    """RFC 8785 canonical JSON, without floats or null; msgspec structs are taken as their fields.

    Raises:
        EncodingError: Something that has no single form: a float, null, text
            that is not NFC, an integer of 2^53 or more.
    """
    plain = msgspec.to_builtins(value) if isinstance(value, msgspec.Struct) else value
    _check(plain)
    return rfc8785.dumps(plain)


def unjcs(raw: bytes) -> Any:
    """Parse canonical JSON; bytes that are not their own canonical form are refused.

    Raises:
        EncodingError: Not JSON, or not canonical (RFC 8785).
    """
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise EncodingError("not JSON") from None
    if jcs(value) != raw:
        raise EncodingError("not canonical JSON")
    return value


def place_of(error: msgspec.ValidationError) -> str:
    """Where a value is wrong, as a path such as `$.items[0].seq`; never what stands there.

    The message quotes values and, for an unknown field, its name, which may itself
    look like a path: then only the whole (`$`) is named.
    """
    said = str(error)
    if said.startswith("Object contains unknown field"):
        return "$"
    _, found, place = said.rpartition(" - at `")
    return place.rstrip("`") if found else "$"


def scope_mask(scopes: tuple[str, ...] | list[str] | set[str] | frozenset[str]) -> int:
    """Bits of scopes in their fixed order; `geld` is 1."""
    return sum(1 << SCOPES.index(scope) for scope in scopes)


def scopes_of(mask: int) -> tuple[str, ...]:
    """The scopes of a mask, in their fixed order."""
    return tuple(scope for bit, scope in enumerate(SCOPES) if mask >> bit & 1)
