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
    """What is stored is not the content of a version."""


@dataclass(frozen=True, slots=True)
class Texts:
    """All three texts of a version, as written. `policy.content` reads them from a folder."""

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


@cache
def packaged() -> Texts:
    """What ships with the product: the first version of a new hub."""
    return Texts(*((_DATA / name).read_text(encoding="utf-8") for name in (VOCABULARY, FORBIDS, SCHEMA)))
