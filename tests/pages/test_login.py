"""Logging in and staying logged in: what a stolen, forged or old answer, cookie or form gets."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import flask
import jwt
import pytest
import werkzeug.serving
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi.routing import APIRoute
from pydantic import ValidationError

from consent.pages import LoginSettings, PageSettings
from consent.pages.pages import local_path
from consent.pages.sessions import MOST_SESSIONS, Sessions
from index.officer import Unconfirmed
from tests.pages.client import Plain
from tests.pages.world import SECRET, WITH_FLAGS, Site, node_site, served


def test_the_session_cookie_is_for_this_host_only_and_holds_nothing(desk: Site) -> None:
    answer = Plain(desk).get("/login")
    line = answer.headers["set-cookie"]
    assert line.startswith("__Host-vw-proef=")
    for part in ("HttpOnly", "Secure", "Path=/", "SameSite=lax"):
        assert part in line
    assert "Domain" not in line


def test_the_login_uses_a_challenge_a_state_and_a_nonce(desk: Site) -> None:
    query = parse_qs(urlsplit(Plain(desk).to_provider()).query)
    assert query["code_challenge_method"] == ["S256"]
    assert len(query["code_challenge"][0]) == 43
    assert len(query["state"][0]) >= 32
    assert len(query["nonce"][0]) >= 32


def test_the_session_gets_another_id_at_login(desk: Site) -> None:
    jan = Plain(desk)
    address = jan.to_provider()
    before = jan.session
    assert jan.get(jan.approve(address, "jan")).status_code == 303
    assert jan.session != before
    assert jan.get("/kijken").status_code == 200
    thief = Plain(desk)
    thief.cookies[desk.pages.settings.cookie] = before
    assert thief.get("/kijken").status_code == 401


def test_an_answer_that_another_browser_asked_for_is_worth_nothing(desk: Site) -> None:
    jan, mallory = Plain(desk), Plain(desk)
    path = jan.approve(jan.to_provider(), "jan")
    assert mallory.get(path).status_code == 401
    mallory.to_provider()
    assert mallory.get(path).status_code == 401
    assert mallory.get("/kijken").status_code == 401


def test_a_code_of_another_login_is_refused_for_its_nonce(desk: Site) -> None:
    jan, mallory = Plain(desk), Plain(desk)
    code = parse_qs(urlsplit(jan.approve(jan.to_provider(), "jan")).query)["code"][0]
    state = parse_qs(urlsplit(mallory.to_provider()).query)["state"][0]
    assert mallory.get(f"/login/terug?code={code}&state={state}").status_code == 401
    assert mallory.get("/kijken").status_code == 401


def test_an_answer_counts_once(desk: Site) -> None:
    jan = Plain(desk)
    path = jan.approve(jan.to_provider(), "jan")
    assert jan.get(path).status_code == 303
    assert jan.get(path).status_code == 401


def test_a_login_that_is_refused_at_the_provider_says_so(desk: Site) -> None:
    jan = Plain(desk)
    state = parse_qs(urlsplit(jan.to_provider()).query)["state"][0]
    answer = jan.get(f"/login/terug?error=access_denied&state={state}")
    assert answer.status_code == 401
    assert "U bent niet ingelogd." in answer.text


def test_logging_in_leads_back_to_the_page_that_asked_for_it(desk: Site) -> None:
    jan = Plain(desk)
    address = jan.get("/login?naar=/bezoeken").headers["location"]
    assert jan.get(jan.approve(address, "jan")).headers["location"] == "/bezoeken"


def test_a_provider_that_is_down_reads_as_one_plain_sentence() -> None:
    with served(node_site({"desk"}, "http://localhost:1")) as site:
        answer = Plain(site).get("/login")
    assert answer.status_code == 503
    assert "Wij kunnen u nu niet laten inloggen." in answer.text


@pytest.mark.parametrize("user", ["tom", "bea"])
def test_who_has_no_role_for_the_desk_does_not_get_in(desk: Site, user: str) -> None:
    visitor = Plain(desk)
    assert "uw functie heeft deze pagina niet" in visitor.log_in(user).text
    assert visitor.get("/kijken").status_code == 401


def test_a_citizen_without_number_does_not_get_in(portal: Site) -> None:
    visitor = Plain(portal)
    answer = visitor.log_in("nobody")
    assert "Zonder burgerservicenummer kan opzoeken niet." in answer.text
    assert visitor.get("/mijn").status_code == 401


def test_that_nobody_confirms_the_log_stands_on_every_officers_page(officer: Site) -> None:
    olga = Plain(officer)
    olga.log_in("olga")
    pages = [
        route.path
        for route in all_routes(officer.app.routes)
        if "GET" in getattr(route, "methods", ()) and getattr(route.endpoint, "who", None) is not None
    ]
    assert len(pages) > 5
    since = datetime(2026, 11, 22, 8, 5, tzinfo=UTC)
    for found, words in (
        (None, []),
        (Unconfirmed(since, ""), ["langer dan 4 uur", "Laatst bevestigd: 22 november"]),
        (Unconfirmed(None, "the witness w1 has seen more"), ["the witness w1 has seen more"]),
    ):
        officer.log.nobody_confirms = found
        for path in pages:
            answer = olga.get(path)
            if answer.status_code != 200 and "{" in path:
                continue  # about something that is not there: it leads to a page that is
            shown = answer.text
            assert [word for word in words if word not in shown] == [], path
            assert (found is not None) == ('class="vw-alert vw-alert--bad" role="alert"' in shown), path
    assert "langer dan 4 uur" not in Plain(officer).get("/").text


def test_only_officers_get_in_at_the_hub(officer: Site) -> None:
    jan, olga = Plain(officer), Plain(officer)
    assert jan.log_in("jan").status_code == 403
    assert jan.get("/lijst").status_code == 401
    assert olga.log_in("olga").status_code == 303
    assert olga.get("/lijst").status_code == 200


def test_each_part_is_for_its_own_role(issuer: str) -> None:
    with served(node_site({"desk", "source"}, issuer)) as site:
        reachable = {}
        for user in ("jan", "bea", "sam"):
            visitor = Plain(site)
            visitor.log_in(user)
            reachable[user] = [visitor.get(path).status_code for path in ("/kijken", "/bron")]
    assert reachable == {"jan": [200, 403], "bea": [403, 200], "sam": [200, 200]}


def test_the_number_goes_to_the_citizen_session_and_to_no_cookie_page_or_address(portal: Site) -> None:
    fatima = Plain(portal)
    answer = fatima.log_in("fatima")
    page = fatima.get("/mijn")
    assert portal.citizens.opened_with == ["grant"]
    for text in (answer.headers["location"], str(fatima.cookies), page.text, str(page.headers)):
        assert WITH_FLAGS not in text
    (session,) = [s for s in portal.pages.sessions._by_id.values() if s.person]
    assert WITH_FLAGS not in repr(session.person)
    assert WITH_FLAGS not in repr(session)


def test_logging_out_forgets_session_and_cookie(portal: Site) -> None:
    fatima = Plain(portal)
    fatima.log_in("fatima")
    old = fatima.session
    answer = fatima.post("/uitloggen", {"csrf": fatima.token("/mijn")})
    assert answer.headers["location"] == "/uitgelogd"
    assert fatima.cookies == {}
    assert portal.citizens.opened_with == []
    fatima.cookies[portal.pages.settings.cookie] = old
    assert fatima.get("/mijn").status_code == 401


BAD_FORMS: dict[str, Callable[[str, Site], tuple[dict[str, str], dict[str, str]]]] = {
    "no token": lambda token, site: ({}, {}),
    "another token": lambda token, site: ({"csrf": token[::-1]}, {}),
    "another origin": lambda token, site: ({"csrf": token}, {"Origin": "http://localhost:1"}),
    "no origin": lambda token, site: ({"csrf": token}, {"Origin": ""}),
    "null origin": lambda token, site: ({"csrf": token}, {"Origin": "null"}),
    "null origin, other site": lambda token, site: (
        {"csrf": token},
        {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
    ),
    "too large": lambda token, site: ({"csrf": token, "more": "x" * 70_000}, {}),
}


@pytest.mark.parametrize("way", BAD_FORMS)
def test_a_form_from_elsewhere_does_nothing(desk: Site, way: str) -> None:
    jan = Plain(desk)
    jan.log_in("jan")
    data, headers = BAD_FORMS[way](jan.token("/kijken/wie?doel=huisbezoek"), desk)
    form = {"doel": "huisbezoek", "nummer-1": WITH_FLAGS, "zaak": "Z-1", **data}
    answer = jan.post("/kijken/wie", form, **headers)
    assert answer.status_code == 403
    assert "Wij hebben niets gedaan." in answer.text
    assert desk.visits.opened == {}
    assert WITH_FLAGS not in answer.text


def test_our_own_form_is_taken_also_when_the_browser_withholds_its_origin(desk: Site) -> None:
    jan = Plain(desk)
    jan.log_in("jan")
    form = {
        "csrf": jan.token("/kijken/wie?doel=huisbezoek"),
        "doel": "huisbezoek",
        "nummer-1": WITH_FLAGS,
        "zaak": "Z-1",
    }
    answer = jan.post("/kijken/wie", form, **{"Origin": "null", "Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 303
    assert len(desk.visits.opened) == 1


def test_every_page_carries_the_safe_headers(desk: Site) -> None:
    jan = Plain(desk)
    jan.log_in("jan")
    for path in ("/", "/kijken", "/bezoeken", "/leeg", "/nergens", "/uitgelogd"):
        headers = jan.get(path).headers
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]


def all_routes(routes: list[Any]) -> list[Any]:
    """Routes of routers inside routers too."""
    found = []
    for route in routes:
        inner = getattr(route, "original_router", None)
        found += all_routes(inner.routes) if inner else [route]
    return found


@pytest.mark.parametrize("part", ["desk", "portal", "source"])
def test_every_page_says_who_may_open_it(issuer: str, part: str) -> None:
    site = node_site({part}, issuer)
    free = {"/", "/login", "/login/terug", "/uitloggen", "/uitgelogd", "/leeg"}
    free |= {"/taal/{language}", "/code/{code}"}
    walked = 0
    for route in all_routes(site.app.routes):
        assert not isinstance(route, APIRoute)
        if route.path in free or route.path.startswith("/stijl-"):
            continue
        if route.path == "/blad" and route.methods == {"POST"}:
            continue  # the sheet follows from its form alone
        walked += 1
        assert route.endpoint.who is not None, route.path
    assert walked >= 3


def test_a_session_ends_after_a_quarter_of_an_hour_without_a_page() -> None:
    now = [0.0]
    sessions: Sessions[str] = Sessions(900, 3600, lambda: now[0])
    session = sessions.begin()
    for _ in range(3):
        now[0] += 899
        assert sessions.find(session.id) is session
    now[0] += 901 - 899 + 899
    assert sessions.find(session.id) is None


def test_a_session_ends_after_an_hour_whatever_happens() -> None:
    now = [0.0]
    sessions: Sessions[str] = Sessions(900, 3600, lambda: now[0])
    session = sessions.begin()
    session.person = "somebody"
    while now[0] < 3600:
        assert sessions.find(session.id) is session
        now[0] += 600
    now[0] = 3601
    assert sessions.find(session.id) is None
    assert session.person is None


def test_a_page_that_the_browser_loads_by_itself_is_no_activity() -> None:
    now = [0.0]
    sessions: Sessions[str] = Sessions(900, 3600, lambda: now[0])
    session = sessions.begin()
    now[0] = 800
    assert sessions.find(session.id, touch=False) is session
    now[0] = 901
    assert sessions.find(session.id) is None


def test_a_flood_of_strangers_ends_nobodys_login() -> None:
    sessions: Sessions[str] = Sessions(900, 3600, lambda: 0.0)
    mine = sessions.begin()
    mine.person = "somebody"
    for _ in range(MOST_SESSIONS + 10):
        sessions.begin()
    assert sessions.find(mine.id) is mine
    assert len(sessions._by_id) <= MOST_SESSIONS


@pytest.mark.parametrize(
    "wanted",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "evil",
        "",
        "javascript:alert(1)",
        "/" + "a" * 600,
    ],
)
def test_the_way_back_never_leaves_the_site(wanted: str) -> None:
    assert local_path(wanted) == "/"


def test_the_way_back_keeps_a_page_of_the_site() -> None:
    assert local_path("/lijst?dag=2026-11-24&bladzijde=2") == "/lijst?dag=2026-11-24&bladzijde=2"


@pytest.mark.parametrize(
    "wrong",
    [
        {"origin": "http://desk.example"},
        {"origin": "https://desk.example/?x=1"},
        {"process_id": "Desk;"},
        {"login": {"issuer": "http://id.example", "client_id": "x"}},
        {"login": {"issuer": "https://id.example", "client_id": "x", "algorithms": ["HS256"]}},
        {"login": {"issuer": "https://id.example", "client_id": "x", "client_auth": "private_key_jwt"}},
        {"login": {"issuer": "https://id.example", "client_id": "x", "scope": "profile"}},
        {"login": {"issuer": "https://id.example", "client_id": "x", "password": "x"}},
    ],
)
def test_an_unsafe_setting_stops_the_process(wrong: dict[str, Any]) -> None:
    good: dict[str, Any] = {
        "process_id": "desk",
        "origin": "https://desk.example",
        "login": {"issuer": "https://id.example", "client_id": "x"},
    }
    assert PageSettings(**good).cookie == "__Host-vw-desk"
    with pytest.raises(ValidationError):
        PageSettings(**{**good, **wrong})


@dataclass
class Forger:
    """A provider that signs whatever a test wants, to see what the login believes."""

    url: str = ""
    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    token: Callable[[dict[str, Any]], str] = lambda claims: ""
    userinfo: dict[str, Any] = field(default_factory=dict)
    nonce: str = ""

    def claims(self) -> dict[str, Any]:
        now = int(time.time())
        return {
            "iss": self.url,
            "aud": "proef",
            "sub": "jan",
            "iat": now,
            "exp": now + 300,
            "nonce": self.nonce,
            "roles": ["generalist"],
            "team": "wijkteam-noord",
            "name": "Jan",
        }

    def signed(self, claims: dict[str, Any]) -> str:
        return jwt.encode(claims, self.key, algorithm="RS256", headers={"kid": "k"})


@pytest.fixture
def forger() -> Iterator[Forger]:
    forged = Forger()
    app = flask.Flask("forger")

    @app.get("/.well-known/openid-configuration")
    def discovery() -> flask.Response:
        names = ("authorization", "token", "userinfo")
        ends = {f"{name}_endpoint": f"{forged.url}/{name}" for name in names}
        return flask.jsonify(issuer=forged.url, jwks_uri=f"{forged.url}/jwks", **ends)

    @app.get("/jwks")
    def jwks() -> flask.Response:
        public = jwt.algorithms.RSAAlgorithm.to_jwk(forged.key.public_key(), as_dict=True)
        return flask.jsonify(keys=[{**public, "kid": "k", "alg": "RS256", "use": "sig"}])

    @app.post("/token")
    def token() -> flask.Response:
        made = forged.token(forged.claims())
        return flask.jsonify(access_token="a", token_type="Bearer", expires_in=60, id_token=made)

    @app.get("/userinfo")
    def userinfo() -> flask.Response:
        return flask.jsonify(forged.userinfo)

    server = werkzeug.serving.make_server("localhost", 0, app, threaded=True)
    forged.url = f"http://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield forged
    server.shutdown()


def attempt(forger: Forger) -> int:
    """Log in with the forger's token; the status of the page after it."""
    with served(node_site({"desk"}, forger.url)) as site:
        visitor = Plain(site)
        query = parse_qs(urlsplit(visitor.to_provider()).query)
        forger.nonce = query["nonce"][0]
        visitor.get(f"/login/terug?code=c&state={query['state'][0]}")
        return visitor.get("/kijken").status_code


