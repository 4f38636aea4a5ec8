"""The last signed head, kept outside the database: a restored backup must not be signed on.

Source: docs/design/access-log.md, "Checkpoints, witnesses, quorum".
"""

import hashlib
import os
import struct
from pathlib import Path
from typing import NamedTuple, Protocol

from .errors import LogInconsistent

_FORM = struct.Struct(">HQ32s")


class Head(NamedTuple):
    """Year, number of leaves and root of a checkpoint that was signed."""

    year: int
    size: int
    root: bytes


class HeadKeeper(Protocol):
    """Remembers one head. `keep` returns once it would survive the end of this process."""

    def last(self) -> Head | None: ...
    def keep(self, head: Head) -> None: ...


class HeadFile:
    """A head in a small file beside, not inside, the database.

    Written in place with a checksum and without fsync: after a power cut it may
    be some batches old, which only makes the comparison start earlier.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None

    def last(self) -> Head | None:
        """The head in the file, None where there is none yet.

        Raises:
            LogInconsistent: The file is damaged; names it.
        """
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            return None
        body, check = raw[: _FORM.size], raw[_FORM.size :]
        if len(body) != _FORM.size or check != hashlib.sha256(body).digest():
            raise LogInconsistent(f"{self._path} is damaged; verify the log, then remove this file")
        return Head(*_FORM.unpack(body))

    def keep(self, head: Head) -> None:
        body = _FORM.pack(*head)
        if self._handle is None:
            self._handle = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
        os.pwrite(self._handle, body + hashlib.sha256(body).digest(), 0)

    def close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
