"""Every screen that was agreed has its states proven by a test that exists."""

import ast
import re
from functools import cache
from pathlib import Path

from tests.pages.proven import NO_STATE, SCREENS, STATES

HERE = Path(__file__).parent


@cache
def named_in(name: str) -> frozenset[str]:
    path = HERE / name
    if not path.exists():
        return frozenset()
    return frozenset(
        node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)
    )


def missing(places: dict[str, str]) -> list[str]:
    found = {state: place.partition("::") for state, place in places.items()}
    return [
        f"{state}: {file}::{test}" for state, (file, _, test) in found.items() if test not in named_in(file)
    ]


def test_each_proof_is_a_test_that_exists() -> None:
    gone = {screen: lost for screen, states in SCREENS.items() if (lost := missing(states))}
    assert gone == {}
    assert missing(STATES) == []
    assert missing({"x": "test_screens.py::test_that_never_was"}) != [], "the check sees what is not there"


def test_every_agreed_screen_has_a_state_that_is_proven(shared: Path) -> None:
    text = (shared / "screens.md").read_text()
    agreed = set(re.findall(r"^\| ([DPSOX]\d{1,2}) ", text, re.M))
    assert len(agreed) > 40
    assert agreed - set(SCREENS) == set()
    assert [screen for screen, states in SCREENS.items() if not states] == []


def test_every_state_that_all_screens_have_is_proven(shared: Path) -> None:
    text = (shared / "screens.md").read_text()
    table = text[text.index("| state | Nederlands") : text.index("The refusal reason speaks")]
    states = set(re.findall(r"^\| ([a-z() ]+?) \|", table, re.M)) - {"state"}
    assert len(states) > 8
    assert states - set(STATES) - NO_STATE == set()
