"""Three real key holders per test, each with its own files."""

import pytest

from tests.federation_keys import KeyFederation


@pytest.fixture
def keys(tmp_path):
    federation = KeyFederation(tmp_path, scopes=["geld", "zorg"])
    yield federation
    federation.close()
