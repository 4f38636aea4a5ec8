"""Where things stand in Cedar text: statements and tokens with their lines.

Cedar's own errors name no line; people who write rules need one. Nothing here
judges a rule: that is Cedar's, `subset`'s and `check`'s.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r'(?P<skip>\s+|//[^\n]*)|"(?:\\.|[^"\\])*"|[A-Za-z_][A-Za-z0-9_]*|\d+|::|==|!=|<=|>=|&&|\|\||.', re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Token:
    text: str
    start: int
    line: int
    """From 1, in the file."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One policy as it stands in a file; `text` without the comments before it."""

    text: str
    line: int
    tokens: tuple[Token, ...]

    def line_of(self, *wanted: str) -> int:
        """The line where these tokens stand one after the other; else the line where it begins."""
        texts = [token.text for token in self.tokens]
        for at in range(len(texts) - len(wanted) + 1):
            if tuple(texts[at : at + len(wanted)]) == wanted:
                return self.tokens[at].line
        return self.line


def tokens(text: str) -> Iterator[Token]:
    """Everything but space and comments."""
    line, counted = 1, 0
    for match in _TOKEN.finditer(text):
        line += text.count("\n", counted, match.start())
        counted = match.start()
        if match.group("skip") is None:
            yield Token(match.group(), match.start(), line)


def statements(text: str) -> list[Statement]:
    """The policies of a file, each up to its semicolon; what follows the last one is one too."""
    found: list[Statement] = []
    collected: list[Token] = []
    for token in tokens(text):
        collected.append(token)
        if token.text == ";":
            found.append(_statement(text, collected))
            collected = []
    if collected:
        found.append(_statement(text, collected))
    return found


def _statement(text: str, collected: list[Token]) -> Statement:
    last = collected[-1]
    return Statement(
        text[collected[0].start : last.start + len(last.text)], collected[0].line, tuple(collected)
    )
