"""The source manager tries a message, compares with the index and works off what lies aside."""

import ast
import asyncio
import re
from pathlib import Path

import pytest

from consent.pages.words import words
from nodes.connectors import plan
from nodes.errors import HubUnreachable
from nodes.sender import Comparison
from nodes.source_pages.pages import FIELDS, REPAIRS, WHY
from tests.node.test_istandaarden import ended, granted, message
from tests.pages.checks import numbers_in
from tests.pages.client import Plain
from tests.pages.world import WITH_FLAGS, WITHOUT, Site, real_import

CONNECTORS = Path(plan.__file__).parent
SAYS = ("Nothing", "Gone", "Fact", "Wanted")
LIST = f"bsn;naam;kind;local_ref;since\n{WITH_FLAGS};Jansen;schuldhulp;zaak-1;2025-03\n"


@pytest.fixture
def bea(source: Site, tmp_path: Path) -> Plain:
    """The manager of a source, logged in."""
    for name, part in real_import(tmp_path).items():
        setattr(source.node, name, part)
    visitor = Plain(source)
    visitor.log_in("bea")
    return visitor


def paste(visitor: Plain, text: str, what: str) -> str:
    form = {"csrf": visitor.token("/bron/proefbericht"), "koppeling": what, "bericht": text}
    answer = visitor.post("/bron/proefbericht", form)
    return visitor.get("/bron/proefbericht").text if answer.status_code == 303 else answer.text


# --- S3 ------------------------------------------------------------------------------


def test_a_message_says_what_it_would_do_and_leaves_nothing(bea: Plain) -> None:
    text = message("301", granted(), bsn=WITH_FLAGS).decode()
    page = paste(bea, text, "type:istandaarden")
    assert "Dit bericht wordt: gepubliceerd." in page
    assert "De hulp is toegekend of begonnen." in page
    assert "wmo:0384:77" in page
    assert "Naam/Geslachtsnaam" in page
    assert "ToegewezenProduct/Ingangsdatum" not in page
    assert numbers_in(page) == 0
    node = bea.site.node
    assert node.intake.submitted == []
    assert node.outbox.flags_of("istandaarden") == {}
    assert node.sources.inbox.counts() == (0, 0)


def test_a_list_that_is_pasted_retracts_nothing_that_is_not_in_it(bea: Plain) -> None:
    node = bea.site.node
    known = {"bsn": WITH_FLAGS, "kind": "schuldhulp", "localRef": "zaak-9", "since": "2025-01"}
    node.outbox.queue("lijsten", publications=[node.rules.check(known)])
    page = paste(bea, LIST + f"{WITHOUT};Bakker;schuldhulp;zaak-2;2025-03\n", "lijsten")
    assert page.count("Dit staat nog niet in de index.") == 2
    assert "<li>naam</li>" in page
    assert "ingetrokken" not in page


@pytest.mark.parametrize(
    ("text", "what", "said"),
    [
        ("", "lijsten", "Plak een bericht."),
        (LIST, "geheim", "Kies een koppeling."),
        (LIST.replace(WITH_FLAGS, "123456789"), "lijsten", "Het burgerservicenummer klopt niet."),
        ("<x>", "type:istandaarden", "Dit kunnen wij niet lezen."),
        ("naam;datum\nx;y", "lijsten", "Dit kunnen wij niet lezen."),
        (message("307", ended("99")).decode(), "type:istandaarden", "RedenBeeindiging kennen wij niet."),
        (message("301", granted("morgen")).decode(), "type:istandaarden", "Dit bericht wordt: geweigerd."),
    ],
)
def test_what_is_wrong_is_named_and_never_repeated(bea: Plain, text: str, what: str, said: str) -> None:
    page = paste(bea, text, what)
    assert said in page
    assert "123456789" not in page
    assert "morgen" not in page


def test_every_repair_has_a_sentence() -> None:
    for key in {*REPAIRS.values(), *FIELDS.values(), "other"}:
        assert all(words(language).has(f"source.repair.{key}") for language in ("nl", "en")), key


def test_every_reason_of_a_connector_has_a_sentence() -> None:
    found = set(plan.REASONS.values()) - {""}
    for file in CONNECTORS.glob("*.py"):
        for call in ast.walk(ast.parse(file.read_text())):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") in (
                "Nothing",
                "Gone",
                "Fact",
                "Wanted",
            ):
                named = [word.value for word in call.keywords if word.arg == "reason"]
                for value in (*call.args, *named):
                    if (
                        isinstance(value, ast.Constant)
                        and isinstance(value.value, str)
                        and " " in value.value
                    ):
                        found.add(value.value)
    # As long as the walk finds what a connector says, a new reason cannot be forgotten.
    assert {"the case is open", "the person died", "no longer in the list"} <= found
    assert found - set(WHY) == set()
    assert all(words("nl").has(f"source.why.{key}") for key in WHY.values())


# --- S5 ------------------------------------------------------------------------------


def press(visitor: Plain, path: str) -> str:
    visitor.post(path, {"csrf": visitor.token("/bron/vergelijken")})
    return visitor.get("/bron/vergelijken").text


def test_differences_are_shown_and_repaired_only_by_the_button(bea: Plain) -> None:
    sender = bea.site.node.sender
    sender.found = Comparison(12, [], frozenset(), [])
    assert "De index en uw lijst zijn gelijk." in press(bea, "/bron/vergelijken")
    sender.found = Comparison(12, ["zaak-1", "zaak-2"], frozenset({b"x" * 32}), [7, 9])
    page = press(bea, "/bron/vergelijken")
    figures = re.findall(r"<dd>(\d+)</dd>", page)
    assert figures == ["10", "2", "1"]
    assert "zaak-1" in page
    assert sender.repaired == 0
    assert "De verschillen zijn hersteld." in press(bea, "/bron/vergelijken/herstellen")
    assert sender.repaired == 1


def test_without_the_index_or_with_messages_waiting_nothing_is_claimed(bea: Plain) -> None:
    assert "Er wachten nog berichten." in press(bea, "/bron/vergelijken")
    bea.site.node.sender.fails = HubUnreachable()
    page = press(bea, "/bron/vergelijken")
    assert "De index is nu niet bereikbaar." in page
    assert "gelijk." not in page


# --- S2 ------------------------------------------------------------------------------


def test_what_lies_aside_is_shown_without_its_content_and_tried_again(bea: Plain) -> None:
    sources = bea.site.node.sources
    sources.inbox.put("lijsten", LIST.replace("zaak-1", "").encode() + b'"')
    assert asyncio.run(sources.handle(sources.inbox.next(["lijsten"]))) is False
    page = bea.get("/bron/geweigerd").text
    assert "Bericht 1" in page
    assert numbers_in(page) == 0
    form = {"csrf": bea.token("/bron/geweigerd"), "bericht": "1"}
    bea.post("/bron/opnieuw", form)
    assert "Het bericht is nog niet goed." in bea.get("/bron/geweigerd").text
    bea.post("/bron/opnieuw", {**form, "bericht": "77"})
    assert "Dit bericht is er niet meer." in bea.get("/bron/geweigerd").text
