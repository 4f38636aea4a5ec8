"""What is done to a hub, each as one function that gives a verdict and its figures.

The short test and the long campaign run the same functions with other numbers.
"""

import asyncio
import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .hubs import Ground, Served
from .load import Load
from .processes import Postgres, Zygote, open_folder, postgres
from .verdict import Verdict, judge
from .wire import CuttingProxy, Lost, Wire


@dataclass
class Outcome:
    """One scenario's figures."""

    verdict: Verdict
    seconds: float = 0.0
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def violations(self) -> int:
        return self.verdict.violations


def end(ground: Ground, load: Load, begun: float, **figures: Any) -> Outcome:
    engine = ground.engine()
    try:
        verdict = judge(ground, load.journal, engine)
    finally:
        engine.dispose()
    figures["lost answers"] = load.journal.lost
    figures["lookups"] = load.journal.lookups
    figures["revocations looked after"] = load.journal.revocations
    figures["refused 503"] = load.journal.statuses[503]
    return Outcome(verdict, time.monotonic() - begun, figures)


async def after_restart(load: Load, sample: int = 10) -> None:
    """What must hold at once: the same message has the same receipt, another body is refused."""
    acked = [c for changes in load.journal.changes.values() for c in changes if c.receipt]
    for change in load.random.sample(acked, min(sample, len(acked))):
        if not await load.send(change):
            load.journal.violated("a known message was not answered after the restart")
    for change in acked[-2:]:
        if not await load.conflicting(change):
            load.journal.violated("another body under a known message id was not refused")
    await load.spends_twice()


async def kills(
    zygote: Zygote, ground: Ground, *, seed: int, count: int, bug: str = "", long: bool = False
) -> Outcome:
    """P1, P2, P7, P12: SIGKILL at random moments of full load, restart, re-read, go on."""
    begun, dice = time.monotonic(), random.Random(seed)
    served = Served(zygote, ground, bug=bug).start()
    load = Load(ground, [served.client], seed)
    for _ in range(count):
        longest = 2.5 if long and dice.random() < 0.5 else 0.25

        async def until(longest: float = longest) -> None:
            acks = load.journal.acks
            # Under load on any machine: only then the dice.
            await _wait(lambda: load.journal.acks > acks + 3, 10)
            await asyncio.sleep(dice.uniform(0.02, longest))
            served.kill()

        await load.run(until)
        served.start()
        # Answers that arrived after the kill gave their connections back: those lead nowhere.
        served.client.close()
        await after_restart(load)
        if bug and load.journal.violations:
            break
    served.process.stop()
    return end(ground, load, begun, kills=count)


async def steady(zygote: Zygote, ground: Ground, *, seed: int, seconds: float, bug: str = "") -> Outcome:
    """The same load with nothing done to the hub: for bugs that need no fault to show."""
    begun = time.monotonic()
    served = Served(zygote, ground, bug=bug).start()
    load = Load(ground, [served.client], seed)
    await load.run(lambda: asyncio.sleep(seconds))
    await after_restart(load)
    served.process.stop()
    return end(ground, load, begun)


async def cuts(
    zygote: Zygote, ground: Ground, *, seed: int, seconds: float, rate: float = 0.2, bug: str = ""
) -> Outcome:
    """P12: a line that is cut after the request was sent and before its answer."""
    begun = time.monotonic()
    served = Served(zygote, ground, bug=bug).start()
    async with CuttingProxy(served.address, rate, seed) as proxy:
        load = Load(ground, [Wire("127.0.0.1", proxy.port)], seed)
        await load.run(lambda: asyncio.sleep(seconds))
        load.clients = [served.client]
        await drain(load)
    await after_restart(load)
    served.process.stop()
    return end(ground, load, begun, cuts=proxy.cuts)


async def drain(load: Load, at_once: int = 24) -> None:
    """Send what is still to be acknowledged until it is."""
    waiting = iter(load.backlog)

    async def worker() -> None:
        for change in waiting:
            for _ in range(50):
                try:
                    if await load.send(change):
                        break
                except Lost:
                    pass
                await asyncio.sleep(0.05)
            else:
                load.journal.violated("a message was never acknowledged")

    await asyncio.gather(*(worker() for _ in range(at_once)))
    load.backlog.clear()


async def database_crashes(
    zygote: Zygote, ground: Ground, server: Postgres, *, seed: int, count: int
) -> Outcome:
    """P3: the database server dies under load; the hub refuses meanwhile and comes back by itself."""
    begun, dice = time.monotonic(), random.Random(seed)
    served = Served(zygote, ground).start()
    load = Load(ground, [served.client], seed)
    back: list[float] = []
    for _ in range(count):

        async def until() -> None:
            await asyncio.sleep(0.4 + dice.random() * 0.8)
            await asyncio.to_thread(server.crash)
            await asyncio.sleep(0.2)
            await asyncio.to_thread(server.start)
            up, acks = time.monotonic(), load.journal.acks
            await _wait(lambda acks=acks: load.journal.acks > acks, 60)  # type: ignore[misc]
            if load.journal.acks == acks:
                load.journal.violated("no answer within a minute after the database came back")
            back.append(time.monotonic() - up)

        await load.run(until)
        if not served.process.alive:
            load.journal.violated("the hub did not outlive its database")
            break
    await drain(load)
    await after_restart(load)
    served.process.stop()
    return end(ground, load, begun, crashes=count, seconds_to_return=round(max(back, default=0), 2))


