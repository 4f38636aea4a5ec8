"""How every process logs: one JSON object a line, about processes and never about people.

    event -> level, names -> exception as text -> redaction -> time -> JSON

Everything goes the same way: our own events, those of libraries, warnings, and
an exception that nobody caught. The access line of a request names its route
template, never its path: a path may hold a local reference. The access log
(`index.accesslog`) is a different thing and is never written here.
"""

import logging
import sys
import time
from collections.abc import Iterator, MutableMapping
from types import TracebackType
from typing import Any, TextIO

import structlog

from index.protocol.http import App, Receive, Scope, Send

from .redaction import redact

QUIET = ("httpx", "httpcore", "uvicorn.access", "werkzeug", "sqlalchemy.engine", "alembic", "asyncio")
"""Loggers that would write whole URLs, statements or noise: only their warnings pass."""


def _processors() -> list[structlog.typing.Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]


def _final(process: str) -> list[structlog.typing.Processor]:
    def name_process(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["process"] = process
        return event

    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        # Arguments of a library's record arrive as `positional_args`; they were rendered into the event.
        structlog.processors.EventRenamer("event"),
        redact,
        name_process,
        # The time comes after redaction: its own digits must not be taken for a number.
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.JSONRenderer(ensure_ascii=False),
    ]


def set_up_logging(process: str, stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Route all logging of this process through redaction to one stream.

    Args:
        process: Name of the process, as it stands in each line: `hub`, `node wijkteam`.
        stream: Where lines go; standard error when left out, so that a service manager collects them.
        level: Lowest level written.
    """
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_processors(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=_processors(), processors=_final(process))
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in list(logging.root.manager.loggerDict):
        known = logging.getLogger(name)
        known.handlers.clear()
        known.propagate = True
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger("deploy").critical("process_failed", exc_info=(kind, error, trace))


class AccessLines:
    """Pure ASGI middleware: one line per request with method, route template, status and duration."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.log = structlog.stdlib.get_logger("access")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 500
        begun = time.perf_counter()

        async def note_status(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
            await send(message)

        try:
            await self.app(scope, receive, note_status)
        finally:
            self.log.info(
                "request_answered",
                method=scope["method"] if scope["method"].isalpha() else "?",
                route=_template(scope),
                status=status,
                ms=round((time.perf_counter() - begun) * 1000, 1),
            )


def _template(scope: Scope) -> str:
    """The route's template. Plain Starlette routes name only their endpoint, so theirs is looked up."""
    route = scope.get("route")
    if route is None and (endpoint := scope.get("endpoint")) is not None:
        route = next((item for item in _leaves(scope.get("app")) if item.endpoint is endpoint), None)
    return getattr(route, "path", None) or "(no route)"


def _leaves(router: Any) -> Iterator[Any]:
    """All routes below an application or router that have an endpoint, those of included routers too."""
    for route in getattr(router, "routes", ()):
        if hasattr(route, "endpoint"):
            yield route
        else:
            yield from _leaves(getattr(route, "original_router", None))
