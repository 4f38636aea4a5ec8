"""A change holds at once: two hub processes on one PostgreSQL, a change at one, a question at the other.

Each pair is a change whose 2xx (or, for what people decide at a command, its
end) was received, and answers at both processes that were asked after it. An
answer that shows what held before is a leak. Answers that say "not now" (503)
show nothing and are asked again.

Promise P8 of docs/design/access-log.md §6.
"""

import argparse
import asyncio
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import structlog

from index.acts import Signer
from index.protocol.messages import ChoiceEntry
from index.registers import Desk
from policy.texts import Texts, packaged
from tests.hub.office import Bureau, People, candidate, without
from tests.hub.world import GEMEENTE, Node, Sent, Visit

from . import bugs
from .hubs import Ground, Served
from .processes import Zygote, postgres

CLOSED = candidate(forbids=without("generalist", "schuldhulp"))
KIND = ["geld", "schuldhulp"]
_TRIES = 400
SLOT = "slot" in get_args(get_type_hints(ChoiceEntry)["effect"])
"""Whether a citizen can lock a domain here; a no and a withdrawal are tried in any case."""


@dataclass
class Held:
    """What was found: per sort of change how many pairs, leaks, and answers that said "not now"."""

    pairs: Counter[str] = field(default_factory=Counter)
    leaks: Counter[str] = field(default_factory=Counter)
    not_now: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        rows = [f"{name} {count}" for name, count in sorted(self.pairs.items())]
        found = f"{self.pairs.total()} pairs ({', '.join(rows)}), {self.leaks.total()} leaks"
        return f"{found} {dict(self.leaks) or ''}, {self.not_now.total()} not now"


class _Side:
    """The ground as one of the two hubs is reached from it."""

    def __init__(self, ground: Ground, hub: Served) -> None:
        self._ground, self.client = ground, hub.client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ground, name)

    def node(self, name: str) -> Node:
        own = self._ground.nodes[name]
        return Node(self, own.id, own.oin, own.key)  # type: ignore[arg-type]


class AtOnce:
    """Two sides, and the changes that are tried from either."""

    def __init__(self, ground: Ground, hubs: list[Served], people: People, seed: int) -> None:
        self.sides = [_Side(ground, hub) for hub in hubs]
        self.bureau = Bureau(ground, people)
        self.dice = random.Random(seed)
        self.held = Held()

    def any_side(self) -> _Side:
        return self.dice.choice(self.sides)

    async def check(self, sort: str, visit: Visit, *, visible: bool) -> None:
        """Ask both hubs now; a leak is an answer that shows what held before the change."""
        for seen in await asyncio.gather(*(self.look(sort, side, visit) for side in self.sides)):
            self.held.leaks[sort] += seen is not visible
        self.held.pairs[sort] += 1

    async def look(self, sort: str, side: _Side, visit: Visit) -> bool:
        """Whether anything is shown; a 503 shows nothing and is asked again."""
        for _ in range(_TRIES):
            sent = await side.node("wijkteam").tries_to_look(visit)
            if sent.response.status_code != 503:
                break
            self.held.not_now[sort] += 1
            await asyncio.sleep(0.05)
        assert sent.response.status_code == 200, sent.response.text
        return bool(sent.response.json()["persons"][0]["flags"])

    async def choose(self, session: Visit, effect: str, **entry: Any) -> str:
        """One choice at either hub, received; the group it made."""
        sent: Sent = await self.any_side().node("portaal").chooses(session, effect, **entry)
        # A session that was opened a moment ago must be open here too.
        self.held.leaks["choice refused"] += sent.response.status_code != 200
        return str(msgspec.json.decode(sent.body)["group"])

    # --- sorts of change -----------------------------------------------------------------

    async def citizen(self, person: str, rounds: int) -> None:
        """Yes, no, withdrawal and slot, each asked about at once."""
        visit = await self.opened(person)
        for number in range(rounds):
            if number % 50 == 0:
                session = await self.any_side().node("portaal").logs_in(person)
            granted = await self.choose(session, "grant", category=KIND)
            await self.check("yes", visit, visible=True)
            denied = await self.choose(session, "deny", category=KIND)
            await self.check("no", visit, visible=False)
            await self.take_back(session, denied)
            await self.take_back(session, granted)
            granted = await self.choose(session, "grant", category=KIND)
            await self.take_back(session, granted)
            await self.check("withdrawal", visit, visible=False)
            if not SLOT:
                continue
            granted = await self.choose(session, "grant", category=KIND)
            slot = await self.choose(session, "slot", category=["geld"], receiver=[], purpose=[])
            await self.check("slot", visit, visible=False)
            await self.take_back(session, slot)
            await self.check("slot taken back", visit, visible=True)
            await self.take_back(session, granted)

    async def take_back(self, session: Visit, group: str) -> None:
        nothing: dict[str, Any] = {"receiver": [], "purpose": [], "explicit": False, "scopes": ["geld"]}
        await self.choose(session, "withdraw", **nothing, withdraws=group)

    async def visits(self, person: str, rounds: int) -> None:
        """A visit is closed at one hub; its ticket is worth nothing at the other."""
        session = await self.any_side().node("portaal").logs_in(person)
        await self.choose(session, "grant", category=KIND)
        for _ in range(rounds):
            visit = await self.opened(person)
            await self.check("relation opened", visit, visible=True)
            sent = await self.any_side().node("wijkteam").closes(visit)
            assert sent.response.status_code == 200
            await self.check("relation closed", visit, visible=False)

    async def rights(self, person: str, rounds: int) -> None:
        """Objection and restriction: what is seen by task is hidden at once, and seen again once they end."""
        visit = await self.opened(person, role="schuldhulpverlener", purpose="schuldregeling")
        for number in range(rounds):
            if number % 50 == 0:
                session = await self.any_side().node("portaal").logs_in(person)
            for right in ("objection", "restriction"):
                await self.check("seen by task", visit, visible=True)
                group = await self.use(session, right)
                await self.check(right, visit, visible=False)
                await self.use(session, right, ends=group)
                await self.check(f"{right} ended", visit, visible=True)

    async def use(self, session: Visit, right: str, *, ends: str = "") -> str:
        """One right at either hub, received; the group it made."""
        sent: Sent = await self.any_side().node("portaal").uses_right(session, right, KIND[1:], ends=ends)
        self.held.leaks[f"{right} refused"] += sent.response.status_code != 200
        return str(msgspec.json.decode(sent.body)["group"])

    async def convenants(self, person: str, rounds: int) -> None:
        """A convenant comes into force and is ended; a ketenpartner sees by it only."""
        session = await self.any_side().node("portaal").logs_in(person)
        await self.choose(session, "grant", category=KIND)
        visit = await self.opened(person, role="ketenpartner", purpose="casusoverleg")
        today = date.today()  # noqa: DTZ011 - any day around now will do
        bram, carla = self.bureau.who("bram"), self.bureau.who("carla")
        period = {"begin": today - timedelta(days=2), "end": today + timedelta(days=30)}
        for _ in range(rounds):
            number = await self.register(
                lambda desk: desk.add_convenant(
                    self.bureau.who("anna"),
                    organisation=GEMEENTE,
                    kinds=["schuldhulp"],
                    purposes=["casusoverleg"],
                    **period,
                ),
                visit,
            )
            await self.check("convenant of one person", visit, visible=False)
            await self.register(partial(_approved, bram, number), visit)
            await self.check("convenant approved", visit, visible=True)
            await self.register(partial(_ended, carla, number), visit)
            await self.check("convenant ended", visit, visible=False)

    async def register(self, do: Callable[[Any], Any], visit: Visit) -> int:
        """One act, after both hubs have answered since the last: then neither has anything left to notice."""
        await asyncio.gather(*(self.look("before", side, visit) for side in self.sides))
        return await asyncio.to_thread(self.bureau.register, do)

    async def policies(self, person: str, rounds: int) -> None:
        """A version comes into force and goes; nobody restarts anything."""
        if not rounds:
            return
        session = await self.any_side().node("portaal").logs_in(person)
        await self.choose(session, "grant", category=KIND)
        visit = await self.opened(person)
        for _ in range(rounds):
            await self.in_force(CLOSED)
            await self.check("policy activated", visit, visible=False)
            await self.in_force(packaged())
            await self.check("policy activated", visit, visible=True)

    async def in_force(self, content: Texts) -> None:
        await asyncio.to_thread(self.bureau.in_force, content)

    async def opened(self, person: str, **changes: Any) -> Visit:
        return await self.any_side().node("wijkteam").opens("m-jan", [person], **changes)


