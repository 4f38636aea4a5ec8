"""A copy of the log, checked offline: what holds, what does not and where, and a thousand tamperings."""

import hashlib
import json
import os
import random
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from index.protocol.codec import b64u, u32, u64
from index.protocol.entry import EntryDraft, parse_asker, parse_chain, read_handles
from index.protocol.mirror import (
    CHECKPOINT,
    ENTRIES,
    Mirror,
    MirrorReport,
    NoticeRule,
    sizes_in,
    verify_mirror,
    verify_officer,
)
from index.protocol.note import Checkpoint, sign_checkpoint
from policy.postpone import Postponement
from policy.vocabulary import load_vocabulary
from tests.log.world import NOW

from .copies import TAMPERINGS, Copy, copy_of, rewrite, split_view
from .test_witness import fork
from .world import ORIGIN, Ring

OTHERS = [bytes([number]) * 16 for number in range(7)]


@pytest.fixture
def copy(ring: Ring) -> Copy:
    """Some three hundred entries of seven persons, confirmed by exactly a quorum."""
    lived(ring, 300)
    ring.instead = {"w4": lambda _: httpx.Response(500)}
    ring.feed().once()
    return copy_of(ring)


def lived(ring: Ring, count: int) -> None:
    rng = random.Random(count)
    for lid in OTHERS:
        ring.record([ring.draft([lid], ring.statement(t="relation"))])
    ring.record([ring.draft(rng.sample(OTHERS, rng.randrange(1, 4))) for _ in range(count - 8)])


def test_a_right_copy_holds_and_says_by_whom_it_was_confirmed(ring: Ring, copy: Copy) -> None:
    report = copy.verify()
    assert report.problems == []
    assert report.findings == []
    assert (report.size, report.opened, report.chains, report.signatures) == (300, 300, 7, 299)
    assert report.witnesses == ("w1", "w2", "w3")
    assert report.confirmed == NOW


def test_a_copy_without_its_quorum_does_not_hold(ring: Ring) -> None:
    lived(ring, 20)
    report = copy_of(ring).verify()
    assert report.problems == ["the checkpoint is not confirmed by the witnesses of the policy"]


def test_each_missing_or_changed_file_is_named(copy: Copy) -> None:
    for name in sorted(copy.files):
        if not name.startswith("tile/"):
            continue
        for change in (None, copy.files[name][:-1], copy.files[name] + b"x"):
            changed = copy.copied()
            changed.files.pop(name)
            if change is not None:
                changed.files[name] = change
            assert any(name in problem for problem in changed.verify().problems), name


def test_an_entry_that_is_not_handed_over_is_named_unless_an_erasure_says_why(ring: Ring, copy: Copy) -> None:
    rows = copy.files[ENTRIES].splitlines(keepends=True)
    gone = copy.copied()
    gone.files[ENTRIES] = b"".join(rows[:50] + rows[51:])
    assert "entry 2026-50 does not open, and no erasure says why" in gone.verify().problems

    ring.record(
        [
            EntryDraft(
                t="erase",
                ts=int(NOW.timestamp() * 1000),
                req="",
                more={"from": 40, "to": 60, "cause": "term"},
            )
        ]
    )
    ring.feed().once()
    erased = copy_of(ring)
    rows = erased.files[ENTRIES].splitlines(keepends=True)
    erased.files[ENTRIES] = b"".join(rows[:40] + rows[61:])
    report = erased.verify()
    assert (report.problems, report.erased) == ([], 21)


def test_a_leaf_outside_the_officers_period_need_not_open(ring: Ring, copy: Copy) -> None:
    ring.record([ring.draft([OTHERS[0]], now=NOW + timedelta(days=2)) for _ in range(5)])
    ring.feed().once()
    whole = copy_of(ring)
    rows = whole.files[ENTRIES].splitlines(keepends=True)
    mirror = verify_mirror(whole.files.get, {}, whole.policy)
    assert isinstance(mirror, Mirror)
    between = NOW + timedelta(days=1)
    assert verify_officer(mirror, rows[299:], since=between).problems == []
    assert verify_officer(mirror, rows[:301], until=between).problems == []
    assert verify_officer(mirror, rows[299:], since=NOW).problems != []


