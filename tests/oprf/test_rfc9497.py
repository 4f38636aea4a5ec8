"""The RFC's own vectors, and the Rust implementation as a second opinion."""

import json

import pytest
import voprf as rust

from index.protocol.codec import unb64u
from nodes.oprf import dealer, ristretto, threshold, voprf
from nodes.oprf.ristretto import Secret


def derive_key_pair(seed: bytes, info: bytes, mode: int = 1) -> Secret:
    """RFC 9497 DeriveKeyPair: for vectors and the oracle only, the product never derives a key."""
    context = b"OPRFV1-" + bytes([mode]) + b"-ristretto255-SHA512"
    message = seed + len(info).to_bytes(2, "big") + info
    return Secret.from_bytes(ristretto.hash_to_scalar(message + b"\x00", b"DeriveKeyPair" + context))


@pytest.fixture(scope="module")
def suites(shared):
    vectors = json.loads((shared / "vectors/rfc9497-ristretto255.json").read_text())
    assert len(vectors) == 2, "the vector file must hold mode 0 and mode 1"
    return {suite["mode"]: suite for suite in vectors}


def parts(text: str) -> list[bytes]:
    return [bytes.fromhex(part) for part in text.split(",")]


def secret(scalars: list[bytes]) -> Secret:
    together = Secret(len(scalars))
    together._buffer.raw = b"".join(scalars)
    return together


def test_the_mode_byte_of_verifiable_mode_is_in_the_domain_tag(suites):
    assert bytes.fromhex(suites[1]["groupDST"]) == voprf._GROUP_DST
    assert b"OPRFV1-\x01-" in voprf._GROUP_DST


def test_key_derivation_matches_the_rfc(suites):
    for mode, suite in suites.items():
        key = derive_key_pair(bytes.fromhex(suite["seed"]), bytes.fromhex(suite["keyInfo"]), mode)
        assert key.for_key_file().hex() == suite["skSm"]
    assert ristretto.multiply_base(key).hex() == suites[1]["pkSm"]


def test_blind_evaluate_prove_verify_and_finalize_match_the_rfc(suites):
    suite = suites[1]
    key, public = Secret.from_bytes(bytes.fromhex(suite["skSm"])), bytes.fromhex(suite["pkSm"])
    batches = 0
    for vector in suite["vectors"]:
        inputs, blinds = parts(vector["Input"]), secret(parts(vector["Blind"]))
        blinded = voprf.blind(inputs, blinds)
        assert blinded == parts(vector["BlindedElement"])
        evaluated = voprf.evaluate(key, blinded)
        assert evaluated == parts(vector["EvaluationElement"])
        nonce = Secret.from_bytes(bytes.fromhex(vector["Proof"]["r"]))
        proof = voprf.prove_with(nonce, key, public, blinded, evaluated)
        assert proof.hex() == vector["Proof"]["proof"]
        voprf.verify(public, blinded, evaluated, proof)
        inverses = ristretto.secret_inverses(blinds)
        outputs = [
            voprf.finalize(x, ristretto.multiply(inverses, z, place))
            for place, (x, z) in enumerate(zip(inputs, evaluated, strict=True))
        ]
        assert outputs == parts(vector["Output"])
        batches += len(inputs) > 1
    assert batches >= 1


def test_mode_zero_vectors_do_not_come_out_under_our_mode(suites):
    vector = suites[0]["vectors"][0]
    assert voprf.blind(parts(vector["Input"]), secret(parts(vector["Blind"]))) != parts(
        vector["BlindedElement"]
    )


def test_our_client_accepts_the_rust_server():
    server = rust.ristretto.Evaluator.from_seed(b"\xa3" * 32, b"interop")
    inputs = [b"one", b"two", b"three"]
    with Secret.random(3) as blinds:
        blinded = voprf.blind(inputs, blinds)
        answer = server.evaluate_batch(
            [rust.ristretto.BlindedInput.deserialize(element) for element in blinded]
        ).serialize()
        evaluated, proof = rust_batch(bytes(answer))
        voprf.verify(bytes(server.public_key.serialize()), blinded, evaluated, proof)
        inverses = ristretto.secret_inverses(blinds)
        outputs = [
            voprf.finalize(x, ristretto.multiply(inverses, z, i))
            for i, (x, z) in enumerate(zip(inputs, evaluated, strict=True))
        ]
    assert outputs == [bytes(server.evaluate_known_input(x)) for x in inputs]


def rust_batch(raw: bytes) -> tuple[list[bytes], bytes]:
    """The oracle's own form of a batch: the proof, then the evaluated elements."""
    elements = raw[64:]
    return [elements[i : i + 32] for i in range(0, len(elements), 32)], raw[:64]


def test_the_rust_client_accepts_our_server():
    key = derive_key_pair(b"\xa3" * 32, b"interop")
    public = ristretto.multiply_base(key)
    client, blinded = rust.ristretto.Client.blind(b"one")
    element = bytes(blinded.serialize())
    evaluated = voprf.evaluate(key, [element])
    proof = voprf.prove(key, public, [element], evaluated)
    answer = rust.ristretto.VerifiableOutput.deserialize(proof + evaluated[0])
    output = client.finalize(answer, rust.ristretto.PublicKey.deserialize(public))
    oracle = rust.ristretto.Evaluator.from_seed(b"\xa3" * 32, b"interop")
    assert bytes(output) == bytes(oracle.evaluate_known_input(b"one"))
    assert bytes(oracle.public_key.serialize()) == public


def test_the_rust_client_accepts_a_whole_batch_of_ours():
    key = Secret.random()
    public = ristretto.multiply_base(key)
    pairs = [rust.ristretto.Client.blind(bytes([n])) for n in range(1, 6)]
    blinded = [bytes(element.serialize()) for _, element in pairs]
    evaluated = voprf.evaluate(key, blinded)
    proof = voprf.prove(key, public, blinded, evaluated)
    answer = rust.ristretto.VerifiableBatchOutput.deserialize(proof + b"".join(evaluated))
    outputs = rust.ristretto.Client.finalize_batch(
        [client for client, _ in pairs], answer, rust.ristretto.PublicKey.deserialize(public)
    )
    expected = [
        voprf.finalize(bytes([n]), ristretto.multiply(key, voprf.hash_to_group(bytes([n]))))
        for n in range(1, 6)
    ]
    assert [bytes(output) for output in outputs] == expected


@pytest.mark.parametrize(("t", "n"), [(1, 1), (2, 2), (2, 3)])
def test_the_rust_client_accepts_each_shares_proof_against_its_computed_key(t, n):
    dealing = dealer.deal(["geld"], t=t, n=n)
    commits = [unb64u(commit) for commit in dealing.keys[0].commits]
    for index, held in dealing.shares.items():
        public = threshold.public_key(commits, index)
        client, element = rust.ristretto.Client.blind(b"one")
        blinded = [bytes(element.serialize())]
        evaluated = voprf.evaluate(held["geld.e1"], blinded)
        proof = voprf.prove(held["geld.e1"], public, blinded, evaluated)
        answer = rust.ristretto.VerifiableOutput.deserialize(proof + evaluated[0])
        assert client.finalize(answer, rust.ristretto.PublicKey.deserialize(public))
