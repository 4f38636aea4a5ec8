"""What a node makes sure of later: that its questions stand in the history that witnesses confirmed.

    answer -> line, leaf and signed checkpoint remembered
    later  -> newest confirmed checkpoint -> tiles -> proof of each line -> kept

The receipt in an answer is the hub's word at that commit. A hub that tells two
stories can give it to a node and show the witnesses another history; then the
line is missing here, and the checkpoint of the answer, signed by the hub, is
the evidence. Everything read is public, and says no more than which lines were
this node's own, which the hub knows.

Source: docs/design/access-log.md, "Receipt in each answer".
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import httpx
import structlog
from sqlalchemy import Connection, Engine, Row, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from index.protocol.merkle import (
    MerkleError,
    consistency_proof,
    inclusion_proof,
    verify_consistency,
    verify_inclusion,
)
from index.protocol.note import Checkpoint, NoteError, parse_checkpoint, parse_note, verified_checkpoint
from index.protocol.proof import make_proof
from index.protocol.receipt import CheckedEntry, pinned_log_key
from index.protocol.signedpolicy import parse_signers, signed_policy
from index.protocol.tilereading import TileError, TileTree, read
from index.protocol.tlogpolicy import LogPolicy, PolicyFileError, parse_policy

from .errors import HubUnreachable, SettingsError
from .figures import NodeFigures
from .store.database import reading, writing
from .store.tables import log_proof

log = structlog.get_logger()

ASKED, CONFIRMED, MISSING = "asked", "confirmed", "missing"
_AT_ONCE = 200
_WAITING_MOST = 20_000
_POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A checkpoint that a quorum cosigned. `at` is the time a quorum vouches for; `by` counts witnesses."""

    checkpoint: Checkpoint
    note: str
    by: int
    at: datetime


