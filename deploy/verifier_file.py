"""Making the verifier one file: `python -m deploy.verifier_file dist/vlagwijzer-verify.pyz`.

Bundled: our own modules that checking needs, `msgspec`, `PyNaCl` with its libsodium, the backend of `cffi`
and `rfc8785`. Two of them are machine code, so a file runs on the Python version and kind of machine that
it was made with, and says so on another; a release makes one for each. Nothing needs to be installed, and
the same sources give the same bytes.

Python cannot load machine code from inside a zip: at each run the parts are unpacked into a folder of this
user only, which is removed at the end.

Source: docs/design/access-log.md, "Views and verification".
"""

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipapp
from pathlib import Path

ROOT = Path(__file__).parents[1]
OWN = ("deploy", "index", "policy")
BUNDLED = ("msgspec", "pynacl", "cffi", "rfc8785")
_LEFT_OUT = ("policy/__init__.py", "deploy/__init__.py", "index/__init__.py")
"""Packages whose first file would load more than checking needs; a bare one stands in their place."""
_PACKAGED = ("policy/data/vocabulary.toml",)
_EPOCH = 315_619_200
"""1 January 1980 at noon, the first year that zip knows."""

_MAIN = '''"""Unpack the parts and check: see the module docstring of deploy/verifier_file.py."""
import json, sys, sysconfig, tempfile, zipfile

with zipfile.ZipFile(sys.argv[0]) as archive:
    made = json.loads(archive.read("made.json"))
    here = {"python": "%d.%d" % sys.version_info[:2], "machine": sysconfig.get_platform()}
    if sys.argv[1:] == ["--about"]:
        print(json.dumps(made, indent=1))
        sys.exit(0)
    if here != {name: made[name] for name in here}:
        sys.stderr.write(
            "This file runs on Python %s on %s; this is Python %s on %s. Nothing was checked.\\n"
            % (made["python"], made["machine"], here["python"], here["machine"])
        )
        sys.exit(3)
    with tempfile.TemporaryDirectory(prefix="vlagwijzer-verify-") as folder:
        archive.extractall(folder, [name for name in archive.namelist() if name.startswith("parts/")])
        sys.dont_write_bytecode = True
        sys.path[:0] = [folder + "/parts"]
        from deploy.verifier import main

        code = main(sys.argv[1:])
        sys.stdout.flush()
sys.exit(code)
'''


def build(target: Path) -> dict[str, object]:
    """Make the file; what is in it. Takes the libraries from the environment that runs this."""
    with tempfile.TemporaryDirectory(prefix="vlagwijzer-build-") as folder:
        stage = Path(folder) / "stage"
        parts = stage / "parts"
        for name in _own_files():
            _copy(ROOT / name, parts / name)
        for name in _LEFT_OUT:
            (parts / name).write_text('"""Left bare in the verifier."""\n', encoding="utf-8")
        versions = {name: _library(name, parts) for name in BUNDLED}
        made: dict[str, object] = {
            "python": f"{sys.version_info.major}.{sys.version_info.minor}",
            "machine": sysconfig.get_platform(),
            "bundled": versions,
        }
        (stage / "made.json").write_text(json.dumps(made), encoding="utf-8")
        (stage / "__main__.py").write_text(_MAIN, encoding="utf-8")
        for path in stage.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
            os.utime(path, (_EPOCH, _EPOCH))
        target.parent.mkdir(parents=True, exist_ok=True)
        zipapp.create_archive(stage, target, interpreter="/usr/bin/env python3", compressed=True)
    return made


def _own_files() -> list[str]:
    """Our modules that the verifier imports, found by importing it with bare packages."""
    code = (
        "import sys, types\n"
        "for name in ('policy', 'deploy', 'index'):\n"
        "    bare = types.ModuleType(name); bare.__path__ = [name]; sys.modules[name] = bare\n"
        "import deploy.verifier\n"
        "files = [getattr(module, '__file__', None) for module in sys.modules.values()]\n"
        "print(*sorted(filter(None, files)), sep='\\n')\n"
    )
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    paths = [Path(line) if Path(line).is_absolute() else ROOT / line for line in done.stdout.splitlines()]
    own = [path.relative_to(ROOT).as_posix() for path in paths if path.is_relative_to(ROOT)]
    found = [name for name in own if name.partition("/")[0] in OWN]
    return sorted({*found, *_LEFT_OUT, *_PACKAGED})


def _library(name: str, parts: Path) -> str:
    """Copy what an installed library consists of; its version."""
    found = importlib.metadata.distribution(name)
    for file in found.files or ():
        top, source = file.parts[0], Path(str(found.locate_file(file)))
        about = top.endswith(".dist-info") and not file.name.upper().startswith(("LICEN", "COPYING"))
        needed = top != "cffi" and not about and ".." not in file.parts
        if needed and source.is_file() and "__pycache__" not in file.parts and source.suffix != ".pyi":
            _copy(source, parts / Path(*file.parts))
    return found.version


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


if __name__ == "__main__":
    where = Path(sys.argv[1] if len(sys.argv) > 1 else "dist/vlagwijzer-verify.pyz")
    print(json.dumps(build(where)), f"{where}, {where.stat().st_size // 1024} KiB", sep="\n")
