"""Who takes part: who proposes, who approves, what the key holders sign, and what closes at once."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nacl.signing import SigningKey

from index.acts import Held, Refused
from index.organisations import Changes, Roster, following, members
from index.protocol.directory import Directory, encode, parse_directory, sign
from index.protocol.enrolment import make_request
from index.registers import Registers
from index.upkeep import Upkeep

from .office import Bureau, People
from .world import GEMEENTE, SCHULDHULP, World

pytestmark = pytest.mark.anyio
NEW = "00000001112223334000"
THRESHOLD = 2


class Town(Bureau):
    """Changes at a world's hub, as the commands make them."""

    policy: Any = None

    @property
    def current(self) -> Directory:
        raw = self.world.settings.directory.read_bytes()
        return parse_directory(raw, self.world.settings.pins(), THRESHOLD)

    def change(self, do: Callable[[Roster, Registers], Held]) -> int:
        """One act; the number of the change it is about."""
        # Read before the sitting: the version in force is looked up in a transaction of its own.
        version = self.policy = self.policy or self.version()
        with self.office.sitting() as sitting:
            roster = Roster(self.world.settings, self.current, version, sitting)
            held = do(roster, Registers().after(sitting.history))
        return int(held.act.about or held.seq)

    def agreed(self, do: Callable[[Roster, Registers], Held]) -> int:
        """Proposed by Anna, approved by Bram."""
        number = self.change(do)
        return self.change(lambda roster, registers: roster.approve(self.who("bram"), number, registers))

    @property
    def changes(self) -> Changes:
        with self.office.sitting() as sitting:
            return Changes().after(sitting.history)

    def draft(self) -> Directory:
        return following(self.current, self.changes)

    def signed(self, document: Directory, *holders: str) -> list[bytes]:
        """A copy with one signature per holder, as each of them signs by itself."""
        return [encode(sign(document, {holder: self.world.holder_keys[holder]})) for holder in holders]

    def adopt(self, raws: list[bytes]) -> None:
        made: list[bytes] = []

        def do(roster: Roster, _: Registers) -> Held:
            held, raw = roster.adopt(self.who("anna"), raws, THRESHOLD)
            made.append(raw)
            return held

        self.change(do)
        self.world.settings.directory.write_bytes(made[0])

    def in_force(self) -> None:
        """All that was approved, signed by two holders and taken by the running hub."""
        self.adopt(self.signed(self.draft(), "kh-a", "kh-c"))
        assert Upkeep(self.world.hub).directory()


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    people = People(tmp_path / "people")
    async with World(tmp_path, approvers=people.approvers()).running() as world:
        yield Town(world, people)


def request(key: SigningKey, **changes: object) -> bytes:
    said = {"environment": "production", "node": "wmo", "oin": NEW, "url": "https://wmo.test",
            "classes": ["publish"], "scopes": ["zorg"], **changes}  # fmt: skip
    return make_request(key, **said)  # type: ignore[arg-type]


async def test_an_organisation_with_a_node_comes_in_by_two_people_and_two_key_holders(town: Town) -> None:
    key, anna = SigningKey.generate(), town.who("anna")
    town.agreed(lambda roster, _: roster.add_organisation(anna, NEW, "gemeente"))
    town.agreed(lambda roster, _: roster.add_team(anna, NEW, "loket"))
    town.agreed(lambda roster, _: roster.set_kind(anna, NEW, "wmo_voorziening", "Gemeente Nieuw", "14 099"))
    town.agreed(lambda roster, _: roster.let_in(anna, request(key)))
    assert town.world.hub.directory.organisation(NEW) is None

    one = town.signed(town.draft(), "kh-a")
    with pytest.raises(Refused, match="signatures of 2"):
        town.adopt(one)
    town.in_force()

    held = town.world.hub.directory
    found = held.organisation(NEW)
    node = held.node("wmo")
    assert held.version == 2
    assert found is not None
    assert node is not None
    assert (found.number, [team.id for team in found.teams], node.number) == (4, ["loket"], 8)
    assert {one.state for one in town.changes.known.values()} == {"adopted"}
    with town.office.sitting() as sitting:
        listed = members(held, Registers().after(sitting.history))
    assert next(one.kinds[0].display_name for one in listed if one.oin == NEW) == "Gemeente Nieuw"


