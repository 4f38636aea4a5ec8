"""A list at the source's page: tried first, done only after a second click, a large drop asked about."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.pages.checks import numbers_in
from tests.pages.client import Plain
from tests.pages.conftest import Enter
from tests.pages.world import UNKNOWN, WITH_FLAGS, WITHOUT, Site, real_import

HEADING = "bsn;kind;local_ref;since;until\n"
GOOD = f"{WITH_FLAGS};schuldhulp;zaak-1;2025-03;\n{WITHOUT};schuldhulp;zaak-2;2025-04;\n"


@pytest.fixture
def bea(source: Site, tmp_path: Path) -> Plain:
    """The manager of a source, logged in."""
    for name, part in real_import(tmp_path).items():
        setattr(source.node, name, part)
    visitor = Plain(source)
    visitor.log_in("bea")
    return visitor


def upload(visitor: Plain, content: str | bytes) -> httpx.Response:
    raw = content.encode() if isinstance(content, str) else content
    form = {"csrf": visitor.token("/bron/invoeren")}
    return visitor.post("/bron/invoeren", form, files={"lijst": ("lijst.csv", raw, "text/csv")})


def confirm(visitor: Plain, **more: str) -> httpx.Response:
    page = visitor.get("/bron/invoeren/proef").text
    token = page.partition('name="proef" value="')[2].partition('"')[0]
    form = {"csrf": visitor.token("/bron/invoeren"), "proef": token, **more}
    return visitor.post("/bron/invoeren/proef", form)


def queued(visitor: Plain) -> list[dict[str, Any]]:
    submitted: list[dict[str, Any]] = visitor.site.node.intake.submitted
    return submitted


def test_a_trial_queues_nothing_and_shows_no_person(bea: Plain) -> None:
    bad = "123456789;schuldhulp;zaak-3;2025-05;\n" + f"{UNKNOWN};ggz;zaak-4;2025-05;\n"
    assert upload(bea, HEADING + GOOD + bad).headers["location"] == "/bron/invoeren/proef"
    page = bea.get("/bron/invoeren/proef").text
    assert "Deze lijst heeft 4 regels." in page
    assert "Het burgerservicenummer klopt niet." in page
    assert "Dit onderwerp mag u niet doorgeven." in page
    assert numbers_in(page) == 0
    assert "123456789" not in page
    assert queued(bea) == []


def test_a_second_click_does_what_was_shown(bea: Plain) -> None:
    upload(bea, HEADING + GOOD)
    assert confirm(bea).headers["location"] == "/bron"
    assert "De lijst is ingevoerd." in bea.get("/bron").text
    (batch,) = queued(bea)
    assert [item.local_ref for item in batch["publications"]] == ["zaak-1", "zaak-2"]
    assert confirm(bea).headers["location"] == "/bron/invoeren"
    assert len(queued(bea)) == 1


def test_an_empty_list_stops_and_asks(bea: Plain) -> None:
    upload(bea, HEADING)
    page = bea.get("/bron/invoeren/proef").text
    assert "Klopt dat?" in page
    assert confirm(bea).status_code == 200
    assert queued(bea) == []
    assert confirm(bea, korter="ja").headers["location"] == "/bron"


@pytest.mark.parametrize("content", [b"", b"\x00\x81\x8d", b"naam;adres\nx;y\n"])
def test_what_is_no_list_is_refused_with_a_sentence(bea: Plain, content: bytes) -> None:
    answer = upload(bea, content)
    assert answer.status_code == 400
    assert "Kies een bestand." in answer.text or "Dit bestand kunnen wij niet lezen." in answer.text
    assert queued(bea) == []


def test_a_file_that_is_too_large_does_nothing(bea: Plain) -> None:
    assert upload(bea, b"x" * (5 * 1024 * 1024 + 1)).status_code == 403


def test_the_import_works_in_a_browser_without_script(
    page: Page, source: Site, enter: Enter, tmp_path: Path
) -> None:
    for name, part in real_import(tmp_path).items():
        setattr(source.node, name, part)
    enter(page, source, "bea")
    page.get_by_role("link", name="Invoeren").click()
    page.get_by_label("Bestand (CSV)").set_input_files(
        {"name": "lijst.csv", "mimeType": "text/csv", "buffer": (HEADING + GOOD).encode()}
    )
    page.get_by_role("button", name="Doe een proef").click()
    expect(page.get_by_text("Deze lijst heeft 2 regels.")).to_be_visible()
    page.get_by_role("button", name="Voer de lijst in").click()
    expect(page.get_by_text("De lijst is ingevoerd. De berichten gaan nu weg.")).to_be_visible()
