"""What witnesses confirmed, as a node sees it: proofs of its own questions, the citizen's badge and file."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from nacl.signing import SigningKey

from index.metrics import HubMetrics
from index.protocol.addcheckpoint import request_bytes
from index.protocol.export import LINES, POLICY, verify_export
from index.protocol.merkle import Frontier, leaf_hash
from index.protocol.note import COSIGNATURE_V1, ED25519, Checkpoint, NoteKey, sign_checkpoint
from index.protocol.proof import parse_proof
from index.protocol.tlogpolicy import LogPolicy, Witness, parse_policy, policy_of
from index.witnesses import Witnesses
from nodes.bsn import Bsn
from nodes.employees import Employee
from nodes.errors import SettingsError
from nodes.runtime import NodeRuntime
from nodes.store.database import open_engine
from nodes.witness.witness import Witness as RunningWitness
from tests.federation_keys import HUB_ID

from .test_citizens import login, published
from .test_export import export, files_in, lived, rebuilt
from .world import BSN_A, NodeWorld

pytestmark = pytest.mark.anyio
NAMES = ("w1", "w2", "w3", "w4")


class ConfirmedWorld(NodeWorld):
    """Four witnesses beside the hub, quorum 3; `confirm` is one round of the hub's feed."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.seeds = {name: SigningKey.generate() for name in NAMES}
        self.away: set[str] = set()
        super().__init__(folder, log_policy=folder / "hub" / "log-policy.txt", **settings)

    def hub_changes(self) -> dict[str, Any]:
        public = bytes(self.keystore.log_signing.verify_key)
        self.vkey = NoteKey(f"{HUB_ID}/v1/log", ED25519, public).text()
        path = self.folder / "hub" / "log-policy.txt"
        # No addresses: the feed of this hub is run by hand.
        path.write_text(policy_of(self.vkey, self._entries(""), 3))
        return {"log_policy": path}

    def _entries(self, url: str) -> list[Witness]:
        return [
            Witness(
                name,
                NoteKey(f"{name}.test/witness", COSIGNATURE_V1, bytes(key.verify_key)),
                url.format(name),
            )
            for name, key in self.seeds.items()
        ]

    @property
    def policy(self) -> LogPolicy:
        return parse_policy(policy_of(self.vkey, self._entries("https://{}.test"), 3))

    def start_witnesses(self) -> None:
        self.witnesses = {
            name: RunningWitness(
                open_engine(self.folder / "witness" / name / "node.sqlite"),
                name=f"{name}.test/witness",
                seed=bytes(key),
                marker=self.folder / "witness" / f"{name}.used",
                log_vkeys=[self.vkey],
                now=self.clock,
            )
            for name, key in self.seeds.items()
        }
        hub = self.network.app.state.hub

        def answer(request: httpx.Request) -> httpx.Response:
            name = request.url.host.removesuffix(".test")
            if name in self.away:
                raise httpx.ConnectError("away", request=request)
            said = self.witnesses[name].add_checkpoint(request.content)
            return httpx.Response(said.status, text=said.body)

        self.feed = Witnesses(
            self.policy,
            engine=hub.engine,
            reader=hub.log_reader,
            access_log=hub.access_log,
            signing=self.keystore.log_signing,
            clock=self.clock,
            metrics=HubMetrics(),
            client=lambda: httpx.Client(transport=httpx.MockTransport(answer)),
        )

    async def confirm(self) -> None:
        await asyncio.to_thread(self.feed.once)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ConfirmedWorld]:
    async with ConfirmedWorld(tmp_path).running() as running:
        assert isinstance(running, ConfirmedWorld)
        running.start_witnesses()
        yield running
    running.keys.close()


async def looked(world: ConfirmedWorld) -> NodeRuntime:
    await published(world)
    desk = world.desk()
    jan = Employee("jan-pseudoniem", "generalist", "wijkteam-noord")
    visit = await desk.visits.open(jan, [Bsn.parse(BSN_A)], "huisbezoek", "Z-1")
    await desk.visits.look(jan, visit.id)
    return desk


async def confirmed_export(world: ConfirmedWorld) -> tuple[bytes, str]:
    """An export whose newest line witnesses confirmed while the portal waited, and the pinned policy."""
    portal, session = await lived(world)
    task = asyncio.create_task(export(world, portal, session))
    while not task.done():
        await world.confirm()
        await asyncio.sleep(0.05)
    policy = portal.confirmed.policy_text
    assert policy is not None
    return task.result(), policy


# --- the node's own questions -----------------------------------------------------------------


async def test_the_confirmed_proof_of_an_own_question_is_fetched_later_and_kept(
    world: ConfirmedWorld,
) -> None:
    desk = await looked(world)
    await desk.confirmed.round()
    assert set(desk.confirmed.counts()) == {"asked"}
    await world.confirm()
    await desk.confirmed.round()
    assert set(desk.confirmed.counts()) == {"confirmed"}
    year = world.clock().year
    kept = [text for index in range(60) if (text := desk.confirmed.proof_of(year, index))]
    assert len(kept) == desk.confirmed.counts()["confirmed"]
    assert all(len(world.policy.confirmed(parse_proof(text).note).times) == 4 for text in kept)


