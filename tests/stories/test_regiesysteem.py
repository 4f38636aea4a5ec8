"""The worked examples of docs/regiesysteem.md, run as they are written against a node of the demo."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.federation import ROOT, Federation

PAGE = ROOT / "docs" / "regiesysteem.md"


def example(language: str) -> str:
    """The one code block of a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return str(found)


@pytest.fixture
def surroundings(federation: Federation) -> dict[str, str]:
    """What the page says that the reader has."""
    node = federation.node("wijkteam")
    return {
        "PATH": os.environ["PATH"],
        "NODE": node["url"],
        "API_KEY": node["apiKey"],
        "TOKEN": federation.token("jan"),
        "no_proxy": "*",
    }


def test_the_python_example_opens_looks_and_closes(
    federation: Federation, surroundings: dict[str, str], tmp_path: Path
) -> None:
    number = federation.citizen("fatima")["bsn"]
    ran = subprocess.run(
        [sys.executable, "-c", example("python")],
        input=f"{number}\n",
        capture_output=True,
        text=True,
        env=surroundings,
        cwd=tmp_path,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-1000:]
    assert re.search(r"^Hulp bij schulden, since 20\d\d-\d\d\. .+, call .+\.$", ran.stdout, re.MULTILINE)
    assert re.search(rf"60 seconds: {re.escape(surroundings['NODE'])}/koppeling/l\S{{30,}}$", ran.stdout, re.M)
    assert re.search(r"^Closed at 20\d\d-", ran.stdout, re.MULTILINE)
    assert number not in ran.stdout + ran.stderr


def test_the_python_example_says_what_is_wrong_and_echoes_nothing(
    surroundings: dict[str, str], tmp_path: Path
) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", example("python")],
        input="123456789\n",
        capture_output=True,
        text=True,
        env=surroundings,
        cwd=tmp_path,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 1
    assert ran.stderr.strip() == "The request is wrong (400): Nothing was done. See errors."


def test_the_curl_example_opens_looks_twice_and_closes(
    federation: Federation, surroundings: dict[str, str], tmp_path: Path
) -> None:
    number = federation.citizen("fatima")["bsn"]
    body = {"clients": [{"bsn": number}], "purpose": "huisbezoek", "caseReference": "Z-2026-18"}
    (tmp_path / "person.json").write_text(json.dumps(body))
    ran = subprocess.run(
        ["bash", "-c", example("bash")],
        capture_output=True,
        text=True,
        env=surroundings,
        cwd=tmp_path,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-1000:]
    first, second, closed = (json.loads(line) for line in ran.stdout.splitlines())
    assert (first["persons"][0]["present"], first["persons"][0]["flags"]) == (True, [])
    assert "schuldhulp" in {flag["kind"] for flag in second["persons"][0]["flags"]}
    assert set(closed) == {"visit", "until"}
    assert number not in ran.stdout + ran.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["person.json"]


def test_the_settings_of_the_page_are_settings_of_the_node(tmp_path: Path) -> None:
    import tomllib

    from nodes.settings import SignalSettings

    read = tomllib.loads(example("toml"))["signals"]
    settings = SignalSettings.model_validate(read)
    assert [hook.name for hook in settings.webhooks] == ["regiesysteem"]
    assert settings.combinations[0].kinds == {"schuldhulp", "wmo_voorziening"}
