"""The worked examples of docs/regiesysteem.md, run as they are written against a node of the demo."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from nodes.settings import SignalSettings
from tests.federation import ROOT, Federation
from tests.house import python_client

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
    assert re.search(
        rf"60 seconds: {re.escape(surroundings['NODE'])}/koppeling/l\S{{30,}}$", ran.stdout, re.M
    )
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


def test_the_made_client_is_that_of_the_document_and_works(
    federation: Federation, surroundings: dict[str, str]
) -> None:
    assert python_client.main(["--check"]) == 0
    loaded: dict[str, Any] = {}
    exec(compile(python_client.CLIENT.read_text(), "client", "exec"), loaded)  # noqa: S102
    node = loaded["Node"](
        surroundings["NODE"], surroundings["API_KEY"], employee_token=lambda: surroundings["TOKEN"]
    )
    number = federation.citizen("fatima")["bsn"]
    body = {"clients": [{"bsn": number}], "purpose": "huisbezoek", "caseReference": "Z-2026-19"}
    visit = node.post_visits(body)["visit"]
    assert node.post_visits_visit_subscriptions(visit, {"wanted": True}) == {"visit": visit, "wanted": True}
    assert node.get_signals() == {"signals": []}
    (person,) = node.post_lookups({"visit": visit})["persons"]
    assert "schuldhulp" in {flag["kind"] for flag in person["flags"]}
    node.post_visits_visit_closures(visit, {})
    with pytest.raises(loaded["Problem"]) as refused:
        node.post_lookups({"visit": visit})
    assert refused.value.body["status"] == 404
    assert number not in str(refused.value)


def test_the_settings_of_the_page_are_settings_of_the_node() -> None:
    read = tomllib.loads(example("toml"))["signals"]
    settings = SignalSettings.model_validate(read)
    assert [hook.name for hook in settings.webhooks] == ["regiesysteem"]
    assert settings.combinations[0].kinds == {"schuldhulp", "wmo_voorziening"}
