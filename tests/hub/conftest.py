"""A running hub for every test here, on asyncio, and on each engine."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from .world import World


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def world(tmp_path: Path, database: dict[str, str]) -> AsyncIterator[World]:
    async with World(tmp_path, **database).running() as running:
        yield running
