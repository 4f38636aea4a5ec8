"""Is this `N` an element the hub may write a row for? Nothing else of the group is needed here.

Source: RFC 9496 §4.3.1 (decoding); docs/design/pseudonyms.md, "Values and encodings".
"""

import ctypes
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P
_SQRT_M1 = pow(2, (_P - 1) // 4, _P)
_FOLDERS = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib",
    "/opt/homebrew/lib",
)
_NAMES = ("libsodium.so.26", "libsodium.so.23", "libsodium.26.dylib", "libsodium.23.dylib")


def is_point(n: bytes) -> bool:
    """Whether `n` is a canonical ristretto255 element and not the identity."""
    # libsodium 1.0.18 leaves the highest bit unread, and takes two spellings of one element.
    return len(n) == 32 and n[31] < 0x80 and n != bytes(32) and _judge()(n)


@lru_cache(maxsize=1)
def _judge() -> Callable[[bytes], bool]:
    return _libsodium() or decodes


def _libsodium() -> Callable[[bytes], bool] | None:
    """The system library's check, by absolute path: one planted in the working directory is not found."""
    for place in (Path(folder) / name for folder in _FOLDERS for name in _NAMES):
        if not place.is_file():
            continue
        # `PyDLL` keeps the interpreter lock for these 4 µs: a message asks a thousand times, and each
        # time the lock is given up, the writer may hold it for as long as the interpreter's switch interval.
        library = ctypes.PyDLL(str(place))
        if library.sodium_init() >= 0 and hasattr(library, "crypto_core_ristretto255_is_valid_point"):
            check = library.crypto_core_ristretto255_is_valid_point
            check.argtypes = [ctypes.c_char_p]
            return lambda n: check(n) == 1
    return None


def decodes(n: bytes) -> bool:
    """The same answer without the library, ten times slower: the variables are those of the RFC."""
    s = int.from_bytes(n, "little")
    if s >= _P or s & 1:
        return False
    ss = s * s % _P
    u1, u2 = (1 - ss) % _P, (1 + ss) % _P
    u2_squared = u2 * u2 % _P
    v = (-_D * u1 * u1 - u2_squared) % _P
    was_square, inverse = _inverse_root(v * u2_squared % _P)
    den_x = inverse * u2 % _P
    den_y = inverse * den_x * v % _P
    x = 2 * s * den_x % _P
    x = _P - x if x & 1 else x
    y = u1 * den_y % _P
    return was_square and not (x * y % _P) & 1 and y != 0


def _inverse_root(v: int) -> tuple[bool, int]:
    """SQRT_RATIO_M1(1, v): whether 1/v is a square, and its non-negative root."""
    r = pow(v, 3, _P) * pow(pow(v, 7, _P), (_P - 5) // 8, _P) % _P
    check = v * r * r % _P
    if check in (_P - 1, -_SQRT_M1 % _P):
        r = r * _SQRT_M1 % _P
    return check in (1, _P - 1), _P - r if r & 1 else r
