"""The OpenAPI 3.1 document of a process, made from its own table of operations.

A process lists each call once (path, types, problems); this module turns the
list into a document that passes the NL API Design Rules linter. Nothing is
generated from framework introspection, so no default 422 body or echoing
schema can slip in.

Source: NL API Design Rules 2.1; docs/adr/0003-english-names-in-the-api.md.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from .http import API_VERSION, ProblemBody

CONTACT = {
    "name": "Vlagwijzer",
    "email": "api@vlagwijzer.example",
    "url": "https://vlagwijzer.example/contact",
}
_PARAMETER = re.compile(r"\{([^}:]+)(?::[^}]+)?\}")


@dataclass(frozen=True, slots=True)
class Operation:
    """One call as callers see it.

    Args:
        path: Relative to `/v1`, kebab-case, parameters in braces.
        request: Struct of the JSON body, or None.
        accepts: Media type of a body that is text and not JSON.
        response: Struct of the JSON answer, or None for text or bytes.
        problems: HTTP status codes answered as RFC 9457 problems, besides 400.
        media: Media type of the answer when it is not JSON.
        security: Names of security schemes that this call needs, all of them.
    """

    method: str
    path: str
    summary: str
    description: str
    tag: str
    request: Any = None
    response: Any = None
    status: int = 200
    problems: tuple[int, ...] = ()
    media: str = "application/json"
    security: tuple[str, ...] = ()
    accepts: str = ""


@dataclass(frozen=True, slots=True)
class SecurityScheme:
    """How a caller proves who it is; `definition` is the OpenAPI object."""

    name: str
    definition: dict[str, Any] = field(default_factory=dict)


_TITLES = {
    400: "The request is wrong",
    408: "The body came too slowly",
    401: "Who calls is not proven",
    403: "The caller may not do this",
    404: "Nothing here",
    409: "In conflict with what is stored",
    413: "The body is too large",
    415: "The media type is not supported",
    422: "The same message with another body",
    431: "The headers are too large",
    429: "Too many requests",
    503: "Not available now; nothing was done",
}


def _headers() -> dict[str, Any]:
    return {
        "API-Version": {
            "description": "Full version of this API.",
            "schema": {"type": "string", "examples": [API_VERSION]},
        }
    }


def _problem(status: int) -> dict[str, Any]:
    return {
        "description": _TITLES[status],
        "headers": _headers(),
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def _operation(operation: Operation) -> dict[str, Any]:
    names = _PARAMETER.findall(operation.path)
    responses: dict[str, Any] = {}
    content: dict[str, Any] = {}
    if operation.response is not None:
        content = {operation.media: {"schema": _reference(operation.response)}}
    elif operation.media != "application/json":
        content = {operation.media: {"schema": {"type": "string"}}}
    answer: dict[str, Any] = {"description": operation.summary, "headers": _headers()}
    if content:
        answer["content"] = content
    responses[str(operation.status)] = answer
    needs_400 = operation.method in ("post", "put", "patch") or bool(names)
    for status in sorted({*operation.problems, *((400,) if needs_400 else ())}):
        responses[str(status)] = _problem(status)
    body: dict[str, Any] = {
        "operationId": _operation_id(operation),
        "summary": operation.summary,
        "description": operation.description,
        "tags": [operation.tag],
        "responses": responses,
    }
    if names:
        body["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
    if operation.request is not None:
        body["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _reference(operation.request)}},
        }
    elif operation.accepts:
        content = {operation.accepts: {"schema": {"type": "string"}}}
        body["requestBody"] = {"required": True, "content": content}
    if operation.security:
        body["security"] = [{name: [] for name in operation.security}]
    return body


def _operation_id(operation: Operation) -> str:
    words = [word for word in re.split(r"[^A-Za-z0-9]+", operation.path) if word]
    return operation.method + "".join(word[:1].upper() + word[1:] for word in words)


def _reference(kind: Any) -> dict[str, Any]:
    (schema,), _ = msgspec.json.schema_components([kind], ref_template="#/components/schemas/{name}")
    return schema


def document(
    title: str,
    description: str,
    server: str,
    operations: Sequence[Operation],
    schemes: Sequence[SecurityScheme] = (),
) -> dict[str, Any]:
    """The whole document.

    Args:
        server: Base address that ends in the major version, https; paths are relative to it.
    """
    kinds = [kind for o in operations for kind in (o.request, o.response) if kind is not None]
    _, components = msgspec.json.schema_components(
        [*kinds, ProblemBody], ref_template="#/components/schemas/{name}"
    )
    # Python's end of text is written `$` where ECMA regular expressions are read.
    components = msgspec.json.decode(msgspec.json.encode(components).replace(rb'\\Z"', b'$"'))
    problem = components.pop("ProblemBody")
    problem["required"] = ["type", "title", "status", "detail"]
    schemas = {**components, "Problem": problem}
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        path = _PARAMETER.sub(r"{\1}", operation.path)
        paths.setdefault(path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "description": description,
            "version": API_VERSION,
            "contact": CONTACT,
            "license": {"name": "EUPL-1.2", "identifier": "EUPL-1.2"},
        },
        "servers": [{"url": server}],
        "tags": [{"name": tag} for tag in sorted({operation.tag for operation in operations})],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {scheme.name: scheme.definition for scheme in schemes},
        },
    }
