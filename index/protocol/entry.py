"""One line of the access log: its two parts, its leaf, and whose chain it stands in.

    asker    who asked what and what came of it; opened in the answer
    chain    the number in each person's chain, and why; for citizen and officer
    leaf     33 bytes over both, salted; the only part that enters the tree

The functions here are pure and the hub, the node, the portal and the offline
verifier use the same ones. Numbering and sealing in the table: `index.accesslog`.

Source: docs/design/access-log.md, "Entry".
"""

import hashlib
import struct
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import repeat
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType

from .codec import b64u, lp, u16, u32, u64, unb64u
from .mac import mac_under
from .statement import (
    Activity,
    ActorId,
    CaseId,
    Code,
    Statement,
    TeamId,
    UnixSeconds,
)

LEAF_SIZE = 33
HANDLE_SIZE = 16
SALT_SIZE = 32
SEALED_OVERHEAD = 1 + 4 + 24 + 16
LARGE, SMALL = 2048, 1024
LARGE_ACTIVITIES: frozenset[str] = frozenset({"lookup", "relation", "choice", "objection", "log_view"})
"""These are sealed to 2,048 bytes, so that hit, miss and refusal have one size; all others to 1,024."""

_SAFE = 2**53
_DECISION = 6
_POLICY_HASH = 32

HandleText = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{22}\Z")]
BytesText = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]*\Z")]
OptionalNodeId = Annotated[str, Meta(pattern=r"^\Z|^(?![0-9]+\Z)[A-Za-z0-9._-]{1,48}\Z")]
OptionalOin = Annotated[str, Meta(pattern=r"^\Z|^[0-9]{20}\Z")]
Safe = Annotated[int, Meta(ge=-1, lt=_SAFE)]


class EntryError(ValueError):
    """Bytes that are no entry, or an entry that cannot be made. Never shows content."""


class EntryTooLarge(EntryError):
    """The parts do not fit the fixed size of their activity."""


