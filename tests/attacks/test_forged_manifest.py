"""Attack: whoever serves the manifest names key holders and keys of its own.

A hub that can do that knows the key k behind every N, computes k^-1 · N = H(x)
and finds the number by trying all of them. Defence: only what every pinned
holder signed is a manifest; the pins come out of band and never from the hub.
"""

import asyncio
from pathlib import Path

import httpx
import msgspec
import pytest
from nacl.signing import SigningKey

from index.protocol import directory
from index.protocol.codec import b64u
from index.protocol.directory import (
    Adopted,
    HolderEntry,
    Manifest,
    NotTrusted,
    encode,
    parse_manifest,
    sign,
)
from nodes.bsn import Bsn, passes_elfproef
from nodes.errors import SettingsError
from nodes.oprf import ristretto, threshold, voprf
from nodes.oprf.dealer import deal
from nodes.oprf.ristretto import Secret
from nodes.pseudonymise import Pseudonymiser, person_input
from tests.federation_keys import KeyFederation
from tests.keyholder.liars import Liar
from tests.node.world import NodeWorld

VICTIM = "999990019"
replace = msgspec.structs.replace


def forged(keys: KeyFederation, **changes: object) -> Manifest:
    """A manifest of the hub's own making: the same names, keys that it dealt itself."""
    own = {holder: SigningKey.generate() for holder in keys.holder_ids}
    dealt = deal([key.scope for key in keys.manifest.keys], t=2, n=3)
    fields = {"version": 9, "keys": dealt.keys, **changes}
    return sign(replace(keys.manifest, **fields), own)


def with_own_holders(keys: KeyFederation) -> Manifest:
    """The same, with the signing keys in it changed to those that signed."""
    own = {holder: SigningKey.generate() for holder in keys.holder_ids}
    listed = [
        HolderEntry(holder.id, holder.index, holder.url, b64u(bytes(own[holder.id].verify_key)))
        for holder in keys.manifest.holders
    ]
    return sign(replace(keys.manifest, version=9, holders=listed), own)


@pytest.fixture
def world(tmp_path: Path):
    made = NodeWorld(tmp_path)
    yield made
    made.keys.close()


@pytest.mark.parametrize("make", [forged, with_own_holders])
def test_a_node_does_not_start_with_a_forged_manifest(world: NodeWorld, make) -> None:
    (world.folder / "hub" / "manifest.json").write_bytes(encode(make(world.keys)))
    world.network = None  # type: ignore[assignment]  # it is never reached
    with pytest.raises(SettingsError, match="manifest"):
        world.desk()


@pytest.mark.parametrize("make", [forged, with_own_holders])
def test_a_running_node_keeps_what_it_has_when_a_mirror_serves_a_forged_one(world: NodeWorld, make) -> None:
    async def run() -> int:
        async with world.running():
            desk = world.desk()
            (world.folder / "hub" / "manifest.json").write_bytes(encode(make(world.keys)))
            await desk.trust.refresh(httpx.AsyncClient())
            return desk.trust.manifest.current.version

    assert asyncio.run(run()) == 1


def test_signatures_of_two_of_three_holders_are_not_enough(world: NodeWorld) -> None:
    grown = sign(replace(world.keys.manifest, version=2), world.keys.holder_keys)
    for missing in world.keys.holder_ids:
        sigs = {name: sig for name, sig in grown.sigs.items() if name != missing}
        with pytest.raises(NotTrusted):
            parse_manifest(encode(replace(grown, sigs=sigs)), world.keys.pins)


def test_the_hub_has_no_door_for_another_manifest(world: NodeWorld) -> None:
    async def run() -> set[int]:
        async with world.running():
            transport = httpx.ASGITransport(world.network.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://hub.test") as client:
                tried = [
                    await client.request(method, f"/v1/{what}", content=encode(forged(world.keys)))
                    for what in ("manifest", "directory")
                    for method in ("POST", "PUT", "PATCH", "DELETE")
                ]
                assert (await client.get("/v1/manifest")).content == encode(world.keys.manifest)
                return {answer.status_code for answer in tried}

    assert asyncio.run(run()) == {405}


def test_without_the_signatures_the_hub_finds_the_number(
    world: NodeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The defence taken out: a node that believes the mirror evaluates under the hub's own key."""
    keys, own = world.keys, deal(["geld"], t=2, n=3)
    fake = replace(keys.manifest, version=9, keys=own.keys)
    monkeypatch.setattr(directory, "_valid_signers", lambda manifest, _: set(manifest.sigs))
    believed = parse_manifest(encode(fake), keys.pins)
    for index, holder in enumerate(keys.holder_ids, 1):
        Liar(keys, holder, secret=own.shares[index]["geld.e1"])
    client = Pseudonymiser(
        node="wijkteam",
        signing_key=keys.node_keys["wijkteam-noord"],
        manifest=Adopted(believed, keys.clock()),
        pinned=keys.pins,
        client=keys.client,
        scopes=["geld"],
    )

    given = asyncio.run(client.pseudonymise([(Bsn.parse(VICTIM), ["geld"])], "lookup"))

    received = given.pseudonyms[0][0].for_sealed_points()
    key = _whole({index: own.shares[index]["geld.e1"] for index in (1, 2)})
    undone = ristretto.multiply(ristretto.public_scalar(pow(key, -1, ristretto.ORDER)), received)
    numbers = [f"{number:09d}" for number in range(999_990_000, 999_990_100)]
    found = [
        number
        for number in numbers
        if passes_elfproef(number) and voprf.hash_to_group(person_input("geld", Bsn.parse(number))) == undone
    ]
    assert found == [VICTIM]


def _whole(shares: dict[int, Secret]) -> int:
    """The key behind two shares: what a dealer, and nobody else, knows."""
    weights = threshold.lagrange(list(shares))
    parts = (
        int.from_bytes(weights[at], "little") * int.from_bytes(share.for_key_file(), "little")
        for at, share in shares.items()
    )
    return sum(parts) % ristretto.ORDER
