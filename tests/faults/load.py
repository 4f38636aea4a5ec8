"""Load with a memory: real signed requests, and a journal of all that was sent and acknowledged.

Sources publish, update and retract invented flags; messages are sent twice,
out of order, and again after a lost answer with the same message id. Citizens
change their minds and are looked at right after. What must hold is written
down here as it happens, and `verdict` compares it with what is stored.
"""

import asyncio
import hashlib
import random
import secrets
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import msgspec

from index.protocol.codec import b64u, unb64u
from index.protocol.entry import leaf_from_parts, log_id, part_a
from index.protocol.messages import ChangeReceipt, ChoiceAnswer, LogReceipt, LookupAnswer, RelationAnswer
from index.protocol.receipt import ReceiptError, verify_log_receipt
from tests.hub.acting import Flag
from tests.hub.world import Node, Sent, Visit, instant, point

from .hubs import Ground
from .wire import Lost

TRANSIENT = (429, 503)


@dataclass
class Change:
    """One message about one flag, and what is known about it."""

    node: Node
    path: str
    t: str
    seq: int
    flag: Flag
    body: bytes
    msg: str = field(default_factory=lambda: str(uuid.uuid4()))
    outcome: str = ""
    receipt: str = ""
    sent: int = 0


@dataclass
class Journal:
    """Everything that was promised to the outside."""

    changes: dict[bytes, list[Change]] = field(default_factory=lambda: defaultdict(list))
    """By tag of the flag."""
    leaves: dict[int, bytes] = field(default_factory=dict)
    """Index of each acknowledged entry, with the leaf that was promised."""
    acks: int = 0
    lookups: int = 0
    revocations: int = 0
    violations: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    lost: int = 0
    spent: list[tuple[list[str], timedelta]] = field(default_factory=list)
    """Receipts of key holders that an acknowledged relation used up."""

    def violated(self, what: str) -> None:
        self.violations[what] += 1

    def recorded(self, receipts: list[LogReceipt]) -> None:
        """An answer came with these receipts: remember which leaf was promised where."""
        for receipt in receipts:
            a = part_a(unb64u(receipt.salt_a), receipt.asker.encode())
            leaf = leaf_from_parts(unb64u(receipt.salt), a, unb64u(receipt.part_b))
            if self.leaves.setdefault(receipt.index, leaf) != leaf:
                self.violated("two entries at one index")


