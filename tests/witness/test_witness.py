"""A witness: the answers of C2SP tlog-witness, one step of check and persist, no way back."""

import sqlite3
import tempfile
import threading
from pathlib import Path

import pytest
from nacl.signing import SigningKey
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from index.protocol.addcheckpoint import SIZE_MEDIA, cosignature_in, request_bytes
from index.protocol.merkle import Frontier, leaf_hash
from index.protocol.note import Checkpoint, sign_checkpoint
from nodes.errors import SettingsError
from nodes.store.database import open_engine, reading
from nodes.store.tables import witness_refusal
from nodes.witness.witness import Answer, Witness
from tests.log.world import LOG_VKEY, PREFIX

from .world import ORIGIN, Ring


def fork(ring: Ring, size: int, mark: int = 9) -> str:
    """A checkpoint of another history, signed by the log itself."""
    other = Frontier()
    for number in range(size):
        other.append(leaf_hash(b"\x01" + bytes([mark, number % 251]) * 16))
    return sign_checkpoint(Checkpoint(ORIGIN, size, other.root()), ring.keys.log_signing)


def test_a_right_request_is_cosigned_and_the_cosignature_holds(ring: Ring) -> None:
    head = ring.grows(5)
    answer = ring.witness("w1").add_checkpoint(ring.submission(0))
    assert answer.status == 200
    found = cosignature_in(answer.body.encode(), head.note, ring.witness_key("w1"))
    assert found is not None
    assert found[0] == int(ring.now.timestamp())
    assert ring.witness("w1").sizes() == {ORIGIN: head.size}


def test_the_same_checkpoint_again_gets_a_newer_time(ring: Ring) -> None:
    head = ring.grows(5)
    witness = ring.witness("w1")
    witness.add_checkpoint(ring.submission(0))
    ring.later(seconds=60)
    answer = witness.add_checkpoint(ring.submission(head.size))
    found = cosignature_in(answer.body.encode(), head.note, ring.witness_key("w1"))
    assert found is not None
    assert found[0] == int(ring.now.timestamp())


def test_growth_needs_a_proof_from_what_was_cosigned(ring: Ring) -> None:
    first = ring.grows(5)
    witness = ring.witness("w1")
    witness.add_checkpoint(ring.submission(0))
    head = ring.grows(9)
    assert witness.add_checkpoint(ring.submission(first.size)).status == 200
    assert witness.sizes() == {ORIGIN: head.size}


def test_another_old_size_is_answered_with_the_own_one(ring: Ring) -> None:
    first = ring.grows(5)
    witness = ring.witness("w1")
    witness.add_checkpoint(ring.submission(0))
    ring.grows(3)
    for old in (0, first.size - 1, first.size + 1):
        answer = witness.add_checkpoint(ring.submission(old))
        assert (answer.status, answer.body, answer.media) == (409, f"{first.size}\n", SIZE_MEDIA)


def test_unknown_logs_wrong_signatures_and_shrinking_requests_have_their_own_answers(ring: Ring) -> None:
    head = ring.grows(5)
    witness = ring.witness("w1")
    other = SigningKey(b"\x07" * 32)
    elsewhere = sign_checkpoint(Checkpoint("hub.elsewhere.nl/v1/log/2026", 1, head.root), other)
    forged = sign_checkpoint(Checkpoint(ORIGIN, head.size, head.root), other)
    assert witness.add_checkpoint(request_bytes(0, [], elsewhere)).status == 404
    assert witness.add_checkpoint(request_bytes(0, [], forged)).status == 403
    assert witness.add_checkpoint(request_bytes(head.size + 1, [], head.note)).status == 400
    assert witness.sizes() == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw[4:],
        lambda raw: raw.replace(b"old 0", b"old 00"),
        lambda raw: raw.replace(b"old 0", b"old -1"),
        lambda raw: raw.replace(b"\n\n", b"\nnot base64!\n\n", 1),
        lambda raw: raw.replace(b"\n\n", b"\n" + b"AAAA\n" * 64 + b"\n", 1),
        lambda raw: raw.replace(b"\n\n", b"\nextra\n\n"),
        lambda raw: raw + b"x",
        lambda raw: raw + b"\xff",
        lambda raw: raw.replace("— ".encode(), b"- "),
        lambda raw: b"",
        lambda raw: raw * 4,
        lambda raw: raw + b"a" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused_and_changes_nothing(ring: Ring, change) -> None:  # type: ignore[no-untyped-def]
    ring.grows(5)
    witness = ring.witness("w1")
    assert witness.add_checkpoint(change(ring.submission(0))).status in (400, 403)
    assert witness.sizes() == {}


def test_another_history_is_refused_and_both_notes_are_kept_as_evidence(ring: Ring) -> None:
    head = ring.grows(5)
    witness = ring.witness("w1")
    witness.add_checkpoint(ring.submission(0))
    for note, proof in ((fork(ring, head.size), []), (fork(ring, head.size + 3), [b"\x00" * 32] * 3)):
        assert witness.add_checkpoint(request_bytes(head.size, proof, note)).status == 422
        assert witness.add_checkpoint(request_bytes(head.size, proof, note)).status == 422
    assert witness.sizes() == {ORIGIN: head.size}
    assert witness.refused() == 2
    with reading(ring._open["w1"][1]) as connection:
        for row in connection.execute(select(witness_refusal)):
            assert row.ours == head.note
            assert row.note != head.note


