"""Which witnesses must have signed with the log: the C2SP tlog-policy file.

    log hub.example.nl/v1/log/2026+1a2b3c4d+AX...
    witness ombudsman ombudsman.example.nl+5e6f7a8b+BD... https://ombudsman.example.nl/v1/witness
    witness wijkteam  ...
    group organisations 3 ombudsman wijkteam schuldhulp jeugdhulp
    quorum organisations

A checkpoint counts as confirmed when the log signed it and the quorum's
witnesses cosigned it. A witness counts once, through one path only: a name may
be a member once, and two witnesses with one key are refused.

With k of n witnesses fewer than `2k - n` may be dishonest, and no two histories
can both be confirmed: n = 4, k = 3 bears one, n = 7, k = 5 two.

Source: C2SP tlog-policy; docs/design/access-log.md, "Checkpoints, witnesses, quorum".
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .note import (
    COSIGNATURE_V1,
    ED25519,
    Note,
    NoteError,
    NoteKey,
    cosigned_at,
    key_for_origin,
    parse_vkey,
    year_of,
)

NONE = "none"
MAX_POLICY = 64 * 1024
_MOST_LINES = 1000
_THRESHOLD = re.compile(r"[1-9][0-9]{0,3}\Z")
_UNFIT = re.compile(r"[^\t\n\x20-\x7e\x80-\U0010ffff]")


class PolicyFileError(ValueError):
    """Not a policy: names the line and what is wrong with it, never its content."""


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness of a policy. `url` is its submission prefix, empty where the policy names none."""

    name: str
    key: NoteKey
    url: str = ""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What the cosignatures of a note come to.

    Attributes:
        quorum: Whether the policy's quorum cosigned; true without a quorum rule.
        times: When each witness cosigned, Unix seconds, by the policy's name of it.
        since: The latest time for which a quorum of witnesses vouches; None without one.
    """

    quorum: bool
    times: Mapping[str, int]
    since: int | None


@dataclass(frozen=True, slots=True)
class LogPolicy:
    """A parsed policy. Every name in `groups` stands for a threshold and its members."""

    logs: tuple[NoteKey, ...]
    witnesses: Mapping[str, Witness]
    groups: Mapping[str, tuple[int, tuple[str, ...]]]
    quorum: str
    text: str = field(repr=False)

    @property
    def asks_quorum(self) -> bool:
        return self.quorum != NONE

    @property
    def log(self) -> NoteKey:
        """The key of the one log.

        Raises:
            PolicyFileError: The policy names another number of logs than one.
        """
        if len(self.logs) != 1:
            raise PolicyFileError("the policy must name one log")
        return self.logs[0]

    @property
    def prefix(self) -> str:
        """Origin of the log without its year."""
        try:
            return year_of(self.log.name)[0]
        except NoteError:
            return self.log.name

    def key_of(self, origin: str) -> NoteKey:
        """The log's key under an origin of any year.

        Raises:
            PolicyFileError: The origin is of another log.
        """
        try:
            prefix, _ = year_of(origin)
        except NoteError:
            raise PolicyFileError("the checkpoint is of another log") from None
        if prefix != self.prefix:
            raise PolicyFileError("the checkpoint is of another log")
        return key_for_origin(self.log, origin)

    def confirmed(self, note: Note) -> Confirmed:
        """Evaluate the quorum over the cosignatures that hold. The log's own signature is not looked at."""
        times = {
            name: at
            for name, witness in self.witnesses.items()
            if (at := cosigned_at(note, witness.key)) is not None
        }
        return self.confirmed_by(times)

    def confirmed_by(self, times: Mapping[str, int]) -> Confirmed:
        """As `confirmed`, for cosignatures that were verified before."""
        if not self.asks_quorum:
            return Confirmed(True, times, None)
        for at in sorted(set(times.values()), reverse=True):
            if self._witnessed(self.quorum, {name for name, time in times.items() if time >= at}):
                return Confirmed(True, times, at)
        return Confirmed(False, times, None)

    def _witnessed(self, name: str, cosigned: set[str]) -> bool:
        """Groups name earlier lines only, so this ends."""
        if name in self.witnesses:
            return name in cosigned
        threshold, members = self.groups[name]
        return sum(self._witnessed(member, cosigned) for member in members) >= threshold


