"""Asking the BRP through its web service: Haal Centraal BRP Personen bevragen, version 2.

    POST {url}/personen {"type": "RaadpleegMetBurgerservicenummer",
                         "burgerservicenummer": [...], "fields": [...]}

Numbers stand in the body and nowhere else: not in an address, a header, a log or
an error. An answer that is late, too long, not in the documented form or about
somebody else is no answer at all.

Source: BRP API Personen 2.5, specificatie/resolved/openapi.yaml.
"""

import asyncio
import json
import time
from collections.abc import Callable, Sequence

import httpx
import structlog

from nodes.bsn import Bsn
from nodes.errors import BrpUnavailable
from nodes.settings import BrpSettings

from .person import FIELDS, MOST, QUERY, BrpPerson, NotUnderstood, read_answer

MAX_ANSWER = 512 * 1024
_SOONER_S = 30.0

log = structlog.get_logger()


class HaalCentraal:
    """The web service with an API key, or with a token of the OAuth client credentials flow.

    Args:
        client: Follows no redirects and takes no proxy from the environment.
        clock: Seconds, monotonic; for how long a token is used.
    """

    def __init__(
        self,
        settings: BrpSettings,
        client: httpx.AsyncClient,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._client = client
        self._clock = clock
        self._token = ("", 0.0)

    async def persons(self, bsns: Sequence[Bsn], fields: Sequence[str] = FIELDS) -> list[BrpPerson | None]:
        """See `Brp.persons`."""
        if not 0 < len(bsns) <= MOST:
            raise ValueError(f"1 to {MOST} numbers in one question")
        try:
            # httpx counts each read anew; this bounds the whole, also when bytes trickle in.
            async with asyncio.timeout(self._settings.timeout_seconds):
                return read_answer(await self._ask(bsns, fields), bsns)
        except (TimeoutError, httpx.HTTPError, OSError):
            reason = "no_answer"
        except NotUnderstood as error:
            reason = f"not_understood {error}"
        except _Refused as error:
            reason = f"status {error.status}"
        log.warning("brp_unavailable", reason=reason)
        # Outside the handlers: no cause that holds a request or an answer.
        raise BrpUnavailable

    async def _ask(self, bsns: Sequence[Bsn], fields: Sequence[str]) -> object:
        question = {
            "type": QUERY,
            "burgerservicenummer": [bsn.reveal() for bsn in bsns],
            "fields": list(fields),
        }
        headers = {"Accept": "application/json; charset=utf-8", "Accept-Gezag-Version": "2"}
        headers.update(await self._proof())
        address = f"{self._settings.url.rstrip('/')}/personen"
        async with self._client.stream("POST", address, json=question, headers=headers) as answer:
            if answer.status_code == 401:
                self._token = ("", 0.0)
            if answer.status_code != 200:
                raise _Refused(answer.status_code)
            return await _json(answer)

    async def _proof(self) -> dict[str, str]:
        """The header that says who asks; files are read at use, so a replaced one counts at once."""
        ours = self._settings
        if ours.token_url:
            return {"Authorization": f"Bearer {await self._fresh_token()}"}
        if ours.api_key_file is None:
            return {}
        return {ours.api_key_header: ours.api_key_file.read_text().strip()}

    async def _fresh_token(self) -> str:
        token, until = self._token
        if self._clock() < until:
            return token
        ours = self._settings
        secret = ours.client_secret_file.read_text().strip() if ours.client_secret_file else ""
        form = {"grant_type": "client_credentials"} | ({"scope": ours.scope} if ours.scope else {})
        auth = httpx.BasicAuth(ours.client_id, secret)
        async with self._client.stream("POST", ours.token_url, data=form, auth=auth) as answer:
            if answer.status_code != 200:
                raise _Refused(answer.status_code)
            body = await _json(answer)
        if not isinstance(body, dict) or not isinstance(body.get("access_token"), str):
            raise NotUnderstood("access_token")
        lives = body.get("expires_in", 0)
        seconds = float(lives) - _SOONER_S if isinstance(lives, int | float) else 0.0
        self._token = (body["access_token"], self._clock() + seconds)
        return self._token[0]


async def _json(answer: httpx.Response) -> object:
    raw = bytearray()
    async for piece in answer.aiter_bytes():
        raw += piece
        if len(raw) > MAX_ANSWER:
            raise NotUnderstood("length")
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise NotUnderstood("json") from None


class _Refused(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status
