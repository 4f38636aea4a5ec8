"""The alarm of a source: what waits too long, what is rejected too often, a lease that is running out.

    state now -> what is wrong -> e-mail or webhook, once, and again after a day while it lasts

Counts and names of sources, never a person or a local reference. An alarm that
cannot be delivered is logged and tried again at the next look; it never holds
up the work.

Source: docs/sources.md, "When something is wrong".
"""

import asyncio
import smtplib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import EmailMessage

import httpx
import structlog

from .connectors.runs import Sources
from .settings import AlertSettings
from .source import SourceDesk

log = structlog.get_logger()

LOOK_EVERY_S = 60.0
_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing that is wrong now. `about` is the name of a source, or empty."""

    code: str
    about: str
    text: str


class Alerts:
    """Looks at one node and tells its operator.

    Args:
        http: Reaches the webhook.
        now: Clock, UTC.
    """

    def __init__(
        self,
        settings: AlertSettings,
        *,
        node: str,
        source: SourceDesk,
        sources: Sources,
        http: httpx.AsyncClient,
        now: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._node = node
        self._source = source
        self._sources = sources
        self._http = http
        self._now = now
        self._told: dict[tuple[str, str], datetime] = {}

    def found(self) -> list[Alert]:
        """What is wrong now."""
        seen = self._source.counts(hub_reachable=True, holders_reachable=True)
        now, limits = self._now(), self._settings
        alerts = []
        if seen.oldest_waiting and now - seen.oldest_waiting > timedelta(minutes=limits.outbox_minutes):
            minutes = int((now - seen.oldest_waiting).total_seconds() // 60)
            text = f"{seen.waiting} items wait for the hub, the oldest for {minutes} minutes."
            alerts.append(Alert("outbox-age", "", text))
        if seen.live and seen.last_confirmed:
            left = timedelta(days=limits.lease_total_days) - (now - seen.last_confirmed)
            if left <= timedelta(days=limits.lease_days):
                days = max(0, left.days)
                text = f"Within {days} days {seen.live} flags are no longer shown: they were not confirmed."
                alerts.append(Alert("lease", "", text))
        for name, share in list(self._sources.shares.items()):
            if share > limits.rejected_share:
                text = f"Source {name}: {round(100 * share)}% of what it gave was rejected."
                alerts.append(Alert("rejected-share", name, text))
        for name, code in list(self._sources.faults.items()):
            alerts.append(Alert("source-fault", name, f"Source {name} cannot be read or stopped: {code}."))
        _, aside = self._sources.inbox.counts()
        if aside:
            alerts.append(Alert("aside", "", f"{aside} messages lie aside until somebody repairs them."))
        return alerts

    async def look(self) -> list[Alert]:
        """Tell what is new, or lasts; returns what was told."""
        alerts = await asyncio.to_thread(self.found)
        keys = {(one.code, one.about) for one in alerts}
        self._told = {key: at for key, at in self._told.items() if key in keys}
        again = timedelta(hours=self._settings.repeat_hours)
        now = self._now()
        due = [
            one
            for one in alerts
            if (at := self._told.get((one.code, one.about))) is None or now - at >= again
        ]
        if due and await self._tell(due):
            self._told.update({(one.code, one.about): now for one in due})
            return due
        return []

    async def run(self) -> None:
        """Look every minute until cancelled."""
        while True:
            try:
                await self.look()
            except Exception as error:
                log.error("alerts_failed", error=type(error).__name__)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _tell(self, alerts: list[Alert]) -> bool:
        told = True
        for one in alerts:
            log.warning("alert", code=one.code, about=one.about)
        if self._settings.webhook_url:
            told = await self._post(alerts)
        if self._settings.smtp_host:
            try:
                await asyncio.to_thread(self._mail, alerts)
            except (OSError, smtplib.SMTPException) as error:
                log.error("alert_not_mailed", error=type(error).__name__)
                told = False
        return told

    async def _post(self, alerts: list[Alert]) -> bool:
        body = {
            "node": self._node,
            "at": self._now().isoformat(),
            "alerts": [{"code": one.code, "source": one.about, "text": one.text} for one in alerts],
        }
        try:
            answer = await self._http.post(self._settings.webhook_url, json=body, timeout=_TIMEOUT_S)
        except httpx.HTTPError as error:
            log.error("alert_not_posted", error=type(error).__name__)
            return False
        if answer.status_code >= 300:
            log.error("alert_not_posted", error=f"status-{answer.status_code}")
        return answer.status_code < 300

    def _mail(self, alerts: list[Alert]) -> None:
        message = EmailMessage()
        message["Subject"] = f"Vlagwijzer {self._node}: {alerts[0].code}"
        message["From"] = self._settings.mail_from
        message["To"] = ", ".join(self._settings.mail_to)
        message.set_content("\n".join(one.text for one in alerts) + "\n")
        host, port = self._settings.smtp_host, self._settings.smtp_port
        with smtplib.SMTP(host, port, timeout=_TIMEOUT_S) as server:
            if self._settings.smtp_starttls:
                server.starttls()
            server.send_message(message)
