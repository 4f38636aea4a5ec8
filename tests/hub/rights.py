"""Calls about rights for tests of the hub: dispute, objection, restriction, and the publisher's answers."""

import secrets
import uuid
from typing import Any

from index.protocol.codec import SCOPES, b64u
from index.protocol.messages import (
    ObjectionAnswer,
    OpenAnswer,
    OpenClaim,
    OwnChoicesAnswer,
    OwnClaim,
    ReplyAnswer,
)
from tests.hub.acting import Acting, decoded
from tests.hub.world import VOCABULARY, Node, Sent, Visit, point


def item(right: str, kind: str, publisher: int = 0, **fields: Any) -> dict[str, Any]:
    return {
        "scope": VOCABULARY.kind(kind).domain,
        "right": right,
        "kind": kind,
        "publisher": publisher,
        **fields,
    }


def ending(right: str, kind: str, group: str) -> dict[str, Any]:
    """The end of a right that was used under a group, in the kind's scope."""
    return {"scope": VOCABULARY.kind(kind).domain, "right": right, "ends": group}


def try_right(hub: Acting, session: Visit, *items: dict[str, Any], msg: str = "", **changes: Any) -> Sent:
    """Send a request; `changes` replace fields of the body."""
    msg = msg or str(uuid.uuid4())
    named = [scope for scope in SCOPES if any(one["scope"] == scope for one in items)]
    body = {
        "ticket": session.tickets[0],
        "version": 1,
        "points": hub.world.sealed("portaal", msg, [point(session.persons[0], scope) for scope in named]),
        "group": b64u(secrets.token_bytes(16)),
        "text": b64u(bytes(range(32))),
        "regime": "zelf",
        "by": "zelf",
        "items": list(items),
        **changes,
    }
    return hub.run(hub.portaal.send("/v1/objections", body, "objection", msg=msg, role="burger"))


def use(hub: Acting, session: Visit, right: str, kind: str, publisher: int = 0, **changes: Any) -> str:
    """Use a right; returns its group."""
    group = b64u(secrets.token_bytes(16))
    decoded(try_right(hub, session, item(right, kind, publisher), group=group, **changes), ObjectionAnswer)
    return group


def end(hub: Acting, session: Visit, right: str, kind: str, group: str) -> None:
    decoded(try_right(hub, session, ending(right, kind, group)), ObjectionAnswer)


def own(hub: Acting, session: Visit) -> list[OwnClaim]:
    return hub.own(session, "choices", OwnChoicesAnswer).claims


def asked(hub: Acting, node: Node) -> list[OpenClaim]:
    """What a publisher is asked."""
    sent = hub.run(node.send("/v1/objections/open", {}, "objection", role="bron"))
    answer = decoded(sent, OpenAnswer)
    hub.world.check(answer.log[0], sent, None)
    return answer.claims


def try_answer(hub: Acting, node: Node, *replies: tuple[str, str], msg: str = "") -> Sent:
    body = {"replies": [{"token": token, "answer": answer} for token, answer in replies]}
    return hub.run(node.send("/v1/objections/answers", body, "objection", msg=msg, role="bron"))


def answer(hub: Acting, node: Node, token: str, code: str) -> str:
    """`stored`, or the code of the refusal."""
    result = decoded(try_answer(hub, node, (token, code)), ReplyAnswer).results[0]
    return result.code or result.outcome


def disputed(hub: Acting, visit: Visit) -> dict[str, bool]:
    """What the visit sees, with the mark that the citizen disagrees."""
    return {flag.kind: flag.disputed for flag in hub.run(hub.wijkteam.looks(visit)).persons[0].flags}
