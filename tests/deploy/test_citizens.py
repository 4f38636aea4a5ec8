"""The demo's people are invented, unique and the same for the same seed."""

from collections import Counter

from deploy.demo import plan
from deploy.demo.citizens import generate
from deploy.redaction import mask_text, passes_elfproef

WORLD = generate()


def test_every_number_is_a_test_number_and_unique() -> None:
    numbers = [citizen.bsn for citizen in WORLD.citizens]
    assert len(numbers) == 1000 == len(set(numbers))
    assert all(bsn.startswith("9999") and passes_elfproef([int(digit) for digit in bsn]) for bsn in numbers)


def test_the_same_seed_gives_the_same_world_and_another_seed_another() -> None:
    assert generate() == WORLD
    assert {c.bsn for c in generate(seed=1).citizens} != {c.bsn for c in WORLD.citizens}


def test_there_are_households_with_children_and_people_without_any_flag() -> None:
    sizes = Counter(citizen.household for citizen in WORLD.citizens)
    assert max(sizes.values()) >= 4
    assert sum(citizen.age < 18 for citizen in WORLD.citizens) > 150
    known = {fact.bsn for fact in WORLD.facts}
    assert 150 < len(known) < 700


def test_every_fact_is_of_a_kind_its_node_publishes_and_its_reference_names_nobody() -> None:
    for fact in WORLD.facts:
        assert fact.kind in plan.node(fact.node).kinds
        assert mask_text(fact.local_ref) == fact.local_ref
        assert fact.since <= "2026-11"
    assert {fact.node for fact in WORLD.facts} == {node.id for node in plan.NODES if "source" in node.parts}
    assert len({(fact.node, fact.local_ref) for fact in WORLD.facts}) == len(WORLD.facts)


def test_every_choice_is_made_by_a_listed_citizen_about_a_known_team() -> None:
    teams = {team for organisation in plan.ORGANISATIONS for team in organisation.teams}
    for choice in WORLD.choices:
        assert WORLD.by_user(choice.user).name
        assert choice.team in teams


def test_no_two_processes_share_a_port() -> None:
    ports = plan.ports(9000)
    assert len(set(ports.values())) == len(ports) == 1 + 5 + 3 + 7
