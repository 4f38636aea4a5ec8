"""Sealed rows: known answers, and nothing opens anywhere but in its own place."""

import json
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from nacl.bindings import crypto_scalarmult_base

from index import rows as r
from index.keystore import Keystore, _write, init_keystore
from index.ristretto import decodes, is_point
from index.transaction import FlagRow
from tests.hub.world import point

NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture
def answers(shared: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((shared / "vectors" / "known-answers.json").read_text())
    return found


@pytest.fixture
def keystore(tmp_path: Path) -> Keystore:
    return init_keystore(tmp_path / "keys", rotation_public=crypto_scalarmult_base(b"\1" * 32), at=NOW)


@pytest.fixture
def rows(keystore: Keystore) -> r.Rows:
    session = r.EscrowSession(keystore.rotation_public, 1, NOW)
    return r.Rows(keystore, lambda: session, lambda: NOW)


def known_rows(answers: dict[str, Any], keystore: Keystore) -> r.Rows:
    known = answers["pseudonym"]
    for name in ("h_flag", "h_dir", "h_rel"):
        keystore._secrets[name] = bytes.fromhex(known[name])
    keystore._secrets["k_pub"] = bytes.fromhex(answers["row"]["K_pub"])
    return r.Rows(keystore, lambda: r.EscrowSession(keystore.rotation_public, 1, NOW), lambda: NOW)


def test_search_keys_and_log_id_are_the_known_answers(answers: dict[str, Any], keystore: Keystore) -> None:
    known = answers["pseudonym"]
    keys = known_rows(answers, keystore).keys_of(known["scope"], bytes.fromhex(known["N"]))
    assert [key.hex() for key in keys] == [
        known["idx"],
        known["idx_dir"],
        known["idx_rel"],
        answers["log"]["lid"],
    ]


def test_publisher_tag_is_the_known_answer(answers: dict[str, Any], keystore: Keystore) -> None:
    row = answers["row"]
    assert known_rows(answers, keystore).pub_tag(row["publisher"]).hex() == row["pub_tag"]


def test_escrow_is_the_known_answer_when_its_session_is(answers: dict[str, Any]) -> None:
    known, person = answers["row"]["escrow"], answers["pseudonym"]
    session = r.EscrowSession(
        bytes.fromhex(known["rotationPublic"]), known["sid"], NOW, esk=bytes.fromhex(known["esk"])
    )
    n, idx = bytes.fromhex(person["N"]), bytes.fromhex(person["idx"])
    assert session.epk.hex() == known["epk"]
    assert session.key.hex() == known["K_sid"]
    assert session.seal("geld", idx, n, bytes.fromhex(known["nonce"])).hex() == known["escrow"]
    assert session.open("geld", idx, bytes.fromhex(known["escrow"])) == n


def test_a_flags_row_is_the_known_answer(answers: dict[str, Any]) -> None:
    known, row = answers["row"]["flag"], answers["row"]
    flag = r.Flag(
        known["kind"], row["publisher"], r.month_number("2025-03"), r.OPEN_END, known["marks"],
        bytes.fromhex(answers["log"]["lid"]),
    )  # fmt: skip
    place = r.Place(
        "flag",
        bytes.fromhex(row["pub_tag"] + answers["retraction"]["revision 0"]["rtag"]),
        bytes.fromhex(answers["pseudonym"]["idx"]),
        "geld",
    )
    aad = r.row_aad(place, bytes.fromhex(row["escrow"]["escrow"]))
    assert aad.hex() == known["aad"]
    assert r.flag_plain(flag).hex() == known["plain"]
    sealed = r.seal_bytes(
        known["dek_id"], bytes.fromhex(known["DEK"]), r.flag_plain(flag), aad, bytes.fromhex(known["nonce"])
    )
    assert sealed.hex() == known["sealed"]


def test_retraction_tags_and_digest_terms_are_the_known_answers(answers: dict[str, Any]) -> None:
    known = answers["retraction"]
    for revision in ("revision 0", "revision 1"):
        secret, rtag = (bytes.fromhex(known[revision][name]) for name in ("s", "rtag"))
        assert r.rtag_of(secret) == rtag
    rtag = bytes.fromhex(known["revision 0"]["rtag"])
    assert f"{r.digest_term(rtag, 7):064x}" == known["digestTerm(seq=7, revision 0)"]


def a_flag(rows: r.Rows) -> FlagRow:
    rtag, n = secrets.token_bytes(32), point("Fatima", "geld")
    keys = rows.keys_of("geld", n)
    sealed = rows.seal_flag("geld", rtag, keys.idx, n, r.Flag(5, 7, 302, r.OPEN_END, 0, keys.lid))
    return FlagRow(rows.pub_tag(7), rtag, keys.idx, sealed.sealed, sealed.escrow, 1, 9999)


def test_a_row_has_the_sizes_of_its_columns(rows: r.Rows) -> None:
    row = a_flag(rows)
    assert (len(row.sealed), len(row.escrow)) == (108, 76)


def test_two_seals_of_one_flag_differ(rows: r.Rows) -> None:
    flag = r.Flag(5, 7, 302, r.OPEN_END, 0, bytes(16))
    made = [rows.seal_flag("geld", b"r" * 32, b"i" * 32, b"n" * 32, flag) for _ in range(2)]
    assert made[0].sealed != made[1].sealed
    assert made[0].escrow != made[1].escrow


@pytest.mark.parametrize("column", ["pub_tag", "rtag", "idx", "sealed", "escrow"])
def test_a_flag_does_not_open_when_one_bit_of_its_row_was_changed(rows: r.Rows, column: str) -> None:
    row = a_flag(rows)
    changed = bytearray(getattr(row, column))
    changed[-1] ^= 1
    assert rows.open_flag(row, "geld").kind == 5
    with pytest.raises(r.RowError):
        rows.open_flag(row._replace(**{column: bytes(changed)}), "geld")


def test_a_flag_does_not_open_in_another_scope_or_table(rows: r.Rows) -> None:
    row = a_flag(rows)
    with pytest.raises(r.RowError):
        rows.open_flag(row, "werk")
    place = r.Place("relation", row.pub_tag + row.rtag, row.idx, "geld")
    with pytest.raises(r.RowError):
        rows.open(place, row.escrow, row.sealed)


def test_a_flag_tells_its_scope_to_who_does_not_know_it(rows: r.Rows) -> None:
    assert rows.open_flag_anywhere(a_flag(rows))[0] == "geld"


def test_no_row_opens_after_its_data_key_is_destroyed(keystore: Keystore, rows: r.Rows) -> None:
    row = a_flag(rows)
    for name in [name for name in keystore._secrets if name.startswith("dek.rows.")]:
        del keystore._secrets[name]
    _write(keystore)
    keystore.keys_for(NOW)
    later = r.Rows(keystore, lambda: r.EscrowSession(keystore.rotation_public, 2, NOW), lambda: NOW)
    with pytest.raises(r.RowError):
        later.open_flag(row, "geld")
    assert later.open_flag(a_flag(later), "geld").kind == 5


def test_a_restarted_hub_cannot_open_an_earlier_escrow(keystore: Keystore, rows: r.Rows) -> None:
    row = a_flag(rows)
    again = r.EscrowSession(keystore.rotation_public, 1, NOW)
    with pytest.raises(r.RowError):
        again.open("geld", row.idx, row.escrow)


def test_an_escrow_session_ends_after_a_day() -> None:
    session = r.EscrowSession(crypto_scalarmult_base(b"\1" * 32), 1, NOW)
    assert not session.over(NOW + timedelta(hours=23, minutes=59))
    assert session.over(NOW + timedelta(hours=24))


def test_nothing_secret_stands_in_a_repr(keystore: Keystore, rows: r.Rows) -> None:
    session = r.EscrowSession(keystore.rotation_public, 1, NOW)
    shown = repr(keystore) + repr(rows) + repr(session)
    assert not any(secret.hex() in shown or repr(secret) in shown for secret in keystore._secrets.values())
    assert repr(session.key) not in shown


@pytest.mark.parametrize(
    "bad", [bytes(32), b"\xff" * 32, b"\1" + bytes(31), bytes(31), b""], ids=["identity", *"nosx"]
)
def test_what_is_no_canonical_element_gets_no_row(bad: bytes) -> None:
    assert not is_point(bad)


def test_both_checks_of_an_element_agree() -> None:
    tried = [secrets.token_bytes(31) + bytes([secrets.randbelow(128)]) for _ in range(200)]
    tried += [point(f"person {i}", "zorg") for i in range(20)]
    assert [is_point(n) for n in tried] == [decodes(n) for n in tried]
    assert all(is_point(n) for n in tried[200:])
