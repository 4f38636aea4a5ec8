"""Recorded questions decided again under a candidate, at a hub: nobody in it, and nothing told unrecorded."""

import shlex
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deploy.cli import app
from index import decisions
from index.accesslog.reading import EntryFilter
from index.acts import Refused, Sitting, history, spoken
from index.decisions import dec_of, read_dec, reasoned
from index.office_hours import OfficersWork
from index.policies import approval
from index.protocol import entry as fmt
from index.protocol.codec import b64u
from index.recheck import decision_of
from index.replay import Replayed, replay_at
from policy.decide import Circumstances, KindState, Outcome, decide
from policy.replay import FEW, Moved
from policy.texts import Texts

from .office import Bureau, People, candidate, without
from .world import World

pytestmark = pytest.mark.anyio

CLOSED = candidate(forbids=without("generalist", "bijstand"))


@pytest.fixture
def people(tmp_path: Path) -> People:
    return People(tmp_path / "people")


@pytest.fixture
async def world(tmp_path: Path, people: People) -> AsyncIterator[World]:
    async with World(tmp_path, approvers=people.approvers()).running() as running:
        yield running


@pytest.fixture
def bureau(world: World, people: People) -> Bureau:
    return Bureau(world, people)


def replayed(bureau: Bureau, content: Texts = CLOSED, *, hours: int = 1) -> Replayed:
    now = bureau.world.clock()
    period = now - timedelta(hours=hours), now + timedelta(hours=hours)
    return replay_at(bureau.publishing, bureau.directory, bureau.who("anna"), content, period)


async def looks(world: World, times: int, *, chose: bool = True) -> None:
    if chose:
        session = await world.portaal.logs_in("Fatima")
        await world.portaal.chooses(session)
    visit = await world.wijkteam.opens("m-jan", ["Fatima"])
    for _ in range(times):
        await world.wijkteam.looks(visit)


async def test_a_view_that_a_candidate_closes_is_counted_whether_a_flag_exists_or_not(
    world: World, bureau: Bureau
) -> None:
    await looks(world, 12)

    found = replayed(bureau)

    assert found == Replayed(1, 10, FEW, (Moved("generalist", "bijstand", FEW, 10, FEW),))


async def test_who_chose_nothing_loses_nothing(world: World, bureau: Bureau) -> None:
    await looks(world, 12, chose=False)

    assert replayed(bureau).moved == ()


async def test_nine_are_not_told(world: World, bureau: Bureau) -> None:
    await looks(world, 9)

    assert replayed(bureau) == Replayed(1, FEW, FEW, ())


async def test_only_the_questions_of_the_period_are_decided_again(world: World, bureau: Bureau) -> None:
    await looks(world, 12)
    world.clock.shift(days=2)

    assert replayed(bureau).decided == FEW
    assert replayed(bureau, hours=72).decided == 10
    with pytest.raises(Refused, match="period"):
        replayed(bureau, hours=0)


async def test_that_it_was_asked_is_an_act_of_a_person_and_a_line_of_the_log(
    world: World, bureau: Bureau
) -> None:
    replayed(bureau)

    with bureau.office.engine.connect() as connection:
        held = history(connection, bureau.office.keystore)[-1].act
    assert (held.t, [one.name for one in held.by], held.detail["base"]) == ("policy-replay", ["anna"], 1)
    with world.hub.reading() as connection:
        (line, *_) = world.hub.log_reader.entries(connection, EntryFilter(t="policy")).entries
    assert line.asker.t == "policy"
    await looks(world, 1)  # hubs go on, under the same version
    assert world.hub.policy.number == 1


async def test_nothing_is_told_that_could_not_be_recorded(
    world: World, bureau: Bureau, monkeypatch: pytest.MonkeyPatch
) -> None:
    await looks(world, 12)

    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Sitting, "add", full)
    with pytest.raises(OSError, match="disk full"):
        replayed(bureau)


async def test_a_candidate_that_cannot_take_the_place_of_the_version_in_force_is_refused(
    bureau: Bureau,
) -> None:
    changed = candidate(("extern_zorg", "extern_hulp"))
    with pytest.raises(Refused, match="is given to another"):
        replayed(
            bureau,
            Texts(changed.vocabulary, changed.forbids.replace("extern_zorg", "extern_hulp"), changed.schema),
        )


