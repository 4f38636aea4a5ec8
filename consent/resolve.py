"""R: what the choices of one person say about one kind, receiver and purpose at one moment.

    1. take the directives in force that cover the request
    2. per giver: any slot is a deny
    3. per giver: drop what a narrower one overrules, or a later one of the same scope
    4. per giver: any deny, else any grant, else nothing
    5. join the givers by the regime in force

Narrower beats broader whatever the order; for one same scope the later wins;
between scopes that cross, no wins. Any deny of a giver who counts is a deny.

Source: docs/design/consent.md, "Resolution".
"""

from calendar import monthrange
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Literal, get_args

from policy.decide import KindState
from policy.vocabulary import Kind, Purpose

from .claims import UNTOUCHED, Claims, Standing
from .directive import Directive, Giver, Regime
from .state import ChoiceState, regimes_in_force

GRANT_MONTHS = 12
"""A grant ends then at the latest; `limits.consent_default_months`."""
_SURELY_LASTS = timedelta(days=365)
"""Not longer than any `GRANT_MONTHS` months: before that only a grant's own `until` ends it."""
FORM_HOURS = 72
"""An unconfirmed paper form lapses then; `limits.assisted_consent_hours`."""
FORM_AGAIN_DAYS = 30
"""So long no second form is taken for what the first one said, unless that one was confirmed."""
AFTER_CASE_MONTHS = 1
"""A grant given through a visit's code ends so long after the visit; `limits.consent_after_case_months`."""

CaseEnds = Mapping[bytes, datetime]
"""When each case relation ended or will end (UTC), by the id that a directive carries."""
NO_CASES: CaseEnds = {}

Effect = Literal["grant", "deny", "none"]


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who would see it: organisation (OIN), team, role. Never a single employee."""

    organisation: str
    team: str
    role: str

    @property
    def path(self) -> tuple[str, ...]:
        return (self.organisation, self.team, self.role)


@dataclass(frozen=True, slots=True)
class Former:
    """Under which organisation and team a receiver's people asked before a merger or renaming.

    `since`: from when on they ask under their present name (UTC); None while that is not known.
    """

    organisation: str
    team: str
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Resolution:
    """`directive_numbers` are the entries that decided, for the citizen's own page."""

    effect: Effect
    explicit: bool
    directive_numbers: tuple[int, ...]

    @property
    def kind_state(self) -> KindState:
        """As `policy.decide` takes it."""
        return _KIND_STATES[self.effect, self.explicit]


_KIND_STATES = {
    (effect, explicit): KindState(effect, explicit)
    for effect in get_args(Effect)
    for explicit in (False, True)
}

NONE = Resolution("none", False, ())


def resolve(
    state: ChoiceState | None,
    kind: Kind,
    receiver: Receiver,
    purpose: Purpose,
    at: datetime,
    *,
    measures: frozenset[str] = frozenset(),
    case_ends: CaseEnds = NO_CASES,
) -> Resolution:
    """The effect of the choices in force, whether a flag exists or not.

    Args:
        state: The folded choices in the kind's scope; None when nothing was ever chosen.
        at: UTC; the instant that dates the decision and its log entry.
        measures: Measures in force besides those that the state has a regime entry of.
        case_ends: Of the relations in `cases_named`; a grant whose relation is not there counts as none.
    """
    return _Question(state, receiver, purpose, at, case_ends).resolve(kind, measures)


def states_of(
    state: ChoiceState | None,
    kinds: Iterable[Kind],
    receiver: Receiver,
    purpose: Purpose,
    at: datetime,
    *,
    measures: frozenset[str] = frozenset(),
    case_ends: CaseEnds = NO_CASES,
    formers: Sequence[Former] = (),
) -> dict[int, KindState]:
    """`resolve` for every kind of a scope, with the rights in use about any publisher.

    Args:
        formers: Names under which the receiver's people asked before; nothing opens by the new one alone.
    """
    question = _Question(state, receiver, purpose, at, case_ends)
    earlier = [
        (
            former,
            _Question(
                state, Receiver(former.organisation, former.team, receiver.role), purpose, at, case_ends
            ),
        )
        for former in formers
    ]
    claims = Claims(state.claims if state else (), at)
    found = {}
    for kind in kinds:
        said = question.resolve(kind, measures)
        if earlier:
            told = [(former, one.resolve(kind, measures)) for former, one in earlier]
            said = _as_narrow(said, told, state)
        found[kind.number] = with_standing(said.kind_state, claims.of(kind))
    return found


