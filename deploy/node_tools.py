"""What commands do at a node, with the same services as the node's own process.

Both may run at once: the store serialises them, and what a command queues is
sent by the running node, or by `sync` where none runs.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from nodes import apikeys
from nodes.api import API
from nodes.bsn import Bsn
from nodes.connectors import csv
from nodes.connectors.plan import Plan, apply
from nodes.deceased import ORIGIN, burial, died_of
from nodes.employees import role_for
from nodes.errors import (
    BadInput,
    BadItems,
    HubUnreachable,
    NotAllowed,
    SettingsError,
    UnknownReference,
)
from nodes.runtime import NodeRuntime, open_node
from nodes.settings import NodeSettings
from nodes.store.database import open_engine
from policy.vocabulary import load_vocabulary


@dataclass(slots=True)
class Counts:
    """How far a bulk is: items done, made ready but not done, turned down, and in all."""

    total: int = 0
    done: int = 0
    ready: int = 0
    rejected: int = 0
    waiting: int = 0


@asynccontextmanager
async def opened_node(config: Path) -> AsyncIterator[NodeRuntime]:
    """A node's services for as long as the context lasts; nothing is served or sent.

    Raises:
        SettingsError: Names the setting or file.
    """
    node = await asyncio.to_thread(open_node, NodeSettings.load(config))
    try:
        yield node
    finally:
        await node.close()


def import_list(
    config: Path,
    file: Path,
    *,
    source: str = "",
    dry_run: bool = False,
    confirm_shrink: bool = False,
    progress: Callable[[Counts], None] = lambda _counts: None,
) -> Plan:
    """Compare an extract with what was passed on before, and queue the difference.

    Args:
        source: Name of the source whose file this is; empty for the list of `[csv]`.
        dry_run: Only say what would happen.
        confirm_shrink: Somebody looked at a list that lost much and says it is right.
        progress: Told how far it is, some times a second at most of a large list.

    Raises:
        BadInput: The file as a whole cannot be read.
        ShrinkStops: The list lost too much, and nobody confirmed; nothing was done.
    """

    if file.stat().st_size > csv.MAX_BYTES:
        raise BadInput("file", "too-large", f"At most {csv.MAX_BYTES // 1024 // 1024} MB. Nothing was done.")
    content = file.read_bytes()

    async def run() -> Plan:
        async with opened_node(config) as node, node.sources.alone():
            if source:
                planned = await node.sources.plan(source, content)
            else:
                planned = csv.plan(
                    content,
                    node.outbox,
                    node.rules,
                    mapping=node.csv_mapping,
                    shrink_share=node.settings.csv.shrink_share,
                )
            if not dry_run:
                counts = Counts(
                    total=len(planned.publications) + len(planned.retractions),
                    rejected=len(planned.rejections),
                )

                def stored(done: int, _total: int) -> None:
                    counts.done = done
                    progress(counts)

                def ready(count: int) -> None:
                    counts.ready += count
                    progress(counts)

                await apply(
                    planned,
                    node.intake,
                    confirm_shrink=confirm_shrink,
                    progress=stored,
                    pseudonymised=ready,
                )
            return planned

    return asyncio.run(run())


def publish(config: Path, item: dict[str, Any]) -> str:
    """Queue one publication, with the checks of the API.

    Args:
        item: `bsn`, `kind`, `localRef`, `since` and maybe `until`.

    Returns:
        Its state: queued, or published when nothing changed.

    Raises:
        BadItems: All that is wrong, without the values.
    """

    async def run() -> str:
        async with opened_node(config) as node:
            checked = node.rules.check(item)
            if isinstance(checked, list):
                raise BadItems(checked)
            await node.intake.submit(API, publications=[checked])
            return _state(node, checked.local_ref)

    return asyncio.run(run())


def retract(config: Path, local_ref: str) -> str:
    """Queue the retraction of one flag.

    Raises:
        UnknownReference: It was never published here; nothing is touched.
    """

    async def run() -> str:
        async with opened_node(config) as node:
            if local_ref not in node.outbox.flags([local_ref]):
                raise UnknownReference("This flag was never published here; nothing was touched.")
            await node.intake.submit(API, retractions=[local_ref])
            return _state(node, local_ref)

    return asyncio.run(run())


def deceased(config: Path, bsns: Sequence[str], *, dry_run: bool = False) -> dict[str, int]:
    """Ask the BRP who of these died, and retract every own flag about them.

    Args:
        dry_run: Only say how many.

    Raises:
        SettingsError: This node has no `[brp]`.
        BrpUnavailable, BadBsn: Nothing is changed.
    """

    async def run() -> dict[str, int]:
        async with opened_node(config) as node, node.sources.alone():
            if node.brp is None:
                raise SettingsError("brp: this node has no [brp] to ask who died")
            asked = [Bsn.parse(bsn) for bsn in bsns]
            died = await died_of(node.brp, asked)
            dead = [bsn for bsn, gone in zip(asked, died, strict=True) if gone]
            refs, remember = burial(node.outbox, node.engine, dead, node.now())
            if refs and not dry_run:
                await node.intake.submit(ORIGIN, retractions=refs, memory=remember)
            return {"asked": len(asked), "deceased": len(dead), "retracted": len(refs)}

    return asyncio.run(run())


def _state(node: NodeRuntime, local_ref: str) -> str:
    """The state of one flag in the words of the API."""
    state = node.outbox.flags([local_ref])[local_ref].state
    return "queued" if state == "retracting" else state


def sync(config: Path, progress: Callable[[Counts], None] = lambda _counts: None) -> dict[str, int]:
    """Send what waits, once, where no node process runs.

    Args:
        progress: Told how far it is after each message.

    Raises:
        HubUnreachable: Something still waits.
    """

    async def run() -> dict[str, int]:
        async with opened_node(config) as node:
            return await send(node, progress)

    return asyncio.run(run())


async def send(node: NodeRuntime, progress: Callable[[Counts], None]) -> dict[str, int]:
    """Send what waits at an opened node.

    Raises:
        HubUnreachable: Something still waits.
    """
    sent, begun = 0, _counted(node)
    progress(begun)
    while await node.sender.step():
        sent += 1
        progress(_counted(node, begun))
    left = (await node.source.overview()).waiting
    if left:
        raise HubUnreachable(f"{left} items still wait; nothing is lost.")
    return {"steps": sent, "waiting": left}


def _counted(node: NodeRuntime, begun: Counts | None = None) -> Counts:
    seen = node.source.counts(hub_reachable=True, holders_reachable=True)
    total = max(begun.total if begun else 0, seen.waiting)
    return Counts(total=total, done=total - seen.waiting, waiting=seen.waiting, rejected=seen.rejected)


def status(config: Path) -> dict[str, Any]:
    """Counts of the outbox and what can be reached; no person, no reference."""

    async def run() -> dict[str, Any]:
        async with opened_node(config) as node:
            seen = await node.source.overview()
            return {
                "node": node.settings.node_id,
                "waiting": seen.waiting,
                "waitingForKeyHolders": seen.waiting_for_holders,
                "live": seen.live,
                "rejected": seen.rejected,
                "oldestWaiting": seen.oldest_waiting.isoformat() if seen.oldest_waiting else None,
                "lastConfirmed": seen.last_confirmed.isoformat() if seen.last_confirmed else None,
                "hubReachable": seen.hub_reachable,
                "keyHoldersReachable": seen.holders_reachable,
                "trustSeparation": node.settings.trust_separation,
                "keys": node.trust.manifest.current.origin,
            }

    return asyncio.run(run())


def lookup(config: Path, bsns: Sequence[str], token: str, purpose: str, case: str) -> list[dict[str, Any]]:
    """Open a visit, look once and close it, as the employee of the token.

    Args:
        bsns: One to eight numbers, as read from a file or standard input.
        token: Employee token for this node.

    Raises:
        BadBsn, BadInput, NotAllowed, Refused, HubUnreachable, HoldersUnreachable: Nothing is shown.
    """

    async def run() -> list[dict[str, Any]]:
        async with opened_node(config) as node:
            if node.tokens is None:
                raise NotAllowed("employee-token")
            roles = frozenset(role.code for role in node.vocabulary.roles)
            employee = role_for(await node.tokens.check(token), roles, node.vocabulary)
            visit = await node.visits.open(employee, [Bsn.parse(bsn) for bsn in bsns], purpose, case)
            try:
                views = await node.visits.look(employee, visit.id)
            finally:
                await node.visits.close(employee, visit.id)
            return [
                {
                    "flags": [
                        {"kind": flag.kind, "since": flag.since, "name": flag.name, "desk": flag.desk}
                        for flag in view.flags
                    ],
                    "refused": view.refused,
                    "silent": view.silent,
                    "at": view.at.isoformat(),
                    "logIndex": view.log_index,
                }
                for view in views
            ]

    return asyncio.run(run())


# --- keys of calling systems -----------------------------------------------------------


def add_api_key(
    config: Path, name: str, kinds: Sequence[str], roles: Sequence[str], days: int | None = None
) -> dict[str, Any]:
    """Make an API key, for so many days; the answer is the only time it is shown."""
    settings = NodeSettings.load(config)
    engine = open_engine(settings.database)
    try:
        made, shown = apikeys.add(
            engine,
            load_vocabulary(settings.vocabulary_file),
            name,
            kinds=kinds,
            roles=roles,
            now=datetime.now(UTC),
            expires_at=_in_days(days),
        )
    finally:
        engine.dispose()
    return {**_told_key(made), "key": shown}


def rotate_api_key(config: Path, key_id: str, overlap_days: int, days: int | None = None) -> dict[str, Any]:
    """A new key for the same system; the last one works for so many days more.

    Raises:
        NotAllowed: There is no such living key.
    """
    engine = open_engine(NodeSettings.load(config).database)
    try:
        made, shown = apikeys.rotate(
            engine,
            key_id,
            overlap=timedelta(days=overlap_days),
            now=datetime.now(UTC),
            expires_at=_in_days(days),
        )
    finally:
        engine.dispose()
    return {**_told_key(made), "key": shown}


def _in_days(days: int | None) -> datetime | None:
    return None if days is None else datetime.now(UTC) + timedelta(days=days)


def _told_key(key: apikeys.ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "kinds": sorted(key.kinds),
        "roles": sorted(key.roles),
        "createdAt": key.created_at.isoformat(),
        "revokedAt": key.revoked_at.isoformat() if key.revoked_at else None,
        "expiresAt": key.expires_at.isoformat() if key.expires_at else None,
    }


def list_api_keys(config: Path) -> list[dict[str, Any]]:
    """All keys, without the keys themselves."""
    engine = open_engine(NodeSettings.load(config).database)
    try:
        now = datetime.now(UTC)
        return [{**_told_key(key), "lives": key.lives(now)} for key in apikeys.listed(engine)]
    finally:
        engine.dispose()


def revoke_api_key(config: Path, key_id: str) -> bool:
    """End a key at once; False when there is no such living key."""
    engine = open_engine(NodeSettings.load(config).database)
    try:
        return apikeys.revoke(engine, key_id, datetime.now(UTC))
    finally:
        engine.dispose()


def switch_source_on(config: Path) -> bool:
    """Let a switched-off source publish again; False where it was on."""

    async def run() -> bool:
        async with opened_node(config) as node:
            return node.switching_off.switch_on()

    return asyncio.run(run())
