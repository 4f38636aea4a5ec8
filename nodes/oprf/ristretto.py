"""Group ristretto255 and its scalars, straight from libsodium.

A thin `ctypes` wrapper: the calls release the interpreter lock, so heavy work
in threads runs beside everything else. The library is loaded by absolute path
only; a file of that name in the working directory or on a search path set by
the environment is never taken. Every return code is checked.

Elements are 32 canonical bytes, never the identity. Public scalars are 32
bytes. Secret scalars are `Secret`: they live in memory that `erase` wipes.

Source: docs/design/pseudonyms.md, "Library"; RFC 9496.
"""

import ctypes
import hashlib
import hmac
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

ORDER = 2**252 + 27742317777372353535851937790883648493
SIZE = 32
IDENTITY = bytes(SIZE)

_OLDEST = (1, 0, 18)
_FOLDERS = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/local/lib",
    "/opt/homebrew/lib",
)
_NAMES = ("libsodium.so.26", "libsodium.so.23", "libsodium.26.dylib", "libsodium.23.dylib")
SYSTEM_PATHS = tuple(Path(folder) / name for folder in _FOLDERS for name in _NAMES)
"""Where Debian, Fedora, Alpine, Arch and macOS keep it. No setting or variable adds to this."""


class CryptographyUnavailable(Exception):
    """No libsodium of at least 1.0.18 could be loaded; the process must not start."""


class BadElement(Exception):
    """Bytes that are not a canonical element, or the identity. The value is not shown."""


class BadScalar(Exception):
    """Bytes that are not a canonical scalar, or zero where none may be. The value is not shown."""


def _load_system() -> ctypes.CDLL | None:
    for path in SYSTEM_PATHS:
        if path.is_file():
            library = ctypes.CDLL(str(path))
            if _version(library) >= _OLDEST:
                return library
    return None


def _load_bundled() -> ctypes.CDLL:
    """The copy inside the package rbcl, whose temporary file is removed as soon as it is loaded."""
    try:
        importlib.import_module("rbcl")
    except ImportError:
        raise CryptographyUnavailable(
            "no libsodium of at least 1.0.18 found; install the system's (Debian: libsodium23) or the "
            "package rbcl"
        ) from None
    module: Any = sys.modules["rbcl._sodium"]
    Path(module.lib_path).unlink(missing_ok=True)
    library: ctypes.CDLL = module._sodium
    if _version(library) < _OLDEST:
        raise CryptographyUnavailable("the libsodium of the package rbcl is older than 1.0.18")
    return library


def _version(library: ctypes.CDLL) -> tuple[int, ...]:
    library.sodium_version_string.restype = ctypes.c_char_p
    text: bytes = library.sodium_version_string()
    return tuple(int(part) for part in text.split(b".")[:3] if part.isdigit())


def _declare(library: ctypes.CDLL) -> None:
    pointer = ctypes.c_void_p
    shapes: dict[str, tuple[int, Any]] = {
        "crypto_core_ristretto255_is_valid_point": (1, ctypes.c_int),
        "crypto_core_ristretto255_from_hash": (2, ctypes.c_int),
        "crypto_core_ristretto255_add": (3, ctypes.c_int),
        "crypto_core_ristretto255_sub": (3, ctypes.c_int),
        "crypto_core_ristretto255_scalar_random": (1, None),
        "crypto_core_ristretto255_scalar_reduce": (2, None),
        "crypto_core_ristretto255_scalar_invert": (2, ctypes.c_int),
        "crypto_core_ristretto255_scalar_add": (3, None),
        "crypto_core_ristretto255_scalar_sub": (3, None),
        "crypto_core_ristretto255_scalar_mul": (3, None),
        "crypto_scalarmult_ristretto255": (3, ctypes.c_int),
        "crypto_scalarmult_ristretto255_base": (2, ctypes.c_int),
    }
    for name, (count, result) in shapes.items():
        function = getattr(library, name)
        function.argtypes, function.restype = [pointer] * count, result
    library.sodium_memzero.argtypes, library.sodium_memzero.restype = [pointer, ctypes.c_size_t], None
    library.sodium_init.argtypes, library.sodium_init.restype = [], ctypes.c_int
    if library.sodium_init() < 0:
        raise CryptographyUnavailable("libsodium could not be initialised")


