"""Attack: present a token that is almost right, and learn from the answer what was wrong with it.

Tokens for another audience, expired, made to live too long, of an unknown type,
signed by somebody else or with something changed: all are refused with the same
bytes, and nothing is answered. At the hub these are the key holders' receipts, at
a key holder the broker's grants, at a node the tokens of employees.

For statements of nodes see `tests/hub/test_gate.py`, for the other forgeries of
employee tokens `tests/node/test_visits.py`.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nacl.signing import SigningKey

from index import relations
from index.protocol.evaluate import HolderReceipt
from nodes.employees import Bearer, EmployeeTokens
from nodes.keyholder import evaluation
from policy.decide import scopes_for
from tests.federation_keys import KeyFederation
from tests.hub.world import HUB_ID, VOCABULARY, World
from tests.keyholder.test_checks import ask
from tests.node.world import BSN_A, NodeWorld

SCOPES_ASKED = scopes_for(VOCABULARY, "generalist", "huisbezoek")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path).running() as running:
        yield running


def signed(key: SigningKey, claims: dict[str, Any], typ: str, kid: str, **header: Any) -> str:
    private = Ed25519PrivateKey.from_private_bytes(bytes(key))
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, private, "EdDSA", headers={"typ": typ, "kid": kid, **header})


WRONG: dict[str, Callable[[int], dict[str, Any]]] = {
    "another audience": lambda _: {"aud": "other.example"},
    "audiences in a list": lambda _: {"aud": [HUB_ID, "other.example"]},
    "another node": lambda _: {"sub": "wijkteam-twee"},
    "expired": lambda now: {"iat": now - 300, "exp": now - 200},
    "from the future": lambda now: {"iat": now + 60, "exp": now + 120},
    "lives too long": lambda now: {"iat": now, "exp": now + 10_000},
    "never ends": lambda _: {"exp": None},
    "no jti": lambda _: {"jti": None},
    "a short jti": lambda _: {"jti": "ab"},
    "counts as text": lambda _: {"n": {"geld": "1"}},
}
HEADERS: dict[str, dict[str, Any]] = {
    "unknown type": {"typ": "JWT"},
    "the type of a grant": {"typ": "vlagwijzer-grant+jwt"},
    "another signer": {"kid": "kh-x"},
    "a key brought along": {"jwk": {"kty": "OKP"}},
}


def receipts(world: World, *, key: SigningKey | None = None, **wrong: Any) -> list[str]:
    """Receipts of two holders, the second one with something wrong about it."""
    now = int(world.clock().timestamp())
    made = world.receipts("wijkteam", "lookup", dict.fromkeys(SCOPES_ASKED, 1))
    header = {name: wrong.pop(name) for name in ("typ", "kid", "jwk") if name in wrong}
    claims = {
        "iss": "kh-b",
        "sub": "wijkteam",
        "aud": HUB_ID,
        "cls": "lookup",
        "n": dict.fromkeys(SCOPES_ASKED, 1),
        "jti": secrets.token_hex(16),
        "iat": now,
        "exp": now + 120,
        **wrong,
    }
    header = {"typ": "vlagwijzer-receipt+jwt", "kid": "kh-b", **header}
    return [made[0], signed(key or world.holder_keys["kh-b"], claims, **header)]


def bad_receipts(world: World) -> dict[str, Sequence[str]]:
    now = int(world.clock().timestamp())
    good = world.receipts("wijkteam", "lookup", dict.fromkeys(SCOPES_ASKED, 1))
    made: dict[str, Sequence[str]] = {name: receipts(world, **change(now)) for name, change in WRONG.items()}
    made |= {name: receipts(world, **change) for name, change in HEADERS.items()}
    made["another key"] = receipts(world, key=SigningKey.generate())
    made["a letter changed"] = [good[0], good[1][:-3] + ("A" if good[1][-3] != "A" else "B") + good[1][-2:]]
    made["no signature"] = [good[0], jwt.encode({"iss": "kh-b"}, "", "none", {"kid": "kh-b"})]
    made["no token"] = [good[0], "x"]
    made["one holder twice"] = [good[0], good[0]]
    made["too few"] = good[:1]
    made["none"] = []
    return made


@pytest.mark.anyio
async def test_receipts_that_are_almost_right_are_refused_with_the_same_bytes(world: World) -> None:
    answers = {}
    for name, tokens in bad_receipts(world).items():
        _, sent = await world.wijkteam.tries_to_open("m-jan", ["Fatima"], receipts=tokens)
        answers[name] = (sent.response.status_code, sent.response.content)

    assert {name for name, (status, _) in answers.items() if status != 403} == set()
    assert len(set(answers.values())) == 1
    _, good = await world.wijkteam.tries_to_open("m-jan", ["Fatima"], receipts=receipts(world))
    assert good.response.status_code == 200


@pytest.mark.anyio
async def test_without_their_check_such_receipts_open_a_visit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def believing(tokens: Sequence[str], *_: Any, **__: Any) -> list[HolderReceipt]:
        return [HolderReceipt("kh-a", "wijkteam", "lookup", {}, secrets.token_hex(16), 2**31)]

    monkeypatch.setattr(relations, "verify_receipts", believing)
    _, sent = await world.wijkteam.tries_to_open("m-jan", ["Fatima"], receipts=["x"])
    assert sent.response.status_code == 200


# --- grants at a key holder --------------------------------------------------------------


def grant(keys: KeyFederation, **wrong: Any) -> str:
    now = int(keys.clock().timestamp())
    key = wrong.pop("key", keys.broker_key)
    header = {name: wrong.pop(name) for name in ("typ", "kid", "jwk") if name in wrong}
    claims = {
        "iss": "broker",
        "sub": "portaal",
        "aud": "keyholders",
        "n": {"geld.e1": 2},
        "jti": secrets.token_hex(16),
        "iat": now,
        "exp": now + 900,
        **wrong,
    }
    return signed(key, claims, **{"typ": "vlagwijzer-grant+jwt", "kid": "broker", **header})


def bad_grants(keys: KeyFederation) -> dict[str, str]:
    now = int(keys.clock().timestamp())
    return {
        "another audience": grant(keys, aud=HUB_ID),
        "audiences in a list": grant(keys, aud=["keyholders", "x"]),
        "another node": grant(keys, sub="bron"),
        "expired": grant(keys, iat=now - 900, exp=now - 10),
        "lives too long": grant(keys, exp=now + 901),
        "never ends": grant(keys, exp=None),
        "unknown type": grant(keys, typ="JWT"),
        "the type of a receipt": grant(keys, typ="vlagwijzer-receipt+jwt"),
        "another signer": grant(keys, kid="kh-a"),
        "a key brought along": grant(keys, jwk={"kty": "OKP"}),
        "another key": grant(keys, key=SigningKey.generate()),
        "too few units": grant(keys, n={"geld.e1": 1}),
        "a person in it": grant(keys, bsn="x"),
        "none": "",
        "no token": "x",
    }


def test_grants_that_are_almost_right_are_refused_with_the_same_bytes(tmp_path: Path) -> None:
    keys = KeyFederation(tmp_path, scopes=["geld"])
    answers = {
        name: ask(keys, node="portaal", grant=token, **{"class": "citizen"})
        for name, token in bad_grants(keys).items()
    }
    good = ask(keys, node="portaal", grant=grant(keys), **{"class": "citizen"})
    keys.close()

    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(answers, 403)
    assert len({answer.content for answer in answers.values()}) == 1
    assert good.status_code == 200


def test_without_their_check_such_grants_are_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from index.protocol.evaluate import Grant

    keys = KeyFederation(tmp_path, scopes=["geld"])
    believed = Grant("broker", "portaal", {"geld.e1": 9}, secrets.token_hex(16), 2**31)
    monkeypatch.setattr(evaluation, "verify_grant", lambda *_, **__: believed)
    answer = ask(keys, node="portaal", grant="x", **{"class": "citizen"})
    keys.close()
    assert answer.status_code == 200


# --- employee tokens at a node -----------------------------------------------------------


def test_without_their_check_anybody_looks_at_a_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the refusals in `tests/node/test_visits.py`: this is what they are for."""

    async def believing(_: EmployeeTokens, token: str) -> Bearer:
        return Bearer("somebody", ("generalist",), "wijkteam-noord")

    async def tries() -> int:
        async with NodeWorld(tmp_path).running() as world:
            async with world.system(world.desk(), roles=["generalist"]) as client:
                body = {"clients": [{"bsn": BSN_A}], "purpose": "huisbezoek", "caseReference": "Z-1"}
                answer = await client.post("/v1/visits", json=body, headers={"Authorization": "Bearer x"})
            world.keys.close()
            return answer.status_code

    assert asyncio.run(tries()) == 403
    monkeypatch.setattr(EmployeeTokens, "check", believing)
    tmp_path = tmp_path / "again"
    assert asyncio.run(tries()) == 201


@pytest.mark.parametrize(
    "address",
    ["http://10.0.0.1/keys", "http://169.254.169.254/latest", "file:///etc/passwd", "ftp://x/keys", "keys"],
)
def test_keys_are_fetched_from_no_inner_address_that_a_document_names(tmp_path: Path, address: str) -> None:
    """The provider's document may be wrong or changed on its way; its addresses are not just followed."""
    import httpx

    from nodes.settings import TokenSettings

    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, json={"issuer": "https://login.test", "jwks_uri": address})

    async def tries() -> None:
        from datetime import UTC, datetime

        from nodes.errors import LoginUnreachable

        tokens = EmployeeTokens(
            TokenSettings(issuer="https://login.test"),
            httpx.AsyncClient(transport=httpx.MockTransport(answer)),
            audience="wijkteam",
            node_secret=b"s" * 32,
            now=lambda: datetime.now(UTC) + timedelta(),
        )
        token = jwt.encode({}, Ed25519PrivateKey.generate(), "EdDSA", {"typ": "at+jwt", "kid": "k"})
        with pytest.raises(LoginUnreachable):
            await tokens.check(token)

    asyncio.run(tries())
    assert asked == ["https://login.test/.well-known/openid-configuration"]