def _as_narrow(
    said: Resolution, earlier: Sequence[tuple[Former, Resolution]], state: ChoiceState | None
) -> Resolution:
    """What is said of a receiver, held against what is said of its people's former names.

    1. A no to any of the names is a no.
    2. A yes counts where it was given after the people took the present name,
       or where there is a yes to the former name too.
    """
    numbers = tuple(
        dict.fromkeys((*said.directive_numbers, *(n for _, r in earlier for n in r.directive_numbers)))
    )
    denied = [one for one in (said, *(told for _, told in earlier)) if one.effect == "deny"]
    if denied:  # 1
        return Resolution("deny", any(one.explicit for one in denied), numbers)
    if said.effect != "grant":
        return said
    begun = {one.number: one.from_ for one in (state.directives if state else ())}
    oldest = min(begun[number] for number in said.directive_numbers)
    explicit = said.explicit
    for former, told in earlier:  # 2
        if former.since is not None and oldest >= former.since:
            continue
        if told.effect != "grant":
            return NONE
        explicit = explicit and told.explicit
    return Resolution("grant", explicit, numbers)


def with_standing(said: KindState, standing: Standing) -> KindState:
    """What was chosen about a kind, with what the rights in use come to."""
    if standing is UNTOUCHED:
        return said
    return KindState(said.consent, said.explicit, standing.restricted, standing.objection)


def cases_named(state: ChoiceState | None, receiver: Receiver, purpose: Purpose) -> list[bytes]:
    """The relations whose ends decide whether a grant for this receiver and purpose still holds."""
    named = (
        directive.relation
        for directive in (state.directives if state else ())
        if directive.relation and _concerns(directive, receiver, purpose)
    )
    return list(dict.fromkeys(named))


class _Question:
    """One receiver, purpose and moment: what does not depend on the kind is looked at once."""

    def __init__(
        self,
        state: ChoiceState | None,
        receiver: Receiver,
        purpose: Purpose,
        at: datetime,
        case_ends: CaseEnds,
    ) -> None:
        held = state.directives if state else ()
        self._measures = measures_of(state, at)
        self._taken = [
            directive
            for directive in held
            if _concerns(directive, receiver, purpose)
            and _in_force(directive, purpose, at)
            and not _case_over(directive, at, case_ends)
        ]
        self._known: dict[tuple[tuple[int, ...], str], Resolution] = {}

    def resolve(self, kind: Kind, measures: frozenset[str]) -> Resolution:
        places = _places(kind.domain, kind.code)
        taken = [
            directive
            for directive in self._taken
            if directive.category in places and _counts_for(directive, kind)
        ]
        if not taken:
            return NONE
        measure = _measure(self._measures | measures, kind.domain)
        # Kinds under the same directives come to the same.
        key = tuple(directive.number for directive in taken), measure
        if key not in self._known:
            alone = _alone(taken, measure)
            if alone is not None:
                self._known[key] = alone
                return alone
            givers = dict.fromkeys((directive.by, directive.giver) for directive in taken)
            verdicts = [
                _verdict(giver, [one for one in taken if (one.by, one.giver) == giver]) for giver in givers
            ]
            self._known[key] = _join(verdicts, _age_regime(taken), measure)
        return self._known[key]


@lru_cache(maxsize=1024)
def _places(domain: str, code: str) -> tuple[tuple[str, ...], ...]:
    """The categories that hold a kind; worked out once, for a question asks it of each kind."""
    return (), (domain,), (domain, code)


# --- 1. what counts now ------------------------------------------------------------

_Path = tuple[str, ...]
_Scope = tuple[_Path, _Path, _Path]