def test_a_token_that_is_right_in_everything_is_believed(forger: Forger) -> None:
    forger.token = forger.signed
    assert attempt(forger) == 200


FORGERIES: dict[str, Callable[[Forger, dict[str, Any]], str]] = {
    "for another client": lambda f, c: f.signed({**c, "aud": "somebody-else"}),
    "for several, not made for us": lambda f, c: f.signed({**c, "aud": ["proef", "x"], "azp": "x"}),
    "of another issuer": lambda f, c: f.signed({**c, "iss": "https://id.example"}),
    "of another login": lambda f, c: f.signed({**c, "nonce": "n" * 32}),
    "without nonce": lambda f, c: f.signed({k: v for k, v in c.items() if k != "nonce"}),
    "over": lambda f, c: f.signed({**c, "iat": c["iat"] - 600, "exp": c["iat"] - 60}),
    "from the future": lambda f, c: f.signed({**c, "iat": c["iat"] + 600, "exp": c["iat"] + 900}),
    "without end": lambda f, c: f.signed({k: v for k, v in c.items() if k != "exp"}),
    "too long": lambda f, c: f.signed({**c, "exp": c["iat"] + 90_000}),
    "without subject": lambda f, c: f.signed({k: v for k, v in c.items() if k != "sub"}),
    "unsigned": lambda f, c: jwt.encode(c, "", algorithm="none", headers={"kid": "k"}),
    "signed with a shared secret": lambda f, c: jwt.encode(
        c, "0123456789abcdef0123456789abcdef", algorithm="HS256", headers={"kid": "k"}
    ),
    "signed by another": lambda f, c: jwt.encode(
        c, rsa.generate_private_key(65537, 2048), algorithm="RS256", headers={"kid": "k"}
    ),
    "signed under an unknown key": lambda f, c: jwt.encode(
        c, f.key, algorithm="RS256", headers={"kid": "other"}
    ),
    "no token at all": lambda f, c: "garbage",
}


