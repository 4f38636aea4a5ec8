"""P6: a real node's outbox, a hub in a network namespace of its own, and a link that goes down and up.

Needs root and `ip`. Nothing outside the two ends of one made link is touched.
"""

import asyncio
import contextlib
import os
import random
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text

from index.accesslog.reading import LogReader
from index.keystore import load_keystore
from index.store.engine import open_engine
from tests.node.world import NodeWorld, bsns

from .processes import Zygote
from .scenarios import Outcome
from .verdict import Verdict, messages


def reason_to_skip() -> str:
    """Why this cannot run here; empty where it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not shutil.which("ip"):
        return "no `ip` here"
    if subprocess.run(["ip", "netns", "list"], capture_output=True, check=False).returncode:
        return "no network namespaces here"
    return ""


class Link:
    """A pair of virtual interfaces; the far end lies in the namespace."""

    def __init__(self) -> None:
        self.namespace = f"vw{os.getpid()}"
        self.near, self.far = f"vwa{os.getpid()}", f"vwb{os.getpid()}"
        block = secrets.randbelow(200) + 10
        self.here, self.there = f"10.213.{block}.1", f"10.213.{block}.2"
        self.block = f"10.213.{block}.0/30"
        self.worsened = False

    def make(self) -> None:
        _ip("netns", "add", self.namespace)
        _ip("link", "add", self.near, "type", "veth", "peer", "name", self.far, "netns", self.namespace)
        _ip("addr", "add", f"{self.here}/30", "dev", self.near)
        _ip("-n", self.namespace, "addr", "add", f"{self.there}/30", "dev", self.far)
        _ip("-n", self.namespace, "link", "set", "lo", "up")
        _ip("-n", self.namespace, "link", "set", self.far, "up")
        _ip("link", "set", self.near, "up")
        # With the link down its route is gone: nothing may then leave by the default route instead.
        _ip("route", "add", "unreachable", self.block, "metric", "4000")

    def worsen(self) -> None:
        """Delay and loss, where the kernel can."""
        if shutil.which("tc"):
            command = ["tc", "qdisc", "add", "dev", self.near, "root", "netem", "delay", "3ms", "loss", "2%"]
            self.worsened = not subprocess.run(command, capture_output=True, check=False).returncode

    def set(self, state: str) -> None:
        _ip("link", "set", self.near, state)

    def remove(self) -> None:
        gone = ("route", "del", "unreachable", self.block, "metric", "4000")
        for command in (gone, ("link", "del", self.near), ("netns", "del", self.namespace)):
            subprocess.run(["ip", *command], capture_output=True, check=False)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@contextmanager
def made_link() -> Iterator[Link]:
    link = Link()
    try:
        link.make()
        link.worsen()
        yield link
    finally:
        link.remove()


async def partition(zygote: Zygote, folder: Path, *, seed: int, cuts: int, changes: int) -> Outcome:
    """Publish and retract while the link comes and goes; then let it drain and compare."""
    begun, dice = time.monotonic(), random.Random(seed)
    world = NodeWorld(folder)
    world.network = None  # type: ignore[assignment]
    with made_link() as link:
        config, address = _config(world, link)
        hub = zygote.start(config, address, namespace=link.namespace)
        source = world.source(
            hub_url=f"http://{link.there}:{address[1]}",
            timeout_seconds=0.8,
            retry_first_seconds=0.05,
            retry_max_seconds=0.3,
        )
        sender = asyncio.create_task(source.node.sender.run())
        live = await _live(source, dice, link, cuts, changes)
        healed = time.monotonic()
        verdict = Verdict()
        try:
            async with asyncio.timeout(60):
                while not await asyncio.to_thread(source.node.outbox.is_drained):
                    source.node.sender.wake()
                    await asyncio.sleep(0.02)
        except TimeoutError:
            verdict.others["the outbox never drained"] = 1
        drained = time.monotonic() - healed
        sender.cancel()
        await asyncio.gather(sender, return_exceptions=True)
        hub.stop()
    await source.node.close()
    differences = _differences(world, source, live, verdict)
    verdict.acks = changes
    return Outcome(
        verdict,
        time.monotonic() - begun,
        {"cuts": cuts, "changes": changes, "differences": differences,
         "seconds to drain": round(drained, 2), "netem": link.worsened},
    )  # fmt: skip


def _config(world: NodeWorld, link: Link) -> tuple[Path, tuple[str, int]]:
    settings = world.hub_settings
    lines = [f'hub_id = "{settings.hub_id}"', f'host = "{link.there}"', "port = 8444"]
    lines += [f'{n} = "{getattr(settings, n)}"' for n in ("database", "keystore", "manifest", "directory")]
    lines += ["[holders]", *(f'{holder} = "{key}"' for holder, key in settings.holders.items())]
    path = world.folder / "hub" / "hub.toml"
    path.write_text("\n".join(lines) + "\n")
    return path, (link.there, 8444)


async def _live(source: object, dice: random.Random, link: Link, cuts: int, changes: int) -> set[str]:
    """What should be at the hub in the end: local references of flags that are not retracted."""
    numbers, live, gone = bsns(changes), set(), set()
    when = sorted(dice.sample(range(changes), cuts))
    for at in range(changes):
        if at in when:
            link.set("down")
            asyncio.get_running_loop().call_later(0.3 + dice.random() * 0.7, link.set, "up")
        if live and dice.random() < 0.3:
            ref = dice.choice(sorted(live))
            live.discard(ref)
            gone.add(ref)
            await source.retract(ref)  # type: ignore[attr-defined]
        else:
            ref = f"SH-{at}"
            live.add(ref)
            await source.publish(numbers[at], ref)  # type: ignore[attr-defined]
        source.node.sender.wake()  # type: ignore[attr-defined]
        await asyncio.sleep(dice.random() * 0.05)
    await asyncio.sleep(1.1)
    with contextlib.suppress(subprocess.SubprocessError):
        link.set("up")
    return live


def _differences(world: NodeWorld, source: object, live: set[str], verdict: Verdict) -> int:
    """Flags that one side has and the other has not, and messages that were carried out twice."""
    engine = open_engine(world.hub_settings.database_url)
    with engine.connect().execution_options(reading=True) as connection:
        held = int(connection.execute(text("SELECT count(*) FROM flag")).scalar() or 0)
        reader = LogReader(world.hub_settings.statement_hub, load_keystore(world.hub_settings.keystore))
        counted = messages(connection, reader)
    engine.dispose()
    verdict.lost = abs(held - len(live))
    # The outbox may put several items into one message: an entry each, so compare with what was sent.
    verdict.entries = sum(counted.values())
    return verdict.lost


__all__ = ["partition", "reason_to_skip"]
