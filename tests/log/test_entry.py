"""Entries, statements and points against known answers, and the forms that are refused."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.public import PrivateKey
from nacl.signing import SigningKey

from index.protocol import entry as fmt
from index.protocol.codec import b64u, jcs, unb64u
from index.protocol.entry import EntryDraft, EntryError, EntryTooLarge, Opened
from index.protocol.merkle import leaf_hash
from index.protocol.points import PointsError, open_points, plain_points, seal_points
from index.protocol.statement import (
    SIGNATURE_HEADER,
    STATEMENT_HEADER,
    T_OF_PATH,
    Statement,
    StatementError,
    canonical,
    digest_of,
    is_fresh,
    make_statement,
    parse_statement,
    sign_statement,
    verify_signature,
)
from policy.vocabulary import load_vocabulary

NODE_KEY = SigningKey(b"\x99" * 32)
MESSAGE = "01900000-0000-7000-8000-000000000001"


@pytest.fixture(scope="module")
def known(shared: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((shared / "vectors/known-answers.json").read_text())
    return found


def statement(**changes: Any) -> Statement:
    fields: dict[str, Any] = {
        "t": "lookup",
        "hub": "hub.example.nl/v1/log",
        "org": "00000001234567890000",
        "node": "wijkteam-noord",
        "msg": MESSAGE,
        "jti": b"\x0d" * 16,
        "nts": 1_790_000_000,
        "body": b'{"question":1}',
        "actor": "m-17",
        "role": "generalist",
        "team": "noord",
        "purpose": "huisbezoek",
        "case": b64u(b"\x0c" * 16),
    }
    return make_statement(**{**fields, **changes})


# --- known answers -------------------------------------------------------------------


def test_leaf_and_its_parts_are_the_known_ones(known: dict[str, Any]) -> None:
    v = known["leaf"]
    salt, salt_a, salt_b = (bytes.fromhex(v[name]) for name in ("salt", "saltA", "saltB"))
    asker, chain = v["asker(utf-8)"].encode(), v["chain(utf-8)"].encode()
    assert fmt.part_a(salt_a, asker).hex() == v["partA"]
    assert fmt.part_b(salt_b, chain).hex() == v["partB"]
    leaf = fmt.leaf_of(salt, salt_a, salt_b, asker, chain)
    assert leaf.hex() == v["leaf"]
    assert leaf_hash(leaf).hex() == v["leafHash"]
    assert fmt.leaf_from_parts(salt, bytes.fromhex(v["partA"]), bytes.fromhex(v["partB"])) == leaf


def test_log_id_handle_key_and_pointer_are_the_known_ones(known: dict[str, Any]) -> None:
    v, p = known["log"], known["pseudonym"]
    lid = fmt.log_id(p["scope"], bytes.fromhex(p["N"]))
    secret = bytes.fromhex(v["K_log_year"])
    handle = fmt.handle(v["year"], lid)
    assert lid.hex() == v["lid"]
    assert handle.hex() == v["handle"]
    assert fmt.handle(v["year"], lid, later=True).hex() == v["handleLater"]
    assert fmt.handle_key(secret, handle).hex() == v["handleKey"]
    masked = fmt.pointer(secret, handle, v["pointer"]["n"], v["pointer"]["index"])
    assert masked.hex() == v["pointer"]["pointer"]
    assert fmt.index_behind(secret, handle, v["pointer"]["n"], masked) == v["pointer"]["index"]


def test_statement_and_signature_are_the_known_ones(known: dict[str, Any]) -> None:
    v = known["wire"]
    key = SigningKey(bytes.fromhex(v["nodeSeed"]))
    assert bytes(key.verify_key).hex() == v["nodePublic"]
    made = statement(body=v["request"]["body(utf-8)"].encode())
    assert canonical(made).decode() == v["request"]["statement(utf-8)"]
    assert unb64u(sign_statement(made, key)[SIGNATURE_HEADER]).hex() == v["request"]["nodeSig"]


def test_points_before_sealing_are_the_known_ones(known: dict[str, Any]) -> None:
    v = known["wire"]["points"]
    point = bytes.fromhex(known["pseudonym"]["N"])
    assert plain_points("wijkteam-noord", v["messageId"], [point]).hex() == v["plain"]


# --- statements ----------------------------------------------------------------------


def test_a_statement_survives_its_headers_and_bears_its_signature() -> None:
    made = statement()
    signed = parse_statement(sign_statement(made, NODE_KEY))
    assert signed.statement == made
    assert verify_signature(signed, [bytes(32), bytes(NODE_KEY.verify_key)])
    assert not verify_signature(signed, [bytes(SigningKey(b"\x01" * 32).verify_key)])
    assert not verify_signature(signed, [])
    assert not verify_signature(signed, [b"short"])


def test_headers_are_found_in_lower_case_too() -> None:
    headers = {name.lower(): value for name, value in sign_statement(statement(), NODE_KEY).items()}
    assert parse_statement(headers).statement == statement()


def test_the_encoding_is_the_canonical_form_of_rfc_8785() -> None:
    made = statement()
    assert canonical(made) == jcs(made)
    draft = EntryDraft(
        t="lookup", ts=1, req=MESSAGE, statement=made, signature=bytes(64), lids=(bytes(16),), pv=3
    )
    raw = fmt.asker_part(draft, [bytes(16)])
    assert raw == jcs(json.loads(raw))
    chain = fmt.chain_part([(1, -1), (2, 7)], b"\x01" * 38, **{"from": 3, "to": 9, "cause": 'a "term"\n— é'})
    assert chain == jcs(json.loads(chain))


@pytest.mark.parametrize(
    "changes",
    [
        {"actor": "123456782"},
        {"team": "123456782"},
        {"node": "123456782"},
        {"node": ""},
        {"org": "123"},
        {"org": "0000000123456789000a"},
        {"role": "Generalist"},
        {"purpose": "x" * 41},
        {"team": "t" * 49},
        {"actor": "a b"},
        {"actor": "m-17\n"},
        {"hub": "hub.example.nl"},
        {"hub": "hub.example.nl/v1/log/2026"},
        {"msg": "1"},
        {"case": "short"},
        {"t": "look"},
        {"nts": -1},
        {"jti": b"short"},
    ],
)
def test_a_statement_with_a_field_of_another_form_is_refused_without_echo(changes: dict[str, Any]) -> None:
    with pytest.raises(StatementError) as caught:
        statement(**changes)
    for value in changes.values():
        assert not value or len(str(value)) < 3 or str(value) not in str(caught.value)


def forged(raw: bytes) -> dict[str, str]:
    signature = NODE_KEY.sign(b"vlagwijzer/request/v1\n" + raw).signature
    return {STATEMENT_HEADER: b64u(raw), SIGNATURE_HEADER: b64u(signature)}


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw.replace(b'","body', b'", "body'),
        lambda raw: raw.replace(b'"v":1', b'"v":1.0'),
        lambda raw: raw.replace(b'"v":1', b'"v":2'),
        lambda raw: raw.replace(b'"v":1', b'"v":1,"x":1'),
        lambda raw: raw.replace(b'"v":1', b'"v":1,"v":1'),
        lambda raw: raw.replace(b"m-17", b"m\\u002d17"),
        lambda raw: raw.replace(b'"team":"noord",', b""),
        lambda raw: raw[:-1],
        lambda raw: b"\xff" + raw,
        lambda raw: b"[" * 3000,
        lambda raw: b"{}",
        lambda raw: raw.replace(b"DQ0NDQ0NDQ0NDQ0NDQ0NDQ", b"DQ0NDQ0NDQ0NDQ0NDQ0NDR"),
    ],
)
def test_bytes_that_are_not_their_own_canonical_form_are_refused(change: Any) -> None:
    raw = change(canonical(statement()))
    with pytest.raises(StatementError):
        parse_statement(forged(raw))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {STATEMENT_HEADER: b64u(canonical(statement()))},
        {SIGNATURE_HEADER: b64u(bytes(64))},
        {STATEMENT_HEADER: "***", SIGNATURE_HEADER: b64u(bytes(64))},
        {STATEMENT_HEADER: b64u(canonical(statement())), SIGNATURE_HEADER: b64u(bytes(63))},
        {STATEMENT_HEADER: "A" * 10_000, SIGNATURE_HEADER: b64u(bytes(64))},
    ],
)
def test_headers_that_are_missing_or_malformed_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(StatementError):
        parse_statement(headers)


@pytest.mark.parametrize(
    ("seconds", "fresh"), [(0, True), (60, True), (-60, True), (61, False), (-61, False)]
)
def test_a_statement_is_fresh_for_a_minute_each_way(seconds: int, fresh: bool) -> None:
    now = datetime.fromtimestamp(1_790_000_000, UTC) + timedelta(seconds=seconds)
    assert is_fresh(statement(), now) is fresh


def test_every_signed_path_has_one_activity() -> None:
    assert T_OF_PATH["/v1/lookups"] == "lookup"
    assert T_OF_PATH["/v1/reconciliations"] == T_OF_PATH["/v1/confirmations"] == "confirm"
    assert all(path.startswith("/v1/") for path in T_OF_PATH)


def test_the_digest_is_that_of_the_body_as_sent() -> None:
    assert statement(body=b"{}").body == digest_of(b"{}") != digest_of(b"{ }")


# --- points --------------------------------------------------------------------------


def test_points_open_for_their_sender_message_and_count_only() -> None:
    old, new = PrivateKey.generate(), PrivateKey.generate()
    values = [bytes([n]) * 32 for n in (1, 2)]
    sealed = seal_points(bytes(old.public_key), "node-a", MESSAGE, values)
    assert open_points(bytes(old), sealed, "node-a", MESSAGE, 2) == values
    assert open_points([bytes(new), bytes(old)], sealed, "node-a", MESSAGE, 2) == values
    for keys, box, node, message, count in (
        (bytes(old), sealed, "node-b", MESSAGE, 2),
        (bytes(old), sealed, "node-a", MESSAGE.replace("1", "2"), 2),
        (bytes(old), sealed, "node-a", MESSAGE, 1),
        (bytes(old), sealed, "node-a", MESSAGE, 3),
        (bytes(new), sealed, "node-a", MESSAGE, 2),
        (bytes(old), sealed[:-1], "node-a", MESSAGE, 2),
        (bytes(old), b"", "node-a", MESSAGE, 2),
    ):
        with pytest.raises(PointsError):
            open_points(keys, box, node, message, count)


def test_a_point_of_another_size_is_not_sealed() -> None:
    with pytest.raises(PointsError):
        seal_points(bytes(PrivateKey.generate().public_key), "node-a", MESSAGE, [bytes(31)])


# --- entries -------------------------------------------------------------------------


def opened(asker: bytes, chain: bytes) -> Opened:
    return Opened(b"\x01" * 32, b"\x02" * 32, b"\x03" * 32, asker, chain)


@given(st.binary(max_size=500), st.binary(max_size=300), st.sampled_from(["lookup", "publish"]))
def test_an_entry_survives_its_plain_text_which_has_one_size_per_activity(
    asker: bytes, chain: bytes, t: str
) -> None:
    plain = fmt.plain_of(opened(asker, chain), t)
    assert len(plain) + fmt.SEALED_OVERHEAD == (2048 if t == "lookup" else 1024)
    assert fmt.opened_from(plain) == opened(asker, chain)


def test_an_entry_fits_to_the_last_byte_and_not_one_more() -> None:
    room = fmt.room("lookup")
    assert fmt.opened_from(fmt.plain_of(opened(b"a" * (room - 5), b"b" * 5), "lookup")).chain == b"b" * 5
    with pytest.raises(EntryTooLarge):
        fmt.plain_of(opened(b"a" * (room - 5), b"b" * 6), "lookup")


@pytest.mark.parametrize("plain", [b"", bytes(99), bytes(96) + b"\xff\xff" + bytes(50), bytes(120) + b"\x01"])
def test_bytes_that_are_no_entry_are_refused(plain: bytes) -> None:
    with pytest.raises(EntryError):
        fmt.opened_from(plain)


@pytest.mark.parametrize(
    "raw", [b"{}", b"", b"[]", b'{"subj":[]} ', b'{"subj":[],"x":1}', b'{"subj":[[1]]}', b'{"subj":null}']
)
def test_parts_of_another_form_are_refused(raw: bytes) -> None:
    with pytest.raises(EntryError):
        fmt.parse_chain(raw)
    with pytest.raises(EntryError):
        fmt.parse_asker(raw)


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw + b" ",
        lambda raw: raw.replace(b'"bg":0', b'"bg": 0'),
        lambda raw: b"{" + raw[1:-1].split(b",", 1)[1] + b"," + raw[1:-1].split(b",", 1)[0] + b"}",
        lambda raw: raw.replace(b'"pv":0', b'"pv":0,"pv":0'),
        lambda raw: raw.replace(b'"admin"', b'"\\u0061dmin"'),
        lambda raw: raw.replace(b'"bg":0', b'"bg":2'),
    ],
)
def test_an_asker_part_in_a_second_form_is_refused(change: Any) -> None:
    raw = fmt.asker_part(EntryDraft(t="admin", ts=1, req=""), [])
    assert fmt.parse_asker(raw).t == "admin"
    assert change(raw) != raw
    with pytest.raises(EntryError):
        fmt.parse_asker(change(raw))


def test_an_unknown_field_of_the_chain_is_refused_before_it_is_written() -> None:
    with pytest.raises(EntryError):
        fmt.chain_part([(1, -1)], note="free text")


@given(st.sets(st.integers(0, 40)))
def test_a_bitmap_gives_its_kinds_back_and_has_one_length(kinds: set[int]) -> None:
    bits = fmt.shown_bits(kinds, 40)
    assert len(bits) == 6
    assert set(fmt.kinds_shown(bits)) == kinds


def test_kind_number_nine_is_bit_one_of_byte_one() -> None:
    assert fmt.shown_bits([9], 29) == b"\0\x02\0\0"


def test_decisions_survive_their_bytes() -> None:
    rows = [(2, 1, 70_000), (11, 0, 0)]
    dec = fmt.decision_bytes(b"\x05" * 32, rows)
    assert fmt.decisions_of(dec) == (b"\x05" * 32, rows)
    for wrong in (dec[:-1], b"", bytes(31)):
        with pytest.raises(EntryError):
            fmt.decisions_of(wrong)
    with pytest.raises(EntryError):
        fmt.decision_bytes(b"short", rows)


def test_the_statement_is_found_again_in_the_entry() -> None:
    made = statement()
    draft = EntryDraft(t="lookup", ts=1, req=MESSAGE, statement=made, signature=bytes(64))
    asker = fmt.parse_asker(fmt.asker_part(draft, []))
    assert fmt.statement_of(asker, made.hub) == made
    own = fmt.parse_asker(fmt.asker_part(EntryDraft(t="admin", ts=1, req=""), []))
    with pytest.raises(EntryError):
        fmt.statement_of(own, made.hub)


def test_our_vocabulary_fits_the_fixed_sizes() -> None:
    vocabulary = load_vocabulary()
    fmt.check_fits(
        kind_numbers=[kind.number for kind in vocabulary.kinds],
        roles=[role.code for role in vocabulary.roles],
        purposes=[purpose.code for purpose in vocabulary.purposes],
        bases=[basis.code for basis in vocabulary.bases],
        refusals=["x" * 40],
    )
    sizes = fmt.largest_entry(kind_numbers=[1], roles=["r"], purposes=["p"], bases=["b"])
    assert sizes["lookup"] < fmt.room("lookup")


def test_a_vocabulary_whose_largest_entry_does_not_fit_is_refused() -> None:
    with pytest.raises(EntryTooLarge):
        fmt.check_fits(kind_numbers=range(1, 200), roles=["r"], purposes=["p"], bases=["b"])
