"""What commands do with the sources of a node: run them, repair what lies aside, and load the first time.

The same services as the node's own process; both may run at once.
"""

import asyncio
import csv as csv_format
import io
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from index.protocol.keyfile import read_key_file
from nodes.connectors import csv, excel
from nodes.connectors.facts import Read
from nodes.connectors.first_load import Delivered, FirstLoad, Standing
from nodes.connectors.plan import Plan
from nodes.connectors.rows import Mapped, load_mapping, names_of
from nodes.errors import BadInput, BadItems, SourceUnreachable, UnknownSource
from nodes.outbox import Rejection
from nodes.runtime import NodeRuntime
from nodes.settings import SourceSettings

from .node_tools import Counts, opened_node, send

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(slots=True)
class Ran:
    """What one source did, or would do."""

    source: str
    plans: list[Plan] = field(default_factory=list)
    refused: list[tuple[str, str, str]] = field(default_factory=list)
    """Messages that are refused as a whole: place, code and reason."""
    fault: str = ""


def run_sources(
    config: Path,
    source: str = "",
    *,
    dry_run: bool = False,
    confirm_shrink: bool = False,
    progress: Callable[[Counts], None] = lambda _counts: None,
) -> tuple[list[Ran], dict[str, int]]:
    """Read the databases and watched folders, queue what follows, and send what waits.

    Args:
        source: Only this one; empty for all.
        dry_run: Only say what would happen; nothing is taken, queued or sent.
        confirm_shrink: Somebody looked at a list that lost much and says it is right.

    Raises:
        UnknownSource: There is no such source.
        ShrinkStops: A list of the named source lost too much, and nobody confirmed.
        HubUnreachable: Something still waits.
    """

    async def run() -> tuple[list[Ran], dict[str, int]]:
        async with opened_node(config) as node:
            names = [node.sources.settings_of(source).name] if source else node.sources.names
            ran = [await _one(node, name, dry_run=dry_run, confirm_shrink=confirm_shrink) for name in names]
            if dry_run:
                return ran, {}
            return ran, await send(node, progress)

    return asyncio.run(run())


async def _one(node: NodeRuntime, name: str, *, dry_run: bool, confirm_shrink: bool) -> Ran:
    made = Ran(name)
    database = node.sources.database(name)
    try:
        if database is not None and dry_run:
            made.plans.append(await database.plan())
        elif database is not None:
            made.plans += await node.sources.pull(name, confirm_shrink=confirm_shrink)
        elif dry_run:
            for file in node.sources.files(name):
                await _try(node, name, file, made)
        else:
            await _work_off(node, name, made, confirm_shrink=confirm_shrink)
    except SourceUnreachable as error:
        made.fault = error.reason
    return made


async def _try(node: NodeRuntime, name: str, file: Path, made: Ran) -> None:
    try:
        content = await asyncio.to_thread(file.read_bytes)
        made.plans.append(await node.sources.plan(name, content))
    except BadItems as error:
        made.refused += [(one.field, one.code, one.detail) for one in error.errors]
    except BadInput as error:
        made.refused.append((error.field, error.code, error.detail))


async def _work_off(node: NodeRuntime, name: str, made: Ran, *, confirm_shrink: bool) -> None:
    before = {one.id for one in node.sources.inbox.aside()}
    node.sources.collect(name)
    while (arrived := node.sources.inbox.next([name])) is not None:
        await node.sources.handle(arrived, confirm_shrink=confirm_shrink, done=made.plans.append)
    made.refused += [
        (one.field, one.code, one.detail) for one in node.sources.inbox.aside() if one.id not in before
    ]
    made.fault = node.sources.faults.get(name, "")


# --- what lies aside -------------------------------------------------------------------


def aside(config: Path) -> list[dict[str, Any]]:
    """What could not be worked off, without its content."""

    async def run() -> list[dict[str, Any]]:
        async with opened_node(config) as node:
            return [
                {
                    "id": one.id,
                    "source": one.connector,
                    "receivedAt": one.received_at.isoformat(),
                    "place": one.field,
                    "code": one.code,
                    "reason": one.detail,
                }
                for one in node.sources.inbox.aside()
            ]

    return asyncio.run(run())


