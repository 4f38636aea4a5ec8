"""Any order of growing, confirming, crashing, restoring and forking: no witness ever confirms two histories.

Hypothesis draws the order. Held at every step: what a witness cosigned is one
history, each checkpoint a beginning of the next; whatever is published with a quorum is
of that history; and a hub that was put back or rewritten signs nothing more once it heard its witnesses.
"""

import tempfile
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from index.accesslog.errors import LogInconsistent
from index.accesslog.tiles import leaves
from index.protocol.addcheckpoint import parse_request, request_bytes
from index.protocol.merkle import Frontier, leaf_hash
from index.protocol.note import parse_checkpoint, parse_note
from nodes.witness.witness import Answer, Witness
from tests.log.world import NOW

from .test_witness import fork
from .world import Ring

STEPS = ("grow", "grow", "feed", "feed", "crash", "restart", "backup", "restore", "fork", "away")


def root_over(found: list[bytes]) -> bytes:
    frontier = Frontier()
    frontier.extend([leaf_hash(leaf) for leaf in found])
    return frontier.root()


class History(Ring):
    """A ring that notes what each witness cosigned, and the leaves behind it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, count=3, quorum=2)
        self.cosigned: dict[str, list[tuple[int, bytes]]] = {name: [] for name in self.seeds}
        self.kept: Path | None = None
        self.put_back = False
        self.turn = 0

    def leaves(self) -> list[bytes]:
        return list(self.read(lambda conn: leaves(conn, NOW.year, 0, 10_000)))

    def answer(self, request: httpx.Request) -> httpx.Response:
        name = request.url.host.removesuffix(".test")
        said = super().answer(request)
        if said.status_code == 200:
            new = parse_request(request.content).checkpoint
            self.cosigned[name].append((new.size, new.root))
        return said

    def step(self, what: str) -> None:
        self.turn += 1
        name = f"w{self.turn % 3 + 1}"
        if what == "grow":
            if not self.log.refusal:
                self.grows(1 + self.turn % 3)
        elif what == "feed":
            self.feed().once()
        elif what == "crash":
            self.witness(name)
            self.crash(name)
        elif what == "restart":
            self.restart()
        elif what == "backup":
            self.kept = self.backup()
        elif what == "restore" and self.kept is not None:
            self.restore(self.kept)
        elif what == "fork":
            size = self.witness(name).sizes().get(f"hub.example.nl/v1/log/{NOW.year}", 0)
            for new in (size, size + 2):
                if new:
                    raw = request_bytes(size, [], fork(self, new, self.turn % 200))
                    if size and self.witness(name).add_checkpoint(raw).status == 200:
                        self.cosigned[name].append((new, parse_request(raw).checkpoint.root))
        elif what == "away":
            self.instead = {} if self.instead else {name: lambda _: httpx.Response(503)}

    def check(self) -> None:
        for name, listed in self.cosigned.items():
            sizes = [size for size, _ in listed]
            assert sizes == sorted(sizes), name
            roots: dict[int, bytes] = {}
            for size, root in listed:
                assert roots.setdefault(size, root) == root, name
        found = self.read(lambda conn: self.reader.confirmed(conn, NOW.year))
        if found is not None:
            new = parse_checkpoint(parse_note(found.note).text)
            backers = [name for name, listed in self.cosigned.items() if (new.size, new.root) in listed]
            assert len(backers) >= 2


def run(steps: list[str], make: type[Witness] = Witness) -> History:
    with tempfile.TemporaryDirectory() as folder:
        ring = History(Path(folder))
        ring.make = make
        ring.grows(2)
        for what in steps:
            ring.step(what)
            ring.check()
        confirmed = {size: root for listed in ring.cosigned.values() for size, root in listed}
        ring.instead = {}
        ring.feed().once()
        ring.check()
        # What was confirmed is a beginning of what there is, or the hub signs nothing more.
        have = ring.leaves()
        one = all(size <= len(have) and root_over(have[:size]) == root for size, root in confirmed.items())
        assert one or ring.log.refusal
        if ring.log.refusal:
            with pytest.raises(LogInconsistent):
                ring.grows(1)
        for name in list(ring._open):
            ring.crash(name)
        ring.engine.dispose()
        return ring


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.lists(st.sampled_from(STEPS), max_size=14))
def test_no_order_of_events_makes_a_witness_confirm_two_histories(steps: list[str]) -> None:
    ring = run(steps)
    # The walk itself compares after each step; in the end no witness confirmed two roots of one size either.
    for listed in ring.cosigned.values():
        assert len(dict(listed)) == len(set(listed))


class Trusting(Witness):
    """A planted bug: whatever the log signed is cosigned, without asking whether it continues the last."""

    def add_checkpoint(self, raw: bytes) -> Answer:
        said = super().add_checkpoint(raw)
        if said.status != 422:
            return said
        from index.protocol.codec import u64
        from index.protocol.note import cosigned_bytes, signature_line

        at = int(self._now().timestamp())
        text = parse_request(raw).note.text
        blob = u64(at) + self._signing.sign(cosigned_bytes(text, at)).signature
        return Answer(200, signature_line(self.key.name, self.key.id, blob))


def test_the_same_harness_catches_a_witness_that_cosigns_anything() -> None:
    with pytest.raises(AssertionError):
        run(["feed", "grow", "feed", "fork", "grow", "fork", "fork", "feed"], Trusting)
