"""Attack: hide one forbidden item between good ones, so that the check of the whole lets it through.

Defence: every item is checked by itself, against the caller's own entry in the
signed directory; the good ones go, the bad one is refused with its reason.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from index import publish
from index.protocol.directory import Directory, sign
from tests.hub.acting import Acting, outcomes
from tests.hub.world import World


class Narrow(World):
    """The same world, where `inkomen` may reach the scope geld only."""

    def directory(self) -> Directory:
        whole = super().directory()
        nodes = [
            msgspec.structs.replace(node, scopes=["geld"]) if node.id == "inkomen" else node
            for node in whole.nodes
        ]
        return sign(msgspec.structs.replace(whole, nodes=nodes), self.holder_keys)


@pytest.fixture
def hub(tmp_path: Path, database: dict[str, str]) -> Iterator[Acting]:
    with Acting(tmp_path, make=Narrow, **database) as acting:
        yield acting


FORBIDDEN = {
    "another organisation's kind": "schuldhulp",
    "a kind of a scope that the node does not have": "ww",
    "what only citizens say of themselves": "zelf_gemeld_geldzorgen",
}


@pytest.mark.parametrize("place", [0, 10, 20])
@pytest.mark.parametrize("kind", FORBIDDEN.values(), ids=FORBIDDEN)
def test_a_batch_item_does_not_slip_past_the_gate(hub: Acting, kind: str, place: int) -> None:
    person = hub.somebody()
    hub.allow_everything(person)
    flags = [hub.flag(person, "bijstand") for _ in range(20)]
    flags.insert(place, hub.flag(person, kind))

    found = outcomes(hub.publish(hub.inkomen, *flags))

    wanted = ["stored"] * 20
    wanted.insert(place, "refused:kind-not-registered")
    assert found == wanted
    assert hub.count("flag") == 20
    assert hub.sees(hub.visit(person)) == [{"bijstand"}]


def test_a_portal_publishes_only_what_citizens_say_of_themselves(hub: Acting) -> None:
    person = hub.somebody()

    own = hub.flag(person, "zelf_gemeld_geldzorgen", until=f"{hub.world.clock():%Y-%m}")
    found = hub.publish(hub.portaal, hub.flag(person, "bijstand"), own)

    assert outcomes(found) == ["refused:kind-not-registered", "stored"]


def test_a_whole_batch_of_forbidden_items_stores_nothing(hub: Acting) -> None:
    person, before = hub.somebody(), hub.everything_stored()

    found = hub.publish(hub.bron, *(hub.flag(person, "bijstand") for _ in range(70)))

    assert outcomes(found) == ["refused:kind-not-registered"] * 70
    assert hub.everything_stored() == before


def test_without_the_check_of_each_item_the_attack_succeeds(
    hub: Acting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "may_publish", lambda _caller, _kind: True)
    person = hub.somebody()

    assert outcomes(hub.publish(hub.inkomen, hub.flag(person, "schuldhulp"))) == ["stored"]
