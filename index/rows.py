"""From `N` to rows and back: search keys, sealed rows, and the escrow beside each.

    N -> idx, idx_dir, idx_rel, lid          one keyed HMAC per table; no two tables share a key
    row -> sealed under this month's data key, bound to table, key, search key, scope and escrow
    N -> escrow under a session key that only the offline rotation key can agree on again

The escrow session is a fresh X25519 pair whose private half is gone before
this module returns: a restarted hub cannot open what an earlier one escrowed.

Source: docs/design/pseudonyms.md, "At the hub: rows, escrow, shredding".
"""

import hashlib
import hmac
import secrets
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Literal, NamedTuple, Protocol, TypeVar

from nacl.bindings import crypto_scalarmult, crypto_scalarmult_base
from nacl.exceptions import CryptoError

from consent.directive import Directive
from consent.state import encode as encode_state
from consent.state import fold
from index.aead import open_box, seal_box
from index.keystore import ROWS, DataKey, Keystore
from index.protocol.codec import SCOPES, lp, u16, u32, u64
from index.protocol.entry import log_id
from index.protocol.mac import mac_under
from index.transaction import ChoiceRow, ClaimRow, DirectiveRow, FlagRow, RelationRow

T = TypeVar("T")
OPEN_END = 0xFFFF
"""`until` of a flag without an end."""

ESCROW_LIFE = timedelta(hours=24)
WEEK_S = 7 * 24 * 3600
FLAG_SIZE, DIRECTIVE_SIZE, CHOICE_SIZE, RELATION_SIZE = 64, 512, 2048, 320
CLAIM_SIZE, REVIEW_SIZE = 160, 768
_NO_CHOICE = encode_state(fold(None, Directive(1, bytes(16), "deny")))
_NONCE = 24
_VERSION = 1


class RowError(Exception):
    """A sealed row that does not open here: moved, damaged, or its data key is gone."""


class TooLarge(ValueError):
    """A plain text that does not fit the fixed size of its table."""


class SearchKeys(NamedTuple):
    """What the hub computes from one `N`: one key per table, and the person's log id in the scope."""

    idx: bytes
    idx_dir: bytes
    idx_rel: bytes
    lid: bytes

    def __repr__(self) -> str:
        return "<SearchKeys>"


TOLD = 1
"""Mark of a flag whose postponed notice was released: its own citizen sees it from then on."""


class Flag(NamedTuple):
    """A flag as it stands inside its sealed row. Months since January 2000; `OPEN_END` = open.

    `marks` is a sum of marks, of which there is one: `TOLD`.
    """

    kind: int
    publisher: int
    since: int
    until: int
    marks: int
    lid: bytes


class Asked(NamedTuple):
    """What a publisher is asked, as it stands in its sealed row: places in the lists of rights and scopes.

    `idx` leads to the publisher's own flags, where there are any, `idx_dir` to the ledger of the answer.
    """

    right: int
    scope: int
    kind: int
    publisher: int
    group: bytes
    idx: bytes
    idx_dir: bytes
    lid: bytes
    told: int = 0
    """1 once the publisher heard of it: a flag that is gone after that was taken back."""


class NewFlag(NamedTuple):
    """A flag that is to be stored under `n`; check that with `ristretto.is_point` before."""

    scope: str
    n: bytes
    rtag: bytes
    seq: int
    expires_week: int
    flag: Flag


class Sealed(NamedTuple):
    sealed: bytes
    escrow: bytes


class Place(NamedTuple):
    """Where a sealed row stands; it opens nowhere else. `table` is the table's name."""

    table: str
    primary_key: bytes
    search_key: bytes
    scope: str


class Names(Protocol):
    """What tells one relation of a person from another; a ticket has it and a relation has it."""

    @property
    def class_number(self) -> int: ...
    @property
    def node(self) -> int: ...
    @property
    def team(self) -> int: ...
    @property
    def role(self) -> int: ...
    @property
    def purpose(self) -> int: ...
    @property
    def case_tag(self) -> bytes: ...
    @property
    def opened(self) -> int: ...
    @property
    def mark(self) -> int: ...


class Code(NamedTuple):
    """A one-time code of a visit: for which portal, until when, who used it, and whether they are done.

    `tag` is a digest of it, 16 bytes. `session` is when the session that used it was opened,
    Unix seconds; 0 while it is unused.
    """

    tag: bytes
    until: int
    portal: int
    session: int
    done: int

    def __repr__(self) -> str:
        return "<Code>"


