"""A log with four witnesses for every test here."""

from pathlib import Path

import pytest

from .world import Ring


@pytest.fixture
def ring(tmp_path: Path) -> Ring:
    return Ring(tmp_path)
