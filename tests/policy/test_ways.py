"""How a team's desk works is part of the policy version, and no way shows more than another."""

import pytest

from policy.vocabulary import PACKAGED, VocabularyError, parse_vocabulary

TEXT = PACKAGED.read_text(encoding="utf-8")
OIN = "00000009990000000101"
HASH_BEFORE = "7a7ea9674f75e0bfa2060e95e0bdd152f77b20f69e0268d13f968cc6bdcf8bd2"
NOORD = '\n[[way]]\nteam = "noord"\nview = "zrm"\ntogether = ["huisbezoek"]\n'


def test_without_a_choice_the_profile_decides_and_little_comes_first() -> None:
    words = parse_vocabulary(TEXT)
    assert words.way_of(OIN, "noord", "basis").view == "list"
    assert words.way_of(OIN, "noord", "eindhoven").view == "zrm"
    assert words.way_of(OIN, "noord", "utrecht").view == "list"
    assert words.way_of(OIN, "noord", "no-such-profile").together == ()


def test_a_teams_own_choice_comes_before_its_profile() -> None:
    zuid = f'\n[[way]]\nteam = "noord"\norganisation = "{OIN}"\nview = "list"\n'
    words = parse_vocabulary(TEXT + NOORD + zuid)
    assert words.way_of("other", "noord", "basis").together == ("huisbezoek",)
    assert words.way_of(OIN, "noord", "eindhoven").view == "list"
    assert words.way_of(OIN, "oost", "eindhoven").view == "zrm"


def test_a_choice_makes_another_version_and_none_makes_the_same_as_before() -> None:
    """The hash is what is signed; the packaged words had this one before teams could choose."""
    assert parse_vocabulary(TEXT).hash.hex() == HASH_BEFORE
    assert parse_vocabulary(TEXT + NOORD).hash != parse_vocabulary(TEXT).hash


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (NOORD + NOORD, "team"),
        (NOORD.replace("huisbezoek", "crisis"), "together"),
        (NOORD.replace("huisbezoek", "toezicht"), "together"),
        (NOORD.replace("huisbezoek", "koffie"), "together"),
        (NOORD.replace('"zrm"', '"scores"'), "view"),
    ],
)
def test_a_slip_in_a_way_loads_nothing(wrong: str, field: str) -> None:
    with pytest.raises(VocabularyError) as caught:
        parse_vocabulary(TEXT + wrong)
    assert caught.value.field == field
