"""The hub's promises as a machine of steps against a small model that says what a look must show.

Sources publish, update, retract and confirm; the citizen says yes and no and
takes it back; the wijkteam opens, looks and closes; between any two steps the
hub may be started again on its database, or its next commit fails. The model
keeps sets and knows nothing of rows, tickets, seals or sequence guards.
"""

import asyncio
import secrets
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from index.protocol.codec import SCOPES, b64u
from index.protocol.messages import ChangeReceipt, ConfirmationAnswer
from tests.hub.world import GEMEENTE, VOCABULARY, Node, Sent, Visit, World, point

PERSONS = ("Fatima", "Bas")
KINDS = ("schuldhulp", "jeugdhulp")
"""Seen on the citizen's yes and on nothing else, by a generalist on a home visit."""
CATEGORIES: tuple[tuple[str, ...], ...] = ((), ("geld",), ("geld", "schuldhulp"), ("jeugd",))


def scope_of(kind: str) -> str:
    return VOCABULARY.kind(kind).domain


@dataclass
class Choice:
    """One choice as the citizen made it; `order` is when."""

    group: str
    person: str
    effect: str
    category: tuple[str, ...]
    order: int

    def about(self, kind: str) -> bool:
        path = (scope_of(kind), kind)
        return path[: len(self.category)] == self.category


@dataclass
class Model:
    """What everybody was told is so."""

    live: set[tuple[str, str]] = field(default_factory=set)
    choices: list[Choice] = field(default_factory=list)
    open: dict[int, str] = field(default_factory=dict)

    def visible(self, person: str) -> set[str]:
        return {kind for who, kind in self.live if who == person and self._says_yes(person, kind)}

    def _says_yes(self, person: str, kind: str) -> bool:
        """The narrowest word counts, and of equally narrow ones the last; among what is left a no wins."""
        said = [choice for choice in self.choices if choice.person == person and choice.about(kind)]
        if not said:
            return False
        narrowest = max(len(choice.category) for choice in said)
        last = max((c for c in said if len(c.category) == narrowest), key=lambda c: c.order)
        return last.effect == "grant"


