"""One malicious key holder together with the hub: below the threshold, and yet...

The holder answers one question with its share s_2 and the next about the same
person with another secret e. Unchecked, the hub receives N and N', and

    N - N' = λ_2 · (s_2 - e) · H(x)

so both together know H(x), and find the BSN by trying all numbers: no key is
needed for that. The proofs close this: see the last test for what happens
without them.

Source: docs/design/pseudonyms.md, "Why proofs and version pinning are privacy
requirements".
"""

import asyncio

import pytest

from nodes.bsn import BadBsn, Bsn
from nodes.errors import HolderLied
from nodes.oprf import ristretto, threshold, voprf
from nodes.oprf.ristretto import Secret
from nodes.pseudonymise import person_input
from tests.federation_keys import KeyFederation
from tests.keyholder.liars import Liar

VICTIM = "999990019"
CURIOUS, HONEST, ABSENT = "kh-b", "kh-a", "kh-c"


@pytest.fixture
def world(tmp_path):
    keys = KeyFederation(tmp_path, scopes=["geld"])
    yield keys
    keys.close()


class CuriousHub:
    """All that a hub receives: the N of each question."""

    def __init__(self):
        self.received: list[bytes] = []

    def receive(self, evaluated):
        self.received += [n.for_sealed_points() for person in evaluated.pseudonyms for n in person]


def ask_twice(keys, hub, secret):
    """The victim is looked up twice; before the second time the holder turns bad."""
    client = keys.pseudonymiser()

    def look():
        hub.receive(asyncio.run(client.pseudonymise([(Bsn.parse(VICTIM), ["geld"])], "lookup")))

    keys.down(ABSENT)
    look()
    liar = Liar(keys, CURIOUS, secret=secret)
    try:
        look()
    finally:
        liar.keys.down()
    return client


def candidates():
    """A thousand numbers around the victim's; all 90.9 million take 18 minutes on one core."""
    for number in range(999_985_000, 999_996_000):
        try:
            yield Bsn.parse(f"{number:09d}")
        except BadBsn:
            continue


def crack(keys, first: bytes, second: bytes, secret: Secret) -> list[str]:
    """What hub and holder compute together, with the holder's own share and e and no other key."""
    share = keys.dealing.shares[2]["geld.e1"]
    weight = threshold.lagrange([1, 2])[2]
    order = ristretto.ORDER
    s, e, weight_ = (
        int.from_bytes(raw, "little") for raw in (share.for_key_file(), secret.for_key_file(), weight)
    )
    factor = pow(weight_ * (s - e), -1, order)
    hashed = ristretto.multiply(ristretto.public_scalar(factor), ristretto.subtract(first, second))
    return [bsn.reveal() for bsn in candidates() if voprf.hash_to_group(person_input("geld", bsn)) == hashed]


def test_one_malicious_holder_and_the_hub_learn_nothing_for_the_client_checks(world):
    hub, secret = CuriousHub(), Secret.random()
    with pytest.raises(HolderLied, match=CURIOUS):
        ask_twice(world, hub, secret)
    assert len(hub.received) == 1, "nothing that was not verified may reach the hub"


def test_with_a_third_holder_the_question_is_answered_and_the_hub_sees_one_value_only(world):
    hub, secret = CuriousHub(), Secret.random()
    client = world.pseudonymiser()
    liar = Liar(world, CURIOUS, secret=secret)
    while len(liar.seen) < 3:
        client._later.clear()
        hub.receive(asyncio.run(client.pseudonymise([(Bsn.parse(VICTIM), ["geld"])], "lookup")))
    assert len(set(hub.received)) == 1


def test_two_answers_of_one_holder_to_one_question_differ_in_nothing_it_can_choose(world):
    """The blinds are fresh, so what the holder saw the first time says nothing about the second."""
    liar = Liar(world, CURIOUS)
    client = world.pseudonymiser()
    world.down(ABSENT)
    for _ in range(2):
        asyncio.run(client.pseudonymise([(Bsn.parse(VICTIM), ["geld"])], "lookup"))
    seen = [element for request in liar.seen for group in request.groups for element in group.blinded]
    assert len(seen) == len(set(seen))


def test_the_attack_succeeds_when_the_proofs_are_not_checked(world, monkeypatch):
    """The defence taken out: this is what the proofs are for."""
    monkeypatch.setattr("nodes.pseudonymise.voprf.verify", lambda *_: None)
    hub, secret = CuriousHub(), Secret.random()
    ask_twice(world, hub, secret)
    first, second = hub.received
    assert first != second
    assert crack(world, first, second, secret) == [VICTIM]


def test_holders_of_two_versions_would_give_the_same_attack_and_are_never_combined(world):
    """Shares from before and after a refresh leak the same way; each call knows one version."""
    client = world.pseudonymiser()
    asyncio.run(client.start())
    Liar(world, CURIOUS, spoil=lambda answer, _: type(answer)(CURIOUS, 2, answer.groups, answer.receipt))
    world.down(ABSENT)
    with pytest.raises(HolderLied, match=CURIOUS):
        asyncio.run(client.pseudonymise([(Bsn.parse(VICTIM), ["geld"])], "lookup"))
    assert HONEST in world.doors
