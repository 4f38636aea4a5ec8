"""Attack: read or change what belongs to another organisation, team, employee or citizen.

Defence: one gate, and each work checks whose tag, ticket or message it is. The
matrix is generated: every signed route x every actor x everything that somebody
owns, alone and hidden in a batch. What is another's must give exactly the bytes
that something invented gives, and must leave every row as it was.
"""

import copy
import hashlib
import secrets
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from index import lookup, relations, tickets
from index.app import RULES
from index.protocol.codec import SCOPES, b64u
from index.protocol.statement import T_OF_PATH
from index.publish import Retract
from index.rows import rtag_of
from index.tickets import TICKET_SIZE
from tests.hub.world import GEMEENTE, Node, Sent, World, instant, point

pytestmark = pytest.mark.anyio

TABLES = ("flag", "digest", "marker", "relation", "directive", "choice_state", "watch", "errand")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Owned:
    """Something of somebody: a ticket with its statement, or a published flag with its secret."""

    name: str
    owner: str
    statement: Mapping[str, str]
    only: str = ""
    ticket: str = ""
    person: str = ""
    secret: bytes = b""
    msg: str = ""


@dataclass
class Actor:
    """A node that speaks for somebody."""

    name: str
    node: Node
    statement: Mapping[str, str]


@dataclass
class Town:
    """A hub with tenants, each with something of its own."""

    world: World
    things: list[Owned] = field(default_factory=list)
    actors: list[Actor] = field(default_factory=list)

    def rows(self) -> dict[str, set[tuple[Any, ...]]]:
        with self.world.hub.reading() as connection:
            return {
                name: {tuple(row) for row in connection.execute(text(f"SELECT * FROM {name}"))}  # noqa: S608
                for name in TABLES
            }


def employee(actor: str, team: str, role: str = "inkomensconsulent") -> dict[str, str]:
    case = b64u(hashlib.sha256(f"case {team}".encode()).digest()[:16])
    return {"actor": actor, "role": role, "team": team, "purpose": "huisbezoek", "case": case}


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    async with World(tmp_path).running() as world:
        made = Town(world)
        for number, path in enumerate(dict.fromkeys(a.path for a in TRIES if a.takes == "flag")):
            # A flag of its own for each route: what one try leaves must not colour the next.
            for node, kind in ((world.bron, "schuldhulp"), (world.inkomen, "bijstand")):
                sent = await node.publishes(f"Fatima-{number}", kind)
                assert sent.response.status_code == 200
                secret, msg = node.secret(f"Fatima-{number}", kind), sent.signed.statement.msg
                made.things.append(Owned(f"flag of {node.id}", node.id, {}, path, secret=secret, msg=msg))
        second = world.nodes["wijkteam-twee"]
        for node, team in ((world.wijkteam, "noord"), (world.wijkteam, "zuid"), (second, "noord")):
            said = employee("m-jan", team)
            visit = await node.opens("m-jan", ["Piet"], role=said["role"], team=team, case=said["case"])
            owner = f"{node.id}/{team}"
            made.things.append(Owned(f"visit of {owner}", owner, said, "", visit.tickets[0], "Piet"))
            made.actors.append(Actor(owner, node, said))
        for person in ("Fatima", "Piet"):
            session = await world.portaal.logs_in(person)
            sent = await world.portaal.chooses(session, scopes=("geld",))
            assert sent.response.status_code == 200
            owner, ticket = f"portaal/{person}", session.tickets[0]
            made.things.append(Owned(f"session of {person}", owner, {"role": "burger"}, "", ticket, person))
        made.actors += [
            Actor("bron", world.bron, {"role": "bron"}),
            Actor("inkomen", world.inkomen, {"role": "bron"}),
            Actor("portaal", world.portaal, {"role": "burger"}),
            Actor("portaal as source", world.portaal, {"role": "bron"}),
            Actor("officer", world.wijkteam, {"role": "privacy_officer", "actor": "fg-1"}),
        ]
        yield made