@pytest.mark.parametrize("way", FORGERIES)
def test_a_forged_token_is_refused(forger: Forger, way: str) -> None:
    forger.token = lambda claims: FORGERIES[way](forger, claims)
    assert attempt(forger) == 401


def test_claims_that_the_token_lacks_are_asked_and_must_be_about_the_same_person(forger: Forger) -> None:
    def bare(claims: dict[str, Any]) -> str:
        return forger.signed({k: v for k, v in claims.items() if k not in ("roles", "team", "name")})

    forger.token = bare
    forger.userinfo = {"sub": "jan", "roles": ["generalist"], "team": "wijkteam-noord"}
    assert attempt(forger) == 200
    forger.userinfo = {"sub": "olga", "roles": ["generalist"], "team": "wijkteam-noord"}
    assert attempt(forger) == 401


def test_a_login_below_the_wanted_assurance_is_refused(forger: Forger) -> None:
    settings = LoginSettings(
        issuer=forger.url,
        client_id="proef",
        client_auth="client_secret_basic",
        client_secret_file=SECRET,
        required_acr=("hoog",),
    )
    import asyncio

    from consent.pages.login import Login, LoginFailed

    async def log_in(acr: str) -> str:
        login = Login(PageSettings(process_id="proef", origin="http://localhost:9", login=settings))
        begun, address = await login.begin("/")
        assert "acr_values=hoog" in address
        forger.nonce = begun.nonce
        forger.token = lambda claims: forger.signed({**claims, "acr": acr})
        try:
            return (await login.finish(begun, {"state": begun.state, "code": "c"})).subject
        except LoginFailed as error:
            return error.code

    assert asyncio.run(log_in("hoog")) == "jan"
    assert asyncio.run(log_in("laag")) == "assurance"


