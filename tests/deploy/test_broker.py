"""The demo's login broker: whom it gives a grant, and how many of them one login gets."""

import secrets
from collections.abc import Mapping
from typing import Any

import pytest
from flask.testing import FlaskClient
from nacl.signing import SigningKey

from deploy.demo.identity import CHECKS_PER_LOGIN, Account, Broker, create_issuer
from index.protocol.evaluate import GRANT_LIFE_S

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"
BACK = "http://localhost/terug"
ACCOUNTS = {
    "fatima": {"bsn": "999993653"},
    "loes": {"roles": ["balie"]},
    "lotte": {"roles": ["balie"], "bsn": "999990639"},
    "jan": {"roles": ["generalist"]},
}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    broker = Broker("broker", SigningKey.generate(), "portaal", ["geld.1", "zorg.1"], "balie")
    accounts: list[Account] = [Account(user, dict(claims)) for user, claims in ACCOUNTS.items()]
    return create_issuer(accounts, broker).test_client()


def log_in(client: FlaskClient, user: str) -> str:
    """An id token, by the code flow."""
    question: Mapping[str, str] = {
        "response_type": "code",
        "client_id": "portaal",
        "redirect_uri": BACK,
        "scope": "openid profile",
        "nonce": secrets.token_hex(8),
        "state": "s",
    }
    sent = client.post("/oauth2/authorize", query_string=question, data={"sub": user})
    code = sent.headers["location"].partition("code=")[2].partition("&")[0]
    answer = client.post(
        "/oauth2/token",
        data={"grant_type": "authorization_code", "code": code, "redirect_uri": BACK},
        auth=("portaal", "geheim"),
    )
    return str(answer.get_json()["id_token"])


def exchange(client: FlaskClient, token: str) -> Any:
    form = {"grant_type": EXCHANGE, "subject_token_type": ID_TOKEN, "subject_token": token}
    return client.post("/token-exchange", data=form)


def units(answer: Any) -> set[int]:
    import jwt

    claims = jwt.decode(answer.get_json()["access_token"], options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] <= GRANT_LIFE_S
    assert not {"bsn", "sub_id", "name"} & set(claims)
    return set(claims["n"].values())


def test_a_login_of_the_counter_gets_a_grant_for_one_person_each_and_not_without_end(
    client: FlaskClient,
) -> None:
    token = log_in(client, "loes")
    answers = [exchange(client, token) for _ in range(CHECKS_PER_LOGIN)]
    assert [answer.status_code for answer in answers] == [200] * CHECKS_PER_LOGIN
    assert units(answers[0]) == {1}
    assert len({answer.get_json()["access_token"] for answer in answers}) == CHECKS_PER_LOGIN
    assert exchange(client, token).status_code == 400
    assert exchange(client, log_in(client, "loes")).status_code == 200


def test_a_citizen_is_not_counted_as_a_counter(client: FlaskClient) -> None:
    assert units(exchange(client, log_in(client, "fatima"))) == {2}


@pytest.mark.parametrize("user", ["jan", "lotte", "nobody"])
def test_another_employee_or_one_with_a_number_as_well_gets_none(client: FlaskClient, user: str) -> None:
    assert exchange(client, log_in(client, user)).status_code == 400


def test_a_token_that_is_not_of_this_broker_gets_none(client: FlaskClient) -> None:
    assert exchange(client, "a.b.c").status_code == 400
