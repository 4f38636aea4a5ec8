"""What every test may use. Shared test data is read in place, never copied."""

from pathlib import Path

import pytest

from tests.federation import federation

__all__ = ["federation", "shared"]

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of public vectors, samples and cases beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip("the folder ../shared with vectors and cases is not here")
    return SHARED
