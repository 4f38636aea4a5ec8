"""Why a role may or may not see a kind, for a purpose, in a state: about a role, never about a person.

The row comes from `decide`, which enforces; beside it stands, for each legal
basis, the permit that would open the cell and the forbids that Cedar itself
names for this very request.

Source: docs/design/policy-and-consent.md, "The table"; policy.md 3 and S10.
"""

from dataclasses import dataclass

from .decide import Asker, Circumstances, KindState, decide
from .engine import PolicyVersion, bundle
from .rules import Rule
from .sentences import Unsayable, said, say
from .table import CONSENT, OBJECTION, Context, Question, context_text, most_open
from .vocabulary import BASES, Kind

ROWS = {
    2: "Er geldt een beperking (AVG artikel 18). Dan is dit onderwerp voor niemand te zien.",
    4: "Er is spoed gemeld en een ander loopt gevaar. Dan mag dit onderwerp te zien zijn.",
    5: "Er is spoed gemeld, de inwoner kan niet zelf kiezen en zei geen nee. Dan mag dit te zien zijn.",
    6: "Er is spoed gemeld, maar niet dat een ander gevaar loopt of dat de inwoner niet kan kiezen.",
    7: "Er is geen lopende zaak van dit team met deze inwoner voor dit doel.",
    8: "De wet verplicht dit. De keuze van de inwoner verandert daar niets aan.",
    9: "Dit hoort bij een taak uit de wet, en er is geen bezwaar dat dit tegenhoudt.",
    11: "De inwoner zegt ja.",
    13: "De regels geven hier geen antwoord. Dan is niets te zien, en gaat er een alarm af.",
}
"""Why, per deciding row; rows 3 and 12 depend on more (`_row_3`, `_row_12`). Row 1 is about a person."""


@dataclass(frozen=True, slots=True)
class Stop:
    rule: str
    sentence: str