NO_CODE = Code(bytes(16), 0, 0, 0, 0)


_IDENTITY = struct.Struct(">IIIIB16sQ")


@dataclass(frozen=True, slots=True)
class Relation:
    """A case relation, crisis relation or citizen session in one scope.

    Numbers are those of directory and vocabulary, 0 where there is none; times
    are Unix seconds. `closed` is 0 while it is open; `used` is kept for citizen
    sessions, which end without use. `risk` is what a crisis relation was declared
    with: `OTHERS_AT_RISK` and `INCAPABLE`, added; 0 in all others. `mark` is
    another number for each message that opens something: a case may have two
    visits that begin in one second. `code` is what the
    desk gave the citizen last. `ledger_escrow` and `claim_escrow` are escrows of `N`
    for the citizen's ledger in this scope: with them a desk may add a no without
    asking for the number again. All empty in rows of earlier versions.
    """

    class_number: int
    node: int
    team: int
    role: int
    purpose: int
    case_tag: bytes
    opened: int
    until: int
    closed: int
    used: int
    lid: bytes = field(repr=False)
    risk: int = 0
    mark: int = 0
    code: "Code" = field(default_factory=lambda: NO_CODE, repr=False)
    ledger_escrow: bytes = field(default=b"", repr=False)
    claim_escrow: bytes = field(default=b"", repr=False)


OTHERS_AT_RISK, INCAPABLE = 1, 2
NO_FLAG = Flag(1, 0, 0, OPEN_END, 0, bytes(16))
"""A flag that stands for nothing: of no publisher."""
_NO_END_WEEK = 0x7FFFFFFF
_FLAG = struct.Struct(">BHIHHH16s")
_ASKED = struct.Struct(">BBBHI16s32s32s16sB")
# `risk` and `mark` stand in what was filling before, so that rows of earlier versions read as 0.
_RELATION = struct.Struct(">BBIIHH16sQQQQ16sBI")
# At a place of its own in what was filling before, so that rows of earlier versions read as no code.
_AT_TABLE, _AT_TABLE_FROM = struct.Struct(">16sQIQB76s76s"), 96


def month_number(text: str) -> int:
    """Months since January 2000 of a `YYYY-MM` that was checked."""
    return (int(text[:4]) - 2000) * 12 + int(text[5:7]) - 1


def month_text(number: int) -> str:
    """The `YYYY-MM` of a month number."""
    return f"{2000 + number // 12:04d}-{number % 12 + 1:02d}"


def week_of(seconds: int) -> int:
    """Weeks since 1970, the only precision in which a row shows when it expires."""
    return seconds // WEEK_S


class EscrowSession:
    """A session key that the rotation key can agree on again, and nobody else.

    `sid` and `epk` go to table `escrow_session` before the first row is
    written under it; the private half exists only inside `__init__`.
    """

    __slots__ = ("_key", "began", "epk", "sid")

    def __init__(self, rotation_public: bytes, sid: int, began: datetime, esk: bytes | None = None) -> None:
        private = esk or secrets.token_bytes(32)
        self.epk: bytes = crypto_scalarmult_base(private)
        shared = crypto_scalarmult(private, rotation_public)
        self._key = hashlib.sha256(b"vlagwijzer/escrow/v1" + shared + self.epk + rotation_public).digest()
        self.sid = sid
        self.began = began

    def seal(self, scope: str, search_key: bytes, n: bytes, nonce: bytes | None = None) -> bytes:
        """The escrow of `n` beside a row: 76 bytes."""
        nonce = nonce or secrets.token_bytes(_NONCE)
        box = seal_box(n, _lp(scope) + search_key, nonce, self._key)
        return u32(self.sid) + nonce + box

    def open(self, scope: str, search_key: bytes, escrow: bytes) -> bytes:
        """`N` of a row written in this very session; the rotation machine does the rest.

        Raises:
            RowError: Of another session, or moved from another row.
        """
        if escrow[:4] != u32(self.sid):
            raise RowError("escrow of another session")
        return _decrypt(escrow[28:], lp(scope) + search_key, escrow[4:28], self._key)

    def over(self, now: datetime) -> bool:
        """Whether it is time for the next session."""
        return now - self.began >= ESCROW_LIFE

    @property
    def key(self) -> bytes:
        """For known answers in tests only."""
        return self._key

    def __repr__(self) -> str:
        return f"<EscrowSession {self.sid}>"


