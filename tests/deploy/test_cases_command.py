"""`policy cases` finds a difference that is there; `keyholder init` never makes up what was lost."""

import json
from pathlib import Path

from tests.deploy.test_cli import run


def test_all_worked_cases_hold_and_a_swapped_outcome_is_named(shared: Path, tmp_path: Path) -> None:
    document = json.loads((shared / "decision-cases.json").read_text())
    chosen = {"D001", "D002", "D085", "D088"}
    document["cases"] = [case for case in document["cases"] if case["id"] in chosen]
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(document))
    swapped = next(case for case in document["cases"] if case["id"] == "D085")
    swapped["expected"] = "hidden"
    bad.write_text(json.dumps(document))

    assert run("policy", "cases", str(good)).returncode == 0
    found = run("policy", "cases", str(bad), "--json")
    assert found.returncode == 1
    assert [one["id"] for one in json.loads(found.stdout)["differences"]] == ["D085"]


def test_a_counter_store_is_made_once(tmp_path: Path) -> None:
    config = tmp_path / "keyholder.toml"
    config.write_text(
        'holder_id = "a"\nmanifest_file = "m.json"\ndirectory_file = "d.json"\nsigning_key_file = "s.key"\n'
        'shares_dir = "shares"\ndatabase = "counters.sqlite"\n[holders]\na = "AAAA"\n'
    )
    first = run("keyholder", "init", "--config", str(config))
    assert first.returncode == 0, first.stderr
    assert (tmp_path / "counters.sqlite").stat().st_mode & 0o077 == 0
    again = run("keyholder", "init", "--config", str(config))
    assert again.returncode == 3
    assert "never made anew" in again.stderr
