"""What one entry of a vocabulary may say of another.

Each check exists because its slip would open something, or would make the
desk promise what the rules refuse. One slip stops the load; all are listed by
`policy check`.

Source: docs/design/policy.md, "Publishing a version" and "Starting vocabulary".
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from .entries import Document, Kind, Profile, Role

Fail = Callable[[str, int, str, str, str], Exception]
"""Makes the error: (table, index in the file, code, field, reason)."""

NEVER = "toezicht"
"""The purpose that exists so that it can be refused (P8)."""
URGENT = "crisis"
"""Break-glass has a declaration of its own, and is no visit."""


class _Coded(Protocol):
    @property
    def code(self) -> str: ...


class _Known(NamedTuple):
    scopes: set[str]
    bases: set[str]
    purposes: set[str]
    kinds: dict[str, Kind]
    roles: set[str]
    zrm: dict[str, tuple[str, ...]]
    mandated: set[str]


def contradictions(document: Document, fail: Fail) -> Iterator[Exception]:
    """What `fail` makes of each contradiction, in the order of the checks; nothing when there is none."""
    for table, entries in _tables(document):
        yield from _unique(table, [entry.code for entry in entries], "code", fail)
    for table, numbers in _numbers(document):
        yield from _unique(table, numbers, "number", fail)
    known = _Known(
        {scope.code for scope in document.scope},
        {basis.code for basis in document.basis},
        {purpose.code for purpose in document.purpose},
        {kind.code: kind for kind in document.kind},
        {role.code for role in document.role},
        {item.code: item.kinds for item in document.zrm},
        {kind for act in document.mandate_act for kind in act.kinds},
    )
    yield from _check_lists(document, known, fail)
    for index, kind in enumerate(document.kind):
        yield from _check_kind(index, kind, known, fail)
    for index, role in enumerate(document.role):
        yield from _check_role(index, role, known, fail)
    for index, profile in enumerate(document.profile):
        yield from _check_profile(index, profile, known, fail)


def _tables(document: Document) -> list[tuple[str, Sequence[_Coded]]]:
    return [
        ("scope", document.scope),
        ("basis", document.basis),
        ("purpose", document.purpose),
        ("zrm", document.zrm),
        ("kind", document.kind),
        ("role", document.role),
        ("profile", document.profile),
        ("mandate_act", document.mandate_act),
        ("organisation", document.organisation.classes),
    ]


def _numbers(document: Document) -> list[tuple[str, list[int]]]:
    return [
        ("purpose", [purpose.number for purpose in document.purpose]),
        ("kind", [kind.number for kind in document.kind]),
        ("role", [role.number for role in document.role]),
    ]


def _unique(table: str, values: Sequence[object], field: str, fail: Fail) -> Iterator[Exception]:
    seen: set[object] = set()
    for index, value in enumerate(values):
        if value in seen:
            yield fail(table, index, str(value), field, "stands twice in the vocabulary")
        seen.add(value)


def _check_lists(document: Document, known: _Known, fail: Fail) -> Iterator[Exception]:
    if len(known.bases) != 4:
        yield fail("basis", 0, "", "", "the four legal bases must all be there")
    for index, purpose in enumerate(document.purpose):
        if purpose.code == NEVER and purpose.consent_possible:
            yield fail("purpose", index, purpose.code, "consent_possible", "nobody can consent to this")
        if purpose.path[-1] != purpose.code:
            yield fail("purpose", index, purpose.code, "path", "must end in the purpose's own code")
    for index, act in enumerate(document.mandate_act):
        for code in act.kinds:
            kind = known.kinds.get(code)
            if kind is None or "wettelijke_taak" not in kind.bases:
                yield fail("mandate_act", index, act.code, "kinds", f"{code} is no kind with a task by law")
    for index, item in enumerate(document.zrm):
        for code in item.kinds:
            if code not in known.kinds or item.code not in known.kinds[code].zrm:
                yield fail("zrm", index, item.code, "kinds", f"{code} does not name this life domain")
    places = [(way.organisation, way.team) for way in document.way]
    for index, way in enumerate(document.way):
        if places.index((way.organisation, way.team)) != index:
            yield fail("way", index, way.team, "team", "this team has a way of working already")
        for code in way.together:
            if code in (URGENT, NEVER) or code not in known.purposes:
                yield fail("way", index, way.team, "together", f"{code} is no purpose of a visit")
    boundaries = document.limits.age_boundaries
    if list(boundaries) != sorted(set(boundaries)):
        yield fail("limits", 0, "", "age_boundaries", "must rise")


def _check_kind(index: int, kind: Kind, known: _Known, fail: Fail) -> Iterator[Exception]:
    def refuse(field: str, reason: str) -> Exception:
        return fail("kind", index, kind.code, field, reason)

    if kind.domain not in known.scopes:
        yield refuse("domain", "is no scope of this vocabulary")
    yield from _subset(kind.purposes, known.purposes - {NEVER}, "purposes", refuse)
    yield from _subset(kind.bases, known.bases, "bases", refuse)
    yield from _subset(kind.zrm, known.zrm, "zrm", refuse)
    for code in kind.zrm:
        if kind.code not in known.zrm.get(code, (kind.code,)):
            yield refuse("zrm", f"life domain {code} does not list this kind")
    if kind.consent_possible != ("toestemming" in kind.bases):
        yield refuse("consent_possible", "must be true exactly when toestemming is a basis")
    if kind.break_glass != ("vitaal_belang" in kind.bases):
        yield refuse("break_glass", "must be true exactly when vitaal_belang is a basis")
    if kind.break_glass and "crisis" not in kind.purposes:
        yield refuse("purposes", "a kind with break-glass serves the purpose crisis")
    if kind.explicit_consent and not kind.consent_possible:
        yield refuse("explicit_consent", "consent is not possible for this kind")
    if kind.art9_or_10 and kind.consent_possible and not kind.explicit_consent:
        yield refuse("explicit_consent", "consent to a kind under art. 9 or 10 is always explicit")
    if kind.self_declared and kind.bases != ("toestemming",):
        yield refuse("bases", "a self-declared kind is seen on consent only")


def _check_role(index: int, role: Role, known: _Known, fail: Fail) -> Iterator[Exception]:
    def refuse(field: str, reason: str) -> Exception:
        return fail("role", index, role.code, field, reason)

    yield from _subset(role.purposes, known.purposes - {NEVER}, "purposes", refuse)
    for basis in sorted(known.bases):
        for code in role.kinds_on(basis):
            kind = known.kinds.get(code)
            if kind is None:
                yield refuse(basis, f"{code} is no kind of this vocabulary")
                continue
            if basis not in kind.bases:
                yield refuse(basis, f"{code} has no such basis")
            shared = set(role.purposes) & set(kind.purposes)
            if not (shared & {"crisis"} if basis == "vitaal_belang" else shared):
                yield refuse(basis, f"{code} can never be reached: no purpose in common")
            if not role.bsn_allowed:
                yield refuse("bsn_allowed", "a role that may not use a BSN lists no kinds")
    if role.mandate and not known.mandated:
        yield refuse("mandate", "no act can be mandated")


def _check_profile(index: int, profile: Profile, known: _Known, fail: Fail) -> Iterator[Exception]:
    def refuse(field: str, reason: str) -> Exception:
        return fail("profile", index, profile.code, field, reason)

    yield from _subset(profile.roles, known.roles, "roles", refuse)
    yield from _subset(profile.without_bases, known.bases, "without_bases", refuse)
    yield from _subset(profile.without_kinds, set(known.kinds), "without_kinds", refuse)
    for field, table, allowed in (
        ("only_domains", profile.only_domains, known.scopes),
        ("only_purposes", profile.only_purposes, known.purposes),
    ):
        yield from _subset(table, set(profile.roles), field, refuse)
        for values in table.values():
            yield from _subset(values, allowed, field, refuse)


def _subset(
    values: Iterable[str], allowed: Iterable[str], field: str, refuse: Callable[[str, str], Exception]
) -> Iterator[Exception]:
    for value in values:
        if value not in allowed:
            yield refuse(field, f"{value} does not exist or is not allowed here")
