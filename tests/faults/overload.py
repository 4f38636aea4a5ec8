"""Twice as much as the hub can do: memory flat, nothing acknowledged is lost, back in seconds.

    how much can it do? (closed loop) -> twice that, for a while (open loop) -> how soon is it itself again?

Questions are sent at fixed moments whether earlier ones were answered or not.
Memory is the process's own (`RssAnon`). One-time values live four minutes at the
most, so whether memory is flat shows after five, and is judged in runs that are long enough.
"""

import asyncio
import time
from pathlib import Path

import msgspec

from index.protocol.messages import LookupAnswer
from tests.hub.world import Visit

from .hubs import Ground, Served
from .load import Load
from .processes import Zygote
from .scenarios import Outcome, end
from .wire import Lost, Wire

WAITING, AT_ONCE = 64, 96
"""Small bounds, so that a small machine reaches them."""

LEVEL_S, GROWTH_MB, CONNECTION_MB = 300, 4, 0.012
"""From when on memory must be flat, what may come on top after that, and what a connection costs.

Connections have a bound of their own (`deploy.serve.MOST_CONNECTIONS`) and are counted apart.
"""


async def overload(
    zygote: Zygote, ground: Ground, *, seed: int, seconds: float, factor: float = 2
) -> Outcome:
    """Ask `factor` times what was measured as the most, for `seconds`."""
    begun = time.monotonic()
    served = Served(zygote, ground).start()
    served.client.timeout = 10
    load = Load(ground, [served.client], seed)
    visits = [await load.opened(ground.wijkteam, f"m-{i}", f"o{i}") for i in range(8)]
    asking = _Asking(load, visits)
    capacity = max([await asking.closed_loop(at_once=24, seconds=min(3, seconds / 3)) for _ in range(3)])
    calm = await asking.one()
    samples: list[tuple[float, float, float]] = []
    connections = 0
    started = time.monotonic()

    async def watch() -> None:
        nonlocal connections
        while True:
            now, memory = served.process.connections(), served.process.memory_mb()
            connections = max(connections, now)
            # What a connection took is not given back when it closes.
            samples.append((time.monotonic() - started, memory, memory - connections * CONNECTION_MB))
            await asyncio.sleep(max(seconds / 100, 0.25))

    watching = asyncio.create_task(watch())
    before, used = asking.answered, served.process.cpu_seconds()
    await asking.open_loop(capacity * factor, seconds)
    used = served.process.cpu_seconds() - used
    watching.cancel()
    answered, refused = asking.answered - before, asking.refused
    stopped = time.monotonic()
    back = await asking.until_calm(max(calm * 4, 0.25))
    if not refused:
        load.journal.violated("nothing was refused: this was no overload")
    if back is None:
        load.journal.violated("it did not come back within twenty seconds")
    if _grows(samples):
        load.journal.violated("memory grows")
    values = await spent_values(served.client)
    served.process.stop()
    return end(
        ground, load, begun,
        capacity_per_s=round(capacity), offered_per_s=round(asking.offered / seconds),
        answered_per_s=round(answered / seconds), refused=refused, unanswered=asking.lost,
        p99_ms=asking.p99_ms(), processor=round(used / seconds, 2),
        memory_mb={round(at): round(mb) for at, mb, _ in samples[:: max(len(samples) // 10, 1)]},
        one_time_values=values, most_connections=connections,
        seconds_to_return=None if back is None else round(back - stopped, 2),
    )  # fmt: skip


def _grows(samples: list[tuple[float, float, float]]) -> bool:
    """Whether the last tenth lies above what was reached when values began to end; False when too short."""
    level = [mb for at, _, mb in samples if LEVEL_S <= at < LEVEL_S * 1.2]
    last = [mb for at, _, mb in samples if at >= samples[-1][0] * 0.9]
    if not level or samples[-1][0] < LEVEL_S * 1.5:
        return False
    return sum(last) / len(last) > sum(level) / len(level) + GROWTH_MB


async def spent_values(client: Wire) -> int:
    """How many one-time values the hub holds, by its own figures."""
    lines = (await client.get("/metrics")).text.splitlines()
    return int(float(next(x.split()[1] for x in lines if x.startswith("vlagwijzer_hub_spent_values "))))


class _Asking:
    """Lookups of a few visits, and what came of them."""

    def __init__(self, load: Load, visits: list[Visit]) -> None:
        self.load, self.visits = load, visits
        self.answered = self.refused = self.lost = self.offered = 0
        self.took: list[float] = []

    async def one(self) -> float:
        """One question; seconds until its answer, which may be a refusal."""
        self.offered += 1
        at = time.monotonic()
        visit = self.visits[self.offered % len(self.visits)]
        try:
            sent = await self.load.world.wijkteam.tries_to_look(visit)
        except Lost:
            self.lost += 1
            return 99.0
        took = time.monotonic() - at
        if sent.response.status_code == 200:
            (person,) = msgspec.json.decode(sent.response.content, type=LookupAnswer).persons
            self.load.journal.recorded([person.log])
            self.load.journal.acks += 1
            self.load.journal.lookups += 1
            self.answered += 1
            self.took.append(took)
            return took
        self.refused += 1
        if sent.response.status_code != 503 or b"overloaded" not in sent.response.content:
            self.load.journal.violated(f"refused with {sent.response.status_code}")
        return 99.0

    async def closed_loop(self, *, at_once: int, seconds: float) -> float:
        """Answers per second when each asker waits for the answer."""
        until, before = time.monotonic() + seconds, self.answered

        async def asker() -> None:
            while time.monotonic() < until:
                await self.one()

        await asyncio.gather(*(asker() for _ in range(at_once)))
        return (self.answered - before) / seconds

    async def open_loop(self, rate: float, seconds: float) -> None:
        """`rate` questions a second, whatever comes back."""
        self.offered, self.refused, self.took = 0, 0, []
        begun, asked = time.monotonic(), set()
        while (now := time.monotonic() - begun) < seconds:
            for _ in range(int(rate * now) - self.offered):
                task = asyncio.create_task(self.one())
                asked.add(task)
                task.add_done_callback(asked.discard)
                # A task counts itself only when it runs.
                await asyncio.sleep(0)
            await asyncio.sleep(0.002)
        await asyncio.gather(*asked)

    async def until_calm(self, wanted: float) -> float | None:
        """When five questions in a row were answered as fast as before."""
        until, good = time.monotonic() + 20, 0
        while time.monotonic() < until:
            good = good + 1 if await self.one() <= wanted else 0
            if good == 5:
                return time.monotonic()
            await asyncio.sleep(0.01)
        return None

    def p99_ms(self) -> int:
        ordered = sorted(self.took)
        return round(ordered[int(len(ordered) * 0.99)] * 1000) if ordered else 0


def ground_for(folder: Path, database: str = "") -> Ground:
    """A hub with small bounds."""
    return Ground(folder, database, waiting_persons=WAITING, requests_at_once=AT_ONCE)
