"""Mutation testing of what decides: `make mutants`. Each mutant must make a test fail.

    python -m tests.policy.mutants [--sample 60] [--seed 1] [--seconds 600] [--json FILE] [FILE...]

    collect tests -> run them once -> planted mutants -> per mutant: fork, change a function, run

A mutant is one change to the syntax tree of one file: a comparison turned, `and`
for `or`, a `not` or a condition taken away, a constant changed, a returned value
emptied. A child of a pytest session that has collected everything puts the changed code
into the living function, forgets every cached outcome of the module, and runs
the tests of the subject. What stands outside functions (constants, defaults) is
tried in a fresh process, with the mutant in the place of the module before
anything imports it. Decorators and annotations are left alone.

    killed     a test failed
    import     the changed module could not be imported any more
    survived   every test passed: printed with its line
    slow       longer than its limit; counted apart, neither found nor survived
    broken     pytest ended otherwise: the figure is not to be trusted, and the run fails

Nothing is measured of a file unless its tests pass, and unless by both ways they
pass with a change that means the same, fail where every function fails, and
come out as slow where no function ends.

mutmut 3.8.1 is not used: its run inside this layout took the package `tests` of the
installed (editable) distribution in place of the copy that it had made, and so
would have measured other tests than those beside the mutants.
"""

import argparse
import ast
import contextlib
import copy
import functools
import gc
import importlib
import json
import os
import platform
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FunctionType

import pytest

ROOT = Path(__file__).parents[2]
CASES = ["tests/consent/test_cases.py", "tests/consent/test_case_files.py"]
TESTS = {
    "policy/decide.py": [*CASES, "tests/policy/test_decide.py"],
    "policy/table.py": ["tests/policy/test_engine.py", "tests/policy/test_decide.py"],
    "consent/resolve.py": [
        *CASES,
        "tests/consent/test_claims.py",
        "tests/consent/test_resolve.py",
        "tests/consent/test_representatives.py",
        "tests/consent/test_preview.py",
    ],
    "consent/state.py": [
        "tests/consent/test_state.py",
        "tests/consent/test_resolve.py",
        "tests/consent/test_representatives.py",
        "tests/consent/test_claims.py",
        *CASES,
    ],
}
ASKS_CEDAR = {"policy/table.py"}
"""Of these the answers of Cedar that the parent holds are forgotten too."""
LIMIT_S, PLANTED_LIMIT_S = 120, 5
IMPORTS_S = 20
"""What a fresh process may take more."""
_TURNED = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_ENDED = {0: "survived", 1: "killed", 2: "import", 4: "import"}
"""By pytest's exit code: 2 is a test file, 4 a conftest that could not be imported."""

_START = """
import importlib.util, sys
sys.path.insert(0, {root!r})
name, source = {name!r}, {source!r}
class Mutant:
    def find_spec(self, wanted, path=None, target=None):
        if wanted == name:
            return importlib.util.spec_from_loader(name, self, origin={path!r})
    def create_module(self, spec): return None
    def exec_module(self, module):
        module.__file__ = {path!r}
        exec(compile(source, {path!r}, "exec"), module.__dict__)
sys.meta_path.insert(0, Mutant())
import pytest
sys.exit(pytest.main({arguments!r}))
"""


@dataclass(frozen=True)
class Mutant:
    """`function` is the qualified name of the changed function; empty where it stands outside one."""

    file: str
    line: int
    what: str
    tree: ast.Module
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


# --- making them ---------------------------------------------------------------------


