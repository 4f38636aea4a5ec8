"""The same login settings at a second, independent provider (npm `oidc-provider`).

It differs where providers differ: it insists on PKCE, signs with PS256, gives
claims at userinfo only, wants a client to prove itself by a signed assertion,
and says in its answer who it is (RFC 9207).
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from consent.pages import LoginSettings, PageSettings
from index.web.pages import officer_pages
from nodes.settings import OidcSettings
from tests.pages.client import Plain
from tests.pages.world import VOCABULARY, LogInMemory, Site, free_port, node_site, served, with_missing

FOLDER = Path(__file__).parent / "oidc-provider"
USERS = {
    "jan": {"name": "Jan", "roles": ["generalist"], "team": "wijkteam-noord"},
    "olga": {"name": "Olga", "roles": ["privacy_officer"]},
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the provider and its packages, at the versions of the lock file."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("no npm: the second OpenID provider is not tested")
    folder = tmp_path_factory.mktemp("provider")
    for name in ("package.json", "package-lock.json", "server.mjs"):
        shutil.copy(FOLDER / name, folder / name)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120, check=False)
    if done.returncode:
        pytest.skip("npm could not fetch oidc-provider: the second OpenID provider is not tested")
    return folder


class Second:
    """The running provider and the two clients it knows."""

    def __init__(self, issuer: str, desk_port: int, hub_port: int, folder: Path) -> None:
        self.issuer = issuer
        self.desk_port = desk_port
        self.hub_port = hub_port
        self.secret = folder / "secret.txt"
        self.key = folder / "client.pem"


@pytest.fixture(scope="module")
def second(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Second]:
    folder = tmp_path_factory.mktemp("second")
    key = rsa.generate_private_key(65537, 2048)
    (folder / "secret.txt").write_text("not-in-any-setting")
    (folder / "client.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    public = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    desk_port, hub_port = free_port(), free_port()
    clients = [
        _client("proef", desk_port, "client_secret_basic", client_secret="not-in-any-setting"),
        _client("hub", hub_port, "private_key_jwt", jwks={"keys": [{**public, "use": "sig"}]}),
    ]
    process = subprocess.Popen(
        ["node", "server.mjs"], cwd=installed, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin
    assert process.stdout
    process.stdin.write(json.dumps({"clients": clients, "users": USERS}) + "\n")
    process.stdin.flush()
    issuer = process.stdout.readline().strip()
    assert issuer.startswith("http://localhost:")
    yield Second(issuer, desk_port, hub_port, folder)
    process.terminate()
    process.wait(5)


def _client(name: str, port: int, method: str, **more: Any) -> dict[str, Any]:
    return {
        "client_id": name,
        "redirect_uris": [f"http://localhost:{port}/login/terug"],
        "application_type": "native",
        "token_endpoint_auth_method": method,
        "id_token_signed_response_alg": "PS256",
        **more,
    }


def say_yes(address: str, user: str) -> str:
    """Log in and agree on the provider's own pages; the path it sends the browser back to."""
    with httpx.Client(timeout=10, trust_env=False) as browser:
        answer = browser.get(address)
        for _ in range(12):
            if answer.status_code in (302, 303):
                target = urljoin(str(answer.url), answer.headers["location"])
                if "/login/terug" in target:
                    return f"{urlsplit(target).path}?{urlsplit(target).query}"
                answer = browser.get(target)
            else:
                prompt = "login" if 'name="login"' in answer.text else "consent"
                form = {"prompt": prompt, "login": user, "password": "x"}
                answer = browser.post(str(answer.url), data=form)
    raise AssertionError("the provider never came back")


def desk_of(second: Second, **more: Any) -> Site:
    login = {
        "issuer": second.issuer,
        "client_id": "proef",
        "scope": "openid profile",
        "client_secret_file": second.secret,
    }
    return node_site({"desk"}, second.issuer, port=second.desk_port, login=OidcSettings(**{**login, **more}))


def test_an_employee_logs_in_with_the_same_settings(second: Second) -> None:
    with served(desk_of(second)) as site:
        jan = Plain(site)
        address = jan.to_provider()
        assert parse_qs(urlsplit(address).query)["code_challenge_method"] == ["S256"]
        back = say_yes(address, "jan")
        assert parse_qs(urlsplit(back).query)["iss"] == [second.issuer]
        assert jan.get(back).status_code == 303
        assert jan.get("/kijken").status_code == 200
        (person,) = [s.person for s in site.pages.sessions._by_id.values() if s.person]
    assert person.employee.role == "generalist"
    assert person.employee.team == "wijkteam-noord"


def test_a_client_proves_itself_by_a_signed_assertion(second: Second) -> None:
    site = Site(f"http://localhost:{second.hub_port}")
    settings = PageSettings(
        process_id="hub",
        origin=site.url,
        login=LoginSettings(
            issuer=second.issuer,
            client_id="hub",
            client_auth="private_key_jwt",
            client_key_file=second.key,
        ),
    )
    site.pages, routes = officer_pages(settings, LogInMemory(), VOCABULARY, site.work)
    site.app = with_missing(site.pages, routes)
    with served(site):
        olga = Plain(site)
        assert olga.get(say_yes(olga.to_provider(), "olga")).status_code == 303
        assert olga.get("/lijst").status_code == 200


def test_an_answer_of_another_provider_is_refused(second: Second) -> None:
    with served(desk_of(second)) as site:
        jan = Plain(site)
        back = say_yes(jan.to_provider(), "jan")
        mixed = back.replace(
            f"iss={second.issuer}".replace(":", "%3A").replace("/", "%2F"), "iss=https%3A%2F%2Fx"
        )
        assert mixed != back
        assert jan.get(mixed).status_code == 401
        assert jan.get("/kijken").status_code == 401


def test_a_wrong_secret_logs_nobody_in(second: Second, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.txt"
    wrong.write_text("guess")
    with served(desk_of(second, client_secret_file=wrong)) as site:
        jan = Plain(site)
        assert jan.get(say_yes(jan.to_provider(), "jan")).status_code == 401
        assert jan.get("/kijken").status_code == 401