def parse_policy(raw: bytes | str) -> LogPolicy:
    """Read a policy file; signatures of officers below it are not looked at (`signedpolicy` does).

    Raises:
        PolicyFileError: A line of another form, a name used twice or not defined before, two
            entries with one key, a wrong key type, or not exactly one quorum line.
    """
    try:
        text = raw.decode() if isinstance(raw, bytes) else raw
    except UnicodeDecodeError:
        raise PolicyFileError("a policy is UTF-8") from None
    if len(text) > MAX_POLICY or _UNFIT.search(text) or text.count("\n") > _MOST_LINES:
        raise PolicyFileError("a policy is short and has no control characters")
    reading = _Reading()
    for number, line in enumerate(text.partition("\n\n— ")[0].split("\n"), 1):
        words = [word for word in re.split(r"[ \t]+", line) if word]
        if words and not words[0].startswith("#"):
            try:
                reading.line(words)
            except (PolicyFileError, NoteError) as error:
                raise PolicyFileError(f"line {number} of the policy: {error}") from None
    if reading.quorum is None:
        raise PolicyFileError("the policy has no quorum line")
    return LogPolicy(tuple(reading.logs), dict(reading.witnesses), dict(reading.groups), reading.quorum, text)


def policy_without_witnesses(log_vkey: str) -> str:
    """The policy of a log that nobody cosigns."""
    return f"log {log_vkey}\nquorum none\n"


def policy_of(log_vkey: str, witnesses: Iterable[Witness], k: int, group: str = "witnesses") -> str:
    """The text of a policy in which `k` of the witnesses must have cosigned."""
    listed = list(witnesses)
    lines = [f"witness {one.name} {one.key.text()} {one.url}".rstrip() for one in listed]
    names = " ".join(one.name for one in listed)
    return "\n".join([f"log {log_vkey}", *lines, f"group {group} {k} {names}", f"quorum {group}", ""])


class _Reading:
    """The lines read so far."""

    def __init__(self) -> None:
        self.logs: list[NoteKey] = []
        self.witnesses: dict[str, Witness] = {}
        self.groups: dict[str, tuple[int, tuple[str, ...]]] = {}
        self.quorum: str | None = None
        self._members: set[str] = set()

    def line(self, words: list[str]) -> None:
        word, rest = words[0], words[1:]
        if word == "log" and len(rest) in (1, 2):
            self._log(rest[0])
        elif word == "witness" and len(rest) in (2, 3):
            self._witness(*rest)
        elif word == "group" and len(rest) >= 3:
            self._group(rest[0], rest[1], rest[2:])
        elif word == "quorum" and len(rest) == 1:
            self._quorum(rest[0])
        else:
            raise PolicyFileError("an unknown line, or one with too few or too many words")

    def _log(self, vkey: str) -> None:
        key = parse_vkey(vkey)
        if key.type != ED25519:
            raise PolicyFileError("this is no key of a log")
        if any(key.public == other.public for other in self.logs):
            raise PolicyFileError("two logs have one key")
        self.logs.append(key)

    def _witness(self, name: str, vkey: str, url: str = "") -> None:
        key = parse_vkey(vkey)
        if key.type != COSIGNATURE_V1:
            raise PolicyFileError("this is no key of a witness")
        if any(key.public == other.key.public for other in self.witnesses.values()):
            raise PolicyFileError("two witnesses have one key")
        self._new(name)
        self.witnesses[name] = Witness(name, key, url)

    def _group(self, name: str, threshold: str, members: list[str]) -> None:
        for member in members:
            self._known(member)
            if member in self._members:
                raise PolicyFileError("a name is a member twice")
            self._members.add(member)
        k = {"any": "1", "all": str(len(members))}.get(threshold, threshold)
        if not _THRESHOLD.match(k) or int(k) > len(members):
            raise PolicyFileError("a threshold is any, all, or a number of the members")
        self._new(name)
        self.groups[name] = (int(k), tuple(members))

    def _quorum(self, name: str) -> None:
        if self.quorum is not None:
            raise PolicyFileError("a second quorum")
        if name != NONE:
            self._known(name)
        self.quorum = name

    def _new(self, name: str) -> None:
        if name == NONE or name in self.witnesses or name in self.groups:
            raise PolicyFileError("a name that is taken")

    def _known(self, name: str) -> None:
        if name not in self.witnesses and name not in self.groups:
            raise PolicyFileError("a name that no line before defines")
