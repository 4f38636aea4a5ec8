"""One entry of the ledger of choices, its canonical form, and the hash chain.

    hash = SHA-256("vlagwijzer/directive/v1\\n" || prevHash || canonical entry)

The ledger of one pseudonym in one scope starts at 32 zero bytes. Nothing is
updated: stopping a choice is a new entry that names the group it withdraws.
Times are whole seconds UTC.

Source: docs/design/consent.md, "Directive"; docs/design/pseudonyms.md, "Rows".
"""

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Literal, get_args

import rfc8785

Effect = Literal["grant", "deny", "slot", "withdraw", "regime"]
Giver = Literal["zelf", "ouder", "curator", "mentor", "bewindvoerder", "gemachtigde"]
Regime = Literal["ouder", "samen", "zelf"]
Channel = Literal["portaal", "code", "formulier", "balie"]
Right = Literal["dispute", "objection", "restriction"]
Reply = Literal["confirmed", "corrected", "retracted", "rejected", "upheld", "extended"]
Step = Literal["used", "ended", "confirmed", "corrected", "retracted", "rejected", "upheld", "extended"]
REPRESENTATIVES: tuple[Giver, ...] = ("curator", "mentor", "bewindvoerder", "gemachtigde")
"""Who gets a say by a regime entry: curatele, mentorschap, bewind, machtiging. Parents need none."""

FIRST_PREVIOUS = bytes(32)
MAX_ENTRY = 493
"""Bytes of a canonical entry: with version, log id and length it must fit the 512 of a sealed row."""

_TAG = b"vlagwijzer/directive/v1\n"
_NO_TIME = ""


class DirectiveInvalid(ValueError):
    """Something that cannot be an entry of the ledger. Names the field, never the value."""


@dataclass(frozen=True, slots=True)
class Directive:
    """What one giver decided in one scope. `number` is its seq in that scope's ledger, from 1.

    Paths go from broad to narrow; an empty path is "any". `category`: domain,
    kind. `receiver`: organisation (OIN), team, role in team. `purpose`: as in
    the vocabulary's tree.

    `group` (16 bytes) joins the copies of one choice over the scopes; only the
    sealed entry has it. `withdraws` is the group that a withdrawal ends.
    `regime` is the age regime that it was made under. An entry with the effect
    `regime` says that `by` may speak from now until `until`, as `evidence`
    shows; a machtiging only inside its paths. `giver` tells two givers
    of one sort apart. `evidence` refers to the proof of the giver's authority,
    or to the signed form when `channel` is `formulier`; it counts before
    `evidence_until`. `text` is the SHA-256 of the text that was confirmed,
    `policy` the version it was read under.

    `relation` is the id (16 bytes) of the case relation whose code the giver used: the grant
    ends with it. `entered` holds the numbers of node, team and role where an employee
    entered it for the giver, at a desk or from a signed form.
    """

    number: int
    group: bytes
    effect: Effect
    category: tuple[str, ...] = ()
    receiver: tuple[str, ...] = ()
    purpose: tuple[str, ...] = ()
    from_: datetime = datetime(2000, 1, 1, tzinfo=UTC)
    until: datetime | None = None
    explicit: bool = False
    by: Giver = "zelf"
    regime: Regime = "zelf"
    giver: str = ""
    evidence: str = ""
    evidence_until: datetime | None = None
    channel: Channel = "portaal"
    text: bytes = b""
    policy: int = 0
    withdraws: bytes = b""
    relation: bytes = b""
    entered: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("from_", "until", "evidence_until"):
            moment = getattr(self, name)
            if moment is None or (moment.tzinfo is UTC and not moment.microsecond):
                continue
            if moment.tzinfo is None:
                raise DirectiveInvalid(f"{name} has no time zone")
            object.__setattr__(self, name, moment.astimezone(UTC).replace(microsecond=0))
        if self.number < 1:
            raise DirectiveInvalid("number begins at 1")
        if len(self.group) != 16:
            raise DirectiveInvalid("group has 16 bytes")
        if len(self.category) > 2 or len(self.receiver) > 3 or len(self.purpose) > 2:
            raise DirectiveInvalid("a path is longer than its tree is deep")
        if (self.effect == "withdraw") != (len(self.withdraws) == 16):
            raise DirectiveInvalid("withdraws names a group exactly when the effect is withdraw")
        if self.effect == "regime" and not (self.by in REPRESENTATIVES and self.evidence and self.until):
            raise DirectiveInvalid("a regime entry names a representative, evidence and an end")
        if self.text and len(self.text) != 32:
            raise DirectiveInvalid("text is a SHA-256")
        if self.relation and (len(self.relation) != 16 or self.effect != "grant"):
            raise DirectiveInvalid("relation has 16 bytes, and only a grant has one")
        if len(self.entered) not in (0, 3):
            raise DirectiveInvalid("entered has three numbers")

    @property
    def provisional(self) -> bool:
        """A signed paper form that an employee entered: it waits for the citizen's own act."""
        return self.channel == "formulier"


