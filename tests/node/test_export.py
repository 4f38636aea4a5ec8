"""Everything about one citizen in one file: complete, of nobody else, checkable by all, kept nowhere."""

import io
import random
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from consent.pages.names import Names
from consent.pages.words import words
from consent.receipt import verify
from deploy.verifier_file import build
from index.protocol.codec import b64u
from index.protocol.entry import log_id
from index.protocol.export import LINES, ExportInvalid, policy_text, verify_export
from nodes.bsn import Bsn
from nodes.citizen import Change, CitizenSession, Receiver
from nodes.employees import Employee
from nodes.portal.export import confirmed_text, gather, packed, rendered
from nodes.runtime import NodeRuntime
from tests.federation_keys import HUB_ID

from .test_citizens import login, published
from .world import BSN_A, BSN_B, GEMEENTE, VOCABULARY, NodeWorld

pytestmark = pytest.mark.anyio
TEAM = Receiver(GEMEENTE, "wijkteam-noord")
NL = words("nl")
NAMES = Names(VOCABULARY, "nl")
TEXT = confirmed_text(
    NL, NAMES, by="zelf", effect="grant", receiver="Wijkteam Noord", kind="schuldhulp", months=6
)


async def export(world: NodeWorld, portal: NodeRuntime, session: CitizenSession) -> bytes:
    found = await gather(portal, session)
    templates = _templates()
    keys = {"kid": HUB_ID, "consent": portal.settings.hub_consent_key}
    return packed(found, NAMES, rendered(templates, found, NL, NAMES), keys)


def _templates() -> Any:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("nodes.portal"), autoescape=True, undefined=jinja2.StrictUndefined
    )


async def lived(world: NodeWorld) -> tuple[NodeRuntime, CitizenSession]:
    """A flag, a yes and its end, and looks at a household of two."""
    await published(world)
    portal, session = await login(world)
    yes = Change("grant", kind="schuldhulp", receiver=TEAM, months=6)
    saved = await portal.citizens.choose(session, yes, TEXT)
    desk = world.desk()
    jan = Employee("jan-pseudoniem", "generalist", "wijkteam-noord")
    visit = await desk.visits.open(jan, [Bsn.parse(BSN_A), Bsn.parse(BSN_B)], "huisbezoek", "Z-1")
    await desk.visits.look(jan, visit.id)
    await portal.citizens.withdraw(session, saved.group, NL("portal.saved.undo"))
    return portal, session