def scope_of(directive: Directive) -> _Scope:
    """The three axes of a directive: category, receiver, purpose."""
    return directive.category, directive.receiver, directive.purpose


def _inside(inner: _Scope, outer: _Scope) -> bool:
    """On every axis at the same place or deeper."""
    return all(narrow[: len(broad)] == broad for narrow, broad in zip(inner, outer, strict=True))


def _in_force(directive: Directive, purpose: Purpose, at: datetime) -> bool:
    if directive.effect in ("withdraw", "regime") or at < directive.from_:
        return False
    if _over(directive, at):
        return False
    if directive.by != "zelf" and not _authorised(directive, at):
        return False
    if directive.effect != "grant":
        return True
    # A no needs no proof of authority; a yes without it counts as none.
    proven = bool(directive.evidence) or (directive.by == "zelf" and not directive.provisional)
    return proven and purpose.consent_possible


def _concerns(directive: Directive, receiver: Receiver, purpose: Purpose) -> bool:
    return (
        receiver.path[: len(directive.receiver)] == directive.receiver
        and purpose.path[: len(directive.purpose)] == directive.purpose
    )


def _case_over(directive: Directive, at: datetime, case_ends: CaseEnds) -> bool:
    """Whether the case by whose code it was given is over, and the time after it too."""
    if not directive.relation:
        return False
    end = case_ends.get(directive.relation)
    return end is None or at >= add_months(end, AFTER_CASE_MONTHS)


def _counts_for(directive: Directive, kind: Kind) -> bool:
    """A yes counts where consent is possible, one on a paper form outside art. 9 only; a no always."""
    if directive.effect != "grant":
        return True
    return kind.consent_possible and not (directive.provisional and kind.art9_or_10)


def _over(directive: Directive, at: datetime) -> bool:
    """Whether it ended. Most end by their own `until` or not yet, and need no walk over the months."""
    if directive.until is not None and at >= directive.until:
        return True
    if directive.effect != "grant" or (not directive.provisional and at < directive.from_ + _SURELY_LASTS):
        return False
    end = end_of(directive)
    return end is not None and at >= end


def end_of(directive: Directive) -> datetime | None:
    """When a directive ends: a grant after 12 months at the latest, an unconfirmed form after 72 hours.

    A no or slot ends only where its own `until` says so.
    """
    if directive.effect != "grant":
        return directive.until
    longest = add_months(directive.from_, GRANT_MONTHS)
    if directive.provisional:
        longest = directive.from_ + timedelta(hours=FORM_HOURS)
    return min(directive.until or longest, longest)


def add_months(moment: datetime, months: int) -> datetime:
    """The same day so many months on, or the last day of that month where it has no such day."""
    years, month = divmod(moment.month - 1 + months, 12)
    year, month = moment.year + years, month + 1
    return moment.replace(year=year, month=month, day=min(moment.day, monthrange(year, month)[1]))


def _authorised(directive: Directive, at: datetime) -> bool:
    """The giver's authority, as far as it was entered, has not ended."""
    return directive.evidence_until is None or at < directive.evidence_until


# --- 2 to 4. one giver -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Verdict:
    by: Giver
    effect: Effect
    explicit: bool
    numbers: tuple[int, ...]


def _alone(taken: Sequence[Directive], measure: str) -> Resolution | None:
    """What the steps below come to for one entry of a person who decides alone, which is most of them."""
    if len(taken) != 1 or measure or taken[0].by != "zelf":
        return None
    only = taken[0]
    if only.effect != "grant":
        return Resolution("deny", False, (only.number,))
    return Resolution("grant", only.explicit, (only.number,)) if only.regime == "zelf" else None


def _verdict(giver: tuple[Giver, str], taken: Sequence[Directive]) -> _Verdict:
    by, _ = giver
    slots = [directive.number for directive in taken if directive.effect == "slot"]
    if slots:
        return _Verdict(by, "deny", False, tuple(slots))
    left = [directive for directive in taken if not any(_overrules(other, directive) for other in taken)]
    denies = [directive.number for directive in left if directive.effect == "deny"]
    if denies:
        return _Verdict(by, "deny", False, tuple(denies))
    explicit = any(directive.explicit for directive in left)
    return _Verdict(by, "grant", explicit, tuple(directive.number for directive in left))


