"""The vocabulary and one published version, for all tests of choices."""

import pytest

from policy import PolicyVersion, Vocabulary, load_vocabulary, publish


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    return load_vocabulary()


@pytest.fixture(scope="session")
def version(vocabulary: Vocabulary) -> PolicyVersion:
    return publish(vocabulary, version=1)
