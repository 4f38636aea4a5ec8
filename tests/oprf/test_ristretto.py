"""The library: which one is loaded, what it refuses, what it does not show."""

import copy
import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from nodes.oprf import ristretto
from nodes.oprf.ristretto import BadElement, BadScalar, Secret

REPO = Path(__file__).parents[2]
ORDER = ristretto.ORDER.to_bytes(32, "little")
NOT_CANONICAL = (2**255 - 18).to_bytes(32, "little")
NEGATIVE = (1).to_bytes(32, "little")


def run(code: str, folder: Path, **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPO), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout.strip()


@pytest.mark.parametrize("raw", [bytes(32), NOT_CANONICAL, NEGATIVE, b"", bytes(31), bytes(33), b"\xff" * 32])
def test_identity_and_non_canonical_points_are_no_elements(raw):
    assert not ristretto.is_element(raw)
    with pytest.raises(BadElement):
        ristretto.require_elements([raw])
    with pytest.raises(BadElement):
        ristretto.multiply(Secret.random(), raw)


@pytest.mark.parametrize("raw", [NOT_CANONICAL, b"", bytes(33), b"\xff" * 32])
def test_points_that_are_not_canonical_are_not_added(raw):
    good = ristretto.multiply_base(Secret.random())
    for operation in (ristretto.add, ristretto.subtract):
        with pytest.raises(BadElement):
            operation(good, raw)
        with pytest.raises(BadElement):
            operation(raw, good)


@pytest.mark.parametrize("raw", [bytes(32), ORDER, b"\xff" * 32, b"\x01" * 31])
def test_a_share_that_is_zero_or_not_canonical_is_refused(raw):
    with pytest.raises(BadScalar):
        Secret.from_bytes(raw)


def test_scalars_above_the_order_are_not_canonical():
    assert ristretto.is_scalar((ristretto.ORDER - 1).to_bytes(32, "little"))
    assert not ristretto.is_scalar(ORDER)
    assert not ristretto.is_scalar((ristretto.ORDER + 5).to_bytes(32, "little"))


def test_a_secret_shows_nothing_and_cannot_be_used_once_erased():
    secret = Secret.random()
    raw = secret.for_key_file()
    assert repr(secret) == "<Secret 1>"
    for use in (str, "{}".format, pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            use(secret)
    secret.erase()
    assert secret._buffer.raw == bytes(32) != raw
    with pytest.raises(BadScalar):
        ristretto.multiply_base(secret)
    with pytest.raises(BadScalar):
        secret.for_key_file()


def test_leaving_the_block_erases():
    with Secret.random(3) as blinds:
        assert blinds._buffer.raw != bytes(96)
    assert blinds._buffer.raw == bytes(96)


def test_inverse_times_scalar_is_one():
    element = ristretto.multiply_base(Secret.random())
    with Secret.random(2) as blinds:
        inverses = ristretto.secret_inverses(blinds)
        for place in (0, 1):
            there = ristretto.multiply(blinds, element, place)
            assert ristretto.multiply(inverses, there, place) == element
            assert there != element


def test_a_planted_libsodium_in_the_working_directory_is_not_loaded(tmp_path):
    for name in ("libsodium.so", "libsodium.so.23", "libsodium.so.26", "sodium.so"):
        (tmp_path / name).write_bytes(b"not a library; loading it would fail")
    paths = run(
        "from nodes.oprf import ristretto, voprf; voprf.check_known_answer(); print(ristretto._sodium._name)",
        tmp_path,
        LD_LIBRARY_PATH=str(tmp_path),
        SODIUM_PATH=str(tmp_path / "libsodium.so"),
    )
    assert Path(paths).is_absolute()
    assert not paths.startswith(str(tmp_path))


def test_only_absolute_paths_are_tried():
    assert all(path.is_absolute() for path in ristretto.SYSTEM_PATHS)


def test_the_temporary_file_of_the_fallback_is_gone_after_loading(tmp_path):
    pytest.importorskip("rbcl", reason="the fallback package rbcl is not installed")
    code = """
from pathlib import Path
is_file = Path.is_file
Path.is_file = lambda self: False if "libsodium" in self.name else is_file(self)
from nodes.oprf import ristretto, voprf
voprf.check_known_answer()
print(ristretto._sodium._name)
"""
    loaded = run(code, tmp_path, TMPDIR=str(tmp_path))
    assert loaded.startswith(str(tmp_path)), "this test must run on the fallback"
    assert list(tmp_path.iterdir()) == []
    assert tempfile.gettempdir()
