"""What rules cost: each step of a publication, then a decision over all kinds, from table and from Cedar.

    rules -> parse, subset, sentence -> strict validation -> proofs -> table | decisions by turns

With another number of rules than the packaged set has, its forbids and permits
are thinned out evenly, or forbids are added that fit the schema and name a role
and a kind each, as a municipality's own would. Proofs are looked for in them all
the same; of a thinned set some do not hold, and a counterexample is made. The
added ones spread over all roles and close what somebody who cannot decide never chose.
"""

import time
from collections.abc import Callable, Sequence
from itertools import product
from statistics import median
from typing import TypeVar

import cedarpy

from policy.decide import Asker, Circumstances, KindState, decide
from policy.engine import Bundle, PolicyVersion, bundle, slice_of, validate
from policy.proof.properties import prove
from policy.rules import Rule, packaged_rules, rule_of, rules_of, schema_text
from policy.sentences import say
from policy.table import Question, Table, context_text, fill, most_open
from policy.vocabulary import Vocabulary, load_vocabulary

from .figures import Figure, machine, percentile, spread, versions

_ASKER = Asker("generalist", "gemeente", "basis", "huisbezoek")
_STATES = (KindState("grant", True), KindState("deny"), KindState("none"), KindState("grant", True, True))
_AT_ONCE = 200
_T = TypeVar("_T")


def bench_decide(rounds: int, rules: int = 0) -> Figure:
    """Decisions a second from the table; the reference is Cedar asked once about each kind and basis.

    Every decision is about another person: the states of the kinds differ.

    Args:
        rules: So many rules; 0 for the packaged set of profile `basis`.
    """
    vocabulary = load_vocabulary()
    texts = _texts(vocabulary, rules)
    steps = _Steps()
    made = steps.take("parse", lambda: _parsed(vocabulary, texts))
    schema = cedarpy.Schema.from_str(schema_text())
    steps.take("validate", lambda: validate(made, schema))
    steps.take("prove", lambda: prove(vocabulary, made, (_ASKER.profile,)))
    table = steps.take("table", lambda: _filled(vocabulary, made, schema))
    version = PolicyVersion(
        1, b"", vocabulary, (_ASKER.profile,), made, table, schema_text(), frozenset({_ASKER.profile})
    )
    return _decisions(version, rounds, steps.milliseconds)


class _Steps:
    """How long each step took; `milliseconds` by its name."""

    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = {}

    def take(self, name: str, step: Callable[[], _T]) -> _T:
        begun = time.perf_counter()
        result = step()
        self.milliseconds[f"{name}Ms"] = round((time.perf_counter() - begun) * 1000, 1)
        return result


def _texts(vocabulary: Vocabulary, wanted: int) -> list[str]:
    packaged = [rule.text for rule in rules_of(vocabulary, (_ASKER.profile,))]
    if not wanted:
        return packaged
    forbids, permits = packaged[: len(packaged_rules())], packaged[len(packaged_rules()) :]
    if wanted < len(packaged):
        half = min(len(forbids), wanted // 2)
        return _thinned(forbids, half) + _thinned(permits, wanted - half)
    more = product(vocabulary.kinds, vocabulary.purposes, vocabulary.roles)
    added = (
        f'@id("eigen.{role.code}.{kind.code}.{purpose.code}")\n'
        f'forbid (principal in Role::"{role.code}", action == Action::"view", '
        f'resource == Kind::"{kind.code}")\n'
        f'when {{ context.purpose == "{purpose.code}" && context.consent == "none" && context.incapable }};'
        for kind, purpose, role in more
    )
    return [*packaged, *(text for text, _ in zip(added, range(wanted - len(packaged)), strict=False))]


def _thinned(texts: Sequence[str], wanted: int) -> list[str]:
    return [texts[place * len(texts) // wanted] for place in range(wanted)]


def _parsed(vocabulary: Vocabulary, texts: Sequence[str]) -> tuple[Rule, ...]:
    made = tuple(rule_of(number, "", text) for number, text in enumerate(texts, 1))
    for rule in made:
        say(vocabulary, rule)
    return made


def _filled(vocabulary: Vocabulary, rules: Sequence[Rule], schema: cedarpy.Schema) -> Table:
    """Every role of one organisation class and profile, as a publication asks for each class that differs."""
    table, code, profile = Table(), _ASKER.organisation_class, _ASKER.profile
    for role in vocabulary.roles:
        slice_ = slice_of(rules, role.code, profile)
        ask = Bundle(slice_, schema, vocabulary, (code, profile, role.code)).ask
        for purpose, sheet in fill(role.code, vocabulary, slice_, ask).items():
            table.sheets[code, profile, role.code, purpose] = sheet
    return table


def _decisions(version: PolicyVersion, rounds: int, steps: dict[str, float]) -> Figure:
    vocabulary = version.vocabulary
    cedar = bundle(vocabulary, version.rules, (_ASKER.organisation_class, _ASKER.profile, _ASKER.role))
    questions = [
        Question(
            kind.code,
            context_text(_ASKER.purpose, basis, most_open(basis, mandate=False), convenant=False),
        )
        for kind in vocabulary.kinds
        for basis in kind.bases
    ]
    people = [
        {kind.number: _STATES[(place + number) % len(_STATES)] for place, kind in enumerate(vocabulary.kinds)}
        for number in range(_AT_ONCE)
    ]
    circumstances = Circumstances(has_case=True)
    seen = sum(one.visible for one in decide(version, _ASKER, vocabulary.kinds, people[0], circumstances))
    table, asked = [], []
    for _ in range(rounds):
        begun = time.perf_counter()
        for states in people:
            decide(version, _ASKER, vocabulary.kinds, states, circumstances)
        table.append((time.perf_counter() - begun) / len(people))
        begun = time.perf_counter()
        cedar.ask(questions)
        asked.append(time.perf_counter() - begun)
    ordered = sorted(table)
    return Figure(
        work="decide",
        engine="table",
        flags=0,
        concurrency=1,
        seconds=round(sum(table) * len(people), 3),
        rate=round(1 / median(table), 1),
        p50_ms=round(median(table) * 1000, 4),
        p99_ms=round(percentile(ordered, 0.99) * 1000, 4),
        reference=round(1 / median(asked), 1),
        ratio=round(median(slow / quick for slow, quick in zip(asked, table, strict=True)), 1),
        machine=machine(),
        versions=versions("cedarpy"),
        detail={
            "rounds": rounds,
            "rules": len(version.rules),
            "kinds": len(vocabulary.kinds),
            "visible": seen,
            "tableUs": spread([one * 1e6 for one in table]),
            "cedarUs": spread([one * 1e6 for one in asked], 0),
            "cedarQuestions": len(questions),
            **steps,
            "publishMs": round(sum(steps.values()), 1),
        },
    )