def test_a_heads_entry_that_contradicts_the_chains_is_named(ring: Ring, copy: Copy) -> None:
    ends = {}
    for index, entry in ring.read(lambda conn: list(ring.reader.opened(conn, NOW.year, 0, 300))):
        subjects = parse_chain(entry.chain).subj
        for handle, (n, _) in zip(read_handles(parse_asker(entry.asker)), subjects, strict=True):
            ends[handle] = handle + u32(n) + u64(index)
    digest = b64u(hashlib.sha256(b"".join(sorted(ends.values()))).digest())
    problems = []
    for said in (digest, b64u(bytes(32))):
        more = {"count": len(ends), "digest": said, "from": 0, "to": 299}
        ring.record([EntryDraft(t="heads", ts=int(NOW.timestamp() * 1000), req="", more=more)])
        ring.feed().once()
        problems.append(copy_of(ring).verify().problems)
    assert problems == [[], ["entry 2026-301 contradicts the ends of the chains it is about"]]


def test_a_lookup_without_relation_or_purpose_is_listed(ring: Ring, copy: Copy) -> None:
    ring.record([ring.draft([b"\x77" * 16]), ring.draft([OTHERS[0]], ring.statement(purpose=""))])
    ring.feed().once()
    report = copy_of(ring).verify()
    assert report.problems == []
    assert report.findings == [
        "entry 2026-300 is a lookup without a relation before it",
        "entry 2026-301 is a lookup without a purpose",
    ]


NOTICE = NoticeRule(Postponement.of(load_vocabulary()).postpones, timedelta(days=14))


def officer_finds(copy: Copy, proofs: dict[str, str] | None = None) -> list[str]:
    mirror = verify_mirror(copy.files.get, copy.earlier, copy.policy)
    assert isinstance(mirror, Mirror)
    report = verify_officer(mirror, copy.files[ENTRIES].splitlines(), notice=NOTICE, proofs=proofs)
    assert report.problems == []
    # The liaison's relation is left out here.
    return [finding for finding in report.findings if "without a relation" not in finding]


def looked(ring: Ring, after: timedelta, **said: Any) -> int:
    """A question of the liaison, whose lines wait, or of another; its index."""
    at = NOW + after
    signed = ring.statement(**{"role": "vt_liaison", "nts": int(at.timestamp()), **said})
    later = signed.statement.role == "vt_liaison"
    recorded, _ = ring.record([ring.draft([OTHERS[0]], signed, now=at, later=later, shown=b"")])
    return recorded[0].index


def officers_act(ring: Ring, after: timedelta, t: str, **more: str | int) -> None:
    ts = int((NOW + after).timestamp() * 1000)
    lids = (OTHERS[0],) if t == "release" else ()
    ring.record([EntryDraft(t=t, ts=ts, req="", lids=lids, more={"year": NOW.year, **more})])


def confirmed(ring: Ring, after: timedelta) -> Copy:
    ring.now = NOW + after
    ring.feed().once()
    return copy_of(ring)


def test_a_postponed_line_past_its_term_is_listed_until_it_is_released_or_postponed_anew(ring: Ring) -> None:
    ring.record([ring.draft([OTHERS[0]], ring.statement(t="relation"))])
    first, second = looked(ring, timedelta()), looked(ring, timedelta(hours=1))
    looked(ring, timedelta(days=13), role="generalist")
    assert officer_finds(confirmed(ring, timedelta(days=13))) == [], "their term is not over"

    looked(ring, timedelta(days=15), role="generalist")
    assert officer_finds(confirmed(ring, timedelta(days=15))) == [
        f"entry 2026-{index}: its notice was postponed until 2026-12-06, and it was neither released nor "
        "postponed anew"
        for index in (first, second)
    ]

    officers_act(ring, timedelta(days=15), "release", index=first)
    officers_act(ring, timedelta(days=15), "admin", index=second, cause="postponed-onderzoek_loopt")
    assert officer_finds(confirmed(ring, timedelta(days=15))) == []

    looked(ring, timedelta(days=30), role="generalist")
    assert officer_finds(confirmed(ring, timedelta(days=30))) == [
        f"entry 2026-{second}: its notice was postponed until 2026-12-21, and it was neither released nor "
        "postponed anew"
    ]


