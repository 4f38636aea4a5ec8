"""Attack: the officer of one organisation reads, asks about or judges what is of another.

Defence: every answer under `/v1/oversight` is made of what names the calling
organisation, and another's look is as unknown as one that never was.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from index import inquiries, oversight, reviews
from index.protocol.codec import b64u
from index.protocol.messages import (
    OwnEntriesAnswer,
    OwnExportAnswer,
    OwnPatternsAnswer,
    OwnReplayAnswer,
    OwnWorkAnswer,
)
from tests.hub.acting import Acting, decoded, problem
from tests.hub.world import GEMEENTE, SCHULDHULP, Node, Sent

ACTS = "/v1/oversight/acts"


@dataclass
class Town:
    """One look of the municipality and one of the debt helper, a question about each."""

    hub: Acting
    look: tuple[int, int]
    other: tuple[int, int]

    def send(self, node: Node, path: str, *, as_role: str = "privacy_officer", **body: Any) -> Sent:
        actor = "fg-1" if as_role == "privacy_officer" else "m-17"
        return self.hub.run(node.send(path, body, "admin", role=as_role, actor=actor))

    @property
    def own(self) -> Node:
        return self.hub.wijkteam

    @property
    def foreign(self) -> Node:
        return self.hub.world.crisis

    def places(self, t: str = "lookup") -> dict[str, tuple[int, int]]:
        now = self.hub.world.clock()
        with self.hub.world.hub.reading() as connection:
            found = self.hub.world.hub.log_reader.between(connection, now.replace(year=now.year - 1), now)
            return {one.asker.org: (one.year, one.index) for one in found if one.asker.t == t}


@pytest.fixture
def town(tmp_path_factory: pytest.TempPathFactory, database: dict[str, str]) -> Iterator[Town]:
    with Acting(tmp_path_factory.mktemp("hub"), **database) as hub:
        person = hub.somebody()
        hub.sees(hub.visit(person))
        other = hub.run(hub.world.crisis.opens("m-9", [person], role="schuldhulpverlener"))
        hub.run(hub.world.crisis.looks(other))
        made = Town(hub, (0, 0), (0, 0))
        made.look, made.other = made.places()[GEMEENTE], made.places()[SCHULDHULP]
        yield made


def test_an_officer_gets_the_own_entries_and_no_other(town: Town) -> None:
    own = decoded(town.send(town.own, "/v1/oversight/entries"), OwnEntriesAnswer)
    assert {line.node for line in own.entries} == {"wijkteam"}
    assert [line.t for line in own.entries] == ["lookup", "relation"]
    other = decoded(town.send(town.foreign, "/v1/oversight/entries"), OwnEntriesAnswer)
    assert {line.node for line in other.entries} == {"crisis"}
    raw = town.send(town.own, "/v1/oversight/exports", form="nen7513", month="2026-11")
    text = decoded(raw, OwnExportAnswer).text
    assert GEMEENTE in text
    assert SCHULDHULP not in text


def test_an_answer_holds_no_pseudonym_of_anybody(town: Town) -> None:
    with town.hub.world.hub.reading() as connection:
        found = town.hub.world.hub.log_reader.at(connection, *town.look)
    assert found
    assert found.asker.handles
    for path, body in (
        ("/v1/oversight/entries", {}),
        ("/v1/oversight/patterns", {}),
        ("/v1/oversight/work", {}),
        ("/v1/oversight/replays", {"year": town.look[0], "index": town.look[1]}),
        ("/v1/oversight/exports", {"form": "ldv", "month": "2026-11"}),
    ):
        answer = town.send(town.own, path, **body).response
        assert answer.status_code == 200, path
        told = msgspec.json.decode(answer.content)
        told.pop("log")
        assert not [one for one in found.asker.handles if one in str(told)], path


def test_the_look_of_another_organisation_is_as_unknown_as_none(town: Town) -> None:
    year, index = town.other
    for path, body in (
        (ACTS, {"act": "ask", "why": "patroon"}),
        ("/v1/oversight/replays", {}),
    ):
        of_other = town.send(town.own, path, **body, year=year, index=index).response
        of_nobody = town.send(town.own, path, **body, year=year, index=99_999).response
        assert problem(of_other)[2] == ["unknown-entry"]
        assert of_other.content == of_nobody.content
    assert inquiries.views(town.hub.world.hub) == []
    replayed = town.send(town.own, "/v1/oversight/replays", year=town.look[0], index=town.look[1])
    assert decoded(replayed, OwnReplayAnswer).outcome in ("same", "unknown")


def test_the_question_of_an_officer_goes_round_inside_the_organisation(town: Town) -> None:
    year, index = town.look
    for _ in range(2):
        assert town.send(town.own, ACTS, act="ask", why="patroon", year=year, index=index).response.is_success
    (asked,) = decoded(town.send(town.own, "/v1/oversight/work"), OwnWorkAnswer).inquiries
    assert (asked.actor, asked.why, asked.open, asked.answer) == ("m-17", "patroon", True, "")
    reply = {"id": asked.id, "answer": "own_client"}
    sent = town.hub.run(town.own.send("/v1/inquiries/answers", reply, "admin", role="bron", actor="m-17"))
    assert sent.response.is_success
    close = {"act": "close", "id": asked.id, "outcome": "fits"}

    assert decoded(town.send(town.foreign, "/v1/oversight/work"), OwnWorkAnswer).inquiries == []
    of_other = town.send(town.foreign, ACTS, **close).response
    of_nobody = town.send(town.foreign, ACTS, **{**close, "id": b64u(b"?" * 16)}).response
    assert problem(of_other)[2] == ["unknown-inquiry"]
    assert of_other.content == of_nobody.content
    assert town.send(town.own, ACTS, **close).response.is_success
    (closed,) = decoded(town.send(town.own, "/v1/oversight/work"), OwnWorkAnswer).inquiries
    assert (closed.answer, closed.outcome, closed.open) == ("own_client", "fits", False)


def test_break_glass_is_judged_by_the_own_officer_only(town: Town) -> None:
    hub = town.hub
    hub.run(town.own.declares("m-17", [hub.somebody()]))
    (line,) = reviews.waiting_for_review(hub.world.hub).lines
    assert decoded(town.send(town.foreign, "/v1/oversight/work"), OwnWorkAnswer).reviews == []
    assert [one.id for one in decoded(town.send(town.own, "/v1/oversight/work"), OwnWorkAnswer).reviews] == [
        line.id
    ]
    judge = {"act": "review", "id": line.id, "outcome": "fits"}
    assert problem(town.send(town.foreign, ACTS, **judge).response)[2] == ["no-open-review"]
    assert reviews.waiting_for_review(hub.world.hub).lines
    assert town.send(town.own, ACTS, **judge).response.is_success
    assert not reviews.waiting_for_review(hub.world.hub).lines


@pytest.mark.parametrize("role", ["generalist", "bron", "burger", "teamleider"])
def test_nobody_but_an_officer_is_let_in(town: Town, role: str) -> None:
    for path in (rule.path for rule in oversight.RULES):
        assert town.send(town.own, path, as_role=role).response.status_code == 403, path


def test_an_officer_looks_at_nobody_and_has_a_name_in_the_log(town: Town) -> None:
    hub = town.hub
    sent = hub.run(town.own.send("/v1/oversight/work", {}, "admin", role="privacy_officer"))
    assert sent.response.status_code == 403
    visit = hub.run(town.own.send("/v1/lookups", {"tickets": ["AAAA"]}, "lookup", role="privacy_officer"))
    assert visit.response.status_code == 403


def test_every_view_is_an_entry_of_the_organisation(town: Town) -> None:
    town.send(town.own, "/v1/oversight/patterns")
    assert decoded(town.send(town.own, "/v1/oversight/patterns"), OwnPatternsAnswer).patterns == []
    found = decoded(town.send(town.own, "/v1/oversight/entries", role="privacy_officer"), OwnEntriesAnswer)
    assert [(line.t, line.actor) for line in found.entries] == [("admin", "fg-1")] * 2


def test_a_hub_that_forgets_whose_the_entries_are_is_caught(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted bug: an entry is found for whoever asks."""

    def anyone(hub: Any, caller: Any, year: int, index: int) -> Any:
        with hub.reading() as connection:
            return hub.log_reader.at(connection, year, index)

    monkeypatch.setattr(oversight, "_own", anyone)
    with pytest.raises((AssertionError, KeyError)):
        test_the_look_of_another_organisation_is_as_unknown_as_none(town)
