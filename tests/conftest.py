"""What every test may use. Shared test data is read in place, never copied."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.federation import federation
from tests.postgresql import database, module_database, postgresql, postgresql_database

__all__ = ["database", "federation", "module_database", "postgresql", "postgresql_database", "shared"]

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of public vectors, samples and cases beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip("the folder ../shared with vectors and cases is not here")
    return SHARED


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """A command that runs within a test sets up the logging of its process: it ends with that test."""
    root, hook = logging.getLogger(), sys.excepthook
    handlers, level, said = root.handlers[:], root.level, structlog.get_config()
    yield
    if structlog.get_config() != said:
        structlog.configure(**said)
        root.handlers[:] = handlers
        root.setLevel(level)
        sys.excepthook = hook
        logging.captureWarnings(False)
