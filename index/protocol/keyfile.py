"""Key files: 32 random bytes as base64url text in a file that only its owner can read.

A missing or readable-by-others key file stops the process; no key is ever
made up silently. Reading is the one place here that touches the disk.
"""

import os
import stat
from pathlib import Path

from .codec import EncodingError, b64u, unb64u


class KeyFileError(Exception):
    """A key file is missing, open to others, or not a key. Names the file, never its content."""


def write_key_file(path: Path, key: bytes) -> None:
    """Write a new key file with mode 0600; an existing one is never overwritten."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(b64u(key) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_key_file(path: Path, size: int = 32) -> bytes:
    """The key in a file.

    Raises:
        KeyFileError: Missing, readable by group or others, or not `size` bytes.
    """
    try:
        status = path.stat()
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise KeyFileError(f"key file {path} is missing; put it back, it is never made anew") from None
    except (OSError, UnicodeDecodeError):
        raise KeyFileError(f"key file {path} cannot be read") from None
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyFileError(f"key file {path} can be read by others; run: chmod 600 {path}")
    try:
        return unb64u(text, size)
    except EncodingError:
        raise KeyFileError(f"key file {path} does not hold a key of {size} bytes") from None
