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
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage

import httpx
import structlog
from sqlalchemy import Engine, delete, select
from sqlalchemy.dialects.sqlite import insert as upsert

from .connectors.runs import Sources
from .settings import AlertSettings
from .source import SourceDesk
from .store.database import reading, writing
from .store.tables import alert

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
        engine: Engine,
        node: str,
        source: SourceDesk,
        sources: Sources,
        http: httpx.AsyncClient,
        now: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._node = node
        self._source = source
        self._sources = sources
        self._http = http
        self._now = now

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
        alerts, told = await asyncio.to_thread(lambda: (self.found(), self._told()))
        again = timedelta(hours=self._settings.repeat_hours)
        now = self._now()
        due = [one for one in alerts if (at := told.get((one.code, one.about))) is None or now - at >= again]
        if due and not await self._tell(due):
            due = []
        # What is over is forgotten, so that it is told at once when it comes back. A source that did
        # not run since the start says nothing yet: its fault is not over.
        silent = set(self._sources.names) - self._sources.ran
        keys = {(one.code, one.about) for one in alerts}
        over = [key for key in told if key not in keys and key[1] not in silent]
        if due or over:
            await asyncio.to_thread(self._remember, over, due, now)
        return due

    def _told(self) -> dict[tuple[str, str], datetime]:
        with reading(self._engine) as connection:
            rows = connection.execute(select(alert)).all()
        return {(row.code, row.about): datetime.fromtimestamp(row.told_at / 1000, UTC) for row in rows}

    def _remember(self, over: list[tuple[str, str]], told: list[Alert], at: datetime) -> None:
        with writing(self._engine) as connection:
            for code, about in over:
                connection.execute(delete(alert).where(alert.c.code == code, alert.c.about == about))
            for one in told:
                row = {"code": one.code, "about": one.about, "told_at": int(at.timestamp() * 1000)}
                connection.execute(
                    upsert(alert)
                    .values(row)
                    .on_conflict_do_update(index_elements=["code", "about"], set_=row)
                )

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
