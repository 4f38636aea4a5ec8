"""Dishonest key holders: they run the product's own code with one thing changed."""

import asyncio
import secrets

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from index.protocol.codec import b64u, unb64u
from index.protocol.evaluate import EvaluateAnswer, EvaluatedGroup, EvaluateRequest, issue_holder_receipt
from nodes.oprf import ristretto, voprf
from nodes.oprf.ristretto import Secret


class Liar:
    """A holder that knows its share and answers as `spoil` tells it.

    `spoil(answer, request)` may change the honest answer; `secret` replaces
    the share, with a proof that is honest for that other key.
    """

    def __init__(self, keys, holder, *, spoil=None, secret=None):
        self.keys, self.holder = keys, holder
        self.index = keys.holder_ids.index(holder) + 1
        self.spoil, self.secret = spoil, secret
        self.seen: list[EvaluateRequest] = []
        self.app = Starlette(routes=[Route("/v1/evaluate", self.evaluate, methods=["POST"])])
        keys.replace(holder, self.app)

    def share(self, kid) -> Secret:
        return self.secret or self.keys.dealing.shares[self.index][kid]

    async def evaluate(self, http: Request) -> Response:
        request = msgspec.json.decode(await http.body(), type=EvaluateRequest)
        self.seen.append(request)
        answer = await asyncio.to_thread(self.honest, request)
        if self.spoil:
            answer = self.spoil(answer, request)
        return Response(msgspec.json.encode(answer), media_type="application/json")

    def honest(self, request: EvaluateRequest) -> EvaluateAnswer:
        groups, counts = [], {}
        for group in request.groups:
            share = self.share(group.kid)
            blinded = [unb64u(element) for element in group.blinded]
            evaluated = voprf.evaluate(share, blinded)
            proof = voprf.prove(share, ristretto.multiply_base(share), blinded, evaluated)
            groups.append(EvaluatedGroup(group.kid, [b64u(e) for e in evaluated], b64u(proof)))
            counts[group.kid.partition(".")[0]] = len(blinded)
        receipt = issue_holder_receipt(
            self.holder,
            self.keys.holder_keys[self.holder],
            node=request.node,
            hub=self.keys.hub_id,
            class_=request.class_,
            counts=counts,
            nonce=request.nonce,
            now=self.keys.clock(),
        )
        return EvaluateAnswer(self.holder, request.version, groups, receipt)


def first_group(**changes):
    """Spoil the first group of every answer: each value is a function of the old one."""

    def spoil(answer, _request):
        group = answer.groups[0]
        new = {name: change(getattr(group, name)) for name, change in changes.items()}
        return msgspec.structs.replace(
            answer, groups=[msgspec.structs.replace(group, **new), *answer.groups[1:]]
        )

    return spoil


def plus_order(proof: str) -> str:
    """The same proof with a scalar that is not reduced."""
    raw = unb64u(proof)
    challenge = int.from_bytes(raw[:32], "little") + ristretto.ORDER
    return b64u(challenge.to_bytes(32, "little") + raw[32:])


def random_element() -> str:
    return b64u(voprf.hash_to_group(secrets.token_bytes(16)))
