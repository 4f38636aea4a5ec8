"""How long the desk's pages take in a running demo, and how large they are: `python -m tests.bench.pages`.

Each figure is a whole visit's step as a browser without script does it, over loopback: form, redirect and the
page after it. The node's grid of 50 ms is on, as in use.
"""

import gzip
import json
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx

from tests.federation import Federation, start_federation
from tests.pages.client import Plain

ROUNDS = 12
"""Fewer than the budget of one employee allows in a day."""


def visitor(federation: Federation, page: str, user: str) -> Plain:
    """Somebody who is logged in at a page of the demo."""
    url = federation.info["pages"][page].rstrip("/")
    site: Any = SimpleNamespace(url=url)
    plain = Plain(site)
    address = plain.get("/login").headers["location"]
    form = plain.http.get(address)
    assert form.status_code == 200
    back = httpx.URL(plain.http.post(address, data={"sub": user}).headers["location"])
    plain.get(f"{back.path}?{back.query.decode()}")
    return plain


def timed(steps: dict[str, list[float]], name: str, step: Callable[[], str]) -> str:
    began = time.perf_counter()
    answer = step()
    steps.setdefault(name, []).append((time.perf_counter() - began) * 1000)
    return answer


def measure(federation: Federation) -> dict[str, Any]:
    """Milliseconds of each step at the desk, and bytes of every page that was seen."""
    jan, bsn = visitor(federation, "desk", "jan"), federation.citizen("fatima")["bsn"]
    steps: dict[str, list[float]] = {}
    sizes: dict[str, int] = {}
    path = "/kijken/wie?doel=huisbezoek"

    def sent(to: str, form: dict[str, str]) -> str:
        answer = jan.post(to, form)
        assert answer.status_code == 303, answer.text
        where = answer.headers["location"]
        page = jan.get(where)
        assert page.status_code == 200
        sizes[re.sub(r"/bezoeken/[\w-]+", "/bezoeken/...", where)] = len(gzip.compress(page.content))
        return str(where)

    for number in range(ROUNDS):
        token = jan.token(path)
        form = {"csrf": token, "doel": "huisbezoek", "zaak": f"Z-{number}", "nummer-1": bsn}
        where = timed(steps, "open and whether", lambda form=form: sent(path, form))  # type: ignore[misc]
        token = jan.token(where)
        ask = {"csrf": token}
        timed(steps, "what", lambda where=where, ask=ask: sent(f"{where}/onderwerpen", ask))  # type: ignore[misc]
        jan.post(f"{where}/klaar", {"csrf": token})
    for place in ("/kijken", path, "/bezoeken", "/mijn-functie", "/blad"):
        sizes[place] = len(gzip.compress(jan.get(place).content))
    fatima = visitor(federation, "portal", "fatima")
    for place in (
        "",
        "/keuzes",
        "/gekeken",
        "/bekend",
        "/berichten",
        "/stoppen",
        "/nakijken",
        "/slot",
        "/melden",
    ):
        sizes[f"/mijn{place}"] = len(gzip.compress(fatima.get(f"/mijn{place}").content))
    style = re.findall(r"/stijl-\w+\.css", jan.get("/kijken").text)[0]
    sizes["style sheet"] = len(gzip.compress(jan.get(style).content))
    return {
        "rounds": ROUNDS,
        "ms": {
            name: {
                "p50": round(statistics.median(found)),
                "p95": round(statistics.quantiles(found, n=20)[18]),
            }
            for name, found in steps.items()
        },
        "compressedBytes": dict(sorted(sizes.items(), key=lambda one: -one[1])),
    }


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        federation = start_federation(Path(folder) / "demo")
        try:
            print(json.dumps(measure(federation), indent=2))
        finally:
            federation.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