def _approved(who: Signer, number: int, desk: Desk) -> Any:
    return desk.approve("convenant", who, number)


def _ended(who: Signer, number: int, desk: Desk) -> Any:
    return desk.end("convenant", who, number)


async def at_once(
    zygote: Zygote, folder: Path, database: str, *, seed: int, pairs: int, bug: str = "", versions: int = 1
) -> Held:
    """About so many pairs, spread over all sorts of change; of versions `2 * versions`.

    Args:
        bug: Planted into both hubs.
    """
    people = People(folder / "people")
    ground = Ground(folder / "ground", database, approvers=people.approvers())
    hubs = [Served(zygote, ground, bug=bug).start() for _ in range(2)]
    try:
        running = AtOnce(ground, hubs, people, seed)
        persons = [f"person-{number}" for number in range(7)]
        bron = running.sides[0].node("bron")
        for person in persons:
            await bron.publishes(person, "schuldhulp")
        each = 5 if SLOT else 3
        rounds = max(1, pairs // (4 * each + 18))
        work: list[Awaitable[None]] = [running.citizen(person, rounds) for person in persons[:4]]
        work += [running.visits(persons[4], rounds * 2), running.convenants(persons[5], rounds * 2)]
        work.append(running.rights(persons[6], rounds * 2))
        if bug:
            # One after the other: a cache that any other batch refreshes must show too.
            for one in work:
                await one
        else:
            await asyncio.gather(*work)
        await running.policies(persons[0], versions)
        return running.held
    finally:
        for hub in hubs:
            hub.process.stop()


def main() -> None:
    """The long run, `make at-once`: many pairs, then every planted cache."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--versions", type=int, default=5)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    survived = []
    with (
        tempfile.TemporaryDirectory(prefix="vlagwijzer-at-once-") as root,
        Zygote() as zygote,
        postgres() as pg,
    ):

        def run(name: str, pairs: int, bug: str = "", versions: int = 0) -> Held:
            folder = Path(root) / name
            wanted = at_once(
                zygote, folder, pg.database(), seed=given.seed, pairs=pairs, bug=bug, versions=versions
            )
            return asyncio.run(wanted)

        held = run("long", given.pairs, versions=given.versions)
        print(f"seed {given.seed}: {held}", flush=True)
        for bug in bugs.STALE:
            caught = run(bug, 28, bug=bug).leaks.total()
            print(f"planted {bug}: {'caught' if caught else 'SURVIVED'}", flush=True)
            survived += [] if caught else [bug]
    sys.exit(1 if held.leaks.total() or survived else 0)


if __name__ == "__main__":
    main()