async def test_what_was_asked_survives_a_restart_and_a_hub_that_is_away(world: ConfirmedWorld) -> None:
    desk = await looked(world)
    await desk.confirmed.round()
    again = world.desk()
    await world.confirm()
    await again.confirmed.round()
    assert set(again.confirmed.counts()) == {"confirmed"}


async def test_an_answer_from_another_history_than_the_confirmed_one_is_found(world: ConfirmedWorld) -> None:
    """The hub proves a line to the node, and shows witnesses a history without it."""
    desk = await looked(world)
    await desk.confirmed.round()
    with (hub := world.network.app.state.hub).reading() as connection:
        size = hub.log_reader.head(connection).size
    other = Frontier()
    leaves = [b"\x01" + number.to_bytes(32, "big") for number in range(size)]
    for leaf in leaves:
        other.append(leaf_hash(leaf))
    year = world.clock().year
    fork = Checkpoint(f"{HUB_ID}/v1/log/{year}", size, other.root())
    note = sign_checkpoint(fork, world.keystore.log_signing)
    for witness in world.witnesses.values():
        said = witness.add_checkpoint(request_bytes(0, [], note))
        assert said.status == 200
        note += said.body

    def serves(path: str, raw: bytes) -> bytes:
        hashes = [leaf_hash(leaf) for leaf in leaves]
        if path.endswith("checkpoint"):
            return note.encode()
        if "/tile/0/" in path:
            return b"".join(hashes)
        return raw

    world.network.alter = serves
    await desk.confirmed.round()
    assert set(desk.confirmed.counts()) == {"missing"}


async def test_proofs_are_bounded_and_the_oldest_go(world: ConfirmedWorld) -> None:
    desk = await looked(world)
    await desk.confirmed.round()
    have = sum(desk.confirmed.counts().values())
    desk.confirmed._keep = have - 1
    jan = Employee("jan-pseudoniem", "generalist", "wijkteam-noord")
    visit = await desk.visits.open(jan, [Bsn.parse(BSN_A)], "huisbezoek", "Z-1")
    await desk.visits.look(jan, visit.id)
    await desk.confirmed.round()
    assert sum(desk.confirmed.counts().values()) == have - 1


async def test_a_policy_about_another_log_stops_the_start(world: ConfirmedWorld, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    key = NoteKey("hub.elsewhere.nl/v1/log", ED25519, bytes(SigningKey.generate().verify_key))
    other.write_text(policy_of(key.text(), world._entries(""), 3))
    with pytest.raises(SettingsError, match="another log"):
        world.desk(log_policy=other)
    with pytest.raises(SettingsError, match="missing"):
        world.desk(log_policy=tmp_path / "none.txt")


# --- the citizen -------------------------------------------------------------------------------


async def test_the_citizens_page_says_by_how_many_and_when(world: ConfirmedWorld) -> None:
    await looked(world)
    await world.confirm()
    portal, session = await login(world)
    view = await portal.citizens.looks(session)
    assert view.verified
    assert view.confirmed_by == 4
    assert view.confirmed_at is not None
    assert abs(view.confirmed_at - world.clock()) < timedelta(seconds=30)


async def test_without_a_quorum_the_page_claims_no_confirmation(world: ConfirmedWorld) -> None:
    world.away = {"w1", "w2"}
    await looked(world)
    await world.confirm()
    portal, session = await login(world)
    view = await portal.citizens.looks(session)
    assert (view.verified, view.confirmed_by) == (True, 0)


async def test_the_file_carries_confirmed_proofs_and_the_real_policy(world: ConfirmedWorld) -> None:
    raw, policy = await confirmed_export(world)
    assert files_in(raw)[POLICY].decode() == policy
    found = verify_export(raw, policy)
    assert found.problems == ()
    assert found.witnesses == 4
    assert found.confirmed is not None
    assert datetime.now(UTC) - found.confirmed < timedelta(days=1)


async def test_proofs_without_the_cosignatures_or_with_too_few_do_not_hold(world: ConfirmedWorld) -> None:
    raw, policy = await confirmed_export(world)
    files = files_in(raw)
    for keep in (0, 2, 3):
        changed = dict(files)
        for name, content in files.items():
            if name.startswith("proofs/"):
                head, _, tail = content.decode().rpartition("\n\n")
                lines = tail.splitlines(keepends=True)
                changed[name] = f"{head}\n\n{''.join(lines[: 1 + keep])}".encode()
        found = verify_export(rebuilt(changed), policy)
        assert found.holds == (keep == 3)
        if keep < 3:
            assert "is not confirmed by the witnesses of the policy" in found.problems[0]


async def test_a_thief_who_puts_another_policy_into_the_file_is_found_with_the_published_one(
    world: ConfirmedWorld,
) -> None:
    raw, policy = await confirmed_export(world)
    files = files_in(raw)
    rows = files[LINES].splitlines()
    assert msgspec.json.decode(rows[0])["year"] == world.clock().year
    forged = files | {POLICY: f"log {world.vkey}\nquorum none\n".encode()}
    proof = next(name for name in files if name.startswith("proofs/"))
    head, _, tail = files[proof].decode().rpartition("\n\n")
    forged[proof] = f"{head}\n\n{tail.splitlines(keepends=True)[0]}".encode()
    assert verify_export(rebuilt(forged)).holds
    assert not verify_export(rebuilt(forged), policy).holds
