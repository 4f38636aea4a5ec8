"""Who may choose for whom, and until when: one person, somebody who speaks for them, and what is known.

    BRP or login -> `Standing`: age, measure, holders of authority -> may this speaker do this? -> until when

Younger than 12 a parent decides, from 12 to 15 both, from 16 the person alone:
then parents see nothing more. A curator, mentor, bewindvoerder or gemachtigde
speaks from a regime entry, about the subjects of the measure. What is not known
means the regime in which least can be opened alone, for three months at most.

Source: docs/design/policy-and-consent.md, "Representation and ages"; policy.md §2.2.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from consent.directive import Giver
from consent.resolve import add_months
from index.protocol.codec import SCOPES, b64u
from index.protocol.messages import OwnDirective

from .ages import Regime, birthday, next_boundary, regime_of
from .brp import Brp, BrpPerson
from .bsn import BadBsn, Bsn
from .errors import BrpUnavailable, NotAllowed
from .persons import person_tag

UNKNOWN_AGE_MONTHS = 3
CURATELE_MONTHS = 12
"""How long a curatele that the BRP shows is entered for; every login of the person proves it anew."""
BY_BRP = "brp:gezag"
CURATELE_BY_BRP = "brp:curateleregister"
SAY: dict[str, tuple[str, ...]] = {"mentor": ("zorg", "jeugd"), "bewindvoerder": ("geld",)}
"""The subjects that a measure is about; curatele and machtiging may concern all."""
_FROM_AGE = {"curator": 18, "mentor": 18, "bewindvoerder": 18, "gemachtigde": 16}


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who makes the choices of a session. `giver` tells two of one sort apart and names nobody."""

    by: Giver = "zelf"
    giver: str = field(default="", repr=False)
    evidence: str = field(default="", repr=False)


OWN = Speaker()


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the person whose choices these are, for one session.

    Args:
        born: Latest possible birth date; None when it is not known.
        curatele: As the BRP says; None when it was not asked or gave no answer.
        holders: `giver` of each holder of authority; None when that is not known.
    """

    born: date | None = field(default=None, repr=False)
    curatele: bool | None = None
    holders: frozenset[str] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Mandate:
    """Somebody a login speaks for, in which capacity, on which proof and until when (UTC)."""

    about: Bsn = field(repr=False)
    by: Giver
    evidence: str = field(repr=False)
    until: datetime
    name: str = field(default="", repr=False)
    """First name as the login gave it; never from anywhere else, and kept by nothing."""


def giver_of(secret: bytes, speaker: Bsn, about: Bsn) -> str:
    """The id of one speaker for one person: the same at each login, another for each person.

    Args:
        secret: The node's own; without it nobody can make or check one.

    Returns:
        Eight characters: an entry of the ledger has little room, and they only have to differ
        among the few who speak for one person.
    """
    return giver_for(secret, speaker, represented(secret, about))


def represented(secret: bytes, about: Bsn) -> bytes:
    """What `giver_for` needs of a person: no number, and no way back to one."""
    return person_tag(secret, about, "represented")


def giver_for(secret: bytes, speaker: Bsn, about: bytes) -> str:
    """As `giver_of`, with `represented` in place of the person."""
    return b64u(person_tag(secret, speaker, f"speaker {b64u(about)}")[:6])


def known_of(secret: bytes, record: BrpPerson) -> Known:
    """What the BRP says of one person, without a number of anybody."""
    holders = {
        giver_of(secret, holder, record.bsn)
        for relation in record.authority
        if relation.child == record.bsn
        for holder in relation.holders
    }
    return Known(record.born, record.curatele, frozenset(holders))


def refuse_if_gone(record: BrpPerson) -> None:
    """Nobody logs in as, or speaks for, somebody who died or whose number is no longer used.

    Raises:
        NotAllowed: `deceased` or `number-changed`.
    """
    if record.deceased:
        raise NotAllowed("deceased")
    if record.withdrawn:
        raise NotAllowed("number-changed")


async def ask(brp: Brp, bsn: Bsn) -> BrpPerson | None:
    """The BRP's record; None when it does not know the number or gives no answer."""
    try:
        (record,) = await brp.persons([bsn])
    except BrpUnavailable:
        return None
    return record


# --- a mandate from the login --------------------------------------------------------


def read_mandate(claim: object, now: datetime) -> Mandate | None:
    """The mandate that a login carries in its claim for representation; None without one.

    Args:
        claim: `{"sub": <number>, "as": "gemachtigde", "evidence": <reference>, "until": <RFC 3339>}`, with
            `"givenName"` where the broker gives it.

    Raises:
        NotAllowed: `wrong-evidence` for a claim that proves nothing, `mandate-over` when it ended.
    """
    if claim is None:
        return None
    said: dict[str, Any] = claim if isinstance(claim, dict) else {}
    by, evidence = said.get("as"), said.get("evidence")
    try:
        about = Bsn.parse(said.get("sub"))
        until = datetime.fromisoformat(str(said.get("until")))
    except (BadBsn, ValueError):
        raise NotAllowed("wrong-evidence") from None
    if by not in _FROM_AGE or not isinstance(evidence, str) or not is_reference(evidence):
        raise NotAllowed("wrong-evidence")
    if until.tzinfo is None:
        raise NotAllowed("wrong-evidence")
    if until <= now:
        raise NotAllowed("mandate-over")
    return Mandate(about, by, evidence, until.astimezone(UTC), _first_name(said.get("givenName")))


