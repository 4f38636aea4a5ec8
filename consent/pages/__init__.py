"""What every page of every process shares: look, words, login, sessions.

    PageSettings -> Pages -> router() with login, log out, language and style sheet
                          -> page(handler, who=...) wraps each page of a part

A process has one `Pages`. A part (desk, portal, source, officer) registers its
pages through `Pages.page`, which looks up the login session, judges the origin
and the form token of each POST, and turns an exception into a page with a
plain sentence. Everything works without a script; nothing is stored on the
visitor's device but a random session id and the chosen language.

This package knows no citizen service number: what a login tells about a person
goes to the `welcome` function of the part, and the page keeps what that returns.

Start in `pages.py`; the words are in `texts/`, the look in `static/`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from consent.pages.login import Identity, LoginFailed
    from consent.pages.pages import Pages, State, Visitor
    from consent.pages.settings import LoginSettings, PageSettings

_PLACES = {
    "Identity": "login",
    "LoginFailed": "login",
    "LoginSettings": "settings",
    "PageSettings": "settings",
    "Pages": "pages",
    "State": "pages",
    "Visitor": "pages",
}


def __getattr__(name: str) -> Any:
    # A hub without pages reads page settings too; the login's libraries are a sixth of its start.
    if name not in _PLACES:
        raise AttributeError(name)
    return getattr(import_module(f"consent.pages.{_PLACES[name]}"), name)


__all__ = ["Identity", "LoginFailed", "LoginSettings", "PageSettings", "Pages", "State", "Visitor"]
