"""A visitor without a browser: keeps cookies itself, for Python's clients withhold Secure ones from http."""

import re
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.pages.world import Site


class Plain:
    """One browser-like visitor of a site."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.cookies: dict[str, str] = {}
        self.http = httpx.Client(timeout=10, trust_env=False)

    def get(self, path: str) -> httpx.Response:
        """Fetch a page of the site; redirects are not followed."""
        return self._send("GET", path)

    def post(
        self, path: str, data: dict[str, Any], *, files: dict[str, Any] | None = None, **headers: str
    ) -> httpx.Response:
        return self._send("POST", path, data=data, files=files, headers={"Origin": self.site.url, **headers})

    def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = more.pop("headers", {})
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = self.http.request(method, self.site.url + path, headers=headers, **more)
        for line in answer.headers.get_list("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            if "Max-Age=0" in line:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        return answer

    def to_provider(self) -> str:
        """Begin a login; the provider's address."""
        return self.get("/login").headers["location"]

    def approve(self, address: str, user: str) -> str:
        """Say yes at the provider as this user; the path it sends the browser back to."""
        back = self.http.post(address, data={"sub": user}).headers["location"]
        parts = urlsplit(back)
        return f"{parts.path}?{parts.query}"

    def log_in(self, user: str) -> httpx.Response:
        """The whole login; the answer that ends it."""
        return self.get(self.approve(self.to_provider(), user))

    def token(self, path: str) -> str:
        """The form token on a page."""
        found = re.search(r'name="csrf" value="([^"]+)"', self.get(path).text)
        assert found
        return found[1]

    @property
    def session(self) -> str:
        return self.cookies[self.site.pages.settings.cookie]