_sodium = _load_system() or _load_bundled()
_declare(_sodium)


class Secret:
    """One or more secret scalars in a buffer of their own. Shows how many, never which.

    A context manager: leaving it erases. After `erase` every use fails,
    because a wiped scalar would otherwise count as zero.
    """

    __slots__ = ("_buffer", "_erased", "count")

    def __init__(self, count: int = 1) -> None:
        self._buffer = ctypes.create_string_buffer(SIZE * count)
        self._erased = False
        self.count = count

    @classmethod
    def random(cls, count: int = 1) -> "Secret":
        """Fresh, uniform, non-zero scalars from libsodium's generator and no other."""
        secret = cls(count)
        for place in range(count):
            _sodium.crypto_core_ristretto255_scalar_random(secret.at(place))
        return secret

    @classmethod
    def from_bytes(cls, raw: bytes) -> "Secret":
        """One scalar out of a key file.

        Raises:
            BadScalar: Not 32 bytes, not canonical, or zero.
        """
        if len(raw) != SIZE:
            raise BadScalar("a scalar has 32 bytes")
        reduced = ctypes.create_string_buffer(SIZE)
        # Through libsodium and not as a Python integer: this scalar is secret.
        _sodium.crypto_core_ristretto255_scalar_reduce(reduced, raw + bytes(SIZE))
        canonical = hmac.compare_digest(reduced.raw, raw)
        _sodium.sodium_memzero(reduced, SIZE)
        if not canonical or hmac.compare_digest(raw, bytes(SIZE)):
            raise BadScalar("not a canonical scalar, or zero")
        secret = cls(1)
        ctypes.memmove(secret._buffer, raw, SIZE)
        return secret

    def at(self, place: int = 0) -> Any:
        """A pointer to one of the scalars, for libsodium."""
        if self._erased or not 0 <= place < self.count:
            raise BadScalar("erased, or no such scalar")
        return ctypes.byref(self._buffer, SIZE * place)

    def for_key_file(self) -> bytes:
        """The scalar itself, for the key file of the holder whose share it is, and nothing else."""
        if self._erased or self.count != 1:
            raise BadScalar("erased, or more than one")
        return self._buffer.raw

    def erase(self) -> None:
        _sodium.sodium_memzero(self._buffer, SIZE * self.count)
        self._erased = True

    def __enter__(self) -> "Secret":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.erase()

    def __repr__(self) -> str:
        return f"<Secret {self.count}>"

    def _withhold(self, *_: object) -> NoReturn:
        raise TypeError("a secret scalar is not shown, stored or sent")

    __str__ = __format__ = __reduce__ = __reduce_ex__ = __copy__ = __deepcopy__ = _withhold


Scalar = bytes | Secret


def _pointer(scalar: Scalar) -> Any:
    if isinstance(scalar, Secret):
        return scalar.at()
    if len(scalar) != SIZE:
        raise BadScalar("a scalar has 32 bytes")
    return scalar


def is_element(raw: bytes) -> bool:
    """Whether these are 32 canonical bytes of an element that is not the identity."""
    return _has_form(raw) and raw != IDENTITY and _sodium.crypto_core_ristretto255_is_valid_point(raw) == 1


def _has_form(raw: bytes) -> bool:
    # libsodium 1.0.18 leaves the highest bit unread, and takes two spellings of one element.
    return len(raw) == SIZE and raw[SIZE - 1] < 0x80


def require_elements(elements: Sequence[bytes]) -> None:
    """Check what came from outside.

    Raises:
        BadElement: One of them is not canonical, or is the identity.
    """
    if not all(is_element(element) for element in elements):
        raise BadElement("not a canonical element, or the identity")


def is_scalar(raw: bytes) -> bool:
    """Whether a **public** scalar is canonical: 32 bytes, little-endian, below the order."""
    return len(raw) == SIZE and int.from_bytes(raw, "little") < ORDER


def public_scalar(value: int) -> bytes:
    """A public integer as scalar, modulo the order. Never for a secret."""
    return (value % ORDER).to_bytes(SIZE, "little")


