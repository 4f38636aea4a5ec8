"""One-time codes that people read from a screen or a letter and type on a phone.

Eight characters without look-alikes, and never digits alone. What travels and
is kept is a digest of a code. A code opens nothing by itself: it is looked for
among the relations and forms of the citizen who is logged in.

Source: docs/design/policy-and-consent.md, "Assisted consent".
"""

import hashlib
import secrets

ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 8


def new_code() -> str:
    """A fresh code, about 39 bits, with a letter in it: it must not look like a citizen's number."""
    while True:
        code = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
        if not code.isdigit():
            return code


def read_code(typed: str) -> str:
    """A code as typed, without spaces and dashes; empty when it is none."""
    code = "".join(character for character in typed.upper() if character not in " -")
    return code if len(code) == LENGTH and set(code) <= set(ALPHABET) else ""


def shown(code: str) -> str:
    """A code in two groups, for reading."""
    return f"{code[:4]} {code[4:]}"


def digest_of_code(code: str) -> bytes:
    """What stands for a code everywhere but on paper and screen, 16 bytes."""
    return hashlib.sha256(b"vlagwijzer/code/v1" + code.encode()).digest()[:16]
