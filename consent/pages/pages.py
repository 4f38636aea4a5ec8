"""One way for every page: who is it, may they, is the form ours, what went wrong in plain words.

    request -> session -> may they -> POST: origin and form token -> handler -> page
                                                        exception -> a page with one plain sentence

A handler gets a `Visitor` and returns a response; it never touches cookies,
tokens or headers. Forms answer with a redirect (303), so that Back and the
language switch never send a form twice.

Source: screens.md §1; access-log.md §7, point 7; ecosystem.md §5.
"""

import functools
import hmac
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import jinja2
import structlog
from fastapi import APIRouter
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from consent.pages.login import Identity, Login, LoginFailed
from consent.pages.sessions import Kept, Session, Sessions
from consent.pages.settings import PageSettings
from consent.pages.style import sheet
from consent.pages.words import LANGUAGES, Words, words

Person = TypeVar("Person")
MAX_FORM = 64 * 1024
# Letters that are not confused when read out over the telephone, and never a digit.
ERROR_LETTERS = "ABCDEFGHKLMNPRSTVWXZ"

HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
}

log = structlog.get_logger(__name__)


class NotLoggedIn(Exception):
    """The page needs a login and there is none, or it is over."""


class NotForYou(Exception):
    """Logged in, but this page is for another role."""


class FormRefused(Exception):
    """A form that did not come from our own page in this session, or is too large."""


