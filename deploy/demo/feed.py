"""Feeding a demo that is up: extracts through the real import, choices through the real portal.

    keys for calling systems -> each source imports its own extract -> outboxes drained
    -> listed citizens log in and choose

A second start imports again, which changes nothing, and does not choose again:
what a citizen changed since then stays.
"""

import asyncio
import base64
import json
import os
import socket
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby

import httpx

from consent.pages import Identity
from deploy.node_tools import add_api_key, import_list, opened_node
from nodes.bsn import Bsn
from nodes.citizen import Change, CitizenSession, Receiver
from nodes.portal.family import Family, session_for, welcome
from nodes.runtime import NodeRuntime

from . import plan
from .citizens import DemoChoice
from .fleet import DemoFailed, Fleet
from .papers import Papers
from .people import citizen_id_token

DRAINED_S = 90.0
TEXT_SHOWN = "Oefenkeuze van de demo"
_CHOSEN = "choices-made"


def feed(papers: Papers, fleet: Fleet, say: Callable[[str], None]) -> None:
    """Import all extracts and make the first choices.

    Raises:
        DemoFailed: An import failed, or an outbox did not drain.
    """
    begun = time.monotonic()
    _make_api_keys(papers)
    import_extracts(papers, fleet)
    say(
        f"{len(papers.world.facts)} flags of {len(papers.world.citizens)} citizens published"
        f" after {time.monotonic() - begun:.1f} s"
    )
    marker = papers.node(plan.PORTAL_NODE) / _CHOSEN
    if not marker.exists():
        fleet.start("choices", papers.node(plan.PORTAL_NODE) / "choices.log", lambda _: _choose(papers))
        fleet.finish("choices")
        marker.touch(mode=0o600)
        say(f"{len(papers.world.choices)} choices made through the portal")


def _make_api_keys(papers: Papers) -> None:
    """A key for each node's own systems, kept beside its settings; shown by `demo --json`."""
    for node in plan.NODES:
        file = papers.api_key_file(node.id)
        if file.exists() or "portal" in node.parts:
            continue
        roles = sorted({p.role for p in plan.EMPLOYEES if p.node == node.id and p.page == "desk"})
        made = add_api_key(papers.node(node.id) / "node.toml", "demo", node.kinds, roles)
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as written:
            written.write(f"{made['key']}\n")


def import_extracts(papers: Papers, fleet: Fleet, nodes: Sequence[str] | None = None) -> None:
    """Each source reads its own extract as `vlagwijzer node import` does; then all outboxes drain.

    Raises:
        DemoFailed: An import failed, or an outbox did not drain in time.
    """
    wanted = [
        node.id for node in plan.NODES if "source" in node.parts and (nodes is None or node.id in nodes)
    ]
    for node_id in wanted:
        home = papers.node(node_id)
        fleet.start(f"import {node_id}", home / "import.log", partial(_import, papers, node_id))
    for node_id in wanted:
        fleet.finish(f"import {node_id}")
    for node_id in wanted:
        wait_until_drained(papers, node_id)


def _import(papers: Papers, node_id: str, _: list[socket.socket]) -> None:
    home = papers.node(node_id)
    import_list(home / "node.toml", home / "extract" / f"{node_id}.csv")


def wait_until_drained(papers: Papers, node_id: str, within: float = DRAINED_S) -> None:
    """Wait until a node has nothing left to tell the hub.

    Raises:
        DemoFailed: It still has after this time.
    """
    address = f"{plan.url(papers.base, plan.node(node_id).offset)}/v1/outbox"
    key = papers.api_key_file(node_id).read_text().strip()
    end = time.monotonic() + within
    with httpx.Client(headers={"X-API-Key": key}, timeout=10, trust_env=False) as client:
        while True:
            state = client.get(address).raise_for_status().json()
            if state["waiting"] == 0:
                return
            if time.monotonic() > end:
                raise DemoFailed(f"node {node_id} still has {state['waiting']} messages for the hub")
            time.sleep(0.1)


def _choose(papers: Papers) -> None:
    from deploy.logging_setup import set_up_logging

    set_up_logging("choices")
    asyncio.run(make_choices(papers, papers.world.choices))


async def make_choices(papers: Papers, choices: Sequence[DemoChoice]) -> None:
    """Log in as each citizen and choose, through the portal's own services."""
    config = papers.node(plan.PORTAL_NODE) / "node.toml"
    async with opened_node(config) as portal:
        for (user, login), own in groupby(choices, key=lambda choice: (choice.user, choice.login)):
            family = await logged_in(papers, portal, login or user)
            session = await _about(papers, portal, family, user)
            for choice in own:
                await portal.citizens.choose(session, change_of(choice), TEXT_SHOWN)
            for opened in family.sessions():
                portal.citizens.close(opened)


async def logged_in(papers: Papers, portal: NodeRuntime, user: str) -> Family:
    """Log in at the provider and come in at the portal, as after the code flow in a browser."""
    id_token = await asyncio.to_thread(citizen_id_token, papers, user)
    payload = id_token.split(".")[1]  # fetched from the provider itself a moment ago
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return await welcome(portal, Identity(user, "", (), "", claims, id_token))


async def _about(papers: Papers, portal: NodeRuntime, family: Family, user: str) -> CitizenSession:
    """The session about this citizen: the login's own, or the one of a child."""
    wanted = Bsn.parse(papers.world.by_user(user).bsn)
    for place, child in enumerate(family.children):
        if child.bsn == wanted:
            return await session_for(portal, family, place)
    return family.own


def change_of(choice: DemoChoice) -> Change:
    """The choice as the portal's page would make it."""
    oin = next(entry.oin for entry in plan.ORGANISATIONS if choice.team in entry.teams)
    return Change(
        effect="grant" if choice.effect == "grant" else "deny",
        kind=choice.kind,
        receiver=Receiver(oin=oin, team=choice.team),
        purpose=choice.purpose,
    )
