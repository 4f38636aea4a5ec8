"""What a node checks before it shows anything, and receipts of changes."""

from collections.abc import Callable
from datetime import timedelta

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace
from nacl.signing import SigningKey

from index.protocol.codec import b64u, unb64u
from index.protocol.messages import ItemResult, LogReceipt
from index.protocol.note import ED25519, NoteKey
from index.protocol.receipt import (
    CHANGE_TYP,
    ReceiptError,
    issue_change_receipt,
    verify_change_receipt,
    verify_log_receipt,
)
from index.protocol.statement import digest_of

from .world import LOG_VKEY, NOW, PREFIX, Keys, World

LIDS = [bytes([n]) * 16 for n in (1, 2, 3)]
HUB_KEY = SigningKey(b"\x0b" * 32)
RESULTS = [ItemResult(seq=1, outcome="stored"), ItemResult(seq=2, outcome="refused", code="kind")]


# --- log receipts --------------------------------------------------------------------


def test_an_honest_receipt_passes_every_check(world: World) -> None:
    receipt, sent = world.look(*LIDS)
    entry = verify_log_receipt(receipt, log_vkey=LOG_VKEY, sent=sent, lids=LIDS)
    assert (entry.year, entry.index, entry.asker.t) == (2026, 1, "lookup")


def test_a_pin_that_names_a_year_serves_for_every_year(world: World) -> None:
    receipt, sent = world.look(*LIDS)
    of_2025 = NoteKey(f"{PREFIX}/2025", ED25519, bytes(Keys().log_signing.verify_key)).text()
    assert verify_log_receipt(receipt, log_vkey=of_2025, sent=sent, lids=LIDS).year == 2026


@pytest.mark.parametrize("lids", [LIDS[:2], [*LIDS, LIDS[0]], LIDS[::-1], [], [LIDS[0], LIDS[1], bytes(16)]])
def test_a_line_in_another_persons_chain_is_refused(world: World, lids: list[bytes]) -> None:
    receipt, sent = world.look(*LIDS)
    with pytest.raises(ReceiptError):
        verify_log_receipt(receipt, log_vkey=LOG_VKEY, sent=sent, lids=lids)


def test_a_postponed_line_is_accepted_only_where_it_is_expected(world: World) -> None:
    sent = world.statement()
    recorded, sealed = world.record([world.draft(LIDS, sent, later=True)])
    receipt = sealed.receipt(recorded[0])
    assert verify_log_receipt(receipt, log_vkey=LOG_VKEY, sent=sent, lids=LIDS, later=True).index == 1
    with pytest.raises(ReceiptError):
        verify_log_receipt(receipt, log_vkey=LOG_VKEY, sent=sent, lids=LIDS)


def test_an_entry_of_another_question_is_refused(world: World) -> None:
    receipt, _ = world.look(*LIDS)
    _, other = world.look(*LIDS)
    with pytest.raises(ReceiptError):
        verify_log_receipt(receipt, log_vkey=LOG_VKEY, sent=other, lids=LIDS)


