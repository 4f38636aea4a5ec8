"""What would change if a candidate took the place of the running version.

Exact, by Z3: allowed by the new and not by the old, and the other way round,
each with an example, and the cells role x kind x purpose x basis that change. A
cell is *opened* when the old version closes it in every state, *wider* when the
old one opens it in some; *closed* and *narrower* likewise.

Source: docs/design/policy-and-consent.md, "What would change"; policy.md 1.5.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import z3  # type: ignore[import-untyped]

from .content import Content
from .proof.properties import plainly, slice_of_profile
from .proof.world import Formula, Request, World
from .sentences import permit_words
from .vocabulary import Vocabulary

Sort = Literal["opened", "wider", "closed", "narrower"]

SORTS: dict[Sort, str] = {
    "opened": "mag nu ook zien",
    "wider": "ziet in meer gevallen",
    "closed": "ziet niet meer",
    "narrower": "ziet in minder gevallen",
}
"""What a change does, as a Dutch verb."""


@dataclass(frozen=True, slots=True)
class Change:
    sort: Sort
    profile: str
    role: str
    kind: str
    purpose: str
    basis: str


@dataclass(frozen=True, slots=True)
class Difference:
    """`gained`, `lost`: per profile one request that only the new, or only the old version allows."""

    changes: tuple[Change, ...]
    gained: Mapping[str, Request]
    lost: Mapping[str, Request]
    profiles_added: tuple[str, ...]
    profiles_removed: tuple[str, ...]

    @property
    def nothing(self) -> bool:
        return not (self.changes or self.profiles_added or self.profiles_removed)


def difference(old: Content, new: Content, profiles: Sequence[str] = ()) -> Difference:
    """Every cell that the new version opens, widens, closes or narrows.

    Args:
        profiles: Of those that both have; without it all of them.
    """
    both = [code for code in old.profiles if code in new.profiles]
    chosen = [code for code in both if not profiles or code in profiles]
    changes: list[Change] = []
    gained: dict[str, Request] = {}
    lost: dict[str, Request] = {}
    for profile in chosen:
        comparing = _Comparing(old, new, profile)
        for more, examples in ((True, gained), (False, lost)):
            example = comparing.example(more=more)
            if example is not None:
                examples[profile] = example
                changes += comparing.changes(more=more)
    return Difference(
        tuple(changes),
        gained,
        lost,
        tuple(code for code in new.profiles if code not in old.profiles),
        tuple(code for code in old.profiles if code not in new.profiles),
    )


class _Comparing:
    """Old and new over one world, for one profile."""

    def __init__(self, old: Content, new: Content, profile: str) -> None:
        self._profile = profile
        self._world = World(old.vocabulary, new.vocabulary)
        world = self._world
        self._base = [
            world.possible(),
            world.is_("profile", profile),
            world.one_role(),
            z3.Not(world.own),
        ]
        self._old, self._new = self._opens(old), self._opens(new)

    def _opens(self, content: Content) -> Formula:
        """Cedar allows it, and so does row 3 of the decision table with this vocabulary."""
        vocabulary, world = content.vocabulary, self._world
        rules = slice_of_profile(content.rules((self._profile,)), self._profile)
        on = world.kind_is(kind.code for kind in vocabulary.kinds if kind.enabled)
        allowed = z3.substitute(world.allows(vocabulary, rules), (world.enabled, on))
        classes = [item.code for item in vocabulary.organisation_classes if item.may_view]
        partners = world.has_role(role.code for role in vocabulary.roles if role.needs_convenant)
        return z3.And(
            allowed,
            world.is_("organisationClass", *classes),
            z3.Implies(partners, world.flag["convenant"]),
            z3.Not(world.is_("purpose", "toezicht")),
        )

    def _sides(self, *, more: bool) -> tuple[Formula, Formula]:
        return (self._new, self._old) if more else (self._old, self._new)

    def example(self, *, more: bool) -> Request | None:
        yes, no = self._sides(more=more)
        solver = z3.Solver()
        solver.add(*self._base, yes, z3.Not(no))
        if solver.check() == z3.unsat:
            return None
        for plain in plainly(self._world):
            solver.push()
            solver.add(plain)
            if solver.check() != z3.sat:
                solver.pop()
        solver.check()
        return self._world.read(solver.model())

    def changes(self, *, more: bool) -> Iterator[Change]:
        """Every cell in which some state differs, in the order of the vocabulary."""
        yes, no = self._sides(more=more)
        differing, other = z3.Solver(), z3.Solver()
        differing.add(*self._base, yes, z3.Not(no))
        other.add(*self._base, no)
        found = []
        while differing.check() == z3.sat:
            request = self._world.read(differing.model())
            cell = self._cell(request)
            differing.add(z3.Not(cell))
            whole = other.check(cell) == z3.unsat
            sort: Sort = ("opened" if whole else "wider") if more else ("closed" if whole else "narrower")
            found.append(
                Change(sort, self._profile, request.roles[0], request.kind, request.purpose, request.basis)
            )
        order = self._world
        yield from sorted(
            found,
            key=lambda one: (
                one.sort,
                order.roles_known.index(one.role),
                order.kinds.index(one.kind),
                order.texts["basis"].index(one.basis),
                order.texts["purpose"].index(one.purpose),
            ),
        )

    def _cell(self, request: Request) -> Formula:
        world = self._world
        return z3.And(
            world.role[request.roles[0]],
            world.kind_is([request.kind]),
            world.is_("purpose", request.purpose),
            world.is_("basis", request.basis),
        )


def in_words(old: Vocabulary, new: Vocabulary, changes: Sequence[Change]) -> list[str]:
    """One Dutch sentence per (sort, role, kind, basis), with its purposes and the profiles where it holds."""
    grouped: dict[tuple[str, Sort, str, str, str], list[str]] = {}
    for one in changes:
        grouped.setdefault((one.profile, one.sort, one.role, one.kind, one.basis), []).append(one.purpose)
    told: dict[str, list[str]] = {}
    for (profile, sort, role, kind, basis), purposes in grouped.items():
        words = new if sort in ("opened", "wider") else old
        sentence = permit_words(words, (role, kind, basis), purposes, verb=SORTS[sort])
        told.setdefault(sentence, []).append(profile)
    return [f"{sentence} [{', '.join(profiles)}]" for sentence, profiles in told.items()]


def counted(changes: Sequence[Change]) -> dict[str, dict[str, dict[Sort, int]]]:
    """How many cells change, grouped by role and by kind."""
    grouped: dict[str, dict[str, dict[Sort, int]]] = {"role": {}, "kind": {}}
    for one in changes:
        for axis, code in (("role", one.role), ("kind", one.kind)):
            of_code = grouped[axis].setdefault(code, {})
            of_code[one.sort] = of_code.get(one.sort, 0) + 1
    return grouped
