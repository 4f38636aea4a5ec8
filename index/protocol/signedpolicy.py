"""The log's policy, signed offline by officers: a policy that somebody put beside the data is not believed.

    log hub.example.nl/v1/log/2026+1a2b...          the policy, as `tlogpolicy` reads it
    witness ...
    quorum organisations

    — fg.gemeente.example p6ZX...                   one line per officer, a C2SP signed note, key type 0x01
    — ombudsman.example v+P4...

Who must have signed is pinned in a file that comes by another way than the policy:

    threshold 2
    signer fg.gemeente.example+5e6f7a8b+AX...
    signer ombudsman.example+...

An officer's key signs policies and nothing else; a policy can be read as no checkpoint, nor the other
way round. Which of two signed policies is the newer one is not in them: the release that brings it says so.

Source: C2SP signed-note, tlog-policy; docs/design/access-log.md, "Checkpoints, witnesses, quorum".
"""

import re
from dataclasses import dataclass

from nacl.signing import SigningKey

from .note import ED25519, Note, NoteError, NoteKey, key_id, parse_note, parse_vkey, signature_line, signed_by
from .tlogpolicy import LogPolicy, PolicyFileError, parse_policy

_THRESHOLD = re.compile(r"[1-9][0-9]?\Z")
_MOST = 16


@dataclass(frozen=True, slots=True)
class Signers:
    """The officers whose word counts, and how many of them must have signed."""

    threshold: int
    keys: tuple[NoteKey, ...]


def parse_signers(raw: bytes | str) -> Signers:
    """Read a file of signers.

    Raises:
        PolicyFileError: A line of another form, a name or key twice, or no threshold that they can reach.
    """
    try:
        text = raw.decode() if isinstance(raw, bytes) else raw
    except UnicodeDecodeError:
        raise PolicyFileError("signers are UTF-8") from None
    keys: list[NoteKey] = []
    thresholds: list[int] = []
    for line in text.splitlines()[: 4 * _MOST]:
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "threshold" and len(words) == 2 and _THRESHOLD.match(words[1]):
            thresholds.append(int(words[1]))
        elif words[0] == "signer" and len(words) == 2:
            keys.append(_signer(words[1]))
        else:
            raise PolicyFileError("signers: an unknown line")
    if len(thresholds) != 1 or not thresholds[0] <= len(keys) <= _MOST:
        raise PolicyFileError("signers: one threshold, which they can reach, and at most 16 of them")
    if len({key.name for key in keys}) != len(keys) or len({key.public for key in keys}) != len(keys):
        raise PolicyFileError("signers: a name or key twice")
    return Signers(thresholds[0], tuple(keys))


def _signer(vkey: str) -> NoteKey:
    try:
        key = parse_vkey(vkey)
    except NoteError as error:
        raise PolicyFileError(f"signers: {error}") from None
    if key.type != ED25519:
        raise PolicyFileError("signers: this is no key of an officer")
    return key


def sign_policy(text: str, name: str, key: SigningKey) -> str:
    """The policy with one signature more, of `key` under `name`.

    Raises:
        PolicyFileError: It is no policy, or has what a signed note cannot hold (a tab).
    """
    parse_policy(text)
    signed = "\n\n— " in text
    body, blank = text if signed else f"{text.rstrip()}\n", "" if signed else "\n"
    try:
        plain = parse_note(body).text if signed else body
        line = signature_line(
            name, key_id(name, ED25519, bytes(key.verify_key)), key.sign(plain.encode()).signature
        )
        parse_note(made := f"{body}{blank}{line}")
    except NoteError as error:
        raise PolicyFileError(f"the policy cannot be signed: {error}") from None
    return made


def signed_policy(raw: bytes | str, signers: Signers) -> tuple[LogPolicy, tuple[str, ...]]:
    """The policy and who of the signers signed it, by name.

    Raises:
        PolicyFileError: It is no policy, or fewer signed it than must have.
    """
    try:
        note: Note | None = parse_note(raw)
    except NoteError:
        note = None
    found = tuple(key.name for key in signers.keys if note is not None and signed_by(note, key))
    if len(found) < signers.threshold:
        raise PolicyFileError(
            f"the policy is signed by {len(found)} of those who must, of whom {signers.threshold} are needed"
        )
    return parse_policy(raw), found
