"""A BRP on loopback that speaks the documented form, with knobs for everything that can go wrong."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FIELDS = {"burgerservicenummer", "geboorte.datum", "gezag", "indicatieCurateleRegister"}


def full_date(text: str) -> dict[str, Any]:
    return {"datum": {"type": "Datum", "datum": text, "langFormaat": "een dag"}}


def record(bsn: str, birth: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A person as the service gives one; false and empty fields are left out there too."""
    return {"burgerservicenummer": bsn, **({"geboorte": birth} if birth else {}), **more}


def both_parents(child: str, *parents: str) -> dict[str, Any]:
    return {
        "type": "GezamenlijkOuderlijkGezag",
        "minderjarige": {"burgerservicenummer": child},
        "ouders": [{"burgerservicenummer": parent} for parent in parents],
    }


@dataclass
class BrpServer:
    """`answer` replaces the body, `status` the status; `wait` is set to let slow answers go."""

    records: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    answer: bytes | None = None
    drip: bool = False
    redirect: str = ""
    wait: threading.Event = field(default_factory=threading.Event)
    slow: bool = False
    seen: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    tokens: int = 0
    url: str = ""

    def body(self, raw: bytes) -> tuple[int, bytes]:
        question = json.loads(raw)
        assert set(question) == {"type", "burgerservicenummer", "fields"}
        assert question["type"] == "RaadpleegMetBurgerservicenummer"
        if not set(question["fields"]) <= FIELDS or not 0 < len(question["burgerservicenummer"]) <= 20:
            return 400, b'{"status": 400, "code": "paramsValidation"}'
        asked = set(question["burgerservicenummer"])
        found = [item for item in self.records if item["burgerservicenummer"] in asked]
        return 200, json.dumps({"type": question["type"], "personen": found}).encode()


@contextmanager
def brp_server() -> Iterator[BrpServer]:
    knobs = BrpServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            knobs.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}, raw))
            if self.path == "/token":
                knobs.tokens += 1
                return self._send(200, b'{"access_token": "bewijs-%d", "expires_in": 300}' % knobs.tokens)
            if knobs.slow:
                knobs.wait.wait(10)
            status, body = knobs.body(raw)
            if knobs.answer is not None:
                body = knobs.answer
            if knobs.status != 200:
                status = knobs.status
            return self._send(status, body)

        def _send(self, status: int, body: bytes) -> None:
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json; charset=utf-8")
                if knobs.redirect:
                    self.send_header("Location", knobs.redirect)
                self.send_header("Content-Length", str(len(body) + (1 if knobs.drip else 0)))
                self.end_headers()
                self.wfile.write(body)
                self.wfile.flush()
                if knobs.drip:
                    knobs.wait.wait(10)
            except OSError:
                return

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    knobs.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield knobs
    finally:
        knobs.wait.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
