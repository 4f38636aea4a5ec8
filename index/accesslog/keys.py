"""The keys that the access log needs; the hub's key store has them.

The log's keys are none of the index's: log and index do not join without both.

Source: docs/design/access-log.md, "Log id and handle" and "Erasure and retention".
"""

from datetime import datetime
from typing import Protocol

from nacl.signing import SigningKey

LOG_KEYS = "log"
"""Class of the data keys that seal entries."""


class SealKey(Protocol):
    """A data key: `number` stands in clear in front of what `key` sealed."""

    @property
    def number(self) -> int: ...
    @property
    def key(self) -> bytes: ...


class LogKeys(Protocol):
    """The hub's key store, as far as the log needs it. Every method raises KeyError for a key it lacks."""

    @property
    def log_signing(self) -> SigningKey: ...
    def log_key(self, year: int) -> bytes: ...
    def data_key(self, number: int) -> bytes: ...
    def current(self, kind: str, at: datetime) -> SealKey: ...
