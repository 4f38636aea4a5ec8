"""`node conformance`: does this node keep the promises of the outbox against a sandbox?

    publish -> change -> repeat -> outage and restart -> retract -> repeat after the retraction

Each step is judged by what the hub signed: receipts, and the digest of the
live flags that it confirms. The two invented flags are taken back at the end.
The report is for the annex of a convenant.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import httpx

from nodes.errors import BadItems, NodeError, SettingsError
from nodes.outbox import Outgoing
from nodes.publication import Publication, month_after
from nodes.runtime import NodeRuntime, open_node
from nodes.settings import NodeSettings

_PATIENCE_S = 60.0
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Judged:
    """One step: what was promised, whether it held, and what was seen."""

    step: str
    promise: str
    ok: bool
    detail: str
    seconds: float


@dataclass(slots=True)
class Report:
    """All steps of one run. The number is not in it."""

    node: str
    hub: str
    kind: str
    at: datetime
    steps: list[Judged] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every promise held, and every step was done."""
        return len(self.steps) == len(PROMISES) and all(step.ok for step in self.steps)

    def data(self) -> dict[str, Any]:
        """As JSON."""
        steps = [{"step": one.step, "ok": one.ok, "detail": one.detail} for one in self.steps]
        return {
            "ok": self.ok,
            "node": self.node,
            "hub": self.hub,
            "kind": self.kind,
            "at": self.at.isoformat(),
            "version": _version(),
            "steps": steps,
        }


class Cut(httpx.AsyncBaseTransport):
    """The way to the hub, which can be cut."""

    def __init__(self) -> None:
        self.cut = False
        self._real = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.cut:
            raise httpx.ConnectError("cut for the conformance test", request=request)
        return await self._real.handle_async_request(request)


def try_out(config: Path, kind: str, bsn: str) -> Report:
    """Run all steps with the settings of a node.

    Args:
        bsn: An invented number that passes the elfproef.

    Raises:
        SettingsError: The node cannot start, or is of production: it would publish an invented flag there.
        BadItems: The kind or the number cannot be used.
    """
    settings = NodeSettings.load(config)
    if settings.environment != "test":
        raise SettingsError("environment: invented flags are published to a test environment only")
    way = Cut()

    def cut(away: bool) -> None:
        way.cut = away

    async def run() -> Report:
        def opened() -> NodeRuntime:
            return open_node(settings, hub_transport=way)

        return await Conformance(opened, cut, kind, bsn).run()

    return asyncio.run(run())


