"""The broker's grant: it lets the key holders evaluate for one logged-in citizen, and names nobody.

Source: RFC 8693 §2.1; docs/design/pseudonyms.md, "Citizen portal".
"""

import httpx

from nodes.errors import GrantRefused, HoldersUnreachable
from nodes.settings import NodeSettings

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105
JWT = "urn:ietf:params:oauth:token-type:jwt"


async def fetch_grant(settings: NodeSettings, id_token: str) -> str:
    """Exchange the login's id token for a grant.

    Raises:
        GrantRefused: The broker refuses this login.
        HoldersUnreachable: The broker gives none: without it no key holder answers.
    """
    if not settings.grant_url or settings.login is None:
        raise HoldersUnreachable("no broker for grants in the settings")
    form = {
        "grant_type": EXCHANGE,
        "subject_token": id_token,
        "subject_token_type": ID_TOKEN,
        "requested_token_type": JWT,
        "client_id": settings.login.client_id,
    }
    auth: httpx.Auth = httpx.Auth()
    if settings.grant_client_secret_file is not None:
        secret = settings.grant_client_secret_file.read_text().strip()
        auth = httpx.BasicAuth(settings.login.client_id, secret)
    try:
        async with httpx.AsyncClient(timeout=settings.timeout_seconds, trust_env=False) as client:
            answer = await client.post(settings.grant_url, data=form, auth=auth)
        grant = answer.json().get("access_token") if answer.status_code == 200 else None
    except (httpx.HTTPError, ValueError, AttributeError):
        raise HoldersUnreachable("the broker gives no grant") from None
    if answer.status_code == 400:  # RFC 8693 §2.2.2
        raise GrantRefused("the broker refuses this login")
    if not isinstance(grant, str):
        raise HoldersUnreachable("the broker gives no grant")
    return grant
