"""Notes, checkpoints, cosignatures and proofs: the fixed example, each bit of it, and what parsers refuse."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from index.protocol.merkle import leaf_hash, verify_consistency
from index.protocol.note import (
    COSIGNATURE_V1,
    ED25519,
    Checkpoint,
    Note,
    NoteError,
    NoteKey,
    cosigned_at,
    cosigned_bytes,
    cosigners,
    has_quorum,
    key_id,
    parse_checkpoint,
    parse_note,
    parse_vkey,
    sign_checkpoint,
    signature_line,
    signed_by,
    verified_checkpoint,
    year_of,
)
from index.protocol.proof import ProofError, make_proof, parse_proof, verify_proof

KEY = SigningKey(b"\x07" * 32)
ORIGIN = "hub.example.nl/v1/log/2026"
LOG = NoteKey(ORIGIN, ED25519, bytes(KEY.verify_key))


@pytest.fixture(scope="module")
def cosigned(shared: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((shared / "vectors/log/cosigned.json").read_text())
    return found


def witnesses_of(cosigned: dict[str, Any]) -> list[NoteKey]:
    return [parse_vkey(text) for text in cosigned["witness_vkeys"]]


def leaf(index: int) -> bytes:
    return b"\x01" + bytes([index % 256]) * 32


def note_of(checkpoint: Checkpoint, *extra: str) -> str:
    return sign_checkpoint(checkpoint, KEY) + "".join(extra)


def cosignature(text: str, seed: int, time: int) -> tuple[NoteKey, str]:
    key = SigningKey(bytes([seed]) * 32)
    witness = NoteKey(f"w{seed}.example.nl/w", COSIGNATURE_V1, bytes(key.verify_key))
    blob = time.to_bytes(8, "big") + key.sign(cosigned_bytes(text, time)).signature
    return witness, signature_line(witness.name, witness.id, blob)


# --- the fixed example ---------------------------------------------------------------


def test_the_example_keys_are_those_of_its_seeds(cosigned: dict[str, Any]) -> None:
    log_key = SigningKey(bytes.fromhex(cosigned["log_seed_hex"]))
    parsed = parse_vkey(cosigned["log_vkey"])
    assert parsed.public == bytes(log_key.verify_key)
    assert parsed.text() == cosigned["log_vkey"]
    for seed, text in zip(cosigned["witness_seed_hex"], cosigned["witness_vkeys"], strict=True):
        assert parse_vkey(text).public == bytes(SigningKey(bytes.fromhex(seed)).verify_key)
        assert parse_vkey(text).type == COSIGNATURE_V1
        assert parse_vkey(text).text() == text


def test_the_example_checkpoint_holds_and_we_sign_the_same_bytes(cosigned: dict[str, Any]) -> None:
    checkpoint = verified_checkpoint(cosigned["checkpoint"], parse_vkey(cosigned["log_vkey"]))
    assert (checkpoint.size, base64.b64encode(checkpoint.root).decode()) == (300, cosigned["root_b64"])
    ours = sign_checkpoint(checkpoint, SigningKey(bytes.fromhex(cosigned["log_seed_hex"])))
    assert cosigned["checkpoint"].startswith(ours)


def test_the_example_proof_and_consistency_hold(cosigned: dict[str, Any]) -> None:
    proof = parse_proof(cosigned["proof_index7"])
    checkpoint = verify_proof(proof, leaf(7), parse_vkey(cosigned["log_vkey"]))
    assert proof.index == 7
    path = [base64.b64decode(item) for item in cosigned["consistency_70_300"]]
    assert verify_consistency(
        70, 300, path, base64.b64decode(cosigned["root_70_b64"]), base64.b64decode(cosigned["root_b64"])
    )
    assert checkpoint.size == 300
    assert make_proof(7, proof.hashes, cosigned["checkpoint"]) == cosigned["proof_index7"]


def test_the_example_proof_is_refused_for_another_leaf_or_log(cosigned: dict[str, Any]) -> None:
    proof = parse_proof(cosigned["proof_index7"])
    with pytest.raises(ProofError):
        verify_proof(proof, leaf(8), parse_vkey(cosigned["log_vkey"]))
    with pytest.raises(ProofError):
        verify_proof(proof, leaf(7), LOG)


def test_a_quorum_needs_as_many_witnesses_as_it_says(cosigned: dict[str, Any]) -> None:
    note, witnesses = parse_note(cosigned["checkpoint"]), witnesses_of(cosigned)
    assert len(cosigners(note, witnesses)) == 3
    assert has_quorum(note, witnesses, 2)
    assert has_quorum(note, witnesses, 3)
    assert not has_quorum(note, witnesses, 4)
    assert not has_quorum(note, witnesses, 0)


@pytest.mark.parametrize("removed", [0, 1, 2])
def test_without_one_witness_two_of_three_hold_and_three_do_not(
    cosigned: dict[str, Any], removed: int
) -> None:
    witnesses = witnesses_of(cosigned)
    whole = parse_note(cosigned["checkpoint"])
    rest = tuple(s for s in whole.signatures if s.name != witnesses[removed].name)
    assert len(rest) == 3
    note = Note(whole.text, rest)
    assert has_quorum(note, witnesses, 2)
    assert not has_quorum(note, witnesses, 3)


def test_one_witness_key_under_two_names_counts_once() -> None:
    text = Checkpoint(ORIGIN, 3, bytes(32)).text()
    key = SigningKey(b"\x09" * 32)
    names = [NoteKey(f"w{n}.example.nl/w", COSIGNATURE_V1, bytes(key.verify_key)) for n in (1, 2)]
    blob = (5).to_bytes(8, "big") + key.sign(cosigned_bytes(text, 5)).signature
    note = parse_note(text + "\n" + "".join(signature_line(k.name, k.id, blob) for k in names))
    assert len(cosigners(note, names)) == 1


def test_each_changed_bit_of_the_example_proof_is_found(cosigned: dict[str, Any]) -> None:
    raw = cosigned["proof_index7"].encode()
    log_key, witnesses = parse_vkey(cosigned["log_vkey"]), witnesses_of(cosigned)

    def holds(changed: bytes) -> bool:
        try:
            proof = parse_proof(changed.decode())
            verify_proof(proof, leaf(7), log_key)
        except (ProofError, UnicodeDecodeError):
            return False
        return proof.index == 7 and has_quorum(proof.note, witnesses, 3)

    assert holds(raw)
    survivors = [
        (at, bit)
        for at in range(len(raw))
        for bit in range(8)
        if holds(raw[:at] + bytes([raw[at] ^ 1 << bit]) + raw[at + 1 :])
    ]
    assert survivors == []


# --- keys ----------------------------------------------------------------------------


def test_a_vkey_survives_its_text() -> None:
    assert parse_vkey(LOG.text()) == LOG


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+00000000",
        LOG.text().replace(LOG.id.hex(), "00000000"),
        LOG.text().replace(LOG.id.hex(), LOG.id.hex().upper() + " "),
        LOG.text()[:-1],
        LOG.text() + "A",
        LOG.text() + "\n",
        "+" + LOG.text(),
        LOG.text().replace(ORIGIN, "other.example.nl/log"),
        LOG.text().replace(ORIGIN, "na me"),
        NoteKey(ORIGIN, 0x02, LOG.public).text(),
        NoteKey(ORIGIN, ED25519, LOG.public[:-1]).text(),
        NoteKey("", ED25519, LOG.public).text(),
        NoteKey("with space", ED25519, LOG.public).text(),
    ],
)
def test_a_vkey_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        parse_vkey(text)


def test_the_key_id_depends_on_name_type_and_key() -> None:
    ids = {
        key_id(ORIGIN, ED25519, LOG.public),
        key_id(ORIGIN + "7", ED25519, LOG.public),
        key_id(ORIGIN, COSIGNATURE_V1, LOG.public),
        key_id(ORIGIN, ED25519, bytes(32)),
    }
    assert len(ids) == 4


# --- notes and checkpoints -----------------------------------------------------------


GOOD = note_of(Checkpoint(ORIGIN, 3, bytes(32)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "text without signature\n",
        GOOD[:-1],
        GOOD + "\n",
        GOOD.replace("\n\n", "\n"),
        GOOD.replace("— ", "- "),
        GOOD.replace("— ", "—  "),
        GOOD + "— name AAAA\n",
        GOOD + "— name AAAAAAA=\n\x00",
        GOOD + "— name !!!!\n",
        GOOD + "— na+me AAAAAAA=\n",
        GOOD + "—  AAAAAAA=\n",
        GOOD.replace("\n3\n", "\n3\r\n"),
        GOOD + "— name AAAAAAA=\n" * 16,
        GOOD + "— name AAAAAAB=\n",
        "x" * 20_000 + GOOD,
    ],
)
def test_a_note_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        parse_note(text)


def test_a_note_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(NoteError):
        parse_note(b"\xff" + GOOD.encode())


@pytest.mark.parametrize(
    "text",
    [
        f"{ORIGIN}\n3\n",
        f"{ORIGIN}\n03\n{'A' * 43}=\n",
        f"{ORIGIN}\n+3\n{'A' * 43}=\n",
        f"{ORIGIN}\n-3\n{'A' * 43}=\n",
        f"{ORIGIN}\n\u0663\n{'A' * 43}=\n",
        f"{ORIGIN}\n3 \n{'A' * 43}=\n",
        f"{ORIGIN}\n3\n{'A' * 43}\n",
        f"{ORIGIN}\n3\n{'A' * 42}B=\n",
        f"{ORIGIN}\n3\nAAAA\n",
        f"{ORIGIN}\n3\n{'A' * 43}=\nextension\n",
        f"{ORIGIN}\n{2**53}\n{'A' * 43}=\n",
        f"\n3\n{'A' * 43}=\n",
        f"two words\n3\n{'A' * 43}=\n",
    ],
)
def test_a_checkpoint_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        parse_checkpoint(text)


def test_a_checkpoint_is_accepted_from_its_own_log_only() -> None:
    assert verified_checkpoint(GOOD, LOG).size == 3
    assert verified_checkpoint(GOOD.encode(), LOG).origin == ORIGIN
    for key in (
        NoteKey(ORIGIN.replace("2026", "2027"), ED25519, LOG.public),
        NoteKey(ORIGIN, ED25519, bytes(SigningKey(b"\x08" * 32).verify_key)),
        NoteKey(ORIGIN, COSIGNATURE_V1, LOG.public),
    ):
        with pytest.raises(NoteError):
            verified_checkpoint(GOOD, key)


def test_a_checkpoint_of_another_log_under_this_logs_signature_is_refused() -> None:
    text = Checkpoint("other.example.nl/v1/log/2026", 3, bytes(32)).text()
    line = signature_line(ORIGIN, LOG.id, KEY.sign(text.encode()).signature)
    note = parse_note(f"{text}\n{line}")
    assert signed_by(note, LOG)
    with pytest.raises(NoteError):
        verified_checkpoint(note, LOG)


def test_a_signature_given_twice_is_as_good_as_none() -> None:
    assert not signed_by(parse_note(GOOD + GOOD.split("\n\n")[1]), LOG)


def test_a_signature_of_a_wrong_length_does_not_hold() -> None:
    text = Checkpoint(ORIGIN, 3, bytes(32)).text()
    for blob in (KEY.sign(text.encode()).signature + b"\0", KEY.sign(text.encode()).signature[:-1], b"x"):
        assert not signed_by(parse_note(f"{text}\n{signature_line(ORIGIN, LOG.id, blob)}"), LOG)


def test_a_cosignature_holds_for_its_time_key_and_text_only() -> None:
    text = Checkpoint(ORIGIN, 3, bytes(32)).text()
    witness, line = cosignature(text, 9, 1_770_000_000)
    assert cosigned_at(parse_note(f"{text}\n{line}"), witness) == 1_770_000_000
    other = Checkpoint(ORIGIN, 4, bytes(32)).text()
    assert cosigned_at(parse_note(f"{other}\n{line}"), witness) is None
    as_log_key = NoteKey(witness.name, ED25519, witness.public)
    assert cosigned_at(parse_note(f"{text}\n{line}"), as_log_key) is None
    blob = base64.b64decode(line.split(" ")[2])[4:]
    later = (1_770_000_001).to_bytes(8, "big") + blob[8:]
    moved = signature_line(witness.name, witness.id, later)
    assert cosigned_at(parse_note(f"{text}\n{moved}"), witness) is None
    for wrong in (blob[:-1], blob + b"\0"):
        line_wrong = signature_line(witness.name, witness.id, wrong)
        assert cosigned_at(parse_note(f"{text}\n{line_wrong}"), witness) is None
    _, beyond = cosignature(text, 9, 2**53)
    assert cosigned_at(parse_note(f"{text}\n{beyond}"), witness) is None


def test_an_origin_names_its_year() -> None:
    assert year_of(ORIGIN) == ("hub.example.nl/v1/log", 2026)
    for origin in ("hub.example.nl/v1/log", "hub.example.nl/v1/log/1999", f"{ORIGIN}/", f"{ORIGIN}\n"):
        with pytest.raises(NoteError):
            year_of(origin)


# --- proofs --------------------------------------------------------------------------


PROOF = make_proof(0, [], note_of(Checkpoint(ORIGIN, 1, leaf_hash(leaf(0)))))


def test_a_proof_in_a_log_of_one_holds() -> None:
    assert verify_proof(parse_proof(PROOF), leaf(0), LOG).size == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        PROOF.replace("@v1", "@v2"),
        PROOF.replace("index 0", "index 00"),
        PROOF.replace("index 0", "index -0"),
        PROOF.replace("index 0", "index \u0660"),
        PROOF.replace("index 0", f"index {2**53}"),
        PROOF.replace("index 0", "extra AAAA\nindex 0"),
        PROOF.replace("index 0\n", "index 0\nAAAA\n"),
        PROOF.replace("index 0\n", f"index 0\n{'A' * 42}B=\n"),
        PROOF.replace("index 0\n", "index 0\nnot base64\n"),
        PROOF.replace("index 0\n", "index 0\n" + ("A" * 43 + "=\n") * 64),
        PROOF.replace("index 0\n\n", "index 0\n"),
        PROOF.replace("\nindex 0", ""),
        PROOF + "x" * 30_000,
        PROOF[:-3],
    ],
)
def test_a_proof_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ProofError):
        parse_proof(text)


def test_a_proof_with_a_hash_too_many_is_refused() -> None:
    longer = parse_proof(PROOF.replace("index 0\n", f"index 0\n{'A' * 43}=\n"))
    with pytest.raises(ProofError):
        verify_proof(longer, leaf(0), LOG)


@given(st.text(max_size=300))
def test_no_text_breaks_the_parsers(text: str) -> None:
    for parse in (parse_note, parse_proof, parse_vkey, parse_checkpoint):
        try:
            parse(text)
        except (NoteError, ProofError):
            continue
        assert parse in (parse_note, parse_checkpoint), "only a well-formed text is parsed"