class Load:
    """Workers against one hub or several; `clients` are chosen at random for each request."""

    def __init__(self, world: Ground, clients: list[Any], seed: int, journal: Journal | None = None) -> None:
        self.world, self.clients = world, clients
        self.random = random.Random(seed)
        self.journal = journal or Journal()
        self.sources = (world.bron, world.inkomen)
        self.backlog: list[Change] = []
        self.seq = seed * 1_000_000_000 % (2**50)
        self.stopping = False
        self.persons = 0
        self.minds: dict[int, _Mind] = {}
        for node in world.nodes.values():
            node.sent = deque(maxlen=1)  # type: ignore[assignment]
        world.client = self  # type: ignore[assignment]

    async def post(self, path: str, *, content: bytes, headers: Any) -> Any:
        """For `Node.deliver`: over any of the clients, counted."""
        try:
            response = await self.random.choice(self.clients).post(path, content=content, headers=headers)
        except Lost:
            self.journal.lost += 1
            raise
        self.journal.statuses[response.status_code] += 1
        if response.status_code >= 500 and response.status_code != 503:
            self.journal.violated(f"status {response.status_code}")
        return response

    # --- running -----------------------------------------------------------------------

    async def run(
        self, until: Callable[[], Awaitable[None]], *, changers: int = 10, citizens: int = 2
    ) -> None:
        """Let the workers go until `until` is over; each finishes or loses what it is at."""
        self.stopping = False
        workers = [asyncio.create_task(self._change()) for _ in range(changers)]
        workers += [asyncio.create_task(self._citizen(number)) for number in range(citizens)]
        try:
            await until()
        finally:
            self.stopping = True
            done, late = await asyncio.wait(workers, timeout=20)
            for task in late:
                task.cancel()
            for task in done:
                task.result()

    async def _pause(self) -> None:
        await asyncio.sleep(0.005 + self.random.random() * 0.02)

    # --- sources -----------------------------------------------------------------------

    def _life(self) -> list[Change]:
        """One flag from first to last message, shuffled, some twice: order of arrival must not matter."""
        node = self.random.choice(self.sources)
        self.persons += 1
        kind = "schuldhulp" if node is self.world.bron else self.random.choice(("bijstand", "minima", "ww"))
        domain = "werk" if kind == "ww" else "geld"
        flag = Flag(f"p{self.persons}", kind, domain, secrets.token_bytes(32))
        life = [self.publication(node, flag) for _ in range(self.random.choice((1, 1, 2)))]
        if self.random.random() < 0.5:
            life.append(self._retraction(node, flag))
        self.journal.changes[flag.rtag] += life
        life += [change for change in life if self.random.random() < 0.3]
        self.random.shuffle(life)
        return life

    def publication(self, node: Node, flag: Flag) -> Change:
        self.seq += 1
        made = Change(node, "/v1/publications", "publish", self.seq, flag, b"")
        body = {
            "version": 1,
            "points": self.world.sealed(node.id, made.msg, [point(flag.person, flag.scope)]),
            "items": [flag.item(self.seq)],
        }
        made.body = msgspec.json.encode(body)
        return made

    def _retraction(self, node: Node, flag: Flag) -> Change:
        self.seq += 1
        body = {"items": [{"seq": self.seq, "secret": b64u(flag.secret)}]}
        return Change(node, "/v1/retractions", "retract", self.seq, flag, msgspec.json.encode(body))

    async def _change(self) -> None:
        while not self.stopping:
            if self.backlog and self.random.random() < 0.3:
                turn = [self.backlog.pop(self.random.randrange(len(self.backlog)))]
            else:
                turn = self._life()
            if self.random.random() < 0.6:
                # All at the same moment: order of arrival and of carrying out is anybody's.
                answered = await asyncio.gather(*(self.send(change) for change in turn))
            else:
                answered = [await self.send(change) for change in turn]
            unknown = [c for c, known in zip(turn, answered, strict=True) if not known and not c.receipt]
            if unknown:
                # Most are sent again; of some nobody ever learns what became of them.
                self.backlog += [change for change in unknown if self.random.random() < 0.8]
                # Like an outbox, which waits longer the longer nothing is acknowledged.
                await asyncio.sleep(min(len(self.backlog), 100) * 0.005)
                await self._pause()

    async def send(self, change: Change) -> bool:
        """Send a message, for the first time or again; whether it was acknowledged."""
        change.sent += 1
        try:
            sent = await change.node.send(
                change.path,
                change.body,
                change.t,
                msg=change.msg,
                role="bron",  # type: ignore[arg-type]
            )
        except Lost:
            return False
        if sent.response.status_code in TRANSIENT:
            return False
        if sent.response.status_code != 200:
            self.journal.violated(f"{change.t} {sent.response.status_code}")
            return True
        answer = msgspec.json.decode(sent.response.content, type=ChangeReceipt)
        if change.receipt and change.receipt != answer.receipt:
            self.journal.violated("another receipt for the same message")
        first = not change.receipt
        change.receipt, change.outcome = answer.receipt, answer.results[0].outcome
        self.journal.acks += 1
        if first:
            self.journal.recorded(answer.log)
        return True

    async def conflicting(self, change: Change) -> bool:
        """The same message id with another body must be refused."""
        other = change.body.replace(b'"seq":', b'"seq": ')
        sent = await change.node.send(change.path, other, change.t, msg=change.msg, role="bron")  # type: ignore[arg-type]
        return sent.response.status_code == 422

    # --- citizens and who looks ----------------------------------------------------------

    async def _citizen(self, number: int) -> None:
        """One citizen after another, across restarts of the hub."""
        while not self.stopping:
            try:
                mind = self.minds.get(number)
                if mind is None or mind.turn == 8:
                    mind = self.minds[number] = await self._mind()
                await self._changes(mind)
            except (Lost, _Later):
                await self._pause()

    async def _mind(self) -> "_Mind":
        person = f"c{secrets.token_hex(4)}"
        session = await self.opened(self.world.portaal, "", person, class_="citizen")
        visit = await self.opened(self.world.wijkteam, "m-jan", person)
        flag = Flag(person, "bijstand", "geld", secrets.token_bytes(32))
        published = self.publication(self.world.inkomen, flag)
        self.journal.changes[flag.rtag].append(published)
        if not await self.send(published):
            raise _Later
        return _Mind(session, visit)

    async def _changes(self, mind: "_Mind") -> None:
        """Yes and no in turn, and after each answer two questions that must see exactly that."""
        effect = ("grant", "deny")[mind.turn % 2]
        sent = await self.world.portaal.chooses(mind.session, effect, scopes=("geld",))
        self._answered(sent)
        answer = msgspec.json.decode(sent.response.content, type=ChoiceAnswer)
        self.journal.acks += 1
        self.journal.recorded(answer.log)
        mind.turn += 1
        for _ in range(2):
            seen = await self.look(mind.visit)
            self.journal.revocations += effect == "deny"
            if seen != ({"bijstand"} if effect == "grant" else set()):
                self.journal.violated(f"the answer after a {effect} does not follow it")

    async def look(self, visit: Visit) -> set[str]:
        """Ask about the one person of a visit; the receipt is checked as a node checks it."""
        sent = await self.world.wijkteam.tries_to_look(visit)
        self._answered(sent)
        (person,) = msgspec.json.decode(sent.response.content, type=LookupAnswer).persons
        self.journal.lookups += 1
        self.journal.acks += 1
        self.journal.recorded([person.log])
        self.check(person.log, sent, visit.lids[0])
        return {flag.kind for flag in person.flags}

    def check(self, receipt: LogReceipt, sent: Sent, lids: list[bytes]) -> None:
        try:
            verify_log_receipt(receipt, log_vkey=self.world.log_vkey, sent=sent.signed, lids=lids)
        except ReceiptError as error:
            self.journal.violated(str(error))

    async def opened(self, node: Node, actor: str, person: str, **changes: Any) -> Visit:
        class_ = changes.get("class_", "lookup")
        until = timedelta(minutes=50) if class_ == "citizen" else timedelta(days=1)
        scopes = self.world.scopes_of(class_)
        receipts = self.world.receipts(node.id, class_, dict.fromkeys(scopes, 1))
        visit = _visit(actor, person, class_, scopes)
        msg = str(uuid.uuid4())
        body = msgspec.json.encode(
            {
                "class": class_,
                "persons": 1,
                "scopes": list(scopes),
                "until": instant(self.world.clock() + until),
                "version": 1,
                "points": self.world.sealed(node.id, msg, [point(person, scope) for scope in scopes]),
                "receipts": receipts,
            }
        )
        for again in (True, False):
            # The same message again, with the same receipts: they are spent with it or not at all.
            try:
                sent = await node.send("/v1/relations", body, "relation", msg=msg, **visit.statement())
            except Lost:
                if not again:
                    raise
                await self._pause()
                continue
            if sent.response.status_code not in TRANSIENT:
                break
            await self._pause()
        self._answered(sent)
        answer = msgspec.json.decode(sent.response.content, type=RelationAnswer)
        visit.tickets = list(answer.tickets)
        self.journal.acks += 1
        self.journal.recorded(answer.log)
        if class_ == "lookup" and len(self.journal.spent) < 400:
            self.journal.spent.append((receipts, until))
        return visit

    def _answered(self, sent: Sent) -> None:
        if sent.response.status_code in TRANSIENT:
            raise _Later
        if sent.response.status_code != 200:
            kind = sent.response.json()["type"].rpartition("/")[2]
            self.journal.violated(f"{sent.path} {sent.response.status_code} {kind}")
            raise _Later

    async def spends_twice(self) -> int:
        """Offer receipts that were spent to open something new; how often that worked."""
        accepted = 0
        for receipts, until in self.journal.spent[-8:]:
            try:
                _, sent = await self.world.wijkteam.tries_to_open(
                    "m-jan", ["x"], receipts=receipts, until=until
                )
            except Lost:
                continue
            accepted += sent.response.status_code == 200
        if accepted:
            self.journal.violated("holder receipts were spent twice")
        return accepted


def _visit(actor: str, person: str, class_: str, scopes: Sequence[str]) -> Visit:
    lids = [[log_id(scope, point(person, scope)) for scope in scopes]]
    if class_ == "citizen":
        return Visit("", "burger", "", "", "", [person], tuple(scopes), [], lids)
    case = b64u(hashlib.sha256(b"case").digest()[:16])
    return Visit(actor, "generalist", "noord", "huisbezoek", case, [person], tuple(scopes), [], lids)


@dataclass
class _Mind:
    """A citizen's session, a visit of the wijkteam, and how often the mind was changed."""

    session: Visit
    visit: Visit
    turn: int = 0


class _Later(Exception):
    """Refused for the moment: nothing was done."""
