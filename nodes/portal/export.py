"""Everything about one citizen in one file: what an inzageverzoek gives (AVG art. 15), within minutes.

    session -> flags, choices with receipts, who may see, who looked -> JSON, readable page, proofs -> zip

Made in memory and kept nowhere; each part that is read is an own view in the
citizen's log. It holds this person only: lines of others in one household
stand in other chains. No number of a person is in it.

Source: policy.md §2.7, docs/design/access-log.md, "Views and verification".
"""

import io
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import jinja2
import msgspec

from consent.pages.names import Names
from consent.pages.words import LANGUAGES, Words, words
from consent.receipt import Receipt, claims_of, shows
from nodes.citizen import (
    Cell,
    ChoiceView,
    CitizenSession,
    LooksView,
    OwnFlagView,
    RightView,
    Standing,
    readable,
)
from nodes.policy import InForce
from nodes.runtime import NodeRuntime

from .counter import DOCUMENTS

WAIT_FOR_WITNESSES_S = 5.0
"""The newest line is the export's own look; witnesses confirm it within a second or two."""
RETENTION_LOG_YEARS = 5
"""NEN 7513 names five years as the least; access-log.md §4."""


@dataclass(frozen=True, slots=True)
class Everything:
    """What is known of one citizen at one moment."""

    at: datetime
    flags: list[OwnFlagView]
    rights: list[RightView]
    choices: list[ChoiceView]
    receipts: dict[str, tuple[str, Receipt]]
    standing: Standing
    looks: LooksView
    files: dict[str, bytes]
    rules: InForce
    by: str


async def gather(node: NodeRuntime, session: CitizenSession) -> Everything:
    """Read all of it. The log comes last, so that the other looks of this export stand in it.

    Raises:
        HubUnreachable, LoginExpired, ReceiptInvalid: Nothing is given, rather than a part.
    """
    citizens = node.citizens
    flags, rights = await citizens.what_is_known(session)
    choices = await citizens.choices(session)
    receipts = await citizens.receipts(session)
    standing = await citizens.standing(session)
    rules = await citizens.rules()
    looks, files = await citizens.own_log(session, WAIT_FOR_WITNESSES_S)
    return Everything(
        node.now(), flags, rights, choices, receipts, standing, looks, files, rules, session.speaker.by
    )


def packed(found: Everything, names: Names, page: str, keys: dict[str, str]) -> bytes:
    """The zip: `inzage.json`, `inzage.html`, receipts with the keys to check them, and the lines with proofs.

    Args:
        page: The readable page, from `rendered`.
        keys: The hub's published receipt keys.
    """
    tokens = [token for token, _ in found.receipts.values()]
    files = {
        "inzage.html": page.encode(),
        "inzage.json": msgspec.json.format(msgspec.json.encode(document(found, names)), indent=1),
        "bewijzen.txt": "".join(f"{token}\n" for token in tokens).encode(),
        "bewijs-sleutels.json": msgspec.json.encode(keys),
        **found.files,
    }
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in files.items():
            # A fixed date: the time of the export stands in the file, and its zone nowhere else.
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    return made.getvalue()


# --- the words of a choice -----------------------------------------------------------


def confirmed_text(
    t: Words, names: Names, *, by: str, effect: str, receiver: str, kind: str, months: int
) -> str:
    """The text on P3 that a citizen confirms; a choice carries its SHA-256."""
    what = names.kind(kind) if kind else t("portal.choices.all")
    lines = [t(f"portal.effect.{effect}", receiver=receiver), what]
    if by != "zelf":
        lines.insert(0, t(f"portal.whom.as_{by}"))
    if effect == "grant":
        lines += [t("portal.effect.until"), t(f"portal.effect.months_{months}")]
    return "\n".join([*lines, t("portal.effect.same_help"), t(f"portal.effect.save_{effect}")])


def checked_text(t: Words, document: str, text: str) -> str:
    """What is confirmed at a counter: by which document the person was known, and the choice."""
    return "\n".join([t("counter.text", document=t(f"counter.document.{document}").lower()), text])


def text_of(names: Names, choice: ChoiceView, receiver: str, receipt: Receipt) -> str:
    """The text whose hash a receipt holds, found among all that the pages can have shown; else empty.

    Nothing keeps the texts: the pages make them from the choice, and the hash says which it was.
    """
    for language in LANGUAGES:
        t = words(language)
        own = Names(names.vocabulary, language)
        possible = [t("portal.saved.undo"), t("portal.stop.button")]
        if choice.effect in ("grant", "deny"):
            possible += [
                confirmed_text(
                    t,
                    own,
                    by=choice.by,
                    effect=choice.effect,
                    receiver=receiver,
                    kind=choice.kind,
                    months=months,
                )
                for months in (3, 6, 12)
            ]
        possible += [
            checked_text(t, document, text)
            for document in DOCUMENTS
            for text in (t("portal.stop.button"), t("counter.stop.one"), *_locks(t, names))
        ]
        for text in possible:
            if shows(receipt, text):
                return text
    return ""


def lock_text(t: Words, domain: str) -> str:
    """The lock as it is confirmed at the counter; an empty domain is everything."""
    what = t(f"counter.lock.domain.{domain}") if domain else t("counter.lock.all")
    return "\n".join([t("counter.lock.sentence"), what])


def _locks(t: Words, names: Names) -> list[str]:
    return [lock_text(t, domain) for domain in ("", *(scope.code for scope in names.vocabulary.scopes))]


