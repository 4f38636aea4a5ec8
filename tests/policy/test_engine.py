"""Cedar, its slices, and the table that it filled."""

import itertools
import json
import random

import pytest

from policy.engine import PublishError, bundle, publish
from policy.rules import RuleError, rule_of, rules_of
from policy.table import CONSENT, OBJECTION, Context, Question, consulted, context_text, most_open
from policy.vocabulary import BASES, PACKAGED, load_vocabulary, parse_vocabulary

ASKERS = [
    ("gemeente", "basis", "generalist"),
    ("gemeente", "basis", "generalist_mandaat"),
    ("gemeente", "basis", "schuldhulpverlener"),
    ("gemeente", "basis", "inkomensconsulent"),
    ("hulpverlening", "basis", "crisisdienst"),
    ("uitvoering", "basis", "jeugdprofessional"),
    ("gemeente", "basis", "teamleider"),
    ("zorgverzekeraar", "basis", "extern_zorg"),
    ("zorgverzekeraar", "basis", "generalist"),
    ("politie_justitie", "basis", "generalist"),
]


def _questions(version, asker, rng, count):
    """Random questions over every kind, purpose, basis and context, restricted ones included."""
    role = version.vocabulary.role(asker[2])
    for _ in range(count):
        kind = rng.choice(version.vocabulary.kinds)
        purpose = rng.choice(version.vocabulary.purposes).code
        basis = rng.choice(BASES)
        flips = [rng.random() < 0.5 for _ in range(5)]
        context = Context(rng.randrange(4), rng.randrange(4), *flips)
        text = context_text(purpose, basis, context, convenant=role.needs_convenant)
        if rng.random() < 0.1:
            text = text.replace('"restricted":false', '"restricted":true')
        yield Question(kind.code, text)


@pytest.mark.parametrize("asker", ASKERS)
def test_a_role_slice_answers_as_the_full_set_does(version, asker):
    questions = list(_questions(version, asker, random.Random(asker[2]), 150))

    sliced = bundle(version.vocabulary, version.rules, asker).ask(questions)
    full = bundle(version.vocabulary, version.rules, asker, sliced=False).ask(questions)

    assert sliced == full


@pytest.mark.parametrize("asker", ASKERS)
def test_every_cell_of_the_table_is_what_cedar_answers_when_asked_alone(version, asker):
    vocabulary = version.vocabulary
    role = vocabulary.role(asker[2])
    cells, stored = [], []
    for purpose in vocabulary.purposes:
        sheet = version.table.sheets[(*asker, purpose.code)]
        for kind in vocabulary.kinds:
            for basis, answers in sheet[kind.number].answers.items():
                for number, rule in answers.items():
                    context = _context_of(number)
                    text = context_text(purpose.code, basis, context, convenant=role.needs_convenant)
                    cells.append(Question(kind.code, text))
                    stored.append(rule)

    assert bundle(vocabulary, version.rules, asker).ask(cells) == stored


@pytest.mark.parametrize("asker", ASKERS)
def test_what_the_table_calls_closed_cedar_denies_in_the_most_open_context(version, asker):
    vocabulary = version.vocabulary
    closed = []
    for purpose in vocabulary.purposes:
        sheet = version.table.sheets[(*asker, purpose.code)]
        for kind in vocabulary.kinds:
            for basis in set(BASES) - set(sheet[kind.number].answers):
                context = most_open(basis, mandate=True)
                closed.append(Question(kind.code, context_text(purpose.code, basis, context, convenant=True)))

    assert closed
    assert set(bundle(vocabulary, version.rules, asker).ask(closed)) == {0}


def _context_of(cell: int) -> Context:
    flags = [bool(cell >> bit & 1) for bit in range(4, 9)]
    return Context(cell & 3, cell >> 2 & 3, *flags)


def test_a_cell_number_stands_for_one_context():
    for consent in range(len(CONSENT)):
        for objection in range(len(OBJECTION)):
            context = Context(consent, objection, True, False, True, False, True)
            assert _context_of(context.cell()) == context


# --- every forbid does its work, also where a permit is far too wide ---------------

_ROGUE = '@id("alles")\npermit (principal, action == Action::"view", resource);'

_OPEN = {
    "purpose": "huisbezoek",
    "basis": "toestemming",
    "consent": "grant",
    "explicit": True,
    "objection": "none",
    "restricted": False,
    "hasCase": True,
    "breakGlass": False,
    "othersAtRisk": False,
    "incapable": False,
    "convenant": True,
    "mandate": True,
}
_CRISIS = {"purpose": "crisis", "basis": "vitaal_belang", "breakGlass": True, "othersAtRisk": True}
_GEMEENTE = ("gemeente", "basis", "generalist")

