"""The commands of `policy`: what they print, and how they end."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.cli import app

DATA = Path(__file__).parents[2] / "policy" / "data"


def _run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["policy", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def weakened(tmp_path: Path) -> Path:
    """A candidate without the forbid on a restriction."""
    text = (DATA / "forbids.cedar").read_text(encoding="utf-8")
    start, end = text.index('@id("beperking")'), text.index('@id("geen_zaak")')
    (tmp_path / "forbids.cedar").write_text(text[:start] + text[end:], encoding="utf-8")
    return tmp_path


def test_check_lists_faults_with_file_and_line_and_ends_with_one(tmp_path: Path) -> None:
    rule = tmp_path / "eigen.cedar"
    rule.write_text(
        '@id("x")\nforbid (principal, action == Action::"view", resource)\nwhen { context.foo };\n'
    )

    found = json.loads(_run("check", tmp_path, "--json", code=1))

    (fault,) = found["faults"]
    assert (fault["file"], fault["line"]) == (str(rule), 3)
    assert f"{rule}:3: " in _run("check", tmp_path, code=1)


def test_prove_ends_with_one_when_a_required_property_fails(weakened: Path) -> None:
    found = json.loads(_run("prove", weakened, "--profile", "utrecht", "--json", code=1))

    broken = [one for one in found["proofs"] if not one["holds"]]
    assert [one["property"] for one in broken] == ["P3"]
    assert "er geldt een beperking" in broken[0]["counterexample"]
    text = _run("prove", weakened, "--profile", "utrecht", code=1)
    assert "P3   GELDT NIET" in text
    assert "P13  bewezen voor 1 profielen" in text


def test_simulate_tells_what_opens_and_no_change_is_an_answer(weakened: Path) -> None:
    found = json.loads(_run("simulate", weakened, "--profile", "utrecht", "--json"))
    assert found["change"]
    assert {one["sort"] for one in found["changes"]} == {"wider"}
    assert found["examples"]["lost"] == {}

    assert "ziet in meer gevallen" in _run("simulate", weakened, "--profile", "utrecht")
    assert "Geen verandering" in _run("simulate", weakened, "--against", weakened, "--profile", "utrecht")


def test_explain_names_row_and_rule(weakened: Path) -> None:
    asked = ("explain", "--role", "inkomensconsulent", "--kind", "ww", "--purpose", "huisbezoek")

    found = json.loads(_run(*asked, "--json"))
    assert (found["visible"], found["row"], found["rule"]) == (
        True,
        9,
        "inkomensconsulent.wettelijke_taak.ww",
    )
    assert "Rij 2" in _run(*asked, "--restricted")
    _run(*asked, "--consent", "ja", code=2)
    _run(*asked, "--mandate", "weg", code=2)
    _run(*asked, "--profile", "weg", code=2)


def test_matrix_and_notices_come_as_text_and_json() -> None:
    rows = json.loads(_run("matrix", "--profile", "utrecht", "--json"))
    assert {row["role"] for row in rows} == {"generalist"}
    assert "Profiel utrecht" in _run("matrix", "--profile", "utrecht")

    found = json.loads(_run("notices", "--kind", "ww", "--dpo", "de FG", "--json"))
    assert [one["kind"] for one in found["notices"]] == ["ww"]
    assert found["blanks"] == ["controller", "contact", "website"]
    assert "<article lang" in _run("notices", "--kind", "ww", "--as", "html")
    assert len(json.loads(_run("notices", "--what", "register", "--json"))["rows"]) == 29
    _run("notices", "--what", "brief", code=2)


def test_a_malformed_file_of_cases_is_wrong_use(tmp_path: Path) -> None:
    path = tmp_path / "cases.json"
    path.write_text('{"now": "2026-06-15T10:00:00", "cases": [{"id": "X1"}]}')

    assert "case X1" in _run("cases", path, code=2)
