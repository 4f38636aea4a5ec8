"""A case system for tests: Zaken, Catalogi and Notificaties APIs with their published paths.

    server = CaseSystem()
    case = server.case("B1", startdatum="2026-01-05")
    server.role(case, bsn)
    await server.notify(client)        # what the Notificaties API sends to its subscribers

Paths and names of fields follow the VNG standards (Zaken API 1.5, Catalogi API
1.3, Notificaties API 1.0). Knobs: `status` answers every question with that
code, `slow` never answers in time, `garbage` answers no JSON.
"""

import uuid
from typing import Any

import httpx
import jwt
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

BASE = "https://zaken.test"
ZAKEN = f"{BASE}/zaken/api/v1"
CATALOGI = f"{BASE}/catalogi/api/v1"
SECRET = "a-secret-of-at-least-thirty-two-bytes"
CLIENT = "vlagwijzer"


class CaseSystem(httpx.AsyncBaseTransport):
    """All three APIs; also the transport with which a node reaches them."""

    def __init__(self) -> None:
        self.things: dict[str, dict[str, Any]] = {}
        self.status = 0
        self.slow = False
        self.garbage = False
        self.asked: list[str] = []
        self.waiting: list[dict[str, Any]] = []
        self.subscriptions: list[dict[str, Any]] = []
        paths = ["zaken", "statussen", "rollen", "resultaten"]
        self.app = Starlette(
            routes=[
                Route("/zaken/api/v1/rollen", self._roles, methods=["GET"]),
                *(Route(f"/zaken/api/v1/{path}/{{id}}", self._one, methods=["GET"]) for path in paths),
                Route("/catalogi/api/v1/zaaktypen/{id}", self._one, methods=["GET"]),
                Route("/catalogi/api/v1/statustypen/{id}", self._one, methods=["GET"]),
                Route("/notificaties/api/v1/abonnement", self._subscribe, methods=["POST"]),
            ]
        )
        self._transport = httpx.ASGITransport(self.app)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(str(request.url))
        if self.slow:
            raise httpx.ReadTimeout("slow", request=request)
        if self.status:
            return httpx.Response(self.status, json={"status": self.status, "title": "no"})
        if self.garbage:
            return httpx.Response(200, content=b"<html>")
        return await self._transport.handle_async_request(request)

    # --- what it holds -----------------------------------------------------------------

    def _put(self, base: str, path: str, **fields: Any) -> str:
        address = f"{base}/{path}/{uuid.uuid4()}"
        self.things[address] = {"url": address, **fields}
        return address

    def case_type(self, identification: str) -> str:
        return self._put(CATALOGI, "zaaktypen", identificatie=identification)

    def case(self, case_type: str, *, above: str | None = None, since: str = "2026-01-05") -> str:
        """A new case; with `above` a deelzaak."""
        address = self._put(
            ZAKEN,
            "zaken",
            identificatie=f"ZAAK-{len(self.things)}",
            zaaktype=case_type,
            startdatum=since,
            einddatum=None,
            status=None,
            resultaat=None,
            hoofdzaak=above,
            deelzaken=[],
        )
        if above is not None:
            self.things[above]["deelzaken"].append(address)
        self.say(address, "zaak", "create", address)
        return address

    def role(self, case: str, bsn: str, generic: str = "initiator", kind: str = "natuurlijk_persoon") -> str:
        address = self._put(
            ZAKEN,
            "rollen",
            zaak=case,
            betrokkeneType=kind,
            omschrijvingGeneriek=generic,
            betrokkeneIdentificatie={"inpBsn": bsn, "geslachtsnaam": "Jansen"},
        )
        self.say(case, "rol", "create", address)
        return address

    def change(self, address: str, **fields: Any) -> None:
        self.things[address].update(fields)

    def state(self, case: str, *, final: bool) -> None:
        kind = self._put(CATALOGI, "statustypen", isEindstatus=final)
        self.change(case, status=self._put(ZAKEN, "statussen", zaak=case, statustype=kind))
        self.say(case, "status", "create", self.things[case]["status"])

    def remove(self, address: str, resource: str, case: str) -> None:
        del self.things[address]
        self.say(case, resource, "destroy", address)

    def say(self, case: str, resource: str, action: str, address: str) -> None:
        self.waiting.append(
            {
                "kanaal": "zaken",
                "hoofdObject": case,
                "resource": resource,
                "resourceUrl": address,
                "actie": action,
                "aanmaakdatum": "2026-11-22T10:00:00Z",
                "kenmerken": {"bronorganisatie": "082096752", "vertrouwelijkheidaanduiding": "openbaar"},
            }
        )

    # --- the APIs ----------------------------------------------------------------------

    async def _one(self, request: Request) -> Response:
        found = self.things.get(str(request.url))
        return self._known(request) or (JSONResponse(found) if found else JSONResponse({}, 404))

    async def _roles(self, request: Request) -> Response:
        case = request.query_params.get("zaak")
        page = int(request.query_params.get("page", "1"))
        found = [
            one
            for address, one in self.things.items()
            if address.startswith(f"{ZAKEN}/rollen/") and one["zaak"] == case
        ]
        more = f"{ZAKEN}/rollen?zaak={case}&page={page + 1}" if len(found) > 2 * page else None
        body = {
            "count": len(found),
            "next": more,
            "previous": None,
            "results": found[2 * page - 2 : 2 * page],
        }
        return self._known(request) or JSONResponse(body)

    async def _subscribe(self, request: Request) -> Response:
        self.subscriptions.append(await request.json())
        return JSONResponse(self.subscriptions[-1], 201)

    def _known(self, request: Request) -> Response | None:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        try:
            # The clock of the tests is not the one of this machine.
            claims = jwt.decode(
                token, SECRET, algorithms=["HS256"], options={"verify_exp": False, "verify_iat": False}
            )
        except jwt.InvalidTokenError:
            return JSONResponse({"code": "not_authenticated"}, 401)
        return None if claims["client_id"] == CLIENT else JSONResponse({}, 403)

    async def notify(self, client: httpx.AsyncClient) -> list[int]:
        """Send what waits to the subscribers, in order."""
        codes = []
        waiting, self.waiting = self.waiting, []
        for said in waiting:
            for one in self.subscriptions:
                headers = {"Authorization": one["auth"]}
                answer = await client.post(one["callbackUrl"], json=said, headers=headers)
                codes.append(answer.status_code)
        return codes
