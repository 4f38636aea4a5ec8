"""What the law asks to be told and kept about each kind, made from the vocabulary and the rules.

    notices    AVG 13 and 14: per kind a letter and a text for a website, Dutch (B1) with English beside it
    register   AVG 30: one row of the register of processing per kind
    dpia       AVG 35: the annex of the DPIA, per kind

Receivers are roles that the compiled table lets see the kind; never an
organisation's name. What only the organisation knows (controller, data
protection officer, contact) comes in as `Organisation`; where it is not given
the text has a clear blank, and `blanks` names it.

Source: docs/design/policy-and-consent.md, "Letters, annex and register"; policy.md R1, R11.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape

from .engine import PolicyVersion
from .matrix import LETTERS, matrix
from .vocabulary import Kind, Vocabulary

AP = "Autoriteit Persoonsgegevens (autoriteitpersoonsgegevens.nl)"


@dataclass(frozen=True, slots=True)
class Organisation:
    """Who is responsible; an empty field becomes a blank in the text."""

    controller: str = ""
    contact: str = ""
    dpo: str = ""
    website: str = ""


BLANKS = {
    "controller": ("[naam van de organisatie]", "[name of the organisation]"),
    "contact": ("[adres, telefoon of e-mail]", "[address, telephone or e-mail]"),
    "dpo": ("[naam en contact van de FG]", "[name and contact of the DPO]"),
    "website": ("[website]", "[website]"),
}


@dataclass(frozen=True, slots=True)
class Notice:
    """Both languages, as (heading, lines) blocks; `text`, `markdown` and `html` print them."""

    kind: str
    label: str
    dutch: tuple[tuple[str, tuple[str, ...]], ...]
    english: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the register of processing (AVG 30 lid 1 a to g), and of the DPIA's annex."""

    kind: str
    controller: str
    dpo: str
    purposes: tuple[str, ...]
    data: str
    subjects: str
    receivers: tuple[str, ...]
    third_countries: str
    retention: str
    measures: str
    bases: tuple[str, ...]
    act: str
    special: bool
    legal_review: str


_BASIS = {
    "wettelijke_plicht": ("De wet verplicht dit.", "The law requires this."),
    "wettelijke_taak": (
        "Dit hoort bij een taak uit de wet. U kunt hiertegen bezwaar maken.",
        "This is part of a task given by law. You may object to it.",
    ),
    "vitaal_belang": (
        "Bij direct gevaar mag een medewerker ook kijken. U ziet later wie dat deed.",
        "In immediate danger an employee may look too. You will see later who did.",
    ),
    "toestemming": (
        "Een medewerker mag dit alleen zien als u dat goed vindt. U kunt altijd stoppen. "
        "Nee zeggen heeft geen gevolgen.",
        "An employee may see this only if you agree. You can stop at any time. "
        "Saying no has no consequences.",
    ),
}
_EXPLICIT = (
    "Dit is een extra gevoelig onderwerp. U moet er uitdrukkelijk ja tegen zeggen.",
    "This is a sensitive subject. You must say yes to it explicitly.",
)
_LAW = {
    "wettelijke_plicht": "AVG 6 lid 1 c",
    "wettelijke_taak": "AVG 6 lid 1 e",
    "vitaal_belang": "AVG 6 lid 1 d",
    "toestemming": "AVG 6 lid 1 a",
}
_PURPOSE_ENGLISH = {
    "huisbezoek": "Home visit",
    "keukentafelgesprek": "Talk about which help is needed",
    "casusoverleg": "Consultation about your help",
    "schuldregeling": "Settling debts",
    "toeleiding_jeugd": "Finding help for a child",
    "vroegsignalering": "Contact about arrears",
    "crisis": "Immediate danger",
}
_POSTPONED = (
    "Soms mag de organisatie u dit later vertellen, om een kind te beschermen.",
    "Sometimes the organisation may tell you later, to protect a child.",
)
_MEASURES = (
    "pseudonymised per domain with keys of three holders; sealed rows; recorded before answered; "
    "compiled rules proven for P1 to P12; erased after the retention"
)