class Asker(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The part that the answer opens; alphabetical, which is its canonical order.

    `ts` is the hub's clock in ms UTC and never used for order; `shown` a bitmap over
    kind numbers (`shown_bits`); `refused` a code about the asker or empty; `bg` 1 for
    break-glass. An entry that the hub writes of its own accord has an empty `node`,
    `msg`, `jti`, `body` and `nodeSig`.
    """

    actor: ActorId
    basis: Code
    bg: Literal[0, 1]
    body: BytesText
    case: CaseId
    handles: list[HandleText]
    jti: BytesText
    msg: Annotated[str, Meta(max_length=36)]
    node: OptionalNodeId
    nodeSig: BytesText
    nts: UnixSeconds
    org: OptionalOin
    purpose: Code
    pv: Annotated[int, Meta(ge=0, lt=2**32)]
    refused: Code
    req: Annotated[str, Meta(max_length=36)]
    role: Code
    shown: BytesText
    t: Activity
    team: TeamId
    ts: Annotated[int, Meta(ge=0, lt=2**42)]
    v: Literal[1]


class Chain(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """The part that stays with hub, citizen and officers.

    `subj` has `[n, prev]` per handle in the asker's order: n counts from 1 without
    gap, prev is the index of the line before and -1 at the first. The other
    fields belong to single activities: `dec` where something was decided, `year` beside an
    `index` or range of it, `lines` a bitmap of what was erased between `from` and `to`.
    """

    cause: Annotated[str, Meta(max_length=60)] | UnsetType = UNSET
    checkpoint: Annotated[str, Meta(max_length=1500)] | UnsetType = UNSET
    count: Safe | UnsetType = UNSET
    dec: BytesText | UnsetType = UNSET
    digest: BytesText | UnsetType = UNSET
    from_: Safe | UnsetType = msgspec.field(default=UNSET, name="from")
    index: Safe | UnsetType = UNSET
    lid: BytesText | UnsetType = UNSET
    lines: Annotated[str, Meta(max_length=560)] | UnsetType = UNSET
    subj: list[tuple[Safe, Safe]]
    to: Safe | UnsetType = UNSET
    year: Safe | UnsetType = UNSET


class Told(NamedTuple):
    """To whom the hub says something of its own accord: fields of the asker part that nobody signed."""

    org: str
    role: str
    team: str
    purpose: str
    case: str


@dataclass(frozen=True, slots=True)
class EntryDraft:
    """What is to be recorded, before it has a place in the log.

    The log adds handles, numbers, salts and index. `lids` are the log ids of the scopes
    really searched, in scope order, one draft per person asked; empty where the entry
    concerns nobody. `later` puts the line on the persons' postponed handles.

    Attributes:
        t: Mostly that of the statement.
        ts: The hub's clock, milliseconds UTC; the instant that dated the decision.
        req: UUID of the request.
        statement, signature: Of the asking node; None for the hub's own entries.
        shown: `shown_bits` of the visible kinds.
        dec: `decision_bytes`, or empty.
        more: Own fields of the chain part for single activities, e.g. `{"cause": ...}`.
        told: Of the hub's own entry that somebody is told something; never beside a statement.
    """

    t: Activity
    ts: int
    req: str
    statement: Statement | None = None
    signature: bytes = b""
    lids: tuple[bytes, ...] = ()
    later: bool = False
    basis: str = ""
    pv: int = 0
    shown: bytes = b""
    refused: str = ""
    break_glass: bool = False
    dec: bytes = b""
    more: dict[str, str | int] = field(default_factory=dict)
    told: Told | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """Everything inside a sealed entry: three salts and the two parts exactly as hashed."""

    salt: bytes
    salt_a: bytes
    salt_b: bytes
    asker: bytes
    chain: bytes

    def leaf(self) -> bytes:
        return leaf_of(self.salt, self.salt_a, self.salt_b, self.asker, self.chain)


# --- whose chain -------------------------------------------------------------------


def log_id(scope: str, point: bytes) -> bytes:
    """`lid`: a person's log chain in one scope, from N (32 bytes). 16 bytes."""
    return hashlib.sha256(b"vlagwijzer/log-id/v1" + lp(scope) + point).digest()[:HANDLE_SIZE]


def handle(year: int, lid: bytes, later: bool = False) -> bytes:
    """What stands in an entry for a log id in one year; `later` where notice is postponed."""
    tail = b"later" if later else b""
    return hashlib.sha256(b"vlagwijzer/log-subject/v1" + u16(year) + lid + tail).digest()[:HANDLE_SIZE]


def handle_key(year_key: bytes, handle_: bytes) -> bytes:
    """The key under which the hub's table finds a handle; `year_key` is K_log_year."""
    return mac_under(year_key)(handle_)[:HANDLE_SIZE]


def pointer(year_key: bytes, handle_: bytes, n: int, index: int) -> bytes:
    """The masked index of line `n` of a handle, 8 bytes; applied twice it gives the index back."""
    mask = mac_under(year_key)(handle_ + u32(n))[:8]
    return (index ^ int.from_bytes(mask, "big")).to_bytes(8, "big")


def index_behind(year_key: bytes, handle_: bytes, n: int, masked: bytes) -> int:
    """The index that `pointer` masked."""
    return int.from_bytes(pointer(year_key, handle_, n, int.from_bytes(masked, "big")), "big")


# --- the two parts -----------------------------------------------------------------


def asker_part(draft: EntryDraft, handles: Sequence[bytes]) -> bytes:
    """Canonical bytes of the asker part; `handles` are those of the draft's log ids.

    Raises:
        EntryError: A field has no allowed form.
    """
    said = draft.statement
    to = said or draft.told
    asker = Asker(
        actor=said.actor if said else "",
        basis=draft.basis,
        bg=1 if draft.break_glass else 0,
        body=said.body if said else "",
        case=to.case if to else "",
        handles=[b64u(item) for item in handles],
        jti=said.jti if said else "",
        msg=said.msg if said else "",
        node=said.node if said else "",
        nodeSig=b64u(draft.signature),
        nts=said.nts if said else 0,
        org=to.org if to else "",
        purpose=to.purpose if to else "",
        pv=draft.pv,
        refused=draft.refused,
        req=draft.req,
        role=to.role if to else "",
        shown=b64u(draft.shown),
        t=draft.t,
        team=to.team if to else "",
        ts=draft.ts,
        v=1,
    )
    raw = msgspec.json.encode(asker)
    try:
        msgspec.json.decode(raw, type=Asker)
    except msgspec.ValidationError:
        raise EntryError("a field of the asker part has a wrong form") from None
    return raw


class Alike:
    """Entries of one message that differ in their handles only: one asker part, checked once.

    What is added per entry is base64url of 16 bytes, so the parts are what `asker_part` makes, byte for byte.
    """

    __slots__ = ("_head", "_tail", "draft")

    def __init__(self, draft: EntryDraft) -> None:
        """`draft.lids` are left out of account.

        Raises:
            EntryError: A field has no allowed form.
        """
        self.draft = draft
        self._head, empty, self._tail = asker_part(draft, ()).partition(b'"handles":[]')
        self._head, self._tail = self._head + empty[:-1], b"]" + self._tail

    def asker(self, handles: Sequence[bytes]) -> bytes:
        """The asker part with these handles."""
        listed = ",".join([f'"{b64u(item)}"' for item in handles])
        return b"".join((self._head, listed.encode(), self._tail))


def chain_part(subjects: Sequence[tuple[int, int]], dec: bytes = b"", **more: str | int) -> bytes:
    """Canonical bytes of the chain part; `more` are the own fields of an activity.

    Raises:
        EntryError: An unknown field, or one of a wrong form.
    """
    if not dec and not more and len(subjects) == 1:
        ((n, prev),) = subjects
        if 0 <= n < _SAFE and -1 <= prev < _SAFE:
            return b'{"subj":[[%d,%d]]}' % (n, prev)
    fields: dict[str, object] = {"subj": list(subjects), **more}
    if dec:
        fields["dec"] = b64u(dec)
    try:
        return msgspec.json.encode(msgspec.convert(fields, Chain))
    except msgspec.ValidationError:
        raise EntryError("a field of the chain part has a wrong form") from None


def parse_asker(raw: bytes) -> Asker:
    """The asker part, refused unless canonical and complete.

    Raises:
        EntryError: Not the canonical bytes of an asker part.
    """
    try:
        asker = msgspec.json.decode(raw, type=Asker)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise EntryError("not an asker part") from None
    if msgspec.json.encode(asker) != raw:
        raise EntryError("the asker part is not canonical")
    return asker


def parse_chain(raw: bytes) -> Chain:
    """The chain part, refused unless canonical.

    Raises:
        EntryError: Not the canonical bytes of a chain part.
    """
    try:
        chain = msgspec.json.decode(raw, type=Chain)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise EntryError("not a chain part") from None
    if msgspec.json.encode(chain) != raw:
        raise EntryError("the chain part is not canonical")
    return chain


def statement_of(asker: Asker, hub: str) -> Statement:
    """The statement that `asker.nodeSig` signs; `hub` is the log's origin without its year.

    Raises:
        EntryError: The hub wrote this entry of its own accord.
    """
    if not asker.nodeSig:
        raise EntryError("an entry of the hub's own has no statement")
    fields = {
        name: getattr(asker, name)
        for name in ("actor", "body", "case", "jti", "msg", "node", "nts", "org", "purpose", "role", "t")
    }
    try:
        return msgspec.convert({**fields, "hub": hub, "team": asker.team, "v": 1}, Statement)
    except msgspec.ValidationError:
        raise EntryError("the entry holds no well-formed statement") from None


# --- the leaf ----------------------------------------------------------------------


def part_a(salt_a: bytes, asker: bytes) -> bytes:
    return hashlib.sha256(b"a" + salt_a + asker).digest()


def part_b(salt_b: bytes, chain: bytes) -> bytes:
    return hashlib.sha256(b"b" + salt_b + chain).digest()


def leaf_from_parts(salt: bytes, a: bytes, b: bytes) -> bytes:
    """The 33 bytes of a leaf; who was given `B` only needs no chain part."""
    return b"\x01" + hashlib.sha256(b"vlagwijzer/entry/v1\n" + salt + a + b).digest()


def leaf_of(salt: bytes, salt_a: bytes, salt_b: bytes, asker: bytes, chain: bytes) -> bytes:
    """The leaf of an entry whose parts are all known."""
    return leaf_from_parts(salt, part_a(salt_a, asker), part_b(salt_b, chain))


# --- the plain text that is sealed -------------------------------------------------


def sealed_size(t: str) -> int:
    """Bytes of the sealed entry of an activity."""
    return LARGE if t in LARGE_ACTIVITIES else SMALL


def room(t: str) -> int:
    """Bytes that asker and chain part may have together."""
    return sealed_size(t) - SEALED_OVERHEAD - 3 * SALT_SIZE - 4


def plain_of(opened: Opened, t: str) -> bytes:
    """The padded plain text of an entry, ready to be sealed.

    Raises:
        EntryTooLarge: It does not fit; nothing may be answered.
    """
    return padded(opened.salt + opened.salt_a + opened.salt_b, opened.asker, opened.chain, t)


def padded(salts: bytes, asker: bytes, chain: bytes, t: str) -> bytes:
    """`plain_of` the parts of an entry; `salts` are the three, one after the other."""
    if len(asker) + len(chain) > room(t):
        raise EntryTooLarge("the entry does not fit its fixed size")
    plain = b"".join((salts, u16(len(asker)), asker, u16(len(chain)), chain))
    return plain.ljust(sealed_size(t) - SEALED_OVERHEAD, b"\0")


def opened_from(plain: bytes) -> Opened:
    """The entry inside a plain text; padding other than zeros is refused.

    Raises:
        EntryError: Not the plain text of an entry.
    """
    salts, at = 3 * SALT_SIZE, 3 * SALT_SIZE
    parts: list[bytes] = []
    for _ in range(2):
        length = int.from_bytes(plain[at : at + 2], "big")
        parts.append(plain[at + 2 : at + 2 + length])
        at += 2 + length
    if len(plain) < salts + 4 or at > len(plain) or any(plain[at:]):
        raise EntryError("not the plain text of an entry")
    return Opened(plain[:32], plain[32:64], plain[64:96], parts[0], parts[1])


def seal_aad(origin: str, index: int) -> bytes:
    """What binds a sealed entry to its place: `origin` includes the year."""
    return lp(origin) + u64(index)


# --- bitmaps and decisions ---------------------------------------------------------


SOMETHING = 0
"""Bit of `shown` that no kind has: the asker saw that there is something, and not what."""


def shown_bits(kinds: Iterable[int], highest: int) -> bytes:
    """Bitmap of visible kind numbers, of one length for a vocabulary whose highest number is `highest`."""
    bits = bytearray(highest // 8 + 1)
    for number in kinds:
        bits[number // 8] |= 1 << number % 8
    return bytes(bits)


def kinds_shown(bits: bytes) -> tuple[int, ...]:
    """The kind numbers of a bitmap, rising; `SOMETHING` first where it is set."""
    return tuple(n for n in range(len(bits) * 8) if bits[n // 8] >> n % 8 & 1)


def decision_bytes(
    policy_hash: bytes, decisions: Iterable[tuple[int, int, int]], inputs: Sequence[int] = ()
) -> bytes:
    """`dec`: the policy's hash, then (row, basis, rule) of each kind of the asked scopes by rising number.

    Args:
        inputs: Per kind the nine bits of what it was decided from (`index.decisions`); 0: not recorded.

    Raises:
        EntryError: A number that does not fit its bits.
    """
    if len(policy_hash) != _POLICY_HASH:
        raise EntryError("a policy hash has 32 bytes")
    pairs = zip(decisions, inputs or repeat(0), strict=bool(inputs))
    return policy_hash + b"".join([_decided(row, basis, rule, word) for (row, basis, rule), word in pairs])


_DECIDED = struct.Struct(">BBI").pack


@lru_cache(maxsize=8192)
def _decided(row: int, basis: int, rule: int, word: int) -> bytes:
    if row >> 4 or basis >> 3 or word >> 9:
        raise EntryError("a decision does not fit its bits")
    return _DECIDED(row | (word & 0x0F) << 4, basis | word >> 4 << 3, rule)


def decisions_of(dec: bytes) -> tuple[bytes, list[tuple[int, int, int]]]:
    """Policy hash and (row, basis, rule) per kind.

    Raises:
        EntryError: A length that no `dec` has.
    """
    rows = _rows_of(dec)
    return dec[:_POLICY_HASH], [(r[0] & 0x0F, r[1] & 0x07, int.from_bytes(r[2:], "big")) for r in rows]


def inputs_of(dec: bytes) -> list[int]:
    """Per kind the nine bits of what it was decided from; 0 where they were not recorded.

    Raises:
        EntryError: A length that no `dec` has.
    """
    return [r[0] >> 4 | r[1] >> 3 << 4 for r in _rows_of(dec)]


def _rows_of(dec: bytes) -> list[bytes]:
    if len(dec) < _POLICY_HASH or (len(dec) - _POLICY_HASH) % _DECISION:
        raise EntryError("not a decision field")
    return [dec[at : at + _DECISION] for at in range(_POLICY_HASH, len(dec), _DECISION)]


# --- does the vocabulary fit? ------------------------------------------------------


def largest_entry(
    *,
    kind_numbers: Collection[int],
    roles: Collection[str],
    purposes: Collection[str],
    bases: Collection[str],
    refusals: Collection[str] = (),
    scopes: int = 6,
) -> dict[str, int]:
    """Bytes of asker and chain part of the largest entry, for a large and a small activity.

    Small entries concern one person in one scope and decide nothing. Ids have the
    longest form that a statement may have.

    Returns:
        `{"lookup": bytes, "publish": bytes}`, to be compared with `room`.
    """

    def longest(codes: Collection[str]) -> str:
        return max(codes, key=len, default="")

    highest = max(kind_numbers, default=0)
    sizes: dict[str, int] = {}
    for t, handles, decided in (("lookup", scopes, True), ("publish", 1, False)):
        draft = EntryDraft(
            t="lookup" if decided else "subscription",
            ts=2**42 - 1,
            req="f" * 36,
            statement=Statement(
                actor="a" * 32, body="b" * 43, case="c" * 22, hub="h/v1/log", jti="j" * 22, msg="f" * 36,
                node="n" * 48, nts=2**33 - 1, org="9" * 20, purpose=longest(purposes), role=longest(roles),
                t="lookup", team="t" * 48, v=1,
            ),
            signature=bytes(64),
            lids=(bytes(16),) * handles,
            basis=longest(bases),
            pv=2**32 - 1,
            shown=shown_bits((), highest),
            refused=longest(refusals),
        )  # fmt: skip
        dec = decision_bytes(bytes(32), [(0, 0, 0)] * len(kind_numbers)) if decided else b""
        chain = chain_part([(2**32, 2**40)] * handles, dec)
        sizes[t] = len(asker_part(draft, draft.lids)) + len(chain)
    return sizes


def check_fits(
    *,
    kind_numbers: Collection[int],
    roles: Collection[str],
    purposes: Collection[str],
    bases: Collection[str],
    refusals: Collection[str] = (),
    scopes: int = 6,
) -> None:
    """Refuse a vocabulary whose largest entry does not fit; the hub calls this at start.

    Raises:
        EntryTooLarge: Names the activity and the bytes it is over.
    """
    sizes = largest_entry(
        kind_numbers=kind_numbers,
        roles=roles,
        purposes=purposes,
        bases=bases,
        refusals=refusals,
        scopes=scopes,
    )
    for t, size in sizes.items():
        if size > room(t):
            raise EntryTooLarge(
                f"the largest {t} entry of this vocabulary is {size - room(t)} bytes too long"
            )


def erases(chain: Chain, index: int) -> bool:
    """Whether an `erase` entry with this chain part names the line at `index` of the year it is about."""
    if not isinstance(chain.from_, int) or not isinstance(chain.to, int):
        return False
    if not chain.from_ <= index <= chain.to:
        return False
    if not isinstance(chain.lines, str):
        return True
    bits, at = unb64u(chain.lines), index - chain.from_
    return at // 8 < len(bits) and bool(bits[at // 8] >> at % 8 & 1)


def read_handles(asker: Asker) -> list[bytes]:
    """The handles of an entry, 16 bytes each."""
    return [unb64u(text, HANDLE_SIZE) for text in asker.handles]