class ConfirmedLog:
    """The hub's log as its witnesses confirmed it, and the proofs of this node's own lines.

    Args:
        http: Its base address is the hub's.
        policy: Who must have confirmed; without a quorum in it nothing is fetched or kept.
        keep: Proofs kept at most.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        engine: Engine,
        *,
        policy: LogPolicy | None,
        keep: int,
        figures: NodeFigures,
        now: Callable[[], datetime],
    ) -> None:
        self._http = http
        self._engine = engine
        self._policy = policy
        self._keep = keep
        self._figures = figures
        self._now = now
        self._waiting: deque[CheckedEntry] = deque(maxlen=_WAITING_MOST)

    @property
    def asks(self) -> bool:
        """Whether anybody is to confirm the log."""
        return self._policy is not None and self._policy.asks_quorum

    @property
    def policy_text(self) -> str | None:
        """The pinned policy file."""
        return self._policy.text if self._policy else None

    # --- the newest confirmed checkpoint -------------------------------------------------

    async def newest(self, year: int) -> Confirmation | None:
        """The newest confirmed checkpoint of a year; None where the hub has none to show.

        Raises:
            HubUnreachable: No answer.
        """
        policy = self._policy
        if policy is None or not policy.asks_quorum:
            return None
        raw = await self._get(f"/v1/log/{year}/checkpoint")
        try:
            note = parse_note(raw)
            origin = parse_checkpoint(note.text).origin
            checkpoint = verified_checkpoint(note, policy.key_of(origin))
            said = policy.confirmed(note)
        except (NoteError, PolicyFileError):
            return None
        if not said.quorum or said.since is None or not origin.endswith(f"/{year}"):
            return None
        at = datetime.fromtimestamp(said.since, UTC)
        return Confirmation(checkpoint, raw.decode(), len(said.times), at)

    async def continuing(self, year: int, head: Checkpoint, wait_s: float = 0.0) -> Confirmation | None:
        """The newest confirmed checkpoint, where it and `head` are one history; None otherwise.

        Args:
            wait_s: How long to wait until it is as large as `head`: witnesses come a second later.
        """
        if not self.asks:
            return None
        until = asyncio.get_running_loop().time() + wait_s
        while True:
            try:
                found = await self.newest(year)
                large = found is not None and found.checkpoint.size >= head.size
                if large or asyncio.get_running_loop().time() >= until:
                    return found if found and await self._one_history(year, head, found.checkpoint) else None
            except HubUnreachable:
                return None
            await asyncio.sleep(_POLL_S)

    async def _one_history(self, year: int, one: Checkpoint, other: Checkpoint) -> bool:
        old, new = sorted((one, other), key=lambda checkpoint: checkpoint.size)
        if old.size == 0:
            return False
        tree = TileTree(new.size)
        try:
            proof = await read(
                tree, lambda: consistency_proof(old.size, new.size, tree.node), self._tiles(year)
            )
        except (TileError, MerkleError):
            return False
        held = verify_consistency(old.size, new.size, proof, old.root, new.root)
        if not held:
            log.critical("log_has_two_histories", year=year, sizes=[old.size, new.size])
            self._figures.proof(MISSING)
        return held

    async def proofs(
        self, year: int, lines: Sequence[tuple[int, bytes]], found: Confirmation
    ) -> dict[int, str]:
        """A confirmed proof of each line (index, leaf hash) that stands in the confirmed history.

        Raises:
            HubUnreachable: A tile could not be read.
        """
        size, root = found.checkpoint.size, found.checkpoint.root
        tree, made = TileTree(size), {}
        fetch = self._tiles(year)
        for index, leaf in lines:
            if index >= size:
                continue
            try:
                hashes = await read(tree, partial(inclusion_proof, index, size, tree.node), fetch)
            except (TileError, MerkleError):
                continue
            if verify_inclusion(leaf, index, size, hashes, root):
                made[index] = make_proof(index, hashes, found.note)
        return made

    # --- the node's own lines --------------------------------------------------------------

    def remember(self, entry: CheckedEntry) -> None:
        """A line that an answer of the hub proved; it is stored with the next round."""
        if self.asks:
            self._waiting.append(entry)

    async def round(self) -> None:
        """Store what was remembered, and fetch confirmed proofs of what has none.

        Raises:
            HubUnreachable: Later again; nothing is lost.
        """
        await asyncio.to_thread(self._store)
        if not self.asks:
            return
        for year in await asyncio.to_thread(self._years):
            found = await self.newest(year)
            if found is None:
                continue
            rows = await asyncio.to_thread(self._open, year, found.checkpoint.size)
            made = await self.proofs(year, [(row.number, row.leaf_hash) for row in rows], found)
            await asyncio.to_thread(self._settle, year, rows, made)

    def counts(self) -> dict[str, int]:
        """How many lines are in which state."""
        with reading(self._engine) as connection:
            query = select(log_proof.c.state, func.count()).group_by(log_proof.c.state)
            return {row[0]: row[1] for row in connection.execute(query)}

    def proof_of(self, year: int, index: int) -> str:
        """The confirmed proof of an own line; empty where there is none yet."""
        with reading(self._engine) as connection:
            c = log_proof.c
            query = select(c.proof).where(c.year == year, c.number == index)
            return connection.execute(query).scalar() or ""

    def _store(self) -> None:
        taken = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if not taken:
            return
        at = int(self._now().timestamp() * 1000)
        rows = [
            {"year": one.year, "number": one.index, "leaf_hash": one.leaf_hash, "at": at, "state": ASKED,
             "note": one.note, "proof": ""}
            for one in taken
        ]  # fmt: skip
        with writing(self._engine) as connection:
            connection.execute(sqlite_insert(log_proof).on_conflict_do_nothing(), rows)
            self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        c = log_proof.c
        have = connection.execute(select(func.count()).select_from(log_proof)).scalar() or 0
        over = have - self._keep
        if over > 0:
            oldest = (
                select(c.year, c.number)
                .where(c.state != MISSING)
                .order_by(c.at, c.year, c.number)
                .limit(over)
            )
            for row in connection.execute(oldest).all():
                connection.execute(delete(log_proof).where(c.year == row.year, c.number == row.number))

    def _years(self) -> list[int]:
        with reading(self._engine) as connection:
            query = select(log_proof.c.year).where(log_proof.c.state != CONFIRMED).distinct()
            return list(connection.execute(query).scalars())

    def _open(self, year: int, size: int) -> Sequence[Row[int, bytes, str]]:
        c = log_proof.c
        query = (
            select(c.number, c.leaf_hash, c.state)
            .where(c.year == year, c.state != CONFIRMED, c.number < size)
            .order_by(c.state, c.at, c.number)
            .limit(_AT_ONCE)
        )
        with reading(self._engine) as connection:
            return connection.execute(query).all()

    def _settle(self, year: int, rows: Sequence[Row[int, bytes, str]], made: dict[int, str]) -> None:
        c = log_proof.c
        with writing(self._engine) as connection:
            for row in rows:
                proof = made.get(row.number, "")
                state = CONFIRMED if proof else MISSING
                values = {"state": state, "proof": proof}
                place = (c.year == year, c.number == row.number)
                connection.execute(update(log_proof).where(*place).values(values))
        for row in rows:
            if row.number in made:
                self._figures.proof(CONFIRMED)
            elif row.state != MISSING:
                self._figures.proof(MISSING)
                log.critical("line_not_in_confirmed_log", year=year, index=row.number)

    # --- reading -----------------------------------------------------------------------------

    def _tiles(self, year: int) -> Callable[[str], Awaitable[bytes]]:
        async def fetch(path: str) -> bytes:
            return await self._get(f"/v1/log/{year}/tile/{path}")

        return fetch

    async def _get(self, path: str) -> bytes:
        try:
            answer = await self._http.get(path)
        except httpx.HTTPError:
            raise HubUnreachable from None
        if answer.status_code != 200:
            raise HubUnreachable
        return answer.content


def pinned_policy(path: Path | None, log_vkey: str, signers: Path | None = None) -> LogPolicy | None:
    """The policy file that this node has pinned; None where there is none.

    Args:
        signers: Who must have signed it; absent: it is believed as it lies there.

    Raises:
        SettingsError: It is missing, no policy, about another log than the pinned one, or not signed.
    """
    if path is None:
        return None
    try:
        raw = path.read_bytes()
        policy = signed_policy(raw, parse_signers(signers.read_bytes()))[0] if signers else parse_policy(raw)
        prefix, key = pinned_log_key(log_vkey)
        own = (policy.prefix, policy.log.public) == (prefix, key.public)
    except OSError:
        raise SettingsError(f"log_policy: {path}, or its signers, is missing or cannot be read") from None
    except (PolicyFileError, NoteError) as error:
        raise SettingsError(f"log_policy: {error}") from None
    if not own:
        raise SettingsError("log_policy: the policy is about another log than hub_log_vkey")
    return policy