def mutants(file: str) -> Iterator[Mutant]:
    """Every mutant of a file, in the order of its syntax tree."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    for place, (node, function) in enumerate(_places(tree)):
        for number, (told, _) in enumerate(_changes(node)):
            changed = copy.deepcopy(tree)
            twin, _ = next(other for at, other in enumerate(_places(changed)) if at == place)
            list(_changes(twin))[number][1]()
            yield Mutant(file, node.lineno, told, ast.fix_missing_locations(changed), function)


def _places(node: ast.AST, path: str = "", function: str = "") -> Iterator[tuple[ast.AST, str]]:
    """(node, outermost function that it stands in) of everything that may be changed."""
    for name, value in ast.iter_fields(node):
        if name in {"decorator_list", "annotation", "returns"}:
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST):
                continue
            inside = function or (path if name == "body" and isinstance(node, ast.FunctionDef) else "")
            yield child, inside
            named = isinstance(child, ast.FunctionDef | ast.ClassDef) and not inside
            deeper = f"{path}.{child.name}".lstrip(".") if named else path
            yield from _places(child, deeper, inside)


def _changes(node: ast.AST) -> Iterator[tuple[str, Callable[[], None]]]:
    match node:
        case ast.Compare(ops=[first, *_]) if type(first) in _TURNED:
            turned = _TURNED[type(first)]
            yield (
                f"{type(first).__name__} becomes {turned.__name__}",
                lambda: node.ops.__setitem__(0, turned()),
            )
        case ast.BoolOp():
            other = ast.Or if isinstance(node.op, ast.And) else ast.And
            yield f"{type(node.op).__name__} becomes {other.__name__}", lambda: setattr(node, "op", other())
        case ast.UnaryOp(op=ast.Not()):
            yield "not taken away", lambda: _unnot(node)
        case ast.If() | ast.IfExp():
            for value in (True, False):
                yield f"condition {value}", lambda value=value: setattr(node, "test", ast.Constant(value))
        case ast.Return(value=value) if value is not None and not isinstance(value, ast.Constant):
            yield "returns None", lambda: setattr(node, "value", ast.Constant(None))
        case ast.Constant(value=bool() as value):
            yield f"{value} becomes {not value}", lambda: setattr(node, "value", not value)
        case ast.Constant(value=int() as value):
            yield f"{value} becomes {value + 1}", lambda: setattr(node, "value", value + 1)
        case ast.BinOp(op=ast.BitOr() | ast.LShift() | ast.Add() | ast.Sub()):
            becomes = ast.Sub if isinstance(node.op, ast.Add) else ast.Add
            told = f"{type(node.op).__name__} becomes {becomes.__name__}"
            yield told, lambda: setattr(node, "op", becomes())


def _unnot(node: ast.UnaryOp) -> None:
    """`not x` becomes `not not x`: the truth of x."""
    node.operand = ast.UnaryOp(ast.Not(), node.operand)


# --- planted -------------------------------------------------------------------------


class _Alike(ast.NodeTransformer):
    """Every condition said twice negated: another tree that means the same."""

    def visit_If(self, node: ast.If) -> ast.If:
        self.generic_visit(node)
        node.test = ast.UnaryOp(ast.Not(), ast.UnaryOp(ast.Not(), node.test))
        return node


class _Instead(ast.NodeTransformer):
    """Every function does this instead."""

    def __init__(self, statement: str) -> None:
        self.body = ast.parse(statement).body

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        # What the function names stays, behind it: a closure must keep its cells.
        node.body = [*copy.deepcopy(self.body), *node.body]
        return node


def _planted(file: str) -> Iterator[tuple[str, Mutant, str, float]]:
    """(name, mutant, what must come of it, limit in seconds)."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    for name, visitor, wanted, limit in (
        ("same meaning", _Alike(), {"survived"}, LIMIT_S),
        ("every function fails", _Instead("raise RuntimeError('planted')"), {"killed", "import"}, LIMIT_S),
        ("never ends", _Instead("while True: pass"), {"slow"}, PLANTED_LIMIT_S),
    ):
        changed = ast.fix_missing_locations(visitor.visit(copy.deepcopy(tree)))
        for function in ("*", ""):
            how = "in the living module" if function else "in a fresh process"
            yield f"{name}, {how}", Mutant(file, 0, name, changed, function), wanted, limit


# --- trying them ---------------------------------------------------------------------


def arguments(file: str) -> list[str]:
    return ["-x", "-q", "-s", "-p", "no:cacheprovider", "--no-header", "--no-summary", *TESTS[file]]


class Trying:
    """A pytest session about one file; `work` runs its tests as often as it likes, in place of once."""

    def __init__(self, work: Callable[["Trying"], None]) -> None:
        self._work = work
        self._session: pytest.Session

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._session = session
        self._work(self)
        return True

    def passes(self) -> bool:
        """Whether every test passes here; stops at the first that does not."""
        items = self._session.items
        for item, after in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            if self._session.testsfailed:
                return False
        return True

    def tried(self, mutant: Mutant, limit: float = LIMIT_S) -> str:
        """What comes of a mutant: killed, import, survived, slow or broken."""
        return self._forked(mutant, limit) if mutant.function else _fresh(mutant, limit)

    def _forked(self, mutant: Mutant, limit: float) -> str:
        child = os.fork()
        if not child:
            with contextlib.suppress(BaseException):
                silence = os.open(os.devnull, os.O_WRONLY)
                os.dup2(silence, 1)
                os.dup2(silence, 2)
                _put(mutant)
                os._exit(0 if self.passes() else 1)
            os._exit(70)
        until = time.monotonic() + limit
        while True:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return _ENDED.get(os.waitstatus_to_exitcode(status), "broken")
            if time.monotonic() > until:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return "slow"
            time.sleep(0.01)


def _fresh(mutant: Mutant, limit: float) -> str:
    start = _START.format(
        root=str(ROOT),
        name=_module_name(mutant.file),
        source=ast.unparse(mutant.tree),
        path=str(ROOT / mutant.file),
        arguments=arguments(mutant.file),
    )
    try:
        ended = subprocess.run(
            [sys.executable, "-c", start],
            check=False,
            cwd=ROOT,
            capture_output=True,
            timeout=limit + IMPORTS_S,
        )
    except subprocess.TimeoutExpired:
        return "slow"
    return _ENDED.get(ended.returncode, "broken")