@dataclass(frozen=True, slots=True)
class OnBasis:
    """One legal basis: the permit that names this cell, if there is one, and what Cedar stops it by."""

    basis: str
    permit: str | None
    sentence: str | None
    stopped_by: tuple[Stop, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """`rule` is the id of the permit that decided; none when hidden."""

    visible: bool
    row: int
    basis: str | None
    rule: str | None
    reason: str
    bases: tuple[OnBasis, ...]


def explain(
    version: PolicyVersion, asker: Asker, kind: Kind, state: KindState, circumstances: Circumstances
) -> Explanation:
    """The decision of one cell, with its reasons in Dutch.

    Raises:
        UnknownCode: No such role, purpose, profile or class.
    """
    vocabulary = version.vocabulary
    vocabulary.role(asker.role)
    vocabulary.purpose(asker.purpose)
    vocabulary.profile(asker.profile)
    vocabulary.organisation_class(asker.organisation_class)
    (outcome,) = decide(version, asker, [kind], {kind.number: state}, circumstances)
    rule = version.rule(outcome.rule).id if outcome.rule else None
    context = _context(version, asker, kind, state, circumstances)
    bases = tuple(
        _on_basis(version, asker, (kind, basis), context, restricted=state.restricted) for basis in BASES
    )
    reason = ROWS.get(outcome.row, "")
    if outcome.row == 3:
        reason = _row_3(version, asker, kind, bases)
    elif outcome.row == 12:
        reason = _row_12(kind, state, bases)
    return Explanation(outcome.visible, outcome.row, outcome.basis, rule, reason, bases)


def _on_basis(
    version: PolicyVersion, asker: Asker, cell: tuple[Kind, str], context: Context, *, restricted: bool
) -> OnBasis:
    kind, basis = cell
    permit = next((rule for rule in version.rules if _permits(version, rule, asker, kind, basis)), None)
    sentence = say(version.vocabulary, permit) if permit else None
    if permit is None:
        return OnBasis(basis, None, None, ())
    stopped = _stops(version, asker, cell, context, restricted=restricted)
    return OnBasis(basis, permit.id, sentence, stopped)


def _stops(
    version: PolicyVersion,
    asker: Asker,
    cell: tuple[Kind, str],
    context: Context,
    *,
    restricted: bool = False,
) -> tuple[Stop, ...]:
    """What Cedar itself says stops this request."""
    kind, basis = cell
    text = context_text(asker.purpose, basis, context, convenant=_convenant(asker, kind))
    if restricted:
        text = text.replace('"restricted":false', '"restricted":true')
    who = (asker.organisation_class, asker.profile, asker.role)
    names = bundle(version.vocabulary, version.rules, who).stops(Question(kind.code, text))
    by_id = {rule.id: rule for rule in version.rules}
    return tuple(Stop(name, say(version.vocabulary, by_id[name])) for name in names)


def _permits(version: PolicyVersion, rule: Rule, asker: Asker, kind: Kind, basis: str) -> bool:
    if rule.effect != "permit" or (rule.role, rule.kind) != (asker.role, kind.code):
        return False
    try:
        permit = said(version.vocabulary, rule)
    except Unsayable:
        return False
    return permit.basis == basis and asker.purpose in permit.purposes


def _context(
    version: PolicyVersion, asker: Asker, kind: Kind, state: KindState, circumstances: Circumstances
) -> Context:
    consent = "grant!" if state.consent == "grant" and state.explicit else state.consent
    return Context(
        CONSENT.index(consent),
        OBJECTION.index(state.objection),
        circumstances.has_case,
        circumstances.break_glass,
        circumstances.others_at_risk,
        circumstances.incapable,
        kind.code in version.vocabulary.kinds_under(asker.mandate),
    )


def _convenant(asker: Asker, kind: Kind) -> bool:
    return asker.convenant is True or (asker.convenant is not False and kind.code in asker.convenant)


def _row_3(version: PolicyVersion, asker: Asker, kind: Kind, bases: tuple[OnBasis, ...]) -> str:
    vocabulary = version.vocabulary
    if not kind.enabled:
        return "Dit onderwerp staat uit. Het is voor niemand te zien."
    if not vocabulary.organisation_class(asker.organisation_class).may_view:
        return "Dit soort organisatie mag in deze index niets bekijken."
    if not any(one.permit for one in bases):
        return "Geen regel geeft deze functie dit onderwerp voor dit doel."
    if vocabulary.role(asker.role).needs_convenant and not _convenant(asker, kind):
        return "Voor deze functie is een convenant nodig, en dat is er niet."
    stops = {
        stop.rule: stop.sentence
        for one in bases
        if one.permit
        for stop in _stops(version, asker, (kind, one.basis), most_open(one.basis, mandate=True))
    }
    if not stops:
        return "Voor deze taak is een mandaat nodig, en dat is er niet."
    return f"Een regel staat dit in de weg: {' '.join(stops.values())}"


def _row_12(kind: Kind, state: KindState, bases: tuple[OnBasis, ...]) -> str:
    open_on = {one.basis for one in bases if one.permit}
    parts = []
    if "wettelijke_taak" in open_on and state.objection in ("pending", "upheld"):
        parts.append("Er is een bezwaar dat de taak uit de wet tegenhoudt.")
    if "toestemming" in open_on:
        asked = {"none": "De inwoner koos nog niet.", "deny": "De inwoner zegt nee."}
        explicit = "De inwoner zegt ja, maar niet uitdrukkelijk. Dat is voor dit onderwerp nodig."
        parts.append(f"Dit mag alleen als de inwoner dat goed vindt. {asked.get(state.consent, explicit)}")
    if not parts:
        parts.append("Geen van de grondslagen van deze functie geldt in deze toestand.")
    return " ".join(parts)


def in_words(version: PolicyVersion, asker: Asker, kind: Kind, found: Explanation) -> str:
    """The explanation as lines of Dutch."""
    vocabulary = version.vocabulary
    role, purpose = vocabulary.role(asker.role).label, vocabulary.purpose(asker.purpose).label
    verdict = "te zien" if found.visible else "niet te zien"
    lines = [
        f"{kind.label} is {verdict} voor: {role}. Doel: {purpose}. Profiel: {asker.profile}.",
        f"Rij {found.row}: {found.reason}",
    ]
    for one in found.bases:
        if one.permit is None:
            lines.append(f"  {vocabulary.basis(one.basis).label}: geen regel.")
            continue
        decides = " (beslist)" if one.permit == found.rule else ""
        lines.append(f"  {vocabulary.basis(one.basis).label}: regel {one.permit}{decides}: {one.sentence}")
        lines += [f"    tegengehouden door {stop.rule}: {stop.sentence}" for stop in one.stopped_by]
    return "\n".join(lines)
