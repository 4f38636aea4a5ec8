"""Rules of the house that a machine can read from the source. Each rule is shown to catch a planted line."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("policy", "consent", "index", "nodes", "deploy")
DRAWERS = {"utils", "util", "common", "misc", "helpers", "base", "manager"}
BUILTIN_NAMES = {"LookupError", "PermissionError", "TimeoutError", "ConnectionError"}
REVEALS = {
    "nodes/pseudonymise.py",
    "nodes/bsn.py",
    "nodes/persons.py",
    "nodes/brp/haal_centraal.py",
    "nodes/brp/register_file.py",
}

Rule = Callable[[str, ast.Module], Iterator[str]]


def calls_of(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            yield name, node


def no_commit_after_an_answer(path: str, tree: ast.Module) -> Iterator[str]:
    """Yield-dependencies and background tasks act after the answer is sent."""
    if not path.startswith(("index/", "nodes/")):
        return
    for name, node in calls_of(tree):
        if name in {"Depends", "BackgroundTasks", "BackgroundTask", "StreamingResponse"}:
            yield f"{path}:{node.lineno} uses {name}"


def a_bsn_is_revealed_in_few_places(path: str, tree: ast.Module) -> Iterator[str]:
    if path in REVEALS:
        return
    for name, node in calls_of(tree):
        if name == "reveal":
            yield f"{path}:{node.lineno} reveals a BSN"


def no_drawers_and_no_builtin_names(path: str, tree: ast.Module) -> Iterator[str]:
    if Path(path).stem in DRAWERS:
        yield f"{path} is a drawer"
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name in BUILTIN_NAMES:
            yield f"{path}:{node.lineno} {node.name} hides a builtin"


def times_are_aware(path: str, tree: ast.Module) -> Iterator[str]:
    for name, node in calls_of(tree):
        if name in {"utcnow", "utcfromtimestamp"}:
            yield f"{path}:{node.lineno} makes a naive time"


def jwt_algorithms_are_named(path: str, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "decode"
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "jwt"
            and "algorithms" not in {keyword.arg for keyword in node.keywords}
        ):
            yield f"{path}:{node.lineno} decodes a token without naming algorithms"


RULES: dict[Rule, tuple[str, str]] = {
    no_commit_after_an_answer: ("index/planted.py", "x = Depends(get_db)"),
    a_bsn_is_revealed_in_few_places: ("nodes/desk/planted.py", "x = bsn.reveal()"),
    no_drawers_and_no_builtin_names: ("index/utils.py", "class LookupError(Exception): ..."),
    times_are_aware: ("nodes/planted.py", "x = datetime.utcnow()"),
    jwt_algorithms_are_named: ("nodes/planted.py", "x = jwt.decode(token, key)"),
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_holds_in_the_whole_source(rule: Rule) -> None:
    found = []
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            path = file.relative_to(ROOT).as_posix()
            found += list(rule(path, ast.parse(file.read_text(encoding="utf-8"))))
    assert found == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_catches_a_planted_line(rule: Rule) -> None:
    path, source = RULES[rule]
    assert list(rule(path, ast.parse(source))), "the rule would not notice"


def test_no_file_names_a_registry_or_a_place_of_one_machine() -> None:
    """Addresses of package registries and absolute home paths make a checkout depend on one machine."""
    names = (
        "py" + r"pi\.org",
        "python" + "hosted",
        r"registry.npm" + "js",
        "/ro" + "ot/",
        "/ho" + "me/[a-z]",
    )
    pattern = re.compile("|".join(names))
    skip = {".venv", ".git", "node_modules", "__pycache__", ".mypy_cache", ".ruff_cache", ".hypothesis"}
    found = []
    for file in ROOT.rglob("*"):
        if not file.is_file() or skip & set(file.relative_to(ROOT).parts) or file.stat().st_size > 2_000_000:
            continue
        if pattern.search(file.read_text(encoding="utf-8", errors="ignore")):
            found.append(file.relative_to(ROOT).as_posix())
    assert found == []
