"""What anybody may read: the log's checkpoint and tiles, the signed documents, health and figures.

Nothing here depends on a person, and nothing is asked that could name one.
"""

from email.utils import format_datetime

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from index.acts import history, read_standing
from index.api_document import openapi
from index.errors import NOT_FOUND
from index.gate import Public
from index.hub import Hub
from index.metrics import MEDIA
from index.policies import signature_of, stored
from index.protocol.codec import b64u
from index.protocol.directory import encode
from index.protocol.http import problem_response
from index.protocol.policy import PolicyAnswer, registers_statement, version_statement
from index.registers import Registers
from index.witnesses import Standing


async def _checkpoint(hub: Hub, _: Request) -> Response:
    """The last signed checkpoint of the current year."""
    return _from_log(hub, "checkpoint")


async def _log(hub: Hub, request: Request) -> Response:
    """Checkpoint and tiles as C2SP tlog-tiles lays them out, of this year or a named one."""
    return _from_log(hub, request.path_params["path"])


def _from_log(hub: Hub, path: str) -> Response:
    with hub.reading() as connection:
        found = hub.log_reader.public(connection, path)
    if found is None:
        return problem_response(NOT_FOUND, "The log has no such checkpoint or tile.")
    body, for_ever = found
    headers = {"Cache-Control": "public, max-age=31536000, immutable"} if for_ever else {}
    media = "text/plain; charset=utf-8" if path.endswith("checkpoint") else "application/octet-stream"
    return Response(body, headers=headers, media_type=media)


async def _policy(hub: Hub, request: Request) -> Response:
    """The version in force now and what is registered per organisation, each with the hub's signature.

    Read from the database, for this process may have answered nothing since it changed. Who has it
    already asks with `If-None-Match` and gets 304: the tag is the number and the last act.
    """
    with hub.reading() as connection:
        standing = read_standing(connection)
        number = standing.number_at(int(hub.clock().timestamp()))
        tag = f'"{number}-{standing.acts}"'
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers={"ETag": tag})
        digest, content = stored(connection, number)
        acts = history(connection, hub.keystore)
    last = acts[-1].seq if acts else 0
    organisations = Registers().after(acts).published()
    answer = PolicyAnswer(
        number=number,
        hash=digest.hex(),
        signature=signature_of(acts, number) or _signed(hub, version_statement(_id(hub), number, digest)),
        content=content.files(),
        rules=[rule.text for rule in hub.policy.rules] if hub.policy.hash == digest else [],
        acts=last,
        organisations=organisations,
        registers_signature=_signed(hub, registers_statement(_id(hub), number, last, organisations)),
    )
    return Response(
        msgspec.json.encode(answer), headers={"ETag": f'"{number}-{last}"'}, media_type="application/json"
    )


def _id(hub: Hub) -> str:
    return hub.settings.hub_id


def _signed(hub: Hub, statement: bytes) -> str:
    # A closing that nobody confirmed ends by its time; the act that signs for it comes a moment later.
    return b64u(hub.keystore.log_signing.sign(statement).signature)


async def _directory(hub: Hub, _: Request) -> Response:
    """The key holders' directory as they signed it; only mirrored here."""
    return Response(encode(hub.directory), media_type="application/json")


async def _manifest(hub: Hub, _: Request) -> Response:
    """The key holders' manifest as they signed it; only mirrored here."""
    return Response(encode(hub.manifest), media_type="application/json")


async def _health(hub: Hub, _: Request) -> Response:
    """Whether the writer answers, and how much trust is separated."""
    policies, standing = hub.policies, hub.witnesses.standing()
    refused = hub.access_log.refusal
    status = "down" if not hub.sequencer.running else "stopped" if policies.stopped or refused else "up"
    body = {
        "status": status,
        "trustSeparation": hub.settings.trust_separation,
        "keys": hub.manifest.origin,
        "policy": {"number": hub.policy.number, "state": policies.state},
        "log": _log_health(standing),
        "environment": hub.manifest.environment,
    }
    return Response(
        msgspec.json.encode(body),
        200 if status == "up" else 503,
        # `node doctor` compares clocks by it; answers about people carry no time of the server.
        headers={"Date": format_datetime(hub.clock(), usegmt=True)},
        media_type="application/json",
    )


def _log_health(standing: Standing | None) -> dict[str, object]:
    """Whether witnesses confirm the log, since when not, and why nothing is signed."""
    if standing is None:
        return {"state": "without-witnesses"}
    at = standing.confirmed_at
    return {
        "state": "refused" if standing.refusal else standing.state,
        "confirmedAt": at.strftime("%Y-%m-%dT%H:%M:%SZ") if at else None,
        "witnesses": standing.witnesses,
        "reason": standing.refusal,
    }


async def _metrics(hub: Hub, _: Request) -> Response:
    """Figures of the process, without any label that varies with a person or asker."""
    figures = hub.metrics
    figures.waiting.set(hub.sequencer.waiting)
    figures.waiting_persons.set(hub.sequencer.persons_waiting)
    figures.policy_stopped.set(hub.policies.stopped)
    figures.policy_number.set(hub.policy.number)
    figures.failed_authentications.set(hub.failed_authentications.total())
    return Response(figures.text(), media_type=MEDIA)


async def _openapi(_hub: Hub, _: Request) -> Response:
    """The OpenAPI document of this API."""
    return Response(msgspec.json.encode(openapi()), media_type="application/json")


RULES = (
    Public("/v1/log/checkpoint", _checkpoint, "The signed checkpoint of this year's log", media="text/plain"),
    Public("/v1/log/{path:path}", _log, "Tiles and checkpoints of the log", media="application/octet-stream"),
    Public("/v1/policy", _policy, "The policy in force, with its signature and texts"),
    Public("/v1/directory", _directory, "The key holders' directory"),
    Public("/v1/manifest", _manifest, "The key holders' manifest"),
    Public("/v1/openapi.json", _openapi, "This document", cors=True),
    Public("/health", _health, "Whether the hub answers"),
    Public("/metrics", _metrics, "Figures of the process", media="text/plain"),
)
