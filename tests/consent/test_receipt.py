"""The receipt proves a choice to whoever holds the published key, and nobody can make one up."""

import base64
import hmac
import json
import random
import string
from dataclasses import replace
from hashlib import sha256

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent.receipt import ReceiptInvalid, issue, shows, verify

from .ledgers import NOW, TEAM, entry, folded

SEED, OTHER = bytes(range(32)), bytes(range(1, 33))
HUB = "hub.test.example"


def _public(seed: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


KEYS = {"r1": _public(SEED), "r2": _public(OTHER)}


def _entries():
    directive = entry(
        1, "grant", category=("geld",), receiver=TEAM.path[:2], purpose=("hulp",), text=bytes(32), policy=7
    )
    narrower = replace(directive, category=("werk",))
    return [
        ("geld", directive, folded(directive).head),
        ("werk", narrower, folded(narrower).head),
    ]


def _issue(seed=SEED, kid="r1", issuer=HUB):
    return issue(
        seed,
        kid=kid,
        issuer=issuer,
        controller="Gemeente Voorbeeld",
        record=bytes(16),
        subject=bytes(range(16)),
        at=NOW,
        entries=_entries(),
    )


def _forged(header: dict, seed=SEED) -> str:
    """A token with any header over the payload of a good one, signed with the key all the same."""
    payload = _issue().split(".")[1]
    head = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    signature = Ed25519PrivateKey.from_private_bytes(seed).sign(f"{head}.{payload}".encode())
    return f"{head}.{payload}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def test_a_receipt_says_what_was_chosen_in_each_scope_with_the_heads():
    receipt = verify(_issue(), keys=KEYS, issuer=HUB)

    assert [(term.scope, term.seq, term.effect) for term in receipt.entries] == [
        ("geld", 1, "grant"),
        ("werk", 1, "grant"),
    ]
    assert receipt.entries[0].head != receipt.entries[1].head
    assert receipt.entries[0].recipient_third_parties == list(TEAM.path[:2])
    # A yes without a chosen end ends after twelve months, and the receipt says so.
    assert receipt.entries[0].until == "2027-05-16T10:00:00Z"
    assert receipt.policy_version == 7
    assert receipt.iat == int(NOW.timestamp())


def test_a_receipt_with_a_changed_byte_is_refused():
    token = _issue()
    for place in range(0, len(token), 29):
        changed = "A" if token[place] != "A" else "B"
        with pytest.raises(ReceiptInvalid):
            verify(token[:place] + changed + token[place + 1 :], keys=KEYS, issuer=HUB)


@pytest.mark.parametrize(
    "token",
    [
        _issue(kid="unknown"),
        _issue(seed=OTHER, kid="r1"),
        _issue(issuer="other.example"),
        "",
        "a.b",
        "a.b.c",
        _issue() + ".x",
    ],
)
def test_a_receipt_of_another_key_issuer_or_form_is_refused(token):
    with pytest.raises(ReceiptInvalid):
        verify(token, keys=KEYS, issuer=HUB)


GOOD = {"alg": "EdDSA", "kid": "r1", "typ": "consent-receipt+jwt"}


def test_the_forger_of_these_tests_can_sign_well():
    assert verify(_forged(GOOD), keys=KEYS, issuer=HUB).iss == HUB


@pytest.mark.parametrize(
    "header",
    [
        {**GOOD, "typ": "JWT"},
        {**GOOD, "typ": "Consent-Receipt+JWT"},
        {**GOOD, "typ": "vlagwijzer-change-receipt+jwt"},
        {**GOOD, "alg": "none"},
        {**GOOD, "alg": "HS256"},
        {**GOOD, "jwk": {"kty": "OKP"}},
        {**GOOD, "crit": ["b64"], "b64": False},
        {**GOOD, "kid": 1},
        {"alg": "EdDSA", "kid": "r1"},
    ],
)
def test_a_header_that_is_not_exactly_ours_is_refused_also_when_well_signed(header):
    with pytest.raises(ReceiptInvalid):
        verify(_forged(header), keys=KEYS, issuer=HUB)


def test_a_receipt_with_a_term_too_many_or_too_few_is_refused():
    key = Ed25519PrivateKey.from_private_bytes(SEED)
    claims = jwt.decode(_issue(), options={"verify_signature": False})
    headers = {"typ": "consent-receipt+jwt", "kid": "r1"}
    for changed in ({**claims, "bsn": "x"}, {k: v for k, v in claims.items() if k != "privacy_notice"}):
        token = jwt.encode(changed, key, algorithm="EdDSA", headers=headers)
        with pytest.raises(ReceiptInvalid):
            verify(token, keys=KEYS, issuer=HUB)


def test_a_receipt_is_for_the_entries_of_one_choice():
    other = replace(_entries()[1][1], group=bytes(16))
    for entries in ([], [_entries()[0], ("werk", other, bytes(32))]):
        with pytest.raises(ValueError, match="one choice"):
            issue(
                SEED, kid="r1", issuer=HUB, controller="x", record=b"", subject=b"", at=NOW, entries=entries
            )


def test_a_withdrawal_tells_what_it_ended_and_since_when():
    (_, yes, _), _ = _entries()
    no = entry(2, "withdraw", withdraws=yes.group)
    token = issue(
        SEED, kid="r1", issuer=HUB, controller="x", record=bytes(16), subject=bytes(16), at=NOW,
        entries=[("geld", no, bytes(32))], earlier={("geld", yes.group): (yes,)},
    )  # fmt: skip

    (term,) = verify(token, keys=KEYS, issuer=HUB).entries

    assert [event.event_state for event in term.events] == ["given", "withdrawn"]
    assert term.pii_type == ["geld"]
    assert term.events[0].validity_duration.endswith("/2027-05-16T10:00:00Z")


def test_every_mandatory_field_of_the_standard_is_there():
    """ISO/IEC TS 27560:2023, clauses 6.3.3 to 6.3.7 as W3C's DPV-27560 lists them."""
    claims = jwt.decode(_issue(), options={"verify_signature": False})

    assert {
        "schema_version", "record_id", "pii_principal_id", "privacy_notice", "pii_controllers",
        "withdrawal_method", "jurisdiction",
    } <= set(claims)  # fmt: skip
    assert {"purpose", "lawful_basis", "pii_type", "recipient_third_parties"} <= set(claims["entries"][0])
    assert set(claims["entries"][0]["events"][0]) == {
        "event_time", "event_type", "event_state", "entity_id", "validity_duration",
    }  # fmt: skip


def _json_twice(raw: bytes, rng: random.Random) -> bytes:
    """The same object with one name twice: a first value that says something else."""
    names = list(json.loads(raw))
    return b"{" + json.dumps(rng.choice(names)).encode() + b':"x",' + raw[1:]


def _tampered(token: str, rng: random.Random) -> str:
    """One change, by a thief who has no key, or the key of something else."""
    head, payload, signature = token.split(".")
    raw_head, raw = _unpadded(head), _unpadded(payload)
    claims, header = json.loads(raw), json.loads(raw_head)
    match rng.randrange(12):
        case 0:  # one bit
            place, bit = rng.randrange(len(token)), 1 << rng.randrange(7)
            return token[:place] + chr(ord(token[place]) ^ bit) + token[place + 1 :]
        case 1:  # another character of the alphabet
            place = rng.randrange(len(token))
            return token[:place] + rng.choice(ALPHABET) + token[place + 1 :]
        case 2:
            return token[: rng.randrange(len(token))]
        case 3:
            return token[rng.randrange(1, len(token)) :]
        case 4:
            header["alg"] = rng.choice(["none", "HS256", "ES256", "EdDSA ", "eddsa", "RS256"])
            return f"{_padded(json.dumps(header).encode())}.{payload}.{rng.choice(['', signature])}"
        case 5:  # the public key as the secret of a MAC
            header["alg"] = "HS256"
            said = f"{_padded(json.dumps(header).encode())}.{payload}"
            return f"{said}.{_padded(hmac.digest(KEYS['r1'], said.encode(), 'sha256'))}"
        case 6:
            return _signed(rng.randbytes(32), header, raw)
        case 7:
            header["typ"] = rng.choice(["JWT", "at+jwt", "vlagwijzer-change-receipt+jwt", ""])
            return _signed(SEED, header, raw)
        case 8:
            del claims[rng.choice(list(claims))]
            return _signed(SEED, header, json.dumps(claims).encode())
        case 9:
            entry_ = claims["entries"][rng.randrange(2)]
            del entry_[rng.choice(list(entry_))]
            return _signed(SEED, header, json.dumps(claims).encode())
        case 10:
            return _signed(SEED, header, _json_twice(raw, rng))
        case _:
            return _signed_raw(SEED, _json_twice(raw_head, rng), raw)


ALPHABET = string.ascii_letters + string.digits + "-_"


def _unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _padded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _signed(seed: bytes, header: dict, payload: bytes) -> str:
    return _signed_raw(seed, json.dumps(header).encode(), payload)


def _signed_raw(seed: bytes, header: bytes, payload: bytes) -> str:
    said = f"{_padded(header)}.{_padded(payload)}"
    return f"{said}.{_padded(Ed25519PrivateKey.from_private_bytes(seed).sign(said.encode()))}"


def test_of_a_thousand_tamperings_none_is_believed():
    token, rng = _issue(), random.Random(27560)
    undetected = []
    for number in range(1000):
        changed = _tampered(token, rng)
        while changed == token:
            changed = _tampered(token, rng)
        try:
            verify(changed, keys=KEYS, issuer=HUB)
        except ReceiptInvalid:
            continue
        undetected.append(number)
    assert undetected == []


def test_the_text_that_was_confirmed_is_known_by_its_hash():
    directive = replace(_entries()[0][1], text=sha256(b"Ja, dit mag.").digest())
    token = issue(
        SEED, kid="r1", issuer=HUB, controller="x", record=bytes(16), subject=bytes(16), at=NOW,
        entries=[("geld", directive, bytes(32))],
    )  # fmt: skip
    receipt = verify(token, keys=KEYS, issuer=HUB)
    assert shows(receipt, "Ja, dit mag.")
    assert not shows(receipt, "Nee, stop dit.")
