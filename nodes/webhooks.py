"""Telling an organisation's own system to ask again: a signed CloudEvent without a person.

    1. the name is resolved once; an address of a private network is refused, unless the settings allow it
    2. the connection goes to that very address, the certificate is checked for the name
    3. CloudEvents 1.0 in JSON (NL GOV profile 1.1), signed as HTTP Message Signatures (RFC 9421, Ed25519)
    4. anything but 2xx, a redirect included, is a failure: again later, with a pause that doubles

At least once: the receiver knows an event by its `id`. The event says for which
visit to ask again, by the id that this node gave it; never who it is about.

Source: docs/regiesysteem.md, "Webhook"; docs/design/access-log.md §7, 9.
"""

import asyncio
import base64
import hashlib
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import httpx
import msgspec
import structlog
from nacl.signing import SigningKey
from sqlalchemy import Engine, delete, select, update

from index.protocol.keyfile import KeyFileError, read_key_file

from .errors import SettingsError
from .settings import SignalSettings, WebhookSettings
from .store.database import reading, writing
from .store.tables import delivery

log = structlog.get_logger()

TYPE = "nl.vlagwijzer.vraag-opnieuw"
MEDIA = "application/cloudevents+json; charset=UTF-8"
TIMEOUT_S = 5.0
_AT_ONCE = 100
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class AddressRefused(Exception):
    """The name of a webhook leads to an address that the settings do not allow."""


