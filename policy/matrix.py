"""Roles by kinds, per profile: on which legal bases a role may ever see a kind.

Read from the compiled table, so it is what Cedar answered and not what the
vocabulary hopes. A letter stands when some purpose and some organisation class
that may look open the cell in the most open state.

Source: docs/design/policy-and-consent.md, "Starting vocabulary".
"""

from collections.abc import Sequence
from dataclasses import dataclass

from .content import Content
from .engine import PolicyVersion, publish
from .vocabulary import BASES, Vocabulary

LETTERS = {"wettelijke_plicht": "P", "wettelijke_taak": "T", "vitaal_belang": "N", "toestemming": "C"}
MANDATE, CONVENANT = "m", "v"
LEGEND = (
    "P plicht uit de wet, T taak uit de wet, N direct gevaar (nood), C toestemming (consent); "
    f"{MANDATE}: alleen met een geregistreerd mandaat, {CONVENANT}: alleen met een convenant."
)


@dataclass(frozen=True, slots=True)
class Matrix:
    """`cells` by (role, kind): marks such as ("T", "C") or ("Tm", "C"); an absent cell is closed."""

    profile: str
    roles: tuple[str, ...]
    cells: dict[tuple[str, str], tuple[str, ...]]
    switched_off: tuple[str, ...]


def published(content: Content, profiles: Sequence[str] = ()) -> PolicyVersion:
    """A version of these profiles, or of all, for the organisation classes that may look."""
    classes = tuple(item.code for item in content.vocabulary.organisation_classes if item.may_view)
    return publish(
        content.vocabulary,
        version=1,
        profiles=tuple(profiles) or content.profiles,
        organisation_classes=classes,
        written=content.written,
    )


def matrix(version: PolicyVersion, profile: str) -> Matrix:
    """The matrix of one profile of a published version."""
    vocabulary = version.vocabulary
    cells: dict[tuple[str, str], set[str]] = {}
    for (_, of_profile, role, _), sheet in version.table.sheets.items():
        if of_profile != profile:
            continue
        partner = CONVENANT if vocabulary.role(role).needs_convenant else ""
        for number, of_kind in sheet.items():
            for basis in of_kind.answers:
                mandate = MANDATE if basis in of_kind.mandated else ""
                key = role, vocabulary.kind_by_number(number).code
                cells.setdefault(key, set()).add(LETTERS[basis] + mandate + partner)
    order = list(LETTERS.values())
    seeing = {role for role, _ in cells}
    return Matrix(
        profile,
        tuple(role.code for role in vocabulary.roles if role.code in seeing),
        {key: tuple(sorted(marks, key=lambda mark: order.index(mark[0]))) for key, marks in cells.items()},
        tuple(kind.code for kind in vocabulary.kinds if not kind.enabled),
    )


def as_text(vocabulary: Vocabulary, found: Matrix) -> str:
    """For a terminal: kinds down, roles across by number."""
    numbers = {role: vocabulary.role(role).number for role in found.roles}
    wide = max(len(kind.code) for kind in vocabulary.kinds)
    columns = "".join(f"{numbers[role]:>9}" for role in found.roles)
    lines = [f"Profiel {found.profile}: {vocabulary.profile(found.profile).label}", " " * wide + columns]
    for kind in vocabulary.kinds:
        marks = "".join(f"{'/'.join(found.cells.get((role, kind.code), ('.',))):>9}" for role in found.roles)
        lines.append(f"{kind.code:<{wide}}{marks}")
    lines += [f"{numbers[role]:>3} {vocabulary.role(role).label}" for role in found.roles]
    if found.switched_off:
        lines.append(f"Uitgezet, voor niemand te zien: {', '.join(found.switched_off)}.")
    return "\n".join([*lines, LEGEND])


def as_page(version: PolicyVersion) -> str:
    """docs/policy-matrix.md: every profile of a version. A test compares the page with this."""
    vocabulary = version.vocabulary
    lines = [
        "# Who may ever see what",
        "",
        "Made by `vlagwijzer policy matrix --markdown` from the packaged rules; never edit it by hand.",
        "A letter says that some purpose opens the cell in the most open state: an active case, a",
        "grant, no objection, danger declared. Whether it opens for a person, the decision table says.",
        "",
        LEGEND,
    ]
    for profile in version.profiles:
        found = matrix(version, profile)
        lines += ["", f"## {profile}: {vocabulary.profile(profile).label}", ""]
        lines.append("| kind | " + " | ".join(found.roles) + " |")
        lines.append("|---|" + "---|" * len(found.roles))
        for kind in vocabulary.kinds:
            marks = [" ".join(found.cells.get((role, kind.code), ())) for role in found.roles]
            off = " (off)" if kind.code in found.switched_off else ""
            lines.append(f"| {kind.code}{off} | " + " | ".join(marks) + " |")
        unseeing = [role.code for role in vocabulary.roles if role.code not in found.roles]
        lines += ["", f"Sees nothing here: {', '.join(unseeing)}."]
    return "\n".join(lines) + "\n"


def as_rows(vocabulary: Vocabulary, found: Matrix) -> list[dict[str, object]]:
    """For `--json`: one row per open cell."""
    letters = {letter: basis for basis, letter in LETTERS.items()}
    return [
        {
            "profile": found.profile,
            "role": role,
            "kind": kind.code,
            "bases": [letters[mark[0]] for mark in marks],
            "mandate": [letters[mark[0]] for mark in marks if MANDATE in mark],
            "convenant": any(CONVENANT in mark for mark in marks),
        }
        for role in found.roles
        for kind in vocabulary.kinds
        if (marks := found.cells.get((role, kind.code)))
    ]


assert set(LETTERS) == set(BASES)  # noqa: S101 - a basis without a letter would be left out silently