# --- as data ---------------------------------------------------------------------------


def document(found: Everything, names: Names) -> dict[str, Any]:
    """Everything as plain JSON values; the sentence on exceptions is always there."""
    kinds = {kind.code: kind for kind in found.rules.version.vocabulary.kinds}
    return {
        "schema": "vlagwijzer/inzage/1",
        "at": _instant(found.at),
        "by": found.by,
        "exceptions": words("nl")("portal.export.exceptions"),
        "flags": [
            {
                "kind": flag.kind,
                "label": flag.label,
                "sentence": flag.sentence,
                "since": flag.since,
                "until": flag.until,
                "source": {"name": flag.name, "desk": flag.desk},
                "confirmedOn": flag.confirmed_on.isoformat() if flag.confirmed_on else None,
                "act": kinds[flag.kind].act,
                "bases": list(kinds[flag.kind].bases),
                "purposes": list(kinds[flag.kind].purposes),
                "retention": {
                    "daysAfterEnd": kinds[flag.kind].retention_days_after_end,
                    "rule": kinds[flag.kind].end_rule,
                },
                "rights": [_right(right) for right in flag.rights],
            }
            for flag in found.flags
        ],
        "otherRights": [_right(right) for right in found.rights],
        "receivers": {
            "byLaw": _cells(found.standing.by_law),
            "byConsent": _cells(found.standing.by_consent),
        },
        "choices": [_choice(found, names, choice) for choice in found.choices],
        "looks": [
            {
                "at": _instant(line.at),
                "activity": line.activity,
                "organisation": line.organisation,
                "role": line.role,
                "purpose": line.purpose,
                "seen": line.seen,
                "seenSomething": line.something,
                "refused": line.refused,
                "urgent": line.urgent,
                "own": line.own,
                "by": line.by,
                "counter": line.counter,
            }
            for line in found.looks.lines
        ],
        "check": {
            "verified": found.looks.verified,
            "checked": found.looks.checked,
            "total": found.looks.total,
            "confirmedBy": found.looks.confirmed_by,
            "confirmedAt": _instant(found.looks.confirmed_at) if found.looks.confirmed_at else None,
        },
        "policy": {
            "number": found.rules.version.number,
            "hash": found.rules.version.hash.hex(),
            "choicesMadeUnder": sorted({said.policy_version for _, said in found.receipts.values()}),
        },
        "retention": {"logYears": RETENTION_LOG_YEARS},
    }


def _right(right: RightView) -> dict[str, Any]:
    """A dispute, objection or restriction, with its clock and answer."""
    return {
        "right": right.right,
        "kind": right.kind,
        "openedAt": _instant(right.opened),
        "dueAt": _instant(right.due) if right.due else None,
        "answer": right.answer,
        "answeredAt": _instant(right.answered) if right.answered else None,
        "extended": right.extended,
        "suspended": right.suspended,
    }


def _choice(found: Everything, names: Names, choice: ChoiceView) -> dict[str, Any]:
    token, said = found.receipts.get(choice.group, ("", None))
    receiver = readable(choice.receiver.team)
    return {
        "effect": choice.effect,
        "kind": choice.kind,
        "domain": choice.domain,
        "receiver": {
            "organisation": choice.receiver.oin,
            "team": choice.receiver.team,
            "role": choice.receiver.role,
        },
        "purpose": choice.purpose,
        "madeAt": _instant(choice.made_at),
        "until": _instant(choice.until) if choice.until else None,
        "inForce": choice.in_force,
        "by": choice.by,
        "text": text_of(names, choice, receiver, said) if said else "",
        "receipt": token,
        "receiptSays": claims_of(said) if said else None,
    }


def _cells(cells: Iterable[Cell]) -> list[dict[str, Any]]:
    """Per organisation, team, role and purpose the kinds, in the order of the engine."""
    found: dict[tuple[str, str, str, str], list[str]] = {}
    for cell in cells:
        found.setdefault((cell.organisation, cell.team, cell.role, cell.purpose), []).append(cell.kind)
    return [
        {"organisation": place[0], "team": place[1], "role": place[2], "purpose": place[3], "kinds": kinds}
        for place, kinds in found.items()
    ]


def _instant(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


# --- to read ---------------------------------------------------------------------------


def rendered(templates: jinja2.Environment, found: Everything, t: Words, names: Names) -> str:
    """The readable page: stands alone, asks nothing of a network, prints on A4."""
    return templates.get_template("portal/inzage.html").render(t=t, names=names, **everything(found, names))


def everything(found: Everything, names: Names) -> dict[str, Any]:
    """What the template `portal/_everything.html` needs besides words and names."""
    return {
        "readable": readable,
        "found": found,
        "kinds": {kind.code: kind for kind in found.rules.version.vocabulary.kinds},
        "receivers": [
            ("by_law", _by_team(found.standing.by_law, names)),
            ("by_consent", _by_team(found.standing.by_consent, names)),
        ],
        "years": RETENTION_LOG_YEARS,
    }


def _by_team(cells: Sequence[Cell], names: Names) -> dict[str, list[str]]:
    """Team and role in words, and the kinds, each once."""
    found: dict[str, list[str]] = {}
    for cell in cells:
        seen = found.setdefault(f"{readable(cell.team)}, {names.role_within(cell.role)}", [])
        if cell.kind not in seen:
            seen.append(cell.kind)
    return found