def test_who_may_look_is_not_the_officer_of_the_own_looks(desk: Site) -> None:
    both, officer, generalist = Plain(desk), Plain(desk), Plain(desk)
    both.log_in("rolf")
    officer.log_in("olga")
    generalist.log_in("jan")
    assert both.get("/kijken").status_code == 200
    assert both.get("/toezicht/lijst").status_code == 403
    assert generalist.get("/toezicht/lijst").status_code == 403
    assert officer.get("/toezicht/lijst").status_code == 200
    for path in ("/kijken", "/bezoeken", "/vragen"):
        assert officer.get(path).status_code == 403


def test_an_officers_button_leads_back_to_a_page_of_officers_and_nowhere_else(desk: Site) -> None:
    officer = Plain(desk)
    officer.log_in("olga")
    token = officer.token("/toezicht/uitvoer")
    form = {"csrf": token, "regel": "2026-40", "waarom": "patroon", "terug": "//elsewhere.example"}
    officer.post("/toezicht/vraag", form)
    officer.post("/toezicht/vraag", {**form, "regel": "2026-x"})
    officer.post("/toezicht/vraag", {**form, "waarom": "zomaar"})
    officer.post("/toezicht/vraag", {"csrf": token, "vraag": "A" * 22, "uitkomst": "prima"})
    officer.post("/toezicht/uitvoer", {"csrf": token, "vorm": "ldv", "maand": "2020-01"})
    assert [(one.act, one.index) for one in desk.oversight.done] == [("ask", 40)]
    assert desk.oversight.saved == []
    saved = officer.post("/toezicht/uitvoer", {"csrf": token, "vorm": "ldv", "maand": "2026-10"})
    assert saved.headers["content-disposition"] == 'attachment; filename="vlagwijzer-ldv-2026-10.jsonl"'
    assert desk.oversight.saved == [("ldv", "2026-10")]
