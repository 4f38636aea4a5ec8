"""Published versions, filled once for all tests here."""

import pytest

from policy import PolicyVersion, Vocabulary, load_vocabulary, publish


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    return load_vocabulary()


@pytest.fixture(scope="session")
def version(vocabulary: Vocabulary) -> PolicyVersion:
    """Profile basis, every organisation class."""
    return publish(vocabulary, version=1)


@pytest.fixture(scope="session")
def every_profile(vocabulary: Vocabulary) -> PolicyVersion:
    profiles = tuple(profile.code for profile in vocabulary.profiles)
    return publish(
        vocabulary, version=1, profiles=profiles, organisation_classes=("gemeente", "zorgverzekeraar")
    )