CHANGES: dict[str, Callable[[LogReceipt], LogReceipt]] = {
    "salt": lambda r: replace(r, salt=b64u(bytes(32))),
    "salt of asker": lambda r: replace(r, salt_a=b64u(bytes(32))),
    "part of chain": lambda r: replace(r, part_b=b64u(bytes(32))),
    "short salt": lambda r: replace(r, salt=b64u(bytes(31))),
    "index": lambda r: replace(r, index=r.index + 1),
    "purpose": lambda r: replace(r, asker=r.asker.replace("huisbezoek", "crisis")),
    "not canonical": lambda r: replace(r, asker=r.asker + " "),
    "lone surrogate": lambda r: replace(r, asker="\ud800"),
    "no proof": lambda r: replace(r, proof=""),
    "size": lambda r: replace(r, proof=r.proof.replace("\n2\n", "\n3\n")),
    "year": lambda r: replace(r, proof=r.proof.replace("/2026", "/2027")),
    "origin": lambda r: replace(r, proof=r.proof.replace("hub.example", "hub2.example")),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_receipt_with_one_thing_changed_is_refused(world: World, what: str) -> None:
    receipt, sent = world.look(*LIDS)
    changed = CHANGES[what](receipt)
    assert changed != receipt
    with pytest.raises(ReceiptError):
        verify_log_receipt(changed, log_vkey=LOG_VKEY, sent=sent, lids=LIDS)


def test_a_receipt_of_a_log_with_another_key_is_refused(world: World) -> None:
    receipt, sent = world.look(*LIDS)
    other = NoteKey(PREFIX, ED25519, bytes(SigningKey(b"\x77" * 32).verify_key)).text()
    with pytest.raises(ReceiptError):
        verify_log_receipt(receipt, log_vkey=other, sent=sent, lids=LIDS)


def test_an_entry_dated_in_another_year_than_its_log_is_refused(world: World) -> None:
    sent = world.statement()
    draft = world.draft(LIDS, sent, now=NOW - timedelta(days=400))
    recorded, sealed = world.record([draft])
    with pytest.raises(ReceiptError):
        verify_log_receipt(sealed.receipt(recorded[0]), log_vkey=LOG_VKEY, sent=sent, lids=LIDS)


# --- change receipts -----------------------------------------------------------------


def issued(world: World) -> tuple[str, str]:
    sent = world.statement(t="publish", role="bron", actor="", team="", purpose="", case="")
    token = issue_change_receipt(
        HUB_KEY,
        hub_id="hub.example.nl",
        sent=sent,
        results=RESULTS,
        jti=bytes(16),
        size=9,
        root=bytes(32),
        now=NOW,
    )
    return token, sent.statement.msg


def check(token: str, message: str, **changes: object) -> object:
    fields: dict[str, object] = {
        "hub_key": bytes(HUB_KEY.verify_key),
        "hub_id": "hub.example.nl",
        "node": "wijkteam-noord",
        "message_id": message,
        "t": "publish",
        "body_digest": digest_of(b"{}"),
        "results": RESULTS,
        "now": NOW,
    }
    return verify_change_receipt(token, **{**fields, **changes})  # type: ignore[arg-type]


def test_a_change_receipt_tells_what_became_of_each_item_and_does_not_expire(world: World) -> None:
    token, message = issued(world)
    claims = verify_change_receipt(
        token,
        hub_key=bytes(HUB_KEY.verify_key),
        hub_id="hub.example.nl",
        node="wijkteam-noord",
        message_id=message,
        t="publish",
        body_digest=None,
        results=RESULTS,
        now=NOW + timedelta(days=4000),
    )
    assert claims.counts == {"stored": 1, "removed": 0, "absent": 0, "stale": 0, "refused": 1}
    assert (claims.size, claims.root, claims.issued) == (9, bytes(32), NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"hub_key": bytes(SigningKey(b"\x0c" * 32).verify_key)},
        {"hub_key": b"short"},
        {"hub_id": "hub2.example.nl"},
        {"node": "schuldhulp"},
        {"message_id": "01900000-0000-7000-8000-00000000ffff"},
        {"t": "retract"},
        {"body_digest": digest_of(b"other")},
        {"results": RESULTS[:1]},
        {"results": RESULTS[::-1]},
        {"results": [ItemResult(seq=1, outcome="stored"), ItemResult(seq=2, outcome="stale")]},
        {"now": NOW - timedelta(minutes=1)},
    ],
)
def test_a_change_receipt_about_something_else_is_refused(world: World, changes: dict[str, object]) -> None:
    token, message = issued(world)
    with pytest.raises(ReceiptError):
        check(token, message, **changes)


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT"},
        {"typ": "vlagwijzer-receipt+jwt"},
        {"typ": CHANGE_TYP.upper()},
        {"kid": "other"},
        {"jwk": {"kty": "OKP"}},
        {"crit": ["x"]},
    ],
)
def test_a_change_receipt_with_another_header_is_refused(world: World, header: dict[str, object]) -> None:
    token, message = issued(world)
    claims = jwt.decode(token, options={"verify_signature": False})
    key = Ed25519PrivateKey.from_private_bytes(bytes(HUB_KEY))
    headers = {"typ": CHANGE_TYP, "kid": "hub.example.nl", **header}
    forged = jwt.encode(claims, key, algorithm="EdDSA", headers=headers)
    with pytest.raises(ReceiptError):
        check(forged, message)


@pytest.mark.parametrize(
    "missing", ["iat", "jti", "msg", "body", "results", "counts", "size", "root", "aud", "iss"]
)
def test_a_change_receipt_without_a_claim_is_refused(world: World, missing: str) -> None:
    token, message = issued(world)
    claims = jwt.decode(token, options={"verify_signature": False})
    del claims[missing]
    key = Ed25519PrivateKey.from_private_bytes(bytes(HUB_KEY))
    headers = {"typ": CHANGE_TYP, "kid": "hub.example.nl"}
    with pytest.raises(ReceiptError):
        check(jwt.encode(claims, key, algorithm="EdDSA", headers=headers), message)


def test_a_change_receipt_with_a_claim_too_many_is_refused(world: World) -> None:
    token, message = issued(world)
    claims = {**jwt.decode(token, options={"verify_signature": False}), "sub": "somebody"}
    key = Ed25519PrivateKey.from_private_bytes(bytes(HUB_KEY))
    headers = {"typ": CHANGE_TYP, "kid": "hub.example.nl"}
    with pytest.raises(ReceiptError):
        check(jwt.encode(claims, key, algorithm="EdDSA", headers=headers), message)


def test_an_unsigned_receipt_and_noise_are_refused(world: World) -> None:
    token, message = issued(world)
    claims = jwt.decode(token, options={"verify_signature": False})
    unsigned = jwt.encode(claims, None, algorithm="none", headers={"typ": CHANGE_TYP})  # type: ignore[arg-type]
    head, body, signature = token.split(".")
    flipped = bytearray(unb64u(signature))
    flipped[5] ^= 1
    for text in (unsigned, "", "a.b.c", token + "x", f"{head}.{body}.{b64u(bytes(flipped))}"):
        with pytest.raises(ReceiptError):
            check(text, message)
