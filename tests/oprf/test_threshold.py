"""Any t holders give the result of the unshared key; anything else gives an error."""

import itertools
import json

import pytest

from index.protocol.codec import unb64u
from nodes.bsn import Bsn
from nodes.oprf import dealer, ristretto, threshold, voprf
from nodes.oprf.ristretto import BadElement, Secret
from nodes.oprf.threshold import BadIndex
from nodes.pseudonymise import KeysWrong, check_known_answers, person_input

SIZES = [(1, 1), (2, 2), (2, 3), (3, 5), (4, 7)]


@pytest.fixture
def answers(shared):
    return json.loads((shared / "vectors/known-answers.json").read_text())["pseudonym"]


def combined(shares: dict[int, Secret], inputs: list[bytes]) -> list[bytes]:
    with Secret.random(len(inputs)) as blinds:
        blinded = voprf.blind(inputs, blinds)
        return threshold.combine({i: voprf.evaluate(s, blinded) for i, s in shares.items()}, blinds)


def test_each_pair_of_holders_gives_the_known_pseudonym(answers):
    x = person_input(answers["scope"], Bsn.parse(answers["bsn9"]))
    assert x.hex() == answers["x"]
    assert voprf.hash_to_group(x).hex() == answers["H(x)"]
    shares = {int(i): Secret.from_bytes(bytes.fromhex(s)) for i, s in answers["shares"].items()}
    pairs = list(itertools.combinations(shares, 2))
    assert len(pairs) == 3
    for pair in pairs:
        (n,) = combined({i: shares[i] for i in pair}, [x])
        assert n.hex() == answers["N"]
        assert voprf.finalize(x, n).hex() == answers["finalize"]


@pytest.mark.parametrize(("t", "n"), SIZES)
def test_every_set_of_t_holders_gives_the_result_of_the_unshared_key(t, n):
    dealing = dealer.deal(["geld"], t=t, n=n)
    key = dealing.keys[0]
    canary = [unb64u(key.canary.x)]
    for chosen in itertools.combinations(range(1, n + 1), t):
        shares = {i: dealing.shares[i]["geld.e1"] for i in chosen}
        assert combined(shares, canary) == [unb64u(key.canary.n)]


def test_fewer_than_t_holders_give_something_else():
    dealing = dealer.deal(["geld"], t=2, n=3)
    key = dealing.keys[0]
    for i in (1, 2, 3):
        found = combined({i: dealing.shares[i]["geld.e1"]}, [unb64u(key.canary.x)])
        assert found != [unb64u(key.canary.n)]


def test_the_weights_belong_to_the_set_that_is_used():
    assert threshold.lagrange([1, 2]) != threshold.lagrange([1, 3])
    assert threshold.lagrange([1, 2])[1] != threshold.lagrange([1, 3])[1]
    assert threshold.lagrange([3, 1]) == threshold.lagrange([1, 3])
    total = sum(int.from_bytes(weight, "little") for weight in threshold.lagrange([2, 3, 5]).values())
    assert total % ristretto.ORDER == 1


@pytest.mark.parametrize("indices", [[], [0], [0, 1], [1, 1], [2, 1, 2], [-1, 2]])
def test_index_zero_and_duplicate_holders_are_refused(indices):
    with pytest.raises(BadIndex):
        threshold.lagrange(indices)


def test_a_public_key_of_index_zero_is_refused():
    with pytest.raises(BadIndex):
        threshold.public_key([ristretto.multiply_base(Secret.random())], 0)
    with pytest.raises(BadIndex):
        dealer.share_of([Secret.random()], 0)


@pytest.mark.parametrize("bad", [bytes(32), b"\xff" * 32])
def test_bad_commitments_are_refused(bad):
    good = ristretto.multiply_base(Secret.random())
    for commits in ([bad, good], [good, bad]):
        with pytest.raises(BadElement):
            threshold.public_key(commits, 1)


def test_another_count_of_answers_is_refused():
    with Secret.random(2) as blinds, pytest.raises(ValueError, match="one answer per blind"):
        threshold.combine({1: [b""], 2: [b"", b""]}, blinds)


def test_one_scope_cannot_compute_another():
    """One key for all recipients, separated by the client's own text, was a weakness of peers."""
    dealing = dealer.deal(["geld", "zorg"])
    bsn = Bsn.parse("999990019")
    x = person_input("geld", bsn)
    under = {
        kid: combined({i: dealing.shares[i][kid] for i in (1, 2)}, [x]) for kid in ("geld.e1", "zorg.e1")
    }
    assert under["geld.e1"] != under["zorg.e1"]
    assert person_input("zorg", bsn) != x


def test_one_citizen_has_one_encoding():
    """Three encodings of one person were a weakness of peers."""
    assert person_input("geld", Bsn.parse("999990019")) == b"vlagwijzer/x/v1\x00\x04geld\x00\x09999990019"


def test_the_start_stops_when_the_input_is_built_otherwise(monkeypatch):
    check_known_answers()
    monkeypatch.setattr("nodes.pseudonymise.person_input", lambda scope, bsn: b"another form")
    with pytest.raises(KeysWrong):
        check_known_answers()


def test_a_dealing_shows_no_share():
    dealing = dealer.deal(["geld"])
    raw = dealing.shares[1]["geld.e1"].for_key_file()
    assert raw.hex() not in repr(dealing)
    assert repr(raw) not in repr(dealing)
    dealing.erase()
    assert dealing.shares[1]["geld.e1"]._buffer.raw == bytes(32)
