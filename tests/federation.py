"""A running federation for tests: `vlagwijzer demo --json` as a process of its own, on free ports.

One per test session and worker. Tests reach it as an outsider does: over HTTP,
with the keys, logins and tokens that the demo prints.
"""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[1]
COMMAND = [sys.executable, "-c", "from deploy.cli import app; app()"]
UP_S = 120
PORTS = 30


def free_port_base() -> int:
    """A base from which all ports of a demo are free now."""
    from deploy.demo import plan

    bases = list(range(20000, 32000, PORTS))  # below the ports that outgoing connections get
    random.SystemRandom().shuffle(bases)
    for base in bases:
        with contextlib.ExitStack() as stack:
            try:
                for port in plan.ports(base).values():
                    sock = stack.enter_context(socket.socket())
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    sock.bind(("127.0.0.1", port))
            except OSError:
                continue
        return base
    raise RuntimeError("no free row of ports")


def eventually(condition: Callable[[], Any], within: float = 60.0, every: float = 0.25) -> Any:
    """The first true value of `condition`, asked again and again.

    Raises:
        AssertionError: It stayed false.
    """
    end = time.monotonic() + within
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end, "did not become true in time"
        time.sleep(every)


@dataclass
class Federation:
    """What the demo printed, and the ways in that it names."""

    info: dict[str, Any]
    folder: Path
    base: int
    process: subprocess.Popen[str]
    _extra: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def node(self, node_id: str) -> dict[str, Any]:
        return next(node for node in self.info["nodes"] if node["id"] == node_id)

    def person(self, name: str) -> dict[str, Any]:
        return next(person for person in self.info["people"] if person["name"] == name)

    def citizen(self, user: str) -> dict[str, Any]:
        return next(citizen for citizen in self.info["citizens"] if citizen["login"]["user"] == user)

    def token(self, person: str) -> str:
        """A fresh employee token, as `vlagwijzer demo token` prints it."""
        made = subprocess.run(
            [*COMMAND, "demo", "token", person, "--data", str(self.folder)],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        )
        return made.stdout.strip()

    def system(self, node_id: str, person: str = "") -> httpx.Client:
        """A calling system at a node: its API key, and an employee's token when a person is named."""
        node = self.node(node_id)
        headers = {"X-API-Key": node["apiKey"]}
        if person:
            headers["Authorization"] = f"Bearer {self.token(person)}"
        return httpx.Client(base_url=node["url"], headers=headers, timeout=30, trust_env=False)

    def look(self, person: str, bsn: str, purpose: str = "huisbezoek", case: str = "Z-1") -> httpx.Response:
        """Open a visit about one person, look, close it; the answer to the look, or the first refusal."""
        with self.system(self.person(person)["node"], person) as system:
            opened = system.post(
                "/v1/visits", json={"clients": [{"bsn": bsn}], "purpose": purpose, "caseReference": case}
            )
            if opened.is_error:
                return opened
            visit = opened.json()["visit"]
            seen = system.post("/v1/lookups", json={"visit": visit})
            system.post(f"/v1/visits/{visit}/closures", json={})
            return seen

    def kinds_seen(self, person: str, bsn: str, purpose: str = "huisbezoek") -> list[str]:
        """Kinds that an employee sees of one person now."""
        seen = self.look(person, bsn, purpose)
        seen.raise_for_status()
        return sorted(flag["kind"] for flag in seen.json()["persons"][0]["flags"])

    def outbox(self, node_id: str) -> dict[str, Any]:
        with self.system(node_id) as system:
            answer = system.get("/v1/outbox")
            answer.raise_for_status()
            found: dict[str, Any] = answer.json()
            return found

    def stop_holder(self, holder_id: str) -> None:
        """Kill one key holder."""
        pid = int((self.folder / "keyholders" / holder_id / "keyholder.pid").read_text())
        os.kill(pid, signal.SIGKILL)
        url = next(holder["url"] for holder in self.info["keyholders"] if holder["id"] == holder_id)

        def gone() -> bool:
            try:
                httpx.get(f"{url}/health", timeout=2, trust_env=False)
            except httpx.HTTPError:
                return True
            return False

        eventually(gone, 10)

    def start_holder(self, holder_id: str) -> None:
        """Start a killed key holder again, as an operator would."""
        home = self.folder / "keyholders" / holder_id
        with (home / "keyholder.log").open("ab") as log:
            started = subprocess.Popen(
                [*COMMAND, "keyholder", "serve", "--config", str(home / "keyholder.toml")],
                stdout=log,
                stderr=log,
                cwd=ROOT,
            )
        self._extra.append(started)
        (home / "keyholder.pid").write_text(f"{started.pid}\n")
        url = next(holder["url"] for holder in self.info["keyholders"] if holder["id"] == holder_id)

        def up() -> bool:
            with contextlib.suppress(httpx.HTTPError):
                return httpx.get(f"{url}/health", timeout=2, trust_env=False).status_code == 200
            return False

        eventually(up, 30)

    def stop(self) -> None:
        """Interrupt it as Ctrl-C does, and wait until everything ended."""
        for extra in self._extra:
            extra.terminate()
            extra.wait(10)
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(30)


def start_federation(folder: Path, *, base: int | None = None) -> Federation:
    """Start a demo in this folder and wait for the line that it prints when all is up and fed."""
    base = base or free_port_base()
    errors = folder.parent / f"{folder.name}.err"
    with errors.open("w") as stream:
        process = subprocess.Popen(
            [*COMMAND, "demo", "--json", "--port-base", str(base), "--data", str(folder)],
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
            cwd=ROOT,
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        process.wait(10)
        raise RuntimeError(f"the demo did not start: {errors.read_text()[-2000:]}")
    return Federation(json.loads(line), folder, base, process)


@pytest.fixture(scope="session")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """The demo, up and fed, for all tests of this session."""
    running = start_federation(tmp_path_factory.mktemp("federation") / "demo")
    try:
        yield running
    finally:
        running.stop()