@pytest.mark.parametrize("away", [timedelta(minutes=6), -timedelta(minutes=6)])
def test_a_hub_clock_ahead_of_its_witnesses_or_behind_them_is_listed(ring: Ring, away: timedelta) -> None:
    ring.record([ring.draft([OTHERS[0]], ring.statement(t="relation"))])
    before = confirmed(ring, timedelta())
    looked(ring, away, role="generalist")
    after = confirmed(ring, timedelta(seconds=1))
    after.earlier["before"] = before.files[CHECKPOINT]
    way = "ahead of" if away > timedelta() else "behind that of"
    size = 3 if away > timedelta() else 2
    seconds = 359 if away > timedelta() else 360
    assert officer_finds(after) == [f"the hub's clock was {way} its witnesses at {size} entries: {seconds} s"]


def test_clocks_within_five_minutes_are_not_listed(ring: Ring) -> None:
    ring.record([ring.draft([OTHERS[0]], ring.statement(t="relation"))])
    before = confirmed(ring, timedelta())
    looked(ring, -timedelta(minutes=4), role="generalist")
    after = confirmed(ring, timedelta(seconds=1))
    after.earlier["before"] = before.files[CHECKPOINT]
    assert officer_finds(after) == []


def test_a_hub_clock_away_from_the_asking_nodes_is_listed(ring: Ring) -> None:
    ring.record([ring.draft([OTHERS[0]], ring.statement(t="relation"))])
    for seconds in (299, 301, -301):
        looked(ring, timedelta(), role="generalist", nts=int(NOW.timestamp()) + seconds)
    assert officer_finds(confirmed(ring, timedelta())) == [
        f"entry 2026-{index}: the hub's clock and that of the node that asked differ" for index in (3, 4)
    ]


def test_a_statement_that_no_known_key_signed_is_named(copy: Copy) -> None:
    mirror = verify_mirror(copy.files.get, {}, copy.policy)
    assert isinstance(mirror, Mirror)
    report = verify_officer(mirror, copy.files[ENTRIES].splitlines(), node_keys=lambda _: [b"\x01" * 32])
    assert "entry 2026-1 does not bear its node's signature" in report.problems


def test_two_roots_for_one_size_are_named_and_both_to_be_kept(ring: Ring, copy: Copy) -> None:
    copy.earlier["mine"] = sign_checkpoint(
        Checkpoint(ORIGIN, 300, b"\x01" * 32), ring.keys.log_signing
    ).encode()
    assert copy.verify().problems == ["mine: two roots for 300 entries, both signed by the log; keep both"]


def test_an_earlier_checkpoint_of_this_history_holds_and_a_larger_one_does_not(
    ring: Ring, copy: Copy
) -> None:
    longer = copy.copied()
    copy.earlier["mine"] = copy.files[CHECKPOINT]
    ring.grows(40)
    ring.feed().once()
    newer = copy_of(ring)
    newer.earlier["mine"] = copy.files[CHECKPOINT]
    assert newer.verify().problems == []
    longer.earlier["mine"] = newer.files[CHECKPOINT]
    assert longer.verify().problems == ["mine: the log signed 340 entries before, this copy has 300"]


def test_a_proof_that_a_node_kept_must_stand_in_this_history(ring: Ring, copy: Copy) -> None:
    receipt, _ = ring.look(OTHERS[0])
    (ring.folder / "other").mkdir()
    other = Ring(ring.folder / "other")
    other.seeds = ring.seeds
    lived(other, 300)
    forked, _ = other.look(OTHERS[1])
    ring.feed().once()
    whole = copy_of(ring)
    proofs = {"own": receipt.proof, "theirs": forked.proof}
    mirror = verify_mirror(whole.files.get, {}, whole.policy, sizes_in(proofs))
    assert isinstance(mirror, Mirror)
    report = verify_officer(mirror, whole.files[ENTRIES].splitlines(), proofs=proofs)
    assert report.problems == ["theirs: entry 300 was proven to a node in another history than this one"]
    assert report.proofs == 1


def test_bad_checkpoints_have_their_named_outcome(ring: Ring, copy: Copy) -> None:
    note = copy.files[CHECKPOINT].decode()
    outcomes = {
        "another name": note.replace("hub.example.nl", "hub.elsewhere.nl"),
        "another size": note.replace("\n300\n", "\n299\n"),
        "leading zero": note.replace("\n300\n", "\n0300\n"),
        "an extra line": note.replace("\n\n", "\nmore\n\n", 1),
        "no signature": note.partition("\n\n")[0] + "\n\n",
        "another order": "\n".join(reversed(note.split("\n"))),
        "bad base64": note.replace("=\n", "*\n", 1),
        "empty": "",
        "another history": fork(ring, 300),
    }
    for name, raw in outcomes.items():
        changed = copy.copied()
        changed.files[CHECKPOINT] = raw.encode()
        report = changed.verify()
        assert not report.holds, name
        assert report.problems[0].startswith(("checkpoint or policy:", "the checkpoint is not confirmed")), (
            name
        )


