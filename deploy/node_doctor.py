"""What `node doctor` looks at: each thing a node needs, whether it is right, and how to repair it.

Nothing is published or looked up. One evaluation of a canary asks the key
holders whether their keys are what they should be.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx

from nodes.errors import HolderLied, HolderRefused, HoldersUnreachable, SettingsError
from nodes.pseudonymise import KeysWrong
from nodes.runtime import NodeRuntime, open_node
from nodes.settings import NodeSettings
from nodes.store.database import open_engine, reading

CLOCK_SECONDS = 30
"""A request's signature holds for a minute; half of it is left for the way."""
_OUTBOX = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `fix` says what to do when it is not right."""

    check: str
    ok: bool
    detail: str
    fix: str = ""


def examine(config: Path) -> list[Finding]:
    """Everything about one node; stops at what makes the rest meaningless."""
    try:
        settings = NodeSettings.load(config)
    except SettingsError as error:
        return [Finding("settings", False, str(error), "Repair the settings file.")]
    found = [Finding("settings", True, f"node {settings.node_id}, parts {', '.join(sorted(settings.parts))}")]
    try:
        settings.keys()
        found.append(Finding("key files", True, "four key files, readable by their owner only"))
    except SettingsError as error:
        fix = "Put the file back from its backup, with mode 0600. It is never made anew."
        return [*found, Finding("key files", False, str(error), fix)]
    found.append(_database(settings))
    if not found[-1].ok:
        return found
    try:
        node = open_node(settings)
    except SettingsError as error:
        fix = "Repair what is named: a document, a mapping, a folder or a setting."
        return [*found, Finding("start", False, str(error), fix)]

    async def look() -> list[Finding]:
        try:
            return await findings(node)
        finally:
            await node.close()

    return found + asyncio.run(look())


async def findings(node: NodeRuntime) -> list[Finding]:
    """What is to be said of an opened node."""
    found = [_manifest(node), await _keys(node), *await _holders(node), *await _hub(node)]
    if not any(one.check == "clock" for one in found):
        fix = "See hub and holders: whoever answers says what time it is."
        found.append(Finding("clock", False, "nobody said what time it is, so it was not compared", fix))
    found += list(_mappings(node))
    if "source" in node.settings.parts:
        found += list(_outbox(node))
    return found


def _database(settings: NodeSettings) -> Finding:
    try:
        engine = open_engine(settings.database)
        try:
            with reading(engine) as connection:
                said = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
        finally:
            engine.dispose()
    except Exception as error:
        fix = "Check the path, its rights and the space on the disk; else put the backup back."
        return Finding("database", False, f"cannot be opened: {type(error).__name__}", fix)
    fix = "Stop the node and put the backup of the database back."
    return Finding(
        "database", said == "ok", "opens, is current and whole" if said == "ok" else "damaged", fix
    )


def _manifest(node: NodeRuntime) -> Finding:
    manifest = node.trust.manifest.current
    own = set(node.trust.node.scopes)
    lacking = sorted(own - {key.scope for key in manifest.keys if key.state == "active"})
    detail = (
        f"version {manifest.version}, directory version {node.trust.directory.version}, "
        f"environment {manifest.environment}"
    )
    if lacking:
        detail += f"; no active key for {', '.join(lacking)}"
    return Finding(
        "manifest", not lacking, detail, "Ask the key holders for the manifest that has these keys."
    )


async def _keys(node: NodeRuntime) -> Finding:
    try:
        await node.pseudonymiser.start()
    except KeysWrong:
        fix = "Do not use this node. Ask the key holders which keys are in use."
        return Finding("keys", False, "a canary has another answer than the manifest says", fix)
    except (HoldersUnreachable, HolderRefused, HolderLied) as error:
        fix = "See the holders below; a refusal means that this node is not in their directory."
        return Finding("keys", False, f"no canary could be evaluated: {type(error).__name__}", fix)
    return Finding("keys", True, "the canaries of all own scopes came out right")


async def _holders(node: NodeRuntime) -> list[Finding]:
    manifest = node.trust.manifest.current
    needed = max(key.t for key in manifest.keys)
    answers = [(one, await _ask(node.clients[-1], f"{one.url}/health")) for one in manifest.holders]
    alive = sum(answer is not None for _, answer in answers)
    found = [
        Finding(
            "holder",
            answer is not None or alive >= needed,
            f"{one.id} {'answers' if answer is not None else 'does not answer'}",
            f"At least {needed} must answer. Check the network, then call that organisation.",
        )
        for one, answer in answers
    ]
    return found + [one for holder, answer in answers if (one := _clock(node, holder.id, answer)) is not None]


async def _hub(node: NodeRuntime) -> list[Finding]:
    answer = await _ask(node.clients[0], "/health")
    text = f"{node.settings.hub_id} {'answers' if answer is not None else 'does not answer'}"
    found = [Finding("hub", answer is not None, text, "Check hub_url and the network; nothing is lost.")]
    clock = _clock(node, node.settings.hub_id, answer)
    return [*found, clock] if clock is not None else found


def _clock(node: NodeRuntime, name: str, answer: httpx.Response | None) -> Finding | None:
    said = None if answer is None else answer.headers.get("date")
    if said is None:
        return None
    try:
        there: datetime = parsedate_to_datetime(said)
    except ValueError:
        return None
    apart = abs((node.now() - there).total_seconds())
    fix = "Set the clock of this machine with NTP: signatures hold for a minute."
    return Finding("clock", apart <= CLOCK_SECONDS, f"{apart:.0f} s from that of {name}", fix)


async def _ask(http: httpx.AsyncClient, address: str) -> httpx.Response | None:
    try:
        answer = await http.get(address, timeout=5.0)
    except httpx.HTTPError:
        return None
    return answer if answer.status_code == 200 else None


def _mappings(node: NodeRuntime) -> Iterator[Finding]:
    registered = {entry.kind for entry in node.trust.organisation.kinds}
    for name in node.sources.names:
        kinds = node.sources.kinds_of(name)
        lacking = sorted(kinds - registered)
        detail = f"source {name}: " + (", ".join(sorted(kinds)) or "kinds come from the rows")
        if lacking:
            detail += f"; not registered for this organisation: {', '.join(lacking)}"
        fix = "Have the kind registered, or take it out of the mapping: its items are rejected."
        yield Finding("mapping", not lacking, detail, fix)


def _outbox(node: NodeRuntime) -> Iterator[Finding]:
    seen = node.source.counts(hub_reachable=True, holders_reachable=True)
    late = seen.oldest_waiting is not None and node.now() - seen.oldest_waiting > _OUTBOX
    fix = "See hub and holders; is `node serve` running? `node sync` sends once."
    yield Finding("outbox", not late, f"{seen.waiting} waiting, {seen.live} live", fix)
    _, aside = node.sources.inbox.counts()
    fix = "`node aside list` says why; `node aside replay` after the repair."
    yield Finding("aside", aside == 0, f"{aside} messages lie aside", fix)
    if seen.live and seen.last_confirmed is not None:
        limits = node.settings.alerts
        left = timedelta(days=limits.lease_total_days) - (node.now() - seen.last_confirmed)
        fix = "Let the node reach the hub: unconfirmed flags are no longer shown."
        text = f"{max(0, left.days)} days until the flags are no longer shown"
        yield Finding("lease", left > timedelta(days=limits.lease_days), text, fix)