FORBIDDEN = {
    "beperking": (_GEMEENTE, "bijstand", {"restricted": True}),
    "geen_zaak": (_GEMEENTE, "bijstand", {"hasCase": False}),
    "geen_toestemming": (_GEMEENTE, "bijstand", {"consent": "none"}),
    "niet_uitdrukkelijk": (_GEMEENTE, "ggz", {"explicit": False}),
    "spoed_niet_verklaard": (_GEMEENTE, "ggz", {**_CRISIS, "breakGlass": False}),
    "spoed_zonder_gevaar": (_GEMEENTE, "ggz", {**_CRISIS, "othersAtRisk": False}),
    "spoed_ander_doel": (_GEMEENTE, "ggz", {**_CRISIS, "purpose": "huisbezoek"}),
    "bezwaar": (_GEMEENTE, "bijstand", {"basis": "wettelijke_taak", "objection": "pending"}),
    "geen_mandaat": (
        ("gemeente", "basis", "generalist_mandaat"),
        "bijstand",
        {"basis": "wettelijke_taak", "mandate": False},
    ),
    "toezicht": (_GEMEENTE, "bijstand", {"purpose": "toezicht"}),
    "uitgeschakeld": (_GEMEENTE, "vir", {"basis": "wettelijke_taak"}),
    "ketenpartner_zonder_convenant": (
        ("gemeente", "basis", "ketenpartner"),
        "bijstand",
        {"convenant": False},
    ),
    "extern_zorg_zonder_convenant": (
        ("zorgverzekeraar", "basis", "extern_zorg"),
        "bijstand",
        {"convenant": False},
    ),
    "alleen_liaison": (_GEMEENTE, "veilig_thuis", {"basis": "wettelijke_taak"}),
    "organisatie_mag_niet_kijken": (("schuldeiser", "basis", "generalist"), "bijstand", {}),
    "zorgverzekeraar": (("zorgverzekeraar", "basis", "generalist"), "bijstand", {}),
}


def test_each_forbid_of_the_base_set_has_a_case_here(version):
    forbids = {rule.id for rule in version.rules if rule.effect == "forbid" and not rule.profile}

    assert forbids == set(FORBIDDEN)


@pytest.mark.parametrize("name", sorted(FORBIDDEN))
def test_a_forbid_closes_what_a_wide_permit_opens_and_nothing_else_would(version, name):
    asker, kind, change = FORBIDDEN[name]
    question = Question(kind, json.dumps({**_OPEN, **change}))
    rogue = rule_of(9999, "", _ROGUE)
    whole = [*version.rules, rogue]
    without = [rule for rule in whole if rule.id != name]

    assert bundle(version.vocabulary, whole, asker).ask([question]) == [0]
    assert bundle(version.vocabulary, without, asker).ask([question]) != [0]


@pytest.mark.parametrize(
    "code", ["gemeente", "uitvoering", "hulpverlening", "portaal", "politie_justitie", "schuldeiser"]
)
def test_the_rules_let_exactly_the_classes_look_that_the_vocabulary_names(version, code):
    question = Question("bijstand", json.dumps(_OPEN))
    rules = [*version.rules, rule_of(9999, "", _ROGUE)]

    (answer,) = bundle(version.vocabulary, rules, (code, "basis", "generalist")).ask([question])

    assert bool(answer) == version.vocabulary.organisation_class(code).may_view


# --- what cannot be published ------------------------------------------------------


def test_a_request_that_does_not_fit_the_schema_stops_the_publication(version):
    short = {name: value for name, value in _OPEN.items() if name != "mandate"}

    with pytest.raises(PublishError):
        bundle(version.vocabulary, version.rules, _GEMEENTE).ask([Question("bijstand", json.dumps(short))])


def test_a_rule_that_errs_stops_the_publication_instead_of_being_skipped(version):
    with pytest.raises(PublishError):
        bundle(version.vocabulary, version.rules, _GEMEENTE).ask(
            [Question("bestaat_niet", json.dumps(_OPEN))]
        )


@pytest.mark.parametrize(
    "condition",
    [
        'context.purpose like "huis*"',
        "context has mandate",
        "resource is Kind",
        'if context.restricted then true else context.purpose == "crisis"',
        '[context.purpose].contains("crisis")',
        "context.purpose == context.basis",
        'context.purpose < "m"',
        "1 + 1 == 2",
        'ip("10.0.0.1").isLoopback()',
    ],
)
def test_a_construct_outside_the_house_subset_is_refused(condition):
    text = f'@id("x")\npermit (principal, action == Action::"view", resource) when {{ {condition} }};'

    with pytest.raises(RuleError):
        rule_of(1, "", text)