async def test_nobody_approves_an_own_proposal_and_what_waits_is_in_no_draft(town: Town) -> None:
    anna = town.who("anna")
    number = town.change(lambda roster, _: roster.add_team(anna, GEMEENTE, "west"))
    with pytest.raises(Refused, match="another person"):
        town.change(lambda roster, registers: roster.approve(anna, number, registers))
    with pytest.raises(Refused, match="nothing to sign"):
        town.draft()
    town.change(lambda roster, _: roster.withdraw(town.who("carla"), number))
    with pytest.raises(Refused, match="waits"):
        town.change(lambda roster, registers: roster.approve(town.who("bram"), number, registers))


async def test_what_the_key_holders_signed_counts_only_as_it_was_approved(town: Town) -> None:
    town.agreed(lambda roster, _: roster.add_team(town.who("anna"), GEMEENTE, "west"))
    honest = town.draft()
    thief = msgspec.structs.replace(
        honest,
        nodes=[
            *honest.nodes[:-1],
            msgspec.structs.replace(
                honest.nodes[-1], url="https://x.test"
            ),
        ],
    )  # fmt: skip
    with pytest.raises(Refused, match="not what was approved"):
        town.adopt(town.signed(thief, "kh-a", "kh-b"))
    with pytest.raises(Refused, match="different directories"):
        town.adopt([*town.signed(honest, "kh-a"), *town.signed(thief, "kh-b")])
    town.in_force()


async def test_one_person_closes_a_team_at_once_and_it_stays_closed_when_signed(town: Town) -> None:
    world, carla = town.world, town.who("carla")
    await world.bron.publishes("Mina", "schuldhulp")
    visit = await world.wijkteam.opens("m-1", ["Mina"])
    assert (await world.wijkteam.tries_to_look(visit)).response.status_code == 200
    town.change(lambda roster, _: roster.remove_team(carla, GEMEENTE, "noord"))
    assert (await world.wijkteam.tries_to_look(visit)).response.status_code == 403
    town.in_force()
    assert world.hub.directory.team(GEMEENTE, "noord") is None
    assert (await world.wijkteam.tries_to_look(visit)).response.status_code == 403


async def test_one_person_shuts_a_node_out_at_once(town: Town) -> None:
    town.change(lambda roster, _: roster.remove_node(town.who("anna"), "bron"))
    sent = await town.world.bron.publishes("Mina", "schuldhulp")
    assert sent.response.status_code == 403
    assert (await town.world.inkomen.publishes("Mina", "ww")).response.status_code == 200


async def test_a_number_is_never_given_twice(town: Town) -> None:
    anna, first, second = town.who("anna"), SigningKey.generate(), SigningKey.generate()
    town.agreed(lambda roster, _: roster.let_in(anna, request(first, oin=GEMEENTE)))
    town.in_force()
    town.change(lambda roster, _: roster.remove_node(anna, "wmo"))
    town.in_force()
    town.agreed(lambda roster, _: roster.let_in(anna, request(second, oin=GEMEENTE, node="wmo-twee")))
    town.in_force()
    node = town.world.hub.directory.node("wmo-twee")
    assert node is not None
    assert node.number == 9


async def test_another_key_stands_beside_the_last_one(town: Town) -> None:
    anna, first, second = town.who("anna"), SigningKey.generate(), SigningKey.generate()
    for key in (first, second, SigningKey.generate()):
        made = request(key, oin=GEMEENTE)
        town.agreed(lambda roster, _, made=made: roster.let_in(anna, made))
        town.in_force()
    node = town.world.hub.directory.node("wmo")
    assert node is not None
    assert len(node.ed25519) == 2
    assert node.number == 8