class Rows:
    """Seals and opens the hub's rows with the keys of one key store.

    Args:
        escrow: Gives the session in force; it changes every day.
        clock: UTC; chooses the month's data key.
    """

    def __init__(
        self, keystore: Keystore, escrow: Callable[[], EscrowSession], clock: Callable[[], datetime]
    ) -> None:
        self._keystore = keystore
        self._escrow = escrow
        self._clock = clock
        self._h_flag = keystore.secret("h_flag")
        self._h_dir = keystore.secret("h_dir")
        self._h_rel = keystore.secret("h_rel")
        self._k_pub = keystore.secret("k_pub")
        self._deks: dict[int, bytes] = dict(keystore.data_keys())
        self._month = (0, 0)
        self._newest: DataKey | None = None
        self._dummies: dict[str, tuple[Place, Sealed]] = {}
        self._no_flag: FlagRow | None = None

    def _key_of(self, sealed: bytes) -> bytes:
        try:
            return self._deks[int.from_bytes(sealed[:4], "big")]
        except KeyError:
            raise RowError("the data key of this row is gone") from None

    def _current(self) -> DataKey:
        """This month's data key; the first row of a month may be the first to need it."""
        now = self._clock()
        month = now.year, now.month
        if self._month != month or self._newest is None:
            self._keystore.keys_for(now)
            self._newest = self._keystore.current(ROWS, now)
            self._deks[self._newest.number] = self._newest.key
            self._month = month
        return self._newest

    # --- search keys -----------------------------------------------------------------

    def keys_of(self, scope: str, n: bytes) -> SearchKeys:
        """Search keys and log id of one `N`; check it with `ristretto.is_point` before writing a row."""
        tail = lp(scope) + n
        return SearchKeys(
            self.idx_of(scope, n),
            hmac.digest(self._h_dir, b"idx-dir/v1" + tail, "sha256"),
            hmac.digest(self._h_rel, b"idx-rel/v1" + tail, "sha256"),
            log_id(scope, n),
        )

    def idx_of(self, scope: str, n: bytes) -> bytes:
        """The search key of flags alone."""
        return mac_under(self._h_flag)(b"idx/v1" + _lp(scope) + n)

    def pub_tag(self, publisher: int) -> bytes:
        """What stands for a publisher (the node's number) in rows, 16 bytes."""
        return hmac.digest(self._k_pub, u32(publisher), "sha256")[:16]

    # --- any row ---------------------------------------------------------------------

    def escrow(self, scope: str, search_key: bytes, n: bytes) -> bytes:
        """An escrow of `n` for any row of this person under this search key."""
        return self._escrow().seal(scope, search_key, n)

    def seal(self, place: Place, n: bytes, plain: bytes, escrow: bytes = b"") -> Sealed:
        """A new row: its escrow, and its plain text sealed under this month's data key.

        Args:
            escrow: Made before by `escrow` for this search key; then no `n` is needed.
        """
        escrow = escrow or self.escrow(place.scope, place.search_key, n)
        return Sealed(self.reseal(place, escrow, plain), escrow)

    def reseal(self, place: Place, escrow: bytes, plain: bytes) -> bytes:
        """Seal a changed plain text beside the escrow that the row has already: no `N` is needed."""
        key = self._current()
        return seal_bytes(key.number, key.key, plain, row_aad(place, escrow))

    def open(self, place: Place, escrow: bytes, sealed: bytes) -> bytes:
        """The plain text of a row.

        Raises:
            RowError: Its data key is gone, or it was moved to another table,
                key, search key, scope or escrow.
        """
        try:
            return open_box(sealed[28:], row_aad(place, escrow), sealed[4:28], self._key_of(sealed))
        except CryptoError:
            raise RowError("does not open here") from None

    # --- flags -----------------------------------------------------------------------

    def seal_flag(self, scope: str, rtag: bytes, idx: bytes, n: bytes, flag: Flag) -> Sealed:
        """A flag of `flag.publisher` under `idx`."""
        place = Place("flag", self.pub_tag(flag.publisher) + rtag, idx, scope)
        return self.seal(place, n, flag_plain(flag))

    def seal_flags(self, flags: Sequence[NewFlag]) -> list[FlagRow]:
        """Rows of many flags, in order: what `keys_of` and `seal_flag` give, in one loop."""
        key, session = self._current(), self._escrow()
        dek = u32(key.number)
        fresh = secrets.token_bytes(2 * _NONCE * len(flags))
        tags: dict[int, bytes] = {}
        rows: list[FlagRow] = []
        for at, (scope, n, rtag, seq, week, flag) in enumerate(flags):
            tag = tags.get(flag.publisher) or tags.setdefault(flag.publisher, self.pub_tag(flag.publisher))
            start = 2 * _NONCE * at
            nonce = fresh[start : start + _NONCE]
            idx = self.idx_of(scope, n)
            escrow = session.seal(scope, idx, n, fresh[start + _NONCE : start + 2 * _NONCE])
            aad = row_aad(Place("flag", tag + rtag, idx, scope), escrow)
            sealed = dek + nonce + seal_box(flag_plain(flag), aad, nonce, key.key)
            rows.append(FlagRow(tag, rtag, idx, sealed, escrow, seq, week))
        return rows

    def open_flag(self, row: FlagRow, scope: str) -> Flag:
        """The flag inside a row; RowError as in `open`."""
        place = Place("flag", row.pub_tag + row.rtag, row.idx, scope)
        plain = self.open(place, row.escrow, row.sealed)
        return Flag._make(_FLAG.unpack_from(plain)[1:])

    def told(self, row: FlagRow) -> FlagRow:
        """The same row with the mark `TOLD`, under the same escrow.

        Raises:
            RowError: It opens in no scope.
        """
        scope, flag = self.open_flag_anywhere(row)
        place = Place("flag", row.pub_tag + row.rtag, row.idx, scope)
        key, plain = self._current(), flag_plain(flag._replace(marks=flag.marks | TOLD))
        return row._replace(sealed=seal_bytes(key.number, key.key, plain, row_aad(place, row.escrow)))

    def open_flag_anywhere(self, row: FlagRow) -> tuple[str, Flag]:
        """Scope and flag of a row whose scope nobody says (retraction, expiry); RowError when none fits."""
        for scope in SCOPES:
            try:
                return scope, self.open_flag(row, scope)
            except RowError:
                continue
        raise RowError("opens in no scope")

    def no_flag(self) -> tuple[FlagRow, str]:
        """A flag row that stands for nothing, and its scope: worked on like a real one and left out."""
        if self._no_flag is None:
            tag, rtag, idx = bytes(16), bytes(32), secrets.token_bytes(32)
            place = Place("flag", tag + rtag, idx, SCOPES[0])
            row = self.seal(place, secrets.token_bytes(32), flag_plain(NO_FLAG))
            self._no_flag = FlagRow(tag, rtag, idx, row.sealed, row.escrow, 0, _NO_END_WEEK)
        return self._no_flag, SCOPES[0]

    def open_dummy(self, table: Literal["choice_state", "relation"]) -> bytes:
        """Open a row that stands for nothing: the same work as a real one of that table.

        The plain text of a choice state holds one choice, which is to be resolved and then left out.
        """
        dummy = self._dummies.get(table)
        if dummy is None:
            plain = {
                "choice_state": _framed(bytes(16), _NO_CHOICE, CHOICE_SIZE),
                "relation": bytes(RELATION_SIZE),
            }
            place = Place(table, secrets.token_bytes(48), secrets.token_bytes(32), SCOPES[0])
            dummy = place, self.seal(place, secrets.token_bytes(32), plain[table])
            self._dummies[table] = dummy
        place, row = dummy
        return self.open(place, row.escrow, row.sealed)

    # --- choices ---------------------------------------------------------------------

    def seal_choice(
        self, scope: str, idx_dir: bytes, *, n: bytes, lid: bytes, state: bytes, escrow: bytes = b""
    ) -> Sealed:
        """A choice state: `consent.state.encode`, with the log id in front; `escrow` as in `seal`.

        Raises:
            TooLarge: More than 2,029 bytes.
        """
        place = Place("choice_state", idx_dir, idx_dir, scope)
        return self.seal(place, n, _framed(lid, state, CHOICE_SIZE), escrow)

    def open_choice(self, row: ChoiceRow, scope: str) -> tuple[bytes, bytes]:
        """Log id and encoded state; RowError as in `open`."""
        place = Place("choice_state", row.idx_dir, row.idx_dir, scope)
        return _unframed(self.open(place, row.escrow, row.sealed))

    def open_no_choice(self) -> bytes:
        """The encoded state of a dummy row, for a person who never chose: worked on like a real one."""
        return _unframed(self.open_dummy("choice_state"))[1]

    def seal_directive(
        self,
        scope: str,
        idx_dir: bytes,
        number: int,
        *,
        n: bytes,
        lid: bytes,
        entry: bytes,
        escrow: bytes = b"",
    ) -> Sealed:
        """A ledger entry in its canonical bytes; `escrow` as in `seal`.

        Raises:
            TooLarge: More than 493 bytes.
        """
        place = Place("directive", idx_dir + u32(number), idx_dir, scope)
        return self.seal(place, n, _framed(lid, entry, DIRECTIVE_SIZE), escrow)

    def open_directive(self, row: DirectiveRow, scope: str) -> tuple[bytes, bytes]:
        """Log id and canonical entry; RowError as in `open`."""
        place = Place("directive", row.idx_dir + u32(row.number), row.idx_dir, scope)
        return _unframed(self.open(place, row.escrow, row.sealed))

    # --- relations -------------------------------------------------------------------

    def new_relation(self, scope: str, idx_rel: bytes, n: bytes, relation: Relation) -> RelationRow:
        """A row under the key that only its own ticket leads to."""
        key = self.relation_key(idx_rel, relation)
        sealed = self.seal(Place("relation", key, idx_rel, scope), n, _relation_plain(relation))
        return RelationRow(key, idx_rel, sealed.sealed, sealed.escrow)

    def relation_key(self, idx_rel: bytes, named: "Names") -> bytes:
        """Key of the row of exactly this visit or session, 16 bytes that look random.

        With it a ticket finds its own row without opening those of others: how many
        relations a person has must not show in the work of anybody's question.
        """
        identity = _IDENTITY.pack(
            named.class_number, named.node, named.team, named.role, named.purpose,
            named.case_tag, named.opened,
        )  # fmt: skip
        if named.mark:
            identity += u32(named.mark)
        return hmac.digest(self._k_pub, b"relation/v1" + idx_rel + identity, "sha256")[:16]

    def changed_relation(self, row: RelationRow, scope: str, relation: Relation) -> RelationRow:
        """The row of a relation that was closed, renewed or used."""
        place = Place("relation", row.key, row.idx_rel, scope)
        return row._replace(sealed=self.reseal(place, row.escrow, _relation_plain(relation)))

    def open_relation(self, row: RelationRow, scope: str) -> Relation:
        """RowError as in `open`."""
        plain = self.open(Place("relation", row.key, row.idx_rel, scope), row.escrow, row.sealed)
        # Rows of earlier versions are shorter.
        *code, ledger, claims = _AT_TABLE.unpack_from(plain.ljust(RELATION_SIZE, b"\0"), _AT_TABLE_FROM)
        # Constructed at once: a question opens a dozen of these.
        escrows = (ledger.rstrip(b"\0") and ledger, claims.rstrip(b"\0") and claims)
        return Relation(*(*_RELATION.unpack_from(plain)[1:], Code._make(code), *escrows))

    def seal_directive_beside(
        self, scope: str, choice: ChoiceRow, number: int, *, lid: bytes, entry: bytes
    ) -> Sealed:
        """A ledger entry where nobody brought `N`: the escrow is that of the same person's choice state.

        Raises:
            TooLarge: More than 493 bytes.
        """
        place = Place("directive", choice.idx_dir + u32(number), choice.idx_dir, scope)
        plain = _framed(lid, entry, DIRECTIVE_SIZE)
        return Sealed(self.reseal(place, choice.escrow, plain), choice.escrow)

    def changed_choice(self, row: ChoiceRow, scope: str, lid: bytes, state: bytes) -> ChoiceRow:
        """The row of a folded state that a publisher's answer changed."""
        place = Place("choice_state", row.idx_dir, row.idx_dir, scope)
        return row._replace(sealed=self.reseal(place, row.escrow, _framed(lid, state, CHOICE_SIZE)))

    # --- what publishers are asked -----------------------------------------------------

    def claim_tag(self, publisher: int) -> bytes:
        """What stands for a publisher in table `claim`, 32 bytes; not the tag of its flags."""
        return hmac.digest(self._k_pub, b"claim/v1" + u32(publisher), "sha256")

    def claim_key(self, asked: Asked) -> bytes:
        """The same claim has one row per publisher. 16 bytes."""
        about = u32(asked.publisher) + u16(asked.kind) + bytes((asked.right,)) + asked.group + asked.idx_dir
        return hmac.digest(self._k_pub, b"claim-key/v1" + about, "sha256")[:16]

    def new_claim(self, asked: Asked, n: bytes, escrow: bytes = b"") -> ClaimRow:
        """A row that the publisher's next question about its flags finds.

        Its escrow is that of `idx_dir` made anew, so that nothing at rest joins it with the ledger;
        or one that was made for claims before, where nobody brings `n`.
        """
        key, tag = self.claim_key(asked), self.claim_tag(asked.publisher)
        escrow = escrow or self._escrow().seal(SCOPES[asked.scope], asked.idx_dir, n)
        plain = asked_bytes(asked).ljust(CLAIM_SIZE, b"\0")
        return ClaimRow(key, tag, self.reseal(Place("claim", key, tag, ""), escrow, plain), escrow)

    def changed_claim(self, row: ClaimRow, asked: Asked) -> ClaimRow:
        """The row after its publisher heard of it."""
        plain = asked_bytes(asked).ljust(CLAIM_SIZE, b"\0")
        return row._replace(sealed=self.reseal(Place("claim", row.key, row.tag, ""), row.escrow, plain))

    def open_claim(self, row: ClaimRow) -> Asked:
        """RowError as in `open`."""
        return asked_from(self.open(Place("claim", row.key, row.tag, ""), row.escrow, row.sealed))

    # --- reviews of break-glass --------------------------------------------------------

    def review_key(self, node_number: int, case_tag: bytes) -> bytes:
        """Key of the review of one declaration: its node, and the case it was declared under. 16 bytes."""
        return hmac.digest(self._k_pub, b"review/v1" + u32(node_number) + case_tag, "sha256")[:16]

    def seal_review(self, key: bytes, content: bytes) -> bytes:
        """What is kept of a declaration; nothing in it is about a person.

        Raises:
            TooLarge: More than 766 bytes.
        """
        plain = u16(len(content)) + content
        if len(plain) > REVIEW_SIZE:
            raise TooLarge(f"{len(plain) - REVIEW_SIZE} bytes too long for its row")
        data_key = self._current()
        return seal_bytes(data_key.number, data_key.key, plain.ljust(REVIEW_SIZE, b"\0"), _review_aad(key))

    def open_review(self, key: bytes, sealed: bytes) -> bytes:
        """RowError when its data key is gone or it was moved."""
        plain = _decrypt(sealed[28:], _review_aad(key), sealed[4:28], self._key_of(sealed))
        return plain[2 : 2 + int.from_bytes(plain[:2], "big")]

    # --- what officers keep ------------------------------------------------------------

    def seal_note(self, kind: str, key: bytes, content: bytes) -> bytes:
        """A row of `postponed`, `inquiry`, `sample` or `opening`, bound to its table and key.

        Raises:
            TooLarge: More than 766 bytes.
        """
        plain = u16(len(content)) + content
        if len(plain) > REVIEW_SIZE:
            raise TooLarge(f"{len(plain) - REVIEW_SIZE} bytes too long for its row")
        data_key, aad = self._current(), _note_aad(kind, key)
        return seal_bytes(data_key.number, data_key.key, plain.ljust(REVIEW_SIZE, b"\0"), aad)

    def open_note(self, kind: str, key: bytes, sealed: bytes) -> bytes:
        """RowError when its data key is gone or it was moved."""
        plain = _decrypt(sealed[28:], _note_aad(kind, key), sealed[4:28], self._key_of(sealed))
        return plain[2 : 2 + int.from_bytes(plain[:2], "big")]

    # --- messages --------------------------------------------------------------------

    def node_tag(self, node_number: int) -> bytes:
        """What stands for a node in table `message`; not the tag of its flags."""
        return hmac.digest(self._k_pub, b"message/v1" + u32(node_number), "sha256")[:16]

    def seal_message(self, node_tag: bytes, message: str, body: bytes, receipt: bytes) -> bytes:
        """What a repeated message gets, sealed: it may hold handles."""
        key = self._current()
        return seal_bytes(key.number, key.key, receipt, _message_aad(node_tag, message, body))

    def open_message(self, node_tag: bytes, message: str, body: bytes, sealed: bytes) -> bytes:
        """RowError when its data key is gone or it was moved."""
        key = self._key_of(sealed)
        return _decrypt(sealed[28:], _message_aad(node_tag, message, body), sealed[4:28], key)