class CloudEvent(msgspec.Struct, frozen=True):
    """One event in the JSON format of CloudEvents 1.0. `subject` is a random reference of the event."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: str
    datacontenttype: str
    data: dict[str, str]


def signature_base(components: Sequence[tuple[str, str]], parameters: str) -> bytes:
    """What is signed (RFC 9421 §2.5). `parameters` as after `sig1=` in `Signature-Input`."""
    lines = [f'"{name}": {value}' for name, value in components]
    return "\n".join([*lines, f'"@signature-params": {parameters}']).encode()


def signed_headers(key: SigningKey, key_id: str, url: str, body: bytes, created: int) -> dict[str, str]:
    """Headers of a signed POST: method, address, type and digest of the body are covered.

    Source: RFC 9421 §2 and §3.3.6 (`ed25519`), RFC 9530 (`Content-Digest`).
    """
    digest = f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
    covered = [
        ("@method", "POST"),
        ("@target-uri", url),
        ("content-type", MEDIA),
        ("content-digest", digest),
    ]
    names = " ".join(f'"{name}"' for name, _ in covered)
    parameters = f'({names});created={created};keyid="{key_id}";alg="ed25519"'
    signature = base64.b64encode(key.sign(signature_base(covered, parameters)).signature).decode()
    return {
        "Content-Type": MEDIA,
        "Content-Digest": digest,
        "Signature-Input": f"sig1={parameters}",
        "Signature": f"sig1=:{signature}:",
    }


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, in the order of the system."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


def checked_address(addresses: Sequence[str], *, private: bool) -> str:
    """The address to connect to: the first, when every one of them is allowed.

    Raises:
        AddressRefused: None was found, or one lies in a private, local or reserved range.
    """
    if not addresses:
        raise AddressRefused("no-address")
    for text in addresses:
        address = ipaddress.ip_address(text.partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)
        address = mapped or address
        if address.is_multicast or address.is_unspecified:
            raise AddressRefused("no-host-address")
        if not address.is_global and not private:
            raise AddressRefused("private-address")
    return addresses[0]


@dataclass(frozen=True, slots=True)
class _Hook:
    settings: WebhookSettings
    key: SigningKey = field(repr=False)


class Webhooks:
    """Delivers what waits in table `delivery`.

    Args:
        source: `source` of the events.
        now: Clock, UTC.
        transport: A test world's own; absent in a process.
        resolve_name: How a name becomes addresses.

    Raises:
        SettingsError: A key file is missing or wrong.
    """

    def __init__(
        self,
        settings: SignalSettings,
        engine: Engine,
        *,
        source: str,
        now: Callable[[], datetime],
        transport: httpx.AsyncBaseTransport | None = None,
        resolve_name: Resolve = resolve,
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._source = source
        self._now = now
        self._resolve = resolve_name
        try:
            self._hooks = {
                hook.name: _Hook(hook, SigningKey(read_key_file(hook.key_file))) for hook in settings.webhooks
            }
        except KeyFileError as error:
            raise SettingsError(str(error)) from None
        # No proxy, no redirects, nothing of one call kept for the next.
        self.client = httpx.AsyncClient(
            transport=transport, trust_env=False, follow_redirects=False, timeout=TIMEOUT_S
        )

    @property
    def teams(self) -> dict[str, frozenset[str]]:
        """By name, the teams whose visits a webhook hears of; empty for all."""
        return {name: frozenset(hook.settings.teams) for name, hook in self._hooks.items()}

    async def deliver(self) -> int:
        """Send what is due; how many were taken by their receiver."""
        due = await asyncio.to_thread(self._due)
        done = 0
        for event, name, visit, at, attempts in due:
            if await self._sent(name, event, visit, at):
                await asyncio.to_thread(self._forget, event, name)
                done += 1
            else:
                await asyncio.to_thread(self._later, event, name, at, attempts + 1)
        return done

    async def _sent(self, name: str, event: str, visit: str, at: int) -> bool:
        hook = self._hooks.get(name)
        if hook is None:
            # The settings name it no more.
            return True
        body = msgspec.json.encode(
            CloudEvent(
                specversion="1.0",
                id=event,
                source=self._source,
                type=TYPE,
                subject=event,
                time=_instant(at),
                datacontenttype="application/json",
                data={"visit": visit},
            )
        )
        try:
            async with asyncio.timeout(TIMEOUT_S):
                status = await self._post(hook, body)
        except (httpx.HTTPError, OSError, AddressRefused, TimeoutError) as error:
            reason = str(error) if isinstance(error, AddressRefused) else type(error).__name__
            log.warning("webhook_failed", webhook=name, reason=reason)
            return False
        if not 200 <= status < 300:
            log.warning("webhook_failed", webhook=name, reason=f"status-{status}")
        return 200 <= status < 300

    async def _post(self, hook: _Hook, body: bytes) -> int:
        url = hook.settings.url
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        address = checked_address(await self._resolve(host, port), private=hook.settings.private)
        target = httpx.URL(url).copy_with(host=address)
        headers = signed_headers(hook.key, hook.settings.key_id, url, body, int(self._now().timestamp()))
        request = self.client.build_request(
            "POST",
            target,
            content=body,
            # To the address that was checked; name and certificate stay those of the host.
            headers={**headers, "Host": httpx.URL(url).netloc.decode(), "Connection": "close"},
            extensions={"sni_hostname": host},
        )
        # Nothing of the answer but its status is read: a receiver that talks on is not listened to.
        response = await self.client.send(request, stream=True)
        await response.aclose()
        return response.status_code

    # --- keeping -----------------------------------------------------------------------

    def _due(self) -> list[tuple[str, str, str, int, int]]:
        c = delivery.c
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(c.event, c.webhook, c.visit, c.at, c.attempts)
                .where(c.next_at <= _ms(self._now()))
                .order_by(c.next_at)
                .limit(_AT_ONCE)
            )
            return [(row.event, row.webhook, row.visit, row.at, row.attempts) for row in rows]

    def _forget(self, event: str, name: str) -> None:
        with writing(self._engine) as connection:
            connection.execute(delete(delivery).where(delivery.c.event == event, delivery.c.webhook == name))

    def _later(self, event: str, name: str, at: int, attempts: int) -> None:
        now, own = self._now(), self._settings
        if _ms(now) - at > own.give_up_hours * 3_600_000:
            log.error("webhook_given_up", webhook=name)
            self._forget(event, name)
            return
        pause = min(own.retry_first_seconds * 2 ** min(attempts - 1, 20), own.retry_max_seconds)
        with writing(self._engine) as connection:
            connection.execute(
                update(delivery)
                .where(delivery.c.event == event, delivery.c.webhook == name)
                .values(attempts=attempts, next_at=_ms(now + timedelta(seconds=pause)))
            )


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _instant(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