# --- the campaign --------------------------------------------------------------------------

COUNT = int(os.environ.get("VLAGWIJZER_TAMPERINGS", "200"))


def campaign(ring: Ring, copy: Copy, count: int, seed: int, verify: Any = Copy.verify) -> Counter[str]:
    """How many tamperings of each kind were not found."""
    rng, missed = random.Random(seed), Counter[str]()
    for number in range(count):
        tamper = TAMPERINGS[number % len(TAMPERINGS)]
        changed = copy.copied()
        tamper(changed, rng, ring)
        if (changed.files, changed.earlier) == (copy.files, copy.earlier):
            continue
        report: MirrorReport = verify(changed)
        missed[tamper.__name__] += report.holds
    return +missed


def test_no_tampering_stays_undetected(ring: Ring, copy: Copy) -> None:
    """`VLAGWIJZER_TAMPERINGS=1000` is the number of the release; docs/reliability.md has its outcome."""
    assert campaign(ring, copy, COUNT, seed=11) == Counter()


def test_the_campaign_catches_a_verifier_that_does_not_ask_for_the_quorum(ring: Ring, copy: Copy) -> None:
    def without_quorum(changed: Copy) -> MirrorReport:
        lines = [line for line in changed.policy.splitlines() if line.startswith("log ")]
        changed.policy = "\n".join([*lines, "quorum none", ""])
        return changed.verify()

    missed = campaign(ring, copy, 40, 11, without_quorum)
    assert missed["rewrite"] > 0
    assert missed["cut_end"] > 0


def test_the_campaign_catches_a_verifier_that_forgets_earlier_checkpoints(ring: Ring, copy: Copy) -> None:
    def forgetful(changed: Copy) -> MirrorReport:
        changed.earlier = {}
        return changed.verify()

    assert campaign(ring, copy, 40, 11, forgetful)[split_view.__name__] > 0
    assert campaign(ring, copy, 40, 11, forgetful)[rewrite.__name__] == 0


# --- the commands ----------------------------------------------------------------------------


def written(copy: Copy, folder: Path) -> Path:
    for name, raw in copy.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(raw)
    return folder


def run(*words: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "log", "verify", *words, "--json"],
        capture_output=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout)


def test_the_commands_say_good_bad_or_stale_and_name_the_place(
    ring: Ring, copy: Copy, tmp_path: Path
) -> None:
    folder = written(copy, tmp_path / "copy")
    policy = tmp_path / "policy.txt"
    policy.write_text(copy.policy)
    always = ("--policy", str(policy), "--max-age-hours", "1000000")
    code, said = run("mirror", str(folder), *always)
    assert (code, said["state"], said["size"], said["witnesses"]) == (0, "good", 300, ["w1", "w2", "w3"])
    code, said = run("officer", "--mirror", str(folder), *always)
    assert (code, said["opened"], said["chains"]) == (0, 300, 7)
    ring.now = NOW - timedelta(days=30)
    ring.feed().once()
    old = run("mirror", str(written(copy_of(ring), tmp_path / "old")), "--policy", str(policy))
    assert (old[0], old[1]["state"]) == (2, "stale")
    (folder / "tile/0/000").unlink()
    code, said = run("mirror", str(folder), *always)
    assert code == 1
    assert said["problems"] == ["tile/0/000 is missing or does not follow from the leaves"]
    assert run("mirror", str(tmp_path / "none"), *always)[0] == 1


def test_a_rewritten_table_is_found_against_what_was_confirmed(ring: Ring, copy: Copy) -> None:
    """Somebody who owns the database changes a line and everything that follows from it."""
    ring.tamper('UPDATE entry SET leaf = zeroblob(33) WHERE "index" = 120')
    with ring.engine.connect() as conn:
        assert conn.execute(text("SELECT COUNT(*) FROM entry")).scalar() == 300
    changed = copy.copied()
    found = ring.read(lambda conn: ring.reader.public(conn, f"{NOW.year}/tile/entries/000"))
    assert found is not None
    changed.files["tile/entries/000"] = found[0]
    problems = changed.verify().problems
    assert "the leaves do not give the root of the checkpoint" in problems
    assert "entry 2026-120 is not what its leaf says" in problems