async def test_questions_recorded_without_inputs_are_told_apart(
    world: World, bureau: Bureau, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As entries of an earlier program are."""
    original = decisions.decision_bytes
    monkeypatch.setattr(decisions, "decision_bytes", lambda hash_, rows, _: original(hash_, rows))
    await looks(world, 12)
    monkeypatch.undo()

    assert replayed(bureau).moved == (Moved("generalist", "bijstand", FEW, FEW, 10),)


# --- what is recorded --------------------------------------------------------------------


async def test_the_recorded_inputs_give_the_recorded_outcome_of_every_question(
    world: World, bureau: Bureau
) -> None:
    await world.inkomen.publishes("Fatima", "bijstand")
    await looks(world, 1, chose=False)
    await looks(world, 1)
    session = await world.portaal.logs_in("Fatima")
    await world.portaal.chooses(session, effect="deny", category=["werk"])
    for role, purpose in (("schuldhulpverlener", "schuldregeling"), ("inkomensconsulent", "huisbezoek")):
        visit = await world.wijkteam.opens("m-piet", ["Fatima"], role=role, purpose=purpose)
        await world.wijkteam.looks(visit)
        await world.wijkteam.closes(visit)
        await world.wijkteam.tries_to_look(visit)

    found = list(_recorded(world))

    assert len(found) == 6
    version = world.hub.policy
    for decision in found:
        for outcome in decision.outcomes:
            made = decision.inputs[outcome.kind]
            assert made is not None
            kind = version.vocabulary.kind_by_number(outcome.kind)
            (again,) = decide(version, decision.asker, [kind], {kind.number: made.state}, made.circumstances)
            assert (again.row, again.basis or "", again.rule) == (outcome.row, outcome.basis, outcome.rule)
    assert {made.state.consent for one in found for made in one.inputs.values() if made} == {
        "none", "grant", "deny",
    }  # fmt: skip
    assert {made.circumstances.has_case for one in found for made in one.inputs.values() if made} == {
        True, False,
    }  # fmt: skip


def _recorded(world: World) -> Any:
    hub = world.hub
    with hub.reading() as connection:
        head = hub.log_reader.head(connection)
        assert head is not None
        for _, entry in hub.log_reader.opened(connection, head.year, 0, head.size):
            words = {hub.policy.number: hub.policy.vocabulary}
            decision = decision_of(entry, words, hub.policies.registers, hub.directory)
            if decision is not None:
                yield decision


def test_every_state_and_circumstance_survives_its_bits_and_no_entry_grows() -> None:
    outcome = Outcome(7, True, 13, "toestemming", 2**32 - 1)
    states = [state for state in decisions._STATES if state is not None]
    assert len(states) == 48
    for held in decisions._CIRCUMSTANCES:
        for state in states:
            dec = dec_of(bytes(32), reasoned([(outcome, state)], held))
            read = read_dec(dec, [7])
            assert read is not None
            assert read.inputs == {7: (state, held)}
            assert (read.outcomes[0].row, read.outcomes[0].rule) == (13, 2**32 - 1)
            assert len(dec) == len(fmt.decision_bytes(bytes(32), [(0, 0, 0)]))


def test_a_state_that_could_not_be_read_is_recorded_as_none() -> None:
    outcome = Outcome(7, False, 13, None, 0)
    read = read_dec(dec_of(bytes(32), reasoned([(outcome, None)], Circumstances(True))), [7])
    assert read is not None
    assert read.inputs == {7: None}


def test_numbers_in_the_log_keep_their_meaning() -> None:
    """Changed numbers would give entries of before another meaning."""
    state = KindState("deny", explicit=True, objection="upheld")
    danger = Circumstances(has_case=False, break_glass=True, others_at_risk=True)
    dec = dec_of(bytes(32), reasoned([(Outcome(1, False, 12, None, 0), state)], danger))
    assert dec[32:].hex() == "cc8800000000"


# --- at the officer's page ---------------------------------------------------------------


async def test_an_officer_plays_past_looks_under_a_waiting_version_and_it_is_recorded(
    world: World, bureau: Bureau
) -> None:
    await looks(world, 12)
    number, _ = bureau.publishing.publish(bureau.who("anna"), CLOSED)
    office = OfficersWork(world.hub)

    found = await office.what_if(number)

    assert found is not None
    assert found.moved == (Moved("generalist", "bijstand", FEW, 10, FEW),)
    with world.hub.reading() as connection:
        (entry,) = world.hub.log_reader.entries(connection, EntryFilter(t="admin", limit=1)).entries
        newest = world.hub.log_reader.at(connection, entry.year, entry.index)
    assert newest is not None
    assert fmt.parse_chain(newest.opened.chain).cause == f"what-if-{number}"
    assert await office.what_if(99) is None


async def test_two_others_approve_at_the_page_with_signatures_made_elsewhere(
    world: World, bureau: Bureau, people: People
) -> None:
    number, _ = bureau.publishing.publish(bureau.who("anna"), CLOSED)
    office = OfficersWork(world.hub)
    change = await office.change(number)
    assert change is not None
    assert {(cell[0], cell[1]) for cell in change.closed} == {("generalist", "bijstand")}
    assert not change.opened
    act = approval(number, change.candidate.hash.hex(), change.digest)
    made = {name: b64u(key.sign(spoken(change.hub, act)).signature) for name, key in people.keys.items()}

    # Carla's is made by the very command that the page shows.
    words = shlex.split(change.command(str(people.files["carla"])).replace("\\\n", " "))
    said = CliRunner().invoke(app, words[1:])
    assert said.stdout.strip() == made["carla"], said.output

    assert await office.approve_version(number, "anna", made["anna"]) == "refused"
    assert await office.approve_version(number, "bram", made["carla"]) == "refused"
    assert await office.approve_version(number, "bram", b64u(bytes(64))) == "refused"
    assert await office.approve_version(number, "nobody", made["bram"]) == "refused"
    assert (await office.rules()).versions[0].approvers == ()
    assert await office.approve_version(number, "bram", made["bram"]) == "done"
    assert await office.approve_version(number, "bram", made["bram"]) == "refused"
    assert (await office.rules()).active != number
    assert await office.approve_version(number, "carla", made["carla"]) == "done"

    rules = await office.rules()
    assert rules.active == number
    assert rules.versions[0].approvers == ("bram", "carla")
    assert await office.change(number) is None


async def test_a_signature_is_for_the_differences_that_were_shown(
    world: World, bureau: Bureau, people: People
) -> None:
    number, _ = bureau.publishing.publish(bureau.who("anna"), CLOSED)
    office = OfficersWork(world.hub)
    change = await office.change(number)
    assert change is not None
    other = approval(number, change.candidate.hash.hex(), "00" * 32)
    signature = b64u(people.keys["bram"].sign(spoken(change.hub, other)).signature)
    assert await office.approve_version(number, "bram", signature) == "refused"