def test_a_rule_without_a_name_or_without_one_action_is_refused():
    with pytest.raises(RuleError):
        rule_of(1, "", 'permit (principal, action == Action::"view", resource);')
    with pytest.raises(RuleError):
        rule_of(1, "", '@id("x")\npermit (principal, action, resource);')


def test_the_hash_of_a_version_is_of_its_content_and_not_of_its_number(vocabulary, version):
    relabelled = parse_vocabulary(
        PACKAGED.read_text(encoding="utf-8").replace('"WW-uitkering"', '"Uitkering WW"')
    )
    small = {"organisation_classes": ("politie_justitie",)}

    assert publish(vocabulary, version=2).hash == version.hash
    assert publish(vocabulary, version=2).number == 2
    assert publish(relabelled, version=1, **small).hash != version.hash
    assert len(version.hash) == 32


def test_cedar_is_asked_once_for_the_same_content_also_for_fewer_classes(version):
    again = publish(load_vocabulary(), version=2, organisation_classes=("gemeente",))

    for key, sheet in again.table.sheets.items():
        assert key[0] == "gemeente"
        assert sheet is version.table.sheets[key]


def test_a_profile_adds_forbids_and_nothing_else(vocabulary):
    profiles = tuple(profile.code for profile in vocabulary.profiles)
    of_profiles = [rule for rule in rules_of(vocabulary, profiles) if rule.profile]

    assert of_profiles
    assert {rule.effect for rule in of_profiles} == {"forbid"}


def test_what_a_profile_opens_the_base_profile_opens_too(every_profile):
    sheets = every_profile.table.sheets
    compared = 0
    for (organisation_class, _profile, role, purpose), sheet in sheets.items():
        base = sheets[(organisation_class, "basis", role, purpose)]
        for number, cells in sheet.items():
            for basis, answers in cells.answers.items():
                for cell, rule in answers.items():
                    compared += 1
                    assert not rule or base[number].answers[basis][cell]

    assert compared > 10_000


def test_rules_are_numbered_from_one_in_their_order(version):
    assert [rule.number for rule in version.rules] == list(range(1, len(version.rules) + 1))
    assert version.rule(1).id == "beperking"


# --- which cells are filled ----------------------------------------------------------


def test_the_most_open_context_of_each_basis_is_one_yes_and_nothing_declared_but_danger():
    assert most_open("toestemming", mandate=False) == Context(3, 0, True, False, False, False, False)
    assert most_open("wettelijke_taak", mandate=True) == Context(3, 0, True, False, False, False, True)
    assert most_open("vitaal_belang", mandate=False) == Context(0, 0, True, True, True, False, False)


def test_the_cells_of_a_kind_are_the_contexts_in_which_a_row_asks_for_it(vocabulary):
    plain, compelling = vocabulary.kind("bijstand"), vocabulary.kind("jeugdbescherming")
    pending = OBJECTION.index("pending")

    def contexts(kind, basis, purpose="huisbezoek"):
        return list(consulted(kind, purpose, basis, mandate=False))

    for kind, with_pending in ((plain, False), (compelling, True)):
        found = {one.objection for one in contexts(kind, "wettelijke_taak")}
        assert (pending in found) is with_pending
        assert OBJECTION.index("upheld") not in found
    assert {CONSENT[one.consent] for one in contexts(plain, "toestemming")} == {"grant", "grant!"}
    explicit = next(kind for kind in vocabulary.kinds if kind.explicit_consent)
    assert {CONSENT[one.consent] for one in contexts(explicit, "toestemming")} == {"grant!"}
    assert {one.has_case for one in contexts(plain, "wettelijke_taak")} == {True}
    assert not any(one.break_glass for one in contexts(plain, "wettelijke_taak"))
    declared = contexts(plain, "wettelijke_taak", "crisis")
    assert {one[3:6] for one in declared} == {
        (False, False, False), (True, False, False), (True, True, False), (True, False, True),
        (True, True, True),
    }  # fmt: skip
    danger = contexts(compelling, "vitaal_belang", "crisis")
    assert {(CONSENT[one.consent] == "deny", *one[3:6]) for one in danger} == {
        (no, True, True, incapable) for no in (False, True) for incapable in (False, True)
    } | {(False, True, False, True)}
    assert {one.has_case for one in danger} == {False, True}
    assert contexts(compelling, "vitaal_belang") == []


def test_each_context_has_a_cell_of_its_own():
    every = [
        Context(consent, objection, *flags)
        for consent in range(4)
        for objection in range(4)
        for flags in itertools.product((False, True), repeat=5)
    ]
    assert sorted(one.cell() for one in every) == list(range(512))