def asked_bytes(asked: Asked) -> bytes:
    """What goes into a row, and into the token of a question: 106 bytes."""
    return _ASKED.pack(_VERSION, *asked)


def asked_from(plain: bytes) -> Asked:
    """What `asked_bytes` packed; bytes after it are filling."""
    return Asked._make(_ASKED.unpack_from(plain)[1:])


def row_aad(place: Place, escrow: bytes) -> bytes:
    """What a sealed row is bound to."""
    table, primary_key, search_key, scope = place
    head, tail = _ends(table, len(primary_key), scope)
    return b"".join((head, primary_key, search_key, _sha256(escrow).digest(), tail))


@lru_cache(maxsize=128)
def _ends(table: str, size: int, scope: str) -> tuple[bytes, bytes]:
    # Encoded once: six such prefixes per row would cost as much as opening it.
    return lp(table) + u16(size), lp(scope)


_sha256 = hashlib.sha256
_lp = lru_cache(maxsize=8)(lp)


def flag_plain(flag: Flag) -> bytes:
    """The 64 bytes inside a flag's row."""
    return _FLAG.pack(_VERSION, *flag).ljust(FLAG_SIZE, b"\0")


def seal_bytes(number: int, key: bytes, plain: bytes, aad: bytes, nonce: bytes | None = None) -> bytes:
    """dek_id ‖ nonce ‖ ciphertext."""
    nonce = nonce or secrets.token_bytes(_NONCE)
    return u32(number) + nonce + seal_box(plain, aad, nonce, key)


