"""Attack: make flags disappear, of somebody else or of everybody.

Defence: a retraction reveals a secret of exactly 32 bytes, is looked up under
the caller's own tag, and one that is malformed is no retraction of anything.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from index.protocol.codec import b64u
from index.rows import Rows
from tests.hub.acting import Acting, Flag, outcomes, problem, results


@pytest.fixture
def hub(tmp_path: Path, database: dict[str, str]) -> Iterator[Acting]:
    with Acting(tmp_path, **database) as acting:
        yield acting


@pytest.fixture
def flag(hub: Acting) -> Flag:
    """A living flag that team noord may see."""
    person = hub.somebody()
    hub.allow_everything(person)
    made = hub.flag(person, "schuldhulp")
    hub.publish(hub.bron, made)
    return made


def test_another_nodes_retraction_removes_nothing(hub: Acting, flag: Flag) -> None:
    before = hub.everything_stored()

    assert outcomes(hub.retract(hub.inkomen, flag.secret)) == ["absent"]

    after = hub.everything_stored()
    assert (after["flag"], after["digest"]) == (before["flag"], before["digest"])
    assert hub.sees(hub.visit(flag.person)) == [{"schuldhulp"}]


def test_another_nodes_retraction_blocks_no_update_of_the_owner(hub: Acting, flag: Flag) -> None:
    hub.retract(hub.inkomen, flag.secret)

    assert outcomes(hub.publish(hub.bron, flag)) == ["stored"]
    assert outcomes(hub.retract(hub.bron, flag.secret)) == ["removed"]


def test_an_answer_to_a_stranger_is_that_to_somebody_who_guessed(hub: Acting, flag: Flag) -> None:
    stranger = hub.retract(hub.inkomen, flag.secret)
    guess = hub.retract(hub.inkomen, bytes(32))

    assert outcomes(stranger) == outcomes(guess) == ["absent"]


def test_without_an_own_tag_per_source_the_attack_succeeds(
    hub: Acting, flag: Flag, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag = hub.world.hub.rows.pub_tag(1)
    monkeypatch.setattr(Rows, "pub_tag", lambda _rows, _publisher: tag)

    assert outcomes(hub.retract(hub.inkomen, flag.secret)) == ["removed"]


MALFORMED = {
    "empty": "",
    "one byte short": b64u(b"s" * 31),
    "one byte long": b64u(b"s" * 33),
    "two secrets in one": b64u(b"s" * 64),
    "padded": b64u(b"s" * 32) + "=",
    "not canonical": b64u(b"s" * 32)[:-1] + "t",
}


@pytest.mark.parametrize("secret", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_retraction_touches_nothing(hub: Acting, flag: Flag, secret: str) -> None:
    """An identifier without system or value fell back to "everything of this organisation" there."""
    before = hub.everything_stored()

    sent = hub.try_to_retract(hub.bron, {"seq": 1, "secret": secret})

    if sent.response.status_code == 200:
        assert outcomes(results(sent)) == ["refused:malformed-secret"]
    else:
        assert problem(sent.response)[:2] == (400, "malformed-body")
    assert hub.everything_stored() == before
    assert hub.sees(hub.visit(flag.person)) == [{"schuldhulp"}]


SHAPES: dict[str, Any] = {
    "no items": {"items": []},
    "nothing": {},
    "no secret": {"items": [{"seq": 1}]},
    "null": {"items": [{"seq": 1, "secret": None}]},
    "a number": {"items": [{"seq": 1, "secret": 0}]},
    "a tag in place of a secret": {"items": [{"seq": 1, "rtag": b64u(bytes(32))}]},
    "everything": {"items": [], "all": True},
    "a wildcard": {"items": "*"},
    "a kind": {"items": [{"seq": 1, "secret": b64u(bytes(32)), "kind": "schuldhulp"}]},
    "no number": {"items": [{"secret": b64u(bytes(32))}]},
    "a list": [],
}


@pytest.mark.parametrize("body", SHAPES.values(), ids=SHAPES)
def test_a_retraction_of_another_shape_is_refused_and_touches_nothing(
    hub: Acting, flag: Flag, body: Any
) -> None:
    before = hub.everything_stored()

    sent = hub.run(hub.bron.send("/v1/retractions", body, "retract", role="bron"))

    assert problem(sent.response)[:2] == (400, "malformed-body")
    assert hub.everything_stored() == before
    assert hub.sees(hub.visit(flag.person)) == [{"schuldhulp"}]


def test_a_tag_does_not_retract_for_only_its_secret_does(hub: Acting, flag: Flag) -> None:
    """The tag stands in the database; a thief of it holds nothing that retracts."""
    assert outcomes(hub.retract(hub.bron, flag.rtag)) == ["absent"]
    assert hub.sees(hub.visit(flag.person)) == [{"schuldhulp"}]


def test_bad_items_of_a_retraction_do_not_stop_the_good_ones(hub: Acting, flag: Flag) -> None:
    sent = hub.try_to_retract(
        hub.bron,
        {"seq": 1, "secret": ""},
        {"seq": 2, "secret": b64u(flag.secret)},
        {"seq": 3, "secret": b64u(b"x" * 5)},
    )

    assert outcomes(results(sent)) == ["refused:malformed-secret", "removed", "refused:malformed-secret"]
    assert hub.sees(hub.visit(flag.person)) == [set()]