def _put(mutant: Mutant) -> None:
    """The changed code into the functions that live, which everybody who imported them calls."""
    module = importlib.import_module(_module_name(mutant.file))
    codes = dict(_codes(compile(mutant.tree, str(ROOT / mutant.file), "exec")))
    for name, function in _functions(module):
        if mutant.function in {"*", name}:
            function.__code__ = codes[name]
    for cached in [one for one in gc.get_objects() if isinstance(one, functools._lru_cache_wrapper)]:
        if cached.__module__ == module.__name__ or mutant.file in ASKS_CEDAR:
            cached.cache_clear()


def _codes(code: CodeType) -> Iterator[tuple[str, CodeType]]:
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield inner.co_qualname, inner
            yield from _codes(inner)


def _functions(owner: object) -> Iterator[tuple[str, FunctionType]]:
    """(qualified name, function) of a module or class, behind whatever a decorator made of it."""
    for item in list(vars(owner).values()):
        name = getattr(owner, "__name__", "")
        if isinstance(item, type) and item.__module__ == name:
            yield from _functions(item)
        found = getattr(item, "fget", None) or getattr(item, "__func__", item)
        found = getattr(found, "__wrapped__", found)
        if isinstance(found, FunctionType) and found.__code__.co_filename == _file_of(owner):
            yield found.__qualname__, found


def _file_of(owner: object) -> str:
    module = owner if not isinstance(owner, type) else sys.modules[owner.__module__]
    return str(module.__file__)


def _module_name(file: str) -> str:
    return file.removesuffix(".py").replace("/", ".")


# --- the whole -----------------------------------------------------------------------


@dataclass
class Campaign:
    """What came of the mutants of one file after the other."""

    chosen: argparse.Namespace
    every: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    told: dict[str, list[str]] = field(default_factory=lambda: {"survived": [], "slow": [], "broken": []})
    sound: bool = True

    def over(self, file: str, seconds: float) -> None:
        """Try the mutants of a file, for so long at most; 0 for as long as it takes."""
        todo = list(mutants(file))
        self.every += len(todo)
        random.Random(self.chosen.seed).shuffle(todo)
        if self.chosen.again:
            listed = json.loads(self.chosen.again.read_text(encoding="utf-8"))["listed"]
            once = {name for names in listed.values() for name in names}
            todo = [mutant for mutant in todo if str(mutant) in once]
        measured = []

        def work(trying: Trying) -> None:
            measured.append(True)
            self.sound = _sound(file, trying)
            begun = time.monotonic()
            for mutant in todo[: self.chosen.sample or None] if self.sound else ():
                if seconds and time.monotonic() - begun > seconds:
                    break
                self.note(mutant, trying.tried(mutant))

        if pytest.main(arguments(file), plugins=[Trying(work)]) and not measured:
            print(f"{file}: its tests cannot be collected; nothing was measured")
            self.sound = False

    def note(self, mutant: Mutant, verdict: str) -> None:
        self.counts[verdict] += 1
        if verdict in self.told:
            self.told[verdict].append(str(mutant))
            print(f"{verdict}: {mutant}", flush=True)


def _sound(file: str, trying: Trying) -> bool:
    """Whether what is said of this file's mutants can be believed."""
    if not trying.passes():  # what is imported and published here, every child has
        print(f"{file}: the tests fail without any mutant; nothing was measured")
        return False
    for name, mutant, wanted, limit in _planted(file):
        verdict = trying.tried(mutant, limit)
        if verdict not in wanted:
            print(f"{file}: planted ({name}) came out as {verdict}; nothing was measured")
            return False
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", default=list(TESTS))
    parser.add_argument("--sample", type=int, default=0, help="so many of each file at random; 0: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=int, default=0, help="about so long in all, planted ones apart")
    parser.add_argument("--again", type=Path, help="only what is listed in this earlier --json")
    parser.add_argument("--json", type=Path, help="write the figure here too")
    chosen = parser.parse_args()
    begun = time.monotonic()
    campaign = Campaign(chosen)
    for file in chosen.files:
        campaign.over(file, chosen.seconds / len(chosen.files))
        if not campaign.sound:
            return 1
    counts = campaign.counts
    found = counts["killed"] + counts["import"]
    share = found / (found + counts["survived"]) if found else 0.0
    figure = {
        "seed": chosen.seed, "mutants": campaign.every, "tried": counts.total(), **counts,
        "share": round(share, 4), "seconds": round(time.monotonic() - begun),
        "machine": platform.platform(), "files": chosen.files,
    }  # fmt: skip
    print(json.dumps(figure))
    if chosen.json:
        whole = {**figure, "listed": campaign.told}
        chosen.json.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    return 0 if share >= 0.9 and not counts["broken"] else 1


if __name__ == "__main__":
    sys.exit(main())