@dataclass(frozen=True, slots=True)
class RightEntry:
    """A right of the AVG that somebody uses or ends, or what a publisher answered to it.

    dispute: this flag is not correct (art. 16). objection: against processing
    for a task (art. 21). restriction: do not show it now (art. 18).

    `number`, `from_`, `until`, `by`, `giver`, `evidence`, `channel`, `text` and
    `policy` as in `Directive`. `publisher` is the number of a node in the
    directory, 0 for any. `used` begins it under its `group`; `ended` names that
    group in `ends`; every other step is an answer, under that group, of the
    publisher that it names. There is an entry whether or not a flag exists.
    """

    number: int
    group: bytes
    right: Right
    step: Step
    kind: str
    publisher: int = 0
    from_: datetime = datetime(2000, 1, 1, tzinfo=UTC)
    until: datetime | None = None
    by: Giver = "zelf"
    giver: str = ""
    evidence: str = ""
    channel: Channel = "portaal"
    text: bytes = b""
    policy: int = 0
    ends: bytes = b""

    def __post_init__(self) -> None:
        for name in ("from_", "until"):
            moment = getattr(self, name)
            if moment is None:
                continue
            if moment.tzinfo is None:
                raise DirectiveInvalid(f"{name} has no time zone")
            object.__setattr__(self, name, moment.astimezone(UTC).replace(microsecond=0))
        if self.number < 1:
            raise DirectiveInvalid("number begins at 1")
        if len(self.group) != 16:
            raise DirectiveInvalid("group has 16 bytes")
        if (self.step == "ended") != (len(self.ends) == 16):
            raise DirectiveInvalid("ends names a group exactly when the step is ended")
        if not self.kind or not 0 <= self.publisher < 2**32:
            raise DirectiveInvalid("a right is about one kind, and one publisher or any")
        if self.is_reply and not self.publisher:
            raise DirectiveInvalid("an answer is of one publisher")
        if self.text and len(self.text) != 32:
            raise DirectiveInvalid("text is a SHA-256")

    @property
    def is_reply(self) -> bool:
        """Whether a publisher said this, and not the person."""
        return self.step not in ("used", "ended")


Entry = Directive | RightEntry
"""What one row of the ledger holds."""


def canonical(entry: Entry, prev: bytes) -> bytes:
    """RFC 8785 JSON of an entry, without `subject` and `hash`; fields that say nothing are left out.

    Raises:
        DirectiveInvalid: It would not fit the sealed row.
    """
    fields = _directive_fields(entry) if isinstance(entry, Directive) else _right_fields(entry)
    fields |= {"seq": entry.number, "prevHash": _text(prev), "group": _text(entry.group)}
    kept = {name: value for name, value in fields.items() if value not in ("", [], False, 0)}
    raw = rfc8785.dumps(kept)
    if len(raw) > MAX_ENTRY:
        raise DirectiveInvalid("the entry is too long for its row")
    return raw


