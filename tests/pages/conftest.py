"""Browser, provider and sites for the tests of pages. Without Chromium they are skipped, visibly."""

import contextlib
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Route, sync_playwright

from nodes.settings import CounterSettings
from tests.pages.world import Site, node_site, officer_site, served

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
USERS = {
    "jan": {"name": "Jan", "roles": ["generalist"], "team": "wijkteam-noord"},
    "bea": {"name": "Bea", "roles": ["bronbeheerder"], "team": "schuldhulp"},
    "sam": {"name": "Sam", "roles": ["inkomensconsulent", "bronbeheerder"], "team": "inkomen"},
    "olga": {"name": "Olga", "roles": ["privacy_officer"], "oin": "00000009990000000101"},
    "rolf": {"name": "Rolf", "roles": ["generalist", "privacy_officer"], "team": "wijkteam-noord"},
    "tom": {"name": "Tom", "roles": ["teamleider"]},
    "fatima": {"name": "Fatima", "bsn": "999993653"},
    "loes": {"name": "Loes", "roles": ["balie"]},
    "lotte": {"name": "Lotte", "roles": ["balie"], "bsn": "999990639"},
    "mandy": {"name": "Mandy", "roles": ["generalist_mandaat"], "team": "wijkteam-noord"},
    "nobody": {"name": "Nobody"},
}


@pytest.fixture(scope="session")
def issuer() -> Iterator[str]:
    """A provider on loopback whose users are `USERS`, and that exchanges an id token for a grant."""
    with provider() as address:
        yield address


@contextlib.contextmanager
def provider() -> Iterator[str]:
    """The provider of `issuer`, for whoever is no test."""
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from oidc_provider_mock import User
        from oidc_provider_mock._app import app as provider_app
    import flask
    import werkzeug.serving

    app = provider_app(user_claims=[User(sub=sub, claims=dict(claims)) for sub, claims in USERS.items()])
    app.debug = False

    @app.post("/token-exchange")
    def exchange() -> flask.Response:
        good = flask.request.form["subject_token"].count(".") == 2
        return flask.jsonify(access_token="grant" if good else None)

    server = werkzeug.serving.make_server("localhost", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    thread.join(2)


@pytest.fixture(scope="session", autouse=True)
def settled_clicks() -> Iterator[None]:
    """A click ends when the page that it leads to is loaded; of itself it ends before its styles came."""
    click = Locator.click

    def settled(self: Locator, **options: Any) -> None:
        click(self, **options)
        self.page.wait_for_load_state()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Locator, "click", settled)
        yield


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Ends with its module: while it lives, its thread has a running event loop, which others need."""
    if not CHROMIUM.exists():
        pytest.skip("no /usr/bin/chromium: apt-get install -y chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A phone-sized window without script; every request that is not for this machine is stopped."""
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, java_script_enabled=False, locale="nl-NL"
    )
    own_machine_only(context)
    yield context
    context.close()


def own_machine_only(context: BrowserContext) -> None:
    """Stop every request that is not for this machine; wait seconds, not half a minute."""
    context.set_default_timeout(10_000)
    context.route(lambda url: not url.startswith(("http://localhost:", "data:")), _stop)


def _stop(route: Route) -> None:
    route.abort()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


@pytest.fixture
def desk(issuer: str) -> Iterator[Site]:
    with served(node_site({"desk"}, issuer)) as site:
        yield site


@pytest.fixture
def source(issuer: str) -> Iterator[Site]:
    with served(node_site({"source"}, issuer)) as site:
        yield site


@pytest.fixture
def portal(issuer: str) -> Iterator[Site]:
    with served(node_site({"portal"}, issuer, grant_url=f"{issuer}/token-exchange")) as site:
        yield site


@pytest.fixture
def counter(issuer: str) -> Iterator[Site]:
    """A portal with a counter."""
    place = CounterSettings(name="Balie, Stadhuis Waterrijk")
    with served(node_site({"portal"}, issuer, grant_url=f"{issuer}/token-exchange", counter=place)) as site:
        yield site


@pytest.fixture
def officer(issuer: str) -> Iterator[Site]:
    with served(officer_site(issuer)) as site:
        yield site


Enter = Callable[[Page, Site, str], None]


@pytest.fixture
def enter() -> Enter:
    """Log in at a site as one of `USERS`, through the provider's page."""

    def log_in(page: Page, site: Site, user: str) -> None:
        page.goto(site.url)
        page.get_by_role("link", name="Inloggen").click()
        page.get_by_role("button", name=user, exact=True).click()

    return log_in
