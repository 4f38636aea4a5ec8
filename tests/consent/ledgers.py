"""Ledgers for tests: entries over a small tree, folded in the order of their numbers."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256

from hypothesis import strategies as st

from consent.directive import Directive
from consent.resolve import Receiver
from consent.state import ChoiceState, fold

NOW = datetime(2026, 6, 15, 10, tzinfo=UTC)
TEAM = Receiver("00000001001234567000", "wijkteam-noord", "generalist")

CATEGORIES = [(), ("geld",), ("geld", "schuldhulp"), ("geld", "bijstand"), ("zorg",)]
RECEIVERS = [
    (),
    (TEAM.organisation,),
    (TEAM.organisation, TEAM.team),
    (TEAM.organisation, TEAM.team, TEAM.role),
    (TEAM.organisation, TEAM.team, "casusregisseur"),
    ("00000001009999999000",),
]
PURPOSES = [(), ("hulp",), ("hulp", "huisbezoek"), ("hulp", "casusoverleg"), ("crisis",)]


def group(number: int) -> bytes:
    return sha256(number.to_bytes(4, "big")).digest()[:16]


def entry(number: int, effect: str, **fields) -> Directive:
    """A directive of the person's own, a month old, without other end than the usual."""
    fields.setdefault("from_", NOW - timedelta(days=30))
    return Directive(number=number, group=fields.pop("group", group(number)), effect=effect, **fields)


def stop(number: int, withdrawn: int, **fields) -> Directive:
    return entry(number, "withdraw", withdraws=group(withdrawn), **fields)


def folded(*directives: Directive) -> ChoiceState | None:
    state = None
    for directive in directives:
        state = fold(state, directive)
    return state


axes = st.tuples(st.sampled_from(CATEGORIES), st.sampled_from(RECEIVERS), st.sampled_from(PURPOSES))


@st.composite
def ledgers(draw, *, effects=("grant", "deny", "slot"), most=7):
    """Entries of one person in one scope, with random axes, ends and explicitness."""
    entries = []
    for number in range(1, draw(st.integers(0, most)) + 1):
        category, receiver, purpose = draw(axes)
        days = draw(st.sampled_from([None, None, -1, 1, 90]))
        entries.append(
            entry(
                number,
                draw(st.sampled_from(effects)),
                category=category,
                receiver=receiver,
                purpose=purpose,
                explicit=draw(st.booleans()),
                until=None if days is None else NOW + timedelta(days=days),
            )
        )
    return entries
