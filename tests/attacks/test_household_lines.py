"""Attack: read in one's own list of looks who else of the household was asked about.

Defence: one entry per person asked, under that person's handles only. An entry
about two would hand each the other's handle, and so the fact of the visit.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from index import lookup
from index.protocol.codec import b64u
from index.protocol.entry import handle
from index.protocol.messages import OwnLogAnswer
from tests.hub.acting import Acting


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Acting]:
    with Acting(tmp_path) as acting:
        yield acting


def handles(hub: Acting, person: str) -> set[str]:
    return {b64u(handle(hub.world.clock().year, lid)) for lid in hub.lids(person)}


def lines(hub: Acting, person: str) -> list[str]:
    """Both parts of every line in the person's own log, as text."""
    own = hub.own(hub.login(person), "log", OwnLogAnswer)
    return [line.asker + line.chain for line in own.lines]


def shared(hub: Acting, family: list[str]) -> int:
    """How often a handle of one member stands in a line of another."""
    texts = {person: lines(hub, person) for person in family}
    return sum(
        mark in text
        for person in family
        for other in family
        if other != person
        for mark in handles(hub, other)
        for text in texts[person]
    )


def test_household_lines_are_not_shared(hub: Acting) -> None:
    family = [hub.somebody() for _ in range(3)]
    hub.publish(hub.bron, hub.flag(family[0], "schuldhulp"))
    visit = hub.visit(*family)
    hub.sees(visit)
    hub.run(hub.wijkteam.closes(visit))
    hub.run(hub.wijkteam.tries_to_look(visit))
    hub.run(hub.wijkteam.tries_to_look(visit, team="zuid"))

    assert shared(hub, family) == 0
    for person in family:
        own = handles(hub, person)
        assert all(any(mark in text for mark in own) for text in lines(hub, person))


def test_one_entry_about_two_persons_would_be_seen(hub: Acting, monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug: the entry of each person names the scopes of the whole question."""
    family = [hub.somebody(), hub.somebody()]
    plain = lookup.Question.record
    asked = hub.visit(*family)

    def together(self: lookup.Question, ticket: Any, decided: Any, detail: str) -> Any:
        record = self.tx.record
        own = tuple(lid for person in family for lid in hub.lids(person, ("geld", "zorg")))
        with monkeypatch.context() as patch:
            patch.setattr(type(self.tx), "record", lambda _, draft: record(_with(draft, own)), raising=True)
            return plain(self, ticket, decided, detail)

    monkeypatch.setattr(lookup.Question, "record", together)
    hub.run(hub.wijkteam.tries_to_look(asked))
    monkeypatch.undo()

    assert shared(hub, family) > 0


def _with(draft: Any, lids: tuple[bytes, ...]) -> Any:
    import dataclasses

    return dataclasses.replace(draft, lids=lids)
