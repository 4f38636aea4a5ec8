"""Answers leave on a time grid, so that how long a question took says nothing about its answer.

Source: docs/design/design.md, "Answers"; screens.md, "Rules for every screen".
"""

import asyncio
import time
from collections.abc import MutableMapping
from typing import Any

from index.protocol.http import App, Receive, Scope, Send

_FREE = ("/health", "/metrics", "/v1/openapi.json", "/static/")


class Grid:
    """Pure ASGI middleware that holds each answer back until the next point of the grid.

    Args:
        step_ms: Distance of the points; 0 turns the grid off.
    """

    def __init__(self, app: App, step_ms: int) -> None:
        self.app = app
        self.step = step_ms / 1000

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self.step or str(scope["path"]).startswith(_FREE):
            await self.app(scope, receive, send)
            return
        begun = time.monotonic()

        async def held(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                # Counted from the request itself: a grid of the clock would tell when it arrived.
                passed = time.monotonic() - begun
                await asyncio.sleep(self.step - passed % self.step)
            await send(message)

        await self.app(scope, receive, held)