def _overrules(other: Directive, directive: Directive) -> bool:
    inner, outer = scope_of(other), scope_of(directive)
    if inner == outer:
        return other.number > directive.number
    return _inside(inner, outer)


# --- 5. the givers together --------------------------------------------------------


def _age_regime(taken: Sequence[Directive]) -> Regime | None:
    """The regime that the grants in force were made under; without a grant it changes nothing.

    Grants end at each age boundary, so those in force agree. If they do not,
    the regime that asks most of them holds.
    """
    regimes = {directive.regime for directive in taken if directive.effect == "grant"}
    if not regimes:
        return None
    return regimes.pop() if len(regimes) == 1 else "samen"


_MEASURES: dict[Giver, str] = {"curator": "curatele", "mentor": "mentorschap", "bewindvoerder": "bewind"}


def measures_of(state: ChoiceState | None, at: datetime) -> frozenset[str]:
    """The measures in force in this scope: curatele, mentorschap, bewind. A machtiging is none."""
    held = {entry.by for entry in regimes_in_force(state, at)}
    return frozenset(measure for by, measure in _MEASURES.items() if by in held)


def _measure(measures: frozenset[str], domain: str) -> str:
    """The measure that rules over a domain; curatele goes before the others."""
    if "curatele" in measures:
        return "curatele"
    if "mentorschap" in measures and domain in ("zorg", "jeugd"):
        return "mentorschap"
    if "bewind" in measures and domain == "geld":
        return "bewind"
    return ""


def _join(verdicts: Sequence[_Verdict], regime: Regime | None, measure: str) -> Resolution:
    """Any deny of a giver who counts; else the grants that the regime needs; else nothing."""
    counted = [verdict for verdict in verdicts if verdict.by in _counting(regime, measure)]
    denies = [verdict for verdict in counted if verdict.effect == "deny"]
    if denies:
        return Resolution("deny", False, _numbers(denies))
    needed: list[list[_Verdict]] = []
    for givers in _needing(regime, measure):
        grants = [verdict for verdict in counted if verdict.effect == "grant" and verdict.by in givers]
        if not grants:
            return NONE
        needed.append(grants)
    explicit = all(any(verdict.explicit for verdict in grants) for grants in needed)
    return Resolution("grant", explicit, _numbers([verdict for grants in needed for verdict in grants]))


def _counting(regime: Regime | None, measure: str) -> frozenset[Giver]:
    """Whose yes or no is heard. Under curatele and mentorschap the own yes is heard and does not suffice."""
    match measure, regime:
        case "curatele", _:
            return frozenset({"curator", "zelf"})
        case "mentorschap", _:
            return frozenset({"mentor", "zelf"})
        case "bewind", _:
            return frozenset({"bewindvoerder", "zelf", "gemachtigde"})
        case _, "ouder":
            return frozenset({"ouder"})
        case _, "samen":
            return frozenset({"zelf", "ouder"})
        case _, "zelf":
            return frozenset({"zelf", "gemachtigde"})
        case _:
            return frozenset({"zelf", "ouder", "gemachtigde"})


def _needing(regime: Regime | None, measure: str) -> tuple[frozenset[Giver], ...]:
    """Groups of givers; a grant needs one yes from each group."""
    match measure, regime:
        case "curatele", _:
            return (frozenset({"curator"}),)
        case "mentorschap", _:
            return (frozenset({"mentor"}),)
        case "bewind", _:
            return (frozenset({"bewindvoerder", "zelf", "gemachtigde"}),)
        case _, "ouder":
            return (frozenset({"ouder"}),)
        case _, "samen":
            return (frozenset({"zelf"}), frozenset({"ouder"}))
        case _:
            return (frozenset({"zelf", "gemachtigde"}),)


def _numbers(verdicts: Sequence[_Verdict]) -> tuple[int, ...]:
    return tuple(sorted({number for verdict in verdicts for number in verdict.numbers}))
