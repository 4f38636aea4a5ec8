"""One complete story over a running demo, each step checked: `vlagwijzer demo --once`.

    publish from the extracts -> look: nothing -> choose -> look: seen -> be refused
    -> retract -> look again: gone -> verify the log

It goes over the nodes' own interfaces, as an organisation's systems do, and
through the portal's services, after a login with the code flow. A step that
does not hold stops nothing: the rest is told too, and the end says so.
"""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec

from deploy.node_tools import opened_node
from index.protocol.note import parse_vkey, verified_checkpoint
from nodes.bsn import Bsn
from nodes.citizen import CitizenSession, LooksView
from nodes.portal.grant import fetch_grant
from nodes.runtime import NodeRuntime
from nodes.settings import NodeSettings

from . import plan
from .citizens import Citizen, DemoChoice
from .feed import change_of, import_extracts
from .fleet import Fleet
from .papers import Papers
from .people import citizen_id_token, token_of

CASE = "Z-VERHAAL"
PURPOSE = "huisbezoek"
KIND = "schuldhulp"
WHO = "rosa"
TEXT_SHOWN = "Het wijkteam mag zien dat u hulp bij schulden heeft."


class StepFailed(Exception):
    """Something else happened than the story says."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the story: a name, whether it held, and what was seen."""

    step: str
    ok: bool
    detail: str


@dataclass(slots=True)
class _Story:
    papers: Papers
    fleet: Fleet
    citizen: Citizen

    # --- the ways in -------------------------------------------------------------------

    def _system(self, node_id: str, person: str = "") -> httpx.Client:
        headers = {"X-API-Key": self.papers.api_key_file(node_id).read_text().strip()}
        if person:
            found = next(entry for entry in plan.EMPLOYEES if entry.name == person)
            headers["Authorization"] = f"Bearer {token_of(found, self.papers.base)}"
        address = plan.url(self.papers.base, plan.node(node_id).offset)
        return httpx.Client(base_url=address, headers=headers, timeout=30, trust_env=False)

    @asynccontextmanager
    async def _at_the_portal(self) -> AsyncIterator[tuple[NodeRuntime, CitizenSession]]:
        """The portal's services and a session of the citizen, after a login with the code flow."""
        async with opened_node(self.papers.node(plan.PORTAL_NODE) / "node.toml") as portal:
            id_token = await asyncio.to_thread(citizen_id_token, self.papers, WHO)
            grant = await fetch_grant(portal.settings, id_token)
            session = await portal.citizens.open(Bsn.parse(self.citizen.bsn), grant, self.citizen.birth_date)
            try:
                yield portal, session
            finally:
                portal.citizens.close(session)

    def _looked(self, purpose: str = PURPOSE) -> httpx.Response:
        """Jan opens a visit about the citizen, looks, and closes it."""
        with self._system(plan.DESK_NODE, "Jan") as system:
            clients = [{"bsn": self.citizen.bsn}]
            opened = system.post(
                "/v1/visits", json={"clients": clients, "purpose": purpose, "caseReference": CASE}
            )
            if opened.is_error:
                return opened
            visit = opened.json()["visit"]
            seen = system.post("/v1/lookups", json={"visit": visit})
            system.post(f"/v1/visits/{visit}/closures", json={})
            return seen

    def _kinds_seen(self) -> set[str]:
        answer = self._looked()
        if answer.is_error:
            raise StepFailed(f"looking gave {answer.status_code}")
        return {flag["kind"] for flag in answer.json()["persons"][0]["flags"]}

    # --- the steps -----------------------------------------------------------------------

    def publish(self) -> str:
        """All rows of the extracts are at the hub, and each is signed for."""
        import_extracts(self.papers, self.fleet)
        fact = next(f for f in self.papers.world.facts if f.bsn == self.citizen.bsn and f.kind == KIND)
        with self._system(fact.node) as source:
            state = source.get(f"/v1/flags/{fact.local_ref}").json()
        _hold(state.get("state") == "published", f"state {state.get('state')}")
        _hold(bool(state.get("receipt")), "no receipt")
        return f"{len(self.papers.world.facts)} rows of 5 sources; the hub signed for them"

    def look_before(self) -> str:
        """Without a choice the wijkteam sees nothing of it."""
        asyncio.run(self._end_earlier_choices())
        _hold(KIND not in self._kinds_seen(), "visible without consent")
        return "Er is niets zichtbaar"

    async def _end_earlier_choices(self) -> None:
        """An earlier story in the same folder left a yes."""
        async with self._at_the_portal() as (portal, session):
            for choice in await portal.citizens.choices(session):
                if choice.in_force and choice.effect == "grant":
                    await portal.citizens.withdraw(session, choice.group, TEXT_SHOWN)

    def choose(self) -> str:
        """The citizen logs in at the portal and says yes."""
        choice = DemoChoice(WHO, "grant", KIND, "wijkteam-noord", PURPOSE)

        async def say_yes() -> str:
            async with self._at_the_portal() as (portal, session):
                return (await portal.citizens.choose(session, change_of(choice), TEXT_SHOWN)).receipt

        receipt = asyncio.run(say_yes())
        _hold(receipt.count(".") == 2, "no signed receipt")
        return "wijkteam-noord may see schuldhulp for huisbezoek; receipt signed"

    def look(self) -> str:
        """At the very next question it is visible."""
        seen = self._kinds_seen()
        _hold(KIND in seen, "not visible after the choice")
        return "Schuldhulp is visible at the next question"

    def refused(self) -> str:
        """Without an employee token, and for a purpose that is not of the role, the answer is no."""
        with self._system(plan.DESK_NODE) as nobody:
            body = {"clients": [{"bsn": self.citizen.bsn}], "purpose": PURPOSE, "caseReference": CASE}
            without = nobody.post("/v1/visits", json=body)
        wrong_purpose = self._looked("vroegsignalering")
        _hold(without.status_code == 403, f"without a token: {without.status_code}")
        _hold(wrong_purpose.status_code == 403, f"wrong purpose: {wrong_purpose.status_code}")
        _hold(self.citizen.bsn not in without.text + wrong_purpose.text, "the number came back")
        return "without an employee token 403; for a purpose not of the role 403"

    def retract(self) -> str:
        """The source's next extract no longer has the row."""
        fact = next(f for f in self.papers.world.facts if f.bsn == self.citizen.bsn and f.kind == KIND)
        extract = self.papers.node(fact.node) / "extract" / f"{fact.node}.csv"
        whole = extract.read_text()
        rows = list(csv.reader(io.StringIO(whole)))
        shorter = io.StringIO()
        csv.writer(shorter, lineterminator="\n").writerows(row for row in rows if row[2] != fact.local_ref)
        try:
            extract.write_text(shorter.getvalue())
            import_extracts(self.papers, self.fleet, [fact.node])
        finally:
            extract.write_text(whole)
        with self._system(fact.node) as source:
            state = source.get(f"/v1/flags/{fact.local_ref}").json().get("state")
        _hold(state == "retracted", f"state {state}")
        return "gone from the extract, retracted, and signed for"

    def look_again(self) -> str:
        """At the very next question it is gone."""
        _hold(KIND not in self._kinds_seen(), "still visible after the retraction")
        return "Er is niets zichtbaar"

    def verify_the_log(self) -> str:
        """The log's signature holds; the citizen finds every look, each line proven, without a gap."""
        size = self._signed_size()

        async def read_it() -> LooksView:
            async with self._at_the_portal() as (portal, session):
                return await portal.citizens.looks(session)

        found = asyncio.run(read_it())
        looks = [line for line in found.lines if line.activity == "lookup"]
        _hold(found.verified and found.checked == found.total, f"{found.checked} of {found.total} hold")
        _hold(len(looks) >= 3, f"{len(looks)} looks, expected 3 or more")
        _hold(any(not line.seen for line in looks), "no empty look in the list")
        _hold(any(line.seen for line in looks), "no look that showed something")
        own = f"{found.checked} of {found.total} own lines proven, no gap; {len(looks)} looks"
        return f"{size} entries signed; {own}"

    def _signed_size(self) -> int:
        """Size of the log by its checkpoint, whose signature is that of the key the nodes have pinned."""
        pinned = NodeSettings.load(self.papers.node(plan.PORTAL_NODE) / "node.toml").hub_log_vkey
        address = f"{plan.url(self.papers.base, plan.HUB_OFFSET)}/v1/log/checkpoint"
        note = httpx.get(address, timeout=10, trust_env=False).raise_for_status().text
        return verified_checkpoint(note, parse_vkey(pinned)).size