def digest_term(rtag: bytes, seq: int) -> int:
    """What one live flag adds to the sum of its bucket, modulo 2^256."""
    return int.from_bytes(hashlib.sha256(rtag + u64(seq)).digest(), "big")


def rtag_of(secret: bytes) -> bytes:
    """BLAKE2b-256 of a retraction secret."""
    return hashlib.blake2b(secret, digest_size=32).digest()


def shuffled(rows: Sequence[T]) -> list[T]:
    """A batch's rows in random order, so that their places in the file say nothing."""
    mixed = list(rows)
    secrets.SystemRandom().shuffle(mixed)
    return mixed


def _decrypt(box: bytes, aad: bytes, nonce: bytes, key: bytes) -> bytes:
    try:
        return open_box(box, aad, nonce, key)
    except CryptoError:
        raise RowError("does not open here") from None


def _relation_plain(relation: Relation) -> bytes:
    r = relation
    packed = _RELATION.pack(
        _VERSION, r.class_number, r.node, r.team, r.role, r.purpose, r.case_tag,
        r.opened, r.until, r.closed, r.used, r.lid, r.risk, r.mark,
    )  # fmt: skip
    at_table = _AT_TABLE.pack(*r.code, r.ledger_escrow, r.claim_escrow)
    return (packed.ljust(_AT_TABLE_FROM, b"\0") + at_table).ljust(RELATION_SIZE, b"\0")


def _framed(lid: bytes, content: bytes, size: int) -> bytes:
    plain = bytes((_VERSION,)) + lid + u16(len(content)) + content
    if len(plain) > size:
        raise TooLarge(f"{len(plain) - size} bytes too long for its row")
    return plain.ljust(size, b"\0")


def _unframed(plain: bytes) -> tuple[bytes, bytes]:
    length = int.from_bytes(plain[17:19], "big")
    return plain[1:17], plain[19 : 19 + length]


def _review_aad(key: bytes) -> bytes:
    return lp("review") + lp(key)


def _note_aad(kind: str, key: bytes) -> bytes:
    return lp(kind) + lp(key)


def _message_aad(node_tag: bytes, message: str, body: bytes) -> bytes:
    return lp("message") + lp(node_tag) + lp(message) + lp(body)
