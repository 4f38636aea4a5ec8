"""What kinds, purposes and roles are called on a page.

Dutch names come from the vocabulary; other languages have a file with the same
codes. A name that a language lacks is shown in Dutch rather than left out.
"""

import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from consent.pages.words import flatten
from policy.vocabulary import Vocabulary

CAPITALISED = frozenset({"Wmo"})
"""Words that keep their capital inside a sentence. Abbreviations further on keep theirs by themselves."""


class Names:
    """Names in one language of everything the vocabulary has."""

    def __init__(self, vocabulary: Vocabulary, language: str) -> None:
        self._vocabulary = vocabulary
        self._other = translations(language)

    @property
    def vocabulary(self) -> Vocabulary:
        return self._vocabulary

    def kind(self, code: str) -> str:
        if f"kind.{code}.label" in self._other:
            return self._other[f"kind.{code}.label"]
        return self._vocabulary.kind(code).label if self._vocabulary.has_kind(code) else code

    def kind_sentence(self, code: str) -> str:
        if f"kind.{code}.sentence" in self._other:
            return self._other[f"kind.{code}.sentence"]
        return self._vocabulary.kind(code).sentence if self._vocabulary.has_kind(code) else ""

    def act(self, code: str) -> str:
        """The law behind a kind; a legal name, Dutch in every language."""
        return self._vocabulary.kind(code).act if self._vocabulary.has_kind(code) else ""

    def purpose(self, code: str) -> str:
        if f"purpose.{code}.label" in self._other:
            return self._other[f"purpose.{code}.label"]
        return self._vocabulary.purpose(code).label if self._vocabulary.has_purpose(code) else code

    def purpose_sentence(self, code: str) -> str:
        if f"purpose.{code}.sentence" in self._other:
            return self._other[f"purpose.{code}.sentence"]
        return self._vocabulary.purpose(code).sentence if self._vocabulary.has_purpose(code) else ""

    def purposes(self, codes: list[str] | tuple[str, ...]) -> str:
        return ", ".join(self.purpose(code).lower() for code in codes)

    def area(self, code: str) -> str:
        """A life domain of the zelfredzaamheidsmatrix."""
        if f"zrm.{code}" in self._other:
            return self._other[f"zrm.{code}"]
        return next((one.label for one in self._vocabulary.zrm if one.code == code), code)

    def role_within(self, code: str) -> str:
        """A role's name inside a sentence: without its capital, unless its first word is written with one."""
        name = self.role(code)
        first = name.partition(" ")[0].partition("-")[0]
        return name if first in CAPITALISED or first[1:] != first[1:].lower() else name[:1].lower() + name[1:]

    def role(self, code: str) -> str:
        if f"role.{code}" in self._other:
            return self._other[f"role.{code}"]
        return self._vocabulary.role(code).label if self._vocabulary.has_role(code) else code

    def crisis_reason(self, code: str) -> str:
        """A reason for break-glass."""
        if f"crisis.reason.{code}" in self._other:
            return self._other[f"crisis.reason.{code}"]
        return next((one.label for one in self._vocabulary.crisis.reason if one.code == code), code)

    def at_risk(self, code: str) -> str:
        """Who is at risk."""
        if f"crisis.at_risk.{code}" in self._other:
            return self._other[f"crisis.at_risk.{code}"]
        return next((one.label for one in self._vocabulary.crisis.at_risk if one.code == code), code)

    def by_labels(self, labels: Iterable[str]) -> str:
        """Names in this language of kinds given by their Dutch labels, in one line."""
        codes = {kind.label: kind.code for kind in self._vocabulary.kinds}
        return ", ".join(self.kind(codes[label]) if label in codes else label for label in labels)


@cache
def translations(language: str) -> dict[str, str]:
    """Names in a language that is not the vocabulary's own; empty for Dutch."""
    file = files("consent.pages") / "texts" / f"vocabulary.{language}.toml"
    return flatten(tomllib.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}
