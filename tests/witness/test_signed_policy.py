"""The log's policy signed by officers: too few, another text, another key or name is no signature."""

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey
from typer.testing import CliRunner

from deploy.cli import app
from index.app import open_hub
from index.protocol.keyfile import write_key_file
from index.protocol.note import COSIGNATURE_V1, ED25519, NoteKey
from index.protocol.signedpolicy import Signers, parse_signers, sign_policy, signed_policy
from index.protocol.tlogpolicy import PolicyFileError, parse_policy
from index.settings import SettingsError
from nodes.errors import SettingsError as NodeSettingsError
from nodes.proofs import pinned_policy
from tests.hub.test_witnesses import Witnessed

from .copies import copy_of
from .test_mirror import lived, written
from .test_policy import LOG, WITNESSES, vkey
from .world import Ring

TEXT = LOG + WITNESSES + "group g 2 a b c\nquorum g\n"
KEYS = {name: SigningKey(name.encode() * 32) for name in ("x", "y", "z")}


def vkey_of(name: str) -> str:
    return NoteKey(f"{name}.example", ED25519, bytes(KEYS[name].verify_key)).text()


def signed(text: str, *names: str) -> str:
    for name in names:
        text = sign_policy(text, f"{name}.example", KEYS[name])
    return text


def signers(threshold: int = 2, names: Sequence[str] = "xyz") -> str:
    return f"# the officers\nthreshold {threshold}\n" + "".join(f"signer {vkey_of(name)}\n" for name in names)


PINNED: Signers = parse_signers(signers())


def test_two_of_three_officers_are_enough_and_one_is_not() -> None:
    policy, names = signed_policy(signed(TEXT, "x", "z"), PINNED)
    assert names == ("x.example", "z.example")
    assert policy.groups == parse_policy(TEXT).groups
    with pytest.raises(PolicyFileError, match="signed by 1 of those who must, of whom 2"):
        signed_policy(signed(TEXT, "x"), PINNED)
    with pytest.raises(PolicyFileError, match="signed by 0"):
        signed_policy(TEXT, PINNED)


def test_one_officer_who_signs_twice_counts_as_none() -> None:
    with pytest.raises(PolicyFileError, match="signed by 0"):
        signed_policy(signed(TEXT, "x", "x"), PINNED)


def test_a_key_under_another_name_and_another_key_under_a_name_do_not_count() -> None:
    renamed = sign_policy(signed(TEXT, "x"), "z.example", KEYS["y"])
    with pytest.raises(PolicyFileError, match="signed by 1"):
        signed_policy(renamed, PINNED)


def test_what_is_signed_reads_as_the_policy_and_gets_more_signatures() -> None:
    once = signed(TEXT, "x")
    assert parse_policy(once).quorum == "g"
    assert signed_policy(signed(once, "y"), PINNED)[1] == ("x.example", "y.example")


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_changed_character_of_a_signed_policy_is_believed(data: st.DataObject) -> None:
    whole = signed(TEXT, "x", "y")
    at = data.draw(st.integers(0, len(whole) - 1))
    put = data.draw(st.characters(min_codepoint=10, max_codepoint=126))
    changed = whole[:at] + put + whole[at + 1 :]
    if changed == whole:
        return
    with pytest.raises(PolicyFileError):
        signed_policy(changed, PINNED)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "threshold 2\n",
        signers(4),
        signers(2) + "threshold 1\n",
        signers(1, "xx"),
        signers(0),
        signers() + "officer z\n",
        f"threshold 1\nsigner {vkey('w.example', COSIGNATURE_V1, 9)}\n",
        "threshold 1\nsigner x+y+z\n",
    ],
)
def test_what_is_no_list_of_signers_is_refused(text: str) -> None:
    with pytest.raises(PolicyFileError):
        parse_signers(text)


def test_bytes_that_are_no_text_and_a_text_that_is_no_policy_are_not_signed() -> None:
    with pytest.raises(PolicyFileError):
        parse_signers(b"\xff")
    for text in ("quorum", TEXT + "\tquorum none\n", "hub.example/v1/log/2026\n3\nAAAA\n"):
        with pytest.raises(PolicyFileError):
            sign_policy(text, "x.example", KEYS["x"])


# --- where it is read ---------------------------------------------------------------------------


def log(*words: str | Path) -> tuple[int, dict[str, Any]]:
    done = CliRunner().invoke(app, ["log", *map(str, words), "--json"])
    return done.exit_code, json.loads(done.stdout) if done.stdout.startswith("{") else {}


def test_officers_sign_with_the_command_and_the_verifier_asks_for_it(ring: Ring, tmp_path: Path) -> None:
    lived(ring, 20)
    ring.feed().once()
    copy = written(copy_of(ring), tmp_path / "copy")
    pinned = tmp_path / "signers.txt"
    pinned.write_text(signers())
    always = ("--signers", pinned, "--max-age-hours", "1000000")
    code, said = log("verify", "mirror", copy, *always)
    assert (code, said["problems"]) == (
        1,
        ["the policy is signed by 0 of those who must, of whom 2 are needed"],
    )
    for name in "xy":
        write_key_file(tmp_path / f"{name}.key", bytes(KEYS[name]))
        command = ("policy", "sign", copy / "policy.txt", "--name", f"{name}.example")
        code, said = log(*command, "--key", tmp_path / f"{name}.key")
        assert (code, said["signer"]) == (0, vkey_of(name))
    assert log("policy", "check", copy / "policy.txt", "--signers", pinned)[1]["signed"] == [
        "x.example",
        "y.example",
    ]
    assert log("verify", "mirror", copy, *always)[0] == 0
    assert log("verify", "officer", "--mirror", copy, *always)[0] == 0

    # Somebody's own policy beside the data: without witnesses anything would be confirmed.
    (copy / "policy.txt").write_text(f"{ring.policy.text.splitlines()[0]}\nquorum none\n")
    assert log("verify", "mirror", copy, "--max-age-hours", "1000000")[0] == 0
    assert log("verify", "mirror", copy, *always)[0] == 1
    assert log("policy", "check", copy / "policy.txt", "--signers", pinned)[0] == 1


def test_a_citizens_file_without_a_policy_or_no_zip_at_all_is_named(tmp_path: Path) -> None:
    pinned, file = tmp_path / "signers.txt", tmp_path / "inzage.zip"
    pinned.write_text(signers())
    for content in (b"", None):
        if content is None:
            with zipfile.ZipFile(file, "w") as archive:
                archive.writestr("policy.txt", TEXT)
        else:
            file.write_bytes(content)
        code, said = log("verify", "citizen", file, "--signers", pinned)
        assert (code, said["problems"]) == (1, ["this is not an export"])


def test_a_hub_and_a_node_that_ask_for_signatures_do_not_start_without_them(tmp_path: Path) -> None:
    pinned = tmp_path / "signers.txt"
    pinned.write_text(signers())
    world = Witnessed(tmp_path, log_policy_signers=pinned)
    file = tmp_path / "log-policy.txt"
    with pytest.raises(SettingsError, match="signed by 0"):
        open_hub(world.settings)
    with pytest.raises(NodeSettingsError, match="signed by 0"):
        pinned_policy(file, world.log_vkey, pinned)
    file.write_text(signed(file.read_text(), "x", "y"))
    assert open_hub(world.settings).witnesses.policy is not None
    policy = pinned_policy(file, world.log_vkey, pinned)
    assert policy is not None
    assert sorted(policy.witnesses) == ["w0", "w1"]
