"""Attack: learn at the node, or on the employee's page, that something is there which may not be seen.

The hub's bytes are compared in `test_hidden_looks_like_absent`. Here the running
demo is asked about people of whom nothing is known and people of whom everything
is hidden: the answers of the node API and the pages of the desk must be the
same, headers included, but for what is random or counts time.
"""

import json
import re
import secrets
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from nodes.bsn import passes_elfproef
from tests.federation import Federation
from tests.pages.client import Plain

PURPOSE = "huisbezoek"
ABSENT, VISIBLE = "never heard of", "something visible"
CHANGING = {"date", "content-length", "set-cookie"}


@pytest.fixture(scope="module")
def people(federation: Federation) -> dict[str, str]:
    """Numbers of people of whom nothing is seen, each for another reason, and of one who is seen."""
    citizens = federation.info["citizens"]
    by = {citizen["login"]["user"]: citizen for citizen in citizens}
    assert by["rosa"]["flags"]
    assert not by["rosa"]["choices"]
    assert not by["inwoner-0900"]["flags"]
    young = next(c for c in citizens if {"kind": "jeugdhulp", "node": "jeugdhulp"} in c["flags"])
    listed = {citizen["bsn"] for citizen in citizens}
    unlisted = (str(n) for n in range(999_910_000, 999_999_999) if passes_elfproef(str(n)))
    return {
        "everything hidden": by["rosa"]["bsn"],
        "hidden in another scope": young["bsn"],
        "listed without a flag": by["inwoner-0900"]["bsn"],
        ABSENT: next(number for number in unlisted if number not in listed),
        VISIBLE: by["nel"]["bsn"],  # whom no other test of the demo touches
    }


def api_answers(system: httpx.Client, number: str) -> list[Any]:
    """All answers of a visit, opening and closing included."""
    case = "Z-" + secrets.token_hex(4)
    visit = {"clients": [{"bsn": number}], "purpose": PURPOSE, "caseReference": case}
    opened = system.post("/v1/visits", json=visit)
    id_ = opened.json()["visit"]
    later: list[tuple[str, Any]] = [
        ("lookups", {"visit": id_, "detail": detail}) for detail in ("presence", "subjects")
    ]
    later += [(f"visits/{id_}/closures", {}), ("lookups", {"visit": id_})]
    return [_plain(opened), *(_plain(system.post(f"/v1/{path}", json=body)) for path, body in later)]


def _plain(answer: httpx.Response) -> tuple[int, int, dict[str, str], str]:
    """An answer without random ids, times and its place in the log."""
    headers = {name: value for name, value in answer.headers.items() if name not in CHANGING}
    body = answer.json()
    for person in body.get("persons", []):
        person["at"], person["logIndex"] = "", 0
    text = re.sub(r'"(visit|deskUrl|until|at)": "[^"]*"', r'"\1": ""', json.dumps(body))
    return answer.status_code, len(text), headers, text


def page_answers(jan: Plain, number: str) -> list[Any]:
    """The pages of one look at the desk."""
    address = f"/kijken/wie?doel={PURPOSE}"
    form = {"csrf": jan.token(address), "doel": PURPOSE, "zaak": "Z-page", "nummer-1": number}
    asked = jan.post("/kijken/wie", form)
    assert asked.status_code == 303, asked.text[:200]
    path = asked.headers["location"]
    pages = [jan.get(path), jan.post(f"{path}/onderwerpen", {"csrf": jan.token(path)}), jan.get(path)]
    pages.append(jan.post(f"{path}/klaar", {"csrf": jan.token(path)}))
    return [_screen(page) for page in pages]


def _screen(page: httpx.Response) -> tuple[int, dict[str, str], str]:
    """A page without form tokens, ids and times."""
    headers = {name: value for name, value in page.headers.items() if name not in CHANGING}
    texts = json.dumps([headers, page.text])
    texts = re.sub(r"value=\\\"[A-Za-z0-9_-]{20,}", "value=", texts)
    texts = re.sub(r"bezoeken/[A-Za-z0-9_-]+", "bezoeken/x", texts)
    shown_headers, text = json.loads(re.sub(r"\d{1,2}\.\d\d uur", "uur", texts))
    return page.status_code, shown_headers, text


@pytest.fixture(scope="module")
def by_api(federation: Federation, people: dict[str, str]) -> dict[str, Any]:
    # Two employees, for each may ask so often a minute; only the team of the second may see the last.
    with federation.system("wijkteam", "Aisha") as aisha, federation.system("wijkteam", "Jan") as jan:
        return {why: api_answers(aisha if why == VISIBLE else jan, number) for why, number in people.items()}


@pytest.fixture(scope="module")
def by_page(federation: Federation, people: dict[str, str]) -> dict[str, Any]:
    desk = SimpleNamespace(url=federation.info["pages"]["desk"].rstrip("/"))
    aisha = Plain(desk)  # type: ignore[arg-type]  # it needs the address only
    aisha.log_in("aisha")
    return {why: page_answers(aisha, number) for why, number in people.items()}


def differing(found: dict[str, Any]) -> list[str]:
    return [why for why, answers in found.items() if answers != found[ABSENT]]


def test_the_node_api_says_the_same_of_hidden_and_absent(by_api: dict[str, Any]) -> None:
    assert [status for status, *_ in by_api[ABSENT]] == [201, 200, 200, 200, 404]
    assert [why for why in differing(by_api) if why != VISIBLE] == []


def test_the_page_says_the_same_of_hidden_and_absent(by_page: dict[str, Any]) -> None:
    assert "niets zichtbaar" in " ".join(by_page[ABSENT][0][2].split())
    assert [why for why in differing(by_page) if why != VISIBLE] == []


def test_both_comparisons_notice_a_person_of_whom_something_is_visible(
    by_api: dict[str, Any], by_page: dict[str, Any]
) -> None:
    assert differing(by_api) == differing(by_page) == [VISIBLE]