def expand(message: bytes, dst: bytes) -> bytes:
    """RFC 9380 `expand_message_xmd` with SHA-512 to 64 bytes (one block)."""
    if len(dst) > 255:
        raise ValueError("a domain separation tag has at most 255 bytes")
    tail = dst + bytes([len(dst)])
    first = hashlib.sha512(bytes(128) + message + b"\x00\x40\x00" + tail).digest()
    return hashlib.sha512(first + b"\x01" + tail).digest()


def hash_to_element(message: bytes, dst: bytes) -> bytes:
    """RFC 9497 HashToGroup for ristretto255-SHA512."""
    out = ctypes.create_string_buffer(SIZE)
    if _sodium.crypto_core_ristretto255_from_hash(out, expand(message, dst)) != 0 or out.raw == IDENTITY:
        raise BadElement("the input hashes to no element")
    return out.raw


def hash_to_scalar(message: bytes, dst: bytes) -> bytes:
    """RFC 9497 HashToScalar for ristretto255-SHA512; a public scalar."""
    out = ctypes.create_string_buffer(SIZE)
    _sodium.crypto_core_ristretto255_scalar_reduce(out, expand(message, dst))
    return out.raw


def multiply(scalar: Scalar, element: bytes, place: int = 0) -> bytes:
    """scalar · element. `place` chooses among the scalars of a `Secret`.

    Raises:
        BadElement: The element is not canonical, or the result is the identity.
    """
    if not _has_form(element):
        raise BadElement("an element has 32 bytes, the highest bit 0")
    out = ctypes.create_string_buffer(SIZE)
    pointer = scalar.at(place) if isinstance(scalar, Secret) else _pointer(scalar)
    if _sodium.crypto_scalarmult_ristretto255(out, pointer, element) != 0:
        raise BadElement("not a canonical element, or the identity")
    return out.raw


def multiply_base(scalar: Scalar) -> bytes:
    """scalar · G.

    Raises:
        BadScalar: The scalar is zero.
    """
    out = ctypes.create_string_buffer(SIZE)
    if _sodium.crypto_scalarmult_ristretto255_base(out, _pointer(scalar)) != 0:
        raise BadScalar("zero")
    return out.raw


def add(left: bytes, right: bytes) -> bytes:
    """left + right.

    Raises:
        BadElement: One of them is not canonical.
    """
    if not (_has_form(left) and _has_form(right)):
        raise BadElement("an element has 32 bytes, the highest bit 0")
    out = ctypes.create_string_buffer(SIZE)
    if _sodium.crypto_core_ristretto255_add(out, left, right) != 0:
        raise BadElement("not a canonical element")
    return out.raw


def subtract(left: bytes, right: bytes) -> bytes:
    """left minus right.

    Raises:
        BadElement: One of them is not canonical.
    """
    if not (_has_form(left) and _has_form(right)):
        raise BadElement("an element has 32 bytes, the highest bit 0")
    out = ctypes.create_string_buffer(SIZE)
    if _sodium.crypto_core_ristretto255_sub(out, left, right) != 0:
        raise BadElement("not a canonical element")
    return out.raw


def secret_inverses(scalars: Secret) -> Secret:
    """The inverse of each scalar, in the same order."""
    out = Secret(scalars.count)
    for place in range(scalars.count):
        if _sodium.crypto_core_ristretto255_scalar_invert(out.at(place), scalars.at(place)) != 0:
            raise BadScalar("zero has no inverse")
    return out


def secret_products(scalars: Secret, factor: bytes) -> Secret:
    """Each scalar times one public factor."""
    out = Secret(scalars.count)
    for place in range(scalars.count):
        _sodium.crypto_core_ristretto255_scalar_mul(out.at(place), scalars.at(place), _pointer(factor))
    return out


def secret_sum(left: Secret, right: Secret) -> Secret:
    """left + right, one scalar each."""
    out = Secret()
    _sodium.crypto_core_ristretto255_scalar_add(out.at(), left.at(), right.at())
    return out


def response(nonce: Secret, challenge: bytes, secret: Secret) -> bytes:
    """nonce minus challenge · secret: the public answer of a Schnorr-like proof."""
    out = ctypes.create_string_buffer(SIZE)
    with secret_products(secret, challenge) as product:
        _sodium.crypto_core_ristretto255_scalar_sub(out, nonce.at(), product.at())
    return out.raw