async def disk_full(
    zygote: Zygote,
    ground: Ground,
    disk: Path,
    *,
    seed: int,
    rounds: int,
    revive: Callable[[], bool] = lambda: False,
) -> Outcome:
    """P4: the disk of the database runs full; refuse, and go on without a restart once there is room.

    `revive` starts a database server that went down for lack of room and says whether it had to.
    """
    begun = time.monotonic()
    served = Served(zygote, ground).start()
    load = Load(ground, [served.client], seed)
    refused = after = restarts = 0
    for _ in range(rounds):

        async def until() -> None:
            nonlocal refused, after, restarts
            await asyncio.sleep(0.5)
            ballast = disk / "ballast"
            before = load.journal.statuses[503]
            _fill(ballast)
            await _wait(lambda: load.journal.statuses[503] - before > 30, 6)
            refused += load.journal.statuses[503] - before
            ballast.unlink()
            restarts += await asyncio.to_thread(revive)
            acks = load.journal.acks
            await _wait(lambda: load.journal.acks - acks > 20, 8)
            after += load.journal.acks - acks

        await load.run(until)
    if not served.process.alive:
        load.journal.violated("the hub did not outlive a full disk")
    elif not refused or not after:
        load.journal.violated("the disk never ran full, or the hub never came back")
    else:
        await drain(load)
        await after_restart(load)
    served.process.stop()
    figures = {"refused": refused, "acknowledged_after_room": after, "server_restarts": restarts}
    return end(ground, load, begun, **figures)


async def disk_full_sqlite(zygote: Zygote, folder: Path, *, seed: int, rounds: int) -> Outcome:
    """P4 with the database and the hub's own files on one small disk."""
    with small_disk(folder, megabytes=48) as disk:
        return await disk_full(zygote, Ground(disk / "hub"), disk, seed=seed, rounds=rounds)


async def disk_full_postgresql(zygote: Zygote, folder: Path, *, seed: int, rounds: int) -> Outcome:
    """P4 with the server's data folder on a small disk, its write-ahead log included."""
    with open_folder() as place, small_disk(place, megabytes=160) as disk, postgres(disk) as server:
        ground = Ground(folder, server.database())
        return await disk_full(zygote, ground, disk, seed=seed, rounds=rounds, revive=server.revive)


async def deaths_before_the_answer(
    zygote: Zygote, ground: Ground, *, seed: int, count: int, bug: str = ""
) -> Outcome:
    """P1, P12: the hub dies between a commit and its answers; what was done is answered later, and once."""
    begun = time.monotonic()
    served = Served(zygote, ground, bug=",".join(filter(None, ("dies_after_a_commit", bug)))).start()
    load = Load(ground, [served.client], seed)
    for turn in range(count):

        async def until() -> None:
            await _wait(lambda: not served.process.alive, 20)

        await load.run(until)
        if served.process.alive:
            load.journal.violated("it did not die")
        served.client.close()
        if turn == count - 1:
            served.bug = bug
        served.start()
    await drain(load)
    await after_restart(load)
    served.process.stop()
    outcome = end(ground, load, begun, deaths=count)
    outcome.figures["entries nobody was told of"] = outcome.verdict.entries - len(load.journal.leaves)
    return outcome


async def _wait(condition: Any, seconds: float) -> None:
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        await asyncio.sleep(0.02)


def _fill(path: Path) -> None:
    """Take all room that is left."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        for size in (65536, 4096, 1):
            while True:
                os.write(fd, bytes(size))
    except OSError:
        pass
    finally:
        os.close(fd)


@contextmanager
def small_disk(folder: Path, *, megabytes: int) -> Iterator[Path]:
    """A tmpfs of its own; needs root."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def pauses(zygote: Zygote, ground: Ground, *, seed: int, count: int, bug: str = "") -> Outcome:
    """P5: two hub processes on one database; one is stopped at any moment and wakes up later."""
    begun, dice = time.monotonic(), random.Random(seed)
    hubs = [Served(zygote, ground, bug=bug).start() for _ in range(2)]
    load = Load(ground, [hub.client for hub in hubs], seed)
    for hub in hubs:
        hub.client.timeout = 3

    async def until() -> None:
        for _ in range(count):
            await asyncio.sleep(0.05 + dice.random() * 0.2)
            paused = dice.choice(hubs)
            paused.process.pause()
            await asyncio.sleep(dice.choice((0.05, 0.3, 0.8)))
            paused.process.resume()
        await asyncio.sleep(0.2)

    await load.run(until)
    await drain(load)
    await after_restart(load)
    for hub in hubs:
        hub.process.stop()
    return end(ground, load, begun, stops=count)


SHOWS_UNDER = {
    "answer_before_commit": "kills",
    "skipped_commit": "kills",
    "receipt_spent_outside_the_transaction": "kills",
    "messages_are_forgotten": "cuts",
}
"""Which fault brings a planted bug to light; the others show under load alone."""


async def hunt(zygote: Zygote, folder: Path, bug: str, *, seed: int, tries: int = 4) -> Outcome:
    """Run what should catch a planted bug, until it does; a few tries, for chance has a part."""
    for turn in range(tries):
        ground = Ground(folder / f"{bug}-{turn}")
        how = SHOWS_UNDER.get(bug, "steady")
        if how == "kills":
            outcome = await kills(zygote, ground, seed=seed + turn, count=6, bug=bug)
        elif how == "cuts":
            outcome = await cuts(zygote, ground, seed=seed + turn, seconds=0.6, bug=bug)
        else:
            outcome = await steady(zygote, ground, seed=seed + turn, seconds=0.8 + turn, bug=bug)
        if outcome.violations:
            break
    return outcome