# --- what is tried ---------------------------------------------------------------------


@dataclass(frozen=True)
class Try:
    """One body for one route, about one thing; `about` is what the answer may not depend on."""

    path: str
    body: Callable[[Town, Actor, Owned], tuple[dict[str, Any], str]]
    takes: str


def _ticket_body(**more: Any) -> Callable[[Town, Actor, Owned], tuple[dict[str, Any], str]]:
    return lambda town, actor, thing: ({"tickets": [thing.ticket], **more}, "")


def _batch_body(town: Town, actor: Actor, thing: Owned) -> tuple[dict[str, Any], str]:
    own = next((t.ticket for t in town.things if t.owner == actor.name and t.ticket), thing.ticket)
    return {"tickets": [own, thing.ticket]}, ""


def _renewal(town: Town, actor: Actor, thing: Owned) -> tuple[dict[str, Any], str]:
    return {"tickets": [thing.ticket], "until": instant(town.world.clock() + timedelta(days=20))}, ""


def _own(town: Town, actor: Actor, thing: Owned) -> tuple[dict[str, Any], str]:
    return {"ticket": thing.ticket}, ""


def _choice(town: Town, actor: Actor, thing: Owned) -> tuple[dict[str, Any], str]:
    msg = str(uuid.uuid4())
    # The points are those of somebody else than the session's person: a choice for another.
    other = "Fatima" if thing.person == "Piet" else "Piet"
    entry = {"scope": "geld", "effect": "deny", "category": [], "receiver": [GEMEENTE], "purpose": []}
    return {
        "ticket": thing.ticket,
        "version": 1,
        "points": town.world.sealed(actor.node.id, msg, [point(other, "geld")]),
        "group": b64u(secrets.token_bytes(16)),
        "text": b64u(bytes(32)),
        "regime": "zelf",
        "by": "zelf",
        "entries": [entry],
    }, msg


def _objection(town: Town, actor: Actor, thing: Owned) -> tuple[dict[str, Any], str]:
    body, msg = _choice(town, actor, thing)
    del body["entries"]
    return {**body, "items": [{"scope": "geld", "right": "dispute", "kind": "schuldhulp"}]}, msg


def _objections_open(town: Town, actor: Actor, thing: Owned) -> tuple[dict[str, Any], str]:
    return {}, ""


def _answer_of(town: Town, actor: Actor, thing: Owned) -> tuple[dict[str, Any], str]:
    """With the bytes of another's secret where the hub's own token belongs."""
    return {"replies": [{"token": b64u(thing.secret * 4), "answer": "confirmed"}]}, ""


def _inquiry_answer(town: Town, actor: Actor, thing: Owned) -> tuple[dict[str, Any], str]:
    """With the first bytes of another's secret where the id of a question belongs."""
    return {"id": b64u(thing.secret[:16]), "answer": "mistake"}, ""


def _subscribe(town: Town, actor: Actor, thing: Owned) -> tuple[dict[str, Any], str]:
    return {"tickets": [thing.ticket], "visit": b64u(bytes(16))}, ""


def _contact(town: Town, actor: Actor, thing: Owned) -> tuple[dict[str, Any], str]:
    """Have the source of another's flag called, through another's visit."""
    return {"ticket": thing.ticket, "kind": "bijstand", "source": 2}, ""


def _drop(town: Town, actor: Actor, thing: Owned) -> tuple[dict[str, Any], str]:
    """Say that one has what waits for another."""
    return {"done": [b64u(thing.secret[:16])]}, ""


def _officers_act(town: Town, actor: Actor, thing: Owned) -> tuple[dict[str, Any], str]:
    """With the first bytes of another's secret where the id of a question belongs."""
    return {"act": "close", "id": b64u(thing.secret[:16]), "outcome": "fits"}, ""


def _first_line(town: Town, actor: Actor, thing: Owned) -> tuple[dict[str, Any], str]:
    return {"year": 2026, "index": 0}, ""


