"""Receipts of holders and grants of brokers: for one audience, one node, once, and not for long."""

from datetime import timedelta

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nacl.signing import SigningKey

from index.protocol.evaluate import (
    TokenRefused,
    issue_holder_receipt,
    verify_grant,
    verify_holder_receipt,
    verify_receipts,
)

NONCE = "0f" * 16


def receipt(keys, holder="kh-a", **changes):
    fields = {
        "node": "wijkteam-noord",
        "hub": keys.hub_id,
        "class_": "lookup",
        "counts": {"geld": 2, "zorg": 1},
        "nonce": NONCE,
        "now": keys.clock(),
        **changes,
    }
    return issue_holder_receipt(holder, fields.pop("key", keys.holder_keys["kh-a"]), **fields)


def check(keys, token, *, aud=None, sub="wijkteam-noord", later=0.0):
    now = keys.clock() + timedelta(seconds=later)
    return verify_holder_receipt(token, keys.manifest, aud=aud or keys.hub_id, sub=sub, now=now)


def own(keys, claims, headers):
    private = Ed25519PrivateKey.from_private_bytes(bytes(keys.holder_keys["kh-a"]))
    return jwt.encode(claims, private, algorithm="EdDSA", headers=headers)


def claims_of(token):
    return jwt.decode(token, options={"verify_signature": False})


def test_a_receipt_says_who_counted_how_many_for_whom(keys):
    found = check(keys, receipt(keys))
    assert (found.iss, found.sub, found.cls, found.n) == (
        "kh-a",
        "wijkteam-noord",
        "lookup",
        {"geld": 2, "zorg": 1},
    )
    assert found.jti == NONCE
    assert jwt.get_unverified_header(receipt(keys))["typ"] == "vlagwijzer-receipt+jwt"
    assert set(claims_of(receipt(keys))) == {"iss", "sub", "aud", "cls", "n", "jti", "iat", "exp"}


def test_a_receipt_for_another_hub_or_node_is_refused(keys):
    for use in ({"aud": "other.hub"}, {"sub": "wijkteam-zuid"}):
        with pytest.raises(TokenRefused):
            check(keys, receipt(keys), **use)


def test_a_receipt_expires_and_is_not_from_the_future(keys):
    assert check(keys, receipt(keys), later=119)
    for later in (126, -30):
        with pytest.raises(TokenRefused, match="expired"):
            check(keys, receipt(keys), later=later)


def test_a_receipt_signed_by_somebody_else_is_refused(keys):
    for token in (
        receipt(keys, key=SigningKey.generate()),
        receipt(keys, holder="kh-b"),
        receipt(keys, holder="kh-z"),
        receipt(keys)[:-8] + "AAAAAAAA",
        "",
        "a.b.c",
        "x" * 3000,
    ):
        with pytest.raises(TokenRefused):
            check(keys, token)


@pytest.mark.parametrize(
    ("claims", "headers"),
    [
        ({}, {"typ": "JWT"}),
        ({}, {"typ": "vlagwijzer-grant+jwt"}),
        ({}, {"typ": "VLAGWIJZER-RECEIPT+JWT"}),
        ({}, {"jwk": {}}),
        ({}, {"jku": "https://elsewhere"}),
        ({}, {"kid": None}),
        ({"iss": "kh-b"}, {}),
        ({"aud": ["hub.test.vlagwijzer.example"]}, {}),
        ({"exp": 9_999_999_999}, {}),
        ({"exp": None}, {}),
        ({"iat": "now"}, {}),
        ({"jti": "short"}, {}),
        ({"jti": None}, {}),
        ({"cls": "other"}, {}),
        ({"n": {}}, {}),
        ({"n": {"geld": 0}}, {}),
        ({"n": {"geld": -1}}, {}),
        ({"n": {"geld": True}}, {}),
        ({"n": {"other": 1}}, {}),
        ({"n": 5}, {}),
        ({"extra": 1}, {}),
    ],
)
def test_a_receipt_of_another_form_is_refused_even_when_the_holder_signed_it(keys, claims, headers):
    good = claims_of(receipt(keys))
    changed = {name: value for name, value in {**good, **claims}.items() if value is not None}
    header = {"typ": "vlagwijzer-receipt+jwt", "kid": "kh-a", **headers}
    token = own(keys, changed, {name: value for name, value in header.items() if value is not None})
    with pytest.raises(TokenRefused):
        check(keys, token)
    assert check(keys, own(keys, good, {"typ": "vlagwijzer-receipt+jwt", "kid": "kh-a"}))


def test_a_token_without_signature_or_with_a_shared_secret_is_refused(keys):
    good, header = claims_of(receipt(keys)), {"typ": "vlagwijzer-receipt+jwt", "kid": "kh-a"}
    for token in (
        jwt.encode(good, "", algorithm="none", headers=header),
        jwt.encode(good, keys.pins["kh-a"].hex(), algorithm="HS256", headers=header),
    ):
        with pytest.raises(TokenRefused):
            check(keys, token)


def pay(keys, tokens, **changes):
    fields = {
        "aud": keys.hub_id,
        "sub": "wijkteam-noord",
        "class_": "lookup",
        "needed": {"geld": 2},
        "now": keys.clock(),
        **changes,
    }
    return verify_receipts(tokens, keys.manifest, **fields)


def test_receipts_of_t_distinct_holders_pay_for_a_request(keys):
    both = [receipt(keys), receipt(keys, "kh-b", key=keys.holder_keys["kh-b"])]
    assert {r.iss for r in pay(keys, both)} == {"kh-a", "kh-b"}
    assert pay(keys, both, needed={"geld": 2, "zorg": 1})


def test_two_receipts_of_one_holder_or_too_few_or_too_small_ones_do_not_pay(keys):
    one, other = receipt(keys), receipt(keys, nonce="aa" * 16)
    second = receipt(keys, "kh-b", key=keys.holder_keys["kh-b"])
    small = receipt(keys, "kh-b", key=keys.holder_keys["kh-b"], counts={"geld": 1})
    crisis = receipt(keys, "kh-b", key=keys.holder_keys["kh-b"], class_="crisis")
    for tokens, code in (
        ([one, other], "holder-twice"),
        ([one, one], "holder-twice"),
        ([one], "too-few-holders"),
        ([], "too-few-holders"),
        ([one, small], "count"),
        ([one, crisis], "class"),
    ):
        with pytest.raises(TokenRefused, match=code):
            pay(keys, tokens)
    with pytest.raises(TokenRefused, match="count"):
        pay(keys, [one, second], needed={"geld": 3})
    with pytest.raises(TokenRefused, match="scope"):
        pay(keys, [one, second], needed={"werk": 1})


def test_a_grant_counts_for_its_node_for_fifteen_minutes(keys):
    token = keys.grant()
    now = keys.clock()
    assert verify_grant(token, keys.directory, sub="portaal", now=now).n == {"geld.e1": 2, "zorg.e1": 2}
    with pytest.raises(TokenRefused):
        verify_grant(token, keys.directory, sub="wijkteam-noord", now=now)
    with pytest.raises(TokenRefused, match="expired"):
        verify_grant(token, keys.directory, sub="portaal", now=now + timedelta(seconds=910))
    with pytest.raises(TokenRefused):
        verify_grant(receipt(keys), keys.directory, sub="wijkteam-noord", now=now)
    keys.broker_key = SigningKey.generate()
    with pytest.raises(TokenRefused):
        verify_grant(keys.grant(), keys.directory, sub="portaal", now=now)
