"""The vocabulary and one published version, for all tests of choices."""

import os

import pytest
from hypothesis import settings

from policy import PolicyVersion, Vocabulary, load_vocabulary, publish

# A build tries the same examples each time; `HYPOTHESIS_SEARCH=1000` tries as many new ones.
settings.register_profile("build", deadline=None, derandomize=True)
settings.register_profile(
    "search", deadline=None, max_examples=int(os.environ.get("HYPOTHESIS_SEARCH", "100"))
)
settings.load_profile("search" if "HYPOTHESIS_SEARCH" in os.environ else "build")


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    return load_vocabulary()


@pytest.fixture(scope="session")
def version(vocabulary: Vocabulary) -> PolicyVersion:
    return publish(vocabulary, version=1)
