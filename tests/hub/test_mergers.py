"""A merger or renaming moves flags and opens nothing: whatever was chosen, whoever goes over into whom."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from consent.directive import Directive
from consent.preview import PossibleAsker, effects
from consent.resolve import Former, Receiver, states_of
from consent.state import fold
from index.acts import Act, Held
from index.organisations import Changes
from index.registers import Registers
from nodes.policy import InForce
from policy import load_vocabulary, publish
from policy.decide import Asker, Circumstances, decide
from tests.consent.ledgers import NOW, entry

VOCABULARY = load_vocabulary()
VERSION = publish(VOCABULARY, version=1)
OINS = tuple(f"0000000{number}001234567000" for number in range(1, 4))
TEAMS = ("noord", "zuid")
ROLES = ("generalist", "casusregisseur")
PURPOSES = ("huisbezoek", "casusoverleg")
SCOPE = "geld"
MERGED = NOW - timedelta(days=3)
VISIT = ("generalist", "huisbezoek")
CASE = Circumstances(has_case=True)

receivers = st.one_of(
    st.just(()),
    st.tuples(st.sampled_from(OINS)),
    st.tuples(st.sampled_from(OINS), st.sampled_from(TEAMS)),
    st.tuples(st.sampled_from(OINS), st.sampled_from(TEAMS), st.sampled_from(ROLES)),
)
categories = st.sampled_from([(), (SCOPE,), (SCOPE, "schuldhulp"), (SCOPE, "bijstand")])
paths = st.sampled_from([(), ("hulp",), ("hulp", "huisbezoek"), ("hulp", "casusoverleg")])


@st.composite
def ledgers(draw: st.DrawFn) -> list[Directive]:
    """Choices of one person, all made before any merger."""
    return [
        entry(
            number,
            draw(st.sampled_from(("grant", "grant", "deny", "slot"))),
            category=draw(categories),
            receiver=draw(receivers),
            purpose=draw(paths),
            explicit=draw(st.booleans()),
        )
        for number in range(1, draw(st.integers(1, 6)) + 1)
    ]


def _acts(merges: Sequence[tuple[str, str, Mapping[str, str]]], *, adopted: bool) -> list[Held]:
    """The history of mergers, as two people and the key holders make it."""
    acts: list[Held] = []
    at = int(MERGED.timestamp())
    for version, (oin, into, teams) in enumerate(merges, 2):
        moves = [{"from": old, "into": new, "number": 0} for old, new in sorted(teams.items())]
        said = {"op": "merge", "oin": oin, "into": into, "teams": moves}
        id_ = len(acts) + 1
        acts.append(Held(id_, Act(t="directory-add", at=at, detail=said)))
        acts.append(Held(id_ + 1, Act(t="directory-approve", at=at, about=id_)))
        if adopted:
            act = Act(t="directory-adopt", at=at, about=version, detail={"changes": [id_]})
            acts.append(Held(id_ + 2, act))
    return acts


def _seen(
    choices: Sequence[Directive],
    who: tuple[str, str],
    asks: tuple[str, str],
    formers: Sequence[Former] = (),
) -> set[str]:
    """Kinds that these people would see, if there were a flag of each."""
    role, purpose = asks
    state = None
    for directive in choices:
        state = fold(state, directive)
    kinds = VOCABULARY.kinds_of(SCOPE)
    states = states_of(state, kinds, Receiver(*who, role), VOCABULARY.purpose(purpose), NOW, formers=formers)
    asker = Asker(role=role, organisation_class="gemeente", profile="basis", purpose=purpose)
    outcomes = decide(VERSION, asker, kinds, states, CASE)
    return {outcome.kind for outcome in outcomes if outcome.visible}


moves = st.fixed_dictionaries({team: st.sampled_from((*TEAMS, "nieuw")) for team in TEAMS})


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    ledgers(),
    st.tuples(moves, moves),
    st.booleans(),
    st.booleans(),
    st.tuples(st.sampled_from(ROLES), st.sampled_from(PURPOSES)),
)
def test_whatever_is_seen_after_was_seen_before_by_the_same_people(
    choices: list[Directive],
    renamed: tuple[dict[str, str], dict[str, str]],
    twice: bool,
    adopted: bool,
    asks: tuple[str, str],
) -> None:
    first, second = renamed
    merges = [(OINS[0], OINS[1], first)]
    if twice:
        # Every team of the middle organisation goes over, its new one too.
        merges.append((OINS[1], OINS[2], {**second, "nieuw": "nieuw"}))
    changes = Changes().after(_acts(merges, adopted=adopted))
    now_called = {(oin, team): (oin, team) for oin in OINS for team in TEAMS}
    for oin, into, teams in merges:
        for people, (at_oin, at_team) in now_called.items():
            if at_oin == oin:
                now_called[people] = (into, teams[at_team])
    for people, called in now_called.items():
        before = _seen(choices, people, asks)
        after = _seen(choices, called, asks, changes.formers.get(called, ()))
        assert after <= before, (people, called)


def test_a_no_to_the_former_name_stays_a_no_and_a_yes_to_the_new_name_is_for_who_had_it() -> None:
    former = Changes().after(_acts([(OINS[0], OINS[1], {"noord": "noord", "zuid": "nieuw"})], adopted=True))
    everybody = entry(1, "grant", explicit=True, purpose=("hulp",))
    no = entry(2, "deny", receiver=(OINS[0],))
    yes = entry(1, "grant", explicit=True, receiver=(OINS[1],), purpose=("hulp",))
    new_team = (OINS[1], "nieuw")
    formers = former.formers[new_team]
    assert _seen([everybody], new_team, VISIT, formers)
    assert not _seen([everybody, no], new_team, VISIT, formers)
    assert not _seen([yes], new_team, VISIT, formers)
    # The team of the new organisation that nobody joined keeps what it had.
    assert _seen([yes], (OINS[1], "zuid"), VISIT)


def test_a_yes_of_after_the_merger_opens_for_everybody_that_it_names() -> None:
    merge = [(OINS[0], OINS[1], {"noord": "noord", "zuid": "noord"})]
    later = entry(
        1, "grant", explicit=True, receiver=(OINS[1],), purpose=("hulp",), from_=MERGED + timedelta(days=1)
    )
    called = (OINS[1], "noord")
    adopted = Changes().after(_acts(merge, adopted=True)).formers[called]
    signed_not_yet = Changes().after(_acts(merge, adopted=False)).formers[called]
    assert _seen([later], called, VISIT, adopted)
    assert not _seen([later], called, VISIT, signed_not_yet)


def test_the_portals_preview_shows_what_the_hub_would_after_a_merger() -> None:
    acts = _acts([(OINS[0], OINS[1], {"noord": "noord", "zuid": "nieuw"})], adopted=True)
    published = {one.organisation: one for one in Registers().after(acts).published()}
    rules = InForce(VERSION, published, len(acts))
    yes = fold(None, entry(1, "grant", explicit=True, receiver=(OINS[1],), purpose=("hulp",)))
    for team, seen in (("nieuw", False), ("zuid", True)):
        possible = PossibleAsker(
            Asker(role=VISIT[0], organisation_class="gemeente", profile="basis", purpose=VISIT[1]),
            Receiver(OINS[1], team, VISIT[0]),
            rules.formers(OINS[1], team),
        )
        found = effects(VERSION, {SCOPE: None}, {SCOPE: yes}, [possible], NOW)
        assert bool(found.opened) == seen