@pytest.mark.parametrize("spoilt", ["environment", "signature", "other-organisation"])
async def test_a_request_that_is_not_right_is_refused(town: Town, spoilt: str) -> None:
    changes = {
        "environment": {"environment": "test"},
        "other-organisation": {"node": "bron", "oin": GEMEENTE},
    }
    raw = request(SigningKey.generate(), **{"oin": GEMEENTE, **changes.get(spoilt, {})})
    if spoilt == "signature":
        raw = raw.replace(b"https://wmo.test", b"https://dief.test")
    with pytest.raises(Refused):
        town.change(lambda roster, _: roster.let_in(town.who("anna"), raw))
    assert not town.changes.known


@pytest.mark.parametrize(
    "wrong",
    [
        lambda roster, who: roster.add_organisation(who, GEMEENTE, "gemeente"),
        lambda roster, who: roster.add_organisation(who, NEW, "casino"),
        lambda roster, who: roster.add_organisation(who, "123456782", "gemeente"),
        lambda roster, who: roster.add_team(who, GEMEENTE, "noord"),
        lambda roster, who: roster.add_team(who, GEMEENTE, "123456782"),
        lambda roster, who: roster.add_team(who, NEW, "noord"),
        lambda roster, who: roster.remove_team(who, GEMEENTE, "west"),
        lambda roster, who: roster.set_kind(who, GEMEENTE, "bitcoin", "X", ""),
        lambda roster, who: roster.set_kind(who, GEMEENTE, "ww", "  ", ""),
        lambda roster, who: roster.set_kind(who, GEMEENTE, "ww", "x" * 101, ""),
        lambda roster, who: roster.remove_kind(who, SCHULDHULP, "ww"),
        lambda roster, who: roster.remove_node(who, "niemand"),
        lambda roster, who: roster.leave(who, NEW),
    ],
)
async def test_what_does_not_fit_is_refused_and_nothing_is_kept(
    town: Town, wrong: Callable[[Roster, object], Held]
) -> None:
    with pytest.raises(Refused, match="Nothing was done"):
        town.change(lambda roster, _: wrong(roster, town.who("anna")))
    assert not town.changes.known


async def test_a_renaming_moves_the_flags_and_a_no_to_the_old_name_stays_one(town: Town) -> None:
    world, anna = town.world, town.who("anna")
    await world.inkomen.publishes("Mina", "bijstand")
    await world.bron.publishes("Mina", "schuldhulp")
    session = await world.portaal.logs_in("Mina")
    await world.portaal.chooses(session, "grant", receiver=())
    await world.portaal.chooses(session, "deny", category=("geld", "schuldhulp"), receiver=(GEMEENTE,))
    visit = await world.wijkteam.opens("m-1", ["Mina"])
    before = (await world.wijkteam.sees(visit))[0]
    assert "schuldhulp" not in before

    town.agreed(lambda roster, _: roster.add_organisation(anna, NEW, "gemeente"))
    town.in_force()
    teams = {"noord": "noord", "zuid": "zuid"}
    town.agreed(lambda roster, registers: roster.merge(anna, GEMEENTE, NEW, teams, registers))
    town.in_force()

    held = world.hub.directory
    own = held.node("inkomen")
    assert own is not None
    assert held.organisation_of(own).kind("bijstand") is not None
    for node in world.nodes.values():
        node.oin = NEW if node.oin == GEMEENTE else node.oin
    visit = await world.wijkteam.opens("m-1", ["Mina"])
    after = (await world.wijkteam.sees(visit))[0]
    assert after <= before
    assert "bijstand" in after


async def test_a_merger_into_an_organisation_with_more_is_refused(town: Town) -> None:
    anna = town.who("anna")
    town.agreed(lambda roster, _: roster.add_organisation(anna, NEW, "hulpverlening"))
    town.in_force()
    teams = {"noord": "noord", "zuid": "zuid"}
    with pytest.raises(Refused, match="class"):
        town.change(lambda roster, registers: roster.merge(anna, GEMEENTE, NEW, teams, registers))
    with pytest.raises(Refused, match="each team"):
        town.change(
            lambda roster, registers: roster.merge(anna, SCHULDHULP, NEW, {"noord": "noord"}, registers)
        )
    assert "merge" not in {one.op for one in town.changes.known.values()}