def test_a_proof_too_long_or_too_short_is_refused(ring: Ring) -> None:
    ring.grows(5)
    witness = ring.witness("w1")
    witness.add_checkpoint(ring.submission(0))
    ring.grows(9)
    right = ring.submission(6).split(b"\n\n")[0].split(b"\n")
    note = ring.head().note
    for lines in (right[:-1], [*right, right[-1]], right[:1]):
        raw = b"\n".join(lines) + b"\n\n" + note.encode()
        assert witness.add_checkpoint(raw).status == 422


def test_the_log_of_another_year_is_cosigned_under_the_same_key(ring: Ring) -> None:
    ring.grows(2)
    witness = ring.witness("w1")
    witness.add_checkpoint(ring.submission(0))
    note = sign_checkpoint(Checkpoint(f"{PREFIX}/2027", 1, b"\x01" * 32), ring.keys.log_signing)
    assert witness.add_checkpoint(request_bytes(0, [], note)).status == 200
    assert set(witness.sizes()) == {ORIGIN, f"{PREFIX}/2027"}


def test_the_store_refuses_to_go_back_whoever_asks(ring: Ring) -> None:
    ring.grows(5)
    ring.witness("w1").add_checkpoint(ring.submission(0))
    engine = ring._open["w1"][1]
    for statement in (
        "UPDATE witness_head SET size = size - 1",
        "UPDATE witness_head SET root = zeroblob(32)",
        "UPDATE witness_head SET origin = 'x'",
        "DELETE FROM witness_head",
    ):
        with pytest.raises(DBAPIError, match="never goes back"), engine.begin() as connection:
            connection.execute(text(statement))


def test_of_two_histories_sent_at_once_one_is_cosigned(ring: Ring) -> None:
    ring.grows(5)
    witness = ring.witness("w1")
    witness.add_checkpoint(ring.submission(0))
    head = ring.grows(4)
    rivals = [ring.submission(6), *(request_bytes(6, [], fork(ring, head.size, n)) for n in range(7))]
    rivals += [ring.submission(6)] * 4
    answers: list[Answer] = []
    threads = [
        threading.Thread(target=lambda raw=raw: answers.append(witness.add_checkpoint(raw))) for raw in rivals
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted({answer.status for answer in answers}) in ([200, 409, 422], [200, 409])
    assert sum(answer.status == 200 for answer in answers) == 1
    assert witness.sizes() == {ORIGIN: head.size}


# --- persisted before it is answered ------------------------------------------------------


class Forgetful(Witness):
    """The planted bug: answers from what it would store, and stores it when the next request comes."""

    _owed: bytes | None = None

    def add_checkpoint(self, raw: bytes) -> Answer:
        if self._owed is not None:
            super().add_checkpoint(self._owed)
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "node.sqlite"
            with sqlite3.connect(str(self._engine.url.database)) as connection:
                connection.execute(f"VACUUM INTO '{copy}'")
            would = Witness(
                open_engine(copy),
                name=self.key.name,
                seed=bytes(self._signing),
                marker=Path(folder) / "used",
                log_vkeys=[LOG_VKEY],
                now=self._now,
            ).add_checkpoint(raw)
        self._owed = raw if would.status == 200 else None
        return would


def two_histories(ring: Ring) -> int:
    """Cosigned, killed right after the answer, started again, and asked for another history: how many 200."""
    head = ring.grows(5)
    said = [ring.witness("w1").add_checkpoint(ring.submission(0)).status]
    ring.crash("w1")
    said.append(ring.witness("w1").add_checkpoint(request_bytes(0, [], fork(ring, head.size))).status)
    return said.count(200)


def test_a_witness_killed_after_its_answer_never_cosigns_another_history(ring: Ring) -> None:
    assert two_histories(ring) == 1


def test_the_same_harness_catches_a_witness_that_persists_after_answering(tmp_path: Path) -> None:
    ring = Ring(tmp_path)
    ring.make = Forgetful
    assert two_histories(ring) == 2


# --- a store that was lost or put back ----------------------------------------------------


def test_a_witness_does_not_start_with_an_empty_store_under_a_used_key(ring: Ring) -> None:
    ring.grows(5)
    ring.witness("w1").add_checkpoint(ring.submission(0))
    ring.lose_store("w1")
    with pytest.raises(SettingsError, match="behind what this key has signed"):
        ring.witness("w1")


def test_a_witness_does_not_start_with_an_older_store(ring: Ring) -> None:
    ring.grows(5)
    ring.witness("w1").add_checkpoint(ring.submission(0))
    ring.crash("w1")
    older = (ring.home("w1") / "node.sqlite").read_bytes()
    ring.grows(5)
    ring.witness("w1").add_checkpoint(ring.submission(6))
    ring.lose_store("w1")
    (ring.home("w1") / "node.sqlite").write_bytes(older)
    with pytest.raises(SettingsError, match="behind what this key has signed"):
        ring.witness("w1")


def test_a_new_key_in_the_place_of_a_lost_one_may_start(ring: Ring) -> None:
    ring.grows(5)
    ring.witness("w1").add_checkpoint(ring.submission(0))
    ring.lose_store("w1")
    ring.seeds["w1"] = b"\x42" * 32
    assert ring.witness("w1").add_checkpoint(ring.submission(0)).status == 200
