"""After the storm: does the database hold what was promised, and nothing that was not?

lost        an acknowledged change is not there
unlogged    an answer was given whose entry is not in the log as promised
resurrected a retracted flag is there again
twice       one message was carried out more than once
forked      the log as a whole does not hold: leaves, numbers, chains, tiles
"""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, text

from index.accesslog.reading import LogReader
from index.accesslog.verifying import verify_all
from index.keystore import load_keystore
from index.protocol import entry as fmt
from index.rows import Rows
from tests.hub.world import World

from .load import Change, Journal


@dataclass
class Verdict:
    """Figures of one run; `violations` is empty exactly when every promise held."""

    acks: int = 0
    entries: int = 0
    lost: int = 0
    unlogged: int = 0
    resurrected: int = 0
    twice: int = 0
    forked: int = 0
    others: dict[str, int] = field(default_factory=dict)

    @property
    def violations(self) -> int:
        return (
            self.lost
            + self.unlogged
            + self.resurrected
            + self.twice
            + self.forked
            + sum(self.others.values())
        )

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in asdict(self).items() if value)


def judge(world: World, journal: Journal, engine: Engine) -> Verdict:
    """Compare the journal with the database, row by row and leaf by leaf."""
    found = Verdict(acks=journal.acks, others=dict(journal.violations))
    with engine.connect().execution_options(reading=True) as connection:
        if engine.dialect.name == "postgresql":
            # A long log takes more than the ten seconds that a hub's own transaction may stand still.
            connection.exec_driver_sql("SET idle_in_transaction_session_timeout = 0")
        _flags(connection, world, journal, found)
        _log(connection, world, journal, found)
    return found


def _flags(connection: Connection, world: World, journal: Journal, found: Verdict) -> None:
    rows = Rows(load_keystore(world.settings.keystore), lambda: None, world.clock)  # type: ignore[arg-type, return-value]
    directory = world.directory()
    numbers = {node.id: node.number for node in directory.nodes}
    stored = {(tag, rtag): seq for tag, rtag, seq in _rows(connection, "pub_tag, rtag, seq", "flag")}
    markers = set(_rows(connection, "pub_tag, rtag", "marker"))
    for rtag, changes in journal.changes.items():
        key = (rows.pub_tag(numbers[changes[0].node.id]), rtag)
        _one_flag(changes, stored.get(key), key in markers, found)


def _rows(connection: Connection, columns: str, table: str) -> list[tuple[Any, ...]]:
    rows = connection.execute(text(f"SELECT {columns} FROM {table}"))  # noqa: S608
    return [tuple(bytes(v) if isinstance(v, memoryview) else v for v in row) for row in rows]


def _one_flag(changes: list[Change], seq: int | None, marked: bool, found: Verdict) -> None:
    """What may be stored of one flag, after these messages in whatever order."""
    sent = [change for change in changes if change.sent]
    acked = [change for change in sent if change.outcome]
    if any(change.t == "retract" for change in acked):
        found.resurrected += seq is not None
        found.lost += not marked
        return
    if any(change.t == "retract" for change in sent):
        # Nobody was told what became of it: both are right, but not both at once.
        found.resurrected += marked and seq is not None
        return
    newest = max((change.seq for change in acked), default=0)
    known = {change.seq for change in sent}
    found.lost += (seq or 0) < newest or (seq is not None and seq not in known)


def _log(connection: Connection, world: World, journal: Journal, found: Verdict) -> None:
    prefix = world.settings.statement_hub
    reader = LogReader(prefix, load_keystore(world.settings.keystore))
    keys = {node.id: [bytes(node.key.verify_key)] for node in world.nodes.values()}
    status = verify_all(connection, reader, node_keys=lambda node: keys.get(node, []))
    if status is not None:
        found.entries = status.size
        found.forked = len(status.problems)
    leaves = {row[0]: bytes(row[1]) for row in connection.execute(text('SELECT "index", leaf FROM entry'))}
    found.unlogged = sum(leaves.get(index) != leaf for index, leaf in journal.leaves.items())
    found.twice = sum(count - 1 for count in messages(connection, reader).values() if count > 1)


def messages(connection: Connection, reader: LogReader) -> Counter[tuple[str, str]]:
    """How many entries each message of a source with one item has."""
    counted: Counter[tuple[str, str]] = Counter()
    head = reader.head(connection)
    if head is None:
        return counted
    for _, opened in reader.opened(connection, head.year, 0, head.size):
        asker = fmt.parse_asker(opened.asker)
        if asker.t in ("publish", "retract", "choice") and asker.refused in ("", "stale"):
            counted[(asker.node, asker.msg)] += 1
    return counted
