"""The words of the pages: one file per language, the same keys in each.

A key is the path through the file, `desk.begin.title`. A sentence may hold
`{name}` for a value. A key that is missing stops the page instead of showing a
bare key: a test compares the files, so that never reaches anyone.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

LANGUAGES = ("nl", "en")
AMSTERDAM = ZoneInfo("Europe/Amsterdam")


@dataclass(frozen=True, slots=True)
class Words:
    """One language: sentences, names of vocabulary codes, dates."""

    language: str
    sentences: Mapping[str, str]

    def __call__(self, key: str, /, **values: object) -> str:
        """The sentence of this key with its values filled in.

        Raises:
            KeyError: No such sentence in this language.
        """
        sentence = self.sentences[key]
        return sentence.format(**values) if values else sentence

    def has(self, key: str) -> bool:
        return key in self.sentences

    def day(self, when: date | datetime) -> str:
        """24 november 2026."""
        local = when.astimezone(AMSTERDAM) if isinstance(when, datetime) else when
        return f"{local.day} {self.sentences[f'month.{local.month}']} {local.year}"

    def clock(self, when: datetime) -> str:
        """14.05 uur in Dutch, 14:05 in English; always the time in the Netherlands."""
        return when.astimezone(AMSTERDAM).strftime(self.sentences["format.clock"])

    def month(self, written: str) -> str:
        """`2025-03` as maart 2025; anything else as it is."""
        year, _, month = written.partition("-")
        return f"{self.sentences[f'month.{int(month)}']} {year}" if month.isdigit() else written


@cache
def words(language: str) -> Words:
    """The words of this language; of the first language when it is not one of ours."""
    chosen = language if language in LANGUAGES else LANGUAGES[0]
    raw = (files("consent.pages") / "texts" / f"{chosen}.toml").read_text(encoding="utf-8")
    return Words(chosen, flatten(tomllib.loads(raw)))


def flatten(table: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """Nested tables as dotted keys."""
    flat: dict[str, str] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = str(value)
    return flat
