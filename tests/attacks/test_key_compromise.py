"""The drill after a theft: a node's key, with its tickets, is worth nothing once the directory names another;
and a witness that lost its store comes back under a new key that a new policy names."""

import asyncio
import secrets
import uuid
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from nacl.signing import SigningKey

from index.app import RULES
from index.protocol.mirror import MirrorReport, verify_mirror
from index.protocol.statement import T_OF_PATH, make_statement, sign_statement
from index.protocol.tlogpolicy import LogPolicy, Witness, parse_policy, policy_of
from tests.hub.world import HUB_ID, Node, Visit, World
from tests.log.world import LOG_VKEY
from tests.witness.copies import copy_of
from tests.witness.world import Ring


@pytest.fixture
def drill(tmp_path: Path) -> tuple[World, SigningKey, Visit]:
    """A visit was open when the desk's key was stolen; then the holders signed another directory."""
    world = World(tmp_path)
    with asyncio.Runner() as runner:
        running = world.running()
        runner.run(running.__aenter__())
        runner.run(world.inkomen.publishes("Fatima", "bijstand"))
        visit = runner.run(world.wijkteam.opens("m-17", ["Fatima"], role="inkomensconsulent"))
        runner.run(world.wijkteam.looks(visit))
        runner.run(running.__aexit__(None, None, None))
    stolen = world.wijkteam.key
    world.wijkteam.key = SigningKey.generate()
    world.settings = world._write({})
    return world, stolen, visit


def thief_of(node: Node, key: SigningKey) -> Node:
    return Node(node.world, node.id, node.oin, key)


def size(world: World) -> int:
    with world.hub.reading() as connection:
        head = world.hub.log_reader.head(connection)
    return head.size if head else 0


async def tries_everything(thief: Node, visit: Visit) -> dict[str, int]:
    """Status of every signed call of the hub under the stolen key, with the stolen tickets in its body."""
    found: dict[str, int] = {}
    for rule in RULES:
        body = msgspec.json.encode({"tickets": visit.tickets, "detail": "subjects"})
        for t in {T_OF_PATH[rule.path], "lookup"}:
            statement = make_statement(
                t=t, hub=f"{HUB_ID}/v1/log", org=thief.oin, node=thief.id, msg=str(uuid.uuid4()),
                jti=secrets.token_bytes(16), nts=int(thief.world.clock().timestamp()), body=body,
                **visit.statement(),
            )  # fmt: skip
            sent = await thief.deliver(rule.path, body, sign_statement(statement, thief.key))
            found[f"{rule.path} as {t}"] = sent.response.status_code
    return found


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_stolen_node_key_is_refused_everywhere_once_the_directory_names_another(
    drill: tuple[World, SigningKey, Visit], anyio_backend: str
) -> None:
    world, stolen, visit = drill
    async with world.running():
        before, failed = size(world), world.hub.failed_authentications.total()
        found = await tries_everything(thief_of(world.wijkteam, stolen), visit)
        assert len(found) >= 20
        assert set(found.values()) == {401}, {path for path, status in found.items() if status != 401}
        assert size(world) == before, "a request that is not proven leaves no entry"
        assert world.hub.failed_authentications.total() == failed + len(found)

        assert await world.wijkteam.sees(visit) == [{"bijstand"}], "the visit goes on under the new key"
        assert size(world) == before + 1


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_drill_catches_a_hub_that_keeps_the_old_directory(
    drill: tuple[World, SigningKey, Visit], anyio_backend: str
) -> None:
    world, stolen, visit = drill
    world.wijkteam.key, fresh = stolen, world.wijkteam.key
    world.settings = world._write({})
    async with world.running():
        found = await tries_everything(thief_of(world.wijkteam, stolen), visit)
        assert set(found.values()) != {401}
        refused = await thief_of(world.wijkteam, fresh).tries_to_look(visit)
        assert refused.response.status_code == 401


# --- a witness ------------------------------------------------------------------------------------


def with_new_key(ring: Ring, name: str) -> tuple[LogPolicy, str]:
    """The policy that names another key for one witness, and the one before."""
    before = ring.policy.text
    ring.seeds[name] = secrets.token_bytes(32)
    entries = [Witness(one, ring.witness_key(one), f"https://{one}.test/v1/witness") for one in ring.seeds]
    return parse_policy(policy_of(LOG_VKEY, entries, 3)), before


def problems(ring: Ring, policy: str, files: dict[str, bytes]) -> list[str]:
    found = verify_mirror(files.get, {}, policy)
    report: Any = found if isinstance(found, MirrorReport) else found.report
    return list(report.problems)


def test_a_witness_that_lost_its_store_comes_back_under_a_new_key_and_its_old_word_counts_no_more(
    tmp_path: Path,
) -> None:
    ring = Ring(tmp_path)
    ring.grows(3)
    ring.feed().once()
    older = copy_of(ring).files
    ring.lose_store("w1")
    old_key = ring.witness_key("w1")
    new, before = with_new_key(ring, "w1")
    ring.policy = ring.reader.policy = new
    ring.crash("w2")
    ring.instead = {"w2": lambda _: httpx.Response(500)}

    ring.grows(3)
    ring.feed().once()
    files = copy_of(ring).files

    assert problems(ring, new.text, files) == [], "w1 under its new key, w3 and w4 are a quorum"
    assert problems(ring, before, older) == [], "what was confirmed before stays confirmed under that policy"
    unconfirmed = ["the checkpoint is not confirmed by the witnesses of the policy"]
    assert problems(ring, before, files) == unconfirmed, "two of the old keys are none"
    assert old_key.id.hex() not in new.text