def replay(config: Path, id_: int | None, *, confirm_shrink: bool = False) -> dict[str, int]:
    """Work off again what lies aside, one or all, after something was repaired.

    Raises:
        BadInput: There is none with this number.
    """

    async def run() -> dict[str, int]:
        async with opened_node(config) as node:
            inbox = node.sources.inbox
            ids = [one.id for one in inbox.aside() if id_ in (None, one.id)]
            if id_ is not None and not ids:
                raise BadInput("id", "unknown", "No message with this number lies aside.")
            done = 0
            for number in ids:
                arrived = inbox.aside_content(number)
                if arrived is not None:
                    done += await node.sources.handle(arrived, confirm_shrink=confirm_shrink)
            return {"done": done, "aside": len(ids) - done}

    return asyncio.run(run())


def drop(config: Path, id_: int) -> bool:
    """Erase one that lies aside; False when there is none."""

    async def run() -> bool:
        async with opened_node(config) as node:
            return node.sources.inbox.drop(id_)

    return asyncio.run(run())


# --- the first load --------------------------------------------------------------------


def deliver(config: Path, source: str, file: Path, rejected: Path | None) -> Delivered:
    """Keep the right rows of a list and give the others back as a file.

    Args:
        rejected: Where the rejected rows are written, with line and reason; only its owner can read it.

    Raises:
        BadInput: The file as a whole cannot be read; nothing was kept.
    """

    if file.stat().st_size > csv.MAX_BYTES:
        raise BadInput("file", "too-large", f"At most {csv.MAX_BYTES // 1024 // 1024} MB. Nothing was done.")
    content = file.read_bytes()

    async def run() -> Delivered:
        async with opened_node(config) as node:
            settings, mapping = _list(node, source)
            reader = excel if settings.type == "excel" else csv
            reads: list[Read] = list(reader.read(content, mapping))
            made = _first_load(node, source).deliver(reads, names_of(mapping))
            if rejected is not None and made.rejections:
                _write(rejected, list(reader.lines(content)), made.rejections)
            return made

    return asyncio.run(run())


def standing(config: Path, source: str) -> Standing | None:
    """How far the first load of a source is."""

    async def run() -> Standing | None:
        async with opened_node(config) as node:
            _list(node, source)
            return _first_load(node, source).standing()

    return asyncio.run(run())


def sign(config: Path, source: str, by: str, key_file: Path, *, leave_rejected: bool) -> Plan | None:
    """Sign for what is kept; the second person's signature passes it on.

    Raises:
        NotAllowed: Not an approver, another key, or the same person twice.
        BadInput: Nothing was delivered, or rows are still rejected.
    """

    async def run() -> Plan | None:
        async with opened_node(config) as node:
            _list(node, source)
            key = read_key_file(key_file)
            made = _first_load(node, source).sign(by, key, leave_rejected=leave_rejected)
            if made is not None:
                # Two people signed for exactly these rows: that is the confirmation.
                async with node.sources.alone():
                    await node.sources.do(made, confirm_shrink=True)
            return made

    return asyncio.run(run())


def give_up(config: Path, source: str) -> None:
    """Erase what is kept for a first load."""

    async def run() -> None:
        async with opened_node(config) as node:
            _list(node, source)
            _first_load(node, source).drop()

    asyncio.run(run())


def _first_load(node: NodeRuntime, source: str) -> FirstLoad:
    return FirstLoad(
        source,
        engine=node.engine,
        storage_key=node.keys.storage,
        outbox=node.outbox,
        rules=node.rules,
        approvers=node.settings.approvers,
        now=node.now,
    )


def _list(node: NodeRuntime, source: str) -> tuple[SourceSettings, Mapped]:
    settings = node.sources.settings_of(source)
    if settings.type not in ("csv", "excel"):
        raise UnknownSource(f"The source {source} is no list.")
    return settings, load_mapping(node.sources.mapping_path(source), node.vocabulary)


def _write(target: Path, lines: list[tuple[int, list[Any]]], rejections: list[Rejection]) -> None:
    """The rejected rows as they came, with line and reason before them; formulas do not run when opened."""
    reasons: dict[int, list[str]] = {}
    for one in rejections:
        reasons.setdefault(one.line or 0, []).append(f"{one.wrong.field}: {one.wrong.detail}")
    text = io.StringIO()
    writer = csv_format.writer(text, delimiter=";", lineterminator="\n")
    (_, heading), *rows = lines
    writer.writerow(["regel", "reden", *map(_safe, heading)])
    for line, row in rows:
        if line in reasons:
            writer.writerow([line, " ".join(reasons[line]), *map(_safe, row)])
    # Made with these rights, for it holds persons.
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8-sig") as file:
        file.write(text.getvalue())


def _safe(cell: object) -> str:
    text = "" if cell is None else str(cell)
    return "'" + text if text.startswith(_FORMULA) else text
