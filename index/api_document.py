"""The OpenAPI document of the hub, made from the routes' own rules."""

from typing import Any

from index.protocol.openapi import Operation, SecurityScheme, document

_STATEMENT = SecurityScheme(
    "statement",
    {
        "type": "apiKey",
        "in": "header",
        "name": "Vlagwijzer-Signature",
        "description": "Raw Ed25519 signature over the canonical statement in Vlagwijzer-Statement.",
    },
)


def openapi() -> dict[str, Any]:
    """The document; operations stand in the order of the table of routes."""
    from index.app import PUBLIC, RULES

    signed = [
        Operation(
            "post",
            rule.path.removeprefix("/v1"),
            rule.summary,
            f"Signed call of a node. At most {rule.limit} bytes.",
            _tag(rule.path),
            rule.body,
            rule.answer,
            problems=(401, 403, 408, 409, 413, 415, 422, 429, 431, 503),
            security=(_STATEMENT.name,),
        )
        for rule in RULES
    ]
    public = [
        Operation(
            "get",
            rule.path.removeprefix("/v1").replace("{path:path}", "{path}"),
            rule.summary,
            "Read without a statement; nothing here is about a person.",
            _tag(rule.path),
            media=rule.media,
            problems=(404,) if "{" in rule.path else (),
        )
        for rule in PUBLIC
        if rule.path.startswith("/v1/")
    ]
    return document(
        "Vlagwijzer hub",
        "Between nodes and the hub: pseudonyms, sealed flags, choices and the access log.",
        "https://hub.example/v1",
        [*signed, *public],
        [_STATEMENT],
    )


def _tag(path: str) -> str:
    return path.split("/")[2]
