"""The receipt proves a choice to whoever holds the published key, and nobody can make one up."""

import base64
import json
from dataclasses import replace

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent.receipt import ReceiptInvalid, issue, verify

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

    assert [(term.scope, term.seq, term.event) for term in receipt.entries] == [
        ("geld", 1, "grant"),
        ("werk", 1, "grant"),
    ]
    assert receipt.entries[0].head != receipt.entries[1].head
    assert receipt.entries[0].recipients == list(TEAM.path[:2])
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
    for changed in ({**claims, "bsn": "x"}, {k: v for k, v in claims.items() if k != "textHash"}):
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
