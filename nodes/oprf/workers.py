"""Blinding, checking and unblinding of a large call in processes of their own, so that every core works.

    parent                           worker
    inputs of a chunk   ──pipe──>    fresh blinds, kept here under a ticket number
    answers of holders  ──pipe──>    proof checked; combined and unblinded with those very blinds, erased

A blind never leaves the process that drew it. Inputs and results travel through
the pipe between the two and stand in no argument, environment or log. Calls of
libsodium release the interpreter lock, but between them threads of one process
wait for each other; processes do not. Starting one takes half a second, so
this is for thousands of elements, and the processes end with the call.

Source: docs/design/performance.md, "The figures to reach"; docs/design/pseudonyms.md, "Values and encodings".
"""

import asyncio
import itertools
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import ParamSpec, TypeVar

from . import threshold, voprf
from .ristretto import Secret

P = ParamSpec("P")
R = TypeVar("R")

MOST = 4
"""Processes at most: beyond that the key holders are what is waited for."""

_kept: dict[int, list[Secret]] = {}
"""In a worker: the blinds of each chunk that is under way, a group each."""


class WorkersGone(Exception):
    """A worker could not start or died; what it was doing has to be done anew, with fresh blinds."""


class Workers:
    """A few processes, each with one thing to do at a time. Leave the context to end them."""

    def __init__(self, count: int | None = None) -> None:
        """
        Raises:
            WorkersGone: The system gives no processes.
        """
        self.count = count or min(os.cpu_count() or 1, MOST)
        spawn = get_context("spawn")  # a fork would copy every secret of a process with threads
        try:
            self._pools = [
                ProcessPoolExecutor(1, mp_context=spawn, initializer=_begin) for _ in range(self.count)
            ]
        except (OSError, ImportError) as error:
            raise WorkersGone("no worker processes here") from error
        self._tickets = itertools.count()

    def chunk(self) -> "Chunk":
        """The next chunk; chunks go round the workers."""
        ticket = next(self._tickets)
        return Chunk(self._pools[ticket % self.count], ticket)

    async def close(self) -> None:
        """End the processes; what they keep is gone with them."""
        for pool in self._pools:
            await asyncio.to_thread(pool.shutdown, wait=True, cancel_futures=True)


class Chunk:
    """One chunk's way through its worker."""

    def __init__(self, pool: ProcessPoolExecutor, ticket: int) -> None:
        self._pool = pool
        self._ticket = ticket

    async def blind(self, groups: Sequence[Sequence[bytes]]) -> list[list[bytes]]:
        """Blinded elements of each group of inputs, under fresh blinds that stay in the worker."""
        return await self._run(_blind, self._ticket, groups)

    async def verify(
        self, public: bytes, blinded: Sequence[bytes], found: Sequence[bytes], proof: bytes
    ) -> None:
        """`voprf.verify` in the worker; BadProof as there."""
        await self._run(voprf.verify, public, blinded, found, proof)

    async def combine(self, groups: Sequence[Mapping[int, Sequence[bytes]]]) -> list[list[bytes]]:
        """`threshold.combine` of each group with its blinds, which are erased; errors as there."""
        return await self._run(_combine, self._ticket, groups)

    async def forget(self) -> None:
        """Erase the blinds of a chunk that failed; harmless after `combine` and for a dead worker."""
        try:
            await self._run(_forget, self._ticket)
        except WorkersGone:
            return

    async def _run(self, function: Callable[P, R], *args: P.args, **_: P.kwargs) -> R:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, function, *args)
        except (BrokenProcessPool, OSError):
            raise WorkersGone("a worker process ended") from None


def _begin() -> None:
    # An interrupted command ends its workers itself, after they erased their blinds.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _blind(ticket: int, groups: Sequence[Sequence[bytes]]) -> list[list[bytes]]:
    _forget(ticket)
    blinds = _kept[ticket] = [Secret.random(len(inputs)) for inputs in groups]
    return [voprf.blind(inputs, secret) for inputs, secret in zip(groups, blinds, strict=True)]


def _combine(ticket: int, groups: Sequence[Mapping[int, Sequence[bytes]]]) -> list[list[bytes]]:
    try:
        return [threshold.combine(each, secret) for each, secret in zip(groups, _kept[ticket], strict=True)]
    finally:
        _forget(ticket)


def _forget(ticket: int) -> None:
    for secret in _kept.pop(ticket, ()):
        secret.erase()