class Conformance:
    """The steps, on a node that can be opened again and cut off.

    Args:
        opened: Opens the node from its files, as after a restart.
        cut: Cuts the way to the hub, or restores it.
    """

    def __init__(
        self, opened: Callable[[], NodeRuntime], cut: Callable[[bool], None], kind: str, bsn: str
    ) -> None:
        self._opened = opened
        self._cut = cut
        self._kind = kind
        self._bsn = bsn
        self._refs = ["proef-" + "".join(secrets.choice(_LETTERS) for _ in range(16)) for _ in range(2)]
        self._first: Outgoing | None = None
        self._node = opened()

    async def run(self) -> Report:
        """All steps in order; stops at the first that fails, and takes back what it published."""
        settings = self._node.settings
        report = Report(settings.node_id, settings.hub_id, self._kind, datetime.now(UTC))
        self._fact(self._refs[0])
        try:
            for name, promise in PROMISES.items():
                begun = time.monotonic()
                step: Callable[[], Awaitable[str]] = getattr(self, f"_{name}")
                try:
                    detail, ok = await step(), True
                except (Failed, NodeError) as error:
                    detail, ok = str(error) or type(error).__name__, False
                report.steps.append(Judged(name, promise, ok, detail, time.monotonic() - begun))
                if not ok:
                    break
        finally:
            self._cut(False)
            known = self._node.outbox.flags(self._refs)
            if any(flag.meant_live for flag in known.values()):
                await self._node.intake.submit("api", retractions=list(known))
                with suppress(Failed, NodeError):
                    # What cannot be sent now stays in the outbox and is sent later.
                    await self._drain()
            await self._node.close()
        return report

    async def _publish(self) -> str:
        if not self._node.outbox.is_drained():
            raise Failed("the outbox is not empty: send what waits first")
        await self._node.intake.submit("api", publications=[self._fact(self._refs[0])])
        self._first = self._node.outbox.next_message()
        await self._drain()
        self._must(self._state(0) == "published", "the flag is not published")
        self._must(self._receipt() is not None, "there is no receipt")
        return "published, with a receipt that the hub signed"

    async def _update(self) -> str:
        before = len(self._node.outbox.live())
        until = month_after(self._node.now().date(), 6)
        await self._node.intake.submit("api", publications=[self._fact(self._refs[0], until)])
        await self._drain()
        self._must(self._state(0) == "published", "the change is not published")
        self._must(len(self._node.outbox.live()) == before, "the change doubled the flag")
        return "changed in place; the same number of flags is live"

    async def _replay(self) -> str:
        await self._again()
        return "the same message gave the same receipt and changed nothing"

    async def _outage(self) -> str:
        self._cut(True)
        await self._node.intake.submit("api", publications=[self._fact(self._refs[1])])
        for _ in range(3):
            await self._node.sender.step()
        self._must(self._state(1) == "queued", "something was acknowledged while the hub was away")
        await self._node.close()
        self._node = self._opened()
        self._must(self._state(1) == "queued", "the restart lost what waited")
        self._cut(False)
        await self._drain()
        self._must(self._state(1) == "published", "what waited did not arrive")
        return "waited over an outage and a restart, then arrived once"

    async def _retract(self) -> str:
        await self._node.intake.submit("api", retractions=self._refs)
        await self._drain()
        self._must([self._state(0), self._state(1)] == ["retracted"] * 2, "a flag is not retracted")
        await self._equal()
        return "both retracted, with a receipt; the hub has what this node has"

    async def _late(self) -> str:
        await self._again()
        return "the old publication, sent once more, revived nothing"

    # --- parts of steps ----------------------------------------------------------------

    async def _again(self) -> None:
        first = self._first
        if first is None:
            raise Failed("the first message was not kept")
        answer = await self._node.hub.change(first.path, first.body, first.message_id, first.lids or None)
        self._must(answer.receipt == self._receipt(), "the same message has another receipt")
        await self._equal()

    async def _equal(self) -> None:
        differing = await self._node.sender.confirm()
        self._must(not differing, "the hub has other flags than this node")

    def _receipt(self) -> str | None:
        return None if self._first is None else self._node.outbox.receipt_of(self._first.message_id)

    async def _drain(self) -> None:
        until = time.monotonic() + _PATIENCE_S
        while not self._node.outbox.is_drained():
            if not await self._node.sender.step():
                await asyncio.sleep(0.05)
            if time.monotonic() > until:
                raise Failed(f"not everything was acknowledged within {_PATIENCE_S:.0f} s")

    def _state(self, at: int) -> str:
        return self._node.outbox.flags([self._refs[at]])[self._refs[at]].state

    def _fact(self, local_ref: str, until: str | None = None) -> Publication:
        since = month_after(self._node.now().date(), 0)
        item = {"bsn": self._bsn, "kind": self._kind, "localRef": local_ref, "since": since, "until": until}
        checked = self._node.rules.check(item)
        if isinstance(checked, list):
            raise BadItems(checked)
        return checked

    @staticmethod
    def _must(holds: bool, what: str) -> None:
        if not holds:
            raise Failed(what)


class Failed(Exception):
    """A promise did not hold; says which."""


PROMISES = {
    "publish": "A publication is acknowledged with a signed receipt.",
    "update": "The same reference again is a change, not a second flag.",
    "replay": "The same message again has the same effect and the same receipt.",
    "outage": "What waits survives an outage of the hub and a restart of the node.",
    "retract": "A retraction is acknowledged, and both sides then have the same flags.",
    "late": "A message that comes late revives nothing.",
}


def report_text(report: Report) -> str:
    """The report as Markdown, for people."""
    lines = [
        "# Conformance of a node",
        "",
        f"Node {report.node}, hub {report.hub}, kind {report.kind}, {report.at:%Y-%m-%d %H:%M} UTC, "
        f"Vlagwijzer {_version()}.",
        "",
        "| step | promise | holds | seen | seconds |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.step} | {one.promise} | {'yes' if one.ok else 'NO'} | {one.detail} | {one.seconds:.1f} |"
        for one in report.steps
    ]
    skipped = [name for name in PROMISES if name not in {one.step for one in report.steps}]
    lines += ["", "All promises held." if report.ok else "NOT conformant."]
    if skipped:
        lines.append(f"Not reached: {', '.join(skipped)}.")
    return "\n".join(lines) + "\n"


def _version() -> str:
    try:
        return version("vlagwijzer")
    except PackageNotFoundError:
        return "from a checkout"
