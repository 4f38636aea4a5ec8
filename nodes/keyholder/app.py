"""The key holder as a server: evaluate, manifest, health, metrics, OpenAPI."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import msgspec
import structlog
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from index.protocol import openapi
from index.protocol.directory import Manifest, encode
from index.protocol.evaluate import MAX_REQUEST_BYTES, EvaluateAnswer, EvaluateRequest
from index.protocol.http import BadBody, Bounds, Problem, SafeHeaders, problem_response, read_bounded

from . import errors, installation
from .evaluation import Evaluations
from .settings import KeyHolderSettings
from .store import CounterStore

log = structlog.get_logger()

PROBLEMS: dict[type[Exception], tuple[Problem, str]] = {
    errors.NotSigned: (
        Problem("not-signed", 401, "Who calls is not proven"),
        "The node is not in the directory, or its signature does not hold for this key holder.",
    ),
    errors.ClockApart: (
        Problem("clock-apart", 401, "The request is too old or too new"),
        "Check the node's clock; at most 60 seconds of difference are accepted.",
    ),
    errors.NonceSeen: (
        Problem("nonce-seen", 409, "This request was here before"),
        "Send a new request with a new nonce.",
    ),
    errors.VersionNotServed: (
        Problem("manifest-version", 409, "Another manifest version is in force"),
        "Fetch the manifest and ask again.",
    ),
    errors.NotAllowed: (
        Problem("not-allowed", 403, "This node may not use this key in this class"),
        "The directory of the key holders does not allow it, or the key is not in use.",
    ),
    errors.GrantRefused: (
        Problem("grant-refused", 403, "No grant covers this request"),
        "This class needs a grant of a login broker that is valid and has enough left.",
    ),
    errors.BadElements: (
        Problem("bad-element", 400, "An element is not valid"),
        "Every element is 32 canonical bytes and not the identity.",
    ),
    errors.QuotaSpent: (
        Problem("quota-spent", 429, "The quota of this node is spent"),
        "Nothing was evaluated. Other classes are not affected.",
    ),
    errors.StoreUnavailable: (
        Problem("store-unavailable", 503, "Evaluations cannot be counted now"),
        "Nothing was evaluated; try another key holder.",
    ),
    errors.ClockWentBack: (
        Problem("store-unavailable", 503, "Evaluations cannot be counted now"),
        "Nothing was evaluated; try another key holder.",
    ),
}

OPERATIONS = (
    openapi.Operation(
        "post",
        "/evaluate",
        "Evaluate blinded elements",
        "Checks node, time, nonce, version, key, grant, elements and quota in this order; then evaluates "
        "and proves. The elements are blinded: this key holder learns no person.",
        "evaluate",
        EvaluateRequest,
        EvaluateAnswer,
        problems=(401, 403, 408, 409, 413, 415, 429, 431, 503),
    ),
    openapi.Operation(
        "get",
        "/manifest",
        "The manifest in force",
        "Signed by every key holder it lists; any mirror may serve it.",
        "manifest",
        None,
        Manifest,
    ),
)


def openapi_document() -> dict[str, Any]:
    """The OpenAPI document of this process."""
    return openapi.document(
        "Vlagwijzer key holder",
        "Evaluates blinded elements with one share of a key. Two of three key holders are needed.",
        "https://keyholder.vlagwijzer.example/v1",
        OPERATIONS,
    )


class _Metrics:
    """Counts by class and outcome; no node and nothing variable in a label."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "keyholder_requests", "Evaluate requests by outcome.", ["outcome"], registry=self.registry
        )
        self.elements = Counter(
            "keyholder_elements", "Elements evaluated by class.", ["class"], registry=self.registry
        )
        self.batch = Histogram(
            "keyholder_request_elements",
            "Elements in one answered request.",
            buckets=(1, 2, 4, 8, 16, 48, 250, 1000),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "keyholder_evaluate_seconds",
            "From the first byte of a request until its answer: counting, evaluating, proving.",
            buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0),
            registry=self.registry,
        )
        self.at_work = Gauge(
            "keyholder_requests_at_work", "Requests not answered yet.", registry=self.registry
        )