def _empty_day(town: Town, actor: Actor, thing: Owned) -> tuple[dict[str, Any], str]:
    """A day without entries: asking is an entry itself, which the second question would show."""
    return {"day": "2020-01-01"}, ""


def _empty_export(town: Town, actor: Actor, thing: Owned) -> tuple[dict[str, Any], str]:
    return {"form": "counts", "month": "2020-01"}, ""


def _colleague(town: Town, actor: Actor, thing: Owned) -> tuple[dict[str, Any], str]:
    return {"outcome": "confirmed"}, ""


def _code(town: Town, actor: Actor, thing: Owned) -> tuple[dict[str, Any], str]:
    """Put a code of one's own into another's visit."""
    return {"ticket": thing.ticket, "code": b64u(bytes(16)), "portal": "portaal"}, ""


def _code_state(town: Town, actor: Actor, thing: Owned) -> tuple[dict[str, Any], str]:
    return {"ticket": thing.ticket}, ""


def _own_code(town: Town, actor: Actor, thing: Owned) -> tuple[dict[str, Any], str]:
    return {"ticket": thing.ticket, "code": b64u(bytes(16))}, ""


def _assisted(town: Town, actor: Actor, thing: Owned) -> tuple[dict[str, Any], str]:
    """Close everything of the person of another's visit."""
    return {
        "ticket": thing.ticket,
        "group": b64u(secrets.token_bytes(16)),
        "text": b64u(bytes(32)),
        "entries": [{"scope": "geld", "effect": "slot"}],
        "regime": "zelf",
    }, ""


def _retract(town: Town, actor: Actor, thing: Owned) -> tuple[dict[str, Any], str]:
    return {"items": [{"seq": 9_000_001, "secret": b64u(thing.secret)}]}, ""


def _reconcile(town: Town, actor: Actor, thing: Owned) -> tuple[dict[str, Any], str]:
    rtag = rtag_of(thing.secret)
    return {"bucket": rtag[0], "held": [{"rtag": b64u(rtag), "seq": 1}]}, ""


def _confirm(town: Town, actor: Actor, thing: Owned) -> tuple[dict[str, Any], str]:
    return {"buckets": [{"count": 1, "sum": b64u(bytes(32))}] * 256}, ""


def _publish(town: Town, actor: Actor, thing: Owned) -> tuple[dict[str, Any], str]:
    """Take the tag of another's flag, under a message id of theirs."""
    msg = thing.msg or str(uuid.uuid4())
    kind = {"bron": "schuldhulp", "inkomen": "bijstand"}.get(actor.name, "zelf_gemeld_geldzorgen")
    item = {"seq": 9_000_002, "rtag": b64u(rtag_of(thing.secret)), "kind": kind, "since": "2025-01"}
    return {
        "version": 1,
        "points": town.world.sealed(actor.node.id, msg, [point("Nobody", "geld")]),
        "items": [item],
    }, msg


def _relation(town: Town, actor: Actor, thing: Owned) -> tuple[dict[str, Any], str]:
    """Open a visit in the name of another's message, with receipts that were given to another node."""
    msg = thing.msg or str(uuid.uuid4())
    other = "wijkteam-twee" if actor.node.id == "wijkteam" else "wijkteam"
    return {
        "class": "citizen" if actor.name == "portaal" else "lookup",
        "persons": 1,
        "scopes": list(SCOPES),
        "until": instant(town.world.clock() + timedelta(minutes=5)),
        "version": 1,
        "points": town.world.sealed(actor.node.id, msg, [point("Piet", scope) for scope in SCOPES]),
        "receipts": town.world.receipts(other, "lookup", dict.fromkeys(SCOPES, 1)),
    }, msg


