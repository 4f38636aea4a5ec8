"""The content of one version as texts: what is published, hashed, signed, kept and served.

A candidate is a folder with `vocabulary.toml` (kinds, roles, profiles and the
rest), `forbids.cedar` (what is never allowed) and `schema.cedarschema`. The
permits and what a profile takes away are made from the vocabulary (`rules`).

Source: docs/design/policy.md, "Publishing a version".
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec

_DATA = Path(__file__).parent / "data"
VOCABULARY, FORBIDS, SCHEMA = "vocabulary.toml", "forbids.cedar", "schema.cedarschema"


class ContentMissing(Exception):
    """A file of a candidate is missing, too large or not text; names the file."""


@dataclass(frozen=True, slots=True)
class Content:
    """All three texts of a version, as written."""

    vocabulary: str
    forbids: str
    schema: str

    def encode(self) -> bytes:
        """JSON by file name; `decode` gives the same content back."""
        return msgspec.json.encode(self.files())

    def files(self) -> dict[str, str]:
        """The texts by file name."""
        return {VOCABULARY: self.vocabulary, FORBIDS: self.forbids, SCHEMA: self.schema}

    @classmethod
    def decode(cls, raw: bytes) -> "Content":
        """Raises `ContentMissing` where a text is not there."""
        try:
            files = msgspec.json.decode(raw, type=dict[str, str])
            return cls(files[VOCABULARY], files[FORBIDS], files[SCHEMA])
        except (msgspec.MsgspecError, KeyError):
            raise ContentMissing("what is stored is not the content of a version") from None

    @classmethod
    def read(cls, folder: Path) -> "Content":
        """The candidate in a folder. Raises `ContentMissing`."""
        return cls(_text(folder, VOCABULARY), _text(folder, FORBIDS), _text(folder, SCHEMA))


_LARGEST = 2 * 1024 * 1024


def _text(folder: Path, name: str) -> str:
    path = folder / name
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8")
    except OSError:
        raise ContentMissing(f"{path} is missing or cannot be read") from None
    except UnicodeDecodeError:
        raise ContentMissing(f"{path} is not text in UTF-8") from None
    if len(raw) > _LARGEST:
        raise ContentMissing(f"{path} is larger than {_LARGEST} bytes")
    return text


@cache
def packaged() -> Content:
    """What ships with the product: the first version of a new hub."""
    return Content.read(_DATA)
