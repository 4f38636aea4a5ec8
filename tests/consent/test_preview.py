"""Who sees what after this click, by the decision that will enforce it."""

from hypothesis import given, settings

from consent.preview import PossibleAsker, effects, visible_now
from consent.resolve import Receiver, states_of
from policy import Asker, Circumstances, decide, load_vocabulary, publish

from .ledgers import NOW, TEAM, entry, folded, ledgers

VERSION = publish(load_vocabulary(), version=1)
ASKERS = [
    PossibleAsker(Asker(role, "gemeente", "basis", purpose), Receiver(TEAM.organisation, TEAM.team, role))
    for role in ("generalist", "inkomensconsulent")
    for purpose in ("huisbezoek", "casusoverleg")
]


def test_a_yes_opens_what_it_says_and_closes_nothing():
    yes = folded(entry(1, "grant", category=("geld", "schuldhulp"), purpose=("hulp", "huisbezoek")))

    found = effects(VERSION, {"geld": None}, {"geld": yes}, ASKERS, NOW)

    assert {(cell.receiver.role, cell.purpose, cell.kind) for cell in found.opened} == {
        ("generalist", "huisbezoek", "schuldhulp"),
        ("inkomensconsulent", "huisbezoek", "schuldhulp"),
    }
    assert found.closed == ()


def test_a_no_closes_what_consent_opened_and_names_what_stays_by_law():
    yes = folded(entry(1, "grant"))
    no = folded(entry(1, "grant"), entry(2, "slot"))

    found = effects(VERSION, {"geld": yes}, {"geld": no}, ASKERS, NOW)

    assert found.opened == ()
    assert ("inkomensconsulent", "bijstand", "wettelijke_taak") in {
        (cell.receiver.role, cell.kind, cell.basis) for cell in found.by_law
    }
    assert not {cell.kind for cell in found.closed if cell.receiver.role == "inkomensconsulent"} & {
        cell.kind for cell in found.by_law
    }


@settings(max_examples=40, deadline=None)
@given(ledgers(most=4), ledgers(most=4))
def test_the_preview_is_what_the_decision_gives_before_and_after(first, second):
    before, after = folded(*first), folded(*second)
    found = effects(VERSION, {"geld": before}, {"geld": after}, ASKERS, NOW)
    changed = {(cell.receiver.role, cell.purpose, cell.kind): "open" for cell in found.opened}
    changed |= {(cell.receiver.role, cell.purpose, cell.kind): "close" for cell in found.closed}

    for possible in ASKERS:
        was, will = _seen(before, possible), _seen(after, possible)
        for kind in VERSION.vocabulary.kinds_of("geld"):
            expected = {(False, True): "open", (True, False): "close"}.get(
                (kind.code in was, kind.code in will)
            )
            assert changed.get((possible.receiver.role, possible.asker.purpose, kind.code)) == expected


def _seen(state, possible):
    """What a lookup would show, were every kind published."""
    kinds = VERSION.vocabulary.kinds_of("geld")
    purpose = VERSION.vocabulary.purpose(possible.asker.purpose)
    states = states_of(state, kinds, possible.receiver, purpose, NOW)
    outcomes = decide(VERSION, possible.asker, kinds, states, Circumstances(has_case=True))
    return {kind.code for kind, outcome in zip(kinds, outcomes, strict=True) if outcome.visible}


def test_what_is_visible_now_covers_the_scopes_given_and_no_other():
    cells = visible_now(VERSION, {"geld": folded(entry(1, "grant", explicit=True))}, ASKERS, NOW)

    kinds = {VERSION.vocabulary.kind(cell.kind).domain for cell in cells}
    assert kinds == {"geld"}