TRIES: tuple[Try, ...] = (
    Try("/v1/publications", _publish, "flag"),
    Try("/v1/retractions", _retract, "flag"),
    Try("/v1/confirmations", _confirm, "flag"),
    Try("/v1/reconciliations", _reconcile, "flag"),
    Try("/v1/relations", _relation, "flag"),
    Try("/v1/relations/closings", _ticket_body(), "ticket"),
    Try("/v1/relations/closings", _batch_body, "ticket"),
    Try("/v1/relations/renewals", _renewal, "ticket"),
    Try("/v1/lookups", _ticket_body(), "ticket"),
    Try("/v1/lookups", _ticket_body(detail="presence"), "ticket"),
    Try("/v1/lookups", _batch_body, "ticket"),
    Try("/v1/choices", _choice, "ticket"),
    Try("/v1/relations/confirmations", _colleague, "ticket"),
    Try("/v1/codes", _code, "ticket"),
    Try("/v1/codes/state", _code_state, "ticket"),
    Try("/v1/choices/assisted", _assisted, "ticket"),
    Try("/v1/citizen/code", _own_code, "ticket"),
    Try("/v1/objections", _objection, "ticket"),
    Try("/v1/objections/open", _objections_open, "flag"),
    Try("/v1/objections/answers", _answer_of, "flag"),
    Try("/v1/subscriptions", _subscribe, "ticket"),
    Try("/v1/subscriptions/signals", _drop, "flag"),
    Try("/v1/contacts", _contact, "ticket"),
    Try("/v1/contacts/open", _drop, "flag"),
    Try("/v1/inquiries", _objections_open, "flag"),
    Try("/v1/inquiries/answers", _inquiry_answer, "flag"),
    Try("/v1/oversight/entries", _empty_day, "flag"),
    Try("/v1/oversight/patterns", _objections_open, "flag"),
    Try("/v1/oversight/work", _objections_open, "flag"),
    Try("/v1/oversight/acts", _officers_act, "flag"),
    Try("/v1/oversight/replays", _first_line, "flag"),
    Try("/v1/oversight/exports", _empty_export, "flag"),
    Try("/v1/citizen/flags", _own, "ticket"),
    Try("/v1/citizen/choices", _own, "ticket"),
    Try("/v1/citizen/receipts", _own, "ticket"),
    Try("/v1/citizen/log", _own, "ticket"),
)


def cells(town: Town) -> Iterator[tuple[Try, Actor, Owned, Owned]]:
    """Every try by every actor on everything that is another's, beside the same with something invented."""
    for attempt in TRIES:
        for actor in town.actors:
            for thing in town.things:
                if ("ticket" if thing.ticket else "flag") != attempt.takes:
                    continue
                if thing.only not in ("", attempt.path):
                    continue
                own = thing.owner == actor.name or thing.owner.startswith(f"{actor.name}/")
                # Of a citizen's session the portal may do all, but choose for another person.
                if own and attempt.path != "/v1/choices":
                    continue
                yield attempt, actor, thing, _invented(thing)


def _invented(thing: Owned) -> Owned:
    made = copy.copy(thing)
    made.secret = _of_the_same_bucket(thing.secret) if thing.secret else b""
    made.msg = str(uuid.uuid4())
    made.ticket = b64u(b"\x01" + secrets.token_bytes(TICKET_SIZE - 1)) if thing.ticket else ""
    return made


def _of_the_same_bucket(secret: bytes) -> bytes:
    """Another secret; what the caller itself has in that bucket shows in both answers alike."""
    bucket = rtag_of(secret)[0]
    while rtag_of(made := secrets.token_bytes(32))[0] != bucket:
        pass
    return made


def told(sent: Sent) -> tuple[Any, ...]:
    """Everything of an answer but what is random in it, and the tag that the caller itself named."""
    response = sent.response
    if response.status_code != 200:
        return response.status_code, response.content
    body = msgspec.json.decode(response.content)
    for random in ("log", "receipt", "confirmedAt"):
        body.pop(random, None)
    if "missing" in body:
        body["missing"] = len(body["missing"])
    return response.status_code, body


@dataclass
class Tally:
    """How many cells were tried, and what went wrong in which."""

    tried: int = 0
    leaks: list[str] = field(default_factory=list)


