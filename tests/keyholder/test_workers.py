"""A large call is computed in processes of its own: the same pseudonyms, and nothing left behind."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from nodes.bsn import Bsn
from nodes.errors import HolderLied
from nodes.oprf import workers
from nodes.oprf.workers import Workers, WorkersGone
from tests.keyholder.liars import Liar, first_group, random_element
from tests.keyholder.test_pseudonymise import NUMBER, person, run, unshared, values

OTHER = "999990020"


@pytest.fixture
def client(keys, monkeypatch):
    """A client for which every call is a large one, in chunks of two."""
    made = keys.pseudonymiser()
    asyncio.run(made.start())
    monkeypatch.setattr("nodes.pseudonymise._WORKERS_FROM", 1)
    monkeypatch.setattr("nodes.pseudonymise.MAX_ELEMENTS", 2)
    return made


def pids(running: Workers) -> list[int]:
    return [pid for pool in running._pools for pid in (pool._processes or {})]


def shown(pid: int) -> bytes:
    """What anybody on the machine may read of a process."""
    return b"".join(Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))


def test_workers_give_the_pseudonyms_that_threads_give(keys, client):
    told = []
    people = [(person(), ["zorg", "geld"]), (person(), ["geld"]), (person(), []), (person(), ["zorg"])]

    found = run(keys, people, client=client, done=told.append)

    zorg, geld = (unshared(keys, scope, person()) for scope in ("zorg", "geld"))
    assert values(found) == [[zorg, geld], [geld], [], [zorg]]
    assert sorted(told) == [2, 2]


def test_a_lie_is_found_in_a_worker_and_the_holder_named(keys, client):
    Liar(keys, "kh-b", spoil=first_group(evaluated=lambda es: [random_element(), *es[1:]]))
    keys.down("kh-a")
    with pytest.raises(HolderLied) as found:
        run(keys, [(person(), ["geld"])], client=client)
    assert found.value.holder == "kh-b"


def test_when_a_worker_dies_its_chunk_is_computed_anew(keys, client, monkeypatch):
    plain = workers.Chunk.combine
    killed = []

    async def combine(self, groups):
        if not killed:
            killed.extend(self._pool._processes)
            os.kill(killed[0], signal.SIGKILL)
        return await plain(self, groups)

    monkeypatch.setattr(workers.Chunk, "combine", combine)

    found = run(keys, [(person(), ["geld"])], client=client)

    assert killed
    assert values(found) == [[unshared(keys, "geld", person())]]


def test_no_process_and_no_blind_is_left_after_the_call(keys, client, monkeypatch):
    seen = []
    close = Workers.close

    async def closing(self):
        seen.extend(pids(self))
        await close(self)

    monkeypatch.setattr(Workers, "close", closing)
    run(keys, [(person(), ["geld", "zorg"])] * 3, client=client)
    assert seen
    assert not [pid for pid in seen if Path(f"/proc/{pid}").exists()]


def test_a_worker_keeps_no_blind_after_its_chunk(monkeypatch):
    workers._blind(7, [[b"x"], [b"y", b"z"]])
    kept = workers._kept[7]
    workers._forget(7)
    assert 7 not in workers._kept
    assert all(set(secret._buffer.raw) == {0} for secret in kept)


def test_a_number_of_a_person_stands_in_no_argument_or_environment_of_a_worker(keys, client, monkeypatch):
    read = []
    plain = workers.Chunk.combine

    async def combine(self, groups):
        read.extend(shown(pid) for pid in self._pool._processes)
        return await plain(self, groups)

    monkeypatch.setattr(workers.Chunk, "combine", combine)
    run(keys, [(person(), ["geld"]), (Bsn.parse(OTHER), ["geld"])], client=client)
    assert read
    assert all(b"spawn" in raw for raw in read)
    assert not any(number.encode() in raw for raw in read for number in (NUMBER, OTHER))


def test_without_processes_threads_do_the_work(keys, client, monkeypatch):
    def none(*_args):
        raise WorkersGone("none here")

    monkeypatch.setattr("nodes.pseudonymise.Workers", none)
    found = run(keys, [(person(), ["geld"])], client=client)
    assert values(found) == [[unshared(keys, "geld", person())]]
