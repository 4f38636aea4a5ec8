"""A proof holds for exactly these elements under exactly this key, or not at all."""

import pytest

from nodes.oprf import ristretto, voprf
from nodes.oprf.ristretto import BadElement, Secret
from nodes.oprf.voprf import BadProof


@pytest.fixture
def batch():
    key = Secret.random()
    public = ristretto.multiply_base(key)
    blinded = voprf.blind([b"a", b"b", b"c"], Secret.random(3))
    evaluated = voprf.evaluate(key, blinded)
    return public, blinded, evaluated, voprf.prove(key, public, blinded, evaluated)


def plus_order(scalar: bytes) -> bytes:
    return (int.from_bytes(scalar, "little") + ristretto.ORDER).to_bytes(32, "little")


def test_an_honest_proof_holds(batch):
    assert voprf.verify(*batch) is None


def test_non_canonical_scalars_are_refused(batch):
    public, blinded, evaluated, proof = batch
    for forged in (plus_order(proof[:32]) + proof[32:], proof[:32] + plus_order(proof[32:])):
        with pytest.raises(BadProof, match="scalar"):
            voprf.verify(public, blinded, evaluated, forged)


@pytest.mark.parametrize("length", [0, 32, 63, 65, 96, 128])
def test_a_proof_of_another_length_is_refused(batch, length):
    public, blinded, evaluated, proof = batch
    with pytest.raises(BadProof, match="shape"):
        voprf.verify(public, blinded, evaluated, (proof + proof)[:length])


def test_another_order_or_count_of_answers_is_refused(batch):
    public, blinded, evaluated, proof = batch
    for answers in (evaluated[::-1], evaluated[:-1], [*evaluated, evaluated[0]], []):
        with pytest.raises(BadProof):
            voprf.verify(public, blinded, answers, proof)


@pytest.mark.parametrize("bad", [bytes(32), b"\xff" * 32, (1).to_bytes(32, "little"), b"short"])
@pytest.mark.parametrize("place", ["public", "blinded", "evaluated"])
def test_identity_and_non_canonical_points_are_refused_on_every_input(batch, bad, place):
    public, blinded, evaluated, proof = batch
    given = {"public": public, "blinded": list(blinded), "evaluated": list(evaluated)}
    given[place] = bad if place == "public" else [bad, *given[place][1:]]
    with pytest.raises(BadProof):
        voprf.verify(given["public"], given["blinded"], given["evaluated"], proof)
    if place == "blinded":
        with pytest.raises(BadElement):
            voprf.evaluate(Secret.random(), given["blinded"])


def test_every_bit_of_a_proof_counts(batch):
    public, blinded, evaluated, proof = batch
    for bit in range(0, 512, 37):
        forged = bytearray(proof)
        forged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadProof):
            voprf.verify(public, blinded, evaluated, bytes(forged))


def test_a_proof_under_another_key_is_refused(batch):
    _, blinded, evaluated, proof = batch
    with pytest.raises(BadProof, match="challenge"):
        voprf.verify(ristretto.multiply_base(Secret.random()), blinded, evaluated, proof)


def test_one_wrong_evaluation_in_a_batch_is_refused_even_with_a_proof_made_for_it(batch):
    public, blinded, evaluated, _ = batch
    liar = Secret.random()
    mixed = [ristretto.multiply(liar, blinded[0]), *evaluated[1:]]
    proof = voprf.prove(liar, public, blinded, mixed)
    with pytest.raises(BadProof):
        voprf.verify(public, blinded, mixed, proof)


def test_proofs_of_the_same_batch_differ(batch):
    key = Secret.random()
    public = ristretto.multiply_base(key)
    _, blinded, _, _ = batch
    evaluated = voprf.evaluate(key, blinded)
    assert voprf.prove(key, public, blinded, evaluated) != voprf.prove(key, public, blinded, evaluated)


def test_each_element_has_a_blind_of_its_own():
    with Secret.random(8) as blinds:
        assert len(set(voprf.blind([b"same"] * 8, blinds))) == 8
    with pytest.raises(ValueError, match="one blind per input"):
        voprf.blind([b"a", b"b"], Secret.random(1))


def test_the_known_answer_at_start_fails_when_the_library_computes_wrongly(monkeypatch):
    right = ristretto.multiply
    monkeypatch.setattr(
        ristretto, "multiply", lambda scalar, element, place=0: right(scalar, right(scalar, element, place))
    )
    with pytest.raises(BadProof):
        voprf.check_known_answer()