async def walk(town: Town, only: str = "") -> Tally:
    """The matrix."""
    tally = Tally()
    kept = town.rows()
    for attempt, actor, thing, invented in cells(town):
        if only and attempt.path != only:
            continue
        place = f"{attempt.path}: {actor.name} on {thing.name}"
        answers = []
        for target in (thing, invented):
            body, msg = attempt.body(town, actor, target)
            t = T_OF_PATH[attempt.path]
            answers.append(told(await actor.node.send(attempt.path, body, t, msg=msg, **actor.statement)))
        tally.tried += 1
        same_person = attempt.path == "/v1/choices" and thing.owner[:7] == actor.name
        if answers[0] != answers[1] and not (same_person and answers[0][0] in (400, 403)):
            tally.leaks.append(f"{place} tells {answers[0][0]} and of nothing {answers[1][0]}")
        if attempt.takes == "ticket" and answers[0][0] == 200:
            tally.leaks.append(f"{place} was let in")
        now = town.rows()
        for table, rows in kept.items():
            # A row under the caller's own tag is its own to change.
            tag = town.world.hub.rows.pub_tag(town.world.hub.directory.node(actor.node.id).number)
            if {row for row in rows - now[table] if tag not in row}:
                tally.leaks.append(f"{place} changed {table}")
        # What a caller did to its own must not be laid at the door of the next one.
        kept = now
    return tally


async def test_nobody_reads_or_changes_what_is_anothers_on_any_route(town: Town) -> None:
    tally = await walk(town)
    print(f"cells {tally.tried}, leaks {len(tally.leaks)}")
    assert tally.leaks == []
    assert tally.tried >= 300


def test_the_matrix_has_every_signed_route() -> None:
    assert {attempt.path for attempt in TRIES} == {rule.path for rule in RULES}


def _open_to_all(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tickets, "_aad", lambda _node: b"any")
    patch.setattr(lookup, "fits", lambda *_: True)


PLANTED: dict[str, tuple[str, Callable[[pytest.MonkeyPatch], None]]] = {
    "tickets open for any node, and nobody compares them": ("/v1/lookups", _open_to_all),
    "closing takes any ticket that opens": (
        "/v1/relations/closings",
        lambda patch: patch.setattr(relations, "fits", lambda *_: True),
    ),
    "a retraction is looked up under every source's tag": (
        "/v1/retractions",
        lambda patch: patch.setattr("index.publish.Change.pub_tag", property(_any_tag)),
    ),
}


def _any_tag(change: Any) -> bytes:
    """The tag of the source whose flag it is, instead of the caller's."""
    with change.hub.reading() as connection:
        for pub_tag, rtag in connection.execute(text("SELECT pub_tag, rtag FROM flag")):
            if isinstance(change, Retract) and any(rtag == named for _, named in change.items):
                return bytes(pub_tag)
    return bytes(change.hub.rows.pub_tag(change.caller.node.number))


@pytest.mark.parametrize("bug", PLANTED)
async def test_the_matrix_finds_a_check_that_was_taken_out(
    tmp_path: Path, bug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, plant = PLANTED[bug]
    plant(monkeypatch)
    async for made in town.__wrapped__(tmp_path):  # type: ignore[attr-defined]
        assert (await walk(made, path)).leaks != []


async def test_refusals_of_one_kind_have_one_body_whoever_asks_whatever(town: Town) -> None:
    bodies: dict[tuple[int, str], set[bytes]] = {}
    for attempt, actor, thing, invented in cells(town):
        for target in (thing, invented):
            body, msg = attempt.body(town, actor, target)
            sent = await actor.node.send(
                attempt.path, body, T_OF_PATH[attempt.path], msg=msg, **actor.statement
            )
            if sent.response.status_code in (403, 404):
                kind = sent.response.json()["type"]
                bodies.setdefault((sent.response.status_code, kind), set()).add(sent.response.content)
    assert len(bodies) >= 3
    assert {len(found) for found in bodies.values()} == {1}
