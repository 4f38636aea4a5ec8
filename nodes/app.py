"""The node as a server: API, pages of its parts, health, metrics, and the sender beside them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import msgspec
import structlog
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from index.protocol.http import Bounds, Problem, SafeHeaders, problem_response

from .api import UNKNOWN, api_routes, problem_of
from .api_document import openapi
from .errors import HolderLied, HolderRefused, HoldersUnreachable, HubUnreachable, NodeError
from .grid import Grid
from .runtime import NodeRuntime, open_node
from .settings import NodeSettings
from .witness.routes import witness_routes

log = structlog.get_logger()

REFRESH_S = 300.0
_NOT_FOUND = Problem("not-found", 404, "Nothing here")
_METHOD = Problem("method-not-allowed", 405, "This path has no such method")


def create_app(settings: NodeSettings, runtime: NodeRuntime | None = None) -> FastAPI:
    """The application of one node; also fetches manifest and directory, and opens the store.

    Args:
        runtime: A test world's own; absent in a process.

    Raises:
        SettingsError: A setting, key file or document is missing or wrong; names it.
    """
    node = runtime or open_node(settings)
    app = FastAPI(
        docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False, lifespan=_lifespan(node)
    )
    app.state.node = node
    app.router.routes.extend(api_routes(node))
    app.router.routes.extend(_own_routes(node))
    if node.witness is not None:
        app.router.routes.extend(witness_routes(node.witness))
    missing = None
    if settings.login is not None:
        from .pages import node_pages

        pages, routes = node_pages(node)
        app.include_router(routes)
        missing = pages.missing

    async def failed(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException):
            if missing is not None and error.status_code == 404 and not request.url.path.startswith("/v1/"):
                return await missing(request)
            problem = {404: _NOT_FOUND, 405: _METHOD}.get(error.status_code, UNKNOWN)
            return problem_response(problem, problem.title + ".", headers=dict(error.headers or {}))
        return problem_of(error)

    app.add_exception_handler(HTTPException, failed)
    app.add_exception_handler(Exception, failed)
    app.add_middleware(Bounds)
    app.add_middleware(SafeHeaders)
    app.add_middleware(Grid, step_ms=settings.answer_grid_ms)
    return app


def _lifespan(node: NodeRuntime) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        """Known answers of the keys, then the sender; at the end everything is let go."""
        try:
            await node.pseudonymiser.start()
        except (HoldersUnreachable, HolderRefused, HolderLied) as error:
            # An outage of the key holders does not stop a node: what it has to send waits.
            log.warning("canaries_postponed", reason=type(error).__name__)
        tasks = [asyncio.create_task(_keep_documents(node)), asyncio.create_task(_keep_proofs(node))]
        if "source" in node.settings.parts or node.declarations.kinds:
            tasks.append(asyncio.create_task(node.sender.run()))
            tasks.append(asyncio.create_task(node.alerts.run()))
            if node.sources.names:
                tasks.append(asyncio.create_task(node.sources.run(node.sender.wake)))
        if "source" in node.settings.parts:
            tasks.append(asyncio.create_task(node.contacts.run()))
        if "desk" in node.settings.parts:
            tasks.append(asyncio.create_task(node.signals.run()))
        log.info("node_started", node=node.settings.node_id, parts=sorted(node.settings.parts))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await node.close()
            log.info("node_stopped", node=node.settings.node_id)

    return lifespan


async def _keep_documents(node: NodeRuntime) -> None:
    while True:
        await asyncio.sleep(REFRESH_S)
        try:
            await node.trust.refresh(node.clients[-1])
        except NodeError as error:
            log.error("documents_not_refreshed", reason=str(error))


async def _keep_proofs(node: NodeRuntime) -> None:
    while True:
        await asyncio.sleep(node.settings.proofs_seconds)
        try:
            await node.confirmed.round()
        except HubUnreachable:
            log.warning("log_proofs_postponed")
        except Exception as error:
            # Proofs come later; a node goes on without.
            log.error("log_proofs_failed", error=type(error).__name__)


def _own_routes(node: NodeRuntime) -> list[Route]:
    registry = CollectorRegistry()
    waiting = Gauge("node_outbox_waiting", "Items not yet acknowledged by the hub.", registry=registry)
    held = Gauge("node_outbox_waiting_for_key_holders", "Publications that wait.", registry=registry)
    live = Gauge("node_flags_live", "Flags the hub has signed for.", registry=registry)
    rejected = Gauge("node_items_rejected", "Items that could not be passed on.", registry=registry)

    async def health(_: Request) -> Response:
        body = {
            "status": "ok",
            "trustSeparation": node.settings.trust_separation,
            "keys": node.trust.manifest.current.origin,
            "parts": sorted(node.settings.parts),
        }
        return Response(msgspec.json.encode(body), media_type="application/json")

    async def metrics(_: Request) -> Response:
        counts = await asyncio.to_thread(node.source.counts, True, True)
        waiting.set(counts.waiting)
        held.set(counts.waiting_for_holders)
        live.set(counts.live)
        rejected.set(counts.rejected)
        figures = generate_latest(registry) + generate_latest(node.figures.registry)
        return Response(figures, media_type="text/plain; version=0.0.4")

    async def document(_: Request) -> Response:
        headers = {"Access-Control-Allow-Origin": "*"}
        return Response(msgspec.json.encode(openapi()), headers=headers, media_type="application/json")

    return [
        Route("/health", health, methods=["GET"]),
        Route("/metrics", metrics, methods=["GET"]),
        Route("/v1/openapi.json", document, methods=["GET"]),
    ]