def files_in(raw: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


async def test_the_export_holds_flags_choices_with_receipts_receivers_looks_and_the_fixed_sentence(
    world: NodeWorld,
) -> None:
    portal, session = await lived(world)
    files = files_in(await export(world, portal, session))
    said = msgspec.json.decode(files["inzage.json"])

    (flag,) = said["flags"]
    assert (flag["kind"], flag["source"]) == ("schuldhulp", {"name": "Schuldhulp", "desk": "14 0123"})
    assert flag["act"] == VOCABULARY.kind("schuldhulp").act
    assert flag["bases"]
    assert flag["purposes"]
    assert flag["retention"]["rule"]
    assert [choice["effect"] for choice in said["choices"]] == ["withdraw", "grant"]
    assert said["choices"][1]["text"] == TEXT
    assert said["choices"][0]["text"] == NL("portal.saved.undo")
    key = {HUB_ID: bytes(world.keystore.consent_signing.verify_key)}
    tokens = files["bewijzen.txt"].decode().split()
    assert [choice["receipt"] for choice in reversed(said["choices"])] == tokens
    assert all(verify(token, keys=key, issuer=HUB_ID) for token in tokens)
    events = said["choices"][0]["receiptSays"]["entries"][0]["events"]
    assert [event["event_state"] for event in events] == ["given", "withdrawn"]
    assert {"lookup", "relation", "publish", "choice", "log_view"} <= {
        line["activity"] for line in said["looks"]
    }
    assert said["check"]["verified"]
    assert said["policy"]["number"] == 1
    assert said["policy"]["choicesMadeUnder"] == [1]
    assert said["exceptions"] == NL("portal.export.exceptions")
    page = files["inzage.html"].decode()
    for words_of_it in (
        NL("portal.export.exceptions"),
        "Wijkteam Noord",
        VOCABULARY.kind("schuldhulp").label,
    ):
        assert words_of_it in page
    assert "http" not in page


async def test_who_has_nothing_gets_the_same_sentence(world: NodeWorld) -> None:
    portal, session = await login(world, BSN_B)
    said = msgspec.json.decode(files_in(await export(world, portal, session))["inzage.json"])
    assert said["flags"] == said["choices"] == []
    assert said["exceptions"] == NL("portal.export.exceptions")


async def test_nothing_of_a_number_and_nobody_else_of_the_household_is_in_it(world: NodeWorld) -> None:
    portal, session = await lived(world)
    _, other = await login(world, BSN_B)
    whole = b"".join(files_in(await export(world, portal, session)).values())
    assert BSN_A.encode() not in whole
    assert BSN_B.encode() not in whole
    theirs = [log_id(scope, value.for_search_key()) for scope, value in other._pseudonyms.items()]
    mine = [log_id(scope, value.for_search_key()) for scope, value in session._pseudonyms.items()]
    assert all(b64u(lid).encode() in whole for lid in mine)
    assert not any(b64u(lid).encode() in whole for lid in theirs)
    from index.protocol.entry import handle

    year = world.clock().year
    assert not any(b64u(handle(year, lid)).encode() in whole for lid in theirs)
    assert not any(
        value.for_search_key() in whole or b64u(value.for_search_key()).encode() in whole
        for value in session._pseudonyms.values()
    )


async def test_the_export_is_an_own_view_and_stands_in_itself(world: NodeWorld) -> None:
    portal, session = await login(world)
    first = msgspec.json.decode(files_in(await export(world, portal, session))["inzage.json"])
    again = msgspec.json.decode(files_in(await export(world, portal, session))["inzage.json"])
    views = [len([line for line in one["looks"] if line["activity"] == "log_view"]) for one in (first, again)]
    assert views[0] >= 4
    assert views[1] == views[0] + 6


async def test_the_portal_keeps_nothing_of_an_export(world: NodeWorld) -> None:
    portal, session = await lived(world)
    before = {path.name for path in (world.folder / "nodes" / "portaal").iterdir()}
    await export(world, portal, session)
    folder = world.folder / "nodes" / "portaal"
    assert {path.name for path in folder.iterdir()} == before
    lids = [log_id(scope, value.for_search_key()) for scope, value in session._pseudonyms.items()]
    stored = b"".join(path.read_bytes() for path in folder.iterdir())
    assert not any(lid in stored or b64u(lid).encode() in stored for lid in lids)


# --- checked by anybody ----------------------------------------------------------------


def rebuilt(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return made.getvalue()


async def test_the_file_verifies_and_every_change_to_its_lines_is_found(world: NodeWorld) -> None:
    portal, session = await lived(world)
    raw = await export(world, portal, session)
    policy = policy_text(portal.settings.hub_log_vkey)
    good = verify_export(raw, policy)
    assert good.holds
    assert good.chains == 6
    files, rng = files_in(raw), random.Random(7)
    rows = files[LINES].splitlines()
    assert good.lines == len(rows)

    undetected = []
    for number in range(200):
        changed, row = dict(files), rng.randrange(len(rows))
        line = msgspec.json.decode(rows[row])
        proof = f"proofs/{line['year']}-{line['index']}.tlog-proof"
        match number % 5:
            case 0:  # one line and its proof left out; the last one: see the next test
                if row == len(rows) - 1:
                    continue
                changed[LINES] = b"\n".join([*rows[:row], *rows[row + 1 :]])
                del changed[proof]
            case 1:  # another look, same place
                at = line["asker"].index('"ts":') + 5
                line["asker"] = line["asker"][:at] + str(rng.randrange(1, 10)) + line["asker"][at + 1 :]
                if msgspec.json.encode(line) == rows[row]:
                    continue
                changed[LINES] = b"\n".join([*rows[:row], msgspec.json.encode(line), *rows[row + 1 :]])
            case 2:  # a bit of a proof
                at = rng.randrange(len(changed[proof]))
                broken = bytearray(changed[proof])
                broken[at] ^= 1 << rng.randrange(7)
                changed[proof] = bytes(broken)
            case 3:  # a line twice
                changed[LINES] = files[LINES] + rows[row] + b"\n"
            case _:  # the log ids of somebody else
                lids = msgspec.json.decode(files["lids.json"])
                scope = rng.choice(list(lids))
                changed["lids.json"] = msgspec.json.encode({**lids, scope: [b64u(rng.randbytes(16))]})
        try:
            if verify_export(rebuilt(changed), policy).holds:
                undetected.append((number, row))
        except ExportInvalid:
            continue
    assert undetected == []


async def test_lines_cut_off_at_the_end_leave_only_an_older_export(world: NodeWorld) -> None:
    portal, session = await lived(world)
    raw = await export(world, portal, session)
    policy = policy_text(portal.settings.hub_log_vkey)
    whole = verify_export(raw, policy)
    files = files_in(raw)
    rows = files[LINES].splitlines()
    left = dict(files)
    held = []
    for end in range(len(rows) - 1, 0, -1):
        line = msgspec.json.decode(rows[end])
        del left[f"proofs/{line['year']}-{line['index']}.tlog-proof"]
        left[LINES] = b"\n".join(rows[:end])
        found = verify_export(rebuilt(left), policy)
        if found.holds:
            held.append(end)
            assert found.last is not None
            assert whole.last is not None
            assert found.last <= whole.last
            assert '"t":"log_view"' in msgspec.json.decode(rows[end - 1])["asker"]
    assert held


async def test_a_missing_line_is_named(world: NodeWorld) -> None:
    portal, session = await lived(world)
    files = files_in(await export(world, portal, session))
    rows = files[LINES].splitlines()
    gone = msgspec.json.decode(rows[2])
    found = verify_export(rebuilt({**files, LINES: b"\n".join([*rows[:2], *rows[3:]])}))
    assert f"line {gone['year']}-{gone['index']} is missing" in found.problems


async def test_another_log_or_no_export_is_refused(world: NodeWorld) -> None:
    portal, session = await login(world)
    raw = await export(world, portal, session)
    assert not verify_export(raw, policy_text(_other_vkey())).holds
    for wrong in (b"", b"PK", raw[: len(raw) // 2], rebuilt({"a": b""})):
        with pytest.raises(ExportInvalid):
            verify_export(wrong)
    with pytest.raises(ExportInvalid):
        verify_export(raw, "log x\nquorum 3\n")


def _other_vkey() -> str:
    from nacl.signing import SigningKey

    from index.protocol.note import ED25519, NoteKey

    return NoteKey(f"{HUB_ID}/v1/log", ED25519, bytes(SigningKey.generate().verify_key)).text()


def plain_python(*words: str | Path) -> subprocess.CompletedProcess[bytes]:
    """Python that sees neither the environment nor any installed package."""
    command = [sys.executable, "-I", "-S", *map(str, words)]
    return subprocess.run(command, capture_output=True, check=False, env={})


async def test_the_one_file_verifier_needs_nothing_but_python_and_names_a_changed_or_missing_line(
    world: NodeWorld, tmp_path: Path
) -> None:
    portal, session = await lived(world)
    raw = await export(world, portal, session)
    verifier, policy = tmp_path / "dist" / "vlagwijzer-verify.pyz", tmp_path / "policy.txt"
    made = build(verifier)
    assert verifier.stat().st_size < 5 * 1024 * 1024
    policy.write_text(policy_text(portal.settings.hub_log_vkey))
    files = files_in(raw)
    rows = files[LINES].splitlines()
    line = msgspec.json.decode(rows[3])
    asker = line["asker"].replace('"purpose":"', '"purpose":"x')
    changed = msgspec.json.encode({**line, "asker": asker})

    def run(content: bytes, *more: str) -> tuple[int, Any]:
        (tmp_path / "inzage.zip").write_bytes(content)
        words = ["citizen", str(tmp_path / "inzage.zip"), "--policy", str(policy), "--json", *more]
        done = plain_python(verifier, *words)
        assert done.stderr == b""
        return done.returncode, msgspec.json.decode(done.stdout)

    always = ("--max-age-hours", "1000000")
    code, said = run(raw, *always)
    assert (code, said["state"], said["lines"], said["policy"]) == (0, "good", len(rows), "given")
    name = f"line {line['year']}-{line['index']}"
    code, said = run(rebuilt({**files, LINES: b"\n".join([*rows[:3], changed, *rows[4:]])}), *always)
    assert code == 1
    assert said["problems"][0] == f"{name} does not stand in the log as it is written here"
    code, said = run(rebuilt({**files, LINES: b"\n".join([*rows[:3], *rows[4:]])}), *always)
    assert (code, said["problems"][0]) == (1, f"{name} is missing")

    again = tmp_path / "again.pyz"
    assert build(again) == made
    assert again.read_bytes() == verifier.read_bytes(), "the same sources give the same bytes"
    with zipfile.ZipFile(verifier) as archive:
        names = archive.namelist()
    assert not [one for one in names if one.startswith(("parts/nodes", "parts/consent", "parts/index/store"))]

    wrong = plain_python(verifier, "citizen")
    assert (wrong.returncode, b"file" in wrong.stderr) == (3, True)


async def test_the_one_file_verifier_says_that_it_does_not_run_on_another_python(tmp_path: Path) -> None:
    verifier, other = tmp_path / "verify.pyz", tmp_path / "other.pyz"
    build(verifier)
    with zipfile.ZipFile(verifier) as source, zipfile.ZipFile(other, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            target.writestr(name, content.replace(b'"python": "3.', b'"python": "9.'))
    done = plain_python(other, "citizen", "x.zip")
    assert (done.returncode, done.stdout) == (3, b"")
    assert b"Nothing was checked" in done.stderr


async def test_the_command_says_good_bad_or_stale(world: NodeWorld, tmp_path: Path) -> None:
    portal, session = await login(world)
    raw = await export(world, portal, session)
    good, bad = tmp_path / "inzage.zip", tmp_path / "bad.zip"
    good.write_bytes(raw)
    files = files_in(raw)
    rows = files[LINES].splitlines()
    bad.write_bytes(rebuilt({**files, LINES: b"\n".join(rows[1:])}))
    policy = tmp_path / "policy.txt"
    policy.write_text(policy_text(portal.settings.hub_log_vkey))

    def run(file: Path, *more: str) -> tuple[int, Any]:
        command = [sys.executable, "-m", "deploy.cli", "log", "verify", "citizen", str(file), "--json"]
        done = subprocess.run([*command, "--policy", str(policy), *more], capture_output=True, check=False)
        return done.returncode, msgspec.json.decode(done.stdout)

    # The clock of this world is not that of the command, so its age is given.
    code, said = run(good, "--max-age-hours", "1000000")
    assert (code, said["state"], said["lines"]) == (0, "good", len(rows))
    assert run(bad, "--max-age-hours", "1000000")[0] == 1
    assert run(tmp_path / "none.zip")[0] == 1
    import datetime

    stale = world.clock() < datetime.datetime.now(datetime.UTC)
    assert run(good, "--max-age-hours", "0")[0] == (2 if stale else 0)
