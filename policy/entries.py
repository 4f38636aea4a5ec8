"""The entries of a vocabulary file, field by field.

Every field is required and an unknown one is refused (R1). What an entry may
say of another is checked in `coherence`.

Source: docs/design/policy.md, "Starting vocabulary".
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Text = Annotated[str, Meta(min_length=1)]
Code = Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,40}$")]
Number = Annotated[int, Meta(ge=1, le=65_535)]
Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]


class UnknownCode(ValueError):
    """A code that this vocabulary does not have. Names the table, never repeats the input."""


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of the file."""


class Scope(_Entry, frozen=True):
    code: Code
    label: Text


class Basis(_Entry, frozen=True):
    """`objection`: whether the right to object (AVG 21) exists for this basis."""

    code: Literal["wettelijke_plicht", "wettelijke_taak", "vitaal_belang", "toestemming"]
    label: Text
    law: Text
    objection: bool


class Purpose(_Entry, frozen=True):
    """`path` is its place in the tree that directives use, from broad to narrow."""

    code: Code
    number: Number
    path: Annotated[tuple[Code, ...], Meta(min_length=1, max_length=2)]
    label: Text
    sentence: Text
    consent_possible: bool


class Zrm(_Entry, frozen=True):
    """A life domain of the zelfredzaamheidsmatrix."""

    code: Code
    label: Text
    kinds: tuple[Code, ...]


class Kind(_Entry, frozen=True):
    """What sort of flag. `number` is permanent: it stands in sealed rows and log entries."""

    code: Code
    number: Number
    label: Text
    sentence: Text
    domain: Code
    source: Text
    act: Text
    legal_review: Literal["jurist", "source+jurist"]
    purposes: Annotated[tuple[Code, ...], Meta(min_length=1)]
    bases: Annotated[tuple[Code, ...], Meta(min_length=1)]
    consent_possible: bool
    explicit_consent: bool
    break_glass: bool
    art9_or_10: bool
    compelling_child_safety: bool
    retention_days_after_end: Count
    end_rule: Text
    max_age: Count
    zrm: Annotated[tuple[Code, ...], Meta(min_length=1)]
    enabled: bool
    self_declared: bool


class Role(_Entry, frozen=True):
    """Per legal basis the kinds that the role may see; `mandate`: by the municipality's register too."""

    code: Code
    number: Number
    label: Text
    purposes: tuple[Code, ...]
    wettelijke_plicht: tuple[Code, ...]
    wettelijke_taak: tuple[Code, ...]
    toestemming: tuple[Code, ...]
    vitaal_belang: tuple[Code, ...]
    needs_convenant: bool
    bsn_allowed: bool
    mandate: bool = False
    note: str = ""

    def kinds_on(self, basis: str) -> tuple[str, ...]:
        """The kinds that this role lists on a basis; without what a mandate adds."""
        match basis:
            case "wettelijke_plicht":
                return self.wettelijke_plicht
            case "wettelijke_taak":
                return self.wettelijke_taak
            case "vitaal_belang":
                return self.vitaal_belang
            case "toestemming":
                return self.toestemming
            case _:
                raise UnknownCode("no such basis")


class Profile(_Entry, frozen=True):
    """A named narrowing of `basis`; it only removes."""

    code: Code
    label: Text
    roles: Annotated[tuple[Code, ...], Meta(min_length=1)]
    detail: Literal["flags", "topics", "presence"]
    view: Literal["list", "zrm", "two_step"]
    partners: Literal["none", "convenant"]
    without_bases: tuple[Code, ...]
    without_kinds: tuple[Code, ...]
    only_domains: dict[str, tuple[str, ...]] = {}
    only_purposes: dict[str, tuple[str, ...]] = {}


class Way(_Entry, frozen=True):
    """How the desk of one team works. It hides and opens nothing: it says when is looked, and how.

    `together`: purposes for which nothing is looked up before a visit, but at the table, with the citizen.
    """

    team: Text
    view: Literal["list", "zrm"]
    together: tuple[Code, ...] = ()
    organisation: str = ""
    """OIN; empty for a team of this name at any organisation."""


class OrganisationClass(_Entry, frozen=True):
    code: Code
    label: Text
    may_view: bool
    creditor: bool


class MandateAct(_Entry, frozen=True):
    """An act that a municipality may name in its mandate register."""

    code: Code
    label: Text
    kinds: Annotated[tuple[Code, ...], Meta(min_length=1)]
    legal_review: Literal["jurist", "source+jurist"]


class CrisisReason(_Entry, frozen=True):
    code: Code
    label: Text


class AtRisk(_Entry, frozen=True):
    """`others`: another person or a child is at risk (row 4), else the person alone (row 5)."""

    code: Code
    label: Text
    others: bool


class Crisis(_Entry, frozen=True):
    reason: Annotated[tuple[CrisisReason, ...], Meta(min_length=1)]
    at_risk: Annotated[tuple[AtRisk, ...], Meta(min_length=1)]


class TeamLimits(_Entry, frozen=True):
    break_glass_second_person_hours: Positive


class Limits(_Entry, frozen=True):
    """Periods and thresholds; the unit is in each name."""

    lease_days: Positive
    consent_default_months: Positive
    consent_after_case_months: Positive
    consent_renewal_notice_days: Positive
    assisted_consent_hours: Positive
    self_declared_max_months: Positive
    break_glass_second_person_hours: Positive
    break_glass_relation_hours: Positive
    break_glass_notice_hours: Positive
    break_glass_review_working_days: Positive
    notice_postponement_step_days: Positive
    dispute_answer_working_days: Positive
    dispute_second_deadline_working_days: Positive
    relation_default_days: Positive
    relation_max_days: Positive
    citizen_idle_minutes: Positive
    citizen_session_minutes: Positive
    employee_token_minutes: Positive
    desk_link_seconds: Positive
    page_blank_minutes: Positive
    signal_jitter_minutes: Positive
    age_boundaries: Annotated[tuple[Positive, ...], Meta(min_length=1)]
    count_threshold: Positive
    team: dict[str, TeamLimits]

    def second_person_hours(self, team: str, role: str) -> int:
        """Hours for a colleague to confirm break-glass: the team's own, the role's, or those of all."""
        own = self.team.get(team) or self.team.get(role)
        return own.break_glass_second_person_hours if own else self.break_glass_second_person_hours


class _Classes(_Entry, frozen=True, rename={"classes": "class"}):
    classes: Annotated[tuple[OrganisationClass, ...], Meta(min_length=1)]


class _Switch(_Entry, frozen=True):
    wams: bool


class Document(_Entry, frozen=True, omit_defaults=True):
    """The file as it stands; `Vocabulary` is what code uses.

    A table that came later has a default and is left out of the hash while it is empty, so that a version
    that was signed before keeps its hash.
    """

    vocabulary: Text
    version: Positive
    switch: _Switch
    limits: Limits
    crisis: Crisis
    organisation: _Classes
    mandate_act: tuple[MandateAct, ...]
    scope: tuple[Scope, ...]
    basis: tuple[Basis, ...]
    purpose: tuple[Purpose, ...]
    zrm: tuple[Zrm, ...]
    kind: tuple[Kind, ...]
    role: tuple[Role, ...]
    profile: tuple[Profile, ...]
    way: tuple[Way, ...] = ()
