"""Bugs that are planted into a hub process, to show that the harness would notice them.

Each is a slip that somebody could make. `plant` is called in the child before
it serves; a name that the program no longer has makes the child fail, so a
bug that can no longer be planted is noticed as well.
"""

import hashlib
import os
import secrets
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy.engine import RootTransaction

from index import lookup, policies, relations, sequencer
from index.accesslog.log import AccessLog
from index.transaction import Tx


def answer_before_commit() -> None:
    """Everybody of a batch is answered when it is written; the commit comes 30 ms later."""
    now: dict[str, Any] = {}
    run, apply, flush = sequencer.Sequencer._batch, sequencer.Sequencer._apply, AccessLog.flush
    write = sequencer.batch.write

    def _batch(self: Any, taken: Any) -> None:
        now.update(taken=taken, finishes=[])
        run(self, taken)

    def _apply(self: Any, tx: Any, work: Any) -> Any:
        now["finishes"].append(apply(self, tx, work))
        return now["finishes"][-1]

    def _flush(self: Any, connection: Any, at: Any) -> Any:
        now["sealed"] = flush(self, connection, at)
        return now["sealed"]

    def _write(connection: Any, written: Any, messages: Any) -> None:
        write(connection, written, messages)
        pairs = zip(now["taken"], now["finishes"], strict=True)
        sequencer._deliver([(w, f if isinstance(f, Exception) else (f, now["sealed"])) for w, f in pairs])

    commit = RootTransaction.commit

    def _commit(self: Any) -> None:
        time.sleep(0.03)
        commit(self)

    sequencer.Sequencer._batch = _batch  # type: ignore[method-assign]
    sequencer.Sequencer._apply = _apply  # type: ignore[method-assign]
    AccessLog.flush = _flush  # type: ignore[method-assign]
    sequencer.batch.write = _write
    RootTransaction.commit = _commit  # type: ignore[method-assign]


def no_sequence_guard() -> None:
    """Neither a later `seq` nor a marker stops a publication."""
    flag = Tx.flag

    def never_newer(self: Tx, pub_tag: bytes, rtag: bytes) -> Any:
        held = flag(self, pub_tag, rtag)
        return held._replace(seq=0) if held else None

    Tx.flag = never_newer  # type: ignore[method-assign]
    Tx.marker = lambda *_: None  # type: ignore[method-assign]


def skipped_commit() -> None:
    """Every seventh commit says that it succeeded and did not happen."""
    commit, count = RootTransaction.commit, iter(range(10**9))

    def sometimes(self: Any) -> None:
        if next(count) % 7 == 6:
            self.rollback()
        else:
            commit(self)

    RootTransaction.commit = sometimes  # type: ignore[method-assign]
    # Without the head kept outside the database, which would stop the hub at once.
    AccessLog._keep_head = lambda *_: None  # type: ignore[method-assign]
    AccessLog._check_last_head = lambda *_: None  # type: ignore[method-assign]


def entry_without_handle() -> None:
    """A lookup is recorded in nobody's chain."""
    _drafts(lambda draft: replace(draft, lids=()) if draft.t == "lookup" else draft)


def entry_under_another_handle() -> None:
    """A lookup is recorded in the chain of somebody else."""

    def moved(draft: Any) -> Any:
        lids = tuple(hashlib.sha256(lid).digest()[:16] for lid in draft.lids)
        return replace(draft, lids=lids) if draft.t == "lookup" else draft

    _drafts(moved)


def _drafts(change: Callable[[Any], Any]) -> None:
    append = AccessLog.append
    AccessLog.append = lambda self, draft: append(self, change(draft))  # type: ignore[method-assign]


def receipt_spent_outside_the_transaction() -> None:
    """Holder receipts are spent in the memory of the process, beside what the transaction stores."""
    memory: set[bytes] = set()
    apply, spend = relations.Opening.apply, Tx.spend

    def in_memory(_tx: Tx, tag: bytes, _until: int) -> bool:
        fresh = tag not in memory
        memory.add(tag)
        return fresh

    def outside(self: Any, tx: Tx) -> Any:
        Tx.spend = in_memory  # type: ignore[method-assign]
        try:
            return apply(self, tx)
        finally:
            Tx.spend = spend  # type: ignore[method-assign]

    relations.Opening.apply = outside  # type: ignore[method-assign]


def stale_consent_cache() -> None:
    """A choice that was read is believed for two seconds."""
    kept: dict[bytes, tuple[float, Any]] = {}
    read = Tx.choice

    def cached(self: Tx, idx_dir: bytes) -> Any:
        at, row = kept.get(idx_dir, (0.0, None))
        if time.monotonic() - at > 2:
            row = read(self, idx_dir)
            kept[idx_dir] = (time.monotonic(), row)
        return row

    question = lookup.Sight._states

    def states(self: Any, scope: str, keys: Any, kinds: Any) -> Any:
        Tx.choice = cached  # type: ignore[method-assign]
        try:
            return question(self, scope, keys, kinds)
        finally:
            Tx.choice = read  # type: ignore[method-assign]

    lookup.Sight._states = states  # type: ignore[method-assign]


