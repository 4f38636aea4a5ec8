"""A running federation in this process for every test here."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from .world import NodeWorld


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[NodeWorld]:
    async with NodeWorld(tmp_path).running() as running:
        yield running
    running.keys.close()
