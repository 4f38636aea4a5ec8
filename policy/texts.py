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


class TextsMissing(Exception):
    """A file of a candidate is missing, too large or not text; names the file."""


@dataclass(frozen=True, slots=True)
class Texts:
    """All three texts of a version, as written. A schema that a folder lacks is the packaged one."""

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
    def decode(cls, raw: bytes) -> "Texts":
        """Raises `TextsMissing` where a text is not there."""
        try:
            files = msgspec.json.decode(raw, type=dict[str, str])
            return cls(files[VOCABULARY], files[FORBIDS], files[SCHEMA])
        except (msgspec.MsgspecError, KeyError):
            raise TextsMissing("what is stored is not the content of a version") from None

    @classmethod
    def read(cls, folder: Path) -> "Texts":
        """The candidate in a folder. Raises `TextsMissing`."""
        schema = folder if (folder / SCHEMA).exists() else _DATA
        return cls(_text(folder, VOCABULARY), _text(folder, FORBIDS), _text(schema, SCHEMA))


_LARGEST = 2 * 1024 * 1024


def _text(folder: Path, name: str) -> str:
    path = folder / name
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8")
    except OSError:
        raise TextsMissing(f"{path} is missing or cannot be read") from None
    except UnicodeDecodeError:
        raise TextsMissing(f"{path} is not text in UTF-8") from None
    if len(raw) > _LARGEST:
        raise TextsMissing(f"{path} is larger than {_LARGEST} bytes")
    return text


@cache
def packaged() -> Texts:
    """What ships with the product: the first version of a new hub."""
    return Texts.read(_DATA)