def snapshot_before_the_lock() -> None:
    """What an answer rests on is read from a snapshot that was taken before the lock."""
    read = sequencer.batch.read
    early: list[Any] = []

    def _read(connection: Any, needs: Any) -> Any:
        engine = connection.engine
        if not early:
            early.append(_snapshot(engine))
        old = early.pop()
        try:
            return read(old, needs)
        finally:
            old.close()
            early.append(_snapshot(engine))

    sequencer.batch.read = _read


def _snapshot(engine: Any) -> Any:
    options = {"reading": True}
    if engine.dialect.name == "postgresql":
        options["isolation_level"] = "REPEATABLE READ"  # type: ignore[assignment]
    connection = engine.connect().execution_options(**options)
    connection.exec_driver_sql("SELECT 1 FROM tree").fetchall()
    return connection


def messages_are_forgotten() -> None:
    """The receipt of a message is kept where nobody finds it, so that a copy is carried out again."""
    keep = sequencer.Sequencer._message

    def astray(self: Any, tx: Any, caller: Any, receipt: bytes) -> Any:
        row = keep(self, tx, caller, receipt)
        return row._replace(message=hashlib.sha256(secrets.token_bytes(16)).hexdigest()[:36])

    sequencer.Sequencer._message = astray  # type: ignore[method-assign]


def _kept_for(seconds: float, read: Callable[..., Any]) -> Callable[..., Any]:
    """What a function gave, given again for so long, whatever changed."""
    kept: dict[Any, tuple[float, Any]] = {}

    def cached(first: Any, *key: Any) -> Any:
        at, value = kept.get(key, (float("-inf"), None))
        if time.monotonic() - at > seconds:
            value = read(first, *key)
            kept[key] = (time.monotonic(), value)
        return value

    return cached


def stale_relation_cache() -> None:
    """A relation that was read is believed for two seconds."""
    Tx.relations = _kept_for(2, Tx.relations)  # type: ignore[method-assign]


def stale_standing_cache() -> None:
    """Which policy and which registers are in force is read once in two seconds."""
    _standing_read_by(_kept_for(2, policies.read_standing))


def standing_before_the_lock() -> None:
    """What is in force is what the batch before found, not what stands under the lock of this one."""
    before: list[Any] = []

    def late(connection: Any) -> Any:
        before.append(_READ_STANDING(connection))
        return before[-2] if len(before) > 1 else before[0]

    _standing_read_by(late)


_READ_STANDING = policies.read_standing


def _standing_read_by(read: Callable[[Any], Any]) -> None:
    """In batches only: a start reads what stands."""
    take = policies.Policies.take

    def taken(self: Any, connection: Any, now: Any) -> None:
        policies.read_standing = read
        try:
            take(self, connection, now)
        finally:
            policies.read_standing = _READ_STANDING

    policies.Policies.take = taken  # type: ignore[method-assign]


def decision_per_flag() -> None:
    """Every flag that is there is decided about once more by itself."""
    live = lookup.Sight._live

    def each(self: Any, scope: str, keys: Any) -> Any:
        found = live(self, scope, keys)
        for _ in found:
            self._decide(scope, keys, None)
        return found

    lookup.Sight._live = each  # type: ignore[method-assign]


def early_return() -> None:
    """Where nothing is stored nothing is opened."""
    live = lookup.Sight._live
    lookup.Sight._live = lambda self, scope, keys: (  # type: ignore[method-assign]
        live(self, scope, keys) if self.tx.flags(keys.idx) else []
    )


def dies_after_a_commit() -> None:
    """No bug but a fault: SIGKILL when a batch is committed and nobody is answered yet."""
    left = iter(range(secrets.randbelow(25) + 5, -1, -1))
    committed = AccessLog.committed

    def last(self: Any) -> None:
        committed(self)
        if next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    AccessLog.committed = last  # type: ignore[method-assign]


TELLING: dict[str, Callable[[], None]] = {
    "decision_per_flag": decision_per_flag,
    "early_return": early_return,
}
"""Bugs that break no promise about what is stored, and tell by time what is there (`equal.py`)."""

SIDES = {"decision_per_flag": "visible", "early_return": "nothing"}
"""Which comparison of `equal.py` a telling bug shows in."""
STALE: dict[str, Callable[[], None]] = {
    bug.__name__: bug
    for bug in (stale_consent_cache, stale_relation_cache, stale_standing_cache, standing_before_the_lock)
}
"""Caches that let what was changed hold on for a while (`at_once.py`)."""

BUGS: dict[str, Callable[[], None]] = {
    bug.__name__: bug
    for bug in (
        answer_before_commit,
        no_sequence_guard,
        skipped_commit,
        entry_without_handle,
        entry_under_another_handle,
        receipt_spent_outside_the_transaction,
        stale_consent_cache,
        snapshot_before_the_lock,
        messages_are_forgotten,
    )
}


def plant(names: str) -> None:
    """Plant bugs, by names with commas between, into this process; none for an empty text."""
    for name in filter(None, names.split(",")):
        (BUGS | TELLING | STALE | {"dies_after_a_commit": dies_after_a_commit})[name]()


def names() -> Sequence[str]:
    return tuple(BUGS)
