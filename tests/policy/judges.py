"""Three judges over one version: Cedar (full set and role slice), Z3, and the compiled table.

Each can be given other rules or another table than the rest, so that a test can
plant a difference and see it found.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import z3

from policy.engine import Bundle, PolicyVersion, bundle
from policy.proof.world import World, request_of
from policy.rules import Rule
from policy.table import Context, Question, Table, context_text
from policy.vocabulary import BASES

Asker = tuple[str, str, str]
"""(organisation class, profile, role)"""


@dataclass(frozen=True)
class Asked:
    asker: Asker
    kind: str
    purpose: str
    basis: str
    context: Context


@dataclass
class Judges:
    """`verdicts` is what each says of one request; `None` where the table has no such cell."""

    version: PolicyVersion
    cedar_rules: Sequence[Rule] = ()
    sliced_rules: Sequence[Rule] = ()
    z3_rules: Sequence[Rule] = ()
    table: Table | None = None
    _bundles: dict[tuple[Asker, bool], Bundle] = field(default_factory=dict)
    _formulas: dict[Asker, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._world = World(self.version.vocabulary)

    def disagreements(self, asked: Sequence[Asked]) -> list[tuple[Asked, dict[str, bool | None]]]:
        """The requests on which not all agree."""
        said = {name: [] for name in ("cedar", "slice", "z3", "table")}
        for asker in dict.fromkeys(one.asker for one in asked):
            own = [one for one in asked if one.asker == asker]
            said["cedar"] += zip(own, self._cedar(asker, own, sliced=False), strict=True)
            said["slice"] += zip(own, self._cedar(asker, own, sliced=True), strict=True)
            said["z3"] += [(one, self._z3(one)) for one in own]
            said["table"] += [(one, self._stored(one)) for one in own]
        found = []
        for answers in zip(*said.values(), strict=True):
            verdicts = {name: verdict for name, (_, verdict) in zip(said, answers, strict=True)}
            if len({verdict for verdict in verdicts.values() if verdict is not None}) > 1:
                found.append((answers[0][0], verdicts))
        return found

    def _cedar(self, asker: Asker, asked: Sequence[Asked], *, sliced: bool) -> list[bool]:
        if (asker, sliced) not in self._bundles:
            rules = (self.sliced_rules if sliced else self.cedar_rules) or self.version.rules
            self._bundles[asker, sliced] = bundle(self.version.vocabulary, rules, asker, sliced=sliced)
        questions = [
            Question(
                one.kind,
                context_text(one.purpose, one.basis, one.context, convenant=self._convenant(asker)),
            )
            for one in asked
        ]
        return [bool(number) for number in self._bundles[asker, sliced].ask(questions)]

    def _convenant(self, asker: Asker) -> bool:
        return self.version.vocabulary.role(asker[2]).needs_convenant

    def _z3(self, one: Asked) -> bool:
        request = request_of(
            one.asker,
            (one.kind, one.purpose, one.basis),
            one.context,
            convenant=self._convenant(one.asker),
            enabled=self.version.vocabulary.kind(one.kind).enabled,
        )
        if one.asker not in self._formulas:
            self._formulas[one.asker] = self._formula_of(one.asker)
        value = z3.simplify(z3.substitute(self._formulas[one.asker], *self._world.exactly(request)))
        assert z3.is_true(value) or z3.is_false(value)
        return bool(z3.is_true(value))

    def _formula_of(self, asker: Asker) -> object:
        """The rules for one asker, made small once."""
        organisation_class, profile, role = asker
        world = self._world
        whole = world.allows(self.version.vocabulary, self.z3_rules or self.version.rules)
        fixed = [(variable, z3.BoolVal(code == role)) for code, variable in world.role.items()]
        for name, code in (("organisationClass", organisation_class), ("profile", profile)):
            text = world.text[name]
            fixed.append((text.number, z3.BitVecVal(text.codes.index(code), text.number.size())))
        return z3.simplify(z3.substitute(whole, *fixed, (world.own, z3.BoolVal(False))))

    def _stored(self, one: Asked) -> bool | None:
        sheets = (self.table or self.version.table).sheets
        answers = sheets[(*one.asker, one.purpose)][self._number(one.kind)].answers
        if one.basis not in answers:
            return False
        number = answers[one.basis].get(one.context.cell())
        return None if number is None else bool(number)

    def _number(self, kind: str) -> int:
        return self.version.vocabulary.kind(kind).number

    def cells_of(self, asker: Asker) -> Iterator[Asked]:
        """Every cell of the table for one asker."""
        vocabulary = self.version.vocabulary
        for purpose in vocabulary.purposes:
            sheet = self.version.table.sheets[(*asker, purpose.code)]
            for kind in vocabulary.kinds:
                for basis, answers in sheet[kind.number].answers.items():
                    for cell in answers:
                        yield Asked(asker, kind.code, purpose.code, basis, context_of(cell))

    def opens_what_the_table_calls_closed(self, asker: Asker) -> bool:
        """Whether Z3 finds any state at all that opens a (purpose, kind, basis) without cells."""
        vocabulary, world = self.version.vocabulary, self._world
        closed = [
            z3.And(world.is_("purpose", purpose.code), world.kind_is([kind.code]), world.is_("basis", basis))
            for purpose in vocabulary.purposes
            for kind in vocabulary.kinds
            for basis in BASES
            if basis not in self.version.table.sheets[(*asker, purpose.code)][kind.number].answers
        ]
        on = world.kind_is(kind.code for kind in vocabulary.kinds if kind.enabled)
        solver = z3.Solver()
        solver.add(world.possible(), self._formula_of(asker), z3.Or(closed), world.enabled == on)
        return bool(solver.check() != z3.unsat)


def context_of(cell: int) -> Context:
    """The context that a cell's number stands for."""
    flags = [bool(cell >> bit & 1) for bit in range(4, 9)]
    return Context(cell & 3, cell >> 2 & 3, *flags)
