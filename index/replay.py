"""Recorded decisions of a period, decided again under a candidate: an act of a person, recorded first.

    period -> entries -> askers and inputs -> counts -> act in history and log -> told

Only lookups are replayed. Of a question that the record does not tell apart
(its version is not kept, or a register changed around it) nothing is decided;
how many those are is told, rounded like every count.

Source: docs/design/policy-and-consent.md, "What would change"; policy.md 1.5; docs/adr/0014.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from index.accesslog.errors import LogInconsistent
from index.accesslog.reading import Found, LogReader
from index.acts import Act, Refused, Signer, history, signed
from index.policies import Publishing, stored
from index.protocol.directory import Directory
from index.protocol.entry import EntryDraft, EntryError, Opened, parse_asker
from index.recheck import decision_of
from index.registers import Registers
from index.store import tables as t
from policy.replay import Moved, RecordedDecision, replay, rounded
from policy.texts import Texts
from policy.vocabulary import Vocabulary, parse_vocabulary


@dataclass(frozen=True, slots=True)
class Replayed:
    """Against version `base`. `decided` and `left_out` count questions about one person."""

    base: int
    decided: int | str
    left_out: int | str
    moved: tuple[Moved, ...]


def what_if(
    publishing: Publishing, directory: Directory, number: int, period: tuple[datetime, datetime]
) -> Replayed:
    """What a stored version would do to the questions of a period; told once the log says that it was asked.

    Raises:
        Refused: There is no such version, or a log that does not hold. Nothing is told.
    """
    with publishing.office.engine.connect() as connection, connection.begin():
        content = stored(connection, number)[1]
    found, _ = _compared(publishing, directory, content, period)
    with publishing.office.sitting() as sitting:
        more: dict[str, str | int] = {"cause": f"what-if-{number}"}
        sitting.append(EntryDraft(t="admin", ts=0, req="", more=more))
    return found


def replay_at(
    publishing: Publishing,
    directory: Directory,
    who: Signer,
    content: Texts,
    period: tuple[datetime, datetime],
) -> Replayed:
    """What a candidate would do to the questions of a period; told once it is recorded that it was asked.

    Args:
        period: From, and up to but without, two instants (UTC).

    Raises:
        Refused: An empty period, a candidate that is none, or a log that does not hold. Nothing is told.
        VocabularyError, PublishError: As for `Publishing.publish`.
    """
    found, hash_ = _compared(publishing, directory, content, period)
    begin, end = period
    with publishing.office.sitting() as sitting:
        detail = {"base": found.base, "from": int(begin.timestamp()), "until": int(end.timestamp())}
        act = Act(t="policy-replay", at=sitting.seconds, hash=hash_, detail=detail)
        sitting.add(signed(publishing.office.settings, who, act))
    return found


def _compared(
    publishing: Publishing, directory: Directory, content: Texts, period: tuple[datetime, datetime]
) -> tuple[Replayed, str]:
    """The counts, and the hash of the candidate."""
    office = publishing.office
    begin, end = period
    if begin >= end:
        raise Refused("The period must end after it begins. Nothing was done.")
    with office.engine.connect() as connection, connection.begin():
        registers = Registers().after(history(connection, office.keystore))
        words = _vocabularies(connection)
    base, old, profiles = publishing.running(tuple(one.profile for one in registers.profiles))
    new = publishing.build(content, profiles)
    publishing.check(old.vocabulary, new.vocabulary)

    counting = _Counting(words, registers, directory)
    reader = LogReader(office.settings.statement_hub, office.keystore)
    try:
        with office.engine.connect() as connection, connection.begin():
            moved = replay(counting.decisions(reader.between(connection, begin, end)), old, new)
    except LogInconsistent as error:
        raise Refused(f"The log does not hold: {error}. Nothing is told.") from None
    return Replayed(base, rounded(counting.decided), rounded(counting.left_out), moved), new.hash.hex()


def _vocabularies(connection: Connection) -> dict[int, Vocabulary]:
    """Of every stored version, by its number."""
    rows = connection.execute(select(t.policy_version.c.number, t.policy_version.c.content)).all()
    return {number: parse_vocabulary(Texts.decode(bytes(content)).vocabulary) for number, content in rows}


@dataclass(slots=True)
class _Counting:
    """The questions among entries, and how many there were."""

    words: dict[int, Vocabulary]
    registers: Registers
    directory: Directory
    decided: int = 0
    left_out: int = 0

    def decisions(self, entries: Iterator[Found]) -> Iterator[RecordedDecision]:
        for entry in (found.opened for found in entries):
            if not _is_lookup(entry):
                continue
            decision = decision_of(entry, self.words, self.registers, self.directory)
            if decision is None:
                self.left_out += 1
                continue
            self.decided += 1
            yield RecordedDecision(decision.asker, decision.inputs)


def _is_lookup(entry: Opened) -> bool:
    try:
        return parse_asker(entry.asker).t == "lookup"
    except EntryError:
        return False
