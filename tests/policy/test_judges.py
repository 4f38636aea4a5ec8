"""Cedar, Z3 and the compiled table say the same; a planted difference in any of them is found."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.rules import rule_of
from policy.table import Context, KindCells, Table
from policy.vocabulary import BASES, load_vocabulary

from .judges import Asked, Judges

WORDS = load_vocabulary()
ASKERS = [
    ("zorgverzekeraar" if role.code == "extern_zorg" else "gemeente", "basis", role.code)
    for role in WORDS.roles
] + [
    ("zorgverzekeraar", "basis", "generalist"),
    ("politie_justitie", "basis", "schuldhulpverlener"),
    ("hulpverlening", "basis", "crisisdienst"),
]
MANY = int(os.environ.get("HYPOTHESIS_SEARCH", "250"))

requests = st.builds(
    Asked,
    st.sampled_from(ASKERS),
    st.sampled_from([kind.code for kind in WORDS.kinds]),
    st.sampled_from([purpose.code for purpose in WORDS.purposes]),
    st.sampled_from(BASES),
    st.builds(Context, st.integers(0, 3), st.integers(0, 3), *[st.booleans()] * 5),
)


@pytest.fixture(scope="module")
def judges(version):
    return Judges(version)


@given(asked=st.lists(requests, min_size=1, max_size=8))
@settings(max_examples=MANY, deadline=None, derandomize="HYPOTHESIS_SEARCH" not in os.environ)
def test_the_judges_agree_on_whatever_is_asked(judges, asked):
    assert judges.disagreements(asked) == []


@pytest.mark.parametrize("asker", ASKERS, ids="-".join)
def test_the_judges_agree_on_every_cell_and_no_state_opens_what_has_no_cells(judges, asker):
    assert judges.disagreements(list(judges.cells_of(asker))) == []
    assert not judges.opens_what_the_table_calls_closed(asker)


@pytest.fixture(scope="module")
def cells(judges):
    return list(judges.cells_of(("gemeente", "basis", "inkomensconsulent")))


@pytest.mark.parametrize(
    ("judge", "name"), [("cedar_rules", "cedar"), ("sliced_rules", "slice"), ("z3_rules", "z3")]
)
def test_a_judge_with_one_forbid_more_is_found_and_named(version, cells, judge, name):
    planted = rule_of(
        9999,
        "",
        '@id("geplant")\nforbid (principal, action == Action::"view", resource == Kind::"ww")\n'
        'when { context.objection == "rejected" };',
    )
    odd = Judges(version, **{judge: [*version.rules, planted]})

    found = odd.disagreements(cells)

    assert found
    for asked, verdicts in found:
        assert asked.kind == "ww"
        assert verdicts.pop(name) is False
        assert set(verdicts.values()) == {True}


def test_a_judge_with_one_permit_less_is_found(version, cells):
    rules = [rule for rule in version.rules if rule.id != "inkomensconsulent.wettelijke_taak.minima"]

    found = Judges(version, z3_rules=rules).disagreements(cells)

    assert {asked.kind for asked, _ in found} == {"minima"}


def test_one_cell_of_the_table_that_was_turned_over_is_found(version, cells):
    key, number = ("gemeente", "basis", "inkomensconsulent", "huisbezoek"), 1
    sheet = version.table.sheets[key]
    task = dict(sheet[number].answers["wettelijke_taak"])
    cell = next(iter(task))
    task[cell] = 0
    turned = KindCells({**sheet[number].answers, "wettelijke_taak": task}, sheet[number].mandated)
    table = Table({**version.table.sheets, key: {**sheet, number: turned}})

    ((asked, verdicts),) = Judges(version, table=table).disagreements(cells)

    assert (asked.kind, asked.purpose, asked.context.cell()) == ("bijstand", "huisbezoek", cell)
    assert verdicts == {"cedar": True, "slice": True, "z3": True, "table": False}