def notices(version: PolicyVersion, organisation: Organisation, profile: str = "basis") -> list[Notice]:
    """The letter of each kind that is switched on, for the receivers of one profile."""
    vocabulary = version.vocabulary
    receivers = _receivers(version, profile)
    return [
        Notice(
            kind.code,
            kind.label,
            _blocks(vocabulary, kind, receivers[kind.code], organisation, english=False),
            _blocks(vocabulary, kind, receivers[kind.code], organisation, english=True),
        )
        for kind in vocabulary.kinds
        if kind.enabled
    ]


def _receivers(version: PolicyVersion, profile: str) -> dict[str, tuple[str, ...]]:
    """Roles that may see each kind, in the order of the vocabulary."""
    vocabulary, found = version.vocabulary, matrix(version, profile)
    return {
        kind.code: tuple(
            vocabulary.role(role).label for role in found.roles if (role, kind.code) in found.cells
        )
        for kind in vocabulary.kinds
    }


def _blocks(
    vocabulary: Vocabulary, kind: Kind, receivers: Sequence[str], organisation: Organisation, *, english: bool
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    at = int(english)

    def pick(dutch: str, in_english: str) -> str:
        return (dutch, in_english)[at]

    def given(field: str) -> str:
        return str(getattr(organisation, field)) or BLANKS[field][at]

    purposes = [
        _PURPOSE_ENGLISH.get(code, vocabulary.purpose(code).label)
        if english
        else vocabulary.purpose(code).label
        for code in kind.purposes
    ]
    bases = [_BASIS[basis][at] for basis in vocabulary_order(vocabulary) if basis in kind.bases]
    bases += [_EXPLICIT[at]] if kind.explicit_consent else []
    told = [_POSTPONED[at]] if kind.compelling_child_safety else []
    return (
        (
            pick(f"Over u staat in de index: {kind.label}", f"The index holds about you: {kind.label}"),
            (
                kind.sentence if not english else f"In Dutch: {kind.sentence}",
                pick(
                    f"Er staat alleen dát dit zo is, en sinds welke maand. Dit komt van: {kind.source}.",
                    f"It says only that this is so, and since which month. It comes from: {kind.source}.",
                ),
                *told,
            ),
        ),
        (
            pick("Wie is verantwoordelijk?", "Who is responsible?"),
            (
                f"{given('controller')}. {given('contact')}.",
                pick(
                    f"Functionaris gegevensbescherming: {given('dpo')}.",
                    f"Data protection officer: {given('dpo')}.",
                ),
            ),
        ),
        (pick("Waarvoor?", "What for?"), tuple(f"{purpose}." for purpose in purposes)),
        (
            pick("Waarom mag dit?", "Why is this allowed?"),
            (*bases, pick(f"Wet: {kind.act}.", f"Law: {kind.act}.")),
        ),
        (
            pick("Wie kan dit zien?", "Who can see this?"),
            tuple(f"{receiver}." for receiver in receivers)
            or (pick("Op dit moment niemand.", "Nobody at present."),),
        ),
        (pick("Hoe lang?", "How long?"), (_kept(vocabulary, kind, english=english),)),
        (
            pick("Wat zijn uw rechten?", "What are your rights?"),
            (
                pick(
                    f"Op {given('website')} ziet u wat over u bekend is en wie er keek. "
                    "U kunt daar vragen om dit te verbeteren, te wissen of te beperken, "
                    "en om alles mee te nemen.",
                    f"On {given('website')} you see what is known about you and who looked. "
                    "There you can ask to correct, erase or restrict it, and to take everything with you.",
                ),
                *_rights(kind, at),
                pick(f"Klagen kan bij de {AP}.", f"You can complain to the Dutch supervisor: {AP}."),
            ),
        ),
    )


def vocabulary_order(vocabulary: Vocabulary) -> tuple[str, ...]:
    return tuple(basis.code for basis in vocabulary.bases)


def _rights(kind: Kind, at: int) -> list[str]:
    found = []
    if "wettelijke_taak" in kind.bases:
        found.append(("U kunt bezwaar maken tegen het delen.", "You may object to the sharing.")[at])
    if kind.consent_possible:
        found.append(("U kunt ja en nee zeggen, en stoppen.", "You can say yes and no, and stop.")[at])
    return found


def _kept(vocabulary: Vocabulary, kind: Kind, *, english: bool) -> str:
    days, lease = kind.retention_days_after_end, vocabulary.limits.lease_days
    if english:
        after = f"{days} days after it ended" if days else "until it ended"
        age = f" At the latest until the age of {kind.max_age}." if kind.max_age else ""
        return f"It stays {after}. If the source falls silent it ends after {lease} days.{age}"
    after = f"tot {days} dagen nadat het is afgelopen" if days else "tot het is afgelopen"
    age = f" Uiterlijk tot u {kind.max_age} jaar bent." if kind.max_age else ""
    return f"Dit blijft staan {after}. Als de bron niets meer laat horen stopt het na {lease} dagen.{age}"


def register(version: PolicyVersion, organisation: Organisation, profile: str = "basis") -> list[Row]:
    """One row per kind, those that are switched off included: they are processed once switched on."""
    vocabulary, receivers = version.vocabulary, _receivers(version, profile)
    return [
        Row(
            kind.code,
            organisation.controller or BLANKS["controller"][0],
            organisation.dpo or BLANKS["dpo"][0],
            tuple(vocabulary.purpose(code).label for code in kind.purposes),
            f"pseudoniem, dat-informatie ({kind.label}), bron, maand van begin en eind",
            "inwoners van wie de bron dit weet",
            receivers[kind.code],
            "geen",
            f"{kind.retention_days_after_end} dagen na het eind; {kind.end_rule}",
            _MEASURES,
            tuple(_LAW[basis] for basis in vocabulary_order(vocabulary) if basis in kind.bases),
            kind.act,
            kind.art9_or_10,
            kind.legal_review,
        )
        for kind in vocabulary.kinds
    ]


def blanks(organisation: Organisation) -> tuple[str, ...]:
    """The fields that the organisation still has to give."""
    return tuple(field for field in BLANKS if not getattr(organisation, field))


# --- printing ------------------------------------------------------------------------------


def as_text(notice: Notice) -> str:
    """Dutch, then English."""
    parts = []
    for blocks in (notice.dutch, notice.english):
        for heading, lines in blocks:
            parts += [heading, *(f"  {line}" for line in lines), ""]
    return "\n".join(parts).rstrip()


def as_markdown(notice: Notice) -> str:
    parts = []
    for blocks in (notice.dutch, notice.english):
        for place, (heading, lines) in enumerate(blocks):
            parts += [f"{'#' if not place else '##'} {heading}", "", *(f"- {line}" for line in lines), ""]
    return "\n".join(parts).rstrip() + "\n"


def as_html(notice: Notice) -> str:
    """A fragment for a website: one `article` per language, headings and lists only."""
    parts = []
    for language, blocks in (("nl", notice.dutch), ("en", notice.english)):
        parts.append(f'<article lang="{language}">')
        for place, (heading, lines) in enumerate(blocks):
            level = "h2" if not place else "h3"
            items = "".join(f"<li>{escape(line)}</li>" for line in lines)
            parts.append(f"<{level}>{escape(heading)}</{level}><ul>{items}</ul>")
        parts.append("</article>")
    return "\n".join(parts) + "\n"


def register_markdown(rows: Sequence[Row], *, title: str) -> str:
    """The rows as one section each, for the register or the DPIA's annex."""
    parts = [f"# {title}", ""]
    for row in rows:
        parts += [f"## {row.kind}", ""]
        for name, value in asdict(row).items():
            told = "; ".join(value) if isinstance(value, tuple) else value
            told = {True: "ja", False: "nee"}.get(told, told) if isinstance(told, bool) else told
            parts.append(f"- {re.sub('_', ' ', name)}: {told or '-'}")
        parts.append("")
    return "\n".join(parts)


assert set(_BASIS) == set(LETTERS) == set(_LAW)  # noqa: S101 - a basis without words would be left out
