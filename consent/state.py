"""The directives in force of one person in one scope, folded, with the head of the chain.

The ledger is the proof; this is what a lookup opens, one row per scope,
rewritten in the transaction of each choice. Folding drops withdrawals and what
they withdrew. It drops nothing else that could still count: an older entry
under a newer one of the same scope comes back when the newer ends.

Layout of the encoding, version 3, big-endian:

    u8(3) | head(32) | u32(number) | u8(n) n * text | u8(m) m * directive | u8(k) k * claim
    text      = u8(length) | UTF-8
    directive = group(16) | u32(number) | u32(from) | u32(until) | u32(evidence until)
                | u8(effect, by: 4 bits each) | u8(regime, explicit, provisional, evidence, relation)
                | u8(giver) | u8(lengths of the paths) | their texts, u8 each | relation(16), where marked

    claim     = group(16) | u32(number) | u32(publisher) | u32(opened) | u32(until) | u32(answered)
                | u8(right: 4 bits, answer: 4 bits) | u8(by: 4 bits, extended) | u8(kind) | u8(giver)

Times are Unix seconds, 0 for none; texts by their place in the list. Version 2
had no claims and no relations; version 1, from before regime entries, 2 bits for the effect.
Both are still read.

Source: docs/design/consent.md, "Folded state".
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import get_args

from .claims import Claim, after
from .directive import (
    FIRST_PREVIOUS,
    Directive,
    Effect,
    Entry,
    Giver,
    Regime,
    Reply,
    Right,
    directive_hash,
)

MAX_ENCODED = 2000
"""Bytes of an encoded state: with log id and head of the row it must fit 2,048 sealed bytes."""
ANSWERS_ROOM = 120
"""Of these, what only the answers of publishers may fill: no choice may keep an answer out."""

_HEAD = struct.Struct(">B32sI")
_DIRECTIVE = struct.Struct(">16sIIIIBBBB")
_CLAIM = struct.Struct(">16sIIIIIBBBB")
_VERSION = 3
_EFFECT_BITS = {1: 2, 2: 4, 3: 4}
_EFFECTS, _GIVERS, _REGIMES = get_args(Effect), get_args(Giver), get_args(Regime)
_RIGHTS, _ANSWERS = get_args(Right), ("", *get_args(Reply))


class StateFull(Exception):
    """The choices in force do not fit one row: the citizen must stop some first."""


class StateUnreadable(ValueError):
    """Bytes that are no encoded state. The decision is row 13 then."""


@dataclass(frozen=True, slots=True)
class ChoiceState:
    """`head` and `number` are of the last entry in the ledger, also when that was a withdrawal."""

    head: bytes
    number: int
    directives: tuple[Directive, ...]
    claims: tuple[Claim, ...] = ()


NOTHING_CHOSEN = ChoiceState(FIRST_PREVIOUS, 0, ())


class OutOfOrder(ValueError):
    """The entry does not follow the last one of its ledger."""


def fold(state: ChoiceState | None, entry: Entry) -> ChoiceState:
    """The state after one more entry: a choice, or a right that is used, ended or answered.

    Pruned are grants and regime entries that ended before this entry began. A no is never pruned:
    a wrong clock could open something by it, and can only close by a grant's.

    Raises:
        OutOfOrder: `number` is not the next one.
    """
    before = state or NOTHING_CHOSEN
    if entry.number != before.number + 1:
        raise OutOfOrder("the entry does not follow the last one of this ledger")
    directives = _chosen(before, entry) if isinstance(entry, Directive) else before.directives
    head = directive_hash(before.head, entry)
    return ChoiceState(head, entry.number, directives, after(before.claims, entry))


def _chosen(before: ChoiceState, directive: Directive) -> tuple[Directive, ...]:
    kept = [
        earlier
        for earlier in before.directives
        if not _withdraws(directive, earlier) and not _over(earlier, directive.from_)
    ]
    if directive.effect == "withdraw":
        return tuple(_without_lapsed(before.directives, kept))
    return (*kept, directive)


def _withdraws(directive: Directive, earlier: Directive) -> bool:
    """Givers withdraw their own entries, and the person those of a gemachtigde; nobody anything else."""
    if directive.effect != "withdraw" or directive.withdraws != earlier.group:
        return False
    own = (directive.by, directive.giver) == (earlier.by, earlier.giver)
    return own or (directive.by == "zelf" and earlier.by == "gemachtigde")


def _without_lapsed(before: Sequence[Directive], kept: list[Directive]) -> list[Directive]:
    """Drop what a representative decided whose last regime entry is gone: authorised then, and no longer."""
    had = {(entry.by, entry.giver) for entry in before if entry.effect == "regime"}
    has = {(entry.by, entry.giver) for entry in kept if entry.effect == "regime"}
    return [entry for entry in kept if (entry.by, entry.giver) not in had - has]


def regimes_in_force(state: ChoiceState | None, at: datetime) -> list[Directive]:
    """The regime entries of a scope that hold at a moment (UTC): who may speak for this person."""
    return [
        entry
        for entry in (state.directives if state else ())
        if entry.effect == "regime" and entry.from_ <= at and not _over(entry, at)
    ]


def _over(directive: Directive, at: datetime) -> bool:
    return directive.effect in ("grant", "regime") and directive.until is not None and directive.until <= at


def encode(state: ChoiceState, *, answer: bool = False) -> bytes:
    """Compact bytes for the sealed row.

    Args:
        answer: A publisher answered; that may fill the room that choices leave.

    Raises:
        StateFull: More than `MAX_ENCODED` bytes, or without `answer` more than they leave.
    """
    texts: dict[str, int] = {}
    entries = b"".join(_encode_one(directive, texts) for directive in state.directives)
    claims = b"".join(_encode_claim(claim, texts) for claim in state.claims)
    if len(texts) > 255 or len(state.directives) > 255 or len(state.claims) > 255:
        raise StateFull("too many choices in force")
    table = b"".join(bytes([len(raw)]) + raw for raw in (text.encode() for text in texts))
    encoded = (
        _HEAD.pack(_VERSION, state.head, state.number)
        + bytes([len(texts)])
        + table
        + bytes([len(state.directives)])
        + entries
        + bytes([len(state.claims)])
        + claims
    )
    if len(encoded) > MAX_ENCODED - (0 if answer else ANSWERS_ROOM):
        raise StateFull("too many choices in force")
    return encoded


def _place(text: str, texts: dict[str, int]) -> int:
    if len(text.encode()) > 255:
        raise StateFull("a name is too long")
    return texts.setdefault(text, len(texts)) & 0xFF


def _encode_claim(claim: Claim, texts: dict[str, int]) -> bytes:
    return _CLAIM.pack(
        claim.group,
        claim.number,
        claim.publisher,
        _seconds(claim.opened),
        _seconds(claim.until),
        _seconds(claim.answered),
        _RIGHTS.index(claim.right) | _ANSWERS.index(claim.answer) << 4,
        _GIVERS.index(claim.by) | claim.extended << 4,
        _place(claim.kind, texts),
        _place(claim.giver, texts),
    )


def _encode_one(directive: Directive, texts: dict[str, int]) -> bytes:
    paths = (directive.category, directive.receiver, directive.purpose)
    lengths = len(paths[0]) | len(paths[1]) << 2 | len(paths[2]) << 4
    marks = (
        _REGIMES.index(directive.regime)
        | directive.explicit << 2
        | directive.provisional << 3
        | bool(directive.evidence) << 4
        | bool(directive.relation) << 5
    )
    return _DIRECTIVE.pack(
        directive.group,
        directive.number,
        _seconds(directive.from_),
        _seconds(directive.until),
        _seconds(directive.evidence_until),
        _EFFECTS.index(directive.effect) | _GIVERS.index(directive.by) << 4,
        marks,
        _place(directive.giver, texts),
        lengths,
    ) + b"".join((bytes(_place(text, texts) for path in paths for text in path), directive.relation))


def decode(encoded: bytes) -> ChoiceState:
    """The state behind `encode`'s bytes; what resolution does not need (text, policy) is not in it.

    Zeros after the end are allowed: the row is padded.

    Raises:
        StateUnreadable: Anything else.
    """
    try:
        return _decode(encoded)
    except (struct.error, IndexError, ValueError, OverflowError, OSError):
        raise StateUnreadable("not a state of choices") from None


def _decode(encoded: bytes) -> ChoiceState:
    version, head, number = _HEAD.unpack_from(encoded)
    bits = _EFFECT_BITS.get(version)
    if bits is None:
        raise ValueError("version")
    at = _HEAD.size
    texts: list[str] = []
    count, at = encoded[at], at + 1
    for _ in range(count):
        size = encoded[at]
        texts.append(encoded[at + 1 : at + 1 + size].decode())
        at += 1 + size
    directives: list[Directive] = []
    count, at = encoded[at], at + 1
    for _ in range(count):
        directive, at = _decode_one(encoded, at, texts, bits)
        directives.append(directive)
    claims: list[Claim] = []
    if version >= 3:
        count, at = encoded[at], at + 1
        claims = [_decode_claim(encoded, at + place * _CLAIM.size, texts) for place in range(count)]
        at += count * _CLAIM.size
    if any(encoded[at:]):
        raise ValueError("bytes after the end")
    return ChoiceState(head, number, tuple(directives), tuple(claims))


def _decode_claim(encoded: bytes, at: int, texts: list[str]) -> Claim:
    group, number, publisher, opened, until, answered, what, who, kind, giver = _CLAIM.unpack_from(
        encoded, at
    )
    return Claim(
        number=number,
        group=group,
        right=_RIGHTS[what & 15],
        kind=texts[kind],
        publisher=publisher,
        opened=datetime.fromtimestamp(opened, UTC),
        until=_moment(until),
        answer=_ANSWERS[what >> 4],
        answered=_moment(answered),
        extended=bool(who & 16),
        by=_GIVERS[who & 15],
        giver=texts[giver],
    )


def _decode_one(encoded: bytes, at: int, texts: list[str], bits: int) -> tuple[Directive, int]:
    group, number, from_, until, evidence_until, who, marks, giver, lengths = _DIRECTIVE.unpack_from(
        encoded, at
    )
    at += _DIRECTIVE.size
    paths: list[tuple[str, ...]] = []
    for shift in (0, 2, 4):
        size = lengths >> shift & 3
        paths.append(tuple(texts[place] for place in encoded[at : at + size]))
        if len(paths[-1]) != size:
            raise ValueError("short")
        at += size
    relation = encoded[at : at + 16] if marks & 32 else b""
    at += len(relation)
    directive = Directive(
        number=number,
        group=group,
        effect=_EFFECTS[who & (1 << bits) - 1],
        category=paths[0],
        receiver=paths[1],
        purpose=paths[2],
        from_=_moment(from_) or datetime(1970, 1, 1, tzinfo=UTC),
        until=_moment(until),
        explicit=bool(marks & 4),
        by=_GIVERS[who >> bits],
        regime=_REGIMES[marks & 3],
        giver=texts[giver],
        evidence="+" if marks & 16 else "",
        evidence_until=_moment(evidence_until),
        channel="formulier" if marks & 8 else "portaal",
        relation=relation,
    )
    return directive, at


def as_resolved(directive: Directive) -> Directive:
    """What is left of a directive in an encoded state: enough to resolve, and no more."""
    return replace(
        directive,
        evidence="+" if directive.evidence else "",
        channel="formulier" if directive.provisional else "portaal",
        text=b"",
        policy=0,
        entered=(),
    )


def _seconds(moment: datetime | None) -> int:
    return int(moment.timestamp()) if moment else 0


def _moment(seconds: int) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