def _first_name(said: object) -> str:
    """A name of letters, or nothing: what a login sends is shown on a page."""
    name = " ".join(said.split()) if isinstance(said, str) else ""
    return name if 0 < len(name) <= 40 and all(one.isalpha() or one in " '-." for one in name) else ""


def is_reference(text: str) -> bool:
    """Whether a text can be a reference to evidence: short, plain, and no citizen service number in it."""
    allowed = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.:/-")
    if not 0 < len(text) <= 32 or not set(text) <= allowed:
        return False
    digits = "".join(character for character in text if character.isdigit())
    return not any(_is_bsn(digits[at : at + 9]) for at in range(len(digits) - 8))


def _is_bsn(digits: str) -> bool:
    try:
        Bsn.parse(digits)
    except BadBsn:
        return False
    return True


def check_mandate(by: Giver, known: Known, now: datetime) -> None:
    """Refuse a measure that this person is too young for, or that the BRP contradicts.

    Raises:
        NotAllowed: `age-unknown`, `measure-too-young` or `wrong-evidence`.
    """
    if known.born is None:
        raise NotAllowed("age-unknown")
    if now < birthday(known.born, _FROM_AGE[by]):
        raise NotAllowed("measure-too-young")
    if by == "curator" and known.curatele is False:
        raise NotAllowed("wrong-evidence")


# --- one choice ----------------------------------------------------------------------


def check_choice(
    speaker: Speaker,
    known: Known,
    effect: str,
    *,
    scopes: Sequence[str],
    measures: frozenset[str],
    now: datetime,
) -> Regime:
    """The age regime that a choice is made under, when this speaker may make it.

    Args:
        scopes: That the choice touches.
        measures: In force in the ledger of these scopes.

    Raises:
        NotAllowed: `age` (a child below 12), `parent-of-adult`, `not-your-subject`, `curatele`,
            `mentorschap`.
    """
    regime = regime_of(known.born, now)
    if speaker.by == "zelf":
        if regime == "ouder":
            raise NotAllowed("age")
        if effect == "grant":
            _refuse_own_yes(known, measures)
        return regime
    if speaker.by == "ouder":
        if regime == "zelf":
            raise NotAllowed("parent-of-adult")
        return regime
    if not scopes or not set(scopes) <= set(SAY.get(speaker.by, SCOPES)):
        raise NotAllowed("not-your-subject")
    if speaker.by != "curator" and "curatele" in measures:
        raise NotAllowed("curatele")
    return regime


def _refuse_own_yes(known: Known, measures: frozenset[str]) -> None:
    if known.curatele or "curatele" in measures:
        raise NotAllowed("curatele")
    if "mentorschap" in measures:
        raise NotAllowed("mentorschap")


def end_of_choice(
    speaker: Speaker,
    known: Known,
    effect: str,
    *,
    months: int,
    boundaries: tuple[int, ...],
    now: datetime,
) -> datetime | None:
    """When a choice ends (UTC): a yes and a parent's no at an age boundary at the latest, else a no never."""
    if effect != "grant" and speaker.by != "ouder":
        return None
    ends = [add_months(now, months)] if effect == "grant" else []
    if known.born is None:
        ends.append(add_months(now, UNKNOWN_AGE_MONTHS))
    boundary = next_boundary(known.born, now, boundaries)
    return min([*ends, *([boundary] if boundary else [])])


def stale(
    own: Sequence[OwnDirective], known: Known, boundaries: tuple[int, ...], now: datetime
) -> list[OwnDirective]:
    """Entries that what is known now ends: of another age regime, past the boundary, of a former parent.

    An own no is never among them: what a person closed does not open by itself.
    """
    regime = regime_of(known.born, now)
    boundary = next_boundary(known.born, now, boundaries)

    def ends(entry: OwnDirective) -> bool:
        if not entry.in_force or entry.effect in ("withdraw", "regime"):
            return False
        if entry.by == "ouder" and known.holders is not None and entry.giver not in known.holders:
            return True
        if known.born is None or (entry.by == "zelf" and entry.effect != "grant"):
            return False
        until = None if entry.until is None else datetime.fromisoformat(entry.until)
        late = boundary is not None and (until is None or until > boundary)
        return entry.regime != regime or (late and (entry.effect == "grant" or entry.by == "ouder"))

    return [entry for entry in own if ends(entry)]


# --- a family ------------------------------------------------------------------------


@dataclass(slots=True)
class Child:
    """A child that a login may choose for. `stage` zelf: it chooses alone and is only named here."""

    bsn: Bsn = field(repr=False)
    known: Known = field(repr=False)
    stage: Regime
    speaker: Speaker = field(repr=False)
    grant: str = field(default="", repr=False)


async def children_of(brp: Brp, secret: bytes, parent: BrpPerson, now: datetime) -> list[Child]:
    """Children under 18 this person has authority over, by both records, youngest first.

    Raises:
        BrpUnavailable: The BRP gives no answer about them.
    """
    numbers = parent.children()[:20]
    records = await brp.persons(numbers) if numbers else []
    found = []
    for record in records:
        if record is None or record.deceased or record.withdrawn or not record.is_child_of(parent.bsn):
            continue
        if record.born is not None and now >= birthday(record.born, 18):
            continue
        known = known_of(secret, record)
        speaker = Speaker("ouder", giver_of(secret, parent.bsn, record.bsn), BY_BRP)
        found.append(Child(record.bsn, known, regime_of(record.born, now), speaker))
    return sorted(found, key=lambda child: child.known.born or date.max, reverse=True)
