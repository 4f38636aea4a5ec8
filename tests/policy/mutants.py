"""Mutation testing of what decides: `make mutants`. Each mutant must make a test fail.

    python -m tests.policy.mutants [--sample 60] [--seed 1] [--seconds 600] [FILE...]

A mutant is one change to the syntax tree of one file: a comparison turned, `and`
for `or`, a `not` or a condition taken away, a constant changed, a returned value
emptied. For each a fresh process puts the mutant in the place of the module
before anything imports it, and runs the tests of the subject until the first
failure. One that passes all of them survived and is printed; one that runs
longer than its limit counts as found, and is counted apart.

mutmut 3.8.1 is not used: its run inside this layout took the package `tests` of the
installed (editable) distribution in place of the copy that it had made, and so
would have measured other tests than those beside the mutants.
"""

import argparse
import ast
import copy
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = {
    "policy/decide.py": ["tests/policy/test_decide.py", "tests/consent/test_case_files.py"],
    "policy/table.py": ["tests/policy/test_decide.py", "tests/policy/test_engine.py"],
    "consent/resolve.py": [
        "tests/consent/test_resolve.py",
        "tests/consent/test_preview.py",
        "tests/consent/test_case_files.py",
    ],
}
LIMIT_S = 180
_TURNED = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip

_START = """
import importlib.machinery, importlib.util, sys
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
sys.exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--no-header", *{tests!r}]))
"""


def mutants(tree: ast.Module) -> Iterator[tuple[str, ast.Module]]:
    """(where and what, changed tree) of each mutant of a file."""
    for place, node in enumerate(ast.walk(tree)):
        for number, (told, _) in enumerate(_changes(node)):
            changed = copy.deepcopy(tree)
            twin = next(other for at, other in enumerate(ast.walk(changed)) if at == place)
            list(_changes(twin))[number][1]()
            yield f"line {node.lineno}: {told}", ast.fix_missing_locations(changed)


def _changes(node: ast.AST) -> Iterator[tuple[str, "callable"]]:
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
            yield "not taken away", lambda: setattr(node, "op", ast.UAdd()) or _unnot(node)
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
            yield "operator becomes BitXor or Sub", lambda: setattr(node, "op", _other(node.op))


def _unnot(node: ast.UnaryOp) -> None:
    """`not x` becomes `not not x`: the truth of x."""
    node.op, node.operand = ast.Not(), ast.UnaryOp(ast.Not(), node.operand)


def _other(operator: ast.operator) -> ast.operator:
    return ast.Sub() if isinstance(operator, ast.Add) else ast.Add()


def killed(file: str, source: str) -> str:
    """killed, survived or slow."""
    name = file.removesuffix(".py").replace("/", ".")
    start = _START.format(root=str(ROOT), name=name, source=source, path=str(ROOT / file), tests=TESTS[file])
    try:
        ended = subprocess.run(
            [sys.executable, "-c", start], check=False, cwd=ROOT, capture_output=True, timeout=LIMIT_S
        )
    except subprocess.TimeoutExpired:
        return "slow"
    return "survived" if ended.returncode == 0 else "killed"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", default=list(TESTS))
    parser.add_argument("--sample", type=int, default=0, help="so many at random; 0: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=int, default=0, help="stop after so long; 0: never")
    chosen = parser.parse_args()
    begun = time.monotonic()
    todo = []
    for file in chosen.files:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        if killed(file, ast.unparse(tree)) != "survived":
            print(f"{file}: the tests fail without any mutant; nothing was measured")
            return 1
        todo += [(file, told, ast.unparse(changed)) for told, changed in mutants(tree)]
    every = len(todo)
    if chosen.sample or chosen.seconds:
        random.Random(chosen.seed).shuffle(todo)
    counts = {"killed": 0, "survived": 0, "slow": 0}
    for file, told, source in todo[: chosen.sample or None]:
        if chosen.seconds and time.monotonic() - begun > chosen.seconds:
            break
        verdict = killed(file, source)
        counts[verdict] += 1
        if verdict == "survived":
            print(f"survived: {file}: {told}", flush=True)
    tried = sum(counts.values())
    share = (counts["killed"] + counts["slow"]) / tried if tried else 0.0
    print(f"{tried} of {every} mutants tried: {counts}, {share:.1%} found")
    return 0 if share >= 0.9 else 1


if __name__ == "__main__":
    sys.exit(main())