def _directive_fields(directive: Directive) -> dict[str, Any]:
    return {
        "effect": directive.effect,
        "category": list(directive.category),
        "receiver": list(directive.receiver),
        "purpose": list(directive.purpose),
        "from": _moment(directive.from_),
        "until": _moment(directive.until),
        "explicit": directive.explicit,
        "by": directive.by,
        "regime": directive.regime,
        "giver": directive.giver,
        "evidence": directive.evidence,
        "evidenceUntil": _moment(directive.evidence_until),
        "channel": directive.channel,
        "text": _text(directive.text),
        "policy": directive.policy,
        "withdraws": _text(directive.withdraws),
        "relation": _text(directive.relation),
        "entered": list(directive.entered),
    }


def _right_fields(entry: RightEntry) -> dict[str, Any]:
    return {
        "right": entry.right,
        "step": entry.step,
        "kind": entry.kind,
        "publisher": entry.publisher,
        "from": _moment(entry.from_),
        "until": _moment(entry.until),
        "by": entry.by,
        "giver": entry.giver,
        "evidence": entry.evidence,
        "channel": entry.channel,
        "text": _text(entry.text),
        "policy": entry.policy,
        "ends": _text(entry.ends),
    }


def parse_canonical(raw: bytes) -> tuple[Entry, bytes]:
    """The entry and `prevHash` behind `canonical`'s bytes.

    Raises:
        DirectiveInvalid: Not the canonical form of an entry; unknown fields included.
    """
    try:
        fields = dict(json.loads(raw))
        entry = _right_from_json(fields) if "right" in fields else _from_json(fields)
        prev = _bytes(fields["prevHash"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DirectiveInvalid("not an entry of the ledger") from None
    if canonical(entry, prev) != raw:
        raise DirectiveInvalid("not the canonical form of an entry")
    return entry, prev


def directive_hash(prev: bytes, entry: Entry) -> bytes:
    """The entry's hash: the new head of its scope's ledger.

    Args:
        prev: The head before it; `FIRST_PREVIOUS` for the first.
    """
    if len(prev) != 32:
        raise DirectiveInvalid("a head has 32 bytes")
    return sha256(_TAG + prev + canonical(entry, prev)).digest()


def _from_json(entry: dict[str, Any]) -> Directive:
    return Directive(
        number=entry["seq"],
        group=_bytes(entry["group"]),
        effect=_member(entry, "effect", Effect, ""),
        category=tuple(entry.get("category", ())),
        receiver=tuple(entry.get("receiver", ())),
        purpose=tuple(entry.get("purpose", ())),
        from_=datetime.fromisoformat(entry["from"]),
        until=_instant(entry, "until"),
        explicit=entry.get("explicit", False),
        by=_member(entry, "by", Giver, ""),
        regime=_member(entry, "regime", Regime, ""),
        giver=entry.get("giver", ""),
        evidence=entry.get("evidence", ""),
        evidence_until=_instant(entry, "evidenceUntil"),
        channel=_member(entry, "channel", Channel, ""),
        text=_bytes(entry.get("text", "")),
        policy=entry.get("policy", 0),
        withdraws=_bytes(entry.get("withdraws", "")),
        relation=_bytes(entry.get("relation", "")),
        entered=tuple(entry.get("entered", ())),
    )


def _right_from_json(entry: dict[str, Any]) -> RightEntry:
    return RightEntry(
        number=entry["seq"],
        group=_bytes(entry["group"]),
        right=_member(entry, "right", Right, ""),
        step=_member(entry, "step", Step, ""),
        kind=entry["kind"],
        publisher=entry.get("publisher", 0),
        from_=datetime.fromisoformat(entry["from"]),
        until=_instant(entry, "until"),
        by=_member(entry, "by", Giver, ""),
        giver=entry.get("giver", ""),
        evidence=entry.get("evidence", ""),
        channel=_member(entry, "channel", Channel, ""),
        text=_bytes(entry.get("text", "")),
        policy=entry.get("policy", 0),
        ends=_bytes(entry.get("ends", "")),
    )


def _instant(entry: dict[str, Any], name: str) -> datetime | None:
    return datetime.fromisoformat(entry[name]) if name in entry else None


def _member(entry: dict[str, Any], name: str, allowed: object, default: str) -> Any:
    value = entry.get(name, default)
    if value not in get_args(allowed):
        raise ValueError(name)
    return value


def _moment(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else _NO_TIME


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
