"""Two of three key holders are gone: nothing is viewed, what a source says waits, and nothing is lost.

Source: the story of the first flag, "Done means", 3.
"""

import secrets
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.federation import Federation, eventually, start_federation
from tests.stories.clicking import log_in

NOTHING_VIEWED = "Opzoeken kan nu niet. Er is niets bekeken. Probeer het over 5 minuten."


@pytest.fixture
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """A federation of one's own: its key holders are killed."""
    running = start_federation(tmp_path_factory.mktemp("holders") / "demo")
    try:
        yield running
    finally:
        running.stop()


def test_with_two_holders_away_nothing_is_viewed_and_a_publication_arrives_within_a_minute_of_their_return(
    alone: Federation,
) -> None:
    maria, nobody = alone.citizen("maria")["bsn"], alone.citizen("inwoner-0900")["bsn"]
    reference = f"TEST-{secrets.token_hex(4)}"
    assert "schuldhulp" not in alone.kinds_seen("Peter", maria, "schuldregeling")

    alone.stop_holder("ombudsman")
    assert "schuldhulp" not in alone.kinds_seen("Peter", maria, "schuldregeling"), "one away: still works"
    alone.stop_holder("waterschap")
    refused = alone.look("Peter", maria, "schuldregeling")
    assert refused.status_code == 503
    assert maria not in refused.text

    flag = {"kind": "schuldhulp", "localRef": reference, "since": "2026-11"}
    with alone.system("schuldhulp") as source:
        accepted = source.post("/v1/flags", json={**flag, "bsn": maria})
        assert accepted.status_code == 202
        assert source.get(f"/v1/flags/{reference}").json()["state"] == "queued"
        assert source.get("/v1/outbox").json()["waiting"] >= 1

        alone.start_holder("waterschap")
        eventually(lambda: source.get(f"/v1/flags/{reference}").json()["state"] == "published", 60)
        assert "schuldhulp" in alone.kinds_seen("Peter", maria, "schuldregeling")

        source.post("/v1/flags", json={**flag, "bsn": nobody}).raise_for_status()
        eventually(lambda: "schuldhulp" in alone.kinds_seen("Peter", nobody, "schuldregeling"), 60)
        assert "schuldhulp" not in alone.kinds_seen("Peter", maria, "schuldregeling")


def test_with_two_holders_away_the_desk_says_that_nothing_was_viewed(
    alone: Federation, chromium: Browser
) -> None:
    desk = log_in(chromium, alone.info["pages"]["desk"], "jan")
    alone.stop_holder("hogeschool")
    alone.stop_holder("ombudsman")

    desk.get_by_role("link", name="Huisbezoek").or_(desk.get_by_role("button", name="Huisbezoek")).click()
    desk.locator("#nummer-1").fill(alone.citizen("maria")["bsn"])
    desk.get_by_label("Zaaknummer").fill("Z-1")
    desk.get_by_role("button", name="Bekijk").click()

    assert NOTHING_VIEWED in " ".join(desk.get_by_role("main").inner_text().split())