class HubMachine(RuleBasedStateMachine):
    """Steps over one hub. `database` is set by whoever runs it on another engine."""

    database: Mapping[str, str] = {}
    prepare: Callable[[], Mapping[str, str]] | None = None
    visits = Bundle("visits")
    choices = Bundle("choices")
    receipts = Bundle("receipts")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="vlagwijzer-machine-")
        self.runner = asyncio.Runner()
        made = type(self).prepare
        self.world = World(Path(self.folder.name), **(made() if made else self.database))
        self.model = Model()
        self.sessions: dict[str, Visit] = {}
        self.standing: dict[str, Visit] = {}
        self.ended: list[Visit] = []
        self.steps = 0
        self.failing = self.failed = False
        self.running: Any = None
        self._start()

    # --- the process -------------------------------------------------------------------

    def _start(self) -> None:
        self.running = self.world.running()
        self.runner.run(self.running.__aenter__())
        event.listen(self.world.hub.engine, "commit", self._commit)

    def _stop(self) -> None:
        self.runner.run(self.running.__aexit__(None, None, None))

    def _commit(self, _: Any) -> None:
        if self.failing:
            self.failing, self.failed = False, True
            raise OperationalError("COMMIT", {}, Exception("disk full"))

    def teardown(self) -> None:
        self._stop()
        self.runner.close()
        self.folder.cleanup()

    def run(self, what: Any) -> Any:
        self.steps += 1
        return self.runner.run(what)

    def done(self, sent: Sent) -> bool:
        """Whether the hub says that it was done; refused with 503 means that nothing was."""
        status, failed = sent.response.status_code, self.failed
        self.failed = False
        assert status == (503 if failed else 200), sent.response.text
        return bool(status == 200)

    def source_of(self, kind: str) -> Node:
        return self.world.bron if kind == "schuldhulp" else self.world.inkomen

    # --- steps ---------------------------------------------------------------------------

    @rule(
        person=st.sampled_from(PERSONS),
        kind=st.sampled_from(KINDS),
        since=st.sampled_from(["2025-03", "2024-11"]),
    )
    def publish_or_update(self, person: str, kind: str, since: str) -> None:
        node = self.source_of(kind)
        sent = self.run(node.publishes(person, kind, since=since))
        if self.done(sent) and self._outcome(sent) == "stored":
            self.model.live.add((person, kind))

    @rule(person=st.sampled_from(PERSONS), kind=st.sampled_from(KINDS), target=receipts)
    def retract(self, person: str, kind: str) -> Any:
        node = self.source_of(kind)
        sent = self.run(node.retracts(person, kind))
        if not self.done(sent):
            return multiple()
        assert self._outcome(sent) == ("removed" if (person, kind) in self.model.live else "absent")
        self.model.live.discard((person, kind))
        return (person, kind, node.seq)

    @rule(retracted=receipts, earlier=st.integers(1, 3))
    def publish_late(self, retracted: tuple[str, str, int], earlier: int) -> None:
        """A publication from before the retraction arrives after it: it must change nothing."""
        person, kind, seq = retracted
        node = self.source_of(kind)
        kept, node.seq = node.seq, max(0, seq - earlier - 1)
        sent = self.run(node.publishes(person, kind))
        node.seq = kept
        if self.done(sent) and self._outcome(sent) == "stored":
            # Only where no later word about this flag is known to the hub.
            raise AssertionError("a late publication was stored")

    def _outcome(self, sent: Sent) -> str:
        (result,) = msgspec.json.decode(sent.response.content, type=ChangeReceipt).results
        return result.outcome

    @rule(node=st.sampled_from(["bron", "inkomen"]))
    def confirm(self, node: str) -> None:
        """Buckets as the model has them: the hub must find no difference."""
        sender = self.world.nodes[node]
        count, total = [0] * 256, [0] * 256
        held = [pair for pair in self.model.live if self.source_of(pair[1]) is sender]
        for person, kind in held:
            rtag = sender.rtag(person, kind)
            count[rtag[0]] += 1
        body = {
            "buckets": [{"count": count[at], "sum": b64u(total[at].to_bytes(32, "big"))} for at in range(256)]
        }
        sent = self.run(sender.send("/v1/confirmations", body, "confirm", role="bron"))
        if self.done(sent):
            differing = set(msgspec.json.decode(sent.response.content, type=ConfirmationAnswer).differing)
            # The sums are left at zero, so that just the buckets with flags differ.
            assert differing == {sender.rtag(person, kind)[0] for person, kind in held}

    @initialize(target=choices, yes=st.sampled_from(PERSONS))
    def begin(self, yes: str) -> Any:
        """Everybody is logged in and everything known; one person has said yes to all."""
        for person in PERSONS:
            self.sessions[person] = self.run(self.world.portaal.logs_in(person))
            self.standing[person] = self.run(self.world.wijkteam.opens("m-els", [person]))
            self.model.open[id(self.standing[person])] = person
            for kind in KINDS:
                self.publish_or_update(person, kind, "2025-03")
        return self._choose(yes, "grant", ())

    @rule(person=st.sampled_from(PERSONS), category=st.sampled_from(CATEGORIES), target=choices)
    def say_yes(self, person: str, category: tuple[str, ...]) -> Any:
        return self._choose(person, "grant", category)

    @rule(person=st.sampled_from(PERSONS), category=st.sampled_from(CATEGORIES), target=choices)
    def say_no(self, person: str, category: tuple[str, ...]) -> Any:
        return self._choose(person, "deny", category)

    def _choose(self, person: str, effect: str, category: tuple[str, ...]) -> Any:
        scopes = [category[0]] if category else list(SCOPES)
        group = b64u(secrets.token_bytes(16))
        entries = [
            {
                "scope": scope, "effect": effect, "category": list(category), "receiver": [GEMEENTE, "noord"],
                "purpose": ["hulp"], "explicit": effect == "grant",
            }
            for scope in scopes
        ]  # fmt: skip
        if not self._write(person, group, entries):
            return multiple()
        self.model.choices.append(Choice(group, person, effect, category, self.steps))
        return group

    @rule(group=consumes(choices))
    def withdraw(self, group: str) -> None:
        choice = next(choice for choice in self.model.choices if choice.group == group)
        scopes = [choice.category[0]] if choice.category else list(SCOPES)
        entries = [{"scope": scope, "effect": "withdraw", "withdraws": group} for scope in scopes]
        if self._write(choice.person, b64u(secrets.token_bytes(16)), entries):
            self.model.choices.remove(choice)

    def _write(self, person: str, group: str, entries: list[dict[str, Any]]) -> bool:
        import uuid

        msg, session = str(uuid.uuid4()), self.sessions[person]
        body = {
            "ticket": session.tickets[0], "version": 1, "group": group, "text": b64u(bytes(32)),
            "points": self.world.sealed("portaal", msg, [point(person, entry["scope"]) for entry in entries]),
            "regime": "zelf", "by": "zelf", "entries": entries,
        }  # fmt: skip
        return self.done(
            self.run(self.world.portaal.send("/v1/choices", body, "choice", msg=msg, role="burger"))
        )

    @rule(person=st.sampled_from(PERSONS), target=visits)
    def open_visit(self, person: str) -> Any:
        # A case of its own: two visits of one case, opened in one second, are one relation and end together.
        case = b64u(secrets.token_bytes(16))
        visit, sent = self.run(self.world.wijkteam.tries_to_open("m-jan", [person], case=case))
        if not self.done(sent):
            return multiple()
        visit.tickets = msgspec.json.decode(sent.response.content)["tickets"]
        self.model.open[id(visit)] = person
        return visit

    @rule(visit=visits)
    def close_visit(self, visit: Visit) -> None:
        if self.done(self.run(self.world.wijkteam.closes(visit))):
            self.model.open.pop(id(visit), None)
            self.ended.append(visit)

    @rule(visit=visits)
    def look(self, visit: Visit) -> None:
        self._look(visit)

    def _look(self, visit: Visit) -> None:
        sent = self.run(self.world.wijkteam.tries_to_look(visit))
        if not self.done(sent):
            return
        (person,) = msgspec.json.decode(sent.response.content)["persons"]
        seen = {flag["kind"] for flag in person["flags"]}
        if id(visit) not in self.model.open:
            assert (person["refused"], seen) == ("no-relation", set())
            return
        assert person["refused"] == ""
        assert seen == self.model.visible(visit.persons[0])

    @rule()
    def restart(self) -> None:
        self._stop()
        self._start()

    @rule()
    def next_commit_fails(self) -> None:
        self.failing = True

    @invariant()
    def a_look_shows_what_was_told(self) -> None:
        """After each step: everybody's standing visit, and the visit that ended last."""
        assert self.world.hub.sequencer.running
        if not self.failing:
            for visit in (*self.standing.values(), *self.ended[-1:]):
                self._look(visit)