class _Server:
    """The routes of one key holder."""

    def __init__(
        self,
        settings: KeyHolderSettings,
        evaluations: Evaluations,
        manifest: Manifest,
        clock: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._evaluations = evaluations
        self._manifest = manifest
        self._manifest_bytes = encode(manifest)
        self._openapi = msgspec.json.encode(openapi_document())
        self._metrics = _Metrics()

    async def evaluate(self, request: Request) -> Response:
        with self._metrics.at_work.track_inprogress(), self._metrics.seconds.time():
            return await self._evaluate(request)

    async def _evaluate(self, request: Request) -> Response:
        try:
            raw = await read_bounded(request, MAX_REQUEST_BYTES)
            asked, answer = await self._evaluations.answer(raw)
        except BadBody as error:
            self._metrics.requests.labels(error.problem.code).inc()
            return problem_response(error.problem, error.detail, errors=error.errors)
        except (errors.Refusal, errors.StoreUnavailable) as error:
            problem, detail = PROBLEMS[type(error)]
            self._metrics.requests.labels(problem.code).inc()
            log.warning("evaluation_refused", code=problem.code, kind=type(error).__name__)
            headers = (
                {"retry-after": str(error.retry_after)} if isinstance(error, errors.QuotaSpent) else None
            )
            return problem_response(problem, detail, headers=headers)
        count = sum(len(group.blinded) for group in asked.groups)
        self._metrics.requests.labels("answered").inc()
        self._metrics.elements.labels(asked.class_).inc(count)
        self._metrics.batch.observe(count)
        log.info("evaluation_answered", node=asked.node, cls=asked.class_, count=count)
        return Response(msgspec.json.encode(answer), media_type="application/json")

    async def manifest(self, _: Request) -> Response:
        return Response(self._manifest_bytes, media_type="application/json")

    async def health(self, _: Request) -> Response:
        body = {
            "status": "ok",
            "trustSeparation": self._settings.trust_separation,
            "keys": self._manifest.origin,
            "environment": self._manifest.environment,
        }
        headers = {"date": format_datetime(self._clock(), usegmt=True)}
        return Response(msgspec.json.encode(body), headers=headers, media_type="application/json")

    async def metrics(self, _: Request) -> Response:
        return Response(generate_latest(self._metrics.registry), media_type="text/plain; version=0.0.4")

    async def openapi(self, _: Request) -> Response:
        return Response(
            self._openapi, media_type="application/json", headers={"access-control-allow-origin": "*"}
        )


class _NoTracebacks:
    """Pure ASGI middleware: an unknown error becomes a 500 with an id, and nothing of its text."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.app(scope, receive, send)
        except Exception as error:
            if scope["type"] != "http":
                raise
            name = secrets.token_hex(8)
            log.error("request_failed", id=name, kind=type(error).__name__)
            problem = Problem("internal", 500, "Something went wrong")
            answer = problem_response(
                problem, f"Ask the operator about {name}.", instance=f"urn:error:{name}"
            )
            await answer(scope, receive, send)


async def _http_problem(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    titles = {
        404: ("not-found", "Nothing here"),
        405: ("method-not-allowed", "This method does nothing here"),
    }
    code, title = titles.get(status, ("http", "The request is wrong"))
    return problem_response(Problem(code, status, title), "See /v1/openapi.json.")


def create_app(
    settings: KeyHolderSettings, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> FastAPI:
    """A key holder that is ready to answer.

    Raises:
        CannotStart: A known answer, share, store, manifest or directory is missing or wrong; names it.
    """
    installation.check_cryptography()
    signing_key = installation.read_signing_key(settings)
    manifest, directory = installation.read_documents(settings, clock())
    evaluations = Evaluations(
        holder_id=settings.holder_id,
        signing_key=signing_key,
        manifest=manifest,
        directory=directory,
        shares=installation.read_shares(settings, manifest),
        store=CounterStore(settings.database, daily=settings.daily, per_minute=settings.per_minute),
        clock=clock,
    )
    server = _Server(settings, evaluations, manifest, clock)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(evaluations.close)

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False, lifespan=lifespan)
    app.add_middleware(_NoTracebacks)
    app.add_middleware(Bounds)
    app.add_middleware(SafeHeaders)
    app.add_exception_handler(HTTPException, _http_problem)
    app.add_route("/v1/evaluate", server.evaluate, methods=["POST"])
    app.add_route("/v1/manifest", server.manifest, methods=["GET"])
    app.add_route("/health", server.health, methods=["GET"])
    app.add_route("/metrics", server.metrics, methods=["GET"])
    app.add_route("/v1/openapi.json", server.openapi, methods=["GET"])
    app.state.evaluations = evaluations
    return app