def _hold(condition: bool, otherwise: str) -> None:
    if not condition:
        raise StepFailed(otherwise)


def _run(name: str, step: Callable[[], str]) -> Step:
    try:
        return Step(name, True, step())
    except StepFailed as failed:
        return Step(name, False, str(failed))
    except Exception as error:
        # The text of an unknown error may hold anything: its kind is enough here.
        return Step(name, False, type(error).__name__)


def tell(papers: Papers, fleet: Fleet, as_json: bool) -> bool:
    """Tell the story step by step on standard output; whether every step held."""
    story = _Story(papers, fleet, papers.world.by_user(WHO))
    steps: list[tuple[str, Callable[[], str]]] = [
        ("publish", story.publish),
        ("look before", story.look_before),
        ("choose", story.choose),
        ("look", story.look),
        ("refused", story.refused),
        ("retract", story.retract),
        ("look again", story.look_again),
        ("verify the log", story.verify_the_log),
    ]
    held = True
    for name, step in steps:
        done = _run(name, step)
        held = held and done.ok
        print(_line(done, as_json), flush=True)
    return held


def _line(done: Step, as_json: bool) -> str:
    if as_json:
        plain: dict[str, Any] = {"step": done.step, "ok": done.ok, "detail": done.detail}
        return msgspec.json.encode(plain).decode()
    return f"{'ok ' if done.ok else 'NOT'}  {done.step:<16} {done.detail}"
