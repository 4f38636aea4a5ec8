"""`POST /v1/witness/add-checkpoint`, open to anybody: the log's own signature is what proves a request.

Source: C2SP tlog-witness.
"""

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from index.protocol.addcheckpoint import MAX_REQUEST, PATH

from .witness import Answer, Witness

PREFIX = "/v1/witness"
"""The submission prefix below a node's address."""
BODY_S = 10.0


def witness_routes(witness: Witness) -> list[Route]:
    """The one call of a witness."""

    async def add_checkpoint(request: Request) -> Response:
        raw = await _bounded(request.stream())
        answer = (
            Answer(400, "the request is too long or came too slowly\n")
            if raw is None
            else await asyncio.to_thread(witness.add_checkpoint, raw)
        )
        # As a header: a media type of text would get a charset, and C2SP names this one without.
        return Response(answer.body, answer.status, headers={"Content-Type": answer.media})

    return [Route(PREFIX + PATH, add_checkpoint, methods=["POST"])]


async def _bounded(stream: AsyncIterator[bytes]) -> bytes | None:
    """The body, None where it is too long or does not come."""
    raw = b""
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in stream:
                raw += chunk
                if len(raw) > MAX_REQUEST:
                    return None
    except TimeoutError:
        return None
    return raw