@dataclass(frozen=True, slots=True)
class State:
    """What a page says instead of its content: `state.<key>` in the words, and a status."""

    key: str
    status: int
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Door(Generic[Person]):
    """An entry of the menu. The first one a person may open is where a login ends."""

    path: str
    label: str
    who: Callable[[Person], bool]


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that everybody who is logged in must know, above every page.

    `text` and `do` are keys of the words, `since` a time that belongs to them, `detail` a line in English.
    """

    text: str
    do: str = ""
    since: datetime | None = None
    since_text: str = ""
    detail: str = ""


class Visitor(Generic[Person]):
    """One request as a handler sees it."""

    def __init__(
        self, pages: "Pages[Person]", request: Request, session: Session[Person] | None, language: str
    ) -> None:
        self.pages = pages
        self.request = request
        self.session = session
        self.words: Words = words(language)
        self.form: FormData = FormData()
        self.lost = False
        self.login_to = ""
        """Where a login that is asked now leads, if that is no page that was asked for."""

    @property
    def person(self) -> Person:
        """Who is logged in.

        Raises:
            NotLoggedIn: Nobody is.
        """
        if self.session is None or self.session.person is None:
            raise NotLoggedIn
        return self.session.person

    @property
    def drawer(self) -> dict[str, object]:
        """What this login carries from one page to the next.

        Raises:
            NotLoggedIn: There is no session.
        """
        if self.session is None:
            raise NotLoggedIn
        return self.session.drawer

    def kept(self) -> Mapping[str, str]:
        """What this person typed on this page before their login ended; told once."""
        found = self.session.kept if self.session else None
        if found is None or self.session is None or found.path != self.request.url.path:
            return {}
        self.session.kept = None
        return found.fields

    def field(self, name: str) -> str:
        """One field of the form, without spaces around it; empty when absent or a file."""
        value = self.form.get(name)
        return value.strip() if isinstance(value, str) else ""

    def fields(self, name: str) -> list[str]:
        return [value.strip() for value in self.form.getlist(name) if isinstance(value, str)]

    def show(self, template: str, status: int = 200, *, blank: bool = False, **context: object) -> Response:
        """A page. `blank`: it holds something about a person and empties itself after five minutes."""
        html = self.pages.templates.get_template(template).render(**self._frame(), **context)
        response = HTMLResponse(html, status, dict(HEADERS))
        if blank:
            # A header and not a meta element: the same effect without a script, and axe rightly
            # refuses timed meta elements; here the time is a protection and the page says it.
            response.headers["Refresh"] = f"{self.pages.settings.blank_minutes * 60}; url=/leeg"
        return response

    def say(self, state: State) -> Response:
        """A page that holds one plain sentence and the way back. A value `reason` is a key of `reason`."""
        values = {
            name: self.words(f"reason.{value}") if name == "reason" else value
            for name, value in state.values.items()
        }
        return self.show("state.html", state.status, state=state, values=values)

    def go(self, path: str) -> Response:
        return RedirectResponse(path, 303, dict(HEADERS))

    def _again(self) -> str:
        """This page's address for the language switch; after a form, the page that the form was on.

        An address that does not exist is not repeated: what was typed there may be anything, a number too.
        """
        if self.lost:
            return "/"
        return self.address

    @property
    def address(self) -> str:
        """Path and query of this request."""
        query = self.request.url.query
        return f"{self.request.url.path}?{query}" if query else self.request.url.path

    def _frame(self) -> dict[str, Any]:
        """What the base template needs on every page."""
        person = self.session.person if self.session else None
        return {
            "t": self.words,
            "settings": self.pages.settings,
            "site": self.pages.site,
            "languages": self.pages.languages,
            "csrf": self.session.csrf if self.session else "",
            "logged_in": person is not None,
            "person": person,
            "menu": [d for d in self.pages.doors if d.who(person)] if person is not None else [],
            "here": "" if self.lost else self.request.url.path,
            "here_again": self._again(),
            "login_to": self.login_to or (self._again() if self.request.method == "GET" else "/"),
            "kept": bool(self.login_to),
            "style": self.pages.style_path,
            "warned": self.pages.warned() if person is not None else None,
        }


Handler = Callable[[Visitor[Person]], Awaitable[Response]]
Keep = Callable[[FormData], Mapping[str, str]]
Endpoint = Callable[[Request], Awaitable[Response]]


class Pages(Generic[Person]):
    """All pages of one process.

    Args:
        settings: Of this process.
        welcome: Turns a checked login into the person kept in the session. May refuse by raising
            one of `judge`'s exceptions. Sees the raw claims; nothing else does.
        templates: Import packages with a folder `templates`, besides the shared one.
        judge: Which exception gives which state; None for "not mine", which becomes an error page.
        site: Key in the words of this site's name.
        door: Template of the first page, before login.
        languages: Which languages the switch offers.
        farewell: Called with a person whose session ends by choice.
        warned: What stands above every page of who is logged in; asked at each page, so it must be quick.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        settings: PageSettings,
        *,
        welcome: Callable[[Identity], Awaitable[Person]],
        templates: Sequence[str] = (),
        judge: Callable[[Exception], State | None] = lambda _: None,
        site: str = "site.name",
        door: str = "door.html",
        languages: Sequence[str] = LANGUAGES,
        farewell: Callable[[Person], Awaitable[None]] | None = None,
        warned: Callable[[], Warned | None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.site = site
        self.doors: list[Door[Person]] = []
        self.languages = tuple(languages)
        self.warned = warned
        self.sessions: Sessions[Person] = Sessions(
            settings.idle_minutes * 60, settings.session_minutes * 60, clock
        )
        self._welcome = welcome
        self._farewell = farewell
        self._judge = judge
        self._door = door
        self._login = Login(settings, clock)
        self._style = sheet(settings.tokens_file)
        self.style_path = f"/stijl-{sha256(self._style).hexdigest()[:10]}.css"
        self.templates = jinja2.Environment(
            loader=jinja2.ChoiceLoader(
                [jinja2.PackageLoader(package) for package in ("consent.pages", *templates)]
            ),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.templates.filters["at"] = datetime.fromisoformat

    def router(self) -> APIRouter:
        """First page, login, log out, the neutral page, language and style sheet."""
        router = APIRouter()
        self.add(router, "/", self._first, who=None)
        self.add(router, "/login", self._begin_login, who=None)
        self.add(router, "/login/terug", self._end_login, who=None)
        self.add(router, "/uitloggen", self._log_out, methods=("POST",), who=None)
        self.add(router, "/uitgelogd", self._logged_out, who=None)
        self.add(router, "/leeg", self._blanked, who=None, touch=False)
        self.add(router, "/taal/{language}", self._language, who=None)
        router.add_route(self.style_path, self._style_sheet, ["GET"], include_in_schema=False)
        return router

    def add(
        self,
        router: APIRouter,
        path: str,
        handler: Handler[Person],
        *,
        who: Callable[[Person], bool] | None,
        methods: Sequence[str] = ("GET",),
        touch: bool = True,
        limit: int = MAX_FORM,
        pure: bool = False,
        keep: Keep | None = None,
    ) -> None:
        """Register one page. `who` decides by the logged-in person; None is for everybody.

        Args:
            touch: False where the browser loads the page by itself: that is no activity.
            limit: Largest form in bytes.
            pure: The answer to a form follows from that form alone: nothing is read or changed, so it needs
                no session, and a login that ended meanwhile loses nothing of what was typed.
            keep: What of a form may be kept when its login turns out to be over. The same person finds it on
                this page after logging in again (`Visitor.kept`); never a number of a person.
        """
        endpoint = self._endpoint(path, handler, who, touch=touch, limit=limit, pure=pure, keep=keep)
        router.add_route(path, endpoint, list(methods), include_in_schema=False)

    def _endpoint(
        self,
        path: str,
        handler: Handler[Person],
        who: Callable[[Person], bool] | None,
        *,
        touch: bool,
        limit: int,
        pure: bool,
        keep: Keep | None,
    ) -> Endpoint:
        @functools.wraps(handler)
        async def endpoint(request: Request) -> Response:
            visitor = self._visitor(request, touch)
            try:
                if who is not None and not who(visitor.person):
                    raise NotForYou
                if request.method == "POST":
                    await self._read_form(visitor, limit, pure)
                return await handler(visitor)
            except Exception as error:
                kept = None
                if isinstance(error, NotLoggedIn) and keep is not None and request.method == "POST":
                    kept = await self._keep(visitor, limit, keep)
                answer = self._explain(visitor, error, path)
                if kept is not None:
                    self._set_cookie(answer, kept)
                return answer

        endpoint.who = who  # type: ignore[attr-defined]  # a test walks all pages and reads it
        return endpoint

    def _visitor(self, request: Request, touch: bool = True) -> Visitor[Person]:
        cookie = request.cookies.get(self.settings.cookie, "")
        session = self.sessions.find(cookie, touch=touch) if cookie else None
        language = request.cookies.get(f"{self.settings.cookie}-taal", LANGUAGES[0])
        if language not in self.languages:
            language = self.languages[0]
        return Visitor(self, request, session, language)

    async def _read_form(self, visitor: Visitor[Person], limit: int, pure: bool) -> None:
        """Read the form once it is sure that it comes from our own page in this session.

        Raises:
            NotLoggedIn: The session ended between page and form.
            FormRefused: From elsewhere, without the session's token, or too large.
        """
        request = visitor.request
        if not self._same_origin(request):
            raise FormRefused
        size = request.headers.get("content-length", "")
        if not size.isascii() or not size.isdigit() or len(size) > 12 or int(size) > limit:
            raise FormRefused
        if visitor.session is None and not pure:
            raise NotLoggedIn
        visitor.form = await request.form(max_files=1, max_fields=200, max_part_size=limit)
        if visitor.session is None or pure:
            return
        if not hmac.compare_digest(visitor.field("csrf").encode(), visitor.session.csrf.encode()):
            raise FormRefused

    async def _keep(self, visitor: Visitor[Person], limit: int, keep: Keep) -> Session[Person] | None:
        """A session without a person that holds what was typed, if it is known who typed it."""
        request = visitor.request
        subject = self.sessions.whose(request.cookies.get(self.settings.cookie, ""))
        size = request.headers.get("content-length", "")
        if not subject or not self._same_origin(request) or not size.isdigit() or int(size) > limit:
            return None
        form = await request.form(max_files=0, max_fields=200, max_part_size=limit)
        session = self.sessions.begin()
        session.kept = Kept(subject, request.url.path, keep(form))
        visitor.login_to = visitor.address
        return session

    def _same_origin(self, request: Request) -> bool:
        """Under `no-referrer` a browser sends `Origin: null` with our own forms too; it then says
        in a header that no page can set whether the form came from this origin."""
        origin = request.headers.get("origin", "")
        if origin == "null":
            return request.headers.get("sec-fetch-site") == "same-origin"
        return origin == self.settings.origin

    def _explain(self, visitor: Visitor[Person], error: Exception, path: str) -> Response:
        """The page for an exception; what is unknown gets an id and shows nothing of the exception."""
        match error:
            case NotLoggedIn():
                return visitor.say(State("expired", 401))
            case NotForYou():
                return visitor.say(State("not_for_you", 403))
            case FormRefused():
                return visitor.say(State("form", 403))
            case _:
                state = self._judge(error)
        if state is None:
            id_ = "".join(secrets.choice(ERROR_LETTERS) for _ in range(8))
            id_ = f"{id_[:4]}-{id_[4:]}"
            log.error("page_failed", id=id_, error=type(error).__name__, page=path, exc_info=error)
            state = State("error", 500, {"id": id_})
        if state.key == "expired" and visitor.session is not None:
            self.sessions.end(visitor.session)
            visitor.session = None
        return visitor.say(state)

    async def missing(self, request: Request) -> Response:
        """The page for an address that does not exist; for the process's 404 handler."""
        visitor = self._visitor(request)
        visitor.lost = True
        return visitor.say(State("missing", 404))

    async def _first(self, visitor: Visitor[Person]) -> Response:
        if visitor.session is not None and visitor.session.person is not None:
            person = visitor.session.person
            for door in self.doors:
                if door.who(person):
                    return visitor.go(door.path)
            raise NotForYou
        return visitor.show(self._door)

    async def _begin_login(self, visitor: Visitor[Person]) -> Response:
        try:
            then = local_path(visitor.request.query_params.get("naar", "/"))
            attempt, address = await self._login.begin(then)
        except LoginFailed as error:
            return self._login_failed(visitor, error)
        session = visitor.session
        if session is None or session.person is not None:
            session = self.sessions.begin()
        session.attempt = attempt
        response = RedirectResponse(address, 303, dict(HEADERS))
        self._set_cookie(response, session)
        return response

    async def _end_login(self, visitor: Visitor[Person]) -> Response:
        session = visitor.session
        if session is None or session.attempt is None:
            return visitor.say(State("expired", 401))
        attempt, session.attempt = session.attempt, None
        try:
            identity = await self._login.finish(attempt, visitor.request.query_params)
        except LoginFailed as error:
            return self._login_failed(visitor, error)
        session.person = await self._welcome(identity)
        session.subject = identity.subject
        if session.kept is not None and session.kept.subject != identity.subject:
            session.kept = None
        self.sessions.renew(session, restart=True)
        response = visitor.go(attempt.then)
        self._set_cookie(response, session)
        return response

    def _login_failed(self, visitor: Visitor[Person], error: LoginFailed) -> Response:
        log.warning("login_failed", code=error.code)
        down = error.code == "provider_unreachable"
        return visitor.say(State("login_down", 503) if down else State("login_failed", 401))

    async def _log_out(self, visitor: Visitor[Person]) -> Response:
        session = visitor.session
        if session is not None:
            person = session.person
            self.sessions.end(session)
            if person is not None and self._farewell is not None:
                await self._farewell(person)
        response = visitor.go("/uitgelogd")
        response.delete_cookie(self.settings.cookie, "/", secure=True, httponly=True, samesite="lax")
        return response

    async def _logged_out(self, visitor: Visitor[Person]) -> Response:
        return visitor.show("logged_out.html")

    async def _blanked(self, visitor: Visitor[Person]) -> Response:
        return visitor.show("blanked.html")

    async def _language(self, visitor: Visitor[Person]) -> Response:
        language = visitor.request.path_params["language"]
        response = visitor.go(local_path(visitor.request.query_params.get("naar", "/")))
        if language in self.languages:
            response.set_cookie(
                f"{self.settings.cookie}-taal",
                language,
                path="/",
                secure=True,
                httponly=True,
                samesite="lax",
            )
        return response

    def new_id(self, visitor: Visitor[Person], response: Response) -> Response:
        """Change the session's id with this answer.

        A browser may keep a page for the Back button although it may not store it; a changed
        HttpOnly cookie makes it forget that page.
        """
        if visitor.session is not None:
            self.sessions.renew(visitor.session)
            self._set_cookie(response, visitor.session)
        return response

    def _set_cookie(self, response: Response, session: Session[Person]) -> None:
        response.set_cookie(
            self.settings.cookie, session.id, path="/", secure=True, httponly=True, samesite="lax"
        )

    async def _style_sheet(self, _: Request) -> Response:
        headers = {**HEADERS, "Cache-Control": "public, max-age=31536000, immutable"}
        return Response(self._style, 200, headers, media_type="text/css")


def local_path(wanted: str) -> str:
    """A path of this site, or the first page: never an address elsewhere."""
    if not wanted.startswith("/") or wanted.startswith("//") or "\\" in wanted or len(wanted) > 500:
        return "/"
    return quote(wanted, safe="/?=&-_.~%")
