"""Recorded decisions, read back from the log: to ask Cedar again, and to replay them against a candidate.

    sealed entries -> who asked, with what was registered then -> kinds, rows, bases, rules

A sample is asked again every few minutes, in a process of its own. A
difference is an alarm: it is logged, counted, shown by `/health`, and stops all
answers of that version, stored, until another version is in force.

Source: docs/design/policy-and-consent.md, "Cost" and "What would change if".
"""

import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from typing import Any

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from index.accesslog.errors import LogError
from index.acts import HistoryBroken
from index.decisions import read_dec
from index.hub import Hub
from index.policies import apart, settle, stop
from index.protocol.codec import unb64u
from index.protocol.directory import Directory
from index.protocol.entry import EntryError, Opened, parse_asker, parse_chain
from index.registers import Registers
from policy.decide import Asker, scopes_for
from policy.engine import PolicyVersion, PublishError
from policy.recheck import Difference, Recorded, differences
from policy.replay import Input
from policy.table import Table
from policy.vocabulary import UnknownCode, Vocabulary

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Decision:
    """One recorded question about one person: who asked, and what each kind came to. No handle, no person."""

    version: int
    hash: bytes
    asker: Asker
    outcomes: tuple[Recorded, ...]
    inputs: Mapping[int, Input | None]


def decision_of(
    entry: Opened, words: Mapping[int, Vocabulary], registers: Registers, directory: Directory
) -> Decision | None:
    """The decision in an entry; None where nothing was decided, or it cannot be told which kinds were.

    Args:
        words: Vocabularies by number of the version; of another version nothing can be told.
        registers: With their whole history.
    """
    try:
        line, chain = parse_asker(entry.asker), parse_chain(entry.chain)
        if line.t != "lookup" or not isinstance(chain.dec, str) or line.pv not in words:
            return None
        dec = unb64u(chain.dec)
        organisation = directory.organisation(line.org)
        if organisation is None or not registers.settled(line.org, line.ts // 1000):
            return None
        asker = registers.asker(organisation, line.role, line.purpose, line.ts // 1000, past=True)
        read = read_dec(dec, _kinds_of(words[line.pv], asker))
    except EntryError:
        return None
    if read is None:
        # The visit was opened under another profile or version, which had other scopes.
        return None
    return Decision(line.pv, read.hash, asker, read.outcomes, read.inputs)


def _kinds_of(words: Vocabulary, asker: Asker) -> list[int]:
    try:
        scopes = scopes_for(words, asker.role, asker.purpose, asker.profile)
    except UnknownCode:
        return []
    return sorted(kind.number for scope in scopes for kind in words.kinds_of(scope))


def ask_again(version: PolicyVersion, decisions: Sequence[Decision]) -> list[Difference]:
    """What Cedar would not give; runs in a process of its own."""
    return [
        found for decision in decisions for found in differences(version, decision.asker, decision.outcomes)
    ]


class Recheck:
    """The background check of one hub process; `start` and `stop` with the application."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="recheck", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Do not begin another check; one that runs is not waited for."""
        self._over.set()

    def _run(self) -> None:
        while not self._over.wait(self._hub.settings.recheck_seconds):
            try:
                settle(self._hub.office)
                self.once()
            except (PublishError, LogError, HistoryBroken, DBAPIError, BrokenProcessPool, OSError) as error:
                # Not knowing is no difference; the next time tells. It is seen in the log and the figures.
                log.error("recheck_failed", error=type(error).__name__)

    def once(self) -> list[Difference]:
        """Ask Cedar about a sample of what the version in force decided; a difference stops it."""
        hub = self._hub
        version = hub.policy
        with hub.reading() as connection:
            sample = self._sample(connection, version)
        if not sample:
            return []
        bare = without_table(version)
        found: list[Difference] = apart(ask_again, bare, sample)
        wrong = [decision for decision in sample if decision.hash != version.hash]
        hub.metrics.rechecked.inc(len(sample))
        if found or wrong:
            hub.metrics.recheck_differences.inc(len(found) + len(wrong))
            for one in found[:20]:
                log.critical("policy_differs", version=version.number, **one._asdict())
            stop(hub.office, version.number, len(found) + len(wrong))
            log.critical("policy_stopped", version=version.number, differences=len(found) + len(wrong))
        return found

    def _sample(self, connection: Connection, version: PolicyVersion) -> list[Decision]:
        """Decisions at random places of this year's log: as many as wanted, or what a few reads give."""
        hub, found = self._hub, []
        words = {version.number: version.vocabulary}
        for entry in _random_entries(hub, connection, hub.settings.recheck_sample):
            decision = decision_of(entry, words, hub.policies.registers, hub.directory)
            if decision is not None:
                found.append(decision)
        return found


def _random_entries(hub: Hub, connection: Connection, wanted: int) -> Iterator[Opened]:
    """The newest entries and as many at random places before them."""
    head = hub.log_reader.head(connection)
    if head is None:
        return
    newest = max(0, head.size - wanted)
    yield from (entry for _, entry in hub.log_reader.opened(connection, head.year, newest, head.size))
    for _ in range(min(wanted, newest)):
        place = random.randrange(newest)  # noqa: S311 - a sample, no secret
        yield from (entry for _, entry in hub.log_reader.opened(connection, head.year, place, place + 1))


def without_table(version: PolicyVersion) -> Any:
    """The version without its answers: they are what is checked, and need not travel."""
    return replace(version, table=Table())
