"""One decision over all kinds: from the table that a publication fills, and from Cedar itself, by turns."""

import time
from statistics import median

from policy.decide import Asker, Circumstances, KindState, decide
from policy.engine import bundle, publish
from policy.table import Question, context_text, most_open
from policy.vocabulary import load_vocabulary

from .figures import Figure, machine, percentile, spread, versions

_ASKER = Asker("generalist", "gemeente", "basis", "huisbezoek")
_STATES = (KindState("grant", True), KindState("deny"), KindState("none"), KindState("grant", True, True))
_AT_ONCE = 200


def bench_decide(rounds: int) -> Figure:
    """Decisions a second from the table; the reference is Cedar asked once about each kind and basis.

    Every decision is about another person: the states of the kinds differ.
    """
    vocabulary = load_vocabulary()
    begun = time.perf_counter()
    version = publish(vocabulary, version=1, organisation_classes=("gemeente",))
    published = time.perf_counter() - begun
    who = (_ASKER.organisation_class, _ASKER.profile, _ASKER.role)
    cedar = bundle(vocabulary, version.rules, who)
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
            "kinds": len(vocabulary.kinds),
            "visible": seen,
            "tableUs": spread([one * 1e6 for one in table]),
            "cedarUs": spread([one * 1e6 for one in asked], 0),
            "cedarQuestions": len(questions),
            "publishMs": round(published * 1000, 1),
        },
    )
